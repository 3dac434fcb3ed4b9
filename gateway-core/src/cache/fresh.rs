//! For how long a response may be used, and how old it is (RFC 9111 §4.2).

use super::directive::{Directives, seconds};
use crate::http::Headers;
use crate::platform::Timestamp;
use std::time::SystemTime;

/// When a response came, for calculations that are all in this gateway's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// When the request was sent.
    pub requested: Timestamp,
    /// When the response's head was there.
    pub received: Timestamp,
}

/// What a response says of its lifetime, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// The origin has said so.
    Said(u64),
    /// It has said nothing, and this is a tenth of the time for which it has not changed (§4.2.2).
    Guessed(u64),
    /// Nobody can say.
    Unknown,
}

/// The longest that a guess may be: a day.
const LONGEST_GUESS: u64 = 86_400;

/// §4.2.1: the first of `s-maxage`, `max-age` and `Expires` that is there.
pub fn lifetime(status: u16, headers: &Headers, directives: &Directives, times: Times) -> Lifetime {
    if let Some(seconds) = directives.s_maxage.or(directives.max_age) {
        return Lifetime::Said(seconds);
    }
    let born = date(headers, "date").unwrap_or(times.received);
    if !directives.targeted && headers.contains("expires") {
        // §5.3: what is no date has passed; `0` is what many send.
        let expires = date(headers, "expires").unwrap_or(0);
        return Lifetime::Said(expires.saturating_sub(born) / 1_000);
    }
    let heuristic = is_heuristically_cacheable(status) || directives.public;
    match date(headers, "last-modified") {
        Some(modified) if heuristic && modified < born => {
            Lifetime::Guessed(((born - modified) / 10_000).min(LONGEST_GUESS))
        }
        Some(_) | None => Lifetime::Unknown,
    }
}

/// §4.2.3: how old a response is when it comes, in seconds; `None`: it says something that is no age, and may be of any.
///
/// §5.1 would ignore an unreadable `Age`, and take the first of several; §4.2.1 encourages to take a response whose freshness
/// cannot be told for stale. Whoever sends two was behind a hop that added its own, and nobody can say which is right. The price of
/// caution is a validation, that of trust a wrong answer.
pub fn initial_age(headers: &Headers, times: Times) -> Option<u64> {
    let mut lines = headers.all("age");
    let said = match (lines.next(), lines.next()) {
        (None, _) => 0,
        (Some(value), None) => seconds(std::str::from_utf8(value).ok()?.trim())?,
        (Some(_), Some(_)) => return None,
    };
    let apparent = date(headers, "date").map_or(0, |date| times.received.saturating_sub(date) / 1_000);
    let delay = times.received.saturating_sub(times.requested) / 1_000;
    Some(apparent.max(said.saturating_add(delay)))
}

/// RFC 9110 §15.1: the statuses that may be reused without being told so.
pub fn is_heuristically_cacheable(status: u16) -> bool {
    matches!(status, 200 | 203 | 204 | 206 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// Whether the caching requirements of a status are known here, for `must-understand` (RFC 9111 §5.2.2.3). A range, or what
/// only a validation answers, is not among them: such responses are never stored.
pub fn is_understood(status: u16) -> bool {
    matches!(status, 200..=205 | 300..=303 | 307 | 308 | 400..=417 | 421..=426 | 428 | 429 | 431 | 451 | 500..=508 | 511)
}

/// The date in a field, in milliseconds since the Unix epoch; in any of the three forms (RFC 9110 §5.6.7).
pub fn date(headers: &Headers, name: &str) -> Option<Timestamp> {
    let mut lines = headers.all(name);
    let first = lines.next()?;
    // Two that do not agree are no date.
    if lines.any(|other| other != first) {
        return None;
    }
    read_date(std::str::from_utf8(first).ok()?)
}

/// A date as HTTP writes it.
pub fn read_date(text: &str) -> Option<Timestamp> {
    let moment = httpdate::parse_http_date(text.trim()).ok()?;
    let since = moment.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT.
    const NOW: Timestamp = 784_111_777_000;
    const TIMES: Times = Times { requested: NOW - 2_000, received: NOW };

    fn told(status: u16, lines: &[(&str, &str)]) -> Lifetime {
        let headers = Headers::of(lines);
        lifetime(status, &headers, &Directives::read(&headers, &["own".to_owned()]), TIMES)
    }

    #[test]
    fn the_first_that_says_something_counts() {
        let (date, later) = (("date", "Sun, 06 Nov 1994 08:49:37 GMT"), ("expires", "Sun, 06 Nov 1994 08:50:37 GMT"));
        for (lines, lifetime) in [
            (&[("cache-control", "max-age=5, s-maxage=7"), later][..], Lifetime::Said(7)),
            (&[("cache-control", "max-age=5"), later], Lifetime::Said(5)),
            (&[date, later], Lifetime::Said(60)),
            // Without a `Date`, the response is from now.
            (&[later], Lifetime::Said(60)),
            (&[("expires", "Sunday, 06-Nov-94 08:50:37 GMT")], Lifetime::Said(60)),
            (&[("expires", "Sun Nov  6 08:50:37 1994")], Lifetime::Said(60)),
            (&[("expires", "0")], Lifetime::Said(0)),
            (&[("expires", "-1")], Lifetime::Said(0)),
            (&[("expires", "Sun, 06 Nov 1994 08:50:37 GMT"), ("expires", "0")], Lifetime::Said(0)),
            (&[("own", "public"), later], Lifetime::Unknown),
            (&[("last-modified", "Sun, 06 Nov 1994 08:47:57 GMT")], Lifetime::Guessed(10)),
            (&[("last-modified", "Sun, 06 Nov 1904 08:47:57 GMT")], Lifetime::Unknown),
            (&[("last-modified", "Thu, 06 Nov 1980 08:47:57 GMT")], Lifetime::Guessed(LONGEST_GUESS)),
            (&[], Lifetime::Unknown),
        ] {
            assert_eq!(told(200, lines), lifetime, "{lines:?}");
        }
    }

    #[test]
    fn guesses_are_for_statuses_that_allow_them() {
        let modified = ("last-modified", "Sun, 06 Nov 1994 08:47:57 GMT");
        assert_eq!(told(404, &[modified]), Lifetime::Guessed(10));
        assert_eq!(told(403, &[modified]), Lifetime::Unknown);
        assert_eq!(told(599, &[modified, ("cache-control", "public")]), Lifetime::Guessed(10));
    }

    #[test]
    fn age_is_what_was_said_and_what_has_passed() {
        let age = |lines: &[(&str, &str)]| initial_age(&Headers::of(lines), TIMES);
        assert_eq!(age(&[]), Some(2), "the time that it took");
        assert_eq!(age(&[("age", "30")]), Some(32));
        assert_eq!(age(&[("age", "30"), ("date", "Sun, 06 Nov 1994 08:48:37 GMT")]), Some(60));
        assert_eq!(age(&[("date", "Sun, 06 Nov 1994 09:49:37 GMT")]), Some(2), "a clock that is ahead");
        for unreadable in ["abc", "-1", "7.0", "7;a=b", "", "7200,0", "0,0"] {
            assert_eq!(age(&[("age", unreadable)]), None, "{unreadable}");
        }
        assert_eq!(age(&[("age", "0"), ("age", "0")]), None);
    }
}
