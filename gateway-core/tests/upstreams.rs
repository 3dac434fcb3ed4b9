//! Upstreams in virtual time: what clients get when targets fail, how requests are spread, what an outage is spared.

#![cfg(all(feature = "compile", feature = "testing"))]
#![allow(clippy::panic, reason = "a test may fail")]

use bytes::Bytes;
use gateway_core::Gateway;
use gateway_core::config::{self, Text};
use gateway_core::gateway::Reply;
use gateway_core::http::{Body, Headers, Incoming, Peer, Response, Scheme};
use gateway_core::platform::{Call, Failure, FetchError};
use gateway_core::testing::{TestPlatform, run};
use gateway_core::upstream::mix;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

/// A gateway with one route to the upstream `u`, and what stands beside it.
fn gateway(upstream: Value) -> Gateway {
    gateway_with(json!({ "u": upstream }))
}

fn gateway_with(upstreams: Value) -> Gateway {
    let configuration = json!({
        "upstreams": upstreams,
        "routes": [{ "name": "all", "upstream": "u" }],
        "allow": ["one-target", "unused-upstream", "location-unavailable", "missing-key", "priority-gap"],
    });
    load("gateway.json", configuration.to_string())
}

fn load(name: &str, configuration: String) -> Gateway {
    let compiled = config::compile(Path::new(name), &Text(configuration));
    let artefact = compiled.artefact.unwrap_or_else(|| panic!("{:?}", compiled.problems));
    Gateway::load(Bytes::from(artefact), |_| Some("0123456789abcdef".to_owned())).expect("it can be loaded")
}

/// Targets `http://a`, `http://b`, …
fn targets(count: usize) -> Value {
    ('a'..='z').take(count).map(|name| json!({ "url": format!("http://{name}") })).collect()
}

fn get(block: &str) -> Incoming<Vec<u8>> {
    request("GET", block, Body::Empty)
}

fn request(method: &str, block: &str, body: Body<Vec<u8>>) -> Incoming<Vec<u8>> {
    Incoming {
        method: method.into(),
        scheme: Scheme::Http,
        authority: "gateway.test".into(),
        target: "/x".into(),
        headers: Headers::from_block(block.as_bytes().to_vec()),
        body,
        peer: Peer { address: Some("192.0.2.1".parse().expect("an address")), ..Peer::default() },
    }
}

type Outcome = Result<Response<Vec<u8>>, Failure>;

fn status(status: u16) -> Outcome {
    status_with(status, "")
}

fn status_with(status: u16, block: &str) -> Outcome {
    Ok(Response { status, headers: Headers::from_block(block.as_bytes().to_vec()), body: Body::Stream(b"x".to_vec()) })
}

fn fails(error: FetchError) -> Outcome {
    Err(Failure { error, detail: "told by the platform".to_owned() })
}

/// Sends one request, whose calls go as `script` says in order; gives the reply's status and where it was tried.
fn tried(
    gateway: &Gateway,
    incoming: Incoming<Vec<u8>>,
    script: impl FnMut(usize, &Call<Vec<u8>>) -> Outcome,
) -> (Reply<Vec<u8>>, Vec<String>) {
    tried_knowing(&HashMap::new(), gateway, incoming, script)
}

/// The same where checks have found something.
fn tried_knowing(
    boards: &HashMap<String, Bytes>,
    gateway: &Gateway,
    incoming: Incoming<Vec<u8>>,
    mut script: impl FnMut(usize, &Call<Vec<u8>>) -> Outcome,
) -> (Reply<Vec<u8>>, Vec<String>) {
    let seen = RefCell::new(Vec::new());
    let platform = TestPlatform::new(|call: Call<Vec<u8>>| {
        let number = seen.borrow().len();
        seen.borrow_mut().push(call.authority.clone());
        script(number, &call)
    });
    platform.store.borrow_mut().extend(boards.clone());
    let reply = run(gateway.handle(&platform, incoming));
    drop(platform);
    (reply, seen.into_inner())
}

#[test]
fn one_target_without_rules_is_asked_once() {
    let gateway = gateway(json!({ "targets": targets(1) }));
    for error in [FetchError::Unreachable, FetchError::Reset, FetchError::Timeout] {
        let (reply, tried) = tried(&gateway, get(""), |_, _| fails(error));
        assert!(reply.response.status >= 502);
        assert_eq!((tried.len(), reply.notes.len()), (1, 1));
    }
}

#[test]
fn what_reached_nobody_goes_on_to_every_other_target() {
    let gateway = gateway(json!({ "targets": targets(3) }));
    let body = || Body::Bytes(Bytes::from_static(b"x"));
    let (reply, mut seen) = tried(&gateway, request("POST", "", body()), |_, _| fails(FetchError::Unreachable));
    seen.sort();
    assert_eq!((reply.response.status, seen), (502, vec!["a".to_owned(), "b".into(), "c".into()]));
    // The log has every attempt.
    assert_eq!(reply.notes[0].detail.matches("Unreachable").count(), 3, "{}", reply.notes[0].detail);
    let (reply, tried) =
        tried(&gateway, get(""), |number, _| if number < 2 { fails(FetchError::Reset) } else { status(200) });
    assert_eq!((reply.response.status, tried.len()), (200, 3));
    assert_eq!(reply.notes[0].detail.matches("Reset").count(), 2, "{}", reply.notes[0].detail);
}

