//! A real service (npm `@connectrpc/connect-node`) behind both real runtimes: JSON for whoever speaks only that, and the clients
//! that browsers use (npm `@connectrpc/connect-web`), whatever the service itself is spoken to.

#![allow(clippy::panic, reason = "a test")]

use postern_tests::Platform;
use postern_tests::client::{Connection, Seen, exchange, request};
use postern_tests::process;
use postern_tests::running::Running;
use postern_tests::shop::Shop;
use postern_tests::wire::Field;
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[test]
fn json_clients_call_a_service_through_workers() {
    json_clients_call_a_service(Platform::Workers);
}

#[test]
fn json_clients_call_a_service_through_spin() {
    json_clients_call_a_service(Platform::Spin);
}

fn json_clients_call_a_service(platform: Platform) {
    let stage = Stage::set(platform);
    for base in stage.bases() {
        let got = stage.send("GET", &format!("{base}/v1/orders/7"), &[Field::new("X-Tenant-Id", "acme")], b"");
        let order = json_of(&got);
        assert_eq!((got.status, &order["id"], &order["status"]), (200, &json!("7"), &json!("STATUS_OPEN")), "{base}");
        assert_eq!(
            (&order["labels"]["tenant"], &order["labels"]["deadline"]),
            (&json!("acme"), &json!("true")),
            "{base}"
        );
        assert_eq!(got.head.text("x-total-count"), Some("5"), "{base}");
        assert_eq!(got.head.text("x-served-by"), Some("shop"), "{base}: a trailer");

        let gone = stage.send("GET", &format!("{base}/v1/orders/404"), &[], b"");
        let problem = json_of(&gone);
        assert_eq!((gone.status, gone.head.text("content-type")), (404, Some("application/problem+json")), "{base}");
        assert_eq!(
            (&problem["code"], &problem["detail"]),
            (&json!("NOT_FOUND"), &json!("there is no order 404: \u{1F937}")),
            "{base}"
        );
        let detail = json!({ "@type": "type.googleapis.com/shop.v1.Item", "name": "pen", "count": 2 });
        assert_eq!(problem["details"], json!([detail]), "{base}");

        let kind = Field::new("Content-Type", "application/json");
        let body = br#"{"items":[{"name":"pen","count":2}],"createdAt":"2026-01-02T03:04:05Z"}"#;
        let made = stage.send("POST", &format!("{base}/v1/customers/eve/orders"), std::slice::from_ref(&kind), body);
        let expected =
            json!({ "customer": "eve", "items": [{ "name": "pen", "count": 2 }], "createdAt": "2026-01-02T03:04:05Z" });
        assert_eq!((made.status, json_of(&made)), (200, expected), "{base}");
        let cancelled = stage.send(
            "POST",
            &format!("{base}/v1/orders/7:cancel"),
            std::slice::from_ref(&kind),
            br#"{"reason":"late"}"#,
        );
        assert_eq!((cancelled.status, &json_of(&cancelled)["labels"]["reason"]), (200, &json!("late")), "{base}");
        let listed = stage.send("GET", &format!("{base}/v1/orders?status=STATUS_OPEN&status=2&page_size=3"), &[], b"");
        let orders = json_of(&listed);
        assert_eq!((&orders[0]["id"], &orders[1]["status"]), (&json!("3"), &json!("STATUS_SENT")), "{base}");
        let counted = stage.send("POST", &format!("{base}/shop.v1.Shop/CountOrders"), &[kind], b"{}");
        assert_eq!(json_of(&counted), json!({ "count": "18446744073709551615" }), "{base}");
        let lines = Field::new("Content-Type", "application/x-ndjson");
        let taken =
            stage.send("POST", &format!("{base}/v1/orders:import"), &[lines], b"{\"id\":1}\n{\"id\":2}\n{\"id\":3}\n");
        assert_eq!(json_of(&taken), json!({ "taken": 3 }), "{base}");
        let late = stage.send("GET", &format!("{base}/v1/orders/504"), &[Field::new("Grpc-Timeout", "300m")], b"");
        assert_eq!(late.status, 504, "{base}: {}", String::from_utf8_lossy(&late.body));
    }
    stage.stop();
}

