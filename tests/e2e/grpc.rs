//! Real services (npm `@connectrpc/connect-node`, and the crate `tonic`, with and without `tonic-web`) behind both real runtimes: JSON
//! for whoever speaks only that, native gRPC, and the clients that browsers use (npm `@connectrpc/connect-web`), in a browser
//! as well.

#![allow(clippy::panic, reason = "a test")]
#![allow(clippy::disallowed_methods, reason = "the ban on clocks is the core's; here they say when to give up")]

use postern_tests::Platform;
use postern_tests::client::{Connection, PATIENCE, Seen, exchange, request};
use postern_tests::process;
use postern_tests::running::Running;
use postern_tests::shop::{Descriptors, Shop};
use postern_tests::wire::{self, Field};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, Instant};

mod shop;

#[test]
fn json_clients_call_a_service_through_workers() {
    json_clients_call_a_service(Platform::Workers);
}

#[test]
fn json_clients_call_a_service_through_spin() {
    json_clients_call_a_service(Platform::Spin);
}

fn json_clients_call_a_service(platform: Platform) {
    let stages = [Stage::set(platform, Kind::Node), Stage::set(platform, Kind::Tonic)];
    for (stage, base) in stages.iter().flat_map(|stage| stage.bases().iter().map(move |base| (stage, base))) {
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
        if let Service::Tonic(_) = stage.service {
            let bad = stage.send("GET", &format!("{base}/v1/orders/422"), &[], b"");
            let problem = json_of(&bad);
            assert_eq!((bad.status, &problem["code"]), (400, &json!("INVALID_ARGUMENT")), "{base}");
            assert_eq!(bad.head.text("retry-after"), Some("3"), "{base}: google.rpc.RetryInfo");
            let violation = json!({ "field": "id", "description": "it is no number of an order" });
            let kinds: Vec<_> =
                problem["details"].as_array().into_iter().flatten().map(|detail| &detail["@type"]).collect();
            assert!(kinds.contains(&&json!("type.googleapis.com/google.rpc.BadRequest")), "{base}: {problem}");
            let found = problem["details"]
                .as_array()
                .into_iter()
                .flatten()
                .find(|detail| detail["fieldViolations"] == json!([violation]));
            assert!(found.is_some(), "{base}: {problem}");
        }
    }
    stages.into_iter().for_each(Stage::stop);
}

#[test]
fn a_service_that_speaks_grpc_alone_is_no_grpc_web_on_workers() {
    a_service_that_speaks_grpc_alone_is_no_grpc_web(Platform::Workers);
}

#[test]
fn a_service_that_speaks_grpc_alone_is_no_grpc_web_on_spin() {
    a_service_that_speaks_grpc_alone_is_no_grpc_web(Platform::Spin);
}

/// Whoever forgets the layer is told by a failure, and not by an empty answer.
fn a_service_that_speaks_grpc_alone_is_no_grpc_web(platform: Platform) {
    let stage = Stage::set(platform, Kind::Tonic);
    let got = stage.send("GET", "/alone/v1/orders/7", &[], b"");
    assert!((500..=503).contains(&got.status), "{}: {}", got.status, String::from_utf8_lossy(&got.body));
    assert_eq!(got.head.text("content-type"), Some("application/problem+json"));
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
    let stages = [Stage::set(platform, Kind::Node), Stage::set(platform, Kind::Tonic)];
    for (stage, base) in stages.iter().flat_map(|stage| stage.bases().iter().map(move |base| (stage, base))) {
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
                        stage.next();
                        told = true;
                    }
                })
                .expect("the end");
            assert!(text.starts_with(expected), "{target} {accept}: {text}");
            assert_eq!(text.contains("\"code\":\"ABORTED\""), id == 9, "{text}");
        }
    }
    stages.into_iter().for_each(Stage::stop);
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
    let stage = Stage::set(platform, Kind::Tonic);
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
    for _ in 0..2 {
        count("application/x-ndjson");
    }
    let (_, before) = process::memory(worker);
    for _ in 0..3 {
        let (lines, length) = count("application/x-ndjson");
        assert!(lines == 100_000 && length > 6_000_000, "{lines} lines, {length} bytes");
    }
    let (_, peak) = process::memory(worker);
    let grown = peak.saturating_sub(before);
    println!("{platform}: {grown} KiB more for 300,000 messages");
    assert!(grown < 20 << 10, "{grown} KiB more for 300,000 messages");
    stage.stop();
}

