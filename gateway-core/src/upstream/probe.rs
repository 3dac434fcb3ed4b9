//! Asks targets how they are, and tells instances what was found.
//!
//! On a platform that wakes somebody up by itself, that one checks ([`round`]) and instances only read. Elsewhere an instance
//! that has traffic does it when it is time, and a lease in the store sees to it that only one does. Either way nobody waits:
//! it happens after an answer. Only the first request of an instance waits for what the others know, and not for long.

use super::check::{AT_ONCE, Board, CheckRules, Probe, Sought, Verdict, name};
use super::pool::Pool;
use super::send::{First, first};
use super::{HostHeader, Target};
use crate::http::{Body, Headers};
use crate::platform::{Call, FetchError, Interest, Patience, Platform, ReadError, StoreError, Timestamp};
use crate::pump;
use crate::quota::{Act, Order, Rule};
use crate::template::Settings;
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

/// What the log should hear of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// The upstream.
    pub upstream: String,
    /// The target's name.
    pub target: String,
    /// What there is to say.
    pub what: What,
}

/// What there is to say of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// It is ill from now on, and why.
    Ill(String),
    /// It is well again.
    Well,
    /// It could not be asked, for a reason that is not its own.
    Unasked(String),
}

impl News {
    /// The code of the problem.
    pub fn problem(&self) -> &'static str {
        match self.what {
            What::Ill(_) => "target-ill",
            What::Well => "target-well",
            What::Unasked(_) => "target-unasked",
        }
    }
}

impl fmt::Display for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { upstream, target, what } = self;
        match what {
            What::Ill(why) => write!(f, "upstream `{upstream}`: checks find {target} ill: {why}"),
            What::Well => write!(f, "upstream `{upstream}`: checks find {target} well again"),
            What::Unasked(why) => write!(f, "upstream `{upstream}`: {target} cannot be checked: {why}"),
        }
    }
}

/// How long the first request of an instance waits for what the others know.
const PATIENCE: Duration = Duration::from_millis(250);
/// How much of a body is looked at.
const MOST: usize = 64 << 10;

/// Has an instance that knows nothing ask what the others know. What goes wrong is told by [`tend`], which comes later.
pub async fn catch_up<P: Platform>(platform: &P, pool: &Pool) {
    let now = platform.now();
    if !pool.lacks_findings(now) {
        return;
    }
    pool.look(now);
    let key = pool.board_key();
    let board = pin!(platform.board(&key));
    if let First::One(Ok(found)) = first(board, pin!(platform.sleep(PATIENCE))).await {
        let (board, now) = (found.map(|text| Board::read(&text)).unwrap_or_default(), platform.now());
        pool.learn(&board, now, platform.random());
        // An instance may live for one request, and others need not be there: whoever finds a round to be late sees to it.
        if !platform.checks_by_itself() && pool.checks().is_some_and(|rules| now >= rules.due(&board)) {
            pool.look_again(now);
        }
    }
}

/// Brings what this instance knows up to date, and checks, if it is time and nobody else does. Gives what has changed by that.
pub async fn tend<P: Platform>(platform: &P, pool: &Pool, settings: &Settings) -> Result<Vec<News>, StoreError> {
    let Some(rules) = pool.checks() else { return Ok(Vec::new()) };
    let key = pool.board_key();
    let read = async || -> Result<Board, StoreError> {
        Ok(platform.board(&key).await?.map(|text| Board::read(&text)).unwrap_or_default())
    };
    let board = read().await?;
    let now = platform.now();
    pool.learn(&board, now, platform.random());
    if platform.checks_by_itself() || now < rules.due(&board) {
        return Ok(Vec::new());
    }
    // Windows are counted in one step on every platform. Rounds are an interval apart, so each finds a window of its own.
    let lease = Order {
        rules: vec![Rule::Window { limit: 1, per: rules.interval, sliding: false }],
        act: Act::Take { cost: 1, most: 1, patience: 0, lease: 0 },
    };
    if platform.take(&format!("global/{key:0>32}"), &lease).await?.granted != Some(1) {
        return Ok(Vec::new());
    }
    let Some(Round { board: found, news, .. }) = round(platform, &[(pool, board)], settings, now).await.pop() else {
        return Ok(Vec::new());
    };
    // Whoever held the lease before may have been slow.
    let board = read().await?.merge(found);
    platform.post(&key, &board.write()).await?;
    pool.learn(&board, platform.now(), platform.random());
    Ok(news)
}

