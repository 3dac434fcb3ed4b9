//! What the gateway tells of itself, as users write it.

use schemars::{JsonSchema, Schema};
use serde::Deserialize;

use super::{Address, Duration, Expression, HeaderName, Named, OneOrMany, Size, Template, Token};

/// What the gateway tells of itself: an access log, traces, metrics, and headers that say how a request was decided. Everything
/// is off unless it stands here; `docs/observability.md` has every field, span and metric.
///
/// ```yaml
/// telemetry:
///   otlp: { endpoint: "https://otel.example.com", headers: { authorization: "Bearer ${secret:OTLP_TOKEN}" } }
///   logs: { to: [console, otlp] }
///   traces: { to: otlp, sample: { ratio: 0.01, on_error: true } }
///   metrics: { to: [otlp, shared] }
///   request_id: { to: [upstream, client] }
/// ```
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    /// `service.name` of everything that is told. Default: what `via` says.
    pub service: Option<String>,
    /// More attributes of the resource, by OpenTelemetry's names.
    #[schemars(extend("examples" = [{"deployment.environment.name": "production"}]))]
    pub attributes: Option<Named<String, Template>>,
    /// A collector that takes OTLP over HTTP, for those that say `otlp`.
    pub otlp: Option<Otlp>,
    /// The access log: a line for each request.
    pub logs: Option<Logs>,
    /// Traces: a span for each request, each policy and each attempt to reach an upstream.
    pub traces: Option<Traces>,
    /// Metrics: how many, how long, what was refused, what it cost.
    pub metrics: Option<Metrics>,
    /// What identifies a request to upstreams and clients. It stands in problem details and logs in any case.
    pub request_id: Option<RequestId>,
    /// Whether clients get `Server-Timing`: how long the gateway and its upstreams took. Default: `false`.
    #[schemars(extend("default" = false))]
    pub server_timing: Option<bool>,
    /// Callers with a signed token get to see how their request was decided, in `Postern-Decision`.
    pub debug: Option<Debug>,
}

/// A collector that takes OTLP over HTTP.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Otlp {
    /// Its address, without `/v1/logs` and the like.
    pub endpoint: Address,
    /// Fields of each request: what the collector wants to see before it takes anything.
    pub headers: Option<Named<HeaderName, Template>>,
    /// How it is written. Default: `protobuf`.
    #[schemars(extend("default" = "protobuf"))]
    pub encoding: Option<OtlpEncoding>,
    /// How long an answer may take. Default: `10s`.
    #[schemars(extend("default" = "10s"))]
    pub timeout: Option<Duration>,
}

/// How OTLP is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OtlpEncoding {
    /// Binary; about a third of the other's size.
    Protobuf,
    /// JSON.
    Json,
}

/// The access log: a line for each request.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Logs {
    /// Who gets it. Default: `console`.
    #[schemars(extend("default" = "console"))]
    pub to: Option<OneOrMany<LogSink>>,
    /// How a line is written. Collectors and datasets get values, not lines. Default: `json`.
    #[schemars(extend("default" = "json"))]
    pub format: Option<LogFormat>,
    /// What a line says, instead of the usual fields.
    #[schemars(extend("examples" = [["timestamp", "http.request.method", "http.route", "http.response.status_code"]]))]
    pub fields: Option<OneOrMany<LogField>>,
    /// Fields that a line does not say.
    pub without: Option<OneOrMany<LogField>>,
    /// Fields that a line says besides the usual ones.
    #[schemars(extend("examples" = [["postern.costs", "http.response.body.size"]]))]
    pub with: Option<OneOrMany<LogField>>,
    /// Header fields that a line shows. Those that hold credentials, here or usually, cannot be shown.
    pub headers: Option<LoggedHeaders>,
    /// Parameters of the query whose values are shown; those of all others are replaced by `REDACTED`. Those in which the
    /// configuration takes credentials cannot be shown. Default: none.
    #[schemars(extend("examples" = [["page", "sort"]]))]
    pub query: Option<OneOrMany<String>>,
    /// What else a line says, by names of one's own: small letters, digits and `_`, with `.` between words, in no namespace of the
    /// usual fields. Templates are filled in when the answer is ready, and cut behind 256 bytes; what comes out empty is left out, and so
    /// is everything where no route takes the request. Header fields, parameters and cookies that may hold a credential cannot be shown.
    #[schemars(extend("examples" = [{"tenant": "{token.claims.tenant}", "shop.region": "{request.headers.x-region}"}]))]
    pub attributes: Option<Named<String, Template>>,
    /// Which requests are logged. Default: all.
    pub sample: Option<LogSample>,
    /// How lines are gathered for those who get them in batches.
    pub batch: Option<TelemetryBatch>,
}

