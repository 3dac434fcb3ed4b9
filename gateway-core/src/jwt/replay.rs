//! What has been used and may not be used again, for as long as it would still be taken.
//!
//! The memory is an instance's own and bounded: whoever fills it pushes out the oldest. So it makes replays hard, not
//! impossible; short windows do the rest.

use super::remembered::Fingerprint;
use crate::platform::Timestamp;
use std::collections::{HashMap, VecDeque};
use std::fmt;

/// What has been used.
#[derive(Default)]
pub struct Used {
    until: HashMap<Fingerprint, Timestamp>,
    order: VecDeque<Fingerprint>,
}

/// How many are remembered at most.
pub const MOST: usize = 8192;

impl Used {
    /// Whether this is used for the first time; from now on it is used.
    pub fn is_first(&mut self, identifier: &str, until: Timestamp, now: Timestamp) -> bool {
        // They are used in about the order in which they end, so what has ended stands in front.
        while let Some(oldest) = self.order.front() {
            let ended = self.until.get(oldest).is_none_or(|until| *until <= now);
            if !ended && self.order.len() < MOST {
                break;
            }
            self.until.remove(oldest);
            self.order.pop_front();
        }
        let key = Fingerprint::new(identifier);
        if self.until.get(&key).is_some_and(|until| now < *until) {
            return false;
        }
        if self.until.insert(key, until).is_none() {
            self.order.push_back(key);
        }
        true
    }
}

impl fmt::Debug for Used {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Used({})", self.order.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_used_twice_while_it_counts() {
        let mut used = Used::default();
        assert!(used.is_first("a", 100, 0));
        assert!(!used.is_first("a", 100, 99));
        assert!(used.is_first("b", 200, 99));
        assert!(used.is_first("a", 300, 100), "it would be refused for its age");
        assert!(!used.is_first("b", 200, 199) && !used.is_first("a", 300, 299));
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut used = Used::default();
        for n in 0..MOST * 3 {
            assert!(used.is_first(&n.to_string(), 1_000, 0));
        }
        assert!(used.order.len() <= MOST && used.until.len() == used.order.len());
        assert!(!used.is_first(&(MOST * 3 - 1).to_string(), 1_000, 0));
    }
}
