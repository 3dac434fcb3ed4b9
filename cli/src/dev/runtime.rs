//! The runtime as a child process: started, told to reload, and ended with everything that it has started itself.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, test_kill_process_group, waitid};

use super::folder::Folder;
use super::repository::Repository;
use super::variables::Variables;
use super::{Stop, Waited, wait};
use crate::arguments;
use crate::outcome::Failure;

/// A runtime that was started; ended when this is dropped.
pub struct Running {
    child: Child,
    said: Receiver<Said>,
    kind: Kind,
    port: u16,
}

/// How it is started and told to reload.
enum Kind {
    /// Miniflare and workerd, by a script that takes orders on its standard input.
    Workers { node: PathBuf, script: PathBuf, bundle: PathBuf, bindings: Vec<String> },
    /// The repository's host, which takes orders on its standard input.
    SpinHost { host: PathBuf, component: PathBuf },
    /// An installed Spin, which takes no orders: it is started anew.
    Spin { program: PathBuf, component: PathBuf },
}

/// What a runtime says about itself; all else that it prints is its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Reloaded,
    NotReloaded,
}

/// Whether it runs.
#[derive(Debug, PartialEq, Eq)]
pub enum Status {
    /// It does.
    Running,
    /// It has ended, and how.
    Ended(String),
}

/// What it answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// The gateway itself.
    Serving,
    /// A failure of the gateway's, with this status.
    Refusing(u16),
    /// Nothing yet, and somebody wants us to stop.
    Stopped,
}

impl Running {
    /// Starts it; it does not answer yet. `None` if somebody wanted us to stop before that.
    pub fn start(
        options: &arguments::Dev,
        port: u16,
        repository: &Repository,
        folder: &Folder,
        variables: &Variables,
        store: &BTreeMap<String, String>,
        stop: &Stop,
    ) -> Result<Option<Self>, Failure> {
        let Some(kind) = Kind::choose(options, repository, stop)? else { return Ok(None) };
        kind.prepare(folder, variables, store)?;
        let (child, said) = kind.spawn(port, folder, store)?;
        Ok(Some(Self { child, said, kind, port }))
    }

    /// Whether it runs.
    pub fn status(&self) -> Status {
        match ended(&self.child) {
            None => Status::Running,
            Some(how) => Status::Ended(how),
        }
    }

    /// Has it take the files of the folder anew.
    pub fn reload(
        &mut self,
        folder: &Folder,
        variables: &Variables,
        store: &BTreeMap<String, String>,
    ) -> Result<(), Failure> {
        self.kind.prepare(folder, variables, store)?;
        if self.kind.takes_orders(store) && self.order_reload() {
            return Ok(());
        }
        end_group(&mut self.child, GRACE);
        let (child, said) = self.kind.spawn(self.port, folder, store)?;
        self.child = child;
        self.said = said;
        Ok(())
    }

    /// Waits for the answer to a real request.
    pub fn wait_until_it_answers(&mut self, limit: Duration, stop: &Stop) -> Result<Answers, Failure> {
        let outcome = wait(limit, stop, || match (answer(self.port), self.status()) {
            (_, Status::Ended(how)) => Some(Err(how)),
            (Some(status), Status::Running) => Some(Ok(status)),
            (None, Status::Running) => None,
        });
        match outcome {
            Waited::Stopped => Ok(Answers::Stopped),
            Waited::Done(Ok(status)) if status < 500 => Ok(Answers::Serving),
            Waited::Done(Ok(status)) => Ok(Answers::Refusing(status)),
            Waited::Done(Err(how)) => {
                Err(Failure::told(format!("the runtime has ended before it answered, as it said above: {how}")))
            }
            Waited::TooLong => Err(Failure::told(format!(
                "the runtime has not answered on port {} within {} seconds",
                self.port,
                limit.as_secs()
            ))),
        }
    }

