//! When a version on trial is given up, and when it serves more callers.
//!
//! Both versions serve at the same time, so what else goes wrong in the world goes wrong for both, and only the difference counts.

use super::Rules;
use crate::platform::Timestamp;
use serde::{Deserialize, Serialize};

/// How many requests a version has served, and how many of them failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// All.
    pub requests: u64,
    /// Those that were answered with a status of 500 or more, by the gateway or by an upstream.
    pub errors: u64,
}

/// The same of both versions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// The version in service.
    pub old: Tally,
    /// The version on trial.
    pub new: Tally,
}

/// What was counted in this window of time and in the one before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Which window this is, counted from 1970 on.
    pub window: u64,
    /// What was counted in it.
    pub current: Pair,
    /// What was counted in the window before.
    pub before: Pair,
}

/// What is to be done with a trial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// Nothing yet.
    Wait,
    /// The version does harm: the reason, for people.
    RollBack(String),
    /// It serves so many of a hundred callers from now on.
    Share(u8),
    /// It serves everybody.
    Everybody,
}

/// What is to be done with a trial for so many of a hundred callers, which has had that share since then.
pub fn judge(rules: &Rules, percent: u8, since: Timestamp, counted: Pair, now: Timestamp) -> Judgement {
    let Pair { old, new } = counted;
    if new.requests < rules.min_requests.max(1) {
        return Judgement::Wait;
    }
    if new.is_worse(old, rules.margin) {
        return Judgement::RollBack(format!(
            "{} of its {} requests failed ({}), of those with the version in service {} of {} ({})",
            new.errors,
            new.requests,
            new.rate(),
            old.errors,
            old.requests,
            old.rate()
        ));
    }
    if rules.steps.is_empty() || now.saturating_sub(since) < rules.step_time {
        return Judgement::Wait;
    }
    match rules.steps.iter().find(|step| **step > percent) {
        Some(step) => Judgement::Share(*step),
        None => Judgement::Everybody,
    }
}

impl Tally {
    /// One request, answered with this status.
    pub fn of(status: u16) -> Self {
        Self { requests: 1, errors: u64::from(status >= 500) }
    }

    /// Both together.
    pub fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            errors: self.errors.saturating_add(other.errors),
        }
    }

    /// Whether its error rate exceeds that of another by more than a margin, in ten-thousandths. Nobody's rate is zero.
    fn is_worse(self, than: Self, margin: u32) -> bool {
        // a/b > c/d + m/10000, without a fraction. Nobody has counted so many that this would overflow, and who says so is wrong.
        let (a, b) = (u128::from(self.errors), u128::from(self.requests.max(1)));
        let (c, d) = (u128::from(than.errors), u128::from(than.requests.max(1)));
        let allowed = (c.saturating_mul(10_000)).saturating_add(u128::from(margin).saturating_mul(d));
        a.saturating_mul(d).saturating_mul(10_000) > allowed.saturating_mul(b)
    }

    /// As people read it.
    fn rate(self) -> String {
        let tenths = u128::from(self.errors) * 1_000 / u128::from(self.requests.max(1));
        format!("{}.{} %", tenths / 10, tenths % 10)
    }
}

