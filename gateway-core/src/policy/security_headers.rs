//! Tells browsers to be careful: one policy with safe defaults, after the OWASP Secure Headers Project.

use crate::http::{Headers, Scheme};
use serde::{Deserialize, Serialize};

/// Header fields that make browsers careful. What the upstream sets itself stays, unless it is to be replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityHeaders {
    /// Name and value of each field.
    pub fields: Vec<(String, String)>,
    /// Whether fields of the upstream are replaced.
    #[serde(default)]
    pub replace: bool,
    /// Fields that tell too much, removed: `server`, `x-powered-by`.
    pub conceal: Vec<String>,
}

impl SecurityHeaders {
    /// What is sent where the configuration says nothing else.
    pub const DEFAULTS: [(&'static str, &'static str); 6] = [
        ("strict-transport-security", "max-age=31536000; includeSubDomains"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "strict-origin-when-cross-origin"),
        ("content-security-policy", "frame-ancestors 'none'"),
        ("cross-origin-opener-policy", "same-origin"),
    ];

    /// Fields that say what runs behind the gateway.
    pub const CONCEALED: [&'static str; 4] = ["server", "x-powered-by", "x-aspnet-version", "x-aspnetmvc-version"];

    /// Adds and removes. `Strict-Transport-Security` goes only over TLS (RFC 6797 §7.2).
    pub fn on_response(&self, headers: &mut Headers, scheme: Scheme) {
        for name in &self.conceal {
            headers.remove(name);
        }
        for (name, value) in &self.fields {
            let in_clear = scheme == Scheme::Http && name == "strict-transport-security";
            if !in_clear && (self.replace || !headers.contains(name)) {
                headers.set(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_upstream_says_stays_unless_it_is_to_be_replaced() {
        let fields =
            vec![("x-frame-options".into(), "DENY".into()), ("strict-transport-security".into(), "max-age=1".into())];
        let policy = SecurityHeaders { fields, replace: false, conceal: vec!["server".into()] };
        let mut headers = Headers::from_block(b"server\0x\nx-frame-options\0SAMEORIGIN\n".to_vec());
        policy.on_response(&mut headers, Scheme::Http);
        assert_eq!(headers.iter().collect::<Vec<_>>(), [("x-frame-options", &b"SAMEORIGIN"[..])]);
        SecurityHeaders { replace: true, ..policy }.on_response(&mut headers, Scheme::Https);
        assert_eq!(headers.text("x-frame-options"), Some("DENY"));
        assert_eq!(headers.text("strict-transport-security"), Some("max-age=1"));
    }
}
