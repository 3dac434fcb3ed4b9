//! Notices that a file has changed, appeared or gone.
//!
//! It looks at the files' times a few times a second: that works on every file system, and whether an editor writes the
//! file in place or renames another over it makes no difference.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use gateway_core::config::{Disk, Files};

/// Files, as they were when they were read.
#[derive(Debug, Default)]
pub struct Watch {
    files: RefCell<Vec<(PathBuf, Option<Mark>)>>,
}

/// What changes when a file does: two writes within a tick of the clock seldom leave the same length, and a renamed
/// file has another number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    modified: Option<SystemTime>,
    length: u64,
    number: u64,
}

impl Watch {
    /// Watches a file from now on.
    pub fn add(&self, file: &Path) {
        let mark = mark(file);
        let mut files = self.files.borrow_mut();
        if !files.iter().any(|(known, _)| known == file) {
            files.push((file.to_owned(), mark));
        }
    }

    /// Whether any is other than it was.
    pub fn changed(&self) -> bool {
        self.files.borrow().iter().any(|(file, was)| mark(file) != *was)
    }
}

/// Whoever reads through this watches what they read. The mark is taken first, so that no change is missed in between.
impl Files for Watch {
    fn read(&self, path: &Path) -> Result<String, String> {
        self.add(path);
        Disk.read(path)
    }
}

fn mark(file: &Path) -> Option<Mark> {
    let metadata = fs::metadata(file).ok()?;
    Some(Mark {
        modified: metadata.modified().ok(),
        length: metadata.len(),
        number: std::os::unix::fs::MetadataExt::ino(&metadata),
    })
}
