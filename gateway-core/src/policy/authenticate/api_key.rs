//! A key in a header field, a query parameter or a cookie.

use super::Verdict;
use crate::caller::Caller;
use crate::consumer::{By, Consumer, Consumers, hash};
use crate::http::Headers;
use crate::platform::{Platform, Timestamp};
use crate::request::Line;
use crate::secret::Secret;
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// Where a key is looked for, and whether it goes on to the upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKeyMethod {
    /// The places, in the order in which they are looked at.
    pub places: Vec<Place>,
    /// Whether the upstream gets to see it.
    #[serde(default)]
    pub keep: bool,
}

/// Where a key can stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// A header field, by its lower-case name. A leading `Bearer ` or `ApiKey ` is not part of the key.
    Header(String),
    /// A query parameter.
    Query(String),
    /// A cookie.
    Cookie(String),
}

impl ApiKeyMethod {
    /// Looks for a key and asks whose it is.
    pub async fn judge<P: Platform>(
        &self,
        line: &Line,
        headers: &Headers,
        consumers: &Consumers,
        platform: &P,
    ) -> Verdict {
        let key = match self.key(line, headers) {
            Ok(Some(key)) => key,
            Ok(None) => return Verdict::Missing,
            Err(reason) => return Verdict::Wrong(reason),
        };
        // Looked up by its hash: what differs in time depends on the hash, which says nothing of the key.
        let hash = Secret::new(hash(&key));
        match consumers.look_up(platform, By::Key(hash.reveal())).await {
            Ok(Some(consumer)) => judge(consumers, &consumer, &hash, platform.now()),
            Ok(None) => Verdict::Wrong(UNKNOWN),
            Err(error) => Verdict::Unknowable(error.0),
        }
    }

    /// The key of a request. Two keys at once are no key: nobody can say which was meant.
    fn key(&self, line: &Line, headers: &Headers) -> Result<Option<String>, &'static str> {
        let mut found: Option<String> = None;
        for place in &self.places {
            for key in place.keys(line, headers) {
                if found.as_ref().is_some_and(|found| *found != key) {
                    return Err("The request holds several API keys.");
                }
                found = Some(key);
            }
        }
        Ok(found)
    }

    /// Takes the key out of what goes on.
    pub fn strip(&self, headers: &mut Headers, query: &mut Option<String>) {
        if self.keep {
            return;
        }
        for place in &self.places {
            match place {
                Place::Header(name) => headers.remove(name),
                Place::Query(name) => *query = query.take().and_then(|query| without_parameter(&query, name)),
                Place::Cookie(name) => strip_cookie(headers, name),
            }
        }
    }

    /// There is no registered scheme for API keys; the first place says where to put one.
    pub fn challenge(&self, wrong: Option<&str>) -> String {
        let place = match self.places.first() {
            Some(Place::Header(name)) => format!("header=\"{name}\""),
            Some(Place::Query(name)) => format!("query=\"{name}\""),
            Some(Place::Cookie(name)) => format!("cookie=\"{name}\""),
            None => String::new(),
        };
        let error = if wrong.is_some() { ", error=\"invalid_key\"" } else { "" };
        format!("ApiKey {place}{error}")
    }
}

const UNKNOWN: &str = "The API key is not known.";

/// What a key of this consumer is good for now.
fn judge(consumers: &Consumers, consumer: &Rc<Consumer>, hash: &Secret<String>, now: Timestamp) -> Verdict {
    let Some(stored) = consumer.keys.iter().find(|stored| stored.hash == *hash) else { return Verdict::Wrong(UNKNOWN) };
    if stored.expires.is_some_and(|expires| expires <= now) {
        return Verdict::Wrong("The API key has expired.");
    }
    if consumers.is_revoked(stored) {
        return Verdict::Wrong("The API key has been revoked.");
    }
    let credential = Some(stored.prefix.clone());
    Verdict::Proven(Caller {
        consumer: Some(Rc::clone(consumer)),
        credential,
        proofs: vec!["api_key"],
        ..Caller::default()
    })
}

impl Place {
    fn keys(&self, line: &Line, headers: &Headers) -> Vec<String> {
        match self {
            Place::Header(name) => headers
                .all(name)
                .map(String::from_utf8_lossy)
                .map(|value| {
                    let bare = value.split_once(' ').filter(|(scheme, _)| {
                        scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("apikey")
                    });
                    bare.map_or(&*value, |(_, key)| key).trim().to_owned()
                })
                .filter(|key| !key.is_empty())
                .collect(),
            Place::Query(name) => crate::http::parameters(line.query.as_deref().unwrap_or_default(), name)
                .map(std::borrow::Cow::into_owned)
                .collect(),
            Place::Cookie(name) => crate::http::cookies(headers, name),
        }
    }
}

