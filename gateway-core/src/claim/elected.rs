//! Claims in a store that can get, set, delete and add, but not compare and swap.
//!
//! A claim has generations. Whoever finds it free adds one to the counter of its next generation; only who makes it one has won,
//! looks once more whether the claim is still as it was, and writes it. A winner who never writes is given up for dead by the
//! losers: the first of them notes the time, and when the claim has not changed a lease later, they elect again, for the
//! generation after that.
//!
//! This holds as long as nobody takes longer than a lease from one step to the next but one. What is over is taken out of the
//! store by those who come later, a little each time: an entry in a list for each hour says what to look at, and who removes
//! a claim has to win its next generation too.

use super::{Kept, Order, Step, Verdict, perform};
use crate::platform::{StoreError, Timestamp};
use crate::record;
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

/// A claim in the store.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    /// What is kept; `None`: it was given up.
    #[serde(rename = "k")]
    kept: Option<Kept>,
    #[serde(rename = "g")]
    generation: u64,
    #[serde(rename = "l")]
    lease: u64,
    /// When it was written: no two records of one claim are the same.
    #[serde(rename = "w")]
    written: (Timestamp, u64),
}

/// Does what is ordered. The key is a hash; nothing that a client chooses.
pub async fn claim<K: KeyValue>(store: &K, key: &str, order: &Order) -> Result<Verdict, StoreError> {
    match order {
        Order::Begin { token, lease, .. } => begin(store, key, order, *token, (*lease).max(1)).await,
        Order::Finish { token, .. } | Order::Release { token } => end(store, key, order, *token).await,
    }
}

async fn begin<K: KeyValue>(
    store: &K,
    key: &str,
    order: &Order,
    token: u64,
    lease: u64,
) -> Result<Verdict, StoreError> {
    let (text, record) = look(store, key).await?;
    let kept = record.as_ref().and_then(|record| record.kept.clone());
    let Step { verdict: Verdict::Yours, .. } = perform(order, kept.clone(), store.now()) else {
        return Ok(perform(order, kept, store.now()).verdict);
    };
    let first = record.map_or(0, |record| record.generation + 1);
    for generation in first..first + AT_ONCE {
        if store.add(&counter(key, generation), 1).await? != 1 {
            match wait(store, key, generation, lease).await? {
                0 => continue,
                for_another => return Ok(Verdict::Held { for_another }),
            }
        }
        // Since the first look somebody may have won, and even been done with it.
        if look(store, key).await?.0 != text {
            return Ok(Verdict::Held { for_another: lease });
        }
        let now = store.now();
        let Step { verdict, kept } = perform(order, kept, now);
        write(store, key, &Record { kept, generation, lease, written: (now, token) }).await?;
        // The record is what counts. What cannot be tidied up now takes a place for longer, and nothing else.
        for past in first.saturating_sub(1)..generation {
            drop(store.delete(&counter(key, past)).await);
            drop(store.delete(&noticed(key, past)).await);
        }
        drop(remember(store, key, now.saturating_add(lease)).await);
        return Ok(verdict);
    }
    Ok(Verdict::Held { for_another: lease })
}

/// For how many milliseconds a loser waits for the winner to write; 0: the winner is dead.
async fn wait<K: KeyValue>(store: &K, key: &str, generation: u64, lease: u64) -> Result<u64, StoreError> {
    let noticed = noticed(key, generation);
    let now = store.now();
    let text = store.get(&noticed).await?.and_then(|text| String::from_utf8(text).ok());
    match text.and_then(|text| text.parse::<u64>().ok()).map(|since| now.saturating_sub(since)) {
        Some(waited) if waited < lease => Ok(lease - waited),
        Some(waited) if waited < lease.saturating_mul(2) => Ok(0),
        // Nobody has, or so long ago that it may have been about somebody else.
        Some(_) | None => {
            store.set(&noticed, now.to_string().as_bytes()).await?;
            Ok(lease)
        }
    }
}

