//! Admits at most so much per time: one pure step, the same in every place that counts.
//!
//! Who counts keeps a few [`State`]s under a key and has them changed by [`perform`], atomically: memory, a Durable Object,
//! a store. The step knows no clock but `now`, never fails, and never admits more than its rules say, whatever the clock does:
//! time that goes back refills nothing, and what was counted stays counted.

pub mod calendar;
pub mod lease;
pub mod rate;
pub mod table;

use crate::platform::Timestamp;
use crate::record;
use calendar::{Period, Zone};
use serde::{Deserialize, Serialize};

/// One limit. Times are milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Rule {
    /// A token bucket (GCRA): `rate` tokens come back in `per`, and `burst` of them are there at most.
    #[serde(rename = "b")]
    Bucket {
        /// Tokens that come back in each `per`.
        rate: u64,
        /// The time for that.
        per: u64,
        /// Tokens that a full bucket has.
        burst: u64,
    },
    /// Windows that follow one another, counted from the Unix epoch.
    #[serde(rename = "w")]
    Window {
        /// What a window admits.
        limit: u64,
        /// How long it is.
        per: u64,
        /// Whether the window before counts as well, by the part of it that is less than `per` ago.
        sliding: bool,
    },
    /// Hours, days, weeks or months, as people count them.
    #[serde(rename = "c")]
    Calendar {
        /// What a period admits.
        limit: u64,
        /// Which periods.
        every: Period,
        /// Where.
        zone: Zone,
    },
    /// At most so many at once. Whoever does not come back is forgotten after `hold`.
    #[serde(rename = "l")]
    Leases {
        /// How many.
        limit: u64,
        /// For how long each counts.
        hold: u64,
    },
}

/// What is counted of one rule under one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Of a bucket: what is missing, in parts of a token of which `per` are one. So nothing is ever rounded.
    #[serde(rename = "b")]
    Bucket {
        /// Parts per token.
        per: u64,
        /// What is missing at that time.
        level: u128,
        /// That time.
        since: Timestamp,
    },
    /// Of a window or period.
    #[serde(rename = "w")]
    Window {
        /// When it began.
        start: Timestamp,
        /// What it has admitted.
        used: u64,
        /// What the one before it had admitted.
        before: u64,
    },
    /// Of leases: who holds one, and until when.
    #[serde(rename = "l")]
    Leases(Vec<(u64, Timestamp)>),
}

/// What is to be done with the counters of one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// All limits of the key.
    #[serde(rename = "r")]
    pub rules: Vec<Rule>,
    /// What to do.
    #[serde(rename = "a")]
    pub act: Act,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Act {
    /// Takes, from all rules or from none.
    #[serde(rename = "t")]
    Take {
        /// What is needed.
        #[serde(rename = "c")]
        cost: u64,
        /// What is welcome: as much of it as there is. At least `cost`.
        #[serde(rename = "m")]
        most: u64,
        /// How long the caller would wait for it, where a bucket can tell.
        #[serde(rename = "p")]
        patience: u64,
        /// Names a lease.
        #[serde(rename = "l")]
        lease: u64,
    },
    /// Adds what turned out to be used, admitted or not.
    #[serde(rename = "c")]
    Charge(u64),
    /// Gives back what turned out not to be used.
    #[serde(rename = "g")]
    GiveBack(u64),
    /// Ends the lease of this name.
    #[serde(rename = "e")]
    Release(u64),
    /// Takes a lease of this name, unless somebody holds it: for what may happen once.
    #[serde(rename = "o")]
    Once(u64),
}

/// What became of an order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// What was taken; `None`: refused.
    #[serde(rename = "g")]
    pub granted: Option<u64>,
    /// Granted: how long the caller must wait before it goes on. Refused: after how long it would be admitted; `None`: never.
    #[serde(rename = "w")]
    pub wait: Option<u64>,
    /// How things stand now, in the order of the rules.
    #[serde(rename = "s")]
    pub standings: Vec<Standing>,
}

/// How things stand with one rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// What could still be taken.
    #[serde(rename = "r")]
    pub remaining: u64,
    /// After how many milliseconds all of it is there again.
    #[serde(rename = "t")]
    pub reset: u64,
}

/// What a store keeps under a key: a text that only this module reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// What is counted, in the order of the rules.
    #[serde(rename = "s")]
    pub states: Vec<State>,
}

/// What a store has to do after an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// For whoever asked.
    pub decision: Decision,
    /// To be kept in the place of what was there.
    pub kept: Kept,
    /// From when on what is kept says nothing any more.
    pub until: Timestamp,
}

