//! `postern dev`, on the real runtimes. `make test` builds what they run; without that, these tests say that they were
//! not run.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::program::{Folder, Ran, postern, repository};

#[test]
fn workers_start_reload_and_stop() {
    if built("workers") {
        start_reload_and_stop("workers");
    }
}

#[test]
fn spin_starts_reloads_and_stops() {
    if built("spin") {
        start_reload_and_stop("spin");
    }
}

/// The whole life of one: the configuration, an included file and the variables are changed, and spoilt.
fn start_reload_and_stop(runtime: &str) {
    let folder = Folder::new();
    let configuration = |text: &str| {
        format!(
            "include: more.yaml\nroutes:\n  - name: a\n    path: /a\n    respond: {{ body: '{text}' }}\n  \
             - name: b\n    path: /b\n    respond: {{ body: '${{env:GREETING}}' }}\n"
        )
    };
    let more = |text: &str| format!("routes:\n  - name: more\n    path: /more\n    respond: {{ body: '{text}' }}\n");
    folder.write("gateway.yaml", &configuration("one"));
    folder.write("more.yaml", &more("uno"));
    folder.write(".dev.vars", "GREETING=hello");

    let mut dev = Dev::start(folder.path(), runtime);
    assert_eq!(dev.get("/a"), (200, "one".to_owned()));
    assert_eq!(dev.get("/b"), (200, "hello".to_owned()));

    folder.write("gateway.yaml", &configuration("two"));
    let took = dev.wait_for("reloaded");
    println!("{runtime}: reloaded in {} ms", took.as_millis());
    assert!(took < Duration::from_secs(2), "it took {took:?}");
    assert_eq!(dev.get("/a"), (200, "two".to_owned()));

    folder.write("more.yaml", &more("due"));
    dev.wait_for("reloaded");
    assert_eq!(dev.get("/more"), (200, "due".to_owned()));

    folder.write(".dev.vars", "GREETING='good day'");
    dev.wait_for("reloaded");
    assert_eq!(dev.get("/b"), (200, "good day".to_owned()));

    folder.write("gateway.yaml", "routes: nonsense");
    dev.wait_for_problem("goes on serving");
    assert_eq!(dev.get("/a"), (200, "two".to_owned()));

    folder.write("gateway.yaml", &configuration("three"));
    dev.wait_for("reloaded");
    assert_eq!(dev.get("/a"), (200, "three".to_owned()));

    let family = dev.family();
    assert!(family.len() > 1, "{family:?}");
    assert_eq!(dev.stop(Signal::TERM), Some(0));
    assert_gone(&family, Duration::ZERO);
}

#[test]
fn several_run_side_by_side() {
    for runtime in ["workers", "spin"] {
        if !built(runtime) {
            continue;
        }
        let (one, two) = (Folder::new(), Folder::new());
        one.write("gateway.yaml", "routes: [{ name: a, path: /a, respond: { body: one } }]");
        two.write("gateway.yaml", "routes: [{ name: a, path: /a, respond: { body: two } }]");
        let (one, two) = (Dev::start(one.path(), runtime), Dev::start(two.path(), runtime));
        assert_eq!(one.get("/a").1, "one");
        assert_eq!(two.get("/a").1, "two");
    }
}

#[test]
fn nothing_is_left_even_of_one_that_was_killed() {
    for runtime in ["workers", "spin"] {
        if !built(runtime) {
            continue;
        }
        let folder = Folder::new();
        folder.write("gateway.yaml", "routes: [{ name: a, path: /a, respond: { body: one } }]");
        let mut dev = Dev::start(folder.path(), runtime);
        let family = dev.family();
        assert_eq!(dev.stop(Signal::KILL), None);
        assert_gone(&family, Duration::from_secs(5));
    }
}

/// An installed Spin takes no orders, so it is started anew for each configuration. A stand-in shows how it is treated: it calls
/// the repository's host with what it was given.
#[test]
fn an_installed_spin_is_preferred() {
    if !built("spin") {
        return;
    }
    let folder = Folder::new();
    let program = folder.write(
        "bin/spin",
        &format!(
            "#!/bin/sh\nif [ $1 = --version ]; then echo 'spin 4.1.0 (stand-in)'; exit; fi\n\
             echo \"started as: $*\" >&2\nshift\nexec {} \"$@\"\n",
            host().display()
        ),
    );
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("it becomes a program");
    let path = format!("{}:{}", folder.path().join("bin").display(), std::env::var("PATH").expect("there is one"));

    folder.write("gateway.yaml", "routes: [{ name: a, path: /a, respond: { body: one } }]");
    let mut command = postern();
    command.env("PATH", path);
    let mut dev = Dev::start_as(command, folder.path(), "spin");
    assert!(dev.said().iter().any(|line| line.starts_with("started as: up --from")), "the stand-in was not asked");
    folder.write("gateway.yaml", "routes: [{ name: a, path: /a, respond: { body: two } }]");
    dev.wait_for("reloaded");
    assert_eq!(dev.get("/a").1, "two");
    let family = dev.family();
    assert_eq!(dev.stop(Signal::KILL), None);
    assert_gone(&family, Duration::from_secs(5));
}

