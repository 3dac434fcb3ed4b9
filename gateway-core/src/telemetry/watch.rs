//! Writes down what happens to a request while it is handled: plain values, of which others make text once the answer has
//! been sent.
//!
//! [`Watched`] is a platform in front of the real one. Whatever a request asks of the world passes it, so calls, look-ups and
//! orders are noted here and nowhere else, and each call to an upstream gets its own trace context. What only the gateway or a
//! policy knows, they tell a [`Watch`], which [`Platform::watch`] gives them. Where nobody observes, all of it is one
//! comparison.

use super::context::{Context, Formats};
#[cfg(feature = "cache")]
use crate::cache::purge::{Change, Marks};
use crate::caller::Caller;
use crate::claim;
use crate::error::Error;
#[cfg(feature = "admin")]
use crate::explain::Rehearsal;
#[cfg(any(feature = "cache", feature = "admin"))]
use crate::http::Body;
use crate::http::{Headers, Response, Scheme};
use crate::ledger::Ledger;
use crate::outflow::{Left, Outflow};
use crate::platform::{Call, Copied, Failure, FetchError, Outlet, Peeked, Platform, ReadError, StoreError, Timestamp};
#[cfg(feature = "cache")]
use crate::platform::{Item, Reach};
use crate::policy::{Departure, Flow, Policy, Visit};
use crate::quota::{Decision, Order};
use bytes::Bytes;
use std::cell::{OnceCell, RefCell};
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::pin;
use std::time::Duration;

/// What has been noted of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Stands in problem details, in the log and in `X-Request-Id`.
    pub request_id: String,
    /// When it came.
    pub began: Timestamp,
    /// When its answer was ready.
    pub ended: Timestamp,
    /// The method's token, as received.
    pub method: String,
    /// As the client used it.
    pub scheme: Scheme,
    /// Host and port as received.
    pub authority: String,
    /// Normalised; `None` where the target could not be read.
    pub path: Option<String>,
    /// Without `?`, as received.
    pub query: Option<String>,
    /// The client's address, as far as trusted hops tell.
    pub client: Option<IpAddr>,
    /// The address of the connection's other end.
    pub peer: Option<IpAddr>,
    /// As the platform tells.
    pub country: Option<String>,
    /// As the platform tells.
    pub data_centre: Option<String>,
    /// `User-Agent`
    pub user_agent: Option<String>,
    /// The declared length of the request's body.
    pub request_size: Option<u64>,
    /// The declared length of the response's body, where somebody looks at it.
    pub response_size: Option<u64>,
    /// Values of those fields of the request that the configuration names, by their places there.
    pub request_headers: Vec<(usize, String)>,
    /// The same of the response.
    pub response_headers: Vec<(usize, String)>,
    /// The matched route.
    pub route: Option<String>,
    /// The name of a GraphQL operation, and what it does.
    #[cfg(feature = "graphql")]
    pub operation: Option<(String, crate::graphql::Kind)>,
    /// Who called.
    pub consumer: Option<String>,
    /// Whether that is a consumer, and not only the subject of a token.
    pub recognised: bool,
    /// What the configuration's own templates say of it, by their places there.
    pub attributes: Vec<(usize, String)>,
    /// What of the credential may be shown.
    pub credential: Option<String>,
    /// The status that the client got.
    pub status: u16,
    /// The code of the problem that the client got.
    pub problem: Option<&'static str>,
    /// The kind of the policy that answered or refused.
    pub decided_by: Option<&'static str>,
    /// What limits said.
    pub limits: Vec<(String, LimitOutcome)>,
    /// Which of them are nearly used up.
    pub nearly: Vec<Nearly>,
    /// What a cache did, in the terms of `Cache-Status` (RFC 9211): `hit`, `miss`, `stale` and so on.
    pub cache: Option<&'static str>,
    /// What was asked of the platform.
    pub costs: Costs,
    /// What happened, in the order in which it began.
    pub steps: Vec<Step>,
    /// The trace that this belongs to.
    pub trace: Option<Trace>,
    /// Why other routes did not take it, where the caller may know.
    pub passed_over: Option<Vec<(String, String)>>,
    /// Which expressions of the sampling rules hold, a bit for each.
    pub judged: u32,
    /// Drawn when the request came: what shares are compared with.
    pub lot: u64,
    /// The route that makes it, where the gateway makes it itself.
    pub made_by: Option<String>,
    /// Whether the problem has been said to the client in the form of its protocol.
    pub translated: bool,
    /// Where the gateway is: the place of the step within which others happen.
    within: Option<usize>,
    /// How many calls to the upstream were made.
    attempts: u32,
    /// Whether the call that comes next is one of the gateway's own, wherever it is made.
    errand: bool,
}

