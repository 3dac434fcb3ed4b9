//! What a limit costs that an instance counts itself: [`crate::limits`] in native code, and in Wasm under V8.

use crate::limits::Live;
use crate::results::{Results, Table, number};
use crate::run::Setup;
use crate::signatures::{node, wasm};
use crate::timing::sample;
use std::hint::black_box;

const ROUND: usize = 100_000;

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
