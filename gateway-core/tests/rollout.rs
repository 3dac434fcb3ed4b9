//! Versions of the configuration in virtual time, over several instances: who is served by which, what is refused, what is taken
//! back, and what none of it touches.

#![cfg(all(feature = "compile", feature = "testing", feature = "rollout"))]
#![allow(clippy::panic, reason = "a test may fail")]

use bytes::Bytes;
use gateway_core::config::{self, Text};
use gateway_core::gateway::Note;
use gateway_core::http::{Body, Headers, Incoming, Peer, Response, Scheme};
use gateway_core::instance::{Instance, Served};
use gateway_core::platform::{Call, Failure, Platform, Timestamp};
use gateway_core::rollout::standing::What;
use gateway_core::rollout::{Act, Order, Standing, Verdict, identify};
use gateway_core::testing::{TestPlatform, run};
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::rc::Rc;

const INTERVAL: u64 = 10_000;

fn compile(configuration: &Value) -> Bytes {
    let compiled = config::compile(Path::new("gateway.json"), &Text(configuration.to_string()));
    Bytes::from(compiled.artefact.unwrap_or_else(|| panic!("{:?}", compiled.problems)))
}

/// A configuration whose answers say which version it is.
fn version(name: &str) -> Value {
    json!({
        "admin": { "path": "/_admin", "tokens": [{ "name": "ops", "token": "${secret:ADMIN_TOKEN}", "access": "write" }] },
        "rollout": { "interval": "10s", "steps": [20, 50], "step_time": "1m", "rollback": { "min_requests": 20, "margin": 0.05 } },
        "upstreams": { "origin": { "targets": [{ "url": "http://origin" }] } },
        "routes": [
            { "name": "name", "path": "/name", "respond": { "body": name } },
            { "name": "origin", "path_prefix": "/origin", "upstream": "origin" },
        ],
    })
}

/// One that fails.
fn harmful() -> Value {
    let mut configuration = version("harmful");
    configuration["routes"][0]["respond"] = json!({ "status": 500, "body": "harmful" });
    configuration
}

type Known = Rc<RefCell<(Option<Standing>, HashMap<String, Bytes>)>>;

/// What all instances share: the time, the owner of the versions, and the counters of global limits.
struct World {
    clock: Rc<Cell<Timestamp>>,
    known: Known,
    bundled: Bytes,
    counters: Rc<RefCell<HashMap<String, gateway_core::quota::Kept>>>,
    ledgers: Rc<RefCell<HashMap<&'static str, Vec<u8>>>>,
    fails: Cell<bool>,
    notes: RefCell<Vec<Note>>,
    shelf: Rc<RefCell<gateway_core::testing::Shelf>>,
    marks: Rc<RefCell<Option<gateway_core::cache::purge::Marks>>>,
    /// What the origin was asked for.
    forwarded: Rc<RefCell<Vec<String>>>,
}

impl World {
    fn new(bundled: &Value) -> Self {
        Self {
            clock: Rc::new(Cell::new(1_750_000_000_000)),
            known: Rc::default(),
            bundled: compile(bundled),
            counters: Rc::default(),
            ledgers: Rc::default(),
            fails: Cell::new(false),
            notes: RefCell::default(),
            shelf: Rc::default(),
            marks: Rc::default(),
            forwarded: Rc::default(),
        }
    }

