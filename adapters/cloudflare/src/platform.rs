//! The port on Workers: a call is written down for the glue, which performs it while the request waits.
//!
//! Nothing here makes a promise. The adapter polls the gateway's future itself (`lib.rs`); a call that has no outcome yet
//! leaves a command behind and returns pending, and the glue comes back with what happened.

use crate::http::{self, Commands};
use crate::pumps;
#[cfg(feature = "cache")]
use crate::shelf::{self, Ask, Found};
#[cfg(feature = "rollout")]
use crate::versions;
use bytes::Bytes;
#[cfg(feature = "cache")]
use gateway_core::cache::purge::{Change, Marks};
use gateway_core::claim;
use gateway_core::http::{Body, Headers, Response};
use gateway_core::ledger::Ledger;
use gateway_core::outflow::{Left, Outflow};
use gateway_core::platform::{
    Call, Copied, Failure, FetchError, Interest, Outlet, Peeked, Platform, ReadError, StoreError, Timestamp,
};
#[cfg(feature = "cache")]
use gateway_core::platform::{Item, Reach};
use gateway_core::quota::{self, Decision};
#[cfg(feature = "rollout")]
use gateway_core::rollout::{Order, Verdict};
#[cfg(feature = "rollout")]
use gateway_core::template::Reference;
use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

/// One body that the runtime moves by itself, named by whom it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// The client's request.
    Request,
    /// The response that the call of this number brought.
    Response(u32),
    /// What that call found in the store of caches. Its fields are not the response's.
    #[cfg(feature = "cache")]
    Stored(u32),
}

/// One request's side of the boundary: what it asks of the glue, and what the glue has answered.
#[derive(Debug, Default)]
pub struct Exchange {
    now: Cell<Timestamp>,
    calls: RefCell<Vec<State>>,
    commands: RefCell<Commands>,
    /// What is told in the end, where that is no answer.
    told: RefCell<String>,
    /// Whether the request is to go on although its client goes away.
    stays: Cell<bool>,
}

/// What became of a call.
pub type Outcome = Result<Response<Stream>, Failure>;

/// What the glue was asked for.
#[derive(Debug)]
enum Task {
    /// A call to an upstream.
    Fetch {
        /// What of the response's head it may leave out.
        interest: Interest,
        /// What it is to send, if that is in memory.
        body: Bytes,
    },
    /// The whole of a body.
    Read,
    /// A value in the store.
    Lookup,
    /// To keep these bytes.
    #[cfg(feature = "rollout")]
    Keep(Bytes),
    /// Counters of an owner.
    Take,
    /// The platform's own limiter.
    Admit,
    /// A claim.
    Claim,
    /// That time passes.
    Sleep,
    /// That a piece of a body is sent.
    Write(Bytes),
    /// Something of the store of caches.
    #[cfg(feature = "cache")]
    Shelf(Ask),
}

/// What the glue brought.
#[derive(Debug)]
enum Brought {
    Response(Outcome),
    Body(Result<Bytes, ReadError>),
    Value(Result<Option<Bytes>, StoreError>),
    Taken(Result<Decision, StoreError>),
    Admitted(Result<Option<bool>, StoreError>),
    Claimed(Result<claim::Verdict, StoreError>),
    Awake,
    Written(Result<(), Left>),
    #[cfg(feature = "cache")]
    Shelf(Found),
}

#[derive(Debug)]
enum State {
    /// For the glue.
    Waiting(Task),
    Done(Brought),
    Over,
}

impl Exchange {
    /// Tells the time. It stands still until the glue enters the gateway again, as the platform's clock does.
    pub fn enter(&self, now: Timestamp) {
        self.now.set(now);
    }

    /// The time as told last.
    pub fn now(&self) -> Timestamp {
        self.now.get()
    }