#[test]
fn messages_of_a_client_go_on_as_they_come_through_workers() {
    messages_of_a_client_go_on_as_they_come(Platform::Workers);
}

#[test]
fn messages_of_a_client_go_on_as_they_come_through_spin() {
    messages_of_a_client_go_on_as_they_come(Platform::Spin);
}

/// The client sends the next message when the service has the one before: whoever gathers waits for ever. Then as many as
/// it likes, which nobody keeps.
fn messages_of_a_client_go_on_as_they_come(platform: Platform) {
    let stage = Stage::set(platform, Kind::Tonic);
    let worker = stage.gateway.worker().expect("a worker");
    let order = |id: usize| format!("{{\"id\":{id},\"customer\":\"eve\",\"status\":\"STATUS_OPEN\"}}\n");
    for base in stage.bases() {
        let target = format!("{base}/v1/orders:import");
        let mut connection = stage.upload(&target, "application/x-ndjson");
        let before = stage.taken();
        for number in 1..=3 {
            connection.send(&wire::chunk(order(number).as_bytes())).expect("sent");
            stage.wait_for(before + number);
        }
        connection.send(b"0\r\n\r\n").expect("sent");
        let got = connection.receive("POST").expect("a response");
        assert_eq!((got.status, json_of(&got)), (200, json!({ "taken": 3 })), "{target}");
        // Many in one piece, and one in many.
        let flood = |times: usize| {
            let mut connection = stage.upload(&target, "application/json");
            let piece: String = (0..1_000).map(order).collect();
            let (one, other) = piece.split_at(piece.len() / 2 + 3);
            for _ in 0..times {
                connection.send(&wire::chunk(one.as_bytes())).expect("sent");
                connection.send(&wire::chunk(other.as_bytes())).expect("sent");
            }
            connection.send(b"0\r\n\r\n").expect("sent");
            let got = connection.receive("POST").expect("a response");
            assert_eq!((got.status, json_of(&got)), (200, json!({ "taken": times * 1_000 })), "{target}");
        };
        // A runtime takes more and more until it first collects what is garbage; from then on it must not.
        (0..8).for_each(|_| flood(100));
        let (_, memory) = process::memory(worker);
        (0..5).for_each(|_| flood(100));
        let (_, peak) = process::memory(worker);
        let grown = peak.saturating_sub(memory);
        // They have 27 MB.
        println!("{platform}: {target}: {grown} KiB more for 500,000 messages");
        assert!(grown < 20 << 10, "{target}: {grown} KiB more for 500,000 messages");
    }
    stage.stop();
}

#[test]
fn both_sides_speak_at_once_through_workers() {
    both_sides_speak_at_once(Platform::Workers);
}

#[test]
fn both_sides_speak_at_once_through_spin() {
    both_sides_speak_at_once(Platform::Spin);
}

/// Each answer comes before the next question is asked.
fn both_sides_speak_at_once(platform: Platform) {
    let stage = Stage::set(platform, Kind::Tonic);
    for base in stage.bases() {
        let target = format!("{base}/v1/orders:track");
        let mut connection = stage.upload(&target, "application/x-ndjson");
        connection.send(&wire::chunk(b"{\"id\":1}\n")).expect("sent");
        let (head, framing) = connection.receive_head("POST").expect("a response");
        assert_eq!((head.status, head.head.text("content-type")), (200, Some("application/x-ndjson")), "{target}");
        let mut sender = connection.stream().try_clone().expect("the same connection");
        let (mut text, mut asked) = (String::new(), 1);
        connection
            .receive_body(framing, |bytes| {
                text.push_str(&String::from_utf8_lossy(bytes));
                if text.lines().count() < asked || !text.ends_with('\n') {
                    return;
                }
                asked += 1;
                let next = if asked <= 5 {
                    wire::chunk(format!("{{\"id\":{asked}}}").as_bytes())
                } else {
                    b"0\r\n\r\n".to_vec()
                };
                sender.write_all(&next).expect("sent");
            })
            .expect("the end");
        let expected: String = (1..=5).map(|id| format!("{{\"what\":\"order {id}\"}}\n")).collect();
        assert_eq!(text, expected, "{target}");
    }
    stage.stop();
}

#[test]
fn a_message_that_is_none_ends_a_stream_through_workers() {
    a_message_that_is_none_ends_a_stream(Platform::Workers);
}

#[test]
fn a_message_that_is_none_ends_a_stream_through_spin() {
    a_message_that_is_none_ends_a_stream(Platform::Spin);
}

