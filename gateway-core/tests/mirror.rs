//! Copies of requests: what is sent, when, and what the log hears of it.

#![cfg(all(feature = "compile", feature = "testing"))]
#![allow(clippy::panic, reason = "a test may fail")]

use bytes::Bytes;
use gateway_core::Gateway;
use gateway_core::config::{self, Text};
use gateway_core::gateway::Note;
use gateway_core::http::{Body, Headers, Incoming, Peer, Response, Scheme};
use gateway_core::platform::{Call, Failure, FetchError};
use gateway_core::testing::{TestPlatform, run};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::path::Path;

fn gateway(policy: Value) -> Gateway {
    let configuration = json!({
        "upstreams": {
            "here": { "targets": [{ "url": "http://here/base" }] },
            "there": { "targets": [{ "url": "http://there" }] },
        },
        "routes": [{
            "name": "all", "path_prefix": "/a", "strip_prefix": "/a", "upstream": "here",
            "policies": [{ "mirror": policy }, { "headers": { "request": { "set": { "x-set": "1" } } } }],
        }],
    });
    let compiled = config::compile(Path::new("gateway.json"), &Text(configuration.to_string()));
    let artefact = compiled.artefact.unwrap_or_else(|| panic!("{:?}", compiled.problems));
    Gateway::load(Bytes::from(artefact), |_| None).expect("it can be loaded")
}

type Outcome = Result<Response<Vec<u8>>, Failure>;

fn answer(status: u16, block: &str, body: &str) -> Outcome {
    let headers = Headers::from_block(block.as_bytes().to_vec());
    Ok(Response { status, headers, body: Body::Stream(body.as_bytes().to_vec()) })
}

fn incoming(method: &str, block: &str, body: &str) -> Incoming<Vec<u8>> {
    let mut headers = Headers::from_block(block.as_bytes().to_vec());
    if !body.is_empty() {
        headers.receive("content-length", body.len().to_string().as_bytes());
    }
    Incoming {
        method: method.into(),
        scheme: Scheme::Http,
        authority: "gateway.test".into(),
        target: "/a/b?c=d".into(),
        headers,
        body: if body.is_empty() { Body::Empty } else { Body::Stream(body.as_bytes().to_vec()) },
        peer: Peer::default(),
    }
}

/// What a request and its copy did: the client's status and body, the calls before and after the answer, and the log.
struct Course {
    status: u16,
    body: Vec<u8>,
    before: Vec<Call<Vec<u8>>>,
    after: Vec<Call<Vec<u8>>>,
    notes: Vec<Note>,
}

fn send(
    gateway: &Gateway,
    incoming: Incoming<Vec<u8>>,
    there: impl Fn() -> Outcome,
    here: impl Fn() -> Outcome,
) -> Course {
    let calls = RefCell::new(Vec::new());
    let platform = TestPlatform::new(|call: Call<Vec<u8>>| {
        let outcome = if call.authority == "there" { there() } else { here() };
        calls.borrow_mut().push(call);
        outcome
    });
    let reply = run(gateway.handle(&platform, incoming));
    let before = calls.take();
    let mut notes = reply.notes;
    notes.extend(run(gateway.settle(&platform, reply.deferred)));
    drop(platform);
    let body = match reply.response.body {
        Body::Empty | Body::Made(_) => Vec::new(),
        Body::Bytes(bytes) => bytes.to_vec(),
        Body::Stream(bytes) | Body::Pumped(bytes, _) => bytes,
    };
    Course { status: reply.response.status, body, before, after: calls.into_inner(), notes }
}

#[test]
fn a_copy_is_the_request_without_credentials_sent_after_the_answer() {
    let gateway = gateway(json!({ "upstream": "there" }));
    let block = "authorization\0Bearer a\ncookie\0b=c\nx-a\x001\n";
    let course = send(&gateway, incoming("POST", block, "body"), || answer(500, "", ""), || answer(201, "", "made"));
    assert_eq!((course.status, course.body.as_slice()), (201, &b"made"[..]));
    let ([first], [copy]) = (course.before.as_slice(), course.after.as_slice()) else { panic!("one call each") };
    assert_eq!((first.target.as_str(), copy.target.as_str()), ("/base/b?c=d", "/b?c=d"));
    assert_eq!((copy.method.as_str(), first.headers.text("x-mirror")), ("POST", None));
    assert!(matches!(&copy.body, Body::Bytes(bytes) if bytes == "body"));
    for (name, here, there) in [
        ("x-a", Some("1"), Some("1")),
        ("x-set", Some("1"), Some("1")),
        ("authorization", Some("Bearer a"), None),
        ("cookie", Some("b=c"), None),
        ("x-mirror", None, Some("true")),
        ("via", Some("1.1 postern"), Some("1.1 postern")),
    ] {
        assert_eq!((first.headers.text(name), copy.headers.text(name)), (here, there), "{name}");
    }
    assert!(course.notes.is_empty(), "nothing is compared: {:?}", course.notes);
}

