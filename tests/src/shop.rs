//! The service of `examples/grpc` (npm `@connectrpc/connect-node`), and clients of npm that call it.

#![allow(clippy::panic, reason = "for tests")]

use crate::node::Script;
use crate::process;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

/// What the service's `.proto` file declares, in a file, as long as this lives.
#[derive(Debug)]
pub struct Descriptors(PathBuf);

impl Descriptors {
    /// A `FileDescriptorSet` with all imports.
    pub fn make() -> Vec<u8> {
        let root = process::root();
        let folder = root.join("examples/grpc/protos");
        // The same annotations that the tool knows.
        let google = place("postern-google", "");
        std::fs::create_dir_all(google.join("google/api")).expect("a folder");
        for name in ["annotations", "http"] {
            let from = root.join(format!("gateway-core/src/config/protos/{name}.proto"));
            std::fs::copy(from, google.join(format!("google/api/{name}.proto"))).expect("a copy");
        }
        let set = protox::Compiler::new([folder.as_path(), google.as_path()])
            .and_then(|mut compiler| {
                compiler.include_imports(true).open_file("shop/v1/shop.proto")?;
                Ok(compiler.encode_file_descriptor_set())
            })
            .expect("descriptors");
        std::fs::remove_dir_all(google).expect("it was there");
        set
    }

    /// Writes them.
    pub fn write() -> Self {
        let place = place("postern-shop", ".binpb");
        std::fs::write(&place, Self::make()).expect("a file");
        Self(place)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Starts a script that knows them.
    pub fn script(&self, name: &str) -> Script {
        Script::start(name, self.0.to_str())
    }

    /// Calls the service through a base address with a client of npm.
    pub fn call(&self, protocol: &str, base: &str) -> Value {
        let root = process::root();
        let output = Command::new(root.join("node_modules/.bin/node"))
            .arg(root.join("tests/e2e/shop-client.mjs"))
            .arg(&self.0)
            .args([protocol, base])
            .stdin(Stdio::null())
            .output()
            .expect("node runs");
        let said = String::from_utf8_lossy(&output.stderr);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{protocol} to {base}: {said}"))
    }
}

impl Drop for Descriptors {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The service, as long as this lives.
#[derive(Debug)]
pub struct Shop {
    /// Where it speaks gRPC-Web and Connect.
    pub http1: String,
    /// Where it speaks gRPC as well, in HTTP/2 without TLS.
    pub http2: String,
    script: Script,
}

impl Shop {
    /// Starts it, and waits until it is ready.
    pub fn start(descriptors: &Descriptors) -> Self {
        let script = descriptors.script("shop.mjs");
        let ready = script.ready();
        let (http1, http2) = ready.split_once(' ').expect("two addresses");
        Self { http1: http1.to_owned(), http2: http2.to_owned(), script }
    }

    /// Has it produce one more event.
    pub fn next(&self) {
        self.script.tell("next");
    }
}

fn place(name: &str, extension: &str) -> PathBuf {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("{name}-{}-{number}{extension}", std::process::id()))
}
