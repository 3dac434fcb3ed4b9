//! Versions of the configuration on Workers: the Durable Object that owns them and keeps their artefacts.

use crate::http::Commands;
use gateway_core::platform::StoreError;
use gateway_core::record;
use gateway_core::rollout::{Order, Verdict};

const ROLL_OUT: u32 = 70;
const ARTEFACT: u32 = 71;
const KEEP_ARTEFACT: u32 = 72;

/// Writes that the owner of the versions has something to do.
pub fn write_order(out: &mut Commands, number: u32, order: &Order) {
    out.numbers.extend([ROLL_OUT, number]);
    // Plain values: it cannot fail, and an owner that cannot read it says so.
    out.text(&[&serde_json::to_string(order).unwrap_or_default()]);
}

/// Reads what it said, which comes like a value.
pub fn read_verdict(packed: Option<&[u8]>) -> Result<Verdict, StoreError> {
    let packed = packed.ok_or_else(|| StoreError("the owner of the versions says nothing".to_owned()))?;
    record::read(packed).map_err(|error| StoreError(format!("what it decided is unreadable: {error}")))
}

/// Writes that an artefact is wanted. What comes is read like a value.
pub fn write_artefact(out: &mut Commands, number: u32, version: &str) {
    out.numbers.extend([ARTEFACT, number]);
    out.text(&[version]);
}

/// Writes that an artefact is to be kept: the call's body in memory.
pub fn write_keep(out: &mut Commands, number: u32, version: &str) {
    out.numbers.extend([KEEP_ARTEFACT, number]);
    out.text(&[version]);
}
