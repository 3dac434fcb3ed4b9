//! The compliance suite of JMESPath, asked as policies ask: through the gateway's own limits, and its own way to values and back.
//!
//! The suite comes with the crate `jmespath`, beside the sources that cargo keeps; where those are not (they may be vendored without
//! it), there is nothing to play.

#![cfg(feature = "queries")]
#![allow(clippy::panic, reason = "a test may fail")]

use std::path::PathBuf;

use gateway_core::json::{Json, Limits, read};
use gateway_core::shape::Value;
use gateway_core::shape::query::Query;
use serde_json::Value as Tree;

#[test]
fn queries_are_answered_as_the_suite_says() {
    let Some(suite) = suite() else {
        println!("skipped: the sources of the crate jmespath are not there, or without its tests");
        return;
    };
    let files = std::fs::read_dir(&suite).expect("it is a folder").map(|file| file.expect("it can be seen").path());
    let (mut deviations, mut played) = (Vec::new(), 0);
    for file in files.filter(|file| file.extension().is_some_and(|extension| extension == "json")) {
        let text = std::fs::read_to_string(&file).expect("it can be read");
        let groups: Vec<Tree> = serde_json::from_str(&text).expect("it is JSON");
        for (group, case) in groups.iter().flat_map(|group| {
            let cases = group["cases"].as_array().expect("a group has cases");
            cases.iter().map(move |case| (group, case))
        }) {
            let query = case["expression"].as_str().expect("a case has an expression");
            // What is only measured has no answer.
            let expected = match (case.get("result"), case.get("error")) {
                (Some(result), None) => Ok(result.clone()),
                (None, Some(_)) => Err(()),
                (None, None) | (Some(_), Some(_)) => continue,
            };
            played += 1;
            for answer in asked(query, &group["given"].to_string()) {
                if !same(&answer, &expected) {
                    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
                    deviations.push(format!("{stem}: {query}: {answer:?} and not {expected:?}"));
                }
            }
        }
    }
    println!("{played} cases");
    assert!(played > 800, "the suite is larger than that");
    assert_eq!(deviations, Vec::<String>::new());
}

/// What a query gives for a text as it was read, and for the same once it has been opened.
fn asked(query: &str, given: &str) -> [Result<Tree, String>; 2] {
    let parts = read(given, &Limits::USUAL).expect("it is JSON");
    let value = Value::new(Json::new(given, &parts));
    [value.clone(), value.into_owned()].map(|value| {
        let query = Query::parse(query).map_err(|(_, why)| why)?;
        let answer = query.answer(value)?.to_text();
        Ok(serde_json::from_str(&answer).expect("an answer is JSON"))
    })
}

fn same(answer: &Result<Tree, String>, expected: &Result<Tree, ()>) -> bool {
    match (answer, expected) {
        (Ok(answer), Ok(expected)) => alike(answer, expected),
        (Err(_), Err(())) => true,
        (Ok(_), Err(())) | (Err(_), Ok(_)) => false,
    }
}

/// The same values; `1` and `1.0` are one number.
fn alike(one: &Tree, other: &Tree) -> bool {
    match (one, other) {
        (Tree::Number(one), Tree::Number(other)) => one.as_f64() == other.as_f64(),
        (Tree::Array(one), Tree::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| alike(one, other))
        }
        (Tree::Object(one), Tree::Object(other)) => {
            let is_alike = |(name, one): (&String, &Tree)| other.get(name).is_some_and(|other| alike(one, other));
            one.len() == other.len() && one.iter().all(is_alike)
        }
        (one, other) => one == other,
    }
}

/// Where the suite is, among the sources that cargo has unpacked.
fn suite() -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))?;
    let registries = std::fs::read_dir(home.join("registry/src")).ok()?.filter_map(Result::ok);
    let mut crates = registries.filter_map(|registry| std::fs::read_dir(registry.path()).ok()).flatten();
    crates.find_map(|found| {
        let found = found.ok()?;
        let suite = found.path().join("tests/compliance");
        (found.file_name().to_string_lossy().starts_with("jmespath-0.5.") && suite.is_dir()).then_some(suite)
    })
}
