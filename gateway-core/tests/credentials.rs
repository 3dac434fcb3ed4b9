//! What upstreams are shown, in virtual time: tokens that are fetched once, renewed early and replaced when they are refused, tokens
//! that say who is calling, signatures, and nothing that the client says in their place.

#![cfg(all(feature = "compile", feature = "testing"))]
#![allow(clippy::panic, reason = "a test may fail")]

use bytes::Bytes;
use gateway_core::config::{self, Text};
use gateway_core::gateway::{LoadError, Reply};
use gateway_core::http::{Body, Headers, Incoming, Peer, Response, Scheme, parameters};
use gateway_core::jwt::{KeySet, Purpose, Token};
use gateway_core::platform::{Call, Failure, FetchError};
use gateway_core::testing::{TestPlatform, run};
use gateway_core::{Gateway, Platform};
use serde_json::{Map, Value, json};
use std::cell::{Cell, RefCell};
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

const SECRETS: [(&str, &str); 10] = [
    ("ORDERS_KEY", "the-orders-key"),
    ("STOCK_PASSWORD", "the-stock-password"),
    ("ORDERS_CLIENT_SECRET", "the-client-secret"),
    ("ORDERS_CLIENT_KEY", include_str!("keys/p256.private.pem")),
    ("IDENTITY_KEY", include_str!("keys/ed25519.private.pem")),
    ("NEXT_IDENTITY_KEY", include_str!("keys/p256.private.pem")),
    ("RSA_KEY", include_str!("keys/rsa.private.pem")),
    ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
    ("AWS_SECRET_ACCESS_KEY", "the-secret-access-key"),
    ("LAST", "the-last-secret"),
];

fn try_load(name: &str, configuration: String) -> Result<Gateway, LoadError> {
    let compiled = config::compile(Path::new(name), &Text(configuration));
    let artefact = compiled.artefact.unwrap_or_else(|| panic!("{:?}", compiled.problems));
    Gateway::load(Bytes::from(artefact), |reference| {
        SECRETS.iter().find(|(name, _)| *name == reference.name).map(|(_, value)| (*value).to_owned())
    })
}

fn load(name: &str, configuration: String) -> Gateway {
    try_load(name, configuration).expect("it can be loaded")
}

/// A gateway with one route to the upstream `u`, which shows these credentials.
fn gateway(credentials: Value) -> Gateway {
    gateway_with(json!({ "targets": [{ "url": "https://u.example" }], "credentials": credentials }))
}

fn gateway_with(upstream: Value) -> Gateway {
    let configuration = json!({
        "upstreams": { "u": upstream },
        "routes": [{ "name": "all", "upstream": "u" }],
        "identity": { "issuer": "https://gateway.example", "keys": "${secret:IDENTITY_KEY}" },
    });
    load("gateway.json", configuration.to_string())
}

fn oauth2() -> Value {
    json!({ "oauth2": {
        "token_url": "https://idp.example/token", "client_id": "gateway", "client_secret": "${secret:ORDERS_CLIENT_SECRET}",
    } })
}

fn request(method: &str, target: &str, block: &str, body: Body<Vec<u8>>) -> Incoming<Vec<u8>> {
    Incoming {
        method: method.into(),
        scheme: Scheme::Http,
        authority: "gateway.test".into(),
        target: target.into(),
        headers: Headers::from_block(block.as_bytes().to_vec()),
        body,
        peer: Peer { address: Some("192.0.2.1".parse().expect("an address")), ..Peer::default() },
    }
}

fn get() -> Incoming<Vec<u8>> {
    request("GET", "/x", "", Body::Empty)
}

type Outcome = Result<Response<Vec<u8>>, Failure>;

fn status(status: u16) -> Outcome {
    Ok(Response { status, headers: Headers::new(), body: Body::Stream(b"x".to_vec()) })
}

