//! What a policy does with bodies: which ones, how they are read, what becomes of them, how they are written.

use super::blueprint::Blueprint;
use super::edit::{self, Edit};
use super::items::Items;
#[cfg(feature = "queries")]
use super::query::Query;
use super::value::{Document, Value};
use crate::error::Error;
use crate::http::{self, Body, Headers, Response, Statuses};
use crate::json::{self, Json, Limits};
use crate::platform::{Platform, ReadError};
use crate::policy::{Departure, Visit};
use crate::pump::{self, Broken};
use crate::template::Scope;
use crate::validation::content::media_type;
use crate::validation::{is_plain, refused};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// The rules for one way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rules {
    /// The kinds of bodies that are changed: media types and ranges, in lower case.
    pub kinds: Vec<String>,
    /// What becomes of the others.
    pub others: Others,
    /// Of responses: those with these statuses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub statuses: Vec<Statuses>,
    /// How many bytes are read at most; of a stream, of one item.
    pub limit: u64,
    /// How they are read.
    #[serde(default, skip_serializing_if = "Format::is_json")]
    pub from: Format,
    /// How they are written.
    #[serde(default, skip_serializing_if = "Format::is_json")]
    pub to: Format,
    /// Whether they are one value, or a stream of them.
    #[serde(default, skip_serializing_if = "Framing::is_whole")]
    pub framing: Framing,
    /// What becomes of an item of a stream that cannot be read.
    #[serde(default, skip_serializing_if = "Invalid::is_fail")]
    pub invalid: Invalid,
    /// What becomes of each value.
    #[serde(default)]
    pub steps: Steps,
}

/// What becomes of a value, in this order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Steps {
    /// What a query gives takes its place.
    #[cfg(feature = "queries")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<Query>,
    /// What is built takes its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<Blueprint>,
    /// Changes by path.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub edits: Vec<Edit>,
}

/// What becomes of bodies of other kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Others {
    /// They go on as they are.
    #[serde(rename = "p")]
    Pass,
    /// They are refused.
    #[serde(rename = "r")]
    Refuse,
}

/// How a body is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// JSON.
    #[default]
    Json,
    /// XML.
    Xml,
    /// As an HTML form sends it.
    Form,
    /// `multipart/form-data`
    Multipart,
    /// Comma-separated values, with names in the first line.
    Csv,
}

impl Format {
    fn is_json(&self) -> bool {
        *self == Format::Json
    }

    /// The media type of what is written this way.
    fn media_type(self) -> &'static str {
        match self {
            Format::Json => "application/json",
            Format::Xml => "application/xml",
            Format::Form => "application/x-www-form-urlencoded",
            Format::Multipart => "multipart/form-data",
            Format::Csv => "text/csv",
        }
    }
}

/// Where values are in a body.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Framing {
    /// It is one.
    #[default]
    Whole,
    /// One in each line.
    Lines,
    /// One in the data of each server-sent event.
    Events,
}

impl Framing {
    fn is_whole(&self) -> bool {
        *self == Framing::Whole
    }
}

/// What becomes of an item of a stream that is no JSON, or too long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Invalid {
    /// The stream breaks off.
    #[default]
    Fail,
    /// It is left out.
    Drop,
    /// It goes on as it is.
    Pass,
}

impl Invalid {
    fn is_fail(&self) -> bool {
        *self == Invalid::Fail
    }
}

/// Why a body could not be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    /// It is not what it says it is; from where on, or why.
    Malformed(String),
    /// It is no JSON, or too much of it.
    Json(json::Refused),
    /// Unpacked, it is longer than the limit.
    TooLarge,
    /// The query cannot be answered from it.
    #[cfg(feature = "queries")]
    Unanswered(String),
}

impl Wrong {
    /// What a client hears of its own body.
    fn of_request(self, limit: u64) -> Error {
        match self {
            Wrong::Malformed(reason) => Error::MalformedBody { reason },
            Wrong::Json(why) => refused(why, &REQUEST),
            Wrong::TooLarge => Error::BodyTooLarge { limit },
            #[cfg(feature = "queries")]
            Wrong::Unanswered(_) => {
                Error::JsonRefused { reason: "The body has another shape than is expected.".to_owned() }
            }
        }
    }

    /// What the log hears of an upstream's body.
    pub(crate) fn tell(self) -> String {
        match self {
            Wrong::Malformed(reason) => reason,
            Wrong::Json(why) => match refused(why, &RESPONSE) {
                Error::MalformedBody { reason } | Error::JsonRefused { reason } => reason,
                other => format!("{other:?}"),
            },
            Wrong::TooLarge => "Unpacked, it is longer than the limit.".to_owned(),
            #[cfg(feature = "queries")]
            Wrong::Unanswered(why) => format!("The query cannot be answered: {why}"),
        }
    }
}

