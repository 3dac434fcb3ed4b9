//! Picks the next target: plain functions of what is known of the targets and of random bits.
//!
//! Targets stand in groups, best first ([`Tier`]). Within one, a pick looks at one or two targets, however many there
//! are; only where most of them cannot be used does it look at all.

use super::health::WHOLE;
use super::maglev::Table;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// How the next target is picked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// In turns by weight, spread evenly: 3 to 1 is `a a b a`, not `a a a b`.
    #[default]
    RoundRobin,
    /// By lot, with chances by weight.
    Random,
    /// Of two drawn by lot, the one with less under way for its weight.
    LeastRequests,
    /// Of two drawn by lot, the one that is expected to answer sooner.
    Latency,
    /// By a key of the request: the same key goes to the same target.
    Hash {
        /// How many percent of its fair share of what is under way a target takes before keys go on to others.
        bound: u32,
    },
}

/// What a pick needs to know of a target.
pub trait Facts {
    /// How much of its share it may carry now, of [`WHOLE`]; 0: it cannot be used.
    fn share(&self, target: u32) -> u32;
    /// What is under way to it.
    fn in_flight(&self, target: u32) -> u32;
    /// What is under way to all of them.
    fn all_in_flight(&self) -> u32;
    /// How many milliseconds it is expected to take; 0 where nothing is known.
    fn latency(&self, target: u32) -> f32;
}

/// Targets of the same rank.
#[derive(Debug, Clone)]
pub struct Tier {
    members: Vec<Member>,
    /// The weights up to and with each member.
    sums: Vec<u64>,
    /// Whose turn it is, for [`Balance::RoundRobin`]; made when it is first needed.
    turns: BinaryHeap<Reverse<Turn>>,
    /// For [`Balance::Hash`]; made when it is first needed.
    table: Option<Table>,
}

/// A target of a tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Its place among all targets.
    pub target: u32,
    /// A number for its address.
    pub identity: u64,
    /// Above 0.
    pub weight: u32,
}

impl Member {
    /// How long it waits from turn to turn.
    fn wait(&self) -> u64 {
        ROUND / u64::from(self.weight.max(1))
    }
}

/// When a member comes next: earliest deadline first gives each its share, spread evenly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    due: u64,
    place: u32,
}

impl Tier {
    /// A tier of these targets.
    pub fn new(members: Vec<Member>) -> Self {
        let sums = members.iter().scan(0, |sum, member| {
            *sum += u64::from(member.weight);
            Some(*sum)
        });
        Self { sums: sums.collect(), members, turns: BinaryHeap::new(), table: None }
    }

    /// The targets.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Picks one that can be used, if there is any.
    pub fn pick(
        &mut self,
        balance: &Balance,
        key: Option<u64>,
        facts: &impl Facts,
        random: &mut impl FnMut() -> u64,
    ) -> Option<u32> {
        match (balance, key) {
            (Balance::RoundRobin, _) => self.take_turn(facts, random),
            (Balance::Random, _) | (Balance::Hash { .. }, None) => Some(self.draw(facts, random)?.target),
            (Balance::LeastRequests, _) => {
                // Cross-multiplied: under way ÷ weight. What is equal stays with the first, so that weights hold.
                let load =
                    |one: Member, other: Member| u64::from(facts.in_flight(one.target)) * u64::from(other.weight);
                let (one, other) = (self.draw(facts, random)?, self.draw(facts, random)?);
                Some(if load(other, one) < load(one, other) { other.target } else { one.target })
            }
            (Balance::Latency, _) => {
                let (one, other) = (self.draw(facts, random)?.target, self.draw(facts, random)?.target);
                Some(if expected(other, facts) < expected(one, facts) { other } else { one })
            }
            (Balance::Hash { bound }, Some(key)) => self.of_key(key, *bound, facts),
        }
    }

