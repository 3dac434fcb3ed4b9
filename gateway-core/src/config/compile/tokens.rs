//! Issuers and the methods that take their tokens.

use super::super::{
    load::Defined,
    node::{
        Node,
        Step::{Field, Item},
    },
    problem::{Problem, Span},
    written::{self, AuthenticationMethod},
};
use super::{Direction, RouteCompiler, signed::realm};
use crate::{
    errand::Address,
    jwt::{Algorithm, Family, KeySet, Rules, refresh::Refresh},
    policy::authenticate::{
        Introspection, Jwt,
        api_key::Place,
        bearer::Bearer,
        issuer::{Inline, Issuer, Source, told},
        jwt::Naming,
        possession::Possession,
    },
    template::{Settings, Template},
};
use serde_json::{Map, Value as Json};

/// The places and fields that both methods have.
struct Shared<'w> {
    header: Option<&'w written::OneOrMany<written::HeaderName>>,
    cookie: Option<&'w written::OneOrMany<written::Token>>,
    query: Option<&'w written::OneOrMany<String>>,
    headers: Option<&'w written::Named<written::HeaderName, String>>,
    keep: Option<bool>,
    realm: Option<&'w written::Realm>,
    dpop: Option<&'w written::Dpop>,
    certificate_bound: Option<bool>,
}

/// Whether any token is asked for groups.
pub(super) fn name_groups(routes: &[Defined<written::Route>]) -> bool {
    let policies = routes.iter().flat_map(|route| route.written.policies.iter().flatten());
    let ways = policies.filter_map(|policy| match policy {
        written::Policy::Authenticate(policy) => Some(policy.any_of.iter().chain(&policy.all_of)),
        _ => None,
    });
    ways.flatten().flat_map(|ways| &ways.0).any(|way| match way {
        AuthenticationMethod::Jwt(jwt) => jwt.issuers.0.iter().any(|issuer| issuer.groups_claim.is_some()),
        AuthenticationMethod::Introspection(introspection) => introspection.groups_claim.is_some(),
        AuthenticationMethod::Login(login) => login.groups_claim.is_some(),
        _ => false,
    })
}

pub(super) fn naming(consumer: Option<&String>, groups: Option<&String>) -> Naming {
    Naming { consumer: consumer.cloned(), groups: groups.cloned() }
}

impl RouteCompiler<'_, '_> {
    pub(super) fn jwt(&mut self, written: &written::JwtMethod, node: &Node) -> Jwt {
        let shared = Shared {
            header: written.header.as_ref(),
            cookie: written.cookie.as_ref(),
            query: written.query.as_ref(),
            headers: written.headers.as_ref(),
            keep: written.keep,
            realm: written.realm.as_ref(),
            dpop: written.dpop.as_ref(),
            certificate_bound: written.certificate_bound,
        };
        let bearer = self.bearer(&shared, node);
        let mut issuers = Vec::new();
        let mut names: Vec<(&str, Span)> = Vec::new();
        for (index, issuer) in written.issuers.0.iter().enumerate() {
            let Some(node) = node.reach([Field("issuers"), Item(index)]) else { continue };
            let at = node.place([Field("issuer")]);
            if let Some((_, first)) = names.iter().find(|(name, _)| *name == issuer.issuer.0) {
                let message = format!("the issuer `{}` is here a second time", issuer.issuer.0);
                let problem = Problem::error("listed-twice", at, message).related(*first, "the first is here");
                self.all.problems.push(problem.help("put both into one: lists take several audiences and keys"));
            }
            names.push((&issuer.issuer.0, at));
            let Some(issuer) = self.issuer(issuer, node) else { continue };
            issuers.push(self.all.known_issuer(issuer));
        }
        Jwt { bearer, issuers, possession: possession(&shared) }
    }

