//! What leased tokens cost and miss: traffic of several kinds on up to 500 instances and 10,000 keys, simulated with the core's own
//! step and held to the bound of docs/limits.md. The same seed, the same numbers.
//!
//!     cargo test -p postern-tests --test leases -- --nocapture        # prints the table
//!     POSTERN_WRITE_DOCS=1 cargo test -p postern-tests --test leases  # writes it and its plot into docs/

use gateway_core::quota::lease::{Purse, Spend};
use gateway_core::quota::{Act, Decision, Kept, Order, Rule, State, perform};
use postern_tests::process::root;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::fmt::Write;

/// Milliseconds from an instance to the owner, and back again.
const WAY: u64 = 5;
/// Requests of one run.
const REQUESTS: u64 = 20_000;
const START: u64 = 1_750_000_000_000;
const LEASE: u64 = 250;
const BUCKET: Rule = Rule::Bucket { rate: 100, per: 1_000, burst: 100 };
const FIXED: Rule = Rule::Window { limit: 100, per: 1_000, sliding: false };
const SLIDING: Rule = Rule::Window { limit: 100, per: 1_000, sliding: true };

#[derive(Debug, Clone, Copy, PartialEq)]
enum Traffic {
    Poisson,
    /// A second of five times as much, then four of nothing.
    Bursty,
    /// From nothing to twice as much and back, twice in a run.
    Diurnal,
}

#[derive(Debug, Clone, Copy)]
struct Run {
    traffic: Traffic,
    instances: u64,
    keys: u64,
    rule: &'static Rule,
}

#[derive(Debug, Default, Clone, Copy)]
struct Outcome {
    requests: u64,
    admitted: u64,
    calls: u64,
    /// The most that one key was admitted beyond its limit, in any time.
    over: f64,
}

#[test]
fn no_lease_overshoots_its_bound_and_what_it_costs_is_written_down() {
    let (mut table, mut points) = (String::from(HEAD), Vec::new());
    for (name, rule) in [("token bucket", &BUCKET), ("fixed window", &FIXED), ("sliding window", &SLIDING)] {
        for traffic in [Traffic::Poisson, Traffic::Bursty, Traffic::Diurnal] {
            for (instances, keys) in [(1, 1), (5, 1), (50, 1), (500, 1), (1, 10_000), (50, 100), (500, 10_000)] {
                let run = Run { traffic, instances, keys, rule };
                let (exact, leased) = (simulate(run, None), simulate(run, Some(LEASE)));
                let bound = if *rule == BUCKET { 100.0 * LEASE as f64 / 1_000.0 } else { 0.0 };
                assert!(leased.over <= bound, "{run:?}: {} of {bound} too many", leased.over);
                assert!(exact.over <= 0.0, "{run:?}: {}", exact.over);
                assert_eq!(exact.calls, exact.requests);
                if traffic == Traffic::Poisson && (instances, keys) == (1, 1) {
                    assert!(leased.calls * 20 <= leased.requests, "{run:?}: {} calls", leased.calls);
                }
                let under = exact.admitted.saturating_sub(leased.admitted) as f64 / exact.admitted as f64;
                let calls = leased.calls as f64 / leased.requests as f64;
                let _ = writeln!(
                    table,
                    "| {name} | {traffic:?} | {instances} | {keys} | {:.1} of {bound:.0} | {:.1} % | {calls:.3} |",
                    leased.over.max(0.0),
                    under * 100.0
                );
                points.push((run, leased.over.max(0.0), under, calls));
            }
        }
    }
    println!("{table}");
    let plot = plot(&points);
    let (document, drawing) = (root().join("docs/limits.md"), root().join("docs/limits.svg"));
    let text = std::fs::read_to_string(&document).expect("the document");
    let (before, rest) = text.split_once(BEGIN).expect("a place for the table");
    let (_, after) = rest.split_once(END).expect("the end of that place");
    let fresh = format!("{before}{BEGIN}\n{table}{END}{after}");
    if std::env::var_os("POSTERN_WRITE_DOCS").is_some() {
        std::fs::write(&document, &fresh).expect("it can be written");
        std::fs::write(&drawing, &plot).expect("it can be written");
    }
    let hint = "the simulation says something else than docs/limits.md: run it with POSTERN_WRITE_DOCS=1";
    assert!(std::fs::read_to_string(&document).expect("the document") == fresh, "{hint}");
    assert!(std::fs::read_to_string(&drawing).expect("the plot") == plot, "{hint}");
}

