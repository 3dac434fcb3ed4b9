//! How a request goes to a method of a gRPC service.

use super::forward::Payload;
use super::reply::Origin;
use super::way::Trail;
use super::{Gateway, Reply};
use crate::answer;
use crate::error::Error;
use crate::forward::Forward;
use crate::grpc::{self, Admitted, Grpc};
use crate::http::Body;
use crate::platform::Platform;
use crate::pump::Broken;
use crate::request;
use crate::template::Scope;
use bytes::Bytes;

impl Gateway {
    /// Translates a call for an upstream, and its answer for the client.
    pub(super) async fn call<P: Platform>(
        &self,
        platform: &P,
        grpc: &Grpc,
        payload: Payload<P::Stream>,
        scope: &Scope<'_>,
    ) -> (Reply<P::Stream>, Origin) {
        let protocol = grpc::Protocol::of(scope.line, payload.query.as_deref(), &payload.headers);
        let (mut reply, origin) = match self.translate(platform, grpc, protocol, payload, scope).await {
            Ok(answered) => answered,
            Err(Error::MethodNotAllowed { allow }) if scope.line.method == "OPTIONS" => {
                return (Reply::answer(answer::options(&allow)), Origin::Gateway);
            }
            Err(error) => (Reply::because(platform, error, scope.route), Origin::Gateway),
        };
        if origin != Origin::Upstream {
            reply = told_in(protocol, platform, reply);
        }
        (reply, origin)
    }

    async fn translate<P: Platform>(
        &self,
        platform: &P,
        grpc: &Grpc,
        protocol: grpc::Protocol,
        payload: Payload<P::Stream>,
        scope: &Scope<'_>,
    ) -> Result<(Reply<P::Stream>, Origin), Error> {
        let forward = &grpc.forward;
        let (Some(service), Some(pool)) =
            (self.services.get(grpc.services), self.upstreams.get(forward.upstream as usize))
        else {
            let reason = "the services or the upstream of the route cannot be decoded".to_owned();
            return Err(Error::Internal { reason });
        };
        let path = forward.path.apply(scope)?;
        let trailers = platform.sends_trailers();
        let admitted = grpc.admit(&service, protocol, &scope.line.method, &path, trailers)?;
        let mut timeouts = forward.timeouts.unwrap_or(pool.upstream.timeouts);
        let deadline = grpc::call::client_deadline(&payload.headers);
        if let Some(deadline) = deadline {
            timeouts.attempt = timeouts.attempt.min(deadline);
            timeouts.total = timeouts.total.min(deadline);
        }
        if timeouts.total == 0 {
            return Err(Error::UpstreamTimeout);
        }
        let left = timeouts.attempt.min(timeouts.total);
        let forward = &Forward { timeouts: Some(timeouts), ..forward.clone() };
        let call = match admitted {
            Admitted::Call(call) => call,
            Admitted::Pass(gives_many) => {
                let mut payload = payload;
                if !gives_many {
                    grpc::call::tell_what_is_left(&mut payload.headers, left);
                }
                if protocol == grpc::Protocol::Grpc {
                    // It was for the last hop, and gRPC servers ask for it.
                    payload.headers.set("te", "trailers");
                }
                return Ok(self.forward(platform, forward, payload, scope).await);
            }
        };
        let (query, headers) = (payload.query.as_deref(), &payload.headers);
        let (body, refusal) = if call.takes_many() {
            // What is short by its declared length is read first, so that nothing is sent of what turns out to be no call.
            let is_short = payload.content_length.is_some_and(|length| length <= grpc.message_limit);
            let body = if is_short {
                Body::Bytes(request::whole(platform, payload.body, payload.content_length, grpc.message_limit).await?)
            } else {
                payload.body
            };
            let is_empty = match &body {
                Body::Empty => true,
                Body::Bytes(bytes) => bytes.is_empty(),
                Body::Stream(_) | Body::Pumped(..) | Body::Made(_) => false,
            };
            let (upload, refusal) = call.upload(query, headers, is_empty)?;
            let body = body
                .pumped(upload)
                .map_err(|Broken(reason)| refusal.take().unwrap_or(Error::UntranslatableRequest { reason }))?;
            (body, refusal)
        } else {
            let most = payload.limit.map_or(grpc.message_limit, |limit| limit.min(grpc.message_limit));
            let body = if call.reads_body() {
                request::whole(platform, payload.body, payload.content_length, most).await?
            } else {
                Bytes::new()
            };
            (Body::Bytes(call.message(query, headers, &body)?), grpc::upload::Refusal::default())
        };
        // Upstreams end a call when this is over. The gateway's own time is for the head, and many answers go on behind it.
        let told = if call.gives_many() { deadline } else { Some(left) };
        let instead = call.request(&payload.headers, body, told);
        let asked = payload.headers.clone();
        let payload =
            Payload { body: Body::Empty, upgrade: None, content_length: None, instead: Some(instead), ..payload };
        let begun = platform.now();
        let (mut reply, mut origin) = self.forward(platform, forward, payload, scope).await;
        let (mut notes, deferred) = (std::mem::take(&mut reply.notes), std::mem::take(&mut reply.deferred));
        let failed = |error: Error| Reply::because(platform, error, scope.route);
        reply = match origin {
            Origin::Gateway | Origin::Lost => match refusal.take() {
                // It broke off on its way, and this is why.
                Some(error) => {
                    notes.clear();
                    failed(error)
                }
                None => reply,
            },
            Origin::Upstream => {
                let late = told.is_some_and(|told| platform.now().saturating_sub(begun) >= told);
                match call.answer(platform, reply.response, &asked, late, platform.request_id()).await {
                    Ok(response) => Reply::answer(response),
                    Err(error) => {
                        // What was called for may well have been done.
                        origin = Origin::Lost;
                        failed(error)
                    }
                }
            }
        };
        notes.append(&mut reply.notes);
        Ok((Reply { notes, deferred, ..reply }, origin))
    }
}

/// What the gateway says by itself, as clients of this protocol hear it.
fn told_in<P: Platform>(protocol: grpc::Protocol, platform: &P, reply: Reply<P::Stream>) -> Reply<P::Stream> {
    if reply.refused.is_some() && protocol != grpc::Protocol::Json {
        platform.watch().translated();
    }
    Reply { response: protocol.refuse(reply.response), ..reply }
}

impl<S> Trail<S> {
    /// What the gateway says by itself, as the client of the route hears it.
    pub(super) fn told<P: Platform<Stream = S>>(&self, platform: &P, reply: Reply<S>) -> Reply<S> {
        match self.protocol {
            Some(protocol) if reply.refused.is_some() => told_in(protocol, platform, reply),
            Some(_) | None => reply,
        }
    }
}
