//! Whatever the schema and whatever the body, a check comes to an end with an answer; and the answer is that of others.

#![cfg(all(feature = "compile", feature = "testing"))]

use std::path::Path;

use bytes::Bytes;
use gateway_core::{
    Gateway,
    config::{Files, compile},
    http::{Body, Headers, Incoming, Peer, Response, Scheme},
    json::{self, Json, Kind},
    testing::{TestPlatform, run},
};
use proptest::prelude::*;
use serde_json::{Value, json};

proptest! {
    #[test]
    fn any_schema_with_any_value(schema in schema(), value in value()) {
        if let Some(gateway) = gateway(&schema) {
            let status = ask(&gateway, value.to_string().into_bytes());
            prop_assert!(status == 204 || status == 400, "{status}");
        }
    }

    #[test]
    fn any_body(body in prop::collection::vec(any::<u8>(), 0..60)) {
        let gateway = gateway(&json!({ "uniqueItems": true, "items": { "enum": [1, "a", [null]] } })).expect("it compiles");
        ask(&gateway, body);
    }

    /// What is almost JSON reaches furthest. Where serde takes a text, so do we, and we read the same.
    #[test]
    fn texts_are_read_as_others_read_them(text in "[\\[\\]{},:\"0-9eE+.a\\\\u-]{0,40}|[ -~]{0,20}|\\[(-?[0-9]{1,3}(\\.[0-9]{1,3})?(e-?[0-9])?,?){0,4}\\]") {
        let ours = json::read(&text, &json::Limits { duplicates: true, ..json::Limits::USUAL });
        let theirs: Result<Value, _> = serde_json::from_str(&text);
        match (&ours, &theirs) {
            (Ok(parts), Ok(theirs)) => prop_assert!(same(Json::new(&text, parts), 0, theirs), "{text}"),
            // Numbers that do not fit into theirs are no concern of ours.
            (Ok(_), Err(error)) => prop_assert!(error.to_string().contains("out of range"), "{text}: {error}"),
            (Err(_), Ok(_)) => prop_assert!(false, "{text} is JSON"),
            (Err(_), Err(_)) => {}
        }
    }

    #[test]
    fn values_are_read_as_they_were_written(value in value()) {
        let text = value.to_string();
        let parts = json::read(&text, &json::Limits { depth: 200, ..json::Limits::USUAL }).expect("it is JSON");
        prop_assert!(same(Json::new(&text, &parts), 0, &value), "{text}");
    }

    /// A value is itself, in whatever order its members stand.
    #[test]
    fn a_value_is_the_constant_that_it_is(value in value()) {
        let gateway = gateway(&json!({ "const": value })).expect("it compiles");
        prop_assert_eq!(ask(&gateway, value.to_string().into_bytes()), 204);
        let twice = Value::Array(vec![value.clone(), json!("another"), value]);
        let unique = self::gateway(&json!({ "uniqueItems": true })).expect("it compiles");
        prop_assert_eq!(ask(&unique, twice.to_string().into_bytes()), 400);
    }
}

#[test]
fn what_costs_much_is_given_up() {
    // Every item of the list is compared with every other only if somebody has made their hashes equal; here all differ.
    let many: Vec<String> = (0..20_000).map(|number| number.to_string()).collect();
    let unique = gateway(&json!({ "uniqueItems": true })).expect("it compiles");
    assert_eq!(ask(&unique, format!("[{}]", many.join(",")).into_bytes()), 204);
    // For each of the items, all of the items again.
    let quadratic = json!({ "$defs": { "a": { "items": { "type": "integer" } } }, "allOf": vec![json!({ "$ref": "#/$defs/a" }); 200] });
    let quadratic = gateway(&quadratic).expect("it compiles");
    assert_eq!(ask(&quadratic, format!("[{}]", many.join(",")).into_bytes()), 400);
}

fn same(json: Json<'_>, part: u32, value: &Value) -> bool {
    match (json.kind(part), value) {
        (Kind::Null, Value::Null) => true,
        (Kind::Bool, Value::Bool(value)) => json.raw(part) == value.to_string(),
        // Theirs may miss the last digit of a fraction, unless it is asked to take its time.
        (Kind::Number, Value::Number(number)) => match (json.raw(part).parse::<f64>(), number.as_f64()) {
            (Ok(ours), Some(theirs)) => (ours - theirs).abs() <= ours.abs() * f64::EPSILON,
            _ => false,
        },
        (Kind::Text, Value::String(text)) => json.text(part) == text.as_str(),
        (Kind::List, Value::Array(items)) => {
            json.items(part).count() == items.len()
                && json.items(part).zip(items).all(|(part, item)| same(json, part, item))
        }
        // Of two members of one name, theirs keeps the last.
        (Kind::Object, Value::Object(members)) => members.iter().all(|(name, value)| {
            let last = json.members(part).filter(|(own, _)| json.text(*own) == name.as_str()).last();
            last.is_some_and(|(_, part)| same(json, part, value))
        }),
        _ => false,
    }
}

