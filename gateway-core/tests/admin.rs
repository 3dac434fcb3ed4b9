//! The admin interface, from the configuration to what instances do: who may come in, what is answered, and that it is as the
//! OpenAPI document says, which the gateway's own policy holds each exchange to.

#![cfg(all(feature = "compile", feature = "admin", feature = "testing"))]
#![allow(clippy::panic, reason = "a test")]

use bytes::Bytes;
use gateway_core::admin::{DESCRIPTION, changes};
use gateway_core::config::{self, Text};
use gateway_core::http::{Body, Headers, Incoming, Peer, Response, Scheme};
use gateway_core::platform::{Call, Timestamp};
use gateway_core::quota::Kept;
use gateway_core::testing::{TestPlatform, run};
use gateway_core::{Gateway, Reply};
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::rc::Rc;

const OPS: &str = "ops-0123456789abcdef0123456789abcdef";
const EYES: &str = "eyes-0123456789abcdef0123456789abcdef";
const PEPPER: &str = "PLANTED-0123456789abcdef0123456789abcdef";

type Platform = TestPlatform<'static>;

/// An instance, and the world that it shares with others.
struct Instance {
    gateway: Gateway,
    platform: Platform,
    /// Which target got the last request.
    asked: Rc<RefCell<Vec<String>>>,
}

/// What instances share.
#[derive(Default, Clone)]
struct World {
    clock: Rc<Cell<Timestamp>>,
    ledgers: Rc<RefCell<HashMap<&'static str, Vec<u8>>>>,
    counters: Rc<RefCell<HashMap<String, Kept>>>,
}

impl World {
    fn new() -> Self {
        Self { clock: Rc::new(Cell::new(1_750_000_000_000)), ..Self::default() }
    }

    fn instance(&self, configuration: &Value) -> Instance {
        let asked = Rc::new(RefCell::new(Vec::new()));
        let hears = asked.clone();
        let upstream = move |call: Call<Vec<u8>>| {
            hears.borrow_mut().push(call.authority.clone());
            let status = if call.target.contains("/broken") { 500 } else { 200 };
            Ok(Response { status, headers: Headers::new(), body: Body::Empty })
        };
        let mut platform: Platform = TestPlatform::with_clock(self.clock.clone(), Box::new(upstream));
        platform.ledgers = self.ledgers.clone();
        platform.counters = self.counters.clone();
        Instance { gateway: load(configuration), platform, asked }
    }

    fn wait(&self, milliseconds: u64) {
        self.clock.set(self.clock.get() + milliseconds);
    }
}

fn load(configuration: &Value) -> Gateway {
    let compiled = config::compile(Path::new("gateway.json"), &Text(configuration.to_string()));
    let artefact = compiled.artefact.unwrap_or_else(|| panic!("{:?}", compiled.problems));
    let settings = |reference: &gateway_core::template::Reference| {
        Some(match reference.name.as_str() {
            "OPS" => OPS.to_owned(),
            "EYES" => EYES.to_owned(),
            _ => PEPPER.to_owned(),
        })
    };
    Gateway::load(Bytes::from(artefact), settings).expect("it loads")
}

/// Something of everything that the interface shows.
fn configuration() -> Value {
    json!({
        "allow": ["clear-text", "literal-secret"],
        "admin": {
            "path": "/_postern",
            "tokens": [
                { "name": "ops", "token": "${secret:OPS}", "access": "write" },
                { "name": "eyes", "token": "${secret:EYES}" },
            ],
        },
        "upstreams": {
            "pair": {
                "targets": [{ "url": "http://a.test", "name": "a" }, { "url": "http://b.test:81" }],
                "breaker": { "failure_rate": 50 },
            },
            "single": { "targets": [{ "url": "http://c.test" }] },
            "shown": {
                "targets": [{ "url": "http://d.test" }],
                "credentials": { "header": { "name": "x-upstream-key", "value": "${secret:PEPPER}" } },
            },
        },
        "consumers": [{ "name": "alice", "keys": [{ "hash": HASH, "prefix": "pk_docs" }] }],
        "routes": [
            { "name": "pair", "path_prefix": "/pair", "upstream": "pair" },
            { "name": "single", "path_prefix": "/single", "upstream": "single", "method": ["GET", "POST"], "headers": { "x-told": "absent" } },
            { "name": "shown", "path_prefix": "/shown", "upstream": "shown" },
            { "name": "known", "path": "/known", "respond": { "body": "known" }, "policies": [
                { "cors": { "origins": "https://a.test" } },
                { "authenticate": { "any_of": { "api_key": {} } } },
                { "rate_limit": { "name": "few", "limits": "5 per minute", "key": "consumer" } },
            ] },
            { "name": "cached", "path_prefix": "/cached", "upstream": "single", "policies": [{ "cache": { "name": "c", "ttl": { "default": "5m" } } }] },
        ],
    })
}

