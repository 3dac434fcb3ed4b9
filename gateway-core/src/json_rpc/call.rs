//! A plain request that becomes a call of a JSON-RPC server's method, and the answer to it: one of the actions that translate
//! ([`translate`]).

use super::{Answer, INVALID_PARAMS, Outcome, quoted, read_answer};
use crate::error::Error;
use crate::forward::Forward;
use crate::gateway::Substitute;
use crate::http::Body;
use crate::json::{Json, Kind};
#[cfg(feature = "queries")]
use crate::shape::query::Query;
use crate::shape::{Blueprint, Value};
use crate::template::Piece;
use crate::translate::{self, Answered, Asked, Failure};
use serde::{Deserialize, Serialize};
use serde_json::Map;
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

/// The one call in a request.
const ID: &str = "1";

impl RpcCall {
    /// Whether the parameters are made of the request's body.
    pub fn reads_body(&self) -> bool {
        self.params.as_ref().is_some_and(|params| asks(params, &|piece| matches!(piece, Piece::Document(_))))
    }

    /// What the server is sent.
    ///
    /// # Errors
    /// Where the request's body is no JSON, and parameters are made of it.
    pub fn request<S>(&self, asked: &Asked<'_>) -> Result<Substitute<S>, Error> {
        let body = asked.fill(self.reads_body(), |source| {
            let mut out = String::with_capacity(256);
            out.push_str("{\"jsonrpc\":\"2.0\",\"method\":");
            out.push_str(&quoted(&self.method));
            if let Some(params) = self.params.as_ref().and_then(|params| params.build(source)) {
                out.push_str(",\"params\":");
                out.push_str(&params.to_text());
            }
            if !self.notification {
                out.push_str(",\"id\":");
                out.push_str(ID);
            }
            out.push('}');
            Ok(out)
        })?;
        let target = self.forward.path.apply(&asked.scope)?;
        let headers = asked.fields("application/json", "application/json", body.len());
        Ok(Substitute { target, headers, body: Body::Bytes(body.into()) })
    }

    /// What the client gets of the server's answer, as JSON.
    ///
    /// # Errors
    /// Where the server has failed the call, or its answer is none.
    pub fn answer(&self, answered: &Answered) -> Result<Vec<u8>, Error> {
        let status = answered.status;
        if self.notification {
            return if status < 300 {
                Ok(Vec::new())
            } else {
                Err(translate::strange(status, told(status, "a failure")))
            };
        }
        let Some((text, parts)) = read_answer(&answered.body) else {
            return Err(translate::strange(status, told(status, "no JSON")));
        };
        let json = Json::new(text, &parts);
        let Some(answer) = Answer::read(json).filter(|answer| answer.is_for(ID)) else {
            return Err(translate::strange(status, told(status, "no answer to this call")));
        };
        let result = match answer.outcome {
            Outcome::Error(error) => return Err(Error::CallFailed(Box::new(self.failed(json, error)))),
            Outcome::Result(result) => Value::Part(json, result),
        };
        #[cfg(feature = "queries")]
        let result = match &self.result {
            Some(query) => query.answer(result).map_err(|reason| Error::UntranslatableResponse { reason })?,
            None => result,
        };
        Ok(translate::written(&result))
    }

    fn failed(&self, json: Json<'_>, error: u32) -> Failure {
        let member =
            |name: &str| json.members(error).find(|(known, _)| json.text(*known) == name).map(|(_, value)| value);
        let code = member("code").and_then(|code| json.raw(code).parse::<i64>().ok()).unwrap_or_default();
        let is_text = |part: &u32| json.kind(*part) == Kind::Text;
        let message = member("message").filter(is_text).map_or(Cow::Borrowed(""), |message| json.text(message));
        let detail =
            if message.is_empty() { format!("The call ended with the error {code}.") } else { message.into_owned() };
        let given = self.errors.iter().find(|(known, _)| *known == code).map(|(_, status)| *status);
        // That parameters are wrong is the client's fault, since they are made of its request; what else is, only the
        // configuration can know.
        let status = given.unwrap_or(if code == INVALID_PARAMS { 400 } else { 502 });
        let mut members = Map::new();
        members.insert("error_code".to_owned(), code.into());
        let data = member("data").and_then(|data| serde_json::from_str(json.whole(data)).ok());
        members.extend(data.map(|data| ("error_data".to_owned(), data)));
        Failure { status, detail, members }
    }
}

fn told(status: u16, what: &str) -> String {
    format!("with the status {status} came {what}")
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
