//! Takes over what a 304 says of a stored response (RFC 9111 §3.2, §4.3.4).

use super::entry::Entry;
use super::fresh::Times;
use super::storing::{self, Asked, Storable, Terms, Why};
use crate::http::Headers;

/// The stored response with the fields of the 304 in the place of its own, judged anew.
pub fn freshen(entry: &Entry, asked: &Asked, response: &Headers, terms: &Terms, times: Times) -> Result<Storable, Why> {
    if is_of_another(entry, response) {
        return Err(Why::Another);
    }
    storing::judge(asked, entry.status, &merged(entry, response), terms, times)
}

/// Whether a 304 speaks of another response than the stored one: it has another strong tag (§4.3.4). A mark of weakness alone makes no
/// other: servers that pack what they send put it on the tag of the 200, and not on that of the 304.
fn is_of_another(entry: &Entry, response: &Headers) -> bool {
    let (stored, told) = (entry.field("etag"), response.text("etag"));
    let opaque = |tag: &'_ str| tag.trim().trim_start_matches("W/").to_owned();
    told.is_some_and(|told| {
        !told.trim().starts_with("W/") && stored.is_some_and(|stored| opaque(stored) != opaque(told))
    })
}

/// The fields that the client gets: those that are stored, replaced by those of the 304.
pub fn merged(entry: &Entry, response: &Headers) -> Headers {
    let mut headers = entry.headers();
    let mut replaced: Vec<&str> = Vec::new();
    for (name, value) in response.iter().filter(|(name, _)| !describes_body(name)) {
        if replaced.contains(&name) {
            headers.append(name, value);
        } else {
            headers.set(name, value);
            replaced.push(name);
        }
    }
    headers
}

/// What says how the stored body is to be read: it did not come with the 304.
fn describes_body(name: &str) -> bool {
    matches!(name, "content-encoding" | "content-length" | "content-md5" | "content-range" | "content-digest" | "etag")
}

/// Whether the head that answers a `HEAD` is of another response than the stored one (§4.3.5), which then is no longer right.
pub fn contradicts(entry: &Entry, head: &Headers) -> bool {
    ["etag", "last-modified", "content-length", "content-md5"].iter().any(|name| {
        let (stored, told) = (entry.field(name), head.text(name));
        told.is_some() && stored.is_some() && stored != told
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_304_of_another_response_says_nothing_of_this_one() {
        let terms = Terms { body: 100, ..Terms::default() };
        let asked = Asked { authorized: false, no_store: false, url: String::new() };
        let times = Times { requested: 0, received: 0 };
        for (stored, told, expected) in [
            ("\"1\"", "\"1\"", true),
            ("\"1\"", "\"2\"", false),
            ("W/\"1\"", "\"2\"", false),
            ("W/\"1\"", "\"1\"", true),
            ("\"1\"", "W/\"2\"", true),
            ("\"1\"", "", true),
        ] {
            let mut response = Headers::of(&[("cache-control", "max-age=60")]);
            if !told.is_empty() {
                response.receive("etag", told.as_bytes());
            }
            let found = freshen(&Entry::of(&[("etag", stored)]), &asked, &response, &terms, times);
            assert_eq!(found.map(|_| ()), if expected { Ok(()) } else { Err(Why::Another) }, "{stored} {told}");
        }
    }

    #[test]
    fn a_304_replaces_fields_but_not_those_that_describe_the_body() {
        let fields = [("etag", "\"1\""), ("x", "a"), ("x", "b"), ("y", "c"), ("content-length", "5")];
        let entry = Entry::of(&fields);
        let mut response = Headers::new();
        for (name, value) in [("x", "d"), ("x", "e"), ("z", "f"), ("content-length", "0"), ("etag", "\"2\"")] {
            response.receive(name, value.as_bytes());
        }
        let merged = merged(&entry, &response);
        let found: Vec<_> =
            merged.iter().map(|(name, value)| (name, std::str::from_utf8(value).expect("text"))).collect();
        assert_eq!(found, [("etag", "\"1\""), ("y", "c"), ("content-length", "5"), ("x", "d"), ("x", "e"), ("z", "f")]);
        assert!(contradicts(&entry, &response));
        assert!(!contradicts(&entry, &Headers::new()));
    }
}
