//! What picking a target costs, with 10 to 10,000 targets: `cargo run --release -p postern-benches --example picking`.

// Measuring time is what this program is for; the ban on clocks is the core's.
#![allow(clippy::disallowed_methods)]

use gateway_core::upstream::{Balance, Facts, Member, Tier, WHOLE, mix};
use std::hint::black_box;
use std::time::Instant;

/// All targets are well, and a few requests are under way to each.
struct AllWell(Vec<u32>);

impl Facts for AllWell {
    fn share(&self, _: u32) -> u32 {
        WHOLE
    }

    fn in_flight(&self, target: u32) -> u32 {
        self.0[target as usize]
    }

    fn all_in_flight(&self) -> u32 {
        self.0.len() as u32 * 2
    }

    fn latency(&self, target: u32) -> f32 {
        1.0 + self.0[target as usize] as f32
    }
}

fn main() {
    const PICKS: u64 = 200_000;
    const ROUNDS: usize = 7;
    let every = [
        ("round_robin", Balance::RoundRobin),
        ("random", Balance::Random),
        ("least_requests", Balance::LeastRequests),
        ("latency", Balance::Latency),
        ("hash", Balance::Hash { bound: 125 }),
    ];
    println!("nanoseconds per pick, median of {ROUNDS} rounds of {PICKS}\n");
    println!("| targets | {} |", every.each_ref().map(|(name, _)| *name).join(" | "));
    println!("|---|{}", "---|".repeat(every.len()));
    for count in [10_u32, 100, 1_000, 10_000] {
        let facts = AllWell((0..count).map(|target| target % 4).collect());
        let cells = every.each_ref().map(|(_, balance)| {
            let members =
                (0..count).map(|target| Member { target, identity: mix(target.into()), weight: target % 3 + 1 });
            let mut tier = Tier::new(members.collect());
            let mut seed = 0;
            let mut random = || {
                seed += 1;
                mix(seed)
            };
            // Heaps and tables are made with the first pick.
            black_box(tier.pick(balance, Some(1), &facts, &mut random));
            let mut rounds: Vec<f64> = (0..ROUNDS)
                .map(|_| {
                    let begun = Instant::now();
                    for key in 0..PICKS {
                        black_box(tier.pick(balance, Some(black_box(key)), &facts, &mut random));
                    }
                    begun.elapsed().as_nanos() as f64 / PICKS as f64
                })
                .collect();
            rounds.sort_by(f64::total_cmp);
            format!("{:.0}", rounds[ROUNDS / 2])
        });
        println!("| {count} | {} |", cells.join(" | "));
    }
}
