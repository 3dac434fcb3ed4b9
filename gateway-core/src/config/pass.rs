//! One pass over a configuration: from the file it starts at to the artefact and every problem.

use std::path::Path;

use super::{
    load::{self, Loaded},
    problem::{Problem, Severity},
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
    let loaded = load::load(entry, files, &mut sources, &mut problems);
    problems.retain(|problem| !is_allowed(problem, &loaded, options));
    for problem in problems.iter_mut().filter(|problem| problem.path.is_empty()) {
        if let Some(Some(root)) = loaded.roots.get(problem.at.file) {
            problem.path = root.path_to(problem.at);
        }
    }
    problems.sort_by_key(|problem| (problem.at, problem.severity, problem.code));
    Compiled { artefact: None, problems, sources }
}

/// Warnings are allowed by the caller or by their file; what a route allows, the route's own warnings heed.
fn is_allowed(problem: &Problem, loaded: &Loaded, options: &Options) -> bool {
    let file = loaded.allowed.get(problem.at.file).map(Vec::as_slice).unwrap_or_default();
    problem.severity == Severity::Warning && options.allow.iter().chain(file).any(|code| code == problem.code)
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
        Self { allow: Vec::new(), runtimes: vec![Runtime::Workers, Runtime::Spin] }
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
