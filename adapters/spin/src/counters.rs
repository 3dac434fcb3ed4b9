//! The owner of counters on Spin, where the configuration names no Redis: its key-value store.
//!
//! The store adds in one step, so windows and calendar periods are sums and never admit one more. Everything else has to be read,
//! changed and written: in one step for this instance, which does not wait in between, but not for two that do it at the same
//! moment, of which one counts for nothing (`postern check` says so: `limit-not-atomic`).

use bindings::wasi::keyvalue::atomics::increment;
use bindings::wasi::keyvalue::store::{self, Bucket};
#[cfg(feature = "cache")]
use gateway_core::cache::purge::{self, Change, Marks};
use gateway_core::platform::{StoreError, Timestamp};
use gateway_core::quota::{self, Act, Decision, Kept, Order, State};
#[cfg(feature = "cache")]
use gateway_core::record;

pub(crate) mod bindings {
    #![allow(missing_docs, clippy::all, reason = "generated")]
    spin_sdk::wit_bindgen::generate!({
        path: "wit",
        world: "postern:spin/counting",
        runtime_path: "spin_sdk::wit_bindgen::rt",
        generate_all,
    });
}

/// Does what is ordered.
pub fn take(key: &str, order: &Order, now: Timestamp) -> Result<Decision, StoreError> {
    let bucket = store::open("default").map_err(failed)?;
    let windows: Option<Vec<_>> = order.rules.iter().map(|rule| rule.windows(now)).collect();
    match windows {
        Some(windows) => add(&bucket, key, order, &windows, now),
        None => rewrite(&bucket, key, order, now),
    }
}

/// When a window began, and the one before it, where that counts.
type Window = (Timestamp, Option<Timestamp>);

/// Adds to the sum of each window. What turns out to be too much is taken back: for that moment others may be refused, but
/// nobody is admitted who should not be.
fn add(bucket: &Bucket, key: &str, order: &Order, windows: &[Window], now: Timestamp) -> Result<Decision, StoreError> {
    let takes = matches!(order.act, Act::Take { .. } | Act::Once(_));
    let most = match order.act {
        Act::Take { most, .. } => {
            // A cost that no window takes is not worth the trouble.
            let free = quota::perform(order, None, now).decision;
            if free.granted.is_none() {
                return Ok(free);
            }
            amount(most.min(free.granted.unwrap_or(most)))
        }
        Act::Charge(cost) => amount(cost),
        Act::GiveBack(cost) => -amount(cost),
        // Windows hold nothing under a name: what may happen once is one more here.
        Act::Once(_) => 1,
        Act::Release(_) => 0,
    };
    let mut states = Vec::with_capacity(windows.len());
    for (place, (start, before)) in windows.iter().enumerate() {
        let sum = increment(bucket, &sum_key(key, place, *start), most).map_err(failed)?;
        if most < 0 && sum < 0 {
            // What is given back was taken in the window before; this one must not admit one more for that.
            increment(bucket, &sum_key(key, place, *start), most.max(sum).saturating_neg()).map_err(failed)?;
        }
        if sum == most && most > 0 {
            begin(bucket, key, place, (*start, *before))?;
        }
        let before = match before {
            // Adding nothing reads a sum in whichever form the store keeps it.
            Some(before) => increment(bucket, &sum_key(key, place, *before), 0).map_err(failed)?,
            None => 0,
        };
        let used = if takes { sum - most } else { sum };
        states.push(State::Window {
            start: *start,
            used: used.max(0).unsigned_abs(),
            before: before.max(0).unsigned_abs(),
        });
    }
    if !takes {
        return Ok(Decision { granted: Some(0), wait: Some(0), standings: Vec::new() });
    }
    let decision = quota::perform(order, Some(Kept { states }), now).decision;
    let surplus = most - decision.granted.map_or(0, amount);
    if surplus > 0 {
        for (place, (start, _)) in windows.iter().enumerate() {
            increment(bucket, &sum_key(key, place, *start), -surplus).map_err(failed)?;
        }
    }
    Ok(decision)
}

/// The first in a window takes away the sum of the last one that says nothing any more. Who that was is noted.
fn begin(bucket: &Bucket, key: &str, place: usize, (start, before): Window) -> Result<(), StoreError> {
    let note = format!("postern/window/{key}/{place}");
    let noted = bucket.get(&note).map_err(failed)?.and_then(|text| String::from_utf8(text).ok());
    let oldest = before.unwrap_or(start);
    let starts: Vec<Timestamp> =
        noted.iter().flat_map(|text| text.split(' ')).filter_map(|text| text.parse().ok()).collect();
    for over in starts.iter().filter(|noted| **noted < oldest) {
        bucket.delete(&sum_key(key, place, *over)).map_err(failed)?;
    }
    let mut kept: Vec<String> =
        starts.iter().filter(|noted| **noted >= oldest && **noted != start).map(ToString::to_string).collect();
    // Looking at the window before has made a sum of it where there was none.
    let looked_at = before.filter(|before| !starts.contains(before));
    kept.extend(looked_at.iter().chain([&start]).map(ToString::to_string));
    bucket.set(&note, kept.join(" ").as_bytes()).map_err(failed)
}

/// No name that a client chooses, and none under which something else than a sum is kept.
fn sum_key(key: &str, place: usize, start: Timestamp) -> String {
    format!("postern/sum/{key}/{place}/{start}")
}

fn rewrite(bucket: &Bucket, key: &str, order: &Order, now: Timestamp) -> Result<Decision, StoreError> {
    let key = format!("postern/counters/{key}");
    let kept = bucket.get(&key).map_err(failed)?.unwrap_or_default();
    let (step, next) = quota::perform_on_kept_text(order, &kept, now).map_err(|error| StoreError(error.to_string()))?;
    if let Some(next) = next {
        bucket.set(&key, next.as_bytes()).map_err(failed)?;
    }
    Ok(step.decision)
}

/// Changes the marks of what caches have to give back; without any only looks. In one step for this instance.
#[cfg(feature = "cache")]
pub fn mark(key: &str, change: &Change, now: Timestamp) -> Result<Marks, StoreError> {
    let bucket = store::open("default").map_err(failed)?;
    let key = format!("postern/marks/{key}");
    let kept = bucket.get(&key).map_err(failed)?.and_then(|text| record::read(&text).ok());
    let marks = purge::perform(kept, change, now);
    if !change.add.is_empty() {
        let text = serde_json::to_vec(&marks).map_err(|error| StoreError(error.to_string()))?;
        bucket.set(&key, &text).map_err(failed)?;
    }
    Ok(marks)
}

/// What fits into a sum many times over.
fn amount(cost: u64) -> i64 {
    i64::try_from(cost.min(1 << 50)).unwrap_or(i64::MAX)
}

pub(crate) fn failed(error: store::Error) -> StoreError {
    StoreError(match error {
        store::Error::NoSuchStore | store::Error::AccessDenied => {
            "the key-value store `default` is not there; name it in `key_value_stores` of spin.toml".to_owned()
        }
        store::Error::Other(problem) => problem,
    })
}
