//! A long stream of JSON lines is transformed line by line, both ways, and nobody keeps the whole of it.

use postern_tests::Platform;
use postern_tests::client::{Connection, request};
use postern_tests::events::Events;
use postern_tests::origin::{Log, Origin, Then};
use postern_tests::process;
use postern_tests::running::Running;
use postern_tests::wire::{self, Field};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

/// Long enough for a runtime to take all that it takes before it looks for garbage.
const FIRST: usize = 50_000_000;
const LONG: usize = 200_000_000;
/// How much more memory a runtime may have taken when such a stream has passed, in KiB: far less than the stream. V8 lets its heap grow
/// by some 40 MiB in that time, Spin by none.
const GROWTH: u64 = 64 << 10;

#[test]
fn long_streams_of_lines_are_transformed_in_constant_memory_on_workers() {
    long_streams_of_lines_are_transformed_in_constant_memory(Platform::Workers);
}

#[test]
fn long_streams_of_lines_are_transformed_in_constant_memory_on_spin() {
    long_streams_of_lines_are_transformed_in_constant_memory(Platform::Spin);
}

fn long_streams_of_lines_are_transformed_in_constant_memory(platform: Platform) {
    let log = Arc::new(Log::default());
    let origin = Origin::start("origin", log.clone(), |received, exchange| {
        let target = String::from_utf8_lossy(&received.target).into_owned();
        let length = target.strip_prefix("/download/").and_then(|digits| digits.parse().ok()).unwrap_or(0);
        if length == 0 {
            exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
            return Ok(Then::Keep);
        }
        exchange
            .write(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        let mut written = Ok(());
        lines(length, before, |piece| {
            written = exchange.write(&wire::chunk(piece));
            written.is_ok()
        });
        written?;
        exchange.write(b"0\r\n\r\n")?;
        Ok(Then::Keep)
    });
    let origin = origin.expect("an origin");
    let gateway = gateway(platform, &origin);
    let worker = gateway.worker().expect("the runtime's process");
    let download = |length: usize| {
        let mut connection = Connection::open(gateway.address).expect("a connection");
        let target = format!("/download/{length}");
        connection.send(&request("GET", &target, "lines.test", &[], b"")).expect("sent");
        let (head, framing) = connection.receive_head("GET").expect("a response");
        assert_eq!(head.status, 200);
        let (mut sha256, mut got) = (Sha256::new(), 0);
        let received = connection.receive_body(framing, |bytes| {
            sha256.update(bytes);
            got += bytes.len();
        });
        received.expect("all of it");
        assert_eq!((got, sha256.finalize().to_vec()), digest(length), "the lines of a download");
        log.take();
    };
    let upload = |length: usize| {
        let mut connection = Connection::open(gateway.address).expect("a connection");
        let fields = [Field::new("Transfer-Encoding", "chunked"), Field::new("Content-Type", "application/x-ndjson")];
        connection.send(&request("POST", "/upload", "lines.test", &fields, b"")).expect("sent");
        lines(length, before, |piece| {
            connection.stream().write_all(&wire::chunk(piece)).expect("sent");
            true
        });
        connection.send(b"0\r\n\r\n").expect("sent");
        assert_eq!(connection.receive("POST").expect("a response").status, 200);
        let received = log.take().pop().expect("the origin has it");
        assert_eq!((received.length as usize, received.sha256), digest(length), "the lines of an upload");
    };
    // Whatever the runtime takes once, it has taken then.
    for _ in 0..3 {
        download(FIRST);
        upload(FIRST);
    }
    for (what, pass) in [("download", &download as &dyn Fn(usize)), ("upload", &upload)] {
        process::forget_peak(worker);
        let (memory, _) = process::memory(worker);
        pass(LONG);
        let (after, peak) = process::memory(worker);
        println!(
            "{platform}: {what} of {} MB of lines, transformed: memory {memory} KiB before, at most {peak} KiB, {after} KiB after",
            LONG / 1_000_000
        );
        assert!(peak < memory + GROWTH, "{what}: the memory grew from {memory} to {peak} KiB");
    }
    gateway.stop().expect("nothing left");
}

#[test]
fn events_are_transformed_as_they_come_on_workers() {
    events_are_transformed_as_they_come(Platform::Workers);
}

#[test]
fn events_are_transformed_as_they_come_on_spin() {
    events_are_transformed_as_they_come(Platform::Spin);
}

fn events_are_transformed_as_they_come(platform: Platform) {
    let events = Events::start(|number| format!("{{\"n\":{number},\"secret\":1}}")).expect("an origin");
    let gateway = gateway(platform, &events.origin);
    let (_, text) = events.follow(gateway.address, "lines.test");
    assert_eq!(text, "data: {\"n\":1}\n\ndata: {\"n\":2}\n\ndata: {\"n\":3}\n\n");
    gateway.stop().expect("nothing left");
}

fn gateway(platform: Platform, origin: &Origin) -> Running {
    let body = |stream: &str| json!({ "body": { "stream": stream, "edit": [{ "remove": "secret" }] } });
    let configuration = json!({
        "upstreams": { "origin": { "targets": [{ "url": format!("http://{}", origin.address) }] } },
        "routes": [
            { "name": "events", "path": "/events", "upstream": "origin",
              "policies": [{ "transform": { "response": body("events") } }] },
            { "name": "lines", "path_prefix": "/", "upstream": "origin",
              "policies": [{ "transform": { "request": body("lines"), "response": body("lines") } }] },
        ],
    });
    Running::start(platform, &configuration, &BTreeMap::new()).expect("a gateway")
}

fn before(number: usize) -> String {
    format!(
        "{{\"id\":{number},\"secret\":\"{number:032}\",\"name\":\"a line of a long stream\",\"tags\":[\"a\",\"b\"]}}\n"
    )
}

fn after(number: usize) -> String {
    format!("{{\"id\":{number},\"name\":\"a line of a long stream\",\"tags\":[\"a\",\"b\"]}}\n")
}

/// Hands out lines in pieces that end anywhere, for as long as they are wanted; so many bytes of lines as they were before, or
/// a little more.
fn lines(length: usize, line: fn(usize) -> String, mut take: impl FnMut(&[u8]) -> bool) {
    const PIECE: usize = 50_000;
    let (mut piece, mut made) = (Vec::with_capacity(PIECE + 200), 0);
    let mut number = 0;
    while made < length {
        made += before(number).len();
        piece.extend_from_slice(line(number).as_bytes());
        number += 1;
        if piece.len() >= PIECE {
            let rest = piece.split_off(PIECE);
            if !take(&piece) {
                return;
            }
            piece = rest;
        }
    }
    take(&piece);
}

fn digest(length: usize) -> (usize, Vec<u8>) {
    let (mut sha256, mut total) = (Sha256::new(), 0);
    lines(length, after, |piece| {
        sha256.update(piece);
        total += piece.len();
        true
    });
    (total, sha256.finalize().to_vec())
}
