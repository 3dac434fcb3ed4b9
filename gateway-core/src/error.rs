//! Refusals and failures, and the problem details (RFC 9457) that clients get to see of them.

#[cfg(feature = "graphql")]
use crate::graphql;
#[cfg(feature = "grpc")]
use crate::grpc::dialect::Failure;
use crate::http::{Body, Headers, Response};
#[cfg(feature = "json_rpc")]
use crate::json_rpc::Fault;
use crate::path;
use crate::platform::FetchError;
use crate::policy::authenticate::bearer::SEVERAL;
#[cfg(feature = "idempotency")]
use crate::policy::idempotency::Refusal;
use crate::policy::limit::seconds;
#[cfg(any(feature = "graphql", feature = "soap", feature = "json_rpc"))]
use crate::translate;
#[cfg(feature = "validation")]
use crate::validation::Violation;
use bytes::Bytes;
use serde::Serialize;

/// Why a request got no answer from where it wanted to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// 400: the request target cannot be read in one way only.
    BadTarget(path::Invalid),
    /// 400: `Host` is missing, repeated or malformed, or holds user information.
    BadHost,
    /// 400: the message's framing is ambiguous.
    BadFraming,
    /// 400: the method is not a token, or differs from a known one only in upper and lower case.
    BadMethod,
    /// 400: a login comes back that did not begin here.
    LoginInvalid {
        /// What is wrong, told to the client.
        reason: &'static str,
    },
    /// 403: the provider does not log the user in.
    LoginDenied {
        /// Its error code, told to the client.
        error: String,
    },
    /// 401: nobody is known to be calling, or a credential is wrong; 400 for several tokens at once.
    Unauthenticated {
        /// One `WWW-Authenticate` value for each way in (RFC 9110 §11.6.1).
        challenges: Vec<String>,
        /// What is wrong, told to the client: nothing that helps to guess.
        reason: &'static str,
    },
    /// 403: whoever calls may not do this.
    Forbidden {
        /// What is missing, told to the client.
        reason: String,
        /// The challenge, where a token with more scope would help (RFC 6750 §3.1).
        challenge: Option<String>,
    },
    /// 410: this was there once.
    Gone,
    /// 404: no route takes this request.
    NoRoute,
    /// 404: the admin interface has nothing there.
    #[cfg(feature = "admin")]
    NothingThere,
    /// 400: what is asked of the admin interface makes no sense.
    #[cfg(feature = "admin")]
    BadAdminRequest {
        /// Why, told to the client.
        reason: String,
    },
    /// 503: what the admin interface is asked for cannot be read or written down just now.
    #[cfg(feature = "admin")]
    AdminUncertain {
        /// For the log only.
        reason: String,
    },
    /// 422: a version of the configuration cannot be served here.
    #[cfg(feature = "rollout")]
    VersionUnusable {
        /// Why, told to the operator.
        reason: String,
    },
    /// 409: as things stand with the versions, this cannot be done.
    #[cfg(feature = "rollout")]
    VersionConflict {
        /// Why, told to the operator.
        reason: String,
    },
    /// 421: no route knows this host.
    UnknownHost,
    /// 405: there are routes for this, but not with this method.
    MethodNotAllowed {
        /// The methods that would be taken, for `Allow`.
        allow: Vec<String>,
    },
    /// 413: the body is longer than the route takes.
    BodyTooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// 414: the target is longer than the gateway takes.
    TargetTooLong {
        /// The limit, in bytes.
        limit: u64,
    },
    /// 415: bodies of this kind are not taken.
    UnsupportedMediaType {
        /// The kinds that are, for `Accept` (RFC 9110 §15.5.16); empty where only some are not.
        accept: Vec<String>,
    },
    /// 400 or 422: the request is not as its schemas say.
    #[cfg(feature = "validation")]
    Invalid {
        /// Which of the two.
        status: u16,
        /// What is wrong.
        violations: Vec<Violation>,
    },
    /// 400: the body cannot be read as what it says it is.
    #[cfg(feature = "validation")]
    MalformedBody {
        /// Where it breaks, told to the client.
        reason: String,
    },
    /// 400: the body is JSON, but of more than is taken.
    #[cfg(feature = "validation")]
    JsonRefused {
        /// Of what, told to the client.
        reason: String,
    },
    /// 502 or 504: an answer that is made of several calls cannot be made.
    #[cfg(feature = "compose")]
    CompositionFailed {
        /// Which of the two.
        status: u16,
        /// What is missing, told to the client.
        detail: String,
        /// What happened, for the log.
        reason: String,
    },
    /// 400: a batch of requests cannot be read.
    #[cfg(feature = "compose")]
    BadBatch {
        /// What is wrong, told to the client.
        reason: String,
    },
    /// 415: a body that must be read has a content coding.
    #[cfg(any(feature = "validation", feature = "grpc"))]
    UnsupportedContentCoding,
    /// 502: the upstream's answer is not as the OpenAPI document says.
    #[cfg(feature = "validation")]
    ResponseRefused {
        /// For the log only.
        reason: String,
    },
    /// 400, 409, 422 or 503: what is to be done once is not done now.
    #[cfg(feature = "idempotency")]
    Idempotency(Refusal),
    /// 400: the body is not of the kind that the upstream's is made from.
    BodyRefused,
    /// 200, 400 or 404: what came is no message of JSON-RPC, or none that is taken here. The body is an error object.
    #[cfg(feature = "json_rpc")]
    JsonRpc(Box<Fault>),
    /// 400 or 403: the GraphQL request is not one, asks for too much, or for what nobody may have.
    #[cfg(feature = "graphql")]
    Graphql(graphql::Refusal),
    /// The status that the configuration says: an upstream of another protocol has answered that it has failed.
    #[cfg(any(feature = "graphql", feature = "soap", feature = "json_rpc"))]
    CallFailed(Box<translate::Failure>),
    /// 400: the request is no call of the method that it is for.
    #[cfg(any(feature = "grpc", feature = "graphql", feature = "soap", feature = "json_rpc"))]
    UntranslatableRequest {
        /// What is wrong, told to the client.
        reason: String,
    },
    /// 502: the upstream's answer to a call is none.
    #[cfg(any(feature = "grpc", feature = "graphql", feature = "soap", feature = "json_rpc"))]
    UntranslatableResponse {
        /// For the log only.
        reason: String,
    },
    /// The status of the code: a service has failed a call.
    #[cfg(feature = "grpc")]
    Rpc(Box<Failure>),
    /// 408: the body stood still for too long.
    BodyStalled,
    /// 417: an expectation other than `100-continue`.
    ExpectationFailed,
    /// 429, or what the configuration says: a limit has been reached.
    LimitReached {
        /// The status.
        status: u16,
        /// After how many milliseconds the request would be admitted; `None`: never.
        wait: Option<u64>,
    },
    /// 431: more header fields, or more bytes of them, than the gateway takes.
    HeadersTooLarge,
    /// 501: CONNECT and TRACE are not for gateways.
    MethodNotImplemented,
    /// 499 in the log; nobody is there to read it.
    ClientGone,
    /// 500: the gateway itself is at fault.
    Internal {
        /// For the log only.
        reason: String,
    },
    /// 503: nobody can say just now whether a credential is right.
    CredentialUncertain {
        /// For the log only.
        reason: String,
    },
    /// 503: nobody can count just now, and the configuration says that requests must be.
    LimitUncertain {
        /// For the log only.
        reason: String,
    },
    /// 503: there is work on what is behind.
    Maintenance {
        /// After so many seconds it may be over, for `Retry-After`.
        seconds: Option<u64>,
    },
    /// 503: what all instances have counted cannot be read just now.
    MetricsUncertain {
        /// For the log only.
        reason: String,
    },
    /// 503: the gateway has nothing just now that it could show the upstream.
    NoCredential,
    /// 503: the upstream has failed so often that it is not asked for a while.
    UpstreamUnavailable {
        /// After so many seconds it is asked again, for `Retry-After`.
        seconds: u64,
    },
    /// 508: a request of the gateway's own is within too many others.
    LoopDetected,
    /// 502: what a provider gave for a login is not right.
    LoginFailed {
        /// For the log only.
        reason: String,
    },
    /// 502: no connection to the upstream, or one that broke off.
    UpstreamFailed(FetchError),
    /// 504: the upstream did not answer in time.
    UpstreamTimeout,
    /// 400: what is to be taken back from caches cannot be read.
    BadPurge {
        /// Why, told to the client.
        reason: String,
    },
    /// 503: what is to be taken back from caches cannot be written down.
    PurgeFailed {
        /// For the log only.
        reason: String,
    },
    /// 504: the client wants an answer from the cache only, and there is none.
    NotCached,
    /// 504: the cache has an answer that is stale, and the upstream cannot say whether it is still right.
    NotValidated,
}

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The client should change the request.
    Client,
    /// The gateway or its configuration.
    Gateway,
    /// The upstream.
    Upstream,
}

