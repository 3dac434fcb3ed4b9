//! Kong's declarative configuration, formats 2.1 to 3.0, as it is written by hand, by decK and by `kong config db_export`.
//!
//! A service becomes an upstream (with the targets of the Kong upstream that its `host` names) and its routes a group; a plugin
//! becomes a policy of each route that it holds for, in the order in which Kong runs its plugins. Of two instances of one plugin the
//! more special one holds: the route's, the service's, the one for all.

mod plugins;

use std::collections::{BTreeMap, BTreeSet};

use gateway_core::consumer;
use serde_json::Value;

use super::yaml::{Map, Yaml, one_or_many};
use super::{Imported, Left};
use plugins::{Effects, Plugin, Reach};

/// Translates a document, or says why it is none.
pub fn translate(document: &Value) -> Result<Imported, String> {
    let Some(version) = document.get("_format_version").map(text_of) else {
        return Err(
            "this is no declarative configuration of Kong: it has no `_format_version`; `deck gateway dump` writes one"
                .to_owned(),
        );
    };
    if !version.starts_with(['1', '2', '3']) {
        return Err(format!("nobody knows Kong's format {version}; 1.1 to 3.0 can be read"));
    }
    for field in ["services", "routes", "upstreams", "consumers", "plugins"] {
        let of_objects = |list: &Value| list.as_array().is_some_and(|items| items.iter().all(Value::is_object));
        if document.get(field).is_some_and(|list| !list.is_null() && !of_objects(list)) {
            return Err(format!("`{field}` must be a list of objects, as in every declarative configuration of Kong"));
        }
    }
    let mut kong = Kong { document, left: Vec::new(), names: Names::default(), telemetry: Map::default() };
    Ok(kong.whole())
}

struct Kong<'a> {
    document: &'a Value,
    left: Vec<Left>,
    names: Names,
    telemetry: Map,
}

impl<'a> Kong<'a> {
    fn whole(&mut self) -> Imported {
        let document = self.document;
        let plugins = self.plugins();
        let (mut upstreams, mut groups, mut alone) = (Map::default(), Vec::new(), Vec::new());
        for service in items(document, "services") {
            let label = label(service);
            if service["enabled"] == false {
                self.leave(format!("service {label}"), "it is switched off in Kong");
                continue;
            }
            let name = self.names.of("upstream", &label);
            let routes: Vec<&Value> = items(service, "routes")
                .chain(items(document, "routes").filter(|route| refers(&route["service"], service)))
                .collect();
            let made: Vec<Made> = routes.iter().flat_map(|route| self.route(route, Some(service), &plugins)).collect();
            if made.iter().any(|made| !made.answers) {
                let upstream = self.upstream(service, &label);
                upstreams.push(&name, upstream);
            }
            groups.push((name, made));
        }
        for route in items(document, "routes").filter(|route| route["service"].is_null()) {
            alone.extend(self.route(route, None, &plugins));
        }
        let consumers: Vec<Map> = items(document, "consumers").filter_map(|consumer| self.consumer(consumer)).collect();
        self.leave_the_rest();

        let of_all =
            shared(groups.iter().flat_map(|(_, made)| made).chain(&alone)).filter(|_| groups.len() + alone.len() > 1);
        if of_all.is_some() {
            groups.iter_mut().flat_map(|(_, made)| made).chain(&mut alone).for_each(|made| made.policies.clear());
        }
        let groups: Vec<Map> = groups.into_iter().map(|(name, made)| group(&name, made)).collect();
        let telemetry = std::mem::take(&mut self.telemetry);
        let mut configuration = Map::default().with("via", "gateway");
        if !telemetry.is_empty() {
            configuration.push("telemetry", telemetry);
        }
        if let Some(policies) = of_all {
            configuration.push("defaults", Map::default().with("policies", policies));
        }
        configuration.push("upstreams", upstreams);
        if !consumers.is_empty() {
            configuration.push("consumers", consumers);
        }
        if !groups.is_empty() {
            configuration.push("groups", groups);
        }
        if !alone.is_empty() {
            let alone: Vec<Map> = alone.into_iter().map(|made| made.whole()).collect();
            configuration.push("routes", alone);
        }
        Imported { configuration, left: std::mem::take(&mut self.left) }
    }

