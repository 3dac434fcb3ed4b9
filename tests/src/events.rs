//! Server-sent events, one at a time: an origin that sends the next when the client has seen the one before. Whoever buffers
//! waits for ever.

use crate::client::{Connection, PATIENCE, Seen, request};
use crate::origin::{Origin, Then};
use crate::wire::{self, Field};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, mpsc};

/// The origin, and its client's word.
pub struct Events {
    /// The origin.
    pub origin: Origin,
    seen: mpsc::Sender<()>,
}

impl Events {
    /// Sends three events with this data, by their numbers from 1.
    pub fn start(data: impl Fn(usize) -> String + Send + Sync + 'static) -> io::Result<Self> {
        let (seen, next) = mpsc::channel::<()>();
        let next = Mutex::new(next);
        let origin = Origin::start("origin", Arc::default(), move |_, exchange| {
            exchange
                .write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            for number in 1..=3 {
                exchange.write(&wire::chunk(format!("data: {}\n\n", data(number)).as_bytes()))?;
                if let Ok(next) = next.lock() {
                    // When nobody says anything for so long, the client will see that two came at once.
                    let _ = next.recv_timeout(PATIENCE);
                }
            }
            exchange.write(b"0\r\n\r\n")?;
            Ok(Then::Keep)
        });
        Ok(Self { origin: origin?, seen })
    }

    /// Asks a gateway for the events under `/events` of this host. Gives the head, and all that came.
    ///
    /// # Panics
    /// When they do not come one by one.
    pub fn follow(&self, gateway: SocketAddr, host: &str) -> (Seen, String) {
        let mut connection = Connection::open(gateway).expect("a connection");
        let fields = [Field::new("Accept", "text/event-stream")];
        connection.send(&request("GET", "/events", host, &fields, b"")).expect("sent");
        let (head, framing) = connection.receive_head("GET").expect("a response");
        let mut text = String::new();
        let received = connection.receive_body(framing, |bytes| {
            let before = text.matches("\n\n").count();
            text.push_str(&String::from_utf8_lossy(bytes));
            for _ in before..text.matches("\n\n").count() {
                self.seen.send(()).expect("the origin listens");
            }
            assert!(text.matches("\n\n").count() <= before + 1, "two events came at once: {text}");
        });
        received.expect("the end");
        (head, text)
    }
}