    pub(super) fn introspection(
        &mut self,
        written: &written::IntrospectionMethod,
        node: &Node,
    ) -> Option<Introspection> {
        let shared = Shared {
            header: written.header.as_ref(),
            cookie: written.cookie.as_ref(),
            query: written.query.as_ref(),
            headers: written.headers.as_ref(),
            keep: written.keep,
            realm: written.realm.as_ref(),
            dpop: written.dpop.as_ref(),
            certificate_bound: written.certificate_bound,
        };
        let bearer = self.bearer(&shared, node);
        let url = self.address(&written.url, node.place([Field("url")]));
        let client_id = self.all.constant(&written.client_id.0, node.place([Field("client_id")]));
        let client_secret = self.all.secret(&written.client_secret.0, node.place([Field("client_secret")]));
        let list = |list: &Option<written::OneOrMany<String>>| list.iter().flat_map(|list| list.0.clone()).collect();
        let mut policy = Introspection {
            bearer,
            url: url?,
            client_id: client_id?,
            client_secret: client_secret?,
            issuer: written.issuer.clone(),
            naming: naming(written.consumer_claim.as_ref(), written.groups_claim.as_ref()),
            audiences: list(&written.audiences),
            required: list(&written.required_claims),
            active: written.cache.map_or(30_000, |cache| cache.milliseconds),
            inactive: written.cache_inactive.map_or(30_000, |cache| cache.milliseconds),
            context: 0,
            possession: possession(&shared),
        };
        // What is remembered depends on who was asked and on what was expected, not on where the token stood.
        let known = Introspection {
            bearer: Bearer { headers: Vec::new(), places: Vec::new(), keep: false, realm: String::new() },
            naming: Naming::default(),
            ..policy.clone()
        };
        let place = self.all.servers.iter().position(|server| *server == known).unwrap_or_else(|| {
            self.all.servers.push(known);
            self.all.servers.len() - 1
        });
        policy.context = u32::try_from(place).unwrap_or(u32::MAX);
        Some(policy)
    }

    fn bearer(&mut self, shared: &Shared<'_>, node: &Node) -> Bearer {
        self.all.certificates |= shared.certificate_bound == Some(true);
        let mut places = self.places(shared.header, shared.query, shared.cookie, node);
        if places.is_empty() {
            places.push(Place::Header("authorization".to_owned()));
        }
        self.distinct_headers(shared.headers, node.get("headers"));
        let mut headers: Vec<(String, String)> = Vec::new();
        for (name, claim) in shared.headers.iter().flat_map(|headers| &headers.0) {
            let lower = name.0.to_ascii_lowercase();
            let at =
                node.get("headers").and_then(|headers| headers.entry(&name.0)).map_or(node.at, |entry| entry.name_at);
            self.changeable(&lower, at, Direction::Request);
            headers.push((lower, claim.clone()));
        }
        Bearer { places, keep: shared.keep.unwrap_or(false), realm: realm(shared.realm), headers }
    }

    fn issuer(&mut self, written: &written::Issuer, node: &Node) -> Option<Issuer> {
        let name = self.all.constant(&written.issuer.0, node.place([Field("issuer")]))?;
        let mut audiences = Vec::new();
        for (index, audience) in written.audiences.iter().flat_map(|list| &list.0).enumerate() {
            let at = node.place([Field("audiences"), Item(index)]);
            let Some(compiled) = self.all.constant(&audience.0, at) else { continue };
            self.once(&mut audiences, compiled, &audience.0, at);
        }
        if written.audiences.is_none() && !node.damaged {
            let message = "tokens that this issuer made for others are taken too";
            let problem = Problem::warning("audience-unchecked", node.head(), message);
            self.warn(problem.help("say in `audiences` what tokens for this gateway call it"));
        }
        let mut algorithms = Vec::new();
        for (index, written) in written.algorithms.iter().flat_map(|list| &list.0).enumerate() {
            let Some(algorithm) = Algorithm::named(&written.0) else { continue };
            self.once(&mut algorithms, algorithm, &written.0, node.place([Field("algorithms"), Item(index)]));
        }
        let keys = self.source(written, &name, &algorithms, node);
        self.mixed(&algorithms, keys.as_ref(), node);
        for algorithm in &algorithms {
            self.all.features.extend(algorithm.family().feature());
        }
        let mut types: Vec<String> = Vec::new();
        for (index, kind) in written.types.iter().flat_map(|list| &list.0).enumerate() {
            let at = node.place([Field("types"), Item(index)]);
            self.once(&mut types, crate::jwt::token::media_type(kind), kind, at);
        }
        let usual = Refresh::default();
        Some(Issuer {
            name,
            audiences,
            rules: Rules {
                issuer: String::new(),
                audiences: Vec::new(),
                types,
                leeway: written.leeway.map_or(30_000, |leeway| leeway.milliseconds),
                max_lifetime: written.max_lifetime.map(|lifetime| lifetime.milliseconds),
                required: written.required_claims.iter().flat_map(|list| list.0.clone()).collect(),
            },
            algorithms,
            keys: keys?,
            refresh: Refresh {
                every: written.refresh.map_or(usual.every, |every| every.milliseconds),
                stale: written.stale.map_or(usual.stale, |stale| stale.milliseconds),
                unknown_key: written.unknown_key_interval.map_or(usual.unknown_key, |interval| interval.milliseconds),
            },
            naming: naming(written.consumer_claim.as_ref(), written.groups_claim.as_ref()),
        })
    }