/// Does all rounds that are due, for whom the platform wakes up to do so. `kept` is what it has kept: lines of a key, a space and a
/// board. Gives when to be woken up again (0: there is nothing to check) on a line of its own, the lines that have changed, and
/// what the log should hear.
pub async fn rounds<P: Platform>(
    platform: &P,
    pools: &[&Pool],
    settings: &Settings,
    kept: &str,
) -> (String, Vec<News>) {
    let now = platform.now();
    let kept: HashMap<&str, &str> = kept.lines().filter_map(|line| line.split_once(' ')).collect();
    let (mut due, mut next) = (Vec::new(), Timestamp::MAX);
    for pool in pools {
        let Some(rules) = pool.checks() else { continue };
        let board = kept.get(pool.board_key().as_str()).map(|text| Board::read(text.as_bytes())).unwrap_or_default();
        // The alarm may be early by a moment, as clocks are.
        if now.saturating_add(EARLY) >= rules.due(&board) {
            next = next.min(now.saturating_add(rules.interval));
            due.push((*pool, board));
        } else {
            next = next.min(rules.due(&board));
        }
    }
    let mut text = if next == Timestamp::MAX { "0".to_owned() } else { next.to_string() };
    let mut news = Vec::new();
    for round in round(platform, &due, settings, now).await {
        text.push_str(&format!("\n{} {}", round.key, round.board.write()));
        news.extend(round.news);
    }
    (text, news)
}

/// How early a round may be, in milliseconds.
const EARLY: u64 = 50;

/// What a round of checks has found of one upstream.
#[derive(Debug)]
pub struct Round {
    /// Its key in the store.
    pub key: String,
    /// What is known now.
    pub board: Board,
    /// For the log.
    pub news: Vec<News>,
}

/// Asks all targets of these upstreams, of which so much is known, a few at a time.
pub async fn round<P: Platform>(
    platform: &P,
    upstreams: &[(&Pool, Board)],
    settings: &Settings,
    now: Timestamp,
) -> Vec<Round> {
    let mut jobs: Vec<(usize, u32, u64)> = Vec::new();
    for (place, (pool, _)) in upstreams.iter().enumerate() {
        for (target, identity) in (0..).zip(pool.identities()) {
            // One address that stands there twice is asked once.
            if !jobs.iter().any(|(of, _, known)| (*of, *known) == (place, *identity)) {
                jobs.push((place, target, *identity));
            }
        }
    }
    let (next, verdicts) = (Cell::new(0), RefCell::new(vec![None; jobs.len()]));
    let lane = async || {
        loop {
            let at = next.replace(next.get() + 1);
            let Some((place, target, _)) = jobs.get(at).copied() else { return };
            let pool = upstreams[place].0;
            let verdict = match (pool.checks(), pool.targets().get(target as usize)) {
                (Some(rules), Some(target)) => ask(platform, rules, target, &pool.upstream.host, settings).await,
                (Some(_) | None, _) => Verdict::Unknown("there is no such target".to_owned()),
            };
            verdicts.borrow_mut()[at] = Some(verdict);
        }
    };
    all((0..AT_ONCE.min(jobs.len())).map(|_| lane()).collect()).await;
    let mut answers = jobs.iter().zip(verdicts.into_inner());
    let mut rounds = Vec::new();
    for (place, (pool, before)) in upstreams.iter().enumerate() {
        let Some(rules) = pool.checks() else { continue };
        let count = jobs.iter().filter(|(of, ..)| *of == place).count();
        let of_this: Vec<(u32, u64, Verdict)> = answers
            .by_ref()
            .take(count)
            .map(|((_, target, identity), verdict)| {
                (*target, *identity, verdict.unwrap_or(Verdict::Unknown("it was not asked".to_owned())))
            })
            .collect();
        let verdicts: Vec<(u64, Verdict)> =
            of_this.iter().map(|(_, identity, verdict)| (*identity, verdict.clone())).collect();
        let board = before.after(&verdicts, now, rules);
        let was_ill = |identity| before.findings.get(&name(identity)).is_some_and(|known| known.ill);
        let is_ill = |identity| board.findings.get(&name(identity)).is_some_and(|known| known.ill);
        let news = of_this.into_iter().filter_map(|(target, identity, verdict)| {
            let what = match (was_ill(identity), is_ill(identity), verdict) {
                (false, true, Verdict::Bad(why)) => What::Ill(why),
                (true, false, Verdict::Good) => What::Well,
                (_, _, Verdict::Unknown(why)) => What::Unasked(why),
                (_, _, Verdict::Good | Verdict::Bad(_)) => return None,
            };
            Some(News { upstream: pool.upstream.name.clone(), target: pool.name(target).to_owned(), what })
        });
        let news = news.collect();
        rounds.push(Round { key: pool.board_key(), board, news });
    }
    rounds
}

