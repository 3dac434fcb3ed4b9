//! GraphQL: from what was written to what runs.

use std::collections::BTreeMap;

use super::super::{
    documents::beside,
    node::{Node, Step::Field, Value},
    problem::{Problem, Span},
    suggest::closest,
    written,
};
use super::{RouteCompiler, Seen, list_some};
use crate::{
    error::Error,
    forward::{Forward, PathChange},
    graphql::{
        Document, Kind, StoredQuery,
        document::{TRUSTED, Wrong},
        measure::Costs,
        persisted::{Automatic, Persisted, Registered, sha256},
        request::Asked,
        stored::{Type, Variable},
    },
    policy::{Graphql, graphql::Limits},
    route::Matcher,
    shape::{Path, query::Query},
    template::Piece,
    translate::Wanted,
};

/// What templates of messages see: the request, and its JSON body.
pub(super) const MESSAGE: Seen = Seen { response: false, documents: &["body"] };

/// Statuses by codes that Apollo Server and others give.
const USUAL: [(&str, u16); 4] =
    [("UNAUTHENTICATED", 401), ("FORBIDDEN", 403), ("NOT_FOUND", 404), ("BAD_USER_INPUT", 400)];

impl RouteCompiler<'_, '_> {
    pub(super) fn stored_query(&mut self, forward: Forward, paths: &[Matcher]) -> Option<StoredQuery> {
        let written = self.defined.written.graphql.as_ref()?;
        let node = self.defined.node.get("graphql")?;
        self.translates("graphql");
        self.all.features.extend(["graphql", "shaping", "validation", "regex"]);
        let path = match &written.path {
            Some(path) => self.target(&path.0, node.place([Field("path")]), paths)?,
            None => crate::template::Template::literal("/graphql"),
        };
        let (text, at) = self.query_text(written, node)?;
        let document = match Document::read(&text, TRUSTED) {
            Ok(document) => document,
            Err(wrong) => {
                self.all.problems.push(bad_document(&wrong, at));
                return None;
            }
        };
        let Some(operation) = document.operation(written.operation.as_deref()) else {
            let names: Vec<&str> = document.operations.iter().map(|operation| operation.name).collect();
            let (at, message) = match &written.operation {
                Some(name) => (node.place([Field("operation")]), format!("the document has no operation `{name}`")),
                None => (at, "the document has several operations, and nothing says which is meant".to_owned()),
            };
            let problem = Problem::error("unknown-operation", at, message);
            self.all.problems.push(problem.help(format!("name one in `operation`: {}", list_some(&names))));
            return None;
        };
        if operation.kind == Kind::Subscription {
            let problem = Problem::error("bad-graphql", at, "the answer to a subscription has no end");
            self.all.problems.push(problem.help("write a query or a mutation"));
        }
        let declared: Vec<&str> = operation.variables.iter().map(|variable| variable.name).collect();
        let types = written.types.as_ref().map(|types| types.0.as_slice()).unwrap_or_default();
        let entries = node.get("variables").map(Node::entries).unwrap_or_default();
        let type_entries = node.get("types").map(Node::entries).unwrap_or_default();
        for entry in entries.iter().chain(type_entries) {
            if !declared.contains(&entry.name.as_str()) {
                let message = format!("the query declares no variable `${}`", entry.name);
                let problem = Problem::error("unknown-variable", entry.name_at, message);
                let help =
                    closest(&entry.name, declared.iter().copied()).map(|meant| format!("did you mean `{meant}`?"));
                self.all.problems.push(problem.maybe_help(help));
            }
        }
        let mut variables = Vec::new();
        for variable in &operation.variables {
            let Some(entry) = entries.iter().find(|entry| entry.name == variable.name) else {
                if variable.required && variable.default.is_none() {
                    let message = format!("the query needs `${}`, and nothing says what it is", variable.name);
                    let at = node.entry("variables").map_or(at, |entry| entry.name_at);
                    let problem = Problem::error("missing-variable", at, message);
                    let help = format!("add it: `variables: {{ {0}: \"{{{0}}}\" }}`", variable.name);
                    self.all.problems.push(problem.help(help));
                }
                continue;
            };
            let Some(value) = self.blueprint(&entry.value, paths, MESSAGE) else { continue };
            let kind = match types.iter().find(|(name, _)| name == variable.name) {
                Some((_, kind)) => type_of(*kind),
                None => Type::of(variable.kind),
            };
            let required = variable.required && variable.default.is_none();
            variables.push(Variable { name: variable.name.to_owned(), value, kind, required });
        }
        let query = written.query.as_ref().and_then(|query| Query::parse(&query.0).ok());
        if query.is_some() {
            self.all.features.insert("queries");
        }
        let said = written.errors.iter().flat_map(|errors| &errors.0).map(|(code, status)| (code.clone(), status.0));
        let usual = USUAL.map(|(code, status)| (code.to_owned(), status));
        let mut stored = StoredQuery {
            forward: Forward { path: PathChange::Rewrite(path), websocket: None, ..forward },
            operation: (document.operations.len() > 1).then(|| operation.name.to_owned()),
            document: document.canonical(),
            variables,
            reads_body: false,
            request_limit: written.max_request.map_or(1 << 20, |size| size.bytes),
            answer_limit: written.max_response.map_or(4 << 20, |size| size.bytes),
            wanted: Wanted { pick: written.pick.as_ref().and_then(|path| Path::parse(&path.0)), query },
            statuses: said.chain(usual).collect(),
            otherwise: written.other_errors.map(|status| status.0),
            partial: written.partial == Some(written::GraphqlPartial::Allow),
            nothing: match written.nothing {
                None => Some(404),
                Some(written::GraphqlNothing::Status(status)) => Some(status.0),
                Some(written::GraphqlNothing::Pass(written::GraphqlPass::Pass)) => None,
            },
        };
        let reads_body = stored.templates().any(|template| template.has(|piece| matches!(piece, Piece::Document(_))));
        stored.reads_body = reads_body;
        Some(stored)
    }

