//! Text with holes: `/v2/{id}`, `https://{request.host}/`, `Bearer ${secret:TOKEN}`.
//!
//! A template is parsed when the configuration is compiled, where every name in it is checked, so rendering cannot fail.

use crate::caller::Caller;
use crate::client::Client;
use crate::http::Certificate;
use crate::request::Line;
use crate::route::Parameters;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt::{self, Write};

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
}

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
}

impl Variable {
    /// Whether it says something of the client's certificate.
    pub fn is_of_certificate(self) -> bool {
        use Variable::{CertificateFingerprint, CertificateIssuer, CertificateSerial, CertificateSubject};
        matches!(self, CertificateSubject | CertificateIssuer | CertificateFingerprint | CertificateSerial)
    }

    /// Every variable with the name by which templates call it.
    pub const ALL: [(&'static str, Variable); 18] = [
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
            let Some(close) = rest.find('}') else {
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
            let piece = if open == 2 { reference(name) } else { parameter(name) };
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
        self.0.iter().filter_map(|piece| match piece {
            Piece::Reference(reference) => Some(reference),
            Piece::Text(_) | Piece::Parameter(_) | Piece::Variable(_) => None,
        })
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
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Parameter(name) => out.push_str(scope.parameters.get(name).unwrap_or_default()),
                Piece::Variable(variable) => scope.write(*variable, &mut out),
                Piece::Reference(reference) => {
                    out.push_str(scope.settings.get(reference).map_or("", String::as_str));
                }
            }
        }
        out
    }

    /// The text of a template that holds only references, as in a target's URL.
    pub fn resolve(&self, settings: &Settings) -> String {
        self.0
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.as_str(),
                Piece::Reference(reference) => settings.get(reference).map_or("", String::as_str),
                Piece::Parameter(_) | Piece::Variable(_) => "",
            })
            .collect()
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => f.write_str(&text.replace('{', "{{").replace('}', "}}"))?,
                Piece::Parameter(name) => write!(f, "{{{name}}}")?,
                Piece::Variable(variable) => write!(f, "{{{}}}", variable.name())?,
                Piece::Reference(reference) => reference.fmt(f)?,
            }
        }
        Ok(())
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

impl Scope<'_> {
    fn certificate(&self, part: impl FnOnce(&Certificate) -> &String) -> &str {
        self.client.certificate.as_ref().map_or("", |certificate| part(certificate))
    }

    fn write(&self, variable: Variable, out: &mut String) {
        match variable {
            Variable::Method => out.push_str(&self.line.method),
            Variable::Scheme => out.push_str(self.client.scheme.as_str()),
            Variable::Host => out.push_str(&self.line.host),
            Variable::Path => out.push_str(&self.line.path),
            Variable::Query => out.push_str(self.line.query.as_deref().unwrap_or_default()),
            Variable::Address => {
                if let Some(address) = self.client.address {
                    let _ = write!(out, "{address}"); // A String takes whatever is written.
                }
            }
            Variable::Country => out.push_str(self.client.country.as_deref().unwrap_or_default()),
            Variable::CertificateSubject => out.push_str(self.certificate(|certificate| &certificate.subject)),
            Variable::CertificateIssuer => out.push_str(self.certificate(|certificate| &certificate.issuer)),
            Variable::CertificateFingerprint => out.push_str(self.certificate(|certificate| &certificate.fingerprint)),
            Variable::CertificateSerial => out.push_str(self.certificate(|certificate| &certificate.serial)),
            Variable::Route => out.push_str(self.route),
            Variable::Consumer => out.push_str(self.caller.name().unwrap_or_default()),
            Variable::Groups => out.push_str(&self.caller.groups().join(",")),
            Variable::Credential => out.push_str(self.caller.credential.as_deref().unwrap_or_default()),
            Variable::Subject => out.push_str(self.caller.subject.as_deref().unwrap_or_default()),
            Variable::Issuer => out.push_str(self.caller.issuer.as_deref().unwrap_or_default()),
            Variable::Scopes => out.push_str(&self.caller.scopes.join(" ")),
        }
    }
}

fn parameter(name: &str) -> Result<Piece, String> {
    if let Some((_, variable)) = Variable::ALL.iter().find(|(known, _)| *known == name) {
        return Ok(Piece::Variable(*variable));
    }
    if name.contains('.') {
        let known: Vec<_> = Variable::ALL.iter().map(|(known, _)| format!("`{{{known}}}`")).collect();
        return Err(format!("there is no `{{{name}}}`; templates know {}", known.join(", ")));
    }
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err(format!(
            "`{{{name}}}` is not a parameter's name: letters, digits and `_`; write `{{{{` for a brace"
        ));
    }
    Ok(Piece::Parameter(name.to_owned()))
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
    fn what_is_no_template_says_where() {
        for (text, at) in [
            ("a{", 1),
            ("a}b", 1),
            ("{}", 0),
            ("x{a b}", 1),
            ("{request.hots}", 0),
            ("${x}", 0),
            ("${env:lower}", 0),
            ("${env:A__B}", 0),
            ("${env:A_}", 0),
        ] {
            assert_eq!(Template::parse(text).map_err(|e| e.at), Err(at), "{text}");
        }
    }
}
