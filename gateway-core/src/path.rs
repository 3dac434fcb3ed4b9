//! Brings a request target to the one spelling that is both matched and forwarded.
//!
//! RFC 3986 §6.2.2: dot segments go, percent-encodings are upper case, encoded unreserved characters are decoded.
//! Whatever no path may hold in clear (RFC 3986 §3.3) is percent-encoded, so that no URL parser on the way changes it
//! again. Everything else stays: `%2F` is not `/`, `//` is not `/`, `a;b` is `a;b`.

use std::borrow::Cow;
use std::fmt;

/// A request target whose path is normalised and whose query is as received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Begins with `/`.
    pub path: String,
    /// What follows the first `?`, byte for byte; `None` where there is no `?`.
    pub query: Option<String>,
}

/// Why a target is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invalid {
    /// It does not begin with `/`.
    NotAbsolute,
    /// A `%` that two hexadecimal digits do not follow.
    PercentEncoding,
    /// A control character, in clear or (in the path) percent-encoded.
    Control,
    /// A backslash, which some origins read as a slash.
    Backslash,
    /// A `#`, which no request target may hold.
    Fragment,
    /// A segment `.` or `..` where none may be.
    Dots,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Invalid::NotAbsolute => "The request target must begin with `/`.",
            Invalid::PercentEncoding => "The path has a `%` that two hexadecimal digits do not follow.",
            Invalid::Control => "The request target has a control character.",
            Invalid::Backslash => "The path has a backslash.",
            Invalid::Fragment => "The request target has a `#`.",
            Invalid::Dots => "The path has a segment of dots.",
        })
    }
}

/// Splits a request target in origin-form (RFC 9112 §3.2.1) and normalises its path.
pub fn parse(target: &str) -> Result<Target, Invalid> {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    if let Some(query) = query {
        if query.bytes().any(|b| b.is_ascii_control()) {
            return Err(Invalid::Control);
        }
        if query.contains('#') {
            return Err(Invalid::Fragment);
        }
    }
    Ok(Target { path: normalise(path)?.into_owned(), query: query.map(str::to_owned) })
}

/// The path in the spelling that is matched and forwarded. Doing it twice changes nothing more.
pub fn normalise(path: &str) -> Result<Cow<'_, str>, Invalid> {
    spelt(path, false)
}

/// The same of a path that holds what a client has written elsewhere: there a segment of dots would lead out of where the
/// configuration says, so it is refused.
pub fn straight(path: &str) -> Result<Cow<'_, str>, Invalid> {
    spelt(path, true)
}

fn spelt(path: &str, straight: bool) -> Result<Cow<'_, str>, Invalid> {
    if !path.starts_with('/') {
        return Err(Invalid::NotAbsolute);
    }
    if is_normal(path.as_bytes()) {
        return Ok(Cow::Borrowed(path));
    }
    let mut out = String::with_capacity(path.len() + 8);
    let mut segments = path[1..].split('/').peekable();
    while let Some(segment) = segments.next() {
        let start = out.len();
        out.push('/');
        spell(segment, &mut out)?;
        match &out[start..] {
            "/." | "/.." if straight => return Err(Invalid::Dots),
            "/." => out.truncate(start),
            "/.." => {
                out.truncate(start);
                out.truncate(out.rfind('/').unwrap_or(0));
            }
            _ => continue,
        }
        if segments.peek().is_none() {
            out.push('/');
        }
    }
    if out.is_empty() {
        out.push('/');
    }
    Ok(Cow::Owned(out))
}

/// Whether normalising would change nothing, by looking only.
fn is_normal(path: &[u8]) -> bool {
    let mut dots = 0;
    let mut others = 0;
    for &b in path {
        match b {
            b'/' => {
                if others == 0 && matches!(dots, 1 | 2) {
                    return false;
                }
                (dots, others) = (0, 0);
            }
            b'.' => dots += 1,
            b if is_pchar(b) => others += 1,
            _ => return false,
        }
    }
    others > 0 || !matches!(dots, 1 | 2)
}

fn spell(segment: &str, out: &mut String) -> Result<(), Invalid> {
    let mut bytes = segment.bytes();
    while let Some(b) = bytes.next() {
        match b {
            b'%' => {
                let (Some(high), Some(low)) = (bytes.next().and_then(hex), bytes.next().and_then(hex)) else {
                    return Err(Invalid::PercentEncoding);
                };
                match high << 4 | low {
                    decoded if decoded.is_ascii_control() => return Err(Invalid::Control),
                    decoded if is_unreserved(decoded) => out.push(char::from(decoded)),
                    decoded => encode(decoded, out),
                }
            }
            b'\\' => return Err(Invalid::Backslash),
            b'#' => return Err(Invalid::Fragment),
            b if b.is_ascii_control() => return Err(Invalid::Control),
            b if is_pchar(b) => out.push(char::from(b)),
            b => encode(b, out),
        }
    }
    Ok(())
}

