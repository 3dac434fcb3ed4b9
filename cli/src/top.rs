//! `postern top`: what each route of a gateway has to do.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::admin::{Admin, Refusal, clean};
use crate::arguments::{SortBy, Top};
use crate::outcome::{Failure, Outcome};
use crate::tail::duration;
use crate::terminal::{Colour, Paint};

/// Shows a table, again and again until somebody stops it, or once.
pub fn run(options: &Top, colour: Colour) -> Result<Outcome, Failure> {
    let admin = Admin::new(&options.admin)?;
    let mut out = io::stdout();
    let paint = Paint::new(colour.on(&out));
    let mut failed = false;
    loop {
        match look(&admin, options) {
            Ok(seen) => {
                let text = if options.json { format!("{}\n", seen.json()) } else { seen.human(paint) };
                // From the top of the screen, over what was there, so that nothing flickers.
                let (home, rest) = if !options.once && !options.json && out.is_terminal() {
                    ("\u{1b}[H", "\u{1b}[J")
                } else {
                    ("", "")
                };
                let text = if home.is_empty() { text } else { text.replace('\n', "\u{1b}[K\n") };
                write!(out, "{home}{text}{rest}")?;
                out.flush()?;
                failed = false;
            }
            Err(Refusal::Later(why)) if !options.once => {
                if !failed {
                    eprintln!("postern: {why}; trying again");
                }
                failed = true;
            }
            Err(refusal) => return Err(refusal.into()),
        }
        if options.once {
            return Ok(Outcome::Fine);
        }
        thread::sleep(options.interval);
    }
}

fn look(admin: &Admin, options: &Top) -> Result<Seen, Refusal> {
    let series = admin.get("series", &[("resolution", Some("10s".to_owned())), ("route", options.route.clone())])?;
    let upstreams = admin.get("upstreams", &[])?;
    Ok(Seen::of(&series, &upstreams, options.window, options.sort))
}

/// What is shown.
#[derive(Debug)]
struct Seen {
    /// How long it was looked at, in seconds.
    seconds: f64,
    rows: Vec<Row>,
    /// Targets that get no requests, as this instance sees it.
    out_of_rotation: Vec<String>,
}

#[derive(Debug, Default, Clone)]
struct Row {
    /// `None`: no route took them.
    route: Option<String>,
    requests: u64,
    /// Of 4xx.
    client_errors: u64,
    /// Of 5xx.
    errors: u64,
    refused: u64,
    percentiles: [Option<f64>; 3],
    /// In each class of durations.
    durations: Vec<u64>,
}

/// The shares of requests that are faster.
const SHARES: [f64; 3] = [0.5, 0.95, 0.99];

impl Seen {
    fn of(series: &Value, upstreams: &Value, window: Duration, sort: SortBy) -> Self {
        let number = |value: &Value| value.as_u64().unwrap_or(0);
        let (now, step) = (number(&series["now"]), number(&series["step_ms"]).max(1));
        let window = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
        // Whole intervals, and the one that is under way.
        let from = now.saturating_sub(window) / step * step;
        let bounds: Vec<u64> = list(&series["bounds_ms"]).map(number).collect();
        let mut all = Row::default();
        let mut rows = Vec::new();
        for one in list(&series["series"]) {
            let mut row = Row { route: one["route"].as_str().map(clean), ..Row::default() };
            for point in list(&one["points"]).filter(|point| number(&point["at"]) >= from) {
                row.requests += number(&point["requests"]);
                row.client_errors += number(&point["statuses"][3]);
                row.errors += number(&point["statuses"][4]);
                row.refused += number(&point["refused"]);
                add(&mut row.durations, list(&point["durations"]).map(number));
            }
            row.percentiles = SHARES.map(|share| percentile(&row.durations, &bounds, share));
            all.requests += row.requests;
            all.client_errors += row.client_errors;
            all.errors += row.errors;
            all.refused += row.refused;
            add(&mut all.durations, row.durations.iter().copied());
            rows.push(row);
        }
        rows.retain(|row| row.requests > 0);
        rows.sort_by(|one, other| {
            let key = |row: &Row| match sort {
                SortBy::Requests => row.requests as f64,
                SortBy::Errors => row.errors as f64,
                SortBy::Refused => row.refused as f64,
                SortBy::Latency => row.percentiles[1].unwrap_or(0.0),
            };
            key(other).total_cmp(&key(one)).then_with(|| one.route.cmp(&other.route))
        });
        all.percentiles = SHARES.map(|share| percentile(&all.durations, &bounds, share));
        all.route = Some(ALL.to_owned());
        rows.insert(0, all);
        let out_of_rotation = list(&upstreams["upstreams"]).flat_map(|upstream| {
            let name = |value: &Value| clean(value["name"].as_str().unwrap_or_default());
            list(&upstream["targets"]).filter(|target| target["state"] != "in_rotation").map(move |target| {
                let state = clean(target["state"].as_str().unwrap_or_default());
                format!("{} of {} is {state}", name(target), name(upstream))
            })
        });
        Self {
            seconds: (now.saturating_sub(from)).max(1) as f64 / 1000.0,
            rows,
            out_of_rotation: out_of_rotation.collect(),
        }
    }

