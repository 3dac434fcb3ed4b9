//! What upstreams are shown: each field once, secrets from the platform, and nothing that breaks a signature.

use super::super::{
    load::Defined,
    node::{
        Node,
        Step::{Field, Item},
    },
    problem::{Problem, Span},
    written,
};
use super::{Compile, RouteCompiler};
use crate::{
    credential::{
        Aws, ClientCredentials, Credential, Identity, Statement, aws::Payload, identity::RESERVED, oauth::Proof,
        signer::SigningKey,
    },
    errand::Address,
    gateway::Action,
    template::Template,
    upstream::HostHeader,
};

impl Compile<'_> {
    /// What the targets of an upstream are shown.
    pub(super) fn credentials(&mut self, defined: &Defined<written::Upstream>, host: &HostHeader) -> Vec<Credential> {
        let (Some(written), Some(node)) = (&defined.written.credentials, defined.node.get("credentials")) else {
            return Vec::new();
        };
        self.features.insert("credentials");
        let mut credentials = Vec::new();
        let mut fields: Vec<(String, Span)> = Vec::new();
        for (index, written) in written.0.iter().enumerate() {
            let node = node.reach([Item(index)]).unwrap_or(node);
            let Some(credential) = self.credential(written, node, host) else { continue };
            let field = match &credential {
                Credential::Header { name, .. } => name.clone(),
                Credential::Oauth2(rule) => rule.header.clone(),
                Credential::Identity(rule) => rule.header.clone(),
                Credential::Basic { .. } | Credential::Aws(_) => "authorization".to_owned(),
            };
            let at = node.entries().first().map_or(node.at, |entry| entry.name_at);
            self.own_field(&field, at);
            if let Some((_, first)) = fields.iter().find(|(known, _)| *known == field) {
                let message = format!("two credentials are sent in `{field}`");
                let problem = Problem::error("conflicting-fields", at, message).related(*first, "the first is here");
                self.problems.push(problem.help("keep one of them, or send it in another field"));
            }
            fields.push((field, at));
            credentials.push(credential);
        }
        // What is signed must be complete.
        credentials.sort_by_key(|credential| matches!(credential, Credential::Aws(_)));
        credentials
    }

    fn credential(
        &mut self,
        written: &written::UpstreamCredential,
        node: &Node,
        host: &HostHeader,
    ) -> Option<Credential> {
        let inner = |name: &str| node.get(name).unwrap_or(node);
        match written {
            written::UpstreamCredential::Header(written) => {
                let value = self.secret(&written.value.0, inner("header").place([Field("value")]))?;
                Some(Credential::Header { name: written.name.0.to_ascii_lowercase(), value })
            }
            written::UpstreamCredential::Basic(written) => {
                let node = inner("basic");
                let at = node.place([Field("username")]);
                let username = self.constant(&written.username.0, at);
                if username.as_ref().and_then(Template::as_literal).is_some_and(|name| name.contains(':')) {
                    let problem = Problem::error("bad-username", at, "a user name has no colon (RFC 7617 §2)");
                    self.problems.push(problem.help("what follows a colon belongs into `password`"));
                }
                let password = self.secret(&written.password.0, node.place([Field("password")]));
                Some(Credential::Basic { username: username?, password: password? })
            }
            written::UpstreamCredential::Oauth2(written) => self.oauth2(written, inner("oauth2")),
            written::UpstreamCredential::Identity(written) => self.statement(written, inner("identity")),
            written::UpstreamCredential::Aws(written) => self.aws(written, inner("aws"), host),
        }
    }

    fn oauth2(&mut self, written: &written::Oauth2Credential, node: &Node) -> Option<Credential> {
        let at = node.place([Field("token_url")]);
        let token_url = self.constant(&written.token_url.0, at);
        if let Some(url) = token_url.as_ref().and_then(Template::as_literal)
            && Address::parse(url).is_ok_and(|address| !address.is_safe())
        {
            let message = "the secret goes there in clear text, so whoever is on the way can take it";
            self.problems.push(Problem::warning("clear-text", at, message).help("write `https`"));
        }
        let client_id = self.constant(&written.client_id.0, node.place([Field("client_id")]));
        let client = self.proof(written, node);
        let mut parameters = Vec::new();
        if let Some(scopes) = &written.scopes {
            let scopes: Vec<&str> = scopes.0.iter().map(|scope| scope.0.as_str()).collect();
            parameters.push(("scope".to_owned(), Template::literal(scopes.join(" "))));
        }
        if let Some(audience) = &written.audience {
            parameters.push(("audience".to_owned(), self.constant(&audience.0, node.place([Field("audience")]))?));
        }
        for (index, resource) in written.resource.iter().flat_map(|resources| &resources.0).enumerate() {
            let at = node.place([Field("resource"), Item(index)]);
            parameters.push(("resource".to_owned(), self.constant(&resource.0, at)?));
        }
        for (name, value) in written.parameters.iter().flat_map(|parameters| &parameters.0) {
            let entry = node.get("parameters").and_then(|parameters| parameters.entry(name));
            if let Some(own) = OWN_PARAMETERS.iter().find(|(own, _)| own == name) {
                let at = entry.map_or(node.at, |entry| entry.name_at);
                let problem = Problem::error("bad-parameter", at, format!("the gateway itself says `{name}`"));
                self.problems.push(problem.help(format!("use {}, or leave it out", own.1)));
            }
            let at = entry.map_or(node.at, |entry| entry.value.at);
            parameters.push((name.clone(), self.constant(&value.0, at)?));
        }
        let header = written.header.as_ref().map_or("authorization", |name| &name.0).to_ascii_lowercase();
        Some(Credential::Oauth2(ClientCredentials {
            token_url: token_url?,
            client_id: client_id?,
            client: client?,
            parameters,
            header,
        }))
    }

    fn proof(&mut self, written: &written::Oauth2Credential, node: &Node) -> Option<Proof> {
        match (&written.client_secret, &written.client_key) {
            (Some(secret), None) => {
                if let Some(entry) = node.entry("client_key_id") {
                    let problem =
                        Problem::error("incomplete-rule", entry.name_at, "there is no key that it could name");
                    self.problems.push(problem.help("add `client_key`, or remove it"));
                }
                let secret = self.secret(&secret.0, node.place([Field("client_secret")]))?;
                Some(match written.client_authentication {
                    None | Some(written::ClientAuthentication::ClientSecretBasic) => Proof::Basic(secret),
                    Some(written::ClientAuthentication::ClientSecretPost) => Proof::Post(secret),
                })
            }
            (None, Some(key)) => {
                if let Some(entry) = node.entry("client_authentication") {
                    let message = "`client_authentication` says how a secret is shown, and a key signs instead";
                    self.problems.push(Problem::error("conflicting-fields", entry.name_at, message).help("remove it"));
                }
                let at = node.place([Field("client_key")]);
                let key = self.secret(&key.0, at)?;
                self.private_key(&key, at);
                Some(Proof::Key { key, id: written.client_key_id.as_ref().map(|id| id.0.clone()) })
            }
            (Some(_), Some(_)) => {
                let at = node.entry("client_key").map_or(node.at, |entry| entry.name_at);
                let message = "`client_secret` and `client_key` exclude each other";
                self.problems.push(Problem::error("conflicting-fields", at, message).help("keep one of them"));
                None
            }
            (None, None) => {
                if !node.damaged {
                    let message = "nothing here proves that it is the gateway who asks";
                    let problem = Problem::error("missing-field", node.head(), message);
                    self.problems
                        .push(problem.help("add `client_secret: ${secret:NAME}` or `client_key: ${secret:NAME}`"));
                }
                None
            }
        }
    }

    /// A key for tests stands in the configuration, so it is read now. Of what kind a real one is, only the platform knows.
    fn private_key(&mut self, key: &Template, at: Span) {
        if let Some(text) = key.as_literal()
            && let Err(why) = SigningKey::read(text, None)
        {
            let help = "give the platform what `openssl genpkey -algorithm ed25519` prints, and write `${secret:NAME}`";
            self.problems.push(Problem::error("bad-key", at, why).help(help));
        }
    }

    fn statement(&mut self, written: &written::IdentityCredential, node: &Node) -> Option<Credential> {
        if self.loaded.settings.written.identity.is_none() && !self.loaded.incomplete {
            let problem =
                Problem::error("missing-field", node.head(), "the gateway has no name and no key to vouch with");
            let help = "write `identity: { issuer: https://gateway.example.com, keys: \"${secret:IDENTITY_KEY}\" }` at the top";
            self.problems.push(problem.help(help));
        }
        let mut claims: Vec<(String, String)> = Vec::new();
        for (name, from) in written.claims.iter().flat_map(|claims| &claims.0) {
            if RESERVED.contains(&name.as_str()) {
                let entry = node.get("claims").and_then(|claims| claims.entry(name));
                let at = entry.map_or(node.at, |entry| entry.name_at);
                let problem = Problem::error("reserved-claim", at, format!("the gateway itself says `{name}`"));
                self.problems.push(problem.help("give the claim another name"));
            }
            claims.push((name.clone(), from.clone()));
        }
        let lifetime = self.lifetime();
        if let Some(reuse) = written.reuse.filter(|reuse| reuse.milliseconds > lifetime / 2) {
            let (reuse, half) = (super::show_duration(reuse.milliseconds), super::show_duration(lifetime / 2));
            let message = format!("a token is sent again for {reuse}, but only for half of its life, {half}, at most");
            let problem = Problem::error("conflicting-fields", node.place([Field("reuse")]), message);
            self.problems.push(problem.help(format!("write {half} or less, or raise `identity.lifetime`")));
        }
        let audience = self.constant(&written.audience.0, node.place([Field("audience")]))?;
        let header = written.header.as_ref().map_or("x-identity", |name| &name.0).to_ascii_lowercase();
        let scheme = if header == "authorization" { "Bearer ".to_owned() } else { String::new() };
        let reuse = written.reuse.map_or(0, |reuse| reuse.milliseconds);
        Some(Credential::Identity(Statement { header, scheme, audience, claims, reuse }))
    }

    fn aws(&mut self, written: &written::AwsCredential, node: &Node, host: &HostHeader) -> Option<Credential> {
        if *host != HostHeader::Target {
            let message = "AWS checks the signature of the target's own host, and `host` names another";
            let problem = Problem::error("conflicting-fields", node.head(), message);
            self.problems.push(problem.help("remove `host` from the upstream"));
        }
        let region = self.constant(&written.region.0, node.place([Field("region")]));
        let access_key_id = self.secret(&written.access_key_id.0, node.place([Field("access_key_id")]));
        let secret_access_key = self.secret(&written.secret_access_key.0, node.place([Field("secret_access_key")]));
        let session_token = match &written.session_token {
            Some(token) => Some(self.secret(&token.0, node.place([Field("session_token")]))?),
            None => None,
        };
        let mut keep = Vec::new();
        for (index, name) in written.keep.iter().flat_map(|names| &names.0).enumerate() {
            let name = name.0.to_ascii_lowercase();
            let at = node.place([Field("keep"), Item(index)]);
            let ours = ["x-amz-date", "x-amz-content-sha256", "x-amz-security-token"].contains(&name.as_str());
            if ours || !name.starts_with("x-amz-") {
                let (message, help) = if ours {
                    (format!("the gateway itself writes `{name}`"), "remove it")
                } else {
                    (format!("`{name}` goes on anyway"), "name fields that begin with `x-amz-` only")
                };
                self.problems.push(Problem::error("forbidden-header", at, message).help(help));
            }
            keep.push(name);
        }
        let service = written.service.0.clone();
        let most = written.body.map_or(1 << 20, |size| size.bytes);
        let payload = match written.longer {
            Some(written::LongerBody::Unsigned) => Payload::HashUpTo(most),
            Some(written::LongerBody::Refuse) => Payload::Hash(most),
            None if service == "s3" => Payload::HashUpTo(most),
            None => Payload::Hash(most),
        };
        Some(Credential::Aws(Aws {
            region: region?,
            service,
            access_key_id: access_key_id?,
            secret_access_key: secret_access_key?,
            session_token,
            payload,
            keep,
        }))
    }

    /// Fields that the platform or the gateway itself writes.
    fn own_field(&mut self, name: &str, at: Span) {
        let ours = [
            "host",
            "via",
            "forwarded",
            "connection",
            "keep-alive",
            "proxy-connection",
            "te",
            "trailer",
            "upgrade",
            "http2-settings",
            "transfer-encoding",
            "content-length",
            "proxy-authorization",
            "cookie",
        ];
        if ours.contains(&name) || name.starts_with("x-forwarded-") {
            let message = format!("no credential can be sent in `{name}`");
            let problem = Problem::error("forbidden-header", at, message);
            self.problems
                .push(problem.help("send it in `authorization` or in a field of its own, such as `x-api-key`"));
        }
    }

    /// In whose name upstreams are told who is calling.
    pub(super) fn identity(&mut self) -> Option<Identity> {
        let settings = &self.loaded.settings;
        let written = settings.written.identity.as_ref()?;
        let node = settings.node.get("identity")?;
        self.features.insert("credentials");
        let mut keys = Vec::new();
        for (index, key) in written.keys.0.iter().enumerate() {
            let at = node.place([Field("keys"), Item(index)]);
            let Some(template) = self.secret(&key.0, at) else { continue };
            self.private_key(&template, at);
            if keys.contains(&template) {
                self.problems.push(super::consumers::listed_twice("the key", at));
            }
            keys.push(template);
        }
        let issuer = self.constant(&written.issuer.0, node.place([Field("issuer")]))?;
        if issuer.as_literal().is_some_and(|issuer| issuer.trim().is_empty()) {
            let problem = Problem::error("bad-issuer", node.place([Field("issuer")]), "an issuer has a name");
            self.problems.push(problem.help("write `https://gateway.example.com`"));
        }
        let lifetime = self.lifetime();
        if lifetime < 5_000 {
            let problem =
                Problem::error("bad-duration", node.place([Field("lifetime")]), "clocks differ by more than that");
            self.problems.push(problem.help("write `5s` or more"));
        }
        Some(Identity { issuer, keys, lifetime })
    }

    fn lifetime(&self) -> u64 {
        let identity = self.loaded.settings.written.identity.as_ref();
        identity.and_then(|identity| identity.lifetime).map_or(60_000, |lifetime| lifetime.milliseconds)
    }
}

