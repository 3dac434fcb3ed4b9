//! Limits as requests meet them, in virtual time: what only the store, the clock or a failure shows.

#![cfg(all(feature = "compile", feature = "testing"))]
#![allow(clippy::panic, reason = "a test may fail")]

use std::path::Path;

use bytes::Bytes;
use gateway_core::{
    Gateway, Reply,
    config::{Text, compile},
    http::{Body, Headers, Incoming, Peer, Response, Scheme},
    platform::Call,
    testing::{TestPlatform, run},
};
use sfv::{BareItem, ListEntry, Parser};

#[test]
fn tokens_come_back_with_time_in_every_scope() {
    for scope in ["instance", "location", "global"] {
        let limits =
            format!("[{{ rate_limit: {{ limits: {{ rate: 2 per 10s, algorithm: token_bucket }}, scope: {scope} }} }}]");
        let (gateway, platform) = (gateway(&limits), platform());
        assert_eq!(statuses(&gateway, &platform, 3), [200, 200, 429], "{scope}");
        tick(&platform, 4_999);
        assert_eq!(statuses(&gateway, &platform, 1), [429], "{scope}");
        tick(&platform, 1);
        assert_eq!(statuses(&gateway, &platform, 2), [200, 429], "{scope}");
        assert_eq!(platform.takes.get(), if scope == "instance" { 0 } else { 6 }, "{scope}");
    }
}

#[test]
fn who_waits_passes_when_it_is_due_and_who_would_wait_too_long_is_refused() {
    let (gateway, platform) = (gateway("[{ spike_arrest: { rate: 10 per second, delay: 250ms } }]"), platform());
    let start = platform.clock.get();
    assert_eq!(statuses(&gateway, &platform, 3), [200, 200, 200]);
    assert_eq!(platform.clock.get() - start, 200, "the clock of a test moves when somebody waits");
    platform.clock.set(start);
    assert_eq!(statuses(&gateway, &platform, 1), [429]);
}

#[test]
fn the_store_changes_a_plan_within_half_a_minute() {
    let limits = "[{ authenticate: { any_of: { basic: {} } } },
        { rate_limit: { name: api, limits: 1 per hour, plans: { gold: 3 per hour }, key: consumer, plans_from: store } }]";
    let (gateway, platform) = (gateway(limits), platform());
    assert_eq!(statuses(&gateway, &platform, 2), [200, 429]);
    let put =
        |key: &str, record: &str| platform.store.borrow_mut().insert(key.to_owned(), Bytes::from(record.to_owned()));
    put("plan/group/staff", r#"{ "plan": "gold" }"#);
    assert_eq!(statuses(&gateway, &platform, 1), [429], "what the store said before still counts");
    tick(&platform, 30_000);
    assert_eq!(statuses(&gateway, &platform, 3), [200, 200, 429]);
    put("plan/consumer/alice", r#"{ "limits": { "api": ["1,000 per hour"] } }"#);
    tick(&platform, 30_000);
    assert_eq!(statuses(&gateway, &platform, 5), [200; 5]);
    for damaged in ["", "[]", r#"{ "limits": { "api": ["much"] } }"#, r#"{ "limits": { "api": [] } }"#] {
        put("plan/consumer/alice", damaged);
        tick(&platform, 30_000);
        assert!([200, 429].contains(&statuses(&gateway, &platform, 1)[0]), "{damaged}");
    }
    platform.store.borrow_mut().clear();
    tick(&platform, 30_000);
    assert_eq!(statuses(&gateway, &platform, 1), [429]);
    assert!(platform.lookups.get() <= 24, "the store is not asked with every request: {}", platform.lookups.get());
}

#[test]
fn when_nobody_can_count_requests_pass_or_are_refused_and_the_log_hears_of_it() {
    for (on_failure, status) in [("", 200), (", on_failure: open", 200), (", on_failure: closed", 503)] {
        for mode in ["exact", "leased"] {
            let limits = format!("[{{ rate_limit: {{ limits: 1 per hour, mode: {mode}{on_failure} }} }}]");
            let (gateway, platform) = (gateway(&limits), platform());
            platform.counting_fails.set(true);
            for _ in 0..3 {
                let reply = ask(&gateway, &platform);
                assert_eq!(reply.response.status, status, "{limits}");
                assert_eq!(reply.notes.iter().map(|note| note.problem).collect::<Vec<_>>(), ["limit-uncertain"]);
            }
            platform.counting_fails.set(false);
            assert_eq!(statuses(&gateway, &platform, 2), [200, 429], "{limits}");
        }
    }
}

#[test]
fn a_dry_run_reports_what_it_would_have_refused() {
    let (gateway, platform) = (gateway("[{ rate_limit: { limits: 1 per hour, dry_run: true } }]"), platform());
    assert!(ask(&gateway, &platform).notes.is_empty());
    let reply = ask(&gateway, &platform);
    assert_eq!((reply.response.status, reply.notes[0].problem), (200, "limit-reached"));
}

#[test]
fn a_dry_run_neither_refuses_nor_delays_for_any_reason() {
    for (policy, fails, problem) in [
        (
            "rate_limit: { limits: 1 per hour, dry_run: true, key: { header: x-tenant }, missing_key: refuse }",
            false,
            "limit-reached",
        ),
        ("rate_limit: { limits: 1 per hour, dry_run: true, on_failure: closed }", true, "limit-uncertain"),
        ("spike_arrest: { rate: 1 per minute, dry_run: true, delay: 1h }", false, "limit-reached"),
    ] {
        let (gateway, platform) = (gateway(&format!("[{{ {policy} }}]")), platform());
        platform.counting_fails.set(fails);
        let start = platform.clock.get();
        ask(&gateway, &platform);
        let reply = ask(&gateway, &platform);
        let notes: Vec<_> = reply.notes.iter().map(|note| note.problem).collect();
        assert_eq!((reply.response.status, notes), (200, vec![problem]), "{policy}");
        assert_eq!(platform.clock.get(), start, "{policy}");
    }
}

#[test]
fn limits_of_different_shapes_do_not_reset_each_other() {
    for scope in ["instance", "location", "global"] {
        let limits = format!(
            "[{{ authenticate: {{ any_of: [{{ basic: {{}} }}, anonymous] }} }},
              {{ rate_limit: {{ limits: 1 per minute, plans: {{ staff: 2 per hour }}, scope: {scope} }} }}]"
        );
        let (gateway, platform) = (gateway(&limits), platform());
        let known = || statuses(&gateway, &platform, 1)[0];
        let nobody = || {
            let incoming = Incoming { headers: Headers::new(), ..incoming() };
            run(gateway.handle(&platform, incoming)).response.status
        };
        assert_eq!([known(), nobody(), known(), nobody(), known()], [200, 200, 200, 429, 429], "{scope}");
    }
}

