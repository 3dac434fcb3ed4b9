//! Does once what is asked for several times under one key (draft-ietf-httpapi-idempotency-key-header).
//!
//! The owner of a key ([`Platform::claim`]) says who does it. The answer is kept before the client gets it, so that nobody has
//! an answer that a second request would not get; a body is held back for that as far as it is short enough to be kept.

use super::{Departure, Flow, Remark, Visit};
use crate::caller::Caller;
use crate::claim::{Answer, Order, Outcome, Verdict};
use crate::consumer::hex;
use crate::error::Error;
use crate::http::{Body, Headers, Response};
use crate::platform::{FetchError, Peeked, Platform, StoreError};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::time::Duration;

/// What is done once, and for how long that is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idempotency {
    /// The field that has the key.
    #[serde(rename = "h")]
    pub header: String,
    /// The methods that are looked at.
    #[serde(rename = "m")]
    pub methods: Vec<String>,
    /// Whether a request without a key is refused.
    #[serde(rename = "q")]
    pub required: bool,
    /// How many bytes the request's body may have.
    #[serde(rename = "b")]
    pub body: u64,
    /// How many bytes of an answer's body are kept.
    #[serde(rename = "a")]
    pub answer: u64,
    /// The fields of an answer that are kept; `None`: all but [`LEFT_OUT`].
    #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<Vec<String>>,
    /// For how many milliseconds an answer is kept.
    #[serde(rename = "k")]
    pub keep: u64,
    /// For how many milliseconds a request may be under way before it counts as lost.
    #[serde(rename = "l")]
    pub lease: u64,
    /// How many milliseconds a second request waits for the first.
    #[serde(rename = "w")]
    pub wait: u64,
    /// The statuses after which it may be done again.
    #[serde(rename = "r")]
    pub repeat: Vec<u16>,
    /// Whether it is done again when nobody knows whether it was done.
    #[serde(rename = "u")]
    pub unknown: Unknown,
    /// Whether requests pass when the owner of a key does not answer.
    #[serde(rename = "o")]
    pub opens_on_failure: bool,
}

/// What happens to a request when nobody knows whether the first one was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unknown {
    /// It is done again.
    Repeat,
    /// It is refused.
    Refuse,
}

/// A claim that a request holds on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    key: String,
    payload: String,
    token: u64,
}

/// Why a request with a key is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// 400: it has no key, and needs one.
    Missing {
        /// The field that should have it.
        header: String,
    },
    /// 400: the key cannot be read in one way only.
    Malformed {
        /// The field that has it.
        header: String,
    },
    /// 409: the first request with this key is still under way.
    UnderWay {
        /// For so many milliseconds more, at most.
        for_another: u64,
    },
    /// 409: the first request has been answered, but the answer was not kept.
    TooLong {
        /// The status of that answer.
        status: u16,
    },
    /// 409: nobody knows whether the first request was done.
    Unknown,
    /// 422: the key was used for another request.
    Reused,
    /// 503: nobody can say just now whether this was done.
    Uncertain {
        /// For the log only.
        reason: String,
    },
}

impl Refusal {
    /// The status, the code and the title of the problem.
    pub fn kind(&self) -> (u16, &'static str, &'static str) {
        match self {
            Refusal::Missing { .. } => (400, "idempotency-key-missing", "Idempotency key missing"),
            Refusal::Malformed { .. } => (400, "idempotency-key-malformed", "Idempotency key malformed"),
            Refusal::UnderWay { .. } => (409, "request-under-way", "Request under way"),
            Refusal::TooLong { .. } => (409, "answer-not-kept", "Answer not kept"),
            Refusal::Unknown => (409, "outcome-unknown", "Outcome unknown"),
            Refusal::Reused => (422, "idempotency-key-reused", "Idempotency key reused"),
            Refusal::Uncertain { .. } => (503, UNCERTAIN, "Idempotency cannot be ensured"),
        }
    }

    /// One sentence for the client.
    pub fn detail(&self) -> String {
        match self {
            Refusal::Missing { header } => {
                format!("This needs a key in {header}: a text of your own, another one for each request.")
            }
            Refusal::Malformed { header } => {
                format!("{header} must hold one key: 1 to 255 printable characters, in quotes or without.")
            }
            Refusal::UnderWay { .. } => "A request with this key is under way. Ask again for its answer.".into(),
            Refusal::TooLong { status } => {
                format!("The request with this key was answered with {status}, but the answer was too long to be kept.")
            }
            Refusal::Unknown => "A request with this key was lost on its way: nobody knows whether it was done.".into(),
            Refusal::Reused => "This key was used for a request with another target or body.".into(),
            Refusal::Uncertain { .. } => "Nobody can say just now whether this was done before.".into(),
        }
    }

