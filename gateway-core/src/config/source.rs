//! The texts of a configuration: where they come from, and where in them a byte is.

use std::path::{Path, PathBuf};

use super::problem::Span;

/// Where files come from: the disk, or whatever a test or an editor has.
pub trait Files {
    /// The text of a file, or why there is none, as a sentence for the user.
    ///
    /// # Errors
    /// When the file is missing, unreadable or not UTF-8.
    fn read(&self, path: &Path) -> Result<String, String>;

    /// The bytes of a file that is no text, or why there are none.
    ///
    /// # Errors
    /// When the file is missing or unreadable.
    fn read_bytes(&self, path: &Path) -> Result<Vec<u8>, String> {
        self.read(path).map(String::into_bytes)
    }
}

/// The files on the disk.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path) -> Result<String, String> {
        String::from_utf8(self.read_bytes(path)?).map_err(|error| {
            let valid = error.utf8_error().valid_up_to();
            let line = error.as_bytes()[..valid].iter().filter(|&&byte| byte == b'\n').count() + 1;
            format!("it is not UTF-8: line {line} has a byte {:#04x}", error.as_bytes()[valid])
        })
    }

    fn read_bytes(&self, path: &Path) -> Result<Vec<u8>, String> {
        std::fs::read(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
            std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
            std::io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
            _ => error.to_string(),
        })
    }
}

/// A configuration that is no file: this text stands in whatever is asked for.
#[derive(Debug, Clone)]
pub struct Text(pub String);

impl Files for Text {
    fn read(&self, _: &Path) -> Result<String, String> {
        Ok(self.0.clone())
    }
}

/// Every file that was asked for, by number; the first is the one that includes the others.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    files: Vec<Source>,
}

/// One file. Its text is empty if it could not be read.
#[derive(Debug, Clone)]
pub struct Source {
    /// As it was asked for: relative to where the entry's path is relative to.
    pub path: PathBuf,
    /// The text, without a byte order mark.
    pub text: String,
    line_starts: Vec<usize>,
}

/// A place as people count: both from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// The line.
    pub line: usize,
    /// The character in the line.
    pub column: usize,
}

impl Sources {
    /// The file with this number.
    pub fn get(&self, file: usize) -> Option<&Source> {
        self.files.get(file)
    }

    /// All files, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &Source> {
        self.files.iter()
    }

    /// Where a span starts.
    pub fn start(&self, span: Span) -> Location {
        self.locate(span.file, span.start)
    }

    /// Where a span ends: the place after its last character.
    pub fn end(&self, span: Span) -> Location {
        self.locate(span.file, span.end)
    }

    /// The text of a span; empty when it is in no file.
    pub fn text(&self, span: Span) -> &str {
        self.get(span.file).and_then(|source| source.text.get(span.start..span.end)).unwrap_or_default()
    }

    fn locate(&self, file: usize, at: usize) -> Location {
        self.get(file).map_or(Location { line: 1, column: 1 }, |source| source.locate(at))
    }

    /// Takes one more text as if it were a file, and returns its number.
    pub(super) fn add_text(&mut self, path: &Path, text: String) -> usize {
        self.files.push(Source::new(path.to_owned(), text));
        self.files.len() - 1
    }

    /// Reads one more file and returns its number; the number exists even when the text does not.
    pub(super) fn add(&mut self, path: &Path, files: &impl Files) -> (usize, Result<(), String>) {
        let (text, outcome) = match files.read(path) {
            Ok(text) => (text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text), Ok(())),
            Err(why) => (String::new(), Err(why)),
        };
        (self.add_text(path, text), outcome)
    }
}

impl Source {
    fn new(path: PathBuf, text: String) -> Self {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { path, text, line_starts }
    }

    /// The line and column of a byte.
    pub fn locate(&self, at: usize) -> Location {
        let at = at.min(self.text.len());
        let line = self.line_starts.partition_point(|&start| start <= at).saturating_sub(1);
        let start = self.line_starts.get(line).copied().unwrap_or_default();
        let column = self.text.get(start..at).map_or(0, |before| before.chars().count());
        Location { line: line + 1, column: column + 1 }
    }
}
