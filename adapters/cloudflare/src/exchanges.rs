//! The requests that wait for the glue.
//!
//! A client that goes away ends its request's JavaScript: no `finally` runs, and no outcome ever comes. The glue finds out
//! about such requests (`glue/core.js`) and has them forgotten here.

use crate::platform::{Exchange, Stream};
use gateway_core::instance::Served;
use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// A request between two polls.
pub struct Running {
    /// What it asks and hears.
    pub exchange: Rc<Exchange>,
    /// `Instance::handle`, or `Instance::settle`, which has no reply.
    pub future: Pin<Box<dyn Future<Output = Option<Served<Stream>>>>>,
}

impl Running {
    /// Polls the gateway once.
    pub fn poll(&mut self) -> Option<Option<Served<Stream>>> {
        match self.future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(reply) => Some(reply),
            Poll::Pending => None,
        }
    }
}

/// Puts a request where the glue finds it again, under a number that is never 0.
pub fn keep(running: Running) -> u32 {
    TABLE.with_borrow_mut(|table| table.keep(running))
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

/// How many requests wait.
pub fn count() -> usize {
    TABLE.with_borrow(|table| table.places.len() - table.free.len())
}

thread_local! {
    static TABLE: RefCell<Table> = const { RefCell::new(Table { places: Vec::new(), free: Vec::new() }) };
}

#[derive(Default)]
struct Table {
    places: Vec<Place>,
    free: Vec<u32>,
}

#[derive(Default)]
struct Place {
    /// Counts who has been here, so that an old number does not find a new request.
    guests: u32,
    running: Option<Running>,
}

impl Table {
    fn keep(&mut self, running: Running) -> u32 {
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
}

const INDEX_BITS: u32 = 20;
const INDEX: u32 = (1 << INDEX_BITS) - 1;

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    #[wasm_bindgen_test(unsupported = test)]
    fn an_old_number_finds_nobody() {
        let running = || Running { exchange: Rc::default(), future: Box::pin(std::future::pending()) };
        let mut table = Table::default();
        let first = table.keep(running());
        assert!(table.take(first).is_some());
        assert!(table.take(first).is_none());
        let second = table.keep(running());
        assert_ne!(first, second);
        assert!(table.take(first).is_none());
        assert!(table.take(second).is_some());
        assert!(table.take(0).is_none());
        assert_eq!(table.places.len(), 1, "the place is used again");
    }
}
