//! One key: what it is made of, and what it may be used for. A key verifies with its own algorithms or not at all, so
//! that no token can choose a weaker one (RFC 8725 §3.1, §3.2).

use super::algorithm::{Algorithm, Family};
use super::der::{self, BadPem, PublicKey};
use super::material::Material;
use super::token;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::fmt;

/// A key that verifies. Shown, it says what it is for, never what it is.
pub struct Key {
    /// `kid`
    pub id: Option<String>,
    /// What it is for.
    pub algorithms: Vec<Algorithm>,
    /// Tells keys apart: the start of a hash of what it is made of.
    pub mark: u64,
    material: Material,
}

/// Why a key cannot be used, in words for the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadKey {
    /// A member is missing, is of the wrong type, or is not canonical Base64url.
    Malformed(&'static str),
    /// It is a private key: the gateway has no use for it, and should not know it.
    Private,
    /// It is for something else than verifying.
    Use,
    /// Its algorithm or kind is none that is known here, or the two do not fit.
    Unsupported,
    /// It is too short, too long, or known to be weak.
    Weak(&'static str),
    /// The gateway was built without what it needs.
    Feature(&'static str),
    /// It stands in PEM and is no public key.
    Pem(BadPem),
}

impl Key {
    /// Reads a JWK (RFC 7517). `allowed` are the algorithms that the configuration takes; none: the key's own, or what
    /// everybody uses with keys of its kind.
    pub fn from_jwk(jwk: &Map<String, Value>, allowed: &[Algorithm]) -> Result<Self, BadKey> {
        if ["d", "p", "q", "dp", "dq", "qi", "oth", "priv"].iter().any(|part| jwk.contains_key(*part)) {
            return Err(BadKey::Private);
        }
        if text(jwk, "use")?.is_some_and(|purpose| purpose != "sig") || !may_verify(jwk.get("key_ops"))? {
            return Err(BadKey::Use);
        }
        let bytes = |name: &'static str| {
            let text = text(jwk, name)?.ok_or(BadKey::Malformed(name))?;
            token::decode(text).ok_or(BadKey::Malformed(name))
        };
        let number = |name: &'static str| match bytes(name)? {
            // RFC 7518 §2, Base64urlUInt: as few octets as there can be.
            number if number.first().is_some_and(|first| *first != 0) => Ok(number),
            _ => Err(BadKey::Malformed(name)),
        };
        let point = |length: usize| {
            let (x, y) = (bytes("x")?, bytes("y")?);
            if x.len() != length || y.len() != length {
                Err(BadKey::Malformed("x, y"))
            } else {
                Ok([&[4], x.as_slice(), &y].concat())
            }
        };
        let parts = match (text(jwk, "kty")?, text(jwk, "crv")?) {
            (Some("oct"), None) => Parts::Secret(bytes("k")?),
            (Some("RSA"), None) => Parts::Public(PublicKey::Rsa(number("n")?, number("e")?)),
            (Some("EC"), Some("P-256")) => Parts::Public(PublicKey::P256(point(32)?)),
            (Some("EC"), Some("P-384")) => Parts::Public(PublicKey::P384(point(48)?)),
            (Some("OKP"), Some("Ed25519")) => Parts::Public(PublicKey::Ed25519(bytes("x")?)),
            (Some(_), _) => return Err(BadKey::Unsupported),
            (None, _) => return Err(BadKey::Malformed("kty")),
        };
        let own = match text(jwk, "alg")? {
            Some(name) => Some(Algorithm::named(name).ok_or(BadKey::Unsupported)?),
            None => None,
        };
        let id = text(jwk, "kid")?.map(str::to_owned);
        Self::new(id, parts, own, allowed)
    }

    /// Reads a public key in PEM.
    pub fn from_pem(pem: &str, id: Option<String>, allowed: &[Algorithm]) -> Result<Self, BadKey> {
        let parts = Parts::Public(der::public_key(pem).map_err(BadKey::Pem)?);
        Self::new(id, parts, None, allowed)
    }

    /// Takes a shared secret, byte by byte as it is.
    pub fn from_secret(secret: &[u8], id: Option<String>, allowed: &[Algorithm]) -> Result<Self, BadKey> {
        Self::new(id, Parts::Secret(secret.to_vec()), None, allowed)
    }

    fn new(id: Option<String>, parts: Parts, own: Option<Algorithm>, allowed: &[Algorithm]) -> Result<Self, BadKey> {
        let family = parts.family();
        let algorithms: Vec<Algorithm> = match own {
            Some(own) if own.family() != family => return Err(BadKey::Unsupported),
            Some(own) if allowed.is_empty() || allowed.contains(&own) => vec![own],
            Some(_) => return Err(BadKey::Unsupported),
            None if allowed.is_empty() => vec![family.usual()],
            None => allowed.iter().copied().filter(|algorithm| algorithm.family() == family).collect(),
        };
        let Some(longest) = algorithms.iter().map(|algorithm| algorithm.hash_length()).max() else {
            return Err(BadKey::Unsupported);
        };
        let mark = parts.mark();
        let material = match parts {
            Parts::Secret(secret) if secret.len() < longest => {
                return Err(BadKey::Weak("a secret has at least as many bytes as the hash (RFC 7518 §3.2)"));
            }
            Parts::Secret(secret) => Material::secret(&secret),
            Parts::Public(key) => Material::public(key)?,
        };
        Ok(Self { id, algorithms, mark, material })
    }

    /// Whether everybody who can verify with it can also sign.
    pub fn is_secret(&self) -> bool {
        self.algorithms.iter().any(|algorithm| algorithm.family() == Family::Secret)
    }

    /// Whether the signature is right. A key that is not for this algorithm says no.
    pub fn verify(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
        self.algorithms.contains(&algorithm) && self.material.verify(algorithm, signed, signature)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &self.id).field("algorithms", &self.algorithms).finish_non_exhaustive()
    }
}

