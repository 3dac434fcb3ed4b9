//! What checks say of targets: active health, as far as it is a matter of values.
//!
//! Somebody asks each target how it is, once in an interval, and writes what came of it on the upstream's [`Board`]. The board
//! lies in the platform's store, where every instance reads it: when it starts, and now and then ([`Watch`]). A target is
//! *ill* when so many checks in a row were bad, and well again when so many were good. A finding that nobody has confirmed
//! for a while counts no more: where nobody checks, nobody is ill.

use crate::platform::Timestamp;
use crate::record;
use crate::template::Template;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How targets are asked how they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckRules {
    /// What they are asked, and what a good answer is.
    pub probe: Probe,
    /// Fields that go with it.
    pub headers: Vec<(String, Template)>,
    /// Once in so many milliseconds.
    pub interval: u64,
    /// How long an answer may take, in milliseconds, its body included.
    pub timeout: u64,
    /// An ill target is well after so many good answers in a row.
    pub healthy: u32,
    /// A target is ill after so many bad ones.
    pub unhealthy: u32,
}

/// What targets are asked, and what a good answer is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// A request of its own.
    Http {
        /// Its method.
        method: String,
        /// Path and query, from the root of the target's host.
        path: String,
        /// First and last of the statuses that are good.
        statuses: Vec<(u16, u16)>,
        /// What a good body has in it.
        body: Option<Sought>,
    },
    /// `grpc.health.v1.Health/Check`.
    Grpc {
        /// The service that is asked about; empty: the server.
        service: String,
        /// Whether in the form that needs no HTTP/2 (gRPC-Web).
        web: bool,
    },
}

/// What a good body has in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sought {
    /// This text.
    Contains(String),
    /// Something that this finds.
    Matches(crate::route::Regex),
}

impl Sought {
    /// Whether it is there.
    pub fn is_in(&self, body: &[u8]) -> bool {
        let text = String::from_utf8_lossy(body);
        match self {
            Sought::Contains(wanted) => text.contains(wanted.as_str()),
            Sought::Matches(regex) => regex.is_match(&text),
        }
    }
}

/// Targets are asked so many at a time: Workers have no more connections that wait for a response's head.
pub const AT_ONCE: usize = 6;

impl CheckRules {
    /// How long a round takes at most, of so many targets, in milliseconds.
    pub fn longest_round(&self, targets: usize) -> u64 {
        self.timeout.saturating_mul(targets.div_ceil(AT_ONCE) as u64)
    }

    /// For how long a finding counts, in milliseconds.
    fn holds(&self, targets: usize) -> u64 {
        self.interval.saturating_mul(3).saturating_add(self.longest_round(targets))
    }

    /// Until when a target is out because of a finding, should nobody confirm it; `None`: it is well.
    pub fn ill_until(&self, finding: &Finding, targets: usize) -> Option<Timestamp> {
        finding.ill.then(|| finding.at.saturating_add(self.holds(targets)))
    }

    /// Whether a finding still counts.
    pub fn counts(&self, finding: &Finding, targets: usize, now: Timestamp) -> bool {
        now < finding.at.saturating_add(self.holds(targets))
    }

    /// When the next round is due.
    pub fn due(&self, board: &Board) -> Timestamp {
        board.round.saturating_add(self.interval)
    }
}

/// What a check has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The answer was as expected.
    Good,
    /// It was not, and why.
    Bad(String),
    /// The target could not be asked, for a reason that is not its own.
    Unknown(String),
}

/// What checks have found of an upstream's targets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Board {
    /// When the last round began.
    #[serde(rename = "r")]
    pub round: Timestamp,
    /// By the number of a target's address, see [`name`].
    #[serde(rename = "t")]
    pub findings: BTreeMap<String, Finding>,
}

/// What checks have found of one target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// When it was asked last.
    #[serde(rename = "a")]
    pub at: Timestamp,
    /// Whether it is ill.
    #[serde(rename = "i")]
    pub ill: bool,
    /// How many of the last answers, one after another, have said the opposite.
    #[serde(rename = "c")]
    pub contrary: u32,
}

/// What a target is called on a board: its address as a number, so that it keeps its finding wherever it stands.
pub fn name(identity: u64) -> String {
    format!("{identity:016x}")
}

impl Finding {
    /// What is known after one more answer.
    pub fn after(self, good: bool, now: Timestamp, rules: &CheckRules) -> Self {
        let contrary = if good == self.ill { self.contrary + 1 } else { 0 };
        let wanted = if self.ill { rules.healthy } else { rules.unhealthy };
        if contrary >= wanted.max(1) {
            return Self { at: now, ill: !self.ill, contrary: 0 };
        }
        Self { at: now, contrary, ..self }
    }
}

