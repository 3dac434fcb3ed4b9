//! What is taken once where nobody can say whether it has been taken.

#![cfg(all(feature = "compile", feature = "testing"))]

use std::path::Path;

use gateway_core::{
    Gateway,
    config::{Files, compile},
    http::{Body, Headers, Incoming, Peer, Response, Scheme},
    testing::{TestPlatform, run},
};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};

const SECRET: &str = "a secret of thirty-two bytes or more";

struct OneFile;

impl Files for OneFile {
    fn read(&self, _: &Path) -> Result<String, String> {
        let text = format!(
            "consumers: [{{ name: alice, signers: {{ id: alice, secret: '${{test:{SECRET}}}' }} }}]\n\
             routes:\n  - name: r\n    respond: {{}}\n    policies: [{{ authenticate: {{ any_of: {{ signature: {{ nonce: required }} }} }} }}]\n"
        );
        Ok(text)
    }
}

#[test]
fn a_signature_that_nobody_could_check_may_come_again_and_is_taken_once() {
    let compiled = compile(Path::new("gateway.yaml"), &OneFile);
    let artefact = compiled.artefact.unwrap_or_default();
    let gateway = Gateway::load(artefact.into(), |_| None).expect("it has no problem");
    let platform = TestPlatform::new(|_| Ok(Response { status: 200, headers: Headers::new(), body: Body::Empty }));
    let send = || run(gateway.handle(&platform, signed())).response.status;

    platform.counting_fails.set(true);
    assert_eq!(send(), 503);
    platform.counting_fails.set(false);
    assert_eq!(send(), 200);
    assert_eq!(send(), 401);
    platform.counting_fails.set(true);
    assert_eq!(send(), 503);
}

/// At the moment that the test platform tells.
fn signed() -> Incoming<Vec<u8>> {
    let input = r#"("@method" "@target-uri");created=1750000000;keyid="alice";nonce="n""#;
    let base = format!("\"@method\": GET\n\"@target-uri\": https://a.example/\n\"@signature-params\": {input}");
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let signature = crypto::sign(base.as_bytes(), &key, Algorithm::HS256).expect("it signs");
    // Of the URL's alphabet, without padding: thirty-two bytes lack one.
    let signature = signature.replace('-', "+").replace('_', "/") + "=";
    let mut headers = Headers::new();
    headers.receive("signature-input", format!("sig1={input}").as_bytes());
    headers.receive("signature", format!("sig1=:{signature}:").as_bytes());
    Incoming {
        method: "GET".into(),
        scheme: Scheme::Https,
        authority: "a.example".into(),
        target: "/".into(),
        headers,
        body: Body::Empty,
        peer: Peer::default(),
    }
}
