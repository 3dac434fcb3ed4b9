//! Text with holes: `/v2/{id}`, `https://{request.host}/`, `Bearer ${secret:TOKEN}`, `{token.claims.tenant | default: "none"}`.
//!
//! A template is parsed when the configuration is compiled, where every name in it is checked, so rendering cannot fail.

pub mod function;

use self::function::Function;
use crate::caller::Caller;
use crate::client::Client;
use crate::http::{self, Certificate, Headers, is_token, percent_encode};
use crate::path;
use crate::platform::Timestamp;
use crate::quota::calendar;
use crate::request::Line;
use crate::route::Parameters;
use crate::shape::{Path, Value};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

/// A parsed template; kept as its text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Template(Vec<Piece>);

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Stands as it is.
    Text(String),
    /// `{name}`: a path parameter, percent-encoded as it was matched.
    Parameter(String),
    /// `{request.host}` and the like.
    Variable(Variable),
    /// `${env:NAME}` or `${secret:NAME}`: a value of the platform's, read when the gateway starts.
    Reference(Reference),
    /// `{request.headers.accept}`: one of many by its name.
    Member(Collection, String),
    /// `{body.user.id}`: a part of a document, the document's own name first.
    Document(Path),
    /// `{name | lower}`: one of the others, and what is made of it.
    Piped(Box<Piece>, Vec<Function>),
}

impl Piece {
    /// Whether it says something of the request's fields.
    pub fn asks_request(&self) -> bool {
        matches!(self.base(), Piece::Member(Collection::RequestHeaders | Collection::RequestCookies, _))
    }

    /// What it says without what is made of it.
    pub fn base(&self) -> &Piece {
        match self {
            Piece::Piped(piece, _) => piece.base(),
            Piece::Text(_)
            | Piece::Parameter(_)
            | Piece::Variable(_)
            | Piece::Reference(_)
            | Piece::Member(..)
            | Piece::Document(_) => self,
        }
    }
}

/// What is one of many, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Collection {
    /// `{request.headers.NAME}`: the first line of a field, as the policies before have left it.
    RequestHeaders,
    /// `{request.query.NAME}`: the first parameter of the query, decoded.
    RequestQuery,
    /// `{request.cookies.NAME}`: the first cookie of a name, likewise.
    RequestCookies,
    /// `{token.claims.NAME}`: what the issuer says of the subject; members of objects with dots between.
    Claims,
    /// `{response.headers.NAME}`: the first line of a field, as it stands when this is rendered.
    ResponseHeaders,
}

impl Collection {
    /// Each with what stands before the name.
    pub const ALL: [(&'static str, Collection); 5] = [
        ("request.headers.", Collection::RequestHeaders),
        ("request.query.", Collection::RequestQuery),
        ("request.cookies.", Collection::RequestCookies),
        ("token.claims.", Collection::Claims),
        ("response.headers.", Collection::ResponseHeaders),
    ];

    fn prefix(self) -> &'static str {
        Collection::ALL.iter().find(|(_, collection)| *collection == self).map_or("", |(prefix, _)| prefix)
    }
}

/// The names with which documents begin: what a place knows of them, its configuration says.
pub const DOCUMENTS: [&str; 4] = ["body", "problem", "steps", "each"];

