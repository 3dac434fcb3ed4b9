//! What templates and conditions see of the steps that are over: `steps.NAME.status`, `steps.NAME.headers.FIELD`,
//! `steps.NAME.body…`, of the request `body…`, and `each…`, the item for which a step is repeated.

use super::outcome::{Document, Outcome};
use super::{Answered, Step};
use crate::http::Headers;
use crate::shape::{Path, Step as Part, Value};
use crate::template::Documents;
use std::borrow::Cow;
use std::rc::Rc;

/// The names of the documents, and of what there is of a step.
pub const STEPS: &str = "steps";
/// The item for which a step is repeated.
pub const EACH: &str = "each";
/// The body, of a request or of a step's answer.
pub const BODY: &str = "body";
/// The status of a step's answer.
pub const STATUS: &str = "status";
/// The header fields of a step's answer.
pub const HEADERS: &str = "headers";

/// What can be seen at a moment. It keeps what it shows, whatever is let go meanwhile.
#[derive(Debug, Clone, Default)]
pub struct Sight<'a> {
    steps: &'a [Step],
    outcomes: Vec<Option<Rc<Outcome>>>,
    body: Option<&'a Document>,
    each: Option<Value<'a>>,
}

impl<'a> Sight<'a> {
    /// What came of the steps, each in its place, and the request's body.
    pub fn new(steps: &'a [Step], outcomes: Vec<Option<Rc<Outcome>>>, body: Option<&'a Document>) -> Self {
        Self { steps, outcomes, body, each: None }
    }

    /// The same with an item of a list.
    pub fn with_each<'b>(&self, each: Value<'b>) -> Sight<'b>
    where
        'a: 'b,
    {
        Sight { steps: self.steps, outcomes: self.outcomes.clone(), body: self.body, each: Some(each) }
    }

    /// What came of the step of this name, if it has an answer.
    pub fn answered(&self, name: &str) -> Option<&Answered> {
        let at = self.steps.iter().position(|step| step.name == name)?;
        match self.outcomes.get(at)?.as_deref()? {
            Outcome::Answered(answered) => Some(answered),
            Outcome::Skipped | Outcome::Failed(_) => None,
        }
    }

    /// Everything there is to see, as one value for queries and conditions: `{"steps": {NAME: {"status": …, "body": …}}}`.
    pub fn whole(&self) -> Value<'_> {
        Value::Object(vec![(STEPS.into(), self.all())])
    }

    fn all(&self) -> Value<'_> {
        let known = self.steps.iter().filter_map(|step| {
            let answered = self.answered(&step.name)?;
            let mut members: Vec<(Cow<'_, str>, Value<'_>)> = Vec::with_capacity(3);
            if let Some(status) = answered.status {
                members.push((STATUS.into(), Value::Raw(status.to_string().into())));
                members.push((HEADERS.into(), fields(&answered.headers)));
            }
            members.push((BODY.into(), answered.body.value()));
            Some((Cow::from(&step.name), Value::Object(members)))
        });
        Value::Object(known.collect())
    }

    fn of_step(&self, rest: &[Part]) -> Option<Value<'_>> {
        let (Some((Part::Name(name), rest)), false) = (rest.split_first(), rest.is_empty()) else {
            return Some(self.all());
        };
        let answered = self.answered(name)?;
        match rest.split_first() {
            Some((Part::Name(what), inner)) if what == BODY => answered.body.value().get(inner),
            Some((Part::Name(what), [])) if what == STATUS => Some(Value::Raw(answered.status?.to_string().into())),
            Some((Part::Name(what), [Part::Name(field)])) if what == HEADERS => {
                Some(Value::Text(String::from_utf8_lossy(answered.headers.get(field)?)))
            }
            Some(_) | None => None,
        }
    }
}

/// Fields by name, each with its lines joined (RFC 9110 §5.3).
fn fields(headers: &Headers) -> Value<'_> {
    let mut all: Vec<(Cow<'_, str>, Value<'_>)> = Vec::new();
    for (name, line) in headers.iter() {
        let line = String::from_utf8_lossy(line);
        match all.iter_mut().find(|(known, _)| known == name) {
            Some((_, Value::Text(text))) => {
                text.to_mut().push_str(", ");
                text.to_mut().push_str(&line);
            }
            Some(_) => {}
            None => all.push((name.into(), Value::Text(line))),
        }
    }
    Value::Object(all)
}

impl Documents for Sight<'_> {
    fn part(&self, path: &Path) -> Option<Value<'_>> {
        let (_, rest) = path.steps().split_first()?;
        match path.root() {
            STEPS => self.of_step(rest),
            BODY => self.body?.value().get(rest),
            EACH => self.each.as_ref()?.get(rest),
            _ => None,
        }
    }
}
