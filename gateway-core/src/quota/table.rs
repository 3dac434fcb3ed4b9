//! What an instance remembers under many keys, in memory that is bounded whatever clients send.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher, Hasher};

/// A bounded table without clean-up: when the young half is full, it becomes the old one, and the old one is gone. As many
/// keys as one half has, those used last, are certain to be there.
#[derive(Debug)]
pub struct Table<V> {
    seed: u64,
    most: usize,
    young: Half<V>,
    old: Half<V>,
}

type Half<V> = HashMap<u64, V, BuildHasherDefault<Ready>>;

impl<V> Table<V> {
    /// An empty table of two halves with so many keys each. The seed is secret: nobody can choose keys that meet.
    pub fn new(seed: u64, most: usize) -> Self {
        Self { seed, most, young: Half::default(), old: Half::default() }
    }

    /// The place of a key. Two of a million share one with a probability of one in thirty million.
    pub fn place(&self, key: &[u8]) -> u64 {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.seed);
        hasher.write(key);
        hasher.finish()
    }

    /// Changes what stands at a place.
    pub fn change<T>(&mut self, place: u64, change: impl FnOnce(Option<V>) -> (T, V)) -> T {
        let value = self.young.remove(&place).or_else(|| self.old.remove(&place));
        let (told, value) = change(value);
        if self.young.len() >= self.most {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(place, value);
        told
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes the table itself takes; what its values point to comes on top.
    pub fn bytes(&self) -> usize {
        // One byte of control for each place, as hashbrown has it, which fills seven of eight.
        let places = |half: &Half<V>| half.capacity().div_ceil(7) * 8;
        (places(&self.young) + places(&self.old)) * (size_of::<(u64, V)>() + 1)
    }
}

/// Keys are hashes already.
#[derive(Debug, Default)]
struct Ready(u64);

impl Hasher for Ready {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::limit::REMEMBERED as HALF;
    use crate::quota::{Act, Kept, Order, Rule, perform};

    #[test]
    fn a_million_keys_stay_within_the_stated_size() {
        let mut table: Table<Kept> = Table::new(7, HALF);
        let rules = vec![Rule::Bucket { rate: 10, per: 1_000, burst: 10 }];
        let order = Order { rules, act: Act::Take { cost: 1, most: 1, patience: 0, lease: 0 } };
        for n in 0..1_000_000_u32 {
            let place = table.place(&n.to_le_bytes());
            table.change(place, |kept| {
                let step = perform(&order, kept, 1);
                (step.decision, step.kept)
            });
        }
        assert!(table.len() <= 2 * HALF);
        // docs/limits.md states 48 MB. An allocation of one state takes 64 bytes with what the allocator adds.
        let size = table.bytes() + table.len() * 64;
        assert!(size < 48 << 20, "{size}");
    }

    #[test]
    fn what_is_used_is_remembered() {
        let mut table = Table::new(7, HALF);
        let count = |seen: Option<u64>| (seen.unwrap_or(0), seen.unwrap_or(0) + 1);
        for n in 0..1_000_000_u64 {
            table.change(table.place(&n.to_le_bytes()), count);
            if n % 100_000 == 0 {
                assert_eq!(table.change(table.place(b"used"), count), n / 100_000);
            }
        }
    }
}
