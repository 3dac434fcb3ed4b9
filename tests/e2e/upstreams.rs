//! Three origins behind one route, and one of them fails in the middle of the load: clients whose requests may be repeated
//! see nothing of it.

#![allow(
    clippy::disallowed_methods,
    reason = "the ban on clocks is the core's; here times are printed, and never judged"
)]

use postern_tests::Platform;
use postern_tests::client::{Connection, request};
use postern_tests::origin::{Exchange, Log, Origin, Received, Then, lock};
use postern_tests::running::Running;
use serde_json::json;
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// What becomes of an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// It is not there any more.
    Killed,
    /// It takes requests and never answers.
    Silent,
    /// It answers 500.
    Ill,
    /// It resets connections instead of answering.
    Resets,
    /// It resets connections in the middle of the body.
    Breaks,
}

const FAULTS: [Fault; 5] = [Fault::Killed, Fault::Silent, Fault::Ill, Fault::Resets, Fault::Breaks];
const CLIENTS: usize = 4;
const REQUESTS: usize = 60;

#[test]
fn no_client_notices_a_failing_origin_on_workers() {
    no_client_notices_a_failing_origin(Platform::Workers);
}

#[test]
fn no_client_notices_a_failing_origin_on_spin() {
    no_client_notices_a_failing_origin(Platform::Spin);
}

fn no_client_notices_a_failing_origin(platform: Platform) {
    println!("| {platform}: an origin of three | answered 200 | cut in mid-body | median before | median after |");
    println!("|---|---|---|---|---|");
    for fault in FAULTS {
        let log = Arc::new(Log::default());
        let fails: Arc<Mutex<Option<Fault>>> = Arc::default();
        let mood = fails.clone();
        let first = Origin::start("first", log.clone(), move |received, exchange| {
            let fault = *lock(&mood);
            answer(fault, received, exchange)
        });
        let first = first.expect("an origin");
        let others = ["second", "third"]
            .map(|name| Origin::start(name, log.clone(), |received, exchange| answer(None, received, exchange)));
        let others = others.map(|origin| origin.expect("an origin"));
        let targets: Vec<_> = std::iter::once(&first)
            .chain(&others)
            .map(|origin| json!({ "url": format!("http://{}", origin.address) }))
            .collect();
        let configuration = json!({
            "upstreams": { "three": {
                "targets": targets,
                "timeouts": { "attempt": "500ms", "total": "10s" },
                "retries": { "attempts": 2, "statuses": [500, 502, 503, 504] },
                "failure_statuses": [500, 502, 503, 504],
            } },
            "routes": [{ "name": "all", "path_prefix": "/", "upstream": "three" }],
            "allow": ["clear-text"],
        });
        let gateway = Running::start(platform, &configuration, &BTreeMap::new()).expect("a gateway");
        let first = Arc::new(Mutex::new(Some(first)));
        let sent = Arc::new(AtomicUsize::new(0));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let (address, sent, first, fails) = (gateway.address, sent.clone(), first.clone(), fails.clone());
                thread::spawn(move || {
                    client(address, &sent, || {
                        *lock(&fails) = Some(fault);
                        if fault == Fault::Killed {
                            drop(lock(&first).take());
                        }
                    })
                })
            })
            .collect();
        let mut answers: Vec<Answer> = clients.into_iter().flat_map(|client| client.join().expect("it ends")).collect();
        let good = answers.iter().filter(|answer| answer.status == 200).count();
        let cut = answers.iter().filter(|answer| answer.cut).count();
        answers.sort_by_key(|answer| answer.took);
        let median = |after: bool| {
            let times: Vec<_> =
                answers.iter().filter(|answer| answer.after == after).map(|answer| answer.took).collect();
            times.get(times.len() / 2).copied().unwrap_or_default()
        };
        println!("| {fault:?} | {good} of {} | {cut} | {:.1?} | {:.1?} |", answers.len(), median(false), median(true));
        assert_eq!(good, CLIENTS * REQUESTS, "{fault:?} on {platform}");
        assert!(cut == 0 || fault == Fault::Breaks, "{fault:?} on {platform}: {cut} bodies were cut");
        gateway.stop().expect("nothing left");
    }
}

/// What a client has seen.
struct Answer {
    status: u16,
    cut: bool,
    took: Duration,
    /// Whether the origin was failing already.
    after: bool,
}

/// Sends requests one after another; whoever sends the eightieth has the origin fail.
fn client(address: std::net::SocketAddr, sent: &AtomicUsize, fail: impl Fn()) -> Vec<Answer> {
    let mut connection = Connection::open(address).expect("a connection");
    let mut answers = Vec::new();
    for _ in 0..REQUESTS {
        let number = sent.fetch_add(1, Ordering::SeqCst);
        if number == CLIENTS * REQUESTS / 3 {
            fail();
        }
        let begun = Instant::now();
        connection.send(&request("GET", "/x", "upstreams.test", &[], b"")).expect("sent");
        let seen = connection.receive("GET").expect("a response");
        let cut = seen.broken.is_some();
        answers.push(Answer {
            status: seen.status,
            cut,
            took: begun.elapsed(),
            after: number > CLIENTS * REQUESTS / 3,
        });
        // The server ends a connection on which it has broken off.
        if cut || seen.head.text("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            connection = Connection::open(address).expect("a connection");
        }
    }
    answers
}

fn answer(fault: Option<Fault>, _: &Received, exchange: &mut Exchange<'_>) -> io::Result<Then> {
    match fault {
        None | Some(Fault::Killed) => {
            exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789")?;
            Ok(Then::Keep)
        }
        Some(Fault::Silent) => {
            exchange.wait_for_end();
            Ok(Then::Close)
        }
        Some(Fault::Ill) => {
            exchange.write(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 3\r\n\r\nill")?;
            Ok(Then::Keep)
        }
        Some(Fault::Resets) => Ok(Then::Reset),
        Some(Fault::Breaks) => {
            exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234")?;
            // Long enough for the head to be handed on before what was sent is lost.
            thread::sleep(Duration::from_millis(20));
            Ok(Then::Reset)
        }
    }
}
