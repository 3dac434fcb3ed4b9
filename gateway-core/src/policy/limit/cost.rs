//! What a request costs: a number, or what the request or its response says.
//!
//! Nobody gets in for nothing by saying so: what a request says counts as 1 at least, and what is no number is 1.

use crate::error::Error;
use crate::http::{Body, parameters};
use crate::platform::{FetchError, Peeked, Platform, ReadError};
use crate::policy::{Departure, Remark, Visit};
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a request costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cost {
    /// This.
    Fixed(u64),
    /// What a field of the request says.
    Header(String),
    /// What a parameter of the query says.
    Query(String),
    /// What the request's JSON body says.
    Body(Place),
    /// What the GraphQL request costs, by the rules of its policy.
    #[cfg(feature = "graphql")]
    Graphql,
    /// What a field of the response says.
    Response(String),
    /// What the response's JSON body says.
    ResponseBody(Place),
}

/// A place in a JSON text: the names and numbers on the way to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place(Vec<String>);

/// How many bytes of a body are read. docs/limits.md says so.
pub const READ: u64 = 1 << 20;

impl Cost {
    /// What is known before the response. A body is read, and goes on as it came; one that is too large is refused.
    pub async fn of<P: Platform>(&self, visit: &mut Visit<'_, P>) -> Result<u64, Error> {
        let told = match self {
            Cost::Fixed(cost) => return Ok(*cost),
            Cost::Header(name) => visit.headers.text(name).and_then(number),
            Cost::Query(name) => {
                let value = visit.query.as_deref().and_then(|query| parameters(query, name).next());
                value.as_deref().and_then(number)
            }
            Cost::Body(place) => place.number_in(&visit.read_body(READ).await?),
            #[cfg(feature = "graphql")]
            Cost::Graphql => visit.memo.operation.as_ref().map(|operation| operation.cost),
            Cost::Response(_) => None,
            Cost::ResponseBody(_) => {
                // What is packed cannot be read, and some platforms ask for that by themselves.
                visit.headers.set("accept-encoding", "identity");
                None
            }
        };
        Ok(told.unwrap_or(1).max(1))
    }

    /// What the response says, if it has a say and says something.
    pub async fn of_response<P: Platform>(&self, departure: &mut Departure<'_, P>) -> Result<Option<u64>, Error> {
        match self {
            Cost::Response(name) => Ok(departure.response.headers.text(name).and_then(number)),
            Cost::ResponseBody(place) => Ok(place.number_in(&json_body(departure).await?)),
            Cost::Fixed(_) | Cost::Header(_) | Cost::Query(_) | Cost::Body(_) => Ok(None),
            #[cfg(feature = "graphql")]
            Cost::Graphql => Ok(None),
        }
    }

    /// Whether the response has a say.
    pub fn is_of_response(&self) -> bool {
        match self {
            Cost::Response(_) | Cost::ResponseBody(_) => true,
            Cost::Fixed(_) | Cost::Header(_) | Cost::Query(_) | Cost::Body(_) => false,
            #[cfg(feature = "graphql")]
            Cost::Graphql => false,
        }
    }
}

/// The response's body, where it is JSON that can be read; it goes on as it came. Of other kinds, streams of events above
/// all, nothing is held back.
async fn json_body<P: Platform>(departure: &mut Departure<'_, P>) -> Result<Vec<u8>, Error> {
    let Departure { platform, response, memo, scope, .. } = departure;
    let length = response.headers.content_length();
    let has_body = scope.line.method != "HEAD" && !matches!(response.status, 101 | 204 | 304);
    if !has_body || !response.headers.is_json() {
        return Ok(Vec::new());
    }
    let mut unread = || {
        let detail = format!("a response is packed, or longer than the {READ} bytes that are read, and counts as 1");
        memo.remarks.push(Remark { problem: "limit-uncertain", detail });
        Ok(Vec::new())
    };
    let coding = response.headers.text("content-encoding");
    if coding.is_some_and(|coding| !coding.eq_ignore_ascii_case("identity"))
        || length.is_some_and(|length| length > READ)
    {
        return unread();
    }
    let bytes = match std::mem::replace(&mut response.body, Body::Empty) {
        Body::Empty => return Ok(Vec::new()),
        Body::Bytes(bytes) => bytes,
        // It becomes what the client gets only on its way.
        body @ (Body::Pumped(..) | Body::Made(_)) => {
            response.body = body;
            return unread();
        }
        Body::Stream(stream) => match platform.peek(stream, usize::try_from(READ).unwrap_or(usize::MAX)).await {
            Ok(Peeked::Whole(bytes)) => bytes,
            Ok(Peeked::Longer(stream)) => {
                response.body = Body::Stream(stream);
                return unread();
            }
            Err(ReadError::Broken(_)) => return Err(Error::UpstreamFailed(FetchError::Reset)),
            Err(ReadError::TooLarge) => return unread(),
        },
    };
    if length.is_none() {
        response.headers.set("content-length", bytes.len().to_string());
    }
    response.body = Body::Bytes(bytes.clone());
    Ok(bytes.into())
}

