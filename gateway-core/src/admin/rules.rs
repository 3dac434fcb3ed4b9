//! The admin interface as it was compiled.

use crate::route::Host;
use crate::template::Template;
use serde::{Deserialize, Serialize};

/// Where it is, and who may use it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rules {
    /// What its paths begin with: normalised, without a slash at the end.
    pub path: String,
    /// The hosts that it answers for.
    pub hosts: Vec<Host>,
    /// Who may use it.
    pub tokens: Vec<TokenRule>,
}

/// Somebody who may use it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRule {
    /// What it is called in the audit log.
    pub name: String,
    /// The token.
    pub secret: Template,
    /// What it may do.
    pub access: Access,
}

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Look.
    Read,
    /// Look, and change.
    Write,
}

/// Which of what happens is kept for it, as a part of what is observed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActivityRules {
    /// The share of requests that come into the live tail.
    pub sample: f64,
    /// How long what has happened waits in an instance, in milliseconds.
    pub interval: u64,
}
