//! What an instance has lately found in the store more than once: small answers, for a moment, in memory.
//!
//! On Workers the store is a request of its own, which costs as much as asking an origin. Who is asked for the same thing again within
//! the moment answers from here. It makes nothing fresher: what stands here is what the store gave, and is judged anew by its age, by
//! the request and by what has been taken back. Only what another instance has put in its place meanwhile is seen when the moment is over.

use crate::platform::Timestamp;
use bytes::Bytes;
use std::cell::RefCell;
use std::collections::HashMap;

/// The answers that are at hand: 4,096 keys and 4 MiB at most.
#[derive(Debug, Default)]
pub struct Near(RefCell<Places>);

#[derive(Debug, Default)]
struct Places {
    known: HashMap<String, Place>,
    /// Of all of them.
    bytes: usize,
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
        let places = &mut *self.0.borrow_mut();
        match places.known.get(key).filter(|place| place.is_of_late(moment, now)) {
            Some(Place { held: Some((record, body)), .. }) => Lately::Found(record.clone(), body.clone()),
            Some(Place { held: None, .. }) => Lately::AskedFor,
            None => {
                places.put(key, Place { since: now, held: None }, moment);
                Lately::Unknown
            }
        }
    }

    /// Keeps what the store has given for a key.
    pub fn hold(&self, key: &str, record: Bytes, body: Bytes, moment: u64, now: Timestamp) {
        if moment > 0 && body.len() <= LONGEST {
            self.0.borrow_mut().put(key, Place { since: now, held: Some((record, body)) }, moment);
        }
    }

    /// Forgets a key, under which something else is stored from now on, or nothing.
    pub fn forget(&self, key: &str) {
        self.0.borrow_mut().remove(key);
    }
}

impl Places {
    fn put(&mut self, key: &str, place: Place, moment: u64) {
        self.remove(key);
        let (size, now) = (place.size(key), place.since);
        if !self.has_room(size) {
            self.known.retain(|_, place| place.is_of_late(moment, now));
            self.bytes = self.known.iter().map(|(key, place)| place.size(key)).sum();
        }
        if !self.has_room(size) {
            // What is asked for again comes again.
            *self = Self::default();
        }
        self.bytes += size;
        self.known.insert(key.to_owned(), place);
    }

    fn remove(&mut self, key: &str) {
        if let Some(place) = self.known.remove(key) {
            self.bytes -= place.size(key);
        }
    }

    fn has_room(&self, size: usize) -> bool {
        self.known.len() < MOST && self.bytes + size <= ROOM
    }
}

impl Place {
    /// Whether the moment is not over. A clock that was set back makes nothing last.
    fn is_of_late(&self, moment: u64, now: Timestamp) -> bool {
        now.checked_sub(self.since).is_some_and(|age| age < moment)
    }

    fn size(&self, key: &str) -> usize {
        key.len() + self.held.as_ref().map_or(0, |(record, body)| record.len() + body.len())
    }
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
            let places = near.0.borrow();
            assert!(places.known.len() <= MOST && places.bytes <= ROOM);
            assert_eq!(places.bytes, places.known.iter().map(|(key, place)| place.size(key)).sum::<usize>());
        }
        // Keys alone, too.
        (0..20_000).for_each(|number| drop(near.look(&format!("q{number}"), 1_000, 20_000)));
        assert!(near.0.borrow().known.len() <= MOST);
    }
}
