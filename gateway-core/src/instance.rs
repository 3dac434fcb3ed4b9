//! The gateway as an adapter holds it: the bundled configuration, and whatever other version of it serves.
//!
//! Without `rollout` in the configuration this adds a pointer to [`Gateway`], and one comparison to each request.

use crate::gateway::{Gateway, LoadError, Note, Reply};
use crate::http::Incoming;
use crate::platform::Platform;
use crate::policy::Deferred;
#[cfg(feature = "rollout")]
use crate::rollout::Rollout;
use crate::template::Reference;
use bytes::Bytes;
use std::fmt;
#[cfg(feature = "rollout")]
use std::future::poll_fn;
#[cfg(feature = "rollout")]
use std::pin::pin;
use std::rc::Rc;
#[cfg(feature = "rollout")]
use std::task::Poll;

/// All that serves in an instance.
pub struct Instance {
    bundled: Rc<Gateway>,
    #[cfg(feature = "rollout")]
    rollout: Option<Rc<Rollout>>,
}

/// What came of a request, and who settles the rest of it.
#[derive(Debug)]
pub struct Served<S> {
    /// For the client, the log, and later.
    pub reply: Reply<S>,
    /// The version that has answered: no other one knows what it has left to do.
    pub by: Rc<Gateway>,
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance").finish_non_exhaustive()
    }
}

impl Instance {
    /// Loads the bundled configuration: see [`Gateway::load`].
    pub fn load(artefact: Bytes, settings: impl FnMut(&Reference) -> Option<String>) -> Result<Self, LoadError> {
        #[cfg(feature = "rollout")]
        let bytes = artefact.clone();
        let bundled = Gateway::load(artefact, settings)?;
        #[cfg(feature = "rollout")]
        if let Some(rules) = bundled.globals().rollout.clone() {
            let rollout = Rc::new(Rollout::new(rules, &bytes, &bundled));
            let bundled = Rc::new(bundled.with_rollout(Rc::clone(&rollout)));
            return Ok(Self { bundled, rollout: Some(rollout) });
        }
        Ok(Self {
            bundled: Rc::new(bundled),
            #[cfg(feature = "rollout")]
            rollout: None,
        })
    }

    /// The bundled configuration, whichever version serves.
    pub fn bundled(&self) -> &Gateway {
        &self.bundled
    }

    /// Answers one request: see [`Gateway::handle`].
    pub async fn handle<P: Platform>(&self, platform: &P, incoming: Incoming<P::Stream>) -> Served<P::Stream> {
        #[cfg(feature = "rollout")]
        if let Some(rollout) = &self.rollout {
            if self.bundled.is_about_versions(&incoming) {
                let reply = self.bundled.handle(platform, incoming).await;
                return Served { reply, by: Rc::clone(&self.bundled) };
            }
            let notes = rollout.catch_up(platform).await;
            let choice = rollout.choose(&incoming);
            let by = choice.gateway.as_ref().unwrap_or(&self.bundled);
            let by = Rc::clone(by);
            let mut reply = by.handle(platform, incoming).await;
            let look = rollout.answered(&choice, reply.response.status, platform.now());
            reply.deferred.extend(look.map(Deferred::Look));
            reply.notes.extend(notes);
            return Served { reply, by };
        }
        Served { reply: self.bundled.handle(platform, incoming).await, by: Rc::clone(&self.bundled) }
    }

    /// Does what was left to do when a reply has been sent: see [`Gateway::settle`].
    pub async fn settle<P: Platform>(&self, platform: &P, by: &Gateway, deferred: Vec<Deferred>) -> Vec<Note> {
        #[cfg(feature = "rollout")]
        if let Some(rollout) = &self.rollout {
            let (looks, others): (Vec<_>, Vec<_>) =
                deferred.into_iter().partition(|deferred| matches!(deferred, Deferred::Look(_)));
            let wait =
                looks.iter().find_map(|deferred| if let Deferred::Look(wait) = deferred { Some(*wait) } else { None });
            let Some(wait) = wait else { return by.settle(platform, others).await };
            // Either may wait for long, and neither for the other.
            let (mut notes, more) = both(by.settle(platform, others), rollout.tend(platform, wait)).await;
            notes.extend(more);
            return notes;
        }
        by.settle(platform, deferred).await
    }

    /// Whether targets of any upstream are checked.
    pub fn has_checks(&self) -> bool {
        self.gateways().iter().any(|gateway| gateway.has_checks())
    }

    /// Checks all targets that are due: see [`Gateway::check`].
    #[cfg(feature = "checks")]
    pub async fn check<P: Platform>(&self, platform: &P, kept: &str) -> (String, Vec<Note>) {
        let mut notes = Vec::new();
        #[cfg(feature = "rollout")]
        if let Some(rollout) = &self.rollout {
            notes.extend(rollout.look_if_due(platform).await);
        }
        let (mut next, mut lines, mut done) = (0_u64, String::new(), Vec::new());
        for gateway in self.gateways() {
            // Both versions of an upstream share what was found; the one that serves more asks.
            let known: Vec<&str> = done.iter().map(String::as_str).collect();
            let (text, more) = gateway.check_unless(platform, kept, &known).await;
            notes.extend(more);
            let (time, found) = text.split_once('\n').unwrap_or((&text, ""));
            let time = time.parse().unwrap_or(0);
            next = if next == 0 || time == 0 { next.max(time) } else { next.min(time) };
            if !found.is_empty() {
                lines.push('\n');
                lines.push_str(found);
            }
            done.extend(gateway.checks());
        }
        let text = format!("{next}{lines}");
        (text, notes)
    }

    /// Every version that serves somebody, the one that serves most first.
    fn gateways(&self) -> Vec<Rc<Gateway>> {
        #[cfg(feature = "rollout")]
        if let Some(rollout) = &self.rollout {
            let mut gateways = rollout.gateways();
            if !rollout.replaces_the_bundled() {
                gateways.insert(0, Rc::clone(&self.bundled));
            }
            return gateways;
        }
        vec![Rc::clone(&self.bundled)]
    }
}

/// Waits for both.
#[cfg(feature = "rollout")]
async fn both<A, B>(one: impl Future<Output = A>, other: impl Future<Output = B>) -> (A, B) {
    let (mut one, mut other) = (pin!(one), pin!(other));
    let (mut first, mut second) = (None, None);
    poll_fn(|context| {
        if first.is_none()
            && let Poll::Ready(value) = one.as_mut().poll(context)
        {
            first = Some(value);
        }
        if second.is_none()
            && let Poll::Ready(value) = other.as_mut().poll(context)
        {
            second = Some(value);
        }
        match (first.take(), second.take()) {
            (Some(one), Some(other)) => Poll::Ready((one, other)),
            (one, other) => {
                (first, second) = (one, other);
                Poll::Pending
            }
        }
    })
    .await
}
