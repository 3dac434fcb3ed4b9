//! From a request to a route.
//!
//! A route is found in two steps: the frozen [`index`] gives the candidates whose host and path patterns fit, in order
//! of preference, and the first of them whose [`condition`]s hold is taken. The order is total; it is fixed when the
//! configuration is compiled, so that a candidate's number is its rank: `priority` (higher first), then the most
//! specific host, path, a method given before none, more conditions before fewer, and last the place in the file.

pub mod condition;
pub mod index;
pub mod pattern;
pub mod rank;
mod records;

pub use condition::{Conditions, Exclusion, Foreseen, Named, Test, Unmet};
pub use pattern::{Host, Kind, Pattern};
pub use records::Records;

use crate::client::Client;
use crate::http::Headers;
use crate::record;
use bytes::Bytes;
use index::{Index, Reach};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;

/// Every route, most of them still asleep: a route's record is decoded when it is first considered, and kept.
#[derive(Debug)]
pub struct Routes<T> {
    index: Bytes,
    records: Records,
    awake: RefCell<HashMap<u32, Rc<Route<T>>, BuildHasherDefault<Spread>>>,
}

/// A route, and what is to be done with its requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Route<T> {
    /// Its name, unique in the configuration.
    #[serde(rename = "n")]
    pub name: String,
    /// How paths match it; a candidate names one of these.
    #[serde(rename = "m")]
    pub paths: Vec<Matcher>,
    /// What it asks besides host and path.
    #[serde(rename = "c", default, skip_serializing_if = "Conditions::is_empty")]
    pub conditions: Conditions,
    /// What is to be done.
    #[serde(rename = "d")]
    pub then: T,
}

/// One way in which a path matches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Matcher {
    /// A pattern by segments.
    #[serde(rename = "p")]
    Path(Pattern),
    /// A regular expression over the whole normalised path; its named groups are parameters.
    #[cfg(feature = "regex")]
    #[serde(rename = "r")]
    Regex(Regex),
}

impl Matcher {
    /// Whether a normalised path is one that this describes.
    pub fn matches(&self, path: &str) -> bool {
        match self {
            Matcher::Path(pattern) => pattern.matches(path),
            #[cfg(feature = "regex")]
            Matcher::Regex(regex) => regex.is_match(path),
        }
    }
}

/// What routes look at.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// The method's token.
    pub method: &'a str,
    /// Lower case, without port.
    pub host: &'a str,
    /// Normalised.
    pub path: &'a str,
    /// Without `?`.
    pub query: Option<&'a str>,
    /// As received.
    pub headers: &'a Headers,
    /// Who sent it.
    pub client: &'a Client,
}

/// What became of the search.
#[derive(Debug)]
pub enum Found<T> {
    /// This route takes the request.
    Route(Matched<T>),
    /// Routes fit but for the method: the methods they take, in order of preference, `OPTIONS` added.
    MethodNotAllowed(Vec<String>),
    /// No route fits.
    NoRoute,
    /// No route is for this host.
    UnknownHost,
}

/// A route that took a request, by one of its paths.
#[derive(Debug, Clone)]
pub struct Matched<T> {
    /// The route.
    pub route: Rc<Route<T>>,
    /// The place in [`Route::paths`].
    pub by: usize,
}

/// A candidate, and what is wrong with it if anything.
#[derive(Debug)]
pub struct Considered<T> {
    /// The rank, 0 being the best in the configuration.
    pub rank: u32,
    /// The candidate.
    pub candidate: Matched<T>,
    /// The first condition that the request does not meet.
    pub unmet: Option<Unmet>,
}

impl<T: DeserializeOwned> Routes<T> {
    /// Takes the frozen index and the records as [`Records::freeze`] made them.
    pub fn new(index: Bytes, records: Bytes) -> Self {
        Self { index, records: Records(records), awake: RefCell::default() }
    }

