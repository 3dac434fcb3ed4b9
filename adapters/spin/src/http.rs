//! Spin's requests and responses as the core's, and back. Bodies stay with the host: only their handles are moved.

use crate::platform;
use bytes::Bytes;
use gateway_core::gateway::Note;
use gateway_core::http::{self as core, Body, Headers, Incoming, Peer};
use gateway_core::outflow::Outflow;
use gateway_core::platform::{Call, Copied, Failure, FetchError, Patience, Peeked, ReadError};
use gateway_core::policy::Deferred;
use gateway_core::pump::{Broken, Pump};
use spin_sdk::wasip3::http::types::{ErrorCode, Fields, Method, Request, Response, Scheme, Trailers};
use spin_sdk::wasip3::wit_bindgen::{FutureReader, StreamReader, StreamResult};
use spin_sdk::wasip3::{spawn, wit_future, wit_stream};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

/// A body that the host moves, and what came with it.
#[derive(Debug)]
pub struct Stream {
    reader: StreamReader<u8>,
    trailers: Behind,
    /// A response's own fields: handed on as they are when nobody has edited them.
    fields: Option<Fields>,
}

type FutureTrailers = FutureReader<End>;

/// How a body has ended: whole, with the fields behind it, or broken off.
type End = Result<Option<Trailers>, ErrorCode>;

/// Who tells how a body has ended.
#[derive(Debug)]
enum Behind {
    /// The host.
    Host(FutureTrailers),
    /// A task of ours that moves the body: a component cannot read a future of its own that carries more than numbers.
    Ours(Rc<RefCell<Told>>),
}

#[derive(Debug, Default)]
struct Told {
    end: Option<End>,
    waits: Option<Waker>,
}

/// The other side of [`Behind::Ours`]. Dropped without a word, it tells that the body has broken off.
#[derive(Debug)]
struct Teller {
    told: Rc<RefCell<Told>>,
    otherwise: fn() -> ErrorCode,
}

impl Behind {
    fn ours(otherwise: fn() -> ErrorCode) -> (Teller, Self) {
        let told = Rc::default();
        (Teller { told: Rc::clone(&told), otherwise }, Behind::Ours(told))
    }

    async fn end(self) -> End {
        match self {
            Behind::Host(trailers) => trailers.await,
            Behind::Ours(told) => {
                poll_fn(|context| {
                    let mut told = told.borrow_mut();
                    match told.end.take() {
                        Some(end) => Poll::Ready(end),
                        None => {
                            told.waits = Some(context.waker().clone());
                            Poll::Pending
                        }
                    }
                })
                .await
            }
        }
    }

    /// As the host takes it.
    fn for_host(self) -> FutureTrailers {
        match self {
            Behind::Host(trailers) => trailers,
            Behind::Ours(_) => {
                let (trailers, handed_on) = wit_future::new(|| Err(ErrorCode::HttpResponseIncomplete));
                spawn(async move {
                    // Nobody may want to know any more.
                    let _ = trailers.write(self.end().await).await;
                });
                handed_on
            }
        }
    }
}

impl Teller {
    fn tell(self, end: End) {
        self.set(end);
    }

    fn set(&self, end: End) {
        let mut told = self.told.borrow_mut();
        told.end = Some(end);
        if let Some(waker) = told.waits.take() {
            waker.wake();
        }
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        // Whoever was told holds it, or has taken it.
        if self.told.borrow().end.is_none() && Rc::strong_count(&self.told) > 1 {
            self.set(Err((self.otherwise)()));
        }
    }
}

/// Why a body of ours was broken off, if it was.
#[derive(Debug, Clone, Default)]
pub struct Ending {
    why: Rc<Cell<Option<FetchError>>>,
    /// Whether its head is with the client, so that only the log can be told.
    is_of_response: bool,
}

impl Ending {
    /// Why it was.
    pub fn get(&self) -> Option<FetchError> {
        self.why.get()
    }

    fn set(&self, why: FetchError) {
        self.why.set(Some(why));
    }

    fn of_response(self) -> Self {
        Self { is_of_response: true, ..self }
    }

