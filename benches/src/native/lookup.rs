//! From a host and a path to a route: Postern's frozen index beside `matchit`.

use crate::results::{Results, Table, number, ratio};
use crate::run::Setup;
use crate::tables::{self, Request, Row, Shape};
use crate::{counting, timing};
use bytes::Bytes;
use gateway_core::client::Client;
use gateway_core::http::{Headers, Peer, Scheme};
use gateway_core::route::index::Index;
use gateway_core::route::rank::{Ranked, freeze};
use gateway_core::route::{Found, Head, Matcher, Pattern, Route, Routes};
use std::collections::HashMap;
use std::hint::black_box;
use std::path::PathBuf;

/// Who looks up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Router {
    /// `Routes::find`: index, conditions, and the route with what to do.
    Postern,
    /// Only the frozen index: every candidate, in order.
    Index,
    /// `matchit::Router::at`, in a hash map by host where there are hosts.
    Matchit,
}

impl Router {
    const ALL: [(&'static str, Router); 3] =
        [("postern", Router::Postern), ("index", Router::Index), ("matchit", Router::Matchit)];

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, router)| router)
    }
}

/// How many requests make a round; they go to as many routes, or to all where there are fewer.
pub const ROUND: usize = 1_000;

const SIZES: [usize; 5] = [10, 100, 1_000, 10_000, 100_000];

/// Measures and writes the tables `lookup` and `lookup-shapes`, and target G1.
pub fn measure(setup: &Setup, results: &mut Results) -> Result<(), String> {
    let mut table = Table::new(
        "lookup",
        &[
            "routes",
            "Postern ns",
            "matchit ns",
            "ratio",
            "Postern instructions",
            "matchit instructions",
            "Postern D1 misses",
        ],
    );
    let mut instructions = Vec::new();
    for size in SIZES {
        let case = Case { shape: Shape::Plain, size, misses: false };
        let measured = case.measure(setup)?;
        instructions.extend(measured.counted[0].map(|counted| counted.instructions));
        let mut row = vec![group(size)];
        row.extend(measured.cells());
        table.push(row);
    }
    results.keep(table);
    if let (Some(few), Some(many)) = (instructions.first(), instructions.last())
        && instructions.len() == SIZES.len()
    {
        results.reach("G1", many / few, "benches/run.sh lookup");
    }

    let mut table = Table::new(
        "lookup-shapes",
        &[
            "10,000 routes",
            "Postern ns",
            "matchit ns",
            "ratio",
            "Postern instructions",
            "matchit instructions",
            "Postern D1 misses",
        ],
    );
    for (label, shape, misses) in [
        ("four overlapping patterns fit", Shape::Overlapping, false),
        ("2,500 hosts", Shape::Hosts, false),
        ("no route fits", Shape::Plain, true),
        ("no route fits, overlapping patterns", Shape::Overlapping, true),
    ] {
        let mut row = vec![label.to_owned()];
        row.extend(Case { shape, size: 10_000, misses }.measure(setup)?.cells());
        table.push(row);
    }
    results.keep(table);
    Ok(())
}

/// What `postern-bench count lookup <router> <shape> <size> <hits|misses> <rounds>` does.
pub fn count(arguments: &[&str], setup: &Setup) -> Result<(), String> {
    let [router, shape, size, misses, rounds] = arguments else { return Err("five arguments".to_owned()) };
    let case = Case {
        shape: Shape::named(shape).ok_or("no such shape")?,
        size: size.parse().map_err(|_| "no size")?,
        misses: *misses == "misses",
    };
    let rounds: usize = rounds.parse().map_err(|_| "no rounds")?;
    let mut round = case.prepare(Router::named(router).ok_or("no such router")?, setup)?;
    (0..rounds).for_each(|_| round());
    Ok(())
}

struct Case {
    shape: Shape,
    size: usize,
    misses: bool,
}

struct Measured {
    times: [timing::Samples; 2],
    counted: [Option<counting::Counted>; 2],
}

impl Measured {
    fn cells(&self) -> Vec<String> {
        let [postern, matchit] = &self.times;
        let instructions =
            |at: usize| self.counted[at].map_or("–".to_owned(), |counted| number(counted.instructions));
        vec![
            format!("{} ({})", number(postern.median()), number(postern.min())),
            format!("{} ({})", number(matchit.median()), number(matchit.min())),
            ratio(postern.median() / matchit.median()),
            instructions(0),
            instructions(1),
            self.counted[0].map_or("–".to_owned(), |counted| format!("{:.1}", counted.misses)),
        ]
    }
}

impl Case {
    fn measure(&self, setup: &Setup) -> Result<Measured, String> {
        self.freeze(setup)?;
        let compared = [Router::Postern, Router::Matchit];
        let mut times = [const { timing::Samples(Vec::new()) }; 2];
        for (samples, router) in times.iter_mut().zip(compared) {
            let mut round = self.prepare(router, setup)?;
            round();
            *samples = timing::sample(ROUND, setup.sample_milliseconds(), &mut *round);
        }
        let mut counted = [None; 2];
        if setup.has_valgrind {
            for (slot, (name, _)) in counted.iter_mut().zip([Router::ALL[0], Router::ALL[2]]) {
                let misses = if self.misses { "misses" } else { "hits" };
                let arguments = ["lookup", name, self.shape.name(), &self.size.to_string(), misses].map(str::to_owned);
                *slot = Some(counting::count(&arguments, ROUND, &setup.scratch)?);
            }
        }
        Ok(Measured { times, counted })
    }

