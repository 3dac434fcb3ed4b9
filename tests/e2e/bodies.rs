//! Large bodies and clients that go away in the middle of them: the right bytes, flat memory, nothing left behind.

use postern_tests::Platform;
use postern_tests::client::{Connection, PATIENCE, exchange, request};
use postern_tests::origin::{Log, Origin, Then};
use postern_tests::process;
use postern_tests::running::Running;
use postern_tests::wire::Field;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

const LARGE: u64 = 200_000_000;
/// How much more memory a runtime may have taken when such a body has passed: far less than the body.
const GROWTH: u64 = 64 << 10;
const CLIENTS: usize = 200;

#[test]
fn large_bodies_pass_through_workers() {
    large_bodies_pass(Platform::Workers);
}

#[test]
fn large_bodies_pass_through_spin() {
    large_bodies_pass(Platform::Spin);
}

fn large_bodies_pass(platform: Platform) {
    let stage = Stage::set(platform);
    // Whatever the runtime takes once, it has taken then.
    stage.upload(8_000_000);
    stage.download(8_000_000);
    for (what, pass) in [("upload", Stage::upload as fn(&Stage, u64)), ("download", Stage::download)] {
        process::forget_peak(stage.worker);
        let (before, _) = process::memory(stage.worker);
        pass(&stage, LARGE);
        let (after, peak) = process::memory(stage.worker);
        println!(
            "{platform}: {what} of {} MB: memory {before} KiB before, at most {peak} KiB, {after} KiB after",
            LARGE / 1_000_000
        );
        assert!(peak < before + GROWTH, "{what}: the memory grew from {before} to {peak} KiB");
    }
    stage.end();
}

#[test]
fn clients_that_go_away_leave_nothing_on_workers() {
    clients_that_go_away_leave_nothing(Platform::Workers);
}

#[test]
fn clients_that_go_away_leave_nothing_on_spin() {
    clients_that_go_away_leave_nothing(Platform::Spin);
}

fn clients_that_go_away_leave_nothing(platform: Platform) {
    let stage = Stage::set(platform);
    stage.check_health();
    let files = process::open_files(stage.worker);
    // What is kept for the next ones after the first 200 clients is enough for all that follow: a leak grows on.
    let memory: Vec<u64> = (0..3)
        .map(|_| {
            stage.lose_clients("download", Stage::start_download);
            stage.lose_clients("upload", Stage::start_upload);
            process::memory(stage.worker).0
        })
        .collect();
    // Sockets are closed in the background.
    let mut left = 0;
    for _ in 0..3_000 {
        left = process::open_files(stage.worker);
        if left <= files + 8 {
            break;
        }
        thread::sleep(Duration::from_millis(20));
    }
    println!("{platform}: memory {memory:?} KiB after each round; open files {files} before, {left} after");
    assert!(left <= files + 8, "{left} files are open, before there were {files}");
    assert!(memory[2] < memory[0] + GROWTH / 2, "the memory grew: {memory:?} KiB");
    stage.end();
}

/// On Spin the component runs to its end when nobody waits for a head any more.
#[test]
fn a_client_that_resets_before_the_head_ends_the_upstream_exchange_on_workers() {
    let stage = Stage::set(Platform::Workers);
    for number in 1..=20 {
        let mut connection = Connection::open(stage.gateway.address).expect("a connection");
        connection.send(&request("GET", "/silent", "bodies.test", &[], b"")).expect("sent");
        assert_eq!(stage.log.wait_for_received(1, PATIENCE), 1);
        stage.log.take();
        connection.reset();
        assert_eq!(stage.log.wait_for_aborted(number, PATIENCE), number);
    }
    stage.check_health();
    stage.end();
}

/// A gateway with an origin that takes and gives as much as is wanted.
struct Stage {
    gateway: Running,
    worker: u32,
    log: Arc<Log>,
    _origin: Origin,
    /// Memory is measured by one test at a time.
    _alone: MutexGuard<'static, ()>,
}

