//! From what was written to what runs: the only file that sees both.
//!
//! The shapes are right when this is reached, so what is found here is about meaning: names that lead nowhere, fields
//! that exclude each other, values that HTTP has no room for. What is good is compiled even when its neighbour is not,
//! so that one pass finds everything.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::{
    answer::{Redirect, Respond},
    client::Cidr,
    config::artefact::Globals,
    consumer::Consumer,
    forward::{Forward, ForwardedFields, PathChange},
    gateway::{Action, Plan},
    grpc::Table,
    http::Scheme,
    path,
    platform::Sockets,
    policy::{
        ForwardAuth, Policy, PolicyList,
        authenticate::{Introspection, issuer::Issuer},
        headers::{Dedupe, HeaderEdits},
        limit::Limit,
    },
    request::{Limits, RouteLimits},
    route::{
        Conditions, Exclusion, Host, Matcher, Named, Pattern, Regex, Route, Test,
        pattern::{Segment, Tail},
        rank::Ranked,
    },
    serve::{Store, Used},
    template::{Piece, Reference, Template},
    upstream::{HostHeader, Timeouts, Upstream},
    validation::{Operation, Rules},
};

use super::{
    load::{Defined, Loaded},
    node::{
        Node,
        Step::{self, Field, Item},
    },
    problem::{Problem, Span},
    schemas::{Reading, SchemaCompiler},
    source::Sources,
    suggest::closest,
    written,
};

mod admin;
mod behind;
mod cache;
mod caller;
mod check;
pub(super) mod compose;
mod consumers;
mod credentials;
mod forward_auth;
pub(super) mod graphql;
mod grpc;
mod idempotency;
mod json_rpc;
mod limits;
mod login;
pub(super) mod mcp;
mod mirror;
mod mock;
mod openapi;
mod policies;
mod rollout;
mod signed;
mod soap;
mod telemetry;
mod tokens;
mod tool_schema;
mod transform;
mod upstreams;
mod validation;

/// What runs, as far as it could be made.
#[derive(Debug)]
pub(super) struct Running {
    /// What all routes share.
    pub globals: Globals,
    /// Who may call, in the order of the files.
    pub consumers: Vec<Consumer>,
    /// The routes, in the order of the files.
    pub routes: Vec<RunningRoute>,
    /// The lists of policies that routes refer to; the first is empty.
    pub policies: Vec<Vec<Policy>>,
    /// The block of schemas; empty without any.
    pub schemas: Vec<u8>,
    /// The operations of OpenAPI documents.
    pub operations: Vec<Operation>,
    /// Services of gRPC: the methods that can be called, and their descriptors.
    pub services: Vec<(Table, Vec<u8>)>,
    /// The configuration as it was written; empty without an admin interface.
    pub document: Vec<u8>,
}

/// A route that runs, and what it was made from.
#[derive(Debug)]
pub(super) struct RunningRoute {
    /// The place in [`Loaded::routes`].
    pub from: usize,
    /// Whether it came with a route, and is not one that the user wrote.
    pub accompanies: bool,
    /// The route.
    pub ranked: Ranked<Plan>,
}

/// Compiles everything that can be.
pub(super) fn compile(loaded: &Loaded, sources: &Sources, problems: &mut Vec<Problem>) -> Running {
    let mut compile = Compile {
        loaded,
        sources,
        problems,
        upstreams: HashMap::new(),
        references: BTreeSet::new(),
        features: BTreeSet::new(),
        certificates: false,
        issuers: Vec::new(),
        servers: Vec::new(),
        session_keys: Vec::new(),
        login_paths: Vec::new(),
        accompanying: Vec::new(),
        services: Vec::new(),
        unnamed: Vec::new(),
        limits: Limits::default(),
        purges: loaded.settings.written.admin.is_some()
            || loaded.routes.iter().any(|route| route.written.purge.is_some()),
        known: Known {
            consumers: loaded.declared_consumers(),
            groups: loaded.declared_groups(),
            groups_of_tokens: tokens::name_groups(&loaded.routes),
            password_cost: consumers::password_cost(loaded),
        },
        policies: vec![Vec::new()],
        lists: HashMap::new(),
        schemas: SchemaCompiler::new(&loaded.documents, sources),
        operations: Vec::new(),
        services_of_grpc: Vec::new(),
        document: Vec::new(),
        validated: HashMap::new(),
        described: HashMap::new(),
        sayings: HashMap::new(),
        named_limits: Vec::new(),
    };
    compile.everything()
}

struct Compile<'a> {
    loaded: &'a Loaded,
    sources: &'a Sources,
    problems: &'a mut Vec<Problem>,
    upstreams: HashMap<&'a str, (u32, Timeouts)>,
    references: BTreeSet<Reference>,
    /// The cargo features that a gateway needs.
    features: BTreeSet<&'static str>,
    /// Whether anybody asks for clients' certificates.
    certificates: bool,
    /// Issuers of tokens, each once.
    issuers: Vec<Issuer>,
    /// Authorisation servers that are asked about tokens, each once.
    servers: Vec<Introspection>,
    /// Lists of secrets that sessions are sealed with, each once.
    session_keys: Vec<Vec<Template>>,
    /// The paths that belong to logins.
    login_paths: Vec<login::OwnPath>,
    /// The routes that come with the one that is being compiled.
    accompanying: Vec<Ranked<Plan>>,
    /// Services that are asked whether requests may pass, each once.
    services: Vec<ForwardAuth>,
    /// Upstreams behind those of the list.
    unnamed: Vec<Upstream>,
    limits: Limits,
    /// Whether anybody takes back what caches have stored.
    purges: bool,
    known: Known<'a>,
    policies: Vec<Vec<Policy>>,
    lists: HashMap<String, PolicyList>,
    schemas: SchemaCompiler<'a>,
    operations: Vec<Operation>,
    /// Services of gRPC, each once.
    services_of_grpc: Vec<(Table, Vec<u8>)>,
    /// The configuration as it was written.
    document: Vec<u8>,
    /// What has been made of the policies `validate`, by their places.
    validated: HashMap<(Span, Reading), Rules>,
    /// What has been made of OpenAPI documents, by their places, without or with their responses.
    described: HashMap<(Span, Reading, bool), Vec<crate::policy::openapi::Path>>,
    /// What templates say of callers.
    sayings: caller::Sayings,
    /// Limits that others may count together with, each with its kind and where its name stands.
    named_limits: Vec<(&'static str, Limit, Span)>,
}

/// What policies may need to know of all consumers, however many those are.
struct Known<'a> {
    consumers: BTreeSet<&'a str>,
    groups: BTreeSet<&'a str>,
    /// Whether tokens name groups too.
    groups_of_tokens: bool,
    password_cost: u32,
}

