//! Signed requests and client certificates.

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
    certificate::{CertificateSource, DistinguishedName, fingerprint},
    consumer::CertificateOf,
    policy::authenticate::{ClientCertificate, HmacAuth, ReplayScope, Signature},
    signature::{Algorithm, component::Component, hmac, key::Hash, rules::Rules},
};

impl RouteCompiler<'_, '_> {
    pub(super) fn signature(&mut self, written: &written::SignatureMethod, node: &Node) -> Signature {
        self.all.features.insert("signatures");
        let mut components = Vec::new();
        for (index, text) in written.components.iter().flat_map(|list| &list.0).enumerate() {
            let Ok(component) = Component::parse(&text.0) else { continue };
            self.once(&mut components, component, &text.0, node.place([Field("components"), Item(index)]));
        }
        if written.components.is_none() {
            components = USUAL.iter().filter_map(|text| Component::parse(text).ok()).collect();
        }
        let mut algorithms = Vec::new();
        for (index, name) in written.algorithms.iter().flat_map(|list| &list.0).enumerate() {
            let algorithm = algorithm(*name);
            self.all.features.extend(algorithm.family().feature());
            let at = node.place([Field("algorithms"), Item(index)]);
            self.once(&mut algorithms, algorithm, algorithm.name(), at);
        }
        Signature {
            rules: Rules {
                components,
                algorithms,
                max_age: written.max_age.map_or(300_000, |age| age.milliseconds),
                leeway: written.leeway.map_or(30_000, |leeway| leeway.milliseconds),
                nonce: written.nonce == Some(written::Nonce::Required),
            },
            label: written.label.as_ref().map(|label| label.0.clone()),
            tag: written.tag.as_ref().map(|tag| tag.0.clone()),
            body_limit: written.body_limit.map_or(BODY_LIMIT, |limit| limit.bytes),
            replay_scope: match written.replay_scope {
                Some(scope) => replay_scope(scope),
                None if written.nonce == Some(written::Nonce::Required) => ReplayScope::Global,
                None => ReplayScope::Instance,
            },
            realm: realm(written.realm.as_ref()),
            keep: written.keep.unwrap_or(false),
        }
    }

    pub(super) fn hmac_auth(&mut self, written: &written::HmacAuthMethod, node: &Node) -> HmacAuth {
        self.all.features.insert("signatures");
        let mut hashes = Vec::new();
        for (index, name) in written.algorithms.iter().flat_map(|list| &list.0).enumerate() {
            let (hash, text) = match name {
                written::HmacAlgorithm::HmacSha1 => (Hash::Sha1, "hmac-sha1"),
                written::HmacAlgorithm::HmacSha256 => (Hash::Sha256, "hmac-sha256"),
                written::HmacAlgorithm::HmacSha384 => (Hash::Sha384, "hmac-sha384"),
                written::HmacAlgorithm::HmacSha512 => (Hash::Sha512, "hmac-sha512"),
            };
            self.once(&mut hashes, hash, text, node.place([Field("algorithms"), Item(index)]));
        }
        if written.algorithms.is_none() {
            hashes = vec![Hash::Sha256, Hash::Sha384, Hash::Sha512];
        }
        let mut enforced = Vec::new();
        for (index, name) in written.enforce_headers.iter().flat_map(|list| &list.0).enumerate() {
            let at = node.place([Field("enforce_headers"), Item(index)]);
            self.once(&mut enforced, name.0.to_ascii_lowercase(), &name.0, at);
        }
        if written.enforce_headers.is_none() {
            enforced.push(hmac::TARGETS[0].to_owned());
        }
        HmacAuth {
            rules: hmac::Rules {
                hashes,
                enforced,
                clock_skew: written.clock_skew.map_or(300_000, |skew| skew.milliseconds),
            },
            body: written.validate_request_body.unwrap_or(false),
            body_limit: written.body_limit.map_or(BODY_LIMIT, |limit| limit.bytes),
            single_use: written
                .single_use
                .unwrap_or(false)
                .then(|| written.replay_scope.map_or(ReplayScope::Global, replay_scope)),
            realm: realm(written.realm.as_ref()),
            keep: written.keep.unwrap_or(false),
        }
    }

