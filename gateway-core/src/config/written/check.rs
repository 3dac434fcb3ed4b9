//! Checks of targets as users write them.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;

use super::super::format;

use super::{Duration, HeaderName, Method, Named, OneOrMany, Regex, Template, number_or_text};

/// How targets are asked how they are: active health. On Workers an object with an alarm asks, on Spin an instance after a
/// request, one of them in each `interval`; all instances know what was found. `docs/upstreams.md` says more.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// By a request of its own. One of `http` and `grpc`.
    pub http: Option<HttpCheck>,
    /// By the gRPC health protocol (`grpc.health.v1`).
    pub grpc: Option<GrpcCheck>,
    /// Fields that go with it. Values may name what the platform holds: `${secret:NAME}`. Default: `User-Agent: postern-check`.
    pub headers: Option<Named<HeaderName, Template>>,
    /// How often: at least `1s`. Default: `10s`.
    #[schemars(extend("default" = "10s"))]
    pub interval: Option<Duration>,
    /// How long an answer may take, its body included. Default: `2s`.
    #[schemars(extend("default" = "2s"))]
    pub timeout: Option<Duration>,
    /// An ill target is well after so many good answers in a row. Default: 2.
    #[schemars(extend("default" = 2), range(min = 1, max = 100))]
    pub healthy_after: Option<u32>,
    /// A target is ill after so many bad answers in a row. Default: 3.
    #[schemars(extend("default" = 3), range(min = 1, max = 100))]
    pub unhealthy_after: Option<u32>,
}

/// A request that asks a target how it is.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpCheck {
    /// Path, and perhaps a query, from the root of the target's host: the path of its `url` is not put before it.
    pub path: CheckPath,
    /// Default: `GET`.
    #[schemars(extend("default" = "GET"))]
    pub method: Option<Method>,
    /// The statuses of a good answer: numbers, and ranges such as `200-299`. Redirects are not followed. Default: `200-299`.
    #[schemars(extend("default" = "200-299", "examples" = [[200, 204], "200-399"]))]
    pub statuses: Option<OneOrMany<Statuses>>,
    /// A text that a good body has in it, within its first 64 KiB; a longer one is a bad answer.
    #[schemars(extend("examples" = ["ok"]))]
    pub contains: Option<String>,
    /// A regular expression that finds something in a good body.
    pub matches: Option<Regex>,
}

/// A question by the gRPC health protocol. A target is well when it says `SERVING`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrpcCheck {
    /// The service that is asked about. Default: the server as a whole.
    #[schemars(extend("examples" = ["shop.Orders"]))]
    pub service: Option<String>,
    /// Whether to speak gRPC-Web, which needs no HTTP/2: the only form that Workers can, and Spin without TLS. Default: `false`.
    #[schemars(extend("default" = false))]
    pub web: Option<bool>,
}

/// A path, and perhaps a query: `/health?deep=1`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("pattern" = "^/[!-~]*$", "examples" = ["/health"]))]
pub struct CheckPath(pub String);

/// A status, or a range of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statuses {
    /// The first.
    pub first: u16,
    /// The last.
    pub last: u16,
}

impl JsonSchema for Statuses {
    fn schema_name() -> Cow<'static, str> {
        "Statuses".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A status, or a range of them such as `200-299`.",
            "type": ["integer", "string"],
            "minimum": 100,
            "maximum": 599,
            "pattern": "^[1-5][0-9]{2}(-[1-5][0-9]{2})?$",
            "examples": [200, "200-299"],
        })
    }
}

impl<'de> Deserialize<'de> for Statuses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        number_or_text(
            deserializer,
            |status| Ok(Self { first: status, last: status }),
            |text| format::statuses(text).map(|(first, last)| Self { first, last }),
        )
    }
}
