//! Actions that translate: a request becomes one of another protocol's, and its answer one for the client.
//!
//! Each protocol has two plain functions, one that makes the request and one that makes the answer, and is a variant of
//! [`Translation`]; what lies between them (the body that is read, the upstream that is asked, what becomes of failures) is the
//! same for all of them and stands in [`Gateway`](crate::Gateway). One more protocol is one more variant.

use crate::error::Error;
use crate::forward::Forward;
use crate::gateway::Substitute;
#[cfg(feature = "graphql")]
use crate::graphql::StoredQuery;
use crate::http::{self, Headers};
use crate::json::{self, Json};
#[cfg(feature = "json_rpc")]
use crate::json_rpc::RpcCall;
#[cfg(feature = "queries")]
use crate::shape::query::Query;
use crate::shape::value::Document;
use crate::shape::{Path, Value};
#[cfg(feature = "soap")]
use crate::soap::Soap;
use crate::template::function::{self, Function};
use crate::template::{Fill, Piece, Scope};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// A protocol that an upstream speaks and its clients do not.
#[derive(Debug, Clone, Copy)]
pub enum Translation<'a> {
    /// A GraphQL query that the configuration holds.
    #[cfg(feature = "graphql")]
    Graphql(&'a StoredQuery),
    /// A SOAP message.
    #[cfg(feature = "soap")]
    Soap(&'a Soap),
    /// A call of JSON-RPC.
    #[cfg(feature = "json_rpc")]
    JsonRpc(&'a RpcCall),
}

/// A request that is to be translated.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// What templates see of it, its fields included.
    pub scope: Scope<'a>,
    /// Its fields, as the policies have left them.
    pub headers: &'a Headers,
    /// Its body; empty where nobody looks at it.
    pub body: &'a Bytes,
}

/// An answer that is to be translated, read whole and unpacked.
#[derive(Debug)]
pub struct Answered {
    /// Its status.
    pub status: u16,
    /// Its fields.
    pub headers: Headers,
    /// Its body.
    pub body: Bytes,
}

/// An upstream has answered, in its own protocol's words, that it has failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What the client gets for it, by the rules of the configuration.
    pub status: u16,
    /// What went wrong, told to the client.
    pub detail: String,
    /// What else is told, as members of the problem details.
    pub members: serde_json::Map<String, serde_json::Value>,
}

/// What of an answer the client gets.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Wanted {
    /// This part; without it, all.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub pick: Option<Path>,
    /// What that is asked for.
    #[cfg(feature = "queries")]
    #[serde(rename = "q", default, skip_serializing_if = "Option::is_none")]
    pub query: Option<Query>,
}

impl Wanted {
    /// It of this value; what is not there is null.
    ///
    /// # Errors
    /// Where the query cannot be answered.
    pub fn of<'v>(&self, value: Value<'v>) -> Result<Value<'v>, Error> {
        let picked = match &self.pick {
            Some(path) => value.get(path.steps()).unwrap_or(Value::NULL),
            None => value,
        };
        #[cfg(feature = "queries")]
        if let Some(query) = &self.query {
            return query.answer(picked).map_err(|why| Error::UntranslatableResponse {
                reason: format!("the query over the answer cannot be answered: {why}"),
            });
        }
        Ok(picked)
    }
}

/// A value as it is sent.
pub fn written(value: &Value<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    value.write(&mut out);
    out
}

impl<'a> Translation<'a> {
    /// To whom it goes.
    pub fn forward(self) -> &'a Forward {
        match self {
            #[cfg(feature = "graphql")]
            Translation::Graphql(stored) => &stored.forward,
            #[cfg(feature = "soap")]
            Translation::Soap(soap) => &soap.forward,
            #[cfg(feature = "json_rpc")]
            Translation::JsonRpc(call) => &call.forward,
        }
    }

    /// How many bytes of the request's body are read; `None`: nobody looks at it.
    pub fn request_limit(self) -> Option<u64> {
        match self {
            #[cfg(feature = "graphql")]
            Translation::Graphql(stored) => stored.reads_body.then_some(stored.request_limit),
            #[cfg(feature = "soap")]
            Translation::Soap(soap) => soap.reads_body.then_some(soap.request_limit),
            #[cfg(feature = "json_rpc")]
            Translation::JsonRpc(call) => call.reads_body().then_some(call.bytes),
        }
    }

    /// How many bytes of the answer's body are read.
    pub fn answer_limit(self) -> u64 {
        match self {
            #[cfg(feature = "graphql")]
            Translation::Graphql(stored) => stored.answer_limit,
            #[cfg(feature = "soap")]
            Translation::Soap(soap) => soap.answer_limit,
            #[cfg(feature = "json_rpc")]
            Translation::JsonRpc(call) => call.bytes,
        }
    }

    /// What the upstream is sent.
    ///
    /// # Errors
    /// Where the request does not hold what is needed for it.
    pub fn request<S>(self, asked: &Asked<'_>) -> Result<Substitute<S>, Error> {
        match self {
            #[cfg(feature = "graphql")]
            Translation::Graphql(stored) => stored.request(asked),
            #[cfg(feature = "soap")]
            Translation::Soap(soap) => soap.request(asked),
            #[cfg(feature = "json_rpc")]
            Translation::JsonRpc(call) => call.request(asked),
        }
    }

    /// What the client gets of the answer, as JSON.
    ///
    /// # Errors
    /// Where the answer tells of a failure, or is none.
    pub fn answer(self, answered: &Answered) -> Result<Vec<u8>, Error> {
        match self {
            #[cfg(feature = "graphql")]
            Translation::Graphql(stored) => stored.answer(answered),
            #[cfg(feature = "soap")]
            Translation::Soap(soap) => soap.answer(answered),
            #[cfg(feature = "json_rpc")]
            Translation::JsonRpc(call) => call.answer(answered),
        }
    }

    /// Whether nobody waits for an answer: the client gets none.
    pub fn is_one_way(self) -> bool {
        match self {
            #[cfg(feature = "graphql")]
            Translation::Graphql(_) => false,
            #[cfg(feature = "soap")]
            Translation::Soap(_) => false,
            #[cfg(feature = "json_rpc")]
            Translation::JsonRpc(call) => call.notification,
        }
    }
}

