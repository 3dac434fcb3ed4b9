//! Moments as logs write them.

use crate::platform::Timestamp;

/// `2026-11-28T06:31:32.123Z` (RFC 3339).
pub fn rfc3339(now: Timestamp) -> String {
    let Civil { year, month, day, hour, minute, second, millisecond } = civil(now);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z")
}

/// `28/Nov/2026:06:31:32 +0000`, as servers have written it since the first of them.
pub fn common(now: Timestamp) -> String {
    let Civil { year, month, day, hour, minute, second, .. } = civil(now);
    let name = MONTHS.get(month as usize - 1).copied().unwrap_or("Jan");
    format!("{day:02}/{name}/{year:04}:{hour:02}:{minute:02}:{second:02} +0000")
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

struct Civil {
    year: u64,
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
    millisecond: u64,
}

/// The calendar in UTC: days are counted from the first of March, so that leap days come last.
fn civil(now: Timestamp) -> Civil {
    let (seconds, millisecond) = (now / 1_000, now % 1_000);
    let (days, time) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    Civil { year, month, day, hour: time / 3_600, minute: time / 60 % 60, second: time % 60, millisecond }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written() {
        for (now, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (1_735_689_600_001, "2025-01-01T00:00:00.001Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(now), expected);
        }
        assert_eq!(common(1_709_251_199_999), "29/Feb/2024:23:59:59 +0000");
        // Moments that nobody lives to see are written, too.
        assert!(rfc3339(u64::MAX).ends_with('Z') && common(u64::MAX).ends_with("+0000"));
    }
}
