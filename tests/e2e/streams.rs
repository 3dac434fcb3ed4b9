//! What flows for as long as both sides want: WebSocket, server-sent events, uploads piece by piece.

#![allow(clippy::disallowed_methods, reason = "the ban on clocks is the core's; here they tell how long it took")]

use postern_tests::Platform;
use postern_tests::client::{Connection, PATIENCE, request};
use postern_tests::events::Events;
use postern_tests::origin::{Log, Origin, Then};
use postern_tests::running::Running;
use postern_tests::websocket::{self, Message};
use postern_tests::wire::{self, Field};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[test]
fn websocket_messages_are_handed_on_by_workers() {
    let log = Arc::new(Log::default());
    let origin = Origin::start("origin", log.clone(), websocket::echo).expect("an origin");
    let gateway = gateway(Platform::Workers, &origin);
    let mut connection = Connection::open(gateway.address).expect("a connection");
    connection.send(&request("GET", "/chat?room=1", "chat.test", &websocket::handshake(), b"")).expect("sent");
    let (head, _) = connection.receive_head("GET").expect("a response");
    assert_eq!(head.status, 101, "{:?}", head.head);
    assert_eq!(head.head.text("sec-websocket-accept"), Some(websocket::accept(websocket::KEY.as_bytes()).as_str()));
    assert!(head.head.text("upgrade").is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket")));
    for (opcode, length) in [(1, 5), (2, 0), (2, 125), (2, 126), (1, 1000), (2, 70_000)] {
        let payload: Vec<u8> = b"WebSocket ".iter().copied().cycle().take(length).collect();
        let message = Message { opcode, payload };
        websocket::send(&mut connection, &message).expect("sent");
        let echoed = websocket::read(connection.reader()).expect("a message");
        assert_eq!(echoed, message, "{length} bytes");
    }
    let close = Message { opcode: 8, payload: 1000_u16.to_be_bytes().to_vec() };
    websocket::send(&mut connection, &close).expect("sent");
    assert_eq!(websocket::read(connection.reader()).expect("a message"), close);
    let received = log.take();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].target, b"/chat?room=1");
    assert_eq!(received[0].all("x-forwarded-host").collect::<Vec<_>>(), [b"chat.test"]);
    gateway.stop().expect("nothing left");
}

#[test]
fn websocket_messages_have_limits_on_workers() {
    let origin = Origin::start("origin", Arc::new(Log::default()), websocket::echo).expect("an origin");
    let limits = json!({ "max_message": "1KiB", "idle": "4s" });
    let gateway = gateway_with(Platform::Workers, &origin, &limits);
    let open = || {
        let mut connection = Connection::open(gateway.address).expect("a connection");
        connection.send(&request("GET", "/chat", "chat.test", &websocket::handshake(), b"")).expect("sent");
        let (head, _) = connection.receive_head("GET").expect("a response");
        assert_eq!(head.status, 101, "{:?}", head.head);
        connection
    };
    let mut connection = open();
    for (opcode, length) in [(1, 5), (2, 0), (2, 1024), (1, 1024)] {
        let message = Message { opcode, payload: b"x".repeat(length) };
        websocket::send(&mut connection, &message).expect("sent");
        assert_eq!(websocket::read(connection.reader()).expect("a message"), message, "{length} bytes");
    }
    // Bytes count, not characters.
    let long = Message { opcode: 1, payload: "\u{e4}".repeat(513).into_bytes() };
    websocket::send(&mut connection, &long).expect("sent");
    let closed = websocket::read(connection.reader()).expect("a message");
    assert_eq!((closed.opcode, code(&closed)), (8, 1009), "{closed:?}");

    let mut connection = open();
    let begun = Instant::now();
    let closed = websocket::read(connection.reader()).expect("a message");
    assert_eq!((closed.opcode, code(&closed)), (8, 1001), "{closed:?}");
    assert!(begun.elapsed() >= Duration::from_millis(3_900), "{:?}", begun.elapsed());

    // How one side closes is what the other hears.
    let mut connection = open();
    let close = Message { opcode: 8, payload: 4000_u16.to_be_bytes().to_vec() };
    websocket::send(&mut connection, &close).expect("sent");
    let closed = websocket::read(connection.reader()).expect("a message");
    assert_eq!((closed.opcode, code(&closed)), (8, 4000), "{closed:?}");
    gateway.stop().expect("nothing left");
}

fn code(close: &Message) -> u16 {
    close.payload.first_chunk().map_or(0, |code| u16::from_be_bytes(*code))
}

#[test]
fn events_arrive_as_they_are_produced_on_workers() {
    events_arrive_as_they_are_produced(Platform::Workers);
}

#[test]
fn events_arrive_as_they_are_produced_on_spin() {
    events_arrive_as_they_are_produced(Platform::Spin);
}

fn events_arrive_as_they_are_produced(platform: Platform) {
    let events = Events::start(|number| number.to_string()).expect("an origin");
    let gateway = gateway(platform, &events.origin);
    let (head, text) = events.follow(gateway.address, "events.test");
    assert_eq!((head.status, head.head.text("content-type")), (200, Some("text/event-stream")));
    assert_eq!(text, "data: 1\n\ndata: 2\n\ndata: 3\n\n");
    gateway.stop().expect("nothing left");
}

#[test]
fn uploads_flow_piece_by_piece_on_workers() {
    uploads_flow_piece_by_piece(Platform::Workers);
}

#[test]
fn uploads_flow_piece_by_piece_on_spin() {
    uploads_flow_piece_by_piece(Platform::Spin);
}

/// The client sends the next piece when the origin has the one before.
fn uploads_flow_piece_by_piece(platform: Platform) {
    let log = Arc::new(Log::default());
    let origin = Origin::start("origin", log.clone(), |_, exchange| {
        exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
        Ok(Then::Keep)
    });
    let origin = origin.expect("an origin");
    let gateway = gateway(platform, &origin);
    for fields in [[Field::new("Transfer-Encoding", "chunked")], [Field::new("Content-Length", "15")]] {
        let chunked = fields[0].is("transfer-encoding");
        let before = log.wait_for_bytes(0, PATIENCE);
        let mut connection = Connection::open(gateway.address).expect("a connection");
        connection.send(&request("POST", "/upload", "upload.test", &fields, b"")).expect("sent");
        for piece in 1..=3 {
            connection.send(&if chunked { wire::chunk(b"piece") } else { b"piece".to_vec() }).expect("sent");
            assert!(
                log.wait_for_bytes(before + piece * 5, PATIENCE) >= before + piece * 5,
                "piece {piece} has not come"
            );
        }
        if chunked {
            connection.send(b"0\r\n\r\n").expect("sent");
        }
        assert_eq!(connection.receive("POST").expect("a response").status, 200);
        assert_eq!(log.take()[0].body, b"piecepiecepiece");
    }
    gateway.stop().expect("nothing left");
}

fn gateway(platform: Platform, origin: &Origin) -> Running {
    gateway_with(platform, origin, &json!(true))
}

fn gateway_with(platform: Platform, origin: &Origin, websocket: &serde_json::Value) -> Running {
    let configuration = json!({
        "upstreams": { "origin": { "targets": [{ "url": format!("http://{}", origin.address) }] } },
        "routes": [{ "name": "all", "path_prefix": "/", "upstream": "origin", "websocket": websocket }],
        "allow": ["websocket-unavailable"],
    });
    Running::start(platform, &configuration, &BTreeMap::new()).expect("a gateway")
}