    /// Somebody has taken too long.
    fn late(&self, broken: &Broken) {
        self.set(FetchError::BodyStalled);
        if self.is_of_response {
            crate::log_now(&[Note::broken(broken)]);
        }
    }
}

/// A request as Spin gives it.
pub fn read_request(request: Request) -> Incoming<Stream> {
    let fields = request.get_headers().copy_all();
    let mut headers = Headers::new();
    for (name, value) in &fields {
        if !name.starts_with(SPIN) {
            headers.receive(name, value);
        }
    }
    // Spin tells scheme, authority and target in a field of its own, which spares three calls of the host: a tenth of what
    // a request costs that needs no upstream.
    let url = own(&fields, "spin-full-url").and_then(split).unwrap_or_else(|| Url::ask(&request));
    let method = method_name(request.get_method());
    Incoming {
        scheme: url.scheme,
        authority: url.authority,
        target: url.target,
        body: request_body(request, &method, &headers),
        method,
        headers,
        peer: Peer { address: own(&fields, "spin-client-addr").and_then(address), ..Peer::default() },
    }
}

/// The request that a call stands for, and what becomes of its body.
pub fn write_request(call: Call<Stream>) -> Result<(Request, Ending), Failure> {
    let refused = |what: &'static str| move |()| platform::refused(what);
    let ending = Ending::default();
    let fields = fields(&call.headers).map_err(|error| platform::refused(&format!("the header fields: {error}")))?;
    let patience = Patience { whole: None, ..call.patience };
    let (reader, trailers) = match (call.body, call.body_limit) {
        (Body::Stream(Stream { reader, trailers, .. }), None) if patience.is_endless() => {
            (Some(reader), trailers.for_host())
        }
        (Body::Stream(stream), limit) => {
            let (reader, trailers) = pass(stream, None, limit, patience, ending.clone());
            (Some(reader), trailers.for_host())
        }
        (Body::Pumped(stream, pump), limit) => {
            let (reader, trailers) = pass(stream, Some(pump), limit, patience, ending.clone());
            (Some(reader), trailers.for_host())
        }
        (Body::Bytes(bytes), _) => memory(bytes),
        // Nobody sends one that is being made.
        (Body::Empty | Body::Made(_), _) => (None, no_trailers()),
    };
    let (request, _) = Request::new(fields, reader, trailers, platform::options(call.timeout));
    // A new request is a GET, and every call of the host costs.
    if call.method != "GET" {
        request.set_method(&method(call.method)).map_err(refused("the method"))?;
    }
    let scheme = match call.scheme {
        core::Scheme::Http => Scheme::Http,
        core::Scheme::Https => Scheme::Https,
    };
    request.set_scheme(Some(&scheme)).map_err(refused("the scheme"))?;
    request.set_authority(Some(&call.authority)).map_err(refused("the authority"))?;
    request.set_path_with_query(Some(&call.target)).map_err(refused("the path"))?;
    Ok((request, ending))
}

/// A response as an upstream gave it.
pub fn read_response(response: Response, patience: Patience) -> Result<core::Response<Stream>, Failure> {
    let status = response.get_status_code();
    if !(100..=599).contains(&status) {
        let detail = format!("the upstream answered with the status {status}");
        return Err(Failure { error: FetchError::Reset, detail });
    }
    let fields = response.get_headers();
    let mut headers = Headers::new();
    for (name, value) in fields.copy_all() {
        headers.receive(&name, &value);
    }
    let (reader, trailers) = Response::consume_body(response, done());
    let mut stream = Stream { reader, trailers: Behind::Host(trailers), fields: Some(fields) };
    if !patience.is_endless() {
        let fields = stream.fields.take();
        let (reader, trailers) = pass(stream, None, None, patience, Ending::default().of_response());
        stream = Stream { reader, trailers, fields };
    }
    Ok(core::Response { status, headers, body: Body::Stream(stream) })
}

