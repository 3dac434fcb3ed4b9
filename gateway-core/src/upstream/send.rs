//! The way to an answer: pick a target, call it, see how it went, and perhaps once more.

use super::pool::{Asked, Group, Pick, Pool, Turn};
use super::retry::{self, Ended, Facts, Next};
use super::{Timeouts, deadline};
use crate::http::{Body, Response};
use crate::platform::{Call, Failure, FetchError, Patience, Platform, ReadError};
use crate::pump;
use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

/// A response, and what happened before it.
#[derive(Debug)]
pub struct Answer<S> {
    /// The response.
    pub response: Response<S>,
    /// The place of the target that gave it.
    pub target: u32,
    /// The attempts that brought no answer worth having, in order.
    pub history: Vec<Attempt>,
}

/// No response, and what happened.
#[derive(Debug)]
pub struct Failed {
    /// Why.
    pub cause: Cause,
    /// The attempts, in order.
    pub history: Vec<Attempt>,
}

/// Why there is no response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The last attempt failed.
    Failure(Failure),
    /// The circuit breaker is open: nothing was sent.
    Open {
        /// For so many milliseconds more.
        for_another: u64,
    },
    /// Somebody has taken all targets out: nothing was sent.
    Drained,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Failure(Failure { error, detail }) => write!(f, "{error:?}: {detail}"),
            Cause::Open { for_another } => write!(f, "the circuit breaker is open for another {for_another} ms"),
            Cause::Drained => f.write_str("all of its targets are drained"),
        }
    }
}

/// Whether a target may have done what was asked for, although there is no answer. What was answered with a status that is
/// tried again counts as not done.
pub fn may_be_done(cause: &Cause, history: &[Attempt]) -> bool {
    let may = |error: FetchError| match error {
        FetchError::Unreachable | FetchError::Forbidden | FetchError::NoCredential => false,
        FetchError::Reset
        | FetchError::Timeout
        | FetchError::BodyTooLarge
        | FetchError::BodyRefused
        | FetchError::BodyStalled
        | FetchError::ClientGone => true,
    };
    let before = history.iter().any(|attempt| matches!(attempt.ended, Ended::Failed(error) if may(error)));
    before || matches!(cause, Cause::Failure(failure) if may(failure.error))
}

/// One attempt that brought no answer worth having, for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The target's name.
    pub target: String,
    /// How it ended.
    pub ended: Ended,
    /// How many milliseconds it took.
    pub took: u64,
    /// The platform's own words.
    pub detail: String,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, ended, took, detail } = self;
        match ended {
            Ended::Answered { status, .. } => write!(f, "{target}: status {status} after {took} ms"),
            Ended::Failed(error) => write!(f, "{target}: {error:?} after {took} ms ({detail})"),
        }
    }
}

/// Reads a body that may have to be sent again, here or elsewhere, where it is short enough by its declared length. A longer one,
/// or one whose length nobody has declared, is streamed and sent once.
pub async fn keep_body<P: Platform>(
    platform: &P,
    pool: &Pool,
    asked: &Asked,
    length: Option<u64>,
    body: Body<P::Stream>,
) -> Result<Body<P::Stream>, FetchError> {
    match pool.group() {
        Some(group) if group.rules.keeps_bodies(asked.repeatable, platform.tells_unreachable()) => {
            keep_short(platform, group.rules.retries.body, length, body).await
        }
        Some(_) | None => Ok(body),
    }
}

/// Reads a body of at most so many bytes, by its declared length. Others are left alone.
pub async fn keep_short<P: Platform>(
    platform: &P,
    most: u64,
    length: Option<u64>,
    body: Body<P::Stream>,
) -> Result<Body<P::Stream>, FetchError> {
    match (body, length) {
        (Body::Stream(stream), Some(length)) if length <= most => {
            let limit = usize::try_from(length).unwrap_or(usize::MAX);
            match platform.read(stream, limit).await {
                Ok(bytes) => Ok(Body::Bytes(bytes)),
                Err(ReadError::TooLarge) => Err(FetchError::BodyTooLarge),
                Err(ReadError::Broken(_)) => Err(FetchError::ClientGone),
            }
        }
        (body, _) => Ok(body),
    }
}

