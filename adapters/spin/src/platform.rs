//! What the core asks of the world, on Spin.

use crate::counters;
use crate::http::{self, Stream};
use crate::redis;
#[cfg(feature = "cache")]
use crate::shelf;
use bytes::Bytes;
#[cfg(feature = "cache")]
use gateway_core::cache::purge::{Change, Marks};
use gateway_core::claim;
#[cfg(feature = "cache")]
use gateway_core::http::Body;
use gateway_core::http::{Headers, Response};
use gateway_core::ledger::Ledger;
use gateway_core::outflow::{Left, Outflow};
use gateway_core::platform::{
    Call, Copied, Failure, FetchError, Outlet, Peeked, Platform, ReadError, StoreError, Timestamp,
};
#[cfg(feature = "cache")]
use gateway_core::platform::{Item, Reach};
use gateway_core::quota::{self, Decision};
#[cfg(feature = "rollout")]
use gateway_core::rollout::{Order, Verdict, elected};
#[cfg(feature = "rollout")]
use gateway_core::template::Reference;
use spin_sdk::key_value::{self, Store};
use spin_sdk::wasip3::clocks::{monotonic_clock, system_clock};
use spin_sdk::wasip3::http::client;
use spin_sdk::wasip3::http::types::{ErrorCode, RequestOptions};
use spin_sdk::wasip3::random::random;
use std::time::Duration;

/// Spin.
pub struct Spin;

impl Platform for Spin {
    type Stream = Stream;

    fn now(&self) -> Timestamp {
        let now = system_clock::now();
        // A clock before 1970 counts as 1970.
        u64::try_from(now.seconds).unwrap_or(0) * 1_000 + u64::from(now.nanoseconds / 1_000_000)
    }

    fn random(&self) -> u64 {
        random::get_random_u64()
    }

    async fn fetch(&self, call: Call<Stream>) -> Result<Response<Stream>, Failure> {
        let patience = call.patience;
        let (request, ending) = http::write_request(call)?;
        match client::send(request).await {
            Ok(response) => http::read_response(response, patience),
            Err(code) => Err(failure(ending.get().unwrap_or_else(|| meaning(&code)), &code)),
        }
    }

    async fn read(&self, body: Stream, limit: usize) -> Result<Bytes, ReadError> {
        http::read_body(body, limit).await
    }

    async fn read_to_end(&self, body: Stream, limit: usize) -> Result<(Bytes, Headers), ReadError> {
        http::read_to_end(body, limit).await
    }

    /// Bodies pass as they are.
    fn decodes(&self, _: &str) -> bool {
        false
    }

    async fn lookup(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        let failed = |error: key_value::Error| StoreError(error.to_string());
        let store = Store::open_default().await.map_err(failed)?;
        Ok(store.get(key).await.map_err(failed)?.map(Bytes::from))
    }

    /// Spin has no limiters of its own.
    async fn admit(&self, _: &str, _: &str) -> Result<Option<bool>, StoreError> {
        Ok(None)
    }

    async fn take(&self, key: &str, order: &quota::Order) -> Result<Decision, StoreError> {
        match redis::take(key, order, || self.now()).await {
            Some(taken) => taken,
            None => counters::take(key, order, self.now()),
        }
    }

    #[cfg(feature = "telemetry")]
    async fn collect(&self, ledger: Ledger, added: &[u8]) -> Result<Bytes, StoreError> {
        crate::ledgers::collect(ledger, added, self.now())
    }

    #[cfg(not(feature = "telemetry"))]
    async fn collect(&self, _: Ledger, _: &[u8]) -> Result<Bytes, StoreError> {
        Err(StoreError("this gateway was built without ledgers".to_owned()))
    }

    /// Spin has neither queues nor datasets.
    async fn publish(&self, outlet: &Outlet, _: &[u8]) -> Result<(), StoreError> {
        Err(StoreError(format!("Spin has no {outlet}")))
    }

    fn print(&self, line: &str) {
        crate::write_line(line);
    }

    async fn board(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        self.lookup(&board(key)).await
    }

    async fn post(&self, key: &str, text: &str) -> Result<(), StoreError> {
        let failed = |error: key_value::Error| StoreError(error.to_string());
        let store = Store::open_default().await.map_err(failed)?;
        store.set(board(key), text.as_bytes()).await.map_err(failed)
    }

    /// Nobody wakes a component up without a request.
    fn sends_trailers(&self) -> bool {
        true
    }

    fn checks_by_itself(&self) -> bool {
        false
    }

    async fn claim(&self, key: &str, order: &claim::Order) -> Result<claim::Verdict, StoreError> {
        crate::claims::claim(key, order).await
    }

    async fn peek(&self, body: Stream, limit: usize) -> Result<Peeked<Stream>, ReadError> {
        http::peek_body(body, limit).await
    }

    fn copy(&self, body: Stream, limit: usize) -> (Stream, Copied) {
        http::copy_body(body, limit)
    }

    async fn copied(&self, copy: Copied) -> Result<Bytes, ReadError> {
        copy.brought().await
    }

    #[cfg(feature = "cache")]
    async fn recall(&self, key: &str, _: Reach) -> Result<Option<(Bytes, Body<Stream>)>, StoreError> {
        shelf::recall(key, self.now()).await
    }

    /// There is no other cache.
    #[cfg(feature = "cache")]
    fn recalls_from_store(&self, _: Reach) -> bool {
        true
    }

