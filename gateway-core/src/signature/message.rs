//! The request as signatures see it: as the gateway has read it and will act on it.

use crate::http::{Headers, Scheme};
use crate::request::Line;
use crate::route::pattern;

/// What a signature can cover of a request.
#[derive(Debug, Clone)]
pub struct Message<'a> {
    /// The method's token.
    pub method: &'a str,
    /// As the client used it.
    pub scheme: Scheme,
    /// The host as routes match it (lower case, without a trailing dot), and the port where it is not the scheme's usual one
    /// (RFC 9421 §2.2.3).
    pub authority: String,
    /// The host and port as received: the value of `Host`, whatever else stands in a field of that name.
    pub host: &'a str,
    /// In the spelling that is matched and sent on (RFC 9421 §2.2.6 asks for a normalised one).
    pub path: &'a str,
    /// As received.
    pub query: Option<&'a str>,
    /// The fields that go on. What was meant for the last hop only is not among them, so nobody can sign it.
    pub headers: &'a Headers,
}

impl<'a> Message<'a> {
    /// The request that was read as this, from a client that used this scheme.
    pub fn new(line: &'a Line, scheme: Scheme, headers: &'a Headers) -> Self {
        let usual = match scheme {
            Scheme::Http => 80,
            Scheme::Https => 443,
        };
        let port = pattern::authority(&line.authority).and_then(|(_, port)| port).filter(|port| *port != usual);
        let authority = port.map_or_else(|| line.host.clone(), |port| format!("{}:{port}", line.host));
        let Line { method, path, query, authority: host, .. } = line;
        Self { method, scheme, authority, host, path, query: query.as_deref(), headers }
    }

    /// Path and query as a request line has them.
    pub fn target(&self) -> String {
        self.query.map_or_else(|| self.path.to_owned(), |query| format!("{}?{query}", self.path))
    }

    /// The lines of a field, each without the white space around it; `None`: there is none.
    pub fn field<'n>(&'n self, name: &'n str) -> Option<Vec<&'n [u8]>> {
        // The target may name another host than the field does, and routes go by the target (RFC 9112 §3.2.2).
        if name.eq_ignore_ascii_case("host") {
            return Some(vec![self.host.as_bytes()]);
        }
        let lines: Vec<_> = self.headers.all(name).map(trim).collect();
        (!lines.is_empty()).then_some(lines)
    }
}

/// RFC 9110 §5.5: the white space around a value is no part of it.
fn trim(mut line: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = line {
        line = rest;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authority_is_the_one_that_routes_match() {
        for (authority, scheme, expected) in [
            ("Api.Example", Scheme::Https, "api.example"),
            ("api.example.:443", Scheme::Https, "api.example"),
            ("api.example:443", Scheme::Http, "api.example:443"),
            ("api.example:80", Scheme::Http, "api.example"),
            ("api.example:", Scheme::Http, "api.example"),
            ("[2001:DB8::1]:8443", Scheme::Https, "[2001:db8::1]:8443"),
        ] {
            let (host, _) = pattern::authority(authority).expect("an authority");
            let line = Line {
                method: "GET".into(),
                scheme: Scheme::Http,
                authority: authority.into(),
                host: host.to_ascii_lowercase(),
                path: "/".into(),
                query: None,
            };
            assert_eq!(Message::new(&line, scheme, &Headers::new()).authority, expected, "{authority}");
        }
    }
}
