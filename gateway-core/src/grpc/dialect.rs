//! What upstreams and clients speak: the answer of one read as messages and an end, and written as the other expects it.

use super::frame::{self, END_STREAM, Frames, TRAILERS, Wrong};
use super::message::Mapping;
use super::status::{Code, Status};
use crate::error::Error;
use crate::http::{Body, Headers, Response, parameters};
use crate::pump::{Broken, Transform};
use crate::request::Line;
use bytes::Bytes;
use prost_reflect::{DescriptorPool, MessageDescriptor};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What an upstream speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dialect {
    /// gRPC over HTTP/2, which ends in trailers.
    #[serde(rename = "g")]
    Grpc,
    /// gRPC-Web, whose trailers are in the body.
    #[serde(rename = "w")]
    GrpcWeb,
    /// Connect.
    #[serde(rename = "c")]
    Connect,
}

/// What a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// JSON over HTTP, as `google.api.http` describes it.
    Json,
    /// Connect: one message each way, without frames.
    Connect(Encoding),
    /// Connect with frames.
    ConnectStream(Encoding),
    /// gRPC-Web.
    GrpcWeb,
    /// gRPC-Web in Base64.
    GrpcWebText,
    /// gRPC.
    Grpc,
}

/// Kinds of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// JSON over HTTP.
    Json,
    /// Connect.
    Connect,
    /// gRPC-Web.
    GrpcWeb,
    /// gRPC.
    Grpc,
}

/// The kinds of clients that are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Clients(u8);

impl Clients {
    /// All of them.
    pub const ALL: Self = Self(0b1111);

    /// These.
    pub fn of(clients: impl IntoIterator<Item = Client>) -> Self {
        Self(clients.into_iter().fold(0, |all, client| all | 1 << client as u8))
    }

    /// Whether this one is among them.
    pub fn takes(self, client: Client) -> bool {
        self.0 & 1 << client as u8 != 0
    }

    /// Whether all of them are.
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
    pub fn is_all(&self) -> bool {
        *self == Self::ALL
    }

    /// The types of their requests.
    pub fn types(self) -> Vec<String> {
        let types = [
            (Client::Json, "application/json"),
            (Client::Connect, "application/proto"),
            (Client::Connect, "application/connect+proto"),
            (Client::GrpcWeb, "application/grpc-web+proto"),
            (Client::Grpc, "application/grpc"),
        ];
        types.into_iter().filter(|(client, _)| self.takes(*client)).map(|(_, kind)| kind.to_owned()).collect()
    }
}

impl Default for Clients {
    fn default() -> Self {
        Self::ALL
    }
}

/// How messages are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// In protobuf's binary form.
    Proto,
    /// As JSON.
    Json,
}

/// How many messages are written to a JSON client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StreamForm {
    /// One array.
    #[serde(rename = "a")]
    Array,
    /// One line for each.
    #[serde(rename = "l")]
    Lines,
    /// One server-sent event for each.
    #[serde(rename = "e")]
    Events,
}

impl Protocol {
    /// What the sender of a request speaks.
    pub fn of(line: &Line, query: Option<&str>, headers: &Headers) -> Self {
        if line.method == "GET" {
            let query = query.unwrap_or_default();
            let says = |name: &str, value: &str| parameters(query, name).next().is_some_and(|found| found == value);
            return match says("connect", "v1") {
                true if says("encoding", "json") => Protocol::Connect(Encoding::Json),
                true => Protocol::Connect(Encoding::Proto),
                false => Protocol::Json,
            };
        }
        match media_type(headers).as_str() {
            "application/grpc-web" | "application/grpc-web+proto" => Protocol::GrpcWeb,
            "application/grpc-web-text" | "application/grpc-web-text+proto" => Protocol::GrpcWebText,
            "application/connect+proto" => Protocol::ConnectStream(Encoding::Proto),
            "application/connect+json" => Protocol::ConnectStream(Encoding::Json),
            "application/proto" => Protocol::Connect(Encoding::Proto),
            "application/json" if headers.contains("connect-protocol-version") => Protocol::Connect(Encoding::Json),
            kind if kind == "application/grpc" || kind.starts_with("application/grpc+") => Protocol::Grpc,
            _ => Protocol::Json,
        }
    }