/// Asks one target.
async fn ask<P: Platform>(
    platform: &P,
    rules: &CheckRules,
    target: &Target,
    host: &HostHeader,
    settings: &Settings,
) -> Verdict {
    let begun = platform.now();
    let response = match platform.fetch(call(rules, target, host, settings)).await {
        Ok(response) => response,
        Err(failure) => {
            let why = format!("{:?} ({})", failure.error, failure.detail);
            return match failure.error {
                FetchError::Unreachable | FetchError::Reset | FetchError::Timeout => Verdict::Bad(why),
                FetchError::BodyTooLarge
                | FetchError::BodyStalled
                | FetchError::BodyRefused
                | FetchError::NoCredential
                | FetchError::ClientGone
                | FetchError::Forbidden => Verdict::Unknown(why),
            };
        }
    };
    let is_good = match &rules.probe {
        Probe::Http { statuses, .. } => {
            statuses.iter().any(|(first, last)| (*first..=*last).contains(&response.status))
        }
        Probe::Grpc { .. } => response.status == 200,
    };
    let reads = match &rules.probe {
        Probe::Http { body, .. } => body.is_some(),
        Probe::Grpc { .. } => true,
    };
    if !(is_good && reads) {
        pump::discard(platform, response.body);
        return if is_good { Verdict::Good } else { Verdict::Bad(format!("status {}", response.status)) };
    }
    let left = rules.timeout.saturating_sub(platform.now().saturating_sub(begun));
    let body = match response.body {
        Body::Empty | Body::Made(_) => Bytes::new(),
        Body::Bytes(bytes) => bytes,
        Body::Stream(stream) | Body::Pumped(stream, _) => {
            let timer = platform.sleep(Duration::from_millis(left));
            match first(pin!(platform.read(stream, MOST)), pin!(timer)).await {
                First::One(Ok(bytes)) => bytes,
                First::One(Err(ReadError::TooLarge)) => {
                    return Verdict::Bad(format!("the body has more than {MOST} bytes"));
                }
                First::One(Err(ReadError::Broken(why))) => return Verdict::Bad(format!("the body broke off ({why})")),
                First::Other(()) => return Verdict::Bad("the body did not come in time".to_owned()),
            }
        }
    };
    let wrong = match &rules.probe {
        Probe::Http { body: sought, .. } => {
            sought.as_ref().filter(|sought| !sought.is_in(&body)).map(|sought| match sought {
                Sought::Contains(text) => format!("the body does not contain `{text}`"),
                Sought::Matches(regex) => format!("the body does not match `{regex}`"),
            })
        }
        Probe::Grpc { .. } => grpc::not_serving(&body),
    };
    wrong.map_or(Verdict::Good, Verdict::Bad)
}

fn call<S>(rules: &CheckRules, target: &Target, host: &HostHeader, settings: &Settings) -> Call<S> {
    let mut headers = Headers::new();
    headers.set("user-agent", "postern-check");
    let (method, path, body) = match &rules.probe {
        Probe::Http { method, path, .. } => (method.as_str(), path.as_str(), Body::Empty),
        Probe::Grpc { service, web } => {
            let kind = if *web { "application/grpc-web+proto" } else { "application/grpc" };
            let request = grpc::request(service);
            headers.set("content-type", kind);
            headers.set("content-length", request.len().to_string());
            if !*web {
                headers.set("te", "trailers");
            }
            ("POST", grpc::PATH, Body::Bytes(request.into()))
        }
    };
    for (name, value) in &rules.headers {
        headers.set(name, value.resolve(settings));
    }
    Call {
        method: method.to_owned(),
        scheme: target.scheme,
        authority: target.authority.clone(),
        binding: target.binding.clone(),
        target: path.to_owned(),
        host: match host {
            HostHeader::Fixed(host) => Some(host.clone()),
            HostHeader::Target | HostHeader::Keep => None,
        },
        headers,
        body,
        body_limit: None,
        timeout: Duration::from_millis(rules.timeout),
        // Whoever reads the body has a timer of its own.
        patience: Patience::default(),
        interest: Interest::HopByHop,
        watched: false,
        last: false,
        upgrade: None,
    }
}

