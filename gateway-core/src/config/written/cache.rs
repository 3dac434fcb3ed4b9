//! What is kept of answers, as users write it.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{AnyDuration, Duration, Expression, HeaderName, Name, Named, OneOrMany, Size, Template, Token};

/// Answers from the store what has been answered before, by the rules of HTTP (RFC 9111).
///
/// What stands before this policy is done for every request; what stands behind it only for those that go on to the upstream, and
/// what it does to their answers is stored with them. Whoever decides who may call stands before it. What is stored, where and for how
/// long is in `docs/caching.md`.
///
/// ```yaml
/// upstreams:
///   origin: { targets: [{ url: "http://127.0.0.1:9000" }] }
/// routes:
///   - name: products
///     path_prefix: /products
///     upstream: origin
///     policies:
///       - cache:
///           ttl: { default: 5m, 404: 10s }
///           key: { query: { except: [utm_*] } }
///           stale_while_revalidate: 1m
///           stale_if_error: 1h
/// ```
///
/// ```text
/// GET /products?page=1             → 200  cache-status: postern; fwd=uri-miss; stored
/// GET /products?page=1&utm_id=x    → 200  cache-status: postern; hit; ttl=300  age: 0
/// GET /products?page=2             → 200  cache-status: postern; fwd=uri-miss; stored
/// POST /products?page=1            → 200  cache-status: postern; fwd=method
/// GET /products?page=1             → 200  cache-status: postern; fwd=uri-miss; stored
/// ```
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CachePolicy {
    /// Policies with the same name share what they store, whichever route they stand on. Default: this route has its own.
    pub name: Option<Name>,
    /// Where what is stored can be found: in the data centre that stored it, or in all of them. `global` asks a KV namespace, bound as
    /// `POSTERN_CACHE`, for what a data centre does not have, which costs a read for each miss and a write for each answer that is kept a
    /// minute or longer. Where the store is one for all instances anyway (Spin), both are the same. Default: `location`.
    #[schemars(extend("default" = "location"))]
    pub scope: Option<CacheScope>,
    /// How long answers are fresh where the origin does not say, by status: `404`, `5xx`, or `default` for those that may be reused
    /// without being told so (200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501). Default: a tenth of the time since `Last-Modified`,
    /// and without that not at all.
    #[schemars(extend("examples" = [{"default": "5m", "404": "10s", "5xx": "1s"}]))]
    pub ttl: Option<Named<CacheStatuses, Duration>>,
    /// Whether `ttl` counts whatever the origin says of freshness (`max-age`, `s-maxage`, `Expires`, `no-cache`). Its `no-store` and
    /// `private` always count. Default: `false`.
    #[schemars(extend("default" = false))]
    pub override_origin: Option<bool>,
    /// What requests are told apart by, besides the method and what `Vary` names.
    pub key: Option<CacheKey>,
    /// Methods besides `GET` and `HEAD` whose answers are stored: those that only ask, although they have a body. The body belongs to the
    /// key, JSON in one spelling. Default: none.
    #[schemars(extend("examples" = [["QUERY"], ["POST", "QUERY"]]))]
    pub methods: Option<OneOrMany<CacheMethod>>,
    /// The longest body of such a request that is read for the key; requests with a longer one, or one without `Content-Length`, pass by.
    /// Default: 64KiB.
    #[schemars(extend("default" = "64KiB"))]
    pub request_body: Option<Size>,
    /// Requests for which this holds pass by, in both directions. So do those for which nobody can say.
    #[schemars(extend("examples" = ["\"x-preview\" in request.headers"]))]
    pub bypass: Option<OneOrMany<Expression>>,
    /// For how long a stale answer is given while a newer one is fetched (RFC 5861), where the origin does not say. Default: not at all.
    pub stale_while_revalidate: Option<Duration>,
    /// For how long a stale answer is given when the upstream fails (no answer, 500, 502, 503, 504; RFC 5861), where the origin does not
    /// say. Default: not at all.
    pub stale_if_error: Option<Duration>,
    /// Whether what a known caller is answered may be given to others although the origin does not say so with `public`, `s-maxage` or
    /// `must-revalidate` (RFC 9111 §3.5). Only for answers that do not depend on who asks. Default: `false`.
    #[schemars(extend("default" = false))]
    pub across_callers: Option<bool>,
    /// What becomes of answers that set cookies. Default: `bypass`.
    #[schemars(extend("default" = "bypass"))]
    pub set_cookie: Option<CacheSetCookie>,
    /// The longest body that is stored, by its `Content-Length` where it has one. Default: 10MiB. On Spin at most 512KiB.
    #[schemars(extend("default" = "10MiB"))]
    pub body: Option<Size>,
    /// For how long requests wait for an answer that another request of the same instance fetches; `0s`: not at all. Answers that turn
    /// out not to be stored are not waited for again for ten seconds. Default: 10s.
    #[schemars(extend("default" = "10s"))]
    pub wait: Option<AnyDuration>,
    /// For how long an instance answers from its memory what it has found in the store twice within that time, up to `5s`; `0s`: never.
    /// Answers of up to 32 KiB that say their length and are not packed, 4 MiB in all. What another instance stores or takes back by an unsafe request is
    /// seen that much later; purges as ever. Default: 1s.
    #[schemars(extend("default" = "1s"))]
    pub memory: Option<AnyDuration>,
    /// Whether `Cache-Control` of requests counts (`no-cache`, `no-store`, `max-age`, `max-stale`, `min-fresh`, `only-if-cached`). Who heeds
    /// it lets clients ask the origin at will. Default: `heed`.
    #[schemars(extend("default" = "heed"))]
    pub client_directives: Option<ClientDirectives>,
    /// The targeted fields (RFC 9213) that outrank `Cache-Control`; the first that an answer has counts alone. Default:
    /// `[postern-cache-control, cdn-cache-control, surrogate-control]`.
    #[schemars(extend("default" = ["postern-cache-control", "cdn-cache-control", "surrogate-control"]))]
    pub targeted: Option<OneOrMany<HeaderName>>,
    /// Whether answers say in `Cache-Status` (RFC 9211) what the cache did. Default: `true`.
    #[schemars(extend("default" = true))]
    pub cache_status: Option<bool>,
}

