//! Explanations are given of every configuration, wherever a value of the platform's stands in it: something else stands for each.

#![cfg(all(feature = "compile", feature = "admin", feature = "testing"))]
#![allow(clippy::panic, reason = "a test")]

use bytes::Bytes;
use gateway_core::Gateway;
use gateway_core::config::{self, Text};
use gateway_core::explain::{Explanation, Question, StandIn};
use gateway_core::platform::{Failure, FetchError};
use gateway_core::testing::{TestPlatform, run};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

/// The kinds of texts that may name a value of the platform's.
const KINDS: [&str; 4] = ["Template", "Address", "TargetUrl", "RedisUrl"];

/// Those of these texts that are told to clients as they stand, and so may name none.
const LITERAL: [&str; 2] = ["McpAuthorization.resource", "McpAuthorization.servers"];

/// A configuration in which each of them has a value at every place there is. Which value does not matter.
fn everything() -> Value {
    let methods = |method: Value| json!([{ "authenticate": { "any_of": [method] } }]);
    let route = |name: &str, policies: Value| json!({ "name": name, "path_prefix": format!("/{name}"), "upstream": "plain", "policies": policies });
    let jwt = |issuer: Value| methods(json!({ "jwt": { "issuers": issuer } }));
    let document = json!({ "openapi": "3.1.0", "info": { "title": "t", "version": "1" }, "paths": { "/pets": { "get": { "operationId": "a", "responses": {} } } } });
    json!({
        "counters": { "spin": { "redis": "redis://redis.test" } },
        "telemetry": {
            "attributes": { "a": "b" },
            "otlp": { "endpoint": "https://otel.test", "headers": { "authorization": "a" } },
            "logs": {
                "to": ["otlp", { "http": { "url": "https://logs.test", "headers": { "x-key": "a" } } }],
                "attributes": { "a": "b" },
            },
            "traces": { "to": "otlp" },
            "metrics": { "to": ["otlp", "shared"] },
            "debug": { "secret": "${secret:DEBUG}" },
        },
        "admin": { "path": "/_admin", "tokens": [{ "name": "ops", "token": "${secret:OPS}" }] },
        "identity": { "issuer": "https://gateway.test", "keys": ["${secret:KEY}"] },
        "upstreams": {
            "plain": { "targets": [{ "url": "https://a.test" }] },
            "sticky": {
                "targets": [{ "url": "https://b.test" }, { "url": "https://c.test" }],
                "sticky": { "secret": "${secret:STICKY}" },
                "health": { "check": { "http": { "path": "/health" }, "headers": { "x-check": "a" } } },
            },
            "shown": { "targets": [{ "url": "https://d.test" }], "credentials": [
                { "header": { "name": "x-key", "value": "${secret:SHOWN}" } },
                { "basic": { "username": "a", "password": "${secret:PASSWORD}" } },
            ] },
            "oauth": { "targets": [{ "url": "https://e.test" }], "credentials": [
                { "oauth2": {
                    "token_url": "https://idp.test/token", "client_id": "a", "client_secret": "${secret:CLIENT}", "audience": "a",
                    "resource": "https://e.test", "parameters": { "a": "b" },
                } },
                { "identity": { "audience": "a", "header": "x-identity" } },
            ] },
            "signed": { "targets": [{ "url": "https://f.test" }], "credentials": { "oauth2": {
                "token_url": "https://idp.test/token", "client_id": "a", "client_key": "${secret:CLIENT_KEY}",
            } } },
            "aws": { "targets": [{ "url": "https://g.test" }], "credentials": { "aws": {
                "region": "a", "service": "s3", "access_key_id": "${secret:ID}", "secret_access_key": "${secret:AWS}",
                "session_token": "${secret:SESSION}",
            } } },
        },
        "consumers": [{ "name": "alice", "signers": [
            { "id": "one", "secret": "${secret:ALICE}" },
            { "id": "two", "public_key": "${env:ALICE_PUBLIC}" },
        ] }],
        "routes": [
            { "name": "forwards", "path": "/forwards", "upstream": "plain", "rewrite": "/a" },
            { "name": "sticks", "path": "/sticks", "upstream": "sticky" },
            { "name": "shown", "path": "/shown", "upstream": "shown" },
            { "name": "oauth", "path": "/oauth", "upstream": "oauth" },
            { "name": "signed", "path": "/signed", "upstream": "signed" },
            { "name": "aws", "path": "/aws", "upstream": "aws" },
            { "name": "responds", "path": "/responds", "respond": { "headers": { "x-a": "b" }, "body": "c" } },
            { "name": "redirects", "path": "/redirects", "redirect": { "to": "https://a.test/" } },
            { "name": "graphql", "path": "/graphql", "method": "GET", "upstream": "plain", "graphql": { "document": "{ a }", "path": "/graphql" } },
            { "name": "soap", "path": "/soap", "method": "GET", "upstream": "plain", "soap": { "path": "/s", "action": "a", "body": { "A": {} } } },
            { "name": "mcp", "path": "/mcp", "mcp": { "tools": { "openapi": document }, "authorization": {
                "servers": "https://idp.test", "resource": "https://gateway.test/mcp",
            } }, "policies": jwt(json!({ "issuer": "https://tools.test", "audiences": "https://gateway.test/mcp" })) },
            { "name": "composes", "path": "/composes", "compose": {
                "headers": { "x-a": "b" },
                "steps": { "a": { "upstream": "plain", "path": "/a", "query": { "a": "b" }, "headers": { "x-a": "b" } } },
            } },
            route("cached", json!([{ "cache": { "key": { "values": "a" } } }])),
            route("introspection", methods(json!({ "introspection": { "url": "https://idp.test/i", "client_id": "a", "client_secret": "${secret:I}" } }))),
            route("discovery", jwt(json!({ "issuer": "https://idp.test", "audiences": "a" }))),
            route("described", jwt(json!({ "issuer": "https://idp2.test", "discovery_url": "https://idp2.test/d" }))),
            route("published", jwt(json!({ "issuer": "https://idp3.test", "jwks_url": "https://idp3.test/keys" }))),
            route("public", jwt(json!({ "issuer": "a", "public_keys": { "pem": "${env:PUBLIC}" } }))),
            route("shared", jwt(json!({ "issuer": "b", "secrets": { "secret": "${secret:SHARED}" } }))),
            route("login", methods(json!({ "login": {
                "issuer": "https://idp4.test", "discovery_url": "https://idp4.test/d", "client_id": "a", "client_secret": "${secret:LOGIN}",
                "session_keys": "${secret:SESSIONS}", "parameters": { "a": "b" }, "base_url": "https://gateway.test",
            } }))),
            route("closed", json!([{ "maintenance": { "active": "${env:CLOSED}" } }])),
            route("pages", json!([{ "error_pages": { "pages": { "html": "a", "text": "b" } } }])),
            route("asks", json!([{ "forward_auth": { "url": "https://auth.test", "path": "/a", "cache": { "key": "a", "time": "1s" } } }])),
            route("edits", json!([{ "headers": { "request": { "set": { "x-a": "b" }, "append": { "x-b": "c" }, "default": { "x-c": "d" } } } }])),
            route("links", json!([{ "links": { "replace": { "https://a.test": "https://b.test" }, "cookie_domains": { "a.test": "b.test" }, "cookie_paths": { "/a": "/b" } } }])),
            route("transforms", json!([{ "transform": {
                "request": {
                    "query": { "set": { "a": "b" }, "default": { "b": "c" }, "append": { "c": "d" }, "replace": { "d": "e" } },
                    "cookies": { "set": { "a": "b" }, "default": { "b": "c" }, "append": { "c": "d" }, "replace": { "d": "e" } },
                },
                "response": {
                    "cookies": { "set": { "a": "b" }, "default": { "b": { "value": "c" }, "d": "e" }, "append": { "c": "d" } },
                },
            } }])),
            route("replaces", json!([{ "headers": { "request": { "replace": { "x-d": "e" } } } }])),
        ],
    })
}

