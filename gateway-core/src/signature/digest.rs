//! Digests of bodies: `Content-Digest` (RFC 9530), and the older `Digest` (RFC 3230) as clients of the `hmac` scheme send it.

use super::Refusal;
use crate::http::{Headers, list};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sfv::{Dictionary, ListEntry, Parser};
use sha2::{Digest, Sha256, Sha512};

/// Whether `Content-Digest` has the digest of this body. Every digest that is known here must be right, and there must be
/// one: SHA-256 or SHA-512. Others prove nothing (RFC 9530 §5) and are not looked at.
pub fn check(headers: &Headers, body: &[u8]) -> Result<(), Refusal> {
    let lines: Vec<_> = headers.all("content-digest").collect();
    let digests: Dictionary = Parser::new(&lines.join(&b", "[..])).parse().map_err(|_| Refusal::NoDigest)?;
    let mut known = 0;
    for (name, digest) in &digests {
        let right = match name.as_str() {
            "sha-256" => Sha256::digest(body).to_vec(),
            "sha-512" => Sha512::digest(body).to_vec(),
            _ => continue,
        };
        let said = match digest {
            ListEntry::Item(item) => item.bare_item.as_byte_sequence(),
            ListEntry::InnerList(_) => None,
        };
        if said.ok_or(Refusal::NoDigest)? != right {
            return Err(Refusal::Body);
        }
        known += 1;
    }
    if known > 0 { Ok(()) } else { Err(Refusal::NoDigest) }
}

/// Whether `Digest` has the SHA-256 of this body: `SHA-256=…`, in Base64.
pub fn check_older(headers: &Headers, body: &[u8]) -> Result<(), Refusal> {
    let mut known = list(headers, "digest").filter_map(|digest| {
        digest.split_once('=').filter(|(name, _)| name.eq_ignore_ascii_case("sha-256")).map(|(_, digest)| digest)
    });
    let (Some(said), None) = (known.next(), known.next()) else { return Err(Refusal::NoDigest) };
    if said == STANDARD.encode(Sha256::digest(body)) { Ok(()) } else { Err(Refusal::Body) }
}
