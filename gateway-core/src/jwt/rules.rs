//! What a token must say to be taken (RFC 7519 §4.1, RFC 9068 §4), once its signature is known to be right.

use super::refusal::Refusal;
use crate::platform::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a token must say. Times are in milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rules {
    /// `iss`, exactly.
    pub issuer: String,
    /// One of these must be in `aud`; none listed: nobody looks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub audiences: Vec<String>,
    /// The types taken, in lower case and without `application/`; none listed: no type at all, `jwt` and `at+jwt`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<String>,
    /// How far the clocks may differ.
    pub leeway: u64,
    /// How long a token may live from `iat` to `exp`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_lifetime: Option<u64>,
    /// Claims that must be there. `iss` and `exp` always must.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub required: Vec<String>,
}

impl Rules {
    /// Whether a token of this type with these claims is taken now. Gives the moment from which on it is not.
    pub fn check(&self, kind: Option<&str>, claims: &Map<String, Value>, now: Timestamp) -> Result<Timestamp, Refusal> {
        let right_type = match kind {
            // RFC 8725 §3.11: a token for another use (a logout token, a proof) must not pass for this one.
            _ if self.types.is_empty() => matches!(kind, None | Some("jwt" | "at+jwt")),
            Some(kind) => self.types.iter().any(|known| known == kind),
            None => false,
        };
        if !right_type {
            return Err(Refusal::Type);
        }
        if text(claims, "iss")? != Some(self.issuer.as_str()) {
            return Err(Refusal::Issuer);
        }
        text(claims, "sub")?;
        if !self.audiences.is_empty() && !self.is_meant(claims.get("aud"))? {
            return Err(Refusal::Audience);
        }
        let (expires, not_before, issued) = (time(claims, "exp")?, time(claims, "nbf")?, time(claims, "iat")?);
        let expires = expires.ok_or(Refusal::NoExpiry)?;
        let until = expires.saturating_add(self.leeway);
        if now >= until {
            return Err(Refusal::Expired);
        }
        let latest = now.saturating_add(self.leeway);
        if not_before.is_some_and(|not_before| not_before > latest) {
            return Err(Refusal::NotYet);
        }
        if issued.is_some_and(|issued| issued > latest) {
            return Err(Refusal::FromTheFuture);
        }
        if let Some(most) = self.max_lifetime
            && issued.is_none_or(|issued| expires.saturating_sub(issued) > most)
        {
            return Err(Refusal::Lifetime);
        }
        if self.required.iter().any(|name| claims.get(name).is_none_or(Value::is_null)) {
            return Err(Refusal::MissingClaim);
        }
        Ok(until)
    }

    fn is_meant(&self, audience: Option<&Value>) -> Result<bool, Refusal> {
        let known = |name: &str| self.audiences.iter().any(|known| known == name);
        match audience {
            None => Ok(false),
            Some(Value::String(name)) => Ok(known(name)),
            Some(Value::Array(names)) => {
                let names: Option<Vec<_>> = names.iter().map(Value::as_str).collect();
                Ok(names.ok_or(Refusal::Claims)?.into_iter().any(known))
            }
            Some(_) => Err(Refusal::Claims),
        }
    }
}

/// The scopes of a token: `scope` (RFC 8693 §4.2), or `scp` as some issuers call it; a text with spaces or a list.
pub fn scopes(claims: &Map<String, Value>) -> Vec<String> {
    match claims.get("scope").or_else(|| claims.get("scp")) {
        Some(Value::String(text)) => text.split(' ').filter(|scope| !scope.is_empty()).map(str::to_owned).collect(),
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// A claim that is a text if it is there.
pub fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, Refusal> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Refusal::Claims),
    }
}

