//! A gateway on a real runtime, as `postern dev` starts it.

use crate::Platform;
use crate::process;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// A gateway that runs, as long as this lives.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    child: Child,
    folder: PathBuf,
}

impl Running {
    /// Starts a gateway with this configuration and waits until it is ready.
    pub fn start(
        platform: Platform,
        configuration: &Value,
        settings: &BTreeMap<String, String>,
    ) -> Result<Self, String> {
        Self::start_with(platform, configuration, settings, &BTreeMap::new(), &Map::new())
    }

    /// The same with what stands behind the bindings of Workers, by their names (other platforms have none), and in the
    /// platform's key-value store.
    pub fn start_with(
        platform: Platform,
        configuration: &Value,
        settings: &BTreeMap<String, String>,
        bindings: &BTreeMap<String, String>,
        store: &Map<String, Value>,
    ) -> Result<Self, String> {
        Self::start_all(platform, configuration, settings, bindings, store, &[])
    }

    /// The same with more variables in the environment of the runtime.
    pub fn start_in(
        platform: Platform,
        configuration: &Value,
        settings: &BTreeMap<String, String>,
        environment: &[(&str, &str)],
    ) -> Result<Self, String> {
        Self::start_all(platform, configuration, settings, &BTreeMap::new(), &Map::new(), environment)
    }

    fn start_all(
        platform: Platform,
        configuration: &Value,
        settings: &BTreeMap<String, String>,
        bindings: &BTreeMap<String, String>,
        store: &Map<String, Value>,
        environment: &[(&str, &str)],
    ) -> Result<Self, String> {
        let bindings = bindings.iter().filter(|_| platform == Platform::Workers);
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("postern-tests-{}-{number}", std::process::id()));
        let postern = process::postern(platform)?;
        let io = |error: std::io::Error| format!("{}: {error}", folder.display());
        fs::create_dir_all(&folder).map_err(io)?;
        let file = folder.join("gateway.json");
        fs::write(&file, serde_json::to_vec_pretty(configuration).unwrap_or_default()).map_err(io)?;
        let lines: Vec<String> = settings.iter().map(|(name, value)| format!("{name}='{value}'\n")).collect();
        fs::write(folder.join(".dev.vars"), lines.concat()).map_err(io)?;
        fs::write(folder.join("store.json"), serde_json::to_vec(store).unwrap_or_default()).map_err(io)?;
        let log = folder.join("log");
        let mut child = Command::new(postern)
            .arg("dev")
            .args(["--port", "0", "--runtime", platform.as_str(), "--config"])
            .arg(&file)
            .arg("--store")
            .arg(folder.join("store.json"))
            .args(bindings.flat_map(|(name, target)| ["--binding".to_owned(), format!("{name}={target}")]))
            .current_dir(process::root())
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).map_err(io)?)
            .spawn()
            .map_err(|error| format!("cannot start `postern dev`: {error}"))?;
        let output = child.stdout.take();
        let mut running = Self { address: SocketAddr::from(([127, 0, 0, 1], 0)), child, folder };
        let mut lines = BufReader::new(output.ok_or("`postern dev` has no output")?).lines();
        let ready =
            lines.by_ref().map_while(Result::ok).find_map(|line| line.strip_prefix("ready http://")?.parse().ok());
        let said = || fs::read_to_string(&log).unwrap_or_default();
        running.address = ready.ok_or_else(|| format!("`postern dev` did not get ready:\n{}", said()))?;
        // Whoever does not read on would stop it one day.
        thread::spawn(move || lines.for_each(drop));
        Ok(running)
    }

    /// What it has written for people.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// The file that it writes to.
    pub fn log_file(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// The process that does the work: workerd, or the host of the component.
    pub fn worker(&self) -> Option<u32> {
        let is_worker = |pid: &u32| matches!(process::name(*pid).as_str(), "workerd" | "postern-spin-ho");
        process::family(self.child.id()).into_iter().find(is_worker)
    }

    /// Has it stop, and says whether it left nothing behind.
    pub fn stop(mut self) -> Result<(), String> {
        let family = process::family(self.child.id());
        self.end();
        // What was killed takes a moment to go.
        for _ in 0..200 {
            if !family.iter().any(|pid| process::is_alive(*pid)) {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(10));
        }
        let left = family.into_iter().filter(|pid| process::is_alive(*pid));
        let left: Vec<_> = left.map(|pid| format!("{} ({pid})", process::name(pid))).collect();
        Err(format!("these processes are left: {}", left.join(", ")))
    }

    fn end(&mut self) {
        let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) else { return };
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = kill_process(pid, Signal::TERM);
            // It ends its runtime in order, which takes a moment and has a limit of its own.
            for _ in 0..600 {
                if !matches!(self.child.try_wait(), Ok(None)) {
                    return;
                }
                thread::sleep(Duration::from_millis(10));
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
