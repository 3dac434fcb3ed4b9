//! What crosses the boundary: requests and responses as the glue packs them, calls and replies as the glue reads them.
//!
//! In: lines of text, then the header fields as `name NUL value LF`. Out: [`Commands`]. workerd decodes header values as
//! UTF-8 and encodes them the same way, so the bytes here are the wire's, save that what is not UTF-8 arrives as U+FFFD; the
//! runtime's own header object keeps those bytes, because only edits are applied to it.

use crate::platform::{Outcome, Stream};
use crate::pumps;
use bytes::Bytes;
use gateway_core::certificate::fingerprint;
use gateway_core::claim;
use gateway_core::http::{Body, Certificate, Edit, Headers, Incoming, Peer, Response, Scheme};
use gateway_core::ledger::Ledger;
use gateway_core::outflow::Left;
use gateway_core::platform::{Call, Failure, FetchError, Interest, Outlet, ReadError, Sockets, StoreError};
use gateway_core::quota::{Decision, Order};
use gateway_core::record;
use serde::Serialize;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Reads a request: method, URL, client address (or nothing), country, data centre; the client's certificate, where those are
/// read; then the header fields.
pub fn read_request(packed: &[u8], has_body: bool, reads_certificates: bool) -> Option<Incoming<Stream>> {
    let mut rest = packed;
    let mut line = || -> Option<&str> {
        let end = rest.iter().position(|&byte| byte == b'\n')?;
        let (line, behind) = rest.split_at(end);
        rest = &behind[1..];
        std::str::from_utf8(line).ok()
    };
    let (method, url) = (line()?.to_owned(), line()?);
    let (address, country, data_centre) = (line()?, line()?, line()?);
    let certificate = if reads_certificates { read_certificate(line()?) } else { None };
    let headers = Headers::from_block(rest.to_vec());
    let (scheme, authority, target) = split_url(url, headers.text("host"))?;
    let address = if address.is_empty() { headers.text("cf-connecting-ip").unwrap_or_default() } else { address };
    Some(Incoming {
        method,
        scheme,
        authority: authority.to_owned(),
        target: target.to_owned(),
        peer: Peer {
            address: read_address(address),
            country: given(country),
            data_centre: given(data_centre),
            certificate,
        },
        body: if has_body { Body::Stream(Stream::Request) } else { Body::Empty },
        headers,
    })
}

/// Takes the URL apart where the runtime joined it: scheme, `://`, `Host`, request target, none of them looked at.
///
/// `Host: a/b` with the target `/c` makes `http://a/b/c`; whoever splits that at the slash takes the host's end for a path.
fn split_url<'a>(url: &'a str, host: Option<&str>) -> Option<(Scheme, &'a str, &'a str)> {
    let (scheme, rest) = url.split_once("://")?;
    let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
    // Where somebody in front of the Worker rewrote the URL, the URL says more than the field.
    let end = match host {
        Some(host) if rest.starts_with(host) => host.len(),
        Some(_) | None => rest.find(['/', '?']).unwrap_or(rest.len()),
    };
    let (authority, target) = rest.split_at(end);
    Some((scheme, authority, target))
}

/// An address, with or without a port.
fn read_address(text: &str) -> Option<IpAddr> {
    text.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|peer| peer.ip()))
}

/// A certificate as the glue packs it: fingerprint, subject, issuer and serial number, with NUL between.
fn read_certificate(text: &str) -> Option<Certificate> {
    let mut parts = text.split('\0');
    let (fingerprint, subject, issuer) = (fingerprint(parts.next()?)?, parts.next()?, parts.next()?);
    let serial = parts.next()?.to_ascii_lowercase();
    Some(Certificate { fingerprint, subject: subject.to_owned(), issuer: issuer.to_owned(), serial, der: None })
}