#[test]
fn a_lease_ends_with_its_answer_or_by_itself() {
    let (gateway, platform) = (gateway("[{ concurrency: { limit: 1, hold: 20s } }]"), platform());
    let reply = ask(&gateway, &platform);
    assert_eq!((reply.response.status, reply.deferred.len()), (200, 1));
    assert_eq!(statuses(&gateway, &platform, 1), [429], "the first is not settled yet");
    run(gateway.settle(&platform, reply.deferred));
    let lost = ask(&gateway, &platform);
    assert_eq!(lost.response.status, 200);
    tick(&platform, 19_999);
    assert_eq!(statuses(&gateway, &platform, 1), [429]);
    tick(&platform, 1);
    assert_eq!(statuses(&gateway, &platform, 1), [200]);
}

#[test]
fn a_quota_begins_anew_with_its_period() {
    let (gateway, platform) =
        (gateway("[{ quota: { limits: 1 per day, zone: Asia/Kolkata, key: everybody } }]"), platform());
    // 2025-06-15T18:29:59Z; in Kolkata, midnight is a second away.
    platform.clock.set(1_750_012_199_000);
    assert_eq!(statuses(&gateway, &platform, 2), [200, 429]);
    tick(&platform, 1_000);
    assert_eq!(statuses(&gateway, &platform, 2), [200, 429]);
}

#[test]
fn a_busy_key_asks_its_owner_seldom() {
    let limits = "[{ rate_limit: { limits: { rate: 10000 per second, algorithm: token_bucket }, mode: leased, key: everybody } }]";
    let (gateway, platform) = (gateway(limits), platform());
    for _ in 0..10_000 {
        assert_eq!(ask(&gateway, &platform).response.status, 200);
        tick(&platform, 1);
    }
    assert!(platform.takes.get() * 20 <= 10_000, "{} calls", platform.takes.get());
}

#[test]
fn a_binding_says_yes_or_no_and_where_there_is_none_the_location_counts() {
    let limits = "[{ rate_limit: { limits: 2 per minute, scope: location, binding: LOGIN } }]";
    let (gateway, platform) = (gateway(limits), platform());
    platform.limiters.borrow_mut().insert("LOGIN".to_owned(), 3);
    assert_eq!(statuses(&gateway, &platform, 3), [200; 3], "it has a limit of its own");
    let refused = ask(&gateway, &platform).response;
    assert_eq!((refused.status, refused.headers.text("retry-after")), (429, Some("60")));
    assert_eq!(refused.headers.text("ratelimit-policy"), Some("\"per-minute\";q=2;w=60"));
    assert!(!refused.headers.contains("ratelimit"), "nobody knows what is left");
    assert_eq!(platform.takes.get(), 0);
    platform.limiters.borrow_mut().clear();
    assert_eq!(statuses(&gateway, &platform, 3), [200, 200, 429]);
    assert_eq!(platform.takes.get(), 3);
}

