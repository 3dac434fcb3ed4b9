//! What expressions can ask about, and where it is found.

use super::time::Instant;
use super::value::{List, Map, Value};
use crate::http::Headers;
use crate::platform::Timestamp;
use crate::template::Scope;
use serde::{Deserialize, Serialize};

/// What an expression is evaluated over.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// The request, who sent it and who calls.
    pub scope: Scope<'a>,
    /// The fields that go on.
    pub headers: &'a Headers,
    /// The query that goes on.
    pub query: Option<&'a str>,
    /// The time.
    pub now: Timestamp,
}

/// Something that is known of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Variable {
    /// `request.method`
    #[serde(rename = "m")]
    Method,
    /// `request.scheme`: as the client used it.
    #[serde(rename = "s")]
    Scheme,
    /// `request.host`: without port, lower case.
    #[serde(rename = "h")]
    Host,
    /// `request.path`: normalised.
    #[serde(rename = "p")]
    Path,
    /// `request.headers`: by lower-case name.
    #[serde(rename = "f")]
    Headers,
    /// `request.query`: by name.
    #[serde(rename = "q")]
    Query,
    /// `request.cookies`: by name.
    #[serde(rename = "k")]
    Cookies,
    /// `request.parameters`: the path's, decoded.
    #[serde(rename = "r")]
    Parameters,
    /// `client.address`
    #[serde(rename = "a")]
    Address,
    /// `client.country`
    #[serde(rename = "c")]
    Country,
    /// `client.data_centre`
    #[serde(rename = "d")]
    DataCentre,
    /// `client.certificate.subject`
    #[serde(rename = "xs")]
    CertificateSubject,
    /// `client.certificate.issuer`
    #[serde(rename = "xi")]
    CertificateIssuer,
    /// `client.certificate.fingerprint`
    #[serde(rename = "xf")]
    CertificateFingerprint,
    /// `consumer.name`
    #[serde(rename = "n")]
    Consumer,
    /// `consumer.groups`: empty where nobody is known.
    #[serde(rename = "g")]
    Groups,
    /// `token.subject`
    #[serde(rename = "ts")]
    Subject,
    /// `token.issuer`
    #[serde(rename = "ti")]
    Issuer,
    /// `claims`: empty where there is no token.
    #[serde(rename = "tc")]
    Claims,
    /// `scopes`: empty where there is no token.
    #[serde(rename = "to")]
    Scopes,
    /// `route.name`
    #[serde(rename = "u")]
    Route,
    /// `now`
    #[serde(rename = "t")]
    Now,
}

impl Variable {
    /// Every variable with its name.
    pub const ALL: [(&'static str, Variable); 22] = [
        ("request.method", Variable::Method),
        ("request.scheme", Variable::Scheme),
        ("request.host", Variable::Host),
        ("request.path", Variable::Path),
        ("request.headers", Variable::Headers),
        ("request.query", Variable::Query),
        ("request.cookies", Variable::Cookies),
        ("request.parameters", Variable::Parameters),
        ("client.address", Variable::Address),
        ("client.country", Variable::Country),
        ("client.data_centre", Variable::DataCentre),
        ("client.certificate.subject", Variable::CertificateSubject),
        ("client.certificate.issuer", Variable::CertificateIssuer),
        ("client.certificate.fingerprint", Variable::CertificateFingerprint),
        ("consumer.name", Variable::Consumer),
        ("consumer.groups", Variable::Groups),
        ("token.subject", Variable::Subject),
        ("token.issuer", Variable::Issuer),
        ("claims", Variable::Claims),
        ("scopes", Variable::Scopes),
        ("route.name", Variable::Route),
        ("now", Variable::Now),
    ];

    /// Whether it is about who calls.
    pub fn is_of_the_caller(self) -> bool {
        matches!(
            self,
            Variable::Consumer
                | Variable::Groups
                | Variable::Subject
                | Variable::Issuer
                | Variable::Claims
                | Variable::Scopes
        )
    }
}

impl<'a> Facts<'a> {
    /// What a variable is; `None`: nobody knows.
    pub(super) fn get(&self, variable: Variable) -> Option<Value<'a>> {
        let Scope { line, client, route, parameters, caller, .. } = self.scope;
        let text = |text: Option<&'a str>| text.map(Value::text);
        let certificate = client.certificate.as_ref();
        match variable {
            Variable::Method => text(Some(&line.method)),
            Variable::Scheme => text(Some(client.scheme.as_str())),
            Variable::Host => text(Some(&line.host)),
            Variable::Path => text(Some(&line.path)),
            Variable::Headers => Some(Value::Map(Map::Headers(self.headers))),
            Variable::Query => Some(Value::Map(Map::Query(self.query.unwrap_or_default()))),
            Variable::Cookies => Some(Value::Map(Map::Cookies(self.headers))),
            Variable::Parameters => Some(Value::Map(Map::Parameters(parameters))),
            Variable::Address => client.address.map(|address| Value::made(address.to_canonical().to_string())),
            Variable::Country => text(client.country.as_deref()),
            Variable::DataCentre => text(client.data_centre.as_deref()),
            Variable::CertificateSubject => text(certificate.map(|certificate| certificate.subject.as_str())),
            Variable::CertificateIssuer => text(certificate.map(|certificate| certificate.issuer.as_str())),
            Variable::CertificateFingerprint => text(certificate.map(|certificate| certificate.fingerprint.as_str())),
            Variable::Consumer => text(caller.name()),
            Variable::Groups => Some(Value::List(List::Texts(caller.groups()))),
            Variable::Subject => text(caller.subject.as_deref()),
            Variable::Issuer => text(caller.issuer.as_deref()),
            Variable::Claims => Some(Value::Map(Map::Json(&caller.claims))),
            Variable::Scopes => Some(Value::List(List::Texts(&caller.scopes))),
            Variable::Route => text(Some(route)),
            Variable::Now => Some(Value::Instant(Instant::from_milliseconds(self.now))),
        }
    }
}
