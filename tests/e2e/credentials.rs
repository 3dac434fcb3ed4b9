//! What upstreams are shown, with real parts: tokens of a real provider (npm `oidc-provider`), a token of the gateway's own that an
//! independent library verifies by the published keys, and a second Worker behind a binding.

#![allow(clippy::disallowed_methods, reason = "the ban on clocks is the core's; here it is waited for real processes")]
#![allow(clippy::panic, reason = "a test")]

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use postern_tests::Platform;
use postern_tests::client::{PATIENCE, exchange, request};
use postern_tests::origin::{Log, Origin, Received, Then};
use postern_tests::provider::{Provider, ROBOT_SECRET};
use postern_tests::running::Running;
use postern_tests::wire::Field;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Barrier};
use std::thread;

#[test]
fn a_real_provider_gives_tokens_on_workers() {
    a_real_provider_gives_tokens(Platform::Workers);
}

#[test]
fn a_real_provider_gives_tokens_on_spin() {
    a_real_provider_gives_tokens(Platform::Spin);
}

fn a_real_provider_gives_tokens(platform: Platform) {
    let provider = Provider::start();
    let stage = Stage::set(platform, |origin| configuration(&provider.issuer, origin));
    // Each way in which a client proves that it is itself.
    for client in ["robot", "poster", "signer"] {
        assert_eq!(stage.get(&format!("/{client}"), &[Field::new("Authorization", "Bearer mine")]), 200);
        let token = stage.shown("authorization").expect("a token");
        let claims = unverified(token.strip_prefix("Bearer ").expect("a bearer token"));
        assert_eq!(claims["client_id"], client);
        assert_eq!(claims["aud"], "https://orders.example");
        assert_eq!(claims["scope"], "read");
    }
    // It is known now, whatever becomes of the provider.
    provider.tell("down");
    if platform == Platform::Workers {
        // (Spin may give the request to another instance, which knows nothing.)
        assert_eq!(stage.get("/robot", &[]), 200);
        assert!(stage.shown("authorization").is_some());
    }
    // Who has none gets none, and nothing reaches the origin.
    assert_eq!(stage.get("/late", &[]), 503);
    assert!(stage.log.take().is_empty());
    let log = stage.gateway.log();
    assert!(log.contains("upstream-credential"), "{log}");
    for secret in [ROBOT_SECRET, POSTER_SECRET, "PRIVATE KEY", "client_assertion"] {
        assert!(!log.contains(secret), "`{secret}` is told:\n{log}");
    }
    stage.stop();
}

/// Forty clients at once: the provider is asked by few. On Workers one isolate serves all, so there it is one; Spin has as many
/// instances as it likes.
#[test]
fn many_who_come_at_once_cost_the_provider_one_request_on_workers() {
    let asked = Arc::new(Log::default());
    let idp = Origin::start("idp", asked.clone(), |_, exchange| {
        thread::sleep(std::time::Duration::from_millis(300));
        let body = r#"{"access_token":"one-for-all","token_type":"Bearer","expires_in":600}"#;
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
        exchange.write(head.as_bytes())?;
        exchange.write(body.as_bytes())?;
        Ok(Then::Keep)
    });
    let idp = idp.expect("an origin");
    let stage = Stage::set(Platform::Workers, |origin| configuration(&format!("http://{}", idp.address), origin));
    let barrier = Arc::new(Barrier::new(40));
    let address = stage.gateway.address;
    let clients: Vec<_> = (0..40)
        .map(|_| {
            let barrier = barrier.clone();
            thread::spawn(move || {
                barrier.wait();
                exchange(address, &request("GET", "/robot", "gateway.test", &[], b""), "GET").expect("an answer").status
            })
        })
        .collect();
    let statuses: Vec<u16> = clients.into_iter().map(|client| client.join().expect("it ends")).collect();
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    assert_eq!(asked.take().len(), 1);
    let shown = stage.log.take();
    assert_eq!(shown.len(), 40);
    assert!(shown.iter().all(|request| request.all("authorization").eq([&b"Bearer one-for-all"[..]])));
    stage.stop();
}