impl Error {
    /// The code of [`Error::ResponseRefused`], for remarks on answers that are handed on all the same.
    #[cfg(feature = "validation")]
    pub const RESPONSE_REFUSED: &str = "response-refused";

    /// The status, the stable code that ends the problem's `type`, its title, and whose fault it is.
    pub fn kind(&self) -> (u16, &'static str, &'static str, Blame) {
        use Blame::{Client, Gateway, Upstream};
        match self {
            Error::BadTarget(_) => (400, "bad-target", "Bad request target", Client),
            Error::BadHost => (400, "bad-host", "Bad host", Client),
            Error::BadFraming => (400, "bad-framing", "Bad message framing", Client),
            Error::BadMethod => (400, "bad-method", "Bad method", Client),
            Error::LoginInvalid { .. } => (400, "login-invalid", "Login invalid", Client),
            Error::LoginDenied { .. } => (403, "login-denied", "Login denied", Client),
            // RFC 6750 §3.1: `invalid_request`.
            Error::Unauthenticated { reason, .. } => {
                (if *reason == SEVERAL { 400 } else { 401 }, "unauthenticated", "Unauthenticated", Client)
            }
            Error::Forbidden { .. } => (403, "forbidden", "Forbidden", Client),
            Error::Gone => (410, "gone", "Gone", Client),
            Error::Maintenance { .. } => (503, "maintenance", "Maintenance", Client),
            Error::NoRoute => (404, "no-route", "No route", Client),
            Error::MethodNotAllowed { .. } => (405, "method-not-allowed", "Method not allowed", Client),
            Error::BodyTooLarge { .. } => (413, "body-too-large", "Body too large", Client),
            Error::TargetTooLong { .. } => (414, "target-too-long", "Target too long", Client),
            Error::UnsupportedMediaType { .. } => (415, "unsupported-media-type", "Unsupported media type", Client),
            #[cfg(feature = "validation")]
            Error::Invalid { status, .. } => (*status, "invalid-request", "Invalid request", Client),
            #[cfg(feature = "validation")]
            Error::MalformedBody { .. } => (400, "malformed-body", "Malformed body", Client),
            #[cfg(feature = "validation")]
            Error::JsonRefused { .. } => (400, "json-refused", "JSON refused", Client),
            #[cfg(any(feature = "validation", feature = "grpc"))]
            Error::UnsupportedContentCoding => {
                (415, "unsupported-content-coding", "Unsupported content coding", Client)
            }
            #[cfg(feature = "validation")]
            Error::ResponseRefused { .. } => (502, Self::RESPONSE_REFUSED, "Response refused", Upstream),
            #[cfg(feature = "idempotency")]
            Error::Idempotency(refusal) => {
                let (status, code, title) = refusal.kind();
                (status, code, title, if status < 500 { Client } else { Gateway })
            }
            Error::BodyStalled => (408, "body-stalled", "Body stalled", Client),
            Error::BodyRefused => (400, "body-refused", "Body refused", Client),
            #[cfg(feature = "graphql")]
            Error::Graphql(refusal) => {
                let (status, code, title) = refusal.kind();
                (status, code, title, Client)
            }
            #[cfg(any(feature = "graphql", feature = "soap", feature = "json_rpc"))]
            Error::CallFailed(failure) => {
                (failure.status, "call-failed", "Call failed", if failure.status < 500 { Client } else { Upstream })
            }
            #[cfg(any(feature = "grpc", feature = "graphql", feature = "soap", feature = "json_rpc"))]
            Error::UntranslatableRequest { .. } => (400, "untranslatable-request", "Untranslatable request", Client),
            #[cfg(feature = "json_rpc")]
            Error::JsonRpc(fault) => (fault.status, "json-rpc-refused", "JSON-RPC refused", Client),
            #[cfg(any(feature = "grpc", feature = "graphql", feature = "soap", feature = "json_rpc"))]
            Error::UntranslatableResponse { .. } => {
                (502, "untranslatable-response", "Untranslatable response", Upstream)
            }
            #[cfg(feature = "grpc")]
            Error::Rpc(failure) => (failure.code.http(), "call-failed", "Call failed", Client),
            Error::ExpectationFailed => (417, "expectation-failed", "Expectation failed", Client),
            Error::UnknownHost => (421, "unknown-host", "Unknown host", Client),
            Error::LimitReached { status, .. } => (*status, "limit-reached", "Limit reached", Client),
            Error::HeadersTooLarge => (431, "headers-too-large", "Header fields too large", Client),
            Error::ClientGone => (499, "client-gone", "Client gone", Client),
            Error::Internal { .. } => (500, "internal", "Internal error", Gateway),
            Error::MethodNotImplemented => (501, "method-not-implemented", "Method not implemented", Client),
            Error::LoginFailed { .. } => (502, "login-failed", "Login failed", Upstream),
            Error::UpstreamFailed(_) => (502, "upstream-failed", "Upstream failed", Upstream),
            Error::CredentialUncertain { .. } => (503, "credential-uncertain", "Credential cannot be checked", Gateway),
            #[cfg(feature = "rollout")]
            Error::VersionUnusable { .. } => (422, "version-unusable", "Version unusable", Client),
            #[cfg(feature = "rollout")]
            Error::VersionConflict { .. } => (409, "version-conflict", "Version conflict", Client),
            #[cfg(feature = "admin")]
            Error::NothingThere => (404, "nothing-there", "Nothing there", Client),
            #[cfg(feature = "admin")]
            Error::BadAdminRequest { .. } => (400, "bad-admin-request", "Bad request to the admin interface", Client),
            #[cfg(feature = "admin")]
            Error::AdminUncertain { .. } => (503, "admin-uncertain", "Admin interface uncertain", Gateway),
            Error::MetricsUncertain { .. } => (503, "metrics-uncertain", "Metrics cannot be read", Gateway),
            Error::LimitUncertain { .. } => (503, "limit-uncertain", "Limit cannot be checked", Gateway),
            Error::NoCredential => (503, "upstream-credential", "Upstream credential unavailable", Gateway),
            Error::UpstreamUnavailable { .. } => (503, "upstream-unavailable", "Upstream unavailable", Upstream),
            Error::LoopDetected => (508, "loop-detected", "Loop detected", Gateway),
            Error::UpstreamTimeout => (504, "upstream-timeout", "Upstream timed out", Upstream),
            #[cfg(feature = "compose")]
            Error::CompositionFailed { status, .. } => (*status, "composition-failed", "Composition failed", Upstream),
            #[cfg(feature = "compose")]
            Error::BadBatch { .. } => (400, "bad-batch", "Bad batch", Client),
            Error::BadPurge { .. } => (400, "bad-purge", "Bad purge", Client),
            Error::PurgeFailed { .. } => (503, "purge-failed", "Purge failed", Gateway),
            Error::NotCached => (504, "not-cached", "Not cached", Client),
            Error::NotValidated => (504, "not-validated", "Cached answer cannot be validated", Upstream),
        }
    }

