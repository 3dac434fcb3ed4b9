//! How long targets take: a moving average that believes bad news at once, and a histogram to read percentiles from.

use crate::platform::Timestamp;

/// A moving average of a target's response time, sensitive to peaks: a slower answer counts in full at once, faster ones
/// bring it down little by little. It fades while nothing is heard, so that a slow target is asked again one day.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Latency {
    milliseconds: f32,
    at: Timestamp,
}

/// After so many milliseconds what was known counts half.
const FADES: f32 = 10_000.0;

impl Latency {
    /// Notes an answer that took so many milliseconds.
    pub fn observe(&mut self, took: u64, now: Timestamp) {
        let (took, before) = (took as f32, self.at(now));
        let old = FADES / (FADES + now.saturating_sub(self.at) as f32);
        // A step of a tenth, where no time has passed.
        let old = old.min(0.9);
        self.milliseconds = if took > before { took } else { before * old + took * (1.0 - old) };
        self.at = now;
    }

    /// What it is expected to take now, in milliseconds; 0 where nothing is known.
    pub fn at(&self, now: Timestamp) -> f32 {
        self.milliseconds * FADES / (FADES + now.saturating_sub(self.at) as f32)
    }
}

/// How many answers took how long, in steps of an eighth of a power of two. Old answers fade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    counts: [u16; STEPS],
    all: u32,
}

const STEPS: usize = 160;
/// When so many answers are counted, all count half.
const MANY: u32 = 2_000;
/// A percentile of fewer answers says nothing.
const FEW: u32 = 50;

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: [0; STEPS], all: 0 }
    }
}

impl Histogram {
    /// Counts an answer that took so many milliseconds.
    pub fn observe(&mut self, took: u64) {
        if self.all >= MANY {
            self.counts.iter_mut().for_each(|count| *count /= 2);
            self.all = self.counts.iter().map(|count| u32::from(*count)).sum();
        }
        self.counts[step(took)] += 1;
        self.all += 1;
    }

    /// So many percent of the answers took no longer than this, in milliseconds. `None` where too few are known.
    pub fn percentile(&self, percent: u32) -> Option<u64> {
        if self.all < FEW {
            return None;
        }
        let wanted = (u64::from(self.all) * u64::from(percent)).div_ceil(100);
        let mut seen = 0;
        for (step, count) in self.counts.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= wanted {
                return Some(longest(step));
            }
        }
        None
    }
}

/// Below eight each millisecond is a step; above, each power of two has eight.
fn step(took: u64) -> usize {
    if took < 8 {
        return took as usize;
    }
    let power = 63 - took.leading_zeros() as usize;
    let eighth = (took >> (power - 3)) as usize & 7;
    ((power - 2) * 8 + eighth).min(STEPS - 1)
}

/// The longest time of a step.
fn longest(step: usize) -> u64 {
    let (power, eighth) = (step / 8, step as u64 % 8);
    if power == 0 { eighth } else { ((9 + eighth) << (power - 1)) - 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bad_news_count_at_once_and_good_ones_little_by_little() {
        let mut latency = Latency::default();
        latency.observe(10, 1_000);
        latency.observe(200, 1_000);
        assert!((latency.at(1_000) - 200.0).abs() < 0.1);
        latency.observe(10, 1_100);
        assert!(latency.at(1_100) > 150.0);
        for now in 0..100 {
            latency.observe(10, 1_100 + now * 10);
        }
        assert!(latency.at(2_100) < 20.0, "{latency:?}");
        assert!(latency.at(12_100) < latency.at(2_100) * 0.6, "it fades");
    }

    #[test]
    fn percentiles_need_answers() {
        let mut histogram = Histogram::default();
        (0..FEW - 1).for_each(|_| histogram.observe(10));
        assert_eq!(histogram.percentile(95), None);
        histogram.observe(1_000);
        assert_eq!(histogram.percentile(95), Some(10));
        assert!((1_000..1_130).contains(&histogram.percentile(100).expect("enough")));
    }

    proptest! {
        #[test]
        fn a_step_holds_what_it_says(took in 0_u64..100_000) {
            prop_assert!(longest(step(took)) >= took);
            prop_assert!(longest(step(took)) <= took + took / 8);
            prop_assert!(step(took) == 0 || longest(step(took) - 1) < took);
        }

        #[test]
        fn a_percentile_is_near_the_true_one(mut times in prop::collection::vec(0_u64..5_000, 50..500), percent in 1_u32..=100) {
            let mut histogram = Histogram::default();
            times.iter().for_each(|took| histogram.observe(*took));
            times.sort_unstable();
            let rank = (times.len() * percent as usize).div_ceil(100) - 1;
            let (found, true_one) = (histogram.percentile(percent).expect("enough"), times[rank]);
            prop_assert!(found >= true_one && found <= true_one + true_one / 8, "{found} {true_one}");
        }
    }
}