    fn platform(&self) -> TestPlatform<'static> {
        let forwarded = Rc::clone(&self.forwarded);
        let origin = move |call: Call<Vec<u8>>| -> Result<Response<Vec<u8>>, Failure> {
            forwarded.borrow_mut().push(call.target);
            Ok(Response { status: 200, headers: Headers::new(), body: Body::Stream(b"x".to_vec()) })
        };
        let mut platform = TestPlatform::with_clock(Rc::clone(&self.clock), origin);
        platform.shelf = Rc::clone(&self.shelf);
        platform.marks = Rc::clone(&self.marks);
        platform.versions = Rc::clone(&self.known);
        platform.counters = Rc::clone(&self.counters);
        platform.ledgers = Rc::clone(&self.ledgers);
        platform.versions_fail.set(self.fails.get());
        platform.settings.borrow_mut().insert("ADMIN_TOKEN".to_owned(), TOKEN.to_owned());
        platform
    }

    fn instance(&self) -> Instance {
        Instance::load(self.bundled.clone(), |_| Some(TOKEN.to_owned())).expect("it is loaded")
    }

    fn act(&self, act: Act) -> Standing {
        let rules = self.instance().bundled().globals().rollout.clone().expect("rules");
        let order = Order { rules, base: identify(&self.bundled), act };
        match run(self.platform().roll_out(&order)).expect("it answers") {
            Verdict::Stands(standing) => standing,
            Verdict::Refused(refusal) => panic!("{refusal:?}"),
        }
    }

    /// Stores an artefact under a name, and has it serve.
    fn push_as(&self, version: &str, artefact: Bytes, percent: u8) {
        self.known.borrow_mut().1.insert(version.to_owned(), artefact);
        self.act(Act::Store { version: version.to_owned(), size: 1, note: None });
        self.act(Act::Activate { version: Some(version.to_owned()), percent: Some(percent) });
    }

    fn push(&self, configuration: &Value, percent: u8) -> String {
        let artefact = compile(configuration);
        let version = identify(&artefact);
        self.push_as(&version, artefact, percent);
        version
    }

    fn serve(&self, instance: &Instance, caller: usize, target: &str) -> (u16, String) {
        let platform = self.platform();
        let fields = format!("authorization\0Bearer caller-{caller}\n");
        let incoming = incoming("GET", target, &fields, Body::Empty);
        let Served { reply, by } = run(instance.handle(&platform, incoming));
        self.notes.borrow_mut().extend(reply.notes);
        let before = self.clock.get();
        let notes = run(instance.settle(&platform, &by, reply.deferred));
        // Whoever waits does so beside the others.
        self.clock.set(before);
        self.notes.borrow_mut().extend(notes);
        let body = match reply.response.body {
            Body::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            _ => String::new(),
        };
        (reply.response.status, body)
    }

    fn name(&self, instance: &Instance, caller: usize) -> String {
        self.serve(instance, caller, "/name").1
    }

    fn standing(&self) -> Standing {
        self.known.borrow().0.clone().expect("something has happened")
    }

    fn pass(&self, time: u64) {
        self.clock.set(self.clock.get() + time);
    }

    fn heard(&self) -> Vec<&'static str> {
        self.notes.borrow_mut().drain(..).map(|note| note.problem).collect()
    }
}

const TOKEN: &str = "a-token-of-the-admin-interface-0001";

/// A request with these fields, in the form of a block.
fn incoming(method: &str, target: &str, fields: &str, body: Body<Vec<u8>>) -> Incoming<Vec<u8>> {
    Incoming {
        method: method.to_owned(),
        scheme: Scheme::Http,
        authority: "gateway.test".to_owned(),
        target: target.to_owned(),
        headers: Headers::from_block(fields.as_bytes().to_vec()),
        body,
        peer: Peer::default(),
    }
}

/// Whoever may change everything.
fn operator() -> String {
    format!("authorization\0Bearer {TOKEN}\n")
}

#[test]
fn a_version_is_picked_up_within_the_interval_and_no_request_waits_for_it() {
    let world = World::new(&version("bundled"));
    let instances = [world.instance(), world.instance(), world.instance()];
    for instance in &instances {
        assert_eq!(world.name(instance, 1), "bundled");
    }
    world.push(&version("pushed"), 100);
    for instance in &instances {
        assert_eq!(world.name(instance, 1), "bundled", "it has looked just now");
    }
    world.pass(INTERVAL);
    for instance in &instances {
        // On the way of a request nobody asks; afterwards it is looked.
        assert_eq!(world.name(instance, 1), "bundled");
        assert_eq!(world.name(instance, 1), "pushed");
    }
    assert_eq!(world.heard().iter().filter(|heard| **heard == "version-active").count(), 3);
}

