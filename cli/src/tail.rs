//! `postern tail`: the requests of a gateway as they come.

use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::admin::{Admin, Refusal, clean};
use crate::arguments::Tail;
use crate::outcome::{Failure, Outcome};
use crate::terminal::{Colour, Paint};

/// Shows requests until somebody stops it, or only those that are there.
pub fn run(options: &Tail, colour: Colour) -> Result<Outcome, Failure> {
    let admin = Admin::new(&options.admin)?;
    let mut out = io::stdout();
    let paint = Paint::new(colour.on(&out));
    let kind = if options.errors { "errors" } else { "requests" };
    let mut follower = Follower::default();
    loop {
        let query = [
            ("after", follower.after.map(|after| after.to_string())),
            ("limit", Some(if follower.after.is_none() { options.lines } else { MOST }.to_string())),
            ("route", options.route.clone()),
            ("status", options.status.clone()),
            ("slower_than", options.slower_than.map(|limit| limit.as_millis().to_string())),
            ("consumer", options.consumer.clone()),
            ("path_prefix", options.path_prefix.clone()),
        ];
        match admin.get(kind, &query) {
            Ok(answer) => {
                let (records, news) = follower.read(&answer);
                if let Some(news) = news {
                    eprintln!("postern: {news}");
                }
                for record in records {
                    let line = if options.json { record.to_string() } else { line(record, paint) };
                    writeln!(out, "{line}")?;
                }
                out.flush()?;
            }
            Err(Refusal::Later(why)) if follower.after.is_some() && !options.once => follower.complain(&why),
            Err(refusal) => return Err(refusal.into()),
        }
        if options.once {
            return Ok(Outcome::Fine);
        }
        thread::sleep(options.interval);
    }
}

/// How many requests are taken at once, once it follows.
const MOST: u32 = 500;

/// Where it stands in the sequence of requests.
#[derive(Debug, Default)]
struct Follower {
    after: Option<u64>,
    dropped: u64,
    complained: bool,
}

impl Follower {
    /// The records of an answer, and what there is to say of those that are not in it.
    fn read<'a>(&mut self, answer: &'a Value) -> (Vec<&'a Value>, Option<String>) {
        self.complained = false;
        let number = |name| answer[name].as_u64().unwrap_or(0);
        let records = answer["requests"].as_array().into_iter().flatten().map(|entry| &entry["record"]).collect();
        let dropped = number("dropped").saturating_sub(self.dropped);
        self.dropped = number("dropped");
        let sampled = answer["sampled"].as_f64().unwrap_or(1.0);
        let news = if self.after.is_none() {
            (sampled < 1.0).then(|| format!("{:.3} of all requests are told", sampled))
        } else {
            match (number("missed"), dropped) {
                (0, 0) => None,
                (missed, dropped) => Some(format!("{} requests went by unseen", missed + dropped)),
            }
        };
        self.after = Some(number("next"));
        (records, news)
    }

    /// Says once that nothing comes just now.
    fn complain(&mut self, why: &str) {
        if !self.complained {
            eprintln!("postern: {why}; trying again");
        }
        self.complained = true;
    }
}

/// A request in one line.
fn line(record: &Value, paint: Paint) -> String {
    let text = |name: &str| record[name].as_str().map(clean);
    let status = record["http.response.status_code"].as_u64().unwrap_or(0);
    let shown = match status {
        500.. => paint.red(&status.to_string()),
        400.. => paint.yellow(&status.to_string()),
        300.. => paint.dim(&status.to_string()),
        _ => paint.green(&status.to_string()),
    };
    let took = record["http.server.request.duration"].as_f64();
    let took = took.map_or("-".to_owned(), |seconds| duration(seconds * 1000.0));
    // `2026-11-28T11:14:05.123Z`: the day is today.
    let time = text("timestamp").unwrap_or_default();
    let time = time.split_once('T').map_or(time.as_str(), |(_, time)| time.trim_end_matches('Z'));
    let path = text("url.path").unwrap_or_else(|| "(unreadable)".to_owned());
    let query = text("url.query").map_or(String::new(), |query| format!("?{query}"));
    let mut line = format!(
        "{}  {shown}  {took:>7}  {} {}{}",
        paint.dim(time),
        paint.bold(&text("http.request.method").unwrap_or_default()),
        path,
        paint.dim(&query),
    );
    let attempts = record["postern.attempts"].as_array().map_or(0, Vec::len);
    let facts = [
        text("http.route").map(|route| format!("route {route}")),
        text("postern.consumer").map(|consumer| format!("by {consumer}")),
        text("postern.problem"),
        text("postern.policy").map(|policy| format!("policy {policy}")),
        text("postern.upstream").map(|upstream| format!("upstream {upstream}")),
        (attempts > 1).then(|| format!("{attempts} attempts")),
        text("postern.cache.status").map(|cache| format!("cache {cache}")),
    ];
    for fact in facts.into_iter().flatten() {
        line.push_str("  ");
        line.push_str(&fact);
    }
    line
}

