//! Consumers of the configuration and of the store, as requests meet them, in virtual time.

#![cfg(all(feature = "compile", feature = "testing"))]
#![allow(clippy::panic, reason = "a test may fail")]

use std::path::Path;

use bytes::Bytes;
use gateway_core::{
    Gateway,
    config::{Text, compile},
    consumer::{By, hash},
    http::{Body, Headers, Incoming, Peer, Scheme},
    platform::{Failure, FetchError},
    testing::{TestPlatform, run},
};

const KEY: &str = "pk_st0r_0123456789012345678901234567890AB";

#[test]
fn a_key_of_the_store_works_until_it_is_revoked_and_no_longer_than_it_is_held() {
    let (gateway, platform) = (gateway("consumers_from: store"), platform());
    assert_eq!(asked(&gateway, &platform, KEY), (401, String::new()));
    store(&platform, &[("partners", KEY)], None);
    assert_eq!(asked(&gateway, &platform, KEY).0, 401, "that it is nobody's is held, too");
    tick(&platform, 30_000);
    assert_eq!(asked(&gateway, &platform, KEY), (200, "carol partners pk_st0r".to_owned()));
    tick(&platform, 29_999);
    platform.store.borrow_mut().clear();
    assert_eq!(asked(&gateway, &platform, KEY).0, 200);
    tick(&platform, 1);
    assert_eq!(asked(&gateway, &platform, KEY).0, 401);
    assert_eq!(platform.lookups.get(), 3, "once for each answer");
}

#[test]
fn a_key_of_the_store_expires_while_it_is_held() {
    let (gateway, platform) = (gateway("consumers_from: { store: { hold: 1h } }"), platform());
    store(&platform, &[("partners", KEY)], Some(platform.clock.get() + 1000));
    assert_eq!(asked(&gateway, &platform, KEY).0, 200);
    tick(&platform, 1000);
    assert_eq!(asked(&gateway, &platform, KEY).0, 401);
}

#[test]
fn when_the_store_fails_those_it_knew_go_on_and_others_are_told_to_come_back() {
    let (gateway, platform) = (gateway("consumers_from: store"), platform());
    store(&platform, &[("partners", KEY)], None);
    assert_eq!(asked(&gateway, &platform, KEY).0, 200);
    platform.store_fails.set(true);
    tick(&platform, 31_000);
    assert_eq!(asked(&gateway, &platform, KEY).0, 200);
    assert_eq!(asked(&gateway, &platform, KEY).0, 200);
    assert_eq!(platform.lookups.get(), 2, "a store that fails is not asked with every request");
    assert_eq!(asked(&gateway, &platform, "pk_unknown").0, 503);
    tick(&platform, 3_600_000);
    assert_eq!(asked(&gateway, &platform, KEY).0, 503);
    platform.store_fails.set(false);
    assert_eq!(asked(&gateway, &platform, KEY).0, 200);
}

#[test]
fn or_nobody_goes_on() {
    let rules = "consumers_from: { store: { hold: 10s, on_failure: refuse } }";
    let (gateway, platform) = (gateway(rules), platform());
    store(&platform, &[("partners", KEY)], None);
    assert_eq!(asked(&gateway, &platform, KEY).0, 200);
    platform.store_fails.set(true);
    assert_eq!(asked(&gateway, &platform, KEY).0, 200);
    tick(&platform, 10_000);
    assert_eq!(asked(&gateway, &platform, KEY).0, 503);
}

#[test]
fn what_is_known_without_the_store_does_not_wait_for_it() {
    let (gateway, platform) = (gateway("consumers_from: store"), platform());
    platform.store_fails.set(true);
    assert_eq!(asked(&gateway, &platform, "the-key-of-alice-in-the-file"), (200, "alice staff the-".to_owned()));
    assert_eq!(platform.lookups.get(), 0);
    // And without a store, none is asked.
    let (gateway, platform) = (self::gateway(""), self::platform());
    store(&platform, &[("partners", KEY)], None);
    assert_eq!(asked(&gateway, &platform, KEY).0, 401);
    assert_eq!(platform.lookups.get(), 0);
}

#[test]
fn a_consumer_of_the_configuration_has_its_groups_with_a_key_of_the_store_too() {
    let (gateway, platform) = (gateway("consumers_from: store"), platform());
    let record = serde_json::json!({ "name": "alice", "keys": [{ "hash": hash(KEY), "prefix": "pk_st0r" }] });
    put(&platform, &record.to_string());
    assert_eq!(asked(&gateway, &platform, KEY), (200, "alice staff pk_st0r".to_owned()));
}

#[test]
fn a_record_that_is_damaged_or_of_another_key_lets_nobody_in() {
    for (record, status) in [
        ("", 503),
        ("[]", 503),
        ("{\"name\": 5}", 503),
        ("{}", 401),
        (r#"{"name":"mallory","keys":[{"hash":"00","prefix":"x"}]}"#, 401),
    ] {
        let (gateway, platform) = (gateway("consumers_from: store"), platform());
        put(&platform, record);
        assert_eq!(asked(&gateway, &platform, KEY).0, status, "{record}");
    }
}

fn platform() -> TestPlatform<'static> {
    TestPlatform::new(|_| Err(Failure { error: FetchError::Unreachable, detail: String::new() }))
}

fn gateway(more: &str) -> Gateway {
    let key = hash("the-key-of-alice-in-the-file");
    let text = format!(
        "{more}
consumers:
  - {{ name: alice, groups: staff, keys: {{ hash: {key}, prefix: the- }} }}
routes:
  - name: all
    respond: {{ body: '{{consumer.name}} {{consumer.groups}} {{consumer.credential}}' }}
    policies: [{{ authenticate: {{ any_of: {{ api_key: {{}} }} }} }}]
"
    );
    let compiled = compile(Path::new("gateway.yaml"), &Text(text));
    let artefact = compiled.artefact.unwrap_or_else(|| panic!("{:?}", compiled.problems));
    Gateway::load(Bytes::from(artefact), |_| None).expect("it loads")
}

fn store(platform: &TestPlatform<'_>, keys: &[(&str, &str)], expires: Option<u64>) {
    for (group, key) in keys {
        let key = serde_json::json!({ "hash": hash(key), "prefix": &key[..7], "expires": expires });
        put(platform, &serde_json::json!({ "name": "carol", "groups": [group], "keys": [key] }).to_string());
    }
}

fn put(platform: &TestPlatform<'_>, record: &str) {
    let key = By::Key(&hash(KEY)).stored();
    platform.store.borrow_mut().insert(key, Bytes::from(record.to_owned()));
}

fn tick(platform: &TestPlatform<'_>, milliseconds: u64) {
    platform.clock.set(platform.clock.get() + milliseconds);
}

/// The status, and the body where all is well.
fn asked(gateway: &Gateway, platform: &TestPlatform<'_>, key: &str) -> (u16, String) {
    let mut headers = Headers::new();
    headers.receive("x-api-key", key.as_bytes());
    let incoming = Incoming {
        method: "GET".into(),
        scheme: Scheme::Https,
        authority: "api.example".into(),
        target: "/".into(),
        headers,
        body: Body::Empty,
        peer: Peer::default(),
    };
    let reply = run(gateway.handle(platform, incoming));
    let text = match reply.response.body {
        Body::Bytes(bytes) if reply.response.status == 200 => String::from_utf8_lossy(&bytes).into_owned(),
        _ => String::new(),
    };
    (reply.response.status, text)
}