/// A trace, and the place of this request in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// What goes on to the upstream, but for the span: each attempt has one of its own.
    pub context: Context,
    /// The caller's span, where it is trusted.
    pub parent: Option<u64>,
    /// How upstreams are told.
    pub formats: Formats,
}

/// What a limit said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitOutcome {
    /// Below the limit.
    Admitted,
    /// Over it.
    Refused,
    /// Over it, but the policy only reports.
    WouldRefuse,
    /// Nobody could count.
    Uncertain,
    /// Not for this request.
    Exempt,
}

impl LimitOutcome {
    /// As logs and metrics spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            LimitOutcome::Admitted => "admitted",
            LimitOutcome::Refused => "refused",
            LimitOutcome::WouldRefuse => "would_refuse",
            LimitOutcome::Uncertain => "uncertain",
            LimitOutcome::Exempt => "exempt",
        }
    }
}

/// A limit that is nearly used up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nearly {
    /// The name of the policy.
    pub limit: String,
    /// The name of the limit in it.
    pub rule: String,
    /// Of so many.
    pub of: u64,
    /// So many are left.
    pub remaining: u64,
    /// After how many milliseconds all of it is there again.
    pub reset: u64,
}

/// What was asked of the platform, each of which is billed by some.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Costs {
    /// Requests sent, to upstreams and to others.
    pub subrequests: u32,
    /// Look-ups in the key-value store.
    pub store_reads: u32,
    /// Orders to the owners of counters.
    pub object_calls: u32,
}

impl Costs {
    /// One request.
    pub const SUBREQUEST: Costs = Costs { subrequests: 1, store_reads: 0, object_calls: 0 };

    /// One order to an owner.
    pub const OBJECT_CALL: Costs = Costs { subrequests: 0, store_reads: 0, object_calls: 1 };

    /// Both together.
    pub fn with(self, other: Costs) -> Costs {
        Costs {
            subrequests: self.subrequests.saturating_add(other.subrequests),
            store_reads: self.store_reads.saturating_add(other.store_reads),
            object_calls: self.object_calls.saturating_add(other.object_calls),
        }
    }
}

/// Something that took its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What it was.
    pub what: What,
    /// When it began.
    pub began: Timestamp,
    /// When it ended; 0 where it was given up.
    pub ended: Timestamp,
    /// The place of the step that it was a part of.
    pub within: Option<usize>,
}

/// What took its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A policy, on the way in.
    Policy {
        /// Which kind of policy.
        kind: &'static str,
        /// What it decided.
        verdict: Verdict,
    },
    /// Sending the request on, with all attempts.
    Forward {
        /// The name of the upstream.
        upstream: String,
    },
    /// One request to somebody else.
    Call(Box<Called>),
    /// A look-up in the key-value store.
    Lookup,
    /// An order to the owner of a counter.
    Count,
    /// An order to the keeper of a claim.
    Claim,
    /// Reading a body into memory.
    Read,
    /// Waiting on purpose.
    Wait,
}

/// What a policy decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The client went away, or the platform gave up.
    Unfinished,
    /// The request goes on.
    Passed,
    /// The policy has answered.
    Answered,
    /// The policy has refused, with this problem.
    Refused(&'static str),
}

