//! Copies a share of the requests to another upstream, and compares what it answers with what the client got.
//!
//! Nobody waits for a copy: it is sent when the answer is on its way ([`Deferred::Mirror`](super::Deferred)), and what becomes of
//! it only the log hears. It is the request as the upstream was sent it, less what is taken out, and marked. The answer's body
//! is copied while it passes ([`Platform::copy`]): the client's stream is neither read ahead nor held back.

use super::Memo;
use crate::http::{Body, Headers, Response};
use crate::platform::{Call, Copied, Interest, Patience, Platform, ReadError};
use crate::pump;
use crate::upstream::{self, Asked, Cause, HostHeader, Pool};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// What is copied, and to whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mirror {
    /// The place of the upstream that gets the copies.
    #[serde(rename = "u")]
    pub upstream: u32,
    /// How many of 10,000 requests.
    #[serde(rename = "s")]
    pub share: u32,
    /// The methods that are copied; empty: all.
    #[serde(rename = "m", default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// How many bytes a request's body may have to be copied.
    #[serde(rename = "b")]
    pub body: u64,
    /// The fields that copies do not have.
    #[serde(rename = "r")]
    pub remove: Vec<String>,
    /// The field that marks a copy.
    #[serde(rename = "k")]
    pub mark: String,
    /// What of the two answers is compared; `None`: nothing.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub compare: Option<Compare>,
}

/// What of two answers is compared besides their statuses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compare {
    /// These fields.
    #[serde(rename = "h")]
    pub fields: Vec<String>,
    /// Bodies of up to so many bytes; 0: no bodies.
    #[serde(rename = "b")]
    pub body: u64,
    /// Parts of JSON bodies that may differ: JSON Pointers, in parts, of which `*` is any.
    #[serde(rename = "i")]
    pub ignore: Vec<Vec<String>>,
}

/// A copy that is to be sent when the answer is on its way.
#[derive(Debug, Clone)]
pub struct Mirrored {
    mirror: Mirror,
    route: String,
    method: String,
    target: String,
    host: Option<String>,
    headers: Headers,
    body: Bytes,
    asked: Asked,
    answered: Option<Answered>,
}

/// What the client got.
#[derive(Debug, Clone)]
struct Answered {
    status: u16,
    /// The chosen fields, in the order of the rules.
    fields: Vec<Vec<Vec<u8>>>,
    is_json: bool,
    body: Seen,
}

