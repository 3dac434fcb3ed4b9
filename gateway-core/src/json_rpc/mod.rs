//! JSON-RPC 2.0 (jsonrpc.org/specification): messages read within limits, and answers written.
//!
//! [`read`] tells what a body holds, [`Fault`] is an error object, [`answer`] makes one answer of what a call has brought.
//! [`call`] is the other direction: a plain request that becomes a call.

pub mod call;

pub use call::RpcCall;

use crate::error::TYPE;
use crate::http::{Body, Headers, Response};
use crate::json::{self, Json, Kind, Part};
use crate::schema::{Finding, SchemaId, Schemas, TooCostly};
use bytes::Bytes;
use std::borrow::Cow;
use std::fmt::Write;

/// What a body may hold at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many messages a batch may have.
    pub batch: usize,
    /// How deep lists and objects may stand in each other.
    pub depth: u32,
}

/// What a body holds.
#[derive(Debug)]
pub enum Content<'a> {
    /// One message.
    Single(Message<'a>),
    /// Several, at least one; each for itself may be none.
    Batch(Vec<Result<Message<'a>, Fault>>),
}

/// A message: something that is asked for, or an answer.
#[derive(Debug, Clone)]
pub struct Message<'a> {
    json: Json<'a>,
    part: u32,
    /// The method; `None`: it is an answer.
    pub method: Option<Cow<'a, str>>,
    /// The identifier, as JSON; `None`: nobody waits for an answer.
    pub id: Option<&'a str>,
    params: Option<u32>,
}

/// An error object, and whose answer it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Its number.
    pub code: i64,
    /// One sentence for whoever calls.
    pub message: Cow<'static, str>,
    /// What else there is to say, as JSON.
    pub data: Option<String>,
    /// The identifier of the call, as JSON; `None`: it cannot be told.
    pub id: Option<String>,
    /// The status of the answer in HTTP.
    pub status: u16,
}

/// -32700: it is no JSON.
pub const PARSE_ERROR: i64 = -32_700;
/// -32600: it is no message.
pub const INVALID_REQUEST: i64 = -32_600;
/// -32601: there is no such method, or it is not for the caller.
pub const METHOD_NOT_FOUND: i64 = -32_601;
/// -32602: the parameters are not those of the method.
pub const INVALID_PARAMS: i64 = -32_602;
/// -32603: there is no answer.
pub const INTERNAL_ERROR: i64 = -32_603;
/// Of the numbers that are left to servers: the gateway has refused the call.
pub const REFUSED: i64 = -32_000;

/// The members of a call.
const MEMBERS: [&str; 4] = ["jsonrpc", "method", "params", "id"];

/// The longest identifier, in bytes of JSON: it stands in the answer again.
const LONGEST_ID: usize = 256;

/// Which parts a body has. `Err` is the answer.
pub fn parts(text: &[u8], limits: &Limits) -> Result<Vec<Part>, Fault> {
    let Ok(text) = std::str::from_utf8(text) else {
        return Err(Fault::new(PARSE_ERROR, "The body is not UTF-8."));
    };
    let limits = json::Limits { depth: limits.depth, ..json::Limits::USUAL };
    json::read(text, &limits).map_err(|refused| match refused {
        json::Refused::Syntax(at) => Fault::new(PARSE_ERROR, format!("The body is not JSON from byte {at} on.")),
        json::Refused::Depth => Fault::new(INVALID_REQUEST, "Lists and objects stand too deep in each other."),
        json::Refused::Duplicate => Fault::new(INVALID_REQUEST, "An object has two members of one name."),
        json::Refused::Members | json::Refused::Items | json::Refused::Text | json::Refused::Name => {
            Fault::new(INVALID_REQUEST, "There is too much of something.")
        }
    })
}

