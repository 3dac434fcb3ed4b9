//! What the gateway answers with, and what the log hears of it.

use crate::error::{Blame, Error};
use crate::http::Response;
use crate::platform::Platform;
use crate::policy::Deferred;
use crate::pump::Broken;
use serde::Serialize;

/// A response, always, and what is left to do when it has been sent.
#[derive(Debug)]
pub struct Reply<S> {
    /// For the client.
    pub response: Response<S>,
    /// For the log, where something went wrong that the client is not to blame for.
    pub notes: Vec<Note>,
    /// What nobody waits for: see [`Gateway::settle`](super::Gateway::settle).
    pub deferred: Vec<Deferred>,
    /// The status of the problem that the gateway has answered with, for want of another answer. One from a cache may have come in its
    /// place since.
    pub refused: Option<u16>,
}

/// A line for the log, written as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// The problem's code.
    pub problem: &'static str,
    /// The status that the client got; 0 where the answer had been sent before.
    pub status: u16,
    /// Stands in the problem details too.
    pub request_id: String,
    /// The route that was taken.
    pub route: Option<String>,
    /// What happened, in words that are not for the client.
    pub detail: String,
}

/// Who has made a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The gateway.
    Gateway,
    /// An upstream.
    Upstream,
    /// The gateway, for want of an answer: but an upstream may have done what was asked for.
    Lost,
}

/// The name of a route, where there is one.
fn named(route: &str) -> Option<String> {
    (!route.is_empty()).then(|| route.to_owned())
}

impl Note {
    /// Something that is said of a request, or behind one.
    pub(super) fn of<P: Platform>(
        platform: &P,
        problem: &'static str,
        status: u16,
        route: &str,
        detail: String,
    ) -> Self {
        Self { problem, status, request_id: platform.request_id(), route: named(route), detail }
    }

    /// A body that broke off after its head had been sent.
    pub fn broken(broken: &Broken) -> Self {
        let (problem, detail) = ("broken-body", broken.to_string());
        Self { problem, status: 0, request_id: String::new(), route: None, detail }
    }
}

impl<S> Reply<S> {
    pub(crate) fn answer(response: Response<S>) -> Self {
        Self { response, notes: Vec::new(), deferred: Vec::new(), refused: None }
    }

    /// A refusal for a reason that the error itself tells.
    pub(crate) fn because<P: Platform<Stream = S>>(platform: &P, error: Error, route: &str) -> Self {
        let detail = error.reason().to_owned();
        Self::fail(platform, error, Some(route), detail)
    }

    /// A configuration that is not whole.
    pub(super) fn internal<P: Platform<Stream = S>>(platform: &P, route: &str, reason: String) -> Self {
        Self::because(platform, Error::Internal { reason }, route)
    }

    /// A refusal that happened before any route was found.
    pub fn refuse<P: Platform<Stream = S>>(platform: &P, error: Error) -> Self {
        Self::fail(platform, error, None, String::new())
    }

    /// A problem for the client, and a note for the log where the client is not to blame.
    pub fn fail<P: Platform<Stream = S>>(platform: &P, error: Error, route: Option<&str>, detail: String) -> Self {
        let request_id = platform.request_id();
        let (status, problem, _, blame) = error.kind();
        platform.watch().problem(Some(problem));
        #[cfg(feature = "json_rpc")]
        if matches!(error, Error::JsonRpc(_)) {
            platform.watch().translated();
        }
        let note = match blame {
            Blame::Client => None,
            Blame::Gateway | Blame::Upstream => Some(Note {
                problem,
                status,
                request_id: request_id.clone(),
                route: named(route.unwrap_or_default()),
                detail,
            }),
        };
        Self {
            response: error.into_response(&request_id),
            notes: note.into_iter().collect(),
            deferred: Vec::new(),
            refused: Some(status),
        }
    }
}
