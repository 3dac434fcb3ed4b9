//! Files that policies name and that are no configuration: schemas and OpenAPI documents, read together with all that they
//! refer to, before anything is compiled.

use std::{
    collections::{BTreeMap, VecDeque},
    path::{Path, PathBuf},
};

use super::{
    compile::graphql::is_graphql,
    load::{Defined, tidy},
    node::{self, Node, Value},
    problem::{Problem, Span},
    protos::{Descriptors, describe},
    source::{Files, Sources},
    written,
};

/// Every file that was named, by its path.
#[derive(Debug, Default)]
pub(super) struct Documents(BTreeMap<PathBuf, Document>);

/// One file, as far as it could be read.
#[derive(Debug)]
pub(super) struct Document {
    /// Its number.
    pub file: usize,
    /// What stands in it; `None` when it is not there or has errors of its own.
    pub root: Option<Node>,
    /// Why it could not be read.
    pub why: Option<String>,
}

impl Documents {
    /// A file by its path.
    pub fn get(&self, path: &Path) -> Option<&Document> {
        self.0.get(path)
    }

    /// The tree of the file with this number.
    pub fn of_file(&self, file: usize) -> Option<&Node> {
        self.0.values().find(|document| document.file == file).and_then(|document| document.root.as_ref())
    }

    /// Reads what the policies of these routes name.
    pub fn gather(
        routes: &[Defined<written::Route>],
        files: &impl Files,
        sources: &mut Sources,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let mut documents = Self::default();
        let mut wanted = VecDeque::new();
        for policy in routes.iter().filter_map(|route| route.node.get("policies")).flat_map(Node::items) {
            if let Some(policy) = policy.get("validate") {
                let remotes = policy.get("remotes").map(Node::entries).unwrap_or_default();
                wanted.extend(
                    remotes.iter().filter_map(|remote| Some((remote.value.text()?.to_owned(), remote.value.at))),
                );
                references(policy, &mut wanted);
            }
            if let Some(params) = policy.get("json_rpc").and_then(|policy| policy.get("params")) {
                references(params, &mut wanted);
            }
            for kind in ["openapi", "mock"] {
                if let Some(document) = policy.get(kind).and_then(|policy| policy.get("document")) {
                    described_by(document, &mut wanted);
                }
            }
        }
        for tools in routes.iter().filter_map(|route| route.node.get("mcp")?.get("tools")).flat_map(Node::items) {
            if let Some(document) = tools.get("openapi") {
                described_by(document, &mut wanted);
            }
        }
        for route in routes.iter().map(|route| &route.node) {
            let policies = route.get("policies").map(Node::items).unwrap_or_default();
            let registered =
                policies.iter().filter_map(|policy| policy.get("graphql")?.get("persisted")?.get("documents"));
            let named =
                registered.flat_map(Node::items).chain(route.get("graphql").and_then(|query| query.get("file")));
            wanted.extend(named.filter_map(|file| Some((file.text()?.to_owned(), file.at))));
        }
        while let Some((reference, at)) = wanted.pop_front() {
            let embedded = METASCHEMAS.iter().find(|(address, _)| *address == reference.as_str());
            let path = match embedded {
                Some((address, _)) => PathBuf::from(address),
                None => beside(sources, at, &reference),
            };
            if documents.0.contains_key(&path) {
                continue;
            }
            let (file, outcome) = match embedded {
                Some((_, text)) => (sources.add_text(&path, (*text).to_owned()), Ok(())),
                None => sources.add(&path, files),
            };
            let text = sources.get(file).map(|source| source.text.clone()).unwrap_or_default();
            let root = match (&outcome, embedded) {
                (Ok(()), Some(_)) => node::parse(file, Path::new("metaschema.json"), &text, problems),
                // Read by those who name them.
                (Ok(()), None) if is_graphql(&path) => None,
                (Ok(()), None) => node::parse(file, &path, &text, problems),
                (Err(_), _) => None,
            };
            match (&root, embedded) {
                (Some(root), None) => references(root, &mut wanted),
                // They refer to each other.
                (_, Some(_)) => wanted.extend(METASCHEMAS.iter().map(|(address, _)| ((*address).to_owned(), at))),
                (None, None) => {}
            }
            documents.0.insert(path, Document { file, root, why: outcome.err() });
        }
        documents
    }