/// Waits until all of them are done.
async fn all(futures: Vec<impl Future<Output = ()>>) {
    let mut open: Vec<Pin<Box<_>>> = futures.into_iter().map(Box::pin).collect();
    poll_fn(|context| {
        open.retain_mut(|future| future.as_mut().poll(context).is_pending());
        if open.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// The gRPC health protocol (`grpc.health.v1`), as much of it as a check needs: both messages have one field. A good answer is told
/// by its message, so that no trailers need to be read: there is no message where the call has failed.
mod grpc {
    pub const PATH: &str = "/grpc.health.v1.Health/Check";

    /// `HealthCheckRequest { service: 1 }`, as one message of the body.
    pub fn request(service: &str) -> Vec<u8> {
        let mut message = Vec::new();
        if !service.is_empty() {
            message.push(1 << 3 | 2);
            write_varint(service.len() as u64, &mut message);
            message.extend(service.as_bytes());
        }
        let mut body = vec![0];
        body.extend((message.len() as u32).to_be_bytes());
        body.extend(message);
        body
    }

    /// Why an answer does not say that the service is there: `HealthCheckResponse { status: 1 }`, of which 1 is `SERVING`.
    pub fn not_serving(body: &[u8]) -> Option<String> {
        let no_message =
            || Some("no message came; does the server have the gRPC health service, and know this one?".to_owned());
        let [flags, rest @ ..] = body else { return no_message() };
        let Some((length, rest)) = rest.split_first_chunk::<4>() else { return no_message() };
        let Some(message) = rest.get(..u32::from_be_bytes(*length) as usize) else { return no_message() };
        match flags {
            0 => {}
            // The trailers of gRPC-Web stand in the body.
            0x80.. => return no_message(),
            _ => return Some("the message is compressed, which nobody has asked for".to_owned()),
        }
        match status(message) {
            Some(1) => None,
            Some(0) => Some("the service says UNKNOWN".to_owned()),
            Some(2) => Some("the service says NOT_SERVING".to_owned()),
            Some(3) => Some("the server says SERVICE_UNKNOWN".to_owned()),
            Some(other) => Some(format!("the service says {other}")),
            None => Some("the message is malformed".to_owned()),
        }
    }

    /// The last value of field 1, 0 where there is none.
    fn status(mut message: &[u8]) -> Option<u64> {
        let mut status = 0;
        while !message.is_empty() {
            let tag = read_varint(&mut message)?;
            match (tag >> 3, tag & 7) {
                (1, 0) => status = read_varint(&mut message)?,
                (_, 0) => drop(read_varint(&mut message)?),
                (_, 1) => message = message.get(8..)?,
                (_, 2) => {
                    let length = usize::try_from(read_varint(&mut message)?).ok()?;
                    message = message.get(length..)?;
                }
                (_, 5) => message = message.get(4..)?,
                _ => return None,
            }
        }
        Some(status)
    }

    fn write_varint(mut number: u64, out: &mut Vec<u8>) {
        while number >= 0x80 {
            out.push(number as u8 | 0x80);
            number >>= 7;
        }
        out.push(number as u8);
    }

    fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let (first, rest) = bytes.split_first()?;
            *bytes = rest;
            number |= u64::from(first & 0x7f) << shift;
            if first & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use proptest::prelude::*;

        #[test]
        fn the_request_is_as_protocol_buffers_write_it() {
            assert_eq!(request(""), [0, 0, 0, 0, 0]);
            assert_eq!(request("a.B"), [0, 0, 0, 0, 5, 0x0a, 3, b'a', b'.', b'B']);
            assert_eq!(request(&"x".repeat(300))[..8], [0, 0, 0, 1, 47, 0x0a, 0xac, 0x02]);
        }

        #[test]
        fn only_a_message_that_says_so_is_good() {
            assert_eq!(not_serving(&[0, 0, 0, 0, 2, 8, 1]), None);
            // With trailers behind it, as in gRPC-Web, and with a field that nobody knows before it.
            assert_eq!(not_serving(b"\0\0\0\0\x02\x08\x01\x80\0\0\0\x0fgrpc-status:0\r\n"), None);
            assert_eq!(not_serving(&[0, 0, 0, 0, 6, 0x12, 2, 9, 9, 8, 1]), None);
            for (body, expected) in [
                (&[0, 0, 0, 0, 2, 8, 2][..], "NOT_SERVING"),
                (&[0, 0, 0, 0, 2, 8, 3], "SERVICE_UNKNOWN"),
                (&[0, 0, 0, 0, 0], "UNKNOWN"),
                (&[], "no message"),
                (b"\x80\0\0\0\x0fgrpc-status:5\r\n", "no message"),
                (&[1, 0, 0, 0, 2, 8, 1], "compressed"),
                (&[0, 0, 0, 0, 9, 8, 1], "no message"),
                (&[0, 0, 0, 0, 1, 8], "malformed"),
                (&[0, 0, 0, 0, 2, 11, 1], "malformed"),
            ] {
                let why = not_serving(body).unwrap_or_default();
                assert!(why.contains(expected), "{body:?}: {why}");
            }
        }

        proptest! {
            #[test]
            fn no_answer_makes_it_panic(body in prop::collection::vec(any::<u8>(), 0..40)) {
                let _ = not_serving(&body);
                let _ = not_serving(&[&[0, 0, 0, 0, body.len() as u8], &body[..]].concat());
            }
        }
    }
}
