//! Checks of targets in virtual time: who asks whom, how often, what a good answer is, and what instances make of it.

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
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

fn gateway(upstream: Value) -> Gateway {
    let configuration = json!({
        "upstreams": { "u": upstream, "other": { "targets": [{ "url": "http://other" }] } },
        "routes": [{ "name": "all", "upstream": "u" }, { "name": "fixed", "path": "/fixed", "respond": {} }],
        "allow": ["one-target", "unused-upstream", "check-unavailable"],
    });
    let compiled = config::compile(Path::new("gateway.json"), &Text(configuration.to_string()));
    let artefact = compiled.artefact.unwrap_or_else(|| panic!("{:?}", compiled.problems));
    Gateway::load(Bytes::from(artefact), |_| Some("a value of the platform".to_owned())).expect("it can be loaded")
}

/// Three targets that are asked for `/health` every ten seconds.
fn three(check: Value) -> Value {
    json!({ "targets": [{ "url": "http://a/base" }, { "url": "http://b" }, { "url": "http://c" }], "health": { "check": check } })
}

fn health() -> Value {
    json!({ "http": { "path": "/health" }, "unhealthy_after": 2, "healthy_after": 2 })
}

fn get(target: &str) -> Incoming<Vec<u8>> {
    Incoming {
        method: "GET".into(),
        scheme: Scheme::Http,
        authority: "gateway.test".into(),
        target: target.into(),
        headers: Headers::new(),
        body: Body::Empty,
        peer: Peer::default(),
    }
}

type Outcome = Result<Response<Vec<u8>>, Failure>;

fn answer(status: u16, body: &[u8]) -> Outcome {
    Ok(Response { status, headers: Headers::new(), body: Body::Stream(body.to_vec()) })
}

fn fails(error: FetchError) -> Outcome {
    Err(Failure { error, detail: "told by the platform".to_owned() })
}

/// Targets that say of themselves how they are, and answer everything else with 200.
#[derive(Default)]
struct World {
    ill: RefCell<String>,
    checks: RefCell<BTreeMap<String, usize>>,
    requests: RefCell<BTreeMap<String, usize>>,
}

impl World {
    fn serve(&self, call: &Call<Vec<u8>>) -> Outcome {
        let is_check = call.target == "/health";
        let seen = if is_check { &self.checks } else { &self.requests };
        *seen.borrow_mut().entry(call.authority.clone()).or_default() += 1;
        answer(if is_check && self.ill.borrow().contains(&call.authority) { 503 } else { 200 }, b"ok")
    }

    /// How often targets were asked how they are since the last time.
    fn checked(&self) -> usize {
        self.checks.take().values().sum()
    }

    /// Who has had requests since the last time.
    fn asked(&self) -> String {
        self.requests.take().into_keys().collect()
    }
}

fn platform(world: &Rc<World>) -> TestPlatform<'static> {
    let world = world.clone();
    TestPlatform::new(move |call: Call<Vec<u8>>| world.serve(&call))
}

/// One request, and what is done after it. Gives the codes that the log hears.
fn visit(gateway: &Gateway, platform: &TestPlatform<'_>, target: &str) -> Vec<String> {
    let Reply { response, notes, deferred, .. } = run(gateway.handle(platform, get(target)));
    assert_eq!(response.status, 200);
    let settled = run(gateway.settle(platform, deferred));
    notes.into_iter().chain(settled).map(|note| format!("{}: {}", note.problem, note.detail)).collect()
}

fn later(platform: &TestPlatform<'_>, milliseconds: u64) {
    platform.clock.set(platform.clock.get() + milliseconds);
}

