//! What arrives through the gateway is what was sent, but for what `docs/fidelity.md` lists.
//!
//! Thousands of awkward but legal exchanges go straight to an origin and then through the gateway. Every difference
//! between the two must be one of the document's; and every one of the document's must have been seen, so that it says
//! nothing that is no longer so. `POSTERN_SEED` and `POSTERN_CASES` choose others than the usual ones.

use postern_tests::Platform;
use postern_tests::client::{Seen, exchange};
use postern_tests::origin::{Log, Origin, Received, Then, lock};
use postern_tests::process;
use postern_tests::random::Random;
use postern_tests::running::Running;
use postern_tests::script::gzip;
use postern_tests::wire::{self, Field, Head};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

#[test]
fn workers_changes_only_what_is_documented() {
    changes_only_what_is_documented(Platform::Workers);
}

#[test]
fn spin_changes_only_what_is_documented() {
    changes_only_what_is_documented(Platform::Spin);
}

fn changes_only_what_is_documented(platform: Platform) {
    let number = |name: &str, usual: u64| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual);
    let (seed, cases) = (number("POSTERN_SEED", 20_261_123), number("POSTERN_CASES", 2_500));
    let current: Arc<Mutex<Answer>> = Arc::default();
    let log = Arc::new(Log::default());
    let answers = current.clone();
    let origin = Origin::start("origin", log.clone(), move |received, exchange| {
        let answer = lock(&answers).clone();
        exchange.write(&answer.message(&received.method))?;
        Ok(if answer.until_close { Then::Close } else { Then::Keep })
    });
    let origin = origin.expect("an origin");
    let configuration = json!({
        "upstreams": { "origin": { "targets": [{ "url": format!("http://{}", origin.address) }] } },
        "routes": [{ "name": "all", "path_prefix": "/", "upstream": "origin" }],
    });
    let gateway = Running::start(platform, &configuration, &BTreeMap::new()).expect("a gateway");

    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut unexplained = Vec::new();
    for case in 0..cases {
        let mut random = Random(seed.wrapping_add(case << 20));
        let ask = Ask::choose(&mut random);
        let answer = Answer::choose(&mut random);
        *lock(&current) = answer.clone();
        let direct = Exchange::make(origin.address, &ask, &log);
        let through = Exchange::make(gateway.address, &ask, &log);
        for difference in direct.differences(&through) {
            match explain(platform, &difference, &ask, &answer, &through) {
                Some(code) => *seen.entry(code).or_default() += 1,
                None => {
                    let of = format!(
                        "{:?}\n    of {} {:?}\n    and {} {:?}",
                        difference, ask.start, ask.fields, answer.status, answer.fields
                    );
                    unexplained.push(format!("case {case}: {}", short(&of)));
                }
            }
        }
    }
    println!("{platform}: {cases} exchanges (seed {seed}); differences seen: {seen:?}");
    gateway.stop().expect("nothing left");
    let shown = unexplained.iter().take(20).cloned().collect::<Vec<_>>().join("\n");
    assert!(unexplained.is_empty(), "{} differences that docs/fidelity.md does not list:\n{shown}", unexplained.len());
    let documented = documented(platform);
    let seen: BTreeSet<String> = seen.into_keys().map(str::to_owned).collect();
    assert_eq!(seen, documented, "what was seen, and what docs/fidelity.md lists for {platform}");
}

fn short(text: &str) -> String {
    let lines = text.lines().map(|line| line.chars().take(300).collect::<String>());
    lines.collect::<Vec<_>>().join("\n")
}

/// The codes that the table lists for a platform: `| `code` | … | workers | spin | reason |`.
fn documented(platform: Platform) -> BTreeSet<String> {
    let text = std::fs::read_to_string(process::root().join("docs/fidelity.md")).expect("docs/fidelity.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let rows = rows.filter_map(|row| {
        let (code, rest) = row.split_once('`')?;
        let cells: Vec<&str> = rest.split('|').map(str::trim).collect();
        let on = match platform {
            Platform::Workers => *cells.get(2)?,
            Platform::Spin => *cells.get(3)?,
            Platform::Test => "",
        };
        (on == "yes").then(|| code.to_owned())
    });
    rows.collect()
}

