//! Limits on how many requests pass, as users write them.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Cidr, Duration, HeaderName, Name, Named, OneOrMany, Pointer, Rate, RedisUrl, TimeZone, Token};

/// A policy that limits: first what only it has, then what all four have. What stands before `key` says what its default is.
macro_rules! limits {
    ($(#[$about:meta])* $policy:ident { $($own:tt)* } $(#[$default:meta])* key) => {
        $(#[$about])*
        #[derive(Debug, Clone, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $policy {
            $($own)*
            /// Policies with the same name count together, whichever route they stand on. Default: this route counts for itself.
            pub name: Option<Name>,
            $(#[$default])*
            pub key: Option<OneOrMany<KeyPart>>,
            /// How many bits of an IPv6 address count: whoever has one has all that begin alike. Default: 64.
            #[schemars(extend("default" = 64), range(min = 1, max = 128))]
            pub ipv6_prefix: Option<u8>,
            /// What becomes of a request that lacks a part of its key. Default: `together`.
            #[schemars(extend("default" = "together"))]
            pub missing_key: Option<MissingKey>,
            /// Who counts. Default: `global`.
            #[schemars(extend("default" = "global"))]
            pub scope: Option<LimitScope>,
            /// Who is neither counted nor refused.
            pub exempt: Option<Exempt>,
            /// Whether it only counts, and reports in the log what it would have refused. Default: `false`.
            #[schemars(extend("default" = false))]
            pub dry_run: Option<bool>,
            /// Whether requests pass (`open`) or are refused with 503 (`closed`) when nobody can count. It is logged in any
            /// case. Default: `open`.
            #[schemars(extend("default" = "open"))]
            pub on_failure: Option<LimitFailure>,
            /// How responses tell where clients stand. Default: `ietf`.
            #[schemars(extend("default" = "ietf"))]
            pub headers: Option<OneOrMany<LimitHeaders>>,
            /// The status of a refusal: 429, 403 or 503. Default: 429.
            #[schemars(extend("default" = 429))]
            pub status: Option<super::LimitStatus>,
        }

        impl $policy {
            /// What all four have.
            pub fn shared(&self) -> Shared<'_> {
                let Self { name, key, exempt, headers, .. } = self;
                let (ipv6_prefix, missing_key, scope) = (self.ipv6_prefix, self.missing_key, self.scope);
                let (dry_run, on_failure, status) = (self.dry_run, self.on_failure, self.status);
                let (name, key) = (name.as_ref(), key.as_ref());
                let (exempt, headers) = (exempt.as_ref(), headers.as_ref());
                Shared { name, key, ipv6_prefix, missing_key, scope, exempt, dry_run, on_failure, headers, status }
            }
        }
    };
}

/// What all four policies have.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "the policies' own fields say it")]
pub struct Shared<'w> {
    pub name: Option<&'w Name>,
    pub key: Option<&'w OneOrMany<KeyPart>>,
    pub ipv6_prefix: Option<u8>,
    pub missing_key: Option<MissingKey>,
    pub scope: Option<LimitScope>,
    pub exempt: Option<&'w Exempt>,
    pub dry_run: Option<bool>,
    pub on_failure: Option<LimitFailure>,
    pub headers: Option<&'w OneOrMany<LimitHeaders>>,
    pub status: Option<super::LimitStatus>,
}

