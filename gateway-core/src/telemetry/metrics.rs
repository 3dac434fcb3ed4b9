//! What is counted: series of a bounded number, added up in this instance until they leave, and put together again by whoever
//! owns the sums of all instances.
//!
//! Labels have names of the configuration, methods, statuses and codes of our own; nothing that a client can make up. What
//! would be a series too many is counted in one that says `otel_metric_overflow="true"`, as OpenTelemetry's SDKs do.

use super::field::{self, split};
use super::watch::{Costs, Outcome, Record};
use crate::record;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

/// Something that is counted or measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Instrument {
    /// Requests, and how long they took.
    Requests,
    /// Attempts to reach upstreams, and how long they took.
    Attempts,
    /// Requests that the gateway answered with a problem.
    Refusals,
    /// What limits said.
    Limits,
    /// What caches did.
    Cache,
    /// What was asked of the platform.
    Operations,
    /// How often circuit breakers changed.
    Breakers,
    /// What sinks did not get.
    Lost,
}

/// How something is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A sum that only grows.
    Counter,
    /// Durations in classes.
    Histogram,
}

impl Instrument {
    /// Every one.
    pub const ALL: [Instrument; 8] = [
        Instrument::Requests,
        Instrument::Attempts,
        Instrument::Refusals,
        Instrument::Limits,
        Instrument::Cache,
        Instrument::Operations,
        Instrument::Breakers,
        Instrument::Lost,
    ];

    /// As OpenTelemetry's semantic conventions call it, or as we do.
    pub fn name(self) -> &'static str {
        match self {
            Instrument::Requests => "http.server.request.duration",
            Instrument::Attempts => "http.client.request.duration",
            Instrument::Refusals => "postern.refusals",
            Instrument::Limits => "postern.limits",
            Instrument::Cache => "postern.cache.lookups",
            Instrument::Operations => "postern.platform.operations",
            Instrument::Breakers => "postern.breaker.transitions",
            Instrument::Lost => "postern.telemetry.lost",
        }
    }

    /// What it is.
    pub fn about(self) -> &'static str {
        match self {
            Instrument::Requests => "How long requests took until the head of their answer was ready.",
            Instrument::Attempts => "How long attempts to reach an upstream took until the head of an answer came.",
            Instrument::Refusals => "Requests that the gateway answered with a problem of its own.",
            Instrument::Limits => "What limits decided.",
            Instrument::Cache => "What the cache did.",
            Instrument::Operations => "What was asked of the platform: each is billed by some.",
            Instrument::Breakers => "How often circuit breakers came into a state.",
            Instrument::Lost => "Log records, spans and series of sums that could not be delivered.",
        }
    }

    /// Its unit (UCUM).
    pub fn unit(self) -> &'static str {
        match self {
            Instrument::Requests | Instrument::Attempts => "s",
            Instrument::Refusals => "{request}",
            Instrument::Limits => "{decision}",
            Instrument::Cache => "{lookup}",
            Instrument::Operations => "{operation}",
            Instrument::Breakers => "{transition}",
            Instrument::Lost => "{record}",
        }
    }

    /// How it is counted.
    pub fn kind(self) -> Kind {
        match self {
            Instrument::Requests | Instrument::Attempts => Kind::Histogram,
            _ => Kind::Counter,
        }
    }

    /// The names of its labels, in order.
    pub fn labels(self) -> &'static [&'static str] {
        match self {
            Instrument::Requests => &[
                "http.request.method",
                "http.route",
                "http.response.status_code",
                "url.scheme",
                "error.type",
                CONSUMER,
            ],
            Instrument::Attempts => &[
                "http.request.method",
                "postern.upstream",
                "server.address",
                "server.port",
                "http.response.status_code",
                "error.type",
            ],
            Instrument::Refusals => &["http.route", "postern.policy", "postern.problem", CONSUMER],
            Instrument::Limits => &["postern.limit", "postern.outcome"],
            Instrument::Cache => &["http.route", "postern.cache.status"],
            Instrument::Operations => &["postern.operation"],
            Instrument::Breakers => &["postern.upstream", "postern.state"],
            Instrument::Lost => &["postern.signal", "postern.sink"],
        }
    }

    /// As Prometheus calls it: with underscores, the unit, and `_total` behind what only grows.
    pub fn prometheus(self) -> String {
        let name = self.name().replace('.', "_");
        match self.kind() {
            Kind::Histogram => format!("{name}_seconds"),
            Kind::Counter => format!("{name}_total"),
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|instrument| instrument.name() == name)
    }
}

