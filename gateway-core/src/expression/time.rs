//! Moments and spans of time as expressions know them: nanoseconds, from the year 1 to 9999, in UTC (RFC 3339).

use super::Why;
use crate::platform::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt::{self, Write};
use std::str::FromStr;

/// A moment, in nanoseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Instant(i128);

/// A span of time, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Duration(i128);

const SECOND: i128 = 1_000_000_000;
const DAY: i64 = 86_400;
/// 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z, in seconds.
const FIRST: i64 = -62_135_596_800;
const LAST: i64 = 253_402_300_799;
/// What a duration may have at most, in seconds: some ten thousand years.
const LONGEST: i128 = 315_576_000_000;

/// A moment as a calendar and a clock show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shown {
    pub year: i64,
    /// From 1 on.
    pub month: i64,
    /// From 1 on.
    pub day: i64,
    /// 0 is Sunday.
    pub weekday: i64,
    /// From 0 on.
    pub day_of_year: i64,
    pub hour: i64,
    pub minute: i64,
    pub second: i64,
    pub nanosecond: i64,
}

impl Instant {
    /// From the gateway's clock.
    pub fn from_milliseconds(milliseconds: Timestamp) -> Self {
        Self(i128::from(milliseconds).min(i128::from(LAST) * 1000) * 1_000_000)
    }

    pub(super) fn from_seconds(seconds: i64) -> Result<Self, Why> {
        Self::checked(i128::from(seconds) * SECOND)
    }

    pub(super) fn seconds(self) -> i64 {
        // Within `FIRST` and `LAST`.
        self.0.div_euclid(SECOND) as i64
    }

    pub(super) fn plus(self, duration: Duration) -> Result<Self, Why> {
        Self::checked(self.0 + duration.0)
    }

    pub(super) fn minus(self, duration: Duration) -> Result<Self, Why> {
        Self::checked(self.0 - duration.0)
    }

    pub(super) fn since(self, other: Instant) -> Result<Duration, Why> {
        Duration::checked(self.0 - other.0)
    }

    fn checked(nanoseconds: i128) -> Result<Self, Why> {
        let seconds = nanoseconds.div_euclid(SECOND);
        if (i128::from(FIRST)..=i128::from(LAST)).contains(&seconds) {
            Ok(Self(nanoseconds))
        } else {
            Err(Why::Overflow)
        }
    }

    /// With an offset from UTC, in seconds.
    pub(super) fn shown(self, offset: i64) -> Shown {
        let seconds = self.seconds() + offset;
        let (days, clock) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
        let (year, month, day) = civil(days);
        Shown {
            year,
            month,
            day,
            // The epoch was a Thursday.
            weekday: (days + 4).rem_euclid(7),
            day_of_year: days - days_since_epoch(year, 1, 1),
            hour: clock / 3600,
            minute: clock / 60 % 60,
            second: clock % 60,
            nanosecond: self.0.rem_euclid(SECOND) as i64,
        }
    }
}

impl Duration {
    pub(super) fn plus(self, other: Duration) -> Result<Self, Why> {
        Self::checked(self.0 + other.0)
    }

    pub(super) fn minus(self, other: Duration) -> Result<Self, Why> {
        Self::checked(self.0 - other.0)
    }

    /// Whole milliseconds, towards zero.
    pub(super) fn milliseconds(self) -> i64 {
        (self.0 / 1_000_000) as i64
    }

    fn checked(nanoseconds: i128) -> Result<Self, Why> {
        if nanoseconds.abs() <= LONGEST * SECOND { Ok(Self(nanoseconds)) } else { Err(Why::Overflow) }
    }
}

/// `2027-01-31T18:00:00.5+01:00` (RFC 3339 §5.6).
impl FromStr for Instant {
    type Err = Why;

    fn from_str(text: &str) -> Result<Self, Why> {
        let read = || -> Option<i128> {
            let (date, time) = text.split_once(['T', 't'])?;
            let [year, month, day] = parts(date, '-', [4, 2, 2])?;
            let split = time.rfind(['Z', 'z', '+', '-'])?;
            let (clock, zone) = time.split_at(split);
            let (clock, fraction) = clock.split_once('.').map_or((clock, None), |(clock, rest)| (clock, Some(rest)));
            let [hour, minute, second] = parts(clock, ':', [2, 2, 2])?;
            let fraction = fraction.map_or(Some(0), nanoseconds)?;
            let offset = if zone.eq_ignore_ascii_case("z") { 0 } else { offset(zone)? };
            let sound = (1..=12).contains(&month)
                && (1..=days_in(year, month)).contains(&day)
                && hour < 24
                && minute < 60
                && second < 60;
            let seconds = days_since_epoch(year, month, day) * DAY + hour * 3600 + minute * 60 + second - offset;
            sound.then_some(i128::from(seconds) * SECOND + fraction)
        };
        Self::checked(read().ok_or(Why::Conversion)?)
    }
}

/// `+01:00`, in seconds; what expressions take for a time zone.
pub(super) fn offset(text: &str) -> Option<i64> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let [hours, minutes] = parts(rest, ':', [2, 2])?;
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// `1h30m`, `-1.5s`, `250ms`: numbers with units from hours to nanoseconds.
impl FromStr for Duration {
    type Err = Why;

