//! What a signature covers (RFC 9421 §2), one component each: read once, then asked for its value in a request.

use super::{Message, Refusal};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sfv::{BareItem, Dictionary, FieldType, Item, List, Parser, StringRef};

/// One covered component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Component {
    /// What is covered.
    pub name: Name,
    /// As it stands in the signature base: the name in quotes, then its parameters.
    identifier: String,
}

/// What is covered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    /// `@method`
    Method,
    /// `@target-uri`
    TargetUri,
    /// `@authority`
    Authority,
    /// `@scheme`
    Scheme,
    /// `@request-target`
    RequestTarget,
    /// `@path`
    Path,
    /// `@query`
    Query,
    /// `@query-param`, with the name in the spelling of the signature.
    QueryParameter(String),
    /// A header field, by its lower-case name.
    Field(String, Reading),
}

/// How a field's value is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// Its lines, with commas between.
    Plain,
    /// `sf`: the strict spelling of a structured field.
    Structured,
    /// `key`: one member of a dictionary.
    Member(String),
    /// `bs`: each line as bytes.
    Bytes,
}

impl Component {
    /// Reads a component as a signature names it.
    pub fn from_item(item: &Item) -> Result<Self, Refusal> {
        let BareItem::String(name) = &item.bare_item else { return Err(Refusal::Malformed) };
        let (mut structured, mut bytes, mut member, mut parameter) = (false, false, None, None);
        for (key, value) in &item.params {
            match (key.as_str(), value) {
                ("sf", BareItem::Boolean(true)) => structured = true,
                ("bs", BareItem::Boolean(true)) => bytes = true,
                ("key", BareItem::String(text)) => member = Some(text.as_str().to_owned()),
                ("name", BareItem::String(text)) => parameter = Some(text.as_str().to_owned()),
                // `req` has no meaning in a request (§2.4), trailers never come here (`tr`), and what is not known must
                // not be ignored (§2.5).
                _ => return Err(Refusal::Component),
            }
        }
        let reading = match (structured, bytes, member) {
            (false, false, None) => Reading::Plain,
            (_, false, Some(member)) => Reading::Member(member),
            (true, false, None) => Reading::Structured,
            (false, true, None) => Reading::Bytes,
            // §2.1.3: bytes have no structure.
            (true, true, _) | (false, true, Some(_)) => return Err(Refusal::Component),
        };
        let name = match (name.as_str(), parameter) {
            ("@query-param", Some(parameter)) if reading == Reading::Plain => Name::QueryParameter(parameter),
            (_, Some(_)) => return Err(Refusal::Component),
            (derived, None) if derived.starts_with('@') => {
                Name::derived(derived).filter(|_| reading == Reading::Plain).ok_or(Refusal::Component)?
            }
            // §2.1: names of fields are in lower case.
            (field, None) if crate::http::is_token(field) && !field.bytes().any(|b| b.is_ascii_uppercase()) => {
                Name::Field(field.to_owned(), reading)
            }
            (_, None) => return Err(Refusal::Component),
        };
        Ok(Self { name, identifier: item.serialize() })
    }

    /// Reads a component as users write it: `@method`, `x-tenant`, or with parameters `"@query-param";name="id"`.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let item = if text.starts_with('"') {
            Parser::new(text).parse::<Item>().map_err(|_| Refusal::Malformed)?
        } else {
            let name = StringRef::from_str(text).map_err(|_| Refusal::Malformed)?;
            Item::new(name.to_owned())
        };
        Self::from_item(&item)
    }

    /// As it stands in the signature base.
    pub fn identifier(&self) -> &str {
        &self.identifier
    }

    /// Its value in this request.
    pub fn value(&self, message: &Message<'_>) -> Result<Vec<u8>, Refusal> {
        let text = match &self.name {
            Name::Method => message.method.to_owned(),
            Name::TargetUri => format!("{}://{}{}", message.scheme, message.authority, message.target()),
            Name::Authority => message.authority.clone(),
            Name::Scheme => message.scheme.as_str().to_owned(),
            Name::RequestTarget => message.target(),
            Name::Path => message.path.to_owned(),
            // §2.2.7: without a query, the question mark alone.
            Name::Query => format!("?{}", message.query.unwrap_or_default()),
            Name::QueryParameter(name) => query_parameter(message.query.unwrap_or_default(), name)?,
            Name::Field(name, reading) => {
                let lines = message.field(name).ok_or(Refusal::Absent)?;
                return field(name, reading, &lines);
            }
        };
        Ok(text.into_bytes())
    }

    /// Whether what must be covered is covered by these. What contains another covers it too.
    pub fn is_covered_by(&self, components: &[Component]) -> bool {
        let has = |name: &Name| components.iter().any(|component| component.name == *name);
        let target = has(&Name::TargetUri) || has(&Name::RequestTarget);
        match &self.name {
            Name::Method | Name::QueryParameter(_) => has(&self.name),
            Name::TargetUri => {
                has(&Name::TargetUri)
                    || has(&Name::Authority) && (has(&Name::RequestTarget) || has(&Name::Path) && has(&Name::Query))
            }
            Name::Authority | Name::Scheme => has(&self.name) || has(&Name::TargetUri),
            Name::RequestTarget => target || has(&Name::Path) && has(&Name::Query),
            Name::Path | Name::Query => has(&self.name) || target,
            Name::Field(name, Reading::Plain) => components.iter().any(|component| match &component.name {
                Name::Field(other, Reading::Plain | Reading::Structured | Reading::Bytes) => other == name,
                _ => self.is_digest() && component.is_digest(),
            }),
            Name::Field(_, _) => has(&self.name),
        }
    }
}

