//! Counts what is under way, and forgets what nobody will ever report the end of.
//!
//! A client that goes away may end the request's code without running any of it, so an end cannot be relied on. Each
//! lease therefore belongs to a period of time, and is over at the latest when the period after it is.

use crate::platform::Timestamp;

/// What is under way, by the period in which it began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Leases {
    period: u64,
    current: u32,
    previous: u32,
}

/// A lease: the period in which it was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease(u64);

impl Leases {
    /// Takes one. `longest` is how long one may last, in milliseconds; always the same for the same leases.
    pub fn take(&mut self, now: Timestamp, longest: u64) -> Lease {
        let period = now / longest.max(1);
        self.roll(period);
        self.current = self.current.saturating_add(1);
        Lease(self.period)
    }

    /// Ends one, unless its time was over before.
    pub fn end(&mut self, lease: Lease) {
        if lease.0 == self.period {
            self.current = self.current.saturating_sub(1);
        } else if lease.0.checked_add(1) == Some(self.period) {
            self.previous = self.previous.saturating_sub(1);
        }
    }

    /// How many there are.
    pub fn count(&self, now: Timestamp, longest: u64) -> u32 {
        let mut then = *self;
        then.roll(now / longest.max(1));
        then.current.saturating_add(then.previous)
    }

    /// Time that goes backwards stays in the period in which it was.
    fn roll(&mut self, period: u64) {
        if period > self.period {
            self.previous = if period == self.period + 1 { self.current } else { 0 };
            self.current = 0;
            self.period = period;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn leases_that_nobody_ends_are_over_by_themselves() {
        let mut leases = Leases::default();
        for _ in 0..300 {
            leases.take(1_000, 60_000);
        }
        assert_eq!(leases.count(1_000, 60_000), 300);
        assert_eq!(leases.count(60_001, 60_000), 300, "they may still be under way");
        assert_eq!(leases.count(121_000, 60_000), 0);
    }

    proptest! {
        #[test]
        fn what_was_ended_in_time_does_not_count(steps in prop::collection::vec((0_u64..40, any::<bool>()), 0..200)) {
            let (mut leases, mut open, mut now) = (Leases::default(), Vec::new(), 5);
            for (wait, take) in steps {
                now += wait;
                // As the platform sees to: none lasts longer than it may.
                open.retain(|(began, lease)| { if now - began >= 100 { leases.end(*lease); } now - began < 100 });
                if take {
                    open.push((now, leases.take(now, 100)));
                } else if let Some((_, lease)) = open.pop() {
                    leases.end(lease);
                }
                prop_assert_eq!(leases.count(now, 100) as usize, open.len());
            }
        }
    }
}
