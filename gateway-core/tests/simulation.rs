//! A whole deployment in virtual time: two hundred instances of the gateway, twelve targets and faults by seed, under one stream of
//! requests. The same seed, the same numbers, which are those of docs/upstreams.md.
//!
//!     cargo test -p gateway-core --all-features --test behaviour simulation:: -- --nocapture        # prints the table
//!     POSTERN_WRITE_DOCS=1 cargo test -p gateway-core --all-features --test behaviour simulation::  # writes it into docs/upstreams.md

#![cfg(all(feature = "compile", feature = "testing"))]
#![allow(clippy::panic, reason = "a test may fail")]

use bytes::Bytes;
use gateway_core::Gateway;
use gateway_core::config::{self, Text};
use gateway_core::http::{Body, Headers, Incoming, Peer, Response, Scheme};
use gateway_core::platform::{Call, Failure, FetchError, Platform};
use gateway_core::testing::{TestPlatform, run};
use gateway_core::upstream::mix;
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::fmt::Write;
use std::future::poll_fn;
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

const INSTANCES: u64 = 200;
const TARGETS: u64 = 12;
const START: u64 = 1_750_000_000_000;
/// Milliseconds of a run, and between requests.
const LASTS: u64 = 40_000;
const EVERY: u64 = 4;
/// Within these, three of the targets fail, each in a way of its own.
const FAULTS: std::ops::Range<u64> = 10_000..30_000;
const SEEDS: [u64; 3] = [1, 2, 3];

/// What is switched on: retries, passive health, checks.
const ROWS: [(&str, bool, bool, bool); 5] = [
    ("one attempt each", false, false, false),
    ("`retries`", true, false, false),
    ("`retries`, ejection", true, true, false),
    ("`retries`, `check`", true, false, true),
    ("`retries`, ejection, `check`", true, true, true),
];

#[derive(Debug, Default, Clone)]
struct Outcome {
    requests: u64,
    good: u64,
    attempts: u64,
    /// Attempts that met a target that was failing.
    wasted: u64,
    checks: u64,
    took: Vec<u64>,
}

#[test]
fn a_deployment_keeps_its_answers_while_three_of_twelve_targets_fail() {
    let mut table = String::from(HEAD);
    let mut rows = Vec::new();
    for (name, retries, passive, checks) in ROWS {
        let mut all = Outcome::default();
        for seed in SEEDS {
            let one = simulate(seed, retries, passive, checks);
            all.requests += one.requests;
            all.good += one.good;
            all.attempts += one.attempts;
            all.wasted += one.wasted;
            all.checks += one.checks;
            all.took.extend(one.took);
        }
        all.took.sort_unstable();
        let percent = |part: u64| part as f64 * 100.0 / all.requests as f64;
        let p99 = all.took[all.took.len() * 99 / 100];
        let _ = writeln!(
            table,
            "| {name} | {:.2} % | {:.1} % | {:.1} % | {p99} ms |",
            percent(all.good),
            percent(all.wasted),
            percent(all.attempts - all.requests),
        );
        rows.push(all);
    }
    println!("{table}");
    let [bare, retries, passive, checks, both] = rows.try_into().unwrap_or_else(|_| panic!("five rows"));
    assert!(bare.good * 100 < bare.requests * 90, "the faults are felt: {}", bare.good);
    assert!(retries.good > bare.good && passive.good >= retries.good);
    for (name, outcome) in [("checks", &checks), ("both", &both)] {
        assert!(outcome.good * 1_000 >= outcome.requests * 999, "{name}: {} of {}", outcome.good, outcome.requests);
        assert!(outcome.wasted * 2 < passive.wasted, "{name}: {} against {}", outcome.wasted, passive.wasted);
    }
    for outcome in [&retries, &passive, &checks, &both] {
        // Each instance has a budget of its own: a fifth of its requests, or ten in ten seconds.
        let most = outcome.requests / 5 + SEEDS.len() as u64 * INSTANCES * 10 * (LASTS / 10_000);
        assert!(outcome.attempts - outcome.requests <= most, "{} extra", outcome.attempts - outcome.requests);
    }
    // Two hundred instances ask as often as one would: each target once in five seconds.
    let most = SEEDS.len() as u64 * TARGETS * (LASTS / 5_000 + 1);
    assert!(both.checks <= most && both.checks * 2 > most, "{} of {most}", both.checks);
    written_down(&table);
}