/// How much longer than a window a clock may be wrong before it is believed to have been set back.
const SKEW: u64 = 60_000;

/// Does what is ordered. States that belong to other rules count as none.
pub fn perform(order: &Order, kept: Option<Kept>, now: Timestamp) -> Step {
    let before = kept.map(|kept| kept.states).unwrap_or_default();
    let mut before = before.into_iter();
    let mut states: Vec<State> = order.rules.iter().map(|rule| rule.roll(before.next(), now)).collect();
    let rules = || order.rules.iter();
    let (mut granted, mut wait) = (Some(0), Some(0));
    match order.act {
        Act::Take { cost, most, patience, lease } => {
            let waits = rules().zip(&states).map(|(rule, state)| rule.wait(state, now, cost));
            wait = waits.reduce(|one, other| Some(one?.max(other?))).unwrap_or(Some(0));
            let patient = rules().zip(&states).all(|(rule, state)| match rule {
                Rule::Bucket { .. } => true,
                Rule::Window { .. } | Rule::Calendar { .. } | Rule::Leases { .. } => {
                    rule.wait(state, now, cost) == Some(0)
                }
            });
            granted = match wait {
                Some(0) => {
                    let room = rules().zip(&states).map(|(rule, state)| rule.room(state, now)).min();
                    Some(room.unwrap_or(u64::MAX).min(most).max(cost))
                }
                Some(wait) if patient && wait <= patience => Some(cost),
                Some(_) | None => None,
            };
            if let Some(granted) = granted {
                for (rule, state) in rules().zip(&mut states) {
                    rule.add(state, granted, lease, now);
                }
            }
        }
        Act::Charge(cost) => rules().zip(&mut states).for_each(|(rule, state)| rule.charge(state, cost)),
        Act::GiveBack(cost) => states.iter_mut().for_each(|state| state.give_back(cost)),
        Act::Release(name) => states.iter_mut().for_each(|state| state.release(name)),
        Act::Once(name) => {
            let held = states.iter().any(|state| state.holds(name));
            let full = rules().zip(&states).any(|(rule, state)| rule.wait(state, now, 1) != Some(0));
            (granted, wait) = if held || full { (None, None) } else { (Some(1), Some(0)) };
            if granted.is_some() {
                rules().zip(&mut states).for_each(|(rule, state)| rule.add(state, 1, name, now));
            }
        }
    }
    let standings = rules().zip(&states).map(|(rule, state)| rule.standing(state, now)).collect();
    let until = rules().zip(&states).map(|(rule, state)| rule.until(state)).max().unwrap_or(now);
    Step { decision: Decision { granted, wait, standings }, kept: Kept { states }, until }
}

/// [`perform`], where counters are kept as text. Text that cannot be read counts as none, as what another version has written.
///
/// The second text is to be kept in the place of the first one. `None`: what is there says the same, since who is refused takes
/// nothing; a store that needs more than one step for reading and writing is spared the moment in which it could forget what somebody
/// else writes.
///
/// # Errors
/// When JSON cannot hold the counters.
pub fn perform_on_kept_text(
    order: &Order,
    kept: &[u8],
    now: Timestamp,
) -> Result<(Step, Option<String>), serde_json::Error> {
    let step = perform(order, record::read(kept).ok(), now);
    let next = step.decision.granted.map(|_| serde_json::to_string(&step.kept)).transpose()?;
    Ok((step, next))
}

/// What a keeper that stores text does: from text to text. Gives four lines: the decision, until when what is to be kept says
/// something, whether it must survive (`1` or `0`), and what is to be kept: what nothing has changed is what was kept. `None`: the
/// order cannot be read.
pub fn perform_in_text(order: &[u8], kept: &[u8], now: Timestamp) -> Option<String> {
    let order: Order = record::read(order).ok()?;
    let (step, next) = perform_on_kept_text(&order, kept, now).ok()?;
    let decision = serde_json::to_string(&step.decision).ok()?;
    let kept = next.as_deref().or_else(|| str::from_utf8(kept).ok())?;
    // Numbers in JavaScript are exact up to here, and nobody waits longer.
    let until = step.until.min(1 << 53);
    let durable = u8::from(order.rules.iter().any(Rule::is_durable));
    Some(format!("{decision}\n{until}\n{durable}\n{kept}"))
}

/// One rule, one cost: what [`perform`] is made of, for those who need no more.
pub fn check(rule: &Rule, state: Option<State>, now: Timestamp, cost: u64) -> (bool, State) {
    let mut state = rule.roll(state, now);
    let admitted = rule.wait(&state, now, cost) == Some(0);
    if admitted {
        rule.add(&mut state, cost, 0, now);
    }
    (admitted, state)
}