/// Milliseconds, as people read them.
pub fn duration(milliseconds: f64) -> String {
    match milliseconds {
        time if time <= 0.0 => "0 ms".to_owned(),
        time if time < 1.0 => "<1 ms".to_owned(),
        time if time < 1000.0 => format!("{time:.0} ms"),
        time => format!("{:.2} s", time / 1000.0),
    }
}

/// A pause between two questions, or a limit of time: `500ms`, `2s`, `1m`.
pub fn time(text: &str) -> Result<Duration, String> {
    let unit = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    let scale = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        _ => return Err("a number and a unit: `500ms`, `2s`, `1m`".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "a number and a unit: `500ms`, `2s`, `1m`".to_owned())?;
    Ok(Duration::from_millis(number.saturating_mul(scale)))
}

/// The same, and at least a tenth of a second: a gateway has other things to do.
pub fn interval(text: &str) -> Result<Duration, String> {
    time(text).and_then(|time| match time {
        time if time < Duration::from_millis(100) => Err("at least 100ms".to_owned()),
        time => Ok(time),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_request_is_one_line_that_steers_no_terminal() {
        let record = json!({
            "timestamp": "2026-11-28T11:14:05.123Z", "http.request.method": "GET", "url.path": "/a", "url.query": "b=REDACTED",
            "http.route": "files", "http.response.status_code": 503, "http.server.request.duration": 1.25, "postern.consumer": "a\u{1b}[2J\nb",
            "postern.problem": "upstream-failed", "postern.upstream": "shop", "postern.attempts": [{}, {}],
        });
        assert_eq!(
            line(&record, Paint::new(false)),
            "11:14:05.123  503   1.25 s  GET /a?b=REDACTED  route files  by a\u{fffd}[2J\u{fffd}b  upstream-failed  upstream shop  2 attempts"
        );
        assert_eq!(line(&json!({}), Paint::new(false)), "  0        -   (unreadable)");
    }

    #[test]
    fn what_went_by_is_told_once() {
        let answer = |next: u64, missed: u64, dropped: u64| json!({ "requests": [{ "sequence": next, "record": { "n": next } }], "next": next, "missed": missed, "dropped": dropped, "sampled": 0.25 });
        let mut follower = Follower::default();
        for (answer, news) in [
            (answer(7, 0, 3), Some("0.250 of all requests are told")),
            (answer(8, 0, 3), None),
            (answer(9, 2, 4), Some("3 requests went by unseen")),
            (answer(10, 0, 4), None),
        ] {
            let (records, said) = follower.read(&answer);
            assert_eq!((records.len(), said.as_deref()), (1, news), "{answer}");
            assert_eq!(follower.after, answer["next"].as_u64());
        }
    }

    #[test]
    fn times_have_units() {
        for (text, milliseconds) in [
            ("500ms", Some(500)),
            ("2s", Some(2000)),
            ("1m", Some(60_000)),
            ("2", None),
            ("s", None),
            ("-1s", None),
            ("", None),
        ] {
            assert_eq!(time(text).ok(), milliseconds.map(Duration::from_millis), "{text}");
        }
        assert!(interval("99ms").is_err() && interval("100ms").is_ok());
    }
}