    /// What kind of client that is.
    pub fn client(self) -> Client {
        match self {
            Protocol::Json => Client::Json,
            Protocol::Connect(_) | Protocol::ConnectStream(_) => Client::Connect,
            Protocol::GrpcWeb | Protocol::GrpcWebText => Client::GrpcWeb,
            Protocol::Grpc => Client::Grpc,
        }
    }

    /// Whether an upstream can be handed such a request as it is.
    pub fn is_native_to(self, dialect: Dialect) -> bool {
        match dialect {
            Dialect::Grpc => self == Protocol::Grpc,
            Dialect::GrpcWeb => self == Protocol::GrpcWeb,
            Dialect::Connect => matches!(self, Protocol::Connect(_) | Protocol::ConnectStream(_)),
        }
    }

    /// The type of its messages.
    pub fn content_type(self) -> &'static str {
        match self {
            Protocol::Json | Protocol::Connect(Encoding::Json) => "application/json",
            Protocol::Connect(Encoding::Proto) => "application/proto",
            Protocol::ConnectStream(Encoding::Proto) => "application/connect+proto",
            Protocol::ConnectStream(Encoding::Json) => "application/connect+json",
            Protocol::GrpcWeb => "application/grpc-web+proto",
            Protocol::GrpcWebText => "application/grpc-web-text+proto",
            Protocol::Grpc => "application/grpc+proto",
        }
    }

    /// How its messages are encoded.
    pub fn encoding(self) -> Encoding {
        match self {
            Protocol::Json | Protocol::Connect(Encoding::Json) | Protocol::ConnectStream(Encoding::Json) => {
                Encoding::Json
            }
            Protocol::Connect(Encoding::Proto)
            | Protocol::ConnectStream(Encoding::Proto)
            | Protocol::GrpcWeb
            | Protocol::GrpcWebText
            | Protocol::Grpc => Encoding::Proto,
        }
    }

    /// A problem of the gateway as this protocol tells of it; what comes in another form stays as it is.
    pub fn refuse<S>(self, response: Response<S>) -> Response<S> {
        if self == Protocol::Json || response.headers.text("content-type") != Some("application/problem+json") {
            return response;
        }
        let detail = match &response.body {
            Body::Bytes(bytes) => serde_json::from_slice::<Value>(bytes).unwrap_or_default()["detail"].take(),
            Body::Empty | Body::Stream(_) | Body::Pumped(..) | Body::Made(_) => Value::Null,
        };
        let status = Status::new(Code::from_problem(response.status), detail.as_str().unwrap_or_default());
        let end = End { status, trailers: Headers::new() };
        let mut headers = Headers::new();
        headers.set("cache-control", "no-store");
        for (name, value) in response.headers.iter().filter(|(name, _)| outlives_a_problem(name)) {
            headers.append(name, value);
        }
        self.whole(headers, None, end)
    }

    /// A whole answer of at most one message, which is encoded as the client wants it; the fields are those that it carries.
    pub fn whole<S>(self, mut headers: Headers, message: Option<&[u8]>, end: End) -> Response<S> {
        let End { status, trailers } = end;
        let (mut code, mut body) = (200, Vec::new());
        headers.set("content-type", self.content_type());
        match self {
            Protocol::Json | Protocol::Connect(_) => {
                for (name, value) in trailers.iter() {
                    headers.append(&format!("trailer-{name}"), value);
                }
                match message {
                    Some(message) if status.is_ok() => body.extend_from_slice(message),
                    Some(_) | None => {
                        code = status.code.http();
                        headers.set("content-type", "application/json");
                        body = status.to_connect().to_string().into_bytes();
                    }
                }
            }
            Protocol::ConnectStream(_) | Protocol::GrpcWeb | Protocol::GrpcWebText => {
                let mut frames = Vec::new();
                if let Some(message) = message {
                    frame::write(0, message, &mut frames);
                }
                write_end(self, &End { status, trailers }, &mut frames);
                match self {
                    Protocol::GrpcWebText => frame::to_text(&frames, &mut body),
                    _ => body = frames,
                }
            }
            // An answer that is nothing but trailers stands in the head; others of this protocol flow.
            Protocol::Grpc => status.to_fields(&mut headers),
        }
        headers.set("content-length", body.len().to_string());
        Response { status: code, headers, body: Body::Bytes(body.into()) }
    }
}

