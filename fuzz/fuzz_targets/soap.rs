#![no_main]
//! Any answer of a SOAP service, and any request for it: there is always an answer, and it is JSON.

use gateway_core::Gateway;
use gateway_core::config::{Text, compile};
use gateway_core::http::{Body, Headers, Incoming, Peer, Response, Scheme};
use gateway_core::testing::{TestPlatform, run};
use libfuzzer_sys::fuzz_target;
use std::path::Path;
use std::sync::OnceLock;

const CONFIGURATION: &str = r#"{ "upstreams": { "o": { "targets": [{ "url": "http://o" }] } },
            "routes": [{ "name": "a", "upstream": "o", "soap": { "path": "/s", "body": "<a b='{request.query.q}'>{body.x}</a>",
                "lists": ["a.b.c", "a.*.d"], "query": "[@, a.b]", "fault_details": true } }] }"#;

fuzz_target!(|input: (u16, String, Vec<u8>)| {
    static ARTEFACT: OnceLock<Vec<u8>> = OnceLock::new();
    let artefact = ARTEFACT.get_or_init(|| {
        compile(Path::new("gateway.json"), &Text(CONFIGURATION.to_owned())).artefact.expect("it is written above")
    });
    let gateway = Gateway::load(artefact.clone().into(), |_| None).expect("it has just been compiled");
    let (status, x, answer) = input;
    let mut headers = Headers::new();
    headers.receive("content-type", b"application/json");
    let incoming = Incoming {
        method: "POST".to_owned(),
        scheme: Scheme::Http,
        authority: "a.example".to_owned(),
        target: "/?q=%3C".to_owned(),
        headers,
        body: Body::Bytes(serde_json::json!({ "x": x }).to_string().into_bytes().into()),
        peer: Peer::default(),
    };
    let platform = TestPlatform::new(|_| {
        Ok(Response { status: 200 + status % 400, headers: Headers::new(), body: Body::Stream(answer.clone()) })
    });
    if let Body::Bytes(body) = run(gateway.handle(&platform, incoming)).response.body {
        serde_json::from_slice::<serde_json::Value>(&body).expect("it is JSON");
    }
});
