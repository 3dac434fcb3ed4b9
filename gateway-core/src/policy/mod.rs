//! What a route does to its requests and responses, one file per policy.
//!
//! To add a policy: write its file, name it in [`Policy`], and let the compiler show the places that must think about
//! it. Policies run in the order in which they are written; on the way back, those that were entered, in reverse,
//! whoever made the response.

pub mod authenticate;
pub mod authorize;
#[cfg(feature = "cache")]
pub mod cache;
pub mod cors;
pub mod csrf;
pub mod deprecation;
pub mod error_pages;
pub mod forward_auth;
#[cfg(feature = "graphql")]
pub mod graphql;
pub mod headers;
#[cfg(feature = "idempotency")]
pub mod idempotency;
#[cfg(feature = "validation")]
pub mod json_limits;
#[cfg(feature = "json_rpc")]
pub mod json_rpc;
pub mod limit;
pub mod links;
pub mod maintenance;
#[cfg(feature = "mirror")]
pub mod mirror;
#[cfg(feature = "validation")]
pub mod mock;
#[cfg(feature = "validation")]
pub mod openapi;
pub mod origin;
pub mod request_rules;
pub mod security_headers;
pub mod transform;
#[cfg(feature = "validation")]
pub mod validate;

pub use authenticate::{Authenticate, Tokens};
pub use authorize::Authorize;
#[cfg(feature = "cache")]
pub use cache::Cache;
pub use cors::Cors;
pub use csrf::Csrf;
pub use deprecation::Deprecation;
pub use error_pages::ErrorPages;
pub use forward_auth::ForwardAuth;
#[cfg(feature = "graphql")]
pub use graphql::Graphql;
pub use headers::HeaderPolicy;
#[cfg(feature = "idempotency")]
pub use idempotency::Idempotency;
#[cfg(feature = "validation")]
pub use json_limits::JsonLimits;
#[cfg(feature = "json_rpc")]
pub use json_rpc::JsonRpc;
pub use limit::{Counters, Limit};
pub use links::Links;
pub use maintenance::Maintenance;
#[cfg(feature = "mirror")]
pub use mirror::Mirror;
#[cfg(feature = "validation")]
pub use mock::Mock;
#[cfg(feature = "validation")]
pub use openapi::OpenApi;
pub use request_rules::RequestRules;
pub use security_headers::SecurityHeaders;
pub use transform::Transform;
#[cfg(feature = "validation")]
pub use validate::Validate;

use crate::caller::Caller;
use crate::client::Client;
use crate::consumer::Consumers;
use crate::error::Error;
#[cfg(feature = "expressions")]
use crate::expression::Facts;
use crate::http::{Body, Headers, Response};
use crate::platform::{Platform, Timestamp};
use crate::record;
use crate::request::{self, Line};
use crate::route::{Parameters, Records};
use crate::serve::Used;
use crate::telemetry::watch::Record;
use crate::template::{Scope, Settings, Template, View};
use crate::upstream::Pool;
#[cfg(feature = "validation")]
use crate::validation::Validation;
use bytes::Bytes;
use limit::{Afterwards, Passed, Told};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// The number of a list of policies. The first list is empty.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PolicyList(pub u32);

impl PolicyList {
    /// Whether this is the empty list.
    pub fn is_first(&self) -> bool {
        self.0 == 0
    }
}

/// Every list of policies that routes refer to; one is decoded when it is first needed, and kept.
#[derive(Debug)]
pub struct PolicyLists {
    records: Records,
    awake: RefCell<HashMap<PolicyList, Rc<Vec<Policy>>>>,
}

impl PolicyLists {
    /// Takes the lists as [`Records::freeze`] packs them, each as JSON.
    pub fn new(records: Bytes) -> Self {
        Self { records: Records(records), awake: RefCell::default() }
    }

