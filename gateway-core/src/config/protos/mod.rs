//! Descriptors of gRPC services: files that hold them, and `.proto` files from which they are compiled, read before anything
//! of the configuration is compiled.

pub(super) mod describe;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    path::{Path, PathBuf},
};

use miette::Diagnostic;
use prost_reflect::DescriptorPool;
use protox::{
    Compiler,
    file::{ChainFileResolver, File, FileResolver, GoogleFileResolver},
};

use super::{
    documents::beside,
    load::{Defined, tidy},
    node::Node,
    problem::{Problem, Span},
    source::{Files, Sources},
    written,
};

/// What the `grpc` of routes name, by where each stands.
#[derive(Debug, Default)]
pub(super) struct Descriptors(BTreeMap<Span, Known>);

/// Everything that one of them names.
#[derive(Debug)]
pub(super) struct Known {
    /// All files.
    pub pool: DescriptorPool,
    /// The names of the files whose services are meant.
    pub own: Vec<String>,
    /// The texts of `.proto` files by their names, as numbered by [`Sources`].
    pub texts: HashMap<String, usize>,
}

impl Descriptors {
    /// What is named at a place; `None` where it could not be read, which has been reported.
    pub fn get(&self, at: Span) -> Option<&Known> {
        self.0.get(&at)
    }

    /// Reads what these routes name.
    pub fn gather(
        routes: &[Defined<written::Route>],
        files: &impl Files,
        sources: &mut Sources,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let mut descriptors = Self::default();
        for node in routes.iter().filter_map(|route| route.node.get("grpc")) {
            if descriptors.0.contains_key(&node.at) {
                continue;
            }
            let mut gather = Gather { node, files, sources, problems, texts: HashMap::new() };
            let known = match (node.get("protos"), node.get("descriptors")) {
                (Some(protos), _) => gather.compile(protos),
                (None, Some(sets)) => gather.read(sets),
                (None, None) => None,
            };
            descriptors.0.extend(known.map(|known| (node.at, known)));
        }
        descriptors
    }
}

struct Gather<'a, F> {
    node: &'a Node,
    files: &'a F,
    sources: &'a mut Sources,
    problems: &'a mut Vec<Problem>,
    texts: HashMap<String, usize>,
}