#[test]
fn a_target_that_turns_ill_is_left_by_instances_that_never_saw_it_fail() {
    let world = Rc::new(World::default());
    let platform = platform(&world);
    let [first, second] = [(); 2].map(|()| gateway(three(health())));
    for _ in 0..10 {
        visit(&first, &platform, "/x");
        visit(&second, &platform, "/x");
    }
    assert_eq!((world.asked().as_str(), world.checked()), ("abc", 3), "one of them has checked, once");
    *world.ill.borrow_mut() = "b".into();
    let mut told = Vec::new();
    for _ in 0..3 {
        later(&platform, 12_000);
        told.extend(visit(&first, &platform, "/x"));
    }
    assert_eq!(told, ["target-ill: upstream `u`: checks find b ill: status 503"]);
    // The second one has slept: it looks before it sends anything. A third one is new.
    let third = gateway(three(health()));
    world.asked();
    for _ in 0..20 {
        visit(&second, &platform, "/x");
        visit(&third, &platform, "/x");
    }
    assert_eq!(world.asked(), "ac");
    world.ill.borrow_mut().clear();
    told.clear();
    for _ in 0..3 {
        later(&platform, 12_000);
        told.extend(visit(&third, &platform, "/x"));
    }
    assert_eq!(told, ["target-well: upstream `u`: checks find b well again"]);
    (0..20).for_each(|_| drop(visit(&second, &platform, "/x")));
    assert_eq!(world.asked(), "abc");
}

#[test]
fn any_request_keeps_checks_going_and_hundreds_of_instances_make_no_more_of_them() {
    let world = Rc::new(World::default());
    let platform = platform(&world);
    let instances: Vec<Gateway> = (0..200).map(|_| gateway(three(health()))).collect();
    for round in 0..6 {
        for instance in &instances {
            visit(instance, &platform, "/fixed");
        }
        let expected = if round % 2 == 0 { 3 } else { 0 };
        assert_eq!(world.checked(), expected, "round {round}");
        later(&platform, 6_000);
    }
}

#[test]
fn an_instance_that_lives_for_one_request_sees_to_checks_that_are_late() {
    let world = Rc::new(World::default());
    let platform = platform(&world);
    for round in 0..4 {
        visit(&gateway(three(health())), &platform, "/x");
        assert_eq!(world.checked(), 3, "round {round}");
        later(&platform, 1_000);
        visit(&gateway(three(health())), &platform, "/x");
        assert_eq!(world.checked(), 0, "it is not time yet in round {round}");
        later(&platform, 11_000);
    }
}

#[test]
fn the_store_is_read_when_an_instance_starts_and_then_about_once_in_an_interval() {
    let world = Rc::new(World::default());
    let platform = platform(&world);
    platform.checks.set(true);
    let instance = gateway(three(health()));
    visit(&instance, &platform, "/x");
    // Nobody has checked yet, so what was missing when the first request came is looked for once more after it.
    assert_eq!(platform.lookups.take(), 2);
    check(&instance, &platform, "");
    for _ in 0..1_000 {
        visit(&instance, &platform, "/x");
        later(&platform, 60);
    }
    // A minute of requests. Here nobody writes a new board, so it is looked for twice in an interval.
    let lookups = platform.lookups.take();
    assert!((8..=14).contains(&lookups), "{lookups}");
    assert_eq!(world.checked(), 3, "where somebody else checks, instances do not");
}

/// Does what an object with an alarm does: keeps the boards, and puts them where instances see them.
fn check(gateway: &Gateway, platform: &TestPlatform<'_>, kept: &str) -> (String, u64) {
    let (text, notes) = run(gateway.check(platform, kept));
    assert!(notes.iter().all(|note| note.problem != "target-unasked"), "{notes:?}");
    let (next, boards) = text.split_once('\n').unwrap_or((&text, ""));
    for line in boards.lines() {
        let (key, board) = line.split_once(' ').expect("a key and a board");
        platform.store.borrow_mut().insert(format!("health/{key}"), Bytes::from(board.to_owned()));
    }
    let kept = if boards.is_empty() { kept } else { boards };
    (kept.to_owned(), next.parse().expect("a time"))
}

#[test]
fn who_is_woken_up_to_check_is_told_when_to_be_woken_up_again() {
    let world = Rc::new(World::default());
    let platform = platform(&world);
    platform.checks.set(true);
    let instance = gateway(three(health()));
    let begun = platform.clock.get();
    *world.ill.borrow_mut() = "c".into();
    let (kept, next) = check(&instance, &platform, "");
    assert_eq!((world.checked(), next - begun), (3, 10_000));
    // Too early: nothing happens, and the time stays as it was.
    later(&platform, 4_000);
    let (kept, again) = check(&instance, &platform, &kept);
    assert_eq!((world.checked(), again), (0, next));
    later(&platform, 6_000);
    check(&instance, &platform, &kept);
    (0..10).for_each(|_| drop(visit(&instance, &platform, "/x")));
    assert_eq!(world.asked(), "ab");
    let idle = gateway(json!({ "targets": [{ "url": "http://a" }] }));
    assert_eq!(run(idle.check(&platform, "")).0, "0", "there is nothing to check");
}

