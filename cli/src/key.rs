//! `postern key`: makes API keys, and the entries by which the gateway knows them.

use std::io::{self, Write};

use gateway_core::consumer;
use serde_json::json;

use crate::arguments::{EntryFormat, KeyHash, KeyNew};
use crate::outcome::{Failure, Outcome};
use crate::secrets;

/// Makes a key, shows it once, and prints the entry to store.
pub fn new(options: &KeyNew) -> Result<Outcome, Failure> {
    let key = Key::draw(&options.prefix)?;
    let entry = Entry { prefix: key.prefix.clone(), hash: consumer::hash(&key.text), expires: options.expires.clone() };
    let mut out = io::stdout().lock();
    match options.format {
        EntryFormat::Yaml => {
            writeln!(
                out,
                "# The key of {}. It is shown this once; give it to them and to nobody else.",
                options.consumer
            )?;
            writeln!(out, "# {}\n#", key.text)?;
            writeln!(out, "# What follows is for the gateway, and opens nothing:")?;
            write!(out, "{}", entry.yaml(&options.consumer))?;
        }
        EntryFormat::Json => {
            let mut document = entry.json(&options.consumer);
            document["key"] = key.text.into();
            writeln!(out, "{document:#}")?;
        }
    }
    Ok(Outcome::Fine)
}

/// Prints the entry for a key that exists already. The key comes through standard input, so that no list of processes and
/// no history of a shell keeps it.
pub fn hash(options: &KeyHash) -> Result<Outcome, Failure> {
    let Key { text, prefix } = existing(options.prefix.as_deref())?;
    let entry = Entry { prefix, hash: consumer::hash(&text), expires: options.expires.clone() };
    let mut out = io::stdout().lock();
    match options.format {
        EntryFormat::Yaml => write!(out, "{}", entry.yaml(&options.consumer))?,
        EntryFormat::Json => writeln!(out, "{:#}", entry.json(&options.consumer))?,
    }
    Ok(Outcome::Fine)
}

/// A key that exists already, from standard input. Its prefix is what is said, or its first four characters.
pub fn existing(prefix: Option<&str>) -> Result<Key, Failure> {
    let text = secrets::read_line("the key")?;
    if text.len() < SHORTEST {
        return Err(Failure::told(format!(
            "this key has {} characters; with fewer than {SHORTEST} it could be found by trying, hash or no hash",
            text.len()
        )));
    }
    let prefix: String = match prefix {
        Some(prefix) => prefix.to_owned(),
        None => text.chars().take(4).take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')).collect(),
    };
    if prefix.is_empty() || !text.starts_with(&prefix) {
        return Err(Failure::told(
            "the key does not begin with this prefix; say with --prefix what may be shown of it",
        ));
    }
    Ok(Key { text, prefix })
}

/// A plain hash keeps only what cannot be guessed.
pub const SHORTEST: usize = 20;

/// A new key, `pk_7fQ2_` and 33 characters drawn from 62: more than 192 bits. The part in front is drawn too, but is shown.
pub struct Key {
    /// All of it.
    pub text: String,
    /// What is shown of it.
    pub prefix: String,
}

impl Key {
    /// Draws one of this kind.
    pub fn draw(kind: &str) -> Result<Self, Failure> {
        let prefix = format!("{kind}_{}", secrets::letters(4)?);
        let text = format!("{prefix}_{}", secrets::letters(33)?);
        Ok(Self { text, prefix })
    }
}

/// What the configuration holds of a key.
struct Entry {
    prefix: String,
    hash: String,
    expires: Option<String>,
}

impl Entry {
    fn yaml(&self, consumer: &str) -> String {
        let Self { prefix, hash, expires } = self;
        let expires = expires.as_ref().map_or(String::new(), |expires| format!("        expires: \"{expires}\"\n"));
        format!(
            "consumers:\n  - name: {consumer}\n    keys:\n      - hash: {hash}\n        prefix: {prefix}\n{expires}",
        )
    }

    fn json(&self, consumer: &str) -> serde_json::Value {
        let mut entry = json!({ "consumer": consumer, "hash": self.hash, "prefix": self.prefix });
        if let Some(expires) = &self.expires {
            entry["expires"] = expires.as_str().into();
        }
        entry
    }
}
