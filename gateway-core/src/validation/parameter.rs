//! Parameters: from the texts of a message to the values that schemas speak of (OpenAPI 3.1 §4.8.12).

use super::Violation;
use crate::http::{self, Headers};
use crate::json::{self, Json};
use crate::schema::{SchemaId, Schemas, TooCostly, keyword::kinds};
use serde::{Deserialize, Serialize};

/// A parameter and what it must be like.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    /// In lower case where it is a header field's.
    #[serde(rename = "n")]
    pub name: String,
    /// Where it stands.
    #[serde(rename = "i")]
    pub place: Place,
    /// Whether it must be there.
    #[serde(rename = "r", default)]
    pub required: bool,
    /// How its value is written.
    #[serde(rename = "w")]
    pub style: Style,
    /// Whether each item and each property stands by itself.
    #[serde(rename = "e", default)]
    pub explode: bool,
    /// What its value is, as far as one must know that to read it.
    #[serde(rename = "k")]
    pub shape: Shape,
    /// What it must be like.
    #[serde(rename = "s")]
    pub schema: SchemaId,
}

/// Where a parameter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// In the path.
    #[serde(rename = "p")]
    Path,
    /// In the query.
    #[serde(rename = "q")]
    Query,
    /// In a header field.
    #[serde(rename = "h")]
    Header,
    /// In a cookie.
    #[serde(rename = "c")]
    Cookie,
}

impl Place {
    /// As problem details say it.
    pub fn name(self) -> &'static str {
        match self {
            Place::Path => "path",
            Place::Query => "query",
            Place::Header => "header",
            Place::Cookie => "cookie",
        }
    }
}

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Style {
    /// `a,b` in paths and header fields, `a,b` or `x=a&x=b` elsewhere.
    #[serde(rename = "s")]
    Delimited,
    /// `a%20b`
    #[serde(rename = "b")]
    Spaces,
    /// `a|b`
    #[serde(rename = "p")]
    Pipes,
    /// `x[name]=a`
    #[serde(rename = "d")]
    Deep,
    /// As JSON.
    #[serde(rename = "j")]
    Json,
}

/// What a value is, as bits of [`kinds`]; 0 where its schema does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// The value itself.
    #[serde(rename = "k", default)]
    pub kinds: u32,
    /// Its items.
    #[serde(rename = "i", default, skip_serializing_if = "is_zero")]
    pub items: u32,
    /// Its properties, and their items.
    #[serde(rename = "p", default, skip_serializing_if = "Vec::is_empty")]
    pub properties: Vec<(String, u32, u32)>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// A message, as far as parameters are in it.
pub struct Message<'a> {
    /// Without `?`, as received.
    pub query: &'a str,
    /// The header fields.
    pub headers: &'a Headers,
    /// The parameters of the path, as received.
    pub path: &'a dyn Fn(&str) -> Option<String>,
}

/// A text that stands for no value of its kind.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub pointer: String,
    pub keyword: &'static str,
    pub message: String,
}

fn wrong(keyword: &'static str, message: impl Into<String>) -> Wrong {
    Wrong { pointer: String::new(), keyword, message: message.into() }
}

impl Parameter {
    /// Adds what is wrong with the parameter of a message.
    pub fn check(
        &self,
        message: &Message<'_>,
        schemas: &Schemas,
        most: usize,
        violations: &mut Vec<Violation>,
    ) -> Result<(), TooCostly> {
        let left = most.saturating_sub(violations.len());
        if left == 0 {
            return Ok(());
        }
        let mut add = |Wrong { pointer, keyword, message }: Wrong| {
            let (place, name) = (self.place.name(), Some(self.name.clone()));
            violations.push(Violation { place, name, pointer, keyword, message });
        };
        let text = match self.value(message) {
            Ok(Some(text)) => text,
            Ok(None) => {
                if self.required {
                    add(wrong("required", "is missing"));
                }
                return Ok(());
            }
            Err(wrong) => {
                add(wrong);
                return Ok(());
            }
        };
        match json::read(&text, &json::Limits::USUAL) {
            Ok(parts) => {
                for finding in schemas.check(self.schema, Json::new(&text, &parts), left)? {
                    let (pointer, keyword, message) = (finding.pointer, finding.keyword, finding.message);
                    add(Wrong { pointer, keyword, message });
                }
            }
            Err(json::Refused::Duplicate) => add(wrong("style", "has a property twice")),
            Err(_) => add(wrong("content", "is not JSON, or too deep")),
        }
        Ok(())
    }

