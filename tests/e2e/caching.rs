//! Caches under load: many misses of one key, in one instance and in several.

#![allow(clippy::panic, reason = "a test")]
#![allow(clippy::disallowed_methods, reason = "the ban on clocks is the core's; here they tell a queue from a crowd")]

use postern_tests::client::{Connection, Seen, request};
use postern_tests::instances::Instances;
use postern_tests::wire::Field;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

const MISSES: usize = 1_000;
/// Bytes of a body that comes in many pieces.
const LONG: usize = 3_000_000;
/// `from the origin`, as gzip.
const PACKED: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\x4b\x2b\xca\xcf\x55\x28\xc9\x48\x55\xc8\x2f\xca\x4c\xcf\xcc\x03\x00\xe4\x6e\x68\x85\x0f\x00\x00\x00";

#[test]
fn a_thousand_misses_of_one_key_are_one_request_in_an_instance() {
    let origin = Origin::start();
    let instances = Instances::start(1, &origin.configuration());
    let found = misses(&instances.addresses, "/fresh", MISSES);
    println!("{MISSES} misses at once, one instance: {} requests to the origin; {found:?}", origin.asked());
    assert_eq!(origin.asked(), 1);
    instances.stop();
}

#[test]
fn across_four_instances_there_is_at_most_one_for_each() {
    let origin = Origin::start();
    let instances = Instances::start(4, &origin.configuration());
    let found = misses(&instances.addresses, "/fresh", MISSES);
    println!("{MISSES} misses at once, four instances: {} requests to the origin; {found:?}", origin.asked());
    assert!((1..=4).contains(&origin.asked()), "{}", origin.asked());
    instances.stop();
}

#[test]
fn answers_that_are_not_stored_do_not_queue_up() {
    let origin = Origin::start();
    let instances = Instances::start(1, &origin.configuration());
    let begin = std::time::Instant::now();
    misses(&instances.addresses, "/never", MISSES);
    // One after the other they would take minutes.
    assert!(begin.elapsed() < Duration::from_secs(60));
    assert_eq!(origin.asked(), MISSES);
    instances.stop();
}

#[test]
fn what_one_data_centre_has_stored_the_others_find() {
    let origin = Origin::start();
    let instances = Instances::apart(3, &origin.configuration());
    // Plain, compressed, compressed and watched piece by piece, and longer than what fits into one piece.
    for (path, length) in [
        ("/global/fresh", 15),
        ("/global/packed", PACKED.len()),
        ("/watched/packed", PACKED.len()),
        ("/global/long", LONG),
    ] {
        let first = ask(instances.addresses[0], "GET", path, &[]);
        assert_eq!((first.status, first.body.len()), (200, length), "{path}");
        let asked = origin.asked();
        for &elsewhere in &instances.addresses[1..] {
            let found = awaited(
                || ask(elsewhere, "GET", path, &[("cache-control", "only-if-cached")]),
                |seen| seen.status == 200,
            );
            // What was packed may be packed anew: the last eight bytes are a checksum and a length of what is inside (RFC 1952).
            let shown = if path.ends_with("packed") { first.body.len() - 8 } else { 0 };
            assert!(found.body.ends_with(&first.body[shown..]), "{path}: {} bytes", found.body.len());
            let coding = |seen: &Seen| seen.head.text("content-encoding").map(str::to_owned);
            assert_eq!(coding(&found), coding(&first), "{path}");
            assert!(found.head.text("cache-status").is_some_and(|told| told.starts_with("postern; hit")), "{path}");
        }
        assert_eq!(origin.asked(), asked, "{path}: nobody else has asked");
    }
    // Without it, each has its own.
    ask(instances.addresses[0], "GET", "/fresh", &[]);
    let alone = ask(instances.addresses[1], "GET", "/fresh", &[("cache-control", "only-if-cached")]);
    assert_eq!(alone.status, 504);
    // A change in one takes it from where those look who do not have it yet.
    ask(instances.addresses[0], "GET", "/global/changed", &[]);
    awaited(
        || ask(instances.addresses[1], "GET", "/global/changed", &[("cache-control", "only-if-cached")]),
        |seen| seen.status == 200,
    );
    assert_eq!(ask(instances.addresses[1], "DELETE", "/global/changed", &[]).status, 200);
    for &address in &instances.addresses[1..] {
        assert_eq!(ask(address, "GET", "/global/changed", &[("cache-control", "only-if-cached")]).status, 504);
    }
    instances.stop();
}

