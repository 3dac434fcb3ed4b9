//! The keys of one issuer (RFC 7517 §5), and which of them a token means.

use super::algorithm::Algorithm;
use super::json;
use super::key::{BadKey, Key};
use super::refusal::Refusal;
use super::token::{Header, Token};
use serde_json::Value;

/// Keys that verify for one issuer: shared secrets or public keys, never both.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: Vec<Key>,
}

/// The most keys that are read of a set. Issuers have two or three.
pub const MOST_KEYS: usize = 64;

/// Why a set of keys is not taken, in words for the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadSet {
    /// It is no object with `keys`, an array of objects, that can be read in one way only.
    Malformed,
    /// It has more keys than are read.
    TooMany,
    /// Shared secrets stand beside public keys, so that a public one might be taken for a secret.
    Mixed,
    /// A shared secret came from where anybody can read it.
    Published,
    /// No key in it can be used; why the last one cannot.
    Empty(Option<BadKey>),
}

impl KeySet {
    /// Takes keys together.
    pub fn new(keys: Vec<Key>) -> Result<Self, BadSet> {
        let secrets = keys.iter().filter(|key| key.is_secret()).count();
        match secrets {
            _ if keys.is_empty() => Err(BadSet::Empty(None)),
            secrets if secrets > 0 && secrets < keys.len() => Err(BadSet::Mixed),
            _ => Ok(Self { keys }),
        }
    }

    /// Reads a JWK Set as an issuer publishes it. Keys that are for something else, or of kinds not known here, are
    /// left out, as RFC 7517 §5 asks.
    pub fn published(bytes: &[u8], allowed: &[Algorithm]) -> Result<Self, BadSet> {
        let set = Self::read(bytes, allowed)?;
        if set.keys.iter().any(Key::is_secret) { Err(BadSet::Published) } else { Ok(set) }
    }

    /// Reads a JWK Set.
    pub fn read(bytes: &[u8], allowed: &[Algorithm]) -> Result<Self, BadSet> {
        let mut set = json::object(bytes).ok_or(BadSet::Malformed)?;
        let Some(Value::Array(members)) = set.remove("keys") else { return Err(BadSet::Malformed) };
        if members.len() > MOST_KEYS {
            return Err(BadSet::TooMany);
        }
        let mut keys = Vec::new();
        let mut last = None;
        for member in &members {
            let Value::Object(jwk) = member else { return Err(BadSet::Malformed) };
            // RFC 7517 §4.5: different keys have different identifiers. Where two share one, nobody can say which is meant,
            // even if only one of them can be read.
            let name = |jwk: &Value| ["kid", "kty", "use"].map(|member| jwk.get(member).cloned());
            if jwk.contains_key("kid") && members.iter().filter(|other| name(other) == name(member)).count() > 1 {
                continue;
            }
            match Key::from_jwk(jwk, allowed) {
                Ok(key) => keys.push(key),
                Err(bad) => last = Some(bad),
            }
        }
        if keys.is_empty() { Err(BadSet::Empty(last)) } else { Self::new(keys) }
    }

    /// Verifies a token with the one key that it means. Gives the key's mark.
    pub fn verify(&self, token: &Token<'_>) -> Result<u64, Refusal> {
        let key = self.find(&token.header)?;
        let right = key.verify(token.header.algorithm, token.signed(), token.signature());
        if right { Ok(key.mark) } else { Err(Refusal::Signature) }
    }

    /// Whether there is a key that a token with this header could mean.
    pub fn knows(&self, header: &Header) -> bool {
        !matches!(self.find(header), Err(Refusal::UnknownKey))
    }

    /// Whether the key of this mark is still there.
    pub fn holds(&self, mark: u64) -> bool {
        self.keys.iter().any(|key| key.mark == mark)
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The key that is meant: by its `kid`; without one, the only key that is for the algorithm. A key without a `kid`
    /// is meant by every token of its algorithm, as long as no other one could be.
    fn find(&self, header: &Header) -> Result<&Key, Refusal> {
        let fits = |key: &&Key| key.algorithms.contains(&header.algorithm);
        let named = |key: &&Key| match (&header.key_id, &key.id) {
            (Some(wanted), Some(id)) => wanted == id,
            (Some(_) | None, None) | (None, Some(_)) => true,
        };
        let mut exact = self.keys.iter().filter(|key| header.key_id.is_some() && key.id == header.key_id).peekable();
        if exact.peek().is_some() {
            // A `kid` that is there with another algorithm is a key used for what it is not for.
            let mut fitting = exact.filter(fits);
            return match (fitting.next(), fitting.next()) {
                (Some(key), None) => Ok(key),
                (None, _) => Err(Refusal::Algorithm),
                (Some(_), Some(_)) => Err(Refusal::UnknownKey),
            };
        }
        let mut fitting = self.keys.iter().filter(named).filter(fits);
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(key),
            (None, _) if self.keys.iter().any(|key| fits(&key)) => Err(Refusal::UnknownKey),
            (None, _) if header.key_id.is_some() => Err(Refusal::UnknownKey),
            (None, _) => Err(Refusal::Algorithm),
            (Some(_), Some(_)) => Err(Refusal::UnknownKey),
        }
    }
}
