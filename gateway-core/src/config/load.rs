//! Puts a configuration together: the files that include each other, what each defines, and the defaults of groups.

use std::{
    collections::{BTreeSet, HashMap},
    path::{Component, Path, PathBuf},
};

use serde::Deserialize;

use super::{
    documents::Documents,
    node::{self, Entry, Node, Value},
    problem::{Problem, Span},
    protos::Descriptors,
    schema,
    source::{Files, Sources},
    written,
};

/// Everything that was written, as far as it has the right shape.
#[derive(Debug)]
pub(super) struct Loaded {
    /// What stands at the top of the files, besides the lists of what they define.
    pub settings: Defined<written::File>,
    /// In the order of the files.
    pub upstreams: Vec<Defined<written::Upstream>>,
    /// In the order of the files.
    pub consumers: Vec<Defined<written::Consumer>>,
    /// In the order of the files, with the defaults of their groups.
    pub routes: Vec<Defined<written::Route>>,
    /// What is done where no route takes a request, as a route without a name.
    pub unmatched: Option<Defined<written::Route>>,
    /// Files that policies name and that are no configuration.
    pub documents: Documents,
    /// Descriptors that routes name.
    pub descriptors: Descriptors,
    /// The tree of each file as it was written.
    pub roots: Vec<Option<Node>>,
    /// What each file allows.
    pub allowed: Vec<Vec<String>>,
    /// Something may be missing that an unreadable file defines.
    pub incomplete: bool,
}

impl Loaded {
    /// The names of all upstreams, those with problems included.
    pub fn declared_upstreams(&self) -> Vec<&str> {
        let maps = self.roots.iter().flatten().filter_map(|root| root.get("upstreams"));
        maps.flat_map(|upstreams| upstreams.entries()).map(|upstream| upstream.name.as_str()).collect()
    }

    /// The names of all consumers, those with problems included.
    pub fn declared_consumers(&self) -> BTreeSet<&str> {
        self.written_consumers().filter_map(|consumer| consumer.get("name")?.text()).collect()
    }

    /// The groups that consumers belong to, those of consumers with problems included.
    pub fn declared_groups(&self) -> BTreeSet<&str> {
        let groups = self.written_consumers().filter_map(|consumer| consumer.get("groups")).flat_map(Node::items);
        groups.filter_map(Node::text).collect()
    }

    fn written_consumers(&self) -> impl Iterator<Item = &Node> {
        self.roots.iter().flatten().filter_map(|root| root.get("consumers")).flat_map(Node::items)
    }
}

/// Something that was written, with the tree that it was read from.
#[derive(Debug)]
pub(super) struct Defined<T> {
    pub name: String,
    pub name_at: Span,
    pub node: Node,
    pub written: T,
}

/// Reads the file at `entry` and all that it includes.
pub(super) fn load(entry: &Path, files: &impl Files, sources: &mut Sources, problems: &mut Vec<Problem>) -> Loaded {
    let mut load = Load {
        files,
        sources,
        problems,
        known: HashMap::new(),
        way: Vec::new(),
        settings: Vec::new(),
        loaded: Loaded {
            settings: Defined {
                name: String::new(),
                name_at: Span { file: 0, start: 0, end: 0 },
                node: Node::new(Span { file: 0, start: 0, end: 0 }, Value::Map(Vec::new())),
                written: written::File::default(),
            },
            upstreams: Vec::new(),
            consumers: Vec::new(),
            routes: Vec::new(),
            unmatched: None,
            documents: Documents::default(),
            descriptors: Descriptors::default(),
            roots: Vec::new(),
            allowed: Vec::new(),
            incomplete: false,
        },
    };
    load.file(&tidy(entry), None, None);
    let settings = std::mem::take(&mut load.settings);
    load.loaded.settings.node.value = Value::Map(settings);
    if let Some(written) = load.decode(&load.loaded.settings.node.clone()) {
        load.loaded.settings.written = written;
    }
    load.loaded.unmatched = load.unmatched();
    load.same_names();
    let Load { files, sources, problems, mut loaded, .. } = load;
    loaded.documents = Documents::gather(&loaded.routes, files, sources, problems);
    loaded.descriptors = Descriptors::gather(&loaded.routes, files, sources, problems);
    loaded.documents.describe(&loaded.routes, &loaded.descriptors, sources, problems);
    loaded
}

struct Load<'a, F> {
    files: &'a F,
    sources: &'a mut Sources,
    problems: &'a mut Vec<Problem>,
    /// Files by path, so that each is read once.
    known: HashMap<PathBuf, usize>,
    /// The files that are being read, each including the next.
    way: Vec<PathBuf>,
    settings: Vec<Entry>,
    loaded: Loaded,
}

