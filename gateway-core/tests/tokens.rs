//! Tokens on their way through the gateway: keys that are fetched, rotate and are missing; what the upstream learns; what
//! a caller is told. In virtual time, with issuers that do as they are told.

#![cfg(all(feature = "compile", feature = "testing"))]
#![allow(clippy::panic)] // A test that cannot go on says so.

use gateway_core::Gateway;
use gateway_core::config::{self, Text};
use gateway_core::http::{Body, Certificate, Headers, Incoming, Peer, Response, Scheme};
use gateway_core::jwt::{der, key, token};
use gateway_core::platform::{Call, Failure, FetchError};
use gateway_core::testing::{TestPlatform, run};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

const NOW: u64 = 1_750_000_000_000;

/// A gateway, and all that is outside of it.
struct World {
    gateway: Gateway,
    clock: Rc<Cell<u64>>,
    /// What is answered at each address, path and query included; nothing: nobody listens there.
    answers: RefCell<BTreeMap<String, (u16, String)>>,
    /// What was asked: address, header fields, body.
    asked: RefCell<Vec<(String, Headers, String)>>,
}

/// What a client got, and what the upstream did if it was reached.
struct Outcome {
    status: u16,
    headers: Headers,
    body: Value,
    upstream: Option<Headers>,
    notes: Vec<String>,
}

impl World {
    /// A gateway whose one route has these ways in.
    fn new(ways: Value) -> Self {
        let policies = json!([{ "authenticate": { "any_of": ways } }]);
        Self::with(
            json!({ "routes": [{ "name": "r", "path_prefix": "/", "upstream": "origin", "policies": policies }] }),
        )
    }

    fn with(mut configuration: Value) -> Self {
        configuration["upstreams"] = json!({ "origin": { "targets": [{ "url": "http://origin.test" }] } });
        configuration["allow"] = json!(["audience-unchecked"]);
        let compiled = config::compile(Path::new("gateway.json"), &Text(configuration.to_string()));
        let Some(artefact) = compiled.artefact else { panic!("{:?}", compiled.problems) };
        assert!(compiled.problems.is_empty(), "{:?}", compiled.problems);
        let settings = |reference: &gateway_core::template::Reference| {
            (reference.name == "SHARED").then(|| "a secret of thirty-two bytes or more".to_owned())
        };
        let gateway = Gateway::load(artefact.into(), settings).expect("it loads");
        let clock = Rc::new(Cell::new(NOW));
        Self { gateway, clock, answers: RefCell::default(), asked: RefCell::default() }
    }

    fn answer(&self, address: &str, body: &Value) {
        self.answers.borrow_mut().insert(address.to_owned(), (200, body.to_string()));
    }

    fn pass(&self, milliseconds: u64) {
        self.clock.set(self.clock.get() + milliseconds);
    }

    /// How often this address was asked since the last time that somebody wanted to know.
    fn asked(&self, address: &str) -> usize {
        let mut asked = self.asked.borrow_mut();
        let before = asked.len();
        asked.retain(|(known, ..)| known != address);
        before - asked.len()
    }

    fn send(&self, fields: &[(&str, &str)]) -> Outcome {
        self.send_from(fields, Peer::default())
    }

    fn send_from(&self, fields: &[(&str, &str)], peer: Peer) -> Outcome {
        let reached = RefCell::new(None);
        let platform = TestPlatform::with_clock(Rc::clone(&self.clock), |call: Call<Vec<u8>>| {
            if call.authority == "origin.test" {
                *reached.borrow_mut() = Some(call.headers);
                return Ok(Response { status: 200, headers: Headers::new(), body: Body::Empty });
            }
            assert!(call.headers.is_our_own(), "nothing of the client's goes to an issuer");
            let address = format!("{}://{}{}", call.scheme, call.authority, call.target);
            let body = match call.body {
                Body::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                Body::Empty | Body::Stream(_) | Body::Pumped(..) | Body::Made(_) => String::new(),
            };
            let answer = self.answers.borrow().get(&address).cloned();
            self.asked.borrow_mut().push((address, call.headers, body));
            match answer {
                Some((status, body)) => {
                    Ok(Response { status, headers: Headers::new(), body: Body::Stream(body.into_bytes()) })
                }
                None => Err(Failure { error: FetchError::Unreachable, detail: "nobody is there".into() }),
            }
        });
        let mut headers = Headers::new();
        for (name, value) in fields {
            headers.receive(name, value.as_bytes());
        }
        let incoming = Incoming {
            method: "GET".into(),
            scheme: Scheme::Https,
            authority: "api.test".into(),
            target: "/orders?a=b".into(),
            headers,
            body: Body::Empty,
            peer,
        };
        let reply = run(self.gateway.handle(&platform, incoming));
        drop(platform);
        let body = match reply.response.body {
            Body::Bytes(bytes) => serde_json::from_slice(&bytes).unwrap_or_default(),
            Body::Empty | Body::Stream(_) | Body::Pumped(..) | Body::Made(_) => Value::Null,
        };
        let notes = reply.notes.iter().map(|note| note.detail.clone()).collect();
        Outcome {
            status: reply.response.status,
            headers: reply.response.headers,
            body,
            upstream: reached.into_inner(),
            notes,
        }
    }

