//! Answers as an OpenAPI document says that an upstream would: with its examples, or with values that fit its schemas.

use super::error_pages::preferred;
use super::openapi::{self, Known, Path};
use super::{Flow, Visit};
use crate::error::Error;
use crate::http::{Body, Headers, Response, list};
use crate::platform::Platform;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The operations of a document, and what each is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mock {
    /// What all paths begin with, without a slash at its end.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub base: String,
    /// The paths, the most specific first; the numbers of their operations are places in `operations`.
    pub paths: Vec<Path>,
    /// What each operation may be answered, the usual answer first.
    pub operations: Vec<Vec<Answer>>,
    /// What happens to requests that the document does not know.
    pub unknown: openapi::Unknown,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Its status.
    #[serde(rename = "s")]
    pub status: u16,
    /// Its media type; `None`: it has no body.
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What the example is called; empty where it has no name.
    #[serde(rename = "n", default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its body.
    #[serde(rename = "b", default, skip_serializing_if = "String::is_empty")]
    pub body: String,
}

impl Mock {
    /// Answers what the document knows. `Prefer: code=404` and `Prefer: example=NAME` choose among its answers, `Accept` among
    /// their types.
    pub fn on_request<P: Platform>(&self, visit: &Visit<'_, P>) -> Result<Flow<P::Stream>, Error> {
        let line = visit.line;
        let answers = match openapi::find(&self.base, &self.paths, &line.method, &line.path) {
            Known::Operation(_, number) => self.operations.get(number as usize),
            _ if self.unknown == openapi::Unknown::Pass => return Ok(Flow::Continue),
            Known::OtherMethods(allow) if line.method == "OPTIONS" => {
                return Ok(Flow::Respond(crate::answer::options(&allow)));
            }
            Known::OtherMethods(allow) => return Err(Error::MethodNotAllowed { allow }),
            Known::Nothing => return Err(Error::NoRoute),
        };
        let Some(answer) = answers.and_then(|answers| choose(answers, visit.headers)) else {
            return Ok(Flow::Continue);
        };
        let mut headers = Headers::new();
        let body = match &answer.media_type {
            Some(media_type) => {
                headers.set("content-type", media_type);
                headers.set("content-length", answer.body.len().to_string());
                Body::Bytes(Bytes::from(answer.body.clone()))
            }
            None => {
                if !matches!(answer.status, 204 | 304) {
                    headers.set("content-length", "0");
                }
                Body::Empty
            }
        };
        Ok(Flow::Respond(Response { status: answer.status, headers, body }))
    }
}

/// Of the answers with the status and the name that are preferred, the one of the type that is liked best; the first where
/// nothing is said, or nothing fits.
fn choose<'a>(answers: &'a [Answer], headers: &Headers) -> Option<&'a Answer> {
    let preference = |name: &str| {
        list(headers, "prefer").find_map(|preference| {
            let (known, value) = preference.split_once('=')?;
            known.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"').to_owned())
        })
    };
    let status = preference("code").and_then(|code| code.parse::<u16>().ok());
    let status = status.filter(|status| answers.iter().any(|answer| answer.status == *status));
    let status = status.or(answers.first().map(|answer| answer.status))?;
    let fitting: Vec<&Answer> = answers.iter().filter(|answer| answer.status == status).collect();
    let name = preference("example");
    let named: Vec<&Answer> =
        fitting.iter().copied().filter(|answer| name.as_deref() == Some(answer.name.as_str())).collect();
    let fitting = if named.is_empty() { fitting } else { named };
    let types = fitting.iter().map(|answer| answer.media_type.as_deref().unwrap_or_default());
    let best = preferred(headers, types).unwrap_or(0);
    fitting.get(best).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_the_one_that_is_preferred() {
        let answer = |status, media_type: &str, name: &str| Answer {
            status,
            media_type: (!media_type.is_empty()).then(|| media_type.to_owned()),
            name: name.to_owned(),
            body: String::new(),
        };
        let answers = [
            answer(200, "application/json", "one"),
            answer(200, "application/json", "two"),
            answer(200, "text/csv", ""),
            answer(404, "application/json", ""),
        ];
        for (block, place) in [
            ("", 0),
            ("prefer\0code=404\n", 3),
            ("prefer\0example=two, code=200\n", 1),
            ("prefer\0example=none\n", 0),
            ("prefer\0code=500\n", 0),
            ("accept\0text/csv\n", 2),
            ("accept\0text/*;q=0.5, */*;q=0.4\n", 2),
            ("accept\0image/png\n", 0),
        ] {
            let headers = Headers::from_block(block.as_bytes().to_vec());
            assert_eq!(choose(&answers, &headers), Some(&answers[place]), "{block}");
        }
        assert_eq!(choose(&[], &Headers::new()), None);
    }
}