    fn human(&self, paint: Paint) -> String {
        let width = self.rows.iter().map(|row| row.name().chars().count()).max().unwrap_or(0).max(5);
        let mut text = String::new();
        let head = format!(
            "{:<width$}  {:>8}  {:>8}  {:>7}  {:>7}  {:>7}  {:>7}  {:>8}  {:>8}  {:>8}",
            "ROUTE", "REQ/S", "REQUESTS", "4XX", "5XX", "5XX %", "REFUSED", "P50", "P95", "P99"
        );
        let _ = writeln!(text, "{}", paint.dim(&head));
        for row in &self.rows {
            let share = if row.requests == 0 { 0.0 } else { row.errors as f64 * 100.0 / row.requests as f64 };
            let [half, most, nearly_all] = row.percentiles.map(|time| time.map_or("-".to_owned(), duration));
            let line = format!(
                "{:<width$}  {:>8.2}  {:>8}  {:>7}  {:>7}  {share:>7.2}  {:>7}  {half:>8}  {most:>8}  {nearly_all:>8}",
                row.name(),
                row.requests as f64 / self.seconds,
                row.requests,
                row.client_errors,
                row.errors,
                row.refused,
            );
            let line = match share {
                share if share >= 5.0 => paint.red(&line),
                share if share >= 1.0 => paint.yellow(&line),
                _ => line,
            };
            let _ = writeln!(text, "{line}");
        }
        let _ = writeln!(text, "{}", paint.dim(&format!("all instances, the last {:.0} s", self.seconds)));
        for target in &self.out_of_rotation {
            let _ = writeln!(text, "{}", paint.yellow(target));
        }
        text
    }

    fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            let [half, most, nearly_all] = row.percentiles;
            json!({
                "route": row.route, "requests": row.requests, "requests_per_second": row.requests as f64 / self.seconds,
                "client_errors": row.client_errors, "errors": row.errors, "refused": row.refused,
                "p50_ms": half, "p95_ms": most, "p99_ms": nearly_all,
            })
        });
        let mut rows: Vec<Value> = rows.collect();
        let all = rows.remove(0);
        json!({ "seconds": self.seconds, "all": all, "routes": rows, "out_of_rotation": self.out_of_rotation })
    }
}

/// The row of all routes together.
const ALL: &str = "(all)";

impl Row {
    fn name(&self) -> &str {
        self.route.as_deref().unwrap_or("(no route)")
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn add(sums: &mut Vec<u64>, more: impl Iterator<Item = u64>) {
    for (place, count) in more.enumerate() {
        match sums.get_mut(place) {
            Some(sum) => *sum += count,
            None => sums.push(count),
        }
    }
}

/// How long such a share of requests took at most, in milliseconds: within its class, evenly spread. What lies beyond the last
/// bound took at least that long.
fn percentile(durations: &[u64], bounds: &[u64], share: f64) -> Option<f64> {
    let all: u64 = durations.iter().sum();
    let mut left = share * all as f64;
    for (place, count) in durations.iter().enumerate().filter(|(_, count)| **count > 0) {
        let count = *count as f64;
        if left <= count {
            let Some(above) = bounds.get(place) else { break };
            let below = place.checked_sub(1).and_then(|place| bounds.get(place)).copied().unwrap_or(0) as f64;
            return Some(below + (*above as f64 - below) * left / count);
        }
        left -= count;
    }
    bounds.last().filter(|_| all > 0).map(|last| *last as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_summed_over_the_window() {
        let point = |at: u64, requests: u64, errors: u64| {
            json!({ "at": at, "requests": requests, "statuses": [0, requests - errors, 0, 0, errors], "refused": errors,
                    "durations": [requests, 0, 0], "duration_ms": 0 })
        };
        let series = json!({
            "now": 105_000, "step_ms": 10_000, "bounds_ms": [10, 100],
            "series": [
                { "route": "a", "points": [point(30_000, 100, 0), point(40_000, 10, 1), point(100_000, 20, 2)] },
                { "route": null, "points": [point(90_000, 40, 0)] },
                { "route": "idle", "points": [point(10_000, 1, 0)] },
            ],
        });
        let upstreams = json!({ "upstreams": [{ "name": "u", "targets": [{ "name": "t", "state": "drained" }, { "name": "v", "state": "in_rotation" }] }] });
        let seen = Seen::of(&series, &upstreams, Duration::from_secs(60), SortBy::Requests);
        // From 40 to 105 s.
        assert_eq!(seen.seconds, 65.0);
        assert_eq!(
            seen.human(Paint::new(false)),
            "\
ROUTE          REQ/S  REQUESTS      4XX      5XX    5XX %  REFUSED       P50       P95       P99
(all)           1.08        70        0        3     4.29        3      5 ms     10 ms     10 ms
(no route)      0.62        40        0        0     0.00        0      5 ms     10 ms     10 ms
a               0.46        30        0        3    10.00        3      5 ms     10 ms     10 ms
all instances, the last 65 s
t of u is drained
"
        );
        let by_errors = Seen::of(&series, &upstreams, Duration::from_secs(60), SortBy::Errors);
        assert_eq!(by_errors.json()["routes"][0]["route"], "a");
        assert_eq!(by_errors.json()["all"]["requests"], 70);
    }

    #[test]
    fn percentiles_are_within_their_class() {
        let bounds = [10, 100, 1000];
        for (durations, share, expected) in [
            (&[0, 0, 0, 0][..], 0.5, None),
            (&[], 0.5, None),
            (&[10, 0, 0, 0], 0.5, Some(5.0)),
            (&[5, 5, 0, 0], 0.75, Some(55.0)),
            (&[0, 0, 0, 4], 0.5, Some(1000.0)),
            (&[99, 0, 0, 1], 0.99, Some(10.0)),
        ] {
            assert_eq!(percentile(durations, &bounds, share), expected, "{durations:?} {share}");
        }
    }
}