impl Stage {
    fn set(platform: Platform) -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let log = Arc::new(Log::default());
        let origin = Origin::start("origin", log.clone(), |received, exchange| {
            let target = String::from_utf8_lossy(&received.target).into_owned();
            if target == "/silent" {
                exchange.wait_for_end();
                return Ok(Then::Close);
            }
            let length = target.strip_prefix("/download/").and_then(|digits| digits.parse().ok()).unwrap_or(0);
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            exchange.write(head.as_bytes())?;
            let mut written = Ok(());
            pieces(length, |piece| {
                written = exchange.write(piece);
                written.is_ok()
            });
            written.map(|()| Then::Keep)
        });
        let origin = origin.expect("an origin");
        let configuration = json!({
            "upstreams": { "origin": { "targets": [{ "url": format!("http://{}", origin.address) }] } },
            "routes": [{ "name": "all", "path_prefix": "/", "upstream": "origin" }],
        });
        let gateway = Running::start(platform, &configuration, &BTreeMap::new()).expect("a gateway");
        let worker = gateway.worker().expect("the runtime's process");
        Self { gateway, worker, log, _origin: origin, _alone: alone }
    }

    fn upload(&self, length: u64) {
        let mut connection = Connection::open(self.gateway.address).expect("a connection");
        let fields = [Field::new("Content-Length", length.to_string())];
        connection.send(&request("PUT", "/upload", "bodies.test", &fields, b"")).expect("sent");
        let mut sha256 = Sha256::new();
        pieces(length, |piece| {
            sha256.update(piece);
            connection.stream().write_all(piece).expect("sent");
            true
        });
        assert_eq!(connection.receive("PUT").expect("a response").status, 200);
        let received = self.log.take().pop().expect("the origin has it");
        assert_eq!(received.length, length);
        assert_eq!(received.all("content-length").collect::<Vec<_>>(), [length.to_string().as_bytes()]);
        assert_eq!(received.sha256, sha256.finalize().to_vec());
    }

    fn download(&self, length: u64) {
        let mut connection = Connection::open(self.gateway.address).expect("a connection");
        let target = format!("/download/{length}");
        connection.send(&request("GET", &target, "bodies.test", &[], b"")).expect("sent");
        let (head, framing) = connection.receive_head("GET").expect("a response");
        assert_eq!(head.head.text("content-length"), Some(length.to_string().as_str()));
        let (mut sha256, mut got) = (Sha256::new(), 0);
        let received = connection.receive_body(framing, |bytes| {
            sha256.update(bytes);
            got += bytes.len() as u64;
        });
        received.expect("all of it");
        let mut sent = Sha256::new();
        pieces(length, |piece| {
            sent.update(piece);
            true
        });
        assert_eq!((got, sha256.finalize()), (length, sent.finalize()));
        self.log.take();
    }

    /// Has 200 clients go away, half of them politely, and waits until the origin has seen all of them go.
    fn lose_clients(&self, what: &str, start: impl Fn(&Stage) -> Connection) {
        let aborted = self.log.aborted();
        for _ in 0..CLIENTS / 50 {
            let connections: Vec<_> = (0..50).map(|_| start(self)).collect();
            for (number, connection) in connections.into_iter().enumerate() {
                if number % 2 == 0 { connection.close() } else { connection.reset() }
            }
        }
        let ended = self.log.wait_for_aborted(aborted + CLIENTS, PATIENCE) - aborted;
        println!("{CLIENTS} clients went away in mid-{what}; the origin saw {ended} of its exchanges end");
        assert_eq!(ended, CLIENTS, "{what}: so many exchanges with the origin were ended");
        self.check_health();
    }

    /// A client in the middle of a download.
    fn start_download(&self) -> Connection {
        let mut connection = Connection::open(self.gateway.address).expect("a connection");
        connection.send(&request("GET", "/download/100000000", "bodies.test", &[], b"")).expect("sent");
        assert_eq!(connection.receive_head("GET").expect("a response").0.status, 200);
        connection.reader().exactly(10_000).expect("the beginning");
        connection
    }

    /// A client in the middle of an upload.
    fn start_upload(&self) -> Connection {
        let begun = self.log.wait_for_begun(0, PATIENCE);
        let mut connection = Connection::open(self.gateway.address).expect("a connection");
        let fields = [Field::new("Content-Length", "1000000")];
        connection.send(&request("PUT", "/upload", "bodies.test", &fields, b"")).expect("sent");
        connection.send(&[b'x'; 10_000]).expect("sent");
        assert!(self.log.wait_for_begun(begun + 1, PATIENCE) > begun, "the request has not come");
        connection
    }

    fn check_health(&self) {
        for _ in 0..50 {
            let answer =
                exchange(self.gateway.address, &request("GET", "/download/10", "bodies.test", &[], b""), "GET");
            let answer = answer.expect("a response");
            assert_eq!((answer.status, answer.body.len()), (200, 10));
        }
        self.log.take();
    }

    fn end(self) {
        self.gateway.stop().expect("nothing left");
    }
}

/// Hands out a body of that length piece by piece, each piece another, for as long as it is wanted.
fn pieces(length: u64, mut take: impl FnMut(&[u8]) -> bool) {
    let mut piece: Vec<u8> = (0..64 << 10).map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut left = length;
    let mut number = 0_u64;
    while left > 0 {
        piece[..8].copy_from_slice(&number.to_le_bytes());
        let now = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if !take(&piece[..now]) {
            return;
        }
        left -= now as u64;
        number += 1;
    }
}