#[test]
fn no_store_is_asked_on_the_way_of_a_request() {
    let world = World::new(&version("bundled"));
    let instance = world.instance();
    world.name(&instance, 1);
    world.push(&version("pushed"), 100);
    let mut looks = 0;
    for round in 0..100 {
        world.pass(INTERVAL / 10);
        let platform = world.platform();
        let peer = Peer { address: format!("192.0.2.{round}").parse().ok(), ..Peer::default() };
        let incoming = Incoming { peer, ..incoming("GET", "/name", "", Body::Empty) };
        let Served { reply, by } = run(instance.handle(&platform, incoming));
        assert_eq!(platform.looks.get(), 0, "in round {round}");
        let before = world.clock.get();
        run(instance.settle(&platform, &by, reply.deferred));
        world.clock.set(before);
        looks += platform.looks.get();
    }
    // Once in an interval, and once more for the artefact.
    assert!((10..=13).contains(&looks), "{looks} looks in ten intervals");
}

#[test]
fn without_rollout_there_is_nothing_of_it() {
    let mut configuration = version("bundled");
    configuration.as_object_mut().expect("a map").remove("rollout");
    let world = World::new(&configuration);
    let instance = world.instance();
    let platform = world.platform();
    assert_eq!(world.name(&instance, 1), "bundled");
    assert_eq!(platform.looks.get(), 0);
    assert!(world.known.borrow().0.is_none());
}

#[test]
fn a_new_instance_serves_what_is_in_service_from_its_first_request_on() {
    let world = World::new(&version("bundled"));
    world.push(&version("pushed"), 100);
    assert_eq!(world.name(&world.instance(), 1), "pushed");
}

#[test]
fn callers_stay_with_their_version_on_every_instance_and_their_share_is_right() {
    let world = World::new(&version("bundled"));
    world.push(&version("pushed"), 20);
    let instances = [world.instance(), world.instance()];
    let served: Vec<_> = (0..200).map(|caller| world.name(&instances[caller % 2], caller)).collect();
    let new = served.iter().filter(|name| *name == "pushed").count();
    assert!((25..55).contains(&new), "{new} of 200 are 20 %");
    let again: Vec<_> = (0..200).map(|caller| world.name(&instances[(caller + 1) % 2], caller)).collect();
    assert_eq!(served, again);
}

#[test]
fn a_version_grows_by_itself_and_then_serves_everybody() {
    let world = World::new(&version("bundled"));
    let instances = [world.instance(), world.instance()];
    let id = world.push(&version("pushed"), 20);
    let mut shares = BTreeSet::new();
    for _ in 0..40 {
        for caller in 0..100 {
            assert_eq!(world.serve(&instances[caller % 2], caller, "/name").0, 200, "nobody notices");
        }
        shares.extend(world.standing().trial.map(|trial| trial.percent));
        world.pass(INTERVAL / 2);
    }
    assert_eq!(shares, BTreeSet::from([20, 50]));
    assert_eq!(world.standing().stable, Some(id));
    assert!((0..100).all(|caller| world.name(&instances[0], caller) == "pushed"));
}

#[test]
fn a_harmful_version_is_taken_back_by_itself_and_everywhere() {
    let world = World::new(&version("bundled"));
    let instances = [world.instance(), world.instance(), world.instance()];
    world.push(&version("good"), 100);
    for instance in &instances {
        world.name(instance, 0);
    }
    let id = world.push(&harmful(), 20);
    let began = world.clock.get();
    let mut failures = 0;
    let mut over = None;
    for round in 0..600 {
        world.pass(100);
        failures += u32::from(world.serve(&instances[round % 3], round, "/name").0 >= 500);
        if world.standing().trial.is_none() {
            over.get_or_insert(world.clock.get());
        }
    }
    let over = over.expect("it was taken back");
    assert!(over - began <= 3 * INTERVAL, "after {} ms", over - began);
    assert!(failures < 80, "{failures} failed");
    world.pass(INTERVAL);
    for instance in &instances {
        world.name(instance, 0);
        assert!((0..100).all(|caller| world.name(instance, caller) == "good"));
    }
    let happened: Vec<_> = world.standing().events.into_iter().map(|event| (event.what, event.version)).collect();
    assert_eq!(happened.last(), Some(&(What::RolledBack, Some(id))));
    assert!(world.heard().contains(&"version-taken-back"));
}