    fn take_turn(&mut self, facts: &impl Facts, random: &mut impl FnMut() -> u64) -> Option<u32> {
        for _ in 0..self.members.len().saturating_mul(2) {
            if self.turns.is_empty() {
                // Each begins somewhere within its first wait, or else every new instance would ask the same one first.
                let first = |(place, member): (u32, &Member)| Reverse(Turn { due: random() % member.wait(), place });
                self.turns = (0..).zip(&self.members).map(first).collect();
            }
            let mut turn = self.turns.peek_mut()?;
            let member = self.members[turn.0.place as usize];
            let share = facts.share(member.target);
            // While its share grows it waits longer; who cannot be used loses a turn.
            let wait = if share == 0 { member.wait() } else { member.wait() * u64::from(WHOLE) / u64::from(share) };
            turn.0.due = turn.0.due.saturating_add(wait);
            let late = turn.0.due > LATE;
            // It sinks to its new place.
            drop(turn);
            if late {
                self.turns.clear();
            }
            if share > 0 {
                return Some(member.target);
            }
        }
        self.first_usable(0, facts)
    }

    /// One by lot, with chances by weight.
    fn draw(&self, facts: &impl Facts, random: &mut impl FnMut() -> u64) -> Option<Member> {
        let all = *self.sums.last()?;
        let mut place = 0;
        for _ in 0..TRIES {
            let bits = random();
            let drawn = ((u128::from(bits) * u128::from(all)) >> 64) as u64;
            place = self.sums.partition_point(|sum| *sum <= drawn);
            let Some(member) = self.members.get(place) else { continue };
            let share = facts.share(member.target);
            // The low bits have had no say in the place.
            if share == WHOLE || (bits as u32 & (WHOLE - 1)) < share {
                return Some(*member);
            }
        }
        let target = self.first_usable(place, facts)?;
        self.members.iter().find(|member| member.target == target).copied()
    }

    fn first_usable(&self, from: usize, facts: &impl Facts) -> Option<u32> {
        let (before, behind) = self.members.split_at(from.min(self.members.len()));
        behind.iter().chain(before).map(|member| member.target).find(|target| facts.share(*target) > 0)
    }

    fn of_key(&mut self, key: u64, bound: u32, facts: &impl Facts) -> Option<u32> {
        let members = &self.members;
        let weights = *self.sums.last()?;
        let table = self.table.get_or_insert_with(|| {
            Table::new(&(0..).zip(members).map(|(place, m)| (place, m.identity, m.weight)).collect::<Vec<_>>())
        });
        let all = u64::from(facts.all_in_flight()) + 1;
        let mut usable = None;
        for place in table.walk(key) {
            let Some(member) = members.get(place as usize) else { continue };
            if facts.share(member.target) == 0 {
                continue;
            }
            usable = usable.or(Some(member.target));
            // Mirrokni et al., "Consistent Hashing with Bounded Loads", 2018: at most so much more than the fair share.
            let fair = u128::from(all) * u128::from(member.weight) * u128::from(bound);
            let most = fair.div_ceil(u128::from(weights) * 100);
            if u128::from(facts.in_flight(member.target)) < most {
                return Some(member.target);
            }
        }
        usable
    }
}

/// What a target is expected to take with one more under way.
fn expected(target: u32, facts: &impl Facts) -> f32 {
    let (latency, in_flight) = (facts.latency(target), facts.in_flight(target));
    // Of whom nothing is known gets one request to show itself, and not all at once.
    if latency == 0.0 && in_flight > 0 { f32::MAX } else { latency * (in_flight as f32 + 1.0) }
}