    /// Notes what a call brought, as the glue packs it. What nobody waits for any more is let go.
    pub fn settle(&self, call: u32, status: u32, packed: &[u8]) {
        if let Some(state) = self.calls.borrow_mut().get_mut(call as usize)
            && let State::Waiting(task) = state
        {
            *state = State::Done(match task {
                Task::Fetch { interest, .. } => Brought::Response(http::read_outcome(call, status, packed, *interest)),
                Task::Read => Brought::Body(http::read_body(status, packed)),
                Task::Lookup => Brought::Value(http::read_value(status, packed)),
                #[cfg(feature = "rollout")]
                Task::Keep(_) => Brought::Value(http::read_value(status, packed)),
                Task::Take => Brought::Taken(http::read_taken(status, packed)),
                Task::Admit => Brought::Admitted(http::read_admitted(status, packed)),
                Task::Claim => Brought::Claimed(http::read_claimed(status, packed)),
                Task::Sleep => Brought::Awake,
                Task::Write(_) => Brought::Written(http::read_written(status)),
                #[cfg(feature = "cache")]
                Task::Shelf(ask) => Brought::Shelf(ask.read(call, status, packed)),
            });
        }
    }

    /// The body in memory of a call that was not answered yet.
    pub fn body(&self, call: u32) -> Bytes {
        match self.calls.borrow().get(call as usize) {
            Some(State::Waiting(Task::Fetch { body, .. } | Task::Write(body))) => body.clone(),
            #[cfg(feature = "cache")]
            Some(State::Waiting(Task::Shelf(ask))) => ask.body(),
            #[cfg(feature = "rollout")]
            Some(State::Waiting(Task::Keep(bytes))) => bytes.clone(),
            // Nothing else has one.
            Some(State::Waiting(_) | State::Done(_) | State::Over) | None => Bytes::new(),
        }
    }

    /// Whether the glue still owes an answer.
    pub fn waits(&self) -> bool {
        self.calls.borrow().iter().any(|state| matches!(state, State::Waiting(_)))
    }

    /// Writes a task down for the glue.
    fn ask(&self, task: Task, write: impl FnOnce(&mut Commands, u32)) -> Pending<'_> {
        let mut calls = self.calls.borrow_mut();
        let number = calls.len() as u32;
        write(&mut self.commands.borrow_mut(), number);
        calls.push(State::Waiting(task));
        Pending { exchange: self, number }
    }

    /// An exchange that goes on after another one, whose calls keep their numbers.
    pub fn after(before: &Exchange) -> Self {
        let calls = before.calls.borrow().iter().map(|_| State::Over).collect();
        Self { now: before.now.clone(), calls: RefCell::new(calls), ..Self::default() }
    }

    /// Whether there is something for the glue to do.
    pub fn has_commands(&self) -> bool {
        !self.commands.borrow().numbers.is_empty()
    }

    /// Says what is told in the end, where that is no answer.
    pub fn conclude(&self, text: String) {
        self.told.replace(text);
    }

    /// What was told; nothing, if nothing was.
    pub fn conclusion(&self) -> String {
        self.told.take()
    }

    /// Writes something down for the glue that nobody waits for yet; gives its number.
    fn tell(&self, write: impl FnOnce(&mut Commands, u32)) -> u32 {
        let mut calls = self.calls.borrow_mut();
        let number = calls.len() as u32;
        write(&mut self.commands.borrow_mut(), number);
        calls.push(State::Over);
        number
    }

    /// Has the glue go on although the client goes away, should it have to wait for anything.
    fn stay(&self) {
        self.stays.set(true);
    }

    /// Takes the commands recorded since the last time, for a request that waits.
    pub fn commands_of_one_that_waits(&self) -> Commands {
        let mut commands = self.commands.take();
        if self.stays.take() {
            http::write_stay(&mut commands);
        }
        commands
    }

    /// Takes the commands recorded since the last time.
    pub fn commands(&self) -> Commands {
        self.commands.take()
    }
}

/// The port of one request.
#[derive(Debug)]
pub struct Workers {
    exchange: Rc<Exchange>,
}

impl Workers {
    /// The port that speaks through this exchange.
    pub fn new(exchange: Rc<Exchange>) -> Self {
        Self { exchange }
    }