    pub(super) fn client_certificate(
        &mut self,
        written: &written::ClientCertificateMethod,
        node: &Node,
    ) -> ClientCertificate {
        self.all.certificates = true;
        let mut names = |list: Option<&written::OneOrMany<written::DistinguishedName>>, field: &'static str| {
            let mut names: Vec<DistinguishedName> = Vec::new();
            for (index, text) in list.iter().flat_map(|list| &list.0).enumerate() {
                let Ok(name) = text.0.parse() else { continue };
                self.once(&mut names, name, &text.0, node.place([Field(field), Item(index)]));
            }
            names
        };
        let subjects = names(written.subjects.as_ref(), "subjects");
        let issuers = names(written.issuers.as_ref(), "issuers");
        let mut fingerprints = Vec::new();
        for (index, text) in written.fingerprints.iter().flat_map(|list| &list.0).enumerate() {
            let Some(fingerprint) = fingerprint(&text.0) else { continue };
            self.once(&mut fingerprints, fingerprint, &text.0, node.place([Field("fingerprints"), Item(index)]));
        }
        ClientCertificate { subjects, issuers, fingerprints, keep: written.keep.unwrap_or(false) }
    }
}

/// What must be signed where nothing else is said: all that says what is asked for.
const USUAL: [&str; 3] = ["@method", "@target-uri", "content-digest"];

const BODY_LIMIT: u64 = 1 << 20;

pub(super) fn realm(written: Option<&written::Realm>) -> String {
    written.map_or("restricted", |realm| &realm.0).to_owned()
}

pub(super) fn algorithm(written: written::SignatureAlgorithm) -> Algorithm {
    match written {
        written::SignatureAlgorithm::HmacSha256 => Algorithm::HmacSha256,
        written::SignatureAlgorithm::Ed25519 => Algorithm::Ed25519,
        written::SignatureAlgorithm::EcdsaP256Sha256 => Algorithm::EcdsaP256Sha256,
        written::SignatureAlgorithm::EcdsaP384Sha384 => Algorithm::EcdsaP384Sha384,
        written::SignatureAlgorithm::RsaPssSha512 => Algorithm::RsaPssSha512,
        written::SignatureAlgorithm::RsaV15Sha256 => Algorithm::RsaV15Sha256,
    }
}

impl<'a> Compile<'a> {
    /// Where certificates come from. Nobody reads one that nobody asks for.
    pub(super) fn certificate_source(&mut self) -> CertificateSource {
        let settings = &self.loaded.settings;
        let client = settings.written.client.as_ref();
        match client.and_then(|client| client.certificate_from) {
            Some(written::CertificateFrom::ClientCert) => {
                if client.is_some_and(|client| client.trusted_proxies.is_none()) {
                    let at = settings.node.place([Field("client"), Field("certificate_from")]);
                    let message = "nobody is trusted to pass on a certificate";
                    let problem = Problem::error("missing-field", at, message);
                    self.problems.push(problem.help("name the proxies that end TLS in `trusted_proxies`"));
                }
                if self.certificates { CertificateSource::ClientCert } else { CertificateSource::Nowhere }
            }
            Some(written::CertificateFrom::Platform) | None if self.certificates => CertificateSource::Platform,
            Some(written::CertificateFrom::Platform) | None => CertificateSource::Nowhere,
        }
    }

    pub(super) fn certificate_of(
        &mut self,
        written: &written::ConsumerCertificate,
        defined: &'a Defined<written::Consumer>,
        index: usize,
    ) -> Option<CertificateOf> {
        let node = defined.node.reach([Field("certificates"), Item(index)])?;
        let mut wrong = |code, at: Span, message: &str, help: &str| {
            self.problems.push(Problem::error(code, at, message).help(help));
            None
        };
        match (&written.fingerprint, &written.subject, &written.issuer) {
            (Some(text), None, None) => fingerprint(&text.0).map(CertificateOf::Fingerprint),
            (None, Some(subject), Some(issuer)) => {
                let (subject, issuer): (DistinguishedName, DistinguishedName) =
                    (subject.0.parse().ok()?, issuer.0.parse().ok()?);
                Some(CertificateOf::Names(format!("{subject}\n{issuer}")))
            }
            (Some(_), Some(_), _) | (Some(_), None, Some(_)) => {
                let message = "`fingerprint` is of one certificate, whatever names it has";
                wrong("conflicting-fields", node.place([Field("fingerprint")]), message, "keep it, or the names")
            }
            (None, _, _) if node.damaged => None,
            (None, Some(_), None) => {
                let message = "another authority could make a certificate for the same subject";
                wrong("missing-field", node.head(), message, "add its `issuer`")
            }
            (None, None, Some(_)) => {
                wrong("missing-field", node.head(), "an issuer makes certificates for many", "add the `subject`")
            }
            (None, None, None) => {
                let message = "a certificate needs a `fingerprint`, or `subject` and `issuer`";
                wrong("missing-field", node.head(), message, "add `fingerprint`")
            }
        }
    }
}

fn replay_scope(written: written::ReplayScope) -> ReplayScope {
    match written {
        written::ReplayScope::Instance => ReplayScope::Instance,
        written::ReplayScope::Global => ReplayScope::Global,
    }
}
