//! Where the gateway's parts are, and how they are built.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

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
                    "`postern dev` runs the gateway of the repository it was built from, which is gone; run it inside a clone",
                )
            })
    }

    /// A file or folder of the repository.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// Builds the gateway's Wasm where that has not been done. What is there is taken as it is: `make` knows whether it is old.
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

    /// The host for Spin components that the repository brings, built if need be.
    pub fn spin_host(&self) -> Result<PathBuf, Failure> {
        let script = self.path("tests/spin-host/build.sh");
        let output = Command::new(&script)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| Failure::told(format!("cannot run `{}`: {error}", script.display())))?;
        let printed = String::from_utf8_lossy(&output.stdout);
        match printed.lines().last() {
            Some(path) if output.status.success() => Ok(path.into()),
            Some(_) | None => {
                Err(Failure::told("the repository's host for Spin components could not be built, as was said above"))
            }
        }
    }

    fn make(&self, target: &str, stop: &Stop) -> Result<(), Failure> {
        let unable = |error| Failure::told(format!("cannot run `make {target}`: {error}"));
        let mut child = Command::new("make")
            .arg(target)
            .current_dir(&self.root)
            .stdin(Stdio::null())
            // Our standard output is for programs.
            .stdout(std::io::stderr())
            .process_group(0)
            .spawn()
            .map_err(unable)?;
        match wait(HALF_AN_HOUR, stop, || child.try_wait().transpose()) {
            Waited::Done(Ok(status)) if status.success() => Ok(()),
            Waited::Done(Ok(_)) => Err(Failure::told(format!("`make {target}` failed, as was said above"))),
            Waited::Done(Err(error)) => Err(unable(error)),
            Waited::Stopped | Waited::TooLong => {
                super::runtime::end_group(&mut child, Duration::from_secs(2));
                if stop.asked() {
                    Ok(())
                } else {
                    Err(Failure::told(format!("`make {target}` has not ended within half an hour")))
                }
            }
        }
    }
}

const MARK: &str = "gateway-core/Cargo.toml";
const WORKER: &str = "build/worker/index.js";
const COMPONENT: &str = "build/spin/gateway.wasm";
const HALF_AN_HOUR: Duration = Duration::from_secs(30 * 60);
