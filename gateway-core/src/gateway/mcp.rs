//! What a route that serves tools does with a request.

use super::inner::Inner;
use super::{Gateway, Note, Reply};
use crate::answer;
use crate::error::Error;
use crate::http::{Body, Headers, Response};
use crate::json::Kind;
use crate::json_rpc::{
    self, Content, Fault, INVALID_PARAMS, INVALID_REQUEST, Limits, METHOD_NOT_FOUND, Message, quoted,
};
use crate::mcp::{self, Asked, Mcp, arguments::Built, result};
use crate::platform::{Platform, ReadError};
use crate::policy::Deferred;
use crate::pump;
use crate::request;
use crate::telemetry::watch::Watched;
use crate::together::{self, Task};
use crate::validation;

/// What came of a message: its answer, if anybody waits for one, and what the requests that it made have left.
#[derive(Default)]
struct Done {
    answer: Option<String>,
    left: Left,
}

/// What is to be done afterwards, and what the log should hear.
type Left = (Vec<Deferred>, Vec<Note>);

impl Gateway {
    /// Answers what a client of tools has sent.
    pub(super) async fn mcp<P: Platform>(
        &self,
        platform: &Watched<'_, P>,
        mcp: &Mcp,
        asked: Asked<'_>,
        body: Body<P::Stream>,
    ) -> Reply<P::Stream> {
        let route = asked.route;
        match self.messages(platform, mcp, asked, body).await {
            Ok(reply) => reply,
            Err(error) => Reply::because(platform, error, route),
        }
    }

    async fn messages<P: Platform>(
        &self,
        platform: &Watched<'_, P>,
        mcp: &Mcp,
        asked: Asked<'_>,
        body: Body<P::Stream>,
    ) -> Result<Reply<P::Stream>, Error> {
        let headers = &asked.headers;
        if !mcp.lets_in(headers) {
            let reason = "Pages of this origin may not call the tools that are here.".to_owned();
            return Err(Error::Forbidden { reason, challenge: None });
        }
        match asked.line.method.as_str() {
            "POST" => {}
            "OPTIONS" => return Ok(Reply::answer(answer::options(&[String::from("POST"), String::from("OPTIONS")]))),
            // There is no stream that the server would speak on by itself, and no session that could be ended.
            _ => return Err(Error::MethodNotAllowed { allow: vec!["POST".to_owned(), "OPTIONS".to_owned()] }),
        }
        if !headers.is_json() || headers.all("content-type").count() != 1 {
            return Err(Error::UnsupportedMediaType { accept: vec!["application/json".to_owned()] });
        }
        if !validation::is_plain(headers) {
            return Err(Error::UnsupportedContentCoding);
        }
        let text = request::whole(platform, body, headers.content_length(), mcp.request_bytes).await?;
        let refused = |fault: Fault| Error::JsonRpc(Box::new(fault));
        let limits = Limits { batch: mcp::LARGEST_BATCH, depth: mcp::DEEPEST };
        let parts = json_rpc::parts(&text, &limits).map_err(refused)?;
        let content = json_rpc::read(&text, &parts, &limits).map_err(refused)?;
        let version = mcp::version(headers);
        // Only when that is answered do both sides know which one they speak.
        let begins = matches!(&content, Content::Single(message) if message.method.as_deref() == Some("initialize"));
        let version = match version {
            Some(version) => version,
            None if begins => mcp::VERSIONS[0],
            None => {
                let known = mcp::VERSIONS.join(", ");
                return Err(refused(Fault::new(
                    INVALID_REQUEST,
                    format!("MCP-Protocol-Version is none that is known here: {known}."),
                )));
            }
        };
        let (messages, batch) = match content {
            Content::Single(message) => (vec![Ok(message)], false),
            Content::Batch(messages) if mcp::takes_batches(version) => (messages, true),
            Content::Batch(_) => {
                let why = format!("This version of the protocol, {version}, has no batches.");
                return Err(refused(Fault::new(INVALID_REQUEST, why)));
            }
        };
        let asked = &asked;
        let tasks = messages.into_iter().map(|message| {
            let task: Task<'_, Done> = Box::pin(self.message(platform, mcp, asked, message, batch));
            task
        });
        let done = together::all(tasks, mcp::AT_ONCE).await;
        let (mut answers, mut notes, mut deferred) = (Vec::with_capacity(done.len()), Vec::new(), Vec::new());
        for Done { answer, left } in done {
            answers.extend(answer);
            deferred.extend(left.0);
            notes.extend(left.1);
        }
        Ok(Reply { notes, deferred, ..Reply::answer(mcp::gathered(&answers, batch)) })
    }

