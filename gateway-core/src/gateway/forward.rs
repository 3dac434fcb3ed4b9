//! How a request goes to an upstream, and what the client gets of what comes of it.

use super::reply::Origin;
use super::way::Leaving;
use super::{Gateway, Note, Plan, Reply};
use crate::config::artefact::Globals;
use crate::error::Error;
use crate::forward::{self, Forward};
use crate::http::{Body, Headers};
use crate::platform::{Call, FetchError, Interest, Patience, Platform};
#[cfg(feature = "mirror")]
use crate::policy::Deferred;
#[cfg(feature = "mirror")]
use crate::policy::mirror;
use crate::policy::{Memo, Policy};
use crate::pump;
use crate::request::{Line, strip_hop_by_hop};
#[cfg(feature = "telemetry")]
use crate::telemetry::Telemetry;
use crate::template::Scope;
use crate::upstream::{self, Cause, Failed, Fallback, HostHeader, Instead, Pool};
use std::time::Duration;

impl Gateway {
    /// What of a request goes on to an upstream, and what the way back needs of the answer.
    pub(super) fn payload<S>(
        &self,
        leaving: Leaving<S>,
        plan: &Plan,
        policies: &[Policy],
        memo: &mut Memo,
    ) -> Payload<S> {
        let Leaving { headers, query, body, upgrade, content_length, depth, .. } = leaving;
        let reads = policies.iter().any(Policy::reads_response);
        #[cfg(feature = "telemetry")]
        let reads = reads || self.telemetry.as_ref().is_some_and(Telemetry::reads_response);
        #[cfg(not(feature = "mirror"))]
        let _ = memo;
        Payload {
            // A policy that has changed the body has taken its length away, or given it another.
            content_length: content_length.and(headers.content_length()),
            headers,
            query,
            body,
            upgrade,
            limit: plan.body_limit,
            // Whoever has made the request itself reads what comes of it, and goes on without it.
            reads: reads || depth > 0,
            last: depth == 0,
            watched: policies.iter().any(Policy::awaits_the_body),
            instead: None,
            #[cfg(feature = "mirror")]
            mirrors: std::mem::take(&mut memo.mirrors),
        }
    }

    /// Sends the request on, and takes from the response what was meant for this hop only.
    pub(super) async fn forward<P: Platform>(
        &self,
        platform: &P,
        forward: &Forward,
        payload: Payload<P::Stream>,
        scope: &Scope<'_>,
    ) -> (Reply<P::Stream>, Origin) {
        let fail = |error, detail| (Reply::fail(platform, error, Some(scope.route), detail), Origin::Gateway);
        let Payload { mut headers, query, body, upgrade, content_length, limit, reads, watched, last, instead, .. } =
            payload;
        #[cfg(feature = "mirror")]
        let mirrors = payload.mirrors;
        let Some(pool) = self.upstreams.get(forward.upstream as usize) else {
            return self.no_upstream(platform, forward.upstream, scope);
        };
        let line = scope.line;
        let limit = pool.body_limit(limit);
        let mut target = match forward.path.apply(scope) {
            Ok(target) => target,
            Err(error) => return fail(error, String::new()),
        };
        if let Some(query) = query {
            target.push('?');
            target.push_str(&query);
        }
        let mut method = line.method.clone();
        let upgrade = forward.websocket.filter(|_| upgrade.as_deref() == Some("websocket"));
        if upgrade.is_none() {
            headers.remove("upgrade");
        }
        let asked = pool.asked(scope, &headers, || platform.random()).by_then(platform.left());
        let (mut body, mut content_length) = (body, content_length);
        if let Some(instead) = instead {
            (method, target, headers) = ("POST".to_owned(), instead.target, instead.headers);
            (body, content_length) = (instead.body, None);
        }
        let kept = upstream::keep_body(platform, pool, &asked, content_length, body).await;
        #[cfg(feature = "mirror")]
        let kept = match kept {
            Ok(body) if !mirrors.is_empty() && upgrade.is_none() => {
                upstream::keep_short(platform, mirror::longest_body(&mirrors), content_length, body).await
            }
            kept => kept,
        };
        let body = match kept {
            Ok(body) => body,
            Err(error) => return fail(refusal(error, limit), "the body could not be read".to_owned()),
        };
        let Globals { forwarded, via, .. } = &self.globals;
        forward::announce(&mut headers, line, scope.client, &forward.path, *forwarded, via);
        let reads = reads || pool.reads_response();
        let call = Call {
            method,
            scheme: line.scheme,
            authority: String::new(),
            binding: None,
            target,
            host: None,
            headers,
            body,
            // A declared length has been checked; the platform holds the sender to it.
            body_limit: if content_length.is_some() { None } else { limit },
            timeout: Duration::ZERO,
            patience: Patience::default(),
            interest: if reads { Interest::Everything } else { Interest::HopByHop },
            watched,
            last,
            upgrade,
        };
        #[cfg(feature = "mirror")]
        let mut copies = mirror::copies(mirrors, &call, &self.upstreams, scope, || platform.random());
        #[cfg_attr(not(feature = "mirror"), allow(unused_mut))]
        let (mut reply, origin) = self.send(platform, forward, pool, &asked, call, limit, scope).await;
        #[cfg(feature = "mirror")]
        if !copies.is_empty() {
            if origin == Origin::Upstream {
                mirror::observe(platform, &mut copies, &mut reply.response);
            }
            reply.deferred.extend(copies.into_iter().map(|copy| Deferred::Mirror(Box::new(copy))));
        }
        (reply, origin)
    }

