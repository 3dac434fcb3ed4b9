//! Stops asking an upstream that hardly ever answers well: the circuit breaker.
//!
//! **Closed**: everything is let through. When, within the window, at least `minimum_requests` attempts have ended and the
//! share of failures (or of slow ones) reaches its limit, or when so many failures come in a row, it becomes **open**: for
//! `open_for`, nothing is let through. Then it is **half-open**: `probes` attempts are let through. When all of them end
//! well it is closed, with an empty window; with the first that fails or is slow it is open again. One whose end says nothing
//! gives its place back. Probes that nobody reports the end of are given up after `open_for`, and others are let through.

use super::window::{Counts, Window, reaches};
use crate::platform::Timestamp;
use serde::{Deserialize, Serialize};

/// When an upstream is no longer asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerRules {
    /// So many percent failures within the window.
    pub failure_rate: Option<u32>,
    /// So many failures in a row.
    pub consecutive_failures: Option<u32>,
    /// So many percent slow answers within the window.
    pub slow_rate: Option<u32>,
    /// An answer is slow that takes so many milliseconds or more.
    pub slow_after: u64,
    /// Shares count from so many attempts.
    pub minimum_requests: u32,
    /// The window, in milliseconds.
    pub window: u64,
    /// How long nothing is let through, in milliseconds.
    pub open_for: u64,
    /// How many attempts must end well before everything is let through again.
    pub probes: u32,
}

/// What a breaker knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Breaker {
    state: State,
    window: Window,
    consecutive: u32,
    /// How often probes have begun: those of before have no place to give back.
    rounds: u32,
    /// What it has become since somebody last asked.
    became: Transitions,
}

/// How often a breaker has become something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Transitions {
    /// Open.
    pub open: u64,
    /// Half-open.
    pub half_open: u64,
    /// Closed again.
    pub closed: u64,
}

/// Whether everything, nothing or a few attempts are let through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum State {
    /// Everything.
    #[default]
    Closed,
    /// Nothing.
    Open {
        /// Until this moment.
        until: Timestamp,
    },
    /// A few.
    HalfOpen {
        /// When the last one was let through.
        since: Timestamp,
        /// How many were.
        sent: u32,
        /// How many of them have ended well.
        good: u32,
    },
}

/// One of the few attempts that a half-open breaker lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe(u32);

/// What is to become of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It is let through.
    Admitted,
    /// It is not.
    Refused {
        /// The moment from which trying again makes sense.
        until: Timestamp,
    },
}

impl State {
    /// As metrics and health checks spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Closed => "closed",
            State::Open { .. } => "open",
            State::HalfOpen { .. } => "half_open",
        }
    }
}

impl Breaker {
    /// Whether everything, nothing or a few attempts are let through at this moment: what was open is half-open when its time is over,
    /// also where nothing has been asked for since.
    pub fn state(&self, now: Timestamp) -> State {
        match self.state {
            State::Open { until } if now >= until => State::HalfOpen { since: until, sent: 0, good: 0 },
            State::Closed | State::Open { .. } | State::HalfOpen { .. } => self.state,
        }
    }

    /// What it has become since this was last asked: each time, however short.
    pub fn became(&mut self) -> Transitions {
        std::mem::take(&mut self.became)
    }

    /// Asks for an attempt to be let through.
    pub fn admit(&mut self, now: Timestamp, rules: &BreakerRules) -> Admission {
        let (since, sent, good) = match self.state {
            State::Closed => return Admission::Admitted,
            State::Open { until } if now < until => return Admission::Refused { until },
            State::HalfOpen { since, sent, good } if now < since + rules.open_for => (since, sent, good),
            State::Open { .. } | State::HalfOpen { .. } => {
                self.rounds = self.rounds.wrapping_add(1);
                (now, 0, 0)
            }
        };
        if sent >= rules.probes {
            return Admission::Refused { until: since + rules.open_for };
        }
        if let State::Open { .. } = self.state {
            self.became.half_open += 1;
        }
        self.state = State::HalfOpen { since: now, sent: sent + 1, good };
        Admission::Admitted
    }

