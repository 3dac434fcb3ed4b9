//! What has happened lately, of all instances: requests of each route over time, who calls most, which limits are nearly used up,
//! and the latest requests and failures.
//!
//! Everything is bounded: so many periods, so many routes in each, so many callers, so many lines and bytes of them. An instance gathers a few
//! seconds' worth and adds it to the [ledger](crate::ledger::Ledger::Activity), whose owner keeps the last day.

use crate::platform::Timestamp;
use crate::record;
use crate::telemetry::watch::{Nearly, Record};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// What has happened, in one instance or in all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Activity {
    /// When the last request was answered.
    #[serde(rename = "t")]
    pub last: Timestamp,
    /// By the number of a period of [`FINE`], and the route.
    #[serde(rename = "f")]
    pub fine: BTreeMap<u64, Routes>,
    /// By the number of a period of [`COARSE`], and the route.
    #[serde(rename = "g")]
    pub coarse: BTreeMap<u64, Routes>,
    /// Why requests were refused, by the number of a period of [`COARSE`].
    #[serde(rename = "r")]
    pub refusals: BTreeMap<u64, Vec<Refusal>>,
    /// Who has called, by the number of a period of [`COARSE`].
    #[serde(rename = "c")]
    pub consumers: BTreeMap<u64, BTreeMap<String, Calls>>,
    /// Limits that are nearly used up.
    #[serde(rename = "l")]
    pub limits: Vec<Limited>,
    /// The latest requests.
    #[serde(rename = "q")]
    pub requests: Ring,
    /// The latest failures.
    #[serde(rename = "e")]
    pub errors: Ring,
}

/// What has come to each route; what no route took stands under "".
pub type Routes = BTreeMap<String, Cell>;

/// A period's requests: of 1xx to 5xx, refused, milliseconds, and then how many of each class of durations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cell(pub Vec<u64>);

/// How often requests were refused for one reason.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The route; "" where none took the request.
    #[serde(rename = "r")]
    pub route: String,
    /// The kind of the policy; "" where none was it.
    #[serde(rename = "p")]
    pub policy: String,
    /// The problem's code.
    #[serde(rename = "c")]
    pub problem: String,
    /// How often.
    #[serde(rename = "n")]
    pub count: u64,
    /// When last.
    #[serde(rename = "t")]
    pub last: Timestamp,
}

/// How often somebody has called.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calls {
    /// Requests.
    #[serde(rename = "n")]
    pub requests: u64,
    /// Those that failed with 5xx.
    #[serde(rename = "e")]
    pub errors: u64,
    /// Those that the gateway has refused.
    #[serde(rename = "r")]
    pub refused: u64,
    /// When last.
    #[serde(rename = "t")]
    pub last: Timestamp,
}

/// A limit that is nearly used up for somebody.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limited {
    /// The name of the policy.
    #[serde(rename = "p")]
    pub limit: String,
    /// The name of the limit in it.
    #[serde(rename = "l")]
    pub rule: String,
    /// Who called.
    #[serde(rename = "w")]
    pub caller: String,
    /// By which route.
    #[serde(rename = "u")]
    pub route: String,
    /// Of so many.
    #[serde(rename = "o")]
    pub of: u64,
    /// So many are left.
    #[serde(rename = "r")]
    pub remaining: u64,
    /// When it was seen.
    #[serde(rename = "t")]
    pub at: Timestamp,
    /// From when on it says nothing more.
    #[serde(rename = "x")]
    pub resets: Timestamp,
}

/// The latest of some lines, each with its number.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ring {
    /// The number of the next one.
    #[serde(rename = "n")]
    pub next: u64,
    /// How many were left out because there were too many at once.
    #[serde(rename = "d")]
    pub dropped: u64,
    /// Number and line, oldest first.
    #[serde(rename = "l")]
    pub lines: VecDeque<(u64, String)>,
}

/// The shorter kind of period, in milliseconds, and how many of them are kept.
pub const FINE: (u64, usize) = (10_000, 90);

/// The longer kind.
pub const COARSE: (u64, usize) = (600_000, 144);