#[test]
fn callers_are_vouched_for_on_workers() {
    callers_are_vouched_for(Platform::Workers);
}

#[test]
fn callers_are_vouched_for_on_spin() {
    callers_are_vouched_for(Platform::Spin);
}

/// Verified by code that is not the gateway's, by keys that come through the gateway.
fn callers_are_vouched_for(platform: Platform) {
    for (key, algorithm) in [
        (include_str!("../../gateway-core/tests/keys/ed25519.private.pem"), Algorithm::EdDSA),
        (include_str!("../../gateway-core/tests/keys/p256.private.pem"), Algorithm::ES256),
        (include_str!("../../gateway-core/tests/keys/rsa.private.pem"), Algorithm::RS256),
    ] {
        let settings = [("IDENTITY_KEY".to_owned(), key.trim().replace('\n', "\\n"))].into();
        let stage = Stage::set_with(platform, settings, &BTreeMap::new(), |origin| {
            json!({
                "identity": { "issuer": "https://gateway.example", "keys": "${secret:IDENTITY_KEY}" },
                "consumers": [{ "name": "alice", "groups": ["partners"],
                    "keys": { "hash": "25f3a632ac07885d3a7079dc982dc1a241f3e4b4af8acc6617948df20270b2bd", "prefix": "alice-key-t" } }],
                "upstreams": { "orders": {
                    "targets": [{ "url": format!("http://{}", origin.address) }], "credentials": { "identity": { "audience": "orders" } },
                } },
                "routes": [
                    { "name": "keys", "path": "/keys", "publish": "identity_keys" },
                    { "name": "orders", "path": "/orders", "upstream": "orders", "policies": [{ "authenticate": { "any_of": { "api_key": {} } } }] },
                ],
            })
        });
        assert_eq!(stage.get("/orders", &[Field::new("X-Api-Key", "alice-key-two-0123456789")]), 200);
        let token = stage.shown("x-identity").expect("a token");
        let keys =
            exchange(stage.gateway.address, &request("GET", "/keys", "gateway.test", &[], b""), "GET").expect("keys");
        let set: JwkSet = serde_json::from_slice(&keys.body).expect("a JWK Set");
        let header = jsonwebtoken::decode_header(&token).expect("a header");
        assert_eq!(header.alg, algorithm);
        let key = set.find(header.kid.as_deref().expect("a kid")).expect("the key");
        let mut rules = Validation::new(algorithm);
        rules.set_audience(&["orders"]);
        rules.set_issuer(&["https://gateway.example"]);
        rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let key = DecodingKey::from_jwk(key).expect("a key");
        let claims = jsonwebtoken::decode::<Value>(&token, &key, &rules).expect("a right token").claims;
        assert_eq!((&claims["sub"], &claims["groups"]), (&json!("alice"), &json!(["partners"])));
        stage.stop();
    }
}

/// A second Worker, made of a module, behind a service binding; what it throws is a failure of the upstream.
#[test]
fn a_binding_leads_to_another_worker() {
    let folder = std::env::temp_dir().join(format!("postern-binding-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let module = folder.join("orders.js");
    let code = r#"export default { async fetch(request) {
      const url = new URL(request.url);
      if (url.pathname === "/throws") throw new Error("out of orders");
      const told = { url: request.url, method: request.method, host: request.headers.get("host"), body: await request.text() };
      return Response.json(told, { status: 201, headers: { "x-worker": "orders" } });
    } };"#;
    std::fs::write(&module, code).expect("a module");
    let bindings = [("ORDERS".to_owned(), module.display().to_string())].into();
    let stage = Stage::set_with(Platform::Workers, BTreeMap::new(), &bindings, |_| {
        json!({
            "upstreams": { "orders": { "targets": [{ "binding": "ORDERS", "url": "https://orders.example/v1" }] } },
            "routes": [{ "name": "all", "path_prefix": "/o", "upstream": "orders", "strip_prefix": "/o" }],
        })
    });
    let sent = request("POST", "/o/7?a=b", "gateway.test", &[Field::new("X-A", "b")], b"hello");
    let seen = exchange(stage.gateway.address, &sent, "POST").expect("an answer");
    assert_eq!((seen.status, seen.head.text("x-worker")), (201, Some("orders")));
    let told: Value = serde_json::from_slice(&seen.body).expect("JSON");
    assert_eq!(
        (&told["url"], &told["method"], &told["body"]),
        (&json!("https://orders.example/v1/7?a=b"), &json!("POST"), &json!("hello"))
    );
    stage.stop();
    std::fs::remove_dir_all(&folder).expect("it goes");
}

