//! An origin that records what it gets, byte for byte, and misbehaves exactly as it is told.

use crate::client::reset;
use crate::wire::{Field, Head, Reader, values};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// A server on a port of its own, as long as it lives.
#[derive(Debug)]
pub struct Origin {
    /// Where it listens.
    pub address: SocketAddr,
    open: Arc<Mutex<Open>>,
}

/// A request as an origin received it.
#[derive(Debug, Clone, Default)]
pub struct Received {
    /// Which origin, where a test has several.
    pub origin: String,
    /// The method's token.
    pub method: String,
    /// As on the request line.
    pub target: Vec<u8>,
    /// Request line and fields.
    pub fields: Vec<Field>,
    /// The body without framing, its first [`KEPT`] bytes.
    pub body: Vec<u8>,
    /// How long the whole body was.
    pub length: u64,
    /// Of the whole body.
    pub sha256: Vec<u8>,
    /// The fields after a chunked body.
    pub trailers: Vec<Field>,
    /// Whether the connection ended in the middle of the body.
    pub broken: bool,
    /// The number of the connection.
    pub connection: usize,
}

/// How much of a body is kept to look at; all of it is hashed.
pub const KEPT: usize = 1 << 20;

impl Received {
    /// The values of one name, line by line.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        values(&self.fields, name)
    }
}

/// What one or more origins saw.
#[derive(Debug, Default)]
pub struct Log {
    seen: Mutex<Seen>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Seen {
    received: Vec<Received>,
    begun: usize,
    ended: usize,
    bytes: u64,
    aborted: usize,
    connections: usize,
}

impl Log {
    /// Everything received since this was last asked.
    pub fn take(&self) -> Vec<Received> {
        std::mem::take(&mut lock(&self.seen).received)
    }

    /// How many exchanges the other side has ended before their time, from the start.
    pub fn aborted(&self) -> usize {
        lock(&self.seen).aborted
    }

    /// Waits until so many exchanges were ended early, and says how many were.
    pub fn wait_for_aborted(&self, count: usize, patience: Duration) -> usize {
        self.wait(patience, |seen| seen.aborted >= count).aborted
    }

    /// Waits until so many requests have come.
    pub fn wait_for_received(&self, count: usize, patience: Duration) -> usize {
        self.wait(patience, |seen| seen.received.len() >= count).received.len()
    }

    /// Waits until so many requests have begun, from the start, and says how many have.
    pub fn wait_for_begun(&self, count: usize, patience: Duration) -> usize {
        self.wait(patience, |seen| seen.begun >= count).begun
    }

    /// Waits until every request that has begun has ended, whole or cut off.
    pub fn wait_for_ended(&self, patience: Duration) {
        drop(self.wait(patience, |seen| seen.ended >= seen.begun));
    }

    /// Waits until so many bytes of bodies have come, whole or not, and says how many did.
    pub fn wait_for_bytes(&self, count: u64, patience: Duration) -> u64 {
        self.wait(patience, |seen| seen.bytes >= count).bytes
    }

    fn wait(&self, patience: Duration, enough: impl Fn(&Seen) -> bool) -> MutexGuard<'_, Seen> {
        let end = Instant::now() + patience;
        let mut seen = lock(&self.seen);
        while !enough(&seen) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            seen = self.changed.wait_timeout(seen, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        seen
    }

    /// Adds a request.
    pub fn record(&self, received: Received) {
        let mut seen = lock(&self.seen);
        seen.received.push(received);
        seen.ended += 1;
        self.changed.notify_all();
    }

    fn record_begun(&self) {
        lock(&self.seen).begun += 1;
        self.changed.notify_all();
    }

    fn record_bytes(&self, count: usize) {
        lock(&self.seen).bytes += count as u64;
        self.changed.notify_all();
    }

    fn record_aborted(&self) {
        lock(&self.seen).aborted += 1;
        self.changed.notify_all();
    }
}

/// What is to become of a connection after an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// The next request may come.
    Keep,
    /// FIN.
    Close,
    /// RST.
    Reset,
}

/// One request's side of a connection, for the handler to answer on.
#[derive(Debug)]
pub struct Exchange<'a> {
    reader: &'a mut Reader<TcpStream>,
    log: &'a Log,
}

impl Exchange<'_> {
    /// Sends bytes. The failure that a peer which went away causes is recorded as an abort.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = self.reader.get_ref().write_all(bytes);
        written.inspect_err(|_| self.log.record_aborted())
    }

    /// Waits until the other side ends the connection, which is recorded as an abort.
    pub fn wait_for_end(&mut self) {
        while matches!(self.reader.some().as_deref(), Ok([_, ..])) {}
        self.log.record_aborted();
    }

    /// What the other side sends, for protocols other than HTTP.
    pub fn reader(&mut self) -> &mut Reader<TcpStream> {
        self.reader
    }
}

