//! Bodies, by their kinds.

use super::parameter::{Shape, object};
use super::{Options, Violation, is_plain, refused, too_costly};
use crate::error::Error;
use crate::http::{self, Headers, is_token};
use crate::json::{self, Json};
use crate::platform::Platform;
use crate::policy::Visit;
use crate::schema::{SchemaId, Schemas};
use serde::{Deserialize, Serialize};

/// What a request's body must be like.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Body {
    /// Whether there must be one.
    #[serde(rename = "r", default)]
    pub required: bool,
    /// The kinds that are taken.
    #[serde(rename = "c")]
    pub content: Vec<Content>,
}

/// One kind of bodies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Content {
    /// In lower case: `application/json`, `application/*+json`, `image/*`, `*/*`.
    #[serde(rename = "m")]
    pub media_type: String,
    /// What is in it.
    #[serde(rename = "f")]
    pub form: Form,
}

/// How a body is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Form {
    /// As JSON.
    #[serde(rename = "j")]
    Json(SchemaId),
    /// As an HTML form sends it (`application/x-www-form-urlencoded`).
    #[serde(rename = "f")]
    Fields(SchemaId, Shape),
    /// Not at all.
    #[serde(rename = "o")]
    Opaque,
}

impl Body {
    /// Adds what is wrong with the body. Fails where it is not one that can be judged.
    pub(super) async fn check<P: Platform>(
        &self,
        options: &Options,
        visit: &mut Visit<'_, P>,
        violations: &mut Vec<Violation>,
    ) -> Result<(), Error> {
        let mut missing = || {
            if self.required {
                violations.push(violation("required", "is missing"));
            }
        };
        if visit.has_no_body() {
            missing();
            return Ok(());
        }
        let accept = || self.content.iter().map(|content| content.media_type.clone()).collect();
        let media_type = media_type(visit.headers);
        let Some(content) = media_type.as_ref().and_then(|media_type| find(&self.content, media_type)) else {
            // Only reading tells a stream without anything in it from a body of an unknown kind.
            if media_type.is_none()
                && !visit.headers.contains("content-type")
                && visit.read_body(options.bytes).await?.is_empty()
            {
                missing();
                return Ok(());
            }
            return Err(Error::UnsupportedMediaType { accept: accept() });
        };
        if content.form == Form::Opaque && !self.required {
            return Ok(());
        }
        if content.form != Form::Opaque && !is_plain(visit.headers) {
            return Err(Error::UnsupportedContentCoding);
        }
        if content.form == Form::Opaque {
            // A length says enough; without one there is something to come.
            return Ok(());
        }
        let bytes = visit.read_body(options.bytes).await?;
        if bytes.is_empty() {
            missing();
            return Ok(());
        }
        let schemas = &visit.validation.schemas;
        violations.extend(content.check(&bytes, schemas, options.duplicates, options.most - violations.len())?);
        Ok(())
    }
}

impl Content {
    /// What is wrong with a body of this kind.
    pub fn check(
        &self,
        bytes: &[u8],
        schemas: &Schemas,
        duplicates: bool,
        most: usize,
    ) -> Result<Vec<Violation>, Error> {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return Err(Error::MalformedBody { reason: "The body is not UTF-8.".to_owned() });
        };
        let limits = json::Limits { duplicates, ..json::Limits::USUAL };
        let mut violations = Vec::new();
        let (schema, text) = match &self.form {
            Form::Opaque => return Ok(violations),
            Form::Json(schema) => (*schema, std::borrow::Cow::Borrowed(text)),
            Form::Fields(schema, shape) => match object(text, shape) {
                Ok(text) => (*schema, text.into()),
                Err(wrong) => {
                    violations.push(Violation { pointer: wrong.pointer, ..violation(wrong.keyword, wrong.message) });
                    return Ok(violations);
                }
            },
        };
        let parts = json::read(&text, &limits).map_err(|why| refused(why, &limits))?;
        let findings = schemas.check(schema, Json::new(&text, &parts), most).map_err(too_costly)?;
        violations.extend(
            findings
                .into_iter()
                .map(|finding| Violation { pointer: finding.pointer, ..violation(finding.keyword, finding.message) }),
        );
        Ok(violations)
    }
}