impl Board {
    /// Reads what a store has kept. What another version has written counts as nothing.
    pub fn read(text: &[u8]) -> Self {
        record::read(text).unwrap_or_default()
    }

    /// What a store keeps; one line.
    pub fn write(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Two boards of one upstream as one: of each target what was found last, in whichever order they come.
    pub fn merge(mut self, other: Self) -> Self {
        self.round = self.round.max(other.round);
        for (name, finding) in other.findings {
            let known = self.findings.entry(name).or_insert(finding);
            *known = (*known).max(finding);
        }
        self
    }

    /// What is known after a round that began `then`. Targets that were not asked in it are no longer there.
    pub fn after(&self, verdicts: &[(u64, Verdict)], then: Timestamp, rules: &CheckRules) -> Self {
        let findings = verdicts.iter().map(|(identity, verdict)| {
            let name = name(*identity);
            let known = self.findings.get(&name).copied().filter(|known| rules.counts(known, verdicts.len(), then));
            let finding = match verdict {
                Verdict::Good => known.unwrap_or_default().after(true, then, rules),
                Verdict::Bad(_) => known.unwrap_or_default().after(false, then, rules),
                Verdict::Unknown(_) => known.unwrap_or_default(),
            };
            (name, finding)
        });
        Self { round: then, findings: findings.collect() }
    }
}

/// When an instance looks at the board.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Watch {
    /// When it did last.
    looked: Option<Timestamp>,
    /// When it does again.
    next: Timestamp,
}

impl Watch {
    /// Whether a request should wait for the board: nobody has looked since the instance began, or for so long that what was
    /// known counts no more.
    pub fn lacks(&self, rules: &CheckRules, targets: usize, now: Timestamp) -> bool {
        self.looked.is_none_or(|looked| now.saturating_sub(looked) > rules.holds(targets))
    }

    /// Whether it is time to look.
    pub fn is_due(&self, now: Timestamp) -> bool {
        now >= self.next
    }

    /// Somebody looks now. Should nothing come of it, the next one does not look at once.
    pub fn look(&mut self, rules: &CheckRules, now: Timestamp) {
        self.looked = Some(now);
        self.next = now.saturating_add((rules.interval / 2).max(1));
    }

    /// Somebody is to look then.
    pub fn look_at(&mut self, then: Timestamp) {
        self.next = then;
    }

