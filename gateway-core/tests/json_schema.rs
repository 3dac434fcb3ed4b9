//! The public suite of JSON Schema, played through a gateway as a client meets it: every required test of both drafts.
//!
//! The suite is data outside of this repository, in `../shared/suites/json-schema`; without it there is nothing to play.

#![cfg(all(feature = "compile", feature = "testing"))]
#![allow(clippy::panic, reason = "a test may fail")]

use std::path::Path;

use bytes::Bytes;
use gateway_core::{
    Gateway,
    config::{Files, compile},
    http::{Body, Headers, Incoming, Peer, Response, Scheme},
    testing::{TestPlatform, run},
};
use serde_json::{Value as Json, json};

#[test]
fn draft_2020_12_is_followed() {
    assert_eq!(play("draft2020-12", "2020-12"), DEVIATIONS_2020_12);
}

#[test]
fn draft_7_is_followed() {
    assert_eq!(play("draft7", "draft-07"), DEVIATIONS_7);
}

/// docs/json-schema.md says the same, with the reasons.
const DEVIATIONS_2020_12: &[&str] = &[];
const DEVIATIONS_7: &[&str] = &[];

/// Every test that does not come out as the suite says.
fn play(folder: &str, draft: &str) -> Vec<String> {
    let suite = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/suites/json-schema").join(folder);
    let Ok(files) = std::fs::read_dir(&suite) else {
        println!("skipped: {} is not there", suite.display());
        return Vec::new();
    };
    let mut files: Vec<_> = files.filter_map(Result::ok).map(|file| file.path()).collect();
    files.sort();
    let (mut deviations, mut played) = (Vec::new(), 0);
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "json")) {
        let text = std::fs::read_to_string(file).expect("it can be read");
        let groups: Vec<Json> = serde_json::from_str(&text).expect("it is JSON");
        for group in &groups {
            let name = |test: &Json| {
                let stem = file.file_stem().unwrap_or_default().to_string_lossy();
                format!(
                    "{stem}: {}: {}",
                    group["description"].as_str().unwrap_or(""),
                    test["description"].as_str().unwrap_or("")
                )
            };
            let tests = group["tests"].as_array().expect("a group has tests");
            match gateway(&group["schema"], draft) {
                Ok(gateway) => {
                    for test in tests {
                        played += 1;
                        if is_valid(&gateway, &test["data"]) != test["valid"].as_bool() {
                            deviations.push(name(test));
                        }
                    }
                }
                Err(why) => deviations.push(format!("{}: {why}", name(&tests[0]))),
            }
        }
    }
    println!("{played} tests of {folder}");
    assert!(played > 500, "the suite is larger than that");
    deviations
}

fn gateway(schema: &Json, draft: &str) -> Result<Gateway, String> {
    let remotes: serde_json::Map<String, Json> =
        REMOTES.iter().map(|(url, _)| ((*url).to_owned(), Json::from(url.replace("://", "_")))).collect();
    let configuration = json!({
        "allow": ["ignored-keyword"],
        "routes": [{
            "name": "a",
            "policies": [{ "validate": { "draft": draft, "remotes": remotes, "body": { "schema": schema } } }],
            "respond": { "status": 204 },
        }],
    });
    let compiled = compile(Path::new("gateway.json"), &Suite(configuration.to_string()));
    let problems: Vec<String> = compiled
        .problems
        .iter()
        .filter(|problem| problem.is_error())
        .map(|problem| format!("{}: {}", problem.path, problem.message))
        .collect();
    let artefact = compiled.artefact.ok_or(problems.join("; "))?;
    Gateway::load(Bytes::from(artefact), |_| None).map_err(|error| error.to_string())
}

