//! Kong's plugins, as policies.

use serde_json::Value;

use super::super::yaml::{Map, Yaml, one_or_many};
use super::{clean, items, refers, text_of};

/// For which requests an instance of a plugin holds: the later outranks the earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// For all.
    Everything,
    /// For those of a service.
    Service,
    /// For those of a route.
    Route,
}

/// An instance of a plugin that is switched on.
pub struct Plugin<'a> {
    /// What the plugin is called.
    pub name: &'a str,
    /// For which requests it holds.
    pub reach: Reach,
    config: &'a Value,
    /// The service or the route that it belongs to; `by_name`: a reference to it.
    holder: &'a Value,
    by_name: bool,
}

/// What the plugins of a route come to.
#[derive(Default)]
pub struct Effects {
    /// In the order in which they run.
    pub policies: Vec<Map>,
    /// What the route takes at most.
    pub limits: Map,
    /// What is answered in the place of the upstream.
    pub answer: Option<Map>,
    /// Ways to prove who is calling.
    methods: Vec<Map>,
    /// Whether there is another one, which is left out.
    proves_otherwise: bool,
    /// Whether one of them is enough, and whether nobody need be known.
    any: bool,
    anonymous: bool,
}

/// Is told what of a plugin is left out, and what to write instead.
type Leave<'l> = &'l mut dyn FnMut(&str, &str);

impl<'a> Plugin<'a> {
    /// One that stands by itself, where it is switched on.
    pub fn of(plugin: &'a Value, document: &'a Value) -> Option<Self> {
        let is_there = |field: &str| !plugin[field].is_null();
        let (holder, reach) = match (is_there("route"), is_there("service")) {
            (true, _) => (&plugin["route"], Reach::Route),
            (false, true) => (&plugin["service"], Reach::Service),
            (false, false) => (document, Reach::Everything),
        };
        Self::held(plugin, holder, reach).map(|plugin| Self { by_name: true, ..plugin })
    }

    /// One that stands within what it holds for.
    pub fn held(plugin: &'a Value, holder: &'a Value, reach: Reach) -> Option<Self> {
        let name = plugin["name"].as_str().filter(|_| plugin["enabled"] != false)?;
        Some(Self { name, reach, config: &plugin["config"], holder, by_name: false })
    }

    /// Whether it holds for requests of this service or route.
    pub fn is_held_by(&self, thing: &Value) -> bool {
        // Where it stands within it, this is it; else it names it.
        std::ptr::eq(self.holder, thing) || self.by_name && refers(self.holder, thing)
    }

    /// When it runs: as Kong's priorities say.
    pub fn turn(&self) -> usize {
        let name = if OTHER_PROOFS.contains(&self.name) { "key-auth" } else { self.name };
        ORDER.iter().position(|known| *known == name).unwrap_or(ORDER.len())
    }