    /// Its value as JSON, if it is there.
    fn value(&self, message: &Message<'_>) -> Result<Option<String>, Wrong> {
        let texts: Vec<String> = match self.place {
            Place::Path => (message.path)(&self.name).into_iter().collect(),
            Place::Query if self.style == Style::Deep => return self.deep(message.query),
            Place::Query if self.explode && self.is(kinds::OBJECT) => return self.spread(message.query),
            Place::Query => {
                let pairs = pairs(message.query);
                let named = pairs.filter(|(name, _)| decode(name, true).as_deref() == Some(self.name.as_str()));
                named.map(|(_, value)| value.to_owned()).collect()
            }
            Place::Header => {
                let lines: Option<Vec<&str>> =
                    message.headers.all(&self.name).map(|line| std::str::from_utf8(line).ok()).collect();
                let lines = lines.ok_or_else(|| wrong("style", "is not UTF-8"))?;
                if lines.is_empty() { Vec::new() } else { vec![lines.join(",")] }
            }
            Place::Cookie => http::cookies(message.headers, &self.name),
        };
        let [first, others @ ..] = texts.as_slice() else { return Ok(None) };
        let coded = matches!(self.place, Place::Path | Place::Query);
        let read = |text: &str| -> Result<String, Wrong> {
            match (coded, self.place) {
                (true, place) => decode(text, place == Place::Query).ok_or_else(|| wrong("style", "is not UTF-8")),
                (false, Place::Header) => Ok(text.trim_matches([' ', '\t']).to_owned()),
                (false, _) => Ok(text.to_owned()),
            }
        };
        let spread = self.place == Place::Query && self.explode && self.style == Style::Delimited;
        let list = self.is(kinds::ARRAY);
        if !(others.is_empty() || list && spread) {
            // Whoever reads this behind us may take the other one.
            return Err(wrong("style", "is given more than once"));
        }
        if self.style == Style::Json {
            return read(first).map(Some);
        }
        if list {
            let items: Vec<&str> = if spread { texts.iter().map(String::as_str).collect() } else { self.split(first) };
            let items = items.into_iter().map(|item| Ok(scalar(&read(item)?, self.shape.items)));
            return Ok(Some(format!("[{}]", items.collect::<Result<Vec<_>, Wrong>>()?.join(","))));
        }
        if self.is(kinds::OBJECT) {
            let parts = self.split(first);
            let members: Vec<(&str, &str)> = if self.explode {
                parts.iter().filter_map(|part| part.split_once('=')).collect()
            } else {
                parts.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
            };
            let count = if self.explode { parts.len() } else { parts.len().div_ceil(2) };
            if members.len() != count {
                return Err(wrong("style", "is not a list of names and values"));
            }
            let members: Result<Vec<_>, Wrong> =
                members.into_iter().map(|(name, value)| Ok((read(name)?, read(value)?))).collect();
            return Ok(Some(self.members(&members?)));
        }
        Ok(Some(scalar(&read(first)?, self.shape.kinds)))
    }

    fn is(&self, kind: u32) -> bool {
        self.shape.kinds & kind != 0
    }

