//! What has been changed while the gateway runs, and by whom: one state for all instances, and the log of how it came about.
//!
//! A change is added to the [ledger](crate::ledger::Ledger::Changes) with its line of the log, in one step: nothing is in effect that was not
//! written down. Instances read the state again every few seconds ([`Known`]), so a request costs no store read.

use crate::consumer;
use crate::platform::Timestamp;
use crate::record;
use serde::{Deserialize, Serialize};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

/// All that is in effect, and the log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// The sequence number of the next line.
    #[serde(rename = "n")]
    pub next: u64,
    /// Targets that get no more requests, by the names of their upstreams and their own.
    #[serde(rename = "d", skip_serializing_if = "BTreeMap::is_empty")]
    pub drained: BTreeMap<String, BTreeMap<String, Mark>>,
    /// Routes that answer nothing but 503, by their names.
    #[serde(rename = "m", skip_serializing_if = "BTreeMap::is_empty")]
    pub maintenance: BTreeMap<String, Closed>,
    /// API keys that are refused, by what they are known by.
    #[serde(rename = "r", skip_serializing_if = "BTreeMap::is_empty")]
    pub revoked: BTreeMap<String, Mark>,
    /// The log, oldest first.
    #[serde(rename = "a", skip_serializing_if = "VecDeque::is_empty")]
    pub audit: VecDeque<Entry>,
}

/// When something was done, and by whom.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// When.
    #[serde(rename = "t")]
    pub since: Timestamp,
    /// By whose token.
    #[serde(rename = "b")]
    pub by: String,
    /// Why, in their words.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A route under maintenance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// When that began, and by whom.
    #[serde(flatten)]
    pub mark: Mark,
    /// After how many seconds clients should come back.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number, which the owner of the log gives it.
    #[serde(rename = "n", default)]
    pub sequence: u64,
    /// When, by whom and why.
    #[serde(flatten)]
    pub mark: Mark,
    /// From which address.
    #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What.
    #[serde(rename = "a")]
    pub act: Act,
    /// The request that asked for it.
    #[serde(rename = "i")]
    pub request_id: String,
    /// Why nothing came of it.
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

/// What somebody does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// A target gets no more requests.
    Drain {
        /// The name of its upstream.
        upstream: String,
        /// Its name.
        target: String,
    },
    /// It gets requests again.
    Undrain {
        /// The name of its upstream.
        upstream: String,
        /// Its name.
        target: String,
    },
    /// A route answers 503.
    Maintenance {
        /// Its name.
        route: String,
        /// After how many seconds clients should come back.
        retry_after: Option<u64>,
    },
    /// It answers again.
    MaintenanceOver {
        /// Its name.
        route: String,
    },
    /// An API key is refused.
    Revoke {
        /// What it is known by: see [`key_of_hash`] and [`key_of_prefix`].
        key: String,
    },
    /// It is taken again.
    Restore {
        /// What it is known by.
        key: String,
    },
    /// Caches give back what they have stored.
    Purge {
        /// What, in words.
        what: String,
    },
    /// Something of which nothing is kept here but this line.
    Noted {
        /// What was done, in one word.
        action: String,
        /// To what.
        subject: String,
    },
}

/// Of each kind of thing, so many may be in effect.
pub const MOST: usize = 1_000;

/// How many lines of the log are kept.
pub const MOST_LINES: usize = 500;

/// What a revoked key is known by: its hash.
pub fn key_of_hash(hash: &str) -> String {
    format!("h:{hash}")
}

/// What revoked keys are known by: what may be shown of them.
pub fn key_of_prefix(prefix: &str) -> String {
    format!("p:{prefix}")
}

/// What is shown of that: nothing that lets anybody find a key that is known by its hash.
pub fn shown(key: &str) -> String {
    match key.split_once(':') {
        Some(("h", hash)) => format!("key {}", hash.get(..SHOWN).unwrap_or_default()),
        Some((_, prefix)) => format!("prefix {prefix}"),
        None => String::new(),
    }
}

