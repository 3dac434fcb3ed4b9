//! What is done once, as users write it.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Duration, HeaderName, LimitFailure, Method, OneOrMany, Size, Status};

/// Does once what is asked for several times under one key (draft-ietf-httpapi-idempotency-key-header).
///
/// The first request with a key goes on. While it is under way, others with the same key wait; when it has been answered, they
/// get the same answer, marked with `Idempotent-Replayed: true`. The same key with another method, target, `Content-Type` or body
/// is refused with 422. A key belongs to its route and to whoever calls: the consumer or the token's subject where `authenticate`
/// has found one, else the value of `Authorization`. Keys are 1 to 255 printable characters, in quotes or without.
///
/// The answer is kept before the client gets it. A body is held back for that as far as `answer` bytes; a longer one, or an event
/// stream, is handed on as it comes and not kept, and later requests with the key are refused with 409 (`answer-not-kept`). Packed
/// answers are not asked for, since whoever asks again may not read them.
///
/// What happens when the first request is lost on its way (no answer from the upstream, or a gateway that died) is declared in
/// `when_unknown`. On Workers each key has a Durable Object of its own, and a request whose client goes away is carried on to its end; on
/// Spin the key-value store elects who goes on. `docs/idempotency.md` says what each can promise.
///
/// ```yaml
/// upstreams:
///   origin: { targets: [{ url: "http://127.0.0.1:9000" }] }
/// consumers:
///   - name: alice
///     keys: [{ hash: fed49bce939f4778f5bddd8a199cda6eb8c87a440ffb462b529dc1b184615ac9, prefix: pk_docs }]
/// routes:
///   - name: payments
///     path: /payments
///     upstream: origin
///     policies:
///       - authenticate: { any_of: { api_key: {} } }
///       - idempotency: { required: true }
/// ```
///
/// ```text
/// POST /payments  x-api-key: pk_docs_onlyForTheDocumentation1  → 400
/// POST /payments  x-api-key: pk_docs_onlyForTheDocumentation1  idempotency-key: "7f3a"  {"pay":1}  → 200  idempotent-replayed:
/// POST /payments  x-api-key: pk_docs_onlyForTheDocumentation1  idempotency-key: "7f3a"  {"pay":1}  → 200  idempotent-replayed: true
/// POST /payments  x-api-key: pk_docs_onlyForTheDocumentation1  idempotency-key: "7f3a"  {"pay":2}  → 422
/// ```
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdempotencyPolicy {
    /// The field that has the key. Default: `idempotency-key`.
    #[schemars(extend("default" = "idempotency-key"))]
    pub header: Option<HeaderName>,
    /// The methods whose requests are looked at; not those that are safe anyway. Default: `POST` and `PATCH`.
    #[schemars(extend("default" = ["POST", "PATCH"]))]
    pub methods: Option<OneOrMany<Method>>,
    /// Whether a request without a key is refused with 400. Default: `false`, it just goes on.
    #[schemars(extend("default" = false))]
    pub required: Option<bool>,
    /// How long a request's body may be, since it is read to tell whether it is the same; more is refused with 413.
    /// Default: `1MiB`.
    #[schemars(extend("default" = "1MiB"))]
    pub body: Option<Size>,
    /// How long an answer's body may be to be kept; at most `1MiB`. Default: `64KiB`.
    #[schemars(extend("default" = "64KiB"))]
    pub answer: Option<Size>,
    /// The fields of the answer that are kept. Default: all but `Set-Cookie`, `Date`, `Age`, `Proxy-Status` and those of one
    /// connection.
    #[schemars(extend("examples" = [["content-type", "location", "etag"]]))]
    pub headers: Option<OneOrMany<HeaderName>>,
    /// For how long an answer is kept. Default: `24h`.
    #[schemars(extend("default" = "24h"))]
    pub ttl: Option<Duration>,
    /// What happens to a request while another one with its key is under way. Default: it waits for 10 s at most.
    #[schemars(extend("default" = {"wait": "10s"}))]
    pub concurrent: Option<Concurrent>,
    /// For how long a request may be under way before it counts as lost: not shorter than the `total` of its timeouts.
    /// Default: that, and 30 s more.
    pub lease: Option<Duration>,
    /// After which statuses of the upstream the next request with the key is sent on, as after none. Default: 429, 502, 503
    /// and 504.
    #[schemars(extend("default" = [429, 502, 503, 504]))]
    pub repeat_statuses: Option<OneOrMany<Status>>,
    /// What happens to a request whose predecessor was lost, so that nobody knows whether it was done: no answer came, or it was
    /// under way for longer than `lease`. (One that certainly reached nobody is always made again.) Default: `repeat`.
    #[schemars(extend("default" = "repeat"))]
    pub when_unknown: Option<WhenUnknown>,
    /// Whether requests with a key go on as if they had none (`open`) or are refused with 503 (`closed`) when nobody can say
    /// whether the key is new. It is logged in any case. Default: `closed`.
    #[schemars(extend("default" = "closed"))]
    pub on_failure: Option<LimitFailure>,
}

/// What happens to a request while another one with its key is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Concurrent {
    /// It is refused with 409.
    Refuse,
    /// It waits for the answer for so long, and is refused with 409 then.
    Wait(Duration),
}

/// What happens to a request when nobody knows whether the one before it was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhenUnknown {
    /// It is sent on: the upstream may do it twice.
    Repeat,
    /// It is refused with 409 as long as `ttl` says.
    Refuse,
}
