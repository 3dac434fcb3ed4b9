//! Shows callers with a signed token how their request was decided.

use super::watch::{Outcome, Record, Step, Verdict, What};
use super::{field, line};
use crate::jwt::algorithm::Algorithm;
use crate::jwt::key::Key;
use crate::jwt::rules::time;
use crate::jwt::token::{Purpose, Token};
use crate::platform::Timestamp;

/// Where answers show it.
pub const FIELD: &str = "postern-decision";

/// What tokens are for: their `aud`.
pub const AUDIENCE: &str = "postern-debug";

/// The longest text that goes into a field; what is longer says that it was cut.
const LONGEST: usize = 6 << 10;

/// Tokens for longer than that are no tokens: a leaked one must not open this for good.
const LONGEST_LIFE: u64 = 24 * 3_600 * 1_000;

/// The key that tokens are signed with: of 32 bytes or more, as HS256 needs it.
pub fn key(secret: &str) -> Result<Key, String> {
    Key::from_secret(secret.as_bytes(), None, &[Algorithm::Hs256])
        .map_err(|_| "the secret of `telemetry.debug` is shorter than 32 bytes".to_owned())
}

/// Whether a token (JWT, HS256) is one for this, and not over: `aud` is [`AUDIENCE`], `exp` is at most a day ahead.
pub fn is_right(token: &str, key: &Key, now: Timestamp) -> bool {
    let Ok(token) = Token::read(token, Purpose::Token) else { return false };
    if token.header.algorithm != Algorithm::Hs256 || !key.verify(Algorithm::Hs256, token.signed(), token.signature()) {
        return false;
    }
    let Ok(claims) = token.claims() else { return false };
    let is_for_this = claims.get("aud").and_then(serde_json::Value::as_str) == Some(AUDIENCE);
    let until = time(&claims, "exp").ok().flatten();
    is_for_this && until.is_some_and(|until| now < until && until <= now.saturating_add(LONGEST_LIFE))
}

/// How a request was decided, as JSON of ASCII characters: fit for a field.
pub fn decision(record: &Record) -> String {
    let mut out = Vec::with_capacity(512);
    let mut first = true;
    let mut member = |out: &mut Vec<u8>, name: &str| {
        out.push(if std::mem::take(&mut first) { b'{' } else { b',' });
        line::text(name, out);
        out.push(b':');
    };
    member(&mut out, "request_id");
    line::text(&record.request_id, &mut out);
    if let Some(route) = &record.route {
        member(&mut out, "route");
        line::text(route, &mut out);
    }
    if let Some(consumer) = &record.consumer {
        member(&mut out, "consumer");
        line::text(consumer, &mut out);
    }
    let list = |out: &mut Vec<u8>, items: Vec<Vec<u8>>| {
        out.push(b'[');
        out.extend(items.join(&b','));
        out.push(b']');
    };
    let object = |members: &[(&str, &str)], took: Option<u64>| {
        let mut out = Vec::new();
        for (name, value) in members {
            out.push(if out.is_empty() { b'{' } else { b',' });
            line::text(name, &mut out);
            out.push(b':');
            line::text(value, &mut out);
        }
        if let Some(took) = took {
            out.extend(format!(",\"ms\":{took}").into_bytes());
        }
        out.push(b'}');
        out
    };
    let passed_over = record.passed_over.iter().flatten();
    let passed_over: Vec<_> =
        passed_over.map(|(route, why)| object(&[("route", route), ("because", why)], None)).collect();
    if !passed_over.is_empty() {
        member(&mut out, "passed_over");
        list(&mut out, passed_over);
    }
    member(&mut out, "steps");
    let steps = record.steps.iter().map(|step| told(step, record, &object)).collect();
    list(&mut out, steps);
    let limits: Vec<_> = record
        .limits
        .iter()
        .map(|(name, outcome)| object(&[("limit", name), ("outcome", outcome.as_str())], None))
        .collect();
    if !limits.is_empty() {
        member(&mut out, "limits");
        list(&mut out, limits);
    }
    if let Some(cache) = record.cache {
        member(&mut out, "cache");
        line::text(cache, &mut out);
    }
    if let Some(problem) = record.problem {
        member(&mut out, "problem");
        line::text(problem, &mut out);
    }
    member(&mut out, "status");
    out.extend(record.status.to_string().into_bytes());
    out.extend(format!(",\"ms\":{}}}", record.took()).into_bytes());
    let text = ascii(&String::from_utf8_lossy(&out));
    if text.len() > LONGEST { format!("{{\"request_id\":\"{}\",\"cut\":true}}", record.request_id) } else { text }
}

