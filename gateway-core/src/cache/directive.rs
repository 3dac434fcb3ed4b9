//! Reads `Cache-Control` of responses and requests (RFC 9111 §5.2), and the targeted fields that outrank it (RFC 9213).

use crate::http::Headers;
use sfv::{BareItem, Dictionary, ListEntry, Parser};

/// A directive that may name fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Named {
    /// It is not there.
    #[default]
    Absent,
    /// It is about the whole response.
    Whole,
    /// It is about these fields, in lower case.
    Fields(Vec<String>),
}

/// What a response says of its storing and use. Times are seconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Directives {
    /// `max-age`.
    pub max_age: Option<u64>,
    /// `s-maxage`.
    pub s_maxage: Option<u64>,
    /// `no-store`.
    pub no_store: bool,
    /// `no-cache`.
    pub no_cache: Named,
    /// `private`.
    pub private: Named,
    /// `public`.
    pub public: bool,
    /// `must-revalidate`.
    pub must_revalidate: bool,
    /// `proxy-revalidate`.
    pub proxy_revalidate: bool,
    /// `must-understand`.
    pub must_understand: bool,
    /// `immutable` (RFC 8246).
    pub immutable: bool,
    /// `stale-while-revalidate` (RFC 5861).
    pub stale_while_revalidate: Option<u64>,
    /// `stale-if-error` (RFC 5861).
    pub stale_if_error: Option<u64>,
    /// Whether a targeted field has said all this, so that `Expires` counts for nothing.
    pub targeted: bool,
}

/// What a request says of the answers that it would take (RFC 9111 §5.2.1). Times are seconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wishes {
    /// `max-age`: no older than this.
    pub max_age: Option<u64>,
    /// `max-stale`: stale by no more than this; `u64::MAX`: by anything.
    pub max_stale: Option<u64>,
    /// `min-fresh`: fresh for at least this long from now on.
    pub min_fresh: Option<u64>,
    /// `no-cache`: only when the origin has been asked.
    pub no_cache: bool,
    /// `no-store`: nothing of this is kept.
    pub no_store: bool,
    /// `only-if-cached`: the origin is not asked.
    pub only_if_cached: bool,
    /// `stale-if-error` (RFC 5861).
    pub stale_if_error: Option<u64>,
}

/// The largest time that counts, in seconds (RFC 9111 §1.2.2): some 68 years.
pub const LONGEST: u64 = 1 << 31;

impl Directives {
    /// What a response says. Of the targeted fields, the first in the list that is there and can be read counts alone
    /// (RFC 9213 §2.2).
    pub fn read(headers: &Headers, targeted: &[String]) -> Self {
        targeted.iter().find_map(|name| Self::read_targeted(headers, name)).unwrap_or_else(|| Self::read_plain(headers))
    }

    fn read_plain(headers: &Headers) -> Self {
        let mut read = Self::default();
        for (name, value) in members(headers, "cache-control") {
            read.take(&name, Value::Text(value.as_deref()));
        }
        read
    }

    fn read_targeted(headers: &Headers, field: &str) -> Option<Self> {
        let lines: Vec<&[u8]> = headers.all(field).collect();
        if lines.is_empty() {
            return None;
        }
        // A field that cannot be read is as good as none.
        let mut dictionary: Dictionary = Parser::new(&lines.join(&b", "[..])).parse().ok()?;
        // RFC 9213 §2.1: parameters are ignored. Those of the older field say for which device a directive is meant, and nobody has
        // named us.
        if field == "surrogate-control" {
            dictionary.retain(|_, entry| !matches!(entry, ListEntry::Item(item) if !item.params.is_empty()));
        }
        if dictionary.is_empty() {
            return None;
        }
        let mut read = Self { targeted: true, ..Self::default() };
        for (name, entry) in &dictionary {
            let ListEntry::Item(item) = entry else { continue };
            match &item.bare_item {
                BareItem::Boolean(true) => read.take(name.as_str(), Value::Text(None)),
                BareItem::Integer(seconds) => {
                    // Below zero it is no time.
                    read.take(name.as_str(), Value::Seconds(u64::try_from(i64::from(*seconds)).unwrap_or(0)));
                }
                BareItem::String(text) => read.take(name.as_str(), Value::Text(Some(text.as_str()))),
                BareItem::Token(text) => read.take(name.as_str(), Value::Text(Some(text.as_str()))),
                BareItem::Boolean(false)
                | BareItem::Decimal(_)
                | BareItem::ByteSequence(_)
                | BareItem::Date(_)
                | BareItem::DisplayString(_) => {}
            }
        }
        Some(read)
    }

