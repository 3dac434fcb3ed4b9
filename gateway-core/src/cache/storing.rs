//! What may be stored (RFC 9111 §3), and for how long it may be used.

use super::directive::{Directives, Named};
use super::entry::{Entry, Field};
use super::fresh::{self, Lifetime, Times};
use crate::http::{Headers, list};
use serde::{Deserialize, Serialize};

/// What the configuration says of storing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Terms {
    /// How long responses of these statuses are fresh, in seconds, where the origin does not say. The first that fits counts.
    #[serde(rename = "t", skip_serializing_if = "Vec::is_empty")]
    pub ttl: Vec<(Statuses, u64)>,
    /// Whether these times count whatever the origin says of freshness.
    #[serde(rename = "o", skip_serializing_if = "std::ops::Not::not")]
    pub overrides: bool,
    /// `stale-while-revalidate` where the origin does not say, in seconds.
    #[serde(rename = "w")]
    pub while_revalidate: u64,
    /// `stale-if-error` where the origin does not say, in seconds.
    #[serde(rename = "e")]
    pub if_error: u64,
    /// Whether what a known caller gets may be given to others although the origin does not say so.
    #[serde(rename = "a", skip_serializing_if = "std::ops::Not::not")]
    pub across_callers: bool,
    /// What becomes of responses that set cookies.
    #[serde(rename = "c")]
    pub set_cookie: SetCookie,
    /// The most bytes of a body.
    #[serde(rename = "b")]
    pub body: u64,
    /// The targeted fields that outrank `Cache-Control`, in lower case.
    #[serde(rename = "f", skip_serializing_if = "Vec::is_empty")]
    pub targeted: Vec<String>,
    /// Fields of the request that are written behind the cache, which so cannot tell by them.
    #[serde(rename = "u", skip_serializing_if = "Vec::is_empty")]
    pub unseen: Vec<String>,
}

/// Statuses that a time is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Statuses {
    /// This one.
    One(u16),
    /// All of this hundred.
    Hundred(u16),
    /// Those that may be reused without being told so (RFC 9110 §15.1).
    Usual,
}

impl Statuses {
    fn include(self, status: u16) -> bool {
        match self {
            Statuses::One(one) => one == status,
            Statuses::Hundred(hundred) => status / 100 == hundred,
            Statuses::Usual => fresh::is_heuristically_cacheable(status),
        }
    }
}

/// What becomes of responses that set cookies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SetCookie {
    /// They are not stored.
    #[default]
    Bypass,
    /// They are stored without their cookies.
    Strip,
    /// They are stored as they are, and everybody gets the cookies of the first.
    Store,
}

/// What of a request decides whether its response may be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Whether it came with a credential: the response may be for this caller only.
    pub authorized: bool,
    /// Whether the client wants nothing of it kept.
    pub no_store: bool,
    /// The address: `https://host/path?query`.
    pub url: String,
}

/// Why a response is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The client does not want it.
    Request,
    /// Its status is not one to be stored, or not understood where it must be.
    Status,
    /// `no-store`.
    NoStore,
    /// `private`.
    Private,
    /// It answers a request with a credential, and nothing says that others may have it (§3.5).
    Authorized,
    /// `Vary: *`, or by something that is not known here.
    Vary,
    /// It sets cookies.
    SetCookie,
    /// Nothing says that it may be, or for how long.
    Unsaid,
    /// It could never be used.
    Useless,
    /// Its body is too long.
    TooLarge,
    /// It confirms another response than the one that is stored (§4.3.4).
    Another,
    /// Something behind the cache changes its body piece by piece, on the way to the client.
    Changed,
    /// It tells of errors, whatever its status.
    Errors,
}

impl Why {
    /// A word for `Cache-Status` (RFC 9211 §2.8).
    pub fn as_str(self) -> &'static str {
        match self {
            Why::Request => "request-no-store",
            Why::Status => "status",
            Why::NoStore => "no-store",
            Why::Private => "private",
            Why::Authorized => "authorized",
            Why::Vary => "vary",
            Why::SetCookie => "set-cookie",
            Why::Unsaid => "unsaid",
            Why::Useless => "stale",
            Why::TooLarge => "too-large",
            Why::Another => "another",
            Why::Changed => "changed",
            Why::Errors => "errors",
        }
    }
}