#[test]
fn what_may_have_been_acted_on_is_sent_again_only_where_that_does_no_harm() {
    let unsafe_too = json!({ "targets": targets(3), "retries": { "unsafe_methods": true } });
    let plain = json!({ "targets": targets(3), "retries": {} });
    for (upstream, method, block, attempts) in [
        (&plain, "GET", "", 3),
        (&plain, "PUT", "", 3),
        (&plain, "POST", "", 1),
        (&plain, "POST", "idempotency-key\0k\n", 3),
        (&unsafe_too, "POST", "", 3),
    ] {
        for error in [FetchError::Reset, FetchError::Timeout] {
            let body = Body::Bytes(Bytes::from_static(b"x"));
            let (_, tried) = tried(&gateway(upstream.clone()), request(method, block, body), |_, _| fails(error));
            assert_eq!(tried.len(), attempts, "{method} {block} {error:?}");
        }
    }
}

#[test]
fn a_body_is_kept_up_to_its_size_and_streamed_beyond() {
    let upstream = json!({ "targets": targets(2), "retries": { "attempts": 1, "body": 4 } });
    for (method, body, length, attempts) in [
        ("PUT", "1234", "content-length\x004\n", 2),
        ("PUT", "12345", "content-length\x005\n", 1),
        ("PUT", "1234", "", 1),
        // It reached nobody, so it may be sent again.
        ("POST", "1234", "content-length\x004\n", 2),
        ("POST", "12345", "content-length\x005\n", 1),
    ] {
        let incoming = request(method, length, Body::Stream(body.as_bytes().to_vec()));
        let mut sent = Vec::new();
        let (_, tried) = tried(&gateway(upstream.clone()), incoming, |_, call| {
            sent.push(match &call.body {
                Body::Bytes(bytes) => bytes.to_vec(),
                Body::Stream(bytes) | Body::Pumped(bytes, _) => bytes.clone(),
                Body::Empty | Body::Made(_) => Vec::new(),
            });
            fails(FetchError::Unreachable)
        });
        assert_eq!(tried.len(), attempts, "{body} {length}");
        assert!(sent.iter().all(|sent| sent == body.as_bytes()));
    }
}

#[test]
fn a_status_is_tried_elsewhere_and_what_nobody_reads_is_let_go() {
    let gateway = gateway(json!({ "targets": targets(2), "retries": { "statuses": [503], "pause": "1ms" } }));
    let calls = Cell::new(0);
    let platform = TestPlatform::new(|_| {
        calls.set(calls.get() + 1);
        if calls.get() == 1 { status_with(503, "retry-after\x002\n") } else { status(200) }
    });
    let before = platform.clock.get();
    let reply = run(gateway.handle(&platform, get("")));
    assert_eq!((reply.response.status, platform.discarded.get()), (200, 1));
    assert_eq!(platform.clock.get() - before, 2_000, "it was asked for two seconds of patience");
}

#[test]
fn all_attempts_share_the_time_and_the_clients_deadline_narrows_it() {
    let upstream = json!({
        "targets": targets(3), "timeouts": { "attempt": "1s", "total": "2500ms" }, "deadline_header": "x-timeout",
        "retries": { "pause": "1ms" },
    });
    for (block, expected) in [
        ("", vec![("2500", 1_000), ("1500", 1_000), ("500", 500)]),
        ("x-timeout\x001200ms\n", vec![("1200", 1_000), ("200", 200)]),
        ("x-timeout\x001h\n", vec![("2500", 1_000), ("1500", 1_000), ("500", 500)]),
        ("x-timeout\x000\n", vec![]),
    ] {
        let gateway = gateway(upstream.clone());
        let seen = RefCell::new(Vec::new());
        let clock = Rc::new(Cell::new(1_750_000_000_000));
        let slow = TestPlatform::with_clock(clock.clone(), |call: Call<Vec<u8>>| {
            let left = call.headers.text("x-timeout").unwrap_or_default().to_owned();
            seen.borrow_mut().push((left, call.timeout.as_millis()));
            clock.set(clock.get() + call.timeout.as_millis() as u64);
            fails(FetchError::Timeout)
        });
        let reply = run(gateway.handle(&slow, get(block)));
        assert_eq!(reply.response.status, 504);
        drop(slow);
        let rounded: Vec<_> =
            seen.into_inner().into_iter().map(|(left, timeout)| (left.parse::<u128>().unwrap_or(0), timeout)).collect();
        // Pauses of up to a few milliseconds lie between.
        assert_eq!(rounded.len(), expected.len(), "{rounded:?}");
        for ((left, timeout), (wanted, most)) in rounded.iter().zip(&expected) {
            let wanted: u128 = wanted.parse().expect("a number");
            assert!(*left <= wanted && *left + 10 >= wanted, "{rounded:?}");
            assert!(*timeout <= *most && *timeout + 10 >= *most, "{rounded:?}");
        }
    }
}

