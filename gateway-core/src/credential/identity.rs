//! Says who is calling, in a token that the gateway signs: an upstream then need not know how callers prove it, and nobody who
//! gets past the gateway can say it for himself.

use super::signer::SigningKey;
use crate::caller::Caller;
use crate::consumer::hex;
use crate::http::{Body, Headers, Response, list};
use crate::jwt::remembered::{Fingerprint, Remembered};
use crate::platform::Platform;
use crate::template::{Settings, Template};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

/// In whose name tokens are signed, as it was compiled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// `iss`
    pub issuer: Template,
    /// The private keys: the first one signs, all are published.
    pub keys: Vec<Template>,
    /// For how long a token counts, in milliseconds.
    pub lifetime: u64,
}

/// What an upstream is told of a caller, as it was compiled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// The field that the token is sent in, in lower case.
    pub header: String,
    /// What stands before it: `Bearer `, or nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub scheme: String,
    /// `aud`
    pub audience: Template,
    /// Claims of the caller's own token that are passed on: the name here, and the one there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<(String, String)>,
    /// For how long the same token is sent again for the same caller, in milliseconds; 0: each request has one of its own.
    #[serde(default)]
    pub reuse: u64,
}

/// What the gateway says itself, so that nobody's claim can take its place.
pub const RESERVED: [&str; 11] =
    ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "consumer", "groups", "scope", "idp"];

/// A statement with its references filled in.
#[derive(Debug)]
pub struct Spoken {
    /// The field that the token is sent in.
    pub header: String,
    scheme: String,
    audience: String,
    claims: Vec<(String, String)>,
    reuse: u64,
}

/// Who signs. Shown, it is its issuer.
pub struct Mint {
    issuer: String,
    /// `None`: for explanations, which are shown that there would be a token.
    signing: Option<SigningKey>,
    lifetime: u64,
    published: Bytes,
    tag: String,
    minted: RefCell<Remembered<String>>,
}

/// Bytes of tokens that are kept to be sent again, roughly.
const KEPT: usize = 1 << 20;

impl fmt::Debug for Mint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mint").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl Spoken {
    /// Fills in the references.
    pub fn new(rule: &Statement, settings: &Settings) -> Self {
        Self {
            header: rule.header.clone(),
            scheme: rule.scheme.clone(),
            audience: rule.audience.resolve(settings),
            claims: rule.claims.clone(),
            reuse: rule.reuse,
        }
    }

    /// The field's value.
    pub fn value(&self, token: &str) -> String {
        format!("{}{token}", self.scheme)
    }
}

impl Mint {
    /// Reads the keys.
    pub fn new(rule: &Identity, settings: &Settings) -> Result<Self, String> {
        let mut keys = Vec::new();
        for (place, key) in rule.keys.iter().enumerate() {
            let read = SigningKey::read(&key.resolve(settings), None);
            let read = read.map_err(|why| format!("`identity.keys[{place}]`: {why}"))?;
            if keys.iter().any(|known: &SigningKey| known.id == read.id) {
                return Err(format!("`identity.keys[{place}]`: another key has the same identifier"));
            }
            keys.push(read);
        }
        let public: Vec<_> = keys.iter().map(SigningKey::public).collect();
        let published = json!({ "keys": public });
        let signing = keys.into_iter().next().ok_or("`identity` has no key")?;
        Ok(Self::with(Some(signing), &published, rule, settings))
    }

    /// The same for explanations: the keys are not known, and nobody is shown a token.
    #[cfg(feature = "admin")]
    pub fn without_keys(rule: &Identity, settings: &Settings) -> Self {
        Self::with(None, &json!({ "keys": [] }), rule, settings)
    }

    fn with(signing: Option<SigningKey>, published: &Value, rule: &Identity, settings: &Settings) -> Self {
        let published = Bytes::from(published.to_string());
        let tag = format!("\"{}\"", hex(&Sha256::digest(&published)[..8]));
        let (issuer, lifetime) = (rule.issuer.resolve(settings), rule.lifetime);
        Self { issuer, signing, lifetime, published, tag, minted: RefCell::new(Remembered::new(KEPT)) }
    }

    /// A token that says who is calling; `None` where that is nobody known.
    pub fn vouch<P: Platform>(&self, platform: &P, spoken: &Spoken, caller: &Caller) -> Option<Rc<String>> {
        if !caller.is_known() {
            return None;
        }
        let claims = said(spoken, caller);
        let now = platform.now();
        let key = (spoken.reuse > 0).then(|| Fingerprint::new(&Value::Object(claims.clone()).to_string()));
        if let Some(known) = key.as_ref().and_then(|key| self.minted.borrow_mut().get(key, now)) {
            return Some(known);
        }
        let random = &mut || platform.random();
        let whole = self.whole(claims, now / 1000, &format!("{:016x}{:016x}", random(), random()));
        let token = match &self.signing {
            Some(key) => key.token(&whole, random)?,
            None => format!("(a token of {})", self.issuer),
        };
        let token = Rc::new(token);
        if let Some(key) = key {
            // What is sent again has the half of its time left at least.
            let until = now.saturating_add(spoken.reuse.min(self.lifetime / 2));
            let weight = token.len() + 100;
            self.minted.borrow_mut().insert(key, Rc::clone(&token), until, weight);
        }
        Some(token)
    }

    fn whole(&self, mut claims: Map<String, Value>, seconds: u64, id: &str) -> Value {
        claims.insert("iss".to_owned(), self.issuer.as_str().into());
        claims.insert("iat".to_owned(), seconds.into());
        claims.insert("exp".to_owned(), (seconds + self.lifetime.div_ceil(1000)).into());
        claims.insert("jti".to_owned(), id.into());
        Value::Object(claims)
    }

    /// The public halves of all keys (RFC 7517 §5), to be kept for some minutes.
    pub fn publish<S>(&self, asked: &Headers) -> Response<S> {
        let mut headers = Headers::new();
        headers.set("content-type", "application/jwk-set+json");
        headers.set("cache-control", "public, max-age=300");
        headers.set("etag", &self.tag);
        // RFC 9110 §13.1.2
        if list(asked, "if-none-match").any(|tag| tag == "*" || tag.trim_start_matches("W/") == self.tag) {
            return Response { status: 304, headers, body: Body::Empty };
        }
        headers.set("content-length", self.published.len().to_string());
        Response { status: 200, headers, body: Body::Bytes(self.published.clone()) }
    }
}

/// What a token says of a caller, whenever it is made.
fn said(spoken: &Spoken, caller: &Caller) -> Map<String, Value> {
    let mut claims = Map::new();
    for (name, from) in &spoken.claims {
        if let Some(value) = caller.claim(from) {
            claims.insert(name.clone(), value.clone());
        }
    }
    let mut say = |name: &str, value: Value| drop(claims.insert(name.to_owned(), value));
    say("aud", spoken.audience.as_str().into());
    if let Some(subject) = caller.subject.as_deref().or(caller.name()) {
        say("sub", subject.into());
    }
    // A subject is one of an issuer's.
    if let Some(issuer) = &caller.issuer {
        say("idp", issuer.as_str().into());
    }
    if let Some(name) = caller.name() {
        say("consumer", name.into());
    }
    if caller.consumer.is_some() || !caller.groups().is_empty() {
        say("groups", caller.groups().into());
    }
    if !caller.scopes.is_empty() {
        say("scope", caller.scopes.join(" ").into());
    }
    claims
}
