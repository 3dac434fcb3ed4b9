//! What can be said of a request, by the names of OpenTelemetry's semantic conventions where those have one.

use super::watch::{Outcome, Record};
use super::{METHODS, hex};
use crate::http::decode;
use crate::template::Template;
use serde::{Deserialize, Serialize};

/// The version of the schema that lines name: `docs/access-log.schema.json`.
pub const SCHEMA: &str = "postern.access/1";

/// Something that can be said of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// When it came (RFC 3339, UTC).
    Timestamp,
    /// Identifies it.
    RequestId,
    /// Identifies its trace.
    TraceId,
    /// Identifies its span.
    SpanId,
    /// The method; `_OTHER` where it is none of the known ones.
    Method,
    /// The method as received, where it is none of the known ones.
    OriginalMethod,
    /// `http` or `https`.
    Scheme,
    /// The normalised path.
    Path,
    /// The query, with values only of the parameters that the configuration names.
    Query,
    /// The host that was asked for.
    ServerAddress,
    /// The port, where the client wrote one.
    ServerPort,
    /// The client's address.
    ClientAddress,
    /// The address of the connection's other end.
    PeerAddress,
    /// The client's country.
    Country,
    /// The platform's data centre.
    DataCentre,
    /// `User-Agent`
    UserAgent,
    /// The declared length of the request's body.
    RequestSize,
    /// The declared length of the response's body.
    ResponseSize,
    /// The name of the route.
    Route,
    /// The name of a GraphQL operation.
    GraphqlName,
    /// What it does: `query`, `mutation` or `subscription`.
    GraphqlType,
    /// The status.
    Status,
    /// Until the answer's head was ready, in seconds.
    Duration,
    /// What went wrong: the problem, or the status of a failed upstream.
    ErrorType,
    /// Who called.
    Consumer,
    /// What of the credential may be shown.
    Credential,
    /// The problem's code.
    Problem,
    /// The policy that answered or refused.
    Policy,
    /// The upstream.
    Upstream,
    /// Every attempt to reach it.
    Attempts,
    /// What limits said.
    Limits,
    /// What a cache did.
    Cache,
    /// What was asked of the platform.
    Costs,
    /// The route that makes the request, where the gateway makes it itself.
    MadeBy,
}

impl Field {
    /// Every field with its name, in the order of a line, and whether it is there where nobody chooses.
    pub const ALL: [(&'static str, Field, bool); 34] = [
        ("timestamp", Field::Timestamp, true),
        ("postern.request_id", Field::RequestId, true),
        ("trace_id", Field::TraceId, true),
        ("span_id", Field::SpanId, true),
        ("http.request.method", Field::Method, true),
        ("http.request.method_original", Field::OriginalMethod, true),
        ("url.scheme", Field::Scheme, true),
        ("server.address", Field::ServerAddress, true),
        ("server.port", Field::ServerPort, true),
        ("url.path", Field::Path, true),
        ("url.query", Field::Query, true),
        ("http.route", Field::Route, true),
        ("graphql.operation.name", Field::GraphqlName, true),
        ("graphql.operation.type", Field::GraphqlType, true),
        ("http.response.status_code", Field::Status, true),
        ("http.server.request.duration", Field::Duration, true),
        ("error.type", Field::ErrorType, true),
        ("client.address", Field::ClientAddress, true),
        ("network.peer.address", Field::PeerAddress, false),
        ("geo.country.iso_code", Field::Country, true),
        ("postern.data_centre", Field::DataCentre, true),
        ("user_agent.original", Field::UserAgent, true),
        ("http.request.body.size", Field::RequestSize, true),
        ("http.response.body.size", Field::ResponseSize, false),
        ("postern.consumer", Field::Consumer, true),
        ("postern.credential", Field::Credential, false),
        ("postern.problem", Field::Problem, true),
        ("postern.policy", Field::Policy, true),
        ("postern.upstream", Field::Upstream, true),
        ("postern.attempts", Field::Attempts, true),
        ("postern.limits", Field::Limits, true),
        ("postern.cache.status", Field::Cache, true),
        ("postern.costs", Field::Costs, false),
        ("postern.made_by", Field::MadeBy, true),
    ];

    /// The name.
    pub fn name(self) -> &'static str {
        Field::ALL.iter().find(|(_, field, _)| *field == self).map_or("", |(name, ..)| name)
    }
}

