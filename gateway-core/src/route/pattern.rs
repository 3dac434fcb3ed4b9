//! Path and host patterns: what they match, what they capture, and which of two is the more specific.

use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::fmt;

/// A path pattern: `/files`, `/users/{id:int}`, `/files/{*rest}`, or a prefix by whole segments.
///
/// Kept as the text that [`fmt::Display`] writes, where a prefix ends in `/…`: a table of many routes is mostly patterns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern {
    /// The segments between slashes; `/a/` has two, the last of them empty.
    pub segments: Vec<Segment>,
    /// What may follow them.
    pub tail: Tail,
}

/// One segment of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// These bytes, in the normalised spelling.
    Literal(String),
    /// `{name}` or `{name:kind}`: one whole segment that is not empty.
    Parameter(String, Kind),
}

/// What follows the segments of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tail {
    /// Nothing.
    Exact,
    /// `{*name}`: the rest of the path, at least one character.
    CatchAll(String),
    /// Nothing, or `/` and anything.
    Prefix,
}

/// What a parameter's segment must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Anything.
    Any,
    /// An optional `-` and digits.
    Int,
    /// RFC 9562 §4, in any case.
    Uuid,
    /// Hexadecimal digits.
    Hex,
    /// ASCII letters.
    Alpha,
    /// ASCII letters and digits.
    Alnum,
    /// Lower-case ASCII letters and digits, with single hyphens between.
    Slug,
    /// `YYYY-MM-DD` with a month and a day that exist.
    Date,
}

