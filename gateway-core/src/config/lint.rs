//! What is allowed but is hardly what was meant: routes that nothing reaches, ties, things that a platform cannot do.

use std::collections::{HashMap, HashSet};

use crate::{
    client::Cidr,
    expression::{self as evaluated, Expression},
    gateway::Action,
    route::{
        Conditions, Host, Kind, Matcher, Named, Pattern, Test,
        index::Index,
        pattern::{Segment, Tail},
        rank::{Frozen, Rank},
    },
    template::{Piece, Template, Variable},
    upstream::HostHeader,
};

use super::{
    compile::{Running, RunningRoute, compose},
    expression, format,
    load::{Defined, Loaded},
    node::{
        Node,
        Step::{Field, Item},
        Value,
    },
    pass::{Options, Runtime},
    problem::{Problem, Span},
    written,
};

/// Every warning that needs the whole configuration to be seen.
pub(super) fn lint(
    loaded: &Loaded,
    running: &Running,
    frozen: Option<&Frozen>,
    options: &Options,
    problems: &mut Vec<Problem>,
) {
    let mut lint = Lint { loaded, running, options, problems };
    lint.upstreams();
    lint.bindings();
    for route in loaded.routes.iter().chain(&loaded.unmatched) {
        lint.spelling(route);
        lint.platforms(route);
        lint.authorisation(route);
        lint.limits(route);
        lint.dialect(route);
    }
    for route in &running.routes {
        lint.composition(route);
    }
    if let Some(frozen) = frozen {
        lint.order(&frozen.index);
    }
}

struct Lint<'a> {
    loaded: &'a Loaded,
    running: &'a Running,
    options: &'a Options,
    problems: &'a mut Vec<Problem>,
}

