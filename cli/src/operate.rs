//! `postern admin` and `postern purge`: the few things that can be changed while a gateway runs.

use std::fmt::Write as _;
use std::io::{self, Write};

use gateway_core::http::percent_encode;
use serde_json::{Map, Value, json};

use crate::admin::{Admin, clean};
use crate::arguments::{Operate, Purge, RevokedKey};
use crate::outcome::{Failure, Outcome};

/// Takes back what caches have stored.
pub fn purge(options: &Purge) -> Result<Outcome, Failure> {
    let mut body = Map::new();
    for (name, values) in [("urls", &options.urls), ("prefixes", &options.prefixes), ("tags", &options.tags)] {
        if !values.is_empty() {
            body.insert(name.to_owned(), json!(values));
        }
    }
    if options.everything {
        body.insert("everything".to_owned(), true.into());
    }
    if options.soft {
        body.insert("soft".to_owned(), true.into());
    }
    because(&mut body, options.reason.as_deref());
    told(&Admin::new(&options.admin)?.change("POST", "purge", &Value::Object(body))?)
}

/// Changes something, or shows what was changed.
pub fn run(options: &Operate) -> Result<Outcome, Failure> {
    match options {
        Operate::Drain { admin, upstream, target, reason } => {
            let mut body = Map::new();
            because(&mut body, reason.as_deref());
            told(&Admin::new(admin)?.change("PUT", &drain(upstream, target), &Value::Object(body))?)
        }
        Operate::Undrain { admin, upstream, target, reason } => {
            let mut body = Map::new();
            because(&mut body, reason.as_deref());
            told(&Admin::new(admin)?.change("DELETE", &drain(upstream, target), &Value::Object(body))?)
        }
        Operate::Maintenance { admin, route, over, retry_after, reason } => {
            let mut body = Map::new();
            because(&mut body, reason.as_deref());
            if let Some(seconds) = retry_after {
                body.insert("retry_after".to_owned(), (*seconds).into());
            }
            let method = if *over { "DELETE" } else { "PUT" };
            let path = format!("routes/{}/maintenance", percent_encode(route));
            told(&Admin::new(admin)?.change(method, &path, &Value::Object(body))?)
        }
        Operate::Revoke { admin, key, reason } => keys(&Admin::new(admin)?, "keys/revoke", key, reason.as_deref()),
        Operate::Restore { admin, key, reason } => keys(&Admin::new(admin)?, "keys/restore", key, reason.as_deref()),
        Operate::Keys { admin } => {
            let revoked = Admin::new(admin)?.get("keys", &[])?;
            let mut out = io::stdout().lock();
            for key in revoked["revoked"].as_array().into_iter().flatten() {
                let word = |name: &str| clean(key[name].as_str().unwrap_or_default());
                writeln!(out, "{}  {}  by {}  {}", word("id"), word("shown"), word("by"), word("reason"))?;
            }
            Ok(Outcome::Fine)
        }
        Operate::Audit { admin, lines, json } => {
            let log = Admin::new(admin)?.get("audit", &[("limit", Some(lines.to_string()))])?;
            let mut out = io::stdout().lock();
            for entry in log["entries"].as_array().into_iter().flatten() {
                if *json {
                    writeln!(out, "{entry}")?;
                } else {
                    writeln!(out, "{}", line(entry))?;
                }
            }
            Ok(Outcome::Fine)
        }
    }
}

fn because(body: &mut Map<String, Value>, reason: Option<&str>) {
    if let Some(reason) = reason {
        body.insert("reason".to_owned(), reason.into());
    }
}

fn drain(upstream: &str, target: &str) -> String {
    format!("upstreams/{}/targets/{}/drain", percent_encode(upstream), percent_encode(target))
}

fn keys(admin: &Admin, path: &str, key: &RevokedKey, reason: Option<&str>) -> Result<Outcome, Failure> {
    let mut body = Map::new();
    for (name, value) in [("hash", &key.hash), ("prefix", &key.prefix), ("id", &key.id)] {
        if let Some(value) = value {
            body.insert(name.to_owned(), value.as_str().into());
        }
    }
    if key.stdin {
        let mut line = String::new();
        io::stdin().read_line(&mut line)?;
        let line = line.trim();
        if line.is_empty() {
            return Err(Failure::told("there is no key on standard input"));
        }
        body.insert("key".to_owned(), line.into());
    }
    because(&mut body, reason);
    told(&admin.change("POST", path, &Value::Object(body))?)
}

/// Says what was done.
fn told(change: &Value) -> Result<Outcome, Failure> {
    let word = |name: &str| clean(change[name].as_str().unwrap_or_default());
    let seconds = change["effective_within_ms"].as_u64().unwrap_or_default().div_ceil(1_000);
    let text = format!(
        "{} {}: in effect everywhere within {seconds} s (request {})",
        word("action"),
        word("subject"),
        word("request_id"),
    );
    writeln!(io::stdout(), "{text}")?;
    Ok(Outcome::Fine)
}

/// A line of the audit log, for people.
fn line(entry: &Value) -> String {
    let word = |name: &str| clean(entry[name].as_str().unwrap_or_default());
    let seconds = entry["at"].as_u64().unwrap_or_default() / 1_000;
    let mut text = format!("{seconds}  {:16} {}  by {}", word("action"), word("subject"), word("by"));
    // Writing into a String cannot fail.
    for (name, before) in [("from", "from"), ("reason", "because"), ("failed", "FAILED:")] {
        if entry[name].is_string() {
            let _ = write!(text, "  {before} {}", word(name));
        }
    }
    text
}
