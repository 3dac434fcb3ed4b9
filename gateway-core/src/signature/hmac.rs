//! The older scheme, as clients of Kong and APISIX send it (after draft-cavage-http-signatures):
//!
//! ```text
//! Authorization: hmac username="alice", algorithm="hmac-sha256", headers="date request-line", signature="…"
//! Authorization: Signature keyId="alice",algorithm="hmac-sha256",headers="@request-target date",signature="…"
//! ```
//!
//! The two sign different texts, of which none can be taken for the other: only the second one ends with a line feed.

use super::key::{Hash, LENIENT};
use super::{Message, Refusal};
use crate::http::credentials;
use crate::platform::Timestamp;
use base64::Engine;
use serde::{Deserialize, Serialize};
use std::time::UNIX_EPOCH;

/// A signature as it was sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Sent {
    /// Whose rules it follows.
    pub dialect: Dialect,
    /// The signer.
    pub id: String,
    /// The hash.
    pub hash: Hash,
    /// What is signed, in the spelling and order in which it is.
    pub headers: Vec<String>,
    /// The signature.
    pub signature: Vec<u8>,
}

/// Whose rules a signature follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `hmac username=…`: Kong's.
    Kong,
    /// `Signature keyId=…`: APISIX's, from 3.11 on.
    Apisix,
}

impl Dialect {
    /// Whose rules a value of `Authorization` follows; `None`: it is another scheme's.
    pub fn of(authorization: &str) -> Option<Self> {
        match credentials(authorization).0 {
            scheme if scheme.eq_ignore_ascii_case("hmac") => Some(Dialect::Kong),
            scheme if scheme.eq_ignore_ascii_case("signature") => Some(Dialect::Apisix),
            _ => None,
        }
    }
}

impl Hash {
    /// The hash of this name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "hmac-sha1" => Some(Hash::Sha1),
            "hmac-sha256" => Some(Hash::Sha256),
            "hmac-sha384" => Some(Hash::Sha384),
            "hmac-sha512" => Some(Hash::Sha512),
            _ => None,
        }
    }
}

/// What a route asks of such signatures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// The hashes that are taken.
    pub hashes: Vec<Hash>,
    /// What must be signed, in lower case, besides the date.
    pub enforced: Vec<String>,
    /// How far the signed date may be from now, in milliseconds.
    pub clock_skew: u64,
}

/// What stands for the request line among what is signed.
pub const TARGETS: [&str; 3] = ["request-line", "@request-target", "(request-target)"];

/// How many fields are signed at most.
const MOST_HEADERS: usize = 64;

impl Sent {
    /// Reads a value of `Authorization`; `None`: it is another scheme's.
    pub fn read(authorization: &str) -> Option<Result<Self, Refusal>> {
        Dialect::of(authorization).map(|dialect| Self::parameters(dialect, authorization))
    }

    fn parameters(dialect: Dialect, authorization: &str) -> Result<Self, Refusal> {
        let (_, mut rest) = credentials(authorization);
        // RFC 9110 §11.4: spaces come behind the scheme, and nothing else.
        if rest.starts_with('\t') {
            return Err(Refusal::Malformed);
        }
        let mut known: [(&str, Option<&str>); 4] = [
            (if dialect == Dialect::Kong { "username" } else { "keyid" }, None),
            ("algorithm", None),
            ("headers", None),
            ("signature", None),
        ];
        loop {
            let (name, behind) = rest.split_once("=\"").ok_or(Refusal::Malformed)?;
            let (value, behind) = behind.split_once('"').ok_or(Refusal::Malformed)?;
            let name = name.trim();
            if !crate::http::is_token(name) || value.contains('\\') {
                return Err(Refusal::Malformed);
            }
            if let Some((_, place)) = known.iter_mut().find(|(known, _)| name.eq_ignore_ascii_case(known))
                && place.replace(value).is_some()
            {
                return Err(Refusal::Malformed);
            }
            rest = behind.trim_start();
            match rest.strip_prefix(',') {
                Some(further) => rest = further,
                None if rest.is_empty() => break,
                None => return Err(Refusal::Malformed),
            }
        }
        let [Some(id), Some(algorithm), Some(headers), Some(signature)] = known.map(|(_, value)| value) else {
            return Err(Refusal::Malformed);
        };
        let headers: Vec<_> = headers.split(' ').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        if headers.is_empty() || headers.len() > MOST_HEADERS {
            return Err(Refusal::Malformed);
        }
        Ok(Self {
            dialect,
            id: id.to_owned(),
            hash: Hash::named(algorithm).ok_or(Refusal::Algorithm)?,
            headers,
            signature: LENIENT.decode(signature).map_err(|_| Refusal::Malformed)?,
        })
    }