/// Writes `%XX`, in upper case.
pub(crate) fn encode(byte: u8, out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.push('%');
    out.push(char::from(DIGITS[usize::from(byte >> 4)]));
    out.push(char::from(DIGITS[usize::from(byte & 15)]));
}

fn hex(b: u8) -> Option<u8> {
    char::from(b).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// RFC 3986 §2.3.
pub(crate) fn is_unreserved(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~')
}

/// RFC 3986 §3.3, without `%`.
fn is_pchar(b: u8) -> bool {
    is_unreserved(b) || b"!$&'()*+,;=:@".contains(&b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_spelling() {
        for (received, normal) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/a/b/..", "/a/"),
            ("/a/b/.", "/a/b/"),
            ("/..", "/"),
            ("/../../x", "/x"),
            ("/a/%2e%2E/b", "/b"),
            ("/.%2e/x", "/x"),
            ("/a//b", "/a//b"),
            ("/a//../b", "/a/b"),
            ("//", "//"),
            ("//evil.example/x", "//evil.example/x"),
            ("/...", "/..."),
            ("/.a/..b/c.", "/.a/..b/c."),
            ("/%7euser/%41", "/~user/A"),
            ("/a%2fb", "/a%2Fb"),
            ("/a%252fb", "/a%252fb"),
            ("/%ff", "/%FF"),
            ("/a b\"<>`{}|^[]", "/a%20b%22%3C%3E%60%7B%7D%7C%5E%5B%5D"),
            ("/é", "/%C3%A9"),
            ("/a;b=1,2/c:d@e!$&'()*+", "/a;b=1,2/c:d@e!$&'()*+"),
        ] {
            assert_eq!(normalise(received).as_deref(), Ok(normal), "{received}");
        }
    }

    #[test]
    fn refused() {
        for (received, why) in [
            ("", Invalid::NotAbsolute),
            ("*", Invalid::NotAbsolute),
            ("a/b", Invalid::NotAbsolute),
            ("/%", Invalid::PercentEncoding),
            ("/%4", Invalid::PercentEncoding),
            ("/%4/x", Invalid::PercentEncoding),
            ("/%+1", Invalid::PercentEncoding),
            ("/%zz", Invalid::PercentEncoding),
            ("/a\\b", Invalid::Backslash),
            ("/a\0", Invalid::Control),
            ("/%00", Invalid::Control),
            ("/%0a", Invalid::Control),
            ("/a?b\x7f", Invalid::Control),
            ("/a#b", Invalid::Fragment),
            ("/a?b#c", Invalid::Fragment),
        ] {
            assert_eq!(parse(received), Err(why), "{received:?}");
        }
    }

    #[test]
    fn what_is_straight_climbs_nowhere() {
        for (path, expected) in [
            ("/a/b", Ok("/a/b")),
            ("/a/...", Ok("/a/...")),
            ("/a/..%2Fb", Ok("/a/..%2Fb")),
            ("/a b", Ok("/a%20b")),
            ("/a/..", Err(Invalid::Dots)),
            ("/./a", Err(Invalid::Dots)),
            ("/a/.%2e/b", Err(Invalid::Dots)),
            ("a", Err(Invalid::NotAbsolute)),
        ] {
            assert_eq!(straight(path).as_deref(), expected.as_ref().map(|path| *path), "{path}");
        }
    }

    #[test]
    fn the_query_is_kept_as_bytes() {
        let target = parse("/a/../b?x=%zz&y='\"&z=../..?").expect("legal");
        assert_eq!(target.path, "/b");
        assert_eq!(target.query.as_deref(), Some("x=%zz&y='\"&z=../..?"));
        assert_eq!(parse("/a?").expect("legal").query.as_deref(), Some(""));
    }

    proptest! {
        #[test]
        fn twice_is_once(path in "/([a-c./%2eE5f ;{é]|%2[eEfF]|%[46][1-9]){0,24}") {
            if let Ok(once) = normalise(&path) {
                prop_assert_eq!(normalise(&once), Ok(Cow::Borrowed(once.as_ref())));
                prop_assert!(!once.split('/').any(|s| s == "." || s == ".."));
                prop_assert!(is_normal(once.replace('%', "x").as_bytes()));
            }
        }

        #[test]
        fn anything_is_answered(path in any::<String>()) {
            let _ = parse(&path);
        }
    }
}