    /// Asks the store of caches.
    #[cfg(feature = "cache")]
    async fn shelf(&self, ask: Ask, write: impl FnOnce(&mut Commands, u32)) -> Result<Found, StoreError> {
        match self.exchange.ask(Task::Shelf(ask), write).await {
            Brought::Shelf(found) => Ok(found),
            _ => Err(StoreError(MIXED.to_owned())),
        }
    }

    /// Waits for a whole body.
    async fn whole(&self, write: impl FnOnce(&mut Commands, u32)) -> Result<Bytes, ReadError> {
        match self.exchange.ask(Task::Read, write).await {
            Brought::Body(body) => body,
            _ => Err(ReadError::Broken(MIXED.to_owned())),
        }
    }
}

impl Platform for Workers {
    type Stream = Stream;

    fn now(&self) -> Timestamp {
        self.exchange.now()
    }

    fn random(&self) -> u64 {
        crate::random::next()
    }

    async fn fetch(&self, call: Call<Stream>) -> Outcome {
        let mut call = call;
        let mut pump = None;
        let body = match call.body {
            Body::Bytes(ref bytes) => bytes.clone(),
            Body::Empty | Body::Stream(_) | Body::Made(_) => Bytes::new(),
            Body::Pumped(stream, changes) => {
                pump = Some(pumps::keep(changes));
                call.body = Body::Stream(stream);
                Bytes::new()
            }
        };
        let task = Task::Fetch { interest: call.interest, body };
        match self.exchange.ask(task, |out, number| http::write_call(out, number, &call, pump)).await {
            Brought::Response(outcome) => outcome,
            _ => Err(Failure { error: FetchError::Reset, detail: MIXED.to_owned() }),
        }
    }

    async fn read(&self, body: Stream, limit: usize) -> Result<Bytes, ReadError> {
        self.whole(|out, number| http::write_read(out, number, body, limit)).await
    }

    /// Workers shows no fields behind a body.
    async fn read_to_end(&self, body: Stream, limit: usize) -> Result<(Bytes, Headers), ReadError> {
        Ok((self.read(body, limit).await?, Headers::new()))
    }

    async fn peek(&self, body: Stream, limit: usize) -> Result<Peeked<Stream>, ReadError> {
        match self.whole(|out, number| http::write_peek(out, number, body, limit)).await {
            Ok(bytes) => Ok(Peeked::Whole(bytes)),
            // The glue has put it back together, in its old place.
            Err(ReadError::TooLarge) => Ok(Peeked::Longer(body)),
            Err(error) => Err(error),
        }
    }

    fn copy(&self, body: Stream, limit: usize) -> (Stream, Copied) {
        let number = self.exchange.tell(|out, number| http::write_copy(out, number, body, limit));
        (body, Copied::of(number))
    }

    async fn copied(&self, copy: Copied) -> Result<Bytes, ReadError> {
        self.whole(|out, number| http::write_copied(out, number, copy.number())).await
    }

    async fn claim(&self, key: &str, order: &claim::Order) -> Result<claim::Verdict, StoreError> {
        match self.exchange.ask(Task::Claim, |out, number| http::write_claim(out, number, key, order)).await {
            Brought::Claimed(claimed) => claimed,
            _ => Err(StoreError(MIXED.to_owned())),
        }
    }

    async fn lookup(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        self.value(|out, number| http::write_lookup(out, number, key)).await
    }

    async fn collect(&self, ledger: Ledger, added: &[u8]) -> Result<Bytes, StoreError> {
        let kept = self.value(|out, number| http::write_collect(out, number, ledger, added)).await?;
        Ok(kept.unwrap_or_default())
    }

    async fn publish(&self, outlet: &Outlet, batch: &[u8]) -> Result<(), StoreError> {
        self.value(|out, number| http::write_publish(out, number, outlet, batch)).await.map(drop)
    }

    fn print(&self, line: &str) {
        crate::print(line);
    }

    async fn board(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        self.value(|out, number| http::write_board(out, number, key)).await
    }

    fn stay(&self) {
        self.exchange.stay();
    }

