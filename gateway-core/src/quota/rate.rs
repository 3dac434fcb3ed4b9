//! How people write limits: `100 per second`, `5,000 per hour`, `20 per 10s`.

use super::calendar::Period;
use std::str::FromStr;

/// So many in a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: u64,
    /// In what time.
    pub unit: Unit,
}

/// A time in which something is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// So many milliseconds.
    Span(u64),
    /// A month, which has no length of its own.
    Month,
}

impl Unit {
    /// Its length in milliseconds, if it has one.
    pub fn length(self) -> Option<u64> {
        match self {
            Unit::Span(length) => Some(length),
            Unit::Month => None,
        }
    }

    /// The period of the calendar that it is, if it is one.
    pub fn period(self) -> Option<Period> {
        match self {
            Unit::Span(HOUR) => Some(Period::Hour),
            Unit::Span(DAY) => Some(Period::Day),
            Unit::Span(WEEK) => Some(Period::Week),
            Unit::Month => Some(Period::Month),
            Unit::Span(_) => None,
        }
    }
}

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;
const WEEK: u64 = 7 * DAY;

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is not a rate: write a number, `per`, and `second`, `minute`, `hour`, `day`, `week`, `month` or a \
                 duration: `100 per second`, `20 per 10s`"
            )
        };
        let (count, unit) = text.split_once(" per ").ok_or_else(wrong)?;
        let digits: String = count.chars().filter(|c| !matches!(c, ',' | '_')).collect();
        if !count.starts_with(|c: char| c.is_ascii_digit()) || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(wrong());
        }
        let count = digits.parse().map_err(|_| wrong())?;
        let unit = match unit {
            "second" => Unit::Span(1_000),
            "minute" => Unit::Span(60_000),
            "hour" => Unit::Span(HOUR),
            "day" => Unit::Span(DAY),
            "week" => Unit::Span(WEEK),
            "month" => Unit::Month,
            span => Unit::Span(duration(span).ok_or_else(wrong)?),
        };
        Ok(Self { count, unit })
    }
}

/// `500ms`, `10s`, `5m`, `1h`: at most a year, and not nothing.
fn duration(text: &str) -> Option<u64> {
    let end = text.bytes().position(|b| !b.is_ascii_digit())?;
    let (digits, unit) = text.split_at(end);
    let factor = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => HOUR,
        _ => return None,
    };
    let length = digits.parse::<u64>().ok()?.checked_mul(factor)?;
    (1..=366 * DAY).contains(&length).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_people_write_them() {
        for (text, count, unit) in [
            ("100 per second", 100, Unit::Span(1_000)),
            ("5,000 per hour", 5_000, Unit::Span(HOUR)),
            ("1_000_000 per month", 1_000_000, Unit::Month),
            ("20 per 10s", 20, Unit::Span(10_000)),
            ("0 per day", 0, Unit::Span(DAY)),
            ("18446744073709551615 per week", u64::MAX, Unit::Span(WEEK)),
        ] {
            assert_eq!(text.parse(), Ok(Rate { count, unit }), "{text}");
        }
        for text in [
            "",
            "100",
            "100 per",
            "100 per fortnight",
            "-1 per second",
            "1 per 0s",
            ", per second",
            "1 per 10",
            "1e3 per second",
        ] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }
}
