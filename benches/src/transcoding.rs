//! A call of a gRPC method by a client of JSON, about 1 KB each way, through `Gateway::handle`: the same in native code and in
//! Wasm.

use crate::still::Still;
use bytes::Bytes;
use gateway_core::Gateway;
use gateway_core::http::{Body, Headers, Incoming, Peer, Response, Scheme};
use gateway_core::platform::Call;
use std::cell::RefCell;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// Where the call goes.
pub const PATH: &str = "/v1/customers/eve/orders";

/// A gateway in front of a service that answers with the order that it was sent.
pub struct Transcoding {
    gateway: Gateway,
    order: Bytes,
    answer: Bytes,
}

impl Transcoding {
    /// Loads a compiled `benches/transcoding/gateway.yaml`; `None` where the first call fails.
    pub fn load(artefact: Bytes) -> Option<Self> {
        let gateway = Gateway::load(artefact, |_| None).ok()?;
        let mut loaded = Self { gateway, order: order().into(), answer: Bytes::new() };
        let sent = RefCell::new(Bytes::new());
        let _ = loaded.send(|call| {
            if let Body::Bytes(bytes) = call.body {
                sent.replace(bytes);
            }
            answer(Bytes::new())
        });
        loaded.answer = echo(&sent.take())?;
        let shown = loaded.call()?;
        (shown.len() > 900).then_some(loaded)
    }

    /// What the client is answered.
    pub fn call(&self) -> Option<Bytes> {
        let response = self.send(|_| answer(self.answer.clone()))?;
        match response.body {
            Body::Bytes(bytes) if response.status == 200 => Some(bytes),
            _ => None,
        }
    }

    /// Calls so many times; how often it was answered.
    pub fn run(&self, times: usize) -> usize {
        (0..times).filter(|_| black_box(self.call()).is_some()).count()
    }

    /// What the client sends.
    pub fn order(&self) -> &[u8] {
        &self.order
    }

    /// What the service answers, in frames of gRPC-Web.
    pub fn answer(&self) -> &[u8] {
        &self.answer
    }

    /// What the service's messages are, as a `FileDescriptorSet`.
    pub fn descriptors(&self) -> Option<Vec<u8>> {
        Some(self.gateway.services(0)?.pool.encode_to_vec())
    }

    fn send(&self, answer: impl Fn(Call<()>) -> Response<()>) -> Option<Response<()>> {
        let block = "host\0api.example.com\ncontent-type\0application/json\naccept\0*/*\nuser-agent\0bench/1.0\n";
        let incoming = Incoming {
            method: "POST".to_owned(),
            scheme: Scheme::Https,
            authority: "api.example.com".to_owned(),
            target: PATH.to_owned(),
            headers: Headers::from_block(block.as_bytes().to_vec()),
            body: Body::Bytes(self.order.clone()),
            peer: Peer::default(),
        };
        let platform = Still { now: 1_763_000_000_000, answer };
        let future = pin!(self.gateway.handle(&platform, incoming));
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(reply) => Some(reply.response),
            Poll::Pending => None,
        }
    }
}

fn answer(body: Bytes) -> Response<()> {
    let headers = Headers::from_block(b"content-type\0application/grpc-web+proto\nserver\0bench\n".to_vec());
    Response { status: 200, headers, body: Body::Bytes(body) }
}

/// The order inside a `CreateOrderRequest` in a frame, as a whole answer.
fn echo(frame: &[u8]) -> Option<Bytes> {
    let message = frame.get(5..)?.strip_prefix(&[0x0A])?;
    // A varint of the length stands before it.
    let order = message.get(message.iter().position(|byte| *byte < 0x80)? + 1..)?;
    let mut body = Vec::new();
    gateway_core::grpc::frame::write(0, order, &mut body);
    gateway_core::grpc::frame::write(0x80, b"grpc-status: 0\r\n", &mut body);
    Some(body.into())
}

/// A kilobyte of JSON.
fn order() -> String {
    let items: Vec<String> =
        (0..16).map(|n| format!(r#"{{"name":"A thing with a name {n:02}","count":{n}}}"#)).collect();
    format!(
        r#"{{"id":"1234567890123456789","status":"STATUS_OPEN","items":[{}],"createdAt":"2026-01-02T03:04:05.678Z","labels":{{"colour":"green","note":"leave it at the door, please","warehouse":"FRA-7"}}}}"#,
        items.join(",")
    )
}