impl Kind {
    /// Every kind with the name by which patterns call it; `Any` goes without.
    pub const ALL: [(&'static str, Kind); 7] = [
        ("int", Kind::Int),
        ("uuid", Kind::Uuid),
        ("hex", Kind::Hex),
        ("alpha", Kind::Alpha),
        ("alnum", Kind::Alnum),
        ("slug", Kind::Slug),
        ("date", Kind::Date),
    ];

    /// Whether a segment is of this kind.
    pub fn accepts(self, segment: &str) -> bool {
        let all = |text: &str, test: fn(u8) -> bool| !text.is_empty() && text.bytes().all(test);
        match self {
            Kind::Any => !segment.is_empty(),
            Kind::Int => all(segment.strip_prefix('-').unwrap_or(segment), |b| b.is_ascii_digit()),
            Kind::Uuid => {
                segment.len() == 36
                    && segment.bytes().enumerate().all(|(at, b)| match at {
                        8 | 13 | 18 | 23 => b == b'-',
                        _ => b.is_ascii_hexdigit(),
                    })
            }
            Kind::Hex => all(segment, |b| b.is_ascii_hexdigit()),
            Kind::Alpha => all(segment, |b| b.is_ascii_alphabetic()),
            Kind::Alnum => all(segment, |b| b.is_ascii_alphanumeric()),
            Kind::Slug => segment.split('-').all(|word| all(word, |b| b.is_ascii_lowercase() || b.is_ascii_digit())),
            Kind::Date => is_date(segment),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Kind::ALL.iter().find(|(_, kind)| kind == self).map_or("any", |(name, _)| name);
        f.write_str(name)
    }
}

impl Pattern {
    /// Reads `/files/{id:int}/{*rest}`. Literals must already be in the normalised spelling, which the caller checks.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix('/') else {
            return Err(format!("`{text}` must begin with `/`"));
        };
        let mut segments = Vec::new();
        let mut names: Vec<&str> = Vec::new();
        let mut tail = Tail::Exact;
        let mut parts = rest.split('/').peekable();
        while let Some(part) = parts.next() {
            let Some(inside) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) else {
                if part.contains(['{', '}']) {
                    return Err(format!(
                        "in `{part}` the parameter is not a whole segment; use `path_regex` for parts of one"
                    ));
                }
                segments.push(Segment::Literal(part.to_owned()));
                continue;
            };
            let (name, kind) = match inside.split_once(':') {
                Some((name, kind)) => (name, Some(kind)),
                None => (inside, None),
            };
            let bare = name.strip_prefix('*').unwrap_or(name);
            if bare.is_empty() || !bare.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
                return Err(format!("`{{{inside}}}` needs a name of letters, digits and `_`"));
            }
            if names.contains(&bare) {
                return Err(format!("the parameter `{bare}` stands here twice"));
            }
            names.push(bare);
            if name.starts_with('*') {
                if parts.peek().is_some() {
                    return Err(format!("`{{{name}}}` takes the rest of the path and must come last"));
                }
                if kind.is_some() {
                    return Err(format!("`{{{inside}}}`: what takes the rest of the path has no kind"));
                }
                tail = Tail::CatchAll(bare.to_owned());
                break;
            }
            let kind = match kind {
                None => Kind::Any,
                Some(kind) => match Kind::ALL.iter().find(|(known, _)| *known == kind) {
                    Some((_, kind)) => *kind,
                    None => {
                        let known: Vec<_> = Kind::ALL.iter().map(|(name, _)| *name).collect();
                        return Err(format!("`{kind}` is no kind of parameter; there are {}", known.join(", ")));
                    }
                },
            };
            segments.push(Segment::Parameter(bare.to_owned(), kind));
        }
        Ok(Self { segments, tail })
    }

    /// Reads a prefix by whole segments; it may hold parameters too, and a slash at its end says nothing.
    pub fn parse_prefix(text: &str) -> Result<Self, String> {
        let mut pattern = Self::parse(text)?;
        if pattern.tail != Tail::Exact {
            return Err(format!("`{text}` takes the rest of the path twice; write it without `{{*…}}`"));
        }
        if pattern.segments.last() == Some(&Segment::Literal(String::new())) {
            pattern.segments.pop();
        }
        pattern.tail = Tail::Prefix;
        Ok(pattern)
    }

    /// Whether a normalised path is one that this describes, kinds of parameters included.
    pub fn matches(&self, path: &str) -> bool {
        let mut rest = path.strip_prefix('/');
        for segment in &self.segments {
            let Some(text) = rest else { return false };
            let (part, after) = split(text);
            let fits = match segment {
                Segment::Literal(literal) => literal == part,
                Segment::Parameter(_, kind) => !part.is_empty() && kind.accepts(part),
            };
            if !fits {
                return false;
            }
            rest = after;
        }
        match self.tail {
            Tail::Exact => rest.is_none(),
            Tail::CatchAll(_) => rest.is_some_and(|rest| !rest.is_empty()),
            Tail::Prefix => true,
        }
    }

    /// The parameter that a matched path does not fit, where a kind is not met.
    pub fn misfit(&self, path: &str) -> Option<(&str, Kind)> {
        let asks = |segment: &Segment| matches!(segment, Segment::Parameter(_, kind) if *kind != Kind::Any);
        if !self.segments.iter().any(asks) {
            return None;
        }
        let mut rest = path.strip_prefix('/');
        for segment in &self.segments {
            let (part, after) = split(rest?);
            if let Segment::Parameter(name, kind) = segment
                && !kind.accepts(part)
            {
                return Some((name, *kind));
            }
            rest = after;
        }
        None
    }

    /// A parameter's text in a matched path.
    pub fn parameter<'p>(&self, wanted: &str, path: &'p str) -> Option<&'p str> {
        let mut rest = path.strip_prefix('/');
        for segment in &self.segments {
            let (part, after) = split(rest?);
            if let Segment::Parameter(name, _) = segment
                && name == wanted
            {
                return Some(part);
            }
            rest = after;
        }
        match &self.tail {
            Tail::CatchAll(name) if name == wanted => rest,
            Tail::CatchAll(_) | Tail::Exact | Tail::Prefix => None,
        }
    }

    /// The names of the parameters, in order.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        let tail = match &self.tail {
            Tail::CatchAll(name) => Some(name.as_str()),
            Tail::Exact | Tail::Prefix => None,
        };
        self.segments
            .iter()
            .filter_map(|segment| match segment {
                Segment::Parameter(name, _) => Some(name.as_str()),
                Segment::Literal(_) => None,
            })
            .chain(tail)
    }

    /// Orders the more specific pattern first: segment by segment, a literal before a parameter of a kind before any
    /// parameter before the rest of the path before a prefix. Names and literal texts do not count.
    pub fn cmp_specificity(&self, other: &Self) -> Ordering {
        self.weights().cmp(other.weights())
    }

    fn weights(&self) -> impl Iterator<Item = u8> {
        let end = match self.tail {
            Tail::Exact => 0,
            Tail::CatchAll(_) => 4,
            Tail::Prefix => 5,
        };
        self.segments
            .iter()
            .map(|segment| match segment {
                Segment::Literal(_) => 1,
                Segment::Parameter(_, Kind::Any) => 3,
                Segment::Parameter(_, _) => 2,
            })
            .chain([end])
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            match segment {
                Segment::Literal(text) => write!(f, "/{text}")?,
                Segment::Parameter(name, Kind::Any) => write!(f, "/{{{name}}}")?,
                Segment::Parameter(name, kind) => write!(f, "/{{{name}:{kind}}}")?,
            }
        }
        match &self.tail {
            Tail::Exact => Ok(()),
            Tail::CatchAll(name) => write!(f, "/{{*{name}}}"),
            Tail::Prefix => f.write_str("/…"),
        }
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.strip_suffix("/…") {
            Some("") => Ok(Self { segments: Vec::new(), tail: Tail::Prefix }),
            Some(prefix) => Ok(Self { tail: Tail::Prefix, ..Self::parse(prefix)? }),
            None => Self::parse(&text),
        }
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> String {
        pattern.to_string()
    }
}

