//! Whether a request is sent once more, when, and how much of that an upstream is asked to bear.

use super::window::{Counts, Window};
use crate::http::Headers;
use crate::platform::{FetchError, Timestamp};
use serde::{Deserialize, Serialize};

/// When a request is sent once more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryRules {
    /// How often at most, after the first attempt.
    pub attempts: u32,
    /// After which failures.
    pub on: Vec<Trouble>,
    /// After which statuses.
    pub statuses: Vec<u16>,
    /// Whether also what is not idempotent, and has no `Idempotency-Key`.
    pub unsafe_methods: bool,
    /// How long to wait, in milliseconds: the first time up to `pause`, then up to twice as long, never longer than
    /// `longest_pause`; how much of that is drawn by lot. 0: not at all.
    pub pause: u64,
    /// See `pause`.
    pub longest_pause: u64,
    /// Bodies of up to so many bytes are kept to be sent again.
    pub body: u64,
    /// How many extra attempts, hedges included, all requests together may cause.
    pub budget: BudgetRules,
}

/// A failure that another attempt may mend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// There was no connection; nothing was sent.
    Unreachable,
    /// The connection broke off.
    Reset,
    /// Nothing came in time.
    Timeout,
}

/// How many extra attempts there may be within ten seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetRules {
    /// So many percent of the requests.
    pub percent: u32,
    /// But so many always.
    pub at_least: u32,
}

impl Default for BudgetRules {
    fn default() -> Self {
        Self { percent: 20, at_least: 10 }
    }
}

impl RetryRules {
    /// Whether a request of this method and with these fields may be sent twice.
    pub fn may_repeat(&self, method: &str, headers: &Headers) -> bool {
        self.unsafe_methods || is_idempotent(method) || headers.contains("idempotency-key")
    }

    /// What holds where nothing is said: another target for what reached nobody or broke off, at once.
    pub fn unsaid(targets: usize) -> Self {
        Self {
            attempts: u32::try_from(targets.saturating_sub(1)).unwrap_or(u32::MAX).min(MOST),
            on: vec![Trouble::Unreachable, Trouble::Reset],
            statuses: Vec::new(),
            unsafe_methods: false,
            pause: 0,
            longest_pause: 0,
            body: 0,
            budget: BudgetRules::default(),
        }
    }
}

/// More attempts than this help nobody.
pub const MOST: u32 = 10;

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Without a response.
    Failed(FetchError),
    /// With a response of this status, which asks for so many milliseconds of patience.
    Answered {
        /// The status.
        status: u16,
        /// `Retry-After`, in milliseconds.
        retry_after: Option<u64>,
    },
}

/// What else has to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Whether sending it twice does what sending it once does.
    pub repeatable: bool,
    /// How many attempts there were.
    pub made: u32,
    /// Milliseconds left until the request has to be answered.
    pub left: u64,
    /// Sixty-four random bits.
    pub random: u64,
}

/// What is next. Whether the budget allows it is another question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// This is the outcome.
    Stop,
    /// Another attempt, after so many milliseconds.
    Again(u64),
}

/// Decides whether a request is sent once more.
///
/// What reached nobody may be sent again whatever it is (RFC 9110 §9.2.2); everything else only where it can be repeated.
pub fn decide(rules: &RetryRules, ended: Ended, facts: Facts) -> Next {
    let Facts { repeatable, made, left, random } = facts;
    if made > rules.attempts {
        return Next::Stop;
    }
    let (wanted, least) = match ended {
        Ended::Failed(FetchError::Unreachable) => (rules.on.contains(&Trouble::Unreachable), 0),
        Ended::Failed(FetchError::Reset) => (repeatable && rules.on.contains(&Trouble::Reset), 0),
        Ended::Failed(FetchError::Timeout) => (repeatable && rules.on.contains(&Trouble::Timeout), 0),
        Ended::Failed(
            FetchError::BodyTooLarge
            | FetchError::BodyRefused
            | FetchError::BodyStalled
            | FetchError::ClientGone
            | FetchError::Forbidden
            | FetchError::NoCredential,
        ) => (false, 0),
        Ended::Answered { status, retry_after } => {
            (repeatable && rules.statuses.contains(&status), retry_after.unwrap_or(0))
        }
    };
    let most = rules.pause.saturating_mul(1 << made.saturating_sub(1).min(32)).min(rules.longest_pause);
    // Full jitter: clients that failed together do not come back together.
    let drawn = if most == 0 { 0 } else { random % (most + 1) };
    let pause = drawn.max(least);
    if wanted && pause < left { Next::Again(pause) } else { Next::Stop }
}

/// How much has been asked for within ten seconds, and how much of it was extra.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Budget(Window);

const WINDOW: u64 = 10_000;

impl Budget {
    /// Notes a request.
    pub fn request(&mut self, now: Timestamp) {
        self.0.add(Counts { all: 1, failed: 0, slow: 0 }, now, WINDOW);
    }

