//! A token that only its authorisation server can read: the gateway asks (RFC 7662).

use super::Verdict;
use super::bearer::Bearer;
use super::issuer::Verified;
use super::jwt::{Naming, known};
use super::possession::Possession;
use crate::errand::{self, Address, Errand};
use crate::jwt::remembered::Fingerprint;
use crate::jwt::token::LONGEST;
use crate::jwt::{Refusal, json, rules};
use crate::platform::{Platform, Timestamp};
use crate::policy::Visit;
use crate::template::Template;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::rc::Rc;

/// Asks an authorisation server about tokens, and believes what it says for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Introspection {
    /// Where tokens stand, and what of them goes on.
    pub bearer: Bearer,
    /// Where to ask.
    pub url: Template,
    /// What the gateway is called there.
    pub client_id: Template,
    /// What proves that it is the gateway who asks.
    pub client_secret: Template,
    /// Whose tokens these are. An answer that names somebody else is refused; consumers are looked for under it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// What says who calls besides issuer and subject.
    #[serde(default, skip_serializing_if = "Naming::is_usual")]
    pub naming: Naming,
    /// One of these must be in `aud`; none listed: nobody looks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audiences: Vec<String>,
    /// Claims that must be there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub required: Vec<String>,
    /// For how long it is believed that a token is active, in milliseconds.
    pub active: u64,
    /// For how long it is believed that a token is not.
    pub inactive: u64,
    /// Tells these settings from others, so that what one server said of a token does not count for another.
    pub context: u32,
    /// Whether tokens must be bound to a key or certificate.
    #[serde(default)]
    pub possession: Possession,
}

/// What is said of a token that is not taken: expired, revoked, unknown, or for somebody else.
const INACTIVE: &str = "The token is not active.";
const LARGEST_ANSWER: usize = 64 << 10;

impl Introspection {
    /// Looks for a token, and asks what it is unless that is known. Whoever cannot be asked vouches for nobody.
    pub async fn judge<P: Platform>(&self, visit: &Visit<'_, P>) -> Verdict {
        let sent = match self.bearer.find(visit.line, visit.headers) {
            Ok(Some(sent)) => sent,
            Ok(None) => return Verdict::Missing,
            Err(reason) => return Verdict::Wrong(reason),
        };
        if sent.token.len() > LONGEST {
            return Verdict::Wrong(Refusal::TooLong.reason());
        }
        let key = Fingerprint::new(&sent.token).within(self.context);
        let remembered = visit.tokens.introspected.borrow_mut().get(&key, visit.platform.now());
        let verified = match remembered {
            Some(verified) => verified,
            None => match self.ask(visit, &sent.token).await {
                Ok((answer, length)) => {
                    let now = visit.platform.now();
                    let (verified, until) = match self.active(answer, now) {
                        Some((verified, until)) => (Some(verified), until),
                        None => (None, now.saturating_add(self.inactive)),
                    };
                    let weight = verified.as_ref().map_or(200, |_| 200 + length * 2);
                    let verified = Rc::new(verified);
                    visit.tokens.introspected.borrow_mut().insert(key, Rc::clone(&verified), until, weight);
                    verified
                }
                Err(why) => return Verdict::Unknowable(why),
            },
        };
        let Some(verified) = verified.as_ref() else { return Verdict::Wrong(INACTIVE) };
        let (request, now) = ((visit.line, &*visit.headers, visit.client), visit.platform.now());
        match self.possession.check(&verified.claims, &sent, request, visit.tokens, now) {
            Ok(()) => known(visit, verified, self.issuer.as_deref(), &self.naming, "introspection").await.bound(&sent),
            Err(refusal) => Verdict::Wrong(refusal.reason()),
        }
    }

    /// What the server says, and how many bytes that is.
    async fn ask<P: Platform>(&self, visit: &Visit<'_, P>, token: &str) -> Result<(Map<String, Value>, usize), String> {
        let address = Address::parse(&self.url.resolve(visit.settings))?;
        let part = |template: &Template| errand::encode(&template.resolve(visit.settings));
        // RFC 6749 §2.3.1: both are encoded as in a form before they are joined.
        let credentials = format!("{}:{}", part(&self.client_id), part(&self.client_secret));
        let headers = vec![("authorization", format!("Basic {}", STANDARD.encode(credentials)))];
        let form = Some(format!("token={}&token_type_hint=access_token", errand::encode(token)));
        let errand = Errand { address: &address, headers, form, limit: LARGEST_ANSWER };
        let bytes = errand::run(visit.platform, errand).await?;
        let claims = json::object(&bytes).ok_or_else(|| "what was said of the token is no object".to_owned())?;
        Ok((claims, bytes.len()))
    }

    /// What an answer says, and until when that may be believed; `None`: that the token is not to be taken.
    fn active(&self, claims: Map<String, Value>, now: Timestamp) -> Option<(Verified, Timestamp)> {
        let text = |name: &str| rules::text(&claims, name);
        let is = |name: &str, expected: &Option<String>| match (text(name), expected) {
            (Ok(Some(found)), Some(expected)) => found == expected,
            (Ok(_), _) => true,
            (Err(_), _) => false,
        };
        let (expires, not_before) = (rules::time(&claims, "exp").ok()?, rules::time(&claims, "nbf").ok()?);
        let audience_fits = self.audiences.is_empty()
            || match claims.get("aud") {
                Some(Value::String(name)) => self.audiences.contains(name),
                Some(Value::Array(names)) => {
                    names.iter().filter_map(Value::as_str).any(|name| self.audiences.iter().any(|a| a == name))
                }
                _ => false,
            };
        let taken = claims.get("active") == Some(&Value::Bool(true))
            && is("iss", &self.issuer)
            && text("sub").is_ok()
            && audience_fits
            && expires.is_none_or(|expires| now < expires)
            && not_before.is_none_or(|not_before| not_before <= now)
            && !self.required.iter().any(|name| claims.get(name).is_none_or(Value::is_null));
        let until = now.saturating_add(self.active).min(expires.unwrap_or(u64::MAX));
        taken.then(|| (Verified { scopes: rules::scopes(&claims), claims: Rc::new(claims), key: 0 }, until))
    }

    /// The challenge (RFC 6750 §3).
    pub fn challenge(&self, wrong: Option<&str>) -> String {
        self.bearer.challenge(if self.possession.dpop { "DPoP" } else { "Bearer" }, wrong)
    }
}
