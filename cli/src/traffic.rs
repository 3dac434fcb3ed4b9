//! Requests of the past, as access logs tell of them: lines of JSON as the gateway writes them, and the Common and Combined formats.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::net::IpAddr;
use std::path::Path;

use chrono::DateTime;
use serde_json::Value;

use crate::outcome::Failure;

/// One request of the past.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Logged {
    /// When it came, in milliseconds since the Unix epoch, where that is known.
    pub at: Option<u64>,
    /// The method's token.
    pub method: String,
    /// `http` or `https`, and host and port, where the log says which.
    pub origin: Option<(String, String)>,
    /// Path and query. Values of the query may stand there as REDACTED.
    pub target: String,
    /// Where it came from.
    pub client: Option<IpAddr>,
    /// Fields that the log shows.
    pub headers: Vec<(String, String)>,
    /// What it was answered with.
    pub status: Option<u16>,
    /// How long that took, in microseconds.
    pub took: Option<u64>,
}

/// All that a log tells.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Its requests, in order.
    pub requests: Vec<Logged>,
    /// How many lines are none.
    pub unread: usize,
    /// How many tell of requests that the gateway has made itself: they come again with the client's.
    pub inner: usize,
}

/// What is said of those.
pub const INNER: &str = "requests were left out: the gateway has made them itself, for those of clients";

/// Reads a log; `-` is standard input.
pub fn read(path: &Path) -> Result<Traffic, Failure> {
    let told = |error: io::Error| Failure::told(format!("cannot read {}: {error}", path.display()));
    let input: Box<dyn Read> =
        if path.as_os_str() == "-" { Box::new(io::stdin()) } else { Box::new(File::open(path).map_err(told)?) };
    let mut traffic = Traffic::default();
    for line in BufReader::new(input).split(b'\n') {
        // What is no UTF-8 is some value that nobody needs.
        let line = String::from_utf8_lossy(&line.map_err(told)?).into_owned();
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        match request(line) {
            Some(_) if is_inner(line) => traffic.inner += 1,
            Some(request) => traffic.requests.push(request),
            None => traffic.unread += 1,
        }
    }
    if traffic.requests.is_empty() {
        let what = format!("{} tells of no request", path.display());
        return Err(Failure::told(format!(
            "{what}; it may have lines of JSON as the gateway writes them, or the Common or Combined format"
        )));
    }
    Ok(traffic)
}

/// What a line tells of, if it is one of a log.
fn request(line: &str) -> Option<Logged> {
    // Collectors and consoles put something before a line of JSON.
    match line.find('{') {
        Some(at) if line.ends_with('}') && !line.contains("] \"") => json(&line[at..]),
        _ => common(line),
    }
}

/// Whether a line tells of a request for a tool, or of a call of a batch. No value looks like this: quotes in it are escaped.
fn is_inner(line: &str) -> bool {
    line.contains("\"postern.made_by\":")
}

fn json(line: &str) -> Option<Logged> {
    let line: Value = serde_json::from_str(line).ok()?;
    let text = |name: &str| line.get(name).and_then(Value::as_str);
    let method = match text("http.request.method")? {
        "_OTHER" => text("http.request.method_original")?,
        method => method,
    };
    let mut target = text("url.path")?.to_owned();
    if let Some(query) = text("url.query") {
        target = format!("{target}?{query}");
    }
    let scheme = text("url.scheme").unwrap_or("http");
    let origin = text("server.address").map(|host| {
        let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() };
        let port = line.get("server.port").and_then(Value::as_u64);
        let usual = if scheme == "https" { 443 } else { 80 };
        let port = port.filter(|port| *port != usual).map(|port| format!(":{port}")).unwrap_or_default();
        (scheme.to_owned(), format!("{host}{port}"))
    });
    let mut headers = Vec::new();
    for (name, value) in line.as_object()? {
        let Some(name) = name.strip_prefix("http.request.header.") else { continue };
        let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        headers.extend(values.iter().filter_map(|value| Some((name.to_owned(), value.as_str()?.to_owned()))));
    }
    headers.extend(text("user_agent.original").map(|agent| ("user-agent".to_owned(), agent.to_owned())));
    Some(Logged {
        at: text("timestamp").and_then(|at| DateTime::parse_from_rfc3339(at).ok()).and_then(milliseconds),
        method: method.to_owned(),
        origin,
        target,
        client: text("client.address").and_then(|address| address.parse().ok()),
        headers,
        status: line.get("http.response.status_code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok()),
        took: line.get("http.server.request.duration").and_then(Value::as_f64).map(microseconds),
    })
}

