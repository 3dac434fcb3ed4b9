#![no_main]
//! Any schema and any body: compiling ends with problems or an artefact, checking ends with an answer.

use gateway_core::Gateway;
use gateway_core::config::{Files, compile};
use gateway_core::http::{Body, Headers, Incoming, Peer, Response, Scheme};
use gateway_core::testing::{TestPlatform, run};
use libfuzzer_sys::fuzz_target;
use std::path::Path;

struct One(String);

impl Files for One {
    fn read(&self, path: &Path) -> Result<String, String> {
        if path == Path::new("gateway.json") { Ok(self.0.clone()) } else { Err("there is no such file".to_owned()) }
    }
}

fuzz_target!(|input: (&str, Vec<u8>, &str)| {
    let (schema, body, query) = input;
    let configuration = format!(
        r#"{{ "routes": [{{ "name": "a", "respond": {{}}, "policies": [{{ "validate": {{ "formats": "assert",
        "query": {{ "a": {{ "schema": {schema} }} }}, "body": {{ "schema": {schema} }} }} }}] }}] }}"#
    );
    let Some(artefact) = compile(Path::new("gateway.json"), &One(configuration)).artefact else { return };
    let Ok(gateway) = Gateway::load(artefact.into(), |_| None) else { return };
    let mut headers = Headers::new();
    headers.receive("content-type", b"application/json");
    let incoming = Incoming {
        method: "POST".to_owned(),
        scheme: Scheme::Http,
        authority: "a.example".to_owned(),
        target: format!("/?{query}"),
        headers,
        body: Body::Stream(body),
        peer: Peer::default(),
    };
    let platform = TestPlatform::new(|_| Ok(Response { status: 200, headers: Headers::new(), body: Body::Empty }));
    run(gateway.handle(&platform, incoming));
});