/// The label of who called, always the last: what has none is counted as where nobody asks for it.
const CONSUMER: &str = "postern.consumer";

/// What stands where a series would be one too many.
const OVERFLOW: &str = "otel.metric.overflow";

/// Labels of one series; 0 is none.
const MOST_LABELS: usize = 6;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    instrument: Instrument,
    labels: [u32; MOST_LABELS],
}

/// The labels of the series that stands for all that are too many.
const TOO_MANY: [u32; MOST_LABELS] = [u32::MAX; MOST_LABELS];

/// What a series has come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Value {
    /// How often.
    #[serde(rename = "s")]
    Sum(u64),
    /// How often in each class of durations, the last of which has no upper bound, and all of them in milliseconds.
    #[serde(rename = "t")]
    Times {
        /// For each class.
        #[serde(rename = "c")]
        counts: Vec<u64>,
        /// Of all.
        #[serde(rename = "m")]
        sum: u64,
    },
}

impl Value {
    fn add(&mut self, other: &Value) {
        match (self, other) {
            (Value::Sum(sum), Value::Sum(more)) => *sum = sum.saturating_add(*more),
            (Value::Times { counts, sum }, Value::Times { counts: more, sum: time }) => {
                // A text of somebody else's making: nothing of it is lost.
                if counts.len() < more.len() {
                    counts.resize(more.len(), 0);
                }
                counts.iter_mut().zip(more).for_each(|(count, more)| *count = count.saturating_add(*more));
                *sum = sum.saturating_add(*time);
            }
            (Value::Sum(_) | Value::Times { .. }, _) => {}
        }
    }

    /// Sorts what was counted in some classes into others: into the smallest that holds all that may have been in the old one.
    fn sort_into(&mut self, bounds: &[u64], old: &[u64]) {
        let Value::Times { counts, .. } = self else { return };
        let mut sorted = vec![0_u64; bounds.len() + 1];
        for (place, count) in counts.iter().enumerate() {
            let class = old.get(place).map_or(bounds.len(), |most| bounds.partition_point(|bound| bound < most));
            if let Some(sum) = sorted.get_mut(class) {
                *sum = sum.saturating_add(*count);
            }
        }
        *counts = sorted;
    }
}

/// One series, for whoever writes it.
#[derive(Debug)]
pub struct Series<'a> {
    /// What is counted.
    pub instrument: Instrument,
    /// What it has come to.
    pub value: &'a Value,
    values: Vec<&'a str>,
}

impl<'a> Series<'a> {
    /// Names and values of those labels that it has.
    pub fn labels(&self) -> impl Iterator<Item = (&'static str, &'a str)> {
        let overflow = self.values.is_empty();
        let labels = self.instrument.labels().iter().zip(&self.values).filter(|(_, value)| !value.is_empty());
        labels.map(|(name, value)| (*name, *value)).chain(overflow.then_some((OVERFLOW, "true")))
    }
}

/// What this instance has counted since it was last told.
#[derive(Debug)]
pub struct Registry {
    series: HashMap<Key, Value>,
    symbols: HashMap<String, u32>,
    texts: Vec<String>,
    bounds: Vec<u64>,
    most: usize,
}

impl Registry {
    /// Nothing yet. `bounds` are the upper bounds of the classes of durations in milliseconds, `most` the number of series.
    pub fn new(bounds: &[u64], most: usize) -> Self {
        Self {
            series: HashMap::new(),
            symbols: HashMap::new(),
            texts: vec![String::new()],
            bounds: bounds.to_vec(),
            most,
        }
    }

