//! The keeper of claims on Spin: its key-value store, in which those who ask elect who goes on.
//!
//! The store adds in one step, which is all that the election needs; it does not compare and swap.

use crate::counters::bindings::wasi::keyvalue::atomics::increment;
use crate::counters::bindings::wasi::keyvalue::store::{self, Bucket};
use crate::counters::failed;
use gateway_core::claim::{Order, Verdict, elected};
use gateway_core::platform::{Platform, StoreError, Timestamp};

/// Does what is ordered.
pub async fn claim(key: &str, order: &Order) -> Result<Verdict, StoreError> {
    elected::claim(&Store, key, order).await
}

/// The store. It is opened for each step: what a store that was opened earlier has read, it may not read again.
pub struct Store;

fn open() -> Result<Bucket, StoreError> {
    store::open("default").map_err(failed)
}

impl elected::KeyValue for Store {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        open()?.get(key).map_err(failed)
    }

    async fn set(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        open()?.set(key, value).map_err(failed)
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        open()?.delete(key).map_err(failed)
    }

    async fn add(&self, key: &str, amount: i64) -> Result<i64, StoreError> {
        increment(&open()?, key, amount).map_err(failed)
    }

    fn now(&self) -> Timestamp {
        crate::platform::Spin.now()
    }
}