    /// Sends a call to an upstream, and elsewhere where that fails and has a fallback.
    #[allow(clippy::too_many_arguments)] // All of what is known of a request.
    async fn send<P: Platform>(
        &self,
        platform: &P,
        forward: &Forward,
        pool: &Pool,
        asked: &upstream::Asked,
        call: Call<P::Stream>,
        limit: Option<u64>,
        scope: &Scope<'_>,
    ) -> (Reply<P::Stream>, Origin) {
        let host = host_of(forward.host.as_ref().unwrap_or(&pool.upstream.host), scope.line);
        let timeouts = forward.timeouts.unwrap_or(pool.upstream.timeouts);
        let watch = platform.watch();
        watch.forward(platform, &pool.upstream.name);
        let Some(fallback) = pool.fallback() else {
            let outcome = upstream::send(platform, pool, timeouts, call, host, asked).await;
            watch.forwarded(platform);
            return self.conclude(platform, pool, asked, outcome, limit, scope);
        };
        // Boxed, so that the common case need not carry its size around.
        Box::pin(async {
            let (spare, begun) = (call.replay(), platform.now());
            let outcome = upstream::send(platform, pool, timeouts, call, host, asked).await;
            watch.forwarded(platform);
            let asked = asked.clone().after(platform.now().saturating_sub(begun));
            self.or_else(platform, pool, &asked, fallback, outcome, spare, limit, scope).await
        })
        .await
    }

    /// What the client gets of what an upstream with a fallback gave.
    #[allow(clippy::too_many_arguments)] // All of what is known of a request and its outcome.
    async fn or_else<P: Platform>(
        &self,
        platform: &P,
        pool: &Pool,
        asked: &upstream::Asked,
        fallback: &Fallback,
        outcome: Result<upstream::Answer<P::Stream>, Failed>,
        spare: Option<Call<P::Stream>>,
        limit: Option<u64>,
        scope: &Scope<'_>,
    ) -> (Reply<P::Stream>, Origin) {
        let is_good = outcome.as_ref().is_ok_and(|answer| !fallback.statuses.contains(&answer.response.status));
        // The client's own failures are not mended elsewhere.
        let is_client = matches!(&outcome, Err(Failed { cause: Cause::Failure(failure), .. })
        if matches!(
            failure.error,
            FetchError::BodyTooLarge | FetchError::BodyRefused | FetchError::BodyStalled | FetchError::ClientGone
        ));
        let (before, origin) = self.conclude(platform, pool, asked, outcome, limit, scope);
        if is_good || is_client {
            return (before, origin);
        }
        let (mut instead, origin) = match (&fallback.instead, spare) {
            (Instead::Respond(respond), _) => {
                let origin = if origin == Origin::Lost { Origin::Lost } else { Origin::Gateway };
                platform.watch().problem(None);
                (Reply::answer(respond.answer(scope)), origin)
            }
            // What may have been done is not done elsewhere as well.
            (Instead::Upstream(place), Some(spare)) if asked.is_repeatable() || origin != Origin::Lost => {
                let Some(other) = self.upstreams.get(*place as usize) else {
                    return self.no_upstream(platform, *place, scope);
                };
                // What the client's deadline leaves, whichever of the two upstreams has read it.
                let asked = other.asked(scope, &spare.headers, || platform.random()).within(asked);
                let host = host_of(&other.upstream.host, scope.line);
                platform.watch().problem(None);
                platform.watch().forward(platform, &other.upstream.name);
                let outcome = upstream::send(platform, other, other.upstream.timeouts, spare, host, &asked).await;
                platform.watch().forwarded(platform);
                self.conclude(platform, other, &asked, outcome, limit, scope)
            }
            // And a body that was streamed is gone.
            (Instead::Upstream(_), _) => return (before, origin),
        };
        // What went wrong before belongs into the log, whatever the client gets.
        let Reply { response, mut notes, .. } = before;
        pump::discard(platform, response.body);
        notes.append(&mut instead.notes);
        (Reply { notes, deferred: Vec::new(), ..instead }, origin)
    }

    fn no_upstream<P: Platform>(&self, platform: &P, place: u32, scope: &Scope<'_>) -> (Reply<P::Stream>, Origin) {
        let reason = format!("the route names upstream {place}, which does not exist");
        (Reply::internal(platform, scope.route, reason), Origin::Gateway)
    }

