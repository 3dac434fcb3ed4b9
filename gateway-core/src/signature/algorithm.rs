//! The names of signatures (RFC 9421 §6.2.2), and which keys they need.

use crate::jwt::{self, Family};
use serde::{Deserialize, Serialize};
use std::fmt;

/// How a request is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// HMAC with SHA-256.
    HmacSha256,
    /// Ed25519.
    Ed25519,
    /// ECDSA on P-256 with SHA-256.
    EcdsaP256Sha256,
    /// ECDSA on P-384 with SHA-384.
    EcdsaP384Sha384,
    /// RSA PSS with SHA-512.
    RsaPssSha512,
    /// RSA PKCS #1 v1.5 with SHA-256.
    #[serde(rename = "rsa-v1_5-sha256")]
    RsaV15Sha256,
}

impl Algorithm {
    /// Every algorithm. Of those for one kind of key, the first is the one that is meant where nobody says which.
    pub const ALL: [Algorithm; 6] = [
        Algorithm::HmacSha256,
        Algorithm::Ed25519,
        Algorithm::EcdsaP256Sha256,
        Algorithm::EcdsaP384Sha384,
        Algorithm::RsaPssSha512,
        Algorithm::RsaV15Sha256,
    ];

    /// The algorithm of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::HmacSha256 => "hmac-sha256",
            Algorithm::Ed25519 => "ed25519",
            Algorithm::EcdsaP256Sha256 => "ecdsa-p256-sha256",
            Algorithm::EcdsaP384Sha384 => "ecdsa-p384-sha384",
            Algorithm::RsaPssSha512 => "rsa-pss-sha512",
            Algorithm::RsaV15Sha256 => "rsa-v1_5-sha256",
        }
    }

    /// The same arithmetic under the name that tokens use for it. The forms of keys and signatures are the same too:
    /// RFC 9421 §3.3.4 writes ECDSA as RFC 7518 §3.4 does, and §3.3.1 has a salt as long as the hash.
    pub fn of_tokens(self) -> jwt::Algorithm {
        match self {
            Algorithm::HmacSha256 => jwt::Algorithm::Hs256,
            Algorithm::Ed25519 => jwt::Algorithm::EdDsa,
            Algorithm::EcdsaP256Sha256 => jwt::Algorithm::Es256,
            Algorithm::EcdsaP384Sha384 => jwt::Algorithm::Es384,
            Algorithm::RsaPssSha512 => jwt::Algorithm::Ps512,
            Algorithm::RsaV15Sha256 => jwt::Algorithm::Rs256,
        }
    }

    /// The kind of key that it needs.
    pub fn family(self) -> Family {
        self.of_tokens().family()
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_exact() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::named(algorithm.name()), Some(algorithm));
            assert_eq!(serde_json::to_string(&algorithm).expect("a name"), format!("\"{algorithm}\""));
        }
        for wrong in ["", "none", "hs256", "HMAC-SHA256", "hmac-sha1", "rsa-v1_5-sha512"] {
            assert_eq!(Algorithm::named(wrong), None, "{wrong}");
        }
    }
}
