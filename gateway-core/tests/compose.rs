//! Answers from several calls: when each is made, how many at once, and when what of them reaches the client. In virtual time.

#![cfg(all(feature = "compile", feature = "testing"))]
#![allow(clippy::panic, reason = "a test may fail")]

use bytes::Bytes;
use gateway_core::Gateway;
use gateway_core::config::{self, Text};
use gateway_core::http::{Body, Headers, Incoming, Peer, Response, Scheme};
use gateway_core::platform::{Call, Failure, Platform};
use gateway_core::testing::{TestPlatform, run};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::path::Path;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

fn gateway(compose: &Value) -> Gateway {
    let configuration = json!({
        "upstreams": { "o": { "targets": [{ "url": "http://o" }] } },
        "routes": [{ "name": "all", "path": "/", "compose": compose, "allow": ["many-connections", "many-calls", "unused-step"] }],
    });
    let compiled = config::compile(Path::new("gateway.json"), &Text(configuration.to_string()));
    let artefact = compiled.artefact.unwrap_or_else(|| panic!("{:?}", compiled.problems));
    Gateway::load(Bytes::from(artefact), |_| None).expect("it can be loaded")
}

fn get() -> Incoming<Vec<u8>> {
    Incoming {
        method: "GET".into(),
        scheme: Scheme::Http,
        authority: "gateway.test".into(),
        target: "/".into(),
        headers: Headers::new(),
        body: Body::Empty,
        peer: Peer::default(),
    }
}

/// What happened, in milliseconds from the request on: when calls were begun, and what was sent when.
struct Course {
    status: u16,
    begun: Vec<(String, u64)>,
    sent: Vec<(String, u64)>,
    /// How many calls were under way at once.
    most: usize,
    took: u64,
    whole: bool,
}

