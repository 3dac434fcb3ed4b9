//! Origins as browsers tell them (RFC 6454 §6.2), and rules that say which of them are meant.

use serde::{Deserialize, Serialize};

/// An origin, or many.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OriginRule {
    /// Every origin. Never together with credentials, which compilation sees to.
    Any,
    /// This one: `https://app.example.com`, `null`.
    Exact(String),
    /// `https://*.example.com`: what stands before the star and what stands behind it. The star is one or more labels.
    Wildcard(String, String),
    /// `http://localhost:*`: what stands before the port.
    AnyPort(String),
    /// Those in which this is found; the expression is anchored at both ends when it is compiled.
    #[cfg(feature = "regex")]
    Regex(crate::route::Regex),
}

impl OriginRule {
    /// Whether this origin is meant.
    pub fn matches(&self, origin: &str) -> bool {
        match self {
            OriginRule::Any => true,
            OriginRule::Exact(exact) => exact == origin,
            OriginRule::Wildcard(front, back) => origin
                .strip_prefix(front.as_str())
                .and_then(|rest| rest.strip_suffix(back.as_str()))
                .is_some_and(|labels| labels.split('.').all(is_label)),
            OriginRule::AnyPort(front) => origin
                .strip_prefix(front.as_str())
                .is_some_and(|port| !port.is_empty() && port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit())),
            #[cfg(feature = "regex")]
            OriginRule::Regex(regex) => regex.is_match(origin),
        }
    }
}

/// Browsers send names in ASCII; some have underscores in them.
fn is_label(label: &str) -> bool {
    !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_means_what_it_says_and_nothing_around_it() {
        let exact = OriginRule::Exact("https://app.example".into());
        let wildcard = OriginRule::Wildcard("https://".into(), ".example.com".into());
        let port = OriginRule::AnyPort("http://localhost:".into());
        for (rule, origin, matches) in [
            (&exact, "https://app.example", true),
            (&exact, "https://app.example:8443", false),
            (&exact, "https://app.example.evil", false),
            (&exact, "http://app.example", false),
            (&wildcard, "https://a.example.com", true),
            (&wildcard, "https://a-1.b_2.example.com", true),
            (&wildcard, "https://example.com", false),
            (&wildcard, "https://.example.com", false),
            (&wildcard, "https://a..example.com", false),
            (&wildcard, "https://evil.example/.example.com", false),
            (&wildcard, "https://evil.example:1.example.com", false),
            (&wildcard, "https://a.example.com.evil", false),
            (&wildcard, "https://evilexample.com", false),
            (&port, "http://localhost:5173", true),
            (&port, "http://localhost", false),
            (&port, "http://localhost:", false),
            (&port, "http://localhost:80.evil", false),
            (&OriginRule::Any, "null", true),
            (&OriginRule::Exact("null".into()), "null", true),
        ] {
            assert_eq!(rule.matches(origin), matches, "{rule:?} {origin}");
        }
    }
}
