//! Three ways to a table of routes in memory that is ready for its first request: the same in native code and in Wasm.

use bytes::Bytes;
use gateway_core::gateway::{Gateway, Plan};
use gateway_core::http::{Headers, Peer, Scheme};
use gateway_core::route::{Found, Head, Route, Routes};
use std::fmt;

/// A way to load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The compiled configuration, read in place.
    Frozen,
    /// `matchit`: a tree built from lines of patterns. Nothing but the paths.
    Matchit,
    /// Every route's record parsed from JSON, without making anything to find them by.
    Json,
}

impl Way {
    /// Every way, in the order of their numbers in Wasm.
    pub const ALL: [Way; 3] = [Way::Frozen, Way::Matchit, Way::Json];
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Way::Frozen => "Postern's artefact, read in place",
            Way::Matchit => "`matchit`, built from the patterns",
            Way::Json => "the routes parsed from JSON, not indexed",
        })
    }
}

/// Loads `input` in this way and looks one path up, so that nothing is put off. Gives how many routes there are, 0 where
/// the path was not found.
pub fn load(way: Way, input: Vec<u8>, path: &str) -> usize {
    match way {
        Way::Frozen => frozen(input, path),
        Way::Matchit => matchit(&input, path),
        Way::Json => json(&input),
    }
    .unwrap_or_default()
}

fn frozen(input: Vec<u8>, path: &str) -> Option<usize> {
    let gateway = Gateway::load(Bytes::from(input), |_| None).ok()?;
    let headers = Headers::new();
    let client = gateway_core::client::Client::resolve(Peer::default(), Scheme::Http, &headers, &[]);
    let head = Head { method: "GET", host: "api.example.com", path, query: None, headers: &headers, client: &client };
    let routes: &Routes<Plan> = gateway.routes();
    match routes.find(&head) {
        Found::Route(_) => Some(routes.len()),
        Found::MethodNotAllowed(_) | Found::NoRoute | Found::UnknownHost => None,
    }
}

fn matchit(input: &[u8], path: &str) -> Option<usize> {
    let mut router = matchit::Router::new();
    for (place, pattern) in std::str::from_utf8(input).ok()?.lines().enumerate() {
        router.insert(pattern, place).ok()?;
    }
    router.at(path).ok()?;
    Some(std::str::from_utf8(input).ok()?.lines().count())
}

fn json(input: &[u8]) -> Option<usize> {
    serde_json::from_slice::<Vec<Route<Plan>>>(input).ok().map(|routes| routes.len())
}
