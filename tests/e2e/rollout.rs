//! Versions that are pushed while there is traffic: a good one, a broken one and a harmful one, on several instances of both runtimes.
//! Nobody may notice but those few who are served by the harmful one, until it is taken back by itself.

#![allow(clippy::disallowed_methods, reason = "the ban on clocks is the core's; here they say what happened when")]
#![allow(clippy::panic, reason = "a test")]

use gateway_core::config::{self, Text};
use postern_tests::Platform;
use postern_tests::client::{Connection, request};
use postern_tests::instances::Instances;
use postern_tests::process;
use postern_tests::running::Running;
use postern_tests::wire::Field;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const TOKEN: &str = "a-token-that-only-this-test-knows";
const INTERVAL: Duration = Duration::from_secs(1);
const CLIENTS: usize = 4;
const CALLERS: usize = 200;

#[test]
fn a_good_a_broken_and_a_harmful_version_on_workers() {
    let variables = BTreeMap::from([("ADMIN_TOKEN".to_owned(), TOKEN.to_owned())]);
    let instances = Instances::start_with(3, &configuration("bundled"), &variables);
    three_versions("workers", &instances.addresses);
    instances.stop();
}

#[test]
fn a_good_a_broken_and_a_harmful_version_on_spin() {
    let variables = BTreeMap::from([("ADMIN_TOKEN".to_owned(), TOKEN.to_owned())]);
    // Spin puts sixteen requests at once on an instance, and ends each after some more than a hundred.
    let running = Running::start(Platform::Spin, &configuration("bundled"), &variables).expect("it starts");
    three_versions("spin", &[running.address]);
    running.stop().expect("it leaves nothing behind");
}

/// A configuration whose answers say which version it is.
fn configuration(name: &str) -> Value {
    json!({
        "admin": { "path": "/_admin", "tokens": [{ "name": "ops", "token": "${secret:ADMIN_TOKEN}", "access": "write" }] },
        "rollout": {
            "interval": format!("{}s", INTERVAL.as_secs()),
            "steps": [20, 60],
            "step_time": "2s",
            "rollback": { "min_requests": 30, "margin": 0.05 },
        },
        "routes": [{ "name": "name", "path": "/name", "respond": { "body": name } }],
        "allow": ["limit-not-atomic"],
    })
}

fn three_versions(platform: &str, addresses: &[SocketAddr]) {
    let place = Place::new(platform, addresses[0]);
    let load = Load::default();
    let harmful_since = thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (load, address) = (&load, addresses[client % addresses.len()]);
            scope.spawn(move || load.run(client, address));
        }
        let done = Done(&load.over);
        thread::sleep(INTERVAL);

        let good = place.compile("good", &configuration("good"));
        place.push(&["--percent", "20"], &good);
        place.wait("the good version serves everybody", |standing| standing["stable"] == good.id);

        // What does not load is refused on the spot, and where somebody insists, by the instances.
        let broken = place.broken();
        let refused = place.postern(&["push", "--artefact", broken.file()]);
        assert_eq!(refused.code, 2, "{}{}", refused.out, refused.err);
        assert!(refused.err.contains("format"), "{}", refused.err);
        place.push(&["--percent", "50", "--force"], &broken);
        place.wait("the broken version is refused", |standing| last(standing) == "refused");

        let mut fails = configuration("harmful");
        fails["routes"][0]["respond"]["status"] = 500.into();
        let harmful = place.compile("harmful", &fails);
        let since = load.begun.elapsed();
        place.push(&["--percent", "30"], &harmful);
        place.wait("the harmful version is taken back", |standing| last(standing) == "rolled_back");
        // Until the last instance has looked.
        thread::sleep(INTERVAL * 3);
        drop(done);
        since
    });
    let standing = place.standing();
    let answers = load.answers.into_inner().expect("nobody panics");
    println!("{}", timeline(platform, load.started, &answers, &standing));
    let status = place.postern(&["status"]);
    println!("{}", status.out);
    assert_eq!(status.code, 0, "{}", status.err);

    let failed: Vec<_> = answers.iter().filter(|answer| answer.status != 200).collect();
    for answer in &failed {
        assert_eq!((answer.status, answer.body.as_str()), (500, "harmful"), "at {:?}", answer.at);
        assert!(answer.at >= harmful_since, "before it was pushed");
    }
    assert!(!failed.is_empty(), "the harmful version was never tried");
    let during = answers.iter().filter(|answer| answer.at >= harmful_since).count();
    assert!(failed.len() * 3 < during, "{} of {during} requests failed: more than its share", failed.len());
    let end = answers.iter().map(|answer| answer.at).max().expect("some");
    let late: Vec<_> = answers.iter().filter(|answer| answer.at + INTERVAL > end).collect();
    assert!(
        !late.is_empty() && late.iter().all(|answer| answer.body == "good"),
        "in the end all are served by the good one"
    );
    assert_eq!(standing["stable"], answers_of("good", &standing), "{standing:#}");

    // One goes back to what was deployed, by hand.
    let back = place.postern(&["rollback", "--reason", "a test"]);
    assert_eq!(back.code, 0, "{}", back.err);
    assert_eq!(place.standing()["stable"], Value::Null);
    assert_eq!(place.postern(&["rollback"]).code, 2, "there is nothing before");
}

/// Ends the load, also where the test fails.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The version that serves, as it is listed with its note.
fn answers_of(note: &str, standing: &Value) -> Value {
    let versions = standing["versions"].as_array().expect("a list");
    versions.iter().find(|kept| kept["note"] == note).expect("it is kept")["version"].clone()
}

