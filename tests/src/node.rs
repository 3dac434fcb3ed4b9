//! Programs in Node that tests talk to: servers and clients of npm, and the server that runs workerd.

use crate::process;
use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

/// A script of this repository while it runs. It is told what to do line by line, says what it has to say line by line, and ends when
/// its input does.
#[derive(Debug)]
pub struct Script {
    child: Child,
    input: Option<ChildStdin>,
    output: Mutex<Lines<BufReader<ChildStdout>>>,
}

impl Script {
    /// Starts the script of this name in `tests/e2e`.
    pub fn start<'a>(name: &str, arguments: impl IntoIterator<Item = &'a str>) -> Self {
        let root = process::root();
        let mut child = Command::new(root.join("node_modules/.bin/node"))
            .arg(root.join("tests/e2e").join(name))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("node runs");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("it has an output")).lines().into();
        Self { child, input, output }
    }

    /// Waits until it says `ready`; gives what else it says in this line.
    pub fn ready(&self) -> String {
        self.says().strip_prefix("ready ").expect("it gets ready").to_owned()
    }

    /// The next line that it says.
    pub fn says(&self) -> String {
        self.output.lock().expect("one at a time").next().and_then(Result::ok).expect("it says something")
    }

    /// Has it do something.
    pub fn tell(&self, line: &str) {
        writeln!(self.input.as_ref().expect("it listens"), "{line}").expect("it listens");
    }

    /// Waits until it says exactly this, whatever it says before.
    pub fn has_said(&self, line: &str) {
        let mut output = self.output.lock().expect("one at a time");
        assert!(output.by_ref().map_while(Result::ok).any(|said| said == line), "it never says `{line}`");
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        drop(self.input.take());
        end(&mut self.child);
    }
}

/// Waits until a program that has been told to end does so, and makes it where it does not. One that is ended by force leaves behind
/// whatever it has started itself.
pub fn end(child: &mut Child) {
    for _ in 0..500 {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    let _ = child.wait();
}