#[test]
fn a_response_whose_cost_cannot_be_read_passes_and_the_log_hears_of_it() {
    let limits = "[{ rate_limit: { limits: 10 per hour, scope: instance, cost: { response_body: /n } } }]";
    for length in ["content-length: 2000000", "x: 1"] {
        let (name, value) = length.split_once(": ").expect("a field");
        let platform = TestPlatform::new(move |_: Call<Vec<u8>>| {
            let mut headers = Headers::new();
            headers.receive("content-type", b"application/json");
            headers.receive(name, value.as_bytes());
            Ok(Response { status: 200, headers, body: Body::Stream(vec![b'1'; 2_000_000]) })
        });
        let reply = run(gateway_with("upstream: o", limits).handle(&platform, incoming()));
        assert_eq!(reply.response.status, 200, "{length}");
        assert!(matches!(&reply.response.body, Body::Stream(body) if body.len() == 2_000_000), "{length}");
        assert_eq!(reply.notes.iter().map(|note| note.problem).collect::<Vec<_>>(), ["limit-uncertain"], "{length}");
    }
}

#[test]
fn fields_are_structured_fields() {
    let limits = "[{ rate_limit: { limits: [5 per second, { rate: 18446744073709551615 per hour, name: a.b-c_d }], key: everybody } },
        { concurrency: { limit: 3, key: everybody } }]";
    let (gateway, platform) = (gateway(limits), platform());
    for status in [200, 200, 200, 429] {
        let reply = ask(&gateway, &platform);
        assert_eq!(reply.response.status, status);
        let field = |name: &str| reply.response.headers.get(name).map(<[u8]>::to_vec).expect("it is there");
        for (name, parameters) in [("ratelimit-policy", ["q", "w", "qu"].as_slice()), ("ratelimit", &["r", "t"])] {
            let value = field(name);
            let list: sfv::List = Parser::new(&value).parse().unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(list.len(), 3);
            for entry in list {
                let ListEntry::Item(item) = entry else { panic!("{name} holds an inner list") };
                assert!(matches!(item.bare_item, BareItem::String(_)), "{name}");
                for (key, value) in &item.params {
                    assert!(parameters.contains(&key.as_str()), "{name} has {key}");
                    assert!(matches!(value, BareItem::Integer(_)) || key.as_str() == "qu", "{name} has {key}");
                }
            }
        }
    }
}

fn platform() -> TestPlatform<'static> {
    TestPlatform::new(|_| Ok(Response { status: 200, headers: Headers::new(), body: Body::Empty }))
}

fn gateway(policies: &str) -> Gateway {
    gateway_with("respond: {}", policies)
}

fn gateway_with(action: &str, policies: &str) -> Gateway {
    let text = format!(
        "upstreams: {{ o: {{ targets: [{{ url: 'http://127.0.0.1:9' }}] }} }}
consumers:
  - {{ name: alice, groups: [staff, gold-not], passwords: {{ username: alice, hash: pbkdf2-sha256$1000$c2FsdHNhbHQ=$OW/yp5IJp6wKxr76Cy7xlYtW08eZ0fwpFmdUegJskk0= }} }}
allow: [limit-not-atomic, location-unavailable, unused-upstream]
routes:
  - name: all
    {action}
    policies: {policies}
"
    );
    let compiled = compile(Path::new("gateway.yaml"), &Text(text));
    let artefact = compiled.artefact.unwrap_or_else(|| panic!("{:?}", compiled.problems));
    Gateway::load(Bytes::from(artefact), |_| None).expect("it loads")
}

fn statuses(gateway: &Gateway, platform: &TestPlatform<'_>, times: usize) -> Vec<u16> {
    (0..times).map(|_| ask(gateway, platform).response.status).collect()
}

fn ask(gateway: &Gateway, platform: &TestPlatform<'_>) -> Reply<Vec<u8>> {
    run(gateway.handle(platform, incoming()))
}

fn incoming() -> Incoming<Vec<u8>> {
    let mut headers = Headers::new();
    headers.receive("authorization", b"Basic YWxpY2U6b3BlbjpzZXNhbWU=");
    Incoming {
        method: "GET".into(),
        scheme: Scheme::Https,
        authority: "api.example".into(),
        target: "/".into(),
        headers,
        body: Body::Empty,
        peer: Peer { data_centre: Some("FRA".to_owned()), ..Peer::default() },
    }
}

fn tick(platform: &TestPlatform<'_>, milliseconds: u64) {
    platform.clock.set(platform.clock.get() + milliseconds);
}