    fn bearer(&self, token: &str) -> Outcome {
        self.send(&[("authorization", &format!("Bearer {token}"))])
    }
}

impl Outcome {
    fn challenge(&self) -> &str {
        self.headers.text("www-authenticate").unwrap_or_default()
    }

    fn detail(&self) -> &str {
        self.body["detail"].as_str().unwrap_or_default()
    }

    fn upstream(&self, name: &str) -> Option<&str> {
        self.upstream.as_ref().expect("the upstream was reached").text(name)
    }
}

fn jwk(file: &str, kid: &str) -> Value {
    let pem = std::fs::read_to_string(format!("tests/keys/{file}.public.pem")).expect("a file");
    let mut jwk = match der::public_key(&pem).expect("a key") {
        der::PublicKey::Rsa(n, e) => json!({ "kty": "RSA", "n": token::encode(n), "e": token::encode(e) }),
        der::PublicKey::P256(p) => {
            json!({ "kty": "EC", "crv": "P-256", "x": token::encode(&p[1..33]), "y": token::encode(&p[33..]) })
        }
        der::PublicKey::P384(p) => {
            json!({ "kty": "EC", "crv": "P-384", "x": token::encode(&p[1..49]), "y": token::encode(&p[49..]) })
        }
        der::PublicKey::Ed25519(p) => json!({ "kty": "OKP", "crv": "Ed25519", "x": token::encode(p) }),
    };
    jwk["kid"] = kid.into();
    jwk
}

fn signing(file: &str) -> (Algorithm, EncodingKey) {
    let pem = std::fs::read(format!("tests/keys/{file}.private.pem")).expect("a file");
    match file {
        "rsa" => (Algorithm::RS256, EncodingKey::from_rsa_pem(&pem).expect("a key")),
        "ed25519" => (Algorithm::EdDSA, EncodingKey::from_ed_pem(&pem).expect("a key")),
        "p384" => (Algorithm::ES384, EncodingKey::from_ec_pem(&pem).expect("a key")),
        _ => (Algorithm::ES256, EncodingKey::from_ec_pem(&pem).expect("a key")),
    }
}

fn claims(issuer: &str) -> Value {
    json!({ "iss": issuer, "sub": "alice", "aud": "a", "iat": NOW / 1000, "exp": NOW / 1000 + 7200, "jti": "1" })
}

fn sign(file: &str, kid: &str, claims: &Value) -> String {
    let (algorithm, key) = signing(file);
    let header = jsonwebtoken::Header { kid: Some(kid.into()), ..jsonwebtoken::Header::new(algorithm) };
    jsonwebtoken::encode(&header, claims, &key).expect("signs")
}

const ISSUER: &str = "https://idp.test";
const DESCRIPTION: &str = "https://idp.test/.well-known/openid-configuration";
const KEYS: &str = "https://idp.test/keys";

fn by_url() -> World {
    let world = World::new(json!([{ "jwt": { "issuers": { "issuer": ISSUER, "audiences": "a", "jwks_url": KEYS } } }]));
    world.answer(KEYS, &json!({ "keys": [jwk("p256", "1")] }));
    world
}

// --- keys -----------------------------------------------------------------------------------------------------------

