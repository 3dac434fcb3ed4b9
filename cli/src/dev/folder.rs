//! A folder of our own for as long as we run: the compiled configuration and the secrets in it are nobody else's business.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

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
        // Somebody else's leftover has at most the same number, never the same owner: the next one is tried.
        for attempt in 0..1000 {
            let path = base.join(format!("postern-dev-{}-{attempt}", std::process::id()));
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

impl Drop for Folder {
    fn drop(&mut self) {
        // Nobody is left to tell.
        let _ = fs::remove_dir_all(&self.path);
    }
}