fn ask(address: SocketAddr, method: &str, path: &str, more: &[(&str, &str)]) -> Seen {
    let fields = more.iter().chain(&[("accept-encoding", "gzip")]);
    let fields: Vec<Field> = fields.map(|(name, value)| Field::new(*name, *value)).collect();
    let message = request(method, path, "cache.example", &fields, b"");
    let mut connection = Connection::open(address).expect("it listens");
    connection.send(&message).expect("it is sent");
    connection.receive(method).expect("an answer")
}

/// What is written after the answer, when it is there.
fn awaited(mut ask: impl FnMut() -> Seen, is_there: impl Fn(&Seen) -> bool) -> Seen {
    for _ in 0..600 {
        let seen = ask();
        if is_there(&seen) {
            return seen;
        }
        thread::sleep(Duration::from_millis(100));
    }
    panic!("it never comes");
}

/// Sends all requests before any answer is read; gives how often each `Cache-Status` came.
fn misses(addresses: &[SocketAddr], path: &str, count: usize) -> BTreeMap<String, usize> {
    let message = request("GET", path, "cache.example", &[], b"");
    let mut connections: Vec<Connection> =
        (0..count).map(|number| Connection::open(addresses[number % addresses.len()]).expect("it listens")).collect();
    connections.iter_mut().for_each(|connection| connection.send(&message).expect("it is sent"));
    let mut found = BTreeMap::new();
    for connection in &mut connections {
        let seen = connection.receive("GET").expect("an answer");
        assert_eq!((seen.status, seen.body.as_slice()), (200, &b"from the origin"[..]));
        let told = seen.head.fields.iter().find(|field| field.name.eq_ignore_ascii_case(b"cache-status"));
        let told = told.map(|field| String::from_utf8_lossy(&field.value).into_owned()).unwrap_or_default();
        *found.entry(told.split("; ttl=").next().unwrap_or_default().to_owned()).or_default() += 1;
    }
    found
}

/// An origin that thinks for half a second, and counts.
struct Origin {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl Origin {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let (address, asked) = (listener.local_addr().expect("an address"), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&asked);
        // It ends with the test program.
        thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let count = Arc::clone(&count);
                thread::spawn(move || {
                    let mut lines = BufReader::new(connection.try_clone()?).lines();
                    let mut connection = connection;
                    while let Some(Ok(first)) = lines.next() {
                        while lines.next().and_then(Result::ok).is_some_and(|line| !line.is_empty()) {}
                        count.fetch_add(1, Ordering::SeqCst);
                        thread::sleep(Duration::from_millis(500));
                        let says = if first.contains("/never") { "no-store" } else { "max-age=600" };
                        let (coding, body) = match &first {
                            path if path.contains("packed") => ("Content-Encoding: gzip\r\n", PACKED.to_vec()),
                            path if path.contains("long") => ("", vec![b'l'; LONG]),
                            _ => ("", b"from the origin".to_vec()),
                        };
                        let length = body.len();
                        let head = format!(
                            "HTTP/1.1 200 OK\r\nCache-Control: {says}\r\n{coding}Content-Length: {length}\r\n\r\n"
                        );
                        connection.write_all(&[head.as_bytes(), &body].concat())?;
                    }
                    Ok::<(), std::io::Error>(())
                });
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn configuration(&self) -> Value {
        json!({
            "upstreams": {
                "origin": { "targets": [{ "url": format!("http://{}", self.address) }] },
                "watched": { "targets": [{ "url": format!("http://{}", self.address) }], "timeouts": { "idle": "5s" } },
            },
            "routes": [
                { "name": "all", "path_prefix": "/", "upstream": "origin", "policies": [{ "cache": {} }] },
                { "name": "global", "path_prefix": "/global", "upstream": "origin", "policies": [{ "cache": { "scope": "global" } }] },
                { "name": "watched", "path_prefix": "/watched", "upstream": "watched", "policies": [{ "cache": { "scope": "global" } }] },
            ],
        })
    }
}
