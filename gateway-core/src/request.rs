//! Reads a request once, refuses what can be read in two ways, and leaves behind what was meant for the last hop only.

use crate::client::{Cidr, Client};
use crate::error::Error;
use crate::gateway::inner::Inner;
use crate::http::{Body, Headers, Incoming, Scheme, is_token, list};
use crate::path;
use crate::platform::{Platform, ReadError};
use crate::pump;
use crate::route::{self, pattern};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// A request that has been read and checked.
#[derive(Debug, Clone)]
pub struct Request {
    /// What was asked for.
    pub line: Line,
    /// The header fields without the hop-by-hop ones. `upgrade` is still there; [`Request::upgrade`] tells whether it counts.
    pub headers: Headers,
    /// Who asked.
    pub client: Client,
    /// The protocol asked for by `Connection: Upgrade` (RFC 9110 §7.8), in lower case.
    pub upgrade: Option<String>,
    /// The declared length of the body.
    pub content_length: Option<u64>,
    /// How many requests it is within: 0 for a client's.
    pub depth: u8,
}

/// Reads the whole body of a request, as far as `most` bytes go; one that is said to be longer is not touched.
///
/// # Errors
/// [`Error::BodyTooLarge`], and [`Error::ClientGone`] where it breaks off.
pub async fn whole<P: Platform>(
    platform: &P,
    body: Body<P::Stream>,
    declared: Option<u64>,
    most: u64,
) -> Result<Bytes, Error> {
    let too_large = || Error::BodyTooLarge { limit: most };
    if declared.is_some_and(|length| length > most) {
        return Err(too_large());
    }
    let room = usize::try_from(most).unwrap_or(usize::MAX);
    pump::read(platform, body, room).await.map_err(|error| match error {
        ReadError::TooLarge => too_large(),
        ReadError::Broken(_) => Error::ClientGone,
    })
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The method's token.
    pub method: String,
    /// How the peer reached the platform.
    pub scheme: Scheme,
    /// The host and port as received, for `X-Forwarded-Host`.
    pub authority: String,
    /// The host in lower case, without port and trailing dot.
    pub host: String,
    /// The normalised path.
    pub path: String,
    /// The query without `?`, as received.
    pub query: Option<String>,
}

/// What the gateway takes at most, in bytes and lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of path and query; beyond that 414.
    pub target: u64,
    /// Bytes of all header fields as HTTP/1.1 writes them; beyond that 431.
    pub headers: u64,
    /// Lines of header fields; beyond that 431.
    pub header_count: u64,
    /// Bytes of a request's body; beyond that 413. A route may say otherwise.
    pub body: Option<u64>,
}

/// What one route takes at most, where that is less than what the gateway takes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteLimits {
    /// Bytes of path and query; beyond that 414.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub target: Option<u64>,
    /// Bytes of all header fields as HTTP/1.1 writes them; beyond that 431.
    #[serde(rename = "h", default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<u64>,
    /// Lines of header fields; beyond that 431.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub header_count: Option<u64>,
}

impl RouteLimits {
    /// Whether a request keeps to them.
    pub fn check(&self, line: &Line, headers: &Headers) -> Result<(), Error> {
        let target = line.path.len() + line.query.as_ref().map_or(0, |query| query.len() + 1);
        if let Some(limit) = self.target.filter(|limit| target as u64 > *limit) {
            return Err(Error::TargetTooLong { limit });
        }
        if self.headers.is_some() || self.header_count.is_some() {
            let (lines, bytes) = headers.size();
            let over = |count: usize, limit: Option<u64>| limit.is_some_and(|limit| count as u64 > limit);
            if over(lines, self.header_count) || over(bytes, self.headers) {
                return Err(Error::HeadersTooLarge);
            }
        }
        Ok(())
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { target: 8 << 10, headers: 64 << 10, header_count: 100, body: None }
    }
}

impl Request {
    /// Reads and checks a request; its body is handed back untouched.
    pub fn read<S>(incoming: Incoming<S>, limits: &Limits, trusted: &[Cidr]) -> Result<(Self, Body<S>), Error> {
        let Incoming { method, scheme, authority, target, mut headers, body, peer } = incoming;
        if target.len() as u64 > limits.target {
            return Err(Error::TargetTooLong { limit: limits.target });
        }
        let (lines, bytes) = headers.size();
        if lines as u64 > limits.header_count || bytes as u64 > limits.headers {
            return Err(Error::HeadersTooLarge);
        }
        check_method(&method)?;
        let target = path::parse(&target).map_err(Error::BadTarget)?;
        let host = host(&authority, &headers)?;
        let content_length = content_length(&headers)?;
        if list(&headers, "expect").any(|expectation| !expectation.eq_ignore_ascii_case("100-continue")) {
            return Err(Error::ExpectationFailed);
        }
        // The platform has answered 100 Continue by itself, or will.
        headers.remove("expect");
        let client = Client::resolve(peer, scheme, &headers, trusted);
        let upgrade = wanted_upgrade(&headers);
        strip_hop_by_hop(&mut headers);
        if !client.through_trusted {
            HEARSAY.iter().for_each(|name| headers.remove_alike(name));
        }
        let line = Line { method, scheme, authority, host, path: target.path, query: target.query };
        Ok((Self { line, headers, client, upgrade, content_length, depth: 0 }, body))
    }

