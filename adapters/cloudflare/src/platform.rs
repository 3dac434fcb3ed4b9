//! The port on Workers: a call is written down for the glue, which performs it while the request waits.
//!
//! Nothing here makes a promise. The adapter polls the gateway's future itself (`lib.rs`); a call that has no outcome yet
//! leaves a command behind and returns pending, and the glue comes back with what happened.

use crate::http::{self, Commands};
use bytes::Bytes;
use gateway_core::http::{Body, Response};
use gateway_core::platform::{Call, Failure, Interest, Platform, Timestamp};
use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

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
    calls: RefCell<Vec<State>>,
    commands: RefCell<Commands>,
}

/// What became of a call.
pub type Outcome = Result<Response<Stream>, Failure>;

#[derive(Debug)]
enum State {
    /// For the glue.
    Waiting {
        /// What of the response's head it may leave out.
        interest: Interest,
        /// What it is to send, if that is in memory.
        body: Bytes,
    },
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

    /// Notes what a call brought, as the glue packs it. What nobody waits for any more is let go.
    pub fn settle(&self, call: u32, status: u32, packed: &[u8]) {
        if let Some(state) = self.calls.borrow_mut().get_mut(call as usize)
            && let State::Waiting { interest, .. } = *state
        {
            *state = State::Done(http::read_outcome(call, status, packed, interest));
        }
    }

    /// The body in memory of a call that was not answered yet.
    pub fn body(&self, call: u32) -> Bytes {
        match self.calls.borrow().get(call as usize) {
            Some(State::Waiting { body, .. }) => body.clone(),
            Some(State::Done(_) | State::Over) | None => Bytes::new(),
        }
    }

    /// Whether the glue still owes an answer.
    pub fn waits(&self) -> bool {
        self.calls.borrow().iter().any(|state| matches!(state, State::Waiting { .. }))
    }

    /// Writes a call down for the glue.
    fn send(&self, call: Call<Stream>) -> Pending<'_> {
        let mut calls = self.calls.borrow_mut();
        let number = calls.len() as u32;
        http::write_call(&mut self.commands.borrow_mut(), number, &call);
        calls.push(State::Waiting {
            interest: call.interest,
            body: match call.body {
                Body::Bytes(bytes) => bytes,
                Body::Empty | Body::Stream(_) => Bytes::new(),
            },
        });
        Pending { exchange: self, number }
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
        self.exchange.send(call).await
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
            waiting @ State::Waiting { .. } => {
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
            State::Waiting { .. } | State::Done(Ok(_)) => {
                http::write_end(&mut self.exchange.commands.borrow_mut(), self.number);
            }
            State::Done(Err(_)) | State::Over => {}
        }
    }
}
