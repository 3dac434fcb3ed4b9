//! How a request goes to an upstream that speaks another protocol of messages: GraphQL, SOAP, JSON-RPC.

use super::forward::Payload;
use super::reply::Origin;
use super::{Gateway, Reply};
use crate::error::Error;
use crate::http::{Body, Response};
use crate::platform::Platform;
use crate::pump;
use crate::template::{Scope, View};
use crate::translate::{self, Answered, Translation};
use bytes::Bytes;

impl Gateway {
    /// Asks an upstream in its own protocol, and gives the client what becomes of the answer.
    pub(super) async fn exchange<P: Platform>(
        &self,
        platform: &P,
        translation: Translation<'_>,
        payload: Payload<P::Stream>,
        scope: &Scope<'_>,
    ) -> (Reply<P::Stream>, Origin) {
        let fail = |error: Error, origin| (Reply::because(platform, error, scope.route), origin);
        let Payload { headers, query, body, content_length, limit, .. } = payload;
        let body = match translation.request_limit() {
            Some(most) => {
                let most = limit.map_or(most, |limit| limit.min(most));
                match crate::request::whole(platform, body, content_length, most).await {
                    Ok(body) => body,
                    Err(error) => return fail(error, Origin::Gateway),
                }
            }
            None => {
                pump::discard(platform, body);
                Bytes::new()
            }
        };
        let seen = Scope { view: View { headers: Some(&headers), ..scope.view }, ..*scope };
        let instead = match translation.request(&translate::Asked { scope: seen, headers: &headers, body: &body }) {
            Ok(instead) => instead,
            Err(error) => return fail(error, Origin::Gateway),
        };
        let payload = Payload {
            headers,
            query,
            body: Body::Empty,
            upgrade: None,
            content_length: None,
            instead: Some(instead),
            ..payload
        };
        let (reply, origin) = self.forward(platform, translation.forward(), payload, scope).await;
        if origin != Origin::Upstream {
            return (reply, origin);
        }
        let Reply { mut response, notes, deferred, .. } = reply;
        let read = crate::shape::rules::whole(platform, &mut response, translation.answer_limit()).await;
        let Response { status, mut headers, body: unread } = response;
        let answer = match read {
            Ok((_, body)) => {
                let answered = Answered { status, headers: headers.clone(), body };
                translation.answer(&answered)
            }
            Err(why) => {
                pump::discard(platform, unread);
                Err(translate::strange(status, format!("the answer cannot be read: {why}")))
            }
        };
        let (mut reply, origin) = match answer {
            Ok(_) if translation.is_one_way() => {
                translate::describe(&mut headers, 0);
                headers.remove("content-type");
                headers.remove("content-length");
                (Reply::answer(Response { status: 204, headers, body: Body::Empty }), Origin::Upstream)
            }
            Ok(body) => {
                translate::describe(&mut headers, body.len());
                (Reply::answer(Response { status: 200, headers, body: Body::Bytes(body.into()) }), Origin::Upstream)
            }
            // What was asked for may well have been done.
            Err(error) => fail(error, Origin::Lost),
        };
        reply.notes.splice(0..0, notes);
        reply.deferred.extend(deferred);
        (reply, origin)
    }
}