fn token(text: &str, seconds: u64) -> Outcome {
    let body = json!({ "access_token": text, "token_type": "Bearer", "expires_in": seconds }).to_string();
    Ok(Response { status: 200, headers: Headers::new(), body: Body::Stream(body.into_bytes()) })
}

fn is_question(call: &Call<Vec<u8>>) -> bool {
    call.authority == "idp.example"
}

fn field(call: &Call<Vec<u8>>, name: &str) -> String {
    call.headers.text(name).unwrap_or_default().to_owned()
}

fn form(call: &Call<Vec<u8>>) -> String {
    match &call.body {
        Body::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Body::Empty | Body::Stream(_) | Body::Pumped(..) | Body::Made(_) => String::new(),
    }
}

/// An authorisation server that gives `token-1`, `token-2` …, each for so many seconds; and how often it was asked.
fn server(lifetime: u64) -> (Rc<Cell<u64>>, impl FnMut() -> Outcome) {
    let asked = Rc::new(Cell::new(0));
    let count = asked.clone();
    let give = move || {
        count.set(count.get() + 1);
        token(&format!("token-{}", count.get()), lifetime)
    };
    (asked, give)
}

#[test]
fn a_token_is_asked_for_once_and_used_until_shortly_before_its_end() {
    let gateway = gateway(oauth2());
    let (asked, mut give) = server(600);
    let shown = RefCell::new(Vec::new());
    let platform = TestPlatform::new(|call: Call<Vec<u8>>| {
        if is_question(&call) {
            assert_eq!(field(&call, "authorization"), "Basic Z2F0ZXdheTp0aGUtY2xpZW50LXNlY3JldA==");
            assert_eq!(form(&call), "grant_type=client_credentials");
            return give();
        }
        shown.borrow_mut().push(field(&call, "authorization"));
        status(200)
    });
    // Five hundred seconds, then those in which it is renewed, then the next.
    for _ in 0..70 {
        assert_eq!(run(gateway.handle(&platform, get())).response.status, 200);
        platform.clock.set(platform.clock.get() + 10_000);
    }
    assert_eq!(asked.get(), 2);
    let shown = shown.borrow();
    assert!(shown[..54].iter().all(|token| token == "Bearer token-1"));
    assert!(shown[54..].iter().all(|token| token == "Bearer token-2"));
}

#[test]
fn many_who_come_at_once_wait_for_one_token() {
    let gateway = gateway(oauth2());
    let (asked, mut give) = server(600);
    let platform = TestPlatform::new(|call: Call<Vec<u8>>| {
        if is_question(&call) {
            give()
        } else {
            status(if field(&call, "authorization") == "Bearer token-1" { 200 } else { 401 })
        }
    });
    *platform.delay.borrow_mut() = Some(Box::new(|call| if is_question(call) { 700 } else { 1 }));
    let statuses = together((0..100).map(|_| gateway.handle(&platform, get())));
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    assert_eq!(asked.get(), 1);
}

/// The statuses of replies to requests that are under way at the same time.
fn together<'a>(requests: impl Iterator<Item = impl Future<Output = Reply<Vec<u8>>> + 'a>) -> Vec<u16> {
    let mut open: Vec<Pin<Box<dyn Future<Output = u16> + 'a>>> = requests
        .map(|request| -> Pin<Box<dyn Future<Output = u16> + 'a>> {
            Box::pin(async move { request.await.response.status })
        })
        .collect();
    let mut statuses = Vec::new();
    run(std::future::poll_fn(move |context| {
        open.retain_mut(|request| match request.as_mut().poll(context) {
            Poll::Ready(status) => {
                statuses.push(status);
                false
            }
            Poll::Pending => true,
        });
        if open.is_empty() { Poll::Ready(std::mem::take(&mut statuses)) } else { Poll::Pending }
    }))
}