/// What a template can say of the request besides path parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variable {
    /// `{request.method}`
    Method,
    /// `{request.scheme}`: as the client used it.
    Scheme,
    /// `{request.host}`: without port, lower case.
    Host,
    /// `{request.path}`: normalised, as received from the client.
    Path,
    /// `{request.query}`: without `?`, empty where there is none.
    Query,
    /// `{client.address}`: empty where the platform does not tell.
    Address,
    /// `{client.country}`: empty where the platform does not tell.
    Country,
    /// `{client.certificate.subject}`: empty where the client has shown no certificate, as are the next three.
    CertificateSubject,
    /// `{client.certificate.issuer}`
    CertificateIssuer,
    /// `{client.certificate.fingerprint}`: its SHA-256, in lower-case hexadecimal.
    CertificateFingerprint,
    /// `{client.certificate.serial}`: in lower-case hexadecimal.
    CertificateSerial,
    /// `{route.name}`
    Route,
    /// `{consumer.name}`: empty where nobody has been recognised.
    Consumer,
    /// `{consumer.groups}`: with commas between.
    Groups,
    /// `{consumer.credential}`: what of the credential may be shown: a key's prefix, a user name.
    Credential,
    /// `{token.subject}`: the `sub` of a verified token.
    Subject,
    /// `{token.issuer}`: the `iss` of a verified token.
    Issuer,
    /// `{token.scopes}`: with spaces between.
    Scopes,
    /// `{client.data_centre}`: empty where the platform does not tell.
    DataCentre,
    /// `{upstream.name}`: where the route forwards to.
    Upstream,
    /// `{response.status}`: three digits.
    Status,
    /// `{time.seconds}`: since the Unix epoch.
    Seconds,
    /// `{time.iso}`: RFC 3339, in UTC, to the second.
    Iso,
    /// `{time.http}`: as HTTP writes it (RFC 9110 §5.6.7).
    HttpDate,
    /// `{json_rpc.method}`: the method that is called, behind the policy `json_rpc`; empty where there is none.
    RpcMethod,
    /// `{graphql.operation}`: the name of a GraphQL operation; of several at once their names, with commas between.
    GraphqlOperation,
    /// `{graphql.kind}`: `query`, `mutation` or `subscription`.
    GraphqlKind,
    /// `{graphql.cost}`: what the operation costs, by the rules of its policy.
    GraphqlCost,
}

impl Variable {
    /// Whether it says something of the client's certificate.
    pub fn is_of_certificate(self) -> bool {
        use Variable::{CertificateFingerprint, CertificateIssuer, CertificateSerial, CertificateSubject};
        matches!(self, CertificateSubject | CertificateIssuer | CertificateFingerprint | CertificateSerial)
    }

    /// Whether it says something of a GraphQL request.
    pub fn is_of_graphql(self) -> bool {
        matches!(self, Variable::GraphqlOperation | Variable::GraphqlKind | Variable::GraphqlCost)
    }

    /// Every variable with the name by which templates call it.
    pub const ALL: [(&'static str, Variable); 28] = [
        ("request.method", Variable::Method),
        ("request.scheme", Variable::Scheme),
        ("request.host", Variable::Host),
        ("request.path", Variable::Path),
        ("request.query", Variable::Query),
        ("client.address", Variable::Address),
        ("client.country", Variable::Country),
        ("client.certificate.subject", Variable::CertificateSubject),
        ("client.certificate.issuer", Variable::CertificateIssuer),
        ("client.certificate.fingerprint", Variable::CertificateFingerprint),
        ("client.certificate.serial", Variable::CertificateSerial),
        ("route.name", Variable::Route),
        ("consumer.name", Variable::Consumer),
        ("consumer.groups", Variable::Groups),
        ("consumer.credential", Variable::Credential),
        ("token.subject", Variable::Subject),
        ("token.issuer", Variable::Issuer),
        ("token.scopes", Variable::Scopes),
        ("client.data_centre", Variable::DataCentre),
        ("upstream.name", Variable::Upstream),
        ("response.status", Variable::Status),
        ("time.seconds", Variable::Seconds),
        ("time.iso", Variable::Iso),
        ("time.http", Variable::HttpDate),
        ("json_rpc.method", Variable::RpcMethod),
        ("graphql.operation", Variable::GraphqlOperation),
        ("graphql.kind", Variable::GraphqlKind),
        ("graphql.cost", Variable::GraphqlCost),
    ];

    /// The name by which templates call it.
    pub fn name(self) -> &'static str {
        Variable::ALL.iter().find(|(_, variable)| *variable == self).map_or("", |(name, _)| name)
    }
}

/// A value that the platform keeps: it never stands in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reference {
    /// Where the value lives.
    pub source: Source,
    /// Its name, in capitals: `ORIGIN_URL`.
    pub name: String,
}

/// Where a referenced value lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A plain variable.
    Env,
    /// A secret: never shown by any tool.
    Secret,
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match self.source {
            Source::Env => "env",
            Source::Secret => "secret",
        };
        write!(f, "${{{source}:{}}}", self.name)
    }
}

/// The values of all references, read once when the gateway is loaded.
pub type Settings = HashMap<Reference, String>;