    /// Whether it signs what it must, lately. Gives the moment until which it counts.
    pub fn check(&self, rules: &Rules, message: &Message<'_>, now: Timestamp) -> Result<Timestamp, Refusal> {
        if !rules.hashes.contains(&self.hash) {
            return Err(Refusal::Algorithm);
        }
        // Each of them says what is asked for.
        let signed = |name: &str| if TARGETS.contains(&name) { self.signs_target() } else { self.signs(name) };
        if !rules.enforced.iter().all(|name| signed(name)) {
            return Err(Refusal::Uncovered);
        }
        // A date that is not signed is anybody's.
        let Some(name) = ["x-date", "date"].into_iter().find(|name| self.signs(name)) else {
            return Err(Refusal::Uncovered);
        };
        let lines = message.field(name).ok_or(Refusal::Absent)?;
        let [date] = lines.as_slice() else { return Err(Refusal::Malformed) };
        let date = std::str::from_utf8(date).ok().and_then(|date| httpdate::parse_http_date(date).ok());
        let since = date.and_then(|date| date.duration_since(UNIX_EPOCH).ok()).ok_or(Refusal::Malformed)?;
        let date = u64::try_from(since.as_millis()).map_err(|_| Refusal::Malformed)?;
        if date > now.saturating_add(rules.clock_skew) {
            return Err(Refusal::FromTheFuture);
        }
        // Dates are of whole seconds.
        let until = date.saturating_add(rules.clock_skew).saturating_add(1000);
        if until <= now { Err(Refusal::Expired) } else { Ok(until) }
    }

    /// Whether this is among what is signed.
    pub fn signs(&self, name: &str) -> bool {
        self.headers.iter().any(|signed| signed.eq_ignore_ascii_case(name))
    }

    fn signs_target(&self) -> bool {
        // In another spelling it would be a field of the client's own.
        let known: &[&str] = match self.dialect {
            Dialect::Kong => &TARGETS,
            Dialect::Apisix => &["@request-target"],
        };
        self.headers.iter().any(|signed| known.contains(&signed.as_str()))
    }

    /// The texts of which one must have been signed. A request line holds the version of HTTP, which changes from hop to
    /// hop and which not every platform tells; it says nothing of what is asked for, so each is taken.
    pub fn texts(&self, message: &Message<'_>) -> Result<Vec<Vec<u8>>, Refusal> {
        let has_line = self.dialect == Dialect::Kong && self.headers.iter().any(|name| name == "request-line");
        let versions: &[&str] = if has_line { &["1.1", "2.0", "2", "1.0", "3", "3.0"] } else { &["1.1"] };
        versions.iter().map(|version| self.text(message, version)).collect()
    }

    fn text(&self, message: &Message<'_>, version: &str) -> Result<Vec<u8>, Refusal> {
        let mut lines: Vec<Vec<u8>> = Vec::with_capacity(self.headers.len() + 1);
        if self.dialect == Dialect::Apisix {
            lines.push(self.id.clone().into_bytes());
        }
        for name in &self.headers {
            let target = message.target();
            let method = message.method;
            lines.push(match (name.as_str(), self.dialect) {
                ("request-line", Dialect::Kong) => format!("{method} {target} HTTP/{version}").into_bytes(),
                ("@request-target" | "(request-target)", Dialect::Kong) => {
                    format!("{name}: {} {target}", method.to_ascii_lowercase()).into_bytes()
                }
                ("@request-target", Dialect::Apisix) => format!("{method} {target}").into_bytes(),
                (field, Dialect::Kong | Dialect::Apisix) => {
                    let values = message.field(field).ok_or(Refusal::Absent)?;
                    [field.as_bytes(), b": ", &values.join(&b", "[..])].concat()
                }
            });
        }
        if self.dialect == Dialect::Apisix {
            lines.push(Vec::new());
        }
        Ok(lines.join(&b'\n'))
    }
}

/// Shown, it says what it signs, not what it is.
impl std::fmt::Debug for Sent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sent").field("id", &self.id).field("headers", &self.headers).finish_non_exhaustive()
    }
}
