#![no_main]
//! Tokens, keys, sets of keys and proofs of possession are read in one way or not at all.

use gateway_core::jwt::proof::{self, Asked, Window};
use gateway_core::jwt::{Key, KeySet, Purpose, Rules, Token, der, json, token};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &[u8], &str)| {
    let (text, set, pem) = input;
    for purpose in [Purpose::Token, Purpose::Proof] {
        let Ok(token) = Token::read(text, purpose) else { continue };
        // There is one spelling of each part.
        for part in text.split('.') {
            if let Some(bytes) = token::decode(part) {
                assert_eq!(token::encode(bytes), part);
            }
        }
        if let Ok(claims) = token.claims() {
            let _ = Rules::default().check(token.header.kind.as_deref(), &claims, 1_750_000_000_000);
        }
    }
    let asked = Asked { method: "GET", scheme: "https", authority: "a.example", path: "/", token: "t" };
    let _ = proof::check(text, asked, Window { age: 60_000, leeway: 5_000 }, 1_750_000_000_000);
    if let Ok(keys) = KeySet::read(set, &[]) {
        assert!(!keys.is_empty());
        if let Ok(token) = Token::read(text, Purpose::Token) {
            let _ = keys.verify(&token);
        }
    }
    if let Some(jwk) = json::object(set) {
        // No key is for nothing, and none is shown.
        if let Ok(key) = Key::from_jwk(&jwk, &[]) {
            assert_eq!(key.algorithms.len(), 1);
        }
    }
    let _ = der::public_key(pem);
});
