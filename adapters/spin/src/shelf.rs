//! The store of caches on Spin: its key-value store, in a fixed number of places.
//!
//! The store knows neither a time to live nor a largest size. So a key has one place among [`PLACES`], what is stored there takes the
//! place of what was, and no body is longer than [`LONGEST`]: the store never takes more than both together. A value cannot be
//! streamed into the store, so a copy of a body is kept in memory while the body itself goes on to the client as it comes.

use crate::http::{self, Stream};
use bytes::Bytes;
use gateway_core::http::Body;
use gateway_core::platform::{Item, StoreError, Timestamp};
use spin_sdk::key_value::{self, Store};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// How many places there are.
const PLACES: u32 = 4096;

/// The longest body, in bytes.
pub const LONGEST: u64 = 512 << 10;

/// The ticket of what is stored already.
const DONE: u32 = u32::MAX;

/// Before the record: the key, until when it says something, and how long the record is.
const HEAD: usize = 64 + 8 + 4;

/// What is stored under a key.
pub async fn recall(key: &str, now: Timestamp) -> Result<Option<(Bytes, Body<Stream>)>, StoreError> {
    let Some(value) = open().await?.get(place(key)).await.map_err(failed)? else { return Ok(None) };
    Ok(read(Bytes::from(value), key, now).map(|(record, body)| (record, Body::Bytes(body))))
}

/// Begins to store a body, and gives it back.
pub async fn keep(item: &Item<'_>, body: Body<Stream>, shared: bool, now: Timestamp) -> (Body<Stream>, Option<u32>) {
    let most = usize::try_from(item.most.min(LONGEST)).unwrap_or(usize::MAX);
    let (place, head) = (place(item.key), head(item, now));
    match body {
        Body::Stream(stream) if shared => {
            let landing = Rc::new(Landing::default());
            let landed = Rc::clone(&landing);
            let stream = http::copy(stream, most, async move |copied: Option<Vec<u8>>| {
                let outcome = match copied {
                    Some(body) => put(&place, head, &body).await,
                    // Too long or broken off: that is no failure of the store.
                    None => Ok(()),
                };
                landed.land(outcome);
            });
            (Body::Stream(stream), Some(landing.ticket()))
        }
        Body::Stream(stream) => match http::read_body(stream, most).await {
            Ok(bytes) => (Body::Empty, put(&place, head, &bytes).await.ok().map(|()| DONE)),
            Err(_) => (Body::Empty, None),
        },
        Body::Bytes(bytes) if bytes.len() > most => (Body::Bytes(bytes), None),
        Body::Bytes(bytes) => {
            let ticket = put(&place, head, &bytes).await.ok().map(|()| DONE);
            (Body::Bytes(bytes), ticket)
        }
        Body::Pumped(..) | Body::Made(_) => (body, None),
        Body::Empty => (Body::Empty, put(&place, head, &[]).await.ok().map(|()| DONE)),
    }
}

/// Waits until a body is stored.
pub async fn kept(ticket: u32) -> Result<(), StoreError> {
    let landing = LANDINGS.with_borrow_mut(|landings| landings.remove(&ticket));
    let Some(landing) = landing else { return Ok(()) };
    poll_fn(|context| match landing.outcome.take() {
        Some(outcome) => Poll::Ready(outcome),
        None => {
            *landing.waker.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        }
    })
    .await
}

/// Takes away what is stored in the place of a key.
pub async fn forget(key: &str) -> Result<(), StoreError> {
    open().await?.delete(place(key)).await.map_err(failed)
}

/// What becomes of a body that is being stored.
#[derive(Default)]
struct Landing {
    outcome: Cell<Option<Result<(), StoreError>>>,
    waker: RefCell<Option<Waker>>,
}

thread_local! {
    static LANDINGS: RefCell<HashMap<u32, Rc<Landing>>> = RefCell::default();
    static LAST: Cell<u32> = const { Cell::new(0) };
}

impl Landing {
    fn ticket(self: Rc<Self>) -> u32 {
        let number = LAST.get().wrapping_add(1) % DONE;
        LAST.set(number);
        LANDINGS.with_borrow_mut(|landings| landings.insert(number, self));
        number
    }

    fn land(&self, outcome: Result<(), StoreError>) {
        self.outcome.set(Some(outcome));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

async fn put(place: &str, mut value: Vec<u8>, body: &[u8]) -> Result<(), StoreError> {
    value.extend_from_slice(body);
    open().await?.set(place, value).await.map_err(failed)
}

fn head(item: &Item<'_>, now: Timestamp) -> Vec<u8> {
    let until = now.saturating_add(item.seconds.saturating_mul(1_000));
    let mut head = Vec::with_capacity(HEAD + item.record.len());
    head.extend_from_slice(item.key.as_bytes());
    head.extend(until.to_le_bytes());
    head.extend(u32::try_from(item.record.len()).unwrap_or(u32::MAX).to_le_bytes());
    head.extend_from_slice(item.record.as_bytes());
    head
}

/// Record and body, where the place holds what was stored under this key and still says something.
fn read(value: Bytes, key: &str, now: Timestamp) -> Option<(Bytes, Bytes)> {
    let until = u64::from_le_bytes(value.get(64..72)?.try_into().ok()?);
    let length = usize::try_from(u32::from_le_bytes(value.get(72..HEAD)?.try_into().ok()?)).ok()?;
    let end = HEAD.checked_add(length).filter(|end| *end <= value.len())?;
    let is_ours = value.get(..64)? == key.as_bytes() && now < until;
    is_ours.then(|| (value.slice(HEAD..end), value.slice(end..)))
}

fn place(key: &str) -> String {
    let number = key.get(..8).and_then(|digits| u32::from_str_radix(digits, 16).ok()).unwrap_or_default();
    format!("postern/cache/{}", number % PLACES)
}

async fn open() -> Result<Store, StoreError> {
    Store::open_default().await.map_err(failed)
}

fn failed(error: key_value::Error) -> StoreError {
    StoreError(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "00001001aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const OTHER: &str = "00000001aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    #[test]
    fn what_is_stored_is_found_by_its_own_key_only_and_in_time() {
        let item =
            Item { key: KEY, record: "{\"r\":1}", seconds: 2, most: 0, reach: gateway_core::platform::Reach::Location };
        let mut value = head(&item, 1_000);
        value.extend(b"body");
        let value = Bytes::from(value);
        let found = |key, now| read(value.clone(), key, now);
        assert_eq!(found(KEY, 2_999), Some((Bytes::from("{\"r\":1}"), Bytes::from("body"))));
        assert_eq!(found(KEY, 3_000), None);
        assert_eq!(place(KEY), place(OTHER), "they share a place");
        assert_eq!(found(OTHER, 1_000), None);
        assert_eq!(read(value.slice(..70), KEY, 0), None);
        assert_eq!(read(value.slice(..HEAD + 2), KEY, 0), None);
    }
}
