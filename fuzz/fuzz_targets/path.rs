#![no_main]
//! A request target is normalised once and for all, or refused.

use gateway_core::path;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|target: &str| {
    if let Ok(once) = path::parse(target) {
        let twice = path::normalise(&once.path).expect("what is normal is accepted");
        assert_eq!(twice, once.path);
        assert!(!once.path.split('/').any(|segment| segment == "." || segment == ".."));
    }
});
