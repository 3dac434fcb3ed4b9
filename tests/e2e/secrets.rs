//! Nothing secret is shown: secrets are planted in headers, queries, cookies, bodies and in the platform's values, requests go
//! right and wrong in every way, and everything that is written anywhere is searched for them.

use bytes::Bytes;
use gateway_core::Gateway;
use gateway_core::config::{self, Text};
use gateway_core::http::{Body, Headers, Incoming, Peer, Scheme};
use gateway_core::platform::{Failure, FetchError};
use gateway_core::testing::{TestPlatform, run};
use postern_tests::Platform;
use postern_tests::client::{exchange, request};
use postern_tests::origin::Origin;
use postern_tests::process;
use postern_tests::running::Running;
use postern_tests::scenario::Sign;
use postern_tests::sign;
use postern_tests::wire::Field;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;

/// What no output may hold: every secret has this in it, in clear or in Base64.
const PLANTED: [&str; 4] = ["PLANTED", "UExBTlRFR", "BMQU5URU", "QTEFOVEVE"];

/// A key, a password and tokens, for everybody who takes one.
const HEADERS: [(&str, &str); 8] = [
    // Not a secret that is planted: it opens the admin interface, which must show none of them.
    ("Authorization", "Bearer admin-0123456789abcdef0123456789abcdef"),
    ("X-Api-Key", "PLANTED-key-0123456789abcdef"),
    ("Authorization", "Bearer PLANTED-token"),
    ("Authorization", "Bearer eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJodHRwczovL2lkcCIsImp0aSI6IlBMQU5URUQifQ.UExBTlRFRA"),
    ("Authorization", "Basic YWxpY2U6UExBTlRFRC1wYXNzd29yZA=="),
    ("Cookie", "session=PLANTED-cookie"),
    ("X-Tenant", "PLANTED-header"),
    ("DPoP", "PLANTED-proof"),
];

const TARGETS: [&str; 22] = [
    "/key?key=PLANTED-query",
    "/basic?q=PLANTED-query",
    "/introspection?access_token=PLANTED-query",
    "/jwt?q=PLANTED-query",
    "/discovery?q=PLANTED-query",
    "/expression?q=PLANTED-query&q=PLANTED-twice",
    "/closed?q=PLANTED-query",
    "/shown?q=PLANTED-query",
    "/lacking?q=PLANTED-query",
    "/rules?q=PLANTED-query",
    "/none?q=PLANTED-query",
    "/%zz?q=PLANTED-query",
    "/closed/../../PLANTED%00",
    "/_postern/session?token=PLANTED-query",
    "/_postern/nothing?q=PLANTED-query",
    "/_postern/config",
    "/_postern/routes",
    "/_postern/upstreams",
    "/_postern/metrics",
    "/_postern/requests",
    "/_postern/errors",
    "/_postern/audit",
];