fn given(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// Reads what a call brought: a status and header fields, or the code of a failure (below 100) and words for the log.
///
/// No field at all, where the core wants to see only what must not be handed on, means that there is nothing such.
pub fn read_outcome(call: u32, status: u32, packed: &[u8], interest: Interest) -> Outcome {
    let error = match status {
        0 => FetchError::Unreachable,
        1 => FetchError::Reset,
        2 => FetchError::Timeout,
        3 => FetchError::BodyTooLarge,
        6 => FetchError::BodyRefused,
        7 => FetchError::BodyStalled,
        4 => FetchError::ClientGone,
        5 => FetchError::Forbidden,
        101..=599 => {
            let headers = match interest {
                Interest::HopByHop if packed.is_empty() => Headers::partial(Vec::new()),
                Interest::HopByHop | Interest::Everything => Headers::from_block(packed.to_vec()),
            };
            return Ok(Response { status: status as u16, headers, body: Body::Stream(Stream::Response(call)) });
        }
        // RFC 9110 §15: there is no such status, so this is no answer.
        _ => return Err(Failure { error: FetchError::Reset, detail: format!("it answered with the status {status}") }),
    };
    Err(Failure { error, detail: String::from_utf8_lossy(packed).into_owned() })
}

/// What the glue has to do: numbers, and every text that they speak of in one string, one after the other.
///
/// Decoding a string costs the glue more than cutting it, and a number in memory costs next to nothing. A text stands
/// among the numbers as its length in UTF-16 units.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Commands {
    /// `1 call timeout limit-high limit-low flags pump? (idle whole)? (most idle)? method url binding? edits…`: fetch, by a binding where there is one. The
    /// bodies may stand still for `idle` milliseconds, and the response's take `whole`; 0: as long as it likes.
    /// `2 call`: end that fetch.
    /// `3 status source edits…`: answer, with the response of call `source - 3`, or 0: no body, 1: the bytes beside the
    /// commands, 2: the body of the request, 2³¹ and more: the body that the call of that number less 2³¹ found in the store.
    /// `4`: answer that the gateway failed.
    /// `5 call source limit`: read a whole body, the request's (0) or that of the response of call `source - 1`.
    /// `6 call key`: look a value up in the store.
    /// `7 call key order`: have the owner of a key's counters do what is ordered.
    /// `8 call milliseconds`: wait.
    /// `24`: go on although the client goes away; only calls to upstreams end with it.
    /// `9 number`: before an answer: there is something to settle when it has been sent.
    /// `40 call ledger text`: have the owner of the ledger of this name add this, or nothing, and say what it is.
    /// `41 call kind name text`: hand a JSON array to the queue (0) or the dataset (1) that is bound under that name.
    /// `50 call key`, `51 call source seconds flags key record`, `52 call ticket`, `53 call key`: see `shelf.rs`.
    /// `20 call key order`: have the keeper of a claim do what is ordered.
    /// `21 call source limit`: as 5, of a response, and if its body is longer, leave it as it was.
    /// `22 call source limit`: copy the body of a response while it passes; nobody waits for it yet.
    /// `23 call copy`: give what command `22 copy` has made, there or in the exchange that this one settles.
    /// `70 call order`, `71 call version`, `72 call version`: see `versions.rs`.
    /// `10 pump`: before an answer: its body changes on its way.
    /// `90 call`: write the bytes of that call to the body that is made, and come back when there is room for more.
    /// `91 whole`: end that body: all of it was written (1), or it breaks off (0).
    /// `92 number`: before an answer: its body is made by the exchange of this number, which is to be settled at once.
    /// Edits: how many, and each `1 name value` (set), `2 name value` (append) or `3 name ""` (remove).
    pub numbers: Vec<u32>,
    /// The texts.
    pub text: String,
}

impl Commands {
    pub(crate) fn number(&mut self, number: u32) {
        self.numbers.push(number);
    }

    pub(crate) fn text(&mut self, pieces: &[&str]) {
        let mut units = 0;
        for piece in pieces {
            units += if piece.is_ascii() { piece.len() } else { piece.encode_utf16().count() };
            self.text.push_str(piece);
        }
        self.number(units as u32);
    }