    fn from_str(text: &str) -> Result<Self, Why> {
        let (negative, mut rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        if rest == "0" {
            return Ok(Self(0));
        }
        if rest.is_empty() {
            return Err(Why::Conversion);
        }
        let mut sum = 0_i128;
        while !rest.is_empty() {
            let (unit, whole, fraction);
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or(Why::Conversion)?;
            let (number, after) = rest.split_at(end);
            let length = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
            (unit, rest) = after.split_at(length);
            (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
            let unit = UNITS.iter().find(|(name, _)| *name == unit).ok_or(Why::Conversion)?.1;
            // Twelve digits of the largest unit are more than any duration.
            if whole.len() + fraction.len() == 0 || whole.len() > 18 || fraction.contains('.') {
                return Err(Why::Conversion);
            }
            let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| Why::Conversion)? };
            sum += whole * unit;
            let mut scale = unit;
            for digit in fraction.bytes().map(|b| i128::from(b - b'0')) {
                scale /= 10;
                sum += digit * scale;
            }
            if sum > LONGEST * SECOND {
                return Err(Why::Overflow);
            }
        }
        Self::checked(if negative { -sum } else { sum })
    }
}

const UNITS: [(&str, i128); 7] = [
    ("h", 3600 * SECOND),
    ("m", 60 * SECOND),
    ("s", SECOND),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("µs", 1_000),
    ("ns", 1),
];

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shown { year, month, day, hour, minute, second, nanosecond, .. } = self.shown(0);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        fraction(f, nanosecond)?;
        f.write_char('Z')
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.0.unsigned_abs();
        if self.0 < 0 {
            f.write_char('-')?;
        }
        write!(f, "{}", size / SECOND as u128)?;
        fraction(f, (size % SECOND as u128) as i64)?;
        f.write_char('s')
    }
}

fn fraction(f: &mut fmt::Formatter<'_>, nanoseconds: i64) -> fmt::Result {
    if nanoseconds == 0 {
        return Ok(());
    }
    f.write_char('.')?;
    f.write_str(format!("{nanoseconds:09}").trim_end_matches('0'))
}

impl TryFrom<String> for Instant {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map_err(|why: Why| why.as_str())
    }
}

impl From<Instant> for String {
    fn from(instant: Instant) -> String {
        instant.to_string()
    }
}

impl TryFrom<String> for Duration {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map_err(|why: Why| why.as_str())
    }
}

impl From<Duration> for String {
    fn from(duration: Duration) -> String {
        duration.to_string()
    }
}

/// Numbers of exactly so many digits.
fn parts<const N: usize>(text: &str, separator: char, digits: [usize; N]) -> Option<[i64; N]> {
    let mut found = [0; N];
    let mut texts = text.split(separator);
    for (number, digits) in found.iter_mut().zip(digits) {
        let text = texts.next().filter(|text| text.len() == digits && text.bytes().all(|b| b.is_ascii_digit()))?;
        *number = text.parse().ok()?;
    }
    texts.next().is_none().then_some(found)
}

/// A fraction of a second.
fn nanoseconds(digits: &str) -> Option<i128> {
    let sound = (1..=9).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    format!("{digits:0<9}").parse().ok().filter(|_| sound)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Howard Hinnant's `days_from_civil`: years begin in March, so that the leap day is the last.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// His `civil_from_days`.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let (day, month) =
        (day_of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_and_written() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
            ("2009-02-13T23:31:30Z", "2009-02-13T23:31:30Z"),
            ("2009-02-13T23:31:30.1200+01:30", "2009-02-13T22:01:30.12Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
            ("9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999999999Z"),
            ("2024-02-29t00:00:00z", "2024-02-29T00:00:00Z"),
        ] {
            assert_eq!(text.parse::<Instant>().map(|instant| instant.to_string()), Ok(expected.to_owned()), "{text}");
        }
        for wrong in [
            "",
            "2009",
            "2009-02-13",
            "2009-02-13T23:31:30",
            "2009-02-29T00:00:00Z",
            "2009-13-01T00:00:00Z",
            "2009-02-13T24:00:00Z",
            "2009-02-13T23:31:30.Z",
            "2009-02-13T23:31:30+1:00",
            "٢٠٠٩-02-13T23:31:30Z",
            "0000-01-01T00:00:00Z",
            "9999-12-31T23:59:59-00:01",
            "2009-02-13T23:31:30Zx",
        ] {
            assert!(wrong.parse::<Instant>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_are_read_and_written() {
        for (text, expected) in [
            ("0", "0s"),
            ("1h30m", "5400s"),
            ("-1.5s", "-1.5s"),
            ("250ms", "0.25s"),
            ("1.5h", "5400s"),
            (".5s", "0.5s"),
            ("1000000s", "1000000s"),
            ("3us7ns", "0.000003007s"),
        ] {
            assert_eq!(
                text.parse::<Duration>().map(|duration| duration.to_string()),
                Ok(expected.to_owned()),
                "{text}"
            );
        }
        for wrong in
            ["", "-", "1", "s", "1x", "1h-2m", ".s", "1..5s", "1d", "99999999999999999999s", "320000000000s", "1é"]
        {
            assert!(wrong.parse::<Duration>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn calendars_agree_over_centuries() {
        for days in (-719_162..2_932_896).step_by(97) {
            let (year, month, day) = civil(days);
            assert_eq!(days_since_epoch(year, month, day), days);
            assert!((1..=days_in(year, month)).contains(&day) && (1..=9999).contains(&year));
        }
    }
}
