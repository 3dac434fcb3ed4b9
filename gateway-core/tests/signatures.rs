//! HTTP message signatures by the examples of RFC 9421, by a second implementation, and against whatever changes a request on
//! its way.

#![cfg(feature = "signatures")]
#![allow(clippy::panic)] // A test that cannot go on says so.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gateway_core::consumer::{Signer, SigningKey};
use gateway_core::http::{Headers, Scheme};
use gateway_core::signature::component::Component;
use gateway_core::signature::input::{self, Signed};
use gateway_core::signature::key::SignerKey;
use gateway_core::signature::rules::Rules;
use gateway_core::signature::{Algorithm, Message, Refusal, digest};
use gateway_core::template::{Settings, Template};
use httpsig::prelude::message_component::{HttpMessageComponent, HttpMessageComponentId};
use httpsig::prelude::{HttpSignatureBase, HttpSignatureParams, SecretKey, SharedKey};
use proptest::prelude::*;

// RFC 9421 appendix B.1.
const RSA: &str = "-----BEGIN RSA PUBLIC KEY-----
MIIBCgKCAQEAhAKYdtoeoy8zcAcR874L8cnZxKzAGwd7v36APp7Pv6Q2jdsPBRrw
WEBnez6d0UDKDwGbc6nxfEXAy5mbhgajzrw3MOEt8uA5txSKobBpKDeBLOsdJKFq
MGmXCQvEG7YemcxDTRPxAleIAgYYRjTSd/QBwVW9OwNFhekro3RtlinV0a75jfZg
kne/YiktSvLG34lw2zqXBDTC5NHROUqGTlML4PlNZS5Ri2U4aCNx2rUPRcKIlE0P
uKxI4T+HIaFpv8+rdV6eUgOrB2xeI1dSFFn/nnv5OoZJEIB+VmuKn3DCUcCZSFlQ
PSXSfBDiUGhwOw76WuSSsf1D4b/vLoJ10wIDAQAB
-----END RSA PUBLIC KEY-----";
const RSA_PSS: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAr4tmm3r20Wd/PbqvP1s2
+QEtvpuRaV8Yq40gjUR8y2Rjxa6dpG2GXHbPfvMs8ct+Lh1GH45x28Rw3Ry53mm+
oAXjyQ86OnDkZ5N8lYbggD4O3w6M6pAvLkhk95AndTrifbIFPNU8PPMO7OyrFAHq
gDsznjPFmTOtCEcN2Z1FpWgchwuYLPL+Wokqltd11nqqzi+bJ9cvSKADYdUAAN5W
Utzdpiy6LbTgSxP7ociU4Tn0g5I6aDZJ7A8Lzo0KSyZYoA485mqcO0GVAdVw9lq4
aOT9v6d+nb4bnNkQVklLQ3fVAvJm+xdDOp9LCNCN48V2pnDOkFV6+U9nV5oyc6XI
2wIDAQAB
-----END PUBLIC KEY-----";
const P256: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqIVYZVLCrPZHGHjP17CTW0/+D9Lf
w0EkjqF7xB4FivAxzic30tMM4GF+hR6Dxh71Z50VGGdldkkDXZCnTNnoXQ==
-----END PUBLIC KEY-----";
const ED25519: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=
-----END PUBLIC KEY-----";
const SHARED: &str = "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";

fn message<'a>(query: Option<&'a str>, headers: &'a Headers) -> Message<'a> {
    Message {
        method: "POST",
        scheme: Scheme::Https,
        authority: "example.com".into(),
        host: "example.com",
        path: "/foo",
        query,
        headers,
    }
}

