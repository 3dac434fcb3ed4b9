//! What the OpenTelemetry protocol (OTLP 1.x) says of logs, traces and metrics: `opentelemetry/proto/*/v1/*.proto`.

use super::field::{self, Choice, Field, Said, split};
use super::metrics::{Instrument, Kind, Series, Value};
use super::protobuf::{Message, Repeated};
use super::rules::Encoding;
use super::watch::{Called, Outcome, Record, Step, Verdict, What};
use super::{SCHEMA_URL, SCOPE, VERSION};
use crate::platform::Timestamp;

/// A kind of what is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Lines of the access log.
    Logs,
    /// Spans.
    Traces,
    /// Metrics.
    Metrics,
}

impl Signal {
    /// As a collector's paths end with it, and as it is told.
    pub fn as_str(self) -> &'static str {
        match self {
            Signal::Logs => "logs",
            Signal::Traces => "traces",
            Signal::Metrics => "metrics",
        }
    }
}

/// A request with log records, spans or metrics that have been written before.
pub fn export(signal: Signal, encoding: Encoding, resource: &[(String, String)], items: &[Vec<u8>]) -> Vec<u8> {
    let names = match signal {
        Signal::Logs => ("resourceLogs", "scopeLogs", "logRecords"),
        Signal::Traces => ("resourceSpans", "scopeSpans", "spans"),
        Signal::Metrics => ("resourceMetrics", "scopeMetrics", "metrics"),
    };
    let mut inner = Message::new(encoding);
    inner.message(1, "resource", |message| {
        message.repeated(1, "attributes", |all| {
            resource.iter().for_each(|(name, value)| attribute(all, name, &Said::Text(value)));
        });
    });
    let mut scope = Message::new(encoding);
    scope.message(1, "scope", |message| {
        message.string(1, "name", SCOPE);
        message.string(2, "version", VERSION);
    });
    scope.list(2, names.2, items);
    inner.list(2, names.1, &[scope.finish()]);
    inner.string(3, "schemaUrl", SCHEMA_URL);
    let mut request = Message::new(encoding);
    request.list(1, names.0, &[inner.finish()]);
    request.finish()
}

/// A `LogRecord`: an event whose attributes are what a line says.
pub fn log(record: &Record, encoding: Encoding, choice: Choice<'_>) -> Vec<u8> {
    let mut message = Message::new(encoding);
    message.fixed64(1, "timeUnixNano", nanoseconds(record.began));
    let (severity, name) = match record.status {
        500.. => (17, "ERROR"),
        _ => (9, "INFO"),
    };
    message.number(2, "severityNumber", severity);
    message.string(3, "severityText", name);
    message.message(5, "body", |body| {
        let route = record.route.as_deref().unwrap_or("no route");
        body.string(1, "stringValue", &format!("{} {route} {}", field::method(&record.method), record.status));
    });
    // These have places of their own.
    let fields = choice.fields.without(&[Field::Timestamp, Field::TraceId, Field::SpanId]);
    message.repeated(6, "attributes", |all| {
        field::describe(record, Choice { fields, ..choice }, |name, said| attribute(all, name, &said));
    });
    if let Some(trace) = &record.trace {
        message.fixed32(8, "flags", trace.context.sampled.unwrap_or(false).into());
        message.identifier(9, "traceId", &trace.context.trace.to_be_bytes());
        message.identifier(10, "spanId", &trace.context.span.to_be_bytes());
    }
    message.fixed64(11, "observedTimeUnixNano", nanoseconds(record.ended));
    message.string(12, "eventName", "postern.access");
    message.finish()
}

/// The kinds of spans.
const INTERNAL: u64 = 1;
const SERVER: u64 = 2;
const CLIENT: u64 = 3;