#[test]
fn a_port_in_use_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let port = taken.local_addr().expect("it has an address").port();
    let folder = Folder::new();
    folder.write("gateway.yaml", "routes: [{ name: a, path: /a, respond: {} }]");
    let output = postern().current_dir(folder.path()).args(["dev", "--port", &port.to_string()]).output();
    let ran = Ran::of(output.expect("it runs"));
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains(&format!("port {port} is in use")), "{}", ran.err);
}

#[test]
fn nothing_is_started_with_errors() {
    let folder = Folder::new();
    folder.write("gateway.yaml", "routes: nonsense");
    let output = postern().current_dir(folder.path()).args(["dev", "--port", "0"]).output();
    let ran = Ran::of(output.expect("it runs"));
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert!(ran.err.contains("gateway.yaml:1:"), "{}", ran.err);
}

/// A running `postern dev`; killed if a test fails.
struct Dev {
    child: Child,
    address: String,
    out: Receiver<String>,
    err: Receiver<String>,
}

impl Dev {
    fn start(folder: &Path, runtime: &str) -> Self {
        Self::start_as(postern(), folder, runtime)
    }

    fn start_as(mut command: Command, folder: &Path, runtime: &str) -> Self {
        let mut child = command
            .current_dir(folder)
            .args(["dev", "--port", "0", "--runtime", runtime])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let out = lines(child.stdout.take().expect("it was asked for"));
        let err = lines(child.stderr.take().expect("it was asked for"));
        let mut dev = Self { child, address: String::new(), out, err };
        dev.address = dev.line("ready http://").0;
        dev
    }

    /// Waits for a line about the address, and tells how long that took.
    fn wait_for(&mut self, what: &str) -> Duration {
        let (address, took) = self.line(&format!("{what} http://"));
        assert_eq!(address, self.address);
        took
    }

    fn line(&mut self, start: &str) -> (String, Duration) {
        let since = Instant::now();
        match self.out.recv_timeout(Duration::from_secs(90)) {
            Ok(line) if line.starts_with(start) => (line[start.len()..].to_owned(), since.elapsed()),
            other => panic!("expected `{start}…`, got {other:?}\n{}", self.said().join("\n")),
        }
    }

    fn wait_for_problem(&mut self, what: &str) {
        let since = Instant::now();
        while since.elapsed() < Duration::from_secs(10) {
            if let Ok(line) = self.err.recv_timeout(Duration::from_millis(100))
                && line.contains(what)
            {
                return;
            }
        }
        panic!("it has not said `{what}`");
    }

    fn said(&self) -> Vec<String> {
        // What was said last takes a moment to come through.
        thread::sleep(Duration::from_millis(200));
        self.err.try_iter().collect()
    }

    /// The status and the body of the answer.
    fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let status = answer.get(9..12).and_then(|status| status.parse().ok()).expect("a status");
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
        (status, body)
    }

    /// This process and all that came from it.
    fn family(&self) -> Vec<u32> {
        let parents = parents();
        let mut family = vec![self.child.id()];
        let mut next = 0;
        while let Some(&parent) = family.get(next) {
            family.extend(parents.iter().filter(|(_, of)| **of == parent).map(|(&process, _)| process));
            next += 1;
        }
        family
    }

    /// Sends a signal and gives the exit code.
    fn stop(&mut self, signal: Signal) -> Option<i32> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process has a number");
        kill_process(pid, signal).expect("it runs");
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.stop(Signal::TERM);
        }
    }
}

fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Every process that is not a zombie, and the one that it came from.
fn parents() -> BTreeMap<u32, u32> {
    let mut parents = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(process) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        // The name in brackets may hold anything.
        let mut fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
        if let (Some(state), Some(Ok(parent))) = (fields.next(), fields.next().map(str::parse))
            && state != "Z"
        {
            parents.insert(process, parent);
        }
    }
    parents
}

fn assert_gone(family: &[u32], patience: Duration) {
    let since = Instant::now();
    loop {
        let parents = parents();
        let left: Vec<_> = family.iter().filter(|process| parents.contains_key(process)).collect();
        if left.is_empty() {
            return;
        }
        assert!(since.elapsed() < patience, "still there: {left:?} of {family:?}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Whether this runtime can be started.
fn built(runtime: &str) -> bool {
    let (needed, target) = match runtime {
        "workers" => (["build/worker/index.js", "node_modules/.bin/node"], "workers"),
        _ => (["build/spin/gateway.wasm", "tests/spin-host/build.sh"], "component"),
    };
    let there = needed.iter().all(|file| repository().join(file).is_file());
    if !there {
        // In `make test` they are there, or something is wrong.
        assert!(std::env::var_os("POSTERN_RUNTIMES").is_none(), "{needed:?} are not there");
        println!("not run: `make {target}` builds what is needed");
    } else if runtime == "spin" {
        host();
    }
    there
}

/// The repository's host for Spin components. Building it at first takes longer than any of these tests would wait.
fn host() -> &'static Path {
    static HOST: LazyLock<PathBuf> = LazyLock::new(|| {
        let printed = Command::new(repository().join("tests/spin-host/build.sh")).output().expect("it runs");
        String::from_utf8(printed.stdout).expect("a path").trim().into()
    });
    &HOST
}