    /// Writes edits; gives how many there are a place and fills it in last.
    fn edits(&mut self, write: impl FnOnce(&mut Self) -> u32) {
        let place = self.numbers.len();
        self.number(0);
        self.numbers[place] = write(self);
    }

    fn edit(&mut self, kind: u32, name: &str, value: &[u8]) {
        self.number(kind);
        self.text(&[name]);
        self.text(&[&String::from_utf8_lossy(value)]);
    }
}

const FETCH: u32 = 1;
const END: u32 = 2;
const ANSWER: u32 = 3;
const FAIL: u32 = 4;
const READ: u32 = 5;
const LOOKUP: u32 = 6;
const TAKE: u32 = 7;
const SLEEP: u32 = 8;
const AFTERWARDS: u32 = 9;
const COLLECT: u32 = 40;
const PUBLISH: u32 = 41;
#[cfg(feature = "cache")]
const STORED: u32 = 1 << 31;
const CLAIM: u32 = 20;
const PEEK: u32 = 21;
const COPY: u32 = 22;
const COPIED: u32 = 23;
const PUMPED: u32 = 10;
const STAY: u32 = 24;
const BOARD: u32 = 30;
const ADMIT: u32 = 60;
const AFTER_THE_BODY: u32 = 61;
const WRITE: u32 = 90;
const FINISH: u32 = 91;
const MADE: u32 = 92;

const SET: u32 = 1;
const APPEND: u32 = 2;
const REMOVE: u32 = 3;

const SENDS_STREAM: u32 = 1;
const SENDS_BYTES: u32 = 2;
const LIMITED: u32 = 4;
const READS_EVERYTHING: u32 = 8;
const FROM_NOTHING: u32 = 16;
const SENDS_PUMPED: u32 = 32;
const BOUND: u32 = 64;
const WATCHED: u32 = 128;
const HELD: u32 = 256;
const RELAYED: u32 = 512;
const LAST: u32 = 1024;

/// Writes a call, with the edits of the client's fields, and the number of what its body passes through.
pub fn write_call(out: &mut Commands, number: u32, call: &Call<Stream>, pump: Option<u32>) {
    let limit = call.body_limit.unwrap_or_default();
    let flags = match &call.body {
        // Nobody sends one that is being made.
        Body::Empty | Body::Made(_) => 0,
        Body::Bytes(_) => SENDS_BYTES,
        Body::Stream(_) | Body::Pumped(..) if pump.is_some() => SENDS_STREAM | SENDS_PUMPED,
        Body::Stream(_) | Body::Pumped(..) => SENDS_STREAM,
    };
    let limited = if call.body_limit.is_some() { LIMITED } else { 0 };
    let reads = match call.interest {
        Interest::Everything => READS_EVERYTHING,
        Interest::HopByHop => 0,
    };
    let base = if call.headers.is_our_own() { FROM_NOTHING } else { 0 };
    let watched = if call.patience.is_endless() { 0 } else { WATCHED };
    let held = if call.watched { HELD } else { 0 };
    let sockets = call.upgrade.filter(|sockets| !sockets.is_boundless());
    let relayed = if sockets.is_some() { RELAYED } else { 0 };
    let bound = if call.binding.is_some() { BOUND } else { 0 };
    let last = if call.last { LAST } else { 0 };
    out.numbers.reserve(32);
    let timeout = u32::try_from(call.timeout.as_millis()).unwrap_or(u32::MAX);
    out.numbers.extend([
        FETCH,
        number,
        timeout,
        (limit >> 32) as u32,
        limit as u32,
        flags | limited | reads | base | bound | watched | held | relayed | last,
    ]);
    out.numbers.extend(pump);
    if watched != 0 {
        out.numbers.extend([call.patience.idle, call.patience.whole].map(milliseconds));
    }
    if let Some(Sockets { message, idle }) = sockets {
        let most = message.map_or(u32::MAX, |most| u32::try_from(most).unwrap_or(u32::MAX));
        out.numbers.extend([most, milliseconds(idle.map(Duration::from_millis))]);
    }
    out.text(&[&call.method]);
    out.text(&[call.scheme.as_str(), "://", &call.authority, &call.target]);
    if let Some(binding) = &call.binding {
        out.text(&[binding]);
    }
    write_edits(out, &call.headers, call.upgrade.is_some());
}