/// `host ident user [time] "method target protocol" status bytes`, and perhaps `"referer" "user agent"`.
fn common(line: &str) -> Option<Logged> {
    let (before, rest) = line.split_once(" [")?;
    let (time, rest) = rest.split_once("] \"")?;
    let (asked, rest) = quoted(rest)?;
    let mut parts = asked.split(' ');
    let (method, target) = (parts.next()?, parts.next()?);
    if !target.starts_with('/') && target != "*" || parts.count() > 1 {
        return None;
    }
    let mut columns = rest.trim_start().splitn(3, ' ');
    let (status, _size) = (columns.next()?, columns.next());
    let mut headers = Vec::new();
    let mut more = columns.next().unwrap_or_default();
    for name in ["referer", "user-agent"] {
        let Some((value, behind)) = more.trim_start().strip_prefix('"').and_then(quoted) else { break };
        if value != "-" {
            headers.push((name.to_owned(), value));
        }
        more = behind;
    }
    Some(Logged {
        at: DateTime::parse_from_str(time, "%d/%b/%Y:%H:%M:%S %z").ok().and_then(milliseconds),
        method: method.to_owned(),
        origin: None,
        target: target.to_owned(),
        client: before.split(' ').next().and_then(|address| address.parse().ok()),
        headers,
        status: status.parse().ok(),
        took: None,
    })
}

/// A text up to the quote that ends it, with what was escaped, and what stands behind it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes().enumerate();
    while let Some((at, byte)) = rest.next() {
        match byte {
            b'"' => return Some((String::from_utf8_lossy(&bytes).into_owned(), &text[at + 1..])),
            b'\\' => match rest.next()?.1 {
                b'x' => {
                    let digit = |byte: u8| char::from(byte).to_digit(16);
                    let (high, low) = (digit(rest.next()?.1)?, digit(rest.next()?.1)?);
                    bytes.push(u8::try_from(high * 16 + low).ok()?);
                }
                escaped => bytes.push(escaped),
            },
            byte => bytes.push(byte),
        }
    }
    None
}

fn milliseconds<Z: chrono::TimeZone>(at: DateTime<Z>) -> Option<u64> {
    u64::try_from(at.timestamp_millis()).ok()
}

fn microseconds(seconds: f64) -> u64 {
    (seconds.clamp(0.0, 1e9) * 1e6).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_json_is_read() {
        let line = r#"{"schema":"postern.access/1","timestamp":"2026-11-28T06:31:32.123Z","http.request.method":"GET","url.scheme":"https","server.address":"shop.example","server.port":8443,"url.path":"/a\"b","url.query":"page=2","http.response.status_code":200,"http.server.request.duration":0.012,"client.address":"192.0.2.1","user_agent.original":"curl","http.request.header.x-beta":["yes"]}"#;
        let expected = Logged {
            at: Some(1_795_847_492_123),
            method: "GET".to_owned(),
            origin: Some(("https".to_owned(), "shop.example:8443".to_owned())),
            target: "/a\"b?page=2".to_owned(),
            client: "192.0.2.1".parse().ok(),
            headers: vec![("x-beta".to_owned(), "yes".to_owned()), ("user-agent".to_owned(), "curl".to_owned())],
            status: Some(200),
            took: Some(12_000),
        };
        assert_eq!(request(line), Some(expected.clone()));
        assert_eq!(request(&format!("12:00 postern | {line}")), Some(expected), "behind what a collector adds");
    }

    #[test]
    fn requests_of_the_gateway_itself_are_known() {
        assert!(is_inner(r#"{"http.request.method":"GET","url.path":"/a","postern.made_by":"batch"}"#));
        assert!(!is_inner(r#"{"http.request.method":"GET","url.path":"/\"postern.made_by\":"}"#));
    }

    #[test]
    fn older_formats_are_read() {
        let line = r#"192.0.2.1 - alice [29/Feb/2024:23:59:59 +0000] "GET /a\"b?q=1 HTTP/1.1" 200 12"#;
        let common = request(line).expect("a line");
        assert_eq!((common.at, common.status), (Some(1_709_251_199_000), Some(200)));
        assert_eq!((common.method.as_str(), common.target.as_str()), ("GET", "/a\"b?q=1"));
        assert_eq!(common.client, "192.0.2.1".parse().ok());
        let combined = request(&format!(r#"{line} "https://a/" "curl\x0a\"x\"""#)).expect("a line");
        let fields = [("referer", "https://a/"), ("user-agent", "curl\n\"x\"")];
        assert_eq!(combined.headers, fields.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let other_zone = request(r#"- - - [01/Mar/2024:00:59:59 +0100] "HEAD * HTTP/1.1" 204 -"#).expect("a line");
        assert_eq!((other_zone.at, other_zone.client), (Some(1_709_251_199_000), None));
    }

    #[test]
    fn what_is_no_request_is_none() {
        for line in [
            "",
            "{}",
            "{",
            "starting up",
            "a [b] \"c",
            r#"1.2.3.4 - - [x] "GET" 200 1"#,
            r#"{"problem":"x","status":502}"#,
        ] {
            assert_eq!(request(line), None, "{line}");
        }
    }
}