/// However many were right before it.
fn a_message_that_is_none_ends_a_stream(platform: Platform) {
    let stage = Stage::set(platform, Kind::Tonic);
    let long = format!("{{\"customer\":\"{}\"}}", "x".repeat(70_000));
    for base in stage.bases() {
        for (bad, status, problem, says) in [
            ("{\"id\":\"seven\"}", 400, "untranslatable-request", "invalid"),
            ("{\"id\":1", 400, "untranslatable-request", "EOF"),
            ("]", 400, "untranslatable-request", "no value"),
            (long.as_str(), 413, "body-too-large", "65536"),
        ] {
            let target = format!("{base}/v1/orders:import");
            let mut connection = stage.upload(&target, "application/x-ndjson");
            let before = stage.taken();
            connection.send(&wire::chunk(b"{\"id\":1}\n")).expect("sent");
            stage.wait_for(before + 1);
            // It may be refused before all of it has come.
            let _ = connection.send(&wire::chunk(bad.as_bytes())).and_then(|()| connection.send(b"0\r\n\r\n"));
            let got = connection.receive("POST").expect("a response");
            let shown = json_of(&got);
            let told = (got.status, shown["type"].as_str());
            assert_eq!(told, (status, Some(format!("urn:postern:problem:{problem}").as_str())), "{target}: {shown}");
            assert!(shown["detail"].as_str().is_some_and(|detail| detail.contains(says)), "{target}: {shown}");
        }
    }
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
    let stages = [Stage::set(platform, Kind::Node), Stage::set(platform, Kind::Tonic)];
    for (stage, base) in stages.iter().flat_map(|stage| stage.bases().iter().map(move |base| (stage, base))) {
        for protocol in ["connect", "connect-json", "connect-streams", "grpc-web", "grpc"] {
            // What ends in trailers needs a platform with trailers.
            if protocol == "grpc" && platform == Platform::Workers {
                continue;
            }
            stage.next();
            stage.next();
            let called = stage.call(protocol, &format!("http://{}{base}", stage.gateway.address));
            check(&called, &format!("{protocol} to {base}"));
            if ["connect-streams", "grpc"].contains(&protocol) {
                assert_eq!(called["imported"], json!({ "taken": 3 }), "{protocol} to {base}: {called}");
            }
            // Over HTTP/1.1 the service in Node has no streams in both directions, whatever it is spoken to.
            let expected = match (&stage.service, *base) {
                (Service::Node(_), "/web" | "/connect") => json!("HTTP status 505"),
                _ => json!(["order 1", "order 2"]),
            };
            if protocol == "grpc" {
                assert_eq!(called["tracked"], expected, "{protocol} to {base}: {called}");
            }
        }
    }
    stages.into_iter().for_each(Stage::stop);
}

#[test]
fn a_page_calls_from_another_origin_through_workers() {
    a_page_calls_from_another_origin(Platform::Workers);
}

#[test]
fn a_page_calls_from_another_origin_through_spin() {
    a_page_calls_from_another_origin(Platform::Spin);
}

/// A browser asks first whether it may, and shows the page only the fields that it may see.
fn a_page_calls_from_another_origin(platform: Platform) {
    let descriptors = Descriptors::write();
    let page = descriptors.script("shop-page.mjs");
    let origin = page.says();
    let stage = Stage::set_for(platform, Kind::Tonic, Some(&origin));
    for protocol in ["grpc-web", "connect", "connect-json"] {
        stage.next();
        stage.next();
        page.tell(&format!("{protocol} http://{}/web", stage.gateway.address));
        let called: Value = serde_json::from_str(&page.says()).expect("JSON");
        check(&called["allowed"], &format!("{protocol} from a page"));
        assert!(called["refused"].as_str().is_some_and(|why| why.contains("fetch")), "{protocol}: {called}");
    }
    stage.stop();
}

/// What a client has seen of the service.
fn check(called: &Value, by: &str) {
    assert_eq!(
        (&called["got"]["id"], &called["got"]["labels"]["tenant"]),
        (&json!("7"), &json!("acme")),
        "{by}: {called}"
    );
    assert_eq!(called["got"]["labels"]["deadline"], json!("true"), "{by}");
    assert_eq!(called["header"], json!("5"), "{by}: {called}");
    assert_eq!(called["trailer"], json!("shop"), "{by}: {called}");
    assert_eq!(called["failed"]["code"], json!("NotFound"), "{by}: {called}");
    assert_eq!(called["failed"]["message"], json!("there is no order 404: \u{1F937}"), "{by}");
    assert_eq!(called["failed"]["details"], json!([{ "name": "pen", "count": 2 }]), "{by}");
    assert_eq!(called["events"], json!(["first", "second"]), "{by}");
    assert_eq!(called["aborted"], json!("Aborted"), "{by}");
    assert_eq!(called["count"], json!({ "count": "18446744073709551615" }), "{by}");
    assert_eq!(called["late"], json!("DeadlineExceeded"), "{by}");
}