/// Callers and refusals are kept for so many periods of [`COARSE`]: an hour.
pub const HOUR: usize = 6;

/// Upper bounds of the classes of durations, in milliseconds; the last class has none.
pub const BOUNDS: [u64; 11] = [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000];

/// The route under which all stand that are too many in a period.
pub const OVERFLOW: &str = "otel_metric_overflow";

/// So many routes are told apart in a period.
const MOST_ROUTES: usize = 40;

/// So many callers, and reasons of refusals.
const MOST_CALLERS: usize = 100;

/// So many limits.
const MOST_LIMITS: usize = 100;

/// So many lines of the latest requests are kept, and of failures; and so many bytes of them.
const MOST_REQUESTS: (usize, usize) = (400, 512 * 1024);
const MOST_ERRORS: (usize, usize) = (150, 192 * 1024);

/// So many of each an instance gathers between two additions.
const MOST_AT_ONCE: (usize, usize) = (100, 128 * 1024);

/// What is longer is hardly one's own name, in bytes.
const LONGEST_NAME: usize = 200;

/// Before the classes of durations.
const HEAD: usize = 7;

impl Cell {
    /// How many requests.
    pub fn requests(&self) -> u64 {
        self.0.iter().take(5).sum()
    }

    /// How many of 1xx to 5xx.
    pub fn statuses(&self) -> [u64; 5] {
        std::array::from_fn(|class| self.at(class))
    }

    /// How many were refused by the gateway.
    pub fn refused(&self) -> u64 {
        self.at(5)
    }

    /// How long all took together, in milliseconds.
    pub fn duration(&self) -> u64 {
        self.at(6)
    }

    /// How many of each class of durations.
    pub fn classes(&self) -> Vec<u64> {
        (0..=BOUNDS.len()).map(|class| self.at(HEAD + class)).collect()
    }

    fn at(&self, place: usize) -> u64 {
        self.0.get(place).copied().unwrap_or(0)
    }

    fn add(&mut self, place: usize, more: u64) {
        if self.0.len() <= place {
            self.0.resize(place + 1, 0);
        }
        if let Some(sum) = self.0.get_mut(place) {
            *sum = sum.saturating_add(more);
        }
    }

    fn merge(&mut self, other: &Self) {
        // A text of somebody else's making must not take all memory.
        other.0.iter().take(HEAD + BOUNDS.len() + 1).enumerate().for_each(|(place, more)| self.add(place, *more));
    }
}

impl Calls {
    fn merge(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.errors = self.errors.saturating_add(other.errors);
        self.refused = self.refused.saturating_add(other.refused);
        self.last = self.last.max(other.last);
    }
}

impl Ring {
    /// Adds a line, where there is room for one more in this addition.
    fn push(&mut self, line: String) {
        let (most, bytes) = MOST_AT_ONCE;
        if self.lines.len() >= most || self.bytes() + line.len() > bytes {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        self.lines.push_back((self.next, line));
        self.next += 1;
    }

    fn merge(&mut self, other: Self, (most, most_bytes): (usize, usize)) {
        self.dropped = self.dropped.saturating_add(other.dropped);
        for (_, line) in other.lines {
            self.lines.push_back((self.next, line));
            self.next += 1;
        }
        let mut bytes = self.bytes();
        while (self.lines.len() > most || bytes > most_bytes)
            && let Some((_, line)) = self.lines.pop_front()
        {
            bytes -= line.len();
        }
    }

    fn bytes(&self) -> usize {
        self.lines.iter().map(|(_, line)| line.len()).sum()
    }
}

impl Activity {
    /// Whether nothing has happened.
    pub fn is_empty(&self) -> bool {
        self.last == 0
    }