/// One run.
fn simulate(seed: u64, retries: bool, passive: bool, checks: bool) -> Outcome {
    let instances: Vec<Gateway> = (0..INSTANCES).map(|_| gateway(retries, passive, checks)).collect();
    let seen = Rc::new(RefCell::new(Outcome::default()));
    let clock = Rc::new(Cell::new(START));
    let (now, log) = (clock.clone(), seen.clone());
    let platform = TestPlatform::with_clock(clock.clone(), move |call: Call<Vec<u8>>| {
        let fault = fault(seed, &call.authority, now.get() - START);
        let mut log = log.borrow_mut();
        if call.target == "/health" {
            log.checks += 1;
        } else {
            log.attempts += 1;
            log.wasted += u64::from(fault.is_some());
        }
        match fault {
            Some(Fault::Killed) => Err(Failure { error: FetchError::Reset, detail: String::new() }),
            Some(Fault::Ill) => Ok(answer(503)),
            Some(Fault::Slow) | None => Ok(answer(200)),
        }
    })
    .with_seed(seed);
    let (now, log) = (clock.clone(), seen.clone());
    *platform.delay.borrow_mut() = Some(Box::new(move |call| {
        let at = now.get() - START;
        match fault(seed, &call.authority, at) {
            // Longer than anybody waits: such a call never gets to the answer above, and is counted here.
            Some(Fault::Slow) => {
                let mut log = log.borrow_mut();
                if call.target == "/health" {
                    log.checks += 1;
                } else {
                    log.attempts += 1;
                    log.wasted += 1;
                }
                60_000
            }
            Some(Fault::Killed) => 1,
            Some(Fault::Ill) | None => 5 + mix(seed ^ at ^ u64::from(call.authority.len() as u32)) % 20,
        }
    }));
    run(traffic(seed, &instances, &platform, &seen));
    drop(platform);
    seen.take()
}

/// Sends requests at regular times to instances drawn by lot, as many at once as there are.
async fn traffic(seed: u64, instances: &[Gateway], platform: &TestPlatform<'_>, seen: &RefCell<Outcome>) {
    let mut next = 0_u64;
    let mut open: Vec<Pin<Box<dyn Future<Output = ()> + '_>>> = Vec::new();
    poll_fn(|context| {
        loop {
            let now = platform.now() - START;
            while next <= now && next < LASTS {
                let instance = &instances[(mix(seed << 32 ^ next) % INSTANCES) as usize];
                open.push(Box::pin(async move {
                    let begun = platform.now();
                    let reply = instance.handle(platform, request()).await;
                    {
                        let mut seen = seen.borrow_mut();
                        seen.requests += 1;
                        seen.good += u64::from(reply.response.status == 200);
                        seen.took.push(platform.now() - begun);
                    }
                    instance.settle(platform, reply.deferred).await;
                }));
                next += EVERY;
            }
            open.retain_mut(|request| request.as_mut().poll(context).is_pending());
            if next >= LASTS {
                return if open.is_empty() { Poll::Ready(()) } else { Poll::Pending };
            }
            // The test platform moves its clock to whoever wakes up first.
            let until = Duration::from_millis(next.saturating_sub(platform.now() - START));
            let mut sleep = Box::pin(platform.sleep(until));
            if sleep.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await;
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    Killed,
    Slow,
    Ill,
}

/// What is wrong with a target at this time: three of them, drawn by lot, have one fault each.
fn fault(seed: u64, authority: &str, at: u64) -> Option<Fault> {
    if !FAULTS.contains(&at) {
        return None;
    }
    let target: u64 = authority.strip_prefix('t')?.parse().ok()?;
    match (target + TARGETS - mix(seed) % TARGETS) % TARGETS {
        0 => Some(Fault::Killed),
        4 => Some(Fault::Slow),
        8 => Some(Fault::Ill),
        _ => None,
    }
}

fn gateway(retries: bool, passive: bool, checks: bool) -> Gateway {
    let targets: Vec<Value> = (0..TARGETS).map(|at| json!({ "url": format!("http://t{at}") })).collect();
    let mut health = json!({ "max_ejected": if passive { 70 } else { 0 } });
    if checks {
        health["check"] =
            json!({ "http": { "path": "/health" }, "interval": "5s", "timeout": "500ms", "unhealthy_after": 1 });
    }
    let configuration = json!({
        "upstreams": { "u": {
            "targets": targets, "health": health, "timeouts": { "attempt": "500ms", "total": "5s" },
            "retries": { "attempts": if retries { 2 } else { 0 }, "pause": "10ms" },
        } },
        "routes": [{ "name": "all", "upstream": "u" }],
    });
    let compiled = config::compile(Path::new("gateway.json"), &Text(configuration.to_string()));
    let artefact = compiled.artefact.unwrap_or_else(|| panic!("{:?}", compiled.problems));
    Gateway::load(Bytes::from(artefact), |_| None).expect("it can be loaded")
}

fn request() -> Incoming<Vec<u8>> {
    Incoming {
        method: "GET".into(),
        scheme: Scheme::Http,
        authority: "gateway.test".into(),
        target: "/x".into(),
        headers: Headers::new(),
        body: Body::Empty,
        peer: Peer::default(),
    }
}

fn answer(status: u16) -> Response<Vec<u8>> {
    Response { status, headers: Headers::new(), body: Body::Stream(b"x".to_vec()) }
}

const HEAD: &str = "| rules | answered 200 | attempts that met a failing target | extra attempts | 99 % within |\n|---|---|---|---|---|\n";

/// The documentation has these numbers.
fn written_down(table: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/upstreams.md");
    let text = std::fs::read_to_string(&path).expect("the documentation");
    let (before, rest) = text.split_once("<!-- simulated -->\n").expect("a mark in the documentation");
    let (there, after) = rest.split_once("<!-- end -->").expect("the end of it");
    if std::env::var_os("POSTERN_WRITE_DOCS").is_some() {
        std::fs::write(&path, format!("{before}<!-- simulated -->\n\n{table}\n<!-- end -->{after}")).expect("written");
    } else {
        assert_eq!(there.trim(), table.trim(), "docs/upstreams.md has other numbers: POSTERN_WRITE_DOCS=1 writes them");
    }
}
