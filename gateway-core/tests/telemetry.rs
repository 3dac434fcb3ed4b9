//! What is observed of requests, from the configuration to what those hear who are told.

#![cfg(all(feature = "compile", feature = "telemetry", feature = "testing"))]
#![allow(clippy::panic, reason = "a test")]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use gateway_core::Gateway;
use gateway_core::config::{self, Text};
use gateway_core::gateway::Reply;
use gateway_core::http::{Body, Headers, Incoming, Peer, Response, Scheme};
use gateway_core::platform::{Call, Failure, FetchError, Outlet, Platform, Timestamp};
use gateway_core::testing::{TestPlatform, run};
use gateway_core::together::{self, Task};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;

type Answered = Result<Response<Vec<u8>>, Failure>;

fn load(configuration: &Value) -> Gateway {
    let compiled = config::compile(Path::new("gateway.json"), &Text(configuration.to_string()));
    let artefact = compiled.artefact.unwrap_or_else(|| panic!("{:?}", compiled.problems));
    Gateway::load(Bytes::from(artefact), |_| Some(SECRET.to_owned())).expect("it loads")
}

const SECRET: &str = "a secret of thirty-two bytes or more";

/// A token that opens the debug mode for a minute.
fn token(secret: &str, now: u64) -> String {
    let claims = json!({ "aud": "postern-debug", "exp": now / 1_000 + 60 });
    let signed =
        format!("{}.{}", URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#), URL_SAFE_NO_PAD.encode(claims.to_string()));
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
    mac.update(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

fn ask(gateway: &Gateway, platform: &TestPlatform<'_>, target: &str, fields: &str) -> Reply<Vec<u8>> {
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

fn lines(platform: &TestPlatform<'_>) -> Vec<Value> {
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

/// What a collector of logs and metrics got: when, where, and how many lines.
type Heard = Rc<RefCell<Vec<(Timestamp, String, Vec<Value>)>>>;

/// A platform whose origin answers at once, and whose collectors take so long and answer with this status.
fn collectors(takes: u64, status: impl Fn(&str) -> u16 + 'static) -> (TestPlatform<'static>, Heard) {
    let (clock, heard) = (Rc::new(Cell::new(1_750_000_000_000)), Heard::default());
    let (now, hears) = (clock.clone(), heard.clone());
    let platform = TestPlatform::with_clock(clock, move |call: Call<Vec<u8>>| {
        if call.authority.starts_with("logs") || call.authority.starts_with("otel") {
            let Body::Bytes(body) = &call.body else { panic!("a body") };
            let lines = serde_json::from_slice(body).unwrap_or_default();
            hears.borrow_mut().push((now.get(), call.authority.clone(), lines));
            return answer(status(&call.authority));
        }
        answer(200)
    });
    let delay = move |call: &Call<Vec<u8>>| if call.authority.starts_with(['l', 'o']) { takes } else { 0 };
    *platform.delay.borrow_mut() = Some(Box::new(delay));
    (platform, heard)
}

/// Requests come at these moments, each with an end of its own, as platforms do it.
fn crowd(gateway: &Gateway, platform: &TestPlatform<'_>, moments: impl IntoIterator<Item = u64>) {
    let tasks = moments.into_iter().map(|moment| {
        Box::pin(async move {
            platform.sleep(std::time::Duration::from_millis(moment)).await;
            let incoming = Incoming {
                method: "GET".to_owned(),
                scheme: Scheme::Https,
                authority: "gateway.test".to_owned(),
                target: "/".to_owned(),
                headers: Headers::new(),
                body: Body::Empty,
                peer: Peer::default(),
            };
            let reply = gateway.handle(platform, incoming).await;
            gateway.settle(platform, reply.deferred).await;
        }) as Task<'_, ()>
    });
    run(together::all(tasks, usize::MAX));
}

fn logs_to_a_server(more: &Value) -> Gateway {
    let mut telemetry = json!({
        "metrics": { "to": "shared" },
        "logs": { "to": [{ "http": { "url": "http://logs.test/in", "form": "array" } }] },
    });
    more.as_object().into_iter().flatten().for_each(|(name, value)| telemetry[name] = value.clone());
    load(&forwards(&telemetry))
}

/// How long each line took to leave, at most.
fn longest_wait(heard: &Heard) -> u64 {
    let came = |line: &Value| {
        let text = line["timestamp"].as_str().unwrap_or_default();
        // Test time begins at 2025-06-15T15:06:40Z and no test takes an hour.
        let part =
            |from: usize, to: usize| text.get(from..to).and_then(|part| part.parse::<u64>().ok()).expect("a time");
        1_750_000_000_000 - (6 * 60_000 + 40_000) + part(14, 16) * 60_000 + part(17, 19) * 1_000 + part(20, 23)
    };
    heard.borrow().iter().flat_map(|(at, _, lines)| lines.iter().map(move |line| at - came(line))).max().expect("lines")
}

#[test]
fn batches_are_batches_under_load() {
    let gateway = logs_to_a_server(&json!({}));
    let (platform, heard) = collectors(60, |_| 200);
    crowd(&gateway, &platform, (0..1_000).map(|number| number * 25));
    let sizes: Vec<usize> = heard.borrow().iter().map(|(.., lines)| lines.len()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 1_000);
    // 40 a second, for 25 seconds, and a batch a second: one more whenever somebody else begins to wait.
    assert!(sizes.len() <= 32, "{sizes:?}");
    assert!(longest_wait(&heard) <= 1_000 + 60 + 60, "{}", longest_wait(&heard));
}

#[test]
fn a_full_batch_leaves_at_once() {
    let gateway = logs_to_a_server(&json!({}));
    let (platform, heard) = collectors(10, |_| 200);
    crowd(&gateway, &platform, (0..450).map(|number| number / 2));
    let heard = heard.borrow();
    let sizes: Vec<usize> = heard.iter().map(|(.., lines)| lines.len()).collect();
    assert_eq!(sizes, [200, 200, 50]);
    assert!(heard[1].0 - 1_750_000_000_000 < 250);
}

#[test]
fn lines_do_not_wait_for_metrics() {
    let gateway = logs_to_a_server(&json!({}));
    let (platform, heard) = collectors(20, |_| 200);
    crowd(&gateway, &platform, [0, 1_500, 3_300, 6_010, 9_990, 10_700, 14_200, 14_990, 15_010]);
    assert_eq!(heard.borrow().iter().map(|(.., lines)| lines.len()).sum::<usize>(), 9);
    assert!(longest_wait(&heard) <= 1_100, "{}", longest_wait(&heard));
    // All of it is told in the end, and no more often than it must.
    let kept = platform.ledgers.borrow().get("sums").cloned().expect("sums");
    assert!(String::from_utf8_lossy(&kept).contains(r#""c":[9,"#), "{}", String::from_utf8_lossy(&kept));
    assert!(platform.collects.get() <= 4, "{}", platform.collects.get());
}

#[test]
fn who_leaves_takes_what_is_there_along() {
    // Metrics are due when nobody may wait any longer.
    let gateway = logs_to_a_server(&json!({ "metrics": { "to": "shared", "interval": "9s" } }));
    let (platform, heard) = collectors(20, |_| 200);
    crowd(&gateway, &platform, (0..150).map(|number| number * 100));
    assert_eq!(heard.borrow().iter().map(|(.., lines)| lines.len()).sum::<usize>(), 150);
    let kept = platform.ledgers.borrow().get("sums").cloned().expect("sums");
    assert!(String::from_utf8_lossy(&kept).contains(r#""c":[150,"#), "{}", String::from_utf8_lossy(&kept));
    assert!(platform.clock.get() - 1_750_000_000_000 < 40_000);
}

#[test]
fn a_collector_that_hangs_keeps_nobody_waiting() {
    let telemetry = json!({
        "otlp": { "endpoint": "http://otel.test" },
        "metrics": { "to": ["otlp", "shared"] },
        "logs": { "to": ["otlp", { "http": { "url": "http://logs.test/in", "form": "array" } }] },
    });
    let gateway = load(&forwards(&telemetry));
    let (platform, heard) = collectors(0, |_| 200);
    *platform.delay.borrow_mut() =
        Some(Box::new(|call: &Call<Vec<u8>>| if call.authority.starts_with("otel") { 60_000 } else { 0 }));
    let reply = ask(&gateway, &platform, "/", "");
    // Its code ends while the collector says nothing.
    for deferred in reply.deferred {
        let settles = Box::pin(async { drop(gateway.settle(&platform, vec![deferred]).await) }) as Task<'_, ()>;
        let ends = Box::pin(platform.sleep(std::time::Duration::from_secs(12))) as Task<'_, ()>;
        run(first(settles, ends));
    }
    assert_eq!(longest_wait(&heard), 1_000, "another sink does not wait for it");
    let before = platform.clock.get();
    let reply = ask(&gateway, &platform, "/metrics", "");
    assert_eq!((platform.clock.get(), reply.response.status), (before, 200));
    let Body::Bytes(body) = reply.response.body else { panic!("text") };
    let text = String::from_utf8_lossy(&body).into_owned();
    let line = r#"http_server_request_duration_seconds_count{http_request_method="GET",http_route="all",http_response_status_code="200",url_scheme="https"} 1"#;
    assert!(text.lines().any(|other| other == line), "{text}");
}

/// Does both until one is done.
async fn first(mut one: Task<'_, ()>, mut other: Task<'_, ()>) {
    std::future::poll_fn(|context| {
        let is_over = one.as_mut().poll(context).is_ready() || other.as_mut().poll(context).is_ready();
        if is_over { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

#[test]
fn sums_that_a_collector_refuses_are_not_brought_again_and_told() {
    let telemetry = json!({ "otlp": { "endpoint": "http://otel.test" }, "metrics": { "to": ["otlp", "shared"] } });
    let gateway = load(&forwards(&telemetry));
    let (platform, heard) = collectors(0, |_| 400);
    let reply = ask(&gateway, &platform, "/", "");
    let notes = run(gateway.settle(&platform, reply.deferred));
    assert!(notes.iter().any(|note| note.detail.contains("series are lost")), "{notes:?}");
    platform.clock.set(platform.clock.get() + 60_000);
    assert_eq!(heard.borrow().len(), 1, "there is nothing left to bring");
    // The next request says so, where sums are shared.
    let reply = ask(&gateway, &platform, "/", "");
    run(gateway.settle(&platform, reply.deferred));
    let kept = platform.ledgers.borrow().get("sums").cloned().expect("sums");
    assert!(String::from_utf8_lossy(&kept).contains(r#"["postern.telemetry.lost",["metrics","otlp"]"#));
}

#[test]
fn what_is_asked_for_the_gateway_itself_is_counted_with_the_next_request() {
    let gateway = logs_to_a_server(&json!({}));
    let (platform, _) = collectors(0, |_| 200);
    let operations = |platform: &TestPlatform<'_>| {
        let reply = ask(&gateway, platform, "/metrics", "");
        let Body::Bytes(body) = reply.response.body else { panic!("text") };
        let text = String::from_utf8_lossy(&body).into_owned();
        let of = |operation: &str| {
            let line = format!("postern_platform_operations_total{{postern_operation=\"{operation}\"}} ");
            text.lines().find_map(|found| found.strip_prefix(&line)).and_then(|count| count.parse::<u64>().ok())
        };
        (of("subrequest"), of("object_call"))
    };
    for _ in 0..2 {
        let reply = ask(&gateway, &platform, "/", "");
        run(gateway.settle(&platform, reply.deferred));
    }
    // Two requests and the batch of the first; the sums of the first.
    assert_eq!(operations(&platform), (Some(3), Some(1)));
    let reply = ask(&gateway, &platform, "/", "");
    run(gateway.settle(&platform, reply.deferred));
    // The scrape above has told nothing and asked once; the one before it, the second request's sums.
    assert_eq!(operations(&platform), (Some(5), Some(3)));
}

#[test]
fn nothing_that_is_left_to_do_waits_for_those_who_observe() {
    let mut configuration = forwards(&json!({ "metrics": { "to": "shared" } }));
    configuration["upstreams"]["shadow"] = json!({ "targets": [{ "url": "http://shadow.test" }] });
    configuration["routes"][1]["policies"] = json!([{ "mirror": { "upstream": "shadow" } }]);
    let gateway = load(&configuration);
    let copies = Cell::new(0);
    let platform = TestPlatform::new(|call: Call<Vec<u8>>| {
        copies.set(copies.get() + i32::from(call.authority == "shadow.test"));
        answer(200)
    });
    // As it is with calls of a batch: those of the first one stand before what the second one leaves.
    let deferred = (0..2).flat_map(|_| ask(&gateway, &platform, "/", "").deferred).collect();
    let mut settles = std::pin::pin!(gateway.settle(&platform, deferred));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(settles.as_mut().poll(&mut context).is_pending(), "the interval is not over");
    assert_eq!(copies.get(), 2);
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
    let gateway = load(&forwards(&json!({ "metrics": {}, "debug": { "secret": "${secret:DEBUG}" } })));
    let seen = Rc::new(RefCell::new(Vec::new()));
    let hears = seen.clone();
    let platform = TestPlatform::new(move |call: Call<Vec<u8>>| {
        hears.borrow_mut().push(call.headers.contains("postern-debug"));
        answer(200)
    });
    let reply = ask(&gateway, &platform, "/x", &format!("postern-debug\0{}\n", token(SECRET, platform.clock.get())));
    let decision: Value =
        serde_json::from_str(reply.response.headers.text("postern-decision").expect("it is told")).expect("JSON");
    assert_eq!(decision["route"], "all");
    assert_eq!(decision["passed_over"][0]["route"], "better");
    assert_eq!(decision["steps"][0]["upstream"], "origin");
    assert_eq!(decision["steps"][1]["outcome"], "200");
    assert_eq!(reply.response.headers.text("cache-control"), Some("private, no-store"));
    for fields in [
        String::new(),
        format!("postern-debug\0{}\n", token("another secret of thirty-two bytes!", platform.clock.get())),
    ] {
        let reply = ask(&gateway, &platform, "/x", &fields);
        assert!(!reply.response.headers.contains("postern-decision"));
    }
    assert!(seen.take().iter().all(|told| !told), "the upstream never sees a token");
}

#[test]
fn a_policy_that_refuses_an_answer_is_named_wherever_it_is_told() {
    let mut configuration = forwards(&json!({
        "logs": { "with": "postern.policy" }, "metrics": { "to": "shared" }, "debug": { "secret": "${secret:DEBUG}" },
    }));
    configuration["routes"][1]["policies"] =
        json!([{ "transform": { "response": { "body": { "edit": [{ "set": { "a": "b" } }] } } } }]);
    let gateway = load(&configuration);
    let platform = TestPlatform::new(|_| {
        let headers = Headers::from_block(b"content-type\0application/json\ncontent-length\x001\n".to_vec());
        Ok(Response { status: 200, headers, body: Body::Stream(b"{".to_vec()) })
    });
    let fields = format!("postern-debug\0{}\n", token(SECRET, platform.clock.get()));
    let reply = ask(&gateway, &platform, "/x", &fields);
    assert_eq!(reply.response.status, 502);
    let decision: Value =
        serde_json::from_str(reply.response.headers.text("postern-decision").expect("it is told")).expect("JSON");
    let steps = decision["steps"].as_array().expect("steps");
    let refused = steps.iter().find(|step| step["verdict"] == "refused").unwrap_or_else(|| panic!("{decision}"));
    assert_eq!((&refused["policy"], &refused["problem"]), (&json!("transform"), &decision["problem"]));
    run(gateway.settle(&platform, reply.deferred));
    assert_eq!(lines(&platform)[0]["postern.policy"], "transform");
    let reply = ask(&gateway, &platform, "/metrics", "");
    let Body::Bytes(text) = reply.response.body else { panic!("metrics") };
    let text = String::from_utf8_lossy(&text);
    let refusals: Vec<_> = text.lines().filter(|line| line.starts_with("postern_refusals_total{")).collect();
    assert!(refusals.iter().any(|line| line.contains(r#""transform""#)), "{refusals:?}");
}

#[test]
fn a_trusted_caller_decides_by_b3_without_naming_a_trace() {
    let traces = |trust: &str, ratio: u8| json!({ "metrics": {}, "traces": { "trust": trust, "propagation": ["b3", "b3_multi"], "sample": { "ratio": ratio } } });
    for (trust, ratio, sent, told) in [
        ("everybody", 1, "b3\x000\n", "-0-"),
        ("everybody", 1, "x-b3-sampled\x000\n", "-0-"),
        ("everybody", 0, "b3\x001\n", "-1-"),
        ("everybody", 0, "b3\0d\n", "-d-"),
        ("everybody", 0, "x-b3-flags\x001\n", "-d-"),
        ("everybody", 0, "b3\x000af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-d\n", "-d-"),
        ("nobody", 1, "b3\x000\n", "-1-"),
        ("nobody", 0, "b3\0d\n", "-0-"),
    ] {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let hears = seen.clone();
        let platform = TestPlatform::new(move |call: Call<Vec<u8>>| {
            hears.borrow_mut().push(call.headers.text("b3").unwrap_or_default().to_owned());
            answer(200)
        });
        ask(&load(&forwards(&traces(trust, ratio))), &platform, "/x", sent);
        let seen = seen.take();
        assert!(seen[0].contains(told), "{trust} {ratio} {sent}: {seen:?}");
    }
}

fn ready(gateway: &Gateway, platform: &TestPlatform<'_>) -> (u16, Value) {
    let reply = ask(gateway, platform, "/ready", "");
    let Body::Bytes(text) = reply.response.body else { panic!("no text") };
    (reply.response.status, serde_json::from_slice(&text).expect("JSON"))
}

#[test]
fn an_upstream_is_no_longer_out_when_its_time_is_over_even_if_nobody_asks_it() {
    let gateway = load(&json!({
        "allow": ["open-endpoint", "clear-text"],
        "upstreams": {
            "broken": { "targets": [{ "url": "http://a.test" }], "breaker": { "consecutive_failures": 2, "open_for": "10s" } },
            "ejected": {
                "targets": [{ "url": "http://b.test" }, { "url": "http://c.test" }],
                "health": { "consecutive_failures": 2, "ejection": "10s", "max_ejected": 100 },
            },
        },
        "routes": [
            { "name": "ready", "path": "/ready", "serve": "ready" },
            { "name": "broken", "path": "/broken", "upstream": "broken" },
            { "name": "ejected", "path": "/ejected", "upstream": "ejected" },
        ],
    }));
    let platform = TestPlatform::new(|_| answer(503));
    assert_eq!(ready(&gateway, &platform).0, 200);
    for _ in 0..2 {
        ask(&gateway, &platform, "/broken", "");
    }
    let (status, told) = ready(&gateway, &platform);
    assert_eq!((status, &told["checks"]["upstream:broken"][0]["breaker"]), (503, &json!("open")));
    platform.clock.set(platform.clock.get() + 10_000);
    let (status, told) = ready(&gateway, &platform);
    let check = &told["checks"]["upstream:broken"][0];
    assert_eq!((status, &check["status"], &check["breaker"]), (200, &json!("warn"), &json!("half_open")));
    for _ in 0..4 {
        ask(&gateway, &platform, "/ejected", "");
    }
    let (status, told) = ready(&gateway, &platform);
    assert_eq!((status, &told["checks"]["upstream:ejected"][0]["status"]), (503, &json!("fail")), "{told}");
    platform.clock.set(platform.clock.get() + 10_000);
    let (status, told) = ready(&gateway, &platform);
    assert_eq!((status, &told["checks"]["upstream:ejected"][0]["status"]), (200, &json!("pass")), "{told}");
}

#[test]
fn stores_that_requests_need_are_looked_at_and_no_others() {
    let route = |name: &str, policy: Value| json!({ "name": name, "path": format!("/{name}"), "upstream": "origin", "policies": [policy] });
    let limit = |scope: &str, on_failure: &str| json!({ "rate_limit": { "limits": "5 per minute", "scope": scope, "on_failure": on_failure } });
    let once = |on_failure: &str| json!({ "idempotency": { "on_failure": on_failure } });
    let load = |policy: &Value| {
        load(
            &json!({ "allow": ["open-endpoint", "clear-text", "keys-without-authenticate"], "upstreams": { "origin": { "targets": [{ "url": "http://a.test" }] } }, "routes": [
            { "name": "ready", "path": "/ready", "serve": "ready" },
            route("used", policy.clone()),
        ] }),
        )
    };
    let stores = |told: &Value| {
        let checks = told["checks"].as_object().cloned().unwrap_or_default();
        checks.keys().filter(|name| name.starts_with("store")).cloned().collect::<Vec<_>>()
    };
    let platform = || {
        let platform = TestPlatform::new(|_| answer(200));
        platform.store_fails.set(true);
        platform.counting_fails.set(true);
        platform.claiming_fails.set(true);
        platform.shelf_fails.set(true);
        platform
    };
    for (policy, store, status) in [
        (limit("global", "closed"), "store:counters", "fail"),
        (limit("global", "open"), "store:counters", "warn"),
        (once("closed"), "store:claims", "fail"),
        (once("open"), "store:claims", "warn"),
        (json!({ "cache": {} }), "store:cache", "warn"),
        (json!({ "cache": { "scope": "global" } }), "store:global_cache", "warn"),
    ] {
        let gateway = load(&policy);
        let (code, told) = ready(&gateway, &platform());
        assert_eq!(stores(&told), [store], "{policy}");
        assert_eq!(told["checks"][store], json!([{ "componentType": "datastore", "status": status }]), "{policy}");
        assert_eq!((code, &told["status"]), (if status == "fail" { 503 } else { 200 }, &json!(status)), "{policy}");
        let well = TestPlatform::new(|_| answer(200));
        let (code, told) = ready(&gateway, &well);
        assert_eq!((code, &told["checks"][store][0]["status"]), (200, &json!("pass")), "{policy}");
    }
    let (code, told) = ready(&load(&limit("instance", "closed")), &platform());
    assert_eq!((code, stores(&told).len()), (200, 0), "what this instance counts needs no store");
}
