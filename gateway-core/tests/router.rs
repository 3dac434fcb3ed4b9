//! The router against a reference that tries every route, and against `matchit`.

use bytes::Bytes;
use gateway_core::client::Client;
use gateway_core::http::{Headers, Peer, Scheme};
use gateway_core::route::rank::{Ranked, freeze};
use gateway_core::route::{Conditions, Found, Head, Host, Matcher, Named, Pattern, Route, Routes, Test};
use proptest::prelude::*;

/// What a user writes of a route, as far as matching goes.
#[derive(Debug, Clone)]
struct Sketch {
    priority: i32,
    hosts: Vec<String>,
    paths: Vec<Path>,
    methods: Vec<&'static str>,
    beta: bool,
}

#[derive(Debug, Clone)]
enum Path {
    Pattern(String),
    Prefix(String),
    Regex(&'static str),
}

#[derive(Debug, Clone)]
struct Ask {
    method: &'static str,
    host: String,
    path: String,
    beta: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Route { place: usize, parameters: Vec<(String, String)> },
    MethodNotAllowed,
    NoRoute,
    UnknownHost,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn finds_what_trying_every_route_finds(
        table in proptest::collection::vec(sketch(), 1..24),
        asks in proptest::collection::vec(ask(), 1..12),
    ) {
        let routes = build(&table);
        for ask in &asks {
            prop_assert_eq!(find(&routes, ask), reference(&table, ask), "{:?}", ask);
        }
    }

    #[test]
    fn the_order_in_the_file_decides_only_ties(
        table in proptest::collection::vec(sketch(), 2..12),
        asks in proptest::collection::vec(ask(), 1..12),
    ) {
        let backwards: Vec<_> = table.iter().rev().cloned().collect();
        let (forth, back) = (build(&table), build(&backwards));
        for ask in &asks {
            let (one, other) = (find(&forth, ask), find(&back, ask));
            if let (Answer::Route { place, .. }, Answer::Route { place: from_end, .. }) = (&one, &other) {
                let (a, b) = (&table[*place], &table[table.len() - 1 - from_end]);
                prop_assert_eq!(best(a, ask), best(b, ask), "{:?} {:?} {:?}", a, b, ask);
            } else {
                prop_assert_eq!(one, other);
            }
        }
    }

