//! What is observed of requests, from the configuration to what those hear who are told.

#![cfg(all(feature = "compile", feature = "telemetry", feature = "testing"))]
#![allow(clippy::panic, reason = "a test")]

use bytes::Bytes;
use gateway_core::Gateway;
use gateway_core::config::{self, Text};
use gateway_core::gateway::Reply;
use gateway_core::http::{Body, Headers, Incoming, Peer, Response, Scheme};
use gateway_core::platform::{Call, Failure, FetchError, Outlet};
use gateway_core::testing::{TestPlatform, run};
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;

type Answered = Result<Response<Vec<u8>>, Failure>;

fn load(configuration: &Value) -> Gateway {
    let compiled = config::compile(Path::new("gateway.json"), &Text(configuration.to_string()));
    let artefact = compiled.artefact.unwrap_or_else(|| panic!("{:?}", compiled.problems));
    Gateway::load(Bytes::from(artefact), |_| Some("a secret of thirty-two bytes or more".to_owned())).expect("it loads")
}

fn ask<F: FnMut(Call<Vec<u8>>) -> Answered>(
    gateway: &Gateway,
    platform: &TestPlatform<F>,
    target: &str,
    fields: &str,
) -> Reply<Vec<u8>> {
    let incoming = Incoming {
        method: "GET".to_owned(),
        scheme: Scheme::Https,
        authority: "gateway.test".to_owned(),
        target: target.to_owned(),
        headers: Headers::from_block(fields.as_bytes().to_vec()),
        body: Body::Empty,
        peer: Peer { address: "192.0.2.1".parse().ok(), ..Peer::default() },
    };
    run(gateway.handle(platform, incoming))
}

fn answer(status: u16) -> Answered {
    Ok(Response { status, headers: Headers::new(), body: Body::Empty })
}

