//! Calls of gRPC services: what upstreams of each dialect are sent, and what clients of each protocol get, whatever comes back.

#![cfg(all(feature = "compile", feature = "testing"))]
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test")]

use bytes::Bytes;
use gateway_core::config::{self, Files};
use gateway_core::grpc::frame::{self, Frames};
use gateway_core::http::{Body, Headers, Incoming, Peer, Response, Scheme};
use gateway_core::platform::{Call, Failure, FetchError};
use gateway_core::testing::{TestPlatform, run};
use gateway_core::{Gateway, Reply};
use prost_reflect::{DescriptorPool, DynamicMessage, prost::Message};
use serde_json::{Value, json};
use std::path::Path;

const SHOP: &str = include_str!("../../examples/grpc/protos/shop/v1/shop.proto");

#[test]
fn every_form_of_binding_becomes_the_message_that_it_says() {
    let grpc = json!({});
    for (request, body, method, expected) in [
        ("GET /v1/orders/7", "", "GetOrder", json!({ "id": "7" })),
        ("GET /v1/customers/a%20b%2Fc/orders/7", "", "GetOrder", json!({ "id": "7", "customer": "a b/c" })),
        ("HEAD /v1/orders/7", "", "GetOrder", json!({ "id": "7" })),
        (
            "GET /v1/orders?status=STATUS_OPEN&status=2&page_size=5&created.from=2026-01-02T03:04:05Z&label=a%26b+c",
            "",
            "ListOrders",
            json!({
                "status": ["STATUS_OPEN", "STATUS_SENT"],
                "pageSize": 5,
                "created": { "from": "2026-01-02T03:04:05Z" },
                "label": "a&b c",
            }),
        ),
        ("GET /v1/orders?pageSize=5", "", "ListOrders", json!({ "pageSize": 5 })),
        (
            "POST /v1/customers/eve/orders?dry_run=true",
            r#"{ "items": [{ "name": "pen", "count": 2 }], "customer": "mallory" }"#,
            "CreateOrder",
            json!({ "order": { "customer": "eve", "items": [{ "name": "pen", "count": 2 }] }, "dryRun": true }),
        ),
        (
            "POST /v1/orders/7:cancel",
            r#"{"reason":"late","id":"8"}"#,
            "CancelOrder",
            json!({ "id": "7", "reason": "late" }),
        ),
        ("POST /v1/orders/7:cancel", "", "CancelOrder", json!({ "id": "7" })),
        ("POST /shop.v1.Shop/CountOrders", "{}", "CountOrders", json!({})),
    ] {
        for dialect in ["grpc_web", "connect"] {
            let (reply, calls) =
                send(&gateway(dialect, grpc.clone()), request, "content-type\0application/json\n", body, |_| {
                    ok(dialect, &[])
                });
            let [(target, message)] = calls.as_slice() else {
                panic!("{request}: {} calls, {}", calls.len(), shown(&reply))
            };
            assert_eq!(target, &format!("/shop.v1.Shop/{method}"), "{request}");
            let input = format!("shop.v1.{}", input(method));
            assert_eq!(decoded(&input, message), expected, "{request} by {dialect}");
            assert_eq!(reply.response.status, 200, "{request}: {}", shown(&reply));
        }
    }
}