    /// The best route whose conditions all hold.
    pub fn find(&self, head: &Head<'_>) -> Found<T> {
        let (reach, candidates) = self.reach(head);
        let mut allow: Vec<String> = Vec::new();
        for considered in candidates {
            match considered.unmet {
                None => return Found::Route(considered.candidate),
                Some(Unmet::Method(methods)) => {
                    for method in methods {
                        let also_head = (method == "GET").then(|| "HEAD".to_owned());
                        for method in [Some(method), also_head].into_iter().flatten() {
                            if !allow.contains(&method) {
                                allow.push(method);
                            }
                        }
                    }
                }
                Some(_) => {}
            }
        }
        match reach {
            _ if !allow.is_empty() => {
                if !allow.iter().any(|method| method == "OPTIONS") {
                    allow.push("OPTIONS".to_owned());
                }
                Found::MethodNotAllowed(allow)
            }
            Reach::Host => Found::NoRoute,
            Reach::Nothing => Found::UnknownHost,
        }
    }

    /// Every candidate for this host and path, best first, and why it does not match. This is what [`Routes::find`]
    /// goes by, told in full.
    pub fn consider(&self, head: &Head<'_>) -> Vec<Considered<T>> {
        self.reach(head).1.collect()
    }

    /// The routes that may take the request which a preflight announces, best first: up to the first that certainly will.
    /// The head is the preflight's, with the method that it announces.
    pub fn foresee(&self, head: &Head<'_>) -> Vec<Rc<Route<T>>> {
        let mut routes = Vec::new();
        for considered in self.reach(head).1 {
            if matches!(considered.unmet, Some(Unmet::Parameter(..) | Unmet::PathRegex(_))) {
                continue;
            }
            let route = considered.candidate.route;
            match route.conditions.foresee(head) {
                Foreseen::Never => {}
                Foreseen::Perhaps => routes.push(route),
                Foreseen::Certainly => {
                    routes.push(route);
                    break;
                }
            }
        }
        routes
    }

    /// How many candidates there are in all: a route counts once for each pair of a host and a path.
    pub fn len(&self) -> usize {
        Index(&self.index).len() as usize
    }

    /// Whether there are no routes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every route with the best of its ranks, best first. None of them is kept in memory for it.
    pub fn all(&self) -> impl Iterator<Item = (u32, Rc<Route<T>>)> + '_ {
        let mut seen = std::collections::HashSet::new();
        let ranks = 0..Index(&self.index).len();
        let records = ranks.filter_map(move |rank| Some((rank, Index(&self.index).candidate(rank)?.0)));
        records
            .filter(move |(_, record)| seen.insert(*record))
            .filter_map(|(rank, record)| Some((rank, self.look(record)?)))
    }

    fn look(&self, record: u32) -> Option<Rc<Route<T>>> {
        let awake = self.awake.borrow().get(&record).cloned();
        awake.or_else(|| Some(Rc::new(record::read(&self.records.get(record)?).ok()?)))
    }

    fn reach<'a>(&'a self, head: &'a Head<'a>) -> (Reach, impl Iterator<Item = Considered<T>> + 'a) {
        let mut ranks = Vec::with_capacity(8);
        let reach = Index(&self.index).find(head.host, head.path, &mut ranks);
        let considered = ranks.into_iter().filter_map(move |rank| {
            let (record, by) = Index(&self.index).candidate(rank)?;
            let candidate = Matched { route: self.wake(record)?, by: by as usize };
            let unmet = candidate.route.unmet(candidate.by, head)?;
            Some(Considered { rank, candidate, unmet: unmet.err() })
        });
        (reach, considered)
    }

    fn wake(&self, record: u32) -> Option<Rc<Route<T>>> {
        if let Some(route) = self.awake.borrow().get(&record) {
            return Some(route.clone());
        }
        let route = self.look(record)?;
        self.awake.borrow_mut().insert(record, route.clone());
        Some(route)
    }
}

impl<T> Route<T> {
    /// `None` where there is no such path in the route, else whether all of its conditions hold.
    fn unmet(&self, by: usize, head: &Head<'_>) -> Option<Result<(), Unmet>> {
        match self.paths.get(by)? {
            Matcher::Path(pattern) => {
                if let Some((name, kind)) = pattern.misfit(head.path) {
                    return Some(Err(Unmet::Parameter(name.to_owned(), kind)));
                }
            }
            #[cfg(feature = "regex")]
            Matcher::Regex(regex) => {
                if !regex.is_match(head.path) {
                    return Some(Err(Unmet::PathRegex(regex.to_string())));
                }
            }
        }
        Some(self.conditions.unmet(head).map_or(Ok(()), Err))
    }
}

