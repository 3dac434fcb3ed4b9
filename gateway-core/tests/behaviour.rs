//! What the core does, asked from outside. One program: whatever the gateway is generic over is compiled once for all of them.
//!
//!     cargo test -p gateway-core --all-features --test behaviour            # all of them
//!     cargo test -p gateway-core --all-features --test behaviour cache::    # one file

mod admin;
mod cache;
mod checks;
mod claims;
mod compile;
mod compose;
mod consumers;
mod credentials;
mod expressions;
mod graphql;
mod grpc;
mod idempotency;
mod jmespath;
mod json_schema;
mod jwt;
mod limits;
mod mirror;
mod never_panics;
mod policies;
mod proof;
mod rehearsals;
mod replays;
mod rollout;
mod router;
mod rpc;
mod schemas_never_panic;
mod shape;
mod signatures;
mod simulation;
mod telemetry;
mod tokens;
mod upstreams;
mod warnings;
