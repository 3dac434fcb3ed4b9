//! Several instances of the gateway on Workers: isolates of one workerd, which share its objects.

use crate::Platform;
use crate::process;
use gateway_core::config::{self, Files};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Error, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// Isolates of one workerd, as long as this lives.
#[derive(Debug)]
pub struct Instances {
    /// Where each listens.
    pub addresses: Vec<SocketAddr>,
    child: Child,
    said: Receiver<String>,
    folder: PathBuf,
}

impl Instances {
    /// Starts so many with this configuration, and waits until they are ready.
    pub fn start(count: usize, configuration: &Value, settings: &BTreeMap<String, String>) -> Result<Self, String> {
        // Builds what is not built.
        process::postern(Platform::Workers)?;
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("postern-instances-{}-{number}", std::process::id()));
        let io = |error: Error| error.to_string();
        std::fs::create_dir_all(&folder).map_err(io)?;
        let compiled = config::compile(Path::new("gateway.json"), &OneFile(configuration.to_string()));
        let artefact = compiled.artefact.ok_or_else(|| format!("{:?}", compiled.problems))?;
        std::fs::write(folder.join("gateway.bin"), artefact).map_err(io)?;
        std::fs::write(folder.join("variables"), serde_json::to_vec(settings).unwrap_or_default()).map_err(io)?;
        let root = process::root();
        let mut child = Command::new(root.join("node_modules/.bin/node"))
            .arg(root.join("adapters/cloudflare/dev/serve.js"))
            .args(["--port", "0", "--instances", &count.to_string(), "--bundle"])
            .arg(root.join("build/worker"))
            .arg("--artefact")
            .arg(folder.join("gateway.bin"))
            .arg("--variables")
            .arg(folder.join("variables"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(io)?;
        let (sender, said) = channel();
        let output = child.stdout.take().ok_or("it has no output")?;
        thread::spawn(move || {
            BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let mut instances = Self { addresses: Vec::new(), child, said, folder };
        loop {
            let line = instances.hear()?;
            let (word, address) = line.split_once(" http://").ok_or_else(|| line.clone())?;
            instances.addresses.push(address.parse().map_err(|_| line.clone())?);
            if word == "ready" {
                return Ok(instances);
            }
        }
    }

    /// Kills the runtime and starts it anew, on the same ports and with what it has written.
    pub fn restart(&mut self) -> Result<(), String> {
        let input = self.child.stdin.as_mut().ok_or("it has no input")?;
        input.write_all(b"reload\n").map_err(|error| error.to_string())?;
        let line = self.hear()?;
        if line.starts_with("reloaded") { Ok(()) } else { Err(line) }
    }

    fn hear(&self) -> Result<String, String> {
        self.said.recv_timeout(Duration::from_secs(60)).map_err(|error| error.to_string())
    }

    /// Ends them.
    pub fn stop(mut self) {
        // The end of its input is what it stops on.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

impl Drop for Instances {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

struct OneFile(String);

impl Files for OneFile {
    fn read(&self, _: &Path) -> Result<String, String> {
        Ok(self.0.clone())
    }
}