/// A whole number, too large ones being as large as can be.
fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

impl Place {
    /// Reads a JSON Pointer (RFC 6901).
    pub fn new(pointer: &str) -> Self {
        Self(pointer.split('/').skip(1).map(|name| name.replace("~1", "/").replace("~0", "~")).collect())
    }

    /// The number there, begun ones as whole ones. Where an object has several members of one name, readers differ, and the
    /// largest number counts. Keeps nothing of the text in memory.
    fn number_in(&self, text: &[u8]) -> Option<u64> {
        let mut reader = serde_json::Deserializer::from_slice(text);
        let found = Seek(&self.0).deserialize(&mut reader).ok()?;
        reader.end().ok()?;
        found
    }
}

/// The rest of the way.
struct Seek<'p>(&'p [String]);

impl Seek<'_> {
    fn here(&self, number: Option<u64>) -> Option<u64> {
        number.filter(|_| self.0.is_empty())
    }
}

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = Option<u64>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Option<u64>, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seek<'_> {
    type Value = Option<u64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Option<u64>, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Option<u64>, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Option<u64>, E> {
        // Those that are not negative come as u64.
        Ok(None)
    }

    fn visit_u64<E>(self, number: u64) -> Result<Option<u64>, E> {
        Ok(self.here(Some(number)))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Option<u64>, E> {
        // A conversion ends at the largest number; there is none for what is no number.
        Ok(self.here((number >= 0.0).then(|| number.ceil() as u64)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Option<u64>, E> {
        Ok(self.here(number(text)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Option<u64>, A::Error> {
        let mut found = None;
        while let Some(name) = members.next_key::<String>()? {
            match self.0.split_first() {
                Some((wanted, rest)) if *wanted == name => found = found.max(members.next_value_seed(Seek(rest))?),
                Some(_) | None => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Option<u64>, A::Error> {
        let wanted = self.0.split_first().and_then(|(index, rest)| Some((index.parse::<usize>().ok()?, rest)));
        let mut found = None;
        for at in 0_usize.. {
            let more = match wanted {
                Some((index, rest)) if index == at => items.next_element_seed(Seek(rest))?.map(|number| found = number),
                Some(_) | None => items.next_element::<IgnoredAny>()?.map(drop),
            };
            if more.is_none() {
                return Ok(found);
            }
        }
        Err(A::Error::custom("a list without an end"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_finds_the_number_that_counts() {
        for (pointer, text, cost) in [
            ("/usage/total_tokens", r#"{"a":[1,{"usage":3}],"usage":{"x":1,"total_tokens":42}}"#, Some(42)),
            ("/items/1/n", r#"{"items":[{"n":1},{"n":2},{"n":3}]}"#, Some(2)),
            ("/n", r#"{"n":"17"}"#, Some(17)),
            ("/n", r#"{"n":1.2}"#, Some(2)),
            ("/n", r#"{"n":1e300}"#, Some(u64::MAX)),
            ("/n", r#"{"n":99999999999999999999999}"#, Some(u64::MAX)),
            ("/n", r#"{"n":0}"#, Some(0)),
            ("/a~1b/~0", r#"{"a/b":{"~":5}}"#, Some(5)),
            ("/n", r#"{"n":1,"n":9,"n":3}"#, Some(9)),
            ("/n", r#"{"n":-3}"#, None),
            ("/n", r#"{"n":-0.5}"#, None),
            ("/n", r#"{"n":true}"#, None),
            ("/n", r#"{"n":{"n":1}}"#, None),
            ("/n/n", r#"{"n":1}"#, None),
            ("/5", "[1]", None),
            ("/n", r#"{"n":1} and more"#, None),
            ("/n", r#"{"n":1"#, None),
            ("/n", "", None),
        ] {
            assert_eq!(Place::new(pointer).number_in(text.as_bytes()), cost, "{pointer} in {text}");
        }
    }

    #[test]
    fn what_is_deep_is_passed_over_and_does_no_harm() {
        let deep = format!(r#"{{"x":{}{},"n":3}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(Place::new("/n").number_in(deep.as_bytes()), Some(3));
        let long = Place::new(&"/0".repeat(100_000));
        assert_eq!(long.number_in("[".repeat(100_000).as_bytes()), None);
    }
}