#[test]
fn a_target_that_fails_leaves_the_rotation_and_comes_back() {
    let gateway = gateway(json!({
        "targets": targets(3), "health": { "consecutive_failures": 3, "ejection": "10s" }, "slow_start": "10s",
    }));
    let ill = Cell::new(true);
    let asked = RefCell::new(BTreeMap::<String, usize>::new());
    let platform = TestPlatform::new(|call: Call<Vec<u8>>| {
        *asked.borrow_mut().entry(call.authority.clone()).or_default() += 1;
        if call.authority == "a" && ill.get() { fails(FetchError::Reset) } else { status(200) }
    });
    let send = |count: usize| {
        asked.borrow_mut().clear();
        for _ in 0..count {
            assert_eq!(run(gateway.handle(&platform, get(""))).response.status, 200, "no client sees it");
        }
        asked.borrow().get("a").copied().unwrap_or_default()
    };
    assert_eq!(send(300), 3);
    platform.clock.set(platform.clock.get() + 9_999);
    assert_eq!(send(300), 0);
    ill.set(false);
    platform.clock.set(platform.clock.get() + 1);
    let a_tenth = send(300);
    assert!((5..25).contains(&a_tenth), "{a_tenth}");
    platform.clock.set(platform.clock.get() + 10_000);
    // The last turn of its slow start may have been a long one.
    let whole = send(300);
    assert!((90..=100).contains(&whole), "{whole}");
}

#[test]
fn groups_stand_in_for_each_other_in_order_and_hand_back() {
    let gateway = gateway(json!({
        "targets": [
            { "url": "http://a" }, { "url": "http://b" }, { "url": "http://c", "priority": 1 }, { "url": "http://d", "priority": 2 },
        ],
        "health": { "consecutive_failures": 1, "ejection": "10s", "max_ejected": 100 },
    }));
    let down = RefCell::new(String::new());
    let last = RefCell::new(String::new());
    let platform = TestPlatform::new(|call: Call<Vec<u8>>| {
        *last.borrow_mut() = call.authority.clone();
        if down.borrow().contains(&call.authority) { fails(FetchError::Reset) } else { status(200) }
    });
    let used = |which: &str| {
        *down.borrow_mut() = which.to_owned();
        let mut used: Vec<String> = (0..20)
            .map(|_| {
                assert_eq!(run(gateway.handle(&platform, get(""))).response.status, 200);
                last.borrow().clone()
            })
            .skip(10)
            .collect();
        used.sort();
        used.dedup();
        used.concat()
    };
    assert_eq!(used(""), "ab");
    assert_eq!(used("a"), "b");
    assert_eq!(used("ab"), "c");
    assert_eq!(used("abc"), "d");
    platform.clock.set(platform.clock.get() + 100_000);
    assert_eq!(used(""), "ab");
}

#[test]
fn when_too_few_are_left_all_are_asked() {
    let gateway = gateway(json!({
        "targets": targets(4), "health": { "consecutive_failures": 1, "max_ejected": 100, "panic": 50 },
        "retries": { "attempts": 0 },
    }));
    let asked = RefCell::new(Vec::new());
    let ill = Cell::new(true);
    let platform = TestPlatform::new(|call: Call<Vec<u8>>| {
        asked.borrow_mut().push(call.authority.clone());
        if call.authority != "d" && ill.get() { status(503) } else { status(200) }
    });
    (0..100).for_each(|_| drop(run(gateway.handle(&platform, get("")))));
    ill.set(false);
    asked.borrow_mut().clear();
    (0..100).for_each(|_| drop(run(gateway.handle(&platform, get("")))));
    let asked: std::collections::BTreeSet<String> = asked.borrow().iter().cloned().collect();
    assert_eq!(asked.len(), 4, "one of four is fewer than half, and it does not have to bear it all");
}

#[test]
fn an_open_breaker_refuses_at_once_and_says_until_when() {
    let gateway = gateway(json!({
        "targets": targets(1),
        "breaker": { "consecutive_failures": 3, "open_for": "30s", "probes": 1 }, "proxy_status": true,
    }));
    let (ill, calls) = (Cell::new(true), Cell::new(0));
    let platform = TestPlatform::new(|_| {
        calls.set(calls.get() + 1);
        if ill.get() { status(502) } else { status(200) }
    });
    let send = || run(gateway.handle(&platform, get(""))).response;
    (0..3).for_each(|_| assert_eq!(send().status, 502));
    let refused = send();
    assert_eq!((refused.status, refused.headers.text("retry-after"), calls.get()), (503, Some("30"), 3));
    assert_eq!(refused.headers.text("proxy-status"), Some("postern; error=destination_unavailable"));
    platform.clock.set(platform.clock.get() + 29_500);
    assert_eq!(send().headers.text("retry-after"), Some("1"));
    platform.clock.set(platform.clock.get() + 500);
    ill.set(false);
    assert_eq!((send().status, send().status, calls.get()), (200, 200, 5));
}

