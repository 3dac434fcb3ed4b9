//! Policies: from what was written to what runs.

use super::super::{
    expression::{self, Wrong},
    load::ONLY_ONCE,
    node::{
        Node,
        Step::{Field, Item},
    },
    problem::{Problem, Span},
    suggest::closest,
    written,
};
use super::{Compile, Direction, RouteCompiler, consumers::listed_twice, list_some, parameters};
use crate::{
    expression::{Expression, Variable},
    policy::{
        Authenticate, Authorize, Cors, Csrf, HeaderPolicy, Policy, PolicyList, RequestRules, SecurityHeaders,
        authenticate::{ApiKeyMethod, Basic, Method, Need, api_key::Place},
        authorize::{ClaimRule, ClaimTest, Names},
        origin::OriginRule,
        request_rules::{MediaRange, Rules, Text},
    },
    route::{Matcher, Pattern, pattern::Tail},
};
use serde_json::Value as Json;

impl Compile<'_> {
    /// What is done where no route takes a request. There is nothing to decide and nobody to ask then, only an answer to be dressed.
    pub(super) fn unmatched(&mut self) -> PolicyList {
        let Some(defined) = &self.loaded.unmatched else { return PolicyList::default() };
        let policies = defined.node.get("policies").map(Node::items).unwrap_or_default();
        for policy in policies.iter().filter_map(|policy| policy.entries().first()) {
            let (at, message) = match policy.name.as_str() {
                "cors" | "error_pages" | "rate_limit" | "security_headers" => continue,
                "headers" => match policy.value.entry("request") {
                    Some(request) => (request.name_at, "nobody is sent a request that no route takes".to_owned()),
                    None => continue,
                },
                kind => (policy.name_at, format!("`{kind}` does nothing for requests that no route takes")),
            };
            let problem = Problem::error("not-for-unmatched", at, message);
            let help =
                "there are `cors`, `error_pages`, `headers` of the `response`, `rate_limit` and `security_headers`";
            self.problems.push(problem.help(help));
        }
        let any = Matcher::Path(Pattern { segments: Vec::new(), tail: Tail::Prefix });
        let policies = RouteCompiler { all: self, defined, policy: None }.policies(&[any]);
        self.intern(policies)
    }
}

