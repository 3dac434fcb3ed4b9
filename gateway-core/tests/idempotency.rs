//! What is done once, in virtual time: by many at once, when the upstream fails, when the gateway dies, when nobody keeps claims.

#![cfg(all(feature = "compile", feature = "testing"))]
#![allow(clippy::panic, reason = "a test may fail")]

use bytes::Bytes;
use gateway_core::Gateway;
use gateway_core::claim::Kept;
use gateway_core::config::{self, Text};
use gateway_core::gateway::Reply;
use gateway_core::http::{Body, Headers, Incoming, Peer, Response, Scheme};
use gateway_core::platform::{Call, Failure, FetchError, Timestamp};
use gateway_core::testing::{TestPlatform, run};
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::path::Path;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

fn gateway(policy: Value) -> Gateway {
    let configuration = json!({
        "upstreams": { "u": { "targets": [{ "url": "http://a" }], "timeouts": { "attempt": "10s", "total": "10s" } } },
        "routes": [{ "name": "all", "upstream": "u", "policies": [{ "idempotency": policy }] }],
        "allow": ["keys-without-authenticate"],
    });
    let compiled = config::compile(Path::new("gateway.json"), &Text(configuration.to_string()));
    let artefact = compiled.artefact.unwrap_or_else(|| panic!("{:?}", compiled.problems));
    Gateway::load(Bytes::from(artefact), |_| None).expect("it can be loaded")
}

type Outcome = Result<Response<Vec<u8>>, Failure>;
type Upstream<'a> = Box<dyn FnMut(Call<Vec<u8>>) -> Outcome + 'a>;

/// What outlives a request.
#[derive(Default)]
struct World {
    clock: Rc<Cell<Timestamp>>,
    claims: Rc<RefCell<HashMap<String, Kept>>>,
    calls: Cell<u64>,
    requests: Cell<u64>,
}

impl World {
    fn new() -> Self {
        Self { clock: Rc::new(Cell::new(1_750_000_000_000)), ..Self::default() }
    }

    fn platform<'a>(&'a self, mut upstream: impl FnMut(u64) -> Outcome + 'a) -> TestPlatform<'a> {
        let answer: Upstream<'a> = Box::new(move |_| {
            self.calls.set(self.calls.get() + 1);
            upstream(self.calls.get())
        });
        self.requests.set(self.requests.get() + 1);
        let mut platform =
            TestPlatform::with_clock(self.clock.clone(), answer).with_seed(self.requests.get() * 1_000_003);
        platform.claims = self.claims.clone();
        platform
    }

    /// Sends a request with this key and body.
    fn send(&self, gateway: &Gateway, key: &str, body: &str, upstream: impl FnMut(u64) -> Outcome) -> Reply<Vec<u8>> {
        run(gateway.handle(&self.platform(upstream), post(key, body)))
    }

    fn later(&self, milliseconds: u64) {
        self.clock.set(self.clock.get() + milliseconds);
    }
}

fn post(key: &str, body: &str) -> Incoming<Vec<u8>> {
    let mut headers = Headers::new();
    headers.receive("content-length", body.len().to_string().as_bytes());
    if !key.is_empty() {
        headers.receive("idempotency-key", key.as_bytes());
    }
    Incoming {
        method: "POST".into(),
        scheme: Scheme::Http,
        authority: "gateway.test".into(),
        target: "/x".into(),
        headers,
        body: Body::Stream(body.as_bytes().to_vec()),
        peer: Peer::default(),
    }
}

fn answer(status: u16, block: &str, body: &[u8]) -> Outcome {
    Ok(Response { status, headers: Headers::from_block(block.as_bytes().to_vec()), body: Body::Stream(body.to_vec()) })
}

fn fails(error: FetchError) -> Outcome {
    Err(Failure { error, detail: "told by the platform".to_owned() })
}

fn body(reply: &Reply<Vec<u8>>) -> Vec<u8> {
    match &reply.response.body {
        Body::Empty | Body::Made(_) => Vec::new(),
        Body::Bytes(bytes) => bytes.to_vec(),
        Body::Stream(bytes) | Body::Pumped(bytes, _) => bytes.clone(),
    }
}

