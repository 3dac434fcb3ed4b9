//! Sealed texts: what the gateway gives a browser to keep, so that nobody reads it, changes it, or shows it in another place.
//!
//! XChaCha20-Poly1305 with a random nonce of 24 bytes; the key is derived from a secret of the platform's (HKDF-SHA-256). What
//! a text was sealed for is authenticated with it: opened for anything else, it is nothing.

use crate::jwt::token::{decode, encode};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use sha2::Sha256;
use std::fmt;

/// Keys that seal and open: the first one seals, all of them open.
pub struct Keyring(Vec<XChaCha20Poly1305>);

/// How long a secret must be, in bytes.
pub const SHORTEST_SECRET: usize = 32;

/// The bytes of a nonce.
pub const NONCE: usize = 24;

impl Keyring {
    /// Derives a key from each secret. Why one is none is told without it.
    pub fn new(secrets: &[String]) -> Result<Self, String> {
        let key = |secret: &String| {
            if secret.len() < SHORTEST_SECRET {
                return Err(format!(
                    "a session key must have at least {SHORTEST_SECRET} bytes; make one with `openssl rand -base64 32`"
                ));
            }
            let mut key = [0; 32];
            let derived = Hkdf::<Sha256>::new(None, secret.as_bytes()).expand(PURPOSE, &mut key);
            derived.map_err(|_| "no key can be derived from the secret".to_owned())?;
            Ok(XChaCha20Poly1305::new(&key.into()))
        };
        let keys = secrets.iter().map(key).collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() { Err("there is no session key".to_owned()) } else { Ok(Self(keys)) }
    }

    /// Seals a text for what `bound` says. The nonce must be random.
    pub fn seal(&self, text: &[u8], bound: &Bound, nonce: [u8; NONCE]) -> Option<String> {
        let payload = Payload { msg: text, aad: &bound.0 };
        let mut sealed = nonce.to_vec();
        sealed.extend(self.0.first()?.encrypt(&XNonce::from(nonce), payload).ok()?);
        Some(encode(sealed))
    }

    /// The text, where it was sealed with one of the keys and for the same.
    pub fn open(&self, sealed: &str, bound: &Bound) -> Option<Vec<u8>> {
        let bytes = decode(sealed)?;
        let (nonce, text) = bytes.split_first_chunk::<NONCE>()?;
        let payload = || Payload { msg: text, aad: &bound.0 };
        self.0.iter().find_map(|key| key.decrypt(&XNonce::from(*nonce), payload()).ok())
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring({})", self.0.len())
    }
}

const PURPOSE: &[u8] = b"postern login v1";

/// What a text is sealed for: the parts cannot be told apart in another way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound(Vec<u8>);

impl Bound {
    /// Binds to all of these, in this order.
    pub fn to(parts: &[&str]) -> Self {
        let mut bytes = Vec::new();
        for part in parts {
            bytes.extend((part.len() as u64).to_le_bytes());
            bytes.extend(part.as_bytes());
        }
        Self(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyring(secrets: &[&str]) -> Keyring {
        let secrets: Vec<String> = secrets.iter().map(|secret| secret.repeat(32)).collect();
        Keyring::new(&secrets).expect("long enough")
    }

    #[test]
    fn what_was_sealed_opens_for_the_same_and_for_nothing_else() {
        let keys = keyring(&["a"]);
        let bound = Bound::to(&["session", "ab", "c"]);
        let sealed = keys.seal(b"text", &bound, [7; NONCE]).expect("it is sealed");
        assert!(!sealed.contains("text"));
        assert_eq!(keys.open(&sealed, &bound).as_deref(), Some(&b"text"[..]));
        for other in [&["session", "a", "bc"][..], &["session", "ab"], &["state", "ab", "c"], &[]] {
            assert_eq!(keys.open(&sealed, &Bound::to(other)), None, "{other:?}");
        }
        let bytes = decode(&sealed).expect("Base64");
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(keys.open(&encode(bytes), &bound), None, "bit {bit}");
        }
        for wrong in ["", "a", "=", &sealed[1..], &sealed[..sealed.len() - 4], &encode([0; NONCE]), &encode([0; 400])] {
            assert_eq!(keys.open(wrong, &bound), None, "{wrong}");
        }
    }

    #[test]
    fn keys_take_turns() {
        let bound = Bound::to(&["x"]);
        let old = keyring(&["a"]).seal(b"text", &bound, [1; NONCE]).expect("it is sealed");
        let both = keyring(&["b", "a"]);
        assert!(both.open(&old, &bound).is_some());
        let new = both.seal(b"text", &bound, [2; NONCE]).expect("it is sealed");
        assert!(keyring(&["b"]).open(&new, &bound).is_some());
        assert!(keyring(&["a"]).open(&new, &bound).is_none() && keyring(&["b"]).open(&old, &bound).is_none());
    }

    #[test]
    fn short_secrets_are_refused_without_being_repeated() {
        let wrong = Keyring::new(&["hunter2".to_owned()]).err().unwrap_or_default();
        assert!(wrong.contains("32 bytes") && !wrong.contains("hunter2"), "{wrong}");
        assert!(Keyring::new(&[]).is_err());
        assert_eq!(format!("{:?}", keyring(&["a"])), "Keyring(1)");
    }
}
