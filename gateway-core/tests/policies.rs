//! The example in the documentation of every policy does what stands beside it.
//!
//! Beside the configuration stand lines such as `GET /orders  x-api-key: abc  → 401  x-field: value`: a request with fields,
//! a status, and fields of the response (one without a value is not there). Two spaces part what belongs together. What is
//! no field of the request is its body.

#![cfg(all(feature = "compile", feature = "testing"))]
#![allow(clippy::panic, reason = "a test may fail")]

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;

use bytes::Bytes;
use gateway_core::{
    Gateway,
    claim::Kept,
    config::{Text, compile, schema},
    http::{Body, Headers, Incoming, Peer, Response, Scheme},
    testing::{Shelf, TestPlatform, whole},
};

#[test]
fn every_example_does_what_stands_beside_it() {
    let schema = schema();
    let policies = schema["$defs"]["Policy"]["oneOf"].as_array().expect("policies are alternatives");
    assert!(policies.len() >= 11);
    for policy in policies {
        let (name, field) =
            policy["properties"].as_object().and_then(|fields| fields.iter().next()).expect("it has a name");
        let definition =
            field["$ref"].as_str().and_then(|target| target.strip_prefix("#/$defs/")).expect("it is defined");
        let about = schema["$defs"][definition]["description"].as_str().expect("it is described");
        let configuration = block(about, "yaml").unwrap_or_else(|| panic!("{name} has no example"));
        let lines = block(about, "text").unwrap_or_else(|| panic!("{name} does not say what its example does"));
        let gateway = gateway(name, &configuration);
        let claims = Rc::default();
        for line in lines.lines() {
            check(name, &gateway, &claims, line);
        }
    }
}

/// Those of the ways to authenticate are parts of a route: with one around them they have no problem, and let nobody pass.
#[test]
fn every_example_of_a_way_in_compiles_and_refuses_whoever_brings_nothing() {
    let schema = schema();
    for way in ["JwtMethod", "IntrospectionMethod", "LoginMethod"] {
        let about = schema["$defs"][way]["description"].as_str().expect("it is described");
        let policies = block(about, "yaml").unwrap_or_else(|| panic!("{way} has no example"));
        let policies = policies.replace('\n', "\n    ");
        let configuration = format!("routes:\n  - name: r\n    respond: {{}}\n    {policies}\n");
        let gateway = gateway(way, &configuration);
        check(way, &gateway, &Rc::default(), "GET /  → 401");
    }
}

/// What belongs to a policy may have an example of its own: a whole configuration, and what it does.
#[test]
fn so_does_every_other_whole_example() {
    let schema = schema();
    let mut tried = 0;
    for (name, definition) in schema["$defs"].as_object().expect("there are definitions") {
        let about = definition["description"].as_str().unwrap_or_default();
        let whole = block(about, "yaml").filter(|block| block.contains("\nroutes:"));
        let lines = about.rsplit_once("```text\n").and_then(|(_, rest)| rest.split_once("\n```"));
        let (Some(configuration), Some((lines, _))) = (whole, lines.filter(|(lines, _)| lines.contains('→'))) else {
            continue;
        };
        let gateway = gateway(name, &configuration);
        let claims = Rc::default();
        for line in lines.lines() {
            check(name, &gateway, &claims, line);
        }
        tried += 1;
    }
    assert!(tried >= 10, "only {tried} examples were tried");
}

#[test]
fn neither_a_gateway_nor_what_is_wrong_with_it_shows_its_secrets() {
    let configuration = "
routes:
  - name: r
    respond: {}
    policies:
      - authenticate:
          any_of:
            login: { issuer: https://idp.example, client_id: c, client_secret: '${secret:CLIENT}', session_keys: '${secret:KEY}' }
";
    let compiled = compile(Path::new("gateway.yaml"), &Text(configuration.to_owned()));
    let artefact = Bytes::from(compiled.artefact.expect("there is no problem"));
    let gateway = Gateway::load(artefact.clone(), |_| Some("planted, and long enough for a key".to_owned()));
    assert!(!format!("{gateway:?}").contains("planted"));
    let wrong = Gateway::load(artefact, |_| Some("planted".to_owned())).expect_err("the key is too short");
    assert!(wrong.to_string().contains("32 bytes"), "{wrong}");
    assert!(!format!("{wrong} {wrong:?}").contains("planted"), "{wrong:?}");
}

/// The first block of code in this language.
fn block(text: &str, language: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("```{language}\n"))?;
    rest.split_once("\n```").map(|(block, _)| block.to_owned())
}

fn gateway(name: &str, configuration: &str) -> Gateway {
    let compiled = compile(Path::new("gateway.yaml"), &Text(configuration.to_owned()));
    assert!(compiled.problems.is_empty(), "the example of {name}: {:?}", compiled.problems);
    Gateway::load(Bytes::from(compiled.artefact.expect("there is no problem")), |_| Some(VALUE.to_owned()))
        .expect("it loads")
}

type Claims = Rc<RefCell<HashMap<String, Kept>>>;

/// What the platform holds under every name.
const VALUE: &str = "a value of the platform's, long enough for a key";

thread_local! {
    /// What caches have stored: each gateway has routes of its own, and so keys of its own.
    static SHELF: Rc<RefCell<Shelf>> = Rc::default();
}

fn check(name: &str, gateway: &Gateway, claims: &Claims, line: &str) {
    let (asked, expected) = line.split_once('→').unwrap_or_else(|| panic!("{name}: `{line}` has no arrow"));
    let mut asked = parts(asked);
    let (method, target) = asked.next().and_then(|part| part.split_once(' ')).expect("a method and a target");
    let mut headers = Headers::new();
    let mut body = "{}";
    asked.for_each(|part| match part.split_once(": ").filter(|_| !part.starts_with('{')) {
        Some((field, value)) => headers.receive(field, value.as_bytes()),
        None => body = part,
    });
    let incoming = Incoming {
        method: method.to_owned(),
        scheme: Scheme::Https,
        authority: "api.example.com".into(),
        target: target.to_owned(),
        headers,
        body: if method == "POST" { Body::Bytes(Bytes::from(body.to_owned())) } else { Body::Empty },
        peer: Peer::default(),
    };
    // What stands behind the gateway lets pass, but for a service on port 9001, which wants to see who calls.
    let mut platform = TestPlatform::new(|call| {
        let refuses = call.authority.ends_with(":9001") && !call.headers.contains("authorization");
        Ok(Response { status: if refuses { 401 } else { 200 }, headers: Headers::new(), body: Body::Empty })
    });
    // What was claimed in one line is claimed in the next.
    platform.claims = Rc::clone(claims);
    platform.shelf = SHELF.with(Rc::clone);
    let response = whole(gateway, &platform, incoming).response;
    let mut expected = parts(expected);
    assert_eq!(expected.next(), Some(response.status.to_string().as_str()), "{name}: {line}");
    for field in expected {
        let (field, value) = field.split_once(':').unwrap_or_else(|| panic!("{name}: `{field}` is no field"));
        assert_eq!(response.headers.text(field).unwrap_or_default(), value.trim(), "{name}: {line}");
    }
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split("  ").map(str::trim).filter(|part| !part.is_empty())
}
