//! What `benches/limits.mjs` starts in Wasm: decisions of a limit.
#![allow(unsafe_code)] // Exported functions need a name that the linker keeps.

use postern_benches::limits::Live;
use std::cell::RefCell;

thread_local! {
    static LIVE: RefCell<Option<Live>> = const { RefCell::new(None) };
}

/// Makes the keys of a limit of this kind.
#[unsafe(no_mangle)]
pub extern "C" fn prepare(kind: usize) {
    LIVE.set(Some(Live::new(kind)));
}

/// So many decisions.
#[unsafe(no_mangle)]
pub extern "C" fn decide(times: usize) -> usize {
    LIVE.with_borrow_mut(|live| live.as_mut().map_or(0, |live| live.decide(times)))
}