impl Lint<'_> {
    /// How many calls an answer takes, where Workers bound that.
    fn composition(&mut self, route: &RunningRoute) {
        let Action::Compose(compose) = &route.ranked.route.then.action else { return };
        let (Some(defined), true) =
            (self.loaded.routes.get(route.from), self.options.runtimes.contains(&Runtime::Workers))
        else {
            return;
        };
        let upstreams = &self.running.globals.upstreams;
        let attempts = |upstream: u32| {
            let rules = upstreams.get(upstream as usize).and_then(|upstream| upstream.rules.as_ref());
            rules.map_or(1, |rules| 1 + rules.retries.attempts + u32::from(rules.hedge.is_some()))
        };
        let (calls, at_once) = compose::calls(compose, attempts);
        let at = defined.node.entry("compose").map_or(defined.name_at, |entry| entry.name_at);
        let told = format!("this takes up to {calls} calls, with all attempts");
        if calls > compose::MOST {
            let message = format!("{told}, and Workers make {} for one request", compose::MOST);
            let problem = Problem::error("too-many-calls", at, message);
            self.problems.push(problem.help("lower `at_most`, or the `retries` of the steps and their upstreams"));
        } else if calls > FREE_CALLS {
            let message = format!("{told}, and Workers on the free plan make {FREE_CALLS} for one request");
            self.warn(
                defined,
                Problem::warning("many-calls", at, message).help("lower `at_most`, or allow the warning"),
            );
        }
        if at_once > CONNECTIONS {
            let at = defined.node.reach([Field("compose")]).and_then(|node| node.entry("parallel"));
            let at = at.map_or(defined.name_at, |entry| entry.name_at);
            let message = format!(
                "up to {at_once} calls are under way at once, and Workers wait for the heads of {CONNECTIONS} responses at once"
            );
            let problem = Problem::warning("many-connections", at, message);
            self.warn(defined, problem.help("lower `parallel`: the others wait in any case"));
        }
    }

    /// Whether a trusted proxy passes on what clients' certificates say, which is all that Spin hears of them.
    fn certificates_from_proxy(&self) -> bool {
        self.loaded.settings.written.client.as_ref().and_then(|client| client.certificate_from)
            == Some(written::CertificateFrom::ClientCert)
    }

    /// Queues and datasets are Cloudflare's; and what Spin cannot tell, no rule on lines can ask for.
    fn bindings(&mut self) {
        if !self.options.runtimes.contains(&Runtime::Spin) {
            return;
        }
        let rules =
            self.loaded.settings.node.reach([Field("telemetry"), Field("logs"), Field("sample"), Field("rules")]);
        let asked = rules.map(Node::items).unwrap_or_default().iter().filter_map(|rule| rule.get("when"));
        let from_proxy = self.certificates_from_proxy();
        self.problems.extend(asked.flat_map(|text| condition_untold(text, from_proxy)));
        let sinks = self.loaded.settings.node.reach([Field("telemetry"), Field("logs"), Field("to")]);
        for (sink, name) in sinks
            .map(Node::items)
            .unwrap_or_default()
            .iter()
            .flat_map(|sink| ["queue", "analytics"].map(|name| (sink, name)))
        {
            if let Some(entry) = sink.entry(name) {
                let message = "Spin has no such thing, so there these lines are lost";
                let problem = Problem::warning("binding-unavailable", entry.name_at, message);
                self.problems
                    .push(problem.help("compile with `--runtime workers` if it runs there only, or take `http`"));
            }
        }
    }

    fn upstreams(&mut self) {
        // A route in a file that cannot be read may use any of them.
        if !self.loaded.incomplete {
            let spares = self.loaded.upstreams.iter().filter_map(|upstream| {
                let fallback = upstream.node.get("fallback")?.get("upstream")?;
                fallback.text().filter(|name| *name != upstream.name)
            });
            let used: HashSet<&str> =
                self.loaded.roots.iter().flatten().flat_map(used_upstreams).chain(spares).collect();
            for upstream in self.loaded.upstreams.iter().filter(|upstream| !used.contains(upstream.name.as_str())) {
                let message = format!("no route forwards to the upstream `{}`", upstream.name);
                let problem = Problem::warning("unused-upstream", upstream.name_at, message);
                self.problems.push(problem.help("remove it, or forward to it"));
            }
        }
        for upstream in &self.loaded.upstreams {
            let own = upstream.written.targets.iter().all(|target| {
                let url = target.url.as_ref().map_or("", |url| &url.0);
                let authority = url.split_once("://").map_or("", |(_, rest)| rest);
                upstream.written.host.as_ref().is_some_and(|host| authority.split('/').next() == Some(host.0.as_str()))
            });
            if let (Some(host), false) = (upstream.node.get("host"), own) {
                let problem = self.host_override(host);
                self.problems.extend(problem);
            }
            self.grpc_check(upstream);
            self.ways(upstream);
            if !self.options.runtimes.contains(&Runtime::Spin) {
                continue;
            }
            for target in upstream.node.get("targets").map(Node::items).unwrap_or_default() {
                if let Some(entry) = target.entry("prefer_for") {
                    let message = "Spin does not tell where requests come from, so there no target is preferred";
                    let problem = Problem::warning("location-unavailable", entry.name_at, message);
                    self.problems.push(problem.help("compile for Workers only, or allow the warning"));
                }
            }
        }
    }

    /// Native gRPC needs HTTP/2 all the way.
    fn grpc_check(&mut self, upstream: &Defined<written::Upstream>) {
        let check = upstream.written.health.as_ref().and_then(|health| health.check.as_ref());
        if check.and_then(|check| check.grpc.as_ref()).is_none_or(|grpc| grpc.web.unwrap_or(false)) {
            return;
        }
        let clear = upstream
            .written
            .targets
            .iter()
            .any(|target| target.url.as_ref().is_some_and(|url| url.0.starts_with("http://")));
        let why = if self.options.runtimes.contains(&Runtime::Workers) {
            "Workers speak no HTTP/2 to targets, so there this check fails"
        } else if clear {
            "Spin speaks HTTP/2 over TLS only (or to the one host of `SPIN_OUTBOUND_H2C_PRIOR_KNOWLEDGE`), so this check fails"
        } else {
            return;
        };
        let Some(entry) = upstream.node.get("health").and_then(|node| node.get("check")?.entry("grpc")) else { return };
        let problem = Problem::warning("check-unavailable", entry.name_at, why);
        self.problems.push(problem.help("write `web: true` where the targets speak gRPC-Web, or check by `http`"));
    }

    /// Ways to a target that only one platform has.
    fn ways(&mut self, upstream: &Defined<written::Upstream>) {
        for (index, target) in upstream.written.targets.iter().enumerate() {
            let node = |field| upstream.node.place([Field("targets"), Item(index), Field(field)]);
            let url = target.url.as_ref().map_or("", |url| &url.0);
            let host = url.split_once("://").map_or("", |(_, rest)| rest).split(['/', ':']).next().unwrap_or_default();
            let runs_on = |runtime| self.options.runtimes.contains(&runtime);
            if target.binding.is_some() && target.url.is_none() && runs_on(Runtime::Spin) {
                let message = "Spin has no bindings, so there nobody reaches this target";
                let problem = Problem::warning("target-unavailable", node("binding"), message);
                let help = "add a `url` for Spin, such as `http://orders.spin.internal`; or compile for Workers only";
                self.problems.push(problem.help(help));
            }
            if host.ends_with(".spin.internal") && target.binding.is_none() && runs_on(Runtime::Workers) {
                let message = "only Spin has components behind such names, so on Workers nobody reaches this target";
                let problem = Problem::warning("target-unavailable", node("url"), message);
                let help = "add a `binding` for Workers, such as `binding: ORDERS`; or compile for Spin only";
                self.problems.push(problem.help(help));
            }
        }
    }

    fn spelling(&mut self, route: &Defined<written::Route>) {
        let exclusions = route.node.get("not").map(Node::items).unwrap_or_default();
        for conditions in std::iter::once(&route.node).chain(exclusions) {
            for field in ["path", "path_prefix"] {
                self.normal(route, conditions.get(field), "no request has this path once it is normalised");
            }
        }
        self.normal(route, route.node.get("strip_prefix"), "no path begins so once it is normalised");
        self.normal(route, route.node.get("add_prefix"), "upstreams see this path in its normalised spelling");
    }

    fn normal(&mut self, route: &Defined<written::Route>, paths: Option<&Node>, message: &str) {
        for path in paths.map(Node::items).unwrap_or_default() {
            if let Some(normal) = path.text().and_then(format::normal_path) {
                let problem = Problem::warning("unnormalised-path", path.at, message);
                self.warn(route, problem.help(format!("write `{normal}`")));
            }
        }
    }

    fn platforms(&mut self, route: &Defined<written::Route>) {
        if let Some(host) = route.node.get("host_header")
            && let Some(problem) = self.host_override(host)
        {
            self.warn(route, problem);
        }
        if !self.options.runtimes.contains(&Runtime::Spin) {
            return;
        }
        let exclusions = route.node.get("not").map(Node::items).unwrap_or_default();
        for conditions in std::iter::once(&route.node).chain(exclusions) {
            for field in ["country", "data_centre"] {
                if let Some(entry) = conditions.entry(field) {
                    let message =
                        format!("Spin does not tell the {}, so there this is never met", field.replace('_', " "));
                    let problem = Problem::warning("location-unavailable", entry.name_at, message);
                    self.warn(route, problem.help("compile for Workers only, or allow the warning"));
                }
            }
        }
        let policies = route.node.get("policies").map(Node::items).unwrap_or_default();
        for countries in policies.iter().filter_map(|policy| policy.get("authorize")?.entry("countries")) {
            let message = if countries.value.get("allow").is_some() {
                "Spin does not tell the country, so there this refuses everybody"
            } else {
                "Spin does not tell the country, so there this refuses nobody"
            };
            let problem = Problem::warning("location-unavailable", countries.name_at, message);
            self.warn(route, problem.help("compile for Workers only, or allow the warning"));
        }
        let from_proxy = self.certificates_from_proxy();
        for problem in conditions(&route.node).into_iter().flat_map(|text| condition_untold(text, from_proxy)) {
            self.warn(route, problem);
        }
        for text in texts(&route.node) {
            let template = text.text().and_then(|text| Template::parse(text).ok());
            let pieces = template.as_ref().map(Template::pieces).unwrap_or_default();
            let uses = |of: fn(Variable) -> bool| {
                pieces.iter().any(|piece| matches!(piece.base(), Piece::Variable(variable) if of(*variable)))
            };
            if uses(|variable| variable == Variable::Country) {
                let message = "Spin does not tell the country, so there `{client.country}` is empty";
                self.warn(route, Problem::warning("location-unavailable", text.at, message));
            }
            if uses(|variable| variable == Variable::DataCentre) {
                let message = "Spin does not tell the data centre, so there `{client.data_centre}` is empty";
                self.warn(route, Problem::warning("location-unavailable", text.at, message));
            }
            if uses(Variable::is_of_certificate) && !from_proxy {
                let message = "Spin reports no certificates, so there `{client.certificate.…}` is empty";
                self.warn(route, Problem::warning("certificate-unavailable", text.at, message).help(PASS_ON));
            }
        }
        for (method, entry) in policies.iter().flat_map(|policy| certificate_methods(policy)).filter(|_| !from_proxy) {
            let message = format!("Spin reports no certificates, so there `{method}` refuses everybody");
            self.warn(route, Problem::warning("certificate-unavailable", entry, message).help(PASS_ON));
        }
        for taken_once in policies.iter().flat_map(taken_once) {
            let message =
                "Spin's instances live for a second or some hundred requests, so there a replay is soon taken";
            let problem = Problem::warning("replays-forgotten", taken_once, message);
            self.warn(
                route,
                problem.help("write `replay_scope: global`, or allow the warning if a short time is enough"),
            );
        }
        if let Some(websocket) = route.node.get("websocket").filter(|_| asks_for_websockets(route)) {
            let problem = Problem::warning("websocket-unavailable", websocket.at, "Spin has no WebSockets");
            self.warn(route, problem.help("compile for Workers only, or allow the warning"));
        }
    }

    /// What the clients or the upstream of a gRPC route speak, and a platform does not.
    fn dialect(&mut self, route: &Defined<written::Route>) {
        let (Some(node), Some(written)) = (route.node.get("grpc"), &route.written.grpc) else { return };
        let on_workers = self.options.runtimes.contains(&Runtime::Workers);
        let on_spin = self.options.runtimes.contains(&Runtime::Spin);
        let takes_grpc = written.clients.as_ref().is_some_and(|clients| clients.0.contains(&written::GrpcClient::Grpc));
        if let Some(clients) = node.get("clients").filter(|_| takes_grpc && on_workers) {
            let message = "gRPC ends in trailers, which Workers cannot send, so there its clients are refused; Cloudflare's \
                           edge makes gRPC-Web of it where the zone has gRPC switched on";
            let problem = Problem::warning("client-unavailable", clients.at, message);
            self.warn(route, problem.help("take `grpc_web` too, compile for Spin only, or allow the warning"));
        }
        let Some(dialect) = node.get("dialect") else { return };
        let upstream = self
            .loaded
            .upstreams
            .iter()
            .find(|upstream| route.written.upstream.as_ref().is_some_and(|name| name.0 == upstream.name));
        let clear = upstream.is_some_and(|upstream| {
            upstream
                .written
                .targets
                .iter()
                .any(|target| target.url.as_ref().is_some_and(|url| url.0.starts_with("http://")))
        });
        match written.dialect {
            written::GrpcDialect::Grpc => {
                if on_workers {
                    let message =
                        "Workers neither speak HTTP/2 to upstreams nor show trailers, so there every call fails";
                    let problem = Problem::warning("dialect-unavailable", dialect.at, message);
                    let help = "have the upstream speak gRPC-Web or Connect and write that, or compile for Spin only";
                    self.warn(route, problem.help(help));
                }
                if clear && on_spin {
                    let message = "Spin speaks HTTP/2 without TLS to one authority only, the one that the variable \
                                   SPIN_OUTBOUND_H2C_PRIOR_KNOWLEDGE of its environment names";
                    let problem = Problem::warning("dialect-unavailable", dialect.at, message);
                    self.warn(route, problem.help("write `https` in the target's `url`, or allow the warning"));
                }
            }
            written::GrpcDialect::Connect if on_workers || clear && on_spin => {
                let Some(method) = self.streams_both_ways(node, written) else { return };
                let why = if on_workers { "Workers speak" } else { "Spin without TLS speaks" };
                let message = format!(
                    "`{method}` streams both ways, for which Connect wants HTTP/2, and {why} HTTP/1.1 to upstreams"
                );
                let problem = Problem::warning("dialect-unavailable", dialect.at, message);
                self.warn(route, problem.help("leave it out of `services`, or allow the warning"));
            }
            written::GrpcDialect::Connect | written::GrpcDialect::GrpcWeb => {}
        }
    }

    /// A method of a gRPC route both of whose sides send many messages.
    fn streams_both_ways(&self, node: &Node, written: &written::Grpc) -> Option<String> {
        let known = self.loaded.descriptors.get(node.at)?;
        let methods = known
            .pool
            .services()
            .filter(|service| known.own.iter().any(|own| own == service.parent_file().name()))
            .flat_map(|service| service.methods().collect::<Vec<_>>());
        methods.filter(|method| method.is_client_streaming() && method.is_server_streaming()).find_map(|method| {
            let service = method.parent_service();
            let name = format!("{}/{}", service.full_name(), method.name());
            let is_named = |names: &written::OneOrMany<String>| {
                names.0.iter().any(|known| known == service.full_name() || *known == name)
            };
            written.services.as_ref().is_none_or(is_named).then_some(name)
        })
    }

    /// Rules on who calls, where nothing says who that is.
    fn authorisation(&mut self, route: &Defined<written::Route>) {
        let policies = route.written.policies.iter().flatten();
        for (index, policy) in policies.enumerate() {
            if policy.asks_who_calls() {
                return;
            }
            let written::Policy::Authorize(rules) = policy else { continue };
            let named = [
                ("consumers", rules.consumers.is_some()),
                ("groups", rules.groups.is_some()),
                ("scopes", rules.scopes.is_some()),
                ("claims", rules.claims.is_some()),
            ];
            let named = named.into_iter().find(|(_, given)| *given);
            let asks = || expressions(rules).any(|expression| expression.asks_who());
            let (field, message) = match named {
                Some((field, _)) => {
                    (field, format!("nobody is known to be calling yet, so rules on `{field}` refuse everybody"))
                }
                None if asks() => ("expression", "this asks who calls, and nobody is known yet".to_owned()),
                None => continue,
            };
            let at = route.node.place([Field("policies"), Item(index), Field("authorize"), Field(field)]);
            let problem = Problem::warning("authorize-without-authenticate", at, message);
            self.warn(route, problem.help("put an `authenticate` before it"));
            return;
        }
    }

    /// Limits that are not what they seem to be: on this platform, or for callers that nobody knows.
    fn limits(&mut self, route: &Defined<written::Route>) {
        let mut knows = false;
        let policies = route.node.get("policies").map(Node::items).unwrap_or_default();
        let written = route.written.policies.iter().flatten();
        for (policy, written) in policies.iter().zip(written) {
            let Some(entry) = policy.entries().first() else { continue };
            let (kind, policy) = (entry.name.as_str(), &entry.value);
            knows |= written.asks_who_calls();
            if kind == "idempotency" && !knows {
                let message =
                    "nobody is known to be calling, so keys belong to whoever sends the same `Authorization`, or none";
                let problem = Problem::warning("keys-without-authenticate", entry.name_at, message);
                self.warn(route, problem.help("put an `authenticate` before it; or allow this, if the upstream asks for credentials in `Authorization`"));
            }
            let default = match kind {
                "rate_limit" | "concurrency" | "spike_arrest" => "everybody",
                "quota" => "consumer",
                _ => continue,
            };
            let parts = policy.get("key").map(Node::items).unwrap_or_default();
            let is_of_caller =
                |part: &Node| matches!(part.text(), Some("consumer" | "group")) || part.get("claim").is_some();
            let unknown = if parts.is_empty() { default == "consumer" } else { parts.iter().any(is_of_caller) };
            if unknown && !knows {
                let message = "nobody is known to be calling yet, so this part of the key is always missing";
                let problem = Problem::warning("key-without-authenticate", entry.name_at, message);
                self.warn(route, problem.help("put an `authenticate` before it, or choose another `key`"));
            }
            if !self.options.runtimes.contains(&Runtime::Spin) {
                continue;
            }
            if let Some(country) = parts.iter().find(|part| part.text() == Some("country")) {
                let message = "Spin does not tell the country, so there this part of the key is always missing";
                self.warn(route, Problem::warning("location-unavailable", country.at, message));
            }
            let scope = policy.get("scope");
            if let Some(scope) = scope.filter(|scope| scope.text() == Some("location")) {
                let message = "Spin knows no data centres, so there this is one for all instances that share a store";
                self.warn(route, Problem::warning("location-unavailable", scope.at, message));
            }
            let is_shared = scope.is_none_or(|scope| scope.text() != Some("instance"));
            let rules = || {
                std::iter::once(policy.get("limits")).chain(
                    policy.get("plans").map(Node::entries).unwrap_or_default().iter().map(|entry| Some(&entry.value)),
                )
            };
            let bucket = rules()
                .flatten()
                .flat_map(Node::items)
                .any(|rule| rule.get("algorithm").and_then(Node::text) == Some("token_bucket"));
            let counters = self.loaded.settings.written.counters.as_ref();
            let is_exact = counters.is_some_and(|counters| counters.spin.is_some());
            if is_shared && !is_exact && (bucket || kind == "concurrency" || kind == "spike_arrest") {
                let message = "Spin's key-value store cannot count this in one step: of requests that instances count at the \
                               same moment only one is counted, so as many times too much is admitted as there are instances \
                               that do";
                let problem = Problem::warning("limit-not-atomic", entry.name_at, message);
                self.warn(route, problem.help("windows and quotas are exact there; a Redis counts everything exactly: `counters: { spin: { redis: … } }`"));
            }
        }
    }

    fn host_override(&self, host: &Node) -> Option<Problem> {
        let wanted = match host.text()? {
            "target" => return None,
            "keep" => HostHeader::Keep,
            name => HostHeader::Fixed(name.to_owned()),
        };
        let names: Vec<&str> = self
            .options
            .runtimes
            .iter()
            .map(|runtime| match runtime {
                Runtime::Workers => "Workers",
                Runtime::Spin => "Spin",
            })
            .collect();
        if names.is_empty() {
            return None;
        }
        let message = format!("on {} the `Host` is always the target's own", names.join(" and "));
        let help = match wanted {
            HostHeader::Keep => "`X-Forwarded-Host` tells the upstream the host that the client asked for",
            HostHeader::Fixed(_) | HostHeader::Target => "use the name in the target's address",
        };
        Some(Problem::warning("host-override", host.at, message).help(help))
    }

    /// Routes that better-ranked ones hide, and routes that only their place in the file tells apart.
    fn order(&mut self, index: &[u8]) {
        let index = Index(index);
        let mut known: HashMap<(String, String), Vec<u32>> = HashMap::new();
        for (place, route) in self.running.routes.iter().enumerate() {
            let mut hidden_by: Vec<usize> = Vec::new();
            let mut hidden = true;
            let mut tied: Option<usize> = None;
            for (host, path) in candidates(route) {
                let Some(rank) = Rank::of(&route.ranked, place, host, path) else { continue };
                let near = known.entry(sample(route, host, path)).or_insert_with_key(|(host, path)| {
                    let mut near = Vec::new();
                    index.find(host, path, &mut near);
                    near.truncate(MOST_NEIGHBOURS);
                    near
                });
                let mut by = None;
                for other in near {
                    let Some((other_place, other_path)) = index.candidate(*other) else { continue };
                    let (other_place, other_path) = (other_place as usize, other_path as usize);
                    let Some(other) = self.running.routes.get(other_place).filter(|_| other_place != place) else {
                        continue;
                    };
                    for other_host in 0..other.ranked.hosts.len() {
                        let Some(other_rank) = Rank::of(&other.ranked, other_place, other_host, other_path) else {
                            continue;
                        };
                        if other_rank > rank {
                            continue;
                        }
                        if covers(other, other_host, other_path, route, host, path) {
                            by = by.or(Some(other_place));
                        } else if tied.is_none()
                            && other_rank.cmp_purpose(&rank).is_eq()
                            && overlaps(other, other_host, other_path, route, host, path)
                        {
                            tied = Some(other_place);
                        }
                    }
                    if by.is_some() {
                        break;
                    }
                }
                match by {
                    Some(by) => hidden_by.push(by),
                    None => hidden = false,
                }
            }
            let defined = &self.loaded.routes[route.from];
            if route.accompanies {
                if hidden && let Some(&by) = hidden_by.first() {
                    self.login_unreachable(defined, by);
                }
                continue;
            }
            if hidden && let Some(&by) = hidden_by.first() {
                self.unreachable(defined, by);
            } else if let Some(tied) = tied {
                self.tied(defined, tied);
            }
        }
    }

    fn login_unreachable(&mut self, route: &Defined<written::Route>, by: usize) {
        let Some(other) = self.running.routes.get(by).map(|other| &self.loaded.routes[other.from]) else { return };
        let message =
            format!("nobody can log in to the route `{}`: `{}` takes its login's paths", route.name, other.name);
        let problem = Problem::warning("unreachable-route", route.name_at, message);
        let problem = problem.related(other.name_at, "this one comes before it");
        self.warn(route, problem.help("give the login other paths, or this route the higher `priority`"));
    }

    fn unreachable(&mut self, route: &Defined<written::Route>, by: usize) {
        let Some(other) = self.running.routes.get(by).map(|other| &self.loaded.routes[other.from]) else { return };
        let message =
            format!("the route `{}` is never reached: `{}` takes all of its requests", route.name, other.name);
        let problem = Problem::warning("unreachable-route", route.name_at, message);
        let problem = problem.related(other.name_at, "this one comes before it");
        self.warn(route, problem.help("remove it, ask for more in the other, or give it a higher `priority`"));
    }

    fn tied(&mut self, route: &Defined<written::Route>, other: usize) {
        let Some(other) = self.running.routes.get(other).map(|other| &self.loaded.routes[other.from]) else { return };
        let message = format!(
            "`{}` and `{}` can match the same request, and only their place in the file says which does",
            other.name, route.name
        );
        let problem = Problem::warning("tied-routes", route.name_at, message);
        let problem = problem.related(other.name_at, "this one is tried first");
        // Either of the two may say that it is meant.
        if !allows(other, "tied-routes") {
            self.warn(route, problem.help("give one of them a `priority`"));
        }
    }

    fn warn(&mut self, route: &Defined<written::Route>, problem: Problem) {
        if !allows(route, problem.code) {
            self.problems.push(problem);
        }
    }
}