    /// A request of the gateway's own, held to the same limits.
    pub fn within<S>(inner: Inner<'_, S>, limits: &Limits) -> Result<(Self, Body<S>), Error> {
        let Inner { line, client, depth, method, target, headers, body, .. } = inner;
        if target.len() as u64 > limits.target {
            return Err(Error::TargetTooLong { limit: limits.target });
        }
        let (lines, bytes) = headers.size();
        if lines as u64 > limits.header_count || bytes as u64 > limits.headers {
            return Err(Error::HeadersTooLarge);
        }
        let target = path::parse(&target).map_err(Error::BadTarget)?;
        let content_length = headers.content_length();
        let line = Line { method, path: target.path, query: target.query, ..line.clone() };
        Ok((Self { line, headers, client: client.clone(), upgrade: None, content_length, depth }, body))
    }

    /// What routes look at.
    pub fn head(&self) -> route::Head<'_> {
        route::Head {
            method: &self.line.method,
            host: &self.line.host,
            path: &self.line.path,
            query: self.line.query.as_deref(),
            headers: &self.headers,
            client: &self.client,
        }
    }
}

/// Whether a method is taken.
///
/// Methods are case-sensitive (RFC 9110 §9.1), and yet many a server brings them to capitals: a rule on DELETE would not see `delete`.
pub fn check_method(method: &str) -> Result<(), Error> {
    let is_misspelt = |known: &&str| **known != *method && known.eq_ignore_ascii_case(method);
    if !is_token(method) || KNOWN_METHODS.iter().any(is_misspelt) {
        return Err(Error::BadMethod);
    }
    if method == "CONNECT" || method == "TRACE" {
        return Err(Error::MethodNotImplemented);
    }
    Ok(())
}

/// RFC 9110 §7.6.1: an intermediary removes connection options, and the fields that they name, before forwarding.
/// `upgrade` stays for whoever decides whether to hand it on.
pub fn strip_hop_by_hop(headers: &mut Headers) {
    if headers.contains("connection") {
        let named: Vec<String> = list(headers, "connection").map(str::to_ascii_lowercase).collect();
        // What frames and routes the message is no connection option, whatever a sender claims.
        for name in named.iter().filter(|name| !matches!(name.as_str(), "host" | "content-length" | "upgrade")) {
            headers.remove(name);
        }
    }
    for name in HOP_BY_HOP {
        if headers.contains(name) {
            headers.remove(name);
        }
    }
}

/// Fields for one connection only, besides `upgrade` and those that `connection` names.
pub const HOP_BY_HOP: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "transfer-encoding",
    "http2-settings",
];

/// Fields about the client, or about what it asked for, that origins are known to believe: taken from whoever is not trusted
/// before any policy runs, so that a policy can write them anew. `x-original-url` and `x-rewrite-url` name another path than
/// the one that was matched here.
pub const HEARSAY: [&str; 13] = [
    "x-real-ip",
    "x-forwarded-port",
    "x-forwarded-server",
    "x-forwarded-scheme",
    "x-forwarded-ssl",
    "client-ip",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-original-url",
    "x-rewrite-url",
    // RFC 9440 §2.4
    "client-cert",
    "client-cert-chain",
];

/// Methods that everybody knows.
const KNOWN_METHODS: [&str; 10] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"];

fn host(authority: &str, headers: &Headers) -> Result<String, Error> {
    if headers.all("host").count() > 1 {
        return Err(Error::BadHost);
    }
    let (host, _) = pattern::authority(authority).ok_or(Error::BadHost)?;
    Ok(host.to_ascii_lowercase())
}

/// RFC 9112 §6.3: a length beside a transfer coding, or two lengths that differ, is how requests are smuggled.
fn content_length(headers: &Headers) -> Result<Option<u64>, Error> {
    let mut found = None;
    for line in headers.all("content-length") {
        for member in line.split(|&b| b == b',') {
            let digits = member.trim_ascii();
            let number = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
            let number: u64 = number.and_then(|text| text.parse().ok()).ok_or(Error::BadFraming)?;
            if found.is_some_and(|found| found != number) {
                return Err(Error::BadFraming);
            }
            found = Some(number);
        }
    }
    if found.is_some() && headers.contains("transfer-encoding") {
        return Err(Error::BadFraming);
    }
    Ok(found)
}

