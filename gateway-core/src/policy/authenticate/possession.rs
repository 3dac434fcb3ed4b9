//! Whether the caller may use a token that is bound to a key: by a proof with every request (DPoP, RFC 9449), or by the
//! client's certificate (RFC 8705).

use super::bearer::{Scheme, Sent};
use super::issuer::Tokens;
use crate::client::Client;
use crate::http::Headers;
use crate::jwt::proof::{self, Asked, Window};
use crate::jwt::{Refusal, token};
use crate::platform::Timestamp;
use crate::request::Line;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What is asked of tokens. A token that says it is bound is never taken without its proof, whatever stands here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Possession {
    /// Whether every token must be bound to a key that the caller proves to have.
    #[serde(default)]
    pub dpop: bool,
    /// How old a proof may be, in milliseconds.
    pub proof_age: u64,
    /// Whether every token must be bound to the client's certificate.
    #[serde(default)]
    pub certificate: bool,
}

impl Default for Possession {
    fn default() -> Self {
        Self { dpop: false, proof_age: 60_000, certificate: false }
    }
}

/// How far the clocks of clients may differ, in milliseconds.
const LEEWAY: u64 = 5_000;

impl Possession {
    /// Whether a token with these claims may be used like this.
    pub fn check(
        &self,
        claims: &Map<String, Value>,
        sent: &Sent,
        request: (&Line, &Headers, &Client),
        tokens: &Tokens,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let (mut by_key, mut by_certificate) = (false, false);
        match claims.get("cnf") {
            None => {}
            Some(Value::Object(confirmations)) => {
                for (kind, value) in confirmations {
                    let Some(value) = value.as_str() else { return Err(Refusal::Claims) };
                    match kind.as_str() {
                        "jkt" => {
                            self.shows_key(value, sent, request, tokens, now)?;
                            by_key = true;
                        }
                        "x5t#S256" => {
                            shows_certificate(value, request.2)?;
                            by_certificate = true;
                        }
                        // RFC 7800 §3.1: another way to confirm, which nobody here can check.
                        _ => return Err(Refusal::Unbound),
                    }
                }
            }
            Some(_) => return Err(Refusal::Claims),
        }
        // RFC 9449 §7.1: the scheme `DPoP` is for tokens that are bound.
        let unbound = sent.scheme == Scheme::Dpop && !by_key;
        if unbound || (self.dpop && !by_key) || (self.certificate && !by_certificate) {
            return Err(Refusal::Unbound);
        }
        Ok(())
    }

    fn shows_key(
        &self,
        thumbprint: &str,
        sent: &Sent,
        (line, headers, client): (&Line, &Headers, &Client),
        tokens: &Tokens,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        if sent.scheme != Scheme::Dpop {
            return Err(Refusal::Unbound);
        }
        let mut proofs = headers.all("dpop").map(std::str::from_utf8);
        let (Some(Ok(proof)), None) = (proofs.next(), proofs.next()) else { return Err(Refusal::Proof) };
        let asked = Asked {
            method: &line.method,
            scheme: client.scheme.as_str(),
            authority: &line.authority,
            path: &line.path,
            token: &sent.token,
        };
        let window = Window { age: self.proof_age, leeway: LEEWAY };
        let shown = proof::check(proof, asked, window, now)?;
        if shown.thumbprint != thumbprint {
            return Err(Refusal::Unbound);
        }
        let first = tokens.proofs.borrow_mut().is_first(&shown.identifier, shown.until, now);
        if first { Ok(()) } else { Err(Refusal::Proof) }
    }
}

fn shows_certificate(thumbprint: &str, client: &Client) -> Result<(), Refusal> {
    let shown = client.certificate.as_ref().and_then(|certificate| unhex(&certificate.fingerprint));
    if shown.is_some_and(|bytes| token::encode(bytes) == thumbprint) { Ok(()) } else { Err(Refusal::Unbound) }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}
