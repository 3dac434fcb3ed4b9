//! Upstreams as users write them: targets, how requests are spread over them, and what is done about failures.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use super::super::format;

use super::{
    BindingName, Check, Country, DataCentre, Duration, HeaderName, HostHeader, Name, OneOrMany, Respond, Size,
    TargetUrl, Template, Timeouts, Token, UpstreamCredential, number_or_text,
};

/// Servers that answer alike: requests go to one of its targets. `docs/upstreams.md` has examples.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// The servers.
    #[schemars(length(min = 1))]
    pub targets: Vec<Target>,
    /// How long an answer may take.
    pub timeouts: Option<Timeouts>,
    /// The `Host` that the targets see. On Workers and on Spin it is always the target's own; `X-Forwarded-Host` has the one that
    /// the client asked for. Default: `target`.
    #[schemars(extend("default" = "target"))]
    pub host: Option<HostHeader>,
    /// What the targets are shown: the gateway's own credentials, and who is calling. Default: nothing.
    pub credentials: Option<OneOrMany<UpstreamCredential>>,
    /// How the target of a request is picked. Default: `round_robin`.
    #[schemars(extend("default" = "round_robin"))]
    pub balance: Option<Balance>,
    /// How long the share of a target that is back in rotation grows, from a tenth to the whole. Default: not at all.
    #[schemars(extend("examples" = ["30s"]))]
    pub slow_start: Option<Duration>,
    /// The statuses that count as failures of a target, for `health` and `breaker`. With 500 among them, whoever knows a
    /// request at which the application stumbles can take its targets out. Default: 502, 503 and 504.
    #[schemars(extend("default" = [502, 503, 504], "examples" = [[500, 502, 503, 504]]))]
    pub failure_statuses: Option<OneOrMany<Status>>,
    /// When a target is taken out of rotation. With several targets this is always done, in the way that the defaults say.
    pub health: Option<Health>,
    /// When the upstream is not asked any more, and requests are refused with 503 at once. Default: never.
    pub breaker: Option<Breaker>,
    /// When a request is sent once more. Without it, one that reached nobody goes on to the next target, and one whose
    /// connection broke off does if its method is idempotent, until all targets have been tried.
    pub retries: Option<Retries>,
    /// Sends a safe request (`GET`, `HEAD`, `OPTIONS`, `QUERY`) to a second target when the first takes long; the first good
    /// answer wins and the other call is ended. It takes from the budget of `retries`. Default: never.
    pub hedge: Option<Hedge>,
    /// Keeps a client with its target by a signed cookie.
    pub sticky: Option<Sticky>,
    /// Shows some targets to a part of the callers first.
    pub canary: Option<Canary>,
    /// What takes the place of a failure.
    pub fallback: Option<Fallback>,
    /// A field in which clients say how long they will wait: `grpc-timeout` as gRPC writes it, any other as a number of
    /// milliseconds, or with `ms` or `s`. A shorter time than `timeouts` narrows them, and what is left of it is handed on.
    #[schemars(extend("examples" = ["grpc-timeout", "x-request-timeout"]))]
    pub deadline_header: Option<HeaderName>,
    /// Whether clients are told in `Proxy-Status` (RFC 9209) which target answered, or what failed. It shows the targets'
    /// names. Default: `false`.
    #[schemars(extend("default" = false))]
    pub proxy_status: Option<bool>,
}

/// One server of an upstream.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Where it listens. A path is put before the path of each request. `${env:NAME}` and `${secret:NAME}` are
    /// replaced by what the platform holds under that name. On Spin, `http://NAME.spin.internal` is another component. Not needed
    /// with `binding`.
    pub url: Option<TargetUrl>,
    /// Workers' own way to it, instead of the network: a binding of `wrangler.toml`, to another Worker (`services`) or with the
    /// gateway's client certificate (`mtls_certificates`). With a `url` the target sees that as its address, and Spin takes it as
    /// it is; without one it sees the binding's name below `.invalid`, and Spin cannot reach it.
    pub binding: Option<BindingName>,
    /// What it is called: in logs, in `canary`, in `Proxy-Status`. Default: its host and port.
    pub name: Option<Name>,
    /// Its share of the requests of its group; with 0 it gets none but from clients that a cookie keeps with it. Default: 1.
    #[schemars(extend("default" = 1), range(min = 0, max = 65535))]
    pub weight: Option<u32>,
    /// Its group: the lowest number first, the next when too few of the first are in rotation, and back when they are again.
    /// Default: 0.
    #[schemars(extend("default" = 0), range(min = 0, max = 100))]
    pub priority: Option<u32>,
    /// Whose requests it takes before other targets of its group, where the platform tells.
    #[schemars(extend("examples" = [{"data_centre": ["FRA", "AMS"]}]))]
    pub prefer_for: Option<PreferFor>,
}