/// The query without the pairs of this name; the other bytes stay as they are. `None` where there are no others.
pub(super) fn without_parameter(query: &str, name: &str) -> Option<String> {
    let others = query.split('&').filter(|pair| crate::http::parameters(pair, name).next().is_none());
    let others: Vec<&str> = others.collect();
    (!others.is_empty()).then(|| others.join("&"))
}

/// Rewrites the `Cookie` field without cookies of this name.
pub(super) fn strip_cookie(headers: &mut Headers, name: &str) {
    if crate::http::cookies(headers, name).is_empty() {
        return;
    }
    let lines: Vec<String> = headers.all("cookie").map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    let pairs = lines.iter().flat_map(|line| line.split(';')).map(str::trim);
    let others: Vec<_> = pairs.filter(|pair| pair.split('=').next() != Some(name)).collect();
    if others.is_empty() { headers.remove("cookie") } else { headers.set("cookie", others.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consumer::{self, ApiKey};
    use crate::http::Scheme;
    use crate::platform::{Failure, FetchError};
    use crate::testing::{TestPlatform, run};
    use std::cell::Cell;

    fn line(query: Option<&str>) -> Line {
        Line {
            method: "GET".into(),
            scheme: Scheme::Https,
            authority: "a".into(),
            host: "a".into(),
            path: "/".into(),
            query: query.map(str::to_owned),
        }
    }

    fn consumers() -> Consumers {
        let key = |text: &str, expires| ApiKey { hash: hash(text).into(), prefix: text[..4].into(), expires };
        let keys = vec![key("pk_1secret", None), key("pk_2old", Some(1000))];
        let alice = Consumer { name: "alice".into(), keys, ..Consumer::default() };
        let (table, records) = consumer::freeze(&[alice]).expect("small");
        Consumers::new(table.into(), records.into())
    }

    fn platform(now: u64) -> impl Platform {
        let refuse = |_| Err(Failure { error: FetchError::Unreachable, detail: String::new() });
        TestPlatform::with_clock(Rc::new(Cell::new(now)), refuse)
    }

    fn method() -> ApiKeyMethod {
        let places = vec![Place::Header("x-api-key".into()), Place::Query("key".into()), Place::Cookie("key".into())];
        ApiKeyMethod { places, keep: false }
    }

    #[test]
    fn a_key_is_found_wherever_it_may_stand() {
        let consumers = consumers();
        let platform = platform(1000);
        let judged = |query, block: &str| {
            let headers = Headers::from_block(block.as_bytes().to_vec());
            run(method().judge(&line(query), &headers, &consumers, &platform))
        };
        for (query, block, verdict) in [
            (None, "x-api-key\0pk_1secret\n", Ok("pk_1")),
            (None, "x-api-key\0Bearer pk_1secret\n", Ok("pk_1")),
            (Some("a=b&key=pk_1secret"), "", Ok("pk_1")),
            (None, "cookie\0a=b; key=pk_1secret\n", Ok("pk_1")),
            (None, "x-api-key\0pk_2old\n", Err("The API key has expired.")),
            (None, "x-api-key\0pk_1secre\n", Err(UNKNOWN)),
            (Some("key=pk_1secret"), "x-api-key\0other\n", Err("The request holds several API keys.")),
        ] {
            let found = match judged(query, block) {
                Verdict::Proven(caller) => Ok(caller.credential.unwrap_or_default()),
                Verdict::Wrong(reason) => Err(reason),
                Verdict::Missing => Err("missing"),
                Verdict::Unknowable(_) => Err("unknowable"),
            };
            assert_eq!(found.as_deref(), verdict.as_ref().copied(), "{query:?} {block}");
        }
        assert_eq!(judged(None, ""), Verdict::Missing);
    }

    #[test]
    fn the_key_stays_behind() {
        let mut headers = Headers::from_block(b"x-api-key\0k\ncookie\0a=b; key=k; c=d\n".to_vec());
        let mut query = Some("a=%20b&k%65y=k&c".to_owned());
        method().strip(&mut headers, &mut query);
        assert_eq!(headers.iter().collect::<Vec<_>>(), [("cookie", &b"a=b; c=d"[..])]);
        assert_eq!(query.as_deref(), Some("a=%20b&c"));
    }
}
