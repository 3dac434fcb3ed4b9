//! The `postern` program, run as its users run it.

#![allow(clippy::disallowed_methods, clippy::panic, reason = "a test on a native machine has a clock, and may fail")]

mod admin;
mod check;
mod dev;
mod diff;
mod examples;
mod explain;
mod import;
mod init;
mod key;
mod program;
mod replay;
mod schema;
mod sign;