/// A time for the glue; 0: none.
fn milliseconds(time: Option<Duration>) -> u32 {
    time.map_or(0, |time| u32::try_from(time.as_millis()).unwrap_or(u32::MAX).max(1))
}

/// Writes that a body is to be read.
pub fn write_read(out: &mut Commands, number: u32, body: Stream, limit: usize) {
    write_about(out, READ, number, body, limit);
}

/// Writes that a body is to be read if it is short enough, and left as it is if not.
pub fn write_peek(out: &mut Commands, number: u32, body: Stream, limit: usize) {
    write_about(out, PEEK, number, body, limit);
}

/// Writes that a body is to be copied while it passes.
pub fn write_copy(out: &mut Commands, number: u32, body: Stream, limit: usize) {
    write_about(out, COPY, number, body, limit);
}

fn write_about(out: &mut Commands, what: u32, number: u32, body: Stream, limit: usize) {
    let source = match body {
        Stream::Request => 0,
        Stream::Response(call) => call + 1,
        #[cfg(feature = "cache")]
        Stream::Stored(call) => call + 1,
    };
    out.numbers.extend([what, number, source, u32::try_from(limit).unwrap_or(u32::MAX)]);
}

/// Writes that a copy is wanted.
pub fn write_copied(out: &mut Commands, number: u32, copy: u32) {
    out.numbers.extend([COPIED, number, copy]);
}

/// Writes that the keeper of a claim has something to do.
pub fn write_claim(out: &mut Commands, number: u32, key: &str, order: &claim::Order) {
    out.numbers.extend([CLAIM, number]);
    out.text(&[key]);
    // Plain values: it cannot fail, and a keeper that cannot read it says so.
    out.text(&[&serde_json::to_string(order).unwrap_or_default()]);
}

/// Reads what became of that: 200 with the verdict, or the code of a failure.
pub fn read_claimed(status: u32, packed: &[u8]) -> Result<claim::Verdict, StoreError> {
    match status {
        200 => record::read(packed).map_err(|error| StoreError(format!("what it decided is unreadable: {error}"))),
        _ => Err(StoreError(String::from_utf8_lossy(packed).into_owned())),
    }
}

/// Reads what reading a body brought: 200 with the bytes, or the code of a failure.
pub fn read_body(status: u32, packed: &[u8]) -> Result<Bytes, ReadError> {
    match status {
        200 => Ok(Bytes::copy_from_slice(packed)),
        3 => Err(ReadError::TooLarge),
        _ => Err(ReadError::Broken(String::from_utf8_lossy(packed).into_owned())),
    }
}

/// Writes that a value is to be looked up.
pub fn write_lookup(out: &mut Commands, number: u32, key: &str) {
    out.numbers.extend([LOOKUP, number]);
    out.text(&[key]);
}

/// Reads what looking up brought: 200 with the value, 404, or the code of a failure.
pub fn read_value(status: u32, packed: &[u8]) -> Result<Option<Bytes>, StoreError> {
    match status {
        200 => Ok(Some(Bytes::copy_from_slice(packed))),
        404 => Ok(None),
        _ => Err(StoreError(String::from_utf8_lossy(packed).into_owned())),
    }
}

/// Writes that counters are to be changed.
pub fn write_take(out: &mut Commands, number: u32, key: &str, order: &Order) {
    write_order(out, number, key, order);
}