fn wanted_upgrade(headers: &Headers) -> Option<String> {
    let asked = list(headers, "connection").any(|option| option.eq_ignore_ascii_case("upgrade"));
    // Some platforms keep `Connection` to themselves and show only `Upgrade`.
    if asked || !headers.contains("connection") { headers.text("upgrade").map(str::to_ascii_lowercase) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Peer;

    fn read(authority: &str, target: &str, block: &str) -> Result<Request, Error> {
        let incoming = Incoming {
            method: "GET".into(),
            scheme: Scheme::Http,
            authority: authority.into(),
            target: target.into(),
            headers: Headers::from_block(block.as_bytes().to_vec()),
            body: Body::<()>::Empty,
            peer: Peer::default(),
        };
        let limits = Limits { target: 20, headers: 80, header_count: 4, body: None };
        Request::read(incoming, &limits, &[]).map(|(request, _)| request)
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for (authority, target, block, error) in [
            ("a", "/%zz", "", Error::BadTarget(path::Invalid::PercentEncoding)),
            ("", "/", "", Error::BadHost),
            ("u@a", "/", "", Error::BadHost),
            ("a, b", "/", "", Error::BadHost),
            ("a", "/", "host\0a\nhost\0a\n", Error::BadHost),
            ("a", "/", "content-length\x001\ncontent-length\x002\n", Error::BadFraming),
            ("a", "/", "content-length\x00+1\n", Error::BadFraming),
            ("a", "/", "content-length\0\n", Error::BadFraming),
            ("a", "/", "content-length\x001\ntransfer-encoding\0chunked\n", Error::BadFraming),
            ("a", "/", "expect\0wonders\n", Error::ExpectationFailed),
            ("a", "/0123456789012345678901234", "", Error::TargetTooLong { limit: 20 }),
            ("a", "/", "a\x001\na\x001\na\x001\na\x001\na\x001\n", Error::HeadersTooLarge),
            (
                "a",
                "/",
                "a\x00012345678901234567890123456789012345678901234567890123456789012345678901234567890\n",
                Error::HeadersTooLarge,
            ),
        ] {
            assert_eq!(read(authority, target, block).map(|r| r.line), Err(error), "{authority} {target} {block}");
        }
    }

    #[test]
    fn hop_by_hop_fields_stay_behind() {
        let request =
            read("A.Example.:80", "/x/../y?z", "connection\0x-a, close\nx-a\x001\nx-b\x002\n").expect("legal");
        assert_eq!(request.headers.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["x-b"]);
        assert_eq!((request.line.host.as_str(), request.line.path.as_str()), ("a.example", "/y"));
        let request =
            read("a", "/", "connection\0host, content-length\nhost\0a\ncontent-length\x003\n").expect("legal");
        assert_eq!(request.headers.size().0, 2);
    }

    #[test]
    fn a_known_method_in_other_letters_can_be_read_in_two_ways() {
        let read = |method: &str| {
            let incoming = Incoming {
                method: method.into(),
                scheme: Scheme::Http,
                authority: "a".into(),
                target: "/".into(),
                headers: Headers::new(),
                body: Body::<()>::Empty,
                peer: Peer::default(),
            };
            Request::read(incoming, &Limits::default(), &[]).map(|_| ())
        };
        for method in ["delete", "Delete", "get", "pAtch"] {
            assert_eq!(read(method), Err(Error::BadMethod), "{method}");
        }
        for method in ["DELETE", "PATCH", "frobnicate", "M-SEARCH"] {
            assert_eq!(read(method), Ok(()), "{method}");
        }
    }

    #[test]
    fn what_a_client_says_of_itself_or_of_another_path_stays_behind() {
        let block = "x_real_ip\x001\nx-original-url\0/\nX_Rewrite_Url\0/\nx-a\x001\n";
        let request = read("a", "/", block).expect("legal");
        assert_eq!(request.headers.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["x-a"]);
    }

    #[test]
    fn an_upgrade_is_asked_for_by_both_fields() {
        assert_eq!(
            read("a", "/", "connection\0Upgrade\nupgrade\0WebSocket\n").expect("legal").upgrade.as_deref(),
            Some("websocket")
        );
        assert_eq!(read("a", "/", "connection\0close\nupgrade\0websocket\n").expect("legal").upgrade, None);
    }
}