const BEGIN: &str = "<!-- Written by tests/e2e/leases.rs. -->";
const END: &str = "<!-- The end of that. -->";
const HEAD: &str = "\
| limit | traffic | instances | keys | overshoot | undershoot | calls per request |
|---|---|---|---|---|---|---|
";

/// One run. Without a lease the owner is asked for every request.
fn simulate(run: Run, lease: Option<u64>) -> Outcome {
    let mut random = Random(7);
    let mut owners: HashMap<u64, Kept> = HashMap::new();
    let mut meters: HashMap<u64, Meter> = HashMap::new();
    let mut purses: HashMap<(u64, u64), Purse> = HashMap::new();
    let mut outcome = Outcome::default();
    // What is on its way, the earliest first: to the owner, and back.
    let mut under_way: BinaryHeap<Reverse<(u64, u64, Way)>> = BinaryHeap::new();
    let mut told: HashMap<u64, Decision> = HashMap::new();
    let mut number = 0;
    for (at, key, instance) in arrivals(run, &mut random) {
        outcome.requests += 1;
        while let Some(Reverse((when, id, way))) = under_way.peek().copied().filter(|Reverse((when, ..))| *when <= at) {
            under_way.pop();
            arrive(
                run,
                lease,
                (when, id, way),
                &mut owners,
                &mut purses,
                &mut told,
                &mut under_way,
                &mut outcome,
                &mut meters,
            );
        }
        let most = match lease {
            None => 1,
            Some(hold) => match purses.entry((instance, key)).or_default().spend(1, hold, at) {
                Spend::Ask { most } => most,
                Spend::Decided(decision) => {
                    if decision.granted.is_some() {
                        outcome.admitted += 1;
                        meter(run, &mut meters, key, at, &mut outcome);
                    }
                    continue;
                }
            },
        };
        number += 1;
        under_way.push(Reverse((at + WAY, number, Way { key, instance, most, sent: at, back: false })));
    }
    while let Some(Reverse(event)) = under_way.pop() {
        arrive(run, lease, event, &mut owners, &mut purses, &mut told, &mut under_way, &mut outcome, &mut meters);
    }
    outcome
}

/// A question on its way to an owner, or the answer on its way back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Way {
    key: u64,
    instance: u64,
    most: u64,
    sent: u64,
    back: bool,
}

#[allow(clippy::too_many_arguments, reason = "the whole world of a simulation")]
fn arrive(
    run: Run,
    lease: Option<u64>,
    (when, id, way): (u64, u64, Way),
    owners: &mut HashMap<u64, Kept>,
    purses: &mut HashMap<(u64, u64), Purse>,
    told: &mut HashMap<u64, Decision>,
    under_way: &mut BinaryHeap<Reverse<(u64, u64, Way)>>,
    outcome: &mut Outcome,
    meters: &mut HashMap<u64, Meter>,
) {
    if !way.back {
        outcome.calls += 1;
        let act = Act::Take { cost: 1, most: way.most, patience: 0, lease: 0 };
        let step = perform(&Order { rules: vec![run.rule.clone()], act }, owners.remove(&way.key), when);
        owners.insert(way.key, step.kept);
        // The request that asked is admitted there and then: what is on the way back has been counted.
        if step.decision.granted.is_some() {
            outcome.admitted += 1;
            meter(run, meters, way.key, when, outcome);
        }
        told.insert(id, step.decision);
        under_way.push(Reverse((when + WAY, id, Way { back: true, ..way })));
        return;
    }
    let decision = told.remove(&id).expect("the owner has decided");
    if let Some(hold) = lease {
        let purse = purses.entry((way.instance, way.key)).or_default();
        purse.learn(std::slice::from_ref(run.rule), &decision, 1, hold, way.sent);
    }
}

/// Counts what a key was admitted, and by how much that is over its limit.
#[derive(Debug, Default)]
struct Meter {
    kept: Option<Kept>,
}

fn meter(run: Run, meters: &mut HashMap<u64, Meter>, key: u64, at: u64, outcome: &mut Outcome) {
    let meter = meters.entry(key).or_default();
    let order = Order { rules: vec![run.rule.clone()], act: Act::Charge(1) };
    let kept = perform(&order, meter.kept.take(), at).kept;
    let over = match (run.rule, &kept.states[0]) {
        (Rule::Bucket { per, burst, .. }, State::Bucket { level, .. }) => *level as f64 / *per as f64 - *burst as f64,
        (Rule::Window { limit, per, sliding }, State::Window { start, used, before }) => {
            let part = (start + per - at) as f64 / *per as f64;
            *used as f64 + if *sliding { *before as f64 * part } else { 0.0 } - *limit as f64
        }
        _ => 0.0,
    };
    outcome.over = outcome.over.max(over);
    meter.kept = Some(kept);
}

