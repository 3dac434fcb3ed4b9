//! Measures what the gateway costs beside what it would cost otherwise: `make bench`, `docs/benchmarks.md`.
//!
//! Read [`run`] first: it names the parts in order. [`tables`] makes the configurations and requests that all of them
//! share; [`results`] keeps what was measured and writes it down.

// Measuring time is what these programs are for; the ban on clocks is the core's.
#![allow(clippy::disallowed_methods)]

#[cfg(not(target_family = "wasm"))]
mod native {
    pub mod run;

    pub mod abilities;
    pub mod caching;
    pub mod curves;
    pub mod failing;
    pub mod handling;
    pub mod limiting;
    pub mod loaded;
    pub mod lookup;
    pub mod picking;
    pub mod signatures;
    pub mod spin;
    pub mod translating;
    pub mod workers;

    pub mod configurations;
    pub mod rounds;
    pub mod serving;

    pub mod counting;
    pub mod results;
    pub mod timing;
}

#[cfg(not(target_family = "wasm"))]
pub use native::*;

pub mod limits;
pub mod loading;
pub mod still;
pub mod tables;
pub mod transcoding;