/// So many digits of a hash tell a key from others and do not say which one it is.
const SHOWN: usize = 12;

impl Act {
    /// One word for what is done.
    pub fn action(&self) -> &str {
        match self {
            Act::Drain { .. } => "drain",
            Act::Undrain { .. } => "undrain",
            Act::Maintenance { .. } => "maintenance",
            Act::MaintenanceOver { .. } => "maintenance_over",
            Act::Revoke { .. } => "revoke",
            Act::Restore { .. } => "restore",
            Act::Purge { .. } => "purge",
            Act::Noted { action, .. } => action,
        }
    }

    /// What it is done to.
    pub fn subject(&self) -> String {
        match self {
            Act::Drain { upstream, target } | Act::Undrain { upstream, target } => format!("{upstream}/{target}"),
            Act::Maintenance { route, .. } | Act::MaintenanceOver { route } => route.clone(),
            Act::Revoke { key } | Act::Restore { key } => shown(key),
            Act::Purge { what } => what.clone(),
            Act::Noted { subject, .. } => subject.clone(),
        }
    }
}

/// The step of the owner: adds lines, each with what it changes.
pub fn merge(kept: &[u8], added: &[u8]) -> Vec<u8> {
    let mut state = State::read(kept);
    let added: Vec<Entry> = record::read(added).unwrap_or_default();
    added.into_iter().for_each(|entry| state.perform(entry));
    // Texts and numbers: it cannot fail.
    serde_json::to_vec(&state).unwrap_or_default()
}

impl State {
    /// Reads what [`merge`] has written. What another version has kept counts as nothing.
    pub fn read(text: &[u8]) -> Self {
        record::read(text).unwrap_or_default()
    }

    /// Whether one more of the kind that this adds has no place.
    pub fn has_no_room_for(&self, act: &Act) -> bool {
        match act {
            Act::Drain { upstream, target } => {
                let is_there = self.drained.get(upstream).is_some_and(|targets| targets.contains_key(target));
                !is_there && self.drained.values().map(BTreeMap::len).sum::<usize>() >= MOST
            }
            Act::Maintenance { route, .. } => !self.maintenance.contains_key(route) && self.maintenance.len() >= MOST,
            Act::Revoke { key } => !self.revoked.contains_key(key) && self.revoked.len() >= MOST,
            Act::Undrain { .. }
            | Act::MaintenanceOver { .. }
            | Act::Restore { .. }
            | Act::Purge { .. }
            | Act::Noted { .. } => false,
        }
    }

    fn perform(&mut self, mut entry: Entry) {
        if entry.failed.is_none() && self.has_no_room_for(&entry.act) {
            entry.failed = Some(format!("{MOST} of them are in effect"));
        }
        if entry.failed.is_none() {
            let mark = || entry.mark.clone();
            match &entry.act {
                Act::Drain { upstream, target } => {
                    let targets = self.drained.entry(upstream.clone()).or_default();
                    targets.entry(target.clone()).or_insert_with(mark);
                }
                Act::Undrain { upstream, target } => {
                    if let Some(targets) = self.drained.get_mut(upstream) {
                        targets.remove(target);
                        if targets.is_empty() {
                            self.drained.remove(upstream);
                        }
                    }
                }
                Act::Maintenance { route, retry_after } => {
                    let closed = Closed { mark: mark(), retry_after: *retry_after };
                    self.maintenance.insert(route.clone(), closed);
                }
                Act::MaintenanceOver { route } => drop(self.maintenance.remove(route)),
                Act::Revoke { key } => drop(self.revoked.entry(key.clone()).or_insert_with(mark)),
                Act::Restore { key } => drop(self.revoked.remove(key)),
                Act::Purge { .. } | Act::Noted { .. } => {}
            }
        }
        entry.sequence = self.next;
        self.next += 1;
        self.audit.push_back(entry);
        while self.audit.len() > MOST_LINES {
            self.audit.pop_front();
        }
    }

