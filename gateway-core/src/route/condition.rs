//! What a route asks of a request besides host and path.

use super::pattern::Host;
use super::{Head, Matcher};
use crate::client::Cidr;
use crate::http::{Headers, Scheme, cookies, list, parameters};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Conditions that must all hold; each list is met by any of its members.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Conditions {
    /// Methods; empty means any. `GET` takes `HEAD` too (RFC 9110 §9.3.2).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// Header fields.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<Named>,
    /// Query parameters.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub query: Vec<Named>,
    /// Cookies.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cookies: Vec<Named>,
    /// The client's scheme.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<Scheme>,
    /// The client's address.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<Cidr>,
    /// The client's country.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub countries: Vec<String>,
    /// The platform's data centre.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub data_centres: Vec<String>,
    /// A request that meets one of these whole sets does not match.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not: Vec<Exclusion>,
}

/// A set of conditions whose whole fulfilment excludes a request.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Exclusion {
    /// Hosts; empty means any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<Host>,
    /// Paths; empty means any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<Matcher>,
    /// The rest.
    #[serde(rename = "c")]
    pub conditions: Conditions,
}

/// What is asked of the value of a named header field, query parameter or cookie.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Named {
    /// The name; header names in lower case.
    #[serde(rename = "n")]
    pub name: String,
    /// What is asked.
    #[serde(rename = "t")]
    pub test: Test,
}

/// A test on a value. Where a name stands several times, one value that passes is enough.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Test {
    /// There is one.
    Present,
    /// There is none.
    Absent,
    /// It is one of these.
    Any(Vec<String>),
    /// It begins so.
    Prefix(String),
    /// A regular expression finds something in it.
    #[cfg(feature = "regex")]
    Regex(super::Regex),
}

/// The condition that a request does not meet, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unmet {
    /// A path parameter is not of its kind.
    Parameter(String, super::Kind),
    /// The path does not fit the regular expression.
    PathRegex(String),
    /// A header field.
    Header(String),
    /// A query parameter.
    Query(String),
    /// A cookie.
    Cookie(String),
    /// The scheme.
    Scheme(Scheme),
    /// The client's address.
    Address,
    /// The country.
    Country,
    /// The data centre.
    DataCentre,
    /// The set of exclusions at this place in the list is met.
    Excluded(usize),
    /// Only the method.
    Method(Vec<String>),
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unmet::Parameter(name, kind) => write!(f, "the parameter `{name}` is not of kind {kind}"),
            Unmet::PathRegex(regex) => write!(f, "the path does not fit `{regex}`"),
            Unmet::Header(name) => write!(f, "the condition on the header `{name}` is not met"),
            Unmet::Query(name) => write!(f, "the condition on the query parameter `{name}` is not met"),
            Unmet::Cookie(name) => write!(f, "the condition on the cookie `{name}` is not met"),
            Unmet::Scheme(scheme) => write!(f, "the scheme is not {scheme}"),
            Unmet::Address => f.write_str("the client's address is in none of the ranges"),
            Unmet::Country => f.write_str("the client's country is not listed"),
            Unmet::DataCentre => f.write_str("the data centre is not listed"),
            Unmet::Excluded(at) => write!(f, "`not[{at}]` excludes it"),
            Unmet::Method(methods) => write!(f, "the method is not {}", methods.join(" or ")),
        }
    }
}

impl Conditions {
    /// The first condition that the request does not meet. The method is looked at last, so that [`Unmet::Method`]
    /// means that everything else fits.
    pub fn unmet(&self, head: &Head<'_>) -> Option<Unmet> {
        for named in &self.headers {
            if !passes(&named.test, head.headers, &named.name) {
                return Some(Unmet::Header(named.name.clone()));
            }
        }
        if let Some(unmet) = self.unmet_query(head) {
            return Some(unmet);
        }
        for named in &self.cookies {
            if !named.test.passes(&mut cookies(head.headers, &named.name).into_iter().map(Into::into)) {
                return Some(Unmet::Cookie(named.name.clone()));
            }
        }
        if let Some(unmet) = self.unmet_origin(head) {
            return Some(unmet);
        }
        if let Some(at) = self.not.iter().position(|exclusion| exclusion.covers(head)) {
            return Some(Unmet::Excluded(at));
        }
        if self.takes(head.method) { None } else { Some(Unmet::Method(self.methods.clone())) }
    }

