//! What routes do with their requests.

use crate::answer::{Redirect, Respond};
#[cfg(feature = "compose")]
use crate::compose::{Batch, Compose};
use crate::error::Error;
use crate::forward::{Forward, PathChange};
#[cfg(feature = "graphql")]
use crate::graphql::StoredQuery;
#[cfg(feature = "grpc")]
use crate::grpc::Grpc;
#[cfg(feature = "json_rpc")]
use crate::json_rpc::RpcCall;
#[cfg(feature = "mcp")]
use crate::mcp::{Mcp, ProtectedResource};
use crate::policy::PolicyList;
use crate::request::{Request, RouteLimits};
use crate::serve::Endpoint;
#[cfg(feature = "soap")]
use crate::soap::Soap;
use crate::template::Template;
use serde::{Deserialize, Serialize};

/// What a route does with its requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// In written order: the number of a list in [`PolicyLists`](crate::policy::PolicyLists), since many routes do the same.
    #[serde(rename = "p", default, skip_serializing_if = "PolicyList::is_first")]
    pub policies: PolicyList,
    /// How many bytes a request's body may have; `None`: no limit.
    #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
    pub body_limit: Option<u64>,
    /// What else is taken at most, where that is less than elsewhere.
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<RouteLimits>,
    /// Where the answer comes from.
    #[serde(rename = "a")]
    pub action: Action,
}

impl Plan {
    /// The automatic answer to `OPTIONS`, with policies.
    pub(super) fn options(policies: PolicyList, allow: &[String]) -> Self {
        let headers = vec![("allow".to_owned(), Template::literal(allow.join(", ")))];
        let action = Action::Respond(Respond { status: 204, headers, body: None });
        Self { policies, body_limit: None, limits: None, action }
    }

    /// What of a request is more than the route takes, as far as its head tells.
    pub(super) fn exceeded(&self, request: &Request) -> Option<Error> {
        let limits = self.limits.as_ref().and_then(|limits| limits.check(&request.line, &request.headers).err());
        let body = || request.content_length.zip(self.body_limit).filter(|(length, limit)| length > limit);
        limits.or_else(|| body().map(|(_, limit)| Error::BodyTooLarge { limit }))
    }
}

/// Where the answer comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// From an upstream.
    Forward(Forward),
    /// From a method of an upstream's services.
    #[cfg(feature = "grpc")]
    Grpc(Box<Grpc>),
    /// From a method of a JSON-RPC server.
    #[cfg(feature = "json_rpc")]
    JsonRpc(Box<RpcCall>),
    /// From tools, by the Model Context Protocol.
    #[cfg(feature = "mcp")]
    Mcp(Box<Mcp>),
    /// From here: who may call the tools of another route.
    #[cfg(feature = "mcp")]
    ProtectedResource(Box<ProtectedResource>),
    /// From an upstream that is asked a query of the configuration's.
    #[cfg(feature = "graphql")]
    Graphql(Box<StoredQuery>),
    /// From an upstream that is sent a SOAP message.
    #[cfg(feature = "soap")]
    Soap(Box<Soap>),
    /// From elsewhere: the client goes there.
    Redirect(Redirect),
    /// From here.
    Respond(Respond),
    /// The keys by which anybody can see that the gateway has told who is calling.
    #[cfg(feature = "credentials")]
    IdentityKeys,
    /// What the gateway knows of itself.
    Serve(Endpoint),
    /// From here, when what the request names has been taken back from caches.
    #[cfg(feature = "cache")]
    Purge,
    /// From several calls.
    #[cfg(feature = "compose")]
    Compose(Box<Compose>),
    /// From the gateway itself, for each of several requests in one.
    #[cfg(feature = "compose")]
    Batch(Box<Batch>),
}

impl Action {
    /// How the request gets to an upstream, where it does.
    pub fn forward(&self) -> Option<&Forward> {
        match self {
            Action::Forward(forward) => Some(forward),
            #[cfg(feature = "grpc")]
            Action::Grpc(grpc) => Some(&grpc.forward),
            #[cfg(feature = "json_rpc")]
            Action::JsonRpc(call) => Some(&call.forward),
            #[cfg(feature = "mcp")]
            Action::Mcp(_) | Action::ProtectedResource(_) => None,
            #[cfg(feature = "graphql")]
            Action::Graphql(stored) => Some(&stored.forward),
            #[cfg(feature = "soap")]
            Action::Soap(soap) => Some(&soap.forward),
            Action::Redirect(_) | Action::Respond(_) | Action::Serve(_) => None,
            #[cfg(feature = "credentials")]
            Action::IdentityKeys => None,
            #[cfg(feature = "cache")]
            Action::Purge => None,
            #[cfg(feature = "compose")]
            Action::Compose(_) | Action::Batch(_) => None,
        }
    }

    /// Whether it is answered by requests of the gateway's own, through the gateway's own routes.
    #[cfg(any(feature = "compose", feature = "mcp"))]
    pub(super) fn makes_requests(&self) -> bool {
        match self {
            #[cfg(feature = "compose")]
            Action::Batch(_) => true,
            #[cfg(feature = "mcp")]
            Action::Mcp(_) => true,
            _ => false,
        }
    }

    /// Whether it looks at fields of the request.
    pub(super) fn asks_request(&self) -> bool {
        match self {
            Action::Redirect(redirect) => redirect.to.asks_request(),
            Action::Respond(respond) => {
                let headers = respond.headers.iter().map(|(_, value)| value);
                headers.chain(&respond.body).any(|template| template.asks_request())
            }
            // Some of them go on with every step.
            #[cfg(feature = "compose")]
            Action::Compose(_) => true,
            // Their own templates see the fields as they are.
            _ => self
                .forward()
                .is_some_and(|forward| matches!(&forward.path, PathChange::Rewrite(path) if path.asks_request())),
        }
    }
}
