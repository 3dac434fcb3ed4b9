//! Tools by the Model Context Protocol (modelcontextprotocol.io/specification/2025-11-25), over its streamable HTTP transport.
//!
//! A tool is an operation that routes of this gateway answer. [`arguments`] makes a request of what a tool is called with,
//! [`result`] makes the tool's result of the response; what happens in between is what happens to any request. Nothing is
//! remembered from one message to the next: there are no sessions, and no stream is held open.

pub mod arguments;
pub mod result;

use crate::client::Client;
use crate::http::{Body, Headers, Response};
use crate::json_rpc::{self, Fault, INVALID_PARAMS, quoted};
use crate::policy::headers::replace;
use crate::policy::openapi::Segment;
use crate::policy::origin::OriginRule;
use crate::request::Line;
use crate::schema::SchemaId;
use crate::validation::parameter::{Place, Style};
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// Serves tools.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mcp {
    /// What the server is called.
    #[serde(rename = "n")]
    pub name: String,
    /// The same for people.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Its version.
    #[serde(rename = "v")]
    pub version: String,
    /// What a model should know of the tools as a whole.
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    /// The tools, in order.
    #[serde(rename = "l")]
    pub tools: Vec<Tool>,
    /// How many are listed at once.
    #[serde(rename = "p")]
    pub page: usize,
    /// How many bytes a message may have.
    #[serde(rename = "q")]
    pub request_bytes: u64,
    /// How many bytes of an answer are read.
    #[serde(rename = "a")]
    pub answer_bytes: u64,
    /// The pages that may call.
    #[serde(rename = "o", default, skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<OriginRule>,
    /// The host that tools are asked of, where it is another one.
    #[serde(rename = "h", default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Who gives out tokens, where that is told.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<ProtectedResource>,
}

/// A tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tool {
    /// Its name.
    #[serde(rename = "n")]
    pub name: String,
    /// What is told of it, as JSON.
    #[serde(rename = "d")]
    pub definition: String,
    /// The method in HTTP.
    #[serde(rename = "m")]
    pub method: String,
    /// What the path begins with, without a slash at its end.
    #[serde(rename = "b", default, skip_serializing_if = "String::is_empty")]
    pub base: String,
    /// The rest of the path.
    #[serde(rename = "p")]
    pub path: Vec<Segment>,
    /// The arguments that become parameters.
    #[serde(rename = "a", default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<Argument>,
    /// The argument that becomes the body.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub body: Option<BodyArgument>,
    /// Fields that the request has in any case.
    #[serde(rename = "h", default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// What the result is like, where that is promised.
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Output>,
}

/// An argument that becomes a parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Argument {
    /// The argument's name.
    #[serde(rename = "a")]
    pub argument: String,
    /// The parameter's.
    #[serde(rename = "n")]
    pub name: String,
    /// Where the parameter stands.
    #[serde(rename = "i")]
    pub place: Place,
    /// Whether it must be there.
    #[serde(rename = "r", default)]
    pub required: bool,
    /// How its value is written.
    #[serde(rename = "w")]
    pub style: Style,
    /// Whether each item and each property stands by itself.
    #[serde(rename = "e", default)]
    pub explode: bool,
    /// What it must be like.
    #[serde(rename = "s")]
    pub schema: SchemaId,
}

/// What becomes the body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BodyArgument {
    /// The argument's name; `None`: all arguments together are the body.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub argument: Option<String>,
    /// Whether it must be there.
    #[serde(rename = "r", default)]
    pub required: bool,
    /// The body's type.
    #[serde(rename = "m")]
    pub media_type: String,
    /// Whether it is written as an HTML form, and not as JSON.
    #[serde(rename = "f", default)]
    pub form: bool,
    /// What it must be like.
    #[serde(rename = "s")]
    pub schema: SchemaId,
}

/// What a result is like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// What the answer must be like.
    #[serde(rename = "s")]
    pub schema: SchemaId,
    /// Whether the answer is no object, so that it stands in one as `result`.
    #[serde(rename = "w", default)]
    pub wrapped: bool,
}

