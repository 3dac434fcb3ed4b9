//! Proof that the caller has the key which a token is bound to: DPoP (RFC 9449).

use super::algorithm::{Algorithm, Family};
use super::key::{self, Key};
use super::refusal::Refusal;
use super::rules::{text, time};
use super::token::{self, Purpose, Token};
use crate::path;
use crate::platform::Timestamp;
use sha2::{Digest, Sha256};

/// The request that a proof must be for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// `htm`
    pub method: &'a str,
    /// `http` or `https`, as the client used it.
    pub scheme: &'a str,
    /// Host and port, as the client wrote them.
    pub authority: &'a str,
    /// The normalised path.
    pub path: &'a str,
    /// The access token that comes with the proof.
    pub token: &'a str,
}

/// What a right proof shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The thumbprint of the caller's key (RFC 7638), which the token's `cnf.jkt` must be.
    pub thumbprint: String,
    /// Identifies the proof, for whoever remembers what has been used: the key's thumbprint and its `jti`.
    pub identifier: String,
    /// The moment from which on the proof is too old anyway.
    pub until: Timestamp,
}

/// How old a proof may be, and how far the clocks may differ, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// How old it may be.
    pub age: u64,
    /// How far in the future it may be.
    pub leeway: u64,
}

/// Checks a proof, in the order of RFC 9449 §4.3. Whether it has been used before is for the caller to know.
pub fn check(proof: &str, asked: Asked<'_>, window: Window, now: Timestamp) -> Result<Shown, Refusal> {
    let wrong = Err(Refusal::Proof);
    let Ok(token) = Token::read(proof, Purpose::Proof) else { return wrong };
    let (Some("dpop+jwt"), Some(jwk)) = (token.header.kind.as_deref(), &token.header.key) else { return wrong };
    let algorithm: Algorithm = token.header.algorithm;
    if algorithm.family() == Family::Secret {
        return wrong;
    }
    let (Ok(key), Some(thumbprint)) = (Key::from_jwk(jwk, &[algorithm]), key::thumbprint(jwk)) else { return wrong };
    if !key.verify(algorithm, token.signed(), token.signature()) {
        return wrong;
    }
    let claims = token.claims().map_err(|_| Refusal::Proof)?;
    let claim = |name: &str| text(&claims, name).ok().flatten();
    let is_for_this = claim("htm") == Some(asked.method)
        && claim("htu").is_some_and(|url| is_same(url, asked))
        && claim("ath") == Some(token::encode(Sha256::digest(asked.token)).as_str());
    let (Some(identifier), Ok(Some(issued))) = (claim("jti"), time(&claims, "iat")) else { return wrong };
    let until = issued.saturating_add(window.age).saturating_add(window.leeway);
    let in_time = now < until && issued <= now.saturating_add(window.leeway);
    if !is_for_this || !in_time || identifier.is_empty() || identifier.len() > LONGEST_IDENTIFIER {
        return wrong;
    }
    let identifier = format!("{thumbprint} {identifier}");
    Ok(Shown { thumbprint, identifier, until })
}

const LONGEST_IDENTIFIER: usize = 256;

/// Whether `htu` is the request's address without query and fragment, after the normalisation of RFC 3986 §6.2.2 and
/// §6.2.3, which RFC 9449 §4.3 recommends.
fn is_same(url: &str, asked: Asked<'_>) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else { return false };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, written) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let Ok(path) = path::normalise(if written.is_empty() { "/" } else { written }) else { return false };
    scheme.eq_ignore_ascii_case(asked.scheme)
        && without_default_port(authority, asked.scheme)
            .eq_ignore_ascii_case(without_default_port(asked.authority, asked.scheme))
        && path == asked.path
}

fn without_default_port<'a>(authority: &'a str, scheme: &str) -> &'a str {
    let port = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
    authority.strip_suffix(port).unwrap_or(authority)
}