/// Which line of `docs/fidelity.md` a difference is, if any. Each checks that the difference is exactly the one it means.
fn explain(
    platform: Platform,
    difference: &Difference,
    ask: &Ask,
    answer: &Answer,
    through: &Exchange,
) -> Option<&'static str> {
    use Difference as D;
    let workers = platform == Platform::Workers;
    let spin = platform == Platform::Spin;
    match difference {
        // The platform itself refused: nothing else can be compared.
        D::Refused(501) if workers && !KNOWN_TO_WORKERD.contains(&ask.method.as_str()) => Some("methods"),
        D::Refused(500) if spin && ask.fields.iter().any(|field| std::str::from_utf8(&field.value).is_err()) => {
            Some("request-values")
        }
        D::Refused(_) => None,

        D::Method => None,
        D::Target(direct, got) => {
            let (path, query) = split(direct);
            let normal = gateway_core::path::normalise(path).ok()?.into_owned();
            let with =
                |query: Option<String>| format!("{normal}{}", query.map(|q| format!("?{q}")).unwrap_or_default());
            if *got == with(query.map(str::to_owned)) {
                Some("path")
            } else if workers && *got == with(query.map(|query| query.replace('\'', "%27"))) {
                Some("query-quotes")
            } else {
                None
            }
        }
        D::RequestBody => {
            let get = matches!(ask.method.as_str(), "GET" | "HEAD");
            (ask.chunked && get && through.received.length == 0).then_some("get-chunked")
        }
        D::RequestTrailers => through.received.trailers.is_empty().then_some("request-trailers"),
        D::RequestNames => Some("request-names"),
        D::RequestOrder => Some("request-order"),
        D::RequestField(name, direct, got) => match name.as_str() {
            "host" => (got.len() == 1).then_some("host"),
            "via" => {
                let all = [direct.to_vec(), vec![b"1.1 postern".to_vec()]].concat();
                (got.join(&b", "[..]) == all.join(&b", "[..])).then_some("via")
            }
            "x-forwarded-for" => (**got == [b"127.0.0.1"]).then_some("forwarded"),
            "x-forwarded-proto" => (**got == [b"http"]).then_some("forwarded"),
            "x-forwarded-host" => (**got == [HOST.as_bytes()]).then_some("forwarded"),
            "x-forwarded-prefix" | "x-forwarded-port" | "x-real-ip" | "forwarded" => {
                got.is_empty().then_some("forwarded")
            }
            "connection" | "keep-alive" | "te" | "proxy-connection" | "proxy-authorization" => {
                got.is_empty().then_some("request-hop-by-hop")
            }
            "trailer" if workers => got.is_empty().then_some("request-trailers"),
            "expect" => got.is_empty().then_some("expect"),
            "max-forwards" if ask.method == "OPTIONS" && **got == [b"9"] => {
                // An empty line beside it is one that the runtime leaves out.
                let mut lines = direct.iter().filter(|line| !line.is_empty());
                (lines.next().is_some_and(|line| line == b"10") && lines.next().is_none()).then_some("max-forwards")
            }
            "transfer-encoding" => {
                (got.is_empty() && matches!(ask.method.as_str(), "GET" | "HEAD")).then_some("get-chunked")
            }
            "content-length" if workers && direct.is_empty() && **got == [b"0"] => Some("empty-length"),
            "content-length" if workers && got.is_empty() && **direct == [b"0"] => Some("empty-length"),
            "cookie" if workers => is_joined(direct, got).then_some("cookie-lines"),
            name if got.is_empty() && ask.is_named_by_connection(name) => Some("request-hop-by-hop"),
            name if spin && name.starts_with("spin-") => got.is_empty().then_some("spin-fields"),
            _ if workers && got.is_empty() && direct.iter().all(Vec::is_empty) => Some("request-empty"),
            _ if workers && is_joined(direct, got) => Some("request-lines"),
            _ => None,
        },

        D::Status => None,
        D::Reason(got) => (spin && *got != b"Odd").then_some("reason"),
        D::ResponseBody => None,
        D::ResponseTrailers => through.seen.trailers.is_empty().then_some("response-trailers"),
        D::Interim => {
            through.seen.interim.iter().all(|head| head.start.starts_with(b"HTTP/1.1 100")).then_some("interim")
        }
        D::ResponseNames => Some("response-names"),
        D::ResponseOrder => Some("response-order"),
        D::ResponseField(name, direct, got) => match name.as_str() {
            "connection" | "transfer-encoding" if answer.until_close => Some("until-close"),
            "content-length" if answer.status == 304 && got.is_empty() => {
                (workers || **direct == [b"0"]).then_some("304-length")
            }
            // Of the connection between client and platform.
            "connection" if got.is_empty() || **got == [b"close"] => Some("response-hop-by-hop"),
            "keep-alive" => got.is_empty().then_some("response-hop-by-hop"),
            "transfer-encoding" | "trailer" if ask.method == "HEAD" && got.is_empty() => Some("head-framing"),
            "trailer" if workers => got.is_empty().then_some("response-trailers"),
            "date" if spin && direct.is_empty() && got.len() == 1 => Some("date"),
            name if got.is_empty() && answer.is_named_by_connection(name) => Some("response-hop-by-hop"),
            _ if workers && got.is_empty() && direct.iter().all(Vec::is_empty) => Some("response-empty"),
            _ if workers && is_joined(direct, got) => Some("response-lines"),
            _ => None,
        },
    }
}