impl Pair {
    /// Both together.
    pub fn plus(self, other: Self) -> Self {
        Self { old: self.old.plus(other.old), new: self.new.plus(other.new) }
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Counted {
    /// Goes on to the window of now.
    pub fn turn(&mut self, window: u64) {
        if window == self.window {
            return;
        }
        let before = if window == self.window.saturating_add(1) { self.current } else { Pair::default() };
        *self = Self { window, current: Pair::default(), before };
    }

    /// What still counts.
    pub fn total(&self) -> Pair {
        self.before.plus(self.current)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(in super::super) fn rules() -> Rules {
        Rules {
            interval: 10_000,
            percent: 10,
            steps: vec![10, 50],
            step_time: 60_000,
            margin: 100,
            min_requests: 100,
            window: 300_000,
            keep: 5,
            identity: vec!["authorization".to_owned()],
        }
    }

    fn pair(old: (u64, u64), new: (u64, u64)) -> Pair {
        let tally = |(requests, errors)| Tally { requests, errors };
        Pair { old: tally(old), new: tally(new) }
    }

    #[test]
    fn nobody_is_judged_too_early() {
        assert_eq!(judge(&rules(), 10, 0, pair((0, 0), (99, 99)), 1_000_000), Judgement::Wait);
        assert!(matches!(judge(&rules(), 10, 0, pair((0, 0), (100, 2)), 0), Judgement::RollBack(_)));
    }

    #[test]
    fn the_margin_is_allowed_and_no_more() {
        // 1 % is allowed over what the old one has.
        for (old, new, harm) in [
            ((1_000, 0), (100, 1), false),
            ((1_000, 0), (1_000, 11), true),
            ((1_000, 50), (1_000, 60), false),
            ((1_000, 50), (1_000, 61), true),
            ((1_000, 1_000), (1_000, 1_000), false),
            ((0, 0), (1_000, 10), false),
            ((0, 0), (1_000, 11), true),
        ] {
            let judged = judge(&rules(), 10, 0, pair(old, new), 0);
            assert_eq!(matches!(judged, Judgement::RollBack(_)), harm, "{old:?} {new:?}: {judged:?}");
        }
        let Judgement::RollBack(why) = judge(&rules(), 10, 0, pair((900, 9), (100, 50)), 0) else {
            unreachable!("it does harm")
        };
        assert_eq!(
            why,
            "50 of its 100 requests failed (50.0 %), of those with the version in service 9 of 900 (1.0 %)"
        );
    }

    #[test]
    fn shares_follow_each_other_when_their_time_is_over() {
        let good = pair((900, 0), (100, 0));
        let at = |percent, now| judge(&rules(), percent, 0, good, now);
        assert_eq!(at(10, 59_999), Judgement::Wait);
        assert_eq!(at(10, 60_000), Judgement::Share(50));
        assert_eq!(at(5, 60_000), Judgement::Share(10));
        assert_eq!(at(50, 60_000), Judgement::Everybody);
        assert_eq!(at(99, 60_000), Judgement::Everybody);
        let by_hand = Rules { steps: Vec::new(), ..rules() };
        assert_eq!(judge(&by_hand, 10, 0, good, u64::MAX), Judgement::Wait, "an operator decides");
    }

    proptest! {
        #[test]
        fn a_version_that_is_no_worse_is_never_given_up(
            requests in 1u64..1_000_000, errors in 0u64..1_000_000, scale in 1u64..1_000, margin in 0u32..10_000,
        ) {
            let errors = errors.min(requests);
            let rules = Rules { margin, min_requests: 1, ..rules() };
            let counted = pair((requests * scale, errors * scale), (requests, errors));
            prop_assert!(!matches!(judge(&rules, 10, 0, counted, 0), Judgement::RollBack(_)));
        }

        #[test]
        fn more_errors_never_save_a_version(
            old in (0u64..10_000, 0u64..10_000), new in (100u64..10_000, 0u64..10_000), margin in 0u32..10_000,
        ) {
            let rules = Rules { margin, ..rules() };
            let old = (old.0, old.1.min(old.0));
            let given_up = |errors: u64| matches!(
                judge(&rules, 10, 0, pair(old, (new.0, errors.min(new.0))), 0), Judgement::RollBack(_)
            );
            if given_up(new.1) {
                prop_assert!(given_up(new.1.saturating_add(1)));
            }
        }

        #[test]
        fn huge_numbers_are_no_trouble(old in any::<(u64, u64)>(), new in any::<(u64, u64)>(), margin in any::<u32>()) {
            let rules = Rules { margin, ..rules() };
            judge(&rules, 10, 0, pair(old, new), u64::MAX);
        }
    }
}