    /// Adds what it does. `counted`: the name under which a limit of several routes counts for all of them.
    pub fn apply(&self, counted: Option<&str>, effects: &mut Effects, telemetry: &mut Map, leave: Leave<'_>) {
        let config = self.config;
        let flag = |field: &str, otherwise: bool| config[field].as_bool().unwrap_or(otherwise);
        match self.name {
            "key-auth" => {
                let mut names: Vec<String> = items(config, "key_names").map(text_of).collect();
                if names.is_empty() {
                    names.push("apikey".to_owned());
                }
                let header = flag("key_in_header", true)
                    .then(|| one_or_many(names.iter().map(|name| name.to_lowercase()).collect()));
                let query = flag("key_in_query", true).then(|| one_or_many(names));
                if flag("key_in_body", false) {
                    leave(": key_in_body", "keys stand in a header field, the query or a cookie");
                }
                let method = Map::default().with_some("header", header).with_some("query", query);
                self.proves("api_key", method, effects);
            }
            "basic-auth" => self.proves("basic", Map::default(), effects),
            "acl" => {
                let rules = lists(config, &["allow", "deny"], clean);
                effects.policies.push(policy("authorize", Map::default().with("groups", rules)));
            }
            "ip-restriction" => {
                let rules = lists(config, &["allow", "deny"], str::to_owned);
                effects.policies.push(policy("authorize", Map::default().with("addresses", rules)));
            }
            "cors" => effects.policies.push(policy("cors", cors(config, leave))),
            "rate-limiting" => self.limits(counted, effects, leave),
            "request-size-limiting" => {
                let size = config["allowed_payload_size"].as_u64().unwrap_or(128);
                let unit = match config["size_unit"].as_str() {
                    Some("bytes") => "B",
                    Some("kilobytes") => "KB",
                    _ => "MB",
                };
                effects.limits.push("body", format!("{size}{unit}"));
            }
            "request-termination" => {
                let status = config["status_code"].as_u64().unwrap_or(503);
                let message =
                    config["message"].as_str().map(|message| serde_json::json!({ "message": message }).to_string());
                let body = config["body"].as_str().map(str::to_owned).or(message);
                let kind = config["content_type"].as_str().unwrap_or("application/json");
                let mut answer = Map::default().with("status", status);
                if let Some(body) = body {
                    answer.push("headers", Map::default().with("content-type", kind));
                    answer.push("body", literal(&body));
                }
                if !config["trigger"].is_null() {
                    leave(": trigger", "a route of its own with a condition on that header field or parameter");
                }
                effects.answer = Some(answer);
            }
            "request-transformer" | "request-transformer-advanced" => {
                let headers = edits(config, "headers", leave);
                if !headers.is_empty() {
                    effects.policies.push(policy("headers", Map::default().with("request", headers)));
                }
                let query = edits(config, "querystring", leave);
                if !query.is_empty() {
                    let request = Map::default().with("query", query);
                    effects.policies.push(policy("transform", Map::default().with("request", request)));
                }
                transforms_left(
                    config,
                    &[("body", "`transform.request.body.edit`"), ("uri", "`rewrite` of the route")],
                    leave,
                );
                if !config["http_method"].is_null() {
                    leave(": http_method", "`transform.request.method: { GET: POST }`");
                }
            }
            "response-transformer" | "response-transformer-advanced" => {
                let mut headers = edits(config, "headers", leave);
                let statuses: Vec<String> = items(config, "if_status").map(text_of).collect();
                if !headers.is_empty() {
                    if !statuses.is_empty() {
                        headers.push("statuses", one_or_many(statuses));
                    }
                    effects.policies.push(policy("headers", Map::default().with("response", headers)));
                }
                transforms_left(
                    config,
                    &[("json", "`transform.response.body.edit`"), ("body", "`transform.response.body.template`")],
                    leave,
                );
            }
            "correlation-id" => {
                if !telemetry.has("request_id") {
                    let header = config["header_name"].as_str().unwrap_or("Kong-Request-ID").to_lowercase();
                    let to = if flag("echo_downstream", false) { vec!["upstream", "client"] } else { vec!["upstream"] };
                    telemetry.push("request_id", Map::default().with("header", header).with("to", one_or_many(to)));
                }
                if self.reach != Reach::Everything {
                    leave("", "`telemetry.request_id` has been set; it is for all routes");
                }
            }
            "proxy-cache" | "proxy-cache-advanced" => effects.policies.push(policy("cache", cache(config, leave))),
            "bot-detection" => {
                let rules = |field: &str| -> Vec<Map> {
                    items(config, field).map(|regex| Map::default().with("regex", text_of(regex))).collect()
                };
                let (allow, deny) = (rules("allow"), rules("deny"));
                if deny.is_empty() {
                    leave("", "Kong brings a list of its own; `request_rules.user_agents.deny` wants one of yours");
                } else {
                    if !allow.is_empty() {
                        leave(": allow", "in `request_rules` denying comes first");
                    }
                    let agents = Map::default().with("deny", one_or_many(deny));
                    effects.policies.push(policy("request_rules", Map::default().with("user_agents", agents)));
                }
            }
            other => {
                effects.proves_otherwise |= OTHER_PROOFS.contains(&other);
                let known = INSTEAD.iter().find(|(name, _)| *name == other);
                leave("", known.map_or("docs/moving.md may know what does the same", |(_, instead)| instead));
            }
        }
    }