#[test]
fn either_kind_of_health_is_enough_and_panic_mode_counts_both() {
    let world = Rc::new(World::default());
    let resets = Rc::new(RefCell::new(String::new()));
    let (seen, broken) = (world.clone(), resets.clone());
    let platform = TestPlatform::new(move |call: Call<Vec<u8>>| {
        let outcome = seen.serve(&call);
        if call.target != "/health" && broken.borrow().contains(&call.authority) {
            fails(FetchError::Reset)
        } else {
            outcome
        }
    });
    platform.checks.set(true);
    let targets: Value = ["a", "b", "c", "d"].map(|name| json!({ "url": format!("http://{name}") })).into();
    let instance = gateway(json!({
        "targets": targets,
        "health": { "consecutive_failures": 1, "ejection": "10m", "longest_ejection": "10m", "max_ejected": 25, "panic": 50,
            "check": { "http": { "path": "/health" }, "unhealthy_after": 1, "healthy_after": 1 } },
        "retries": { "budget": { "percent": 200 } },
    }));
    let used = || {
        world.asked();
        (0..40).for_each(|_| drop(visit(&instance, &platform, "/x")));
        world.asked()
    };
    *world.ill.borrow_mut() = "a".into();
    check(&instance, &platform, "");
    assert_eq!(used(), "bcd", "checks say so");
    *resets.borrow_mut() = "b".into();
    used();
    assert_eq!(used(), "cd", "and answers do; `max_ejected` has room for one, whatever checks say");
    // Two of four are half. With a third one out, all are asked.
    *world.ill.borrow_mut() = "ac".into();
    later(&platform, 20_000);
    check(&instance, &platform, "");
    visit(&instance, &platform, "/x");
    assert_eq!(used(), "abcd");
    // A check that goes well does not bring back whom answers have taken out.
    world.ill.borrow_mut().clear();
    later(&platform, 20_000);
    check(&instance, &platform, "");
    visit(&instance, &platform, "/x");
    assert_eq!(used(), "acd");
}

#[test]
fn a_share_grows_slowly_when_checks_find_a_target_well_again() {
    let world = Rc::new(World::default());
    let platform = platform(&world);
    platform.checks.set(true);
    let mut upstream = three(json!({ "http": { "path": "/health" }, "unhealthy_after": 1, "healthy_after": 1 }));
    upstream["slow_start"] = json!("100s");
    let instance = gateway(upstream);
    *world.ill.borrow_mut() = "b".into();
    check(&instance, &platform, "");
    let share = || {
        world.requests.take();
        (0..300).for_each(|_| drop(visit(&instance, &platform, "/x")));
        world.requests.take().get("b").copied().unwrap_or_default()
    };
    assert_eq!(share(), 0);
    world.ill.borrow_mut().clear();
    later(&platform, 15_000);
    check(&instance, &platform, "");
    visit(&instance, &platform, "/x");
    let a_tenth = share();
    assert!((5..25).contains(&a_tenth), "{a_tenth}");
}

#[test]
fn where_nobody_checks_any_more_nobody_is_ill() {
    let world = Rc::new(World::default());
    let platform = platform(&world);
    platform.checks.set(true);
    let instance = gateway(three(json!({ "http": { "path": "/health" }, "unhealthy_after": 1 })));
    *world.ill.borrow_mut() = "b".into();
    check(&instance, &platform, "");
    let used = || {
        (0..20).for_each(|_| drop(visit(&instance, &platform, "/x")));
        world.asked()
    };
    assert_eq!(used(), "ac");
    // Three intervals, and the time for one round.
    later(&platform, 31_999);
    assert_eq!(used(), "ac");
    later(&platform, 1);
    assert_eq!(used(), "abc");
}