impl Verdict {
    /// As logs spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Unfinished => "unfinished",
            Verdict::Passed => "passed",
            Verdict::Answered => "answered",
            Verdict::Refused(_) => "refused",
        }
    }
}

/// One request to somebody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Called {
    /// Identifies its span.
    pub span: u64,
    /// Which attempt to reach the upstream it was, from 0; `None`: a request of the gateway's own.
    pub attempt: Option<u32>,
    /// The method's token.
    pub method: String,
    /// `http` or `https`.
    pub scheme: Scheme,
    /// Host and port.
    pub authority: String,
    /// Without the query.
    pub path: String,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was given up before anything came.
    GivenUp,
    /// A response.
    Status(u16),
    /// None.
    Failed(FetchError),
}

impl Outcome {
    /// The value of `error.type`, where it was no success.
    pub fn error(self) -> Option<&'static str> {
        match self {
            Outcome::GivenUp => Some("cancelled"),
            Outcome::Status(_) => None,
            Outcome::Failed(error) => Some(match error {
                FetchError::Unreachable => "unreachable",
                FetchError::Reset => "reset",
                FetchError::Timeout => "timeout",
                FetchError::BodyTooLarge => "body_too_large",
                FetchError::BodyRefused => "body_refused",
                FetchError::BodyStalled => "body_stalled",
                FetchError::ClientGone => "client_gone",
                FetchError::Forbidden => "forbidden",
                FetchError::NoCredential => "no_credential",
            }),
        }
    }
}

impl Record {
    /// A request that has just come.
    pub fn new(request_id: String, began: Timestamp, method: &str, scheme: Scheme, authority: &str) -> Self {
        Self {
            request_id,
            began,
            ended: began,
            method: method.to_owned(),
            scheme,
            authority: authority.to_owned(),
            path: None,
            query: None,
            client: None,
            peer: None,
            country: None,
            data_centre: None,
            user_agent: None,
            request_size: None,
            response_size: None,
            request_headers: Vec::new(),
            response_headers: Vec::new(),
            route: None,
            #[cfg(feature = "graphql")]
            operation: None,
            consumer: None,
            recognised: false,
            attributes: Vec::new(),
            credential: None,
            status: 0,
            problem: None,
            decided_by: None,
            limits: Vec::new(),
            nearly: Vec::new(),
            cache: None,
            costs: Costs::default(),
            steps: Vec::with_capacity(8),
            trace: None,
            passed_over: None,
            judged: 0,
            lot: 0,
            made_by: None,
            translated: false,
            within: None,
            attempts: 0,
            errand: false,
        }
    }

    /// Of work that is no request's, and of which nobody tells: what it costs is all that is asked of it.
    pub fn of_nobody(request_id: String, now: Timestamp) -> Self {
        Self::new(request_id, now, "GET", Scheme::Https, "")
    }

    /// How long it took, in milliseconds, until the answer's head was ready.
    pub fn took(&self) -> u64 {
        self.ended.saturating_sub(self.began)
    }

    /// The upstream that the request was sent to last.
    pub fn upstream(&self) -> Option<&str> {
        self.steps.iter().rev().find_map(|step| match &step.what {
            What::Forward { upstream } => Some(upstream.as_str()),
            _ => None,
        })
    }

    /// Every attempt to reach an upstream, with how many milliseconds it took and the upstream's name.
    pub fn attempts(&self) -> impl Iterator<Item = (&Called, u64, &str)> {
        self.steps.iter().filter_map(|step| match &step.what {
            What::Call(called) if called.attempt.is_some() => {
                let within = step.within.and_then(|place| self.steps.get(place)).map(|step| &step.what);
                let upstream = if let Some(What::Forward { upstream }) = within { upstream } else { "" };
                Some((called.as_ref(), step.took(self.ended), upstream))
            }
            _ => None,
        })
    }