#[test]
fn every_kind_of_key_is_found_by_discovery() {
    let world = World::new(json!([{ "jwt": { "issuers": { "issuer": ISSUER, "audiences": "a" } } }]));
    let files = ["rsa", "p256", "p384", "ed25519"];
    let keys: Vec<Value> = files.iter().map(|file| jwk(file, file)).collect();
    world.answer(DESCRIPTION, &json!({ "issuer": ISSUER, "jwks_uri": KEYS }));
    world.answer(KEYS, &json!({ "keys": keys }));
    for file in files {
        let outcome = world.bearer(&sign(file, file, &claims(ISSUER)));
        assert_eq!((outcome.status, outcome.upstream("authorization")), (200, None), "{file}: {}", outcome.detail());
    }
    assert_eq!((world.asked(DESCRIPTION), world.asked(KEYS)), (1, 1), "once for all of them");
}

#[test]
fn a_description_of_another_issuer_counts_for_nothing() {
    for (description, status) in [
        (json!({ "issuer": ISSUER, "jwks_uri": KEYS }), 200),
        (json!({ "issuer": "https://other.test", "jwks_uri": KEYS }), 503),
        (json!({ "issuer": ISSUER, "jwks_uri": "http://idp.test/keys" }), 503),
        (json!({ "issuer": ISSUER }), 503),
        (json!([]), 503),
    ] {
        let world = World::new(json!([{ "jwt": { "issuers": { "issuer": ISSUER, "audiences": "a" } } }]));
        world.answer(DESCRIPTION, &description);
        world.answer(KEYS, &json!({ "keys": [jwk("p256", "1")] }));
        assert_eq!(world.bearer(&sign("p256", "1", &claims(ISSUER))).status, status, "{description}");
    }
}

#[test]
fn keys_rotate() {
    let world = by_url();
    let (old, new) = (sign("p256", "1", &claims(ISSUER)), sign("ed25519", "2", &claims(ISSUER)));
    assert_eq!(world.bearer(&old).status, 200);
    // The issuer signs with a new key: the first token that names it makes the gateway ask.
    world.pass(31_000);
    world.answer(KEYS, &json!({ "keys": [jwk("p256", "1"), jwk("ed25519", "2")] }));
    assert_eq!(world.bearer(&new).status, 200);
    assert_eq!(world.asked(KEYS), 2);
    // The old one is withdrawn. After the next refresh its tokens are refused, remembered ones too.
    world.answer(KEYS, &json!({ "keys": [jwk("ed25519", "2")] }));
    assert_eq!(world.bearer(&old).status, 200);
    world.pass(15 * 60_000);
    assert_eq!(world.bearer(&new).status, 200);
    let outcome = world.bearer(&old);
    assert_eq!((outcome.status, outcome.detail()), (401, "The token's key is not known."));
}

#[test]
fn while_a_new_key_is_fetched_all_that_name_it_wait() {
    for (answers, expected) in [(true, 200), (false, 401)] {
        let world = by_url();
        assert_eq!(world.bearer(&sign("p256", "1", &claims(ISSUER))).status, 200);
        world.pass(31_000);
        let keys = json!({ "keys": [jwk("p256", "1"), jwk("ed25519", "2")] }).to_string();
        let asked = Cell::new(0);
        let platform = TestPlatform::with_clock(Rc::clone(&world.clock), |call: Call<Vec<u8>>| {
            if call.authority == "origin.test" {
                return Ok(Response { status: 200, headers: Headers::new(), body: Body::Empty });
            }
            asked.set(asked.get() + 1);
            let status = if answers { 200 } else { 500 };
            Ok(Response { status, headers: Headers::new(), body: Body::Stream(keys.clone().into_bytes()) })
        });
        *platform.delay.borrow_mut() = Some(Box::new(|call| if call.authority == "origin.test" { 0 } else { 800 }));
        let send = |token: String| {
            let mut headers = Headers::new();
            headers.receive("authorization", format!("Bearer {token}").as_bytes());
            let incoming = Incoming {
                method: "GET".into(),
                scheme: Scheme::Https,
                authority: "api.test".into(),
                target: "/orders".into(),
                headers,
                body: Body::Empty,
                peer: Peer::default(),
            };
            world.gateway.handle(&platform, incoming)
        };
        let begun = platform.clock.get();
        let mut open: Vec<_> = (0..20).map(|_| Some(Box::pin(send(sign("ed25519", "2", &claims(ISSUER)))))).collect();
        run(std::future::poll_fn(|context| {
            for one in &mut open {
                if let Some(request) = one
                    && let std::task::Poll::Ready(reply) = request.as_mut().poll(context)
                {
                    assert_eq!(reply.response.status, expected);
                    *one = None;
                }
            }
            if open.iter().all(Option::is_none) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        }));
        assert_eq!(asked.get(), 1);
        assert!(platform.clock.get() - begun < 1_000);
        // A key that nobody has is told so at once: the issuer has just been asked.
        let begun = platform.clock.get();
        assert_eq!(run(send(sign("ed25519", "3", &claims(ISSUER)))).response.status, 401);
        assert_eq!(platform.clock.get(), begun);
    }
}