#[test]
fn every_place_that_may_name_a_value_can_be_explained_with_that_value_alone() {
    let (whole, schema) = (everything(), config::schema());
    loaded(&whole).unwrap_or_else(|why| panic!("{why}"));
    let mut standing = Vec::new();
    stands(&schema, &schema, "File", &whole, "", &mut standing);
    let mut tried = BTreeSet::new();
    for (place, pointer) in &standing {
        let written = whole.pointer(pointer).and_then(Value::as_str).expect("a text");
        // A part of an address can be named as well.
        let parts = ["https://".to_owned(), "https://a.test:".to_owned(), format!("{written}/")];
        let parts = parts.into_iter().filter(|_| written.starts_with("https://"));
        // What others read takes no secrets.
        let whole_ones = ["${secret:ALONE}", "${env:ALONE}"].map(str::to_owned);
        for named in parts.map(|begins| format!("{begins}${{secret:ALONE}}")).chain(whole_ones) {
            let mut configuration = whole.clone();
            *configuration.pointer_mut(pointer).expect("it is there") = json!(named);
            match loaded(&configuration) {
                Ok(_) => drop(tried.insert(place.clone())),
                // Not everywhere may a part be named.
                Err(Unfit::Compiled(_)) => {}
                Err(Unfit::Loaded(why)) => panic!("{place} ({pointer}) with {named}: {why}"),
            }
        }
    }
    let all = places(&schema);
    assert!(all.len() > 60, "{all:?}");
    let missing: Vec<_> = all.difference(&tried).collect();
    assert_eq!(missing, LITERAL, "places that may name a value, and stand nowhere in `everything`");
}

