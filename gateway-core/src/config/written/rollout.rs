//! How other versions of the configuration are rolled out, as users write it.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Duration, HeaderName, OneOrMany};

/// Configuration without deployment: versions of the configuration that `postern push` puts into the platform's store, tried on a
/// share of all callers first, and taken back by themselves when they do harm. Without this block there is nothing of it.
/// `docs/rollout.md` says more.
///
/// ```yaml
/// rollout:
///   interval: 10s
///   steps: [5, 25]
///   step_time: 10m
///   rollback: { margin: 0.01, min_requests: 200 }
/// ```
///
/// Only the bundled configuration's block counts: no version changes the rules that it is tried by.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rollout {
    /// How often an instance that has traffic looks which version is to serve, after an answer: at least `1s`, at most `5m`. It
    /// takes that long, and as long as loading takes, until a change has reached every instance. Default: `10s`.
    #[schemars(extend("default" = "10s"))]
    pub interval: Option<Duration>,
    /// For how many of a hundred callers a version is tried at first, where neither `steps` nor whoever pushes it says otherwise.
    /// Default: 10.
    #[schemars(extend("default" = 10), range(min = 1, max = 99))]
    pub percent: Option<u8>,
    /// The shares, of a hundred, by which a version grows by itself as long as it does no harm, ascending; after the last one it
    /// serves everybody. Default: none, so that somebody has to activate it.
    #[schemars(extend("examples" = [[1, 10, 50]]), inner(range(min = 1, max = 99)))]
    pub steps: Option<Vec<u8>>,
    /// How long a version keeps a share at least. Default: `5m`.
    #[schemars(extend("default" = "5m"))]
    pub step_time: Option<Duration>,
    /// When a version on trial is taken back by itself.
    pub rollback: Option<Rollback>,
    /// How many versions are kept in the store. Default: 5.
    #[schemars(extend("default" = 5), range(min = 2, max = 20))]
    pub keep: Option<u32>,
    /// Fields of a request that tell callers apart, so that each of them meets the same version every time: the first of them
    /// that a request has. Requests without any of them are told apart by the client's address. Default: `Authorization`.
    #[schemars(extend("default" = "Authorization"))]
    pub identity: Option<OneOrMany<HeaderName>>,
}

/// When a version on trial is taken back by itself: its error rate is compared with that of the version in service at the same
/// time. An error is an answer with a status of 500 or more, whoever made it.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rollback {
    /// By how much the rate may exceed the other one. Default: 0.01, a hundredth of all requests.
    #[schemars(extend("default" = 0.01), range(min = 0.0, max = 1.0))]
    pub margin: Option<f64>,
    /// How many requests it takes to judge a version. Default: 100.
    #[schemars(extend("default" = 100), range(min = 1, max = 1_000_000))]
    pub min_requests: Option<u64>,
    /// For how long requests count; after twice that time they are forgotten. At least `10s`. Default: `5m`.
    #[schemars(extend("default" = "5m"))]
    pub window: Option<Duration>,
}