/// The response for the client.
pub fn write_response(response: core::Response<Stream>) -> Result<Response, ErrorCode> {
    let core::Response { status, mut headers, body } = response;
    let (untouched, reader, trailers) = match body {
        Body::Stream(Stream { reader, trailers, fields }) => {
            let untouched =
                fields.filter(|_| headers.edits().len() == 0 && !headers.iter().any(|(name, _)| is_ours(name)));
            (untouched, Some(reader), trailers.for_host())
        }
        Body::Pumped(stream, pump) => {
            let (reader, trailers) = pass(stream, Some(pump), None, Patience::default(), Ending::default());
            (None, Some(reader), trailers.for_host())
        }
        Body::Bytes(bytes) => {
            if !headers.contains("content-length") {
                // Without it the answer would be sent in chunks, and a small one would stall for want of TCP_NODELAY.
                headers.set("content-length", bytes.len().to_string());
            }
            let (reader, trailers) = memory(bytes);
            (None, reader, trailers)
        }
        Body::Made(flow) => {
            let (reader, trailers) = made(flow);
            (None, Some(reader), trailers.for_host())
        }
        Body::Empty => (None, None, no_trailers()),
    };
    let fields = match untouched {
        Some(fields) => fields,
        None => fields(&headers).map_err(|error| ErrorCode::InternalError(Some(error.to_string())))?,
    };
    let (response, _) = Response::new(fields, reader, trailers);
    // A new response is a 200.
    if status != 200 {
        let refused = |()| ErrorCode::InternalError(Some(format!("the host refuses the status {status}")));
        response.set_status_code(status).map_err(refused)?;
    }
    Ok(response)
}

/// What is to be done when the body has ended, and what is to be done now.
pub fn after_the_body(response: &core::Response<Stream>, deferred: Vec<Deferred>) -> (Vec<Deferred>, Vec<Deferred>) {
    let ends = matches!(response.body, Body::Stream(_) | Body::Pumped(..) | Body::Made(_));
    deferred.into_iter().partition(|deferred| ends && deferred.waits_for_the_body())
}

/// Does something when a body has ended, in whatever way. It moves through the component for that: what the host moves by
/// itself ends without a word.
pub fn watch(body: Body<Stream>, then: impl Future<Output = ()> + 'static) -> Body<Stream> {
    let (Stream { mut reader, trailers: received, fields }, pump) = match body {
        Body::Stream(stream) => (stream, None),
        Body::Pumped(stream, pump) => (stream, Some(pump)),
        Body::Made(flow) => {
            let (reader, trailers) = made(flow);
            (Stream { reader, trailers, fields: None }, None)
        }
        Body::Bytes(_) | Body::Empty => return body,
    };
    let (mut writer, watched) = wit_stream::new();
    let (trailers, handed_on) = Behind::ours(|| ErrorCode::HttpResponseIncomplete);
    spawn(async move {
        let mut buffer = Vec::with_capacity(CHUNK);
        let whole = loop {
            let (result, chunk) = reader.read(buffer).await;
            // Gives the buffer back, with what nobody took any more.
            buffer = writer.write_all(chunk).await;
            if !buffer.is_empty() || result == StreamResult::Dropped {
                break buffer.is_empty();
            }
        };
        drop((reader, writer));
        if whole {
            // Also whether it is: a body that broke off ends like any other.
            trailers.tell(received.end().await);
        } else {
            drop(trailers);
        }
        then.await;
    });
    let stream = Stream { reader: watched, trailers: handed_on, fields };
    match pump {
        None => Body::Stream(stream),
        Some(pump) => Body::Pumped(stream, pump),
    }
}

/// What the host refuses to take from a component, in requests and in responses alike, and Spin's own fields. The host's
/// list is forbidden, not ignored: one of these would make the whole exchange fail.
fn is_ours(name: &str) -> bool {
    name.starts_with(SPIN) || FORBIDDEN.contains(&name)
}

const SPIN: &str = "spin-";
const FORBIDDEN: [&str; 9] = [
    "connection",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
];

/// All fields in one crossing.
fn fields(headers: &Headers) -> Result<Fields, spin_sdk::wasip3::http::types::HeaderError> {
    let lines: Vec<_> = headers
        .iter()
        .filter(|(name, _)| !is_ours(name))
        .map(|(name, value)| (name.to_owned(), value.to_vec()))
        .collect();
    Fields::from_list(&lines)
}

