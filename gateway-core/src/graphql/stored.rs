//! A route that asks a query which the configuration holds: REST in front of GraphQL.

use crate::error::Error;
use crate::forward::Forward;
use crate::gateway::Substitute;
use crate::http::Body;
use crate::json::{self, Json, Kind};
use crate::shape::blueprint::Blueprint;
use crate::shape::{Step, Value};
use crate::template::function::is_number;
use crate::template::{Piece, Template};
use crate::translate::{Answered, Asked, Failure, Wanted, status_of, strange, untranslatable, written};
use serde::{Deserialize, Serialize};

/// A query, and what becomes of its answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredQuery {
    /// To whom, and under which path.
    #[serde(rename = "f")]
    pub forward: Forward,
    /// The document.
    #[serde(rename = "d")]
    pub document: String,
    /// Which of its operations; `None`: it has one.
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// What its variables are.
    #[serde(rename = "v", default, skip_serializing_if = "Vec::is_empty")]
    pub variables: Vec<Variable>,
    /// Whether they say something of the request's body.
    #[serde(rename = "b", default, skip_serializing_if = "std::ops::Not::not")]
    pub reads_body: bool,
    /// How many bytes of that are read.
    #[serde(rename = "l")]
    pub request_limit: u64,
    /// How many bytes of the answer are read.
    #[serde(rename = "m")]
    pub answer_limit: u64,
    /// What of `data` the client gets.
    #[serde(rename = "w", default)]
    pub wanted: Wanted,
    /// Statuses by the `extensions.code` of errors.
    #[serde(rename = "e", default, skip_serializing_if = "Vec::is_empty")]
    pub statuses: Vec<(String, u16)>,
    /// The status of other errors; `None`: 400 where the server says that it is the request's fault, else 502.
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    pub otherwise: Option<u16>,
    /// Whether data are handed on although there are errors.
    #[serde(rename = "a", default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    /// The status where there is nothing; `None`: the client gets `null`.
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    pub nothing: Option<u16>,
}

/// A variable of the query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    /// Its name, without `$`.
    #[serde(rename = "n")]
    pub name: String,
    /// Where it comes from.
    #[serde(rename = "v")]
    pub value: Blueprint,
    /// What texts become.
    #[serde(rename = "t")]
    pub kind: Type,
    /// Whether the query needs it.
    #[serde(rename = "r", default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
}

/// What a text becomes in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Type {
    /// A string.
    String,
    /// A whole number.
    Int,
    /// A number.
    Float,
    /// `true` or `false`.
    Boolean,
    /// What it says, as JSON.
    Json,
}

impl Type {
    /// What a variable is, by the name of its type; types of one's own are strings.
    pub fn of(name: &str) -> Self {
        match name {
            "Int" => Type::Int,
            "Float" => Type::Float,
            "Boolean" => Type::Boolean,
            _ => Type::String,
        }
    }

    /// A value as this type. Lists and objects stay what they are: the upstream knows what may be in them.
    fn of_value(self, value: Value<'_>) -> Result<Value<'_>, &'static str> {
        let kind = value.kind();
        if matches!(kind, Kind::List | Kind::Object | Kind::Null) {
            return Ok(value);
        }
        let plain = value.clone().into_plain().unwrap_or_default();
        let plain = plain.trim();
        let is_whole = || {
            let digits = plain.strip_prefix('-').unwrap_or(plain);
            is_number(plain) && digits.bytes().all(|byte| byte.is_ascii_digit())
        };
        match self {
            Type::String if kind == Kind::Text => Ok(value),
            Type::String => Ok(Value::Text(plain.to_owned().into())),
            Type::Int if is_whole() => Ok(Value::Raw(plain.to_owned().into())),
            Type::Int => Err("is not a whole number"),
            Type::Float if is_number(plain) => Ok(Value::Raw(plain.to_owned().into())),
            Type::Float => Err("is not a number"),
            Type::Boolean if matches!(plain, "true" | "false") => Ok(Value::Raw(plain.to_owned().into())),
            Type::Boolean => Err("is neither `true` nor `false`"),
            Type::Json => match json::read(plain, &json::Limits::USUAL) {
                Ok(_) => Ok(Value::Raw(plain.to_owned().into())),
                Err(_) => Err("is not JSON"),
            },
        }
    }
}

impl Variable {
    /// Whether it is a part of a document and nothing else, so that it keeps its type.
    fn is_part(&self) -> bool {
        matches!(&self.value, Blueprint::Text(template) if matches!(template.pieces(), [Piece::Document(_)]))
    }
}

