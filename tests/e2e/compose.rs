//! Answers from several calls on the real runtimes: how long they take, and what reaches the client when. Times are printed; what is
//! asserted is the order in which things happen.

#![allow(
    clippy::disallowed_methods,
    reason = "the ban on clocks is the core's; here they tell how long an answer took"
)]

use postern_tests::Platform;
use postern_tests::client::{Connection, PATIENCE, Seen, request};
use postern_tests::origin::{Exchange, Log, Origin, Received, Then};
use postern_tests::running::Running;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// How long each origin takes.
const EACH: Duration = Duration::from_millis(50);

#[test]
fn four_steps_with_one_dependency_on_workers() {
    four_steps_with_one_dependency(Platform::Workers);
}

#[test]
fn four_steps_with_one_dependency_on_spin() {
    four_steps_with_one_dependency(Platform::Spin);
}

/// Four origins of 50 ms each, of which one is asked for what another one has answered: two round trips, and a stream that begins
/// after one.
fn four_steps_with_one_dependency(platform: Platform) {
    let log = Arc::new(Log::default());
    let others = Arc::new(Others::default());
    let origins: Vec<Origin> = ["user", "orders", "offers", "stock"].map(|name| slow(name, &log, &others)).into();
    let upstreams: BTreeMap<&str, Value> = ["user", "orders", "offers", "stock"]
        .into_iter()
        .zip(&origins)
        .map(|(name, origin)| (name, json!({ "targets": [{ "url": format!("http://{}", origin.address) }] })))
        .collect();
    let steps = json!({
        "orders": { "upstream": "orders", "path": "/orders/{steps.user.body.id}" },
        "user": { "upstream": "user", "path": "/user" },
        "offers": { "upstream": "offers", "path": "/offers" },
        "stock": { "upstream": "stock", "path": "/stock" },
    });
    let configuration = json!({
        "upstreams": upstreams,
        "routes": [
            { "name": "whole", "path": "/whole", "compose": { "steps": steps } },
            { "name": "streamed", "path": "/streamed", "compose": { "steps": steps, "stream": "ndjson" } },
            { "name": "one", "path": "/user", "upstream": "user" },
        ],
    });
    let gateway = Running::start(platform, &configuration, &BTreeMap::new()).expect("a gateway");
    let mut connection = Connection::open(gateway.address).expect("a connection");
    let single = median(|| ask(&mut connection, "/user").1);
    log.take();
    others.are_asked.store(true, Ordering::SeqCst);
    // Once for whatever is made only once.
    ask(&mut connection, "/whole");
    log.take();
    let whole = median(|| {
        let (seen, took, _) = ask(&mut connection, "/whole");
        assert_eq!(seen.status, 200);
        let body: Value = serde_json::from_slice(&seen.body).expect("JSON");
        let mut members: Vec<&String> = body.as_object().expect("an object").keys().collect();
        members.sort_unstable();
        assert_eq!(members, ["offers", "orders", "stock", "user"]);
        let targets: Vec<String> =
            log.take().iter().map(|received| String::from_utf8_lossy(&received.target).into_owned()).collect();
        assert_eq!(targets.len(), 4, "{targets:?}");
        // It takes something from an answer, so it can only be the last.
        assert_eq!(targets.last().map(String::as_str), Some("/orders/7"));
        took
    });
    let (mut first, mut end) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (seen, took, first_byte) = ask(&mut connection, "/streamed");
        let text = String::from_utf8(seen.body).expect("text");
        let names: Vec<String> = text
            .lines()
            .map(|line| {
                serde_json::from_str::<Value>(line).expect("a line")["name"].as_str().unwrap_or("end").to_owned()
            })
            .collect();
        assert_eq!((names.len(), names[3].as_str(), names[4].as_str()), (5, "orders", "end"), "{names:?}");
        first.push(first_byte);
        end.push(took);
        log.take();
    }
    first.sort_unstable();
    end.sort_unstable();
    println!(
        "{platform:?}: one call {} ms; four steps in two rounds {} ms; as a stream: first member after {} ms, all after {} ms \
         (medians of {ROUNDS}; one after the other it would be four calls)",
        single.as_millis(),
        whole.as_millis(),
        first[ROUNDS / 2].as_millis(),
        end[ROUNDS / 2].as_millis()
    );
    drop(connection);
    gateway.stop().expect("nothing left");
}

#[test]
fn a_member_arrives_while_others_are_waited_for_on_workers() {
    a_member_arrives_while_others_are_waited_for(Platform::Workers);
}

