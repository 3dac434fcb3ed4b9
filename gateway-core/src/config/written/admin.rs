//! The admin interface, as users write it.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Duration, HostPattern, Name, OneOrMany, PlainPath, Template};

/// The admin interface: what the gateway does, and the few things that can be changed while it runs, as JSON over HTTP. There is
/// none unless it stands here; `docs/admin.md` has everything that it answers.
///
/// It comes before every route, and answers nobody who has none of its tokens. What has happened lately in all instances is gathered
/// for it, so metrics are `shared`, whatever `telemetry.metrics` says besides.
///
/// ```yaml
/// admin:
///   path: /_postern
///   host: ops.example.com
///   tokens:
///     - { name: ops, token: "${secret:ADMIN_TOKEN}", access: write }
///     - { name: dashboard, token: "${secret:DASHBOARD_TOKEN}" }
/// ```
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// What its paths begin with: at least one segment.
    #[schemars(extend("examples" = ["/_postern"]))]
    pub path: PlainPath,
    /// The hosts that it answers for. Default: any.
    pub host: Option<OneOrMany<HostPattern>>,
    /// Who may use it. They send their token as `Authorization: Bearer …`.
    #[schemars(length(min = 1))]
    pub tokens: Vec<AdminToken>,
    /// The share of requests that come into the live tail. Failures are kept apart. Default: 1.
    #[schemars(extend("default" = 1), range(min = 0.0, max = 1.0))]
    pub sample: Option<f64>,
    /// How long an instance gathers what happens before it tells the others, which costs one call of an object or a store each time.
    /// Default: `5s`.
    #[schemars(extend("default" = "5s"))]
    pub interval: Option<Duration>,
}

/// Somebody who may use the admin interface.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminToken {
    /// What it is called in the audit log.
    pub name: Name,
    /// The token, which the platform holds: at least 32 characters, such as `openssl rand -base64 32` draws.
    #[schemars(extend("examples" = ["${secret:ADMIN_TOKEN}"]))]
    pub token: Template,
    /// What it may do. Default: `read`.
    #[schemars(extend("default" = "read"))]
    pub access: Option<AdminAccess>,
}

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AdminAccess {
    /// Look.
    Read,
    /// Look, and change.
    Write,
}