/// Writes that the owner of a key is to do something with what it keeps.
pub fn write_order(out: &mut Commands, number: u32, key: &str, order: &impl Serialize) {
    out.numbers.extend([TAKE, number]);
    out.text(&[key]);
    // Plain values: it cannot fail, and an owner that cannot read it says so.
    out.text(&[&serde_json::to_string(order).unwrap_or_default()]);
}

/// Reads what became of that: 200 with the decision, or the code of a failure.
pub fn read_taken(status: u32, packed: &[u8]) -> Result<Decision, StoreError> {
    match status {
        200 => record::read(packed).map_err(|error| StoreError(format!("what it decided is unreadable: {error}"))),
        _ => Err(StoreError(String::from_utf8_lossy(packed).into_owned())),
    }
}

/// Writes that the platform's own limiter is to be asked.
pub fn write_admit(out: &mut Commands, number: u32, limiter: &str, key: &str) {
    out.numbers.extend([ADMIT, number]);
    out.text(&[limiter]);
    out.text(&[key]);
}

/// Reads what it said: 200, 429, 404 where there is none, or the code of a failure.
pub fn read_admitted(status: u32, packed: &[u8]) -> Result<Option<bool>, StoreError> {
    match status {
        200 => Ok(Some(true)),
        429 => Ok(Some(false)),
        404 => Ok(None),
        _ => Err(StoreError(String::from_utf8_lossy(packed).into_owned())),
    }
}

/// Writes that sums are to be added to, or read.
pub fn write_collect(out: &mut Commands, number: u32, ledger: Ledger, added: &[u8]) {
    out.numbers.extend([COLLECT, number]);
    out.text(&[ledger.name()]);
    out.text(&[&String::from_utf8_lossy(added)]);
}

/// Writes that a batch is to be handed on.
pub fn write_publish(out: &mut Commands, number: u32, outlet: &Outlet, batch: &[u8]) {
    let (kind, name) = match outlet {
        Outlet::Queue(name) => (0, name),
        Outlet::Dataset(name) => (1, name),
    };
    out.numbers.extend([PUBLISH, number, kind]);
    out.text(&[name]);
    out.text(&[&String::from_utf8_lossy(batch)]);
}

/// Writes that the request goes on although its client goes away.
pub fn write_stay(out: &mut Commands) {
    out.number(STAY);
}

/// Writes that time is to pass.
pub fn write_sleep(out: &mut Commands, number: u32, duration: Duration) {
    out.numbers.extend([SLEEP, number, u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)]);
}

/// Writes that there is something to settle after the answer that follows.
pub fn write_afterwards(out: &mut Commands, number: u32) {
    out.numbers.extend([AFTERWARDS, number]);
}

/// Writes that what is settled after the answer that follows makes its body.
pub fn write_made(out: &mut Commands, number: u32) {
    out.numbers.extend([MADE, number]);
}

/// Writes that a piece of the body that is made is to be sent.
pub fn write_piece(out: &mut Commands, number: u32) {
    out.numbers.extend([WRITE, number]);
}

/// Reads what became of that: 200, or the code of a failure.
pub fn read_written(status: u32) -> Result<(), Left> {
    if status == 200 { Ok(()) } else { Err(Left) }
}

/// Writes that the body that is made has ended.
pub fn write_finish(out: &mut Commands, whole: bool) {
    out.numbers.extend([FINISH, u32::from(whole)]);
}

/// Writes that there is something to settle when the body of the answer that follows has ended.
pub fn write_after_the_body(out: &mut Commands, number: u32) {
    out.numbers.extend([AFTER_THE_BODY, number]);
}

/// Writes that somebody asks what checks have found. What comes is read like a value.
pub fn write_board(out: &mut Commands, number: u32, key: &str) {
    out.numbers.extend([BOARD, number]);
    out.text(&[key]);
}

/// Writes that nobody waits for a call any more.
pub fn write_end(out: &mut Commands, number: u32) {
    out.numbers.extend([END, number]);
}

