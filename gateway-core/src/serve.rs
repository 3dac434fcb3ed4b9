//! What the gateway says of itself on routes that ask for it: whether it lives, whether it is ready, which version it is, and
//! what it has counted. None of these is there unless a route serves it.

use crate::http::{Body, Headers, Response};
use crate::platform::StoreError;
use crate::upstream::{Pool, State};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// What a route serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// Whether it answers at all.
    Live,
    /// Whether it can do its work.
    Ready,
    /// What it is.
    Version,
    /// What all instances have counted.
    Metrics,
}

/// The key that is looked up to see whether the store answers. Nobody keeps anything there.
pub const PROBE: &str = "health";

/// It answers, so it lives.
pub fn live<S>() -> Response<S> {
    respond(200, "application/health+json", json!({ "status": "pass" }).to_string())
}

/// Whether it can do its work, as far as this instance knows: what the store said just now, and how the latest requests to each
/// upstream went. The form is that of draft-inadarei-api-health-check-06.
pub fn ready<S>(upstreams: &[Pool], asks_store: bool, store: Option<StoreError>) -> Response<S> {
    let mut checks = Map::new();
    let mut fails = false;
    let mut warns = false;
    if asks_store {
        let status = if store.is_some() { "fail" } else { "pass" };
        fails |= store.is_some();
        checks.insert("store".to_owned(), json!([{ "componentType": "datastore", "status": status }]));
    }
    for pool in upstreams {
        let (all, usable) = (pool.targets().len(), pool.usable());
        let breaker = pool.breaker();
        let status = match breaker {
            Some(State::Open { .. }) => "fail",
            _ if usable == 0 => "fail",
            Some(State::HalfOpen { .. }) => "warn",
            _ if usable < all => "warn",
            Some(State::Closed) | None => "pass",
        };
        fails |= status == "fail";
        warns |= status == "warn";
        let mut check = json!({ "componentType": "component", "status": status, "observedValue": usable, "observedUnit": "targets" });
        if let Some(breaker) = breaker {
            check["breaker"] = breaker.as_str().into();
        }
        checks.insert(format!("upstream:{}", pool.upstream.name), Value::Array(vec![check]));
    }
    let (status, code) = match (fails, warns) {
        (true, _) => ("fail", 503),
        (false, true) => ("warn", 200),
        (false, false) => ("pass", 200),
    };
    respond(code, "application/health+json", json!({ "status": status, "checks": checks }).to_string())
}

/// What it is: the version of the gateway, and what tells this configuration from others: the beginning of its SHA-256.
pub fn version<S>(configuration: &[u8], features: &[String]) -> Response<S> {
    let digest = digest(configuration);
    let version = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "configuration": digest,
        "features": features,
    });
    respond(200, "application/json", version.to_string())
}

/// What tells a compiled configuration from others: the beginning of its SHA-256.
pub fn digest(configuration: &[u8]) -> String {
    Sha256::digest(configuration).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Metrics, in Prometheus's text format.
pub fn metrics<S>(text: String) -> Response<S> {
    respond(200, "text/plain; version=0.0.4; charset=utf-8", text)
}

/// A text that is true for this moment only.
pub(crate) fn respond<S>(status: u16, kind: &str, text: String) -> Response<S> {
    let mut headers = Headers::new();
    headers.set("content-type", kind);
    headers.set("cache-control", "no-store");
    headers.set("content-length", text.len().to_string());
    Response { status, headers, body: Body::Bytes(Bytes::from(text)) }
}