/// Whether several lines became one that means the same (RFC 9110 §5.3).
fn is_joined(direct: &[Vec<u8>], got: &[Vec<u8>]) -> bool {
    let first = direct.iter().position(|line| !line.is_empty()).unwrap_or(0);
    direct.len() > 1 && got.len() == 1 && got[0] == direct[first..].join(&b", "[..]).trim_ascii()
}

const HOST: &str = "Fidelity.Test:8080";

/// Those of our random methods that workerd knows.
const KNOWN_TO_WORKERD: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "REPORT"];

fn split(target: &str) -> (&str, Option<&str>) {
    target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)))
}

/// What two exchanges do not have in common: first straight, then through the gateway.
#[derive(Debug)]
enum Difference {
    Refused(u16),
    Method,
    Target(String, String),
    RequestField(String, Lines, Lines),
    RequestNames,
    RequestOrder,
    RequestBody,
    RequestTrailers,
    Status,
    Reason(Vec<u8>),
    ResponseField(String, Lines, Lines),
    ResponseNames,
    ResponseOrder,
    ResponseBody,
    ResponseTrailers,
    Interim,
}

/// The values of one name, line by line.
#[derive(PartialEq, Eq)]
struct Lines(Vec<Vec<u8>>);

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|line| line.escape_ascii().to_string())).finish()
    }
}

impl std::ops::Deref for Lines {
    type Target = [Vec<u8>];

    fn deref(&self) -> &[Vec<u8>] {
        &self.0
    }
}

/// One exchange, as both sides saw it.
struct Exchange {
    received: Received,
    reached: bool,
    seen: Seen,
}

impl Exchange {
    fn make(address: SocketAddr, ask: &Ask, log: &Log) -> Self {
        log.take();
        let seen = exchange(address, &ask.message, &ask.method);
        let seen = seen.map_err(|error| format!("{error}: {}", ask.message.escape_ascii())).expect("a response");
        let mut received = log.take();
        assert!(received.len() <= 1, "one request became {}", received.len());
        let reached = !received.is_empty();
        Self { received: received.pop().unwrap_or_default(), reached, seen }
    }

    fn differences(&self, through: &Exchange) -> Vec<Difference> {
        use Difference as D;
        if !through.reached {
            return vec![D::Refused(through.seen.status)];
        }
        let mut all = Vec::new();
        let (sent, got) = (&self.received, &through.received);
        if sent.method != got.method {
            all.push(D::Method);
        }
        if sent.target != got.target {
            all.push(D::Target(wire::text(&sent.target), wire::text(&got.target)));
        }
        fields(&sent.fields, &got.fields, D::RequestField, D::RequestNames, D::RequestOrder, &mut all);
        if (sent.length, &sent.sha256) != (got.length, &got.sha256) {
            all.push(D::RequestBody);
        }
        if lower(&sent.trailers) != lower(&got.trailers) {
            all.push(D::RequestTrailers);
        }
        let (sent, got) = (&self.seen, &through.seen);
        if sent.status != got.status {
            all.push(D::Status);
        }
        if sent.reason() != got.reason() {
            all.push(D::Reason(got.reason().to_vec()));
        }
        fields(&sent.head.fields, &got.head.fields, D::ResponseField, D::ResponseNames, D::ResponseOrder, &mut all);
        if sent.body != got.body || got.broken.is_some() {
            all.push(D::ResponseBody);
        }
        if lower(&sent.trailers) != lower(&got.trailers) {
            all.push(D::ResponseTrailers);
        }
        if sent.interim != got.interim {
            all.push(D::Interim);
        }
        all
    }
}

