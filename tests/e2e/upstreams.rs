//! Three origins behind one route, and one of them fails in the middle of the load: clients whose requests may be repeated
//! see nothing of it.

#![allow(clippy::panic, reason = "a test")]
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
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// What becomes of an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// It is not there any more.
    Killed,
    /// It answers three times as late as anybody waits.
    Slow,
    /// It takes requests and never answers.
    Silent,
    /// It answers 500.
    Ill,
    /// It resets connections instead of answering.
    Resets,
    /// It resets connections in the middle of the body.
    Breaks,
}

const FAULTS: [Fault; 6] = [Fault::Killed, Fault::Slow, Fault::Silent, Fault::Ill, Fault::Resets, Fault::Breaks];
const CLIENTS: usize = 4;
const REQUESTS: usize = 60;
/// How long an attempt may take where everything is measured, and where a slow machine must not look like a failing origin.
const MEASURED: Duration = Duration::from_millis(500);
const PATIENT: Duration = Duration::from_secs(3);

#[test]
fn no_client_notices_a_failing_origin_on_workers() {
    no_client_notices_a_failing_origin(Platform::Workers);
}

#[test]
fn no_client_notices_a_failing_origin_on_spin() {
    no_client_notices_a_failing_origin(Platform::Spin);
}

/// The table of docs/benchmarks.md, which `make bench` asks for: both runtimes beside nginx doing the same job.
#[test]
#[ignore = "prints a table; `benches/run.sh failures` runs it"]
fn beside_nginx() {
    println!(
        "| an origin of three | by | answered 200 | cut in mid-body | median before, after | mean before, after | longest |"
    );
    for fault in FAULTS {
        for by in [By::Postern(Platform::Workers), By::Postern(Platform::Spin), By::Nginx] {
            let Some(answers) = under_load(fault, by, MEASURED) else {
                println!("nginx is not installed (Debian: `apt install nginx`): its lines are left out");
                continue;
            };
            let Summary { good, cut, before, after, longest } = Summary::of(&answers);
            let by = match by {
                By::Postern(Platform::Workers) => "Postern, Workers",
                By::Postern(_) => "Postern, Spin",
                By::Nginx => "nginx",
            };
            let fault = match fault {
                Fault::Killed => "killed",
                Fault::Slow => "answers late",
                Fault::Silent => "never answers",
                Fault::Ill => "answers 500",
                Fault::Resets => "resets",
                Fault::Breaks => "resets in mid-body",
            };
            println!(
                "| {fault} | {by} | {:.1} % | {cut} | {:.1}, {:.1} ms | {:.1}, {:.1} ms | {longest:.0} ms |",
                good as f64 * 100.0 / answers.len() as f64,
                before.median,
                after.median,
                before.mean,
                after.mean,
            );
        }
    }
}

fn no_client_notices_a_failing_origin(platform: Platform) {
    println!("| {platform}: an origin of three | answered 200 | cut in mid-body | median before | median after |");
    println!("|---|---|---|---|---|");
    for fault in FAULTS {
        let answers = under_load(fault, By::Postern(platform), PATIENT).expect("it is built");
        let Summary { good, cut, before, after, .. } = Summary::of(&answers);
        println!(
            "| {fault:?} | {good} of {} | {cut} | {:.1} ms | {:.1} ms |",
            answers.len(),
            before.median,
            after.median
        );
        assert_eq!(good, CLIENTS * REQUESTS, "{fault:?} on {platform}");
        assert!(cut == 0 || fault == Fault::Breaks, "{fault:?} on {platform}: {cut} bodies were cut");
    }
}

/// Who is between the clients and the origins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Postern(Platform),
    Nginx,
}

/// Has clients send requests, and one of three origins fail in the middle of it. `None`: what is to be between them is not there.
fn under_load(fault: Fault, by: By, attempt: Duration) -> Option<Vec<Answer>> {
    let log = Arc::new(Log::default());
    let fails: Arc<Mutex<Option<Fault>>> = Arc::default();
    let mood = fails.clone();
    let first = Origin::start("first", log.clone(), move |received, exchange| {
        let fault = *lock(&mood);
        answer(fault, attempt, received, exchange)
    });
    let first = first.expect("an origin");
    let others = ["second", "third"].map(|name| {
        Origin::start(name, log.clone(), move |received, exchange| answer(None, attempt, received, exchange))
    });
    let others = others.map(|origin| origin.expect("an origin"));
    let addresses: Vec<SocketAddr> = std::iter::once(&first).chain(&others).map(|origin| origin.address).collect();
    let between = match by {
        By::Postern(platform) => Between::Postern(postern(platform, &addresses, attempt)),
        By::Nginx => Between::Nginx(Nginx::start(&addresses, attempt)?),
    };
    let address = match &between {
        Between::Postern(gateway) => gateway.address,
        Between::Nginx(nginx) => nginx.address,
    };
    let first = Arc::new(Mutex::new(Some(first)));
    let sent = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (sent, first, fails) = (sent.clone(), first.clone(), fails.clone());
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
    let answers = clients.into_iter().flat_map(|client| client.join().expect("it ends")).collect();
    match between {
        Between::Postern(gateway) => gateway.stop().expect("nothing left"),
        Between::Nginx(nginx) => drop(nginx),
    }
    Some(answers)
}

