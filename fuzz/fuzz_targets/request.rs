#![no_main]
//! Whatever a client sends is answered.

use gateway_core::Gateway;
use gateway_core::config::{self, Text};
use gateway_core::http::{Body, Headers, Incoming, Peer, Response, Scheme};
use gateway_core::testing::{TestPlatform, run};
use libfuzzer_sys::fuzz_target;
use std::path::Path;

const CONFIGURATION: &str = r#"
client: { trusted_proxies: [10.0.0.0/8] }
forwarded: both
limits: { body: 1KB }
upstreams: { origin: { targets: [{ url: "http://origin.test/base" }] } }
routes:
  - { name: files, path: "/files/{*rest}", strip_prefix: /files, upstream: origin }
  - { name: item, path: "/items/{id:int}", rewrite: "/{id}/{request.query}", upstream: origin, cookies: { a: absent } }
  - { name: moved, path_prefix: /old, redirect: { to: "/{request.path}" }, query: { q: { prefix: "x" } } }
  - { name: hello, path_regex: "^/h(?P<name>.*)$", respond: { body: "{name} {client.address}" } }
"#;

fuzz_target!(|input: (&str, &str, &str, Vec<u8>, [u8; 4])| {
    thread_local! {
        static GATEWAY: Gateway = {
            let compiled = config::compile(Path::new("gateway.yaml"), &Text(CONFIGURATION.to_owned()));
            let artefact = compiled.artefact.expect("the configuration above has no error");
            Gateway::load(artefact.into(), |_| None).expect("it refers to nothing")
        };
    }
    let (method, authority, target, block, address) = input;
    let platform = TestPlatform::new(|call| {
        assert!(call.target.starts_with('/'));
        Ok(Response { status: 200, headers: call.headers, body: call.body })
    });
    let incoming = Incoming {
        method: method.to_owned(),
        scheme: Scheme::Http,
        authority: authority.to_owned(),
        target: target.to_owned(),
        headers: Headers::from_block(block),
        body: Body::Empty,
        peer: Peer { address: Some(address.into()), ..Peer::default() },
    };
    let reply = GATEWAY.with(|gateway| run(gateway.handle(&platform, incoming)));
    assert!((200..600).contains(&reply.response.status));
});