/// Where what is stored can be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CacheScope {
    /// In the data centre that stored it.
    Location,
    /// There, and after a while in all others.
    Global,
}

/// What requests are told apart by. Whatever of the query is not in the key is not sent on either: nobody writes into what others get.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CacheKey {
    /// Whether hosts and schemes are told apart. Default: `true`.
    #[schemars(extend("default" = true))]
    pub host: Option<bool>,
    /// The parameters of the query that count. Default: `all`.
    #[schemars(extend("default" = "all"))]
    pub query: Option<CacheQuery>,
    /// Whether the order of the query's parameters counts for nothing. They are sent on in the order of their names. Default: `false`.
    #[schemars(extend("default" = false))]
    pub sort_query: Option<bool>,
    /// Header fields of the request.
    pub headers: Option<OneOrMany<HeaderName>>,
    /// Cookies.
    pub cookies: Option<OneOrMany<Token>>,
    /// Claims of a verified token; members of objects with dots between.
    pub claims: Option<OneOrMany<String>>,
    /// Whatever else, as text with values in it.
    #[schemars(extend("examples" = [["{client.country}"]]))]
    pub values: Option<OneOrMany<Template>>,
    /// Who has a part of the store for themselves. Default: nobody.
    pub partition: Option<CachePartition>,
}

/// Which parameters of the query count.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CacheQuery {
    /// All of them.
    All,
    /// None of them.
    None,
    /// These. A name that ends in `*` stands for all that begin so.
    Only(OneOrMany<String>),
    /// All but these. A name that ends in `*` stands for all that begin so.
    Except(OneOrMany<String>),
}

/// Who has a part of the store for themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CachePartition {
    /// Each caller that `authenticate` has recognised or `forward_auth` has named, by consumer, subject and credential.
    Caller,
}

/// What becomes of answers that set cookies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CacheSetCookie {
    /// They are not stored.
    Bypass,
    /// They are stored without `Set-Cookie`; the client that they are for gets it.
    Strip,
    /// They are stored as they are: everybody gets the same cookies.
    Store,
}

/// Whether clients have a say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientDirectives {
    /// What they say counts.
    Heed,
    /// It does not.
    Ignore,
}

/// A method with a body that only asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum CacheMethod {
    /// `POST`, where the origin takes it for nothing but questions.
    #[serde(rename = "POST")]
    Post,
    /// `QUERY` (RFC 10008).
    #[serde(rename = "QUERY")]
    Query,
}

/// A status, all of a hundred (`5xx`), or `default`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("pattern" = "^([2-5][0-9]{2}|[2-5]xx|default)$", "examples" = ["404", "5xx", "default"]))]
pub struct CacheStatuses(pub String);

/// Takes back what caches have stored.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Purge {}
