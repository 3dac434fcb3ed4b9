//! What an answer from the cache costs on Workers, beside one from the origin, and beside a cache by hand.

use crate::configurations;
use crate::results::Results;
use crate::rounds::{self, Variant};
use crate::run::Setup;
use crate::serving::{self, Answer, Load, Server};
use crate::workers::{self, Worker, Workers};
use serde_json::json;
use std::time::Duration;

/// Measures and writes the table `cached`. The Cache API is served by another process, as it is outside of the Worker on the
/// platform: its time is nobody's.
pub fn measure(setup: &Setup, results: &mut Results) -> Result<(), String> {
    let workers = Workers::new(setup)?;
    if !workers.has_bundle() {
        return Err("build/worker is not there: run `make workers`".to_owned());
    }
    let cache = workers.cache_api(setup)?;
    let policy = |policy| configurations::limited(&workers.origin(), &policy);
    let plain = workers.postern("cache-none", &configurations::pass(&workers.origin()))?;
    let kept = |memory| policy(json!({ "cache": { "ttl": { "default": "10m" }, "memory": memory } }));
    let (held, stored) = (workers.postern("cache-held", &kept("1s"))?, workers.postern("cache-stored", &kept("0s"))?);
    let never = workers.postern("cache-miss", &policy(json!({ "cache": {} })))?;
    let pass = workers.script("pass")?;
    let by_hand = workers.script("cache")?.with_cache(cache.address);
    let [held, stored, never] = [held, stored, never].map(|worker| worker.with_cache(cache.address));

    let load = || Load::get(workers::paths(100));
    let hit = |_: &str, answer: &Answer| {
        let told = answer.header("cache-status").unwrap_or_default();
        if told.starts_with("postern; hit") { Ok(()) } else { Err(format!("the cache says `{told}`")) }
    };
    let aged = |path: &str, answer: &Answer| {
        let from_store = answer.header("cf-cache-status") == Some("HIT");
        if from_store { workers::passed(path, answer) } else { Err("it came from the origin".to_owned()) }
    };
    let variants = [
        plain.variant("Postern, forwarded", load(), workers::passed),
        plain.variant("the same once more (control)", load(), workers::passed),
        filled(&held, "Postern, from the cache", load(), hit),
        filled(&stored, "Postern, from the cache, `memory: 0s`", load(), hit),
        never.variant("Postern, a cache that stores nothing of this", load(), workers::passed),
        pass.variant("JavaScript pass-through", load(), workers::passed),
        filled(&by_hand, "JavaScript, from the cache, by hand", load(), aged),
    ];
    let compared = rounds::compare(setup, &variants, setup.rounds())?;
    results.keep(compared.table("cached", "on Workers", &[(0, "forwarded"), (5, "pass-through"), (6, "by hand")]));
    Ok(())
}

/// A Worker that has stored all that it will be asked for.
fn filled<'a>(
    worker: &'a Worker<'a>,
    label: &str,
    load: Load,
    check: impl Fn(&str, &Answer) -> Result<(), String> + 'a,
) -> Variant<'a> {
    let paths = load.paths.clone();
    let start = move || -> Result<Server, String> {
        let server = worker.start()?;
        for path in &paths {
            serving::ask(server.address, "GET", path, &[])?;
        }
        // What is stored is written when the answer has been sent.
        std::thread::sleep(Duration::from_millis(300));
        Ok(server)
    };
    Variant { start: Box::new(start), ..worker.variant(label, load, check) }
}
