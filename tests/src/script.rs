//! What an origin does, as scenarios write it: one description for the real origin and for the one in this process.

use crate::origin::{Exchange, Received, Then};
use crate::scenario::{Lines, Millis, Text};
use crate::websocket;
use crate::wire::{self, Field, Head, Reader};
use gateway_core::http::{Body, Headers, Response};
use gateway_core::platform::{Failure, FetchError};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io;
use std::thread;
use std::time::Duration;

/// How long a body that breaks off keeps its reader waiting for the break.
const BEFORE_A_RESET: Duration = Duration::from_millis(100);

/// What an origin does with a request.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Script {
    /// One word.
    Word(Word),
    /// Bytes that may or may not be HTTP; the connection is closed after them.
    Raw(Raw),
    /// One thing for each path; 404 for others.
    Paths(Paths),
    /// A response.
    Answer(Answer),
}

/// What needs no more than a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    /// Takes the request and never answers.
    Silent,
    /// Takes the request and closes the connection.
    Close,
    /// Takes the request and resets the connection.
    Reset,
    /// Upgrades to WebSocket and sends every message back.
    WebSocket,
}

/// Bytes that may or may not be HTTP.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Raw {
    /// The bytes.
    pub raw: Text,
}

/// What is done for single paths, without their queries.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paths {
    /// By path.
    pub paths: BTreeMap<String, Script>,
}

/// A response, exactly.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// 200 unless said otherwise.
    #[serde(default = "ok")]
    pub status: u16,
    /// The reason phrase.
    pub reason: Option<Text>,
    /// What comes before: interim responses, head by head.
    #[serde(default)]
    pub interim: Vec<Interim>,
    /// Field lines. `Content-Length` or `Transfer-Encoding` is added where the body needs it and none is written.
    #[serde(default)]
    pub headers: Lines,
    /// The body.
    #[serde(default)]
    pub body: Content,
    /// How long the origin waits before the head.
    pub after: Option<Millis>,
}

/// A response with a status of 1xx.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interim {
    /// 100 to 199.
    pub status: u16,
    /// Field lines.
    #[serde(default)]
    pub headers: Lines,
}

/// A body.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Content {
    /// These bytes, with their `Content-Length`.
    Plain(Text),
    /// These bytes, compressed, with the length of that and `Content-Encoding`.
    Gzip {
        /// What a reader would see.
        gzip: Text,
    },
    /// In chunks, with trailers.
    Chunks {
        /// Chunk by chunk.
        chunks: Vec<Text>,
        /// Fields after the last one.
        #[serde(default)]
        trailers: Lines,
        /// How long the origin waits between them.
        pause: Option<Millis>,
    },
    /// Ended by closing the connection.
    UntilClose {
        /// All of it.
        until_close: Text,
    },
    /// A promise that is not kept: the connection is reset after fewer bytes than declared.
    Broken {
        /// What is sent.
        broken: Text,
        /// What `Content-Length` says.
        promised: u64,
    },
}

impl Default for Content {
    fn default() -> Self {
        Content::Plain(Text(b"from the origin".to_vec()))
    }
}

impl Default for Script {
    fn default() -> Self {
        Script::Answer(Answer::default())
    }
}

impl Default for Answer {
    fn default() -> Self {
        Self {
            status: 200,
            reason: None,
            interim: Vec::new(),
            headers: Lines::default(),
            body: Content::default(),
            after: None,
        }
    }
}

fn ok() -> u16 {
    200
}

impl Script {
    /// This, with another one's paths behind its own where both have some.
    pub fn before(&self, other: &Script) -> Script {
        match (self, other) {
            (Script::Paths(Paths { paths }), Script::Paths(Paths { paths: others })) => {
                let mut all = others.clone();
                all.extend(paths.clone());
                Script::Paths(Paths { paths: all })
            }
            (one, _) => one.clone(),
        }
    }