limits! {
    /// Admits so many requests per time, and refuses the others with 429.
    ///
    /// All limits of one policy are decided in one step: a request that one of them refuses takes from none. Every response says
    /// how things stand. What counts, and where, is in `docs/limits.md`.
    ///
    /// ```yaml
    /// upstreams:
    ///   origin: { targets: [{ url: "http://127.0.0.1:9000" }] }
    /// routes:
    ///   - name: orders
    ///     path: /orders
    ///     upstream: origin
    ///     policies:
    ///       - rate_limit:
    ///           key: { header: x-tenant }
    ///           limits: [2 per hour, { rate: 100 per second, algorithm: token_bucket, burst: 200 }]
    ///           scope: instance
    /// ```
    ///
    /// ```text
    /// GET /orders  x-tenant: a  → 200  ratelimit-policy: "per-hour";q=2;w=3600, "per-second";q=200;w=2
    /// GET /orders  x-tenant: a  → 200
    /// GET /orders  x-tenant: a  → 429
    /// GET /orders  x-tenant: b  → 200
    /// ```
    RateLimitPolicy {
        /// What is admitted; the most constraining decides.
        #[schemars(extend("examples" = [["100 per second", "5,000 per hour"]]))]
        pub limits: OneOrMany<RateLimit>,
        /// Other limits for consumers of these groups. The first that fits counts.
        #[schemars(extend("examples" = [{"partners": ["1,000 per second"], "free": ["10 per second"]}]))]
        pub plans: Option<Named<Name, OneOrMany<RateLimit>>>,
        /// Whether the key-value store may say otherwise, without a deployment: `docs/limits.md` has the format. Default: it is
        /// not asked.
        pub plans_from: Option<PlansFrom>,
        /// How a `global` limit is counted. Default: `exact`.
        #[schemars(extend("default" = "exact"))]
        pub mode: Option<LimitMode>,
        /// For how long tokens that are taken in advance are good, with `mode: leased`. Default: a tenth of the shortest time of the limits,
        /// between 250 ms and 10 s.
        pub lease: Option<Duration>,
        /// What a request costs. Default: 1.
        #[schemars(extend("default" = 1, "examples" = [{"response_body": "/usage/total_tokens"}]))]
        pub cost: Option<Cost>,
        /// How long a request waits rather than being refused; only for token buckets. Default: not at all.
        pub delay: Option<Duration>,
        /// The Rate Limiting binding of Workers that counts for `scope: location`, which costs nothing. It knows one limit, the one that
        /// `wrangler.toml` gives it, per 10 or 60 seconds, and is not quite exact; write the same limit here. Where there is no binding of
        /// that name, as on Spin, the limit is counted as elsewhere. Default: none.
        pub binding: Option<Name>,
    }
    /// What requests are told apart by; several parts make one key. Default: `client_address`.
    #[schemars(extend("default" = "client_address", "examples" = [["consumer", {"header": "x-tenant"}]]))]
    key
}

limits! {
    /// Admits so much in an hour, a day, a week or a month, as people count them, and refuses the rest with 429.
    ///
    /// ```yaml
    /// upstreams:
    ///   origin: { targets: [{ url: "http://127.0.0.1:9000" }] }
    /// consumers:
    ///   - name: alice
    ///     groups: [pro]
    ///     keys: [{ hash: fed49bce939f4778f5bddd8a199cda6eb8c87a440ffb462b529dc1b184615ac9, prefix: pk_docs }]
    /// routes:
    ///   - name: orders
    ///     path: /orders
    ///     upstream: origin
    ///     policies:
    ///       - authenticate: { any_of: { api_key: {} } }
    ///       - quota: { limits: 100 per day, plans: { pro: [1 per day, 10 per month] }, zone: Europe/Berlin, scope: instance }
    /// ```
    ///
    /// ```text
    /// GET /orders  x-api-key: pk_docs_onlyForTheDocumentation1 → 200  ratelimit-policy: "quota-per-day";q=1;w=86400, "quota-per-month";q=10;w=2592000
    /// GET /orders  x-api-key: pk_docs_onlyForTheDocumentation1 → 429
    /// ```
    QuotaPolicy {
        /// What is admitted, per `hour`, `day`, `week` (from Monday) or `month`; the most constraining decides.
        #[schemars(extend("examples" = [["10,000 per day", "100,000 per month"]]))]
        pub limits: OneOrMany<Rate>,
        /// The time zone in which periods begin. Default: `UTC`.
        #[schemars(extend("default" = "UTC"))]
        pub zone: Option<TimeZone>,
        /// Other limits for consumers of these groups. The first that fits counts.
        #[schemars(extend("examples" = [{"pro": ["1,000,000 per month"], "free": ["1,000 per month"]}]))]
        pub plans: Option<Named<Name, OneOrMany<Rate>>>,
        /// Whether the key-value store may say otherwise, without a deployment: `docs/limits.md` has the format. Default: it is
        /// not asked.
        pub plans_from: Option<PlansFrom>,
        /// How a `global` limit is counted. Default: `exact`.
        #[schemars(extend("default" = "exact"))]
        pub mode: Option<LimitMode>,
        /// For how long tokens that are taken in advance are good, with `mode: leased`. Default: a tenth of the shortest time of the limits,
        /// between 250 ms and 10 s.
        pub lease: Option<Duration>,
        /// What a request costs. Default: 1.
        #[schemars(extend("default" = 1, "examples" = [{"response_body": "/usage/total_tokens"}]))]
        pub cost: Option<Cost>,
    }
    /// What requests are told apart by; several parts make one key. Default: `consumer`.
    #[schemars(extend("default" = "consumer"))]
    key
}