    /// A service: where it is, and how long it may take.
    fn upstream(&mut self, service: &Value, label: &str) -> Map {
        let place = format!("service {label}");
        let (scheme, host, port, path) = address(service);
        let scheme = match scheme.as_str() {
            "http" | "https" => scheme,
            "grpc" => "http".to_owned(),
            "grpcs" => "https".to_owned(),
            other => {
                self.leave(place.clone(), &format!("`protocol: {other}`: Postern speaks HTTP to upstreams"));
                "http".to_owned()
            }
        };
        let named = items(self.document, "upstreams").find(|upstream| text_of(&upstream["name"]) == host);
        let base = path.trim_end_matches('/');
        let targets: Vec<Map> = match named {
            Some(upstream) => items(upstream, "targets")
                .filter(|target| target["weight"] != 0)
                .map(|target| {
                    let weight = target["weight"].as_u64().filter(|weight| *weight != 100);
                    let address = text_of(&target["target"]);
                    // Kong's own port, where a target has none.
                    let address = if address.rsplit(']').next().is_some_and(|end| end.contains(':')) {
                        address
                    } else {
                        format!("{address}:8000")
                    };
                    Map::default().with("url", format!("{scheme}://{address}{base}")).with_some("weight", weight)
                })
                .collect(),
            None => {
                let usual = if scheme == "https" { 443 } else { 80 };
                let port = if port == usual { String::new() } else { format!(":{port}") };
                vec![Map::default().with("url", format!("{scheme}://{host}{port}{base}"))]
            }
        };
        if targets.is_empty() {
            self.leave(place.clone(), "its upstream has no targets: name them in `targets`");
        }
        let timeout = service["read_timeout"].as_u64().unwrap_or(60_000);
        let retries = service["retries"].as_u64().unwrap_or(5);
        let mut made = Map::default()
            .with("targets", targets)
            .with("timeouts", Map::default().with("attempt", milliseconds(timeout)));
        if retries > 0 {
            made.push("retries", Map::default().with("attempts", retries));
        }
        if let Some(upstream) = named {
            self.balance(upstream, &mut made);
        }
        for field in ["connect_timeout", "write_timeout"] {
            if service[field].as_u64().is_some_and(|time| time != 60_000) {
                self.leave(
                    format!("{place}: {field}"),
                    "`timeouts.attempt` is for connection and head together, `timeouts.idle` for bodies",
                );
            }
        }
        for (field, instead) in [
            ("client_certificate", "a target's `binding` to an mTLS certificate of the platform (docs/credentials.md)"),
            ("ca_certificates", "the platform verifies servers by the usual authorities"),
            ("tls_verify_depth", "the platform verifies servers by itself"),
        ] {
            if !service[field].is_null() {
                self.leave(format!("{place}: {field}"), instead);
            }
        }
        if service["tls_verify"] == false && scheme == "https" {
            self.leave(
                format!("{place}: tls_verify: false"),
                "the platform always verifies servers; give the upstream a certificate that holds",
            );
        }
        made
    }

