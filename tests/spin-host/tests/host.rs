//! What the host does with a component, seen from outside: the program itself, the component of `probe/`, plain sockets.
//! `./test.sh` builds both and runs this.

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

#[test]
fn spins_own_headers_come_after_the_clients() {
    let host = Host::start(&[]);
    let answer = host.send("GET /head?a=1 HTTP/1.1\r\nHost: a.example\r\nSpin-Client-Addr: 1.2.3.4:5\r\n");
    let of = |name: &str| -> Vec<String> {
        let prefix = format!("{name}: ");
        answer.body.lines().filter_map(|line| line.strip_prefix(&prefix)).map(str::to_owned).collect()
    };
    assert!(
        answer.body.starts_with("Method::Get Some(Scheme::Http) Some(\"a.example\") Some(\"/head?a=1\")"),
        "{answer:?}"
    );
    let addresses = of("spin-client-addr");
    assert_eq!(addresses[0], "1.2.3.4:5");
    assert!(addresses[1].starts_with("127.0.0.1:") && addresses.len() == 2, "{addresses:?}");
    for (name, value) in [
        ("spin-path-info", "/head"),
        ("spin-full-url", "http://a.example/head?a=1"),
        ("spin-matched-route", "/..."),
        ("spin-raw-component-route", "/..."),
        ("spin-component-route", ""),
        ("spin-base-path", "/"),
    ] {
        assert_eq!(of(name), [value], "{name}");
    }
}

#[test]
fn what_spin_refuses_is_refused() {
    let host = Host::start(&[]);
    let many: String = (0..101).map(|number| format!("x-{number}: 1\r\n")).collect();
    for (status, request) in [
        (431, format!("GET /count HTTP/1.1\r\nHost: a\r\n{many}")),
        (500, "GET /count HTTP/1.1\r\nHost: a b\r\n".to_owned()),
        (400, "GET /count HTTP/1.1\r\nHost: a\r\nno colon\r\n".to_owned()),
        (500, "GET /fail HTTP/1.1\r\nHost: a\r\n".to_owned()),
        (200, "GET /.well-known/spin/health HTTP/1.1\r\nHost: a\r\n".to_owned()),
        (200, "GET /count HTTP/1.0\r\n".to_owned()),
    ] {
        assert_eq!(host.send(&request).status, status, "{request}");
    }
    assert_eq!(
        host.send_bytes(b"GET /count HTTP/1.1\r\nHost: a\r\nX-A: \xe9\r\nConnection: close\r\n\r\n").status,
        500
    );
}

#[test]
fn forbidden_headers_cannot_be_set() {
    let host = Host::start(&[]);
    for name in
        ["connection", "keep-alive", "proxy-authenticate", "proxy-connection", "transfer-encoding", "upgrade", "host"]
    {
        assert_eq!(host.get(&format!("/set?{name}")), "HeaderError::Forbidden", "{name}");
    }
    assert_eq!(host.get("/set?x-mine"), "()");
}

#[test]
fn an_instance_takes_128_requests_and_goes_when_idle() {
    let host = Host::start(&[]);
    let counts: Vec<_> = (0..130).map(|_| host.get("/count")).collect();
    assert_eq!((counts[127].as_str(), counts[128].as_str(), counts[129].as_str()), ("127", "0", "1"));
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!(host.get("/count"), "0");
}

#[test]
fn a_trap_ends_its_instance_only() {
    let host = Host::start(&[]);
    assert_eq!(host.get("/count"), "0");
    assert_eq!(host.send("GET /trap HTTP/1.1\r\nHost: a\r\n").status, 500);
    assert_eq!(host.get("/count"), "0");
}

#[test]
fn work_goes_on_after_the_answer() {
    let host = Host::start(&[]);
    assert_eq!(host.get("/later?300"), "now");
    // Longer than an idle instance lives: what was spawned keeps it.
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(host.get("/count"), "1000");
}

#[test]
fn variables_come_from_the_manifest_the_environment_and_the_command_line() {
    let host = Host::start(&["--variable", "given=by hand"]);
    for (name, value) in [
        ("composed", "\"default, env, by hand\""),
        ("lacking", "Error::Undefined(\"nobody\")"),
        ("other", "Error::Undefined(\"other\")"),
    ] {
        assert_eq!(host.get(&format!("/variable?{name}")), value, "{name}");
    }
    assert!(host.get("/variable?Not-A-Name").starts_with("Error::InvalidName"));
}

