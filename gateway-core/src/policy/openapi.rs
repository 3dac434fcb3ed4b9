//! Holds requests, and answers if asked, against the operations of an OpenAPI document.

use super::{Departure, Flow, Remark, Visit};
use crate::error::Error;
use crate::http::{Body, Response};
use crate::platform::{Platform, ReadError};
use crate::pump;
use crate::validation::{Operation, Options, Validation, Violation, is_plain};
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// The operations of a document, and what is done by them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpenApi {
    /// What all paths begin with, without a slash at its end.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub base: String,
    /// The paths, the most specific first.
    pub paths: Vec<Path>,
    /// What happens to requests that the document does not know.
    pub unknown: Unknown,
    /// How messages are checked.
    pub options: Options,
    /// What happens to answers that are not as the document says; `None`: they are not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub responses: Option<Responses>,
}

/// A path with its operations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Path {
    /// Its segments.
    pub segments: Vec<Segment>,
    /// Methods, each with the number of its operation.
    pub operations: Vec<(String, u32)>,
}

/// A part of a path between two slashes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Segment {
    /// This text.
    #[serde(rename = "l")]
    Literal(String),
    /// A parameter between two texts, which may be empty.
    #[serde(rename = "p")]
    Parameter {
        /// The text before it.
        #[serde(rename = "b", default, skip_serializing_if = "String::is_empty")]
        before: String,
        /// Its name.
        #[serde(rename = "n")]
        name: String,
        /// The text after it.
        #[serde(rename = "a", default, skip_serializing_if = "String::is_empty")]
        after: String,
    },
}

/// What happens to requests that the document does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unknown {
    /// They are refused: 404 for the path, 405 for the method.
    Refuse,
    /// They go on.
    Pass,
}

/// What happens to answers that are not as the document says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Responses {
    /// The log hears of them.
    Report,
    /// A problem takes their place.
    Refuse,
}

impl Segment {
    /// What stands for the parameter, or `Some("")` where there is none; `None` where the segment is another.
    fn matches<'p>(&self, segment: &'p str) -> Option<&'p str> {
        match self {
            Segment::Literal(literal) => (literal == segment).then_some(""),
            Segment::Parameter { before, after, .. } => {
                let rest = segment.strip_prefix(before.as_str())?.strip_suffix(after.as_str())?;
                (!rest.is_empty()).then_some(rest)
            }
        }
    }
}

/// What a document says of a request.
pub(super) enum Known<'a> {
    /// This operation, by its number.
    Operation(&'a Path, u32),
    /// The path is there, and takes these methods.
    OtherMethods(Vec<String>),
    /// Nothing.
    Nothing,
}

/// What a document says of a request with this method and this path.
pub(super) fn find<'a>(base: &str, paths: &'a [Path], method: &str, path: &str) -> Known<'a> {
    let Some(path) = path.strip_prefix(base).filter(|rest| rest.starts_with('/')) else {
        return Known::Nothing;
    };
    let mut others: Vec<String> = Vec::new();
    for candidate in paths {
        let mut segments = path.split('/').skip(1);
        let fits = candidate
            .segments
            .iter()
            .all(|wanted| segments.next().is_some_and(|segment| wanted.matches(segment).is_some()));
        if !fits || segments.next().is_some() {
            continue;
        }
        // RFC 9110 §9.3.2: HEAD is GET without the content of the answer.
        let by = |wanted: &str| candidate.operations.iter().find(|(method, _)| method == wanted);
        if let Some((_, operation)) = by(method).or_else(|| if method == "HEAD" { by("GET") } else { None }) {
            return Known::Operation(candidate, *operation);
        }
        for (method, _) in &candidate.operations {
            let also = if method == "GET" { Some("HEAD") } else { None };
            for method in [method.as_str()].into_iter().chain(also) {
                if !others.iter().any(|known| known == method) {
                    others.push(method.to_owned());
                }
            }
        }
    }
    if others.is_empty() {
        return Known::Nothing;
    }
    if !others.iter().any(|known| known == "OPTIONS") {
        others.push("OPTIONS".to_owned());
    }
    Known::OtherMethods(others)
}

