#![no_main]
//! Signatures of both kinds, digests, and certificates with their names are read in one way or not at all.

use gateway_core::certificate::DistinguishedName;
use gateway_core::http::{Certificate, Headers, Scheme};
use gateway_core::signature::component::Component;
use gateway_core::signature::hmac::Sent;
use gateway_core::signature::{Message, digest, input};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|given: (&str, &str, &str, &[u8])| {
    let (said, signature, text, bytes) = given;
    let mut headers = Headers::new();
    for (name, value) in
        [("signature-input", said), ("signature", signature), ("content-digest", text), ("digest", text)]
    {
        headers.receive(name, value.replace(['\r', '\n', '\0'], " ").as_bytes());
    }
    let message = Message {
        method: "GET",
        scheme: Scheme::Https,
        authority: "a.example".to_owned(),
        host: "a.example",
        path: "/",
        query: Some(text),
        headers: &headers,
    };
    for signed in input::read(&headers, None, None).unwrap_or_default() {
        for component in &signed.components {
            // What stands in the signature base is the component again.
            assert_eq!(Component::parse(component.identifier()).as_ref(), Ok(component));
        }
        if let Ok(base) = signed.base(&message) {
            // No value can make a line of its own, but for those that are not of header fields.
            let lines = base.split(|b| *b == b'\n').count();
            assert!(lines == signed.components.len() + 1 || text.contains('\n'));
        }
    }
    if let Some(Ok(sent)) = Sent::read(said) {
        let _ = sent.texts(&message);
    }
    let _ = digest::check(&headers, bytes);
    let _ = digest::check_older(&headers, bytes);
    if let Ok(name) = text.parse::<DistinguishedName>() {
        assert_eq!(name.to_string().parse(), Ok(name));
    }
    if let Some(certificate) = Certificate::from_der(bytes) {
        let mut field = Headers::new();
        field.set("client-cert", certificate.field().unwrap_or_default());
        assert_eq!(Certificate::from_field(&field), Some(certificate));
    }
});