#[test]
fn files_are_seen_and_cannot_be_changed() {
    let other = scratch().join("other.txt");
    fs::write(&other, "from elsewhere").expect("a file");
    let host = Host::start(&["--file", &format!("/b.txt={}", other.display())]);
    assert_eq!(host.get("/file?/a.txt"), "\"from the manifest\"");
    assert_eq!(host.get("/file?/b.txt"), "\"from elsewhere\"");
    assert!(host.get("/file?/c.txt").contains("NotFound"));
    for outside in ["/../../../../etc/passwd", "../etc/passwd", "/etc/passwd"] {
        let answer = host.get(&format!("/file?{outside}"));
        assert!(answer.starts_with("Os"), "{outside}: {answer}");
    }
    assert!(host.get("/write?/a.txt").contains("PermissionDenied"));
}

#[test]
fn a_reload_shows_new_files_and_cuts_nothing_off() {
    let mut host = Host::start(&["--stdin"]);
    assert_eq!(host.get("/file?/a.txt"), "\"from the manifest\"");
    let mut slow = host.connect();
    slow.write_all(b"GET /sleep?700 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("a request");
    std::thread::sleep(Duration::from_millis(200));
    fs::write(host.folder.join("a.txt"), "changed").expect("a file");
    host.order("reload\n");
    assert_eq!(host.line(), "Reloaded");
    assert_eq!(host.get("/file?/a.txt"), "\"changed\"");
    assert_eq!(Answer::read(slow).body, "slept");

    fs::write(host.folder.join("spin.toml"), "nonsense").expect("a file");
    host.signal("HUP");
    let said = host.line();
    assert!(said.starts_with("failed to reload: ") && said.contains("spin.toml"), "{said}");
    assert_eq!(host.get("/file?/a.txt"), "\"changed\"", "what there was goes on");
}

#[test]
fn requests_go_to_allowed_hosts_only() {
    let origin = Origin::start(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n");
    });
    let host = Host::start(&["--allow-host", &format!("http://{}", origin.0)]);
    assert_eq!(host.get(&format!("/fetch?{}/", origin.0)), "204");
    assert_eq!(host.get("/fetch?localhost:1/"), "ErrorCode::HttpRequestDenied");
}

#[test]
fn failures_have_their_names() {
    let silent = Origin::start(|stream| {
        std::thread::sleep(Duration::from_secs(3));
        drop(stream);
    });
    let closing = Origin::start(drop);
    let host = Host::start(&["--allow-host", "http://*:*"]);
    for (authority, code) in [
        ("127.0.0.1:1", "ErrorCode::ConnectionRefused"),
        ("no-such-host.invalid", "ErrorCode::DnsError"),
        (&silent.0, "ErrorCode::ConnectionReadTimeout"),
        (&closing.0, "ErrorCode::HttpProtocolError"),
    ] {
        let answer = host.get(&format!("/fetch?{authority}/"));
        assert!(answer.starts_with(code), "{authority}: {answer}");
    }
}

#[test]
fn a_key_value_store_outlives_the_host() {
    let state = scratch();
    let arguments = ["--state-dir", state.to_str().expect("a path")];
    let host = Host::start(&arguments);
    assert_eq!(host.get("/key-value?default/a=1"), "\"set\"");
    drop(host);
    let host = Host::start(&arguments);
    assert_eq!(host.get("/key-value?default/a"), "\"Some(\\\"1\\\") true true\"");
    assert_eq!(host.get("/key-value?default/a"), "\"None false true\"");
    assert!(host.get("/key-value?other/a").contains("AccessDenied"));
}

#[test]
fn bodies_and_trailers_pass_over_http_2() {
    let host = Host::start(&[]);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (body, trailers) = runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(&host.address).await.expect("a connection");
        let (mut client, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
        tokio::spawn(connection);
        let end = [("x-end".parse().expect("a name"), "yes".parse().expect("a value"))];
        let body = Frames(VecDeque::from([
            http_body::Frame::data(Bytes::from_static(b"one, ")),
            http_body::Frame::data(Bytes::from_static(b"two")),
            http_body::Frame::trailers(end.into_iter().collect()),
        ]));
        let request = http::Request::post(format!("http://{}/echo", host.address)).body(body).expect("a request");
        let response =
            client.send_request(request).await.expect("a response").into_body().collect().await.expect("a body");
        let trailers = response.trailers().cloned().unwrap_or_default();
        (response.to_bytes(), trailers)
    });
    assert_eq!((&body[..], trailers.get("x-end").map(|value| value.as_bytes())), (&b"one, two"[..], Some(&b"yes"[..])));
}