/// What a template is rendered over.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    /// What was asked for.
    pub line: &'a Line,
    /// Who sent it.
    pub client: &'a Client,
    /// The matched route's name.
    pub route: &'a str,
    /// The path parameters.
    pub parameters: Parameters<'a>,
    /// The platform's values.
    pub settings: &'a Settings,
    /// Who is calling, as far as it has been proven.
    pub caller: &'a Caller,
    /// What else there is to see.
    pub view: View<'a>,
}

/// What is seen only at some points of a request's way, and only by those who ask for it.
#[derive(Clone, Copy, Default)]
pub struct View<'a> {
    /// The request's fields, where a template asks for one.
    pub headers: Option<&'a Headers>,
    /// What tells the time.
    pub clock: Option<&'a dyn Fn() -> Timestamp>,
    /// The upstream that the route forwards to; empty where it does not.
    pub upstream: &'a str,
    /// The method of JSON-RPC that is called; empty where none is.
    pub rpc_method: &'a str,
    /// The response's status and fields, on the way back.
    pub response: Option<(u16, &'a Headers)>,
    /// Documents, such as a body that has been read.
    pub documents: Option<&'a dyn Documents>,
    /// The operation of a GraphQL request, as a policy has read it.
    #[cfg(feature = "graphql")]
    pub operation: Option<&'a crate::graphql::Operation>,
}

/// What fills holes.
pub trait Fill {
    /// What a piece says. `None` where there is no such thing, or nothing is in it.
    fn value<'s>(&'s self, piece: &'s Piece) -> Option<Cow<'s, str>>;

    /// A part of a document as it is.
    fn part(&self, path: &Path) -> Option<Value<'_>>;
}

/// Documents that templates take parts of.
pub trait Documents {
    /// A part, by the document's own name and its path in it.
    fn part(&self, path: &Path) -> Option<Value<'_>>;
}

/// Why a text is not a template, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError {
    /// Byte offset in the text.
    pub at: usize,
    /// How many bytes are meant.
    pub length: usize,
    /// What is wrong and what to write instead.
    pub message: String,
}

impl Template {
    /// A template that is just this text.
    pub fn literal(text: impl Into<String>) -> Self {
        Self(vec![Piece::Text(text.into())])
    }