#[test]
fn what_would_be_shown_to_an_upstream_is_told_without_asking_for_it() {
    let (gateway, stand_ins) = loaded(&everything()).unwrap_or_else(|why| panic!("{why}"));
    let explained = explain(&gateway, stand_ins, "https://gateway.test/oauth");
    let call = explained.call.expect("it is sent on");
    assert_eq!(call.url, "https://e.test/oauth", "not the address that tokens come from");
    let shown = |name: &str| call.edits.iter().find(|edit| edit.name == name).and_then(|edit| edit.value.clone());
    assert_eq!(shown("authorization").as_deref(), Some("Bearer (a token of https://idp.test/token)"));
    assert_eq!(explained.answer.status, 200);
}

/// Why a configuration cannot be explained.
#[derive(Debug)]
enum Unfit {
    Compiled(String),
    Loaded(String),
}

impl std::fmt::Display for Unfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Unfit::Compiled(why) | Unfit::Loaded(why) => f.write_str(why),
        }
    }
}

fn loaded(configuration: &Value) -> Result<(Gateway, Vec<StandIn>), Unfit> {
    let compiled = config::compile(Path::new("gateway.json"), &Text(configuration.to_string()));
    let problems = || {
        format!("{:?}", compiled.problems.iter().map(|problem| (&problem.path, &problem.message)).collect::<Vec<_>>())
    };
    let artefact = compiled.artefact.as_ref().ok_or_else(|| Unfit::Compiled(problems()))?;
    Gateway::load_to_explain(Bytes::from(artefact.clone()), |_| None).map_err(|why| Unfit::Loaded(why.to_string()))
}

fn explain(gateway: &Gateway, stand_ins: Vec<StandIn>, url: &str) -> Explanation {
    let platform = TestPlatform::new(|_| {
        Err(Failure { error: FetchError::Unreachable, detail: "explanations ask nobody".to_owned() })
    });
    let question = Question {
        method: "GET".to_owned(),
        url: url.to_owned(),
        headers: Vec::new(),
        client_address: None,
        country: None,
        data_centre: None,
    };
    run(gateway.explain(&platform, &question, stand_ins)).expect("a URL")
}

/// Where texts of these kinds stand in a configuration: the definition and the field, and the JSON pointer.
fn stands(root: &Value, schema: &Value, place: &str, value: &Value, pointer: &str, found: &mut Vec<(String, String)>) {
    if let Some(name) = schema["$ref"].as_str().and_then(|to| to.rsplit('/').next()) {
        if KINDS.contains(&name) {
            found.extend(value.is_string().then(|| (place.to_owned(), pointer.to_owned())));
            return;
        }
        let definition = &root["$defs"][name];
        let place = if has_fields(definition) { name } else { place };
        return stands(root, definition, place, value, pointer, found);
    }
    for alternative in alternatives(schema) {
        stands(root, alternative, place, value, pointer, found);
    }
    if let Some(items) = value.as_array() {
        for (at, item) in items.iter().enumerate() {
            stands(root, &schema["items"], place, item, &format!("{pointer}/{at}"), found);
        }
    }
    for (name, value) in value.as_object().into_iter().flatten() {
        let pointer = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
        match schema["properties"].get(name) {
            Some(field) => stands(root, field, &format!("{}.{name}", owner(place)), value, &pointer, found),
            None => stands(root, &schema["additionalProperties"], place, value, &pointer, found),
        }
    }
}

/// Every such place that the schema knows.
fn places(root: &Value) -> BTreeSet<String> {
    let definitions = root["$defs"].as_object().into_iter().flatten().map(|(name, schema)| (name.as_str(), schema));
    let mut found = BTreeSet::new();
    for (name, schema) in definitions.chain([("File", root)]) {
        for fields in
            [schema].into_iter().chain(alternatives(schema)).filter_map(|schema| schema["properties"].as_object())
        {
            found.extend(
                fields.iter().filter(|(_, field)| leads(root, field)).map(|(field, _)| format!("{name}.{field}")),
            );
        }
    }
    found
}

/// Whether a field is, or holds, such a text, and not something that has fields of its own.
fn leads(root: &Value, schema: &Value) -> bool {
    if let Some(name) = schema["$ref"].as_str().and_then(|to| to.rsplit('/').next()) {
        return KINDS.contains(&name) || !has_fields(&root["$defs"][name]) && leads(root, &root["$defs"][name]);
    }
    let within = ["items", "additionalProperties"].into_iter().filter_map(|name| schema.get(name));
    within.chain(alternatives(schema)).any(|schema| leads(root, schema))
}

fn alternatives(schema: &Value) -> impl Iterator<Item = &Value> {
    ["anyOf", "oneOf", "allOf"].into_iter().flat_map(|name| schema[name].as_array().into_iter().flatten())
}

fn has_fields(schema: &Value) -> bool {
    schema.get("properties").is_some() || alternatives(schema).any(|schema| schema.get("properties").is_some())
}

fn owner(place: &str) -> &str {
    place.split('.').next().unwrap_or_default()
}
