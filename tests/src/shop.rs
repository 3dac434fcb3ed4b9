//! The service of `examples/grpc` (npm `@connectrpc/connect-node`), and clients of npm that call it.

#![allow(clippy::panic, reason = "for tests")]

use crate::process;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// The service, as long as it lives.
#[derive(Debug)]
pub struct Shop {
    /// Where it speaks gRPC-Web and Connect.
    pub http1: String,
    /// Where it speaks gRPC as well, in HTTP/2 without TLS.
    pub http2: String,
    descriptors: PathBuf,
    child: Child,
    input: Option<ChildStdin>,
}

impl Shop {
    /// Starts it, and waits until it is ready.
    pub fn start() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let root = process::root();
        let descriptors = std::env::temp_dir().join(format!("postern-shop-{}-{number}.binpb", std::process::id()));
        let folder = root.join("examples/grpc/protos");
        // The same annotations that the tool knows.
        let google = std::env::temp_dir().join(format!("postern-google-{}-{number}", std::process::id()));
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
        std::fs::write(&descriptors, set).expect("a file");
        let mut child = Command::new(root.join("node_modules/.bin/node"))
            .arg(root.join("tests/e2e/shop.mjs"))
            .arg(&descriptors)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("node runs");
        let input = child.stdin.take();
        let mut output = BufReader::new(child.stdout.take().expect("it has an output")).lines();
        let ready = output.next().and_then(Result::ok).unwrap_or_default();
        let (http1, http2) =
            ready.strip_prefix("ready ").and_then(|ready| ready.split_once(' ')).expect("the service is ready");
        Self { http1: http1.to_owned(), http2: http2.to_owned(), descriptors, child, input }
    }

    /// Has it produce one more event.
    pub fn next(&self) {
        writeln!(self.input.as_ref().expect("it listens"), "next").expect("it listens");
    }

    /// Calls the service through a base address with a client of npm.
    pub fn call(&self, protocol: &str, base: &str) -> Value {
        let root = process::root();
        let output = Command::new(root.join("node_modules/.bin/node"))
            .arg(root.join("tests/e2e/shop-client.mjs"))
            .arg(&self.descriptors)
            .args([protocol, base])
            .stdin(Stdio::null())
            .output()
            .expect("node runs");
        let said = String::from_utf8_lossy(&output.stderr);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{protocol} to {base}: {said}"))
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        // It ends with its input.
        drop(self.input.take());
        for _ in 0..200 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.descriptors);
    }
}