fn problem(reply: &Reply<Vec<u8>>) -> String {
    let problem: Value = serde_json::from_slice(&body(reply)).expect("problem details");
    problem["type"].as_str().unwrap_or_default().trim_start_matches("urn:postern:problem:").to_owned()
}

/// Runs them all at once.
fn together<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    run(poll_fn(move |context| {
        for (future, output) in futures.iter_mut().filter(|(_, output)| output.is_none()) {
            if let Poll::Ready(value) = future.as_mut().poll(context) {
                *output = Some(value);
            }
        }
        if futures.iter().any(|(_, output)| output.is_none()) {
            return Poll::Pending;
        }
        Poll::Ready(futures.iter_mut().filter_map(|(_, output)| output.take()).collect())
    }))
}

#[test]
fn two_hundred_at_once_reach_the_upstream_once() {
    let (gateway, world) = (gateway(json!({})), World::new());
    let platforms: Vec<_> = (0..200)
        .map(|_| {
            let platform = world.platform(|_| answer(201, "location\0/x/1\n", b"made"));
            platform.delay.replace(Some(Box::new(|_| 3_000)));
            platform
        })
        .collect();
    let replies = together(platforms.iter().map(|platform| gateway.handle(platform, post("\"k\"", "{}"))).collect());
    assert_eq!(world.calls.get(), 1);
    let replayed = |reply: &&Reply<Vec<u8>>| reply.response.headers.text("idempotent-replayed") == Some("true");
    assert_eq!(replies.iter().filter(replayed).count(), 199);
    for reply in &replies {
        assert_eq!((reply.response.status, body(reply)), (201, b"made".to_vec()));
        assert_eq!(reply.response.headers.text("location"), Some("/x/1"));
    }
}

#[test]
fn who_does_not_wait_is_told_to_ask_again() {
    for (policy, waited) in [(json!({ "concurrent": "refuse" }), 0), (json!({ "concurrent": { "wait": "2s" } }), 2_000)]
    {
        let (gateway, world) = (gateway(policy), World::new());
        let began = world.clock.get();
        let slow = world.platform(|_| answer(200, "", b""));
        slow.delay.replace(Some(Box::new(|_| 9_000)));
        let second = world.platform(|_| panic!("it is under way"));
        let ended = Cell::new(0);
        let replies = together(
            [&slow, &second]
                .map(|platform| async {
                    let reply = gateway.handle(platform, post("k", "{}")).await;
                    if reply.response.status == 409 {
                        ended.set(world.clock.get() - began);
                    }
                    reply
                })
                .into(),
        );
        assert_eq!((replies[0].response.status, problem(&replies[1]).as_str()), (200, "request-under-way"));
        assert_eq!(replies[1].response.headers.text("retry-after"), Some("5"));
        assert_eq!(ended.get(), waited);
    }
}

#[test]
fn the_same_key_for_something_else_is_refused() {
    let (gateway, world) = (gateway(json!({})), World::new());
    world.send(&gateway, "k", "a", |_| answer(200, "", b""));
    assert_eq!(problem(&world.send(&gateway, "k", "b", |_| panic!("it is refused"))), "idempotency-key-reused");
    assert_eq!(world.send(&gateway, "l", "b", |_| answer(200, "", b"")).response.status, 200, "another key");
    let target = run(gateway
        .handle(&world.platform(|_| panic!("it is refused")), Incoming { target: "/y".into(), ..post("k", "a") }));
    assert_eq!(problem(&target), "idempotency-key-reused");
    // Without a key everything goes on, as often as it comes.
    for _ in 0..2 {
        assert_eq!(world.send(&gateway, "", "a", |_| answer(202, "", b"")).response.status, 202);
    }
}

