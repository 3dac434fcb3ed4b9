#![no_main]
//! Any body as JSON-RPC, to a server of tools, in a batch, and as a server's answer: there is always an answer, and it is JSON
//! where there is a body.

use gateway_core::Gateway;
use gateway_core::config::{Text, compile};
use gateway_core::http::{Body, Headers, Incoming, Peer, Response, Scheme};
use gateway_core::testing::{TestPlatform, run};
use libfuzzer_sys::fuzz_target;
use std::path::Path;
use std::sync::OnceLock;

const CONFIGURATION: &str = r#"{ "upstreams": { "o": { "targets": [{ "url": "http://o" }] } },
            "routes": [
                { "name": "a", "path": "/split", "upstream": "o", "policies": [{ "json_rpc": { "max_batch": 5 } }] },
                { "name": "b", "path": "/pass", "upstream": "o", "policies": [{ "json_rpc": { "batch": "pass",
                    "methods": { "deny": "a*" }, "params": { "b": { "schema": { "type": "array" } } } } }] },
                { "name": "c", "path": "/call/{id}", "upstream": "o", "json_rpc": { "method": "m", "params": ["{id}", "{body.a}"] } },
                { "name": "d", "path": "/mcp", "mcp": { "tools": { "openapi": { "openapi": "3.1.0",
                    "info": { "title": "", "version": "" }, "paths": { "/split": { "post": { "operationId": "t",
                    "parameters": [{ "name": "q", "in": "query", "schema": { "type": ["array", "object", "string"] } }],
                    "requestBody": { "content": { "application/json": { "schema": { "type": "object" } } } },
                    "responses": { "200": { "description": "", "content": { "application/json": { "schema": { "type": "object" } } } } }
                    } } } } } } }
            ] }"#;

const PATHS: [&str; 4] = ["/split", "/pass", "/call/x", "/mcp"];

fuzz_target!(|input: (u8, Vec<u8>, Vec<u8>)| {
    static ARTEFACT: OnceLock<Vec<u8>> = OnceLock::new();
    let artefact = ARTEFACT.get_or_init(|| {
        compile(Path::new("gateway.json"), &Text(CONFIGURATION.to_owned())).artefact.expect("it is written above")
    });
    let gateway = Gateway::load(artefact.clone().into(), |_| None).expect("it has just been compiled");
    let (path, body, answer) = input;
    let mut headers = Headers::new();
    headers.receive("content-type", b"application/json");
    let incoming = Incoming {
        method: "POST".to_owned(),
        scheme: Scheme::Http,
        authority: "a.example".to_owned(),
        target: PATHS[usize::from(path % 4)].to_owned(),
        headers: headers.clone(),
        body: Body::Stream(body),
        peer: Peer::default(),
    };
    let platform = TestPlatform::new(|_| {
        Ok(Response { status: 200, headers: headers.clone(), body: Body::Stream(answer.clone()) })
    });
    let response = run(gateway.handle(&platform, incoming)).response;
    if let Body::Bytes(bytes) = response.body
        && !bytes.is_empty()
    {
        serde_json::from_slice::<serde_json::Value>(&bytes).expect("what the gateway makes is JSON");
    }
});