#[test]
fn forged_key_identifiers_do_not_hammer_the_issuer() {
    let world = by_url();
    for at in 0..600 {
        let outcome = world.bearer(&sign("ed25519", &format!("forged-{at}"), &claims(ISSUER)));
        assert_eq!(outcome.status, 401);
        world.pass(100);
    }
    assert_eq!(world.asked(KEYS), 2, "a minute has room for two");
    assert_eq!(world.bearer(&sign("p256", "1", &claims(ISSUER))).status, 200);
}

#[test]
fn old_keys_count_while_the_issuer_is_down() {
    let world = by_url();
    let token = |hours: u64| {
        let mut claims = claims(ISSUER);
        claims["exp"] = (NOW / 1000 + hours * 3600).into();
        sign("p256", "1", &claims)
    };
    let long = token(100);
    assert_eq!(world.bearer(&long).status, 200);
    world.answers.borrow_mut().clear();
    world.pass(3_600_000);
    let outcome = world.bearer(&long);
    assert_eq!(outcome.status, 200);
    assert!(outcome.notes.iter().any(|note| note.contains("old") && note.contains(ISSUER)), "{:?}", outcome.notes);
    assert_eq!(world.bearer(&token(99)).status, 200, "a token that was never seen, too");
    assert!(world.asked(KEYS) <= 2, "and nobody is hammered");
    // A day and a quarter of an hour is enough.
    world.pass(24 * 3_600_000);
    let outcome = world.bearer(&long);
    assert_eq!((outcome.status, outcome.headers.text("retry-after")), (503, Some("5")));
    assert_eq!(outcome.body["type"], "urn:postern:problem:credential-uncertain");
    assert!(!outcome.body.to_string().contains("idp.test"), "{}", outcome.body);
    // It comes back.
    world.answer(KEYS, &json!({ "keys": [jwk("p256", "1")] }));
    world.pass(5_000);
    assert_eq!(world.bearer(&long).status, 200);
}

#[test]
fn keys_are_renewed_before_they_are_due() {
    let world = by_url();
    let token = sign("p256", "1", &claims(ISSUER));
    for _ in 0..60 {
        assert_eq!(world.bearer(&token).status, 200);
        world.pass(60_000);
    }
    // Every twelve minutes of the fifteen.
    assert_eq!(world.asked(KEYS), 5);
}

#[test]
fn an_issuer_that_was_never_reached_refuses_nobody_for_good() {
    let world = World::new(json!([{ "jwt": { "issuers": { "issuer": ISSUER, "audiences": "a", "jwks_url": KEYS } } }]));
    let token = sign("p256", "1", &claims(ISSUER));
    for _ in 0..10 {
        let outcome = world.bearer(&token);
        assert_eq!(outcome.status, 503);
        assert!(outcome.notes.iter().any(|note| note.contains("idp.test")), "{:?}", outcome.notes);
    }
    assert_eq!(world.asked(KEYS), 1);
    for bad in [json!({ "keys": [] }), json!({ "keys": [{ "kty": "oct", "k": token::encode([7; 64]) }] }), json!("x")] {
        world.answer(KEYS, &bad);
        world.pass(5_000);
        assert_eq!(world.bearer(&token).status, 503, "{bad}");
    }
    world.answer(KEYS, &json!({ "keys": [jwk("p256", "1")] }));
    world.pass(5_000);
    assert_eq!(world.bearer(&token).status, 200);
}