limits! {
    /// Admits so many requests at once: from their admission to the end of their response.
    ///
    /// A client that goes away takes nothing with it: what nobody gives back is free again after `hold`.
    ///
    /// ```yaml
    /// upstreams:
    ///   origin: { targets: [{ url: "http://127.0.0.1:9000" }] }
    /// routes:
    ///   - name: reports
    ///     path: /reports
    ///     upstream: origin
    ///     policies:
    ///       - concurrency: { limit: 1, scope: instance }
    /// ```
    ///
    /// ```text
    /// GET /reports  → 200  ratelimit-policy: "concurrency";q=1;qu="concurrent-requests"
    /// GET /reports  → 200
    /// ```
    ConcurrencyPolicy {
        /// How many.
        pub limit: u64,
        /// After how long a request counts as gone. Longer than any that is not, with its response. Default: `60s`.
        #[schemars(extend("default" = "60s"))]
        pub hold: Option<Duration>,
        /// Other limits for consumers of these groups. The first that fits counts.
        #[schemars(extend("examples" = [{"pro": 50}]))]
        pub plans: Option<Named<Name, u64>>,
        /// Whether the key-value store may say otherwise, without a deployment: `docs/limits.md` has the format. Default: it is
        /// not asked.
        pub plans_from: Option<PlansFrom>,
    }
    /// What requests are told apart by; several parts make one key. Default: `client_address`.
    #[schemars(extend("default" = "client_address"))]
    key
}

limits! {
    /// Spaces requests out: `10 per second` is one in each tenth of a second, not ten at once.
    ///
    /// ```yaml
    /// upstreams:
    ///   origin: { targets: [{ url: "http://127.0.0.1:9000" }] }
    /// routes:
    ///   - name: search
    ///     path: /search
    ///     upstream: origin
    ///     policies:
    ///       - spike_arrest: { rate: 60 per hour, scope: instance }
    /// ```
    ///
    /// ```text
    /// GET /search  → 200  ratelimit-policy: "spike-arrest";q=1;w=60
    /// GET /search  → 429  retry-after: 60
    /// ```
    SpikeArrestPolicy {
        /// How many, evenly spaced.
        pub rate: Rate,
        /// How long a request waits for its turn rather than being refused. Default: not at all.
        pub delay: Option<Duration>,
    }
    /// What requests are told apart by; several parts make one key. Default: `everybody`.
    #[schemars(extend("default" = "everybody"))]
    key
}

/// A limit: a rate, and perhaps how it is counted.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum RateLimit {
    /// In a sliding window.
    Rate(Rate),
    /// In another way, or with another name.
    Rule(RateRule),
}

/// A rate, and how it is counted.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateRule {
    /// How many, in what time.
    pub rate: Rate,
    /// How it is counted. Default: `sliding_window`.
    #[schemars(extend("default" = "sliding_window"))]
    pub algorithm: Option<Algorithm>,
    /// How many at once, with `token_bucket`. Default: as many as the rate says.
    #[schemars(range(min = 1))]
    pub burst: Option<u64>,
    /// What clients see it called. Default: `per-second`, `per-hour` and so on.
    pub name: Option<Name>,
}

/// How a rate is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// In the window of now and, by the part of it that is recent enough, in the one before.
    SlidingWindow,
    /// In windows that follow one another: at the border of two, twice as many can come at once.
    FixedWindow,
    /// From a bucket that `burst` fills and that fills itself at the rate (GCRA).
    TokenBucket,
}

