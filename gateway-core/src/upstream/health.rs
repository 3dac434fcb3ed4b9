//! Takes a target out of rotation when its answers say that it is ill: passive health.
//!
//! A target is *ejected* when so many answers in a row are failures, or so many of those within a window. Each ejection
//! lasts twice as long as the one before, up to a limit; a time of good answers as long as the last ejection takes one
//! doubling back.

use super::window::{Counts, Window, reaches};
use crate::platform::Timestamp;
use serde::{Deserialize, Serialize};

/// When a target is taken out of rotation, and for how long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthRules {
    /// So many failures in a row.
    pub consecutive_failures: u32,
    /// So many percent failures within the window.
    pub failure_rate: Option<u32>,
    /// Of at least so many answers.
    pub minimum_requests: u32,
    /// The window, in milliseconds.
    pub window: u64,
    /// How long the first ejection lasts, in milliseconds.
    pub ejection: u64,
    /// How long one lasts at most, in milliseconds.
    pub longest_ejection: u64,
    /// How many percent of the targets may be out at the same time; of several targets at least one, unless it is 0.
    pub max_ejected: u32,
    /// When fewer than so many percent of a group are in rotation, the next group is used; when no group has as many, all
    /// targets of the first one are, ill or not.
    pub panic: u32,
    /// How targets are asked how they are; `None`: not at all.
    #[cfg(feature = "checks")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<Box<super::check::CheckRules>>,
}

impl Default for HealthRules {
    fn default() -> Self {
        Self {
            consecutive_failures: 3,
            failure_rate: None,
            minimum_requests: 20,
            window: 10_000,
            ejection: 10_000,
            longest_ejection: 300_000,
            max_ejected: 70,
            panic: 30,
            #[cfg(feature = "checks")]
            check: None,
        }
    }
}

/// What is known of a target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    consecutive: u32,
    /// Only where there is a rule for it.
    window: Option<Box<Window>>,
    /// How often the time of an ejection has been doubled, plus one.
    ejections: u32,
    /// Until when it is out, or was.
    until: Timestamp,
    /// Since when all is well; counts only after an ejection.
    well_since: Timestamp,
}

impl HealthRules {
    /// How many of so many targets may be out at the same time.
    pub fn most_ejected(&self, targets: usize) -> usize {
        match self.max_ejected {
            0 => 0,
            percent => (targets * percent as usize / 100).max(1),
        }
    }
}

impl Health {
    /// Until when it is out; 0 where it never was.
    pub fn until(&self) -> Timestamp {
        self.until
    }

    /// Notes an answer. Gives `true` when the target has to go; [`Health::eject`] does it where it may.
    pub fn observe(&mut self, failed: bool, now: Timestamp, rules: &HealthRules) -> bool {
        // What was sent before the ejection, and is answered only now, says nothing new.
        if now < self.until {
            return false;
        }
        if let Some(percent) = rules.failure_rate {
            let window = self.window.get_or_insert_default();
            window.add(Counts { all: 1, failed: u32::from(failed), slow: 0 }, now, rules.window);
            let counts = window.counts(now, rules.window);
            if failed && counts.all >= rules.minimum_requests && reaches(counts.failed, counts.all, percent) {
                return true;
            }
        }
        if failed {
            self.consecutive += 1;
            self.well_since = now;
            return self.consecutive >= rules.consecutive_failures;
        }
        self.consecutive = 0;
        if self.ejections > 0 && now.saturating_sub(self.well_since.max(self.until)) >= self.lasts(rules) {
            self.ejections -= 1;
            self.well_since = now;
        }
        false
    }

    /// Takes it out; gives until when.
    pub fn eject(&mut self, now: Timestamp, rules: &HealthRules) -> Timestamp {
        self.ejections = self.ejections.saturating_add(1);
        self.until = now + self.lasts(rules);
        self.consecutive = 0;
        if let Some(window) = &mut self.window {
            window.clear();
        }
        self.until
    }

    /// Notes that checks find it well again, so that its share grows from now on.
    pub fn recover(&mut self, now: Timestamp) {
        self.until = self.until.max(now);
    }

