//! Hours, days, weeks and months as people count them, in their own time zone.
//!
//! A zone is the list of its changes, looked up when the configuration is compiled: no data base of time zones runs.

use crate::platform::Timestamp;
use serde::{Deserialize, Serialize};

/// A period of the calendar. Weeks begin on Monday (ISO 8601).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// An hour.
    Hour,
    /// From midnight to midnight.
    Day,
    /// From Monday to Sunday.
    Week,
    /// From the first to the last.
    Month,
}

/// How far clocks are ahead of UTC: from when on, and how many minutes, earliest first. What the first says counts for all
/// time before it, what the last says for all time after it. None: UTC.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Zone(pub Vec<(Timestamp, i32)>);

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// The end of the year 9999.
const END: Timestamp = 253_402_300_799_000;

impl Zone {
    /// Coordinated universal time.
    pub fn utc() -> Self {
        Self::default()
    }

    /// What of it matters within two months of a moment: all that has to travel with an order.
    pub fn near(&self, now: Timestamp) -> Self {
        let margin = 62 * DAY.unsigned_abs();
        let (from, to) = (now.saturating_sub(margin), now.saturating_add(margin));
        let first = self.0.partition_point(|(start, _)| *start <= from).saturating_sub(1);
        let last = self.0.partition_point(|(start, _)| *start <= to);
        Self(self.0[first.min(last)..last.max(first + 1).min(self.0.len())].to_vec())
    }

    /// In milliseconds.
    fn offset(&self, utc: i64) -> i64 {
        let utc = u64::try_from(utc).unwrap_or(0);
        let place = self.0.partition_point(|(start, _)| *start <= utc).saturating_sub(1);
        self.0.get(place).map_or(0, |(_, minutes)| i64::from(*minutes) * MINUTE)
    }

    /// The moment at which clocks first show a local time, or one behind it: the earlier of two where it comes twice, and that
    /// of the change where it never comes.
    fn moment(&self, local: i64) -> i64 {
        // No clock is a day ahead, so none shows it a day before UTC would.
        let before = u64::try_from(local - DAY).unwrap_or(0);
        let mut place = self.0.partition_point(|(start, _)| *start <= before).saturating_sub(1);
        let mut since = i64::MIN;
        while let Some((_, minutes)) = self.0.get(place) {
            let moment = (local - i64::from(*minutes) * MINUTE).max(since);
            place += 1;
            since = self.0.get(place).map_or(i64::MAX, |(start, _)| i64::try_from(*start).unwrap_or(i64::MAX));
            if moment < since {
                return moment;
            }
        }
        local
    }
}

impl Period {
    /// Its usual length in milliseconds; of a month thirty days.
    pub fn length(self) -> u64 {
        let days = match self {
            Period::Hour => return HOUR.unsigned_abs(),
            Period::Day => 1,
            Period::Week => 7,
            Period::Month => 30,
        };
        days * DAY.unsigned_abs()
    }

    /// Beginning and end of the period that a moment is in.
    pub fn around(self, now: Timestamp, zone: &Zone) -> (Timestamp, Timestamp) {
        let now = now.min(END) as i64;
        let offset = zone.offset(now);
        let local = now + offset;
        let mut day = local.div_euclid(DAY);
        // Where clocks go back over midnight the day has begun, whatever they show.
        if zone.moment((day + 1) * DAY) <= now {
            day += 1;
        }
        let (start, end) = match self {
            // An hour is an hour also when clocks change.
            Period::Hour => {
                let start = local.div_euclid(HOUR) * HOUR - offset;
                return (start.max(0).unsigned_abs(), (start + HOUR).unsigned_abs());
            }
            Period::Day => (day, day + 1),
            Period::Week => {
                // The first of January 1970 was a Thursday.
                let monday = (day + 3).div_euclid(7) * 7 - 3;
                (monday, monday + 7)
            }
            Period::Month => {
                let (year, month) = month_of(day);
                let next = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
                (first_of(year, month), first_of(next.0, next.1))
            }
        };
        let (start, end) = (zone.moment(start * DAY), zone.moment(end * DAY));
        (start.min(now).max(0).unsigned_abs(), end.max(now + 1).unsigned_abs())
    }
}

/// Year and month of a day counted from 1970-01-01 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn month_of(day: i64) -> (i64, i64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year + era * 400 + i64::from(month <= 2), month)
}

