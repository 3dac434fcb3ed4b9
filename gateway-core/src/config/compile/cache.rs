//! Caches: from what was written to what runs.

use super::super::{
    format,
    node::{
        Node,
        Step::{Field, Item},
    },
    problem::{Problem, Span},
    written,
};
use super::{RouteCompiler, behind::Behind};
use crate::{
    cache::{
        key::Query,
        storing::{SetCookie, Statuses, Terms},
    },
    gateway::Action,
    platform::Reach,
    policy::{Cache, Policy, cache::KeyRules},
    route::Matcher,
};

/// What decides who may call, so that nothing stored may be given before it has.
const DECIDING: [&str; 6] = ["authenticate", "authorize", "csrf", "forward_auth", "graphql", "request_rules"];

/// The targeted fields where nothing is said: to us, to caches of origins, and what these were called before.
const TARGETED: [&str; 3] = ["postern-cache-control", "cdn-cache-control", "surrogate-control"];

impl RouteCompiler<'_, '_> {
    pub(super) fn cache(
        &mut self,
        written: &written::CachePolicy,
        node: &Node,
        index: usize,
        paths: &[Matcher],
    ) -> Cache {
        self.behind_cache(node, index);
        let action =
            ["redirect", "respond", "publish", "serve", "purge"].iter().find_map(|name| self.defined.node.entry(name));
        if let Some(action) = action {
            let message = format!("answers of `{}` come from here, and are not stored", action.name);
            let problem = Problem::error("needs-upstream", node.head(), message);
            self.all.problems.push(problem.help("remove it, or forward with `upstream`"));
        }
        // Route names have no slash, so nobody else's cache is called so.
        self.cache_rules(written, node, &self.defined.written.name.0.clone(), paths)
    }

    /// A cache of this owner's, who gives it the name that it does not give itself.
    pub(super) fn cache_rules(
        &mut self,
        written: &written::CachePolicy,
        node: &Node,
        owner: &str,
        paths: &[Matcher],
    ) -> Cache {
        self.all.features.insert("cache");
        let mut seconds = |duration: Option<written::Duration>, field: &str| {
            duration.map_or(0, |duration| self.seconds(duration, node.place([Field(field)])))
        };
        let while_revalidate = seconds(written.stale_while_revalidate, "stale_while_revalidate");
        let if_error = seconds(written.stale_if_error, "stale_if_error");
        let ttl = self.ttl(written, node);
        if let (Some(entry), true) = (node.entry("override_origin"), ttl.is_empty()) {
            let message = "`override_origin` says that `ttl` counts, and there is none";
            let problem = Problem::error("conflicting-fields", entry.name_at, message);
            self.all.problems.push(problem.help("add `ttl: { default: 5m }`, or remove it"));
        }
        let methods: Vec<String> = written.methods.iter().flat_map(|methods| &methods.0).map(method).collect();
        if let (Some(entry), true) = (node.entry("request_body"), methods.is_empty()) {
            let message = "bodies of requests belong to the key only with `methods` that have some";
            let problem = Problem::error("conflicting-fields", entry.name_at, message);
            self.all.problems.push(problem.help("add `methods: [QUERY]`, or remove it"));
        }
        if written.memory.is_some_and(|memory| memory.milliseconds > LONGEST_MOMENT) {
            let at = node.place([Field("memory")]);
            let message = "nobody would see for so long what other instances have stored or taken back";
            let problem = Problem::error("bad-duration", at, message);
            self.all.problems.push(problem.help("say 5s at most; what is to be found for longer stands in the store"));
        }
        let bypass = self.expressions(written.bypass.as_ref(), node.get("bypass"), paths);
        let targeted = match &written.targeted {
            None => TARGETED.map(str::to_owned).to_vec(),
            Some(names) => names.0.iter().map(|name| name.0.to_ascii_lowercase()).collect(),
        };
        let via = self.all.loaded.settings.written.via.as_ref().map_or("postern", |via| &via.0);
        Cache {
            name: written.name.as_ref().map_or_else(|| format!("{owner}/cache"), |name| name.0.clone()),
            reach: match written.scope {
                None | Some(written::CacheScope::Location) => Reach::Location,
                Some(written::CacheScope::Global) => Reach::Global,
            },
            told_as: (written.cache_status != Some(false)).then(|| token(via)),
            methods,
            request_body: written.request_body.map_or(64 << 10, |size| size.bytes),
            key: self.key_rules(written.key.as_ref(), node, paths),
            bypass,
            terms: Terms {
                ttl,
                overrides: written.override_origin == Some(true),
                while_revalidate,
                if_error,
                across_callers: written.across_callers == Some(true),
                set_cookie: match written.set_cookie {
                    None | Some(written::CacheSetCookie::Bypass) => SetCookie::Bypass,
                    Some(written::CacheSetCookie::Strip) => SetCookie::Strip,
                    Some(written::CacheSetCookie::Store) => SetCookie::Store,
                },
                body: written.body.map_or(10 << 20, |size| size.bytes),
                targeted,
                unseen: Vec::new(),
            },
            patience: written.wait.map_or(10_000, |wait| wait.milliseconds),
            moment: written.memory.map_or(1_000, |memory| memory.milliseconds),
            heeds_clients: written.client_directives != Some(written::ClientDirectives::Ignore),
            purges: self.all.purges,
        }
    }

