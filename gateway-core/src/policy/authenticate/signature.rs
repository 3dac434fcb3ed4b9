//! A request that is signed by HTTP message signatures (RFC 9421).

use super::Verdict;
use super::signed::{Once, ReplayScope, has_body, signing_key, used_before};
use crate::caller::Caller;
use crate::consumer::Consumer;
use crate::error::Error;
use crate::http::Headers;
use crate::platform::{Platform, Timestamp};
use crate::policy::Visit;
use crate::signature::input::{self, Signed};
use crate::signature::rules::Rules;
use crate::signature::{Algorithm, Message, Refusal, digest};
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// Takes signed requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// What signatures must be like.
    pub rules: Rules,
    /// The label of the signature that counts; any, where none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The tag that it must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// How many bytes of a body are read to check its digest.
    pub body_limit: u64,
    /// Where used nonces are remembered.
    #[serde(default)]
    pub replay_scope: ReplayScope,
    /// What signatures are for, as the challenge tells.
    pub realm: String,
    /// Whether the upstream gets to see the signatures.
    #[serde(default)]
    pub keep: bool,
}

/// What a signature has proven, but for the body.
struct Proven {
    consumer: Rc<Consumer>,
    signed: Signed,
    until: Timestamp,
}

impl Signature {
    /// Looks for a signature that counts. The body is read only for a signature that is right, and is handed on as it came.
    pub async fn judge<P: Platform>(&self, visit: &mut Visit<'_, P>) -> Result<Verdict, Error> {
        let signatures = match input::read(visit.headers, self.label.as_deref(), self.tag.as_deref()) {
            Ok(signatures) => signatures,
            Err(refusal) => return Ok(Verdict::Wrong(refusal.reason())),
        };
        let mut verdict = Verdict::Missing;
        for signed in signatures {
            match self.verify(visit, signed).await {
                Ok(proven) => return self.complete(visit, proven).await,
                // The first one's reason is told: others may be for somebody else.
                Err(other) if verdict == Verdict::Missing => verdict = other,
                Err(_) => {}
            }
        }
        Ok(verdict)
    }

    async fn verify<P: Platform>(&self, visit: &Visit<'_, P>, signed: Signed) -> Result<Proven, Verdict> {
        let wrong = |refusal: Refusal| Verdict::Wrong(refusal.reason());
        // Where nobody knows, it is found out when the signature is right.
        let has_body = has_body(visit) == Some(true);
        let until = self.rules.check(&signed, has_body, visit.platform.now()).map_err(wrong)?;
        let id = signed.key.as_deref().unwrap_or_default();
        let Some((consumer, key)) = signing_key(visit, id).await? else { return Err(wrong(Refusal::Signature)) };
        let message = Message::new(visit.line, visit.client.scheme, visit.headers);
        self.rules.verify(&signed, &message, &key).map_err(wrong)?;
        Ok(Proven { consumer, signed, until })
    }

    async fn complete<P: Platform>(&self, visit: &mut Visit<'_, P>, proven: Proven) -> Result<Verdict, Error> {
        let Proven { consumer, signed, until } = proven;
        if signed.components.iter().any(|component| component.is_digest()) {
            let body = visit.read_body(self.body_limit).await?;
            if let Err(refusal) = digest::check(visit.headers, &body) {
                return Ok(Verdict::Wrong(refusal.reason()));
            }
        } else if self.rules.components.iter().any(|component| component.is_digest())
            && has_body(visit).is_none()
            && !visit.read_body(self.body_limit).await?.is_empty()
        {
            return Ok(Verdict::Wrong(Refusal::Uncovered.reason()));
        }
        let id = signed.key.unwrap_or_default();
        if let Some(nonce) = &signed.nonce {
            let Rules { max_age, leeway, .. } = self.rules;
            let hold = max_age.saturating_add(leeway.saturating_mul(2));
            let once = Once { scope: self.replay_scope, identifier: &format!("{id}\n{nonce}"), until, hold };
            match used_before(visit, once).await {
                Ok(false) => {}
                Ok(true) => return Ok(Verdict::Wrong(Refusal::Used.reason())),
                Err(why) => return Ok(Verdict::Unknowable(why)),
            }
        }
        Ok(Verdict::Proven(Caller {
            consumer: Some(consumer),
            credential: Some(id),
            proofs: vec!["signature"],
            ..Caller::default()
        }))
    }

    /// Takes the signatures out of what goes on. The body's digest stays: it is the origin's as well.
    pub fn strip(&self, headers: &mut Headers) {
        if !self.keep {
            headers.remove("signature");
            headers.remove("signature-input");
        }
    }

    /// No scheme is registered for these signatures; what they need is told in `Accept-Signature`.
    pub fn challenge(&self) -> String {
        format!("Signature realm=\"{}\"", self.realm)
    }

    /// A value of `Accept-Signature` (RFC 9421 §5.1): what a signature that would be taken covers and says.
    pub fn accepted(&self) -> String {
        let label = self.label.as_deref().unwrap_or("sig1");
        let components: Vec<_> = self.rules.components.iter().map(|component| component.identifier()).collect();
        let nonce = if self.rules.nonce { ";nonce" } else { "" };
        // §5.1 takes one algorithm, not a choice of them.
        let algorithm = match self.rules.algorithms.as_slice() {
            [one] => format!(";alg=\"{}\"", Algorithm::name(*one)),
            _ => String::new(),
        };
        let tag = self.tag.as_ref().map_or(String::new(), |tag| format!(";tag=\"{tag}\""));
        format!("{label}=({});created;keyid{algorithm}{nonce}{tag}", components.join(" "))
    }
}