    /// Notes a request. `line` makes its line of the access log; `sampled` says whether it is one for the live tail.
    pub fn note(&mut self, record: &Record, sampled: bool, line: impl Fn() -> String) {
        let now = record.ended.max(1);
        let route = record.route.as_deref().unwrap_or_default();
        self.last = self.last.max(now);
        for (periods, (length, _)) in [(&mut self.fine, FINE), (&mut self.coarse, COARSE)] {
            let cell = cell(periods.entry(now / length).or_default(), route);
            cell.add(usize::from(record.status / 100).clamp(1, 5) - 1, 1);
            cell.add(5, u64::from(record.problem.is_some()));
            cell.add(6, record.took());
            cell.add(HEAD + BOUNDS.partition_point(|bound| *bound < record.took()), 1);
        }
        let period = now / COARSE.0;
        if let Some(problem) = record.problem {
            let policy = record.decided_by.unwrap_or_default();
            let refusals = self.refusals.entry(period).or_default();
            let refusal = Refusal {
                route: route.to_owned(),
                policy: policy.to_owned(),
                problem: problem.to_owned(),
                count: 1,
                last: now,
            };
            add_refusal(refusals, refusal);
        }
        if let Some(consumer) = record.consumer.as_deref().filter(|name| name.len() <= LONGEST_NAME) {
            let (errors, refused) = (u64::from(record.failed()), u64::from(record.problem.is_some()));
            let calls = Calls { requests: 1, errors, refused, last: now };
            let consumers = self.consumers.entry(period).or_default();
            // Here, who is new must not push out who has called a lot: that is for the owner to see.
            if consumers.len() < MOST_CALLERS * 2 || consumers.contains_key(consumer) {
                consumers.entry(consumer.to_owned()).or_default().merge(&calls);
            }
        }
        for Nearly { limit, rule, of, remaining, reset } in &record.nearly {
            let address = || record.client.map(|address| address.to_canonical().to_string());
            let consumer = record.consumer.clone().filter(|name| name.len() <= LONGEST_NAME);
            let caller = consumer.or_else(address).unwrap_or_default();
            self.add_limited(Limited {
                limit: limit.clone(),
                rule: rule.clone(),
                caller,
                route: route.to_owned(),
                of: *of,
                remaining: *remaining,
                at: now,
                resets: now.saturating_add(*reset),
            });
        }
        if sampled {
            self.requests.push(line());
        }
        if record.failed() {
            self.errors.push(line());
        }
    }

    fn add_limited(&mut self, new: Limited) {
        self.limits.retain(|old| {
            (&old.limit, &old.rule, &old.caller) != (&new.limit, &new.rule, &new.caller) || old.at > new.at
        });
        let is_older = |old: &Limited| (&old.limit, &old.rule, &old.caller) == (&new.limit, &new.rule, &new.caller);
        if !self.limits.iter().any(is_older) {
            self.limits.push(new);
        }
        if self.limits.len() > MOST_LIMITS {
            // Who has most left is of least interest.
            let least = (0..self.limits.len()).max_by_key(|place| self.limits.get(*place).map(Limited::left));
            if let Some(least) = least {
                self.limits.swap_remove(least);
            }
        }
    }

    fn merge(&mut self, other: Activity) {
        self.last = self.last.max(other.last);
        for (mine, theirs) in [(&mut self.fine, other.fine), (&mut self.coarse, other.coarse)] {
            for (period, routes) in theirs {
                let period = mine.entry(period).or_default();
                routes.iter().for_each(|(route, more)| cell(period, route).merge(more));
            }
        }
        for (period, refusals) in other.refusals {
            let mine = self.refusals.entry(period).or_default();
            refusals.into_iter().for_each(|refusal| add_refusal(mine, refusal));
        }
        for (period, consumers) in other.consumers {
            let mine = self.consumers.entry(period).or_default();
            for (consumer, calls) in consumers {
                mine.entry(consumer).or_default().merge(&calls);
            }
            while mine.len() > MOST_CALLERS * 2 {
                let Some(least) = mine.iter().min_by_key(|(_, calls)| calls.requests) else { break };
                let least = least.0.clone();
                mine.remove(&least);
            }
        }
        other.limits.into_iter().for_each(|limited| self.add_limited(limited));
        self.requests.merge(other.requests, MOST_REQUESTS);
        self.errors.merge(other.errors, MOST_ERRORS);
        self.forget();
    }