#[test]
fn who_asks_and_goes_away_keeps_nobody_waiting_for_long() {
    let gateway = gateway(oauth2());
    let (asked, mut give) = server(600);
    let platform = TestPlatform::new(|call: Call<Vec<u8>>| if is_question(&call) { give() } else { status(200) });
    *platform.delay.borrow_mut() = Some(Box::new(|call| if is_question(call) { 4_000 } else { 1 }));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    // Its code never runs again, without a word; then one whose code is ended in order.
    let mut first = Box::pin(gateway.handle(&platform, get()));
    assert!(first.as_mut().poll(&mut context).is_pending());
    std::mem::forget(first);
    let begun = platform.clock.get();
    assert_eq!(run(gateway.handle(&platform, get())).response.status, 200);
    assert!(platform.clock.get() - begun < 11_000, "{}", platform.clock.get() - begun);
    assert_eq!(asked.get(), 1, "the other one's answer never came");
}

#[test]
fn a_token_that_is_refused_is_replaced_and_the_request_sent_once_more() {
    let gateway = gateway(oauth2());
    let (asked, mut give) = server(600);
    let shown = RefCell::new(Vec::new());
    let good = Cell::new("Bearer token-1");
    let platform = TestPlatform::new(|call: Call<Vec<u8>>| {
        if is_question(&call) {
            return give();
        }
        let shows = field(&call, "authorization");
        shown.borrow_mut().push(shows.clone());
        status(if shows == good.get() { 200 } else { 401 })
    });
    let ask = |body: Body<Vec<u8>>| run(gateway.handle(&platform, request("PUT", "/x", "content-length\x001\n", body)));
    assert_eq!(ask(Body::Bytes(Bytes::from_static(b"x"))).response.status, 200);
    platform.clock.set(platform.clock.get() + 60_000);
    // Revoked.
    good.set("Bearer token-2");
    assert_eq!(ask(Body::Bytes(Bytes::from_static(b"x"))).response.status, 200);
    assert_eq!(
        (asked.get(), shown.take()),
        (2, vec!["Bearer token-1".to_owned(), "Bearer token-1".into(), "Bearer token-2".into()])
    );
    // None is taken any more: one more token, and then peace for ten seconds.
    good.set("nothing");
    platform.clock.set(platform.clock.get() + 60_000);
    for _ in 0..20 {
        assert_eq!(ask(Body::Empty).response.status, 401);
        platform.clock.set(platform.clock.get() + 400);
    }
    assert_eq!(asked.get(), 3);
    platform.clock.set(platform.clock.get() + 10_000);
    // A body that was streamed is gone; the next request has another token.
    good.set("Bearer token-4");
    assert_eq!(ask(Body::Stream(b"x".to_vec())).response.status, 401);
    assert_eq!(ask(Body::Stream(b"x".to_vec())).response.status, 200);
    assert_eq!(asked.get(), 4);
    assert_eq!(platform.discarded.get(), 2, "answers that nobody sees are let go");
}