/// What a body holds whose parts are known. `Err` is the answer to all of it.
pub fn read<'a>(text: &'a [u8], parts: &'a [Part], limits: &Limits) -> Result<Content<'a>, Fault> {
    let json = Json::new(std::str::from_utf8(text).unwrap_or_default(), parts);
    match json.kind(0) {
        Kind::Object => Message::read(json, 0).map(Content::Single),
        Kind::List => {
            let most = limits.batch;
            match json.items(0).take(most.saturating_add(1)).count() {
                0 => Err(Fault::new(INVALID_REQUEST, "The batch is empty.")),
                count if count > most => {
                    Err(Fault::new(INVALID_REQUEST, format!("The batch has more than {most} messages.")))
                }
                _ => Ok(Content::Batch(json.items(0).map(|item| Message::read(json, item)).collect())),
            }
        }
        Kind::Null | Kind::Bool | Kind::Number | Kind::Text | Kind::Name => {
            Err(Fault::new(INVALID_REQUEST, "A message is an object."))
        }
    }
}

impl<'a> Message<'a> {
    fn read(json: Json<'a>, part: u32) -> Result<Self, Fault> {
        if json.kind(part) != Kind::Object {
            return Err(Fault::new(INVALID_REQUEST, "A message is an object."));
        }
        let member =
            |name: &str| json.members(part).find(|(known, _)| json.text(*known) == name).map(|(_, value)| value);
        let id = match member("id") {
            None => None,
            Some(id) => match json.kind(id) {
                Kind::Null | Kind::Number | Kind::Text if json.whole(id).len() <= LONGEST_ID => Some(json.whole(id)),
                Kind::Null | Kind::Number | Kind::Text => {
                    return Err(Fault::new(INVALID_REQUEST, "`id` is too long."));
                }
                Kind::Bool | Kind::List | Kind::Object | Kind::Name => {
                    return Err(Fault::new(INVALID_REQUEST, "`id` is a string, a number or null."));
                }
            },
        };
        let bad = |why: &'static str| Err(Fault::new(INVALID_REQUEST, why).for_call(id));
        // A server that ignores case takes the last of two, and that is not the one that we look at.
        let misspelt =
            |name: &str| MEMBERS.iter().any(|known| name != *known && json::is_same_without_case(name, known));
        if json.members(part).any(|(name, _)| misspelt(&json.text(name))) {
            return bad("A member is written in a way that servers read differently.");
        }
        let is_text = |part: u32| json.kind(part) == Kind::Text;
        if !member("jsonrpc").is_some_and(|version| is_text(version) && json.text(version) == "2.0") {
            return bad("`jsonrpc` is not \"2.0\".");
        }
        let method = match member("method") {
            Some(method) if is_text(method) => Some(json.text(method)),
            Some(_) => return bad("`method` is a string."),
            // An answer says one of the two.
            None if member("result").is_some() != member("error").is_some() => None,
            None => return bad("`method` is missing."),
        };
        let params = member("params");
        if params.is_some_and(|params| !matches!(json.kind(params), Kind::List | Kind::Object)) {
            return bad("`params` is a list or an object.");
        }
        Ok(Self { json, part, method, id, params })
    }

    /// The message as it was written.
    pub fn raw(&self) -> &'a str {
        self.json.raw(self.part)
    }

    /// The parameters: a list or an object, by its number in [`Message::json`].
    pub fn params(&self) -> Option<u32> {
        self.params
    }

    /// What it is a part of.
    pub fn json(&self) -> Json<'a> {
        self.json
    }

    /// One of the parameters, by its name.
    pub fn param(&self, name: &str) -> Option<u32> {
        let params = self.params.filter(|params| self.json.kind(*params) == Kind::Object)?;
        let mut members = self.json.members(params);
        members.find(|(known, _)| self.json.text(*known) == name).map(|(_, value)| value)
    }
}