    /// A Kong upstream: who gets the next request, and who gets none.
    fn balance(&mut self, upstream: &Value, made: &mut Map) {
        let place = format!("upstream {}", text_of(&upstream["name"]));
        match upstream["algorithm"].as_str().unwrap_or("round-robin") {
            "round-robin" => {}
            "least-connections" => made.push("balance", "least_requests"),
            "latency" => made.push("balance", "latency"),
            "consistent-hashing" => {
                let named = |field: &str| text_of(&upstream[field]);
                let on: Option<Yaml> = match upstream["hash_on"].as_str().unwrap_or("none") {
                    "consumer" => Some("consumer".into()),
                    "ip" => Some("client_address".into()),
                    "header" => Some(Map::default().with("header", named("hash_on_header").to_lowercase()).into()),
                    "cookie" => Some(Map::default().with("cookie", named("hash_on_cookie")).into()),
                    "query_arg" => Some(Map::default().with("query", named("hash_on_query_arg")).into()),
                    "uri_capture" => Some(Map::default().with("path_parameter", named("hash_on_uri_capture")).into()),
                    _ => None,
                };
                match on {
                    Some(on) => made.push("balance", Map::default().with("hash", Map::default().with("on", on))),
                    None => self.leave(
                        format!("{place}: hash_on"),
                        "`balance: { hash: { on: … } }` of the upstream says by what",
                    ),
                }
            }
            other => self.leave(format!("{place}: algorithm {other}"), "`balance` of the upstream"),
        }
        let number = |value: &Value| value.as_u64().filter(|number| *number > 0);
        let (active, passive) = (&upstream["healthchecks"]["active"], &upstream["healthchecks"]["passive"]);
        let mut health = Map::default();
        let fewest = |unhealthy: &Value| {
            ["http_failures", "tcp_failures", "timeouts"]
                .into_iter()
                .filter_map(|field| number(&unhealthy[field]))
                .min()
        };
        if let Some(failures) = fewest(&passive["unhealthy"]) {
            health.push("consecutive_failures", failures);
        }
        let interval = number(&active["healthy"]["interval"]).or(number(&active["unhealthy"]["interval"]));
        if let Some(interval) = interval {
            match active["type"].as_str().unwrap_or("http") {
                "http" | "https" => {
                    let path = active["http_path"].as_str().unwrap_or("/");
                    let check = Map::default()
                        .with("http", Map::default().with("path", path))
                        .with("interval", format!("{interval}s"))
                        .with_some("healthy_after", number(&active["healthy"]["successes"]))
                        .with_some("unhealthy_after", fewest(&active["unhealthy"]));
                    health.push("check", check);
                }
                other => self.leave(
                    format!("{place}: healthchecks.active of the type {other}"),
                    "`health.check` asks by HTTP or gRPC (docs/upstreams.md)",
                ),
            }
        }
        if !health.is_empty() {
            made.push("health", health);
        }
    }

