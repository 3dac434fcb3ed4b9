//! What it costs to check a JSON body of about 1 KB against its schema in native code:
//! `cargo run --release --package postern-benches --example validation_native`. Prints µs for one.

use bytes::Bytes;
use gateway_core::Gateway;
use gateway_core::config::artefact::Artefact;
use gateway_core::json::{self, Json};
use gateway_core::schema::{SchemaId, Schemas};
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::path::Path;

fn main() {
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("validation");
    let compiled = gateway_core::config::compile(&files.join("gateway.yaml"), &gateway_core::config::Disk);
    let artefact = Bytes::from(compiled.artefact.expect("the configuration is right"));
    let block = Artefact::read(&artefact).expect("it was just written").schemas;
    let body = std::fs::read_to_string(files.join("order.json")).expect("it is there");
    let schemas = Schemas::new(block.clone());
    println!("{} bytes of JSON, {} of schema; µs for one, native     least    middle", body.len(), block.len());
    show("read", || json::read(black_box(&body), &json::Limits::USUAL).expect("it is JSON").len());
    show("read and check", || {
        let parts = json::read(black_box(&body), &json::Limits::USUAL).expect("it is JSON");
        schemas.check(SchemaId(0), Json::new(&body, &parts), 10).expect("it is cheap").len()
    });
    show("with a fresh instance, its expressions compiled anew", || {
        let parts = json::read(black_box(&body), &json::Limits::USUAL).expect("it is JSON");
        let schemas = Schemas::new(block.clone());
        schemas.check(SchemaId(0), Json::new(&body, &parts), 10).expect("it is cheap").len()
    });
    assert!(Gateway::load(artefact, |_| None).is_ok(), "what was compiled does not load");
}

fn show(what: &str, mut run: impl FnMut() -> usize) {
    const TIMES: u32 = 2_000;
    let mut costs: Vec<f64> = (0..8)
        .map(|_| {
            let before = thread_time();
            for _ in 0..TIMES {
                black_box(run());
            }
            (thread_time() - before) / f64::from(TIMES)
        })
        .skip(1)
        .collect();
    costs.sort_by(f64::total_cmp);
    println!("{what:<55} {:>9.2} {:>9.2}", costs[0], costs[costs.len() / 2]);
}

/// Microseconds of CPU that this thread has used.
fn thread_time() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}