    /// Says which settings nobody has looked at, of a plugin that is carried over otherwise.
    pub fn leave_the_rest(&self, leave: Leave<'_>) {
        let Some((_, read)) = READ.iter().find(|(name, _)| *name == self.name) else { return };
        let says_something = |value: &Value| match value {
            Value::Null | Value::Bool(false) => false,
            Value::String(text) => !text.is_empty(),
            Value::Array(items) => !items.is_empty(),
            Value::Object(members) => !members.is_empty(),
            Value::Bool(true) | Value::Number(_) => true,
        };
        let all = self.config.as_object().into_iter().flatten();
        for (field, _) in all.filter(|(_, value)| says_something(value)) {
            if !read.contains(&field.as_str()) && !KONGS_OWN.contains(&field.as_str()) {
                leave(&format!(": {field}"), "nothing is made of this setting; the policy's page says what there is");
            }
        }
    }

    /// A way to prove who is calling. Several in Kong must all prove, unless they let strangers pass.
    fn proves(&self, kind: &str, method: Map, effects: &mut Effects) {
        let hides = self.config["hide_credentials"].as_bool().unwrap_or(false);
        let method = if hides { method } else { method.with("keep", true) };
        effects.methods.push(Map::default().with(kind, method));
        if self.config["anonymous"].as_str().is_some_and(|anonymous| !anonymous.is_empty()) {
            effects.any = true;
            effects.anonymous = true;
        }
    }

    fn limits(&self, counted: Option<&str>, effects: &mut Effects, leave: Leave<'_>) {
        let config = self.config;
        let key: Yaml = match config["limit_by"].as_str().unwrap_or("consumer") {
            "ip" => "client_address".into(),
            // Where nobody proves who is calling, Kong counts by the address.
            "consumer" | "credential" if effects.methods.is_empty() && !effects.proves_otherwise => {
                "client_address".into()
            }
            "consumer" | "credential" => "consumer".into(),
            "service" => "everybody".into(),
            "header" => Map::default().with("header", text_of(&config["header_name"]).to_lowercase()).into(),
            other => {
                leave(&format!(": limit_by {other}"), "`key` of `rate_limit` says by what");
                return;
            }
        };
        let rate = |unit: &str| config[unit].as_u64().map(|count| format!("{count} per {unit}"));
        let windows = ["second", "minute", "hour"].iter().filter_map(|unit| rate(unit));
        let windows: Vec<Map> =
            windows.map(|rate| Map::default().with("rate", rate).with("algorithm", "fixed_window")).collect();
        let quotas: Vec<String> = ["day", "month"].iter().filter_map(|unit| rate(unit)).collect();
        if config["year"].is_u64() {
            leave(": year", "`quota` counts up to months");
        }
        let common = |kind: &str| {
            let name = counted.map(|name| format!("{name}-{kind}"));
            let mut made = Map::default().with_some("name", name).with("key", key.clone());
            if config["policy"] == "local" {
                made.push("scope", "instance");
            }
            if config["fault_tolerant"] == false {
                made.push("on_failure", "closed");
            }
            let hidden = config["hide_client_headers"] == true;
            made.push("headers", if hidden { "none" } else { "kong" });
            made
        };
        if !windows.is_empty() {
            effects.policies.push(policy("rate_limit", common("rate").with("limits", one_or_many(windows))));
        }
        if !quotas.is_empty() {
            effects.policies.push(policy("quota", common("quota").with("limits", one_or_many(quotas))));
        }
    }
}

