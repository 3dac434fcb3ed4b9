//! What `benches/transcoding.mjs` starts in Wasm: calls of a gRPC method by a client of JSON.
#![allow(unsafe_code)] // Exported functions need a name that the linker keeps.

use postern_benches::transcoding::Transcoding;
use std::cell::RefCell;

thread_local! {
    static INPUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static LOADED: RefCell<Option<Transcoding>> = const { RefCell::new(None) };
}

/// Where to write so many bytes of input.
#[unsafe(no_mangle)]
pub extern "C" fn room(size: usize) -> *mut u8 {
    INPUT.with_borrow_mut(|input| {
        input.clear();
        input.resize(size, 0);
        input.as_mut_ptr()
    })
}

/// Takes the input as a compiled configuration. Gives 1 when it loads.
#[unsafe(no_mangle)]
pub extern "C" fn load() -> usize {
    LOADED.set(Transcoding::load(INPUT.take().into()));
    LOADED.with_borrow(|loaded| usize::from(loaded.is_some()))
}

/// Calls so many times. Gives how often it was answered.
#[unsafe(no_mangle)]
pub extern "C" fn run(times: usize) -> usize {
    LOADED.with_borrow(|loaded| loaded.as_ref().map_or(0, |loaded| loaded.run(times)))
}
