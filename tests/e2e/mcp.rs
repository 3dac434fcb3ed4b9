//! Real clients of the Model Context Protocol (npm `@modelcontextprotocol/sdk`) list and call tools through both real runtimes:
//! operations of an OpenAPI document in front of an origin, and methods of a real gRPC service, all behind policies.

#![allow(clippy::panic, reason = "a test")]

use postern_tests::Platform;
use postern_tests::origin::Origin;
use postern_tests::process;
use postern_tests::running::Running;
use postern_tests::script::Script;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

#[test]
fn a_client_calls_tools_through_workers() {
    a_client_calls_tools(Platform::Workers);
}

#[test]
fn a_client_calls_tools_through_spin() {
    a_client_calls_tools(Platform::Spin);
}

const KEY: &str = "pk_docs_onlyForTheDocumentation1";