/// Spin appends its own fields to the client's, so only the last value is not somebody's claim.
fn own<'a>(fields: &'a [(String, Vec<u8>)], name: &str) -> Option<&'a str> {
    let (_, value) = fields.iter().rev().find(|(found, _)| found == name)?;
    std::str::from_utf8(value).ok()
}

fn address(text: &str) -> Option<IpAddr> {
    text.parse::<SocketAddr>().map(|address| address.ip()).or_else(|_| text.parse()).ok()
}

/// Where a request is for, as received.
#[derive(Debug, PartialEq, Eq)]
struct Url {
    scheme: core::Scheme,
    authority: String,
    target: String,
}

impl Url {
    fn ask(request: &Request) -> Self {
        Self {
            scheme: match request.get_scheme() {
                Some(Scheme::Https) => core::Scheme::Https,
                Some(Scheme::Http | Scheme::Other(_)) | None => core::Scheme::Http,
            },
            authority: request.get_authority().unwrap_or_default(),
            target: request.get_path_with_query().unwrap_or_default(),
        }
    }
}

fn split(url: &str) -> Option<Url> {
    let (scheme, rest) = match url.strip_prefix("http://") {
        Some(rest) => (core::Scheme::Http, rest),
        None => (core::Scheme::Https, url.strip_prefix("https://")?),
    };
    let (authority, target) = rest.split_at(rest.find('/')?);
    Some(Url { scheme, authority: authority.to_owned(), target: target.to_owned() })
}

fn request_body(request: Request, method: &str, headers: &Headers) -> Body<Stream> {
    let is_empty = match headers.get("content-length") {
        Some(length) => length == b"0",
        // The host would lose a body in chunks here, whatever we did: its client (hyper) sends none with these methods.
        None => matches!(method, "GET" | "HEAD"),
    };
    if is_empty {
        return Body::Empty;
    }
    let (reader, trailers) = Request::consume_body(request, done());
    Body::Stream(Stream { reader, trailers: Behind::Host(trailers), fields: None })
}

fn memory(bytes: Bytes) -> (Option<StreamReader<u8>>, FutureTrailers) {
    if bytes.is_empty() {
        return (None, no_trailers());
    }
    let (mut writer, reader) = wit_stream::new();
    spawn(async move {
        // What is left over is what nobody wanted any more.
        writer.write_all(bytes.into()).await;
    });
    (Some(reader), no_trailers())
}

/// Hands a body on while it is made. One that breaks off ends without its trailers, so that the host knows.
fn made(flow: Outflow) -> (StreamReader<u8>, Behind) {
    let (mut writer, reader) = wit_stream::new();
    let (trailers, handed_on) = Behind::ours(|| ErrorCode::HttpResponseIncomplete);
    spawn(async move {
        while let Some(piece) = flow.take().await {
            if !writer.write_all(piece.into()).await.is_empty() {
                // The client has gone.
                return flow.leave();
            }
        }
        drop(writer);
        if flow.is_whole() {
            trailers.tell(Ok(None));
        }
    });
    (reader, handed_on)
}

/// Reads a whole body, unless it is longer than the limit.
pub async fn read_body(stream: Stream, limit: usize) -> Result<Bytes, ReadError> {
    Ok(read_to_end(stream, limit).await?.0)
}

/// Reads a whole body and the fields behind it, unless it is longer than the limit.
pub async fn read_to_end(stream: Stream, limit: usize) -> Result<(Bytes, Headers), ReadError> {
    let Stream { mut reader, trailers, .. } = stream;
    let mut body = Vec::new();
    let mut buffer = Vec::with_capacity(CHUNK);
    loop {
        let (result, chunk) = reader.read(buffer).await;
        if chunk.len() > limit - body.len() {
            return Err(ReadError::TooLarge);
        }
        body.extend_from_slice(&chunk);
        if result == StreamResult::Dropped {
            break;
        }
        buffer = chunk;
        buffer.clear();
    }
    drop(reader);
    // A body that broke off ends like one that is whole; only the trailers tell.
    match trailers.end().await {
        Ok(trailers) => Ok((body.into(), read_trailers(trailers))),
        Err(code) => Err(ReadError::Broken(code.to_string())),
    }
}

