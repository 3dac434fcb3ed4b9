//! What the parts of a message must be like, by JSON Schema: parameters, bodies, and the answers of upstreams.

pub mod content;
pub mod parameter;

use self::content::{Body, Content};
use self::parameter::{Message, Parameter};
use crate::error::Error;
use crate::http::{self, Headers, Statuses};
use crate::json;
use crate::platform::Platform;
use crate::policy::Visit;
use crate::record;
use crate::route::Records;
use crate::schema::{Schemas, TooCostly};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// What all policies of a gateway check against.
#[derive(Debug)]
pub struct Validation {
    /// Every schema.
    pub schemas: Schemas,
    operations: Records,
    awake: RefCell<HashMap<u32, Rc<Operation>>>,
}

/// What one operation of an OpenAPI document asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// Of requests.
    #[serde(rename = "q")]
    pub rules: Rules,
    /// Of responses, by their statuses; the first that fits counts.
    #[serde(rename = "s", default, skip_serializing_if = "Vec::is_empty")]
    pub responses: Vec<(Statuses, ResponseRules)>,
}

/// What a request must be like.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Rules {
    /// Each parameter that is known.
    #[serde(rename = "p", default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Parameter>,
    /// Its body, where something is known of it; otherwise it is not looked at.
    #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Body>,
}

/// What a response must be like.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ResponseRules {
    /// Its header fields.
    #[serde(rename = "h", default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<Parameter>,
    /// The kinds of bodies that it may have; none: no body is described, and any is taken.
    #[serde(rename = "c", default, skip_serializing_if = "Vec::is_empty")]
    pub content: Vec<Content>,
}

/// How messages are checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// 400 or 422: what a request is answered that is not as it should be.
    pub status: u16,
    /// How many violations are told.
    pub most: usize,
    /// How many bytes of a body are read.
    pub bytes: u64,
    /// Whether parameters of the query that nobody has declared are refused.
    pub closed_query: bool,
    /// Whether an object in a body may have two members of one name.
    pub duplicates: bool,
}

/// Something in a message that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// `body`, `query`, `header`, `path` or `cookie`.
    #[serde(rename = "in")]
    pub place: &'static str,
    /// The parameter's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where in the body or in the parameter's value: a JSON Pointer (RFC 6901).
    pub pointer: String,
    /// The keyword that says so.
    pub keyword: &'static str,
    /// What it says, as the rest of a sentence that begins with the place.
    pub message: String,
}

impl Validation {
    /// Takes the block of schemas, and the operations as [`Records::freeze`] packs them, each as JSON.
    pub fn new(schemas: Bytes, operations: Bytes) -> Self {
        Self { schemas: Schemas::new(schemas), operations: Records(operations), awake: RefCell::default() }
    }

    /// One operation.
    pub fn operation(&self, number: u32) -> Option<Rc<Operation>> {
        if let Some(operation) = self.awake.borrow().get(&number) {
            return Some(operation.clone());
        }
        let operation: Rc<Operation> = Rc::new(record::read(&self.operations.get(number)?).ok()?);
        self.awake.borrow_mut().insert(number, operation.clone());
        Some(operation)
    }
}

impl Rules {
    /// Whether a request may go on. Reads its body where that must be seen, and leaves it as it came.
    pub async fn check<P: Platform>(
        &self,
        options: &Options,
        visit: &mut Visit<'_, P>,
        path: impl Fn(&str) -> Option<String>,
    ) -> Result<(), Error> {
        let schemas = &visit.validation.schemas;
        let mut violations = Vec::new();
        // As it goes on: a key that stood in it is gone, and not unknown.
        let query = visit.query.as_deref().unwrap_or_default();
        let message = Message { query, headers: visit.headers, path: &path };
        for parameter in &self.parameters {
            parameter.check(&message, schemas, options.most, &mut violations).map_err(too_costly)?;
        }
        if options.closed_query {
            let closed = parameter::undeclared(&self.parameters, query);
            violations.extend(closed.take(options.most));
        }
        if violations.len() < options.most
            && let Some(body) = &self.body
        {
            body.check(options, visit, &mut violations).await?;
        }
        violations.truncate(options.most);
        if violations.is_empty() { Ok(()) } else { Err(Error::Invalid { status: options.status, violations }) }
    }
}

impl ResponseRules {
    /// Which kind of body this is, if bodies of its kind are described.
    pub fn content(&self, headers: &Headers) -> Option<&Content> {
        let media_type = content::media_type(headers)?;
        content::find(&self.content, &media_type)
    }

    /// What is wrong with the header fields.
    pub fn check_headers(
        &self,
        headers: &Headers,
        schemas: &Schemas,
        most: usize,
    ) -> Result<Vec<Violation>, TooCostly> {
        let mut violations = Vec::new();
        let message = Message { query: "", headers, path: &|_| None };
        for header in &self.headers {
            header.check(&message, schemas, most, &mut violations)?;
        }
        Ok(violations)
    }
}

/// The problem of a value that would take too long to check.
pub fn too_costly(_: TooCostly) -> Error {
    Error::JsonRefused { reason: "To check this would take too long.".to_owned() }
}

/// The problem of a body that is no JSON, or too much of it.
pub fn refused(refused: json::Refused, limits: &json::Limits) -> Error {
    let json::Limits { depth, members, items, text, name, .. } = limits;
    let reason = match refused {
        json::Refused::Syntax(at) => {
            return Error::MalformedBody { reason: format!("The body is not JSON from byte {at} on.") };
        }
        json::Refused::Depth => format!("Lists and objects stand deeper in each other than {depth} levels."),
        json::Refused::Members => format!("An object has more than {members} members."),
        json::Refused::Items => format!("A list has more than {items} items."),
        json::Refused::Text => format!("A string has more than {text} characters."),
        json::Refused::Name => format!("The name of a member has more than {name} characters."),
        json::Refused::Duplicate => "An object has two members of one name.".to_owned(),
    };
    Error::JsonRefused { reason }
}

/// Whether a body is sent as it is, without a content coding (RFC 9110 §8.4).
pub fn is_plain(headers: &Headers) -> bool {
    http::list(headers, "content-encoding").all(|coding| coding.eq_ignore_ascii_case("identity"))
        && headers.all("content-encoding").all(|line| line.is_ascii())
}