impl<'a> Compile<'a> {
    fn everything(&mut self) -> Running {
        let settings = &self.loaded.settings.written;
        self.limits = limits(settings.limits.as_ref());
        let mut upstreams = self.all_upstreams();
        let consumers = self.consumers();
        let consumer_store = self.consumer_store();
        let redis = self.redis();
        let identity = self.identity();
        let mut routes = Vec::new();
        for (from, defined) in self.loaded.routes.iter().enumerate() {
            if let Some(ranked) = (RouteCompiler { all: self, defined, policy: None }).route() {
                routes.push(RunningRoute { from, accompanies: false, ranked });
                let more = std::mem::take(&mut self.accompanying).into_iter();
                routes.extend(more.map(|ranked| RunningRoute { from, accompanies: true, ranked }));
            }
        }
        let unmatched = self.unmatched();
        self.callers_are_known();
        if self.loaded.routes.is_empty() && self.problems.is_empty() {
            let start = Span { file: 0, start: 0, end: 0 };
            let message = "there is no route, so every request is answered with 404";
            self.problems.push(Problem::warning("no-routes", start, message).help("add `routes`"));
        }
        upstreams.append(&mut self.unnamed);
        let mut telemetry = self.telemetry(&routes);
        let admin = self.admin(&mut telemetry);
        if let Some(admin) = &admin {
            self.hidden_by_admin(admin, &routes);
        }
        self.metrics_are_kept(telemetry.as_deref());
        let rollout = self.rollout();
        let settings = &self.loaded.settings;
        let trusted = settings.written.client.as_ref().and_then(|client| client.trusted_proxies.as_ref());
        let trusted_node = settings.node.get("client").and_then(|client| client.get("trusted_proxies"));
        let globals = Globals {
            trusted_proxies: self.ranges(trusted, trusted_node),
            certificates: self.certificate_source(),
            forwarded: match settings.written.forwarded {
                None | Some(written::Forwarded::XForwarded) => ForwardedFields::XForwarded,
                Some(written::Forwarded::Forwarded) => ForwardedFields::Forwarded,
                Some(written::Forwarded::Both) => ForwardedFields::Both,
                Some(written::Forwarded::None) => ForwardedFields::None,
            },
            via: settings.written.via.as_ref().map_or("postern", |via| &via.0).to_owned(),
            unmatched,
            misdirected: settings.written.unknown_host.is_some_and(|status| status.0 == 421),
            limits: self.limits.clone(),
            stores: self.stores(consumer_store.is_some()),
            consumer_store,
            redis,
            upstreams,
            references: std::mem::take(&mut self.references).into_iter().collect(),
            issuers: std::mem::take(&mut self.issuers),
            session_keys: std::mem::take(&mut self.session_keys),
            identity,
            telemetry,
            rollout,
            admin,
            features: std::mem::take(&mut self.features).into_iter().map(str::to_owned).collect(),
        };
        let schemas = self.schemas.finish(self.problems);
        let (policies, operations) = (std::mem::take(&mut self.policies), std::mem::take(&mut self.operations));
        let services = std::mem::take(&mut self.services_of_grpc);
        let document = std::mem::take(&mut self.document);
        Running { globals, consumers, routes, policies, schemas, operations, services, document }
    }

    /// The stores that requests need, each once.
    fn stores(&self, asks_for_consumers: bool) -> Vec<Used> {
        let mut all = BTreeMap::new();
        if asks_for_consumers {
            all.insert(Store::Consumers, true);
        }
        for Used { store, vital } in self.policies.iter().flatten().flat_map(Policy::stores) {
            *all.entry(store).or_insert(false) |= vital;
        }
        all.into_iter().map(|(store, vital)| Used { store, vital }).collect()
    }

    fn timeouts(&mut self, base: Timeouts, written: Option<&written::Timeouts>, node: Option<&Node>) -> Timeouts {
        let (Some(written), Some(node)) = (written, node) else { return base };
        let timeouts = Timeouts {
            attempt: written.attempt.map_or(base.attempt, |attempt| attempt.milliseconds),
            total: written.total.map_or(base.total, |total| total.milliseconds),
            idle: written.idle.map(|idle| idle.milliseconds).or(base.idle),
        };
        // A short total alone is a way to say how long it may take at most.
        if written.attempt.is_some() && timeouts.attempt > timeouts.total {
            let (attempt, total) = (show_duration(timeouts.attempt), show_duration(timeouts.total));
            let message = format!("one attempt may take {attempt}, but all together only {total}");
            let at = node.place([Field("attempt")]);
            self.problems
                .push(Problem::warning("short-total", at, message).help(format!("raise `total` to {attempt} or more")));
        }
        timeouts
    }

    fn template(&mut self, text: &str, at: Span) -> Option<Template> {
        match Template::parse(text) {
            Ok(template) => {
                self.references.extend(template.references().cloned());
                self.certificates |= template
                    .pieces()
                    .iter()
                    .any(|piece| matches!(piece.base(), Piece::Variable(variable) if variable.is_of_certificate()));
                Some(template)
            }
            // The shape was checked before.
            Err(error) => {
                self.problems.push(Problem::error("bad-template", at, error.message));
                None
            }
        }
    }

    fn ranges(&mut self, written: Option<&written::OneOrMany<written::Cidr>>, node: Option<&Node>) -> Vec<Cidr> {
        let (Some(written), Some(node)) = (written, node) else { return Vec::new() };
        let mut ranges: Vec<Cidr> = Vec::new();
        for (text, item) in written.0.iter().zip(node.items()) {
            let Ok(range) = text.0.parse::<Cidr>() else { continue };
            let network = range.network();
            if network != range {
                let message = format!("`{}` has bits set that the range ignores", text.0);
                self.problems
                    .push(Problem::warning("cidr-host-bits", item.at, message).help(format!("write `{network}`")));
            }
            if !ranges.contains(&network) {
                ranges.push(network);
            }
        }
        ranges
    }

    /// Routes with the same policies share one list of them.
    fn intern(&mut self, policies: Vec<Policy>) -> PolicyList {
        if policies.is_empty() {
            return PolicyList::default();
        }
        let next = PolicyList(u32::try_from(self.policies.len()).unwrap_or(u32::MAX));
        // Two lists are the same when they are written the same; comparing with each would take long with many.
        let list = *self.lists.entry(format!("{policies:?}")).or_insert(next);
        if list == next {
            self.policies.push(policies);
        }
        list
    }

    /// Every way in which a path may match. Patterns that are none have been reported with their shape.
    fn matchers(
        &mut self,
        paths: Option<&written::OneOrMany<written::PathPattern>>,
        prefixes: Option<&written::OneOrMany<written::PathPrefix>>,
        regexes: Option<&written::OneOrMany<written::Regex>>,
        regexes_node: Option<&Node>,
    ) -> Vec<Matcher> {
        let paths = paths.iter().flat_map(|paths| paths.0.iter()).filter_map(|path| Pattern::parse(&path.0).ok());
        let prefixes =
            prefixes.iter().flat_map(|paths| paths.0.iter()).filter_map(|path| Pattern::parse_prefix(&path.0).ok());
        let mut matchers: Vec<Matcher> = paths.chain(prefixes).map(Matcher::Path).collect();
        for (index, regex) in regexes.iter().flat_map(|regexes| regexes.0.iter()).enumerate() {
            let Some(node) = regexes_node else { continue };
            matchers.extend(self.regex(&regex.0, node.place([Item(index)])).map(Matcher::Regex));
        }
        matchers
    }

    fn regex(&mut self, text: &str, at: Span) -> Option<Regex> {
        self.features.insert("regex");
        match text.parse() {
            Ok(regex) => Some(regex),
            Err(message) => {
                self.problems.push(Problem::error("bad-regex", at, message));
                None
            }
        }
    }

    /// The place of a part of a text; of the whole, where the file spells it differently.
    fn part(&self, at: Span, part: &str) -> Span {
        self.sources.text(at).find(part).map_or(at, |start| at.part(start, start + part.len()))
    }
}