/// `None` where the answer is neither yes nor no.
fn is_valid(gateway: &Gateway, value: &Json) -> Option<bool> {
    let mut headers = Headers::new();
    headers.receive("content-type", b"application/json");
    let incoming = Incoming {
        method: "POST".into(),
        scheme: Scheme::Https,
        authority: "a.example".into(),
        target: "/".into(),
        headers,
        body: Body::Stream(value.to_string().into_bytes()),
        peer: Peer::default(),
    };
    let platform = TestPlatform::new(|_| Ok(Response { status: 200, headers: Headers::new(), body: Body::Empty }));
    let response = run(gateway.handle(&platform, incoming)).response;
    let Body::Bytes(body) = &response.body else { return (response.status == 204).then_some(true) };
    let problem: Json = serde_json::from_slice(body).ok()?;
    let told = problem["errors"].as_array().is_some_and(|errors| !errors.is_empty());
    (response.status == 400 && problem["type"] == "urn:postern:problem:invalid-request" && told).then_some(false)
}

struct Suite(String);

impl Files for Suite {
    fn read(&self, path: &Path) -> Result<String, String> {
        let path = path.to_string_lossy();
        if path == "gateway.json" {
            return Ok(self.0.clone());
        }
        let remote = REMOTES.iter().find(|(url, _)| url.replace("://", "_") == path);
        remote.map(|(_, text)| (*text).to_owned()).ok_or("there is no such file".to_owned())
    }
}

