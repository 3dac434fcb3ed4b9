//! Takes stored responses back before their time.
//!
//! Nobody can find all copies of a response in all data centres. So what is written down is a mark: everything that it speaks of and
//! that was stored before it counts no longer. One owner keeps the marks; instances ask for them every few seconds.

use super::entry::{Entry, KEPT_LONGEST};
use crate::platform::Timestamp;
use crate::record;
use serde::{Deserialize, Serialize};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// What is taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// All of it.
    Everything,
    /// What is stored for this address.
    Url(String),
    /// What is stored for addresses that begin so.
    Prefix(String),
    /// What has this tag.
    Tag(String),
}

/// What was stored before a moment counts no longer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// What.
    #[serde(rename = "w")]
    pub what: What,
    /// The moment.
    #[serde(rename = "t")]
    pub at: Timestamp,
    /// Whether it is only stale from then on, and not gone.
    #[serde(rename = "s", default, skip_serializing_if = "std::ops::Not::not")]
    pub soft: bool,
}

/// All marks, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    /// The marks.
    #[serde(rename = "m", default)]
    pub marks: Vec<Mark>,
}

/// What is asked of the owner of the marks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Marks to add; none: only to look. The owner gives them their moment.
    #[serde(rename = "purge")]
    pub add: Vec<(What, bool)>,
}

/// The key of the marks, as [`Platform::purges`](crate::platform::Platform::purges) knows it.
pub const OWNER: &str = "global/purges";

/// How many marks are kept. When there are more, the older half becomes one for everything that is as old.
pub const MOST: usize = 1_000;

/// The step of the owner: one change, and what is kept after it.
pub fn perform(kept: Option<Marks>, change: &Change, now: Timestamp) -> Marks {
    let mut marks = kept.unwrap_or_default().marks;
    // What is older than anything can be has nothing to say.
    marks.retain(|mark| mark.at.saturating_add(KEPT_LONGEST * 1_000) > now);
    for (what, soft) in &change.add {
        // A hard mark stays beside a later soft one: they speak of different times.
        marks.retain(|mark| !(mark.what == *what && (mark.soft || !soft)));
        if *what == What::Everything && !soft {
            marks.clear();
        }
        marks.push(Mark { what: what.clone(), at: now, soft: *soft });
    }
    if marks.len() > MOST {
        let older = marks.drain(..marks.len() - MOST / 2);
        let at = older.map(|mark| mark.at).max().unwrap_or(now);
        marks.insert(0, Mark { what: What::Everything, at, soft: false });
    }
    Marks { marks }
}

/// What a keeper that stores text does: from text to text, in the four lines of
/// [`quota::perform_in_text`](crate::quota::perform_in_text), since the same object may keep both. `None`: this is no order of that kind.
pub fn perform_in_text(order: &[u8], kept: &[u8], now: Timestamp) -> Option<String> {
    let change: Change = record::read(order).ok()?;
    let marks = perform(record::read(kept).ok(), &change, now);
    let marks = serde_json::to_string(&marks).ok()?;
    let until = now.saturating_add(KEPT_LONGEST * 1_000);
    Some(format!("{marks}\n{until}\n1\n{marks}"))
}

/// What somebody wants taken back, as they write it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Wanted {
    everything: bool,
    urls: Vec<String>,
    prefixes: Vec<String>,
    tags: Vec<String>,
    soft: bool,
}

impl Change {
    /// Reads what somebody wants taken back: `{"urls": […], "prefixes": […], "tags": […], "everything": true, "soft": true}`.
    pub fn read(body: &[u8]) -> Result<Self, String> {
        let wanted: Wanted =
            serde_json::from_slice(body).map_err(|error| format!("The body cannot be read: {error}."))?;
        let Wanted { everything, urls, prefixes, tags, soft } = wanted;
        let named = urls.into_iter().map(What::Url);
        let named = named.chain(prefixes.into_iter().map(What::Prefix)).chain(tags.into_iter().map(What::Tag));
        let add: Vec<_> =
            everything.then_some(What::Everything).into_iter().chain(named).map(|what| (what, soft)).collect();
        if add.is_empty() {
            return Err("The body names nothing: write `everything`, `urls`, `prefixes` or `tags`.".to_owned());
        }
        if add.len() > MOST / 2 {
            return Err(format!("The body names more than {} things.", MOST / 2));
        }
        Ok(Self { add })
    }
}

/// How a stored response was taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purged {
    /// Not at all.
    No,
    /// It counts as stale.
    Softly,
    /// It counts as absent.
    Wholly,
}

impl Marks {
    /// How a response was taken back. It counts when it was asked for: what was under way when something was taken back may be
    /// what should be gone.
    pub fn judge(&self, entry: &Entry) -> Purged {
        let about = |what: &What| match what {
            What::Everything => true,
            What::Url(url) => entry.url == *url,
            What::Prefix(prefix) => entry.url.starts_with(prefix),
            What::Tag(tag) => entry.tags.contains(tag),
        };
        let counts = self.marks.iter().filter(|mark| entry.requested < mark.at && about(&mark.what));
        counts.map(|mark| if mark.soft { Purged::Softly } else { Purged::Wholly }).max().unwrap_or(Purged::No)
    }
}

