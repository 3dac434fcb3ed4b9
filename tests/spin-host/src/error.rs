//! Everything that can keep the host from starting or from reloading, each with its name.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the application cannot run.
#[derive(Debug)]
pub enum Error {
    /// The manifest cannot be read or is not one.
    Manifest {
        /// The manifest's path.
        path: PathBuf,
        /// What is wrong, with the place where the parser knows it.
        problem: String,
    },
    /// The manifest asks for something that Spin has and this host has not.
    Unsupported(String),
    /// A variable's value cannot be found or made.
    Variable {
        /// The variable.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A pattern in `allowed_outbound_hosts` cannot be understood.
    AllowedHost {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A file of the component cannot be put in place.
    File {
        /// The path on this machine.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The component cannot be loaded: it is missing, is no component, or imports what this host does not offer.
    Component {
        /// The component's file.
        path: PathBuf,
        /// Wasmtime's words.
        problem: String,
    },
    /// Wasmtime cannot start.
    Engine(String),
    /// The key-value database cannot be opened.
    KeyValue {
        /// The database's file.
        path: PathBuf,
        /// SQLite's words.
        problem: String,
    },
    /// The certificates of `--ca-roots` cannot be read.
    Certificates {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The address cannot be listened on.
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// The system's words.
        problem: std::io::Error,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Manifest { path, problem } => write!(f, "{}: {problem}", path.display()),
            Error::Unsupported(what) => write!(f, "this host does not support {what}; Spin itself does"),
            Error::Variable { name, problem } => write!(f, "variable `{name}`: {problem}"),
            Error::AllowedHost { pattern, problem } => write!(f, "allowed_outbound_hosts: `{pattern}`: {problem}"),
            Error::File { path, problem } => write!(f, "file {}: {problem}", path.display()),
            Error::Component { path, problem } => write!(f, "component {}: {problem}", path.display()),
            Error::Engine(problem) => write!(f, "wasmtime: {problem}"),
            Error::KeyValue { path, problem } => write!(f, "key-value store {}: {problem}", path.display()),
            Error::Certificates { path, problem } => write!(f, "certificates {}: {problem}", path.display()),
            Error::Listen { address, problem } => write!(f, "cannot listen on {address}: {problem}"),
        }
    }
}

impl std::error::Error for Error {}