#[test]
fn a_store_that_fails_costs_no_request_and_is_told_of_once() {
    let world = Rc::new(World::default());
    let platform = platform(&world);
    platform.store_fails.set(true);
    let instance = gateway(three(health()));
    let begun = platform.clock.get();
    assert!(visit(&instance, &platform, "/x").is_empty());
    later(&platform, 5_000);
    let told = visit(&instance, &platform, "/x");
    assert_eq!(told, ["checks-unavailable: upstream `u`: the store does not answer"]);
    (0..100).for_each(|_| assert!(visit(&instance, &platform, "/x").is_empty()));
    assert_eq!(platform.clock.get(), begun + 5_000, "nobody has waited");
    assert_eq!(world.asked(), "abc");
}

#[test]
fn a_good_answer_is_what_the_configuration_says() {
    let http = |fields: Value| {
        let mut http = json!({ "path": "/health" });
        http.as_object_mut().expect("a map").extend(fields.as_object().expect("a map").clone());
        json!({ "http": http })
    };
    let grpc = json!({ "grpc": { "service": "s", "web": true } });
    let serving = b"\0\0\0\0\x02\x08\x01";
    let moved = || answer(301, b"");
    for (check, outcome, good) in [
        (http(json!({})), answer(204, b""), true),
        (http(json!({})), moved(), false),
        (http(json!({ "statuses": "200-399" })), moved(), true),
        (http(json!({ "statuses": [418, "500-503"] })), answer(418, b""), true),
        (http(json!({ "statuses": [418, "500-503"] })), answer(200, b""), false),
        (http(json!({ "contains": "ready" })), answer(200, b"not yet"), false),
        (http(json!({ "contains": "ready" })), answer(200, b"all ready\xff"), true),
        (http(json!({ "matches": "^(ok|up)$" })), answer(200, b"up"), true),
        (http(json!({ "matches": "^(ok|up)$" })), answer(200, b"upside down"), false),
        (http(json!({ "contains": "x" })), answer(200, &[b'x'; (64 << 10) + 1]), false),
        (http(json!({})), fails(FetchError::Unreachable), false),
        (http(json!({})), fails(FetchError::Reset), false),
        (http(json!({})), fails(FetchError::Timeout), false),
        // These say nothing about the target.
        (http(json!({})), fails(FetchError::Forbidden), true),
        (grpc.clone(), answer(200, serving), true),
        (grpc.clone(), answer(200, b"\0\0\0\0\x02\x08\x02"), false),
        (grpc.clone(), answer(404, serving), false),
    ] {
        let mut check = check;
        check["unhealthy_after"] = json!(1);
        let mut asked = BTreeMap::<String, usize>::new();
        let seen = Rc::new(RefCell::new(Vec::new()));
        let (calls, of_a) = (seen.clone(), RefCell::new(Some(outcome)));
        let is_grpc = check.get("grpc").is_some();
        let check_wants_exactly_up = check["http"].get("matches").is_some();
        let well = if check["http"]["statuses"].is_array() { 418 } else { 200 };
        let platform = TestPlatform::new(move |call: Call<Vec<u8>>| {
            let is_check = call.target == "/health" || call.target.starts_with("/grpc.");
            calls.borrow_mut().push((call.authority.clone(), is_check, call.method.clone()));
            match of_a.borrow_mut().take_if(|_| is_check && call.authority == "a") {
                Some(outcome) => outcome,
                None if is_grpc => answer(200, serving),
                None if is_check && check_wants_exactly_up => answer(200, b"up"),
                None => answer(if is_check { well } else { 200 }, b"up and ready x"),
            }
        });
        platform.checks.set(true);
        let instance = gateway(three(check.clone()));
        let (text, _) = run(instance.check(&platform, ""));
        for line in text.lines().skip(1) {
            let (key, board) = line.split_once(' ').expect("a key and a board");
            platform.store.borrow_mut().insert(format!("health/{key}"), Bytes::from(board.to_owned()));
        }
        (0..20).for_each(|_| drop(visit(&instance, &platform, "/x")));
        for (authority, is_check, method) in seen.take() {
            if is_check {
                assert_eq!(method == "POST", is_grpc);
            } else {
                *asked.entry(authority).or_default() += 1;
            }
        }
        assert_eq!(asked.contains_key("a"), good, "{check}");
        assert!(asked.contains_key("b"), "{check}");
    }
}