    /// Whether an answer of it comes later than at once.
    pub fn takes_time(&self) -> bool {
        match self {
            Script::Answer(answer) => answer.after.is_some(),
            Script::Paths(Paths { paths }) => paths.values().any(Script::takes_time),
            Script::Word(_) | Script::Raw(_) => false,
        }
    }

    /// How many milliseconds the answer to this target takes.
    pub fn delay(&self, target: &str) -> u64 {
        let after = |answer: &Answer| answer.after.map_or(0, |Millis(after)| after.as_millis() as u64);
        match self {
            Script::Answer(answer) => after(answer),
            Script::Paths(Paths { paths }) => {
                paths.get(target.split('?').next().unwrap_or_default()).map_or(0, |script| script.delay(target))
            }
            Script::Word(_) | Script::Raw(_) => 0,
        }
    }

    /// Acts on a real connection.
    pub fn act(&self, received: &Received, exchange: &mut Exchange<'_>) -> io::Result<Then> {
        match self {
            Script::Word(Word::Silent) => {
                exchange.wait_for_end();
                Ok(Then::Close)
            }
            Script::Word(Word::Close) => Ok(Then::Close),
            Script::Word(Word::Reset) => Ok(Then::Reset),
            Script::Word(Word::WebSocket) => websocket::echo(received, exchange),
            Script::Raw(Raw { raw }) => {
                exchange.write(&raw.0)?;
                Ok(Then::Close)
            }
            Script::Paths(paths) => paths.find(received).act(received, exchange),
            Script::Answer(answer) => answer.act(received, exchange),
        }
    }

    /// The same without a network: what a platform would have made of it.
    pub fn answer(&self, received: &Received, timeout: Duration) -> Result<Response<Vec<u8>>, Failure> {
        let fail = |error| Err(Failure { error, detail: "as the script says".to_owned() });
        match self {
            Script::Word(Word::Silent) => fail(FetchError::Timeout),
            Script::Word(Word::Close | Word::Reset | Word::WebSocket) => fail(FetchError::Reset),
            Script::Raw(Raw { raw }) => {
                let mut reader = Reader::new(raw.0.as_slice());
                match reader.head() {
                    Ok(Some(head)) if head.start.starts_with(b"HTTP/1.1 ") => {
                        let status = std::str::from_utf8(&head.start[9..12]).ok().and_then(|code| code.parse().ok());
                        let Some(status) = status else { return fail(FetchError::Reset) };
                        let mut body = Vec::new();
                        let framing = head.response_framing(&received.method, status);
                        match reader.body(framing, |bytes| body.extend(bytes)) {
                            Ok(_) => Ok(respond(status, &head.fields, body)),
                            Err(_) => fail(FetchError::Reset),
                        }
                    }
                    _ => fail(FetchError::Reset),
                }
            }
            Script::Paths(paths) => paths.find(received).answer(received, timeout),
            Script::Answer(answer) => {
                if answer.after.is_some_and(|delay| delay.0 >= timeout) {
                    return fail(FetchError::Timeout);
                }
                let body = if answer.has_body(received) { answer.body.bytes() } else { Vec::new() };
                Ok(respond(answer.status, &answer.fields(received), body))
            }
        }
    }
}

impl Paths {
    fn find(&self, received: &Received) -> Script {
        let path = received.target.split(|&b| b == b'?').next().unwrap_or_default();
        let nothing = || Script::Answer(Answer { status: 404, ..Answer::default() });
        self.paths.get(String::from_utf8_lossy(path).as_ref()).cloned().unwrap_or_else(nothing)
    }
}

fn respond(status: u16, fields: &[Field], body: Vec<u8>) -> Response<Vec<u8>> {
    let mut headers = Headers::new();
    for field in fields {
        headers.receive(&String::from_utf8_lossy(&field.name), &field.value);
    }
    let body = if body.is_empty() { Body::Empty } else { Body::Stream(body) };
    Response { status, headers, body }
}

