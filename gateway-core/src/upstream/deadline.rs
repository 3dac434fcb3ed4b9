//! The client's own deadline: how long it will wait, as it says in a field, and what of that is left for an upstream.

/// A name for which values are written as gRPC writes them.
pub const GRPC: &str = "grpc-timeout";

/// What Connect calls it. The number has at most ten digits (Connect, "Unary-Request").
#[cfg(feature = "grpc")]
pub const CONNECT: &str = "connect-timeout-ms";

/// Reads how many milliseconds a client will wait. In `grpc-timeout` up to eight digits and a unit (`H M S m u n`); in
/// any other field a number of milliseconds, or one with `ms` or `s`. What is malformed is no deadline.
pub fn read(name: &str, value: &str) -> Option<u64> {
    let value = value.trim();
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = value.split_at(digits);
    let number: u64 = number.parse().ok()?;
    if name == GRPC {
        if digits > 8 {
            return None;
        }
        return match unit {
            "H" => number.checked_mul(3_600_000),
            "M" => number.checked_mul(60_000),
            "S" => number.checked_mul(1_000),
            "m" => Some(number),
            // What is shorter than we can measure is rounded up, lest it be no time at all.
            "u" => Some(number.div_ceil(1_000)),
            "n" => Some(number.div_ceil(1_000_000)),
            _ => None,
        };
    }
    match unit {
        "" | "ms" => Some(number),
        "s" => number.checked_mul(1_000),
        _ => None,
    }
}

/// Tells in the fields of gRPC and of Connect, where they say how long anybody waits, what is true of a further attempt: no more than
/// is `left`, or what has not `passed` of a time that is longer than an `attempt`, since that is the client's own, for an answer that
/// goes on behind its head.
#[cfg(feature = "grpc")]
pub fn tell_again(headers: &mut crate::http::Headers, attempt: u64, left: u64, passed: u64) {
    for name in [GRPC, CONNECT] {
        if let Some(told) = headers.text(name).and_then(|told| read(name, told)) {
            let left = if told > attempt { told.saturating_sub(passed) } else { told.min(left) };
            headers.set(name, write(name, left));
        }
    }
}

/// Writes what is left, as [`read`] reads it.
pub fn write(name: &str, milliseconds: u64) -> String {
    if name != GRPC {
        return milliseconds.to_string();
    }
    // At most eight digits; a day has 86,400,000 milliseconds.
    if milliseconds < 100_000_000 { format!("{milliseconds}m") } else { format!("{}S", milliseconds / 1_000) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn deadlines() {
        for (name, value, expected) in [
            (GRPC, "1S", Some(1_000)),
            (GRPC, "20m", Some(20)),
            (GRPC, "2H", Some(7_200_000)),
            (GRPC, "1M", Some(60_000)),
            (GRPC, "1500u", Some(2)),
            (GRPC, "1n", Some(1)),
            (GRPC, "1", None),
            (GRPC, "123456789m", None),
            (GRPC, "-1S", None),
            (GRPC, "1s", None),
            ("x-timeout", "250", Some(250)),
            ("x-timeout", " 250ms", Some(250)),
            ("x-timeout", "3s", Some(3_000)),
            ("x-timeout", "3h", None),
            ("x-timeout", "", None),
            ("x-timeout", "99999999999999999999", None),
            ("x-timeout", "99999999999999999s", None),
        ] {
            assert_eq!(read(name, value), expected, "{name}: {value}");
        }
    }

    proptest! {
        #[test]
        fn what_is_handed_on_is_read_again(milliseconds in 0_u64..1_000_000_000) {
            prop_assert_eq!(read("x-timeout", &write("x-timeout", milliseconds)), Some(milliseconds));
            let grpc = read(GRPC, &write(GRPC, milliseconds)).expect("gRPC's own form");
            prop_assert!(grpc <= milliseconds && milliseconds - grpc < 1_000);
        }
    }
}