/// The first segment, and what follows its slash.
pub(super) fn split(rest: &str) -> (&str, Option<&str>) {
    match rest.bytes().position(|b| b == b'/') {
        Some(at) => (&rest[..at], Some(&rest[at + 1..])),
        None => (rest, None),
    }
}

fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return false;
    }
    let number = |range: std::ops::Range<usize>| -> Option<u32> {
        let digits = bytes.get(range)?;
        digits.iter().try_fold(0, |sum, b| b.is_ascii_digit().then(|| sum * 10 + u32::from(b - b'0')))
    };
    let (Some(year), Some(month), Some(day)) = (number(0..4), number(5..7), number(8..10)) else { return false };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return false,
    };
    (1..=days).contains(&day)
}

/// A host pattern.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Host {
    /// Any host, and none.
    #[serde(rename = "a")]
    Any,
    /// This host, in lower case.
    #[serde(rename = "e")]
    Exact(String),
    /// `*.example.com`, kept as `example.com`: one or more labels before it.
    #[serde(rename = "w")]
    Wildcard(String),
}

impl Host {
    /// Reads `api.example.com`, `*.example.com`, `192.0.2.1` or `[2001:db8::1]`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        let (name, wildcard) = match lower.strip_prefix("*.") {
            Some(rest) => (rest, true),
            None => (lower.as_str(), false),
        };
        if name.contains('*') {
            return Err(format!("`{text}`: `*` stands only for whole labels at the front, as in `*.example.com`"));
        }
        match authority(name) {
            Some((host, None)) => {
                Ok(if wildcard { Host::Wildcard(host.to_owned()) } else { Host::Exact(host.to_owned()) })
            }
            Some((_, Some(_))) => Err(format!("`{text}`: a host is matched without its port")),
            None => Err(format!("`{text}` is not a host name; names with other letters go in their `xn--` form")),
        }
    }

    /// Whether a host (lower case, without port) is one that this describes.
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Host::Any => true,
            Host::Exact(name) => name == host,
            Host::Wildcard(suffix) => host
                .strip_suffix(suffix.as_str())
                .and_then(|rest| rest.strip_suffix('.'))
                .is_some_and(|labels| !labels.is_empty()),
        }
    }

    /// Orders the more specific first: exact, then wildcards with more labels, then any.
    pub fn cmp_specificity(&self, other: &Self) -> Ordering {
        self.weight().cmp(&other.weight())
    }

    fn weight(&self) -> (u8, usize) {
        match self {
            Host::Exact(_) => (0, 0),
            Host::Wildcard(suffix) => (1, usize::MAX - suffix.split('.').count()),
            Host::Any => (2, 0),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Any => f.write_str("any host"),
            Host::Exact(name) => f.write_str(name),
            Host::Wildcard(suffix) => write!(f, "*.{suffix}"),
        }
    }
}