    /// Whoever may take back what is stored must be known: without caches the origin has to bear everything.
    pub(super) fn purge(&mut self) -> Action {
        self.all.features.insert("cache");
        let policies = self.defined.node.get("policies").map(Node::items).unwrap_or_default();
        let asks = |policy: &Node| ["authenticate", "forward_auth"].iter().any(|name| policy.entry(name).is_some());
        if let (Some(entry), false) = (self.defined.node.entry("purge"), policies.iter().any(asks)) {
            let message = "anybody could take back what is stored";
            let problem = Problem::error("purge-without-authenticate", entry.name_at, message);
            self.all.problems.push(problem.help("add `authenticate` to the policies of this route"));
        }
        Action::Purge
    }

    /// Times by status, the more special first, whatever their order in the file.
    fn ttl(&mut self, written: &written::CachePolicy, node: &Node) -> Vec<(Statuses, u64)> {
        let mut ttl: Vec<(Statuses, u64)> = Vec::new();
        for (statuses, duration) in written.ttl.iter().flat_map(|ttl| &ttl.0) {
            let seconds = self.seconds(*duration, node.place([Field("ttl"), Field(&statuses.0)]));
            // The shape was checked before.
            let Ok(statuses) = format::cache_statuses(&statuses.0) else { continue };
            ttl.push((statuses, seconds));
        }
        ttl.sort_by_key(|(statuses, _)| match statuses {
            Statuses::One(_) => 0,
            Statuses::Hundred(_) => 1,
            Statuses::Usual => 2,
        });
        ttl
    }

    /// A length of time as caches have it.
    fn seconds(&mut self, duration: written::Duration, at: Span) -> u64 {
        if duration.milliseconds < 1_000 {
            let problem = Problem::error("bad-duration", at, "caches count whole seconds");
            self.all.problems.push(problem.help("write `1s` or more"));
        }
        duration.milliseconds / 1_000
    }

    fn key_rules(&mut self, written: Option<&written::CacheKey>, node: &Node, paths: &[Matcher]) -> KeyRules {
        let (Some(written), Some(node)) = (written, node.get("key")) else {
            return KeyRules { host: true, ..KeyRules::default() };
        };
        let names = |names: &written::OneOrMany<String>| names.0.clone();
        let mut headers = Vec::new();
        for (index, name) in written.headers.iter().flat_map(|names| &names.0).enumerate() {
            let at = node.place([Field("headers"), Item(index)]);
            let lower = name.0.to_ascii_lowercase();
            self.observable(&lower, at);
            self.once(&mut headers, lower, &name.0, at);
        }
        let mut values = Vec::new();
        for (index, value) in written.values.iter().flat_map(|values| &values.0).enumerate() {
            values.extend(self.text(&value.0, node.place([Field("values"), Item(index)]), paths));
        }
        let by_caller = written.partition == Some(written::CachePartition::Caller);
        let asks = [("partition", by_caller), ("claims", written.claims.is_some())];
        for (field, _) in asks.iter().filter(|(_, asks)| *asks) {
            self.needs_caller(node, field);
        }
        KeyRules {
            host: written.host != Some(false),
            query: match &written.query {
                None | Some(written::CacheQuery::All) => Query::All,
                Some(written::CacheQuery::None) => Query::None,
                Some(written::CacheQuery::Only(list)) => Query::Only(names(list)),
                Some(written::CacheQuery::Except(list)) => Query::Except(names(list)),
            },
            sorted: written.sort_query == Some(true),
            headers,
            cookies: written.cookies.iter().flat_map(|names| &names.0).map(|name| name.0.clone()).collect(),
            claims: written.claims.iter().flat_map(|names| &names.0).cloned().collect(),
            values,
            by_caller,
        }
    }

