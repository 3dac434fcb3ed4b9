//! A real OpenID provider (npm `oidc-provider`) as a child process: `tests/e2e/provider.mjs`.

#![allow(clippy::panic, reason = "only tests use it")]
#![allow(clippy::missing_panics_doc, reason = "only tests use it")]

use crate::client::{exchange, request};
use crate::process;
use crate::wire::Field;
use serde_json::Value;
use std::fmt;
use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

/// What proves that a program is the provider's client `robot`.
pub const ROBOT_SECRET: &str = "the secret of the robot";

/// The provider, as long as this lives.
pub struct Provider {
    /// Its address, and the `iss` of its tokens.
    pub issuer: String,
    child: Child,
    input: Option<ChildStdin>,
    output: std::sync::Mutex<Lines<BufReader<ChildStdout>>>,
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl Provider {
    /// Starts it; without node or the package there is no such test.
    pub fn start() -> Self {
        let root = process::root();
        let mut child = Command::new(root.join("node_modules/.bin/node"))
            .arg(root.join("tests/e2e/provider.mjs"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("node runs");
        let input = child.stdin.take();
        let mut output = BufReader::new(child.stdout.take().expect("it has an output")).lines();
        let ready = output.next().and_then(Result::ok).unwrap_or_default();
        let issuer = ready.strip_prefix("ready ").expect("the provider is ready").to_owned();
        Self { issuer, child, input, output: output.into() }
    }

    /// Has it do something, and waits until it has.
    pub fn tell(&self, what: &str) {
        let mut input = self.input.as_ref().expect("it listens");
        writeln!(input, "{what}").expect("it listens");
        let mut output = self.output.lock().expect("one at a time");
        // It has advice to give as well.
        let done = output.by_ref().map_while(Result::ok).any(|line| line == what);
        assert!(done, "the provider has ended");
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

impl Drop for Provider {
    fn drop(&mut self) {
        // It ends with its input.
        drop(self.input.take());
        for _ in 0..200 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
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
