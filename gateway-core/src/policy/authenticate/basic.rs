//! A user name and a password (RFC 7617).

use super::Verdict;
use crate::caller::Caller;
use crate::consumer::{By, Consumers};
use crate::http::Headers;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// Asks for a user name and a password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Basic {
    /// What the password is for, as browsers show it.
    pub realm: String,
    /// Whether the upstream gets to see the credential.
    #[serde(default)]
    pub keep: bool,
}

impl Basic {
    /// Looks for a name and a password. An unknown name takes as long as a wrong password.
    pub fn judge(&self, headers: &Headers, consumers: &Consumers) -> Verdict {
        let Some((username, password)) = credentials(headers) else {
            let present = headers.text("authorization").is_some_and(|value| scheme_is(value, "basic"));
            return if present { Verdict::Wrong("The Authorization field is malformed.") } else { Verdict::Missing };
        };
        let consumer = consumers.find(By::Username(&username));
        let stored = consumer.as_deref().and_then(|consumer| consumer.passwords.iter().find(|p| p.username == username));
        let right = verify(&password, stored.map_or(NOBODY, |stored| stored.hash.as_str()));
        match (consumer, right) {
            (Some(consumer), true) => Verdict::Proven(Caller {
                consumer: Some(consumer),
                credential: Some(username),
                proofs: vec!["basic"],
                ..Caller::default()
            }),
            _ => Verdict::Wrong("The user name or the password is wrong."),
        }
    }

    /// Takes the credential out of what goes on.
    pub fn strip(&self, headers: &mut Headers) {
        if !self.keep && headers.text("authorization").is_some_and(|value| scheme_is(value, "basic")) {
            headers.remove("authorization");
        }
    }

    /// RFC 7617 §2.
    pub fn challenge(&self) -> String {
        format!("Basic realm=\"{}\", charset=\"UTF-8\"", self.realm)
    }
}

/// A hash that no password has, of the usual cost.
const NOBODY: &str = "pbkdf2-sha256$10000$AAAAAAAAAAAAAAAAAAAAAA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// The most iterations that are computed: what one request may cost is bounded, whatever the configuration says.
pub const MOST_ITERATIONS: u32 = 100_000;

/// Whether a password fits `pbkdf2-sha256$iterations$salt$hash`.
pub fn verify(password: &str, stored: &str) -> bool {
    let mut parts = stored.split('$');
    let (Some("pbkdf2-sha256"), Some(iterations), Some(salt), Some(hash), None) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let (Ok(iterations), Ok(salt), Ok(hash)) = (iterations.parse::<u32>(), STANDARD.decode(salt), STANDARD.decode(hash))
    else {
        return false;
    };
    if !(1..=MOST_ITERATIONS).contains(&iterations) || hash.len() != 32 {
        return false;
    }
    let mut computed = [0u8; 32];
    pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), &salt, iterations, &mut computed);
    computed.ct_eq(hash.as_slice()).into()
}

fn scheme_is(value: &str, scheme: &str) -> bool {
    value.split(' ').next().is_some_and(|first| first.eq_ignore_ascii_case(scheme))
}

fn credentials(headers: &Headers) -> Option<(String, String)> {
    let value = headers.text("authorization").filter(|value| scheme_is(value, "basic"))?;
    let decoded = STANDARD.decode(value.split_once(' ')?.1.trim()).ok()?;
    let (username, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some((username.to_owned(), password.to_owned()))
}
