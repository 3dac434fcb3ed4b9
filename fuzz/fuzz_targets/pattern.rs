#![no_main]
//! The index finds a path by a pattern exactly where the pattern matches the path.

use gateway_core::route::index::{By, Freezer, Index};
use gateway_core::route::{Host, Pattern};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &str, bool)| {
    let (text, path, prefix) = input;
    let pattern = if prefix { Pattern::parse_prefix(text) } else { Pattern::parse(text) };
    let Ok(pattern) = pattern else { return };
    let mut freezer = Freezer::default();
    freezer.add(&Host::Any, &By::Path(pattern.clone()), 0, 0);
    let frozen = freezer.freeze().expect("one pattern is small");
    let mut found = Vec::new();
    Index(&frozen).find("", path, &mut found);
    if path.starts_with('/') {
        let fits = !found.is_empty() && pattern.misfit(path).is_none();
        assert_eq!(fits, pattern.matches(path), "{pattern} {path}");
    }
    for name in pattern.parameters() {
        assert!(!pattern.matches(path) || pattern.parameter(name, path).is_some());
    }
});
