//! Finds the configuration that a command is about.

use std::path::{Path, PathBuf};

use crate::arguments::Configuration;
use crate::outcome::Failure;

/// What a configuration is called where nobody says so.
const NAMES: [&str; 4] = ["gateway.yaml", "gateway.yml", "gateway.toml", "gateway.json"];

/// The configuration that was named, or the one in the current folder.
pub fn find(configuration: &Configuration) -> Result<PathBuf, Failure> {
    if let Some(file) = &configuration.file {
        return Ok(file.clone());
    }
    let here: Vec<_> = NAMES.into_iter().filter(|name| Path::new(name).is_file()).collect();
    match here[..] {
        [only] => Ok(only.into()),
        [] => Err(Failure::told(
            "there is no gateway.yaml, gateway.toml or gateway.json in this folder; name one with --config, or write one \
             with `postern init`",
        )),
        [first, second, ..] => {
            Err(Failure::told(format!("both {first} and {second} are in this folder; say which with --config")))
        }
    }
}