    fn decodes(&self, coding: &str) -> bool {
        // workerd gives the plain bytes of a response to whoever reads it, and packs again what is answered under its fields.
        ["gzip", "br"].iter().any(|known| coding.eq_ignore_ascii_case(known))
    }

    async fn post(&self, _: &str, _: &str) -> Result<(), StoreError> {
        Err(StoreError("on Workers an object checks, and keeps what it finds itself".to_owned()))
    }

    fn sends_trailers(&self) -> bool {
        // The runtime has no such fields in either direction.
        false
    }

    fn tells_unreachable(&self) -> bool {
        // `fetch` fails in the same way for both.
        false
    }

    fn checks_by_itself(&self) -> bool {
        true
    }

    #[cfg(feature = "rollout")]
    async fn roll_out(&self, order: &Order) -> Result<Verdict, StoreError> {
        let said = self.value(|out, number| versions::write_order(out, number, order)).await?;
        versions::read_verdict(said.as_deref())
    }

    #[cfg(feature = "rollout")]
    async fn artefact(&self, version: &str) -> Result<Option<Bytes>, StoreError> {
        self.value(|out, number| versions::write_artefact(out, number, version)).await
    }

    #[cfg(feature = "rollout")]
    async fn keep_artefact(&self, version: &str, artefact: Bytes) -> Result<(), StoreError> {
        let write = |out: &mut Commands, number| versions::write_keep(out, number, version);
        match self.exchange.ask(Task::Keep(artefact), write).await {
            Brought::Value(kept) => kept.map(drop),
            _ => Err(StoreError(MIXED.to_owned())),
        }
    }

    #[cfg(feature = "rollout")]
    async fn setting(&self, reference: &Reference) -> Result<Option<String>, StoreError> {
        Ok(crate::config::value(reference))
    }

    async fn sleep(&self, duration: Duration) {
        // Whatever is brought, the wait is over.
        let _ = self.exchange.ask(Task::Sleep, |out, number| http::write_sleep(out, number, duration)).await;
    }

    async fn write(&self, _: &Outflow, bytes: Bytes) -> Result<(), Left> {
        match self.exchange.ask(Task::Write(bytes), http::write_piece).await {
            Brought::Written(written) => written,
            _ => Err(Left),
        }
    }

    fn finish(&self, _: &Outflow, whole: bool) {
        http::write_finish(&mut self.exchange.commands.borrow_mut(), whole);
    }

    fn discard(&self, body: Stream) {
        match body {
            Stream::Response(call) => http::write_end(&mut self.exchange.commands.borrow_mut(), call),
            #[cfg(feature = "cache")]
            Stream::Stored(call) => http::write_end(&mut self.exchange.commands.borrow_mut(), call),
            // Its client sends it whether anybody reads it or not.
            Stream::Request => {}
        }
    }

    async fn admit(&self, limiter: &str, key: &str) -> Result<Option<bool>, StoreError> {
        match self.exchange.ask(Task::Admit, |out, number| http::write_admit(out, number, limiter, key)).await {
            Brought::Admitted(admitted) => admitted,
            _ => Err(StoreError(MIXED.to_owned())),
        }
    }

    async fn take(&self, key: &str, order: &quota::Order) -> Result<Decision, StoreError> {
        match self.exchange.ask(Task::Take, |out, number| http::write_take(out, number, key, order)).await {
            Brought::Taken(taken) => taken,
            _ => Err(StoreError(MIXED.to_owned())),
        }
    }

    #[cfg(feature = "cache")]
    async fn recall(&self, key: &str, reach: Reach) -> Result<Option<(Bytes, Body<Stream>)>, StoreError> {
        match self.shelf(Ask::Recall, |out, number| shelf::write_recall(out, number, key, reach)).await? {
            Found::Recalled(found) => found,
            Found::Done(_) | Found::Marks(_) => Err(StoreError(MIXED.to_owned())),
        }
    }

    /// Behind the cache of the data centre is one in KV, where it is asked for.
    #[cfg(feature = "cache")]
    fn recalls_from_store(&self, reach: Reach) -> bool {
        reach == Reach::Global
    }