/// Whether a field says something that holds in whatever form a client hears of a problem: who may come in, and when.
fn outlives_a_problem(name: &str) -> bool {
    matches!(name, "proxy-status" | "retry-after" | "www-authenticate") || name.contains("ratelimit")
}

/// The type of a body, without parameters and in lower case; empty where there is none.
pub fn media_type(headers: &Headers) -> String {
    let text = headers.text("content-type").unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// How a call ended.
#[derive(Debug, Clone)]
pub struct End {
    /// How.
    pub status: Status,
    /// The metadata behind the messages, without the status.
    pub trailers: Headers,
}

/// How an answer begins.
#[derive(Debug)]
pub enum Start {
    /// It is over: there is no message.
    Ended(End),
    /// It goes on in the body.
    Body(Reader),
}

/// Reads the body of an upstream's answer.
#[derive(Debug)]
pub struct Reader {
    form: Form,
    most: usize,
}

#[derive(Debug)]
enum Form {
    Frames {
        dialect: Dialect,
        frames: Frames,
        end: Option<End>,
    },
    /// One message that is the whole body, with the trailers that stood in the head.
    Message {
        bytes: Vec<u8>,
        trailers: Headers,
    },
    /// Nothing more: it was over with its head.
    Ended(End),
    /// An error that is the whole body, its status in HTTP, and the trailers that stood in the head.
    Error {
        bytes: Vec<u8>,
        status: u16,
        trailers: Headers,
    },
}

impl Reader {
    /// Reads the head of an answer to a method that gives one message or, if it `streams`, many. No message may be longer
    /// than `most`.
    ///
    /// # Errors
    /// Where it is no answer in this dialect.
    pub fn start(
        dialect: Dialect,
        streams: bool,
        status: u16,
        headers: &Headers,
        most: usize,
    ) -> Result<Start, Broken> {
        let kind = media_type(headers);
        if dialect != Dialect::Connect {
            if let Some(status) = Status::from_fields(headers) {
                return Ok(Start::Ended(End { status, trailers: Headers::new() }));
            }
            if status != 200 {
                let status = Status::new(Code::from_http(status), format!("HTTP status {status}"));
                return Ok(Start::Ended(End { status, trailers: Headers::new() }));
            }
        }
        let expected = match dialect {
            Dialect::Grpc => kind == "application/grpc" || kind.starts_with("application/grpc+"),
            Dialect::GrpcWeb => kind == "application/grpc-web" || kind == "application/grpc-web+proto",
            Dialect::Connect if streams => kind == "application/connect+proto",
            Dialect::Connect => kind == "application/proto",
        };
        let form = match dialect {
            Dialect::Connect if status != 200 => Form::Error { bytes: Vec::new(), status, trailers: ahead(headers) },
            _ if !expected => {
                let why =
                    format!("the upstream answered with the type `{kind}`, which is not the dialect of this route");
                return Err(Broken(why));
            }
            Dialect::Connect if !streams => Form::Message { bytes: Vec::new(), trailers: ahead(headers) },
            Dialect::Grpc | Dialect::GrpcWeb | Dialect::Connect => {
                // The frame at the end may be longer than the longest message.
                Form::Frames { dialect, frames: Frames::new(most.max(LEAST)), end: None }
            }
        };
        Ok(Start::Body(Self { form, most }))
    }

    /// One that is over.
    pub fn ended(end: End) -> Self {
        Self { form: Form::Ended(end), most: 0 }
    }

    /// The messages that are whole now.
    ///
    /// # Errors
    /// Where the body is not as the dialect says.
    pub fn push(&mut self, more: &[u8]) -> Result<Vec<Vec<u8>>, Broken> {
        let most = self.most;
        match &mut self.form {
            Form::Ended(_) => Ok(Vec::new()),
            Form::Message { bytes, .. } if bytes.len() + more.len() > most => Err(too_large(most)),
            Form::Message { bytes, .. } => {
                bytes.extend_from_slice(more);
                Ok(Vec::new())
            }
            Form::Error { bytes, .. } => {
                // What is longer is no error of this protocol.
                if bytes.len() <= LEAST {
                    bytes.extend_from_slice(more);
                }
                Ok(Vec::new())
            }
            Form::Frames { dialect, frames, end } => {
                let mut messages = Vec::new();
                for frame in frames.push(more).map_err(|wrong| explain(wrong, most))? {
                    if end.is_some() {
                        return Err(Broken("the upstream sent more behind the end of its answer".to_owned()));
                    }
                    match (*dialect, frame.flags) {
                        (_, 0) if frame.data.len() > most => return Err(too_large(most)),
                        (_, 0) => messages.push(frame.data),
                        (Dialect::GrpcWeb, TRAILERS) => *end = Some(web_end(&frame.data)?),
                        (Dialect::Connect, END_STREAM) => *end = Some(connect_end(&frame.data)?),
                        (_, flags) if flags & frame::COMPRESSED != 0 => {
                            return Err(Broken("the upstream compressed a message, which nobody asked for".to_owned()));
                        }
                        (_, flags) => {
                            return Err(Broken(format!("the upstream sent a frame with the flags {flags:#04x}")));
                        }
                    }
                }
                Ok(messages)
            }
        }
    }

    /// What is left at the end of a body, and how the call ended. `trailers` are the fields behind the body.
    ///
    /// # Errors
    /// Where the body ends too early.
    pub fn finish(&mut self, trailers: Headers) -> Result<(Option<Vec<u8>>, End), Broken> {
        match &mut self.form {
            Form::Ended(end) => Ok((None, end.clone())),
            Form::Message { bytes, trailers } => {
                let end = End { status: Status::new(Code::OK, ""), trailers: std::mem::take(trailers) };
                Ok((Some(std::mem::take(bytes)), end))
            }
            Form::Error { bytes, status, trailers } => {
                let error: Value = serde_json::from_slice(bytes).unwrap_or_default();
                let mut status_of_call = Status::from_connect(&error, Some(*status));
                if error.get("code").is_none() {
                    status_of_call.message = format!("HTTP status {status}");
                }
                Ok((None, End { status: status_of_call, trailers: std::mem::take(trailers) }))
            }
            Form::Frames { dialect, frames, end } => {
                frames.finish().map_err(|wrong| explain(wrong, self.most))?;
                let end = match dialect {
                    Dialect::Grpc => split(&trailers),
                    Dialect::GrpcWeb | Dialect::Connect => end.take(),
                };
                let why = "the upstream's answer ended without a status; does it speak the dialect of this route, and does \
                           the platform show trailers?";
                Ok((None, end.ok_or_else(|| Broken(why.to_owned()))?))
            }
        }
    }
}

/// Connect, "Unary-Response": the trailers stand in the head.
fn ahead(headers: &Headers) -> Headers {
    let mut trailers = Headers::new();
    for (name, value) in headers.iter() {
        if let Some(name) = name.strip_prefix("trailer-") {
            trailers.append(name, value);
        }
    }
    trailers
}

/// How long trailers in a body may be at least, and errors at most.
const LEAST: usize = 64 << 10;

fn too_large(most: usize) -> Broken {
    Broken(format!("the upstream sent a message of more than {most} bytes"))
}

fn explain(wrong: Wrong, most: usize) -> Broken {
    match wrong {
        Wrong::TooLarge { .. } => too_large(most),
        Wrong::Truncated => Broken("the upstream's answer ended in the middle of a message".to_owned()),
        Wrong::Base64 => Broken("the upstream's answer is not Base64".to_owned()),
    }
}

/// Status and metadata, where there is a status.
fn split(fields: &Headers) -> Option<End> {
    let status = Status::from_fields(fields)?;
    let mut trailers = Headers::new();
    for (name, value) in fields.iter().filter(|(name, _)| !name.starts_with("grpc-")) {
        trailers.append(name, value);
    }
    Some(End { status, trailers })
}

/// PROTOCOL-WEB: the trailers are a block of header lines.
fn web_end(block: &[u8]) -> Result<End, Broken> {
    let mut fields = Headers::new();
    for line in block.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()) {
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) =
            line.split_at(colon.ok_or_else(|| Broken("a line of the trailers has no colon".to_owned()))?);
        match std::str::from_utf8(name) {
            Ok(name) if crate::http::is_token(name) => fields.append(name, value[1..].trim_ascii()),
            _ => return Err(Broken("a name in the trailers is none".to_owned())),
        }
    }
    split(&fields).ok_or_else(|| Broken("the upstream's trailers have no grpc-status".to_owned()))
}

