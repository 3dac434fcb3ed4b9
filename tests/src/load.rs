//! Many clients at once.

use crate::client::{Connection, request};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// How many there are.
pub const CLIENTS: usize = 64;

/// How many of so many requests, spread over the instances, are answered with 200.
///
/// # Panics
///
/// When one is answered with anything but 200, 429 or 503.
#[allow(clippy::panic, reason = "a test")]
pub fn admitted(addresses: &[SocketAddr], path: &str, requests: usize) -> usize {
    let (next, admitted) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let address = addresses[client % addresses.len()];
            let (next, admitted) = (&next, &admitted);
            scope.spawn(move || {
                let mut connection = None;
                while next.fetch_add(1, Ordering::Relaxed) < requests {
                    match ask(&mut connection, address, path) {
                        Some(200) => drop(admitted.fetch_add(1, Ordering::Relaxed)),
                        Some(429 | 503) => {}
                        Some(status) => panic!("{path} is answered with {status}"),
                        // Only while the runtime is down; then not as fast as the others would like.
                        None => thread::sleep(Duration::from_millis(20)),
                    }
                }
            });
        }
    });
    admitted.into_inner()
}

fn ask(connection: &mut Option<Connection>, address: SocketAddr, path: &str) -> Option<u16> {
    if connection.is_none() {
        *connection = Connection::open(address).ok();
    }
    let message = request("GET", path, "limits.example", &[], b"");
    let seen = connection.as_mut().and_then(|open| {
        open.send(&message).ok()?;
        open.receive("GET").ok()
    });
    if seen.is_none() {
        *connection = None;
    }
    seen.map(|seen| seen.status)
}