/// Some of the fields: a bit for each, by its place in [`Field::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fields(u64);

impl Default for Fields {
    fn default() -> Self {
        let bits = Field::ALL.iter().enumerate().filter(|(_, (_, _, default))| *default).map(|(place, _)| 1 << place);
        Self(bits.sum())
    }
}

impl Fields {
    /// None of them.
    pub const fn none() -> Self {
        Self(0)
    }

    /// One more, by its name.
    pub fn add(&mut self, name: &str) {
        let place = Field::ALL.iter().position(|(known, ..)| *known == name);
        self.0 |= place.map_or(0, |place| 1 << place);
    }

    /// One less, by its name.
    pub fn remove(&mut self, name: &str) {
        let place = Field::ALL.iter().position(|(known, ..)| *known == name);
        self.0 &= !place.map_or(0, |place| 1 << place);
    }

    /// All but these.
    pub fn without(self, others: &[Field]) -> Self {
        let places = Field::ALL.iter().enumerate().filter(|(_, (_, field, _))| others.contains(field));
        Self(self.0 & !places.map(|(place, _)| 1 << place).sum::<u64>())
    }

    /// Whether it is one of them.
    pub fn has(self, field: Field) -> bool {
        let place = Field::ALL.iter().position(|(_, known, _)| *known == field).unwrap_or(63);
        self.0 >> place & 1 == 1
    }
}

/// A value that is said.
#[derive(Debug, Clone, PartialEq)]
pub enum Said<'a> {
    /// A text.
    Text(&'a str),
    /// The same, made for this.
    Made(String),
    /// A whole number.
    Number(u64),
    /// Milliseconds, which are said in seconds.
    Seconds(u64),
    /// Several values.
    List(Vec<Said<'a>>),
    /// Values by name.
    Map(Vec<(&'static str, Said<'a>)>),
}

impl Said<'_> {
    /// The same, of each text only so many bytes, and of each list only so many items: what shows that it was longer ends in `…`.
    #[cfg(feature = "admin")]
    pub fn cut(self, bytes: usize, items: usize) -> Self {
        let short = |text: &str| Said::Made(format!("{}…", &text[..text.floor_char_boundary(bytes)]));
        match self {
            Said::Text(text) if text.len() > bytes => short(text),
            Said::Made(text) if text.len() > bytes => short(&text),
            Said::List(said) => Said::List(said.into_iter().take(items).map(|said| said.cut(bytes, items)).collect()),
            Said::Map(said) => Said::Map(said.into_iter().map(|(name, said)| (name, said.cut(bytes, items))).collect()),
            Said::Text(_) | Said::Made(_) | Said::Number(_) | Said::Seconds(_) => self,
        }
    }
}

/// What of the configuration decides what is said.
#[derive(Debug, Clone, Copy)]
pub struct Choice<'a> {
    /// The fields.
    pub fields: Fields,
    /// The names of request fields.
    pub request_headers: &'a [String],
    /// The names of response fields.
    pub response_headers: &'a [String],
    /// The parameters whose values are shown.
    pub query: &'a [String],
    /// What else is said, by name.
    pub attributes: &'a [(String, Template)],
}

/// Says all that is chosen and known of a request, in the order of a line.
pub fn describe<'r>(record: &'r Record, choice: Choice<'_>, mut say: impl FnMut(&str, Said<'r>)) {
    for (place, (name, field, _)) in Field::ALL.iter().enumerate() {
        if choice.fields.0 >> place & 1 == 1
            && let Some(said) = value(record, *field, choice.query)
        {
            say(name, said);
        }
    }
    for (kind, names, values) in [
        ("request", choice.request_headers, &record.request_headers),
        ("response", choice.response_headers, &record.response_headers),
    ] {
        for (place, value) in values {
            if let Some(name) = names.get(*place) {
                say(&format!("http.{kind}.header.{name}"), Said::List(vec![Said::Text(value)]));
            }
        }
    }
    for (place, value) in &record.attributes {
        if let Some((name, _)) = choice.attributes.get(*place) {
            say(name, Said::Text(value));
        }
    }
}

