//! What is observed, and who is told, as it was compiled.

use super::context::Formats;
use super::field::Fields;
#[cfg(feature = "expressions")]
use crate::expression::Expression;
use crate::template::Template;
use serde::{Deserialize, Serialize};

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Rules {
    /// What stands in `service.name` and the other attributes of the resource.
    pub resource: Vec<(String, Template)>,
    /// Where OTLP goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otlp: Option<Otlp>,
    /// The access log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logs: Option<Logs>,
    /// Traces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traces: Option<Traces>,
    /// Metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Metrics>,
    /// `X-Request-Id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
    /// Whether clients get `Server-Timing`.
    #[serde(default)]
    pub server_timing: bool,
    /// Who may see how their requests are decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debug: Option<Debug>,
    /// What of it the admin interface shows.
    #[cfg(feature = "admin")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity: Option<crate::admin::ActivityRules>,
}

#[cfg(feature = "admin")]
impl Rules {
    /// The same where nobody is told anything, and no token opens anything: what is left is what requests and answers show.
    pub fn untold(&self) -> Self {
        let Rules { resource: _, otlp: _, logs: _, traces, metrics, request_id, server_timing, debug: _, activity: _ } =
            self;
        Self {
            traces: traces.clone().map(|traces| Traces { export: false, ..traces }),
            metrics: metrics.clone().map(|metrics| Metrics { otlp: false, ..metrics }),
            request_id: request_id.clone(),
            server_timing: *server_timing,
            ..Self::default()
        }
    }
}

/// A collector that takes OTLP over HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Otlp {
    /// What `/v1/logs` and the others are put behind.
    pub endpoint: Template,
    /// Fields of each request.
    pub headers: Vec<(String, Template)>,
    /// How it is written.
    pub encoding: Encoding,
    /// How long an answer may take, in milliseconds.
    pub timeout: u64,
}

/// How OTLP is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Binary.
    Protobuf,
    /// JSON.
    Json,
}

/// The access log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Logs {
    /// Who gets it.
    pub to: Vec<Sink>,
    /// How a line is written.
    pub format: Format,
    /// What a line says.
    pub fields: Fields,
    /// Fields of the request that are shown, in lower case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub request_headers: Vec<String>,
    /// The same of the response.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub response_headers: Vec<String>,
    /// Parameters of the query whose values are shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub query: Vec<String>,
    /// What else a line says, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<(String, Template)>,
    /// Which requests are logged.
    pub sample: Sampling,
    /// How lines are gathered for those who get them in batches.
    pub batch: Batch,
}

/// Who gets the access log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sink {
    /// Whoever reads what the gateway writes.
    Console,
    /// The collector.
    Otlp,
    /// A server.
    Http(HttpSink),
    /// A queue of the platform's, by its binding.
    Queue(String),
    /// A dataset of the platform's, by its binding.
    Analytics(String),
}

/// A server that takes batches of lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpSink {
    /// Its address.
    pub url: Template,
    /// In which form it takes them.
    pub form: Form,
    /// Fields of each request.
    pub headers: Vec<(String, Template)>,
    /// How long an answer may take, in milliseconds.
    pub timeout: u64,
}

/// In which form a server takes lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// One line after another, `application/x-ndjson`.
    Lines,
    /// A JSON array.
    Array,
    /// Loki's push API.
    Loki,
    /// Datadog's intake.
    Datadog,
    /// Splunk's HTTP event collector.
    Splunk,
}

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// As JSON.
    Json,
    /// The Common Log Format.
    Common,
    /// The same with `Referer` and `User-Agent`.
    Combined,
}

/// Which requests are logged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// The share of those for which no rule says otherwise.
    pub ratio: f64,
    /// The first that fits counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<SampleRule>,
    /// At most so many per second and instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_second: Option<f64>,
}

/// The share of some requests that is logged. All conditions must hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SampleRule {
    /// The share.
    pub ratio: f64,
    /// From this status to that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<(u16, u16)>,
    /// That took so many milliseconds or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slower_than: Option<u64>,
    /// For which this holds.
    #[cfg(feature = "expressions")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Expression>,
}

/// More rules than these cannot be told apart.
pub const MOST_RULES: usize = 32;

/// The longest time that anything may be gathered, in milliseconds.
pub const LONGEST_INTERVAL: u64 = 15_000;

/// How things are gathered until they leave together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// At most so many in one.
    pub size: usize,
    /// How long the first of them waits, in milliseconds.
    pub interval: u64,
    /// How many bytes an instance holds at most, for each who gets them.
    pub buffer: usize,
}

/// Traces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Traces {
    /// Whether spans go to the collector; without it, contexts are only handed on.
    pub export: bool,
    /// In which forms contexts come and go.
    pub formats: Formats,
    /// Whose context is continued.
    pub trust: Trust,
    /// The share of new traces that is recorded.
    pub ratio: f64,
    /// Whether a caller's decision counts, where the context does.
    pub parent: bool,
    /// Whether requests that fail are recorded all the same.
    pub on_error: bool,
    /// How spans are gathered.
    pub batch: Batch,
}

/// Whose word counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// Everybody's.
    Everybody,
    /// That of trusted proxies.
    TrustedProxies,
    /// Nobody's.
    Nobody,
}

impl Trust {
    /// Whether it includes one who came like that.
    pub fn includes(self, through_trusted: bool) -> bool {
        match self {
            Trust::Everybody => true,
            Trust::TrustedProxies => through_trusted,
            Trust::Nobody => false,
        }
    }
}

/// Metrics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Whether the collector gets what has been added.
    pub otlp: bool,
    /// Whether the platform's owner of sums does.
    pub shared: bool,
    /// How long what has been added waits, in milliseconds.
    pub interval: u64,
    /// Upper bounds of the classes of durations, in milliseconds, ascending.
    pub buckets: Vec<u64>,
    /// How many series an instance keeps at most.
    pub series: usize,
    /// Whether requests are counted for each consumer.
    #[serde(default)]
    pub by_consumer: bool,
}

/// `X-Request-Id`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestId {
    /// The field's name, in lower case.
    pub header: String,
    /// Whose is taken over.
    pub trust: Trust,
    /// Whether upstreams get it.
    pub upstream: bool,
    /// Whether clients get it.
    pub client: bool,
}

/// Who may see how their requests are decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Debug {
    /// What their tokens are signed with.
    pub secret: Template,
    /// The field in which tokens come, in lower case.
    pub header: String,
}