/// Every `Span` of a request: one for the request, one for each step. `spans` gives those of steps that have none yet.
pub fn spans(record: &Record, encoding: Encoding, mut identify: impl FnMut() -> u64) -> Vec<Vec<u8>> {
    let Some(trace) = &record.trace else { return Vec::new() };
    let context = &trace.context;
    let identifiers: Vec<u64> = record
        .steps
        .iter()
        .map(|step| match &step.what {
            What::Call(called) if called.span != 0 => called.span,
            _ => identify().max(1),
        })
        .collect();
    let begin = |span: u64, parent: Option<u64>, name: &str, kind: u64, (began, ended): (Timestamp, Timestamp)| {
        let mut message = Message::new(encoding);
        message.identifier(1, "traceId", &context.trace.to_be_bytes());
        message.identifier(2, "spanId", &span.to_be_bytes());
        if let Some(state) = &context.state {
            message.string(3, "traceState", state);
        }
        if let Some(parent) = parent {
            message.identifier(4, "parentSpanId", &parent.to_be_bytes());
        }
        message.string(5, "name", name);
        message.number(6, "kind", kind);
        message.fixed64(7, "startTimeUnixNano", nanoseconds(began));
        message.fixed64(8, "endTimeUnixNano", nanoseconds(ended.max(began)));
        message
    };
    let fail = |message: &mut Message, why: &str| {
        message.message(15, "status", |status| {
            status.string(2, "message", why);
            status.number(3, "code", 2);
        });
    };
    let method = field::method(&record.method);
    let name = record.route.as_ref().map_or_else(|| method.to_owned(), |route| format!("{method} {route}"));
    let kind = if record.made_by.is_some() { INTERNAL } else { SERVER };
    let mut whole = begin(context.span, trace.parent, &name, kind, (record.began, record.ended));
    // What has places of its own, and what the other spans say.
    let elsewhere = [Field::Timestamp, Field::TraceId, Field::SpanId, Field::Attempts, Field::Duration];
    let fields = field::Fields::default().without(&elsewhere);
    let choice = Choice { fields, request_headers: &[], response_headers: &[], query: &[], attributes: &[] };
    whole.repeated(9, "attributes", |all| field::describe(record, choice, |name, said| attribute(all, name, &said)));
    if record.failed() {
        fail(&mut whole, record.problem.unwrap_or_default());
    }
    let mut spans = vec![whole.finish()];
    for (step, span) in record.steps.iter().zip(&identifiers) {
        let parent = step.within.and_then(|place| identifiers.get(place)).copied().unwrap_or(context.span);
        let ended = if step.ended == 0 { record.ended } else { step.ended };
        let (name, kind) = named(step);
        let mut message = begin(*span, Some(parent), &name, kind, (step.began, ended));
        message.repeated(9, "attributes", |all| said(step).iter().for_each(|(name, said)| attribute(all, name, said)));
        match &step.what {
            What::Call(called) => match called.outcome {
                Outcome::Status(status) if status >= 400 => fail(&mut message, ""),
                Outcome::Status(_) => {}
                Outcome::GivenUp | Outcome::Failed(_) => fail(&mut message, called.outcome.error().unwrap_or_default()),
            },
            What::Policy { .. }
            | What::Forward { .. }
            | What::Lookup
            | What::Count
            | What::Claim
            | What::Read
            | What::Wait => {}
        }
        spans.push(message.finish());
    }
    spans
}

fn named(step: &Step) -> (String, u64) {
    match &step.what {
        What::Policy { kind, .. } => (format!("policy {kind}"), INTERNAL),
        What::Forward { upstream } => (format!("upstream {upstream}"), INTERNAL),
        What::Call(called) => (field::method(&called.method).to_owned(), CLIENT),
        What::Lookup => ("store lookup".to_owned(), CLIENT),
        What::Count => ("counters take".to_owned(), CLIENT),
        What::Claim => ("claim".to_owned(), CLIENT),
        What::Read => ("body read".to_owned(), INTERNAL),
        What::Wait => ("wait".to_owned(), INTERNAL),
    }
}

fn said(step: &Step) -> Vec<(&'static str, Said<'_>)> {
    match &step.what {
        What::Policy { kind, verdict } => {
            let mut said =
                vec![("postern.policy", Said::Text(kind)), ("postern.verdict", Said::Text(verdict.as_str()))];
            if let Verdict::Refused(problem) = verdict {
                said.push(("postern.problem", Said::Text(problem)));
            }
            said
        }
        What::Forward { upstream } => vec![("postern.upstream", Said::Text(upstream))],
        What::Call(called) => call(called),
        What::Lookup | What::Count | What::Claim | What::Read | What::Wait => Vec::new(),
    }
}

