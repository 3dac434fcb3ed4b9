//! Documents that are known by their hashes: those that the configuration registers, and those that clients have brought once.

use crate::consumer::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;

/// Which documents may be asked for by what they are called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Persisted {
    /// Those that the configuration holds.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub registered: Option<Registered>,
    /// Those that clients bring (Apollo's automatic persisted queries).
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub automatic: Option<Automatic>,
}

/// Documents that the configuration holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// Whether no others are taken.
    #[serde(rename = "o")]
    pub only: bool,
    /// By what they are called; mostly the SHA-256 of their text.
    #[serde(rename = "d")]
    pub documents: BTreeMap<String, Rc<str>>,
    /// The SHA-256 of each, in its one spelling.
    #[serde(rename = "h")]
    pub spellings: Vec<String>,
}

/// Documents that clients bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Automatic {
    /// Whether instances share them, by the platform's store.
    #[serde(rename = "s")]
    pub shared: bool,
    /// For how many seconds they are kept there.
    #[serde(rename = "t")]
    pub seconds: u64,
}

/// The documents that clients have brought to this instance. All of it may be lost at any time.
#[derive(Debug, Default)]
pub struct Memory(RefCell<Kept>);

#[derive(Debug, Default)]
struct Kept {
    documents: HashMap<String, Rc<str>>,
    /// In the order in which they came.
    order: VecDeque<String>,
    bytes: usize,
}

/// How many bytes of documents an instance keeps.
const MOST_BYTES: usize = 1 << 20;

impl Memory {
    /// A document, by the policy's name and its hash.
    pub fn get(&self, owner: &str, hash: &str) -> Option<Rc<str>> {
        self.0.borrow().documents.get(&key(owner, hash)).cloned()
    }

    /// Keeps a document; the oldest ones go.
    pub fn put(&self, owner: &str, hash: &str, text: &str) {
        let key = key(owner, hash);
        let mut kept = self.0.borrow_mut();
        if text.len() > MOST_BYTES / 4 || kept.documents.contains_key(&key) {
            return;
        }
        kept.bytes += text.len() + key.len();
        kept.order.push_back(key.clone());
        kept.documents.insert(key, text.into());
        while kept.bytes > MOST_BYTES {
            let Some(oldest) = kept.order.pop_front() else { break };
            let length = kept.documents.remove(&oldest).map_or(0, |text| text.len());
            kept.bytes = kept.bytes.saturating_sub(length + oldest.len());
        }
    }
}

/// What a document is stored under where instances share it: 64 hexadecimal digits.
pub fn key(owner: &str, hash: &str) -> String {
    sha256(format!("graphql\n{owner}\n{hash}").as_bytes())
}

/// In lower-case hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_documents_make_room() {
        let memory = Memory::default();
        let text = "x".repeat(MOST_BYTES / 8);
        for number in 0..10 {
            memory.put("p", &number.to_string(), &text);
            memory.put("p", &number.to_string(), &text);
        }
        assert_eq!(memory.get("p", "9").as_deref(), Some(text.as_str()));
        assert_eq!(memory.get("q", "9"), None);
        assert_eq!(memory.get("p", "0"), None);
        memory.put("p", "long", &"x".repeat(MOST_BYTES));
        assert_eq!(memory.get("p", "long"), None);
        assert!(memory.get("p", "9").is_some());
    }
}