async fn end<K: KeyValue>(store: &K, key: &str, order: &Order, token: u64) -> Result<Verdict, StoreError> {
    let (_, record) = look(store, key).await?;
    let kept = record.as_ref().and_then(|record| record.kept.clone());
    let now = store.now();
    let Step { verdict, kept } = perform(order, kept, now);
    if verdict == Verdict::Noted {
        let (generation, lease) = record.map_or((0, 1), |record| (record.generation, record.lease));
        write(store, key, &Record { kept, generation, lease, written: (now, token) }).await?;
        drop(sweep(store).await);
    }
    Ok(verdict)
}

/// What stands there, as it is and as it is read. What another version has written counts as nothing.
async fn look<K: KeyValue>(store: &K, key: &str) -> Result<(Option<Vec<u8>>, Option<Record>), StoreError> {
    let text = store.get(&place(key)).await?;
    let record = text.as_deref().and_then(|text| record::read(text).ok());
    Ok((text, record))
}

async fn write<K: KeyValue>(store: &K, key: &str, record: &Record) -> Result<(), StoreError> {
    let text = serde_json::to_vec(record).map_err(|error| StoreError(error.to_string()))?;
    store.set(&place(key), &text).await
}

fn place(key: &str) -> String {
    format!("postern/claim/{key}")
}

fn counter(key: &str, generation: u64) -> String {
    format!("postern/claim-election/{key}/{generation}")
}

/// When a loser has first seen that a generation has a winner.
fn noticed(key: &str, generation: u64) -> String {
    format!("postern/claim-noticed/{key}/{generation}")
}

/// How many generations, or entries of a list, are gone through at once.
const AT_ONCE: u64 = 4;

const HOUR: u64 = 3_600_000;
/// Says where sweeping goes on: an hour, and a place in its list.
const SWEPT: &str = "postern/claims/swept";

fn list(hour: u64) -> String {
    format!("postern/claims/list/{hour}")
}

fn entry(hour: u64, place: i64) -> String {
    format!("postern/claims/entry/{hour}/{place}")
}

/// Notes that a claim is to be looked at some time after this moment.
async fn remember<K: KeyValue>(store: &K, key: &str, moment: Timestamp) -> Result<(), StoreError> {
    let hour = moment / HOUR + 1;
    let place = store.add(&list(hour), 1).await?;
    store.set(&entry(hour, place), key.as_bytes()).await
}

/// Looks at some of what was noted. When several do it at once, some of it is done twice, and nothing is lost.
async fn sweep<K: KeyValue>(store: &K) -> Result<(), StoreError> {
    let current = store.now() / HOUR;
    let text = store.get(SWEPT).await?.and_then(|text| String::from_utf8(text).ok());
    let from = text.as_deref().and_then(|text| text.split_once(' '));
    let from = from.and_then(|(hour, place)| Some((hour.parse().ok()?, place.parse().ok()?)));
    let from: (u64, i64) = from.unwrap_or((current, 1));
    let (mut hour, mut at) = from;
    for _ in 0..AT_ONCE {
        if hour > current {
            break;
        }
        let entry = entry(hour, at);
        if let Some(key) = store.get(&entry).await?.and_then(|key| String::from_utf8(key).ok()) {
            remove(store, &key).await?;
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

/// Removes a claim that has been over for some time, or notes when to look again. By then what losers have noticed of it is
/// too old to mean anything.
async fn remove<K: KeyValue>(store: &K, key: &str) -> Result<(), StoreError> {
    let (text, Some(record)) = look(store, key).await? else { return Ok(()) };
    let over =
        record.kept.as_ref().map_or(record.written.0, Kept::until).saturating_add(record.lease.saturating_mul(3));
    if store.now() < over {
        return remember(store, key, over).await;
    }
    let next = record.generation + 1;
    if store.add(&counter(key, next), 1).await? == 1 {
        if look(store, key).await?.0 != text {
            return Ok(());
        }
        store.delete(&counter(key, record.generation)).await?;
        store.delete(&noticed(key, record.generation)).await?;
        store.delete(&place(key)).await?;
        // Last, so that nobody wins it who has not seen that the claim is gone.
        store.delete(&counter(key, next)).await?;
        store.delete(&noticed(key, next)).await?;
    }
    Ok(())
}