/// Connect, "Streaming RPCs": an object with `error` where it failed, and `metadata`.
fn connect_end(text: &[u8]) -> Result<End, Broken> {
    let end: Value = serde_json::from_slice(text)
        .map_err(|error| Broken(format!("the end of the upstream's answer is no JSON: {error}")))?;
    let mut trailers = Headers::new();
    for (name, values) in end.get("metadata").and_then(Value::as_object).into_iter().flatten() {
        if crate::http::is_token(name) {
            let values = values.as_array().into_iter().flatten().filter_map(Value::as_str);
            values.for_each(|value| trailers.append(name, value));
        }
    }
    let status = match end.get("error") {
        Some(error) => Status::from_connect(error, None),
        None => Status::new(Code::OK, ""),
    };
    Ok(End { status, trailers })
}

/// Writes the end of an answer as a frame.
fn write_end(protocol: Protocol, end: &End, out: &mut Vec<u8>) {
    match protocol {
        Protocol::ConnectStream(_) => {
            let mut json = json!({});
            if !end.status.is_ok() {
                json["error"] = end.status.to_connect();
            }
            for (name, value) in end.trailers.iter() {
                let values = &mut json["metadata"][name];
                let value = Value::from(String::from_utf8_lossy(value));
                match values {
                    Value::Array(values) => values.push(value),
                    _ => *values = json!([value]),
                }
            }
            frame::write(END_STREAM, json.to_string().as_bytes(), out);
        }
        Protocol::GrpcWeb | Protocol::GrpcWebText | Protocol::Json | Protocol::Connect(_) | Protocol::Grpc => {
            let mut fields = end.trailers.clone();
            end.status.to_fields(&mut fields);
            let mut block = Vec::new();
            for (name, value) in fields.iter() {
                for part in [name.as_bytes(), b": ", value, b"\r\n"] {
                    block.extend_from_slice(part);
                }
            }
            frame::write(TRAILERS, &block, out);
        }
    }
}