fn violation(keyword: &'static str, message: impl Into<String>) -> Violation {
    Violation { place: "body", name: None, pointer: String::new(), keyword, message: message.into() }
}

/// The kind of the body, without parameters and in lower case. `None` where there is none, or others could read it in another way.
pub fn media_type(headers: &Headers) -> Option<String> {
    let mut lines = headers.all("content-type");
    let (line, None) = (lines.next()?, lines.next()) else { return None };
    let text = std::str::from_utf8(line).ok()?;
    let (essence, parameters) = text.split_once(';').unwrap_or((text, ""));
    // JSON and forms are UTF-8; what says otherwise would be read otherwise behind us.
    let charset = parameters
        .split(';')
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    let utf8 = charset.is_none_or(|(_, value)| {
        let value = value.trim().trim_matches('"');
        ["utf-8", "utf8", "us-ascii"].iter().any(|name| value.eq_ignore_ascii_case(name))
    });
    let essence = essence.trim().to_ascii_lowercase();
    let (kind, subtype) = essence.split_once('/')?;
    (is_token(kind) && is_token(subtype) && (utf8 || !is_json(&essence) && essence != FORM)).then_some(essence)
}

/// What HTML forms send.
pub const FORM: &str = "application/x-www-form-urlencoded";

/// Whether bodies of this kind are JSON (RFC 8259 §11, RFC 6839 §3.1).
pub fn is_json(media_type: &str) -> bool {
    matches!(media_type, "application/json" | "text/json" | "application/*+json" | "*/*+json")
        || media_type.ends_with("+json")
}

/// The most specific of the kinds that a media type is of.
pub fn find<'a>(content: &'a [Content], media_type: &str) -> Option<&'a Content> {
    let covers = |range: &str| match range.split_once('*') {
        None => range == media_type,
        Some(("", _)) => true,
        Some((front, back)) => {
            let star = media_type.strip_prefix(front).and_then(|rest| rest.strip_suffix(back));
            star.is_some_and(|star| !star.is_empty())
        }
    };
    let fitting = content.iter().filter(|content| covers(&content.media_type));
    fitting.max_by_key(|content| (!content.media_type.contains('*'), content.media_type.len()))
}

impl<P: Platform> Visit<'_, P> {
    /// Whether it is known without reading that there is no body.
    pub fn has_no_body(&self) -> bool {
        matches!(self.body, http::Body::Empty) || self.headers.text("content-length") == Some("0")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_kind_counts() {
        let kinds = ["application/json", "application/*", "*/*", "application/*+json"];
        let content: Vec<Content> =
            kinds.iter().map(|kind| Content { media_type: (*kind).to_owned(), form: Form::Opaque }).collect();
        for (media_type, expected) in [
            ("application/json", "application/json"),
            ("application/xml", "application/*"),
            ("text/plain", "*/*"),
            ("application/problem+json", "application/*+json"),
        ] {
            assert_eq!(find(&content, media_type).map(|content| content.media_type.as_str()), Some(expected));
        }
        assert_eq!(find(&content[..1], "text/plain"), None);
    }

    #[test]
    fn a_kind_that_could_be_read_in_two_ways_is_none() {
        for (block, expected) in [
            ("content-type\0Application/JSON; charset=UTF-8\n", Some("application/json")),
            ("content-type\0application/json; charset=utf-16\n", None),
            ("content-type\0text/plain; charset=iso-8859-1\n", Some("text/plain")),
            ("content-type\0application/json, text/plain\n", None),
            ("content-type\0application/json\ncontent-type\0text/plain\n", None),
            ("content-type\0json\n", None),
            ("", None),
        ] {
            let headers = Headers::from_block(block.as_bytes().to_vec());
            assert_eq!(media_type(&headers).as_deref(), expected, "{block}");
        }
    }
}
