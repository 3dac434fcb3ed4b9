//! What it costs to verify a token in native code: `node benches/signatures.mjs --print | cargo run --release --package
//! postern-benches --example signatures_native`. Reads lines of algorithm, JWK Set and token; prints µs for one.

use gateway_core::jwt::{KeySet, Purpose, Token};
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::io::BufRead;

fn main() {
    println!("µs for one, native     least    middle");
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let mut parts = line.split('\t');
        let (Some(algorithm), Some(set), Some(text)) = (parts.next(), parts.next(), parts.next()) else { continue };
        let keys = KeySet::read(set.as_bytes(), &[]).expect("the set has one key");
        let times = if algorithm.starts_with("HS") { 5_000 } else { 200 };
        let mut costs: Vec<f64> = (0..8).map(|_| round(&keys, text, times)).skip(1).collect();
        costs.sort_by(f64::total_cmp);
        println!("{algorithm:<15} {:>11.2} {:>9.2}", costs[0], costs[costs.len() / 2]);
    }
}

fn round(keys: &KeySet, text: &str, times: u32) -> f64 {
    let before = thread_time();
    for _ in 0..times {
        let token = Token::read(black_box(text), Purpose::Token).expect("well-formed");
        assert!(keys.verify(&token).is_ok() && token.claims().is_ok(), "a right token was refused");
    }
    (thread_time() - before) / f64::from(times)
}

/// Microseconds of CPU that this thread has used.
fn thread_time() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}