#[test]
fn events_arrive_as_they_are_produced_on_workers() {
    events_arrive_as_they_are_produced(Platform::Workers);
}

#[test]
fn events_arrive_as_they_are_produced_on_spin() {
    events_arrive_as_they_are_produced(Platform::Spin);
}

/// The service produces the second event when the client has seen the first: whoever buffers waits for ever.
fn events_arrive_as_they_are_produced(platform: Platform) {
    let stage = Stage::set(platform);
    for base in stage.bases() {
        for (id, accept, expected) in [
            (7, "application/x-ndjson", "{\"what\":\"first\"}\n{\"what\":\"second\"}\n"),
            (7, "application/json", "[{\"what\":\"first\"},\n{\"what\":\"second\"}]"),
            (
                7,
                "text/event-stream",
                "data: {\"what\":\"first\"}\n\ndata: {\"what\":\"second\"}\n\nevent: end\ndata: {}\n\n",
            ),
            (9, "application/x-ndjson", "{\"what\":\"first\"}\n{\"what\":\"second\"}\n{\"error\":"),
        ] {
            let mut connection = Connection::open(stage.gateway.address).expect("a connection");
            let target = format!("{base}/v1/orders/{id}/events");
            connection.send(&request("GET", &target, "shop.test", &[Field::new("Accept", accept)], b"")).expect("sent");
            let (head, framing) = connection.receive_head("GET").expect("a response");
            assert_eq!((head.status, head.head.text("content-type")), (200, Some(accept)), "{target}");
            let mut text = String::new();
            let mut told = false;
            connection
                .receive_body(framing, |bytes| {
                    text.push_str(&String::from_utf8_lossy(bytes));
                    if text.contains("first") && !told {
                        assert!(!text.contains("second"), "{text}");
                        stage.shop.next();
                        told = true;
                    }
                })
                .expect("the end");
            assert!(text.starts_with(expected), "{target} {accept}: {text}");
            assert_eq!(text.contains("\"code\":\"ABORTED\""), id == 9, "{text}");
        }
    }
    stage.stop();
}

#[test]
fn a_hundred_thousand_messages_need_no_memory_on_workers() {
    many_messages_need_no_memory(Platform::Workers);
}

#[test]
fn a_hundred_thousand_messages_need_no_memory_on_spin() {
    many_messages_need_no_memory(Platform::Spin);
}

fn many_messages_need_no_memory(platform: Platform) {
    let stage = Stage::set(platform);
    let worker = stage.gateway.worker().expect("a worker");
    let target = format!("{}/v1/orders/100000/events", stage.bases()[0]);
    let count = |accept: &str| {
        let mut connection = Connection::open(stage.gateway.address).expect("a connection");
        connection.send(&request("GET", &target, "shop.test", &[Field::new("Accept", accept)], b"")).expect("sent");
        let (head, framing) = connection.receive_head("GET").expect("a response");
        assert_eq!(head.status, 200);
        let (mut lines, mut length) = (0, 0);
        let counted = |bytes: &[u8]| {
            lines += bytes.iter().filter(|byte| **byte == b'\n').count();
            length += bytes.len();
        };
        connection.receive_body(framing, counted).expect("the end");
        (lines, length)
    };
    // A runtime takes more and more until it first collects what is garbage; from then on it must not.
    count("application/x-ndjson");
    count("application/x-ndjson");
    let (_, before) = process::memory(worker);
    for _ in 0..3 {
        let (lines, length) = count("application/x-ndjson");
        assert!(lines == 100_000 && length > 6_000_000, "{lines} lines, {length} bytes");
    }
    let (_, peak) = process::memory(worker);
    let grown = peak.saturating_sub(before);
    assert!(grown < 20 << 10, "{grown} KiB more for 300,000 messages");
    stage.stop();
}

#[test]
fn clients_of_other_protocols_call_through_workers() {
    clients_of_other_protocols_call(Platform::Workers);
}

#[test]
fn clients_of_other_protocols_call_through_spin() {
    clients_of_other_protocols_call(Platform::Spin);
}