    /// Whether the gateway or an upstream is to blame for what the client got.
    pub fn failed(&self) -> bool {
        self.status >= 500
    }

    fn begin(&mut self, what: What, now: Timestamp) -> usize {
        self.steps.push(Step { what, began: now, ended: 0, within: self.within });
        self.steps.len() - 1
    }

    fn end(&mut self, place: usize, now: Timestamp) {
        if let Some(step) = self.steps.get_mut(place) {
            step.ended = now;
        }
    }
}

impl Step {
    /// How long it took, in milliseconds; what was given up, until all was over.
    pub fn took(&self, over: Timestamp) -> u64 {
        (if self.ended == 0 { over } else { self.ended }).saturating_sub(self.began)
    }
}

/// Where things are noted, if somebody observes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Watch<'a>(Option<&'a RefCell<Record>>);

impl<'a> Watch<'a> {
    /// Nobody observes.
    pub fn nobody() -> Self {
        Self(None)
    }

    /// Changes the record, if there is one.
    pub fn note(self, change: impl FnOnce(&mut Record)) {
        if let Some(record) = self.0 {
            change(&mut record.borrow_mut());
        }
    }

    /// The route that takes the request; one without a name is none.
    pub fn route(self, name: &str) {
        self.note(|record| record.route = Some(name.to_owned()).filter(|name| !name.is_empty()));
    }

    /// Who calls, once every policy has looked.
    pub fn caller(self, caller: &Caller) {
        self.note(|record| {
            record.consumer = caller.name().or(caller.subject.as_deref()).map(str::to_owned);
            record.recognised = caller.name().is_some();
            record.credential.clone_from(&caller.credential);
        });
    }

    /// The problem that the client gets; `None`: none after all.
    pub fn problem(self, problem: Option<&'static str>) {
        self.note(|record| record.problem = problem);
    }

    /// What the client gets says the problem, but not as problem details.
    pub fn translated(self) {
        self.note(|record| record.translated = true);
    }

    /// What a limit has said.
    pub fn limit(self, name: &str, outcome: LimitOutcome) {
        self.note(|record| record.limits.push((name.to_owned(), outcome)));
    }

    /// What a cache has done, in the terms of RFC 9211.
    pub fn cache(self, outcome: &'static str) {
        self.note(|record| record.cache = Some(outcome));
    }

    /// The call that is made now is the gateway's own: what it is about is nothing for the trace of the upstream.
    pub fn errand(self) {
        self.note(|record| record.errand = true);
    }

    /// From here on, calls are attempts to reach this upstream.
    pub fn forward<P: Platform>(self, platform: &P, upstream: &str) {
        self.note(|record| {
            let now = platform.now();
            // A fallback comes beside the first upstream, not within it.
            if let Some(before) = record.within.take() {
                record.end(before, now);
            }
            record.within = Some(record.begin(What::Forward { upstream: upstream.to_owned() }, now));
        });
    }

    /// Does something beside other things of the same request: what the one begins is not within what the other has begun.
    pub async fn apart<T>(self, task: impl Future<Output = T>) -> T {
        let (mut task, mut within) = (pin!(task), None);
        poll_fn(|context| {
            self.note(|record| std::mem::swap(&mut record.within, &mut within));
            let polled = task.as_mut().poll(context);
            self.note(|record| std::mem::swap(&mut record.within, &mut within));
            polled
        })
        .await
    }

    /// The upstream has answered, or nobody will.
    pub fn forwarded<P: Platform>(self, platform: &P) {
        self.note(|record| {
            if let Some(place) = record.within.take() {
                record.end(place, platform.now());
            }
        });
    }
}