/// Where requests come from that a target is near to; one of all that is named is enough.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PreferFor {
    /// The client's country.
    pub country: Option<OneOrMany<Country>>,
    /// The platform's data centre that took the request.
    pub data_centre: Option<OneOrMany<DataCentre>>,
}

/// How the target of a request is picked.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// In turns by weight, spread evenly.
    RoundRobin,
    /// By lot, with chances by weight.
    Random,
    /// Of two drawn by lot, the one with fewer requests under way for its weight.
    LeastRequests,
    /// Of two drawn by lot, the one that is expected to answer sooner: a moving average of its answers, on which a slow
    /// one counts at once, and what is under way.
    Latency,
    /// By a value of the request: what has the same goes to the same target, as long as that is in rotation and has not
    /// too much to do. When a target goes, only its own values move, and they come back with it.
    Hash(HashBalance),
}

/// By which value of the request a target is picked.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HashBalance {
    /// The value. Of several, the first that the request has; without any, the target is drawn by lot.
    #[schemars(extend("examples" = ["client_address", [{"header": "x-tenant"}, "client_address"]]))]
    pub on: OneOrMany<RequestKey>,
    /// How many percent of its fair share of what is under way a target takes before values go on to others. Default: 125.
    #[schemars(extend("default" = 125), range(min = 101, max = 10000))]
    pub bound: Option<u32>,
}

/// A value by which requests that belong together are known.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequestKey {
    /// The client's address.
    ClientAddress,
    /// A header field.
    Header(HeaderName),
    /// A cookie.
    Cookie(Token),
    /// A parameter of the query.
    Query(String),
    /// A parameter of the path.
    PathParameter(String),
    /// The consumer that `authenticate` has recognised.
    Consumer,
    /// A claim of the token that `authenticate` has verified.
    Claim(String),
}

/// When a target is taken out of rotation: because of its answers (passive health), which an instance of the gateway keeps to
/// itself, and because of what checks find (active health), which all instances share. Either is enough.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// So many failures in a row. Default: 3.
    #[schemars(extend("default" = 3), range(min = 1, max = 1000))]
    pub consecutive_failures: Option<u32>,
    /// So many percent failures within `window`, of at least `minimum_requests`. Default: not looked at.
    #[schemars(range(min = 1, max = 100))]
    pub failure_rate: Option<u32>,
    /// Default: 20.
    #[schemars(extend("default" = 20), range(min = 1, max = 1_000_000))]
    pub minimum_requests: Option<u32>,
    /// Default: `10s`.
    #[schemars(extend("default" = "10s"))]
    pub window: Option<Duration>,
    /// How long the first time lasts; each further one lasts twice as long as the one before. Good answers for as long as
    /// the last one lasted take one doubling back. Default: `10s`.
    #[schemars(extend("default" = "10s"))]
    pub ejection: Option<Duration>,
    /// How long one lasts at most. Default: `5m`.
    #[schemars(extend("default" = "5m"))]
    pub longest_ejection: Option<Duration>,
    /// How many percent of the targets may be out at the same time because of their answers; at least one, unless it is 0. What
    /// `check` finds ill is out besides. Default: 70.
    #[schemars(extend("default" = 70), range(min = 0, max = 100))]
    pub max_ejected: Option<u32>,
    /// A group of which fewer than so many percent are in rotation hands over to the next one; when no group has as many, all
    /// targets of the first are used, whatever is known of them, lest the last ones drown. Default: 30.
    #[schemars(extend("default" = 30), range(min = 0, max = 100))]
    pub panic: Option<u32>,
    /// How targets are asked how they are, without a request of a client. Default: not at all.
    #[schemars(extend("examples" = [{"http": {"path": "/health"}, "interval": "10s"}]))]
    pub check: Option<Check>,
}