impl Fault {
    /// An error in a message that cannot be answered otherwise.
    pub fn new(code: i64, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), data: None, id: None, status: 400 }
    }

    /// The same for the call with this identifier.
    pub fn for_call(self, id: Option<&str>) -> Self {
        Self { id: id.map(str::to_owned), ..self }
    }

    /// The same with another status in HTTP.
    pub fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// The whole answer.
    pub fn to_json(&self) -> String {
        let mut out = String::with_capacity(128);
        out.push_str("{\"jsonrpc\":\"2.0\",\"error\":{\"code\":");
        // A String takes whatever is written.
        let _ = write!(out, "{},\"message\":{}", self.code, quoted(&self.message));
        if let Some(data) = &self.data {
            let _ = write!(out, ",\"data\":{data}");
        }
        let _ = write!(out, "}},\"id\":{}}}", self.id.as_deref().unwrap_or("null"));
        out
    }

    /// What a refusal of the gateway's becomes: the problem's title and detail, and the problem as `data`.
    pub fn of_problem(status: u16, problem: &[u8], retry_after: Option<&str>, id: Option<&str>) -> Self {
        let found = std::str::from_utf8(problem).ok().and_then(|text| Some((text, json::read(text, &USUAL).ok()?)));
        let Some((text, parts)) = found else {
            return Self::of_status(status, id);
        };
        let json = Json::new(text, &parts);
        let said = |name: &str| {
            let mut members = json.members(0);
            members.find(|(known, _)| json.text(*known) == name).map(|(_, value)| json.text(value).into_owned())
        };
        let kind = said("type").unwrap_or_default();
        let code = match kind.strip_prefix(TYPE) {
            Some("no-route") => METHOD_NOT_FOUND,
            Some("invalid-request" | "json-refused" | "malformed-body") => INVALID_PARAMS,
            Some(_) if status < 500 => REFUSED,
            Some(_) | None => INTERNAL_ERROR,
        };
        let message = said("detail").or(said("title")).unwrap_or_else(|| "There is no answer.".to_owned());
        let mut data = text.trim_end().to_owned();
        if let Some(seconds) = retry_after.and_then(|seconds| seconds.parse::<u64>().ok())
            && data.pop() == Some('}')
        {
            let _ = write!(data, ",\"retry_after\":{seconds}}}");
        }
        Self { code, message: message.into(), data: Some(data), id: id.map(str::to_owned), status }
    }

    /// What an answer becomes that is none.
    pub fn of_status(status: u16, id: Option<&str>) -> Self {
        let data = Some(format!("{{\"status\":{status}}}"));
        let message = "The server gave no answer to this call.".into();
        let status = if status < 400 { 502 } else { status };
        Self { code: INTERNAL_ERROR, message, data, id: id.map(str::to_owned), status }
    }
}

/// The answer of a call of a batch, whatever it has brought. `body` is the response's.
pub fn answer(status: u16, headers: &Headers, body: &[u8], id: &str) -> String {
    if headers.media_type() == "application/problem+json" {
        return Fault::of_problem(status, body, headers.text("retry-after"), Some(id)).to_json();
    }
    match read_answer(body) {
        Some((text, parts)) if Answer::read(Json::new(text, &parts)).is_some_and(|answer| answer.is_for(id)) => {
            text.trim().to_owned()
        }
        _ => Fault::of_status(status, Some(id)).to_json(),
    }
}

fn read_answer(body: &[u8]) -> Option<(&str, Vec<Part>)> {
    let text = std::str::from_utf8(body).ok()?;
    // What the server's JSON is like is its own affair, as long as it is JSON.
    let limits = json::Limits { duplicates: true, depth: DEEPEST_ANSWER, ..json::Limits::USUAL };
    Some((text, json::read(text, &limits).ok()?))
}

/// How deep an answer may be.
const DEEPEST_ANSWER: u32 = 512;

const USUAL: json::Limits = json::Limits::USUAL;

/// A server's answer to a call.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// What it is a part of.
    pub json: Json<'a>,
    /// What it says.
    pub outcome: Outcome,
    id: Option<u32>,
}

/// What an answer says: a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The result.
    Result(u32),
    /// The error object.
    Error(u32),
}

