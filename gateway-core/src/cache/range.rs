//! Parts of a complete stored response (RFC 9110 §14).

use super::entry::Entry;
use super::fresh::read_date;
use crate::http::Headers;

/// What a request wants of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All of it; also where the request cannot be read, or wants several parts (§14.2 leaves that to us).
    Whole,
    /// From this byte up to and with that one.
    Bytes {
        /// The first.
        first: u64,
        /// The last.
        last: u64,
    },
    /// Nothing that is there.
    Nothing,
}

/// What a request wants of a body of this length.
pub fn part(request: &Headers, entry: &Entry, length: u64) -> Part {
    let mut lines = request.all("range");
    let (Some(line), None) = (lines.next(), lines.next()) else { return Part::Whole };
    if !if_range(request, entry) {
        return Part::Whole;
    }
    let Some(wanted) = std::str::from_utf8(line).ok().and_then(|line| line.trim().strip_prefix("bytes=")) else {
        return Part::Whole;
    };
    let number = |text: &str| -> Option<u64> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    let Some((first, last)) = wanted.trim().split_once('-') else { return Part::Whole };
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first > last => Part::Whole,
        (Some(first), _) if !last.is_empty() && number(last).is_none() || first >= length => {
            if first >= length {
                Part::Nothing
            } else {
                Part::Whole
            }
        }
        (Some(first), last) => Part::Bytes { first, last: last.map_or(length - 1, |last| last.min(length - 1)) },
        (None, Some(0)) if first.is_empty() => Part::Nothing,
        (None, Some(_)) if first.is_empty() && length == 0 => Part::Nothing,
        (None, Some(count)) if first.is_empty() => {
            Part::Bytes { first: length.saturating_sub(count), last: length - 1 }
        }
        (None, _) => Part::Whole,
    }
}

/// Whether a range counts: where `If-Range` names the stored response exactly (§13.1.5), or is not there.
fn if_range(request: &Headers, entry: &Entry) -> bool {
    let Some(condition) = request.get("if-range") else { return true };
    let Ok(condition) = std::str::from_utf8(condition) else { return false };
    match read_date(condition) {
        Some(date) => entry.field("last-modified").and_then(read_date) == Some(date),
        None => !condition.starts_with("W/") && entry.field("etag") == Some(condition.trim()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry::of(&[("etag", "\"a\""), ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")])
    }

    #[test]
    fn parts_are_of_what_is_there() {
        for (range, length, expected) in [
            ("bytes=0-1", 10, Part::Bytes { first: 0, last: 1 }),
            ("bytes=1-", 10, Part::Bytes { first: 1, last: 9 }),
            ("bytes=8-100", 10, Part::Bytes { first: 8, last: 9 }),
            ("bytes=-3", 10, Part::Bytes { first: 7, last: 9 }),
            ("bytes=-30", 10, Part::Bytes { first: 0, last: 9 }),
            ("bytes=10-", 10, Part::Nothing),
            ("bytes=0-", 0, Part::Nothing),
            ("bytes=-1", 0, Part::Nothing),
            ("bytes=-0", 10, Part::Nothing),
            ("bytes=99999999999999999999999-", 10, Part::Nothing),
            ("bytes=5-1", 10, Part::Whole),
            ("bytes=0-1,3-4", 10, Part::Whole),
            ("bytes=a-b", 10, Part::Whole),
            ("bytes=1-b", 10, Part::Whole),
            ("bytes=-", 10, Part::Whole),
            ("lines=1-2", 10, Part::Whole),
        ] {
            let mut request = Headers::new();
            request.receive("range", range.as_bytes());
            assert_eq!(part(&request, &entry(), length), expected, "{range}");
        }
    }

    #[test]
    fn a_condition_must_name_the_very_response() {
        for (condition, counts) in [
            ("\"a\"", true),
            ("\"b\"", false),
            ("W/\"a\"", false),
            ("Sun, 06 Nov 1994 08:49:37 GMT", true),
            ("Sun, 06 Nov 1994 08:49:38 GMT", false),
        ] {
            let mut request = Headers::new();
            request.receive("range", b"bytes=0-0");
            request.receive("if-range", condition.as_bytes());
            let expected = if counts { Part::Bytes { first: 0, last: 0 } } else { Part::Whole };
            assert_eq!(part(&request, &entry(), 10), expected, "{condition}");
        }
    }
}