impl<T> Matched<T> {
    /// Where no route takes a request: one without a name.
    pub fn nowhere(then: T) -> Self {
        let (name, paths, conditions) = (String::new(), Vec::new(), Conditions::default());
        Self { route: Rc::new(Route { name, paths, conditions, then }), by: 0 }
    }

    /// The path parameters.
    pub fn parameters<'a>(&'a self, path: &'a str) -> Parameters<'a> {
        Parameters { matcher: self.route.paths.get(self.by), path }
    }

    /// How the path matched.
    pub fn matcher(&self) -> Option<&Matcher> {
        self.route.paths.get(self.by)
    }
}

/// Hashes the numbers of records, which nobody outside chooses.
#[derive(Debug, Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn write_u32(&mut self, number: u32) {
        // The table looks at the highest bits and at the lowest.
        let product = u64::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = product ^ (product >> 32);
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u32(self.0 as u32 ^ u32::from(byte)));
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The path parameters of a match, as they stand in the normalised path (percent-encoded).
#[derive(Debug, Clone, Copy, Default)]
pub struct Parameters<'a> {
    matcher: Option<&'a Matcher>,
    path: &'a str,
}

impl<'a> Parameters<'a> {
    /// One parameter's text.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        match self.matcher? {
            Matcher::Path(pattern) => pattern.parameter(name, self.path),
            #[cfg(feature = "regex")]
            Matcher::Regex(regex) => regex.group(name, self.path),
        }
    }

    /// Every parameter, in order.
    pub fn iter(&self) -> Vec<(&'a str, &'a str)> {
        let names: Vec<&'a str> = match self.matcher {
            None => Vec::new(),
            Some(Matcher::Path(pattern)) => pattern.parameters().collect(),
            #[cfg(feature = "regex")]
            Some(Matcher::Regex(regex)) => regex.groups().collect(),
        };
        names.into_iter().map(|name| (name, self.get(name).unwrap_or_default())).collect()
    }
}

/// A regular expression in linear time (`regex-lite`: no Unicode classes, no look-around).
#[cfg(feature = "regex")]
#[derive(Debug, Clone)]
pub struct Regex(regex_lite::Regex);

#[cfg(feature = "regex")]
mod regex {
    use super::{Deserialize, Regex, Serialize};

    impl Regex {
        /// Whether it finds something.
        pub fn is_match(&self, text: &str) -> bool {
            self.0.is_match(text)
        }

        /// What a named group holds.
        pub fn group<'t>(&self, name: &str, text: &'t str) -> Option<&'t str> {
            Some(self.0.captures(text)?.name(name)?.as_str())
        }

        /// The text with all that it finds replaced, `$1` and `${name}` being what groups have found.
        pub fn replace<'t>(&self, text: &'t str, by: &str) -> std::borrow::Cow<'t, str> {
            self.0.replace_all(text, by)
        }

        /// How many groups there are, the whole being the first.
        pub fn groups_len(&self) -> usize {
            self.0.captures_len()
        }

        /// The names of the groups that have one.
        pub fn groups(&self) -> impl Iterator<Item = &str> {
            self.0.capture_names().flatten()
        }
    }

    impl std::str::FromStr for Regex {
        type Err = String;
        fn from_str(text: &str) -> Result<Self, String> {
            let regex = regex_lite::RegexBuilder::new(text).size_limit(1 << 20).build();
            regex.map(Regex).map_err(|error| format!("`{text}` is not a regular expression: {error}"))
        }
    }

    impl std::fmt::Display for Regex {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.0.as_str())
        }
    }

    impl PartialEq for Regex {
        fn eq(&self, other: &Self) -> bool {
            self.0.as_str() == other.0.as_str()
        }
    }

    impl Eq for Regex {}

    impl Serialize for Regex {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_str(self.0.as_str())
        }
    }

    impl<'de> Deserialize<'de> for Regex {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
        }
    }
}