/// How many candidates for one path are compared with each other. More are told apart by their conditions, which is
/// what the author of so many had in mind.
const MOST_NEIGHBOURS: usize = 500;

/// What makes certificates known everywhere.
const PASS_ON: &str =
    "have a trusted proxy pass it on: `client: { certificate_from: client_cert }`; or compile for Workers only";

/// The ways to prove who is calling.
fn ways(policy: &Node) -> impl Iterator<Item = &Node> {
    let policy = policy.get("authenticate");
    ["any_of", "all_of"].into_iter().filter_map(move |field| policy?.get(field)).flat_map(Node::items)
}

/// Where a policy asks that signatures be taken once by each instance.
fn taken_once(policy: &Node) -> Vec<Span> {
    let asks = ways(policy).filter_map(|way| {
        let method = way.get("signature").or_else(|| way.get("hmac_auth"))?;
        method.entry("replay_scope").filter(|scope| scope.value.text() == Some("instance")).map(|entry| entry.name_at)
    });
    asks.collect()
}

/// Where a policy asks for certificates.
fn certificate_methods(policy: &Node) -> Vec<(&'static str, Span)> {
    let asks = ways(policy).filter_map(|way| {
        if let Some(method) = way.entry("client_certificate") {
            return Some(("client_certificate", method.name_at));
        }
        let token = way.get("jwt").or_else(|| way.get("introspection"))?;
        let bound = token.entry("certificate_bound").filter(|bound| bound.value.value == Value::Bool(true))?;
        Some(("certificate_bound", bound.name_at))
    });
    asks.collect()
}