#[test]
fn a_second_attempt_runs_beside_a_slow_first_one_and_the_faster_answer_wins() {
    let gateway = gateway(json!({ "targets": targets(2), "hedge": { "after": "50ms" }, "proxy_status": true }));
    for method in ["GET", "PUT"] {
        let calls = Rc::new(Cell::new(0));
        let finished = Cell::new(0);
        let platform = TestPlatform::new(|_| {
            finished.set(finished.get() + 1);
            status(200)
        });
        let count = calls.clone();
        *platform.delay.borrow_mut() = Some(Box::new(move |_| {
            count.set(count.get() + 1);
            if count.get() == 1 { 1_000 } else { 10 }
        }));
        let before = platform.clock.get();
        let reply = run(gateway.handle(&platform, request(method, "", Body::Empty)));
        assert_eq!(reply.response.status, 200);
        let took = platform.clock.get() - before;
        let expected = if method == "GET" { (2, 60) } else { (1, 1_000) };
        assert_eq!((calls.get(), took), expected, "{method}");
        assert_eq!(finished.get(), 1, "the other call has been ended");
    }
}

#[test]
fn a_second_attempt_is_made_when_most_answers_would_have_come() {
    let gateway = gateway(json!({ "targets": targets(2), "hedge": { "percentile": 90 } }));
    let calls = Rc::new(Cell::new(0_u64));
    let platform = TestPlatform::new(|_| status(200));
    let slow = Rc::new(Cell::new(false));
    let (count, is_slow) = (calls.clone(), slow.clone());
    *platform.delay.borrow_mut() = Some(Box::new(move |_| {
        count.set(count.get() + 1);
        if is_slow.replace(false) { 5_000 } else { 10 + count.get() % 10 * 10 }
    }));
    let took = |is_slow: bool| {
        slow.set(is_slow);
        let (before, made) = (platform.clock.get(), calls.get());
        assert_eq!(run(gateway.handle(&platform, get(""))).response.status, 200);
        (platform.clock.get() - before, calls.get() - made)
    };
    assert_eq!(took(true), (5_000, 1), "nothing is known yet");
    for _ in 0..60 {
        assert_eq!(took(false).1, 1, "fewer than fifty answers are too few, and then nine of ten come sooner");
    }
    // Nine of ten answers take 90 ms or less, in steps of an eighth.
    let (time, made) = took(true);
    assert_eq!(made, 2);
    assert!((90..=100 + 100).contains(&time), "{time}");
}

/// docs/upstreams.md: closed, open for so long, half-open with so many probes; closed again with the last good one, open with the
/// first that is not.
#[test]
fn the_breaker_changes_exactly_where_the_documentation_says() {
    let rules = json!({
        "failure_rate": 50, "minimum_requests": 10, "slow_rate": 80, "slow_after": "1s", "window": "20s", "open_for": "30s", "probes": 2,
    });
    let gateway = gateway(json!({ "targets": targets(1), "breaker": rules }));
    let (ill, slow) = (Cell::new(false), Rc::new(Cell::new(0)));
    let platform = TestPlatform::new(|_| if ill.get() { status(503) } else { status(200) });
    let time = slow.clone();
    *platform.delay.borrow_mut() = Some(Box::new(move |_| time.get()));
    // Whether it was let through, which costs no time where it was not.
    let sent = |is_ill: bool, takes: u64| {
        ill.set(is_ill);
        slow.set(takes);
        let reply = run(gateway.handle(&platform, get(""))).response;
        let refused = reply.status == 503 && reply.headers.contains("retry-after");
        assert_eq!(refused, reply.headers.text("content-type") == Some("application/problem+json"));
        !refused
    };
    let wait = |milliseconds: u64| platform.clock.set(platform.clock.get() + milliseconds);
    // Closed: five of nine are more than half, but fewer than ten.
    for number in 0..9 {
        assert!(sent(number % 2 == 0, 0), "{number}");
    }
    // The tenth makes it five of ten, and is a good one: a rate opens it whoever comes last.
    assert!(sent(false, 0));
    assert!(!sent(false, 0), "open");
    wait(29_999);
    assert!(!sent(false, 0), "a millisecond before its time");
    wait(1);
    // Half-open: the first probe is good, the second is not.
    assert!(sent(false, 0) && sent(true, 0));
    assert!(!sent(false, 0), "open again, for as long again");
    wait(29_999);
    assert!(!sent(false, 0));
    wait(1);
    assert!(sent(false, 0) && sent(false, 0), "both probes are good");
    // Closed, and nothing of what was counts: nine failures are fewer than ten.
    for _ in 0..9 {
        assert!(sent(true, 0));
    }
    // They leave the window with its end. Eight of ten slow ones open it, seven do not.
    wait(21_000);
    for number in 0..9 {
        assert!(sent(false, if number < 2 { 999 } else { 1_000 }), "{number}");
    }
    assert!(sent(false, 1_000));
    assert!(!sent(false, 0), "eight of ten are slow");
}

