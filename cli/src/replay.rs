//! `postern replay`: sends the requests of a log again, and compares what comes with what was logged.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use gateway_core::upstream::is_safe;
use serde_json::{Value, json};
use ureq::http::{Method, Request, Uri};

use crate::arguments::{ExplanationFormat, Replay};
use crate::outcome::{Failure, Outcome};
use crate::terminal::{Colour, Paint};
use crate::traffic::{self, Logged};

/// Sends a log's requests again.
pub fn run(options: &Replay, colour: Colour) -> Result<Outcome, Failure> {
    let traffic = traffic::read(&options.log)?;
    let base = options.to.trim_end_matches('/');
    let uri: Uri = base.parse().map_err(|error| Failure::told(format!("`{base}` is no URL: {error}")))?;
    if uri.scheme().is_none() || uri.authority().is_none() || uri.query().is_some() {
        return Err(Failure::told(format!(
            "`{base}` is not a URL with scheme and host, such as https://staging.example.com"
        )));
    }
    let (requests, unsafe_ones): (Vec<&Logged>, Vec<&Logged>) =
        traffic.requests.iter().partition(|request| options.all_methods || is_safe(&request.method));
    let times = times(&requests, options)?;
    let begun = Instant::now();
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(requests.len())));
    let agent = agent(options.timeout);
    thread::scope(|scope| {
        for _ in 0..options.concurrency.clamp(1, requests.len().max(1)) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let (Some(request), Some(due)) = (requests.get(at), times.get(at)) else { return };
                    thread::sleep(due.saturating_sub(begun.elapsed()));
                    let answer = send(&agent, base, request, options);
                    if let Ok(mut results) = results.lock() {
                        results.push(Sent { at, answer });
                    }
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_default();
    results.sort_by_key(|result| result.at);
    let report = Report {
        requests: &requests,
        results,
        left_out: unsafe_ones.len(),
        unread: traffic.unread,
        inner: traffic.inner,
        took: begun.elapsed(),
    };
    let mut out = io::stdout().lock();
    match options.format {
        ExplanationFormat::Human => {
            out.write_all(report.human(Paint::new(colour.on(&out)), options.examples).as_bytes())?;
        }
        ExplanationFormat::Json => writeln!(out, "{:#}", report.json(options.examples))?,
    }
    Ok(if report.is_same() { Outcome::Fine } else { Outcome::Problems })
}

/// When each request is to be sent, from the first one on.
fn times(requests: &[&Logged], options: &Replay) -> Result<Vec<Duration>, Failure> {
    if let Some(rate) = options.rate {
        return Ok((0..requests.len()).map(|at| Duration::from_secs_f64(at as f64 / rate)).collect());
    }
    if !options.as_recorded {
        return Ok(vec![Duration::ZERO; requests.len()]);
    }
    let first = requests.iter().filter_map(|request| request.at).min();
    let first = first.ok_or_else(|| Failure::told("the log does not say when its requests came; give a --rate"))?;
    // Lines are written when requests end, not when they come.
    let mut times: Vec<_> = requests
        .iter()
        .map(|request| Duration::from_millis(request.at.unwrap_or(first).saturating_sub(first)))
        .collect();
    for at in 1..times.len() {
        times[at] = times[at].max(times[at - 1]);
    }
    Ok(times)
}

fn agent(timeout: u64) -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .allow_non_standard_methods(true)
        .timeout_global(Some(Duration::from_secs(timeout)));
    config.build().into()
}

fn send(agent: &ureq::Agent, base: &str, request: &Logged, options: &Replay) -> Result<Answer, String> {
    let told = |error: &dyn std::fmt::Display| error.to_string();
    let method = Method::from_bytes(request.method.as_bytes()).map_err(|error| told(&error))?;
    let target = if request.target == "*" { "/" } else { &request.target };
    let mut message = Request::builder().method(method).uri(format!("{base}{target}"));
    let given = |name: &str| options.headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name));
    if let Some((_, host)) = request.origin.as_ref().filter(|_| !options.own_host && !given("host")) {
        message = message.header("host", host);
    }
    for (name, value) in request.headers.iter().filter(|(name, _)| !given(name)).chain(&options.headers) {
        message = message.header(name, value);
    }
    if !is_safe(&request.method) {
        // RFC 9110 §8.6: there is a body, of no bytes.
        message = message.header("content-length", "0");
    }
    let message = message.body(()).map_err(|error| told(&error))?;
    let begun = Instant::now();
    let mut response = agent.run(message).map_err(|error| told(&error))?;
    let took = begun.elapsed();
    // To its end, so that the connection can be used again.
    io::copy(&mut response.body_mut().as_reader().take(MOST), &mut io::sink()).map_err(|error| told(&error))?;
    Ok(Answer { status: response.status().as_u16(), took: u64::try_from(took.as_micros()).unwrap_or(u64::MAX) })
}

/// How much of a body is read.
const MOST: u64 = 64 << 20;

struct Answer {
    status: u16,
    /// Until the head was there, in microseconds.
    took: u64,
}