/// When an upstream is not asked any more. Closed, everything is let through; open, nothing for `open_for`; half-open, `probes`
/// attempts: when all end well it is closed, with the first that does not it is open again.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Breaker {
    /// Opens at so many percent failures within `window`. Default: 50, unless another rule is given.
    #[schemars(extend("default" = 50), range(min = 1, max = 100))]
    pub failure_rate: Option<u32>,
    /// Opens after so many failures in a row. Default: not looked at.
    #[schemars(range(min = 1, max = 1000))]
    pub consecutive_failures: Option<u32>,
    /// Opens at so many percent answers within `window` that took `slow_after` or longer. Default: not looked at.
    #[schemars(range(min = 1, max = 100))]
    pub slow_rate: Option<u32>,
    /// From when on an answer is slow. Needed by `slow_rate`.
    #[schemars(extend("examples" = ["2s"]))]
    pub slow_after: Option<Duration>,
    /// Percentages count from so many attempts. Default: 20.
    #[schemars(extend("default" = 20), range(min = 1, max = 1_000_000))]
    pub minimum_requests: Option<u32>,
    /// Default: `10s`.
    #[schemars(extend("default" = "10s"))]
    pub window: Option<Duration>,
    /// Default: `30s`.
    #[schemars(extend("default" = "30s"))]
    pub open_for: Option<Duration>,
    /// Default: 3.
    #[schemars(extend("default" = 3), range(min = 1, max = 100))]
    pub probes: Option<u32>,
}

/// When a request is sent once more: to another target as long as there is one, within `timeouts.total`.
///
/// What reached nobody may always be sent again. Everything else only with an idempotent method (RFC 9110 §9.2.2), with an
/// `Idempotency-Key`, or where `unsafe_methods` says so.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retries {
    /// How often at most, after the first attempt. Default: 2.
    #[schemars(extend("default" = 2), range(min = 0, max = 10))]
    pub attempts: Option<u32>,
    /// After which failures. Default: all of them.
    #[schemars(extend("default" = ["unreachable", "reset", "timeout"]))]
    pub on: Option<OneOrMany<Trouble>>,
    /// After which statuses. `Retry-After` (in seconds) is waited for where the time allows it. Default: 502, 503 and 504.
    #[schemars(extend("default" = [502, 503, 504]))]
    pub statuses: Option<OneOrMany<Status>>,
    /// Whether also what is not idempotent: the target may do it twice. Default: `false`.
    #[schemars(extend("default" = false))]
    pub unsafe_methods: Option<bool>,
    /// How long to wait before the first time, at most; each further time at most twice as long. How much of it is drawn by
    /// lot. Default: `25ms`.
    #[schemars(extend("default" = "25ms"))]
    pub pause: Option<Duration>,
    /// How long to wait at most. Default: `250ms`.
    #[schemars(extend("default" = "250ms"))]
    pub longest_pause: Option<Duration>,
    /// Bodies with a `Content-Length` of up to this are kept in memory to be sent again; others are streamed and sent once.
    /// Default: `64KiB`.
    #[schemars(extend("default" = "64KiB"))]
    pub body: Option<Size>,
    /// How many extra attempts there may be within ten seconds, in one instance of the gateway.
    pub budget: Option<RetryBudget>,
}

/// How many extra attempts there may be within ten seconds, so that retries do not multiply an outage.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryBudget {
    /// So many percent of the requests. Default: 20.
    #[schemars(extend("default" = 20), range(min = 0, max = 1000))]
    pub percent: Option<u32>,
    /// But so many always. Default: 10.
    #[schemars(extend("default" = 10), range(min = 0, max = 1_000_000))]
    pub at_least: Option<u32>,
}

/// A failure after which a request may be sent once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// There was no connection. Workers cannot tell this from `reset`.
    Unreachable,
    /// The connection broke off before the response, or what came was not HTTP.
    Reset,
    /// The response did not come within `timeouts.attempt`.
    Timeout,
}