/// Of `pk_docs_onlyForTheDocumentation1`.
const HASH: &str = "fed49bce939f4778f5bddd8a199cda6eb8c87a440ffb462b529dc1b184615ac9";
const KEY: &str = "pk_docs_onlyForTheDocumentation1";

impl Instance {
    fn ask(&self, method: &str, target: &str, fields: &str, body: &str) -> Reply<Vec<u8>> {
        let length = if body.is_empty() { String::new() } else { format!("content-length\0{}\n", body.len()) };
        let incoming = Incoming {
            method: method.to_owned(),
            scheme: Scheme::Https,
            authority: "gateway.test".to_owned(),
            target: target.to_owned(),
            headers: Headers::from_block(format!("host\0gateway.test\n{fields}{length}").into_bytes()),
            body: if body.is_empty() { Body::Empty } else { Body::Stream(body.as_bytes().to_vec()) },
            peer: Peer { address: "192.0.2.1".parse().ok(), ..Peer::default() },
        };
        let mut reply = run(self.gateway.handle(&self.platform, incoming));
        let deferred = std::mem::take(&mut reply.deferred);
        // Whoever waits there to take away what was gathered waits for ever: time passes only where a test says so.
        let mut settles = std::pin::pin!(self.gateway.settle(&self.platform, deferred));
        let _ = settles.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
        reply
    }

    /// The status of a client's request.
    fn get(&self, target: &str) -> u16 {
        self.ask("GET", target, "", "").response.status
    }

    fn admin(&self, method: &str, target: &str, token: &str, body: &str) -> (u16, Value) {
        let reply = self.ask(method, &format!("/_postern{target}"), &format!("authorization\0Bearer {token}\n"), body);
        (reply.response.status, told(&reply))
    }

    /// What a request that must succeed is answered.
    fn told(&self, method: &str, target: &str, body: &str) -> Value {
        let (status, value) = self.admin(method, target, OPS, body);
        assert_eq!(status, 200, "{method} {target}: {value}");
        value
    }
}

fn told(reply: &Reply<Vec<u8>>) -> Value {
    match &reply.response.body {
        Body::Bytes(bytes) => serde_json::from_slice(bytes).unwrap_or_else(|_| panic!("{bytes:?} is no JSON")),
        Body::Empty | Body::Stream(_) | Body::Pumped(..) | Body::Made(_) => Value::Null,
    }
}

