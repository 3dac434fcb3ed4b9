//! What a step sends, made from what is known when it begins.

use super::outcome::Failure;
use super::{Format, Step};
use crate::errand;
use crate::http::Headers;
use crate::request::Line;
use crate::template::{Fill, Scope, Template};
use bytes::Bytes;

/// One request of a step.
#[derive(Debug, Clone)]
pub struct Sending {
    /// What it asks for, of the host that the client has asked.
    pub line: Line,
    /// Its own fields, and those of the client's that go with it.
    pub headers: Headers,
    /// What it sends; `None`: nothing.
    pub body: Option<Bytes>,
}

/// Fields of the client's request that every call carries, so that it can be told which request it belongs to.
const CORRELATION: [&str; 4] = ["traceparent", "tracestate", "baggage", "x-request-id"];

/// Fields in which proxies tell of the client.
pub const FORWARDED: [&str; 5] =
    ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-prefix", "forwarded"];

/// Makes a step's request. `asked` are the fields of the client's.
///
/// # Errors
/// Where something of the path is not there, or cannot stand in a path. What else is not there is left out.
pub fn write(step: &Step, scope: &Scope<'_>, asked: &Headers) -> Result<Sending, Failure> {
    let path = path_of(&step.path, scope)?;
    let query: Vec<String> = step
        .query
        .iter()
        .filter_map(|(name, value)| {
            let value = there(value, scope)?;
            Some(format!("{}={}", errand::encode(name), errand::encode(&value)))
        })
        .collect();
    let mut headers = Headers::new();
    // What is read must not be packed, and what is packed in spite of that is unpacked, where that is known.
    headers.set("accept-encoding", "identity");
    match step.format {
        Format::Json => headers.set("accept", "application/json"),
        Format::Xml => headers.set("accept", "application/xml, text/xml"),
        Format::Text => {}
    }
    // What trusted proxies say of the client goes on as it does with a request that is forwarded.
    let hops: &[&str] = if scope.client.through_trusted { &FORWARDED } else { &[] };
    let named = step.forward_headers.iter().map(String::as_str);
    for name in CORRELATION.iter().chain(hops).copied().chain(named) {
        let lines: Vec<&[u8]> = asked.all(name).collect();
        for (at, line) in lines.into_iter().enumerate() {
            if at == 0 {
                headers.set(name, line);
            } else {
                headers.append(name, line);
            }
        }
    }
    let body = step.body.as_ref().map(|blueprint| {
        headers.set("content-type", "application/json");
        let value = blueprint.build(scope);
        Bytes::from(value.map_or_else(|| "null".to_owned(), |value| value.to_text()))
    });
    for (name, value) in &step.headers {
        if let Some(value) = there(value, scope) {
            headers.set(name, value);
        }
    }
    if let Some(body) = &body {
        headers.set("content-length", body.len().to_string());
    }
    let line = Line {
        method: step.method.clone(),
        path,
        query: (!query.is_empty()).then(|| query.join("&")),
        ..scope.line.clone()
    };
    Ok(Sending { line, headers, body })
}

/// A text, unless it is made of holes and comes to nothing.
fn there(template: &Template, scope: &Scope<'_>) -> Option<String> {
    let text = template.render(scope);
    (!text.is_empty() || template.as_literal().is_some()).then_some(text)
}

/// The path; all that it names is there.
fn path_of(template: &Template, scope: &Scope<'_>) -> Result<String, Failure> {
    let missing = template.pieces().iter().find(|piece| scope.value(piece).is_none());
    match missing {
        Some(piece) => Err(Failure::Missing(piece.to_string())),
        None => template.straight_path(scope).map_err(|_| Failure::BadPath),
    }
}
