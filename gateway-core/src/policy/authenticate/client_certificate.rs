//! A certificate that the client has shown when it connected, as the platform or a trusted proxy reports it.

use super::Verdict;
use crate::caller::Caller;
use crate::certificate::DistinguishedName;
use crate::consumer::By;
use crate::http::{Certificate, Headers};
use crate::platform::Platform;
use crate::policy::Visit;
use serde::{Deserialize, Serialize};

/// Takes certificates. One of the authorities that the platform or proxy trusts has vouched for them; these rules say which
/// of them count here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClientCertificate {
    /// Subjects of which one must be meant: every part of it is a part of the certificate's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<DistinguishedName>,
    /// Issuers of which one must be meant, in the same way.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub issuers: Vec<DistinguishedName>,
    /// Fingerprints of which one must be the certificate's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fingerprints: Vec<String>,
    /// Whether the upstream gets the certificate, in `Client-Cert` (RFC 9440).
    pub keep: bool,
}

impl ClientCertificate {
    /// Looks at the certificate and asks whose it is. Without any rule, it must be a consumer's.
    pub async fn judge<P: Platform>(&self, visit: &Visit<'_, P>) -> Verdict {
        let Some(certificate) = &visit.client.certificate else { return Verdict::Missing };
        if !self.admits(certificate) {
            return Verdict::Wrong("The client's certificate is not taken here.");
        }
        let by_fingerprint = By::Certificate(&certificate.fingerprint);
        let found = match visit.consumers.look_up(visit.platform, by_fingerprint).await {
            Ok(None) => match certificate.names() {
                Some(names) => visit.consumers.look_up(visit.platform, By::CertificateNames(&names)).await,
                None => Ok(None),
            },
            found => found,
        };
        match found {
            Ok(None) if !self.has_rules() => Verdict::Wrong("The client's certificate is not known."),
            Ok(consumer) => Verdict::Proven(Caller {
                consumer,
                credential: Some(certificate.fingerprint.clone()),
                proofs: vec!["client_certificate"],
                ..Caller::default()
            }),
            Err(error) => Verdict::Unknowable(error.0),
        }
    }

    fn has_rules(&self) -> bool {
        !(self.subjects.is_empty() && self.issuers.is_empty() && self.fingerprints.is_empty())
    }

    fn admits(&self, certificate: &Certificate) -> bool {
        fn meant(rules: &[DistinguishedName], name: &str) -> bool {
            let name = name.parse::<DistinguishedName>();
            rules.is_empty() || name.is_ok_and(|name| rules.iter().any(|rule| name.has(rule)))
        }
        meant(&self.subjects, &certificate.subject)
            && meant(&self.issuers, &certificate.issuer)
            && (self.fingerprints.is_empty() || self.fingerprints.contains(&certificate.fingerprint))
    }

    /// Takes out what a trusted proxy says of certificates, and tells the upstream where that is wanted (RFC 9440 §2.4: never
    /// what the client wrote there).
    pub fn hand_on(&self, headers: &mut Headers, certificate: Option<&Certificate>) {
        headers.remove("client-cert-chain");
        match certificate.and_then(Certificate::field).filter(|_| self.keep) {
            Some(field) => headers.set("client-cert", field),
            None => headers.remove("client-cert"),
        }
    }

    /// No scheme is registered for certificates: they come before any request.
    pub fn challenge(&self) -> &'static str {
        "ClientCertificate"
    }
}