    /// `matchit` takes the most specific of patterns that do not conflict; so do we.
    #[test]
    fn agrees_with_matchit(
        patterns in proptest::collection::btree_set(plain_pattern(), 1..20),
        paths in proptest::collection::vec(path(), 1..12),
    ) {
        let mut referee = matchit::Router::new();
        // Names of parameters must be the same for matchit, so they are numbered by depth.
        let taken: Vec<String> = patterns.into_iter().filter(|pattern| referee.insert(pattern.clone(), pattern.clone()).is_ok()).collect();
        let table: Vec<Sketch> = taken.iter().map(|pattern| Sketch {
            priority: 0, hosts: vec![], paths: vec![Path::Pattern(pattern.clone())], methods: vec![], beta: false,
        }).collect();
        let routes = build(&table);
        for path in paths {
            let ask = Ask { method: "GET", host: "h".into(), path: path.clone(), beta: false };
            let ours = match find(&routes, &ask) {
                Answer::Route { place, .. } => Some(taken[place].clone()),
                Answer::MethodNotAllowed | Answer::NoRoute | Answer::UnknownHost => None,
            };
            prop_assert_eq!(ours, referee.at(&path).ok().map(|found| found.value.clone()), "{} {:?}", path, taken);
        }
    }
}

fn build(table: &[Sketch]) -> Routes<()> {
    let ranked: Vec<Ranked<()>> = table
        .iter()
        .enumerate()
        .map(|(place, sketch)| Ranked {
            priority: sketch.priority,
            hosts: match sketch.hosts.as_slice() {
                [] => vec![Host::Any],
                hosts => hosts.iter().map(|host| Host::parse(host).expect("a host")).collect(),
            },
            route: Route {
                name: place.to_string(),
                paths: sketch
                    .paths
                    .iter()
                    .map(|path| match path {
                        Path::Pattern(text) => Matcher::Path(Pattern::parse(text).expect("a pattern")),
                        Path::Prefix(text) => Matcher::Path(Pattern::parse_prefix(text).expect("a prefix")),
                        Path::Regex(text) => Matcher::Regex(text.parse().expect("a regular expression")),
                    })
                    .collect(),
                conditions: Conditions {
                    methods: sketch.methods.iter().map(|method| (*method).to_owned()).collect(),
                    headers: if sketch.beta {
                        vec![Named { name: "x-beta".into(), test: Test::Present }]
                    } else {
                        vec![]
                    },
                    ..Conditions::default()
                },
                then: (),
            },
        })
        .collect();
    let frozen = freeze(&ranked).expect("small");
    Routes::new(Bytes::from(frozen.index), Bytes::from(frozen.records))
}

fn find(routes: &Routes<()>, ask: &Ask) -> Answer {
    let mut headers = Headers::new();
    if ask.beta {
        headers.receive("x-beta", b"1");
    }
    let client = Client::resolve(Peer::default(), Scheme::Http, &headers, &[]);
    let head =
        Head { method: ask.method, host: &ask.host, path: &ask.path, query: None, headers: &headers, client: &client };
    match routes.find(&head) {
        Found::Route(matched) => Answer::Route {
            place: matched.route.name.parse().expect("a number"),
            parameters: matched.parameters(&ask.path).iter().into_iter().map(|(n, v)| (n.into(), v.into())).collect(),
        },
        Found::MethodNotAllowed(_) => Answer::MethodNotAllowed,
        Found::NoRoute => Answer::NoRoute,
        Found::UnknownHost => Answer::UnknownHost,
    }
}

/// The reference: every route, every host, every path, with no table and no tree. Shares nothing with the router.
fn reference(table: &[Sketch], ask: &Ask) -> Answer {
    let mut found: Option<(Weight, usize, usize, usize)> = None;
    let (mut host_known, mut method_fails) = (false, false);
    for (place, sketch) in table.iter().enumerate() {
        for (h, host) in hosts(sketch).iter().enumerate() {
            if !host_fits(host, &ask.host) {
                continue;
            }
            host_known = true;
            for (p, path) in sketch.paths.iter().enumerate() {
                if capture(path, &ask.path).is_none() || (sketch.beta && !ask.beta) {
                    continue;
                }
                if !method_fits(sketch, ask.method) {
                    method_fails = true;
                    continue;
                }
                let rank = (weight(sketch, host, path), place, h, p);
                if found.as_ref().is_none_or(|best| rank < *best) {
                    found = Some(rank);
                }
            }
        }
    }
    match found {
        Some((_, place, _, p)) => {
            let parameters = capture(&table[place].paths[p], &ask.path).expect("it was found by this path");
            Answer::Route { place, parameters }
        }
        None if method_fails => Answer::MethodNotAllowed,
        None if host_known => Answer::NoRoute,
        None => Answer::UnknownHost,
    }
}

/// The weight by which a route takes a request: its best fitting host and path.
fn best(sketch: &Sketch, ask: &Ask) -> Option<Weight> {
    let hosts = hosts(sketch);
    let pairs = hosts.iter().flat_map(|host| sketch.paths.iter().map(move |path| (host, path)));
    pairs
        .filter(|(host, path)| host_fits(host, &ask.host) && capture(path, &ask.path).is_some())
        .map(|(host, path)| weight(sketch, host, path))
        .min()
}

type Weight = (i32, (u8, i32), Vec<u8>, u8, u8);

fn weight(sketch: &Sketch, host: &str, path: &Path) -> Weight {
    let host = match host.strip_prefix("*.") {
        _ if host == "*" => (2, 0),
        Some(rest) => (1, -(rest.matches('.').count() as i32)),
        None => (0, 0),
    };
    let kinds = |text: &str, end: u8| -> Vec<u8> {
        let mut kinds: Vec<u8> = Vec::new();
        for segment in text.trim_start_matches('/').split('/') {
            match segment {
                "" if text == "/" && end == 5 => {}
                s if s.starts_with("{*") => {
                    kinds.push(4);
                    return kinds;
                }
                s if s.starts_with('{') && s.contains(':') => kinds.push(2),
                s if s.starts_with('{') => kinds.push(3),
                _ => kinds.push(1),
            }
        }
        kinds.push(end);
        kinds
    };
    let path = match path {
        Path::Pattern(text) => kinds(text, 0),
        Path::Prefix(text) => kinds(text, 5),
        Path::Regex(_) => vec![9],
    };
    (-sketch.priority, host, path, u8::from(sketch.methods.is_empty()), u8::from(!sketch.beta))
}

fn hosts(sketch: &Sketch) -> Vec<String> {
    if sketch.hosts.is_empty() { vec!["*".to_owned()] } else { sketch.hosts.clone() }
}

fn host_fits(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(rest) => host.ends_with(rest) && host.len() > rest.len(),
        None => pattern == host,
    }
}

fn method_fits(sketch: &Sketch, method: &str) -> bool {
    sketch.methods.is_empty()
        || sketch.methods.contains(&method)
        || (method == "HEAD" && sketch.methods.contains(&"GET"))
}

