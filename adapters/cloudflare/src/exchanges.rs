//! The requests that wait for the glue, and the end of those it never comes back for.
//!
//! A client that goes away ends its request's JavaScript: no `finally` runs, and no outcome ever comes. The glue hears of
//! most of them and says so at once. For those that it does not hear of there is the clock: every call has a time limit
//! that the glue keeps, so a request well past the longest of its calls is over. They are looked for when the table
//! would grow, so that its size follows the requests that are really there.

use crate::platform::{Exchange, Stream};
use gateway_core::Reply;
use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// A request between two polls.
pub struct Running {
    /// What it asks and hears.
    pub exchange: Rc<Exchange>,
    /// `Gateway::handle`.
    pub future: Pin<Box<dyn Future<Output = Reply<Stream>>>>,
}

impl Running {
    /// Polls the gateway once.
    pub fn poll(&mut self) -> Option<Reply<Stream>> {
        match self.future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(reply) => Some(reply),
            Poll::Pending => None,
        }
    }
}

/// Takes a request out to go on with it. A number whose request is over is nobody's.
pub fn take(number: u32) -> Option<Running> {
    TABLE.with_borrow_mut(|table| table.take(number))
}

/// Looks at a request that waits.
pub fn look<T>(number: u32, see: impl FnOnce(&Exchange) -> T) -> Option<T> {
    TABLE.with_borrow(|table| {
        let place = table.places.get((number & INDEX) as usize)?;
        let running = place.running.as_ref().filter(|_| place.guests == number >> INDEX_BITS)?;
        Some(see(&running.exchange))
    })
}

/// Puts a request where the glue finds it again, under a number that is never 0.
pub fn keep(running: Running) -> u32 {
    TABLE.with_borrow_mut(|table| table.keep(running))
}

/// How many requests wait.
pub fn count() -> usize {
    TABLE.with_borrow(|table| table.places.len() - table.free.len())
}

thread_local! {
    static TABLE: RefCell<Table> = const { RefCell::new(Table { places: Vec::new(), free: Vec::new(), full: FIRST_SWEEP }) };
}

struct Table {
    places: Vec<Place>,
    free: Vec<u32>,
    /// How many places there may be before the vanished are looked for.
    full: usize,
}

#[derive(Default)]
struct Place {
    /// Counts who has been here, so that an old number does not find a new request.
    guests: u32,
    running: Option<Running>,
}

impl Table {
    fn take(&mut self, number: u32) -> Option<Running> {
        let index = number & INDEX;
        let place = self.places.get_mut(index as usize)?;
        if place.guests != number >> INDEX_BITS {
            return None;
        }
        let running = place.running.take()?;
        self.free.push(index);
        Some(running)
    }

    fn keep(&mut self, running: Running) -> u32 {
        if self.free.is_empty() && self.places.len() >= self.full {
            self.sweep(running.exchange.now());
        }
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place::default());
            self.places.len() as u32 - 1
        });
        let place = &mut self.places[index as usize];
        // Wraps after 4,095 guests, never to 0, so that no number is 0.
        place.guests = place.guests % (u32::MAX >> INDEX_BITS) + 1;
        place.running = Some(running);
        place.guests << INDEX_BITS | index
    }

    fn sweep(&mut self, now: u64) {
        for (index, place) in self.places.iter_mut().enumerate() {
            if place.running.as_ref().is_some_and(|running| running.exchange.deadline() + GRACE < now) {
                place.running = None;
                self.free.push(index as u32);
            }
        }
        self.full = FIRST_SWEEP.max((self.places.len() - self.free.len()) * 2);
    }
}

const INDEX_BITS: u32 = 20;
const INDEX: u32 = (1 << INDEX_BITS) - 1;
const FIRST_SWEEP: usize = 64;
/// How late, in milliseconds, the glue may be with the news that a call's time is up.
const GRACE: u64 = 60_000;

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    fn running(now: u64) -> Running {
        let exchange = Rc::new(Exchange::default());
        exchange.enter(now);
        Running { exchange, future: Box::pin(std::future::pending()) }
    }

    fn table() -> Table {
        Table { places: Vec::new(), free: Vec::new(), full: FIRST_SWEEP }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn an_old_number_finds_nobody() {
        let mut table = table();
        let first = table.keep(running(0));
        assert!(table.take(first).is_some());
        assert!(table.take(first).is_none());
        let second = table.keep(running(0));
        assert_ne!(first, second);
        assert!(table.take(first).is_none());
        assert!(table.take(second).is_some());
        assert!(table.take(0).is_none());
        assert_eq!(table.places.len(), 1);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn who_is_late_beyond_hope_makes_room() {
        let mut table = table();
        let late: Vec<u32> = (0..FIRST_SWEEP).map(|_| table.keep(running(0))).collect();
        let there = table.keep(running(GRACE));
        assert_eq!(table.places.len(), FIRST_SWEEP + 1, "nobody is late yet");
        for _ in 0..FIRST_SWEEP * 100 {
            table.keep(running(GRACE + 1));
            if table.places.len() > FIRST_SWEEP * 2 + 1 {
                break;
            }
        }
        assert!(late.iter().all(|number| table.take(*number).is_none()));
        assert!(table.take(there).is_some());
    }
}