/// Sends a call to a target, and to others where the upstream's rules say so.
///
/// `call` names no target yet; its `target` is path and query. It is sent again only with a body that can be sent twice.
pub async fn send<P: Platform>(
    platform: &P,
    pool: &Pool,
    timeouts: Timeouts,
    mut call: Call<P::Stream>,
    host: Option<&str>,
    asked: &Asked,
) -> Result<Answer<P::Stream>, Failed> {
    let Some(group) = pool.group() else {
        if pool.is_drained() {
            return Err(Failed { cause: Cause::Drained, history: Vec::new() });
        }
        // The common case: one target, nothing to decide.
        let timeout = timeouts.attempt.min(timeouts.total);
        call.patience.idle = timeouts.idle.map(Duration::from_millis);
        if !direct(&mut call, pool, 0, host, timeout) {
            return Err(Failed { cause: nobody(), history: Vec::new() });
        }
        return match pool.fetch(platform, asked, call).await {
            Ok(response) => Ok(Answer { response, target: 0, history: Vec::new() }),
            Err(failure) => Err(Failed { cause: Cause::Failure(failure), history: Vec::new() }),
        };
    };
    let trip = Trip { platform, pool, group, timeouts, host, asked };
    // Boxed, so that the common case need not carry its size around.
    Box::pin(trip.run(call)).await
}

/// Names the target in a call.
fn direct<S>(call: &mut Call<S>, pool: &Pool, target: u32, host: Option<&str>, timeout: u64) -> bool {
    let Some(target) = pool.targets().get(target as usize) else { return false };
    call.scheme = target.scheme;
    call.authority.clone_from(&target.authority);
    call.binding.clone_from(&target.binding);
    call.host = host.filter(|host| *host != target.authority).map(str::to_owned);
    call.target.insert_str(0, &target.base);
    call.timeout = Duration::from_millis(timeout);
    true
}

fn nobody() -> Cause {
    failure(FetchError::Unreachable, "the upstream has no target that could be asked")
}

fn failure(error: FetchError, detail: &str) -> Cause {
    Cause::Failure(Failure { error, detail: detail.to_owned() })
}

/// One request's way through an upstream with rules.
struct Trip<'a, P: Platform> {
    platform: &'a P,
    pool: &'a Pool,
    group: &'a Group,
    timeouts: Timeouts,
    host: Option<&'a str>,
    asked: &'a Asked,
}

/// How one attempt ended.
struct Outcome<S> {
    target: u32,
    result: Result<Response<S>, Failure>,
    took: u64,
}

/// What has been done for a request.
#[derive(Default)]
struct Course {
    tried: Vec<u32>,
    history: Vec<Attempt>,
}

