//! Limits under load: many clients, several instances of the gateway, and an owner of the counters that breaks down.

#![allow(clippy::panic, reason = "a test")]

use postern_tests::Platform;
use postern_tests::client::{exchange, request};
use postern_tests::instances::Instances;
use postern_tests::load::{CLIENTS, admitted};
use postern_tests::running::Running;
use postern_tests::wire::Field;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

const REQUESTS: usize = 2_000;
const LIMIT: usize = 700;

#[test]
fn four_instances_admit_the_limit_and_never_one_more_on_workers() {
    let instances = Instances::start(4, &configuration());
    for path in ["/window", "/bucket", "/quota", "/several"] {
        assert_eq!(admitted(&instances.addresses, path, REQUESTS), LIMIT, "{path}");
    }
    // Tokens that are taken in advance are counted when they are taken, so this bound is the same; a few may be left over.
    let leased = admitted(&instances.addresses, "/leased", REQUESTS);
    assert!(leased <= LIMIT && leased > LIMIT / 2, "{leased}");
    println!("leased: {leased} of {LIMIT}");
    instances.stop();
}

#[test]
fn many_instances_admit_the_limit_and_never_one_more_on_spin() {
    // Spin puts sixteen requests at once on an instance, so these are on four and more.
    let running = Running::start(Platform::Spin, &configuration(), &BTreeMap::new()).expect("it starts");
    // SQLite writes every sum to the disk, so half as many requests take as long as all others.
    assert_eq!(admitted(&[running.address], "/quota", REQUESTS / 2), LIMIT);
    running.stop().expect("it leaves nothing behind");
}

#[test]
fn what_was_admitted_before_a_breakdown_still_counts_after_it() {
    let mut instances = Instances::start(4, &configuration());
    for path in ["/quota", "/window"] {
        let before = admitted(&instances.addresses, path, LIMIT / 2);
        assert_eq!(before, LIMIT / 2, "{path}");
        // The runtime is killed, not ended: what it has not written by then is lost.
        instances.restart();
        assert_eq!(admitted(&instances.addresses, path, REQUESTS), LIMIT - before, "{path}");
    }
    instances.stop();
}

#[test]
fn a_breakdown_in_the_middle_of_a_run_admits_nobody_twice() {
    let mut instances = Instances::start(4, &configuration());
    let addresses = instances.addresses.clone();
    let run = thread::spawn(move || admitted(&addresses, "/closed", REQUESTS));
    thread::sleep(Duration::from_millis(300));
    instances.restart();
    let during = run.join().expect("the run ends");
    let after = admitted(&instances.addresses, "/closed", REQUESTS);
    // Some answers went down with the runtime: who was counted, but did not hear of it, is at most one for each client.
    let all = during + after;
    assert!(all <= LIMIT && all + CLIENTS >= LIMIT, "{during} and {after}");
    instances.stop();
}

#[test]
fn counters_that_fail_hang_or_are_evicted_in_the_middle_of_a_run_lose_nothing() {
    let instances = Instances::start(4, &configuration());
    let (addresses, mut all) = (instances.addresses.clone(), 0);
    let run = thread::spawn(move || admitted(&addresses, "/closed", REQUESTS));
    for _ in 0..5 {
        thread::sleep(Duration::from_millis(50));
        break_down(&instances, "evict");
    }
    all += run.join().expect("the run ends");
    for (breakdown, requests) in [("fail", REQUESTS), ("hang", CLIENTS)] {
        let addresses = instances.addresses.clone();
        let run = thread::spawn(move || admitted(&addresses, "/closed", REQUESTS / 10));
        thread::sleep(Duration::from_millis(20));
        break_down(&instances, breakdown);
        all += run.join().expect("the run ends");
        assert_eq!(admitted(&instances.addresses, "/closed", requests), 0, "{breakdown}: nobody is let pass uncounted");
        break_down(&instances, "none");
    }
    all += admitted(&instances.addresses, "/closed", REQUESTS);
    // Who was counted when an object was thrown out, and did not hear of it, is at most one for each client.
    assert!(all <= LIMIT && all + 5 * CLIENTS >= LIMIT, "{all}");
    assert_eq!(admitted(&instances.addresses, "/closed", CLIENTS), 0);
    instances.stop();
}

fn configuration() -> Value {
    let month = "30 days are 720 hours, whose border is far away";
    let route = |name: &str, policy: Value| json!({ "name": name, "path": format!("/{name}"), "respond": {}, "policies": [policy] });
    json!({
        "allow": "limit-not-atomic",
        "routes": [
            { "name": "about", "path": "/about", "respond": { "body": month } },
            route("window", json!({ "rate_limit": { "limits": format!("{LIMIT} per 720h"), "key": "everybody" } })),
            route("bucket", json!({ "rate_limit": {
                "limits": { "rate": "1 per 720h", "algorithm": "token_bucket", "burst": LIMIT }, "key": "everybody",
            } })),
            route("quota", json!({ "quota": { "limits": format!("{LIMIT} per month"), "key": "everybody" } })),
            route("several", json!({ "rate_limit": {
                "limits": [format!("{LIMIT} per 720h"), "100,000 per 700h"], "key": "everybody",
            } })),
            route("closed", json!({ "quota": {
                "limits": format!("{LIMIT} per month"), "key": "everybody", "on_failure": "closed",
            } })),
            route("leased", json!({ "rate_limit": {
                "limits": format!("{LIMIT} per 720h"), "key": "everybody", "mode": "leased",
            } })),
        ],
    })
}

/// Breaks the counters, as adapters/cloudflare/dev/facts.js says.
fn break_down(instances: &Instances, how: &str) {
    let order = [Field::new("postern-dev-counters", how)];
    let answer = exchange(instances.addresses[0], &request("GET", "/", "limits.example", &order, b""), "GET");
    assert_eq!(answer.expect("an answer").status, 204);
}