    /// Which probe an attempt is that was let through just now, if it is one.
    pub fn probe(&self) -> Option<Probe> {
        matches!(self.state, State::HalfOpen { .. }).then_some(Probe(self.rounds))
    }

    /// Takes a probe's place back: how it ended says nothing, or nobody has waited for that.
    pub fn give_back(&mut self, Probe(round): Probe) {
        if let State::HalfOpen { sent, .. } = &mut self.state
            && round == self.rounds
        {
            *sent = sent.saturating_sub(1);
        }
    }

    /// Notes how an attempt ended, and how many milliseconds it took, where that says anything.
    pub fn observe(&mut self, failed: bool, took: Option<u64>, now: Timestamp, rules: &BreakerRules) {
        let slow = rules.slow_rate.is_some() && took.is_some_and(|took| took >= rules.slow_after);
        match self.state {
            // It was let through before.
            State::Open { .. } => {}
            State::HalfOpen { .. } if failed || slow => self.open(now, rules),
            State::HalfOpen { since, sent, good } if good + 1 < rules.probes => {
                self.state = State::HalfOpen { since, sent, good: good + 1 };
            }
            State::HalfOpen { .. } => {
                let became = Transitions { closed: self.became.closed + 1, ..self.became };
                *self = Self { became, rounds: self.rounds, ..Self::default() };
            }
            State::Closed => {
                self.consecutive = if failed { self.consecutive.saturating_add(1) } else { 0 };
                let counts = Counts { all: 1, failed: failed.into(), slow: slow.into() };
                self.window.add(counts, now, rules.window);
                if self.is_too_much(now, rules) {
                    self.open(now, rules);
                }
            }
        }
    }

    fn is_too_much(&self, now: Timestamp, rules: &BreakerRules) -> bool {
        if rules.consecutive_failures.is_some_and(|most| self.consecutive >= most) {
            return true;
        }
        let Counts { all, failed, slow } = self.window.counts(now, rules.window);
        all >= rules.minimum_requests
            && (rules.failure_rate.is_some_and(|percent| failed > 0 && reaches(failed, all, percent))
                || rules.slow_rate.is_some_and(|percent| slow > 0 && reaches(slow, all, percent)))
    }