/// One route on its way.
struct RouteCompiler<'c, 'a> {
    all: &'c mut Compile<'a>,
    defined: &'a Defined<written::Route>,
    /// Which of the route's policies is being compiled; `None`: its action is.
    policy: Option<usize>,
}

impl RouteCompiler<'_, '_> {
    /// The route, if it is sound enough to be compared with others.
    fn route(mut self) -> Option<Ranked<Plan>> {
        let before = self.all.problems.iter().filter(|problem| problem.is_error()).count();
        let first = self.all.problems.len();
        let written = &self.defined.written;
        let hosts = hosts(written.host.as_ref());
        let paths = self.paths();
        let conditions = self.conditions();
        let action = self.action(&paths);
        let mut policies = self.policies(&paths);
        self.cache_places(&mut policies, action.as_ref());
        self.login_routes(&hosts, &policies);
        if let Some(Action::Mcp(mcp)) = &action {
            self.metadata_route(mcp, &hosts, &policies);
        }
        self.is_protected(&policies);
        self.can_stream(action.as_ref(), &policies);
        let policies = self.all.intern(policies);
        let body_limit = match written.limits.as_ref().and_then(|limits| limits.body) {
            Some(size) => Some(size.bytes),
            None => self.all.limits.body,
        };
        let limits = self.limits();
        let after = self.all.problems.iter().filter(|problem| problem.is_error()).count();
        let allowed = written.allow.iter().flat_map(|codes| &codes.0).map(|code| code.0.as_str());
        let allowed: Vec<&str> = allowed.collect();
        let own = self.all.problems.split_off(first.min(self.all.problems.len()));
        self.all.problems.extend(own.into_iter().filter(|own| own.is_error() || !allowed.contains(&own.code)));
        let action = action.filter(|_| after == before && !self.defined.node.damaged)?;
        let route = Route {
            name: written.name.0.clone(),
            paths,
            conditions,
            then: Plan { policies, body_limit, limits, action },
        };
        let hosts = if hosts.is_empty() { vec![Host::Any] } else { hosts };
        Some(Ranked { priority: written.priority.unwrap_or(0), hosts, route })
    }

    /// Limits of the route's own. Requests over those of the whole gateway never come to a route.
    fn limits(&mut self) -> Option<RouteLimits> {
        let written = self.defined.written.limits.as_ref()?;
        let all = self.all.limits.clone();
        let mut lower = |name: &str, own: Option<u64>, all: u64| {
            if let Some(own) = own.filter(|own| *own > all) {
                let at = self.at([Field("limits"), Field(name)]);
                let message = format!("`{name}` is {own}, but the whole gateway takes no more than {all}");
                let problem = Problem::error("limit-too-high", at, message);
                self.all
                    .problems
                    .push(problem.help(format!("raise `limits.{name}` of the whole configuration, or lower this")));
            }
            own
        };
        let limits = RouteLimits {
            target: lower("target", written.target.map(|size| size.bytes), all.target),
            headers: lower("headers", written.headers.map(|size| size.bytes), all.headers),
            header_count: lower("header_count", written.header_count.map(u64::from), all.header_count),
        };
        (limits != RouteLimits::default()).then_some(limits)
    }

    fn paths(&mut self) -> Vec<Matcher> {
        self.exclude("path", &["path_prefix", "path_regex"]);
        self.exclude("path_prefix", &["path_regex"]);
        let written = &self.defined.written;
        let mut paths = self.all.matchers(
            written.path.as_ref(),
            written.path_prefix.as_ref(),
            written.path_regex.as_ref(),
            self.defined.node.get("path_regex"),
        );
        if paths.is_empty() {
            paths.push(Matcher::Path(Pattern { segments: Vec::new(), tail: Tail::Prefix }));
        }
        let mut unique: Vec<Matcher> = Vec::new();
        for path in paths {
            if !unique.contains(&path) {
                unique.push(path);
            }
        }
        unique
    }

    fn conditions(&mut self) -> Conditions {
        let written = &self.defined.written;
        let node = &self.defined.node;
        let mut conditions = self.conditions_of(
            &Asked {
                method: written.method.as_ref(),
                headers: written.headers.as_ref(),
                query: written.query.as_ref(),
                cookies: written.cookies.as_ref(),
                scheme: written.scheme,
                client_address: written.client_address.as_ref(),
                country: written.country.as_ref(),
                data_centre: written.data_centre.as_ref(),
            },
            node,
        );
        let entries = node.get("not").map(Node::items).unwrap_or_default();
        for (not, node) in written.not.iter().flat_map(|not| not.0.iter()).zip(entries) {
            if node.entries().is_empty() {
                let message = "an exclusion without conditions excludes every request";
                let problem = Problem::error("empty-exclusion", node.at, message);
                if !node.damaged {
                    self.all.problems.push(problem.help("name at least one condition, or remove it"));
                }
            }
            for (one, other) in [("path", "path_prefix"), ("path", "path_regex"), ("path_prefix", "path_regex")] {
                if let (Some(first), Some(second)) = (node.entry(one), node.entry(other)) {
                    self.both(first.name_at, one, second.name_at, other);
                }
            }
            let excluded = self.conditions_of(
                &Asked {
                    method: not.method.as_ref(),
                    headers: not.headers.as_ref(),
                    query: not.query.as_ref(),
                    cookies: not.cookies.as_ref(),
                    scheme: not.scheme,
                    client_address: not.client_address.as_ref(),
                    country: not.country.as_ref(),
                    data_centre: not.data_centre.as_ref(),
                },
                node,
            );
            conditions.not.push(Exclusion {
                hosts: hosts(not.host.as_ref()),
                paths: self.all.matchers(
                    not.path.as_ref(),
                    not.path_prefix.as_ref(),
                    not.path_regex.as_ref(),
                    node.get("path_regex"),
                ),
                conditions: excluded,
            });
        }
        conditions
    }

    fn conditions_of(&mut self, asked: &Asked<'_>, node: &Node) -> Conditions {
        let mut headers = Vec::new();
        for (name, test) in asked.headers.iter().flat_map(|headers| headers.0.iter()) {
            let lower = name.0.to_ascii_lowercase();
            let entry = node.get("headers").and_then(|headers| headers.entry(&name.0));
            if let Some(entry) = entry {
                self.observable(&lower, entry.name_at);
                if headers.iter().any(|known: &Named| known.name == lower) {
                    self.same_header(&name.0, entry.name_at);
                }
            }
            headers.extend(self.named(lower, test, entry.map_or(node.at, |entry| entry.value.at)));
        }
        let mut query = Vec::new();
        for (name, test) in asked.query.iter().flat_map(|query| query.0.iter()) {
            query.extend(self.named(name.clone(), test, node.place([Field("query"), Field(name)])));
        }
        let mut cookies = Vec::new();
        for (name, test) in asked.cookies.iter().flat_map(|cookies| cookies.0.iter()) {
            cookies.extend(self.named(name.0.clone(), test, node.place([Field("cookies"), Field(&name.0)])));
        }
        Conditions {
            methods: distinct(asked.method.iter().flat_map(|methods| methods.0.iter()).map(|method| method.0.clone())),
            headers,
            query,
            cookies,
            scheme: asked.scheme.map(|scheme| match scheme {
                written::Scheme::Http => Scheme::Http,
                written::Scheme::Https => Scheme::Https,
            }),
            addresses: self.all.ranges(asked.client_address, node.get("client_address")),
            countries: distinct(asked.country.iter().flat_map(|codes| codes.0.iter()).map(|code| code.0.clone())),
            data_centres: distinct(
                asked.data_centre.iter().flat_map(|names| names.0.iter()).map(|name| name.0.clone()),
            ),
            not: Vec::new(),
        }
    }

