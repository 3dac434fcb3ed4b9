//! Looks into JSON-RPC 2.0: what is no message is refused, methods are allowed or not, and batches are split.
//!
//! The policies behind it see one call at a time, each with its own body and `{json_rpc.method}`; those before it see the
//! request once. What any of them refuses, the client gets as an error object.

use super::transform::drop_body;
use super::{Departure, Flow, Visit};
use crate::answer;
use crate::error::Error;
use crate::http::Body;
use crate::json_rpc::{self, Content, Fault, INVALID_PARAMS, INVALID_REQUEST, Limits, METHOD_NOT_FOUND, Message};
use crate::platform::Platform;
use crate::schema::SchemaId;
use crate::validation::{self, Violation};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What is taken of JSON-RPC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JsonRpc {
    /// How many bytes of a request are read, and of each answer in a batch.
    #[serde(rename = "b")]
    pub bytes: u64,
    /// How deep lists and objects may stand in each other.
    #[serde(rename = "d")]
    pub depth: u32,
    /// What becomes of batches.
    #[serde(rename = "x")]
    pub batch: Batch,
    /// How many messages a batch may have.
    #[serde(rename = "n")]
    pub most: usize,
    /// Only these methods, where any are named: names, or beginnings with `*` behind them.
    #[serde(rename = "a", default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// Not these, even if they are among the others.
    #[serde(rename = "z", default, skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<String>,
    /// What the parameters of methods must be like.
    #[serde(rename = "p", default, skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<(String, SchemaId)>,
    /// Whether messages that nobody waits for are taken.
    #[serde(rename = "q")]
    pub notifications: bool,
    /// Which status errors have.
    #[serde(rename = "s")]
    pub statuses: Statuses,
}

/// What becomes of batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Batch {
    /// They are refused.
    #[serde(rename = "r")]
    Refuse,
    /// They go on as they are, when each message in them may.
    #[serde(rename = "p")]
    Pass,
    /// Each message goes on alone, so many at a time.
    #[serde(rename = "s")]
    Split(u32),
}

/// Which status errors of JSON-RPC have. A refusal by another policy keeps its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Statuses {
    /// 200: there is an answer.
    #[serde(rename = "o")]
    Ok,
    /// 400, and 404 for unknown methods.
    #[serde(rename = "h")]
    Http,
}

/// The call that a request is, for those who come later.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Called {
    /// The method; empty where a batch goes on as it is.
    pub method: String,
    /// The identifier, as JSON; `None`: nobody waits for an answer.
    pub id: Option<String>,
}

/// A batch that is to be split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// What comes of each message: a call, or an error that is known already.
    pub entries: Vec<Result<Entry, String>>,
    /// How many go on at a time.
    pub at_once: usize,
    /// How many bytes of each answer are read.
    pub bytes: usize,
}

/// A message of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it calls.
    pub called: Called,
    /// The message.
    pub body: Bytes,
}

/// How many violations an error tells.
const MOST_VIOLATIONS: usize = 10;