    /// One list.
    pub fn get(&self, list: PolicyList) -> Option<Rc<Vec<Policy>>> {
        if let Some(policies) = self.awake.borrow().get(&list) {
            return Some(policies.clone());
        }
        let policies: Rc<Vec<Policy>> = Rc::new(record::read(&self.records.get(list.0)?).ok()?);
        self.awake.borrow_mut().insert(list, policies.clone());
        Some(policies)
    }
}

/// Every policy there is.
#[allow(clippy::large_enum_variant, reason = "decoded once and looked at by every request: a box would save nothing")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// Proves who is calling.
    Authenticate(Authenticate),
    /// Decides what they may do.
    Authorize(Authorize),
    /// Answers from the store what has been answered before.
    #[cfg(feature = "cache")]
    Cache(Cache),
    /// Lets pages of other origins call.
    Cors(Cors),
    /// Refuses what pages of other origins send on a user's behalf.
    Csrf(Csrf),
    /// Tells clients that what they use is going away.
    Deprecation(Deprecation),
    /// Gives refusals and failures bodies of one's own.
    ErrorPages(ErrorPages),
    /// Asks another service whether a request may pass.
    ForwardAuth(ForwardAuth),
    /// Refuses GraphQL requests that ask for too much, or for what nobody may have.
    #[cfg(feature = "graphql")]
    Graphql(Box<Graphql>),
    /// Sets, appends and removes header fields.
    Headers(HeaderPolicy),
    /// Does once what is asked for several times.
    #[cfg(feature = "idempotency")]
    Idempotency(Idempotency),
    /// Refuses JSON bodies that are larger in some way than their readers expect.
    #[cfg(feature = "validation")]
    JsonLimits(JsonLimits),
    /// Looks into JSON-RPC.
    #[cfg(feature = "json_rpc")]
    JsonRpc(Box<JsonRpc>),
    /// Admits at most so many.
    Limit(Limit),
    /// Makes what an upstream says of its own address right for clients.
    Links(Links),
    /// Answers 503 while there is work on what is behind.
    Maintenance(Maintenance),
    /// Answers as an OpenAPI document says that an upstream would.
    #[cfg(feature = "validation")]
    Mock(Mock),
    /// Copies requests to another upstream.
    #[cfg(feature = "mirror")]
    Mirror(Mirror),
    /// Holds requests and answers against an OpenAPI document.
    #[cfg(feature = "validation")]
    #[serde(rename = "openapi")]
    OpenApi(OpenApi),
    /// Refuses requests by what they say of themselves.
    RequestRules(RequestRules),
    /// Tells browsers to be careful.
    SecurityHeaders(SecurityHeaders),
    /// Changes method and status, query, cookies and bodies.
    Transform(Transform),
    /// Refuses requests that are not as their schemas say.
    #[cfg(feature = "validation")]
    Validate(Validate),
}

/// What a policy decides on the way in.
#[derive(Debug)]
pub enum Flow<S> {
    /// The request goes on.
    Continue,
    /// This is the answer.
    Respond(Response<S>),
}

/// A request on its way through the policies, and what they may look at.
pub struct Visit<'a, P: Platform> {
    /// The world.
    pub platform: &'a P,
    /// Who may call.
    pub consumers: &'a Consumers,
    /// Who makes tokens, and which have been seen.
    pub tokens: &'a Tokens,
    /// What is counted in this instance.
    pub counters: &'a Counters,
    /// What this instance's caches remember.
    #[cfg(feature = "cache")]
    pub cache: &'a crate::cache::Memory,
    /// What a cache has to do with this request.
    #[cfg(feature = "cache")]
    pub cached: &'a mut cache::Cached<P::Stream>,
    /// Whom requests can be sent to, by the places that the configuration gives them.
    pub upstreams: &'a [Pool],
    /// What messages are checked against.
    #[cfg(feature = "validation")]
    pub validation: &'a Validation,
    /// The documents that GraphQL clients have brought to this instance.
    #[cfg(feature = "graphql")]
    pub graphql: &'a crate::graphql::Memory,
    /// The platform's values.
    pub settings: &'a Settings,
    /// How many bytes the body may have; `None`: as many as somebody reads.
    pub body_limit: Option<u64>,
    /// The matched route's name.
    pub route: &'a str,
    /// The upstream that the route forwards to; empty where it does not.
    pub upstream: &'a str,
    /// What tells the time.
    pub clock: &'a dyn Fn() -> Timestamp,
    /// The path parameters.
    pub parameters: Parameters<'a>,
    /// Who sent it.
    pub client: &'a Client,
    /// What was asked for.
    pub line: &'a Line,
    /// The query that goes on: without what policies took out of it.
    pub query: &'a mut Option<String>,
    /// The fields that go on.
    pub headers: &'a mut Headers,
    /// The body that goes on.
    pub body: &'a mut Body<P::Stream>,
    /// Who is calling, as far as it has been proven.
    pub caller: &'a mut Caller,
    /// What policies remember for the way back.
    pub memo: &'a mut Memo,
}

