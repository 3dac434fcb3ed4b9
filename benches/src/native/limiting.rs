//! What a limit costs: one decision of an instance ([`crate::limits`]) in native code and in Wasm under V8, and a whole request on
//! Workers, whoever counts.

use crate::configurations;
use crate::limits::Live;
use crate::results::{Results, Table, number};
use crate::rounds;
use crate::run::Setup;
use crate::serving::{Answer, Load};
use crate::signatures::{node, wasm};
use crate::timing::sample;
use crate::workers::{self, Workers};
use serde_json::{Value, json};
use std::hint::black_box;

const ROUND: usize = 100_000;

/// Measures and writes the table `limited`: what a limit adds to a request on Workers, by who counts, the objects' own time
/// included; beside it what one would write by hand.
pub fn on_workers(setup: &Setup, results: &mut Results) -> Result<(), String> {
    let workers = Workers::new(setup)?;
    if !workers.has_bundle() {
        return Err("build/worker is not there: run `make workers`".to_owned());
    }
    let bucket = json!({ "rate": "1,000,000 per second", "algorithm": "token_bucket" });
    let limited = |name: &str, policy: Value| {
        let worker = workers.postern(name, &configurations::limited(&workers.origin(), &policy));
        worker.map(workers::Worker::with_objects)
    };
    let plain = workers.postern("limits-none", &configurations::pass(&workers.origin()))?;
    let instance = limited("limits-instance", json!({ "rate_limit": { "limits": bucket, "scope": "instance" } }))?;
    let leased = limited("limits-leased", json!({ "rate_limit": { "limits": bucket, "mode": "leased" } }))?;
    let exact = limited("limits-exact", json!({ "rate_limit": { "limits": bucket } }))?;
    let quota =
        limited("limits-quota", json!({ "quota": { "limits": "1,000,000,000 per month", "key": "everybody" } }))?;
    let pass = workers.script("pass")?;
    let by_hand = workers.script("limiter")?.with_objects();

    let load = || Load::get(workers::paths(1_000));
    let told = |path: &str, answer: &Answer| {
        workers::passed(path, answer)?;
        answer.header("ratelimit").map(drop).ok_or_else(|| "nothing is said of a limit".to_owned())
    };
    let variants = [
        plain.variant("Postern, no limit", load(), workers::passed),
        plain.variant("the same once more (control)", load(), workers::passed),
        instance.variant("Postern, `scope: instance`", load(), told),
        leased.variant("Postern, `mode: leased`", load(), told),
        exact.variant("Postern, `mode: exact`", load(), told),
        quota.variant("Postern, `mode: exact`, a quota, which is written down", load(), told),
        pass.variant("JavaScript pass-through", load(), workers::passed),
        by_hand.variant("JavaScript pass-through, a limiter by hand on a Durable Object", load(), told),
    ];
    let compared = rounds::compare(setup, &variants, setup.rounds())?;
    results.keep(compared.table("limited", "on Workers", &[(0, "no limit"), (6, "pass-through")]));
    Ok(())
}

/// Measures and writes the table `limits`.
pub fn measure(setup: &Setup, results: &mut Results) -> Result<(), String> {
    let module = wasm(setup, &["--package", "postern-benches", "--example", "limits"])?.join("examples/limits.wasm");
    let script = setup.root.join("benches/limits.mjs");
    let mut table = Table::new("limits", &["ns for one decision, 100,000 keys alive", "native", "Wasm"]);
    for (kind, name) in ["token bucket", "sliding window"].into_iter().enumerate() {
        let mut live = Live::new(kind);
        let native = sample(ROUND, 50, &mut || {
            black_box(live.decide(ROUND));
        })
        .median();
        let told = node(setup, &script, &[&module.display().to_string(), &kind.to_string()])?;
        let in_wasm: f64 = told.trim().parse().map_err(|_| format!("node told `{told}`"))?;
        table.push(vec![name.to_owned(), number(native), number(in_wasm)]);
    }
    results.keep(table);
    Ok(())
}