    /// What the client gets of what an upstream gave.
    fn conclude<P: Platform>(
        &self,
        platform: &P,
        pool: &Pool,
        asked: &upstream::Asked,
        outcome: Result<upstream::Answer<P::Stream>, Failed>,
        limit: Option<u64>,
        scope: &Scope<'_>,
    ) -> (Reply<P::Stream>, Origin) {
        let told = |next_hop: Option<u32>, cause: Option<&Cause>, history: &[upstream::Attempt]| {
            let next_hop = next_hop.map(|target| pool.name(target));
            pool.tells().then(|| upstream::proxy_status(&self.globals.via, next_hop, cause, history))
        };
        match outcome {
            Ok(upstream::Answer { mut response, target, history }) => {
                if response.status != 101 {
                    strip_hop_by_hop(&mut response.headers);
                    if response.headers.contains("upgrade") {
                        response.headers.remove("upgrade");
                    }
                }
                if let Some(cookie) = pool.cookie(asked, target, scope.client) {
                    response.headers.append("set-cookie", cookie);
                }
                if let Some(told) = told(Some(target), None, &history) {
                    response.headers.append("proxy-status", told);
                }
                let status = response.status;
                let mut reply = Reply::answer(response);
                if !history.is_empty() {
                    let detail = format!("{}; {}: status {status}", listed(pool, &history), pool.name(target));
                    reply.notes.push(Note::of(platform, "upstream-failed", status, scope.route, detail));
                }
                (reply, Origin::Upstream)
            }
            Err(Failed { cause, history }) => {
                let told = told(None, Some(&cause), &history);
                let origin = if upstream::may_be_done(&cause, &history) { Origin::Lost } else { Origin::Gateway };
                let (error, why) = match cause {
                    Cause::Open { for_another } => {
                        let seconds = for_another.div_ceil(1_000).max(1);
                        (Error::UpstreamUnavailable { seconds }, "the circuit breaker is open".to_owned())
                    }
                    Cause::Drained => {
                        let seconds = DRAINED_FOR;
                        (Error::UpstreamUnavailable { seconds }, "all of its targets are drained".to_owned())
                    }
                    Cause::Failure(failure) => (refusal(failure.error, limit), failure.detail),
                };
                let detail = if history.is_empty() {
                    format!("upstream `{}`: {why}", pool.upstream.name)
                } else {
                    listed(pool, &history)
                };
                let mut reply = Reply::fail(platform, error, Some(scope.route), detail);
                if let Some(told) = told {
                    reply.response.headers.append("proxy-status", told);
                }
                (reply, origin)
            }
        }
    }
}

/// After how many seconds clients may ask again an upstream whose targets somebody has all taken out: nobody knows for how long.
const DRAINED_FOR: u64 = 30;

/// What of a request goes on to an upstream.
pub(super) struct Payload<S> {
    pub(super) headers: Headers,
    pub(super) query: Option<String>,
    pub(super) body: Body<S>,
    pub(super) upgrade: Option<String>,
    pub(super) content_length: Option<u64>,
    pub(super) limit: Option<u64>,
    /// Whether a policy looks at the response's fields.
    pub(super) reads: bool,
    /// Whether something is done when the response's body has ended.
    pub(super) watched: bool,
    /// Whether nothing else is done for the request when the call fails.
    pub(super) last: bool,
    /// Who gets copies.
    #[cfg(feature = "mirror")]
    pub(super) mirrors: Vec<mirror::Mirror>,
    /// What is sent in its place, once it is known who gets it.
    pub(super) instead: Option<Substitute<S>>,
}

/// What is sent by POST in the place of a client's request.
#[derive(Debug)]
pub struct Substitute<S> {
    /// Path and query.
    pub target: String,
    /// All fields.
    pub headers: Headers,
    /// The body.
    pub body: Body<S>,
}

/// The `Host` that is sent where it is not the target's own.
fn host_of<'a>(host: &'a HostHeader, line: &'a Line) -> Option<&'a str> {
    match host {
        HostHeader::Target => None,
        HostHeader::Keep => Some(&line.authority),
        HostHeader::Fixed(host) => Some(host),
    }
}

/// What a call that brought no response means to the client.
fn refusal(error: FetchError, limit: Option<u64>) -> Error {
    match error {
        FetchError::Timeout => Error::UpstreamTimeout,
        FetchError::BodyTooLarge => Error::BodyTooLarge { limit: limit.unwrap_or_default() },
        FetchError::BodyRefused => Error::BodyRefused,
        FetchError::BodyStalled => Error::BodyStalled,
        FetchError::ClientGone => Error::ClientGone,
        FetchError::NoCredential => Error::NoCredential,
        error @ (FetchError::Unreachable | FetchError::Reset | FetchError::Forbidden) => Error::UpstreamFailed(error),
    }
}

/// Every attempt, for the log.
fn listed(pool: &Pool, history: &[upstream::Attempt]) -> String {
    let attempts: Vec<_> = history.iter().map(ToString::to_string).collect();
    format!("upstream `{}`: {}", pool.upstream.name, attempts.join("; "))
}
