//! What an instance has lately found in the store more than once: small answers, for a moment, in memory.
//!
//! On Workers the store is a request of its own, which costs as much as asking an origin. Who is asked for the same thing again within
//! the moment answers from here. It makes nothing fresher: what stands here is what the store gave, and is judged anew by its age, by
//! the request and by what has been taken back. Only what another instance has put in its place meanwhile is seen when the moment is over.

use crate::platform::Timestamp;
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;

/// The answers that are at hand: 4,096 keys and 4 MiB at most.
#[derive(Debug, Default)]
pub struct Near {
    places: RefCell<HashMap<String, Place>>,
    bytes: Cell<usize>,
}

#[derive(Debug)]
struct Place {
    /// When the store was asked.
    since: Timestamp,
    /// What it gave, where that is kept here.
    held: Option<(Bytes, Bytes)>,
}

/// What is known of a key without asking the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lately {
    /// This was found a moment ago: what was written of the body, and the body.
    Found(Bytes, Bytes),
    /// It was asked for a moment ago: what comes is worth keeping.
    AskedFor,
    /// Nothing.
    Unknown,
}

/// The longest body that is kept, in bytes. Longer ones had better pass without entering memory.
pub const LONGEST: usize = 32 << 10;

/// How many bytes are kept at most, keys, records and bodies.
const ROOM: usize = 4 << 20;

/// How many keys are known at most.
const MOST: usize = 4_096;

impl Near {
    /// What is known of this key. `moment`: for how many milliseconds something is kept; 0: nothing is.
    pub fn look(&self, key: &str, moment: u64, now: Timestamp) -> Lately {
        if moment == 0 {
            return Lately::Unknown;
        }
        let mut places = self.places.borrow_mut();
        match places.get(key) {
            // A clock that was set back makes nothing last.
            Some(place) if now.checked_sub(place.since).is_some_and(|age| age < moment) => match &place.held {
                Some((record, body)) => Lately::Found(record.clone(), body.clone()),
                None => Lately::AskedFor,
            },
            Some(_) | None => {
                self.put(&mut places, key, Place { since: now, held: None }, moment);
                Lately::Unknown
            }
        }
    }

    /// Keeps what the store has given for a key.
    pub fn hold(&self, key: &str, record: Bytes, body: Bytes, moment: u64, now: Timestamp) {
        if moment > 0 && body.len() <= LONGEST {
            self.put(&mut self.places.borrow_mut(), key, Place { since: now, held: Some((record, body)) }, moment);
        }
    }

    /// Forgets a key, under which something else is stored from now on, or nothing.
    pub fn forget(&self, key: &str) {
        if let Some(place) = self.places.borrow_mut().remove(key) {
            self.bytes.set(self.bytes.get().saturating_sub(place.size(key)));
        }
    }

    fn put(&self, places: &mut HashMap<String, Place>, key: &str, place: Place, moment: u64) {
        let (size, now) = (place.size(key), place.since);
        if places.len() >= MOST || self.bytes.get() + size > ROOM {
            places.retain(|_, place| now.checked_sub(place.since).is_some_and(|age| age < moment));
            // What is asked for again comes again.
            if places.len() >= MOST || sum(places) + size > ROOM {
                places.clear();
            }
            self.bytes.set(sum(places));
        }
        let before = places.insert(key.to_owned(), place).map_or(0, |place| place.size(key));
        self.bytes.set((self.bytes.get() + size).saturating_sub(before));
    }
}

impl Place {
    fn size(&self, key: &str) -> usize {
        key.len() + self.held.as_ref().map_or(0, |(record, body)| record.len() + body.len())
    }
}

fn sum(places: &HashMap<String, Place>) -> usize {
    places.iter().map(|(key, place)| place.size(key)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(length: usize) -> Bytes {
        vec![b'x'; length].into()
    }

    #[test]
    fn what_is_asked_for_twice_is_at_hand_for_a_moment() {
        let near = Near::default();
        assert_eq!(near.look("a", 1_000, 5_000), Lately::Unknown);
        assert_eq!(near.look("a", 1_000, 5_999), Lately::AskedFor);
        near.hold("a", bytes(1), bytes(2), 1_000, 5_999);
        assert_eq!(near.look("a", 1_000, 6_998), Lately::Found(bytes(1), bytes(2)));
        assert_eq!(near.look("a", 1_000, 6_999), Lately::Unknown);
        near.hold("a", bytes(1), bytes(2), 1_000, 7_000);
        assert_eq!(near.look("a", 1_000, 6_999), Lately::Unknown, "the clock was set back");
        near.hold("a", bytes(1), bytes(2), 1_000, 7_000);
        near.forget("a");
        assert_eq!(near.look("a", 1_000, 7_000), Lately::Unknown);
        assert_eq!(near.look("a", 0, 7_001), Lately::Unknown, "nothing is kept for no time");
    }

    #[test]
    fn it_takes_a_bounded_room() {
        let near = Near::default();
        for number in 0..20_000 {
            let key = format!("k{number}");
            near.look(&key, 1_000, number);
            near.hold(&key, bytes(100), bytes(LONGEST - 300), 1_000, number);
            near.hold(&key, bytes(100), bytes(LONGEST + 1), 1_000, number);
            let places = near.places.borrow();
            assert!(places.len() <= MOST && near.bytes.get() <= ROOM);
            assert_eq!(near.bytes.get(), sum(&places));
        }
        // Keys alone, too.
        (0..20_000).for_each(|number| drop(near.look(&format!("q{number}"), 1_000, 20_000)));
        assert!(near.places.borrow().len() <= MOST);
    }
}
