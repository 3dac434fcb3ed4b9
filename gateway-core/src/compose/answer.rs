//! What clients get of the steps: members of an object, or what a template or a query makes of all of them; and how members are
//! written one by one.

use super::outcome::{Failure, Outcome};
use super::{Form, Sight, Step};
use crate::json::Kind;
#[cfg(feature = "queries")]
use crate::shape::query::Query;
use crate::shape::{Blueprint, Edit, Value};
use crate::template::Scope;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// What is made of the steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// An object of these members, in this order.
    Members(Vec<Member>),
    /// What is built.
    Value(Blueprint),
    /// What a query gives for `{"steps": …}`.
    #[cfg(feature = "queries")]
    Query(Query),
}

/// A member of the answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// What it is.
    pub part: Part,
    /// The places of the steps that must be over before it can be made.
    pub needs: Vec<u32>,
}

/// What a member is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The body of the step in this place, with these changes.
    Step(u32, Vec<Edit>),
    /// The members of that body, which become members of the answer.
    Merge(u32, Vec<Edit>),
    /// What is built.
    Template(Blueprint),
}

/// A failure that the answer tells of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The step.
    pub step: String,
    /// The number of the item, of a step that is repeated.
    pub item: Option<u32>,
    /// Why.
    pub failure: Failure,
}

impl Told {
    /// As JSON.
    pub fn value(&self) -> Value<'_> {
        let mut members: Vec<(Cow<'_, str>, Value<'_>)> = vec![("step".into(), Value::Text((&self.step).into()))];
        if let Some(item) = self.item {
            members.push(("item".into(), Value::Raw(item.to_string().into())));
        }
        members.push(("code".into(), Value::Text(self.failure.code().into())));
        if let Failure::Status(status) = self.failure {
            members.push(("status".into(), Value::Raw(status.to_string().into())));
        }
        members.push(("detail".into(), Value::Text(self.failure.detail().into())));
        Value::Object(members)
    }
}

impl Member {
    /// What it is, once its steps are over. `None`: nothing.
    fn value<'s>(&'s self, steps: &'s [Step], scope: &'s Scope<'s>, sight: &'s Sight<'s>) -> Option<Value<'s>> {
        match &self.part {
            Part::Template(blueprint) => blueprint.build(scope),
            Part::Step(at, edits) | Part::Merge(at, edits) => {
                let step = steps.get(*at as usize)?;
                let mut value = sight.answered(&step.name)?.body.value();
                edits.iter().for_each(|edit| edit.apply(&mut value, |_, _| None));
                Some(value)
            }
        }
    }

    /// Its JSON.
    pub fn write(&self, steps: &[Step], scope: &Scope<'_>, sight: &Sight<'_>) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        self.value(steps, scope, sight)?.write(&mut out);
        Some(out)
    }
}

impl Answer {
    /// Whether the step in this place must have an object as its body.
    pub fn merges(&self, step: usize) -> bool {
        let merged = |member: &Member| matches!(member.part, Part::Merge(at, _) if at as usize == step);
        match self {
            Answer::Members(members) => members.iter().any(merged),
            Answer::Value(_) => false,
            #[cfg(feature = "queries")]
            Answer::Query(_) => false,
        }
    }

    /// The whole of it, as JSON, with the failures that it tells of.
    ///
    /// # Errors
    /// Where a query cannot be answered; in words for the log.
    pub fn write(
        &self,
        steps: &[Step],
        scope: &Scope<'_>,
        sight: &Sight<'_>,
        told: &[Told],
    ) -> Result<Vec<u8>, String> {
        let mut out = Vec::new();
        match self {
            Answer::Members(members) => {
                let (mut all, mut places) = (Vec::with_capacity(members.len() + 1), BTreeMap::new());
                let mut put = |name, value| put(&mut all, &mut places, name, value);
                for member in members {
                    let Some(mut value) = member.value(steps, scope, sight) else { continue };
                    match member.part {
                        Part::Step(..) | Part::Template(_) => put((&member.name).into(), value),
                        Part::Merge(..) => {
                            value.open();
                            if let Value::Object(members) = value {
                                members.into_iter().for_each(|(name, value)| put(name, value));
                            }
                        }
                    }
                }
                if !told.is_empty() {
                    put("errors".into(), Value::List(told.iter().map(Told::value).collect()));
                }
                Value::Object(all).write(&mut out);
            }
            Answer::Value(blueprint) => blueprint.build(scope).unwrap_or(Value::NULL).write(&mut out),
            #[cfg(feature = "queries")]
            Answer::Query(query) => query.answer(sight.whole())?.write(&mut out),
        }
        Ok(out)
    }
}

/// Adds a member, in the place of another one of its name.
fn put<'v>(
    all: &mut Vec<(Cow<'v, str>, Value<'v>)>,
    places: &mut BTreeMap<Cow<'v, str>, usize>,
    name: Cow<'v, str>,
    value: Value<'v>,
) {
    match places.get(&name).and_then(|place| all.get_mut(*place)) {
        Some((_, known)) => *known = value,
        None => {
            places.insert(name.clone(), all.len());
            all.push((name, value));
        }
    }
}

