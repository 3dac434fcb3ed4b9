//! Caches as their clients and origins see them: nobody's answer reaches another, one request fetches for many, and whatever
//! breaks is a miss.

#![allow(clippy::type_complexity, reason = "tables and a platform made for one test")]
#![allow(clippy::useless_format, reason = "as the other configurations here are written")]
#![cfg(all(feature = "compile", feature = "testing"))]
#![allow(clippy::panic, reason = "a test may fail")]

use bytes::Bytes;
use gateway_core::cache::conditions::Conditions;
use gateway_core::cache::directive::{Directives, Wishes};
use gateway_core::cache::entry::Record;
use gateway_core::cache::fresh::Times;
use gateway_core::cache::storing::{self, Asked, Terms};
use gateway_core::cache::{canonical, range, update, using};
use gateway_core::config::{Text, compile};
use gateway_core::http::{Body, Headers, Incoming, Peer, Response, Scheme};
use gateway_core::platform::{Call, Failure, FetchError};
use gateway_core::testing::{TestPlatform, run};
use gateway_core::{Gateway, Platform};
use proptest::prelude::*;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::LazyLock;
use std::task::Poll;

const ALICE: &str = "pk_docs_onlyForTheDocumentation1";

/// Who calls, and what they show: alice has a key, and two users of hers have tokens that nobody here looks at.
const CALLERS: [&[(&str, &str)]; 6] = [
    &[],
    &[("x-api-key", ALICE)],
    &[("authorization", "Bearer one")],
    &[("authorization", "Bearer two")],
    &[("x-api-key", ALICE), ("authorization", "Bearer one")],
    &[("x-api-key", ALICE), ("authorization", "Bearer two")],
];

/// Whether a caller has proven who they are.
fn is_known(caller: usize) -> bool {
    CALLERS[caller].iter().any(|(name, _)| *name == "x-api-key")
}

fn gateway() -> Gateway {
    let policies = |cache: &str| {
        format!("[{{ authenticate: {{ any_of: [{{ api_key: {{}} }}, anonymous] }} }}, {{ cache: {cache} }}]")
    };
    let configuration = format!(
        "
upstreams: {{ origin: {{ targets: [{{ url: 'http://origin' }}] }} }}
consumers:
  - {{ name: alice, keys: [{{ hash: fed49bce939f4778f5bddd8a199cda6eb8c87a440ffb462b529dc1b184615ac9, prefix: pk_docs }}] }}
routes:
  - {{ name: plain, path_prefix: /plain, upstream: origin, policies: {} }}
  - {{ name: eager, path_prefix: /eager, upstream: origin, policies: {} }}
  - {{ name: parted, path_prefix: /parted, upstream: origin, policies: {} }}
",
        policies("{}"),
        policies("{ ttl: { default: 5m, 5xx: 1m }, override_origin: true, stale_if_error: 1h, stale_while_revalidate: 1m }"),
        policies("{ ttl: { default: 5m }, key: { partition: caller } }"),
    );
    load(configuration)
}

fn load(configuration: String) -> Gateway {
    Gateway::load(artefact(configuration), |_| None).expect("it loads")
}

fn artefact(configuration: String) -> Bytes {
    let compiled = compile(Path::new("gateway.yaml"), &Text(configuration));
    Bytes::from(compiled.artefact.unwrap_or_else(|| panic!("{:?}", compiled.problems)))
}

fn incoming(method: &str, target: &str, fields: &[(&str, &str)]) -> Incoming<Vec<u8>> {
    let mut headers = Headers::new();
    headers.receive("host", b"a.example");
    fields.iter().for_each(|(name, value)| headers.receive(name, value.as_bytes()));
    Incoming {
        method: method.to_owned(),
        scheme: Scheme::Http,
        authority: "a.example".to_owned(),
        target: target.to_owned(),
        headers,
        body: Body::Empty,
        peer: Peer::default(),
    }
}

fn answer(status: u16, fields: &[(&str, &str)], body: &str) -> Response<Vec<u8>> {
    let mut headers = Headers::new();
    fields.iter().for_each(|(name, value)| headers.receive(name, value.as_bytes()));
    if !body.is_empty() {
        // What says its length may be held in memory.
        headers.receive("content-length", body.len().to_string().as_bytes());
    }
    Response { status, headers, body: Body::Stream(body.as_bytes().to_vec()) }
}