fn allows(route: &Defined<written::Route>, code: &str) -> bool {
    route.written.allow.iter().flat_map(|codes| codes.0.iter()).any(|allowed| allowed.0 == code)
}

fn used_upstreams(root: &Node) -> Vec<&str> {
    let groups = root.get("groups").map(Node::items).unwrap_or_default();
    let lists = std::iter::once(root).chain(groups).filter_map(|list| list.get("routes"));
    let routes = lists.flat_map(Node::items);
    let defaults = groups.iter().filter_map(|group| group.get("defaults"));
    let places: Vec<&Node> = routes.chain(defaults).chain(root.get("defaults")).collect();
    let policies = places.iter().filter_map(|place| place.get("policies")).flat_map(Node::items);
    let asked =
        policies.filter_map(|policy| policy.get("forward_auth").or(policy.get("mirror"))?.get("upstream")?.text());
    let composed = places.iter().filter_map(|place| place.reach([Field("compose"), Field("steps")]));
    let steps = composed.flat_map(Node::entries).filter_map(|step| step.value.get("upstream")?.text());
    places.iter().filter_map(|place| place.get("upstream")?.text()).chain(asked).chain(steps).collect()
}

/// How many requests Workers on the free plan make for one.
const FREE_CALLS: u32 = 50;

