//! Several requests in one: a list of them comes as JSON, and a list of answers goes.

use crate::error::Error;
use crate::http::{self, Headers, is_token};
use crate::json::{self, Json, Kind, Limits};
use crate::request::{HEARSAY, HOP_BY_HOP};
use crate::shape::Value;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Takes several requests in one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// How many requests there may be.
    pub most: u32,
    /// How many of them are answered at once.
    pub parallel: u32,
    /// How many bytes the list may have.
    pub limit: u64,
    /// How many bytes of each answer are taken.
    pub answer: u64,
    /// How long all of it may take, in milliseconds.
    pub timeout: u64,
    /// Fields that each request has from the batch's own, where it has none of that name.
    pub inherit: Vec<String>,
}

/// One of the requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The method's token.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Its own fields.
    pub headers: Vec<(String, String)>,
    /// Its body; `None`: none.
    pub body: Option<Bytes>,
}

/// One of the answers.
#[derive(Debug)]
pub struct Answered {
    /// The status.
    pub status: u16,
    /// Its fields.
    pub headers: Headers,
    /// Its body.
    pub body: Bytes,
}

impl Batch {
    /// Reads a list of requests. One that cannot be read has an answer of its own: why.
    ///
    /// # Errors
    /// Where there is no list, or too long a one.
    pub fn read(&self, text: &[u8]) -> Result<Vec<Result<Item, String>>, Error> {
        let bad = |reason: String| Error::BadBatch { reason };
        let no_list = || bad("The body is no JSON list of requests.".to_owned());
        let text = std::str::from_utf8(text).map_err(|_| no_list())?;
        let parts = json::read(text, &Limits::USUAL).map_err(|_| no_list())?;
        let json = Json::new(text, &parts);
        if json.kind(0) != Kind::List {
            return Err(no_list());
        }
        let count = json.items(0).count();
        if count == 0 {
            return Err(bad("There is no request in it.".to_owned()));
        }
        if count > self.most as usize {
            return Err(bad(format!("There are {count} requests in it, and {} are taken at once.", self.most)));
        }
        Ok(json.items(0).map(|item| read(json, item)).collect())
    }
}

fn read(json: Json<'_>, item: u32) -> Result<Item, String> {
    if json.kind(item) != Kind::Object {
        return Err("A request is an object with `method`, `path`, `headers` and `body`.".to_owned());
    }
    let mut read = Item { method: "GET".to_owned(), target: String::new(), headers: Vec::new(), body: None };
    let (mut body, mut in_base64) = (None, false);
    for (name, value) in json.members(item) {
        match json.text(name).as_ref() {
            "method" => read.method = text(json, value, "method")?,
            "path" => read.target = text(json, value, "path")?,
            "headers" => read.headers = fields(json, value)?,
            "body" => body = Some(value),
            "encoding" if json.text(value) == "base64" => in_base64 = true,
            "encoding" => return Err("The only `encoding` that is known is `base64`.".to_owned()),
            other => return Err(format!("A request has no `{other}`.")),
        }
    }
    if !read.target.starts_with('/') {
        return Err("The `path` of a request begins with `/`.".to_owned());
    }
    let is_typed = read.headers.iter().any(|(name, _)| name == "content-type");
    read.body = match body.map(|value| (value, json.kind(value))) {
        None | Some((_, Kind::Null)) => None,
        Some((value, Kind::Text)) if in_base64 => {
            let decoded = STANDARD.decode(json.text(value).as_bytes());
            Some(decoded.map_err(|_| "The `body` is not in Base64.".to_owned())?.into())
        }
        Some((_, _)) if in_base64 => return Err("A `body` in Base64 is a string.".to_owned()),
        Some((value, Kind::Text)) => Some(json.text(value).into_owned().into()),
        Some((value, _)) => {
            if !is_typed {
                read.headers.push(("content-type".to_owned(), "application/json".to_owned()));
            }
            Some(json.raw(value).to_owned().into())
        }
    };
    Ok(read)
}

fn text(json: Json<'_>, value: u32, name: &str) -> Result<String, String> {
    if json.kind(value) == Kind::Text {
        Ok(json.text(value).into_owned())
    } else {
        Err(format!("The `{name}` of a request is a string."))
    }
}

