//! Makes the calls of a composition: each by the way of any other request to an upstream, at most so many at once.
//!
//! All of it is one task, which polls whatever is under way: no platform needs to spawn anything, and none needs to wake one part of
//! it rather than another. A step that frees a place for others has all of them asked once more before the task waits again.

use super::forward::Payload;
use super::reply::Origin;
use super::{Action, Gateway, Note, Plan, Reply, Start};
use crate::caller::Caller;
use crate::client::Client;
use crate::compose::answer::{Told, Writer, is_object};
use crate::compose::sight::STEPS;
use crate::compose::{
    Answer, Answered, Beyond, COMPLETE, Compose, Document, Failure, Form, Heard, OnError, Order, Outcome, Sight, Step,
    call, outcome,
};
use crate::error::Error;
#[cfg(feature = "expressions")]
use crate::expression::{Facts, Why};
use crate::forward::Forward;
use crate::http::{self, Body, Headers, Response};
use crate::json::Limits;
use crate::outflow::{self, Outflow, Stopped};
use crate::platform::{Platform, ReadError, Timestamp};
use crate::policy::Deferred;
use crate::pump;
use crate::request::{self, Line, Request};
use crate::route::{Conditions, Matched, Route};
use crate::shape::{Path, Value};
use crate::telemetry::watch::Watched;
use crate::template::{Documents, Scope, View};
use crate::upstream::{self, First, RetryFacts, Timeouts};
use crate::validation;
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

/// What a composition takes of the request.
pub(super) struct Composing<'a, S> {
    /// The route, for what goes on when the head has been sent.
    pub matched: &'a Matched<Plan>,
    /// What was composed.
    pub compose: &'a Compose,
    /// The fields that policies have left.
    pub headers: &'a Headers,
    /// The body.
    pub body: Body<S>,
    /// How many bytes that may have.
    pub body_limit: Option<u64>,
}

/// A composition whose head has been sent: what its body is still to be made of.
#[derive(Debug, Clone)]
pub struct Production {
    matched: Matched<Plan>,
    line: Line,
    client: Client,
    caller: Caller,
    headers: Headers,
    body: Option<Rc<Document>>,
    until: Timestamp,
    flow: Outflow,
}

impl Production {
    /// The same with no more time than until then.
    pub(super) fn within(self, until: Option<Timestamp>) -> Self {
        Self { until: self.until.min(until.unwrap_or(Timestamp::MAX)), ..self }
    }
}

impl Gateway {
    /// Answers from several calls.
    pub(super) async fn compose<P: Platform>(
        &self,
        platform: &Watched<'_, P>,
        composing: Composing<'_, P::Stream>,
        scope: &Scope<'_>,
    ) -> (Reply<P::Stream>, Origin, bool) {
        let Composing { matched, compose, headers, body, body_limit } = composing;
        let refused = |error| (Reply::because(platform, error, scope.route), Origin::Gateway, true);
        let body = match document(platform, compose, headers, body, body_limit).await {
            Ok(body) => body,
            Err(error) => return refused(error),
        };
        let until = platform.now().saturating_add(self.time_for(compose, headers));
        let Some(stream) = compose.stream else {
            let run = Run::new(self, platform, compose, scope, headers, body.as_ref(), until);
            let (reply, origin) = run.whole().await;
            return (reply, origin, run.complete.get());
        };
        let sight = Sight::new(&compose.steps, Vec::new(), body.as_ref());
        let scope = scope.with_documents(&sight);
        let (status, mut answer) = match head(compose, &scope) {
            Ok(head) => head,
            Err(error) => return refused(error),
        };
        if !answer.contains("content-type") {
            answer.set(
                "content-type",
                match stream.form {
                    Form::Json => "application/json",
                    Form::Ndjson => "application/x-ndjson",
                    Form::Sse => "text/event-stream",
                },
            );
        }
        // Whether it is complete nobody knows yet.
        answer.set("cache-control", "no-store");
        if scope.line.method == "HEAD" {
            let response = Response { status, headers: answer, body: Body::Empty };
            return (Reply::answer(response), Origin::Upstream, false);
        }
        let flow = Outflow::default();
        let production = Production {
            matched: matched.clone(),
            line: scope.line.clone(),
            client: scope.client.clone(),
            caller: scope.caller.clone(),
            headers: headers.clone(),
            body: body.map(Rc::new),
            until,
            flow: flow.clone(),
        };
        let mut reply = Reply::answer(Response { status, headers: answer, body: Body::Made(flow) });
        reply.deferred.push(Deferred::Compose(Box::new(production)));
        (reply, Origin::Upstream, false)
    }

