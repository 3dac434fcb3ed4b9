//! Several isolates of one workerd, which share the objects of the first.

#![allow(clippy::panic, reason = "for tests")]

use crate::Platform;
use crate::{node, process};
use bytes::Bytes;
use gateway_core::config::{self, Text};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
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
    /// Where they listen.
    pub addresses: Vec<SocketAddr>,
    child: Child,
    said: Receiver<String>,
    folder: PathBuf,
}

impl Instances {
    /// Starts so many with this configuration, and waits until they are ready.
    pub fn start(count: usize, configuration: &Value) -> Self {
        Self::launch(count, configuration, &BTreeMap::new(), &[])
    }

    /// The same, each with a Cache API of its own, as if it ran in a data centre of its own.
    pub fn apart(count: usize, configuration: &Value) -> Self {
        Self::launch(count, configuration, &BTreeMap::new(), &["--apart"])
    }

    /// With values of variables and secrets.
    pub fn start_with(count: usize, configuration: &Value, variables: &BTreeMap<String, String>) -> Self {
        Self::launch(count, configuration, variables, &[])
    }

    fn launch(count: usize, configuration: &Value, variables: &BTreeMap<String, String>, options: &[&str]) -> Self {
        // Builds what is not built.
        process::postern(Platform::Workers).expect("it builds");
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("postern-instances-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let compiled = config::compile(Path::new("gateway.json"), &Text(configuration.to_string()));
        let artefact = Bytes::from(compiled.artefact.unwrap_or_else(|| panic!("{:?}", compiled.problems)));
        std::fs::write(folder.join("gateway.bin"), artefact).expect("a file");
        let known = serde_json::to_vec(variables).expect("texts");
        std::fs::write(folder.join("variables.json"), known).expect("a file");
        let root = process::root();
        let mut child = Command::new(root.join("node_modules/.bin/node"))
            .arg(root.join("adapters/cloudflare/dev/serve.js"))
            .args(["--port", "0", "--instances", &count.to_string()])
            .args(options)
            .arg("--bundle")
            .arg(root.join("build/worker"))
            .arg("--artefact")
            .arg(folder.join("gateway.bin"))
            .arg("--variables")
            .arg(folder.join("variables.json"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("node starts");
        let (sender, said) = channel();
        let output = child.stdout.take().expect("its output");
        thread::spawn(move || {
            BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let mut instances = Self { addresses: Vec::new(), child, said, folder };
        loop {
            let line = instances.hear();
            let (word, address) = line.split_once(" http://").unwrap_or_else(|| panic!("{line}"));
            instances.addresses.push(address.parse().expect("an address"));
            if word == "ready" {
                break;
            }
        }
        assert_eq!(instances.addresses.len(), count);
        instances
    }

    /// Kills the runtime and starts it anew, on the same ports and with what it has written.
    pub fn restart(&mut self) {
        self.child.stdin.as_mut().expect("its input").write_all(b"reload\n").expect("it listens");
        let line = self.hear();
        assert!(line.starts_with("reloaded"), "{line}");
    }

    fn hear(&self) -> String {
        self.said.recv_timeout(Duration::from_secs(60)).expect("it says something")
    }

    /// Has them stop.
    pub fn stop(mut self) {
        // The end of its input is what it stops on.
        drop(self.child.stdin.take());
        self.child.wait().expect("it ends");
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Drop for Instances {
    fn drop(&mut self) {
        // The end of its input is what it stops on, and workerd with it.
        drop(self.child.stdin.take());
        node::end(&mut self.child);
    }
}