fn gateway(schema: &Value) -> Option<Gateway> {
    let configuration = json!({
        "allow": ["ignored-keyword", "unknown-format-name"],
        "routes": [{
            "name": "a",
            "policies": [{ "validate": { "formats": "assert", "body": { "schema": schema } } }],
            "respond": { "status": 204 },
        }],
    });
    let compiled = compile(Path::new("gateway.json"), &OneFile(configuration.to_string()));
    Some(Gateway::load(Bytes::from(compiled.artefact?), |_| None).expect("what was compiled loads"))
}

fn ask(gateway: &Gateway, body: Vec<u8>) -> u16 {
    let mut headers = Headers::new();
    headers.receive("content-type", b"application/json");
    let incoming = Incoming {
        method: "POST".into(),
        scheme: Scheme::Https,
        authority: "a.example".into(),
        target: "/".into(),
        headers,
        body: Body::Stream(body),
        peer: Peer::default(),
    };
    let platform = TestPlatform::new(|_| Ok(Response { status: 200, headers: Headers::new(), body: Body::Empty }));
    run(gateway.handle(&platform, incoming)).response.status
}

/// Keywords with what belongs to them, now and then with what does not.
fn schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        prop::sample::select(vec![
            json!({ "type": "integer" }),
            json!({ "type": ["string", "null"] }),
            json!({ "enum": [1, "a", null, { "a": [1.0] }] }),
            json!({ "const": { "b": 1 } }),
            json!({ "minimum": -3, "exclusiveMaximum": 1e3, "multipleOf": 0.5 }),
            json!({ "minLength": 1, "maxLength": 3, "pattern": "^[a-z]|\\d" }),
            json!({ "uniqueItems": true, "minItems": 1, "maxItems": 3 }),
            json!({ "required": ["a"], "maxProperties": 2 }),
            json!({ "dependentRequired": { "a": ["b"] }, "minProperties": 1 }),
            json!({ "format": "date-time" }),
            json!({ "$ref": "#" }),
            json!({ "$dynamicRef": "#x" }),
            json!({ "type": 7 }),
        ]),
    ];
    let tree = leaf.prop_recursive(4, 24, 3, |inner| {
        let named = prop::collection::btree_map("[abc]", inner.clone(), 0..3);
        let many = prop::collection::vec(inner.clone(), 1..3);
        prop_oneof![
            (named.clone(), inner.clone(), named).prop_map(|(named, others, patterned)| {
                json!({ "properties": named, "additionalProperties": others, "patternProperties": patterned })
            }),
            many.clone().prop_map(|all| json!({ "allOf": all })),
            many.clone().prop_map(|all| json!({ "anyOf": all, "unevaluatedProperties": false })),
            many.clone().prop_map(|all| json!({ "oneOf": all, "unevaluatedItems": false })),
            (many, inner.clone()).prop_map(|(prefix, items)| json!({ "prefixItems": prefix, "items": items })),
            inner.clone().prop_map(|not| json!({ "not": not })),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| json!({ "if": a, "then": b, "else": c })),
            (inner.clone(), 0..3u8, 0..3u8)
                .prop_map(|(a, least, most)| json!({ "contains": a, "minContains": least, "maxContains": most })),
            inner.clone().prop_map(|names| json!({ "propertyNames": names, "dependentSchemas": { "a": names } })),
            inner.prop_map(|items| json!({ "$dynamicAnchor": "x", "items": items })),
        ]
    });
    tree.prop_map(|tree| json!({ "$dynamicAnchor": "x", "allOf": [{ "properties": { "a": tree } }, { "items": { "$dynamicRef": "#x" } }], "anyOf": [tree] }))
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1000..1000i32, 0..3u8).prop_map(|(number, by)| json!(f64::from(number) / f64::from(1 << by))),
        "[abc\\\\\"é\u{1F600}\n]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[abc]", inner, 0..4).prop_map(|members| json!(members)),
        ]
    })
}

struct OneFile(String);

impl Files for OneFile {
    fn read(&self, path: &Path) -> Result<String, String> {
        if path == Path::new("gateway.json") { Ok(self.0.clone()) } else { Err("there is no such file".to_owned()) }
    }
}
