#![no_main]
//! A damaged artefact is refused or finds less; it never panics.

use gateway_core::Gateway;
use gateway_core::http::{Body, Headers, Incoming, Peer, Response, Scheme};
use gateway_core::testing::{TestPlatform, run};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: Vec<u8>| {
    let Ok(gateway) = Gateway::load(bytes.into(), |_| Some("http://origin.test".to_owned())) else { return };
    let platform = TestPlatform::new(|call| Ok(Response { status: 200, headers: call.headers, body: call.body }));
    let incoming = Incoming {
        method: "GET".to_owned(),
        scheme: Scheme::Http,
        authority: "a.example".to_owned(),
        target: "/a/b".to_owned(),
        headers: Headers::new(),
        body: Body::Empty,
        peer: Peer::default(),
    };
    run(gateway.handle(&platform, incoming));
});
