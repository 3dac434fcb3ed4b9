//! Servers that are measured from outside: started on a core of their own, asked whether they answer rightly, loaded
//! from the other core, and billed by the CPU time that the kernel counted for them.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The core that the measured server has to itself.
pub const SERVER_CORE: &str = "0";
/// The core of the load and the origin.
pub const CLIENT_CORE: &str = "1";

/// A running server. It ends with this value.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Server {
    /// Starts a program on a core and waits until it takes connections at `address`.
    pub fn start(core: &str, program: &Path, arguments: &[String], address: SocketAddr) -> Result<Self, String> {
        let name = program.display();
        let child = Command::new("taskset")
            .args(["-c", core])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("taskset {name}: {error}"))?;
        let mut server = Self { child, address };
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(address).is_err() {
            if let Ok(Some(status)) = server.child.try_wait() {
                let mut words = String::new();
                if let Some(mut stderr) = server.child.stderr.take() {
                    let _ = stderr.read_to_string(&mut words); // What can be read of it.
                }
                return Err(format!("{name} ended with {status}: {words}"));
            }
            if Instant::now() > deadline {
                return Err(format!("{name} does not listen at {address}"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        // A full pipe would stop it.
        if let Some(mut stderr) = server.child.stderr.take() {
            std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        }
        Ok(server)
    }

    /// Nanoseconds of CPU time that all of its threads have used.
    pub fn cpu(&self) -> u64 {
        let Ok(tasks) = fs::read_dir(format!("/proc/{}/task", self.child.id())) else { return 0 };
        let used = |task: fs::DirEntry| -> Option<u64> {
            fs::read_to_string(task.path().join("schedstat")).ok()?.split_whitespace().next()?.parse().ok()
        };
        tasks.flatten().filter_map(used).sum()
    }

    /// Kilobytes of memory that it holds now.
    pub fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that nobody listens on.
pub fn free_address() -> Result<SocketAddr, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    listener.local_addr().map_err(|error| error.to_string())
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Field names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body, unchunked.
    pub body: Vec<u8>,
}

impl Answer {
    /// The first field of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Sends one request without a body on a connection of its own.
pub fn ask(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)]) -> Result<Answer, String> {
    ask_with(address, method, path, headers, "")
}

/// Sends one request on a connection of its own.
pub fn ask_with(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Answer, String> {
    let show = |error: std::io::Error| format!("{method} {path}: {error}");
    let mut stream = TcpStream::connect(address).map_err(show)?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).map_err(show)?;
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        request.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    request.push_str("\r\n");
    request.push_str(body);
    stream.write_all(request.as_bytes()).map_err(show)?;
    let mut received = Vec::new();
    stream.read_to_end(&mut received).map_err(show)?;
    read_answer(&received).ok_or_else(|| format!("{method} {path}: what came is no answer"))
}

fn read_answer(received: &[u8]) -> Option<Answer> {
    let end = received.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&received[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let field =
        |line: &str| line.split_once(':').map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
    let headers: Vec<_> = lines.filter_map(field).collect();
    let mut answer = Answer { status, headers, body: received[end + 4..].to_vec() };
    if answer.header("transfer-encoding") == Some("chunked") {
        answer.body = unchunk(&answer.body)?;
    }
    Some(answer)
}

fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend(rest.get(end + 2..end + 2 + size)?);
        rest = rest.get(end + 4 + size..)?;
    }
}

