//! A platform on which time stands still, nothing is stored, and every upstream answers at once.

use bytes::Bytes;
use gateway_core::cache::purge::{Change, Marks};
use gateway_core::claim;
use gateway_core::http::{Body, Headers, Response};
use gateway_core::ledger::Ledger;
use gateway_core::platform::{
    Call, Copied, Failure, Item, Outlet, Peeked, Platform, Reach, ReadError, StoreError, Timestamp,
};
use gateway_core::quota::{Decision, Order};
use gateway_core::rollout;
use gateway_core::template::Reference;
use std::time::Duration;

/// The platform: what time it is, and what upstreams answer.
pub struct Still<F> {
    /// Always.
    pub now: Timestamp,
    /// To each call.
    pub answer: F,
}

fn nobody<T>() -> Result<T, StoreError> {
    Err(StoreError(String::new()))
}

impl<F: Fn(Call<()>) -> Response<()>> Platform for Still<F> {
    type Stream = ();

    fn now(&self) -> Timestamp {
        self.now
    }

    fn random(&self) -> u64 {
        0x0190_B5A1_7C5E_7000
    }

    async fn fetch(&self, call: Call<()>) -> Result<Response<()>, Failure> {
        Ok((self.answer)(call))
    }

    async fn read(&self, (): (), _: usize) -> Result<Bytes, ReadError> {
        Ok(Bytes::new())
    }

    async fn read_to_end(&self, (): (), _: usize) -> Result<(Bytes, Headers), ReadError> {
        Ok((Bytes::new(), Headers::new()))
    }

    fn decodes(&self, _: &str) -> bool {
        false
    }

    async fn sleep(&self, _: Duration) {}

    async fn lookup(&self, _: &str) -> Result<Option<Bytes>, StoreError> {
        Ok(None)
    }

    async fn take(&self, _: &str, _: &Order) -> Result<Decision, StoreError> {
        nobody()
    }

    async fn admit(&self, _: &str, _: &str) -> Result<Option<bool>, StoreError> {
        Ok(None)
    }

    async fn board(&self, _: &str) -> Result<Option<Bytes>, StoreError> {
        Ok(None)
    }

    async fn post(&self, _: &str, _: &str) -> Result<(), StoreError> {
        nobody()
    }

    fn sends_trailers(&self) -> bool {
        false
    }

    fn checks_by_itself(&self) -> bool {
        false
    }

    async fn claim(&self, _: &str, _: &claim::Order) -> Result<claim::Verdict, StoreError> {
        nobody()
    }

    async fn peek(&self, (): (), _: usize) -> Result<Peeked<()>, ReadError> {
        Ok(Peeked::Whole(Bytes::new()))
    }

    fn copy(&self, (): (), _: usize) -> ((), Copied) {
        ((), Copied::default())
    }

    async fn copied(&self, _: Copied) -> Result<Bytes, ReadError> {
        Ok(Bytes::new())
    }

    async fn recall(&self, _: &str, _: Reach) -> Result<Option<(Bytes, Body<()>)>, StoreError> {
        Ok(None)
    }

    async fn keep(&self, _: &Item<'_>, body: Body<()>, _: bool) -> (Body<()>, Option<u32>) {
        (body, None)
    }

    async fn kept(&self, _: u32) -> Result<(), StoreError> {
        Ok(())
    }

    async fn forget(&self, _: &str, _: Reach) -> Result<(), StoreError> {
        Ok(())
    }

    async fn purges(&self, _: &str, _: &Change) -> Result<Marks, StoreError> {
        nobody()
    }

    async fn roll_out(&self, _: &rollout::Order) -> Result<rollout::Verdict, StoreError> {
        nobody()
    }

    async fn artefact(&self, _: &str) -> Result<Option<Bytes>, StoreError> {
        Ok(None)
    }

    async fn keep_artefact(&self, _: &str, _: Bytes) -> Result<(), StoreError> {
        nobody()
    }

    async fn setting(&self, _: &Reference) -> Result<Option<String>, StoreError> {
        Ok(None)
    }

    async fn collect(&self, _: Ledger, _: &[u8]) -> Result<Bytes, StoreError> {
        nobody()
    }

    async fn publish(&self, _: &Outlet, _: &[u8]) -> Result<(), StoreError> {
        nobody()
    }

    fn print(&self, _: &str) {}
}