    fn named(&mut self, name: String, written: &written::Match, at: Span) -> Option<Named> {
        let test = match written {
            written::Match::Present => Test::Present,
            written::Match::Absent => Test::Absent,
            written::Match::Exact(value) => Test::Any(vec![value.clone()]),
            written::Match::Any(values) => Test::Any(distinct(values.0.iter().cloned())),
            written::Match::Prefix(prefix) => Test::Prefix(prefix.clone()),
            written::Match::Regex(regex) => Test::Regex(self.all.regex(&regex.0, at)?),
        };
        Some(Named { name, test })
    }

    /// What is gone, or lives elsewhere, before conditions are looked at.
    fn observable(&mut self, name: &str, at: Span) {
        let help = match name {
            "host" => "use `host`",
            "cookie" => "use `cookies`",
            "connection"
            | "keep-alive"
            | "proxy-connection"
            | "te"
            | "transfer-encoding"
            | "http2-settings"
            | "proxy-authorization"
            | "proxy-authenticate" => "it is for one connection only and gone before routes are looked at",
            _ => return,
        };
        let message = format!("no route can look at the header `{name}`");
        self.all.problems.push(Problem::error("forbidden-header", at, message).help(help));
    }

    fn action(&mut self, paths: &[Matcher]) -> Option<Action> {
        let written = &self.defined.written;
        let node = &self.defined.node;
        let mut given: Vec<_> =
            ["upstream", "redirect", "respond", "publish", "serve", "mcp", "purge", "compose", "batch"]
                .iter()
                .filter_map(|name| node.entry(name))
                .collect();
        given.sort_by_key(|entry| entry.name_at);
        match given.as_slice() {
            [] => {
                // The action may be what was left out because it was wrong.
                if !node.damaged {
                    let message = format!("the route `{}` does nothing", self.defined.name);
                    let problem = Problem::error("no-action", self.defined.name_at, message);
                    let help = "add one of `upstream`, `compose`, `batch`, `redirect`, `respond`, `publish`, `serve`, `mcp` and `purge`";
                    self.all.problems.push(problem.help(help));
                }
                return None;
            }
            [_] => {}
            [first, second, ..] => {
                let message = format!("`{}` and `{}`: a route has one action", first.name, second.name);
                let problem = Problem::error("several-actions", second.name_at, message);
                self.all.problems.push(problem.related(first.name_at, "the other is here").help("keep one of them"));
            }
        }
        if written.upstream.is_none() {
            for name in [
                "strip_prefix",
                "add_prefix",
                "rewrite",
                "rewrite_regex",
                "host_header",
                "timeouts",
                "websocket",
                "grpc",
                "json_rpc",
                "graphql",
                "soap",
            ] {
                if let Some(entry) = node.entry(name) {
                    let message = format!("`{name}` is for routes that forward, and this one does not");
                    let problem = Problem::error("needs-upstream", entry.name_at, message);
                    self.all.problems.push(problem.help("remove it, or forward with `upstream`"));
                }
            }
        }
        let forward = written.upstream.as_ref().map(|upstream| self.forward(upstream, paths));
        let redirect = written.redirect.as_ref().map(|redirect| self.redirect(redirect, paths));
        let respond = written.respond.as_ref().map(|respond| self.respond(respond, paths));
        let publish = written.publish.map(|what| self.publish(what));
        let serve = written.serve.map(|serve| Action::Serve(self.serve(serve)));
        self.exclude("json_rpc", &["grpc", "graphql", "soap", "websocket"]);
        let forward = match forward.flatten() {
            Some(forward) if written.grpc.is_some() => {
                self.grpc(forward, paths).map(|grpc| Action::Grpc(Box::new(grpc)))
            }
            Some(forward) if written.graphql.is_some() => {
                self.stored_query(forward, paths).map(|stored| Action::Graphql(Box::new(stored)))
            }
            Some(forward) if written.soap.is_some() => {
                self.soap(forward, paths).map(|soap| Action::Soap(Box::new(soap)))
            }
            Some(forward) => match &written.json_rpc {
                Some(call) => self.rpc_call(forward, call, paths).map(|call| Action::JsonRpc(Box::new(call))),
                None => Some(Action::Forward(forward)),
            },
            None => None,
        };
        let forward = forward.or(publish).or(serve);
        let mcp = written.mcp.as_ref().and_then(|mcp| self.mcp(mcp));
        let forward = forward.or(mcp.map(|mcp| Action::Mcp(Box::new(mcp))));
        let answer = redirect.flatten().map(Action::Redirect).or(respond.flatten().map(Action::Respond));
        let composed = written.compose.as_ref().map(|compose| self.compose(compose, paths));
        let composed = composed.flatten().map(|compose| Action::Compose(Box::new(compose)));
        let batch = written.batch.as_ref().map(|batch| self.batch(batch));
        forward.or(answer).or(composed).or(batch).or_else(|| written.purge.map(|_| self.purge()))
    }

    fn forward(&mut self, upstream: &written::Name, paths: &[Matcher]) -> Option<Forward> {
        let written = &self.defined.written;
        let path = self.path_change(paths);
        let host = written.host_header.as_ref().map(host_header);
        let known = self.all.upstreams.get(upstream.0.as_str()).copied();
        let base = known.map_or(Timeouts::default(), |(_, timeouts)| timeouts);
        let timeouts = written
            .timeouts
            .as_ref()
            .map(|timeouts| self.all.timeouts(base, Some(timeouts), self.defined.node.get("timeouts")));
        let Some((upstream, _)) = known else {
            self.unknown_upstream(&upstream.0, self.at([Field("upstream")]));
            return None;
        };
        self.fits_upstream(paths);
        self.signed_host(&written.upstream.as_ref()?.0);
        let websocket = match &written.websocket {
            None | Some(written::WebSocket::Switch(true)) => Some(Sockets::default()),
            Some(written::WebSocket::Switch(false)) => None,
            Some(written::WebSocket::Limits(limits)) => Some(Sockets {
                message: limits.max_message.map(|size| size.bytes),
                idle: limits.idle.as_ref().map(|idle| idle.milliseconds),
            }),
        };
        Some(Forward { upstream, path: path?, host, timeouts, websocket })
    }

    fn unknown_upstream(&mut self, name: &str, at: Span) {
        let declared = self.all.loaded.declared_upstreams();
        // Its own problems have been reported, or it may be in a file that cannot be read.
        if self.all.loaded.incomplete || declared.contains(&name) {
            return;
        }
        let problem = Problem::error("unknown-upstream", at, format!("there is no upstream called `{name}`"));
        let help = match closest(name, declared.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None if declared.is_empty() => format!("define it: `upstreams: {{ {name}: {{ targets: […] }} }}`"),
            None => format!("there are {}", list_some(&declared)),
        };
        self.all.problems.push(problem.help(help));
    }

