//! What is done once, on the real runtimes: by many clients at once, on several instances, when the client goes away and when the
//! runtime dies. And what the log hears of copies.

#![allow(clippy::panic, reason = "a test")]

use postern_tests::Platform;
use postern_tests::client::{Connection, Seen, exchange, request};
use postern_tests::instances::Instances;
use postern_tests::origin::{Exchange, Log, Origin, Received, Then};
use postern_tests::running::Running;
use postern_tests::wire::Field;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

const DUPLICATES: usize = 200;

#[test]
fn two_hundred_at_once_on_four_isolates_reach_the_origin_once() {
    let (origin, counted) = counting(Duration::from_millis(500));
    let instances = Instances::start(4, &configuration(&origin));
    for key in 0..3 {
        all_get_the_one_answer(&instances.addresses, &counted, &format!("key-{key}"));
    }
    instances.stop();
}

#[test]
fn two_hundred_at_once_on_many_instances_of_spin_reach_the_origin_once() {
    let (origin, counted) = counting(Duration::from_millis(500));
    // Spin puts sixteen requests at once on an instance, so these are on twelve and more.
    let running = Running::start(Platform::Spin, &configuration(&origin), &BTreeMap::new()).expect("it starts");
    for key in 0..3 {
        all_get_the_one_answer(&[running.address], &counted, &format!("key-{key}"));
    }
    running.stop().expect("it leaves nothing behind");
}

fn all_get_the_one_answer(addresses: &[SocketAddr], counted: &AtomicUsize, key: &str) {
    let before = counted.load(Ordering::SeqCst);
    let seen: Vec<Seen> = thread::scope(|scope| {
        let clients: Vec<_> = (0..DUPLICATES)
            .map(|client| scope.spawn(move || send(addresses[client % addresses.len()], "/pay", key)))
            .collect();
        clients.into_iter().map(|client| client.join().expect("it ends")).collect()
    });
    assert_eq!(counted.load(Ordering::SeqCst), before + 1, "{key} is done once");
    let body = format!("done {}", before + 1);
    for seen in &seen {
        assert_eq!((seen.status, String::from_utf8_lossy(&seen.body).as_ref()), (201, body.as_str()));
    }
    let replayed = seen.iter().filter(|seen| seen.all("idempotent-replayed").next().is_some()).count();
    assert_eq!(replayed, DUPLICATES - 1);
}

#[test]
fn what_was_answered_before_a_breakdown_is_answered_after_it() {
    let (origin, counted) = counting(Duration::ZERO);
    let mut instances = Instances::start(2, &configuration(&origin));
    let first = send(instances.addresses[0], "/pay", "k");
    // The runtime is killed, not ended: what it has not written by then is lost.
    instances.restart();
    let second = send(instances.addresses[1], "/pay", "k");
    assert_eq!((first.status, second.status, &first.body), (201, 201, &second.body));
    assert_eq!(counted.load(Ordering::SeqCst), 1);
    instances.stop();
}

#[test]
fn a_runtime_that_dies_at_work_blocks_a_key_for_its_lease_only() {
    let log = Arc::new(Log::default());
    let counted = Arc::new(AtomicUsize::new(0));
    let counter = counted.clone();
    let origin = Origin::start("origin", log.clone(), move |_, exchange| {
        // Only the first time it takes too long.
        if counter.fetch_add(1, Ordering::SeqCst) == 0 {
            exchange.wait_for_end();
            return Ok(Then::Close);
        }
        answer(exchange, "again")
    });
    let origin = origin.expect("an origin");
    let mut instances = Instances::start(1, &configuration(&origin));
    let address = instances.addresses[0];
    let mut lost = Connection::open(address).expect("a connection");
    lost.send(&post("/short", "k")).expect("sent");
    assert_eq!(log.wait_for_begun(1, PATIENCE), 1);
    instances.restart();
    // It waits until the lease is over.
    let seen = send(address, "/short", "k");
    assert_eq!((seen.status, seen.body.as_slice()), (201, &b"again"[..]));
    assert_eq!(counted.load(Ordering::SeqCst), 2);
    instances.stop();
}

#[test]
fn a_client_that_goes_away_finds_its_answer_when_it_comes_back_to_workers() {
    a_client_that_goes_away_finds_its_answer(Platform::Workers);
}

#[test]
fn a_client_that_goes_away_finds_its_answer_when_it_comes_back_to_spin() {
    a_client_that_goes_away_finds_its_answer(Platform::Spin);
}