    /// Writes the documents that services of gRPC do not have, for those who make tools of them.
    pub fn describe(
        &mut self,
        routes: &[Defined<written::Route>],
        descriptors: &Descriptors,
        sources: &mut Sources,
        problems: &mut Vec<Problem>,
    ) {
        let named = routes.iter().filter_map(|route| route.node.get("mcp")?.get("tools")).flat_map(Node::items);
        let named: Vec<&str> = named.filter_map(|tools| tools.get("grpc")?.text()).collect();
        for route in routes.iter().filter(|route| named.contains(&route.name.as_str())) {
            let path = described(&route.name);
            let (Some(grpc), Some(node)) = (&route.written.grpc, route.node.get("grpc")) else { continue };
            let Some(known) = descriptors.get(node.at).filter(|_| !self.0.contains_key(&path)) else { continue };
            let names = grpc.services.as_ref().map(|names| names.0.as_slice());
            let json = grpc.json.clone().unwrap_or_default();
            let original = json.names == Some(written::GrpcNames::Original);
            let text = describe::document(known, names, original).to_string();
            let file = sources.add_text(&path, text.clone());
            let root = node::parse(file, &path, &text, problems);
            self.0.insert(path, Document { file, root, why: None });
        }
    }
}

/// Where the document stands that is written of a route's services.
pub(super) fn described(route: &str) -> PathBuf {
    PathBuf::from(format!("grpc of {route}.json"))
}

/// The path of a file that is named at a place in another.
pub(super) fn beside(sources: &Sources, at: Span, reference: &str) -> PathBuf {
    let folder = sources.get(at.file).and_then(|source| source.path.parent()).unwrap_or(Path::new(""));
    tidy(&folder.join(reference))
}

/// The file of an OpenAPI document; those that it refers to where it stands in the configuration itself.
fn described_by(document: &Node, wanted: &mut VecDeque<(String, Span)>) {
    match document.text() {
        Some(path) => wanted.push_back((path.to_owned(), document.at)),
        None => references(document, wanted),
    }
}

/// The files that a tree refers to.
fn references(node: &Node, wanted: &mut VecDeque<(String, Span)>) {
    match &node.value {
        Value::Map(entries) => {
            for entry in entries {
                if let ("$ref" | "$dynamicRef", Some(reference)) = (entry.name.as_str(), entry.value.text()) {
                    let file = reference.split('#').next().unwrap_or_default();
                    let elsewhere = file.split_once(':').is_some_and(|(scheme, _)| !scheme.contains(['/', '.']));
                    if !file.is_empty() && (!elsewhere || METASCHEMAS.iter().any(|(address, _)| *address == file)) {
                        wanted.push_back((file.to_owned(), entry.value.at));
                    }
                }
                references(&entry.value, wanted);
            }
        }
        Value::List(items) => items.iter().for_each(|item| references(item, wanted)),
        Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::Text(_) => {}
    }
}

/// What everybody may refer to without having it: the schemas of schemas (json-schema.org, BSD-3-Clause or AFL-3.0).
pub(super) const METASCHEMAS: &[(&str, &str)] = &[
    ("http://json-schema.org/draft-07/schema", include_str!("metaschemas/draft-07.json")),
    ("https://json-schema.org/draft/2020-12/schema", include_str!("metaschemas/2020-12.json")),
    ("https://json-schema.org/draft/2020-12/meta/core", include_str!("metaschemas/2020-12-core.json")),
    ("https://json-schema.org/draft/2020-12/meta/applicator", include_str!("metaschemas/2020-12-applicator.json")),
    ("https://json-schema.org/draft/2020-12/meta/unevaluated", include_str!("metaschemas/2020-12-unevaluated.json")),
    ("https://json-schema.org/draft/2020-12/meta/validation", include_str!("metaschemas/2020-12-validation.json")),
    ("https://json-schema.org/draft/2020-12/meta/meta-data", include_str!("metaschemas/2020-12-meta-data.json")),
    (
        "https://json-schema.org/draft/2020-12/meta/format-annotation",
        include_str!("metaschemas/2020-12-format-annotation.json"),
    ),
    ("https://json-schema.org/draft/2020-12/meta/content", include_str!("metaschemas/2020-12-content.json")),
];