    /// One sentence for the client, which tells nothing of what is behind the gateway.
    fn detail(&self) -> String {
        match self {
            Error::BadTarget(invalid) => invalid.to_string(),
            Error::BadHost => "The request needs one well-formed Host without user information.".into(),
            Error::BadFraming => {
                "Content-Length is malformed, repeated with another value, or beside Transfer-Encoding.".into()
            }
            Error::BadMethod => "The method is not a token, or a known one in other letters.".into(),
            Error::LoginInvalid { reason } => (*reason).into(),
            Error::LoginDenied { error } => format!("The provider did not log you in: {error}."),
            Error::Unauthenticated { reason, .. } => (*reason).into(),
            Error::Forbidden { reason, .. } => reason.clone(),
            Error::Gone => "This is not there any more.".into(),
            Error::Maintenance { .. } => "There is maintenance at the moment.".into(),
            Error::NoRoute => "No route takes this request.".into(),
            Error::UnknownHost => "This gateway does not answer for this host.".into(),
            Error::MethodNotAllowed { allow } => format!("This takes {}.", allow.join(", ")),
            Error::BodyTooLarge { limit } => format!("The body is longer than the {limit} bytes taken here."),
            Error::TargetTooLong { limit } => {
                format!("The request target is longer than the {limit} bytes taken here.")
            }
            Error::UnsupportedMediaType { accept } if accept.is_empty() => {
                "Bodies with this Content-Type, or without one, are not taken.".into()
            }
            Error::UnsupportedMediaType { accept } => format!("This takes bodies of the type {}.", accept.join(", ")),
            #[cfg(feature = "validation")]
            Error::Invalid { .. } => "The request is not as it should be here; `errors` says where.".into(),
            #[cfg(feature = "validation")]
            Error::MalformedBody { reason } | Error::JsonRefused { reason } => reason.clone(),
            #[cfg(any(feature = "validation", feature = "grpc"))]
            Error::UnsupportedContentCoding => "Bodies are taken here without a content coding only.".into(),
            #[cfg(feature = "validation")]
            Error::ResponseRefused { .. } => "The upstream's response is not as it should be.".into(),
            #[cfg(feature = "idempotency")]
            Error::Idempotency(refusal) => refusal.detail(),
            Error::LimitReached { wait: None, .. } => "This asks for more than what is admitted at all.".into(),
            Error::LimitReached { wait: Some(wait), .. } => {
                format!("The limit has been reached; the next request can be admitted in {} s.", seconds(*wait))
            }
            Error::LimitUncertain { .. } => "Requests cannot be counted just now.".into(),
            #[cfg(feature = "rollout")]
            Error::VersionUnusable { reason } | Error::VersionConflict { reason } => reason.clone(),
            #[cfg(feature = "admin")]
            Error::NothingThere => "The admin interface has nothing there.".into(),
            #[cfg(feature = "admin")]
            Error::BadAdminRequest { reason } => reason.clone(),
            #[cfg(feature = "admin")]
            Error::AdminUncertain { .. } => "This cannot be read or written down just now.".into(),
            Error::MetricsUncertain { .. } => "The metrics cannot be read just now.".into(),
            Error::BodyStalled => "The rest of the body did not come in time.".into(),
            Error::BodyRefused => "The body is not what can be handed on here.".into(),
            #[cfg(feature = "graphql")]
            Error::Graphql(refusal) => refusal.detail().to_owned(),
            #[cfg(any(feature = "graphql", feature = "soap", feature = "json_rpc"))]
            Error::CallFailed(failure) => failure.detail.clone(),
            #[cfg(any(feature = "grpc", feature = "graphql", feature = "soap", feature = "json_rpc"))]
            Error::UntranslatableRequest { reason } => format!("The request is no call of this method: {reason}."),
            #[cfg(feature = "json_rpc")]
            Error::JsonRpc(fault) => fault.message.clone().into_owned(),
            #[cfg(any(feature = "grpc", feature = "graphql", feature = "soap", feature = "json_rpc"))]
            Error::UntranslatableResponse { .. } => "The upstream's answer is none to such a call.".into(),
            #[cfg(feature = "grpc")]
            Error::Rpc(failure) if failure.message.is_empty() => {
                format!("The call ended with {}.", failure.code.name())
            }
            #[cfg(feature = "grpc")]
            Error::Rpc(failure) => failure.message.clone(),
            Error::ExpectationFailed => "The only expectation known here is 100-continue.".into(),
            Error::HeadersTooLarge => "The header fields are more or longer than what is taken here.".into(),
            Error::MethodNotImplemented => "CONNECT and TRACE are not taken here.".into(),
            Error::ClientGone => "The request broke off.".into(),
            Error::Internal { .. } => "The gateway could not handle the request.".into(),
            Error::LoginFailed { .. } => "The provider's answer to the login is not right.".into(),
            Error::UpstreamFailed(_) => "The upstream gave no valid response.".into(),
            Error::CredentialUncertain { .. } => "The credential cannot be checked just now.".into(),
            Error::NoCredential => "The gateway has no credential for the upstream just now.".into(),
            Error::LoopDetected => "The gateway's own requests go round in a circle.".into(),
            Error::UpstreamUnavailable { .. } => "The upstream is not asked for a while.".into(),
            Error::UpstreamTimeout => "The upstream gave no response in time.".into(),
            #[cfg(feature = "compose")]
            Error::CompositionFailed { detail, .. } => detail.clone(),
            #[cfg(feature = "compose")]
            Error::BadBatch { reason } => reason.clone(),
            Error::BadPurge { reason } => reason.clone(),
            Error::PurgeFailed { .. } => "What is to be purged cannot be written down just now.".into(),
            Error::NotCached => "Only a cached answer was wanted, and there is none.".into(),
            Error::NotValidated => {
                "There is a cached answer, but it is too old, and the upstream cannot say whether it is still right."
                    .into()
            }
        }
    }