/// Answers requests. An error ends the connection.
pub trait Handler: Fn(&Received, &mut Exchange<'_>) -> io::Result<Then> + Send + Sync + 'static {}
impl<F: Fn(&Received, &mut Exchange<'_>) -> io::Result<Then> + Send + Sync + 'static> Handler for F {}

#[derive(Debug, Default)]
struct Open {
    stopped: bool,
    connections: HashMap<usize, TcpStream>,
}

impl Origin {
    /// Listens on a port of its own and answers as `handler` does. `name` stands in what is recorded.
    pub fn start(name: &str, log: Arc<Log>, handler: impl Handler) -> io::Result<Self> {
        let handler = Arc::new(handler);
        Self::start_choosing(name, log, move || {
            let handler = Arc::clone(&handler);
            move |received: &Received, exchange: &mut Exchange<'_>| handler(received, exchange)
        })
    }

    /// The same, where what answers a request is chosen before anybody hears that it has come: whoever waits for that may go on and
    /// choose another answer for the next one.
    pub fn start_choosing<H: Handler>(
        name: &str,
        log: Arc<Log>,
        choose: impl Fn() -> H + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let origin = Self { address: listener.local_addr()?, open: Arc::default() };
        let (open, name, choose) = (origin.open.clone(), name.to_owned(), Arc::new(choose));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if lock(&open).stopped {
                    break;
                }
                let Ok(stream) = stream else { continue };
                let number = {
                    let mut seen = lock(&log.seen);
                    seen.connections += 1;
                    seen.connections
                };
                let (open, log, name, choose) = (open.clone(), log.clone(), name.clone(), choose.clone());
                thread::spawn(move || {
                    if let Ok(clone) = stream.try_clone() {
                        lock(&open).connections.insert(number, clone);
                    }
                    serve(stream, number, &name, &log, choose.as_ref());
                    lock(&open).connections.remove(&number);
                });
            }
        });
        Ok(origin)
    }

    /// An address on which nobody listens. Its port is held by the near end of a connection, lest another server of this
    /// run be given it.
    pub fn closed() -> io::Result<SocketAddr> {
        static HELD: OnceLock<(TcpListener, TcpStream)> = OnceLock::new();
        if HELD.get().is_none() {
            let listener = TcpListener::bind(("127.0.0.1", 0))?;
            let near = TcpStream::connect(listener.local_addr()?)?;
            let _ = HELD.set((listener, near));
        }
        HELD.get().ok_or(io::ErrorKind::AddrInUse)?.1.local_addr()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        let mut open = lock(&self.open);
        open.stopped = true;
        for stream in open.connections.values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        drop(open);
        // Wakes the thread that waits for connections.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve<H: Handler>(stream: TcpStream, connection: usize, name: &str, log: &Log, choose: impl Fn() -> H) {
    let _ = stream.set_nodelay(true);
    let mut reader = Reader::new(stream);
    while let Ok(Some(head)) = reader.head() {
        let received = receive(head, connection, name, log, &mut reader);
        let broken = received.broken;
        let handler = choose();
        log.record(received.clone());
        if broken {
            return log.record_aborted();
        }
        match handler(&received, &mut Exchange { reader: &mut reader, log }) {
            Ok(Then::Keep) => {}
            Ok(Then::Reset) => return reset(reader.get_ref()),
            Ok(Then::Close) | Err(_) => {
                let _ = reader.get_ref().shutdown(Shutdown::Both);
                return;
            }
        }
    }
}

fn receive(head: Head, connection: usize, name: &str, log: &Log, reader: &mut Reader<TcpStream>) -> Received {
    let mut parts = head.start.split(|&b| b == b' ');
    let method = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let target = parts.next().unwrap_or_default().to_vec();
    if head.all("expect").any(|value| value.eq_ignore_ascii_case(b"100-continue")) {
        let _ = reader.get_ref().write_all(b"HTTP/1.1 100 Continue\r\n\r\n");
    }
    log.record_begun();
    let framing = head.request_framing();
    let (mut body, mut length, mut sha256) = (Vec::new(), 0, Sha256::new());
    let read = reader.body(framing, |bytes| {
        body.extend(&bytes[..bytes.len().min(KEPT.saturating_sub(body.len()))]);
        length += bytes.len() as u64;
        sha256.update(bytes);
        log.record_bytes(bytes.len());
    });
    let broken = read.is_err();
    Received {
        origin: name.to_owned(),
        method,
        target,
        fields: head.fields,
        body,
        length,
        sha256: sha256.finalize().to_vec(),
        trailers: read.unwrap_or_default(),
        broken,
        connection,
    }
}

/// A poisoned lock only says that another test failed.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