/// The parameters, where the path fits.
fn capture(path: &Path, actual: &str) -> Option<Vec<(String, String)>> {
    let (text, prefix) = match path {
        Path::Pattern(text) => (text.as_str(), false),
        Path::Prefix(text) => (text.trim_end_matches('/'), true),
        Path::Regex(text) => return regex_lite::Regex::new(text).expect("valid").is_match(actual).then(Vec::new),
    };
    let wanted: Vec<&str> = text.split('/').skip(1).collect();
    let given: Vec<&str> = actual.split('/').skip(1).collect();
    let mut parameters = Vec::new();
    for (at, segment) in wanted.iter().enumerate() {
        if let Some(name) = segment.strip_prefix("{*") {
            let rest = given.get(at..)?.join("/");
            if given.len() <= at || rest.is_empty() {
                return None;
            }
            parameters.push((name.trim_end_matches('}').to_owned(), rest));
            return Some(parameters);
        }
        let actual = given.get(at)?;
        match segment.strip_prefix('{') {
            Some(name) => {
                let (name, kind) =
                    name.trim_end_matches('}').split_once(':').unwrap_or((name.trim_end_matches('}'), ""));
                if actual.is_empty() || (kind == "int" && actual.parse::<i64>().is_err()) {
                    return None;
                }
                parameters.push((name.to_owned(), (*actual).to_owned()));
            }
            None if segment != actual => return None,
            None => {}
        }
    }
    (prefix || wanted.len() == given.len()).then_some(parameters)
}

fn sketch() -> impl Strategy<Value = Sketch> {
    let host = prop_oneof![3 => Just("a.x"), 2 => Just("b.x"), 2 => Just("*.x"), 1 => Just("*.a.x"), 1 => Just("y")];
    let one = prop_oneof![
        6 => pattern().prop_map(Path::Pattern),
        2 => prefix().prop_map(Path::Prefix),
        1 => prop_oneof![Just("^/a"), Just("b$"), Just("^/[ab]/1$")].prop_map(Path::Regex),
    ];
    (
        prop_oneof![6 => Just(0), 1 => Just(1), 1 => Just(-1)],
        proptest::collection::vec(host.prop_map(str::to_owned), 0..3),
        proptest::collection::vec(one, 1..3),
        prop_oneof![3 => Just(vec![]), 2 => Just(vec!["GET"]), 1 => Just(vec!["POST", "GET"]), 1 => Just(vec!["DELETE"])],
        proptest::bool::weighted(0.2),
    )
        .prop_map(|(priority, hosts, paths, methods, beta)| Sketch { priority, hosts, paths, methods, beta })
}

fn segment() -> impl Strategy<Value = &'static str> {
    prop_oneof![3 => Just("a"), 2 => Just("b"), 1 => Just("1"), 2 => Just("{P}"), 1 => Just("{P:int}"), 1 => Just("")]
}

fn pattern() -> impl Strategy<Value = String> {
    (proptest::collection::vec(segment(), 1..5), proptest::bool::weighted(0.2))
        .prop_map(|(segments, rest)| join(&segments, rest))
}

fn prefix() -> impl Strategy<Value = String> {
    proptest::collection::vec(segment().prop_filter("whole", |s| !s.is_empty()), 0..3).prop_map(|segments| {
        match segments.as_slice() {
            [] => "/".to_owned(),
            segments => join(segments, false),
        }
    })
}

/// Without kinds and empty segments, which matchit has otherwise.
fn plain_pattern() -> impl Strategy<Value = String> {
    let segment = prop_oneof![3 => Just("a"), 2 => Just("b"), 1 => Just("ab"), 2 => Just("{P}")];
    (proptest::collection::vec(segment, 1..5), proptest::bool::weighted(0.2))
        .prop_map(|(segments, rest)| join(&segments, rest))
}

fn join(segments: &[&str], rest: bool) -> String {
    let mut text = String::new();
    for (depth, segment) in segments.iter().enumerate() {
        text.push('/');
        text.push_str(&segment.replace('P', &format!("p{depth}")));
    }
    if rest {
        text.push_str(&format!("/{{*p{}}}", segments.len()));
    }
    text
}

fn path() -> impl Strategy<Value = String> {
    let segment = prop_oneof![3 => Just("a"), 2 => Just("b"), 1 => Just("1"), 1 => Just("ab")];
    (proptest::collection::vec(segment, 1..6)).prop_map(|segments| format!("/{}", segments.join("/")))
}

fn ask() -> impl Strategy<Value = Ask> {
    let segment = prop_oneof![3 => Just("a"), 2 => Just("b"), 2 => Just("1"), 1 => Just("c%2Fd"), 1 => Just("")];
    let host = prop_oneof![2 => Just("a.x"), 1 => Just("b.x"), 1 => Just("c.a.x"), 1 => Just("y"), 1 => Just("z"), 1 => Just("x")];
    (
        prop_oneof![3 => Just("GET"), 1 => Just("POST"), 1 => Just("HEAD"), 1 => Just("PUT")],
        host,
        proptest::collection::vec(segment, 1..6),
        any::<bool>(),
    )
        .prop_map(|(method, host, segments, beta)| Ask {
            method,
            host: host.to_owned(),
            path: format!("/{}", segments.join("/")),
            beta,
        })
}