#[test]
fn routes_share_the_keys_of_an_issuer() {
    let issuer = json!({ "issuer": ISSUER, "audiences": "a", "jwks_url": KEYS });
    let policy = json!([{ "authenticate": { "any_of": [{ "jwt": { "issuers": issuer } }] } }]);
    let route =
        |name: &str, path: &str| json!({ "name": name, "path": path, "upstream": "origin", "policies": policy });
    let world = World::with(json!({ "routes": [route("one", "/one"), route("two", "/orders")] }));
    world.answer(KEYS, &json!({ "keys": [jwk("p256", "1")] }));
    assert_eq!(world.gateway.globals().issuers.len(), 1);
    assert_eq!(world.bearer(&sign("p256", "1", &claims(ISSUER))).status, 200);
}

// --- tokens ---------------------------------------------------------------------------------------------------------

#[test]
fn several_issuers_each_with_its_own_rules() {
    let world = World::new(json!([{ "jwt": { "issuers": [
        { "issuer": "one", "audiences": "a", "jwks": jwk("p256", "1") },
        { "issuer": "two", "audiences": "b", "jwks": jwk("ed25519", "1"), "required_claims": "tenant" },
        { "issuer": "three", "secrets": { "secret": "${secret:SHARED}" } },
    ] } }]));
    let with = |issuer: &str, change: &[(&str, Value)]| {
        let mut claims = claims(issuer);
        change.iter().for_each(|(name, value)| claims[*name] = value.clone());
        claims
    };
    let two = [("aud", json!("b")), ("tenant", json!(1))];
    let secret = EncodingKey::from_secret(b"a secret of thirty-two bytes or more");
    let shared =
        |claims: &Value| jsonwebtoken::encode(&jsonwebtoken::Header::default(), claims, &secret).expect("signs");
    for (token, expected) in [
        (sign("p256", "1", &claims("one")), ""),
        (sign("ed25519", "1", &with("two", &two)), ""),
        (shared(&claims("three")), ""),
        (sign("p256", "1", &claims("four")), "The token's issuer is not trusted here."),
        // One issuer's key does not sign for another.
        (sign("p256", "1", &with("two", &two)), "The token's algorithm is not taken here."),
        (sign("ed25519", "1", &claims("one")), "The token's algorithm is not taken here."),
        (shared(&claims("one")), "The token's algorithm is not taken here."),
        (sign("p256", "1", &claims("three")), "The token's key is not known."),
        (sign("ed25519", "1", &claims("two")), "The token is for somebody else."),
        (sign("ed25519", "1", &with("two", &two[..1])), "The token lacks a claim."),
        (sign("p256", "1", &with("one", &[("exp", json!(NOW / 1000 - 31))])), "The token has expired."),
        (sign("p256", "1", &with("one", &[("nbf", json!(NOW / 1000 + 31))])), "The token is not valid yet."),
        ("opaque".to_owned(), "The token is malformed."),
    ] {
        for _ in 0..2 {
            let outcome = world.bearer(&token);
            let (status, error) = if expected.is_empty() { (200, false) } else { (401, true) };
            assert_eq!((outcome.status, outcome.detail()), (status, expected), "{token}");
            assert_eq!(outcome.challenge().contains("error=\"invalid_token\""), error, "{}", outcome.challenge());
        }
    }
    let outcome = world.send(&[]);
    assert_eq!((outcome.status, outcome.challenge()), (401, "Bearer realm=\"restricted\""));
}

#[test]
fn a_remembered_token_still_expires() {
    let world = by_url();
    let token = sign("p256", "1", &claims(ISSUER));
    assert_eq!(world.bearer(&token).status, 200);
    world.pass(7_229_999);
    assert_eq!(world.bearer(&token).status, 200);
    world.pass(1);
    assert_eq!(world.bearer(&token).detail(), "The token has expired.");
}