fn value<'r>(record: &'r Record, field: Field, shown: &[String]) -> Option<Said<'r>> {
    let text = |text: &'r Option<String>| text.as_deref().map(Said::Text);
    let address =
        |address: Option<std::net::IpAddr>| address.map(|address| Said::Made(address.to_canonical().to_string()));
    Some(match field {
        Field::Timestamp => Said::Made(super::moment::rfc3339(record.began)),
        Field::RequestId => Said::Text(&record.request_id),
        Field::TraceId => Said::Made(hex(record.trace.as_ref()?.context.trace, 32)),
        Field::SpanId => Said::Made(hex(record.trace.as_ref()?.context.span.into(), 16)),
        Field::Method => Said::Text(method(&record.method)),
        Field::OriginalMethod => {
            if method(&record.method) == record.method {
                return None;
            }
            Said::Text(&record.method)
        }
        Field::Scheme => Said::Text(record.scheme.as_str()),
        Field::Path => text(&record.path)?,
        Field::Query => Said::Made(redacted(record.query.as_deref()?, shown)),
        Field::ServerAddress => Said::Text(split(&record.authority).0),
        Field::ServerPort => Said::Number(split(&record.authority).1?.into()),
        Field::ClientAddress => address(record.client)?,
        Field::PeerAddress => address(record.peer)?,
        Field::Country => text(&record.country)?,
        Field::DataCentre => text(&record.data_centre)?,
        Field::UserAgent => text(&record.user_agent)?,
        Field::RequestSize => Said::Number(record.request_size?),
        Field::ResponseSize => Said::Number(record.response_size?),
        Field::Route => text(&record.route)?,
        #[cfg(feature = "graphql")]
        Field::GraphqlName => {
            let (name, _) = record.operation.as_ref().filter(|(name, _)| !name.is_empty())?;
            Said::Text(name)
        }
        #[cfg(feature = "graphql")]
        Field::GraphqlType => Said::Text(record.operation.as_ref()?.1.as_str()),
        #[cfg(not(feature = "graphql"))]
        Field::GraphqlName | Field::GraphqlType => return None,
        Field::Status => Said::Number(record.status.into()),
        Field::Duration => Said::Seconds(record.took()),
        Field::ErrorType => match record.problem {
            Some(problem) if record.failed() => Said::Text(problem),
            None if record.failed() => Said::Made(record.status.to_string()),
            Some(_) | None => return None,
        },
        Field::Consumer => text(&record.consumer)?,
        Field::Credential => text(&record.credential)?,
        Field::Problem => Said::Text(record.problem?),
        Field::Policy => Said::Text(record.decided_by?),
        Field::Upstream => Said::Text(record.upstream()?),
        Field::Attempts => {
            let attempts = record.attempts().map(|(called, took, upstream)| {
                let (host, port) = split(&called.authority);
                let mut facts = vec![("server.address", Said::Text(host))];
                facts.extend(port.map(|port| ("server.port", Said::Number(port.into()))));
                facts.push(("postern.upstream", Said::Text(upstream)));
                if let Outcome::Status(status) = called.outcome {
                    facts.push(("http.response.status_code", Said::Number(status.into())));
                }
                facts.extend(called.outcome.error().map(|error| ("error.type", Said::Text(error))));
                facts.push(("http.client.request.duration", Said::Seconds(took)));
                Said::Map(facts)
            });
            let attempts: Vec<Said<'r>> = attempts.collect();
            if attempts.is_empty() {
                return None;
            }
            Said::List(attempts)
        }
        Field::Limits => {
            let limits = record.limits.iter().map(|(name, outcome)| {
                Said::Map(vec![("name", Said::Text(name)), ("outcome", Said::Text(outcome.as_str()))])
            });
            if record.limits.is_empty() {
                return None;
            }
            Said::List(limits.collect())
        }
        Field::Cache => Said::Text(record.cache?),
        Field::MadeBy => text(&record.made_by)?,
        Field::Costs => {
            let costs = record.costs;
            Said::Map(vec![
                ("subrequests", Said::Number(costs.subrequests.into())),
                ("store_reads", Said::Number(costs.store_reads.into())),
                ("object_calls", Said::Number(costs.object_calls.into())),
            ])
        }
    })
}