    async fn message<P: Platform>(
        &self,
        platform: &Watched<'_, P>,
        mcp: &Mcp,
        asked: &Asked<'_>,
        message: Result<Message<'_>, Fault>,
        batch: bool,
    ) -> Done {
        let message = match message {
            Ok(message) => message,
            Err(fault) => return Done { answer: Some(fault.to_json()), ..Done::default() },
        };
        // An answer, or a notification such as that a call is not waited for any more: a request that ends does the same.
        let (Some(method), Some(id)) = (message.method.as_deref(), message.id) else {
            return Done::default();
        };
        let mut left = Left::default();
        let result = if id == "null" {
            Err(Fault::new(INVALID_REQUEST, "`id` is null."))
        } else {
            match method {
                "initialize" if batch => Err(Fault::new(INVALID_REQUEST, "`initialize` is no part of a batch.")),
                "initialize" => match text(&message, "protocolVersion") {
                    Ok(Some(wanted)) => Ok(mcp.initialize(mcp::negotiate(&wanted))),
                    Ok(None) => Err(Fault::new(INVALID_PARAMS, "`protocolVersion` is missing.")),
                    Err(fault) => Err(fault),
                },
                "ping" => Ok("{}".to_owned()),
                "tools/list" => text(&message, "cursor").and_then(|cursor| mcp.list(cursor.as_deref())),
                // Boxed, so that the others need not carry its size around.
                "tools/call" => Box::pin(self.tool(platform, mcp, asked, &message, &mut left)).await,
                _ => Err(Fault::new(METHOD_NOT_FOUND, format!("There is no method {}.", quoted(method)))),
            }
        };
        let answer = match result {
            Ok(result) => format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}"),
            Err(fault) => fault.for_call(Some(id)).to_json(),
        };
        Done { answer: Some(answer), left }
    }

    /// Calls a tool: asks this gateway as its caller would.
    async fn tool<P: Platform>(
        &self,
        platform: &Watched<'_, P>,
        mcp: &Mcp,
        asked: &Asked<'_>,
        message: &Message<'_>,
        left: &mut Left,
    ) -> Result<String, Fault> {
        let name = text(message, "name")?.ok_or_else(|| Fault::new(INVALID_PARAMS, "`name` is missing."))?;
        let Some(tool) = mcp.tool(&name) else {
            return Err(Fault::new(INVALID_PARAMS, format!("There is no tool {}.", quoted(&name))));
        };
        let json = message.json();
        let arguments = message.param("arguments");
        if arguments.is_some_and(|arguments| json.kind(arguments) != Kind::Object) {
            return Err(Fault::new(INVALID_PARAMS, "`arguments` is an object."));
        }
        // What is wrong with them is for the model to read, so that it can do better.
        let Built { target, fields, body } = match tool.build(&self.validation.schemas, json, arguments) {
            Ok(built) => built,
            Err(sentences) => return Ok(result::failed(&sentences)),
        };
        let mut headers = asked.credentials.as_ref().map_or_else(Headers::new, mcp::carried);
        headers.set("accept", "application/json, */*;q=0.5");
        // What is packed could not be told.
        headers.set("accept-encoding", "identity");
        for (name, value) in tool.headers.iter().chain(&fields) {
            headers.set(name, value);
        }
        let body = match body {
            Some((media_type, bytes)) => {
                headers.set("content-type", media_type);
                headers.set("content-length", bytes.len().to_string());
                Body::Bytes(bytes)
            }
            None => Body::Empty,
        };
        let line = match &mcp.host {
            Some(host) => &crate::request::Line {
                authority: host.clone(),
                host: host.split(':').next().unwrap_or_default().to_owned(),
                ..asked.line.clone()
            },
            None => asked.line,
        };
        let inner = Inner {
            line,
            client: asked.client,
            depth: asked.depth.saturating_add(1),
            route: asked.route,
            method: tool.method.clone(),
            target: target.clone(),
            headers,
            body,
            until: None,
        };
        let mut reply = self.handle_inner(platform, inner).await;
        if reply.response.headers.is_event_stream() {
            // It may never end.
            pump::discard(platform, std::mem::replace(&mut reply.response.body, Body::Empty));
            *left = self.let_go(platform, reply.deferred, false).await;
            left.1.extend(reply.notes);
            return Ok(result::failed(&["The answer is a stream of events, which no tool can give.".to_owned()]));
        }
        let most = usize::try_from(mcp.answer_bytes).unwrap_or(usize::MAX);
        let read = self.read_inner(platform, &mut reply, most, None).await;
        *left = self.let_go(platform, std::mem::take(&mut reply.deferred), read.is_ok()).await;
        left.1.append(&mut reply.notes);
        let Response { status, headers, .. } = &reply.response;
        let told = match read {
            Ok(body) => {
                let uri = format!("{}://{}{target}", asked.client.scheme, line.authority);
                result::of(tool, &self.validation.schemas, &uri, *status, headers, &body)
            }
            Err(ReadError::TooLarge) => {
                result::failed(&[format!("The answer is longer than the {most} bytes that a tool can give.")])
            }
            Err(ReadError::Broken(_)) => result::failed(&["The answer broke off.".to_owned()]),
        };
        Ok(told)
    }
}

/// One of the parameters, which is a text if it is there.
fn text(message: &Message<'_>, name: &'static str) -> Result<Option<String>, Fault> {
    let Some(part) = message.param(name) else { return Ok(None) };
    if message.json().kind(part) == Kind::Text {
        return Ok(Some(message.json().text(part).into_owned()));
    }
    Err(Fault::new(INVALID_PARAMS, format!("`{name}` is a string.")))
}
