//! What happened within the last so many milliseconds, counted in ten parts of that time.

use crate::platform::Timestamp;

/// Counts over a window of time that slides by a tenth of its length.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Window {
    parts: [Counts; PARTS],
    /// The number of the part that was written last.
    at: u64,
}

/// How much of what there was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Everything.
    pub all: u32,
    /// What failed.
    pub failed: u32,
    /// What took too long.
    pub slow: u32,
}

const PARTS: usize = 10;

impl Window {
    /// Adds to the part of now. `length` is the window's, in milliseconds.
    pub fn add(&mut self, more: Counts, now: Timestamp, length: u64) {
        self.slide(now, length);
        let part = &mut self.parts[(self.at % PARTS as u64) as usize];
        *part = part.plus(more);
    }

    /// Everything within the window.
    pub fn counts(&self, now: Timestamp, length: u64) -> Counts {
        let mut then = *self;
        then.slide(now, length);
        then.parts.into_iter().fold(Counts::default(), Counts::plus)
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self { at: self.at, ..Self::default() };
    }

    fn slide(&mut self, now: Timestamp, length: u64) {
        let at = now / (length / PARTS as u64).max(1);
        // Time that goes backwards is written where it was last.
        for part in (self.at + 1..=at).take(PARTS) {
            self.parts[(part % PARTS as u64) as usize] = Counts::default();
        }
        self.at = self.at.max(at);
    }
}

impl Counts {
    fn plus(self, other: Counts) -> Counts {
        Counts {
            all: self.all.saturating_add(other.all),
            failed: self.failed.saturating_add(other.failed),
            slow: self.slow.saturating_add(other.slow),
        }
    }
}

/// Whether `part` is at least so many percent of `all`.
pub fn reaches(part: u32, all: u32, percent: u32) -> bool {
    u64::from(part) * 100 >= u64::from(all) * u64::from(percent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_older_than_the_window_is_gone_and_nothing_younger_is(
            waits in prop::collection::vec(0_u64..400, 1..100),
        ) {
            let (mut window, mut times, mut now) = (Window::default(), Vec::new(), 1_000_000);
            for wait in waits {
                now += wait;
                times.push(now);
                window.add(Counts { all: 1, failed: 1, slow: 0 }, now, 1_000);
                let counts = window.counts(now, 1_000);
                let within = |length: u64| times.iter().filter(|time| now - **time < length).count();
                prop_assert!(counts.all as usize >= within(901), "{counts:?}");
                prop_assert!(counts.all as usize <= within(1_001), "{counts:?}");
                prop_assert_eq!(counts.all, counts.failed);
            }
            prop_assert_eq!(window.counts(now + 1_000, 1_000), Counts::default());
        }
    }
}
