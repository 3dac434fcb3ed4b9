//! Claims in a store that can get, set, delete and add, but not compare and swap.
//!
//! Whoever finds a claim free adds one to the counter of the current *turn*, a stretch of time as long as the lease. Only who
//! makes it one may write the claim, and looks once more before that. A turn that was won, but whose winner has written
//! nothing, blocks the next one too, so that no two turns overlap; it blocks no further, so that a winner who has died
//! blocks for two leases at most.
//!
//! Between two steps of its own a holder can be overtaken only when its lease is over. What is over is taken out of the
//! store by those who come later, a little each time: an entry in a list for each hour says what to look at.

use super::{Kept, Order, Step, Verdict, perform};
use crate::platform::{StoreError, Timestamp};
use serde::{Deserialize, Serialize};

/// The store. Every step is done as a whole, and seen by whoever comes after it.
#[allow(async_fn_in_trait)] // As with the platform.
pub trait KeyValue {
    /// A value.
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError>;
    /// Writes a value.
    async fn set(&self, key: &str, value: &[u8]) -> Result<(), StoreError>;
    /// Removes a value, if there is one.
    async fn delete(&self, key: &str) -> Result<(), StoreError>;
    /// Adds to a counter, which is 0 where there is none; gives the sum.
    async fn add(&self, key: &str, amount: i64) -> Result<i64, StoreError>;
    /// Milliseconds since the Unix epoch.
    fn now(&self) -> Timestamp;
}

/// A claim, and the turn in which it was won.
#[derive(Debug, Serialize, Deserialize)]
struct Won {
    #[serde(rename = "k")]
    kept: Kept,
    /// The counter's key.
    #[serde(rename = "n")]
    turn: String,
}

/// Does what is ordered. The key is a hash; nothing that a client chooses.
pub async fn claim<K: KeyValue>(store: &K, key: &str, order: &Order) -> Result<Verdict, StoreError> {
    match order {
        Order::Begin { lease, .. } => begin(store, key, order, (*lease).max(1)).await,
        Order::Finish { .. } | Order::Release { .. } => end(store, key, order).await,
    }
}

async fn begin<K: KeyValue>(store: &K, key: &str, order: &Order, lease: u64) -> Result<Verdict, StoreError> {
    let found = look(store, key).await?;
    let now = store.now();
    let (last, kept) = found.map_or((None, None), |won| (Some(won.turn), Some(won.kept)));
    let Step { verdict: Verdict::Yours, .. } = perform(order, kept.clone(), now) else {
        return Ok(perform(order, kept, now).verdict);
    };
    let turn = now / lease;
    let ends = |turns: u64| Verdict::Held { for_another: (turn + turns).saturating_mul(lease).saturating_sub(now) };
    if let Some(before) = turn.checked_sub(1).map(|turn| counter(key, lease, turn)) {
        // Its winner may be about to write, unless it is the one who has written last.
        if last.as_ref() != Some(&before) && store.get(&before).await?.is_some() {
            return Ok(ends(1));
        }
    }
    let counter = counter(key, lease, turn);
    if store.add(&counter, 1).await? != 1 {
        return Ok(ends(2));
    }
    // Since the first look somebody may have won this turn, and have been done with it.
    let kept = look(store, key).await?.map(|won| won.kept);
    match perform(order, kept, store.now()) {
        Step { verdict: Verdict::Yours, kept: Some(kept) } => {
            write(store, key, &Won { kept, turn: counter }).await?;
            Ok(Verdict::Yours)
        }
        Step { verdict, .. } => Ok(verdict),
    }
}

async fn end<K: KeyValue>(store: &K, key: &str, order: &Order) -> Result<Verdict, StoreError> {
    let (turn, kept) = look(store, key).await?.map_or((None, None), |won| (Some(won.turn), Some(won.kept)));
    let step = perform(order, kept, store.now());
    if step.verdict != Verdict::Noted {
        return Ok(step.verdict);
    }
    match step.kept {
        Some(kept) => {
            let until = kept.until();
            let turn = turn.unwrap_or_default();
            write(store, key, &Won { kept, turn: turn.clone() }).await?;
            if !turn.is_empty() {
                // What came of it stands there now, so nobody wins this turn once more.
                store.delete(&turn).await?;
            }
            remember(store, key, until).await?;
            sweep(store).await?;
        }
        None => {
            store.delete(&record(key)).await?;
            // In this order: as long as the turn is won, nobody else can win it.
            if let Some(turn) = turn {
                store.delete(&turn).await?;
            }
        }
    }
    Ok(Verdict::Noted)
}

async fn look<K: KeyValue>(store: &K, key: &str) -> Result<Option<Won>, StoreError> {
    // What another version has written counts as nothing.
    Ok(store.get(&record(key)).await?.and_then(|text| serde_json::from_slice(&text).ok()))
}

async fn write<K: KeyValue>(store: &K, key: &str, won: &Won) -> Result<(), StoreError> {
    let text = serde_json::to_vec(won).map_err(|error| StoreError(error.to_string()))?;
    store.set(&record(key), &text).await
}

fn record(key: &str) -> String {
    format!("postern/claim/{key}")
}

fn counter(key: &str, lease: u64, turn: u64) -> String {
    format!("postern/turn/{key}/{lease}/{turn}")
}

const HOUR: u64 = 3_600_000;
/// Says where sweeping goes on: an hour, and a place in its list.
const SWEPT: &str = "postern/claims/swept";
/// How many entries are looked at each time: more than are added.
const AT_ONCE: usize = 4;

fn list(hour: u64) -> String {
    format!("postern/claims/over/{hour}")
}

fn entry(hour: u64, place: i64) -> String {
    format!("postern/claims/entry/{hour}/{place}")
}

/// Notes that a claim will be over by the next full hour.
async fn remember<K: KeyValue>(store: &K, key: &str, until: Timestamp) -> Result<(), StoreError> {
    let hour = until / HOUR + 1;
    let place = store.add(&list(hour), 1).await?;
    store.set(&entry(hour, place), key.as_bytes()).await
}

/// Takes out of the store what is over. When several do it at once, some of it is done twice, and nothing is lost.
async fn sweep<K: KeyValue>(store: &K) -> Result<(), StoreError> {
    let now = store.now();
    let current = now / HOUR;
    let text = store.get(SWEPT).await?.and_then(|text| String::from_utf8(text).ok());
    let place = text.as_deref().and_then(|text| text.split_once(' '));
    let place = place.and_then(|(hour, place)| Some((hour.parse().ok()?, place.parse().ok()?)));
    let from: (u64, i64) = place.unwrap_or((current, 1));
    let (mut hour, mut at) = from;
    for _ in 0..AT_ONCE {
        if hour > current {
            break;
        }
        let entry = entry(hour, at);
        if let Some(key) = store.get(&entry).await?.and_then(|key| String::from_utf8(key).ok()) {
            if let Some(Won { kept, turn }) = look(store, &key).await?
                && kept.until() <= now
            {
                store.delete(&record(&key)).await?;
                if !turn.is_empty() {
                    store.delete(&turn).await?;
                }
            }
            store.delete(&entry).await?;
            at += 1;
        } else if store.add(&list(hour), 0).await? >= at {
            at += 1;
        } else {
            store.delete(&list(hour)).await?;
            (hour, at) = (hour + 1, 1);
        }
    }
    if (hour, at) != from || text.is_none() {
        store.set(SWEPT, format!("{hour} {at}").as_bytes()).await?;
    }
    Ok(())
}