impl<'a> RouteCompiler<'_, 'a> {
    pub(super) fn policies(&mut self, paths: &[Matcher]) -> Vec<Policy> {
        let defined: &'a _ = self.defined;
        let mut policies = Vec::new();
        for (index, policy) in defined.written.policies.iter().flatten().enumerate() {
            let Some(node) = defined.node.reach([Field("policies"), Item(index)]) else { continue };
            let Some(node) = node.entries().first().map(|entry| &entry.value) else { continue };
            self.policy = Some(index);
            policies.extend(match policy {
                written::Policy::Authenticate(policy) => self.authenticate(policy, node).map(Policy::Authenticate),
                written::Policy::Authorize(policy) => Some(Policy::Authorize(self.authorize(policy, node, paths))),
                written::Policy::Cache(policy) => Some(Policy::Cache(self.cache(policy, node, index, paths))),
                written::Policy::Concurrency(policy) => {
                    Some(Policy::Limit(self.concurrency(policy, node, index, paths)))
                }
                written::Policy::Cors(policy) => Some(Policy::Cors(self.cors(policy, node))),
                written::Policy::Csrf(policy) => Some(Policy::Csrf(self.csrf(policy, node))),
                written::Policy::Deprecation(policy) => Some(Policy::Deprecation(self.deprecation(policy, node))),
                written::Policy::ErrorPages(policy) => Some(Policy::ErrorPages(self.error_pages(policy, node, paths))),
                written::Policy::Links(policy) => Some(Policy::Links(self.links(policy, node, paths))),
                written::Policy::Maintenance(policy) => Some(Policy::Maintenance(self.maintenance(policy, node))),
                written::Policy::Mock(policy) => self.mock(policy, node).map(Policy::Mock),
                written::Policy::Transform(policy) => Some(Policy::Transform(self.transform(policy, node, paths))),
                written::Policy::ForwardAuth(policy) => self.forward_auth(policy, node, paths).map(Policy::ForwardAuth),
                written::Policy::Graphql(policy) => Some(Policy::Graphql(Box::new(self.graphql(policy, node)))),
                written::Policy::Headers(policy) => Some(Policy::Headers(self.header_policy(policy, node, paths))),
                written::Policy::Idempotency(policy) => Some(Policy::Idempotency(self.idempotency(policy, node))),
                written::Policy::JsonLimits(policy) => Some(Policy::JsonLimits(self.json_limits(policy))),
                written::Policy::JsonRpc(policy) => Some(Policy::JsonRpc(Box::new(self.json_rpc(policy, node)))),
                written::Policy::Mirror(policy) => self.mirror(policy, node).map(Policy::Mirror),
                written::Policy::OpenApi(policy) => self.openapi(policy, node).map(Policy::OpenApi),
                written::Policy::Quota(policy) => Some(Policy::Limit(self.quota(policy, node, index, paths))),
                written::Policy::RateLimit(policy) => Some(Policy::Limit(self.rate_limit(policy, node, index, paths))),
                written::Policy::RequestRules(policy) => Some(Policy::RequestRules(self.request_rules(policy, node))),
                written::Policy::SecurityHeaders(policy) => {
                    Some(Policy::SecurityHeaders(self.security_headers(policy, node)))
                }
                written::Policy::SpikeArrest(policy) => {
                    Some(Policy::Limit(self.spike_arrest(policy, node, index, paths)))
                }
                written::Policy::Validate(policy) => self.validate(policy, node, paths).map(Policy::Validate),
            });
        }
        self.policy = None;
        self.only_one();
        // Those that concern every response see every request: before them nothing may refuse it.
        policies.sort_by_key(|policy| match policy {
            Policy::Cors(_) => 0,
            Policy::SecurityHeaders(_) => 1,
            Policy::ErrorPages(_) => 2,
            Policy::Authenticate(_)
            | Policy::Authorize(_)
            | Policy::Cache(_)
            | Policy::Csrf(_)
            | Policy::Deprecation(_)
            | Policy::ForwardAuth(_)
            | Policy::Graphql(_)
            | Policy::Headers(_)
            | Policy::Idempotency(_)
            | Policy::JsonLimits(_)
            | Policy::JsonRpc(_)
            | Policy::Limit(_)
            | Policy::Links(_)
            | Policy::Maintenance(_)
            | Policy::Mock(_)
            | Policy::Mirror(_)
            | Policy::OpenApi(_)
            | Policy::RequestRules(_)
            | Policy::Transform(_)
            | Policy::Validate(_) => 3,
        });
        self.rpc_method_is_known(&policies);
        policies
    }

    /// Two policies of some kinds would only undo each other.
    fn only_one(&mut self) {
        let policies = self.defined.node.get("policies").map(Node::items).unwrap_or_default();
        for kind in ONLY_ONCE {
            let mut all = policies.iter().filter_map(|policy| policy.entry(kind));
            let (Some(first), Some(second)) = (all.next(), all.next()) else { continue };
            let message = format!("the route has a second `{kind}`");
            let problem = Problem::error("policy-twice", second.name_at, message);
            self.all.problems.push(problem.related(first.name_at, "the first is here").help("put both into one"));
        }
    }

    fn authenticate(&mut self, written: &written::AuthenticatePolicy, node: &Node) -> Option<Authenticate> {
        let (field, need, ways) = match (&written.any_of, &written.all_of) {
            (Some(ways), None) => ("any_of", Need::Any, ways),
            (None, Some(ways)) => ("all_of", Need::All, ways),
            (Some(_), Some(_)) => {
                if let (Some(any), Some(all)) = (node.entry("any_of"), node.entry("all_of")) {
                    self.both(any.name_at, "any_of", all.name_at, "all_of");
                }
                return None;
            }
            (None, None) => {
                if !node.damaged {
                    let message = "this policy names no way to prove who is calling";
                    let problem = Problem::error("empty-policy", node.head(), message);
                    self.all
                        .problems
                        .push(problem.help("write `any_of` and what is taken: `- api_key: { header: x-api-key }`"));
                }
                return None;
            }
        };
        let mut policy = Authenticate { methods: Vec::new(), need, anonymous: false };
        for (index, way) in ways.0.iter().enumerate() {
            let Some(way_node) = node.reach([Field(field), Item(index)]) else { continue };
            match way {
                written::AuthenticationMethod::Anonymous => {
                    if need == Need::All {
                        let message = "who must bring every credential cannot be anonymous";
                        let problem = Problem::error("bad-authenticate", way_node.at, message);
                        self.all.problems.push(problem.help("remove it, or write `any_of`"));
                    } else if policy.anonymous {
                        self.all.problems.push(listed_twice("anonymous", way_node.at));
                    }
                    policy.anonymous = true;
                }
                written::AuthenticationMethod::ApiKey(method) => {
                    let method_node = way_node.get("api_key").unwrap_or(way_node);
                    policy.methods.push(Method::ApiKey(self.api_key(method, method_node)));
                }
                written::AuthenticationMethod::ClientCertificate(method) => {
                    let method_node = way_node.get("client_certificate").unwrap_or(way_node);
                    policy.methods.push(Method::ClientCertificate(self.client_certificate(method, method_node)));
                }
                written::AuthenticationMethod::HmacAuth(method) => {
                    let method_node = way_node.get("hmac_auth").unwrap_or(way_node);
                    policy.methods.push(Method::HmacAuth(self.hmac_auth(method, method_node)));
                }
                written::AuthenticationMethod::Signature(method) => {
                    let method_node = way_node.get("signature").unwrap_or(way_node);
                    policy.methods.push(Method::Signature(self.signature(method, method_node)));
                }
                written::AuthenticationMethod::Introspection(method) => {
                    let method_node = way_node.get("introspection").unwrap_or(way_node);
                    policy.methods.extend(self.introspection(method, method_node).map(Method::Introspection));
                }
                written::AuthenticationMethod::Jwt(method) => {
                    let method_node = way_node.get("jwt").unwrap_or(way_node);
                    policy.methods.push(Method::Jwt(self.jwt(method, method_node)));
                }
                written::AuthenticationMethod::Login(method) => {
                    let method_node = way_node.get("login").unwrap_or(way_node);
                    policy.methods.extend(self.login(method, method_node).map(|login| Method::Login(Box::new(login))));
                }
                written::AuthenticationMethod::Basic(method) => policy.methods.push(Method::Basic(Basic {
                    realm: method.realm.as_ref().map_or("restricted", |realm| &realm.0).to_owned(),
                    keep: method.keep.unwrap_or(false),
                    cost: self.all.known.password_cost,
                })),
            }
        }
        if policy.methods.is_empty() && !node.damaged {
            let message = "everybody is anonymous here, so this policy does nothing";
            let problem = Problem::error("empty-policy", node.head(), message);
            self.all.problems.push(problem.help("add a way to prove who is calling, or remove the policy"));
        }
        Some(policy)
    }

    fn api_key(&mut self, written: &written::ApiKeyMethod, node: &Node) -> ApiKeyMethod {
        let (header, query, cookie) = (written.header.as_ref(), written.query.as_ref(), written.cookie.as_ref());
        let mut places = self.places(header, query, cookie, node);
        if places.is_empty() {
            places.push(Place::Header("x-api-key".to_owned()));
        }
        ApiKeyMethod { places, keep: written.keep.unwrap_or(false) }
    }

    fn authorize(&mut self, written: &written::AuthorizePolicy, node: &Node, paths: &[Matcher]) -> Authorize {
        let consumers = self.names(written.consumers.as_ref(), node.get("consumers"), NameOf::Consumer);
        let groups = self.names(written.groups.as_ref(), node.get("groups"), NameOf::Group);
        let mut scopes = Vec::new();
        for (index, scope) in written.scopes.iter().flat_map(|scopes| &scopes.0).enumerate() {
            self.once(&mut scopes, scope.0.clone(), &scope.0, node.place([Field("scopes"), Item(index)]));
        }
        let (addresses, addresses_node) = (written.addresses.as_ref(), node.get("addresses"));
        let mut range = |pick: fn(&written::AddressRules) -> Option<&written::OneOrMany<written::Cidr>>, field| {
            self.all.ranges(addresses.and_then(pick), addresses_node.and_then(|node| node.get(field)))
        };
        let allow_addresses = range(|rules| rules.allow.as_ref(), "allow");
        let deny_addresses = range(|rules| rules.deny.as_ref(), "deny");
        let (countries, countries_node) = (written.countries.as_ref(), node.get("countries"));
        let mut country = |codes: Option<&written::OneOrMany<written::Country>>, field| {
            let mut list = Vec::new();
            for (index, code) in codes.iter().flat_map(|codes| &codes.0).enumerate() {
                let at = countries_node.map_or(node.at, |node| node.place([Field(field), Item(index)]));
                self.once(&mut list, code.0.clone(), &code.0, at);
            }
            list
        };
        let countries = Names {
            allow: country(countries.and_then(|rules| rules.allow.as_ref()), "allow"),
            deny: country(countries.and_then(|rules| rules.deny.as_ref()), "deny"),
        };
        let claims = written.claims.iter().flat_map(|claims| &claims.0);
        let claims = claims.map(|(name, rule)| ClaimRule { name: name.clone(), test: claim_test(rule) }).collect();
        let methods = self.methods(written.methods.as_ref(), node);
        let expressions = self.expressions(written.expression.as_ref(), node.get("expression"), paths);
        let policy = Authorize {
            methods: Vec::new(),
            consumers,
            groups,
            scopes,
            claims,
            allow_addresses,
            deny_addresses,
            countries,
            expressions,
        };
        let is_empty = policy == Authorize::default() && written.expression.is_none();
        if is_empty && !node.damaged {
            let problem = Problem::error("empty-policy", node.head(), "this policy asks for nothing");
            self.all.problems.push(problem.help("say what a caller needs: `groups: { allow: […] }`, `scopes: […]`"));
        }
        Authorize { methods, ..policy }
    }

    /// Conditions, each with what is wrong with it, in its place.
    pub(super) fn expressions(
        &mut self,
        written: Option<&written::OneOrMany<written::Expression>>,
        node: Option<&Node>,
        paths: &[Matcher],
    ) -> Vec<Expression> {
        let (Some(written), Some(node)) = (written, node) else { return Vec::new() };
        self.all.features.extend(["expressions", "regex"]);
        let parameters: Vec<Vec<&str>> = paths.iter().map(parameters).collect();
        let mut expressions = Vec::new();
        for (text, item) in written.0.iter().zip(node.items()) {
            match expression::condition(&text.0, &parameters) {
                Ok(expression) => {
                    self.all.certificates |= expression.asks_for(Variable::is_of_certificate);
                    self.once(&mut expressions, expression, &text.0, item.at);
                }
                Err(wrong) => {
                    let found = self.all.sources.text(item.at).find(&text.0);
                    self.all.problems.extend(wrong.into_iter().map(|Wrong { part: (start, end), message, help }| {
                        // Where the file spells it differently, with escapes or over several lines, all of it is shown.
                        let at = found.map_or(item.at, |from| item.at.part(from + start, from + end));
                        Problem::error("bad-expression", at, message).maybe_help(help)
                    }));
                }
            }
        }
        expressions
    }

    /// Names that must lead somewhere: a misspelt one in `deny` would let in whom it should keep out.
    fn names(&mut self, written: Option<&written::NameRules>, node: Option<&Node>, of: NameOf) -> Names {
        let (Some(written), Some(node)) = (written, node) else { return Names::default() };
        let mut listed = |names: Option<&written::OneOrMany<written::Name>>, field: &'static str| {
            let mut list = Vec::new();
            for (index, name) in names.iter().flat_map(|names| &names.0).enumerate() {
                let at = node.place([Field(field), Item(index)]);
                self.known_name(&name.0, of, at);
                self.once(&mut list, name.0.clone(), &name.0, at);
            }
            list
        };
        let names =
            Names { allow: listed(written.allow.as_ref(), "allow"), deny: listed(written.deny.as_ref(), "deny") };
        for name in names.deny.iter().filter(|name| names.allow.contains(name)) {
            let message = format!("`{name}` is both allowed and denied");
            let problem = Problem::error("conflicting-fields", item_at(node, "deny", name), message);
            self.all.problems.push(problem.help("denying comes first; keep one of the two"));
        }
        names
    }

    /// Complains of a name that leads nowhere.
    pub(super) fn known_name(&mut self, name: &str, of: NameOf, at: Span) {
        let elsewhere = self.all.named_elsewhere(of);
        let declared = match of {
            NameOf::Consumer => &self.all.known.consumers,
            NameOf::Group => &self.all.known.groups,
        };
        if !elsewhere && !declared.contains(name) {
            self.unknown_name(name, of, at);
        }
    }

    fn unknown_name(&mut self, name: &str, of: NameOf, at: Span) {
        let (code, message, define, declared) = match of {
            NameOf::Consumer => (
                "unknown-consumer",
                format!("there is no consumer called `{name}`"),
                "define it in `consumers`",
                &self.all.known.consumers,
            ),
            NameOf::Group => (
                "unknown-group",
                format!("no consumer belongs to a group called `{name}`"),
                "name it in the `groups` of a consumer",
                &self.all.known.groups,
            ),
        };
        let help = match closest(name, declared.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None if declared.is_empty() => define.to_owned(),
            None => format!("there are {}", list_some(&declared.iter().copied().collect::<Vec<_>>())),
        };
        self.all.problems.push(Problem::error(code, at, message).help(help));
    }

    fn cors(&mut self, written: &written::CorsPolicy, node: &Node) -> Cors {
        let credentials = written.credentials.unwrap_or(false);
        let origins = self.origins(&written.origins, node.get("origins"));
        if credentials {
            let nodes = node.get("origins").map(Node::items).unwrap_or_default();
            for item in nodes.iter().filter(|item| matches!(item.text(), Some("*" | "null"))) {
                let message = match item.text() {
                    Some("null") => "any page can make its origin `null`, so every site could act as your users",
                    _ => "with `credentials`, every site could act as your users",
                };
                let problem = Problem::error("credentials-for-everybody", item.at, message);
                let problem = match node.entry("credentials") {
                    Some(credentials) => problem.related(credentials.name_at, "credentials are allowed here"),
                    None => problem,
                };
                self.all.problems.push(problem.help("name the origins that are trusted"));
            }
        }
        let methods = self.methods(written.methods.as_ref(), node);
        if methods.iter().any(|method| method == "*") {
            self.star(item_at(node, "methods", "*"), "leave `methods` out for all methods of the route");
        }
        let headers = self.header_names(written.headers.as_ref(), node, "headers");
        if headers.iter().any(|name| name == "*") {
            self.star(item_at(node, "headers", "*"), "leave `headers` out for all that pages ask for");
        }
        let expose = self.header_names(written.expose.as_ref(), node, "expose");
        if credentials && expose.iter().any(|name| name == "*") {
            self.star(item_at(node, "expose", "*"), "name the fields: with credentials, browsers take `*` for a name");
        }
        Cors {
            origins,
            methods,
            headers,
            expose,
            credentials,
            max_age: written.max_age.map(|age| age.milliseconds / 1000),
            private_network: written.private_network.unwrap_or(false),
        }
    }

    fn star(&mut self, at: Span, help: &str) {
        self.all.problems.push(Problem::error("bad-star", at, "`*` does not stand for everything here").help(help));
    }

    fn csrf(&mut self, written: &written::CsrfPolicy, node: &Node) -> Csrf {
        let Some(origins) = &written.trusted_origins else { return Csrf::default() };
        let node = node.get("trusted_origins");
        for item in node.map(Node::items).unwrap_or_default() {
            if matches!(item.text(), Some("*" | "null")) {
                let message = "every page can have this origin, so nothing would be refused";
                let problem = Problem::error("credentials-for-everybody", item.at, message);
                self.all.problems.push(problem.help("name the origins that are trusted, or remove the policy"));
            }
        }
        Csrf { trusted_origins: self.origins(origins, node) }
    }

    pub(super) fn origins(
        &mut self,
        written: &written::OneOrMany<written::OriginRule>,
        node: Option<&Node>,
    ) -> Vec<OriginRule> {
        let mut origins = Vec::new();
        let items = node.map(Node::items).unwrap_or_default();
        for (origin, item) in written.0.iter().zip(items) {
            match origin {
                written::OriginRule::Origin(origin) => {
                    self.once(&mut origins, origin_rule(&origin.0), &origin.0, item.at);
                }
                written::OriginRule::Regex(regex) => {
                    let at = item.place([Field("regex")]);
                    let anchored = self.all.regex(&format!("^(?:{})$", regex.regex.0), at);
                    origins.extend(anchored.map(OriginRule::Regex));
                }
            }
        }
        origins
    }

    fn header_policy(&mut self, written: &written::HeadersPolicy, node: &Node, paths: &[Matcher]) -> HeaderPolicy {
        let request = self.edits(written.request.as_ref(), node.get("request"), Direction::Request, paths);
        let response = self.edits(written.response.as_ref(), node.get("response"), Direction::Response, paths);
        let policy = HeaderPolicy { request, response };
        if policy == HeaderPolicy::default() && !node.damaged {
            let problem = Problem::error("empty-policy", node.head(), "this policy changes nothing");
            self.all.problems.push(problem.help("say what to `set`, `append` or `remove`, or remove it"));
        }
        policy
    }

    fn request_rules(&mut self, written: &written::RequestRulesPolicy, node: &Node) -> RequestRules {
        let user_agents = written.user_agents.as_ref().zip(node.get("user_agents")).map(|(rules, node)| Rules {
            allow: self.agents(rules.allow.as_ref(), node.get("allow")),
            deny: self.agents(rules.deny.as_ref(), node.get("deny")),
            required: rules.required.unwrap_or(false),
        });
        let referers = written.referers.as_ref().zip(node.get("referers")).map(|(rules, node)| Rules {
            allow: rules.allow.as_ref().map(|rules| self.origins(rules, node.get("allow"))).unwrap_or_default(),
            deny: rules.deny.as_ref().map(|rules| self.origins(rules, node.get("deny"))).unwrap_or_default(),
            required: rules.required.unwrap_or(false),
        });
        let content_types = written.content_types.as_ref().zip(node.get("content_types")).map(|(rules, node)| Rules {
            allow: self.media_ranges(rules.allow.as_ref(), node, "allow"),
            deny: self.media_ranges(rules.deny.as_ref(), node, "deny"),
            required: rules.required.unwrap_or(false),
        });
        let policy = RequestRules { user_agents, referers, content_types };
        let says = |name| node.get(name).is_some_and(|rules| rules.damaged || !rules.entries().is_empty());
        if !node.damaged && !["user_agents", "referers", "content_types"].into_iter().any(says) {
            let problem = Problem::error("empty-policy", node.head(), "this policy asks for nothing");
            self.all.problems.push(problem.help("say what is taken: `content_types: { allow: application/json }`"));
        }
        policy
    }

    fn agents(&mut self, written: Option<&written::OneOrMany<written::AgentRule>>, node: Option<&Node>) -> Vec<Text> {
        let mut rules = Vec::new();
        let items = node.map(Node::items).unwrap_or_default();
        for (rule, item) in written.iter().flat_map(|rules| &rules.0).zip(items) {
            match rule {
                written::AgentRule::Text(text) if text.is_empty() => {
                    let problem = Problem::error("empty-text", item.at, "every program's name holds the empty text");
                    self.all.problems.push(problem.help("write a part of the name"));
                }
                written::AgentRule::Text(text) => {
                    self.once(&mut rules, Text::Contains(text.to_ascii_lowercase()), text, item.at);
                }
                written::AgentRule::Regex(regex) => {
                    let regex = self.all.regex(&regex.regex.0, item.place([Field("regex")]));
                    rules.extend(regex.map(Text::Regex));
                }
            }
        }
        rules
    }

    fn media_ranges(
        &mut self,
        written: Option<&written::OneOrMany<written::MediaRange>>,
        node: &Node,
        field: &'static str,
    ) -> Vec<MediaRange> {
        let mut ranges = Vec::new();
        for (index, range) in written.iter().flat_map(|ranges| &ranges.0).enumerate() {
            let at = node.place([Field(field), Item(index)]);
            self.once(&mut ranges, MediaRange(range.0.to_ascii_lowercase()), &range.0, at);
        }
        ranges
    }

    fn security_headers(&mut self, written: &written::SecurityHeadersPolicy, node: &Node) -> SecurityHeaders {
        let mut fields: Vec<(String, String)> =
            SecurityHeaders::DEFAULTS.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let dropped = self.header_names(written.drop.as_ref(), node, "drop");
        for name in &dropped {
            let before = fields.len();
            fields.retain(|(known, _)| known != name);
            if fields.len() == before {
                let usual: Vec<&str> = SecurityHeaders::DEFAULTS.iter().map(|(name, _)| *name).collect();
                let at = item_at(node, "drop", name);
                let problem = Problem::error("unknown-value", at, format!("`{name}` is not set anyway"));
                let help = match closest(name, usual.iter().copied()) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!("what can be dropped is {}", list_some(&usual)),
                };
                self.all.problems.push(problem.help(help));
            }
        }
        self.distinct_headers(written.set.as_ref(), node.get("set"));
        for (name, value) in written.set.iter().flat_map(|set| &set.0) {
            let lower = name.0.to_ascii_lowercase();
            let Some(entry) = node.get("set").and_then(|set| set.entry(&name.0)) else { continue };
            self.changeable(&lower, entry.name_at, Direction::Response);
            self.one_line(value, entry.value.at);
            if dropped.contains(&lower) {
                let message = format!("`{lower}` is both set and dropped");
                self.all
                    .problems
                    .push(Problem::error("conflicting-fields", entry.name_at, message).help("keep one of the two"));
            }
            match fields.iter_mut().find(|(known, _)| *known == lower) {
                Some((_, usual)) => usual.clone_from(value),
                None => fields.push((lower, value.clone())),
            }
        }
        let mut conceal = Vec::new();
        match &written.conceal {
            None => conceal.extend(SecurityHeaders::CONCEALED.iter().map(|name| (*name).to_owned())),
            Some(names) => {
                for (index, name) in names.iter().enumerate() {
                    let name = name.0.to_ascii_lowercase();
                    let at = node.place([Field("conceal"), Item(index)]);
                    self.changeable(&name, at, Direction::Response);
                    self.once(&mut conceal, name.clone(), &name, at);
                }
            }
        }
        SecurityHeaders { fields, replace: written.replace.unwrap_or(false), conceal }
    }

    pub(super) fn methods(
        &mut self,
        written: Option<&written::OneOrMany<written::Method>>,
        node: &Node,
    ) -> Vec<String> {
        let mut methods = Vec::new();
        for (index, method) in written.iter().flat_map(|methods| &methods.0).enumerate() {
            self.once(&mut methods, method.0.clone(), &method.0, node.place([Field("methods"), Item(index)]));
        }
        methods
    }

    pub(super) fn header_names(
        &mut self,
        written: Option<&written::OneOrMany<written::HeaderName>>,
        node: &Node,
        field: &'static str,
    ) -> Vec<String> {
        let mut names = Vec::new();
        for (index, name) in written.iter().flat_map(|names| &names.0).enumerate() {
            let name = name.0.to_ascii_lowercase();
            self.once(&mut names, name.clone(), &name, node.place([Field(field), Item(index)]));
        }
        names
    }

    /// Adds to a list what is not in it yet; what is, somebody meant otherwise.
    pub(super) fn once<T: PartialEq>(&mut self, list: &mut Vec<T>, item: T, text: &str, at: Span) {
        if list.contains(&item) {
            self.all.problems.push(listed_twice(text, at));
        } else {
            list.push(item);
        }
    }
}