fn last(standing: &Value) -> &str {
    standing["events"].as_array().and_then(|events| events.last()?["what"].as_str()).unwrap_or_default()
}

/// One answer.
struct Answer {
    at: Duration,
    status: u16,
    body: String,
}

/// Many callers at once, all the time.
struct Load {
    begun: Instant,
    started: u64,
    over: AtomicBool,
    sent: AtomicUsize,
    answers: Mutex<Vec<Answer>>,
}

impl Default for Load {
    fn default() -> Self {
        let started = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_millis() as u64;
        Self {
            begun: Instant::now(),
            started,
            over: AtomicBool::default(),
            sent: AtomicUsize::default(),
            answers: Mutex::default(),
        }
    }
}

impl Load {
    fn run(&self, client: usize, address: SocketAddr) {
        let mut connection = Connection::open(address).expect("it listens");
        while !self.over.load(Ordering::Relaxed) {
            let caller = (self.sent.fetch_add(1, Ordering::Relaxed) * 31 + client) % CALLERS;
            let fields = [Field::new("Authorization", format!("Bearer caller-{caller}"))];
            connection.send(&request("GET", "/name", "shop.example", &fields, b"")).expect("it takes requests");
            let seen = connection.receive("GET").expect("every request is answered");
            let body = String::from_utf8_lossy(&seen.body).into_owned();
            let answer = Answer { at: self.begun.elapsed(), status: seen.status, body };
            self.answers.lock().expect("nobody panics").push(answer);
            thread::sleep(Duration::from_millis(8));
        }
    }
}

/// What happened when: what was answered in each second, and what the owner of the versions says.
fn timeline(platform: &str, started: u64, answers: &[Answer], standing: &Value) -> String {
    let mut out = format!("Timeline on {platform}: answers in each second, by version\n");
    let mut lines: Vec<(u64, String)> = Vec::new();
    let mut seconds: BTreeMap<u64, BTreeMap<(&str, u16), usize>> = BTreeMap::new();
    for answer in answers {
        *seconds.entry(answer.at.as_secs()).or_default().entry((&answer.body, answer.status)).or_default() += 1;
    }
    for (second, counts) in seconds {
        let counts: Vec<_> =
            counts.iter().map(|((body, status), count)| format!("{count:4} × {status} {body}")).collect();
        lines.push((second * 1_000 + 999, format!("         {}", counts.join(", "))));
    }
    for event in standing["events"].as_array().into_iter().flatten() {
        let at = event["at"].as_u64().unwrap_or_default().saturating_sub(started);
        let text = |name: &str| event[name].as_str().unwrap_or_default();
        lines.push((
            at,
            format!("{:5.1} s  {:11} {} {}", at as f64 / 1e3, text("what"), text("version"), text("detail")),
        ));
    }
    lines.sort_by_key(|(at, _)| *at);
    for (_, line) in lines {
        let _ = writeln!(out, "{line}");
    }
    out
}

/// A compiled configuration in a file.
struct Artefact {
    id: String,
    note: String,
    path: PathBuf,
}

impl Artefact {
    fn file(&self) -> &str {
        self.path.to_str().expect("a plain name")
    }
}

/// Where versions are pushed from, and to.
struct Place {
    folder: PathBuf,
    tool: PathBuf,
    url: String,
}

struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Place {
    fn new(platform: &str, address: SocketAddr) -> Self {
        let folder = std::env::temp_dir().join(format!("postern-rollout-{platform}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let tool = process::postern(Platform::Test).expect("the tool");
        Self { folder, tool, url: format!("http://{address}/_admin") }
    }

    fn compile(&self, name: &str, configuration: &Value) -> Artefact {
        let compiled = config::compile(Path::new("gateway.json"), &Text(configuration.to_string()));
        self.artefact(name, &compiled.artefact.unwrap_or_else(|| panic!("{:?}", compiled.problems)))
    }

    /// One that was compiled for another version of the gateway.
    fn broken(&self) -> Artefact {
        let good = std::fs::read(self.compile("broken", &configuration("broken")).path).expect("a file");
        let mut broken = good;
        broken[8] ^= 0x40;
        self.artefact("broken", &broken)
    }

    fn artefact(&self, name: &str, bytes: &[u8]) -> Artefact {
        let path = self.folder.join(format!("{name}.bin"));
        std::fs::write(&path, bytes).expect("a file");
        Artefact { id: gateway_core::rollout::identify(bytes), note: name.to_owned(), path }
    }

    fn push(&self, options: &[&str], artefact: &Artefact) {
        let mut arguments = vec!["push", "--artefact", artefact.file(), "--note", &artefact.note];
        arguments.extend(options);
        let ran = self.postern(&arguments);
        assert_eq!(ran.code, 0, "{}: {}{}", artefact.note, ran.out, ran.err);
    }

    fn postern(&self, arguments: &[&str]) -> Ran {
        let mut command = Command::new(&self.tool);
        command.args(arguments).current_dir(&self.folder);
        command.env("POSTERN_ADMIN_URL", &self.url).env("POSTERN_ADMIN_TOKEN", TOKEN).env("NO_COLOR", "1");
        let output = command.output().expect("the tool runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        Ran { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }

    fn standing(&self) -> Value {
        let ran = self.postern(&["status", "--format", "json"]);
        serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {}{}", ran.out, ran.err))
    }

    fn wait(&self, until: &str, reached: impl Fn(&Value) -> bool) {
        let begun = Instant::now();
        while !reached(&self.standing()) {
            assert!(begun.elapsed() < Duration::from_secs(60), "{until}: {:#}", self.standing());
            thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