/// Who gets the access log.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogSink {
    /// Whoever reads what the gateway writes: Workers Logs and Logpush, the log of Spin.
    Console,
    /// The collector, as log records.
    Otlp,
    /// A server.
    Http(HttpSink),
    /// A Queue that is bound under this name. Only on Workers.
    Queue(Token),
    /// A dataset of the Analytics Engine that is bound under this name. Only on Workers.
    Analytics(Token),
}

/// A server that takes batches of lines.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpSink {
    /// Its address.
    #[schemars(extend("examples" = ["https://loki.example.com/loki/api/v1/push"]))]
    pub url: Address,
    /// In which form it takes them. Default: `lines`.
    #[schemars(extend("default" = "lines"))]
    pub form: Option<SinkForm>,
    /// Fields of each request.
    #[schemars(extend("examples" = [{"authorization": "Splunk ${secret:SPLUNK_TOKEN}"}]))]
    pub headers: Option<Named<HeaderName, Template>>,
    /// How long an answer may take. Default: `10s`.
    #[schemars(extend("default" = "10s"))]
    pub timeout: Option<Duration>,
}

/// In which form a server takes lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SinkForm {
    /// One line after another (`application/x-ndjson`).
    Lines,
    /// A JSON array.
    Array,
    /// Loki's push API; the attributes of the resource are the labels.
    Loki,
    /// Datadog's intake for logs.
    Datadog,
    /// Splunk's HTTP event collector.
    Splunk,
}

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// A JSON object: `docs/access-log.schema.json`.
    Json,
    /// The Common Log Format. The protocol is always written as `HTTP/1.1`: platforms do not tell.
    Common,
    /// The same with `Referer` (without its query) and `User-Agent`.
    Combined,
}

/// Header fields that a line shows.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoggedHeaders {
    /// Of requests, as `http.request.header.NAME`.
    pub request: Option<OneOrMany<HeaderName>>,
    /// Of responses, as `http.response.header.NAME`. On Workers, looking at responses costs some CPU time.
    pub response: Option<OneOrMany<HeaderName>>,
}

/// Which requests are logged.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogSample {
    /// The share of those for which no rule says otherwise. Default: 1.
    #[schemars(extend("default" = 1), range(min = 0.0, max = 1.0))]
    pub ratio: Option<f64>,
    /// The first rule that fits says the share.
    #[schemars(extend("examples" = [[{"status": "5xx", "ratio": 1}, {"slower_than": "1s", "ratio": 1}]]))]
    pub rules: Option<Vec<LogSampleRule>>,
    /// At most so many lines per second and instance. Default: no limit.
    #[schemars(extend("examples" = [100]), range(min = 0.001))]
    pub per_second: Option<f64>,
}

/// A share of the requests that meet all of its conditions.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogSampleRule {
    /// The share.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub ratio: f64,
    /// The status, or a class of them.
    pub status: Option<StatusClass>,
    /// That took so long or longer.
    pub slower_than: Option<Duration>,
    /// For which this expression holds. Requests that no route takes meet no expression.
    pub when: Option<Expression>,
}

/// How things are gathered until they leave together.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TelemetryBatch {
    /// At most so many in one batch. Default: 200.
    #[schemars(extend("default" = 200), range(min = 1, max = 10_000))]
    pub size: Option<u32>,
    /// How long the first of them waits for others. Default: `1s`.
    #[schemars(extend("default" = "1s"))]
    pub interval: Option<Duration>,
    /// How many bytes each instance holds at most, for each who gets them; the oldest are lost first, and counted. Default: `1MiB`.
    #[schemars(extend("default" = "1MiB"))]
    pub buffer: Option<Size>,
}

/// Traces: a span for each request, each policy and each attempt to reach an upstream.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Traces {
    /// Who gets spans. Default: nobody, and contexts are only handed on.
    pub to: Option<SpanSink>,
    /// In which forms contexts come and go. Default: `w3c`.
    #[schemars(extend("default" = "w3c"))]
    pub propagation: Option<OneOrMany<Propagation>>,
    /// Whose context is continued; others begin a new trace. Default: `trusted_proxies`.
    #[schemars(extend("default" = "trusted_proxies"))]
    pub trust: Option<TrustedPeers>,
    /// Which traces are recorded.
    pub sample: Option<TraceSample>,
    /// How spans are gathered.
    pub batch: Option<TelemetryBatch>,
}

/// Who gets spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SpanSink {
    /// The collector.
    Otlp,
}