fn told(step: &Step, record: &Record, object: &impl Fn(&[(&str, &str)], Option<u64>) -> Vec<u8>) -> Vec<u8> {
    let took = Some(step.took(record.ended));
    match &step.what {
        What::Policy { kind, verdict } => match verdict {
            Verdict::Refused(problem) => {
                object(&[("policy", kind), ("verdict", verdict.as_str()), ("problem", problem)], took)
            }
            Verdict::Unfinished | Verdict::Passed | Verdict::Answered => {
                object(&[("policy", kind), ("verdict", verdict.as_str())], took)
            }
        },
        What::Forward { upstream } => object(&[("upstream", upstream)], took),
        What::Call(called) => {
            let (host, outcome) = (
                called.authority.as_str(),
                match called.outcome {
                    Outcome::Status(status) => status.to_string(),
                    Outcome::GivenUp | Outcome::Failed(_) => called.outcome.error().unwrap_or_default().to_owned(),
                },
            );
            let kind = if called.attempt.is_some() { "attempt" } else { "call" };
            object(&[(kind, field::method(&called.method)), ("to", host), ("outcome", &outcome)], took)
        }
        What::Lookup => object(&[("platform", "lookup")], took),
        What::Count => object(&[("platform", "count")], took),
        What::Claim => object(&[("platform", "claim")], took),
        What::Read => object(&[("platform", "read")], took),
        What::Wait => object(&[("platform", "wait")], took),
    }
}

/// JSON without characters beyond ASCII, which fields have no room for.
fn ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            let mut units = [0; 2];
            c.encode_utf16(&mut units).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Scheme;
    use crate::jwt::token::encode;
    use hmac::{Hmac, KeyInit, Mac};
    use serde_json::{Value, json};
    use sha2::Sha256;

    const SECRET: &str = "a secret of thirty-two bytes or more";
    const NOW: Timestamp = 1_750_000_000_000;

    fn token(secret: &str, claims: &Value) -> String {
        let signed = format!("{}.{}", encode(r#"{"alg":"HS256","typ":"JWT"}"#), encode(claims.to_string()));
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
        mac.update(signed.as_bytes());
        format!("{signed}.{}", encode(mac.finalize().into_bytes()))
    }

    #[test]
    fn only_a_token_for_this_and_for_now_opens_it() {
        let key = key(SECRET).expect("a key");
        let (soon, later) = (NOW / 1_000 + 60, NOW / 1_000 + 90_000);
        let right = json!({ "aud": AUDIENCE, "exp": soon });
        assert!(is_right(&token(SECRET, &right), &key, NOW));
        for claims in [
            json!({ "aud": AUDIENCE }),
            json!({ "aud": AUDIENCE, "exp": NOW / 1_000 - 1 }),
            json!({ "aud": AUDIENCE, "exp": later }),
            json!({ "aud": "something else", "exp": soon }),
            json!({ "exp": soon }),
        ] {
            assert!(!is_right(&token(SECRET, &claims), &key, NOW), "{claims}");
        }
        assert!(!is_right(&token("another secret of thirty-two bytes", &right), &key, NOW));
        assert!(!is_right("nonsense", &key, NOW));
        assert!(super::key("short").is_err());
    }

    #[test]
    fn a_decision_fits_into_a_field() {
        let mut record = Record::new("id".to_owned(), 0, "GET", Scheme::Http, "a");
        record.route = Some("käse".to_owned());
        record.passed_over = Some(vec![("b".to_owned(), "the method is \"POST\"\n".to_owned())]);
        record.status = 200;
        let text = decision(&record);
        assert!(text.is_ascii() && !text.contains('\n'), "{text}");
        let read: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(read["route"], "käse");
        assert_eq!(read["passed_over"][0]["because"], "the method is \"POST\"\n");
        record.passed_over = Some(vec![("b".repeat(10_000), String::new())]);
        assert_eq!(decision(&record), r#"{"request_id":"id","cut":true}"#);
    }
}