/// Writes that the body of the answer that follows passes through this.
pub fn write_pumped(out: &mut Commands, pump: u32) {
    out.numbers.extend([PUMPED, pump]);
}

/// Writes the answer: with the edits of an upstream's response, or else with all its fields. A body in memory is returned.
pub fn write_reply(out: &mut Commands, response: Response<Stream>) -> Bytes {
    let response = match response {
        Response { status, headers, body: Body::Pumped(stream, pump) } => {
            write_pumped(out, pumps::keep(pump));
            Response { status, headers, body: Body::Stream(stream) }
        }
        response => response,
    };
    out.number(ANSWER);
    out.number(response.status.into());
    let (source, bytes) = match response.body {
        Body::Stream(Stream::Response(call)) => {
            out.number(call + 3);
            write_edits(out, &response.headers, true);
            return Bytes::new();
        }
        Body::Stream(Stream::Request) | Body::Pumped(..) => (2, Bytes::new()),
        #[cfg(feature = "cache")]
        Body::Stream(Stream::Stored(call)) => (call | STORED, Bytes::new()),
        Body::Bytes(bytes) => (1, bytes),
        // Where it is made, another command has said.
        Body::Empty | Body::Made(_) => (0, Bytes::new()),
    };
    out.number(source);
    out.edits(|out| {
        // The runtime counts the bytes itself, where there are some.
        let is_counted = |(name, value): &(&str, &[u8])| *name == "content-length" && (source != 0 || *value == b"0");
        let fields = response.headers.iter().filter(|field| !is_counted(field));
        fields.map(|(name, value)| out.edit(APPEND, name, value)).count() as u32
    });
    bytes
}

/// Writes that there is no reply because the adapter itself failed.
pub fn write_failure(out: &mut Commands) {
    out.number(FAIL);
}

fn write_edits(out: &mut Commands, headers: &Headers, keeps_upgrade: bool) {
    out.edits(|out| {
        let mut count = 0;
        for edit in headers.edits() {
            match edit {
                Edit::Set(name, value) => out.edit(SET, name, value),
                Edit::Append(name, value) => out.edit(APPEND, name, value),
                Edit::Remove(name) if dropped_by_runtime(name) || keeps_upgrade && name == "upgrade" => continue,
                Edit::Remove(name) => out.edit(REMOVE, name, b""),
            }
            count += 1;
        }
        count
    });
}

/// Fields of one connection that workerd leaves out of every message by itself. Removing them would be an edit for
/// nothing, and an edited response has to be built anew.
fn dropped_by_runtime(name: &str) -> bool {
    matches!(name, "connection" | "keep-alive" | "te" | "trailer" | "transfer-encoding" | "host")
}

#[cfg(test)]
mod tests {
    use super::*;
    use gateway_core::platform::Patience;
    use std::time::Duration;
    use wasm_bindgen_test::wasm_bindgen_test;

