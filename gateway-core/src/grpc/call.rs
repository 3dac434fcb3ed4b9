//! One call: which method a request is for, what the upstream is sent, and what the client gets of the answer.

use super::dialect::{
    Dialect, Encoding, End, Failure, Flow, Protocol, Reader, Start, Writer, WriterForm, media_type, read_whole,
};
use super::frame::{self, COMPRESSED, Frames, Wrong};
use super::message::{self, BodyField, HTTP_BODY};
use super::status::Status;
use super::template::Found;
use super::{Binding, Grpc, Method, Service, is_named};
use crate::error::Error;
use crate::gateway::Substitute;
use crate::http::{Body, Headers, Response, parameters};
use crate::platform::{Platform, ReadError};
use crate::pump::{self, Broken, Pump};
use crate::upstream::deadline;
use base64::Engine;
use bytes::Bytes;
use prost::Message;
use prost_reflect::{DynamicMessage, Kind, MessageDescriptor};

/// What becomes of a request.
#[derive(Debug)]
pub enum Admitted<'a> {
    /// The upstream gets it as it is: both speak the same.
    Pass,
    /// It is a call to be translated.
    Call(Box<Call<'a>>),
}

/// A call to be translated.
#[derive(Debug)]
pub struct Call<'a> {
    grpc: &'a Grpc,
    service: &'a Service,
    method: &'a Method,
    binding: Option<&'a Binding>,
    protocol: Protocol,
    /// The path by which it was found.
    path: String,
}

impl Grpc {
    /// Which method a request is for. The path is the one that the upstream would be sent.
    ///
    /// # Errors
    /// [`Error::NoRoute`] and [`Error::MethodNotAllowed`] where it is for none.
    pub fn admit<'a>(
        &'a self,
        service: &'a Service,
        protocol: Protocol,
        method: &str,
        path: &str,
    ) -> Result<Admitted<'a>, Error> {
        let plain = service.by_path(path);
        let call = |method, binding| {
            let path = path.to_owned();
            Ok(Admitted::Call(Box::new(Call { grpc: self, service, method, binding, protocol, path })))
        };
        if protocol != Protocol::Json {
            let rpc = plain.ok_or(Error::NoRoute)?;
            // Connect, "Unary-Get-Request": only for methods that change nothing.
            let allowed = method == "POST" || method == "GET" && is_without_side_effects(rpc);
            let streams = rpc.descriptor.is_client_streaming() || rpc.descriptor.is_server_streaming();
            return match protocol {
                // Connect, "Unary-Request" and "Streaming-Request": each kind of method has types of its own.
                Protocol::Connect(_) if streams => {
                    Err(types(["application/connect+proto", "application/connect+json"]))
                }
                Protocol::ConnectStream(_) if !streams => Err(types(["application/proto", "application/json"])),
                _ if !allowed => Err(Error::MethodNotAllowed { allow: vec!["POST".to_owned(), "OPTIONS".to_owned()] }),
                _ if protocol.is_native_to(self.dialect) => Ok(Admitted::Pass),
                // Its answer would need trailers, which only an upstream with trailers gives.
                Protocol::Grpc => Err(types(["application/grpc-web+proto", "application/connect+proto"])),
                _ => call(rpc, None),
            };
        }
        match service.tree.find(method, path) {
            Found::Number(number) => match service.binding(number) {
                Some((binding, rpc)) => call(rpc, Some(binding)),
                None => Err(Error::NoRoute),
            },
            Found::OtherMethods(mut allow) => {
                if !allow.iter().any(|method| method == "OPTIONS") {
                    allow.push("OPTIONS".to_owned());
                }
                Err(Error::MethodNotAllowed { allow })
            }
            Found::Nothing => match plain.filter(|rpc| rpc.plain) {
                Some(rpc) if method == "POST" => call(rpc, None),
                Some(_) => Err(Error::MethodNotAllowed { allow: vec!["POST".to_owned(), "OPTIONS".to_owned()] }),
                None => Err(Error::NoRoute),
            },
        }
    }
}

fn types(accept: [&str; 2]) -> Error {
    Error::UnsupportedMediaType { accept: accept.map(str::to_owned).into() }
}

fn is_without_side_effects(rpc: &Method) -> bool {
    let options = rpc.descriptor.method_descriptor_proto().options.as_ref();
    options.is_some_and(|options| {
        options.idempotency_level() == prost_types::method_options::IdempotencyLevel::NoSideEffects
    })
}

