//! Real servers of other protocols behind both real runtimes: GraphQL (npm `graphql-yoga`), under protection and with REST in front
//! of it, and SOAP (npm `soap`), both versions.

#![allow(clippy::panic, reason = "a test")]

use postern_tests::Platform;
use postern_tests::client::{Seen, exchange, request};
use postern_tests::node::Script;
use postern_tests::running::Running;
use postern_tests::wire::Field;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

#[test]
fn a_graphql_server_is_protected_on_workers() {
    a_graphql_server_is_protected(Platform::Workers);
}

#[test]
fn a_graphql_server_is_protected_on_spin() {
    a_graphql_server_is_protected(Platform::Spin);
}

fn a_graphql_server_is_protected(platform: Platform) {
    let server = Server::start("graphql.mjs");
    let gateway = gateway(platform, &server, |upstream| {
        json!([{
            "name": "graphql", "path": "/graphql", "upstream": upstream,
            "policies": [
                { "graphql": {
                    "limits": { "depth": 5, "cost": 200, "aliases": 2, "batch": 3 },
                    "persisted": { "automatic": "shared" },
                } },
                { "cache": { "ttl": { "default": "1m" } } },
            ],
        }])
    });
    let ask = |body: Value| post(&gateway, "/graphql", &body, "application/json");
    let orders = ask(
        json!({ "query": "query Q($n: Int) { orders(first: $n) { id ...C } } fragment C on Order { customer }", "variables": { "n": 2 } }),
    );
    let expected = json!([{ "id": "1", "customer": "customer 1" }, { "id": "2", "customer": "customer 2" }]);
    assert_eq!((orders.status, &json_of(&orders)["data"]["orders"]), (200, &expected));

    let batch = ask(
        json!([{ "query": "{ order(id: 3) { customer } }" }, { "query": "mutation { createOrder(order: { customer: \"x\", count: 9 }) { id } }" }]),
    );
    let expected =
        json!([{ "data": { "order": { "customer": "customer 3" } } }, { "data": { "createOrder": { "id": "9" } } }]);
    assert_eq!((batch.status, json_of(&batch)), (200, expected));

    // What is stored is not asked again, whether by POST or by GET.
    let first = json_of(&ask(json!({ "query": "query { count }" })))["data"]["count"].clone();
    let again = get(&gateway, "/graphql?query=query%20%7B%20count%20%7D");
    // By its `Accept` a client gets one form or the other, and each is stored for itself; this one names neither, as the first did.
    assert_eq!((again.status, &json_of(&again)["data"]["count"]), (200, &first));

    let hash = sha256("{ orders { id } }");
    let persisted = json!({ "persistedQuery": { "version": 1, "sha256Hash": hash } });
    let missing = ask(json!({ "extensions": persisted }));
    assert_eq!(json_of(&missing)["errors"][0]["message"], json!("PersistedQueryNotFound"));
    let brought = ask(json!({ "query": "{ orders { id } }", "extensions": persisted }));
    assert_eq!(brought.status, 200);
    let known = get(
        &gateway,
        &format!(
            "/graphql?extensions={}",
            encode(&json!({ "persistedQuery": { "version": 1, "sha256Hash": hash } }).to_string())
        ),
    );
    assert_eq!(
        (known.status, &json_of(&known)["data"]["orders"][2]["id"]),
        (200, &json!("3")),
        "{}",
        String::from_utf8_lossy(&known.body)
    );

    for (query, code) in [
        ("{ __schema { types { name } } }", "GRAPHQL_FORBIDDEN"),
        ("{ order(id: 1) { next { next { next { next { id } } } } } }", "GRAPHQL_TOO_MUCH"),
        ("{ orders(first: 200) { items(first: 100) { name } } }", "GRAPHQL_TOO_MUCH"),
        ("{ a: count b: count c: count }", "GRAPHQL_TOO_MUCH"),
        ("{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }", "GRAPHQL_MALFORMED"),
    ] {
        let refused = ask(json!({ "query": query }));
        assert_eq!(json_of(&refused)["errors"][0]["extensions"]["code"], json!(code), "{query}");
        assert_eq!(refused.head.text("content-type"), Some("application/json"), "{query}");
    }
    gateway.stop().expect("nothing left");
}

#[test]
fn rest_is_translated_to_graphql_on_workers() {
    rest_is_translated_to_graphql(Platform::Workers);
}

#[test]
fn rest_is_translated_to_graphql_on_spin() {
    rest_is_translated_to_graphql(Platform::Spin);
}

