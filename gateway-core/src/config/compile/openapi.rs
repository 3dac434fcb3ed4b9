//! OpenAPI documents (3.0 and 3.1): from operations to what is checked.

use std::borrow::Cow;

use super::super::{
    documents,
    node::{Entry, Node, Value},
    problem::{Problem, Span},
    schemas::{Draft, Reading, Way},
    written,
};
use super::{
    RouteCompiler,
    validation::{MOST_BYTES, MOST_ERRORS},
};
use crate::{
    http::Statuses,
    path,
    policy::{
        OpenApi,
        openapi::{Path, Responses, Segment, Unknown},
    },
    validation::{
        Operation, Options, ResponseRules, Rules,
        content::{Body, Content, FORM, Form, is_json},
        parameter::{Parameter, Place, Style},
    },
};

impl<'a> RouteCompiler<'_, 'a> {
    pub(super) fn openapi(&mut self, written: &written::OpenApiPolicy, node: &'a Node) -> Option<OpenApi> {
        let named = node.get("document")?;
        let root = self.document(named)?;
        let draft = self.version(root, named)?;
        let responses = written.responses.map(|responses| match responses {
            written::ResponseHandling::Report => Responses::Report,
            written::ResponseHandling::Refuse => Responses::Refuse,
        });
        let reading = Reading { draft, formats: written.formats == Some(written::Formats::Assert), way: Way::Request };
        self.all.schemas.document(root, reading, self.all.problems);
        self.unauthenticated(root, named.at);
        let base = match &written.base_path {
            Some(base) => base.0.trim_end_matches('/').to_owned(),
            None => self.server(root),
        };
        let key = (root.at, reading, responses.is_some());
        let paths = match self.all.described.get(&key).cloned() {
            Some(paths) => paths,
            None => {
                let paths = self.paths_of(root, reading, responses.is_some());
                self.all.described.insert(key, paths.clone());
                paths
            }
        };
        self.all.features.insert("validation");
        Some(OpenApi {
            base: path::normalise(&base).map_or(base.clone(), Cow::into_owned),
            paths,
            unknown: match written.unknown {
                None | Some(written::Unknown::Refuse) => Unknown::Refuse,
                Some(written::Unknown::Pass) => Unknown::Pass,
            },
            options: Options {
                status: written.status.map_or(400, |status| status.0),
                most: usize::from(written.errors.unwrap_or(MOST_ERRORS)),
                bytes: written.limit.map_or(MOST_BYTES, |size| size.bytes),
                closed_query: written.unknown_query == Some(written::Unknown::Refuse),
                duplicates: written.duplicate_keys == Some(written::DuplicateKeys::Allow),
            },
            responses,
        })
    }

    pub(super) fn document(&mut self, named: &'a Node) -> Option<&'a Node> {
        let Some(file) = named.text() else { return Some(named) };
        let path = documents::beside(self.all.sources, named.at, file);
        let document = self.all.loaded.documents.get(&path)?;
        if let Some(why) = &document.why {
            let message = format!("cannot read `{}`: {why}", path.display());
            self.all.problems.push(Problem::error("unreadable-file", named.at, message));
        }
        document.root.as_ref()
    }

    pub(super) fn version(&mut self, root: &'a Node, named: &Node) -> Option<Draft> {
        let at =
            root.get("openapi").map_or(if root.entries().is_empty() { named.at } else { root.head() }, |node| node.at);
        let version = root.get("openapi").map(|node| self.all.sources.text(node.at).trim_matches(['"', '\'']));
        let problem = match version {
            Some(version) if version == "3.0" || version.starts_with("3.0.") => return Some(Draft::OpenApi30),
            Some(version) if version == "3.1" || version.starts_with("3.1.") => return Some(Draft::Draft202012),
            Some(version) => bad(at, format!("OpenAPI `{version}` is not known here")).help("3.0 and 3.1 are"),
            None if root.get("swagger").is_some() => {
                bad(at, "this is Swagger 2.0, which is not known here").help("convert it to OpenAPI 3")
            }
            None => bad(at, "this is no OpenAPI document: it has no `openapi`"),
        };
        self.all.problems.push(problem);
        None
    }

    /// The path of the first server; its variables have their defaults.
    pub(super) fn server(&mut self, root: &'a Node) -> String {
        let Some(server) = root.get("servers").and_then(|servers| servers.items().first()) else {
            return String::new();
        };
        let mut url = server.get("url").and_then(Node::text).unwrap_or_default().to_owned();
        for variable in server.get("variables").map(Node::entries).unwrap_or_default() {
            if let Some(value) = variable.value.get("default").and_then(Node::text) {
                url = url.replace(&format!("{{{}}}", variable.name), value);
            }
        }
        let path = match url.split_once("://") {
            Some((_, rest)) => rest.find('/').map_or("", |slash| &rest[slash..]),
            None => url.as_str(),
        };
        let path = path.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
        if path.contains(['{', '}']) || !path.is_empty() && !path.starts_with('/') {
            let at = server.get("url").map_or(server.at, |url| url.at);
            let problem = bad(at, format!("`{path}` is no path that requests could begin with"));
            self.all
                .problems
                .push(problem.help("say in the policy what stands before the document's paths: `base_path: /v1`"));
            return String::new();
        }
        path.to_owned()
    }

    fn paths_of(&mut self, root: &'a Node, reading: Reading, responses: bool) -> Vec<Path> {
        let mut paths: Vec<(Path, Span)> = Vec::new();
        let Some(written) = root.get("paths") else {
            if reading.draft == Draft::OpenApi30 {
                self.all.problems.push(bad(root.head(), "the document has no `paths`"));
            }
            return Vec::new();
        };
        for entry in written.entries().iter().filter(|entry| !entry.name.starts_with("x-")) {
            let Some(segments) = self.segments(entry) else { continue };
            let Some(item) = self.follow(&entry.value, reading) else { continue };
            let mut operations = Vec::new();
            for operation in item.entries().iter().filter(|entry| METHODS.contains(&entry.name.as_str())) {
                let compiled = self.operation(operation, item, &segments, reading, responses);
                let number = u32::try_from(self.all.operations.len()).unwrap_or(u32::MAX);
                self.all.operations.push(compiled);
                operations.push((operation.name.to_ascii_uppercase(), number));
            }
            let same = |other: &Path| {
                other.segments.len() == segments.len()
                    && other.segments.iter().zip(&segments).all(|pair| match pair {
                        (Segment::Literal(one), Segment::Literal(two)) => one == two,
                        (
                            Segment::Parameter { before, after, .. },
                            Segment::Parameter { before: other_before, after: other_after, .. },
                        ) => before == other_before && after == other_after,
                        (Segment::Literal(_), Segment::Parameter { .. })
                        | (Segment::Parameter { .. }, Segment::Literal(_)) => false,
                    })
            };
            if let Some((_, at)) = paths.iter().find(|(other, _)| same(other)) {
                let problem = bad(entry.name_at, format!("`{}` is the same path as another", entry.name));
                self.all.problems.push(problem.related(*at, "the other is here"));
            }
            paths.push((Path { segments, operations }, entry.name_at));
        }
        ranked(paths)
    }

    pub(super) fn segments(&mut self, entry: &'a Entry) -> Option<Vec<Segment>> {
        if !entry.name.starts_with('/') {
            self.all.problems.push(bad(entry.name_at, format!("the path `{}` does not begin with `/`", entry.name)));
            return None;
        }
        let mut segments = Vec::new();
        for segment in entry.name.split('/').skip(1) {
            let Some((before, rest)) = segment.split_once('{') else {
                let written = format!("/{segment}");
                let normal = path::normalise(&written).map_or(segment.to_owned(), |path| path[1..].to_owned());
                segments.push(Segment::Literal(normal));
                continue;
            };
            match rest.split_once('}') {
                Some((name, after)) if !name.is_empty() && !after.contains(['{', '}']) && !before.contains('}') => {
                    let (before, name, after) = (before.to_owned(), name.to_owned(), after.to_owned());
                    segments.push(Segment::Parameter { before, name, after });
                }
                _ => {
                    let message = format!("`{segment}` has more than one parameter, or a brace without another");
                    let problem = bad(entry.name_at, message);
                    self.all.problems.push(problem.help("each segment of a path has one parameter at most"));
                    return None;
                }
            }
        }
        Some(segments)
    }

    fn operation(
        &mut self,
        entry: &'a Entry,
        item: &'a Node,
        segments: &[Segment],
        reading: Reading,
        responses: bool,
    ) -> Operation {
        let operation = &entry.value;
        let mut parameters: Vec<Parameter> = Vec::new();
        // Those of the operation take the place of those of its path.
        for list in [operation.get("parameters"), item.get("parameters")].into_iter().flatten() {
            let mut own: Vec<Parameter> = Vec::new();
            for node in list.items() {
                let Some((parameter, at)) = self.parameter(node, segments, reading) else { continue };
                let same = |other: &Parameter| other.place == parameter.place && other.name == parameter.name;
                if own.iter().any(same) {
                    let message =
                        format!("there are two parameters `{}` in the {}", parameter.name, parameter.place.name());
                    self.all.problems.push(bad(at, message));
                } else if !parameters.iter().any(same) {
                    own.push(parameter);
                }
            }
            parameters.append(&mut own);
        }
        for segment in segments {
            if let Segment::Parameter { name, .. } = segment
                && !parameters.iter().any(|parameter| parameter.place == Place::Path && parameter.name == *name)
            {
                let message =
                    format!("the parameter `{name}` of the path is not described, so nothing is checked of it");
                self.all.problems.push(Problem::warning("unchecked-content", entry.name_at, message));
            }
        }
        let body = operation.get("requestBody").and_then(|node| self.follow(node, reading)).and_then(|node| {
            let content = self.content(node.get("content"), node, reading)?;
            let required = node.get("required").is_some_and(|node| node.value == Value::Bool(true));
            Some(Body { required, content })
        });
        let responses = if responses { self.responses(operation, reading) } else { Vec::new() };
        Operation { rules: Rules { parameters, body }, responses }
    }

    pub(super) fn parameter(
        &mut self,
        node: &'a Node,
        segments: &[Segment],
        reading: Reading,
    ) -> Option<(Parameter, Span)> {
        let node = self.follow(node, reading)?;
        let text = |name: &str| node.get(name).and_then(Node::text);
        let (Some(name), Some(place)) = (text("name"), text("in")) else {
            self.all.problems.push(bad(node.head(), "a parameter needs `name` and `in`"));
            return None;
        };
        let at = node.get("in").map_or(node.at, |node| node.at);
        let place = match place {
            "path" => Place::Path,
            "query" => Place::Query,
            "header" => Place::Header,
            "cookie" => Place::Cookie,
            other => {
                let problem = bad(at, format!("there are no parameters in the `{other}`"));
                self.all.problems.push(problem.help("write `path`, `query`, `header` or `cookie`"));
                return None;
            }
        };
        let in_path = |segment: &Segment| matches!(segment, Segment::Parameter { name: known, .. } if known == name);
        if place == Place::Path && !segments.iter().any(in_path) {
            self.all.problems.push(bad(at, format!("the path has no parameter `{name}`")));
            return None;
        }
        // OpenAPI 3.1 §4.8.12.2: these are described elsewhere.
        if place == Place::Header
            && ["accept", "content-type", "authorization"].contains(&name.to_ascii_lowercase().as_str())
        {
            return None;
        }
        let says = |field: &str| node.get(field).map(|node| node.value == Value::Bool(true));
        let required = says("required").unwrap_or(false);
        if place == Place::Path && !required {
            let problem = bad(node.head(), format!("the parameter `{name}` is in the path, so it is required"));
            self.all.problems.push(problem.help("add `required: true`"));
        }
        let name = if place == Place::Header { name.to_ascii_lowercase() } else { name.to_owned() };
        let mut parameter = self.described(node, &name, place, reading)?;
        parameter.required = required || place == Place::Path;
        Some((parameter, at))
    }

    /// What a parameter or a header field is like: by `schema`, or by the one media type of `content`.
    fn described(&mut self, node: &'a Node, name: &str, place: Place, reading: Reading) -> Option<Parameter> {
        let name = name.to_owned();
        if let Some(content) = node.get("content") {
            let [only] = content.entries() else {
                self.all.problems.push(bad(content.at, "the content of a parameter has one media type"));
                return None;
            };
            if !is_json(&only.name.to_ascii_lowercase()) {
                let message = format!("parameters of the type `{}` are not checked", only.name);
                self.all.problems.push(Problem::warning("unchecked-content", only.name_at, message));
                return None;
            }
            let schema = only.value.get("schema")?;
            let shape = self.all.schemas.shape(schema, reading);
            let schema = self.all.schemas.schema(schema, reading, self.all.problems);
            return Some(Parameter { name, place, required: false, style: Style::Json, explode: false, shape, schema });
        }
        let Some(schema) = node.get("schema") else {
            self.all.problems.push(bad(node.head(), format!("`{name}` needs a `schema` or a `content`")));
            return None;
        };
        let shape = self.all.schemas.shape(schema, reading);
        let style = node.get("style").and_then(Node::text);
        let explode = node.get("explode").map(|node| node.value == Value::Bool(true));
        let at = node.get("style").map_or(node.head(), |node| node.at);
        let (style, explode) = self.style(place, style, explode, shape.kinds, at)?;
        let schema = self.all.schemas.schema(schema, reading, self.all.problems);
        Some(Parameter { name, place, required: false, style, explode, shape, schema })
    }

    fn content(&mut self, content: Option<&'a Node>, of: &Node, reading: Reading) -> Option<Vec<Content>> {
        let Some(content) = content else {
            self.all.problems.push(bad(of.head(), "`content` is missing"));
            return None;
        };
        let mut kinds = Vec::new();
        for entry in content.entries() {
            // Parameters of media types are not told apart.
            let media_type = entry.name.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            let schema = entry.value.get("schema");
            let form = match schema {
                Some(schema) if is_json(&media_type) => {
                    Form::Json(self.all.schemas.schema(schema, reading, self.all.problems))
                }
                Some(schema) if media_type == FORM && entry.value.get("encoding").is_none() => {
                    let shape = self.all.schemas.shape(schema, reading);
                    Form::Fields(self.all.schemas.schema(schema, reading, self.all.problems), shape)
                }
                Some(_) if !opaque_by_nature(&media_type) => {
                    let message =
                        format!("bodies of the type `{media_type}` are told by their type alone, not by their schema");
                    self.all.problems.push(Problem::warning("unchecked-content", entry.name_at, message));
                    Form::Opaque
                }
                Some(_) | None => Form::Opaque,
            };
            kinds.push(Content { media_type, form });
        }
        Some(kinds)
    }

    fn responses(&mut self, operation: &'a Node, reading: Reading) -> Vec<(Statuses, ResponseRules)> {
        let reading = Reading { way: Way::Response, ..reading };
        let mut all = Vec::new();
        for entry in operation.get("responses").map(Node::entries).unwrap_or_default() {
            let statuses = match (entry.name.as_str(), entry.name.parse::<u16>()) {
                ("default", _) => Statuses::All,
                (_, Ok(status @ 100..=599)) => Statuses::One(status),
                (name, _) if name.len() == 3 && name.ends_with("XX") && matches!(name.as_bytes()[0], b'1'..=b'5') => {
                    Statuses::Class(u16::from(name.as_bytes()[0] - b'0'))
                }
                (name, _) if name.starts_with("x-") => continue,
                (name, _) => {
                    self.all.problems.push(
                        bad(entry.name_at, format!("`{name}` is no status")).help("write `200`, `4XX` or `default`"),
                    );
                    continue;
                }
            };
            let Some(response) = self.follow(&entry.value, reading) else { continue };
            let mut headers = Vec::new();
            for header in response.get("headers").map(Node::entries).unwrap_or_default() {
                let Some(node) = self.follow(&header.value, reading) else { continue };
                if header.name.eq_ignore_ascii_case("content-type") {
                    continue;
                }
                let name = header.name.to_ascii_lowercase();
                let Some(mut parameter) = self.described(node, &name, Place::Header, reading) else { continue };
                parameter.required = node.get("required").is_some_and(|node| node.value == Value::Bool(true));
                headers.push(parameter);
            }
            let content = response.get("content").and_then(|content| self.content(Some(content), response, reading));
            all.push((statuses, ResponseRules { headers, content: content.unwrap_or_default() }));
        }
        // One status before a class of them, and those before all.
        all.sort_by_key(|(statuses, _)| match statuses {
            Statuses::One(_) => 0,
            Statuses::Class(_) => 1,
            Statuses::All => 2,
        });
        all
    }

    /// Tells of operations for which the document wants to know who calls, where nobody asks that.
    fn unauthenticated(&mut self, root: &'a Node, at: Span) {
        let policies = self.defined.node.get("policies").map(Node::items).unwrap_or_default();
        if policies.iter().any(|policy| policy.get("authenticate").is_some()) {
            return;
        }
        // An empty requirement among them lets anonymous callers pass.
        let asks = |node: &Node| match &node.value {
            Value::List(items) => !items.is_empty() && items.iter().all(|item| !item.entries().is_empty()),
            _ => false,
        };
        let everywhere = root.get("security").filter(|node| asks(node));
        let operations =
            root.get("paths").map(Node::entries).unwrap_or_default().iter().flat_map(|path| path.value.entries());
        let mut operations = operations.filter(|entry| METHODS.contains(&entry.name.as_str()));
        let first = operations.find_map(|operation| match operation.value.get("security") {
            Some(own) => asks(own).then_some(own),
            None => everywhere,
        });
        if let Some(security) = first {
            let message = "the document wants to know who calls, and this route asks nobody";
            let problem = Problem::warning("unauthenticated-operation", at, message);
            self.all
                .problems
                .push(problem.related(security.at, "it says so here").help("add `authenticate` before this policy"));
        }
    }

    pub(super) fn follow(&mut self, node: &'a Node, reading: Reading) -> Option<&'a Node> {
        self.all.schemas.follow(node, reading, self.all.problems)
    }
}

/// Segment by segment, what says more comes first (OpenAPI 3.1 §4.8.8.2).
pub(super) fn ranked(paths: Vec<(Path, Span)>) -> Vec<Path> {
    let rank = |segment: &Segment| match segment {
        Segment::Literal(_) => 0,
        Segment::Parameter { before, after, .. } => usize::MAX - before.len() - after.len(),
    };
    let mut paths: Vec<Path> = paths.into_iter().map(|(path, _)| path).collect();
    paths.sort_by_key(|path| path.segments.iter().map(rank).collect::<Vec<_>>());
    paths
}

/// Bodies that nobody expects to be looked into.
fn opaque_by_nature(media_type: &str) -> bool {
    media_type == "application/octet-stream"
        || ["image/", "audio/", "video/", "font/"].iter().any(|kind| media_type.starts_with(kind))
        || media_type == "*/*"
}

pub(super) const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

fn bad(at: Span, message: impl Into<String>) -> Problem {
    Problem::error("bad-openapi", at, message)
}