    /// What can be said of a request when only its preflight (Fetch §3.2.2) is there. The head is the preflight's, with the
    /// method that it announces. A browser announces the names of fields, never their values, and says nothing of cookies.
    pub fn foresee(&self, head: &Head<'_>) -> Foreseen {
        if self.unmet_query(head).is_some() || self.unmet_origin(head).is_some() || !self.takes(head.method) {
            return Foreseen::Never;
        }
        let mut certain = self.cookies.is_empty();
        for named in &self.headers {
            match (announced(head.headers, &named.name), &named.test) {
                (Announced::Yes, Test::Present) | (Announced::No, Test::Absent) => {}
                (Announced::Shown, test) if passes(test, head.headers, &named.name) => {}
                (Announced::Yes, Test::Absent) => return Foreseen::Never,
                (Announced::Shown | Announced::No, _) => return Foreseen::Never,
                (Announced::Yes | Announced::Unsaid, _) => certain = false,
            }
        }
        for exclusion in &self.not {
            match exclusion.foresee(head) {
                Foreseen::Never => {}
                Foreseen::Perhaps => certain = false,
                Foreseen::Certainly => return Foreseen::Never,
            }
        }
        if certain { Foreseen::Certainly } else { Foreseen::Perhaps }
    }

    fn unmet_query(&self, head: &Head<'_>) -> Option<Unmet> {
        let unmet = |named: &&Named| !named.test.passes(&mut parameters(head.query.unwrap_or_default(), &named.name));
        self.query.iter().find(unmet).map(|named| Unmet::Query(named.name.clone()))
    }

    /// Where the request comes from, and how.
    fn unmet_origin(&self, head: &Head<'_>) -> Option<Unmet> {
        if let Some(scheme) = self.scheme
            && scheme != head.client.scheme
        {
            return Some(Unmet::Scheme(scheme));
        }
        let address = head.client.address;
        if !self.addresses.is_empty()
            && !address.is_some_and(|address| self.addresses.iter().any(|range| range.contains(address)))
        {
            return Some(Unmet::Address);
        }
        if !listed(&self.countries, head.client.country.as_deref()) {
            return Some(Unmet::Country);
        }
        if !listed(&self.data_centres, head.client.data_centre.as_deref()) {
            return Some(Unmet::DataCentre);
        }
        None
    }

    /// How many conditions there are, for the order of routes.
    pub fn count(&self) -> usize {
        self.headers.len()
            + self.query.len()
            + self.cookies.len()
            + usize::from(self.scheme.is_some())
            + usize::from(!self.addresses.is_empty())
            + usize::from(!self.countries.is_empty())
            + usize::from(!self.data_centres.is_empty())
            + self.not.len()
    }

    /// Whether nothing is asked, the method included.
    pub fn is_empty(&self) -> bool {
        self.methods.is_empty() && self.count() == 0
    }

    /// The methods that it takes, with `HEAD` beside `GET`; empty: any.
    pub fn allowed(&self) -> Vec<String> {
        let mut methods = self.methods.clone();
        if !methods.is_empty() && self.takes("HEAD") && !methods.iter().any(|known| known == "HEAD") {
            methods.push("HEAD".to_owned());
        }
        methods
    }

    fn takes(&self, method: &str) -> bool {
        self.methods.is_empty()
            || self.methods.iter().any(|known| known == method || (known == "GET" && method == "HEAD"))
    }
}

/// What a preflight lets one say of the request that it announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreseen {
    /// It cannot meet the conditions.
    Never,
    /// It may, depending on what a preflight does not tell.
    Perhaps,
    /// It will.
    Certainly,
}

impl Exclusion {
    fn covers(&self, head: &Head<'_>) -> bool {
        self.is_about(head) && self.conditions.unmet(head).is_none()
    }

    fn foresee(&self, head: &Head<'_>) -> Foreseen {
        if self.is_about(head) { self.conditions.foresee(head) } else { Foreseen::Never }
    }

    fn is_about(&self, head: &Head<'_>) -> bool {
        (self.hosts.is_empty() || self.hosts.iter().any(|host| host.matches(head.host)))
            && (self.paths.is_empty() || self.paths.iter().any(|matcher| matcher.matches(head.path)))
    }
}

/// Whether a field passes a test.
fn passes(test: &Test, headers: &Headers, name: &str) -> bool {
    test.passes(&mut headers.all(name).map(|value| String::from_utf8_lossy(value)))
}

/// What a preflight says of a field.
enum Announced {
    Yes,
    No,
    /// It has it itself, as whoever stands before us adds it to the request as well.
    Shown,
    /// Browsers send it unannounced, or add it themselves.
    Unsaid,
}

