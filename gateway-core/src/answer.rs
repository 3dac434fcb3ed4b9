//! Answers that need no upstream: redirects, fixed responses, and the automatic answer to `OPTIONS`.

use crate::http::{Body, Headers, Response};
use crate::template::{Scope, Template};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Sends the client somewhere else (RFC 9110 §15.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirect {
    /// The new place: a URL, or a path on the same host.
    pub to: Template,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// Whether the request's query is put behind it.
    pub keep_query: bool,
}

impl Redirect {
    /// The answer. What a client sends cannot make a path into another host: `//evil.example` loses a slash.
    pub fn answer<S>(&self, scope: &Scope<'_>) -> Response<S> {
        let mut location = self.to.render(scope);
        // Browsers leave TAB, CR and LF out wherever they stand (URL §4.4): what is behind one would be read as if it stood at the
        // beginning.
        location.retain(|c| !c.is_ascii_control());
        if location.starts_with("//") || location.starts_with("/\\") {
            location = format!("/{}", location.trim_start_matches(['/', '\\']));
        }
        if self.keep_query
            && let Some(query) = &scope.line.query
        {
            // A fragment stays the last (RFC 3986 §3).
            let fragment = location.find('#').map(|at| location.split_off(at));
            location.push(if location.contains('?') { '&' } else { '?' });
            location.push_str(query);
            location.push_str(fragment.as_deref().unwrap_or_default());
        }
        let mut headers = Headers::new();
        headers.set("location", location);
        headers.set("content-length", "0");
        Response { status: self.status, headers, body: Body::Bytes(Bytes::new()) }
    }
}

/// Answers at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Respond {
    /// 200 to 599.
    pub status: u16,
    /// Header fields, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, Template)>,
    /// The body; `None` where the status allows none (RFC 9110 §6.4.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Template>,
}

impl Respond {
    /// The answer, with its `Content-Length`.
    pub fn answer<S>(&self, scope: &Scope<'_>) -> Response<S> {
        let mut headers = Headers::new();
        for (name, value) in &self.headers {
            headers.append(name, value.render(scope));
        }
        let body = match &self.body {
            Some(body) => {
                let body = Bytes::from(body.render(scope));
                if !headers.contains("content-type") {
                    headers.set("content-type", "text/plain; charset=utf-8");
                }
                headers.set("content-length", body.len().to_string());
                Body::Bytes(body)
            }
            None => {
                if !matches!(self.status, 204 | 304) {
                    headers.set("content-length", "0");
                }
                Body::Empty
            }
        };
        Response { status: self.status, headers, body }
    }
}

/// Takes one of the servers away that an `OPTIONS` may go on to (RFC 9110 §7.6.2). Whether there is one left.
pub fn goes_on(headers: &mut Headers) -> bool {
    let Some(left) = headers.text("max-forwards").and_then(|left| left.parse::<u32>().ok()) else { return true };
    if left > 0 {
        headers.set("max-forwards", (left - 1).to_string());
    }
    left > 0
}

/// What `OPTIONS` is answered where no route takes it itself (RFC 9110 §9.3.7). Without methods, any may be.
pub fn options<S>(allow: &[String]) -> Response<S> {
    let mut headers = Headers::new();
    if !allow.is_empty() {
        headers.set("allow", allow.join(", "));
    }
    Response { status: 204, headers, body: Body::Empty }
}