/// How many bytes may be made of a body of which this many are read: in some formats a name stands once, and in others with each value.
/// What is small need not be counted, and may be made of more than the body.
#[cfg(feature = "formats")]
pub(crate) fn most_made(limit: u64) -> usize {
    usize::try_from(limit.max(64 << 10).saturating_mul(16)).unwrap_or(usize::MAX)
}

#[cfg(feature = "formats")]
pub(super) fn too_long(most: usize) -> Wrong {
    Wrong::Malformed(format!("With its names repeated, it would become longer than {most} bytes."))
}

/// A client's JSON may not be read in two ways by those behind us; an upstream's is its own affair.
pub(super) const REQUEST: Limits = Limits::USUAL;
pub(super) const RESPONSE: Limits = Limits { duplicates: true, ..Limits::USUAL };

impl Rules {
    /// Whether the whole of a body is read before anything goes on.
    pub fn is_whole(&self) -> bool {
        self.framing.is_whole()
    }

    /// Asks an upstream for an answer that can be read: the whole of it, and packed only as it can be unpacked.
    pub fn ask_for_plain(&self, headers: &mut Headers) {
        let unpacks = cfg!(feature = "codings") && self.framing == Framing::Whole;
        let takes_gzip = unpacks
            && http::list(headers, "accept-encoding").any(|coding| {
                let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
                name.trim().eq_ignore_ascii_case("gzip")
                    && !matches!(weight.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000")
            });
        headers.set("accept-encoding", if takes_gzip { "gzip" } else { "identity" });
        headers.remove("range");
        headers.remove("if-range");
    }

    /// Changes the body of a request.
    pub async fn on_request<P: Platform>(&self, visit: &mut Visit<'_, P>) -> Result<(), Error> {
        if visit.has_no_body() {
            return Ok(());
        }
        if !self.takes(visit.headers) {
            return match self.others {
                Others::Pass => Ok(()),
                Others::Refuse => Err(Error::UnsupportedMediaType { accept: self.kinds.clone() }),
            };
        }
        let packed = Packed::of(visit.headers).ok_or(Error::UnsupportedContentCoding)?;
        if self.framing != Framing::Whole {
            return self.stream_request(packed, visit);
        }
        let bytes = visit.read_body(self.limit).await?;
        if bytes.is_empty() {
            return Ok(());
        }
        let plain = packed.unpack(bytes, self.limit).map_err(|wrong| wrong.of_request(self.limit))?;
        let content_type = visit.headers.text("content-type").unwrap_or_default().to_owned();
        let new = self.reshape(&plain, &content_type, &REQUEST, &visit.scope());
        let new = new.map_err(|wrong| wrong.of_request(self.limit))?;
        visit.headers.remove("content-encoding");
        self.describe(visit.headers, Some(new.len()));
        *visit.body = Body::Bytes(new.into());
        Ok(())
    }

    /// Changes the body of an upstream's response.
    pub async fn on_response<P: Platform>(&self, departure: &mut Departure<'_, P>) -> Result<(), Error> {
        let Departure { platform, response, scope, .. } = departure;
        let status = response.status;
        if status == 304 {
            weaken(&mut response.headers);
            return Ok(());
        }
        // RFC 9110 §9.3.2: an answer to HEAD has no body, and says what one would have.
        let is_head = scope.line.method == "HEAD";
        let is_empty = matches!(response.body, Body::Empty) && !is_head;
        if is_empty || !self.statuses.iter().any(|statuses| statuses.contain(status)) {
            return Ok(());
        }
        let length = response.headers.content_length();
        // What the upstream was asked for says what the client takes.
        let takes_gzip = scope.view.headers.and_then(|headers| headers.text("accept-encoding")) == Some("gzip");
        if is_head || matches!(status, 204 | 205) || length == Some(0) {
            if self.takes(&response.headers) && length != Some(0) {
                if self.is_whole() && Packed::of_response(*platform, &response.headers).is_some() {
                    pack_again(&mut response.headers, takes_gzip);
                }
                self.describe(&mut response.headers, None);
            }
            return Ok(());
        }
        let refusal =
            |reason: String| Error::ResponseRefused { reason: format!("the answer cannot be transformed: {reason}") };
        if !self.takes(&response.headers) {
            return match self.others {
                Others::Pass => Ok(()),
                Others::Refuse => Err(refusal("it is of another kind".to_owned())),
            };
        }
        if status == 206 {
            return Err(refusal("it is a part of the whole".to_owned()));
        }
        let packed = Packed::of_response(*platform, &response.headers);
        if self.framing != Framing::Whole {
            let packed = packed.ok_or_else(|| refusal(UNKNOWN_CODING.to_owned()))?;
            return self.stream_response(packed, departure);
        }
        if matches!(response.body, Body::Empty) {
            return Ok(());
        }
        let (packed, bytes) = whole(*platform, response, self.limit).await.map_err(refusal)?;
        if bytes.is_empty() {
            response.body = Body::Bytes(bytes);
            return Ok(());
        }
        let content_type = response.headers.text("content-type").unwrap_or_default().to_owned();
        let scope = scope.with_response(status, &response.headers);
        let new = self.reshape(&bytes, &content_type, &RESPONSE, &scope);
        let new = match new {
            Ok(new) if takes_gzip => packed.pack(new),
            Ok(new) => Bytes::from(new),
            Err(wrong) => return Err(refusal(wrong.tell())),
        };
        let Response { headers, body, .. } = &mut **response;
        pack_again(headers, takes_gzip);
        self.describe(headers, Some(new.len()));
        *body = Body::Bytes(new);
        Ok(())
    }

    fn stream_request<P: Platform>(&self, packed: Packed, visit: &mut Visit<'_, P>) -> Result<(), Error> {
        if packed != Packed::Plain {
            return Err(Error::UnsupportedContentCoding);
        }
        let items = Items::new(self, &visit.scope(), REQUEST);
        let body = std::mem::replace(visit.body, Body::Empty);
        // What is in memory breaks at once, what is not breaks off the call.
        *visit.body = body.pumped(items).map_err(|broken| Error::MalformedBody { reason: broken.0 })?;
        self.describe(visit.headers, None);
        Ok(())
    }

    fn stream_response<P: Platform>(&self, packed: Packed, departure: &mut Departure<'_, P>) -> Result<(), Error> {
        let Departure { response, scope, .. } = departure;
        if packed != Packed::Plain {
            let reason = "the answer cannot be transformed: it is a stream with a content coding".to_owned();
            return Err(Error::ResponseRefused { reason });
        }
        let items = Items::new(self, &scope.with_response(response.status, &response.headers), RESPONSE);
        let body = std::mem::replace(&mut response.body, Body::Empty);
        let refused = |broken: Broken| Error::ResponseRefused {
            reason: format!("the answer cannot be transformed: {}", broken.0),
        };
        response.body = body.pumped(items).map_err(refused)?;
        self.describe(&mut response.headers, None);
        Ok(())
    }

    /// Whether a body is of a kind that is changed.
    fn takes(&self, headers: &Headers) -> bool {
        let Some(media_type) = media_type(headers) else { return false };
        self.kinds.iter().any(|range| match range.split_once('*') {
            None => *range == media_type,
            Some((front, back)) => {
                let star = media_type.strip_prefix(front).and_then(|rest| rest.strip_suffix(back));
                star.is_some_and(|star| !star.is_empty())
            }
        })
    }

    /// Reads one value, changes it and writes it.
    fn reshape(&self, bytes: &[u8], content_type: &str, limits: &Limits, scope: &Scope<'_>) -> Result<Vec<u8>, Wrong> {
        let mut out = Vec::with_capacity(bytes.len());
        // Addresses begin with what the request says, and their templates are no part of a blueprint.
        let has_links = self.steps.edits.iter().any(|edit| matches!(edit, Edit::Links(..)));
        let steps = if has_links { Cow::Owned(self.steps.bind(scope)) } else { Cow::Borrowed(&self.steps) };
        let mut then = |value: Value<'_>| {
            steps.run(
                value,
                &|value, then| {
                    let document = Document("body", value);
                    then(&scope.with_documents(&document))
                },
                |value| write(self.to, value, self.limit, &mut out),
            )
        };
        match self.from {
            Format::Json => {
                let text = utf8(bytes)?;
                let parts = json::read(text, limits).map_err(Wrong::Json)?;
                then(Value::new(Json::new(text, &parts)))?;
            }
            #[cfg(feature = "formats")]
            Format::Xml => then(super::xml::read(utf8(bytes)?)?)?,
            #[cfg(feature = "formats")]
            Format::Form => then(super::fields::form(utf8(bytes)?))?,
            #[cfg(feature = "formats")]
            Format::Multipart => then(super::fields::multipart(bytes, content_type)?)?,
            #[cfg(feature = "formats")]
            Format::Csv => then(super::csv::read(bytes, most_made(self.limit))?)?,
            #[cfg(not(feature = "formats"))]
            Format::Xml | Format::Form | Format::Multipart | Format::Csv => {
                return Err(Wrong::Malformed(format!("Bodies of the type {content_type} cannot be read here.")));
            }
        }
        Ok(out)
    }