#[test]
fn a_fallback_has_what_is_left_of_the_clients_deadline() {
    let gateway = gateway_with(json!({
        "u": { "targets": targets(1), "timeouts": { "attempt": "600ms" }, "deadline_header": "x-timeout", "fallback": { "upstream": "v" } },
        "v": { "targets": [{ "url": "http://spare" }], "deadline_header": "x-timeout" },
    }));
    let seen = RefCell::new(Vec::new());
    let clock = Rc::new(Cell::new(1_750_000_000_000));
    let platform = TestPlatform::with_clock(clock.clone(), |call: Call<Vec<u8>>| {
        seen.borrow_mut().push((call.authority.clone(), call.timeout.as_millis()));
        clock.set(clock.get() + call.timeout.as_millis() as u64);
        fails(FetchError::Timeout)
    });
    run(gateway.handle(&platform, get("x-timeout\x001000\n")));
    assert_eq!(*seen.borrow(), [("a".to_owned(), 600), ("spare".to_owned(), 400)]);
}

#[test]
fn the_first_good_answer_wins_not_the_first() {
    let gateway = gateway(json!({ "targets": targets(2), "hedge": { "after": "50ms" } }));
    let answers = Cell::new(0);
    let platform = TestPlatform::new(|_| {
        answers.set(answers.get() + 1);
        if answers.get() == 1 { status(503) } else { status(200) }
    });
    // The second attempt fails after 60 ms, the first one answers after 100 ms.
    let calls = Cell::new(0);
    *platform.delay.borrow_mut() = Some(Box::new(move |_| {
        calls.set(calls.get() + 1);
        if calls.get() == 1 { 100 } else { 10 }
    }));
    let before = platform.clock.get();
    let reply = run(gateway.handle(&platform, get("")));
    let took = platform.clock.get() - before;
    assert_eq!((reply.response.status, took, platform.discarded.get()), (200, 100, 1));
    assert!(reply.notes[0].detail.contains("status 503 after 10 ms"), "{}", reply.notes[0].detail);
}

/// A client that grants a millisecond must not be able to take targets out.
#[test]
fn a_deadline_that_a_client_has_set_says_nothing_of_the_target() {
    let gateway = gateway(json!({
        "targets": targets(1), "deadline_header": "x-timeout", "breaker": { "consecutive_failures": 2 },
    }));
    for (block, last) in [("x-timeout\x001\n", 504), ("", 503)] {
        let mut statuses = Vec::new();
        for _ in 0..5 {
            let (reply, _) = tried(&gateway, get(block), |_, _| fails(FetchError::Timeout));
            statuses.push(reply.response.status);
        }
        assert_eq!(statuses.last(), Some(&last), "{block} {statuses:?}");
    }
}

/// Nor may one that sends a body as slowly as it likes.
#[test]
fn the_time_of_a_body_that_is_still_being_sent_says_nothing_of_the_target() {
    let gateway = gateway(json!({
        "targets": targets(2), "retries": { "attempts": 0 },
        "health": { "consecutive_failures": 2, "max_ejected": 50 }, "timeouts": { "attempt": "1s", "total": "1s" },
        "breaker": { "consecutive_failures": 5, "slow_rate": 10, "slow_after": "500ms", "minimum_requests": 5 },
    }));
    let upload = |took| {
        let platform = TestPlatform::new(|_| status(200));
        *platform.delay.borrow_mut() = Some(Box::new(move |_| took));
        run(gateway.handle(&platform, request("POST", "", Body::Stream(b"x".to_vec())))).response.status
    };
    let now = 1_750_000_000_000;
    assert_eq!((0..20).map(|_| upload(2_000)).collect::<Vec<_>>(), [504; 20]);
    assert_eq!((0..20).map(|_| upload(600)).collect::<Vec<_>>(), [200; 20]);
    assert_eq!(gateway.upstreams()[0].usable(now), 2);
    let read = || request("POST", "", Body::Bytes(Bytes::from_static(b"x")));
    let statuses: Vec<_> =
        (0..6).map(|_| tried(&gateway, read(), |_, _| fails(FetchError::Timeout)).0.response.status).collect();
    assert_eq!(statuses, [504, 504, 504, 504, 504, 503], "what was there from the beginning does");
}

/// Whatever its clients do, a half-open breaker finds out.
#[test]
fn probes_whose_end_says_nothing_make_room_for_others_at_once() {
    let gateway = gateway(json!({
        "targets": targets(1), "deadline_header": "x-timeout",
        "breaker": { "consecutive_failures": 1, "open_for": "30s", "probes": 1 },
    }));
    let platform = TestPlatform::new(|_| status(200));
    let late = platform.clock.get() + 30_000;
    for says_nothing in ["deadline", "gone"] {
        assert_eq!(tried(&gateway, get(""), |_, _| status(503)).0.response.status, 503);
        platform.clock.set(late);
        *platform.delay.borrow_mut() = Some(Box::new(|_| 100));
        for _ in 0..5 {
            if says_nothing == "deadline" {
                assert_eq!(run(gateway.handle(&platform, get("x-timeout\x001\n"))).response.status, 504);
            } else {
                let mut left = Box::pin(gateway.handle(&platform, get("")));
                let mut context = std::task::Context::from_waker(std::task::Waker::noop());
                assert!(left.as_mut().poll(&mut context).is_pending());
            }
        }
        *platform.delay.borrow_mut() = None;
        assert_eq!(run(gateway.handle(&platform, get(""))).response.status, 200, "{says_nothing}");
    }
}