/// HTTP client spans. The query stays out of the URL: it may hold what is nobody's business.
fn call(called: &Called) -> Vec<(&'static str, Said<'_>)> {
    let (host, port) = split(&called.authority);
    let mut said = vec![
        ("http.request.method", Said::Text(field::method(&called.method))),
        ("server.address", Said::Text(host)),
        ("server.port", Said::Number(port.unwrap_or(if called.scheme.as_str() == "https" { 443 } else { 80 }).into())),
        ("url.full", Said::Made(format!("{}://{}{}", called.scheme, called.authority, called.path))),
    ];
    if let Some(attempt) = called.attempt.filter(|attempt| *attempt > 0) {
        said.push(("http.request.resend_count", Said::Number(attempt.into())));
    }
    match called.outcome {
        Outcome::Status(status) => {
            said.push(("http.response.status_code", Said::Number(status.into())));
            if status >= 400 {
                said.push(("error.type", Said::Made(status.to_string())));
            }
        }
        Outcome::GivenUp | Outcome::Failed(_) => {
            said.extend(called.outcome.error().map(|error| ("error.type", Said::Text(error))));
        }
    }
    said
}

/// A `Metric` for each instrument of which there are series, with what was added since the last time (delta temporality).
pub fn metrics(
    all: &[Series<'_>],
    bounds: &[u64],
    encoding: Encoding,
    since: Timestamp,
    now: Timestamp,
) -> Vec<Vec<u8>> {
    let mut written = Vec::new();
    for instrument in Instrument::ALL {
        let points: Vec<Vec<u8>> = all
            .iter()
            .filter(|series| series.instrument == instrument)
            .map(|series| point(series, bounds, encoding, since, now))
            .collect();
        if points.is_empty() {
            continue;
        }
        let mut message = Message::new(encoding);
        message.string(1, "name", instrument.name());
        message.string(2, "description", instrument.about());
        message.string(3, "unit", instrument.unit());
        match instrument.kind() {
            Kind::Counter => message.message(7, "sum", |sum| {
                sum.list(1, "dataPoints", &points);
                sum.number(2, "aggregationTemporality", DELTA);
                sum.truth(3, "isMonotonic");
            }),
            Kind::Histogram => message.message(9, "histogram", |histogram| {
                histogram.list(1, "dataPoints", &points);
                histogram.number(2, "aggregationTemporality", DELTA);
            }),
        }
        written.push(message.finish());
    }
    written
}

const DELTA: u64 = 1;

fn point(series: &Series<'_>, bounds: &[u64], encoding: Encoding, since: Timestamp, now: Timestamp) -> Vec<u8> {
    let mut point = Message::new(encoding);
    let attributes = |all: &mut Repeated<'_>| {
        series.labels().for_each(|(name, value)| match value.parse::<u64>() {
            Ok(number) if matches!(name, "http.response.status_code" | "server.port") => {
                attribute(all, name, &Said::Number(number));
            }
            Ok(_) | Err(_) => attribute(all, name, &Said::Text(value)),
        });
    };
    match series.value {
        Value::Sum(sum) => {
            point.fixed64(2, "startTimeUnixNano", nanoseconds(since));
            point.fixed64(3, "timeUnixNano", nanoseconds(now));
            point.fixed64(6, "asInt", *sum);
            point.repeated(7, "attributes", attributes);
        }
        Value::Times { counts, sum } => {
            point.fixed64(2, "startTimeUnixNano", nanoseconds(since));
            point.fixed64(3, "timeUnixNano", nanoseconds(now));
            point.fixed64(4, "count", counts.iter().sum());
            point.seconds(5, "sum", *sum);
            point.fixed64s(6, "bucketCounts", counts);
            point.all_seconds(7, "explicitBounds", bounds);
            point.repeated(9, "attributes", attributes);
        }
    }
    point.finish()
}

/// One more `KeyValue`.
fn attribute(all: &mut Repeated<'_>, name: &str, said: &Said<'_>) {
    all.push(|message| {
        message.string(1, "key", name);
        message.message(2, "value", |value| any(said, value));
    });
}

/// An `AnyValue`.
fn any(said: &Said<'_>, value: &mut Message) {
    match said {
        Said::Text(text) => value.string(1, "stringValue", text),
        Said::Made(text) => value.string(1, "stringValue", text),
        Said::Number(number) => value.int64(3, "intValue", *number),
        Said::Seconds(milliseconds) => value.seconds(4, "doubleValue", *milliseconds),
        Said::List(items) => value.message(5, "arrayValue", |array| {
            array.repeated(1, "values", |all| items.iter().for_each(|item| all.push(|value| any(item, value))));
        }),
        Said::Map(members) => value.message(6, "kvlistValue", |map| {
            map.repeated(1, "values", |all| members.iter().for_each(|(name, said)| attribute(all, name, said)));
        }),
    }
}

fn nanoseconds(now: Timestamp) -> u64 {
    now.saturating_mul(1_000_000)
}
