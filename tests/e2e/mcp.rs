//! Real clients of the Model Context Protocol (npm `@modelcontextprotocol/sdk`) list and call tools through both real runtimes:
//! operations of an OpenAPI document in front of an origin, and methods of a real gRPC service, all behind policies.

#![allow(clippy::panic, reason = "a test")]

use postern_tests::Platform;
use postern_tests::origin::{Exchange, Log, Origin, Received, Then};
use postern_tests::process;
use postern_tests::running::Running;
use postern_tests::shop::{Descriptors, Shop};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;

#[test]
fn a_client_lists_and_calls_tools_through_workers() {
    a_client_lists_and_calls_tools(Platform::Workers);
}

#[test]
fn a_client_lists_and_calls_tools_through_spin() {
    a_client_lists_and_calls_tools(Platform::Spin);
}

const KEY: &str = "pk_docs_onlyForTheDocumentation1";

fn a_client_lists_and_calls_tools(platform: Platform) {
    let log = Arc::new(Log::default());
    let origin = Origin::start("pets", Arc::clone(&log), pets).expect("a port");
    let descriptors = Descriptors::write();
    let shop = Shop::start(&descriptors);
    let configuration = configuration(&origin.address.to_string(), &shop.http1);
    let gateway = Running::start(platform, &configuration, &BTreeMap::new()).expect("a gateway");
    let address = format!("http://{}/mcp", gateway.address);

    let said = client(
        &address,
        &json!({ "x-api-key": KEY }),
        &[
            json!({ "name": "getPet", "arguments": { "id": 7 } }),
            json!({ "name": "getPet", "arguments": { "id": "seven" } }),
            json!({ "name": "getPet", "arguments": { "id": 404 } }),
            json!({ "name": "addPet", "arguments": { "name": "Rex", "tags": ["a", "b"] } }),
            json!({ "name": "photo", "arguments": { "id": 7 } }),
            json!({ "name": "Shop.GetOrder", "arguments": { "id": "7", "customer": "eve" } }),
            json!({ "name": "Shop.GetOrder", "arguments": { "id": "404" } }),
            json!({ "name": "Shop.CountOrders", "arguments": {} }),
            json!({ "name": "nobody", "arguments": {} }),
        ],
    );
    assert_eq!(said["error"], Value::Null, "{said}");
    assert_eq!((&said["version"], &said["session"]), (&json!("2025-11-25"), &Value::Null));
    assert_eq!(said["server"], json!({ "name": "pets", "title": "Pets and orders", "version": "3" }));
    assert_eq!(said["instructions"], "Look a pet up before you change it.");
    let names: Vec<&str> =
        said["tools"].as_array().expect("tools").iter().filter_map(|tool| tool["name"].as_str()).collect();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    assert_eq!(
        sorted,
        [
            "Shop.CancelOrder",
            "Shop.CountOrders",
            "Shop.CreateOrder",
            "Shop.GetOrder",
            "Shop.ListOrders",
            "addPet",
            "getPet",
            "photo",
        ]
    );
    assert_eq!(said["pages"], 3, "three at a time");
    let tool =
        |name: &str| names.iter().position(|known| *known == name).map(|at| &said["tools"][at]).expect("it is there");
    assert_eq!(tool("getPet")["annotations"], json!({ "readOnlyHint": true }));
    assert_eq!(tool("Shop.GetOrder")["annotations"]["readOnlyHint"], json!(true), "by its idempotency level");
    assert_eq!(tool("Shop.GetOrder")["inputSchema"]["properties"]["customer"], json!({ "type": "string" }));

    let text = |text: &str| json!({ "type": "text", "text": text });
    let results = &said["results"];
    // The client itself holds this against the output schema.
    assert_eq!(results[0]["structuredContent"], json!({ "id": 7, "name": "Rex", "by": "alice" }), "{}", results[0]);
    assert_eq!(
        (&results[1]["isError"], &results[1]["content"]),
        (&json!(true), &json!([text("`id` must be integer")]))
    );
    assert_eq!(
        (&results[2]["isError"], &results[2]["content"]),
        (&json!(true), &json!([text("The answer has the status 404."), text("no such pet")]))
    );
    assert_eq!(results[3]["content"], json!([text(r#"{"name":"Rex","tags":["a","b"]}"#)]));
    assert_eq!(results[4]["content"], json!([{ "type": "image", "data": "iVBORw==", "mimeType": "image/png" }]));
    assert_eq!(results[5]["structuredContent"]["customer"], "eve", "{}", results[5]);
    assert_eq!(results[6]["isError"], json!(true));
    assert!(results[6]["content"][1]["text"].as_str().is_some_and(|said| said.contains("not_found")), "{}", results[6]);
    assert_eq!(results[7]["structuredContent"], json!({ "count": "18446744073709551615" }));
    assert_eq!(results[8]["code"], json!(-32_602), "{}", results[8]);

    // Nobody is let in without a key, and a key that the tools' own route would take is needed by their routes as well.
    let refused = client(&address, &json!({}), &[]);
    assert!(refused["error"].as_str().is_some_and(|said| said.contains("unauthenticated")), "{refused}");

    // The route's own limit holds for calls of tools: one of five has been used up for each call of this method before.
    let calls = vec![json!({ "name": "addPet", "arguments": { "name": "Rex" } }); 8];
    let limited = client(&address, &json!({ "x-api-key": KEY }), &calls);
    let last = &limited["results"][7];
    assert_eq!(last["isError"], json!(true), "{last}");
    assert_eq!(last["content"][0], text("The answer has the status 429."), "{last}");

    // Whatever came to the origin came by the route, with its policies: without the key, and with what they add.
    let received = log.take();
    assert!(received.len() >= 4, "{}", received.len());
    for one in &received {
        assert_eq!(one.all("x-api-key").count(), 0);
        assert_eq!(one.all("x-consumer").collect::<Vec<_>>(), [b"alice"]);
        assert_eq!(one.all("mcp-protocol-version").count(), 0);
    }
    gateway.stop().expect("nothing left");
}

/// What the client of npm says of a server, and of these calls.
fn client(address: &str, headers: &Value, calls: &[Value]) -> Value {
    let root = process::root();
    let mut child = Command::new(root.join("node_modules/.bin/node"))
        .arg(root.join("tests/e2e/mcp-client.mjs"))
        .arg(address)
        .arg(headers.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("node runs");
    let mut input = child.stdin.take().expect("it listens");
    calls.iter().for_each(|call| writeln!(input, "{call}").expect("it listens"));
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{address}: {said}"))
}

/// The pets.
fn pets(received: &Received, exchange: &mut Exchange<'_>) -> io::Result<Then> {
    let target = String::from_utf8_lossy(&received.target).into_owned();
    let by = received.all("x-consumer").next().unwrap_or_default();
    let (status, kind, body): (&str, &str, Vec<u8>) = match (received.method.as_str(), target.as_str()) {
        ("GET", "/v1/pets/7") => {
            let body = json!({ "id": 7, "name": "Rex", "by": String::from_utf8_lossy(by) });
            ("200 OK", "application/json", body.to_string().into_bytes())
        }
        ("GET", "/v1/pets/7/photo") => ("200 OK", "image/png", b"\x89PNG".to_vec()),
        ("POST", "/v1/pets") => ("201 Created", "application/json", received.body.clone()),
        _ => ("404 Not Found", "text/plain", b"no such pet".to_vec()),
    };
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", body.len());
    exchange.write(&[head.into_bytes(), body].concat())?;
    Ok(Then::Keep)
}

fn configuration(pets: &str, shop: &str) -> Value {
    let protos = process::root().join("examples/grpc/protos");
    let id = json!({ "name": "id", "in": "path", "required": true, "schema": { "type": "integer" } });
    let pet = json!({
        "type": "object", "required": ["id", "name"],
        "properties": { "id": { "type": "integer" }, "name": { "type": "string" }, "by": { "type": "string" } },
    });
    let document = json!({
        "openapi": "3.1.0",
        "info": { "title": "Pets", "version": "1" },
        "servers": [{ "url": "https://api.example.com/v1" }],
        "paths": {
            "/pets/{id}": { "get": { "operationId": "getPet", "summary": "One pet", "parameters": [id.clone()], "responses": {
                "200": { "description": "", "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Pet" } } } },
                "404": { "description": "" },
            } } },
            "/pets/{id}/photo": { "get": { "operationId": "photo", "parameters": [id], "responses": { "200": { "description": "" } } } },
            "/pets": { "post": { "operationId": "addPet", "requestBody": { "required": true, "content": { "application/json": { "schema": {
                "type": "object", "required": ["name"],
                "properties": { "name": { "type": "string" }, "tags": { "type": "array", "items": { "type": "string" } } },
            } } } }, "responses": { "201": { "description": "" } } } },
        },
        "components": { "schemas": { "Pet": pet } },
    });
    let authenticate = json!({ "authenticate": { "any_of": { "api_key": {} } } });
    json!({
        "upstreams": {
            "pets": { "targets": [{ "url": format!("http://{pets}") }] },
            "shop": { "targets": [{ "url": format!("http://{shop}") }] },
        },
        "consumers": [{
            "name": "alice",
            "keys": [{ "hash": "fed49bce939f4778f5bddd8a199cda6eb8c87a440ffb462b529dc1b184615ac9", "prefix": "pk_docs" }],
        }],
        "routes": [
            {
                "name": "pets", "path_prefix": "/v1/pets", "upstream": "pets",
                "policies": [
                    authenticate,
                    { "rate_limit": { "limits": "5 per hour", "key": ["consumer", "method"] } },
                    { "headers": { "request": { "set": { "x-consumer": "{consumer.name}" } } } },
                ],
            },
            {
                "name": "shop", "path": "/shop.v1.Shop/{*rest}", "upstream": "shop", "policies": [authenticate],
                "grpc": { "protos": protos.join("shop/v1/shop.proto"), "imports": protos, "dialect": "connect" },
                "allow": "unreachable-binding",
            },
            {
                "name": "tools", "path": "/mcp", "policies": [authenticate],
                "mcp": {
                    "name": "pets", "title": "Pets and orders", "version": "3", "page_size": 3,
                    "instructions": "Look a pet up before you change it.",
                    "tools": [{ "openapi": document }, { "grpc": "shop" }],
                },
            },
        ],
    })
}