    /// Reads `{…}`, `${…}` and `{{` (a literal brace; `}}` likewise). `${test:…}` is the text in it, marked as a value that
    /// opens nothing.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut at = 0;
        while let Some(c) = text[at..].chars().next() {
            let rest = &text[at..];
            if rest.starts_with("{{") || rest.starts_with("}}") {
                literal.push(c);
                at += 2;
                continue;
            }
            // `${{` is a dollar sign before a brace.
            let open = if rest.starts_with("${") && !rest.starts_with("${{") { 2 } else { 1 };
            if c != '{' && open == 1 {
                if c == '}' {
                    return Err(error(at, 1, "`}` closes nothing; write `}}` for a brace in the text"));
                }
                literal.push(c);
                at += c.len_utf8();
                continue;
            }
            let close = if open == 2 { rest.find('}') } else { closing(rest) };
            let Some(close) = close else {
                return Err(error(at, rest.len(), "`{` is never closed; write `{{` for a brace in the text"));
            };
            let name = &rest[open..close];
            if open == 2
                && let Some(value) = name.strip_prefix("test:")
            {
                literal.push_str(value);
                at += close + 1;
                continue;
            }
            if !literal.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut literal)));
            }
            let piece = if open == 2 { reference(name) } else { hole(name) };
            pieces.push(piece.map_err(|message| error(at, close + 1, message))?);
            at += close + 1;
        }
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal));
        }
        Ok(Self(pieces))
    }

    /// The parts, in order.
    pub fn pieces(&self) -> &[Piece] {
        &self.0
    }

    /// The references to the platform's values.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.0.iter().filter_map(|piece| match piece.base() {
            Piece::Reference(reference) => Some(reference),
            _ => None,
        })
    }

    /// Whether it says something of the request's fields.
    pub fn asks_request(&self) -> bool {
        self.has(Piece::asks_request)
    }

    /// Whether it says something of the response's fields.
    pub fn asks_response(&self) -> bool {
        self.has(|piece| matches!(piece, Piece::Member(Collection::ResponseHeaders, _)))
    }

    /// Whether one of its holes is such a one.
    pub fn has(&self, is: impl Fn(&Piece) -> bool) -> bool {
        self.0.iter().any(|piece| is(piece.base()))
    }

    /// The text, where nothing in it varies.
    pub fn as_literal(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The text with every hole filled. What is not there renders as nothing.
    pub fn render(&self, scope: &Scope<'_>) -> String {
        self.render_with(scope, |text, out| out.push_str(text))
    }

    /// The same, with what fills the holes written by somebody who knows what must not stand there.
    pub fn render_with(&self, source: &(impl Fill + ?Sized), write: impl Fn(&str, &mut String)) -> String {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                hole => {
                    if let Some(text) = source.value(hole) {
                        write(&text, &mut out);
                    }
                }
            }
        }
        out
    }

    /// The path that it is, normalised. What was matched of the client's path stands in it as it was matched, and what the
    /// configuration and the platform say as it is; any other value is one segment, or a part of one, whatever it holds.
    ///
    /// # Errors
    /// Where that is no path, or a value would lead out of where the template says.
    pub fn path(&self, scope: &Scope<'_>) -> Result<String, path::Invalid> {
        let (path, as_matched) = self.fill_path(scope);
        // Pieces of a path that was straight may be put together to one that is not; that one is normalised.
        if as_matched { path::normalise(&path) } else { path::straight(&path) }.map(Cow::into_owned)
    }

    /// The same, where no pieces at all may be put together to a segment of dots.
    ///
    /// # Errors
    /// As above.
    pub fn straight_path(&self, scope: &Scope<'_>) -> Result<String, path::Invalid> {
        path::straight(&self.fill_path(scope).0).map(Cow::into_owned)
    }

    /// The text of a path, and whether all that fills it was matched of the client's.
    fn fill_path(&self, scope: &Scope<'_>) -> (String, bool) {
        let mut out = String::new();
        let mut as_matched = true;
        for piece in &self.0 {
            let value = scope.value(piece).unwrap_or_default();
            let is_path = match piece {
                Piece::Text(_) | Piece::Parameter(_) | Piece::Variable(Variable::Path) | Piece::Reference(_) => true,
                Piece::Piped(base, functions) => {
                    as_matched = false;
                    let frees = |function: &Function| matches!(function, Function::UrlDecode | Function::Base64);
                    let of_path = matches!(**base, Piece::Parameter(_) | Piece::Variable(Variable::Path));
                    of_path && !functions.iter().any(frees) || functions.last() == Some(&Function::UrlEncode)
                }
                Piece::Variable(_) | Piece::Member(..) | Piece::Document(_) => {
                    as_matched = false;
                    false
                }
            };
            if is_path {
                out.push_str(&value);
            } else {
                out.push_str(&percent_encode(&*value));
            }
        }
        (out, as_matched)
    }

    /// The same template with everything filled in that is known now: what is left are parts of documents.
    pub fn bind(&self, scope: &Scope<'_>) -> Self {
        let bound = self.0.iter().map(|piece| match piece.base() {
            Piece::Document(_) => piece.clone(),
            _ => Piece::Text(scope.value(piece).unwrap_or_default().into_owned()),
        });
        Self(bound.collect())
    }

    /// The text of a template that holds only references, as in a target's URL.
    pub fn resolve(&self, settings: &Settings) -> String {
        self.0
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.as_str(),
                Piece::Reference(reference) => settings.get(reference).map_or("", String::as_str),
                _ => "",
            })
            .collect()
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| piece.fmt(f))
    }
}

impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Piece::Text(text) => f.write_str(&text.replace('{', "{{").replace('}', "}}")),
            Piece::Reference(reference) => reference.fmt(f),
            Piece::Parameter(_) | Piece::Variable(_) | Piece::Member(..) | Piece::Document(_) => {
                write!(f, "{{{}}}", self.name())
            }
            Piece::Piped(piece, functions) => {
                write!(f, "{{{}", piece.name())?;
                functions.iter().try_for_each(|function| write!(f, " | {function}"))?;
                f.write_str("}")
            }
        }
    }
}