/// What policies remember of the request for the way back.
#[derive(Debug, Clone, Default)]
pub struct Memo {
    /// The `Origin` field.
    pub origin: Option<String>,
    /// What the client takes, before policies change what the upstream is asked for: where an `error_pages` chooses by it.
    pub accept: String,
    /// What would prove who is calling, where the caller has been let in without that.
    pub challenges: Vec<String>,
    /// What the log should hear although the request goes on.
    pub remarks: Vec<Remark>,
    /// What limits have seen, in the order in which they were entered.
    pub passed: Vec<Option<Passed>>,
    /// How things stand with the limits.
    pub told: Vec<Told>,
    /// The claim that this request holds.
    #[cfg(feature = "idempotency")]
    pub claimed: Option<idempotency::Claimed>,
    /// Who gets a copy of it.
    #[cfg(feature = "mirror")]
    pub mirrors: Vec<Mirror>,
    /// The call of JSON-RPC that it is.
    #[cfg(feature = "json_rpc")]
    pub called: Option<json_rpc::Called>,
    /// The calls that it is split into.
    #[cfg(feature = "json_rpc")]
    pub split: Option<Box<json_rpc::Split>>,
    /// What is to be done when the answer has been sent.
    pub deferred: Vec<Deferred>,
    /// The method that goes on, where it is another one.
    pub method: Option<String>,
    /// Whether something is missing in the answer, so that it is not kept for others.
    pub incomplete: bool,
    /// What a GraphQL request asks for.
    #[cfg(feature = "graphql")]
    pub operation: Option<Rc<crate::graphql::Operation>>,
    /// `Set-Cookie` lines that the response carries, whoever made it and whatever cookies it sets itself.
    pub cookies: Vec<String>,
    /// Fields that the response carries in the place of those of its maker; `Set-Cookie` beside them.
    pub fields: Vec<(String, Vec<u8>)>,
}

impl Memo {
    /// What of it the policies behind need when they see the request, or a part of it, at another time.
    pub fn handed_on(&self) -> Self {
        Self {
            method: self.method.clone(),
            #[cfg(feature = "graphql")]
            operation: self.operation.clone(),
            #[cfg(feature = "json_rpc")]
            called: self.called.clone(),
            ..Self::default()
        }
    }

    /// The method of JSON-RPC that is called; empty where none is.
    pub fn rpc_method(&self) -> &str {
        #[cfg(feature = "json_rpc")]
        return self.called.as_ref().map_or("", |called| &called.method);
        #[cfg(not(feature = "json_rpc"))]
        return "";
    }

    /// Writes down what policies want a response to carry, whoever has made it.
    pub fn write(&self, headers: &mut Headers) {
        for (at, (name, value)) in self.fields.iter().enumerate() {
            // The first line of a field replaces what is there, the others stand beside it.
            let first = !self.fields[..at].iter().any(|(before, _)| before == name);
            if first && name != "set-cookie" {
                headers.set(name, value);
            } else {
                headers.append(name, value);
            }
        }
        for cookie in &self.cookies {
            headers.append("set-cookie", cookie);
        }
        if !self.cookies.is_empty() {
            // Of two lines the stricter one counts: what holds a session is for nobody else (RFC 9111 §5.2.2.7).
            headers.append("cache-control", "private");
        }
    }