/// A body, as far as it can be compared.
#[derive(Debug, Clone)]
enum Seen {
    /// Nobody asked for it.
    Unasked,
    /// It cannot be, for this reason.
    Not(&'static str),
    /// It is in memory.
    Bytes(Bytes),
    /// It is being copied while it passes.
    Passing(Copied),
}

/// What the log hears of a copy: the code, and what happened.
pub type Heard = (&'static str, String);

const FAILED: &str = "mirror-failed";
const DIFFERS: &str = "mirror-differs";

impl Mirror {
    /// Whether this request is copied.
    pub fn draw(&self, method: &str, random: impl FnOnce() -> u64, memo: &mut Memo) {
        let is_meant = self.methods.is_empty() || self.methods.iter().any(|meant| meant == method);
        if is_meant && (self.share >= 10_000 || random() % 10_000 < u64::from(self.share)) {
            memo.mirrors.push(self.clone());
        }
    }
}

/// Up to how many bytes a body has to be read for those who copy the request.
pub fn longest_body(mirrors: &[Mirror]) -> u64 {
    mirrors.iter().map(|mirror| mirror.body).max().unwrap_or(0)
}

/// Takes the copies of a call that is about to be sent. A body that is streamed is not copied, nor is a change of protocols.
pub fn copies<S>(
    mirrors: Vec<Mirror>,
    call: &Call<S>,
    upstreams: &[Pool],
    scope: &crate::template::Scope<'_>,
    random: impl Fn() -> u64,
) -> Vec<Mirrored> {
    if mirrors.is_empty() || call.upgrade.is_some() {
        return Vec::new();
    }
    let body = match &call.body {
        Body::Empty => Bytes::new(),
        Body::Bytes(bytes) => bytes.clone(),
        Body::Stream(_) | Body::Pumped(..) | Body::Made(_) => return Vec::new(),
    };
    let fits = mirrors.into_iter().filter(|mirror| body.len() as u64 <= mirror.body);
    let copies = fits.filter_map(|mirror| {
        let pool = upstreams.get(mirror.upstream as usize)?;
        let mut headers = call.headers.clone();
        for name in &mirror.remove {
            headers.remove_alike(name);
        }
        headers.set(&mirror.mark, "true");
        if mirror.compare.as_ref().is_some_and(|compare| compare.body > 0) {
            // A packed body cannot be compared.
            headers.set("accept-encoding", "identity");
        }
        Some(Mirrored {
            route: scope.route.to_owned(),
            method: call.method.clone(),
            target: call.target.clone(),
            host: match &pool.upstream.host {
                HostHeader::Target => None,
                HostHeader::Keep => Some(scope.line.authority.clone()),
                HostHeader::Fixed(host) => Some(host.clone()),
            },
            asked: pool.asked(scope, &headers, &random),
            headers,
            body: body.clone(),
            answered: None,
            mirror,
        })
    });
    copies.collect()
}

/// Takes down what an upstream has answered, for those who compare. The body stays the client's.
pub fn observe<P: Platform>(platform: &P, copies: &mut [Mirrored], response: &mut Response<P::Stream>) {
    let longest = copies.iter().filter_map(|copy| copy.mirror.compare.as_ref()).map(|compare| compare.body).max();
    let Some(longest) = longest else { return };
    let body = if longest == 0 { Seen::Unasked } else { seen(platform, longest, response) };
    for copy in copies {
        if let Some(compare) = &copy.mirror.compare {
            let body = if compare.body == 0 { Seen::Unasked } else { body.clone() };
            copy.answered = Some(taken_down(compare, response.status, &response.headers, body));
        }
    }
}

fn seen<P: Platform>(platform: &P, most: u64, response: &mut Response<P::Stream>) -> Seen {
    if response.status == 101 {
        return Seen::Not("has become another protocol");
    }
    if let Some(reason) = unreadable(&response.headers, most) {
        return Seen::Not(reason);
    }
    match std::mem::replace(&mut response.body, Body::Empty) {
        Body::Empty => Seen::Bytes(Bytes::new()),
        Body::Bytes(bytes) => {
            response.body = Body::Bytes(bytes.clone());
            Seen::Bytes(bytes)
        }
        Body::Stream(stream) => {
            let (stream, copied) = platform.copy(stream, usize::try_from(most).unwrap_or(usize::MAX));
            response.body = Body::Stream(stream);
            Seen::Passing(copied)
        }
        // No upstream's.
        body @ Body::Made(_) => {
            response.body = body;
            Seen::Not("is made only while it is sent")
        }
        // What the upstream has said, before anything of it is changed.
        Body::Pumped(stream, pump) => {
            let (stream, copied) = platform.copy(stream, usize::try_from(most).unwrap_or(usize::MAX));
            response.body = Body::Pumped(stream, pump);
            Seen::Passing(copied)
        }
    }
}

/// Why a body cannot be compared, as far as its head tells.
fn unreadable(headers: &Headers, most: u64) -> Option<&'static str> {
    let coded = headers.text("content-encoding").is_some_and(|coding| !coding.eq_ignore_ascii_case("identity"));
    if headers.content_length().is_some_and(|length| length > most) {
        Some(TOO_LONG)
    } else if coded {
        Some("has a content coding")
    } else if headers.is_event_stream() {
        Some("has no end")
    } else {
        None
    }
}

const TOO_LONG: &str = "is too long to be compared";

fn taken_down(compare: &Compare, status: u16, headers: &Headers, body: Seen) -> Answered {
    let all = |name: &String| headers.all(name).map(<[u8]>::to_vec).collect();
    let fields = compare.fields.iter().map(all).collect();
    Answered { status, fields, is_json: headers.is_json(), body }
}

/// Sends a copy, and compares what comes back; tells what the log should hear, and of which route.
pub async fn send<P: Platform>(platform: &P, upstreams: &[Pool], copy: Mirrored) -> Option<(String, Heard)> {
    let Mirrored { mirror, route, method, target, host, headers, body, asked, mut answered } = copy;
    let pool = upstreams.get(mirror.upstream as usize)?;
    let tell = |heard: Heard| Some((route.clone(), heard));
    if let Some(Answered { body, .. }) = &mut answered
        && let Seen::Passing(copied) = body
    {
        // The copy is not sent before the answer has passed.
        *body = match platform.copied(copied.clone()).await {
            Ok(bytes) => Seen::Bytes(bytes),
            Err(ReadError::TooLarge) => Seen::Not(TOO_LONG),
            Err(ReadError::Broken(_)) => Seen::Not("broke off on its way to the client"),
        };
    }
    let call = Call {
        method,
        scheme: crate::http::Scheme::Http,
        authority: String::new(),
        target,
        host: None,
        headers,
        body: body.into(),
        body_limit: None,
        timeout: Duration::ZERO,
        interest: if answered.is_some() { Interest::Everything } else { Interest::HopByHop },
        watched: false,
        last: false,
        upgrade: None,
        binding: None,
        patience: Patience::default(),
    };
    let timeouts = pool.upstream.timeouts;
    let name = &pool.upstream.name;
    let Response { status, headers, body } =
        match upstream::send(platform, pool, timeouts, call, host.as_deref(), &asked).await {
            Ok(answer) => answer.response,
            Err(failed) => {
                let why = match failed.cause {
                    Cause::Failure(failure) => format!("{:?}: {}", failure.error, failure.detail),
                    cause @ (Cause::Open { .. } | Cause::Drained) => cause.to_string(),
                };
                return tell((FAILED, format!("the copy for `{name}` got no answer: {why}")));
            }
        };
    let (Some(compare), Some(ours)) = (&mirror.compare, answered) else {
        pump::discard(platform, body);
        return None;
    };
    let theirs = match (&ours.body, body) {
        (Seen::Bytes(_), Body::Empty) => Seen::Bytes(Bytes::new()),
        (Seen::Bytes(_), Body::Bytes(bytes)) => Seen::Bytes(bytes),
        (Seen::Bytes(_), Body::Stream(stream)) => match unreadable(&headers, compare.body) {
            Some(reason) => {
                platform.discard(stream);
                Seen::Not(reason)
            }
            None => match platform.read(stream, usize::try_from(compare.body).unwrap_or(usize::MAX)).await {
                Ok(bytes) => Seen::Bytes(bytes),
                Err(ReadError::TooLarge) => Seen::Not(TOO_LONG),
                Err(ReadError::Broken(_)) => Seen::Not("broke off"),
            },
        },
        (_, body) => {
            pump::discard(platform, body);
            Seen::Unasked
        }
    };
    let theirs = taken_down(compare, status, &headers, theirs);
    let differences = differences(compare, &ours, &theirs);
    if differences.is_empty() {
        return None;
    }
    tell((DIFFERS, format!("`{name}` answers otherwise: {}", differences.join("; "))))
}

/// How many differences are told at most.
const TOLD: usize = 20;

/// In what two answers differ. Values are not repeated: they may be anybody's secrets.
fn differences(compare: &Compare, ours: &Answered, theirs: &Answered) -> Vec<String> {
    let mut told = Vec::new();
    if ours.status != theirs.status {
        told.push(format!("the status is {} and not {}", theirs.status, ours.status));
    }
    for ((name, ours), theirs) in compare.fields.iter().zip(&ours.fields).zip(&theirs.fields) {
        match (ours.is_empty(), theirs.is_empty()) {
            (false, true) => told.push(format!("`{name}` is missing")),
            (true, false) => told.push(format!("`{name}` is there")),
            _ if ours != theirs => told.push(format!("`{name}` is another one")),
            _ => {}
        }
    }
    match (&ours.body, &theirs.body) {
        (Seen::Unasked, _) | (_, Seen::Unasked | Seen::Passing(_)) | (Seen::Passing(_), _) => {}
        (Seen::Not(reason), Seen::Not(_) | Seen::Bytes(_)) => told.push(format!("the body here {reason}")),
        (Seen::Bytes(_), Seen::Not(reason)) => told.push(format!("the body there {reason}")),
        (Seen::Bytes(one), Seen::Bytes(other)) if one == other => {}
        (Seen::Bytes(one), Seen::Bytes(other)) => {
            let read = |is_json: bool, bytes: &Bytes| -> Option<Value> {
                if is_json { serde_json::from_slice(bytes).ok() } else { None }
            };
            match (read(ours.is_json, one), read(theirs.is_json, other)) {
                (Some(one), Some(other)) => {
                    let mut pointer = Vec::new();
                    walk(&compare.ignore, &one, &other, &mut pointer, &mut told);
                }
                _ => told.push(format!("the body has {} bytes and not {}, or others", other.len(), one.len())),
            }
        }
    }
    if told.len() > TOLD {
        told.truncate(TOLD);
        told.push("and more".to_owned());
    }
    told
}

/// Where two values differ. The reader of JSON goes no deeper than 128 levels, and neither does this.
fn walk<'v>(ignore: &[Vec<String>], one: &'v Value, other: &'v Value, at: &mut Vec<&'v str>, told: &mut Vec<String>) {
    if one == other || told.len() > TOLD || is_ignored(ignore, at) {
        return;
    }
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            for (name, value) in one {
                at.push(name);
                match other.get(name) {
                    Some(other) => walk(ignore, value, other, at, told),
                    None if is_ignored(ignore, at) => {}
                    None => told.push(format!("{} is missing", pointer(at))),
                }
                at.pop();
            }
            for name in other.keys().filter(|name| !one.contains_key(*name)) {
                at.push(name);
                if !is_ignored(ignore, at) {
                    told.push(format!("{} is there", pointer(at)));
                }
                at.pop();
            }
        }
        (Value::Array(one), Value::Array(other)) => {
            let numbers: Vec<String> = (0..one.len().min(other.len())).map(|index| index.to_string()).collect();
            for ((index, one), other) in numbers.iter().zip(one).zip(other) {
                // The index lives no longer than this turn, the names of members as long as the values.
                let mut deeper: Vec<&str> = at.clone();
                deeper.push(index);
                walk(ignore, one, other, &mut deeper, told);
            }
            if one.len() != other.len() {
                told.push(format!("{} has {} items and not {}", pointer(at), other.len(), one.len()));
            }
        }
        _ => told.push(format!("{} is another value", pointer(at))),
    }
}