/// The request of appendix B.2, with a signature.
fn signed_request(input: &str, signature: &str) -> Headers {
    let block = [
        ("host", "example.com"),
        ("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
        ("content-type", "application/json"),
        (
            "content-digest",
            "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:",
        ),
        ("content-length", "18"),
        ("signature-input", input),
        ("signature", signature),
    ];
    headers(&block)
}

fn headers(fields: &[(&str, &str)]) -> Headers {
    let lines: String = fields.iter().map(|(name, value)| format!("{name}\0{value}\n")).collect();
    Headers::from_block(lines.into_bytes())
}

fn one(headers: &Headers) -> Signed {
    let mut signatures = input::read(headers, None, None).expect("well-formed");
    assert_eq!(signatures.len(), 1);
    signatures.remove(0)
}

fn secret_key(secret: &str, base64: bool) -> SignerKey {
    let key = SigningKey::Secret(Template::literal(secret));
    SignerKey::new(&Signer { id: "s".into(), key, algorithm: None, base64 }, &Settings::new()).expect("a secret")
}

/// What the rules ask of a signature that says nothing but who and when.
fn rules(components: &[&str]) -> Rules {
    Rules {
        components: components.iter().map(|text| Component::parse(text).expect("a component")).collect(),
        algorithms: Vec::new(),
        max_age: 300_000,
        leeway: 0,
        nonce: false,
    }
}

#[test]
fn the_examples_of_the_rfc() {
    // B.2.1, B.2.2, B.2.3, §3.3.4 with B.2.4's key is a response's; B.2.6.
    for (key, algorithm, input, signature) in [
        (
            RSA_PSS,
            None,
            r#"sig-b21=();created=1618884473;keyid="test-key-rsa-pss";nonce="b3k2pp5k7z-50gnwp.yemd""#,
            "sig-b21=:d2pmTvmbncD3xQm8E9ZV2828BjQWGgiwAaw5bAkgibUopemLJcWDy/lkbbHAve4cRAtx31Iq786U7it++wgGxbtRxf8Udx7zFZsckzXaJMkA7ChG52eSkFxykJeNqsrWH5S+oxNFlD4dzVuwe8DhTSja8xxbR/Z2cOGdCbzR72rgFWhzx2VjBqJzsPLMIQKhO4DGezXehhWwE56YCE+O6c0mKZsfxVrogUvA4HELjVKWmAvtl6UnCh8jYzuVG5WSb/QEVPnP5TmcAnLH1g+s++v6d4s8m0gCw1fV5/SITLq9mhho8K3+7EPYTU8IU1bLhdxO5Nyt8C8ssinQ98Xw9Q==:",
        ),
        (
            RSA_PSS,
            None,
            r#"sig-b22=("@authority" "content-digest" "@query-param";name="Pet");created=1618884473;keyid="test-key-rsa-pss";tag="header-example""#,
            "sig-b22=:LjbtqUbfmvjj5C5kr1Ugj4PmLYvx9wVjZvD9GsTT4F7GrcQEdJzgI9qHxICagShLRiLMlAJjtq6N4CDfKtjvuJyE5qH7KT8UCMkSowOB4+ECxCmT8rtAmj/0PIXxi0A0nxKyB09RNrCQibbUjsLS/2YyFYXEu4TRJQzRw1rLEuEfY17SARYhpTlaqwZVtR8NV7+4UKkjqpcAoFqWFQh62s7Cl+H2fjBSpqfZUJcsIk4N6wiKYd4je2U/lankenQ99PZfB4jY3I5rSV2DSBVkSFsURIjYErOs0tFTQosMTAoxk//0RoKUqiYY8Bh0aaUEb0rQl3/XaVe4bXTugEjHSw==:",
        ),
        (
            RSA_PSS,
            None,
            r#"sig-b23=("date" "@method" "@path" "@query" "@authority" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-rsa-pss""#,
            "sig-b23=:bbN8oArOxYoyylQQUU6QYwrTuaxLwjAC9fbY2F6SVWvh0yBiMIRGOnMYwZ/5MR6fb0Kh1rIRASVxFkeGt683+qRpRRU5p2voTp768ZrCUb38K0fUxN0O0iC59DzYx8DFll5GmydPxSmme9v6ULbMFkl+V5B1TP/yPViV7KsLNmvKiLJH1pFkh/aYA2HXXZzNBXmIkoQoLd7YfW91kE9o/CCoC1xMy7JA1ipwvKvfrs65ldmlu9bpG6A9BmzhuzF8Eim5f8ui9eH8LZH896+QIF61ka39VBrohr9iyMUJpvRX2Zbhl5ZJzSRxpJyoEZAFL2FUo5fTIztsDZKEgM4cUA==:",
        ),
        (
            ED25519,
            None,
            r#"sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519""#,
            "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:",
        ),
    ] {
        let headers = signed_request(input, signature);
        let signed = one(&headers);
        let key = SignerKey::from_pem(key, algorithm).expect("a key");
        let verify = |query| rules(&[]).verify(&signed, &message(query, &headers), &key);
        assert_eq!(verify(Some("param=Value&Pet=dog")), Ok(()), "{input}");
        if input.contains("@query") {
            assert_ne!(verify(Some("param=Value&Pet=cat")), Ok(()), "{input}");
            assert_ne!(verify(None), Ok(()), "{input}");
        }
    }
}

#[test]
fn the_examples_secret() {
    // B.2.5
    let input = r#"sig-b25=("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret""#;
    let headers = signed_request(input, "sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:");
    let signed = one(&headers);
    let base = signed.base(&message(None, &headers)).expect("a base");
    let text = "\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n\"@authority\": example.com\n\"content-type\": application/json\n\
                \"@signature-params\": (\"date\" \"@authority\" \"content-type\");created=1618884473;keyid=\"test-shared-secret\"";
    assert_eq!(String::from_utf8_lossy(&base), text);
    let rules = rules(&["date", "@authority"]);
    assert_eq!(rules.verify(&signed, &message(None, &headers), &secret_key(SHARED, true)), Ok(()));
    let other = secret_key(SHARED, false);
    assert_eq!(rules.verify(&signed, &message(None, &headers), &other), Err(Refusal::Signature));
    assert_eq!(rules.check(&signed, true, 1_618_884_474_000), Ok(1_618_884_773_000));
}

#[test]
fn the_value_of_every_component() {
    // The examples of §2.1 to §2.2.8, and what is refused.
    let headers = headers(&[
        ("x-ows-header", "  Leading and trailing whitespace. \t"),
        ("cache-control", "max-age=60"),
        ("cache-control", "   must-revalidate"),
        ("x-empty-header", ""),
        ("priority", "  u=1;  foo=bar, i;x=\"a\"  "),
        ("x-dictionary", r#" a=1, b=2;x=1;y=2, c=(a b c), d"#),
        ("x-twice", "one, two"),
        ("x-twice", " three"),
        ("x-bytes", "caf\u{e9}"),
    ]);
    let query = "var=this%20is%20a%20big%0Amultiline%20value&bar=with+plus+whitespace&fa%C3%A7ade%22%3A%20=something&t=1&t=2&raw=%ff&%6e=1";
    let message = Message { path: "/path", ..message(Some(query), &headers) };
    for (component, value) in [
        ("@method", Ok("POST")),
        ("@scheme", Ok("https")),
        ("@authority", Ok("example.com")),
        ("host", Ok("example.com")),
        ("@path", Ok("/path")),
        ("x-ows-header", Ok("Leading and trailing whitespace.")),
        ("cache-control", Ok("max-age=60, must-revalidate")),
        ("x-empty-header", Ok("")),
        ("\"priority\";sf", Ok("u=1;foo=bar, i;x=\"a\"")),
        ("\"x-dictionary\";key=\"a\"", Ok("1")),
        ("\"x-dictionary\";key=\"d\"", Ok("?1")),
        ("\"x-dictionary\";key=\"b\"", Ok("2;x=1;y=2")),
        ("\"x-dictionary\";key=\"c\"", Ok("(a b c)")),
        ("\"x-dictionary\";key=\"e\"", Err(Refusal::Absent)),
        ("\"x-dictionary\";sf", Err(Refusal::Component)),
        ("\"x-ows-header\";key=\"a\"", Err(Refusal::Component)),
        ("\"x-twice\";bs", Ok(":b25lLCB0d28=:, :dGhyZWU=:")),
        ("x-none", Err(Refusal::Absent)),
        ("\"@query-param\";name=\"var\"", Ok("this%20is%20a%20big%0Amultiline%20value")),
        ("\"@query-param\";name=\"bar\"", Ok("with%20plus%20whitespace")),
        ("\"@query-param\";name=\"fa%C3%A7ade%22%3A%20\"", Ok("something")),
        ("\"@query-param\";name=\"n\"", Ok("1")),
        ("\"@query-param\";name=\"t\"", Err(Refusal::Absent)),
        ("\"@query-param\";name=\"u\"", Err(Refusal::Absent)),
        ("\"@query-param\";name=\"raw\"", Err(Refusal::Component)),
    ] {
        let read = Component::parse(component).expect("a component").value(&message);
        assert_eq!(
            read.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
            value.map(str::to_owned),
            "{component}"
        );
    }
    for (component, value) in [
        ("@target-uri", format!("https://example.com/path?{query}")),
        ("@request-target", format!("/path?{query}")),
        ("@query", format!("?{query}")),
    ] {
        let read = Component::parse(component).expect("a component").value(&message);
        assert_eq!(read, Ok(value.into_bytes()), "{component}");
    }
    let bare = Message { query: None, ..message };
    let query = Component::parse("@query").expect("a component");
    assert_eq!(query.value(&bare), Ok(b"?".to_vec()));
    for refused in [
        "@status",
        "@signature-params",
        "@nonsense",
        "@query-param",
        "X-Upper",
        "x y",
        "",
        "\"@method\";req",
        "\"x-a\";req",
        "\"x-a\";tr",
        "\"x-a\";sf;bs",
        "\"x-a\";key=\"a\";bs",
        "\"x-a\";name=\"a\"",
        "\"x-a\";unknown",
        "\"@method\";sf",
        "\"x-a\";sf=?0",
        "\"@query-param\";name=\"a\";bs",
    ] {
        assert!(Component::parse(refused).is_err(), "{refused}");
    }
}

#[test]
fn what_can_be_read_in_two_ways_is_not_read() {
    let good = r#"a=("@method");created=1;keyid="k""#;
    for (input, signature, refusal) in [
        ("", "a=:AA==:", Refusal::Malformed),
        (good, "", Refusal::Malformed),
        (good, "b=:AA==:", Refusal::Malformed),
        (good, "a=AA", Refusal::Malformed),
        (good, "a=:A", Refusal::Malformed),
        (good, "a=(:AA==:)", Refusal::Malformed),
        ("a=1", "a=:AA==:", Refusal::Malformed),
        ("a=(", "a=:AA==:", Refusal::Malformed),
        (r#"a=("@method" "@method");created=1"#, "a=:AA==:", Refusal::Malformed),
        (r#"a=("x" "x";bs "x");created=1"#, "a=:AA==:", Refusal::Malformed),
        (r#"a=(method);created=1"#, "a=:AA==:", Refusal::Malformed),
        (r#"a=("@method");created="1""#, "a=:AA==:", Refusal::Malformed),
        (r#"a=("@method");created=1.5"#, "a=:AA==:", Refusal::Malformed),
        (r#"a=("@method");keyid=k"#, "a=:AA==:", Refusal::Malformed),
        (r#"a=("@method");nonce=:AA==:"#, "a=:AA==:", Refusal::Malformed),
        (r#"a=("@method";req);created=1"#, "a=:AA==:", Refusal::Component),
    ] {
        let headers = headers(&[("signature-input", input), ("signature", signature)]);
        assert_eq!(input::read(&headers, None, None), Err(refusal), "{input} {signature}");
    }
    assert_eq!(input::read(&Headers::new(), None, None), Ok(vec![]));
    let many: Vec<_> = (0..5).map(|n| (format!("s{n}=()"), format!("s{n}=:AA==:"))).collect();
    let lines: Vec<_> =
        many.iter().flat_map(|(input, own)| [("signature-input", input.as_str()), ("signature", own)]).collect();
    assert_eq!(input::read(&headers(&lines), None, None), Err(Refusal::TooMany));
    assert_eq!(input::read(&headers(&lines), Some("s3"), None).map(|found| found.len()), Ok(1));
    let long = format!("a=({})", (0..65).map(|n| format!("\"x{n}\"")).collect::<Vec<_>>().join(" "));
    let headers = headers(&[("signature-input", &long), ("signature", "a=:AA==:")]);
    assert_eq!(input::read(&headers, None, None), Err(Refusal::TooMany));
}

#[test]
fn of_several_signatures_the_one_that_is_meant() {
    let headers = headers(&[
        ("signature-input", r#"a=();tag="x", b=();tag="y""#),
        ("signature-input", "c=()"),
        ("signature", "a=:AA==:, b=:AQ==:, c=:Ag==:"),
    ]);
    let found = |label, tag| {
        let found = input::read(&headers, label, tag).expect("well-formed");
        found.iter().map(|signed| signed.signature[0]).collect::<Vec<_>>()
    };
    assert_eq!(found(None, None), [0, 1, 2]);
    assert_eq!(found(Some("b"), None), [1]);
    assert_eq!(found(None, Some("x")), [0]);
    assert_eq!(found(Some("b"), Some("x")), [0; 0]);
    assert_eq!(found(Some("d"), None), [0; 0]);
}

#[test]
fn what_must_be_covered_and_for_how_long() {
    const NOW: u64 = 1_000_000_000;
    let check = |components: &str, parameters: &str, rules: &Rules, has_body| {
        let input = format!("a=({components}){parameters}");
        let headers = headers(&[("signature-input", &input), ("signature", "a=:AA==:")]);
        rules.check(&one(&headers), has_body, NOW)
    };
    let usual = rules(&["@method", "@target-uri", "content-digest"]);
    let said = r#";created=1000000;keyid="k""#;
    for (components, has_body, covered) in [
        (r#""@method" "@target-uri""#, false, true),
        (r#""@method" "@target-uri""#, true, false),
        (r#""@method" "@target-uri" "content-digest""#, true, true),
        (r#""@method" "@target-uri" "content-digest";bs"#, true, true),
        (r#""@method" "@target-uri" "content-digest";key="sha-256""#, true, true),
        (r#""@method" "@target-uri" "content-digest";key="md5""#, true, false),
        (r#""@method" "@authority" "@path" "@query""#, false, true),
        (r#""@method" "@authority" "@request-target""#, false, true),
        (r#""@method" "@authority" "@path""#, false, false),
        (r#""@method" "@path" "@query""#, false, false),
        (r#""@method" "@authority" "@path" "@query-param";name="a""#, false, false),
        (r#""@target-uri""#, false, false),
        ("", false, false),
    ] {
        let covered = if covered { Ok(NOW + 300_000) } else { Err(Refusal::Uncovered) };
        assert_eq!(check(components, said, &usual, has_body), covered, "{components} {has_body}");
    }
    let fields = rules(&["x-a", "@path", "@scheme"]);
    for (components, covered) in [
        (r#""x-a" "@target-uri""#, true),
        (r#""x-a" "@path" "@scheme""#, true),
        (r#""x-a";bs "@request-target" "@scheme""#, true),
        (r#""x-a";key="b" "@target-uri""#, false),
        (r#""x-a" "@request-target""#, false),
    ] {
        assert_eq!(check(components, said, &fields, false).is_ok(), covered, "{components}");
    }
    let lenient = Rules { leeway: 30_000, ..rules(&[]) };
    let nonce = Rules { nonce: true, ..rules(&[]) };
    let long = format!(r#";created=1000000;keyid="k";nonce="{}""#, "n".repeat(257));
    for (parameters, rules, expected) in [
        (r#";keyid="k""#, &lenient, Err(Refusal::Incomplete)),
        (";created=1000000", &lenient, Err(Refusal::Incomplete)),
        (r#";created=1000000;keyid="k""#, &nonce, Err(Refusal::Incomplete)),
        (r#";created=1000000;keyid="k";nonce="""#, &nonce, Err(Refusal::Incomplete)),
        (r#";created=1000000;keyid="k";nonce="n""#, &nonce, Ok(NOW + 300_000)),
        (&long, &nonce, Err(Refusal::TooMany)),
        (r#";created=1000030;keyid="k""#, &lenient, Ok(NOW + 360_000)),
        (r#";created=1000031;keyid="k""#, &lenient, Err(Refusal::FromTheFuture)),
        (r#";created=999671;keyid="k""#, &lenient, Ok(NOW + 1_000)),
        (r#";created=999670;keyid="k""#, &lenient, Err(Refusal::Expired)),
        (r#";created=1000000;expires=1000010;keyid="k""#, &lenient, Ok(NOW + 40_000)),
        (r#";created=999900;expires=999971;keyid="k""#, &lenient, Ok(NOW + 1_000)),
        (r#";created=999900;expires=999970;keyid="k""#, &lenient, Err(Refusal::Expired)),
        (r#";created=1000000;expires=9999999;keyid="k""#, &lenient, Ok(NOW + 330_000)),
        (r#";created=-1;keyid="k""#, &lenient, Err(Refusal::Malformed)),
        (r#";created=1000000;expires=-1;keyid="k""#, &lenient, Err(Refusal::Malformed)),
        (r#";created=999999999999999;keyid="k""#, &lenient, Err(Refusal::FromTheFuture)),
    ] {
        assert_eq!(check("", parameters, rules, false), expected, "{parameters}");
    }
}

#[test]
fn the_key_decides_on_the_algorithm() {
    for (key, algorithm, expected) in [
        (RSA, None, Some(Algorithm::RsaPssSha512)),
        (RSA, Some(Algorithm::RsaV15Sha256), Some(Algorithm::RsaV15Sha256)),
        (P256, None, Some(Algorithm::EcdsaP256Sha256)),
        (ED25519, None, Some(Algorithm::Ed25519)),
        (include_str!("keys/p384.public.pem"), None, Some(Algorithm::EcdsaP384Sha384)),
        (ED25519, Some(Algorithm::RsaPssSha512), None),
        (P256, Some(Algorithm::HmacSha256), None),
        (include_str!("keys/p256.private.pem"), None, None),
    ] {
        assert_eq!(SignerKey::from_pem(key, algorithm).ok().map(|key| key.algorithm), expected, "{key}");
    }
    // A public key's text is no secret, whatever the signature says.
    let input = r#"sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519""#;
    for (more, algorithms, expected) in [
        ("", vec![], Err(Refusal::Signature)),
        (";alg=\"hmac-sha256\"", vec![], Err(Refusal::Algorithm)),
        (";alg=\"Ed25519\"", vec![], Err(Refusal::Algorithm)),
        (";alg=\"ed25519\"", vec![], Err(Refusal::Signature)),
        ("", vec![Algorithm::RsaPssSha512], Err(Refusal::Algorithm)),
    ] {
        let headers = signed_request(&format!("{input}{more}"), "sig-b26=:AAAA:");
        let rules = Rules { algorithms, ..rules(&[]) };
        let key = SignerKey::from_pem(ED25519, None).expect("a key");
        assert_eq!(rules.verify(&one(&headers), &message(None, &headers), &key), expected, "{more}");
    }
}

#[test]
fn secrets_that_open_everything_are_none() {
    use gateway_core::template::{Reference, Source};
    let reference = Reference { source: Source::Secret, name: "KEY".into() };
    let make = |text: &str, base64, settings: &Settings| {
        let key = SigningKey::Secret(Template::parse(text).expect("a template"));
        SignerKey::new(&Signer { id: "s".into(), key, algorithm: None, base64 }, settings).is_ok()
    };
    let settings = |value: &str| Settings::from([(reference.clone(), value.to_owned())]);
    assert!(make("${secret:KEY}", false, &settings("sixteen bytes ok")));
    assert!(make("${secret:KEY}", true, &settings("c2l4dGVlbiBieXRlcyBvaw")));
    assert!(!make("${secret:KEY}", true, &settings("not Base64!")));
    assert!(!make("${secret:KEY}", false, &settings("fifteen bytes..")));
    assert!(!make("${secret:KEY}", false, &settings("")));
    assert!(!make("${secret:KEY}", false, &Settings::new()), "the value is not known");
    let key = SigningKey::Secret(Template::literal("a secret in a record"));
    let signer = Signer { id: "s".into(), key, algorithm: None, base64: false };
    let shown = format!("{signer:?} {:?}", SignerKey::new(&signer, &Settings::new()));
    assert!(!shown.contains("a secret"), "{shown}");
}

#[test]
fn digests_are_of_the_body() {
    // RFC 9530 appendix B and RFC 9421 B.2.
    let body = br#"{"hello": "world"}"#;
    let sha256 = "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:";
    let sha512 = "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:";
    let check = |lines: &[&str], body: &[u8]| {
        let lines: Vec<_> = lines.iter().map(|line| ("content-digest", *line)).collect();
        digest::check(&headers(&lines), body)
    };
    let both = format!("{sha256}, {sha512}");
    let wrong_one = format!("{sha512}, sha-256=:AAAA:");
    for (lines, expected) in [
        (&[sha256][..], Ok(())),
        (&[sha512], Ok(())),
        (&[sha256, sha512], Ok(())),
        (&[both.as_str()], Ok(())),
        (&["md5=:AAAA:", sha256], Ok(())),
        (&["md5=:AAAA:"], Err(Refusal::NoDigest)),
        (&[], Err(Refusal::NoDigest)),
        (&[""], Err(Refusal::NoDigest)),
        (&["sha-256=X48E"], Err(Refusal::NoDigest)),
        (&["sha-256=(:AAAA:)"], Err(Refusal::NoDigest)),
        (&["sha-256"], Err(Refusal::NoDigest)),
        (&[wrong_one.as_str()], Err(Refusal::Body)),
        (&["sha-256=:AAAA:"], Err(Refusal::Body)),
    ] {
        assert_eq!(check(lines, body), expected, "{lines:?}");
        if expected.is_ok() {
            assert_eq!(check(lines, b"another"), Err(Refusal::Body));
        }
    }
    for (value, expected) in [
        ("SHA-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=", Ok(())),
        ("MD5=AAAA, sha-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=", Ok(())),
        ("SHA-256=AAAA", Err(Refusal::Body)),
        ("SHA-256=AAAA, SHA-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=", Err(Refusal::NoDigest)),
        ("SHA-512=AAAA", Err(Refusal::NoDigest)),
        ("", Err(Refusal::NoDigest)),
    ] {
        assert_eq!(digest::check_older(&headers(&[("digest", value)]), body), expected, "{value}");
    }
}

/// The older scheme: the texts as the plugins of Kong and APISIX make them, signed by code that is not the gateway's.
mod older {
    use super::*;
    use gateway_core::signature::hmac::{Dialect, Rules, Sent};
    use gateway_core::signature::key::{Hash, Secret};

    const DATE: &str = "Thu, 22 Jun 2017 17:15:21 GMT";
    const NOW: u64 = 1_498_151_721_000;

    fn sent(text: &str) -> Result<Sent, Refusal> {
        Sent::read(text).expect("the scheme is known")
    }

    #[test]
    fn a_signature_of_kongs_documentation() {
        // `echo -n "date: …\nGET /requests HTTP/1.1" | openssl dgst -sha256 -hmac secret -binary | base64`, as the
        // plugin's documentation has it.
        let sent = sent(
            r#"hmac username="alice123", algorithm="hmac-sha256", headers="date request-line", signature="ujWCGHeec9Xd6UD2zlyxiNMCiXnDOWeVFMu5VeRUxtw=""#,
        )
        .expect("well-formed");
        let headers = headers(&[("date", DATE)]);
        let message = Message { method: "GET", path: "/requests", ..message(None, &headers) };
        let rules = Rules { hashes: vec![Hash::Sha256], enforced: vec!["request-line".into()], clock_skew: 300_000 };
        assert_eq!(sent.check(&rules, &message, NOW), Ok(NOW + 301_000));
        let texts = sent.texts(&message).expect("texts");
        assert_eq!(String::from_utf8_lossy(&texts[0]), format!("date: {DATE}\nGET /requests HTTP/1.1"));
        assert_eq!(String::from_utf8_lossy(&texts[1]), format!("date: {DATE}\nGET /requests HTTP/2.0"));
    }

    #[test]
    fn the_texts_of_both_dialects() {
        let headers = headers(&[("date", DATE), ("x-a", " 1 "), ("x-a", "2"), ("x-empty", "")]);
        let message = Message { method: "POST", path: "/p", ..message(Some("q=%20"), &headers) };
        let text = |dialect: &str, names: &str| {
            let name = if dialect == "hmac" { "username" } else { "keyId" };
            let sent =
                sent(&format!(r#"{dialect} {name}="k", algorithm="hmac-sha256", headers="{names}", signature="""#));
            let texts = sent.and_then(|sent| sent.texts(&message))?;
            Ok(String::from_utf8_lossy(&texts[0]).into_owned())
        };
        for (dialect, names, expected) in [
            ("hmac", "date", Ok(format!("date: {DATE}"))),
            ("hmac", "Date x-a", Ok(format!("Date: {DATE}\nx-a: 1, 2"))),
            ("hmac", "@request-target", Ok("@request-target: post /p?q=%20".to_owned())),
            ("hmac", "(request-target) host", Ok("(request-target): post /p?q=%20\nhost: example.com".to_owned())),
            ("hmac", "request-line x-empty", Ok("POST /p?q=%20 HTTP/1.1\nx-empty: ".to_owned())),
            ("hmac", "x-none", Err(Refusal::Absent)),
            ("Signature", "@request-target date", Ok(format!("k\nPOST /p?q=%20\ndate: {DATE}\n"))),
            ("Signature", "request-line", Err(Refusal::Absent)),
        ] {
            assert_eq!(text(dialect, names), expected, "{dialect} {names}");
        }
    }

    #[test]
    fn what_is_no_signature() {
        assert!(Sent::read("Bearer x").is_none() && Sent::read("").is_none() && Sent::read("hmacx").is_none());
        assert_eq!(Dialect::of("HMAC x"), Some(Dialect::Kong));
        for wrong in [
            "hmac",
            "hmac ",
            "hmac\tusername=\"a\", algorithm=\"hmac-sha256\", headers=\"date\", signature=\"AAAA\"",
            r#"hmac,username="a", algorithm="hmac-sha256", headers="date", signature="AAAA""#,
            r#"hmac username="a""#,
            r#"hmac username="a", algorithm="hmac-sha256", headers="date""#,
            r#"hmac username="a", algorithm="hmac-sha256", headers="", signature="AAAA""#,
            r#"hmac username="a", algorithm="hmac-sha256", headers="date", signature="?""#,
            r#"hmac username="a", username="b", algorithm="hmac-sha256", headers="date", signature="AAAA""#,
            r#"hmac username="a" algorithm="hmac-sha256", headers="date", signature="AAAA""#,
            r#"hmac username="a", algorithm="hmac-sha256", headers="date", signature="AAAA" x"#,
            r#"hmac username="a\", algorithm="hmac-sha256", headers="date", signature="AAAA""#,
            r#"hmac keyId="a", algorithm="hmac-sha256", headers="date", signature="AAAA""#,
            r#"Signature username="a", algorithm="hmac-sha256", headers="date", signature="AAAA""#,
        ] {
            assert_eq!(sent(wrong), Err(Refusal::Malformed), "{wrong}");
        }
        let unknown = r#"hmac username="a", algorithm="hmac-md5", headers="date", signature="AAAA""#;
        assert_eq!(sent(unknown), Err(Refusal::Algorithm));
        let shown =
            format!("{:?}", sent(r#"hmac username="a", algorithm="hmac-sha1", headers="date", signature="AAAA""#));
        assert!(!shown.contains("signature"), "{shown}");
    }

    #[test]
    fn what_must_be_signed_and_when() {
        let headers = headers(&[("date", DATE), ("x-date", "Thu, 22 Jun 2017 17:10:21 GMT"), ("request-line", "x")]);
        let message = message(None, &headers);
        let check = |names: &str, enforced: &[&str], now| {
            let sent =
                sent(&format!(r#"hmac username="a", algorithm="hmac-sha1", headers="{names}", signature="AAAA""#))?;
            let enforced = enforced.iter().map(|name| (*name).to_owned()).collect();
            sent.check(&Rules { hashes: vec![Hash::Sha1], enforced, clock_skew: 60_000 }, &message, now)
        };
        for (names, enforced, now, expected) in [
            ("date", &[][..], NOW, Ok(NOW + 61_000)),
            ("date", &[], NOW + 60_999, Ok(NOW + 61_000)),
            ("date", &[], NOW + 61_000, Err(Refusal::Expired)),
            ("date", &[], NOW - 60_000, Ok(NOW + 61_000)),
            ("date", &[], NOW - 60_001, Err(Refusal::FromTheFuture)),
            ("date x-date", &[], NOW, Err(Refusal::Expired)),
            ("x-date", &[], NOW - 300_000, Ok(NOW - 239_000)),
            ("host", &[], NOW, Err(Refusal::Uncovered)),
            ("date", &["request-line"], NOW, Err(Refusal::Uncovered)),
            ("date request-line", &["@request-target"], NOW, Ok(NOW + 61_000)),
            ("date Request-Line", &["request-line"], NOW, Err(Refusal::Uncovered)),
            ("date Host", &["host"], NOW, Ok(NOW + 61_000)),
        ] {
            assert_eq!(check(names, enforced, now), expected, "{names} {enforced:?} {now}");
        }
        let sent =
            sent(r#"hmac username="a", algorithm="hmac-sha1", headers="date", signature="AAAA""#).expect("well-formed");
        let rules = Rules { hashes: vec![Hash::Sha256], enforced: vec![], clock_skew: 60_000 };
        assert_eq!(sent.check(&rules, &message, NOW), Err(Refusal::Algorithm));
    }

    #[test]
    fn every_hash_by_known_answers() {
        let secret = Secret::new(&Template::literal("*".repeat(20)), false, &Settings::new()).expect("a secret");
        for (hash, length) in [(Hash::Sha1, 20), (Hash::Sha256, 32), (Hash::Sha384, 48), (Hash::Sha512, 64)] {
            let code = secret.sign(hash, b"text");
            assert_eq!(code.len(), length);
            assert!(secret.verify(hash, b"text", &code));
            assert!(!secret.verify(hash, b"Text", &code));
            assert!(!secret.verify(hash, b"text", &code[..length - 1]), "cut off");
            assert!(!secret.verify(hash, b"text", &[]), "nothing");
        }
        // `printf text | openssl dgst -sha1 -hmac '********************'`
        let known = STANDARD.decode(SHA1).expect("Base64");
        assert!(secret.verify(Hash::Sha1, b"text", &known));
    }

    const SHA1: &str = "ZNWYuPDt3fIJpBXkjWusKH5xsyk=";

    proptest! {
        #[test]
        fn any_field_is_answered(text in "(hmac |Signature |)[a-zA-Z =\",\\\\]{0,80}", value in any::<String>()) {
            let headers = headers(&[("date", &text)]);
            for text in [text.as_str(), value.as_str(), &format!("hmac {value}")] {
                if let Some(Ok(sent)) = Sent::read(text) {
                    let _ = sent.texts(&message(None, &headers));
                }
            }
        }
    }
}

/// Everything of a request that its signature covers.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Facts {
    method: String,
    authority: String,
    path: String,
    query: Option<String>,
    tenant: String,
    created: u64,
    nonce: String,
}

impl Facts {
    fn message<'a>(&'a self, headers: &'a Headers) -> Message<'a> {
        Message {
            method: &self.method,
            scheme: Scheme::Https,
            authority: self.authority.clone(),
            host: &self.authority,
            path: &self.path,
            query: self.query.as_deref(),
            headers,
        }
    }

    fn headers(&self, input: &str, signature: &str) -> Headers {
        headers(&[("x-tenant", &self.tenant), ("signature-input", input), ("signature", signature)])
    }

    /// `Signature-Input`, as it follows from the facts.
    fn input(&self) -> String {
        let Self { created, nonce, .. } = self;
        format!(r#"sig1=("@method" "@target-uri" "x-tenant");created={created};nonce="{nonce}";keyid="k""#)
    }

    /// Signs as the other implementation does.
    fn sign(&self, key: &impl httpsig::prelude::SigningKey) -> (String, String) {
        let query = self.query.as_ref().map_or(String::new(), |query| format!("?{query}"));
        let lines = [
            format!("\"@method\": {}", self.method),
            format!("\"@target-uri\": https://{}{}{query}", self.authority, self.path),
            format!("\"x-tenant\": {}", self.tenant),
        ];
        let lines: Vec<_> =
            lines.iter().map(|line| HttpMessageComponent::try_from(line.as_str()).expect("a line")).collect();
        let ids = ["@method", "@target-uri", "x-tenant"];
        let ids: Vec<_> = ids.iter().map(|id| HttpMessageComponentId::try_from(*id).expect("an identifier")).collect();
        let mut parameters = HttpSignatureParams::try_new(&ids).expect("parameters");
        parameters.set_created(self.created).set_keyid("k").set_nonce(&self.nonce);
        let base = HttpSignatureBase::try_new(&lines, &parameters).expect("a base");
        let signed = base.build_signature_headers(key, Some("sig1")).expect("signs");
        (signed.signature_input_header_value(), signed.signature_header_value())
    }
}

fn facts() -> impl Strategy<Value = Facts> {
    let target = ("/[a-z0-9._~!$&'()*+,;=:@/-]{0,20}", prop::option::of("[a-z0-9=&%+?/]{0,16}"));
    (
        "[A-Z]{3,7}",
        "[a-z]{1,8}\\.example(:81)?",
        target,
        "[!-~]([ -~]{0,10}[!-~])?",
        1..2_000_000_000u64,
        "[a-z0-9]{1,12}",
    )
        .prop_map(|(method, authority, (path, query), tenant, created, nonce)| Facts {
            method,
            authority,
            path,
            query,
            tenant,
            created,
            nonce,
        })
}

/// Gives `Signature-Input` and `Signature`.
type SignFacts = Box<dyn Fn(&Facts) -> (String, String)>;

fn pair(which: usize) -> (SignFacts, SignerKey) {
    use httpsig::prelude::AlgorithmName;
    let asymmetric = |name: AlgorithmName, private: &'static str, public: &str| {
        let key = SecretKey::from_pem(&name, private).expect("a key");
        let sign: SignFacts = Box::new(move |facts| facts.sign(&key));
        (sign, SignerKey::from_pem(public, None).expect("a key"))
    };
    match which {
        0 => {
            let key = SharedKey::from_base64(&AlgorithmName::HmacSha256, SHARED).expect("a key");
            (Box::new(move |facts| facts.sign(&key)), secret_key(SHARED, true))
        }
        1 => asymmetric(
            AlgorithmName::Ed25519,
            include_str!("keys/ed25519.private.pem"),
            include_str!("keys/ed25519.public.pem"),
        ),
        2 => asymmetric(
            AlgorithmName::EcdsaP256Sha256,
            include_str!("keys/p256.private.pem"),
            include_str!("keys/p256.public.pem"),
        ),
        _ => asymmetric(
            AlgorithmName::EcdsaP384Sha384,
            include_str!("keys/p384.private.pem"),
            include_str!("keys/p384.public.pem"),
        ),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// What the other implementation signs is taken, and nothing else than what it has signed.
    #[test]
    fn only_what_was_signed_is_taken(which in 0..4usize, signed in facts(), other in facts(), part in 0..8usize) {
        let (sign, key) = pair(which);
        let (input, signature) = sign(&signed);
        let rules = rules(&["@method", "@target-uri", "x-tenant"]);
        let judge = |facts: &Facts, input: &str, signature: &str| {
            let headers = facts.headers(input, signature);
            let found = input::read(&headers, None, None)?;
            let [only] = found.as_slice() else { return Err(Refusal::Malformed) };
            rules.verify(only, &facts.message(&headers), &key)
        };
        prop_assert_eq!(judge(&signed, &input, &signature), Ok(()));
        prop_assert_eq!(judge(&signed, &signed.input(), &signature), Ok(()), "the order of parameters is the same here");

        let mut changed = signed.clone();
        match part {
            0 => changed.method = other.method.clone(),
            1 => changed.authority = other.authority.clone(),
            2 => changed.path = other.path.clone(),
            3 => changed.query = other.query.clone(),
            4 => changed.tenant = other.tenant.clone(),
            5 => changed.created = other.created,
            6 => changed.nonce = other.nonce.clone(),
            _ => changed = other.clone(),
        }
        // What is said of the signature changes with it.
        let expected = if changed == signed { Ok(()) } else { Err(Refusal::Signature) };
        prop_assert_eq!(judge(&changed, &changed.input(), &signature), expected);
    }

    /// One bit of the signature's bytes, or one character of what it says.
    #[test]
    fn a_changed_signature_is_refused(which in 0..3usize, signed in facts(), bit in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), c in "[ -~]") {
        let (sign, key) = pair(which);
        let (input, signature) = sign(&signed);
        let rules = rules(&["@method", "@target-uri", "x-tenant"]);
        let judge = |input: &str, signature: &str| {
            let headers = signed.headers(input, signature);
            let found = input::read(&headers, None, None)?;
            let [only] = found.as_slice() else { return Err(Refusal::Malformed) };
            rules.check(only, false, signed.created * 1000)?;
            rules.verify(only, &signed.message(&headers), &key)
        };
        let encoded = signature.trim_start_matches("sig1=:").trim_end_matches(':');
        let mut bytes = STANDARD.decode(encoded).expect("Base64");
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let changed = format!("sig1=:{}:", STANDARD.encode(&bytes));
        prop_assert!(judge(&input, &changed).is_err());
        let at = at.index(input.len());
        let mut said = input.clone();
        said.replace_range(at..=at, &c);
        // The label is no part of what is signed, but then it is another one than the signature's.
        prop_assert!(said == input || judge(&said, &signature).is_err() || strict(&said) == strict(&input), "{}", said);
    }

    #[test]
    fn any_fields_are_answered(input in "[a-z(\"@;=:0-9A-Z),? *._-]{0,60}", signature in "[a-z=:A-Za-z0-9+/,; ]{0,40}", component in any::<String>()) {
        let headers = headers(&[("signature-input", &input), ("signature", &signature), ("content-digest", &signature)]);
        if let Ok(found) = input::read(&headers, None, None) {
            for signed in found {
                let _ = signed.base(&message(Some(&input), &headers));
            }
        }
        let _ = digest::check(&headers, b"");
        let _ = Component::parse(&component).map(|component| component.value(&message(Some(&input), &headers)));
    }
}

/// What of `Signature-Input` is signed: the same text in its strict spelling.
fn strict(input: &str) -> Option<String> {
    let headers = headers(&[("signature-input", input), ("signature", "sig1=:AA==:")]);
    input::read(&headers, Some("sig1"), None).ok()?.first().map(|signed| format!("{signed:?}"))
}