    /// Forgets what is too old, as of the last request.
    fn forget(&mut self) {
        let now = self.last;
        for (periods, (length, most)) in [(&mut self.fine, FINE), (&mut self.coarse, COARSE)] {
            let oldest = (now / length).saturating_sub(most as u64 - 1);
            periods.retain(|period, _| *period >= oldest);
        }
        let oldest = (now / COARSE.0).saturating_sub(HOUR as u64 - 1);
        self.refusals.retain(|period, _| *period >= oldest);
        self.consumers.retain(|period, _| *period >= oldest);
        self.limits.retain(|limited| now < limited.resets);
    }

    /// Reads what [`merge`] has written. What another version has kept counts as nothing.
    pub fn read(text: &[u8]) -> Self {
        record::read(text).unwrap_or_default()
    }

    /// As text for [`merge`]; nothing is left.
    pub fn take(&mut self) -> Vec<u8> {
        // Texts and numbers: it cannot fail.
        serde_json::to_vec(&std::mem::take(self)).unwrap_or_default()
    }
}

impl Limited {
    /// What share of it is left, in parts of a million.
    fn left(&self) -> u64 {
        self.remaining.saturating_mul(1_000_000) / self.of.max(1)
    }
}

/// What has come to a route in a period; of those that are too many, to all of them.
fn cell<'c>(routes: &'c mut Routes, route: &str) -> &'c mut Cell {
    let route = if routes.len() >= MOST_ROUTES && !routes.contains_key(route) { OVERFLOW } else { route };
    routes.entry(route.to_owned()).or_default()
}

fn add_refusal(refusals: &mut Vec<Refusal>, new: Refusal) {
    let same = |old: &&mut Refusal| (&old.route, &old.policy, &old.problem) == (&new.route, &new.policy, &new.problem);
    if let Some(old) = refusals.iter_mut().find(same) {
        old.count = old.count.saturating_add(new.count);
        old.last = old.last.max(new.last);
    } else if refusals.len() < MOST_CALLERS {
        refusals.push(new);
    }
}