    fn path_change(&mut self, paths: &[Matcher]) -> Option<PathChange> {
        self.exclude("rewrite", &["strip_prefix", "add_prefix", "rewrite_regex"]);
        self.exclude("rewrite_regex", &["strip_prefix", "add_prefix"]);
        let written = &self.defined.written;
        if let Some(rewrite) = &written.rewrite_regex {
            let at = self.at([Field("rewrite_regex"), Field("find")]);
            let find = self.all.regex(&rewrite.find.0, at)?;
            self.groups(&find, &rewrite.replace);
            return Some(PathChange::Regex { find, replace: rewrite.replace.clone() });
        }
        if let Some(rewrite) = &written.rewrite {
            let at = self.at([Field("rewrite")]);
            let template = self.text(&rewrite.0, at, paths)?;
            self.rooted(&template, &rewrite.0, at, "the query of the request is sent as it is");
            return Some(PathChange::Rewrite(template));
        }
        let mut strip = self.stripped(paths);
        let add = written
            .add_prefix
            .as_ref()
            .and_then(|add| self.prefix("add_prefix", &add.0, self.at([Field("add_prefix")])));
        // The first that fits is taken.
        strip.sort_by_key(|prefix| std::cmp::Reverse(prefix.len()));
        if strip.is_empty() && add.is_none() {
            return Some(PathChange::Keep);
        }
        Some(PathChange::Prefix { strip, add: add.unwrap_or_default() })
    }

    /// The prefixes that are cut off: each from some path of the route, and from each path one of them.
    fn stripped(&mut self, paths: &[Matcher]) -> Vec<String> {
        let written = self.defined.written.strip_prefix.as_ref();
        let mut prefixes = Vec::new();
        let mut lost = false;
        for (index, prefix) in written.iter().flat_map(|prefixes| &prefixes.0).enumerate() {
            let at = self.at([Field("strip_prefix"), Item(index)]);
            let Some(prefix) = self.prefix("strip_prefix", &prefix.0, at) else { continue };
            if !paths.iter().any(|path| may_begin(path, &prefix)) {
                let problem =
                    Problem::error("prefix-never-there", at, format!("no path of this route begins with `{prefix}`"));
                self.about_paths(problem);
                lost = true;
            }
            self.once(&mut prefixes, prefix.clone(), &prefix, at);
        }
        if prefixes.is_empty() || lost {
            return prefixes;
        }
        for path in paths.iter().filter(|path| !prefixes.iter().any(|prefix| may_begin(path, prefix))) {
            let Matcher::Path(pattern) = path else { continue };
            let at = self.at([Field("strip_prefix")]);
            let message = match prefixes.as_slice() {
                [prefix] => format!("the path `{pattern}` does not begin with `{prefix}`"),
                _ => format!("the path `{pattern}` begins with none of these"),
            };
            let help = "add its prefix, or make it a route of its own";
            self.about_paths(Problem::error("prefix-never-there", at, message).help(help));
        }
        prefixes
    }

    fn about_paths(&mut self, problem: Problem) {
        let path = self.defined.node.entry("path").or(self.defined.node.entry("path_prefix"));
        self.all.problems.push(match path {
            Some(path) => problem.related(path.value.head(), "its paths are these"),
            None => problem,
        });
    }

    fn prefix(&mut self, name: &str, text: &str, at: Span) -> Option<String> {
        if text.trim_end_matches('/').is_empty() {
            let message = format!("`{name}` says nothing: it has no segment");
            self.all.problems.push(Problem::error("empty-prefix", at, message).help("remove it"));
        }
        let normal = path::normalise(text).ok()?;
        Some(normal.trim_end_matches('/').to_owned())
    }

    /// A path that is put together must begin with `/`, whatever its values are, and has no query.
    fn rooted(&mut self, template: &Template, written: &str, at: Span, on_query: &str) {
        let rooted = match template.pieces().first() {
            Some(Piece::Text(text)) => text.starts_with('/'),
            Some(Piece::Variable(variable)) => *variable == crate::template::Variable::Path,
            // What the platform holds may well begin with a slash; a parameter never does.
            Some(Piece::Reference(_)) => true,
            Some(Piece::Parameter(_) | Piece::Member(..) | Piece::Document(_) | Piece::Piped(..)) | None => false,
        };
        let literals = template.pieces().iter().filter_map(|piece| match piece {
            Piece::Text(text) => Some(text.as_str()),
            _ => None,
        });
        for text in literals {
            if let Some(c) = text.chars().find(|c| matches!(c, '?' | '#' | '\\')) {
                let message = format!("a path has no `{c}`");
                let problem = Problem::error("bad-rewrite", self.all.part(at, &c.to_string()), message);
                self.all.problems.push(match c {
                    '?' => problem.help(on_query),
                    _ => problem,
                });
            }
        }
        if !rooted {
            let problem = Problem::error("bad-rewrite", at, "a path must begin with `/`");
            self.all.problems.push(problem.help(format!("write `/{written}`")));
        }
    }

    fn redirect(&mut self, written: &written::Redirect, paths: &[Matcher]) -> Option<Redirect> {
        let at = self.at([Field("redirect"), Field("to")]);
        let to = self.value(&written.to.0, at, paths)?;
        let begins = match to.pieces().first() {
            Some(Piece::Text(text)) => Some(text.as_str()),
            Some(Piece::Reference(_)) => None,
            Some(Piece::Variable(crate::template::Variable::Path)) => Some("/"),
            Some(
                Piece::Parameter(_) | Piece::Variable(_) | Piece::Member(..) | Piece::Document(_) | Piece::Piped(..),
            )
            | None => Some(""),
        };
        if let Some(begins) = begins {
            let scheme = ["http://", "https://"].iter().any(|scheme| begins.to_ascii_lowercase().starts_with(scheme));
            // `{request.scheme}://…` is a whole address too.
            let by_variable = matches!(
                to.pieces(),
                [Piece::Variable(crate::template::Variable::Scheme), Piece::Text(text), ..] if text.starts_with("://")
            );
            if begins.starts_with("//") {
                let message = "an address that begins with `//` takes its scheme from the client's";
                let problem = Problem::error("bad-redirect", at, message);
                self.all.problems.push(problem.help("write `https:` before it, or one slash for a path"));
            } else if !(scheme || by_variable || begins.starts_with('/')) {
                let message = format!("`{}` is neither an address nor a path", written.to.0);
                let problem = Problem::error("bad-redirect", at, message);
                self.all.problems.push(problem.help("begin with `https://` or `/`"));
            }
        }
        let keep_query = match written.query {
            None | Some(written::RedirectQuery::Keep) => true,
            Some(written::RedirectQuery::Drop) => false,
        };
        Some(Redirect { to, status: written.status.map_or(302, |status| status.0), keep_query })
    }

    fn respond(&mut self, written: &written::Respond, paths: &[Matcher]) -> Option<Respond> {
        let status = written.status.unwrap_or(200);
        let mut headers = Vec::new();
        let node = self.defined.node.get("respond");
        self.distinct_headers(written.headers.as_ref(), node.and_then(|node| node.get("headers")));
        for (name, values) in written.headers.iter().flat_map(|headers| headers.0.iter()) {
            let lower = name.0.to_ascii_lowercase();
            if let Some(entry) = node.and_then(|node| node.get("headers")).and_then(|headers| headers.entry(&name.0)) {
                self.changeable(&lower, entry.name_at, Direction::Response);
            }
            for (index, value) in values.0.iter().enumerate() {
                let at = self.at([Field("respond"), Field("headers"), Field(&name.0), Item(index)]);
                headers.extend(self.value(&value.0, at, paths).map(|value| (lower.clone(), value)));
            }
        }
        let at = self.at([Field("respond"), Field("body")]);
        if matches!(status, 204 | 205 | 304) && written.body.is_some() {
            let message = format!("an answer with the status {status} has no body");
            self.all
                .problems
                .push(Problem::error("body-not-allowed", at, message).help("remove the body, or answer with 200"));
        }
        let body = match &written.body {
            Some(body) => Some(self.text(&body.0, at, paths)?),
            None => None,
        };
        Some(Respond { status, headers, body })
    }

