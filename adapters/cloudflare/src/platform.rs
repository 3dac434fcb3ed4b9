//! The port on Workers: a call is written down for the glue, which performs it while the request waits.
//!
//! Nothing here makes a promise. The adapter polls the gateway's future itself (`lib.rs`); a call that has no outcome yet
//! leaves a command behind and returns pending, and the glue comes back with what happened.

use crate::http;
use bytes::Bytes;
use gateway_core::http::{Body, Response};
use gateway_core::platform::{Call, Failure, Platform, Timestamp};
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
}

/// One request's side of the boundary: what it asks of the glue, and what the glue has answered.
#[derive(Debug, Default)]
pub struct Exchange {
    now: Cell<Timestamp>,
    patience: Cell<Duration>,
    calls: RefCell<Vec<State>>,
    commands: RefCell<String>,
}

/// What became of a call.
pub type Outcome = Result<Response<Stream>, Failure>;

#[derive(Debug)]
enum State {
    /// For the glue; with the body, if the call has one in memory.
    Waiting(Bytes),
    Done(Outcome),
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

    /// Notes what a call brought. An outcome that nobody waits for any more is let go.
    pub fn settle(&self, call: u32, outcome: Outcome) {
        if let Some(state @ State::Waiting(_)) = self.calls.borrow_mut().get_mut(call as usize) {
            *state = State::Done(outcome);
        }
    }

    /// The body in memory of a call that was not answered yet.
    pub fn body(&self, call: u32) -> Bytes {
        match self.calls.borrow().get(call as usize) {
            Some(State::Waiting(body)) => body.clone(),
            Some(State::Done(_) | State::Over) | None => Bytes::new(),
        }
    }

    /// Whether the glue still owes an answer.
    pub fn waits(&self) -> bool {
        self.calls.borrow().iter().any(|state| matches!(state, State::Waiting(_)))
    }

    /// When this request must have heard from the glue, if it is still there.
    pub fn deadline(&self) -> Timestamp {
        let patience = u64::try_from(self.patience.get().as_millis()).unwrap_or(u64::MAX);
        self.now.get().saturating_add(patience)
    }

    /// Takes the commands recorded since the last time.
    pub fn commands(&self) -> String {
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
        let mut calls = self.exchange.calls.borrow_mut();
        let number = u32::try_from(calls.len()).unwrap_or(u32::MAX);
        calls.push(State::Waiting(match &call.body {
            Body::Bytes(bytes) => bytes.clone(),
            Body::Empty | Body::Stream(_) => Bytes::new(),
        }));
        drop(calls);
        self.exchange.patience.set(self.exchange.patience.get().max(call.timeout));
        http::write_call(&mut self.exchange.commands.borrow_mut(), number, &call);
        Pending { exchange: &self.exchange, number }.await
    }
}

/// Waits for the outcome of a call; whoever drops it earlier ends the call.
struct Pending<'a> {
    exchange: &'a Exchange,
    number: u32,
}

impl Future for Pending<'_> {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Outcome> {
        let mut calls = self.exchange.calls.borrow_mut();
        let state = &mut calls[self.number as usize];
        match std::mem::replace(state, State::Over) {
            State::Done(outcome) => Poll::Ready(outcome),
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
            State::Waiting(_) | State::Done(Ok(_)) => {
                http::write_abort(&mut self.exchange.commands.borrow_mut(), self.number);
            }
            State::Done(Err(_)) | State::Over => {}
        }
    }
}
