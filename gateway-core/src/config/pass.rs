//! One pass over a configuration: from the file it starts at to the artefact and every problem.

use std::{collections::HashMap, path::Path};

use crate::{
    consumer,
    grpc::Services,
    record,
    route::{
        Records,
        rank::{self, Frozen},
    },
};

use super::{
    artefact::Artefact,
    compile::{self, Running},
    lint,
    load::{self, Loaded},
    node::Paths,
    problem::{Problem, Severity, Span},
    secrets,
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
    let running = compile::compile(&loaded, &sources, &mut problems);
    let frozen = freeze(&running, &mut problems);
    lint::lint(&loaded, &running, frozen.as_ref(), options, &mut problems);
    secrets::find(&loaded, &sources, &mut problems);
    problems.retain(|problem| !is_allowed(problem, &loaded, options));
    let sound = !problems.iter().any(Problem::is_error);
    let artefact = frozen.filter(|_| sound).and_then(|frozen| pack(&running, frozen, &mut problems));
    name_paths(&mut problems, &loaded);
    problems.sort_by_key(|problem| (problem.at, problem.severity, problem.code));
    problems.dedup();
    Compiled { artefact, features: running.globals.features, problems, sources }
}

fn freeze(running: &Running, problems: &mut Vec<Problem>) -> Option<Frozen> {
    let routes: Vec<_> = running.routes.iter().map(|route| route.ranked.clone()).collect();
    let frozen = rank::freeze(&routes).ok();
    if frozen.is_none() {
        problems.push(too_large());
    }
    frozen
}

fn too_large() -> Problem {
    Problem::error("too-large", START, "the configuration is too large when compiled")
}

fn pack(running: &Running, frozen: Frozen, problems: &mut Vec<Problem>) -> Option<Vec<u8>> {
    let lists = running.policies.iter().map(record::write).collect::<Result<Vec<_>, _>>();
    let operations = running.operations.iter().map(record::write).collect::<Result<Vec<_>, _>>();
    let all = lists.and_then(|lists| Ok((lists, record::write(&running.globals)?, operations?)));
    let (lists, globals, operations) = match all {
        Ok(written) => written,
        Err(error) => {
            problems.push(Problem::error("invalid", START, error.to_string()));
            return None;
        }
    };
    let (Ok(policies), Ok(operations), Ok((credentials, consumers)), Ok(services)) = (
        Records::freeze(&lists),
        Records::freeze(&operations),
        consumer::freeze(&running.consumers),
        Services::freeze(&running.services),
    ) else {
        problems.push(too_large());
        return None;
    };
    let artefact = Artefact {
        globals: globals.into(),
        index: frozen.index.into(),
        records: frozen.records.into(),
        policies: policies.into(),
        schemas: running.schemas.clone().into(),
        operations: operations.into(),
        services: services.into(),
        document: running.document.clone().into(),
        credentials: credentials.into(),
        consumers: consumers.into(),
    };
    Some(artefact.write())
}

const START: Span = Span { file: 0, start: 0, end: 0 };

/// Says of each problem which part of its file's tree it is about.
fn name_paths(problems: &mut [Problem], loaded: &Loaded) {
    let mut paths: HashMap<usize, Paths> = HashMap::new();
    for problem in problems.iter_mut().filter(|problem| problem.path.is_empty()) {
        let file = problem.at.file;
        let root = loaded.roots.get(file).and_then(Option::as_ref).or_else(|| loaded.documents.of_file(file));
        if let Some(root) = root {
            paths.entry(file).or_insert_with(|| Paths::of(root)).to(problem.at).clone_into(&mut problem.path);
        }
    }
}

/// Warnings, and secrets that open nothing, are allowed by the caller or by their file; what a route allows, its own
/// warnings heed.
fn is_allowed(problem: &Problem, loaded: &Loaded, options: &Options) -> bool {
    // Schemas and OpenAPI documents belong to the file that everything starts at.
    let file = loaded.allowed.get(problem.at.file).or(loaded.allowed.first()).map(Vec::as_slice).unwrap_or_default();
    let allowable = problem.severity == Severity::Warning || problem.code == secrets::CODE;
    allowable && options.allow.iter().chain(file).any(|code| code == problem.code)
}

/// What came out: an artefact unless there was an error, all problems, and the texts they point into.
#[derive(Debug)]
pub struct Compiled {
    /// What the gateway loads; `None` when any problem is an error.
    pub artefact: Option<Vec<u8>>,
    /// The cargo features that a gateway must have been built with to load it, in alphabetical order.
    pub features: Vec<String>,
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