/// What an instance knows of the marks.
#[derive(Debug, Default)]
pub struct Known {
    marks: RefCell<Rc<Marks>>,
    /// When the owner was asked last; 0: never.
    asked: Cell<Timestamp>,
}

/// How old an instance's knowledge may become, in milliseconds: what a purge takes to be felt everywhere.
pub const HOLD: u64 = 5_000;

impl Known {
    /// What is known, where that is new enough.
    pub fn current(&self, now: Timestamp) -> Option<Rc<Marks>> {
        let asked = self.asked.get();
        (asked != 0 && now < asked.saturating_add(HOLD)).then(|| self.latest())
    }

    /// What is known, however old.
    pub fn latest(&self) -> Rc<Marks> {
        Rc::clone(&self.marks.borrow())
    }

    /// Whoever asks says so first, so that not all do; who cannot be asked is left in peace for as long.
    pub fn asks(&self, now: Timestamp) {
        self.asked.set(now.max(1));
    }

    /// Takes what the owner has said.
    pub fn learn(&self, marks: Marks) {
        *self.marks.borrow_mut() = Rc::new(marks);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_go_from_text_to_text() {
        let order = br#"{"purge":[[{"tag":"a"},false]]}"#;
        let step = perform_in_text(order, b"", 1_000).expect("an order");
        let lines: Vec<&str> = step.split('\n').collect();
        assert_eq!(lines[0], r#"{"m":[{"w":{"tag":"a"},"t":1000}]}"#);
        assert_eq!((lines[2], lines[3]), ("1", lines[0]));
        assert_eq!(perform_in_text(br#"{"r":[],"a":"x"}"#, b"", 0), None);
    }

    fn entry(url: &str, tags: &[&str], requested: Timestamp) -> Entry {
        Entry {
            received: requested + 5,
            requested,
            lifetime: 60,
            url: url.to_owned(),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            ..Entry::of(&[])
        }
    }

    fn add(marks: Option<Marks>, what: What, soft: bool, now: Timestamp) -> Marks {
        perform(marks, &Change { add: vec![(what, soft)] }, now)
    }

    #[test]
    fn a_mark_speaks_of_what_was_stored_before_it() {
        let url = "http://a/b/c?d";
        for (what, hit) in [
            (What::Everything, true),
            (What::Url(url.to_owned()), true),
            (What::Url("http://a/b/c".to_owned()), false),
            (What::Prefix("http://a/b/".to_owned()), true),
            (What::Prefix("http://a/c/".to_owned()), false),
            (What::Tag("t".to_owned()), true),
            (What::Tag("x".to_owned()), false),
        ] {
            let marks = add(None, what.clone(), false, 10);
            let expected = if hit { Purged::Wholly } else { Purged::No };
            assert_eq!(marks.judge(&entry(url, &["t"], 9)), expected, "{what:?}");
            assert_eq!(marks.judge(&entry(url, &["t"], 10)), Purged::No, "{what:?}");
        }
    }

    #[test]
    fn what_is_wanted_is_read_or_refused() {
        let change = Change::read(br#"{"urls":["http://a/"],"tags":["t"],"soft":true}"#).expect("it is right");
        assert_eq!(change.add, [(What::Url("http://a/".to_owned()), true), (What::Tag("t".to_owned()), true)]);
        for wrong in ["", "[]x", "{}", r#"{"tag":["t"]}"#, r#"{"tags":"t"}"#, r#"{"everything":false}"#] {
            Change::read(wrong.as_bytes()).expect_err(wrong);
        }
    }

    #[test]
    fn a_soft_mark_does_not_undo_a_hard_one() {
        let tag = || What::Tag("t".to_owned());
        let marks = add(Some(add(None, tag(), false, 10)), tag(), true, 20);
        assert_eq!(marks.judge(&entry("", &["t"], 9)), Purged::Wholly);
        assert_eq!(marks.judge(&entry("", &["t"], 15)), Purged::Softly);
        let marks = add(Some(marks), tag(), false, 30);
        assert_eq!(marks.marks.len(), 1, "the last hard one says all");
        assert_eq!(add(Some(marks), What::Everything, false, 40).marks.len(), 1);
    }

    #[test]
    fn marks_are_bounded_and_what_goes_takes_more_with_it_never_less() {
        let mut marks = None;
        for number in 0..=MOST as u64 {
            marks = Some(add(marks, What::Tag(number.to_string()), false, number));
        }
        let marks = marks.expect("there are some");
        assert!(marks.marks.len() <= MOST / 2 + 1);
        assert_eq!(marks.judge(&entry("", &["3"], 2)), Purged::Wholly);
        assert_eq!(marks.judge(&entry("", &[&MOST.to_string()], MOST as u64 - 1)), Purged::Wholly);
        assert_eq!(add(Some(marks), What::Url(String::new()), false, u64::MAX / 2).marks.len(), 1, "they grow old");
    }
}
