//! What is changed through the admin interface is in effect in every instance within the time that the documentation states, and
//! outlives all of them; the tool changes it, as an operator would.

#![allow(clippy::disallowed_methods, reason = "the ban on clocks is the core's; here they say when to give up")]
#![allow(clippy::panic, reason = "a test")]

use postern_tests::Platform;
use postern_tests::client::{exchange, request};
use postern_tests::instances::Instances;
use postern_tests::origin::Origin;
use postern_tests::process;
use postern_tests::running::Running;
use postern_tests::wire::Field;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

const TOKEN: &str = "ops-0123456789abcdef0123456789abcdef";

/// What docs/admin.md states, and a second for the way there and back.
const EFFECTIVE: Duration = Duration::from_secs(11);

fn configuration() -> Value {
    let nowhere = Origin::closed().expect("an address");
    json!({
        "allow": ["clear-text"],
        "admin": { "path": "/_postern", "tokens": [{ "name": "ops", "token": format!("${{test:{TOKEN}}}"), "access": "write" }] },
        "upstreams": { "origin": { "targets": [{ "url": format!("http://{nowhere}"), "name": "one" }] } },
        "routes": [
            { "name": "here", "path": "/here", "respond": { "body": "here" } },
            { "name": "there", "path": "/there", "upstream": "origin" },
        ],
    })
}

fn get(address: SocketAddr, target: &str) -> u16 {
    exchange(address, &request("GET", target, "gateway.test", &[], b""), "GET").expect("an answer").status
}

fn ask(address: SocketAddr, target: &str) -> Value {
    let token = Field::new("Authorization", format!("Bearer {TOKEN}"));
    let message = request("GET", &format!("/_postern{target}"), "gateway.test", &[token], b"");
    let seen = exchange(address, &message, "GET").expect("an answer");
    serde_json::from_slice(&seen.body).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&seen.body)))
}

/// Runs the tool; gives what it says.
fn postern(address: SocketAddr, arguments: &[&str]) -> String {
    let tool = process::postern(Platform::Test).expect("the tool");
    let output = Command::new(tool)
        .args(arguments)
        .env("POSTERN_ADMIN_URL", format!("http://{address}/_postern"))
        .env("POSTERN_ADMIN_TOKEN", TOKEN)
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// Waits until every address answers so, under traffic; gives how long that took.
#[track_caller]
fn becomes(addresses: &[SocketAddr], target: &str, status: u16) -> Duration {
    let begun = Instant::now();
    // Ten times in a row, since an address may stand for several instances.
    let mut right = 0;
    while right < 10 {
        let all = addresses.iter().all(|address| get(*address, target) == status);
        right = if all { right + 1 } else { 0 };
        assert!(begun.elapsed() < EFFECTIVE, "{target} is not {status} everywhere in time");
        std::thread::sleep(Duration::from_millis(50));
    }
    begun.elapsed()
}

fn play(addresses: &[SocketAddr]) {
    let first = addresses[0];
    addresses.iter().for_each(|address| assert_eq!((get(*address, "/here"), get(*address, "/there")), (200, 502)));
    let said = postern(first, &["admin", "maintenance", "here", "--retry-after", "60", "--reason", "a new disk"]);
    assert!(said.contains("maintenance here: in effect everywhere within 10 s"), "{said}");
    postern(first, &["admin", "drain", "origin", "one"]);
    println!("maintenance everywhere after {:?}", becomes(addresses, "/here", 503));
    // 502: it was asked, and is not there; 503: it is not asked.
    becomes(addresses, "/there", 503);
}

fn play_back(addresses: &[SocketAddr]) {
    let last = *addresses.last().expect("an address");
    becomes(addresses, "/here", 503);
    postern(last, &["admin", "maintenance", "here", "--over"]);
    postern(last, &["admin", "undrain", "origin", "one"]);
    postern(last, &["purge", "--tag", "products", "--soft"]);
    println!("over everywhere after {:?}", becomes(addresses, "/here", 200));
    becomes(addresses, "/there", 502);
    let log = postern(last, &["admin", "audit"]);
    for expected in ["maintenance ", "because a new disk", "drain ", "undrain ", "tag products (soft)", "by ops"] {
        assert!(log.contains(expected), "{expected} is not in {log}");
    }
    // What has happened in all of them is told by any of them.
    let begun = Instant::now();
    loop {
        let series = ask(last, "/series?route=here");
        let points = series["series"][0]["points"].as_array().cloned().unwrap_or_default();
        let sum: u64 = points.iter().filter_map(|point| point["requests"].as_u64()).sum();
        if sum >= addresses.len() as u64 * 10 {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{series}");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(ask(last, "/session")["name"], "ops");
}

#[test]
fn on_workers_a_change_reaches_every_instance_and_outlives_them() {
    let mut instances = Instances::start(3, &configuration());
    let addresses = instances.addresses.clone();
    play(&addresses);
    instances.restart();
    // The first request of an instance that has just started knows it.
    addresses.iter().for_each(|address| assert_eq!(get(*address, "/here"), 503));
    play_back(&addresses);
    instances.stop();
}

#[test]
fn on_spin_a_change_reaches_every_instance_and_outlives_them() {
    let gateway = Running::start(Platform::Spin, &configuration(), &BTreeMap::new()).expect("a gateway");
    play(&[gateway.address]);
    // An instance without requests ends after a second; the next one knows nothing but what it reads.
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(get(gateway.address, "/here"), 503);
    play_back(&[gateway.address]);
    gateway.stop().expect("nothing left");
}
