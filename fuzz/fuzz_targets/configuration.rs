#![no_main]
//! Any text is compiled or its problems are told; what compiles loads.

use gateway_core::Gateway;
use gateway_core::config::{self, Files};
use libfuzzer_sys::fuzz_target;
use std::path::Path;

struct One<'a>(&'a str);

impl Files for One<'_> {
    fn read(&self, path: &Path) -> Result<String, String> {
        if path.starts_with("gateway") { Ok(self.0.to_owned()) } else { Err("not found".to_owned()) }
    }
}

fuzz_target!(|input: (u8, &str)| {
    let name = ["gateway.yaml", "gateway.toml", "gateway.json"][usize::from(input.0 % 3)];
    let compiled = config::compile(Path::new(name), &One(input.1));
    if let Some(artefact) = compiled.artefact {
        Gateway::load(artefact.into(), |_| Some("http://origin.test".to_owned())).expect("what compiles loads");
    }
});