/// Lets a policy see the request, and notes what it decided.
pub async fn enter<P: Platform>(policy: &Policy, visit: &mut Visit<'_, P>) -> Result<Flow<P::Stream>, Error> {
    let platform = visit.platform;
    let watch = platform.watch();
    let kind = policy.kind();
    watch.note(|record| {
        record.within = Some(record.begin(What::Policy { kind, verdict: Verdict::Unfinished }, platform.now()));
    });
    let flow = policy.on_request(visit).await;
    watch.note(|record| {
        let decided = match &flow {
            Ok(Flow::Continue) => Verdict::Passed,
            Ok(Flow::Respond(_)) => Verdict::Answered,
            Err(error) => Verdict::Refused(error.kind().1),
        };
        if decided != Verdict::Passed {
            record.decided_by = Some(kind);
        }
        let Some(place) = record.within.take() else { return };
        record.end(place, platform.now());
        if let Some(Step { what: What::Policy { verdict, .. }, .. }) = record.steps.get_mut(place) {
            *verdict = decided;
        }
    });
    flow
}

/// Lets a policy see the response, and notes where it refuses that.
pub async fn leave<P: Platform>(policy: &Policy, departure: &mut Departure<'_, P>) -> Result<(), Error> {
    let platform = departure.platform;
    let mut began = 0;
    platform.watch().note(|_| began = platform.now());
    let left = policy.on_response(departure).await;
    if let Err(error) = &left {
        let (kind, verdict) = (policy.kind(), Verdict::Refused(error.kind().1));
        platform.watch().note(|record| {
            record.decided_by = Some(kind);
            let place = record.begin(What::Policy { kind, verdict }, began);
            record.end(place, platform.now());
        });
    }
    left
}

/// A platform in front of another one that notes what is asked of it.
pub struct Watched<'a, P> {
    platform: &'a P,
    record: Option<RefCell<Record>>,
    request_id: OnceCell<String>,
    /// From when on nothing is asked of an upstream any more.
    until: Option<Timestamp>,
    #[cfg(feature = "admin")]
    rehearsal: Option<&'a Rehearsal>,
}

impl<'a, P: Platform> Watched<'a, P> {
    /// In front of this platform; without a record it only hands on.
    pub fn new(platform: &'a P, record: Option<Record>) -> Self {
        Self {
            platform,
            record: record.map(RefCell::new),
            request_id: OnceCell::new(),
            until: None,
            #[cfg(feature = "admin")]
            rehearsal: None,
        }
    }

    /// In front of a platform that is asked for nothing but the time and random numbers: what else would be asked of it is
    /// answered here, and what would be sent is written down.
    #[cfg(feature = "admin")]
    pub fn rehearsing(platform: &'a P, record: Option<Record>, rehearsal: &'a Rehearsal) -> Self {
        Self { rehearsal: Some(rehearsal), ..Self::new(platform, record) }
    }

