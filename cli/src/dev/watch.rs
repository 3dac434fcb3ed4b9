//! Notices that a file has changed, appeared or gone.
//!
//! It looks at the files' times a few times a second: that works on every file system, and whether an editor writes the file in place or renames another
//! over it makes no difference.

use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

/// Files, as they were.
#[derive(Debug)]
pub struct Watch {
    files: Vec<(PathBuf, Option<Mark>)>,
}

/// What changes when a file does: two writes within a tick of the clock seldom leave the same length, and a renamed file has another number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    modified: Option<SystemTime>,
    length: u64,
    number: u64,
}

impl Watch {
    /// Watches these from now on.
    pub fn of(files: impl IntoIterator<Item = PathBuf>) -> Self {
        Self { files: Vec::new() }.and(files)
    }

    /// Watches these as well.
    pub fn and(mut self, files: impl IntoIterator<Item = PathBuf>) -> Self {
        for file in files {
            if !self.files.iter().any(|(known, _)| *known == file) {
                let mark = mark(&file);
                self.files.push((file, mark));
            }
        }
        self
    }

    /// Whether any is other than it was.
    pub fn changed(&self) -> bool {
        self.files.iter().any(|(file, was)| mark(file) != *was)
    }
}

fn mark(file: &PathBuf) -> Option<Mark> {
    let metadata = fs::metadata(file).ok()?;
    Some(Mark {
        modified: metadata.modified().ok(),
        length: metadata.len(),
        number: std::os::unix::fs::MetadataExt::ino(&metadata),
    })
}
