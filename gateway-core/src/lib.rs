//! The gateway itself: every decision, no IO.
//!
//! Read the modules in this order. [`gateway`] is the way of one request, top to bottom; [`http`] is what it handles;
//! [`platform`] is all that it asks of the world.

pub mod gateway;
pub mod http;
pub mod instance;
pub mod platform;
pub mod pump;

pub mod outflow;

pub mod route;

pub mod policy;

#[cfg(feature = "compose")]
pub mod compose;

pub mod quota;

pub mod claim;

#[cfg(feature = "cache")]
pub mod cache;

#[cfg(feature = "rollout")]
pub mod rollout;

pub mod jwt;

pub mod certificate;
pub mod signature;

#[cfg(feature = "credentials")]
pub mod credential;
pub mod errand;
pub mod forward;
pub mod request;
pub mod upstream;

#[cfg(feature = "graphql")]
pub mod graphql;
#[cfg(feature = "grpc")]
pub mod grpc;
#[cfg(feature = "json_rpc")]
pub mod json_rpc;
#[cfg(feature = "mcp")]
pub mod mcp;
#[cfg(feature = "soap")]
pub mod soap;
#[cfg(any(feature = "graphql", feature = "soap", feature = "json_rpc"))]
pub mod translate;

pub mod telemetry;

pub mod frozen;
pub mod record;
pub mod together;

pub mod json;
#[cfg(feature = "validation")]
pub mod schema;
pub mod shape;
#[cfg(feature = "validation")]
pub mod validation;

pub mod answer;
pub mod caller;
pub mod client;
#[cfg(feature = "console")]
pub mod console;
pub mod error;
pub mod path;
pub mod secret;
pub mod serve;
pub mod template;

#[cfg(feature = "expressions")]
pub mod expression;

pub mod consumer;
pub mod held;

#[cfg(feature = "admin")]
pub mod admin;
#[cfg(feature = "admin")]
pub mod explain;
pub mod ledger;

pub mod config;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use gateway::{Gateway, Reply};
pub use platform::Platform;
