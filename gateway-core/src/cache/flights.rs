//! One request fetches for many: who asks for what is being fetched already waits for that.
//!
//! Only values are shared, never a future: a platform's promises belong to the request that made them. Who waits looks again
//! every few milliseconds, for a bounded time. Nothing relies on the one that fetches coming back: it may go away with its
//! client, and then its time runs out.

use crate::held::Halves;
use crate::platform::Timestamp;
use std::cell::RefCell;
use std::collections::HashMap;

/// Who is fetching what in this instance, and what is not worth waiting for.
#[derive(Debug, Default)]
pub struct Flights {
    underway: RefCell<HashMap<String, Flight>>,
    /// Until when the answers for a key are known not to be stored, so that nobody waits for them.
    uncacheable: RefCell<Halves<Timestamp>>,
    /// When the origin was last found failing.
    failed: RefCell<Halves<Timestamp>>,
}

#[derive(Debug, Clone, Copy)]
struct Flight {
    /// Whose it is.
    number: u64,
    /// From when on nobody counts on it any more.
    until: Timestamp,
}

/// What becomes of a request for something that is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seat {
    /// It fetches for all, under this number.
    Leads(u64),
    /// Another fetches it.
    Waits,
    /// It goes by itself, since what comes is for itself only.
    Alone,
}

/// For how long it is remembered that answers for a key are not stored, in milliseconds.
const UNCACHEABLE: u64 = 10_000;

/// How many requests fetch for others at once, at most.
const MOST: usize = 10_000;

impl Flights {
    /// Takes a seat. `number`: any that nobody else has; `patience`: for how many milliseconds others count on it.
    pub fn join(&self, key: &str, number: u64, patience: u64, now: Timestamp) -> Seat {
        if patience == 0 || self.is_uncacheable(key, now) {
            return Seat::Alone;
        }
        let mut underway = self.underway.borrow_mut();
        if underway.get(key).is_some_and(|flight| now < flight.until) {
            return Seat::Waits;
        }
        if underway.len() >= MOST {
            underway.retain(|_, flight| now < flight.until);
            if underway.len() >= MOST {
                return Seat::Alone;
            }
        }
        underway.insert(key.to_owned(), Flight { number, until: now.saturating_add(patience) });
        Seat::Leads(number)
    }

    /// Whether somebody fetches this.
    pub fn is_underway(&self, key: &str, now: Timestamp) -> bool {
        self.underway.borrow().get(key).is_some_and(|flight| now < flight.until)
    }

    /// It has come, one way or another: who waits looks into the store.
    pub fn land(&self, key: &str, number: u64) {
        let mut underway = self.underway.borrow_mut();
        if underway.get(key).is_some_and(|flight| flight.number == number) {
            underway.remove(key);
        }
    }

    /// The origin has failed whoever fetches this.
    pub fn fail(&self, key: &str, now: Timestamp) {
        self.failed.borrow_mut().put(key, now);
    }

    /// Whether it has since then, so that those who have waited need not find out one by one.
    pub fn has_failed(&self, key: &str, since: Timestamp) -> bool {
        self.failed.borrow_mut().get(key).is_some_and(|failed| since <= failed)
    }

    /// Answers for this key are not stored.
    pub fn is_uncacheable(&self, key: &str, now: Timestamp) -> bool {
        self.uncacheable.borrow_mut().get(key).is_some_and(|until| now < until)
    }

    /// Remembers whether the last answer for this key was stored.
    pub fn learn(&self, key: &str, stored: bool, now: Timestamp) {
        let mut uncacheable = self.uncacheable.borrow_mut();
        if stored {
            uncacheable.remove(key);
        } else {
            uncacheable.put(key, now.saturating_add(UNCACHEABLE));
        }
    }
}

/// How many milliseconds to wait before looking again, by how often that was done.
pub fn pause(round: u32) -> u64 {
    (2 << round.min(5)).min(50)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_fetches_and_the_others_wait_until_it_has_landed() {
        let flights = Flights::default();
        assert_eq!(flights.join("k", 1, 1_000, 0), Seat::Leads(1));
        assert_eq!(flights.join("k", 2, 1_000, 0), Seat::Waits);
        assert_eq!(flights.join("other", 3, 1_000, 0), Seat::Leads(3));
        flights.land("k", 2);
        assert!(flights.is_underway("k", 0), "nobody lands another's");
        flights.land("k", 1);
        assert!(!flights.is_underway("k", 0));
    }

    #[test]
    fn who_does_not_come_back_is_replaced() {
        let flights = Flights::default();
        assert_eq!(flights.join("k", 1, 1_000, 0), Seat::Leads(1));
        assert_eq!(flights.join("k", 2, 1_000, 999), Seat::Waits);
        assert_eq!(flights.join("k", 3, 1_000, 1_000), Seat::Leads(3));
        flights.land("k", 1);
        assert!(flights.is_underway("k", 1_001), "the first comes too late to land the second");
    }

    #[test]
    fn nobody_waits_for_what_is_not_stored() {
        let flights = Flights::default();
        flights.learn("k", false, 0);
        assert_eq!(flights.join("k", 1, 1_000, 1), Seat::Alone);
        assert_eq!(flights.join("k", 1, 1_000, UNCACHEABLE), Seat::Leads(1));
        flights.learn("k", true, UNCACHEABLE);
        assert!(!flights.is_uncacheable("k", UNCACHEABLE));
        assert_eq!(flights.join("x", 1, 0, 0), Seat::Alone, "where nobody is to wait");
    }

    #[test]
    fn a_failure_is_one_for_all_who_wait() {
        let flights = Flights::default();
        assert!(!flights.has_failed("k", 0));
        flights.fail("k", 5);
        assert!(flights.has_failed("k", 5) && !flights.has_failed("k", 6) && !flights.has_failed("other", 0));
    }

    #[test]
    fn they_fill_no_memory() {
        let flights = Flights::default();
        for number in 0..(MOST as u64 + 10) {
            flights.join(&number.to_string(), number, 1_000, 0);
        }
        assert_eq!(flights.join("one more", 1, 1_000, 0), Seat::Alone);
        assert_eq!(flights.join("one more", 1, 1_000, 1_000), Seat::Leads(1));
    }
}