/// The first day of a month, counted from 1970-01-01.
fn first_of(year: i64, month: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// A moment by RFC 3339, in UTC, to the second.
pub fn iso(now: Timestamp) -> String {
    let ([year, month, day], [hour, minute, second], _) = shown(now);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// A moment as HTTP writes it (RFC 9110 §5.6.7).
pub fn http_date(now: Timestamp) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let ([year, month, day], [hour, minute, second], of_week) = shown(now);
    let name = |names: &[&'static str], place: i64| usize::try_from(place).ok().and_then(|at| names.get(at).copied());
    let (weekday, month) = (name(&DAYS, of_week), name(&MONTHS, month - 1));
    let (weekday, month) = (weekday.unwrap_or_default(), month.unwrap_or_default());
    format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

/// Year, month and day; hour, minute and second; and how many days after a Thursday, as the first of all was one. What lies
/// behind the year 9999 is shown as its end.
fn shown(now: Timestamp) -> ([i64; 3], [i64; 3], i64) {
    let seconds = i64::try_from(now.min(END)).unwrap_or(0) / 1_000;
    let (day, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month) = month_of(day);
    let of_month = day - first_of(year, month) + 1;
    ([year, month, of_month], [second / 3_600, second / 60 % 60, second % 60], day % 7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_shown() {
        for (now, rfc3339, http) in [
            (0, "1970-01-01T00:00:00Z", "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777_999, "1994-11-06T08:49:37Z", "Sun, 06 Nov 1994 08:49:37 GMT"),
            (1_709_251_199_000, "2024-02-29T23:59:59Z", "Thu, 29 Feb 2024 23:59:59 GMT"),
            (Timestamp::MAX, "9999-12-31T23:59:59Z", "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            assert_eq!((iso(now).as_str(), http_date(now).as_str()), (rfc3339, http));
        }
    }

    const BERLIN: [(Timestamp, i32); 4] = [
        (1_743_296_400_000, 120), // 2025-03-30T01:00Z
        (1_761_440_400_000, 60),  // 2025-10-26T01:00Z
        (1_774_746_000_000, 120), // 2026-03-29T01:00Z
        (1_792_890_000_000, 60),  // 2026-10-25T01:00Z
    ];

    #[test]
    fn periods_begin_where_people_say_they_do() {
        let berlin = Zone(BERLIN.to_vec());
        let utc = Zone::utc();
        // 2025-11-30T23:30:00Z, a Sunday; in Berlin it is Monday, the first of December.
        let now = 1_764_545_400_000;
        for (period, zone, start, end) in [
            (Period::Hour, &utc, 1_764_543_600_000, 1_764_547_200_000),
            (Period::Day, &utc, 1_764_460_800_000, 1_764_547_200_000),
            (Period::Week, &utc, 1_763_942_400_000, 1_764_547_200_000),
            (Period::Month, &utc, 1_761_955_200_000, 1_764_547_200_000),
            (Period::Day, &berlin, 1_764_543_600_000, 1_764_630_000_000),
            (Period::Week, &berlin, 1_764_543_600_000, 1_765_148_400_000),
            (Period::Month, &berlin, 1_764_543_600_000, 1_767_222_000_000),
        ] {
            assert_eq!(period.around(now, zone), (start, end), "{period:?} {zone:?}");
        }
    }

    #[test]
    fn a_day_on_which_clocks_change_is_longer_or_shorter() {
        let berlin = Zone(BERLIN.to_vec());
        let hours = |now: u64| {
            let (start, end) = Period::Day.around(now, &berlin);
            (end - start) / HOUR.unsigned_abs()
        };
        let fall = BERLIN[1].0;
        assert_eq!((hours(fall - 1), hours(fall), hours(fall + 86_400_000)), (25, 25, 24));
        assert_eq!((hours(BERLIN[2].0 - 1), hours(BERLIN[2].0 + 1)), (23, 23));
    }

    #[test]
    fn every_moment_is_in_its_period_and_periods_follow_one_another() {
        for zone in [Zone::utc(), Zone(BERLIN.to_vec()), Zone(vec![(0, -570)]), Zone(vec![(0, 840)])] {
            for period in [Period::Hour, Period::Day, Period::Week, Period::Month] {
                let mut now = 1_740_000_000_000;
                while now < 1_800_000_000_000 {
                    let (start, end) = period.around(now, &zone);
                    assert!(start <= now && now < end, "{period:?} {now}");
                    assert_eq!(period.around(end - 1, &zone), (start, end), "{period:?} {now}");
                    assert_eq!(period.around(end, &zone).0, end, "{period:?} {now}");
                    assert_eq!(period.around(now, &zone.near(now)), (start, end), "{period:?} {now}");
                    now += 7 * 3_600_000 + 12_345;
                }
            }
        }
        for now in [0, u64::MAX] {
            let (start, end) = Period::Month.around(now, &Zone(BERLIN.to_vec()));
            assert!(start < end);
        }
    }
}