    fn edits(
        &mut self,
        written: Option<&written::Edits>,
        node: Option<&Node>,
        direction: Direction,
        paths: &[Matcher],
    ) -> HeaderEdits {
        let (Some(written), Some(node)) = (written, node) else { return HeaderEdits::default() };
        let mut edits = HeaderEdits::default();
        let seen = match direction {
            Direction::Request => Seen::REQUEST,
            Direction::Response => Seen::RESPONSE,
        };
        for (name, new) in written.rename.iter().flat_map(|names| &names.0) {
            let Some(entry) = node.get("rename").and_then(|names| names.entry(&name.0)) else { continue };
            let (from, to) = (name.0.to_ascii_lowercase(), new.0.to_ascii_lowercase());
            self.changeable(&from, entry.name_at, direction);
            self.changeable(&to, entry.value.at, direction);
            edits.rename.push((from, to));
        }
        let mut values = |field: &str, named: &Option<written::Named<written::HeaderName, written::Template>>| {
            let mut all = Vec::new();
            for (name, value) in named.iter().flat_map(|named| &named.0) {
                let Some(entry) = node.get(field).and_then(|named| named.entry(&name.0)) else { continue };
                let lower = name.0.to_ascii_lowercase();
                self.changeable(&lower, entry.name_at, direction);
                let value = self.value_in(&value.0, entry.value.at, paths, seen);
                all.extend(value.map(|value| (lower, value)));
            }
            all
        };
        edits.replace = values("replace", &written.replace);
        edits.default = values("default", &written.default);
        edits.statuses = written.statuses.iter().flat_map(|all| &all.0).map(|one| transform::status(*one)).collect();
        if let (Some(statuses), Direction::Request) = (node.entry("statuses"), direction) {
            let problem = Problem::error("unknown-field", statuses.name_at, "requests have no status");
            self.all.problems.push(problem.help("remove it"));
        }
        for (name, dedupe) in written.dedupe.iter().flat_map(|named| &named.0) {
            let Some(entry) = node.get("dedupe").and_then(|named| named.entry(&name.0)) else { continue };
            let lower = name.0.to_ascii_lowercase();
            self.changeable(&lower, entry.name_at, direction);
            if COMMAS.contains(&lower.as_str()) {
                let message = format!("values of `{lower}` hold commas, so nobody can say where one of several ends");
                self.all.problems.push(Problem::error("forbidden-header", entry.name_at, message).help("remove it"));
            }
            let dedupe = match dedupe {
                written::Dedupe::First => Dedupe::First,
                written::Dedupe::Last => Dedupe::Last,
                written::Dedupe::Unique => Dedupe::Unique,
            };
            edits.dedupe.push((lower, dedupe));
        }
        for (index, name) in written.remove.iter().flat_map(|names| names.0.iter()).enumerate() {
            let lower = name.0.to_ascii_lowercase();
            self.changeable(&lower, node.place([Field("remove"), Item(index)]), direction);
            edits.remove.push(lower);
        }
        for (field, named) in [("set", &written.set), ("append", &written.append)] {
            self.distinct_headers(named.as_ref(), node.get(field));
            for (name, values) in named.iter().flat_map(|named| named.0.iter()) {
                let lower = name.0.to_ascii_lowercase();
                if let Some(entry) = node.get(field).and_then(|named| named.entry(&name.0)) {
                    self.changeable(&lower, entry.name_at, direction);
                }
                for (index, value) in values.0.iter().enumerate() {
                    let at = node.place([Field(field), Field(&name.0), Item(index)]);
                    let Some(value) = self.value_in(&value.0, at, paths, seen) else { continue };
                    // Of several values the first replaces what was there, the others join it.
                    let list = if field == "set" && index == 0 { &mut edits.set } else { &mut edits.append };
                    list.push((lower.clone(), value));
                }
            }
        }
        let changes_nothing = HeaderEdits { statuses: Vec::new(), ..edits.clone() }.is_empty();
        if let Some(statuses) = node.entry("statuses").filter(|_| changes_nothing && !node.damaged) {
            let problem = Problem::error("empty-policy", statuses.name_at, "nothing is changed with these statuses");
            self.all.problems.push(problem.help("say what to `set`, `append` or `remove`, or remove it"));
        }
        edits
    }

    /// Fields that frame and route messages are the platform's and the gateway's own.
    fn changeable(&mut self, name: &str, at: Span, direction: Direction) {
        let help = match (name, direction) {
            ("host", Direction::Request) => {
                "it is the target's own on both platforms; `X-Forwarded-Host` has the client's"
            }
            ("upgrade", Direction::Request) => "use `websocket`",
            ("via", Direction::Request) => "RFC 9110 asks every gateway for it; `via` sets its name",
            (
                "forwarded" | "x-forwarded-for" | "x-forwarded-proto" | "x-forwarded-host" | "x-forwarded-prefix",
                Direction::Request,
            ) => "`forwarded` says which of these fields the gateway writes",
            (
                "connection" | "keep-alive" | "proxy-connection" | "te" | "trailer" | "upgrade" | "http2-settings",
                Direction::Request | Direction::Response,
            ) => "it is about one connection, and the platform writes it",
            ("transfer-encoding" | "content-length", Direction::Request | Direction::Response) => {
                "it says where the body ends, and the platform writes it"
            }
            (_, Direction::Request | Direction::Response) => return,
        };
        let message = format!("the header `{name}` cannot be changed");
        self.all.problems.push(Problem::error("forbidden-header", at, message).help(help));
    }

    fn distinct_headers<T>(&mut self, named: Option<&written::Named<written::HeaderName, T>>, node: Option<&Node>) {
        let (Some(named), Some(node)) = (named, node) else { return };
        for (index, (name, _)) in named.0.iter().enumerate() {
            let known = named.0.iter().take(index).any(|(other, _)| other.0.eq_ignore_ascii_case(&name.0));
            if let Some(entry) = node.entry(&name.0).filter(|_| known) {
                self.same_header(&name.0, entry.name_at);
            }
        }
    }

    fn same_header(&mut self, name: &str, at: Span) {
        let message = format!("the header `{name}` is here a second time: case makes no difference");
        self.all
            .problems
            .push(Problem::error("duplicate-key", at, message).help("put its values in a list, or keep one"));
    }

    /// A template for a header's value, which is one line.
    fn value(&mut self, text: &str, at: Span, paths: &[Matcher]) -> Option<Template> {
        self.value_in(text, at, paths, Seen::REQUEST)
    }

    fn value_in(&mut self, text: &str, at: Span, paths: &[Matcher], seen: Seen) -> Option<Template> {
        self.one_line(text, at);
        self.text_in(text, at, paths, seen)
    }

