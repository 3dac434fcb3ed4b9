//! How a command ends, and what a script sees of it.

use std::io;
use std::process::ExitCode;

/// A command that did what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The answer is good: exit code 0.
    Fine,
    /// The answer is bad news, as was shown: exit code 1.
    Problems,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Fine => Self::SUCCESS,
            Outcome::Problems => Self::FAILURE,
        }
    }
}

/// A command that could not do what it was asked: exit code 2.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// Why, as a sentence for the user.
    Told(String),
    /// Nobody reads what we print any more.
    ReaderGone,
}

impl Failure {
    /// Why, as a sentence for the user.
    pub fn told(why: impl Into<String>) -> Self {
        Self::Told(why.into())
    }
}

impl From<io::Error> for Failure {
    /// Only for writing to the terminal; other errors need their circumstances told.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ReaderGone,
            _ => Self::Told(format!("cannot write the output: {error}")),
        }
    }
}
