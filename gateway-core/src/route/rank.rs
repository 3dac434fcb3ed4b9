//! The one order of all routes, and the freezing of a table in that order.

use super::index::{By, Freezer};
use super::pattern::{Host, Pattern};
use super::{Matcher, Records, Route};
use crate::frozen::TooLarge;
use crate::record;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::cmp::Ordering;

/// A route with what decides its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranked<T> {
    /// Outranks all else; higher first.
    pub priority: i32,
    /// The hosts that it is for; [`Host::Any`] where it names none.
    pub hosts: Vec<Host>,
    /// The route.
    pub route: Route<T>,
}

/// The place of a candidate, which is a route by one of its hosts and one of its paths. Less is better. The order is
/// total: two candidates are equal only if they are the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rank<'a> {
    priority: i32,
    host: &'a Host,
    path: Option<&'a Pattern>,
    any_method: bool,
    conditions: usize,
    place: (usize, usize, usize),
}

impl<'a> Rank<'a> {
    /// The rank of the route at `place` in the file, by its host and its path at these places in its lists.
    pub fn of<T>(ranked: &'a Ranked<T>, place: usize, host: usize, path: usize) -> Option<Self> {
        let Ranked { priority, hosts, route } = ranked;
        let pattern = match route.paths.get(path)? {
            Matcher::Path(pattern) => Some(pattern),
            #[cfg(feature = "regex")]
            Matcher::Regex(_) => None,
        };
        Some(Self {
            priority: *priority,
            host: hosts.get(host)?,
            path: pattern,
            any_method: route.conditions.methods.is_empty(),
            conditions: route.conditions.count(),
            place: (place, host, path),
        })
    }

    /// Compares by everything but the place in the file: candidates that tie are told apart by nothing that the user
    /// wrote on purpose.
    pub fn cmp_purpose(&self, other: &Self) -> Ordering {
        let paths = match (self.path, other.path) {
            (Some(a), Some(b)) => a.cmp_specificity(b),
            // A regular expression stands behind every pattern.
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => Ordering::Equal,
        };
        (other.priority.cmp(&self.priority))
            .then_with(|| self.host.cmp_specificity(other.host))
            .then(paths)
            .then(self.any_method.cmp(&other.any_method))
            .then(other.conditions.cmp(&self.conditions))
    }
}

impl Ord for Rank<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.cmp_purpose(other).then(self.place.cmp(&other.place))
    }
}

impl PartialOrd for Rank<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A frozen table: what [`super::Routes::new`] takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frozen {
    /// The index.
    pub index: Vec<u8>,
    /// The records, in the order in which the routes were given.
    pub records: Vec<u8>,
}

/// Freezes a table of routes, given in the order of the file.
pub fn freeze<T: Serialize + DeserializeOwned + PartialEq>(routes: &[Ranked<T>]) -> Result<Frozen, TooLarge> {
    let mut ranks = Vec::new();
    for (place, ranked) in routes.iter().enumerate() {
        for host in 0..ranked.hosts.len() {
            ranks.extend((0..ranked.route.paths.len()).filter_map(|path| Rank::of(ranked, place, host, path)));
        }
    }
    ranks.sort();
    let mut freezer = Freezer::default();
    for rank in ranks {
        let key = rank.path.map_or(By::Regex, |pattern| By::Path(pattern.clone()));
        let number = |place: usize| u32::try_from(place).map_err(|_| TooLarge);
        freezer.add(rank.host, &key, number(rank.place.0)?, number(rank.place.2)?);
    }
    let records: Vec<_> = routes.iter().map(|ranked| packed(&ranked.route)).collect();
    Ok(Frozen { index: freezer.freeze()?, records: Records::freeze(&records)? })
}

fn packed<T: Serialize + DeserializeOwned + PartialEq>(route: &Route<T>) -> Vec<u8> {
    record::write(route).expect("a route holds only strings, numbers and lists, which JSON can write")
}
