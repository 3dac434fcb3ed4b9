//! What the gateway tells of itself: an access log, traces, metrics, and headers that say how a request was decided.
//!
//! While a request is handled, [`watch`] notes plain values. When its answer is ready, [`Telemetry::end`] puts what it owes to
//! the answer's head, and the record becomes a [`Deferred::Observe`](crate::policy::Deferred::Observe); only after the answer has been sent is it made into lines,
//! spans and sums ([`Telemetry::observe`]), which gather in this instance and leave in batches.
//!
//! There is no timer at the edge. Whoever is first to put something into an empty buffer waits until the batch is due and
//! takes it away; whoever fills a batch takes it away at once.

pub mod watch;

mod context;

#[cfg(feature = "telemetry")]
pub mod debug;
#[cfg(feature = "telemetry")]
pub mod field;
#[cfg(feature = "telemetry")]
mod line;
#[cfg(feature = "telemetry")]
pub mod metrics;
#[cfg(feature = "telemetry")]
mod moment;
#[cfg(feature = "telemetry")]
mod otlp;
#[cfg(feature = "telemetry")]
mod protobuf;
#[cfg(feature = "telemetry")]
pub mod rules;
#[cfg(feature = "telemetry")]
mod runtime;
#[cfg(feature = "telemetry")]
mod sink;

pub use context::{Context, Formats};
#[cfg(feature = "telemetry")]
pub use runtime::Telemetry;

/// The methods that OpenTelemetry knows; others are `_OTHER`, so that nobody can make up new series.
#[cfg(feature = "telemetry")]
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"];

/// Who measures.
#[cfg(feature = "telemetry")]
const SCOPE: &str = "postern";
#[cfg(feature = "telemetry")]
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The version of the semantic conventions that names are from.
#[cfg(feature = "telemetry")]
const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.37.0";

/// A number in so many hexadecimal digits.
#[cfg(feature = "telemetry")]
fn hex(number: u128, digits: usize) -> String {
    format!("{number:0digits$x}")
}