#[test]
fn a_member_arrives_while_others_are_waited_for_on_spin() {
    a_member_arrives_while_others_are_waited_for(Platform::Spin);
}

/// One origin answers only when the client has seen what the other one has answered. Whoever buffers waits for ever.
fn a_member_arrives_while_others_are_waited_for(platform: Platform) {
    let (seen, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let origin = Origin::start("origin", Arc::default(), move |received: &Received, exchange: &mut Exchange<'_>| {
        if received.target == b"/last"
            && let Ok(wait) = wait.lock()
        {
            // When nobody says anything for so long, the client will see that both came at once.
            let _ = wait.recv_timeout(PATIENCE);
        }
        answer(exchange, "{}")
    });
    let origin = origin.expect("an origin");
    for form in ["json", "ndjson", "sse"] {
        let configuration = json!({
            "upstreams": { "origin": { "targets": [{ "url": format!("http://{}", origin.address) }] } },
            "routes": [{ "name": "all", "path": "/", "compose": { "stream": form, "steps": {
                "last": { "upstream": "origin", "path": "/last" },
                "first": { "upstream": "origin", "path": "/first" },
            } } }],
        });
        let gateway = Running::start(platform, &configuration, &BTreeMap::new()).expect("a gateway");
        let mut connection = Connection::open(gateway.address).expect("a connection");
        connection.send(&request("GET", "/", "compose.test", &[], b"")).expect("sent");
        let (head, framing) = connection.receive_head("GET").expect("a response");
        assert_eq!(head.status, 200);
        let mut text = String::new();
        let mut told = false;
        let received = connection.receive_body(framing, |bytes| {
            text.push_str(&String::from_utf8_lossy(bytes));
            if !told && text.contains("first") {
                assert!(!text.contains("last"), "both came at once: {text}");
                told = true;
                seen.send(()).expect("the origin listens");
            }
        });
        received.expect("the end");
        assert!(told && text.contains("last") && text.contains("\"complete\":true"), "{text}");
        drop(connection);
        gateway.stop().expect("nothing left");
    }
}

/// How often each is measured.
const ROUNDS: usize = 9;

fn median(mut measure: impl FnMut() -> Duration) -> Duration {
    let mut all: Vec<Duration> = (0..ROUNDS).map(|_| measure()).collect();
    all.sort_unstable();
    all[ROUNDS / 2]
}

/// A response, how long it took until its end, and until the first byte of its body.
fn ask(connection: &mut Connection, path: &str) -> (Seen, Duration, Duration) {
    let begun = Instant::now();
    connection.send(&request("GET", path, "compose.test", &[], b"")).expect("sent");
    let (mut seen, framing) = connection.receive_head("GET").expect("a response");
    let (mut body, mut first) = (Vec::new(), None);
    let received = connection.receive_body(framing, |bytes| {
        first.get_or_insert_with(|| begun.elapsed());
        body.extend(bytes);
    });
    received.expect("the end");
    seen.body = body;
    (seen, begun.elapsed(), first.unwrap_or_default())
}

/// What `offers` and `stock` have answered. Where they are asked as well, `user` answers after both, so that the step that waits for
/// it is the last one on slow machines, too.
#[derive(Default)]
struct Others {
    are_asked: AtomicBool,
    answered: AtomicUsize,
    expected: AtomicUsize,
}

fn slow(name: &'static str, log: &Arc<Log>, others: &Arc<Others>) -> Origin {
    let others = Arc::clone(others);
    let origin = Origin::start(name, Arc::clone(log), move |_: &Received, exchange: &mut Exchange<'_>| {
        thread::sleep(EACH);
        if name == "user" && others.are_asked.load(Ordering::SeqCst) {
            let expected = others.expected.fetch_add(2, Ordering::SeqCst) + 2;
            let begun = Instant::now();
            while others.answered.load(Ordering::SeqCst) < expected && begun.elapsed() < PATIENCE {
                thread::sleep(Duration::from_millis(1));
            }
        }
        let answered = answer(exchange, "{\"id\":7}");
        if name == "offers" || name == "stock" {
            others.answered.fetch_add(1, Ordering::SeqCst);
        }
        answered
    });
    origin.expect("an origin")
}

fn answer(exchange: &mut Exchange<'_>, body: &str) -> io::Result<Then> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
    exchange.write(&[head.as_bytes(), body.as_bytes()].concat())?;
    Ok(Then::Keep)
}