/// How many milliseconds the client will wait for the answer, where it says so.
pub fn client_deadline(headers: &Headers) -> Option<u64> {
    let grpc = || deadline::read(deadline::GRPC, headers.text(deadline::GRPC)?);
    let connect = || headers.text(CONNECT_TIMEOUT)?.parse().ok();
    grpc().or_else(connect)
}

const CONNECT_TIMEOUT: &str = "connect-timeout-ms";

impl Call<'_> {
    /// Whether the body of the request is part of the call.
    pub fn reads_body(&self) -> bool {
        self.binding.is_none_or(|binding| binding.body != BodyField::None)
    }

    /// What the upstream is sent, and for how many milliseconds it is told that anybody waits.
    ///
    /// # Errors
    /// Where the request is no call of the method.
    pub fn request(
        &self,
        query: Option<&str>,
        headers: &Headers,
        body: &Bytes,
        timeout: u64,
    ) -> Result<Substitute, Error> {
        let messages = match self.protocol {
            Protocol::Json => self.read_json(query, headers, body)?,
            Protocol::Connect(encoding) => {
                check_coding(headers, body)?;
                let message = match query.filter(|_| body.is_empty()) {
                    Some(query) => from_query(query)?,
                    None => body.to_vec(),
                };
                vec![self.encoded(encoding, message)?]
            }
            Protocol::GrpcWebText => {
                self.read_frames(&frame::from_text(body).map_err(|wrong| self.malformed(wrong))?)?
            }
            Protocol::ConnectStream(_) | Protocol::GrpcWeb | Protocol::Grpc => self.read_frames(body)?,
        };
        if messages.len() != 1 && !self.method.descriptor.is_client_streaming() {
            return Err(untranslatable(format!("the method takes one message, and there are {}", messages.len())));
        }
        let streams = self.streams();
        let mut body = Vec::new();
        match messages.as_slice() {
            [message] if self.grpc.dialect == Dialect::Connect && !streams => body.clone_from(message),
            messages => messages.iter().for_each(|message| frame::write(0, message, &mut body)),
        }
        let mut sent = self.metadata(headers);
        let timeout_is = |sent: &mut Headers| sent.set(deadline::GRPC, deadline::write(deadline::GRPC, timeout));
        match self.grpc.dialect {
            Dialect::Grpc => {
                sent.set("content-type", "application/grpc+proto");
                sent.set("te", "trailers");
                timeout_is(&mut sent);
            }
            Dialect::GrpcWeb => {
                sent.set("content-type", "application/grpc-web+proto");
                sent.set("accept", "application/grpc-web+proto");
                sent.set("x-grpc-web", "1");
                timeout_is(&mut sent);
            }
            Dialect::Connect => {
                sent.set("content-type", if streams { "application/connect+proto" } else { "application/proto" });
                sent.set("accept-encoding", "identity");
                sent.set("connect-protocol-version", "1");
                // At most ten digits.
                sent.set(CONNECT_TIMEOUT, timeout.min(9_999_999_999).to_string());
            }
        }
        sent.set("content-length", body.len().to_string());
        Ok(Substitute { target: format!("/{}", self.method.name), headers: sent, body: body.into() })
    }

    /// Whether the upstream's protocol sends this method's messages in frames, whatever their number.
    fn streams(&self) -> bool {
        self.method.descriptor.is_client_streaming() || self.method.descriptor.is_server_streaming()
    }

    /// The fields that go on as metadata.
    fn metadata(&self, headers: &Headers) -> Headers {
        let mut sent = Headers::new();
        for (name, value) in headers.iter() {
            let goes = match self.protocol {
                _ if is_about_client(name) => true,
                _ if is_of_protocol(name) => false,
                Protocol::Json => is_named(&self.grpc.request_metadata, name),
                Protocol::Connect(_)
                | Protocol::ConnectStream(_)
                | Protocol::GrpcWeb
                | Protocol::GrpcWebText
                | Protocol::Grpc => !is_of_browser(name),
            };
            if goes {
                sent.append(name, value);
            }
        }
        sent
    }

    fn read_json(&self, query: Option<&str>, headers: &Headers, body: &Bytes) -> Result<Vec<Vec<u8>>, Error> {
        let kind = self.method.descriptor.input();
        let mapping = self.grpc.mapping;
        let whole = BodyField::Whole;
        let field = self.binding.map_or(&whole, |binding| &binding.body);
        let media_type = media_type(headers);
        let many = self.method.descriptor.is_client_streaming();
        if self.reads_body() && !body.is_empty() {
            check_coding(headers, body)?;
            let is_known = is_json(&media_type) || many && is_lines(&media_type);
            if !is_known && !is_raw(&kind, field) {
                return Err(Error::UnsupportedMediaType { accept: vec!["application/json".to_owned()] });
            }
        }
        let mut messages = if many && *field == BodyField::Whole {
            mapping.all_from_json(&kind, body).map_err(untranslatable)?
        } else {
            vec![mapping.from_body(&kind, field, &media_type, body).map_err(untranslatable)?]
        };
        let captured = match self.binding {
            Some(binding) => binding
                .template
                .capture(&self.path)
                .map_err(|name| untranslatable(format!("`{name}` in the path is not UTF-8")))?,
            None => Vec::new(),
        };
        for message in &mut messages {
            self.set_others(message, query, &captured, field)?;
        }
        Ok(messages.iter().map(Message::encode_to_vec).collect())
    }

    /// Sets what query and path give.
    fn set_others(
        &self,
        message: &mut DynamicMessage,
        query: Option<&str>,
        captured: &[(&str, String)],
        body: &BodyField,
    ) -> Result<(), Error> {
        let bound = |field: &str| {
            let begins =
                |with: &str| field == with || field.strip_prefix(with).is_some_and(|rest| rest.starts_with('.'));
            match body {
                BodyField::Whole => true,
                BodyField::Field(name) => begins(name) || captured.iter().any(|(known, _)| *known == field),
                BodyField::None => captured.iter().any(|(known, _)| *known == field),
            }
        };
        if let Some(query) = query {
            self.grpc.mapping.set_query(message, query, bound).map_err(untranslatable)?;
        }
        for (name, text) in captured {
            let fields = message::path(&self.method.descriptor.input(), name)
                .ok_or_else(|| untranslatable(format!("`{name}`: there is no such field")))?;
            message::set(message, &fields, std::slice::from_ref(text))
                .map_err(|why| untranslatable(format!("`{name}` in the path: {why}")))?;
        }
        Ok(())
    }

    fn read_frames(&self, body: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
        let frames = Frames::of(body, self.most()).map_err(|wrong| self.malformed(wrong))?;
        let mut messages = Vec::with_capacity(frames.len());
        for frame in frames {
            if frame.flags & COMPRESSED != 0 {
                return Err(Error::UnsupportedContentCoding);
            }
            if frame.flags != 0 {
                return Err(untranslatable(format!("there is a frame with the flags {:#04x}", frame.flags)));
            }
            messages.push(self.encoded(self.protocol.encoding(), frame.data)?);
        }
        Ok(messages)
    }

    /// A message of the client in protobuf's binary form. One that comes so is the upstream's to judge.
    fn encoded(&self, encoding: Encoding, message: Vec<u8>) -> Result<Vec<u8>, Error> {
        match encoding {
            Encoding::Proto => Ok(message),
            Encoding::Json => {
                let message = self.grpc.mapping.from_json(&self.method.descriptor.input(), &message);
                message.map(|message| message.encode_to_vec()).map_err(untranslatable)
            }
        }
    }

    fn malformed(&self, wrong: Wrong) -> Error {
        match wrong {
            Wrong::TooLarge { .. } => Error::BodyTooLarge { limit: self.grpc.message_limit },
            Wrong::Truncated => untranslatable("the body ends in the middle of a message".to_owned()),
            Wrong::Base64 => untranslatable("the body is not Base64".to_owned()),
        }
    }

    fn most(&self) -> usize {
        usize::try_from(self.grpc.message_limit).unwrap_or(usize::MAX)
    }

    /// What the client gets of the upstream's answer. `asked` are the fields of its request.
    ///
    /// # Errors
    /// [`Error::UntranslatableResponse`] where that is none.
    pub async fn answer<P: Platform>(
        &self,
        platform: &P,
        response: Response<P::Stream>,
        asked: &Headers,
        request_id: String,
    ) -> Result<Response<P::Stream>, Error> {
        let Response { status, mut headers, body } = response;
        let gives_many = self.method.descriptor.is_server_streaming();
        let start = Reader::start(self.grpc.dialect, self.streams(), status, &headers, self.most());
        let mut reader = match start.map_err(refused)? {
            Start::Ended(end) => {
                pump::discard(platform, body);
                self.keep(&mut headers);
                return if gives_many && end.status.is_ok() {
                    self.flow(headers, Body::Empty, Reader::ended(end), asked, request_id)
                } else {
                    self.whole(headers, &[], end, request_id)
                };
            }
            Start::Body(reader) => reader,
        };
        self.keep(&mut headers);
        if gives_many && status == 200 {
            return self.flow(headers, body, reader, asked, request_id);
        }
        // The message, and what stands around it.
        let limit = self.most().saturating_add(ROOM);
        let (bytes, trailers) = match body {
            Body::Stream(stream) => platform.read_to_end(stream, limit).await.map_err(|error| {
                refused(Broken(match error {
                    ReadError::TooLarge => format!("the answer is longer than {limit} bytes"),
                    ReadError::Broken(why) => format!("the answer broke off: {why}"),
                }))
            })?,
            Body::Bytes(bytes) => (bytes, Headers::new()),
            Body::Empty | Body::Pumped(..) | Body::Made(_) => (Bytes::new(), Headers::new()),
        };
        let (messages, end) = read_whole(&mut reader, &bytes, trailers).map_err(refused)?;
        self.whole(headers, &messages, end, request_id)
    }

    fn flow<S>(
        &self,
        mut headers: Headers,
        body: Body<S>,
        reader: Reader,
        asked: &Headers,
        request_id: String,
    ) -> Result<Response<S>, Error> {
        let form = match self.protocol {
            Protocol::Json => {
                let form = self.grpc.stream.asked(asked);
                headers.set("content-type", form.content_type());
                headers.append("vary", "accept");
                // An event source must not be fed from a cache, nor by a proxy that gathers first.
                headers.set("cache-control", "no-cache");
                WriterForm::Json { form, begun: false, request_id, pool: self.service.pool.clone() }
            }
            protocol => {
                headers.set("content-type", protocol.content_type());
                WriterForm::Frames(protocol)
            }
        };
        let writer = Writer { form, mapping: self.grpc.mapping, kind: self.method.descriptor.output() };
        let flow = Flow { reader, writer };
        let body = match body {
            Body::Stream(stream) => Body::Pumped(stream, Pump::new(flow)),
            body => body.pumped(flow).map_err(refused)?,
        };
        Ok(Response { status: 200, headers, body })
    }

    /// The answer of a method that gives one message.
    fn whole<S>(
        &self,
        mut headers: Headers,
        messages: &[Vec<u8>],
        end: End,
        request_id: String,
    ) -> Result<Response<S>, Error> {
        let message = match (messages, end.status.is_ok()) {
            (_, false) => None,
            ([message], true) => Some(message.as_slice()),
            (messages, true) => {
                return Err(refused(Broken(format!("the answer has {} messages instead of one", messages.len()))));
            }
        };
        let kind = self.method.descriptor.output();
        if self.protocol != Protocol::Json {
            let json;
            let message = match (message, self.protocol.encoding()) {
                (Some(message), Encoding::Json) => {
                    json = self.grpc.mapping.to_json(&kind, message).map_err(|why| refused(Broken(why)))?;
                    Some(json.as_slice())
                }
                (message, _) => message,
            };
            return Ok(self.protocol.whole(headers, message, end));
        }
        for (name, value) in end.trailers.iter().filter(|(name, _)| is_named(&self.grpc.response_metadata, name)) {
            headers.append(name, value);
        }
        if !end.status.is_ok() {
            return Ok(self.failed(headers, &end.status, &request_id));
        }
        let field = self.binding.and_then(|binding| binding.response.as_deref());
        let (content_type, body) = match (message, field) {
            (None, _) => (String::new(), Vec::new()),
            (Some(message), None) if kind.full_name() == HTTP_BODY => {
                message::raw(&kind, message).map_err(|why| refused(Broken(why)))?
            }
            (Some(message), field) => {
                let json = match field {
                    Some(field) => self.grpc.mapping.field_to_json(&kind, message, field),
                    None => self.grpc.mapping.to_json(&kind, message),
                };
                ("application/json".to_owned(), json.map_err(|why| refused(Broken(why)))?)
            }
        };
        if content_type.is_empty() {
            headers.remove("content-type");
        } else {
            headers.set("content-type", content_type);
        }
        headers.set("content-length", body.len().to_string());
        Ok(Response { status: 200, headers, body: Body::Bytes(body.into()) })
    }

    /// A call that the service has failed: its own answer, and no failure of the gateway.
    fn failed<S>(&self, headers: Headers, status: &Status, request_id: &str) -> Response<S> {
        let failure = Failure::new(status, &self.service.pool);
        let problem: Response<S> = Error::Rpc(Box::new(failure)).into_response(request_id);
        let mut headers = headers;
        for (name, value) in problem.headers.iter() {
            headers.set(name, value);
        }
        Response { headers, ..problem }
    }

    /// Leaves of an upstream's fields those that the client gets.
    fn keep(&self, headers: &mut Headers) {
        let goes = |name: &str| match self.protocol {
            _ if KEPT.contains(&name) => true,
            _ if is_of_protocol(name) || name.starts_with("trailer-") => false,
            Protocol::Json => is_named(&self.grpc.response_metadata, name),
            Protocol::Connect(_)
            | Protocol::ConnectStream(_)
            | Protocol::GrpcWeb
            | Protocol::GrpcWebText
            | Protocol::Grpc => true,
        };
        let mut gone: Vec<String> =
            headers.iter().map(|(name, _)| name).filter(|name| !goes(name)).map(str::to_owned).collect();
        gone.sort_unstable();
        gone.dedup();
        gone.iter().for_each(|name| headers.remove(name));
    }
}

