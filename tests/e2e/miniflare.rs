//! Limits on what plain workerd does not have: KV that somebody writes to while the gateway runs, and the Rate Limiting binding.

#![allow(clippy::disallowed_methods, reason = "the ban on clocks is the core's; here they say when to give up")]
#![allow(clippy::panic, reason = "a test")]

use bytes::Bytes;
use gateway_core::config::{self, Text};
use postern_tests::Platform;
use postern_tests::client::{PATIENCE, Seen, exchange, request};
use postern_tests::process;
use postern_tests::wire::Field;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Lines, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn plans_change_without_a_deployment() {
    let mut stage = Stage::set(
        "plans",
        &json!({
            "consumers": [
                { "name": "alice", "keys": { "hash": "b4604caf29d7e20e0a103dfb96ec4d770cb449307ecb8523a07e9ad850fc24c1", "prefix": "alice-key-o" } },
                { "name": "bob", "keys": { "hash": "7bf8e95fba84b073f68c8d76bd3df43ede6abb9896a2f1850b9e5bafd09b34d6", "prefix": "bobby-key-o" } },
            ],
            "routes": [{ "name": "api", "path": "/api", "respond": {}, "policies": [
                { "authenticate": { "any_of": { "api_key": {} } } },
                { "quota": { "name": "api", "limits": "1 per month", "plans": { "gold": "3 per month" }, "plans_from": "store" } },
            ] }],
        }),
    );
    let status = |stage: &Stage, key: &str| stage.ask("/api", "X-Api-Key", key).status;
    let (alice, bob) = ("alice-key-one-0123456789", "bobby-key-one-0123456789");
    assert_eq!((status(&stage, alice), status(&stage, alice)), (200, 429));
    stage.tell(r#"put plan/consumer/bob { "limits": { "api": ["2 per month"] } }"#);
    assert_eq!((status(&stage, bob), status(&stage, bob), status(&stage, bob)), (200, 200, 429));
    // What was known of alice counts for half a minute more.
    stage.tell(r#"put plan/consumer/alice { "plan": "gold" }"#);
    let start = Instant::now();
    while status(&stage, alice) == 429 {
        assert!(start.elapsed() < PATIENCE * 4, "she is still on her old plan");
        thread::sleep(Duration::from_millis(500));
    }
    assert_eq!((status(&stage, alice), status(&stage, alice)), (200, 429), "the one of before still counts");
    stage.end();
}

#[test]
fn a_binding_fences_a_route_off() {
    let stage = Stage::set(
        "binding",
        &json!({
            "routes": [{ "name": "login", "path": "/login", "respond": {}, "policies": [{ "rate_limit": {
                "limits": "5 per minute", "key": { "header": "x-tenant" }, "scope": "location", "binding": "LOGIN_LIMIT",
            } }] }],
            "allow": "location-unavailable",
        }),
    );
    let answers: Vec<Seen> = (0..20).map(|_| stage.ask("/login", "X-Tenant", "a")).collect();
    let admitted = answers.iter().filter(|seen| seen.status == 200).count();
    // At the border of two minutes it begins anew.
    assert!([5, 6, 7, 8, 9, 10].contains(&admitted), "{admitted}");
    let refused = answers.iter().find(|seen| seen.status == 429).expect("a refusal");
    assert_eq!(refused.all("ratelimit-policy").collect::<Vec<_>>(), [b"\"per-minute\";q=5;w=60"]);
    assert_eq!(refused.all("ratelimit").count(), 0, "the binding does not say what is left");
    assert_eq!(refused.all("retry-after").collect::<Vec<_>>(), [b"60"]);
    assert_eq!(stage.ask("/login", "X-Tenant", "b").status, 200);
    stage.end();
}

/// A Miniflare with the built Worker.
struct Stage {
    address: SocketAddr,
    child: Child,
    input: Option<ChildStdin>,
    said: Lines<BufReader<ChildStdout>>,
    artefact: PathBuf,
}

impl Stage {
    fn set(name: &str, configuration: &Value) -> Self {
        // Builds what is not built.
        process::postern(Platform::Workers).expect("it builds");
        let compiled = config::compile(Path::new("gateway.json"), &Text(configuration.to_string()));
        let bytes = Bytes::from(compiled.artefact.unwrap_or_else(|| panic!("{:?}", compiled.problems)));
        let artefact = std::env::temp_dir().join(format!("postern-miniflare-{}-{name}.bin", std::process::id()));
        std::fs::write(&artefact, bytes).expect("a file");
        let mut child = Command::new(process::root().join("node_modules/.bin/node"))
            .arg(process::root().join("tests/e2e/miniflare.mjs"))
            .arg(&artefact)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node starts");
        let input = child.stdin.take();
        let mut said = BufReader::new(child.stdout.take().expect("its output")).lines();
        let ready = said.by_ref().map_while(Result::ok).find_map(|line| line.strip_prefix("ready ")?.parse().ok());
        Self { address: ready.expect("it gets ready"), child, input, said, artefact }
    }

    fn ask(&self, path: &str, field: &str, value: &str) -> Seen {
        let asked = request("GET", path, "limits.example", &[Field::new(field, value)], b"");
        exchange(self.address, &asked, "GET").expect("an answer")
    }

    fn tell(&mut self, order: &str) {
        let word = order.split(' ').next();
        writeln!(self.input.as_mut().expect("its input"), "{order}").expect("it listens");
        assert!(self.said.by_ref().map_while(Result::ok).any(|line| Some(line.as_str()) == word), "{order}");
    }

    fn end(mut self) {
        drop(self.input.take());
        assert!(self.child.wait().expect("it ends").success());
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.artefact);
    }
}
