//! Our grammar of GraphQL documents, with the parser of `apollo-parser` as referee, and documents that are meant to hurt.

#![cfg(feature = "graphql")]
#![allow(clippy::panic, reason = "a test may fail")]

use apollo_parser::cst::Definition;
use gateway_core::graphql::Document;
use gateway_core::graphql::document::{Most, Wrong};
use gateway_core::graphql::measure::{Costs, measure};
use proptest::prelude::*;

const MOST: Most = Most { tokens: 10_000, nesting: 200 };

/// What a document is made of: joined at random, most come to nothing, and some to something.
const WORDS: [&str; 44] = [
    "{",
    "}",
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    ":",
    "$",
    "@",
    "!",
    "=",
    "...",
    "...",
    "on",
    "query",
    "mutation",
    "subscription",
    "fragment",
    "a",
    "b",
    "F",
    "T",
    "true",
    "null",
    "1",
    "-1.5e3",
    "\"x\"",
    "\"\"",
    "\"\"\"y\"\"\"",
    ",",
    "# c\n",
    "{a}",
    "a {b}",
    "...F",
    "... on T {a}",
    "@d",
    "(a: 1)",
    "($a: Int = 1)",
    "fragment F on T {a}",
    "query Q",
    "\\",
    "|",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_a_document_the_referee_says_too(words in prop::collection::vec(prop::sample::select(&WORDS[..]), 1..14)) {
        check(&words.join(" "), &undescribed(&words));
    }

    #[test]
    fn whatever_is_sent_there_is_an_end(text in "\\PC{0,200}") {
        if let Ok(document) = Document::read(&text, MOST) {
            let spelling = document.canonical();
            prop_assert_eq!(Document::read(&spelling, MOST).expect("it was one").canonical(), spelling);
        }
    }
}

#[test]
fn good_documents_are_taken_by_both() {
    for text in [
        "{a}",
        "query Q($a: [Int!]! = [1, 2] @d, $b: T = {x: {y: \"z\"}}) @e { a: b(c: $a, d: {e: [$b]}) @f { ... @g { h } } }",
        "subscription { a } fragment F on T @x { ...G } fragment G on T { a }",
        "mutation M { a(b: ENUM, c: null, d: true, e: \"\"\"\n  x \\\"\"\" y\n\"\"\", f: \"\\u{1F600}\\uD83D\\uDE00\") }",
    ] {
        assert!(check(text, text), "{text}");
    }
}

/// The document without the descriptions that September 2025 §2.2 brought, of operations, fragments and variables: the referee does not
/// know them yet.
fn undescribed(words: &[&str]) -> String {
    let follows = |at: usize| words[at + 1..].iter().find(|word| !matches!(**word, "," | "# c\n")).copied();
    let described = ["$", "query", "mutation", "subscription", "fragment"];
    let describes = |at: usize| follows(at).is_some_and(|next| described.iter().any(|word| next.starts_with(word)));
    let kept = words.iter().enumerate().filter(|(at, word)| !(word.starts_with('"') && describes(*at)));
    kept.map(|(_, word)| *word).collect::<Vec<_>>().join(" ")
}

/// Whether both take it. What only we refuse are names that stand twice, and what only they take is the schema language. What we take
/// may be `plain` for the referee.
fn check(text: &str, plain: &str) -> bool {
    let ours = Document::read(text, MOST);
    let tree = apollo_parser::Parser::new(if ours.is_ok() { plain } else { text }).recursion_limit(100).parse();
    let theirs = tree.errors().len() == 0;
    let definitions: Vec<Definition> = tree.document().definitions().collect();
    let executable = definitions
        .iter()
        .all(|one| matches!(one, Definition::OperationDefinition(_) | Definition::FragmentDefinition(_)))
        && definitions.iter().any(|one| matches!(one, Definition::OperationDefinition(_)));
    match &ours {
        Ok(_) => assert!(theirs && executable, "only we take {text}: {:?}", tree.errors().collect::<Vec<_>>()),
        Err(Wrong::Syntax { why, .. }) if why.contains("twice") || why.contains("each needs a name") => {}
        Err(wrong) => assert!(!(theirs && executable), "only they take {text}: {wrong}"),
    }
    ours.is_ok()
}