    /// Where the keys come from: from one place only.
    fn source(
        &mut self,
        written: &written::Issuer,
        name: &Template,
        algorithms: &[Algorithm],
        node: &Node,
    ) -> Option<Source> {
        const FIELDS: [&str; 5] = ["discovery_url", "jwks_url", "jwks", "public_keys", "secrets"];
        let mut given = FIELDS.iter().filter_map(|field| node.entry(field));
        if let (Some(first), Some(second)) = (given.next(), given.next()) {
            self.both(first.name_at, &first.name, second.name_at, &second.name);
            return None;
        }
        if let Some(url) = &written.jwks_url {
            return self.address(url, node.place([Field("jwks_url")])).map(Source::Url);
        }
        if let Some(url) = &written.discovery_url {
            return self.address(url, node.place([Field("discovery_url")])).map(Source::Discovery);
        }
        let mut inline = Vec::new();
        for (index, jwk) in written.jwks.iter().flat_map(|list| &list.0).enumerate() {
            inline.push((Inline::Jwk(jwk_of(jwk)), node.place([Field("jwks"), Item(index)])));
        }
        for (index, key) in written.public_keys.iter().flat_map(|list| &list.0).enumerate() {
            let at = node.place([Field("public_keys"), Item(index), Field("pem")]);
            let pem = self.all.constant(&key.pem.0, at)?;
            inline.push((Inline::Pem { id: key.id.as_ref().map(|id| id.0.clone()), pem }, at));
        }
        for (index, key) in written.secrets.iter().flat_map(|list| &list.0).enumerate() {
            let at = node.place([Field("secrets"), Item(index), Field("secret")]);
            let secret = self.all.secret(&key.secret.0, at)?;
            let id = key.id.as_ref().map(|id| id.0.clone());
            inline.push((Inline::Secret { id, secret, base64: key.base64.unwrap_or(false) }, at));
        }
        if inline.is_empty() {
            return self.discovery(name, node);
        }
        self.read_inline(&inline, algorithms, node);
        Some(Source::Inline(inline.into_iter().map(|(key, _)| key).collect()))
    }

    /// OpenID Connect Discovery §4: the description stands below the issuer's own address.
    pub(super) fn discovery(&mut self, name: &Template, node: &Node) -> Option<Source> {
        let at = node.place([Field("issuer")]);
        let known = name.as_literal();
        if let Some(known) = known
            && let Err(message) = Address::parse(known)
        {
            let problem = Problem::error("no-keys", at, format!("nobody can ask this issuer for its keys: {message}"));
            let help = "say where its keys are: `jwks_url`, `jwks`, `public_keys` or `secrets`";
            self.all.problems.push(problem.help(help));
            return None;
        }
        let below = "/.well-known/openid-configuration";
        let text = node.get("issuer").and_then(Node::text)?;
        let url = self.all.template(&format!("{}{below}", text.trim_end_matches('/')), at)?;
        if let Some(known) = known {
            self.clear_text(known, at);
        }
        Some(Source::Discovery(url))
    }

    /// What is known of the keys already is checked now, rather than when a gateway starts.
    fn read_inline(&mut self, inline: &[(Inline, Span)], algorithms: &[Algorithm], node: &Node) {
        let mut keys = Vec::new();
        for (key, at) in inline {
            let known = match key {
                Inline::Jwk(_) => true,
                Inline::Pem { pem, .. } => pem.as_literal().is_some(),
                Inline::Secret { secret, .. } => secret.as_literal().is_some(),
            };
            if matches!(key, Inline::Jwk(jwk) if jwk.get("kty").is_some_and(|kind| kind == "oct")) {
                let problem = Problem::error("bad-key", *at, "a shared secret does not stand among public keys");
                self.all.problems.push(problem.help("name it in `secrets`, as `${secret:NAME}`"));
                return;
            }
            if !known {
                continue;
            }
            match key.key(&Settings::new(), algorithms) {
                Ok(key) => {
                    for algorithm in &key.algorithms {
                        self.all.features.extend(algorithm.family().feature());
                    }
                    keys.push(key);
                }
                Err(why) => {
                    self.all.problems.push(Problem::error("bad-key", *at, format!("this key cannot be used: {why}")));
                    return;
                }
            }
        }
        if !keys.is_empty()
            && let Err(bad) = KeySet::new(keys)
        {
            self.all.problems.push(Problem::error(
                "bad-key",
                node.at,
                format!("these keys cannot be used: {}", told(bad)),
            ));
        }
    }

