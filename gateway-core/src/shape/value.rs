//! A JSON value that is opened only where somebody looks into it to change it.

use super::path::{Path, Step};
use crate::json::{Json, Kind};
use std::borrow::Cow;

/// A value: a part of a text that was read, or something new.
#[derive(Debug, Clone)]
pub enum Value<'a> {
    /// A part of a text, as it stands there.
    Part(Json<'a>, u32),
    /// A number, `true`, `false` or `null`, as JSON writes it.
    Raw(Cow<'a, str>),
    /// A string.
    Text(Cow<'a, str>),
    /// A list.
    List(Vec<Value<'a>>),
    /// An object, its members in order.
    Object(Vec<(Cow<'a, str>, Value<'a>)>),
}

impl<'a> Value<'a> {
    /// `null`
    pub const NULL: Value<'static> = Value::Raw(Cow::Borrowed("null"));

    /// The whole of a text that was read.
    pub fn new(json: Json<'a>) -> Self {
        Value::Part(json, 0)
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        match self {
            Value::Part(json, part) => json.kind(*part),
            Value::Text(_) => Kind::Text,
            Value::List(_) => Kind::List,
            Value::Object(_) => Kind::Object,
            Value::Raw(raw) => match raw.as_ref() {
                "null" => Kind::Null,
                "true" | "false" => Kind::Bool,
                _ => Kind::Number,
            },
        }
    }

    /// Whether it is `null`.
    pub fn is_null(&self) -> bool {
        self.kind() == Kind::Null
    }

    /// What a string says; of anything else its JSON. `None` for `null`.
    pub fn into_plain(self) -> Option<Cow<'a, str>> {
        match self {
            Value::Part(json, part) => match json.kind(part) {
                Kind::Null => None,
                Kind::Text | Kind::Name => Some(json.text(part)),
                Kind::Bool | Kind::Number | Kind::List | Kind::Object => Some(json.raw(part).into()),
            },
            Value::Raw(raw) => (raw != "null").then_some(raw),
            Value::Text(text) => Some(text),
            Value::List(_) | Value::Object(_) => Some(self.to_text().into()),
        }
    }

    /// Lists and objects that are parts of a text become lists and objects of parts: one level, so that they can be changed.
    pub fn open(&mut self) {
        let Value::Part(json, part) = *self else { return };
        match json.kind(part) {
            Kind::List => *self = Value::List(json.items(part).map(|item| Value::Part(json, item)).collect()),
            Kind::Object => {
                let members = json.members(part).map(|(name, value)| (json.text(name), Value::Part(json, value)));
                *self = Value::Object(members.collect());
            }
            Kind::Null | Kind::Bool | Kind::Number | Kind::Text | Kind::Name => {}
        }
    }

    /// What stands in a place. A path with `*` gives a list of all that it leads to.
    pub fn get(&self, steps: &[Step]) -> Option<Value<'a>> {
        let Some((step, rest)) = steps.split_first() else { return Some(self.clone()) };
        match (self, step) {
            (Value::Part(json, part), Step::Name(name)) => match json.kind(*part) {
                Kind::Object => {
                    let (_, value) = json.members(*part).find(|(member, _)| json.text(*member) == name.as_str())?;
                    Value::Part(*json, value).get(rest)
                }
                Kind::List => Value::Part(*json, json.items(*part).nth(name.parse().ok()?)?).get(rest),
                Kind::Null | Kind::Bool | Kind::Number | Kind::Text | Kind::Name => None,
            },
            (Value::Part(json, part), Step::Every) => match json.kind(*part) {
                Kind::Object => {
                    let members = json.members(*part);
                    Some(every(members.map(|(_, value)| Value::Part(*json, value)), rest))
                }
                Kind::List => Some(every(json.items(*part).map(|item| Value::Part(*json, item)), rest)),
                Kind::Null | Kind::Bool | Kind::Number | Kind::Text | Kind::Name => None,
            },
            (Value::Object(members), Step::Name(name)) => {
                members.iter().find(|(member, _)| member == name)?.1.get(rest)
            }
            (Value::List(items), Step::Name(name)) => items.get(name.parse::<usize>().ok()?)?.get(rest),
            (Value::Object(members), Step::Every) => Some(every(members.iter().map(|(_, value)| value.clone()), rest)),
            (Value::List(items), Step::Every) => Some(every(items.iter().cloned(), rest)),
            (Value::Raw(_) | Value::Text(_), _) => None,
        }
    }

    /// The same as a value that borrows from nobody.
    pub fn into_owned(self) -> Value<'static> {
        let mut value = self;
        value.open();
        match value {
            Value::Part(json, part) => match json.kind(part) {
                Kind::Text | Kind::Name => Value::Text(json.text(part).into_owned().into()),
                _ => Value::Raw(json.raw(part).to_owned().into()),
            },
            Value::Raw(raw) => Value::Raw(raw.into_owned().into()),
            Value::Text(text) => Value::Text(text.into_owned().into()),
            Value::List(items) => Value::List(items.into_iter().map(Value::into_owned).collect()),
            Value::Object(members) => Value::Object(
                members.into_iter().map(|(name, value)| (name.into_owned().into(), value.into_owned())).collect(),
            ),
        }
    }

    /// Its JSON.
    pub fn to_text(&self) -> String {
        let mut out = Vec::new();
        self.write(&mut out);
        // Every piece that was written is text.
        String::from_utf8(out).unwrap_or_default()
    }

    /// Writes its JSON. Parts of a text are written as they stand there, with the space in them.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Value::Part(json, part) => match json.kind(*part) {
                Kind::Text | Kind::Name => {
                    out.push(b'"');
                    out.extend_from_slice(json.raw(*part).as_bytes());
                    out.push(b'"');
                }
                _ => out.extend_from_slice(json.raw(*part).as_bytes()),
            },
            Value::Raw(raw) => out.extend_from_slice(raw.as_bytes()),
            Value::Text(text) => write_text(text, out),
            Value::List(items) => {
                out.push(b'[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    item.write(out);
                }
                out.push(b']');
            }
            Value::Object(members) => {
                out.push(b'{');
                for (at, (name, value)) in members.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    write_text(name, out);
                    out.push(b':');
                    value.write(out);
                }
                out.push(b'}');
            }
        }
    }
}