impl<'a> Answer<'a> {
    /// Reads an answer; `None`: it is none.
    pub fn read(json: Json<'a>) -> Option<Self> {
        if json.kind(0) != Kind::Object {
            return None;
        }
        let member = |name: &str| json.members(0).find(|(known, _)| json.text(*known) == name).map(|(_, value)| value);
        let error = member("error").filter(|error| json.kind(*error) == Kind::Object);
        let outcome = error.map(Outcome::Error).or_else(|| member("result").map(Outcome::Result))?;
        Some(Self { json, outcome, id: member("id") })
    }

    /// Whether it answers the call with this identifier. An error may not know which one it was.
    pub fn is_for(self, id: &str) -> bool {
        match self.id {
            Some(part) if self.json.kind(part) == Kind::Null => {
                matches!(self.outcome, Outcome::Error(_)) || id == "null"
            }
            // Servers write texts and numbers in their own spelling.
            Some(part) => {
                let written = self.json.whole(part);
                written == id
                    || serde_json::from_str::<serde_json::Value>(written).ok() == serde_json::from_str(id).ok()
            }
            None => false,
        }
    }
}

/// What in a part is not as a schema says, with places counted from that part. Nothing at all is an empty object.
pub fn check(
    schemas: &Schemas,
    schema: SchemaId,
    json: Json<'_>,
    part: Option<u32>,
    most: usize,
) -> Result<Vec<Finding>, TooCostly> {
    let text = part.map_or("{}", |part| json.whole(part));
    // What it is a part of has been read within limits.
    let limits = json::Limits { duplicates: true, depth: u32::MAX, ..json::Limits::USUAL };
    let parts = json::read(text, &limits).unwrap_or_default();
    schemas.check(schema, Json::new(text, &parts), most)
}

/// A text in quotes, as JSON writes it.
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A response with JSON in it.
pub fn respond<S>(status: u16, json: String) -> Response<S> {
    let body = Bytes::from(json);
    let mut headers = Headers::new();
    headers.set("content-type", "application/json");
    headers.set("cache-control", "no-store");
    headers.set("content-length", body.len().to_string());
    Response { status, headers, body: Body::Bytes(body) }
}