impl Effects {
    /// Puts the ways to prove who is calling where the others begin.
    pub fn finish(&mut self) {
        if self.methods.is_empty() {
            return;
        }
        let mut methods: Vec<Yaml> = std::mem::take(&mut self.methods).into_iter().map(Yaml::from).collect();
        if self.anonymous {
            methods.push("anonymous".into());
        }
        let all = methods.len() > 1 && !self.any;
        let authenticate = Map::default().with(if all { "all_of" } else { "any_of" }, methods);
        // Behind what Kong does before it, which is `cors` and what looks at programs.
        let at = self.policies.iter().take_while(|policy| policy.has("cors") || policy.has("request_rules")).count();
        self.policies.insert(at, policy("authenticate", authenticate));
    }
}

/// By Kong's priorities, the highest first.
const ORDER: [&str; 15] = [
    "correlation-id",
    "bot-detection",
    "cors",
    "key-auth",
    "basic-auth",
    "ip-restriction",
    "request-size-limiting",
    "acl",
    "rate-limiting",
    "request-transformer-advanced",
    "request-transformer",
    "response-transformer-advanced",
    "response-transformer",
    "proxy-cache",
    "request-termination",
];

/// What is looked at of a plugin's settings, if only to be told.
const READ: [(&str, &[&str]); 16] = [
    ("correlation-id", &["header_name", "echo_downstream"]),
    ("bot-detection", &["allow", "deny"]),
    ("cors", &["origins", "methods", "headers", "exposed_headers", "credentials", "max_age", "preflight_continue"]),
    ("key-auth", &["key_names", "key_in_header", "key_in_query", "key_in_body", "hide_credentials", "anonymous"]),
    ("basic-auth", &["hide_credentials", "anonymous"]),
    ("ip-restriction", &["allow", "deny"]),
    ("request-size-limiting", &["allowed_payload_size", "size_unit"]),
    ("acl", &["allow", "deny"]),
    (
        "rate-limiting",
        &[
            "second",
            "minute",
            "hour",
            "day",
            "month",
            "year",
            "limit_by",
            "header_name",
            "policy",
            "fault_tolerant",
            "hide_client_headers",
        ],
    ),
    ("request-transformer-advanced", &["remove", "rename", "replace", "add", "append", "http_method"]),
    ("request-transformer", &["remove", "rename", "replace", "add", "append", "http_method"]),
    ("response-transformer-advanced", &["remove", "rename", "replace", "add", "append", "if_status"]),
    ("response-transformer", &["remove", "rename", "replace", "add", "append"]),
    ("proxy-cache-advanced", CACHE),
    ("proxy-cache", CACHE),
    ("request-termination", &["status_code", "message", "body", "content_type", "trigger"]),
];

const CACHE: &[&str] = &[
    "cache_ttl",
    "response_code",
    "cache_control",
    "vary_headers",
    "vary_query_params",
    "content_type",
    "storage_ttl",
];

/// Plugins that find out who is calling, of which a file cannot carry over enough.
const OTHER_PROOFS: [&str; 9] = [
    "jwt",
    "hmac-auth",
    "oauth2",
    "oauth2-introspection",
    "openid-connect",
    "mtls-auth",
    "ldap-auth",
    "ldap-auth-advanced",
    "header-cert-auth",
];

/// Settings of how Kong does it, which say nothing of what is done.
const KONGS_OWN: [&str; 8] = [
    "run_on_preflight",
    "strategy",
    "memory",
    "redis",
    "sync_rate",
    "generator",
    "allow_origin_absent",
    "response_headers",
];

