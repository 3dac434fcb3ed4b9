//! Limits on Spin that a real Redis counts: under load, and when it breaks down. Skipped where `redis-server` is not installed.

#![allow(clippy::disallowed_methods, reason = "the ban on clocks is the core's; here they say when to give up")]
#![allow(clippy::panic, reason = "a test")]

use postern_tests::Platform;
use postern_tests::client::{PATIENCE, exchange, request};
use postern_tests::load::{CLIENTS, Outcome, admitted, outcome};
use postern_tests::running::Running;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const REQUESTS: usize = 2_000;
const LIMIT: usize = 700;

#[test]
fn many_instances_admit_the_limit_and_never_one_more() {
    let Some(redis) = Redis::start() else { return };
    // Spin puts sixteen requests at once on an instance, so these are on four and more.
    let gateway = gateway(&redis);
    for path in ["/bucket", "/window", "/quota", "/several"] {
        let Outcome { admitted, failed } = outcome(&[gateway.address], path, REQUESTS);
        // An order that a busy machine has not done in two seconds may be counted without anybody hearing of it.
        assert!(admitted <= LIMIT && admitted + failed >= LIMIT, "{path}: {admitted}, and {failed} failed");
    }
    let leased = admitted(&[gateway.address], "/leased", REQUESTS);
    assert!(leased <= LIMIT && leased > LIMIT / 2, "{leased}");
    gateway.stop().expect("it leaves nothing behind");
}

#[test]
fn what_was_admitted_before_a_breakdown_still_counts_after_it() {
    let Some(mut redis) = Redis::start() else { return };
    let gateway = gateway(&redis);
    let address = gateway.address;
    let run = thread::spawn(move || admitted(&[address], "/bucket", REQUESTS));
    thread::sleep(Duration::from_millis(200));
    redis.kill();
    redis.revive();
    let during = run.join().expect("the run ends");
    let after = admitted(&[gateway.address], "/bucket", REQUESTS);
    // Who was counted and did not hear of it is at most one for each client.
    let all = during + after;
    assert!(all <= LIMIT && all + CLIENTS >= LIMIT, "{during} and {after}");
    gateway.stop().expect("it leaves nothing behind");
}

#[test]
fn a_redis_that_does_not_answer_is_a_failure_and_no_wait() {
    let Some(redis) = Redis::start() else { return };
    let gateway = gateway(&redis);
    let status = |path: &str| {
        let answer = exchange(gateway.address, &request("GET", path, "limits.example", &[], b""), "GET");
        answer.expect("an answer").status
    };
    assert_eq!(status("/bucket"), 200);
    redis.signal(Signal::STOP);
    assert_eq!((status("/bucket"), status("/open")), (503, 200));
    redis.signal(Signal::CONT);
    assert_eq!((status("/bucket"), status("/open")), (200, 200));
    assert!(gateway.log().contains("Redis does not answer"), "{}", gateway.log());
    gateway.stop().expect("it leaves nothing behind");
}

fn gateway(redis: &Redis) -> Running {
    let route = |name: &str, policy: Value| json!({ "name": name, "path": format!("/{name}"), "respond": {}, "policies": [policy] });
    let bucket = json!({ "rate": "1 per 720h", "algorithm": "token_bucket", "burst": LIMIT });
    let rate =
        |limits: Value| json!({ "rate_limit": { "limits": limits, "key": "everybody", "on_failure": "closed" } });
    let configuration = json!({
        "counters": { "spin": { "redis": "${secret:REDIS_URL}" } },
        "routes": [
            route("bucket", rate(bucket.clone())),
            route("open", json!({ "rate_limit": { "limits": bucket, "key": "everybody" } })),
            route("window", rate(json!(format!("{LIMIT} per 720h")))),
            route("several", rate(json!([format!("{LIMIT} per 719h"), bucket]))),
            route("quota", json!({ "quota": { "limits": format!("{LIMIT} per month"), "key": "everybody", "on_failure": "closed" } })),
            route("leased", json!({ "rate_limit": {
                "limits": format!("{LIMIT} per 720h"), "key": "everybody", "mode": "leased", "on_failure": "closed",
            } })),
        ],
    });
    let settings = BTreeMap::from([("REDIS_URL".to_owned(), format!("redis://{}", redis.address))]);
    Running::start(Platform::Spin, &configuration, &settings).expect("it starts")
}

/// A Redis on a port and in a folder of its own, that writes down each change before it tells.
struct Redis {
    address: SocketAddr,
    folder: PathBuf,
    child: Child,
}

impl Redis {
    fn start() -> Option<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        let folder = std::env::temp_dir().join(format!("postern-redis-{}-{}", std::process::id(), address.port()));
        std::fs::create_dir_all(&folder).expect("a folder");
        match Self::spawn(address, &folder) {
            Some(child) => Some(Self { address, folder, child }),
            None => {
                println!("skipped: redis-server is not installed (Debian: apt install redis-server)");
                None
            }
        }
    }

    fn spawn(address: SocketAddr, folder: &PathBuf) -> Option<Child> {
        let child = Command::new("redis-server")
            .args(["--port", &address.port().to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"])
            .args(["--appendfsync", "always", "--loglevel", "warning", "--dir"])
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .ok()?;
        let start = Instant::now();
        while !is_ready(address) {
            assert!(start.elapsed() < PATIENCE, "redis-server does not listen");
            thread::sleep(Duration::from_millis(10));
        }
        Some(child)
    }

    fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    fn revive(&mut self) {
        self.child = Self::spawn(self.address, &self.folder).expect("it was there before");
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process");
        kill_process(pid, signal).expect("it runs");
    }
}

/// Whether it has read what it had written.
fn is_ready(address: SocketAddr) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(b"PING\r\n")?;
        let mut said = [0; 5];
        stream.read_exact(&mut said)?;
        std::io::Result::Ok(&said == b"+PONG")
    };
    ask().unwrap_or(false)
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