/// A response that may be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storable {
    /// What is stored.
    pub entry: Entry,
    /// The fields of the request by which it was chosen, in lower case and in order.
    pub vary: Vec<String>,
}

/// Whether a response may be stored, and what then is.
pub fn judge(asked: &Asked, status: u16, headers: &Headers, terms: &Terms, times: Times) -> Result<Storable, Why> {
    if asked.no_store {
        return Err(Why::Request);
    }
    // A part, that nothing has changed, or that a condition or a range of this request does not hold is no answer for others; nor is an
    // interim response.
    if !(200..=599).contains(&status) || matches!(status, 206 | 304 | 412 | 416) {
        return Err(Why::Status);
    }
    let said = Directives::read(headers, &terms.targeted);
    // §5.2.2.3: whoever understands the status ignores `no-store` beside `must-understand`.
    match (said.must_understand, said.no_store) {
        (true, _) if !fresh::is_understood(status) => return Err(Why::Status),
        (false, true) => return Err(Why::NoStore),
        (true, _) | (false, false) => {}
    }
    if said.private == Named::Whole {
        return Err(Why::Private);
    }
    let shared = said.public || said.s_maxage.is_some() || said.must_revalidate || terms.across_callers;
    if asked.authorized && !shared {
        return Err(Why::Authorized);
    }
    let vary = vary(headers).ok_or(Why::Vary)?;
    if vary.iter().any(|name| terms.unseen.contains(name)) {
        return Err(Why::Vary);
    }
    let left_out = |name: &str| {
        said.private.fields().iter().chain(said.no_cache.fields()).any(|field| field == name)
            || is_for_one_connection(name)
            || name == "age"
            || name == "set-cookie" && terms.set_cookie == SetCookie::Strip
    };
    if terms.set_cookie == SetCookie::Bypass && headers.contains("set-cookie") && !left_out("set-cookie") {
        return Err(Why::SetCookie);
    }
    if headers.content_length().is_some_and(|length| length > terms.body) {
        return Err(Why::TooLarge);
    }
    let ttl = terms.ttl.iter().find(|(statuses, _)| statuses.include(status)).map(|(_, seconds)| *seconds);
    let overridden = terms.overrides && ttl.is_some();
    let told = fresh::lifetime(status, headers, &said, times);
    let is_told = matches!(told, Lifetime::Said(_)) || said.public || ttl.is_some();
    if !is_told && !fresh::is_heuristically_cacheable(status) {
        return Err(Why::Unsaid);
    }
    let age = fresh::initial_age(headers, times);
    let initial_age = age.unwrap_or(super::directive::LONGEST);
    let lifetime = match (told, ttl) {
        // A time of ours begins now.
        (Lifetime::Guessed(_) | Lifetime::Unknown, Some(seconds)) => initial_age.saturating_add(seconds),
        (Lifetime::Said(_), Some(seconds)) if overridden => initial_age.saturating_add(seconds),
        (Lifetime::Said(seconds) | Lifetime::Guessed(seconds), _) => seconds,
        (Lifetime::Unknown, None) => 0,
    };
    let no_cache = said.no_cache == Named::Whole && !overridden;
    let forbids_stale = said.forbids_stale();
    let window = |said: Option<u64>, ours: u64| if forbids_stale || no_cache { 0 } else { said.unwrap_or(ours) };
    let entry = Entry {
        status,
        fields: headers
            .iter()
            .filter(|(name, _)| !left_out(name))
            .map(|(name, value)| Field::new(name, value))
            .collect(),
        received: times.received,
        requested: times.requested,
        initial_age,
        lifetime,
        while_revalidate: window(said.stale_while_revalidate, terms.while_revalidate),
        if_error: window(said.stale_if_error, terms.if_error),
        no_cache,
        forbids_stale,
        immutable: said.immutable,
        url: asked.url.clone(),
        tags: tags(headers),
    };
    // With `no-cache` it is only good for being confirmed.
    let is_useless = if no_cache { !entry.has_validator() } else { entry.keep_for(times.received) == 0 };
    if is_useless {
        return Err(Why::Useless);
    }
    Ok(Storable { entry, vary })
}