    /// Whether the rest of the way is for parts of the request.
    pub fn is_split(&self) -> bool {
        #[cfg(feature = "json_rpc")]
        return self.split.is_some();
        #[cfg(not(feature = "json_rpc"))]
        return false;
    }
}

/// Something that is done when the answer has been sent: nobody waits for it, and what comes of it only the log hears.
/// It cannot use the request's own streams: they end with the answer.
#[derive(Debug, Clone)]
pub enum Deferred {
    /// Counters change.
    Count(Afterwards),
    /// What was held by the exchange is free: done when the response's body has ended, in whatever way.
    Release(Afterwards),
    /// What was noted of the request is told to those who observe.
    Observe(Box<Record>),
    /// What checks have found of the upstream at this place is looked at, and checked where nobody else does.
    #[cfg(feature = "checks")]
    Check(u32),
    /// The body of the answer is made, while it is sent.
    #[cfg(feature = "compose")]
    Compose(Box<crate::gateway::Production>),
    /// The instance looks which version of the configuration is to serve, so many milliseconds later: see
    /// [`Instance`](crate::instance::Instance).
    #[cfg(feature = "rollout")]
    Look(u64),
    /// A copy of the request is sent to another upstream.
    #[cfg(feature = "mirror")]
    Mirror(Box<mirror::Mirrored>),
    /// Something is stored, and then who waits for it goes on.
    #[cfg(feature = "cache")]
    Keep(cache::Keeping),
    /// What is stored is renewed.
    #[cfg(feature = "cache")]
    Renew(Box<crate::gateway::Renewal>),
    /// What has been changed through the admin interface is read.
    #[cfg(feature = "admin")]
    CatchUp,
}

impl Deferred {
    /// Whether it is not done before the response's body has ended. Where there is none to wait for, it is done at once.
    pub fn waits_for_the_body(&self) -> bool {
        matches!(self, Deferred::Release(_))
    }
}

/// Something that the log should hear although the request goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// The code of the problem that it would have been.
    pub problem: &'static str,
    /// What happened, in words that are not for the client.
    pub detail: String,
}

/// A response on its way back through the policies that saw its request.
pub struct Departure<'a, P: Platform> {
    /// The world.
    pub platform: &'a P,
    /// What messages are checked against.
    #[cfg(feature = "validation")]
    pub validation: &'a Validation,
    /// The request that it answers.
    pub scope: Scope<'a>,
    /// Whether an upstream has made it, and not the gateway.
    pub from_upstream: bool,
    /// Whether, if not, an upstream may have done what was asked for all the same.
    pub perhaps_done: bool,
    /// What is counted in this instance.
    pub counters: &'a Counters,
    /// What this instance's caches remember.
    #[cfg(feature = "cache")]
    pub cache: &'a crate::cache::Memory,
    /// What a cache has to do with the request.
    #[cfg(feature = "cache")]
    pub cached: &'a mut cache::Cached<P::Stream>,
    /// What is sent, whoever made it.
    pub response: &'a mut Response<P::Stream>,
    /// What policies remembered of the request.
    pub memo: &'a mut Memo,
}