#[test]
fn a_check_says_what_it_is_told_to_say() {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let calls = seen.clone();
    let platform = TestPlatform::new(move |call: Call<Vec<u8>>| {
        let field = |name: &str| call.headers.text(name).unwrap_or_default().to_owned();
        let body = match &call.body {
            Body::Bytes(bytes) => bytes.to_vec(),
            Body::Empty | Body::Stream(_) | Body::Pumped(..) | Body::Made(_) => Vec::new(),
        };
        let line = format!("{} {}{} {:?}", call.method, call.authority, call.target, call.timeout);
        calls.borrow_mut().push((line, field("user-agent"), field("x-key"), field("content-type"), body));
        answer(200, b"")
    });
    let http = three(json!({
        "http": { "path": "/up?deep=1", "method": "OPTIONS" }, "timeout": "500ms", "headers": { "X-Key": "${secret:KEY}" },
    }));
    run(gateway(http).check(&platform, ""));
    let (line, agent, key, ..) = seen.take().swap_remove(0);
    assert_eq!(line, "OPTIONS a/up?deep=1 500ms");
    assert_eq!((agent.as_str(), key.as_str()), ("postern-check", "a value of the platform"));
    run(gateway(three(json!({ "grpc": { "service": "a.B" } }))).check(&platform, ""));
    let (line, _, _, kind, body) = seen.take().swap_remove(0);
    assert_eq!(line, "POST a/grpc.health.v1.Health/Check 2s");
    assert_eq!((kind.as_str(), body.as_slice()), ("application/grpc", &b"\0\0\0\0\x05\x0a\x03a.B"[..]));
}

/// Targets that answer in no time are asked six at a time, and one that hangs holds up nobody for longer than its timeout.
#[test]
fn a_round_takes_no_longer_than_it_is_said_to() {
    let targets: Value = (0..20).map(|at| json!({ "url": format!("http://t{at}") })).collect();
    let instance = gateway(json!({ "targets": targets, "health": { "check": health() } }));
    let (at_once, most) = (Rc::new(Cell::new(0_i32)), Rc::new(Cell::new(0)));
    let (begun, ended) = (at_once.clone(), at_once.clone());
    let highest = most.clone();
    let platform = TestPlatform::new(move |_: Call<Vec<u8>>| {
        ended.set(ended.get() - 1);
        answer(200, b"")
    });
    *platform.delay.borrow_mut() = Some(Box::new(move |_| {
        begun.set(begun.get() + 1);
        highest.set(highest.get().max(begun.get()));
        1_999
    }));
    let before = platform.clock.get();
    run(instance.check(&platform, ""));
    assert_eq!((platform.clock.get() - before, most.get(), at_once.get()), (4 * 1_999, 6, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    /// Three instances and faults by lot, in virtual time: a target that has been bad for as long as the rules say plus the time
    /// that knowledge takes gets no requests of any instance that is at work, and one that has been good as long gets some.
    #[test]
    fn knowledge_spreads_within_its_bound(seed: u64) {
        let world = Rc::new(World::default());
        let platform = platform(&world);
        let instances = [(); 3].map(|()| gateway(three(health())));
        let (begun, mut changed, mut ill) = (platform.clock.get(), [0_u64; 3], [false; 3]);
        // Two bad checks, each at most two intervals after the one before, and one look.
        let bound = 2 * 15_000 + 15_000;
        for step in 0..400_u64 {
            let now = platform.clock.get() - begun;
            for (at, name) in ["a", "b", "c"].into_iter().enumerate() {
                // One stays well, so that nobody has to panic. The others change their mind now and then.
                if at < 2 && mix(seed ^ step << 8 ^ at as u64).is_multiple_of(60) {
                    (ill[at], changed[at]) = (!ill[at], now);
                    let mut known = world.ill.borrow_mut();
                    *known = known.replace(name, "");
                    if ill[at] {
                        known.push_str(name);
                    }
                }
            }
            world.asked();
            for instance in &instances {
                visit(instance, &platform, "/x");
            }
            let asked = world.asked();
            for (at, name) in ["a", "b"].into_iter().enumerate() {
                if ill[at] && now - changed[at] > bound && ill.iter().filter(|ill| **ill).count() == 1 {
                    prop_assert!(!asked.contains(name), "{name} at {now} ms, ill since {}", changed[at]);
                }
            }
            later(&platform, 700);
        }
    }
}
