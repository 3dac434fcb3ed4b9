//! Caches under load: many misses of one key, in one instance and in several.

#![allow(clippy::panic, reason = "a test")]
#![allow(clippy::disallowed_methods, reason = "the ban on clocks is the core's; here they tell a queue from a crowd")]

use postern_tests::client::{Connection, request};
use postern_tests::instances::Instances;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

const MISSES: usize = 1_000;

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
                        let head = format!("HTTP/1.1 200 OK\r\nCache-Control: {says}\r\nContent-Length: 15\r\n\r\n");
                        connection.write_all(format!("{head}from the origin").as_bytes())?;
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
            "upstreams": { "origin": { "targets": [{ "url": format!("http://{}", self.address) }] } },
            "routes": [{ "name": "all", "path_prefix": "/", "upstream": "origin", "policies": [{ "cache": {} }] }],
        })
    }
}