#[test]
fn the_messages_of_the_service_in_rust_are_those_of_the_proto_file() {
    let pool = prost_reflect::DescriptorPool::decode(Descriptors::make().as_slice()).expect("descriptors");
    let time = || Some(prost_types::Timestamp { seconds: 1_767_323_045, nanos: 500_000_000 });
    let order = || shop::Order {
        id: 7,
        customer: "eve".to_owned(),
        status: shop::OrderStatus::Sent.into(),
        items: vec![shop::Item { name: "pen".to_owned(), count: 2 }],
        created_at: time(),
        labels: [("a".to_owned(), "b".to_owned())].into(),
    };
    let created = Some(shop::Range { from: time(), until: time() });
    same(&pool, "GetOrderRequest", &shop::GetOrderRequest { id: 7, customer: "eve".to_owned() });
    let list = shop::ListOrdersRequest { status: vec![1, 2], created, page_size: 5, label: "x".to_owned() };
    same(&pool, "ListOrdersRequest", &list);
    same(&pool, "ListOrdersResponse", &shop::ListOrdersResponse { orders: vec![order()] });
    same(&pool, "CreateOrderRequest", &shop::CreateOrderRequest { order: Some(order()), dry_run: true });
    same(&pool, "CancelOrderRequest", &shop::CancelOrderRequest { id: 7, reason: "late".to_owned() });
    same(&pool, "CountOrdersRequest", &shop::CountOrdersRequest {});
    same(&pool, "CountOrdersResponse", &shop::CountOrdersResponse { count: 1 });
    same(&pool, "ImportOrdersResponse", &shop::ImportOrdersResponse { taken: 1 });
    same(&pool, "OrderEvent", &shop::OrderEvent { order: Some(order()), what: "x".to_owned() });
}

/// Whether a message is what its descriptor says, to the last field; all of them are set.
fn same<M: prost::Message + Default + PartialEq>(pool: &prost_reflect::DescriptorPool, name: &str, message: &M) {
    let kind = pool.get_message_by_name(&format!("shop.v1.{name}")).expect("it is declared");
    let read = prost_reflect::DynamicMessage::decode(kind.clone(), message.encode_to_vec().as_slice()).expect(name);
    assert_eq!(read.unknown_fields().count(), 0, "{name}: {read}");
    assert!(kind.fields().all(|field| read.has_field(&field)), "{name}: {read}");
    assert!(M::decode(prost::Message::encode_to_vec(&read).as_slice()).is_ok_and(|back| back == *message), "{name}");
}

// --- what stands around the gateway -----------------------------------------------------------------------------------

/// Which service is called.
#[derive(Clone, Copy)]
enum Kind {
    /// `shop.mjs`.
    Node,
    /// `shop.rs`.
    Tonic,
}

enum Service {
    Node(Shop),
    Tonic(shop::Shop),
}

struct Stage {
    platform: Platform,
    service: Service,
    descriptors: Descriptors,
    gateway: Running,
}

impl Stage {
    fn set(platform: Platform, kind: Kind) -> Self {
        Self::set_for(platform, kind, None)
    }

