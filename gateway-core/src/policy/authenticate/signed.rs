//! What both kinds of signatures need: keys, what has been used, and whether there is a body.

use super::Verdict;
use crate::consumer::{By, Consumer};
use crate::http::{Body, Headers};
use crate::platform::{Platform, Timestamp};
use crate::policy::Visit;
use crate::signature::key::SignerKey;
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

/// Whether something that is taken once has been taken before; from now on it has. The memory is this instance's own.
pub(super) async fn used_before<P: Platform>(visit: &Visit<'_, P>, identifier: &str, until: Timestamp) -> bool {
    !visit.consumers.used.borrow_mut().is_first(identifier, until, visit.platform.now())
}

/// Whether there is a body, as far as that is known without reading it: what comes in chunks may be nothing, and some
/// platforms give a stream for every POST.
pub(super) fn has_body<P: Platform>(visit: &Visit<'_, P>) -> Option<bool> {
    match &*visit.body {
        Body::Empty => Some(false),
        Body::Bytes(bytes) => Some(!bytes.is_empty()),
        Body::Stream(_) => declared_length(visit.headers).map(|length| length > 0),
    }
}

fn declared_length(headers: &Headers) -> Option<u64> {
    headers.text("content-length").and_then(|length| length.parse().ok())
}
