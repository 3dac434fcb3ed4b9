//! Requests that the gateway makes for itself: an issuer's keys, an answer on a token. Short ones, whose answers are read
//! whole and held to a limit.

use crate::http::{Body, Headers, Response, Scheme};
use crate::path;
use crate::platform::{Call, Failure, Interest, Patience, Platform, ReadError};
#[cfg(feature = "telemetry")]
use crate::pump;
use crate::route::pattern;
use bytes::Bytes;
use std::fmt;
use std::time::Duration;

/// An address that the gateway asks itself: like a target's, but with a query if need be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    scheme: Scheme,
    authority: String,
    target: String,
}

/// Without path and query, which may hold what is nobody's business.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

/// What is sent.
pub struct Errand<'a> {
    /// Where to.
    pub address: &'a Address,
    /// Names and values of header fields besides `accept`.
    pub headers: Vec<(&'static str, String)>,
    /// A form to post; `None`: a GET.
    pub form: Option<String>,
    /// How many bytes the answer may have.
    pub limit: usize,
}

/// How long an answer's head may take, and then its body.
pub const TIMEOUT: Duration = Duration::from_secs(5);

impl Address {
    /// Reads `https://host:port/path?query`. Credentials and fragments do not belong into it.
    pub fn parse(url: &str) -> Result<Self, String> {
        let wrong = |why: &str| Err(format!("`{url}` is not an address: {why}; write `https://host/path`"));
        let Some((scheme, rest)) = url.split_once("://") else { return wrong("it has no `://`") };
        let scheme = match scheme {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return wrong("the scheme is neither http nor https"),
        };
        if rest.contains('#') || rest.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return wrong("it has a fragment, a space or a control character");
        }
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return wrong("credentials do not belong into an address");
        }
        if pattern::authority(authority).is_none() {
            return wrong("the host or the port is malformed");
        }
        let (written, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let path = match path::normalise(if written.is_empty() { "/" } else { written }) {
            Ok(path) => path,
            Err(invalid) => return wrong(&invalid.to_string()),
        };
        let target = query.map_or_else(|| path.to_string(), |query| format!("{path}?{query}"));
        Ok(Self { scheme, authority: authority.to_ascii_lowercase(), target })
    }

    /// Whether nobody on the way can change what is answered: TLS, or no way at all.
    pub fn is_safe(&self) -> bool {
        let host = pattern::authority(&self.authority).map_or("", |(host, _)| host);
        let loopback =
            matches!(host, "localhost" | "[::1]") || host.starts_with("127.") || host.ends_with(".localhost");
        self.is_secure() || loopback
    }

    /// Whether it is reached by TLS.
    pub fn is_secure(&self) -> bool {
        self.scheme == Scheme::Https
    }
}

/// What came back.
#[derive(Debug)]
pub struct Answered {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: Bytes,
}

/// Asks, and reads the answer if it is a 200. What went wrong is told in words for the log.
pub async fn run<P: Platform>(platform: &P, errand: Errand<'_>) -> Result<Bytes, String> {
    let address = errand.address;
    match ask(platform, errand).await? {
        Answered { status: 200, body } => Ok(body),
        Answered { status, .. } => Err(format!("{address} answered with the status {status}")),
    }
}

/// Asks, and reads the answer whatever its status is. What went wrong is told in words for the log.
pub async fn ask<P: Platform>(platform: &P, errand: Errand<'_>) -> Result<Answered, String> {
    ask_within(platform, errand, TIMEOUT).await
}

/// The same with another time for the answer's head, and then for its body.
pub async fn ask_within<P: Platform>(platform: &P, errand: Errand<'_>, timeout: Duration) -> Result<Answered, String> {
    let Errand { address, headers: fields, form, limit } = errand;
    let mut headers = Headers::new();
    headers.set("accept", "application/json");
    for (name, value) in fields {
        headers.set(name, value);
    }
    let body = match &form {
        None => Body::Empty,
        Some(form) => {
            headers.set("content-type", "application/x-www-form-urlencoded");
            headers.set("content-length", form.len().to_string());
            Body::Bytes(Bytes::from(form.clone()))
        }
    };
    let method = if form.is_some() { "POST" } else { "GET" };
    // Who asks may have others wait: a body that comes a byte at a time must not keep them for ever.
    let patience = Patience { idle: None, whole: Some(timeout) };
    let response = send(platform, address, method, headers, body, timeout, patience).await?;
    let body = match response.body {
        Body::Empty | Body::Made(_) => Ok(Bytes::new()),
        Body::Bytes(bytes) if bytes.len() <= limit => Ok(bytes),
        Body::Bytes(_) => Err(format!("{address} answered with more than {limit} bytes")),
        // No platform gives another one.
        Body::Stream(stream) | Body::Pumped(stream, _) => {
            platform.read(stream, limit).await.map_err(|error| match error {
                ReadError::TooLarge => format!("{address} answered with more than {limit} bytes"),
                ReadError::Broken(why) => format!("the answer of {address} broke off ({why})"),
            })
        }
    };
    Ok(Answered { status: response.status, body: body? })
}

/// Posts what is in memory and gives the status of the answer, whose body nobody reads. What went wrong is told in words for
/// the log.
#[cfg(feature = "telemetry")]
pub async fn post<P: Platform>(
    platform: &P,
    address: &Address,
    mut headers: Headers,
    body: Bytes,
    timeout: Duration,
) -> Result<u16, String> {
    headers.set("content-length", body.len().to_string());
    let patience = Patience::default();
    let response = send(platform, address, "POST", headers, Body::Bytes(body), timeout, patience).await?;
    pump::discard(platform, response.body);
    Ok(response.status)
}

async fn send<P: Platform>(
    platform: &P,
    address: &Address,
    method: &str,
    headers: Headers,
    body: Body<P::Stream>,
    timeout: Duration,
    patience: Patience,
) -> Result<Response<P::Stream>, String> {
    let call = Call {
        method: method.to_owned(),
        scheme: address.scheme,
        authority: address.authority.clone(),
        binding: None,
        target: address.target.clone(),
        host: None,
        headers,
        body,
        body_limit: None,
        timeout,
        patience,
        interest: Interest::HopByHop,
        watched: false,
        last: false,
        upgrade: None,
    };
    platform.watch().errand();
    let failed = |failure: Failure| format!("{address} cannot be reached ({:?}: {})", failure.error, failure.detail);
    platform.fetch(call).await.map_err(failed)
}

/// Writes a form's value (WHATWG URL, `application/x-www-form-urlencoded`).
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for b in text.bytes() {
        match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => out.push(char::from(b)),
            b' ' => out.push('+'),
            _ => path::encode(b, &mut out),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let read = |url: &str| {
            Address::parse(url).map(|address| (address.authority.clone(), address.target.clone(), address.is_safe()))
        };
        for (url, authority, target, safe) in [
            ("https://IDP.example/keys?p=a/b", "idp.example", "/keys?p=a/b", true),
            ("https://idp.example", "idp.example", "/", true),
            ("http://127.0.0.1:9000/x", "127.0.0.1:9000", "/x", true),
            ("http://localhost?x", "localhost", "/?x", true),
            ("http://[::1]:1/", "[::1]:1", "/", true),
            ("http://idp.example/", "idp.example", "/", false),
        ] {
            assert_eq!(read(url), Ok((authority.to_owned(), target.to_owned(), safe)), "{url}");
        }
        for wrong in
            ["", "idp", "ftp://x", "https://u:p@x/", "https://x/#a", "https://x/a b", "https:///x", "https://x:y/"]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert_eq!(encode("a b&c=é"), "a+b%26c%3D%C3%A9");
    }
}