    /// What happened, in words for the log.
    pub fn reason(&self) -> &str {
        match self {
            #[cfg(feature = "admin")]
            Error::AdminUncertain { reason } => reason,
            Error::Internal { reason }
            | Error::CredentialUncertain { reason }
            | Error::LimitUncertain { reason }
            | Error::MetricsUncertain { reason }
            | Error::PurgeFailed { reason }
            | Error::LoginFailed { reason } => reason,
            #[cfg(feature = "idempotency")]
            Error::Idempotency(Refusal::Uncertain { reason }) => reason,
            #[cfg(feature = "validation")]
            Error::ResponseRefused { reason } => reason,
            #[cfg(feature = "compose")]
            Error::CompositionFailed { reason, .. } => reason,
            #[cfg(any(feature = "grpc", feature = "graphql", feature = "soap", feature = "json_rpc"))]
            Error::UntranslatableResponse { reason } => reason,
            #[cfg(any(feature = "graphql", feature = "soap", feature = "json_rpc"))]
            Error::CallFailed(failure) => &failure.detail,
            _ => "",
        }
    }

    /// The problem details.
    pub fn problem(&self, request_id: &str) -> Vec<u8> {
        let (status, code, title, _) = self.kind();
        let kind = format!("{TYPE}{code}");
        let detail = self.detail();
        let problem = Problem {
            kind: &kind,
            title,
            status,
            detail: &detail,
            request_id,
            #[cfg(feature = "validation")]
            errors: match self {
                Error::Invalid { violations, .. } => violations,
                _ => &[],
            },
            #[cfg(feature = "grpc")]
            call: match self {
                Error::Rpc(failure) => Some(FailedCall { code: failure.code.name(), details: &failure.details }),
                _ => None,
            },
            #[cfg(any(feature = "graphql", feature = "soap", feature = "json_rpc"))]
            told: match self {
                Error::CallFailed(failure) => Some(&failure.members),
                _ => None,
            },
        };
        serde_json::to_vec(&problem).expect("a problem holds only strings and a number, which JSON can write")
    }

