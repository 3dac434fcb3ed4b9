//! Which hosts the component may send requests to: `allowed_outbound_hosts`.

use crate::error::Error;
use http::Uri;
use std::net::IpAddr;

/// The patterns of a component.
#[derive(Debug, Default)]
pub struct AllowedHosts(Vec<Pattern>);

impl AllowedHosts {
    /// Reads patterns such as `https://api.example.com`, `http://*.example.com:8000..9000` and `*://10.0.0.0/8:*`.
    pub fn parse(patterns: impl IntoIterator<Item = String>) -> Result<Self, Error> {
        let patterns = patterns.into_iter().map(|pattern| {
            Pattern::parse(&pattern).map_err(|problem| Error::AllowedHost { pattern, problem: problem.into() })
        });
        Ok(Self(patterns.collect::<Result<_, _>>()?))
    }

    /// Whether a request may go to this address.
    pub fn permit(&self, uri: &Uri) -> bool {
        let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) else { return false };
        let Some(port) = uri.port_u16().or_else(|| default_port(scheme)) else { return false };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        self.0.iter().any(|pattern| pattern.permits(scheme, host, port))
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Pattern {
    /// `None`: any.
    scheme: Option<String>,
    host: Host,
    /// First and last, inclusive.
    ports: (u16, u16),
}

#[derive(Debug, PartialEq, Eq)]
enum Host {
    Any,
    Exact(String),
    /// `*.example.com`: the part after the star.
    Below(String),
    Range(IpAddr, u8),
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = text.split_once("://").ok_or("has no scheme; write `*://` for any")?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = split_port(rest);
        let scheme = match scheme {
            "" => return Err("has an empty scheme"),
            "*" => None,
            named => Some(named.to_owned()),
        };
        let ports = match port {
            Some("*") => (0, u16::MAX),
            Some(port) => match port.split_once("..") {
                // Spin's ranges leave the end out.
                Some((first, end)) => {
                    let end: u16 = end.parse().map_err(|_| BAD_PORT)?;
                    (first.parse().map_err(|_| BAD_PORT)?, end.checked_sub(1).ok_or(BAD_PORT)?)
                }
                None => {
                    let port = port.parse().map_err(|_| BAD_PORT)?;
                    (port, port)
                }
            },
            None => {
                let port = scheme.as_deref().and_then(default_port).ok_or("needs a port")?;
                (port, port)
            }
        };
        Ok(Self { scheme, host: Host::parse(host)?, ports })
    }

    fn permits(&self, scheme: &str, host: &str, port: u16) -> bool {
        self.scheme.as_deref().is_none_or(|wanted| wanted == scheme)
            && (self.ports.0..=self.ports.1).contains(&port)
            && match &self.host {
                Host::Any => true,
                Host::Exact(exact) => exact.eq_ignore_ascii_case(host),
                Host::Below(domain) => host
                    .len()
                    .checked_sub(domain.len())
                    .and_then(|start| host.split_at_checked(start))
                    .is_some_and(|(below, end)| !below.is_empty() && end.eq_ignore_ascii_case(domain)),
                Host::Range(network, bits) => host.parse().is_ok_and(|address| in_range(*network, *bits, address)),
            }
    }
}

impl Host {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.trim_start_matches('[').trim_end_matches(']');
        if text.is_empty() {
            return Err("has no host");
        }
        if text == "*" {
            return Ok(Host::Any);
        }
        if let Some((address, bits)) = text.split_once('/') {
            let address: IpAddr = address.parse().map_err(|_| BAD_RANGE)?;
            let bits = bits.parse().map_err(|_| BAD_RANGE)?;
            let most = if address.is_ipv4() { 32 } else { 128 };
            return if bits > most { Err(BAD_RANGE) } else { Ok(Host::Range(address, bits)) };
        }
        if matches!(text, "self" | "self.alt") || text.ends_with(".spin.internal") {
            return Err("names this application itself, which this host cannot reach");
        }
        match text.strip_prefix('*') {
            Some(domain) if domain.starts_with('.') && !domain.contains('*') => Ok(Host::Below(domain.to_owned())),
            None if !text.contains('*') => Ok(Host::Exact(text.to_owned())),
            Some(_) | None => Err("a star stands for everything or for the labels before a domain"),
        }
    }
}

fn split_port(text: &str) -> (&str, Option<&str>) {
    // A colon inside brackets belongs to an IPv6 address.
    let from = text.rfind(']').unwrap_or(0);
    match text[from..].rfind(':') {
        Some(at) => (&text[..from + at], Some(&text[from + at + 1..])),
        None => (text, None),
    }
}

fn in_range(network: IpAddr, bits: u8, address: IpAddr) -> bool {
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            (u32::from(network) ^ u32::from(address)).checked_shr(32 - u32::from(bits)).unwrap_or(0) == 0
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            (u128::from(network) ^ u128::from(address)).checked_shr(128 - u32::from(bits)).unwrap_or(0) == 0
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        "redis" | "rediss" => Some(6379),
        _ => None,
    }
}

const BAD_PORT: &str = "has a port that is neither a number, a range such as 8000..9000, nor `*`";
const BAD_RANGE: &str = "has a range of addresses that is not one";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_permit_what_they_say() {
        for (pattern, uri, permitted) in [
            ("https://a.example", "https://a.example/x", true),
            ("https://a.example", "https://A.Example:443/", true),
            ("https://a.example", "https://a.example:8443/", false),
            ("https://a.example", "http://a.example/", false),
            ("*://a.example:80", "http://a.example/", true),
            ("http://*:*", "http://10.1.2.3:9000/", true),
            ("http://*:*", "https://10.1.2.3:9000/", false),
            ("http://*.example.com", "http://a.b.example.com/", true),
            ("http://*.example.com", "http://example.com/", false),
            ("http://*.example.com", "http://badexample.com/", false),
            ("http://127.0.0.1:9000..9002", "http://127.0.0.1:9001/", true),
            ("http://127.0.0.1:9000..9002", "http://127.0.0.1:9002/", false),
            ("http://10.0.0.0/8:*", "http://10.9.9.9:1/", true),
            ("http://10.0.0.0/8:*", "http://11.9.9.9:1/", false),
            ("http://0.0.0.0/0:*", "http://11.9.9.9:1/", true),
            ("http://[::1]:80", "http://[::1]/", true),
            ("http://*:*", "http://[2001:db8::1]:81/", true),
        ] {
            let allowed = AllowedHosts::parse([pattern.to_owned()]).expect(pattern);
            assert_eq!(allowed.permit(&uri.parse().expect(uri)), permitted, "{pattern} {uri}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for pattern in
            ["a.example", "://a", "*://a", "http://a:x", "http://a*b", "http://10.0.0.0/33", "http://self", "http://"]
        {
            assert!(AllowedHosts::parse([pattern.to_owned()]).is_err(), "{pattern}");
        }
    }
}
