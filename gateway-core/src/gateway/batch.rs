//! Answers each of several requests in one as if it had come by itself.

use super::inner::{GRACE, Inner};
use super::{Gateway, Note, Reply};
use crate::compose::Batch;
use crate::compose::batch::{self, ALWAYS_INHERITED, Answered, Item};
use crate::compose::call::FORWARDED;
use crate::error::Error;
use crate::http::{self, Body, Headers, Response};
use crate::platform::{Platform, ReadError, Timestamp};
use crate::policy::Deferred;
use crate::pump;
use crate::request;
use crate::telemetry::watch::Watched;
use crate::template::Scope;
use crate::together::{self, Task};
use crate::upstream::{self, First};
use bytes::Bytes;
use std::pin::pin;
use std::time::Duration;

/// What a batch takes of its request.
pub(super) struct Batching<'a, S> {
    /// What was configured.
    pub batch: &'a Batch,
    /// The fields as they came: what policies have taken away goes with the single requests all the same.
    pub headers: &'a Headers,
    /// The body.
    pub body: Body<S>,
    /// How many bytes that may have.
    pub body_limit: Option<u64>,
    /// How many requests it is within.
    pub depth: u8,
}

impl Gateway {
    /// Answers all requests of a batch.
    pub(super) async fn batch<P: Platform>(
        &self,
        platform: &Watched<'_, P>,
        batching: Batching<'_, P::Stream>,
        scope: &Scope<'_>,
    ) -> Reply<P::Stream> {
        let Batching { batch, headers, body, body_limit, depth } = batching;
        let refuse = |error| Reply::fail(platform, error, Some(scope.route), String::new());
        if depth > 0 {
            return refuse(Error::BadBatch { reason: "A batch cannot be a request of another one.".to_owned() });
        }
        if scope.line.method != "POST" {
            return refuse(Error::MethodNotAllowed { allow: vec!["POST".to_owned()] });
        }
        if !headers.is_json() {
            return refuse(Error::UnsupportedMediaType { accept: vec!["application/json".to_owned()] });
        }
        let limit = body_limit.map_or(batch.limit, |limit| limit.min(batch.limit));
        let text = request::whole(platform, body, headers.content_length(), limit).await;
        let items = match text.and_then(|text| batch.read(&text)) {
            Ok(items) => items,
            Err(error) => return refuse(error),
        };
        let until = platform.now().saturating_add(batch.timeout);
        let answers = items.into_iter().map(|item| -> Task<'_, (Answered, Vec<Deferred>, Vec<Note>)> {
            Box::pin(self.answer_item(platform, batch, item, headers, scope, until))
        });
        let mut reply = Reply::answer(Response { status: 200, headers: Headers::new(), body: Body::Empty });
        let mut answered = Vec::new();
        for (answer, deferred, notes) in together::all(answers, batch.parallel as usize).await {
            answered.push(answer);
            reply.deferred.extend(deferred);
            reply.notes.extend(notes);
        }
        let body = Bytes::from(batch::write(&answered));
        let response = &mut reply.response;
        response.headers.set("content-type", "application/json");
        // It is made of what single requests would have got, each of which may be for this client alone.
        response.headers.set("cache-control", "no-store");
        response.headers.set("content-length", body.len().to_string());
        response.body = Body::Bytes(body);
        reply
    }

    async fn answer_item<P: Platform>(
        &self,
        platform: &Watched<'_, P>,
        batch: &Batch,
        item: Result<Item, String>,
        outer: &Headers,
        scope: &Scope<'_>,
        until: Timestamp,
    ) -> (Answered, Vec<Deferred>, Vec<Note>) {
        let refused = |error: Error| {
            let reply: Reply<P::Stream> = Reply::fail(platform, error, Some(scope.route), String::new());
            (at_once(reply.response), Vec::new(), reply.notes)
        };
        let item = match item.map_err(|reason| Error::BadBatch { reason }).and_then(|item| {
            request::check_method(&item.method)?;
            Ok(item)
        }) {
            Ok(item) => item,
            Err(error) => return refused(error),
        };
        if platform.now() >= until {
            return refused(Error::UpstreamTimeout);
        }
        let Item { method, target, headers, body } = item;
        let inner = Inner {
            line: scope.line,
            client: scope.client,
            depth: 1,
            route: scope.route,
            method,
            target,
            headers: fields(batch, headers, outer, scope.client.through_trusted, body.as_ref()),
            body: body.map_or(Body::Empty, Body::Bytes),
            until: Some(until),
        };
        let (route, is_head) = (inner.route, inner.method == "HEAD");
        let mut reply = self.handle_inner(platform, inner).await;
        let most = usize::try_from(batch.answer).unwrap_or(usize::MAX);
        let is_made = matches!(reply.response.body, Body::Made(_));
        let (body, whole) = if !is_made && (is_head || matches!(reply.response.status, 204 | 304)) {
            pump::discard(platform, std::mem::replace(&mut reply.response.body, Body::Empty));
            (Ok(Bytes::new()), false)
        } else {
            // What is made here ends by itself, and is written down when it has.
            let left = until.saturating_sub(platform.now()).saturating_add(if is_made { GRACE } else { 0 });
            let reading = pin!(self.read_inner(platform, &mut reply, most, Some(until)));
            let read = upstream::first(reading, pin!(platform.sleep(Duration::from_millis(left)))).await;
            let failed = |detail: String, reason: String| Error::CompositionFailed { status: 502, detail, reason };
            let body = match read {
                First::One(Ok(bytes)) => Ok(bytes),
                First::One(Err(ReadError::TooLarge)) => {
                    let detail = format!("The answer is longer than the {most} bytes that a batch takes.");
                    Err(failed(detail.clone(), detail))
                }
                First::One(Err(ReadError::Broken(why))) => {
                    Err(failed("The answer broke off.".to_owned(), format!("the answer broke off: {why}")))
                }
                First::Other(()) => Err(Error::UpstreamTimeout),
            };
            let whole = body.is_ok();
            (body, whole)
        };
        let Reply { response: Response { status, mut headers, .. }, mut notes, deferred, .. } = reply;
        let (deferred, more) = self.let_go(platform, deferred, whole).await;
        notes.extend(more);
        match body {
            Ok(body) => {
                // What the platform has unpacked is not packed any more.
                if http::list(&headers, "content-encoding").all(|coding| platform.decodes(coding)) {
                    headers.remove("content-encoding");
                }
                (Answered { status, headers, body }, deferred, notes)
            }
            Err(error) => {
                let reply: Reply<P::Stream> = Reply::because(platform, error, route);
                notes.extend(reply.notes);
                (at_once(reply.response), deferred, notes)
            }
        }
    }
}

/// An answer of the gateway's own, which is in memory.
fn at_once<S>(response: Response<S>) -> Answered {
    let Response { status, headers, body } = response;
    let body = if let Body::Bytes(bytes) = body { bytes } else { Bytes::new() };
    Answered { status, headers, body }
}

/// The fields of one request: its own, and those that it has from the batch's.
fn fields(
    batch: &Batch,
    own: Vec<(String, String)>,
    outer: &Headers,
    through_trusted: bool,
    body: Option<&Bytes>,
) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in &own {
        headers.append(name, value);
    }
    // What trusted proxies say of the client is true of each of its requests.
    let hops: &[&str] = if through_trusted { &FORWARDED } else { &[] };
    for name in batch.inherit.iter().map(String::as_str).chain(ALWAYS_INHERITED).chain(hops.iter().copied()) {
        // It has one of its own, or this one is named twice.
        if headers.contains(name) {
            continue;
        }
        let lines: Vec<Vec<u8>> = outer.all(name).map(<[u8]>::to_vec).collect();
        lines.iter().for_each(|line| headers.append(name, line));
    }
    if let Some(body) = body {
        headers.set("content-length", body.len().to_string());
    }
    headers
}
