//! What requests are told apart by: a first key from the address, and a second one from all else that a response depends on.
//!
//! Two keys, so that whoever knows the address can take back everything that is stored for it, whatever else it depends on
//! (RFC 9111 §4.1 calls the second one secondary).

use super::entry::Varies;
use crate::client::Client;
use crate::consumer::hash;
use crate::http::{self, Headers, list};
use crate::request::Line;
use serde::{Deserialize, Serialize};

/// Which parameters of the query count.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Query {
    /// All.
    #[default]
    All,
    /// None.
    None,
    /// These.
    Only(Vec<String>),
    /// All but these; a name that ends in `*` stands for all that begin so.
    Except(Vec<String>),
}

impl Query {
    /// The query that counts, and goes on: what the key does not know the origin does not see, or a client could write into
    /// the answer that others get.
    pub fn reduce(&self, query: Option<&str>, sorted: bool) -> Option<String> {
        let query = query?;
        if matches!(self, Query::All) && !sorted {
            return Some(query.to_owned());
        }
        let counts = |pair: &&str| {
            let name = http::decode(pair.split_once('=').map_or(pair, |(name, _)| name));
            match self {
                Query::All => true,
                Query::None => false,
                Query::Only(names) => names.iter().any(|known| fits(known, &name)),
                Query::Except(names) => !names.iter().any(|known| fits(known, &name)),
            }
        };
        let mut pairs: Vec<&str> = query.split('&').filter(|pair| !pair.is_empty()).filter(counts).collect();
        if sorted {
            // Those of one name stay in their order, which may mean something.
            pairs.sort_by(|one, other| {
                let name = |pair: &str| http::decode(pair.split_once('=').map_or(pair, |(name, _)| name)).into_owned();
                name(one).cmp(&name(other))
            });
        }
        (!pairs.is_empty()).then(|| pairs.join("&"))
    }
}

fn fits(known: &str, name: &str) -> bool {
    match known.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => known == name,
    }
}

/// Where a request's response would be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The first key.
    pub key: String,
    /// What the configuration adds to the address; empty: nothing.
    pub more: String,
    /// The address, for people and for purges.
    pub url: String,
}

/// An address as a response is stored for it: `https://host/path?query`. Without a host where that does not count.
pub fn url(line: &Line, path: &str, query: Option<&str>, with_host: bool) -> String {
    let mut url = String::with_capacity(line.authority.len() + path.len() + 32);
    if with_host {
        url.push_str(line.scheme.as_str());
        url.push_str("://");
        url.push_str(&line.authority.to_ascii_lowercase());
    }
    url.push_str(path);
    if let Some(query) = query {
        url.push('?');
        url.push_str(query);
    }
    url
}

/// The first key of an address in a cache. `GET` and `HEAD` are one method here.
pub fn first(cache: &str, method: &str, url: &str) -> String {
    let method = if method == "HEAD" { "GET" } else { method };
    let mut text = String::new();
    [cache, method, url].iter().for_each(|part| write(&mut text, Some(part)));
    hash(&text)
}

/// The second key, below a record that names the fields which count.
pub fn second(place: &Place, varies: &Varies, request: &Headers, line: &Line, client: &Client) -> String {
    let mut text = String::new();
    [&place.key, &varies.salt, &place.more].iter().for_each(|part| write(&mut text, Some(part)));
    for name in &varies.fields {
        write(&mut text, Some(name));
        write(&mut text, field(request, name).as_deref());
        if is_written_later(name) {
            write(&mut text, Some(line.scheme.as_str()));
            write(&mut text, Some(&line.authority));
            write(&mut text, client.peer.map(|peer| peer.to_string()).as_deref());
        }
    }
    hash(&text)
}

/// The values of a field, with what does not matter between them brought to one form (RFC 9111 §4.1).
fn field(request: &Headers, name: &str) -> Option<String> {
    request.contains(name).then(|| {
        let readable = request.all(name).all(|line| std::str::from_utf8(line).is_ok());
        if readable {
            list(request, name).collect::<Vec<_>>().join(", ")
        } else {
            // Not a text, so it is compared byte by byte.
            request.all(name).map(crate::consumer::hex).collect::<Vec<_>>().join("\n")
        }
    })
}

/// Fields that the gateway writes after the cache has looked, from the connection.
fn is_written_later(name: &str) -> bool {
    name.starts_with("x-forwarded-") || matches!(name, "forwarded" | "via" | "x-real-ip")
}

/// Adds a part, so that no two lists of parts make the same text.
pub fn write(text: &mut String, part: Option<&str>) {
    match part {
        Some(part) => {
            text.push_str(&part.len().to_string());
            text.push(':');
            text.push_str(part);
        }
        None => text.push('-'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_reduced_to_what_counts() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        for (rule, sorted, query, reduced) in [
            (Query::All, false, "b=1&&a=2", Some("b=1&&a=2")),
            (Query::All, true, "b=2&b=1&a=2&", Some("a=2&b=2&b=1")),
            (Query::None, false, "a=1", None),
            (Query::Only(names(&["a", "c"])), true, "c=1&b=1&%61=2", Some("%61=2&c=1")),
            (Query::Except(names(&["utm_*", "x"])), false, "utm_source=1&a=1&x&xy=2&utm=3", Some("a=1&xy=2&utm=3")),
            (Query::Except(names(&["a"])), false, "a", None),
        ] {
            assert_eq!(rule.reduce(Some(query), sorted).as_deref(), reduced, "{query}");
        }
        assert_eq!(Query::All.reduce(None, true), None);
    }

    #[test]
    fn no_two_lists_of_parts_are_one_text() {
        let text = |parts: &[Option<&str>]| {
            let mut text = String::new();
            parts.iter().for_each(|part| write(&mut text, *part));
            text
        };
        assert_ne!(text(&[Some("a"), Some("b")]), text(&[Some("ab"), Some("")]));
        assert_ne!(text(&[Some(""), None]), text(&[None, Some("")]));
        assert_ne!(text(&[Some("1:a")]), text(&[Some("1"), Some("a")]));
    }

    #[test]
    fn get_and_head_share_a_key_and_others_do_not() {
        assert_eq!(first("c", "GET", "http://a/"), first("c", "HEAD", "http://a/"));
        assert_ne!(first("c", "GET", "http://a/"), first("c", "QUERY", "http://a/"));
        assert_ne!(first("c", "GET", "http://a/"), first("d", "GET", "http://a/"));
    }
}
