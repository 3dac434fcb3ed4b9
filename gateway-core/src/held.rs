//! What the store said of a credential, for a bounded time: whose it is, or that it is nobody's.
//!
//! The time is what a revoked key lives on for; the size of the table is what a flood of made-up keys can take.

use crate::consumer::Consumer;
use crate::platform::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::rc::Rc;

/// How the store is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreRules {
    /// For how long an answer counts, in milliseconds.
    pub hold: u64,
    /// What becomes of credentials that were known when the store fails.
    pub on_failure: OnFailure,
}

/// What becomes of credentials that were known when the store fails. Those that were not are refused in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// They go on counting, for an hour at most.
    Keep,
    /// They count no longer than they would have.
    Refuse,
}

/// What is known of a credential without asking.
#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    /// This counts.
    Fresh(Option<Rc<Consumer>>),
    /// This counted until lately; the store must be asked, and should it fail, this is what was known.
    Stale(Option<Rc<Consumer>>),
    /// Nothing: the store must be asked.
    Unknown,
}

/// The table.
#[derive(Debug, Default)]
pub struct Held {
    known: Halves<Answer>,
    /// Apart from the others, so that made-up credentials push out none that is known.
    nobodys: Halves<Answer>,
}

#[derive(Debug, Clone)]
struct Answer {
    consumer: Option<Rc<Consumer>>,
    since: Timestamp,
    /// From when on the store is asked again.
    until: Timestamp,
}

/// How many credentials are held of each kind, at most.
const MOST: usize = 4096;

/// For how long what was known outlives a store that fails.
const LONGEST: u64 = 3_600_000;

/// How long a store that has failed is left in peace by credentials that are known.
const PAUSE: u64 = 5_000;

impl Held {
    /// What is known of this credential.
    pub fn look(&mut self, key: &str, now: Timestamp) -> Standing {
        let Some(answer) = self.known.get(key).or_else(|| self.nobodys.get(key)) else { return Standing::Unknown };
        if now < answer.until { Standing::Fresh(answer.consumer) } else { Standing::Stale(answer.consumer) }
    }

    /// Takes what the store has said.
    pub fn learn(&mut self, rules: StoreRules, key: &str, consumer: Option<Rc<Consumer>>, now: Timestamp) {
        let (table, other) = match consumer {
            Some(_) => (&mut self.known, &mut self.nobodys),
            None => (&mut self.nobodys, &mut self.known),
        };
        other.remove(key);
        table.put(key, Answer { consumer, since: now, until: now.saturating_add(rules.hold) });
    }

    /// What counts although the store has failed; `None`: nobody can say whose this credential is.
    pub fn fall_back(&mut self, rules: StoreRules, key: &str, now: Timestamp) -> Option<Rc<Consumer>> {
        let answer = self.known.get(key)?;
        let counts = match rules.on_failure {
            OnFailure::Keep => now.saturating_sub(answer.since) < LONGEST,
            OnFailure::Refuse => now < answer.until,
        };
        if !counts {
            return None;
        }
        let until = now.saturating_add(PAUSE).max(answer.until);
        self.known.put(key, Answer { until, ..answer.clone() });
        answer.consumer
    }
}

/// A bounded table without clean-up: when the young half is full, it becomes the old one. What is used stays.
#[derive(Debug)]
pub struct Halves<V> {
    young: HashMap<String, V>,
    old: HashMap<String, V>,
}

impl<V> Default for Halves<V> {
    fn default() -> Self {
        Self { young: HashMap::new(), old: HashMap::new() }
    }
}

impl<V: Clone> Halves<V> {
    /// What stands under this key.
    pub fn get(&mut self, key: &str) -> Option<V> {
        if let Some(value) = self.young.get(key) {
            return Some(value.clone());
        }
        let value = self.old.remove(key)?;
        self.put(key, value.clone());
        Some(value)
    }

    /// Puts a value there, in the place of any other.
    pub fn put(&mut self, key: &str, value: V) {
        if self.young.len() >= MOST / 2 && !self.young.contains_key(key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key.to_owned(), value);
    }

    /// Takes it away.
    pub fn remove(&mut self, key: &str) {
        self.young.remove(key);
        self.old.remove(key);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: StoreRules = StoreRules { hold: 30_000, on_failure: OnFailure::Keep };
    const REFUSE: StoreRules = StoreRules { hold: 30_000, on_failure: OnFailure::Refuse };

    fn alice() -> Option<Rc<Consumer>> {
        Some(Rc::new(Consumer { name: "alice".into(), ..Consumer::default() }))
    }

    #[test]
    fn an_answer_counts_for_its_time_whatever_it_was() {
        for answer in [alice(), None] {
            let mut held = Held::default();
            assert_eq!(held.look("k", 0), Standing::Unknown);
            held.learn(KEEP, "k", answer.clone(), 1000);
            assert_eq!(held.look("k", 30_999), Standing::Fresh(answer.clone()));
            assert_eq!(held.look("k", 31_000), Standing::Stale(answer));
        }
    }

    #[test]
    fn the_last_answer_counts() {
        let mut held = Held::default();
        held.learn(KEEP, "k", alice(), 0);
        held.learn(KEEP, "k", None, 30_000);
        assert_eq!(held.look("k", 30_001), Standing::Fresh(None));
        held.learn(KEEP, "k", alice(), 60_000);
        assert_eq!(held.look("k", 60_001), Standing::Fresh(alice()));
    }

    #[test]
    fn a_store_that_fails_keeps_whom_it_knew_for_an_hour_and_is_asked_now_and_then() {
        let mut held = Held::default();
        held.learn(KEEP, "k", alice(), 0);
        assert_eq!(held.fall_back(KEEP, "k", 31_000), alice());
        assert_eq!(held.look("k", 35_999), Standing::Fresh(alice()));
        assert_eq!(held.look("k", 36_000), Standing::Stale(alice()));
        assert_eq!(held.fall_back(KEEP, "k", LONGEST - 1), alice());
        assert_eq!(held.fall_back(KEEP, "k", LONGEST), None);
        assert_eq!(held.fall_back(KEEP, "other", 31_000), None);
    }

    #[test]
    fn or_it_keeps_nobody() {
        let mut held = Held::default();
        held.learn(REFUSE, "k", alice(), 0);
        assert_eq!(held.fall_back(REFUSE, "k", 30_000), None);
    }

    #[test]
    fn made_up_credentials_fill_no_memory_and_push_nobody_out() {
        let mut held = Held::default();
        held.learn(KEEP, "k", alice(), 0);
        for n in 0..20_000 {
            held.learn(KEEP, &format!("made up {n}"), None, 0);
        }
        assert_eq!(held.look("k", 1), Standing::Fresh(alice()));
        assert!(held.nobodys.len() <= MOST && held.known.len() == 1);
    }

    #[test]
    fn what_is_used_stays() {
        let mut table = Halves::default();
        table.put("used", 0);
        for n in 0..20_000 {
            table.put(&n.to_string(), n);
            assert_eq!(table.get("used"), Some(0), "after {n}");
        }
        assert!(table.len() <= MOST);
        table.remove("used");
        assert_eq!(table.get("used"), None);
    }
}
