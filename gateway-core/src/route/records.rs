//! Records, packed: what they have in common stands once.
//!
//! The routes of one configuration are written alike, and what a fresh instance costs is mostly the bytes that have to be
//! brought into its memory. So a record is kept as what sets it apart, between copies out of a dictionary that all of
//! them share, and is unpacked when it is first needed.
//!
//! ```text
//! header    count, length of the dictionary, where each record ends (from the end of the dictionary): little-endian u32
//! then      the dictionary, the records
//! record    steps: an odd number n and a place, for n >> 1 bytes out of the dictionary from there;
//!           or an even number n, and the n >> 1 bytes themselves
//! number    seven bits a byte, the lowest first; the highest bit says that more follow
//! ```

use crate::frozen::TooLarge;
use bytes::Bytes;
use std::collections::HashMap;

/// Packed records over borrowed bytes.
#[derive(Debug, Clone)]
pub struct Records(pub Bytes);

impl Records {
    /// Packs records. Fails where they take 4 GiB or more, or one of them more than 16 MiB.
    pub fn freeze(records: &[Vec<u8>]) -> Result<Vec<u8>, TooLarge> {
        let word = |number: usize| u32::try_from(number).map_err(|_| TooLarge);
        let mut dictionary = Dictionary::default();
        let mut packed = Vec::new();
        let mut ends = Vec::with_capacity(records.len());
        for record in records {
            if record.len() > LONGEST {
                return Err(TooLarge);
            }
            let mut steps = dictionary.pack(record);
            if steps.len() * 3 > record.len() && dictionary.bytes.len() + record.len() <= DICTIONARY {
                dictionary.learn(record);
                steps = dictionary.pack(record);
            }
            packed.extend(steps);
            ends.push(word(packed.len())?);
        }
        let mut out = Vec::with_capacity((records.len() + 2) * 4 + dictionary.bytes.len() + packed.len());
        for number in [word(records.len())?, word(dictionary.bytes.len())?].into_iter().chain(ends) {
            out.extend(number.to_le_bytes());
        }
        out.extend(dictionary.bytes);
        out.extend(packed);
        word(out.len())?;
        Ok(out)
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.word(0).unwrap_or(0)
    }

    /// One record, unpacked.
    pub fn get(&self, record: u32) -> Option<Vec<u8>> {
        let count = self.count();
        if record >= count {
            return None;
        }
        let from = (count as usize).checked_add(2)?.checked_mul(4)?;
        let to = from.checked_add(self.word(1)? as usize)?;
        let dictionary = self.0.get(from..to)?;
        let start = if record == 0 { 0 } else { self.word(record as usize + 1)? };
        let end = self.word(record as usize + 2)?;
        unpack(self.0.get(to..)?.get(start as usize..end as usize)?, dictionary)
    }

    fn word(&self, at: usize) -> Option<u32> {
        self.0.get(at.checked_mul(4)?..)?.first_chunk::<4>().map(|word| u32::from_le_bytes(*word))
    }
}

/// `None` where the steps are damaged.
fn unpack(mut steps: &[u8], dictionary: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(512);
    while !steps.is_empty() {
        let step = read(&mut steps)?;
        let length = (step >> 1) as usize;
        let text = if step & 1 == 1 {
            let place = read(&mut steps)? as usize;
            dictionary.get(place..place.checked_add(length)?)?
        } else {
            let (text, rest) = steps.split_at_checked(length)?;
            steps = rest;
            text
        };
        if out.len() + text.len() > LONGEST {
            return None;
        }
        out.extend_from_slice(text);
    }
    Some(out)
}

