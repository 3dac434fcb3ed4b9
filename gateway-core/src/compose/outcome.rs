//! What came of a step: an answer that could be read, nothing, or a failure that can be told.

use super::{Format, LIMITS, Step};
use crate::error::Error;
use crate::http::{Headers, Response};
use crate::json::{self, Json, Limits, Part, Refused};
use crate::platform::FetchError;
use crate::shape::Value;
use crate::upstream::Ended;
use bytes::Bytes;

/// A JSON text that has been read, and is kept.
#[derive(Debug, Clone, Default)]
pub struct Document {
    text: String,
    parts: Vec<Part>,
}

impl Document {
    /// Reads a text of an upstream.
    ///
    /// # Errors
    /// Where it is no JSON, or too deep.
    pub fn read(text: String) -> Result<Self, Refused> {
        Self::read_within(text, &LIMITS)
    }

    /// Reads a text within limits.
    ///
    /// # Errors
    /// Where it is no JSON, or holds more than they say.
    pub fn read_within(text: String, limits: &Limits) -> Result<Self, Refused> {
        let parts = json::read(&text, limits)?;
        Ok(Self { text, parts })
    }

    /// A document that is just this.
    pub fn of(value: &Value<'_>) -> Self {
        // What was written from a value can be read. It may be deeper than what an upstream may send: it is made of that.
        let limits = Limits { depth: u32::MAX, ..LIMITS };
        Self::read_within(value.to_text(), &limits).unwrap_or_else(|_| Self::null())
    }

    /// `null`
    pub fn null() -> Self {
        let text = "null".to_owned();
        let parts = json::read(&text, &LIMITS).unwrap_or_default();
        Self { text, parts }
    }

    /// The whole of it.
    pub fn value(&self) -> Value<'_> {
        Value::new(Json::new(&self.text, &self.parts))
    }

    /// How many bytes it has.
    pub fn size(&self) -> u64 {
        self.text.len() as u64
    }
}

/// What came of a step.
#[derive(Debug)]
pub enum Outcome {
    /// An answer.
    Answered(Answered),
    /// Nothing: its condition did not hold, or what it needs was left out.
    Skipped,
    /// A failure.
    Failed(Failure),
}

/// An answer that could be read.
#[derive(Debug, Default)]
pub struct Answered {
    /// Its status; `None` where it was made of several, or takes the place of a failure.
    pub status: Option<u16>,
    /// Its header fields.
    pub headers: Headers,
    /// Its body.
    pub body: Document,
    /// What failed of it, where it was made of several: the number of the item, and why.
    pub failures: Vec<(Option<u32>, Failure)>,
    /// Whether something of it is missing, or something else takes its place.
    pub partial: bool,
}

/// Why a step has no answer. What of it is told to clients names neither addresses nor what an upstream has said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The upstream answered with this status.
    Status(u16),
    /// There was no answer in time.
    Timeout,
    /// There was no answer, or only a part of it.
    Unreachable,
    /// The upstream is not asked for a while.
    Unavailable,
    /// The answer is of another kind, which only the log hears of.
    NotJson(String),
    /// The answer cannot be read as what it says it is.
    Malformed,
    /// The answer is nested too deep.
    TooDeep,
    /// The answer is longer than what is read.
    TooLarge,
    /// What the path, or the list, is made of is not there.
    Missing(String),
    /// What the path is made of cannot stand in one.
    BadPath,
    /// What is to be repeated is no list.
    NoList,
    /// It is a list of more items than are taken.
    TooMany,
    /// The condition cannot be judged: why, for the log.
    Condition(String),
    /// What is to become members of the answer is no object.
    NoObject,
}

impl Failure {
    /// A word for it, that programs can rely on.
    pub fn code(&self) -> &'static str {
        match self {
            Failure::Status(_) => "status",
            Failure::Timeout => "timeout",
            Failure::Unreachable => "unreachable",
            Failure::Unavailable => "unavailable",
            Failure::NotJson(_) => "not-json",
            Failure::Malformed => "malformed",
            Failure::TooDeep => "too-deep",
            Failure::TooLarge => "too-large",
            Failure::Missing(_) => "missing-value",
            Failure::BadPath => "bad-path",
            Failure::NoList => "no-list",
            Failure::TooMany => "too-many-items",
            Failure::Condition(_) => "condition",
            Failure::NoObject => "no-object",
        }
    }

    /// A sentence for the client.
    pub fn detail(&self) -> String {
        match self {
            Failure::Status(status) => format!("It answered with the status {status}."),
            Failure::Timeout => "It gave no answer in time.".to_owned(),
            Failure::Unreachable => "It gave no answer.".to_owned(),
            Failure::Unavailable => "It is not asked for a while, since it has failed too often.".to_owned(),
            Failure::NotJson(_) => "It answered with something else than JSON.".to_owned(),
            Failure::Malformed => "Its answer cannot be read.".to_owned(),
            Failure::TooDeep => "Its answer is nested too deep.".to_owned(),
            Failure::TooLarge => "Its answer is too long.".to_owned(),
            Failure::Missing(_) => "Something that it needs is not there.".to_owned(),
            Failure::BadPath => "What it needs cannot stand in a path.".to_owned(),
            Failure::NoList => "What it is repeated for is no list.".to_owned(),
            Failure::TooMany => "The list that it is repeated for is too long.".to_owned(),
            Failure::Condition(_) => "Its condition cannot be judged.".to_owned(),
            Failure::NoObject => "Its answer is no object.".to_owned(),
        }
    }

    /// For the log, where there is more to say.
    pub fn why(&self) -> String {
        match self {
            Failure::NotJson(kind) if kind.is_empty() => "it answered without a content type".to_owned(),
            Failure::NotJson(kind) => format!("it answered with `{kind}` instead of JSON"),
            Failure::Missing(what) => format!("`{what}` is not there"),
            Failure::Condition(why) => why.clone(),
            other => other.detail(),
        }
    }

    /// What the client gets where it makes the whole fail.
    pub fn into_error(self, step: &str) -> Error {
        let status = if self == Failure::Timeout { 504 } else { 502 };
        let detail = format!("The step `{step}` has failed. {}", self.detail());
        Error::CompositionFailed { status, detail, reason: format!("the step `{step}`: {}", self.why()) }
    }

    /// What a response is that the gateway has made for want of an upstream's.
    pub fn of_refusal(status: u16) -> Self {
        match status {
            504 => Failure::Timeout,
            503 => Failure::Unavailable,
            _ => Failure::Unreachable,
        }
    }
}