    /// Says of a body what is true of the new one. The old one's digests are not.
    fn describe(&self, headers: &mut Headers, length: Option<usize>) {
        match length {
            Some(length) => headers.set("content-length", length.to_string()),
            None => headers.remove("content-length"),
        }
        if self.from != self.to {
            headers.set("content-type", self.to.media_type());
        } else if let Some(right) = headers.text("content-type").and_then(in_utf8) {
            headers.set("content-type", right);
        }
        headers.forget_bytes();
        weaken(headers);
    }
}

/// A media type with the right charset, where it names another one: what is written here is UTF-8.
fn in_utf8(content_type: &str) -> Option<String> {
    let is_wrong = |part: &&str| {
        part.split_once('=').is_some_and(|(name, value)| {
            let is_utf8 = value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8");
            name.trim().eq_ignore_ascii_case("charset") && !is_utf8
        })
    };
    let parts = http::split_unquoted(content_type.as_bytes(), b';').map(std::str::from_utf8);
    let parts: Vec<&str> = parts.collect::<Result<_, _>>().ok()?;
    parts.iter().any(is_wrong).then(|| {
        let right = parts.iter().map(|part| if is_wrong(part) { " charset=utf-8" } else { part });
        right.collect::<Vec<_>>().join(";")
    })
}

