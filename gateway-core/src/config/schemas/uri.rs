//! The addresses that schemas refer to each other by (RFC 3986 §5), as far as a tool needs them that fetches nothing.

use std::fmt;

/// An address without a fragment. A file's has no scheme.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Uri {
    /// `https://host`, or all of an address without a path such as `urn:a:b`; empty for files.
    prefix: String,
    /// With its query.
    path: String,
}

impl Uri {
    /// The address of a file.
    pub fn file(path: &str) -> Self {
        Self { prefix: String::new(), path: path.replace('\\', "/") }
    }

    /// The path, if it is a file's.
    pub fn as_file(&self) -> Option<&str> {
        self.prefix.is_empty().then_some(self.path.as_str())
    }

    /// What a reference leads to that stands in something with this address, and the fragment with `%XX` decoded.
    pub fn resolve(&self, reference: &str) -> (Self, String) {
        let (address, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        (self.address(address), decode(fragment))
    }

    fn address(&self, reference: &str) -> Self {
        if reference.is_empty() {
            return self.clone();
        }
        if let Some((scheme, rest)) = reference.split_once(':')
            && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
        {
            return match rest.strip_prefix("//") {
                Some(rest) => Self::hierarchical(scheme, rest),
                None => Self { prefix: reference.to_owned(), path: String::new() },
            };
        }
        if let Some(rest) = reference.strip_prefix("//") {
            let scheme = self.prefix.split(':').next().unwrap_or_default();
            return Self::hierarchical(scheme, rest);
        }
        let path = match reference.strip_prefix('/') {
            Some(_) => reference.to_owned(),
            None => {
                let path = self.path.split('?').next().unwrap_or_default();
                let folder = path.rfind('/').map_or("", |slash| &path[..=slash]);
                format!("{folder}{reference}")
            }
        };
        Self { prefix: self.prefix.clone(), path: without_dots(&path) }
    }

    fn hierarchical(scheme: &str, rest: &str) -> Self {
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let path = if path.is_empty() { "/" } else { path };
        Self { prefix: format!("{}://{authority}", scheme.to_ascii_lowercase()), path: without_dots(path) }
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.prefix, self.path)
    }
}

/// Without `.` and `x/..`; what leads out of where a relative path begins stays.
fn without_dots(path: &str) -> String {
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    let mut kept: Vec<&str> = Vec::new();
    let segments: Vec<&str> = path.split('/').collect();
    for (place, segment) in segments.iter().enumerate() {
        let last = place + 1 == segments.len();
        match *segment {
            "." if last => kept.push(""),
            "." => {}
            ".." => {
                match kept.last() {
                    Some(&"") if kept.len() == 1 => {}
                    Some(&"..") | None => kept.push(".."),
                    Some(_) => drop(kept.pop()),
                }
                if last {
                    kept.push("");
                }
            }
            segment => kept.push(segment),
        }
    }
    let path = kept.join("/");
    query.map_or(path.clone(), |query| format!("{path}?{query}"))
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let digit = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16));
        match digit(at + 1).zip(digit(at + 2)).and_then(|(high, low)| u8::try_from(high << 4 | low).ok()) {
            Some(decoded) if byte == b'%' => {
                out.push(decoded);
                at += 3;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_lead_where_the_standard_says() {
        for (base, reference, address, fragment) in [
            ("a/gateway.yaml?7", "schemas/b.yaml#/x", "a/schemas/b.yaml", "/x"),
            ("a/gateway.yaml", "../b.yaml", "b.yaml", ""),
            ("gateway.yaml", "../b.yaml", "../b.yaml", ""),
            ("a.yaml", "#/a%25b", "a.yaml", "/a%b"),
            ("a.yaml", "http://h/x/../y#z", "http://h/y", "z"),
            ("http://h/a/b", "c", "http://h/a/c", ""),
            ("http://h/a/", "c/", "http://h/a/c/", ""),
            ("http://h/a/b", "/c", "http://h/c", ""),
            ("http://h", "c", "http://h/c", ""),
            ("urn:a:b", "#x", "urn:a:b", "x"),
            ("http://h/a", "urn:a:b#x", "urn:a:b", "x"),
        ] {
            let (base, _) = Uri::file("").resolve(base);
            let (found, at) = base.resolve(reference);
            assert_eq!((found.to_string().as_str(), at.as_str()), (address, fragment), "{base} {reference}");
        }
    }
}