/// Reads a body if it is no longer than the limit; else gives it back.
pub async fn peek_body(stream: Stream, limit: usize) -> Result<Peeked<Stream>, ReadError> {
    let Stream { mut reader, trailers, fields } = stream;
    let mut read = Vec::new();
    let mut buffer = Vec::with_capacity(CHUNK);
    loop {
        let (result, chunk) = reader.read(buffer).await;
        read.extend_from_slice(&chunk);
        let ended = result == StreamResult::Dropped;
        if read.len() > limit {
            let reader = if ended { None } else { Some(reader) };
            return Ok(Peeked::Longer(hand_on(read, reader, trailers, fields, None)));
        }
        if ended {
            break;
        }
        buffer = chunk;
        buffer.clear();
    }
    drop(reader);
    match trailers.end().await {
        Ok(_) => Ok(Peeked::Whole(read.into())),
        Err(code) => Err(ReadError::Broken(code.to_string())),
    }
}

/// Copies a body while it passes.
pub fn copy_body(stream: Stream, limit: usize) -> (Stream, Copied) {
    let Stream { reader, trailers, fields } = stream;
    let copied = Copied::default();
    (hand_on(Vec::new(), Some(reader), trailers, fields, Some((copied.clone(), limit))), copied)
}

/// Moves a response's body through the component: what has been read of it, and then the rest. A copy is made on the way.
fn hand_on(
    mut chunk: Vec<u8>,
    mut reader: Option<StreamReader<u8>>,
    received: Behind,
    fields: Option<Fields>,
    copy: Option<(Copied, usize)>,
) -> Stream {
    let (mut writer, passed) = wit_stream::new();
    let (trailers, passed_trailers) = Behind::ours(|| ErrorCode::HttpResponseIncomplete);
    spawn(async move {
        let mut copy = copy.map(|(copied, limit)| Copying { copied, limit, bytes: Vec::new() });
        loop {
            copy = copy.and_then(|copy| copy.add(&chunk));
            let mut buffer = if chunk.is_empty() { chunk } else { writer.write_all(chunk).await };
            if !buffer.is_empty() {
                // The client has gone. Dropping the teller says that this is no whole body.
                if let Some(Copying { copied, .. }) = copy {
                    copied.bring(Err(ReadError::Broken("the client went away".to_owned())));
                }
                return;
            }
            let Some(rest) = &mut reader else { break };
            if buffer.capacity() == 0 {
                buffer.reserve(CHUNK);
            }
            let (result, next) = rest.read(buffer).await;
            if result == StreamResult::Dropped {
                reader = None;
            }
            chunk = next;
        }
        drop(writer);
        let end = received.end().await;
        if let Some(Copying { copied, bytes, .. }) = copy {
            copied.bring(match &end {
                Ok(_) => Ok(bytes.into()),
                Err(code) => Err(ReadError::Broken(code.to_string())),
            });
        }
        trailers.tell(end);
    });
    Stream { reader: passed, trailers: passed_trailers, fields }
}

/// A copy that is being made.
struct Copying {
    copied: Copied,
    limit: usize,
    bytes: Vec<u8>,
}

impl Copying {
    /// Goes on, unless it gets too long.
    fn add(mut self, chunk: &[u8]) -> Option<Self> {
        if chunk.len() > self.limit - self.bytes.len() {
            self.copied.bring(Err(ReadError::TooLarge));
            return None;
        }
        self.bytes.extend_from_slice(chunk);
        Some(self)
    }
}