    fn one_line(&mut self, text: &str, at: Span) {
        if let Some(c) = text.chars().find(|c| c.is_control() && *c != '\t') {
            let what = if matches!(c, '\n' | '\r') { "a line break" } else { "a control character" };
            let problem = Problem::error("bad-header-value", at, format!("{what} cannot be sent in a header"));
            let block = self.all.sources.text(at).starts_with(['|', '>']);
            self.all.problems.push(
                problem.maybe_help(block.then(|| "write `|-` or `>-`, which leave out the last line break".to_owned())),
            );
        }
    }

    /// A template, whose parameters every path of the route must have.
    fn text(&mut self, text: &str, at: Span, paths: &[Matcher]) -> Option<Template> {
        self.text_in(text, at, paths, Seen::REQUEST)
    }

    /// The same, where more is to be seen than the request.
    fn text_in(&mut self, text: &str, at: Span, paths: &[Matcher], seen: Seen) -> Option<Template> {
        let template = self.all.template(text, at)?;
        self.seen(&template, at, seen);
        for piece in template.pieces() {
            let Piece::Parameter(name) = piece.base() else { continue };
            for path in paths {
                let known = parameters(path);
                if known.contains(&name.as_str()) {
                    continue;
                }
                let place = self.all.part(at, &format!("{{{name}}}"));
                let message = match paths {
                    _ if self.defined.name.is_empty() => format!("no route is there to say what `{name}` is"),
                    [_] => format!("the path of this route has no parameter `{name}`"),
                    _ => format!("one of the paths of this route has no parameter `{name}`"),
                };
                let help = match closest(name, known.iter().copied()) {
                    _ if self.defined.name.is_empty() => "`{{` is a plain brace".to_owned(),
                    Some(meant) => format!("did you mean `{{{meant}}}`?"),
                    None if known.is_empty() => {
                        format!("name it in `path`, such as `/files/{{{name}}}`; `{{{{` is a plain brace")
                    }
                    None => format!("there are {}", list_some(&known)),
                };
                let problem = Problem::error("unknown-parameter", place, message);
                let path = ["path", "path_prefix", "path_regex"].iter().find_map(|name| self.defined.node.entry(name));
                self.all.problems.push(match path {
                    Some(path) => problem.related(path.value.head(), "the path is here").help(help),
                    None => problem.help(help),
                });
                break;
            }
        }
        Some(template)
    }

    fn exclude(&mut self, name: &str, others: &[&str]) {
        let Some(entry) = self.defined.node.entry(name) else { return };
        for other in others {
            if let Some(other_entry) = self.defined.node.entry(other) {
                self.both(entry.name_at, name, other_entry.name_at, other);
            }
        }
    }

    fn both(&mut self, one_at: Span, one: &str, other_at: Span, other: &str) {
        let (first, second) = if one_at < other_at { (one_at, other_at) } else { (other_at, one_at) };
        let problem = Problem::error("conflicting-fields", second, format!("`{one}` and `{other}` exclude each other"));
        self.all.problems.push(problem.related(first, "the other is here").help("keep one of them"));
    }

    fn at<'s>(&self, steps: impl IntoIterator<Item = Step<'s>>) -> Span {
        self.defined.node.place(steps)
    }
}

/// Fields of which a comma is no end of a value: dates, cookies and challenges.
const COMMAS: [&str; 9] = [
    "date",
    "expires",
    "last-modified",
    "if-modified-since",
    "if-unmodified-since",
    "sunset",
    "set-cookie",
    "www-authenticate",
    "user-agent",
];

/// What a template can see besides the request.
#[derive(Debug, Clone, Copy)]
struct Seen {
    /// Whether there is a response.
    response: bool,
    /// The documents that there are.
    documents: &'static [&'static str],
}

impl Seen {
    const REQUEST: Self = Self { response: false, documents: &[] };
    const RESPONSE: Self = Self { response: true, documents: &[] };
}

/// Which way a header goes.
#[derive(Debug, Clone, Copy)]
enum Direction {
    Request,
    Response,
}

/// The conditions that routes and exclusions share.
struct Asked<'w> {
    method: Option<&'w written::OneOrMany<written::Method>>,
    headers: Option<&'w written::Named<written::HeaderName, written::Match>>,
    query: Option<&'w written::Named<String, written::Match>>,
    cookies: Option<&'w written::Named<written::Token, written::Match>>,
    scheme: Option<written::Scheme>,
    client_address: Option<&'w written::OneOrMany<written::Cidr>>,
    country: Option<&'w written::OneOrMany<written::Country>>,
    data_centre: Option<&'w written::OneOrMany<written::DataCentre>>,
}

fn limits(written: Option<&written::Limits>) -> Limits {
    let default = Limits::default();
    let Some(written) = written else { return default };
    Limits {
        target: written.target.map_or(default.target, |size| size.bytes),
        headers: written.headers.map_or(default.headers, |size| size.bytes),
        header_count: written.header_count.map_or(default.header_count, u64::from),
        body: written.body.map(|size| size.bytes).or(default.body),
    }
}

fn host_header(written: &written::HostHeader) -> HostHeader {
    match written.0.as_str() {
        "target" => HostHeader::Target,
        "keep" => HostHeader::Keep,
        name => HostHeader::Fixed(name.to_owned()),
    }
}