/// For the heads of how many responses Workers wait at once.
const CONNECTIONS: u32 = 6;

/// Where a route has conditions in the expression language.
fn conditions(route: &Node) -> Vec<&Node> {
    let policies = route.get("policies").map(Node::items).unwrap_or_default();
    let steps = route.reach([Field("compose"), Field("steps")]).map(Node::entries).unwrap_or_default();
    let of_policies = policies.iter().filter_map(|policy| match policy.get("authorize") {
        Some(rules) => rules.get("expression"),
        None => policy.get("cache")?.get("bypass"),
    });
    let of_steps = steps.iter().flat_map(|step| {
        let bypass = step.value.get("cache").and_then(|cache| cache.get("bypass"));
        step.value.get("when").into_iter().chain(bypass)
    });
    of_policies.chain(of_steps).flat_map(Node::items).collect()
}

/// What a condition asks for that Spin does not tell.
fn condition_untold(text: &Node, from_proxy: bool) -> Vec<Problem> {
    let expression = text
        .text()
        .and_then(|text| expression::condition(text, &[]).or_else(|_| expression::condition_on_steps(text, &[])).ok());
    let Some(expression) = expression else { return Vec::new() };
    let mut problems = Vec::new();
    if expression
        .asks_for(|variable| matches!(variable, evaluated::Variable::Country | evaluated::Variable::DataCentre))
    {
        let message = "Spin tells neither country nor data centre, so there what needs them does not hold";
        let problem = Problem::warning("location-unavailable", text.at, message);
        problems.push(problem.help("compile for Workers only, or allow the warning"));
    }
    if expression.asks_for(evaluated::Variable::is_of_certificate) && !from_proxy {
        let message = "Spin reports no certificates, so there what needs them does not hold";
        problems.push(Problem::warning("certificate-unavailable", text.at, message).help(PASS_ON));
    }
    problems
}

