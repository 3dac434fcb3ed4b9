//! Tokens against the public vectors, against a second verifier, and against whoever looks for secrets.

#![allow(clippy::panic)] // A test that cannot go on says so.

use gateway_core::jwt::der::{self, BadPem, PublicKey};
use gateway_core::jwt::{Algorithm, BadKey, BadSet, Key, KeySet, Purpose, Refusal, Rules, Token, json, key, token};
use jsonwebtoken::{DecodingKey, EncodingKey, Validation};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

/// A moment in 2025. Tokens here expire in 2096, so the second verifier, which asks the system's clock, agrees.
const NOW: u64 = 1_750_000_000_000;
const LATER: u64 = 4_000_000_000;
const SECRET: &[u8] = b"a secret of sixty-four bytes, long enough for HS512, and a test's";

// --- one key of each kind, for both verifiers -----------------------------------------------------------------------

struct Pair {
    algorithm: Algorithm,
    ours: Key,
    signs: EncodingKey,
    theirs: DecodingKey,
}

static PAIRS: LazyLock<Vec<Pair>> = LazyLock::new(|| Algorithm::ALL.into_iter().map(pair).collect());

fn pair(algorithm: Algorithm) -> Pair {
    let ours = |pem: &str| Key::from_pem(pem, Some("k".into()), &[algorithm]).expect("a public key");
    use gateway_core::jwt::Family;
    let (ours, signs, theirs) = match algorithm.family() {
        Family::Secret => (
            Key::from_secret(SECRET, Some("k".into()), &[algorithm]).expect("long enough"),
            EncodingKey::from_secret(SECRET),
            DecodingKey::from_secret(SECRET),
        ),
        Family::Rsa => (
            ours(include_str!("keys/rsa.public.pem")),
            EncodingKey::from_rsa_pem(include_bytes!("keys/rsa.private.pem")).expect("a key"),
            DecodingKey::from_rsa_pem(include_bytes!("keys/rsa.public.pem")).expect("a key"),
        ),
        Family::P256 => (
            ours(include_str!("keys/p256.public.pem")),
            EncodingKey::from_ec_pem(include_bytes!("keys/p256.private.pem")).expect("a key"),
            DecodingKey::from_ec_pem(include_bytes!("keys/p256.public.pem")).expect("a key"),
        ),
        Family::P384 => (
            ours(include_str!("keys/p384.public.pem")),
            EncodingKey::from_ec_pem(include_bytes!("keys/p384.private.pem")).expect("a key"),
            DecodingKey::from_ec_pem(include_bytes!("keys/p384.public.pem")).expect("a key"),
        ),
        Family::Ed25519 => (
            ours(include_str!("keys/ed25519.public.pem")),
            EncodingKey::from_ed_pem(include_bytes!("keys/ed25519.private.pem")).expect("a key"),
            DecodingKey::from_ed_pem(include_bytes!("keys/ed25519.public.pem")).expect("a key"),
        ),
    };
    Pair { algorithm, ours, signs, theirs }
}

impl Pair {
    fn their_algorithm(&self) -> jsonwebtoken::Algorithm {
        self.algorithm.name().parse().expect("both know the same names")
    }

    fn sign(&self, claims: &Value) -> String {
        let header =
            jsonwebtoken::Header { kid: Some("k".into()), ..jsonwebtoken::Header::new(self.their_algorithm()) };
        jsonwebtoken::encode(&header, claims, &self.signs).expect("signs")
    }

    fn we_take(&self, text: &str) -> bool {
        let rules = Rules { issuer: "i".into(), audiences: vec!["a".into()], leeway: 60_000, ..Rules::default() };
        let take = || {
            let token = Token::read(text, Purpose::Token)?;
            if token.header.key_id.as_deref() != Some("k") {
                return Err(Refusal::UnknownKey);
            }
            if !self.ours.verify(token.header.algorithm, token.signed(), token.signature()) {
                return Err(Refusal::Signature);
            }
            rules.check(token.header.kind.as_deref(), &token.claims()?, NOW)
        };
        take().is_ok()
    }