fn announced(preflight: &Headers, name: &str) -> Announced {
    // Forbidden to scripts (Fetch §2.2.2), safelisted, or written by browsers: those of caches (§4.6), and of navigations.
    const UNSAID: [&str; 28] = [
        "accept",
        "accept-charset",
        "accept-encoding",
        "accept-language",
        "cache-control",
        "connection",
        "content-language",
        "content-length",
        "content-type",
        "cookie",
        "date",
        "dnt",
        "expect",
        "if-modified-since",
        "if-none-match",
        "keep-alive",
        "origin",
        "pragma",
        "priority",
        "range",
        "referer",
        "save-data",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "upgrade-insecure-requests",
        "user-agent",
    ];
    if list(preflight, "access-control-request-headers").any(|announced| announced.eq_ignore_ascii_case(name)) {
        Announced::Yes
    } else if UNSAID.contains(&name) || name.starts_with("sec-") {
        Announced::Unsaid
    } else if preflight.contains(name) {
        Announced::Shown
    } else if name == "via" || name.starts_with("proxy-") {
        Announced::Unsaid
    } else {
        Announced::No
    }
}

impl Test {
    fn passes<'a>(&self, values: &mut impl Iterator<Item = std::borrow::Cow<'a, str>>) -> bool {
        match self {
            Test::Present => values.next().is_some(),
            Test::Absent => values.next().is_none(),
            Test::Any(wanted) => values.any(|value| wanted.iter().any(|wanted| *wanted == value)),
            Test::Prefix(prefix) => values.any(|value| value.starts_with(prefix.as_str())),
            #[cfg(feature = "regex")]
            Test::Regex(regex) => values.any(|value| regex.is_match(&value)),
        }
    }
}

