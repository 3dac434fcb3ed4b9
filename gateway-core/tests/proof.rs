//! Proofs of possession (RFC 9449) by the clause.

#![allow(clippy::panic)] // A test that cannot go on says so.

use gateway_core::jwt::proof::{self, Asked, Shown, Window};
use gateway_core::jwt::{Refusal, key, token};
use jsonwebtoken::EncodingKey;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const NOW: u64 = 1_750_000_000_000;
const WINDOW: Window = Window { age: 60_000, leeway: 5_000 };

fn public() -> Value {
    let pem = include_str!("keys/caller.public.pem");
    let point = match gateway_core::jwt::der::public_key(pem) {
        Ok(gateway_core::jwt::der::PublicKey::P256(point)) => point,
        other => panic!("{other:?}"),
    };
    json!({"kty": "EC", "crv": "P-256", "x": token::encode(&point[1..33]), "y": token::encode(&point[33..])})
}

fn asked() -> Asked<'static> {
    Asked { method: "GET", scheme: "https", authority: "api.example:443", path: "/a/b", token: "the-token" }
}

fn header() -> Value {
    json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": public()})
}

fn claims() -> Value {
    json!({
        "jti": "1", "htm": "GET", "htu": "https://API.example/a/%62", "iat": NOW / 1000,
        "ath": token::encode(Sha256::digest("the-token")),
    })
}

fn sign(header: &Value, claims: &Value) -> String {
    let signed = format!("{}.{}", token::encode(header.to_string()), token::encode(claims.to_string()));
    let key = EncodingKey::from_ec_pem(include_bytes!("keys/caller.private.pem")).expect("a key");
    let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, jsonwebtoken::Algorithm::ES256).expect("signs");
    format!("{signed}.{signature}")
}

fn check(header: &Value, claims: &Value) -> Result<Shown, Refusal> {
    proof::check(&sign(header, claims), asked(), WINDOW, NOW)
}

#[test]
fn a_right_proof_shows_the_key() {
    let shown = check(&header(), &claims()).expect("right");
    let thumbprint = key::thumbprint(public().as_object().expect("an object")).expect("a key");
    let identifier = format!("{thumbprint} 1");
    assert_eq!(shown, Shown { thumbprint, identifier, until: NOW + 65_000 });
}

#[test]
fn everything_else_is_no_proof() {
    let with = |base: Value, name: &str, value: Value| {
        let mut changed = base;
        match value {
            Value::Null => drop(changed.as_object_mut().expect("an object").remove(name)),
            value => changed[name] = value,
        }
        changed
    };
    let mut private = public();
    private["d"] = json!(token::encode([1; 32]));
    for (name, value) in [
        ("typ", json!("jwt")),
        ("typ", Value::Null),
        ("alg", json!("none")),
        ("alg", json!("HS256")),
        ("alg", json!("ES384")),
        ("jwk", Value::Null),
        ("jwk", private),
        ("jwk", json!({"kty": "oct", "k": token::encode([1; 32])})),
        ("crit", json!(["exp"])),
    ] {
        assert_eq!(check(&with(header(), name, value.clone()), &claims()), Err(Refusal::Proof), "{name}: {value}");
    }
    let now = NOW / 1000;
    for (name, value) in [
        ("jti", Value::Null),
        ("jti", json!("")),
        ("jti", json!("x".repeat(257))),
        ("jti", json!(1)),
        ("htm", json!("POST")),
        ("htm", json!("get")),
        ("htm", Value::Null),
        ("htu", json!("https://api.example/a")),
        ("htu", json!("https://api.example/a/b/")),
        ("htu", json!("http://api.example/a/b")),
        ("htu", json!("https://api.example:8443/a/b")),
        ("htu", json!("https://evil.example/a/b")),
        ("htu", json!("/a/b")),
        ("htu", Value::Null),
        ("ath", json!(token::encode(Sha256::digest("another")))),
        ("ath", Value::Null),
        ("iat", json!(now - 65)),
        ("iat", json!(now + 6)),
        ("iat", Value::Null),
        ("iat", json!("now")),
    ] {
        assert_eq!(check(&header(), &with(claims(), name, value.clone())), Err(Refusal::Proof), "{name}: {value}");
    }
    for (name, value) in [
        ("htu", json!("https://api.example:443/a/b")),
        ("htu", json!("HTTPS://api.example/x/../a/b?query#fragment")),
        ("iat", json!(now - 64)),
        ("iat", json!(now + 5)),
    ] {
        assert!(check(&header(), &with(claims(), name, value.clone())).is_ok(), "{name}: {value}");
    }
    // Another key's signature.
    let mut other = header();
    other["jwk"]["x"] = json!("04N0xi21hshyvBp7I167sbE_bXqyqkAPfefdklMO7wY");
    other["jwk"]["y"] = json!("UI8exy-C06a7DUnjIdENkxeFtHM4-l_41LqEw9nVgmw");
    assert_eq!(check(&other, &claims()), Err(Refusal::Proof));
}
