//! Consumers: each with a name and credentials that nobody else has.

use std::collections::HashMap;

use super::super::{
    load::{Defined, Loaded},
    node::Step::{self, Field, Item},
    problem::{Problem, Span},
    written,
};
use super::Compile;
use crate::{
    consumer::{ApiKey, CertificateOf, Consumer, Password, Signer, SigningKey, Subject},
    held::{OnFailure, StoreRules},
    policy::authenticate::basic::{PasswordHash, USUAL_ITERATIONS},
    signature::key::SignerKey,
    template::{Piece, Settings, Template},
};

impl<'a> Compile<'a> {
    pub(super) fn consumers(&mut self) -> Vec<Consumer> {
        let mut known = Credentials::default();
        let loaded = self.loaded;
        loaded.consumers.iter().map(|defined| self.consumer(defined, &mut known)).collect()
    }

    /// How the store is asked, where it is.
    pub(super) fn consumer_store(&mut self) -> Option<StoreRules> {
        let settings = &self.loaded.settings;
        let options = match settings.written.consumers_from? {
            written::ConsumersFrom::Plain(written::StoreName::Store) => written::StoreOptions::default(),
            written::ConsumersFrom::With(written::ConsumerStore { store }) => store,
        };
        let hold = options.hold.map_or(30_000, |hold| hold.milliseconds);
        if hold > 3_600_000 {
            let at = settings.node.place([Field("consumers_from"), Field("store"), Field("hold")]);
            let message = "a revoked key would go on working for longer than an hour";
            self.problems.push(Problem::error("bad-hold", at, message).help("write `1h` or less; a minute is usual"));
        }
        let on_failure = match options.on_failure {
            None | Some(written::OnFailure::Keep) => OnFailure::Keep,
            Some(written::OnFailure::Refuse) => OnFailure::Refuse,
        };
        Some(StoreRules { hold, on_failure })
    }

    fn consumer(&mut self, defined: &'a Defined<written::Consumer>, known: &mut Credentials<'a>) -> Consumer {
        let written = &defined.written;
        let mut groups: Vec<String> = Vec::new();
        for (index, group) in written.groups.iter().flat_map(|groups| &groups.0).enumerate() {
            if groups.contains(&group.0) {
                let at = defined.node.place([Field("groups"), Item(index)]);
                self.problems.push(listed_twice(&group.0, at));
            } else {
                groups.push(group.0.clone());
            }
        }
        let mut consumer = Consumer { name: defined.name.clone(), groups, ..Consumer::default() };
        for (index, key) in written.keys.iter().flat_map(|keys| &keys.0).enumerate() {
            let place = Place { defined, steps: [Field("keys"), Item(index), Field("hash")] };
            self.unique(known, "key", &key.hash.0, place);
            let expires = key.expires.map(|moment| moment.milliseconds);
            consumer.keys.push(ApiKey { hash: key.hash.0.clone().into(), prefix: key.prefix.0.clone(), expires });
        }
        for (index, password) in written.passwords.iter().flat_map(|passwords| &passwords.0).enumerate() {
            let place = Place { defined, steps: [Field("passwords"), Item(index), Field("username")] };
            self.unique(known, "user name", &password.username.0, place);
            let (username, hash) = (password.username.0.clone(), password.hash.0.clone());
            consumer.passwords.push(Password { username, hash: hash.into() });
        }
        for (index, signer) in written.signers.iter().flat_map(|signers| &signers.0).enumerate() {
            let place = Place { defined, steps: [Field("signers"), Item(index), Field("id")] };
            self.unique(known, "signing key", &signer.id.0, place);
            let key = self.signing_key(signer, defined, index);
            let algorithm = signer.algorithm.map(super::signed::algorithm);
            let base64 = signer.base64.unwrap_or(false);
            consumer.signers.extend(key.map(|key| Signer { id: signer.id.0.clone(), key, algorithm, base64 }));
        }
        for (index, subject) in written.subjects.iter().flat_map(|subjects| &subjects.0).enumerate() {
            let place = Place { defined, steps: [Field("subjects"), Item(index), Field("subject")] };
            let (issuer, subject) = (subject.issuer.clone(), subject.subject.clone());
            self.unique(known, "subject", &format!("{issuer}\n{subject}"), place);
            consumer.subjects.push(Subject { issuer, subject });
        }
        for (index, certificate) in written.certificates.iter().flat_map(|all| &all.0).enumerate() {
            let Some(certificate) = self.certificate_of(certificate, defined, index) else { continue };
            let (field, text) = match &certificate {
                CertificateOf::Fingerprint(text) => ("fingerprint", text),
                CertificateOf::Names(text) => ("subject", text),
            };
            let place = Place { defined, steps: [Field("certificates"), Item(index), Field(field)] };
            self.unique(known, "certificate", text, place);
            consumer.certificates.push(certificate);
        }
        consumer
    }