impl<P: Platform> Visit<'_, P> {
    /// What templates see.
    pub fn scope(&self) -> Scope<'_> {
        Scope {
            line: self.line,
            client: self.client,
            route: self.route,
            parameters: self.parameters,
            settings: self.settings,
            caller: self.caller,
            view: View {
                headers: Some(self.headers),
                clock: Some(self.clock),
                upstream: self.upstream,
                rpc_method: self.memo.rpc_method(),
                #[cfg(feature = "graphql")]
                operation: self.memo.operation.as_deref(),
                ..View::default()
            },
        }
    }

    /// What expressions see.
    #[cfg(feature = "expressions")]
    pub fn facts(&self) -> Facts<'_> {
        let (headers, query) = (&*self.headers, self.query.as_deref());
        Facts { scope: self.scope(), headers, query, now: self.platform.now() }
    }

    /// Reads the whole body, as far as `most` bytes and the route's own limit go, and leaves it to be handed on as it came.
    pub async fn read_body(&mut self, most: u64) -> Result<Bytes, Error> {
        let limit = self.body_limit.map_or(most, |limit| limit.min(most));
        let declared = self.headers.content_length();
        let body = std::mem::replace(self.body, Body::Empty);
        let bytes = request::whole(self.platform, body, declared, limit).await?;
        if bytes.is_empty() {
            return Ok(bytes);
        }
        // What came in chunks has a length now, and small messages without one are slow to send.
        if declared.is_none() {
            self.headers.set("content-length", bytes.len().to_string());
        }
        *self.body = Body::Bytes(bytes.clone());
        Ok(bytes)
    }
}

impl Policy {
    /// Whether it only changes what answers look like, whatever becomes of their requests.
    pub fn dresses(&self) -> bool {
        matches!(self, Policy::Cors(_) | Policy::SecurityHeaders(_) | Policy::ErrorPages(_))
    }

    /// The stores of the platform that it needs.
    pub fn stores(&self) -> Vec<Used> {
        match self {
            Policy::Authenticate(policy) => policy.stores(),
            #[cfg(feature = "cache")]
            Policy::Cache(policy) => policy.stores(),
            #[cfg(feature = "idempotency")]
            Policy::Idempotency(policy) => {
                vec![Used { store: crate::serve::Store::Claims, vital: !policy.opens_on_failure }]
            }
            Policy::Limit(policy) => policy.stores(),
            Policy::Authorize(_)
            | Policy::Cors(_)
            | Policy::Csrf(_)
            | Policy::Deprecation(_)
            | Policy::ErrorPages(_)
            | Policy::ForwardAuth(_)
            | Policy::Headers(_)
            | Policy::Links(_)
            | Policy::Maintenance(_)
            | Policy::RequestRules(_)
            | Policy::SecurityHeaders(_)
            | Policy::Transform(_) => Vec::new(),
            #[cfg(feature = "graphql")]
            Policy::Graphql(_) => Vec::new(),
            #[cfg(feature = "json_rpc")]
            Policy::JsonRpc(_) => Vec::new(),
            #[cfg(feature = "mirror")]
            Policy::Mirror(_) => Vec::new(),
            #[cfg(feature = "validation")]
            Policy::JsonLimits(_) | Policy::Mock(_) | Policy::OpenApi(_) | Policy::Validate(_) => Vec::new(),
        }
    }