/// Says how a body is packed that has come packed: as [`Packed::pack`] does it, or as the platform does by what is said here. RFC
/// 9110 §12.5.5: another client may get it in another way.
fn pack_again(headers: &mut Headers, takes_gzip: bool) {
    if is_plain(headers) {
        return;
    }
    if takes_gzip {
        headers.set("content-encoding", "gzip");
    } else {
        headers.remove("content-encoding");
    }
    if !http::list(headers, "vary").any(|name| name == "*" || name.eq_ignore_ascii_case("accept-encoding")) {
        headers.append("vary", "accept-encoding");
    }
}

/// RFC 9110 §8.8.1: what is changed on the way is the same at most in what it means, so its tag is a weak one.
fn weaken(headers: &mut Headers) {
    let Some(tag) = headers.text("etag") else { return };
    if !tag.starts_with("W/") {
        let weak = format!("W/{tag}");
        headers.set("etag", weak);
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, Wrong> {
    std::str::from_utf8(bytes).map_err(|_| Wrong::Malformed("The body is not UTF-8.".to_owned()))
}

#[cfg_attr(not(feature = "formats"), expect(unused_variables, reason = "JSON repeats no names"))]
fn write(format: Format, value: &Value<'_>, limit: u64, out: &mut Vec<u8>) -> Result<(), Wrong> {
    match format {
        #[cfg(feature = "formats")]
        Format::Xml => super::xml::write(value, most_made(limit), out),
        _ => {
            value.write(out);
            Ok(())
        }
    }
}

/// Whoever fills holes while a document is looked at.
type Filled<'f> = dyn Fn(&Value<'_>, &mut dyn FnMut(&dyn crate::template::Fill)) + 'f;

impl Steps {
    /// Takes a value through all steps.
    pub(super) fn run<T>(
        &self,
        value: Value<'_>,
        with: &Filled<'_>,
        then: impl FnOnce(&Value<'_>) -> Result<T, Wrong>,
    ) -> Result<T, Wrong> {
        #[cfg(feature = "queries")]
        let value = match &self.query {
            Some(query) => query.answer(value).map_err(Wrong::Unanswered)?,
            None => value,
        };
        let value = match &self.template {
            Some(template) => {
                let mut built = None;
                with(&value, &mut |source| built = edit::filled(source, template));
                built.unwrap_or(Value::NULL)
            }
            None => value,
        };
        let mut value = value;
        for change in &self.edits {
            change.apply(&mut value, |value, blueprint| {
                let mut built = None;
                with(value, &mut |source| built = edit::filled(source, blueprint));
                built
            });
        }
        then(&value)
    }

    /// The same with everything filled in that is known now, so that it outlives the request.
    pub(super) fn bind(&self, scope: &Scope<'_>) -> Self {
        Self {
            #[cfg(feature = "queries")]
            query: self.query.clone(),
            template: self.template.as_ref().and_then(|template| template.bind(scope)),
            edits: self.edits.iter().map(|edit| edit.bind(scope)).collect(),
        }
    }
}

/// Reads the whole body of a response into memory and unpacks it. In words for the log, why that cannot be.
pub(crate) async fn whole<P: Platform>(
    platform: &P,
    response: &mut Response<P::Stream>,
    most: u64,
) -> Result<(Packed, Bytes), String> {
    let packed = Packed::of_response(platform, &response.headers).ok_or(UNKNOWN_CODING)?;
    let too_long = || format!("it is longer than the {most} bytes that are read");
    if response.headers.content_length().is_some_and(|length| length > most) {
        return Err(too_long());
    }
    let room = usize::try_from(most).unwrap_or(usize::MAX);
    let bytes = match std::mem::replace(&mut response.body, Body::Empty) {
        Body::Empty => Bytes::new(),
        Body::Bytes(bytes) if bytes.len() > room => return Err(too_long()),
        Body::Bytes(bytes) => bytes,
        body @ (Body::Stream(_) | Body::Pumped(..) | Body::Made(_)) => {
            pump::read(platform, body, room).await.map_err(|error| match error {
                ReadError::TooLarge => too_long(),
                ReadError::Broken(why) => format!("it broke off: {why}"),
            })?
        }
    };
    if bytes.is_empty() {
        return Ok((packed, bytes));
    }
    packed.unpack(bytes, most).map(|plain| (packed, plain)).map_err(Wrong::tell)
}

const UNKNOWN_CODING: &str = "it has a content coding that is not known here";

/// How a body is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packed {
    /// Not at all, or by the platform.
    Plain,
    #[cfg(feature = "codings")]
    Gzip,
    #[cfg(feature = "brotli")]
    Brotli,
}

impl Packed {
    /// What a response says of a body that the platform may unpack when it is read.
    fn of_response<P: Platform>(platform: &P, headers: &Headers) -> Option<Self> {
        let by_platform = http::list(headers, "content-encoding").all(|coding| platform.decodes(coding));
        if by_platform { Some(Packed::Plain) } else { Packed::of(headers) }
    }

    /// What a message says; `None` where that is more than is known here.
    fn of(headers: &Headers) -> Option<Self> {
        if is_plain(headers) {
            return Some(Packed::Plain);
        }
        #[cfg(feature = "codings")]
        {
            let mut codings = http::list(headers, "content-encoding");
            let (Some(coding), None) = (codings.next(), codings.next()) else { return None };
            if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip") {
                return Some(Packed::Gzip);
            }
            #[cfg(feature = "brotli")]
            if coding.eq_ignore_ascii_case("br") {
                return Some(Packed::Brotli);
            }
        }
        None
    }

    #[cfg_attr(not(feature = "codings"), expect(unused_variables, reason = "plain bytes have been measured"))]
    fn unpack(self, bytes: Bytes, limit: u64) -> Result<Bytes, Wrong> {
        match self {
            Packed::Plain => Ok(bytes),
            #[cfg(feature = "codings")]
            Packed::Gzip => super::coding::gunzip(&bytes, limit),
            #[cfg(feature = "brotli")]
            Packed::Brotli => super::coding::unbrotli(&bytes, limit),
        }
    }

    /// In gzip, where it has come packed and not to the platform: Brotli is not written here.
    fn pack(self, bytes: Vec<u8>) -> Bytes {
        match self {
            Packed::Plain => bytes.into(),
            #[cfg(feature = "codings")]
            Packed::Gzip => super::coding::gzip(&bytes),
            #[cfg(feature = "brotli")]
            Packed::Brotli => super::coding::gzip(&bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charset_that_is_no_longer_right_becomes_utf_8() {
        for (content_type, expected) in [
            ("application/xml", None),
            ("application/xml; charset=UTF-8", None),
            ("application/xml;charset=\"utf-8\"", None),
            ("text/xml; charset=iso-8859-1", Some("text/xml; charset=utf-8")),
            ("text/xml;Charset=\"us-ascii\" ; q=1", Some("text/xml; charset=utf-8; q=1")),
            (
                "application/soap+xml; action=\"a;charset=x;\\\";b\"; charset=utf-16",
                Some("application/soap+xml; action=\"a;charset=x;\\\";b\"; charset=utf-8"),
            ),
            ("application/soap+xml; action=\"a;charset=x\"", None),
            ("text/xml; charset", None),
        ] {
            assert_eq!(in_utf8(content_type).as_deref(), expected, "{content_type}");
        }
    }
}