    fn take(&mut self, name: &str, value: Value<'_>) {
        match name {
            "max-age" => strictest(&mut self.max_age, value.seconds()),
            "s-maxage" => strictest(&mut self.s_maxage, value.seconds()),
            "stale-while-revalidate" => strictest(&mut self.stale_while_revalidate, value.seconds()),
            "stale-if-error" => strictest(&mut self.stale_if_error, value.seconds()),
            "no-store" => self.no_store = true,
            "no-cache" => self.no_cache.join(&value),
            "private" => self.private.join(&value),
            "public" => self.public = true,
            "must-revalidate" => self.must_revalidate = true,
            "proxy-revalidate" => self.proxy_revalidate = true,
            "must-understand" => self.must_understand = true,
            "immutable" => self.immutable = true,
            // RFC 9111 §5.2.3: what is not known is ignored.
            _ => {}
        }
    }

    /// Whether the response may not be used once it is stale (RFC 9111 §4.2.4): `s-maxage` says so too (§5.2.2.10).
    pub fn forbids_stale(&self) -> bool {
        self.must_revalidate || self.proxy_revalidate || self.s_maxage.is_some()
    }
}

impl Wishes {
    /// What a request says.
    pub fn read(headers: &Headers) -> Self {
        let mut read = Self::default();
        for (name, value) in members(headers, "cache-control") {
            let seconds = || value.as_deref().and_then(seconds);
            match name.as_str() {
                "max-age" => strictest(&mut read.max_age, seconds().unwrap_or(0)),
                "max-stale" if value.is_none() => read.max_stale = Some(u64::MAX),
                "max-stale" => read.max_stale = seconds().or(read.max_stale),
                "min-fresh" => read.min_fresh = seconds().or(read.min_fresh),
                "stale-if-error" => read.stale_if_error = seconds().or(read.stale_if_error),
                "no-cache" => read.no_cache = true,
                "no-store" => read.no_store = true,
                "only-if-cached" => read.only_if_cached = true,
                _ => {}
            }
        }
        read
    }
}

impl Named {
    fn join(&mut self, value: &Value<'_>) {
        let Value::Text(Some(text)) = value else {
            *self = Named::Whole;
            return;
        };
        let names = text.split(',').map(|name| name.trim().to_ascii_lowercase()).filter(|name| !name.is_empty());
        let names: Vec<String> = names.collect();
        match self {
            // Whoever names no field after all means everything.
            _ if names.is_empty() => *self = Named::Whole,
            Named::Absent => *self = Named::Fields(names),
            Named::Fields(known) => known.extend(names),
            Named::Whole => {}
        }
    }

    /// The fields that are named.
    pub fn fields(&self) -> &[String] {
        match self {
            Named::Fields(fields) => fields,
            Named::Absent | Named::Whole => &[],
        }
    }
}

enum Value<'a> {
    Text(Option<&'a str>),
    Seconds(u64),
}

impl Value<'_> {
    /// RFC 9111 §4.2.1: what is no time makes the response stale.
    fn seconds(&self) -> u64 {
        match self {
            Value::Text(text) => text.and_then(seconds).unwrap_or(0),
            Value::Seconds(seconds) => (*seconds).min(LONGEST),
        }
    }
}

/// RFC 9111 §4.2.1: of two values that do not agree, the more restrictive one.
fn strictest(known: &mut Option<u64>, value: u64) {
    *known = Some(known.map_or(value, |known| known.min(value)));
}

/// Delta-seconds (RFC 9111 §1.2.2): digits, and what is too large is the largest.
pub fn seconds(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse::<u64>().unwrap_or(LONGEST).min(LONGEST))
}

/// The directives of a field over all its lines: names in lower case, values without their quotes. A comma in quotes separates
/// nothing.
fn members(headers: &Headers, field: &str) -> Vec<(String, Option<String>)> {
    let mut members = Vec::new();
    for line in headers.all(field) {
        let mut rest = line;
        while !rest.is_empty() {
            let end = rest.iter().position(|byte| matches!(byte, b',' | b'=')).unwrap_or(rest.len());
            let name = String::from_utf8_lossy(&rest[..end]).trim().to_ascii_lowercase();
            let (value, behind) = match rest.get(end) {
                Some(b'=') => {
                    let (value, behind) = value(&rest[end + 1..]);
                    (Some(value), behind)
                }
                Some(_) | None => (None, &rest[end..]),
            };
            if !name.is_empty() {
                members.push((name, value));
            }
            // Past the comma, and past what stands between a quoted value and it.
            rest = behind.iter().position(|byte| *byte == b',').map_or(&[][..], |comma| &behind[comma + 1..]);
        }
    }
    members
}