fn read(steps: &mut &[u8]) -> Option<u32> {
    let mut number = 0;
    for shift in (0..32).step_by(7) {
        let (&byte, rest) = steps.split_first()?;
        *steps = rest;
        number |= u32::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// What records have in common, as it is gathered.
#[derive(Default)]
struct Dictionary {
    bytes: Vec<u8>,
    /// Where each run of [`SHORTEST`] bytes stands.
    places: HashMap<[u8; SHORTEST], Vec<usize>>,
}

/// A copy takes about four bytes, so a shorter one saves nothing.
const SHORTEST: usize = 6;
/// How long the dictionary may become: as many bytes more for every instance, and the longer the larger the places.
const DICTIONARY: usize = 16 << 10;
/// How long a record may be, so that a damaged one does not fill the memory.
const LONGEST: usize = 16 << 20;
/// Among how many places the longest copy is looked for.
const TRIES: usize = 32;

impl Dictionary {
    fn learn(&mut self, record: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(record);
        for place in start..(start + record.len() + 1).saturating_sub(SHORTEST) {
            if let Some(run) = self.bytes[place..].first_chunk::<SHORTEST>() {
                self.places.entry(*run).or_default().push(place);
            }
        }
    }

    fn pack(&self, record: &[u8]) -> Vec<u8> {
        let mut steps = Vec::new();
        let (mut at, mut plain) = (0, 0);
        while at < record.len() {
            let Some((place, length)) = self.longest(&record[at..]) else {
                at += 1;
                continue;
            };
            write_plain(&record[plain..at], &mut steps);
            write(length << 1 | 1, &mut steps);
            write(place, &mut steps);
            at += length;
            plain = at;
        }
        write_plain(&record[plain..], &mut steps);
        steps
    }

    fn longest(&self, text: &[u8]) -> Option<(usize, usize)> {
        let places = self.places.get(text.first_chunk::<SHORTEST>()?)?;
        let common =
            |place: usize| self.bytes[place..].iter().zip(text).take_while(|(ours, theirs)| ours == theirs).count();
        places.iter().rev().take(TRIES).map(|&place| (place, common(place))).max_by_key(|(_, length)| *length)
    }
}

fn write_plain(text: &[u8], steps: &mut Vec<u8>) {
    if !text.is_empty() {
        write(text.len() << 1, steps);
        steps.extend_from_slice(text);
    }
}

fn write(mut number: usize, steps: &mut Vec<u8>) {
    while number >= 0x80 {
        steps.push((number & 0x7F) as u8 | 0x80);
        number >>= 7;
    }
    steps.push(number as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn unpacked(records: &[Vec<u8>]) -> (usize, Vec<Vec<u8>>) {
        let frozen = Records(Records::freeze(records).expect("small").into());
        let all = (0..frozen.count()).map(|record| frozen.get(record).expect("it is there")).collect();
        assert_eq!(frozen.get(frozen.count()), None);
        (frozen.0.len(), all)
    }

    #[test]
    fn records_that_are_alike_take_little_room() {
        let records: Vec<_> = (0..1_000)
            .map(|n| format!(r#"{{"n":"route-{n}","d":{{"a":{{"forward":{{"upstream":0}}}}}}}}"#).into_bytes())
            .collect();
        let (size, all) = unpacked(&records);
        assert_eq!(all, records);
        assert!(size < 20 * records.len(), "{size}");
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(records in proptest::collection::vec("[ab]{0,40}|(abcdefgh){0,9}[a-z]{0,300}", 0..40)) {
            let records: Vec<_> = records.into_iter().map(String::into_bytes).collect();
            prop_assert_eq!(unpacked(&records).1, records);
        }

        #[test]
        fn damage_never_panics(damage in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..20), cut in any::<u16>()) {
            let records: Vec<_> = (0..20).map(|n| format!("a record that is like the others, but {n}").into_bytes()).collect();
            let mut frozen = Records::freeze(&records).expect("small");
            for (at, value) in damage {
                let at = usize::from(at) % frozen.len();
                frozen[at] = value;
            }
            frozen.truncate(usize::from(cut) % (frozen.len() + 1));
            let frozen = Records(frozen.into());
            (0..25).for_each(|record| drop(frozen.get(record)));
        }
    }
}
