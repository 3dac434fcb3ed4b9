//! The console in a real browser, and the commands that ask the same interface, with gateways that run.

#![allow(clippy::panic, reason = "a test")]

use gateway_core::consumer;
use postern_tests::Platform;
use postern_tests::client::{exchange, request};
use postern_tests::origin::{Log, Origin, Then};
use postern_tests::process;
use postern_tests::running::Running;
use postern_tests::wire::Field;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

#[test]
fn the_console_on_workers() {
    the_console(Platform::Workers);
}

#[test]
fn the_console_on_spin() {
    the_console(Platform::Spin);
}

/// Sends requests, and has somebody look at them in a browser.
fn the_console(platform: Platform) {
    let shop = Shop::open(platform);
    let sent = shop.visit();
    let facts = json!({
        "gateway": format!("http://{}", shop.gateway.address),
        "admin": ADMIN,
        "write": OPERATOR,
        "read": VIEWER,
        "key": KEY,
        "targets": shop.targets.iter().map(|target| target.address.to_string()).collect::<Vec<_>>(),
        "sent": sent,
        "refused": REFUSED,
        "alice": sent["private"] - REFUSED,
        "only": std::env::var("POSTERN_CONSOLE_PART").ok(),
    });
    let output = Command::new(process::root().join("node_modules/.bin/node"))
        .arg(process::root().join("tests/e2e/console.mjs"))
        .arg(facts.to_string())
        .stdin(Stdio::null())
        .output()
        .expect("node runs");
    println!("{}", text(&output.stdout));
    assert!(output.status.success(), "{}{}\n{}", text(&output.stdout), text(&output.stderr), shop.gateway.log());
    shop.gateway.stop().expect("nothing left");
}

#[test]
fn tail_and_top_on_workers() {
    tail_and_top(Platform::Workers);
}

#[test]
fn tail_and_top_on_spin() {
    tail_and_top(Platform::Spin);
}