fn lower(fields: &[Field]) -> Vec<(String, Vec<u8>)> {
    fields.iter().map(|field| (wire::text(&field.name).to_ascii_lowercase(), field.value.clone())).collect()
}

fn fields(
    sent: &[Field],
    got: &[Field],
    field: impl Fn(String, Lines, Lines) -> Difference,
    names: Difference,
    order: Difference,
    all: &mut Vec<Difference>,
) {
    let (sent_lower, got_lower) = (lower(sent), lower(got));
    let lines = |of: &[(String, Vec<u8>)], name: &str| -> Lines {
        Lines(of.iter().filter(|(known, _)| known == name).map(|(_, value)| value.clone()).collect())
    };
    let every: BTreeSet<&String> = sent_lower.iter().chain(&got_lower).map(|(name, _)| name).collect();
    let mut same = BTreeSet::new();
    for name in every {
        let (sent, got) = (lines(&sent_lower, name), lines(&got_lower, name));
        if sent == got {
            same.insert(name.clone());
        } else {
            all.push(field(name.clone(), sent, got));
        }
    }
    // What is the same in value may still be spelled otherwise, or stand elsewhere.
    let spelled = |of: &[Field]| -> BTreeSet<Vec<u8>> {
        of.iter()
            .filter(|field| same.contains(&wire::text(&field.name).to_ascii_lowercase()))
            .map(|field| field.name.clone())
            .collect()
    };
    if spelled(sent) != spelled(got) {
        all.push(names);
    }
    let places = |of: &[(String, Vec<u8>)]| -> Vec<String> {
        of.iter().map(|(name, _)| name.clone()).filter(|name| same.contains(name)).collect()
    };
    if places(&sent_lower) != places(&got_lower) {
        all.push(order);
    }
}

/// A random request.
struct Ask {
    method: String,
    start: String,
    fields: Vec<Field>,
    chunked: bool,
    message: Vec<u8>,
}

impl Ask {
    fn choose(random: &mut Random) -> Self {
        let method = if random.once_in(60) {
            random.pick(&["FROB", "M-SEARCH", "x!#$%&'*+-.^_`|~9"])
        } else {
            random.pick(&KNOWN_TO_WORKERD)
        };
        let method = method.to_owned();
        let mut fields = vec![Field::new("Host", HOST)];
        for _ in 0..random.below(12) {
            fields.push(Field::new(random.pick(REQUEST_NAMES), value(random)));
        }
        for _ in 0..if random.once_in(3) { random.below(3) } else { 0 } {
            fields.push(Field::new("Cookie", format!("a{}={}", random.below(9), random.below(99))));
        }
        if random.once_in(12) {
            fields.push(Field::new(
                "Connection",
                random.pick(&["close", "keep-alive, X-Named", "x-named", "Keep-Alive"]),
            ));
            fields.push(Field::new("X-Named", "1"));
            fields.push(Field::new("Keep-Alive", "timeout=5"));
        }
        if random.once_in(10) {
            let (name, value) = [
                ("X-Forwarded-For", "192.0.2.1, 10.0.0.1"),
                ("X-Forwarded-Proto", "https"),
                ("X-Forwarded-Host", "evil.example"),
                ("X-Forwarded-Prefix", "/evil"),
                ("X-Forwarded-Port", "444"),
                ("X-Real-IP", "192.0.2.1"),
                ("Forwarded", "for=192.0.2.1"),
                ("TE", "trailers"),
                ("Proxy-Authorization", "Basic eA=="),
                ("Via", "1.0 fred, 1.1 inner"),
                ("Spin-Full-Url", "http://evil.example/"),
            ][random.below(11)];
            fields.push(Field::new(name, value));
        }
        if random.once_in(40) {
            fields.push(Field::new("X-Latin", *b"caf\xe9 \xff"));
        }
        let mut body = Vec::new();
        let mut chunked = false;
        let has_body = matches!(method.as_str(), "POST" | "PUT" | "PATCH") || random.once_in(8);
        if has_body {
            let bytes = self::body(random);
            chunked = random.once_in(3);
            if random.once_in(10) {
                fields.push(Field::new("Expect", "100-continue"));
            }
            if chunked {
                fields.push(Field::new("Transfer-Encoding", "chunked"));
                for part in bytes.chunks(1 + random.below(3000)) {
                    body.extend(wire::chunk(part));
                }
                body.extend(b"0\r\n");
                if random.once_in(5) {
                    if random.once_in(2) {
                        fields.push(Field::new("Trailer", "X-Sum"));
                    }
                    body.extend(b"X-Sum: 7\r\n");
                }
                body.extend(b"\r\n");
            } else {
                fields.push(Field::new("Content-Length", bytes.len().to_string()));
                body = bytes;
            }
        }
        if method == "OPTIONS" && random.once_in(2) {
            fields.push(Field::new("Max-Forwards", "10"));
        }
        let start = format!("{method} {} HTTP/1.1", target(random));
        let mut message = Head { start: start.clone().into_bytes(), fields: fields.clone() }.to_bytes();
        message.extend(body);
        Self { method, start, fields, chunked, message }
    }