    /// What an action that makes a message of its own excludes.
    pub(super) fn translates(&mut self, action: &str) {
        let others = ["websocket", "grpc", "graphql", "soap", "strip_prefix", "add_prefix", "rewrite", "rewrite_regex"];
        // Said once, where two of them exclude each other.
        let own = others.iter().position(|other| *other == action).unwrap_or(0);
        let others: Vec<&str> = others
            .iter()
            .enumerate()
            .filter(|(place, other)| {
                **other != action && (*place > own || !matches!(**other, "grpc" | "graphql" | "soap"))
            })
            .map(|(_, other)| *other)
            .collect();
        self.exclude(action, &others);
    }

    /// The path that a message is sent to.
    pub(super) fn target(&mut self, written: &str, at: Span, paths: &[Matcher]) -> Option<crate::template::Template> {
        let template = self.text(written, at, paths)?;
        self.rooted(&template, written, at, "the query of the request is sent as it is");
        Some(template)
    }

    /// The text of a query, and where it stands.
    fn query_text(&mut self, written: &written::GraphqlQuery, node: &Node) -> Option<(String, Span)> {
        if let (Some(document), Some(file)) = (node.entry("document"), node.entry("file")) {
            self.both(document.name_at, "document", file.name_at, "file");
            return None;
        }
        if let Some(document) = &written.document {
            return Some((document.clone(), node.place([Field("document")])));
        }
        let Some(file) = node.get("file") else {
            if !node.damaged {
                let problem = Problem::error("missing-field", node.head(), "nothing says what is asked");
                self.all.problems.push(problem.help("write the query in `document`, or name a `file`"));
            }
            return None;
        };
        self.document_text(file)
    }

    /// The text of a file that a place names.
    fn document_text(&mut self, named: &Node) -> Option<(String, Span)> {
        let path = beside(self.all.sources, named.at, named.text()?);
        let document = self.all.loaded.documents.get(&path)?;
        if let Some(why) = &document.why {
            let message = format!("cannot read `{}`: {why}", path.display());
            self.all.problems.push(Problem::error("unreadable-file", named.at, message));
            return None;
        }
        let text = self.all.sources.get(document.file)?.text.clone();
        let end = text.len();
        Some((text, Span { file: document.file, start: 0, end }))
    }