/// The conditions of a policy, as far as they can be read.
fn expressions(rules: &written::AuthorizePolicy) -> impl Iterator<Item = Expression> {
    let texts = rules.expression.iter().flat_map(|all| &all.0);
    texts.filter_map(|text| Some(expression::compile(&text.0, &[]).ok()?.0))
}

fn texts(node: &Node) -> Vec<&Node> {
    use super::node::Value;
    match &node.value {
        Value::Text(_) => vec![node],
        Value::List(items) => items.iter().flat_map(texts).collect(),
        Value::Map(entries) => entries.iter().flat_map(|entry| texts(&entry.value)).collect(),
        Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) => Vec::new(),
    }
}

fn candidates(route: &RunningRoute) -> impl Iterator<Item = (usize, usize)> {
    let (hosts, paths) = (route.ranked.hosts.len(), route.ranked.route.paths.len());
    (0..hosts).flat_map(move |host| (0..paths).map(move |path| (host, path)))
}

/// A host and a path that a candidate matches, kinds of parameters aside: whatever covers it is found by them too.
fn sample(route: &RunningRoute, host: usize, path: usize) -> (String, String) {
    let host = match route.ranked.hosts.get(host) {
        Some(Host::Exact(name)) => name.clone(),
        Some(Host::Wildcard(suffix)) => format!("x.{suffix}"),
        Some(Host::Any) | None => "any.invalid".to_owned(),
    };
    let path = match route.ranked.route.paths.get(path) {
        Some(Matcher::Path(pattern)) => {
            let mut path = String::new();
            for segment in &pattern.segments {
                path.push('/');
                path.push_str(match segment {
                    Segment::Literal(literal) => literal,
                    Segment::Parameter(_, _) => "~",
                });
            }
            match pattern.tail {
                Tail::Exact => {}
                Tail::CatchAll(_) | Tail::Prefix => path.push_str("/~/~"),
            }
            path
        }
        Some(Matcher::Regex(_)) | None => "/~/~".to_owned(),
    };
    (host, path)
}

