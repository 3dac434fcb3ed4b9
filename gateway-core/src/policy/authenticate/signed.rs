//! What both kinds of signatures need: keys, what has been used, and whether there is a body.

use super::Verdict;
use crate::consumer::{By, Consumer, hex};
use crate::http::Body;
use crate::platform::{Platform, Timestamp};
use crate::policy::Visit;
use crate::quota::{Act, Order, Rule};
use crate::signature::key::SignerKey;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::rc::Rc;

/// The consumer whose signing key has this identifier, and the key, which is read once.
pub(super) async fn signing_key<P: Platform>(
    visit: &Visit<'_, P>,
    id: &str,
) -> Result<Option<(Rc<Consumer>, Rc<SignerKey>)>, Verdict> {
    let found = visit.consumers.look_up(visit.platform, By::Signer(id)).await;
    let found = found.map_err(|error| Verdict::Unknowable(error.0))?;
    let Some(consumer) = found else { return Ok(None) };
    let Some(signer) = consumer.signers.iter().find(|signer| signer.id == id) else { return Ok(None) };
    // The store may give another key under the same identifier.
    let from = signer.mark();
    if let Some(key) = visit.consumers.signing.borrow_mut().get(&from) {
        return Ok(Some((consumer, key)));
    }
    let key = SignerKey::new(signer, visit.settings);
    let key = Rc::new(key.map_err(|why| Verdict::Unknowable(format!("the signer `{id}`: {why}")))?);
    visit.consumers.signing.borrow_mut().put(&from, Rc::clone(&key));
    Ok(Some((consumer, key)))
}

/// Where it is remembered what has been used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplayScope {
    /// In the memory of each instance.
    #[default]
    Instance,
    /// Where all instances look.
    Global,
}

/// What is taken once.
pub(super) struct Once<'a> {
    /// Where it is remembered.
    pub scope: ReplayScope,
    /// What it is known by, among all that are taken once.
    pub identifier: &'a str,
    /// When it counts no longer by itself.
    pub until: Timestamp,
    /// How long anything like it may count, at the most: the same for all that come by the same rules.
    pub hold: u64,
}

/// Whether something that is taken once has been taken before; from now on it has. `Err`: nobody can say just now.
pub(super) async fn used_before<P: Platform>(visit: &Visit<'_, P>, once: Once<'_>) -> Result<bool, String> {
    let Once { scope, identifier, until, hold } = once;
    // One place only: what is refused because the other does not answer has not been used, and may come again.
    if scope == ReplayScope::Instance {
        return Ok(!visit.consumers.used.borrow_mut().is_first(identifier, until, visit.platform.now()));
    }
    let hash: [u8; 32] = Sha256::digest(identifier).into();
    let (shard, name) =
        (hash[0], u64::from_be_bytes(*hash[1..].first_chunk().expect("a hash has more than nine bytes")));
    // Many share a key, so that what is over goes when the next one comes: some stores forget nothing by themselves.
    let family = hex(&Sha256::digest(format!("replays {hold}"))[..15]);
    let order = Order { rules: vec![Rule::Leases { limit: MOST_SHARED, hold }], act: Act::Once(name) };
    let taken = visit.platform.take(&format!("global/{shard:02x}{family}"), &order).await;
    let decision = taken.map_err(|error| format!("nobody knows whether a signature has been used: {}", error.0))?;
    Ok(decision.granted.is_none())
}

/// How many used ones each of 256 shares remembers; beyond that, new ones are refused until old ones are over.
const MOST_SHARED: u64 = 10_000;

/// Whether there is a body, as far as that is known without reading it: what comes in chunks may be nothing, and some
/// platforms give a stream for every POST.
pub(super) fn has_body<P: Platform>(visit: &Visit<'_, P>) -> Option<bool> {
    match &*visit.body {
        Body::Empty => Some(false),
        Body::Bytes(bytes) => Some(!bytes.is_empty()),
        Body::Stream(_) | Body::Pumped(..) | Body::Made(_) => visit.headers.content_length().map(|length| length > 0),
    }
}