/// When a second target is asked beside the first.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Hedge {
    /// After this time.
    After(Duration),
    /// When so many percent of the last answers had come sooner, as soon as 50 are known.
    Percentile(Percentile),
}

/// Keeps a client with its target: the first answer sets a cookie, signed so that only the gateway can write it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sticky {
    /// The cookie's name. Default: `postern-target`.
    #[schemars(extend("default" = "postern-target"))]
    pub cookie: Option<Token>,
    /// What signs it, at least 16 bytes: `${secret:NAME}`.
    #[schemars(extend("examples" = ["${secret:STICKY_SECRET}"]))]
    pub secret: Template,
    /// How long the cookie holds. Default: until the browser is closed.
    #[schemars(extend("examples" = ["1h"]))]
    pub max_age: Option<Duration>,
}

/// Shows some targets to a part of the callers first. When none of their targets is in rotation, callers see the others.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Canary {
    /// The names of the targets that run the release.
    pub targets: OneOrMany<Name>,
    /// How many percent of the callers see it: a whole number, or a text such as `0.5%`. A caller stays on its side, and a
    /// growing percentage only adds callers. Default: 0.
    #[schemars(extend("default" = 0))]
    pub percent: Option<Share>,
    /// What a caller is known by; the first that the request has. Default: the consumer, and then the client's address.
    #[schemars(extend("default" = ["consumer", "client_address"]))]
    pub by: Option<OneOrMany<RequestKey>>,
    /// Who sees it whatever the percentage says.
    #[schemars(extend("examples" = [[{"header": {"name": "x-canary"}}, {"group": "testers"}]]))]
    pub always: Option<OneOrMany<Sign>>,
    /// Who does not see it whatever else says so.
    pub never: Option<OneOrMany<Sign>>,
}

/// Something that a request may have.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sign {
    /// A header field.
    Header(HeaderSign),
    /// A cookie.
    Cookie(CookieSign),
    /// A consumer of this group, which `authenticate` has recognised.
    Group(Name),
}

/// A header field that a request may have.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeaderSign {
    /// Its name.
    pub name: HeaderName,
    /// Its value. Default: any.
    pub value: Option<String>,
}

/// A cookie that a request may have.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CookieSign {
    /// Its name.
    pub name: Token,
    /// Its value. Default: any.
    pub value: Option<String>,
}

/// What takes the place of a failure: of no response at all, or of one of `statuses`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fallback {
    /// The answer of this upstream, with its own timeouts. It has no fallback in turn. Bodies are kept for it up to
    /// `retries.body`; one that was streamed cannot be sent there. What may not be sent again (see `retries`) goes there only where
    /// a status was answered, or nobody can have done it yet.
    pub upstream: Option<Name>,
    /// This answer.
    pub respond: Option<Respond>,
    /// The statuses that count as failures here. Default: none.
    #[schemars(extend("examples" = [[502, 503, 504]]))]
    pub statuses: Option<OneOrMany<Status>>,
}

/// A status of an upstream's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(extend("minimum" = 400, "maximum" = 599))]
pub struct Status(pub u16);

/// A percentage below which most answers lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(extend("minimum" = 50, "maximum" = 99))]
pub struct Percentile(pub u32);

/// A part of the callers: a whole number of percent, or a text such as `0.5%`, with at most two decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// How many of 10,000.
    pub of_ten_thousand: u32,
}

impl JsonSchema for Share {
    fn schema_name() -> Cow<'static, str> {
        "Share".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A part of the callers: a whole number of percent, or a text such as `0.5%`, with at most two decimals.",
            "type": ["integer", "string"],
            "minimum": 0,
            "maximum": 100,
            "pattern": "^[0-9]+([.][0-9]{1,2})?%$",
            "examples": [5, "0.5%"],
        })
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        number_or_text(
            deserializer,
            |percent: u32| Ok(Self { of_ten_thousand: percent.saturating_mul(100) }),
            |text| Ok(Self { of_ten_thousand: format::share(text)? }),
        )
    }
}
