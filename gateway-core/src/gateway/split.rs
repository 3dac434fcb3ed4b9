//! A batch of JSON-RPC calls, of which each goes the rest of the way alone.

use super::{Gateway, Plan, Reply, Start};
use crate::http::Body;
use crate::json_rpc::{self, Fault};
use crate::platform::Platform;
use crate::policy::json_rpc::{Entry, Split};
use crate::pump;
use crate::request::Request;
use crate::route::Matched;
use crate::telemetry::watch::Watched;
use crate::together::{self, Task};

/// What came of one call: its answer, if anybody waits for one, and the reply that is left.
struct Done<S> {
    answer: Option<String>,
    reply: Option<Reply<S>>,
}

impl Gateway {
    /// Answers a batch. `request` is what the policies so far have left of it, and `start` where each call goes on.
    pub(super) async fn split<P: Platform>(
        &self,
        platform: &Watched<'_, P>,
        matched: &Matched<Plan>,
        request: &Request,
        start: &Start,
        split: Split,
    ) -> Reply<P::Stream> {
        let Split { entries, at_once, bytes } = split;
        let tasks = entries.into_iter().map(|entry| {
            let task: Task<'_, Done<P::Stream>> = match entry {
                Err(fault) => Box::pin(std::future::ready(Done { answer: Some(fault), reply: None })),
                Ok(entry) => Box::pin(self.one(platform, matched, request, start, entry, bytes)),
            };
            task
        });
        let done = together::all(tasks, at_once).await;
        let (mut answers, mut notes, mut deferred) = (Vec::with_capacity(done.len()), Vec::new(), Vec::new());
        for Done { answer, reply } in done {
            answers.extend(answer);
            if let Some(reply) = reply {
                notes.extend(reply.notes);
                deferred.extend(reply.deferred);
            }
        }
        let response = if answers.is_empty() {
            json_rpc::nothing(204)
        } else {
            json_rpc::respond(200, format!("[{}]", answers.join(",")))
        };
        Reply { notes, deferred, ..Reply::answer(response) }
    }

    async fn one<P: Platform>(
        &self,
        platform: &Watched<'_, P>,
        matched: &Matched<Plan>,
        request: &Request,
        start: &Start,
        Entry { called, body }: Entry,
        most: usize,
    ) -> Done<P::Stream> {
        let mut request = Request { upgrade: None, content_length: Some(body.len() as u64), ..request.clone() };
        request.headers.set("content-length", body.len().to_string());
        // What is packed could not be put together.
        request.headers.set("accept-encoding", "identity");
        let id = called.id.clone();
        let mut start = start.clone();
        start.memo.called = Some(called);
        let mut reply = self.follow_inner(platform, matched.clone(), request, Body::Bytes(body), start).await;
        let body = std::mem::replace(&mut reply.response.body, Body::Empty);
        let Some(id) = id else {
            pump::discard(platform, body);
            return Done { answer: None, reply: Some(reply) };
        };
        let status = reply.response.status;
        let answer = match pump::read(platform, body, most).await {
            Ok(body) => json_rpc::answer(status, &reply.response.headers, &body, &id),
            Err(_) => Fault::of_status(502, Some(&id)).to_json(),
        };
        Done { answer: Some(answer), reply: Some(reply) }
    }
}
