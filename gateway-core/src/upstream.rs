//! A named group of targets, and the way to an answer from one of them.

use crate::http::{Response, Scheme};
use crate::platform::{Call, Failure, FetchError, Platform};
use crate::route::pattern;
use crate::template::{Settings, Template};
use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::time::Duration;

/// An upstream as it was compiled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    /// Its name in the configuration.
    pub name: String,
    /// The targets' URLs; references in them are filled in when the gateway is loaded.
    pub targets: Vec<Template>,
    /// How long it may take.
    pub timeouts: Timeouts,
    /// Which `Host` it is sent.
    pub host: HostHeader,
}

/// How long an answer may take, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    /// One attempt, until the response's head is there.
    pub attempt: u64,
    /// All attempts together.
    pub total: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { attempt: 30_000, total: 60_000 }
    }
}

/// Which `Host` a target is sent. Both platforms derive it from the URL; `check` says what that means.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostHeader {
    /// The target's own.
    #[default]
    Target,
    /// The one that the client sent.
    Keep,
    /// This one.
    Fixed(String),
}

/// An upstream that is ready to be called.
#[derive(Debug)]
pub struct Pool {
    /// What it was made from.
    pub upstream: Upstream,
    targets: Vec<Target>,
    next: Cell<usize>,
}

/// Where requests can be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// `http` or `https`.
    pub scheme: Scheme,
    /// Host, and the port where it is not the scheme's own.
    pub authority: String,
    /// What every path is put behind; normalised, empty or beginning with `/`, never ending with it.
    pub base: String,
}

impl Target {
    /// Reads `http://host:port/base`.
    pub fn parse(url: &str) -> Result<Self, String> {
        let wrong = |why: &str| Err(format!("`{url}` is not a target's URL: {why}; write `https://host:port/path`"));
        let Some((scheme, rest)) = url.split_once("://") else { return wrong("it has no `://`") };
        let scheme = match scheme {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return wrong("the scheme is neither http nor https"),
        };
        if rest.contains(['?', '#']) {
            return wrong("it has a query or a fragment");
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.contains('@') {
            return wrong("credentials do not belong into a URL");
        }
        if pattern::authority(authority).is_none() {
            return wrong("the host or the port is malformed");
        }
        let base = match path {
            "" => String::new(),
            path => match crate::path::normalise(path) {
                Ok(path) => path.trim_end_matches('/').to_owned(),
                Err(invalid) => return wrong(&invalid.to_string()),
            },
        };
        Ok(Self { scheme, authority: authority.to_ascii_lowercase(), base })
    }
}

impl Pool {
    /// Fills in the references of an upstream's targets.
    pub fn new(upstream: Upstream, settings: &Settings) -> Result<Self, String> {
        let targets =
            upstream.targets.iter().map(|url| Target::parse(&url.resolve(settings))).collect::<Result<_, _>>()?;
        Ok(Self { upstream, targets, next: Cell::new(0) })
    }