/// What to write in the place of plugins that say things which a file cannot carry over by itself.
const INSTEAD: [(&str, &str); 31] = [
    ("jwt", "`authenticate` with `jwt: { issuers: … }`, whose keys were `jwt_secrets` of consumers"),
    ("hmac-auth", "`authenticate` with `hmac_auth`, and `signers` of consumers with `secret: \"${secret:NAME}\"`"),
    ("oauth2", "`jwt` or `introspection`, with an issuer of tokens of your own"),
    ("oauth2-introspection", "`authenticate` with `introspection`"),
    ("openid-connect", "`authenticate` with `jwt` for APIs, `login` for browsers"),
    ("ldap-auth", "`forward_auth` to a service that asks LDAP"),
    ("ldap-auth-advanced", "`forward_auth` to a service that asks LDAP"),
    ("mtls-auth", "`authenticate` with `client_certificate`"),
    ("header-cert-auth", "`authenticate` with `client_certificate`, and `client.certificate_from`"),
    ("session", "`authenticate` with `login`"),
    ("opa", "`forward_auth` to OPA, or `authorize.expression`"),
    ("rate-limiting-advanced", "`rate_limit` with `algorithm: sliding_window`; `plans` for groups of consumers"),
    ("response-ratelimiting", "`quota` with a `cost` from the response"),
    ("request-validator", "`validate`"),
    ("oas-validation", "`openapi`"),
    ("json-threat-protection", "`json_limits`"),
    ("jq", "`transform` with `query`, in JMESPath"),
    ("exit-transformer", "`error_pages`"),
    ("mocking", "`mock`"),
    ("redirect", "a route with `redirect`"),
    ("canary", "`canary` of the upstream"),
    ("upstream-oauth", "`credentials` of the upstream"),
    ("aws-lambda", "a target at the function's URL, with `credentials: { aws: … }` of the upstream"),
    ("grpc-gateway", "`grpc` of the route"),
    ("grpc-web", "`grpc` of the route"),
    ("prometheus", "`telemetry.metrics`, and a route with `serve: metrics`"),
    ("opentelemetry", "`telemetry.traces` and `telemetry.otlp`"),
    ("zipkin", "`telemetry.traces` and `telemetry.otlp`"),
    ("http-log", "`telemetry.logs.to`"),
    ("file-log", "`telemetry.logs.to: console`"),
    ("pre-function", "nothing runs code here: templates, expressions, `forward_auth`, or a Worker behind a `binding`"),
];

fn policy(kind: &str, what: Map) -> Map {
    Map::default().with(kind, what)
}

/// These lists, where they are not empty.
fn lists(config: &Value, fields: &[&str], write: impl Fn(&str) -> String) -> Map {
    let mut made = Map::default();
    for field in fields {
        let all: Vec<String> = items(config, field).map(|item| write(&text_of(item))).collect();
        if !all.is_empty() {
            made.push(field, one_or_many(all));
        }
    }
    made
}

fn cors(config: &Value, leave: Leave<'_>) -> Map {
    let is_plain =
        |origin: &str| origin == "*" || origin.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.:/".contains(&b));
    let mut origins: Vec<Yaml> = Vec::new();
    for origin in items(config, "origins").map(text_of) {
        if is_plain(&origin) {
            origins.push(origin.into());
        } else {
            origins.push(Map::default().with("regex", origin.trim_start_matches('^').trim_end_matches('$')).into());
        }
    }
    if origins.is_empty() {
        origins.push("*".into());
    }
    if config["preflight_continue"] == true {
        leave(": preflight_continue", "preflights are answered here");
    }
    let credentials = config["credentials"] == true;
    if credentials && origins.iter().any(|origin| *origin == Yaml::from("*")) {
        leave(": credentials for all origins", "browsers take it only for origins that are named; name them");
    }
    let credentials = (credentials && !origins.iter().any(|origin| *origin == Yaml::from("*"))).then_some(true);
    let listed = |field: &str| {
        let all: Vec<String> = items(config, field).map(text_of).collect();
        (!all.is_empty()).then(|| one_or_many(all))
    };
    Map::default()
        .with("origins", one_or_many(origins))
        .with_some("methods", listed("methods"))
        .with_some("headers", listed("headers"))
        .with_some("expose", listed("exposed_headers"))
        .with_some("credentials", credentials)
        .with_some(
            "max_age",
            config["max_age"].as_u64().filter(|seconds| *seconds > 0).map(|seconds| format!("{seconds}s")),
        )
}

