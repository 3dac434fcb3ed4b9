//! The formats that can be asserted, by the standards that JSON Schema (2020-12 validation §7.3) and OpenAPI name.

/// A kind of text, or of number.
pub struct Format {
    /// As `format` says it.
    pub name: &'static str,
    /// Whether it is about numbers rather than about strings.
    pub numeric: bool,
    /// Whether something is of this kind.
    pub check: fn(&str) -> bool,
}

/// Every one, by the numbers that stand in compiled schemas.
pub const FORMATS: &[Format] = &[
    Format { name: "date-time", numeric: false, check: date_time },
    Format { name: "date", numeric: false, check: date },
    Format { name: "time", numeric: false, check: time },
    Format { name: "duration", numeric: false, check: duration },
    Format { name: "email", numeric: false, check: email },
    Format { name: "hostname", numeric: false, check: hostname },
    Format { name: "ipv4", numeric: false, check: |text| text.parse::<std::net::Ipv4Addr>().is_ok() },
    Format { name: "ipv6", numeric: false, check: |text| text.parse::<std::net::Ipv6Addr>().is_ok() },
    Format { name: "uri", numeric: false, check: uri },
    Format { name: "uri-reference", numeric: false, check: uri_reference },
    Format { name: "uuid", numeric: false, check: uuid },
    Format { name: "json-pointer", numeric: false, check: json_pointer },
    Format { name: "relative-json-pointer", numeric: false, check: relative_json_pointer },
    Format { name: "byte", numeric: false, check: base64 },
    Format { name: "int32", numeric: true, check: |text| whole(text, i64::from(i32::MIN), i64::from(i32::MAX)) },
    Format { name: "int64", numeric: true, check: |text| whole(text, i64::MIN, i64::MAX) },
];

/// RFC 3339 §5.6.
fn date_time(text: &str) -> bool {
    match (text.get(..10), text.get(10..11), text.get(11..)) {
        (Some(day), Some("T" | "t"), Some(clock)) => date(day) && time(clock),
        _ => false,
    }
}

fn date(text: &str) -> bool {
    let [b0, b1, b2, b3, b'-', m0, m1, b'-', d0, d1] = text.as_bytes() else { return false };
    let Some(year) = digits(&[*b0, *b1, *b2, *b3]) else { return false };
    let (Some(month), Some(day)) = (digits(&[*m0, *m1]), digits(&[*d0, *d1])) else { return false };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let longest = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 0,
    };
    (1..=longest).contains(&day)
}

fn time(text: &str) -> bool {
    let Some((clock, rest)) = text.split_at_checked(8) else { return false };
    let [h0, h1, b':', m0, m1, b':', s0, s1] = clock.as_bytes() else { return false };
    let (Some(hour), Some(minute), Some(second)) = (digits(&[*h0, *h1]), digits(&[*m0, *m1]), digits(&[*s0, *s1]))
    else {
        return false;
    };
    let rest = match rest.strip_prefix('.') {
        Some(fraction) => {
            let end = fraction.find(|c: char| !c.is_ascii_digit()).unwrap_or(fraction.len());
            if end == 0 {
                return false;
            }
            &fraction[end..]
        }
        None => rest,
    };
    let offset = match rest.as_bytes() {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h0, h1, b':', m0, m1] => match (digits(&[*h0, *h1]), digits(&[*m0, *m1])) {
            (Some(hours @ 0..=23), Some(minutes @ 0..=59)) => {
                let minutes = i64::from(hours * 60 + minutes);
                Some(if *sign == b'+' { minutes } else { -minutes })
            }
            _ => None,
        },
        _ => None,
    };
    let Some(offset) = offset else { return false };
    // A leap second is one at midnight UTC.
    let leap = || (i64::from(hour * 60 + minute) - offset).rem_euclid(1440) == 1439;
    hour < 24 && minute < 60 && (second < 60 || second == 60 && leap())
}

/// Of ASCII digits.
fn digits(bytes: &[u8]) -> Option<u32> {
    bytes.iter().try_fold(0u32, |number, byte| Some(number * 10 + char::from(*byte).to_digit(10)?))
}

/// RFC 3339 appendix A.
fn duration(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('P') else { return false };
    let (days, clock) = rest.split_once('T').map_or((rest, None), |(days, clock)| (days, Some(clock)));
    if days.is_empty() && clock.is_none() {
        return false;
    }
    let weeks =
        days.strip_suffix('W').is_some_and(|weeks| clock.is_none() && units(weeks, "").is_some() && !weeks.is_empty());
    let whole = |text: &str, order: &str| text.is_empty() || units(text, order) == Some(true);
    weeks || whole(days, "YMD") && clock.is_none_or(|clock| units(clock, "HMS") == Some(true))
}

/// Whether these are numbers, each with a unit, the units in this order and without a gap; without units, one number.
fn units(text: &str, order: &str) -> Option<bool> {
    let mut rest = text;
    let mut last: Option<usize> = None;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        if end == 0 {
            return None;
        }
        let Some(unit) = rest[end..].chars().next() else { return order.is_empty().then_some(true) };
        let place = order.find(unit)?;
        if last.is_some_and(|last| place != last + 1) {
            return None;
        }
        last = Some(place);
        rest = &rest[end + unit.len_utf8()..];
    }
    Some(last.is_some())
}

/// RFC 5321 §4.1.2, without comments.
fn email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let atom = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b))
    };
    let quoted = || {
        local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).is_some_and(|inner| {
            let mut characters = inner.bytes();
            while let Some(b) = characters.next() {
                match b {
                    b'\\' if characters.next().is_some_and(|b| (32..=126).contains(&b)) => {}
                    b'\\' | b'"' => return false,
                    32..=126 => {}
                    _ => return false,
                }
            }
            true
        })
    };
    let address = || {
        domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).is_some_and(|literal| {
            match literal.strip_prefix("IPv6:") {
                Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
                None => literal.parse::<std::net::Ipv4Addr>().is_ok(),
            }
        })
    };
    local.len() <= 64 && (local.split('.').all(atom) || quoted()) && (hostname(domain) || address())
}

