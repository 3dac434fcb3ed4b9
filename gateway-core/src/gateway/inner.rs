//! Requests that the gateway makes itself, through its own routes and their policies.
//!
//! Whoever serves many things under one address (tools, batches) asks for each of them as a client would: what authentication,
//! limits, caches and telemetry say of a client's request they say of this one, too. It has the address, the connection and,
//! where it is given them, the credentials of the client on whose behalf it is made.

#[cfg(any(feature = "compose", feature = "mcp", feature = "json_rpc"))]
use super::Note;
use super::{Gateway, Reply, Start};
use crate::client::Client;
use crate::error::Error;
use crate::http::{Body, Headers};
#[cfg(feature = "compose")]
use crate::outflow::Whole;
#[cfg(any(feature = "compose", feature = "mcp"))]
use crate::platform::ReadError;
use crate::platform::{Platform, Timestamp};
#[cfg(any(feature = "compose", feature = "mcp", feature = "json_rpc"))]
use crate::policy::Deferred;
#[cfg(any(feature = "compose", feature = "mcp"))]
use crate::pump;
use crate::request::{Line, Request};
use crate::telemetry::watch::Watched;
use crate::upstream::{self, First};
#[cfg(any(feature = "compose", feature = "mcp"))]
use bytes::Bytes;
#[cfg(feature = "compose")]
use std::collections::VecDeque;
use std::pin::pin;
use std::time::Duration;

/// A request that the gateway makes itself.
#[derive(Debug)]
pub struct Inner<'a, S> {
    /// The request on whose behalf it is made: host and scheme are the same.
    pub line: &'a Line,
    /// The one who sent that.
    pub client: &'a Client,
    /// How many requests it is within: see [`DEEPEST`].
    pub depth: u8,
    /// The route that makes it, for the log.
    pub route: &'a str,
    /// The method's token.
    pub method: String,
    /// Path and query, in any spelling.
    pub target: String,
    /// All fields.
    pub headers: Headers,
    /// The body.
    pub body: Body<S>,
    /// From when on nobody waits for the answer any more, where that is known: nothing is asked of an upstream then.
    pub until: Option<Timestamp>,
}

/// A request within so many others is refused: it goes round in a circle.
pub const DEEPEST: u8 = 4;

/// How many milliseconds a request whose time is over has to give back what it holds, before it is given up wherever it is.
pub(super) const GRACE: u64 = 500;

impl Gateway {
    /// Answers a request of the gateway's own as [`Gateway::handle`] answers a client's. Never fails.
    ///
    /// What the reply has left to do, and what the log should hear, is for the reply to the outer request. The inner one has a
    /// line of its own in the log, which names the route that made it.
    pub async fn handle_inner<P: Platform>(
        &self,
        outer: &Watched<'_, P>,
        inner: Inner<'_, P::Stream>,
    ) -> Reply<P::Stream> {
        let (route, depth, until) = (inner.route, inner.depth, inner.until);
        let (mut request, body) = match Request::within(inner, &self.globals.limits) {
            Ok(read) => read,
            Err(error) => return Reply::refuse(outer, error),
        };
        let watched = self.watch_inner(outer, route, &mut request).within(until);
        let mut reply = if depth > DEEPEST {
            Reply::refuse(&watched, Error::LoopDetected)
        } else {
            // Boxed, since it comes round to itself.
            let mut answering = Box::pin(self.dispatch(&watched, request, body));
            match until {
                None => answering.await,
                // Its calls end in time, and it then by itself: only so are limits and claims that it holds free for others.
                Some(until) => {
                    let left = until.saturating_sub(outer.now()).saturating_add(GRACE);
                    let timer = pin!(outer.sleep(Duration::from_millis(left)));
                    match upstream::first(answering.as_mut(), timer).await {
                        First::One(reply) => reply,
                        First::Other(()) => {
                            Reply::fail(&watched, Error::UpstreamTimeout, None, "it was given up".to_owned())
                        }
                    }
                }
            }
        };
        self.end_inner(watched, &mut reply);
        reply
    }

