//! The examples of docs/json-rpc.md and docs/mcp.md do what stands beside them, and arbitrary bodies are answered in JSON.

#![cfg(all(feature = "compile", feature = "testing"))]
#![allow(clippy::panic, reason = "a test")]

use gateway_core::config::{Files, compile};
use gateway_core::gateway::Gateway;
use gateway_core::http::{Body, Headers, Incoming, Peer, Response, Scheme};
use gateway_core::platform::Call;
use gateway_core::testing::{TestPlatform, run};
use proptest::prelude::*;
use std::cell::RefCell;
use std::path::Path;
use std::sync::OnceLock;

const JSON_RPC: &str = include_str!("../../docs/json-rpc.md");
const MCP: &str = include_str!("../../docs/mcp.md");
const SHOP: &str = include_str!("../../examples/grpc/protos/shop/v1/shop.proto");

/// The blocks of YAML in a document.
fn blocks(document: &str) -> Vec<&str> {
    document.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default()).collect()
}

struct Example<'a>(&'a str);

impl Files for Example<'_> {
    fn read(&self, path: &Path) -> Result<String, String> {
        match path.to_str() {
            Some("gateway.yaml") => Ok(self.0.to_owned()),
            Some(path) if path.ends_with("shop.proto") => Ok(SHOP.to_owned()),
            _ => Err("there is no such file".to_owned()),
        }
    }
}

fn artefact(text: &str) -> Vec<u8> {
    let compiled = compile(Path::new("gateway.yaml"), &Example(text));
    compiled.artefact.unwrap_or_else(|| panic!("{:?} in {text}", compiled.problems))
}

fn gateway(text: &str) -> Gateway {
    Gateway::load(artefact(text).into(), |_| None).expect("it has just been compiled")
}

/// What a request is answered, and what the upstream got.
fn ask(gateway: &Gateway, method: &str, target: &str, body: &[u8], answer: &str) -> (u16, String, Vec<String>) {
    let mut headers = Headers::new();
    if !body.is_empty() {
        headers.receive("content-type", b"application/json");
    }
    headers.receive("x-api-key", b"pk_docs_onlyForTheDocumentation1");
    let incoming = Incoming {
        method: method.to_owned(),
        scheme: Scheme::Http,
        authority: "localhost:8080".to_owned(),
        target: target.to_owned(),
        headers,
        body: if body.is_empty() { Body::Empty } else { Body::Stream(body.to_vec()) },
        peer: Peer::default(),
    };
    let sent = RefCell::new(Vec::new());
    let platform = TestPlatform::new(|call: Call<Vec<u8>>| {
        let body = match call.body {
            Body::Bytes(bytes) => bytes.to_vec(),
            Body::Stream(bytes) => bytes,
            Body::Empty | Body::Pumped(..) | Body::Made(_) => Vec::new(),
        };
        sent.borrow_mut().push(format!("{} {} {}", call.method, call.target, String::from_utf8_lossy(&body)));
        let mut headers = Headers::new();
        headers.receive("content-type", b"application/json");
        Ok(Response { status: 200, headers, body: Body::Stream(answer.as_bytes().to_vec()) })
    });
    let response = run(gateway.handle(&platform, incoming)).response;
    let body = match response.body {
        Body::Bytes(bytes) => bytes.to_vec(),
        Body::Stream(bytes) => bytes,
        Body::Empty | Body::Pumped(..) | Body::Made(_) => Vec::new(),
    };
    drop(platform);
    (response.status, String::from_utf8_lossy(&body).into_owned(), sent.into_inner())
}

