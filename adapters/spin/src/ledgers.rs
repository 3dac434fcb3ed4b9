//! The owner of the ledgers of all instances, on Spin: its key-value store.
//!
//! The store changes nothing but numbers in one step, so nobody may read a ledger, add to it and write it back. Whoever has
//! something to add takes the next number, in one step, and writes a parcel under it; nobody else ever writes there. Whoever
//! wants the ledger adds all parcels up behind a checkpoint, in the order of their numbers, and writes the next one. Two that do so
//! at once write the same or less, never anything else, since parcels stay for a while after a checkpoint has them.

use crate::counters::bindings::wasi::keyvalue::atomics::increment;
use crate::counters::bindings::wasi::keyvalue::store::{self, Bucket};
use crate::counters::failed;
use bytes::Bytes;
use gateway_core::ledger::Ledger;
use gateway_core::platform::{StoreError, Timestamp};
use gateway_core::record;
use serde::{Deserialize, Serialize};

/// Adds what there is to add; with nothing, gives the ledger.
pub fn collect(ledger: Ledger, added: &[u8], now: Timestamp) -> Result<Bytes, StoreError> {
    let bucket = store::open("default").map_err(failed)?;
    if added.is_empty() {
        return fold(&bucket, ledger, now);
    }
    let number = increment(&bucket, &sequence(ledger), 1).map_err(failed)?;
    bucket.set(&parcel(ledger, number), added).map_err(failed)?;
    // Where nobody ever asks for the ledger, parcels must not pile up. The parcel is written: that they could not be added up is
    // no reason to bring it again, and somebody will try once more.
    if number % EVERY == 0 {
        drop(fold(&bucket, ledger, now));
    }
    Ok(Bytes::new())
}

/// What has been added up.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Checkpoint {
    /// The last parcel in it.
    upto: i64,
    /// The ledger, as the core writes it.
    sums: String,
    /// A parcel that is missing, and since when: its writer is about to write it, or has ended before.
    gap: Option<(i64, Timestamp)>,
    /// The last parcels of earlier checkpoints, and when those were written.
    before: Vec<(i64, Timestamp)>,
    /// Up to this one, parcels are gone.
    gone: i64,
}

/// Where the number of the last parcel is. Nothing else is ever kept there.
fn sequence(ledger: Ledger) -> String {
    format!("postern/{}/sequence", ledger.name())
}

fn checkpoint(ledger: Ledger) -> String {
    format!("postern/{}/checkpoint", ledger.name())
}

/// After so many parcels somebody adds them up.
const EVERY: i64 = 64;

/// How long a writer may take, in milliseconds.
const PATIENCE: u64 = 10_000;

/// For how long parcels stay that a checkpoint has, in milliseconds: longer than anybody takes to add up.
const KEPT: u64 = 60_000;

fn parcel(ledger: Ledger, number: i64) -> String {
    format!("postern/{}/parcel/{number}", ledger.name())
}

fn fold(bucket: &Bucket, ledger: Ledger, now: Timestamp) -> Result<Bytes, StoreError> {
    let read = bucket.get(&checkpoint(ledger)).map_err(failed)?;
    let mut known: Checkpoint = read.and_then(|text| record::read(&text).ok()).unwrap_or_default();
    let last = increment(bucket, &sequence(ledger), 0).map_err(failed)?;
    // All of them, and those of them behind which none is missing.
    let (mut all, mut certain) = (known.sums.clone().into_bytes(), known.sums.clone().into_bytes());
    let (mut upto, mut gap) = (known.upto, None);
    for number in known.upto + 1..=last {
        match bucket.get(&parcel(ledger, number)).map_err(failed)? {
            Some(added) => all = ledger.merge(&all, &added),
            None => {
                let since = known.gap.filter(|(missing, _)| *missing == number).map_or(now, |(_, since)| since);
                if gap.is_none() && now.saturating_sub(since) < PATIENCE {
                    gap = Some((number, since));
                }
            }
        }
        if gap.is_none() {
            upto = number;
            certain.clone_from(&all);
        }
    }
    if upto != known.upto || gap != known.gap {
        let old = known.before.iter().filter(|(_, written)| now.saturating_sub(*written) > KEPT).map(|(upto, _)| *upto);
        let old = old.max().unwrap_or(known.gone);
        for number in known.gone + 1..=old {
            bucket.delete(&parcel(ledger, number)).map_err(failed)?;
        }
        known.before.retain(|(_, written)| now.saturating_sub(*written) <= KEPT);
        known.before.push((upto, now));
        let sums = String::from_utf8(certain).unwrap_or_default();
        let next = Checkpoint { upto, sums, gap, before: known.before, gone: old.max(known.gone) };
        let text = serde_json::to_vec(&next).map_err(|error| StoreError(error.to_string()))?;
        bucket.set(&checkpoint(ledger), &text).map_err(failed)?;
    }
    Ok(all.into())
}