    /// The platform behind it, of which nobody notes what is asked.
    pub fn bare(&self) -> &'a P {
        self.platform
    }

    /// Whether nothing of this really happens.
    pub fn is_rehearsal(&self) -> bool {
        #[cfg(feature = "admin")]
        return self.rehearsal.is_some();
        #[cfg(not(feature = "admin"))]
        return false;
    }

    /// In front of the same platform, for a request within this one.
    pub fn beside(&self, record: Option<Record>) -> Self {
        let request_id = OnceCell::new();
        if record.is_none() {
            // What is within a request has its name.
            drop(request_id.set(Platform::request_id(self)));
        }
        Self {
            platform: self.platform,
            record: record.map(RefCell::new),
            request_id,
            until: self.until,
            #[cfg(feature = "admin")]
            rehearsal: self.rehearsal,
        }
    }

    /// The same for a request that has no more time than until then.
    pub fn within(self, until: Option<Timestamp>) -> Self {
        Self { until: self.until.into_iter().chain(until).min(), ..self }
    }

    /// What was noted.
    pub fn into_record(self) -> Option<Record> {
        self.record.map(RefCell::into_inner)
    }

    /// Does something that takes its time, and notes it.
    async fn timed<T>(&self, what: What, cost: impl FnOnce(&mut Costs), task: impl Future<Output = T>) -> T {
        let Some(record) = &self.record else { return task.await };
        let now = self.platform.now();
        let place = {
            let record = &mut *record.borrow_mut();
            cost(&mut record.costs);
            record.begin(what, now)
        };
        let done = task.await;
        record.borrow_mut().end(place, self.platform.now());
        done
    }

    async fn send(&self, mut call: Call<P::Stream>) -> Result<Response<P::Stream>, Failure> {
        if let Some(left) = self.left() {
            if left == 0 {
                let detail = "the time of the request that asks for it is over".to_owned();
                return Err(Failure { error: FetchError::Timeout, detail });
            }
            call.timeout = call.timeout.min(Duration::from_millis(left));
        }
        #[cfg(feature = "admin")]
        if let Some(rehearsal) = self.rehearsal {
            rehearsal.send(&call);
            return Ok(Response { status: 200, headers: Headers::new(), body: Body::Empty });
        }
        self.platform.fetch(call).await
    }

    /// Notes a call that is about to be made, and tells the upstream which trace it belongs to.
    fn begin(&self, record: &mut Record, call: &mut Call<P::Stream>) -> usize {
        // Credentials for an upstream may have to be asked for on the way to it.
        let errand = std::mem::take(&mut record.errand);
        let step = record.within.and_then(|place| record.steps.get(place)).filter(|_| !errand);
        let forwards = step.is_some_and(|step| matches!(step.what, What::Forward { .. }));
        let span = if record.trace.is_some() { self.platform.random().max(1) } else { 0 };
        let attempt = forwards.then(|| {
            record.attempts += 1;
            record.attempts - 1
        });
        if let (true, Some(trace)) = (forwards, &record.trace) {
            trace.context.write(span, trace.formats, &mut call.headers);
        }
        record.costs.subrequests += 1;
        let called = Called {
            span,
            attempt,
            method: call.method.clone(),
            scheme: call.scheme,
            authority: call.authority.clone(),
            path: call.target.split('?').next().unwrap_or_default().to_owned(),
            outcome: Outcome::GivenUp,
        };
        record.begin(What::Call(Box::new(called)), self.platform.now())
    }
}