#[test]
fn a_plain_request_becomes_the_call_that_the_documentation_shows() {
    let [policy, call] = blocks(JSON_RPC)[..] else { panic!("there are two examples") };
    let answer = r#"{"jsonrpc":"2.0","result":{"amount":"0x5"},"id":1}"#;
    let (status, body, sent) = ask(&gateway(call), "GET", "/accounts/0xab/balance", b"", answer);
    assert_eq!((status, body.as_str()), (200, "\"0x5\""));
    let [sent] = sent.as_slice() else { panic!("{sent:?}") };
    let told = sent.strip_prefix("POST /rpc ").expect("it is posted");
    assert!(JSON_RPC.contains(&format!("`{told}`")), "docs/json-rpc.md does not have {told}");

    let gateway = gateway(policy);
    let call = |method: &str| format!(r#"{{"jsonrpc":"2.0","method":"{method}","id":1}}"#);
    let answer = r#"{"jsonrpc":"2.0","result":"0x1","id":1}"#;
    for (method, status, code) in
        [("eth_call", 200, ""), ("eth_sign", 200, "-32601"), ("web3_sha3", 200, "-32601"), ("net_version", 200, "")]
    {
        let (got, body, _) = ask(&gateway, "POST", "/rpc", call(method).as_bytes(), answer);
        assert_eq!(got, status, "{method}");
        assert!(body.contains(code) && (code.is_empty() == body.contains("0x1")), "{method}: {body}");
    }
    let batch = format!("[{},{}]", call("eth_call"), call("eth_sign"));
    let (_, body, sent) = ask(&gateway, "POST", "/rpc", batch.as_bytes(), answer);
    assert!(body.starts_with(&format!("[{answer},")) && body.contains("-32601"), "{body}");
    assert_eq!(sent, [format!("POST /rpc {}", call("eth_call"))]);
}

#[test]
fn a_tool_is_called_as_the_documentation_shows() {
    let [document, services] = blocks(MCP)[..] else { panic!("there are two examples") };
    let sent = MCP.split("-d '").nth(1).and_then(|rest| rest.split('\'').next()).expect("there is a command");
    let expected = MCP.split("-d '").nth(1).and_then(|rest| rest.lines().nth(1)).expect("there is an answer");
    let (status, body, calls) = ask(&gateway(document), "POST", "/mcp", sent.as_bytes(), r#"{"name":"Rex"}"#);
    assert_eq!((status, body.as_str()), (200, expected));
    assert_eq!(calls, ["GET /v1/pets/7 "]);

    let list = br#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let (_, body, _) = ask(&gateway(services), "POST", "/mcp", list, "");
    let tools: serde_json::Value = serde_json::from_str(&body).expect("it is JSON");
    let tools = tools["result"]["tools"].as_array().expect("a list");
    let tool = tools.iter().find(|tool| tool["name"] == "Shop.GetOrder").expect("it is there");
    assert_eq!((&tool["description"], &tool["annotations"]["readOnlyHint"]), (&"One order.".into(), &true.into()));
    // Methods that stream are none.
    assert!(tools.iter().all(|tool| tool["name"] != "Shop.WatchOrder" && tool["name"] != "Shop.ImportOrders"));
}

/// Something like a message, or not.
fn messages() -> impl Strategy<Value = String> {
    let id = prop_oneof![Just("1"), Just("\"a\""), Just("null"), Just("[]"), Just("1.5e3")];
    let method = prop_oneof![
        Just("tools/call"),
        Just("tools/list"),
        Just("initialize"),
        Just("ping"),
        Just("a"),
        Just("\\u0000")
    ];
    let arguments = prop_oneof![Just("{}"), Just("{\"id\":7}"), Just("{\"id\":\"..\"}"), Just("[]"), Just("5")];
    let one = (prop::option::of(id), method, arguments, any::<bool>()).prop_map(|(id, method, arguments, named)| {
        let id = id.map(|id| format!("\"id\":{id},")).unwrap_or_default();
        let name = if named { "getPet" } else { "x" };
        format!(
            "{{{id}\"jsonrpc\":\"2.0\",\"method\":\"{method}\",\"params\":{{\"name\":\"{name}\",\"arguments\":{arguments}}}}}"
        )
    });
    prop_oneof![
        one.clone(),
        prop::collection::vec(one, 0..5).prop_map(|all| format!("[{}]", all.join(","))),
        "[\\[\\]{}\":,0-9a-z \\\\]{0,40}",
    ]
}

proptest! {
    #[test]
    fn whatever_comes_is_answered_in_json(body in messages(), answer in messages()) {
        static COMPILED: OnceLock<[Vec<u8>; 2]> = OnceLock::new();
        let compiled = COMPILED.get_or_init(|| [artefact(blocks(MCP)[0]), artefact(blocks(JSON_RPC)[0])]);
        for (artefact, target) in compiled.iter().zip(["/mcp", "/rpc"]) {
            let gateway = Gateway::load(artefact.clone().into(), |_| None).expect("it has been compiled");
            let (status, said, _) = ask(&gateway, "POST", target, body.as_bytes(), &answer);
            prop_assert!((200..600).contains(&status));
            if target == "/mcp" {
                prop_assert!(said.is_empty() || serde_json::from_str::<serde_json::Value>(&said).is_ok(), "{}", said);
            }
        }
    }
}