/// Writes the messages of an answer one by one.
#[derive(Debug)]
pub struct Writer {
    /// As what.
    pub form: WriterForm,
    /// How messages become JSON.
    pub mapping: Mapping,
    /// What the messages are.
    pub kind: MessageDescriptor,
}

/// As what messages are written.
#[derive(Debug)]
pub enum WriterForm {
    /// For clients that speak JSON.
    Json {
        /// How.
        form: StreamForm,
        /// Whether one has been written.
        begun: bool,
        /// For the problem that stands behind messages where the call failed.
        request_id: String,
        /// For its details.
        pool: DescriptorPool,
    },
    /// In frames.
    Frames(Protocol),
}

impl StreamForm {
    /// Its media type.
    pub fn content_type(self) -> &'static str {
        match self {
            StreamForm::Array => "application/json",
            StreamForm::Lines => "application/x-ndjson",
            StreamForm::Events => "text/event-stream",
        }
    }

    /// The form that a client asks for, or else this one. Of several, the first that is known counts.
    pub fn asked(self, headers: &Headers) -> Self {
        let ranges =
            crate::http::list(headers, "accept").map(|range| range.split(';').next().unwrap_or_default().trim());
        let known = |range: &str| match range.to_ascii_lowercase().as_str() {
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/x-jsonlines" => {
                Some(StreamForm::Lines)
            }
            "text/event-stream" => Some(StreamForm::Events),
            "application/json" => Some(StreamForm::Array),
            _ => None,
        };
        ranges.filter_map(known).next().unwrap_or(self)
    }

    fn write(self, begun: bool, name: Option<&str>, json: &[u8], out: &mut Vec<u8>) {
        let (before, behind): (&[u8], &[u8]) = match self {
            StreamForm::Array if begun => (b",\n", b""),
            StreamForm::Array => (b"[", b""),
            StreamForm::Lines => (b"", b"\n"),
            StreamForm::Events => (b"data: ", b"\n\n"),
        };
        if let (StreamForm::Events, Some(name)) = (self, name) {
            out.extend_from_slice(format!("event: {name}\n").as_bytes());
        }
        for part in [before, json, behind] {
            out.extend_from_slice(part);
        }
    }
}

