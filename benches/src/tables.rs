//! Tables of routes that look like somebody's API, in any size, and requests that hit them.
//!
//! Every number in a name has five digits, so that a path is as long among ten routes as among a hundred thousand.

use gateway_core::route::pattern::Host;

/// How the patterns of a table lie to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Four routes for each service, no two of which match the same path.
    Plain,
    /// Four routes for each service, all of which match the path that is asked for.
    Overlapping,
    /// Four routes for each of many hosts.
    Hosts,
}

impl Shape {
    /// Every shape with its name.
    pub const ALL: [(&'static str, Shape); 3] =
        [("plain", Shape::Plain), ("overlapping", Shape::Overlapping), ("hosts", Shape::Hosts)];

    /// The shape of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, shape)| shape)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Shape::Plain => "plain",
            Shape::Overlapping => "overlapping",
            Shape::Hosts => "hosts",
        }
    }
}

/// One route: for which host (empty: any), and its path pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The host, or nothing.
    pub host: String,
    /// The pattern.
    pub pattern: String,
}

impl Row {
    /// The host as the router takes it.
    pub fn host(&self) -> Option<Host> {
        if self.host.is_empty() { Some(Host::Any) } else { Host::parse(&self.host).ok() }
    }
}

/// A request, and the place of the route that must take it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The host.
    pub host: String,
    /// The path.
    pub path: String,
    /// The place of the route, or `None` where no route may match.
    pub route: Option<usize>,
}

/// So many routes.
pub fn rows(shape: Shape, count: usize) -> Vec<Row> {
    (0..count).map(|place| row(shape, place)).collect()
}

/// So many requests, spread evenly over a table of so many routes.
pub fn requests(shape: Shape, routes: usize, count: usize) -> Vec<Request> {
    let whole = routes / PER_SERVICE;
    (0..count)
        .map(|number| {
            let (service, kind) = (spread(number, count, whole.max(1)), number % PER_SERVICE);
            let place = service * PER_SERVICE + if shape == Shape::Overlapping { 0 } else { kind };
            request(shape, place.min(routes.saturating_sub(1)))
        })
        .collect()
}

/// So many requests that no route of the table takes, each failing at another depth.
pub fn misses(shape: Shape, routes: usize, count: usize) -> Vec<Request> {
    let mut requests = requests(shape, routes, count);
    for (number, request) in requests.iter_mut().enumerate() {
        let service = request.path.get(..14).unwrap_or("/").to_owned();
        request.path = match number % 3 {
            0 => format!("{service}/v2/orders"),
            1 => format!("{service}/v1/orders/0190b5a1/lines/7/8/9"),
            _ => "/nothing/here".to_owned(),
        };
        request.route = None;
    }
    requests
}

const PER_SERVICE: usize = 4;

fn spread(number: usize, count: usize, over: usize) -> usize {
    if over >= count { number * (over / count) } else { number % over }
}

fn row(shape: Shape, place: usize) -> Row {
    let service = place / PER_SERVICE;
    let (host, base) = match shape {
        Shape::Plain | Shape::Overlapping => (String::new(), format!("/service-{service:05}")),
        Shape::Hosts => (format!("tenant-{service:05}.example.com"), "/service-00000".to_owned()),
    };
    let rest = match shape {
        Shape::Plain | Shape::Hosts => {
            ["/v1/orders", "/v1/orders/{id}", "/v1/orders/{id}/lines/{line}", "/files/{*rest}"]
        }
        Shape::Overlapping => ["/v1/orders/export", "/v1/orders/{id}", "/v1/{entity}/{id}", "/{version}/{entity}/{id}"],
    };
    Row { host, pattern: format!("{base}{}", rest[place % PER_SERVICE]) }
}

fn request(shape: Shape, place: usize) -> Request {
    let Row { host, pattern } = row(shape, place);
    let path = [("{id}", "0190b5a1"), ("{line}", "7"), ("{*rest}", "images/logo.svg")]
        .into_iter()
        .fold(pattern, |path, (name, value)| path.replace(name, value));
    let host = if host.is_empty() { "api.example.com".to_owned() } else { host };
    Request { host, path, route: Some(place) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gateway_core::route::Pattern;

    #[test]
    fn requests_are_taken_by_the_routes_that_they_name() {
        for (_, shape) in Shape::ALL {
            for count in [10, 1_000] {
                let rows = rows(shape, count);
                let patterns: Vec<_> =
                    rows.iter().map(|row| Pattern::parse(&row.pattern).expect("a pattern")).collect();
                for request in requests(shape, count, 100) {
                    let place = request.route.expect("a route takes it");
                    assert!(patterns[place].matches(&request.path), "{} {}", rows[place].pattern, request.path);
                }
                for miss in misses(shape, count, 100) {
                    let known = |row: &Row| row.host.is_empty() || row.host == miss.host;
                    let taken =
                        rows.iter().zip(&patterns).any(|(row, pattern)| known(row) && pattern.matches(&miss.path));
                    assert!(!taken, "{}", miss.path);
                }
            }
        }
    }
}