#[test]
fn what_is_no_call_is_refused_and_nothing_is_sent() {
    for (request, kind, body, status, code, says) in [
        ("GET /v1/orders/seven", "", "", 400, "untranslatable-request", "`seven` is no int64"),
        ("GET /v1/orders/7?other=1", "", "", 400, "untranslatable-request", "no such field"),
        ("GET /v1/orders/7?id=8", "", "", 400, "untranslatable-request", "taken from the path"),
        ("GET /v1/orders?page_size=1&page_size=2", "", "", 400, "untranslatable-request", "more than once"),
        ("GET /v1/orders?created=x", "", "", 400, "untranslatable-request", "cannot be given so"),
        ("GET /v1/orders?status=STATUS_LOST", "", "", 400, "untranslatable-request", "no value of"),
        ("GET /v1/customers/%FF/orders/7", "", "", 400, "untranslatable-request", "not UTF-8"),
        ("POST /v1/orders/7:cancel", "application/json", "{", 400, "untranslatable-request", "EOF"),
        ("POST /v1/orders/7:cancel", "application/json", "{} {}", 400, "untranslatable-request", "trailing"),
        ("POST /v1/orders/7:cancel", "application/json", "[]", 400, "untranslatable-request", "a map"),
        (
            "POST /v1/orders/7:cancel",
            "application/json",
            r#"{"reason":"\xff"}"#,
            400,
            "untranslatable-request",
            "invalid escape",
        ),
        (
            "POST /v1/orders/7:cancel",
            "application/json",
            "{\"reason\":\"\u{1}\"}",
            400,
            "untranslatable-request",
            "control",
        ),
        ("POST /v1/orders/7:cancel", "application/json", r#"{"why":""}"#, 400, "untranslatable-request", "'why'"),
        (
            "POST /v1/customers/eve/orders",
            "application/json",
            r#"{}, "dryRun": true"#,
            400,
            "untranslatable-request",
            "trailing",
        ),
        (
            "POST /v1/customers/eve/orders",
            "application/json",
            r#"{"status":"LOST"}"#,
            400,
            "untranslatable-request",
            "LOST",
        ),
        ("POST /v1/orders/7:cancel", "text/plain", "{}", 415, "unsupported-media-type", ""),
        ("POST /v1/orders/7:cancel", "application/x-www-form-urlencoded", "{}", 415, "unsupported-media-type", ""),
        ("PUT /v1/orders/7", "", "", 405, "method-not-allowed", "GET, HEAD, OPTIONS"),
        ("GET /shop.v1.Shop/CountOrders", "", "", 405, "method-not-allowed", "POST, OPTIONS"),
        ("GET /v1/other", "", "", 404, "no-route", ""),
        ("POST /shop.v1.Shop/GetOrder", "application/json", "{}", 404, "no-route", ""),
    ] {
        let fields = if kind.is_empty() { String::new() } else { format!("content-type\0{kind}\n") };
        let (reply, calls) = send(&gateway("grpc_web", json!({})), request, &fields, body, |_| ok("grpc_web", &[]));
        assert!(calls.is_empty(), "{request}: it was sent");
        let problem = problem(&reply);
        assert_eq!(problem["type"], format!("urn:postern:problem:{code}"), "{request} {body}");
        assert_eq!((reply.response.status, &problem["status"]), (status, &json!(status)), "{request}");
        let detail = problem["detail"].as_str().unwrap_or_default();
        let matches = detail.to_lowercase().contains(&says.to_lowercase().replace("a map", "map"));
        assert!(matches, "{request} {body}: {detail}");
    }
    let (reply, _) = send(&gateway("grpc_web", json!({})), "OPTIONS /v1/orders/7", "", "", |_| ok("grpc_web", &[]));
    assert_eq!((reply.response.status, reply.response.headers.text("allow")), (204, Some("GET, HEAD, OPTIONS")));
    let coded = "content-type\0application/json\ncontent-encoding\0gzip\n";
    let (reply, calls) =
        send(&gateway("grpc_web", json!({})), "POST /v1/orders/7:cancel", coded, "{}", |_| ok("grpc_web", &[]));
    assert_eq!((reply.response.status, calls.len()), (415, 0));
    let deep = format!("{{\"reason\":{}{}}}", "[".repeat(32), "]".repeat(32));
    let json = "content-type\0application/json\n";
    let (reply, _) =
        send(&gateway("grpc_web", json!({})), "POST /v1/orders/7:cancel", json, &deep, |_| ok("grpc_web", &[]));
    assert!(problem(&reply)["detail"].as_str().unwrap().contains("deeper than 32"), "{}", shown(&reply));
    let large = format!("{{\"reason\":\"{}\"}}", "x".repeat(100));
    let small = gateway("grpc_web", json!({ "max_message": 100 }));
    let (reply, calls) =
        send(&small, "POST /v1/orders/7:cancel", "content-type\0application/json\n", &large, |_| ok("grpc_web", &[]));
    assert_eq!((reply.response.status, calls.len()), (413, 0));
}

#[test]
fn answers_become_json_as_the_mapping_says() {
    let order = encoded(
        "shop.v1.Order",
        &json!({ "id": "9007199254740993", "status": "STATUS_SENT", "createdAt": "2026-01-02T03:04:05.5Z" }),
    );
    for (options, expected) in [
        (json!({}), r#"{"id":"9007199254740993","status":"STATUS_SENT","createdAt":"2026-01-02T03:04:05.500Z"}"#),
        (
            json!({ "json": { "enums": "number", "names": "original", "wide_numbers": "number" } }),
            r#"{"id":9007199254740993,"status":2,"created_at":"2026-01-02T03:04:05.500Z"}"#,
        ),
        (
            json!({ "json": { "defaults": "write" } }),
            r#"{"id":"9007199254740993","customer":"","status":"STATUS_SENT","items":[],"createdAt":"2026-01-02T03:04:05.500Z","labels":{}}"#,
        ),
    ] {
        for dialect in ["grpc_web", "connect"] {
            let gateway = gateway(dialect, options.clone());
            let (reply, _) = send(&gateway, "GET /v1/orders/7", "", "", |_| ok(dialect, &order));
            assert_eq!(text(&reply), expected, "{dialect}");
            let headers = &reply.response.headers;
            assert_eq!(headers.text("content-type"), Some("application/json"));
            assert_eq!(headers.text("content-length"), Some(expected.len().to_string().as_str()));
        }
    }
    // `response_body`: one field is the whole answer, also when it is empty.
    let orders = encoded("shop.v1.ListOrdersResponse", &json!({ "orders": [{ "id": "1" }] }));
    for (answer, expected) in [(orders.as_slice(), r#"[{"id":"1"}]"#), (&[], "[]")] {
        let (reply, _) = send(&gateway("grpc_web", json!({})), "GET /v1/orders", "", "", |_| ok("grpc_web", answer));
        assert_eq!(text(&reply), expected);
    }
    // What a newer service knows and we do not is left out.
    let newer = [order.as_slice(), &[0xF8, 0x07, 1]].concat();
    let (reply, _) = send(&gateway("grpc_web", json!({})), "GET /v1/orders/7", "", "", |_| ok("grpc_web", &newer));
    assert_eq!(reply.response.status, 200);
    let unknown = encoded("shop.v1.Order", &json!({ "status": 77 }));
    let (reply, _) = send(&gateway("grpc_web", json!({})), "GET /v1/orders/7", "", "", |_| ok("grpc_web", &unknown));
    assert_eq!(text(&reply), r#"{"status":77}"#);
}

/// What is awkward as JSON.
const ODD: &str = r#"
    syntax = "proto3";
    package t;
    import "google/api/annotations.proto";
    import "google/api/httpbody.proto";
    import "google/protobuf/any.proto";
    import "google/protobuf/wrappers.proto";
    service S {
      rpc File(Req) returns (Rep) { option (google.api.http) = { get: "/files/{id}" response_body: "file" }; }
      rpc Ratio(Req) returns (Rep) { option (google.api.http) = { get: "/ratios/{id}" response_body: "ratio" }; }
      rpc Whole(Req) returns (Rep) { option (google.api.http) = { get: "/wholes/{id}" }; }
    }
    message Req { string id = 1; }
    message Rep {
      google.api.HttpBody file = 1;
      float ratio = 2;
      google.protobuf.Any any = 3;
      repeated google.protobuf.DoubleValue wide = 4;
      map<string, google.protobuf.FloatValue> narrow = 5;
      double plain = 6;
    }
"#;

/// `ratio: 0.1`
const RATIO: &[u8] = &[0x15, 0xCD, 0xCC, 0xCC, 0x3D];

#[test]
fn one_field_is_the_whole_answer_as_it_would_be_inside() {
    let gateway = with_proto("grpc_web", ODD);
    let file = b"\x0a\x10\x0a\x09image/png\x12\x03PNG";
    for (target, answer, kind, body) in [
        ("/files/7", &file[..], Some("image/png"), "PNG"),
        ("/files/7", b"", None, ""),
        ("/ratios/7", RATIO, Some("application/json"), "0.1"),
        ("/ratios/7", b"", Some("application/json"), "0.0"),
        ("/wholes/7", RATIO, Some("application/json"), r#"{"ratio":0.1}"#),
    ] {
        let (reply, _) = send(&gateway, &format!("GET {target}"), "", "", |_| ok("grpc_web", answer));
        assert_eq!((text(&reply).as_str(), reply.response.headers.text("content-type")), (body, kind), "{target}");
    }
}

#[test]
fn numbers_that_are_not_finite_are_texts() {
    let gateway = with_proto("grpc_web", ODD);
    let double = |number: f64| [vec![0x22, 9, 0x09], number.to_le_bytes().to_vec()].concat();
    let float = |number: f32| [vec![0x2A, 10, 0x0A, 1, b'a', 0x12, 5, 0x0D], number.to_le_bytes().to_vec()].concat();
    let plain = |number: f64| [vec![0x31], number.to_le_bytes().to_vec()].concat();
    for (answer, expected) in [
        (
            [double(f64::INFINITY), double(f64::NEG_INFINITY), double(f64::NAN), double(0.1)].concat(),
            r#"{"wide":["Infinity","-Infinity","NaN",0.1]}"#,
        ),
        (float(f32::NAN), r#"{"narrow":{"a":"NaN"}}"#),
        (float(0.1), r#"{"narrow":{"a":0.1}}"#),
        // `any`, which says nothing of what is in it.
        (vec![0x1A, 0], r#"{"any":{}}"#),
        (plain(f64::NEG_INFINITY), r#"{"plain":"-Infinity"}"#),
    ] {
        let (reply, _) = send(&gateway, "GET /wholes/7", "", "", |_| ok("grpc_web", &answer));
        assert_eq!(text(&reply), expected);
    }
}

#[test]
fn details_are_shown_as_far_as_they_can_be() {
    use base64::Engine;
    let any = |kind: &str, value: &[u8]| {
        let url = format!("type.googleapis.com/{kind}");
        let field = |tag: u8, bytes: &[u8]| {
            let mut out = vec![tag];
            prost_reflect::prost::encoding::encode_varint(bytes.len() as u64, &mut out);
            [out, bytes.to_vec()].concat()
        };
        [field(0x0A, url.as_bytes()), field(0x12, value)].concat()
    };
    let within = |times: usize| (0..times).fold(any("t.Rep", RATIO), |inner, _| any("google.protobuf.Any", &inner));
    for (detail, expected) in [
        (within(0), json!({ "@type": "type.googleapis.com/t.Rep", "ratio": 0.1 })),
        (
            within(1),
            json!({
                "@type": "type.googleapis.com/google.protobuf.Any",
                "value": { "@type": "type.googleapis.com/t.Rep", "ratio": 0.1 },
            }),
        ),
        (within(200), json!({ "@type": "type.googleapis.com/google.protobuf.Any" })),
        (any("t.Rep", b"\xFF"), json!({ "@type": "type.googleapis.com/t.Rep" })),
    ] {
        let mut status = vec![0x1A];
        prost_reflect::prost::encoding::encode_varint(detail.len() as u64, &mut status);
        status.extend(detail);
        let packed = base64::engine::general_purpose::STANDARD_NO_PAD.encode(status);
        let head =
            format!("content-type\0application/grpc-web+proto\ngrpc-status\x005\ngrpc-status-details-bin\0{packed}\n");
        let (reply, _) =
            send(&with_proto("grpc_web", ODD), "GET /wholes/7", "", "", |_| Ok(answered(200, &head, Vec::new())));
        assert_eq!(problem(&reply)["details"], json!([expected]));
    }
}

#[test]
fn what_nobody_knows_is_ignored_wherever_it_stands() {
    let gateway = gateway("grpc_web", json!({ "json": { "unknown": "ignore" } }));
    for (query, expected) in [
        ("status=STATUS_LOST&status=STATUS_OPEN&other=1", json!({ "status": ["STATUS_OPEN"] })),
        ("status=STATUS_LOST&page_size=5", json!({ "pageSize": 5 })),
        ("status=1&status=77", json!({ "status": ["STATUS_OPEN", 77] })),
    ] {
        let (reply, calls) = send(&gateway, &format!("GET /v1/orders?{query}"), "", "", |_| ok("grpc_web", &[]));
        assert_eq!(calls.len(), 1, "{query}: {}", shown(&reply));
        assert_eq!(decoded("shop.v1.ListOrdersRequest", &calls[0].1), expected, "{query}");
    }
    // What is known and wrong is no less wrong.
    let (reply, calls) = send(&gateway, "GET /v1/orders?page_size=x", "", "", |_| ok("grpc_web", &[]));
    assert_eq!((reply.response.status, calls.len()), (400, 0));
}

#[test]
fn metadata_are_the_declared_fields() {
    let options = json!({ "metadata": { "request": ["authorization", "X-Tenant-*"], "response": ["x-total-*"] } });
    let fields =
        "authorization\0Bearer t\nx-tenant-id\0a\nx-other\0b\ncookie\0c=d\naccept\0text/html\nuser-agent\0curl\n";
    let answer = |call: &Call<Vec<u8>>| {
        let sent: Vec<_> = call.headers.iter().map(|(name, _)| name.to_owned()).collect();
        for name in
            ["authorization", "x-tenant-id", "user-agent", "content-type", "grpc-timeout", "x-forwarded-host", "via"]
        {
            assert!(sent.iter().any(|sent| sent == name), "{name} is missing in {sent:?}");
        }
        for name in ["x-other", "cookie", "accept-language"] {
            assert!(!sent.iter().any(|sent| sent == name), "{name} is in {sent:?}");
        }
        assert_eq!(call.method, "POST");
        let mut body = Vec::new();
        frame::write(0, &[], &mut body);
        frame::write(0x80, b"grpc-status: 0\r\nx-total-pages: 3\r\nx-secret: s\r\n", &mut body);
        let block =
            "content-type\0application/grpc-web+proto\nx-total-count\x005\nx-inside\0no\nserver\0s\nset-cookie\0a=b\n";
        Ok(answered(200, block, body))
    };
    let (reply, _) = send(&gateway("grpc_web", options), "GET /v1/orders/7", fields, "", answer);
    let headers = &reply.response.headers;
    assert_eq!((headers.text("x-total-count"), headers.text("x-total-pages")), (Some("5"), Some("3")));
    for name in ["x-inside", "x-secret", "server", "grpc-status"] {
        assert!(!headers.contains(name), "{name}");
    }
    assert!(headers.contains("set-cookie"));
}

#[test]
fn the_clients_deadline_becomes_the_upstreams() {
    for (fields, dialect, name, expected) in [
        ("", "grpc_web", "grpc-timeout", "30000m"),
        ("grpc-timeout\x002S\n", "grpc_web", "grpc-timeout", "2000m"),
        ("grpc-timeout\x00100S\n", "grpc_web", "grpc-timeout", "30000m"),
        ("connect-timeout-ms\x001500\n", "grpc_web", "grpc-timeout", "1500m"),
        ("grpc-timeout\x002S\n", "connect", "connect-timeout-ms", "2000"),
    ] {
        let (_, _) = send(&gateway(dialect, json!({})), "GET /v1/orders/7", fields, "", |call| {
            assert_eq!(call.headers.text(name), Some(expected), "{fields}");
            assert!(u64::try_from(call.timeout.as_millis()).is_ok_and(|timeout| timeout <= 30_000));
            ok(dialect, &[])
        });
    }
    // The gateway waits so long for the head. What goes on behind it has the time that the client gives it, and no other.
    for (fields, dialect, name, expected) in [
        ("", "grpc_web", "grpc-timeout", None),
        ("grpc-timeout\x002S\n", "grpc_web", "grpc-timeout", Some("2000m")),
        ("grpc-timeout\x00100S\n", "grpc_web", "grpc-timeout", Some("100000m")),
        ("", "connect", "connect-timeout-ms", None),
        ("grpc-timeout\x00100S\n", "connect", "connect-timeout-ms", Some("100000")),
    ] {
        let (_, calls) = send(&gateway(dialect, json!({})), "GET /v1/orders/7/events", fields, "", |call| {
            assert_eq!(call.headers.text(name), expected, "{fields}");
            assert!(u64::try_from(call.timeout.as_millis()).is_ok_and(|timeout| timeout <= 30_000));
            ok("grpc_web", &[])
        });
        assert_eq!(calls.len(), 1, "{fields}");
    }
    let (reply, calls) =
        send(&gateway("connect", json!({})), "GET /v1/orders/7", "grpc-timeout\x000m\n", "", |_| ok("connect", &[]));
    assert_eq!((reply.response.status, calls.len()), (504, 0));
}

#[test]
fn a_deadline_holds_for_clients_that_pass_as_they_are() {
    for (dialect, kind, field, said, expected) in [
        ("grpc_web", "application/grpc-web+proto", "grpc-timeout", "2S", "2000m"),
        ("grpc_web", "application/grpc-web+proto", "grpc-timeout", "100S", "30000m"),
        ("connect", "application/proto", "connect-timeout-ms", "1500", "1500"),
        ("connect", "application/proto", "connect-timeout-ms", "99999", "30000"),
        ("grpc", "application/grpc", "grpc-timeout", "2S", "2000m"),
    ] {
        let fields = format!("content-type\0{kind}\n{field}\0{said}\n");
        let (_, calls) = send(&gateway(dialect, json!({})), "POST /shop.v1.Shop/GetOrder", &fields, "", |call| {
            assert_eq!(call.headers.text(field), Some(expected), "{dialect}");
            let most = expected.trim_end_matches('m').parse().unwrap();
            assert!(call.timeout.as_millis() <= most, "{dialect}: {:?}", call.timeout);
            Ok(answered(200, "", Vec::new()))
        });
        assert_eq!(calls.len(), 1, "{dialect}");
    }
    let long = "content-type\0application/grpc-web+proto\ngrpc-timeout\x00100S\n";
    let (_, calls) = send(&gateway("grpc_web", json!({})), "POST /shop.v1.Shop/WatchOrder", long, "", |call| {
        assert_eq!(call.headers.text("grpc-timeout"), Some("100S"), "there may be more behind the head");
        ok("grpc_web", &[])
    });
    assert_eq!(calls.len(), 1);
    // Whoever says nothing is not made to, and who does not want to wait at all does not.
    let web = "content-type\0application/grpc-web+proto\n";
    let (_, calls) = send(&gateway("grpc_web", json!({})), "POST /shop.v1.Shop/GetOrder", web, "", |call| {
        assert!(!call.headers.contains("grpc-timeout"));
        ok("grpc_web", &[])
    });
    assert_eq!(calls.len(), 1);
    let none = format!("{web}grpc-timeout\x000m\n");
    let (reply, calls) =
        send(&gateway("grpc_web", json!({})), "POST /shop.v1.Shop/GetOrder", &none, "", |_| ok("grpc_web", &[]));
    let told = String::from_utf8_lossy(&bytes(&reply)).into_owned();
    assert!(calls.is_empty() && told.contains("grpc-status: 4"), "{told}");
}

#[test]
fn each_attempt_is_told_what_is_left_to_it() {
    for (target, said, expected) in [
        ("/v1/orders/7", "", [4_000, 4_000]),
        ("/v1/orders/7", "grpc-timeout\x006500m\n", [4_000, 3_500]),
        ("/v1/orders/7/events", "grpc-timeout\x0060S\n", [60_000, 57_000]),
        ("/v1/orders/7/events", "", [0, 0]),
    ] {
        let gateway = loaded(&json!({
            "upstreams": { "shop": {
                "targets": [{ "url": "http://127.0.0.1:9000" }, { "url": "http://127.0.0.1:9001" }],
                "retries": { "attempts": 2, "pause": "1ms", "longest_pause": "1ms" },
            } },
            "routes": [{
                "name": "shop", "upstream": "shop", "timeouts": { "attempt": "4s", "total": "10s" },
                "grpc": { "protos": "shop.proto", "dialect": "grpc_web" },
            }],
        }));
        let told = std::cell::RefCell::new(Vec::<u64>::new());
        let platform = TestPlatform::new(|call: Call<Vec<u8>>| {
            let told_now =
                call.headers.text("grpc-timeout").map_or(0, |text| text.trim_end_matches('m').parse().unwrap());
            told.borrow_mut().push(told_now);
            Err(Failure { error: FetchError::Unreachable, detail: String::new() })
        });
        *platform.delay.borrow_mut() = Some(Box::new(|_| 3_000));
        let incoming = Incoming {
            method: "GET".to_owned(),
            scheme: Scheme::Http,
            authority: "shop.test".to_owned(),
            target: target.to_owned(),
            headers: Headers::from_block(said.as_bytes().to_vec()),
            body: Body::Empty,
            peer: Peer::default(),
        };
        let _ = run(gateway.handle(&platform, incoming));
        drop(platform);
        let told = told.into_inner();
        // A pause takes a millisecond, or none.
        let is_as_expected = |(told, expected): (&u64, &u64)| (expected.saturating_sub(1)..=*expected).contains(told);
        assert!(told.len() >= 2 && told.iter().zip(&expected).all(is_as_expected), "{target} {said}: {told:?}");
    }
}

#[test]
fn a_service_that_ends_a_call_at_its_deadline_has_exceeded_it() {
    for (took, code) in [(100, "CANCELLED"), (300, "DEADLINE_EXCEEDED")] {
        let clock = std::rc::Rc::new(std::cell::Cell::new(1_750_000_000_000));
        let platform = TestPlatform::with_clock(clock.clone(), |_| {
            clock.set(clock.get() + took);
            Ok(answered(200, "content-type\0application/grpc-web+proto\ngrpc-status\x001\n", Vec::new()))
        });
        let incoming = Incoming {
            method: "GET".to_owned(),
            scheme: Scheme::Http,
            authority: "shop.test".to_owned(),
            target: "/v1/orders/7".to_owned(),
            headers: Headers::from_block(b"grpc-timeout\x00300m\n".to_vec()),
            body: Body::Empty,
            peer: Peer::default(),
        };
        let reply = run(gateway("grpc_web", json!({})).handle(&platform, incoming));
        assert_eq!(problem(&reply)["code"], code, "{}", shown(&reply));
    }
}

/// `google.rpc.Status` with two details, one of a type that nobody here knows.
fn details() -> Vec<u8> {
    let status = json!({
        "code": 5,
        "message": "gone",
        "details": [
            { "@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [{ "field": "id", "description": "no" }] },
            { "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1.5s" },
            { "@type": "type.googleapis.com/google.rpc.DebugInfo", "detail": "at line 7" },
        ],
    });
    let mut bytes = encoded("google.rpc.Status", &status);
    // details: Any { type_url: "a/unknown.Type", value: "x" }
    bytes.extend([0x1A, 19, 0x0A, 14]);
    bytes.extend(b"a/unknown.Type");
    bytes.extend([0x12, 1, b'x']);
    bytes
}

#[test]
fn a_failed_call_is_a_problem_with_its_status_and_details() {
    use base64::Engine;
    let packed = base64::engine::general_purpose::STANDARD_NO_PAD.encode(details());
    let trailers = format!("grpc-status: 5\r\ngrpc-message: not%20here%21\r\ngrpc-status-details-bin: {packed}\r\n");
    let in_head = format!(
        "content-type\0application/grpc-web+proto\ngrpc-status\x005\ngrpc-message\0not%20here!\ngrpc-status-details-bin\0{packed}\n"
    );
    let mut body = Vec::new();
    frame::write(0x80, trailers.as_bytes(), &mut body);
    for (block, body) in [("content-type\0application/grpc-web+proto\n", body), (in_head.as_str(), Vec::new())] {
        let (reply, _) = send(&gateway("grpc_web", json!({})), "GET /v1/orders/7", "", "", |_| {
            Ok(answered(200, block, body.clone()))
        });
        let problem = problem(&reply);
        assert_eq!((reply.response.status, reply.response.headers.text("retry-after")), (404, Some("2")));
        assert_eq!(problem["type"], "urn:postern:problem:call-failed");
        assert_eq!((&problem["code"], &problem["detail"]), (&json!("NOT_FOUND"), &json!("not here!")));
        assert_eq!(
            problem["details"],
            json!([
                { "@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [{ "field": "id", "description": "no" }] },
                { "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1.500s" },
                { "@type": "a/unknown.Type" },
            ])
        );
        assert!(reply.notes.is_empty(), "the service answered: {:?}", reply.notes);
    }
    let error = json!({ "code": "resource_exhausted", "message": "slowly", "details": [{ "type": "google.rpc.RetryInfo", "value": "CgIIAQ" }] });
    let (reply, _) = send(&gateway("connect", json!({})), "GET /v1/orders/7", "", "", |_| {
        Ok(answered(429, "content-type\0application/json\n", error.to_string().into_bytes()))
    });
    let shown = problem(&reply);
    assert_eq!(
        (reply.response.status, &shown["code"], &shown["detail"]),
        (429, &json!("RESOURCE_EXHAUSTED"), &json!("slowly"))
    );
    assert_eq!(reply.response.headers.text("retry-after"), Some("1"));
}

#[test]
fn an_answer_that_is_none_is_502_and_the_log_says_why() {
    let frames = |frames: &[(u8, &[u8])]| {
        let mut body = Vec::new();
        frames.iter().for_each(|(flags, data)| frame::write(*flags, data, &mut body));
        body
    };
    let ok = b"grpc-status: 0\r\n".as_slice();
    let web = "content-type\0application/grpc-web+proto\n";
    for (block, body, says) in [
        ("content-type\0text/html\n", b"<html>".to_vec(), "text/html"),
        ("content-type\0application/grpc-web-text\n", Vec::new(), "grpc-web-text"),
        (web, Vec::new(), "without a status"),
        (web, frames(&[(0, b"")]), "without a status"),
        (web, b"\0\0\0\0\x09ab".to_vec(), "in the middle"),
        (web, frames(&[(1, b""), (0x80, ok)]), "compressed"),
        (web, frames(&[(4, b""), (0x80, ok)]), "flags 0x04"),
        (web, frames(&[(0x80, ok), (0, b"")]), "behind the end"),
        (web, frames(&[(0, b""), (0, b""), (0x80, ok)]), "2 messages"),
        (web, frames(&[(0x80, ok)]), "0 messages"),
        (web, frames(&[(0, b"\xFF"), (0x80, ok)]), "should be a shop.v1.Order"),
        (web, frames(&[(0, b"\x12\x01\xFF"), (0x80, ok)]), "should be a shop.v1.Order"),
        (web, frames(&[(0, b""), (0x80, b"grpc-message: x\r\n")]), "no grpc-status"),
        (web, frames(&[(0, b""), (0x80, b"nonsense")]), "colon"),
        (web, frames(&[(0, &[0; 2000]), (0x80, ok)]), "more than 1000"),
        (web, b"\0\xFF\xFF\xFF\xFF".to_vec(), "more than 1000"),
    ] {
        let gateway = gateway("grpc_web", json!({ "max_message": 1000 }));
        let (reply, _) = send(&gateway, "GET /v1/orders/7", "", "", |_| Ok(answered(200, block, body.clone())));
        assert_eq!(
            (reply.response.status, &problem(&reply)["type"]),
            (502, &json!("urn:postern:problem:untranslatable-response")),
            "{says}"
        );
        assert!(reply.notes.iter().any(|note| note.detail.contains(says)), "{says}: {:?}", reply.notes);
    }
    // Of a method with one answer, Connect has no frames; of one with many, what breaks off is no whole body.
    let stream = "content-type\0application/connect+proto\n";
    let plain = "content-type\0application/proto\n";
    for (request, block, body, says) in [
        ("GET /v1/orders/7", "content-type\0application/json\n", b"{}".to_vec(), "application/json"),
        ("GET /v1/orders/7", stream, frames(&[(0, b""), (2, b"{}")]), "application/connect+proto"),
        ("GET /v1/orders/7", plain, b"\xFF".to_vec(), "should be a shop.v1.Order"),
        ("GET /v1/orders/7", plain, vec![0; 1001], "more than 1000"),
        ("POST /v1/orders:import", stream, Vec::new(), "without a status"),
        ("POST /v1/orders:import", stream, frames(&[(0, b"")]), "without a status"),
        ("POST /v1/orders:import", stream, frames(&[(0, b""), (2, b"nonsense")]), "no JSON"),
        ("POST /v1/orders:import", stream, frames(&[(1, b""), (2, b"{}")]), "compressed"),
        ("POST /v1/orders:import", stream, frames(&[(0, b""), (0x80, ok)]), "flags 0x80"),
        ("POST /v1/orders:import", stream, frames(&[(2, b"{}"), (0, b"")]), "behind the end"),
        ("POST /v1/orders:import", stream, frames(&[(2, b"{}")]), "0 messages"),
        ("POST /v1/orders:import", stream, frames(&[(0, &[0; 2000]), (2, b"{}")]), "more than 1000"),
        ("POST /v1/orders:import", stream, b"\0\0\0\0\x09ab".to_vec(), "in the middle"),
        ("POST /v1/orders:import", plain, Vec::new(), "application/proto"),
    ] {
        let gateway = gateway("connect", json!({ "max_message": 1000 }));
        let json = "content-type\0application/json\n";
        let (reply, _) = send(&gateway, request, json, "", |_| Ok(answered(200, block, body.clone())));
        assert_eq!(reply.response.status, 502, "{request} {says}: {}", shown(&reply));
        assert_eq!(problem(&reply)["type"], "urn:postern:problem:untranslatable-response", "{says}");
        assert!(reply.notes.iter().any(|note| note.detail.contains(says)), "{says}: {:?}", reply.notes);
    }
    // gRPC ends in trailers, of which the test platform has none.
    let native = "content-type\0application/grpc+proto\n";
    for (block, body, says) in [
        ("content-type\0text/html\n", b"<html>".to_vec(), "text/html"),
        (web, frames(&[(0, b""), (0x80, ok)]), "application/grpc-web+proto"),
        (native, Vec::new(), "without a status"),
        (native, frames(&[(0, b"")]), "without a status"),
        (native, frames(&[(0, b""), (0x80, ok)]), "flags 0x80"),
        (native, frames(&[(0, b""), (2, b"{}")]), "flags 0x02"),
        (native, frames(&[(1, b"")]), "compressed"),
        (native, frames(&[(0, &[0; 2000])]), "more than 1000"),
        (native, b"\0\0\0\0\x09ab".to_vec(), "in the middle"),
    ] {
        let gateway = gateway("grpc", json!({ "max_message": 1000 }));
        let (reply, _) = send(&gateway, "GET /v1/orders/7", "", "", |_| Ok(answered(200, block, body.clone())));
        assert_eq!(reply.response.status, 502, "{says}: {}", shown(&reply));
        assert!(reply.notes.iter().any(|note| note.detail.contains(says)), "{says}: {:?}", reply.notes);
    }
    // An error that is none says what its status says.
    for (status, body, code, http) in [
        (404, &b"<html>"[..], "UNIMPLEMENTED", 501),
        (429, b"[]", "UNAVAILABLE", 503),
        (500, b"{\"code\":7}", "UNKNOWN", 500),
        (500, b"{\"code\":\"nonsense\"}", "UNKNOWN", 500),
    ] {
        let (reply, _) = send(&gateway("connect", json!({})), "GET /v1/orders/7", "", "", |_| {
            Ok(answered(status, "content-type\0application/json\n", body.to_vec()))
        });
        assert_eq!((reply.response.status, &problem(&reply)["code"]), (http, &json!(code)), "{status}");
    }
    for (status, code, http) in [(503, "UNAVAILABLE", 503), (404, "UNIMPLEMENTED", 501), (418, "UNKNOWN", 500)] {
        for dialect in ["grpc_web", "connect"] {
            let (reply, _) = send(&gateway(dialect, json!({})), "GET /v1/orders/7", "", "", |_| {
                Ok(answered(status, "content-type\0text/html\n", b"inside".to_vec()))
            });
            assert_eq!((reply.response.status, &problem(&reply)["code"]), (http, &json!(code)), "{dialect}");
            assert!(!text(&reply).contains("inside"));
        }
    }
}

#[test]
fn many_messages_are_written_as_the_client_asks() {
    let events: Vec<_> = ["a", "b"].map(|what| encoded("shop.v1.OrderEvent", &json!({ "what": what }))).into();
    let stream = |dialect: &str, end: &str| {
        let mut body = Vec::new();
        events.iter().for_each(|event| frame::write(0, event, &mut body));
        frame::write(if dialect == "connect" { 2 } else { 0x80 }, end.as_bytes(), &mut body);
        let kind = if dialect == "connect" { "application/connect+proto" } else { "application/grpc-web+proto" };
        Ok(answered(200, &format!("content-type\0{kind}\n"), body))
    };
    let failed = "grpc-status: 14\r\ngrpc-message: later\r\n";
    for (accept, dialect, end, kind, expected) in [
        ("", "grpc_web", "grpc-status: 0\r\n", "application/json", "[{\"what\":\"a\"},\n{\"what\":\"b\"}]"),
        ("application/json", "connect", "{}", "application/json", "[{\"what\":\"a\"},\n{\"what\":\"b\"}]"),
        (
            "application/x-ndjson",
            "grpc_web",
            "grpc-status: 0\r\n",
            "application/x-ndjson",
            "{\"what\":\"a\"}\n{\"what\":\"b\"}\n",
        ),
        (
            "text/event-stream",
            "connect",
            "{}",
            "text/event-stream",
            "data: {\"what\":\"a\"}\n\ndata: {\"what\":\"b\"}\n\nevent: end\ndata: {}\n\n",
        ),
        (
            "application/x-ndjson",
            "grpc_web",
            failed,
            "application/x-ndjson",
            "{\"what\":\"a\"}\n{\"what\":\"b\"}\n{\"error\":…}\n",
        ),
        ("", "grpc_web", failed, "application/json", "[{\"what\":\"a\"},\n{\"what\":\"b\"},\n{\"error\":…}]"),
        (
            "text/event-stream",
            "connect",
            r#"{"error":{"code":"unavailable","message":"later"}}"#,
            "text/event-stream",
            "data: {\"what\":\"a\"}\n\ndata: {\"what\":\"b\"}\n\nevent: error\ndata: …\n\n",
        ),
    ] {
        let fields = if accept.is_empty() { String::new() } else { format!("accept\0{accept}\n") };
        let (reply, _) = send(&gateway(dialect, json!({})), "GET /v1/orders/7/events", &fields, "", |call| {
            assert_eq!(call.body_length(), 7, "one message in a frame");
            stream(dialect, end)
        });
        assert_eq!(reply.response.headers.text("content-type"), Some(kind), "{}", shown(&reply));
        let mut seen = text(&reply);
        if let Some(from) = seen.find("{\"type\"") {
            let to = seen[from..].find("\"code\":\"UNAVAILABLE\"}").map_or(seen.len(), |at| from + at + 21);
            let problem: Value = serde_json::from_str(&seen[from..to]).unwrap();
            assert_eq!((&problem["status"], &problem["detail"]), (&json!(503), &json!("later")));
            seen.replace_range(from..to, "…");
        }
        assert_eq!(seen, expected, "{accept} {dialect}");
    }
    // What fails before it begins has a status of its own; what is over before that is empty.
    let head = "content-type\0application/grpc-web+proto\n";
    let (reply, _) = send(&gateway("grpc_web", json!({})), "GET /v1/orders/7/events", "", "", |_| {
        Ok(answered(200, &format!("{head}grpc-status\x005\n"), Vec::new()))
    });
    assert_eq!((reply.response.status, &problem(&reply)["code"]), (404, &json!("NOT_FOUND")));
    let (reply, _) = send(&gateway("grpc_web", json!({})), "GET /v1/orders/7/events", "", "", |_| {
        Ok(answered(200, &format!("{head}grpc-status\x000\n"), Vec::new()))
    });
    assert_eq!((reply.response.status, text(&reply).as_str()), (200, "[]"));
    // What breaks off is no whole body.
    let mut cut = Vec::new();
    frame::write(0, &events[0], &mut cut);
    let (reply, _) = send(&gateway("grpc_web", json!({})), "GET /v1/orders/7/events", "", "", |_| {
        Ok(answered(200, head, cut.clone()))
    });
    assert!(matches!(reply.response.body, Body::Pumped(..)), "{}", shown(&reply));
}

#[test]
fn many_messages_are_read_one_behind_the_other() {
    for (kind, body) in [
        ("application/x-ndjson", "{\"customer\":\"a\"}\n{\"customer\":\"b\"}\n"),
        ("application/json", "{\"customer\":\"a\"} {\n\"customer\":\"b\"}"),
        ("application/json", "[{\"customer\":\"a\"},\n{\"customer\":\"b\"}]"),
    ] {
        let taken = encoded("shop.v1.ImportOrdersResponse", &json!({ "taken": 2 }));
        let mut sent = Vec::new();
        let (reply, _) = send(
            &gateway("grpc_web", json!({})),
            "POST /v1/orders:import",
            &format!("content-type\0{kind}\n"),
            body,
            |call| {
                sent = Frames::of(&bytes_of(call), 100)
                    .unwrap()
                    .into_iter()
                    .map(|frame| decoded("shop.v1.Order", &frame.data))
                    .collect();
                ok("grpc_web", &taken)
            },
        );
        assert_eq!(sent, [json!({ "customer": "a" }), json!({ "customer": "b" })], "{kind}");
        assert_eq!(text(&reply), r#"{"taken":2}"#);
    }
}

#[test]
fn a_stream_that_is_none_is_refused_wherever_it_breaks() {
    let lines = "content-type\0application/x-ndjson\n";
    let web = "content-type\0application/grpc-web+proto\n";
    for (fields, body, status, says) in [
        (lines, b"{\"id\":1}\n{\"id\":\"x\"}\n".to_vec(), 400, "invalid"),
        (lines, b"{\"id\":1}\n{\"id\":1".to_vec(), 400, "EOF"),
        (lines, b"{\"id\":1}\n]".to_vec(), 400, "no value"),
        (lines, b"[{\"id\":1}".to_vec(), 400, "no end"),
        (lines, b"{\"customer\":\"\xFF\"}".to_vec(), 400, "invalid unicode"),
        (lines, format!("{{}}{{\"customer\":\"{}\"}}", "x".repeat(100)).into_bytes(), 413, "100 bytes"),
        ("content-type\0text/plain\n", b"{}".to_vec(), 415, "application/json"),
        (
            "content-type\0application/x-ndjson\ncontent-encoding\0gzip\n",
            b"{}".to_vec(),
            415,
            "without a content coding",
        ),
        // Clients of other protocols hear of it in the same words.
        (web, b"\0\0\0\0\0\0\0\0\0\x01".to_vec(), 200, "middle of a message"),
        (web, b"\0\0\0\0\0\x01\0\0\0\0".to_vec(), 200, "grpc-status: 12"),
        (web, b"\0\0\0\0\0\x04\0\0\0\0".to_vec(), 200, "flags 0x04"),
        (web, b"\0\0\0\0\x65".to_vec(), 200, "grpc-status: 8"),
        ("content-type\0application/grpc-web-text\n", b"AAAAAAA=AA".to_vec(), 200, ""),
    ] {
        let gateway = gateway("connect", json!({ "max_message": 100 }));
        // With its length a body is read first, and without it goes on as it comes.
        for length in [format!("content-length\0{}\n", body.len()), String::new()] {
            let fields = format!("{fields}{length}");
            let request = "POST /v1/orders:import";
            let request = if status == 200 { "POST /shop.v1.Shop/ImportOrders" } else { request };
            let (reply, calls) = send_bytes(&gateway, request, &fields, body.clone(), |_| ok("connect", &[]));
            assert!(calls.is_empty(), "{fields}: it was sent");
            assert_eq!(reply.response.status, status, "{fields}: {}", shown(&reply));
            assert!(String::from_utf8_lossy(&bytes(&reply)).contains(says), "{fields}: {}", shown(&reply));
        }
    }
    // What the head says is known before anything is sent.
    let (reply, calls) =
        send(&gateway("grpc_web", json!({})), "POST /v1/orders:import?other=1", lines, "{}", |_| ok("grpc_web", &[]));
    assert_eq!((reply.response.status, calls.len()), (400, 0));
}

#[test]
fn messages_of_a_client_need_no_memory() {
    for (fields, message, expected) in [
        ("content-type\0application/json\n", &b"{\"customer\":\"a\"}"[..], 8),
        ("content-type\0application/connect+json\n", b"\0\0\0\0\x10{\"customer\":\"a\"}", 8),
        ("content-type\0application/grpc\n", b"\0\0\0\0\x03\x12\x01a", 8),
    ] {
        let mut seen = 0;
        let platform = TestPlatform::new(|call: Call<Vec<u8>>| {
            let Body::Pumped(_, mut pump) = call.body else { panic!("it is a stream") };
            assert!(!call.headers.contains("content-length"));
            for _ in 0..100_000 {
                // Cut where it hurts: no chunk holds a whole message.
                let (first, second) = message.split_at(3);
                let mut out = pump.push(first).unwrap();
                out.extend(pump.push(second).unwrap());
                assert_eq!(out.len(), expected, "each message goes on when it is whole, and nothing else does");
                seen += 1;
            }
            assert!(pump.finish(Headers::new()).is_ok_and(|(rest, _)| rest.is_empty()));
            ok("grpc_web", &[])
        });
        let json = fields.contains("application/json");
        let incoming = Incoming {
            method: "POST".to_owned(),
            scheme: Scheme::Http,
            authority: "shop.test".to_owned(),
            target: if json { "/v1/orders:import" } else { "/shop.v1.Shop/ImportOrders" }.to_owned(),
            headers: Headers::from_block(fields.as_bytes().to_vec()),
            body: Body::Stream(Vec::new()),
            peer: Peer::default(),
        };
        let reply = run(gateway("grpc_web", json!({})).handle(&platform, incoming));
        drop(platform);
        assert_eq!((reply.response.status, seen), (200, 100_000), "{fields}");
    }
}

/// A service that takes and gives files.
const FILES: &str = r#"
    syntax = "proto3";
    package files.v1;
    import "google/api/annotations.proto";
    import "google/api/httpbody.proto";
    service Files {
      rpc Put(stream PutRequest) returns (PutResponse) {
        option (google.api.http) = { put: "/files/{name}" body: "content" };
      }
      rpc Note(stream NoteRequest) returns (PutResponse) {
        option (google.api.http) = { post: "/notes/{name}" body: "*" };
      }
    }
    message PutRequest { string name = 1; google.api.HttpBody content = 2; }
    message NoteRequest { string name = 1; string text = 2; }
    message PutResponse {}
"#;

/// Two bytes of each are the client's own, and the rest stands in the path.
#[test]
fn short_values_do_not_become_more_than_is_taken_at_once() {
    let gateway = loaded(&json!({
        "upstreams": { "files": { "targets": [{ "url": "http://127.0.0.1:9000" }] } },
        "routes": [{
            "name": "files", "upstream": "files",
            "grpc": { "protos": "files.proto", "dialect": "grpc_web", "max_message": "1KiB" },
        }],
    }));
    let request = format!("POST /notes/{}", "n".repeat(3_000));
    let length = "content-type\0application/json\ncontent-length\0";
    for (count, status) in [(100, 200), (500, 413)] {
        let body = "{}".repeat(count);
        let mut sent = 0;
        let (reply, _) = send(&gateway, &request, &format!("{length}{}\n", body.len()), &body, |call| {
            sent = bytes_of(call).len();
            ok("grpc_web", &[])
        });
        assert_eq!(reply.response.status, status, "{}", shown(&reply));
        assert_eq!(sent, if status == 200 { count * 3_008 } else { 0 });
    }
}

#[test]
fn a_file_becomes_messages_piece_by_piece() {
    let gateway = loaded(&json!({
        "upstreams": { "files": { "targets": [{ "url": "http://127.0.0.1:9000" }] } },
        "routes": [{
            "name": "files", "upstream": "files",
            "grpc": { "protos": "files.proto", "dialect": "grpc_web", "max_message": 4 },
        }],
    }));
    let mut sent = Vec::new();
    for body in ["", "0123456789"] {
        let fields = "content-type\0image/png\n";
        let (reply, _) = send(&gateway, "PUT /files/a", fields, body, |call| {
            sent = Frames::of(&bytes_of(call), 100).unwrap().into_iter().map(|frame| frame.data).collect();
            ok("grpc_web", &[])
        });
        assert_eq!(reply.response.status, 200, "{}", shown(&reply));
        // name: "a", content { content_type: "image/png", data: "0123" }: only the first says what it is.
        let first = |data: &[u8]| [b"\x0a\x01a\x12".as_slice(), data].concat();
        let expected = match body {
            "" => vec![first(b"\x0b\x0a\x09image/png")],
            _ => {
                vec![first(b"\x11\x0a\x09image/png\x12\x040123"), first(b"\x06\x12\x044567"), first(b"\x04\x12\x0289")]
            }
        };
        assert_eq!(sent, expected, "{body}");
    }
}

/// The walk-through of docs/grpc.md, and what stands in it.
const WALK: &str = include_str!("../../docs/grpc.md");

/// The blocks of a language in it, some of which stand in a list.
fn blocks(language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let blocks = WALK.split(&fence).skip(1);
    let blocks = blocks.map(|rest| rest.split("```").next().unwrap_or_default().trim_end());
    let outdented = |block: &str| {
        let indent = block.len() - block.trim_start().len();
        block.lines().map(|line| format!("{}\n", line.get(indent..).unwrap_or_default())).collect()
    };
    blocks.map(outdented).collect()
}

#[test]
fn the_documentation_can_be_followed() {
    struct Documented<'a>(&'a str, &'a str);
    impl Files for Documented<'_> {
        fn read(&self, path: &Path) -> Result<String, String> {
            match path.to_str() {
                Some("gateway.yaml") => Ok(self.0.to_owned()),
                Some("shop.proto") => Ok(self.1.to_owned()),
                Some("sensors.proto") => Ok(SENSORS.to_owned()),
                _ => Err("there is no such file".to_owned()),
            }
        }
    }
    let [proto] = &blocks("proto")[..] else { panic!("there is one file") };
    let yaml = blocks("yaml");
    let [walk, ..] = &yaml[..] else { panic!("there is a configuration") };
    for block in &yaml {
        load(&config::compile(Path::new("gateway.yaml"), &Documented(block, proto)));
    }
    let gateway = load(&config::compile(Path::new("gateway.yaml"), &Documented(walk, proto)));
    let [console] = &blocks("console")[..] else { panic!("there is one console") };
    let commands: Vec<&str> = console.split("$ ").skip(1).collect();
    assert_eq!(commands.len(), 4);
    for command in commands {
        let (command, expected) = command.split_once('\n').unwrap();
        let url = command.split("http://localhost:8080").nth(1).unwrap().split(' ').next().unwrap();
        let fields: String = command
            .split("-H '")
            .skip(1)
            .filter_map(|rest| rest.split('\'').next()?.split_once(": "))
            .map(|(name, value)| format!("{}\0{value}\n", name.to_ascii_lowercase()))
            .collect();
        let body: String = match command.strip_prefix("printf '%s\\n' ") {
            Some(said) => {
                let said = said.split(" |").next().unwrap();
                said.split('\'').filter(|part| !part.trim().is_empty()).map(|part| format!("{part}\n")).collect()
            }
            None => String::new(),
        };
        let method = if command.contains("-X POST") { "POST" } else { "GET" };
        let (reply, _) = send(&gateway, &format!("{method} {url}"), &fields, &body, |call| {
            let message = |kind: &str, json: Value| encoded(kind, &json);
            let answers = match (call.target.as_str(), url) {
                (_, "/v1/orders/404") => {
                    let mut body = Vec::new();
                    frame::write(0x80, b"grpc-status: 5\r\ngrpc-message: there is no order 404\r\n", &mut body);
                    return Ok(answered(200, "content-type\0application/grpc-web+proto\n", body));
                }
                ("/shop.v1.Shop/GetOrder", _) => {
                    vec![message("shop.v1.Order", json!({ "id": 7, "customer": "eve", "status": "STATUS_OPEN" }))]
                }
                ("/shop.v1.Shop/WatchOrder", _) => {
                    ["paid", "sent"].map(|what| message("shop.v1.OrderEvent", json!({ "what": what }))).into()
                }
                ("/shop.v1.Shop/ImportOrders", _) => {
                    let taken = Frames::of(&bytes_of(call), 100).unwrap().len();
                    vec![message("shop.v1.ImportOrdersResponse", json!({ "taken": taken }))]
                }
                (other, _) => panic!("{other}"),
            };
            let mut body = Vec::new();
            answers.iter().for_each(|message| frame::write(0, message, &mut body));
            frame::write(0x80, b"grpc-status: 0\r\n", &mut body);
            Ok(answered(200, "content-type\0application/grpc-web+proto\n", body))
        });
        let (got, mut rest) = (text(&reply), expected.trim());
        let mut left = got.trim();
        // What differs from answer to answer is left out.
        while let Some((part, behind)) = rest.split_once('…') {
            left = left.strip_prefix(part).unwrap_or_else(|| panic!("{command}: {got}"));
            rest = behind;
            left = left.find(rest.split('…').next().unwrap()).map_or("", |at| &left[at..]);
        }
        assert_eq!(left, rest, "{command}: {got}");
    }
}

/// What the documentation names without showing it.
const SENSORS: &str = r#"
    syntax = "proto3";
    package sensors.v1;
    import "google/api/annotations.proto";
    service Sensors {
      rpc Record(stream Reading) returns (Recorded) { option (google.api.http) = { post: "/v1/readings:record" body: "*" }; }
    }
    message Reading { double value = 1; }
    message Recorded { uint64 count = 1; }
"#;

#[test]
fn types_inside_others_need_nothing_of_what_is_around_them() {
    let inside = "
        message Outer {
          Big big = 1;
          oneof one { Big other = 2; }
          message Req { string id = 1; }
          message Rep { string id = 1; }
          message Beside { Big big = 1; Size size = 2; }
          enum Size { SIZE_UNSPECIFIED = 0; }
        }
        message Big { map<string, Outer> outer = 1; }
        service S { rpc Do(Outer.Req) returns (Outer.Rep); }";
    let kind_of_another = "
        message Order {
          enum Status { STATUS_UNSPECIFIED = 0; STATUS_OPEN = 1; }
          Customer customer = 1;
        }
        message Customer { string name = 1; }
        message Req { Order.Status status = 1; string id = 2; }
        message Rep { map<string, Order.Status> all = 1; string id = 2; }
        service S { rpc Do(Req) returns (Rep); }";
    let beside = "
        message Req { string id = 1; message Unused { Big big = 1; } }
        message Rep { string id = 1; message Part { Req.Unused unused = 1; } repeated Part parts = 2; }
        message Big { Bigger bigger = 1; }
        message Bigger { string id = 1; }
        service S { rpc Do(Req) returns (Rep); }";
    let extended = "
        import \"google/protobuf/descriptor.proto\";
        message Req {
          string id = 1;
          extend google.protobuf.FieldOptions { string note = 50000; }
        }
        message Rep { string id = 1 [(Req.note) = \"x\"]; }
        service S { rpc Do(Req) returns (Rep); }";
    for types in [inside, kind_of_another, beside, extended] {
        let gateway = with_proto("grpc_web", &format!("syntax = \"proto3\"; package t; {types}"));
        let fields = "content-type\0application/json\n";
        let (reply, calls) = send(&gateway, "POST /t.S/Do", fields, r#"{"id":"7"}"#, |_| ok("grpc_web", &[]));
        assert_eq!((reply.response.status, calls.len()), (200, 1), "{types}: {}", shown(&reply));
    }
}

#[test]
fn clients_of_grpc_are_answered_with_trailers() {
    let request = encoded("shop.v1.GetOrderRequest", &json!({ "id": "7" }));
    let order = encoded("shop.v1.Order", &json!({ "id": "7" }));
    let (mut framed, mut answer) = (Vec::new(), Vec::new());
    frame::write(0, &request, &mut framed);
    frame::write(0, &order, &mut answer);
    let fields = "content-type\0application/grpc+proto\nte\0trailers\ngrpc-timeout\x002S\nx-custom\0yes\n";
    for dialect in ["grpc_web", "connect"] {
        let gateway = gateway(dialect, json!({}));
        let call = |gateway: &Gateway, answer: &mut dyn FnMut() -> Answer| {
            let path = "POST /shop.v1.Shop/GetOrder";
            send_bytes(gateway, path, fields, framed.clone(), |call| {
                assert_eq!((call.headers.text("x-custom"), call.headers.contains("te")), (Some("yes"), false));
                answer()
            })
        };
        let (reply, calls) = call(&gateway, &mut || ok(dialect, &order));
        assert_eq!(calls, [("/shop.v1.Shop/GetOrder".to_owned(), request.clone())], "{dialect}");
        let headers = &reply.response.headers;
        assert_eq!((reply.response.status, bytes(&reply)), (200, answer.clone()), "{dialect}");
        assert_eq!(headers.text("content-type"), Some("application/grpc+proto"), "{dialect}");
        assert_eq!((headers.text("after-grpc-status"), headers.text("grpc-status")), (Some("0"), None), "{dialect}");

        let (reply, _) = call(&gateway, &mut || match dialect {
            "connect" => {
                let error = json!({ "code": "not_found", "message": "gone" });
                let head = "content-type\0application/json\ntrailer-x-end\x001\n";
                Ok(answered(404, head, error.to_string().into_bytes()))
            }
            _ => {
                let mut body = Vec::new();
                frame::write(0x80, b"grpc-status: 5\r\ngrpc-message: gone\r\nx-end: 1\r\n", &mut body);
                Ok(answered(200, "content-type\0application/grpc-web+proto\n", body))
            }
        });
        let headers = &reply.response.headers;
        assert_eq!((reply.response.status, bytes(&reply).len()), (200, 0), "{dialect}");
        assert_eq!(headers.text("after-grpc-status"), Some("5"), "{dialect}");
        assert_eq!(headers.text("after-grpc-message"), Some("gone"), "{dialect}");
        assert_eq!(headers.text("after-x-end"), Some("1"), "{dialect}");

        // So has what is over with its head, though it went well.
        if dialect == "grpc_web" {
            let head = "content-type\0application/grpc-web+proto\ngrpc-status\x000\nx-custom\0yes\n";
            let (reply, _) = send_bytes(&gateway, "POST /shop.v1.Shop/WatchOrder", fields, framed.clone(), |_| {
                Ok(answered(200, head, Vec::new()))
            });
            let headers = &reply.response.headers;
            assert_eq!((headers.text("grpc-status"), headers.text("x-custom")), (Some("0"), Some("yes")));
            assert_eq!((reply.response.status, bytes(&reply).len()), (200, 0));
        }

        // What is no answer has its status in the head, as there is nothing behind it.
        let (reply, _) = call(&gateway, &mut || Ok(answered(200, "content-type\0text/html\n", b"x".to_vec())));
        let headers = &reply.response.headers;
        assert_eq!((reply.response.status, headers.text("grpc-status")), (200, Some("14")), "{dialect}");
    }
}

#[test]
fn only_the_clients_that_are_named_are_taken() {
    let gateway = gateway("grpc_web", json!({ "clients": ["json", "connect"] }));
    for (request, fields, body, status) in [
        ("GET /v1/orders/7", "", "", 200),
        ("POST /shop.v1.Shop/GetOrder", "content-type\0application/proto\n", "", 200),
        ("POST /shop.v1.Shop/GetOrder", "content-type\0application/grpc-web+proto\n", "\0\0\0\0\0", 12),
        ("POST /shop.v1.Shop/GetOrder", "content-type\0application/grpc\n", "\0\0\0\0\0", 12),
    ] {
        let (reply, calls) = send(&gateway, request, fields, body, |_| ok("grpc_web", &[]));
        assert_eq!(calls.len(), usize::from(status == 200), "{fields}");
        let told = reply.response.headers.text("grpc-status").map(str::to_owned);
        let shown_as = String::from_utf8_lossy(&bytes(&reply)).into_owned();
        let told = told.or_else(|| shown_as.contains("grpc-status: 12").then(|| "12".to_owned()));
        assert_eq!(told.map_or(200, |told| told.parse().unwrap()), status, "{fields}: {}", shown(&reply));
    }
}

#[test]
fn clients_of_connect_and_grpc_web_are_understood() {
    let request = encoded("shop.v1.GetOrderRequest", &json!({ "id": "7" }));
    let order = encoded("shop.v1.Order", &json!({ "id": "7" }));
    let mut framed = Vec::new();
    frame::write(0, &request, &mut framed);
    let mut in_text = Vec::new();
    frame::to_text(&framed, &mut in_text);
    let mut web = Vec::new();
    frame::write(0, &order, &mut web);
    frame::write(0x80, b"grpc-status: 0\r\n", &mut web);
    let mut web_text = Vec::new();
    frame::to_text(&web, &mut web_text);
    let json_version = "content-type\0application/json\nconnect-protocol-version\x001\n";
    for (upstream, fields, body, kind, expected) in [
        ("grpc_web", json_version, b"{\"id\":7}".to_vec(), "application/json", b"{\"id\":\"7\"}".to_vec()),
        ("grpc_web", "content-type\0application/proto\n", request.clone(), "application/proto", order.clone()),
        (
            "connect",
            "content-type\0application/grpc-web+proto\n",
            framed.clone(),
            "application/grpc-web+proto",
            web.clone(),
        ),
        (
            "connect",
            "content-type\0application/grpc-web-text\n",
            in_text.clone(),
            "application/grpc-web-text+proto",
            web_text.clone(),
        ),
        (
            "grpc_web",
            "content-type\0application/grpc-web-text\n",
            in_text.clone(),
            "application/grpc-web-text+proto",
            web_text.clone(),
        ),
    ] {
        let fields = format!("{fields}x-custom\0yes\norigin\0https://app.test\n");
        let (reply, calls) =
            send_bytes(&gateway(upstream, json!({})), "POST /shop.v1.Shop/GetOrder", &fields, body, |call| {
                assert_eq!((call.headers.text("x-custom"), call.headers.contains("origin")), (Some("yes"), false));
                ok(upstream, &order)
            });
        assert_eq!(
            calls,
            [("/shop.v1.Shop/GetOrder".to_owned(), request.clone())],
            "{fields} to {upstream}: {}",
            shown(&reply)
        );
        assert_eq!((reply.response.status, reply.response.headers.text("content-type")), (200, Some(kind)), "{fields}");
        assert_eq!(bytes(&reply), expected, "{fields}");
    }
    // Methods that change nothing can be called by GET.
    let target = "GET /shop.v1.Shop/GetOrder?connect=v1&encoding=json&message=%7B%22id%22%3A7%7D";
    let (reply, calls) = send(&gateway("grpc_web", json!({})), target, "", "", |_| ok("grpc_web", &order));
    assert_eq!((calls.len(), text(&reply).as_str()), (1, "{\"id\":\"7\"}"));
    let target = "GET /shop.v1.Shop/CountOrders?connect=v1&encoding=json&message=%7B%7D";
    let (reply, calls) = send(&gateway("grpc_web", json!({})), target, "", "", |_| ok("grpc_web", &[]));
    assert_eq!((reply.response.status, calls.len()), (501, 0), "{}", shown(&reply));
}

#[test]
fn what_the_upstream_speaks_itself_is_handed_on_as_it_is() {
    for (upstream, fields) in [
        ("grpc_web", "content-type\0application/grpc-web+proto\n"),
        ("connect", "content-type\0application/connect+json\n"),
        ("grpc", "content-type\0application/grpc\n"),
    ] {
        let fields = format!("{fields}grpc-encoding\0gzip\nx-custom\0yes\n");
        let path = if upstream == "connect" { "/shop.v1.Shop/WatchOrder" } else { "/shop.v1.Shop/GetOrder" };
        let (reply, _) = send_bytes(
            &gateway(upstream, json!({})),
            &format!("POST {path}"),
            &fields,
            b"\x01whatever".to_vec(),
            |call| {
                assert_eq!((bytes_of(call).as_slice(), call.target.as_str()), (&b"\x01whatever"[..], path));
                assert_eq!(
                    (call.headers.text("grpc-encoding"), call.headers.text("x-custom")),
                    (Some("gzip"), Some("yes"))
                );
                assert_eq!(call.headers.text("te"), (upstream == "grpc").then_some("trailers"));
                Ok(answered(200, "x-answer\0yes\n", b"as it is".to_vec()))
            },
        );
        assert_eq!((text(&reply).as_str(), reply.response.headers.text("x-answer")), ("as it is", Some("yes")));
    }
}

#[test]
fn clients_of_connect_and_grpc_web_hear_of_failures_in_their_own_way() {
    let failed = |call: &Call<Vec<u8>>| {
        let _ = call;
        Ok(answered(
            200,
            "content-type\0application/grpc-web+proto\ngrpc-status\x005\ngrpc-message\0gone\n",
            Vec::new(),
        ))
    };
    let connect = "content-type\0application/proto\n";
    let (reply, _) = send(&gateway("grpc_web", json!({})), "POST /shop.v1.Shop/GetOrder", connect, "", failed);
    assert_eq!((reply.response.status, reply.response.headers.text("content-type")), (404, Some("application/json")));
    assert_eq!(
        serde_json::from_slice::<Value>(&bytes(&reply)).unwrap(),
        json!({ "code": "not_found", "message": "gone" })
    );

    let text_form = "content-type\0application/grpc-web-text\n";
    let (reply, _) =
        send(&gateway("grpc_web", json!({})), "POST /shop.v1.Shop/GetOrder", text_form, "AAAAAAA=", failed);
    let body = frame::from_text(&bytes(&reply)).unwrap();
    let frames = Frames::of(&body, 100).unwrap();
    assert_eq!((frames.len(), frames[0].flags), (1, 0x80));
    assert!(String::from_utf8_lossy(&frames[0].data).contains("grpc-status: 5\r\n"));

    // What the gateway refuses, too: no such method, a broken frame, a compressed message, no answer.
    for (path, body, status, code) in [
        ("/shop.v1.Shop/Nothing", "AAAAAAA=", 12, "unimplemented"),
        ("/shop.v1.Shop/GetOrder", "AAAA", 3, "invalid_argument"),
        ("/shop.v1.Shop/GetOrder", "AQAAAAA=", 12, "unimplemented"),
        ("/shop.v1.Shop/GetOrder", "AA//////", 8, "resource_exhausted"),
        ("/shop.v1.Shop/GetOrder", "AAAAAAA=", 13, "internal"),
    ] {
        let (reply, _) = send(&gateway("grpc_web", json!({})), &format!("POST {path}"), text_form, body, |_| {
            Ok(answered(200, "content-type\0text/html\n", Vec::new()))
        });
        let frames = Frames::of(&frame::from_text(&bytes(&reply)).unwrap(), 1000).unwrap();
        let trailers = String::from_utf8_lossy(&frames[0].data).into_owned();
        let expected =
            if code == "internal" { "grpc-status: 14\r\n".to_owned() } else { format!("grpc-status: {status}\r\n") };
        assert!(trailers.contains(&expected), "{path} {body}: {trailers}");
    }
    let stream = "content-type\0application/connect+json\n";
    let (reply, _) = send(
        &gateway("grpc_web", json!({})),
        "POST /shop.v1.Shop/WatchOrder",
        stream,
        "\0\0\0\0\u{9}{\"id\":\"x",
        |_| ok("grpc_web", &[]),
    );
    let frames = Frames::of(&bytes(&reply), 1000).unwrap();
    let end: Value = serde_json::from_slice(&frames[0].data).unwrap();
    assert_eq!((reply.response.status, frames[0].flags, &end["error"]["code"]), (200, 2, &json!("invalid_argument")));
}

#[test]
fn many_messages_reach_clients_of_connect_and_grpc_web_as_they_come() {
    let event = encoded("shop.v1.OrderEvent", &json!({ "what": "a" }));
    let mut body = Vec::new();
    frame::write(0, &event, &mut body);
    frame::write(0x80, b"grpc-status: 0\r\nx-end: 1\r\n", &mut body);
    let mut asked = Vec::new();
    frame::write(0, b"{\"id\":\"7\"}", &mut asked);
    let fields = "content-type\0application/connect+json\n";
    let (reply, calls) =
        send_bytes(&gateway("grpc_web", json!({})), "POST /shop.v1.Shop/WatchOrder", fields, asked, |_| {
            Ok(answered(200, "content-type\0application/grpc-web+proto\n", body.clone()))
        });
    assert_eq!(calls.len(), 1, "{}", shown(&reply));
    assert_eq!(reply.response.headers.text("content-type"), Some("application/connect+json"));
    let frames = Frames::of(&bytes(&reply), 1000).unwrap();
    let shown: Vec<_> =
        frames.iter().map(|frame| (frame.flags, String::from_utf8_lossy(&frame.data).into_owned())).collect();
    assert_eq!(shown, [(0, "{\"what\":\"a\"}".to_owned()), (2, "{\"metadata\":{\"x-end\":[\"1\"]}}".to_owned())]);
}

#[test]
fn memory_stays_flat_over_many_messages() {
    let event = encoded("shop.v1.OrderEvent", &json!({ "what": "a" }));
    let mut message = Vec::new();
    frame::write(0, &event, &mut message);
    let head = "content-type\0application/grpc-web+proto\n";
    let (reply, _) =
        send(&gateway("grpc_web", json!({})), "GET /v1/orders/7/events", "accept\0application/x-ndjson\n", "", |_| {
            Ok(answered(200, head, Vec::new()))
        });
    let Body::Pumped(_, mut pump) = reply.response.body else { panic!("it is a stream") };
    let mut lines = 0;
    for _ in 0..100_000 {
        // Cut where it hurts: no chunk holds a whole message.
        let (first, second) = message.split_at(3);
        let mut out = pump.push(first).unwrap();
        out.extend(pump.push(second).unwrap());
        assert_eq!(out, b"{\"what\":\"a\"}\n", "each message goes on when it is whole, and nothing else does");
        lines += 1;
    }
    assert_eq!(lines, 100_000);
    let mut end = Vec::new();
    frame::write(0x80, b"grpc-status: 0\r\n", &mut end);
    assert_eq!(pump.push(&end), Ok(Vec::new()));
    assert!(pump.finish(Headers::new()).is_ok());
}

#[test]
fn the_paths_that_are_matched_are_those_that_would_be_forwarded() {
    let config = json!({
        "upstreams": { "shop": { "targets": [{ "url": "http://127.0.0.1:9000/base" }] } },
        "routes": [{
            "name": "shop", "path_prefix": "/api", "strip_prefix": "/api", "upstream": "shop",
            "grpc": { "protos": "shop.proto", "dialect": "connect" },
        }],
    });
    let (reply, calls) = send(&loaded(&config), "GET /api/v1/orders/7", "", "", |_| ok("connect", &[]));
    assert_eq!(reply.response.status, 200, "{}", shown(&reply));
    assert_eq!(calls[0].0, "/base/shop.v1.Shop/GetOrder");
}

// --- what the tests are made of ---------------------------------------------------------------------------------------

struct Shop(String);

impl Files for Shop {
    fn read(&self, path: &Path) -> Result<String, String> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("json") => Ok(self.0.clone()),
            _ if path == Path::new("shop.proto") => Ok(SHOP.to_owned()),
            _ if path == Path::new("files.proto") => Ok(FILES.to_owned()),
            _ => Err("there is no such file".to_owned()),
        }
    }
}

fn loaded(config: &Value) -> Gateway {
    load(&config::compile(Path::new("gateway.json"), &Shop(config.to_string())))
}

fn load(compiled: &config::Compiled) -> Gateway {
    let problems: Vec<_> = compiled.problems.iter().filter(|problem| problem.is_error()).collect();
    let artefact = compiled.artefact.clone().unwrap_or_else(|| panic!("{problems:?}"));
    Gateway::load(Bytes::from(artefact), |_| None).expect("a gateway")
}

/// A route to the services of this file.
fn with_proto(dialect: &str, proto: &str) -> Gateway {
    struct Given<'a>(String, &'a str);
    impl Files for Given<'_> {
        fn read(&self, path: &Path) -> Result<String, String> {
            match path.to_str() {
                Some("gateway.json") => Ok(self.0.clone()),
                Some("given.proto") => Ok(self.1.to_owned()),
                _ => Err("there is no such file".to_owned()),
            }
        }
    }
    let config = json!({
        "upstreams": { "given": { "targets": [{ "url": "http://127.0.0.1:9000" }] } },
        "routes": [{ "name": "given", "upstream": "given", "grpc": { "protos": "given.proto", "dialect": dialect } }],
    });
    load(&config::compile(Path::new("gateway.json"), &Given(config.to_string(), proto)))
}

fn gateway(dialect: &str, options: Value) -> Gateway {
    let mut grpc = json!({ "protos": "shop.proto", "dialect": dialect });
    for (name, value) in options.as_object().unwrap() {
        grpc[name] = value.clone();
    }
    loaded(&json!({
        "upstreams": { "shop": { "targets": [{ "url": "http://127.0.0.1:9000" }] } },
        "routes": [{ "name": "shop", "upstream": "shop", "grpc": grpc }],
    }))
}

type Answer = Result<Response<Vec<u8>>, Failure>;

/// The targets of the calls, and their bodies.
type Sent = Vec<(String, Vec<u8>)>;

fn send(
    gateway: &Gateway,
    request: &str,
    fields: &str,
    body: &str,
    answer: impl FnMut(&Call<Vec<u8>>) -> Answer,
) -> (Reply<Vec<u8>>, Sent) {
    send_bytes(gateway, request, fields, body.as_bytes().to_vec(), answer)
}

/// Gives the reply, and the target and message of each call.
fn send_bytes(
    gateway: &Gateway,
    request: &str,
    fields: &str,
    body: Vec<u8>,
    mut answer: impl FnMut(&Call<Vec<u8>>) -> Answer,
) -> (Reply<Vec<u8>>, Sent) {
    let (method, target) = request.split_once(' ').unwrap();
    let mut calls = Vec::new();
    let platform = TestPlatform::new(|mut call: Call<Vec<u8>>| {
        call.body = match call.body {
            Body::Pumped(stream, mut pump) => match pump.whole(&stream) {
                Ok(bytes) => Body::Bytes(bytes.into()),
                Err(broken) => return Err(Failure { error: FetchError::BodyRefused, detail: broken.0 }),
            },
            body => body,
        };
        let body = bytes_of(&call);
        let is_plain = call.headers.text("content-type") == Some("application/proto");
        let message = if is_plain {
            Some(body)
        } else {
            Frames::of(&body, 10_000).ok().and_then(|mut frames| Some(frames.pop()?.data))
        };
        calls.push((call.target.clone(), message.unwrap_or_default()));
        answer(&call)
    });
    let incoming = Incoming {
        method: method.to_owned(),
        scheme: Scheme::Http,
        authority: "shop.test".to_owned(),
        target: target.to_owned(),
        headers: Headers::from_block(fields.as_bytes().to_vec()),
        body: if body.is_empty() { Body::Empty } else { Body::Stream(body) },
        peer: Peer::default(),
    };
    let mut reply = run(gateway.handle(&platform, incoming));
    drop(platform);
    // As a client would see it, where it is whole; what stands behind it is shown as `after-NAME`.
    if let Body::Pumped(stream, pump) = &mut reply.response.body
        && !stream.is_empty()
        && let Ok(mut out) = pump.push(stream)
        && let Ok((rest, trailers)) = pump.finish(Headers::new())
    {
        out.extend(rest);
        reply.response.body = Body::Bytes(out.into());
        trailers.iter().for_each(|(name, value)| reply.response.headers.append(&format!("after-{name}"), value));
    }
    (reply, calls)
}

trait Length {
    fn body_length(&self) -> usize;
}

impl Length for Call<Vec<u8>> {
    fn body_length(&self) -> usize {
        bytes_of(self).len()
    }
}

fn bytes_of(call: &Call<Vec<u8>>) -> Vec<u8> {
    match &call.body {
        Body::Bytes(bytes) => bytes.to_vec(),
        Body::Stream(bytes) => bytes.clone(),
        Body::Empty | Body::Pumped(..) | Body::Made(_) => Vec::new(),
    }
}

fn answered(status: u16, block: &str, body: Vec<u8>) -> Response<Vec<u8>> {
    Response { status, headers: Headers::from_block(block.as_bytes().to_vec()), body: Body::Stream(body) }
}

/// One message, and that all is well.
fn ok(dialect: &str, message: &[u8]) -> Answer {
    if dialect == "connect" {
        return Ok(answered(200, "content-type\0application/proto\n", message.to_vec()));
    }
    let mut body = Vec::new();
    frame::write(0, message, &mut body);
    frame::write(0x80, b"grpc-status: 0\r\n", &mut body);
    Ok(answered(200, "content-type\0application/grpc-web+proto\n", body))
}

fn bytes(reply: &Reply<Vec<u8>>) -> Vec<u8> {
    match &reply.response.body {
        Body::Bytes(bytes) => bytes.to_vec(),
        Body::Stream(bytes) => bytes.clone(),
        Body::Empty => Vec::new(),
        Body::Pumped(..) | Body::Made(_) => panic!("a stream; ask for its text"),
    }
}

/// The body; of a stream, once.
fn text(reply: &Reply<Vec<u8>>) -> String {
    String::from_utf8(bytes(reply)).unwrap()
}

fn shown(reply: &Reply<Vec<u8>>) -> String {
    let body = match &reply.response.body {
        Body::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Body::Stream(_) | Body::Empty | Body::Pumped(..) | Body::Made(_) => String::new(),
    };
    format!("{} {body} {:?}", reply.response.status, reply.notes)
}

fn problem(reply: &Reply<Vec<u8>>) -> Value {
    assert_eq!(reply.response.headers.text("content-type"), Some("application/problem+json"), "{}", shown(reply));
    serde_json::from_slice(&bytes(reply)).unwrap()
}

fn input(method: &str) -> &str {
    match method {
        "GetOrder" => "GetOrderRequest",
        "ListOrders" => "ListOrdersRequest",
        "CreateOrder" => "CreateOrderRequest",
        "CancelOrder" => "CancelOrderRequest",
        "CountOrders" => "CountOrdersRequest",
        _ => panic!("{method}"),
    }
}

thread_local! {
    static POOL: DescriptorPool = {
        use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};
        struct Here;
        impl FileResolver for Here {
            fn open_file(&self, name: &str) -> Result<File, protox::Error> {
                let text = match name {
                    "shop.proto" => SHOP,
                    "google/api/annotations.proto" => include_str!("../src/config/protos/annotations.proto"),
                    "google/api/http.proto" => include_str!("../src/config/protos/http.proto"),
                    "google/rpc/status.proto" => include_str!("../src/config/protos/status.proto"),
                    "google/rpc/error_details.proto" => include_str!("../src/config/protos/error_details.proto"),
                    _ => return Err(protox::Error::file_not_found(name)),
                };
                File::from_source(name, text)
            }
        }
        let mut resolver = ChainFileResolver::new();
        resolver.add(Here);
        resolver.add(GoogleFileResolver::new());
        let mut compiler = protox::Compiler::with_file_resolver(resolver);
        for file in ["shop.proto", "google/rpc/status.proto", "google/rpc/error_details.proto"] {
            compiler.open_file(file).unwrap();
        }
        compiler.descriptor_pool()
    };
}

fn encoded(kind: &str, json: &Value) -> Vec<u8> {
    let kind = POOL.with(|pool| pool.get_message_by_name(kind)).unwrap();
    DynamicMessage::deserialize(kind, json).unwrap().encode_to_vec()
}

fn decoded(kind: &str, bytes: &[u8]) -> Value {
    let kind = POOL.with(|pool| pool.get_message_by_name(kind)).unwrap();
    serde_json::to_value(DynamicMessage::decode(kind, bytes).unwrap()).unwrap()
}
