//! What the gateway tells of itself, as those hear it who are told: a collector that reads OTLP by the official definitions,
//! Prometheus's own parser, and servers that take lines.

#![allow(clippy::panic, reason = "a test")]
#![allow(clippy::disallowed_methods, reason = "the ban on clocks is the core's; here they say when to give up")]

use gateway_core::telemetry::field::Field as LogField;
use gateway_core::telemetry::metrics::{Instrument, Kind};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind, status::StatusCode};
use postern_tests::Platform;
use postern_tests::access_log;
use postern_tests::client::{Connection, exchange, request};
use postern_tests::instances::Instances;
use postern_tests::origin::{Log, Origin, Received, Then};
use postern_tests::process;
use postern_tests::running::Running;
use postern_tests::wire::Field;
use prost::Message;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_collector_understands_protobuf_from_workers() {
    a_collector_understands(Platform::Workers, "protobuf");
}

#[test]
fn a_collector_understands_json_from_workers() {
    a_collector_understands(Platform::Workers, "json");
}

#[test]
fn a_collector_understands_protobuf_from_spin() {
    a_collector_understands(Platform::Spin, "protobuf");
}

#[test]
fn a_collector_understands_json_from_spin() {
    a_collector_understands(Platform::Spin, "json");
}

/// Client, gateway and origin stand in one trace; names and values are those of the semantic conventions.
fn a_collector_understands(platform: Platform, encoding: &str) {
    let (origin_log, origin) = server(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let (collector_log, collector) = server(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let configuration = json!({
        "telemetry": {
            "service": "shop",
            "attributes": { "deployment.environment.name": "test" },
            "otlp": {
                "endpoint": format!("http://{}", collector.address),
                "headers": { "authorization": "Bearer ${secret:OTLP_TOKEN}" },
                "encoding": encoding,
            },
            "logs": { "to": "otlp", "batch": { "interval": "100ms" } },
            "traces": { "to": "otlp", "trust": "everybody", "sample": { "ratio": 0, "on_error": true }, "batch": { "interval": "100ms" } },
            "metrics": { "to": "otlp", "interval": "100ms" },
        },
        "upstreams": {
            "origin": { "targets": [{ "url": format!("http://{}", origin.address) }] },
            "nobody": { "targets": [{ "url": format!("http://{}", Origin::closed().expect("an address")) }] },
        },
        "routes": [
            { "name": "files", "path_prefix": "/files", "upstream": "origin",
              "policies": [{ "request_rules": { "content_types": { "allow": "application/json" } } }] },
            { "name": "nobody", "path": "/nobody", "upstream": "nobody" },
            { "name": "unsampled", "path": "/unsampled", "respond": {} },
        ],
    });
    let settings = BTreeMap::from([("OTLP_TOKEN".to_owned(), "of-the-collector".to_owned())]);
    let gateway = Running::start(platform, &configuration, &settings).expect("a gateway");
    let ask = |target: &str, fields: &[Field]| {
        let message = request("GET", target, "shop.example:8080", fields, b"");
        exchange(gateway.address, &message, "GET").expect("an answer").status
    };
    let context = Field::new("traceparent", format!("00-{TRACE}-{PARENT}-01"));
    assert_eq!(ask("/files/a?token=secret", &[context, Field::new("User-Agent", "test/1")]), 200);
    assert_eq!(ask("/nobody", &[]), 502);
    assert_eq!(ask("/unsampled", &[]), 200);
    let heard = hear(&collector_log, encoding, |heard| {
        let traced = heard.spans.iter().filter(|span| hex(&span.trace_id) == TRACE).count();
        heard.logs.len() >= 3
            && traced >= 4
            && heard.spans.iter().any(|span| span.name == "GET nobody")
            && heard.requests() >= 3
            && heard.sum("http.client.request.duration") >= 2
            && heard.points.contains_key("postern.refusals")
    });
    gateway.stop().expect("nothing left");

    assert_eq!(heard.service.iter().collect::<Vec<_>>(), ["shop"]);
    assert_eq!(heard.authorization.iter().collect::<Vec<_>>(), ["Bearer of-the-collector"]);
    // The trace: the client's span, the gateway's, the policy's, the attempt's, which is what the origin was told.
    let in_trace: Vec<&Span> = heard.spans.iter().filter(|span| hex(&span.trace_id) == TRACE).collect();
    let find = |name: &str| {
        let mut found = in_trace.iter().filter(|span| span.name == name);
        let span = found.next().unwrap_or_else(|| panic!("no span {name}: {in_trace:?}"));
        assert!(found.next().is_none(), "two spans {name}");
        *span
    };
    let (server, policy, upstream, call) =
        (find("GET files"), find("policy request_rules"), find("upstream origin"), find("GET"));
    assert_eq!(hex(&server.parent_span_id), PARENT);
    assert_eq!(server.kind, SpanKind::Server as i32);
    assert_eq!(policy.parent_span_id, server.span_id);
    assert_eq!(upstream.parent_span_id, server.span_id);
    assert_eq!(call.parent_span_id, upstream.span_id);
    assert_eq!(call.kind, SpanKind::Client as i32);
    for span in &in_trace {
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano && span.start_time_unix_nano > 0, "{span:?}");
        assert!(span.start_time_unix_nano >= server.start_time_unix_nano, "{span:?}");
        assert!(span.end_time_unix_nano <= server.end_time_unix_nano, "{span:?}");
    }
    let told = received(&origin_log.take(), "traceparent");
    assert_eq!(told, [format!("00-{TRACE}-{}-01", hex(&call.span_id))], "the origin's parent is the attempt");
    let attributes = texts(&server.attributes);
    for (name, value) in [
        ("http.request.method", "GET"),
        ("url.scheme", "http"),
        ("url.path", "/files/a"),
        ("url.query", "token=REDACTED"),
        ("server.address", "shop.example"),
        ("server.port", "8080"),
        ("http.route", "files"),
        ("http.response.status_code", "200"),
        ("user_agent.original", "test/1"),
        ("client.address", "127.0.0.1"),
    ] {
        assert_eq!(attributes.get(name).map(String::as_str), Some(value), "{name} in {attributes:?}");
    }
    let attributes = texts(&call.attributes);
    let (host, port) = (origin.address.ip().to_string(), origin.address.port().to_string());
    for (name, value) in [
        ("http.request.method", "GET"),
        ("server.address", host.as_str()),
        ("server.port", &port),
        ("http.response.status_code", "200"),
        ("url.full", &format!("http://{}/files/a", origin.address)),
    ] {
        assert_eq!(attributes.get(name).map(String::as_str), Some(value), "{name} in {attributes:?}");
    }
    // What nobody sampled is told only where it failed.
    let roots: BTreeSet<&str> =
        heard.spans.iter().filter(|span| span.kind == SpanKind::Server as i32).map(|span| span.name.as_str()).collect();
    assert_eq!(roots, BTreeSet::from(["GET files", "GET nobody"]));
    let failed = heard.spans.iter().find(|span| span.name == "GET nobody").expect("a span");
    assert_eq!(failed.status.as_ref().map(|status| status.code), Some(StatusCode::Error as i32));
    assert_eq!(texts(&failed.attributes)["error.type"], "upstream-failed");

    let line = heard.logs.iter().find(|(said, _)| said["http.route"] == "files").expect("a line");
    assert_eq!((line.0["http.response.status_code"].as_str(), line.1.as_str()), ("200", TRACE));
    assert!(heard.points.contains_key("http.server.request.duration"), "{:?}", heard.points);
    let requests: Vec<_> = heard.of_routes().collect();
    assert_eq!(requests.iter().map(|(_, count)| count).sum::<u64>(), 3, "{requests:?}");
    assert!(
        requests
            .iter()
            .any(|(labels, _)| labels["http.route"] == "nobody" && labels["error.type"] == "upstream-failed")
    );
    assert_eq!(heard.sum("http.client.request.duration"), 2);
    let problems = heard.points["postern.refusals"].iter().map(|(labels, _)| labels["postern.problem"].as_str());
    assert!(problems.into_iter().any(|problem| problem == "upstream-failed"));
}

#[test]
fn three_instances_and_a_breakdown_add_up_exactly_on_workers() {
    let mut instances = Instances::start(3, &counting());
    let before = load(&instances.addresses, 900);
    // What has been told survives the runtime; each instance tells it within its interval.
    settled(instances.addresses[0], "", std::slice::from_ref(&before));
    instances.restart();
    let loads = [before, load(&instances.addresses, 600)];
    let text = settled(instances.addresses[0], "", &loads);
    instances.stop();
    assert_counts("", &text, &loads);
    read_with_types(&text);
    read_by_python(&text);
}

#[test]
fn many_instances_add_up_exactly_on_spin() {
    // Spin puts sixteen requests at once on an instance, so these are on several, each of which lives for a while.
    let running = Running::start(Platform::Spin, &counting(), &BTreeMap::new()).expect("it starts");
    // `postern dev` has asked whether it is there.
    thread::sleep(A_WHILE);
    let at_first = scrape(running.address);
    let loads = [load(&[running.address], 600)];
    let text = settled(running.address, &at_first, &loads);
    let again = scrape(running.address);
    running.stop().expect("it leaves nothing behind");
    assert_counts(&at_first, &text, &loads);
    let total = |text: &str| {
        samples(text)
            .iter()
            .filter(|(name, labels, _)| {
                name == REQUESTS && labels.get("http_route").map(String::as_str) != Some("metrics")
            })
            .map(|(.., count)| *count)
            .sum::<f64>()
    };
    assert!((total(&text) - total(&again)).abs() < 0.5, "looking changes nothing");
}

const REQUESTS: &str = "http_server_request_duration_seconds_count";
const INTERVAL: &str = "200ms";

/// Longer than anything that was counted waits, unless the machine is slow.
const A_WHILE: Duration = Duration::from_secs(3);

/// What is told when all is told, and after a while in which nothing may come that is not to be counted.
fn settled(address: SocketAddr, at_first: &str, loads: &[Load]) -> String {
    let expected = expected(loads);
    let begun = Instant::now();
    while counted(at_first, &scrape(address)) != expected && begun.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(100));
    }
    thread::sleep(A_WHILE);
    scrape(address)
}