fn a_client_that_goes_away_finds_its_answer(platform: Platform) {
    let log = Arc::new(Log::default());
    let counted = Arc::new(AtomicUsize::new(0));
    let counter = counted.clone();
    let origin = Origin::start("origin", log.clone(), move |_, exchange| {
        let number = counter.fetch_add(1, Ordering::SeqCst) + 1;
        thread::sleep(Duration::from_millis(700));
        answer(exchange, &format!("done {number}"))
    });
    let origin = origin.expect("an origin");
    let running = Running::start(platform, &configuration(&origin), &BTreeMap::new()).expect("it starts");
    for key in ["a", "b"] {
        let begun = log.wait_for_begun(0, PATIENCE);
        let mut impatient = Connection::open(running.address).expect("a connection");
        impatient.send(&post("/pay", key)).expect("sent");
        assert_eq!(log.wait_for_begun(begun + 1, PATIENCE), begun + 1);
        impatient.reset();
        let seen = send(running.address, "/pay", key);
        assert_eq!(seen.status, 201, "{platform}");
        assert_eq!(seen.all("idempotent-replayed").count(), 1, "{platform}: it is the answer of the first request");
    }
    assert_eq!(counted.load(Ordering::SeqCst), 2, "{platform}");
    running.stop().expect("it leaves nothing behind");
}

#[test]
fn what_two_answers_differ_in_is_logged_on_workers() {
    what_two_answers_differ_in_is_logged(Platform::Workers);
}

#[test]
fn what_two_answers_differ_in_is_logged_on_spin() {
    what_two_answers_differ_in_is_logged(Platform::Spin);
}

fn what_two_answers_differ_in_is_logged(platform: Platform) {
    let log = Arc::new(Log::default());
    let origin = |body: &'static str| {
        Origin::start("origin", log.clone(), move |_, exchange| {
            let length = body.len();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n");
            exchange.write(format!("{head}{body}").as_bytes())?;
            Ok(Then::Keep)
        })
        .expect("an origin")
    };
    let (here, there) = (origin(r#"{"id":1,"items":[1,2]}"#), origin(r#"{"id":2,"items":[1,3]}"#));
    let url = |origin: &Origin| json!({ "targets": [{ "url": format!("http://{}", origin.address) }] });
    let configuration = json!({
        "upstreams": { "here": url(&here), "there": url(&there), "nobody": { "targets": [{ "url": "http://127.0.0.1:1" }] } },
        "routes": [
            { "name": "compared", "path": "/compared", "upstream": "here", "policies": [
                { "mirror": { "upstream": "there", "compare": { "ignore": "/id" } } },
            ] },
            { "name": "lost", "path": "/lost", "upstream": "here", "policies": [{ "mirror": { "upstream": "nobody" } }] },
        ],
    });
    let running = Running::start(platform, &configuration, &BTreeMap::new()).expect("it starts");
    for path in ["/compared", "/lost"] {
        let seen =
            exchange(running.address, &request("GET", path, "mirror.example", &[], b""), "GET").expect("a response");
        assert_eq!((seen.status, seen.body.as_slice()), (200, &br#"{"id":1,"items":[1,2]}"#[..]));
    }
    let mut said = String::new();
    for _ in 0..1_200 {
        said = running.log();
        if said.contains("mirror-differs") && said.contains("mirror-failed") {
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    assert!(said.contains("`there` answers otherwise: /items/1 is another value\""), "{platform}: {said}");
    assert!(said.contains("the copy for `nobody` got no answer"), "{platform}: {said}");
    running.stop().expect("it leaves nothing behind");
}

const PATIENCE: Duration = Duration::from_secs(30);

/// An origin that says how often it was asked, after so long a time.
fn counting(takes: Duration) -> (Origin, Arc<AtomicUsize>) {
    let counted = Arc::new(AtomicUsize::new(0));
    let counter = counted.clone();
    let origin = Origin::start("origin", Arc::default(), move |_: &Received, exchange: &mut Exchange<'_>| {
        let number = counter.fetch_add(1, Ordering::SeqCst) + 1;
        thread::sleep(takes);
        answer(exchange, &format!("done {number}"))
    });
    (origin.expect("an origin"), counted)
}

fn answer(exchange: &mut Exchange<'_>, body: &str) -> std::io::Result<Then> {
    let head = format!("HTTP/1.1 201 Created\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    exchange.write(head.as_bytes())?;
    Ok(Then::Keep)
}

fn configuration(origin: &Origin) -> Value {
    let target = json!([{ "url": format!("http://{}", origin.address) }]);
    let route = |name: &str, upstream: &str, policy: Value| {
        json!({
            "name": name, "path": format!("/{name}"), "upstream": upstream, "policies": [{ "idempotency": policy }],
            "allow": "keys-without-authenticate",
        })
    };
    json!({
        "upstreams": {
            "origin": { "targets": target },
            "quick": { "targets": target, "timeouts": { "attempt": "1s", "total": "1s" } },
        },
        "routes": [
            route("pay", "origin", json!({ "concurrent": { "wait": "25s" } })),
            route("short", "quick", json!({ "concurrent": { "wait": "25s" }, "lease": "3s" })),
        ],
    })
}

fn post(path: &str, key: &str) -> Vec<u8> {
    request("POST", path, "once.example", &[Field::new("Idempotency-Key", key)], b"{}")
}

fn send(address: SocketAddr, path: &str, key: &str) -> Seen {
    // A runtime that has just started may take a moment to listen.
    for _ in 0..50 {
        match exchange(address, &post(path, key), "POST") {
            Ok(seen) => return seen,
            Err(_) => thread::sleep(Duration::from_millis(100)),
        }
    }
    panic!("{address} does not answer")
}