    fn they_take(&self, text: &str) -> bool {
        let mut validation = Validation::new(self.their_algorithm());
        validation.set_issuer(&["i"]);
        validation.set_audience(&["a"]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.validate_nbf = true;
        jsonwebtoken::decode::<Value>(text, &self.theirs, &validation).is_ok()
    }
}

fn claims() -> Value {
    json!({ "iss": "i", "aud": "a", "exp": LATER, "iat": 1_700_000_000, "sub": "s", "scope": "read" })
}

#[test]
fn both_verifiers_take_what_is_right() {
    for pair in PAIRS.iter() {
        let text = pair.sign(&claims());
        assert!(pair.we_take(&text) && pair.they_take(&text), "{}", pair.algorithm);
    }
}

#[test]
fn a_key_is_for_its_own_algorithm_only() {
    for pair in PAIRS.iter() {
        let text = pair.sign(&claims());
        for other in PAIRS.iter().filter(|other| other.algorithm != pair.algorithm) {
            assert!(!other.we_take(&text), "{} by a key for {}", pair.algorithm, other.algorithm);
        }
    }
}

#[test]
fn a_public_key_is_no_secret() {
    // What a verifier does that takes the algorithm from the token: the public key's text becomes an HMAC key.
    for pem in ["rsa", "p256", "p384", "ed25519"] {
        let public = std::fs::read_to_string(format!("tests/keys/{pem}.public.pem")).expect("a file");
        let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
        let forged =
            jsonwebtoken::encode(&header, &claims(), &EncodingKey::from_secret(public.as_bytes())).expect("signs");
        let set = KeySet::new(vec![Key::from_pem(&public, None, &[]).expect("a key")]).expect("a set");
        let token = Token::read(&forged, Purpose::Token).expect("well-formed");
        assert_eq!(set.verify(&token), Err(Refusal::Algorithm));
        // Nor can it be asked for in the configuration.
        assert_eq!(Key::from_pem(&public, None, &[Algorithm::Hs256]).err(), Some(BadKey::Unsupported));
    }
}

/// What becomes of a valid token.
#[derive(Debug, Clone)]
enum Mutation {
    /// One bit of the text.
    Flip(prop::sample::Index, u8),
    /// One letter of the text.
    Letter(prop::sample::Index, char),
    /// The text ends here.
    Cut(prop::sample::Index),
    /// Something at the end.
    Append(String),
    /// A member of the header, not signed.
    Header(String, Value),
    /// A member of the claims, not signed.
    Claim(String, Value),
    /// A member of the claims, and a right signature.
    Signed(String, Value),
    /// The parts in another order.
    Swap,
}

fn mutations() -> impl Strategy<Value = Mutation> {
    let index = || any::<prop::sample::Index>();
    let value = prop_oneof![
        Just(Value::Null),
        Just(json!(0)),
        Just(json!(-1)),
        Just(json!(1_000_000_000)),
        Just(json!(1_000_000_000.5)),
        Just(json!(LATER)),
        Just(json!("4000000000")),
        Just(json!(1e300)),
        Just(json!(["a"])),
        Just(json!(["b"])),
        Just(json!([])),
        Just(json!({})),
        Just(json!("a")),
        Just(json!("i")),
        Just(json!("none")),
        prop::sample::select(Algorithm::ALL.as_slice()).prop_map(|algorithm| json!(algorithm.name())),
    ];
    let header = prop::sample::select(vec!["alg", "kid", "typ", "jwk", "jku", "crit", "b64", "x5c", "cty", "zip"]);
    let claim = prop::sample::select(vec!["iss", "aud", "exp", "nbf", "iat", "sub", "scope", "admin"]);
    prop_oneof![
        4 => (index(), 0u8..8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        4 => (index(), prop::sample::select(('!'..='~').collect::<Vec<_>>())).prop_map(|(at, c)| Mutation::Letter(at, c)),
        1 => index().prop_map(Mutation::Cut),
        1 => "[ -~]{1,4}".prop_map(Mutation::Append),
        2 => (header, value.clone()).prop_map(|(name, value)| Mutation::Header(name.to_owned(), value)),
        2 => (claim.clone(), value.clone()).prop_map(|(name, value)| Mutation::Claim(name.to_owned(), value)),
        4 => (claim, value).prop_map(|(name, value)| Mutation::Signed(name.to_owned(), value)),
        1 => Just(Mutation::Swap),
    ]
}

fn mutate(pair: &Pair, mutation: Mutation) -> Option<String> {
    let good = pair.sign(&claims());
    let parts: Vec<&str> = good.split('.').collect();
    let with = |part: &str, name: String, value: Value| {
        let mut members = json::object(&token::decode(part).expect("Base64")).expect("an object");
        members.insert(name, value);
        token::encode(Value::Object(members).to_string())
    };
    Some(match mutation {
        Mutation::Flip(at, bit) => {
            let mut bytes = good.into_bytes();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            String::from_utf8(bytes).ok()?
        }
        Mutation::Letter(at, letter) => {
            let at = at.index(good.len());
            format!("{}{letter}{}", &good[..at], &good[at + 1..])
        }
        Mutation::Cut(at) => good[..at.index(good.len())].to_owned(),
        Mutation::Append(text) => good + &text,
        Mutation::Header(name, value) => format!("{}.{}.{}", with(parts[0], name, value), parts[1], parts[2]),
        Mutation::Claim(name, value) => format!("{}.{}.{}", parts[0], with(parts[1], name, value), parts[2]),
        Mutation::Signed(name, value) => {
            let mut claims = claims();
            claims[name] = value;
            pair.sign(&claims)
        }
        Mutation::Swap => format!("{}.{}.{}", parts[1], parts[0], parts[2]),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_taken_that_a_second_verifier_refuses(at in 0..Algorithm::ALL.len(), mutation in mutations()) {
        let pair = &PAIRS[at];
        if let Some(text) = mutate(pair, mutation) {
            prop_assert!(!pair.we_take(&text) || pair.they_take(&text), "{} {text}", pair.algorithm);
        }
    }

    #[test]
    fn nothing_that_is_read_brings_it_down(text in "\\PC{0,200}", bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let read = Token::read(&text, Purpose::Token).and_then(|token| token.claims());
        prop_assert!(read.is_err());
        let _ = KeySet::read(&bytes, &[]);
        let _ = der::public_key(&format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----", token::encode(&bytes)));
    }
}

// --- the public vectors ---------------------------------------------------------------------------------------------

/// Valid vectors that are refused here, with the reasons that docs/wycheproof.md gives.
const REFUSED: [(&str, u64); 6] = [
    // The key says PS256, the token PS384.
    ("json_web_signature_test.json", 346),
    ("json_web_signature_test.json", 350),
    // P-521.
    ("json_web_signature_test.json", 347),
    ("json_web_signature_test.json", 351),
    // A letter that Base64url does not have.
    ("json_web_signature_test.json", 372),
    ("json_web_signature_test.json", 373),
];

/// Invalid vectors whose padding was lost: letter for letter the valid vector 357.
const TAKEN: [(&str, u64, u64); 2] =
    [("json_web_signature_test.json", 367, 357), ("json_web_signature_test.json", 370, 357)];

#[test]
fn wycheproof() {
    let mut disagreements = Vec::new();
    let mut seen = BTreeMap::<(String, bool), usize>::new();
    for file in ["json_web_signature_test.json", "json_web_key_test.json", "json_web_crypto_test.json"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/suites/wycheproof");
        let Ok(text) = std::fs::read_to_string(folder.join(file)) else {
            println!("skipped: {file} is not in {}", folder.display());
            return;
        };
        let suite: Value = serde_json::from_str(&text).expect("JSON");
        for group in suite["testGroups"].as_array().expect("groups") {
            let key = group.get("public").or(group.get("private")).expect("a key");
            for test in group["tests"].as_array().expect("tests") {
                // Encryption (RFC 7516) is not read at all.
                let Some(text) = test.get("jws").or(test.get("jwe")).and_then(Value::as_str) else { continue };
                let verified = || {
                    let set = match key.get("keys") {
                        Some(_) => KeySet::read(key.to_string().as_bytes(), &[]).ok()?,
                        None => KeySet::new(vec![Key::from_jwk(key.as_object()?, &[]).ok()?]).ok()?,
                    };
                    let token = Token::read(text, Purpose::Token).ok()?;
                    token.payload().ok()?;
                    set.verify(&token).ok()
                };
                let (id, taken) = (test["tcId"].as_u64().expect("a number"), verified().is_some());
                *seen.entry((file.to_owned(), taken)).or_default() += 1;
                let encrypted = test.get("jwe").is_some();
                let valid = test["result"] == "valid";
                if let Some((.., same)) = TAKEN.iter().find(|(name, number, _)| (*name, *number) == (file, id)) {
                    let tests = group["tests"].as_array().expect("tests");
                    let twin = tests.iter().find(|test| test["tcId"] == *same).expect("the twin");
                    assert_eq!((&twin["jws"], &twin["result"]), (&test["jws"], &json!("valid")), "{file} {id}");
                    continue;
                }
                assert!(valid || !taken, "{file} {id}: {} must be refused", test["comment"]);
                if valid && !taken && !encrypted {
                    disagreements.push((file, id));
                }
            }
        }
    }
    println!("{seen:?}");
    assert_eq!(disagreements.len(), REFUSED.len(), "{disagreements:?}");
    for (file, id) in disagreements {
        assert!(REFUSED.contains(&(file, id)), "{file} {id} is valid and refused, and not in docs/wycheproof.md");
    }
}

// --- keys -----------------------------------------------------------------------------------------------------------

fn jwk(value: Value) -> Map<String, Value> {
    let Value::Object(members) = value else { panic!("an object") };
    members
}

const X: &str = "04N0xi21hshyvBp7I167sbE_bXqyqkAPfefdklMO7wY";
const Y: &str = "UI8exy-C06a7DUnjIdENkxeFtHM4-l_41LqEw9nVgmw";
const POINT: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

#[test]
fn keys_that_are_taken_and_refused() {
    let modulus = token::encode([0xB7; 256]);
    let short = token::encode([0xB7; 255]);
    let long = token::encode([0xB7; 513]);
    let secret = token::encode(SECRET);
    for (value, expected) in [
        (json!({"kty": "EC", "crv": "P-256", "x": X, "y": Y}), Ok(vec![Algorithm::Es256])),
        (
            json!({"kty": "EC", "crv": "P-256", "x": X, "y": Y, "use": "sig", "key_ops": ["verify"]}),
            Ok(vec![Algorithm::Es256]),
        ),
        (json!({"kty": "EC", "crv": "P-256", "x": X, "y": Y, "use": "enc"}), Err(BadKey::Use)),
        (json!({"kty": "EC", "crv": "P-256", "x": X, "y": Y, "key_ops": ["sign"]}), Err(BadKey::Use)),
        (json!({"kty": "EC", "crv": "P-256", "x": X, "y": Y, "key_ops": "verify"}), Err(BadKey::Malformed("key_ops"))),
        (json!({"kty": "EC", "crv": "P-256", "x": X, "y": Y, "alg": "ES384"}), Err(BadKey::Unsupported)),
        (json!({"kty": "EC", "crv": "P-256", "x": X, "y": Y, "alg": "HS256"}), Err(BadKey::Unsupported)),
        (json!({"kty": "EC", "crv": "P-256", "x": X, "y": Y, "alg": "none"}), Err(BadKey::Unsupported)),
        (json!({"kty": "EC", "crv": "P-256", "x": X, "y": Y, "d": X}), Err(BadKey::Private)),
        (json!({"kty": "EC", "crv": "P-256", "x": X, "y": X}), Err(BadKey::Malformed("x, y"))),
        (json!({"kty": "EC", "crv": "P-256", "x": X}), Err(BadKey::Malformed("y"))),
        (json!({"kty": "EC", "crv": "P-256", "x": format!("{X}="), "y": Y}), Err(BadKey::Malformed("x"))),
        (json!({"kty": "EC", "crv": "P-384", "x": X, "y": Y}), Err(BadKey::Malformed("x, y"))),
        (json!({"kty": "EC", "crv": "P-521", "x": X, "y": Y}), Err(BadKey::Unsupported)),
        (json!({"kty": "EC", "crv": "secp256k1", "x": X, "y": Y}), Err(BadKey::Unsupported)),
        (json!({"kty": "OKP", "crv": "Ed25519", "x": POINT}), Ok(vec![Algorithm::EdDsa])),
        (json!({"kty": "OKP", "crv": "Ed25519", "x": POINT, "alg": "Ed25519"}), Ok(vec![Algorithm::EdDsa])),
        (json!({"kty": "OKP", "crv": "X25519", "x": POINT}), Err(BadKey::Unsupported)),
        // The neutral element: any signature fits it.
        (
            json!({"kty": "OKP", "crv": "Ed25519", "x": token::encode([&[1], &[0; 31][..]].concat())}),
            Err(BadKey::Weak("a point of small order signs everything")),
        ),
        (json!({"kty": "RSA", "n": modulus, "e": "AQAB"}), Ok(vec![Algorithm::Rs256])),
        (json!({"kty": "RSA", "n": modulus, "e": "AQAB", "alg": "PS512"}), Ok(vec![Algorithm::Ps512])),
        (json!({"kty": "RSA", "n": modulus, "e": "AQAB", "alg": "RSA-OAEP"}), Err(BadKey::Unsupported)),
        (
            json!({"kty": "RSA", "n": modulus, "e": "AQ"}),
            Err(BadKey::Weak("its exponent is even, too small or too large")),
        ),
        (json!({"kty": "RSA", "n": modulus, "e": "AAEAAQ"}), Err(BadKey::Malformed("e"))),
        (
            json!({"kty": "RSA", "n": short, "e": "AQAB"}),
            Err(BadKey::Weak("a modulus has at least 2048 bits (RFC 7518 §3.3)")),
        ),
        (json!({"kty": "RSA", "n": long, "e": "AQAB"}), Err(BadKey::Weak("a modulus has at most 4096 bits here"))),
        (json!({"kty": "RSA", "n": "", "e": "AQAB"}), Err(BadKey::Malformed("n"))),
        (json!({"kty": "oct", "k": secret}), Ok(vec![Algorithm::Hs256])),
        (json!({"kty": "oct", "k": secret, "alg": "HS512"}), Ok(vec![Algorithm::Hs512])),
        (
            json!({"kty": "oct", "k": token::encode([7; 31])}),
            Err(BadKey::Weak("a secret has at least as many bytes as the hash (RFC 7518 §3.2)")),
        ),
        (
            json!({"kty": "oct", "k": ""}),
            Err(BadKey::Weak("a secret has at least as many bytes as the hash (RFC 7518 §3.2)")),
        ),
        (json!({"kty": 1}), Err(BadKey::Malformed("kty"))),
        (json!({}), Err(BadKey::Malformed("kty"))),
    ] {
        assert_eq!(Key::from_jwk(&jwk(value.clone()), &[]).map(|key| key.algorithms), expected, "{value}");
    }
    let rsa = jwk(json!({"kty": "RSA", "n": modulus, "e": "AQAB"}));
    let wide = Key::from_jwk(&rsa, &[Algorithm::Rs256, Algorithm::Ps256, Algorithm::Es256]).expect("a key");
    assert_eq!(wide.algorithms, [Algorithm::Rs256, Algorithm::Ps256]);
}

#[test]
fn pem_holds_the_same_keys() {
    let read = |name: &str| std::fs::read_to_string(format!("tests/keys/{name}.pem")).expect("a file");
    for (name, expected) in [
        ("p256.private", Err(BadPem::Private)),
        ("rsa.private", Err(BadPem::Private)),
        ("certificate", Err(BadPem::Other)),
        ("p521.public", Err(BadPem::Unknown)),
    ] {
        assert_eq!(der::public_key(&read(name)), expected, "{name}");
    }
    assert_eq!(der::public_key(&read("rsa.public")), der::public_key(&read("rsa.pkcs1")));
    assert!(
        matches!(der::public_key(&read("rsa.public")), Ok(PublicKey::Rsa(n, e)) if n.len() == 256 && e == [1, 0, 1])
    );
    let good = read("p256.public");
    for wrong in [
        String::new(),
        good.replace("PUBLIC", "public"),
        good.replace('M', "!"),
        format!("{good}{good}"),
        good[..90].to_owned(),
    ] {
        assert!(der::public_key(&wrong).is_err(), "{wrong}");
    }
}

#[test]
fn thumbprints_are_those_of_the_standards() {
    // RFC 7638 §3.1
    let rsa = jwk(json!({
        "kty": "RSA", "alg": "RS256", "kid": "2011-04-29", "e": "AQAB",
        "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    }));
    assert_eq!(key::thumbprint(&rsa).as_deref(), Some("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"));
    // RFC 8037 §A.3
    let ed25519 = jwk(json!({"kty": "OKP", "crv": "Ed25519", "x": POINT}));
    assert_eq!(key::thumbprint(&ed25519).as_deref(), Some("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"));
    assert_eq!(key::thumbprint(&jwk(json!({"kty": "oct", "k": "AA"}))), None);
}

#[test]
fn sets_of_keys() {
    let point = |kid: Option<&str>| {
        let mut key = json!({"kty": "EC", "crv": "P-256", "x": X, "y": Y});
        if let Some(kid) = kid {
            key["kid"] = kid.into();
        }
        key
    };
    let secret = json!({"kty": "oct", "k": token::encode(SECRET), "kid": "s"});
    let other = json!({"kty": "RSA", "n": token::encode([7; 64]), "e": "AQAB", "use": "enc"});
    let read =
        |keys: Vec<Value>| KeySet::read(json!({ "keys": keys }).to_string().as_bytes(), &[]).map(|set| set.len());
    assert_eq!(read(vec![point(None), other.clone()]), Ok(1), "what is for something else is left out");
    assert_eq!(read(vec![point(None), secret.clone()]), Err(BadSet::Mixed));
    assert_eq!(read(vec![other]), Err(BadSet::Empty(Some(BadKey::Use))));
    assert_eq!(read(vec![point(Some("a")), point(Some("a"))]), Err(BadSet::Empty(None)), "nobody knows which is meant");
    assert_eq!(read(vec![]), Err(BadSet::Empty(None)));
    assert_eq!(read(vec![json!(1)]), Err(BadSet::Malformed));
    assert_eq!(read((0..65).map(|_| point(None)).collect()), Err(BadSet::TooMany));
    assert_eq!(KeySet::read(br#"{"keys":[],"keys":[]}"#, &[]).err(), Some(BadSet::Malformed));
    let published = json!({ "keys": [secret] }).to_string();
    assert_eq!(KeySet::published(published.as_bytes(), &[]).err(), Some(BadSet::Published));

    // Which key a token means. No signature is right here; what counts is how far a token gets.
    let verify = |keys: Vec<Value>, header: &str| {
        let set = KeySet::read(json!({ "keys": keys }).to_string().as_bytes(), &[]).expect("a set");
        let text = format!("{}.{}.{}", token::encode(header), token::encode("{}"), token::encode([1; 64]));
        set.verify(&Token::read(&text, Purpose::Token).expect("well-formed")).err()
    };
    let found = Some(Refusal::Signature);
    let unknown = Some(Refusal::UnknownKey);
    for (keys, header, expected) in [
        (vec![point(Some("a")), point(Some("b"))], r#"{"alg":"ES256","kid":"b"}"#, found),
        (vec![point(Some("a")), point(Some("b"))], r#"{"alg":"ES256","kid":"c"}"#, unknown),
        (vec![point(Some("a")), point(Some("b"))], r#"{"alg":"ES256"}"#, unknown),
        (vec![point(Some("a")), point(Some("a")), point(Some("b"))], r#"{"alg":"ES256","kid":"a"}"#, unknown),
        (vec![point(Some("a"))], r#"{"alg":"ES256"}"#, found),
        (vec![point(Some("a"))], r#"{"alg":"RS256","kid":"a"}"#, Some(Refusal::Algorithm)),
        (vec![point(Some("a"))], r#"{"alg":"RS256"}"#, Some(Refusal::Algorithm)),
        (vec![point(None)], r#"{"alg":"ES256","kid":"x"}"#, found),
        (vec![point(None), point(Some("a"))], r#"{"alg":"ES256","kid":"a"}"#, found),
        (vec![point(None), point(None)], r#"{"alg":"ES256","kid":"a"}"#, unknown),
    ] {
        assert_eq!(verify(keys.clone(), header), expected, "{header} {keys:?}");
    }
}

// --- secrets --------------------------------------------------------------------------------------------------------

#[test]
fn nothing_shows_a_secret() {
    let planted = std::str::from_utf8(SECRET).expect("text");
    let key = Key::from_secret(SECRET, Some("k".into()), &[]).expect("long enough");
    let text = PAIRS[0].sign(&claims());
    let token = Token::read(&text, Purpose::Token).expect("well-formed");
    let set = KeySet::new(vec![key]).expect("a set");
    let private = include_str!("keys/p256.private.pem");
    let shown = [
        format!("{set:?}"),
        format!("{:?}", Key::from_pem(private, None, &[]).expect_err("private")),
        format!("{}", Key::from_pem(private, None, &[]).expect_err("private")),
        format!("{:?}", Key::from_jwk(&jwk(json!({"kty": "oct", "k": planted})), &[]).expect_err("no Base64url")),
        format!("{:?}", Token::read(&text.replace('.', "/"), Purpose::Token).expect_err("one part")),
        format!("{:?}", token.header),
    ];
    let bytes = format!("{SECRET:?}");
    for shown in shown {
        for secret in
            [planted, &bytes[1..bytes.len() - 1], &token::encode(SECRET), private.lines().nth(1).expect("Base64")]
        {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}
