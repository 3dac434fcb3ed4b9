//! Who is in flight: from the admission to the end of the response's body, and no longer than the client is there.

#![allow(clippy::disallowed_methods, reason = "the ban on clocks is the core's; here they say when to give up")]

use postern_tests::Platform;
use postern_tests::client::{Connection, PATIENCE, exchange, request};
use postern_tests::origin::{Log, Origin, Then};
use postern_tests::running::Running;
use postern_tests::wire::{self, Framing};
use serde_json::json;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn a_place_is_held_to_the_end_of_the_body_on_workers() {
    a_place_is_held_to_the_end_of_the_body(Platform::Workers, &["/here", "/owner", "/length"]);
}

#[test]
fn a_place_is_held_to_the_end_of_the_body_on_spin() {
    // Any request may be given to another instance there, with a memory of its own.
    a_place_is_held_to_the_end_of_the_body(Platform::Spin, &["/owner", "/length"]);
}

fn a_place_is_held_to_the_end_of_the_body(platform: Platform, paths: &[&str]) {
    let stage = Stage::set(platform);
    for path in paths {
        let (mut connection, framing) = stage.begin(path);
        for _ in 0..3 {
            assert_eq!(stage.status(path), 429, "{path}: the body is still on its way");
        }
        stage.origin_goes_on();
        let mut body: Vec<u8> = Vec::new();
        connection.receive_body(framing, |bytes| body.extend(bytes)).expect("the end");
        assert_eq!(body, b"first second", "{path}");
        stage.is_free(path);
    }
    stage.gateway.stop().expect("nothing left");
}

#[test]
fn a_client_that_goes_away_takes_no_place_with_it_on_workers() {
    a_client_that_goes_away_takes_no_place_with_it(Platform::Workers, &["/here", "/owner", "/length"]);
}

#[test]
fn a_client_that_goes_away_takes_no_place_with_it_on_spin() {
    a_client_that_goes_away_takes_no_place_with_it(Platform::Spin, &["/owner", "/length"]);
}

fn a_client_that_goes_away_takes_no_place_with_it(platform: Platform, paths: &[&str]) {
    let stage = Stage::set(platform);
    for path in paths {
        let (connection, _) = stage.begin(path);
        assert_eq!(stage.status(path), 429, "{path}: the body is still on its way");
        drop(connection);
        // The gateway sees that nobody reads when it writes.
        stage.origin_goes_on();
        stage.is_free(path);
    }
    stage.gateway.stop().expect("nothing left");
}

#[test]
fn nor_does_one_that_goes_away_before_the_answer_on_workers() {
    nor_does_one_that_goes_away_before_the_answer(Platform::Workers, &["/here", "/owner"]);
}

#[test]
fn nor_does_one_that_goes_away_before_the_answer_on_spin() {
    nor_does_one_that_goes_away_before_the_answer(Platform::Spin, &["/owner"]);
}

fn nor_does_one_that_goes_away_before_the_answer(platform: Platform, paths: &[&str]) {
    let stage = Stage::set(platform);
    for path in paths {
        let mut connection = Connection::open(stage.address()).expect("a connection");
        connection.send(&request("GET", &format!("{path}?late"), "limits.test", &[], b"")).expect("sent");
        stage.origin_waits();
        assert_eq!(stage.status(path), 429, "{path}: the answer is still to come");
        // Workers' runtime hears of no other end of a connection while it has nothing to write.
        connection.reset();
        match platform {
            // Spin tells nobody before the answer, for which the gateway waits.
            Platform::Spin => {
                stage.origin_goes_on();
                stage.is_free(path);
            }
            _ => {
                stage.is_free(path);
                stage.origin_goes_on();
            }
        }
    }
    stage.gateway.stop().expect("nothing left");
}

/// How many answers the origin has begun to wait with, and how many of those it may finish.
#[derive(Default)]
struct AtOrigin {
    begun: usize,
    finished: usize,
}

