//! A batch of JSON-RPC calls, of which each goes the rest of the way alone.

use super::{Gateway, Note, Plan, Reply, Start};
use crate::http::{Body, Headers, Response};
use crate::json_rpc::{self, Fault};
use crate::platform::Platform;
use crate::policy::Deferred;
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
        let names = self.key_fields(matched);
        let names = names.as_slice();
        let tasks = (1..).zip(entries).map(|(number, entry)| {
            let task: Task<'_, Done> = match entry {
                Err(fault) => Box::pin(std::future::ready(Done { answer: Some(fault), ..Done::default() })),
                Ok(entry) => {
                    let mut request = request.clone();
                    names.iter().for_each(|name| number_key(&mut request.headers, name, number));
                    Box::pin(self.one(platform, matched, request, start, entry, bytes))
                }
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

    /// The fields in which clients say under which key something is done once.
    fn key_fields(&self, matched: &Matched<Plan>) -> Vec<String> {
        #[cfg_attr(not(feature = "idempotency"), allow(unused_mut))]
        let mut names = vec!["idempotency-key".to_owned()];
        #[cfg(feature = "idempotency")]
        for policy in self.policies.get(matched.route.then.policies).iter().flat_map(|policies| policies.iter()) {
            if let crate::policy::Policy::Idempotency(policy) = policy
                && !names.contains(&policy.header)
            {
                names.push(policy.header.clone());
            }
        }
        #[cfg(not(feature = "idempotency"))]
        let _ = matched;
        names
    }

    async fn one<P: Platform>(
        &self,
        platform: &Watched<'_, P>,
        matched: &Matched<Plan>,
        request: Request,
        start: &Start,
        Entry { called, body }: Entry,
        most: usize,
    ) -> Done {
        let mut request = Request { upgrade: None, content_length: Some(body.len() as u64), ..request };
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

/// Gives a call of a batch a key of its own: that of the batch, and the number of the call in it. Under one key there is one call.
fn number_key(headers: &mut Headers, name: &str, number: usize) {
    let lines: Vec<&[u8]> = headers.all(name).collect();
    // Two of them are no key, and stay none.
    let [line] = lines.as_slice() else { return };
    let (key, end) = match line.trim_ascii_end() {
        [key @ .., b'"'] => (key, "\""),
        key => (key, ""),
    };
    let key = [key, format!(".{number}{end}").as_bytes()].concat();
    headers.set(name, key);
}
