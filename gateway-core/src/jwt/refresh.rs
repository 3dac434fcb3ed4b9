//! When the keys of an issuer are asked for again.
//!
//! Keys are kept in an instance's memory. The decision is taken with every token and costs nothing: either what is known
//! will do, or this request asks the issuer. No task runs in the background, because on neither platform one could outlive
//! its request; the one request that finds the keys due asks early, while the others go on with what is known.

use crate::platform::Timestamp;
use serde::{Deserialize, Serialize};

/// How often an issuer is asked. All in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refresh {
    /// After how long keys are asked for again.
    pub every: u64,
    /// For how long beyond that old keys count while the issuer cannot be reached.
    pub stale: u64,
    /// How long after asking for keys it may be asked again for the sake of a `kid` that is not known.
    pub unknown_key: u64,
}

impl Default for Refresh {
    fn default() -> Self {
        Self { every: 15 * 60_000, stale: 24 * 3_600_000, unknown_key: 30_000 }
    }
}

/// What is known of an issuer's keys besides the keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Known {
    /// When the keys were asked for that are known.
    pub since: Option<Timestamp>,
    /// When they were last asked for, whatever came of it.
    pub asked: Option<Timestamp>,
    /// When asking last failed.
    pub failed: Option<Timestamp>,
}

/// What to do for one token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Go on with the keys that are known.
    Use,
    /// Ask for keys; should that fail, go on with those that are known.
    Renew,
    /// Ask for keys; there are none to go on with.
    Fetch,
    /// There are no keys, and asking has just failed: refuse, and leave the issuer in peace.
    GiveUp,
}

/// How long an issuer that could not be reached is left in peace.
pub const RETRY: u64 = 5_000;

/// How long somebody who asks is waited for: as long as the description and the keys may take.
pub const ASKING: u64 = 10_000;

impl Refresh {
    /// What to do for a token whose key is known, as far as can be told, or not yet looked for.
    pub fn step(&self, known: Known, now: Timestamp) -> Step {
        let failed_lately = known.failed.is_some_and(|failed| now.saturating_sub(failed) < RETRY);
        let age = known.since.map(|since| now.saturating_sub(since));
        match age {
            Some(age) if age < self.every / 5 * 4 => Step::Use,
            // Due soon or overdue: one request asks, the others see that it has.
            Some(age) if age < self.every.saturating_add(self.stale) => {
                let asked_lately = known.asked.is_some_and(|asked| now.saturating_sub(asked) < RETRY);
                if asked_lately { Step::Use } else { Step::Renew }
            }
            Some(_) | None if failed_lately => Step::GiveUp,
            // Requests of one instance cannot wait for each other, so each that finds nothing asks for itself.
            Some(_) | None => Step::Fetch,
        }
    }

    /// Whether a token with a `kid` that is not among the keys is worth asking for. Counted from when the issuer was
    /// last asked, for whatever reason, so forged ones cost it one request per interval.
    pub fn is_worth_asking(&self, known: Known, now: Timestamp) -> bool {
        known.asked.is_none_or(|asked| now.saturating_sub(asked) >= self.unknown_key)
    }
}

impl Known {
    /// Whether somebody has asked, and nothing has come of it yet.
    pub fn is_open(&self) -> bool {
        self.asked.is_some_and(|asked| self.since < Some(asked) && self.failed < Some(asked))
    }

    /// Somebody is asking.
    pub fn asking(&mut self, now: Timestamp) {
        self.asked = Some(now);
    }

    /// The issuer has answered to who asked then.
    pub fn answered(&mut self, asked: Timestamp) {
        // Two may have asked; the answer to the later one is the newer one.
        self.since = self.since.max(Some(asked));
        self.failed = None;
    }

    /// The issuer has not answered, or not with keys.
    pub fn failed(&mut self, now: Timestamp) {
        self.failed = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFRESH: Refresh = Refresh { every: 100_000, stale: 1_000_000, unknown_key: 30_000 };

    #[test]
    fn keys_are_renewed_early_and_kept_while_the_issuer_is_down() {
        let known = |since, asked, failed| Known { since, asked, failed };
        for (known, now, expected) in [
            (Known::default(), 0, Step::Fetch),
            (known(None, Some(0), None), 1, Step::Fetch),
            (known(None, Some(0), Some(10)), 5_009, Step::GiveUp),
            (known(None, Some(0), Some(10)), 5_010, Step::Fetch),
            (known(Some(0), Some(0), None), 79_999, Step::Use),
            (known(Some(0), Some(0), None), 80_000, Step::Renew),
            (known(Some(0), Some(80_000), None), 80_001, Step::Use),
            (known(Some(0), Some(80_000), Some(81_000)), 85_000, Step::Renew),
            (known(Some(0), Some(200_000), Some(200_001)), 204_999, Step::Use),
            (known(Some(0), Some(200_000), Some(200_001)), 205_000, Step::Renew),
            (known(Some(0), Some(1_090_000), Some(1_090_001)), 1_099_999, Step::Renew),
            (known(Some(0), Some(1_099_000), Some(1_099_001)), 1_100_000, Step::GiveUp),
            (known(Some(0), Some(1_099_000), Some(1_099_001)), 1_104_001, Step::Fetch),
            // A clock that goes backwards makes nothing old.
            (known(Some(1_000_000), Some(1_000_000), None), 0, Step::Use),
        ] {
            assert_eq!(REFRESH.step(known, now), expected, "{known:?} at {now}");
        }
    }

    #[test]
    fn forged_key_identifiers_cost_the_issuer_one_request_per_interval() {
        let mut known = Known::default();
        let mut asked = 0;
        for now in (0..300_000).step_by(100) {
            if REFRESH.is_worth_asking(known, now) {
                known.asking(now);
                asked += 1;
                if now % 200 == 0 { known.answered(now) } else { known.failed(now) }
            }
        }
        assert_eq!(asked, 10);
    }

    #[test]
    fn an_issuer_that_is_down_is_asked_once_in_a_while() {
        let mut known = Known::default();
        known.asking(0);
        known.answered(0);
        let mut asked = Vec::new();
        for now in (0..2_000_000).step_by(100) {
            match REFRESH.step(known, now) {
                Step::Use | Step::GiveUp => {}
                Step::Renew | Step::Fetch => {
                    asked.push(now);
                    known.asking(now);
                    known.failed(now);
                }
            }
        }
        assert_eq!(asked.first(), Some(&80_000));
        assert!(asked.windows(2).all(|pair| pair[1] - pair[0] >= RETRY), "{asked:?}");
    }
}