impl Piece {
    fn name(&self) -> Cow<'_, str> {
        match self {
            Piece::Text(text) | Piece::Parameter(text) => text.into(),
            Piece::Variable(variable) => variable.name().into(),
            Piece::Reference(reference) => reference.to_string().into(),
            Piece::Member(collection, name) => format!("{}{name}", collection.prefix()).into(),
            Piece::Document(path) => path.to_string().into(),
            Piece::Piped(piece, _) => piece.name(),
        }
    }
}

impl From<Piece> for Template {
    fn from(piece: Piece) -> Self {
        Self(vec![piece])
    }
}

impl TryFrom<String> for Template {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).map_err(|error| error.message)
    }
}

impl From<Template> for String {
    fn from(template: Template) -> String {
        template.to_string()
    }
}

impl<'a> Scope<'a> {
    /// The same, with documents to take parts of.
    pub fn with_documents(self, documents: &'a dyn Documents) -> Self {
        Self { view: View { documents: Some(documents), ..self.view }, ..self }
    }

    /// The same, with a response to look at.
    pub fn with_response(self, status: u16, headers: &'a Headers) -> Self {
        Self { view: View { response: Some((status, headers)), ..self.view }, ..self }
    }

    fn member<'s>(&'s self, collection: Collection, name: &'s str) -> Option<Cow<'s, str>> {
        match collection {
            Collection::RequestHeaders => Some(String::from_utf8_lossy(self.view.headers?.get(name)?)),
            Collection::ResponseHeaders => Some(String::from_utf8_lossy(self.view.response?.1.get(name)?)),
            Collection::RequestQuery => http::parameters(self.line.query.as_deref()?, name).next(),
            Collection::RequestCookies => http::cookies(self.view.headers?, name).into_iter().next().map(Cow::Owned),
            Collection::Claims => match self.caller.claim(name)? {
                serde_json::Value::Null => None,
                serde_json::Value::String(text) => Some(text.into()),
                other => Some(other.to_string().into()),
            },
        }
    }

    fn certificate(&self, part: impl FnOnce(&Certificate) -> &String) -> Cow<'_, str> {
        self.client.certificate.as_ref().map_or("", |certificate| part(certificate)).into()
    }

    fn variable(&self, variable: Variable) -> Cow<'_, str> {
        let now = || self.view.clock.map_or(0, |clock| clock());
        match variable {
            Variable::Method => (&self.line.method).into(),
            Variable::Scheme => self.client.scheme.as_str().into(),
            Variable::Host => (&self.line.host).into(),
            Variable::Path => (&self.line.path).into(),
            Variable::Query => self.line.query.as_deref().unwrap_or_default().into(),
            Variable::Address => self.client.address.map_or(Cow::Borrowed(""), |address| address.to_string().into()),
            Variable::Country => self.client.country.as_deref().unwrap_or_default().into(),
            Variable::DataCentre => self.client.data_centre.as_deref().unwrap_or_default().into(),
            Variable::CertificateSubject => self.certificate(|certificate| &certificate.subject),
            Variable::CertificateIssuer => self.certificate(|certificate| &certificate.issuer),
            Variable::CertificateFingerprint => self.certificate(|certificate| &certificate.fingerprint),
            Variable::CertificateSerial => self.certificate(|certificate| &certificate.serial),
            Variable::Route => self.route.into(),
            Variable::Consumer => self.caller.name().unwrap_or_default().into(),
            Variable::Groups => self.caller.groups().join(",").into(),
            Variable::Credential => self.caller.credential.as_deref().unwrap_or_default().into(),
            Variable::Subject => self.caller.subject.as_deref().unwrap_or_default().into(),
            Variable::Issuer => self.caller.issuer.as_deref().unwrap_or_default().into(),
            Variable::Scopes => self.caller.scopes.join(" ").into(),
            Variable::Upstream => self.view.upstream.into(),
            Variable::Status => self.view.response.map_or(Cow::Borrowed(""), |(status, _)| status.to_string().into()),
            Variable::Seconds => (now() / 1000).to_string().into(),
            Variable::Iso => calendar::iso(now()).into(),
            Variable::HttpDate => calendar::http_date(now()).into(),
            Variable::RpcMethod => self.view.rpc_method.into(),
            #[cfg(feature = "graphql")]
            Variable::GraphqlOperation => self.view.operation.map_or("", |operation| operation.name.as_str()).into(),
            #[cfg(feature = "graphql")]
            Variable::GraphqlKind => self.view.operation.map_or("", |operation| operation.kind.as_str()).into(),
            #[cfg(feature = "graphql")]
            Variable::GraphqlCost => {
                self.view.operation.map_or(Cow::Borrowed(""), |operation| operation.cost.to_string().into())
            }
            #[cfg(not(feature = "graphql"))]
            Variable::GraphqlOperation | Variable::GraphqlKind | Variable::GraphqlCost => "".into(),
        }
    }
}

