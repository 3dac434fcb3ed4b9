//! `postern schema`, `reference`, `completions` and `--help`.

use crate::program::{Folder, run};

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