    /// Whether nothing has been counted.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// Counts a request and all that came of it; `consumer` is empty where those are not told apart.
    pub fn count(&mut self, record: &Record, consumer: &str) {
        let status = Code::new(record.status);
        let (method, route) = (field::method(&record.method), record.route.as_deref().unwrap_or_default());
        let error = if record.failed() { record.problem.unwrap_or(status.as_str()) } else { "" };
        self.time(
            Instrument::Requests,
            &[method, route, status.as_str(), record.scheme.as_str(), error, consumer],
            record.took(),
        );
        for (called, took, upstream) in record.attempts() {
            let (host, port) = split(&called.authority);
            let port = port.map(Code::new);
            let status = match called.outcome {
                Outcome::Status(status) => Some(Code::new(status)),
                Outcome::GivenUp | Outcome::Failed(_) => None,
            };
            let text = |code: &Option<Code>| code.as_ref().map_or(String::new(), |code| code.as_str().to_owned());
            let (port, status) = (text(&port), text(&status));
            let labels = [
                field::method(&called.method),
                upstream,
                host,
                &port,
                &status,
                called.outcome.error().unwrap_or_default(),
            ];
            self.time(Instrument::Attempts, &labels, took);
        }
        if let Some(problem) = record.problem {
            self.add(Instrument::Refusals, &[route, record.decided_by.unwrap_or_default(), problem, consumer], 1);
        }
        for (name, outcome) in &record.limits {
            self.add(Instrument::Limits, &[name, outcome.as_str()], 1);
        }
        if let Some(outcome) = record.cache {
            self.add(Instrument::Cache, &[route, outcome], 1);
        }
        self.bill(record.costs);
    }

    /// Counts what was asked of the platform.
    pub fn bill(&mut self, costs: Costs) {
        for (operation, count) in
            [("subrequest", costs.subrequests), ("store_read", costs.store_reads), ("object_call", costs.object_calls)]
        {
            if count > 0 {
                self.add(Instrument::Operations, &[operation], count.into());
            }
        }
    }

    /// Adds to a sum.
    pub fn add(&mut self, instrument: Instrument, labels: &[&str], more: u64) {
        match self.at(instrument, labels) {
            Value::Sum(sum) => *sum = sum.saturating_add(more),
            Value::Times { .. } => {}
        }
    }

    fn time(&mut self, instrument: Instrument, labels: &[&str], took: u64) {
        let class = self.bounds.partition_point(|bound| *bound < took);
        match self.at(instrument, labels) {
            Value::Times { counts, sum } => {
                if let Some(count) = counts.get_mut(class) {
                    *count += 1;
                }
                *sum = sum.saturating_add(took);
            }
            Value::Sum(_) => {}
        }
    }

    fn at(&mut self, instrument: Instrument, labels: &[&str]) -> &mut Value {
        let mut key = Key { instrument, labels: [0; MOST_LABELS] };
        for (place, label) in key.labels.iter_mut().zip(labels) {
            *place = self.symbol(label);
        }
        if self.series.len() >= self.most && !self.series.contains_key(&key) {
            key.labels = TOO_MANY;
        }
        let classes = self.bounds.len() + 1;
        self.series.entry(key).or_insert_with(|| match instrument.kind() {
            Kind::Counter => Value::Sum(0),
            Kind::Histogram => Value::Times { counts: vec![0; classes], sum: 0 },
        })
    }

    /// The number of a text.
    fn symbol(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        if let Some(symbol) = self.symbols.get(text) {
            return *symbol;
        }
        let symbol = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        self.texts.push(text.to_owned());
        self.symbols.insert(text.to_owned(), symbol);
        symbol
    }

    /// Every series, in a fixed order.
    fn series(&self) -> Vec<Series<'_>> {
        let mut all: Vec<Series<'_>> = self
            .series
            .iter()
            .map(|(key, value)| {
                let names = key.instrument.labels();
                let without_consumer = names.len() - usize::from(names.last() == Some(&CONSUMER));
                let values = match key.labels {
                    TOO_MANY => Vec::new(),
                    labels => labels
                        .iter()
                        .take(names.len())
                        .enumerate()
                        .filter(|(place, symbol)| *place < without_consumer || **symbol != 0)
                        .map(|(_, symbol)| self.texts.get(*symbol as usize).map_or("", String::as_str))
                        .collect(),
                };
                Series { instrument: key.instrument, value, values }
            })
            .collect();
        all.sort_by(|one, other| (one.instrument, &one.values).cmp(&(other.instrument, &other.values)));
        all
    }

    /// What was counted, as text for [`merge`]; nothing is left.
    pub fn take(&mut self) -> Vec<u8> {
        let kept =
            Kept { bounds: self.bounds.clone(), series: self.series().iter().map(entry).collect(), heard: Vec::new() };
        self.series.clear();
        // Consumers may be many.
        if self.texts.len() > self.most.saturating_mul(MOST_LABELS) {
            self.symbols.clear();
            self.texts.truncate(1);
        }
        kept.write()
    }
}