#[test]
fn a_stop_lets_requests_end() {
    let mut host = Host::start(&[]);
    let mut slow = host.connect();
    slow.write_all(b"GET /sleep?600 HTTP/1.1\r\nHost: a\r\n\r\n").expect("a request");
    std::thread::sleep(Duration::from_millis(200));
    host.signal("TERM");
    assert_eq!(Answer::read(slow).body, "slept");
    assert!(host.ends(), "it goes by itself");
}

#[test]
fn the_end_of_standard_input_stops_it() {
    let mut host = Host::start(&["--stdin"]);
    assert_eq!(host.get("/count"), "0");
    drop(host.child.stdin.take());
    assert!(host.ends());
}

#[test]
fn what_cannot_run_is_named() {
    for (manifest, named) in [
        ("nonsense".to_owned(), "spin.toml"),
        (MANIFEST.replace("SOURCE", "missing.wasm"), "missing.wasm"),
        (MANIFEST.replace("SOURCE", "spin.toml"), "component"),
        (MANIFEST.replace("\"a.txt\"", "\"missing.txt\""), "missing.txt"),
    ] {
        let folder = application(&manifest);
        let output = command(&folder, &[]).output().expect("an end");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(named), "{manifest}: {said}");
    }
}

const MANIFEST: &str = r#"
spin_manifest_version = 2
[application]
name = "probe"
[variables]
plain = { default = "default" }
set = { default = "unused" }
given = { default = "unused" }
nobody = { required = true }
[[trigger.http]]
route = "/..."
component = "probe"
[component.probe]
source = "SOURCE"
files = [{ source = "a.txt", destination = "/a.txt" }, { source = "a.txt", destination = "/b.txt" }]
key_value_stores = ["default"]
[component.probe.variables]
composed = "{{ plain }}, {{ set }}, {{ given }}"
lacking = "{{ nobody }}"
"#;

/// A running host, and the folder of its manifest.
struct Host {
    child: Child,
    address: String,
    folder: PathBuf,
    lines: Receiver<String>,
}

impl Host {
    fn start(arguments: &[&str]) -> Self {
        let probe = std::env::var("POSTERN_SPIN_PROBE").expect("test.sh says where the probe is");
        let folder = application(&MANIFEST.replace("SOURCE", &probe));
        let mut child =
            command(&folder, arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the host");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let mut host = Self { child, address: String::new(), folder, lines };
        let serving = host.line();
        host.address = serving.strip_prefix("Serving http://").expect("an address").to_owned();
        host
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(Duration::from_secs(60)).expect("a line")
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.address).expect("a connection")
    }

    fn get(&self, target: &str) -> String {
        self.send(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n")).body
    }

    fn send(&self, head: &str) -> Answer {
        self.send_bytes(format!("{head}Connection: close\r\n\r\n").as_bytes())
    }

    fn send_bytes(&self, request: &[u8]) -> Answer {
        let mut stream = self.connect();
        stream.write_all(request).expect("a request");
        Answer::read(stream)
    }

    fn order(&mut self, order: &str) {
        self.child.stdin.as_mut().expect("its input").write_all(order.as_bytes()).expect("an order");
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()));
    }

    fn ends(&mut self) -> bool {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(10) {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status.success();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    body: String,
}

impl Answer {
    fn read(mut stream: TcpStream) -> Self {
        let mut bytes = Vec::new();
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        // A connection that is reset after the answer has been read is none of our business.
        let _ = stream.read_to_end(&mut bytes);
        let text = String::from_utf8_lossy(&bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
        Self { status, body: body.to_owned() }
    }
}

/// An origin that does one thing with every connection, after it has read what came first.
struct Origin(String);

impl Origin {
    fn start(serve: fn(TcpStream)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
        let address = listener.local_addr().expect("an address").to_string();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                std::thread::spawn(move || {
                    let _ = stream.read(&mut [0; 4096]);
                    serve(stream);
                });
            }
        });
        Self(address)
    }
}

/// A body of these frames.
struct Frames(VecDeque<http_body::Frame<Bytes>>);

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }
}

fn command(folder: &std::path::Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postern-spin-host"));
    command.args(["--listen", "127.0.0.1:0", "-f"]).arg(folder).args(arguments);
    command.env("SPIN_VARIABLE_SET", "env").env("SPIN_VARIABLE_GIVEN", "env");
    command
}

fn application(manifest: &str) -> PathBuf {
    let folder = scratch();
    fs::write(folder.join("spin.toml"), manifest).expect("a manifest");
    fs::write(folder.join("a.txt"), "from the manifest").expect("a file");
    folder
}

fn scratch() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("postern-spin-host-test-{}-{number}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    folder
}