/// What the suite expects behind these addresses.
const REMOTES: &[(&str, &str)] = &[
    ("http://localhost:1234/integer.json", r#"{"type":"integer"}"#),
    ("http://localhost:1234/draft2020-12/integer.json", r#"{"type":"integer"}"#),
    (
        "http://localhost:1234/draft7/subSchemas.json",
        r##"{"definitions":{"integer":{"type":"integer"},"refToInteger":{"$ref":"#/definitions/integer"}}}"##,
    ),
    (
        "http://localhost:1234/draft2020-12/subSchemas.json",
        r##"{"$defs":{"integer":{"type":"integer"},"refToInteger":{"$ref":"#/$defs/integer"}}}"##,
    ),
    ("http://localhost:1234/baseUriChange/folderInteger.json", r#"{"type":"integer"}"#),
    ("http://localhost:1234/baseUriChangeFolder/folderInteger.json", r#"{"type":"integer"}"#),
    ("http://localhost:1234/baseUriChangeFolderInSubschema/folderInteger.json", r#"{"type":"integer"}"#),
    ("http://localhost:1234/draft2020-12/baseUriChange/folderInteger.json", r#"{"type":"integer"}"#),
    ("http://localhost:1234/draft2020-12/baseUriChangeFolder/folderInteger.json", r#"{"type":"integer"}"#),
    ("http://localhost:1234/draft2020-12/baseUriChangeFolderInSubschema/folderInteger.json", r#"{"type":"integer"}"#),
    (
        "http://localhost:1234/draft7/name.json",
        r##"{"definitions":{"orNull":{"anyOf":[{"type":"null"},{"$ref":"#"}]}},"type":"string"}"##,
    ),
    (
        "http://localhost:1234/draft2020-12/name-defs.json",
        r##"{"$defs":{"orNull":{"anyOf":[{"type":"null"},{"$ref":"#"}]}},"type":"string"}"##,
    ),
    (
        "http://localhost:1234/draft7/ref-and-definitions.json",
        r##"{"$id":"http://localhost:1234/draft7/ref-and-definitions.json","definitions":{"inner":{"properties":{"bar":{"type":"string"}}}},"allOf":[{"$ref":"#/definitions/inner"}]}"##,
    ),
    (
        "http://localhost:1234/draft2020-12/ref-and-defs.json",
        r##"{"$id":"http://localhost:1234/draft2020-12/ref-and-defs.json","$defs":{"inner":{"properties":{"bar":{"type":"string"}}}},"$ref":"#/$defs/inner"}"##,
    ),
    (
        "http://localhost:1234/draft7/locationIndependentIdentifier.json",
        r##"{"definitions":{"refToInteger":{"$ref":"#foo"},"A":{"$id":"#foo","type":"integer"}}}"##,
    ),
    (
        "http://localhost:1234/draft2020-12/locationIndependentIdentifier.json",
        r##"{"$defs":{"refToInteger":{"$ref":"#foo"},"A":{"$anchor":"foo","type":"integer"}}}"##,
    ),
    (
        "http://localhost:1234/nested/foo-ref-string.json",
        r#"{"type":"object","properties":{"foo":{"$ref":"string.json"}}}"#,
    ),
    ("http://localhost:1234/nested/string.json", r#"{"type":"string"}"#),
    (
        "http://localhost:1234/draft2020-12/nested/foo-ref-string.json",
        r#"{"type":"object","properties":{"foo":{"$ref":"string.json"}}}"#,
    ),
    ("http://localhost:1234/draft2020-12/nested/string.json", r#"{"type":"string"}"#),
    (
        "http://localhost:1234/draft7/detached-ref.json",
        r##"{"$id":"http://localhost:1234/draft7/detached-ref.json","definitions":{"foo":{"$ref":"#detached"},"detached":{"$id":"#detached","type":"integer"}}}"##,
    ),
    (
        "http://localhost:1234/draft2020-12/detached-ref.json",
        r##"{"$id":"http://localhost:1234/draft2020-12/detached-ref.json","$defs":{"foo":{"$ref":"#detached"},"detached":{"$anchor":"detached","type":"integer"}}}"##,
    ),
    (
        "http://localhost:1234/draft2020-12/detached-dynamicref.json",
        r##"{"$id":"http://localhost:1234/draft2020-12/detached-dynamicref.json","$defs":{"foo":{"$dynamicRef":"#detached"},"detached":{"$dynamicAnchor":"detached","type":"integer"}}}"##,
    ),
    (
        "http://localhost:1234/draft2020-12/different-id-ref-string.json",
        r##"{"$id":"http://localhost:1234/real-id-ref-string.json","$defs":{"bar":{"type":"string"}},"$ref":"#/$defs/bar"}"##,
    ),
    (
        "http://localhost:1234/draft2020-12/urn-ref-string.json",
        r##"{"$id":"urn:uuid:feebdaed-ffff-0000-ffff-0000deadbeef","$defs":{"bar":{"type":"string"}},"$ref":"#/$defs/bar"}"##,
    ),
    (
        "http://localhost:1234/draft2020-12/nested-absolute-ref-to-string.json",
        r##"{"$defs":{"bar":{"$id":"http://localhost:1234/the-nested-id.json","type":"string"}},"$ref":"http://localhost:1234/the-nested-id.json"}"##,
    ),
    (
        "http://localhost:1234/draft2020-12/tree.json",
        r##"{"$id":"http://localhost:1234/draft2020-12/tree.json","$dynamicAnchor":"node","type":"object","properties":{"data":true,"children":{"type":"array","items":{"$dynamicRef":"#node"}}}}"##,
    ),
    (
        "http://localhost:1234/draft2020-12/extendible-dynamic-ref.json",
        r##"{"$id":"http://localhost:1234/draft2020-12/extendible-dynamic-ref.json","type":"object","properties":{"elements":{"type":"array","items":{"$dynamicRef":"#elements"}}},"required":["elements"],"additionalProperties":false,"$defs":{"elements":{"$dynamicAnchor":"elements"}}}"##,
    ),
    (
        "http://localhost:1234/draft2020-12/metaschema-no-validation.json",
        r##"{"$schema":"https://json-schema.org/draft/2020-12/schema","$id":"http://localhost:1234/draft2020-12/metaschema-no-validation.json","$vocabulary":{"https://json-schema.org/draft/2020-12/vocab/applicator":true,"https://json-schema.org/draft/2020-12/vocab/core":true},"$dynamicAnchor":"meta"}"##,
    ),
    (
        "http://localhost:1234/draft2020-12/metaschema-optional-vocabulary.json",
        r##"{"$schema":"https://json-schema.org/draft/2020-12/schema","$id":"http://localhost:1234/draft2020-12/metaschema-optional-vocabulary.json","$vocabulary":{"https://json-schema.org/draft/2020-12/vocab/validation":true,"https://json-schema.org/draft/2020-12/vocab/core":true,"http://localhost:1234/draft/2020-12/vocab/custom":false},"$dynamicAnchor":"meta"}"##,
    ),
];
