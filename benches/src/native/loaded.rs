//! What it costs to have the routes: [`crate::loading`] in native code, and in Wasm under V8.

use crate::configurations;
use crate::loading::{Way, load};
use crate::results::{Results, Table, number};
use crate::run::Setup;
use crate::tables::{self, Shape};
use crate::timing::{SAMPLES, Samples, sample_once};
use crate::workers::{MANY, paths};
use gateway_core::config::artefact::Artefact;
use gateway_core::gateway::Plan;
use gateway_core::route::{Records, Route};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Measures and writes the table `loading`.
pub fn measure(setup: &Setup, results: &mut Results) -> Result<(), String> {
    let module = build(setup)?;
    let path = &paths(MANY)[5];
    let mut table = Table::new("loading", &["10,000 routes", "KB", "native ms, median (min)", "Wasm ms, median (min)"]);
    for (place, way) in Way::ALL.into_iter().enumerate() {
        let input = input(way)?;
        if load(way, input.clone(), path) != MANY {
            return Err(format!("{way}: not every route is there"));
        }
        let mut copies = vec![input.clone(); SAMPLES];
        let native = sample_once(SAMPLES, || load(way, copies.pop().unwrap_or_default(), path));
        let file = setup.scratch.join(format!("loading-{place}"));
        fs::write(&file, &input).map_err(|error| format!("{}: {error}", file.display()))?;
        let wasm: Vec<f64> =
            (0..SAMPLES).map(|_| in_wasm(setup, &module, place, &file, path)).collect::<Result<_, _>>()?;
        let show = |samples: &Samples, unit: f64| {
            format!("{} ({})", number(samples.median() / unit), number(samples.min() / unit))
        };
        let size = number(input.len() as f64 / 1_000.0);
        table.push(vec![way.to_string(), size, show(&native, 1e6), show(&Samples(wasm), 1e3)]);
    }
    results.keep(table);
    Ok(())
}

fn input(way: Way) -> Result<Vec<u8>, String> {
    let artefact = configurations::artefact(&configurations::full("http://127.0.0.1:9000", MANY))?;
    match way {
        Way::Frozen => Ok(artefact),
        Way::Matchit => {
            let rows = tables::rows(Shape::Plain, MANY).into_iter();
            Ok(rows.map(|row| row.pattern).collect::<Vec<_>>().join("\n").into_bytes())
        }
        Way::Json => {
            let sections = Artefact::read(&artefact.into()).map_err(|unreadable| unreadable.to_string())?;
            let records = Records(sections.records);
            let routes = (0..records.count()).filter_map(|record| records.get(record));
            let routes: Vec<Route<Plan>> = routes.filter_map(|record| serde_json::from_slice(&record).ok()).collect();
            serde_json::to_vec(&routes).map_err(|error| error.to_string())
        }
    }
}

fn build(setup: &Setup) -> Result<PathBuf, String> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(setup.root.join("target"), PathBuf::from);
    let output = Command::new("cargo")
        .args(["build", "--quiet", "--release", "--package", "postern-benches", "--example", "loading"])
        .args(["--target", "wasm32-unknown-unknown"])
        .env("RUSTFLAGS", "-C target-feature=+simd128")
        .current_dir(&setup.root)
        .output()
        .map_err(|error| format!("cargo: {error}"))?;
    if output.status.success() {
        Ok(target.join("wasm32-unknown-unknown/release/examples/loading.wasm"))
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// Microseconds, in a process of its own: V8 would keep the compiled code.
fn in_wasm(setup: &Setup, module: &Path, way: usize, input: &Path, path: &str) -> Result<f64, String> {
    let output = Command::new(setup.root.join("node_modules/.bin/node"))
        .arg(setup.root.join("benches/loading.mjs"))
        .arg(module)
        .arg(way.to_string())
        .arg(input)
        .arg(path)
        .output()
        .map_err(|error| format!("node: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    match numbers[..] {
        [microseconds, routes] if routes == MANY as f64 => Ok(microseconds),
        _ => Err(format!("loading in Wasm: {text}{}", String::from_utf8_lossy(&output.stderr))),
    }
}