#[test]
fn what_goes_wrong_for_both_is_no_reason_to_take_a_version_back() {
    let mut failing = version("bundled");
    failing["upstreams"]["origin"]["targets"] = json!([{ "url": "http://origin" }]);
    failing["routes"][0]["respond"] = json!({ "status": 503 });
    let world = World::new(&failing);
    let mut also = failing.clone();
    also["routes"][1]["name"] = "another-name".into();
    let id = world.push(&also, 50);
    let instance = world.instance();
    for caller in 0..300 {
        world.pass(1_000);
        world.serve(&instance, caller, "/name");
    }
    assert!(!world.standing().events.iter().any(|event| event.what == What::RolledBack));
    assert_eq!(world.standing().stable, Some(id));
}

#[test]
fn what_does_not_load_is_refused_and_the_last_good_one_stays() {
    let good = compile(&version("good"));
    let mut other_format = good.to_vec();
    other_format[8] ^= 0x40;
    let mut truncated = good.to_vec();
    truncated.truncate(good.len() / 2);
    let mut secret = version("secret");
    secret["upstreams"]["origin"]["targets"][0]["url"] = "http://${secret:NOBODY_HAS_IT}".into();
    let mut redis = version("redis");
    redis["counters"] = json!({ "spin": { "redis": "redis://127.0.0.1:6379" } });
    let cases: [(&str, Bytes, &str); 5] = [
        ("another format", other_format.into(), "format"),
        ("it ends too early", truncated.into(), "ends too early"),
        ("no configuration at all", Bytes::from_static(b"hello"), "not a compiled configuration"),
        ("a secret that is not there", compile(&secret), "NOBODY_HAS_IT"),
        ("counted elsewhere", compile(&redis), "takes a deployment"),
    ];
    for (about, artefact, why) in cases {
        let world = World::new(&version("bundled"));
        world.push(&version("good"), 100);
        let instance = world.instance();
        assert_eq!(world.name(&instance, 1), "good");
        for percent in [50, 100] {
            world.push_as(&identify(&artefact), artefact.clone(), percent);
            world.pass(INTERVAL);
            world.name(&instance, 1);
            assert!((0..50).all(|caller| world.name(&instance, caller) == "good"), "{about}");
            let standing = world.standing();
            let last = standing.events.last().expect("an event");
            assert_eq!((last.what, standing.trial.is_none()), (What::Refused, true), "{about}: {standing:?}");
            assert!(last.detail.contains(why), "{about}: {}", last.detail);
            assert!(world.heard().contains(&"version-refused"), "{about}");
        }
    }
}

#[test]
fn what_was_damaged_in_the_store_is_refused() {
    let world = World::new(&version("bundled"));
    let instance = world.instance();
    let artefact = compile(&version("pushed"));
    let mut damaged = artefact.to_vec();
    if let Some(last) = damaged.last_mut() {
        *last ^= 1;
    }
    world.push_as(&identify(&artefact), damaged.into(), 100);
    assert_eq!(world.name(&instance, 1), "bundled");
    assert!(world.standing().events.last().is_some_and(|event| event.detail.contains("damaged")));
}

#[test]
fn an_owner_that_does_not_answer_changes_nothing_and_is_told_of_once() {
    let world = World::new(&version("bundled"));
    let instance = world.instance();
    world.push(&version("pushed"), 100);
    assert_eq!(world.name(&instance, 1), "pushed");
    world.heard();
    world.fails.set(true);
    for _ in 0..5 {
        world.pass(INTERVAL);
        assert_eq!(world.name(&instance, 1), "pushed");
    }
    assert_eq!(world.heard(), ["versions-unavailable"]);
    // Whoever has never heard anything has only what is bundled.
    let new = world.instance();
    assert_eq!(world.name(&new, 1), "bundled");
    world.fails.set(false);
    world.pass(INTERVAL);
    world.name(&new, 1);
    assert_eq!(world.name(&new, 1), "pushed");
}

