//! Logins, and the routes that belong to them.

use super::super::{
    node::{
        Node,
        Step::{Field, Item},
    },
    problem::{Problem, Span},
    written,
};
use super::{Direction, RouteCompiler};
use crate::{
    answer::Respond,
    consumer::hex,
    errand::Address,
    gateway::{Action, Plan},
    jwt::{Algorithm, Rules, refresh::Refresh},
    policy::{
        Authenticate, Policy,
        authenticate::{
            Login, Method, Need,
            issuer::{Issuer, Source},
            login::{
                Authentication, Paths,
                seal::Keyring,
                session::{Lifetimes, local},
            },
        },
    },
    route::{Conditions, Host, Matcher, Pattern, Route, rank::Ranked},
    template::{Settings, Template},
};
use sha2::{Digest, Sha256};

/// A login's path on a host, and whose it is.
pub(super) struct OwnPath {
    host: Host,
    path: String,
    login: Login,
    at: Span,
}

impl RouteCompiler<'_, '_> {
    pub(super) fn login(&mut self, written: &written::LoginMethod, node: &Node) -> Option<Login> {
        self.all.features.insert("login");
        let mut scopes = vec!["openid".to_owned()];
        for (index, scope) in written.scopes.iter().flat_map(|scopes| &scopes.0).enumerate() {
            if scope.0 != "openid" {
                self.once(&mut scopes, scope.0.clone(), &scope.0, node.place([Field("scopes"), Item(index)]));
            }
        }
        let parameters = self.login_parameters(written, node);
        let issuer = self.provider(written, node);
        let client_id = self.all.constant(&written.client_id.0, node.place([Field("client_id")]));
        let client = self.client(written, node);
        let keys = self.session_keys(written, node);
        let base_url = match &written.base_url {
            Some(base) => Some(self.base_url(base, node.place([Field("base_url")]))?),
            None => None,
        };
        let path = |written: &Option<written::PlainPath>, usual: &str| {
            let text = written.as_ref().map_or(usual, |path| &path.0);
            crate::path::normalise(text).map_or_else(|_| usual.to_owned(), |path| path.into_owned())
        };
        let paths = Paths {
            login: path(&written.login_path, "/oauth2/login"),
            callback: path(&written.callback_path, "/oauth2/callback"),
            logout: path(&written.logout_path, "/oauth2/logout"),
        };
        if paths.login == paths.callback || paths.callback == paths.logout || paths.login == paths.logout {
            let problem = Problem::error("same-path", node.at, "a login's three paths must differ");
            self.all
                .problems
                .push(problem.help("give each of `login_path`, `callback_path` and `logout_path` its own"));
        }
        let after_logout = written.after_logout.clone().unwrap_or_else(|| "/".to_owned());
        if local(&after_logout).is_none() && Address::parse(&after_logout).is_err() {
            let at = node.place([Field("after_logout")]);
            let problem = Problem::error("bad-url", at, "this is neither a path nor an address");
            self.all.problems.push(problem.help("write `/goodbye` or `https://www.example.com/`"));
        }
        let hour = 3_600_000;
        let lifetimes = Lifetimes {
            idle: written.idle.map_or(hour, |idle| idle.milliseconds),
            absolute: written.lifetime.map_or(12 * hour, |lifetime| lifetime.milliseconds),
        };
        self.distinct_headers(written.headers.as_ref(), node.get("headers"));
        let mut headers: Vec<(String, String)> = Vec::new();
        for (name, claim) in written.headers.iter().flat_map(|headers| &headers.0) {
            let lower = name.0.to_ascii_lowercase();
            let entry = node.get("headers").and_then(|headers| headers.entry(&name.0));
            self.changeable(&lower, entry.map_or(node.at, |entry| entry.name_at), Direction::Request);
            headers.push((lower, claim.clone()));
        }
        // A session counts where the same was asked of it, whatever else differs between two routes, and also after the
        // configuration has changed elsewhere.
        let asked = format!(
            "{:?}",
            (
                &written.issuer.0,
                &written.client_id.0,
                &scopes,
                parameters.iter().map(|(name, value)| (name, value.to_string())).collect::<Vec<_>>(),
                written.max_age.map(|age| age.milliseconds),
                written.userinfo,
                written.access_token,
                written.required_claims.as_ref().map(|claims| &claims.0),
                written.algorithms.as_ref().map(|algorithms| &algorithms.0),
            )
        );
        let context = hex(&Sha256::digest(asked)[..8]);
        let cookie = match &written.cookie {
            Some(name) => {
                if ["__host-", "__secure-"].iter().any(|prefix| name.0.to_ascii_lowercase().starts_with(prefix)) {
                    let at = node.place([Field("cookie")]);
                    let problem = Problem::error("bad-cookie", at, "the prefix is put before it where TLS allows that");
                    self.all.problems.push(problem.help("leave it out"));
                }
                name.0.clone()
            }
            None => format!("login-{}", &context[..8]),
        };
        Some(Login {
            issuer: issuer?,
            keys: keys?,
            client_id: client_id?,
            client: client?,
            scopes,
            parameters,
            max_age: written.max_age.map(|age| age.milliseconds / 1000),
            userinfo: written.userinfo.unwrap_or(false),
            base_url,
            paths,
            after_logout,
            end_session: written.end_session.unwrap_or(true),
            cookie,
            lifetimes,
            headers,
            access_token: written.access_token.unwrap_or(false),
            keep: written.keep.unwrap_or(false),
            context,
        })
    }