    /// Whether a target gets no more requests.
    pub fn is_drained(&self, upstream: &str, target: &str) -> bool {
        self.drained.get(upstream).is_some_and(|targets| targets.contains_key(target))
    }

    /// Whether an API key is refused, by its hash or by what is shown of it.
    pub fn is_revoked(&self, hash: &str, prefix: &str) -> bool {
        !self.revoked.is_empty()
            && (self.revoked.contains_key(&key_of_hash(hash)) || self.revoked.contains_key(&key_of_prefix(prefix)))
    }

    /// What a key that is revoked is known by, by the identifier that the list shows for it.
    pub fn revoked_as(&self, id: &str) -> Option<String> {
        self.revoked.keys().find(|key| identifier(key) == id).cloned()
    }
}

/// By which the list of revoked keys names one of them: nothing that opens anything.
pub fn identifier(key: &str) -> String {
    consumer::hash(key)[..16].to_owned()
}

/// What an instance knows of the state.
#[derive(Debug, Default)]
pub struct Known {
    state: RefCell<Rc<State>>,
    /// When the owner has last said what it is; 0: never.
    heard: Cell<Timestamp>,
    /// When it was last asked; 0: never.
    asked: Cell<Timestamp>,
    /// When it could last not be asked, and why.
    failed: RefCell<Option<(Timestamp, String)>>,
}

/// What an instance has to do to know enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Nothing.
    Nothing,
    /// To ask when the answer has been sent.
    Afterwards,
    /// To ask before it goes on.
    AtOnce,
}

/// When knowledge is as old as this, it is renewed behind an answer, in milliseconds.
const SOFT: u64 = 3_000;

/// When it is as old as this, a request waits until it is renewed, in milliseconds.
const HARD: u64 = 6_000;

/// How long somebody who asks is waited for before another one does, in milliseconds.
const ASKING: u64 = 2_000;

/// How long an owner that could not be asked is left in peace, in milliseconds.
const PAUSE: u64 = 5_000;

/// After so many milliseconds at most, a change is in effect in every instance: knowledge grows as old as `HARD` while others pass
/// whoever asks, and whoever asks waits no longer than platforms do.
pub const EFFECTIVE: u64 = 10_000;

impl Known {
    /// What is known.
    pub fn state(&self) -> Rc<State> {
        Rc::clone(&self.state.borrow())
    }

    /// Whether it has to be renewed. Whoever is told so asks.
    pub fn due(&self, now: Timestamp) -> Due {
        let failed = self.failed.borrow().as_ref().is_some_and(|(at, _)| now < at.saturating_add(PAUSE));
        let (heard, asked) = (self.heard.get(), self.asked.get());
        let age = now.saturating_sub(heard);
        let is_asking = asked != 0 && now < asked.saturating_add(ASKING);
        if failed {
            return Due::Nothing;
        }
        // Whoever knows nothing yet must not take what was revoked, so each of the first requests asks.
        if heard == 0 {
            return Due::AtOnce;
        }
        if age < SOFT || is_asking {
            return Due::Nothing;
        }
        self.asked.set(now.max(1));
        if age < HARD { Due::Afterwards } else { Due::AtOnce }
    }

    /// Takes what the owner has said; gives whether that is news.
    pub fn learn(&self, state: State, now: Timestamp) -> bool {
        self.heard.set(now.max(1));
        self.asked.set(0);
        self.failed.replace(None);
        let is_news = **self.state.borrow() != state;
        if is_news {
            self.state.replace(Rc::new(state));
        }
        is_news
    }

    /// Notes that the owner cannot be asked. What was known stays.
    pub fn fail(&self, why: &str, now: Timestamp) {
        self.asked.set(0);
        self.failed.replace(Some((now, why.to_owned())));
    }