/// What stands around a message at most: trailers in the body, and its frame.
const ROOM: usize = (64 << 10) + 2 * frame::HEADER;

/// What is not metadata, and concerns HTTP between the gateway and its client.
const KEPT: [&str; 4] = ["date", "proxy-status", "set-cookie", "via"];

/// What tells of the client and of the request's way goes on in every case: [`announce`](crate::forward::announce) continues it.
fn is_about_client(name: &str) -> bool {
    matches!(name, "via" | "forwarded" | "user-agent") || name.starts_with("x-forwarded-")
}

/// What belongs to HTTP or to the protocol of a call, and is not metadata.
fn is_of_protocol(name: &str) -> bool {
    matches!(
        name,
        "accept"
            | "accept-encoding"
            | "connection"
            | "content-encoding"
            | "content-length"
            | "content-type"
            | "expect"
            | "host"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "x-grpc-web"
            | "x-user-agent"
    ) || name.starts_with("grpc-")
        || name.starts_with("connect-")
}

/// What browsers say of the page, and a service has no use for.
fn is_of_browser(name: &str) -> bool {
    matches!(
        name,
        "origin" | "referer" | "cookie" | "accept-language" | "dnt" | "pragma" | "cache-control" | "priority"
    ) || name.starts_with("sec-")
        || name.starts_with("access-control-")
        || name.starts_with("if-")
}