#[test]
fn a_deployment_wins_over_what_was_pushed_before_it() {
    let mut world = World::new(&version("bundled"));
    world.push(&version("pushed"), 100);
    world.bundled = compile(&version("deployed"));
    assert_eq!(world.name(&world.instance(), 1), "deployed");
    world.push(&version("pushed later"), 100);
    assert_eq!(world.name(&world.instance(), 1), "pushed later");
}

#[test]
fn global_limits_go_on_over_a_change_of_versions() {
    let limited = |name: &str| {
        let mut configuration = version(name);
        configuration["routes"][0]["policies"] = json!([
            { "rate_limit": { "name": "all", "limits": "3 per 1h", "key": "everybody", "scope": "global" } }
        ]);
        configuration
    };
    let world = World::new(&limited("bundled"));
    let instance = world.instance();
    assert_eq!(world.serve(&instance, 1, "/name"), (200, "bundled".to_owned()));
    assert_eq!(world.serve(&instance, 1, "/name"), (200, "bundled".to_owned()));
    world.push(&limited("pushed"), 100);
    world.pass(INTERVAL);
    world.serve(&instance, 1, "/origin");
    assert_eq!(world.serve(&instance, 1, "/name"), (200, "pushed".to_owned()));
    assert_eq!(world.serve(&instance, 1, "/name").0, 429);
}

#[test]
fn a_request_is_settled_by_the_version_that_answered_it() {
    let world = World::new(&version("bundled"));
    world.push(&version("first"), 100);
    let instance = world.instance();
    let platform = world.platform();
    let Served { reply, by } = run(instance.handle(&platform, incoming("GET", "/name", "", Body::Empty)));
    world.push(&version("second"), 100);
    world.pass(INTERVAL);
    world.name(&instance, 1);
    assert_eq!(world.name(&instance, 1), "second");
    assert_eq!(Rc::strong_count(&by), 1, "nobody else has it any more");
    run(instance.settle(&platform, &by, reply.deferred));
}