/// Asks a gateway whose upstream takes a time for each path, and answers by a function.
fn course(
    gateway: &Gateway,
    delay: impl Fn(&str) -> u64 + 'static,
    answer: impl Fn(&str) -> (u16, String) + 'static,
) -> Course {
    let clock = Rc::new(Cell::new(1_750_000_000_000));
    let start = clock.get();
    let (begun, under_way, most) =
        (Rc::new(RefCell::new(Vec::new())), Rc::new(Cell::new(0_usize)), Rc::new(Cell::new(0)));
    let ended = Rc::clone(&under_way);
    let platform = TestPlatform::with_clock(Rc::clone(&clock), move |call: Call<Vec<u8>>| -> Result<_, Failure> {
        ended.set(ended.get() - 1);
        let (status, body) = answer(&call.target);
        let headers = Headers::from_block(b"content-type\0application/json\n".to_vec());
        Ok(Response { status, headers, body: Body::Stream(body.into_bytes()) })
    });
    let (log, now, count, peak) = (Rc::clone(&begun), Rc::clone(&clock), Rc::clone(&under_way), Rc::clone(&most));
    *platform.delay.borrow_mut() = Some(Box::new(move |call| {
        log.borrow_mut().push((call.target.clone(), now.get() - start));
        count.set(count.get() + 1);
        peak.set(peak.get().max(count.get()));
        delay(&call.target)
    }));
    let reply = run(gateway.handle(&platform, get()));
    let mut sent = Vec::new();
    let mut whole = true;
    let at = || platform.now() - start;
    match reply.response.body {
        Body::Bytes(bytes) => sent.push((String::from_utf8_lossy(&bytes).into_owned(), at())),
        Body::Made(flow) => {
            run(async {
                let mut settled = pin!(gateway.settle(&platform, reply.deferred));
                let mut read = pin!(async {
                    while let Some(piece) = flow.take().await {
                        sent.push((String::from_utf8_lossy(&piece).into_owned(), at()));
                    }
                });
                let mut done = (false, false);
                // What one of them has done, the other may wait for.
                poll_fn(|context| {
                    for _ in 0..3 {
                        done.0 = done.0 || settled.as_mut().poll(context).is_ready();
                        done.1 = done.1 || read.as_mut().poll(context).is_ready();
                    }
                    if done == (true, true) { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
            });
            whole = flow.is_whole();
        }
        Body::Empty | Body::Stream(_) | Body::Pumped(..) => {}
    }
    let took = platform.now() - start;
    drop(platform);
    let begun = begun.take();
    Course { status: reply.response.status, begun, sent, most: most.get(), took, whole }
}

fn four_steps() -> Value {
    json!({
        "user": { "upstream": "o", "path": "/user" },
        "orders": { "upstream": "o", "path": "/orders/{steps.user.body.id}" },
        "offers": { "upstream": "o", "path": "/offers" },
        "stock": { "upstream": "o", "path": "/stock" },
    })
}

fn one(_: &str) -> (u16, String) {
    (200, r#"{"id":1}"#.to_owned())
}

#[test]
fn four_steps_with_one_dependency_take_two_round_trips() {
    let course = course(&gateway(&json!({ "steps": four_steps() })), |_| 50, one);
    assert_eq!((course.status, course.took, course.most), (200, 100, 3));
    let begun: Vec<_> = course.begun.iter().map(|(target, at)| (target.as_str(), *at)).collect();
    assert_eq!(begun, [("/user", 0), ("/offers", 0), ("/stock", 0), ("/orders/1", 50)]);
}

#[test]
fn a_stream_begins_when_the_first_step_is_over_and_goes_on_in_the_order_of_finishing() {
    let delay = |target: &str| match target {
        "/user" => 50,
        "/offers" => 20,
        _ => 70,
    };
    let names = |course: &Course| -> Vec<(String, u64)> {
        let line = |(text, at): &(String, u64)| {
            let line: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            (line["name"].as_str().unwrap_or("end").to_owned(), *at)
        };
        course.sent.iter().map(line).collect()
    };
    let entry = |name: &str, at: u64| (name.to_owned(), at);
    let finished = course(&gateway(&json!({ "steps": four_steps(), "stream": "ndjson" })), delay, one);
    assert!(finished.whole);
    assert_eq!(
        names(&finished),
        [entry("offers", 20), entry("user", 50), entry("stock", 70), entry("orders", 120), entry("end", 120)]
    );
    let stream = json!({ "form": "ndjson", "order": "declared" });
    let declared = course(&gateway(&json!({ "steps": four_steps(), "stream": stream })), delay, one);
    assert_eq!(
        names(&declared),
        [entry("user", 50), entry("orders", 120), entry("offers", 120), entry("stock", 120), entry("end", 120)]
    );
}

#[test]
fn a_stream_that_fails_breaks_off_and_says_nothing_after() {
    let steps = json!({ "good": { "upstream": "o", "path": "/good" }, "bad": { "upstream": "o", "path": "/bad" } });
    let answer = |target: &str| if target == "/bad" { (500, String::new()) } else { one(target) };
    let delay = |target: &str| if target == "/bad" { 50 } else { 10 };
    let course = course(&gateway(&json!({ "steps": steps, "stream": "json" })), delay, answer);
    assert_eq!((course.status, course.whole, course.sent.len()), (200, false, 1));
}

#[test]
fn no_more_calls_than_said_are_under_way_at_once() {
    for (parallel, rounds) in [(1, 20), (3, 7), (6, 4), (20, 1), (50, 1)] {
        let compose = json!({
            "parallel": parallel,
            "steps": {
                "list": { "upstream": "o", "path": "/list", "hidden": true },
                "each": { "upstream": "o", "path": "/{each}", "for_each": { "in": "steps.list.body", "at_most": 20 } },
            },
        });
        let answer = |target: &str| match target {
            "/list" => (200, json!((0..20).collect::<Vec<_>>()).to_string()),
            target => (200, target.trim_start_matches('/').to_owned()),
        };
        let course = course(&gateway(&compose), |_| 10, answer);
        assert_eq!((course.most, course.took), (parallel.min(20), 10 + 10 * rounds), "{parallel}");
        let body: Value = serde_json::from_str(&course.sent[0].0).expect("JSON");
        assert_eq!(body["each"], json!((0..20).collect::<Vec<_>>()), "in the order of the list");
    }
}

#[test]
fn what_is_not_finished_in_time_has_failed_and_nothing_is_begun_after() {
    let steps = json!({
        "fast": { "upstream": "o", "path": "/fast" },
        "slow": { "upstream": "o", "path": "/slow", "on_error": "errors" },
        "late": { "upstream": "o", "path": "/late/{steps.fast.body.id}", "on_error": "errors" },
    });
    let delay = |target: &str| match target {
        "/fast" => 100,
        "/slow" => 1_000,
        _ => 150,
    };
    let course = course(&gateway(&json!({ "steps": steps, "timeout": "200ms" })), delay, one);
    let body: Value = serde_json::from_str(&course.sent[0].0).expect("JSON");
    let codes: Vec<&str> = body["errors"].as_array().into_iter().flatten().filter_map(|e| e["code"].as_str()).collect();
    assert_eq!((codes, course.took), (vec!["timeout", "timeout"], 200));
}

#[test]
fn who_waits_for_what_another_step_fetches_does_so_no_longer_than_for_its_own() {
    let cache = json!({ "name": "same", "ttl": { "default": "60s" } });
    let steps = json!({
        "fetches": { "upstream": "o", "path": "/same", "cache": cache },
        "waits": { "upstream": "o", "path": "/same", "cache": cache, "timeout": "100ms", "on_error": "errors" },
        "patient": { "upstream": "o", "path": "/same", "cache": cache },
    });
    let course = course(&gateway(&json!({ "steps": steps })), |_| 2_000, one);
    let expected = r#"{"fetches":{"id":1},"patient":{"id":1},"errors":[{"step":"waits","code":"timeout","detail":"It gave no answer in time."}]}"#;
    assert_eq!(course.sent[0].0, expected);
    assert_eq!(course.begun, [("/same".to_owned(), 0)]);
}

#[test]
fn nobody_waits_for_a_step_that_was_given_up_while_it_fetched() {
    let step = |more: Value| {
        let mut step = json!({ "upstream": "o", "path": "/same", "cache": { "name": "same", "ttl": { "default": "60s" } }, "on_error": "omit" });
        for (name, value) in more.as_object().into_iter().flatten() {
            step[name] = value.clone();
        }
        step
    };
    // The second waits for the first, and has half a second left when that has failed; the third begins when the second is over.
    let steps = json!({
        "first": step(json!({ "timeout": "3s" })),
        "second": step(json!({ "timeout": "3500ms" })),
        "third": step(json!({ "query": { "x": "{steps.second.body.x}" } })),
    });
    let course = course(&gateway(&json!({ "steps": steps })), |_| 4_000, one);
    let begun: Vec<u64> = course.begun.iter().map(|(_, at)| *at).collect();
    assert_eq!(begun.len(), 3, "{begun:?}");
    assert!((3_000..3_100).contains(&begun[1]) && begun[2] == 3_500, "{begun:?}");
}

#[test]
fn a_request_of_a_batch_whose_time_is_over_is_told_and_holds_nothing_any_more() {
    let configuration = json!({
        "upstreams": { "o": { "targets": [{ "url": "http://o" }] } },
        "telemetry": { "logs": {} },
        "routes": [
            { "name": "batch", "path": "/batch", "method": "POST", "batch": { "timeout": "1s" } },
            { "name": "one", "path": "/one", "upstream": "o", "policies": [{ "concurrency": { "limit": 1, "scope": "instance" } }] },
            { "name": "once", "path": "/once", "upstream": "o", "policies": [{ "idempotency": {} }], "allow": "keys-without-authenticate" },
            { "name": "made", "path": "/made", "compose": { "stream": "ndjson", "steps": { "one": { "upstream": "o", "path": "/" } } } },
        ],
    });
    let compiled = config::compile(Path::new("gateway.json"), &Text(configuration.to_string()));
    let artefact = compiled.artefact.unwrap_or_else(|| panic!("{:?}", compiled.problems));
    let gateway = Gateway::load(Bytes::from(artefact), |_| None).expect("it can be loaded");
    let items = json!([
        { "path": "/one" },
        { "method": "POST", "path": "/once", "headers": { "idempotency-key": "k" }, "body": {} },
        { "path": "/made" },
    ]);
    let platform = platform();
    let statuses = |answers: &[Value]| answers.iter().map(|answer| answer["status"].clone()).collect::<Vec<_>>();
    *platform.delay.borrow_mut() = Some(Box::new(|_| 5_000));
    let begun = platform.now();
    assert_eq!(statuses(&batch_on(&platform, &gateway, "", &items, Peer::default())), [504, 504, 502]);
    assert_eq!(platform.now() - begun, 1_000);
    let lines = platform.printed.borrow().join("\n");
    assert_eq!(lines.matches("\"postern.made_by\":\"batch\"").count(), 3, "{lines}");
    assert_eq!(lines.matches("\"http.response.status_code\":504").count(), 2, "{lines}");
    *platform.delay.borrow_mut() = None;
    assert_eq!(statuses(&batch_on(&platform, &gateway, "", &items, Peer::default())), [200, 200, 200]);
}

#[test]
fn a_call_that_failed_is_made_again_within_its_time_and_its_budget() {
    let compose = |more: Value| {
        let mut step = json!({ "upstream": "o", "path": "/one", "on_error": "errors", "retries": { "pause": "1ms", "longest_pause": "1ms" } });
        for (name, value) in more.as_object().into_iter().flatten() {
            step[name] = value.clone();
        }
        json!({ "steps": { "one": step } })
    };
    let ill = |_: &str| (503, "0".to_owned());
    let code = |course: &Course| {
        let body: Value = serde_json::from_str(&course.sent[0].0).expect("JSON");
        body["errors"][0]["code"].as_str().unwrap_or_default().to_owned()
    };

    let healed = Cell::new(false);
    let heals = move |_: &str| (if healed.replace(true) { 200 } else { 503 }, "1".to_owned());
    let one = course(&gateway(&compose(json!({}))), |_| 10, heals);
    assert_eq!((one.sent[0].0.as_str(), one.begun.len()), (r#"{"one":1}"#, 2));

    let never = course(&gateway(&compose(json!({}))), |_| 10, ill);
    assert_eq!((code(&never).as_str(), never.begun.len()), ("status", 3));

    // The last one had 48 milliseconds left, or 49.
    let slow = course(&gateway(&compose(json!({ "timeout": "450ms" }))), |_| 200, ill);
    assert_eq!((code(&slow).as_str(), slow.begun.len(), slow.took), ("timeout", 3, 450));

    let scarce = gateway(&compose(json!({ "retries": { "pause": "1ms", "budget": { "percent": 0, "at_least": 3 } } })));
    let begun: Vec<usize> = (0..3).map(|_| course(&scarce, |_| 10, ill).begun.len()).collect();
    assert_eq!(begun, [3, 2, 1], "three more within ten seconds");
}

#[test]
fn a_store_that_fails_makes_no_failure_of_what_an_upstream_has_answered() {
    let platform = TestPlatform::new(|_: Call<Vec<u8>>| -> Result<_, Failure> {
        let headers = Headers::from_block(b"content-type\0application/json\ncache-control\0max-age=60\n".to_vec());
        Ok(Response { status: 404, headers, body: Body::Stream(b"2".to_vec()) })
    });
    platform.shelf_fails.set(true);
    let step = json!({ "upstream": "o", "path": "/gone", "cache": {}, "success": [404] });
    let reply = run(gateway(&json!({ "steps": { "one": step } })).handle(&platform, get()));
    let Body::Bytes(body) = reply.response.body else { panic!("a body in memory") };
    assert_eq!(String::from_utf8_lossy(&body), r#"{"one":2}"#);
}

proptest! {
    /// Whatever the graph: every step is called once, none before what it needs is over, and the answer takes as long as the longest
    /// chain.
    #[test]
    fn a_step_begins_as_soon_as_all_that_it_needs_is_over(
        needs in proptest::collection::vec(proptest::collection::vec(0_usize..12, 0..4), 1..12),
        delays in proptest::collection::vec(1_u64..100, 12),
    ) {
        let count = needs.len();
        let needs: Vec<Vec<usize>> =
            needs.iter().enumerate().map(|(at, all)| all.iter().copied().filter(|n| *n < at).collect()).collect();
        let mut steps = Map::new();
        // Written in reverse: the order in the file says nothing.
        for at in (0..count).rev() {
            let query: Map<String, Value> =
                needs[at].iter().map(|n| (format!("q{n}"), json!(format!("{{steps.s{n}.body.id}}")))).collect();
            steps.insert(format!("s{at}"), json!({ "upstream": "o", "path": format!("/{at}"), "query": query }));
        }
        let mut over = vec![0_u64; count];
        let mut expected = vec![0_u64; count];
        for at in 0..count {
            expected[at] = needs[at].iter().map(|n| over[*n]).max().unwrap_or(0);
            over[at] = expected[at] + delays[at];
        }
        let number = |target: &str| target[1..].split('?').next().and_then(|text| text.parse::<usize>().ok()).unwrap_or(0);
        let times = delays.clone();
        let course = course(
            &gateway(&json!({ "parallel": 100, "steps": steps })),
            move |target| times[number(target)],
            one,
        );
        prop_assert_eq!(course.status, 200);
        prop_assert_eq!(course.begun.len(), count);
        for (target, at) in &course.begun {
            prop_assert_eq!(*at, expected[number(target)], "{}", target);
        }
        prop_assert_eq!(course.took, over.into_iter().max().unwrap_or(0));
    }
}

/// Each configuration of the page is followed by requests: `METHOD PATH BODY`, the calls that they make (`UPSTREAM TARGET → STATUS or
/// JSON`), and what the client gets (`→ STATUS BODY`), of which the beginning is enough.
#[test]
fn the_examples_of_the_page_are_true() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/composition.md"));
    let page = page.expect("the page");
    let mut shown = 0;
    for part in page.split("```yaml\n").skip(1) {
        let (configuration, rest) = part.split_once("```\n").expect("the end of a block");
        let compiled = config::compile(Path::new("gateway.yaml"), &Text(configuration.to_owned()));
        assert!(compiled.problems.is_empty(), "{configuration}{:?}", compiled.problems);
        let artefact = compiled.artefact.expect("no problem");
        let gateway = Gateway::load(Bytes::from(artefact), |_| None).expect("it can be loaded");
        let Some(text) = rest.trim_start().strip_prefix("```text\n") else {
            panic!("what does it do? {configuration}")
        };
        let text = text.split("```").next().unwrap_or_default();
        let mut lines = text.lines().peekable();
        while let Some(request) = lines.next() {
            shown += 1;
            let mut words = request.splitn(3, ' ');
            let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let mut calls = Vec::new();
            while let Some(call) = lines.next_if(|line| line.starts_with("  ")) {
                let (call, answer) = call.split_once('→').expect("an answer");
                let (upstream, target) = call.trim().split_once(' ').expect("an upstream and a target");
                let authority = if upstream == "users" { "127.0.0.1:9000" } else { "127.0.0.1:9001" };
                calls.push((authority.to_owned(), target.trim().to_owned(), answer.trim().to_owned()));
            }
            let expected = lines.next().and_then(|line| line.strip_prefix("→ ")).expect("what the client gets");
            let (status, expected) = expected.split_once(' ').expect("a status and a body");
            let made = RefCell::new(Vec::new());
            let platform = TestPlatform::new(|call: Call<Vec<u8>>| -> Result<_, Failure> {
                let known =
                    calls.iter().find(|(authority, target, _)| *authority == call.authority && *target == call.target);
                let Some((_, target, answer)) = known else { panic!("{request}: {} {}", call.authority, call.target) };
                made.borrow_mut().push(target.clone());
                let headers = Headers::from_block(b"content-type\0application/json\n".to_vec());
                Ok(match answer.parse() {
                    Ok(status) => Response { status, headers, body: Body::Empty },
                    Err(_) => Response { status: 200, headers, body: Body::Stream(answer.clone().into_bytes()) },
                })
            });
            let body = words.next().unwrap_or_default();
            let mut incoming = get();
            (incoming.method, incoming.target) = (method.to_owned(), path.to_owned());
            if !body.is_empty() {
                incoming.headers.receive("content-type", b"application/json");
                incoming.body = Body::Stream(body.as_bytes().to_vec());
            }
            let reply = run(gateway.handle(&platform, incoming));
            drop(platform);
            assert_eq!(reply.response.status.to_string(), status, "{request}");
            let Body::Bytes(body) = reply.response.body else { panic!("{request}: no body in memory") };
            let body = String::from_utf8_lossy(&body).into_owned();
            assert!(body.starts_with(expected), "{request}\n{body}\n{expected}");
            assert_eq!(made.into_inner().len(), calls.len(), "{request}: every call that the page names");
        }
    }
    assert!(shown >= 5, "{shown}");
}

fn batch(gateway: &Gateway, block: &str, items: &Value, peer: Peer) -> Vec<Value> {
    batch_on(&platform(), gateway, block, items, peer)
}

/// Whose upstream answers with a number, at once.
fn platform() -> TestPlatform<'static> {
    TestPlatform::new(|_: Call<Vec<u8>>| -> Result<Response<Vec<u8>>, Failure> {
        let headers = Headers::from_block(b"content-type\0application/json\n".to_vec());
        Ok(Response { status: 200, headers, body: Body::Stream(b"1".to_vec()) })
    })
}

fn batch_on(platform: &TestPlatform<'_>, gateway: &Gateway, block: &str, items: &Value, peer: Peer) -> Vec<Value> {
    let mut headers = Headers::from_block(block.as_bytes().to_vec());
    headers.receive("content-type", b"application/json");
    let body = Body::Stream(items.to_string().into_bytes());
    let incoming = Incoming { method: "POST".into(), target: "/batch".into(), headers, body, peer, ..get() };
    let reply = run(gateway.handle(platform, incoming));
    assert_eq!(reply.response.status, 200);
    run(gateway.settle(platform, reply.deferred));
    let Body::Bytes(body) = reply.response.body else { panic!("it is in memory") };
    serde_json::from_slice(&body).expect("a list")
}

#[test]
fn each_request_of_a_batch_meets_the_policies_of_its_route_as_the_client_that_sends_it() {
    let configuration = json!({
        "client": { "trusted_proxies": "10.0.0.0/8" },
        "routes": [
            { "name": "batch", "path": "/batch", "method": "POST", "batch": {} },
            { "name": "who", "path": "/who", "respond": { "body": "{client.address} {request.headers.x-forwarded-for}" } },
            { "name": "once", "path": "/once", "respond": {}, "policies": [{ "rate_limit": { "limits": ["1 per hour"] } }] },
            { "name": "form", "path": "/form", "method": "POST", "respond": {}, "policies": [{ "csrf": {} }] },
        ],
        "allow": ["limit-not-atomic"],
    });
    let compiled = config::compile(Path::new("gateway.json"), &Text(configuration.to_string()));
    let artefact = compiled.artefact.unwrap_or_else(|| panic!("{:?}", compiled.problems));
    let gateway = Gateway::load(Bytes::from(artefact), |_| None).expect("it can be loaded");
    let from = |address: &str| Peer { address: Some(address.parse().expect("an address")), ..Peer::default() };
    let statuses = |answers: &[Value]| answers.iter().map(|answer| answer["status"].clone()).collect::<Vec<_>>();

    let who = json!([{ "path": "/who" }]);
    let through_proxy = batch(&gateway, "x-forwarded-for\x00192.0.2.7\n", &who, from("10.1.1.1"));
    assert_eq!(through_proxy[0]["body"], "192.0.2.7 192.0.2.7");
    let not_trusted = batch(&gateway, "x-forwarded-for\x00192.0.2.7\n", &who, from("192.0.2.9"));
    assert_eq!(not_trusted[0]["body"], "192.0.2.9 ");

    let once = json!([{ "path": "/once" }, { "path": "/once" }]);
    assert_eq!(statuses(&batch(&gateway, "", &once, from("192.0.2.9"))), [200, 429], "each counts");

    // A page of another origin sends the batch; no request in it can say otherwise.
    let form = json!([
        { "path": "/form", "method": "POST" },
        { "path": "/form", "method": "POST", "headers": { "origin": "http://gateway.test" } },
        { "path": "/form", "method": "POST", "headers": { "sec-fetch-site": "same-origin" } },
    ]);
    let foreign = "origin\0https://evil.example\nsec-fetch-site\0cross-site\n";
    assert_eq!(statuses(&batch(&gateway, foreign, &form, from("192.0.2.9"))), [403, 400, 400]);
    let own = "origin\0http://gateway.test\nsec-fetch-site\0same-origin\n";
    assert_eq!(statuses(&batch(&gateway, own, &form, from("192.0.2.9")))[0], 200);
}