/// What the form for a token says anyway, and where that stands here.
const OWN_PARAMETERS: [(&str, &str); 9] = [
    ("grant_type", "nothing else than client credentials"),
    ("client_id", "`client_id`"),
    ("client_secret", "`client_secret`"),
    ("client_assertion", "`client_key`"),
    ("client_assertion_type", "`client_key`"),
    ("scope", "`scopes`"),
    ("audience", "`audience`"),
    ("resource", "`resource`"),
    ("response_type", "nothing: there is none here"),
];

impl RouteCompiler<'_, '_> {
    pub(super) fn publish(&mut self, what: written::Publish) -> Action {
        match what {
            written::Publish::IdentityKeys => {
                self.all.features.insert("credentials");
                if self.all.loaded.settings.written.identity.is_none() && !self.all.loaded.incomplete {
                    let at = self.at([Field("publish")]);
                    let problem =
                        Problem::error("missing-field", at, "there is no `identity` whose keys could be published");
                    let help = "write `identity: { issuer: https://gateway.example.com, keys: \"${secret:IDENTITY_KEY}\" }` at the top";
                    self.all.problems.push(problem.help(help));
                }
                Action::IdentityKeys
            }
        }
    }

    /// A `Host` of the route's own breaks what is signed for the target's.
    pub(super) fn signed_host(&mut self, upstream: &str) {
        let Some(entry) = self.defined.node.entry("host_header") else { return };
        let Some(upstream) = self.all.loaded.upstreams.iter().find(|known| known.name == upstream) else { return };
        let credentials = upstream.written.credentials.iter().flat_map(|credentials| &credentials.0);
        let signs = credentials.into_iter().any(|one| matches!(one, written::UpstreamCredential::Aws(_)));
        if signs && entry.value.text() != Some("target") {
            let message = format!("requests to `{}` are signed for the target's own host", upstream.name);
            let problem = Problem::error("conflicting-fields", entry.name_at, message);
            self.all.problems.push(problem.help("remove it"));
        }
    }
}