struct Stage {
    gateway: Running,
    at_origin: Arc<(Mutex<AtOrigin>, Condvar)>,
    _origin: Origin,
}

impl Stage {
    fn set(platform: Platform) -> Self {
        let at_origin: Arc<(Mutex<AtOrigin>, Condvar)> = Arc::default();
        let waiting = at_origin.clone();
        let origin = Origin::start("origin", Arc::new(Log::default()), move |received, exchange| {
            if received.target.ends_with(b"?quick") {
                exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nquick")?;
                return Ok(Then::Keep);
            }
            let wait = || {
                let (state, changed) = &*waiting;
                let mut state = state.lock().expect("whole");
                state.begun += 1;
                let mine = state.begun;
                changed.notify_all();
                // Longer than anybody waits for a place, which must not come free by this.
                drop(changed.wait_timeout_while(state, 3 * PATIENCE, |state| state.finished < mine).expect("whole"));
            };
            if received.target.ends_with(b"?late") {
                wait();
                exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate")?;
                return Ok(Then::Keep);
            }
            let sized = received.target.starts_with(b"/length");
            let chunk = |text: &[u8]| if sized { text.to_vec() } else { wire::chunk(text) };
            let framing = if sized { "Content-Length: 12" } else { "Transfer-Encoding: chunked" };
            exchange.write(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n").as_bytes())?;
            exchange.write(&chunk(b"first "))?;
            wait();
            exchange.write(&chunk(b"second"))?;
            exchange.write(if sized { b"" } else { b"0\r\n\r\n" })?;
            Ok(Then::Keep)
        });
        let origin = origin.expect("an origin");
        let route = |name: &str, scope: &str| {
            json!({ "name": name, "path": format!("/{name}"), "upstream": "origin", "policies": [
                { "concurrency": { "limit": 1, "hold": "1h", "key": "everybody", "scope": scope, "on_failure": "closed" } },
            ] })
        };
        let configuration = json!({
            "allow": "limit-not-atomic",
            "upstreams": { "origin": { "targets": [{ "url": format!("http://{}", origin.address) }] } },
            "routes": [route("here", "instance"), route("owner", "global"), route("length", "global")],
        });
        let gateway = Running::start(platform, &configuration, &BTreeMap::new()).expect("a gateway");
        Self { gateway, at_origin, _origin: origin }
    }

    fn address(&self) -> SocketAddr {
        self.gateway.address
    }

    /// A request whose response has begun.
    fn begin(&self, path: &str) -> (Connection, Framing) {
        let mut connection = Connection::open(self.address()).expect("a connection");
        connection.send(&request("GET", path, "limits.test", &[], b"")).expect("sent");
        let (head, framing) = connection.receive_head("GET").expect("a response");
        assert_eq!(head.status, 200, "{path}");
        (connection, framing)
    }

    /// Until the origin has something to answer that it has not.
    fn origin_waits(&self) {
        let (state, changed) = &*self.at_origin;
        let state = state.lock().expect("whole");
        let waited = changed.wait_timeout_while(state, PATIENCE, |state| state.begun == state.finished);
        assert!(!waited.expect("whole").1.timed_out(), "nothing has reached the origin");
    }

    fn origin_goes_on(&self) {
        let (state, changed) = &*self.at_origin;
        state.lock().expect("whole").finished += 1;
        changed.notify_all();
    }

    fn status(&self, path: &str) -> u16 {
        let asked = request("GET", &format!("{path}?quick"), "limits.test", &[], b"");
        exchange(self.address(), &asked, "GET").expect("an answer").status
    }

    /// The owner hears of the end a moment after the client; by itself the place would be free in an hour.
    fn is_free(&self, path: &str) {
        let start = Instant::now();
        while self.status(path) != 200 {
            assert!(start.elapsed() < PATIENCE, "{path}: the place is still taken");
            thread::sleep(Duration::from_millis(10));
        }
    }
}