/// A part of what requests are told apart by.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyPart {
    /// The client's address.
    ClientAddress,
    /// Who is calling, as `authenticate` has found out.
    Consumer,
    /// The groups of who is calling.
    Group,
    /// The route, where policies of several routes have the same name.
    Route,
    /// The method.
    Method,
    /// The client's country, where the platform knows it.
    Country,
    /// The method of JSON-RPC that is called, behind the policy `json_rpc`.
    JsonRpcMethod,
    /// The name of the GraphQL operation, as a `graphql` before has read it.
    GraphqlOperation,
    /// Nothing: all requests have one key.
    Everybody,
    /// A field of the request.
    Header(HeaderName),
    /// A parameter of the query.
    Query(String),
    /// A cookie.
    Cookie(Token),
    /// A claim of the token; members of objects with dots between.
    Claim(String),
    /// A parameter of the path.
    PathParameter(String),
}

/// What becomes of a request that lacks a part of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MissingKey {
    /// All such requests are counted together.
    Together,
    /// It is not counted.
    Skip,
    /// It is refused with 403.
    Refuse,
}

/// Who counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitScope {
    /// Each instance of the gateway for itself, in its memory: costs nothing, and admits as much as there are instances.
    Instance,
    /// Each data centre for itself.
    Location,
    /// One owner of each key for the whole world.
    Global,
}

/// How a `global` limit is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitMode {
    /// The owner is asked for every request. Never one more.
    Exact,
    /// Instances take tokens in advance, as many as they soon need, and ask the owner seldom.
    Leased,
}

/// What a request costs.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Cost {
    /// This much.
    Fixed(u64),
    /// What somebody before has found out.
    Named(NamedCost),
    /// What the request or its response says; what is no number is 1.
    Told(ToldCost),
}

/// What somebody before has found out of a request's cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NamedCost {
    /// The cost of the GraphQL operation, as a `graphql` before has counted it; at least 1.
    Graphql,
}

/// Who says what a request costs.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ToldCost {
    /// A field of the request; at least 1.
    Header(HeaderName),
    /// A parameter of the query; at least 1.
    Query(String),
    /// What stands in the JSON body of the request under this JSON Pointer; at least 1. A body of more than 1 MiB is refused.
    Body(Pointer),
    /// A field of the response: it is admitted as 1, and the rest is counted afterwards.
    ResponseHeader(HeaderName),
    /// What stands in the JSON body of the response under this JSON Pointer, counted likewise. The body is held back until it
    /// is complete; bodies of other kinds pass as they come, and count as 1.
    ResponseBody(Pointer),
}

/// Who is neither counted nor refused.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exempt {
    /// Clients in these ranges.
    pub addresses: Option<OneOrMany<Cidr>>,
    /// These consumers.
    pub consumers: Option<OneOrMany<Name>>,
    /// Consumers of these groups.
    pub groups: Option<OneOrMany<Name>>,
}

/// Where plans come from besides the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PlansFrom {
    /// The platform's key-value store. Its word counts for half a minute.
    Store,
}

/// What becomes of requests when nobody can count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitFailure {
    /// They pass.
    Open,
    /// They are refused with 503.
    Closed,
}

/// How responses tell where clients stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitHeaders {
    /// `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10).
    Ietf,
    /// `X-RateLimit-Limit-Second` and the like, `RateLimit-Limit`, `RateLimit-Remaining`, `RateLimit-Reset`.
    Kong,
    /// `X-RateLimit-Limit`, `-Remaining`, `-Used`, `-Reset` (a moment, in seconds since 1970) and `-Resource`.
    Github,
    /// `X-RateLimit-Remaining`, `-Replenish-Rate`, `-Burst-Capacity` and `-Requested-Tokens`.
    Spring,
    /// Not at all.
    None,
}

/// Where limits are counted, where that can be chosen.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CountersFrom {
    /// On Spin. Default: in the application's key-value store, which can only count windows and quotas in one step.
    pub spin: Option<SpinCounters>,
}

/// Where limits are counted on Spin.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SpinCounters {
    /// The address of a Redis, which counts all of them exactly: `redis://host:6379`, `rediss://` for TLS. It must stand in
    /// `allowed_outbound_hosts` as well, and must not forget (`maxmemory-policy noeviction`).
    pub redis: RedisUrl,
}
