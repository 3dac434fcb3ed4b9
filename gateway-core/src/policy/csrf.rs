//! Refuses what pages of other origins send on a user's behalf.
//!
//! Browsers say where an unsafe request comes from, in `Sec-Fetch-Site` and `Origin`; what is not a browser sends
//! neither, and carries no user's cookies by accident. So no token is needed.

use super::origin::OriginRule;
use crate::error::Error;
use crate::http::Headers;
use crate::request::Line;
use serde::{Deserialize, Serialize};

/// Checks the origin of requests that change something.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Csrf {
    /// Other origins that may send such requests: `https://app.example.com`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trusted_origins: Vec<OriginRule>,
}

impl Csrf {
    /// Lets safe methods (RFC 9110 §9.2.1), the same origin, trusted origins and non-browsers pass.
    pub fn check(&self, line: &Line, headers: &Headers) -> Result<(), Error> {
        // A handshake is a GET that any page may send, cookies and all; what follows it is hardly safe.
        let handshake = headers.contains("upgrade");
        if matches!(line.method.as_str(), "GET" | "HEAD" | "OPTIONS" | "QUERY") && !handshake {
            return Ok(());
        }
        let origin = headers.text("origin");
        if origin.is_some_and(|origin| self.trusted_origins.iter().any(|trusted| trusted.matches(origin))) {
            return Ok(());
        }
        let same = match (headers.text("sec-fetch-site"), origin) {
            (Some(site), _) => matches!(site, "same-origin" | "none"),
            // Old browsers send only `Origin`; its host and port must be the ones asked. The scheme is left to HSTS: behind a
            // proxy that ends TLS nobody here knows it for sure.
            (None, Some(origin)) => {
                origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(&line.authority))
            }
            // Not text: no browser sends that.
            (None, None) => !headers.contains("origin") && !headers.contains("sec-fetch-site"),
        };
        if same {
            return Ok(());
        }
        Err(Error::Forbidden { reason: "Pages of this origin may not send this request.".into(), challenge: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Scheme;

    #[test]
    fn unsafe_requests_come_from_here_or_from_trusted_pages() {
        let csrf = Csrf { trusted_origins: vec![OriginRule::Exact("https://app.example".into())] };
        for (method, block, passes) in [
            ("GET", "origin\0https://evil.example\nsec-fetch-site\0cross-site\n", true),
            ("GET", "upgrade\0websocket\norigin\0https://evil.example\n", false),
            ("GET", "upgrade\0websocket\norigin\0https://app.example\n", true),
            ("GET", "upgrade\0websocket\n", true),
            ("POST", "", true),
            ("POST", "sec-fetch-site\0same-origin\n", true),
            ("POST", "sec-fetch-site\0none\n", true),
            ("POST", "sec-fetch-site\0same-site\n", false),
            ("POST", "sec-fetch-site\0cross-site\norigin\0https://evil.example\n", false),
            ("POST", "sec-fetch-site\0cross-site\norigin\0https://app.example\n", true),
            ("POST", "origin\0https://api.example:8443\n", true),
            ("POST", "origin\0https://evil.example\n", false),
            ("POST", "origin\0null\n", false),
            ("DELETE", "origin\0\u{fffd}\n", false),
        ] {
            let line = Line {
                method: method.into(),
                scheme: Scheme::Https,
                authority: "api.example:8443".into(),
                host: "api.example".into(),
                path: "/".into(),
                query: None,
            };
            let headers = Headers::from_block(block.as_bytes().to_vec());
            assert_eq!(csrf.check(&line, &headers).is_ok(), passes, "{method} {block}");
        }
    }
}
