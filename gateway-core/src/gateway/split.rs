//! A batch of JSON-RPC calls, of which each goes the rest of the way alone.

use super::{Deferred, Gateway, Note, Plan, Reply, Start};
use crate::http::{Body, Response};
use crate::json_rpc::{self, Fault};
use crate::platform::Platform;
use crate::policy::json_rpc::{Entry, Split};
use crate::pump;
use crate::request::Request;
use crate::route::Matched;
use crate::telemetry::watch::Watched;
use crate::together::{self, Task};

/// What came of one call: its answer, if anybody waits for one, and what is left of its reply.
#[derive(Default)]
struct Done {
    answer: Option<String>,
    notes: Vec<Note>,
    deferred: Vec<Deferred>,
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
            let task: Task<'_, Done> = match entry {
                Err(fault) => Box::pin(std::future::ready(Done { answer: Some(fault), ..Done::default() })),
                Ok(entry) => Box::pin(self.one(platform, matched, request, start, entry, bytes)),
            };
            task
        });
        let done = together::all(tasks, at_once).await;
        let (mut answers, mut notes, mut deferred) = (Vec::with_capacity(done.len()), Vec::new(), Vec::new());
        for done in done {
            answers.extend(done.answer);
            notes.extend(done.notes);
            deferred.extend(done.deferred);
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
    ) -> Done {
        let mut request = Request { upgrade: None, content_length: Some(body.len() as u64), ..request.clone() };
        request.headers.set("content-length", body.len().to_string());
        // What is packed could not be put together.
        request.headers.set("accept-encoding", "identity");
        let id = called.id.clone();
        let mut start = start.clone();
        start.memo.called = Some(called);
        let reply = self.follow_inner(platform, matched.clone(), request, Body::Bytes(body), start).await;
        let Reply { response: Response { status, headers, body }, mut notes, deferred, .. } = reply;
        let (answer, whole) = match id {
            None => {
                pump::discard(platform, body);
                (None, false)
            }
            Some(id) => match pump::read(platform, body, most).await {
                Ok(body) => (Some(json_rpc::answer(status, &headers, &body, &id)), true),
                Err(_) => (Some(Fault::of_status(502, Some(&id)).to_json()), false),
            },
        };
        let (deferred, more) = self.let_go(platform, deferred, whole).await;
        notes.extend(more);
        Done { answer, notes, deferred }
    }
}