    /// After how many seconds to ask again.
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Refusal::UnderWay { for_another } => Some(for_another.div_ceil(1_000).clamp(1, 5)),
            Refusal::Uncertain { .. } => Some(5),
            Refusal::Missing { .. }
            | Refusal::Malformed { .. }
            | Refusal::TooLong { .. }
            | Refusal::Unknown
            | Refusal::Reused => None,
        }
    }
}

/// The code of [`Refusal::Uncertain`], for remarks on requests that go on all the same.
const UNCERTAIN: &str = "idempotency-uncertain";

/// Marks an answer that was given before.
pub const REPLAYED: &str = "idempotent-replayed";

/// Fields of an answer that are not kept unless they are named: cookies are for one browser, and the others are about one
/// message or one connection.
pub const LEFT_OUT: [&str; 8] =
    ["age", "connection", "content-length", "date", "proxy-status", "set-cookie", "trailer", "transfer-encoding"];

/// How long a second request waits before it asks again: at first, and at most.
const PAUSES: (u64, u64) = (20, 400);

impl Idempotency {
    /// Takes the claim, or gives the answer that is there.
    pub async fn on_request<P: Platform>(&self, visit: &mut Visit<'_, P>) -> Result<Flow<P::Stream>, Error> {
        if !self.methods.contains(&visit.line.method) {
            return Ok(Flow::Continue);
        }
        let key = match read_key(visit.headers, &self.header) {
            Ok(Some(key)) => key,
            Ok(None) if self.required => return Err(refused(Refusal::Missing { header: self.header.clone() })),
            Ok(None) => return Ok(Flow::Continue),
            Err(Malformed) => return Err(refused(Refusal::Malformed { header: self.header.clone() })),
        };
        let body = visit.read_body(self.body).await?;
        let claimed = Claimed {
            key: owner(visit.route, visit.caller, visit.headers, &key),
            payload: payload(visit, &body),
            token: visit.platform.random(),
        };
        let remember_loss = match self.unknown {
            Unknown::Repeat => None,
            Unknown::Refuse => Some(self.keep),
        };
        let order =
            Order::Begin { payload: claimed.payload.clone(), token: claimed.token, lease: self.lease, remember_loss };
        let asked = visit.platform.now();
        let mut pause = PAUSES.0;
        loop {
            match visit.platform.claim(&claimed.key, &order).await {
                Ok(Verdict::Yours) => {
                    visit.memo.claimed = Some(claimed);
                    // What is kept is given to clients that may not read what this one can.
                    visit.headers.set("accept-encoding", "identity");
                    return Ok(Flow::Continue);
                }
                Ok(Verdict::Over(outcome)) => return again(outcome),
                Ok(Verdict::Other) => return Err(refused(Refusal::Reused)),
                Ok(Verdict::Held { for_another }) => {
                    let waited = visit.platform.now().saturating_sub(asked);
                    let left = self.wait.saturating_sub(waited);
                    if left == 0 {
                        return Err(refused(Refusal::UnderWay { for_another }));
                    }
                    visit.platform.sleep(Duration::from_millis(pause.min(left))).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
                Ok(Verdict::Noted | Verdict::Lost) => return self.uncertain(visit, "an answer to another question"),
                Err(StoreError(reason)) => {
                    // It may have been taken all the same, and nobody would give it back: not before the lease is over, while nothing is
                    // done. Whether this is heard is as uncertain.
                    let release = Order::Release { token: claimed.token };
                    drop(visit.platform.claim(&claimed.key, &release).await);
                    return self.uncertain(visit, &reason);
                }
            }
        }
    }

    fn uncertain<P: Platform>(&self, visit: &mut Visit<'_, P>, reason: &str) -> Result<Flow<P::Stream>, Error> {
        let reason = format!("nobody can say whether this key is new: {reason}");
        if !self.opens_on_failure {
            return Err(refused(Refusal::Uncertain { reason }));
        }
        visit.memo.remarks.push(Remark { problem: UNCERTAIN, detail: reason });
        Ok(Flow::Continue)
    }

    /// Keeps what came of it, before the client gets to see it.
    pub async fn on_response<P: Platform>(&self, departure: &mut Departure<'_, P>) -> Result<(), Error> {
        let Some(Claimed { key, payload, token }) = departure.memo.claimed.take() else { return Ok(()) };
        let status = departure.response.status;
        let (outcome, result) = if departure.from_upstream {
            if self.repeat.contains(&status) { (None, Ok(())) } else { self.outcome(departure).await }
        } else if departure.perhaps_done {
            (self.unknown(), Ok(()))
        } else {
            (None, Ok(()))
        };
        let order = match outcome {
            Some(outcome) => Order::Finish { payload, token, outcome, keep: self.keep },
            None => Order::Release { token },
        };
        let detail = match departure.platform.claim(&key, &order).await {
            Ok(Verdict::Noted) => return result,
            Ok(Verdict::Lost) => "the request took longer than its lease, and another one has been made".to_owned(),
            Ok(verdict) => format!("the owner of the key answers with {verdict:?}"),
            Err(StoreError(reason)) => format!("what came of this request cannot be kept: {reason}"),
        };
        departure.memo.remarks.push(Remark { problem: UNCERTAIN, detail });
        result
    }

    fn unknown(&self) -> Option<Outcome> {
        match self.unknown {
            Unknown::Repeat => None,
            Unknown::Refuse => Some(Outcome::Unknown),
        }
    }

    /// What is kept of an upstream's answer. An answer that breaks off before its end is none.
    async fn outcome<P: Platform>(&self, departure: &mut Departure<'_, P>) -> (Option<Outcome>, Result<(), Error>) {
        let Departure { platform, response, .. } = departure;
        let status = response.status;
        let too_long = (Some(Outcome::TooLong { status }), Ok(()));
        let most = usize::try_from(self.answer).unwrap_or(usize::MAX);
        let body = match std::mem::replace(&mut response.body, Body::Empty) {
            Body::Empty => Bytes::new(),
            Body::Bytes(bytes) => {
                response.body = Body::Bytes(bytes.clone());
                bytes
            }
            // It cannot be read before the reply has left.
            body @ Body::Made(_) => {
                response.body = body;
                return too_long;
            }
            body @ (Body::Stream(_) | Body::Pumped(..)) if is_long(status, &response.headers, self.answer) => {
                response.body = body;
                return too_long;
            }
            Body::Pumped(stream, mut pump) => match platform.peek(stream, most).await {
                Ok(Peeked::Whole(bytes)) => match pump.whole(&bytes) {
                    Ok(changed) => {
                        let bytes = Bytes::from(changed);
                        response.body = Body::Bytes(bytes.clone());
                        bytes
                    }
                    Err(_) => return (self.unknown(), Err(Error::UpstreamFailed(FetchError::Reset))),
                },
                Ok(Peeked::Longer(stream)) => {
                    response.body = Body::Pumped(stream, pump);
                    return too_long;
                }
                Err(_) => return (self.unknown(), Err(Error::UpstreamFailed(FetchError::Reset))),
            },
            Body::Stream(stream) => match platform.peek(stream, most).await {
                Ok(Peeked::Whole(bytes)) => {
                    response.body = Body::Bytes(bytes.clone());
                    bytes
                }
                Ok(Peeked::Longer(stream)) => {
                    response.body = Body::Stream(stream);
                    return too_long;
                }
                Err(_) => return (self.unknown(), Err(Error::UpstreamFailed(FetchError::Reset))),
            },
        };
        if body.len() > most {
            return too_long;
        }
        let fields = response.headers.iter().filter(|(name, _)| match &self.fields {
            Some(names) => names.iter().any(|kept| kept == name),
            None => !LEFT_OUT.contains(name),
        });
        let fields = fields.map(|(name, value)| (name.to_owned(), value.iter().copied().map(char::from).collect()));
        (Some(Outcome::Answer(Answer { status, fields: fields.collect(), body })), Ok(()))
    }
}

fn refused(refusal: Refusal) -> Error {
    Error::Idempotency(refusal)
}

/// Whether an answer is known to be too long, or to have no end, before any of its body is there.
fn is_long(status: u16, headers: &Headers, most: u64) -> bool {
    status == 101 || headers.is_event_stream() || headers.content_length().is_some_and(|length| length > most)
}

/// What a later request with the same key gets.
fn again<S>(outcome: Outcome) -> Result<Flow<S>, Error> {
    let Answer { status, fields, body } = match outcome {
        Outcome::Answer(answer) => answer,
        Outcome::TooLong { status } => return Err(refused(Refusal::TooLong { status })),
        Outcome::Unknown => return Err(refused(Refusal::Unknown)),
    };
    let mut headers = Headers::new();
    for (name, value) in &fields {
        // The other way round than it was written: there is no character that is no byte.
        let value: Vec<u8> = value.chars().filter_map(|c| u8::try_from(u32::from(c)).ok()).collect();
        headers.append(name, value);
    }
    headers.set(REPLAYED, "true");
    let body = body.into();
    Ok(Flow::Respond(Response { status, headers, body }))
}

struct Malformed;

/// The key: a String of Structured Fields (RFC 9651), as the draft says, or the bare text that most clients send.
fn read_key(headers: &Headers, name: &str) -> Result<Option<String>, Malformed> {
    let mut lines = headers.all(name);
    let Some(line) = lines.next() else { return Ok(None) };
    if lines.next().is_some() {
        return Err(Malformed);
    }
    let text = std::str::from_utf8(line).map_err(|_| Malformed)?.trim_matches([' ', '\t']);
    let key = match text.strip_prefix('"') {
        Some(quoted) => unquote(quoted).ok_or(Malformed)?,
        None => text.to_owned(),
    };
    let fits = (1..=255).contains(&key.len()) && key.bytes().all(|b| matches!(b, b' '..=b'~'));
    // Two keys on one line, or a parameter behind a bare one, are not one key.
    let is_one = text.starts_with('"') || !key.contains(['"', ',', ';', ' ']);
    if fits && is_one { Ok(Some(key)) } else { Err(Malformed) }
}

fn unquote(rest: &str) -> Option<String> {
    let mut key = String::new();
    let mut characters = rest.chars();
    loop {
        match characters.next()? {
            '\\' => match characters.next()? {
                c @ ('"' | '\\') => key.push(c),
                _ => return None,
            },
            '"' => return characters.as_str().is_empty().then_some(key),
            c => key.push(c),
        }
    }
}

/// Under what a key is known: whose it is, and for which route. Nobody reads an answer that was another caller's.
fn owner(route: &str, caller: &Caller, headers: &Headers, key: &str) -> String {
    let mut hash = Sha256::new();
    // Each part with its length, so that no two lists of parts are written alike.
    let mut add = |kind: u8, part: &[u8]| {
        hash.update([kind]);
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    };
    add(b'r', route.as_bytes());
    match (caller.name(), &caller.subject) {
        (Some(name), _) => add(b'c', name.as_bytes()),
        (None, Some(subject)) => {
            add(b'i', caller.issuer.as_deref().unwrap_or_default().as_bytes());
            add(b's', subject.as_bytes());
        }
        // Whom the gateway does not know, the upstream may.
        (None, None) => headers.all("authorization").for_each(|value| add(b'a', value)),
    }
    add(b'k', key.as_bytes());
    hex(&hash.finalize())
}

/// A hash of what is asked for.
fn payload<P: Platform>(visit: &Visit<'_, P>, body: &[u8]) -> String {
    let mut hash = Sha256::new();
    let line = visit.line;
    let query = visit.query.as_deref().unwrap_or_default();
    let kind = visit.headers.get("content-type").unwrap_or_default();
    for part in [line.method.as_bytes(), line.path.as_bytes(), query.as_bytes(), kind, body] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hex(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_text_with_quotes_or_without() {
        for (line, key) in [
            ("\"8e03978e-40d5\"", Some("8e03978e-40d5")),
            ("8e03978e-40d5", Some("8e03978e-40d5")),
            ("\"a b, c;d\"", Some("a b, c;d")),
            ("\"a\\\"b\\\\\"", Some("a\"b\\")),
            ("", None),
            ("\"\"", None),
            ("a, b", None),
            ("a;b=c", None),
            ("a\"b", None),
            ("\"a\";b", None),
            ("\"a", None),
            ("\"a\\b\"", None),
            ("\u{e4}", None),
        ] {
            let mut headers = Headers::new();
            headers.set("idempotency-key", line);
            let read = read_key(&headers, "idempotency-key").ok().flatten();
            assert_eq!(read.as_deref(), key, "{line}");
        }
        let mut headers = Headers::new();
        assert!(matches!(read_key(&headers, "idempotency-key"), Ok(None)));
        headers.append("idempotency-key", "a");
        headers.append("idempotency-key", "a");
        assert!(read_key(&headers, "idempotency-key").is_err(), "two lines");
        headers.set("idempotency-key", "a".repeat(256));
        assert!(read_key(&headers, "idempotency-key").is_err(), "too long");
    }

    #[test]
    fn nobody_shares_a_key_with_somebody_else() {
        let caller = |subject: &str| Caller { subject: Some(subject.to_owned()), ..Caller::default() };
        let nobody = Caller::default();
        let mut headers = Headers::new();
        headers.set("authorization", "Bearer a");
        let empty = Headers::new();
        let owners = [
            owner("r", &caller("a"), &empty, "k"),
            owner("r", &caller("b"), &empty, "k"),
            owner("s", &caller("a"), &empty, "k"),
            owner("r", &caller("a"), &empty, "l"),
            owner("r", &nobody, &headers, "k"),
            owner("r", &nobody, &empty, "k"),
        ];
        for (at, one) in owners.iter().enumerate() {
            assert!(!owners[..at].contains(one), "{at}");
        }
        assert_eq!(owners[0], owner("r", &caller("a"), &headers, "k"), "a renewed token is the same caller's");
    }
}