fn every<'a>(values: impl Iterator<Item = Value<'a>>, rest: &[Step]) -> Value<'a> {
    let mut all = Vec::new();
    for value in values {
        match value.get(rest) {
            // What a `*` further down leads to belongs into the same list.
            Some(Value::List(inner)) if rest.contains(&Step::Every) => all.extend(inner),
            Some(found) => all.push(found),
            None => {}
        }
    }
    Value::List(all)
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut start = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..=0x1F => b"",
            _ => continue,
        };
        out.extend_from_slice(&bytes[start..at]);
        match escape {
            b"" => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            escape => out.extend_from_slice(escape),
        }
        start = at + 1;
    }
    out.extend_from_slice(&bytes[start..]);
    out.push(b'"');
}

/// One document by its name, for templates.
#[derive(Debug, Clone, Copy)]
pub struct Document<'a>(pub &'a str, pub &'a Value<'a>);

impl crate::template::Documents for Document<'_> {
    fn part(&self, path: &Path) -> Option<Value<'_>> {
        if path.root() == self.0 { self.1.get(&path.steps()[1..]) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{self, Limits};

    #[test]
    fn what_nobody_opens_is_written_as_it_stands() {
        let text = r#" {"a": 1.10, "b": [1e400, "\u00e9", { }], "a b": null } "#;
        let parts = json::read(text, &Limits::USUAL).expect("it is JSON");
        let mut value = Value::new(Json::new(text, &parts));
        assert_eq!(value.to_text(), text.trim());
        value.open();
        assert_eq!(value.to_text(), r#"{"a":1.10,"b":[1e400, "\u00e9", { }],"a b":null}"#);
        assert_eq!(value.into_owned().to_text(), r#"{"a":1.10,"b":[1e400,"é",{}],"a b":null}"#);
    }

    #[test]
    fn parts_are_found_by_their_path() {
        let text = r#"{"a":{"b.c":"x"},"l":[{"n":1,"t":[1,2]},{"n":"2","t":[3]},{}],"z":null}"#;
        let parts = json::read(text, &Limits::USUAL).expect("it is JSON");
        let part = Value::new(Json::new(text, &parts));
        for value in [part.clone(), part.into_owned()] {
            for (path, expected) in [
                (r"a.b\.c", Some("x")),
                ("l.1.n", Some("2")),
                ("l.*.n", Some(r#"[1,"2"]"#)),
                ("l.*.t.*", Some("[1,2,3]")),
                ("a.*", Some(r#"["x"]"#)),
                ("l.7", None),
                ("l.n", None),
                ("z.*", None),
                ("z", None),
                ("a", Some(r#"{"b.c":"x"}"#)),
            ] {
                let found = value.get(Path::parse(path).expect("a path").steps());
                assert_eq!(found.and_then(Value::into_plain).as_deref(), expected, "{path}");
            }
        }
    }

    #[test]
    fn what_is_new_is_written_as_json() {
        let text = "a\"\\\n\u{1}é\u{7f}";
        let written = Value::Text(text.into()).to_text();
        assert_eq!(serde_json::from_str::<String>(&written).as_deref().ok(), Some(text));
    }
}