const POSTER_SECRET: &str = "the secret of the poster: +/%";

/// An origin, and a gateway in front of it.
struct Stage {
    log: Arc<Log>,
    _origin: Origin,
    gateway: Running,
}

impl Stage {
    fn set(platform: Platform, configuration: impl Fn(&Origin) -> Value) -> Self {
        let key = include_str!("../../gateway-core/tests/keys/p256.private.pem").trim().replace('\n', "\\n");
        let settings = [
            ("ROBOT".to_owned(), ROBOT_SECRET.to_owned()),
            ("POSTER".to_owned(), POSTER_SECRET.to_owned()),
            ("SIGNER".to_owned(), key),
        ];
        Self::set_with(platform, settings.into(), &BTreeMap::new(), configuration)
    }

    fn set_with(
        platform: Platform,
        settings: BTreeMap<String, String>,
        bindings: &BTreeMap<String, String>,
        configuration: impl Fn(&Origin) -> Value,
    ) -> Self {
        let log = Arc::new(Log::default());
        let origin = Origin::start("origin", log.clone(), |_, exchange| {
            exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
            Ok(Then::Keep)
        });
        let origin = origin.expect("an origin");
        let gateway =
            Running::start_with(platform, &configuration(&origin), &settings, bindings, &serde_json::Map::new())
                .expect("a gateway");
        Self { log, _origin: origin, gateway }
    }

    fn get(&self, target: &str, fields: &[Field]) -> u16 {
        let message = request("GET", target, "gateway.test", fields, b"");
        exchange(self.gateway.address, &message, "GET").expect("an answer").status
    }

    /// A field of the only request that the origin got since it was last asked.
    fn shown(&self, name: &str) -> Option<String> {
        self.log.wait_for_received(1, PATIENCE);
        let received: Vec<Received> = self.log.take();
        assert_eq!(received.len(), 1, "{received:?}");
        received[0].all(name).next().map(|value| String::from_utf8_lossy(value).into_owned())
    }

    fn stop(self) {
        self.gateway.stop().expect("nothing left");
    }
}

fn configuration(issuer: &str, origin: &Origin) -> Value {
    let upstream = |mut proof: Value, scope: &str| {
        proof["token_url"] = format!("{issuer}/token").into();
        proof["scopes"] = scope.into();
        proof["resource"] = "https://orders.example".into();
        json!({ "targets": [{ "url": format!("http://{}", origin.address) }], "credentials": { "oauth2": proof } })
    };
    let route = |name: &str| json!({ "name": name, "path": format!("/{name}"), "upstream": name });
    json!({
        "upstreams": {
            "robot": upstream(json!({ "client_id": "robot", "client_secret": "${secret:ROBOT}" }), "read"),
            "poster": upstream(json!({ "client_id": "poster", "client_secret": "${secret:POSTER}", "client_authentication": "client_secret_post" }), "read"),
            "signer": upstream(json!({ "client_id": "signer", "client_key": "${secret:SIGNER}", "client_key_id": "signer-1" }), "read"),
            "late": upstream(json!({ "client_id": "robot", "client_secret": "${secret:ROBOT}" }), "write"),
        },
        "routes": [route("robot"), route("poster"), route("signer"), route("late")],
    })
}

fn unverified(token: &str) -> Value {
    let payload = token.split('.').nth(1).and_then(gateway_core::jwt::token::decode).expect("a token");
    serde_json::from_slice(&payload).expect("claims")
}
