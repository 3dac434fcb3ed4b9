//! Thread CPU time, and what several samples of anything say together.

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// Several measurements of the same.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Samples(pub Vec<f64>);

impl Samples {
    /// The middle one.
    pub fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => f64::NAN,
            even if even % 2 == 0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
            _ => sorted[middle],
        }
    }

    /// The smallest.
    pub fn min(&self) -> f64 {
        self.0.iter().copied().fold(f64::NAN, f64::min)
    }

    /// The largest.
    pub fn max(&self) -> f64 {
        self.0.iter().copied().fold(f64::NAN, f64::max)
    }
}

/// How many samples native code gets.
pub const SAMPLES: usize = 7;

/// Nanoseconds of thread CPU time that one round of `operations` takes, [`SAMPLES`] times.
///
/// Every sample repeats the round until it has run for `milliseconds`, so that the clock's own cost does not count.
pub fn sample(operations: usize, milliseconds: u64, round: &mut dyn FnMut()) -> Samples {
    let mut rounds = 1;
    loop {
        if time(rounds, round) >= milliseconds * 1_000_000 {
            break;
        }
        rounds *= 2;
    }
    Samples((0..SAMPLES).map(|_| time(rounds, round) as f64 / (rounds * operations) as f64).collect())
}

/// Nanoseconds of thread CPU time of one thing done once, in each of `times` fresh starts.
pub fn sample_once<T>(times: usize, mut thing: impl FnMut() -> T) -> Samples {
    let once = |_| {
        let start = thread_time();
        let made = thing();
        let taken = thread_time() - start;
        drop(made);
        taken as f64
    };
    Samples((0..times).map(once).collect())
}

fn time(rounds: usize, round: &mut dyn FnMut()) -> u64 {
    let start = thread_time();
    (0..rounds).for_each(|_| round());
    thread_time() - start
}

fn thread_time() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(Samples(vec![3.0, 1.0, 2.0]).median(), 2.0);
        assert_eq!(Samples(vec![4.0, 1.0, 2.0, 3.0]).median(), 2.5);
        assert_eq!(Samples(vec![4.0, 1.0]).min(), 1.0);
        assert!(Samples::default().median().is_nan());
    }
}