/// Moves a body through the component, to count it or to change it. One that grows over the limit, or that cannot be
/// changed, breaks off.
fn pass(
    stream: Stream,
    mut pump: Option<Pump>,
    limit: Option<u64>,
    patience: Patience,
    ending: Ending,
) -> (StreamReader<u8>, Behind) {
    let Stream { mut reader, trailers: received, .. } = stream;
    let (mut writer, passed) = wit_stream::new();
    // Dropping the teller tells the host that the body is no whole one.
    let (trailers, passed_trailers) = Behind::ours(|| ErrorCode::HttpRequestBodySize(None));
    let moved = {
        let ending = ending.clone();
        async move {
            let mut left = limit.unwrap_or(u64::MAX);
            let mut buffer = Vec::with_capacity(CHUNK);
            loop {
                let read = reader.read(buffer);
                let (result, chunk) = match patience.idle {
                    None => read.await,
                    Some(idle) => match within(idle, read).await {
                        Some(read) => read,
                        None => return ending.late(&Patience::stalled(idle)),
                    },
                };
                if result == StreamResult::Dropped {
                    break;
                }
                let Some(rest) = left.checked_sub(chunk.len() as u64) else {
                    return ending.set(FetchError::BodyTooLarge);
                };
                left = rest;
                // Gives the buffer back, with what nobody took any more.
                buffer = match &mut pump {
                    None => writer.write_all(chunk).await,
                    Some(pump) => {
                        let changed = match pump.push(&chunk) {
                            Ok(changed) => changed,
                            Err(broken) => return break_off(&broken, &ending),
                        };
                        if !changed.is_empty() && !writer.write_all(changed).await.is_empty() {
                            return;
                        }
                        let mut buffer = chunk;
                        buffer.clear();
                        buffer
                    }
                };
                if !buffer.is_empty() {
                    return;
                }
            }
            let mut received = received.end().await;
            if let (Some(pump), Ok(fields)) = (&mut pump, &mut received) {
                let (rest, fields_behind) = match pump.finish(read_trailers(fields.take())) {
                    Ok(finished) => finished,
                    Err(broken) => return break_off(&broken, &ending),
                };
                if !rest.is_empty() && !writer.write_all(rest).await.is_empty() {
                    return;
                }
                *fields = write_trailers(&fields_behind);
            }
            drop(writer);
            trailers.tell(received);
        }
    };
    spawn(async move {
        match patience.whole {
            None => moved.await,
            Some(whole) => {
                if within(whole, moved).await.is_none() {
                    ending.late(&Broken(Patience::LATE.to_owned()));
                }
            }
        }
    });
    (passed, passed_trailers)
}

/// What comes within this time.
async fn within<T>(time: Duration, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut timer = pin!(platform::wait(time));
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => timer.as_mut().poll(context).map(|()| None),
    })
    .await
}

fn break_off(broken: &Broken, ending: &Ending) {
    ending.set(FetchError::BodyRefused);
    crate::log_now(&[Note::broken(broken)]);
}

fn read_trailers(trailers: Option<Trailers>) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in trailers.map(|fields| fields.copy_all()).unwrap_or_default() {
        headers.receive(&name, &value);
    }
    headers
}

/// Fields that the host refuses are left out with all the others: there is nobody left to tell.
fn write_trailers(headers: &Headers) -> Option<Trailers> {
    headers.iter().next()?;
    fields(headers).ok()
}