impl fmt::Display for BadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadKey::Malformed(member) => write!(f, "`{member}` is missing or malformed"),
            BadKey::Private => f.write_str("it is a private key; give the public half of it only"),
            BadKey::Use => f.write_str("its `use` or `key_ops` is not to verify signatures"),
            BadKey::Unsupported => f.write_str("its kind or algorithm is not taken here"),
            BadKey::Weak(why) => f.write_str(why),
            BadKey::Feature(name) => write!(f, "this gateway was built without the feature {name}"),
            BadKey::Pem(BadPem::Malformed) => f.write_str("it is no well-formed PEM"),
            BadKey::Pem(BadPem::Private) => f.write_str("it is a private key; give the public half of it only"),
            BadKey::Pem(BadPem::Other) => f.write_str("it is PEM, but no public key (`-----BEGIN PUBLIC KEY-----`)"),
            BadKey::Pem(BadPem::Unknown) => f.write_str("it is a public key of a kind that is not taken here"),
        }
    }
}

/// The thumbprint of a public key in a JWK (RFC 7638), in Base64url.
pub fn thumbprint(jwk: &Map<String, Value>) -> Option<String> {
    let members: &[&str] = match jwk.get("kty")?.as_str()? {
        "RSA" => &["e", "kty", "n"],
        "EC" => &["crv", "kty", "x", "y"],
        "OKP" => &["crv", "kty", "x"],
        _ => return None,
    };
    let members = members.iter().map(|name| Some(format!("\"{name}\":{}", Value::from(jwk.get(*name)?.as_str()?))));
    let members: Option<Vec<_>> = members.collect();
    Some(token::encode(Sha256::digest(format!("{{{}}}", members?.join(",")))))
}

enum Parts {
    Secret(Vec<u8>),
    Public(PublicKey),
}

impl Parts {
    fn family(&self) -> Family {
        match self {
            Parts::Secret(_) => Family::Secret,
            Parts::Public(PublicKey::Rsa(..)) => Family::Rsa,
            Parts::Public(PublicKey::P256(_)) => Family::P256,
            Parts::Public(PublicKey::P384(_)) => Family::P384,
            Parts::Public(PublicKey::Ed25519(_)) => Family::Ed25519,
        }
    }

    fn mark(&self) -> u64 {
        let digest = match self {
            Parts::Secret(bytes) => Sha256::digest(bytes),
            Parts::Public(PublicKey::Rsa(modulus, exponent)) => Sha256::digest([modulus.as_slice(), exponent].concat()),
            Parts::Public(PublicKey::P256(point) | PublicKey::P384(point) | PublicKey::Ed25519(point)) => {
                Sha256::digest(point)
            }
        };
        digest.first_chunk::<8>().map_or(0, |start| u64::from_le_bytes(*start))
    }
}

fn text<'a>(jwk: &'a Map<String, Value>, name: &'static str) -> Result<Option<&'a str>, BadKey> {
    match jwk.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(BadKey::Malformed(name)),
    }
}

fn may_verify(operations: Option<&Value>) -> Result<bool, BadKey> {
    match operations {
        None => Ok(true),
        Some(Value::Array(names)) => Ok(names.iter().any(|name| name == "verify")),
        Some(_) => Err(BadKey::Malformed("key_ops")),
    }
}