    /// The route that has a login's own paths on the hosts of this one, unless another route with the same login has brought
    /// it. What concerns every response of this route concerns those of its login.
    pub(super) fn login_routes(&mut self, hosts: &[Host], policies: &[Policy]) {
        let hosts = if hosts.is_empty() { &[Host::Any] } else { hosts };
        let authenticates = policies.iter().filter_map(|policy| match policy {
            Policy::Authenticate(authenticate) => Some(authenticate),
            _ => None,
        });
        let logins: Vec<Login> = authenticates.flat_map(Authenticate::logins).cloned().collect();
        for (number, login) in logins.into_iter().enumerate() {
            let same = Login { headers: Vec::new(), keep: false, ..login.clone() };
            let mut new_hosts = Vec::new();
            for host in hosts {
                let mut is_new = false;
                for path in [&login.paths.login, &login.paths.callback, &login.paths.logout] {
                    let known = self.all.login_paths.iter().find(|own| own.host == *host && own.path == *path);
                    match known.map(|own| (own.login == same, own.at)) {
                        Some((true, _)) => {}
                        Some((false, at)) => {
                            self.path_taken(path, at);
                            return;
                        }
                        None => {
                            is_new = true;
                            let (host, path, login) = (host.clone(), path.clone(), same.clone());
                            self.all.login_paths.push(OwnPath { host, path, login, at: self.defined.name_at });
                        }
                    }
                }
                if is_new {
                    new_hosts.push(host.clone());
                }
            }
            if new_hosts.is_empty() {
                continue;
            }
            let paths = [&login.paths.login, &login.paths.callback, &login.paths.logout];
            let paths = paths.into_iter().filter_map(|path| Pattern::parse(path).ok()).map(Matcher::Path).collect();
            let mut list: Vec<Policy> = policies
                .iter()
                .filter(|policy| matches!(policy, Policy::Cors(_) | Policy::SecurityHeaders(_)))
                .cloned()
                .collect();
            let methods = vec![Method::Login(Box::new(login))];
            list.push(Policy::Authenticate(Authenticate { methods, need: Need::Any, anonymous: false }));
            let policies = self.all.intern(list);
            let number = if number == 0 { String::new() } else { format!(" {}", number + 1) };
            // The login answers whatever is asked there; nothing comes behind it.
            let nothing = Respond { status: 404, headers: Vec::new(), body: None };
            let route = Route {
                name: format!("{}:login{number}", self.defined.name),
                paths,
                conditions: Conditions::default(),
                then: Plan {
                    policies,
                    body_limit: self.all.limits.body,
                    limits: None,
                    action: Action::Respond(nothing),
                },
            };
            let priority = self.defined.written.priority.unwrap_or(0);
            self.all.accompanying.push(Ranked { priority, hosts: new_hosts, route });
        }
    }

    fn path_taken(&mut self, path: &str, by: Span) {
        let message = format!("another login has the path `{path}` on this host");
        let problem = Problem::error("path-taken", self.defined.name_at, message).related(by, "it is of this route");
        let help = "say the same in both, or give each its own `login_path`, `callback_path` and `logout_path`";
        self.all.problems.push(problem.help(help));
    }