    /// The problem details, as `application/problem+json`.
    pub fn into_response<S>(self, request_id: &str) -> Response<S> {
        let (status, ..) = self.kind();
        #[cfg(feature = "json_rpc")]
        if let Error::JsonRpc(fault) = &self {
            return crate::json_rpc::respond(status, fault.to_json());
        }
        let body = Bytes::from(self.problem(request_id));
        let mut headers = Headers::new();
        headers.set("content-type", "application/problem+json");
        headers.set("cache-control", "no-store");
        headers.set("content-length", body.len().to_string());
        match &self {
            Error::MethodNotAllowed { allow } => headers.set("allow", allow.join(", ")),
            Error::Unauthenticated { challenges, .. } => {
                challenges.iter().for_each(|challenge| headers.append("www-authenticate", challenge));
            }
            Error::UnsupportedMediaType { accept } if !accept.is_empty() => headers.set("accept", accept.join(", ")),
            // RFC 9110 §12.5.3: so that the client knows that it is not the type.
            #[cfg(any(feature = "validation", feature = "grpc"))]
            Error::UnsupportedContentCoding => headers.set("accept-encoding", "identity"),
            Error::CredentialUncertain { .. }
            | Error::LimitUncertain { .. }
            | Error::NoCredential
            | Error::PurgeFailed { .. } => {
                headers.set("retry-after", "5");
            }
            #[cfg(feature = "admin")]
            Error::AdminUncertain { .. } => headers.set("retry-after", "5"),
            Error::LimitReached { wait: Some(wait), .. } => headers.set("retry-after", seconds(*wait).to_string()),
            Error::Maintenance { seconds: Some(seconds) } => headers.set("retry-after", seconds.to_string()),
            #[cfg(feature = "idempotency")]
            Error::Idempotency(refusal) => {
                refusal.retry_after().iter().for_each(|seconds| headers.set("retry-after", seconds.to_string()));
            }
            Error::UpstreamUnavailable { seconds } => headers.set("retry-after", seconds.to_string()),
            #[cfg(feature = "grpc")]
            Error::Rpc(failure) => {
                if let Some(seconds) = failure.retry_after() {
                    headers.set("retry-after", seconds.to_string());
                }
            }
            Error::Forbidden { challenge: Some(challenge), .. } => headers.set("www-authenticate", challenge),
            _ => {}
        }
        Response { status, headers, body: Body::Bytes(body) }
    }
}