    /// Whether it has reloaded, as it says itself: until then, the old configuration may still answer.
    fn order_reload(&mut self) -> bool {
        while self.said.try_recv().is_ok() {}
        let Some(stdin) = &mut self.child.stdin else {
            return false;
        };
        if stdin.write_all(b"reload\n").and_then(|()| stdin.flush()).is_err() {
            return false;
        }
        match self.said.recv_timeout(RELOAD) {
            Ok(Said::Reloaded) => true,
            Ok(Said::NotReloaded) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => false,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        end_group(&mut self.child, GRACE);
    }
}

/// How long it may take to end by itself.
const GRACE: Duration = Duration::from_secs(3);
/// How long what was killed may take to be gone.
const BURIAL: Duration = Duration::from_secs(1);
/// How long it may take to reload by order; then it is started anew.
const RELOAD: Duration = Duration::from_secs(5);

impl Kind {
    fn choose(options: &arguments::Dev, repository: &Repository, stop: &Stop) -> Result<Option<Self>, Failure> {
        if stop.asked() {
            return Ok(None);
        }
        Ok(match options.runtime {
            arguments::Runtime::Workers => Some(Self::Workers {
                node: repository.path("node_modules/.bin/node"),
                script: repository.path("adapters/cloudflare/dev/serve.js"),
                bundle: repository.path("build/worker"),
                bindings: options.bindings.clone(),
            }),
            arguments::Runtime::Spin => {
                let component = repository.path("build/spin/gateway.wasm");
                match installed_spin() {
                    Some(program) => Some(Self::Spin { program, component }),
                    None => repository.spin_host(stop)?.map(|host| Self::SpinHost { host, component }),
                }
            }
        })
    }

    /// Whether it can be told to reload. The host is told at its start what stands in the store.
    fn takes_orders(&self, store: &BTreeMap<String, String>) -> bool {
        match self {
            Self::Workers { .. } => true,
            Self::SpinHost { .. } => store.is_empty(),
            Self::Spin { .. } => false,
        }
    }

    /// Writes what it reads besides the configuration.
    fn prepare(&self, folder: &Folder, variables: &Variables, store: &BTreeMap<String, String>) -> Result<(), Failure> {
        match self {
            Self::Workers { .. } => {
                folder.write("store.json", serde_json::json!(store).to_string().as_bytes())?;
                let values = serde_json::json!(variables.values).to_string();
                folder.write("variables.json", values.as_bytes())
            }
            Self::SpinHost { component, .. } | Self::Spin { component, .. } => {
                let manifest = manifest(&component.to_string_lossy(), &variables.values);
                folder.write("spin.toml", manifest.as_bytes())
            }
        }
    }

    fn spawn(
        &self,
        port: u16,
        folder: &Folder,
        store: &BTreeMap<String, String>,
    ) -> Result<(Child, Receiver<Said>), Failure> {
        let listen = format!("127.0.0.1:{port}");
        let pairs = store.iter().flat_map(|(key, value)| ["--key-value".to_owned(), format!("{key}={value}")]);
        let mut command = match self {
            Self::Workers { node, script, bundle, bindings } => {
                let mut command = Command::new(node);
                command
                    .arg(script)
                    .args(["--port", &port.to_string(), "--bundle"])
                    .arg(bundle)
                    .arg("--artefact")
                    .arg(folder.file("gateway.bin"))
                    .arg("--variables")
                    .arg(folder.file("variables.json"))
                    .arg("--store")
                    .arg(folder.file("store.json"))
                    .args(bindings.iter().flat_map(|binding| ["--binding", binding]));
                command
            }
            Self::SpinHost { host, .. } => {
                let mut command = Command::new(host);
                command
                    .arg("--from")
                    .arg(folder.file("spin.toml"))
                    .args(["--listen", &listen, "--grace", "1", "--stdin"])
                    .args(pairs);
                command
            }
            Self::Spin { program, .. } => {
                // Spin does not notice when we are gone, so a shell waits for that and then ends the process group that
                // both are in.
                let mut command = Command::new("sh");
                command
                    .args(["-c", "exec 3<&0 </dev/null; (cat <&3 >/dev/null; kill -TERM 0) & exec \"$@\" 3<&-", "sh"])
                    .arg(program)
                    .args(["up", "--from"])
                    .arg(folder.file("spin.toml"))
                    .args(["--listen", &listen, "--state-dir"])
                    .arg(folder.file("state"))
                    .args(pairs);
                command
            }
        };
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C in a terminal reaches every process of our group: the runtime is in one of its own, so that we end
            // it in order.
            .process_group(0);
        let mut child = command.spawn().map_err(|error| {
            Failure::told(format!(
                "cannot start `{}`: {error}; `make setup` installs what is needed",
                command.get_program().to_string_lossy()
            ))
        })?;
        let (sender, said) = channel();
        if let Some(output) = child.stdout.take() {
            thread::spawn(move || {
                for line in BufReader::new(output).split(b'\n') {
                    let Ok(line) = line else { return };
                    let line = String::from_utf8_lossy(&line);
                    match line.split_whitespace().next() {
                        Some("ready" | "Serving") => {}
                        // When nobody waits for it any more, it does not matter.
                        Some("reloaded" | "Reloaded") => {
                            let _ = sender.send(Said::Reloaded);
                        }
                        Some("failed") => {
                            eprintln!("{line}");
                            let _ = sender.send(Said::NotReloaded);
                        }
                        Some(_) | None => eprintln!("{line}"),
                    }
                }
            });
        }
        Ok((child, said))
    }
}

/// The application that Spin runs, with the values as defaults: the folder is private, and they are read anew on each
/// reload.
fn manifest(component: &str, variables: &BTreeMap<String, String>) -> String {
    let mut declared = String::new();
    let mut handed = String::new();
    for (name, value) in variables {
        let name = name.to_ascii_lowercase();
        let _ = writeln!(declared, "{name} = {{ default = {}, secret = true }}", toml(value));
        let _ = writeln!(handed, "{name} = \"{{{{ {name} }}}}\"");
    }
    format!(
        "spin_manifest_version = 2\n\
         [application]\nname = \"postern-dev\"\nversion = \"0.0.0\"\n\
         [variables]\n{declared}\
         [[trigger.http]]\nroute = \"/...\"\ncomponent = \"gateway\"\n\
         [component.gateway]\nsource = {}\n\
         files = [{{ source = \"gateway.bin\", destination = \"/gateway.bin\" }}]\n\
         allowed_outbound_hosts = [\"http://*:*\", \"https://*:*\", \"redis://*:*\", \"rediss://*:*\"]\n\
         key_value_stores = [\"default\"]\n\
         [component.gateway.variables]\n{handed}",
        toml(component),
    )
}

fn toml(text: &str) -> String {
    let mut literal = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => literal.push_str("\\\""),
            '\\' => literal.push_str("\\\\"),
            c if c.is_control() => {
                let _ = write!(literal, "\\u{:04X}", u32::from(c));
            }
            c => literal.push(c),
        }
    }
    literal.push('"');
    literal
}