#[test]
fn what_a_token_says_reaches_the_upstream_and_nothing_a_client_claims() {
    let jwt = json!({ "jwt": {
        "issuers": { "issuer": "i", "audiences": "a", "jwks": jwk("p256", "1") },
        "headers": { "X-User": "sub", "x-roles": "realm.roles", "x-missing": "nothing" },
    } });
    let policies = json!([
        { "authenticate": { "any_of": [jwt, "anonymous"] } },
        { "headers": { "request": { "set": { "x-who": "{consumer.name} {token.subject} {token.issuer} {token.scopes}" } } } },
    ]);
    let world = World::with(json!({
        "consumers": [{ "name": "alice-inc", "subjects": [{ "issuer": "i", "subject": "alice" }] }],
        "routes": [{ "name": "r", "path_prefix": "/", "upstream": "origin", "policies": policies }],
    }));
    let mut claims = claims("i");
    claims["realm"] = json!({ "roles": ["reader", "a,admin", "writer"] });
    claims["scope"] = json!("read write");
    let authorization = format!("Bearer {}", sign("p256", "1", &claims));
    let smuggled = [("x-user", "root"), ("x_roles", "admin"), ("X-Missing", "x")];
    let outcome = world.send(&[&smuggled[..], &[("authorization", authorization.as_str())]].concat());
    assert_eq!(outcome.upstream("x-user"), Some("alice"));
    assert_eq!(outcome.upstream("x-roles"), Some("reader,writer"));
    assert_eq!((outcome.upstream("x-missing"), outcome.upstream("x_roles")), (None, None));
    assert_eq!(outcome.upstream("x-who"), Some("alice-inc alice i read write"));
    assert_eq!(outcome.upstream("authorization"), None);
    // Nor does a client that is nobody.
    let outcome = world.send(&smuggled);
    assert_eq!((outcome.status, outcome.upstream("x-user"), outcome.upstream("x_roles")), (200, None, None));
}

#[test]
fn a_token_is_read_where_it_may_stand_and_nowhere_else() {
    let world = World::new(json!([{ "jwt": {
        "issuers": { "issuer": "i", "audiences": "a", "jwks": jwk("p256", "1") }, "header": "x-token", "cookie": "t", "keep": true,
    } }]));
    let token = sign("p256", "1", &claims("i"));
    assert_eq!(world.send(&[("x-token", &token)]).upstream("x-token"), Some(token.as_str()));
    assert_eq!(world.send(&[("cookie", &format!("a=b; t={token}"))]).status, 200);
    assert_eq!(world.bearer(&token).status, 401);
    let outcome = world.send(&[("x-token", &token), ("cookie", "t=other")]);
    assert!(outcome.challenge().contains("invalid_request"), "{}", outcome.challenge());
}

#[test]
fn the_other_ways_in_still_count() {
    let world = World::new(json!([
        { "jwt": { "issuers": { "issuer": ISSUER, "audiences": "a", "jwks_url": KEYS }, "realm": "api" } },
        { "basic": {} },
    ]));
    let outcome = world.bearer(&sign("p256", "1", &claims(ISSUER)));
    assert_eq!(outcome.status, 503, "nobody can say what the token is worth");
    let outcome = world.send(&[("authorization", "Basic eDp5")]);
    let challenges: Vec<_> = outcome.headers.all("www-authenticate").map(String::from_utf8_lossy).collect();
    assert_eq!(challenges, ["Bearer realm=\"api\"", "Basic realm=\"restricted\", charset=\"UTF-8\""]);
}

// --- possession -----------------------------------------------------------------------------------------------------

fn proof(file: &str, change: impl FnOnce(&mut Value), token: &str, jti: &str) -> String {
    let mut jwk = jwk(file, "");
    jwk.as_object_mut().expect("an object").remove("kid");
    let header = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": jwk });
    let mut claims = json!({
        "htm": "GET", "htu": "https://api.test/orders", "jti": jti, "iat": NOW / 1000,
        "ath": token::encode(Sha256::digest(token)),
    });
    change(&mut claims);
    let signed = format!("{}.{}", token::encode(header.to_string()), token::encode(claims.to_string()));
    let (algorithm, key) = signing(file);
    let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, algorithm).expect("signs");
    format!("{signed}.{signature}")
}