    #[cfg(feature = "cache")]
    async fn keep(&self, item: &Item<'_>, body: Body<Stream>, shared: bool) -> (Body<Stream>, Option<u32>) {
        shelf::keep(item, body, shared, self.now()).await
    }

    #[cfg(feature = "cache")]
    async fn kept(&self, ticket: u32) -> Result<(), StoreError> {
        shelf::kept(ticket).await
    }

    #[cfg(feature = "cache")]
    async fn forget(&self, key: &str, _: Reach) -> Result<(), StoreError> {
        shelf::forget(key).await
    }

    #[cfg(feature = "cache")]
    async fn purges(&self, key: &str, change: &Change) -> Result<Marks, StoreError> {
        counters::mark(key, change, self.now())
    }

    async fn write(&self, flow: &Outflow, bytes: Bytes) -> Result<(), Left> {
        flow.give(bytes).await
    }

    fn finish(&self, flow: &Outflow, whole: bool) {
        flow.end(whole);
    }

    #[cfg(feature = "rollout")]
    async fn roll_out(&self, order: &Order) -> Result<Verdict, StoreError> {
        elected::roll_out(&crate::claims::Store, order).await
    }

    #[cfg(feature = "rollout")]
    async fn artefact(&self, version: &str) -> Result<Option<Bytes>, StoreError> {
        self.lookup(&elected::artefact(version)).await
    }

    #[cfg(feature = "rollout")]
    async fn keep_artefact(&self, version: &str, artefact: Bytes) -> Result<(), StoreError> {
        let failed = |error: key_value::Error| StoreError(error.to_string());
        let store = Store::open_default().await.map_err(failed)?;
        store.set(elected::artefact(version), &artefact[..]).await.map_err(failed)
    }

    #[cfg(feature = "rollout")]
    async fn setting(&self, reference: &Reference) -> Result<Option<String>, StoreError> {
        crate::config::value(reference).await.map_err(|problem| StoreError(problem.to_string()))
    }

    async fn sleep(&self, duration: Duration) {
        wait(duration).await;
    }
}

/// Where what checks have found is kept.
fn board(key: &str) -> String {
    format!("postern/checks/{key}")
}

/// Returns when so much time has passed.
pub async fn wait(duration: Duration) {
    monotonic_clock::wait_for(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)).await;
}

/// How long a call may take. Spin counts the connection into the first byte's time, so that is the whole: a timer of our
/// own beside it would cost a twentieth of a proxied request.
pub fn options(timeout: Duration) -> Option<RequestOptions> {
    let options = RequestOptions::new();
    let nanoseconds = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
    // The host may not know an option; the others still count.
    let _ = options.set_connect_timeout(Some(nanoseconds));
    let _ = options.set_first_byte_timeout(Some(nanoseconds));
    Some(options)
}

/// What a refused call is.
pub fn refused(detail: &str) -> Failure {
    Failure { error: FetchError::Forbidden, detail: detail.to_owned() }
}

fn failure(error: FetchError, code: &ErrorCode) -> Failure {
    Failure { error, detail: code.to_string() }
}

/// What the host's words mean to the core.
fn meaning(code: &ErrorCode) -> FetchError {
    match code {
        ErrorCode::DnsError(_)
        | ErrorCode::DestinationNotFound
        | ErrorCode::DestinationUnavailable
        | ErrorCode::DestinationIpUnroutable
        | ErrorCode::ConnectionRefused
        | ErrorCode::TlsProtocolError
        | ErrorCode::TlsCertificateError
        | ErrorCode::TlsAlertReceived(_) => FetchError::Unreachable,
        ErrorCode::DnsTimeout
        | ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::HttpResponseTimeout => FetchError::Timeout,
        // Without a limit of ours: the client sent another length than it had declared.
        ErrorCode::HttpRequestBodySize(_) => FetchError::ClientGone,
        ErrorCode::ConnectionLimitReached
        | ErrorCode::DestinationIpProhibited
        | ErrorCode::HttpRequestDenied
        | ErrorCode::HttpRequestLengthRequired
        | ErrorCode::HttpRequestMethodInvalid
        | ErrorCode::HttpRequestUriInvalid
        | ErrorCode::HttpRequestUriTooLong
        | ErrorCode::HttpRequestHeaderSectionSize(_)
        | ErrorCode::HttpRequestHeaderSize(_)
        | ErrorCode::HttpRequestTrailerSectionSize(_)
        | ErrorCode::HttpRequestTrailerSize(_)
        | ErrorCode::ConfigurationError => FetchError::Forbidden,
        // Spin says "protocol error" of whatever happens after the connection is there.
        ErrorCode::ConnectionTerminated
        | ErrorCode::HttpProtocolError
        | ErrorCode::HttpResponseIncomplete
        | ErrorCode::HttpResponseHeaderSectionSize(_)
        | ErrorCode::HttpResponseHeaderSize(_)
        | ErrorCode::HttpResponseBodySize(_)
        | ErrorCode::HttpResponseTrailerSectionSize(_)
        | ErrorCode::HttpResponseTrailerSize(_)
        | ErrorCode::HttpResponseTransferCoding(_)
        | ErrorCode::HttpResponseContentCoding(_)
        | ErrorCode::HttpUpgradeFailed
        | ErrorCode::LoopDetected
        | ErrorCode::InternalError(_) => FetchError::Reset,
    }
}
