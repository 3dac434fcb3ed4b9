//! Tables that are made when the configuration is compiled and read in place.
//!
//! All numbers are little-endian `u32`; an offset counts bytes from the start of the block, and 0 means "none". A damaged
//! block finds less, but never reads outside itself and never panics.
//!
//! ```text
//! table   slots (a power of two), then per slot: hash, text offset, text length, value (0: the slot is free)
//! ```

use std::collections::BTreeMap;

/// A frozen block.
#[derive(Debug, Clone, Copy)]
pub struct Block<'a>(pub &'a [u8]);

/// A key in a table: two pieces of text, one behind the other.
#[derive(Debug, Clone, Copy)]
pub struct Key<'a>(pub &'a str, pub &'a str);

/// What was to be frozen does not fit into what its numbers can count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLarge;

impl Block<'_> {
    /// The number at this offset, 0 outside the block.
    pub fn word(self, at: u32) -> u32 {
        let [word] = self.words(at);
        word
    }

    /// So many numbers in a row; zeros where the block does not hold them all.
    pub fn words<const N: usize>(self, at: u32) -> [u32; N] {
        let bytes = self.0.get(at as usize..).unwrap_or_default();
        let (words, _) = bytes.as_chunks::<4>();
        words.first_chunk::<N>().map_or([0; N], |words| words.map(u32::from_le_bytes))
    }

    /// What the table holds under this key, 0 where it holds nothing.
    pub fn lookup(self, table: u32, key: Key<'_>) -> u32 {
        let slots = self.word(table);
        if !slots.is_power_of_two() {
            return 0;
        }
        let hash = key.hash();
        for probe in 0..slots {
            let slot = hash.wrapping_add(probe) & (slots - 1);
            let at = slot.saturating_mul(16).saturating_add(table.saturating_add(4));
            let [stored, text, length, value] = self.words(at);
            if value == 0 {
                return 0;
            }
            if stored == hash {
                let (start, length) = (text as usize, length as usize);
                if start.checked_add(length).and_then(|end| self.0.get(start..end)).is_some_and(|text| key.is(text)) {
                    return value;
                }
            }
        }
        0
    }
}

impl Key<'_> {
    fn is(&self, stored: &[u8]) -> bool {
        stored.strip_prefix(self.0.as_bytes()).is_some_and(|rest| rest == self.1.as_bytes())
    }

    /// FNV-1a, with its high bits folded in. Tables are made by the operator, so nobody can choose what collides in them.
    fn hash(&self) -> u32 {
        let mix =
            |hash: u32, text: &str| text.bytes().fold(hash, |hash, b| (hash ^ u32::from(b)).wrapping_mul(0x0100_0193));
        let hash = mix(mix(0x811C_9DC5, self.0), self.1);
        hash ^ (hash >> 15)
    }
}

/// Writes a block.
#[derive(Debug, Default)]
pub struct Writer {
    /// What has been written.
    pub bytes: Vec<u8>,
    texts: BTreeMap<String, u32>,
}

impl Writer {
    /// The offset of what is written next.
    pub fn here(&self) -> Result<u32, TooLarge> {
        u32::try_from(self.bytes.len()).map_err(|_| TooLarge)
    }

    /// Writes a number.
    pub fn push(&mut self, word: u32) {
        self.bytes.extend(word.to_le_bytes());
    }

    /// Replaces the number at this offset.
    pub fn patch(&mut self, at: usize, word: u32) {
        if let Some(place) = self.bytes.get_mut(at..at + 4) {
            place.copy_from_slice(&word.to_le_bytes());
        }
    }

    /// Writes a table of values that are not 0. Gives its offset.
    pub fn table(&mut self, entries: &[(&str, u32)]) -> Result<u32, TooLarge> {
        // At most three quarters full, so that the search for what is not there ends soon. Most tables have one entry.
        let slots = match entries.len() {
            few @ 0..=2 => few.max(1),
            many => (many * 4).div_ceil(3).next_power_of_two(),
        };
        let mut table = vec![[0u32; 4]; slots];
        for (text, value) in entries {
            let hash = Key("", text).hash();
            let mut slot = hash as usize & (slots - 1);
            while table[slot][3] != 0 {
                slot = (slot + 1) & (slots - 1);
            }
            let length = u32::try_from(text.len()).map_err(|_| TooLarge)?;
            table[slot] = [hash, self.text(text)?, length, *value];
        }
        let at = self.here()?;
        self.push(u32::try_from(slots).map_err(|_| TooLarge)?);
        table.into_iter().flatten().for_each(|word| self.push(word));
        Ok(at)
    }

    fn text(&mut self, text: &str) -> Result<u32, TooLarge> {
        if let Some(at) = self.texts.get(text) {
            return Ok(*at);
        }
        let at = self.here()?;
        self.bytes.extend(text.as_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self.texts.insert(text.to_owned(), at);
        Ok(at)
    }
}