#[test]
fn a_token_that_is_bound_to_a_key_needs_a_fresh_proof() {
    let world =
        World::new(json!([{ "jwt": { "issuers": { "issuer": "i", "audiences": "a", "jwks": jwk("p256", "1") } } }]));
    let thumbprint = key::thumbprint(jwk("caller", "").as_object().expect("an object")).expect("a key");
    let mut bound = claims("i");
    bound["cnf"] = json!({ "jkt": thumbprint });
    let (bound, free) = (sign("p256", "1", &bound), sign("p256", "1", &claims("i")));
    let send = |scheme: &str, token: &str, proofs: &[&str]| {
        let authorization = format!("{scheme} {token}");
        let mut fields = vec![("authorization", authorization.as_str())];
        fields.extend(proofs.iter().map(|proof| ("dpop", *proof)));
        world.send(&fields)
    };
    let right = |jti: &str| proof("caller", |_| {}, &bound, jti);
    let outcome = send("DPoP", &bound, &[&right("1")]);
    assert_eq!((outcome.status, outcome.upstream("dpop")), (200, None), "{}", outcome.detail());
    for (what, outcome, error) in [
        ("used twice", send("DPoP", &bound, &[&right("1")]), "invalid_dpop_proof"),
        ("no proof", send("DPoP", &bound, &[]), "invalid_dpop_proof"),
        ("two proofs", send("DPoP", &bound, &[&right("2"), &right("3")]), "invalid_dpop_proof"),
        ("another's key", send("DPoP", &bound, &[&proof("p256", |_| {}, &bound, "4")]), "invalid_token"),
        ("for another token", send("DPoP", &bound, &[&proof("caller", |_| {}, &free, "5")]), "invalid_dpop_proof"),
        (
            "for another address",
            send(
                "DPoP",
                &bound,
                &[&proof("caller", |claims| claims["htu"] = json!("https://api.test/x"), &bound, "6")],
            ),
            "invalid_dpop_proof",
        ),
        ("as if it were free", send("Bearer", &bound, &[]), "invalid_token"),
        ("as if it were free, with a proof", send("Bearer", &bound, &[&right("7")]), "invalid_token"),
        (
            "a free one as if it were bound",
            send("DPoP", &free, &[&proof("caller", |_| {}, &free, "8")]),
            "invalid_token",
        ),
    ] {
        assert_eq!(outcome.status, 401, "{what}");
        assert!(outcome.challenge().starts_with("DPoP ") && outcome.challenge().contains("algs=\"RS256"), "{what}");
        assert!(outcome.challenge().contains(error), "{what}: {}", outcome.challenge());
    }
    assert_eq!(send("Bearer", &free, &[]).status, 200);
    assert_eq!(send("DPoP", &bound, &[&right("9")]).status, 200);
}

#[test]
fn where_proofs_are_required_nothing_passes_without() {
    let issuers = json!({ "issuer": "i", "audiences": "a", "jwks": jwk("p256", "1") });
    let world = World::new(json!([{ "jwt": { "issuers": issuers, "dpop": { "required": true, "max_age": "10s" } } }]));
    let outcome = world.send(&[]);
    assert!(outcome.challenge().starts_with("DPoP realm=\"restricted\", algs=\""), "{}", outcome.challenge());
    assert_eq!(world.bearer(&sign("p256", "1", &claims("i"))).status, 401);
}

#[test]
fn a_token_that_is_bound_to_a_certificate_needs_it() {
    let world =
        World::new(json!([{ "jwt": { "issuers": { "issuer": "i", "audiences": "a", "jwks": jwk("p256", "1") } } }]));
    let digest = Sha256::digest("a certificate");
    let mut bound = claims("i");
    bound["cnf"] = json!({ "x5t#S256": token::encode(digest) });
    let authorization = format!("Bearer {}", sign("p256", "1", &bound));
    let send = |fingerprint: Option<&str>| {
        let certificate =
            fingerprint.map(|fingerprint| Certificate { fingerprint: fingerprint.into(), ..Certificate::default() });
        world.send_from(&[("authorization", &authorization)], Peer { certificate, ..Peer::default() }).status
    };
    let hex: String = digest.iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(send(Some(&hex)), 200);
    assert_eq!(send(Some(&hex[2..])), 401);
    assert_eq!(send(Some("")), 401);
    assert_eq!(send(None), 401);
    // Another kind of confirmation, which nobody here can check.
    let mut other = claims("i");
    other["cnf"] = json!({ "kid": "x" });
    assert_eq!(world.bearer(&sign("p256", "1", &other)).status, 401);
}

// --- introspection --------------------------------------------------------------------------------------------------

const INTROSPECTION: &str = "https://idp.test/introspect";

fn introspecting() -> World {
    World::new(json!([{ "introspection": {
        "url": INTROSPECTION, "client_id": "gate way", "client_secret": "${secret:SHARED}", "issuer": ISSUER, "audiences": "a",
        "cache": "1m", "cache_inactive": "10s", "headers": { "x-user": "sub" },
    } }]))
}