/// Moves a body through the component, and gives a copy of it to whoever wants it when it has ended: nothing, where it is longer than
/// `most` or breaks off. When the client goes away, the copy is still made. Of a body of known length the client gets the last piece
/// when the copy has been taken: whoever has seen all of it can rely on that.
#[cfg(feature = "cache")]
pub fn copy(stream: Stream, most: usize, take: impl AsyncFnOnce(Option<Vec<u8>>) + 'static) -> Stream {
    let Stream { mut reader, trailers: received, fields } = stream;
    let length = fields.as_ref().and_then(|fields| {
        let values = fields.get("content-length");
        std::str::from_utf8(values.first()?).ok()?.parse::<usize>().ok()
    });
    let mut take = Some(take);
    let (mut writer, copied_reader) = wit_stream::new();
    let (trailers, copied_trailers) = Behind::ours(|| ErrorCode::HttpResponseIncomplete);
    spawn(async move {
        let mut copy = Some(Vec::new());
        let mut gone = false;
        let mut buffer = Vec::with_capacity(CHUNK);
        loop {
            let (result, mut chunk) = reader.read(buffer).await;
            if let Some(whole) = copy.as_mut().filter(|whole| chunk.len() <= most - whole.len()) {
                whole.extend_from_slice(&chunk);
            } else {
                copy = None;
            }
            if length.is_some()
                && copy.as_ref().map(Vec::len) == length
                && let (Some(take), Some(whole)) = (take.take(), copy.take())
            {
                take(Some(whole)).await;
            }
            if gone && copy.is_none() {
                if let Some(take) = take {
                    take(None).await;
                }
                return;
            }
            if !gone && !chunk.is_empty() {
                // Gives the buffer back, with what nobody took any more.
                chunk = writer.write_all(chunk).await;
                gone = !chunk.is_empty();
            }
            if result == StreamResult::Dropped {
                break;
            }
            chunk.clear();
            buffer = chunk;
        }
        drop(writer);
        let ended = received.end().await;
        // A body that broke off ends like one that is whole; only the trailers tell.
        let whole = copy.filter(|_| ended.is_ok());
        if !gone {
            trailers.tell(ended);
        }
        if let Some(take) = take {
            take(whole).await;
        }
    });
    Stream { reader: copied_reader, trailers: copied_trailers, fields }
}

const CHUNK: usize = 16 << 10;

fn no_trailers() -> FutureTrailers {
    wit_future::new(|| Ok(None)).1
}

/// Tells the host that we have no more to say about a body.
fn done() -> FutureReader<Result<(), ErrorCode>> {
    wit_future::new(|| Ok(())).1
}

fn method_name(method: Method) -> String {
    let name = match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
        Method::Connect => "CONNECT",
        Method::Options => "OPTIONS",
        Method::Trace => "TRACE",
        Method::Patch => "PATCH",
        Method::Other(name) => return name,
    };
    name.to_owned()
}

fn method(name: String) -> Method {
    match name.as_str() {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "CONNECT" => Method::Connect,
        "OPTIONS" => Method::Options,
        "TRACE" => Method::Trace,
        "PATCH" => Method::Patch,
        _ => Method::Other(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_address_is_spins_own() {
        for (values, expected) in [
            (&["6.6.6.6:1", "192.0.2.1:4711"][..], Some("192.0.2.1")),
            (&["[2001:db8::1]:80"], Some("2001:db8::1")),
            (&["2001:db8::1"], Some("2001:db8::1")),
            (&["192.0.2.1:80", "nonsense"], None),
            (&[], None),
        ] {
            let lines = values.iter().map(|value| ("spin-client-addr".to_owned(), value.as_bytes().to_vec()));
            let found = own(&lines.collect::<Vec<_>>(), "spin-client-addr").and_then(address);
            assert_eq!(found, expected.map(|text| text.parse().expect("an address")), "{values:?}");
        }
    }

    #[test]
    fn the_url_is_split_where_the_target_begins() {
        for (url, parts) in [
            ("http://a.example:80//b/../c?d=/", Some((core::Scheme::Http, "a.example:80", "//b/../c?d=/"))),
            ("https://[::1]:443/", Some((core::Scheme::Https, "[::1]:443", "/"))),
            ("http://u@a/?x", Some((core::Scheme::Http, "u@a", "/?x"))),
            ("http://a", None),
            ("ftp://a/", None),
        ] {
            let expected = parts.map(|(scheme, authority, target)| Url {
                scheme,
                authority: authority.into(),
                target: target.into(),
            });
            assert_eq!(split(url), expected, "{url}");
        }
    }

    #[test]
    fn what_belongs_to_spin_and_to_the_connection_stays_behind() {
        for (name, ours) in
            [("spin-full-url", true), ("host", true), ("upgrade", true), ("te", false), ("x-spin", false)]
        {
            assert_eq!(is_ours(name), ours, "{name}");
        }
    }

    #[test]
    fn methods_keep_their_names() {
        for name in ["GET", "PATCH", "QUERY", "get"] {
            assert_eq!(method_name(method(name.to_owned())), name);
        }
    }
}
