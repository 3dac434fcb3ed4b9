//! What it costs to pick a target, with 10 to 10,000 of them.

use crate::lookup::group;
use crate::results::{Results, Table, number};
use crate::run::Setup;
use crate::timing::sample;
use bytes::Bytes;
use gateway_core::Gateway;
use gateway_core::config::{self, Text};
use gateway_core::http::{Body, Headers, Incoming, Peer, Response, Scheme};
use gateway_core::platform::{Call, Failure, FetchError};
use gateway_core::testing::{TestPlatform, run};
use gateway_core::upstream::{Asked, Balance, Facts, Member, Tier, WHOLE, mix};
use serde_json::{Value, json};
use std::hint::black_box;
use std::path::Path;

const PICKS: u64 = 10_000;
const SIZES: [u32; 4] = [10, 100, 1_000, 10_000];

/// Measures and writes the tables `picking` and `picking-out`, and the target P1.
pub fn measure(setup: &Setup, results: &mut Results) -> Result<(), String> {
    let every = [
        ("round_robin", Balance::RoundRobin, json!("round_robin")),
        ("random", Balance::Random, json!("random")),
        ("least_requests", Balance::LeastRequests, json!("least_requests")),
        ("latency", Balance::Latency, json!("latency")),
        ("hash", Balance::Hash { bound: 125 }, json!({ "hash": { "on": { "header": "x" } } })),
    ];
    let columns: Vec<&str> = std::iter::once("targets").chain(every.iter().map(|(name, ..)| *name)).collect();
    let mut picking = Table::new("picking", &columns);
    let mut out = Table::new("picking-out", &columns);
    let mut slowest: f64 = 0.0;
    for size in SIZES {
        let (mut row, mut row_out) = (vec![group(size as usize)], vec![group(size as usize)]);
        for (_, balance, written) in &every {
            let cost = of_tier(setup, size, balance);
            let cost_out = of_pool(setup, size, written)?;
            if size == 1_000 {
                slowest = slowest.max(cost).max(cost_out);
            }
            row.push(number(cost));
            row_out.push(number(cost_out));
        }
        picking.push(row);
        out.push(row_out);
    }
    results.keep(picking);
    results.keep(out);
    results.reach("P1", slowest, "benches/run.sh picking");
    Ok(())
}

/// The decision alone, nanoseconds: a few requests are under way to each target.
fn of_tier(setup: &Setup, size: u32, balance: &Balance) -> f64 {
    let facts = AllWell((0..size).map(|target| target % 4).collect());
    let members = (0..size).map(|target| Member { target, identity: mix(target.into()), weight: target % 3 + 1 });
    let mut tier = Tier::new(members.collect());
    let mut random = dice();
    // Heaps and tables are made with the first pick.
    black_box(tier.pick(balance, Some(1), &facts, &mut random));
    sample(PICKS as usize, setup.sample_milliseconds(), &mut || {
        for key in 0..PICKS {
            black_box(tier.pick(balance, Some(mix(black_box(key))), &facts, &mut random));
        }
    })
    .median()
}

/// All that an attempt asks before it is sent, while a target is out of rotation, nanoseconds.
fn of_pool(setup: &Setup, size: u32, balance: &Value) -> Result<f64, String> {
    let gateway = gateway(size, balance)?;
    let platform = TestPlatform::new(|_: Call<Vec<u8>>| -> Result<Response<Vec<u8>>, Failure> {
        Err(Failure { error: FetchError::Reset, detail: String::new() })
    });
    let request = Incoming {
        method: "GET".into(),
        scheme: Scheme::Http,
        authority: "gateway.test".into(),
        target: "/".into(),
        headers: Headers::new(),
        body: Body::Empty,
        peer: Peer::default(),
    };
    // It meets one target, which has failed once too often by then.
    run(gateway.handle(&platform, request));
    let (pool, now) = (&gateway.upstreams()[0], platform.clock.get());
    let mut random = dice();
    let picked: std::collections::BTreeSet<_> =
        (0..u64::from(size) * 40).filter_map(|key| pool.pick(&Asked::with_key(mix(key)), now, &mut random)).collect();
    if picked.len() != size as usize - 1 {
        return Err(format!("{} of {size} targets are picked, and one should be out", picked.len()));
    }
    let cost = sample(PICKS as usize, setup.sample_milliseconds(), &mut || {
        for key in 0..PICKS {
            black_box(pool.pick(&Asked::with_key(mix(black_box(key))), now, &mut random));
        }
    });
    Ok(cost.median())
}

fn gateway(size: u32, balance: &Value) -> Result<Gateway, String> {
    let targets: Vec<_> =
        (0..size).map(|at| json!({ "url": format!("http://t{at}.test"), "weight": at % 3 + 1 })).collect();
    let configuration = json!({
        "upstreams": { "many": {
            "targets": targets, "balance": balance, "retries": { "attempts": 0 },
            "health": { "consecutive_failures": 1, "ejection": "1h", "longest_ejection": "1h" },
        } },
        "routes": [{ "name": "all", "upstream": "many" }],
    });
    let compiled = config::compile(Path::new("gateway.json"), &Text(configuration.to_string()));
    let artefact = compiled.artefact.ok_or_else(|| format!("{:?}", compiled.problems))?;
    Gateway::load(Bytes::from(artefact), |_| None).map_err(|error| error.to_string())
}

fn dice() -> impl FnMut() -> u64 {
    let mut seed = 0;
    move || {
        seed += 1;
        mix(seed)
    }
}

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