impl Rule {
    /// What is admitted at once, at most.
    pub fn limit(&self) -> u64 {
        match self {
            Rule::Bucket { burst, .. } => *burst,
            Rule::Window { limit, .. } | Rule::Calendar { limit, .. } | Rule::Leases { limit, .. } => *limit,
        }
    }

    /// What rules have in common that can count together: all but their numbers. A zone is left out, whose list of changes
    /// grows while its hours stay the same.
    pub fn shape(&self) -> String {
        let (kind, time) = match self {
            Rule::Bucket { per, .. } => ('b', *per),
            Rule::Window { per, sliding: false, .. } => ('w', *per),
            Rule::Window { per, sliding: true, .. } => ('s', *per),
            Rule::Calendar { every, .. } => ('c', every.length()),
            Rule::Leases { .. } => ('l', 0),
        };
        format!("{kind}{time}\n")
    }

    /// Whether what is counted must outlive an eviction: Durable Objects are evicted when they were idle for ten seconds.
    pub fn is_durable(&self) -> bool {
        match self {
            Rule::Bucket { rate, per, burst } => refill(*rate, *per, *burst) >= 10_000,
            Rule::Window { per, sliding, .. } => *per >= if *sliding { 5_000 } else { 10_000 },
            Rule::Calendar { .. } | Rule::Leases { .. } => true,
        }
    }

    /// When the window of now began, and the one before it where that counts too: for stores that can only add, which keep a
    /// sum for each window. `None`: this rule has no windows.
    pub fn windows(&self, now: Timestamp) -> Option<(Timestamp, Option<Timestamp>)> {
        match self {
            Rule::Window { per, sliding, .. } => {
                let start = self.bounds(now).0;
                Some((start, sliding.then(|| start.saturating_sub(*per))))
            }
            Rule::Calendar { .. } => Some((self.bounds(now).0, None)),
            Rule::Bucket { .. } | Rule::Leases { .. } => None,
        }
    }

    /// What is counted as of now.
    fn roll(&self, state: Option<State>, now: Timestamp) -> State {
        match (self, state) {
            (Rule::Bucket { rate, per, burst }, Some(State::Bucket { per: parts, level, since })) if parts == *per => {
                let level = level.saturating_sub(u128::from(now.saturating_sub(since)) * u128::from(*rate));
                // A clock that is far behind was far ahead before. What is missing stays missing.
                let far = since.saturating_sub(now) > refill(*rate, *per, *burst).saturating_add(SKEW);
                State::Bucket { per: *per, level, since: if far { now } else { since.max(now) } }
            }
            (Rule::Bucket { per, .. }, _) => State::Bucket { per: *per, level: 0, since: now },
            (Rule::Window { .. } | Rule::Calendar { .. }, Some(State::Window { start, used, before })) => {
                let (current, end) = self.bounds(now);
                let far = start.saturating_sub(now) > (end - current).min(SKEW);
                if start == current || (start > current && !far) {
                    State::Window { start, used, before }
                } else if start > current {
                    State::Window { start: current, used, before }
                } else {
                    let before = if self.bounds(start).1 == current { used } else { 0 };
                    State::Window { start: current, used: 0, before }
                }
            }
            (Rule::Window { .. } | Rule::Calendar { .. }, _) => {
                State::Window { start: self.bounds(now).0, used: 0, before: 0 }
            }
            (Rule::Leases { hold, .. }, Some(State::Leases(mut leases))) => {
                leases.retain(|(_, until)| *until > now);
                let latest = now.saturating_add(*hold);
                leases.iter_mut().for_each(|(_, until)| *until = (*until).min(latest));
                State::Leases(leases)
            }
            (Rule::Leases { .. }, _) => State::Leases(Vec::new()),
        }
    }

    /// Beginning and end of the window that this moment is in.
    fn bounds(&self, now: Timestamp) -> (Timestamp, Timestamp) {
        match self {
            Rule::Window { per, .. } => {
                let start = now - now % (*per).max(1);
                (start, start.saturating_add((*per).max(1)))
            }
            Rule::Calendar { every, zone, .. } => every.around(now, zone),
            Rule::Bucket { .. } | Rule::Leases { .. } => (now, now),
        }
    }

