//! The compiled configuration: a file that the manifest puts beside the component, and the variables that it refers to.

use crate::redis;
use bytes::Bytes;
use gateway_core::Gateway;
use gateway_core::gateway::LoadError;
use gateway_core::instance::Instance;
use gateway_core::template::Reference;
use spin_sdk::variables;
use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;

/// The gateway, loaded by an instance's first request and kept for the others. So is a failure: an instance lives for some
/// hundred requests at most, and the next one tries again.
pub async fn instance() -> Result<&'static Instance, &'static Problem> {
    if let Some(loaded) = LOADED.get() {
        return loaded;
    }
    // Requests that come while the first one asks for variables load as well; the last one stays. What is loaded lives as
    // long as the instance.
    let loaded = match load().await {
        Ok(instance) => Ok(&*Box::leak(Box::new(instance))),
        Err(problem) => Err(&*Box::leak(Box::new(problem))),
    };
    LOADED.set(Some(loaded));
    loaded
}

/// Why there is no gateway.
#[derive(Debug)]
pub enum Problem {
    /// The artefact is not where it should be.
    NoArtefact(std::io::Error),
    /// The artefact cannot be used.
    Unusable(LoadError),
    /// Spin could not give a variable's value.
    Variable(String, variables::Error),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::NoArtefact(error) => {
                write!(f, "{ARTEFACT}: {error}; `files` in spin.toml puts the output of `postern compile` there")
            }
            Problem::Unusable(error) => write!(f, "{ARTEFACT}: {error}"),
            Problem::Variable(name, error) => write!(f, "the variable `{name}`: {error}"),
        }
    }
}

/// Where the component sees the output of `postern compile`.
const ARTEFACT: &str = "/gateway.bin";

thread_local! {
    static LOADED: Cell<Option<Result<&'static Instance, &'static Problem>>> = const { Cell::new(None) };
}

async fn load() -> Result<Instance, Problem> {
    let artefact = Bytes::from(std::fs::read(ARTEFACT).map_err(Problem::NoArtefact)?);
    let mut values = HashMap::new();
    for reference in Gateway::references(&artefact).map_err(Problem::Unusable)? {
        if let Some(value) = value(&reference).await? {
            values.insert(reference, value);
        }
    }
    let instance = Instance::load(artefact, |reference| values.remove(reference)).map_err(Problem::Unusable)?;
    redis::count_at(instance.bundled().redis());
    Ok(instance)
}

/// A variable's value, if there is one. Spin's names are lower case; what the manifest leaves undefined the gateway
/// reports, all at once.
pub async fn value(reference: &Reference) -> Result<Option<String>, Problem> {
    let name = reference.name.to_lowercase();
    match variables::get(&name).await {
        Ok(value) => Ok(Some(value)),
        Err(variables::Error::Undefined(_) | variables::Error::InvalidName(_)) => Ok(None),
        Err(error @ (variables::Error::Provider(_) | variables::Error::Other(_))) => {
            Err(Problem::Variable(name, error))
        }
    }
}