impl Writer {
    /// Adds a message.
    ///
    /// # Errors
    /// Where it is none of its type.
    pub fn message(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        let json = || self.mapping.to_json(&self.kind, bytes).map_err(Broken);
        match &mut self.form {
            WriterForm::Json { form, begun, .. } => {
                form.write(*begun, None, &json()?, out);
                *begun = true;
            }
            WriterForm::Frames(protocol) => match protocol.encoding() {
                Encoding::Proto => frame::write(0, bytes, out),
                Encoding::Json => frame::write(0, &json()?, out),
            },
        }
        Ok(())
    }

    /// Adds the end.
    pub fn end(&mut self, end: &End, out: &mut Vec<u8>) {
        match &mut self.form {
            WriterForm::Frames(protocol) => write_end(*protocol, end, out),
            WriterForm::Json { form, begun, request_id, pool } => {
                if !end.status.is_ok() {
                    let problem = Error::Rpc(Box::new(Failure::new(&end.status, pool))).problem(request_id);
                    let problem = String::from_utf8_lossy(&problem).into_owned();
                    match form {
                        StreamForm::Events => form.write(*begun, Some("error"), problem.as_bytes(), out),
                        StreamForm::Array | StreamForm::Lines => {
                            form.write(*begun, None, format!("{{\"error\":{problem}}}").as_bytes(), out);
                        }
                    }
                    *begun = true;
                }
                match form {
                    StreamForm::Array if *begun => out.extend_from_slice(b"]"),
                    StreamForm::Array => out.extend_from_slice(b"[]"),
                    StreamForm::Events if end.status.is_ok() => form.write(*begun, Some("end"), b"{}", out),
                    StreamForm::Lines | StreamForm::Events => {}
                }
            }
        }
    }
}

/// A call that failed, as a JSON client gets to see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The code.
    pub code: Code,
    /// What the service says.
    pub message: String,
    /// What else it says.
    pub details: Vec<Value>,
}

impl Failure {
    /// How a call failed.
    pub fn new(status: &Status, pool: &DescriptorPool) -> Self {
        Self { code: status.code, message: status.message.clone(), details: status.details_as_json(pool) }
    }

    /// After how many seconds the service wants to be called again (google.rpc.RetryInfo).
    pub fn retry_after(&self) -> Option<u64> {
        let info = self
            .details
            .iter()
            .find(|detail| detail["@type"].as_str().is_some_and(|kind| kind.ends_with("/google.rpc.RetryInfo")))?;
        let seconds: f64 = info["retryDelay"].as_str()?.strip_suffix('s')?.parse().ok()?;
        (seconds >= 0.0).then_some(seconds.ceil() as u64)
    }
}

/// An answer of many messages on its way.
#[derive(Debug)]
pub struct Flow {
    /// Reads what comes.
    pub reader: Reader,
    /// Writes what goes.
    pub writer: Writer,
}

impl Flow {
    fn is_text(&self) -> bool {
        matches!(self.writer.form, WriterForm::Frames(Protocol::GrpcWebText))
    }
}

impl Transform for Flow {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        let messages = self.reader.push(bytes)?;
        if !self.is_text() {
            return messages.iter().try_for_each(|message| self.writer.message(message, out));
        }
        let mut frames = Vec::new();
        messages.iter().try_for_each(|message| self.writer.message(message, &mut frames))?;
        frame::to_text(&frames, out);
        Ok(())
    }

    fn finish(&mut self, trailers: Headers, out: &mut Vec<u8>) -> Result<Headers, Broken> {
        let (message, end) = self.reader.finish(trailers)?;
        let mut frames = Vec::new();
        if let Some(message) = message {
            self.writer.message(&message, &mut frames)?;
        }
        if matches!(self.writer.form, WriterForm::Frames(Protocol::Grpc)) {
            out.extend(frames);
            let mut fields = end.trailers;
            end.status.to_fields(&mut fields);
            return Ok(fields);
        }
        self.writer.end(&end, &mut frames);
        if self.is_text() {
            frame::to_text(&frames, out)
        } else {
            out.extend(frames)
        }
        Ok(Headers::new())
    }
}

/// A whole answer: its messages, and how the call ended.
///
/// # Errors
/// Where it is not as the dialect says.
pub fn read_whole(reader: &mut Reader, bytes: &Bytes, trailers: Headers) -> Result<(Vec<Vec<u8>>, End), Broken> {
    let mut messages = reader.push(bytes)?;
    let (last, end) = reader.finish(trailers)?;
    messages.extend(last);
    Ok((messages, end))
}
