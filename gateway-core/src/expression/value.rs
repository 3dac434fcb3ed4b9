//! The values of expressions. What the request brings is borrowed and looked into only as far as it is asked.

use super::time::{Duration, Instant};
use super::{Literal, Why};
use crate::client::Cidr;
use crate::http::{self, Headers};
use crate::json::{Json as Document, Kind};
use crate::route::Parameters;
use crate::shape::Value as Shape;
use serde_json::Value as Json;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Deref;
use std::rc::Rc;

/// A value.
#[derive(Debug, Clone)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Double(f64),
    /// A text.
    Text(Text<'a>),
    /// A moment.
    Instant(Instant),
    /// A span of time.
    Duration(Duration),
    /// A range of addresses.
    Range(Cidr),
    /// A list.
    List(List<'a>),
    /// Values by keys.
    Map(Map<'a>),
}

/// A text, borrowed or made.
#[derive(Debug, Clone)]
pub enum Text<'a> {
    /// From the request or the expression.
    Borrowed(&'a str),
    /// Made by a function.
    Made(Rc<str>),
}

/// A list, borrowed or made.
#[derive(Debug, Clone)]
pub enum List<'a> {
    /// Texts of the gateway's: groups, scopes.
    Texts(&'a [String]),
    /// Of a claim.
    Json(&'a [Json]),
    /// Of a document that has been read.
    Part(Document<'a>, u32),
    /// Made by the expression.
    Made(Rc<Vec<Value<'a>>>),
}

/// Values by keys, borrowed or made.
#[derive(Debug, Clone)]
pub enum Map<'a> {
    /// Header fields: all lines of a name, with `, ` between (RFC 9110 §5.3).
    Headers(&'a Headers),
    /// The parameters of a query.
    Query(&'a str),
    /// Cookies.
    Cookies(&'a Headers),
    /// The path's parameters, decoded.
    Parameters(Parameters<'a>),
    /// Claims, or a claim.
    Json(&'a serde_json::Map<String, Json>),
    /// Of a document that has been read.
    Part(Document<'a>, u32),
    /// Made by the expression.
    Made(Rc<Vec<(Value<'a>, Value<'a>)>>),
}

impl<'a> Value<'a> {
    /// A text of the request's.
    pub fn text(text: &'a str) -> Self {
        Value::Text(Text::Borrowed(text))
    }

    /// A text that was made.
    pub fn made(text: impl Into<Rc<str>>) -> Self {
        Value::Text(Text::Made(text.into()))
    }

    /// A list that was made.
    pub fn list(items: Vec<Value<'a>>) -> Self {
        Value::List(List::Made(Rc::new(items)))
    }

    /// What a claim says. Whole numbers are whole however they are written.
    pub fn of_json(json: &'a Json) -> Self {
        match json {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(number) => match number.as_i64() {
                Some(number) => Value::Int(number),
                None => Value::Double(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Value::text(text),
            Json::Array(items) => Value::List(List::Json(items)),
            Json::Object(members) => Value::Map(Map::Json(members)),
        }
    }
}

impl<'a> Value<'a> {
    /// A part of a document that has been read.
    pub fn of_part(document: Document<'a>, part: u32) -> Self {
        match document.kind(part) {
            Kind::Null => Value::Null,
            Kind::Bool => Value::Bool(document.raw(part) == "true"),
            Kind::Number => number(document.raw(part)),
            Kind::Text | Kind::Name => match document.text(part) {
                Cow::Borrowed(text) => Value::text(text),
                Cow::Owned(text) => Value::made(text),
            },
            Kind::List => Value::List(List::Part(document, part)),
            Kind::Object => Value::Map(Map::Part(document, part)),
        }
    }

    /// The same of one that has been made.
    pub fn of_shape(shape: Shape<'a>) -> Self {
        match shape {
            Shape::Part(document, part) => Value::of_part(document, part),
            Shape::Raw(raw) => match raw.as_ref() {
                "null" => Value::Null,
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                raw => number(raw),
            },
            Shape::Text(Cow::Borrowed(text)) => Value::text(text),
            Shape::Text(Cow::Owned(text)) => Value::made(text),
            Shape::List(items) => Value::list(items.into_iter().map(Value::of_shape).collect()),
            Shape::Object(members) => {
                let members = members.into_iter().map(|(name, value)| {
                    let name = match name {
                        Cow::Borrowed(name) => Value::text(name),
                        Cow::Owned(name) => Value::made(name),
                    };
                    (name, Value::of_shape(value))
                });
                Value::Map(Map::Made(Rc::new(members.collect())))
            }
        }
    }
}

/// Whole numbers are whole however they are written.
fn number<'a>(text: &str) -> Value<'a> {
    match text.parse() {
        Ok(number) => Value::Int(number),
        Err(_) => Value::Double(text.parse().unwrap_or(f64::NAN)),
    }
}

impl<'a> From<&'a Literal> for Value<'a> {
    fn from(literal: &'a Literal) -> Self {
        match literal {
            Literal::Null => Value::Null,
            Literal::Bool(value) => Value::Bool(*value),
            Literal::Int(number) => Value::Int(*number),
            Literal::Double(number) => Value::Double(*number),
            Literal::Text(text) => Value::text(text),
            Literal::Instant(instant) => Value::Instant(*instant),
            Literal::Duration(duration) => Value::Duration(*duration),
            Literal::Range(range) => Value::Range(*range),
        }
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Text::Borrowed(text) => text,
            Text::Made(text) => text,
        }
    }
}

impl<'a> List<'a> {
    /// How many items there are.
    pub fn len(&self) -> usize {
        match self {
            List::Texts(items) => items.len(),
            List::Json(items) => items.len(),
            List::Part(document, part) => document.items(*part).count(),
            List::Made(items) => items.len(),
        }
    }

    /// The item at this place.
    pub fn get(&self, at: usize) -> Option<Value<'a>> {
        match self {
            List::Texts(items) => items.get(at).map(|item| Value::text(item)),
            List::Json(items) => items.get(at).map(Value::of_json),
            List::Part(document, part) => document.items(*part).nth(at).map(|item| Value::of_part(*document, item)),
            List::Made(items) => items.get(at).cloned(),
        }
    }
}

impl<'a> Map<'a> {
    /// The value of a text's key: absent, there, or not readable as one value.
    pub fn get(&self, key: &str) -> Result<Option<Value<'a>>, Why> {
        match self {
            Map::Headers(headers) => joined(headers, key),
            Map::Query(query) => single(http::parameters(query, key).map(|value| match value {
                std::borrow::Cow::Borrowed(text) => Value::made(text),
                std::borrow::Cow::Owned(text) => Value::made(text),
            })),
            Map::Cookies(headers) => single(http::cookies(headers, key).into_iter().map(Value::made)),
            Map::Parameters(parameters) => parameters.get(key).map(decoded).transpose(),
            Map::Json(members) => Ok(members.get(key).map(Value::of_json)),
            Map::Part(document, part) => {
                let member = document.members(*part).find(|(name, _)| document.text(*name) == key);
                Ok(member.map(|(_, value)| Value::of_part(*document, value)))
            }
            Map::Made(entries) => {
                let entry = entries.iter().find(|(known, _)| matches!(known, Value::Text(known) if **known == *key));
                Ok(entry.map(|(_, value)| value.clone()))
            }
        }
    }

    /// Every key once, in order.
    pub fn keys(&self) -> Vec<Value<'a>> {
        let (mut names, mut known) = (Vec::new(), BTreeSet::new());
        let mut once = |name: String| {
            if !known.contains(name.as_str()) {
                let name: Rc<str> = name.into();
                known.insert(Rc::clone(&name));
                names.push(Value::Text(Text::Made(name)));
            }
        };
        match self {
            Map::Headers(headers) => headers.iter().for_each(|(name, _)| once(name.to_owned())),
            Map::Query(query) => http::parameter_names(query).for_each(|name| once(name.into_owned())),
            Map::Cookies(headers) => http::cookie_names(headers).into_iter().for_each(once),
            Map::Parameters(parameters) => {
                return parameters.iter().into_iter().map(|(name, _)| Value::text(name)).collect();
            }
            Map::Json(members) => return members.keys().map(|name| Value::text(name)).collect(),
            Map::Part(document, part) => {
                document.members(*part).for_each(|(name, _)| once(document.text(name).into_owned()));
            }
            Map::Made(entries) => return entries.iter().map(|(key, _)| key.clone()).collect(),
        }
        names
    }
}

/// All lines of a field as one.
fn joined<'a>(headers: &'a Headers, name: &str) -> Result<Option<Value<'a>>, Why> {
    let lines = headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, line)| line);
    let lines: Result<Vec<&'a str>, _> = lines.map(std::str::from_utf8).collect();
    Ok(match lines.map_err(|_| Why::NotText)?.as_slice() {
        [] => None,
        [line] => Some(Value::text(line)),
        several => Some(Value::made(several.join(", "))),
    })
}

/// A value, unless there are several: two readers could take two of them.
fn single<'a>(mut values: impl Iterator<Item = Value<'a>>) -> Result<Option<Value<'a>>, Why> {
    match (values.next(), values.next()) {
        (found, None) => Ok(found),
        (_, Some(_)) => Err(Why::Repeated),
    }
}

/// A path's parameter without its percent-encoding, so that it compares with what it names.
fn decoded(text: &str) -> Result<Value<'_>, Why> {
    if !text.contains('%') {
        return Ok(Value::text(text));
    }
    let bytes = http::percent_decode(text);
    String::from_utf8(bytes).map(Value::made).map_err(|_| Why::NotText)
}