fn is_json(media_type: &str) -> bool {
    media_type == "application/json" || media_type.starts_with("application/") && media_type.ends_with("+json")
}

fn is_lines(media_type: &str) -> bool {
    matches!(
        media_type,
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/x-jsonlines"
    )
}

fn is_raw(kind: &MessageDescriptor, field: &BodyField) -> bool {
    match field {
        BodyField::None => false,
        BodyField::Whole => kind.full_name() == HTTP_BODY,
        BodyField::Field(name) => kind.get_field_by_name(name).is_some_and(|field| {
            matches!(field.kind(), Kind::Message(kind) if kind.full_name() == HTTP_BODY) && !field.is_list()
        }),
    }
}

fn check_coding(headers: &Headers, body: &Bytes) -> Result<(), Error> {
    let plain = headers.all("content-encoding").all(|coding| coding.eq_ignore_ascii_case(b"identity"));
    if plain || body.is_empty() { Ok(()) } else { Err(Error::UnsupportedContentCoding) }
}

/// Connect, "Unary-Get-Request": the message stands in the query.
fn from_query(query: &str) -> Result<Vec<u8>, Error> {
    if parameters(query, "compression").any(|coding| coding != "identity") {
        return Err(Error::UnsupportedContentCoding);
    }
    let message = parameters(query, "message").next().unwrap_or_default();
    if parameters(query, "base64").all(|truth| truth != "1") {
        return Ok(message.into_owned().into_bytes());
    }
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(message.trim_end_matches('='));
    bytes.map_err(|_| untranslatable("the message in the query is not Base64".to_owned()))
}

fn untranslatable(reason: String) -> Error {
    Error::UntranslatableRequest { reason }
}

fn refused(broken: Broken) -> Error {
    Error::UntranslatableResponse { reason: broken.0 }
}