    /// Makes the body of an answer whose head has been sent. Gives what the log should hear, and what is left to do.
    pub(super) async fn produce<P: Platform>(
        &self,
        platform: &Watched<'_, P>,
        production: Production,
    ) -> (Vec<Note>, Vec<Deferred>) {
        let Production { matched, line, client, caller, headers, body, until, flow } = production;
        let Action::Compose(compose) = &matched.route.then.action else { return Default::default() };
        let clock = || platform.now();
        let scope = Scope {
            line: &line,
            client: &client,
            route: &matched.route.name,
            parameters: matched.parameters(&line.path),
            settings: &self.settings,
            caller: &caller,
            view: View { headers: Some(&headers), clock: Some(&clock), ..View::default() },
        };
        let run = Run::new(self, platform, compose, &scope, &headers, body.as_deref(), until);
        run.streamed(&flow).await;
        (run.notes.take(), run.deferred.take())
    }

    /// How long a composition may take, in milliseconds: what it says itself, or less, where the client says to an upstream that it
    /// waits for less.
    fn time_for(&self, compose: &Compose, headers: &Headers) -> u64 {
        let pools = compose.steps.iter().filter_map(|step| self.upstreams.get(step.forward.upstream as usize));
        let asked = pools.filter_map(|pool| {
            let name = pool.deadline_field()?;
            upstream::deadline::read(name, headers.text(name)?)
        });
        asked.chain([compose.timeout]).min().unwrap_or(compose.timeout)
    }
}

/// The request's body, where something is taken from it.
async fn document<P: Platform>(
    platform: &P,
    compose: &Compose,
    headers: &Headers,
    body: Body<P::Stream>,
    body_limit: Option<u64>,
) -> Result<Option<Document>, Error> {
    let Some(most) = compose.body else { return Ok(None) };
    if matches!(body, Body::Empty) {
        return Ok(Some(Document::null()));
    }
    let limit = body_limit.map_or(most, |limit| limit.min(most));
    let bytes = request::whole(platform, body, headers.content_length(), limit).await?;
    if bytes.is_empty() {
        return Ok(Some(Document::null()));
    }
    if !headers.is_json() {
        return Err(Error::UnsupportedMediaType { accept: vec!["application/json".to_owned()] });
    }
    let malformed = |reason: &str| Error::MalformedBody { reason: reason.to_owned() };
    let text = std::str::from_utf8(&bytes).map_err(|_| malformed("The body is not UTF-8."))?;
    // Those behind us must not read it in another way than we do.
    let document = Document::read_within(text.to_owned(), &Limits::USUAL);
    document.map(Some).map_err(|refused| validation::refused(refused, &Limits::USUAL))
}

/// The status and the fields of an answer.
fn head(compose: &Compose, scope: &Scope<'_>) -> Result<(u16, Headers), Error> {
    let status = compose.status.render(scope);
    let status = status.parse().ok().filter(|status| (200..=599).contains(status)).ok_or_else(|| {
        let detail = "The status of the answer cannot be made of its parts.".to_owned();
        Error::CompositionFailed { status: 502, detail, reason: format!("`{status}` is no status of an answer") }
    })?;
    let mut headers = Headers::new();
    for (name, value) in &compose.headers {
        let text = value.render(scope);
        if !text.is_empty() || value.as_literal().is_some() {
            headers.append(name, text);
        }
    }
    Ok((status, headers))
}

/// One composition under way.
struct Run<'r, P: Platform> {
    gateway: &'r Gateway,
    platform: &'r Watched<'r, P>,
    compose: &'r Compose,
    scope: Scope<'r>,
    headers: &'r Headers,
    body: Option<&'r Document>,
    until: Timestamp,
    /// What came of the steps, in their places.
    outcomes: RefCell<Vec<Option<Rc<Outcome>>>>,
    /// Which of them are over, whether what came of them is still kept or not.
    over: RefCell<Vec<bool>>,
    /// How many bytes are kept.
    kept: Cell<u64>,
    /// How many more calls may be made.
    free: Cell<u32>,
    /// Whether something has become free since everybody was asked.
    moved: Cell<bool>,
    complete: Cell<bool>,
    /// Whether an upstream may have done something that cannot be undone.
    done: Cell<bool>,
    told: RefCell<Vec<Told>>,
    /// What the steps say of being stored.
    heard: RefCell<Heard>,
    notes: RefCell<Vec<Note>>,
    /// What is left to do of what they had done.
    deferred: RefCell<Vec<Deferred>>,
    /// What upstreams tell of themselves (RFC 9209).
    proxy_status: RefCell<Vec<Vec<u8>>>,
}