impl OpenApi {
    fn find(&self, method: &str, path: &str) -> Known<'_> {
        find(&self.base, &self.paths, method, path)
    }

    fn operation(&self, validation: &Validation, number: u32) -> Result<Rc<Operation>, Error> {
        let reason = || format!("the operation {number} of the OpenAPI document cannot be decoded");
        validation.operation(number).ok_or_else(|| Error::Internal { reason: reason() })
    }

    /// Whether a request may go on.
    pub async fn check<P: Platform>(&self, visit: &mut Visit<'_, P>) -> Result<Flow<P::Stream>, Error> {
        let line = visit.line;
        let (path, number) = match self.find(&line.method, &line.path) {
            Known::Operation(path, number) => (path, number),
            _ if self.unknown == Unknown::Pass => return Ok(Flow::Continue),
            Known::OtherMethods(allow) if line.method == "OPTIONS" => {
                return Ok(Flow::Respond(crate::answer::options(&allow)));
            }
            Known::OtherMethods(allow) => return Err(Error::MethodNotAllowed { allow }),
            Known::Nothing => return Err(Error::NoRoute),
        };
        let operation = self.operation(visit.validation, number)?;
        let value = |name: &str| {
            let mut segments = line.path[self.base.len()..].split('/').skip(1);
            path.segments.iter().find_map(|wanted| {
                let value = segments.next().and_then(|segment| wanted.matches(segment))?;
                matches!(wanted, Segment::Parameter { name: known, .. } if known == name).then(|| value.to_owned())
            })
        };
        operation.rules.check(&self.options, visit, value).await?;
        if self.responses.is_some() {
            // An answer that is packed cannot be read, and some platforms ask for that by themselves.
            visit.headers.set("accept-encoding", "identity");
        }
        Ok(Flow::Continue)
    }

    /// Looks at the answer of an upstream, where that is wanted.
    pub async fn on_response<P: Platform>(&self, departure: &mut Departure<'_, P>) -> Result<(), Error> {
        let Some(responses) = self.responses.filter(|_| departure.from_upstream) else { return Ok(()) };
        let line = departure.scope.line;
        let Known::Operation(_, number) = self.find(&line.method, &line.path) else { return Ok(()) };
        let operation = self.operation(departure.validation, number)?;
        let wrong = self.judge(&operation, responses, departure).await?;
        let Some(reason) = wrong else { return Ok(()) };
        let reason = format!("{} {}: the answer {reason}", line.method, line.path);
        match responses {
            Responses::Report => {
                departure.memo.remarks.push(Remark { problem: Error::RESPONSE_REFUSED, detail: reason });
                Ok(())
            }
            Responses::Refuse => Err(Error::ResponseRefused { reason }),
        }
    }

    /// What is wrong with an answer, in words for the log.
    async fn judge<P: Platform>(
        &self,
        operation: &Operation,
        responses: Responses,
        departure: &mut Departure<'_, P>,
    ) -> Result<Option<String>, Error> {
        let Departure { platform, validation, response, scope, .. } = departure;
        let status = response.status;
        let Some((_, rules)) = operation.responses.iter().find(|(statuses, _)| statuses.contain(status)) else {
            return Ok(Some(format!("has the status {status}, which the document does not know")));
        };
        let most = self.options.most;
        let wrong = rules.check_headers(&response.headers, &validation.schemas, most);
        match wrong.map(|violations| tell(&violations)) {
            Ok(None) => {}
            Ok(Some(wrong)) => return Ok(Some(wrong)),
            Err(_) => return Ok(Some("takes too long to check".to_owned())),
        }
        let length = response.headers.content_length();
        let no_body = scope.line.method == "HEAD" || matches!(status, 204 | 304) || length == Some(0);
        if rules.content.is_empty() || no_body {
            return Ok(None);
        }
        let Some(content) = rules.content(&response.headers) else {
            return Ok(Some("has a Content-Type that the document does not know".to_owned()));
        };
        if content.form == crate::validation::content::Form::Opaque {
            return Ok(None);
        }
        if !is_plain(&response.headers) {
            return Ok(Some("has a content coding, so it cannot be read".to_owned()));
        }
        // What has been read cannot be put back, so that only what is sure to fit is read for a report.
        let fits = match (length, responses) {
            (Some(length), _) => length <= self.options.bytes,
            (None, Responses::Report) => false,
            (None, Responses::Refuse) => true,
        };
        if !fits {
            return Ok(Some(format!(
                "is longer than the {} bytes that are read, or does not say how long it is",
                self.options.bytes
            )));
        }
        let limit = usize::try_from(self.options.bytes).unwrap_or(usize::MAX);
        let bytes = match std::mem::replace(&mut response.body, Body::Empty) {
            Body::Empty => return Ok(None),
            Body::Bytes(bytes) => bytes,
            body @ (Body::Stream(_) | Body::Pumped(..) | Body::Made(_)) => {
                match pump::read(*platform, body, limit).await {
                    Ok(bytes) => bytes,
                    Err(ReadError::TooLarge) => {
                        let reason = format!("the answer is longer than the {limit} bytes that are read");
                        return Err(Error::ResponseRefused { reason });
                    }
                    Err(ReadError::Broken(why)) => {
                        return Err(Error::ResponseRefused { reason: format!("the answer broke off: {why}") });
                    }
                }
            }
        };
        let wrong = match content.check(&bytes, &validation.schemas, true, most) {
            Ok(violations) => tell(&violations),
            Err(error) => Some(match error {
                Error::MalformedBody { reason } | Error::JsonRefused { reason } => format!("cannot be read: {reason}"),
                _ => "cannot be read".to_owned(),
            }),
        };
        let Response { headers, body, .. } = &mut **response;
        if length.is_none() {
            headers.set("content-length", bytes.len().to_string());
        }
        *body = Body::Bytes(bytes);
        Ok(wrong)
    }
}