impl<F: Files> Load<'_, F> {
    /// Reads a file, with what those that include it say for all routes.
    fn file(&mut self, path: &Path, asked_at: Option<Span>, defaults: Option<&Node>) {
        if self.way.iter().any(|before| before == path) {
            let from = self.way.iter().position(|before| before == path).unwrap_or(0);
            let chain = self.way.iter().skip(from).map(PathBuf::as_path).chain([path]);
            let chain: Vec<String> = chain.map(|file| format!("`{}`", file.display())).collect();
            let at = asked_at.unwrap_or(Span { file: 0, start: 0, end: 0 });
            let message = format!("this includes itself: {}", chain.join(" → "));
            self.problems.push(Problem::error("include-cycle", at, message).help("remove one of the includes"));
            return;
        }
        if self.known.contains_key(path) {
            return;
        }
        let (file, outcome) = self.sources.add(path, self.files);
        self.known.insert(path.to_owned(), file);
        self.loaded.roots.push(None);
        self.loaded.allowed.push(Vec::new());
        if let Err(why) = outcome {
            let at = asked_at.unwrap_or(Span { file, start: 0, end: 0 });
            self.problems.push(Problem::error(
                "unreadable-file",
                at,
                format!("cannot read `{}`: {why}", path.display()),
            ));
            self.loaded.incomplete = true;
            return;
        }
        let text = self.sources.get(file).map(|source| source.text.clone()).unwrap_or_default();
        let tree = node::parse(file, path, &text, self.problems);
        let good = tree.as_ref().and_then(|tree| schema::check(tree, &text, self.problems));
        self.loaded.roots[file] = tree;
        let Some(root) = good else {
            self.loaded.incomplete = true;
            return;
        };
        self.way.push(path.to_owned());
        self.take(&root, file, path, defaults);
        self.way.pop();
    }

    fn take(&mut self, root: &Node, file: usize, path: &Path, inherited: Option<&Node>) {
        let defaults = inner(root.get("defaults"), inherited);
        let defaults = defaults.as_ref();
        for entry in root.entries() {
            match entry.name.as_str() {
                "include" | "$schema" | "defaults" => {}
                "allow" => self.loaded.allowed[file] = texts(&entry.value),
                "upstreams" => {
                    for upstream in entry.value.entries() {
                        if let Some(written) = self.decode(&upstream.value) {
                            let (name, name_at, node) =
                                (upstream.name.clone(), upstream.name_at, upstream.value.clone());
                            self.loaded.upstreams.push(Defined { name, name_at, node, written });
                        }
                    }
                }
                "consumers" => {
                    for node in entry.value.items() {
                        if let Some(written) = self.decode::<written::Consumer>(node) {
                            let name_at = node.get("name").map_or(node.at, |name| name.at);
                            let (name, node) = (written.name.0.clone(), node.clone());
                            self.loaded.consumers.push(Defined { name, name_at, node, written });
                        }
                    }
                }
                "routes" => self.routes(&entry.value, defaults),
                "groups" => {
                    for group in entry.value.items() {
                        if let Some(routes) = group.get("routes") {
                            self.routes(routes, inner(group.get("defaults"), defaults).as_ref());
                        }
                    }
                }
                _ => self.setting(entry),
            }
        }
        for include in root.get("include").map(Node::items).unwrap_or_default() {
            let Some(text) = include.text() else { continue };
            let folder = path.parent().unwrap_or(Path::new(""));
            self.file(&tidy(&folder.join(text)), Some(include.at), defaults);
        }
    }

    fn setting(&mut self, entry: &Entry) {
        match self.settings.iter().find(|other| other.name == entry.name) {
            None => self.settings.push(entry.clone()),
            Some(first) => {
                let message = format!("`{}` is already said in another file", entry.name);
                let problem = Problem::error("defined-twice", entry.name_at, message)
                    .related(first.name_at, "it is first said here");
                self.problems.push(problem.help("say it in one file only"));
            }
        }
    }

    fn routes(&mut self, list: &Node, defaults: Option<&Node>) {
        for node in list.items() {
            let node = match defaults {
                Some(defaults) => with_defaults(node, defaults),
                None => node.clone(),
            };
            if let Some(written) = self.decode::<written::Route>(&node) {
                let name_at = node.get("name").map_or(node.at, |name| name.at);
                self.loaded.routes.push(Defined { name: written.name.0.clone(), name_at, node, written });
            }
        }
    }

    fn unmatched(&mut self) -> Option<Defined<written::Route>> {
        let Entry { name_at, value: mut node, .. } = self.loaded.settings.node.entry("unmatched")?.clone();
        let name = Entry { name: "name".to_owned(), name_at, value: Node::new(name_at, Value::Text(String::new())) };
        if let Value::Map(entries) = &mut node.value {
            entries.push(name);
        }
        let written = self.decode(&node)?;
        Some(Defined { name: String::new(), name_at, node, written })
    }

    fn decode<T: for<'de> Deserialize<'de>>(&mut self, node: &Node) -> Option<T> {
        match T::deserialize(node) {
            Ok(written) => Some(written),
            // The schema is made from the type, so this says that a test is missing.
            Err(error) => {
                self.problems.push(Problem::error("invalid", node.head(), error.to_string()));
                None
            }
        }
    }

    fn same_names(&mut self) {
        let routes = self.loaded.routes.iter().map(|route| ("route", route.name.as_str(), route.name_at));
        let upstreams =
            self.loaded.upstreams.iter().map(|upstream| ("upstream", upstream.name.as_str(), upstream.name_at));
        let consumers =
            self.loaded.consumers.iter().map(|consumer| ("consumer", consumer.name.as_str(), consumer.name_at));
        let mut first = HashMap::new();
        for (kind, name, at) in upstreams.chain(consumers).chain(routes) {
            if let Some(before) = first.insert((kind, name), at) {
                // The first stays the first, also for a third.
                first.insert((kind, name), before);
                let message =
                    format!("there is already {} {kind} called `{name}`", if kind == "upstream" { "an" } else { "a" });
                let problem = Problem::error("same-name", at, message).related(before, "the first is here");
                self.problems.push(problem.help("give each its own name"));
            }
        }
    }
}