    pub(super) fn graphql(&mut self, written: &written::GraphqlPolicy, node: &Node) -> Graphql {
        self.all.features.extend(["graphql", "shaping", "validation", "regex"]);
        self.forwards("graphql", node);
        let limits = written.limits.clone().unwrap_or_default();
        let costs = written.costs.clone().unwrap_or_default();
        let named = |named: Option<written::Named<String, u32>>| -> BTreeMap<String, u64> {
            named.into_iter().flat_map(|named| named.0).map(|(name, number)| (name, number.into())).collect()
        };
        let root_fields = written.root_fields.clone().unwrap_or_default();
        let fields = |fields: Option<written::OneOrMany<written::RootField>>| -> Vec<String> {
            fields.into_iter().flat_map(|fields| fields.0).map(|field| field.0).collect()
        };
        let mut policy = Graphql {
            // Route names have no slash, so nobody else's is called so.
            name: format!("{}/graphql", self.defined.written.name.0),
            limits: Limits {
                depth: limits.depth.unwrap_or(15).into(),
                cost: limits.cost,
                aliases: limits.aliases.unwrap_or(30).into(),
                root_fields: limits.root_fields.unwrap_or(20).into(),
                directives: limits.directives.unwrap_or(50).into(),
                tokens: limits.tokens.unwrap_or(5_000),
                document: limits.document.map_or(64 << 10, |size| size.bytes),
                batch: limits.batch.unwrap_or(1).into(),
                body: limits.body.map_or(1 << 20, |size| size.bytes),
            },
            costs: Costs {
                object: costs.object.unwrap_or(1).into(),
                leaf: costs.leaf.unwrap_or(0).into(),
                fields: named(costs.fields),
                sizes: match costs.sizes {
                    Some(sizes) => sizes.0,
                    None => ["first", "last", "limit"].map(str::to_owned).to_vec(),
                },
                assumed: named(costs.assumed),
            },
            introspection: written.introspection == Some(true),
            kinds: match &written.operations {
                None => Kind::ALL.iter().map(|(_, kind)| *kind).collect(),
                Some(kinds) => kinds.0.iter().map(|kind| kind_of(*kind)).collect(),
            },
            get: written.get != Some(false),
            allow: fields(root_fields.allow),
            deny: fields(root_fields.deny),
            persisted: None,
        };
        if let (Some(persisted), Some(node)) = (&written.persisted, node.get("persisted")) {
            policy.persisted = self.persisted(persisted, node, &policy);
        }
        policy
    }

    fn persisted(&mut self, written: &written::GraphqlPersisted, node: &Node, policy: &Graphql) -> Option<Persisted> {
        let only = written.only == Some(true);
        match (node.entry("only").filter(|_| only), node.entry("automatic"), node.entry("documents")) {
            (Some(only), Some(automatic), _) => self.both(only.name_at, "only", automatic.name_at, "automatic"),
            (Some(only), None, None) => {
                let problem =
                    Problem::error("missing-field", only.name_at, "no document is registered, so none is taken");
                self.all.problems.push(problem.help("name files in `documents`"));
            }
            (None, None, None) if !node.damaged => {
                let problem = Problem::error("empty-policy", node.head(), "this knows no document");
                self.all.problems.push(problem.help("write `automatic` or `documents`"));
            }
            _ => {}
        }
        if let (Some(ttl), false) = (node.entry("ttl"), written.automatic == Some(written::GraphqlStore::Shared)) {
            let message = "`ttl` says how long the platform's store keeps documents, and it keeps none";
            let problem = Problem::error("conflicting-fields", ttl.name_at, message);
            self.all.problems.push(problem.help("write `automatic: shared`, or remove it"));
        }
        let automatic = written.automatic.map(|store| Automatic {
            shared: store == written::GraphqlStore::Shared,
            seconds: written.ttl.map_or(86_400, |ttl| ttl.milliseconds.div_ceil(1_000)),
        });
        if automatic.is_some_and(|automatic| automatic.shared) {
            self.all.features.insert("cache");
        }
        let mut documents: BTreeMap<String, (String, Span)> = BTreeMap::new();
        let files = node.get("documents").map(Node::items).unwrap_or_default();
        for file in files {
            for (name, text, at) in self.registered(file) {
                match documents.get(&name) {
                    Some((known, first)) if *known != text => {
                        let message = format!("there is already another document called `{name}`");
                        let problem = Problem::error("defined-twice", at, message);
                        self.all.problems.push(problem.related(*first, "the first is here"));
                    }
                    Some(_) => {}
                    None => drop(documents.insert(name, (text, at))),
                }
            }
        }
        let mut spellings = Vec::new();
        for (text, at) in documents.values() {
            let document = match Document::read(text, TRUSTED) {
                Ok(document) => document,
                Err(wrong) => {
                    self.all.problems.push(bad_document(&wrong, *at));
                    continue;
                }
            };
            spellings.push(sha256(document.canonical().as_bytes()));
            for operation in &document.operations {
                let operation = (!operation.name.is_empty()).then(|| operation.name.into());
                let asked = Asked { operation, ..Asked::default() };
                let refused = policy.check(text, &asked, false, true).err();
                let over = |error: Error| match error {
                    Error::Graphql(refusal) => Some(refusal.detail().trim_end_matches('.').to_owned()),
                    _ => None,
                };
                if let Some(why) = refused.and_then(over) {
                    let message = format!("this policy would refuse the document: {why}");
                    let problem = Problem::error("document-refused", *at, message);
                    self.all.problems.push(problem.help("change the document, or what the policy takes"));
                }
            }
        }
        let registered = written.documents.as_ref().map(|_| Registered {
            only,
            documents: documents.into_iter().map(|(name, (text, _))| (name, text.into())).collect(),
            spellings,
        });
        Some(Persisted { registered, automatic })
    }