    fn open(&mut self, now: Timestamp, rules: &BreakerRules) {
        let became = Transitions { open: self.became.open + 1, ..self.became };
        let state = State::Open { until: now + rules.open_for };
        *self = Self { state, became, rounds: self.rounds, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RULES: BreakerRules = BreakerRules {
        failure_rate: Some(50),
        consecutive_failures: Some(5),
        slow_rate: Some(80),
        slow_after: 1_000,
        minimum_requests: 10,
        window: 10_000,
        open_for: 30_000,
        probes: 2,
    };

    #[test]
    fn the_documented_transitions_happen_at_the_documented_moments() {
        let mut breaker = Breaker::default();
        // Nine of ten fail, never five in a row: nothing happens below ten.
        for number in 0..9 {
            breaker.observe(number % 4 != 3, Some(1), 100, &RULES);
            assert_eq!(breaker.state, State::Closed, "{number}");
        }
        breaker.observe(true, Some(1), 200, &RULES);
        assert_eq!(breaker.state, State::Open { until: 30_200 });
        assert_eq!(breaker.admit(30_199, &RULES), Admission::Refused { until: 30_200 });
        // Late answers of what was let through before say nothing.
        breaker.observe(false, Some(1), 300, &RULES);
        assert_eq!(breaker.state, State::Open { until: 30_200 });

        assert_eq!(breaker.admit(30_200, &RULES), Admission::Admitted);
        assert_eq!(breaker.admit(30_300, &RULES), Admission::Admitted);
        assert_eq!(breaker.admit(30_400, &RULES), Admission::Refused { until: 60_300 });
        breaker.observe(false, Some(1), 30_500, &RULES);
        assert_eq!(breaker.state, State::HalfOpen { since: 30_300, sent: 2, good: 1 });
        breaker.observe(false, Some(1), 30_600, &RULES);
        assert_eq!(breaker.state, State::Closed);

        for number in 0..5 {
            assert_eq!(breaker.state, State::Closed, "{number}");
            breaker.observe(true, Some(1), 40_000, &RULES);
        }
        assert_eq!(breaker.state, State::Open { until: 70_000 });
        assert_eq!(breaker.admit(70_000, &RULES), Admission::Admitted);
        breaker.observe(false, Some(1_000), 71_000, &RULES);
        assert_eq!(breaker.state, State::Open { until: 101_000 }, "a slow probe is no good one");
        // Nobody has looked in between, and yet nothing is missed.
        assert_eq!(breaker.became(), Transitions { open: 3, half_open: 2, closed: 1 });
        assert_eq!(breaker.became(), Transitions::default());
    }

    #[test]
    fn slow_answers_open_it_too() {
        let mut breaker = Breaker::default();
        for _ in 0..9 {
            breaker.observe(false, Some(1_000), 1, &RULES);
        }
        assert_eq!(breaker.state, State::Closed);
        breaker.observe(false, Some(999), 1, &RULES);
        assert_eq!(breaker.state, State::Open { until: 30_001 }, "nine of ten");
    }

    #[test]
    fn what_has_left_the_window_does_not_count() {
        let mut breaker = Breaker::default();
        for number in 0..9 {
            breaker.observe(number % 2 == 0, Some(1), 1_000, &RULES);
        }
        breaker.observe(true, Some(1), 12_000, &RULES);
        assert_eq!(breaker.state, State::Closed);
    }

    #[test]
    fn probes_that_never_end_make_room_for_others() {
        let mut breaker = Breaker { state: State::Open { until: 10 }, ..Breaker::default() };
        assert_eq!(breaker.admit(10, &RULES), Admission::Admitted);
        assert_eq!(breaker.admit(10, &RULES), Admission::Admitted);
        assert_eq!(breaker.admit(30_009, &RULES), Admission::Refused { until: 30_010 });
        assert_eq!(breaker.admit(30_010, &RULES), Admission::Admitted);
    }

    #[test]
    fn probes_that_say_nothing_give_their_place_back_and_no_other() {
        let mut breaker = Breaker { state: State::Open { until: 10 }, ..Breaker::default() };
        assert_eq!(breaker.probe(), None);
        assert_eq!(breaker.admit(10, &RULES), Admission::Admitted);
        let first = breaker.probe().expect("a probe");
        assert_eq!(breaker.admit(11, &RULES), Admission::Admitted);
        assert_eq!(breaker.admit(12, &RULES), Admission::Refused { until: 30_011 });
        breaker.give_back(first);
        assert_eq!(breaker.admit(13, &RULES), Admission::Admitted);
        assert_eq!(breaker.admit(14, &RULES), Admission::Refused { until: 30_013 });
        breaker.observe(true, Some(1), 20, &RULES);
        breaker.give_back(first);
        assert_eq!(breaker.state, State::Open { until: 30_020 });
        assert_eq!(breaker.admit(30_020, &RULES), Admission::Admitted);
        assert_eq!(breaker.admit(30_020, &RULES), Admission::Admitted);
        breaker.give_back(first);
        assert_eq!(breaker.admit(30_021, &RULES), Admission::Refused { until: 60_020 }, "its place was one of before");
    }

    proptest! {
        /// A model that knows nothing of windows: whatever happens, nothing is let through while it is open, and never more
        /// probes than there may be.
        #[test]
        fn nothing_passes_an_open_breaker(steps in prop::collection::vec((any::<bool>(), 0_u64..5_000), 0..400)) {
            let (mut breaker, mut now) = (Breaker::default(), 1);
            for (failed, wait) in steps {
                now += wait;
                let before = breaker.state;
                let admission = breaker.admit(now, &RULES);
                match before {
                    State::Closed => prop_assert_eq!(admission, Admission::Admitted),
                    State::Open { until } => prop_assert_eq!(admission == Admission::Admitted, now >= until),
                    State::HalfOpen { sent, since, .. } => {
                        prop_assert_eq!(admission == Admission::Admitted, sent < 2 || now >= since + 30_000);
                    }
                }
                if admission == Admission::Admitted {
                    breaker.observe(failed, Some(1), now, &RULES);
                }
            }
        }
    }
}
