//! A plain request that becomes a call of a JSON-RPC server's method, and the answer to it.

use super::{Answer, INVALID_PARAMS, Outcome, quoted, read_answer};
use crate::error::Error;
use crate::forward::Forward;
use crate::gateway::Substitute;
use crate::http::{Body, Headers, Response};
use crate::json::{self, Json, Kind};
#[cfg(feature = "queries")]
use crate::shape::query::Query;
use crate::shape::{Blueprint, Value, value::Document};
use crate::template::{Piece, Scope};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Calls a stored method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RpcCall {
    /// Whose method it is.
    #[serde(rename = "f")]
    pub forward: Forward,
    /// The method.
    #[serde(rename = "m")]
    pub method: String,
    /// Its parameters: a list or an object.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub params: Option<Blueprint>,
    /// What of the result the client gets; `None`: all of it.
    #[cfg(feature = "queries")]
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Query>,
    /// Whether nobody waits for an answer.
    #[serde(rename = "n", default)]
    pub notification: bool,
    /// The statuses of errors, by their codes.
    #[serde(rename = "e", default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<(i64, u16)>,
    /// How many bytes of the request's body and of the answer are read.
    #[serde(rename = "b")]
    pub bytes: u64,
}

/// What a server says of a call that it has failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// The code.
    pub code: i64,
    /// The message.
    pub message: String,
    /// What else it says, as JSON.
    pub data: Option<String>,
    /// The status that the client gets.
    pub status: u16,
}

/// The one call in a request.
const ID: &str = "1";

impl RpcCall {
    /// Whether the parameters are made of the request's body.
    pub fn reads_body(&self) -> bool {
        self.params.as_ref().is_some_and(|params| asks(params, &|piece| matches!(piece, Piece::Document(_))))
    }

    /// Whether they are made of the request's fields.
    pub fn asks_request(&self) -> bool {
        self.params.as_ref().is_some_and(|params| asks(params, &Piece::asks_request))
    }

    /// The request that is sent in the place of the client's. `headers` are the client's, and `body` what it has sent, if that
    /// is asked for.
    ///
    /// # Errors
    /// Where the body is no JSON.
    pub fn request(
        &self,
        scope: &Scope<'_>,
        target: String,
        headers: &Headers,
        body: &Bytes,
    ) -> Result<Substitute, Error> {
        let text = match std::str::from_utf8(body) {
            Ok(text) => text,
            Err(_) => return Err(Error::MalformedBody { reason: "The body is not UTF-8.".to_owned() }),
        };
        let parts = if text.is_empty() {
            Vec::new()
        } else {
            let limits = json::Limits::USUAL;
            json::read(text, &limits).map_err(|refused| crate::validation::refused(refused, &limits))?
        };
        let sent = if parts.is_empty() { Value::NULL } else { Value::new(Json::new(text, &parts)) };
        let document = Document("body", &sent);
        let scope = scope.with_documents(&document);
        let mut out = String::with_capacity(256);
        out.push_str("{\"jsonrpc\":\"2.0\",\"method\":");
        out.push_str(&quoted(&self.method));
        if let Some(params) = self.params.as_ref().and_then(|params| params.build(&scope)) {
            out.push_str(",\"params\":");
            out.push_str(&params.to_text());
        }
        if !self.notification {
            out.push_str(",\"id\":");
            out.push_str(ID);
        }
        out.push('}');
        let mut fields = Headers::new();
        for (name, value) in headers.iter().filter(|(name, _)| !is_of_the_message(name)) {
            fields.append(name, value);
        }
        fields.set("content-type", "application/json");
        fields.set("accept", "application/json");
        // What is packed could not be read.
        fields.set("accept-encoding", "identity");
        fields.set("content-length", out.len().to_string());
        Ok(Substitute { target, headers: fields, body: out.into() })
    }

    /// What the client gets of the server's answer, whose body has been read.
    ///
    /// # Errors
    /// Where the server has failed the call, or its answer is none.
    pub fn answer<S>(&self, status: u16, mut headers: Headers, body: &[u8]) -> Result<Response<S>, Error> {
        let none = |why: String| Error::UntranslatableResponse { reason: why };
        if self.notification {
            if status >= 300 {
                return Err(none(format!("the answer to a notification has the status {status}")));
            }
            keep(&mut headers);
            return Ok(Response { status: 204, headers, body: Body::Empty });
        }
        let Some((text, parts)) = read_answer(body) else {
            return Err(none(format!("with the status {status} came no JSON")));
        };
        let json = Json::new(text, &parts);
        let Some(answer) = Answer::read(json).filter(|answer| answer.is_for(ID)) else {
            return Err(none(format!("with the status {status} came no answer to this call")));
        };
        let result = match answer.outcome {
            Outcome::Error(error) => return Err(Error::RpcFailed(Box::new(self.failed(json, error)))),
            Outcome::Result(result) => result,
        };
        #[cfg(feature = "queries")]
        let body = match &self.result {
            Some(query) => query.answer(Value::Part(json, result)).map_err(none)?.to_text(),
            None => Value::Part(json, result).to_text(),
        };
        #[cfg(not(feature = "queries"))]
        let body = Value::Part(json, result).to_text();
        keep(&mut headers);
        headers.set("content-type", "application/json");
        headers.set("content-length", body.len().to_string());
        Ok(Response { status: 200, headers, body: Body::Bytes(body.into()) })
    }

    fn failed(&self, json: Json<'_>, error: u32) -> Failed {
        let member =
            |name: &str| json.members(error).find(|(known, _)| json.text(*known) == name).map(|(_, value)| value);
        let code = member("code").and_then(|code| json.raw(code).parse().ok()).unwrap_or_default();
        let is_text = |part: &u32| json.kind(*part) == Kind::Text;
        let message = member("message").filter(is_text).map_or(Cow::Borrowed(""), |message| json.text(message));
        let told = self.errors.iter().find(|(known, _)| *known == code).map(|(_, status)| *status);
        // That parameters are wrong is the client's fault, since they are made of its request; what else is, only the
        // configuration can know.
        let status = told.unwrap_or(if code == INVALID_PARAMS { 400 } else { 502 });
        let data = member("data").map(|data| json.whole(data).to_owned());
        Failed { code, message: message.into_owned(), data, status }
    }
}

/// Whether a hole of a value is such a one.
fn asks(blueprint: &Blueprint, is: &dyn Fn(&Piece) -> bool) -> bool {
    match blueprint {
        Blueprint::Raw(_) => false,
        Blueprint::Text(template) => template.has(is),
        Blueprint::List(items) => items.iter().any(|item| asks(item, is)),
        Blueprint::Object(members) => members.iter().any(|(_, value)| asks(value, is)),
    }
}

/// What says something of the client's message, and nothing of the call.
fn is_of_the_message(name: &str) -> bool {
    name.starts_with("content-")
        || name.starts_with("if-")
        || matches!(name, "accept" | "accept-encoding" | "expect" | "range" | "transfer-encoding" | "upgrade" | "host")
}

/// Leaves of the answer's fields those that say nothing of its body.
fn keep(headers: &mut Headers) {
    let goes = |name: &str| name.starts_with("content-") || matches!(name, "etag" | "last-modified" | "accept-ranges");
    let gone: Vec<String> = headers.iter().map(|(name, _)| name).filter(|name| goes(name)).map(str::to_owned).collect();
    gone.iter().for_each(|name| headers.remove(name));
}