fn text(body: Body<Vec<u8>>) -> String {
    match body {
        Body::Empty | Body::Made(_) => String::new(),
        Body::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Body::Stream(bytes) | Body::Pumped(bytes, _) => String::from_utf8_lossy(&bytes).into_owned(),
    }
}

/// Status, fields and body.
type Seen = (u16, Headers, String);

/// Asks, and does what is left to do.
async fn ask(gateway: &Gateway, platform: &TestPlatform<'_>, request: Incoming<Vec<u8>>) -> Seen {
    let reply = gateway.handle(platform, request).await;
    gateway.settle(platform, reply.deferred).await;
    (reply.response.status, reply.response.headers, text(reply.response.body))
}

/// All at once.
async fn all<T>(futures: Vec<Pin<Box<dyn Future<Output = T> + '_>>>) -> Vec<T> {
    let mut futures: Vec<_> = futures.into_iter().map(Some).collect();
    let mut done: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    poll_fn(|context| {
        for (future, done) in futures.iter_mut().zip(&mut done) {
            if let Some(running) = future
                && let Poll::Ready(value) = running.as_mut().poll(context)
            {
                (*done, *future) = (Some(value), None);
            }
        }
        if futures.iter().all(Option::is_none) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

/// What one step of a random sequence does.
#[derive(Debug, Clone)]
struct Step {
    caller: usize,
    target: usize,
    variant: usize,
    method: usize,
    says: usize,
    later: u64,
    fails: bool,
}

const TARGETS: [&str; 5] = ["/plain/a", "/plain/b", "/eager/a", "/parted/a", "/eager/a?x=1"];
const METHODS: [&str; 5] = ["GET", "GET", "GET", "HEAD", "POST"];

/// What origins say, and whether an answer with it may be given to somebody else: to anybody, or only if nobody had to show who
/// they are.
const SAID: [(&[(&str, &str)], bool, bool); 12] = [
    (&[], true, false),
    (&[("cache-control", "max-age=60")], true, false),
    (&[("cache-control", "max-age=60, private")], false, false),
    (&[("cache-control", "private")], false, false),
    (&[("cache-control", "no-store")], false, false),
    (&[("cache-control", "max-age=60, public")], true, true),
    (&[("cache-control", "s-maxage=60")], true, true),
    (&[("cache-control", "max-age=0, must-revalidate"), ("etag", "\"e\"")], true, true),
    (&[("cache-control", "max-age=60"), ("set-cookie", "session=1")], false, false),
    (&[("cache-control", "max-age=60, public"), ("vary", "x-variant")], true, true),
    (&[("cdn-cache-control", "private, max-age=60"), ("cache-control", "public, max-age=60")], false, false),
    (
        &[("cache-control", "max-age=1, stale-while-revalidate=60, stale-if-error=60"), ("vary", "X-Variant")],
        true,
        false,
    ),
];

/// What is known of an answer that the origin has made.
#[derive(Debug, Clone)]
struct Made {
    caller: usize,
    target: usize,
    variant: String,
    says: usize,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step =
        (0..CALLERS.len(), 0..TARGETS.len(), 0..3usize, 0..METHODS.len(), 0..SAID.len(), 0..90u64, any::<bool>());
    let step = step.prop_map(|(caller, target, variant, method, says, later, fails)| Step {
        caller,
        target,
        variant,
        method,
        says,
        later,
        fails: fails && later % 4 == 0,
    });
    proptest::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn nobodys_answer_reaches_another(steps in steps()) {
        let gateway = gateway();
        let made: RefCell<Vec<Made>> = RefCell::default();
        let now: Cell<(usize, usize, bool)> = Cell::default();
        let platform = TestPlatform::new(|call: Call<Vec<u8>>| {
            let (caller, says, fails) = now.get();
            if fails {
                return Err(Failure { error: FetchError::Reset, detail: String::new() });
            }
            let (fields, ..) = SAID[says];
            if call.headers.contains("if-none-match") && says % 2 == 1 {
                return Ok(answer(304, fields, ""));
            }
            let target = TARGETS.iter().position(|target| *target == call.target).expect("it is one of these");
            let variant = call.headers.text("x-variant").unwrap_or("none").to_owned();
            made.borrow_mut().push(Made { caller, target, variant, says });
            Ok(answer(200, fields, &(made.borrow().len() - 1).to_string()))
        });
        for step in steps {
            platform.clock.set(platform.clock.get() + step.later * 1_000);
            now.set((step.caller, step.says, step.fails));
            let variant = step.variant.to_string();
            let mut fields: Vec<(&str, &str)> = CALLERS[step.caller].to_vec();
            if step.variant > 0 {
                fields.push(("x-variant", &variant));
            }
            let request = incoming(METHODS[step.method], TARGETS[step.target], &fields);
            let (status, headers, body) = run(ask(&gateway, &platform, request));
            let Ok(number) = body.parse::<usize>() else { continue };
            prop_assert_eq!(status, 200);
            let made = made.borrow()[number].clone();
            prop_assert_eq!(made.target, step.target, "the answer to another request");
            let (said, shared, openly) = SAID[made.says];
            let hit = headers.text("cache-status").is_some_and(|told| told.contains("; hit"));
            if hit {
                prop_assert!(shared, "{made:?} was given to {step:?}");
                prop_assert!(!headers.contains("set-cookie"));
                if said.iter().any(|(name, _)| *name == "vary") {
                    let wanted = if step.variant > 0 { variant.as_str() } else { "none" };
                    prop_assert_eq!(made.variant.as_str(), wanted);
                }
            }
            if made.caller != step.caller {
                prop_assert!(hit || headers.text("cache-status").is_some_and(|told| told.contains("304")), "{made:?} {step:?}");
                prop_assert!(made.caller == 0 || openly, "{made:?} was given to {step:?}");
                // Whoever has proven who they are has a part of the store for themselves.
                prop_assert!(made.target != 3 || !(is_known(made.caller) || is_known(step.caller)), "{made:?} was given to {step:?}");
            }
        }
    }

    #[test]
    fn what_is_stored_answers_what_would_have_been_asked(asked in proptest::collection::vec((0..WRITTEN.len(), 0..3usize, 0..3usize, 0..3usize), 1..30)) {
        let [twin, cached] = WRITING.each_ref().map(|artefact| Gateway::load(artefact.clone(), |_| None).expect("it loads"));
        // Its answer says what it was asked for.
        let platform = TestPlatform::new(|call: Call<Vec<u8>>| {
            let sent = format!("{} {:?}", call.target, call.headers.text("x-written"));
            Ok(answer(200, &[("cache-control", "public, max-age=60"), ("vary", "x-written")], &sent))
        });
        for (route, tenant, cookie, key) in asked {
            let (tenant, cookie) = (tenant.to_string(), format!("a={cookie}"));
            let mut fields = vec![("x-tenant", tenant.as_str()), ("cookie", cookie.as_str())];
            fields.extend([None, Some(("x-api-key", ALICE)), Some(("x-written", "theirs"))][key]);
            let target = format!("/{route}?page={key}&x=1");
            let (_, _, wanted) = run(ask(&twin, &platform, incoming("GET", &target, &fields)));
            let (_, headers, found) = run(ask(&cached, &platform, incoming("GET", &target, &fields)));
            prop_assert_eq!(found, wanted, "{:?}", headers.text("cache-status"));
        }
    }

    #[test]
    fn whatever_is_said_is_judged_without_a_panic(
        fields in proptest::collection::vec((0..14usize, "[ -~\\x80-\\xff]{0,40}"), 0..8),
        status in 0..700u16,
        length in 0..100u64,
        now: u64,
    ) {
        const NAMES: [&str; 14] = [
            "cache-control", "cdn-cache-control", "age", "date", "expires", "last-modified", "etag", "vary", "range", "if-range",
            "if-none-match", "if-modified-since", "cache-tag", "content-length",
        ];
        let mut headers = Headers::new();
        for (name, value) in &fields {
            headers.receive(NAMES[*name], value.as_bytes());
        }
        let targeted = vec!["cdn-cache-control".to_owned()];
        let (_, wishes) = (Directives::read(&headers, &targeted), Wishes::read(&headers));
        let terms = Terms { body: 1_000, targeted, ..Terms::default() };
        let asked = Asked { authorized: false, no_store: false, url: "http://a/".to_owned() };
        let times = Times { requested: now / 2, received: now };
        if let Ok(storable) = storing::judge(&asked, status, &headers, &terms, times) {
            let record = Record::Response(storable.entry.clone());
            prop_assert_eq!(Record::read(record.write().as_bytes()), Some(record));
            let _ = using::judge(&storable.entry, &wishes, false, u64::MAX);
            let _ = using::survives_failure(&storable.entry, &wishes, 0);
            let _ = Conditions::read(&headers).are_met_by(&storable.entry.headers(), now);
            if let range::Part::Bytes { first, last } = range::part(&headers, &storable.entry, length) {
                prop_assert!(first <= last && last < length);
            }
            let _ = update::freshen(&storable.entry, &asked, &headers, &terms, times);
        }
        for (_, value) in &fields {
            let _ = canonical::json(value.as_bytes());
            let _ = Record::read(value.as_bytes());
        }
    }

    #[test]
    fn the_canonical_spelling_of_json_means_the_same(value in json()) {
        let plain = serde_json::to_string(&value).expect("it can be written");
        let pretty = serde_json::to_string_pretty(&value).expect("it can be written");
        let (one, other) = (canonical::json(plain.as_bytes()), canonical::json(pretty.as_bytes()));
        prop_assert_eq!(&one, &other);
        if let Some(one) = one {
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&one).expect("it is JSON"), value);
        }
    }
}

/// What is written into a request behind a cache: the way of its path, and policies.
const WRITTEN: [(&str, &str); 9] = [
    ("rewrite: '/{request.headers.x-tenant}/a'", ""),
    ("rewrite: '/{request.query.page}/{consumer.name | default: \"nobody\"}'", ""),
    ("rewrite: '/{request.cookies.a | default: \"none\"}'", "{ headers: { request: { remove: cookie } } }"),
    (
        "rewrite: '/{request.headers.x-written}'",
        "{ headers: { request: { set: { x-written: '{request.headers.x-tenant}' } } } }",
    ),
    ("rewrite: '/{request.headers.x-written}'", "{ headers: { request: { rename: { x-tenant: x-written } } } }"),
    (
        "rewrite: '/{request.headers.x-written}'",
        "{ headers: { request: { rename: { x-tenant: x-other } } } }, { headers: { request: { default: { x-written: '{request.headers.x-other}' } } } }",
    ),
    ("rewrite: '/{request.cookies.b}'", "{ transform: { request: { cookies: { rename: { a: b } } } } }"),
    (
        "",
        "{ transform: { request: { query: { set: { tenant: '{request.headers.x-tenant}' }, default: { page: '{request.cookies.a}' } } } } }",
    ),
    ("", "{ headers: { request: { default: { x-written: '{request.headers.x-tenant}' } } } }"),
];

/// The same gateway without a cache, and with one.
static WRITING: LazyLock<[Bytes; 2]> = LazyLock::new(|| [false, true].map(writing));

fn writing(with_cache: bool) -> Bytes {
    let routes: String = WRITTEN
        .iter()
        .enumerate()
        .map(|(at, (rewrite, policies))| {
            let cache = if with_cache { ", { cache: { across_callers: true } }" } else { "" };
            let rewrite = if rewrite.is_empty() { String::new() } else { format!("{rewrite}, ") };
            let policies = if policies.is_empty() { String::new() } else { format!(", {policies}") };
            let who = "{ authenticate: { any_of: [{ api_key: {} }, anonymous] } }";
            format!(
                "  - {{ name: r{at}, path: /{at}, upstream: origin, {rewrite}policies: [{who}{cache}{policies}] }}\n"
            )
        })
        .collect();
    artefact(format!(
        "
upstreams: {{ origin: {{ targets: [{{ url: 'http://origin' }}] }} }}
consumers:
  - {{ name: alice, keys: [{{ hash: fed49bce939f4778f5bddd8a199cda6eb8c87a440ffb462b529dc1b184615ac9, prefix: pk_docs }}] }}
routes:
{routes}"
    ))
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        "[a-z\"\\\\é\\n]{0,6}".prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(serde_json::Value::from),
            proptest::collection::btree_map("[a-z]{0,3}", inner, 0..5)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

/// A platform whose origin takes 100 ms, and how often it is asked.
fn slow(fields: &'static [(&'static str, &'static str)]) -> (TestPlatform<'static>, Rc<Cell<usize>>) {
    let asked = Rc::new(Cell::new(0));
    let count = Rc::clone(&asked);
    let platform = TestPlatform::new(move |_| {
        count.set(count.get() + 1);
        Ok(answer(200, fields, "the answer"))
    });
    *platform.delay.borrow_mut() = Some(Box::new(|_| 100));
    (platform, asked)
}

#[test]
fn a_thousand_misses_of_one_key_are_one_request() {
    let gateway = gateway();
    let (platform, asked) = slow(&[("cache-control", "max-age=60")]);
    let one =
        || Box::pin(ask(&gateway, &platform, incoming("GET", "/plain/a", &[]))) as Pin<Box<dyn Future<Output = Seen>>>;
    let answers = run(all((0..1_000).map(|_| one()).collect()));
    assert!(answers.iter().all(|(status, _, body)| *status == 200 && body == "the answer"));
    assert_eq!(asked.get(), 1);
}

#[test]
fn answers_that_are_not_stored_keep_nobody_waiting() {
    let gateway = gateway();
    let (platform, asked) = slow(&[("cache-control", "no-store")]);
    let batch = || {
        let begin = platform.now();
        let one = || {
            Box::pin(ask(&gateway, &platform, incoming("GET", "/plain/a", &[]))) as Pin<Box<dyn Future<Output = Seen>>>
        };
        run(all((0..100).map(|_| one()).collect()));
        platform.now() - begin
    };
    // The first was waited for; then all went at once.
    assert!(batch() < 300);
    assert_eq!(asked.get(), 100);
    // From then on nobody waits.
    assert!(batch() < 150);
    assert_eq!(asked.get(), 200);
}

#[test]
fn whoever_fetches_may_vanish() {
    let gateway = gateway();
    let (platform, asked) = slow(&[("cache-control", "max-age=60")]);
    {
        // Its client goes away while the origin thinks.
        let mut vanishes = Box::pin(ask(&gateway, &platform, incoming("GET", "/plain/a", &[])));
        let first = run(poll_fn(|context| Poll::Ready(vanishes.as_mut().poll(context).is_ready())));
        assert!(!first);
    }
    let begin = platform.now();
    let (status, ..) = run(ask(&gateway, &platform, incoming("GET", "/plain/a", &[])));
    assert_eq!((status, asked.get()), (200, 1));
    assert!(platform.now() - begin <= 10_200, "the wait is bounded");
    run(ask(&gateway, &platform, incoming("GET", "/plain/a", &[])));
    assert_eq!(asked.get(), 1, "and what came then is stored");
}

#[test]
fn what_is_asked_for_again_and_again_is_at_hand_for_a_moment() {
    let gateway = load(
        "
upstreams: { origin: { targets: [{ url: 'http://origin' }] } }
routes: [{ name: all, path_prefix: /, upstream: origin, policies: [{ cache: { memory: 2s } }] }]
"
        .to_owned(),
    );
    let made = Rc::new(Cell::new(0));
    let count = Rc::clone(&made);
    let platform = TestPlatform::new(move |call: Call<Vec<u8>>| {
        count.set(count.get() + 1);
        let fields: &[_] = if call.target.ends_with("packed") { &[("content-encoding", "gzip")] } else { &[] };
        let fields: Vec<_> = fields.iter().chain(&[("cache-control", "max-age=60")]).copied().collect();
        Ok(answer(200, &fields, &format!("{} {}", call.method, count.get())))
    });
    let get = |target: &str, fields: &[(&str, &str)]| run(ask(&gateway, &platform, incoming("GET", target, fields)));
    // Stored, found in the store, found once more: from here on it is at hand.
    for _ in 0..3 {
        assert_eq!(get("/a", &[]).2, "GET 1");
    }
    platform.shelf.borrow_mut().clear();
    let (status, headers, body) = get("/a", &[]);
    assert_eq!((status, body.as_str(), headers.text("content-length")), (200, "GET 1", Some("5")));
    assert!(headers.text("cache-status").is_some_and(|status| status.contains("hit")), "{headers:?}");
    assert_eq!(get("/a", &[("range", "bytes=4-")]).2, "1", "parts are cut from it");
    assert_eq!(run(ask(&gateway, &platform, incoming("HEAD", "/a", &[]))).2, "");
    assert_eq!(
        get("/a", &[("cache-control", "no-cache")]).2,
        "GET 2",
        "clients who want to know it from the origin do"
    );
    assert_eq!(get("/a", &[]).2, "GET 2", "what takes its place is seen at once");
    // A change takes it away.
    get("/a", &[]);
    get("/a", &[]);
    run(ask(&gateway, &platform, incoming("POST", "/a", &[])));
    assert_eq!(get("/a", &[]).2, "GET 4");
    // After the moment the store is asked again.
    get("/a", &[]);
    get("/a", &[]);
    platform.shelf.borrow_mut().clear();
    platform.clock.set(platform.clock.get() + 1_900);
    assert_eq!(get("/a", &[]).2, "GET 4");
    platform.clock.set(platform.clock.get() + 200);
    assert_eq!(get("/a", &[]).2, "GET 5");
    // Nothing is held where the configuration says so.
    let never = load(
        "
upstreams: { origin: { targets: [{ url: 'http://origin' }] } }
routes: [{ name: all, path_prefix: /, upstream: origin, policies: [{ cache: { memory: 0s, wait: 0s } }] }]
"
        .to_owned(),
    );
    for _ in 0..3 {
        assert_eq!(run(ask(&never, &platform, incoming("GET", "/a", &[]))).2, "GET 5");
    }
    // What is packed is never in memory.
    for _ in 0..4 {
        assert_eq!(get("/packed", &[]).2, "GET 6");
    }
    platform.shelf.borrow_mut().clear();
    assert_eq!(get("/packed", &[]).2, "GET 7");
}

#[test]
fn a_store_that_fails_is_a_miss() {
    let gateway = gateway();
    let (platform, asked) = slow(&[("cache-control", "max-age=60")]);
    platform.shelf_fails.set(true);
    for round in 1..=3 {
        let (status, _, body) = run(ask(&gateway, &platform, incoming("GET", "/plain/a", &[])));
        assert_eq!((status, body.as_str(), asked.get()), (200, "the answer", round));
    }
    platform.shelf_fails.set(false);
    // What stands there may be of another version, or nonsense.
    run(ask(&gateway, &platform, incoming("GET", "/plain/a", &[])));
    platform.shelf.borrow_mut().values_mut().for_each(|(record, ..)| *record = Bytes::from("{\"r\":{}}"));
    let (status, ..) = run(ask(&gateway, &platform, incoming("GET", "/plain/a", &[])));
    assert_eq!((status, asked.get()), (200, 5));
}

#[test]
fn what_is_taken_back_is_gone_even_where_nobody_heard_of_it_at_once() {
    let configuration = format!(
        "
upstreams: {{ origin: {{ targets: [{{ url: 'http://origin' }}] }} }}
consumers:
  - {{ name: alice, keys: [{{ hash: fed49bce939f4778f5bddd8a199cda6eb8c87a440ffb462b529dc1b184615ac9, prefix: pk_docs }}] }}
routes:
  - {{ name: a, path_prefix: /, upstream: origin, policies: [{{ cache: {{ ttl: {{ default: 5m }} }} }}] }}
  - {{ name: purge, path: /purge, purge: {{}}, policies: [{{ authenticate: {{ any_of: [{{ api_key: {{}} }}] }} }}] }}
"
    );
    let artefact = artefact(configuration);
    let instance = || Gateway::load(artefact.clone(), |_| None).expect("it loads");
    let (here, there) = (instance(), instance());
    let (platform, asked) = slow(&[("cache-tag", "t")]);
    run(ask(&here, &platform, incoming("GET", "/x", &[])));
    run(ask(&there, &platform, incoming("GET", "/x", &[])));
    assert_eq!(asked.get(), 1, "they share a store");
    let mut purge = incoming("POST", "/purge", &[("x-api-key", ALICE)]);
    purge.body = Body::Bytes(Bytes::from("{\"tags\":[\"t\"]}"));
    assert_eq!(run(ask(&here, &platform, purge)).0, 200);
    // The other one knows of it at the latest when its knowledge is that old.
    platform.clock.set(platform.clock.get() + gateway_core::cache::purge::HOLD);
    run(ask(&there, &platform, incoming("GET", "/x", &[])));
    assert_eq!(asked.get(), 2);
    // While nobody can say what was taken back, what was known counts, and everything is answered.
    platform.counting_fails.set(true);
    platform.clock.set(platform.clock.get() + gateway_core::cache::purge::HOLD);
    assert_eq!(run(ask(&there, &platform, incoming("GET", "/x", &[]))).0, 200);
    assert_eq!(asked.get(), 2);
}

/// The same request a number of times at once, and how long all of them took.
fn at_once(gateway: &Gateway, platform: &TestPlatform<'_>, target: &str, times: usize) -> (Vec<Seen>, u64) {
    let begin = platform.now();
    let one = || Box::pin(ask(gateway, platform, incoming("GET", target, &[]))) as Pin<Box<dyn Future<Output = Seen>>>;
    (run(all((0..times).map(|_| one()).collect())), platform.now() - begin)
}

#[test]
fn a_thousand_requests_for_what_has_just_become_stale_are_one_question() {
    for confirms in [true, false] {
        let gateway = gateway();
        let asked = Rc::new(Cell::new(0));
        let count = Rc::clone(&asked);
        let platform = TestPlatform::new(move |call: Call<Vec<u8>>| {
            count.set(count.get() + 1);
            let fields = &[("cache-control", "max-age=60"), ("etag", "\"e\"")];
            let is_asked = call.headers.contains("if-none-match");
            Ok(if is_asked && confirms { answer(304, fields, "") } else { answer(200, fields, "the answer") })
        });
        *platform.delay.borrow_mut() = Some(Box::new(|_| 100));
        at_once(&gateway, &platform, "/plain/a", 1);
        platform.clock.set(platform.clock.get() + 60_000);
        let (answers, _) = at_once(&gateway, &platform, "/plain/a", 1_000);
        assert!(answers.iter().all(|(status, _, body)| *status == 200 && body == "the answer"));
        assert_eq!(asked.get(), 2, "confirmed: {confirms}");
        let collapsed =
            |(_, headers, _): &&Seen| headers.text("cache-status").is_some_and(|told| told.contains("collapsed"));
        assert_eq!(answers.iter().filter(collapsed).count(), 999);
    }
}

#[test]
fn nobody_waits_for_what_each_has_to_have_confirmed() {
    for said in ["max-age=0", "no-cache, max-age=60"] {
        let gateway = gateway();
        let asked = Rc::new(Cell::new(0));
        let count = Rc::clone(&asked);
        let platform = TestPlatform::new(move |_: Call<Vec<u8>>| {
            count.set(count.get() + 1);
            Ok(answer(200, &[("cache-control", said), ("etag", "\"e\"")], "the answer"))
        });
        *platform.delay.borrow_mut() = Some(Box::new(|_| 100));
        at_once(&gateway, &platform, "/plain/a", 1);
        let (_, took) = at_once(&gateway, &platform, "/plain/a", 10);
        assert_eq!((asked.get(), took), (11, 100), "{said}");
    }
}

#[test]
fn a_failure_that_many_wait_for_is_survived_by_all_of_them() {
    let gateway = gateway();
    let asked = Rc::new(Cell::new(0));
    let count = Rc::clone(&asked);
    let platform = TestPlatform::new(move |_: Call<Vec<u8>>| {
        count.set(count.get() + 1);
        match count.get() {
            1 => Ok(answer(200, &[], "the answer")),
            _ => Err(Failure { error: FetchError::Reset, detail: String::new() }),
        }
    });
    *platform.delay.borrow_mut() = Some(Box::new(|_| 100));
    at_once(&gateway, &platform, "/eager/a", 1);
    platform.clock.set(platform.clock.get() + 400_000);
    let before = asked.get();
    let (answers, took) = at_once(&gateway, &platform, "/eager/a", 100);
    assert!(answers.iter().all(|(status, headers, body)| {
        let told = headers.text("cache-status").unwrap_or_default();
        *status == 200 && body == "the answer" && told.ends_with("detail=stale-if-error")
    }));
    let attempts = asked.get() - before;
    assert!(attempts <= 2 && took < 1_000, "{attempts} attempts in {took} ms");
}

#[test]
fn what_cannot_be_read_to_its_end_is_a_miss() {
    let gateway = gateway();
    let (platform, asked) = slow(&[("cache-control", "max-age=60"), ("content-length", "10")]);
    run(ask(&gateway, &platform, incoming("GET", "/plain/a", &[])));
    platform.shelf.borrow_mut().values_mut().for_each(|(_, body, _)| *body = vec![b'x'; 17 << 20]);
    let reply = run(gateway.handle(&platform, incoming("GET", "/plain/a", &[("range", "bytes=0-1")])));
    assert_eq!((reply.response.status, asked.get()), (200, 2), "the origin takes no ranges");
    assert!(reply.notes.iter().any(|note| note.problem == "cache-failed"));
}