/// A token or a quoted string, and what follows it.
fn value(text: &[u8]) -> (String, &[u8]) {
    let [b'"', quoted @ ..] = text else {
        let end = text.iter().position(|byte| *byte == b',').unwrap_or(text.len());
        return (String::from_utf8_lossy(&text[..end]).trim().to_owned(), &text[end..]);
    };
    let mut value = Vec::new();
    let mut bytes = quoted.iter().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return (String::from_utf8_lossy(&value).into_owned(), &quoted[at + 1..]),
            b'\\' => value.extend(bytes.next().map(|(_, byte)| *byte)),
            byte => value.push(*byte),
        }
    }
    // It never ends: all of it is the value.
    (String::from_utf8_lossy(&value).into_owned(), &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Directives {
        Directives::read(&Headers::of(&[("cache-control", value)]), &[])
    }

    #[test]
    fn times_are_digits_and_the_strictest_counts() {
        for (value, max_age) in [
            ("max-age=60", Some(60)),
            ("MAX-AGE=60", Some(60)),
            ("max-age=\"60\"", Some(60)),
            ("max-age=0060", Some(60)),
            ("max-age=99999999999999999999999", Some(LONGEST)),
            ("max-age=60, max-age=5", Some(5)),
            ("max-age='60'", Some(0)),
            ("max-age=60.0", Some(0)),
            ("max-age=-1", Some(0)),
            ("max-age", Some(0)),
            ("max-age =60", Some(60)),
            ("s-maxage=60", None),
            ("x=\"max-age=60\"", None),
            ("x=\"a, max-age=60\", max-age=1", Some(1)),
            ("x=\"a\\\", max-age=60", None),
            ("", None),
            (",,max-age=1,", Some(1)),
        ] {
            assert_eq!(read(value).max_age, max_age, "{value}");
        }
    }

    #[test]
    fn directives_may_name_fields() {
        assert_eq!(read("no-cache").no_cache, Named::Whole);
        assert_eq!(read("private=\"A, b\"").private, Named::Fields(vec!["a".into(), "b".into()]));
        assert_eq!(read("private=\"a\", private").private, Named::Whole);
        assert_eq!(read("private=\"\"").private, Named::Whole);
        assert_eq!(read("max-age=1, no-cache=\"x\", must-understand").no_cache, Named::Fields(vec!["x".into()]));
    }

    #[test]
    fn what_is_said_to_us_outranks_what_is_said_to_all() {
        let ours: Vec<String> = vec!["own".into(), "cdn-cache-control".into()];
        let read = |lines: &[(&str, &str)]| Directives::read(&Headers::of(lines), &ours);
        let both = read(&[("cache-control", "no-store"), ("cdn-cache-control", "max-age=60, public")]);
        assert_eq!((both.max_age, both.no_store, both.public, both.targeted), (Some(60), false, true, true));
        let first = read(&[("cdn-cache-control", "max-age=60"), ("own", "no-store")]);
        assert_eq!((first.max_age, first.no_store), (None, true));
        // RFC 9213 §2.1: what cannot be read, or is empty, is as good as absent.
        for broken in ["max-age=60, ;", "", "max-age=\"60"] {
            let read = read(&[("cache-control", "max-age=1"), ("cdn-cache-control", broken)]);
            assert_eq!((read.max_age, read.targeted), (Some(1), false), "{broken}");
        }
        let private = read(&[("cdn-cache-control", "private=\"set-cookie\", max-age=2.5, s-maxage=3")]);
        assert_eq!(
            (private.private, private.max_age, private.s_maxage),
            (Named::Fields(vec!["set-cookie".into()]), None, Some(3))
        );
    }

    #[test]
    fn parameters_are_ignored_save_where_they_say_for_whom_a_directive_is() {
        let ours: Vec<String> = vec!["cdn-cache-control".into(), "surrogate-control".into()];
        let read = |field: &str, value: &str| {
            let read = Directives::read(&Headers::of(&[("cache-control", "max-age=1"), (field, value)]), &ours);
            (read.max_age, read.no_store, read.targeted)
        };
        assert_eq!(read("cdn-cache-control", "max-age=3;other, no-store;x=1"), (Some(3), true, true));
        assert_eq!(read("surrogate-control", "max-age=3;other, no-store"), (None, true, true));
        assert_eq!(
            read("surrogate-control", "no-store;other"),
            (Some(1), false, false),
            "nothing is left that is for us"
        );
    }

    #[test]
    fn requests_say_what_they_take() {
        let read = |value| Wishes::read(&Headers::of(&[("cache-control", value)]));
        assert_eq!(read("max-stale").max_stale, Some(u64::MAX));
        assert_eq!(read("max-stale=5, min-fresh=3").max_stale, Some(5));
        assert_eq!(read("max-age=0, only-if-cached").max_age, Some(0));
        assert!(read("No-Cache").no_cache && read("no-store").no_store && read("only-if-cached").only_if_cached);
        assert_eq!(read("nothing-to-see-here"), Wishes::default());
    }
}
