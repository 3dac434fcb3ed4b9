//! What it costs to call a gRPC method by JSON, about 1 KB each way: in native code, in Wasm and in JavaScript by hand (npm
//! `@bufbuild/protobuf`), alone and in whole requests on Workers; and the bytes that the ability adds to the core's Wasm.

use crate::abilities::size_of;
use crate::results::{Results, Table, number};
use crate::rounds;
use crate::run::Setup;
use crate::serving::{Answer, Load};
use crate::signatures::{node, wasm};
use crate::timing::sample;
use crate::transcoding::{PATH, Transcoding};
use crate::workers::Workers;
use gateway_core::config::{self, Disk};
use serde_json::{Value, json};
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};

const GATEWAY: &str = "benches/transcoding/gateway.yaml";

/// Measures and writes the tables `transcoding-call` and `transcoding-bytes`.
pub fn measure(setup: &Setup, results: &mut Results) -> Result<(), String> {
    let compiled = config::compile(&setup.root.join(GATEWAY), &Disk);
    let artefact = compiled.artefact.ok_or("benches/transcoding/gateway.yaml has errors")?;
    let loaded = load(setup)?;
    let files = [
        ("transcoding.bin", artefact.as_slice()),
        ("transcoding.binpb", &loaded.descriptors().ok_or("there are no descriptors")?),
        ("transcoding-order.json", loaded.order()),
        ("transcoding-answer.bin", loaded.answer()),
    ];
    let mut arguments = vec![
        wasm(setup, &["--package", "postern-benches", "--example", "transcoding"])?.join("examples/transcoding.wasm"),
    ];
    for (name, bytes) in files {
        arguments.push(keep(&setup.scratch, name, bytes)?);
    }
    let rounds = if setup.quick { "2" } else { "7" };
    let arguments: Vec<_> = arguments.iter().map(|path| path.display().to_string()).collect();
    let mut arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    arguments.push(rounds);
    let told = node(setup, &setup.root.join("benches/transcoding.mjs"), &arguments)?;
    let told: Vec<f64> =
        told.lines().filter_map(|line| line.split('\t').nth(2)).filter_map(|middle| middle.parse().ok()).collect();
    let [in_wasm, script] = told[..] else { return Err(format!("node told {told:?}")) };
    let samples = sample(1, setup.sample_milliseconds(), &mut || {
        black_box(loaded.run(1));
    });

    let sizes =
        format!("{} bytes of JSON in, {} out", loaded.order().len(), loaded.call().map_or(0, |json| json.len()));
    let mut table = Table::new(
        "transcoding-call",
        &["µs of CPU for one call", "Postern, native", "Postern, Wasm", "JavaScript by hand"],
    );
    table.push(vec![sizes, number(samples.median() / 1_000.0), number(in_wasm), number(script)]);
    table.remarks.push(
        "Medians. Postern handles the whole request: it finds the route and the method, translates, and picks metadata and \
         deadline; JavaScript only translates. Wasm and JavaScript in Node, which has the V8 of workerd and, unlike it, a \
         clock that runs."
            .to_owned(),
    );
    results.keep(table);

    let mut table = Table::new("transcoding-bytes", &["the core's Wasm", "KB gzipped"]);
    let (without, module) = size_of(setup, &[])?;
    // What is off must leave nothing behind.
    let traces = ["prost", "grpc-status", "google.protobuf"];
    if let Some(trace) = traces.iter().find(|trace| contains(&module, trace.as_bytes())) {
        return Err(format!("without the feature `grpc` the Wasm still says `{trace}`"));
    }
    let (with, _) = size_of(setup, &["grpc"])?;
    table.push(vec!["without any ability: nothing of gRPC is in it".to_owned(), number(without / 1_000.0)]);
    table.push(vec!["what `grpc` adds".to_owned(), format!("+{}", number((with - without) / 1_000.0))]);
    table.remarks.push("Without names, by `gzip -9`; a gateway's adapter is not in it.".to_owned());
    results.keep(table);
    Ok(())
}

/// Measures and writes the table `transcoding`: whole requests on Workers.
pub fn on_workers(setup: &Setup, results: &mut Results) -> Result<(), String> {
    let loaded = load(setup)?;
    let workers = Workers::with_answer(setup, loaded.answer())?;
    if !workers.has_bundle() {
        return Err("build/worker is not there: run `make workers`".to_owned());
    }
    let descriptors = loaded.descriptors().ok_or("there are no descriptors")?;
    let hex: String = descriptors.iter().map(|byte| format!("{byte:02x}")).collect();
    let by_hand = workers.script_given("transcoder", &[format!("--define:DESCRIPTORS=\"{hex}\"")])?;
    let protos = setup.root.join("examples/grpc/protos");
    let postern = workers.postern(
        "postern-transcoding",
        &json!({
            "upstreams": { "shop": { "targets": [{ "url": workers.origin() }] } },
            "routes": [{
                "name": "shop",
                "path": "/v1/customers/{*rest}",
                "upstream": "shop",
                "grpc": { "protos": protos.join("shop/v1/shop.proto"), "imports": protos, "dialect": "grpc_web" },
            }],
        }),
    )?;
    let pass = workers.script("pass")?;
    let order = String::from_utf8_lossy(loaded.order()).into_owned();
    let load = |path: &str| {
        let mut load = Load { method: "POST", body: order.clone(), ..Load::get(vec![path.to_owned()]) };
        load.headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
        load
    };
    let shown: Value = loaded.call().and_then(|json| serde_json::from_slice(&json).ok()).ok_or("the call fails")?;
    let translated = |_: &str, answer: &Answer| {
        let found: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        if answer.status == 200 && found == shown { Ok(()) } else { Err("it is not the order".to_owned()) }
    };
    let passed = |_: &str, answer: &Answer| {
        let right = answer.status == 200 && answer.body == loaded.answer();
        if right { Ok(()) } else { Err("it is not what the service answers".to_owned()) }
    };
    let method = "/shop.v1.Shop/CreateOrder";
    let variants = [
        by_hand.variant("JavaScript by hand, `@bufbuild/protobuf`", load(PATH), translated),
        by_hand.variant("the same once more (control)", load(PATH), translated),
        pass.variant("JavaScript pass-through, nothing translated", load(method), passed),
        postern.variant("Postern", load(PATH), translated),
    ];
    let compared = rounds::compare(setup, &variants, setup.rounds())?;
    results.keep(compared.table("transcoding", "on Workers", &[(0, "by hand"), (2, "pass-through")]));
    Ok(())
}

fn load(setup: &Setup) -> Result<Transcoding, String> {
    let compiled = config::compile(&setup.root.join(GATEWAY), &Disk);
    let artefact = compiled.artefact.ok_or("benches/transcoding/gateway.yaml has errors")?;
    Transcoding::load(artefact.into()).ok_or_else(|| "the call fails".to_owned())
}

fn keep(folder: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf, String> {
    let file = folder.join(name);
    fs::write(&file, bytes).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(file)
}

fn contains(module: &[u8], text: &[u8]) -> bool {
    module.windows(text.len()).any(|window| window == text)
}
