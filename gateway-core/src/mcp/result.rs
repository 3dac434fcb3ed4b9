//! From the answer to a tool's request to the result of the tool.

use super::Tool;
use crate::http::Headers;
use crate::json::{self, Json, Kind};
use crate::json_rpc::{self, quoted};
use crate::schema::Schemas;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// How many things that are wrong with an answer are told.
const MOST: usize = 5;

/// The result of a tool that has not been called, or whose answer cannot be told: sentences for the model.
pub fn failed(sentences: &[String]) -> String {
    format!("{{\"content\":[{}],\"isError\":true}}", text(&sentences.join("\n")))
}

/// The result of a tool whose request had this answer. `target` is what was asked for.
pub fn of(tool: &Tool, schemas: &Schemas, target: &str, status: u16, headers: &Headers, body: &[u8]) -> String {
    if status >= 300 {
        let mut said = vec![text(&format!("The answer has the status {status}."))];
        for (name, sentence) in [("retry-after", "It can be tried again after"), ("location", "It leads to")] {
            said.extend(headers.text(name).map(|value| text(&format!("{sentence}: {value}"))));
        }
        said.extend(content(target, headers, body));
        return format!("{{\"content\":[{}],\"isError\":true}}", said.join(","));
    }
    let mut said: Vec<String> = content(target, headers, body).into_iter().collect();
    let Some(output) = &tool.output else {
        if said.is_empty() {
            said.push(text(&format!("Done: the answer has the status {status}, and nothing in it.")));
        }
        let structured = structured(headers, body, false).map(|object| format!(",\"structuredContent\":{object}"));
        return format!("{{\"content\":[{}]{}}}", said.join(","), structured.unwrap_or_default());
    };
    // What is promised is kept, or it is an error: clients look.
    let wrong = match read(headers, body) {
        Some((value, parts)) => {
            match json_rpc::check(schemas, output.schema, Json::new(value, &parts), Some(0), MOST) {
                Ok(findings) if findings.is_empty() => None,
                Ok(findings) => {
                    let each = findings.iter().map(|finding| format!("`{}` {}", finding.pointer, finding.message));
                    Some(each.collect::<Vec<_>>().join("; "))
                }
                Err(_) => Some("it takes too long to check".to_owned()),
            }
        }
        None => Some("it is no JSON".to_owned()),
    };
    match (wrong, structured(headers, body, output.wrapped)) {
        (None, Some(object)) => format!("{{\"content\":[{}],\"structuredContent\":{object}}}", said.join(",")),
        (wrong, _) => {
            let wrong = wrong.unwrap_or_else(|| "it is no object".to_owned());
            said.insert(0, text(&format!("The answer is not what this tool promises: {wrong}.")));
            format!("{{\"content\":[{}],\"isError\":true}}", said.join(","))
        }
    }
}

fn text(text: &str) -> String {
    format!("{{\"type\":\"text\",\"text\":{}}}", quoted(text))
}

/// A body as a block of content; `None` where there is nothing in it.
fn content(target: &str, headers: &Headers, body: &[u8]) -> Option<String> {
    if body.is_empty() {
        return None;
    }
    let media_type = headers.media_type();
    let readable = std::str::from_utf8(body).ok().filter(|_| headers.all("content-encoding").next().is_none());
    let kind = media_type.split('/').next().unwrap_or_default();
    if let (Some(said), true) = (readable, is_text(&media_type)) {
        return Some(text(said));
    }
    let data = STANDARD.encode(body);
    Some(match kind {
        "image" | "audio" => {
            format!("{{\"type\":\"{kind}\",\"data\":\"{data}\",\"mimeType\":{}}}", quoted(&media_type))
        }
        _ => {
            let media_type = if media_type.is_empty() { "application/octet-stream" } else { &media_type };
            format!(
                "{{\"type\":\"resource\",\"resource\":{{\"uri\":{},\"mimeType\":{},\"blob\":\"{data}\"}}}}",
                quoted(target),
                quoted(media_type)
            )
        }
    })
}

