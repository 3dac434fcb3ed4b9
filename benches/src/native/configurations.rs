//! The configurations that are measured, written as users write them and compiled by the same compiler.

use crate::tables::{self, Row, Shape};
use gateway_core::config::{Disk, Files, Severity, compile};
use serde_json::{Value, json};
use std::path::Path;

/// One route that takes everything and hands it on; nothing else is said.
pub fn pass(origin: &str) -> Value {
    json!({
        "upstreams": { "origin": { "targets": [{ "url": origin }] } },
        "routes": [{ "name": "all", "path_prefix": "/", "upstream": "origin" }],
    })
}

/// The same with a policy.
pub fn limited(origin: &str, policy: &Value) -> Value {
    let mut configuration = pass(origin);
    configuration["routes"][0]["policies"] = json!([policy]);
    configuration["allow"] = "limit-not-atomic".into();
    configuration
}

/// So many routes; each takes GET only, rewrites its path, and makes four edits of the request's fields and three of
/// the response's.
pub fn full(origin: &str, routes: usize) -> Value {
    let route = |(place, row): (usize, Row)| {
        json!({
            "name": route_name(place),
            "path": row.pattern,
            "rewrite": format!("/internal{}", row.pattern.replace("{*rest}", "{rest}")),
        })
    };
    let routes: Vec<_> = tables::rows(Shape::Plain, routes).into_iter().enumerate().map(route).collect();
    let edits = json!([{ "headers": {
        "request": { "set": { "x-route": "{route.name}", "x-tenant": "bench" }, "append": { "x-tag": "edge" }, "remove": ["x-debug"] },
        "response": { "set": { "x-content-type-options": "nosniff", "x-matched-route": "{route.name}" }, "remove": ["x-origin-secret"] },
    } }]);
    json!({
        "upstreams": { "origin": { "targets": [{ "url": origin }] } },
        "groups": [{
            "name": "services",
            "defaults": { "upstream": "origin", "method": "GET", "policies": edits },
            "routes": routes,
        }],
    })
}

/// The same behind a token that this ES256 key (a JWK) has signed, and a limit for each caller, which nobody reaches.
pub fn chain(origin: &str, routes: usize, key: &Value) -> Value {
    let mut configuration = full(origin, routes);
    let jwt = json!({ "issuers": { "issuer": "https://idp.example", "audiences": "orders", "jwks": key } });
    let limit = json!({ "limits": "1,000,000 per second", "key": { "claim": "sub" }, "scope": "instance" });
    if let Some(policies) = configuration["groups"][0]["defaults"]["policies"].as_array_mut() {
        policies
            .splice(0..0, [json!({ "authenticate": { "any_of": [{ "jwt": jwt }] } }), json!({ "rate_limit": limit })]);
    }
    configuration
}

/// So many routes that answer by themselves, with [`ANSWER`].
pub fn respond(routes: usize) -> Value {
    let body = ANSWER.replace('{', "{{").replace('}', "}}");
    let route = |(place, row): (usize, Row)| {
        let headers = json!({ "content-type": "application/json", "x-matched-route": "{route.name}" });
        let answer = json!({ "status": 200, "headers": headers, "body": body });
        json!({ "name": route_name(place), "path": row.pattern, "respond": answer })
    };
    let routes: Vec<_> = tables::rows(Shape::Plain, routes).into_iter().enumerate().map(route).collect();
    json!({ "routes": routes })
}

/// What the route at this place is called.
pub fn route_name(place: usize) -> String {
    format!("route-{place:06}")
}

/// The answer of everything that answers.
pub const ANSWER: &str = r#"{"id":"0190b5a1-7c5e-7000-8000-000000000000","name":"postern","state":"open!!!"}"#;

/// Compiles a configuration as `postern compile` does. The files that it names are on the disk.
pub fn artefact(configuration: &Value) -> Result<Vec<u8>, String> {
    let compiled = compile(Path::new(FILE), &Made(configuration.to_string()));
    compiled.artefact.ok_or_else(|| {
        let errors = compiled.problems.iter().filter(|problem| problem.severity == Severity::Error);
        let messages: Vec<_> = errors.take(3).map(|problem| problem.message.clone()).collect();
        format!("the configuration does not compile: {}", messages.join("; "))
    })
}

const FILE: &str = "gateway.json";

/// The text of the configuration; every other file is read.
struct Made(String);

impl Files for Made {
    fn read(&self, path: &Path) -> Result<String, String> {
        if path == Path::new(FILE) { Ok(self.0.clone()) } else { Disk.read(path) }
    }

    fn read_bytes(&self, path: &Path) -> Result<Vec<u8>, String> {
        Disk.read_bytes(path)
    }
}