fn cache(config: &Value, leave: Leave<'_>) -> Map {
    let seconds = config["cache_ttl"].as_u64().unwrap_or(300);
    let mut statuses: Vec<String> = items(config, "response_code").map(text_of).collect();
    if statuses.is_empty() {
        statuses = ["200", "301", "404"].map(str::to_owned).to_vec();
    }
    let mut ttl = Map::default();
    statuses.iter().for_each(|status| ttl.push(status, format!("{seconds}s")));
    let mut made = Map::default().with("ttl", ttl);
    if config["cache_control"] != true {
        // Kong heeds `Cache-Control` only when it is told to.
        made.push("override_origin", true);
        made.push("client_directives", "ignore");
    }
    let headers: Vec<String> = items(config, "vary_headers").map(|name| text_of(name).to_lowercase()).collect();
    if !headers.is_empty() {
        made.push("key", Map::default().with("headers", one_or_many(headers)));
    }
    for (field, instead) in [
        ("vary_query_params", "`key.query` of `cache`"),
        ("content_type", "nothing chooses by the type of an answer; `Cache-Control: no-store` of the origin does"),
        ("storage_ttl", "`stale_if_error` of `cache`"),
    ] {
        if !config[field].is_null() && config[field] != Value::Array(Vec::new()) {
            leave(&format!(": {field}"), instead);
        }
    }
    made
}

/// The edits of header fields, or of the query, in our words: Kong's `add` is for what is not there.
fn edits(config: &Value, of: &str, leave: Leave<'_>) -> Map {
    let lower = |name: &str| if of == "headers" { name.to_lowercase() } else { name.to_owned() };
    let mut made = Map::default();
    let removed: Vec<String> = items(&config["remove"], of).map(|name| lower(&text_of(name))).collect();
    if !removed.is_empty() {
        made.push("remove", one_or_many(removed));
    }
    for (field, ours) in [("rename", "rename"), ("replace", "replace"), ("add", "default"), ("append", "append")] {
        let mut pairs = Map::default();
        for pair in items(&config[field], of).map(text_of) {
            let Some((name, value)) = pair.split_once(':') else { continue };
            if value.contains("$(") {
                leave(
                    &format!(": {field} {pair}"),
                    "templates are `{request.headers.x}`, `{request.query.x}`, `{name}` (docs/moving.md)",
                );
                continue;
            }
            let name = lower(name.trim());
            if pairs.has(&name) {
                leave(&format!(": {field} {pair}"), "one value for each name; a list where there are several");
                continue;
            }
            let value = if field == "rename" { lower(value.trim()) } else { literal(value.trim_start()) };
            pairs.push(&name, value);
        }
        if !pairs.is_empty() {
            made.push(ours, pairs);
        }
    }
    made
}

fn transforms_left(config: &Value, kinds: &[(&str, &str)], leave: Leave<'_>) {
    for (of, instead) in kinds {
        let fields = ["remove", "rename", "replace", "add", "append", "allow"];
        let is_there = |field: &str| {
            let value = &config[field][*of];
            !value.is_null() && *value != Value::Array(Vec::new())
        };
        let there: Vec<&str> = fields.into_iter().filter(|field| is_there(field)).collect();
        if !there.is_empty() {
            leave(&format!(": {of} ({})", there.join(", ")), instead);
        }
    }
}

/// A text that stands for itself where templates are read.
fn literal(text: &str) -> String {
    text.replace('{', "{{").replace('}', "}}")
}
