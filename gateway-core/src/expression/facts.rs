//! What expressions can ask about, and where it is found.

use super::time::Instant;
use super::value::{List, Map, Value};
use crate::http::Headers;
use crate::platform::Timestamp;
use crate::shape::Path;
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
#[serde(try_from = "u8", into = "u8")]
pub enum Variable {
    /// `request.method`
    Method,
    /// `request.scheme`: as the client used it.
    Scheme,
    /// `request.host`: without port, lower case.
    Host,
    /// `request.path`: normalised.
    Path,
    /// `request.headers`: by lower-case name.
    Headers,
    /// `request.query`: by name.
    Query,
    /// `request.cookies`: by name.
    Cookies,
    /// `request.parameters`: the path's, decoded.
    Parameters,
    /// `client.address`
    Address,
    /// `client.country`
    Country,
    /// `client.data_centre`
    DataCentre,
    /// `client.certificate.subject`
    CertificateSubject,
    /// `client.certificate.issuer`
    CertificateIssuer,
    /// `client.certificate.fingerprint`
    CertificateFingerprint,
    /// `client.certificate.serial`, in lower-case hexadecimal.
    #[serde(rename = "xn")]
    CertificateSerial,
    /// `consumer.name`
    Consumer,
    /// `consumer.groups`: empty where nobody is known.
    Groups,
    /// `token.subject`
    Subject,
    /// `token.issuer`
    Issuer,
    /// `claims`: empty where there is no token.
    Claims,
    /// `scopes`: empty where there is no token.
    Scopes,
    /// `route.name`
    Route,
    /// `now`
    Now,
    /// `json_rpc.method`: behind the policy `json_rpc`.
    RpcMethod,
    /// `steps`: what steps of a composition have answered, where there are some.
    Steps,
    /// `each`: the item for which a step is repeated.
    Each,
}

impl Variable {
    /// Every variable with its name.
    pub const ALL: [(&'static str, Variable); 26] = [
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
        ("client.certificate.serial", Variable::CertificateSerial),
        ("consumer.name", Variable::Consumer),
        ("consumer.groups", Variable::Groups),
        ("token.subject", Variable::Subject),
        ("token.issuer", Variable::Issuer),
        ("claims", Variable::Claims),
        ("scopes", Variable::Scopes),
        ("route.name", Variable::Route),
        ("now", Variable::Now),
        ("json_rpc.method", Variable::RpcMethod),
        ("steps", Variable::Steps),
        ("each", Variable::Each),
    ];

    /// Whether it is of the client's certificate, which a platform is asked for only where somebody wants it.
    pub fn is_of_certificate(self) -> bool {
        matches!(
            self,
            Variable::CertificateSubject
                | Variable::CertificateIssuer
                | Variable::CertificateFingerprint
                | Variable::CertificateSerial
        )
    }

    /// Whether it is known in a composition only.
    pub fn is_of_composition(self) -> bool {
        matches!(self, Variable::Steps | Variable::Each)
    }

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

/// In the artefact, a variable is its place among the names.
impl From<Variable> for u8 {
    fn from(variable: Variable) -> u8 {
        let place = Variable::ALL.iter().position(|(_, known)| *known == variable);
        place.and_then(|place| u8::try_from(place).ok()).unwrap_or(u8::MAX)
    }
}

impl TryFrom<u8> for Variable {
    type Error = &'static str;

    fn try_from(place: u8) -> Result<Self, Self::Error> {
        let named = Variable::ALL.get(usize::from(place));
        named.map(|(_, variable)| *variable).ok_or("there is no variable of this number")
    }
}

impl<'a> Facts<'a> {
    fn document(&self, name: &str) -> Option<Value<'a>> {
        let documents = self.scope.view.documents?;
        documents.part(&Path::parse(name)?).map(Value::of_shape)
    }

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
            Variable::CertificateSerial => text(certificate.map(|certificate| certificate.serial.as_str())),
            Variable::Consumer => text(caller.name()),
            Variable::Groups => Some(Value::List(List::Texts(caller.groups()))),
            Variable::Subject => text(caller.subject.as_deref()),
            Variable::Issuer => text(caller.issuer.as_deref()),
            Variable::Claims => Some(Value::Map(Map::Json(&caller.claims))),
            Variable::Scopes => Some(Value::List(List::Texts(&caller.scopes))),
            Variable::Route => text(Some(route)),
            Variable::RpcMethod => text(Some(self.scope.view.rpc_method).filter(|method| !method.is_empty())),
            Variable::Steps => self.document("steps"),
            Variable::Each => self.document("each"),
            Variable::Now => Some(Value::Instant(Instant::from_milliseconds(self.now))),
        }
    }
}