impl StoredQuery {
    /// The templates of its variables.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        self.variables.iter().flat_map(|variable| variable.value.templates())
    }

    /// What the upstream is sent.
    ///
    /// # Errors
    /// Where the request does not say what the query needs to know.
    pub fn request<S>(&self, asked: &Asked<'_>) -> Result<Substitute<S>, Error> {
        let body = asked.fill(self.reads_body, |source| {
            let mut members = Vec::new();
            for variable in &self.variables {
                let Variable { name, kind, required, .. } = variable;
                // What nobody says is left out, so that the query's own default counts.
                let value = variable.value.build(source);
                let value = match value {
                    Some(value) if *kind == Type::Json && (variable.is_part() || value.kind() != Kind::Text) => {
                        Some(value)
                    }
                    Some(value) => Some(kind.of_value(value).map_err(|why| untranslatable(format!("`{name}` {why}")))?),
                    None => None,
                };
                match value.filter(|value| !(*required && value.is_null())) {
                    Some(value) => members.push((name.into(), value)),
                    None if *required => return Err(untranslatable(format!("`{name}` is missing"))),
                    None => {}
                }
            }
            let mut whole = vec![("query".into(), Value::Text((&self.document).into()))];
            whole.extend(self.operation.as_ref().map(|name| ("operationName".into(), Value::Text(name.into()))));
            if !members.is_empty() {
                whole.push(("variables".into(), Value::Object(members)));
            }
            let mut out = Vec::new();
            Value::Object(whole).write(&mut out);
            Ok(out)
        })?;
        let headers = asked.fields("application/json", ACCEPT, body.len());
        Ok(Substitute { target: self.forward.path.apply(&asked.scope)?, headers, body: Body::Bytes(body.into()) })
    }

    /// What the client gets.
    ///
    /// # Errors
    /// Where there are errors, or nothing.
    pub fn answer(&self, answered: &Answered) -> Result<Vec<u8>, Error> {
        let status = answered.status;
        let none = |what: &str| strange(status, format!("the answer to a GraphQL query {what}"));
        let text = std::str::from_utf8(&answered.body).map_err(|_| none("is not UTF-8"))?;
        let limits = json::Limits { duplicates: true, ..json::Limits::USUAL };
        let parts = json::read(text, &limits).map_err(|_| none("is not JSON"))?;
        let whole = Value::new(Json::new(text, &parts));
        let member = |name: &str| whole.get(&[Step::Name(name.to_owned())]).filter(|value| !value.is_null());
        let (data, errors) = (member("data"), member("errors"));
        let is_partial = data.is_some() && self.partial;
        if let Some(errors) = errors
            && !is_partial
        {
            return Err(self.failure(status, errors));
        }
        let data = data.ok_or_else(|| none("has neither data nor errors"))?;
        let picked = self.wanted.of(data)?;
        if let (true, Some(status)) = (picked.is_null(), self.nothing) {
            // What is not there because of an error is not simply not there.
            if let Some(errors) = member("errors") {
                return Err(self.failure(status, errors));
            }
            let detail = "There is nothing for this request.".to_owned();
            return Err(Error::CallFailed(Box::new(Failure { status, detail, members: serde_json::Map::new() })));
        }
        Ok(written(&picked))
    }

    /// Errors of GraphQL as one of HTTP: the first whose code has a rule says with which status.
    fn failure(&self, answered: u16, mut errors: Value<'_>) -> Error {
        errors.open();
        let items = match errors {
            Value::List(items) => items,
            other => vec![other],
        };
        let codes: Vec<String> = items.iter().filter_map(|error| text(error, &["extensions", "code"])).collect();
        let status = status_of(&self.statuses, codes.iter().map(String::as_str)).or(self.otherwise);
        // GraphQL over HTTP §6.4.2: a request that cannot be executed, such as one with a variable of another type, is answered with 400,
        // and the query is not the client's.
        let status = status.unwrap_or(if answered == 400 { 400 } else { 502 });
        let messages = items.iter().filter_map(|error| text(error, &["message"]));
        let detail = messages.into_iter().next().unwrap_or_else(|| "The query has failed.".to_owned());
        let told = items.iter().take(MOST_ERRORS).map(|error| {
            let mut told = serde_json::Map::new();
            told.extend(text(error, &["message"]).map(|message| ("message".to_owned(), message.into())));
            told.extend(text(error, &["extensions", "code"]).map(|code| ("code".to_owned(), code.into())));
            let path = part(error, &["path"]).and_then(|path| serde_json::from_str(&path.to_text()).ok());
            told.extend(path.map(|path: serde_json::Value| ("path".to_owned(), path)));
            serde_json::Value::Object(told)
        });
        let mut members = serde_json::Map::new();
        members.insert("errors".to_owned(), told.collect());
        Error::CallFailed(Box::new(Failure { status, detail, members }))
    }
}

/// A part of an error that is there.
fn part<'a>(error: &Value<'a>, path: &[&str]) -> Option<Value<'a>> {
    let steps: Vec<Step> = path.iter().map(|name| Step::Name((*name).to_owned())).collect();
    error.get(&steps).filter(|value| !value.is_null())
}

/// The same, where it is a text.
fn text(error: &Value<'_>, path: &[&str]) -> Option<String> {
    Some(part(error, path).filter(|value| value.kind() == Kind::Text)?.into_plain()?.into_owned())
}

/// GraphQL over HTTP: the new form, and what servers of before know.
const ACCEPT: &str = "application/graphql-response+json, application/json;q=0.9";

/// How many errors a client is told of.
const MOST_ERRORS: usize = 20;
