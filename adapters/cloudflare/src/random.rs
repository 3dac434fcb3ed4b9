//! Random bits from the runtime, fetched many at a time.

use std::cell::RefCell;
use wasm_bindgen::prelude::wasm_bindgen;

/// Sixty-four random bits.
pub fn next() -> u64 {
    POOL.with_borrow_mut(|pool| {
        if pool.left.is_empty() {
            // One crossing with an object costs more than all the numbers.
            random_values(&mut pool.bytes);
            pool.left = 0..WORDS;
        }
        pool.left.next().map_or(0, |word| u64::from_le_bytes(pool.bytes.as_chunks().0[word]))
    })
}

const WORDS: usize = 64;

struct Pool {
    bytes: [u8; WORDS * 8],
    left: std::ops::Range<usize>,
}

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { bytes: [0; WORDS * 8], left: 0..0 }) };
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = crypto, js_name = getRandomValues)]
    fn random_values(bytes: &mut [u8]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    // Only where there is a runtime to ask.
    #[wasm_bindgen_test]
    fn no_number_comes_twice() {
        let numbers: std::collections::HashSet<u64> = (0..WORDS * 3).map(|_| next()).collect();
        assert_eq!(numbers.len(), WORDS * 3);
    }
}