    /// How long the ejection of now lasts, or the last one did.
    fn lasts(&self, rules: &HealthRules) -> u64 {
        let doublings = self.ejections.saturating_sub(1).min(32);
        rules.ejection.saturating_mul(1 << doublings).min(rules.longest_ejection)
    }

    /// How much of its share a target may carry, of [`WHOLE`]: after an ejection it grows from a tenth to the whole.
    pub fn share(&self, now: Timestamp, slow_start: u64) -> u32 {
        let since = now.saturating_sub(self.until);
        if slow_start == 0 || self.until == 0 || since >= slow_start {
            return WHOLE;
        }
        let grown = u64::from(WHOLE) * since / slow_start;
        u32::try_from(grown).unwrap_or(WHOLE).clamp(WHOLE / 10, WHOLE)
    }
}

/// The whole of a target's share.
pub const WHOLE: u32 = 1 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rules() -> HealthRules {
        HealthRules { ejection: 1_000, longest_ejection: 5_000, ..HealthRules::default() }
    }

    /// Fails until it is ejected; gives how many failures that took, and until when.
    fn fail(health: &mut Health, now: Timestamp, rules: &HealthRules) -> (u32, Timestamp) {
        let mut count = 1;
        while !health.observe(true, now, rules) {
            count += 1;
        }
        (count, health.eject(now, rules))
    }

    #[test]
    fn ejections_grow_and_shrink_again() {
        let (mut health, rules) = (Health::default(), rules());
        let mut now = 10_000;
        for lasts in [1_000, 2_000, 4_000, 5_000, 5_000] {
            let (count, until) = fail(&mut health, now, &rules);
            assert_eq!((count, until - now), (3, lasts));
            now = until;
        }
        // Good answers for as long as the last ejection was take one doubling back, from five to four.
        assert!(!health.observe(false, now + 4_999, &rules));
        assert_eq!(health.ejections, 5);
        assert!(!health.observe(false, now + 5_000, &rules));
        assert_eq!(health.ejections, 4);
    }

    #[test]
    fn a_good_answer_begins_the_count_anew() {
        let (mut health, rules) = (Health::default(), rules());
        for _ in 0..10 {
            assert!(!health.observe(true, 1, &rules));
            assert!(!health.observe(true, 1, &rules));
            assert!(!health.observe(false, 1, &rules));
        }
    }

    #[test]
    fn a_rate_needs_enough_answers() {
        let rules = HealthRules { consecutive_failures: 100, failure_rate: Some(50), minimum_requests: 10, ..rules() };
        let mut health = Health::default();
        for number in 0..9 {
            assert!(!health.observe(number % 2 == 0, 1, &rules), "{number}");
        }
        assert!(health.observe(true, 1, &rules), "six of ten");
        health.eject(1, &rules);
        assert!(!health.observe(true, 1_001, &rules), "it begins anew");
    }

    #[test]
    fn a_share_grows_after_an_ejection() {
        let (mut health, rules) = (Health::default(), rules());
        assert_eq!(health.share(5, 1_000), WHOLE, "nothing has happened yet");
        let (_, until) = fail(&mut health, 10, &rules);
        assert_eq!(health.share(until, 1_000), WHOLE / 10);
        assert_eq!(health.share(until + 500, 1_000), WHOLE / 2);
        assert_eq!(health.share(until + 1_000, 1_000), WHOLE);
        assert_eq!(health.share(until, 0), WHOLE);
    }

    #[test]
    fn the_share_that_may_be_out() {
        for (percent, targets, most) in [(0, 5, 0), (10, 3, 1), (50, 4, 2), (70, 3, 2), (100, 3, 3)] {
            assert_eq!(HealthRules { max_ejected: percent, ..rules() }.most_ejected(targets), most);
        }
    }

    proptest! {
        #[test]
        fn no_ejection_is_longer_than_the_limit_or_shorter_than_the_first(
            answers in prop::collection::vec((any::<bool>(), 0_u64..2_000), 0..300),
        ) {
            let (mut health, rules, mut now) = (Health::default(), rules(), 1);
            for (failed, wait) in answers {
                now += wait;
                if health.observe(failed, now, &rules) {
                    let until = health.eject(now, &rules);
                    prop_assert!((1_000..=5_000).contains(&(until - now)));
                }
            }
        }
    }
}
