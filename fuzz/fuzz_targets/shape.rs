#![no_main]
//! Any body of any kind, transformed on both ways: there is always an answer.

use gateway_core::Gateway;
use gateway_core::config::{Files, compile};
use gateway_core::http::{Body, Headers, Incoming, Peer, Response, Scheme};
use gateway_core::testing::{TestPlatform, run};
use libfuzzer_sys::fuzz_target;
use std::path::Path;
use std::sync::OnceLock;

struct One;

impl Files for One {
    fn read(&self, _: &Path) -> Result<String, String> {
        let bodies = ["json", "xml", "form", "multipart", "csv"].map(|format| {
            format!(
                r#""body": {{ "from": "{format}", "limit": "64KiB", "query": "[@, items[?a > `1`].b]",
                "edit": [{{ "set": {{ "new.x": "{{body.*.a}}" }} }}, {{ "pick": ["*.a", "new"] }}] }}"#
            )
        });
        let streams = ["lines", "events"].map(|kind| {
            format!(r#""body": {{ "stream": "{kind}", "limit": 100, "edit": [{{ "rename": {{ "*.a": "b" }} }}] }}"#)
        });
        let policies: Vec<String> = bodies
            .iter()
            .chain(&streams)
            .map(|body| format!(r#"{{ "transform": {{ "request": {{ {body} }}, "response": {{ {body} }} }} }}"#))
            .collect();
        Ok(format!(
            r#"{{ "upstreams": {{ "o": {{ "targets": [{{ "url": "http://o" }}] }} }},
            "routes": [{{ "name": "a", "upstream": "o", "policies": [{}] }}] }}"#,
            policies.join(",")
        ))
    }
}

const KINDS: [&str; 8] = [
    "application/json",
    "application/xml",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=b",
    "text/csv",
    "application/x-ndjson",
    "text/event-stream",
    "application/json",
];

fuzz_target!(|input: (u8, bool, Vec<u8>)| {
    static ARTEFACT: OnceLock<Vec<u8>> = OnceLock::new();
    let artefact =
        ARTEFACT.get_or_init(|| compile(Path::new("gateway.json"), &One).artefact.expect("it is written above"));
    let gateway = Gateway::load(artefact.clone().into(), |_| None).expect("it has just been compiled");
    let (kind, packed, body) = input;
    let mut headers = Headers::new();
    headers.receive("content-type", KINDS[usize::from(kind % 8)].as_bytes());
    if packed {
        headers.receive("content-encoding", b"gzip");
    }
    let incoming = Incoming {
        method: "POST".to_owned(),
        scheme: Scheme::Http,
        authority: "a.example".to_owned(),
        target: "/".to_owned(),
        headers: headers.clone(),
        body: Body::Stream(body.clone()),
        peer: Peer::default(),
    };
    let platform =
        TestPlatform::new(|_| Ok(Response { status: 200, headers: headers.clone(), body: Body::Stream(body.clone()) }));
    if let Body::Pumped(stream, mut pump) = run(gateway.handle(&platform, incoming)).response.body {
        let _ = pump.whole(&stream);
    }
});