/// Whether one candidate takes every request that the other would.
fn covers(a: &RunningRoute, a_host: usize, a_path: usize, b: &RunningRoute, b_host: usize, b_path: usize) -> bool {
    let hosts = match (a.ranked.hosts.get(a_host), b.ranked.hosts.get(b_host)) {
        (Some(a), Some(b)) => host_covers(a, b),
        (None, _) | (_, None) => false,
    };
    let (a, b) = (&a.ranked.route, &b.ranked.route);
    let paths = match (a.paths.get(a_path), b.paths.get(b_path)) {
        (Some(Matcher::Path(a)), Some(Matcher::Path(b))) => pattern_covers(a, b),
        (Some(Matcher::Path(a)), Some(Matcher::Regex(_))) => a.segments.is_empty() && a.tail == Tail::Prefix,
        (Some(Matcher::Regex(a)), Some(Matcher::Regex(b))) => a == b,
        (Some(Matcher::Regex(_)), Some(Matcher::Path(_))) | (None, _) | (_, None) => false,
    };
    hosts && paths && implied(&a.conditions, &b.conditions)
}

fn host_covers(a: &Host, b: &Host) -> bool {
    match (a, b) {
        (Host::Any, Host::Any | Host::Exact(_) | Host::Wildcard(_)) => true,
        (Host::Exact(a), Host::Exact(b)) => a == b,
        (Host::Wildcard(_), Host::Exact(b)) => a.matches(b),
        (Host::Wildcard(suffix), Host::Wildcard(b)) => suffix == b || a.matches(b),
        (Host::Exact(_) | Host::Wildcard(_), Host::Any) | (Host::Exact(_), Host::Wildcard(_)) => false,
    }
}

fn pattern_covers(a: &Pattern, b: &Pattern) -> bool {
    let mut others = b.segments.iter();
    for segment in &a.segments {
        let fits = match (segment, others.next()) {
            (Segment::Literal(a), Some(Segment::Literal(b))) => a == b,
            (Segment::Literal(_), Some(Segment::Parameter(_, _))) => false,
            (Segment::Parameter(_, kind), Some(Segment::Literal(literal))) => kind.accepts(literal),
            (Segment::Parameter(_, a), Some(Segment::Parameter(_, b))) => kind_covers(*a, *b),
            (_, None) => false,
        };
        if !fits {
            return false;
        }
    }
    match (&a.tail, &b.tail) {
        (Tail::Prefix, _) => true,
        (Tail::Exact, Tail::Exact) => others.next().is_none(),
        (Tail::Exact, Tail::CatchAll(_) | Tail::Prefix) => false,
        (Tail::CatchAll(_), Tail::CatchAll(_)) => true,
        // One more segment there must be, and it must not be an empty one at the end.
        (Tail::CatchAll(_), Tail::Exact | Tail::Prefix) => match (others.next(), others.next()) {
            (None, _) => false,
            (Some(Segment::Literal(last)), None) => !last.is_empty(),
            (Some(_), _) => true,
        },
    }
}

fn kind_covers(a: Kind, b: Kind) -> bool {
    match a {
        Kind::Any => true,
        Kind::Alnum => matches!(b, Kind::Alnum | Kind::Alpha | Kind::Hex),
        Kind::Slug => matches!(b, Kind::Slug | Kind::Date),
        Kind::Int | Kind::Uuid | Kind::Hex | Kind::Alpha | Kind::Date => a == b,
    }
}

/// Whether whatever meets `b` meets `a` too.
fn implied(a: &Conditions, b: &Conditions) -> bool {
    let methods = a.methods.is_empty()
        || (!b.methods.is_empty()
            && b.methods.iter().all(|method| {
                a.methods.contains(method) || (method == "HEAD" && a.methods.iter().any(|m| m == "GET"))
            }));
    let listed = |a: &[String], b: &[String]| a.is_empty() || (!b.is_empty() && b.iter().all(|one| a.contains(one)));
    let named = |a: &[Named], b: &[Named]| a.iter().all(|one| b.contains(one));
    methods
        && named(&a.headers, &b.headers)
        && named(&a.query, &b.query)
        && named(&a.cookies, &b.cookies)
        && (a.scheme.is_none() || a.scheme == b.scheme)
        && (a.addresses.is_empty()
            || (!b.addresses.is_empty() && b.addresses.iter().all(|range| a.addresses.contains(range))))
        && listed(&a.countries, &b.countries)
        && listed(&a.data_centres, &b.data_centres)
        && a.not.iter().all(|exclusion| b.not.contains(exclusion))
}

/// Whether some request could be for either of two candidates of the same rank.
fn overlaps(a: &RunningRoute, a_host: usize, a_path: usize, b: &RunningRoute, b_host: usize, b_path: usize) -> bool {
    let hosts = match (a.ranked.hosts.get(a_host), b.ranked.hosts.get(b_host)) {
        (Some(a), Some(b)) => host_covers(a, b) || host_covers(b, a),
        (None, _) | (_, None) => false,
    };
    let (a, b) = (&a.ranked.route, &b.ranked.route);
    let paths = match (a.paths.get(a_path), b.paths.get(b_path)) {
        (Some(Matcher::Path(a)), Some(Matcher::Path(b))) => patterns_overlap(a, b),
        // What two expressions have in common nobody can say; authors of several keep them apart.
        (Some(Matcher::Regex(a)), Some(Matcher::Regex(b))) => a == b,
        (Some(_), Some(_)) | (None, _) | (_, None) => false,
    };
    hosts && paths && !exclusive(&a.conditions, &b.conditions)
}

/// Of the same rank, patterns have the same kinds of segments and the same end.
fn patterns_overlap(a: &Pattern, b: &Pattern) -> bool {
    a.segments.iter().zip(&b.segments).all(|pair| match pair {
        (Segment::Literal(a), Segment::Literal(b)) => a == b,
        (Segment::Literal(literal), Segment::Parameter(_, kind))
        | (Segment::Parameter(_, kind), Segment::Literal(literal)) => kind.accepts(literal),
        (Segment::Parameter(_, a), Segment::Parameter(_, b)) => {
            SAMPLES.iter().any(|sample| a.accepts(sample) && b.accepts(sample))
        }
    })
}