fn clients_of_other_protocols_call(platform: Platform) {
    let stage = Stage::set(platform);
    for base in stage.bases() {
        for protocol in ["connect", "connect-json", "grpc-web", "grpc"] {
            // What ends in trailers needs a service and a platform with trailers.
            if protocol == "grpc" && *base != "/grpc" {
                continue;
            }
            stage.shop.next();
            stage.shop.next();
            let called = stage.shop.call(protocol, &format!("http://{}{base}", stage.gateway.address));
            let by = format!("{protocol} to {base}: {called}");
            assert_eq!(
                (&called["got"]["id"], &called["got"]["labels"]["tenant"]),
                (&json!("7"), &json!("acme")),
                "{by}"
            );
            assert_eq!(called["got"]["labels"]["deadline"], json!("true"), "{by}");
            assert_eq!((&called["header"], &called["trailer"]), (&json!("5"), &json!("shop")), "{by}");
            assert_eq!(called["failed"]["code"], json!("NotFound"), "{by}");
            assert_eq!(called["failed"]["message"], json!("there is no order 404: \u{1F937}"), "{by}");
            assert_eq!(called["failed"]["details"], json!([{ "name": "pen", "count": 2 }]), "{by}");
            assert_eq!(called["events"], json!(["first", "second"]), "{by}");
            assert_eq!(called["aborted"], json!("Aborted"), "{by}");
            assert_eq!(called["count"], json!({ "count": "18446744073709551615" }), "{by}");
            assert_eq!(called["late"], json!("DeadlineExceeded"), "{by}");
        }
    }
    stage.stop();
}

// --- what stands around the gateway -----------------------------------------------------------------------------------

struct Stage {
    platform: Platform,
    shop: Shop,
    gateway: Running,
}

impl Stage {
    fn set(platform: Platform) -> Self {
        let shop = Shop::start();
        let root = process::root().join("examples/grpc/protos");
        let mut upstreams = serde_json::Map::new();
        let mut routes = Vec::new();
        for (name, dialect, address) in
            [("web", "grpc_web", &shop.http1), ("connect", "connect", &shop.http1), ("grpc", "grpc", &shop.http2)]
        {
            upstreams.insert(name.to_owned(), json!({ "targets": [{ "url": format!("http://{address}") }] }));
            routes.push(json!({
                "name": name,
                "path_prefix": format!("/{name}"),
                "strip_prefix": format!("/{name}"),
                "upstream": name,
                "grpc": {
                    "protos": root.join("shop/v1/shop.proto"),
                    "imports": root,
                    "dialect": dialect,
                    "metadata": { "request": "x-tenant-*", "response": ["x-total-count", "x-served-by"] },
                },
            }));
        }
        let configuration = json!({ "upstreams": upstreams, "routes": routes, "allow": "dialect-unavailable" });
        let environment = [("SPIN_OUTBOUND_H2C_PRIOR_KNOWLEDGE", shop.http2.as_str())];
        let gateway = Running::start_in(platform, &configuration, &BTreeMap::new(), &environment).expect("a gateway");
        Self { platform, shop, gateway }
    }

    /// The paths of the routes for the dialects that a platform can speak.
    fn bases(&self) -> &'static [&'static str] {
        match self.platform {
            // HTTP/2 to an upstream, and trailers, are not to be had there.
            Platform::Workers => &["/web", "/connect"],
            Platform::Spin | Platform::Test => &["/web", "/connect", "/grpc"],
        }
    }

    fn send(&self, method: &str, target: &str, fields: &[Field], body: &[u8]) -> Seen {
        let mut fields = fields.to_vec();
        if !body.is_empty() {
            fields.push(Field::new("Content-Length", body.len().to_string()));
        }
        let message = request(method, target, "shop.test", &fields, body);
        exchange(self.gateway.address, &message, method).unwrap_or_else(|error| panic!("{method} {target}: {error}"))
    }

    fn stop(self) {
        self.gateway.stop().expect("nothing left");
    }
}

fn json_of(seen: &Seen) -> Value {
    serde_json::from_slice(&seen.body)
        .unwrap_or_else(|_| panic!("{}: {}", seen.status, String::from_utf8_lossy(&seen.body)))
}
