//! What it costs to know who calls: tokens by algorithm in native code, in Wasm and by WebCrypto, remembered tokens, API keys
//! expressions and transformed bodies in whole requests.

use crate::results::{Results, Table, number};
use crate::run::Setup;
use crate::timing::sample;
use gateway_core::config::{self, Disk};
use gateway_core::jwt::{KeySet, Purpose, Token};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Measures and writes the tables `signatures`, `callers` and `shaping`.
pub fn measure(setup: &Setup, results: &mut Results) -> Result<(), String> {
    let arguments = ["--package", "postern-benches", "--example", "signatures"];
    let module = wasm(setup, &arguments)?.join("examples/signatures.wasm");
    let script = setup.root.join("benches/signatures.mjs");
    let compiled = config::compile(&setup.root.join("benches/signatures.yaml"), &Disk);
    let configuration = setup.scratch.join("signatures.bin");
    let artefact = compiled.artefact.ok_or("benches/signatures.yaml has errors")?;
    fs::write(&configuration, artefact).map_err(|error| format!("{}: {error}", configuration.display()))?;

    let rounds = if setup.quick { "2" } else { "7" };
    let module = module.display().to_string();
    let lines = node(setup, &script, &[&module, &configuration.display().to_string(), rounds])?;
    let mut microseconds: BTreeMap<String, f64> = BTreeMap::new();
    for line in lines.lines() {
        let mut parts = line.split('\t');
        if let (Some(what), Some(_), Some(middle)) = (parts.next(), parts.next(), parts.next()) {
            microseconds.insert(what.to_owned(), middle.parse().map_err(|_| format!("node told `{line}`"))?);
        }
    }
    let told = |what: &str| microseconds.get(what).copied().ok_or_else(|| format!("node did not measure {what}"));

    let mut table = Table::new("signatures", &["µs for one token", "Wasm", "native", "WebCrypto"]);
    for line in node(setup, &script, &["--print"])?.lines() {
        let mut parts = line.split('\t');
        let (Some(algorithm), Some(set), Some(text)) = (parts.next(), parts.next(), parts.next()) else { continue };
        let (wasm, web) = (told(&format!("{algorithm} in Wasm"))?, told(&format!("{algorithm} by WebCrypto"))?);
        let native = verify(setup, set, text)?;
        table.push(vec![algorithm.to_owned(), number(wasm), number(native), number(web)]);
    }
    table.remarks.push(
        "Medians of CPU time. Wasm and WebCrypto in Node, which has the V8 of workerd and, unlike it, a clock that runs; WebCrypto \
         works on another thread, so there the whole process is counted."
            .to_owned(),
    );
    results.keep(table);

    let mut table = Table::new("callers", &["µs in Wasm", "whole request", "over one without policies"]);
    let open = told("a request to open")?;
    for (route, what) in [
        ("open", "no policy"),
        ("jwt", "a token that is remembered"),
        ("key", "an API key, and a group that is allowed"),
        ("expression", "the same, and an expression with three conditions"),
    ] {
        let whole = told(&format!("a request to {route}"))?;
        table.push(vec![what.to_owned(), number(whole), number(whole - open)]);
    }
    table.remarks.push(format!("To find a remembered token alone takes {} µs.", number(told("remembered")?)));
    results.keep(table);

    let mut table =
        Table::new("shaping", &["µs in Wasm, a JSON body of 1 KB", "whole request", "over one whose body passes"]);
    let passes = told("a request to body")?;
    for (route, what) in [
        ("body", "it passes"),
        ("edit", "removed, renamed and set by path, in each of 8 items too"),
        ("template", "built anew by a template"),
        ("query", "asked by JMESPath"),
    ] {
        let whole = told(&format!("a request to {route}"))?;
        table.push(vec![what.to_owned(), number(whole), number(whole - passes)]);
    }
    results.keep(table);
    Ok(())
}

/// Microseconds of native code.
fn verify(setup: &Setup, set: &str, text: &str) -> Result<f64, String> {
    let keys = KeySet::read(set.as_bytes(), &[]).map_err(|bad| format!("the set of keys is refused: {bad:?}"))?;
    let right = || {
        let token = Token::read(black_box(text), Purpose::Token).ok()?;
        keys.verify(&token).ok()?;
        token.claims().ok()
    };
    right().ok_or("a right token is refused")?;
    let samples = sample(1, setup.sample_milliseconds(), &mut || {
        black_box(right());
    });
    Ok(samples.median() / 1_000.0)
}

/// Builds Wasm, and gives the folder that it is in.
pub fn wasm(setup: &Setup, arguments: &[&str]) -> Result<PathBuf, String> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(setup.root.join("target"), PathBuf::from);
    run(Command::new("cargo")
        .args(["build", "--quiet", "--release", "--target", "wasm32-unknown-unknown"])
        .args(arguments)
        .env("CARGO_TARGET_DIR", &target)
        .env("RUSTFLAGS", "-C target-feature=+simd128")
        .env("CARGO_PROFILE_RELEASE_STRIP", "symbols")
        .current_dir(&setup.root))?;
    Ok(target.join("wasm32-unknown-unknown/release"))
}

/// Runs a script; gives what it printed.
pub fn node(setup: &Setup, script: &Path, arguments: &[&str]) -> Result<String, String> {
    run(Command::new(setup.root.join("node_modules/.bin/node")).arg(script).args(arguments))
}

/// A new key of an algorithm, as a JWK, and a token that it has signed for `orders`.
pub fn made(setup: &Setup, algorithm: &str) -> Result<(Value, String), String> {
    let printed = node(setup, &setup.root.join("benches/signatures.mjs"), &["--print"])?;
    let line = printed.lines().find(|line| line.split('\t').next() == Some(algorithm));
    let mut parts = line.ok_or_else(|| format!("node made no token by {algorithm}"))?.split('\t').skip(1);
    let (Some(set), Some(token)) = (parts.next(), parts.next()) else {
        return Err(format!("node printed `{printed}`"));
    };
    let set: Value = serde_json::from_str(set).map_err(|error| format!("{set}: {error}"))?;
    Ok((set["keys"][0].clone(), token.to_owned()))
}

/// What it prints.
pub fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