fn hosts(written: Option<&written::OneOrMany<written::HostPattern>>) -> Vec<Host> {
    let parsed = written.iter().flat_map(|hosts| hosts.0.iter()).filter_map(|host| Host::parse(&host.0).ok());
    let mut hosts: Vec<Host> = Vec::new();
    for host in parsed {
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    hosts
}

fn parameters(path: &Matcher) -> Vec<&str> {
    match path {
        Matcher::Path(pattern) => pattern.parameters().collect(),
        Matcher::Regex(regex) => regex.groups().collect(),
    }
}

/// Whether a path that matches may begin with these whole segments.
fn may_begin(path: &Matcher, prefix: &str) -> bool {
    let pattern = match path {
        Matcher::Path(pattern) => pattern,
        Matcher::Regex(_) => return true,
    };
    let mut segments = pattern.segments.iter();
    for wanted in prefix.split('/').skip(1) {
        let fits = match segments.next() {
            Some(Segment::Literal(literal)) => literal == wanted,
            Some(Segment::Parameter(_, kind)) => kind.accepts(wanted),
            None => return !matches!(pattern.tail, Tail::Exact),
        };
        if !fits {
            return false;
        }
    }
    true
}

fn distinct(all: impl Iterator<Item = String>) -> Vec<String> {
    let mut known = Vec::new();
    for one in all {
        if !known.contains(&one) {
            known.push(one);
        }
    }
    known
}

fn list_some(names: &[&str]) -> String {
    const MOST: usize = 12;
    let shown: Vec<String> = names.iter().take(MOST).map(|name| format!("`{name}`")).collect();
    let more = if names.len() > MOST { " and more" } else { "" };
    format!("{}{more}", shown.join(", "))
}

fn show_duration(milliseconds: u64) -> String {
    match milliseconds {
        ms if ms % 60_000 == 0 => format!("{}m", ms / 60_000),
        ms if ms % 1_000 == 0 => format!("{}s", ms / 1_000),
        ms => format!("{ms}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{load, source::Files};
    use crate::policy::Policy;
    use std::path::Path;

    #[test]
    fn what_is_not_said_has_the_documented_value() {
        let running = running("upstreams: { o: { targets: [{ url: http://a }] } }\nroutes: [{ name: a, upstream: o }]");
        let globals = &running.globals;
        assert_eq!(globals.limits, Limits::default());
        assert_eq!((globals.via.as_str(), globals.misdirected), ("postern", false));
        assert_eq!(globals.forwarded, ForwardedFields::XForwarded);
        assert_eq!(globals.upstreams[0].timeouts, Timeouts::default());
        assert_eq!(globals.upstreams[0].host, HostHeader::Target);
        let Ranked { priority, hosts, route } = &running.routes[0].ranked;
        assert_eq!((*priority, hosts.as_slice()), (0, [Host::Any].as_slice()));
        assert!(route.conditions.is_empty());
        assert_eq!(route.paths, [Matcher::Path(Pattern { segments: Vec::new(), tail: Tail::Prefix })]);
        let forward = Forward {
            upstream: 0,
            path: PathChange::Keep,
            host: None,
            timeouts: None,
            websocket: Some(Sockets::default()),
        };
        assert_eq!(
            route.then,
            Plan { policies: PolicyList(0), body_limit: None, limits: None, action: Action::Forward(forward) }
        );
    }

    #[test]
    fn timeouts_are_taken_value_by_value_from_route_group_upstream_and_default() {
        let running = running(
            "
             upstreams: { o: { targets: [{ url: http://a }], timeouts: { total: 40s } } }
             groups:
               - name: g
                 defaults: { upstream: o, timeouts: { attempt: 7s } }
                 routes:
                   - { name: a, path: /a }
                   - { name: b, path: /b, timeouts: { total: 20s } }
                   - { name: c, path: /c, timeouts: { attempt: 1s, total: 2s } }",
        );
        let timeouts = |place: usize| {
            let forward = running.routes[place].ranked.route.then.action.forward()?;
            forward.timeouts.map(|timeouts| (timeouts.attempt, timeouts.total))
        };
        assert_eq!(timeouts(0), Some((7_000, 40_000)));
        assert_eq!(timeouts(1), Some((7_000, 20_000)));
        assert_eq!(timeouts(2), Some((1_000, 2_000)));
    }

    #[test]
    fn the_defaults_of_a_group_yield_to_its_routes() {
        let running = running(
            "
             upstreams: { o: { targets: [{ url: http://a }] } }
             groups:
               - name: g
                 defaults:
                   host: a.example
                   upstream: o
                   websocket: false
                   priority: 3
                   headers: { x-a: present, x-b: present }
                   policies: [{ headers: { request: { remove: x-first } } }]
                 routes:
                   - name: a
                     host: b.example
                     headers: { X-B: absent }
                     policies: [{ headers: { request: { remove: x-second } } }]
                   - { name: b, respond: {} }",
        );
        let Ranked { priority, hosts, route } = &running.routes[0].ranked;
        assert_eq!((*priority, hosts.as_slice()), (3, [Host::Exact("b.example".into())].as_slice()));
        let test =
            |name: &str| route.conditions.headers.iter().find(|named| named.name == name).map(|named| &named.test);
        assert_eq!((test("x-a"), test("x-b")), (Some(&Test::Present), Some(&Test::Absent)));
        let removed: Vec<_> = running.policies[route.then.policies.0 as usize]
            .iter()
            .filter_map(|policy| match policy {
                Policy::Headers(headers) => Some(headers.request.remove.join(",")),
                _ => None,
            })
            .collect();
        assert_eq!(removed, ["x-first", "x-second"]);
        // An action of its own takes the place of the group's, with all that belongs to it.
        let answer = Respond { status: 200, headers: Vec::new(), body: None };
        assert_eq!(running.routes[1].ranked.route.then.action, Action::Respond(answer));
    }

    #[test]
    fn header_names_are_lower_case_and_further_values_join_the_first() {
        let running = running(
            "routes:
               - name: a
                 headers: { X-A: { exact: b } }
                 respond: { headers: { Set-Cookie: [a=1, b=2] } }
                 policies: [{ headers: { response: { set: { Vary: [a, b] }, append: { Vary: c } } } }]",
        );
        let route = &running.routes[0].ranked.route;
        assert_eq!(route.conditions.headers, [Named { name: "x-a".into(), test: Test::Any(vec!["b".into()]) }]);
        let Action::Respond(respond) = &route.then.action else { panic!("it answers") };
        let cookie = |value: &str| ("set-cookie".to_owned(), Template::literal(value));
        assert_eq!(respond.headers, [cookie("a=1"), cookie("b=2")]);
        let [Policy::Headers(policy)] = running.policies[route.then.policies.0 as usize].as_slice() else {
            panic!("there is one policy")
        };
        let vary = |value: &str| ("vary".to_owned(), Template::literal(value));
        assert_eq!(policy.response.set, [vary("a")]);
        assert_eq!(policy.response.append, [vary("b"), vary("c")]);
    }

    #[test]
    fn routes_with_the_same_policies_share_one_list() {
        let running = running(
            "groups:
               - name: g
                 defaults: { policies: [{ headers: { request: { remove: x } } }] }
                 routes:
                   - { name: a, path: /a, respond: {} }
                   - { name: b, path: /b, respond: {} }
                   - { name: c, path: /c, respond: {}, policies: [{ headers: { request: { remove: y } } }] }",
        );
        let lists: Vec<_> = running.routes.iter().map(|route| route.ranked.route.then.policies.0).collect();
        assert_eq!(lists, [1, 1, 2]);
        assert_eq!(running.policies.iter().map(Vec::len).collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[test]
    fn references_and_features_are_listed_once() {
        let running = running(
            "
             upstreams: { o: { targets: [{ url: '${env:ORIGIN}' }, { url: '${env:ORIGIN}/b' }] } }
             routes:
               - name: a
                 path_regex: ^/a
                 upstream: o
                 policies: [{ headers: { request: { set: { authorization: 'Bearer ${secret:TOKEN}' } } } }]",
        );
        let references: Vec<_> = running.globals.references.iter().map(ToString::to_string).collect();
        assert_eq!(references, ["${env:ORIGIN}", "${secret:TOKEN}"]);
        assert_eq!(running.globals.features, ["regex"]);
    }

    #[test]
    fn lists_mean_any_and_are_not_longer_than_needed() {
        let running = running(
            "routes:
               - { name: a, host: [A.example, a.example], path: ['/{x}', '/{x}'], method: [GET, GET], respond: {},
                   client_address: [10.1.0.0/8, 10.0.0.0/8], scheme: https, country: [DE, DE] }",
        );
        let Ranked { hosts, route, .. } = &running.routes[0].ranked;
        assert_eq!((hosts.len(), route.paths.len(), route.conditions.methods.len()), (1, 1, 1));
        assert_eq!((route.conditions.addresses.len(), route.conditions.countries.len()), (1, 1));
        assert_eq!(route.conditions.scheme, Some(Scheme::Https));
    }

    fn running(text: &str) -> Running {
        struct One<'a>(&'a str);
        impl Files for One<'_> {
            fn read(&self, _: &Path) -> Result<String, String> {
                Ok(self.0.to_owned())
            }
        }
        let mut sources = Sources::default();
        let mut problems = Vec::new();
        let loaded = load::load(Path::new("gateway.yaml"), &One(text), &mut sources, &mut problems);
        let running = compile(&loaded, &sources, &mut problems);
        problems.retain(Problem::is_error);
        assert!(problems.is_empty(), "{problems:?}");
        running
    }
}
