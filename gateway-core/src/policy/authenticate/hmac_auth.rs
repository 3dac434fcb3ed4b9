//! A request that is signed by the older `hmac` scheme, as clients of Kong and APISIX send it.

use super::Verdict;
use super::signed::{Once, ReplayScope, has_body, used_before};
use crate::caller::Caller;
use crate::consumer::{By, Signer, SigningKey, hex};
use crate::error::Error;
use crate::http::Headers;
use crate::platform::Platform;
use crate::policy::Visit;
use crate::signature::hmac::{Dialect, Rules, Sent};
use crate::signature::key::Secret;
use crate::signature::{Message, Refusal, digest};
use serde::{Deserialize, Serialize};

/// Takes requests that are signed so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HmacAuth {
    /// What signatures must be like.
    pub rules: Rules,
    /// Whether a body needs a digest that is signed. One that is signed is checked in any case.
    #[serde(default)]
    pub body: bool,
    /// How many bytes of a body are read to check its digest.
    pub body_limit: u64,
    /// Whether every signature is taken once, and where those that were are remembered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub single_use: Option<ReplayScope>,
    /// What signatures are for, as the challenge tells.
    pub realm: String,
    /// Whether the upstream gets to see the credential.
    #[serde(default)]
    pub keep: bool,
}

impl HmacAuth {
    /// Looks for a signature. The body is read only for one that is right, and is handed on as it came.
    pub async fn judge<P: Platform>(&self, visit: &mut Visit<'_, P>) -> Result<Verdict, Error> {
        let wrong = |refusal: Refusal| Ok(Verdict::Wrong(refusal.reason()));
        let sent = match sent(visit.headers) {
            None => return Ok(Verdict::Missing),
            Some(Ok(sent)) => sent,
            Some(Err(refusal)) => return wrong(refusal),
        };
        let message = Message::new(visit.line, visit.client.scheme, visit.headers);
        let until = match sent.check(&self.rules, &message, visit.platform.now()) {
            Ok(until) => until,
            Err(refusal) => return wrong(refusal),
        };
        let consumer = match visit.consumers.look_up(visit.platform, By::Signer(&sent.id)).await {
            Ok(Some(consumer)) => consumer,
            Ok(None) => return wrong(Refusal::Signature),
            Err(error) => return Ok(Verdict::Unknowable(error.0)),
        };
        // A public key is known to everybody, so it is no secret.
        let signer = consumer.signers.iter().find(|signer| signer.id == sent.id);
        let Some(Signer { key: SigningKey::Secret(secret), base64, .. }) = signer else {
            return wrong(Refusal::Signature);
        };
        let secret = match Secret::new(secret, *base64, visit.settings) {
            Ok(secret) => secret,
            Err(why) => return Ok(Verdict::Unknowable(format!("the signer `{}`: {why}", sent.id))),
        };
        let texts = match sent.texts(&message) {
            Ok(texts) => texts,
            Err(refusal) => return wrong(refusal),
        };
        if !texts.iter().any(|text| secret.verify(sent.hash, text, &sent.signature)) {
            return wrong(Refusal::Signature);
        }
        if sent.signs("digest") {
            let body = visit.read_body(self.body_limit).await?;
            if let Err(refusal) = digest::check_older(visit.headers, &body) {
                return wrong(refusal);
            }
        } else if self.body {
            let has_body = match has_body(visit) {
                Some(known) => known,
                None => !visit.read_body(self.body_limit).await?.is_empty(),
            };
            if has_body {
                return wrong(Refusal::NoDigest);
            }
        }
        // The code, not its spelling: Base64 has several.
        if let Some(scope) = self.single_use {
            let identifier = &format!("{}\nhmac {}", sent.id, hex(&sent.signature));
            let hold = self.rules.clock_skew.saturating_mul(2);
            match used_before(visit, Once { scope, identifier, until, hold }).await {
                Ok(false) => {}
                Ok(true) => return wrong(Refusal::Used),
                Err(why) => return Ok(Verdict::Unknowable(why)),
            }
        }
        Ok(Verdict::Proven(Caller {
            consumer: Some(consumer),
            credential: Some(sent.id),
            proofs: vec!["hmac_auth"],
            ..Caller::default()
        }))
    }

    /// Takes the credential out of what goes on.
    pub fn strip(&self, headers: &mut Headers) {
        let ours = |value: &[u8]| Dialect::of(&String::from_utf8_lossy(value)).is_some();
        if !self.keep && headers.all("authorization").any(ours) {
            headers.remove("authorization");
        }
    }

    /// As Kong sends it.
    pub fn challenge(&self) -> String {
        format!("hmac realm=\"{}\"", self.realm)
    }
}

/// The signature of a request. Two of them are none: nobody can say which was meant.
fn sent(headers: &Headers) -> Option<Result<Sent, Refusal>> {
    // What is no text is a wrong one, not none.
    let values = headers.all("authorization").map(String::from_utf8_lossy);
    let mut found = values.filter_map(|value| Sent::read(&value));
    let first = found.next()?;
    Some(if found.next().is_some() { Err(Refusal::TooMany) } else { first })
}
