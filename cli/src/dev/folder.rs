//! A folder of our own for as long as we run: the compiled configuration and the secrets in it are nobody else's
//! business.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use crate::compile::replace;
use crate::outcome::Failure;

/// A private folder; gone when this is dropped.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes one.
    pub fn create() -> Result<Self, Failure> {
        let base = std::env::temp_dir();
        clear_leftovers(&base);
        // Somebody else's leftover has at most the same number, never the same owner: the next one is tried.
        for attempt in 0..1000 {
            let path = base.join(format!("{PREFIX}{}-{attempt}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self { path }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(Failure::told(format!("cannot make a folder in `{}`: {error}", base.display())));
                }
            }
        }
        Err(Failure::told(format!("`{}` is full of our leftovers", base.display())))
    }

    /// Where a file of it is.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file in one step.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<(), Failure> {
        replace(&self.file(name), content)
    }
}

/// Removes what those of us left behind who were killed before they could: there are secrets in it.
fn clear_leftovers(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok());
        let Some(owner) = owner.and_then(Pid::from_raw) else { continue };
        if test_kill_process(owner) == Err(Errno::SRCH) {
            // Another user's stays, as it should.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

const PREFIX: &str = "postern-dev-";

impl Drop for Folder {
    fn drop(&mut self) {
        // Nobody is left to tell.
        let _ = fs::remove_dir_all(&self.path);
    }
}