/// The step of the owner: what it kept and what an instance has gathered make what it keeps.
pub fn merge(kept: &[u8], added: &[u8]) -> Vec<u8> {
    let (mut kept, added) = (Activity::read(kept), Activity::read(added));
    kept.merge(added);
    kept.take()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Scheme;

    fn record(route: &str, status: u16, began: Timestamp, took: u64) -> Record {
        let mut record = Record::new("id".to_owned(), began, "GET", Scheme::Http, "a");
        record.route = Some(route.to_owned());
        record.status = status;
        record.ended = began + took;
        record
    }

    fn noted(records: &[Record]) -> Vec<u8> {
        let mut activity = Activity::default();
        records.iter().for_each(|record| activity.note(record, true, || record.request_id.clone()));
        activity.take()
    }

    #[test]
    fn what_instances_have_seen_adds_up() {
        let one = noted(&[record("a", 200, 5_000, 5), record("a", 503, 6_000, 300)]);
        let other = noted(&[record("a", 200, 9_000, 0), record("b", 404, 10_001, 0)]);
        let kept = merge(&merge(b"", &one), &other);
        let activity = Activity::read(&kept);
        let cell = &activity.fine[&0]["a"];
        assert_eq!((cell.requests(), cell.statuses(), cell.duration()), (3, [0, 2, 0, 0, 1], 305));
        assert_eq!(cell.classes(), [2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0]);
        assert_eq!(activity.fine[&1].keys().collect::<Vec<_>>(), ["b"]);
        assert_eq!(activity.coarse[&0]["a"].requests(), 3);
        let numbers: Vec<_> = activity.requests.lines.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [0, 1, 2, 3]);
        assert_eq!((activity.errors.lines.len(), activity.errors.next), (1, 1));
        assert_eq!(merge(&kept, b""), kept, "nothing is added");
    }

    #[test]
    fn what_is_old_is_forgotten() {
        let day = COARSE.0 * COARSE.1 as u64;
        let kept = merge(b"", &noted(&[record("a", 200, 1_000, 0)]));
        let activity = Activity::read(&merge(&kept, &noted(&[record("a", 200, day, 0)])));
        assert_eq!((activity.fine.len(), activity.coarse.len()), (1, 1));
        let activity = Activity::read(&merge(&kept, &noted(&[record("a", 200, day - 1, 0)])));
        assert_eq!((activity.fine.len(), activity.coarse.len()), (1, 2));
    }

    #[test]
    fn everything_is_bounded() {
        let mut kept = Vec::new();
        for round in 0..40_u64 {
            let records: Vec<_> = (0..200)
                .map(|number| {
                    let mut record = record(&format!("route-{}", round * 200 + number), 500, 1_000 + round, 0);
                    record.consumer = Some(format!("caller-{}", round * 200 + number));
                    record.problem = Some("internal");
                    record.nearly = vec![Nearly {
                        limit: "l".to_owned(),
                        rule: "r".to_owned(),
                        of: 100,
                        remaining: number % 20,
                        reset: 1_000_000,
                    }];
                    record
                })
                .collect();
            kept = merge(&kept, &noted(&records));
        }
        let activity = Activity::read(&kept);
        assert!(activity.fine[&0].len() <= MOST_ROUTES + 1, "{}", activity.fine[&0].len());
        assert_eq!(activity.fine[&0].values().map(Cell::requests).sum::<u64>(), 8_000, "nothing is lost");
        assert_eq!(activity.consumers[&0].len(), MOST_CALLERS * 2);
        assert_eq!(activity.refusals[&0].len(), MOST_CALLERS);
        assert_eq!(activity.limits.len(), MOST_LIMITS);
        assert_eq!((activity.requests.lines.len(), activity.errors.lines.len()), (MOST_REQUESTS.0, MOST_ERRORS.0));
        assert_eq!((activity.requests.next, activity.requests.dropped), (4_000, 4_000));
        assert!(kept.len() < 300_000, "{}", kept.len());
    }

    #[test]
    fn long_lines_are_bounded_by_their_bytes_and_what_is_left_out_is_counted() {
        let long = |lines: usize, bytes: usize| {
            let mut activity = Activity::default();
            let failed = record("a", 500, 1_000, 0);
            (0..lines).for_each(|_| activity.note(&failed, true, || "x".repeat(bytes)));
            activity.take()
        };
        let mut kept = Vec::new();
        for _ in 0..20 {
            let added = long(100, 4_096);
            assert!(added.len() < 2 * MOST_AT_ONCE.1 + 2_000, "{}", added.len());
            kept = merge(&kept, &added);
        }
        let activity = Activity::read(&kept);
        assert_eq!((activity.requests.next, activity.requests.dropped), (20 * 32, 20 * 68));
        assert_eq!(activity.requests.lines.back().map(|(number, _)| *number), Some(20 * 32 - 1));
        assert!(activity.requests.bytes() <= MOST_REQUESTS.1 && activity.errors.bytes() <= MOST_ERRORS.1);
        assert_eq!(activity.fine[&0]["a"].requests(), 2_000, "nothing is lost");
        // What an owner has kept before there was such a bound goes as well.
        let mut old = Activity { last: 1_000, ..Activity::default() };
        old.requests.lines = (0..400).map(|number| (number, "x".repeat(60_000))).collect();
        old.requests.next = 400;
        let kept = merge(&serde_json::to_vec(&old).expect("text"), &long(1, 10));
        assert!(kept.len() < MOST_REQUESTS.1 + 10_000, "{}", kept.len());
    }

    #[test]
    fn who_calls_most_stays_and_a_limit_that_is_over_goes() {
        let mut often = record("a", 200, 1_000, 0);
        often.consumer = Some("often".to_owned());
        often.nearly = vec![Nearly { limit: "l".into(), rule: "r".into(), of: 10, remaining: 1, reset: 5_000 }];
        let mut kept = merge(b"", &noted(&vec![often; 50]));
        assert_eq!(Activity::read(&kept).limits.len(), 1);
        for number in 0..1_000 {
            let mut once = record("a", 200, 7_000, 0);
            once.consumer = Some(number.to_string());
            kept = merge(&kept, &noted(&[once]));
        }
        let activity = Activity::read(&kept);
        assert_eq!(activity.consumers[&0]["often"].requests, 50);
        assert!(activity.limits.is_empty());
    }
}
