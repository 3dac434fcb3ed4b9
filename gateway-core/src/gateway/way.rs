//! What is known of a request on its way along a route.

use super::Plan;
use crate::caller::Caller;
use crate::client::Client;
use crate::error::Error;
#[cfg(feature = "grpc")]
use crate::grpc;
use crate::http::{Body, Headers};
use crate::policy::Memo;
#[cfg(feature = "cache")]
use crate::policy::cache::{Cached, Flight};
use crate::request::{Line, Request};
#[cfg(feature = "cache")]
use crate::route::Matched;
#[cfg(feature = "cache")]
use bytes::Bytes;
#[cfg(not(feature = "cache"))]
use std::marker::PhantomData;

/// Where a request enters the policies: at the first, as nobody, save where a cache renews what it has.
#[derive(Debug, Clone, Default)]
pub struct Start {
    /// The first policy that it enters.
    pub(super) from: usize,
    /// Who is calling, as far as the policies before have proven it.
    pub(super) caller: Caller,
    /// What the policies before have left for those behind them.
    pub(super) memo: Memo,
    /// Why there is no action, once policies have seen the request.
    pub(super) over: Option<Error>,
    /// The body, as far as it was read by then.
    #[cfg(feature = "cache")]
    pub(super) body: Bytes,
    /// What is renewed, so that nobody waits for the answer.
    #[cfg(feature = "cache")]
    pub(super) renews: Option<Flight>,
}

/// A request on its way along a route.
pub(super) struct Underway<S> {
    /// What was asked for.
    pub line: Line,
    /// Who asked.
    pub client: Client,
    /// Who that is, as far as policies have proven it.
    pub caller: Caller,
    /// How many policies have seen it.
    pub entered: usize,
    /// What of it goes on.
    pub leaving: Leaving<S>,
    /// What the way back needs of the way in.
    pub trail: Trail<S>,
}

/// What policies leave of a request, for the action.
pub(super) struct Leaving<S> {
    /// The fields that go on.
    pub headers: Headers,
    /// The query that goes on.
    pub query: Option<String>,
    /// The body that goes on.
    pub body: Body<S>,
    /// The protocol that the client wants to go on in.
    pub upgrade: Option<String>,
    /// The length that it came with.
    pub content_length: Option<u64>,
    /// How many requests it is within.
    pub depth: u8,
    /// The fields as they came, where requests are made on the client's behalf: policies take credentials away.
    #[cfg(any(feature = "compose", feature = "mcp"))]
    pub arrived: Option<Headers>,
}

/// What the way back needs of the way in.
pub(super) struct Trail<S> {
    /// What policies remember.
    pub memo: Memo,
    /// What a cache has to do with it.
    #[cfg(feature = "cache")]
    pub cached: Cached<S>,
    #[cfg(not(feature = "cache"))]
    pub cached: PhantomData<S>,
    /// What the client of a gRPC service speaks, before policies have changed anything.
    #[cfg(feature = "grpc")]
    pub protocol: Option<grpc::Protocol>,
}

impl<S> Underway<S> {
    /// A request at the first policy that it enters.
    pub fn new(plan: &Plan, request: Request, body: Body<S>, start: Start) -> Self {
        let Request { line, headers, client, upgrade, content_length, depth } = request;
        let trail = Trail {
            memo: start.memo,
            #[cfg(feature = "cache")]
            cached: Cached::new(start.renews),
            #[cfg(not(feature = "cache"))]
            cached: PhantomData,
            #[cfg(feature = "grpc")]
            protocol: match &plan.action {
                super::Action::Grpc(_) => Some(grpc::Protocol::of(&line, line.query.as_deref(), &headers)),
                _ => None,
            },
        };
        #[cfg(not(any(feature = "compose", feature = "mcp", feature = "grpc")))]
        let _ = plan;
        let leaving = Leaving {
            #[cfg(any(feature = "compose", feature = "mcp"))]
            arrived: plan.action.makes_requests().then(|| headers.clone()),
            headers,
            query: line.query.clone(),
            body,
            upgrade,
            content_length,
            depth,
        };
        Self { line, client, caller: start.caller, entered: start.from, leaving, trail }
    }

    /// The request as it is now, for whoever goes on with it apart from the answer.
    #[cfg(any(feature = "cache", feature = "json_rpc"))]
    pub fn request(&self) -> Request {
        Request {
            line: Line { query: self.leaving.query.clone(), ..self.line.clone() },
            headers: self.leaving.headers.clone(),
            client: self.client.clone(),
            upgrade: None,
            content_length: None,
            depth: self.leaving.depth,
        }
    }

    /// Where that goes on.
    #[cfg(any(feature = "cache", feature = "json_rpc"))]
    pub fn start(&self, from: usize) -> Start {
        Start { from, caller: self.caller.clone(), memo: self.trail.memo.handed_on(), ..Start::default() }
    }

    /// What a cache wants renewed is what this request would have fetched, from the cache on, which it has entered last.
    #[cfg(feature = "cache")]
    pub fn renewal(&self, matched: &Matched<Plan>, flight: Flight) -> Renewal {
        let body = if let Body::Bytes(bytes) = &self.leaving.body { bytes.clone() } else { Bytes::new() };
        let start = Start { body, renews: Some(flight), ..self.start(self.entered - 1) };
        Renewal { matched: matched.clone(), request: self.request(), start }
    }
}

/// Something stored that is fetched anew: the request for it, from the cache on.
#[cfg(feature = "cache")]
#[derive(Debug, Clone)]
pub struct Renewal {
    pub(super) matched: Matched<Plan>,
    pub(super) request: Request,
    pub(super) start: Start,
}

#[cfg(not(feature = "grpc"))]
impl<S> Trail<S> {
    /// What the gateway says by itself, as the client of the route hears it.
    pub fn told<P>(&self, _: &P, reply: super::Reply<S>) -> super::Reply<S> {
        reply
    }
}