/// A status or a port as text, without an allocation for what everybody has.
struct Code(String);

impl Code {
    fn new(number: u16) -> Self {
        Self(number.to_string())
    }

    fn as_str(&self) -> &str {
        &self.0
    }
}

/// Sums that have been read.
#[derive(Debug)]
pub struct Sums(Kept);

impl Sums {
    /// Reads what [`Registry::take`] or [`merge`] has written.
    pub fn read(text: &[u8]) -> Self {
        Self(Kept::read(text))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.series.is_empty()
    }

    /// The upper bounds of the classes, in milliseconds.
    pub fn bounds(&self) -> &[u64] {
        &self.0.bounds
    }

    /// Every series.
    pub fn series(&self) -> Vec<Series<'_>> {
        let all = self.0.series.iter().filter_map(|Entry(name, labels, value)| {
            let values = labels.iter().map(String::as_str).collect();
            Some(Series { instrument: Instrument::named(name)?, value, values })
        });
        all.collect()
    }
}

/// Sums as they are kept and sent.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    /// The upper bounds of the classes, in milliseconds.
    #[serde(rename = "b")]
    bounds: Vec<u64>,
    #[serde(rename = "s")]
    series: Vec<Entry>,
    /// Where there are several at the same time: the bounds of those that add, and how many additions ago each did.
    #[serde(rename = "o", default, skip_serializing_if = "Vec::is_empty")]
    heard: Vec<(Vec<u64>, u64)>,
}

/// Instrument, labels and value.
#[derive(Debug, Serialize, Deserialize)]
struct Entry(String, Vec<String>, Value);

impl Kept {
    /// What another version has kept, and what is no text of ours, counts as nothing.
    fn read(text: &[u8]) -> Self {
        record::read(text).unwrap_or_default()
    }