    fn is_named_by_connection(&self, name: &str) -> bool {
        is_named_by_connection(&self.fields, name)
    }
}

fn is_named_by_connection(fields: &[Field], name: &str) -> bool {
    let options = wire::values(fields, "connection").map(wire::text).collect::<Vec<_>>().join(",").to_ascii_lowercase();
    options.split(',').any(|option| option.trim() == name)
}

/// A random response.
#[derive(Debug, Clone, Default)]
struct Answer {
    status: u16,
    start: Vec<u8>,
    interim: Vec<u8>,
    fields: Vec<Field>,
    body: Vec<u8>,
    chunked: bool,
    until_close: bool,
    trailers: bool,
}

impl Answer {
    fn choose(random: &mut Random) -> Self {
        let status = [200, 200, 200, 201, 203, 204, 206, 226, 299, 301, 304, 400, 404, 418, 499, 500, 503, 599]
            [random.below(18)];
        let mut answer = Answer { status, start: format!("HTTP/1.1 {status} Odd").into_bytes(), ..Answer::default() };
        if random.once_in(20) {
            answer.interim = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n".to_vec();
        }
        for _ in 0..random.below(10) {
            answer.fields.push(Field::new(random.pick(RESPONSE_NAMES), value(random)));
        }
        for number in 0..if random.once_in(3) { random.below(5) } else { 0 } {
            let cookie = format!("c{}=v{number}; Expires=Wed, 21 Oct 2026 07:28:00 GMT; Path=/", random.below(3));
            answer.fields.push(Field::new("Set-Cookie", cookie));
        }
        if random.once_in(20) {
            answer.fields.push(Field::new("Date", "Tue, 15 Nov 1994 08:12:31 GMT"));
        }
        if random.once_in(30) {
            answer.fields.push(Field::new("X-Latin", *b"th\xe9 \xff"));
        }
        if random.once_in(25) {
            answer.fields.push(Field::new("Connection", "X-Named"));
            answer.fields.push(Field::new("X-Named", "1"));
            answer.fields.push(Field::new("Keep-Alive", "timeout=5"));
        }
        answer.body = self::body(random);
        match random.below(6) {
            0 => {
                answer.fields.push(Field::new("Content-Encoding", "gzip"));
                answer.body = gzip(&answer.body);
            }
            1 => answer.fields.push(Field::new("Content-Encoding", random.pick(&["br", "zstd", "deflate", "x-own"]))),
            _ => {}
        }
        if status == 204 {
            return answer;
        }
        if status == 304 {
            // What a 200 would have had (RFC 9110 §8.6).
            if random.once_in(2) {
                answer.fields.push(Field::new("Content-Length", answer.body.len().to_string()));
            }
            return answer;
        }
        match random.below(8) {
            0 | 1 => {
                answer.chunked = true;
                answer.fields.push(Field::new("Transfer-Encoding", "chunked"));
                answer.trailers = random.once_in(3);
                if answer.trailers && random.once_in(2) {
                    answer.fields.push(Field::new("Trailer", "X-Sum"));
                }
            }
            2 => {
                answer.until_close = true;
                answer.fields.retain(|field| !field.is("connection") && !field.is("x-named"));
                answer.fields.push(Field::new("Connection", "close"));
            }
            _ => answer.fields.push(Field::new("Content-Length", answer.body.len().to_string())),
        }
        answer
    }

    fn message(&self, method: &str) -> Vec<u8> {
        let mut message = self.interim.clone();
        message.extend(Head { start: self.start.clone(), fields: self.fields.clone() }.to_bytes());
        if method == "HEAD" || matches!(self.status, 204 | 304) {
            return message;
        }
        if self.chunked {
            for part in self.body.chunks(700) {
                message.extend(wire::chunk(part));
            }
            message.extend(if self.trailers { &b"0\r\nX-Sum: 7\r\n\r\n"[..] } else { b"0\r\n\r\n" });
        } else {
            message.extend(&self.body);
        }
        message
    }