impl<F: Files> Gather<'_, F> {
    fn read(&mut self, sets: &Node) -> Option<Known> {
        let mut pool = DescriptorPool::new();
        for set in sets.items() {
            let path = beside(self.sources, set.at, set.text()?);
            // A watcher wants to know of it, and there is no text to show.
            self.sources.add_text(&path, String::new());
            let bytes = match self.files.read_bytes(&path) {
                Ok(bytes) => bytes,
                Err(why) => {
                    self.unreadable(set.at, &path, &why);
                    return None;
                }
            };
            if let Err(error) = pool.decode_file_descriptor_set(bytes.as_slice()) {
                let message = format!("`{}` cannot be used: {error}", path.display());
                let problem = Problem::error("bad-descriptors", set.at, message);
                let help = "it must hold a FileDescriptorSet with everything that is imported: `buf build -o`, or `protoc \
                            --include_imports -o`";
                self.problems.push(problem.help(help));
                return None;
            }
        }
        let own = pool.files().map(|file| file.name().to_owned()).collect();
        Some(Known { pool, own, texts: HashMap::new() })
    }

    fn compile(&mut self, protos: &Node) -> Option<Known> {
        let paths: Vec<(PathBuf, Span)> = protos
            .items()
            .iter()
            .filter_map(|proto| Some((beside(self.sources, proto.at, proto.text()?), proto.at)))
            .collect();
        let folders: Vec<PathBuf> = match self.node.get("imports") {
            Some(imports) => imports
                .items()
                .iter()
                .filter_map(|folder| Some(beside(self.sources, folder.at, folder.text()?)))
                .collect(),
            None => paths.iter().map(|(path, _)| path.parent().unwrap_or(Path::new("")).to_owned()).collect(),
        };
        let mut own = Vec::new();
        for (path, at) in &paths {
            match folders.iter().find_map(|folder| path.strip_prefix(folder).ok()) {
                Some(name) => own.push((name.to_string_lossy().replace('\\', "/"), *at)),
                None => {
                    let message = format!("`{}` is in none of the folders of `imports`", path.display());
                    self.problems.push(Problem::error("bad-proto", *at, message));
                    return None;
                }
            }
        }
        let given = self.closure(&own, &folders)?;
        let mut resolver = ChainFileResolver::new();
        resolver.add(Given(given));
        resolver.add(GoogleFileResolver::new());
        let mut compiler = Compiler::with_file_resolver(resolver);
        for (name, at) in &own {
            if let Err(error) = compiler.open_file(name) {
                self.wrong(&error, *at);
                return None;
            }
        }
        let own = own.into_iter().map(|(name, _)| name).collect();
        Some(Known { pool: compiler.descriptor_pool(), own, texts: std::mem::take(&mut self.texts) })
    }

    /// These files and all that they import, by name, but for those that the compiler knows.
    fn closure(&mut self, own: &[(String, Span)], folders: &[PathBuf]) -> Option<HashMap<String, String>> {
        let mut given = HashMap::new();
        let mut wanted: VecDeque<(String, Span)> = own.iter().cloned().collect();
        while let Some((name, at)) = wanted.pop_front() {
            if given.contains_key(&name) {
                continue;
            }
            let is_own = own.iter().any(|(known, _)| *known == name);
            let found = folders.iter().find_map(|folder| {
                let path = tidy(&folder.join(&name));
                self.files.read(&path).ok().map(|text| (path, text))
            });
            let text = match (found, GOOGLE.iter().find(|(known, _)| *known == name)) {
                (Some((path, text)), _) => {
                    self.texts.insert(name.clone(), self.sources.add_text(&path, text.clone()));
                    text
                }
                (None, Some((_, text))) => (*text).to_owned(),
                (None, None) if is_own => {
                    let path = folders.first().map_or(PathBuf::from(&name), |folder| tidy(&folder.join(&name)));
                    let why = self.files.read(&path).err().unwrap_or_else(|| "there is no such file".to_owned());
                    self.unreadable(at, &path, &why);
                    return None;
                }
                // The compiler knows it, or says where it is asked for.
                (None, None) => continue,
            };
            match File::from_source(&name, &text) {
                Ok(file) => {
                    let imports = &file.file_descriptor_proto().dependency;
                    wanted.extend(imports.iter().map(|import| (import.clone(), at)));
                }
                Err(error) => {
                    self.wrong(&error, at);
                    return None;
                }
            }
            given.insert(name, text);
        }
        Some(given)
    }

    fn wrong(&mut self, error: &protox::Error, named_at: Span) {
        let label = error.labels().and_then(|mut labels| labels.next());
        let place = error.file().and_then(|file| self.texts.get(file)).map(|file| {
            let (start, length) = label.map_or((0, 1), |label| (label.offset(), label.len()));
            Span { file: *file, start, end: start + length }
        });
        let message = match (place, error.file()) {
            (None, Some(file)) => format!("`{file}`: {error}"),
            _ => error.to_string(),
        };
        let problem = Problem::error("bad-proto", place.unwrap_or(named_at), message);
        let problem = problem.maybe_help(error.help().map(|help| help.to_string()));
        let problem = if place.is_some() { problem.related(named_at, "it is needed here") } else { problem };
        self.problems.push(problem);
    }

    fn unreadable(&mut self, at: Span, path: &Path, why: &str) {
        let message = format!("cannot read `{}`: {why}", path.display());
        self.problems.push(Problem::error("unreadable-file", at, message));
    }
}

struct Given(HashMap<String, String>);

impl FileResolver for Given {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        let text = self.0.get(name).ok_or_else(|| protox::Error::file_not_found(name))?;
        File::from_source(name, text)
    }
}

/// What services import from Google without having it, besides `google/protobuf/…`.
const GOOGLE: [(&str, &str); 5] = [
    ("google/api/annotations.proto", include_str!("annotations.proto")),
    ("google/api/http.proto", include_str!("http.proto")),
    ("google/api/httpbody.proto", include_str!("httpbody.proto")),
    ("google/rpc/status.proto", include_str!("status.proto")),
    (ERROR_DETAILS, include_str!("error_details.proto")),
];

const ERROR_DETAILS: &str = "google/rpc/error_details.proto";

/// The same descriptors with the messages in which services tell more of errors: nobody imports them, and everybody sends them.
pub(super) fn with_error_details(mut pool: DescriptorPool) -> DescriptorPool {
    let given = GOOGLE.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    let mut resolver = ChainFileResolver::new();
    resolver.add(Given(given));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(resolver);
    if compiler.open_file(ERROR_DETAILS).is_ok() {
        // One by one: a file that is there in another edition stays, and what does not fit it is left out.
        for file in compiler.descriptor_pool().file_descriptor_protos() {
            if pool.get_file_by_name(file.name()).is_none() {
                let _ = pool.add_file_descriptor_proto(file.clone());
            }
        }
    }
    pool
}