    /// Without anything that says who calls, all callers are one.
    fn needs_caller(&mut self, node: &Node, field: &str) {
        let policies = self.defined.node.get("policies").map(Node::items).unwrap_or_default();
        let known = policies.iter().any(|policy| policy.entry("authenticate").is_some());
        // Tokens have claims, what another service says of a caller has none.
        let mut services =
            policies.iter().filter(|_| field == "partition").filter_map(|policy| policy.entry("forward_auth"));
        let silent = services.clone().next();
        let named = services.any(|service| service.value.get("caller").is_some());
        if let (Some(entry), false) = (node.entry(field), known || named) {
            let message = format!("`{field}` asks who is calling, and nothing on this route says so");
            let problem = Problem::error("cache-without-authenticate", entry.name_at, message);
            self.all.problems.push(match silent {
                Some(silent) => problem
                    .related(silent.name_at, "this lets callers in without saying who they are")
                    .help("add `caller` to it"),
                None => problem.help("add `authenticate` before the cache"),
            });
        }
    }

    /// A stored answer is given to whoever comes so far: who may not must have been refused before.
    fn behind_cache(&mut self, node: &Node, index: usize) {
        let policies = self.defined.node.get("policies").map(Node::items).unwrap_or_default();
        let late = policies.iter().skip(index + 1).flat_map(Node::entries);
        let late: Vec<(String, Span)> = late
            .filter(|entry| DECIDING.contains(&entry.name.as_str()))
            .map(|entry| (entry.name.clone(), entry.name_at))
            .collect();
        for (name, at) in late {
            let message = format!("stored answers would be given before `{name}` has said who may have them");
            let problem = Problem::error("policy-behind-cache", at, message);
            self.all.problems.push(problem.related(node.head(), "the cache is here").help("move it before `cache`"));
        }
    }

    /// What stands behind the cache writes into the request: an answer may depend on it, and the cache cannot see by what. So what it is
    /// written from belongs to the key; where that is the origin's to say, an answer that says so is not stored.
    pub(super) fn cache_places(&mut self, policies: &mut [Policy], action: Option<&Action>) {
        let Some(place) = policies.iter().position(|policy| matches!(policy, Policy::Cache(_))) else { return };
        let written = &self.defined.written;
        let steps = written.compose.iter().flat_map(|compose| &compose.steps.0).map(|(_, step)| &step.upstream);
        let upstreams = written.upstream.iter().chain(steps).map(|upstream| upstream.0.as_str());
        let identities: Vec<String> = upstreams.flat_map(|upstream| self.identities(upstream)).collect();
        let (before, behind) = policies.split_at_mut(place + 1);
        let asks_graphql = before.iter().any(|policy| matches!(policy, Policy::Graphql(_)));
        let Some(Policy::Cache(cache)) = before.last_mut() else { return };
        let with_bodies = asks_graphql || !cache.methods.is_empty();
        let behind = Behind { policies: behind, action, with_bodies };
        cache.terms.unseen = behind.fields().into_iter().chain(identities).collect();
        behind.tell_apart(&mut cache.key);
        if let Err(step) = behind.tell_conditions_apart(&mut cache.key) {
            let at = self.at([Field("compose"), Field("steps"), Field(step), Field("when")]);
            let message =
                "answers are stored by what this condition asks for, and it does not say by name what that is";
            let problem = Problem::error("condition-behind-cache", at, message);
            let help = "ask for single members: `request.headers[\"x-a\"] == \"b\"`, or remove `cache`";
            self.all.problems.push(problem.help(help));
        }
    }

    /// The fields in which an upstream is told who is calling, later than a cache could see.
    pub(super) fn identities(&self, upstream: &str) -> Vec<String> {
        let upstream = self.all.loaded.upstreams.iter().find(|known| known.name == upstream);
        let shown = upstream.and_then(|upstream| upstream.written.credentials.as_ref());
        let identities = shown.iter().flat_map(|shown| &shown.0).filter_map(|credential| match credential {
            written::UpstreamCredential::Identity(identity) => {
                Some(identity.header.as_ref().map_or("x-identity", |name| &name.0).to_ascii_lowercase())
            }
            written::UpstreamCredential::Header(_)
            | written::UpstreamCredential::Basic(_)
            | written::UpstreamCredential::Oauth2(_)
            | written::UpstreamCredential::Aws(_) => None,
        });
        identities.collect()
    }
}

/// For how many milliseconds an instance may answer from its memory: as long as purges take.
const LONGEST_MOMENT: u64 = 5_000;

fn method(written: &written::CacheMethod) -> String {
    match written {
        written::CacheMethod::Post => "POST".to_owned(),
        written::CacheMethod::Query => "QUERY".to_owned(),
    }
}

/// A name as `Cache-Status` has it: a token, or else a string (RFC 9651 §3.3).
fn token(name: &str) -> String {
    let is_token = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || ":/!#$%&'*+-.^_`|~".contains(c));
    if is_token { name.to_owned() } else { format!("\"{name}\"") }
}