    /// What could be taken now.
    fn room(&self, state: &State, now: Timestamp) -> u64 {
        match (self, state) {
            (Rule::Bucket { per, burst, .. }, State::Bucket { level, .. }) => {
                let room = (u128::from(*burst) * u128::from(*per)).saturating_sub(*level) / u128::from((*per).max(1));
                u64::try_from(room).unwrap_or(u64::MAX)
            }
            (Rule::Window { limit, .. } | Rule::Calendar { limit, .. }, State::Window { used, .. }) => {
                limit.saturating_sub(*used).saturating_sub(self.carried(state, now))
            }
            (Rule::Leases { limit, .. }, State::Leases(leases)) => limit.saturating_sub(leases.len() as u64),
            _ => 0,
        }
    }

    /// What still counts of the window before, rounded up.
    fn carried(&self, state: &State, now: Timestamp) -> u64 {
        let (Rule::Window { per, sliding: true, .. }, State::Window { start, before, .. }) = (self, state) else {
            return 0;
        };
        let left = start.saturating_add(*per).saturating_sub(now).min(*per);
        let carried = (u128::from(*before) * u128::from(left)).div_ceil(u128::from((*per).max(1)));
        u64::try_from(carried).unwrap_or(u64::MAX)
    }

    /// After how long this much could be taken; 0: now, `None`: never.
    fn wait(&self, state: &State, now: Timestamp, cost: u64) -> Option<u64> {
        let cost = match self {
            Rule::Leases { .. } => 1,
            Rule::Bucket { .. } | Rule::Window { .. } | Rule::Calendar { .. } => cost,
        };
        if cost > self.limit() {
            return None;
        }
        match (self, state) {
            (Rule::Bucket { rate, per, burst }, State::Bucket { level, since, .. }) => {
                let all = u128::from(*burst) * u128::from(*per);
                let lacking = level.saturating_add(u128::from(cost) * u128::from(*per)).saturating_sub(all);
                if lacking == 0 {
                    return Some(0);
                }
                let time = lacking.checked_div(u128::from(*rate))?;
                let time = time + u128::from(time * u128::from(*rate) < lacking);
                Some(u64::try_from(time).unwrap_or(u64::MAX).saturating_add(since.saturating_sub(now)))
            }
            (Rule::Window { .. } | Rule::Calendar { .. }, State::Window { .. }) if cost <= self.room(state, now) => {
                Some(0)
            }
            (Rule::Window { limit, per, sliding: true }, State::Window { start, used, before }) => {
                // The share of a window's length that `before` may still count for, so that this fits.
                let share = |free: u64, of: u64| u128::from(free) * u128::from(*per) / u128::from(of.max(1));
                let end = start.saturating_add(*per);
                let at = match limit.checked_sub(*used).and_then(|left| left.checked_sub(cost)) {
                    Some(free) => u128::from(end).saturating_sub(share(free, *before)),
                    None => u128::from(end.saturating_add(*per)).saturating_sub(share(*limit - cost, *used)),
                };
                Some(u64::try_from(at.saturating_sub(u128::from(now))).unwrap_or(u64::MAX).max(1))
            }
            (Rule::Window { .. } | Rule::Calendar { .. }, State::Window { start, .. }) => {
                Some(self.bounds(*start).1.saturating_sub(now).max(1))
            }
            (Rule::Leases { limit, .. }, State::Leases(leases)) => {
                if (leases.len() as u64) < *limit {
                    return Some(0);
                }
                leases.iter().map(|(_, until)| until.saturating_sub(now)).min()
            }
            _ => None,
        }
    }

    fn add(&self, state: &mut State, cost: u64, lease: u64, now: Timestamp) {
        match (self, state) {
            (Rule::Leases { hold, .. }, State::Leases(leases)) => leases.push((lease, now.saturating_add(*hold))),
            (_, state) => self.charge(state, cost),
        }
    }

    fn charge(&self, state: &mut State, cost: u64) {
        match state {
            State::Bucket { per, level, .. } => {
                *level = level.saturating_add(u128::from(cost).saturating_mul(u128::from(*per)));
            }
            State::Window { used, .. } => *used = used.saturating_add(cost),
            State::Leases(_) => {}
        }
    }

    fn standing(&self, state: &State, now: Timestamp) -> Standing {
        let reset = match (self, state) {
            // What is held has no time at which it comes back; by then at the latest, one does.
            (Rule::Leases { .. }, State::Leases(leases)) => {
                leases.iter().map(|(_, until)| until.saturating_sub(now)).min().unwrap_or(0)
            }
            (Rule::Window { .. } | Rule::Calendar { .. }, State::Window { start, .. }) => {
                self.bounds(*start).1.saturating_sub(now)
            }
            _ => self.until(state).saturating_sub(now),
        };
        Standing { remaining: self.room(state, now), reset }
    }