/// Whether what a step has answered can become members of the answer.
pub fn is_object(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Answered(answered) => answered.body.value().kind() == Kind::Object,
        Outcome::Skipped | Outcome::Failed(_) => true,
    }
}

/// Writes members one by one.
#[derive(Debug)]
pub struct Writer {
    form: Form,
    /// Whether the object has been opened.
    begun: bool,
}

impl Writer {
    /// Writes in this form.
    pub fn new(form: Form) -> Self {
        Self { form, begun: false }
    }

    /// A member, whose JSON this is.
    pub fn member(&mut self, name: &str, json: &[u8]) -> Vec<u8> {
        match self.form {
            Form::Json => {
                let mut out = self.next();
                Value::Text(name.into()).write(&mut out);
                out.push(b':');
                out.extend_from_slice(json);
                out
            }
            Form::Ndjson | Form::Sse => self.item("member", &[("name", Value::Text(name.into()))], Some(json)),
        }
    }

    /// A failure. `None`: it is told at the end.
    pub fn failure(&mut self, told: &Told) -> Option<Vec<u8>> {
        match self.form {
            Form::Json => None,
            Form::Ndjson | Form::Sse => Some(self.item("error", &[("error", told.value())], None)),
        }
    }

    /// The end: whether it is complete.
    pub fn end(&mut self, told: &[Told], complete: bool) -> Vec<u8> {
        let complete = Value::Raw(if complete { "true" } else { "false" }.into());
        match self.form {
            Form::Json => {
                let mut out = self.next();
                if !told.is_empty() {
                    out.extend_from_slice(b"\"errors\":");
                    Value::List(told.iter().map(Told::value).collect()).write(&mut out);
                    out.extend_from_slice(b",\n");
                }
                out.extend_from_slice(b"\"complete\":");
                complete.write(&mut out);
                out.extend_from_slice(b"}\n");
                out
            }
            Form::Ndjson | Form::Sse => self.item("end", &[("complete", complete)], None),
        }
    }

    /// What stands before the next member of the object.
    fn next(&mut self) -> Vec<u8> {
        if std::mem::replace(&mut self.begun, true) { b",\n".to_vec() } else { b"{".to_vec() }
    }

    /// A line, or an event.
    fn item(&self, kind: &str, members: &[(&str, Value<'_>)], value: Option<&[u8]>) -> Vec<u8> {
        let mut out = Vec::new();
        if self.form == Form::Sse {
            out.extend_from_slice(format!("event: {kind}\ndata: ").as_bytes());
        }
        let start = out.len();
        for (at, (name, member)) in members.iter().enumerate() {
            out.push(if at == 0 { b'{' } else { b',' });
            Value::Text((*name).into()).write(&mut out);
            out.push(b':');
            member.write(&mut out);
        }
        if let Some(value) = value {
            out.extend_from_slice(b",\"value\":");
            out.extend_from_slice(value);
        }
        out.push(b'}');
        // An upstream may have written its JSON over several lines. Within a string there is no line break (RFC 8259 §7).
        for byte in out[start..].iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')) {
            *byte = b' ';
        }
        out.extend_from_slice(if self.form == Form::Sse { b"\n\n" } else { b"\n" });
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(form: Form) -> String {
        let mut writer = Writer::new(form);
        let told = [Told { step: "c".to_owned(), item: Some(2), failure: Failure::Status(500) }];
        let mut out = writer.member("a", b"{\n \"x\": 1\r\n}");
        out.extend(writer.failure(&told[0]).unwrap_or_default());
        out.extend(writer.member("b", b"[]"));
        out.extend(writer.end(&told, false));
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn an_object_that_grows_is_json_when_it_has_ended() {
        let value: serde_json::Value = serde_json::from_str(&written(Form::Json)).expect("JSON");
        let errors =
            r#"[{"step":"c","item":2,"code":"status","status":500,"detail":"It answered with the status 500."}]"#;
        let expected = format!(r#"{{"a":{{"x":1}},"b":[],"errors":{errors},"complete":false}}"#);
        assert_eq!(value, serde_json::from_str::<serde_json::Value>(&expected).expect("JSON"));
        let empty = String::from_utf8(Writer::new(Form::Json).end(&[], true)).expect("text");
        assert_eq!(empty, "{\"complete\":true}\n");
    }

    #[test]
    fn each_member_is_one_line_however_its_upstream_writes_it() {
        let text = written(Form::Ndjson);
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
        assert_eq!(lines[0], serde_json::json!({ "name": "a", "value": { "x": 1 } }));
        assert_eq!(lines[1]["error"]["step"], "c");
        assert_eq!(lines[3], serde_json::json!({ "complete": false }));
    }

    #[test]
    fn events_say_what_they_are() {
        let text = written(Form::Sse);
        let events: Vec<&str> = text.split("\n\n").filter(|event| !event.is_empty()).collect();
        assert_eq!(events.len(), 4);
        assert_eq!(events[2], "event: member\ndata: {\"name\":\"b\",\"value\":[]}");
        assert_eq!(events[3], "event: end\ndata: {\"complete\":false}");
    }
}
