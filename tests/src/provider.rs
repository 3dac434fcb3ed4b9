//! A real OpenID provider (npm `oidc-provider`) as a child process: `tests/e2e/provider.mjs`.

#![allow(clippy::panic, reason = "only tests use it")]
#![allow(clippy::missing_panics_doc, reason = "only tests use it")]

use crate::client::{exchange, request};
use crate::node::Script;
use crate::wire::Field;
use serde_json::Value;

/// What proves that a program is the provider's client `robot`.
pub const ROBOT_SECRET: &str = "the secret of the robot";

/// The provider, as long as this lives.
#[derive(Debug)]
pub struct Provider {
    /// Its address, and the `iss` of its tokens.
    pub issuer: String,
    script: Script,
}

impl Provider {
    /// Starts it; without node or the package there is no such test.
    pub fn start() -> Self {
        let script = Script::start("provider.mjs", []);
        Self { issuer: script.ready(), script }
    }

    /// Has it do something, and waits until it has.
    pub fn tell(&self, what: &str) {
        self.script.tell(what);
        // It has advice to give as well.
        self.script.has_said(what);
    }

    /// An access token for a program (RFC 6749 §4.4): a JSON Web Token for a resource, an opaque one for none.
    pub fn token(&self, resource: Option<&str>) -> String {
        let mut form = "grant_type=client_credentials".to_owned();
        if let Some(resource) = resource {
            form.push_str(&format!("&scope=read&resource={}", gateway_core::errand::encode(resource)));
        }
        let answer = self.ask("/token", &form);
        answer["access_token"].as_str().unwrap_or_else(|| panic!("no token: {answer}")).to_owned()
    }

    /// Has it forget a token.
    pub fn revoke(&self, token: &str) {
        self.ask("/token/revocation", &format!("token={token}"));
    }

    fn ask(&self, path: &str, form: &str) -> Value {
        let host = self.issuer.trim_start_matches("http://");
        let basic = base64(&format!("robot:{}", gateway_core::errand::encode(ROBOT_SECRET)));
        let fields = [
            Field::new("Content-Type", "application/x-www-form-urlencoded"),
            Field::new("Authorization", format!("Basic {basic}")),
        ];
        let message = request("POST", path, host, &fields, form.as_bytes());
        let seen = exchange(host.parse().expect("an address"), &message, "POST").expect("an answer");
        serde_json::from_slice(&seen.body).unwrap_or_default()
    }
}

/// Base64 with padding, of base64url without.
fn base64(text: &str) -> String {
    let mut encoded = gateway_core::jwt::token::encode(text).replace('-', "+").replace('_', "/");
    while !encoded.len().is_multiple_of(4) {
        encoded.push('=');
    }
    encoded
}