/// In which form a context comes and goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Propagation {
    /// `traceparent` and `tracestate` (W3C Trace Context).
    W3c,
    /// `b3`.
    B3,
    /// `X-B3-TraceId` and the others.
    B3Multi,
}

/// Whose word counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrustedPeers {
    /// Everybody's: whoever calls can have traces recorded, and choose identifiers.
    Everybody,
    /// That of `client.trusted_proxies`.
    TrustedProxies,
    /// Nobody's.
    Nobody,
}

/// Which traces are recorded.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TraceSample {
    /// The share of those for which no caller has decided. Default: 1.
    #[schemars(extend("default" = 1), range(min = 0.0, max = 1.0))]
    pub ratio: Option<f64>,
    /// Whether a caller's decision counts, where its context does. Default: `true`.
    #[schemars(extend("default" = true))]
    pub parent: Option<bool>,
    /// Whether requests that fail (status 500 and above) are recorded in any case. Default: `false`.
    #[schemars(extend("default" = false))]
    pub on_error: Option<bool>,
}

/// Metrics: how many, how long, what was refused, what it cost.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// Who gets them: `otlp` for the collector, `shared` for the platform's owner of sums, which a route with `serve: metrics`
    /// shows to Prometheus. Default: `shared`.
    #[schemars(extend("default" = "shared"))]
    pub to: Option<OneOrMany<MetricSink>>,
    /// How long what was counted waits until it leaves its instance. Default: `10s`.
    #[schemars(extend("default" = "10s"))]
    pub interval: Option<Duration>,
    /// Upper bounds of the classes of durations. Default: those of OpenTelemetry, 5 ms to 10 s.
    #[schemars(extend("examples" = [["10ms", "100ms", "1s"]]))]
    pub buckets: Option<Vec<Duration>>,
    /// How many series an instance keeps at most; what comes beyond is counted in one. Default: 2000.
    #[schemars(extend("default" = 2000), range(min = 10, max = 10_000))]
    pub series: Option<u32>,
    /// Whether requests and refusals are counted for each consumer: with the label `postern.consumer`, where one has been recognised.
    /// Each is a series of its own for each route and status, so raise `series` with it. Default: `false`.
    #[schemars(extend("default" = false))]
    pub by_consumer: Option<bool>,
}

/// Who gets metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MetricSink {
    /// The collector, as deltas.
    Otlp,
    /// The platform's owner of sums: a Durable Object on Workers, the key-value store on Spin.
    Shared,
}

/// What identifies a request to upstreams and clients.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestId {
    /// The field's name. Default: `x-request-id`.
    #[schemars(extend("default" = "x-request-id"))]
    pub header: Option<HeaderName>,
    /// Whose is taken over; others get a new one. Default: `trusted_proxies`.
    #[schemars(extend("default" = "trusted_proxies"))]
    pub trust: Option<TrustedPeers>,
    /// Who gets it. Default: `upstream`.
    #[schemars(extend("default" = "upstream"))]
    pub to: Option<OneOrMany<RequestIdReader>>,
}

/// Who gets the identifier of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequestIdReader {
    /// The upstream.
    Upstream,
    /// The client. On Workers, an answer with a field more costs some CPU time.
    Client,
}

/// Callers with a signed token get to see how their request was decided: the route and why others did not take it, what each
/// policy said, and every attempt, as JSON in `Postern-Decision`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Debug {
    /// What tokens are signed with (HS256), 32 bytes or more. A token is a JWT with `aud` `postern-debug` and an `exp` of at most a day
    /// ahead.
    #[schemars(extend("examples" = ["${secret:DEBUG_SECRET}"]))]
    pub secret: Template,
    /// The field in which tokens come. Default: `postern-debug`.
    #[schemars(extend("default" = "postern-debug"))]
    pub header: Option<HeaderName>,
}

/// What a route serves of the gateway itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Serve {
    /// 200, as long as it answers at all.
    Live,
    /// 200, or 503 when a store that requests need or an upstream cannot be used, as far as this instance knows.
    Ready,
    /// The version of the gateway and of its configuration.
    Version,
    /// The metrics of all instances in Prometheus's text format; `telemetry.metrics.to` must have `shared`.
    Metrics,
}

/// A field of the access log.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(transform = log_fields)]
pub struct LogField(pub String);

fn log_fields(schema: &mut Schema) {
    let names: Vec<_> = crate::telemetry::field::Field::ALL.iter().map(|(name, ..)| *name).collect();
    schema.insert("enum".to_owned(), names.into());
}

/// A status, or a class of them: `404`, `5xx`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("pattern" = "^([1-5][0-9][0-9]|[1-5]xx)$", "examples" = ["5xx", "404"]))]
pub struct StatusClass(pub String);