    /// A route, as many of ours as it has kinds of paths.
    fn route(&mut self, route: &Value, service: Option<&Value>, plugins: &[Plugin<'a>]) -> Vec<Made> {
        let label = route["name"].as_str().map_or_else(|| service.map_or("route".to_owned(), label), str::to_owned);
        let place = format!("route {label}");
        let Effects { policies, limits, answer, .. } = self.effects(route, service, plugins, &place);
        let common = self.conditions(route, &place);
        let strip = route["strip_path"] != false;
        let paths: Vec<String> = items(route, "paths").map(text_of).collect();
        let (regexes, prefixes): (Vec<&String>, Vec<&String>) = paths.iter().partition(|path| path.starts_with('~'));
        let prefixes: Vec<&str> = prefixes.into_iter().map(|path| plain(path)).collect();
        let mut kinds = Vec::new();
        if !prefixes.is_empty() || regexes.is_empty() {
            let all = if prefixes.is_empty() { vec!["/"] } else { prefixes };
            let stripped: Vec<&str> = all.iter().copied().filter(|path| *path != "/").collect();
            let mut kind = Map::default().with("path_prefix", one_or_many(all));
            if strip && !stripped.is_empty() && answer.is_none() {
                kind.push("strip_prefix", one_or_many(stripped));
            }
            kinds.push(kind);
        }
        for regex in regexes {
            let regex = format!("^{}", regex.trim_start_matches(['~', '^']));
            let mut kind = Map::default().with("path_regex", regex.as_str());
            if strip && answer.is_none() {
                // What is left begins with one slash.
                let find = if regex.ends_with('$') { regex } else { format!("{regex}/?") };
                kind.push("rewrite_regex", Map::default().with("find", find).with("replace", "/"));
            }
            kinds.push(kind);
        }
        let answers = answer.is_some() || service.is_none();
        kinds
            .into_iter()
            .map(|kind| {
                let name = self.names.of("route", &label);
                let mut action = match (&answer, service) {
                    (Some(answer), _) => Map::default().with("respond", answer.clone()),
                    (None, Some(_)) => Map::default(),
                    // Kong answers so, too: nobody is behind it.
                    (None, None) => Map::default().with("respond", Map::default().with("status", 503)),
                };
                if !limits.is_empty() {
                    action.push("limits", limits.clone());
                }
                Made { name, conditions: join(&[&kind, &common]), action, policies: policies.clone(), answers }
            })
            .collect()
    }

    /// What a route asks for besides the path.
    fn conditions(&mut self, route: &Value, place: &str) -> Map {
        let mut made = Map::default();
        let (mut hosts, mut unknown) = (Vec::new(), Vec::new());
        for host in items(route, "hosts").chain(items(route, "snis")).map(text_of) {
            let bare = host.rsplit_once(':').map_or(host.as_str(), |(bare, _)| bare).to_owned();
            if bare.trim_start_matches("*.").contains('*') {
                unknown.push(host)
            } else if !hosts.contains(&bare) {
                hosts.push(bare)
            }
        }
        if !unknown.is_empty() {
            self.leave(
                format!("{place}: hosts {}", unknown.join(", ")),
                "a `*` stands for the first labels only: name the hosts",
            );
        }
        if !hosts.is_empty() {
            made.push("host", one_or_many(hosts));
        }
        let methods: Vec<String> = items(route, "methods").map(text_of).collect();
        if !methods.is_empty() {
            made.push("method", one_or_many(methods));
        }
        let mut headers = Map::default();
        for (name, values) in route["headers"].as_object().into_iter().flatten() {
            let values: Vec<String> =
                values.as_array().map_or_else(|| vec![text_of(values)], |values| values.iter().map(text_of).collect());
            let regex = values.first().and_then(|value| value.strip_prefix("~*"));
            let rule = match (regex, values.len()) {
                (Some(regex), 1) => Map::default().with("regex", format!("(?i){regex}")),
                (None, 1) => Map::default().with("exact", values[0].as_str()),
                _ => Map::default().with("any", values),
            };
            headers.push(&name.to_lowercase(), rule);
        }
        if !headers.is_empty() {
            made.push("headers", headers);
        }
        let protocols: BTreeSet<String> = items(route, "protocols").map(text_of).collect();
        let protocols: Vec<&str> = protocols.iter().map(String::as_str).collect();
        match protocols[..] {
            [] | ["http", "https"] | ["grpc", "grpcs"] => {}
            ["https"] | ["grpcs"] => {
                made.push("scheme", "https");
                self.leave(
                    format!("{place}: requests by http"),
                    "Kong answers 426 or redirects; a route with `scheme: http` and `redirect: { to: \"https://{request.host}{request.path}\" }` does so",
                );
            }
            ["http"] | ["grpc"] => made.push("scheme", "http"),
            _ if protocols.iter().any(|protocol| protocol.starts_with("ws")) => made.push("websocket", true),
            _ => self.leave(
                format!("{place}: protocols {}", protocols.join(", ")),
                "Postern takes HTTP, gRPC and WebSockets",
            ),
        }
        let sources: Vec<String> =
            items(route, "sources").filter_map(|source| source["ip"].as_str()).map(str::to_owned).collect();
        if !sources.is_empty() {
            made.push("client_address", one_or_many(sources));
        }
        for (field, instead) in [
            (
                "expression",
                "its conditions are `host`, `path`, `method`, `headers`, `query` and so on; what they cannot say, `authorize.expression` may",
            ),
            ("destinations", "nothing is known of where a request came in"),
        ] {
            if !route[field].is_null() && route[field] != Value::Array(Vec::new()) {
                self.leave(format!("{place}: {field}"), instead);
            }
        }
        if route["preserve_host"] == true {
            self.leave(
                format!("{place}: preserve_host"),
                "both platforms send the target's own `Host`; `X-Forwarded-Host` has the client's",
            );
        }
        if route["regex_priority"].as_i64().is_some_and(|priority| priority != 0) {
            made.push("priority", Yaml::Plain(text_of(&route["regex_priority"])));
        }
        made
    }

    /// What the plugins that hold for a route come to.
    fn effects(&mut self, route: &Value, service: Option<&Value>, plugins: &[Plugin<'a>], place: &str) -> Effects {
        let mut chosen: BTreeMap<&str, (&Plugin<'a>, Reach)> = BTreeMap::new();
        for plugin in plugins {
            let reach = match plugin.reach {
                Reach::Everything => Reach::Everything,
                Reach::Service => match service {
                    Some(service) if plugin.is_held_by(service) => Reach::Service,
                    _ => continue,
                },
                Reach::Route if plugin.is_held_by(route) => Reach::Route,
                Reach::Route => continue,
            };
            let known = chosen.get(plugin.name).map(|(_, known)| *known);
            if known.is_none_or(|known| known < reach) {
                chosen.insert(plugin.name, (plugin, reach));
            }
        }
        let mut chosen: Vec<_> = chosen.into_values().collect();
        chosen.sort_by_key(|(plugin, _)| plugin.turn());
        let counted = |reach: Reach| match reach {
            Reach::Everything => Some("all".to_owned()),
            Reach::Service => service.map(label),
            Reach::Route => None,
        };
        let mut effects = Effects::default();
        for (plugin, reach) in &chosen {
            let counted = counted(*reach).map(|name| clean(&name));
            let mut leave = |what: &str, instead: &str| {
                let place = match reach {
                    Reach::Everything => format!("plugin {}{what}", plugin.name),
                    Reach::Service => {
                        format!("service {}: plugin {}{what}", service.map(label).unwrap_or_default(), plugin.name)
                    }
                    Reach::Route => format!("{place}: plugin {}{what}", plugin.name),
                };
                if !self.left.iter().any(|left| left.place == place && left.instead == instead) {
                    self.left.push(Left { place, instead: instead.to_owned() });
                }
            };
            plugin.apply(counted.as_deref(), &mut effects, &mut self.telemetry, &mut leave);
            plugin.leave_the_rest(&mut leave);
        }
        effects.finish();
        effects
    }

    /// Every plugin that is switched on, wherever it stands.
    fn plugins(&mut self) -> Vec<Plugin<'a>> {
        let document = self.document;
        let mut all = Vec::new();
        for plugin in items(document, "plugins") {
            if !plugin["consumer"].is_null() || !plugin["consumer_group"].is_null() {
                self.leave(
                    format!("plugin {} of a consumer", text_of(&plugin["name"])),
                    "limits of single consumers are `plans` of `rate_limit` and `quota`; else `authorize.expression`, or a route of its own",
                );
                continue;
            }
            all.extend(Plugin::of(plugin, document));
        }
        let services = || items(document, "services");
        for service in services() {
            all.extend(items(service, "plugins").filter_map(|plugin| Plugin::held(plugin, service, Reach::Service)));
        }
        for route in services().flat_map(|service| items(service, "routes")).chain(items(document, "routes")) {
            all.extend(items(route, "plugins").filter_map(|plugin| Plugin::held(plugin, route, Reach::Route)));
        }
        all
    }

    fn consumer(&mut self, consumer: &Value) -> Option<Map> {
        let Some(label) = ["username", "custom_id", "id"].iter().find_map(|field| consumer[*field].as_str()) else {
            self.leave("a consumer".to_owned(), "it has no `username`, no `custom_id` and no `id`: give it a `name`");
            return None;
        };
        let label = label.to_owned();
        let place = format!("consumer {label}");
        let name = self.names.of("consumer", &label);
        let of_theirs = |kind: &'static str| {
            let outside =
                items(self.document, kind).filter(move |credential| refers(&credential["consumer"], consumer));
            items(consumer, kind).chain(outside).collect::<Vec<_>>()
        };
        let mut groups: Vec<String> = of_theirs("acls").iter().map(|acl| text_of(&acl["group"])).collect();
        groups.extend(
            items(consumer, "groups")
                .map(|group| group.as_str().map_or_else(|| text_of(&group["name"]), str::to_owned)),
        );
        let mut made = Map::default().with("name", name);
        if !groups.is_empty() {
            made.push("groups", groups.iter().map(|group| clean(group)).collect::<Vec<_>>());
        }
        let mut keys = Vec::new();
        for credential in of_theirs("keyauth_credentials") {
            let key = text_of(&credential["key"]);
            let prefix: String =
                key.chars().take(4).take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')).collect();
            if key.len() < crate::key::SHORTEST || prefix.is_empty() {
                self.leave(
                    format!("{place}: a key of {} characters", key.len()),
                    "of keys only hashes are kept, and a short one could be found by trying: give them one of `postern key new`",
                );
                continue;
            }
            keys.push(Map::default().with("hash", consumer::hash(&key)).with("prefix", prefix));
        }
        if !keys.is_empty() {
            made.push("keys", keys);
        }
        for (kind, instead) in [
            ("basicauth_credentials", "`passwords: [{ username, hash }]`; `postern password hash` makes the hash"),
            (
                "jwt_secrets",
                "`jwt: { issuers: … }` of `authenticate` has the keys of tokens; `subjects` of the consumer say whose they are",
            ),
            ("hmacauth_credentials", "`signers: [{ id, secret: \"${secret:NAME}\" }]`"),
            ("oauth2_credentials", "an issuer of tokens of your own, and `jwt` or `introspection`"),
            ("mtls_auth_credentials", "`certificates` of the consumer"),
        ] {
            if !of_theirs(kind).is_empty() {
                self.leave(format!("{place}: {kind}"), instead);
            }
        }
        Some(made)
    }

    /// What else a document may hold.
    fn leave_the_rest(&mut self) {
        for (field, instead) in [
            ("certificates", "the platform has the certificates of the hosts that it answers for"),
            ("snis", "the platform has the certificates of the hosts that it answers for"),
            ("ca_certificates", "the platform verifies servers by the usual authorities"),
            ("vaults", "`${secret:NAME}` is a secret of the platform"),
            ("consumer_groups", "`groups` of each consumer, and `plans` of limits by group"),
            ("partials", "`groups` with `defaults`, and files that are included"),
        ] {
            if items(self.document, field).next().is_some() {
                self.leave(field.to_owned(), instead);
            }
        }
    }

    fn leave(&mut self, place: String, instead: &str) {
        self.left.push(Left { place, instead: instead.to_owned() });
    }
}

/// One of our routes.
struct Made {
    name: String,
    conditions: Map,
    action: Map,
    policies: Vec<Map>,
    /// Whether it needs no upstream.
    answers: bool,
}

impl Made {
    /// All of it.
    fn whole(self) -> Map {
        let mut whole = join(&[&Map::default().with("name", self.name), &self.conditions, &self.action]);
        if !self.policies.is_empty() {
            whole.push("policies", self.policies);
        }
        whole
    }
}

/// The policies of all of these, where they are the same and some.
fn shared<'a>(routes: impl IntoIterator<Item = &'a Made>) -> Option<Vec<Map>> {
    let mut routes = routes.into_iter();
    let first = routes.next().map(|route| &route.policies).filter(|policies| !policies.is_empty())?;
    routes.all(|route| route.policies == *first).then(|| first.clone())
}

