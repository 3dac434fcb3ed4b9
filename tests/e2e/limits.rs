//! Limits under load: many clients, several instances of the gateway, and an owner of the counters that breaks down.

#![allow(clippy::panic, reason = "a test")]

use postern_tests::Platform;
use postern_tests::client::{Connection, request};
use postern_tests::instances::Instances;
use postern_tests::running::Running;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

const REQUESTS: usize = 2_000;
const CLIENTS: usize = 64;
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

/// How many of so many requests, from many clients at once and spread over the instances, are answered with 200.
fn admitted(addresses: &[SocketAddr], path: &str, requests: usize) -> usize {
    let (next, admitted) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let address = addresses[client % addresses.len()];
            let (next, admitted) = (&next, &admitted);
            scope.spawn(move || {
                let mut connection = None;
                while next.fetch_add(1, Ordering::Relaxed) < requests {
                    match ask(&mut connection, address, path) {
                        Some(200) => drop(admitted.fetch_add(1, Ordering::Relaxed)),
                        Some(429 | 503) => {}
                        Some(status) => panic!("{path} is answered with {status}"),
                        // Only while the runtime is down; then not as fast as the others would like.
                        None => thread::sleep(Duration::from_millis(20)),
                    }
                }
            });
        }
    });
    admitted.into_inner()
}

fn ask(connection: &mut Option<Connection>, address: SocketAddr, path: &str) -> Option<u16> {
    if connection.is_none() {
        *connection = Connection::open(address).ok();
    }
    let message = request("GET", path, "limits.example", &[], b"");
    let seen = connection.as_mut().and_then(|open| {
        open.send(&message).ok()?;
        open.receive("GET").ok()
    });
    if seen.is_none() {
        *connection = None;
    }
    seen.map(|seen| seen.status)
}