    /// What kind of policy it is, as logs, metrics and spans say it.
    pub fn kind(&self) -> &'static str {
        match self {
            Policy::Authenticate(_) => "authenticate",
            Policy::Authorize(_) => "authorize",
            #[cfg(feature = "cache")]
            Policy::Cache(_) => "cache",
            Policy::Cors(_) => "cors",
            Policy::Csrf(_) => "csrf",
            Policy::Deprecation(_) => "deprecation",
            Policy::ErrorPages(_) => "error_pages",
            Policy::Links(_) => "links",
            Policy::Maintenance(_) => "maintenance",
            #[cfg(feature = "validation")]
            Policy::Mock(_) => "mock",
            Policy::Transform(_) => "transform",
            Policy::ForwardAuth(_) => "forward_auth",
            #[cfg(feature = "graphql")]
            Policy::Graphql(_) => "graphql",
            Policy::Headers(_) => "headers",
            #[cfg(feature = "idempotency")]
            Policy::Idempotency(_) => "idempotency",
            Policy::Limit(_) => "limit",
            #[cfg(feature = "mirror")]
            Policy::Mirror(_) => "mirror",
            Policy::RequestRules(_) => "request_rules",
            Policy::SecurityHeaders(_) => "security_headers",
            #[cfg(feature = "validation")]
            Policy::JsonLimits(_) => "json_limits",
            #[cfg(feature = "json_rpc")]
            Policy::JsonRpc(_) => "json_rpc",
            #[cfg(feature = "validation")]
            Policy::OpenApi(_) => "openapi",
            #[cfg(feature = "validation")]
            Policy::Validate(_) => "validate",
        }
    }

    /// Before the action.
    pub async fn on_request<P: Platform>(&self, visit: &mut Visit<'_, P>) -> Result<Flow<P::Stream>, Error> {
        match self {
            Policy::Authenticate(policy) => policy.on_request(visit).await,
            Policy::Authorize(policy) => policy.on_request(visit).map(|()| Flow::Continue),
            // Boxed, so that requests without a cache need not carry its size around.
            #[cfg(feature = "cache")]
            Policy::Cache(policy) => Box::pin(policy.on_request(visit)).await,
            Policy::Cors(policy) => {
                policy.on_request(visit.headers, visit.memo);
                Ok(Flow::Continue)
            }
            Policy::Csrf(policy) => policy.check(visit.line, visit.headers).map(|()| Flow::Continue),
            Policy::Deprecation(policy) => policy.check(visit.clock).map(|()| Flow::Continue),
            Policy::ErrorPages(_) => Ok(Flow::Continue),
            Policy::Links(policy) => {
                policy.on_request(visit);
                Ok(Flow::Continue)
            }
            Policy::Maintenance(policy) => {
                policy.check(visit.client, visit.settings, visit.clock).map(|()| Flow::Continue)
            }
            Policy::Transform(policy) => policy.on_request(visit).await.map(|()| Flow::Continue),
            Policy::ForwardAuth(policy) => policy.on_request(visit).await,
            // Boxed, so that others need not carry its size around.
            #[cfg(feature = "graphql")]
            Policy::Graphql(policy) => Box::pin(policy.on_request(visit)).await,
            Policy::Headers(policy) => {
                let edits = policy.request.render(&visit.scope());
                policy.request.replaced().for_each(|name| visit.headers.remove_lookalikes(name));
                edits.apply(visit.headers);
                Ok(Flow::Continue)
            }
            #[cfg(feature = "idempotency")]
            // Boxed, so that others need not carry its size around.
            Policy::Idempotency(policy) => Box::pin(policy.on_request(visit)).await,
            Policy::Limit(policy) => policy.on_request(visit).await.map(|()| Flow::Continue),
            #[cfg(feature = "mirror")]
            Policy::Mirror(policy) => {
                policy.draw(&visit.line.method, || visit.platform.random(), visit.memo);
                Ok(Flow::Continue)
            }
            Policy::RequestRules(policy) => {
                policy.check(visit.headers, !matches!(visit.body, Body::Empty)).map(|()| Flow::Continue)
            }
            Policy::SecurityHeaders(_) => Ok(Flow::Continue),
            #[cfg(feature = "validation")]
            Policy::JsonLimits(policy) => policy.check(visit).await.map(|()| Flow::Continue),
            // Boxed, so that others need not carry its size around.
            #[cfg(feature = "json_rpc")]
            Policy::JsonRpc(policy) => Box::pin(policy.on_request(visit)).await,
            #[cfg(feature = "validation")]
            Policy::Mock(policy) => policy.on_request(visit),
            #[cfg(feature = "validation")]
            Policy::OpenApi(policy) => policy.check(visit).await,
            #[cfg(feature = "validation")]
            Policy::Validate(policy) => policy.check(visit).await.map(|()| Flow::Continue),
        }
    }

    /// Whether the way back looks at fields of the response, rather than only setting and removing some.
    pub fn reads_response(&self) -> bool {
        match self {
            Policy::Cors(_) | Policy::SecurityHeaders(_) => true,
            Policy::Limit(policy) => policy.reads_response(),
            Policy::Headers(policy) => policy.response.reads(),
            Policy::Transform(policy) => policy.reads_response(),
            Policy::ErrorPages(_) | Policy::Links(_) => true,
            Policy::Authenticate(_)
            | Policy::Authorize(_)
            | Policy::Csrf(_)
            | Policy::Deprecation(_)
            | Policy::ForwardAuth(_)
            | Policy::Maintenance(_)
            | Policy::RequestRules(_) => false,
            #[cfg(feature = "idempotency")]
            Policy::Idempotency(_) => true,
            #[cfg(feature = "mirror")]
            Policy::Mirror(policy) => policy.compare.is_some(),
            #[cfg(feature = "graphql")]
            Policy::Graphql(_) => false,
            #[cfg(feature = "cache")]
            Policy::Cache(_) => true,
            #[cfg(feature = "json_rpc")]
            Policy::JsonRpc(_) => true,
            #[cfg(feature = "validation")]
            Policy::OpenApi(policy) => policy.responses.is_some(),
            #[cfg(feature = "validation")]
            Policy::JsonLimits(_) | Policy::Mock(_) | Policy::Validate(_) => false,
        }
    }

    /// Whether the way back looks at fields of the request.
    pub fn asks_request(&self) -> bool {
        match self {
            Policy::Headers(policy) => policy.response.templates().any(Template::asks_request),
            Policy::Transform(policy) => policy.asks_request(),
            Policy::Links(policy) => policy.asks_request(),
            // Its pages may say something of it.
            Policy::ErrorPages(_) => true,
            // And in which form refusals are told.
            #[cfg(feature = "graphql")]
            Policy::Graphql(_) => true,
            _ => false,
        }
    }

    /// Whether the platform has to tell when the response's body has ended.
    pub fn awaits_the_body(&self) -> bool {
        matches!(self, Policy::Limit(policy) if policy.holds())
    }

    /// After it, for every response to a request that this policy has seen. An error takes the response's place.
    pub async fn on_response<P: Platform>(&self, departure: &mut Departure<'_, P>) -> Result<(), Error> {
        match self {
            Policy::Authenticate(policy) => {
                policy.on_response(departure.response.status, &mut departure.response.headers);
            }
            Policy::Cors(policy) => policy.on_response(&mut departure.response.headers, departure.memo),
            Policy::Deprecation(policy) => policy.on_response(departure),
            Policy::ErrorPages(policy) => policy.on_response(departure),
            #[cfg(feature = "graphql")]
            Policy::Graphql(policy) => policy.on_response(departure),
            Policy::Headers(policy) => {
                let Departure { scope, response, .. } = departure;
                if !policy.response.concern(response.status) {
                    return Ok(());
                }
                let edits = policy.response.render(&scope.with_response(response.status, &response.headers));
                edits.apply(&mut response.headers);
            }
            Policy::Limit(policy) => return policy.on_response(departure).await,
            Policy::Links(policy) => return policy.on_response(departure).await,
            Policy::SecurityHeaders(policy) => {
                policy.on_response(&mut departure.response.headers, departure.scope.client.scheme);
            }
            Policy::Transform(policy) => return policy.on_response(departure).await,
            // Boxed, so that others need not carry its size around.
            #[cfg(feature = "cache")]
            Policy::Cache(policy) => return Box::pin(policy.on_response(departure)).await,
            #[cfg(feature = "idempotency")]
            Policy::Idempotency(policy) => return Box::pin(policy.on_response(departure)).await,
            #[cfg(feature = "validation")]
            Policy::OpenApi(policy) => return policy.on_response(departure).await,
            #[cfg(feature = "json_rpc")]
            Policy::JsonRpc(policy) => policy.on_response(departure),
            Policy::Authorize(_)
            | Policy::Csrf(_)
            | Policy::ForwardAuth(_)
            | Policy::Maintenance(_)
            | Policy::RequestRules(_) => {}
            #[cfg(feature = "mirror")]
            Policy::Mirror(_) => {}
            #[cfg(feature = "validation")]
            Policy::JsonLimits(_) | Policy::Mock(_) | Policy::Validate(_) => {}
        }
        Ok(())
    }
}