/// A request that was sent, and what came.
struct Sent {
    at: usize,
    answer: Result<Answer, String>,
}

/// What came of it.
struct Report<'a> {
    requests: &'a [&'a Logged],
    results: Vec<Sent>,
    left_out: usize,
    unread: usize,
    inner: usize,
    took: Duration,
}

impl Report<'_> {
    /// What was logged and what came instead, with how often, and which requests those were.
    fn different(&self) -> BTreeMap<(String, String), Vec<usize>> {
        let mut different: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for Sent { at, answer } in &self.results {
            let logged = self.requests[*at].status;
            let now = match answer {
                Ok(answer) if logged.is_none_or(|logged| logged == answer.status) => continue,
                Ok(answer) => answer.status.to_string(),
                Err(why) => format!("none: {why}"),
            };
            let logged = logged.map_or_else(|| "unknown".to_owned(), |status| status.to_string());
            different.entry((logged, now)).or_default().push(*at);
        }
        different
    }

    fn is_same(&self) -> bool {
        self.different().is_empty()
    }

    /// How long answers took: in the log, and now. Only of requests of which both is known.
    fn latencies(&self) -> [Vec<u64>; 2] {
        let pairs = self
            .results
            .iter()
            .filter_map(|Sent { at, answer }| Some((self.requests[*at].took?, answer.as_ref().ok()?.took)));
        let (mut logged, mut now): (Vec<_>, Vec<_>) = pairs.unzip();
        // Without the log's, one's own are worth knowing, too.
        if now.is_empty() {
            now = self.results.iter().filter_map(|result| Some(result.answer.as_ref().ok()?.took)).collect();
        }
        logged.sort_unstable();
        now.sort_unstable();
        [logged, now]
    }

    fn human(&self, paint: Paint, examples: usize) -> String {
        let mut out = String::new();
        // Writing into a String cannot fail.
        let _ = self.write_human(&mut out, paint, examples);
        out
    }

    fn write_human(&self, out: &mut String, paint: Paint, examples: usize) -> std::fmt::Result {
        let different = self.different();
        let count: usize = different.values().map(Vec::len).sum();
        let sent = self.results.len();
        let took = self.took.as_secs_f64();
        writeln!(out, "{} in {took:.1} s", paint.bold(&format!("{sent} requests")))?;
        match count {
            0 => writeln!(out, "  {} with the status that the log says", paint.green("all answered"))?,
            count => writeln!(out, "  {} with another status than the log says", paint.red(&count.to_string()))?,
        }
        for ((logged, now), which) in &different {
            writeln!(out, "\n{} ×  {logged} → {}", paint.bold(&which.len().to_string()), paint.red(now))?;
            for at in which.iter().take(examples) {
                writeln!(out, "  {} {} {}", paint.dim("e.g."), self.requests[*at].method, self.requests[*at].target)?;
            }
        }
        let [logged, now] = self.latencies();
        writeln!(out, "\n{}      logged      now", paint.bold("until the head"))?;
        for (name, share) in QUANTILES {
            writeln!(out, "  {name:12} {:>10}  {:>10}", show(quantile(&logged, share)), show(quantile(&now, share)))?;
        }
        if self.left_out > 0 {
            let note =
                "were not sent: their methods change something, and a log has no bodies (--all-methods sends them)";
            writeln!(out, "\n{} {} requests {note}", paint.yellow("note:"), self.left_out)?;
        }
        if self.unread > 0 {
            writeln!(out, "\n{} {} lines tell of no request", paint.yellow("note:"), self.unread)?;
        }
        if self.inner > 0 {
            writeln!(out, "\n{} {} {}", paint.yellow("note:"), self.inner, traffic::INNER)?;
        }
        Ok(())
    }

    fn json(&self, examples: usize) -> Value {
        let [logged, now] = self.latencies();
        let quantiles = |sorted: &[u64]| -> Value {
            let seconds = |share| quantile(sorted, share).map(|took| took as f64 / 1e6);
            QUANTILES.iter().map(|(name, share)| ((*name).to_owned(), json!(seconds(*share)))).collect()
        };
        json!({
            "sent": self.results.len(),
            "seconds": self.took.as_secs_f64(),
            "left_out": self.left_out,
            "unread": self.unread,
            "inner": self.inner,
            "different": self.different().iter().map(|((logged, now), which)| json!({
                "logged": logged,
                "now": now,
                "count": which.len(),
                "examples": which.iter().take(examples).map(|at| {
                    format!("{} {}", self.requests[*at].method, self.requests[*at].target)
                }).collect::<Vec<_>>(),
            })).collect::<Vec<_>>(),
            "latency": { "logged": quantiles(&logged), "now": quantiles(&now) },
        })
    }
}

const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0)];

/// Of sorted numbers the one below which this share of them is.
fn quantile(sorted: &[u64], share: f64) -> Option<u64> {
    let at = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(at.saturating_sub(1)).copied()
}

fn show(microseconds: Option<u64>) -> String {
    microseconds.map_or_else(|| "unknown".to_owned(), |took| format!("{:.1} ms", took as f64 / 1e3))
}