impl JsonRpc {
    /// Whether a request may go on, and as what.
    pub async fn on_request<P: Platform>(&self, visit: &mut Visit<'_, P>) -> Result<Flow<P::Stream>, Error> {
        let allow = || ["POST", "OPTIONS"].map(str::to_owned);
        match visit.line.method.as_str() {
            "POST" => {}
            "OPTIONS" => return Ok(Flow::Respond(answer::options(&allow()))),
            _ => return Err(Error::MethodNotAllowed { allow: allow().into() }),
        }
        if !visit.headers.is_json() || visit.headers.all("content-type").count() != 1 {
            return Err(Error::UnsupportedMediaType { accept: vec!["application/json".to_owned()] });
        }
        if !validation::is_plain(visit.headers) {
            return Err(Error::UnsupportedContentCoding);
        }
        let bytes = visit.read_body(self.bytes).await?;
        let limits = Limits { batch: self.most, depth: self.depth };
        let refused = |fault: Fault| Error::JsonRpc(Box::new(self.statused(fault)));
        let parts = json_rpc::parts(&bytes, &limits).map_err(refused)?;
        match json_rpc::read(&bytes, &parts, &limits).map_err(refused)? {
            Content::Single(message) => {
                let called = self.check(&message, visit);
                // An error about it is still its answer, or that of nobody.
                visit.memo.called = Some(Called { method: String::new(), id: message.id.map(str::to_owned) });
                visit.memo.called = Some(called.map_err(refused)?);
            }
            Content::Batch(messages) => match self.batch {
                Batch::Refuse => return Err(refused(Fault::new(INVALID_REQUEST, "Batches are not taken here."))),
                Batch::Pass => {
                    for message in messages {
                        self.check(&message.map_err(refused)?, visit).map_err(refused)?;
                    }
                    visit.memo.called = Some(Called { method: String::new(), id: Some("null".to_owned()) });
                }
                Batch::Split(at_once) => {
                    let entry = |message: Result<Message<'_>, Fault>| match message {
                        Ok(message) => match self.check(&message, visit) {
                            Ok(called) => Some(Ok(Entry { called, body: bytes.slice_ref(message.raw().as_bytes()) })),
                            // Of what becomes of a notification nobody is told (JSON-RPC 2.0 §4.1).
                            Err(_) if message.id.is_none() && message.method.is_some() => None,
                            Err(fault) => Some(Err(fault.to_json())),
                        },
                        Err(fault) => Some(Err(fault.to_json())),
                    };
                    let entries = messages.into_iter().filter_map(entry).collect();
                    let (at_once, bytes) = (at_once as usize, usize::try_from(self.bytes).unwrap_or(usize::MAX));
                    visit.memo.split = Some(Box::new(Split { entries, at_once, bytes }));
                }
            },
        }
        Ok(Flow::Continue)
    }

    /// Whether this policy takes a message.
    fn check<P: Platform>(&self, message: &Message<'_>, visit: &Visit<'_, P>) -> Result<Called, Fault> {
        let fault = |code, why: &'static str| Fault::new(code, why).for_call(message.id);
        let Some(method) = message.method.as_deref() else {
            return Err(fault(INVALID_REQUEST, "This is an answer, and nobody has asked."));
        };
        let named = |names: &[String]| names.iter().any(|name| is_named(name, method));
        if !self.allow.is_empty() && !named(&self.allow) || named(&self.deny) {
            return Err(fault(METHOD_NOT_FOUND, "There is no such method here.").with_status(404));
        }
        if message.id.is_none() && !self.notifications {
            return Err(fault(INVALID_REQUEST, "`id` is missing: notifications are not taken here."));
        }
        if let Some((_, schema)) = self.params.iter().find(|(name, _)| is_named(name, method)) {
            let found =
                json_rpc::check(&visit.validation.schemas, *schema, message.json(), message.params(), MOST_VIOLATIONS);
            let wrong = match found {
                Ok(findings) if findings.is_empty() => return Ok(called(method, message)),
                Ok(findings) => findings.into_iter().map(|finding| Violation {
                    place: "params",
                    name: None,
                    pointer: finding.pointer,
                    keyword: finding.keyword,
                    message: finding.message,
                }),
                Err(_) => return Err(fault(INVALID_PARAMS, "To check this would take too long.")),
            };
            let wrong: Vec<Violation> = wrong.collect();
            let data = serde_json::to_string(&wrong).ok().map(|errors| format!("{{\"errors\":{errors}}}"));
            return Err(Fault { data, ..fault(INVALID_PARAMS, "The parameters are not as they should be here.") });
        }
        Ok(called(method, message))
    }

    fn statused(&self, fault: Fault) -> Fault {
        match self.statuses {
            Statuses::Ok => fault.with_status(200),
            Statuses::Http => fault,
        }
    }

    /// Makes an error object of what others have refused; and nothing of the answer to what nobody waits for.
    pub fn on_response<P: Platform>(&self, departure: &mut Departure<'_, P>) {
        let Departure { platform, response, memo, from_upstream, .. } = departure;
        let Some(called) = &memo.called else { return };
        let is_success = (200..300).contains(&response.status);
        if called.id.is_none() {
            if is_success {
                response.status = 204;
            }
            drop_body(*platform, response);
            return;
        }
        let Body::Bytes(body) = &response.body else { return };
        if *from_upstream || response.headers.media_type() != "application/problem+json" {
            return;
        }
        let retry_after = response.headers.text("retry-after");
        let fault = Fault::of_problem(response.status, body, retry_after, called.id.as_deref());
        let body = Bytes::from(fault.to_json());
        response.headers.set("content-type", "application/json");
        response.headers.set("content-length", body.len().to_string());
        response.body = Body::Bytes(body);
        platform.watch().translated();
    }
}

fn called(method: &str, message: &Message<'_>) -> Called {
    Called { method: method.to_owned(), id: message.id.map(str::to_owned) }
}

/// Whether a method is this one, or one of these: `eth_*`.
fn is_named(name: &str, method: &str) -> bool {
    match name.strip_suffix('*') {
        Some(beginning) => method.starts_with(beginning),
        None => name == method,
    }
}