/// What a weight of 1 waits from turn to turn.
const ROUND: u64 = 1 << 32;
/// From here on turns begin anew.
const LATE: u64 = 1 << 62;
/// So many draws find a target that can be used, unless few can.
const TRIES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::maglev::{hash, mix};
    use proptest::prelude::*;
    use std::cell::Cell;

    #[derive(Clone)]
    struct World {
        shares: Vec<u32>,
        in_flight: Vec<Cell<u32>>,
        latency: Vec<f32>,
    }

    impl World {
        fn of(count: usize) -> Self {
            Self { shares: vec![WHOLE; count], in_flight: vec![Cell::new(0); count], latency: vec![0.0; count] }
        }
    }

    impl Facts for World {
        fn share(&self, target: u32) -> u32 {
            self.shares[target as usize]
        }
        fn in_flight(&self, target: u32) -> u32 {
            self.in_flight[target as usize].get()
        }
        fn all_in_flight(&self) -> u32 {
            self.in_flight.iter().map(Cell::get).sum()
        }
        fn latency(&self, target: u32) -> f32 {
            self.latency[target as usize]
        }
    }

    fn tier(weights: &[u32]) -> Tier {
        let member = |(target, weight): (u32, &u32)| Member {
            target,
            identity: hash(format!("http://t{target}.test").as_bytes()),
            weight: *weight,
        };
        Tier::new((0..).zip(weights).map(member).collect())
    }

    fn dice() -> impl FnMut() -> u64 {
        let mut seed = 7;
        move || {
            seed += 1;
            mix(seed)
        }
    }

    fn every() -> [Balance; 5] {
        [Balance::RoundRobin, Balance::Random, Balance::LeastRequests, Balance::Latency, Balance::Hash { bound: 125 }]
    }

    /// How often each target is picked in 100,000 times, in percent.
    fn shares(weights: &[u32], world: &World, balance: &Balance) -> Vec<f64> {
        let (mut tier, mut random) = (tier(weights), dice());
        let mut counts = vec![0; weights.len()];
        for key in 0..100_000 {
            let target = tier.pick(balance, Some(key), world, &mut random).expect("there are targets");
            counts[target as usize] += 1;
        }
        counts.into_iter().map(|count| f64::from(count) / 1_000.0).collect()
    }

    /// Two percent of each share. What is drawn by lot may miss it besides by three standard deviations of so many draws, which is
    /// less than that again down to shares of a fifth.
    #[test]
    fn every_way_of_picking_keeps_to_the_weights_within_two_percent() {
        for balance in every() {
            let mut farthest: f64 = 0.0;
            for weights in [&[1, 1, 1][..], &[3, 1], &[5, 1, 1], &[90, 10], &[1; 20]] {
                let sum: u32 = weights.iter().sum();
                let found = shares(weights, &World::of(weights.len()), &balance);
                for (share, weight) in found.iter().zip(weights) {
                    let wanted = f64::from(*weight) / f64::from(sum);
                    let chance = match balance {
                        Balance::RoundRobin => 0.0,
                        _ => 3.0 * (wanted * (1.0 - wanted) / 100_000.0).sqrt(),
                    };
                    let missed = (share / 100.0 - wanted).abs();
                    assert!(missed < wanted * 0.02 + chance, "{balance:?} {weights:?}: {found:?}");
                    farthest = farthest.max(missed / wanted);
                }
            }
            println!("{balance:?}: within {:.1} % of every weight, in 100,000 picks", farthest * 100.0);
        }
    }

    #[test]
    fn turns_are_spread_evenly() {
        let (mut tier, mut random, world) = (tier(&[3, 1]), dice(), World::of(2));
        let picked: Vec<_> =
            (0..400).filter_map(|_| tier.pick(&Balance::RoundRobin, None, &world, &mut random)).collect();
        for four in picked.windows(4) {
            assert_eq!(four.iter().filter(|target| **target == 1).count(), 1, "{four:?}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_not_picked_and_the_others_keep_their_proportions() {
        let mut world = World::of(4);
        world.shares[0] = 0;
        for balance in every() {
            let found = shares(&[5, 2, 1, 1], &world, &balance);
            for (share, wanted) in found.iter().zip([0.0, 50.0, 25.0, 25.0]) {
                assert!((share - wanted).abs() < 2.0, "{balance:?}: {found:?}");
            }
        }
        world.shares = vec![0; 4];
        for balance in every() {
            assert_eq!(tier(&[5, 2, 1, 1]).pick(&balance, Some(1), &world, &mut dice()), None);
        }
    }

    #[test]
    fn who_comes_back_slowly_gets_a_part_of_its_share() {
        let mut world = World::of(2);
        world.shares[0] = WHOLE / 4;
        for balance in [Balance::RoundRobin, Balance::Random, Balance::LeastRequests, Balance::Latency] {
            let found = shares(&[1, 1], &world, &balance);
            assert!((found[0] - 20.0).abs() < 2.0, "{balance:?}: {found:?}");
        }
    }

    #[test]
    fn the_slower_of_two_is_asked_only_when_it_is_drawn_twice() {
        let mut world = World::of(2);
        world.latency = vec![10.0, 300.0];
        let found = shares(&[1, 1], &world, &Balance::Latency);
        assert!((found[1] - 25.0).abs() < 2.0, "{found:?}");
    }

    #[test]
    fn a_key_stays_with_its_target_until_that_one_has_too_much_to_do() {
        let (mut tier, world, hash) = (tier(&[1, 1, 1, 1]), World::of(4), Balance::Hash { bound: 125 });
        let first = tier.pick(&hash, Some(42), &world, &mut dice()).expect("a target");
        for in_flight in 0..50 {
            // Of so many, with the next one: at most a fourth and a fourth of that.
            let most = ((in_flight + 1) * 125_u32).div_ceil(400);
            world.in_flight[first as usize].set(in_flight);
            let next = tier.pick(&hash, Some(42), &world, &mut dice()).expect("a target");
            assert_eq!(next == first, in_flight < most, "{in_flight}");
        }
    }

    /// Balls into bins: each of 1,000 requests joins a queue and none leaves. By lot the longest of n queues holds about
    /// ln n ÷ ln ln n more than the mean, with two choices about log₂ ln n (Azar et al., "Balanced Allocations", 1994).
    #[test]
    fn two_choices_keep_the_longest_queue_far_shorter_than_one() {
        let worst = |balance: &Balance| {
            let (mut tier, mut random, world) = (tier(&[1; 1_000]), dice(), World::of(1_000));
            for _ in 0..1_000 {
                let target = tier.pick(balance, None, &world, &mut random).expect("a target") as usize;
                world.in_flight[target].set(world.in_flight[target].get() + 1);
            }
            world.in_flight.iter().map(Cell::get).max().unwrap_or_default()
        };
        let (random, two) = (worst(&Balance::Random), worst(&Balance::LeastRequests));
        let n = 1_000_f64;
        println!("longest of 1,000 queues after 1,000 requests: {random} by lot, {two} of two choices");
        println!("theory: {:.1} and {:.1}, up to a constant", n.ln() / n.ln().ln(), n.ln().log2());
        assert!(two <= 4 && random >= 5, "{two} {random}");
    }

    proptest! {
        #[test]
        fn whatever_is_known_only_what_can_be_used_is_picked(
            targets in prop::collection::vec((1_u32..100, prop::sample::select(vec![0, 1, 100, WHOLE]), 0_u32..20), 1..30),
            key: u64, bound in 101_u32..300, seed: u64,
        ) {
            let weights: Vec<u32> = targets.iter().map(|(weight, ..)| *weight).collect();
            let world = World {
                shares: targets.iter().map(|(_, share, _)| *share).collect(),
                in_flight: targets.iter().map(|(.., in_flight)| Cell::new(*in_flight)).collect(),
                latency: targets.iter().map(|(.., in_flight)| *in_flight as f32).collect(),
            };
            let mut seed = seed;
            let mut random = || { seed = seed.wrapping_add(1); mix(seed) };
            for balance in every().into_iter().chain([Balance::Hash { bound }]) {
                let picked = tier(&weights).pick(&balance, Some(key), &world, &mut random);
                match picked {
                    Some(target) => prop_assert!(world.share(target) > 0),
                    None => prop_assert!(world.shares.iter().all(|share| *share == 0)),
                }
            }
        }
    }
}