impl Compile<'_> {
    /// Whether there may be names that nothing here defines: the store has consumers, and tokens name groups.
    pub(super) fn named_elsewhere(&self, of: NameOf) -> bool {
        self.loaded.incomplete
            || self.loaded.settings.written.consumers_from.is_some()
            || (matches!(of, NameOf::Group) && self.known.groups_of_tokens)
    }
}

/// What is called by a name.
#[derive(Debug, Clone, Copy)]
pub(super) enum NameOf {
    Consumer,
    Group,
}

/// The first item of a list that says this, in upper or lower case.
fn item_at(node: &Node, field: &str, text: &str) -> Span {
    let items = node.get(field).map(Node::items).unwrap_or_default();
    let item = items.iter().find(|item| item.text().is_some_and(|item| item.eq_ignore_ascii_case(text)));
    item.map_or(node.at, |item| item.at)
}

fn origin_rule(text: &str) -> OriginRule {
    if text == "*" {
        return OriginRule::Any;
    }
    if let Some(front) = text.strip_suffix(":*") {
        return OriginRule::AnyPort(format!("{front}:"));
    }
    match text.split_once('*') {
        Some((front, back)) => OriginRule::Wildcard(front.to_owned(), back.to_owned()),
        None => OriginRule::Exact(text.to_owned()),
    }
}

fn claim_test(written: &written::ClaimRule) -> ClaimTest {
    match written {
        written::ClaimRule::Presence(written::ClaimPresence { present: true }) => ClaimTest::Present,
        written::ClaimRule::Presence(written::ClaimPresence { present: false }) => ClaimTest::Absent,
        written::ClaimRule::Values(values) => ClaimTest::Any(
            values
                .0
                .iter()
                .map(|value| match value {
                    written::ClaimValue::Bool(value) => Json::Bool(*value),
                    written::ClaimValue::Integer(value) => Json::from(*value),
                    written::ClaimValue::Text(value) => Json::String(value.clone()),
                })
                .collect(),
        ),
    }
}