    /// Answers a request of the gateway's own by the rest of the route that makes it. Never fails.
    pub async fn follow_inner<P: Platform>(
        &self,
        outer: &Watched<'_, P>,
        matched: crate::route::Matched<super::Plan>,
        mut request: Request,
        body: Body<P::Stream>,
        start: Start,
    ) -> Reply<P::Stream> {
        let watched = self.watch_inner(outer, &matched.route.name, &mut request);
        let mut reply = Box::pin(self.follow(&watched, matched, request, body, start)).await;
        self.end_inner(watched, &mut reply);
        reply
    }

    /// Reads the whole body of an inner request's reply, as far as `most` bytes go; the reply is left without it. What makes a body while
    /// it is sent makes it here, since the reply that it belongs to never leaves the gateway. Its calls end when its time does (`until`).
    #[cfg(any(feature = "compose", feature = "mcp"))]
    pub(super) async fn read_inner<P: Platform>(
        &self,
        platform: &Watched<'_, P>,
        reply: &mut Reply<P::Stream>,
        most: usize,
        until: Option<Timestamp>,
    ) -> Result<Bytes, ReadError> {
        #[cfg(not(feature = "compose"))]
        let _ = until;
        match std::mem::replace(&mut reply.response.body, Body::Empty) {
            #[cfg(feature = "compose")]
            Body::Made(flow) => {
                flow.gather(most);
                let mut left = VecDeque::from(std::mem::take(&mut reply.deferred));
                let makes = left.iter().position(|deferred| matches!(deferred, Deferred::Compose(_)));
                if let Some(Deferred::Compose(production)) = makes.and_then(|at| left.remove(at)) {
                    let production = production.within(until);
                    reply.notes.extend(Box::pin(self.go_on(platform.bare(), production, &mut left)).await);
                }
                reply.deferred = left.into();
                match flow.gathered() {
                    Whole::Bytes(bytes) => Ok(bytes),
                    Whole::TooLarge => Err(ReadError::TooLarge),
                    Whole::Broken => Err(ReadError::Broken(String::new())),
                }
            }
            body => pump::read(platform, body, most).await,
        }
    }

    /// Does of what a reply has left what others may wait for, once its body has been read: what it held is free, and what is stored is
    /// there. It would come only after the outer answer otherwise, which may be made of one that waits. Where the body was not read to its
    /// end (`whole`), that may take as long as it likes to be stored, and nobody waits for it.
    ///
    /// Gives what is left, and what the log should hear.
    #[cfg(any(feature = "compose", feature = "mcp", feature = "json_rpc"))]
    pub(super) async fn let_go<P: Platform>(
        &self,
        platform: &Watched<'_, P>,
        deferred: Vec<Deferred>,
        whole: bool,
    ) -> (Vec<Deferred>, Vec<Note>) {
        let (mut now, mut later) = (Vec::new(), Vec::new());
        for deferred in deferred {
            match deferred {
                Deferred::Release(_) => now.push(deferred),
                #[cfg(feature = "cache")]
                Deferred::Keep(_) if whole => now.push(deferred),
                #[cfg(feature = "cache")]
                Deferred::Keep(keeping) => later.push(Deferred::Keep(keeping.unawaited())),
                _ => later.push(deferred),
            }
        }
        // Of what does not really happen nothing is held.
        let notes = if now.is_empty() || platform.is_rehearsal() {
            Vec::new()
        } else {
            // Boxed, since it comes round to itself.
            Box::pin(self.settle(platform.bare(), now)).await
        };
        let _ = whole;
        (later, notes)
    }

    /// What observes an inner request: beside the outer one, and in its trace.
    fn watch_inner<'p, P: Platform>(
        &self,
        outer: &Watched<'p, P>,
        route: &str,
        request: &mut Request,
    ) -> Watched<'p, P> {
        #[cfg(feature = "telemetry")]
        let record = self.telemetry.as_ref().and_then(|telemetry| telemetry.begin_inner(outer, route, request));
        #[cfg(not(feature = "telemetry"))]
        let record = {
            let _ = (route, request);
            None
        };
        outer.beside(record)
    }

    fn end_inner<P: Platform>(&self, watched: Watched<'_, P>, reply: &mut Reply<P::Stream>) {
        #[cfg(feature = "telemetry")]
        if let Some(telemetry) = &self.telemetry {
            let platform = watched.bare();
            if let Some(record) = watched.into_record() {
                telemetry.end(platform, record, reply);
            }
        }
        #[cfg(not(feature = "telemetry"))]
        let _ = (watched, reply);
    }
}
