//! The bytes of each optional ability in the core's Wasm.

use crate::results::{Results, Table, number};
use crate::run::Setup;
use crate::signatures::{run, wasm};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

/// Measures and writes the table `abilities`: by how much the core is smaller without each of them. A build for each, a minute or two.
pub fn measure(setup: &Setup, results: &mut Results) -> Result<(), String> {
    let needs = abilities(setup)?;
    let every: Vec<&str> = needs.keys().map(String::as_str).collect();
    let (none, all) = (size_of(setup, &[])?.0, size_of(setup, &every)?.0);
    let mut table = Table::new("abilities", &["the core's Wasm", "KB gzipped", "without it, these go as well"]);
    let show = |bytes: f64| number(bytes / 1_000.0);
    table.push(vec!["with every ability".to_owned(), show(all), String::new()]);
    for ability in every.iter().filter(|_| !setup.quick) {
        let stays = |other: &&&str| *other != ability && !reach(&needs, other).contains(*ability);
        let others: Vec<&str> = every.iter().filter(stays).copied().collect();
        let gone = every.iter().filter(|other| *other != ability && !others.contains(other));
        let gone: Vec<_> = gone.map(|other| format!("`{other}`")).collect();
        let smaller = all - size_of(setup, &others)?.0;
        table.push(vec![format!("without `{ability}`"), format!("−{}", show(smaller)), gone.join(", ")]);
        eprint!(".");
    }
    eprintln!();
    table.push(vec!["with none".to_owned(), show(none), String::new()]);
    table.remarks.push("Without names, by `gzip -9`; a gateway's adapter is not in it.".to_owned());
    results.keep(table);
    Ok(())
}

/// The features that users may leave out, and those that each of them asks for.
fn abilities(setup: &Setup) -> Result<BTreeMap<String, Vec<String>>, String> {
    let arguments = ["metadata", "--no-deps", "--format-version", "1"];
    let told = run(Command::new("cargo").args(arguments).current_dir(&setup.root))?;
    let told: Value = serde_json::from_str(&told).map_err(|error| format!("cargo metadata: {error}"))?;
    let packages = told["packages"].as_array().into_iter().flatten();
    let core = packages.filter(|package| package["name"] == "gateway-core").map(|package| &package["features"]).next();
    let features = core.and_then(Value::as_object).ok_or("cargo tells of no features of gateway-core")?;
    let names = |list: &Value| -> Vec<String> {
        list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let optional = names(&features["default"]);
    Ok(optional.into_iter().map(|name| (name.clone(), features.get(&name).map(names).unwrap_or_default())).collect())
}

/// All that an ability asks for, directly or not.
fn reach<'a>(needs: &'a BTreeMap<String, Vec<String>>, ability: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&str> = needs.get(ability).into_iter().flatten().map(String::as_str).collect();
    while let Some(next) = open.pop() {
        if needs.contains_key(next) && reached.insert(next) {
            open.extend(needs.get(next).into_iter().flatten().map(String::as_str));
        }
    }
    reached
}

/// Gzipped bytes of the core with these features, and the module itself.
pub fn size_of(setup: &Setup, features: &[&str]) -> Result<(f64, Vec<u8>), String> {
    let lock = setup.root.join("scripts/core-alone/Cargo.lock");
    fs::copy(setup.root.join("Cargo.lock"), &lock).map_err(|error| format!("{}: {error}", lock.display()))?;
    let features = features.join(",");
    let manifest = "scripts/core-alone/Cargo.toml";
    let built = wasm(setup, &["--manifest-path", manifest, "--no-default-features", "--features", &features])?;
    let (module, compressed) = (setup.scratch.join("core.wasm"), setup.scratch.join("core.wasm.gz"));
    fs::copy(built.join("core_alone.wasm"), &module).map_err(|error| format!("{}: {error}", module.display()))?;
    run(Command::new("gzip").args(["-9", "--force", "--keep"]).arg(&module))?;
    let length = fs::metadata(&compressed).map_err(|error| format!("{}: {error}", compressed.display()))?.len();
    let bytes = fs::read(&module).map_err(|error| format!("{}: {error}", module.display()))?;
    Ok((length as f64, bytes))
}