/// For every two kinds that have a text in common, one such text.
const SAMPLES: [&str; 7] = ["1", "a", "A", "z", "a-b", "2026-01-01", "00000000-0000-0000-0000-000000000000"];

fn exclusive(a: &Conditions, b: &Conditions) -> bool {
    let disjoint = |a: &[String], b: &[String]| !a.is_empty() && !b.is_empty() && !a.iter().any(|one| b.contains(one));
    let tests = |a: &[Named], b: &[Named]| {
        a.iter().any(|one| b.iter().any(|other| one.name == other.name && tests_exclusive(&one.test, &other.test)))
    };
    // GET takes HEAD too, so a route for the one and a route for the other do meet.
    let takes = |methods: &[String], method: &String| {
        methods.contains(method) || (method == "HEAD" && methods.iter().any(|known| known == "GET"))
    };
    let methods_meet = a.methods.is_empty()
        || b.methods.is_empty()
        || a.methods.iter().any(|method| takes(&b.methods, method))
        || b.methods.iter().any(|method| takes(&a.methods, method));
    !methods_meet
        || ranges_disjoint(&a.addresses, &b.addresses)
        || disjoint(&a.countries, &b.countries)
        || disjoint(&a.data_centres, &b.data_centres)
        || (a.scheme.is_some() && b.scheme.is_some() && a.scheme != b.scheme)
        || tests(&a.headers, &b.headers)
        || tests(&a.query, &b.query)
        || tests(&a.cookies, &b.cookies)
}

/// Of two ranges that meet, one begins in the other.
fn ranges_disjoint(a: &[Cidr], b: &[Cidr]) -> bool {
    let begins_in = |a: &Cidr, b: &Cidr| {
        let text = b.network().to_string();
        let first = text.split('/').next().and_then(|address| address.parse().ok());
        first.is_some_and(|address| a.contains(address))
    };
    let meet = |a: &Cidr| b.iter().any(|b| begins_in(a, b) || begins_in(b, a));
    !a.is_empty() && !b.is_empty() && !a.iter().any(meet)
}

/// A name may stand several times with different values, but hardly anybody means that to decide.
fn tests_exclusive(a: &Test, b: &Test) -> bool {
    match (a, b) {
        (Test::Absent, Test::Absent) => false,
        (Test::Absent, Test::Present | Test::Any(_) | Test::Prefix(_) | Test::Regex(_))
        | (Test::Present | Test::Any(_) | Test::Prefix(_) | Test::Regex(_), Test::Absent) => true,
        (Test::Any(a), Test::Any(b)) => !a.iter().any(|one| b.contains(one)),
        (Test::Any(values), Test::Prefix(prefix)) | (Test::Prefix(prefix), Test::Any(values)) => {
            !values.iter().any(|value| value.starts_with(prefix.as_str()))
        }
        (Test::Prefix(a), Test::Prefix(b)) => !(a.starts_with(b.as_str()) || b.starts_with(a.as_str())),
        (Test::Any(values), Test::Regex(regex)) | (Test::Regex(regex), Test::Any(values)) => {
            !values.iter().any(|value| regex.is_match(value))
        }
        (Test::Regex(_), Test::Regex(_) | Test::Prefix(_) | Test::Present)
        | (Test::Prefix(_), Test::Regex(_) | Test::Present)
        | (Test::Any(_), Test::Present)
        | (Test::Present, Test::Present | Test::Any(_) | Test::Prefix(_) | Test::Regex(_)) => false,
    }
}

/// Whether a route says that it takes WebSockets.
fn asks_for_websockets(route: &Defined<written::Route>) -> bool {
    match &route.written.websocket {
        None | Some(written::WebSocket::Switch(false)) => false,
        Some(written::WebSocket::Switch(true) | written::WebSocket::Limits(_)) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_pattern_covers_another() {
        for (a, b, expected) in [
            ("/a", "/a", true),
            ("/{x}", "/{y}", true),
            ("/{x}", "/a", true),
            ("/a", "/{x}", false),
            ("/{x:alnum}", "/{y:hex}", true),
            ("/{x:hex}", "/{y:alnum}", false),
            ("/{x}", "/", false),
            ("/{*rest}", "/a/b", true),
            ("/{*rest}", "/{x}", true),
            ("/{*rest}", "/", false),
            ("/a/{*rest}", "/a", false),
            ("/a/{*rest}", "/a//", true),
            ("/a", "/a/{*rest}", false),
        ] {
            let parse = |text: &str| Pattern::parse(text).expect("a pattern");
            assert_eq!(pattern_covers(&parse(a), &parse(b)), expected, "{a} over {b}");
        }
        let prefix = Pattern::parse_prefix("/a").expect("a prefix");
        let exact = Pattern::parse("/a/{x}/b").expect("a pattern");
        assert!(pattern_covers(&prefix, &exact) && !pattern_covers(&exact, &prefix));
    }

    #[test]
    fn every_two_kinds_that_can_meet_have_a_sample() {
        let kinds: Vec<Kind> = Kind::ALL.iter().map(|(_, kind)| *kind).collect();
        let disjoint = |a: Kind, b: Kind| !SAMPLES.iter().any(|sample| a.accepts(sample) && b.accepts(sample));
        for &a in &kinds {
            assert!(!disjoint(a, a) && !disjoint(a, Kind::Any), "{a}");
            for &b in &kinds {
                assert!(!kind_covers(a, b) || !disjoint(a, b), "{a} {b}");
            }
        }
        assert!(!disjoint(Kind::Uuid, Kind::Slug) && !disjoint(Kind::Date, Kind::Slug));
        assert!(disjoint(Kind::Uuid, Kind::Int) && disjoint(Kind::Int, Kind::Alpha));
    }
}