/// Whether bodies of this type are for reading.
fn is_text(media_type: &str) -> bool {
    media_type.is_empty()
        || media_type.starts_with("text/")
        || ["json", "xml", "yaml"].iter().any(|form| media_type.ends_with(form))
        || matches!(
            media_type,
            "application/x-www-form-urlencoded"
                | "application/javascript"
                | "application/x-ndjson"
                | "application/jsonl"
        )
}

/// The JSON of an answer; numbers keep their digits.
fn read<'b>(headers: &Headers, body: &'b [u8]) -> Option<(&'b str, Vec<json::Part>)> {
    if !headers.is_json() {
        return None;
    }
    let text = std::str::from_utf8(body).ok()?;
    Some((text, json::read(text, &json::Limits { duplicates: true, ..json::Limits::USUAL }).ok()?))
}

/// An answer as an object, in one as `result` where it is none and that is wanted.
fn structured(headers: &Headers, body: &[u8], wrapped: bool) -> Option<String> {
    let (value, parts) = read(headers, body)?;
    if wrapped {
        return Some(format!("{{\"result\":{}}}", value.trim()));
    }
    (Json::new(value, &parts).kind(0) == Kind::Object).then(|| value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::Output;
    use crate::schema::SchemaId;
    use bytes::Bytes;
    use serde_json::{Value, json};

    fn told(output: Option<Output>, status: u16, media_type: &str, body: &[u8]) -> Value {
        let tool = Tool {
            name: "t".to_owned(),
            definition: String::new(),
            method: "GET".to_owned(),
            base: String::new(),
            path: Vec::new(),
            arguments: Vec::new(),
            body: None,
            headers: Vec::new(),
            output,
        };
        let mut headers = Headers::new();
        headers.set("content-type", media_type);
        let result = of(&tool, &Schemas::new(Bytes::new()), "https://a.test/x", status, &headers, body);
        serde_json::from_str(&result).unwrap_or_else(|why| panic!("{why}: {result}"))
    }

    #[test]
    fn answers_become_content() {
        let text = |text: &str| json!({ "type": "text", "text": text });
        for (status, media_type, body, expected) in [
            (
                200,
                "application/json",
                &b"{\"a\":1}"[..],
                json!({ "content": [text("{\"a\":1}")], "structuredContent": { "a": 1 } }),
            ),
            (200, "application/json", b"[1]", json!({ "content": [text("[1]")] })),
            (200, "text/plain; charset=utf-8", b"hi\n", json!({ "content": [text("hi\n")] })),
            (
                200,
                "image/png",
                b"\x89PNG",
                json!({ "content": [{ "type": "image", "data": "iVBORw==", "mimeType": "image/png" }] }),
            ),
            (
                200,
                "audio/wav",
                b"a",
                json!({ "content": [{ "type": "audio", "data": "YQ==", "mimeType": "audio/wav" }] }),
            ),
            (
                200,
                "application/pdf",
                b"%",
                json!({ "content": [{ "type": "resource", "resource": { "uri": "https://a.test/x", "mimeType": "application/pdf", "blob": "JQ==" } }] }),
            ),
            (204, "", b"", json!({ "content": [text("Done: the answer has the status 204, and nothing in it.")] })),
            (
                404,
                "text/plain",
                b"no",
                json!({ "content": [text("The answer has the status 404."), text("no")], "isError": true }),
            ),
        ] {
            assert_eq!(told(None, status, media_type, body), expected, "{status} {media_type}");
        }
    }

    #[test]
    fn what_is_promised_is_kept_or_an_error() {
        let output = |wrapped| Some(Output { schema: SchemaId(0), wrapped });
        let kept = told(output(true), 200, "application/json", b" [1] ");
        assert_eq!(kept["structuredContent"], json!({ "result": [1] }));
        for (wrapped, media_type, body) in
            [(false, "application/json", &b"[1]"[..]), (false, "text/plain", b"{}"), (true, "application/json", b"{")]
        {
            let broken = told(output(wrapped), 200, media_type, body);
            assert_eq!(
                (&broken["isError"], &broken["structuredContent"]),
                (&json!(true), &Value::Null),
                "{media_type}"
            );
        }
    }
}