    fn signing_key(
        &mut self,
        signer: &written::Signer,
        defined: &Defined<written::Consumer>,
        index: usize,
    ) -> Option<SigningKey> {
        let at = |field| defined.node.place([Field("signers"), Item(index), Field(field)]);
        let entry = |field| defined.node.reach([Field("signers"), Item(index)]).and_then(|signer| signer.entry(field));
        match (&signer.secret, &signer.public_key) {
            (Some(secret), None) => {
                let secret = self.secret(&secret.0, at("secret")).map(SigningKey::Secret);
                if signer.algorithm.is_some_and(|algorithm| algorithm != written::SignatureAlgorithm::HmacSha256) {
                    let message = "a secret is for `hmac-sha256` only";
                    let problem = Problem::error("bad-algorithm", at("algorithm"), message);
                    self.problems.push(problem.help("remove it, or give the `public_key`"));
                }
                secret.filter(|key| self.usable(signer, key, at("secret")))
            }
            (None, Some(key)) => {
                let key = self.constant(&key.0, at("public_key")).map(SigningKey::Public);
                key.filter(|key| self.usable(signer, key, at("public_key")))
            }
            (Some(_), Some(_)) => {
                let (one, other) = (entry("secret")?, entry("public_key")?);
                let (first, second) = if one.name_at < other.name_at { (one, other) } else { (other, one) };
                let message = "`secret` and `public_key` exclude each other";
                let problem = Problem::error("conflicting-fields", second.name_at, message);
                self.problems.push(problem.related(first.name_at, "the other is here").help("keep one of them"));
                None
            }
            (None, None) => {
                let node = defined.node.reach([Field("signers"), Item(index)])?;
                if !node.damaged {
                    let problem =
                        Problem::error("missing-field", node.head(), "a signer needs `secret` or `public_key`");
                    self.problems.push(problem.help("add `secret: ${secret:NAME}`"));
                }
                None
            }
        }
    }

    /// What is known of a key already is checked now, rather than when somebody calls.
    fn usable(&mut self, signer: &written::Signer, key: &SigningKey, at: Span) -> bool {
        let algorithm = signer.algorithm.map(super::signed::algorithm);
        self.features.extend(algorithm.and_then(|algorithm| algorithm.family().feature()));
        let (SigningKey::Secret(template) | SigningKey::Public(template)) = key;
        // A secret that stands here and is not marked is refused already.
        let refused = signer.secret.as_ref().is_some_and(|secret| !secret.0.contains("${test:"));
        if refused || template.as_literal().is_none() {
            return true;
        }
        let base64 = signer.base64.unwrap_or(false);
        let signer = Signer { id: signer.id.0.clone(), key: key.clone(), algorithm, base64 };
        match SignerKey::new(&signer, &Settings::new()) {
            Ok(key) => {
                self.features.extend(key.algorithm.family().feature());
                true
            }
            Err(why) => {
                self.problems.push(Problem::error("bad-key", at, format!("this key cannot be used: {why}")));
                false
            }
        }
    }

    /// A secret: the platform holds it, or it is marked as one for tests.
    pub(super) fn secret(&mut self, text: &str, at: Span) -> Option<Template> {
        let template = self.constant(text, at)?;
        if template.references().next().is_none() && !text.contains("${test:") {
            let problem = Problem::error("literal-secret", at, "a secret does not stand in the configuration");
            let help =
                "give it to the platform and write `${secret:NAME}`; `${test:…}` around it says that it opens nothing";
            self.problems.push(problem.help(help));
        }
        Some(template)
    }

    /// A template that says the same for every request.
    pub(super) fn constant(&mut self, text: &str, at: Span) -> Option<Template> {
        let template = self.template(text, at)?;
        let varies = template.pieces().iter().any(|piece| !matches!(piece, Piece::Text(_) | Piece::Reference(_)));
        if varies {
            let problem = Problem::error("bad-template", at, "this is the same for every request");
            self.problems.push(problem.help("only `${env:NAME}` and `${secret:NAME}` may stand here"));
            return None;
        }
        Some(template)
    }

    fn unique(&mut self, known: &mut Credentials<'a>, kind: &'static str, text: &str, place: Place<'a>) {
        let Place { defined, steps } = place;
        let at = defined.node.place(steps);
        let Some((owner, first)) = known.0.get(&(kind, text.to_owned())).copied() else {
            known.0.insert((kind, text.to_owned()), (&defined.name, at));
            return;
        };
        let whose = if owner == defined.name { "this consumer".to_owned() } else { format!("`{owner}`") };
        let problem = Problem::error("same-credential", at, format!("this {kind} already belongs to {whose}"));
        let problem = problem.related(first, "it first stands here");
        self.problems.push(problem.help("a credential says who calls, so it belongs to one consumer, once"));
    }
}

/// What a name that nobody has must cost, so that it takes no less time than one that somebody has.
pub(super) fn password_cost(loaded: &Loaded) -> u32 {
    let passwords = loaded.consumers.iter().filter_map(|consumer| consumer.written.passwords.as_ref());
    let hashes = passwords.flat_map(|all| &all.0).filter_map(|password| password.hash.0.parse::<PasswordHash>().ok());
    hashes.map(|hash| hash.iterations()).max().unwrap_or(USUAL_ITERATIONS)
}

/// Something that stands in a list and was in it before.
pub(super) fn listed_twice(text: &str, at: Span) -> Problem {
    Problem::error("listed-twice", at, format!("`{text}` is in this list a second time")).help("remove it")
}

/// Every credential by its kind, with its consumer and where it first stands.
#[derive(Default)]
struct Credentials<'a>(HashMap<(&'static str, String), (&'a str, Span)>);

/// Where a credential stands.
struct Place<'a> {
    defined: &'a Defined<written::Consumer>,
    steps: [Step<'static>; 3],
}
