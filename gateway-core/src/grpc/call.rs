//! One call: which method a request is for, what the upstream is sent, and what the client gets of the answer.

use super::dialect::{
    Dialect, Encoding, End, Failure, Flow, Protocol, Reader, Start, Writer, WriterForm, media_type, read_whole,
};
use super::frame;
use super::message::{self, BodyField};
use super::status::{Code, Status};
use super::template::Found;
use super::upload::{Maker, Messages, Refusal, Upload, encoded, untranslatable};
use super::{Binding, Grpc, Method, Service, is_named};
use crate::error::Error;
use crate::gateway::Substitute;
use crate::http::{self, Body, Headers, Response, parameters};
use crate::platform::{Platform, ReadError};
use crate::pump::{self, Broken, Pump};
use crate::upstream::deadline;
use base64::Engine;
use bytes::Bytes;

/// What becomes of a request.
#[derive(Debug)]
pub enum Admitted<'a> {
    /// The upstream gets it as it is: both speak the same. Whether there may be many answers.
    Pass(bool),
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
    /// Which method a request is for. The path is the one that the upstream would be sent; `trailers` says whether the platform
    /// sends fields behind a body.
    ///
    /// # Errors
    /// [`Error::NoRoute`] and [`Error::MethodNotAllowed`] where it is for none, [`Error::UnsupportedMediaType`] where its
    /// client speaks what is not taken here.
    pub fn admit<'a>(
        &'a self,
        service: &'a Service,
        protocol: Protocol,
        method: &str,
        path: &str,
        trailers: bool,
    ) -> Result<Admitted<'a>, Error> {
        if !self.clients.takes(protocol.client()) {
            return Err(Error::UnsupportedMediaType { accept: self.clients.types() });
        }
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
                _ if protocol.is_native_to(self.dialect) => Ok(Admitted::Pass(rpc.descriptor.is_server_streaming())),
                // The status of its answer stands in trailers.
                Protocol::Grpc if !trailers => Err(types(["application/grpc-web+proto", "application/connect+proto"])),
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
    let connect = || headers.text(deadline::CONNECT)?.parse().ok();
    grpc().or_else(connect)
}

/// Says in the client's own field how many milliseconds are left, where it has said how long it will wait.
pub fn tell_what_is_left(headers: &mut Headers, left: u64) {
    if headers.text(deadline::GRPC).is_some_and(|said| deadline::read(deadline::GRPC, said).is_some()) {
        headers.set(deadline::GRPC, deadline::write(deadline::GRPC, left));
    }
    if headers.text(deadline::CONNECT).is_some_and(|said| said.parse::<u64>().is_ok()) {
        headers.set(deadline::CONNECT, connect_timeout(left));
    }
}

/// At most ten digits (Connect, "Unary-Request").
fn connect_timeout(milliseconds: u64) -> String {
    milliseconds.min(9_999_999_999).to_string()
}