/// RFC 9457 §3.1.
#[derive(Serialize)]
struct Problem<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    request_id: &'a str,
    /// RFC 9457 §3.2, in the way of its example.
    #[cfg(feature = "validation")]
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [Violation],
    #[cfg(feature = "grpc")]
    #[serde(flatten)]
    call: Option<FailedCall<'a>>,
    #[cfg(any(feature = "graphql", feature = "soap", feature = "json_rpc"))]
    #[serde(flatten)]
    told: Option<&'a serde_json::Map<String, serde_json::Value>>,
}

/// What a service says of a call that it has failed (google/rpc/status.proto); its message is the problem's detail.
#[cfg(feature = "grpc")]
#[derive(Serialize)]
struct FailedCall<'a> {
    code: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    details: &'a [serde_json::Value],
}

/// What every problem's `type` begins with; `docs/problems.md` lists them.
pub const TYPE: &str = "urn:postern:problem:";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_documented_with_its_status() {
        let document = include_str!("../../docs/problems.md");
        let limit = 1;
        for error in [
            Error::BadTarget(path::Invalid::Control),
            Error::BadHost,
            Error::BadFraming,
            Error::BadMethod,
            Error::LoginInvalid { reason: "" },
            Error::LoginDenied { error: String::new() },
            Error::LoginFailed { reason: String::new() },
            Error::Unauthenticated { challenges: vec![], reason: "" },
            Error::Forbidden { reason: String::new(), challenge: None },
            Error::Gone,
            Error::Maintenance { seconds: None },
            Error::NoRoute,
            #[cfg(feature = "rollout")]
            Error::VersionUnusable { reason: String::new() },
            #[cfg(feature = "rollout")]
            Error::VersionConflict { reason: String::new() },
            #[cfg(feature = "admin")]
            Error::NothingThere,
            #[cfg(feature = "admin")]
            Error::BadAdminRequest { reason: String::new() },
            #[cfg(feature = "admin")]
            Error::AdminUncertain { reason: String::new() },
            Error::UnknownHost,
            Error::MethodNotAllowed { allow: vec![] },
            Error::BodyTooLarge { limit },
            Error::TargetTooLong { limit },
            Error::UnsupportedMediaType { accept: vec![] },
            #[cfg(feature = "validation")]
            Error::Invalid { status: 400, violations: vec![] },
            #[cfg(feature = "validation")]
            Error::Invalid { status: 422, violations: vec![] },
            #[cfg(feature = "validation")]
            Error::MalformedBody { reason: String::new() },
            #[cfg(feature = "validation")]
            Error::JsonRefused { reason: String::new() },
            #[cfg(any(feature = "validation", feature = "grpc"))]
            Error::UnsupportedContentCoding,
            Error::BodyRefused,
            #[cfg(feature = "graphql")]
            Error::Graphql(graphql::Refusal::Malformed(String::new())),
            #[cfg(feature = "graphql")]
            Error::Graphql(graphql::Refusal::TooMuch(String::new())),
            #[cfg(feature = "graphql")]
            Error::Graphql(graphql::Refusal::Forbidden(String::new())),
            #[cfg(any(feature = "grpc", feature = "graphql", feature = "soap", feature = "json_rpc"))]
            Error::UntranslatableRequest { reason: String::new() },
            #[cfg(any(feature = "grpc", feature = "graphql", feature = "soap", feature = "json_rpc"))]
            Error::UntranslatableResponse { reason: String::new() },
            #[cfg(feature = "json_rpc")]
            Error::JsonRpc(Box::new(Fault::new(0, ""))),
            #[cfg(feature = "validation")]
            Error::ResponseRefused { reason: String::new() },
            #[cfg(feature = "idempotency")]
            Error::Idempotency(Refusal::Missing { header: String::new() }),
            #[cfg(feature = "idempotency")]
            Error::Idempotency(Refusal::Malformed { header: String::new() }),
            #[cfg(feature = "idempotency")]
            Error::Idempotency(Refusal::UnderWay { for_another: 1 }),
            #[cfg(feature = "idempotency")]
            Error::Idempotency(Refusal::TooLong { status: 200 }),
            #[cfg(feature = "idempotency")]
            Error::Idempotency(Refusal::Unknown),
            #[cfg(feature = "idempotency")]
            Error::Idempotency(Refusal::Reused),
            #[cfg(feature = "idempotency")]
            Error::Idempotency(Refusal::Uncertain { reason: String::new() }),
            Error::ExpectationFailed,
            Error::LimitReached { status: 429, wait: None },
            Error::LimitUncertain { reason: String::new() },
            Error::MetricsUncertain { reason: String::new() },
            Error::HeadersTooLarge,
            Error::ClientGone,
            Error::MethodNotImplemented,
            Error::Internal { reason: String::new() },
            Error::UpstreamFailed(FetchError::Reset),
            Error::CredentialUncertain { reason: String::new() },
            Error::NoCredential,
            Error::BodyStalled,
            Error::UpstreamUnavailable { seconds: 1 },
            Error::UpstreamTimeout,
            Error::LoopDetected,
            #[cfg(feature = "compose")]
            Error::CompositionFailed { status: 502, detail: String::new(), reason: String::new() },
            #[cfg(feature = "compose")]
            Error::CompositionFailed { status: 504, detail: String::new(), reason: String::new() },
            #[cfg(feature = "compose")]
            Error::BadBatch { reason: String::new() },
            Error::BadPurge { reason: String::new() },
            Error::PurgeFailed { reason: String::new() },
            Error::NotCached,
            Error::NotValidated,
        ] {
            let (status, code, ..) = error.kind();
            assert!(document.contains(&format!("| `{code}` | {status} |")), "docs/problems.md lacks {code}, {status}");
        }
    }
}
