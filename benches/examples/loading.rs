//! What `benches/loading.mjs` starts in Wasm: one of three ways to load a table of routes.
#![allow(unsafe_code)] // Exported functions need a name that the linker keeps.

use postern_benches::loading::{Way, load};
use std::cell::RefCell;

thread_local! {
    static INPUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Where to write so many bytes: the input, and behind it the path.
#[unsafe(no_mangle)]
pub extern "C" fn room(size: usize) -> *mut u8 {
    INPUT.with_borrow_mut(|input| {
        input.resize(size, 0);
        input.as_mut_ptr()
    })
}

/// Loads what was written in the way of this number; the path has so many bytes.
#[unsafe(no_mangle)]
pub extern "C" fn run(way: usize, path: usize) -> usize {
    let mut input = INPUT.take();
    let path = input.split_off(input.len().saturating_sub(path));
    match (Way::ALL.get(way), std::str::from_utf8(&path)) {
        (Some(way), Ok(path)) => load(*way, input, path),
        (_, _) => 0,
    }
}