impl Call<'_> {
    /// Whether the body of the request is part of the call.
    pub fn reads_body(&self) -> bool {
        self.binding.is_none_or(|binding| binding.body != BodyField::None)
    }

    /// Whether the body has messages in any number, which go on as they come.
    pub fn takes_many(&self) -> bool {
        self.method.descriptor.is_client_streaming() && self.reads_body()
    }

    /// Whether there may be many answers: the last of them may come long after the head.
    pub fn gives_many(&self) -> bool {
        self.method.descriptor.is_server_streaming()
    }

    /// What makes of a body of many messages the one that the upstream is sent, and says why where it cannot.
    ///
    /// # Errors
    /// Where no body could be one, as far as the request's head tells.
    pub fn upload(&self, query: Option<&str>, headers: &Headers, is_empty: bool) -> Result<(Upload, Refusal), Error> {
        Ok(Upload::new(match self.protocol {
            Protocol::Json => {
                self.check_type(headers, is_empty)?;
                Messages::of_json(self.maker(query, headers)?, self.most())
            }
            protocol => self.frames(protocol),
        }))
    }

    /// The body that the upstream is sent for one of one message.
    ///
    /// # Errors
    /// Where the request is no call of the method.
    pub fn message(&self, query: Option<&str>, headers: &Headers, body: &Bytes) -> Result<Bytes, Error> {
        let message = match self.protocol {
            Protocol::Json => {
                self.check_type(headers, body.is_empty())?;
                self.maker(query, headers)?.make(body)?
            }
            Protocol::Connect(encoding) => {
                check_coding(headers, body.is_empty())?;
                let message = match query.filter(|_| body.is_empty()) {
                    Some(query) => from_query(query)?,
                    None => body.to_vec(),
                };
                encoded(message, encoding, self.grpc.mapping, &self.method.descriptor.input())?
            }
            protocol => self.frames(protocol).only(body)?,
        };
        if self.grpc.dialect == Dialect::Connect && !self.streams() {
            return Ok(message.into());
        }
        let mut framed = Vec::new();
        frame::write(0, &message, &mut framed);
        Ok(framed.into())
    }

    /// What the upstream is sent with this body, and for how many milliseconds it is told that anybody waits, if it is.
    pub fn request<S>(&self, headers: &Headers, body: Body<S>, timeout: Option<u64>) -> Substitute<S> {
        let streams = self.streams();
        let mut sent = self.metadata(headers);
        match self.grpc.dialect {
            Dialect::Grpc => {
                sent.set("content-type", "application/grpc+proto");
                sent.set("te", "trailers");
            }
            Dialect::GrpcWeb => {
                sent.set("content-type", "application/grpc-web+proto");
                sent.set("accept", "application/grpc-web+proto");
                sent.set("x-grpc-web", "1");
            }
            Dialect::Connect => {
                sent.set("content-type", if streams { "application/connect+proto" } else { "application/proto" });
                sent.set("accept-encoding", "identity");
                sent.set("connect-protocol-version", "1");
            }
        }
        match (timeout, self.grpc.dialect) {
            (None, _) => {}
            (Some(timeout), Dialect::Connect) => sent.set(deadline::CONNECT, connect_timeout(timeout)),
            (Some(timeout), _) => sent.set(deadline::GRPC, deadline::write(deadline::GRPC, timeout)),
        }
        match &body {
            Body::Bytes(bytes) => sent.set("content-length", bytes.len().to_string()),
            Body::Empty | Body::Stream(_) | Body::Pumped(..) | Body::Made(_) => {}
        }
        Substitute { target: format!("/{}", self.method.name), headers: sent, body }
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

    /// Whether a JSON client's body is of a kind that can be read.
    fn check_type(&self, headers: &Headers, is_empty: bool) -> Result<(), Error> {
        if is_empty || !self.reads_body() {
            return Ok(());
        }
        check_coding(headers, is_empty)?;
        let media_type = media_type(headers);
        let is_known = is_json(&media_type) || self.takes_many() && is_lines(&media_type);
        if is_known || message::is_raw(&self.method.descriptor.input(), self.body()) {
            Ok(())
        } else {
            Err(Error::UnsupportedMediaType { accept: vec!["application/json".to_owned()] })
        }
    }

    /// What a JSON client's body gives.
    fn body(&self) -> &BodyField {
        self.binding.map_or(&BodyField::Whole, |binding| &binding.body)
    }

    fn maker(&self, query: Option<&str>, headers: &Headers) -> Result<Maker, Error> {
        let captured = match self.binding {
            Some(binding) => binding
                .template
                .capture(&self.path)
                .map_err(|name| untranslatable(format!("`{name}` in the path is not UTF-8")))?,
            None => Vec::new(),
        };
        let kind = self.method.descriptor.input();
        Maker::new(self.grpc.mapping, kind, self.body().clone(), media_type(headers), query, captured)
    }

    fn frames(&self, protocol: Protocol) -> Messages {
        Messages::of_frames(protocol, self.grpc.mapping, self.method.descriptor.input(), self.most())
    }

    fn most(&self) -> usize {
        usize::try_from(self.grpc.message_limit).unwrap_or(usize::MAX)
    }

    /// What the client gets of the upstream's answer. `asked` are the fields of its request; `late` says whether the time was over when
    /// it came.
    ///
    /// # Errors
    /// [`Error::UntranslatableResponse`] where that is none.
    pub async fn answer<P: Platform>(
        &self,
        platform: &P,
        response: Response<P::Stream>,
        asked: &Headers,
        late: bool,
        request_id: String,
    ) -> Result<Response<P::Stream>, Error> {
        let Response { status, mut headers, body } = response;
        let timely = |mut end: End| {
            // Some servers say that they have ended a call themselves, and not why.
            if late && end.status.code == Code::CANCELLED {
                end.status.code = Code::DEADLINE_EXCEEDED;
            }
            end
        };
        let gives_many = self.gives_many();
        let start = Reader::start(self.grpc.dialect, self.streams(), status, &headers, self.most());
        let is_packed = |coding: &str| !coding.eq_ignore_ascii_case("identity") && !platform.decodes(coding);
        if status == 200 && http::list(&headers, "content-encoding").any(is_packed) {
            return Err(refused(Broken("the upstream packed its answer, which nobody asked for".to_owned())));
        }
        let mut reader = match start.map_err(refused)? {
            Start::Ended(end) => {
                let end = timely(end);
                pump::discard(platform, body);
                self.keep(&mut headers);
                return match self.protocol {
                    // Nothing stands behind a body that is not sent: of gRPC it is the head that says how the call ended.
                    Protocol::Grpc => Ok(self.protocol.whole(headers, None, end)),
                    _ if gives_many && end.status.is_ok() => {
                        self.flow(headers, Body::Empty, Reader::ended(end), asked, request_id)
                    }
                    _ => self.whole(headers, &[], end, request_id),
                };
            }
            Start::Body(reader) => reader,
        };
        self.keep(&mut headers);
        // The status of gRPC stands behind the body, which only a stream has something behind.
        let is_stream = matches!(body, Body::Stream(_));
        if gives_many && status == 200 || self.protocol == Protocol::Grpc && is_stream {
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
        self.whole(headers, &messages, timely(end), request_id)
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
        let given = field.map_or(BodyField::Whole, |field| BodyField::Field(field.to_owned()));
        let (content_type, body) = match (message, field) {
            (None, _) => (String::new(), Vec::new()),
            (Some(message), field) if message::is_raw(&kind, &given) => {
                message::raw(&kind, message, field).map_err(|why| refused(Broken(why)))?
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

fn check_coding(headers: &Headers, is_empty: bool) -> Result<(), Error> {
    let plain = headers.all("content-encoding").all(|coding| coding.eq_ignore_ascii_case(b"identity"));
    if plain || is_empty { Ok(()) } else { Err(Error::UnsupportedContentCoding) }
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

fn refused(broken: Broken) -> Error {
    Error::UntranslatableResponse { reason: broken.0 }
}
