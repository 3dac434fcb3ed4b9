//! Finds the configuration that a command is about, or writes a new one.

use std::fs::OpenOptions;
use std::io::{self, Write};
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

/// Writes one, but never over a file.
pub fn create(file: &Path, text: &str) -> Result<(), Failure> {
    let told = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Failure::told(format!("`{}` is there already, and is left as it is", file.display()))
        }
        _ => Failure::told(format!("cannot write `{}`: {error}", file.display())),
    };
    let mut file = OpenOptions::new().write(true).create_new(true).open(file).map_err(told)?;
    file.write_all(text.as_bytes()).map_err(told)
}