#[test]
fn an_opaque_token_is_asked_about_once_in_a_while() {
    let world = introspecting();
    let expires = NOW / 1000 + 90;
    world.answer(INTROSPECTION, &json!({ "active": true, "sub": "alice", "aud": ["a"], "exp": expires }));
    for _ in 0..5 {
        let outcome = world.bearer("opaque&token");
        assert_eq!((outcome.status, outcome.upstream("x-user")), (200, Some("alice")));
    }
    let (_, headers, body) = world.asked.borrow().first().cloned().expect("asked");
    assert_eq!(body, "token=opaque%26token&token_type_hint=access_token");
    // gate+way:a+secret+of+thirty-two+bytes+or+more
    let basic = "Basic Z2F0ZSt3YXk6YStzZWNyZXQrb2YrdGhpcnR5LXR3bytieXRlcytvcittb3Jl";
    assert_eq!(headers.text("authorization"), Some(basic));
    assert_eq!(world.asked(INTROSPECTION), 1);
    world.pass(60_000);
    assert_eq!(world.bearer("opaque&token").status, 200);
    assert_eq!(world.asked(INTROSPECTION), 1);
    // Never beyond its end, however long answers are believed.
    world.pass(30_000);
    world.answer(INTROSPECTION, &json!({ "active": false }));
    assert_eq!(world.bearer("opaque&token").status, 401);
}

#[test]
fn a_no_is_remembered_too_and_silence_lets_nobody_pass() {
    let world = introspecting();
    world.answer(INTROSPECTION, &json!({ "active": false }));
    for _ in 0..5 {
        let outcome = world.bearer("unknown");
        assert_eq!((outcome.status, outcome.detail()), (401, "The token is not active."));
    }
    assert_eq!(world.asked(INTROSPECTION), 1);
    world.pass(10_000);
    world.answers.borrow_mut().clear();
    let outcome = world.bearer("unknown");
    assert_eq!(outcome.status, 503);
    assert!(!format!("{} {:?}", outcome.body, outcome.notes).contains("thirty-two"), "no secret in logs");
    world.answers.borrow_mut().insert(INTROSPECTION.into(), (401, "{\"active\":true}".into()));
    assert_eq!(world.bearer("unknown").status, 503);
    world.answer(INTROSPECTION, &json!("yes"));
    assert_eq!(world.bearer("unknown").status, 503);
}

#[test]
fn what_is_said_of_a_token_must_fit() {
    for (answer, status) in [
        (json!({ "active": true, "aud": "a" }), 200),
        (json!({ "active": true, "aud": "b" }), 401),
        (json!({ "active": true }), 401),
        (json!({ "active": "true", "aud": "a" }), 401),
        (json!({ "aud": "a" }), 401),
        (json!({ "active": true, "aud": "a", "iss": ISSUER }), 200),
        (json!({ "active": true, "aud": "a", "iss": "https://other.test" }), 401),
        (json!({ "active": true, "aud": "a", "exp": NOW / 1000 }), 401),
        (json!({ "active": true, "aud": "a", "exp": "soon" }), 401),
        (json!({ "active": true, "aud": "a", "nbf": NOW / 1000 + 1 }), 401),
        (json!({ "active": true, "aud": "a", "cnf": { "jkt": "x" } }), 401),
    ] {
        let world = introspecting();
        world.answer(INTROSPECTION, &answer);
        assert_eq!(world.bearer("t").status, status, "{answer}");
    }
}

// --- secrets --------------------------------------------------------------------------------------------------------

#[test]
fn nothing_that_is_shown_holds_a_secret() {
    let shared = "a secret of thirty-two bytes or more";
    let world = World::new(json!([
        { "jwt": { "issuers": { "issuer": "i", "secrets": { "secret": "${secret:SHARED}" } } } },
        { "introspection": { "url": INTROSPECTION, "client_id": "a", "client_secret": "${secret:SHARED}" } },
    ]));
    let key = EncodingKey::from_secret(shared.as_bytes());
    let right = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims("i"), &key).expect("signs");
    let mut shown = vec![format!("{:?}", world.gateway)];
    for token in [right.as_str(), &right[..right.len() - 2], "planted-opaque-token"] {
        let outcome = world.bearer(token);
        shown.push(format!("{} {} {:?}", outcome.body, outcome.challenge(), outcome.notes));
    }
    for shown in shown {
        for secret in [shared, "thirty-two", right.as_str(), "planted-opaque-token"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}