/// What `wrk` is told to send, over and over.
#[derive(Debug, Clone)]
pub struct Load {
    /// The method.
    pub method: &'static str,
    /// The paths, one after another.
    pub paths: Vec<String>,
    /// The header fields besides `Host`.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

/// The header fields of a browser's request: with `Host`, eleven.
pub const HEADERS: [(&str, &str); 10] = [
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    ("Accept", "application/json, text/plain, */*"),
    ("Accept-Language", "en-GB,en;q=0.8,de;q=0.5"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Referer", "https://www.example.com/orders?page=2"),
    ("Cookie", "session=0190b5a17c5e70008000000000000000; theme=dark"),
    ("Sec-Fetch-Dest", "empty"),
    ("Sec-Fetch-Mode", "cors"),
    ("Sec-Fetch-Site", "same-origin"),
    ("X-Debug", "1"),
];

impl Load {
    /// GET requests with the usual fields.
    pub fn get(paths: Vec<String>) -> Self {
        let headers = HEADERS.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Self { method: "GET", paths, headers, body: String::new() }
    }
}

/// What a window of load brought.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// Requests that were answered.
    pub requests: u64,
    /// Microseconds of the server's CPU time for each.
    pub cpu: f64,
    /// Which part of the time the server computed.
    pub busy: f64,
}

/// Loads a server from sixteen connections for so many seconds. `refused`: every answer must be a status from 400 on,
/// else none.
pub fn load(server: &Server, load: &Load, refused: bool, seconds: u32, scratch: &Path) -> Result<Window, String> {
    let script = scratch.join("wrk.lua");
    write_script(&script, load)?;
    let before = server.cpu();
    let output = Command::new("taskset")
        .args(["-c", CLIENT_CORE, "wrk", "-t1", "-c16", "--timeout", "10s"])
        .arg(format!("-d{seconds}s"))
        .arg("-s")
        .arg(&script)
        .arg(format!("http://{}/", server.address))
        .output()
        .map_err(|error| format!("wrk: {error}"))?;
    let used = server.cpu() - before;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find_map(|line| line.strip_prefix("measured "));
    let numbers: Vec<u64> =
        line.unwrap_or_default().split_whitespace().filter_map(|number| number.parse().ok()).collect();
    let [requests, microseconds, broken, refusals] = numbers[..] else { return Err(format!("wrk says: {text}")) };
    if requests == 0 || broken > 0 {
        return Err(format!("{broken} of {requests} requests failed"));
    }
    if refusals != if refused { requests } else { 0 } {
        return Err(format!("{refusals} of {requests} answers are refusals"));
    }
    Ok(Window {
        requests,
        cpu: used as f64 / 1_000.0 / requests as f64,
        busy: used as f64 / 1_000.0 / microseconds as f64,
    })
}

fn write_script(file: &Path, load: &Load) -> Result<(), String> {
    let quote = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let mut script = String::from("local paths = {\n");
    for path in &load.paths {
        script.push_str(&format!("{},\n", quote(path)));
    }
    script.push_str("}\nlocal headers = {}\n");
    for (name, value) in &load.headers {
        script.push_str(&format!("headers[{}] = {}\n", quote(name), quote(value)));
    }
    let body = if load.body.is_empty() { "nil".to_owned() } else { quote(&load.body) };
    script.push_str(&format!(
        "local body = {body}
local requests, at = {{}}, 0
function init()
  for i, path in ipairs(paths) do requests[i] = wrk.format(\"{}\", path, headers, body) end
end
function request()
  at = at % #requests + 1
  return requests[at]
end
function done(summary)
  local errors = summary.errors
  local broken = errors.connect + errors.read + errors.write + errors.timeout
  print(string.format(\"measured %d %d %d %d\", summary.requests, summary.duration, broken, errors.status))
end
",
        load.method
    ));
    fs::write(file, script).map_err(|error| format!("{}: {error}", file.display()))
}

/// Starts nginx as the origin: every path is answered with the same 81 bytes, and fields that tell what arrived; under
/// `/bytes/` there are files named by their size, and each method of a gRPC service is answered with `call`.
pub fn origin(scratch: &Path, answer: &str, call: &[u8]) -> Result<Server, String> {
    let address = free_address()?;
    let folder = scratch.join("origin");
    let show = |error: std::io::Error| format!("{}: {error}", folder.display());
    fs::create_dir_all(folder.join("bytes")).map_err(show)?;
    for size in BODIES {
        fs::write(folder.join(format!("bytes/{size}")), vec![b'x'; size]).map_err(show)?;
    }
    fs::create_dir_all(folder.join("calls")).map_err(show)?;
    fs::write(folder.join("calls/answer"), call).map_err(show)?;
    let configuration = format!(
        "daemon off; master_process off; pid {folder}/pid; error_log /dev/null crit;
events {{ worker_connections 512; }}
http {{
  access_log off; default_type application/json; sendfile on; tcp_nopush on;
  keepalive_requests 1000000000; keepalive_timeout 600; client_max_body_size 100m; client_body_buffer_size 4m;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; proxy_buffering off; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen {address};
    location /bytes/ {{ root {folder}; }}
    add_header x-origin-target $request_uri;
    add_header x-origin-saw \"$http_x_route|$http_x_tenant|$http_x_tag|$http_x_debug\";
    add_header x-origin-secret 1;
    location / {{ return 200 '{answer}\\n'; }}
    location = /calls/answer {{ root {folder}; default_type application/grpc-web+proto; }}
    # Else nginx would answer before it has read the body.
    location /shop.v1.Shop/ {{ rewrite ^ /calls/answer break; proxy_pass http://{address}; proxy_method GET; proxy_set_body \"\"; }}
    location = /upload {{ proxy_pass http://{address}/taken; proxy_set_body \"\"; proxy_hide_header x-origin-target; }}
  }}
}}
",
        folder = folder.display()
    );
    let file = scratch.join("nginx.conf");
    fs::write(&file, configuration).map_err(|error| format!("{}: {error}", file.display()))?;
    let program = ["/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/sbin/nginx"].map(Path::new);
    let program = program.into_iter().find(|path| path.exists()).unwrap_or(Path::new("nginx"));
    let arguments = ["-p", &folder.display().to_string(), "-c", &file.display().to_string()].map(str::to_owned);
    Server::start(CLIENT_CORE, program, &arguments, address)
}

/// Sizes of the origin's files.
pub const BODIES: [usize; 4] = [1 << 10, 16 << 10, 256 << 10, 1 << 20];
