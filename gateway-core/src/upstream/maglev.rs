//! Consistent hashing by a table (Eisenbud et al., "Maglev", NSDI 2016, §3.4).
//!
//! Each target fills places of the table in an order of its own until all are taken, in turns by weight, so that shares
//! are even and a key keeps its place. What cannot be sent to the target of its place goes on to the next places: only the
//! keys of a target that is out move, and they come back with it.

/// Which target has which place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table(Vec<u32>);

impl Table {
    /// Fills a table for targets by their identity (which must not depend on their order) and weight. `members` are what
    /// the places name.
    pub fn new(members: &[(u32, u64, u32)]) -> Self {
        let Some(heaviest) = members.iter().map(|(.., weight)| *weight).max().filter(|weight| *weight > 0) else {
            return Self(Vec::new());
        };
        let size = if members.len() <= MANY { SMALL } else { LARGE };
        const FREE: u32 = u32::MAX;
        let mut places = vec![FREE; size as usize];
        // Where each target looks next, how far it goes on from there, and how many turns it has saved up.
        let mut walks: Vec<(u64, u64, u64)> = members
            .iter()
            .map(|(_, identity, _)| (mix(*identity) % size, mix(identity ^ OTHER) % (size - 1) + 1, 0))
            .collect();
        let mut left = size;
        while left > 0 {
            for ((member, _, weight), (at, step, turns)) in members.iter().zip(&mut walks) {
                *turns += u64::from(*weight);
                if *turns < u64::from(heaviest) || left == 0 {
                    continue;
                }
                *turns -= u64::from(heaviest);
                // The size is a prime, so that each walk comes through all places.
                while places[*at as usize] != FREE {
                    *at = (*at + *step) % size;
                }
                places[*at as usize] = *member;
                left -= 1;
            }
        }
        Self(places)
    }

    /// The targets for a key, best first. One may come more than once. After its own place a key goes on in steps of its
    /// own, so that the keys of a target that is out are spread over all others.
    pub fn walk(&self, key: u64) -> impl Iterator<Item = u32> {
        let size = self.0.len() as u64;
        let (start, step) = match size {
            0 => (0, 0),
            size => (mix(key) % size, mix(key ^ OTHER) % (size - 1) + 1),
        };
        let places = std::iter::successors(Some(start), move |at| Some((at + step) % size)).take(self.0.len());
        places.filter_map(|place| self.0.get(place as usize).copied())
    }
}

/// Another size would be another order of everything, so there are two only: with a hundred places for each of so many
/// targets, shares are within a hundredth of each other.
const MANY: usize = 160;
const SMALL: u64 = 16_381;
const LARGE: u64 = 262_139;
const OTHER: u64 = 0x5bd1_e995_9d1b_54d5;

/// Spreads the bits of a number over all of it (SplitMix64).
pub fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A number for a text, the same on every machine (FNV-1a).
pub fn hash(text: &[u8]) -> u64 {
    let number = text
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
    mix(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn members(weights: &[u32]) -> Vec<(u32, u64, u32)> {
        (0_u32..)
            .zip(weights)
            .map(|(at, weight)| (at, hash(format!("http://t{at}.test").as_bytes()), *weight))
            .collect()
    }

    #[test]
    fn sizes_are_primes() {
        for size in [SMALL, LARGE] {
            let mut divisors = (2..).take_while(|divisor| divisor * divisor <= size);
            assert!(divisors.all(|divisor| size % divisor != 0), "{size}");
        }
    }

    #[test]
    fn nothing_is_found_where_nothing_is() {
        assert_eq!(Table::new(&[]).walk(1).next(), None);
        assert_eq!(Table::new(&members(&[0, 0])).walk(1).next(), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]
        #[test]
        fn a_target_that_leaves_moves_no_more_keys_than_its_share_and_five_percent(count in 2_usize..40, gone in 0_usize..40) {
            let gone = gone % count;
            let before = members(&vec![1; count]);
            let after: Vec<_> = before.iter().copied().filter(|(at, ..)| *at as usize != gone).collect();
            let (before, after) = (Table::new(&before), Table::new(&after));
            let keys = 20_000_u64;
            let moved = (0..keys).filter(|key| before.walk(*key).next() != after.walk(*key).next()).count();
            prop_assert!(moved as f64 <= keys as f64 * (1.0 / count as f64 + 0.05), "{moved} of {keys}, {count} targets");
            // One that is only out for a while moves its own keys and no others.
            for key in 0..1_000 {
                let first = before.walk(key).next();
                let instead = before.walk(key).find(|at| *at as usize != gone);
                prop_assert!(first == instead || first == Some(gone as u32));
            }
        }
    }
}