    fn write(&self) -> Vec<u8> {
        // Texts and numbers: it cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Somebody adds what was counted in classes with these bounds. All classes that are in use are kept beside each other: were
    /// those of one configuration sorted into those of the other each time, they would get longer with every addition.
    fn hear(&mut self, bounds: &[u64]) {
        if self.heard.is_empty() && !self.series.is_empty() {
            self.heard.push((self.bounds.clone(), 0));
        }
        self.heard.iter_mut().for_each(|(_, ago)| *ago = ago.saturating_add(1));
        self.heard.retain(|(known, ago)| known != bounds && *ago <= REMEMBERED);
        self.heard.push((bounds.to_vec(), 0));
        while self.heard.len() > MOST_HEARD {
            // The one that was added last is the last.
            self.heard.remove(0);
        }
        let mut all: Vec<u64> = self.heard.iter().flat_map(|(bounds, _)| bounds).copied().collect();
        all.sort_unstable();
        all.dedup();
        self.sort_into(all);
        if self.heard.len() == 1 {
            self.heard.clear();
        }
    }

    fn sort_into(&mut self, bounds: Vec<u64>) {
        if self.bounds != bounds {
            for Entry(.., value) in &mut self.series {
                value.sort_into(&bounds, &self.bounds);
            }
            self.bounds = bounds;
        }
    }
}

fn entry(series: &Series<'_>) -> Entry {
    let labels = series.values.iter().map(|value| (*value).to_owned()).collect();
    Entry(series.instrument.name().to_owned(), labels, series.value.clone())
}

/// The step that the owner of all sums does, in one go: what it kept and what an instance has added make what it keeps. Of
/// series beyond [`MOST_KEPT`] only those are added to that are there.
pub fn merge(kept: &[u8], added: &[u8]) -> Vec<u8> {
    let (mut kept, mut added) = (Kept::read(kept), Kept::read(added));
    if !added.series.is_empty() {
        kept.hear(&added.bounds);
        added.sort_into(kept.bounds.clone());
    }
    let Kept { bounds, series, heard } = kept;
    let mut sums: BTreeMap<(String, Vec<String>), Value> = BTreeMap::new();
    for Entry(name, labels, value) in series.into_iter().chain(added.series) {
        let mut key = (name, labels);
        if sums.len() >= MOST_KEPT && !sums.contains_key(&key) {
            key.1 = Vec::new();
        }
        match sums.get_mut(&key) {
            Some(sum) => sum.add(&value),
            None => drop(sums.insert(key, value)),
        }
    }
    let series = sums.into_iter().map(|((name, labels), value)| Entry(name, labels, value)).collect();
    Kept { bounds, series, heard }.write()
}

/// Classes stay that somebody has added to among so many additions: for hours, where there are some instances.
const REMEMBERED: u64 = 10_000;

/// Those of so many configurations stay at the same time.
const MOST_HEARD: usize = 3;

/// How many series the owner of all sums keeps.
pub const MOST_KEPT: usize = 5_000;

/// The sums in Prometheus's text format, version 0.0.4.
pub fn prometheus(kept: &[u8]) -> String {
    let Kept { bounds, series, .. } = Kept::read(kept);
    let mut out = String::new();
    for instrument in Instrument::ALL {
        let name = instrument.prometheus();
        let kind = match instrument.kind() {
            Kind::Counter => "counter",
            Kind::Histogram => "histogram",
        };
        // Writing into a String cannot fail.
        let _ = write!(out, "# HELP {name} {}\n# TYPE {name} {kind}\n", instrument.about());
        for Entry(_, labels, value) in series.iter().filter(|Entry(of, ..)| of == instrument.name()) {
            let series = Series { instrument, value, values: labels.iter().map(String::as_str).collect() };
            let labels: Vec<String> = series
                .labels()
                .map(|(name, value)| format!("{}=\"{}\"", name.replace('.', "_"), escaped(value)))
                .collect();
            let braced = |more: Option<String>| {
                let all: Vec<&str> = labels.iter().map(String::as_str).chain(more.as_deref()).collect();
                if all.is_empty() { String::new() } else { format!("{{{}}}", all.join(",")) }
            };
            match value {
                Value::Sum(sum) => drop(writeln!(out, "{name}{} {sum}", braced(None))),
                Value::Times { counts, sum } => {
                    let mut below = 0;
                    for (place, count) in counts.iter().enumerate() {
                        below += count;
                        let bound = bounds.get(place).map_or("+Inf".to_owned(), |bound| in_seconds(*bound));
                        let _ = writeln!(out, "{name}_bucket{} {below}", braced(Some(format!("le=\"{bound}\""))));
                    }
                    let _ = writeln!(out, "{name}_sum{} {}", braced(None), in_seconds(*sum));
                    let _ = writeln!(out, "{name}_count{} {below}", braced(None));
                }
            }
        }
    }
    out
}

/// `0.25`, `10`: a number as Prometheus reads it.
fn in_seconds(milliseconds: u64) -> String {
    let (whole, rest) = (milliseconds / 1_000, milliseconds % 1_000);
    if rest == 0 { whole.to_string() } else { format!("{whole}.{rest:03}").trim_end_matches('0').to_owned() }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Scheme;

    fn record(route: &str, status: u16, took: u64) -> Record {
        let mut record = Record::new("id".to_owned(), 1_000, "GET", Scheme::Http, "a");
        record.route = Some(route.to_owned());
        record.status = status;
        record.ended += took;
        record
    }

    fn registry(most: usize) -> Registry {
        Registry::new(&[5, 100], most)
    }

    #[test]
    fn what_instances_counted_adds_up() {
        let (mut one, mut other) = (registry(100), registry(100));
        one.count(&record("a", 200, 5), "");
        one.count(&record("a", 200, 6), "");
        other.count(&record("a", 200, 1_000), "");
        other.count(&record("b", 404, 1), "");
        let kept = merge(&merge(b"", &one.take()), &other.take());
        assert!(one.is_empty());
        let text = prometheus(&kept);
        for line in [
            "# TYPE http_server_request_duration_seconds histogram",
            r#"http_server_request_duration_seconds_bucket{http_request_method="GET",http_route="a",http_response_status_code="200",url_scheme="http",le="0.005"} 1"#,
            r#"http_server_request_duration_seconds_bucket{http_request_method="GET",http_route="a",http_response_status_code="200",url_scheme="http",le="0.1"} 2"#,
            r#"http_server_request_duration_seconds_bucket{http_request_method="GET",http_route="a",http_response_status_code="200",url_scheme="http",le="+Inf"} 3"#,
            r#"http_server_request_duration_seconds_sum{http_request_method="GET",http_route="a",http_response_status_code="200",url_scheme="http"} 1.011"#,
            r#"http_server_request_duration_seconds_count{http_request_method="GET",http_route="b",http_response_status_code="404",url_scheme="http"} 1"#,
        ] {
            assert!(text.lines().any(|other| other == line), "{line}\nis not in\n{text}");
        }
        assert_eq!(merge(&kept, b""), kept, "nothing is added");
        assert_eq!(merge(b"nonsense", b""), merge(b"", b""));
    }

    #[test]
    fn two_configurations_with_other_classes_lose_nothing_of_each_other() {
        let add = |kept: &[u8], bounds: &[u64], took: u64| {
            let mut registry = Registry::new(bounds, 100);
            registry.count(&record("a", 200, took), "");
            merge(kept, &registry.take())
        };
        let mut kept = Vec::new();
        for _ in 0..100 {
            kept = add(&kept, &[5, 10, 100], 5);
            kept = add(&kept, &[7, 50, 1_000], 6);
            kept = add(&kept, &[5, 10, 100], 2_000);
        }
        let text = prometheus(&kept);
        for (bound, expected) in
            [("0.005", 100), ("0.007", 200), ("0.01", 200), ("0.05", 200), ("0.1", 200), ("1", 200), ("+Inf", 300)]
        {
            let line = format!("url_scheme=\"http\",le=\"{bound}\"}} {expected}");
            assert!(text.lines().any(|other| other.ends_with(&line)), "{line}\nis not in\n{text}");
        }
        // The old ones go when nobody has used them for long, but not what was counted in them.
        for _ in 0..=REMEMBERED {
            kept = add(&kept, &[7, 50, 1_000], 1);
        }
        let sums = Sums::read(&kept);
        assert_eq!(sums.bounds(), [7, 50, 1_000]);
        let Value::Times { counts, .. } = sums.series()[0].value else { panic!("durations") };
        assert_eq!(*counts, [200 + REMEMBERED + 1, 0, 0, 100]);
    }

    #[test]
    fn series_are_bounded_and_nothing_is_lost() {
        let mut registry = registry(3);
        for number in 0..100 {
            registry.count(&record(&format!("route-{number}"), 200, 1), "");
        }
        assert_eq!(registry.series().len(), 4);
        let text = prometheus(&merge(b"", &registry.take()));
        let overflow = r#"http_server_request_duration_seconds_count{otel_metric_overflow="true"} 97"#;
        assert!(text.contains(overflow), "{text}");
    }

    #[test]
    fn consumers_are_told_apart_where_somebody_asks_and_others_are_counted_as_ever() {
        let mut registry = registry(100);
        let mut refused = record("a", 403, 1);
        refused.problem = Some("forbidden");
        registry.count(&record("a", 200, 1), "alice");
        registry.count(&refused, "alice");
        registry.count(&record("a", 200, 1), "");
        let text = prometheus(&merge(b"", &registry.take()));
        let labels = r#"http_request_method="GET",http_route="a",http_response_status_code="200",url_scheme="http""#;
        for line in [
            format!(r#"http_server_request_duration_seconds_count{{{labels},postern_consumer="alice"}} 1"#),
            format!("http_server_request_duration_seconds_count{{{labels}}} 1"),
            r#"postern_refusals_total{http_route="a",postern_problem="forbidden",postern_consumer="alice"} 1"#
                .to_owned(),
        ] {
            assert!(text.lines().any(|other| other == line), "{line}\nis not in\n{text}");
        }
    }

    #[test]
    fn names_of_many_consumers_are_not_kept_for_ever() {
        let mut registry = registry(10);
        for round in 0..10 {
            for number in 0..100 {
                registry.count(&record("a", 200, 1), &format!("consumer-{round}-{number}"));
            }
            registry.take();
        }
        assert!(registry.texts.len() <= 200, "{}", registry.texts.len());
        registry.count(&record("a", 200, 1), "alice");
        assert!(prometheus(&merge(b"", &registry.take())).contains(r#"postern_consumer="alice""#));
    }

    #[test]
    fn labels_cannot_end_their_line() {
        let mut registry = registry(10);
        registry.add(Instrument::Limits, &["a\"b\n\\", "admitted"], 1);
        let text = prometheus(&merge(b"", &registry.take()));
        assert!(
            text.contains(r#"postern_limits_total{postern_limit="a\"b\n\\",postern_outcome="admitted"} 1"#),
            "{text}"
        );
    }
}