/// The method as metrics and logs tell it: one of the known ones, so that nobody can make up new ones.
pub fn method(method: &str) -> &'static str {
    METHODS.iter().find(|known| **known == method).copied().unwrap_or("_OTHER")
}

/// A query without the values of parameters that nobody has said are harmless. Names stay: they say what was asked.
pub fn redacted(query: &str, shown: &[String]) -> String {
    let mut out = String::with_capacity(query.len());
    for pair in query.split('&') {
        if !out.is_empty() {
            out.push('&');
        }
        // What has no name may be a token as a whole; so may what is alone and ends in what Base64 is filled up with.
        let is_alone = pair.len() == query.len();
        let named = pair.split_once('=').filter(|(name, value)| {
            !is_alone || value.bytes().any(|b| b != b'=') || shown.iter().any(|shown| *shown == decode(name))
        });
        let Some((name, value)) = named else {
            out.push_str(if pair.is_empty() { "" } else { REDACTED });
            continue;
        };
        out.push_str(name);
        out.push('=');
        out.push_str(if shown.iter().any(|shown| *shown == decode(name)) { value } else { REDACTED });
    }
    out
}

/// What stands in the place of what is not shown.
pub const REDACTED: &str = "REDACTED";

/// Host and port.
pub fn split(authority: &str) -> (&str, Option<u16>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && !port.is_empty() && !port.contains(']') => match port.parse() {
            Ok(port) => (host, Some(port)),
            Err(_) => (authority, None),
        },
        _ => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_a_query_are_shown_only_where_somebody_has_said_so() {
        let shown = ["page".to_owned(), "a b".to_owned()];
        for (query, expected) in [
            ("page=2&token=abc", "page=2&token=REDACTED"),
            ("PAGE=2", "PAGE=REDACTED"),
            ("a%20b=1&a+b=2", "a%20b=1&a+b=2"),
            ("eyJhbGciOi", "REDACTED"),
            ("x=1=2&&y=", "x=REDACTED&&y=REDACTED"),
            ("c2VjcmV0LXRva2Vu==", "REDACTED"),
            ("c2VjcmV0LXRva2Vu=", "REDACTED"),
            ("c2VjcmV0LXRva2Vu=&a=", "c2VjcmV0LXRva2Vu=REDACTED&a=REDACTED"),
            ("page=", "page="),
            ("", ""),
        ] {
            assert_eq!(redacted(query, &shown), expected, "{query}");
        }
    }

    #[test]
    fn authorities_are_split() {
        for (authority, host, port) in [
            ("a.example", "a.example", None),
            ("a.example:8080", "a.example", Some(8080)),
            ("[::1]", "[::1]", None),
            ("[::1]:80", "[::1]", Some(80)),
            ("a:99999", "a:99999", None),
            ("", "", None),
        ] {
            assert_eq!(split(authority), (host, port), "{authority}");
        }
    }

    #[test]
    fn fields_are_chosen_by_name() {
        let mut fields = Fields::none();
        fields.add("http.route");
        fields.add("http.nothing");
        assert!(fields.has(Field::Route) && !fields.has(Field::Path));
        fields.remove("http.route");
        assert_eq!(fields, Fields::none());
        assert!(Fields::default().has(Field::Path) && !Fields::default().has(Field::Costs));
        assert_eq!(Field::Upstream.name(), "postern.upstream");
    }
}
