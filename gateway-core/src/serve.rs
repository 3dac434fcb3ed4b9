//! What the gateway says of itself on routes that ask for it: whether it lives, whether it is ready, which version it is, and
//! what it has counted. None of these is there unless a route serves it.

use crate::claim;
use crate::gateway::Gateway;
use crate::http::{Body, Headers, Response};
#[cfg(feature = "cache")]
use crate::platform::Reach;
use crate::platform::{Platform, StoreError, Timestamp};
use crate::quota::{self, Act, Rule};
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

/// A store of the platform's that the configuration uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// Which one.
    pub store: Store,
    /// Whether requests are refused where it does not answer.
    pub vital: bool,
}

/// The stores that requests may need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Store {
    /// Who may call, and by which plans.
    Consumers,
    /// What limits count, and what may be used once.
    Counters,
    /// What is done once under a key.
    Claims,
    /// What answers are given again: in this data centre.
    Cache,
    /// The same for all of them.
    GlobalCache,
}

impl Store {
    /// What its check is called.
    pub fn as_str(self) -> &'static str {
        match self {
            Store::Consumers => "store",
            Store::Counters => "store:counters",
            Store::Claims => "store:claims",
            Store::Cache => "store:cache",
            Store::GlobalCache => "store:global_cache",
        }
    }
}

/// A store, or something else that is kept for all instances, as it was found.
#[derive(Debug)]
pub struct Found {
    /// What its check is called.
    pub name: &'static str,
    /// What it is to the gateway that it does not answer; `None`: it does.
    pub trouble: Option<Trouble>,
}

/// What it is to the gateway that a store does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Requests are refused.
    Fails,
    /// They are answered without what the store has.
    Warns,
}

impl Found {
    /// A store that was asked something.
    pub fn of<T>(used: Used, answer: &Result<T, StoreError>) -> Self {
        let trouble = if used.vital { Trouble::Fails } else { Trouble::Warns };
        Self { name: used.store.as_str(), trouble: answer.is_err().then_some(trouble) }
    }
}

/// The key that is looked up to see whether the store answers. Nobody keeps anything there.
const PROBE: &str = "health";

/// The same for counters.
const PROBE_COUNTERS: &str = "global/00000000000000000000000000000000";

/// The same for claims and caches.
const PROBE_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Asks every store that the configuration uses something that changes nothing.
pub async fn stores<P: Platform>(gateway: &Gateway, platform: &P) -> Vec<Found> {
    let mut all = Vec::new();
    for used in &gateway.globals().stores {
        let found = match used.store {
            Store::Consumers => Found::of(*used, &platform.lookup(PROBE).await),
            Store::Counters => {
                let rules = vec![Rule::Leases { limit: 1, hold: 1_000 }];
                let order = quota::Order { rules, act: Act::Release(0) };
                Found::of(*used, &platform.take(PROBE_COUNTERS, &order).await)
            }
            Store::Claims => {
                let order = claim::Order::Release { token: 0 };
                Found::of(*used, &platform.claim(PROBE_HASH, &order).await)
            }
            #[cfg(feature = "cache")]
            Store::Cache => Found::of(*used, &platform.recall(PROBE_HASH, Reach::Location).await),
            #[cfg(feature = "cache")]
            Store::GlobalCache => Found::of(*used, &platform.recall(PROBE_HASH, Reach::Global).await),
            #[cfg(not(feature = "cache"))]
            Store::Cache | Store::GlobalCache => continue,
        };
        all.push(found);
    }
    // The two that instances ask again and again know already, and go on with what they knew.
    let warns = |fails: bool| fails.then_some(Trouble::Warns);
    #[cfg(feature = "admin")]
    if gateway.admin.is_some() {
        all.push(Found { name: "store:changes", trouble: warns(gateway.changes.standing().1.is_some()) });
    }
    #[cfg(feature = "rollout")]
    if let Some(rollout) = &gateway.rollout {
        all.push(Found { name: "store:versions", trouble: warns(rollout.is_lost()) });
    }
    #[cfg(not(feature = "admin"))]
    let _ = warns;
    all
}

/// It answers, so it lives.
pub fn live<S>() -> Response<S> {
    respond(200, "application/health+json", json!({ "status": "pass" }).to_string())
}

/// Whether it can do its work, as far as this instance knows: what the stores said just now, and how the latest requests to each
/// upstream went. The form is that of draft-inadarei-api-health-check-06.
pub fn ready<S>(upstreams: &[Pool], stores: &[Found], now: Timestamp) -> Response<S> {
    let mut checks = Map::new();
    let mut fails = false;
    let mut warns = false;
    for Found { name, trouble } in stores {
        let status = match trouble {
            Some(Trouble::Fails) => "fail",
            Some(Trouble::Warns) => "warn",
            None => "pass",
        };
        fails |= status == "fail";
        warns |= status == "warn";
        checks.insert((*name).to_owned(), json!([{ "componentType": "datastore", "status": status }]));
    }
    for pool in upstreams {
        let (all, usable) = (pool.targets().len(), pool.usable(now));
        let breaker = pool.breaker(now);
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
