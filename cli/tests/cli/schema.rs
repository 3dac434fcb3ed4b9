//! `postern schema`, `reference`, `completions` and `--help`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::program::{Folder, repository, run};

/// `make docs` writes what is generated.
#[test]
fn what_is_generated_is_in_the_repository() {
    let folder = Folder::new();
    let documents = repository().join("docs");
    let kept = |name: &str| fs::read_to_string(documents.join(name)).expect("a document");
    assert_same("docs/gateway.schema.json", &kept("gateway.schema.json"), &run(folder.path(), &["schema"]).out);
    assert_same("docs/configuration.md", &kept("configuration.md"), &run(folder.path(), &["reference"]).out);
    assert_eq!(run(folder.path(), &["reference", "--policies", "policies"]).code, 0);
    let (kept, generated) = (pages(&documents.join("policies")), pages(&folder.path().join("policies")));
    assert!(!generated.is_empty());
    assert!(kept.keys().eq(generated.keys()), "`make docs` writes docs/policies: {:?}", generated.keys());
    for (name, page) in &generated {
        assert_same(&format!("docs/policies/{name}"), &kept[name], page);
    }
}

fn pages(folder: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("a page").path());
    entries
        .map(|path| {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, fs::read_to_string(&path).expect("a page"))
        })
        .collect()
}

#[track_caller]
fn assert_same(what: &str, kept: &str, generated: &str) {
    let differs = kept.lines().zip(generated.lines()).position(|(kept, generated)| kept != generated);
    let line = differs.unwrap_or_else(|| kept.lines().count().min(generated.lines().count()));
    let there = [kept, generated].map(|text| text.lines().nth(line).unwrap_or("(nothing)"));
    assert!(
        kept == generated,
        "{what} is not what `make docs` writes, from line {} on:\n  there:     {}\n  generated: {}",
        line + 1,
        there[0],
        there[1]
    );
}

#[test]
fn the_schema_is_one() {
    let ran = run(Folder::new().path(), &["schema"]);
    let schema: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
    assert!(schema["properties"]["routes"].is_object());
}

#[test]
fn the_reference_describes_every_kind_of_value_that_it_links_to() {
    let ran = run(Folder::new().path(), &["reference"]);
    for link in ran.out.split("](#").skip(1) {
        let anchor = link.split(')').next().expect("a link ends");
        let heading = ran.out.lines().any(|line| line.to_lowercase() == format!("## {anchor}"));
        assert!(heading || ran.out.contains(&format!("<a id=\"{anchor}\">")), "nothing is at #{anchor}");
    }
}

#[test]
fn every_command_is_completed_and_has_help_with_an_example_or_two() {
    let folder = Folder::new();
    let completions = run(folder.path(), &["completions", "bash"]).out;
    for command in ["check", "compile", "explain", "schema", "reference", "init", "dev", "completions"] {
        assert!(completions.contains(&format!("postern,{command})")), "{command} is not completed");
        let help = run(folder.path(), &[command, "--help"]).out;
        assert!(help.contains("Examples:"), "{help}");
    }
}

#[test]
fn wrong_arguments_are_told_apart_from_bad_news() {
    let folder = Folder::new();
    assert_eq!(run(folder.path(), &["chekc"]).code, 2);
    assert_eq!(run(folder.path(), &["check", "--allow", "no-such-code"]).code, 2);
    let ran = run(folder.path(), &["check"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("postern init"), "{}", ran.err);
}