    /// With pages of this origin that may call.
    fn set_for(platform: Platform, kind: Kind, origin: Option<&str>) -> Self {
        let descriptors = Descriptors::write();
        let service = match kind {
            Kind::Node => Service::Node(Shop::start(&descriptors)),
            Kind::Tonic => Service::Tonic(shop::Shop::start()),
        };
        let targets = match &service {
            Service::Node(node) => vec![
                ("web", "grpc_web", node.http1.clone()),
                ("connect", "connect", node.http1.clone()),
                ("grpc", "grpc", node.http2.clone()),
            ],
            Service::Tonic(shop) => vec![
                ("web", "grpc_web", shop.web.to_string()),
                ("grpc", "grpc", shop.native.to_string()),
                // Over HTTP/1.1, which it does not speak.
                ("alone", "grpc_web", format!("localhost:{}", shop.native.port())),
            ],
        };
        let root = process::root().join("examples/grpc/protos");
        let mut upstreams = serde_json::Map::new();
        let mut routes = Vec::new();
        for (name, dialect, address) in &targets {
            upstreams.insert((*name).to_owned(), json!({ "targets": [{ "url": format!("http://{address}") }] }));
            let mut route = json!({
                "name": name,
                "path_prefix": format!("/{name}"),
                "strip_prefix": format!("/{name}"),
                "upstream": name,
                "grpc": {
                    "protos": root.join("shop/v1/shop.proto"),
                    "imports": root,
                    "dialect": dialect,
                    "max_message": "64KiB",
                    "metadata": { "request": "x-tenant-*", "response": ["x-total-count", "x-served-by"] },
                },
            });
            if let Some(origin) = origin {
                let asked = [
                    "connect-protocol-version",
                    "connect-timeout-ms",
                    "content-type",
                    "grpc-timeout",
                    "x-grpc-web",
                    "x-tenant-id",
                    "x-user-agent",
                ];
                let shown = ["grpc-status", "grpc-message", "grpc-status-details-bin", "x-served-by", "x-total-count"];
                route["policies"] = json!([{ "cors": { "origins": origin, "methods": ["GET", "POST"], "headers": asked, "expose": shown } }]);
            }
            routes.push(route);
        }
        let configuration = json!({ "upstreams": upstreams, "routes": routes, "allow": "dialect-unavailable" });
        let native = targets.iter().find(|(name, ..)| *name == "grpc").map_or("", |(.., address)| address);
        let environment = [("SPIN_OUTBOUND_H2C_PRIOR_KNOWLEDGE", native)];
        let gateway = Running::start_in(platform, &configuration, &BTreeMap::new(), &environment).expect("a gateway");
        Self { platform, service, descriptors, gateway }
    }

    /// The paths of the routes for the dialects that a platform can speak to the service.
    fn bases(&self) -> &'static [&'static str] {
        match (self.platform, &self.service) {
            // HTTP/2 to an upstream, and trailers, are not to be had there.
            (Platform::Workers, Service::Node(_)) => &["/web", "/connect"],
            (Platform::Workers, Service::Tonic(_)) => &["/web"],
            (Platform::Spin | Platform::Test, Service::Node(_)) => &["/web", "/connect", "/grpc"],
            (Platform::Spin | Platform::Test, Service::Tonic(_)) => &["/web", "/grpc"],
        }
    }

    /// Has the service produce one more event.
    fn next(&self) {
        match &self.service {
            Service::Node(node) => node.next(),
            Service::Tonic(shop) => shop.next(),
        }
    }

    /// How many messages of client streams the service has got.
    fn taken(&self) -> usize {
        match &self.service {
            Service::Node(_) => panic!("it does not say"),
            Service::Tonic(shop) => shop.taken(),
        }
    }

    fn wait_for(&self, taken: usize) {
        let until = Instant::now() + PATIENCE;
        while self.taken() < taken {
            assert!(Instant::now() < until, "message {taken} has not come");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Begins a request whose body comes in pieces.
    fn upload(&self, target: &str, kind: &str) -> Connection {
        let fields = [
            Field::new("Content-Type", kind),
            Field::new("Accept", "application/x-ndjson"),
            Field::new("Transfer-Encoding", "chunked"),
        ];
        let mut connection = Connection::open(self.gateway.address).expect("a connection");
        connection.send(&request("POST", target, "shop.test", &fields, b"")).expect("sent");
        connection
    }

    fn send(&self, method: &str, target: &str, fields: &[Field], body: &[u8]) -> Seen {
        let mut fields = fields.to_vec();
        if !body.is_empty() {
            fields.push(Field::new("Content-Length", body.len().to_string()));
        }
        let message = request(method, target, "shop.test", &fields, body);
        exchange(self.gateway.address, &message, method).unwrap_or_else(|error| panic!("{method} {target}: {error}"))
    }

    /// Calls the service through a base address with a client of npm.
    fn call(&self, protocol: &str, base: &str) -> Value {
        self.descriptors.call(protocol, base)
    }

    fn stop(self) {
        self.gateway.stop().expect("nothing left");
    }
}

fn json_of(seen: &Seen) -> Value {
    serde_json::from_slice(&seen.body)
        .unwrap_or_else(|_| panic!("{}: {}", seen.status, String::from_utf8_lossy(&seen.body)))
}