#[test]
fn what_says_that_it_was_not_done_is_done_again() {
    for (status, again) in
        [(200, false), (400, false), (404, false), (500, false), (429, true), (502, true), (503, true)]
    {
        let (gateway, world) = (gateway(json!({})), World::new());
        let first = world.send(&gateway, "k", "", |_| answer(status, "", b"x"));
        assert_eq!(first.response.status, status);
        let second = world.send(&gateway, "k", "", |_| answer(201, "", b"y"));
        assert_eq!(second.response.status, if again { 201 } else { status });
        assert_eq!(world.calls.get(), if again { 2 } else { 1 }, "{status}");
    }
    let (gateway, world) = (gateway(json!({ "repeat_statuses": 429 })), World::new());
    world.send(&gateway, "k", "", |_| answer(503, "", b"x"));
    assert_eq!(world.send(&gateway, "k", "", |_| answer(201, "", b"y")).response.status, 503);
}

#[test]
fn what_reached_nobody_is_done_again_and_what_nobody_knows_as_declared() {
    for (error, refused) in [(FetchError::Unreachable, false), (FetchError::Reset, true), (FetchError::Timeout, true)] {
        for policy in ["repeat", "refuse"] {
            let (gateway, world) = (gateway(json!({ "when_unknown": policy })), World::new());
            let first = world.send(&gateway, "k", "", |_| fails(error));
            assert!(first.response.status >= 502);
            let second = world.send(&gateway, "k", "", |_| answer(201, "", b"y"));
            if refused && policy == "refuse" {
                assert_eq!((second.response.status, problem(&second).as_str()), (409, "outcome-unknown"), "{error:?}");
            } else {
                assert_eq!((second.response.status, world.calls.get()), (201, 2), "{error:?} {policy}");
            }
        }
    }
}

