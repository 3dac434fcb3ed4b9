//! What `benches/signatures.mjs` starts in Wasm: tokens that are verified, one that is remembered, and whole requests with
//! one.
#![allow(unsafe_code)] // Exported functions need a name that the linker keeps.

use bytes::Bytes;
use gateway_core::Gateway;
use gateway_core::http::{Body, Headers, Incoming, Peer, Response, Scheme};
use gateway_core::jwt::remembered::{Fingerprint, Remembered};
use gateway_core::jwt::{KeySet, Purpose, Token};
use postern_benches::still::Still;
use std::cell::RefCell;
use std::hint::black_box;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

thread_local! {
    static INPUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static KEYS: RefCell<KeySet> = RefCell::default();
    static TOKEN: RefCell<String> = const { RefCell::new(String::new()) };
    static GATEWAY: RefCell<Option<Gateway>> = const { RefCell::new(None) };
}

/// Where to write so many bytes of input.
#[unsafe(no_mangle)]
pub extern "C" fn room(size: usize) -> *mut u8 {
    INPUT.with_borrow_mut(|input| {
        input.clear();
        input.resize(size, 0);
        input.as_mut_ptr()
    })
}

/// Takes the input as a JWK Set. Gives how many keys it has.
#[unsafe(no_mangle)]
pub extern "C" fn keys() -> usize {
    KEYS.set(KeySet::read(&INPUT.take(), &[]).unwrap_or_default());
    KEYS.with_borrow(KeySet::len)
}

/// Takes the input as a token.
#[unsafe(no_mangle)]
pub extern "C" fn token() {
    TOKEN.set(String::from_utf8(INPUT.take()).unwrap_or_default());
}

/// Reads and verifies the token so many times. Gives how often it was right.
#[unsafe(no_mangle)]
pub extern "C" fn verify(times: usize) -> usize {
    let right = || {
        let token = TOKEN.with_borrow(|text| {
            let token = Token::read(black_box(text), Purpose::Token).ok()?;
            KEYS.with_borrow(|keys| keys.verify(&token)).ok()?;
            token.claims().ok()
        });
        token.is_some()
    };
    (0..times).filter(|_| right()).count()
}

/// Finds the token so many times in a table where it is remembered. Gives how often it was found.
#[unsafe(no_mangle)]
pub extern "C" fn remember(times: usize) -> usize {
    let mut table = Remembered::new(1 << 20);
    TOKEN.with_borrow(|text| {
        table.insert(Fingerprint::new(text), Rc::new(()), u64::MAX, 1);
        (0..times).filter(|_| table.get(&Fingerprint::new(black_box(text)), 0).is_some()).count()
    })
}

/// Takes the input as a compiled configuration. Gives 1 when it loads.
#[unsafe(no_mangle)]
pub extern "C" fn load() -> usize {
    GATEWAY.set(Gateway::load(INPUT.take().into(), |_| None).ok());
    GATEWAY.with_borrow(|gateway| usize::from(gateway.is_some()))
}

/// Answers so many requests to the route of this number, with the credential that it asks for. Gives how many were answered
/// with 200.
#[unsafe(no_mangle)]
pub extern "C" fn handle(times: usize, route: usize) -> usize {
    let others = "accept\0*/*\nuser-agent\0bench/1.0\naccept-encoding\0gzip\nx-request-id\x001\n";
    let token = TOKEN.with_borrow(Clone::clone);
    let key = "x-api-key\0bench-key-0123456789abcdefghij";
    let (path, credential) = match route {
        0 => ("/open", String::new()),
        1 => ("/jwt", format!("authorization\0Bearer {token}\n")),
        2 => ("/key", format!("{key}\n")),
        3 => ("/expression", format!("{key}\n")),
        4 => ("/body", String::new()),
        5 => ("/edit", String::new()),
        6 => ("/template", String::new()),
        _ => ("/query", String::new()),
    };
    let body = (route >= 4).then(|| Bytes::from(body()));
    let kind = if body.is_some() { "content-type\0application/json\n" } else { "" };
    let block = format!("{others}{kind}{credential}");
    let answer = |gateway: &Gateway| {
        let incoming = Incoming {
            method: if body.is_some() { "POST" } else { "GET" }.to_owned(),
            scheme: Scheme::Https,
            authority: "a.example".to_owned(),
            target: path.to_owned(),
            headers: Headers::from_block(block.clone().into_bytes()),
            body: body.clone().map_or(Body::Empty, Body::Bytes),
            peer: Peer::default(),
        };
        // It is November 2025.
        let answer = |_| Response { status: 200, headers: Headers::new(), body: Body::Empty };
        let platform = Still { now: 1_763_000_000_000, answer };
        let future = pin!(gateway.handle(&platform, incoming));
        matches!(future.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(reply) if reply.response.status == 200)
    };
    GATEWAY.with_borrow(|gateway| {
        let Some(gateway) = gateway else { return 0 };
        (0..times).filter(|_| answer(gateway)).count()
    })
}

/// A kilobyte of JSON, as an order might look.
fn body() -> String {
    let items: Vec<String> = (1..9)
        .map(|n| format!(r#"{{"id":{n},"sku":"SKU-{n:06}","name":"A thing with a name","price":{n}9.90,"cost":{n}1.25,"tags":["a","b"]}}"#))
        .collect();
    format!(
        r#"{{"id":"0190b5a1-7c5e-7000-8000-000000000000","user":{{"id":17,"name":"Ann Lee","mail":"ann@example.com"}},"items":[{}],"internal":{{"trace":"x"}}}}"#,
        items.join(",")
    )
}