    /// A board has been seen: the next look is when it will be out of date, and never sooner than half an interval after this
    /// one. Where there is none, somebody has to see to it. By lot a little later, so that instances do not come all at once.
    pub fn seen(&mut self, board: &Board, rules: &CheckRules, now: Timestamp, random: u64) {
        if board.round == 0 {
            self.next = now;
            return;
        }
        let spread = random % (rules.interval / 8 + 1);
        self.next = rules.due(board).max(now.saturating_add(rules.interval / 2)).saturating_add(spread);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rules() -> CheckRules {
        CheckRules {
            probe: Probe::Grpc { service: String::new(), web: true },
            headers: Vec::new(),
            interval: 10_000,
            timeout: 2_000,
            healthy: 2,
            unhealthy: 3,
        }
    }

    #[test]
    fn a_target_is_ill_after_so_many_bad_answers_and_well_after_so_many_good_ones() {
        let (rules, mut finding) = (rules(), Finding::default());
        let answers = [true, false, false, true, false, false, false, true, false, true, true, true];
        let expected = [false, false, false, false, false, false, true, true, true, true, false, false];
        for ((now, good), ill) in (0..).zip(answers).zip(expected) {
            finding = finding.after(good, now, &rules);
            assert_eq!(finding.ill, ill, "{now}");
        }
    }

    #[test]
    fn what_could_not_be_asked_stays_as_it_was_until_that_is_too_long_ago() {
        let rules = rules();
        let bad = [(7, Verdict::Bad("no".into()))];
        let ill = (1..4).fold(Board::default(), |board, round| board.after(&bad, round * 10_000, &rules));
        assert!(ill.findings[&name(7)].ill);
        let unknown = ill.after(&[(7, Verdict::Unknown("not now".into()))], 40_000, &rules);
        assert_eq!(unknown.findings, ill.findings);
        assert!(rules.counts(&unknown.findings[&name(7)], 1, 61_999));
        assert!(!rules.counts(&unknown.findings[&name(7)], 1, 62_000));
        // From then on it is a target of which nothing is known.
        assert_eq!(ill.after(&bad, 62_000, &rules).findings[&name(7)], Finding { at: 62_000, ill: false, contrary: 1 });
        assert!(ill.after(&[], 40_000, &rules).findings.is_empty());
    }

    #[test]
    fn an_instance_looks_when_it_starts_and_then_once_for_each_round() {
        let (rules, mut watch) = (rules(), Watch::default());
        assert!(watch.lacks(&rules, 3, 1_000_000) && watch.is_due(1_000_000));
        watch.look(&rules, 1_000_000);
        assert!(!watch.lacks(&rules, 3, 1_000_000) && !watch.is_due(1_004_999), "one look at a time");
        let board = Board { round: 998_000, ..Board::default() };
        watch.seen(&board, &rules, 1_000_010, 0);
        assert!(!watch.is_due(1_007_999) && watch.is_due(1_008_000));
        // The round is late: not more often than every half interval.
        watch.look(&rules, 1_008_000);
        watch.seen(&board, &rules, 1_008_010, 0);
        assert!(!watch.is_due(1_013_009) && watch.is_due(1_013_010));
        // It has slept for longer than findings hold.
        assert!(!watch.lacks(&rules, 3, 1_040_000) && watch.lacks(&rules, 3, 1_040_001));
        watch.seen(&Board::default(), &rules, 5, 0);
        assert!(watch.is_due(5), "there is none: somebody has to see to it");
    }

    #[test]
    fn boards_survive_the_store() {
        let board = Board::default().after(&[(1, Verdict::Good), (u64::MAX, Verdict::Bad(String::new()))], 5, &rules());
        assert_eq!(Board::read(board.write().as_bytes()), board);
        assert!(!board.write().contains('\n'));
        assert_eq!(Board::read(b"something else"), Board::default());
    }

    fn boards() -> impl Strategy<Value = Board> {
        let finding =
            (0_u64..20, any::<bool>(), 0_u32..3).prop_map(|(at, ill, contrary)| Finding { at, ill, contrary });
        (0_u64..20, prop::collection::btree_map("[a-d]", finding, 0..4))
            .prop_map(|(round, findings)| Board { round, findings })
    }

    proptest! {
        /// Whoever reads and writes in whichever order ends with the same.
        #[test]
        fn merging_knows_no_order(a in boards(), b in boards(), c in boards()) {
            let merge = |one: &Board, other: &Board| one.clone().merge(other.clone());
            prop_assert_eq!(merge(&a, &b), merge(&b, &a));
            prop_assert_eq!(merge(&merge(&a, &b), &c), merge(&a, &merge(&b, &c)));
            prop_assert_eq!(merge(&a, &a), a.clone());
            for (name, finding) in &merge(&a, &b).findings {
                let newest = [&a, &b].into_iter().filter_map(|board| board.findings.get(name)).map(|found| found.at).max();
                prop_assert_eq!(Some(finding.at), newest, "the newest counts");
            }
        }

        /// A model that looks at all answers: a target changes sides exactly when the last so many have all said so.
        #[test]
        fn thresholds_count_answers_in_a_row(
            answers in prop::collection::vec(any::<bool>(), 0..200), healthy in 1_u32..5, unhealthy in 1_u32..5,
        ) {
            let rules = CheckRules { healthy, unhealthy, ..rules() };
            let (mut finding, mut ill, mut since) = (Finding::default(), false, 0);
            for (at, good) in answers.iter().enumerate() {
                finding = finding.after(*good, at as u64, &rules);
                let wanted = if ill { healthy } else { unhealthy } as usize;
                let last = &answers[since..=at];
                if last.len() >= wanted && last[last.len() - wanted..].iter().all(|good| *good == ill) {
                    (ill, since) = (!ill, at + 1);
                }
                prop_assert_eq!(finding.ill, ill, "after answer {}", at);
            }
        }

        /// However late looks and rounds are: an instance that has traffic looks at least once in one and a half intervals, and
        /// never more often than twice in one.
        #[test]
        fn looks_are_bounded(rounds in prop::collection::vec((1_u64..40_000, any::<u64>()), 1..50)) {
            let rules = rules();
            let (mut watch, mut now, mut last) = (Watch::default(), 1_000_000, None);
            for (late, random) in rounds {
                while !watch.is_due(now) {
                    now += 250;
                }
                if let Some(last) = last {
                    prop_assert!(now - last >= rules.interval / 2, "{} after {}", now, last);
                    prop_assert!(now - last <= rules.interval * 3 / 2, "{} after {}", now, last);
                }
                last = Some(now);
                watch.look(&rules, now);
                watch.seen(&Board { round: now.saturating_sub(late), ..Board::default() }, &rules, now, random);
            }
        }
    }
}