impl<P: Platform> Platform for Watched<'_, P> {
    type Stream = P::Stream;

    fn now(&self) -> Timestamp {
        self.platform.now()
    }

    fn random(&self) -> u64 {
        self.platform.random()
    }

    async fn fetch(&self, mut call: Call<P::Stream>) -> Result<Response<P::Stream>, Failure> {
        let Some(record) = &self.record else { return self.send(call).await };
        let place = self.begin(&mut record.borrow_mut(), &mut call);
        let result = self.send(call).await;
        let now = self.platform.now();
        let record = &mut *record.borrow_mut();
        record.end(place, now);
        if let Some(Step { what: What::Call(called), .. }) = record.steps.get_mut(place) {
            called.outcome = match &result {
                Ok(response) => Outcome::Status(response.status),
                Err(failure) => Outcome::Failed(failure.error),
            };
        }
        result
    }

    async fn read(&self, body: P::Stream, limit: usize) -> Result<Bytes, ReadError> {
        #[cfg(feature = "admin")]
        if self.rehearsal.is_some() {
            return Ok(Bytes::new());
        }
        self.timed(What::Read, |_| {}, self.platform.read(body, limit)).await
    }

    async fn read_to_end(&self, body: P::Stream, limit: usize) -> Result<(Bytes, Headers), ReadError> {
        #[cfg(feature = "admin")]
        if self.rehearsal.is_some() {
            return Ok((Bytes::new(), Headers::new()));
        }
        self.timed(What::Read, |_| {}, self.platform.read_to_end(body, limit)).await
    }

    fn decodes(&self, coding: &str) -> bool {
        #[cfg(feature = "admin")]
        if self.rehearsal.is_some() {
            return false;
        }
        self.platform.decodes(coding)
    }

    fn stay(&self) {
        self.platform.stay();
    }

    fn sends_trailers(&self) -> bool {
        self.platform.sends_trailers()
    }

    fn tells_unreachable(&self) -> bool {
        self.platform.tells_unreachable()
    }

    fn checks_by_itself(&self) -> bool {
        self.platform.checks_by_itself()
    }

    fn print(&self, line: &str) {
        self.platform.print(line);
    }

    async fn lookup(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        #[cfg(feature = "admin")]
        if self.rehearsal.is_some() {
            return Err(StoreError("explain asks no store".to_owned()));
        }
        self.timed(What::Lookup, |costs| costs.store_reads += 1, self.platform.lookup(key)).await
    }

    async fn take(&self, key: &str, order: &Order) -> Result<Decision, StoreError> {
        #[cfg(feature = "admin")]
        if self.rehearsal.is_some() {
            return Ok(Decision { granted: Some(1), wait: Some(0), standings: Vec::new() });
        }
        self.timed(What::Count, |costs| costs.object_calls += 1, self.platform.take(key, order)).await
    }

    async fn admit(&self, limiter: &str, key: &str) -> Result<Option<bool>, StoreError> {
        #[cfg(feature = "admin")]
        if self.rehearsal.is_some() {
            return Ok(None);
        }
        self.timed(What::Count, |_| {}, self.platform.admit(limiter, key)).await
    }

    async fn board(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        #[cfg(feature = "admin")]
        if self.rehearsal.is_some() {
            return Ok(None);
        }
        self.timed(What::Lookup, |costs| costs.store_reads += 1, self.platform.board(key)).await
    }

    async fn post(&self, key: &str, board: &str) -> Result<(), StoreError> {
        #[cfg(feature = "admin")]
        if self.rehearsal.is_some() {
            return Ok(());
        }
        self.platform.post(key, board).await
    }

    async fn claim(&self, key: &str, order: &claim::Order) -> Result<claim::Verdict, StoreError> {
        #[cfg(feature = "admin")]
        if self.rehearsal.is_some() {
            // Nothing was done before.
            return Ok(match order {
                claim::Order::Begin { .. } => claim::Verdict::Yours,
                claim::Order::Finish { .. } | claim::Order::Release { .. } => claim::Verdict::Noted,
            });
        }
        self.timed(What::Claim, |costs| costs.object_calls += 1, self.platform.claim(key, order)).await
    }

    async fn peek(&self, body: P::Stream, limit: usize) -> Result<Peeked<P::Stream>, ReadError> {
        #[cfg(feature = "admin")]
        if self.rehearsal.is_some() {
            return Ok(Peeked::Whole(Bytes::new()));
        }
        self.timed(What::Read, |_| {}, self.platform.peek(body, limit)).await
    }

    fn copy(&self, body: P::Stream, limit: usize) -> (P::Stream, Copied) {
        #[cfg(feature = "admin")]
        if self.rehearsal.is_some() {
            return (body, Copied::default());
        }
        self.platform.copy(body, limit)
    }

    async fn copied(&self, copy: Copied) -> Result<Bytes, ReadError> {
        #[cfg(feature = "admin")]
        if self.rehearsal.is_some() {
            return Ok(Bytes::new());
        }
        self.platform.copied(copy).await
    }

    async fn sleep(&self, duration: Duration) {
        #[cfg(feature = "admin")]
        if self.rehearsal.is_some() {
            return;
        }
        self.timed(What::Wait, |_| {}, self.platform.sleep(duration)).await;
    }

    fn discard(&self, body: P::Stream) {
        self.platform.discard(body);
    }

    #[cfg(feature = "cache")]
    async fn recall(&self, key: &str, reach: Reach) -> Result<Option<(Bytes, Body<P::Stream>)>, StoreError> {
        #[cfg(feature = "admin")]
        if self.rehearsal.is_some() {
            return Ok(None);
        }
        let reads = u32::from(self.platform.recalls_from_store(reach));
        self.timed(What::Lookup, |costs| costs.store_reads += reads, self.platform.recall(key, reach)).await
    }

    #[cfg(feature = "cache")]
    fn recalls_from_store(&self, reach: Reach) -> bool {
        self.platform.recalls_from_store(reach)
    }

    #[cfg(feature = "cache")]
    async fn keep(&self, item: &Item<'_>, body: Body<P::Stream>, shared: bool) -> (Body<P::Stream>, Option<u32>) {
        #[cfg(feature = "admin")]
        if self.rehearsal.is_some() {
            return (body, None);
        }
        self.platform.keep(item, body, shared).await
    }

    #[cfg(feature = "cache")]
    async fn kept(&self, ticket: u32) -> Result<(), StoreError> {
        #[cfg(feature = "admin")]
        if self.rehearsal.is_some() {
            return Ok(());
        }
        self.platform.kept(ticket).await
    }

    #[cfg(feature = "cache")]
    async fn forget(&self, key: &str, reach: Reach) -> Result<(), StoreError> {
        #[cfg(feature = "admin")]
        if self.rehearsal.is_some() {
            return Ok(());
        }
        self.platform.forget(key, reach).await
    }

    #[cfg(feature = "cache")]
    async fn purges(&self, key: &str, change: &Change) -> Result<Marks, StoreError> {
        #[cfg(feature = "admin")]
        if self.rehearsal.is_some() {
            return Err(StoreError("explain takes nothing back".to_owned()));
        }
        self.timed(What::Count, |costs| costs.object_calls += 1, self.platform.purges(key, change)).await
    }

    async fn write(&self, flow: &Outflow, bytes: Bytes) -> Result<(), Left> {
        self.platform.write(flow, bytes).await
    }

    fn finish(&self, flow: &Outflow, whole: bool) {
        self.platform.finish(flow, whole);
    }

    #[cfg(feature = "rollout")]
    async fn roll_out(&self, order: &crate::rollout::Order) -> Result<crate::rollout::Verdict, StoreError> {
        self.timed(What::Count, |costs| costs.object_calls += 1, self.platform.roll_out(order)).await
    }

    #[cfg(feature = "rollout")]
    async fn artefact(&self, version: &str) -> Result<Option<Bytes>, StoreError> {
        self.timed(What::Lookup, |costs| costs.object_calls += 1, self.platform.artefact(version)).await
    }

    #[cfg(feature = "rollout")]
    async fn keep_artefact(&self, version: &str, artefact: Bytes) -> Result<(), StoreError> {
        let keep = self.platform.keep_artefact(version, artefact);
        self.timed(What::Lookup, |costs| costs.object_calls += 1, keep).await
    }

    #[cfg(feature = "rollout")]
    async fn setting(&self, reference: &crate::template::Reference) -> Result<Option<String>, StoreError> {
        self.platform.setting(reference).await
    }

    async fn collect(&self, ledger: Ledger, added: &[u8]) -> Result<Bytes, StoreError> {
        #[cfg(feature = "admin")]
        if self.rehearsal.is_some() {
            return Err(StoreError("explain counts nothing".to_owned()));
        }
        self.platform.collect(ledger, added).await
    }

    async fn publish(&self, outlet: &Outlet, batch: &[u8]) -> Result<(), StoreError> {
        #[cfg(feature = "admin")]
        if self.rehearsal.is_some() {
            return Ok(());
        }
        self.platform.publish(outlet, batch).await
    }

    fn watch(&self) -> Watch<'_> {
        Watch(self.record.as_ref())
    }

    fn left(&self) -> Option<u64> {
        Some(self.until?.saturating_sub(self.now()))
    }

    fn request_id(&self) -> String {
        match &self.record {
            Some(record) => record.borrow().request_id.clone(),
            None => self.request_id.get_or_init(|| self.platform.request_id()).clone(),
        }
    }
}
