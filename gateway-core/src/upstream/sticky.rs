//! Keeps a client with its target by a cookie that only the gateway can write.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::http::Scheme;
use crate::template::Template;

/// How clients are kept with their targets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StickyRules {
    /// The cookie's name.
    pub cookie: String,
    /// What signs it: a reference to a value of the platform's.
    pub secret: Template,
    /// How long it holds, in seconds; `None`: until the browser is closed.
    pub max_age: Option<u64>,
}

/// What writes and reads the cookie's value: `identity.signature`, both in base64url.
#[derive(Clone)]
pub struct Signer(Hmac<Sha256>);

/// A secret shorter than this can be guessed.
pub const SHORTEST_SECRET: usize = 16;

impl Signer {
    /// A signer with this secret, whose values are good for this upstream only.
    pub fn new(secret: &str, upstream: &str) -> Result<Self, String> {
        if secret.len() < SHORTEST_SECRET {
            return Err(format!(
                "the secret that signs the cookies of the upstream `{upstream}` is shorter than {SHORTEST_SECRET} bytes; make \
                 one with `openssl rand -base64 32`"
            ));
        }
        let mut mac = Hmac::new_from_slice(secret.as_bytes()).map_err(|error| error.to_string())?;
        mac.update(b"postern sticky\0");
        mac.update(upstream.as_bytes());
        mac.update(b"\0");
        Ok(Self(mac))
    }

    /// The cookie's value for a target.
    pub fn sign(&self, identity: u64) -> String {
        let identity = identity.to_be_bytes();
        let mut mac = self.0.clone();
        mac.update(&identity);
        let signature = mac.finalize().into_bytes();
        format!("{}.{}", URL_SAFE_NO_PAD.encode(identity), URL_SAFE_NO_PAD.encode(&signature[..SIGNED]))
    }

    /// The target that a cookie's value names, if we have written it.
    pub fn read(&self, value: &str) -> Option<u64> {
        let (identity, signature) = value.split_once('.')?;
        let identity: [u8; 8] = URL_SAFE_NO_PAD.decode(identity).ok()?.try_into().ok()?;
        let mut mac = self.0.clone();
        mac.update(&identity);
        let signature = URL_SAFE_NO_PAD.decode(signature).ok().filter(|bytes| bytes.len() == SIGNED)?;
        mac.verify_truncated_left(&signature).ok()?;
        Some(u64::from_be_bytes(identity))
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer")
    }
}

/// So many bytes of the signature are sent.
const SIGNED: usize = 16;

impl StickyRules {
    /// The `Set-Cookie` for a value (RFC 6265 §4.1). The cookie says which target, so scripts have no business with it.
    pub fn set_cookie(&self, value: &str, scheme: Scheme) -> String {
        let secure = match scheme {
            Scheme::Https => "; Secure",
            Scheme::Http => "",
        };
        let age = self.max_age.map(|seconds| format!("; Max-Age={seconds}")).unwrap_or_default();
        format!("{}={value}; Path=/{age}{secure}; HttpOnly; SameSite=Lax", self.cookie)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn signer(secret: &str, upstream: &str) -> Signer {
        Signer::new(secret, upstream).expect("long enough")
    }

    #[test]
    fn a_cookie_is_good_where_it_was_written_and_nowhere_else() {
        let ours = signer("0123456789abcdef", "a");
        let value = ours.sign(42);
        assert_eq!(ours.read(&value), Some(42));
        assert_eq!(signer("0123456789abcdef", "b").read(&value), None);
        assert_eq!(signer("fedcba9876543210", "a").read(&value), None);
        assert!(Signer::new("short", "a").is_err());
    }

    #[test]
    fn the_cookie_is_for_the_gateway_only() {
        let rules = StickyRules { cookie: "at".into(), secret: Template::default(), max_age: Some(60) };
        assert_eq!(
            rules.set_cookie("x.y", Scheme::Https),
            "at=x.y; Path=/; Max-Age=60; Secure; HttpOnly; SameSite=Lax"
        );
        let rules = StickyRules { max_age: None, ..rules };
        assert_eq!(rules.set_cookie("x.y", Scheme::Http), "at=x.y; Path=/; HttpOnly; SameSite=Lax");
    }

    proptest! {
        #[test]
        fn nothing_that_we_have_not_written_is_read(forged in "[A-Za-z0-9_.=-]{0,40}", change in 0_usize..33, identity: u64) {
            let signer = signer("0123456789abcdef", "a");
            let value = signer.sign(identity);
            prop_assert_eq!(signer.read(&value), Some(identity));
            prop_assert!(forged == value || signer.read(&forged).is_none());
            let mut changed = value.clone().into_bytes();
            let at = change % changed.len();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("ASCII");
            prop_assert_eq!(signer.read(&changed), None);
        }
    }
}