/// Splits `host[:port]` (RFC 3986 §3.2, without user information). The host's one trailing dot is cut, as a fully
/// qualified name is the same name. `None` where it is malformed.
pub fn authority(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = if text.starts_with('[') {
        let end = text.find(']')?;
        text[1..end].parse::<std::net::Ipv6Addr>().ok()?;
        (&text[..=end], &text[end + 1..])
    } else {
        let end = text.find(':').unwrap_or(text.len());
        let host = text[..end].strip_suffix('.').unwrap_or(&text[..end]);
        let well_formed = !host.is_empty()
            && host.len() <= 253
            && host.split('.').all(|label| {
                !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            });
        if !well_formed {
            return None;
        }
        (host, &text[end..])
    };
    let port = match port.strip_prefix(':') {
        Some("") => None,
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => Some(digits.parse().ok()?),
        Some(_) => return None,
        None if port.is_empty() => None,
        None => return None,
    };
    Some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_and_capture() {
        for (pattern, path, matched, parameter) in [
            ("/", "/", true, None),
            ("/", "/a", false, None),
            ("/a", "/a/", false, None),
            ("/a/", "/a/", true, None),
            ("/a/{x}", "/a/b", true, Some("b")),
            ("/a/{x}", "/a/", false, None),
            ("/a/{x}", "/a/b/c", false, None),
            ("/a/{x:int}", "/a/-12", true, Some("-12")),
            ("/a/{x:int}", "/a/12a", false, None),
            ("/a/{*x}", "/a/b/c", true, Some("b/c")),
            ("/a/{*x}", "/a//c", true, Some("/c")),
            ("/a/{*x}", "/a/", false, None),
            ("/a/{*x}", "/a", false, None),
            ("/{*x}", "/a", true, Some("a")),
            ("/{y}/b/{x}", "/a/b/c%2Fd", true, Some("c%2Fd")),
        ] {
            let parsed = Pattern::parse(pattern).expect("a pattern");
            assert_eq!(parsed.matches(path), matched, "{pattern} {path}");
            assert_eq!(parsed.to_string(), pattern);
            assert_eq!(Pattern::try_from(parsed.to_string()).as_ref(), Ok(&parsed), "{pattern}");
            if matched {
                assert_eq!(parsed.parameter("x", path), parameter, "{pattern} {path}");
            }
        }
    }

    #[test]
    fn prefixes_are_of_whole_segments() {
        for (prefix, path, matched) in [
            ("/files", "/files", true),
            ("/files", "/files/", true),
            ("/files/", "/files", true),
            ("/files", "/files/a/b", true),
            ("/files", "/filesystem", false),
            ("/", "/anything", true),
            ("/{tenant}/api", "/t/api/x", true),
        ] {
            let parsed = Pattern::parse_prefix(prefix).expect("a prefix");
            assert_eq!(parsed.matches(path), matched, "{prefix} {path}");
            assert_eq!(Pattern::try_from(parsed.to_string()), Ok(parsed), "{prefix}");
        }
    }

    #[test]
    fn what_is_no_pattern_says_why() {
        for (pattern, why) in [
            ("a", "must begin"),
            ("/{a}b", "whole segment"),
            ("/{}", "needs a name"),
            ("/{a}/{a}", "twice"),
            ("/{*a}/b", "come last"),
            ("/{a:integer}", "no kind"),
        ] {
            assert!(Pattern::parse(pattern).is_err_and(|error| error.contains(why)), "{pattern}");
        }
    }

    #[test]
    fn kinds() {
        for (kind, good, bad) in [
            (Kind::Uuid, "0190A3f0-7c1b-7e2d-9a33-0123456789ab", "0190a3f0-7c1b-7e2d-9a33-0123456789a"),
            (Kind::Date, "2024-02-29", "2023-02-29"),
            (Kind::Slug, "a-b-1", "a--b"),
            (Kind::Hex, "dEaD", "xyz"),
            (Kind::Alpha, "abc", "ab1"),
            (Kind::Alnum, "ab1", "a-b"),
            (Kind::Int, "-0", "-"),
        ] {
            assert!(kind.accepts(good), "{kind} {good}");
            assert!(!kind.accepts(bad), "{kind} {bad}");
            assert!(!kind.accepts(""), "{kind}");
        }
    }

    #[test]
    fn hosts() {
        let wildcard = Host::parse("*.Example.com").expect("a host");
        assert!(wildcard.matches("a.example.com") && wildcard.matches("b.a.example.com"));
        assert!(
            !wildcard.matches("example.com")
                && !wildcard.matches("badexample.com")
                && !wildcard.matches(".example.com")
        );
        for wrong in ["", "a b", "a.*.com", "*", "a:80", "a@b", "a..b", "[::1", "é.com"] {
            assert!(Host::parse(wrong).is_err(), "{wrong}");
        }
        for (text, parts) in [
            ("a.b:80", Some(("a.b", Some(80)))),
            ("a.b.:", Some(("a.b", None))),
            ("[::1]:8080", Some(("[::1]", Some(8080)))),
            ("u@a", None),
            ("a:99999", None),
            ("a,b", None),
            ("[x]", None),
            ("a:+1", None),
        ] {
            assert_eq!(authority(text), parts, "{text}");
        }
    }
}