    #[cfg(feature = "cache")]
    async fn keep(&self, item: &Item<'_>, body: Body<Stream>, shared: bool) -> (Body<Stream>, Option<u32>) {
        match body {
            Body::Stream(stream) => {
                let ticket =
                    self.exchange.tell(|out, number| shelf::write_keep(out, number, item, Some(stream), shared));
                (if shared { Body::Stream(stream) } else { Body::Empty }, Some(ticket))
            }
            Body::Pumped(..) | Body::Made(_) => (body, None),
            Body::Bytes(bytes) if bytes.len() as u64 > item.most => (Body::Bytes(bytes), None),
            // What is in memory crosses with the question, so this waits for the answer.
            Body::Bytes(_) | Body::Empty => {
                let bytes = match &body {
                    Body::Bytes(bytes) => bytes.clone(),
                    Body::Empty | Body::Stream(_) | Body::Pumped(..) | Body::Made(_) => Bytes::new(),
                };
                let write = |out: &mut Commands, number| shelf::write_keep(out, number, item, None, shared);
                let outcome = self.shelf(Ask::Keep(bytes), write).await;
                let kept = matches!(outcome, Ok(Found::Done(Ok(()))));
                (body, kept.then_some(shelf::DONE))
            }
        }
    }

    #[cfg(feature = "cache")]
    async fn kept(&self, ticket: u32) -> Result<(), StoreError> {
        if ticket == shelf::DONE {
            return Ok(());
        }
        match self.shelf(Ask::Done, |out, number| shelf::write_kept(out, number, ticket)).await? {
            Found::Done(done) => done,
            Found::Recalled(_) | Found::Marks(_) => Err(StoreError(MIXED.to_owned())),
        }
    }

    #[cfg(feature = "cache")]
    async fn forget(&self, key: &str, reach: Reach) -> Result<(), StoreError> {
        match self.shelf(Ask::Done, |out, number| shelf::write_forget(out, number, key, reach)).await? {
            Found::Done(done) => done,
            Found::Recalled(_) | Found::Marks(_) => Err(StoreError(MIXED.to_owned())),
        }
    }

    #[cfg(feature = "cache")]
    async fn purges(&self, key: &str, change: &Change) -> Result<Marks, StoreError> {
        match self.shelf(Ask::Marks, |out, number| http::write_order(out, number, key, change)).await? {
            Found::Marks(marks) => marks,
            Found::Recalled(_) | Found::Done(_) => Err(StoreError(MIXED.to_owned())),
        }
    }
}

impl Workers {
    /// Asks for something that gives a value, or none.
    async fn value(&self, write: impl FnOnce(&mut Commands, u32)) -> Result<Option<Bytes>, StoreError> {
        match self.exchange.ask(Task::Lookup, write).await {
            Brought::Value(value) => value,
            _ => Err(StoreError(MIXED.to_owned())),
        }
    }
}

const MIXED: &str = "the glue brought something else than what it was asked for";

/// Waits for the outcome of a call; whoever drops it earlier ends the call.
struct Pending<'a> {
    exchange: &'a Exchange,
    number: u32,
}

impl Future for Pending<'_> {
    type Output = Brought;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Brought> {
        let mut calls = self.exchange.calls.borrow_mut();
        let state = &mut calls[self.number as usize];
        match std::mem::replace(state, State::Over) {
            State::Done(brought) => Poll::Ready(brought),
            waiting @ State::Waiting(_) => {
                *state = waiting;
                Poll::Pending
            }
            State::Over => Poll::Pending,
        }
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        let state = std::mem::replace(&mut self.exchange.calls.borrow_mut()[self.number as usize], State::Over);
        match state {
            State::Waiting(_) | State::Done(Brought::Response(Ok(_))) => {
                http::write_end(&mut self.exchange.commands.borrow_mut(), self.number);
            }
            #[cfg(feature = "cache")]
            State::Done(Brought::Shelf(Found::Recalled(Ok(Some(_))))) => {
                http::write_end(&mut self.exchange.commands.borrow_mut(), self.number);
            }
            State::Done(_) | State::Over => {}
        }
    }
}
