#![no_main]
//! Whatever a client and an authorisation server send: credentials stay here, and nobody writes what only claims may.

use gateway_core::Gateway;
use gateway_core::config::{self, Text};
use gateway_core::http::{Body, Headers, Incoming, Peer, Response, Scheme};
use gateway_core::testing::{TestPlatform, run};
use libfuzzer_sys::fuzz_target;
use std::path::Path;

const CONFIGURATION: &str = r#"
allow: [clear-text, audience-unchecked, authorize-without-authenticate, location-unavailable, tied-routes]
client: { trusted_proxies: [10.0.0.0/8] }
upstreams: { origin: { targets: [{ url: "http://origin.test" }] } }
consumers:
  - name: alice
    groups: partners
    keys: { hash: b4604caf29d7e20e0a103dfb96ec4d770cb449307ecb8523a07e9ad850fc24c1, prefix: alice-key-o }
    passwords: { username: alice, hash: "pbkdf2-sha256$1$c2FsdHNhbHQ=$OW/yp5IJp6wKxr76Cy7xlYtW08eZ0fwpFmdUegJskk0=" }
routes:
  - name: all
    path_prefix: "/{tenant}"
    upstream: origin
    policies:
      - cors: { origins: ["https://app.example", "https://*.example.com"], credentials: true }
      - csrf: { trusted_origins: "https://app.example" }
      - security_headers: {}
      - request_rules: { user_agents: { deny: bad }, content_types: { allow: [application/json, "text/*"] }, referers: { deny: "https://evil.example" } }
      - authenticate:
          any_of:
            - api_key: { header: x-api-key, query: key, cookie: key }
            - basic: {}
            - jwt: { issuers: { issuer: "http://idp.test", jwks_url: "http://idp.test/keys" }, headers: { x-user: sub } }
            - introspection: { url: "http://idp.test/introspect", client_id: a, client_secret: "${secret:S}", header: x-token, headers: { x-user: sub } }
            - anonymous
      - authorize:
          expression:
            - '!has(claims.tenant) || claims.tenant == request.parameters.tenant'
            - 'request.headers.all(name, size(name) > 0) && request.query.all(name, name != "x" || request.query[name] != "y")'
            - '!("flag" in request.cookies) || request.cookies.flag.matches("^[a-z]*$")'
      - headers: { request: { set: { x-consumer: "{consumer.name}" } } }
"#;

fuzz_target!(|input: (bool, &str, Vec<u8>, [u8; 4], Vec<u8>)| {
    // A gateway of its own, since what it remembers would make runs depend on each other.
    thread_local! {
        static ARTEFACT: Vec<u8> = {
            let compiled = config::compile(Path::new("gateway.yaml"), &Text(CONFIGURATION.to_owned()));
            compiled.artefact.unwrap_or_else(|| panic!("{:?}", compiled.problems))
        };
    }
    let (post, target, block, address, answer) = input;
    let artefact = ARTEFACT.with(|artefact| artefact.clone());
    let gateway = Gateway::load(artefact.into(), |_| Some("secret".into())).expect("the configuration is sound");
    let platform = TestPlatform::new(|call| {
        if call.authority == "idp.test" {
            return Ok(Response { status: 200, headers: Headers::new(), body: Body::Stream(answer.clone()) });
        }
        for name in ["x-api-key", "x-token", "x_user", "x_consumer", "dpop"] {
            assert!(!call.headers.contains(name), "{name} goes on");
        }
        for value in call.headers.all("authorization").map(|value| String::from_utf8_lossy(value).to_lowercase()) {
            let scheme = value.trim().split([' ', '\t', ',', '=']).next().unwrap_or_default().to_owned();
            assert!(!["basic", "bearer", "dpop"].contains(&scheme.as_str()), "{value} goes on");
        }
        assert_eq!(call.headers.all("x-consumer").count(), 1);
        Ok(Response { status: 200, headers: call.headers, body: call.body })
    });
    let incoming = Incoming {
        method: if post { "POST" } else { "GET" }.to_owned(),
        scheme: Scheme::Https,
        authority: "gateway.test".to_owned(),
        target: target.to_owned(),
        headers: Headers::from_block(block),
        body: if post { Body::Stream(vec![1]) } else { Body::Empty },
        peer: Peer { address: Some(address.into()), ..Peer::default() },
    };
    let reply = run(gateway.handle(&platform, incoming));
    assert!((200..600).contains(&reply.response.status));
});
