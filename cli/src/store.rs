//! `postern key write` and `postern key revoke`: keys in the platform's key-value store, through the platform's own tool.

use std::env;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use gateway_core::config::formats;
use gateway_core::consumer::{self, ApiKey, By, Consumer};

use crate::arguments::{KeyRevoke, KeyWrite, Runtime, Store};
use crate::key::{Key, existing};
use crate::outcome::{Failure, Outcome};

/// Makes a key, or takes one that exists, and writes its consumer's record into the store. A new key is shown once, and only
/// when the store has it.
pub fn write(options: &KeyWrite) -> Result<Outcome, Failure> {
    let (key, is_new) = if options.stdin { (existing(None)?, false) } else { (Key::draw(&options.prefix)?, true) };
    let hash = consumer::hash(&key.text);
    let expires = options.expires.as_deref().and_then(formats::moment);
    let record = Consumer {
        name: options.consumer.clone(),
        groups: options.groups.clone(),
        keys: vec![ApiKey { hash: hash.clone().into(), prefix: key.prefix.clone(), expires }],
        ..Consumer::default()
    };
    let record = serde_json::to_string(&record).map_err(|error| Failure::told(error.to_string()))?;
    put(&options.store, &place(&hash), Some(&record))?;
    let mut out = io::stdout().lock();
    if is_new {
        writeln!(out, "# The key of {}. It is shown this once; give it to them and to nobody else.", options.consumer)?;
        writeln!(out, "{}", key.text)?;
    }
    writeln!(io::stderr(), "To revoke it: postern key revoke --hash {hash}")?;
    Ok(Outcome::Fine)
}

/// Takes a key out of the store.
pub fn revoke(options: &KeyRevoke) -> Result<Outcome, Failure> {
    let hash = match &options.hash {
        Some(hash) => hash.clone(),
        None => consumer::hash(&existing(None)?.text),
    };
    put(&options.store, &place(&hash), None)?;
    writeln!(
        io::stderr(),
        "It is refused as soon as no instance of the gateway holds it any more: after `consumers_from.store.hold`."
    )?;
    Ok(Outcome::Fine)
}

fn place(hash: &str) -> String {
    By::Key(hash).stored()
}

/// Writes a value; `None` takes away what is there.
fn put(store: &Store, key: &str, value: Option<&str>) -> Result<(), Failure> {
    match store.platform {
        Runtime::Workers => wrangler(store, key, value),
        // Spin's tool has no command that writes to the store of an application that runs; every store takes such a pair.
        // A record without keys opens nothing, which is what taking it away would do.
        Runtime::Spin => {
            let pair = format!("{key}={}", value.unwrap_or("{}"));
            let mut err = io::stderr().lock();
            writeln!(err, "Put this pair into the application's default store: `spin up --key-value '{pair}'`,")?;
            writeln!(err, "or with the tool of the store that its runtime configuration names.")?;
            writeln!(io::stdout(), "{pair}")?;
            Ok(())
        }
    }
}

fn wrangler(store: &Store, key: &str, value: Option<&str>) -> Result<(), Failure> {
    let tool = tool("wrangler");
    let mut command = Command::new(&tool);
    command.args(["kv", "key"]);
    match value {
        Some(value) => command.args(["put", key, value]),
        None => command.args(["delete", key]),
    };
    command.args(["--binding", &store.binding, if store.local { "--local" } else { "--remote" }]);
    if let Some(folder) = &store.persist_to {
        command.arg("--persist-to").arg(folder);
    }
    // What it says is beside the point; standard output is for the key.
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| {
        Failure::told(format!("cannot run `{}`: {error}; install it with `npm install wrangler`", tool.display()))
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(Failure::told(format!("wrangler could not do it:\n{}", String::from_utf8_lossy(&said).trim())))
}

/// The tool of the project in this folder or above it, or else the system's.
fn tool(name: &str) -> PathBuf {
    let here = env::current_dir().unwrap_or_default();
    let local = here.ancestors().map(|folder| folder.join("node_modules/.bin").join(name)).find(|file| file.is_file());
    local.unwrap_or_else(|| PathBuf::from(name))
}