impl Asked<'_> {
    /// Hands on what fills templates: parameters of the path decoded, since what they become part of is no address, and the parts
    /// of a JSON body where somebody names some (`reads`).
    ///
    /// # Errors
    /// Where the body is no JSON.
    pub fn fill<T>(&self, reads: bool, then: impl FnOnce(&dyn Fill) -> Result<T, Error>) -> Result<T, Error> {
        if !reads || self.body.is_empty() {
            return then(&Decoded(self.scope));
        }
        if !self.headers.is_json() {
            return Err(Error::UnsupportedMediaType { accept: vec!["application/json".to_owned()] });
        }
        if !crate::validation::is_plain(self.headers) {
            return Err(Error::UnsupportedContentCoding);
        }
        let Ok(text) = std::str::from_utf8(self.body) else {
            return Err(Error::MalformedBody { reason: "The body is not UTF-8.".to_owned() });
        };
        let limits = json::Limits::USUAL;
        let parts = json::read(text, &limits).map_err(|why| crate::validation::refused(why, &limits))?;
        let value = Value::new(Json::new(text, &parts));
        let document = Document("body", &value);
        then(&Decoded(self.scope.with_documents(&document)))
    }

    /// The client's fields as they go on with another body of this type: without what spoke of the body that came, or asked for
    /// a part of the answer or for none at all.
    pub fn fields(&self, content_type: &str, accept: &str, length: usize) -> Headers {
        let mut headers = self.headers.clone();
        for name in ABOUT_THE_MESSAGE {
            headers.remove(name);
        }
        headers.set("content-type", content_type);
        headers.set("accept", accept);
        headers.set("accept-encoding", "identity");
        headers.set("content-length", length.to_string());
        headers
    }
}

/// Fields of a request that speak of its body, or of the answer's.
const ABOUT_THE_MESSAGE: [&str; 15] = [
    "content-encoding",
    "content-language",
    "content-location",
    "content-md5",
    "digest",
    "content-digest",
    "repr-digest",
    "range",
    "if-range",
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
    "soapaction",
    "expect",
];

/// Says of an answer what is true of the JSON that it has become.
pub fn describe(headers: &mut Headers, length: usize) {
    headers.forget_body();
    headers.set("content-type", "application/json");
    headers.set("content-length", length.to_string());
}

/// Why an answer of another kind is none: a failure of its own status where it has one, or else of ours.
pub fn strange(status: u16, reason: String) -> Error {
    if status < 400 {
        return Error::UntranslatableResponse { reason };
    }
    let detail = format!("The upstream has answered with the status {status}.");
    Error::CallFailed(Box::new(Failure { status, detail, members: serde_json::Map::new() }))
}

struct Decoded<'a>(Scope<'a>);

impl Fill for Decoded<'_> {
    fn value<'s>(&'s self, piece: &'s Piece) -> Option<Cow<'s, str>> {
        match piece {
            Piece::Parameter(name) => {
                let text = self.0.parameters.get(name)?;
                let text = String::from_utf8_lossy(&http::percent_decode(text)).into_owned();
                (!text.is_empty()).then_some(text.into())
            }
            // Who decodes it gets it as it is.
            Piece::Piped(_, functions) if functions.contains(&Function::UrlDecode) => self.0.value(piece),
            Piece::Piped(piece, functions) => function::apply(self.value(piece), functions),
            Piece::Text(_) | Piece::Variable(_) | Piece::Reference(_) | Piece::Member(..) | Piece::Document(_) => {
                self.0.value(piece)
            }
        }
    }

    fn part(&self, path: &Path) -> Option<Value<'_>> {
        self.0.part(path)
    }
}

/// The code and message of a request that cannot be translated.
pub fn untranslatable(reason: impl Into<String>) -> Error {
    Error::UntranslatableRequest { reason: reason.into() }
}

/// What a status is for a word: of several rules the first that fits.
pub fn status_of<'a>(rules: &[(String, u16)], words: impl IntoIterator<Item = &'a str>) -> Option<u16> {
    words.into_iter().find_map(|word| rules.iter().find(|(known, _)| known == word).map(|(_, status)| *status))
}