#[test]
fn without_a_token_nothing_is_sent_and_nobody_is_blamed() {
    let gateway = gateway_with(json!({
        "targets": [{ "url": "https://a.example" }, { "url": "https://b.example" }], "credentials": oauth2(),
        "breaker": { "consecutive_failures": 2 }, "retries": { "attempts": 2 },
    }));
    let asked = Cell::new(0);
    let answer = Cell::new(0);
    let sent = Cell::new(0);
    let platform = TestPlatform::new(|call: Call<Vec<u8>>| {
        if !is_question(&call) {
            sent.set(sent.get() + 1);
            return status(200);
        }
        asked.set(asked.get() + 1);
        let said = |status, body: &str| {
            Ok(Response { status, headers: Headers::new(), body: Body::Stream(body.as_bytes().to_vec()) })
        };
        match answer.get() {
            0 => Err(Failure { error: FetchError::Unreachable, detail: "refused".to_owned() }),
            1 => said(401, r#"{"error":"invalid_client","error_description":"the-client-secret is wrong"}"#),
            2 => said(200, r#"{"access_token":"t","token_type":"DPoP"}"#),
            3 => said(400, r#"{"error":"the-client-secret"}"#),
            _ => token("t", 600),
        }
    });
    let mut details = Vec::new();
    for turn in 0..4 {
        answer.set(turn);
        let reply = run(gateway.handle(&platform, get()));
        assert_eq!(reply.response.status, 503);
        assert_eq!(reply.response.headers.text("retry-after"), Some("5"));
        let body = match reply.response.body {
            Body::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Body::Empty | Body::Stream(_) | Body::Pumped(..) | Body::Made(_) => String::new(),
        };
        assert!(body.contains("urn:postern:problem:upstream-credential") && !body.contains("idp"), "{body}");
        details.extend(reply.notes.into_iter().map(|note| note.detail));
        // Again, at once: nobody is asked.
        assert_eq!(run(gateway.handle(&platform, get())).response.status, 503);
        platform.clock.set(platform.clock.get() + 30_000);
    }
    assert_eq!((asked.get(), sent.get()), (4, 0));
    let details = details.join("\n");
    for told in ["Unreachable", "status 401, invalid_client", "no bearer token", "status 400"] {
        assert!(details.contains(told), "{told}: {details}");
    }
    assert!(!details.contains("the-client-secret"), "{details}");
    // The breaker is closed and no target is out.
    answer.set(4);
    assert_eq!(run(gateway.handle(&platform, get())).response.status, 200);
}

#[test]
fn who_has_little_time_takes_the_token_from_nobody() {
    let gateway = gateway_with(json!({
        "targets": [{ "url": "https://u.example" }], "credentials": oauth2(), "deadline_header": "x-timeout",
    }));
    let (asked, mut give) = server(600);
    let platform = TestPlatform::new(|call: Call<Vec<u8>>| if is_question(&call) { give() } else { status(200) });
    *platform.delay.borrow_mut() = Some(Box::new(|call| if is_question(call) { 700 } else { 1 }));
    let hurried = |time: &str| request("GET", "/x", &format!("x-timeout\0{time}\n"), Body::Empty);
    let send = |incoming| run(gateway.handle(&platform, incoming)).response.status;
    // The one that fails is the hurried one alone, however often it comes.
    for time in ["1ms", "50ms", "600ms"] {
        for _ in 0..5 {
            assert_eq!(send(hurried(time)), 503, "{time}");
        }
    }
    assert_eq!(send(get()), 200);
    assert_eq!(asked.get(), 1);
    // Nor does it spend on another token what it needs to use the one that is known.
    platform.clock.set(platform.clock.get() + 560_000);
    for _ in 0..5 {
        let begun = platform.clock.get();
        assert_eq!(send(hurried("400ms")), 200);
        assert!(platform.clock.get() - begun <= 201);
    }
    assert_eq!(send(hurried("1ms")), 504, "its target takes as long");
    assert_eq!(asked.get(), 1);
    platform.clock.set(platform.clock.get() + 60_000);
    assert_eq!(send(hurried("50ms")), 503);
    assert_eq!(send(get()), 200);
    assert_eq!(asked.get(), 2);
}

#[test]
fn a_server_that_hangs_takes_no_longer_than_the_request_may() {
    let gateway = gateway_with(json!({
        "targets": [{ "url": "https://u.example" }], "credentials": oauth2(), "timeouts": { "attempt": "1s", "total": "2s" },
    }));
    let platform = TestPlatform::new(|_| status(200));
    *platform.delay.borrow_mut() = Some(Box::new(|call| if is_question(call) { 60_000 } else { 1 }));
    let begun = platform.clock.get();
    assert_eq!(run(gateway.handle(&platform, get())).response.status, 503);
    assert!(platform.clock.get() - begun <= 1_000);
}

#[test]
fn a_form_says_what_is_configured_and_a_key_signs_an_assertion() {
    let gateway = gateway(json!({ "oauth2": {
        "token_url": "https://idp.example/token", "client_id": "the gateway", "client_key": "${secret:ORDERS_CLIENT_KEY}",
        "client_key_id": "k1", "scopes": ["a", "b"], "audience": "orders", "resource": ["https://a", "https://b"],
        "parameters": { "x": "1&2" }, "header": "x-token",
    } }));
    let seen = RefCell::new(String::new());
    let platform = TestPlatform::new(|call: Call<Vec<u8>>| {
        if is_question(&call) {
            *seen.borrow_mut() = form(&call);
            return token("t", 60);
        }
        assert_eq!((field(&call, "x-token"), field(&call, "authorization")), ("Bearer t".into(), "mine".into()));
        status(200)
    });
    let reply =
        run(gateway
            .handle(&platform, request("GET", "/x", "x_token\0no\nX-Token\0no\nauthorization\0mine\n", Body::Empty)));
    assert_eq!(reply.response.status, 200);
    let seen = seen.borrow();
    let all = |name: &str| parameters(&seen, name).map(std::borrow::Cow::into_owned).collect::<Vec<_>>();
    assert_eq!(
        (all("scope"), all("audience"), all("x")),
        (vec!["a b".to_owned()], vec!["orders".into()], vec!["1&2".into()])
    );
    assert_eq!(all("resource"), ["https://a", "https://b"]);
    let assertion = all("client_assertion").remove(0);
    let read = Token::read(&assertion, Purpose::Token).expect("a token");
    assert_eq!(read.header.key_id.as_deref(), Some("k1"));
    let claims = read.claims().expect("claims");
    assert_eq!((&claims["iss"], &claims["aud"]), (&json!("the gateway"), &json!("https://idp.example/token")));
}

/// Who calls, and what an upstream is told of it.
fn identity(credential: Value) -> Gateway {
    let configuration = json!({
        "identity": {
            "issuer": "https://gateway.example", "lifetime": "2m",
            "keys": ["${secret:IDENTITY_KEY}", "${secret:NEXT_IDENTITY_KEY}", "${secret:RSA_KEY}"],
        },
        "consumers": [{ "name": "alice", "groups": ["a", "b"],
            "keys": { "hash": "25f3a632ac07885d3a7079dc982dc1a241f3e4b4af8acc6617948df20270b2bd", "prefix": "alice-key-t" } }],
        "upstreams": { "u": { "targets": [{ "url": "https://u.example" }], "credentials": { "identity": credential } } },
        "routes": [
            { "name": "keys", "path": "/keys", "publish": "identity_keys" },
            { "name": "all", "upstream": "u",
              "policies": [{ "authenticate": { "any_of": [{ "api_key": {} }, "anonymous"] } }] },
        ],
    });
    load("gateway.json", configuration.to_string())
}

const ALICE: &str = "x-api-key\0alice-key-two-0123456789\n";

fn told(gateway: &Gateway, platform: &impl Platform<Stream = Vec<u8>>, block: &str) -> u16 {
    run(gateway.handle(platform, request("GET", "/x", block, Body::Empty))).response.status
}

#[test]
fn an_upstream_is_told_who_is_calling_by_a_token_that_the_published_keys_vouch_for() {
    let gateway = identity(json!({ "audience": "orders" }));
    let seen = RefCell::new(Vec::new());
    let platform = TestPlatform::new(|call: Call<Vec<u8>>| {
        seen.borrow_mut().push(call.headers.text("x-identity").map(str::to_owned));
        assert!(!call.headers.iter().any(|(name, _)| name == "x_identity"));
        status(200)
    });
    let keys = run(gateway.handle(&platform, request("GET", "/keys", "", Body::Empty))).response;
    let Body::Bytes(published) = &keys.body else { panic!("no body") };
    assert_eq!(keys.headers.text("content-type"), Some("application/jwk-set+json"));
    assert_eq!(keys.headers.text("cache-control"), Some("public, max-age=300"));
    let set = KeySet::published(published, &[]).expect("a set of keys");
    assert_eq!(set.len(), 3);
    let text = String::from_utf8_lossy(published);
    assert!(["\"d\"", "\"p\"", "\"q\"", "PRIVATE"].iter().all(|part| !text.contains(part)), "{text}");
    let tag = keys.headers.text("etag").expect("a tag");
    let again = request("GET", "/keys", &format!("if-none-match\0{tag}\n"), Body::Empty);
    assert_eq!(run(gateway.handle(&platform, again)).response.status, 304);

    for _ in 0..2 {
        assert_eq!(told(&gateway, &platform, ALICE), 200);
    }
    assert_eq!(told(&gateway, &platform, "x-identity\0forged\nx_identity\0forged\n"), 200);
    let seen = seen.take();
    assert_eq!(seen[2], None, "nobody is known to be calling");
    let claims: Vec<Map<String, Value>> = seen[..2]
        .iter()
        .map(|text| {
            let token = Token::read(text.as_deref().expect("a token"), Purpose::Token).expect("a token");
            set.verify(&token).expect("a right signature");
            token.claims().expect("claims")
        })
        .collect();
    let now = platform.clock.get() / 1000;
    let expected = json!({
        "iss": "https://gateway.example", "aud": "orders", "sub": "alice", "consumer": "alice", "groups": ["a", "b"],
        "iat": now, "exp": now + 120, "jti": claims[0]["jti"],
    });
    assert_eq!(Value::Object(claims[0].clone()), expected);
    assert_ne!(claims[0]["jti"], claims[1]["jti"]);
}

#[test]
fn a_token_is_sent_again_only_where_that_is_asked_for_and_only_for_the_same_caller() {
    let gateway = identity(json!({ "audience": "orders", "reuse": "20s", "header": "authorization" }));
    let seen = RefCell::new(Vec::new());
    let platform = TestPlatform::new(|call: Call<Vec<u8>>| {
        seen.borrow_mut().push(field(&call, "authorization"));
        status(200)
    });
    told(&gateway, &platform, ALICE);
    told(&gateway, &platform, ALICE);
    told(&gateway, &platform, "");
    platform.clock.set(platform.clock.get() + 20_000);
    told(&gateway, &platform, ALICE);
    let seen = seen.take();
    assert!(seen[0].starts_with("Bearer ey"));
    assert_eq!((seen[0] == seen[1], seen[0] == seen[3], seen[2].as_str()), (true, false, ""));
}

#[test]
fn what_one_upstream_is_shown_never_reaches_the_one_that_stands_in_for_it() {
    let configuration = json!({
        "upstreams": {
            "a": {
                "targets": [{ "url": "https://a.example" }], "fallback": { "upstream": "b", "statuses": [500] },
                "credentials": [{ "header": { "name": "x-key", "value": "${secret:ORDERS_KEY}" } }],
            },
            "b": { "targets": [{ "url": "https://b.example" }] },
        },
        "routes": [{ "name": "all", "upstream": "a" }],
    });
    let gateway = load("gateway.json", configuration.to_string());
    let seen = RefCell::new(Vec::new());
    let platform = TestPlatform::new(|call: Call<Vec<u8>>| {
        seen.borrow_mut().push((call.authority.clone(), field(&call, "x-key")));
        status(if call.authority == "a.example" { 500 } else { 200 })
    });
    assert_eq!(run(gateway.handle(&platform, get())).response.status, 200);
    assert_eq!(
        seen.take(),
        [("a.example".to_owned(), "the-orders-key".to_owned()), ("b.example".into(), String::new())]
    );
}

fn aws(service: &str, more: Value) -> Gateway {
    let mut aws = json!({
        "region": "us-east-1", "service": service, "access_key_id": "${secret:AWS_ACCESS_KEY_ID}",
        "secret_access_key": "${secret:AWS_SECRET_ACCESS_KEY}",
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        aws[name] = value.clone();
    }
    gateway_with(json!({ "targets": [{ "url": "https://u.example:443/base" }], "credentials": { "aws": aws } }))
}

#[test]
fn what_is_signed_for_aws_is_what_is_sent() {
    let gateway = aws("s3", json!({ "body": "4B" }));
    let seen = RefCell::new(Vec::new());
    let platform = TestPlatform::new(|call: Call<Vec<u8>>| {
        let body = match &call.body {
            Body::Empty => "nothing",
            Body::Bytes(_) => "memory",
            Body::Stream(_) | Body::Pumped(..) | Body::Made(_) => "stream",
        };
        assert!(
            field(&call, "authorization").starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20250615/us-east-1/s3/")
        );
        seen.borrow_mut().push((
            call.authority.clone(),
            call.target.clone(),
            body,
            field(&call, "x-amz-content-sha256"),
        ));
        status(200)
    });
    let send = |length: &str, body: Body<Vec<u8>>| {
        let block = format!("{length}x-amz-date\0forged\nauthorization\0mine\n");
        run(gateway.handle(&platform, request("PUT", "/a'b?x=a+b", &block, body))).response.status
    };
    assert_eq!(send("", Body::Empty), 200);
    assert_eq!(send("content-length\x004\n", Body::Stream(b"1234".to_vec())), 200);
    assert_eq!(send("content-length\x005\n", Body::Stream(b"12345".to_vec())), 200);
    assert_eq!(send("", Body::Stream(b"1234".to_vec())), 200);
    let (host, target) = ("u.example".to_owned(), "/base/a%27b?x=a%20b".to_owned());
    let (none, four, unsigned) = (
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".to_owned(),
        "03ac674216f3e15c761ee1a5e255f067953623c8b388b4459e13f978d7c846f4".to_owned(),
        "UNSIGNED-PAYLOAD".to_owned(),
    );
    let expected = [("nothing", none), ("memory", four), ("stream", unsigned.clone()), ("stream", unsigned)];
    let expected: Vec<_> =
        expected.into_iter().map(|(body, hash)| (host.clone(), target.clone(), body, hash)).collect();
    assert_eq!(seen.take(), expected);
}

#[test]
fn a_body_that_cannot_be_hashed_is_refused_where_nobody_takes_it_unsigned() {
    let gateway = aws("execute-api", json!({ "body": "4B" }));
    let sent = Cell::new(0);
    let platform = TestPlatform::new(|_| {
        sent.set(sent.get() + 1);
        status(200)
    });
    for (length, body, expected) in [
        ("content-length\x004\n", "1234", 200),
        ("content-length\x005\n", "12345", 413),
        ("", "1234", 200),
        ("", "12345", 413),
    ] {
        let request = request("POST", "/x", length, Body::Stream(body.as_bytes().to_vec()));
        let reply = run(gateway.handle(&platform, request));
        assert_eq!(reply.response.status, expected, "{body}");
        if let (413, Body::Bytes(problem)) = (expected, &reply.response.body) {
            assert!(String::from_utf8_lossy(problem).contains("longer than the 4 bytes"));
        }
    }
    assert_eq!(sent.get(), 2);
}

#[test]
fn a_secret_that_cannot_be_used_is_found_when_the_gateway_starts_and_not_told() {
    for (credential, why) in [
        (
            json!({ "aws": { "region": "r", "service": "s3", "access_key_id": "${secret:IDENTITY_KEY}", "secret_access_key": "${secret:LAST}" } }),
            "access_key_id",
        ),
        (json!({ "header": { "name": "x-key", "value": "${secret:IDENTITY_KEY}" } }), "x-key"),
        (
            json!({ "oauth2": { "token_url": "https://idp.example/", "client_id": "g", "client_key": "${secret:LAST}" } }),
            "neither PEM nor a JWK",
        ),
    ] {
        let configuration = json!({
            "upstreams": { "u": { "targets": [{ "url": "https://u.example" }], "credentials": credential } },
            "routes": [{ "name": "all", "upstream": "u" }],
        });
        let told = match try_load("gateway.json", configuration.to_string()) {
            Err(LoadError::Keys(told)) => told,
            other => panic!("{other:?}"),
        };
        assert!(told.contains("upstream `u`") && told.contains(why), "{told}");
        assert!(!told.contains("the-last-secret") && !told.contains("PRIVATE KEY"), "{told}");
    }
}

/// Nobody who prints a gateway, a call or an error sees a secret.
#[test]
fn what_is_printed_has_no_secret() {
    let gateway = gateway(json!([oauth2(), { "header": { "name": "x-key", "value": "${secret:ORDERS_KEY}" } }]));
    let printed = format!("{gateway:?} {:?}", gateway.upstreams());
    assert!(!printed.contains("the-orders-key") && !printed.contains("the-client-secret"), "{printed}");
}

/// Lines such as `GET /x  field: value → name: value` or `→ no name`: a request with fields, and what its target gets. A value that
/// ends in `…` may go on, one that begins with `{` is what a token says, and `via NAME` is the way to the target.
#[test]
fn the_examples_of_the_documentation_do_what_stands_beside_them() {
    let document = include_str!("../../docs/credentials.md");
    let mut played = 0;
    for example in document.split("```yaml\n").skip(1) {
        let (configuration, rest) = example.split_once("```").expect("a block ends");
        let gateway = load("gateway.yaml", configuration.to_owned());
        let lines =
            rest.split_once("```text\n").and_then(|(_, rest)| rest.split_once("```")).expect("lines beside it").0;
        for line in lines.lines() {
            let (asked, expected) = line.split_once(" → ").expect("an arrow");
            let mut parts = asked.split("  ").map(str::trim).filter(|part| !part.is_empty());
            let (method, target) = parts.next().and_then(|part| part.split_once(' ')).expect("a method and a target");
            let block: String = parts.map(|part| part.replacen(": ", "\0", 1) + "\n").collect();
            let seen = RefCell::new(Vec::new());
            let platform = TestPlatform::new(|call: Call<Vec<u8>>| {
                if is_question_of_docs(&call) {
                    return token("token-1", 600);
                }
                seen.borrow_mut().push((call.binding.clone(), call.headers.clone()));
                status(200)
            });
            let reply = run(gateway.handle(&platform, request(method, target, &block, Body::Empty)));
            drop(platform);
            assert_eq!(reply.response.status, 200, "{line}");
            let seen = seen.take();
            let [(binding, headers)] = seen.as_slice() else { panic!("{line}: {seen:?}") };
            let (expected, absent) = match expected.split_once("no ") {
                Some((expected, absent)) => (expected.trim(), Some(absent)),
                None => (expected, None),
            };
            if let Some(absent) = absent {
                assert!(!headers.contains(absent), "{line}");
            }
            if let Some(via) = expected.strip_prefix("via ") {
                assert_eq!(binding.as_deref(), Some(via), "{line}");
            } else if let Some((name, value)) = expected.split_once(": ") {
                let found = headers.text(name).unwrap_or_default();
                if value.starts_with('{') {
                    let claims = Token::read(found, Purpose::Token).expect("a token").claims().expect("claims");
                    let said: Map<String, Value> = serde_json::from_str(value).expect("JSON");
                    said.iter().for_each(|(name, value)| assert_eq!(claims.get(name), Some(value), "{line}"));
                } else if let Some(start) = value.strip_suffix('…') {
                    assert!(found.starts_with(start), "{line}: {found}");
                } else {
                    assert_eq!(found, value, "{line}");
                }
            }
            played += 1;
        }
    }
    assert!(played >= 10, "{played}");
}

fn is_question_of_docs(call: &Call<Vec<u8>>) -> bool {
    call.authority == "idp.example.com"
}