fn tell(violations: &[Violation]) -> Option<String> {
    let all = violations.iter().map(|violation| {
        let Violation { place, name, pointer, message, .. } = violation;
        match name {
            Some(name) => format!("{place} {name} {message}"),
            None => format!("{place} {pointer} {message}"),
        }
    });
    let all: Vec<String> = all.collect();
    if all.is_empty() { None } else { Some(format!("is not as the document says: {}", all.join("; "))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(template: &str, methods: &[(&str, u32)]) -> Path {
        let segments = template.split('/').skip(1).map(|segment| match segment.split_once('{') {
            Some((before, rest)) => {
                let (name, after) = rest.split_once('}').expect("it is closed");
                Segment::Parameter { before: before.into(), name: name.into(), after: after.into() }
            }
            None => Segment::Literal(segment.into()),
        });
        let operations = methods.iter().map(|(method, number)| ((*method).to_owned(), *number)).collect();
        Path { segments: segments.collect(), operations }
    }

    #[test]
    fn operations_are_found_by_the_most_specific_path_that_has_the_method() {
        let options = Options { status: 400, most: 1, bytes: 1, closed_query: false, duplicates: false };
        let paths = vec![
            path("/pets/mine", &[("GET", 1)]),
            path("/pets/{id}", &[("GET", 2), ("PUT", 3)]),
            path("/pets/{id}.json", &[("GET", 4)]),
            path("/", &[("GET", 5)]),
        ];
        let policy = OpenApi { base: "/v1".into(), paths, unknown: Unknown::Refuse, options, responses: None };
        for (method, path, expected) in [
            ("GET", "/v1/pets/mine", Ok(1)),
            ("HEAD", "/v1/pets/mine", Ok(1)),
            ("GET", "/v1/pets/7", Ok(2)),
            ("PUT", "/v1/pets/mine", Ok(3)),
            ("GET", "/v1/", Ok(5)),
            ("DELETE", "/v1/pets/7", Err(4)),
            ("GET", "/v1/pets/", Err(0)),
            ("GET", "/v1", Err(0)),
            ("GET", "/v10/pets/7", Err(0)),
            ("GET", "/pets/7", Err(0)),
            ("GET", "/v1/pets/7/", Err(0)),
        ] {
            let found = match policy.find(method, path) {
                Known::Operation(_, number) => Ok(number),
                Known::OtherMethods(methods) => Err(methods.len()),
                Known::Nothing => Err(0),
            };
            assert_eq!(found, expected, "{method} {path}");
        }
    }
}