/// What came back, by target and status.
type Load = BTreeMap<(&'static str, u16), u64>;

fn counting() -> Value {
    json!({
        "allow": "open-endpoint",
        "telemetry": { "metrics": { "to": "shared", "interval": INTERVAL } },
        "routes": [
            { "name": "one", "path": "/one", "respond": {} },
            { "name": "two", "path": "/two", "respond": { "status": 503 } },
            { "name": "scarce", "path": "/scarce", "respond": {},
              "policies": [{ "rate_limit": { "name": "scarce", "limits": "5 per 720h", "key": "everybody", "scope": "instance" } }] },
            { "name": "metrics", "path": "/metrics", "serve": "metrics" },
        ],
    })
}

/// Sends so many requests, spread over the instances, and counts what came back by target and status.
fn load(addresses: &[SocketAddr], requests: usize) -> Load {
    const TARGETS: [&str; 4] = ["/one", "/two", "/scarce", "/none"];
    let next = AtomicUsize::new(0);
    let counts: Vec<BTreeMap<_, _>> = thread::scope(|scope| {
        let clients: Vec<_> = (0..16)
            .map(|client| {
                let (next, address) = (&next, addresses[client % addresses.len()]);
                scope.spawn(move || {
                    let mut counts = BTreeMap::new();
                    let mut connection = Connection::open(address).expect("a connection");
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= requests {
                            return counts;
                        }
                        let target = TARGETS[number % TARGETS.len()];
                        connection.send(&request("GET", target, "counts.example", &[], b"")).expect("sent");
                        let seen = connection.receive("GET").expect("an answer");
                        *counts.entry((target, seen.status)).or_insert(0) += 1;
                    }
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().expect("it ends")).collect()
    });
    let mut all = BTreeMap::new();
    counts.into_iter().flatten().for_each(|(key, count)| *all.entry(key).or_insert(0) += count);
    all
}

fn scrape(address: SocketAddr) -> String {
    let seen = exchange(address, &request("GET", "/metrics", "counts.example", &[], b""), "GET").expect("an answer");
    assert_eq!(seen.status, 200);
    String::from_utf8(seen.body).expect("text")
}

/// Requests by route and status, as they were sent.
fn expected(loads: &[Load]) -> BTreeMap<(String, String), u64> {
    let mut expected: BTreeMap<(String, String), u64> = BTreeMap::new();
    for ((target, status), count) in loads.iter().flatten() {
        let route = if *target == "/none" { "" } else { &target[1..] };
        *expected.entry((route.to_owned(), status.to_string())).or_default() += count;
    }
    expected
}

/// Requests by route and status, as they were counted since then.
fn counted(at_first: &str, text: &str) -> BTreeMap<(String, String), u64> {
    let counts = |text: &str| {
        let mut found = BTreeMap::new();
        for (_, labels, count) in samples(text).iter().filter(|(name, ..)| name == REQUESTS) {
            let label = |name: &str| labels.get(name).cloned().unwrap_or_default();
            if label("http_route") != "metrics" {
                found.insert((label("http_route"), label("http_response_status_code")), *count as u64);
            }
        }
        found
    };
    let mut found = counts(text);
    for (key, count) in counts(at_first) {
        *found.entry(key).or_default() -= count;
    }
    // Such as what `postern dev` has asked.
    found.retain(|_, more| *more > 0);
    found
}

fn assert_counts(at_first: &str, text: &str, loads: &[Load]) {
    assert_eq!(counted(at_first, text), expected(loads), "{text}");
    let sum = |name: &str, label: &str, value: &str| -> f64 {
        let of = |text: &str| -> f64 {
            let all = samples(text);
            let fits = |(found, labels, _): &&(String, BTreeMap<String, String>, f64)| {
                found == name && labels.get(label).map(String::as_str) == Some(value)
            };
            all.iter().filter(fits).map(|(.., count)| *count).sum()
        };
        of(text) - of(at_first)
    };
    let of =
        |target: &str, status: u16| loads.iter().filter_map(|load| load.get(&(target, status))).sum::<u64>() as f64;
    for (name, label, value, expected) in [
        ("postern_limits_total", "postern_outcome", "admitted", of("/scarce", 200)),
        ("postern_limits_total", "postern_outcome", "refused", of("/scarce", 429)),
        ("postern_refusals_total", "postern_problem", "limit-reached", of("/scarce", 429)),
        ("postern_refusals_total", "postern_problem", "no-route", of("/none", 404)),
    ] {
        assert!(
            (sum(name, label, value) - expected).abs() < 0.5,
            "{name} {value}: {} of {expected}\n{text}",
            sum(name, label, value)
        );
    }
}

/// Every sample, by a parser that is not ours.
fn samples(text: &str) -> Vec<(String, BTreeMap<String, String>, f64)> {
    // The parser takes the parts of a histogram apart, so it is asked to read them as what they are: counters.
    let plain: String = text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    let scrape =
        prometheus_parse::Scrape::parse(plain.lines().map(|line| Ok(line.to_owned()))).expect("it can be read");
    let all: Vec<_> = scrape
        .samples
        .into_iter()
        .map(|sample| {
            let labels = sample.labels.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
            let value = match sample.value {
                prometheus_parse::Value::Counter(value)
                | prometheus_parse::Value::Gauge(value)
                | prometheus_parse::Value::Untyped(value) => value,
                other => panic!("{other:?}"),
            };
            (sample.metric, labels, value)
        })
        .collect();
    assert_eq!(all.len(), plain.lines().count(), "every line is read");
    all
}

/// What `# HELP` and `# TYPE` say is what a parser makes of the samples below them.
fn read_with_types(text: &str) {
    let read = prometheus_parse::Scrape::parse(text.lines().map(|line| Ok(line.to_owned()))).expect("it can be read");
    let (mut buckets, mut histograms) = (0, 0);
    for sample in &read.samples {
        let Some(instrument) = Instrument::ALL.into_iter().find(|one| one.prometheus() == sample.metric) else {
            // The parser takes the sum and the count of a histogram for something of their own.
            let base = sample.metric.trim_end_matches("_sum").trim_end_matches("_count");
            let is_histogram =
                Instrument::ALL.iter().any(|one| one.prometheus() == base && one.kind() == Kind::Histogram);
            assert!(is_histogram, "{} is of no kind", sample.metric);
            continue;
        };
        match (instrument.kind(), &sample.value) {
            (Kind::Counter, prometheus_parse::Value::Counter(count)) => assert!(*count >= 0.0),
            (Kind::Histogram, prometheus_parse::Value::Histogram(classes)) => {
                let rises =
                    classes.windows(2).all(|two| two[0].less_than < two[1].less_than && two[0].count <= two[1].count);
                assert!(rises && classes.last().is_some_and(|last| last.less_than.is_infinite()), "{classes:?}");
                buckets += classes.len();
                histograms += 1;
            }
            (kind, value) => panic!("{} is {kind:?}, and is read as {value:?}", sample.metric),
        }
    }
    assert!(histograms > 0, "{text}");
    assert_eq!(read.samples.len() - histograms + buckets, text.lines().filter(|line| !line.starts_with('#')).count());
    for instrument in Instrument::ALL {
        assert_eq!(read.docs.get(&instrument.prometheus()).map(String::as_str), Some(instrument.about()));
    }
}

/// Prometheus's own parser for Python, where there is one.
fn read_by_python(text: &str) {
    let script = "import sys\nfrom prometheus_client.parser import text_string_to_metric_families as read\n\
                  families = list(read(sys.stdin.read()))\nprint(len(families), sum(len(f.samples) for f in families))";
    let there = Command::new("python3").args(["-c", "import prometheus_client"]).stderr(Stdio::null()).status();
    if !there.is_ok_and(|status| status.success()) {
        // Not by `println!`, which nobody sees of a test that passes.
        let said = b"skipped: python3 with prometheus-client is not there\n";
        drop(std::io::Write::write_all(&mut std::io::stderr(), said));
        return;
    }
    let mut child = Command::new("python3")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python starts");
    std::io::Write::write_all(child.stdin.as_mut().expect("its input"), text.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{text}");
    let counts = String::from_utf8_lossy(&output.stdout);
    let (families, read) = counts.trim().split_once(' ').expect("two numbers");
    assert_eq!(families, Instrument::ALL.len().to_string());
    assert_eq!(read, text.lines().filter(|line| !line.starts_with('#')).count().to_string());
}

#[test]
fn lines_reach_servers_in_batches_and_survive_one_that_is_down() {
    for platform in Platform::REAL {
        let log = Arc::new(Log::default());
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        // Down at first, as collectors are.
        let server = Origin::start("sink", log.clone(), move |_, exchange| {
            let status = if count.fetch_add(1, Ordering::Relaxed) == 0 { "503 Down" } else { "204 Fine" };
            exchange.write(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes())?;
            Ok(Then::Keep)
        });
        let server = server.expect("a server");
        let configuration = json!({
            "telemetry": { "logs": {
                "to": [{ "http": { "url": format!("http://{}/in?key=1", server.address), "form": "array" } }],
                "batch": { "interval": "50ms" },
            } },
            "routes": [{ "name": "all", "path_prefix": "/", "respond": {} }],
        });
        let gateway = Running::start(platform, &configuration, &BTreeMap::new()).expect("a gateway");
        let mut sent = BTreeSet::new();
        for number in 0..40 {
            let target = format!("/{number}");
            let message = request("GET", &target, "lines.example", &[], b"");
            assert_eq!(exchange(gateway.address, &message, "GET").expect("an answer").status, 200);
            sent.insert(target);
            // A sink that has failed is left alone for a second, and tried again when there is something new.
            thread::sleep(Duration::from_millis(60));
        }
        let mut heard = BTreeSet::new();
        for _ in 0..PATIENCE.as_millis() / 50 {
            for received in log.take() {
                assert_eq!(received.target, b"/in?key=1");
                let lines: Vec<Value> = serde_json::from_slice(&received.body).expect("an array");
                for line in lines {
                    let line = access_log::read(&line.to_string()).expect("a line");
                    // Not that of `postern dev`, which asks whether the gateway is there.
                    heard.extend(line["url.path"].as_str().filter(|path| sent.contains(*path)).map(str::to_owned));
                }
            }
            if heard == sent {
                break;
            }
            thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(heard, sent, "on {platform}");
        assert!(asked.load(Ordering::Relaxed) > 1);
        let noted = gateway.log().contains("telemetry-lost") && gateway.log().contains("503");
        assert!(noted, "on {platform}, the log says that a sink is down: {}", gateway.log());
        gateway.stop().expect("nothing left");
    }
}

/// The fields of a line as the Combined Log Format has them: address, time, request, status, referer, user agent.
const COMBINED: &str = r#"^([0-9a-f.:]+) - - \[(\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000)\] "(\S+ \S+ HTTP/1\.1)" (\d{3}) (?:\d+|-) "([^"]*)" "([^"]*)"$"#;

#[test]
fn servers_get_lines_in_the_form_that_they_want() {
    for platform in Platform::REAL {
        for format in ["json", "combined"] {
            let log = Arc::new(Log::default());
            let server = Origin::start("sink", log.clone(), move |_, exchange| {
                exchange.write(b"HTTP/1.1 204 Fine\r\nContent-Length: 0\r\n\r\n")?;
                Ok(Then::Keep)
            });
            let server = server.expect("a server");
            let forms = ["lines", "loki", "datadog", "splunk"];
            let sink =
                |form: &&str| json!({ "http": { "url": format!("http://{}/{form}", server.address), "form": form } });
            let configuration = json!({
                "telemetry": { "service": "shop", "logs": {
                    "format": format,
                    "to": forms.iter().map(sink).collect::<Vec<_>>(),
                    "batch": { "interval": "50ms" },
                } },
                "routes": [{ "name": "all", "path_prefix": "/", "respond": {} }],
            });
            let gateway = Running::start(platform, &configuration, &BTreeMap::new()).expect("a gateway");
            let fields = [Field::new("User-Agent", "curl/8"), Field::new("Referer", "http://a.example/b?c=secret")];
            let message = request("GET", "/here?token=secret", "forms.example", &fields, b"");
            assert_eq!(exchange(gateway.address, &message, "GET").expect("an answer").status, 200);
            let mut heard: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for _ in 0..PATIENCE.as_millis() / 50 {
                for received in log.take() {
                    let form = String::from_utf8_lossy(&received.target).trim_start_matches('/').to_owned();
                    heard.entry(form.clone()).or_default().extend(lines_in(&form, &received.body));
                }
                let is_ours = |line: &String| line.contains("/here");
                if heard.len() == forms.len() && heard.values().all(|lines| lines.iter().any(is_ours)) {
                    break;
                }
                thread::sleep(Duration::from_millis(50));
            }
            for form in forms {
                let ours: Vec<&String> =
                    heard.get(form).into_iter().flatten().filter(|line| line.contains("/here")).collect();
                let [line] = ours.as_slice() else { panic!("{form} of {format} on {platform}: {heard:?}") };
                assert!(!line.contains("secret"), "{line}");
                if format == "json" {
                    let line = access_log::read(line).expect("a line");
                    assert_eq!((&line["url.path"], &line["url.query"]), (&json!("/here"), &json!("token=REDACTED")));
                } else {
                    let read = regex_lite::Regex::new(COMBINED).expect("an expression");
                    let parts = read.captures(line).unwrap_or_else(|| panic!("{line}"));
                    let part = |number: usize| parts.get(number).map_or("", |part| part.as_str());
                    assert_eq!(
                        (part(3), part(4), part(5), part(6)),
                        ("GET /here?token=REDACTED HTTP/1.1", "200", "http://a.example/b", "curl/8")
                    );
                }
            }
            gateway.stop().expect("nothing left");
        }
    }
}

/// The lines in what a server got, read as it would.
fn lines_in(form: &str, body: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(body).expect("text");
    let json = |text: &str| -> Value { serde_json::from_str(text).expect("JSON") };
    // A line of JSON is a value or a text, as the form has it.
    let line = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match form {
        "lines" => text.lines().map(str::to_owned).collect(),
        "loki" => {
            let read = json(text);
            let streams = read["streams"].as_array().expect("streams").iter();
            let of = |stream: &Value| -> Vec<String> {
                assert_eq!(stream["stream"]["service_name"], "shop", "{stream}");
                let values = stream["values"].as_array().expect("values").iter();
                values
                    .map(|value| {
                        let at: u64 = value[0].as_str().and_then(|at| at.parse().ok()).expect("nanoseconds");
                        assert!(at > 1_600_000_000_000_000_000, "{value}");
                        line(&value[1])
                    })
                    .collect()
            };
            streams.flat_map(of).collect()
        }
        "datadog" => {
            let read = json(text);
            let of = |item: &Value| {
                assert_eq!((&item["ddsource"], &item["service"]), (&json!("postern"), &json!("shop")), "{item}");
                line(&item["message"])
            };
            read.as_array().expect("an array").iter().map(of).collect()
        }
        "splunk" => {
            let of = |event: Value| {
                assert!(event["time"].as_f64().is_some_and(|time| time > 1_600_000_000.0), "{event}");
                assert_eq!(
                    (&event["source"], &event["sourcetype"]),
                    (&json!("shop"), &json!("postern:access")),
                    "{event}"
                );
                line(&event["event"])
            };
            text.lines().map(json).map(of).collect()
        }
        other => panic!("nobody asked for {other}"),
    }
}

#[test]
fn documents_say_what_there_is() {
    let read = |path: &str| std::fs::read_to_string(process::root().join(path)).expect("a document");
    let schema: Value = serde_json::from_str(&read("docs/access-log.schema.json")).expect("JSON");
    let document = read("docs/observability.md");
    let known: BTreeSet<&str> = LogField::ALL.iter().map(|(name, ..)| *name).chain(["schema"]).collect();
    let described: BTreeSet<&str> =
        schema["properties"].as_object().expect("a map").keys().map(String::as_str).collect();
    assert_eq!(described, known, "docs/access-log.schema.json");
    for name in known {
        assert!(document.contains(&format!("`{name}`")), "docs/observability.md lacks {name}");
    }
    let mut names = BTreeSet::new();
    for instrument in Instrument::ALL {
        assert!(
            document.contains(&format!("| `{}` |", instrument.name())),
            "docs/observability.md lacks {}",
            instrument.name()
        );
        assert!(document.contains(&instrument.prometheus()), "docs/observability.md lacks {}", instrument.prometheus());
        match instrument.kind() {
            Kind::Counter => drop(names.insert(instrument.prometheus())),
            Kind::Histogram => {
                names.extend(["bucket", "sum", "count"].map(|part| format!("{}_{part}", instrument.prometheus())));
            }
        }
        for label in instrument.labels() {
            assert!(document.contains(&format!("`{label}`")), "docs/observability.md lacks {label}");
        }
    }
    // Every query of the dashboard asks for what there is, and for labels that it has.
    let labels: BTreeSet<String> = Instrument::ALL
        .iter()
        .flat_map(|instrument| instrument.labels().iter().map(|label| label.replace('.', "_")))
        .chain(["le".to_owned()])
        .collect();
    let dashboard: Value = serde_json::from_str(&read("docs/dashboards/grafana.json")).expect("JSON");
    let mut queries = Vec::new();
    find(&dashboard, "expr", &mut queries);
    assert!(queries.len() >= 10, "{queries:?}");
    let names_in = regex_lite::Regex::new(r"\b((?:http|postern)_[a-z_]+)\b").expect("an expression");
    let mut used = BTreeSet::new();
    for query in &queries {
        for found in names_in.find_iter(query).map(|found| found.as_str()) {
            assert!(names.contains(found) || labels.contains(found), "there is no {found}: {query}");
            used.insert(found.to_owned());
        }
    }
    for instrument in Instrument::ALL {
        assert!(
            used.iter().any(|name| name.starts_with(&instrument.prometheus())),
            "no panel shows {}",
            instrument.name()
        );
    }
}

fn find(value: &Value, name: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(key, value)| match value {
            Value::String(text) if key == name => found.push(text.clone()),
            value => find(value, name, found),
        }),
        Value::Array(items) => items.iter().for_each(|item| find(item, name, found)),
        _ => {}
    }
}

fn server(answer: &'static [u8]) -> (Arc<Log>, Origin) {
    let log = Arc::new(Log::default());
    let server = Origin::start("server", log.clone(), move |_, exchange| {
        exchange.write(answer)?;
        Ok(Then::Keep)
    });
    (log, server.expect("a server"))
}

fn received(requests: &[Received], name: &str) -> Vec<String> {
    requests
        .iter()
        .flat_map(|received| {
            received.all(name).map(|value| String::from_utf8_lossy(value).into_owned()).collect::<Vec<_>>()
        })
        .collect()
}

/// The attributes of a point, and its count.
type Point = (BTreeMap<String, String>, u64);

/// What a collector has been told.
#[derive(Debug, Default)]
struct Heard {
    service: BTreeSet<String>,
    authorization: BTreeSet<String>,
    spans: Vec<Span>,
    /// Attributes and trace.
    logs: Vec<(BTreeMap<String, String>, String)>,
    /// By metric: labels, and how often.
    points: BTreeMap<String, Vec<Point>>,
}

impl Heard {
    fn requests(&self) -> u64 {
        self.of_routes().map(|(_, count)| count).sum()
    }

    /// How often something was measured.
    fn sum(&self, metric: &str) -> u64 {
        self.points.get(metric).into_iter().flatten().map(|(_, count)| count).sum()
    }

    /// Requests that a route has taken: not that of `postern dev`, which asks whether the gateway is there.
    fn of_routes(&self) -> impl Iterator<Item = &(BTreeMap<String, String>, u64)> {
        let all = self.points.get("http.server.request.duration").into_iter().flatten();
        all.filter(|(labels, _)| labels.contains_key("http.route"))
    }

    fn resource(&mut self, attributes: &[KeyValue]) {
        let attributes = texts(attributes);
        assert_eq!(attributes["deployment.environment.name"], "test");
        self.service.insert(attributes["service.name"].clone());
    }

    fn take(&mut self, received: &Received, encoding: &str) {
        self.authorization.extend(crate::received(std::slice::from_ref(received), "authorization"));
        let kind = if encoding == "json" { "application/json" } else { "application/x-protobuf" };
        assert_eq!(crate::received(std::slice::from_ref(received), "content-type"), [kind]);
        match received.target.as_slice() {
            b"/v1/traces" => {
                let request: ExportTraceServiceRequest = decode(&received.body, encoding);
                for resource in request.resource_spans {
                    self.resource(&resource.resource.expect("a resource").attributes);
                    assert!(resource.schema_url.starts_with("https://opentelemetry.io/schemas/"));
                    self.spans.extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
                }
            }
            b"/v1/logs" => {
                let request: ExportLogsServiceRequest = decode(&received.body, encoding);
                for resource in request.resource_logs {
                    self.resource(&resource.resource.expect("a resource").attributes);
                    for record in resource.scope_logs.into_iter().flat_map(|scope| scope.log_records) {
                        assert!(record.time_unix_nano > 0 && record.severity_number > 0);
                        let said = texts(&record.attributes);
                        if said.contains_key("http.route") {
                            self.logs.push((said, hex(&record.trace_id)));
                        }
                    }
                }
            }
            b"/v1/metrics" => {
                let request: ExportMetricsServiceRequest = decode(&received.body, encoding);
                for resource in request.resource_metrics {
                    self.resource(&resource.resource.expect("a resource").attributes);
                    for metric in resource.scope_metrics.into_iter().flat_map(|scope| scope.metrics) {
                        let points: Vec<_> = match metric.data.expect("points") {
                            Data::Sum(sum) => {
                                assert!(sum.is_monotonic && sum.aggregation_temporality == 1);
                                sum.data_points.iter().map(|point| (texts(&point.attributes), whole(point))).collect()
                            }
                            Data::Histogram(histogram) => {
                                assert_eq!(histogram.aggregation_temporality, 1);
                                let point = |point: &opentelemetry_proto::tonic::metrics::v1::HistogramDataPoint| {
                                    assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
                                    assert_eq!(point.bucket_counts.iter().sum::<u64>(), point.count);
                                    assert!(point.start_time_unix_nano <= point.time_unix_nano);
                                    (texts(&point.attributes), point.count)
                                };
                                histogram.data_points.iter().map(point).collect()
                            }
                            other => panic!("{other:?}"),
                        };
                        self.points.entry(metric.name).or_default().extend(points);
                    }
                }
            }
            other => panic!("{}", String::from_utf8_lossy(other)),
        }
    }
}

fn whole(point: &opentelemetry_proto::tonic::metrics::v1::NumberDataPoint) -> u64 {
    match point.value {
        Some(opentelemetry_proto::tonic::metrics::v1::number_data_point::Value::AsInt(value)) => value as u64,
        ref other => panic!("{other:?}"),
    }
}

fn hear(log: &Log, encoding: &str, enough: impl Fn(&Heard) -> bool) -> Heard {
    let mut heard = Heard::default();
    let mut rounds = PATIENCE.as_millis() / 50;
    while !enough(&heard) {
        assert!(rounds > 0, "not all was told: {heard:?}");
        rounds -= 1;
        thread::sleep(Duration::from_millis(50));
        log.take().iter().for_each(|received| heard.take(received, encoding));
    }
    // What is still on its way.
    thread::sleep(Duration::from_millis(500));
    log.take().iter().for_each(|received| heard.take(received, encoding));
    heard
}

fn decode<M: Message + Default + serde::de::DeserializeOwned>(body: &[u8], encoding: &str) -> M {
    match encoding {
        "json" => {
            serde_json::from_slice(body).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(body)))
        }
        _ => M::decode(body).expect("protobuf"),
    }
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    attributes.iter().map(|pair| (pair.key.clone(), pair.value.as_ref().map(text).unwrap_or_default())).collect()
}

fn text(value: &AnyValue) -> String {
    match &value.value {
        Some(any_value::Value::StringValue(text)) => text.clone(),
        Some(any_value::Value::IntValue(number)) => number.to_string(),
        Some(any_value::Value::DoubleValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