#[test]
fn documents_that_are_meant_to_hurt_are_measured_at_once() {
    let costs = Costs { object: 1, leaf: 0, fields: [].into(), sizes: vec!["first".to_owned()], assumed: [].into() };
    let most = Most { tokens: u32::MAX, nesting: u32::MAX };
    let fragments: String =
        (0..5_000).map(|n| format!(" fragment F{n} on T {{ ...F{0} ...F{0} ...F{0} }}", n + 1)).collect();
    for text in [
        "{a".repeat(200_000) + &"}".repeat(200_000),
        format!("{{a(b: {}{})}}", "[".repeat(200_000), "]".repeat(200_000)),
        format!("{{a(b: {}1{})}}", "{x:".repeat(100_000), "}".repeat(100_000)),
        format!("{{...F0}}{fragments} fragment F5000 on T {{ a {{ b }} }}"),
        format!("{{{}}}", "a @x ".repeat(200_000)),
        format!("query({}) {{a}}", "$a: Int ".repeat(100_000)),
    ] {
        let document = Document::read(&text, most).expect("it is a document");
        let operation = document.operation(None).expect("it has one");
        measure(&document, operation, &costs, &|_| None).expect("it can be measured");
    }
}

/// What stands in the documentation does what stands below it.
#[cfg(all(feature = "compile", feature = "testing", feature = "soap"))]
mod documentation {
    use gateway_core::Gateway;
    use gateway_core::config::{Text, compile};
    use gateway_core::http::{Body, Headers, Incoming, Peer, Response, Scheme};
    use gateway_core::testing::{TestPlatform, run};
    use std::path::Path;

    #[test]
    fn every_configuration_in_it_compiles_and_does_what_it_shows() {
        let envelope = "<e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\"><e:Body><m:GetStockResponse xmlns:m=\"urn:stock\">\
            <m:item>pen</m:item><m:count>7</m:count><m:place>here</m:place></m:GetStockResponse></e:Body></e:Envelope>";
        let order = r#"{"data":{"order":{"id":"7","customer":"eve","items":[{"name":"pen"},{"name":"ink"}]}}}"#;
        for (name, text, answer) in [
            ("graphql.md", include_str!("../../docs/graphql.md"), order),
            ("soap.md", include_str!("../../docs/soap.md"), envelope),
        ] {
            let blocks = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split_once("\n```"));
            let mut shown = 0;
            for (configuration, rest) in blocks {
                let compiled = compile(Path::new("gateway.yaml"), &Text(configuration.to_owned()));
                assert!(compiled.problems.is_empty(), "{name}: {:?}", compiled.problems);
                let artefact = compiled.artefact.expect("there is no problem");
                let gateway = Gateway::load(artefact.into(), |_| None).expect("it loads");
                let Some(console) = rest.trim_start().strip_prefix("```console\n$ curl ") else { continue };
                let (target, printed) = console.split_once('\n').expect("what it prints stands below");
                let printed = printed.lines().next().expect("a line");
                let target = target.trim_matches('\'').trim_start_matches("http://localhost:8080");
                let platform = TestPlatform::new(|_| {
                    Ok(Response {
                        status: 200,
                        headers: Headers::new(),
                        body: Body::Stream(answer.as_bytes().to_vec()),
                    })
                });
                let incoming = Incoming {
                    method: "GET".to_owned(),
                    scheme: Scheme::Http,
                    authority: "localhost".to_owned(),
                    target: target.to_owned(),
                    headers: Headers::new(),
                    body: Body::Empty,
                    peer: Peer::default(),
                };
                let Body::Bytes(body) = run(gateway.handle(&platform, incoming)).response.body else {
                    panic!("{name}: it answers")
                };
                assert_eq!(String::from_utf8_lossy(&body), printed, "{name}");
                shown += 1;
            }
            assert!(shown > 0, "{name} shows nothing");
        }
    }
}