impl Fill for Scope<'_> {
    fn value<'s>(&'s self, piece: &'s Piece) -> Option<Cow<'s, str>> {
        let text: Cow<'s, str> = match piece {
            Piece::Text(text) => text.into(),
            Piece::Parameter(name) => self.parameters.get(name)?.into(),
            Piece::Variable(variable) => self.variable(*variable),
            Piece::Reference(reference) => self.settings.get(reference)?.into(),
            Piece::Member(collection, name) => self.member(*collection, name)?,
            Piece::Document(path) => self.view.documents?.part(path)?.into_plain()?,
            Piece::Piped(piece, functions) => function::apply(self.value(piece), functions)?,
        };
        (!text.is_empty()).then_some(text)
    }

    fn part(&self, path: &Path) -> Option<Value<'_>> {
        self.view.documents?.part(path)
    }
}

/// Where a hole ends: what stands in quotes is not looked at.
fn closing(text: &str) -> Option<usize> {
    let mut quoted = false;
    text.bytes().position(|byte| {
        quoted ^= byte == b'"';
        byte == b'}' && !quoted
    })
}

/// What stands between the braces: a name, and what is made of it.
fn hole(text: &str) -> Result<Piece, String> {
    let mut parts = function::parts(text);
    let first = parts.next().unwrap_or_default();
    let functions = parts.map(Function::parse).collect::<Result<Vec<_>, _>>()?;
    if functions.is_empty() {
        return match (parameter(first), first.trim()) {
            (Err(_), bare) if bare != first && parameter(bare).is_ok() => {
                Err(format!("`{{{first}}}` names nothing; write `{{{bare}}}`, without spaces"))
            }
            (piece, _) => piece,
        };
    }
    Ok(Piece::Piped(Box::new(parameter(first.trim())?), functions))
}

fn parameter(name: &str) -> Result<Piece, String> {
    if let Some((_, variable)) = Variable::ALL.iter().find(|(known, _)| *known == name) {
        return Ok(Piece::Variable(*variable));
    }
    let member = Collection::ALL.iter().find_map(|(prefix, collection)| Some((collection, name.strip_prefix(prefix)?)));
    if let Some((collection, member)) = member {
        let is_field = matches!(collection, Collection::RequestHeaders | Collection::ResponseHeaders);
        if member.is_empty() || is_field && !is_token(member) {
            return Err(format!("`{{{name}}}` names nothing: write `{{{}NAME}}`", collection.prefix()));
        }
        let member = if is_field { member.to_ascii_lowercase() } else { member.to_owned() };
        return Ok(Piece::Member(*collection, member));
    }
    if DOCUMENTS.iter().any(|root| name.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
    {
        // One word alone is a parameter of the path, unless it is what a place calls its document.
        if let Some(path) = Path::parse(name).filter(|path| path.len() > 1 || matches!(name, "body" | "each")) {
            return Ok(Piece::Document(path));
        }
    }
    if name.contains('.') {
        return Err(format!("there is no `{{{name}}}`; {}", meant(name)));
    }
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err(format!(
            "`{{{name}}}` is not a parameter's name: letters, digits and `_`; write `{{{{` for a brace"
        ));
    }
    Ok(Piece::Parameter(name.to_owned()))
}

/// What to write instead of a name with a dot that names nothing.
fn meant(name: &str) -> String {
    // As other gateways have it.
    let parameter = ["request.path.", "request.params.", "request.parameters.", "path.", "params.", "parameters."];
    if let Some(name) = parameter.iter().find_map(|prefix| name.strip_prefix(prefix)).filter(|name| !name.is_empty()) {
        return format!("a parameter of the path stands by its name alone: `{{{name}}}`");
    }
    #[cfg(feature = "compile")]
    if let Some(meant) = crate::config::suggest::closest(name, Variable::ALL.iter().map(|(known, _)| *known)) {
        return format!("did you mean `{{{meant}}}`?");
    }
    let known = Variable::ALL.iter().map(|(known, _)| format!("`{{{known}}}`"));
    let members = Collection::ALL.iter().map(|(prefix, _)| format!("`{{{prefix}NAME}}`"));
    let known: Vec<_> = known.chain(members).collect();
    format!("templates know parameters of the path by their names alone (`{{id}}`), {}", known.join(", "))
}