/// A claim that is a NumericDate (RFC 7519 §2) if it is there, in milliseconds.
pub fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<Timestamp>, Refusal> {
    /// The end of the year 9999. Later is no date, and smaller numbers are exact in any representation.
    const LAST: f64 = 253_402_300_799.0;
    match claims.get(name) {
        None => Ok(None),
        Some(Value::Number(number)) => match number.as_f64() {
            Some(seconds) if (0.0..=LAST).contains(&seconds) => Ok(Some((seconds * 1000.0) as Timestamp)),
            Some(_) | None => Err(Refusal::Claims),
        },
        Some(_) => Err(Refusal::Claims),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: Timestamp = 1_750_000_000_000;

    fn check(rules: &Rules, kind: Option<&str>, claims: Value) -> Result<Timestamp, Refusal> {
        let Value::Object(claims) = claims else { panic!("claims are an object") };
        rules.check(kind, &claims, NOW)
    }

    fn rules() -> Rules {
        Rules { issuer: "i".into(), leeway: 60_000, ..Rules::default() }
    }

    #[test]
    fn times_are_compared_with_leeway() {
        let now = NOW / 1000;
        for (claims, expected) in [
            (json!({"iss": "i", "exp": now}), Ok(NOW + 60_000)),
            (json!({"iss": "i", "exp": now as f64 + 0.5}), Ok(NOW + 60_500)),
            (json!({"iss": "i", "exp": now - 59}), Ok(NOW + 1_000)),
            (json!({"iss": "i", "exp": now - 60}), Err(Refusal::Expired)),
            (json!({"iss": "i", "exp": 0}), Err(Refusal::Expired)),
            (json!({"iss": "i", "exp": -1}), Err(Refusal::Claims)),
            (json!({"iss": "i", "exp": 1e300}), Err(Refusal::Claims)),
            (json!({"iss": "i", "exp": "9999999999"}), Err(Refusal::Claims)),
            (json!({"iss": "i", "exp": null}), Err(Refusal::Claims)),
            (json!({"iss": "i"}), Err(Refusal::NoExpiry)),
            (json!({"iss": "i", "exp": now + 9, "nbf": now + 60}), Ok(NOW + 69_000)),
            (json!({"iss": "i", "exp": now + 9, "nbf": now + 61}), Err(Refusal::NotYet)),
            (json!({"iss": "i", "exp": now + 9, "nbf": true}), Err(Refusal::Claims)),
            (json!({"iss": "i", "exp": now + 9, "iat": now + 60}), Ok(NOW + 69_000)),
            (json!({"iss": "i", "exp": now + 9, "iat": now + 61}), Err(Refusal::FromTheFuture)),
        ] {
            assert_eq!(check(&rules(), None, claims.clone()), expected, "{claims}");
        }
    }

    #[test]
    fn issuer_audience_type_lifetime_and_required_claims() {
        let (now, exp) = (NOW / 1000, NOW / 1000 + 600);
        let audience = Rules { audiences: vec!["a".into(), "b".into()], ..rules() };
        let lifetime = Rules { max_lifetime: Some(600_000), ..rules() };
        let required = Rules { required: vec!["sub".into(), "tenant".into()], ..rules() };
        let access = Rules { types: vec!["at+jwt".into()], ..rules() };
        for (rules, kind, claims, expected) in [
            (&rules(), None, json!({"iss": "j", "exp": exp}), Err(Refusal::Issuer)),
            (&rules(), None, json!({"iss": "I", "exp": exp}), Err(Refusal::Issuer)),
            (&rules(), None, json!({"iss": ["i"], "exp": exp}), Err(Refusal::Claims)),
            (&rules(), None, json!({"exp": exp}), Err(Refusal::Issuer)),
            (&rules(), None, json!({"iss": "i", "exp": exp, "sub": 7}), Err(Refusal::Claims)),
            (&rules(), Some("jwt"), json!({"iss": "i", "exp": exp}), Ok(())),
            (&rules(), Some("logout+jwt"), json!({"iss": "i", "exp": exp}), Err(Refusal::Type)),
            (&access, Some("at+jwt"), json!({"iss": "i", "exp": exp}), Ok(())),
            (&access, Some("jwt"), json!({"iss": "i", "exp": exp}), Err(Refusal::Type)),
            (&access, None, json!({"iss": "i", "exp": exp}), Err(Refusal::Type)),
            (&audience, None, json!({"iss": "i", "exp": exp, "aud": "b"}), Ok(())),
            (&audience, None, json!({"iss": "i", "exp": exp, "aud": ["x", "a"]}), Ok(())),
            (&audience, None, json!({"iss": "i", "exp": exp, "aud": ["x"]}), Err(Refusal::Audience)),
            (&audience, None, json!({"iss": "i", "exp": exp, "aud": []}), Err(Refusal::Audience)),
            (&audience, None, json!({"iss": "i", "exp": exp}), Err(Refusal::Audience)),
            (&audience, None, json!({"iss": "i", "exp": exp, "aud": ["a", 1]}), Err(Refusal::Claims)),
            (&audience, None, json!({"iss": "i", "exp": exp, "aud": {"a": 1}}), Err(Refusal::Claims)),
            (&lifetime, None, json!({"iss": "i", "exp": exp, "iat": now}), Ok(())),
            (&lifetime, None, json!({"iss": "i", "exp": exp, "iat": now - 1}), Err(Refusal::Lifetime)),
            (&lifetime, None, json!({"iss": "i", "exp": exp}), Err(Refusal::Lifetime)),
            (&required, None, json!({"iss": "i", "exp": exp, "sub": "s", "tenant": 0}), Ok(())),
            (&required, None, json!({"iss": "i", "exp": exp, "sub": "s", "tenant": null}), Err(Refusal::MissingClaim)),
            (&required, None, json!({"iss": "i", "exp": exp, "sub": "s"}), Err(Refusal::MissingClaim)),
        ] {
            assert_eq!(check(rules, kind, claims.clone()).map(|_| ()), expected, "{kind:?} {claims}");
        }
    }

    #[test]
    fn scopes_are_read_in_both_spellings() {
        for (claims, expected) in [
            (json!({"scope": "read  write"}), &["read", "write"][..]),
            (json!({"scp": ["read", "write"]}), &["read", "write"]),
            (json!({"scp": "read"}), &["read"]),
            (json!({"scope": 1}), &[]),
            (json!({}), &[]),
        ] {
            let Value::Object(claims) = claims else { panic!("claims are an object") };
            assert_eq!(scopes(&claims), expected);
        }
    }
}