    /// From when on this state says the same as none.
    fn until(&self, state: &State) -> Timestamp {
        match (self, state) {
            (Rule::Bucket { rate, .. }, State::Bucket { level, since, .. }) => {
                let time = level.checked_div(u128::from(*rate)).map_or(u128::MAX, |time| time.saturating_add(1));
                let time = if *level == 0 { 0 } else { u64::try_from(time).unwrap_or(u64::MAX) };
                since.saturating_add(time)
            }
            (Rule::Window { per, sliding, .. }, State::Window { start, .. }) => {
                start.saturating_add(*per).saturating_add(if *sliding { *per } else { 0 })
            }
            (_, State::Window { start, .. }) => self.bounds(*start).1,
            (_, State::Leases(leases)) => leases.iter().map(|(_, until)| *until).max().unwrap_or(0),
            (_, State::Bucket { since, .. }) => *since,
        }
    }
}

impl State {
    fn give_back(&mut self, cost: u64) {
        match self {
            State::Bucket { per, level, .. } => {
                *level = level.saturating_sub(u128::from(cost).saturating_mul(u128::from(*per)));
            }
            State::Window { used, .. } => *used = used.saturating_sub(cost),
            State::Leases(_) => {}
        }
    }

    fn holds(&self, name: u64) -> bool {
        matches!(self, State::Leases(leases) if leases.iter().any(|(lease, _)| *lease == name))
    }

    fn release(&mut self, name: u64) {
        if let State::Leases(leases) = self {
            leases.retain(|(lease, _)| *lease != name);
            if leases.is_empty() {
                // Most keys are idle most of the time, and memory is for those that are not.
                *leases = Vec::new();
            }
        }
    }
}

