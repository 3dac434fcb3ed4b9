//! One pass over a configuration: from the file it starts at to the artefact and every problem.

use std::path::Path;

use super::{
    problem::Problem,
    source::{Files, Sources},
};

/// Compiles the configuration that starts at `entry`, for every runtime.
pub fn compile(entry: &Path, files: &impl Files) -> Compiled {
    compile_with(entry, files, &Options::default())
}

/// Compiles the configuration that starts at `entry`, as `options` say.
pub fn compile_with(entry: &Path, files: &impl Files, options: &Options) -> Compiled {
    let mut sources = Sources::default();
    let mut problems = Vec::new();
    if let Err(problem) = sources.read(entry, files) {
        problems.push(problem);
    }
    let _ = options;
    Compiled {
        artefact: None,
        problems,
        sources,
    }
}

/// What came out: an artefact unless there was an error, all problems, and the texts they point into.
#[derive(Debug)]
pub struct Compiled {
    /// What the gateway loads; `None` when any problem is an error.
    pub artefact: Option<Vec<u8>>,
    /// Every problem, in the order of the files and of the places in them.
    pub problems: Vec<Problem>,
    /// Every file that was asked for, so that a watcher knows them and a reader sees the excerpts.
    pub sources: Sources,
}

/// What the caller may choose.
#[derive(Debug, Clone)]
pub struct Options {
    /// Codes of warnings that are fine everywhere.
    pub allow: Vec<String>,
    /// Where the gateway will run: what one of these cannot do is a warning.
    pub runtimes: Vec<Runtime>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            runtimes: vec![Runtime::Workers, Runtime::Spin],
        }
    }
}

/// A place where Postern runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runtime {
    /// Cloudflare Workers.
    Workers,
    /// Spin.
    Spin,
}