/// Policies of which a route has only one: two would only undo each other. That of a route replaces its group's, and that of a group
/// the one for all routes.
pub(super) const ONLY_ONCE: [&str; 8] =
    ["cache", "cors", "csrf", "error_pages", "graphql", "idempotency", "json_rpc", "security_headers"];

/// What is said for some routes, with what is said for more of them.
fn inner(own: Option<&Node>, outer: Option<&Node>) -> Option<Node> {
    match (own, outer) {
        (Some(own), Some(outer)) => Some(with_defaults(own, outer)),
        (own, outer) => own.or(outer).cloned(),
    }
}

/// A route, or what is said for several, with what is said for all around it.
fn with_defaults(route: &Node, defaults: &Node) -> Node {
    let mut whole = route.clone();
    whole.damaged |= defaults.damaged;
    let acts = ["upstream", "redirect", "respond", "publish", "serve", "mcp", "purge", "compose", "batch"]
        .iter()
        .any(|action| route.get(action).is_some());
    let Value::Map(entries) = &mut whole.value else { return whole };
    for default in defaults.entries() {
        let own = entries.iter_mut().find(|entry| entry.name == default.name);
        match (default.name.as_str(), own) {
            ("upstream", _) if acts => {}
            // Nothing is forwarded by a route that acts otherwise, so what only forwarding needs is not for it.
            ("host_header" | "timeouts" | "websocket", None) if acts && route.get("upstream").is_none() => {}
            (_, None) => entries.push(default.clone()),
            (field @ ("timeouts" | "limits" | "headers" | "query" | "cookies"), Some(own)) => {
                let mine: Vec<String> = own.value.entries().iter().map(|entry| entry.name.clone()).collect();
                // Only the names of fields are the same in any case (RFC 9110 §5.1).
                let same = |a: &str, b: &str| a == b || field == "headers" && a.eq_ignore_ascii_case(b);
                if let Value::Map(own) = &mut own.value.value {
                    let missing = default.value.entries().iter();
                    own.extend(missing.filter(|entry| !mine.iter().any(|mine| same(mine, &entry.name))).cloned());
                }
            }
            ("policies" | "allow", Some(own)) => {
                let replaced = |node: &Node| {
                    let single = ONLY_ONCE.iter().find(|name| node.get(name).is_some());
                    single.is_some_and(|name| own.value.items().iter().any(|own| own.get(name).is_some()))
                };
                let shared = default.value.items().iter().filter(|node| !replaced(node));
                let all: Vec<Node> = shared.chain(own.value.items()).cloned().collect();
                own.value.value = Value::List(all);
            }
            (_, Some(_)) => {}
        }
    }
    whole
}

fn texts(node: &Node) -> Vec<String> {
    node.items().iter().filter_map(Node::text).map(str::to_owned).collect()
}

/// The path without `.` and `x/..`, so that one file has one path.
pub(super) fn tidy(path: &Path) -> PathBuf {
    let mut tidy = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if matches!(tidy.components().next_back(), Some(Component::Normal(_))) => {
                tidy.pop();
            }
            Component::ParentDir | Component::Prefix(_) | Component::RootDir | Component::Normal(_) => {
                tidy.push(component)
            }
        }
    }
    tidy
}
