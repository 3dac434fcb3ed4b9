#![no_main]
//! Any document and any request: what is read has one spelling, and what is taken is within the limits.

use gateway_core::Gateway;
use gateway_core::config::{Text, compile};
use gateway_core::graphql::Document;
use gateway_core::graphql::document::Most;
use gateway_core::http::{Body, Headers, Incoming, Peer, Response, Scheme};
use gateway_core::testing::{TestPlatform, run};
use libfuzzer_sys::fuzz_target;
use std::path::Path;
use std::sync::OnceLock;

const CONFIGURATION: &str = r#"{ "upstreams": { "o": { "targets": [{ "url": "http://o" }] } },
            "routes": [{ "name": "a", "upstream": "o", "policies": [{ "graphql": {
                "limits": { "depth": 4, "cost": 1000, "batch": 3 }, "persisted": { "automatic": "instance" },
                "root_fields": { "deny": "Mutation.x" } } }] }] }"#;

fuzz_target!(|input: (bool, String, String)| {
    let (whole, document, variables) = input;
    let most = Most { tokens: 2_000, nesting: 1_000 };
    if let Ok(read) = Document::read(&document, most) {
        let spelling = read.canonical();
        let again = Document::read(&spelling, most).expect("it has just been written");
        assert_eq!(again.canonical(), spelling);
        assert_eq!(again.selections, read.selections);
    }
    static ARTEFACT: OnceLock<Vec<u8>> = OnceLock::new();
    let artefact = ARTEFACT.get_or_init(|| {
        compile(Path::new("gateway.json"), &Text(CONFIGURATION.to_owned())).artefact.expect("it is written above")
    });
    let gateway = Gateway::load(artefact.clone().into(), |_| None).expect("it has just been compiled");
    let body = if whole {
        document.clone()
    } else {
        format!(r#"{{"query":{},"variables":{variables}}}"#, serde_json::Value::from(document.as_str()))
    };
    let mut headers = Headers::new();
    headers.receive("content-type", b"application/json");
    headers.receive("accept", b"application/json");
    for (method, target, body) in [
        ("POST", "/".to_owned(), Body::Bytes(body.into_bytes().into())),
        ("GET", format!("/?query={}", document.replace([' ', '#', '\n', '\r', '\0'], "+")), Body::Empty),
    ] {
        let incoming = Incoming {
            method: method.to_owned(),
            scheme: Scheme::Http,
            authority: "a.example".to_owned(),
            target,
            headers: headers.clone(),
            body,
            peer: Peer::default(),
        };
        let platform = TestPlatform::new(|_| Ok(Response { status: 200, headers: Headers::new(), body: Body::Empty }));
        let status = run(gateway.handle(&platform, incoming)).response.status;
        assert!((200..500).contains(&status), "{status}");
    }
});