fn rest_is_translated_to_graphql(platform: Platform) {
    let server = Server::start("graphql.mjs");
    let gateway = gateway(platform, &server, |upstream| {
        let route = |name: &str, path: &str, query: Value| json!({ "name": name, "path": path, "upstream": upstream, "graphql": query });
        json!([
            route(
                "order",
                "/orders/{id}",
                json!({
                    "document": "query($id: ID!, $items: Int = 1) { order(id: $id) { id customer items(first: $items) { name } } }",
                    "variables": { "id": "{id}", "items": "{request.query.items}" },
                    "pick": "order",
                })
            ),
            route(
                "create",
                "/orders",
                json!({
                    "document": "mutation($order: OrderInput!) { createOrder(order: $order) { id customer } }",
                    "variables": { "order": "{body}" },
                    "pick": "createOrder",
                })
            ),
            route("broken", "/broken", json!({ "document": "{ broken }", "errors": { "ORDER_LOCKED": 423 } })),
            route("half", "/half", json!({ "document": "{ count half { id customer } }", "partial": "allow" })),
            route("forbidden", "/forbidden", json!({ "document": "mutation { forbidden }" })),
        ])
    });
    let order = get(&gateway, "/orders/2");
    let expected = json!({ "id": "2", "customer": "customer 2", "items": [{ "name": "item 0" }] });
    assert_eq!((order.status, json_of(&order)), (200, expected));
    assert_eq!(json_of(&get(&gateway, "/orders/2?items=3"))["items"].as_array().map(Vec::len), Some(3));
    assert_eq!(get(&gateway, "/orders/2?items=x").status, 400);
    assert_eq!(get(&gateway, "/orders/99").status, 404);
    let made = post(&gateway, "/orders", &json!({ "customer": "Ann \"A\" \u{1F937}", "count": 12 }), "*/*");
    assert_eq!((made.status, json_of(&made)), (200, json!({ "id": "12", "customer": "Ann \"A\" \u{1F937}" })));
    // What the server's own schema refuses.
    let wrong = post(&gateway, "/orders", &json!({ "customer": 7 }), "*/*");
    assert_eq!(wrong.status, 400, "{}", String::from_utf8_lossy(&wrong.body));
    let broken = get(&gateway, "/broken");
    assert_eq!((broken.status, &json_of(&broken)["errors"][0]["code"]), (423, &json!("ORDER_LOCKED")));
    assert_eq!(json_of(&broken)["detail"], json!("it is locked"));
    let half = get(&gateway, "/half");
    assert_eq!((half.status, &json_of(&half)["half"]), (200, &json!(null)));
    assert_eq!(get(&gateway, "/forbidden").status, 403);
    gateway.stop().expect("nothing left");
}

#[test]
fn json_is_translated_to_soap_on_workers() {
    json_is_translated_to_soap(Platform::Workers);
}

#[test]
fn json_is_translated_to_soap_on_spin() {
    json_is_translated_to_soap(Platform::Spin);
}

fn json_is_translated_to_soap(platform: Platform) {
    let server = Server::start("soap.mjs");
    let versions = ["1.1", "1.2"];
    let upstreams: serde_json::Map<String, Value> = versions
        .iter()
        .zip(&server.addresses)
        .map(|(version, address)| {
            (format!("soap-{version}"), json!({ "targets": [{ "url": format!("http://{address}") }] }))
        })
        .collect();
    let routes: Vec<Value> = versions
        .iter()
        .map(|version| {
            json!({
                "name": format!("soap-{version}"),
                "path": format!("/{version}/{{item}}"),
                "upstream": format!("soap-{version}"),
                "soap": {
                    "version": version,
                    "path": "/stock",
                    "action": "urn:stock/GetStock",
                    "body": "<s:GetStock xmlns:s=\"urn:stock\"><s:item>{item}</s:item></s:GetStock>",
                    "pick": "GetStockResponse",
                    "lists": "GetStockResponse.place",
                    "faults": { "UnknownItem": 404 },
                },
            })
        })
        .collect();
    let configuration = json!({ "upstreams": upstreams, "routes": routes });
    let gateway = Running::start_in(platform, &configuration, &BTreeMap::new(), &[]).expect("a gateway");
    for version in versions {
        let pen = get(&gateway, &format!("/{version}/pen"));
        let expected = json!({ "item": "pen", "count": "7", "place": ["here"] });
        assert_eq!((pen.status, json_of(&pen)), (200, expected), "{version}");
        let odd = get(&gateway, &format!("/{version}/a%26b%3C%2Fs%3Aitem%3E"));
        assert_eq!((odd.status, &json_of(&odd)["item"]), (200, &json!("a&b</s:item>")), "{version}");
        let none = get(&gateway, &format!("/{version}/none"));
        assert_eq!((none.status, &json_of(&none)["detail"]), (404, &json!("no such item")), "{version}");
        assert_eq!(none.head.text("content-type"), Some("application/problem+json"), "{version}");
    }
    gateway.stop().expect("nothing left");
}

// --- what stands around the gateway -----------------------------------------------------------------------------------

fn gateway(platform: Platform, server: &Server, routes: impl Fn(&str) -> Value) -> Running {
    let upstreams = json!({ "server": { "targets": [{ "url": format!("http://{}", server.addresses[0]) }] } });
    let configuration = json!({ "upstreams": upstreams, "routes": routes("server") });
    Running::start_in(platform, &configuration, &BTreeMap::new(), &[]).expect("a gateway")
}

fn get(gateway: &Running, target: &str) -> Seen {
    send(gateway, "GET", target, &[], b"")
}

fn post(gateway: &Running, target: &str, body: &Value, accept: &str) -> Seen {
    let body = body.to_string();
    let length = Field::new("Content-Length", body.len().to_string());
    let fields = [Field::new("Content-Type", "application/json"), Field::new("Accept", accept), length];
    send(gateway, "POST", target, &fields, body.as_bytes())
}

fn send(gateway: &Running, method: &str, target: &str, fields: &[Field], body: &[u8]) -> Seen {
    let message = request(method, target, "api.test", fields, body);
    exchange(gateway.address, &message, method).unwrap_or_else(|error| panic!("{method} {target}: {error}"))
}

fn json_of(seen: &Seen) -> Value {
    serde_json::from_slice(&seen.body)
        .unwrap_or_else(|_| panic!("{}: {}", seen.status, String::from_utf8_lossy(&seen.body)))
}

fn sha256(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn encode(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// A server in Node, and where it listens.
struct Server {
    addresses: Vec<String>,
    _script: Script,
}

impl Server {
    fn start(name: &str) -> Self {
        let script = Script::start(name, []);
        Self { addresses: script.ready().split(' ').map(str::to_owned).collect(), _script: script }
    }
}