#[test]
fn a_gateway_that_dies_blocks_nobody_for_longer_than_the_lease() {
    for (policy, then) in [("repeat", 201), ("refuse", 409)] {
        let (gateway, world) =
            (gateway(json!({ "when_unknown": policy, "lease": "20s", "concurrent": "refuse" })), World::new());
        let platform = world.platform(|_| answer(200, "", b""));
        platform.delay.replace(Some(Box::new(|_| 5_000)));
        let mut dying = Box::pin(gateway.handle(&platform, post("k", "")));
        assert!(dying.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(dying);
        world.later(19_999);
        assert_eq!(problem(&world.send(&gateway, "k", "", |_| answer(201, "", b""))), "request-under-way");
        world.later(1);
        assert_eq!(world.send(&gateway, "k", "", |_| answer(201, "", b"")).response.status, then, "{policy}");
    }
}

#[test]
fn an_answer_is_forgotten_when_its_time_is_over() {
    let (gateway, world) = (gateway(json!({ "ttl": "1m" })), World::new());
    world.send(&gateway, "k", "", |_| answer(200, "", b"first"));
    world.later(59_999);
    assert_eq!(body(&world.send(&gateway, "k", "", |_| answer(200, "", b"second"))), b"first");
    world.later(1);
    assert_eq!(body(&world.send(&gateway, "k", "", |_| answer(200, "", b"second"))), b"second");
}

#[test]
fn what_is_too_long_is_handed_on_and_not_kept() {
    let long = vec![b'x'; 11];
    for (block, text) in
        [("", &long[..]), ("content-type\0text/event-stream\n", b"data: 1"), ("content-length\x0011\n", &long)]
    {
        let (gateway, world) = (gateway(json!({ "answer": 10 })), World::new());
        let first = world.send(&gateway, "k", "", |_| answer(200, block, text));
        assert_eq!((first.response.status, body(&first)), (200, text.to_vec()));
        assert!(matches!(first.response.body, Body::Stream(_)), "it streams");
        let second = world.send(&gateway, "k", "", |_| panic!("it was done"));
        assert_eq!(problem(&second), "answer-not-kept");
    }
    let (gateway, world) = (gateway(json!({ "answer": 10 })), World::new());
    world.send(&gateway, "k", "", |_| answer(200, "", b"0123456789"));
    assert_eq!(body(&world.send(&gateway, "k", "", |_| panic!("it was done"))), b"0123456789");
}

#[test]
fn an_answer_comes_back_byte_for_byte_without_what_was_for_one_browser() {
    let block =
        "x-a\0\u{e9}\nx-b\0one\nx-b\0two\nset-cookie\0secret=1\ndate\0today\ncontent-type\0application/octet-stream\n";
    let (plain, world) = (gateway(json!({})), World::new());
    world.send(&plain, "k", "", |_| answer(200, block, b"\0\xff\r\n"));
    let again = world.send(&plain, "k", "", |_| panic!("it was done"));
    assert_eq!(body(&again), b"\0\xff\r\n");
    let fields: Vec<_> = again.response.headers.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
    let field = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
    assert_eq!(
        fields,
        [
            field("x-a", "\u{e9}"),
            field("x-b", "one"),
            field("x-b", "two"),
            field("content-type", "application/octet-stream"),
            field("idempotent-replayed", "true"),
        ]
    );
    let (chosen, world) = (gateway(json!({ "headers": ["x-b", "Set-Cookie"] })), World::new());
    world.send(&chosen, "k", "", |_| answer(200, block, b""));
    let again = world.send(&chosen, "k", "", |_| panic!("it was done"));
    let names: Vec<_> = again.response.headers.iter().map(|(name, _)| name.to_owned()).collect();
    assert_eq!(names, ["x-b", "x-b", "set-cookie", "idempotent-replayed"]);
}

#[test]
fn while_nobody_keeps_claims_requests_pass_or_are_refused_as_declared() {
    for (policy, status) in [("closed", 503), ("open", 200)] {
        let (gateway, world) = (gateway(json!({ "on_failure": policy })), World::new());
        let platform = world.platform(|_| answer(200, "", b""));
        platform.claiming_fails.set(true);
        let reply = run(gateway.handle(&platform, post("k", "")));
        assert_eq!(reply.response.status, status);
        assert_eq!(reply.notes.len(), 1);
        assert_eq!(reply.notes[0].problem, "idempotency-uncertain");
        assert!(reply.notes[0].detail.contains("nobody keeps claims"), "{:?}", reply.notes);
    }
}

#[test]
fn a_claim_of_which_nobody_hears_holds_no_key() {
    let (gateway, world) = (gateway(json!({ "when_unknown": "refuse" })), World::new());
    let platform = world.platform(|_| answer(200, "", b"done"));
    platform.claiming_is_lost.set(true);
    assert_eq!(run(gateway.handle(&platform, post("k", ""))).response.status, 503);
    platform.claiming_is_lost.set(false);
    assert_eq!(run(gateway.handle(&platform, post("k", ""))).response.status, 200);
}

#[test]
fn an_answer_that_cannot_be_kept_reaches_the_client_and_the_log() {
    let (gateway, world) = (gateway(json!({})), World::new());
    let fails = Rc::new(Cell::new(false));
    let switch = fails.clone();
    let platform = world.platform(move |_| {
        switch.set(true);
        answer(200, "", b"done")
    });
    // The keeper goes away while the upstream works.
    platform.delay.replace(Some(Box::new(|_| 1_000)));
    let reply = run(poll_fn({
        let mut handled = Box::pin(gateway.handle(&platform, post("k", "")));
        let platform = &platform;
        move |context| {
            platform.claiming_fails.set(true);
            if platform.claims.borrow().is_empty() {
                platform.claiming_fails.set(false);
            }
            handled.as_mut().poll(context)
        }
    }));
    assert!(fails.get());
    assert_eq!((reply.response.status, body(&reply)), (200, b"done".to_vec()));
    assert_eq!(reply.notes[0].problem, "idempotency-uncertain");
}

#[test]
fn a_request_that_is_refused_before_the_upstream_leaves_the_key_free() {
    let (gateway, world) = (gateway(json!({ "body": 4 })), World::new());
    assert_eq!(world.send(&gateway, "k", "12345", |_| panic!("too long")).response.status, 413);
    assert!(world.claims.borrow().is_empty());
    assert_eq!(problem(&world.send(&gateway, "a, b", "", |_| panic!("no key"))), "idempotency-key-malformed");
    assert_eq!(world.send(&gateway, "k", "1234", |_| answer(200, "", b"")).response.status, 200);
}
