//! Shared by the tests: the format of scenarios, a client and an origin that put exact bytes on the wire, and the
//! platforms that a gateway is tried on.
//!
//! Read [`scenario`] first (`scenarios/README.md` says the same for people who write them), then [`play`].

// Real sockets need real deadlines; the ban is for what runs at the edge.
#![allow(clippy::disallowed_methods)]

pub mod scenario;
pub mod script;
pub mod shop;
pub mod sign;

pub mod access_log;
pub mod batch;
pub mod in_process;
pub mod load;
pub mod memory;
pub mod play;

pub mod browser;
pub mod client;
pub mod events;
pub mod instances;
pub mod origin;
pub mod running;
pub mod wire;

pub mod harness;
pub mod node;
pub mod process;
pub mod provider;
pub mod random;
pub mod websocket;
pub mod yaml;

/// Where a gateway is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    /// The core alone, in this process.
    Test,
    /// The real workerd.
    Workers,
    /// The real component, on the repository's host.
    Spin,
}

impl Platform {
    /// Every platform.
    pub const ALL: [Platform; 3] = [Platform::Test, Platform::Workers, Platform::Spin];
    /// Those that speak HTTP.
    pub const REAL: [Platform; 2] = [Platform::Workers, Platform::Spin];

    /// As scenarios and `postern dev --runtime` spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Platform::Test => "test",
            Platform::Workers => "workers",
            Platform::Spin => "spin",
        }
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
