//! Bodies that change on their way, between two of their chunks.
//!
//! The glue passes the chunks in (`glue/exchange.js`) and says when nobody wants any more of them.

use gateway_core::http::Headers;
use gateway_core::pump::{Broken, Pump};
use std::cell::RefCell;
use std::collections::HashMap;

/// Puts a pump where the glue finds it again, under a number that is never 0.
pub fn keep(pump: Pump) -> u32 {
    TABLE.with_borrow_mut(|table| {
        // Numbers come again after four billion bodies, by which time the first are over.
        table.last = table.last.checked_add(1).unwrap_or(1);
        table.pumps.insert(table.last, pump);
        table.last
    })
}

/// What comes out for these bytes. `None`: the body breaks off, or has done so.
pub fn push(number: u32, bytes: &[u8]) -> Option<Vec<u8>> {
    TABLE.with_borrow_mut(|table| {
        let pushed = table.pumps.get_mut(&number)?.push(bytes);
        if pushed.is_err() {
            table.pumps.remove(&number);
        }
        heard(pushed)
    })
}

/// What comes out at the end. `None`: the body breaks off, or has done so.
pub fn finish(number: u32) -> Option<Vec<u8>> {
    let mut pump = TABLE.with_borrow_mut(|table| table.pumps.remove(&number))?;
    // The runtime neither shows trailers nor sends any.
    heard(pump.finish(Headers::new()).map(|(rest, _)| rest))
}

/// Nobody wants any more of a body.
pub fn forget(number: u32) {
    TABLE.with_borrow_mut(|table| table.pumps.remove(&number));
}

/// How many bodies are under way.
pub fn count() -> usize {
    TABLE.with_borrow(|table| table.pumps.len())
}

fn heard(outcome: Result<Vec<u8>, Broken>) -> Option<Vec<u8>> {
    outcome.inspect_err(|broken| crate::write_notes(&[gateway_core::gateway::Note::broken(broken)])).ok()
}

#[derive(Default)]
struct Table {
    last: u32,
    pumps: HashMap<u32, Pump>,
}

thread_local! {
    static TABLE: RefCell<Table> = RefCell::default();
}