impl Answer {
    fn act(&self, received: &Received, exchange: &mut Exchange<'_>) -> io::Result<Then> {
        for Interim { status, headers } in &self.interim {
            let start = format!("HTTP/1.1 {status} Interim").into_bytes();
            exchange.write(&Head { start, fields: headers.0.clone() }.to_bytes())?;
        }
        if let Some(Millis(delay)) = self.after {
            thread::sleep(delay);
        }
        let mut start = format!("HTTP/1.1 {} ", self.status).into_bytes();
        start.extend(self.reason.as_ref().map_or(&b"As scripted"[..], |reason| &reason.0));
        let mut message = Head { start, fields: self.fields(received) }.to_bytes();
        if self.has_body(received) {
            match &self.body {
                Content::Chunks { chunks, trailers, pause } => {
                    for part in chunks {
                        message.extend(wire::chunk(&part.0));
                        if let Some(Millis(pause)) = pause {
                            exchange.write(&std::mem::take(&mut message))?;
                            thread::sleep(*pause);
                        }
                    }
                    message.extend(b"0\r\n");
                    // A head's bytes without its start line.
                    message.extend(&Head { start: Vec::new(), fields: trailers.0.clone() }.to_bytes()[2..]);
                }
                content => message.extend(content.bytes()),
            }
        }
        exchange.write(&message)?;
        match &self.body {
            Content::Broken { .. } => {
                // A reset can overtake what was written before it: the head is to have passed the gateway by then.
                thread::sleep(BEFORE_A_RESET);
                Ok(Then::Reset)
            }
            Content::UntilClose { .. } => Ok(Then::Close),
            Content::Plain(_) | Content::Gzip { .. } | Content::Chunks { .. } => Ok(Then::Keep),
        }
    }

    fn has_body(&self, received: &Received) -> bool {
        received.method != "HEAD" && !matches!(self.status, 100..=199 | 204 | 304)
    }

    fn fields(&self, received: &Received) -> Vec<Field> {
        let mut fields = self.headers.0.clone();
        let mut add = |name: &str, value: String| {
            if !fields.iter().any(|field| field.is(name)) {
                fields.push(Field::new(name, value));
            }
        };
        let bodiless = matches!(self.status, 100..=199 | 204 | 304);
        match &self.body {
            _ if bodiless => {}
            Content::Plain(text) => add("Content-Length", text.0.len().to_string()),
            Content::Gzip { .. } => {
                add("Content-Encoding", "gzip".to_owned());
                add("Content-Length", self.body.bytes().len().to_string());
            }
            Content::Chunks { .. } if received.method != "HEAD" => add("Transfer-Encoding", "chunked".to_owned()),
            Content::Chunks { .. } => {}
            Content::UntilClose { .. } => add("Connection", "close".to_owned()),
            Content::Broken { promised, .. } => add("Content-Length", promised.to_string()),
        }
        fields
    }
}

impl Content {
    /// The body as it goes over the wire, but for chunks.
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Content::Plain(text) | Content::UntilClose { until_close: text } => text.0.clone(),
            Content::Gzip { gzip: text } => gzip(&text.0),
            Content::Chunks { chunks, .. } => chunks.iter().flat_map(|part| part.0.clone()).collect(),
            Content::Broken { broken, .. } => broken.0.clone(),
        }
    }
}

/// A valid gzip member (RFC 1952) that holds the bytes as they are: whoever decodes it and encodes it again gets
/// something shorter.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut parts = bytes.chunks(0xFFFF).peekable();
    if bytes.is_empty() {
        out.extend([1, 0, 0, 0xFF, 0xFF]);
    }
    while let Some(part) = parts.next() {
        let length = u16::try_from(part.len()).unwrap_or(u16::MAX);
        out.push(u8::from(parts.peek().is_none()));
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend(part);
    }
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & (0_u32.wrapping_sub(crc & 1)));
        }
    }
    out.extend((!crc).to_le_bytes());
    out.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    out
}