fn configuration(closed: SocketAddr) -> Value {
    let methods = |method: Value| json!([{ "authenticate": { "any_of": [method, "anonymous"] } }]);
    let route = |name: &str, policies: Value| json!({ "name": name, "path_prefix": format!("/{name}"), "upstream": "origin", "policies": policies });
    let shared = json!([{ "secret": "${secret:SHARED}" }]);
    json!({
        // Everybody who can be told is told everything that can be said.
        "telemetry": {
            "otlp": {
                "endpoint": format!("http://{closed}"),
                "headers": { "authorization": "Bearer ${secret:CLIENT_SECRET}" },
                "encoding": "json",
            },
            "logs": {
                "to": ["console", "otlp", { "http": {
                    "url": format!("http://{closed}/in?key=${{secret:CLIENT_SECRET}}"),
                    "headers": { "dd-api-key": "${secret:CLIENT_SECRET}" },
                } }],
                "with": ["postern.costs", "postern.credential", "http.response.body.size", "network.peer.address"],
                "batch": { "interval": "250ms" },
            },
            "traces": { "to": "otlp", "trust": "everybody", "batch": { "interval": "250ms" } },
            "metrics": { "to": ["otlp", "shared"], "interval": "250ms" },
            "request_id": { "to": ["upstream", "client"] },
            "server_timing": true,
            "debug": { "secret": "${secret:DEBUG}" },
        },
        "upstreams": {
            "origin": { "targets": [{ "url": format!("http://{closed}") }] },
            "shown": { "targets": [{ "url": format!("http://{closed}") }], "credentials": [
                { "header": { "name": "x-upstream-key", "value": "${secret:CLIENT_SECRET}" } },
                { "aws": { "region": "r", "service": "s3", "access_key_id": "${secret:CLIENT_SECRET}", "secret_access_key": "${secret:CLIENT_SECRET}" } },
            ] },
            "lacking": { "targets": [{ "url": format!("http://{closed}") }], "credentials": { "oauth2": {
                "token_url": format!("http://{closed}/token"), "client_id": "${env:CLIENT}", "client_secret": "${secret:CLIENT_SECRET}",
            } } },
        },
        "admin": { "path": "/_postern", "tokens": [{ "name": "ops", "token": "${secret:ADMIN}", "access": "write" }] },
        "consumers_from": "store",
        "consumers": [{
            "name": "alice",
            "passwords": { "username": "alice", "hash": "pbkdf2-sha256$1000$c2FsdHNhbHQ=$OW/yp5IJp6wKxr76Cy7xlYtW08eZ0fwpFmdUegJskk0=" },
        }],
        "routes": [
            route("key", methods(json!({ "api_key": { "header": "x-api-key", "query": "key", "cookie": "session" } }))),
            route("basic", methods(json!({ "basic": {} }))),
            route("introspection", methods(json!({ "introspection": {
                "url": format!("http://{closed}/introspect"),
                "client_id": "${env:CLIENT}",
                "client_secret": "${secret:CLIENT_SECRET}",
                "query": "access_token",
            } }))),
            route("jwt", methods(json!({ "jwt": { "issuers": { "issuer": "https://idp", "audiences": "a", "secrets": shared } } }))),
            route("discovery", methods(json!({ "jwt": { "issuers": { "issuer": format!("http://{closed}"), "audiences": "a" } } }))),
            route("expression", json!([{ "authorize": { "expression":
                "request.headers['x-tenant'] == 'acme' || int(request.headers['x-tenant']) > 0 || request.query.q == 'x'" } }])),
            route("closed", json!([{ "headers": { "request": { "set": { "x-key": "${secret:CLIENT_SECRET}" } } } }])),
            json!({ "name": "shown", "path_prefix": "/shown", "upstream": "shown" }),
            // It is passed over, and whoever may know why is told.
            json!({ "name": "other", "path": "/shown", "query": { "q": { "exact": "other" } }, "headers": { "x-api-key": { "exact": "other" } }, "respond": { "status": 204 } }),
            json!({ "name": "lacking", "path_prefix": "/lacking", "upstream": "lacking" }),
            route("rules", json!([{ "request_rules": { "content_types": { "allow": "application/json" } } }])),
        ],
    })
}