    /// A round of lookups, each of which has been seen to find its route.
    fn prepare(&self, router: Router, setup: &Setup) -> Result<Box<dyn FnMut()>, String> {
        let requests = if self.misses { tables::misses } else { tables::requests }(self.shape, self.size, ROUND);
        match router {
            Router::Postern => postern(self.frozen(setup)?, requests),
            Router::Index => Ok(index(self.frozen(setup)?, requests)),
            Router::Matchit => matchit(&tables::rows(self.shape, self.size), requests),
        }
    }

    /// Freezes the table into the scratch folder: under valgrind that would take minutes.
    fn freeze(&self, setup: &Setup) -> Result<(), String> {
        let frozen = freeze(&ranked(&tables::rows(self.shape, self.size))?).map_err(|_| "too large")?;
        for (file, section) in self.files(setup).iter().zip([frozen.index, frozen.records]) {
            std::fs::write(file, section).map_err(|error| format!("{}: {error}", file.display()))?;
        }
        Ok(())
    }

    fn frozen(&self, setup: &Setup) -> Result<[Bytes; 2], String> {
        let [index, records] = self.files(setup).map(|file| std::fs::read(file).map(Bytes::from));
        Ok([index.map_err(|error| error.to_string())?, records.map_err(|error| error.to_string())?])
    }

    fn files(&self, setup: &Setup) -> [PathBuf; 2] {
        ["index", "records"].map(|section| setup.scratch.join(format!("{}-{}.{section}", self.shape.name(), self.size)))
    }
}

/// The table as the compiler would hand it over; what a route does is its own place in the table.
pub fn ranked(rows: &[Row]) -> Result<Vec<Ranked<usize>>, String> {
    let one = |(place, row): (usize, &Row)| {
        Ok(Ranked {
            priority: 0,
            hosts: vec![row.host().ok_or_else(|| format!("{} is no host", row.host))?],
            route: Route {
                name: format!("route-{place}"),
                paths: vec![Matcher::Path(Pattern::parse(&row.pattern)?)],
                conditions: Default::default(),
                then: place,
            },
        })
    };
    rows.iter().enumerate().map(one).collect()
}

fn postern([index, records]: [Bytes; 2], requests: Vec<Request>) -> Result<Box<dyn FnMut()>, String> {
    let routes = Routes::<usize>::new(index, records);
    let headers = Headers::new();
    let client = Client::resolve(Peer::default(), Scheme::Http, &headers, &[]);
    for Request { host, path, route } in &requests {
        let head = Head { method: "GET", host, path, query: None, headers: &headers, client: &client };
        let found = match routes.find(&head) {
            Found::Route(matched) => Some(matched.route.then),
            Found::NoRoute | Found::UnknownHost => None,
            Found::MethodNotAllowed(_) => return Err(format!("{path}: no route asks for a method")),
        };
        if found != *route {
            return Err(format!("{path}: found {found:?} instead of {route:?}"));
        }
    }
    Ok(Box::new(move || {
        for Request { host, path, .. } in &requests {
            let head = Head { method: "GET", host, path, query: None, headers: &headers, client: &client };
            match routes.find(black_box(&head)) {
                Found::Route(matched) => {
                    black_box(matched.parameters(path).get("id"));
                    black_box(&matched.route.then);
                }
                missed @ (Found::MethodNotAllowed(_) | Found::NoRoute | Found::UnknownHost) => drop(black_box(missed)),
            }
        }
    }))
}

fn index([index, _]: [Bytes; 2], requests: Vec<Request>) -> Box<dyn FnMut()> {
    let mut candidates = Vec::with_capacity(8);
    Box::new(move || {
        for Request { host, path, .. } in &requests {
            candidates.clear();
            black_box(Index(&index).find(black_box(host), black_box(path), &mut candidates));
            black_box(&candidates);
        }
    })
}

fn matchit(rows: &[Row], requests: Vec<Request>) -> Result<Box<dyn FnMut()>, String> {
    let mut hosts: HashMap<String, matchit::Router<usize>> = HashMap::new();
    for (place, row) in rows.iter().enumerate() {
        let router = hosts.entry(row.host.clone()).or_default();
        router.insert(&row.pattern, place).map_err(|error| format!("{}: {error}", row.pattern))?;
    }
    let any = hosts.remove("");
    for Request { host, path, route } in &requests {
        let router = any.as_ref().or_else(|| hosts.get(host));
        let found = router.and_then(|router| router.at(path).ok()).map(|found| *found.value);
        if found != *route {
            return Err(format!("{path}: matchit found {found:?} instead of {route:?}"));
        }
    }
    Ok(Box::new(move || {
        for Request { host, path, .. } in &requests {
            let Some(router) = any.as_ref().or_else(|| hosts.get(black_box(host))) else { continue };
            match router.at(black_box(path)) {
                Ok(found) => {
                    black_box(found.params.get("id"));
                    black_box(found.value);
                }
                Err(missed) => drop(black_box(missed)),
            }
        }
    }))
}

/// `10000` as `10,000`.
pub fn group(number: usize) -> String {
    let digits = number.to_string();
    let grouped = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy);
    grouped.collect::<Vec<_>>().join(",")
}