fn listed(wanted: &[String], found: Option<&str>) -> bool {
    wanted.is_empty() || found.is_some_and(|found| wanted.iter().any(|wanted| wanted.eq_ignore_ascii_case(found)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Client;
    use crate::http::Peer;
    use crate::route::Pattern;

    fn unmet(conditions: &Conditions, method: &str, target: &str, block: &str) -> Option<Unmet> {
        let headers = Headers::from_block(block.as_bytes().to_vec());
        let peer = Peer {
            address: Some([192, 0, 2, 7].into()),
            country: Some("DE".into()),
            data_centre: Some("FRA".into()),
            certificate: None,
        };
        let client = Client::resolve(peer, Scheme::Https, &headers, &[]);
        let target = crate::path::parse(target).expect("a target");
        let head = Head {
            method,
            host: "api.example.com",
            path: &target.path,
            query: target.query.as_deref(),
            headers: &headers,
            client: &client,
        };
        conditions.unmet(&head)
    }

    #[test]
    fn a_preflight_tells_names_but_no_values() {
        use Foreseen::{Certainly, Never, Perhaps};
        let header = |name, test| Conditions { headers: named(name, test), ..Conditions::default() };
        let exact = || Test::Any(vec!["1".into()]);
        let excluding = |conditions| Conditions {
            not: vec![Exclusion { conditions, ..Exclusion::default() }],
            ..Conditions::default()
        };
        const ASKS: &str = "origin\0https://a\naccess-control-request-headers\0content-type, X-A\n";
        for (conditions, block, foreseen) in [
            (Conditions::default(), "", Certainly),
            (Conditions { methods: vec!["PUT".into()], ..Conditions::default() }, "", Certainly),
            (Conditions { methods: vec!["POST".into()], ..Conditions::default() }, "", Never),
            (Conditions { query: named("q", Test::Present), ..Conditions::default() }, "", Never),
            (Conditions { cookies: named("c", Test::Present), ..Conditions::default() }, "", Perhaps),
            (header("x-a", Test::Present), ASKS, Certainly),
            (header("x-a", Test::Absent), ASKS, Never),
            (header("x-a", exact()), ASKS, Perhaps),
            (header("x-b", Test::Present), ASKS, Never),
            (header("x-b", Test::Absent), ASKS, Certainly),
            (header("x-b", exact()), ASKS, Never),
            (header("accept", exact()), ASKS, Perhaps),
            (header("sec-fetch-site", exact()), ASKS, Perhaps),
            (header("authorization", Test::Present), ASKS, Never),
            (header("if-none-match", Test::Present), ASKS, Perhaps),
            (header("cache-control", Test::Absent), "cache-control\0no-cache\n", Perhaps),
            (header("cookie", Test::Present), ASKS, Perhaps),
            (header("via", Test::Present), ASKS, Perhaps),
            (header("via", Test::Present), "via\x001.1 a\n", Certainly),
            (header("x-forwarded-proto", exact()), "x-forwarded-proto\x001\n", Certainly),
            (header("x-forwarded-proto", exact()), "x-forwarded-proto\x002\n", Never),
            (header("x-forwarded-proto", Test::Absent), "x-forwarded-proto\x002\n", Never),
            (header("x-forwarded-proto", exact()), ASKS, Never),
            (header("x-a", exact()), "access-control-request-headers\0x-a\nx-a\x002\n", Perhaps),
            (excluding(header("x-a", Test::Present)), ASKS, Never),
            (excluding(header("x-a", exact())), ASKS, Perhaps),
            (excluding(header("x-b", Test::Present)), ASKS, Certainly),
        ] {
            let headers = Headers::from_block(block.as_bytes().to_vec());
            let client = Client::resolve(Peer::default(), Scheme::Https, &headers, &[]);
            let head = Head { method: "PUT", host: "a", path: "/", query: None, headers: &headers, client: &client };
            assert_eq!(conditions.foresee(&head), foreseen, "{conditions:?} {block}");
        }
    }

    fn named(name: &str, test: Test) -> Vec<Named> {
        vec![Named { name: name.into(), test }]
    }

    #[test]
    fn each_condition_is_met_or_names_itself() {
        let any = |values: &[&str]| Test::Any(values.iter().map(|v| (*v).to_owned()).collect());
        let header = |test| Conditions { headers: named("x-a", test), ..Conditions::default() };
        let query = |test| Conditions { query: named("a b", test), ..Conditions::default() };
        let cookie = |test| Conditions { cookies: named("c", test), ..Conditions::default() };
        for (conditions, good, bad) in [
            (header(Test::Present), ("/", "x-a\0\n"), ("/", "x-b\x001\n")),
            (header(Test::Absent), ("/", "x-b\x001\n"), ("/", "x-a\x001\n")),
            (header(any(&["1", "2"])), ("/", "x-a\x003\nx-a\x002\n"), ("/", "x-a\x0022\n")),
            (header(Test::Prefix("v2".into())), ("/", "x-a\0v2.1\n"), ("/", "x-a\0v1\n")),
            (query(any(&["x y"])), ("/?a+b=x%20y", ""), ("/?a%20b=xy&a", "")),
            (query(Test::Present), ("/?a%20b", ""), ("/?ab", "")),
            (query(any(&["%+1%"])), ("/?a+b=%%2b1%", ""), ("/?a+b=%01%", "")),
            (cookie(any(&["1"])), ("/", "cookie\0b=2; c=\"1\"\n"), ("/", "cookie\0cc=1\n")),
        ] {
            assert_eq!(unmet(&conditions, "GET", good.0, good.1), None, "{conditions:?}");
            assert!(unmet(&conditions, "GET", bad.0, bad.1).is_some(), "{conditions:?}");
        }
    }

    #[test]
    fn get_takes_head_and_the_method_is_named_last() {
        let conditions =
            Conditions { methods: vec!["GET".into()], countries: vec!["FR".into()], ..Conditions::default() };
        assert_eq!(unmet(&conditions, "POST", "/", ""), Some(Unmet::Country));
        let conditions = Conditions { methods: vec!["GET".into()], ..Conditions::default() };
        assert_eq!(unmet(&conditions, "HEAD", "/", ""), None);
        assert_eq!(unmet(&conditions, "POST", "/", ""), Some(Unmet::Method(vec!["GET".into()])));
    }

    #[test]
    fn an_exclusion_excludes_what_meets_all_of_it() {
        let exclusion = Exclusion {
            paths: vec![Matcher::Path(Pattern::parse_prefix("/internal").expect("a prefix"))],
            conditions: Conditions { methods: vec!["DELETE".into()], ..Conditions::default() },
            ..Exclusion::default()
        };
        let conditions = Conditions { not: vec![exclusion], ..Conditions::default() };
        assert_eq!(unmet(&conditions, "DELETE", "/internal/x", ""), Some(Unmet::Excluded(0)));
        assert_eq!(unmet(&conditions, "GET", "/internal/x", ""), None);
        assert_eq!(unmet(&conditions, "DELETE", "/x", ""), None);
    }
}