/// How a call of a step ended, as rules about further ones see it; `None`: another one would fail as this one did. `patience` is what its
/// answer asked for, in milliseconds.
pub fn ended(outcome: &Outcome, patience: Option<u64>) -> Option<Ended> {
    let Outcome::Failed(failure) = outcome else { return None };
    match failure {
        Failure::Status(status) => Some(Ended::Answered { status: *status, retry_after: patience }),
        Failure::Timeout => Some(Ended::Failed(FetchError::Timeout)),
        Failure::Unreachable => Some(Ended::Failed(FetchError::Reset)),
        Failure::Unavailable
        | Failure::NotJson(_)
        | Failure::Malformed
        | Failure::TooDeep
        | Failure::TooLarge
        | Failure::Missing(_)
        | Failure::BadPath
        | Failure::NoList
        | Failure::TooMany
        | Failure::Condition(_)
        | Failure::NoObject => None,
    }
}

/// What an answer's head says of it: whether its body is worth reading.
pub fn judge<S>(step: &Step, response: &Response<S>) -> Result<(), Failure> {
    if !step.success.iter().any(|statuses| statuses.contain(response.status)) {
        return Err(Failure::Status(response.status));
    }
    if response.headers.content_length().is_some_and(|length| length > step.limit) {
        return Err(Failure::TooLarge);
    }
    Ok(())
}

/// Reads an answer's body. One of no bytes is `null`.
pub fn read(step: &Step, headers: &Headers, body: &Bytes) -> Result<Document, Failure> {
    if body.is_empty() {
        return Ok(Document::null());
    }
    if step.format == Format::Json && !headers.is_json() {
        return Err(Failure::NotJson(headers.media_type()));
    }
    let text = std::str::from_utf8(body).map_err(|_| Failure::Malformed)?;
    let refused = |refused| match refused {
        Refused::Depth => Failure::TooDeep,
        Refused::Syntax(_) | Refused::Members | Refused::Items | Refused::Text | Refused::Name | Refused::Duplicate => {
            Failure::Malformed
        }
    };
    match step.format {
        Format::Json => Document::read(text.to_owned()).map_err(refused),
        Format::Text => Document::read(Value::Text(text.into()).to_text()).map_err(refused),
        #[cfg(feature = "formats")]
        Format::Xml => {
            let value = crate::shape::xml::read(text).map_err(|_| Failure::Malformed)?;
            Document::read(value.to_text()).map_err(refused)
        }
        #[cfg(not(feature = "formats"))]
        Format::Xml => Err(Failure::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_read_once_and_kept() {
        let document = Document::read(r#"{"a": [1, {"b": null}]}"#.to_owned()).expect("JSON");
        assert_eq!(document.value().to_text(), r#"{"a": [1, {"b": null}]}"#);
        assert_eq!(Document::of(&document.value()).size(), document.size());
        assert_eq!(Document::null().value().to_text(), "null");
        assert_eq!(Document::read("[".repeat(70)).map(|_| ()), Err(Refused::Depth));
        let deepest = Document::read(format!("{}{}", "[".repeat(64), "]".repeat(64))).expect("as deep as is read");
        assert_eq!(Document::of(&Value::List(vec![deepest.value()])).size(), 130);
    }

    #[test]
    fn every_failure_has_a_word_and_a_sentence_that_say_nothing_from_inside() {
        for failure in [
            Failure::Status(500),
            Failure::Timeout,
            Failure::Unreachable,
            Failure::Unavailable,
            Failure::NotJson("text/secret".to_owned()),
            Failure::Malformed,
            Failure::TooDeep,
            Failure::TooLarge,
            Failure::Missing("steps.secret".to_owned()),
            Failure::BadPath,
            Failure::NoList,
            Failure::TooMany,
            Failure::Condition("secret".to_owned()),
            Failure::NoObject,
        ] {
            let (code, detail) = (failure.code(), failure.detail());
            assert!(code.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{code}");
            assert!(detail.ends_with('.') && !detail.contains("secret"), "{detail}");
        }
    }
}