    /// Takes one extra attempt, if there is one left.
    pub fn take(&mut self, now: Timestamp, rules: BudgetRules) -> bool {
        let Counts { all, failed: extra, .. } = self.0.counts(now, WINDOW);
        let share = u64::from(all) * u64::from(rules.percent) / 100;
        let allowed = u64::from(extra) < share.max(u64::from(rules.at_least));
        if allowed {
            self.0.add(Counts { all: 0, failed: 1, slow: 0 }, now, WINDOW);
        }
        allowed
    }
}

/// Whether sending it twice does what sending it once does (RFC 9110 §9.2.2; RFC 10008 for QUERY).
pub fn is_idempotent(method: &str) -> bool {
    is_safe(method) || matches!(method, "PUT" | "DELETE")
}

/// Whether it asks for nothing but an answer (RFC 9110 §9.2.1).
pub fn is_safe(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "QUERY")
}

/// `Retry-After` in milliseconds, where it is a number of seconds (RFC 9110 §10.2.3). A date is left to the client: a
/// gateway that is to wait that long waits for nothing.
pub fn retry_after(value: &str) -> Option<u64> {
    let digits = value.trim();
    let seconds = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<u64>().ok()).flatten()?;
    seconds.checked_mul(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rules() -> RetryRules {
        RetryRules {
            attempts: 2,
            on: vec![Trouble::Unreachable, Trouble::Reset, Trouble::Timeout],
            statuses: vec![503],
            pause: 100,
            longest_pause: 150,
            ..RetryRules::unsaid(3)
        }
    }

    const FACTS: Facts = Facts { repeatable: true, made: 1, left: 1_000, random: 0 };
    const BUSY: Ended = Ended::Answered { status: 503, retry_after: None };

    #[test]
    fn what_may_have_been_acted_on_is_sent_again_only_where_that_does_no_harm() {
        use FetchError::{BodyRefused, BodyTooLarge, ClientGone, Forbidden, Reset, Timeout, Unreachable};
        let may = |ended, repeatable| decide(&rules(), ended, Facts { repeatable, ..FACTS }) != Next::Stop;
        for (ended, when_repeatable, otherwise) in [
            (Ended::Failed(Unreachable), true, true),
            (Ended::Failed(Reset), true, false),
            (Ended::Failed(Timeout), true, false),
            (Ended::Failed(BodyTooLarge), false, false),
            (Ended::Failed(BodyRefused), false, false),
            (Ended::Failed(ClientGone), false, false),
            (Ended::Failed(Forbidden), false, false),
            (BUSY, true, false),
            (Ended::Answered { status: 500, retry_after: None }, false, false),
            (Ended::Answered { status: 200, retry_after: None }, false, false),
        ] {
            assert_eq!((may(ended, true), may(ended, false)), (when_repeatable, otherwise), "{ended:?}");
        }
        assert_eq!(decide(&rules(), BUSY, Facts { made: 3, ..FACTS }), Next::Stop);
    }

    #[test]
    fn patience_that_is_asked_for_is_shown_within_the_deadline() {
        let busy = |after| Ended::Answered { status: 503, retry_after: Some(after) };
        assert_eq!(decide(&rules(), busy(999), FACTS), Next::Again(999));
        assert_eq!(decide(&rules(), busy(1_000), FACTS), Next::Stop);
        for (value, read) in [("3", Some(3_000)), (" 0 ", Some(0)), ("+1", None), ("", None), ("Fri, 31 Dec", None)] {
            assert_eq!(retry_after(value), read, "{value}");
        }
    }

    proptest! {
        #[test]
        fn pauses_grow_up_to_their_limit_and_end_before_the_deadline(made in 1_u32..4, random: u64, left in 0_u64..400) {
            let rules = RetryRules { attempts: 3, ..rules() };
            match decide(&rules, BUSY, Facts { made, random, left, ..FACTS }) {
                Next::Again(pause) => prop_assert!(pause <= [100, 150, 150][made as usize - 1] && pause < left),
                Next::Stop => prop_assert!(left <= 150),
            }
        }

        #[test]
        fn extra_attempts_stay_within_the_budget(
            steps in prop::collection::vec((0_u64..200, 0_u32..4), 1..400), percent in 0_u32..=100, at_least in 0_u32..20,
        ) {
            let (rules, mut budget, mut now) = (BudgetRules { percent, at_least }, Budget::default(), 1_000_000);
            let mut taken: Vec<u64> = Vec::new();
            let mut requests: Vec<u64> = Vec::new();
            for (wait, extra) in steps {
                now += wait;
                budget.request(now);
                requests.push(now);
                for _ in 0..extra {
                    if budget.take(now, rules) {
                        taken.push(now);
                    }
                }
                // The window slides by a second, so it is never longer than ten seconds and never shorter than nine.
                let within = |times: &[u64], length: u64| times.iter().filter(|time| now - **time < length).count() as u64;
                let most = (within(&requests, 10_001) * u64::from(percent) / 100).max(u64::from(at_least));
                // What was allowed while more requests were in the window stays taken.
                let before = taken.iter().filter(|time| **time == now).count() as u64;
                prop_assert!(before == 0 || within(&taken, 9_000) <= most, "{} {most}", within(&taken, 9_000));
            }
        }
    }
}