fn settings() -> BTreeMap<String, String> {
    let settings = [
        ("CLIENT", "gateway"),
        ("ADMIN", "admin-0123456789abcdef0123456789abcdef"),
        ("CLIENT_SECRET", "PLANTED-client-secret"),
        ("SHARED", "PLANTED-shared-secret-of-more-than-thirty-two-bytes"),
        ("DEBUG", DEBUG),
    ];
    settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

const DEBUG: &str = "PLANTED-debug-secret-of-more-than-thirty-two-bytes";

/// What shows a caller how a request was decided: all that is there to be seen.
fn debug_token(now: u64) -> String {
    let claims = Some(format!(r#"{{"aud":"postern-debug","exp":{}}}"#, now + 3_600));
    sign::sign(&Sign { with: "HS256".to_owned(), key: DEBUG.to_owned(), text: String::new(), claims })
        .expect("it is signed")
}

/// Every target with every credential, and with all that do not exclude each other.
fn requests() -> impl Iterator<Item = (&'static str, Vec<(&'static str, &'static str)>)> {
    let sets =
        (0..HEADERS.len()).map(|at| vec![HEADERS[at]]).chain([vec![HEADERS[1], HEADERS[2], HEADERS[5], HEADERS[6]]]);
    let sets: Vec<_> = sets.collect();
    let all =
        TARGETS.into_iter().flat_map(move |target| sets.clone().into_iter().map(move |headers| (target, headers)));
    // Whoever tries too many wrong tokens is no longer answered, so what there is to look at is asked for with the right one.
    all.filter(|(target, headers)| {
        !target.starts_with("/_postern/") || target.contains('?') || *headers == [HEADERS[0]]
    })
}

/// What there is to look at is asked for with GET.
fn method(target: &str) -> &'static str {
    if target.starts_with("/_postern/") { "GET" } else { "POST" }
}

#[track_caller]
fn assert_silent(what: &str, output: &str) {
    for planted in PLANTED {
        let line = output.lines().find(|line| line.contains(planted));
        assert!(line.is_none(), "{what} shows a secret: {}", line.unwrap_or_default());
    }
}

#[test]
fn the_core_shows_no_secret() {
    let closed = SocketAddr::from(([127, 0, 0, 1], 1));
    let compiled = config::compile(Path::new("gateway.json"), &Text(configuration(closed).to_string()));
    assert!(compiled.artefact.is_some(), "{:?}", compiled.problems);
    let artefact = Bytes::from(compiled.artefact.unwrap_or_default());
    let settings = settings();
    let gateway = Gateway::load(artefact, |reference| settings.get(&reference.name).cloned()).expect("it loads");
    assert_silent("the gateway", &format!("{gateway:?} {gateway:#?}"));
    let told = Rc::new(RefCell::new(String::new()));
    let hears = told.clone();
    let platform = TestPlatform::new(move |call| {
        // What those hear who are told; the fields of such a request hold what opens their door.
        if let (true, Body::Bytes(body)) =
            (call.target.starts_with("/v1/") || call.target.starts_with("/in?"), &call.body)
        {
            let _ = writeln!(hears.borrow_mut(), "{}", String::from_utf8_lossy(body));
        }
        Err(Failure { error: FetchError::Unreachable, detail: "nobody listens there".to_owned() })
    });
    platform.store_fails.set(true);
    let token = debug_token(platform.clock.get() / 1_000);
    let mut notes = String::new();
    for (target, headers) in requests() {
        let mut received = Headers::new();
        headers.iter().for_each(|(name, value)| received.receive(name, value.as_bytes()));
        received.receive("Postern-Debug", token.as_bytes());
        let incoming = Incoming {
            method: method(target).to_owned(),
            scheme: Scheme::Https,
            authority: "gateway.test".to_owned(),
            target: target.to_owned(),
            headers: received,
            body: Body::Stream(b"PLANTED-body".to_vec()),
            peer: Peer::default(),
        };
        let reply = run(gateway.handle(&platform, incoming));
        let settled = run(gateway.settle(&platform, reply.deferred));
        let _ = writeln!(notes, "{} {:?}", json!(settled), platform.printed.take());
        let body = match &reply.response.body {
            Body::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Body::Empty | Body::Stream(_) | Body::Pumped(..) | Body::Made(_) => String::new(),
        };
        let fields: Vec<_> =
            reply.response.headers.iter().map(|(name, value)| (name, String::from_utf8_lossy(value))).collect();
        let _ = writeln!(notes, "{} {fields:?} {body} {}", reply.response.status, json!(reply.notes));
    }
    let told = told.take();
    for expected in ["resourceLogs", "resourceSpans", "resourceMetrics", "postern.access/1", "url.query", "REDACTED"] {
        assert!(told.contains(expected), "nobody was told of {expected}: {told}");
    }
    assert_silent("what others are told", &told);
    for (name, kept) in platform.ledgers.borrow().iter() {
        assert_silent(name, &String::from_utf8_lossy(kept));
    }
    for expected in [
        "in_rotation",
        "http.server.request.duration",
        "telemetry-lost",
        "postern.access/1",
        "credential-uncertain",
        "upstream-failed",
        "upstream-credential",
        "unauthenticated",
        "forbidden",
        "character",
        "postern-decision",
        "passed_over",
    ] {
        assert!(notes.contains(expected), "nothing was {expected}, so nothing was tried: {notes}");
    }
    assert_silent("an answer or a note", &notes);
}

#[test]
fn workers_show_no_secret() {
    a_runtime_shows_no_secret(Platform::Workers);
}

#[test]
fn spin_shows_no_secret() {
    a_runtime_shows_no_secret(Platform::Spin);
}

fn a_runtime_shows_no_secret(platform: Platform) {
    let closed = Origin::closed().expect("an address");
    let gateway = Running::start(platform, &configuration(closed), &settings()).expect("a gateway");
    let token = debug_token(sign::now());
    let mut answers = String::new();
    for (target, headers) in requests() {
        let mut fields: Vec<_> = headers.iter().map(|(name, value)| Field::new(*name, *value)).collect();
        fields.push(Field::new("Content-Type", "text/plain"));
        fields.push(Field::new("Postern-Debug", &*token));
        let message = request(method(target), target, "gateway.test", &fields, b"PLANTED-body");
        let seen = exchange(gateway.address, &message, method(target)).expect("an answer");
        let fields: Vec<_> = seen.head.fields.iter().map(|field| format!("{field:?}")).collect();
        let _ = writeln!(answers, "{} {fields:?} {}", seen.status, String::from_utf8_lossy(&seen.body));
    }
    assert!(answers.contains("upstream-failed") && answers.contains("unauthenticated"), "{answers}");
    assert!(answers.to_ascii_lowercase().contains("postern-decision"), "decisions are shown: {answers}");
    assert_silent("an answer", &answers);
    let log = gateway.log();
    assert!(log.contains("postern.access/1"), "requests are logged: {log}");
    assert!(log.contains("upstream-failed") && log.contains("character"), "what goes wrong is logged: {log}");
    assert_silent("the log", &log);
    gateway.stop().expect("nothing left");
}

#[test]
fn the_tool_shows_no_secret() {
    let closed = Origin::closed().expect("an address");
    let folder = std::env::temp_dir().join(format!("postern-secrets-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let lines: Vec<String> = settings().iter().map(|(name, value)| format!("{name}='{value}'\n")).collect();
    std::fs::write(folder.join(".dev.vars"), lines.concat()).expect("a file");
    std::fs::write(folder.join("gateway.json"), configuration(closed).to_string()).expect("a file");
    let postern = process::postern(Platform::Test).expect("the tool");
    let mut said = String::new();
    for arguments in [
        &["check"][..],
        &["check", "--format", "json"],
        &["compile", "--out", "gateway.bin"],
        &["explain", "GET", "http://gateway.test/closed"],
        &["explain", "GET", "http://gateway.test/closed", "--format", "json"],
        &["explain", "POST", "http://gateway.test/introspection", "--header", "x-tenant: acme"],
    ] {
        let output = Command::new(&postern).args(arguments).current_dir(&folder).output().expect("it runs");
        let _ =
            writeln!(said, "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    }
    let artefact = std::fs::read(folder.join("gateway.bin")).unwrap_or_default();
    std::fs::remove_dir_all(&folder).expect("it can go");
    assert!(said.contains("x-key: secret-client-secret"), "explain shows what stands for secrets: {said}");
    assert_silent("the tool", &said);
    assert!(!artefact.is_empty());
    assert_silent("the artefact", &String::from_utf8_lossy(&artefact));
}