    fn split<'t>(&self, text: &'t str) -> Vec<&'t str> {
        if text.is_empty() {
            return Vec::new();
        }
        match self.style {
            Style::Spaces => text.split("%20").flat_map(|part| part.split('+')).collect(),
            Style::Pipes => {
                text.split("%7C").flat_map(|part| part.split("%7c")).flat_map(|part| part.split('|')).collect()
            }
            Style::Delimited | Style::Deep | Style::Json => text.split(',').collect(),
        }
    }

    fn members(&self, members: &[(String, String)]) -> String {
        let members = members.iter().map(|(name, value)| {
            let known = self.shape.properties.iter().find(|(property, ..)| property == name);
            format!("{}:{}", quoted(name), scalar(value, known.map_or(0, |(_, kinds, _)| *kinds)))
        });
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    }

    /// `x[name]=value`
    fn deep(&self, query: &str) -> Result<Option<String>, Wrong> {
        let mut members = Vec::new();
        for (name, value) in pairs(query) {
            let Some(name) = decode(name, true) else { continue };
            let inner = name.strip_prefix(self.name.as_str()).and_then(|rest| rest.strip_prefix('['));
            let Some(inner) = inner.and_then(|rest| rest.strip_suffix(']')) else { continue };
            members.push((inner.to_owned(), decode(value, true).ok_or_else(|| wrong("style", "is not UTF-8"))?));
        }
        Ok(if members.is_empty() { None } else { Some(self.members(&members)) })
    }

    /// The properties of an object, each a parameter of the query.
    fn spread(&self, query: &str) -> Result<Option<String>, Wrong> {
        let mut members = Vec::new();
        for (name, value) in pairs(query) {
            let Some(name) = decode(name, true) else { continue };
            if self.shape.properties.iter().any(|(property, ..)| *property == name) {
                members.push((name, decode(value, true).ok_or_else(|| wrong("style", "is not UTF-8"))?));
            }
        }
        Ok(if members.is_empty() { None } else { Some(self.members(&members)) })
    }
}

/// The parameters of a query that none of these is.
pub(super) fn undeclared<'a>(parameters: &'a [Parameter], query: &'a str) -> impl Iterator<Item = Violation> + use<'a> {
    let declared = |name: &str| {
        parameters.iter().filter(|parameter| parameter.place == Place::Query).any(|parameter| {
            let object = parameter.is(kinds::OBJECT);
            let of_object = || parameter.shape.properties.iter().any(|(property, ..)| property == name);
            let deep = || {
                name.strip_prefix(parameter.name.as_str())
                    .is_some_and(|rest| rest.starts_with('[') && rest.ends_with(']'))
            };
            match parameter.style {
                Style::Deep => deep(),
                Style::Delimited if object && parameter.explode => of_object(),
                Style::Delimited | Style::Spaces | Style::Pipes | Style::Json => parameter.name == name,
            }
        })
    };
    let names = pairs(query).map(|(name, _)| decode(name, true).unwrap_or_else(|| name.to_owned()));
    names.filter(move |name| !declared(name)).map(|name| Violation {
        place: "query",
        // Only the beginning: it is the client's.
        name: Some(name.chars().take(64).collect()),
        pointer: String::new(),
        keyword: "undeclared",
        message: "is not known here".to_owned(),
    })
}