/// The response to what nobody waits for.
pub fn nothing<S>(status: u16) -> Response<S> {
    Response { status, headers: Headers::new(), body: Body::Empty }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { batch: 3, depth: 8 };

    fn told(text: &str) -> String {
        let parts = match parts(text.as_bytes(), &LIMITS) {
            Ok(parts) => parts,
            Err(fault) => return format!("{} {}", fault.code, fault.id.unwrap_or_default()),
        };
        let one = |message: Result<Message<'_>, Fault>| match message {
            Ok(message) => format!("{:?} {:?}", message.method.as_deref(), message.id),
            Err(fault) => format!("{} {}", fault.code, fault.id.unwrap_or_default()),
        };
        match read(text.as_bytes(), &parts, &LIMITS) {
            Ok(Content::Single(message)) => one(Ok(message)),
            Ok(Content::Batch(messages)) => messages.into_iter().map(one).collect::<Vec<_>>().join("; "),
            Err(fault) => one(Err(fault)),
        }
    }

    #[test]
    fn messages_are_told_from_what_is_none() {
        for (text, expected) in [
            (r#"{"jsonrpc":"2.0","method":"a","id":1}"#, r#"Some("a") Some("1")"#),
            (r#"{"jsonrpc":"2.0","method":"a","params":[1],"id":"x"}"#, r#"Some("a") Some("\"x\"")"#),
            (r#"{"jsonrpc":"2.0","method":"a","id":null}"#, r#"Some("a") Some("null")"#),
            (r#"{"jsonrpc":"2.0","method":"\u0061"}"#, r#"Some("a") None"#),
            (r#"{"jsonrpc":"2.0","result":1,"id":1}"#, r#"None Some("1")"#),
            (r#"{"jsonrpc":"2.0","method":"a""#, "-32700 "),
            ("\u{feff}{}", "-32700 "),
            (r#"{"method":"a","id":7}"#, "-32600 7"),
            (r#"{"jsonrpc":2.0,"method":"a","id":7}"#, "-32600 7"),
            (r#"{"jsonrpc":"2.0","method":1,"id":7}"#, "-32600 7"),
            (r#"{"jsonrpc":"2.0","id":7}"#, "-32600 7"),
            (r#"{"jsonrpc":"2.0","method":"a","params":1,"id":7}"#, "-32600 7"),
            (r#"{"jsonrpc":"2.0","method":"a","id":[1]}"#, "-32600 "),
            (r#"{"jsonrpc":"2.0","method":"a","id":1,"id":2}"#, "-32600 "),
            (r#"{"jsonrpc":"2.0","method":"a","params":[[[[[[[[]]]]]]]]}"#, "-32600 "),
            (r#"{"jsonrpc":"2.0","method":"a","id":1,"Method":"b"}"#, "-32600 1"),
            (r#"{"jsonrpc":"2.0","Method":"a","id":1}"#, "-32600 1"),
            (r#"{"jsonrpc":"2.0","method":"a","id":1,"param\u017f":[]}"#, "-32600 1"),
            (r#"{"jsonrpc":"2.0","method":"a","id":1,"JSONRPC":"2.0"}"#, "-32600 1"),
            (r#"{"jsonrpc":"2.0","method":"a","ID":1}"#, "-32600 "),
            (r#"{"jsonrpc":"2.0","method":"a","id":1,"methods":"b"}"#, r#"Some("a") Some("1")"#),
            ("[]", "-32600 "),
            ("1", "-32600 "),
            ("[1,2,3,4]", "-32600 "),
            (r#"[1,{"jsonrpc":"2.0","method":"a"}]"#, r#"-32600 ; Some("a") None"#),
        ] {
            assert_eq!(told(text), expected, "{text}");
        }
    }

    #[test]
    fn an_answer_is_one_to_its_call_or_an_error_takes_its_place() {
        let json = {
            let mut headers = Headers::new();
            headers.set("content-type", "application/json");
            headers
        };
        for (id, body, kept) in [
            ("1", r#" {"jsonrpc":"2.0","result":{"a":1,"a":2},"id":1} "#, true),
            ("1", r#"{"jsonrpc":"2.0","result":null,"id":1.0}"#, false),
            ("\"\\u0061\"", r#"{"result":1,"id":"a"}"#, true),
            ("1", r#"{"jsonrpc":"2.0","error":{"code":1,"message":""},"id":null}"#, true),
            ("1", r#"{"jsonrpc":"2.0","result":1,"id":null}"#, false),
            ("1", r#"{"jsonrpc":"2.0","result":1,"id":2}"#, false),
            ("1", r#"{"jsonrpc":"2.0","result":1}"#, false),
            ("1", r#"{"id":1}"#, false),
            ("1", "<b>no</b>", false),
            ("1", "", false),
        ] {
            let answered = answer(200, &json, body.as_bytes(), id);
            let fault = format!(
                r#"{{"jsonrpc":"2.0","error":{{"code":-32603,"message":"The server gave no answer to this call.","data":{{"status":200}}}},"id":{id}}}"#
            );
            assert_eq!(answered, if kept { body.trim() } else { &fault }, "{body}");
        }
    }

    #[test]
    fn a_refusal_says_what_the_problem_says() {
        let mut headers = Headers::new();
        headers.set("content-type", "application/problem+json");
        headers.set("retry-after", "7");
        let problem =
            r#"{"type":"urn:postern:problem:limit-reached","title":"Limit reached","detail":"Wait \"a\" bit."}"#;
        let answered = answer(429, &headers, problem.as_bytes(), "\"x\"");
        let value: serde_json::Value = serde_json::from_str(&answered).expect("it is JSON");
        assert_eq!(value["error"]["code"], -32_000);
        assert_eq!(value["error"]["message"], "Wait \"a\" bit.");
        assert_eq!(value["error"]["data"]["retry_after"], 7);
        assert_eq!(value["id"], "x");
    }
}
