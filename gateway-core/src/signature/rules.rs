//! What a route asks of signatures (RFC 9421 §3.2), whatever key they were made with.

use super::component::Component;
use super::input::Signed;
use super::key::SignerKey;
use super::{Algorithm, Message, Refusal};
use crate::platform::Timestamp;
use serde::{Deserialize, Serialize};

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// What must be covered. `content-digest` only where there is a body.
    pub components: Vec<Component>,
    /// The algorithms that are taken; none: each key's own.
    pub algorithms: Vec<Algorithm>,
    /// How old a signature may be, in milliseconds.
    pub max_age: u64,
    /// How far the clocks of clients may differ, in milliseconds.
    pub leeway: u64,
    /// Whether there must be a nonce.
    pub nonce: bool,
}

/// The longest nonce that is taken, in bytes.
const LONGEST_NONCE: usize = 256;

impl Rules {
    /// Whether a signature says and covers what it must. Gives the moment until which it counts.
    pub fn check(&self, signed: &Signed, has_body: bool, now: Timestamp) -> Result<Timestamp, Refusal> {
        let needed = self.components.iter().filter(|component| has_body || !component.is_digest());
        if !needed.into_iter().all(|component| component.is_covered_by(&signed.components)) {
            return Err(Refusal::Uncovered);
        }
        let nonce = signed.nonce.as_ref().map_or(0, String::len);
        if signed.key.is_none() || self.nonce && nonce == 0 {
            return Err(Refusal::Incomplete);
        }
        if nonce > LONGEST_NONCE {
            return Err(Refusal::TooMany);
        }
        let created = signed.created.ok_or(Refusal::Incomplete).and_then(milliseconds)?;
        if created > now.saturating_add(self.leeway) {
            return Err(Refusal::FromTheFuture);
        }
        let mut until = created.saturating_add(self.max_age);
        if let Some(expires) = signed.expires {
            until = until.min(milliseconds(expires)?);
        }
        let until = until.saturating_add(self.leeway);
        if until <= now { Err(Refusal::Expired) } else { Ok(until) }
    }

    /// Whether the signature is the key's, and over this request.
    pub fn verify(&self, signed: &Signed, message: &Message<'_>, key: &SignerKey) -> Result<(), Refusal> {
        // §3.2 (6): the key says which algorithm it is for; what the signature says can only agree.
        let said = signed.algorithm.as_ref().is_some_and(|name| Algorithm::named(name) != Some(key.algorithm));
        if said || !self.algorithms.is_empty() && !self.algorithms.contains(&key.algorithm) {
            return Err(Refusal::Algorithm);
        }
        let base = signed.base(message)?;
        if key.verify(&base, &signed.signature) { Ok(()) } else { Err(Refusal::Signature) }
    }
}

fn milliseconds(seconds: i64) -> Result<Timestamp, Refusal> {
    u64::try_from(seconds).map(|seconds| seconds.saturating_mul(1000)).map_err(|_| Refusal::Malformed)
}