/// The fields of a form, as a JSON object.
pub(super) fn object(form: &str, shape: &Shape) -> Result<String, Wrong> {
    let mut members: Vec<(String, Vec<String>)> = Vec::new();
    for (name, value) in pairs(form) {
        let (Some(name), Some(value)) = (decode(name, true), decode(value, true)) else {
            return Err(wrong("style", "is not UTF-8"));
        };
        let count = members.len();
        match members.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value),
            None if count >= MOST_FIELDS => return Err(wrong("style", "has too many fields")),
            None => members.push((name, vec![value])),
        }
    }
    let mut object = String::from("{");
    for (place, (name, values)) in members.iter().enumerate() {
        let known = shape.properties.iter().find(|(property, ..)| property == name);
        let (kinds, items) = known.map_or((0, 0), |(_, kinds, items)| (*kinds, *items));
        object.push_str(if place > 0 { "," } else { "" });
        object.push_str(&quoted(name));
        object.push(':');
        match values.as_slice() {
            [value] if kinds & kinds::ARRAY == 0 => object.push_str(&scalar(value, kinds)),
            values if kinds & kinds::ARRAY != 0 => {
                let values: Vec<String> = values.iter().map(|value| scalar(value, items)).collect();
                object.push_str(&format!("[{}]", values.join(",")));
            }
            _ => {
                let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
                return Err(Wrong { pointer, ..wrong("style", "is given more than once") });
            }
        }
    }
    object.push('}');
    Ok(object)
}

/// More fields than any form has.
const MOST_FIELDS: usize = 1000;

fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// A text as the JSON value that it stands for: of the kinds that its schema takes, the first that it can be; else a string.
fn scalar(text: &str, wanted: u32) -> String {
    let number = || {
        let begins = text.starts_with(|c: char| c == '-' || c.is_ascii_digit());
        begins && !text.ends_with([' ', '\t', '\r', '\n']) && json::read(text, &json::Limits::USUAL).is_ok()
    };
    if wanted & (kinds::NUMBER | kinds::INTEGER) != 0 && number() {
        return text.to_owned();
    }
    if wanted & kinds::BOOLEAN != 0 && matches!(text, "true" | "false") {
        return text.to_owned();
    }
    if wanted & kinds::NULL != 0 && (text == "null" || text.is_empty() && wanted & kinds::STRING == 0) {
        return "null".to_owned();
    }
    quoted(text)
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// `%XX` decoded, and in forms and queries `+`. `None` where that is not UTF-8.
pub fn decode(text: &str, plus: bool) -> Option<String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let digit = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16));
        match (byte, digit(at + 1).zip(digit(at + 2)).and_then(|(high, low)| u8::try_from(high << 4 | low).ok())) {
            (b'%', Some(decoded)) => {
                out.push(decoded);
                at += 2;
            }
            (b'+', _) if plus => out.push(b' '),
            _ => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kinds::{ARRAY, BOOLEAN, INTEGER, NULL, NUMBER, OBJECT, STRING};

    fn parameter(place: Place, style: Style, explode: bool, kinds: u32) -> Parameter {
        let properties = vec![("r".to_owned(), INTEGER, 0), ("g".to_owned(), STRING, 0)];
        let shape = Shape { kinds, items: INTEGER, properties };
        Parameter { name: "x".into(), place, required: true, style, explode, shape, schema: SchemaId(0) }
    }

    fn value(parameter: &Parameter, query: &str, block: &str, path: &str) -> Result<Option<String>, &'static str> {
        let headers = Headers::from_block(block.as_bytes().to_vec());
        let path = |_: &str| Some(path.to_owned());
        let message = Message { query, headers: &headers, path: &path };
        parameter.value(&message).map_err(|wrong| wrong.keyword)
    }

    #[test]
    fn values_are_read_as_they_are_written() {
        let is = |json: &str| Ok(Some(json.to_owned()));
        use Place::Query;
        for (style, explode, kinds, query, expected) in [
            (Style::Delimited, true, INTEGER, "x=5", is("5")),
            (Style::Delimited, true, INTEGER, "x=5x", is("\"5x\"")),
            (Style::Delimited, true, INTEGER, "x=+5", is("\" 5\"")),
            (Style::Delimited, true, STRING, "x=5", is("\"5\"")),
            (Style::Delimited, true, STRING | NULL, "x=", is("\"\"")),
            (Style::Delimited, true, INTEGER | NULL, "x=", is("null")),
            (Style::Delimited, true, BOOLEAN, "x=true", is("true")),
            (Style::Delimited, true, NUMBER, "x=%31e400", is("1e400")),
            (Style::Delimited, true, STRING, "%78=a%22b%5C+c", is(r#""a\"b\\ c""#)),
            (Style::Delimited, true, STRING, "y=1", Ok(None)),
            (Style::Delimited, true, STRING, "x=1&x=2", Err("style")),
            (Style::Delimited, true, STRING, "x=%ff", Err("style")),
            (Style::Delimited, true, ARRAY, "x=1&x=2,3", is("[1,\"2,3\"]")),
            (Style::Delimited, false, ARRAY, "x=1,2%2C3", is("[1,\"2,3\"]")),
            (Style::Delimited, false, ARRAY, "x=", is("[]")),
            (Style::Delimited, false, ARRAY, "x=1&x=2", Err("style")),
            (Style::Spaces, false, ARRAY, "x=1%202+3", is("[1,2,3]")),
            (Style::Pipes, false, ARRAY, "x=1|2%7C3", is("[1,2,3]")),
            (Style::Delimited, true, OBJECT, "r=1&g=2&b=3", is(r#"{"r":1,"g":"2"}"#)),
            (Style::Delimited, false, OBJECT, "x=r,1,q,2", is(r#"{"r":1,"q":"2"}"#)),
            (Style::Delimited, false, OBJECT, "x=r,1,q", Err("style")),
            (Style::Deep, true, OBJECT, "x[r]=1&x%5Bq%5D=2&y[r]=3", is(r#"{"r":1,"q":"2"}"#)),
            (Style::Json, false, OBJECT, "x=%7B%22a%22:1%7D", is(r#"{"a":1}"#)),
        ] {
            assert_eq!(value(&parameter(Query, style, explode, kinds), query, "", ""), expected, "{query}");
        }
        let header = parameter(Place::Header, Style::Delimited, false, ARRAY);
        assert_eq!(value(&header, "", "x\x001, 2\nx\x003\n", ""), is("[1,2,3]"));
        let header = parameter(Place::Header, Style::Delimited, true, OBJECT);
        assert_eq!(value(&header, "", "x\0r=1, g=2\n", ""), is(r#"{"r":1,"g":"2"}"#));
        let cookie = parameter(Place::Cookie, Style::Delimited, false, INTEGER);
        assert_eq!(value(&cookie, "", "cookie\0a=1; x=2\n", ""), is("2"));
        assert_eq!(value(&cookie, "", "cookie\0x=1; x=2\n", ""), Err("style"));
        let path = parameter(Place::Path, Style::Delimited, false, STRING);
        assert_eq!(value(&path, "", "", "a%2Fb+c"), is("\"a/b+c\""));
    }

    #[test]
    fn forms_are_objects() {
        let shape = Shape {
            kinds: OBJECT,
            items: 0,
            properties: vec![("age".into(), INTEGER, 0), ("tags".into(), ARRAY, STRING)],
        };
        assert_eq!(
            object("age=5&tags=a&tags=b&note=%C3%A9+x", &shape).as_deref(),
            Ok(r#"{"age":5,"tags":["a","b"],"note":"é x"}"#)
        );
        assert_eq!(object("", &shape).as_deref(), Ok("{}"));
        assert_eq!(object("age=1&age=2", &shape).map_err(|wrong| wrong.pointer), Err("/age".to_owned()));
        assert_eq!(object("a=%ff", &shape).map_err(|wrong| wrong.keyword), Err("style"));
    }

    #[test]
    fn what_nobody_declared_is_found() {
        let parameters = [
            parameter(Place::Query, Style::Deep, true, OBJECT),
            Parameter { name: "y".into(), ..parameter(Place::Query, Style::Delimited, true, INTEGER) },
        ];
        let names: Vec<_> =
            undeclared(&parameters, "x[a]=1&y=2&z=3&%7A=4&x=5").filter_map(|violation| violation.name).collect();
        assert_eq!(names, ["z", "z", "x"]);
    }
}