    /// HMAC is for secrets and nothing else is: an issuer has the one or the other.
    pub(super) fn mixed(&mut self, algorithms: &[Algorithm], keys: Option<&Source>, node: &Node) {
        let secrets = match keys {
            Some(Source::Inline(keys)) => keys.iter().any(|key| matches!(key, Inline::Secret { .. })),
            Some(Source::Discovery(_) | Source::Url(_)) => false,
            None => return,
        };
        for (index, algorithm) in algorithms.iter().enumerate() {
            let fits = (algorithm.family() == Family::Secret) == secrets;
            if !fits {
                let at = node.place([Field("algorithms"), Item(index)]);
                let message = if secrets {
                    format!("{algorithm} needs a public key, and this issuer has secrets")
                } else {
                    format!("{algorithm} needs a shared secret, and this issuer has public keys")
                };
                let problem = Problem::error("bad-algorithm", at, message);
                self.all.problems.push(problem.help("take one issuer for each"));
            }
        }
    }

    /// An address that the gateway itself asks.
    pub(super) fn address(&mut self, written: &written::Address, at: Span) -> Option<Template> {
        let template = self.all.constant(&written.0, at)?;
        if let Some(known) = template.as_literal() {
            if let Err(message) = Address::parse(known) {
                self.all.problems.push(Problem::error("bad-url", at, message));
                return None;
            }
            self.clear_text(known, at);
        }
        Some(template)
    }

    pub(super) fn clear_text(&mut self, url: &str, at: Span) {
        if Address::parse(url).is_ok_and(|address| !address.is_safe()) {
            let message = "this is asked in clear text, so whoever is on the way can answer";
            self.warn(Problem::warning("clear-text", at, message).help("write `https`"));
        }
    }

    pub(super) fn warn(&mut self, problem: Problem) {
        let mut allowed = self.defined.written.allow.iter().flat_map(|codes| &codes.0);
        if !allowed.any(|code| code.0 == problem.code) {
            self.all.problems.push(problem);
        }
    }

    /// Where a credential may stand.
    pub(super) fn places(
        &mut self,
        header: Option<&written::OneOrMany<written::HeaderName>>,
        query: Option<&written::OneOrMany<String>>,
        cookie: Option<&written::OneOrMany<written::Token>>,
        node: &Node,
    ) -> Vec<Place> {
        let mut places = Vec::new();
        for (index, name) in header.iter().flat_map(|names| &names.0).enumerate() {
            let name = name.0.to_ascii_lowercase();
            let at = node.place([Field("header"), Item(index)]);
            if name == "cookie" {
                let problem =
                    Problem::error("forbidden-header", at, "cookies are not looked for in the header `cookie`");
                self.all.problems.push(problem.help("name the cookie in `cookie`"));
            } else {
                self.observable(&name, at);
            }
            self.once(&mut places, Place::Header(name.clone()), &name, at);
        }
        for (index, name) in query.iter().flat_map(|names| &names.0).enumerate() {
            let at = node.place([Field("query"), Item(index)]);
            self.once(&mut places, Place::Query(name.clone()), name, at);
        }
        for (index, name) in cookie.iter().flat_map(|names| &names.0).enumerate() {
            let at = node.place([Field("cookie"), Item(index)]);
            self.once(&mut places, Place::Cookie(name.0.clone()), &name.0, at);
        }
        places
    }
}

impl super::Compile<'_> {
    /// The place of an issuer; the same one stands there once.
    pub(super) fn known_issuer(&mut self, issuer: Issuer) -> u32 {
        let known = self.issuers.iter().position(|known| *known == issuer);
        let place = known.unwrap_or_else(|| {
            self.issuers.push(issuer);
            self.issuers.len() - 1
        });
        u32::try_from(place).unwrap_or(u32::MAX)
    }
}

fn possession(shared: &Shared<'_>) -> Possession {
    let usual = Possession::default();
    Possession {
        dpop: shared.dpop.and_then(|dpop| dpop.required).unwrap_or(false),
        proof_age: shared.dpop.and_then(|dpop| dpop.max_age).map_or(usual.proof_age, |age| age.milliseconds),
        certificate: shared.certificate_bound.unwrap_or(false),
    }
}

fn jwk_of(written: &written::Jwk) -> Map<String, Json> {
    let member = |member: &written::JwkMember| match member {
        written::JwkMember::Text(text) => Json::from(text.as_str()),
        written::JwkMember::Texts(texts) => Json::from(texts.clone()),
    };
    written.0.0.iter().map(|(name, value)| (name.clone(), member(value))).collect()
}