impl<P: Platform> Trip<'_, P> {
    async fn run(&self, mut call: Call<P::Stream>) -> Result<Answer<P::Stream>, Failed> {
        let Trip { platform, group, timeouts, asked, .. } = *self;
        let started = platform.now();
        let rules = &group.rules.retries;
        group.begin(started);
        #[cfg(feature = "checks")]
        super::probe::catch_up(platform, self.pool).await;
        // The client's deadline may be a short one, never a longer one than ours.
        let total = asked.deadline.unwrap_or(u64::MAX).min(timeouts.total);
        let deadline = started.saturating_add(total);
        let mut course = Course::default();
        let mut last = failure(FetchError::Timeout, "the client's deadline is over");
        loop {
            let now = platform.now();
            let left = deadline.saturating_sub(now);
            if left == 0 {
                return Err(Failed { cause: last, history: course.history });
            }
            let turn = match self.pick(&course, now) {
                Pick::Target(turn) => turn,
                Pick::Refused { .. } if !course.tried.is_empty() => {
                    return Err(Failed { cause: last, history: course.history });
                }
                Pick::Refused { until } => {
                    let cause = Cause::Open { for_another: until.saturating_sub(now) };
                    return Err(Failed { cause, history: course.history });
                }
                Pick::Drained => return Err(Failed { cause: Cause::Drained, history: course.history }),
                Pick::Nobody => return Err(Failed { cause: nobody(), history: course.history }),
            };
            course.tried.push(turn.target);
            let made = course.tried.len() as u32;
            let again = if made <= rules.attempts { call.replay() } else { None };
            let outcome = match self.hedge(&call, left) {
                Some((second, delay)) => self.race(call, turn, second, delay, deadline, &mut course).await,
                None => self.attempt(call, turn, left).await,
            };
            let now = platform.now();
            let facts = Facts {
                repeatable: asked.repeatable,
                made: course.tried.len() as u32,
                left: deadline.saturating_sub(now),
                random: platform.random(),
            };
            let ended = outcome.ended(!rules.statuses.is_empty());
            let next = match again {
                Some(again) => Some(again).zip(match retry::decide(rules, ended, facts) {
                    Next::Again(pause) if group.take_extra(now) => Some(pause),
                    Next::Again(_) | Next::Stop => None,
                }),
                None => None,
            };
            let Some((again, pause)) = next else {
                return match outcome.result {
                    Ok(response) => Ok(Answer { response, target: outcome.target, history: course.history }),
                    Err(failure) => {
                        course.note(self.pool, outcome.target, ended, outcome.took, &failure.detail);
                        Err(Failed { cause: Cause::Failure(failure), history: course.history })
                    }
                };
            };
            last = self.set_aside(outcome, ended, &mut course);
            if pause > 0 {
                platform.sleep(Duration::from_millis(pause)).await;
            }
            call = again;
        }
    }

    fn pick(&self, course: &Course, now: u64) -> Pick<'_> {
        self.group.next(&self.pool.upstream, self.asked, &course.tried, now, &mut || self.platform.random())
    }

    /// Calls one target, and takes note of how it went.
    async fn attempt(&self, mut call: Call<P::Stream>, turn: Turn<'_>, left: u64) -> Outcome<P::Stream> {
        let target = turn.target;
        let Trip { platform, pool, group, timeouts, host, asked } = *self;
        #[cfg(feature = "grpc")]
        {
            let passed = asked.deadline.unwrap_or(u64::MAX).min(timeouts.total).saturating_sub(left);
            if passed > 0 {
                deadline::tell_again(&mut call.headers, timeouts.attempt.min(timeouts.total), left, passed);
            }
        }
        if let Some(name) = &group.rules.deadline {
            call.headers.set(name, deadline::write(name, left));
        }
        call.last = false;
        call.patience = Patience {
            idle: timeouts.idle.map(Duration::from_millis),
            // The client waits for the whole answer, not for its head.
            whole: asked.deadline.is_some().then(|| Duration::from_millis(left)),
        };
        let started = platform.now();
        let given = timeouts.attempt.min(left);
        if !direct(&mut call, pool, target, host, given) {
            let failure = Failure { error: FetchError::Unreachable, detail: "there is no such target".to_owned() };
            return Outcome { target, result: Err(failure), took: 0 };
        }
        // While the client still sends it, time passes that is not the target's.
        let streams = !matches!(call.body, Body::Empty | Body::Bytes(_));
        let under_way = group.under_way(target, started);
        let result = pool.fetch(platform, asked, call).await;
        drop(under_way);
        let now = platform.now();
        let took = now.saturating_sub(started);
        let failed = match &result {
            Ok(response) => Some(group.rules.failures.contains(&response.status)),
            Err(failure) => match failure.error {
                // Whom a client's deadline, or what earlier attempts have left, gives little time is not slow for that.
                FetchError::Timeout => (!streams && given >= timeouts.attempt.min(timeouts.total)).then_some(true),
                FetchError::Unreachable | FetchError::Reset => Some(true),
                // These say nothing about the target.
                FetchError::BodyTooLarge
                | FetchError::BodyRefused
                | FetchError::BodyStalled
                | FetchError::ClientGone
                | FetchError::Forbidden
                | FetchError::NoCredential => None,
            },
        };
        if let Some(failed) = failed {
            turn.observe(failed, (!streams).then_some(took), now);
        }
        Outcome { target, result, took }
    }

    /// Whether a second attempt is to be made beside the first, with which call, and after how many milliseconds.
    fn hedge(&self, call: &Call<P::Stream>, left: u64) -> Option<(Call<P::Stream>, u64)> {
        if !self.asked.safe || call.upgrade.is_some() {
            return None;
        }
        let delay = self.group.hedge_after().filter(|delay| *delay < left.min(self.timeouts.attempt))?;
        Some((call.replay()?, delay))
    }

    /// Calls one target and, if it takes too long, another one. The first good answer wins, and the other call ends.
    async fn race(
        &self,
        call: Call<P::Stream>,
        turn: Turn<'_>,
        second: Call<P::Stream>,
        delay: u64,
        deadline: u64,
        course: &mut Course,
    ) -> Outcome<P::Stream> {
        let Trip { platform, group, .. } = *self;
        let left = |now: u64| deadline.saturating_sub(now);
        let mut one = pin!(self.attempt(call, turn, left(platform.now())));
        {
            let mut timer = pin!(platform.sleep(Duration::from_millis(delay)));
            if let First::One(outcome) = first(one.as_mut(), timer.as_mut()).await {
                return outcome;
            }
        }
        let now = platform.now();
        let other = match self.pick(course, now) {
            Pick::Target(other) if !course.tried.contains(&other.target) && left(now) > 0 && group.take_extra(now) => {
                other
            }
            Pick::Target(_) | Pick::Refused { .. } | Pick::Drained | Pick::Nobody => return one.await,
        };
        course.tried.push(other.target);
        let mut two = pin!(self.attempt(second, other, left(now)));
        // Whoever fails first has not decided the race.
        let (failed, rest) = match first(one.as_mut(), two.as_mut()).await {
            First::One(outcome) | First::Other(outcome) if self.is_good(&outcome) => return outcome,
            First::One(outcome) => (outcome, two.await),
            First::Other(outcome) => (outcome, one.await),
        };
        let ended = failed.ended(false);
        self.set_aside(failed, ended, course);
        rest
    }

    fn is_good(&self, outcome: &Outcome<P::Stream>) -> bool {
        let rules = &self.group.rules;
        outcome.result.as_ref().is_ok_and(|response| {
            !rules.failures.contains(&response.status) && !rules.retries.statuses.contains(&response.status)
        })
    }

    /// Notes an attempt whose response nobody will see. Gives why there would be none.
    fn set_aside(&self, outcome: Outcome<P::Stream>, ended: Ended, course: &mut Course) -> Cause {
        let Outcome { target, result, took } = outcome;
        match result {
            Ok(Response { status, body, .. }) => {
                pump::discard(self.platform, body);
                course.note(self.pool, target, ended, took, "");
                failure(FetchError::Timeout, &format!("the last answer had the status {status}, and no time is left"))
            }
            Err(failure) => {
                course.note(self.pool, target, ended, took, &failure.detail);
                Cause::Failure(failure)
            }
        }
    }
}

impl Course {
    fn note(&mut self, pool: &Pool, target: u32, ended: Ended, took: u64, detail: &str) {
        let target = pool.name(target).to_owned();
        self.history.push(Attempt { target, ended, took, detail: detail.to_owned() });
    }
}

impl<S> Outcome<S> {
    fn ended(&self, reads: bool) -> Ended {
        match &self.result {
            Ok(response) => {
                let value = if reads { response.headers.text("retry-after") } else { None };
                Ended::Answered { status: response.status, retry_after: value.and_then(retry::retry_after) }
            }
            Err(failure) => Ended::Failed(failure.error),
        }
    }
}

/// What came first.
pub(crate) enum First<A, B> {
    One(A),
    Other(B),
}

/// Waits for whichever comes first; of two that are there, the first.
pub(crate) async fn first<A: Future, B: Future>(
    mut one: Pin<&mut A>,
    mut other: Pin<&mut B>,
) -> First<A::Output, B::Output> {
    poll_fn(|context| {
        if let Poll::Ready(value) = one.as_mut().poll(context) {
            return Poll::Ready(First::One(value));
        }
        other.as_mut().poll(context).map(First::Other)
    })
    .await
}
