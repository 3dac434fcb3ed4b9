//! Conditional requests that are answered from the store (RFC 9111 §4.3.2, RFC 9110 §13).

use super::fresh::{date, read_date};
use crate::http::Headers;
use crate::platform::Timestamp;

/// What a client already has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions {
    /// `If-None-Match`, each line.
    none_match: Vec<Vec<u8>>,
    /// `If-Modified-Since`.
    modified_since: Option<Vec<u8>>,
}

impl Conditions {
    /// What a request says.
    pub fn read(headers: &Headers) -> Self {
        Self {
            none_match: headers.all("if-none-match").map(<[u8]>::to_vec).collect(),
            modified_since: headers.get("if-modified-since").map(<[u8]>::to_vec),
        }
    }

    /// Whether there are any.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Takes them out of a request, so that its answer is whole.
    pub fn remove(headers: &mut Headers) {
        headers.remove("if-none-match");
        headers.remove("if-modified-since");
    }

    /// Whether the client has this response already. `received` stands in for a `Date` that is missing.
    pub fn are_met_by(&self, response: &Headers, received: Timestamp) -> bool {
        if !self.none_match.is_empty() {
            // RFC 9110 §13.1.3: then the other condition counts for nothing. §13.1.2: `*` is any representation, tagged or not.
            let current = response.get("etag").map(opaque);
            let is_it = |tag: &[u8]| tag == b"*" || current == Some(opaque(tag));
            return self.none_match.iter().flat_map(|line| tags(line)).any(is_it);
        }
        let Some(since) = self.modified_since.as_deref().and_then(|since| std::str::from_utf8(since).ok()) else {
            return false;
        };
        let Some(since) = read_date(since) else { return false };
        let modified = date(response, "last-modified").or_else(|| date(response, "date")).unwrap_or(received);
        modified <= since
    }
}

/// The tags of a list; a comma in quotes separates nothing.
fn tags(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    line.split(move |byte| {
        quoted ^= *byte == b'"';
        *byte == b',' && !quoted
    })
    .map(<[u8]>::trim_ascii)
    .filter(|tag| !tag.is_empty())
}

/// Without the mark of weakness: RFC 9110 §8.8.3.2 compares so.
fn opaque(tag: &[u8]) -> &[u8] {
    let tag = tag.trim_ascii();
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// Whether a field of a stored response belongs into a 304 (RFC 9110 §15.4.5): what describes a body that is not sent does not.
pub fn belongs_into_304(name: &str) -> bool {
    !name.starts_with("content-") || matches!(name, "content-location" | "content-security-policy")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_it_already_is_told_so() {
        let response = Headers::of(&[("etag", "\"a,b\""), ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")]);
        for (request, met) in [
            (&[("if-none-match", "\"a,b\"")][..], true),
            (&[("if-none-match", "\"x\", W/\"a,b\"")], true),
            (&[("if-none-match", "*")], true),
            (&[("if-none-match", "\"a\", \"b\"")], false),
            (&[("if-none-match", "\"x\""), ("if-none-match", "\"a,b\"")], true),
            (&[("if-none-match", "\"x\""), ("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT")], false),
            (&[("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT")], true),
            (&[("if-modified-since", "Sunday, 06-Nov-94 08:49:37 GMT")], true),
            (&[("if-modified-since", "Sun, 06 Nov 1994 08:49:36 GMT")], false),
            (&[("if-modified-since", "yesterday")], false),
            (&[], false),
        ] {
            assert_eq!(Conditions::read(&Headers::of(request)).are_met_by(&response, 0), met, "{request:?}");
        }
    }

    #[test]
    fn what_has_no_date_is_as_old_as_it_was_received() {
        let since = Conditions::read(&Headers::of(&[("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT")]));
        assert!(since.are_met_by(&Headers::new(), 784_111_777_000));
        assert!(!since.are_met_by(&Headers::new(), 784_111_778_000));
    }

    #[test]
    fn whoever_has_anything_has_what_has_no_tag() {
        let met = |value| Conditions::read(&Headers::of(&[("if-none-match", value)])).are_met_by(&Headers::new(), 0);
        assert!(met("*") && !met("\"a\"") && !met("\"*\""));
    }
}