fn fields(json: Json<'_>, value: u32) -> Result<Vec<(String, String)>, String> {
    if json.kind(value) != Kind::Object {
        return Err("The `headers` of a request are an object.".to_owned());
    }
    let mut fields = Vec::new();
    for (name, value) in json.members(value) {
        let name = json.text(name).to_ascii_lowercase();
        if !is_token(&name) {
            return Err(format!("`{name}` is not the name of a header field."));
        }
        if is_reserved(&name) {
            return Err(format!("The header field `{name}` is not for a request of a batch."));
        }
        let mut add = |value: u32| {
            if json.kind(value) != Kind::Text {
                return Err(format!("The header field `{name}` is a string, or a list of strings."));
            }
            let line = json.text(value).into_owned();
            if line.chars().any(|c| c.is_control() && c != '\t') {
                return Err(format!("The header field `{name}` has a control character."));
            }
            fields.push((name.clone(), line));
            Ok(())
        };
        match json.kind(value) {
            Kind::List => json.items(value).try_for_each(add)?,
            _ => add(value)?,
        }
    }
    Ok(fields)
}

/// Fields that no request of a batch writes itself: what frames and routes a message, what only a browser writes, so that a page
/// cannot pretend to be another one (Fetch, "forbidden request-header"), and what proxies say of a client. Names are compared as
/// servers do that take `_` for `-`.
fn is_reserved(name: &str) -> bool {
    let name = name.replace('_', "-");
    let mut reserved = HOP_BY_HOP.iter().chain(&HEARSAY).chain(&RESERVED);
    reserved.any(|known| *known == name) || RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

const RESERVED_PREFIXES: [&str; 5] = ["proxy-", "sec-", "x-forwarded-", "access-control-request-", "client-cert"];

/// Besides those for one connection only, and those that no client is believed.
const RESERVED: [&str; 16] = [
    "accept-encoding",
    "content-length",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "origin",
    "referer",
    "trailer",
    "upgrade",
    "via",
    "cf-connecting-ip",
    "user-agent",
    "accept-charset",
    "set-cookie",
    "date",
];

/// Fields that each request has from the batch's own whatever is configured: they are about who sends it, and no request of a
/// batch can write them.
pub const ALWAYS_INHERITED: [&str; 9] = [
    "cookie",
    "origin",
    "referer",
    "user-agent",
    "sec-fetch-site",
    "sec-fetch-mode",
    "sec-fetch-dest",
    "sec-fetch-user",
    "accept-language",
];

/// Writes the answers, in the order of the requests.
pub fn write(answers: &[Answered]) -> Vec<u8> {
    let mut out = vec![b'['];
    for (at, answered) in answers.iter().enumerate() {
        if at > 0 {
            out.extend_from_slice(b",\n");
        }
        answered.write(&mut out);
    }
    out.push(b']');
    out
}

impl Answered {
    fn write(&self, out: &mut Vec<u8>) {
        let mut fields: Vec<(Cow<'_, str>, Value<'_>)> = Vec::new();
        for (name, line) in self.headers.iter().filter(|(name, _)| *name != "content-length") {
            let line = Value::Text(String::from_utf8_lossy(line));
            match fields.iter_mut().find(|(known, _)| known == name) {
                Some((_, Value::List(lines))) => lines.push(line),
                Some((_, first)) => {
                    let before = std::mem::replace(first, Value::NULL);
                    *first = Value::List(vec![before, line]);
                }
                None => fields.push((name.into(), line)),
            }
        }
        let mut members: Vec<(Cow<'_, str>, Value<'_>)> = vec![
            ("status".into(), Value::Raw(self.status.to_string().into())),
            ("headers".into(), Value::Object(fields)),
        ];
        let is_packed = http::list(&self.headers, "content-encoding").any(|coding| coding != "identity");
        let text = std::str::from_utf8(&self.body).ok().filter(|_| !is_packed);
        let parts = text.filter(|_| self.headers.is_json()).and_then(|text| json::read(text, &super::LIMITS).ok());
        match (text, &parts) {
            _ if self.body.is_empty() => {}
            (Some(text), Some(parts)) => members.push(("body".into(), Value::new(Json::new(text, parts)))),
            (Some(text), None) => members.push(("body".into(), Value::Text(text.into()))),
            (None, _) => {
                members.push(("body".into(), Value::Text(STANDARD.encode(&self.body).into())));
                members.push(("encoding".into(), Value::Text("base64".into())));
            }
        }
        Value::Object(members).write(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BATCH: Batch = Batch { most: 3, parallel: 2, limit: 100, answer: 100, timeout: 1, inherit: Vec::new() };

    fn one(text: &str) -> Result<Item, String> {
        BATCH.read(format!("[{text}]").as_bytes()).expect("a list").remove(0)
    }

    #[test]
    fn requests_are_read() {
        let item = one(r#"{"method":"POST","path":"/a?b","headers":{"X-A":"1","x-b":["2","3"]},"body":{"c": 1}}"#);
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            item,
            Ok(Item {
                method: "POST".to_owned(),
                target: "/a?b".to_owned(),
                headers: vec![
                    field("x-a", "1"),
                    field("x-b", "2"),
                    field("x-b", "3"),
                    field("content-type", "application/json"),
                ],
                body: Some(r#"{"c": 1}"#.into()),
            })
        );
        let item = one(r#"{"path":"/","body":"a\nb"}"#).expect("a request");
        assert_eq!((item.method.as_str(), item.body, item.headers.len()), ("GET", Some("a\nb".into()), 0));
        assert_eq!(
            one(r#"{"path":"/","body":"//8=","encoding":"base64"}"#).expect("one").body,
            Some(vec![255, 255].into())
        );
    }

    #[test]
    fn what_is_no_request_says_why() {
        for wrong in [
            "1",
            "{}",
            r#"{"path":"a"}"#,
            r#"{"path":1}"#,
            r#"{"path":"/","method":null}"#,
            r#"{"path":"/","url":"/"}"#,
            r#"{"path":"/","headers":[]}"#,
            r#"{"path":"/","headers":{"a b":"1"}}"#,
            r#"{"path":"/","headers":{"a":1}}"#,
            r#"{"path":"/","headers":{"a":"x\r\ny"}}"#,
            r#"{"path":"/","headers":{"Origin":"https://a"}}"#,
            r#"{"path":"/","headers":{"x_forwarded_for":"1.2.3.4"}}"#,
            r#"{"path":"/","headers":{"Sec-Fetch-Site":"same-origin"}}"#,
            r#"{"path":"/","headers":{"content-length":"3"}}"#,
            r#"{"path":"/","body":"?","encoding":"base64"}"#,
            r#"{"path":"/","body":{},"encoding":"base64"}"#,
            r#"{"path":"/","encoding":"gzip"}"#,
        ] {
            assert!(one(wrong).is_err_and(|why| why.ends_with('.')), "{wrong}");
        }
        for wrong in ["", "{}", "[]", "[1,2,3,4]", "\u{1}", "[{\"a\":1,\"a\":1}]"] {
            assert!(matches!(BATCH.read(wrong.as_bytes()), Err(Error::BadBatch { .. })), "{wrong}");
        }
    }

    #[test]
    fn answers_are_written_by_what_they_are() {
        let answered = |block: &str, body: &[u8]| Answered {
            status: 200,
            headers: Headers::from_block(block.as_bytes().to_vec()),
            body: Bytes::copy_from_slice(body),
        };
        let written = write(&[
            answered("content-type\0application/json\nset-cookie\0a=1\nset-cookie\0b=2\n", b"{\"n\": 1.10}"),
            answered("content-type\0application/json\n", b"{"),
            answered("content-type\0image/png\n", &[255]),
            answered("content-encoding\0gzip\n", b"abc"),
            answered("content-length\x000\n", b""),
        ]);
        let text = String::from_utf8(written).expect("text");
        assert!(text.contains(r#""body":{"n": 1.10}"#), "{text}");
        let all: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(all[0]["headers"]["set-cookie"], serde_json::json!(["a=1", "b=2"]));
        assert_eq!(all[1]["body"], "{");
        assert_eq!((&all[2]["body"], &all[2]["encoding"]), (&"/w==".into(), &"base64".into()));
        assert_eq!(all[3]["encoding"], "base64");
        assert_eq!(all[4], serde_json::json!({ "status": 200, "headers": {} }));
    }
}