/// When which key is asked for on which instance.
fn arrivals(run: Run, random: &mut Random) -> Vec<(u64, u64, u64)> {
    // One key is asked for three times as much as its limit takes. Of many, few are popular (Zipf's law).
    let rate = 300.0 * (run.keys as f64).min(30.0);
    let length = REQUESTS as f64 / rate * 1_000.0;
    let weights: Vec<f64> = (1..=run.keys)
        .scan(0.0, |sum, rank| {
            *sum += 1.0 / rank as f64;
            Some(*sum)
        })
        .collect();
    let all = weights.last().copied().unwrap_or(1.0);
    let (mut at, mut arrivals) = (0.0, Vec::new());
    while at < length {
        let peak = if run.traffic == Traffic::Poisson {
            rate
        } else if run.traffic == Traffic::Bursty {
            rate * 5.0
        } else {
            rate * 2.0
        };
        at += -(1.0 - random.fraction()).ln() / peak * 1_000.0;
        let level = match run.traffic {
            Traffic::Poisson => 1.0,
            Traffic::Bursty => f64::from(u8::from(at % 5_000.0 < 1_000.0)),
            Traffic::Diurnal => (1.0 - (at / length * 4.0 * std::f64::consts::PI).cos()) / 2.0,
        };
        if random.fraction() < level {
            let wanted = random.fraction() * all;
            let key = weights.partition_point(|sum| *sum < wanted) as u64;
            arrivals.push((START + at as u64, key, random.next() % run.instances));
        }
    }
    arrivals
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Three panels over the number of instances: overshoot against its bound, undershoot, calls per request; one key, a token bucket.
fn plot(points: &[(Run, f64, f64, f64)]) -> String {
    let mut out = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 780 250\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"780\" height=\"250\" fill=\"#fff\"/>\n",
    );
    let bound = 100.0 * LEASE as f64 / 1_000.0;
    type Value = fn(&(Run, f64, f64, f64)) -> f64;
    let panels: [(&str, f64, Value); 3] = [
        ("overshoot (tokens); dashed: the bound", 30.0, |point| point.1),
        ("undershoot (% of exact)", 50.0, |point| point.2 * 100.0),
        ("owner's calls per request (exact: 1)", 1.0, |point| point.3),
    ];
    for (place, (title, most, value)) in panels.into_iter().enumerate() {
        let left = 40.0 + place as f64 * 255.0;
        let x = |instances: u64| left + (instances as f64).ln() / 500_f64.ln() * 200.0;
        let y = |value: f64| 200.0 - value.min(most) / most * 160.0;
        let _ = writeln!(out, "<text x=\"{left}\" y=\"25\">{title}</text>");
        let _ = writeln!(out, "<path d=\"M{left} 40V200H{}\" fill=\"none\" stroke=\"#888\"/>", left + 200.0);
        for instances in [1, 5, 50, 500] {
            let _ =
                writeln!(out, "<text x=\"{:.0}\" y=\"215\" text-anchor=\"middle\">{instances}</text>", x(instances));
        }
        for mark in [0.0, most / 2.0, most] {
            let _ = writeln!(
                out,
                "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{mark}</text>",
                left - 4.0,
                y(mark) + 4.0
            );
        }
        if place == 0 {
            let _ = writeln!(
                out,
                "<path d=\"M{left} {0:.1}H{1}\" stroke=\"#c00\" stroke-dasharray=\"4\"/>",
                y(bound),
                left + 200.0
            );
        }
        for (traffic, colour) in [(Traffic::Poisson, "#06c"), (Traffic::Bursty, "#e70"), (Traffic::Diurnal, "#393")] {
            let line: Vec<String> = points
                .iter()
                .filter(|(run, ..)| run.traffic == traffic && run.keys == 1 && *run.rule == BUCKET)
                .map(|point| format!("{:.1},{:.1}", x(point.0.instances), y(value(point))))
                .collect();
            let _ = writeln!(
                out,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
                line.join(" ")
            );
        }
    }
    for (place, (name, colour)) in
        [("Poisson", "#06c"), ("bursty", "#e70"), ("diurnal", "#393")].into_iter().enumerate()
    {
        let _ = writeln!(out, "<text x=\"{}\" y=\"240\" fill=\"{colour}\">{name}</text>", 40 + place * 70);
    }
    out.push_str("<text x=\"560\" y=\"240\">instances (logarithmic)</text>\n</svg>\n");
    out
}