type Task<'t, T> = Pin<Box<dyn Future<Output = T> + 't>>;

/// What comes next.
enum Next {
    /// A step is over.
    Step(usize, Outcome),
    /// A piece has been written, or nobody wants any more.
    Written(Result<(), Stopped>),
}

impl<'r, P: Platform> Run<'r, P> {
    fn new(
        gateway: &'r Gateway,
        platform: &'r Watched<'r, P>,
        compose: &'r Compose,
        scope: &Scope<'r>,
        headers: &'r Headers,
        body: Option<&'r Document>,
        until: Timestamp,
    ) -> Self {
        Self {
            gateway,
            platform,
            compose,
            scope: *scope,
            headers,
            body,
            until,
            outcomes: RefCell::new(compose.steps.iter().map(|_| None).collect()),
            over: RefCell::new(vec![false; compose.steps.len()]),
            kept: Cell::new(0),
            free: Cell::new(compose.parallel),
            moved: Cell::new(false),
            complete: Cell::new(true),
            done: Cell::new(false),
            told: RefCell::default(),
            heard: RefCell::default(),
            notes: RefCell::default(),
            deferred: RefCell::default(),
            proxy_status: RefCell::default(),
        }
    }

    /// All steps, and then the answer.
    async fn whole(&self) -> (Reply<P::Stream>, Origin) {
        let mut begun = vec![false; self.compose.steps.len()];
        let mut under_way: Vec<(usize, Task<'_, Outcome>)> = Vec::new();
        loop {
            self.begin(&mut begun, &mut under_way);
            if under_way.is_empty() {
                break;
            }
            let Next::Step(at, outcome) = self.next(&mut under_way, &mut None).await else { continue };
            if let Err(error) = self.conclude(at, outcome) {
                // Who is still under way is given up with its future.
                drop(under_way);
                return self.failed(error);
            }
        }
        let sight = self.sight();
        let scope = self.scope.with_documents(&sight);
        let (status, mut headers) = match head(self.compose, &scope) {
            Ok(head) => head,
            Err(error) => return self.failed(error),
        };
        let told = self.told.take();
        let body = match self.compose.answer.write(&self.compose.steps, &scope, &sight, &told) {
            Ok(body) => Bytes::from(body),
            Err(why) => {
                let detail = "The answer cannot be made of its parts.".to_owned();
                let reason = format!("the query cannot be answered: {why}");
                return self.failed(Error::CompositionFailed { status: 502, detail, reason });
            }
        };
        if !headers.contains("content-type") {
            headers.set("content-type", "application/json");
        }
        self.heard.take().tell(&mut headers, &self.compose.vary);
        let complete = self.complete.get();
        headers.set(COMPLETE, if complete { "true" } else { "false" });
        if !complete {
            headers.set("cache-control", "no-store");
        }
        for told in self.proxy_status.take() {
            headers.append("proxy-status", told);
        }
        let body = if matches!(status, 204 | 205 | 304) {
            Body::Empty
        } else {
            headers.set("content-length", body.len().to_string());
            Body::Bytes(body)
        };
        let mut reply = Reply::answer(Response { status, headers, body });
        reply.notes = self.notes.take();
        reply.deferred = self.deferred.take();
        (reply, Origin::Upstream)
    }

    fn failed(&self, error: Error) -> (Reply<P::Stream>, Origin) {
        let mut reply = Reply::because(self.platform, error, self.scope.route);
        for told in self.proxy_status.take() {
            reply.response.headers.append("proxy-status", told);
        }
        let mut notes = self.notes.take();
        notes.append(&mut reply.notes);
        reply.deferred = self.deferred.take();
        let origin = if self.done.get() { Origin::Lost } else { Origin::Gateway };
        (Reply { notes, ..reply }, origin)
    }

    /// All steps, while what is finished goes to the client.
    async fn streamed(&self, flow: &Outflow) {
        let Answer::Members(members) = &self.compose.answer else { return self.break_off(flow) };
        let Some(stream) = self.compose.stream else { return self.break_off(flow) };
        let mut writer = Writer::new(stream.form);
        let mut sent = vec![false; members.len()];
        let mut begun = vec![false; self.compose.steps.len()];
        let mut under_way: Vec<(usize, Task<'_, Outcome>)> = Vec::new();
        // What is ready and waits for the client, who may be slow: as much of it as is kept of bodies, at most.
        let mut ready: VecDeque<Bytes> = VecDeque::new();
        let mut writing: Option<Task<'_, Result<(), Stopped>>> = None;
        let mut told = 0;
        loop {
            self.begin(&mut begun, &mut under_way);
            if writing.is_none()
                && let Some(piece) = ready.pop_front()
            {
                let size = piece.len() as u64;
                writing = Some(Box::pin(async move {
                    let written = outflow::write(self.platform, flow, piece).await;
                    self.kept.set(self.kept.get().saturating_sub(size));
                    written
                }));
            }
            if under_way.is_empty() && writing.is_none() {
                break;
            }
            match self.next(&mut under_way, &mut writing).await {
                Next::Written(written) => {
                    writing = None;
                    if let Err(stopped) = written {
                        drop(under_way);
                        return self.stopped(flow, stopped);
                    }
                }
                Next::Step(at, outcome) => {
                    if let Err(error) = self.conclude(at, outcome) {
                        drop((under_way, writing));
                        self.note("composition-failed", error.reason().to_owned());
                        return self.break_off(flow);
                    }
                    // Failures come before what was finished with them.
                    for failure in self.told.borrow().iter().skip(told) {
                        ready.extend(writer.failure(failure).map(Bytes::from));
                    }
                    told = self.told.borrow().len();
                    for (member, sent) in members.iter().zip(&mut sent) {
                        if *sent {
                            continue;
                        }
                        if !member.needs.iter().all(|step| self.is_over(*step as usize)) {
                            match stream.order {
                                Order::Finished => continue,
                                Order::Declared => break,
                            }
                        }
                        *sent = true;
                        let sight = self.sight();
                        let scope = self.scope.with_documents(&sight);
                        if let Some(json) = member.write(&self.compose.steps, &scope, &sight) {
                            let piece = Bytes::from(writer.member(&member.name, &json));
                            self.kept.set(self.kept.get().saturating_add(piece.len() as u64));
                            ready.push_back(piece);
                        }
                    }
                    self.let_go(&begun, |step| {
                        members.iter().zip(&sent).any(|(member, sent)| !sent && member.needs.contains(&step))
                    });
                }
            }
        }
        let end = writer.end(&self.told.borrow(), self.complete.get());
        let mut ended = outflow::write(self.platform, flow, end.into()).await;
        if ended.is_ok() {
            ended = outflow::finish(self.platform, flow, true).await;
        }
        if let Err(stopped) = ended {
            self.stopped(flow, stopped);
        }
    }

    fn stopped(&self, flow: &Outflow, stopped: Stopped) {
        if let Stopped::Broken(broken) = stopped {
            self.notes.borrow_mut().push(Note::broken(&broken));
        }
        self.break_off(flow);
    }

    fn break_off(&self, flow: &Outflow) {
        outflow::break_off(self.platform, flow);
    }

    /// Begins every step that can begin.
    fn begin<'t>(&'t self, begun: &mut [bool], under_way: &mut Vec<(usize, Task<'t, Outcome>)>) {
        let ready: Vec<usize> = self.compose.ready(|at| begun[at], |at| self.is_over(at)).collect();
        for at in ready {
            if let (Some(begun), Some(step)) = (begun.get_mut(at), self.compose.steps.get(at)) {
                *begun = true;
                under_way.push((at, Box::pin(self.step(step))));
            }
        }
    }

    fn is_over(&self, at: usize) -> bool {
        self.over.borrow().get(at).copied().unwrap_or(false)
    }

    /// Waits for whatever comes next.
    async fn next(
        &self,
        under_way: &mut Vec<(usize, Task<'_, Outcome>)>,
        writing: &mut Option<Task<'_, Result<(), Stopped>>>,
    ) -> Next {
        poll_fn(|context| {
            loop {
                self.moved.set(false);
                if let Some(task) = writing.as_mut()
                    && let Poll::Ready(written) = task.as_mut().poll(context)
                {
                    return Poll::Ready(Next::Written(written));
                }
                for place in 0..under_way.len() {
                    let Some((at, task)) = under_way.get_mut(place) else { break };
                    if let Poll::Ready(outcome) = task.as_mut().poll(context) {
                        let at = *at;
                        // Those behind keep their order, so that the first to begin is the first to be asked.
                        drop(under_way.remove(place));
                        return Poll::Ready(Next::Step(at, outcome));
                    }
                }
                if !self.moved.get() {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    /// Takes down what came of a step. An error makes the whole fail.
    fn conclude(&self, at: usize, outcome: Outcome) -> Result<(), Error> {
        let Some(step) = self.compose.steps.get(at) else { return Ok(()) };
        let outcome = match outcome {
            outcome if self.compose.answer.merges(at) && !is_object(&outcome) => Outcome::Failed(Failure::NoObject),
            outcome => outcome,
        };
        let outcome = match outcome {
            Outcome::Skipped => Outcome::Skipped,
            Outcome::Answered(answered) => {
                if answered.partial {
                    self.complete.set(false);
                }
                for (item, failure) in &answered.failures {
                    self.tell(step, *item, failure);
                }
                Outcome::Answered(answered)
            }
            Outcome::Failed(failure) => {
                if step.on_error == OnError::Fail {
                    return Err(failure.into_error(&step.name));
                }
                self.complete.set(false);
                self.tell(step, None, &failure);
                match &step.on_error {
                    OnError::Default(blueprint) => {
                        let sight = self.sight();
                        let scope = self.scope.with_documents(&sight);
                        let body = Document::of(&blueprint.build(&scope).unwrap_or(Value::NULL));
                        Outcome::Answered(Answered { body, partial: true, ..Answered::default() })
                    }
                    OnError::Fail | OnError::Omit | OnError::Errors => Outcome::Failed(failure),
                }
            }
        };
        if let Some(place) = self.outcomes.borrow_mut().get_mut(at) {
            *place = Some(Rc::new(outcome));
        }
        if let Some(over) = self.over.borrow_mut().get_mut(at) {
            *over = true;
        }
        Ok(())
    }

    /// The log hears of every failure, the client where the step says so.
    fn tell(&self, step: &Step, item: Option<u32>, failure: &Failure) {
        let of = item.map_or_else(String::new, |item| format!(", item {item}"));
        self.note("step-failed", format!("the step `{}`{of}: {}", step.name, failure.why()));
        if step.on_error == OnError::Errors {
            let told = Told { step: step.name.clone(), item, failure: failure.clone() };
            self.told.borrow_mut().push(told);
        }
    }

    fn note(&self, problem: &'static str, detail: String) {
        let route = Some(self.scope.route.to_owned());
        let request_id = self.platform.request_id();
        self.notes.borrow_mut().push(Note { problem, status: 0, request_id, route, detail });
    }

    /// Lets go of the bodies that nobody needs any more.
    fn let_go(&self, begun: &[bool], is_wanted: impl Fn(u32) -> bool) {
        let needed = |at: u32| {
            let waits = |(step, begun): (&Step, &bool)| !begun && step.needs.contains(&at);
            is_wanted(at) || self.compose.steps.iter().zip(begun).any(waits)
        };
        for (at, outcome) in (0..).zip(self.outcomes.borrow_mut().iter_mut()) {
            if let Some(known) = outcome
                && let Outcome::Answered(answered) = known.as_ref()
                && !needed(at)
            {
                self.kept.set(self.kept.get().saturating_sub(answered.body.size()));
                *outcome = None;
            }
        }
    }

    fn sight(&self) -> Sight<'r> {
        Sight::new(&self.compose.steps, self.outcomes.borrow().clone(), self.body)
    }

    /// One step, with all of its calls.
    async fn step(&self, step: &Step) -> Outcome {
        let sight = self.sight();
        let scope = self.scope.with_documents(&sight);
        let Some(each) = &step.for_each else {
            return match self.holds(step, &scope) {
                Ok(true) => self.once(step, &scope, &sight).await,
                Ok(false) => Outcome::Skipped,
                Err(failure) => Outcome::Failed(failure),
            };
        };
        let Some(mut list) = sight.part(&each.list) else {
            return if is_there(&sight, &each.list) { Outcome::Failed(Failure::NoList) } else { Outcome::Skipped };
        };
        list.open();
        let mut items = match list {
            Value::List(items) => items,
            other if other.is_null() => Vec::new(),
            Value::Part(..) | Value::Raw(_) | Value::Text(_) | Value::Object(_) => {
                return Outcome::Failed(Failure::NoList);
            }
        };
        let beyond = items.len() > each.most as usize;
        if beyond && each.beyond == Beyond::Fail {
            return Outcome::Failed(Failure::TooMany);
        }
        items.truncate(each.most as usize);
        let mut calls: Vec<Task<'_, Outcome>> = Vec::with_capacity(items.len());
        for item in &items {
            let sight = sight.with_each(item.clone());
            calls.push(Box::pin(async move {
                let scope = self.scope.with_documents(&sight);
                match self.holds(step, &scope) {
                    Ok(true) => self.once(step, &scope, &sight).await,
                    Ok(false) => Outcome::Skipped,
                    Err(failure) => Outcome::Failed(failure),
                }
            }));
        }
        let outcomes =
            self.all(calls, |outcome| step.on_error == OnError::Fail && matches!(outcome, Outcome::Failed(_)));
        self.together(step, &sight, &items, outcomes.await, beyond)
    }

    /// Waits for all of them, or for the first that makes the others needless.
    async fn all(&self, mut calls: Vec<Task<'_, Outcome>>, is_enough: impl Fn(&Outcome) -> bool) -> Vec<Outcome> {
        let mut outcomes: Vec<Option<Outcome>> = calls.iter().map(|_| None).collect();
        poll_fn(|context| {
            let mut open = false;
            for (call, outcome) in calls.iter_mut().zip(&mut outcomes) {
                if outcome.is_some() {
                    continue;
                }
                match call.as_mut().poll(context) {
                    Poll::Ready(came) => {
                        let enough = is_enough(&came);
                        *outcome = Some(came);
                        if enough {
                            return Poll::Ready(());
                        }
                    }
                    Poll::Pending => open = true,
                }
            }
            if open { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        outcomes.into_iter().map(|outcome| outcome.unwrap_or(Outcome::Skipped)).collect()
    }

    /// One list of what came of all items.
    fn together(
        &self,
        step: &Step,
        sight: &Sight<'_>,
        items: &[Value<'_>],
        outcomes: Vec<Outcome>,
        beyond: bool,
    ) -> Outcome {
        let mut bodies: Vec<Document> = Vec::with_capacity(outcomes.len());
        let mut failures = Vec::new();
        for (number, (item, outcome)) in (0..).zip(items.iter().zip(outcomes)) {
            match outcome {
                Outcome::Skipped => {}
                Outcome::Answered(answered) => bodies.push(answered.body),
                Outcome::Failed(failure) => {
                    match &step.on_error {
                        OnError::Fail => return Outcome::Failed(failure),
                        OnError::Omit | OnError::Errors => {}
                        OnError::Default(blueprint) => {
                            let sight = sight.with_each(item.clone());
                            let scope = self.scope.with_documents(&sight);
                            bodies.push(Document::of(&blueprint.build(&scope).unwrap_or(Value::NULL)));
                        }
                    }
                    failures.push((Some(number), failure));
                }
            }
        }
        let partial = beyond || !failures.is_empty();
        let body = Document::of(&Value::List(bodies.iter().map(Document::value).collect()));
        Outcome::Answered(Answered { body, failures, partial, ..Answered::default() })
    }

    /// Whether a step's condition holds. What it asks for and is not there makes it not hold.
    #[cfg(feature = "expressions")]
    fn holds(&self, step: &Step, scope: &Scope<'_>) -> Result<bool, Failure> {
        let Some(expression) = &step.when else { return Ok(true) };
        let query = self.scope.line.query.as_deref();
        let facts = Facts { scope: *scope, headers: self.headers, query, now: self.platform.now() };
        match expression.holds(&facts) {
            Ok(holds) => Ok(holds),
            Err(fault) if fault.why == Why::Absent => Ok(false),
            Err(fault) => Err(Failure::Condition(expression.explain(fault))),
        }
    }

    #[cfg(not(feature = "expressions"))]
    fn holds(&self, _: &Step, _: &Scope<'_>) -> Result<bool, Failure> {
        Ok(true)
    }

    /// One call.
    async fn once(&self, step: &Step, scope: &Scope<'_>, sight: &Sight<'_>) -> Outcome {
        let mut sending = match call::write(step, scope, self.headers) {
            Ok(sending) => sending,
            Err(Failure::Missing(_)) if !all_there(step, sight) => return Outcome::Skipped,
            Err(failure) => return Outcome::Failed(failure),
        };
        let mut left = step.timeout.unwrap_or(u64::MAX);
        let mut made = 0;
        loop {
            self.acquire().await;
            made += 1;
            let begun = self.platform.now();
            let given = self.until.saturating_sub(begun).min(left);
            let patience = Cell::new(None);
            let repeated = step.retries.is_some().then(|| sending.clone());
            // What it begins is not within what other calls have begun.
            let calling = self.perform(step, sending, scope, given, &patience);
            let outcome = self.platform.watch().apart(calling).await;
            self.free.set(self.free.get() + 1);
            self.moved.set(true);
            let took = self.platform.now().saturating_sub(begun);
            let Some(repeated) = repeated else { return outcome };
            let Some(pause) = self.again(step, &repeated, &outcome, patience.get(), made, given.saturating_sub(took))
            else {
                return outcome;
            };
            sending = repeated;
            if let Outcome::Failed(failure) = &outcome {
                self.note("step-again", format!("the step `{}` is called once more: {}", step.name, failure.why()));
            }
            self.platform.sleep(Duration::from_millis(pause)).await;
            left = left.saturating_sub(took.saturating_add(pause));
        }
    }

    /// After how many milliseconds a call that ended like this is made once more; `None`: it is not.
    fn again(
        &self,
        step: &Step,
        sending: &call::Sending,
        outcome: &Outcome,
        patience: Option<u64>,
        made: u32,
        left: u64,
    ) -> Option<u64> {
        let rules = step.retries.as_ref()?;
        let pool = self.gateway.upstreams.get(step.forward.upstream as usize)?;
        let now = self.platform.now();
        if made == 1 {
            pool.note_call(now);
        }
        let ended = outcome::ended(outcome, patience)?;
        let repeatable = rules.may_repeat(&sending.line.method, &sending.headers);
        pool.again(rules, ended, RetryFacts { repeatable, made, left, random: self.platform.random() }, now)
    }

    /// Waits until one more call may be made.
    async fn acquire(&self) {
        poll_fn(|_| match self.free.get().checked_sub(1) {
            Some(left) => {
                self.free.set(left);
                Poll::Ready(())
            }
            None => Poll::Pending,
        })
        .await;
    }

    /// Makes a call that is `given` so many milliseconds, until the answer's body is there. `patience` is told how many an answer that is
    /// no success asks for.
    async fn perform(
        &self,
        step: &Step,
        sending: call::Sending,
        scope: &Scope<'_>,
        given: u64,
        patience: &Cell<Option<u64>>,
    ) -> Outcome {
        let Self { gateway, platform, .. } = *self;
        let begun = platform.now();
        let Some(pool) = gateway.upstreams.get(step.forward.upstream as usize) else {
            return Outcome::Failed(Failure::Unreachable);
        };
        if given == 0 {
            return Outcome::Failed(Failure::Timeout);
        }
        let timeouts = step.forward.timeouts.unwrap_or(pool.upstream.timeouts);
        let timeouts = Timeouts { attempt: timeouts.attempt.min(given), total: timeouts.total.min(given), ..timeouts };
        let call::Sending { line, mut headers, body } = sending;
        if let Some(name) = pool.deadline_field() {
            headers.set(name, upstream::deadline::write(name, given));
        }
        let forward = Forward { timeouts: Some(timeouts), ..step.forward.clone() };
        let is_safe = upstream::is_safe(&line.method);
        let content_length = body.as_ref().map(|body| body.len() as u64);
        let body = body.map_or(Body::Empty, Body::Bytes);
        let scope = Scope { line: &line, ..*scope };
        let reply = match step.policies {
            Some(policies) => {
                let plan = Plan { policies, body_limit: None, limits: None, action: Action::Forward(forward) };
                let line = line.clone();
                let request =
                    Request { line, headers, client: scope.client.clone(), upgrade: None, content_length, depth: 1 };
                // Who waits for what others fetch does not wait longer than for what it fetches itself.
                let timer = pin!(platform.sleep(Duration::from_millis(given)));
                match upstream::first(pin!(self.through(plan, request, body, &scope)), timer).await {
                    First::One(reply) if reply.refused == Some(reply.response.status) => (reply, Origin::Lost),
                    First::One(reply) => (reply, Origin::Upstream),
                    First::Other(()) => return Outcome::Failed(Failure::Timeout),
                }
            }
            None => {
                let payload = Payload {
                    headers,
                    query: line.query.clone(),
                    content_length,
                    body,
                    upgrade: None,
                    limit: None,
                    reads: true,
                    watched: false,
                    last: false,
                    #[cfg(feature = "mirror")]
                    mirrors: Vec::new(),
                    instead: None,
                };
                // Boxed, so that a composition need not carry the size of each of its calls around.
                Box::pin(gateway.forward(platform, &forward, payload, &scope)).await
            }
        };
        // Whether a step's failure is one of the whole, its rules say.
        platform.watch().problem(None);
        let (Reply { response, notes, deferred, .. }, origin) = reply;
        self.notes.borrow_mut().extend(notes);
        if origin != Origin::Gateway && !is_safe {
            self.done.set(true);
        }
        let told = response.headers.all("proxy-status").map(<[u8]>::to_vec);
        self.proxy_status.borrow_mut().extend(told);
        let outcome = if origin != Origin::Upstream && response.status >= 400 {
            Outcome::Failed(Failure::of_refusal(response.status))
        } else if let Err(failure) = outcome::judge(step, &response) {
            patience.set(response.headers.text("retry-after").and_then(upstream::retry_after));
            pump::discard(platform, response.body);
            Outcome::Failed(failure)
        } else {
            self.heard.borrow_mut().hear(&response.headers, &step.forward_headers);
            let left = given.saturating_sub(platform.now().saturating_sub(begun));
            self.read(step, response, left).await
        };
        if !deferred.is_empty() {
            let (deferred, notes) = gateway.let_go(platform, deferred, matches!(outcome, Outcome::Answered(_))).await;
            self.deferred.borrow_mut().extend(deferred);
            self.notes.borrow_mut().extend(notes);
        }
        outcome
    }

    /// Has a call go through policies of its step's own, as the only request of a route.
    async fn through(
        &self,
        plan: Plan,
        request: Request,
        body: Body<P::Stream>,
        scope: &Scope<'_>,
    ) -> Reply<P::Stream> {
        let name = scope.route.to_owned();
        let route = Rc::new(Route { name, paths: Vec::new(), conditions: Conditions::default(), then: plan });
        let start = Start { caller: scope.caller.clone(), ..Start::default() };
        // Boxed, since it comes round to itself.
        Box::pin(self.gateway.follow(self.platform, Matched { route, by: 0 }, request, body, start)).await
    }

    /// Reads an answer.
    async fn read(&self, step: &Step, response: Response<P::Stream>, left: u64) -> Outcome {
        let Response { status, headers, body } = response;
        let platform = self.platform;
        let by_platform = http::list(&headers, "content-encoding").all(|coding| platform.decodes(coding));
        let room = step.limit.min(self.compose.limit.saturating_sub(self.kept.get()));
        let bytes = match body {
            Body::Empty => Ok(Bytes::new()),
            body => {
                let room = usize::try_from(room).unwrap_or(usize::MAX);
                let reading = pin!(pump::read(platform, body, room));
                let timer = pin!(platform.sleep(Duration::from_millis(left)));
                match upstream::first(reading, timer).await {
                    First::One(Ok(bytes)) => Ok(bytes),
                    First::One(Err(ReadError::TooLarge)) => Err(Failure::TooLarge),
                    First::One(Err(ReadError::Broken(_))) => Err(Failure::Unreachable),
                    First::Other(()) => Err(Failure::Timeout),
                }
            }
        };
        let bytes = bytes.and_then(|bytes| if by_platform { Ok(bytes) } else { unpacked(&headers, bytes, room) });
        let document = bytes.and_then(|bytes| outcome::read(step, &headers, &bytes));
        match document {
            // Others may have been read meanwhile.
            Ok(document) if document.size() > self.compose.limit.saturating_sub(self.kept.get()) => {
                Outcome::Failed(Failure::TooLarge)
            }
            Ok(body) => {
                self.kept.set(self.kept.get() + body.size());
                Outcome::Answered(Answered { status: Some(status), headers, body, ..Answered::default() })
            }
            Err(failure) => Outcome::Failed(failure),
        }
    }
}

/// Whether the step that a path is about, if it is about one, has an answer.
fn is_there(sight: &Sight<'_>, path: &Path) -> bool {
    if path.root() != STEPS {
        return true;
    }
    match path.steps().get(1) {
        Some(crate::shape::Step::Name(name)) => sight.answered(name).is_some(),
        Some(crate::shape::Step::Every) | None => true,
    }
}

/// Whether all steps that a step's path names have answers: what is missing then is missing in them.
fn all_there(step: &Step, sight: &Sight<'_>) -> bool {
    step.path.pieces().iter().all(|piece| match piece.base() {
        crate::template::Piece::Document(path) => is_there(sight, path),
        _ => true,
    })
}

/// What an upstream has packed although it was asked not to.
fn unpacked(headers: &Headers, bytes: Bytes, room: u64) -> Result<Bytes, Failure> {
    let mut codings = http::list(headers, "content-encoding").filter(|coding| !coding.eq_ignore_ascii_case("identity"));
    match (codings.next(), codings.next()) {
        (None, _) => Ok(bytes),
        #[cfg(feature = "codings")]
        (Some(coding), None) if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip") => {
            crate::shape::coding::gunzip(&bytes, room).map_err(|_| Failure::Malformed)
        }
        #[cfg(feature = "brotli")]
        (Some(coding), None) if coding.eq_ignore_ascii_case("br") => {
            crate::shape::coding::unbrotli(&bytes, room).map_err(|_| Failure::Malformed)
        }
        (Some(_), _) => {
            let _ = (bytes, room);
            Err(Failure::Malformed)
        }
    }
}