/// RFC 1123 §2.1.
fn hostname(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// RFC 3986 §3: with a scheme.
fn uri(text: &str) -> bool {
    text.split_once(':').is_some_and(|(scheme, _)| is_scheme(scheme)) && uri_reference(text)
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
}

/// RFC 3986 §4.1.
fn uri_reference(text: &str) -> bool {
    let bytes = text.as_bytes();
    let legal = bytes.iter().enumerate().all(|(at, byte)| match byte {
        b'%' => bytes.get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)),
        byte => byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=".contains(byte),
    });
    let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
    let (hierarchy, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (scheme, after) = match hierarchy.split_once(':') {
        Some((scheme, after)) if !scheme.contains('/') => (Some(scheme), after),
        Some(_) | None => (None, hierarchy),
    };
    let (authority, path) = match after.strip_prefix("//") {
        Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        None => ("", after),
    };
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host_fits = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').is_some_and(|(address, port)| {
            address.parse::<std::net::Ipv6Addr>().is_ok()
                && (port.is_empty() || is_port(port.strip_prefix(':').unwrap_or("x")))
        }),
        None => host.split_once(':').is_none_or(|(_, port)| is_port(port)) && !host.contains(']'),
    };
    let user_fits = authority.rsplit_once('@').is_none_or(|(user, _)| !user.contains(['@', '[', ']']));
    legal
        && scheme.is_none_or(is_scheme)
        && host_fits
        && user_fits
        && !fragment.contains('#')
        && ![path, query, fragment].iter().any(|part| part.contains(['[', ']']))
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

/// RFC 9562 §4.
fn uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, b)| match at {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}

/// RFC 6901 §3.
fn json_pointer(text: &str) -> bool {
    let escaped = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    (text.is_empty() || text.starts_with('/')) && escaped
}

fn relative_json_pointer(text: &str) -> bool {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    !number.is_empty() && (number == "0" || !number.starts_with('0')) && (rest == "#" || json_pointer(rest))
}

/// RFC 4648 §4, with padding.
fn base64(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    text.len().is_multiple_of(4)
        && text.len() - body.len() <= 2
        && body.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/')
}

fn whole(text: &str, least: i64, most: i64) -> bool {
    use super::number::{Decimal, compare};
    Decimal::read(text).is_integer()
        && compare(text, &least.to_string()).is_ge()
        && compare(text, &most.to_string()).is_le()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_take_what_their_standards_take() {
        for (name, right, wrong) in [
            (
                "date-time",
                vec!["2026-02-28T23:59:60Z", "2024-02-29t00:00:00.123+05:30", "1998-12-31T15:59:60.1-08:00"],
                vec![
                    "2026-02-29T00:00:00Z",
                    "2026-01-01 00:00:00Z",
                    "2026-01-01T24:00:00Z",
                    "2026-01-01T00:00:00",
                    "2026-01-01T00:00:60Z",
                    "2026-01-01T00:00:00.Z",
                    "",
                ],
            ),
            (
                "duration",
                vec!["P1D", "P4Y", "PT0S", "P1Y2M3DT4H5M6S", "P2W", "PT36H"],
                vec!["P", "PT", "P1DT", "1D", "P1S", "P1Y2W", "PT1D", "P1YT", "P2S", "PD"],
            ),
            (
                "email",
                vec!["a.b@example.com", "\"a b\"@example.com", "a@[127.0.0.1]"],
                vec!["a", "@b", "a@", ".a@b", "a..b@c", "a@b_c", "a@[1]"],
            ),
            ("hostname", vec!["a", "a-b.example", "1.example"], vec!["", "-a", "a-", "a..b", "a_b", "a."]),
            ("ipv4", vec!["127.0.0.1"], vec!["127.0.0.01", "1.2.3", "256.0.0.1"]),
            ("ipv6", vec!["::1", "::ffff:1.2.3.4"], vec!["::1%eth0", "1", ":::"]),
            (
                "uri",
                vec!["http://a/b?c#d", "urn:x:y", "mailto:a@b", "http://[::1]:80/"],
                vec!["/a", "//a", "http://a b", "http://a/%zz", "http://[x]/", "http://a:b/", "1:2"],
            ),
            ("uri-reference", vec!["/a", "", "#x", "?y", "//a/b"], vec!["\\a", "#a#b", "a b"]),
            (
                "uuid",
                vec!["2EB8AA08-aa98-11ea-b4aa-73b441d16380"],
                vec!["2eb8aa08aa9811eab4aa73b441d16380", "2eb8aa08-aa98-11ea-b4aa-73b441d1638"],
            ),
            ("json-pointer", vec!["", "/a/b~0~1"], vec!["a", "/~", "/~2"]),
            ("relative-json-pointer", vec!["0", "1/a", "2#"], vec!["/a", "01", "1a", "-1"]),
            ("byte", vec!["", "AAAA", "AA==", "AAA="], vec!["A", "A===", "AA=A", "A-=="]),
            ("int32", vec!["-2147483648", "1e3", "2147483647"], vec!["2147483648", "1.5", "1e300"]),
            ("int64", vec!["9223372036854775807"], vec!["9223372036854775808"]),
        ] {
            let format = FORMATS.iter().find(|format| format.name == name).expect("it is there");
            for text in right {
                assert!((format.check)(text), "{name} {text}");
            }
            for text in wrong {
                assert!(!(format.check)(text), "{name} {text}");
            }
        }
    }
}