    /// The targets, in the order in which they stand in the configuration.
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// The targets to try for one request: each takes its turn to be the first.
    fn turn(&self) -> impl Iterator<Item = &Target> {
        let count = self.targets.len().max(1);
        let first = self.next.get() % count;
        self.next.set((first + 1) % count);
        self.targets.iter().cycle().skip(first).take(self.targets.len())
    }
}

/// Sends a call to one target after another until one is reached.
///
/// `call` names no target yet; its `target` is path and query. It is sent again only with a body that can be sent twice,
/// and only where that does no harm: when it reached nobody, whatever its method; when the connection broke off, if the
/// method is idempotent (RFC 9110 §9.2.2).
pub async fn send<P: Platform>(
    platform: &P,
    pool: &Pool,
    timeouts: Timeouts,
    mut call: Call<P::Stream>,
    host: Option<&str>,
) -> Result<Response<P::Stream>, Failure> {
    let started = platform.now();
    let mut last = Failure { error: FetchError::Unreachable, detail: "the upstream has no target".to_owned() };
    let mut turn = pool.turn().peekable();
    while let Some(target) = turn.next() {
        let elapsed = platform.now().saturating_sub(started);
        let left = timeouts.total.saturating_sub(elapsed).min(timeouts.attempt);
        if left == 0 {
            let detail = "no time is left for another attempt".to_owned();
            return Err(Failure { error: FetchError::Timeout, detail });
        }
        let again = if turn.peek().is_some() { call.replay() } else { None };
        call.scheme = target.scheme;
        call.authority.clone_from(&target.authority);
        call.host = host.filter(|host| *host != target.authority).map(str::to_owned);
        call.target.insert_str(0, &target.base);
        call.timeout = Duration::from_millis(left);
        match platform.fetch(call).await {
            Ok(response) => return Ok(response),
            Err(failure) => last = failure,
        }
        let harmless = match last.error {
            FetchError::Unreachable => true,
            FetchError::Reset => again.as_ref().is_some_and(|call| is_idempotent(&call.method)),
            FetchError::Timeout | FetchError::BodyTooLarge | FetchError::ClientGone | FetchError::Forbidden => false,
        };
        match again {
            Some(again) if harmless => call = again,
            Some(_) | None => break,
        }
    }
    Err(last)
}

fn is_idempotent(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "QUERY" | "PUT" | "DELETE")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Body, Headers};
    use crate::platform::Interest;
    use crate::testing::{TestPlatform, run};
    use std::cell::RefCell;
    use std::rc::Rc;

    #[test]
    fn targets_are_urls_without_surprises() {
        let target = Target::parse("https://API.example.com:8443/base/../v1/").expect("a target");
        assert_eq!((target.authority.as_str(), target.base.as_str()), ("api.example.com:8443", "/v1"));
        assert_eq!(Target::parse("http://h/").expect("a target").base, "");
        for wrong in
            ["h", "ftp://h", "http://", "http://u:p@h", "http://h?x", "http://h/#x", "http://h:x/", "http://h/%"]
        {
            assert!(Target::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_call_that_reached_nobody_goes_to_the_next_target() {
        let (tried, result) = attempts(FetchError::Unreachable, Body::Bytes("x".into()), 0);
        assert_eq!(tried, ["a.test /v1/x", "b.test /x", "c.test /x"]);
        assert_eq!(result, Err(FetchError::Unreachable));
    }

    #[test]
    fn what_an_upstream_may_have_acted_on_is_sent_again_only_if_that_changes_nothing() {
        assert_eq!(attempts(FetchError::Reset, Body::Empty, 0).0.len(), 3);
        assert_eq!(attempts_of("POST", FetchError::Reset, Body::Empty, 0).0.len(), 1);
        assert_eq!(attempts(FetchError::Timeout, Body::Empty, 0).0.len(), 1);
    }

    #[test]
    fn a_streamed_body_is_sent_once() {
        assert_eq!(attempts(FetchError::Unreachable, Body::Stream(b"x".to_vec()), 0).0.len(), 1);
    }

    #[test]
    fn all_attempts_share_the_total_time() {
        let (tried, result) = attempts(FetchError::Unreachable, Body::Empty, 60);
        assert_eq!((tried.len(), result), (2, Err(FetchError::Timeout)));
    }

    #[test]
    fn each_target_takes_its_turn_to_be_the_first() {
        let pool = pool();
        let firsts: Vec<_> = (0..4).filter_map(|_| pool.turn().next().map(|target| target.authority.clone())).collect();
        assert_eq!(firsts, ["a.test", "b.test", "c.test", "a.test"]);
    }

    fn pool() -> Pool {
        let targets = ["http://a.test/v1", "http://b.test", "http://c.test"].map(Template::literal).to_vec();
        let timeouts = Timeouts { attempt: 50, total: 100 };
        let upstream = Upstream { name: "u".into(), targets, timeouts, host: HostHeader::Target };
        Pool::new(upstream, &Settings::new()).expect("the targets are URLs")
    }

    /// Where a call was tried when every attempt takes so many milliseconds and fails in this way, and what came out.
    fn attempts(error: FetchError, body: Body<Vec<u8>>, takes: u64) -> (Vec<String>, Result<u16, FetchError>) {
        attempts_of("GET", error, body, takes)
    }

    fn attempts_of(
        method: &str,
        error: FetchError,
        body: Body<Vec<u8>>,
        takes: u64,
    ) -> (Vec<String>, Result<u16, FetchError>) {
        let tried = RefCell::new(Vec::new());
        let clock = Rc::new(Cell::new(0));
        let platform = TestPlatform::with_clock(clock.clone(), |call: Call<Vec<u8>>| {
            tried.borrow_mut().push(format!("{} {}", call.authority, call.target));
            clock.set(clock.get() + takes);
            Err(Failure { error, detail: String::new() })
        });
        let call = Call {
            method: method.into(),
            scheme: Scheme::Http,
            authority: String::new(),
            target: "/x".into(),
            host: None,
            headers: Headers::new(),
            body,
            body_limit: None,
            timeout: Duration::ZERO,
            interest: Interest::HopByHop,
            upgrade: false,
        };
        let pool = pool();
        let result = run(send(&platform, &pool, pool.upstream.timeouts, call, None));
        drop(platform);
        (tried.into_inner(), result.map(|response| response.status).map_err(|failure| failure.error))
    }
}