/// Every operation of the document that is about versions, asked through a second gateway that refuses what it does not know.
#[test]
fn operators_are_answered_as_the_document_says() {
    let world = Rc::new(World::new(&version("bundled")));
    let instance = Rc::new(world.instance());
    let document: Value = serde_json::from_str(gateway_core::admin::DESCRIPTION).expect("JSON");
    let front = json!({
        "allow": ["clear-text", "unauthenticated-operation", "ignored-keyword", "unchecked-content"],
        "upstreams": { "admin": { "targets": [{ "url": "http://admin.test" }] } },
        "routes": [{ "name": "all", "path_prefix": "/_admin", "upstream": "admin", "policies": [{ "openapi": {
            "document": document, "base_path": "/_admin", "responses": "refuse", "unknown_query": "refuse",
        } }] }],
    });
    let front = Instance::load(compile(&front), |_| None).expect("it is loaded");
    let (behind, theirs) = (Rc::clone(&instance), Rc::clone(&world));
    let platform = TestPlatform::new(move |call: Call<Vec<u8>>| {
        let body = match call.body {
            Body::Bytes(bytes) => Body::Bytes(bytes),
            Body::Stream(bytes) => Body::Stream(bytes),
            Body::Empty | Body::Pumped(..) | Body::Made(_) => Body::Empty,
        };
        let mut headers = Headers::new();
        for name in ["authorization", "content-type", "content-length"] {
            if let Some(value) = call.headers.text(name) {
                headers.receive(name, value.as_bytes());
            }
        }
        let incoming = Incoming { headers, ..incoming(&call.method, &call.target, "", body) };
        let Served { reply, by } = run(behind.handle(&theirs.platform(), incoming));
        run(behind.settle(&theirs.platform(), &by, reply.deferred));
        let Response { status, headers, body } = reply.response;
        let body = if let Body::Bytes(bytes) = body { Body::Stream(bytes.to_vec()) } else { Body::Empty };
        let mut shown = Headers::new();
        for name in ["content-type", "content-length"] {
            if let Some(value) = headers.text(name) {
                shown.receive(name, value.as_bytes());
            }
        }
        Ok(Response { status, headers: shown, body })
    });
    let ask = |method: &str, target: &str, kind: &str, body: &[u8]| {
        let length = if body.is_empty() { String::new() } else { format!("content-length\0{}\n", body.len()) };
        let kind = if body.is_empty() { String::new() } else { format!("content-type\0{kind}\n") };
        let fields = format!("host\0gateway.test\n{}{kind}{length}", operator());
        let body = if body.is_empty() { Body::Empty } else { Body::Stream(body.to_vec()) };
        let reply = run(front.handle(&platform, incoming(method, &format!("/_admin{target}"), &fields, body))).reply;
        let text = match &reply.response.body {
            Body::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Body::Stream(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Body::Empty | Body::Pumped(..) | Body::Made(_) => String::new(),
        };
        let value: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{method} {target}: {text}"));
        (reply.response.status, value)
    };
    const BYTES: &str = "application/octet-stream";
    const JSON: &str = "application/json";
    let artefact = compile(&version("pushed"));
    let id = identify(&artefact);
    let place = format!("/versions/{id}");
    assert_eq!(ask("GET", "/versions", "", b"").0, 200);
    assert_eq!(ask("PUT", &place, BYTES, b"something else").0, 400);
    assert_eq!(ask("PUT", &place, JSON, &artefact).0, 415);
    let (status, broken) = ask("PUT", &format!("/versions/{}", identify(b"hello")), BYTES, b"hello");
    assert_eq!((status, &broken["type"]), (422, &"urn:postern:problem:version-unusable".into()), "{broken}");
    assert_eq!(ask("POST", &format!("{place}/activate"), JSON, b"{}").0, 409, "it is not there");
    let (status, stored) = ask("PUT", &format!("{place}?note=moves%20orders"), BYTES, &artefact);
    assert_eq!((status, &stored["versions"][0]["note"]), (200, &"moves orders".into()), "{stored}");
    let (status, tried) = ask("POST", &format!("{place}/activate"), JSON, br#"{"percent":30,"reason":"a test"}"#);
    assert_eq!((status, &tried["trial"]["percent"]), (200, &30.into()), "{tried}");
    world.name(&instance, 1);
    let (_, shown) = ask("GET", "/versions", "", b"");
    assert_eq!(shown["instance"]["trial"]["version"], id, "{shown}");
    assert_eq!(ask("POST", "/versions/rollback", JSON, br#"{"reason":"a test"}"#).0, 200);
    let (status, nothing) = ask("POST", "/versions/rollback", "", b"");
    assert_eq!((status, &nothing["type"]), (409, &"urn:postern:problem:version-conflict".into()));
    assert_eq!(ask("PUT", &format!("/versions/{}?unchecked=true", identify(b"hello")), BYTES, b"hello").0, 200);
    assert_eq!(ask("POST", &format!("{place}/activate"), JSON, br#"{"percent":100}"#).0, 200);
    assert_eq!(ask("POST", "/versions/bundled/activate", "", b"").0, 200);
    // Everything that was wanted is in the log, and once more what nothing came of.
    let (_, audit) = ask("GET", "/audit", "", b"");
    let entries = audit["entries"].as_array().unwrap_or_else(|| panic!("{audit}"));
    let count = |action: &str| entries.iter().filter(|entry| entry["action"] == action).count();
    assert_eq!((count("store_version"), count("roll_out"), count("roll_back")), (6, 5, 3), "{audit}");
    let failed = entries.iter().filter(|entry| entry["failed"].is_string()).count();
    assert_eq!(failed, 4, "{audit}");
}

#[test]
fn nothing_is_done_with_versions_that_was_not_written_down_before() {
    let world = World::new(&version("bundled"));
    let pushed = world.push(&version("pushed"), 100);
    let instance = world.instance();
    let ask = |platform: &TestPlatform<'_>, target: &str, reason: &str| {
        let body = json!({ "reason": reason }).to_string();
        let fields = format!("{}content-type\0application/json\ncontent-length\0{}\n", operator(), body.len());
        run(instance.handle(platform, incoming("POST", target, &fields, Body::Stream(body.into_bytes()))))
            .reply
            .response
    };
    let logged = || {
        let audit = ask_for(&world, &instance, "/_admin/audit");
        let entries = audit["entries"].as_array().cloned().unwrap_or_default();
        entries.iter().map(|entry| (entry["action"].clone(), entry["failed"].is_string())).collect::<Vec<_>>()
    };
    let before = world.standing();
    let activate = format!("/_admin/versions/{pushed}/activate");
    for target in ["/_admin/versions/rollback", &activate] {
        assert_eq!(ask(&world.platform(), target, &"x".repeat(201)).status, 400, "{target}");
        assert_eq!(world.standing(), before, "{target}");
        let silent = world.platform();
        silent.counting_fails.set(true);
        assert_eq!(ask(&silent, target, "the ledger is gone").status, 503, "{target}");
        assert_eq!(world.standing(), before, "{target}");
    }
    assert_eq!(logged(), []);
    // What was not done after all is in the log as well.
    let silent = world.platform();
    silent.versions_fail.set(true);
    assert_eq!(ask(&silent, "/_admin/versions/rollback", "nobody answers").status, 503);
    assert_eq!(logged(), [(json!("roll_back"), false), (json!("roll_back"), true)]);
    assert_eq!(ask(&world.platform(), "/_admin/versions/rollback", "x").status, 200);
    assert_ne!(world.standing(), before);
    assert_eq!(logged().len(), 3);
}

fn ask_for(world: &World, instance: &Instance, target: &str) -> Value {
    let reply = run(instance.handle(&world.platform(), incoming("GET", target, &operator(), Body::Empty))).reply;
    let Body::Bytes(text) = &reply.response.body else { panic!("{target}: nothing") };
    serde_json::from_slice(text).unwrap_or_else(|_| panic!("{target}: {text:?}"))
}

#[test]
fn a_version_without_the_interface_locks_nobody_out() {
    let world = World::new(&version("bundled"));
    let mut closed = version("closed");
    for name in ["admin", "rollout"] {
        closed.as_object_mut().expect("a map").remove(name);
    }
    world.push(&closed, 100);
    let instance = world.instance();
    assert_eq!(world.name(&instance, 1), "closed");
    let ask = |method: &str, target: &str, token: &str| {
        let fields = format!("authorization\0Bearer {token}\n");
        let authority = "gateway.test:8080".to_owned();
        let incoming = Incoming { authority, ..incoming(method, target, &fields, Body::Empty) };
        run(instance.handle(&world.platform(), incoming)).reply.response.status
    };
    assert_eq!(ask("GET", "/_admin/session", TOKEN), 200, "the version has none, so the bundled one answers");
    assert_eq!(ask("GET", "/_admin/versions", "somebody"), 401);
    assert_eq!(ask("GET", "/_admin/versionsx", TOKEN), 404);
    assert_eq!(ask("POST", "/_admin/versions/rollback", TOKEN), 200);
    world.pass(INTERVAL);
    world.name(&instance, 1);
    assert_eq!(world.name(&instance, 1), "bundled");
}

/// Of `pk_docs_onlyForTheDocumentation1`.
const HASH: &str = "fed49bce939f4778f5bddd8a199cda6eb8c87a440ffb462b529dc1b184615ac9";
const KEY: &str = "pk_docs_onlyForTheDocumentation1";

/// A version that takes everything, and says nothing of an admin interface unless that is given.
fn open(admin: Option<Value>) -> Value {
    let mut configuration = json!({
        "upstreams": { "origin": { "targets": [{ "url": "http://origin", "name": "one" }] } },
        "consumers": [{ "name": "alice", "keys": [{ "hash": HASH, "prefix": "pk_docs" }] }],
        "routes": [
            { "name": "all", "upstream": "origin" },
            { "name": "known", "path": "/known", "respond": { "body": "known" }, "policies": [{ "authenticate": { "any_of": { "api_key": {} } } }] },
            { "name": "cached", "path_prefix": "/cached", "upstream": "origin", "policies": [{ "cache": { "name": "c", "ttl": { "default": "1h" } } }] },
        ],
    });
    if let Some(admin) = admin {
        configuration["admin"] = admin;
    }
    configuration
}

#[test]
fn what_is_below_the_bundled_interface_is_forwarded_by_no_version() {
    let elsewhere = json!({ "path": "/ops", "tokens": [{ "name": "ops", "token": "${secret:ADMIN_TOKEN}" }] });
    let other_host = json!({ "path": "/_admin", "host": "ops.test", "tokens": [{ "name": "ops", "token": "${secret:ADMIN_TOKEN}" }] });
    for admin in [None, Some(elsewhere), Some(other_host)] {
        let world = World::new(&version("bundled"));
        world.push(&open(admin.clone()), 100);
        let instance = world.instance();
        let ask = |target: &str, fields: &str| {
            run(instance.handle(&world.platform(), incoming("GET", target, fields, Body::Empty))).reply.response.status
        };
        let operator = operator();
        for (target, fields, expected) in [
            ("/_admin/session", operator.as_str(), 200),
            ("/%5Fadmin/session", operator.as_str(), 200),
            ("/x/../_admin/requests", operator.as_str(), 200),
            ("/_admin/routes?limit=1", operator.as_str(), 200),
            ("/_admin/config", operator.as_str(), 200),
            ("/_admin/nothing", operator.as_str(), 404),
            ("/_admin", operator.as_str(), 404),
            ("/_admin/session", "", 401),
            ("/_admin/nothing", "authorization\0Bearer somebody\n", 401),
        ] {
            assert_eq!(ask(target, fields), expected, "{admin:?} {target}");
        }
        assert_eq!(world.forwarded.take(), Vec::<String>::new(), "{admin:?}");
        assert_eq!(ask("/_adminx", ""), 200);
        assert_eq!(world.forwarded.take(), ["/_adminx"]);
    }
}

#[test]
fn what_was_changed_is_in_effect_in_a_version_without_an_interface() {
    let world = World::new(&version("bundled"));
    world.push(&open(None), 100);
    let (instance, other) = (world.instance(), world.instance());
    let status = |instance: &Instance, target: &str| {
        let fields = format!("x-api-key\0{KEY}\n");
        let platform = world.platform();
        let Served { reply, by } = run(instance.handle(&platform, incoming("GET", target, &fields, Body::Empty)));
        let before = world.clock.get();
        run(instance.settle(&platform, &by, reply.deferred));
        world.clock.set(before);
        reply.response.status
    };
    let change = |method: &str, target: &str, body: &str| {
        let kind = if body.is_empty() { "" } else { "content-type\0application/json\n" };
        let fields = format!("{}{kind}content-length\0{}\n", operator(), body.len());
        let body = if body.is_empty() { Body::Empty } else { Body::Stream(body.as_bytes().to_vec()) };
        let target = format!("/_admin{target}");
        let reply = run(instance.handle(&world.platform(), incoming(method, &target, &fields, body))).reply;
        assert_eq!(reply.response.status, 200, "{target}");
    };
    for instance in [&instance, &other] {
        assert_eq!(
            (status(instance, "/known"), status(instance, "/x"), status(instance, "/cached/a")),
            (200, 200, 200)
        );
    }
    assert_eq!(world.forwarded.take(), ["/x", "/cached/a", "/x"]);
    change("POST", "/keys/revoke", &json!({ "key": KEY }).to_string());
    change("PUT", "/upstreams/origin/targets/one/drain", "");
    assert_eq!((status(&instance, "/known"), status(&instance, "/x")), (401, 503), "at once where it was asked for");
    world.pass(10_000);
    assert_eq!((status(&other, "/known"), status(&other, "/x")), (401, 503), "and elsewhere within ten seconds");
    assert_eq!(status(&other, "/cached/a"), 200, "this is stored");
    change("DELETE", "/upstreams/origin/targets/one/drain", "");
    change("PUT", "/routes/all/maintenance", "");
    change("POST", "/purge", &json!({ "everything": true }).to_string());
    world.pass(10_000);
    assert_eq!(world.forwarded.take(), Vec::<String>::new());
    assert_eq!((status(&other, "/x"), status(&other, "/cached/a")), (503, 200));
    assert_eq!(world.forwarded.take(), ["/cached/a"], "what was stored was taken back");
}