/// Who gives out tokens for a route (RFC 9728).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtectedResource {
    /// The address of the route; `None`: by what the client asked for.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// The path of the route.
    #[serde(rename = "p")]
    pub path: String,
    /// The authorisation servers.
    #[serde(rename = "a")]
    pub servers: Vec<String>,
    /// The scopes that there are.
    #[serde(rename = "s", default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// What people see.
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// What asks for tools.
pub struct Asked<'a> {
    /// What was asked for.
    pub line: &'a Line,
    /// Who has sent it.
    pub client: &'a Client,
    /// The route's name.
    pub route: &'a str,
    /// The fields, as policies have left them.
    pub headers: Headers,
    /// The fields as they came.
    pub credentials: Option<Headers>,
    /// How many requests it is within.
    pub depth: u8,
}

/// The versions of the protocol, the newest first.
pub const VERSIONS: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

/// The version that a client means who says none.
const UNSAID: &str = "2025-03-26";

/// The messages of a batch that are handled at a time, and how many it may have.
pub const AT_ONCE: usize = 4;
/// See [`AT_ONCE`].
pub const LARGEST_BATCH: usize = 50;
/// How deep arguments may be.
pub const DEEPEST: u32 = 64;

/// A version that both sides know: the client's, or our newest.
pub fn negotiate(wanted: &str) -> &'static str {
    VERSIONS.iter().find(|known| **known == wanted).copied().unwrap_or(VERSIONS[0])
}

/// The version by which a request is meant; `None`: one that nobody knows.
pub fn version(headers: &Headers) -> Option<&'static str> {
    let said = match headers.get("mcp-protocol-version") {
        None => UNSAID,
        Some(said) => std::str::from_utf8(said).ok()?,
    };
    VERSIONS.iter().find(|known| **known == said).copied()
}

/// Whether several messages may come at once: only the version of 2025-03-26 has that, and those before never said no.
pub fn takes_batches(version: &str) -> bool {
    version <= UNSAID
}

impl Mcp {
    /// Whether a page may call. Programs that are no browsers say no origin.
    ///
    /// That the origin is the host that was asked for says nothing: a page whose name leads here (DNS rebinding) has both.
    pub fn lets_in(&self, headers: &Headers) -> bool {
        let mut origins = headers.all("origin").peekable();
        if origins.peek().is_none() {
            return true;
        }
        origins.all(|origin| {
            std::str::from_utf8(origin).is_ok_and(|origin| self.origins.iter().any(|rule| rule.matches(origin)))
        })
    }

    /// The result of `initialize`.
    pub fn initialize(&self, version: &str) -> String {
        let mut out = format!(
            "{{\"protocolVersion\":{},\"capabilities\":{{\"tools\":{{\"listChanged\":false}}}},\"serverInfo\":{{\"name\":{}",
            quoted(version),
            quoted(&self.name)
        );
        // A String takes whatever is written.
        if let Some(title) = &self.title {
            let _ = write!(out, ",\"title\":{}", quoted(title));
        }
        let _ = write!(out, ",\"version\":{}}}", quoted(&self.version));
        if let Some(instructions) = &self.instructions {
            let _ = write!(out, ",\"instructions\":{}", quoted(instructions));
        }
        out.push('}');
        out
    }

    /// The result of `tools/list`, from where a cursor says.
    pub fn list(&self, cursor: Option<&str>) -> Result<String, Fault> {
        let from = match cursor {
            None => 0,
            Some(cursor) => {
                let place = cursor.strip_prefix("tools-").and_then(|place| place.parse::<usize>().ok());
                let known = place.filter(|place| *place > 0 && *place < self.tools.len());
                known.ok_or_else(|| Fault::new(INVALID_PARAMS, "There is no such cursor."))?
            }
        };
        let mut out = String::from("{\"tools\":[");
        for (at, tool) in self.tools.iter().skip(from).take(self.page).enumerate() {
            if at > 0 {
                out.push(',');
            }
            out.push_str(&tool.definition);
        }
        out.push(']');
        let next = from.saturating_add(self.page);
        if next < self.tools.len() {
            let _ = write!(out, ",\"nextCursor\":\"tools-{next}\"");
        }
        out.push('}');
        Ok(out)
    }

    /// A tool by its name.
    pub fn tool(&self, name: &str) -> Option<&Tool> {
        self.tools.iter().find(|tool| tool.name == name)
    }

