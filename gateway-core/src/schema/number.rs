//! Numbers as JSON writes them, compared and divided exactly, however large or small they are.

use std::cmp::Ordering;

/// A number: its digits as a whole number, times ten to the exponent. Zero has no digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Decimal {
    negative: bool,
    /// From 0 to 9, without zeros in front and at the end.
    digits: Vec<u8>,
    exponent: i64,
}

impl Decimal {
    /// Reads a number by JSON's grammar. Anything else is read as well as it can be.
    pub fn read(text: &str) -> Self {
        /// Larger exponents are all the same: there is nothing to compare them with.
        const FAR: i64 = i64::MAX / 4;
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let mut exponent = exponent
            .strip_prefix('+')
            .unwrap_or(exponent)
            .parse()
            .unwrap_or_else(|_| if exponent.starts_with('-') { -FAR } else { FAR });
        exponent = exponent.clamp(-FAR, FAR);
        let (negative, mantissa) = mantissa.strip_prefix('-').map_or((false, mantissa), |rest| (true, rest));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = whole.bytes().chain(fraction.bytes()).map(|digit| digit.wrapping_sub(b'0') % 10);
        let mut digits: Vec<u8> = all.skip_while(|digit| *digit == 0).collect();
        exponent -= i64::try_from(fraction.len()).unwrap_or(FAR);
        while digits.last() == Some(&0) {
            digits.pop();
            exponent += 1;
        }
        if digits.is_empty() {
            return Self { negative: false, digits, exponent: 0 };
        }
        Self { negative, digits, exponent }
    }

    /// Whether it has no fraction: `1.0` has none.
    pub fn is_integer(&self) -> bool {
        self.exponent >= 0
    }

    /// How many digits it has, zeros at both ends left out.
    pub fn precision(&self) -> usize {
        self.digits.len()
    }

    /// Whether it is more than zero.
    pub fn is_positive(&self) -> bool {
        !self.negative && !self.digits.is_empty()
    }

    /// Whether this is a whole number of times another, which has at most 18 digits and is not zero.
    pub fn is_multiple_of(&self, divisor: &Self) -> bool {
        let modulus = divisor.digits.iter().fold(0u128, |value, digit| (value * 10 + u128::from(*digit)) % (1 << 63));
        if self.digits.is_empty() || modulus == 0 {
            return true;
        }
        // The digits end with another than 0, so that no power of ten divides them.
        let Some(zeros) = self.exponent.checked_sub(divisor.exponent).filter(|zeros| *zeros >= 0) else { return false };
        let digits = self.digits.iter().fold(0, |rest, digit| (rest * 10 + u128::from(*digit)) % modulus);
        let (mut power, mut base, mut left) = (1 % modulus, 10 % modulus, zeros.unsigned_abs());
        while left > 0 {
            if left & 1 == 1 {
                power = power * base % modulus;
            }
            base = base * base % modulus;
            left >>= 1;
        }
        digits * power % modulus == 0
    }

    /// Where its first digit stands: 1 for 5, 2 for 50, 0 for 0.5.
    fn magnitude(&self) -> i64 {
        self.exponent.saturating_add(i64::try_from(self.digits.len()).unwrap_or(i64::MAX))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |number: &Self| match (number.digits.is_empty(), number.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        };
        let size = || self.magnitude().cmp(&other.magnitude()).then_with(|| self.digits.cmp(&other.digits));
        sign(self).cmp(&sign(other)).then_with(|| match sign(self) {
            1 => size(),
            -1 => size().reverse(),
            _ => Ordering::Equal,
        })
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Compares two numbers as they are written.
pub fn compare(one: &str, other: &str) -> Ordering {
    match (small(one), small(other)) {
        (Some(one), Some(other)) => one.cmp(&other),
        _ => Decimal::read(one).cmp(&Decimal::read(other)),
    }
}

/// Most numbers are whole and short.
fn small(text: &str) -> Option<i64> {
    if text.len() > 18 { None } else { text.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_ordered_by_what_they_are() {
        let ordered = [
            "-1e400",
            "-98249283749234923498293171823948729348710298301928331",
            "-9007199254740993",
            "-1.5",
            "-1",
            "-1e-400",
            "0",
            "1e-400",
            "0.1",
            "0.3",
            "1",
            "1.0000000000000000000000001",
            "1.1",
            "9007199254740992",
            "9007199254740993",
            "1e308",
            "1e400",
            "1e99999999999999999999",
        ];
        for (index, one) in ordered.iter().enumerate() {
            for (other_index, other) in ordered.iter().enumerate() {
                assert_eq!(compare(one, other), index.cmp(&other_index), "{one} {other}");
            }
        }
        for (one, other) in [("1", "1.0"), ("1", "10e-1"), ("-0", "0"), ("0e9", "0"), ("100", "1E2"), ("0.5", "5e-1")] {
            assert_eq!(compare(one, other), Ordering::Equal, "{one} {other}");
        }
    }

    #[test]
    fn multiples_are_exact() {
        for (number, divisor, expected) in [
            ("7", "2", false),
            ("10", "2", true),
            ("0", "1.5", true),
            ("4.5", "1.5", true),
            ("35", "1.5", false),
            ("0.0075", "0.0001", true),
            ("0.00751", "0.0001", false),
            ("1e308", "0.123456789", false),
            ("12391239123", "1e-8", true),
            ("1e308", "1e-8", true),
            ("19.99", "0.01", true),
            ("0.3", "0.1", true),
            ("1e9999999", "3", false),
            ("3e9999999", "3", true),
            ("5", "10", false),
            ("50", "10", true),
        ] {
            assert_eq!(Decimal::read(number).is_multiple_of(&Decimal::read(divisor)), expected, "{number} {divisor}");
        }
        assert!(
            Decimal::read("1.0").is_integer()
                && Decimal::read("1e3").is_integer()
                && !Decimal::read("1.5").is_integer()
        );
    }
}