/// The routes of a service, with what all of them share before them.
fn group(name: &str, mut routes: Vec<Made>) -> Map {
    let mut defaults = Map::default();
    if routes.iter().all(|route| !route.answers) {
        defaults.push("upstream", name);
    }
    if let Some(policies) = shared(&routes) {
        defaults.push("policies", policies);
        routes.iter_mut().for_each(|route| route.policies.clear());
    }
    let named = defaults.has("upstream");
    let routes: Vec<Map> = routes
        .into_iter()
        .map(|mut route| {
            if !named && !route.answers {
                route.action.push("upstream", name);
            }
            route.whole()
        })
        .collect();
    let group = Map::default().with("name", name);
    let group = if defaults.is_empty() { group } else { group.with("defaults", defaults) };
    group.with("routes", routes)
}

/// Names that are ours: each once of its kind, of the letters that names may have.
#[derive(Default)]
struct Names(BTreeSet<(&'static str, String)>);

impl Names {
    fn of(&mut self, kind: &'static str, wanted: &str) -> String {
        let wanted = clean(wanted);
        let mut name = wanted.clone();
        let mut number = 1;
        while !self.0.insert((kind, name.clone())) {
            number += 1;
            name = format!("{wanted}-{number}");
        }
        name
    }
}

fn clean(name: &str) -> String {
    let name: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' }).take(120).collect();
    if name.starts_with(|c: char| c.is_ascii_alphanumeric()) { name } else { format!("x{name}") }
}

/// How people call it.
fn label(thing: &Value) -> String {
    ["name", "host", "id"]
        .iter()
        .find_map(|field| thing[*field].as_str())
        .map_or_else(|| address(thing).1, str::to_owned)
}

/// Whether a reference, a name or an identifier, means this.
fn refers(reference: &Value, thing: &Value) -> bool {
    let meant = match reference {
        Value::String(text) => text.as_str(),
        other => other["name"]
            .as_str()
            .or_else(|| other["id"].as_str())
            .or_else(|| other["username"].as_str())
            .unwrap_or_default(),
    };
    !meant.is_empty() && ["name", "id", "username", "custom_id"].iter().any(|field| thing[*field] == *meant)
}

/// Scheme, host, port and path of a service.
fn address(service: &Value) -> (String, String, u64, String) {
    let url = service["url"].as_str().unwrap_or_default();
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()),
        _ => (authority, None),
    };
    let own = |field: &str, from_url: &str, otherwise: &str| {
        let given = service[field].as_str().unwrap_or(from_url);
        if given.is_empty() { otherwise.to_owned() } else { given.to_owned() }
    };
    let scheme = own("protocol", scheme, "http");
    let usual = if matches!(scheme.as_str(), "https" | "grpcs") { 443 } else { 80 };
    (scheme, own("host", host, ""), service["port"].as_u64().or(port).unwrap_or(usual), own("path", path, ""))
}

/// A prefix as our paths are written: without a slash behind it.
fn plain(path: &str) -> &str {
    match path.trim_end_matches('/') {
        "" => "/",
        path => path,
    }
}

fn milliseconds(time: u64) -> String {
    if time.is_multiple_of(1_000) { format!("{}s", time / 1_000) } else { format!("{time}ms") }
}

fn items<'v>(of: &'v Value, field: &str) -> impl Iterator<Item = &'v Value> + use<'v> {
    of[field].as_array().into_iter().flatten()
}

/// What people write without quotes is a number or a truth value to YAML.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn join(maps: &[&Map]) -> Map {
    let mut whole = Map::default();
    maps.iter().for_each(|map| whole.extend(map));
    whole
}