#[test]
fn a_fallback_takes_the_place_of_a_failure() {
    let spare = json!({ "targets": [{ "url": "http://spare" }] });
    let upstreams = |fallback: Value| json!({ "u": { "targets": targets(1), "fallback": fallback }, "v": spare });
    let fixed = json!({ "respond": { "status": 203, "body": "later, {request.path}" }, "statuses": [500] });
    for (fallback, first, expected) in [
        (json!({ "upstream": "v" }), fails(FetchError::Timeout), 200),
        (json!({ "upstream": "v" }), status(500), 500),
        (json!({ "upstream": "v", "statuses": [500] }), status(500), 200),
        (fixed.clone(), fails(FetchError::Reset), 203),
        (fixed.clone(), status(500), 203),
        (fixed, fails(FetchError::ClientGone), 499),
    ] {
        let mut first = Some(first);
        let (reply, _) = tried(&gateway_with(upstreams(fallback.clone())), get(""), |number, call| {
            assert_eq!(call.authority, if number == 0 { "a" } else { "spare" });
            first.take().unwrap_or_else(|| status(200))
        });
        assert_eq!(reply.response.status, expected, "{fallback}");
        if let (203, Body::Bytes(body)) = (expected, &reply.response.body) {
            assert_eq!(body.as_ref(), b"later, /x");
        }
    }
    // A body that was streamed cannot be sent again, and what may have been done is not done once more.
    let gateway = gateway_with(upstreams(json!({ "upstream": "v", "statuses": [500] })));
    for (method, length, first, expected) in [
        ("POST", "", fails(FetchError::Unreachable), 502),
        ("POST", "content-length\x001\n", fails(FetchError::Unreachable), 200),
        ("POST", "content-length\x001\n", status(500), 200),
        ("POST", "content-length\x001\n", fails(FetchError::Reset), 502),
        ("POST", "content-length\x001\n", fails(FetchError::Timeout), 504),
        ("PUT", "content-length\x001\n", fails(FetchError::Timeout), 200),
        ("PUT", "", fails(FetchError::Timeout), 504),
    ] {
        let (incoming, mut first) = (request(method, length, Body::Stream(b"x".to_vec())), Some(first));
        let (reply, _) = tried(&gateway, incoming, |_, _| first.take().unwrap_or_else(|| status(200)));
        assert_eq!(reply.response.status, expected, "{method} {length}");
    }
}

#[test]
fn a_client_stays_with_its_target_as_long_as_that_is_there() {
    let gateway = gateway(json!({
        "targets": targets(4), "sticky": { "cookie": "at", "secret": "${secret:S}", "max_age": "1h" },
    }));
    let (first, target) = tried(&gateway, get(""), |_, _| status(200));
    let cookie = first.response.headers.text("set-cookie").expect("a cookie").to_owned();
    assert!(cookie.ends_with("; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax"), "{cookie}");
    let block = format!("cookie\0x=y; {}\n", cookie.split(';').next().unwrap_or_default());
    for _ in 0..20 {
        let (reply, again) = tried(&gateway, get(&block), |_, _| status(200));
        assert_eq!((again, reply.response.headers.contains("set-cookie")), (target.clone(), false));
    }
    // Its target is gone: another one, with another cookie.
    let (reply, elsewhere) =
        tried(&gateway, get(&block), |number, _| if number == 0 { fails(FetchError::Reset) } else { status(200) });
    assert_eq!(elsewhere[0], target[0]);
    assert!(reply.response.headers.text("set-cookie").is_some_and(|new| new != cookie));
    // What somebody else has written is no cookie of ours.
    let (reply, _) = tried(&gateway, get("cookie\0at=AAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAA\n"), |_, _| status(200));
    assert!(reply.response.headers.contains("set-cookie"));
}

#[test]
fn a_release_is_shown_to_whom_it_is_meant_for() {
    let gateway = gateway(json!({
        "targets": [{ "url": "http://old" }, { "url": "http://new", "name": "new" }],
        "canary": {
            "targets": "new", "percent": "20%", "by": { "header": "x-user" },
            "always": { "header": { "name": "x-canary" } }, "never": { "cookie": { "name": "old", "value": "1" } },
        },
    }));
    let side = |block: &str| tried(&gateway, get(block), |_, _| status(200)).1.concat();
    let mut new = 0;
    for user in 0..2_000 {
        let block = format!("x-user\0user-{user}\n");
        let first = side(&block);
        assert_eq!(side(&block), first, "a caller stays on its side");
        new += u32::from(first == "new");
    }
    assert!((350..450).contains(&new), "{new} of 2,000");
    assert_eq!(side("x-canary\0\n"), "new");
    assert_eq!(side("x-canary\0\ncookie\0old=1\n"), "old");
    // Where the release does not answer, the other side does.
    let (reply, order) =
        tried(
            &gateway,
            get("x-canary\0\n"),
            |number, _| if number == 0 { fails(FetchError::Reset) } else { status(200) },
        );
    assert_eq!((reply.response.status, order.join(" ").as_str()), (200, "new old"));
}