    /// When the owner has last said what the state is, and why it could not say since.
    pub fn standing(&self) -> (Option<Timestamp>, Option<String>) {
        let heard = self.heard.get();
        ((heard != 0).then_some(heard), self.failed.borrow().as_ref().map(|(_, why)| why.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(act: Act) -> Entry {
        let mark = Mark { since: 7, by: "ops".to_owned(), reason: None };
        Entry { sequence: 0, mark, from: None, act, request_id: "id".to_owned(), failed: None }
    }

    fn add(state: &[u8], act: Act) -> Vec<u8> {
        merge(state, &serde_json::to_vec(&[entry(act)]).expect("texts"))
    }

    fn drain(number: usize) -> Act {
        Act::Drain { upstream: "u".to_owned(), target: number.to_string() }
    }

    #[test]
    fn what_is_done_can_be_undone_and_both_stand_in_the_log() {
        let text = add(&add(b"", drain(1)), drain(2));
        assert!(State::read(&text).is_drained("u", "1") && !State::read(&text).is_drained("v", "1"));
        let text = add(&text, Act::Undrain { upstream: "u".to_owned(), target: "1".to_owned() });
        let state = State::read(&text);
        assert!(!state.is_drained("u", "1") && state.is_drained("u", "2"));
        let actions: Vec<_> = state.audit.iter().map(|entry| (entry.sequence, entry.act.action())).collect();
        assert_eq!(actions, [(0, "drain"), (1, "drain"), (2, "undrain")]);
        assert_eq!(merge(&text, b"nonsense"), text);
        assert_eq!(State::read(b"nonsense"), State::default());
    }

    #[test]
    fn keys_are_known_by_hash_or_prefix_and_shown_by_neither_whole() {
        let hash = consumer::hash("pk_1234_secret");
        let text = add(&add(b"", Act::Revoke { key: key_of_hash(&hash) }), Act::Revoke { key: key_of_prefix("pk_9") });
        let state = State::read(&text);
        assert!(state.is_revoked(&hash, "") && state.is_revoked("", "pk_9") && !state.is_revoked("", "pk_1"));
        assert!(!state.audit.iter().any(|entry| entry.act.subject().contains(&hash)));
        let id = identifier(&key_of_hash(&hash));
        let key = state.revoked_as(&id).expect("it is there");
        assert!(!hash.contains(&id));
        assert!(!State::read(&add(&text, Act::Restore { key })).is_revoked(&hash, ""));
    }

    #[test]
    fn everything_is_bounded() {
        let acts: Vec<_> = (0..=MOST).map(|number| entry(drain(number))).collect();
        let state = State::read(&merge(b"", &serde_json::to_vec(&acts).expect("texts")));
        assert!(!state.is_drained("u", &MOST.to_string()), "one too many");
        assert!(state.has_no_room_for(&drain(MOST)) && !state.has_no_room_for(&drain(0)));
        assert_eq!(state.audit.len(), MOST_LINES);
        assert_eq!(state.audit.back().and_then(|entry| entry.failed.as_deref()), Some("1000 of them are in effect"));
        assert_eq!(state.next, MOST as u64 + 1);
    }

    #[test]
    fn knowledge_is_renewed_behind_answers_and_never_grows_too_old() {
        let known = Known::default();
        assert_eq!((known.due(10_000), known.due(10_000)), (Due::AtOnce, Due::AtOnce), "nobody knows anything");
        known.learn(State::default(), 10_000);
        assert_eq!(known.due(12_999), Due::Nothing);
        assert_eq!((known.due(13_000), known.due(13_001)), (Due::Afterwards, Due::Nothing), "one asks");
        assert_eq!(known.due(16_000), Due::AtOnce, "that one was lost");
        assert!(known.learn(State { next: 1, ..State::default() }, 16_000), "this is news");
        assert!(!known.learn(State { next: 1, ..State::default() }, 16_100));
        known.fail("gone", 19_200);
        assert_eq!((known.due(24_199), known.due(24_200)), (Due::Nothing, Due::AtOnce));
        assert_eq!(known.state().next, 1, "what was known stays");
    }
}