impl Component {
    /// Whether it covers the digest of the body: all of it, or one that is checked.
    pub fn is_digest(&self) -> bool {
        match &self.name {
            Name::Field(name, Reading::Member(member)) => {
                name == "content-digest" && matches!(member.as_str(), "sha-256" | "sha-512")
            }
            Name::Field(name, Reading::Plain | Reading::Structured | Reading::Bytes) => name == "content-digest",
            _ => false,
        }
    }
}

impl TryFrom<String> for Component {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).map_err(|_| "this is no component that a signature of a request can cover")
    }
}

impl From<Component> for String {
    fn from(component: Component) -> String {
        component.identifier
    }
}

impl Name {
    fn derived(name: &str) -> Option<Self> {
        match name {
            "@method" => Some(Name::Method),
            "@target-uri" => Some(Name::TargetUri),
            "@authority" => Some(Name::Authority),
            "@scheme" => Some(Name::Scheme),
            "@request-target" => Some(Name::RequestTarget),
            "@path" => Some(Name::Path),
            "@query" => Some(Name::Query),
            // `@status` is for responses, `@signature-params` for the signature itself (§2.3).
            _ => None,
        }
    }
}

fn field(name: &str, reading: &Reading, lines: &[&[u8]]) -> Result<Vec<u8>, Refusal> {
    let joined = || lines.join(&b", "[..]);
    match reading {
        Reading::Plain => Ok(joined()),
        Reading::Bytes => {
            let lines: Vec<_> = lines.iter().map(|line| format!(":{}:", STANDARD.encode(line))).collect();
            Ok(lines.join(", ").into_bytes())
        }
        Reading::Member(key) => {
            let members: Dictionary = Parser::new(&joined()).parse().map_err(|_| Refusal::Component)?;
            let member = members.get(key.as_str()).ok_or(Refusal::Absent)?;
            Ok(vec![member.clone()].serialize().unwrap_or_default().into_bytes())
        }
        Reading::Structured => {
            let joined = joined();
            let parser = Parser::new(&joined);
            // A list or a dictionary of nothing has no text.
            let strict = match kind(name).ok_or(Refusal::Component)? {
                Kind::Item => parser.parse::<Item>().map(|item| item.serialize()),
                Kind::List => parser.parse::<List>().map(|list| list.serialize().unwrap_or_default()),
                Kind::Dictionary => parser.parse::<Dictionary>().map(|all| all.serialize().unwrap_or_default()),
            };
            strict.map(String::into_bytes).map_err(|_| Refusal::Component)
        }
    }
}

/// The type of a structured field.
enum Kind {
    Item,
    List,
    Dictionary,
}

/// The types of fields that are structured, by their RFCs: without its type, nobody knows a field's strict spelling
/// (RFC 9421 §2.1.1). For others there are the plain reading and `bs`.
fn kind(name: &str) -> Option<Kind> {
    match name {
        "client-cert" | "idempotency-key" => Some(Kind::Item),
        "cache-status" | "proxy-status" | "client-cert-chain" | "accept-ch" | "sec-ch-ua" => Some(Kind::List),
        "content-digest"
        | "repr-digest"
        | "want-content-digest"
        | "want-repr-digest"
        | "signature"
        | "signature-input"
        | "accept-signature"
        | "priority"
        | "cdn-cache-control" => Some(Kind::Dictionary),
        _ => None,
    }
}

/// RFC 9421 §2.2.8: decoded as a form's, then encoded in the one way that the signature's name is. A name that comes twice is
/// nobody's to sign.
fn query_parameter(query: &str, name: &str) -> Result<String, Refusal> {
    let mut values = query.split('&').filter(|pair| !pair.is_empty()).filter_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (recoded(key) == name).then(|| recoded(value))
    });
    match (values.next(), values.next()) {
        // What is not UTF-8 is decoded to the same character, whatever it was, so it would not be what is signed.
        (Some(value), None) if value.contains("%EF%BF%BD") => Err(Refusal::Component),
        (Some(value), None) => Ok(value),
        (None | Some(_), _) => Err(Refusal::Absent),
    }
}

/// The application/x-www-form-urlencoded percent-encode set of the URL standard, with spaces as `%20`.
fn recoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in crate::http::decode(text).bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'*' | b'-' | b'.' | b'_') {
            out.push(char::from(byte));
        } else {
            crate::path::encode(byte, &mut out);
        }
    }
    out
}