    /// The documents of a file, by what they are called.
    fn registered(&mut self, file: &Node) -> Vec<(String, String, Span)> {
        let Some(path) = file.text().map(|text| beside(self.all.sources, file.at, text)) else { return Vec::new() };
        let Some((text, at)) = self.document_text(file) else { return Vec::new() };
        if is_graphql(&path) {
            return vec![(sha256(text.as_bytes()), text, at.first_byte())];
        }
        // What is no JSON or YAML has been reported.
        let Some(root) = self.all.loaded.documents.get(&path).and_then(|document| document.root.as_ref()) else {
            return Vec::new();
        };
        let manifest = root.get("operations").filter(|operations| matches!(operations.value, Value::List(_)));
        let mut found = Vec::new();
        let mut bad = Vec::new();
        match manifest {
            Some(operations) => {
                for operation in operations.items() {
                    match (operation.get("id").and_then(Node::text), operation.get("body")) {
                        (Some(id), Some(body)) if body.text().is_some() => {
                            found.push((id.to_owned(), body.text().unwrap_or_default().to_owned(), body.at));
                        }
                        _ => bad.push(operation.head()),
                    }
                }
            }
            None => {
                for entry in root.entries() {
                    match entry.value.text() {
                        Some(text) => found.push((entry.name.clone(), text.to_owned(), entry.value.at)),
                        None => bad.push(entry.value.head()),
                    }
                }
                if root.entries().is_empty() {
                    bad.push(root.head());
                }
            }
        }
        for at in bad {
            let problem = Problem::error("bad-manifest", at, "this is no document with a name");
            self.all
                .problems
                .push(problem.help("write a map from names to documents, or a manifest as Apollo's tools make it"));
        }
        found
    }

    /// What needs a policy that reads GraphQL before it.
    pub(super) fn needs_graphql(&mut self, what: &str, at: Span, before: Option<usize>) {
        let policies = self.defined.node.get("policies").map(Node::items).unwrap_or_default();
        let known = policies.iter().take(before.unwrap_or(usize::MAX)).any(|policy| policy.entry("graphql").is_some());
        if !known {
            let message = format!("{what} is of GraphQL requests, and no policy before reads them");
            let problem = Problem::error("unknown-reference", at, message);
            self.all.problems.push(problem.help("put a `graphql` before it"));
        }
    }
}

/// Whether a file holds GraphQL, by its name.
pub(in super::super) fn is_graphql(path: &std::path::Path) -> bool {
    path.extension().is_some_and(|extension| extension == "graphql" || extension == "gql")
}

fn bad_document(wrong: &Wrong, at: Span) -> Problem {
    let place = match wrong {
        // In a file of its own the place is known to the byte.
        Wrong::Syntax { at: byte, .. } if at.start == 0 => at.part(*byte, byte + 1),
        Wrong::Syntax { .. } | Wrong::Tokens | Wrong::Nesting => at,
    };
    Problem::error("bad-graphql", place, wrong.to_string())
}

fn type_of(written: written::GraphqlType) -> Type {
    match written {
        written::GraphqlType::String => Type::String,
        written::GraphqlType::Int => Type::Int,
        written::GraphqlType::Float => Type::Float,
        written::GraphqlType::Boolean => Type::Boolean,
        written::GraphqlType::Json => Type::Json,
    }
}

fn kind_of(written: written::GraphqlKind) -> Kind {
    match written {
        written::GraphqlKind::Query => Kind::Query,
        written::GraphqlKind::Mutation => Kind::Mutation,
        written::GraphqlKind::Subscription => Kind::Subscription,
    }
}