    fn provider(&mut self, written: &written::LoginMethod, node: &Node) -> Option<u32> {
        let name = self.all.constant(&written.issuer.0, node.place([Field("issuer")]))?;
        let audience = self.all.constant(&written.client_id.0, node.place([Field("client_id")]))?;
        let keys = match &written.discovery_url {
            Some(url) => Source::Discovery(self.address(url, node.place([Field("discovery_url")]))?),
            None => self.discovery(&name, node)?,
        };
        let mut algorithms = Vec::new();
        for (index, written) in written.algorithms.iter().flat_map(|list| &list.0).enumerate() {
            let Some(algorithm) = Algorithm::named(&written.0) else { continue };
            self.once(&mut algorithms, algorithm, &written.0, node.place([Field("algorithms"), Item(index)]));
            self.all.features.extend(algorithm.family().feature());
        }
        self.mixed(&algorithms, Some(&keys), node);
        let issuer = Issuer {
            name,
            audiences: vec![audience],
            rules: Rules {
                leeway: written.leeway.map_or(30_000, |leeway| leeway.milliseconds),
                required: written.required_claims.iter().flat_map(|list| list.0.clone()).collect(),
                ..Rules::default()
            },
            algorithms,
            keys,
            refresh: Refresh::default(),
            naming: super::tokens::naming(written.consumer_claim.as_ref(), written.groups_claim.as_ref()),
        };
        Some(self.all.known_issuer(issuer))
    }

    fn client(&mut self, written: &written::LoginMethod, node: &Node) -> Option<Authentication> {
        let Some(secret) = &written.client_secret else {
            if let Some(entry) = node.entry("client_authentication") {
                let problem = Problem::error("missing-field", entry.name_at, "there is no secret that could be shown");
                self.all.problems.push(problem.help("add `client_secret: ${secret:NAME}`, or remove it"));
            }
            return Some(Authentication::None);
        };
        let secret = self.all.secret(&secret.0, node.place([Field("client_secret")]))?;
        Some(match written.client_authentication {
            None | Some(written::ClientAuthentication::ClientSecretBasic) => Authentication::Basic(secret),
            Some(written::ClientAuthentication::ClientSecretPost) => Authentication::Post(secret),
        })
    }

    fn session_keys(&mut self, written: &written::LoginMethod, node: &Node) -> Option<u32> {
        let mut keys = Vec::new();
        for (index, key) in written.session_keys.0.iter().enumerate() {
            let at = node.place([Field("session_keys"), Item(index)]);
            let key_template = self.all.secret(&key.0, at)?;
            if let Some(known) = key_template.as_literal()
                && let Err(why) = Keyring::new(&[known.to_owned()])
            {
                self.all.problems.push(Problem::error("bad-key", at, why));
            }
            self.once(&mut keys, key_template, &key.0, at);
        }
        if keys.is_empty() {
            let problem = Problem::error("missing-field", node.place([Field("session_keys")]), "there is no key");
            self.all.problems.push(problem.help("write `session_keys: ${secret:SESSION_KEY}`"));
            return None;
        }
        let known = self.all.session_keys.iter().position(|known| *known == keys);
        let place = known.unwrap_or_else(|| {
            self.all.session_keys.push(keys);
            self.all.session_keys.len() - 1
        });
        u32::try_from(place).ok()
    }

    fn login_parameters(&mut self, written: &written::LoginMethod, node: &Node) -> Vec<(String, Template)> {
        const OWN: [&str; 12] = [
            "response_type",
            "response_mode",
            "client_id",
            "redirect_uri",
            "scope",
            "state",
            "nonce",
            "code_challenge",
            "code_challenge_method",
            "max_age",
            "request",
            "request_uri",
        ];
        let mut parameters = Vec::new();
        for (name, value) in written.parameters.iter().flat_map(|parameters| &parameters.0) {
            let entry = node.get("parameters").and_then(|parameters| parameters.entry(name));
            let at = entry.map_or(node.at, |entry| entry.name_at);
            if OWN.contains(&name.as_str()) {
                let problem = Problem::error("bad-parameter", at, format!("the login itself says `{name}`"));
                self.all.problems.push(match name.as_str() {
                    "scope" => problem.help("use `scopes`"),
                    "max_age" => problem.help("use `max_age`"),
                    _ => problem.help("remove it"),
                });
            }
            let at = entry.map_or(node.at, |entry| entry.value.at);
            parameters.extend(self.all.constant(&value.0, at).map(|value| (name.clone(), value)));
        }
        parameters
    }

    /// An address without a path, which the login's paths are put behind.
    fn base_url(&mut self, written: &written::Address, at: Span) -> Option<Template> {
        let template = self.all.constant(&written.0, at)?;
        let text = template.resolve(&Settings::new());
        let (_, rest) = text.split_once("://").unwrap_or(("", ""));
        if template.as_literal().is_some() && rest.trim_end_matches('/').contains(['/', '?', '#']) {
            let problem = Problem::error("bad-url", at, "only a scheme and a host stand here");
            self.all.problems.push(problem.help("write `https://app.example.com`"));
        }
        Some(template)
    }
}