/// How long a bucket takes to be full again.
fn refill(rate: u64, per: u64, burst: u64) -> u64 {
    let time = (u128::from(burst) * u128::from(per)).checked_div(u128::from(rate)).unwrap_or(u128::MAX);
    u64::try_from(time).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: Timestamp = 1_750_000_000_000;

    #[test]
    fn counters_go_from_text_to_text() {
        let order = r#"{"r":[{"w":{"limit":1,"per":60000,"sliding":false}}],"a":{"t":{"c":1,"m":1,"p":0,"l":0}}}"#;
        let first = perform_in_text(order.as_bytes(), b"", 60_000).expect("an order");
        let lines: Vec<&str> = first.split('\n').collect();
        assert_eq!(lines[..3], [r#"{"g":1,"w":0,"s":[{"r":0,"t":60000}]}"#, "120000", "1"]);
        let second = perform_in_text(order.as_bytes(), lines[3].as_bytes(), 60_001).expect("an order");
        assert!(second.starts_with(r#"{"g":null,"w":59999,"#), "{second}");
        assert_eq!(second.split('\n').nth(3), Some(lines[3]), "who is refused takes nothing");
        let afresh = perform_in_text(order.as_bytes(), b"something else", 60_001).expect("an order");
        assert!(afresh.starts_with(r#"{"g":1,"#), "{afresh}");
        assert_eq!(perform_in_text(b"nonsense", b"", 0), None);
    }

    fn bucket(rate: u64, per: u64, burst: u64) -> Rule {
        Rule::Bucket { rate, per, burst }
    }

    fn window(limit: u64, per: u64, sliding: bool) -> Rule {
        Rule::Window { limit, per, sliding }
    }

    fn take(cost: u64) -> Act {
        Act::Take { cost, most: cost, patience: 0, lease: 0 }
    }

    /// Asks at these times, one after another; gives whether each was admitted.
    fn asked(rule: &Rule, times: &[(u64, u64)]) -> Vec<bool> {
        let mut state = None;
        let mut ask = |&(at, cost): &(u64, u64)| {
            let (admitted, next) = check(rule, state.take(), START + at, cost);
            state = Some(next);
            admitted
        };
        times.iter().map(&mut ask).collect()
    }

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let rule = bucket(10, 1_000, 3);
        let times = [(0, 1), (0, 1), (0, 1), (0, 1), (99, 1), (100, 1), (100, 1), (5_000, 3), (5_000, 1)];
        assert_eq!(asked(&rule, &times), [true, true, true, false, false, true, false, true, false]);
    }

    #[test]
    fn a_rate_that_divides_badly_loses_nothing() {
        // Seven a second, asked every millisecond for a hundred seconds.
        let admitted = asked(&bucket(7, 1_000, 7), &(0..=100_000).map(|at| (at, 1)).collect::<Vec<_>>());
        assert_eq!(admitted.iter().filter(|admitted| **admitted).count(), 7 + 700);
    }

    #[test]
    fn windows_begin_anew_and_sliding_ones_remember() {
        let fixed = window(10, 1_000, false);
        assert_eq!(asked(&fixed, &[(999, 10), (999, 1), (1_000, 10)]), [true, false, true]);
        let sliding = window(10, 1_000, true);
        // Half of the ten before still count.
        assert_eq!(asked(&sliding, &[(999, 10), (1_000, 1), (1_500, 5), (1_500, 1)]), [true, false, true, false]);
        assert_eq!(asked(&sliding, &[(999, 10), (3_000, 10)]), [true, true]);
    }

    #[test]
    fn what_it_says_to_wait_is_what_it_takes() {
        for rule in [bucket(7, 1_000, 5), bucket(1, 60_000, 1), window(5, 1_000, false), window(5, 1_000, true)] {
            for cost in 1..=rule.limit() {
                let mut kept = None;
                let mut now = START + 1;
                for _ in 0..20 {
                    let order = Order { rules: vec![rule.clone()], act: take(cost) };
                    let step = perform(&order, kept.clone(), now);
                    if step.decision.granted.is_some() {
                        kept = Some(step.kept);
                        continue;
                    }
                    let wait = step.decision.wait.expect("the cost is within the limit");
                    assert!(wait > 0);
                    let early = perform(&order, kept.clone(), now + wait - 1);
                    assert_eq!(early.decision.granted, None, "{rule:?} {cost} after {wait}");
                    let due = perform(&order, kept.clone(), now + wait);
                    assert_eq!(due.decision.granted, Some(cost), "{rule:?} {cost} after {wait}");
                    (now, kept) = (now + wait, Some(due.kept));
                }
            }
        }
    }

    #[test]
    fn several_limits_take_from_all_or_from_none() {
        let rules = vec![bucket(100, 1_000, 100), window(3, 3_600_000, false)];
        let order = Order { rules, act: take(2) };
        let first = perform(&order, None, START);
        assert_eq!(first.decision.granted, Some(2));
        assert_eq!(first.decision.standings.iter().map(|s| s.remaining).collect::<Vec<_>>(), [98, 1]);
        let second = perform(&order, Some(first.kept), START);
        assert_eq!(second.decision.granted, None);
        assert_eq!(second.decision.standings.iter().map(|s| s.remaining).collect::<Vec<_>>(), [98, 1]);
    }

    #[test]
    fn a_bucket_has_patience_a_window_has_none() {
        let act = Act::Take { cost: 1, most: 1, patience: 150, lease: 0 };
        let mut kept = None;
        let mut waits = Vec::new();
        for _ in 0..4 {
            let step = perform(&Order { rules: vec![bucket(10, 1_000, 1)], act }, kept, START);
            waits.push((step.decision.granted, step.decision.wait));
            kept = Some(step.kept);
        }
        assert_eq!(waits, [(Some(1), Some(0)), (Some(1), Some(100)), (None, Some(200)), (None, Some(200))]);
        let full = perform(&Order { rules: vec![window(1, 100, false)], act }, None, START).kept;
        let step = perform(&Order { rules: vec![window(1, 100, false)], act }, Some(full), START);
        assert_eq!(step.decision.granted, None);
    }

    #[test]
    fn as_much_as_there_is_and_not_less_than_is_needed() {
        let act = Act::Take { cost: 2, most: 50, patience: 0, lease: 0 };
        let order = Order { rules: vec![bucket(1, 1_000, 30)], act };
        let first = perform(&order, None, START);
        assert_eq!(first.decision.granted, Some(30));
        assert_eq!(perform(&order, Some(first.kept), START).decision.granted, None);
    }

    #[test]
    fn a_lease_that_nobody_gives_back_ends_by_itself() {
        let rules = vec![Rule::Leases { limit: 2, hold: 1_000 }];
        let lease = |lease| Order { rules: rules.clone(), act: Act::Take { cost: 1, most: 1, patience: 0, lease } };
        let one = perform(&lease(1), None, START);
        let two = perform(&lease(2), Some(one.kept), START + 1);
        let three = perform(&lease(3), Some(two.kept.clone()), START + 2);
        assert_eq!((three.decision.granted, three.decision.wait), (None, Some(998)));
        let released =
            perform(&Order { rules: rules.clone(), act: Act::Release(2) }, Some(two.kept.clone()), START + 2);
        assert_eq!(perform(&lease(3), Some(released.kept), START + 2).decision.granted, Some(1));
        assert_eq!(perform(&lease(3), Some(two.kept), START + 1_000).decision.granted, Some(1));
    }

    #[test]
    fn what_may_happen_once_happens_again_only_when_its_time_is_over() {
        let order = |name| Order { rules: vec![Rule::Leases { limit: 2, hold: 1_000 }], act: Act::Once(name) };
        let one = perform(&order(1), None, START);
        assert_eq!(one.decision.granted, Some(1));
        let again = perform(&order(1), Some(one.kept), START + 999);
        assert_eq!(again.decision.granted, None);
        let other = perform(&order(2), Some(again.kept), START + 999);
        assert_eq!(other.decision.granted, Some(1));
        // Where there is no room to remember it, nobody could say that it happens once.
        assert_eq!(perform(&order(3), Some(other.kept.clone()), START + 999).decision.granted, None);
        assert_eq!(perform(&order(1), Some(other.kept), START + 1_000).decision.granted, Some(1));
    }

    #[test]
    fn what_was_used_is_charged_even_over_the_limit_and_given_back() {
        for rule in [bucket(10, 1_000, 10), window(10, 1_000, false)] {
            let order = |act| Order { rules: vec![rule.clone()], act };
            let kept = perform(&order(Act::Charge(12)), None, START).kept;
            assert_eq!(perform(&order(take(1)), Some(kept.clone()), START).decision.granted, None);
            let kept = perform(&order(Act::GiveBack(3)), Some(kept), START).kept;
            assert_eq!(perform(&order(take(1)), Some(kept.clone()), START).decision.granted, Some(1));
            assert_eq!(perform(&order(take(2)), Some(kept), START).decision.granted, None);
        }
    }

    #[test]
    fn nothing_wraps_at_the_ends_of_the_numbers() {
        let numbers = [0, 1, 2, 1 << 32, u64::MAX - 1, u64::MAX];
        let rules = numbers.iter().flat_map(|&limit| {
            numbers.iter().flat_map(move |&per| {
                let every = Period::Month;
                [
                    bucket(limit, per, limit),
                    bucket(1, per, limit),
                    bucket(limit, per, 1),
                    window(limit, per, false),
                    window(limit, per, true),
                    Rule::Leases { limit, hold: per },
                    Rule::Calendar { limit, every, zone: Zone::utc() },
                ]
            })
        });
        for rule in rules {
            for cost in numbers {
                let mut kept = None;
                for now in [0, u64::MAX, 0, START, u64::MAX - 1, START] {
                    for act in [take(cost), Act::Charge(cost), Act::GiveBack(cost), take(1)] {
                        let step = perform(&Order { rules: vec![rule.clone()], act }, kept, now);
                        if let Act::Take { cost, .. } = act
                            && cost > rule.limit()
                            && !matches!(rule, Rule::Leases { .. })
                        {
                            assert_eq!(step.decision.granted, None, "{rule:?} {act:?}");
                        }
                        kept = Some(step.kept);
                    }
                }
            }
        }
        assert_eq!(asked(&bucket(0, 1_000, 0), &[(0, 1), (1 << 40, 1)]), [false, false]);
    }

    #[test]
    fn what_is_kept_is_read_as_it_was_written() {
        let rules = vec![bucket(u64::MAX, 7, u64::MAX), window(3, 10, true), Rule::Leases { limit: 1, hold: 5 }];
        let kept = perform(&Order { rules, act: take(1) }, None, START).kept;
        let text = serde_json::to_string(&kept).expect("plain values");
        assert_eq!(serde_json::from_str::<Kept>(&text).expect("what was written"), kept);
        let large = State::Bucket { per: u64::MAX, level: u128::MAX, since: u64::MAX };
        let text = serde_json::to_string(&large).expect("plain values");
        assert_eq!(serde_json::from_str::<State>(&text).expect("what was written"), large);
    }

    #[test]
    fn counters_of_other_rules_are_none() {
        let kept = perform(&Order { rules: vec![window(1, 10, true)], act: take(1) }, None, START).kept;
        let order = Order { rules: vec![bucket(1, 1_000, 1), window(1, 10, false)], act: take(1) };
        assert_eq!(perform(&order, Some(kept), START).decision.granted, Some(1));
    }

    #[test]
    fn an_hour_of_a_wrong_clock_does_not_stop_a_bucket_for_an_hour() {
        // Empty at a time that was an hour ahead; after that, the rate of the right time counts again.
        let rule = bucket(10, 1_000, 10);
        let times = [(3_600_000, 10), (3_600_000, 1), (0, 1), (100, 1), (1_100, 10)];
        assert_eq!(asked(&rule, &times), [true, false, false, true, true]);
    }

    /// When and what somebody asks, the clock going wherever it likes.
    fn story() -> impl Strategy<Value = Vec<(i64, u64)>> {
        let step = prop_oneof![
            8 => 0_i64..50,
            2 => 50_i64..5_000,
            1 => -200_i64..0,
            1 => Just(-10_000_000_i64),
            1 => Just(10_000_000_i64),
        ];
        proptest::collection::vec((step, 0_u64..4), 1..200)
    }

    proptest! {
        #[test]
        fn no_story_admits_more_than_rate_times_time_and_burst(
            story in story(), rate in 1_u64..50, per in 1_u64..3_000, burst in 0_u64..20, patience in 0_u64..500,
        ) {
            let rule = bucket(rate, per, burst);
            let (mut now, mut passed, mut kept) = (START, 0_u128, None);
            let mut admitted = 0_u128;
            for (step, cost) in story {
                now = now.saturating_add_signed(step);
                // Only time that passes forwards refills.
                passed += u128::from(u64::try_from(step).unwrap_or(0));
                let act = Act::Take { cost, most: cost + 3, patience, lease: 0 };
                let step = perform(&Order { rules: vec![rule.clone()], act }, kept, now);
                admitted += u128::from(step.decision.granted.unwrap_or(0));
                kept = Some(step.kept);
                let waiting = u128::from(patience) * u128::from(rate);
                let most = passed * u128::from(rate) + u128::from(burst) * u128::from(per) + waiting;
                prop_assert!(admitted * u128::from(per) <= most, "{admitted} after {passed} ms");
            }
        }

        #[test]
        fn what_a_refusal_leaves_need_not_be_kept(
            story in story(), rate in 1_u64..50, limit in 1_u64..20, per in 1_u64..3_000, sliding: bool,
        ) {
            let leases = Rule::Leases { limit, hold: per };
            for rule in [bucket(rate, per, limit), window(limit, per, sliding), leases] {
                let (mut now, mut kept, mut text) = (START, None, String::new());
                // What a clock that went back would have done to what is not kept is in its favour.
                for (lease, (step, cost)) in (1..).zip(story.clone()).filter(|(_, (step, _))| *step >= 0) {
                    now = now.saturating_add_signed(step);
                    let act = Act::Take { cost, most: cost, patience: 0, lease };
                    let order = Order { rules: vec![rule.clone()], act };
                    let always = perform(&order, kept, now);
                    let (sparing, next) = perform_on_kept_text(&order, text.as_bytes(), now).expect("text");
                    prop_assert_eq!(&sparing, &always);
                    text = next.unwrap_or(text);
                    kept = Some(always.kept);
                }
            }
        }

        #[test]
        fn no_window_admits_more_than_its_limit(story in story(), limit in 0_u64..20, per in 1_u64..3_000, sliding: bool) {
            let rule = window(limit, per, sliding);
            let (mut now, mut kept) = (START, None);
            let mut admitted = std::collections::HashMap::new();
            // The clock only goes on here: what is the same window after it went back is a matter of taste.
            for (step, cost) in story.into_iter().filter(|(step, _)| *step >= 0) {
                now = now.saturating_add_signed(step);
                let step = perform(&Order { rules: vec![rule.clone()], act: take(cost) }, kept, now);
                let window: &mut u64 = admitted.entry(now / per).or_default();
                *window += step.decision.granted.unwrap_or(0);
                prop_assert!(*window <= limit);
                kept = Some(step.kept);
            }
        }

        #[test]
        fn a_clock_that_goes_back_gives_no_second_window(
            back in 1_u64..10_000_000, limit in 1_u64..20, per in 1_u64..3_000,
        ) {
            let rule = window(limit, per, false);
            let full = perform(&Order { rules: vec![rule.clone()], act: take(limit) }, None, START).kept;
            let again = perform(&Order { rules: vec![rule], act: take(1) }, Some(full), START - back);
            prop_assert_eq!(again.decision.granted, None);
        }

        #[test]
        fn what_is_over_says_what_nothing_says(story in story(), rate in 1_u64..50, burst in 1_u64..20, sliding: bool) {
            for rule in [bucket(rate, 1_000, burst), window(burst, 1_000, sliding)] {
                let (mut now, mut kept) = (START, None);
                for (step, cost) in story.iter().filter(|(step, _)| *step >= 0) {
                    now = now.saturating_add_signed(*step);
                    let order = Order { rules: vec![rule.clone()], act: take(*cost) };
                    let step = perform(&order, kept, now);
                    let (late, fresh) = (perform(&order, Some(step.kept.clone()), step.until), perform(&order, None, step.until));
                    prop_assert_eq!(late.decision, fresh.decision);
                    kept = Some(step.kept);
                }
            }
        }
    }
}
