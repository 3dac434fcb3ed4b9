//! Where the gateway's parts are, and how they are built.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::runtime::end_group;
use super::{Stop, Waited, wait};
use crate::arguments::Runtime;
use crate::outcome::Failure;

/// The repository that this program was built from.
#[derive(Debug)]
pub struct Repository {
    root: PathBuf,
}

impl Repository {
    /// The one this program was built in, or else the one around the current folder.
    pub fn find() -> Result<Self, Failure> {
        let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned);
        let here = std::env::current_dir().unwrap_or_default();
        built_in
            .into_iter()
            .chain(here.ancestors().map(Path::to_owned))
            .find(|folder| folder.join(MARK).is_file())
            .map(|root| Self { root })
            .ok_or_else(|| {
                Failure::told(
                    "`postern dev` runs the gateway of the repository it was built from, which is gone; run it inside a \
                     clone",
                )
            })
    }

    /// A file or folder of the repository.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// Builds the gateway's Wasm where that has not been done. What is there is taken as it is: `make` knows whether it
    /// is old.
    pub fn build_if_missing(&self, runtime: Runtime, stop: &Stop) -> Result<(), Failure> {
        let (built, target) = match runtime {
            Runtime::Workers => (WORKER, "workers"),
            Runtime::Spin => (COMPONENT, "component"),
        };
        if self.path(built).is_file() {
            return Ok(());
        }
        eprintln!("postern: {built} is not there yet; building it with `make {target}`, which takes a minute at first");
        self.make(target, stop)?;
        if stop.asked() || self.path(built).is_file() {
            return Ok(());
        }
        Err(Failure::told(format!("`make {target}` has not built {built}")))
    }

    /// The host for Spin components that the repository brings, built if need be; `None` if somebody wants us to stop.
    pub fn spin_host(&self, stop: &Stop) -> Result<Option<PathBuf>, Failure> {
        let script = "tests/spin-host/build.sh";
        let Some(printed) = self.run(Command::new(self.path(script)).stdout(Stdio::piped()), script, stop)? else {
            return Ok(None);
        };
        match printed.lines().last() {
            Some(path) => Ok(Some(path.into())),
            None => Err(Failure::told(format!("`{script}` has not said where the host is"))),
        }
    }

    fn make(&self, target: &str, stop: &Stop) -> Result<(), Failure> {
        let mut command = Command::new("make");
        // Our standard output is for programs.
        command.arg(target).stdout(std::io::stderr());
        self.run(&mut command, &format!("make {target}"), stop).map(drop)
    }

    /// Runs something that may take minutes, and gives what it printed; `None` if somebody wants us to stop.
    fn run(&self, command: &mut Command, shown: &str, stop: &Stop) -> Result<Option<String>, Failure> {
        let unable = |error| Failure::told(format!("cannot run `{shown}`: {error}"));
        let mut child =
            command.current_dir(&self.root).stdin(Stdio::null()).process_group(0).spawn().map_err(unable)?;
        match wait(HALF_AN_HOUR, stop, || child.try_wait().transpose()) {
            Waited::Done(Ok(status)) if status.success() => {
                let mut printed = String::new();
                if let Some(mut output) = child.stdout.take() {
                    output.read_to_string(&mut printed).map_err(unable)?;
                }
                Ok(Some(printed))
            }
            Waited::Done(Ok(_)) => Err(Failure::told(format!("`{shown}` failed, as was said above"))),
            Waited::Done(Err(error)) => Err(unable(error)),
            Waited::Stopped => {
                end_group(&mut child, Duration::from_secs(2));
                Ok(None)
            }
            Waited::TooLong => {
                end_group(&mut child, Duration::from_secs(2));
                Err(Failure::told(format!("`{shown}` has not ended within half an hour")))
            }
        }
    }
}

const MARK: &str = "gateway-core/Cargo.toml";
const WORKER: &str = "build/worker/index.js";
const COMPONENT: &str = "build/spin/gateway.wasm";
const HALF_AN_HOUR: Duration = Duration::from_secs(30 * 60);
