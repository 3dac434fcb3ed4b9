//! Tokens that have been verified: the second request with one of them costs a hash.
//!
//! A token is known by the SHA-256 of its text, so none is kept, and nobody can make one that is taken for another. The
//! table is bounded: it holds a young and an old half, and when the young one is full it becomes the old one. What is used
//! stays, what is not goes, and no clean-up ever walks through all of it.

use crate::platform::Timestamp;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

/// What a text is known by.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    context: u32,
    hash: [u8; 32],
}

/// A bounded table of what is known until some moment.
pub struct Remembered<T> {
    young: HashMap<Fingerprint, Entry<T>>,
    old: HashMap<Fingerprint, Entry<T>>,
    weight: usize,
    half: usize,
}

struct Entry<T> {
    value: Rc<T>,
    until: Timestamp,
    weight: usize,
}

impl Fingerprint {
    /// The fingerprint of a text.
    pub fn new(text: &str) -> Self {
        Self { context: 0, hash: Sha256::digest(text).into() }
    }

    /// The same in another context: a token may be right for one issuer's rules and wrong for another's.
    pub fn within(self, context: u32) -> Self {
        Self { context, ..self }
    }
}

/// Who reads a fingerprint has nothing, but it is nobody's business either.
impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint")
    }
}

impl<T> Remembered<T> {
    /// A table that holds no more than this weight, in bytes or whatever the caller weighs in.
    pub fn new(most: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), weight: 0, half: most / 2 }
    }

    /// What is known and still counts.
    pub fn get(&mut self, key: &Fingerprint, now: Timestamp) -> Option<Rc<T>> {
        if let Some(entry) = self.young.get(key) {
            return (now < entry.until).then(|| Rc::clone(&entry.value));
        }
        let entry = self.old.remove(key).filter(|entry| now < entry.until)?;
        let value = Rc::clone(&entry.value);
        self.put(*key, entry);
        Some(value)
    }

    /// Remembers until then.
    pub fn insert(&mut self, key: Fingerprint, value: Rc<T>, until: Timestamp, weight: usize) {
        // What would push out everything else is not worth it.
        if weight <= self.half / 16 {
            self.put(key, Entry { value, until, weight });
        }
    }

    /// Forgets.
    pub fn remove(&mut self, key: &Fingerprint) {
        if let Some(entry) = self.young.remove(key) {
            self.weight = self.weight.saturating_sub(entry.weight);
        }
        self.old.remove(key);
    }

    /// How many are known, those that no longer count included.
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn put(&mut self, key: Fingerprint, entry: Entry<T>) {
        if self.weight.saturating_add(entry.weight) > self.half {
            self.old = std::mem::take(&mut self.young);
            self.weight = 0;
        }
        self.weight += entry.weight;
        if let Some(before) = self.young.insert(key, entry) {
            self.weight = self.weight.saturating_sub(before.weight);
        }
    }
}

impl<T> fmt::Debug for Remembered<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Remembered({})", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_table_stays_small() {
        let mut table = Remembered::new(64);
        let key = |n: u32| Fingerprint::new(&n.to_string());
        table.insert(key(0), Rc::new(0), 1000, 1);
        for n in 1..10_000 {
            table.insert(key(n), Rc::new(n), 1000, 1);
            assert_eq!(table.get(&key(0), 0).as_deref(), Some(&0), "after {n}");
            assert!(table.len() <= 64);
        }
        assert_eq!(table.get(&key(1), 0), None);
        assert_eq!(table.get(&key(9_999), 0).as_deref(), Some(&9_999));
        table.insert(key(1), Rc::new(1), 1000, 33);
        assert_eq!(table.get(&key(1), 0), None, "too heavy");
    }

    #[test]
    fn nothing_counts_longer_than_it_should() {
        let mut table = Remembered::new(64);
        let key = Fingerprint::new("a");
        table.insert(key, Rc::new(()), 1000, 1);
        assert!(table.get(&key, 999).is_some() && table.get(&key, 1000).is_none());
        assert!(table.get(&key.within(1), 0).is_none(), "another context");
        table.remove(&key);
        assert!(table.get(&key, 0).is_none());
    }
}