    /// Says in a refusal where a token can be had (RFC 9728 §5.1).
    pub fn tell_where_to_log_in<S>(&self, line: &Line, client: &Client, response: &mut Response<S>) {
        let Some(resource) = &self.resource else { return };
        if !matches!(response.status, 401 | 403) {
            return;
        }
        let mut found = false;
        let mut challenges: Vec<Vec<u8>> = Vec::new();
        let told = format!("resource_metadata=\"{}\"", resource.metadata(line, client));
        for challenge in response.headers.all("www-authenticate") {
            let mut challenge = challenge.to_vec();
            if challenge.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer")) {
                let between: &[u8] = if challenge.trim_ascii().len() == 6 { b" " } else { b", " };
                challenge.extend_from_slice(between);
                challenge.extend_from_slice(told.as_bytes());
                found = true;
            }
            challenges.push(challenge);
        }
        if !found && response.status == 401 {
            let scope = resource.scopes.join(" ");
            let scope = if scope.is_empty() { scope } else { format!(", scope=\"{scope}\"") };
            challenges.push(format!("Bearer {told}{scope}").into_bytes());
        }
        if found || response.status == 401 {
            replace(&mut response.headers, "www-authenticate", challenges.iter().map(Vec::as_slice));
        }
    }
}

impl ProtectedResource {
    /// What the path of the metadata begins with.
    pub const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

    fn origin(&self, line: &Line, client: &Client) -> String {
        match &self.resource {
            Some(resource) => {
                let rest = resource.find("://").map_or(0, |at| at + 3);
                let end = resource[rest..].find('/').map_or(resource.len(), |at| rest + at);
                resource[..end].to_owned()
            }
            None => format!("{}://{}", client.scheme, line.authority),
        }
    }

    /// The address of the metadata.
    fn metadata(&self, line: &Line, client: &Client) -> String {
        let path = self.path.trim_end_matches('/');
        // What stands in quotes; an authority has been read as one.
        format!("{}{}{path}", self.origin(line, client), Self::WELL_KNOWN)
    }

    /// The metadata (RFC 9728 §3.2).
    pub fn answer<S>(&self, line: &Line, client: &Client) -> Response<S> {
        let resource = match &self.resource {
            Some(resource) => resource.clone(),
            None => format!("{}{}", self.origin(line, client), self.path),
        };
        let list = |texts: &[String]| texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(",");
        let mut out = format!(
            "{{\"resource\":{},\"authorization_servers\":[{}],\"bearer_methods_supported\":[\"header\"]",
            quoted(&resource),
            list(&self.servers)
        );
        if !self.scopes.is_empty() {
            let _ = write!(out, ",\"scopes_supported\":[{}]", list(&self.scopes));
        }
        if let Some(name) = &self.name {
            let _ = write!(out, ",\"resource_name\":{}", quoted(name));
        }
        out.push('}');
        let mut response = json_rpc::respond(200, out);
        // It is for everybody, pages of other origins included.
        response.headers.set("access-control-allow-origin", "*");
        response.headers.set("cache-control", "max-age=3600");
        response
    }
}

/// The fields with which a tool is asked: the client's own, without those that speak of its message or of the protocol.
pub fn carried(received: &Headers) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in received.iter() {
        let stays = name.starts_with("content-")
            || name.starts_with("if-")
            || name.starts_with("mcp-")
            || name.starts_with("sec-")
            || name.starts_with("access-control-")
            || name.starts_with("accept")
            || matches!(
                name,
                "expect" | "host" | "last-event-id" | "origin" | "range" | "referer" | "transfer-encoding" | "upgrade"
            );
        if !stays {
            headers.append(name, value);
        }
    }
    headers
}