/// A Spin in PATH that is new enough for the component's interfaces.
fn installed_spin() -> Option<PathBuf> {
    let program = std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join("spin"))
        .find(|program| program.is_file())?;
    let output = Command::new(&program).arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let printed = String::from_utf8_lossy(&output.stdout);
    // `spin 4.1.0 (…)`
    let version = printed.split_whitespace().nth(1).unwrap_or_default();
    if is_new_enough(version) {
        return Some(program);
    }
    eprintln!(
        "postern: `{}` is version {version}, and the gateway needs Spin 4.1; using the repository's own host",
        program.display()
    );
    None
}

fn is_new_enough(version: &str) -> bool {
    let mut numbers = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (4, 1)
}

/// The status of the answer to a request that no route ever sees: a path that is no path is refused by the gateway
/// itself, so it has run, and nobody's upstream has heard of it.
fn answer(port: u16) -> Option<u16> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    write!(stream, "GET /% HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").ok()?;
    let mut head = [0; 12];
    stream.read_exact(&mut head).ok()?;
    std::str::from_utf8(&head).ok()?.strip_prefix("HTTP/1.1 ")?.parse().ok()
}

const PATIENCE: Duration = Duration::from_secs(5);

/// Ends a child and all that it started in its process group: politely, then not.
pub fn end_group(child: &mut Child, grace: Duration) {
    // The end of its input is what a runtime that takes orders stops on.
    drop(child.stdin.take());
    if let Some(group) = pid(child) {
        // That somebody is gone already is no failure.
        let _ = kill_process_group(group, Signal::TERM);
        let start = Instant::now();
        while start.elapsed() < grace && ended(child).is_none() {
            thread::sleep(Duration::from_millis(10));
        }
        let _ = kill_process_group(group, Signal::KILL);
        let _ = child.wait();
        // What it had started takes a moment to die, too. Where nobody buries the dead, the group never empties.
        let start = Instant::now();
        while start.elapsed() < BURIAL && test_kill_process_group(group).is_ok() {
            thread::sleep(Duration::from_millis(5));
        }
    } else {
        let _ = child.wait();
    }
}

/// How a child has ended, without burying it: as long as it has its number, no other process group can get it.
fn ended(child: &Child) -> Option<String> {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    match waitid(WaitId::Pid(pid(child)?), look) {
        Ok(None) => None,
        Ok(Some(status)) => Some(match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "for no known reason".to_owned(),
        }),
        Err(error) => Some(error.to_string()),
    }
}

fn pid(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_the_manifest() {
        assert_eq!(toml("a\"b\\c\nd"), "\"a\\\"b\\\\c\\u000Ad\"");
    }

    #[test]
    fn old_versions_of_spin_are_recognised() {
        assert!(is_new_enough("4.1.0"));
        assert!(is_new_enough("4.1.0-pre0"));
        assert!(is_new_enough("5.0.0"));
        assert!(!is_new_enough("4.0.2"));
        assert!(!is_new_enough("3.6.1"));
        assert!(!is_new_enough(""));
    }
}