#[test]
fn who_is_near_is_asked_first() {
    let gateway = gateway(json!({ "targets": [
        { "url": "http://eu", "prefer_for": { "country": ["DE", "FR"] } },
        { "url": "http://us", "prefer_for": { "country": "US", "data_centre": "IAD" } },
    ] }));
    for (country, data_centre, expected) in [("DE", "IAD", "eu"), ("US", "FRA", "us"), ("JP", "IAD", "us")] {
        for _ in 0..10 {
            let mut incoming = get("");
            (incoming.peer.country, incoming.peer.data_centre) = (Some(country.into()), Some(data_centre.into()));
            let (_, asked) = tried(&gateway, incoming, |_, _| status(200));
            // Both are near to the first one, so either is right.
            assert!(
                asked[0] == expected || (country, data_centre) == ("DE", "IAD"),
                "{country} {data_centre} {asked:?}"
            );
        }
    }
}

#[test]
fn what_happened_is_told_where_that_is_wanted() {
    let upstream = |tells: bool| json!({ "targets": [{ "url": "http://a", "name": "alpha" }], "proxy_status": tells });
    let told = |tells: bool, outcome: Outcome| {
        let mut outcome = Some(outcome);
        let (reply, _) = tried(&gateway(upstream(tells)), get(""), |_, _| outcome.take().expect("one attempt"));
        reply.response.headers.text("proxy-status").map(str::to_owned)
    };
    assert_eq!(told(true, status(200)).as_deref(), Some("postern; next-hop=\"alpha\""));
    assert_eq!(
        told(true, fails(FetchError::Timeout)).as_deref(),
        Some("postern; error=http_response_timeout; next-hop=\"alpha\"")
    );
    assert_eq!(told(false, fails(FetchError::Timeout)), None);
}

/// Every target answers 503 for thirty seconds, and clients do not stop.
#[test]
fn a_storm_of_retries_stays_within_the_budget() {
    let gateway = gateway(json!({
        "targets": targets(3), "retries": { "attempts": 3, "pause": "5ms", "budget": { "percent": 20, "at_least": 5 } },
    }));
    let calls = Cell::new(0_u64);
    let platform = TestPlatform::new(|_| {
        calls.set(calls.get() + 1);
        status(503)
    });
    let (begun, mut requests) = (platform.clock.get(), 0_u64);
    while platform.clock.get() < begun + 30_000 {
        assert_eq!(run(gateway.handle(&platform, get(""))).response.status, 503);
        requests += 1;
        platform.clock.set(platform.clock.get() + 10);
    }
    let extra = calls.get() - requests;
    println!(
        "{requests} requests in 30 s, all answered 503: {extra} extra attempts ({:.1} %)",
        extra as f64 * 100.0 / requests as f64
    );
    assert!(extra <= requests / 5 + 5, "{extra} of {requests}");
    assert!(extra > requests / 20, "{extra} of {requests}: it is used");
}

/// Clients that go away by the hundred: nothing of what they began is dropped, and their leases end all the same.
#[test]
fn what_clients_leave_behind_does_not_count_for_ever() {
    let gateway = gateway(json!({
        "targets": targets(2), "balance": "least_requests", "timeouts": { "attempt": "10s", "total": "10s" },
    }));
    let asked = RefCell::new(BTreeMap::<String, usize>::new());
    let platform = TestPlatform::new(|call: Call<Vec<u8>>| {
        *asked.borrow_mut().entry(call.authority.clone()).or_default() += 1;
        status(200)
    });
    let first = Cell::new(0);
    *platform.delay.borrow_mut() = Some(Box::new(|call| if call.headers.contains("x-stuck") { 9_000 } else { 0 }));
    for _ in 0..300 {
        let mut stuck: Pin<Box<dyn Future<Output = Reply<Vec<u8>>>>> =
            Box::pin(gateway.handle(&platform, get("x-stuck\x001\n")));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(stuck.as_mut().poll(&mut context).is_pending());
        // As the platform does it: the code of the request simply never runs again.
        std::mem::forget(stuck);
        first.set(first.get() + 1);
    }
    let under_way = || gateway.upstreams()[0].under_way(platform.clock.get()).iter().sum::<u32>();
    assert_eq!(under_way(), 300);
    platform.clock.set(platform.clock.get() + 20_000);
    assert_eq!(under_way(), 0);
    (0..1_000).for_each(|_| drop(run(gateway.handle(&platform, get("")))));
    let asked = asked.borrow();
    assert!(asked.values().all(|count| (440..560).contains(count)), "{asked:?}");
}