/// Every operation, with a target and a body that are right.
const OPERATIONS: [(&str, &str, &str); 21] = [
    ("GET", "/openapi.json", ""),
    ("GET", "/session", ""),
    ("GET", "/config", ""),
    ("GET", "/routes?limit=2&after=1", ""),
    ("GET", "/upstreams", ""),
    ("GET", "/metrics", ""),
    ("GET", "/series?resolution=10m&route=pair", ""),
    ("GET", "/consumers?limit=5", ""),
    ("GET", "/limits", ""),
    ("GET", "/requests?after=0&status=2xx&slower_than=0&limit=2", ""),
    ("GET", "/errors", ""),
    (
        "POST",
        "/explain",
        r#"{"method":"GET","url":"http://gateway.test/pair?a=b","headers":{"x-a":"1"},"client_address":"192.0.2.7"}"#,
    ),
    ("PUT", "/routes/single/maintenance", r#"{"reason":"a new disk","retry_after":60}"#),
    ("DELETE", "/routes/single/maintenance", ""),
    ("PUT", "/upstreams/pair/targets/b.test:81/drain", ""),
    ("DELETE", "/upstreams/pair/targets/b.test:81/drain", ""),
    ("POST", "/keys/revoke", r#"{"key":"pk_docs_onlyForTheDocumentation1","reason":"it was lost"}"#),
    ("GET", "/keys", ""),
    ("POST", "/keys/restore", r#"{"prefix":"pk_none"}"#),
    (
        "POST",
        "/purge",
        r#"{"urls":["http://gateway.test/cached/a?token=x"],"tags":["t"],"soft":true,"reason":"it was wrong"}"#,
    ),
    ("GET", "/audit", ""),
];

#[test]
fn what_is_answered_is_as_the_document_says() {
    let world = World::new();
    let instance = Rc::new(world.instance(&configuration()));
    // Something of everything has to be there to be shown.
    for target in ["/pair", "/pair/broken", "/pair/broken?secret=PLANTED", "/single", "/cached/a", "/none"] {
        instance.get(target);
    }
    for _ in 0..6 {
        instance.ask("GET", "/known", &format!("x-api-key\0{KEY}\n"), "");
    }
    instance.told("PUT", "/routes/pair/maintenance", "");
    instance.told("PUT", "/upstreams/pair/targets/a/drain", r#"{"reason":"a new disk"}"#);
    instance.told("POST", "/keys/revoke", r#"{"prefix":"pk_none"}"#);
    // A second gateway stands in front, and refuses what the document does not know.
    let front = load(&json!({
        "allow": ["clear-text", "unauthenticated-operation", "ignored-keyword", "unchecked-content"],
        "upstreams": { "admin": { "targets": [{ "url": "http://admin.test" }] } },
        "routes": [{ "name": "all", "path_prefix": "/_postern", "upstream": "admin", "policies": [{ "openapi": {
            "document": serde_json::from_str::<Value>(DESCRIPTION).expect("JSON"),
            "base_path": "/_postern",
            "responses": "refuse",
            "unknown_query": "refuse",
        } }] }],
    }));
    let behind = instance.clone();
    let platform = TestPlatform::new(move |call: Call<Vec<u8>>| {
        let body = match &call.body {
            Body::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Body::Stream(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Body::Empty | Body::Pumped(..) | Body::Made(_) => String::new(),
        };
        let mut fields = String::new();
        for name in ["authorization", "content-type"] {
            if let Some(value) = call.headers.text(name) {
                fields.push_str(&format!("{name}\0{value}\n"));
            }
        }
        let response = behind.ask(&call.method, &call.target, &fields, &body).response;
        let body = match response.body {
            Body::Bytes(bytes) => Body::Stream(bytes.to_vec()),
            _ => Body::Empty,
        };
        let names = ["content-type", "content-length"];
        let mut headers = Headers::new();
        for name in names {
            if let Some(value) = response.headers.text(name) {
                headers.receive(name, value.as_bytes());
            }
        }
        Ok(Response { status: response.status, headers, body })
    });
    let mut seen = BTreeSet::new();
    let ask = |method: &str, target: &str, token: &str, body: &str| {
        let kind = if body.is_empty() { "" } else { "content-type\0application/json\n" };
        let length = if body.is_empty() { String::new() } else { format!("content-length\0{}\n", body.len()) };
        let block = format!("host\0gateway.test\nauthorization\0Bearer {token}\n{kind}{length}");
        let incoming = Incoming {
            method: method.to_owned(),
            scheme: Scheme::Https,
            authority: "gateway.test".to_owned(),
            target: format!("/_postern{target}"),
            headers: Headers::from_block(block.into_bytes()),
            body: if body.is_empty() { Body::Empty } else { Body::Stream(body.as_bytes().to_vec()) },
            peer: Peer::default(),
        };
        let reply = run(front.handle(&platform, incoming));
        let text = match &reply.response.body {
            Body::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Body::Stream(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Body::Empty | Body::Pumped(..) | Body::Made(_) => String::new(),
        };
        (reply.response.status, text, reply.notes)
    };
    for (method, target, body) in OPERATIONS {
        let (status, text, notes) = ask(method, target, OPS, body);
        assert_eq!(status, 200, "{method} {target}: {text} {notes:?}");
        assert!(!text.contains("PLANTED"), "{method} {target}: {text}");
        seen.insert(format!("{method} {}", target.split('?').next().unwrap_or_default()));
        // Refusals are described as well. Whoever tries too often has to wait.
        let (status, text, notes) = ask(method, target, "nonsense", body);
        assert_eq!(status, 401, "{method} {target}: {text} {notes:?}");
        world.wait(10_000);
    }
    // And nothing is described that is not there.
    let document: Value = serde_json::from_str(DESCRIPTION).expect("JSON");
    let described: usize = document["paths"]
        .as_object()
        .expect("paths")
        .iter()
        // tests/rollout.rs holds those to it.
        .filter(|(path, _)| !path.starts_with("/versions"))
        .map(|(_, item)| item.as_object().map_or(0, serde_json::Map::len))
        .sum();
    assert_eq!(described, seen.len(), "{seen:?}");
}

#[test]
fn nobody_comes_in_without_a_token() {
    let world = World::new();
    let instance = world.instance(&configuration());
    let reply = instance.ask("GET", "/_postern/session", "", "");
    assert_eq!(reply.response.status, 401);
    assert_eq!(reply.response.headers.text("www-authenticate"), Some("Bearer realm=\"postern-admin\""));
    for target in [
        "/_postern",
        "/_postern/",
        "/_postern/session?access_token=ops-0123456789abcdef0123456789abcdef",
        "/_postern/session?token=ops-0123456789abcdef0123456789abcdef",
        "/_postern/no-such-thing",
        "/%5Fpostern/session",
        "/x/../_postern/session",
        "/x/%2e%2e/_postern/config",
        "/_postern/%2e/config",
        "/_postern//session",
    ] {
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PROPFIND"] {
            let reply = instance.ask(method, target, &format!("x-token\0{OPS}\ncookie\0token={OPS}\n"), "");
            assert_eq!(reply.response.status, 401, "{method} {target}");
        }
    }
    // These are other paths.
    for target in
        ["/_posternx/session", "//_postern/session", "/_POSTERN/session", "/_postern%2Fsession", "/x/_postern/session"]
    {
        assert_eq!(instance.get(target), 404, "{target}");
        assert_eq!(instance.admin("GET", &format!("/..{target}"), OPS, "").0, 404, "{target}");
    }
    // A preflight opens nothing.
    let preflight = "origin\0https://a.test\naccess-control-request-method\0GET\n";
    let reply = instance.ask("OPTIONS", "/_postern/session", preflight, "");
    assert_eq!(reply.response.status, 401);
    assert_eq!(reply.response.headers.text("access-control-allow-origin"), None);
    // Without the block there is nothing.
    let mut closed = configuration();
    closed.as_object_mut().expect("a map").remove("admin");
    assert_eq!(world.instance(&closed).admin("GET", "/session", OPS, "").0, 404);
}

#[test]
fn methods_and_tokens_do_what_they_are_for() {
    let instance = World::new().instance(&configuration());
    for (method, target, body) in OPERATIONS {
        let target = target.split('?').next().unwrap_or_default();
        let (status, _) = instance.admin("PATCH", target, OPS, body);
        assert_eq!(status, 405, "{target}");
        let reply = instance.ask(
            "GET",
            &format!("/_postern{target}"),
            &format!("authorization\0Bearer {OPS}\nx-http-method-override\0{method}\n"),
            "",
        );
        let expected = if method == "GET" { 200 } else { 405 };
        assert_eq!(reply.response.status, expected, "{target}: only the method counts");
        let may = matches!(method, "GET") || target == "/explain";
        let (status, told) = instance.admin(method, target, EYES, body);
        assert_eq!(status, if may { 200 } else { 403 }, "{method} {target}: {told}");
    }
    assert!(instance.told("GET", "/audit", "")["entries"].as_array().is_some_and(Vec::is_empty), "nothing was changed");
    assert_eq!(instance.told("GET", "/session", "")["may"], json!(["read", "write"]));
    assert_eq!(instance.admin("GET", "/session", EYES, "").1["may"], json!(["read"]));
    let reply = instance.ask("HEAD", "/_postern/session", &format!("authorization\0Bearer {OPS}\n"), "");
    assert_eq!(reply.response.status, 200);
    for (target, body) in [
        ("/explain", "{}"),
        ("/explain", r#"{"method":"GET","url":"nonsense"}"#),
        ("/explain", r#"{"method":"GET","url":"http://a/","client_address":"x"}"#),
        ("/explain", r#"{"method":"GET","url":"http://a/","headers":[["a b","c"]]}"#),
        ("/purge", r#"{"tag":"x"}"#),
        ("/purge", r#"{"tags":["x"],"reason":1}"#),
        ("/keys/revoke", "{}"),
        ("/keys/revoke", r#"{"key":"a","prefix":"abcd"}"#),
        ("/keys/revoke", r#"{"hash":"ABC"}"#),
        ("/keys/revoke", r#"{"id":"abc"}"#),
        ("/keys/revoke", "[["),
    ] {
        let (status, told) = instance.admin("POST", target, OPS, body);
        assert_eq!(status, 400, "{target} {body}: {told}");
    }
    let too_long = format!(r#"{{"reason":"{}"}}"#, "x".repeat(201));
    assert_eq!(instance.admin("PUT", "/routes/pair/maintenance", OPS, &too_long).0, 400);
    assert_eq!(instance.admin("PUT", "/routes/pair/maintenance", OPS, &"x".repeat(300_000)).0, 413);
    assert_eq!(instance.admin("PUT", "/routes/pair/maintenance", OPS, r#"{"retry_after":0}"#).0, 400);
    for target in ["/routes/none/maintenance", "/upstreams/none/targets/a/drain", "/upstreams/pair/targets/none/drain"]
    {
        for method in ["PUT", "DELETE"] {
            assert_eq!(instance.admin(method, target, OPS, "").0, 404, "{method} {target}");
        }
    }
    for query in ["limit=0", "limit=x", "after=-1", "status=7xx", "status=99"] {
        assert_eq!(instance.admin("GET", &format!("/requests?{query}"), OPS, "").0, 400, "{query}");
    }
    let refused = format!("authorization\0Bearer {OPS}\ncontent-type\0text/plain\n");
    assert_eq!(instance.ask("POST", "/_postern/purge", &refused, r#"{"everything":true}"#).response.status, 415);
}

#[test]
fn wrong_tokens_are_bounded() {
    let instance = World::new().instance(&configuration());
    let statuses: Vec<u16> = (0..12).map(|_| instance.admin("GET", "/session", "nonsense", "").0).collect();
    assert_eq!(statuses, [401, 401, 401, 401, 401, 401, 401, 401, 401, 401, 429, 429]);
    let reply = instance.ask("GET", "/_postern/session", "authorization\0Bearer nonsense\n", "");
    assert_eq!((reply.response.status, reply.response.headers.text("retry-after")), (429, Some("60")));
    assert_eq!(instance.admin("GET", "/session", OPS, "").0, 200, "operators come in all the same");
}

#[test]
fn a_change_is_in_effect_everywhere_in_time_and_survives_instances() {
    let world = World::new();
    let (one, other) = (world.instance(&configuration()), world.instance(&configuration()));
    let key = format!("x-api-key\0{KEY}\n");
    assert_eq!((other.get("/pair"), other.get("/single")), (200, 200));
    assert_eq!(other.ask("GET", "/known", &key, "").response.status, 200);
    one.told("PUT", "/upstreams/pair/targets/a/drain", r#"{"reason":"a new disk"}"#);
    one.told("PUT", "/routes/single/maintenance", r#"{"retry_after":60}"#);
    let told = one.told("POST", "/keys/revoke", &json!({ "key": KEY }).to_string());
    assert_eq!(told["effective_within_ms"], changes::EFFECTIVE);
    let holds = |instance: &Instance| {
        instance.asked.borrow_mut().clear();
        (0..20).for_each(|_| assert_eq!(instance.get("/pair"), 200));
        assert!(instance.asked.borrow().iter().all(|asked| asked == "b.test:81"), "{:?}", instance.asked);
        let reply = instance.ask("GET", "/single", "", "");
        assert_eq!((reply.response.status, reply.response.headers.text("retry-after")), (503, Some("60")));
        assert_eq!(told_problem(&reply), "urn:postern:problem:maintenance");
        let reply = instance.ask("GET", "/known", &key, "");
        assert_eq!(told_problem(&reply), "urn:postern:problem:unauthenticated");
    };
    // In the one that was asked, at once.
    holds(&one);
    world.wait(changes::EFFECTIVE);
    holds(&other);
    // In one that has just started, from its first request on.
    holds(&world.instance(&configuration()));
    // Without any of its targets, an upstream is not asked.
    one.told("PUT", "/upstreams/pair/targets/b.test:81/drain", "");
    one.told("PUT", "/upstreams/single/targets/c.test/drain", "");
    let reply = one.ask("GET", "/pair", "", "");
    assert_eq!(
        (reply.response.status, told_problem(&reply).as_str()),
        (503, "urn:postern:problem:upstream-unavailable")
    );
    assert_eq!(one.get("/cached/b"), 503, "the only target of its upstream is drained");
    let states = one.told("GET", "/upstreams", "");
    let targets = states["upstreams"][0]["targets"].as_array().expect("targets").clone();
    assert!(targets.iter().all(|target| target["state"] == "drained" && target["drain"]["by"] == "ops"), "{states}");
    assert_eq!(targets[0]["drain"]["reason"], "a new disk");
    let listed = one.told("GET", "/routes", "");
    let single = listed["routes"].as_array().expect("routes").iter().find(|route| route["name"] == "single");
    assert_eq!(single.expect("it is there")["maintenance"]["retry_after"], 60);
    // And all of it back.
    for target in [
        "/upstreams/pair/targets/a/drain",
        "/upstreams/pair/targets/b.test%3A81/drain",
        "/upstreams/single/targets/c.test/drain",
        "/routes/single/maintenance",
    ] {
        one.told("DELETE", target, "");
    }
    let id = one.told("GET", "/keys", "")["revoked"][0]["id"].clone();
    one.told("POST", "/keys/restore", &json!({ "id": id }).to_string());
    world.wait(changes::EFFECTIVE);
    assert_eq!(
        (other.get("/pair"), other.get("/single"), other.ask("GET", "/known", &key, "").response.status),
        (200, 200, 200)
    );
    let log = one.told("GET", "/audit?limit=500", "");
    let actions: Vec<_> = log["entries"].as_array().expect("lines").iter().map(|line| line["action"].clone()).collect();
    let expected = [
        "drain",
        "maintenance",
        "revoke",
        "drain",
        "drain",
        "undrain",
        "undrain",
        "undrain",
        "maintenance_over",
        "restore",
    ];
    assert_eq!(json!(actions), json!(expected));
    assert_eq!(log["entries"][0]["from"], "192.0.2.1");
    assert_eq!(log["entries"][0]["subject"], "pair/a");
    assert!(!log.to_string().contains(HASH) && !log.to_string().contains("onlyFor"), "{log}");
    let rest = one.told("GET", &format!("/audit?after={}", log["next"]), "");
    assert_eq!(rest["entries"], json!([]));
}

fn told_problem(reply: &Reply<Vec<u8>>) -> String {
    told(reply)["type"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_closed_route_answers_browsers_so_that_they_can_read_it() {
    let instance = World::new().instance(&configuration());
    instance.told("PUT", "/routes/known/maintenance", "");
    let reply = instance.ask("GET", "/known", "origin\0https://a.test\n", "");
    assert_eq!((reply.response.status, told_problem(&reply).as_str()), (503, "urn:postern:problem:maintenance"));
    assert_eq!(reply.response.headers.text("access-control-allow-origin"), Some("https://a.test"));
}

#[test]
fn where_nobody_can_say_what_is_in_effect_what_was_known_stays() {
    let world = World::new();
    let instance = world.instance(&configuration());
    instance.told("PUT", "/routes/single/maintenance", "");
    instance.platform.counting_fails.set(true);
    world.wait(3_600_000);
    let reply = instance.ask("GET", "/single", "", "");
    assert_eq!(reply.response.status, 503);
    let noted: Vec<_> = reply.notes.iter().filter(|note| note.problem == "admin-uncertain").collect();
    assert_eq!(noted.len(), 1, "{:?}", reply.notes);
    let reply = instance.ask("GET", "/single", "", "");
    assert!(!reply.notes.iter().any(|note| note.problem == "admin-uncertain"), "it is left in peace for a while");
    // Nothing can be changed that is not written down.
    for (method, target, body) in [
        ("DELETE", "/routes/single/maintenance", ""),
        ("POST", "/purge", r#"{"everything":true}"#),
        ("GET", "/audit", ""),
    ] {
        assert_eq!(instance.admin(method, target, OPS, body).0, 503, "{target}");
    }
    assert_eq!(instance.get("/single"), 503);
    let session = instance.told("GET", "/session", "");
    assert!(session["known"]["problem"].is_string(), "{session}");
    instance.platform.counting_fails.set(false);
    world.wait(changes::EFFECTIVE);
    assert_eq!(instance.told("GET", "/audit", "")["entries"].as_array().map(Vec::len), Some(1));
    // An instance that has never heard anything goes on.
    let fresh = world.instance(&configuration());
    fresh.platform.counting_fails.set(true);
    assert_eq!(fresh.get("/pair"), 200);
}

#[test]
fn requests_cost_no_store_read_each() {
    let world = World::new();
    let instance = world.instance(&configuration());
    instance.get("/single");
    let before = instance.platform.collects.get();
    // In these ten seconds, time passes only here.
    for _ in 0..1_000 {
        world.wait(10);
        let incoming = Incoming {
            method: "GET".to_owned(),
            scheme: Scheme::Https,
            authority: "gateway.test".to_owned(),
            target: "/single".to_owned(),
            headers: Headers::from_block(b"host\0gateway.test\n".to_vec()),
            body: Body::Empty,
            peer: Peer::default(),
        };
        drop(run(instance.gateway.handle(&instance.platform, incoming)));
    }
    let asked = instance.platform.collects.get() - before;
    assert!(asked <= 3, "{asked} reads for a thousand requests in ten seconds");
}

#[test]
fn what_has_happened_is_seen_by_all() {
    let world = World::new();
    let (one, other) = (world.instance(&configuration()), world.instance(&configuration()));
    let key = format!("x-api-key\0{KEY}\n");
    for instance in [&one, &other] {
        instance.get("/pair/broken?password=PLANTED");
        instance.get("/none");
        (0..3).for_each(|_| drop(instance.ask("GET", "/known", &key, "")));
    }
    // What an instance has gathered, it tells at the latest when it is asked itself.
    for instance in [&one, &other] {
        instance.told("GET", "/errors", "");
        instance.told("GET", "/metrics", "");
    }
    let series = one.told("GET", "/series", "");
    let of = |route: &str| {
        let all = series["series"].as_array().expect("series");
        let points = all.iter().find(|series| series["route"] == route).map(|series| series["points"].clone());
        let points = points.unwrap_or_default();
        let sum =
            |name: &str| points.as_array().into_iter().flatten().filter_map(|point| point[name].as_u64()).sum::<u64>();
        (sum("requests"), sum("refused"))
    };
    assert_eq!((of("pair"), of("known")), ((2, 0), (6, 1)), "{series}");
    assert!(!series.to_string().contains("(admin)"));
    let refusals = series["refusals"].as_array().expect("refusals");
    assert!(
        refusals.iter().any(|refusal| refusal["problem"] == "limit-reached" && refusal["policy"] == "limit"),
        "{series}"
    );
    assert!(refusals.iter().any(|refusal| refusal["problem"] == "no-route" && refusal["count"] == 2), "{series}");
    let consumers = other.told("GET", "/consumers", "");
    assert_eq!(consumers["consumers"][0]["consumer"], "alice");
    assert_eq!((&consumers["consumers"][0]["requests"], &consumers["consumers"][0]["refused"]), (&json!(6), &json!(1)));
    let limits = other.told("GET", "/limits", "");
    assert_eq!(
        (&limits["limits"][0]["limit"], &limits["limits"][0]["caller"], &limits["limits"][0]["remaining"]),
        (&json!("few"), &json!("alice"), &json!(0)),
        "{limits}"
    );
    let all = other.told("GET", "/requests", "");
    assert_eq!(all["requests"].as_array().map(Vec::len), Some(10), "{all}");
    assert!(!all.to_string().contains("PLANTED"), "{all}");
    let next = all["next"].clone();
    one.get("/single");
    one.get("/pair");
    one.told("GET", "/errors", "");
    let new = other.told("GET", &format!("/requests?after={next}&route=pair"), "");
    assert_eq!(new["requests"].as_array().map(Vec::len), Some(1), "{new}");
    assert_eq!(new["requests"][0]["record"]["url.path"], "/pair");
    let errors = other.told("GET", "/errors?limit=1", "");
    assert_eq!(errors["requests"].as_array().map(Vec::len), Some(1), "{errors}");
    assert_eq!(errors["requests"][0]["record"]["http.response.status_code"], 500);
    let metrics = other.told("GET", "/metrics", "");
    let requests = &metrics["instruments"][0];
    assert_eq!(requests["name"], "http.server.request.duration");
    let counted: u64 = requests["series"]
        .as_array()
        .expect("series")
        .iter()
        .filter(|series| series["labels"]["http.route"] == "known")
        .filter_map(|series| series["count"].as_u64())
        .sum();
    assert_eq!(counted, 6, "{metrics}");
}

#[test]
fn explaining_says_what_the_gateway_would_do_and_does_nothing() {
    let world = World::new();
    let instance = world.instance(&configuration());
    let question = |url: &str, headers: Value| json!({ "method": "GET", "url": url, "headers": headers }).to_string();
    let told = instance.told("POST", "/explain", &question("http://gateway.test/shown?a=b", json!({})));
    assert_eq!(
        (&told["match"]["route"], &told["upstream"]["url"]),
        (&json!("shown"), &json!("http://d.test/shown?a=b"))
    );
    assert!(told.to_string().contains("secret-pepper") && !told.to_string().contains("PLANTED"), "{told}");
    // Nothing of it has been sent, counted or logged.
    assert!(instance.asked.borrow().is_empty());
    for _ in 0..20 {
        let told =
            instance.told("POST", "/explain", &question("http://gateway.test/known", json!([["x-api-key", KEY]])));
        assert_eq!(told["answer"]["status"], 200, "{told}");
    }
    let reply = instance.ask("GET", "/known", &format!("x-api-key\0{KEY}\n"), "");
    assert_eq!(reply.response.status, 200, "the limit of five is untouched");
    assert_eq!(instance.told("GET", "/consumers", "")["consumers"][0]["requests"], 1);
    // What is in effect counts there as well.
    instance.told("PUT", "/routes/shown/maintenance", "");
    let told = instance.told("POST", "/explain", &question("http://gateway.test/shown", json!({})));
    assert_eq!((&told["answer"]["status"], &told["upstream"]), (&json!(503), &json!(null)));
}

#[test]
fn the_configuration_is_shown_without_what_is_secret() {
    let planted = "PLANTEDx7f3Kq9ZpX2mLw8RtVb4N";
    let mut whole = configuration();
    whole["upstreams"]["shown"]["credentials"]["header"]["value"] = json!(format!("${{test:{planted}}}"));
    whole["upstreams"]["literal"] = json!({ "targets": [{ "url": "http://e.test" }], "credentials": { "basic": { "username": "gateway", "password": "${secret:PEPPER}" } } });
    whole["routes"].as_array_mut().expect("a list").extend([
        json!({ "name": "literal", "path": "/literal", "upstream": "literal", "policies": [
            { "headers": { "request": { "set": { "x-token": "PLANTED-short", "x-plain": "shown", "authorization": "Bearer ${secret:PEPPER}" } } } },
        ] }),
        json!({ "name": "group", "path": "/group", "redirect": { "to": "https://e.test/?key=PLANTED&b=${env:B}" } }),
    ]);
    let instance = World::new().instance(&whole);
    let told = instance.told("GET", "/config", "");
    let text = told.to_string();
    assert!(!text.contains("PLANTED") && !text.contains(HASH), "{text}");
    let written = &told["written"];
    assert_eq!(written["upstreams"]["literal"]["credentials"]["basic"]["password"], "${secret:PEPPER}");
    assert_eq!(written["admin"]["tokens"][0], json!({ "name": "ops", "token": "${secret:OPS}", "access": "write" }));
    let literal = written["routes"]
        .as_array()
        .expect("routes")
        .iter()
        .find(|route| route["name"] == "literal")
        .expect("it is there");
    let set = &literal["policies"][0]["headers"]["request"]["set"];
    assert_eq!(set, &json!({ "x-token": "REDACTED", "x-plain": "shown", "authorization": "Bearer ${secret:PEPPER}" }));
    assert_eq!(written["consumers"][0]["keys"][0], json!({ "hash": "REDACTED", "prefix": "pk_docs" }));
    assert!(text.contains("https://e.test/?key=REDACTED&b=${env:B}"), "{text}");
    assert_eq!(told["configuration"].as_str().map(str::len), Some(16));
}

#[test]
fn what_the_documentation_shows_is_so() {
    let document = include_str!("../../docs/admin.md");
    let block = |kind: &str| {
        let from = document.find(&format!("```{kind}\n")).expect("the block") + kind.len() + 4;
        &document[from..from + document[from..].find("```").expect("its end")]
    };
    let compiled = config::compile(Path::new("gateway.yaml"), &Text(block("yaml").to_owned()));
    assert!(compiled.problems.is_empty(), "{:?}", compiled.problems);
    let gateway = Gateway::load(Bytes::from(compiled.artefact.expect("it compiles")), |reference| {
        Some(if reference.name == "ADMIN_TOKEN" { OPS } else { EYES }.to_owned())
    });
    let world = World::new();
    let instance = Instance { gateway: gateway.expect("it loads"), ..world.instance(&configuration()) };
    let mut lines = block("console").lines();
    let mut tried = 0;
    while let Some(command) = lines.next() {
        let words = shell(command.strip_prefix("$ curl ").expect("a command"));
        let (mut method, mut fields, mut body, mut target) = ("GET", String::new(), String::new(), "");
        let mut words = words.iter().map(String::as_str);
        while let Some(word) = words.next() {
            match word {
                "-X" => method = words.next().expect("a method"),
                "-d" => {
                    body = words.next().expect("a body").to_owned();
                    method = if method == "GET" { "POST" } else { method };
                }
                "-H" => {
                    let (name, value) = words.next().and_then(|field| field.split_once(": ")).expect("a field");
                    let value = value.replace("$POSTERN_ADMIN_TOKEN", OPS).replace("$DASHBOARD_TOKEN", EYES);
                    fields.push_str(&format!("{}\0{value}\n", name.to_lowercase()));
                }
                url => target = url.strip_prefix("$POSTERN_ADMIN_URL").expect("an address"),
            }
        }
        let reply = instance.ask(method, &format!("/_postern{target}"), &fields, &body);
        let Body::Bytes(bytes) = &reply.response.body else { panic!("{command}: no body") };
        let told = std::str::from_utf8(bytes).expect("text");
        for part in lines.next().expect("an answer").split('…') {
            assert!(told.contains(part), "{command}\n{part} is not in {told}");
        }
        tried += 1;
    }
    assert_eq!(tried, 7);
}

/// The words of a shell command, with quotes.
fn shell(command: &str) -> Vec<String> {
    let (mut words, mut quote) = (vec![String::new()], None);
    for c in command.chars() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('\'' | '"', None) => quote = Some(c),
            (' ', None) => words.push(String::new()),
            (c, _) => words.last_mut().expect("there is always one").push(c),
        }
    }
    words
}
