//! What a client remembers from one step to the next: the cookies that it was given, and what the scenario has it keep.

use crate::client::Seen;
use crate::scenario::Scenario;
use ed25519_dalek::{Signer, SigningKey};
use gateway_core::jwt::token::encode;
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// What is remembered.
#[derive(Debug, Default)]
pub struct Memory {
    cookies: Vec<(String, String)>,
    kept: BTreeMap<String, String>,
}

impl Memory {
    /// The cookies, as a browser sends them. None of them has a path or a domain here.
    pub fn cookies(&self) -> Option<String> {
        let pairs: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    /// Takes over the cookies of a response, and what of it is to be kept: a name, a field, and a regular expression whose
    /// first group is what is meant.
    pub fn learn(&mut self, seen: &Seen, keep: &BTreeMap<String, String>) -> Result<(), String> {
        for line in seen.all("set-cookie").map(String::from_utf8_lossy) {
            let (pair, attributes) = line.split_once(';').unwrap_or((&line, ""));
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            self.cookies.retain(|(known, _)| known != name);
            if !attributes.contains("Max-Age=0") {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        for (name, rule) in keep {
            let (field, expression) = rule.split_once(": ").ok_or(format!("`{rule}` is not `field: expression`"))?;
            let expression = regex_lite::Regex::new(expression).map_err(|error| error.to_string())?;
            let found = seen.all(field).find_map(|line| {
                let line = String::from_utf8_lossy(line).into_owned();
                expression.captures(&line).and_then(|groups| Some(groups.get(1)?.as_str().to_owned()))
            });
            self.kept.insert(name.clone(), found.ok_or(format!("nothing to keep as `{name}`: no {rule}"))?);
        }
        Ok(())
    }

    /// Fills in `<<name>>` for what was kept, `<<cookies>>`, and `<<jwt {…}>>` for a token with these claims that the key of
    /// [`jwks`] has signed; `<<jwt:other {…}>>` is signed with another key, `<<jwt:typ=x {…}>>` is of a type, `<<jwt:kid=x {…}>>` names
    /// another key.
    pub fn fill(&self, text: &str) -> String {
        let mut text = text.replace("<<cookies>>", &self.cookies().unwrap_or_default());
        for (name, value) in &self.kept {
            text = text.replace(&format!("<<{name}>>"), value);
        }
        while let Some(start) = text.find("<<jwt")
            && let Some(length) = text[start..].find("}>>")
            && let Some(claims) = text[start..start + length].find('{')
        {
            let (kind, claims) = (&text[start + 5..start + claims], &text[start + claims..=start + length]);
            let token = token(kind.trim().trim_start_matches(':'), claims);
            text.replace_range(start..start + length + 3, &token);
        }
        text
    }
}

/// Whether a scenario's steps depend on what was before.
pub fn is_needed(scenario: &Scenario) -> bool {
    scenario.browser || scenario.steps.iter().any(|step| !step.keep.is_empty())
}

fn token(kind: &str, claims: &str) -> String {
    let mut header = serde_json::json!({ "alg": "EdDSA", "kid": "1" });
    if let Some(kind) = kind.strip_prefix("typ=") {
        header["typ"] = kind.into();
    }
    if let Some(kid) = kind.strip_prefix("kid=") {
        header["kid"] = kid.into();
    }
    let signed = format!("{}.{}", encode(header.to_string()), encode(claims));
    let signature = key(kind == "other").sign(signed.as_bytes());
    format!("{signed}.{}", encode(signature.to_bytes()))
}

/// The public key of the tokens, as a provider publishes it: `<<jwks>>`.
pub fn jwks() -> &'static str {
    static SET: OnceLock<String> = OnceLock::new();
    SET.get_or_init(|| {
        let x = encode(key(false).verifying_key().as_bytes());
        format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","use":"sig","kid":"1","x":"{x}"}}]}}"#)
    })
}

/// Two keys that sign nothing else.
fn key(other: bool) -> SigningKey {
    SigningKey::from_bytes(&[if other { 8 } else { 7 }; 32])
}