/// What §3.1 keeps out of stores. `Connection` and the fields that it names are gone before a response comes here.
fn is_for_one_connection(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authentication-info"
            | "proxy-authorization"
            | "proxy-connection"
            | "proxy-status"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// The fields by which a response was chosen; `None`: by something that no request shows.
pub fn vary(headers: &Headers) -> Option<Vec<String>> {
    let mut names: Vec<String> = list(headers, "vary").map(str::to_ascii_lowercase).collect();
    // A field that is no text may name anything.
    if names.iter().any(|name| name == "*") || headers.all("vary").any(|line| std::str::from_utf8(line).is_err()) {
        return None;
    }
    names.sort();
    names.dedup();
    Some(names)
}

/// `Cache-Tag` has commas between its tags, `Surrogate-Key` spaces.
fn tags(headers: &Headers) -> Vec<String> {
    let spaced = list(headers, "surrogate-key").flat_map(|keys| keys.split_ascii_whitespace());
    let mut tags: Vec<String> = list(headers, "cache-tag").chain(spaced).map(str::to_owned).collect();
    tags.sort();
    tags.dedup();
    tags.truncate(MOST_TAGS);
    tags
}

/// How many tags of a response count. More of them than this take room in the store without end.
pub const MOST_TAGS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: Times = Times { requested: 784_111_777_000, received: 784_111_777_000 };

    fn terms() -> Terms {
        Terms { body: 100, ..Terms::default() }
    }

    fn asked() -> Asked {
        Asked { authorized: false, no_store: false, url: "http://a/".to_owned() }
    }

    fn stored(terms: &Terms, asked: &Asked, status: u16, lines: &[(&str, &str)]) -> Result<Entry, Why> {
        judge(asked, status, &Headers::of(lines), terms, TIMES).map(|storable| storable.entry)
    }

    #[test]
    fn what_may_be_stored() {
        let cc = |value| [("cache-control", value)];
        let (known, secret) = (Asked { authorized: true, ..asked() }, Asked { no_store: true, ..asked() });
        for (asked, status, lines, expected) in [
            (asked(), 200, &cc("max-age=60")[..], Ok(60)),
            (asked(), 200, &[], Err(Why::Useless)),
            (asked(), 200, &[("etag", "\"a\"")], Ok(0)),
            (asked(), 201, &[("etag", "\"a\"")], Err(Why::Unsaid)),
            (asked(), 201, &cc("max-age=60"), Ok(60)),
            (asked(), 206, &cc("max-age=60"), Err(Why::Status)),
            (asked(), 304, &cc("max-age=60"), Err(Why::Status)),
            (asked(), 412, &cc("max-age=60"), Err(Why::Status)),
            (asked(), 416, &cc("max-age=60"), Err(Why::Status)),
            (asked(), 101, &cc("max-age=60"), Err(Why::Status)),
            (asked(), 599, &cc("max-age=60"), Ok(60)),
            (asked(), 599, &cc("max-age=60, must-understand"), Err(Why::Status)),
            (asked(), 200, &cc("max-age=60, must-understand, no-store"), Ok(60)),
            (asked(), 200, &cc("max-age=60, no-store"), Err(Why::NoStore)),
            (asked(), 200, &cc("max-age=60, private"), Err(Why::Private)),
            (asked(), 200, &cc("max-age=60, private=\"x\""), Ok(60)),
            (asked(), 200, &cc("max-age=60, no-cache"), Err(Why::Useless)),
            (secret, 200, &cc("max-age=60"), Err(Why::Request)),
            (known.clone(), 200, &cc("max-age=60"), Err(Why::Authorized)),
            (known.clone(), 200, &cc("max-age=60, proxy-revalidate"), Err(Why::Authorized)),
            (known.clone(), 200, &cc("max-age=60, public"), Ok(60)),
            (known.clone(), 200, &cc("max-age=60, must-revalidate"), Ok(60)),
            (known, 200, &cc("s-maxage=60"), Ok(60)),
            (asked(), 200, &[("cache-control", "max-age=60"), ("vary", "a, *")], Err(Why::Vary)),
            (asked(), 200, &[("cache-control", "max-age=60"), ("set-cookie", "a=1")], Err(Why::SetCookie)),
            (asked(), 200, &[("cache-control", "max-age=60, no-cache=\"set-cookie\""), ("set-cookie", "a=1")], Ok(60)),
            (asked(), 200, &[("cache-control", "max-age=60"), ("content-length", "101")], Err(Why::TooLarge)),
            (asked(), 200, &[("cache-control", "max-age=60"), ("age", "60")], Err(Why::Useless)),
        ] {
            let found = stored(&terms(), &asked, status, lines).map(|entry| entry.lifetime);
            assert_eq!(found, expected, "{status} {lines:?}");
        }
    }

    #[test]
    fn declared_times_fill_in_and_may_override() {
        let ttl = vec![(Statuses::One(404), 10), (Statuses::Hundred(5), 1), (Statuses::Usual, 300)];
        let fills = Terms { ttl: ttl.clone(), ..terms() };
        let lifetime =
            |terms: &Terms, status, lines: &[_]| stored(terms, &asked(), status, lines).map(|entry| entry.lifetime);
        assert_eq!(lifetime(&fills, 404, &[]), Ok(10));
        assert_eq!(lifetime(&fills, 503, &[]), Ok(1));
        assert_eq!(lifetime(&fills, 200, &[]), Ok(300));
        assert_eq!(lifetime(&fills, 200, &[("age", "20")]), Ok(320), "fresh for that long from now on");
        assert_eq!(lifetime(&fills, 403, &[]), Err(Why::Unsaid));
        assert_eq!(lifetime(&fills, 200, &[("cache-control", "max-age=0")]), Err(Why::Useless));
        let overrides = Terms { ttl, overrides: true, ..terms() };
        assert_eq!(lifetime(&overrides, 200, &[("cache-control", "max-age=0")]), Ok(300));
        assert_eq!(lifetime(&overrides, 200, &[("cache-control", "no-cache")]), Ok(300));
        // Who may have it is not ours to say.
        assert_eq!(lifetime(&overrides, 200, &[("cache-control", "no-store")]), Err(Why::NoStore));
        assert_eq!(lifetime(&overrides, 200, &[("cache-control", "private")]), Err(Why::Private));
    }

    #[test]
    fn windows_for_stale_use_are_the_origins_or_ours_and_never_against_its_word() {
        let terms = Terms { while_revalidate: 5, if_error: 6, ..terms() };
        let windows = |value| {
            let entry = stored(&terms, &asked(), 200, &[("cache-control", value), ("etag", "\"a\"")]);
            entry.map(|entry| (entry.while_revalidate, entry.if_error))
        };
        assert_eq!(windows("max-age=1"), Ok((5, 6)));
        assert_eq!(windows("max-age=1, stale-while-revalidate=0, stale-if-error=60"), Ok((0, 60)));
        for strict in ["max-age=1, must-revalidate", "max-age=1, proxy-revalidate", "s-maxage=1", "no-cache"] {
            assert_eq!(windows(strict), Ok((0, 0)), "{strict}");
        }
    }

    #[test]
    fn fields_that_are_for_nobody_else_stay_out() {
        let lines = [
            ("cache-control", "max-age=60, private=\"x-a\", no-cache=\"x-b\""),
            ("x-a", "1"),
            ("x-b", "2"),
            ("x-c", "3"),
            ("x-c", "4"),
            ("keep-alive", "5"),
            ("proxy-authenticate", "6"),
            ("age", "7"),
            ("cache-tag", "one, two"),
            ("surrogate-key", "two three"),
        ];
        let entry = stored(&terms(), &asked(), 200, &lines).expect("storable");
        let names: Vec<&str> = entry.fields.iter().map(|field| field.0.as_str()).collect();
        assert_eq!(names, ["cache-control", "x-c", "x-c", "cache-tag", "surrogate-key"]);
        assert_eq!(entry.tags, ["one", "three", "two"]);
        assert_eq!(entry.initial_age, 7);
    }
}