fn reference(text: &str) -> Result<Piece, String> {
    let (source, name) = match text.split_once(':') {
        Some(("env", name)) => (Source::Env, name),
        Some(("secret", name)) => (Source::Secret, name),
        Some(_) | None => {
            return Err(format!("`${{{text}}}` refers to nothing; write `${{env:NAME}}` or `${{secret:NAME}}`"));
        }
    };
    let is_capital = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    // Spin knows no names with underscores at the end or side by side.
    let is_portable = !name.ends_with('_') && !name.contains("__");
    if !name.starts_with(|c: char| c.is_ascii_uppercase()) || !name.bytes().all(is_capital) || !is_portable {
        return Err(format!(
            "`{name}` is not a name that every platform can keep: capitals, digits and single `_` between them, a letter \
             first"
        ));
    }
    Ok(Piece::Reference(Reference { source, name: name.to_owned() }))
}

fn error(at: usize, length: usize, message: impl Into<String>) -> TemplateError {
    TemplateError { at, length, message: message.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces() {
        let template = Template::parse("a{id}{request.host}${secret:KEY_1}{{x}}").expect("a template");
        assert_eq!(
            template.pieces(),
            [
                Piece::Text("a".into()),
                Piece::Parameter("id".into()),
                Piece::Variable(Variable::Host),
                Piece::Reference(Reference { source: Source::Secret, name: "KEY_1".into() }),
                Piece::Text("{x}".into()),
            ]
        );
        assert_eq!(Template::parse(&template.to_string()), Ok(template));
        assert_eq!(Template::parse("a ${test:b c}d").expect("a template").as_literal(), Some("a b cd"));
        assert_eq!(Template::parse("").expect("a template").as_literal(), Some(""));
        let literal = Template::literal("${x}{{$");
        assert_eq!(Template::parse(&literal.to_string()), Ok(literal));
        assert_eq!(Template::parse("$5 é").expect("a template").as_literal(), Some("$5 é"));
    }

    #[test]
    fn what_is_made_of_a_value_is_read_and_written() {
        let text =
            "{id | lower | default: \"a } | b\"}{request.headers.x-a}{body.a\\.b.0 | truncate: \"3\"}{token.claims.t}";
        let template = Template::parse(text).expect("a template");
        assert_eq!(template.to_string(), text);
        assert_eq!(Template::parse(&template.to_string()), Ok(template.clone()));
        let [Piece::Piped(_, functions), _, Piece::Piped(document, _), _] = template.pieces() else {
            panic!("{template:?}")
        };
        assert_eq!(functions[1], Function::Default("a } | b".into()));
        assert_eq!(**document, Piece::Document(Path::parse(r"body.a\.b.0").expect("a path")));
        assert_eq!(Template::parse("{bodyguard}").expect("one").pieces(), [Piece::Parameter("bodyguard".into())]);
        assert_eq!(Template::parse("{steps}").expect("one").pieces(), [Piece::Parameter("steps".into())]);
    }

    #[test]
    fn what_is_no_template_says_where() {
        for (text, at) in [
            ("a{", 1),
            ("a}b", 1),
            ("{}", 0),
            ("x{a b}", 1),
            ("{request.hots}", 0),
            ("{request.headers.}", 0),
            ("{request.headers.a b}", 0),
            ("{body..a}", 0),
            ("{id | shout}", 0),
            ("{id | default}", 0),
            ("{id | lower: x}", 0),
            ("{id | truncate: many}", 0),
            ("{id | default: \"}", 0),
            ("${x}", 0),
            ("${env:lower}", 0),
            ("${env:A__B}", 0),
            ("${env:A_}", 0),
        ] {
            assert_eq!(Template::parse(text).map_err(|e| e.at), Err(at), "{text}");
        }
    }
}