/// Lines such as `GET /x  field: value  a=503 → 200  asked a b`: a request with fields, what targets do (200 otherwise), the
/// status that the client gets, and the first names of the targets that were asked. `CHECK` is a round of checks instead, and how many
/// targets it finds ill.
#[test]
fn the_examples_of_the_documentation_do_what_stands_beside_them() {
    let document = include_str!("../../docs/upstreams.md");
    let mut played = 0;
    for example in document.split("```yaml\n").skip(1) {
        let (configuration, rest) = example.split_once("```").expect("a block ends");
        let gateway = load("gateway.yaml", configuration.to_owned());
        let lines =
            rest.split_once("```text\n").and_then(|(_, rest)| rest.split_once("```")).expect("lines beside it").0;
        let mut boards = HashMap::new();
        for line in lines.lines() {
            let (asked, expected) = line.split_once('→').expect("an arrow");
            let mut parts = asked.split("  ").map(str::trim).filter(|part| !part.is_empty());
            let method = parts.next().and_then(|part| part.split(' ').next()).expect("a method, and a target");
            let (mut block, mut outcomes) = (String::new(), BTreeMap::new());
            for part in parts {
                match (part.split_once(": "), part.split_once('=')) {
                    (Some((name, value)), _) => block.push_str(&format!("{name}\0{value}\n")),
                    (None, Some((target, outcome))) => drop(outcomes.insert(target.to_owned(), outcome.to_owned())),
                    (None, None) => panic!("{line}: {part}"),
                }
            }
            let outcome = |call: &Call<Vec<u8>>| {
                let target = call.authority.split('.').next().unwrap_or_default();
                match outcomes.get(target).map_or("200", String::as_str) {
                    "reset" => fails(FetchError::Reset),
                    "unreachable" => fails(FetchError::Unreachable),
                    "slow" => fails(FetchError::Timeout),
                    code => status(code.parse().expect("a status")),
                }
            };
            if method == "CHECK" {
                let seen = RefCell::new(Vec::new());
                let platform = TestPlatform::new(|call: Call<Vec<u8>>| {
                    seen.borrow_mut().push(call.authority.split('.').next().unwrap_or_default().to_owned());
                    outcome(&call)
                });
                let (text, notes) = run(gateway.check(&platform, ""));
                for (key, board) in text.lines().skip(1).filter_map(|line| line.split_once(' ')) {
                    boards.insert(format!("health/{key}"), Bytes::from(board.to_owned()));
                }
                let ill = notes.iter().filter(|note| note.problem == "target-ill").count();
                drop(platform);
                assert_eq!(format!("{ill} ill asked {}", seen.take().join(" ")), expected.trim(), "{line}");
                played += 1;
                continue;
            }
            let incoming = request(method, &block, Body::Empty);
            let (reply, seen) = tried_knowing(&boards, &gateway, incoming, |_, call| outcome(call));
            let seen: Vec<_> = seen.iter().filter_map(|authority| authority.split('.').next()).collect();
            let found = format!("{} asked {}", reply.response.status, seen.join(" "));
            let expected: Vec<_> = expected.split_whitespace().collect();
            assert_eq!(found.trim_end(), expected.join(" "), "{line}");
            played += 1;
        }
    }
    assert!(played >= 15, "{played}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    /// Hundreds of clients at once, three targets with faults drawn by lot, in virtual time: as long as one target is well, a
    /// request that may be repeated is answered.
    #[test]
    fn whatever_two_of_three_targets_do_idempotent_requests_are_answered(seed: u64, balance in 0_usize..5) {
        let balance = [json!("round_robin"), json!("random"), json!("least_requests"), json!("latency"), json!({ "hash": { "on": "client_address" } })][balance].clone();
        let gateway = gateway(json!({
            "targets": targets(3), "balance": balance, "timeouts": { "attempt": "500ms", "total": "5s" },
            "retries": { "attempts": 2, "statuses": [500, 502, 503], "budget": { "percent": 200 } },
        }));
        let clock = Rc::new(Cell::new(1_750_000_000_000));
        let now = clock.clone();
        // Each of two targets changes its mood every second.
        let mood = move |call: &Call<Vec<u8>>| match call.authority.as_str() {
            "c" => 0,
            name => mix(seed ^ (now.get() / 1_000) ^ u64::from(name.as_bytes()[0]) << 32) % 4,
        };
        let moods = mood.clone();
        let platform = TestPlatform::with_clock(clock.clone(), move |call: Call<Vec<u8>>| match moods(&call) {
            0 => status(200),
            1 => fails(FetchError::Reset),
            2 => status(500),
            _ => fails(FetchError::Unreachable),
        });
        let slow = mix(seed).is_multiple_of(3);
        *platform.delay.borrow_mut() = Some(Box::new(move |call| if slow && mood(call) == 3 { 600 } else { 5 }));
        let mut clients: Vec<Pin<Box<dyn Future<Output = u16>>>> = (0..300_u64)
            .map(|client| {
                let (gateway, platform) = (&gateway, &platform);
                let client: Pin<Box<dyn Future<Output = u16>>> = Box::pin(async move {
                    use gateway_core::Platform;
                    platform.sleep(std::time::Duration::from_millis(client * 13)).await;
                    gateway.handle(platform, get("")).await.response.status
                });
                client
            })
            .collect();
        let statuses = run(std::future::poll_fn(move |context| {
            let mut statuses = Vec::new();
            let mut open = false;
            for client in &mut clients {
                match client.as_mut().poll(context) {
                    Poll::Ready(status) => {
                        statuses.push(status);
                        *client = Box::pin(std::future::ready(status));
                    }
                    Poll::Pending => open = true,
                }
            }
            if open { Poll::Pending } else { Poll::Ready(statuses) }
        }));
        prop_assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    }
}