fn tail_and_top(platform: Platform) {
    let shop = Shop::open(platform);
    let sent = shop.visit();
    // All has been told when `top` has counted it.
    let mut counts = BTreeMap::new();
    for _ in 0..PATIENCE {
        let top: Value = serde_json::from_str(&said(&shop.ask(&["top", "--once", "--json"]))).expect("JSON");
        counts = top["routes"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|row| (row["route"].as_str().unwrap_or_default().to_owned(), row["requests"].as_u64().unwrap_or(0)))
            .collect();
        if sent.iter().all(|(route, count)| counts.get(*route) == Some(count)) {
            assert!(
                top["all"]["p95_ms"].is_number() && top["all"]["requests"].as_u64() >= Some(sent.values().sum()),
                "{top}"
            );
            let broken = top["routes"].as_array().into_iter().flatten().find(|row| row["route"] == "broken");
            assert_eq!(broken.map(|row| &row["errors"]), Some(&json!(sent["broken"])));
            break;
        }
        thread::sleep(Duration::from_millis(250));
    }
    for (route, count) in &sent {
        assert_eq!(counts.get(*route), Some(count), "{route} in {counts:?}");
    }
    let table = said(&shop.ask(&["top", "--once", "--sort", "errors"]));
    let rows: Vec<&str> = table.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(rows[..3], ["ROUTE", "(all)", "broken"], "{table}");
    assert!(said(&shop.ask(&["top", "--once", "--route", "orders"])).lines().any(|line| line.starts_with("orders")));

    // Filters, each of which leaves something out.
    for (arguments, fits) in [
        (&["--route", "orders"][..], (|record: &Value| record["http.route"] == "orders") as fn(&Value) -> bool),
        (&["--status", "5xx"], |record| record["http.response.status_code"] == 500),
        (&["--status", "401"], |record| record["postern.problem"].is_string()),
        (&["--path-prefix", "/broken"], |record| record["url.path"] == "/broken/1"),
        (&["--consumer", "alice"], |record| record["http.route"] == "private"),
        (&["--errors"], |record| record["http.route"] == "broken"),
    ] {
        let asked = [&["tail", "--once", "--json", "--lines", "200"], arguments].concat();
        let lines = said(&shop.ask(&asked));
        let records: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert!(!records.is_empty(), "{arguments:?}");
        assert!(records.iter().all(fits), "{arguments:?}: {lines}");
        assert!(records.iter().all(|record| record["schema"] == "postern.access/1"), "{lines}");
    }
    assert_eq!(said(&shop.ask(&["tail", "--once", "--slower-than", "10m"])), "");
    let told = said(&shop.ask(&["tail", "--once", "--lines", "1", "--route", "broken"]));
    assert!(told.contains("  500  ") && told.contains("GET /broken/1  route broken  upstream shop"), "{told}");

    // What comes while it looks.
    let mut follower = shop
        .command(&["tail", "--json", "--lines", "1", "--path-prefix", "/orders/new"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it runs");
    let mut lines = BufReader::new(follower.stdout.take().expect("its output")).lines();
    thread::sleep(Duration::from_secs(1));
    assert_eq!(get(shop.gateway.address, "/orders/new", &[]), 200);
    let line = lines.next().and_then(Result::ok).expect("a line");
    let record: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(record["url.path"], "/orders/new");
    follower.kill().expect("it ends");
    follower.wait().expect("it has ended");

    // Who may not look.
    let url = format!("http://{}{ADMIN}", shop.gateway.address);
    for (token, why) in [(Some("a guess, and a long one at that, of more"), "401"), (None, "POSTERN_ADMIN_TOKEN")] {
        let mut command = postern(&["top", "--once", "--url", &url]);
        if let Some(token) = token {
            command.env("POSTERN_ADMIN_TOKEN", token);
        }
        let output = command.output().expect("it runs");
        let complaint = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{complaint}");
        assert!(complaint.contains(why) && token.is_none_or(|token| !complaint.contains(token)), "{complaint}");
    }
    shop.gateway.stop().expect("nothing left");
}

const ADMIN: &str = "/_admin";
const OPERATOR: &str = "operator-0123456789-0123456789-0123456789";
const VIEWER: &str = "viewer-0123456789-0123456789-0123456789-";
const KEY: &str = "alice-key-one-0123456789";
/// How many requests without a key are sent to where one is needed.
const REFUSED: u64 = 3;
/// In quarters of a second.
const PATIENCE: usize = 120;

/// A gateway with an admin interface, in front of an upstream with two targets.
struct Shop {
    gateway: Running,
    targets: [Origin; 2],
}

impl Shop {
    fn open(platform: Platform) -> Self {
        let targets = ["one", "two"].map(|name| {
            let served = AtomicUsize::new(0);
            Origin::start(name, Arc::new(Log::default()), move |received, exchange| {
                let number = served.fetch_add(1, Ordering::Relaxed);
                let status = if received.target.starts_with(b"/broken") { "500 Internal Server Error" } else { "200 OK" };
                let body = format!("{name} {number}");
                let cache = if received.target.starts_with(b"/cached") { "max-age=3600" } else { "no-store" };
                let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nCache-Control: {cache}\r\nX-Target: {name}\r\n\r\n{body}", body.len());
                exchange.write(head.as_bytes())?;
                Ok(Then::Keep)
            })
            .expect("a target")
        });
        let configuration = json!({
            "admin": {
                "path": ADMIN,
                "interval": "500ms",
                "tokens": [
                    { "name": "operator", "token": "${secret:OPERATOR}", "access": "write" },
                    { "name": "viewer", "token": "${secret:VIEWER}" },
                ],
            },
            "upstreams": { "shop": { "targets": targets.each_ref().map(|target| json!({ "url": format!("http://{}", target.address) })) } },
            "consumers": [{ "name": "alice", "keys": { "hash": consumer::hash(KEY), "prefix": &KEY[..8] } }],
            "routes": [
                { "name": "orders", "path_prefix": "/orders", "upstream": "shop" },
                { "name": "broken", "path_prefix": "/broken", "upstream": "shop" },
                { "name": "cached", "path_prefix": "/cached", "upstream": "shop", "policies": [{ "cache": {} }] },
                { "name": "private", "path": "/private", "upstream": "shop", "policies": [{ "authenticate": { "any_of": { "api_key": {} } } }] },
                { "name": "scarce", "path": "/scarce", "respond": {},
                  "policies": [{ "rate_limit": { "name": "scarce", "limits": "5 per 720h", "key": "everybody", "scope": "global" } }] },
            ],
        });
        let settings =
            BTreeMap::from([("OPERATOR".to_owned(), OPERATOR.to_owned()), ("VIEWER".to_owned(), VIEWER.to_owned())]);
        let gateway = Running::start(platform, &configuration, &settings).expect("a gateway");
        Self { gateway, targets }
    }

    /// Sends requests, and says how many to which route.
    fn visit(&self) -> BTreeMap<&'static str, u64> {
        let ask = |target: &str, fields: &[Field]| get(self.gateway.address, target, fields);
        let key = Field::new("x-api-key", KEY);
        for number in 0..24 {
            assert_eq!(ask(&format!("/orders/{number}"), &[]), 200);
        }
        for _ in 0..6 {
            assert_eq!(ask("/broken/1", &[]), 500);
        }
        for _ in 0..4 {
            assert_eq!(ask("/private", std::slice::from_ref(&key)), 200);
        }
        for _ in 0..REFUSED {
            assert_eq!(ask("/private", &[]), 401);
        }
        for _ in 0..5 {
            assert_eq!(ask("/scarce", &[]), 200);
        }
        BTreeMap::from([("orders", 24), ("broken", 6), ("private", 4 + REFUSED), ("scarce", 5)])
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = postern(arguments);
        command
            .env("POSTERN_ADMIN_URL", format!("http://{}{ADMIN}/", self.gateway.address))
            .env("POSTERN_ADMIN_TOKEN", VIEWER);
        command
    }

    fn ask(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("it runs")
    }
}

fn get(address: SocketAddr, target: &str, fields: &[Field]) -> u16 {
    let message = request("GET", target, &address.to_string(), fields, b"");
    exchange(address, &message, "GET").expect("an answer").status
}

fn postern(arguments: &[&str]) -> Command {
    let mut command = Command::new(process::postern(Platform::Test).expect("it is built"));
    command.args(arguments).env_remove("POSTERN_ADMIN_TOKEN").env_remove("POSTERN_ADMIN_URL").stdin(Stdio::null());
    command
}

/// What a command that did what it was asked has written.
fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
