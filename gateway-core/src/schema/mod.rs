//! JSON Schema (drafts 2020-12 and 7): whether a value is as a schema says, and where it is not.
//!
//! A schema is compiled by the tool, references resolved, into a block of words that is read in place: a fresh instance
//! decodes nothing of it. The evaluation keeps its own stack, so neither a deep value nor a schema that refers to itself
//! can use up that of Wasm; and what it may cost grows only with the size of the value.
//!
//! ```text
//! block      place of the directory, number of schemas, flags, place of the dynamic anchors
//! directory  per schema its place
//! schema     its resource, number of keywords, then per keyword its number and what belongs to it: a number or a place
//! list       length, words
//! text       length in bytes, bytes
//! ```

pub mod format;
pub mod keyword;
pub mod number;
mod run;

pub use run::{TRACKS, TooCostly};

use crate::frozen::Block;
use crate::json::{self, Json, Part};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

/// A schema, by its number in the block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SchemaId(pub u32);

/// Every schema of a configuration.
pub struct Schemas {
    block: Bytes,
    /// What is too large to be made anew for every value: regular expressions and constants, by their places.
    awake: RefCell<Awake>,
}

#[derive(Default)]
struct Awake {
    patterns: HashMap<u32, Option<Rc<regex_lite::Regex>>>,
    constants: HashMap<u32, Rc<Constant>>,
}

/// A value that stands in a schema.
struct Constant {
    text: String,
    parts: Vec<Part>,
}

/// Something in a value that is not as its schema says. Holds nothing of the value but names of members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where: a JSON Pointer (RFC 6901).
    pub pointer: String,
    /// What says so: `maxLength`.
    pub keyword: &'static str,
    /// What it says, as the rest of a sentence that begins with the place.
    pub message: String,
}

impl fmt::Debug for Schemas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schemas").field("bytes", &self.block.len()).finish_non_exhaustive()
    }
}

impl Schemas {
    /// Takes a block as the tool has written it. A damaged one says less than was meant, and nothing worse.
    pub fn new(block: Bytes) -> Self {
        Self { block, awake: RefCell::default() }
    }

    /// What in a value is not as a schema says: nothing, or at most so many findings.
    pub fn check(&self, schema: SchemaId, value: Json<'_>, most: usize) -> Result<Vec<Finding>, TooCostly> {
        run::run(self, schema, value, most)
    }

    fn words(&self) -> Block<'_> {
        Block(&self.block)
    }

    /// Where a schema is; a number that is none leads nowhere.
    fn place(&self, schema: u32) -> u32 {
        let [directory, count] = self.words().words(0);
        if schema < count { self.words().word(directory.saturating_add(schema.saturating_mul(4))) } else { 0 }
    }

    fn text(&self, at: u32) -> &str {
        let length = self.words().word(at) as usize;
        let start = (at as usize).saturating_add(4);
        let bytes = start.checked_add(length).and_then(|end| self.block.get(start..end)).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }

    /// One word of a list; `None` behind its end.
    fn listed(&self, list: u32, index: u32) -> Option<u32> {
        (index < self.words().word(list)).then(|| self.words().word(at(list, index.saturating_add(1))))
    }

    fn pattern(&self, place: u32) -> Option<Rc<regex_lite::Regex>> {
        if let Some(known) = self.awake.borrow().patterns.get(&place) {
            return known.clone();
        }
        let pattern =
            regex_lite::RegexBuilder::new(self.text(place)).size_limit(PATTERN_SIZE).build().ok().map(Rc::new);
        self.awake.borrow_mut().patterns.insert(place, pattern.clone());
        pattern
    }

    fn constant(&self, place: u32) -> Rc<Constant> {
        if let Some(known) = self.awake.borrow().constants.get(&place) {
            return known.clone();
        }
        let text = self.text(place).to_owned();
        let parts = json::read(&text, &json::Limits { duplicates: true, ..json::Limits::USUAL }).unwrap_or_default();
        let constant = Rc::new(Constant { text, parts });
        self.awake.borrow_mut().constants.insert(place, constant.clone());
        constant
    }
}

/// What a compiled regular expression may take, in bytes.
pub const PATTERN_SIZE: usize = 1 << 20;

/// The place so many words further on.
fn at(place: u32, words: u32) -> u32 {
    place.saturating_add(words.saturating_mul(4))
}