fn is_ignored(ignore: &[Vec<String>], at: &[&str]) -> bool {
    let fits = |parts: &Vec<String>| {
        parts.len() == at.len() && parts.iter().zip(at).all(|(part, name)| part == "*" || part == name)
    };
    ignore.iter().any(fits)
}

/// RFC 6901 §3. A long one ends early.
fn pointer(at: &[&str]) -> String {
    if at.is_empty() {
        return "the whole body".to_owned();
    }
    let mut text = String::new();
    for part in at {
        text.push('/');
        text.push_str(&part.replace('~', "~0").replace('/', "~1"));
    }
    if let Some((cut, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(cut);
        text.push('…');
    }
    text
}

const LONGEST: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, kind: &str, body: &str, compare: &Compare) -> Answered {
        let mut headers = Headers::new();
        headers.set("content-type", kind);
        taken_down(compare, status, &headers, Seen::Bytes(Bytes::from(body.to_owned())))
    }

    fn rules(ignore: &[&str]) -> Compare {
        let parts = |pointer: &&str| pointer.split('/').skip(1).map(str::to_owned).collect();
        let ignore = ignore.iter().map(parts).collect();
        Compare { fields: vec!["content-type".to_owned(), "etag".to_owned()], body: 1_000, ignore }
    }

    #[test]
    fn json_is_compared_part_by_part() {
        for (ignore, one, other, told) in [
            (&[][..], r#"{"a":1,"b":[1,2]}"#, r#"{ "b": [1, 2], "a": 1 }"#, &[][..]),
            (&[], r#"{"a":1}"#, r#"{"a":2}"#, &["/a is another value"]),
            (&[], r#"{"a":1}"#, r#"{"b":1}"#, &["/a is missing", "/b is there"]),
            (&["/a", "/b"], r#"{"a":1}"#, r#"{"b":1}"#, &[]),
            (&[], r#"{"a":[{"b":1},{"b":2}]}"#, r#"{"a":[{"b":1},{"b":3}]}"#, &["/a/1/b is another value"]),
            (&["/a/*/b"], r#"{"a":[{"b":1},{"b":2}]}"#, r#"{"a":[{"b":1},{"b":3}]}"#, &[]),
            (&["/a/0/b"], r#"{"a":[{"b":1},{"b":2}]}"#, r#"{"a":[{"b":1},{"b":3}]}"#, &["/a/1/b is another value"]),
            (&[], "[1,2]", "[1]", &["the whole body has 1 items and not 2"]),
            (&[], r#"{"a/b":{"~":1}}"#, r#"{"a/b":{"~":2}}"#, &["/a~1b/~0 is another value"]),
            (&[], "1", "no json", &["the body has 7 bytes and not 1, or others"]),
        ] {
            let rules = rules(ignore);
            let (ours, theirs) =
                (answer(200, "application/json", one, &rules), answer(200, "application/json", other, &rules));
            assert_eq!(differences(&rules, &ours, &theirs), told, "{one} {other}");
        }
    }

    #[test]
    fn heads_are_compared_and_values_are_not_told() {
        let rules = rules(&[]);
        let ours = answer(200, "text/plain", "a secret", &rules);
        let theirs = answer(404, "text/html", "a secret", &rules);
        assert_eq!(
            differences(&rules, &ours, &theirs),
            ["the status is 404 and not 200", "`content-type` is another one"]
        );
        let theirs = answer(200, "text/plain", "another secret", &rules);
        let told = differences(&rules, &ours, &theirs);
        assert_eq!(told, ["the body has 14 bytes and not 8, or others"]);
    }

    #[test]
    fn as_many_requests_are_copied_as_are_meant_to_be() {
        let mirror = |share, methods: &[&str]| Mirror {
            upstream: 0,
            share,
            methods: methods.iter().map(|&method| method.to_owned()).collect(),
            body: 0,
            remove: Vec::new(),
            mark: "x-mirror".to_owned(),
            compare: None,
        };
        let mut memo = Memo::default();
        for random in 0..10_000 {
            mirror(250, &[]).draw("GET", || random, &mut memo);
        }
        assert_eq!(memo.mirrors.len(), 250);
        memo.mirrors.clear();
        mirror(10_000, &["GET"]).draw("POST", || 0, &mut memo);
        assert!(memo.mirrors.is_empty());
        mirror(10_000, &["GET"]).draw("GET", || u64::MAX, &mut memo);
        assert_eq!(memo.mirrors.len(), 1);
    }
}