    fn is_named_by_connection(&self, name: &str) -> bool {
        is_named_by_connection(&self.fields, name)
    }
}

const REQUEST_NAMES: &[&str] = &[
    "Accept",
    "accept-encoding",
    "Accept-Language",
    "User-Agent",
    "Authorization",
    "If-None-Match",
    "If-Modified-Since",
    "Range",
    "Referer",
    "Origin",
    "Cache-Control",
    "Pragma",
    "Content-Type",
    "Content-Language",
    "Content-Encoding",
    "X-A",
    "x-a",
    "X-B",
    "x_under_score",
    "X.Dot",
    "x!#$%&'*+^`|~",
    "traceparent",
    "Priority",
    "Sec-Fetch-Mode",
    "DNT",
    "X-Request-ID",
    "Max-Forwards",
    "From",
    "Date",
    "Warning",
    "Accept-Charset",
    "X-HTTP-Method-Override",
];

const RESPONSE_NAMES: &[&str] = &[
    "Content-Type",
    "Content-Language",
    "Cache-Control",
    "ETag",
    "Last-Modified",
    "Expires",
    "Age",
    "Vary",
    "Link",
    "Location",
    "Server",
    "Via",
    "WWW-Authenticate",
    "Retry-After",
    "Accept-Ranges",
    "Allow",
    "X-A",
    "x-a",
    "X-B",
    "x_under_score",
    "X.Dot",
    "x!#$%&'*+^`|~",
    "Content-Disposition",
    "Content-Security-Policy",
    "Alt-Svc",
    "Strict-Transport-Security",
    "Access-Control-Allow-Origin",
    "Server-Timing",
    "Warning",
    "Content-Location",
];

/// Visible characters, spaces and tabs between them, UTF-8, nothing, much.
fn value(random: &mut Random) -> Vec<u8> {
    match random.below(12) {
        0 => Vec::new(),
        1 => "žluťoučký kůň, \u{1F40E}".into(),
        2 => "a, b,c ,, d".into(),
        3 => "\"quoted \\\" text\"; q=0.5".into(),
        4 => "two  spaces\tand a tab".into(),
        5 => vec![b'x'; 1 + random.below(3000)],
        _ => (0..1 + random.below(24)).map(|_| b'!' + u8::try_from(random.below(94)).unwrap_or(0)).collect(),
    }
}

fn body(random: &mut Random) -> Vec<u8> {
    let length = [0, 1, 2, 100, 1000, 5000, 70_000][random.below(7)];
    (0..length).map(|_| random.bits().to_le_bytes()[0]).collect()
}

/// Segments in every legal spelling (RFC 3986 §3.3), empty ones, dot segments, percent-encodings; queries likewise.
fn target(random: &mut Random) -> String {
    let mut out = String::new();
    for _ in 0..=random.below(6) {
        out.push('/');
        match random.below(12) {
            0 => {}
            1 => out.push_str(random.pick(&[".", "..", "%2e", "%2E%2e", ".%2e", "...", ".a"])),
            2 => out.push_str(
                random.pick(&["%2F", "%2f%2F", "%5C", "%7e", "%7E", "%41%62", "%C3%A9", "%ff", "%25", "%252e"]),
            ),
            3 => out.push_str(random.pick(&["a;b=1", "a,b", "c:d", "@e", "!$&'()*+,;=", "~user", "a.b-c_d"])),
            _ => text(random, b"abcXYZ019-._~", 8, &mut out),
        }
    }
    if random.once_in(2) {
        out.push('?');
        match random.below(10) {
            0 => {}
            1 => out.push_str(random.pick(&[
                "a=%zz",
                "%",
                "a=%2f&b=%2F",
                "a+b=c%20d",
                "?",
                "/../..",
                "a=b&&=&c",
                "a='b'",
                "'",
            ])),
            2 => text(random, b"abc=&%20+", 3000, &mut out),
            _ => text(random, b"abcXYZ019-._~!$&()*+,;=:@/?", 30, &mut out),
        }
    }
    out
}

fn text(random: &mut Random, of: &[u8], most: usize, out: &mut String) {
    for _ in 0..random.below(most) {
        out.push(char::from(of[random.below(of.len())]));
    }
}
