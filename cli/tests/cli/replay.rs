//! `postern replay`, against a server that says what it got.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::{Folder, repository, run};

/// What a server got: request line and fields of each request, and when.
type Got = Arc<Mutex<Vec<(Instant, Vec<String>)>>>;

/// Answers 404 to paths with `reports` in it, and 200 to all others.
fn server() -> (SocketAddr, Got) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    let got = Got::default();
    let theirs = Arc::clone(&got);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let got = Arc::clone(&theirs);
            thread::spawn(move || serve(&stream, &got));
        }
    });
    (address, got)
}

fn serve(mut stream: &TcpStream, got: &Got) {
    let mut reader = BufReader::new(stream);
    loop {
        let head: Vec<String> =
            reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
        let Some(first) = head.first() else { return };
        let status = if first.contains("reports") { "404 Not Found" } else { "200 OK" };
        got.lock().expect("nobody panics").push((Instant::now(), head));
        if stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes()).is_err() {
            return;
        }
    }
}

#[test]
fn requests_are_sent_again_and_compared() {
    let (address, got) = server();
    let to = format!("http://{address}/base");
    let folder = repository().join("examples/rollout");
    let ran = run(&folder, &["replay", "access.log", "--to", &to, "-H", "X-Key: k", "--concurrency", "1"]);
    assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
    for said in [
        "4 requests",
        "1 with another status",
        "200 → 404",
        "GET /orders/reports/2026",
        "p99",
        "1 requests were not sent",
    ] {
        assert!(ran.out.contains(said), "{said} in {}", ran.out);
    }
    let got = got.lock().expect("nobody panics");
    let lines: Vec<&str> = got.iter().map(|(_, head)| head[0].as_str()).collect();
    assert_eq!(lines[0], "GET /base/orders/17 HTTP/1.1");
    assert_eq!(lines.len(), 4, "POST changes something: {lines:?}");
    let fields: Vec<String> = got[0].1.iter().skip(1).map(|field| field.to_ascii_lowercase()).collect();
    for field in ["host: shop.example", "user-agent: curl/8.5", "x-key: k"] {
        assert!(fields.iter().any(|got| got == field), "{field} in {fields:?}");
    }
}

#[test]
fn all_methods_are_sent_when_told_and_machines_read_what_came_of_it() {
    let (address, got) = server();
    let to = format!("http://{address}");
    let folder = repository().join("examples/rollout");
    let ran = run(&folder, &["replay", "access.log", "--to", &to, "--all-methods", "--own-host", "--format", "json"]);
    assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
    let report: Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!((&report["sent"], &report["left_out"]), (&5.into(), &0.into()));
    // 201 for an order, and 200 for a report that is there no more.
    assert_eq!(report["different"].as_array().map(Vec::len), Some(2), "{report}");
    assert_eq!(report["latency"]["logged"]["p50"], 0.021);
    let own = format!("host: {address}");
    assert!(
        got.lock().expect("nobody panics").iter().all(|(_, head)| head.iter().any(|f| f.eq_ignore_ascii_case(&own)))
    );
}

#[test]
fn a_host_that_is_given_takes_the_place_of_the_logs() {
    let (address, got) = server();
    let to = format!("http://{address}");
    let folder = repository().join("examples/rollout");
    run(&folder, &["replay", "access.log", "--to", &to, "-H", "Host: staging.example"]);
    let got = got.lock().expect("nobody panics");
    assert!(!got.is_empty());
    for (_, head) in got.iter() {
        let hosts: Vec<String> =
            head.iter().map(|f| f.to_ascii_lowercase()).filter(|f| f.starts_with("host:")).collect();
        assert_eq!(hosts, ["host: staging.example"]);
    }
}

#[test]
fn the_pace_is_kept() {
    let (address, got) = server();
    let to = format!("http://{address}");
    let folder = repository().join("examples/rollout");
    run(&folder, &["replay", "access.log", "--to", &to, "--as-recorded"]);
    let span = |got: &Got| {
        let got = got.lock().expect("nobody panics");
        got.last().expect("some").0.duration_since(got[0].0)
    };
    // The log's requests came within a second.
    assert!(span(&got) >= Duration::from_millis(900), "{:?}", span(&got));
    got.lock().expect("nobody panics").clear();
    run(&folder, &["replay", "access.log", "--to", &to, "--rate", "5"]);
    assert!(span(&got) >= Duration::from_millis(500), "{:?}", span(&got));
}

#[test]
fn nobody_who_answers_is_told_and_what_is_no_url_refused() {
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    let folder = Folder::new();
    folder.write("access.log", "- - - [29/Feb/2024:23:59:59 +0000] \"GET /a HTTP/1.1\" 200 12\n");
    let ran = run(folder.path(), &["replay", "access.log", "--to", &format!("http://{closed}")]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.out.contains("200 → none: "), "{}", ran.out);
    assert_eq!(run(folder.path(), &["replay", "access.log", "--to", "localhost"]).code, 2);
}