#[test]
fn credentials_stay_where_they_are_meant_to() {
    let gateway = gateway(json!({ "upstream": "there", "credentials": "keep", "remove": "x-a", "mark": "X-Shadow" }));
    let course = send(
        &gateway,
        incoming("GET", "authorization\0a\nx-a\x001\n", ""),
        || answer(200, "", ""),
        || answer(200, "", ""),
    );
    let headers = &course.after[0].headers;
    assert_eq!((headers.text("authorization"), headers.text("x-shadow")), (Some("a"), Some("true")));
    assert!(!headers.contains("x-a"));
}

#[test]
fn a_copy_that_fails_is_told_to_the_log_only() {
    let gateway = gateway(json!({ "upstream": "there" }));
    let fails = || Err(Failure { error: FetchError::Unreachable, detail: "nobody there".to_owned() });
    let course = send(&gateway, incoming("GET", "", ""), fails, || answer(200, "", "fine"));
    assert_eq!((course.status, course.body.as_slice()), (200, &b"fine"[..]));
    let [note] = course.notes.as_slice() else { panic!("{:?}", course.notes) };
    assert_eq!((note.problem, note.status, note.route.as_deref()), ("mirror-failed", 0, Some("all")));
    assert!(note.detail.contains("`there`") && note.detail.contains("nobody there"), "{}", note.detail);
}

#[test]
fn bodies_that_are_long_or_of_unknown_length_are_streamed_and_not_copied() {
    let gateway = gateway(json!({ "upstream": "there", "body": 4 }));
    let good = || answer(200, "", "");
    assert_eq!(send(&gateway, incoming("POST", "", "1234"), good, good).after.len(), 1);
    for request in [incoming("POST", "", "12345"), Incoming { headers: Headers::new(), ..incoming("POST", "", "1234") }]
    {
        let course = send(&gateway, request, good, good);
        assert!(course.after.is_empty());
        assert!(matches!(course.before[0].body, Body::Stream(_)), "it streams");
    }
}

#[test]
fn only_what_is_meant_is_copied() {
    let gateway = gateway(json!({ "upstream": "there", "methods": ["GET"] }));
    let good = || answer(200, "", "");
    assert_eq!(send(&gateway, incoming("GET", "", ""), good, good).after.len(), 1);
    assert!(send(&gateway, incoming("DELETE", "", ""), good, good).after.is_empty());
    let failing = send(&gateway, incoming("GET", "", ""), good, || {
        Err(Failure { error: FetchError::Reset, detail: String::new() })
    });
    assert_eq!((failing.status, failing.after.len()), (502, 1), "also when the upstream fails");
}

#[test]
fn what_two_answers_differ_in_is_told_with_places_and_without_values() {
    let compare = json!({ "headers": ["etag"], "ignore": ["/id", "/items/*/at"], "body": 200 });
    let gateway = gateway(json!({ "upstream": "there", "compare": compare }));
    let json = "content-type\0application/json; charset=utf-8\n";
    let ours = r#"{"id":1,"items":[{"at":1,"n":"secret"}]}"#;
    let told = |there: Outcome| {
        let there = RefCell::new(Some(there));
        let course = send(
            &gateway,
            incoming("GET", "", ""),
            || there.take().expect("one copy"),
            || answer(200, &format!("{json}etag\0a\n"), ours),
        );
        assert_eq!(course.body, ours.as_bytes(), "the client gets what it would get");
        assert!(matches!(course.before[0].interest, gateway_core::platform::Interest::Everything));
        course.notes.into_iter().map(|note| (note.problem, note.detail)).collect::<Vec<_>>()
    };
    let same = r#"{"items":[{"at":2,"n":"secret"}],"id":2}"#;
    assert_eq!(told(answer(200, &format!("{json}etag\0a\n"), same)), []);
    let differs = |what: &str| [("mirror-differs", format!("`there` answers otherwise: {what}"))];
    let other = r#"{"items":[{"n":"public"}],"more":1}"#;
    assert_eq!(
        told(answer(404, &format!("{json}etag\0b\n"), other)),
        differs("the status is 404 and not 200; `etag` is another one; /items/0/n is another value; /more is there")
    );
    let long = format!("{json}etag\0a\ncontent-length\x00300\n");
    assert_eq!(told(answer(200, &long, ours)), differs("the body there is too long to be compared"));
    let packed = format!("{json}etag\0a\ncontent-encoding\0gzip\n");
    assert_eq!(told(answer(200, &packed, ours)), differs("the body there has a content coding"));
}