fn lines<F>(platform: &TestPlatform<F>) -> Vec<Value> {
    platform.printed.take().iter().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn forwards(telemetry: &Value) -> Value {
    json!({
        "allow": ["clear-text", "open-endpoint", "binding-unavailable"],
        "telemetry": telemetry,
        "upstreams": { "origin": { "targets": [{ "url": "http://a.test" }, { "url": "http://b.test" }] } },
        "routes": [
            { "name": "better", "path": "/x", "method": "POST", "respond": {} },
            { "name": "all", "path_prefix": "/", "upstream": "origin" },
            { "name": "metrics", "path": "/metrics", "serve": "metrics" },
        ],
    })
}

#[test]
fn nothing_is_noted_where_nobody_observes() {
    let gateway = load(&json!({ "routes": [{ "name": "all", "path_prefix": "/", "respond": {} }] }));
    let platform = TestPlatform::new(|_| answer(200));
    let reply = ask(&gateway, &platform, "/", "");
    assert!(reply.deferred.is_empty());
    assert!(platform.printed.take().is_empty());
}

#[test]
fn a_problem_its_note_and_its_line_have_one_identifier() {
    for telemetry in [json!(null), json!({ "logs": {} })] {
        let mut configuration = forwards(&telemetry);
        if telemetry.is_null() {
            configuration.as_object_mut().expect("a map").remove("telemetry");
            configuration["routes"].as_array_mut().expect("a list").pop();
        } else {
            configuration["telemetry"]["metrics"] = json!({});
        }
        let gateway = load(&configuration);
        let platform =
            TestPlatform::new(|_| Err(Failure { error: FetchError::Unreachable, detail: "nobody".to_owned() }));
        let reply = ask(&gateway, &platform, "/", "");
        let Body::Bytes(body) = &reply.response.body else { panic!("a problem") };
        let problem: Value = serde_json::from_slice(body).expect("JSON");
        assert_eq!(problem["request_id"], reply.notes[0].request_id);
        let id = reply.notes[0].request_id.clone();
        run(gateway.settle(&platform, reply.deferred));
        for line in lines(&platform) {
            assert_eq!(line["postern.request_id"], id);
            assert_eq!(line["postern.attempts"].as_array().map(Vec::len), Some(2), "each target once: {line}");
        }
    }
}

#[test]
fn each_attempt_is_told_a_span_of_its_own_within_one_trace() {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let hears = seen.clone();
    let gateway =
        load(&forwards(&json!({ "metrics": {}, "traces": { "trust": "everybody", "sample": { "parent": true } } })));
    let platform = TestPlatform::new(move |call: Call<Vec<u8>>| {
        hears.borrow_mut().push(call.headers.text("traceparent").unwrap_or_default().to_owned());
        Err(Failure { error: FetchError::Unreachable, detail: "nobody".to_owned() })
    });
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    ask(&gateway, &platform, "/", &format!("traceparent\0{trace}\n"));
    let seen = seen.take();
    let [one, other] = seen.as_slice() else { panic!("{seen:?}") };
    assert_ne!(one, other);
    for told in [one, other] {
        assert!(told.starts_with("00-0af7651916cd43dd8448eb211c80319c-") && told.ends_with("-01"), "{told}");
        assert_ne!(told, trace);
    }
}

#[test]
fn shares_are_kept_to() {
    let telemetry =
        json!({ "metrics": {}, "logs": { "sample": { "ratio": 0.25, "rules": [{ "status": "5xx", "ratio": 1 }] } } });
    let gateway = load(&forwards(&telemetry));
    let status = Rc::new(Cell::new(200));
    let answers = status.clone();
    let platform = TestPlatform::new(move |_| answer(answers.get()));
    let logged = |times: usize| {
        (0..times).for_each(|_| {
            let reply = ask(&gateway, &platform, "/", "");
            run(gateway.settle(&platform, reply.deferred));
        });
        lines(&platform).len()
    };
    let some = logged(1_000);
    assert!((200..300).contains(&some), "{some} of 1000");
    status.set(500);
    assert_eq!(logged(20), 20);
}

#[test]
fn an_instance_logs_no_more_than_its_rate() {
    let gateway = load(&forwards(&json!({ "metrics": {}, "logs": { "sample": { "per_second": 5 } } })));
    let platform = TestPlatform::new(|_| answer(200));
    let mut replies = Vec::new();
    for _ in 0..50 {
        replies.push(ask(&gateway, &platform, "/", ""));
    }
    for reply in replies {
        run(gateway.settle(&platform, reply.deferred));
    }
    // All came at one moment.
    assert_eq!(lines(&platform).len(), 5);
}

#[test]
fn who_waits_takes_away_what_others_have_put_there() {
    let batches = Rc::new(RefCell::new(Vec::new()));
    let hears = batches.clone();
    let telemetry = json!({ "metrics": {}, "logs": {
        "to": [{ "http": { "url": "http://logs.test/in", "form": "array" } }],
        "batch": { "size": 100, "interval": "1s" },
    } });
    let gateway = load(&forwards(&telemetry));
    let platform = TestPlatform::new(move |call: Call<Vec<u8>>| {
        if let Body::Bytes(body) = &call.body {
            let lines: Vec<Value> = serde_json::from_slice(body).expect("an array");
            hears.borrow_mut().push(lines.len());
        }
        answer(200)
    });
    let started = platform.clock.get();
    let deferred: Vec<_> = (0..3).flat_map(|_| ask(&gateway, &platform, "/", "").deferred).collect();
    assert_eq!(deferred.len(), 3);
    run(gateway.settle(&platform, deferred));
    assert_eq!(batches.take().iter().sum::<usize>(), 3);
    assert!(platform.clock.get() >= started + 1_000);
}

#[test]
fn queues_and_datasets_get_what_they_can_keep() {
    let telemetry = json!({ "metrics": {}, "logs": { "to": [{ "queue": "LINES" }, { "analytics": "POINTS" }] } });
    let gateway = load(&forwards(&telemetry));
    let platform = TestPlatform::new(|_| answer(200));
    let reply = ask(&gateway, &platform, "/a", "");
    run(gateway.settle(&platform, reply.deferred));
    let published = platform.published.take();
    let [(Outlet::Queue(queue), lines), (Outlet::Dataset(dataset), points)] = published.as_slice() else {
        panic!("{published:?}")
    };
    assert_eq!((queue.as_str(), dataset.as_str()), ("LINES", "POINTS"));
    let lines: Value = serde_json::from_slice(lines).expect("JSON");
    assert_eq!(lines[0]["url.path"], "/a");
    let points: Value = serde_json::from_slice(points).expect("JSON");
    assert_eq!(points[0]["indexes"], json!(["all"]));
    assert_eq!(points[0]["blobs"], json!(["all", "GET", "200", "", "", "", "origin", "", ""]));
    assert_eq!(points[0]["doubles"], json!([0, 1, 0]));
}

#[test]
fn a_scrape_tells_what_this_instance_has_counted_and_failing_to_count_is_told() {
    let gateway = load(&forwards(&json!({ "metrics": { "to": "shared" } })));
    let platform = TestPlatform::new(|_| answer(200));
    for _ in 0..3 {
        let reply = ask(&gateway, &platform, "/", "");
        // Nobody waits for the interval: the scrape itself tells.
        for deferred in reply.deferred {
            let mut settles = std::pin::pin!(gateway.settle(&platform, vec![deferred]));
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(settles.as_mut().poll(&mut context).is_pending() || platform.ledgers.borrow().is_empty());
        }
    }
    platform.counting_fails.set(true);
    let failed = ask(&gateway, &platform, "/metrics", "");
    assert_eq!((failed.response.status, failed.notes[0].problem), (503, "metrics-uncertain"));
    platform.counting_fails.set(false);
    let reply = ask(&gateway, &platform, "/metrics", "");
    let Body::Bytes(body) = reply.response.body else { panic!("text") };
    let text = String::from_utf8_lossy(&body).into_owned();
    let line = r#"http_server_request_duration_seconds_count{http_request_method="GET",http_route="all",http_response_status_code="200",url_scheme="https"} 3"#;
    assert!(text.lines().any(|other| other == line), "{text}");
}

#[test]
fn who_has_a_token_sees_the_decision_and_nobody_else() {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use hmac::{Hmac, KeyInit, Mac};
    let gateway = load(&forwards(&json!({ "metrics": {}, "debug": { "secret": "${secret:DEBUG}" } })));
    let seen = Rc::new(RefCell::new(Vec::new()));
    let hears = seen.clone();
    let platform = TestPlatform::new(move |call: Call<Vec<u8>>| {
        hears.borrow_mut().push(call.headers.contains("postern-debug"));
        answer(200)
    });
    let token = |secret: &str| {
        let claims = json!({ "aud": "postern-debug", "exp": platform.clock.get() / 1_000 + 60 });
        let signed =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#), URL_SAFE_NO_PAD.encode(claims.to_string()));
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
        mac.update(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    };
    let reply =
        ask(&gateway, &platform, "/x", &format!("postern-debug\0{}\n", token("a secret of thirty-two bytes or more")));
    let decision: Value =
        serde_json::from_str(reply.response.headers.text("postern-decision").expect("it is told")).expect("JSON");
    assert_eq!(decision["route"], "all");
    assert_eq!(decision["passed_over"][0]["route"], "better");
    assert_eq!(decision["steps"][0]["upstream"], "origin");
    assert_eq!(decision["steps"][1]["outcome"], "200");
    assert_eq!(reply.response.headers.text("cache-control"), Some("private, no-store"));
    for fields in [String::new(), format!("postern-debug\0{}\n", token("another secret of thirty-two bytes!"))] {
        let reply = ask(&gateway, &platform, "/x", &fields);
        assert!(!reply.response.headers.contains("postern-decision"));
    }
    assert!(seen.take().iter().all(|told| !told), "the upstream never sees a token");
}
