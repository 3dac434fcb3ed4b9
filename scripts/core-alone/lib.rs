//! Everything that the core does for a request, on a platform that does nothing.

use bytes::Bytes;
#[cfg(feature = "cache")]
use gateway_core::cache::purge::{Change, Marks};
use gateway_core::claim;
use gateway_core::gateway::Gateway;
use gateway_core::http::{Body, Headers, Incoming, Peer, Response, Scheme};
use gateway_core::ledger::Ledger;
use gateway_core::outflow::{Left, Outflow};
use gateway_core::platform::{
    Call, Copied, Failure, FetchError, Outlet, Peeked, Platform, ReadError, StoreError, Timestamp,
};
#[cfg(feature = "cache")]
use gateway_core::platform::{Item, Reach};
use gateway_core::quota::{Decision, Order};
#[cfg(feature = "rollout")]
use gateway_core::rollout;
#[cfg(feature = "rollout")]
use gateway_core::template::Reference;
use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

/// What a host would call.
#[unsafe(no_mangle)]
pub extern "C" fn answer() -> u32 {
    let Ok(gateway) = Gateway::load(black_box(Bytes::new()), |_| black_box(None)) else { return 0 };
    let incoming = Incoming {
        method: black_box(String::new()),
        scheme: black_box(Scheme::Http),
        authority: black_box(String::new()),
        target: black_box(String::new()),
        headers: Headers::from_block(black_box(Vec::new())),
        body: black_box(Body::Empty),
        peer: black_box(Peer::default()),
    };
    let handled = pin!(gateway.handle(&Nowhere, incoming));
    u32::from(handled.poll(&mut Context::from_waker(Waker::noop())).is_ready())
}

struct Nowhere;

impl Platform for Nowhere {
    type Stream = ();

    fn now(&self) -> Timestamp {
        black_box(0)
    }

    fn random(&self) -> u64 {
        black_box(0)
    }

    async fn fetch(&self, _: Call<()>) -> Result<Response<()>, Failure> {
        Err(Failure { error: FetchError::Unreachable, detail: black_box(String::new()) })
    }

    async fn read(&self, (): (), _: usize) -> Result<Bytes, ReadError> {
        Err(ReadError::Broken(black_box(String::new())))
    }

    async fn write(&self, _: &Outflow, _: Bytes) -> Result<(), Left> {
        Err(Left)
    }

    fn finish(&self, _: &Outflow, _: bool) {}

    async fn sleep(&self, duration: Duration) {
        black_box(duration);
    }

    async fn lookup(&self, _: &str) -> Result<Option<Bytes>, StoreError> {
        Err(StoreError(black_box(String::new())))
    }

    async fn take(&self, _: &str, _: &Order) -> Result<Decision, StoreError> {
        Err(StoreError(String::new()))
    }

    async fn admit(&self, _: &str, _: &str) -> Result<Option<bool>, StoreError> {
        Ok(None)
    }

    async fn board(&self, _: &str) -> Result<Option<Bytes>, StoreError> {
        Ok(None)
    }

    async fn post(&self, _: &str, _: &str) -> Result<(), StoreError> {
        Err(StoreError(String::new()))
    }

    async fn claim(&self, _: &str, _: &claim::Order) -> Result<claim::Verdict, StoreError> {
        Err(StoreError(String::new()))
    }

    async fn peek(&self, _: (), _: usize) -> Result<Peeked<()>, ReadError> {
        Ok(Peeked::Whole(Bytes::new()))
    }

    fn copy(&self, body: (), _: usize) -> ((), Copied) {
        (body, Copied::default())
    }

    async fn copied(&self, _: Copied) -> Result<Bytes, ReadError> {
        Ok(Bytes::new())
    }

    async fn read_to_end(&self, (): (), _: usize) -> Result<(Bytes, Headers), ReadError> {
        Err(ReadError::Broken(black_box(String::new())))
    }

    fn decodes(&self, _: &str) -> bool {
        black_box(false)
    }

    fn sends_trailers(&self) -> bool {
        false
    }

    fn checks_by_itself(&self) -> bool {
        black_box(false)
    }

    #[cfg(feature = "cache")]
    async fn recall(&self, _: &str, _: Reach) -> Result<Option<(Bytes, Body<()>)>, StoreError> {
        Ok(black_box(None))
    }

    #[cfg(feature = "cache")]
    async fn keep(&self, _: &Item<'_>, body: Body<()>, _: bool) -> (Body<()>, Option<u32>) {
        (body, black_box(None))
    }

    #[cfg(feature = "cache")]
    async fn kept(&self, _: u32) -> Result<(), StoreError> {
        Err(StoreError(String::new()))
    }

    #[cfg(feature = "cache")]
    async fn forget(&self, _: &str, _: Reach) -> Result<(), StoreError> {
        Err(StoreError(String::new()))
    }

    #[cfg(feature = "cache")]
    async fn purges(&self, _: &str, _: &Change) -> Result<Marks, StoreError> {
        Err(StoreError(String::new()))
    }

    #[cfg(feature = "rollout")]
    async fn roll_out(&self, _: &rollout::Order) -> Result<rollout::Verdict, StoreError> {
        Err(StoreError(String::new()))
    }

    #[cfg(feature = "rollout")]
    async fn artefact(&self, _: &str) -> Result<Option<Bytes>, StoreError> {
        Ok(None)
    }

    #[cfg(feature = "rollout")]
    async fn keep_artefact(&self, _: &str, _: Bytes) -> Result<(), StoreError> {
        Err(StoreError(String::new()))
    }

    #[cfg(feature = "rollout")]
    async fn setting(&self, _: &Reference) -> Result<Option<String>, StoreError> {
        Ok(None)
    }

    async fn collect(&self, _: Ledger, _: &[u8]) -> Result<Bytes, StoreError> {
        Err(StoreError(String::new()))
    }

    async fn publish(&self, _: &Outlet, _: &[u8]) -> Result<(), StoreError> {
        Err(StoreError(String::new()))
    }

    fn print(&self, line: &str) {
        black_box(line);
    }
}
