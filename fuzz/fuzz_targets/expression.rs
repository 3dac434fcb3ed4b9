#![no_main]
//! Any expression is read or refused with a place in its text, and ends over any request.

use gateway_core::caller::Caller;
use gateway_core::client::Client;
use gateway_core::config::expression;
use gateway_core::expression::{Expression, Facts};
use gateway_core::http::{Headers, Peer, Scheme};
use gateway_core::jwt::json;
use gateway_core::request::Line;
use gateway_core::route::Parameters;
use gateway_core::template::{Scope, Settings, View};
use libfuzzer_sys::fuzz_target;
use std::rc::Rc;

fuzz_target!(|input: (&str, &[u8], Vec<u8>, Option<&str>)| {
    let (text, claims, block, query) = input;
    let read = match expression::compile(text, &[]) {
        Ok((expression, _)) => expression,
        Err(wrong) => {
            assert!(wrong.iter().all(|wrong| text.get(wrong.part.0..wrong.part.1).is_some()));
            return;
        }
    };
    let frozen = serde_json::to_vec(&read).expect("an expression is JSON");
    let expression: Expression = serde_json::from_slice(&frozen).expect("what was written is read");
    assert_eq!(read, expression);
    let headers = Headers::from_block(block);
    let client = Client::resolve(Peer::default(), Scheme::Http, &headers, &[]);
    let claims = Rc::new(json::object(claims).unwrap_or_default());
    let caller = Caller { claims, scopes: vec!["read".into()], proofs: vec!["jwt"], ..Caller::default() };
    let line = Line {
        method: "GET".into(),
        scheme: Scheme::Http,
        authority: "a".into(),
        host: "a".into(),
        path: "/".into(),
        query: query.map(str::to_owned),
    };
    let (settings, parameters) = (Settings::new(), Parameters::default());
    let scope = Scope {
        line: &line,
        client: &client,
        route: "r",
        parameters,
        settings: &settings,
        caller: &caller,
        view: View::default(),
    };
    let facts = Facts { scope, headers: &headers, query, now: 1_750_000_000_000 };
    if let Err(fault) = expression.holds(&facts) {
        assert!(!expression.explain(fault).is_empty());
    }
});