/// A body that holds one message's answer, or those of a batch.
pub fn gathered<S>(answers: &[String], batch: bool) -> Response<S> {
    match answers {
        // Nobody waits for any of it (§ "Sending Messages to the Server").
        [] => Response { status: 202, headers: Headers::new(), body: Body::Empty },
        [one] if !batch => json_rpc::respond(200, one.clone()),
        all => json_rpc::respond(200, format!("[{}]", all.join(","))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Scheme;

    fn tool(name: &str) -> Tool {
        Tool {
            name: name.to_owned(),
            definition: format!("{{\"name\":\"{name}\"}}"),
            method: "GET".to_owned(),
            base: String::new(),
            path: Vec::new(),
            arguments: Vec::new(),
            body: None,
            headers: Vec::new(),
            output: None,
        }
    }

    fn server() -> Mcp {
        Mcp {
            name: "shop".to_owned(),
            title: None,
            version: "1".to_owned(),
            instructions: None,
            tools: ["a", "b", "c"].map(tool).to_vec(),
            page: 2,
            request_bytes: 1,
            answer_bytes: 1,
            origins: vec![OriginRule::Exact("https://app.example".to_owned())],
            host: None,
            resource: None,
        }
    }

    #[test]
    fn tools_are_listed_page_by_page() {
        let server = server();
        assert_eq!(server.list(None).as_deref(), Ok(r#"{"tools":[{"name":"a"},{"name":"b"}],"nextCursor":"tools-2"}"#));
        assert_eq!(server.list(Some("tools-2")).as_deref(), Ok(r#"{"tools":[{"name":"c"}]}"#));
        for cursor in ["", "tools-", "tools-0", "tools-3", "tools--1", "tools-99999999999999999999", "2"] {
            assert!(server.list(Some(cursor)).is_err(), "{cursor}");
        }
    }

    #[test]
    fn a_version_is_agreed_on() {
        assert_eq!(negotiate("2025-03-26"), "2025-03-26");
        assert_eq!(negotiate("1999-01-01"), VERSIONS[0]);
        let with = |version: &str| {
            let mut headers = Headers::new();
            headers.set("mcp-protocol-version", version);
            headers
        };
        assert_eq!(version(&Headers::new()), Some("2025-03-26"));
        assert_eq!(version(&with("2025-11-25")), Some("2025-11-25"));
        assert_eq!(version(&with("1999-01-01")), None);
        assert!(takes_batches("2025-03-26") && !takes_batches("2025-06-18"));
    }

    #[test]
    fn pages_call_only_where_they_may() {
        let server = server();
        for (block, expected) in [
            ("", true),
            ("origin\0https://app.example\n", true),
            ("origin\0https://evil.example\n", false),
            ("origin\0null\n", false),
            ("origin\0https://app.example\norigin\0https://evil.example\n", false),
            ("origin\0\u{e9}\n", false),
        ] {
            assert_eq!(server.lets_in(&Headers::from_block(block.as_bytes().to_vec())), expected, "{block}");
        }
    }

    #[test]
    fn a_refusal_says_where_tokens_are_to_be_had() {
        let resource = ProtectedResource {
            resource: None,
            path: "/mcp".to_owned(),
            servers: vec!["https://idp.example".to_owned()],
            scopes: vec!["a".to_owned(), "b".to_owned()],
            name: None,
        };
        let server = Mcp { resource: Some(resource), ..server() };
        let line = Line {
            method: "POST".to_owned(),
            scheme: Scheme::Http,
            authority: "gate.example:8080".to_owned(),
            host: "gate.example".to_owned(),
            path: "/mcp".to_owned(),
            query: None,
        };
        let client = Client::resolve(crate::http::Peer::default(), Scheme::Https, &Headers::new(), &[]);
        let told = "resource_metadata=\"https://gate.example:8080/.well-known/oauth-protected-resource/mcp\"";
        for (status, block, expected) in [
            (401, "", vec![format!("Bearer {told}, scope=\"a b\"")]),
            (401, "www-authenticate\0Bearer\n", vec![format!("Bearer {told}")]),
            (
                401,
                "www-authenticate\0Basic realm=\"x\"\nwww-authenticate\0bearer error=\"invalid_token\"\n",
                vec!["Basic realm=\"x\"".to_owned(), format!("bearer error=\"invalid_token\", {told}")],
            ),
            (403, "", vec![]),
            (200, "", vec![]),
        ] {
            let headers = Headers::from_block(block.as_bytes().to_vec());
            let mut response = Response { status, headers, body: Body::<()>::Empty };
            server.tell_where_to_log_in(&line, &client, &mut response);
            let lines: Vec<_> = response.headers.all("www-authenticate").map(String::from_utf8_lossy).collect();
            assert_eq!(lines, expected, "{status} {block}");
        }
    }
}