enum Between {
    Postern(Running),
    Nginx(Nginx),
}

fn postern(platform: Platform, origins: &[SocketAddr], attempt: Duration) -> Running {
    let targets: Vec<_> = origins.iter().map(|origin| json!({ "url": format!("http://{origin}") })).collect();
    let configuration = json!({
        "upstreams": { "three": {
            "targets": targets,
            "timeouts": { "attempt": format!("{}ms", attempt.as_millis()), "total": format!("{}ms", 20 * attempt.as_millis()) },
            "retries": { "attempts": 2, "statuses": [500, 502, 503, 504] },
            "failure_statuses": [500, 502, 503, 504],
        } },
        "routes": [{ "name": "all", "path_prefix": "/", "upstream": "three" }],
        "allow": ["clear-text"],
    });
    Running::start(platform, &configuration, &BTreeMap::new()).expect("a gateway")
}

/// An nginx of our own, with the rules that are nearest to ours.
struct Nginx {
    address: SocketAddr,
    child: Child,
    folder: PathBuf,
}

impl Nginx {
    /// `None`: it is not installed.
    fn start(origins: &[SocketAddr], attempt: Duration) -> Option<Self> {
        let program = ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx"]
            .into_iter()
            .find(|path| Path::new(path).is_file())?;
        // Nobody else listened there a moment ago.
        let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
        let folder = std::env::temp_dir().join(format!("postern-nginx-{}-{}", std::process::id(), address.port()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let servers: String =
            origins.iter().map(|origin| format!("    server {origin} max_fails=3 fail_timeout=10s;\n")).collect();
        let milliseconds = attempt.as_millis();
        let configuration = format!(
            "daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log {folder}/log;\n\
             events {{ worker_connections 512; }}\n\
             http {{\n  access_log off;\n  client_body_temp_path {folder}/body;\n  proxy_temp_path {folder}/proxy;\n  \
             fastcgi_temp_path {folder}/fastcgi;\n  uwsgi_temp_path {folder}/uwsgi;\n  scgi_temp_path {folder}/scgi;\n  \
             upstream three {{\n{servers}    keepalive 16;\n  }}\n  \
             server {{\n    listen {address};\n    location / {{\n      proxy_pass http://three;\n      \
             proxy_http_version 1.1;\n      proxy_set_header Connection \"\";\n      \
             proxy_connect_timeout {milliseconds}ms;\n      proxy_read_timeout {milliseconds}ms;\n      \
             proxy_next_upstream error timeout invalid_header http_500 http_502 http_503 http_504;\n      \
             proxy_next_upstream_tries 3;\n      proxy_next_upstream_timeout 10s;\n    }}\n  }}\n}}\n",
            folder = folder.display(),
        );
        let file = folder.join("nginx.conf");
        std::fs::write(&file, configuration).expect("a file");
        let child = Command::new(program)
            .arg("-e")
            .arg(folder.join("log"))
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx starts");
        let nginx = Self { address, child, folder };
        for _ in 0..200 {
            if Connection::open(address).is_ok() {
                return Some(nginx);
            }
            thread::sleep(Duration::from_millis(25));
        }
        panic!("nginx does not listen: {}", std::fs::read_to_string(nginx.folder.join("log")).unwrap_or_default());
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// What all clients together have seen. Times are milliseconds.
struct Summary {
    good: usize,
    cut: usize,
    before: Times,
    after: Times,
    longest: f64,
}

struct Times {
    median: f64,
    mean: f64,
}

impl Summary {
    fn of(answers: &[Answer]) -> Self {
        let times = |after: bool| {
            let milliseconds = |answer: &Answer| answer.took.as_secs_f64() * 1_000.0;
            let mut times: Vec<f64> = answers.iter().filter(|answer| answer.after == after).map(milliseconds).collect();
            times.sort_by(f64::total_cmp);
            let mean = times.iter().sum::<f64>() / times.len().max(1) as f64;
            Times { median: times.get(times.len() / 2).copied().unwrap_or_default(), mean }
        };
        Self {
            good: answers.iter().filter(|answer| answer.status == 200).count(),
            cut: answers.iter().filter(|answer| answer.cut).count(),
            before: times(false),
            after: times(true),
            longest: answers.iter().map(|answer| answer.took.as_secs_f64() * 1_000.0).fold(0.0, f64::max),
        }
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
fn client(address: SocketAddr, sent: &AtomicUsize, fail: impl Fn()) -> Vec<Answer> {
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

fn answer(fault: Option<Fault>, attempt: Duration, _: &Received, exchange: &mut Exchange<'_>) -> io::Result<Then> {
    match fault {
        None | Some(Fault::Killed) => {
            exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789")?;
            Ok(Then::Keep)
        }
        Some(Fault::Slow) => {
            thread::sleep(attempt * 3);
            // Whoever has asked may be gone.
            let _ = exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789");
            Ok(Then::Close)
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