    fn read(packed: &str) -> Incoming<Stream> {
        read_request(packed.as_bytes(), false, false).expect("what the glue packs")
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_certificate_is_read_where_it_is_asked_for() {
        let fingerprint = "ab".repeat(32);
        let read = |line: &str| {
            let packed = format!("GET\nhttp://h/\n\n\n\n{line}\nx-a\x001\n");
            let request = read_request(packed.as_bytes(), false, true).expect("what the glue packs");
            assert_eq!(request.headers.text("x-a"), Some("1"));
            request.peer.certificate
        };
        let expected = Certificate {
            fingerprint: fingerprint.clone(),
            subject: "CN=a,O=ä".to_owned(),
            issuer: "CN=b".to_owned(),
            serial: "0a1b".to_owned(),
            der: None,
        };
        assert_eq!(read(&format!("{fingerprint}\0CN=a,O=ä\0CN=b\x000A1B")), Some(expected));
        assert_eq!(read(""), None);
        assert_eq!(read("ab\0CN=a\0CN=b\x0001"), None, "a fingerprint of another length");
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_request_arrives_as_it_was_sent() {
        let request = read("PURGE\nhttps://h:81/a/../b?x=%zz\n192.0.2.1:4711\nDE\nFRA\nhost\0h:81\nx-é\0\nx-a\0ä\n");
        assert_eq!((request.method.as_str(), request.scheme), ("PURGE", Scheme::Https));
        assert_eq!((request.authority.as_str(), request.target.as_str()), ("h:81", "/a/../b?x=%zz"));
        let peer = Peer {
            address: Some([192, 0, 2, 1].into()),
            country: Some("DE".to_owned()),
            data_centre: Some("FRA".to_owned()),
            certificate: None,
        };
        assert_eq!(request.peer, peer);
        assert_eq!(request.headers.get("x-a"), Some("ä".as_bytes()));
        assert!(matches!(request.body, Body::Empty));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn the_end_of_the_host_is_not_taken_for_a_path() {
        for (url, host, authority, target) in [
            ("http://a/b/c", "a/b", "a/b", "/c"),
            ("http://u:p@a/c", "u:p@a", "u:p@a", "/c"),
            ("http://a?b/c", "a?b", "a?b", "/c"),
            ("http://a, b/c", "a, b", "a, b", "/c"),
            ("http://a*", "a", "a", "*"),
            // The development server of wrangler writes the URL anew.
            ("http://localhost:8787/c?d", "example.com", "localhost:8787", "/c?d"),
        ] {
            let request = read(&format!("GET\n{url}\n\n\n\nhost\0{host}\n"));
            assert_eq!((request.authority.as_str(), request.target.as_str()), (authority, target), "{url}");
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn the_platforms_word_on_the_address_outranks_the_clients() {
        let field = "cf-connecting-ip\x006.6.6.6\n";
        for (told, address) in
            [("127.0.0.1:1", Some("127.0.0.1")), ("[::1]:1", Some("::1")), ("::1", Some("::1")), ("", Some("6.6.6.6"))]
        {
            let request = read(&format!("GET\nhttp://h/\n{told}\n\n\n{field}"));
            assert_eq!(request.peer.address.map(|address| address.to_string()).as_deref(), address, "{told}");
        }
        assert_eq!(read("GET\nhttp://h/\n\n\n\n").peer, Peer::default());
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_call_says_what_to_send_and_what_to_change() {
        let mut headers = Headers::from_block(b"connection\0upgrade, x-a\nupgrade\0websocket\nx-a\x001\n".to_vec());
        for name in ["connection", "upgrade", "x-a"] {
            headers.remove(name);
        }
        headers.set("via", "1.1 postern");
        headers.append("x-b", "ä");
        let mut call = Call {
            method: "POST".to_owned(),
            scheme: Scheme::Http,
            authority: "o:1".to_owned(),
            binding: None,
            target: "/p?q".to_owned(),
            host: None,
            headers,
            body: Body::Stream(Stream::Request),
            body_limit: Some((1 << 32) + 10),
            timeout: Duration::from_secs(2),
            patience: Patience::default(),
            interest: Interest::HopByHop,
            watched: false,
            last: false,
            upgrade: None,
        };
        let mut out = Commands::default();
        write_call(&mut out, 3, &call, None);
        assert_eq!(out.text, "POSThttp://o:1/p?qupgradex-avia1.1 posternx-bä");
        let flags = SENDS_STREAM | LIMITED;
        #[rustfmt::skip]
        assert_eq!(out.numbers, [
            FETCH, 3, 2000, 1, 10, flags, 4, 14,
            4, REMOVE, 7, 0, REMOVE, 3, 0, SET, 3, 11, APPEND, 3, 1,
        ]);

        call.upgrade = Some(Sockets::default());
        (call.body, call.body_limit, call.interest) = (Body::Empty, None, Interest::Everything);
        let mut out = Commands::default();
        write_call(&mut out, 0, &call, None);
        assert_eq!(out.text, "POSThttp://o:1/p?qx-avia1.1 posternx-bä", "the upgrade is handed on");
        assert_eq!(out.numbers[..9], [FETCH, 0, 2000, 0, 0, READS_EVERYTHING, 4, 14, 3]);

        call.binding = Some("ORDERS".to_owned());
        let mut out = Commands::default();
        write_call(&mut out, 0, &call, None);
        assert!(out.text.starts_with("POSThttp://o:1/p?qORDERSx-a"));
        assert_eq!(out.numbers[5..10], [READS_EVERYTHING | BOUND, 4, 14, 6, 3]);

        call.patience = Patience { idle: Some(Duration::from_secs(3)), whole: None };
        let mut out = Commands::default();
        write_call(&mut out, 0, &call, None);
        assert_eq!(out.numbers[5..9], [READS_EVERYTHING | BOUND | WATCHED, 3000, 0, 4]);

        call.upgrade = Some(Sockets { message: Some(1 << 10), idle: None });
        let mut out = Commands::default();
        write_call(&mut out, 0, &call, None);
        assert_eq!(out.numbers[5..10], [READS_EVERYTHING | BOUND | WATCHED | RELAYED, 3000, 0, 1 << 10, 0]);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_length_is_told_as_the_glue_counts() {
        let mut out = Commands::default();
        out.text(&["aä€", "😀"]);
        assert_eq!(out.numbers, [5]);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn an_outcome_is_a_response_or_a_failure() {
        let read = |status, packed: &str| read_outcome(2, status, packed.as_bytes(), Interest::Everything);
        let response = read(204, "x-a\x001\n").expect("a response");
        assert_eq!((response.status, response.headers.text("x-a")), (204, Some("1")));
        assert!(matches!(response.body, Body::Stream(Stream::Response(2))));
        for (code, error) in [(1, FetchError::Reset), (2, FetchError::Timeout), (3, FetchError::BodyTooLarge)] {
            let failure = read(code, "why").expect_err("a failure");
            assert_eq!(failure, Failure { error, detail: "why".to_owned() });
        }
        for status in [99, 100, 600, 999] {
            assert_eq!(read(status, "").expect_err("no such status").error, FetchError::Reset);
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn fields_that_nobody_reads_are_not_known_to_be_absent() {
        let mut response = read_outcome(0, 200, b"", Interest::HopByHop).expect("a response");
        response.headers.remove("server");
        assert_eq!(response.headers.edits().len(), 1);
        let mut response = read_outcome(0, 200, b"", Interest::Everything).expect("a response");
        response.headers.remove("server");
        assert_eq!(response.headers.edits().len(), 0);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_reply_names_the_response_that_it_edits() {
        let mut headers =
            Headers::from_block(b"connection\0x-a\nx-a\x001\nset-cookie\0a\ncontent-length\x002\n".to_vec());
        headers.remove("connection");
        let reply = |headers: &Headers| Response {
            status: 200,
            headers: headers.clone(),
            body: Body::Stream(Stream::Response(7)),
        };
        let mut out = Commands::default();
        write_reply(&mut out, reply(&headers));
        assert_eq!(out.numbers, [ANSWER, 200, 10, 0], "what the runtime leaves out by itself is no edit");

        headers.append("set-cookie", "b");
        let mut out = Commands::default();
        write_reply(&mut out, reply(&headers));
        assert_eq!((out.text.as_str(), &out.numbers[..]), ("set-cookieb", &[ANSWER, 200, 10, 1, APPEND, 10, 1][..]));

        let mut out = Commands::default();
        let bytes = write_reply(&mut out, Response { status: 403, headers, body: Body::Bytes("no".into()) });
        assert_eq!((out.text.as_str(), &bytes[..]), ("x-a1set-cookieaset-cookieb", &b"no"[..]));
        assert_eq!(out.numbers[..4], [ANSWER, 403, 1, 3]);
    }
}
