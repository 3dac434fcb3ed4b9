//! `postern check`: what it says of the files in `tests/problems`, in each format.
//!
//! `POSTERN_BLESS=1 cargo test -p postern` writes down what it says now; read the difference before committing it.

use std::fs;
use std::path::PathBuf;

use crate::program::{Folder, postern, repository, run};

#[test]
fn problems_are_shown_as_they_were() {
    let mut differences = Vec::new();
    for name in ["shapes", "doubts", "included"] {
        for (format, extension) in [("human", "txt"), ("json", "json"), ("github", "github")] {
            let ran = run(&problems(), &["check", "--config", &format!("{name}.yaml"), "--format", format]);
            let file = problems().join(format!("{name}.{extension}"));
            if std::env::var_os("POSTERN_BLESS").is_some() {
                fs::write(&file, &ran.out).expect("the expectation can be written");
            }
            let expected = fs::read_to_string(&file).unwrap_or_default();
            if ran.out != expected {
                differences.push(format!("{}:\n{}", file.display(), ran.out));
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn the_exit_code_says_whether_anything_counts() {
    let folder = problems();
    assert_eq!(run(&folder, &["check", "--config", "shapes.yaml"]).code, 1);
    assert_eq!(run(&folder, &["check", "--config", "doubts.yaml"]).code, 0);
    assert_eq!(run(&folder, &["check", "--config", "doubts.yaml", "--deny-warnings"]).code, 1);
    let allowed =
        ["check", "--config", "doubts.yaml", "--deny-warnings", "--allow", "unused-upstream,unreachable-route"];
    let ran = run(&folder, &allowed);
    assert_eq!(ran.code, 0, "{}", ran.out);
    assert_eq!(run(&folder, &["check", "--config", "no-such-file.yaml"]).code, 1);
}

#[test]
fn what_one_platform_cannot_do_is_no_concern_of_the_other() {
    let folder = Folder::new();
    folder.write("gateway.yaml", "routes:\n  - name: a\n    country: DE\n    respond: {}\n");
    let denying = |platform| run(folder.path(), &["check", "--deny-warnings", "--platform", platform]);
    assert_eq!(denying("workers").code, 0);
    let ran = denying("spin");
    assert_eq!(ran.code, 1, "{}", ran.out);
    assert!(ran.out.contains("location-unavailable"), "{}", ran.out);
}

#[test]
fn no_report_repeats_a_secret_and_those_that_open_nothing_are_allowed() {
    const SECRET: &str = "sk_live_4eC39HqLyjWDarjtT1zdp7dc";
    let folder = Folder::new();
    let route =
        |value: &str| format!("routes:\n  - {{ name: a, priority: {SECRET}, respond: {{ body: \"{value}\" }} }}\n");
    folder.write("bad.yaml", &route(SECRET));
    for format in ["human", "json", "github"] {
        let ran = run(folder.path(), &["check", "--config", "bad.yaml", "--format", format]);
        assert_eq!(ran.code, 1);
        assert!(ran.out.contains("literal-secret") && ran.out.contains("wrong-type"), "{}", ran.out);
        assert!(!ran.out.contains(SECRET), "{}", ran.out);
    }
    let respond =
        |body: &str| format!("{body}: [literal-secret]\nroutes:\n  - {{ name: a, respond: {{ body: {SECRET} }} }}\n");
    folder.write("allowed.yaml", &respond("allow"));
    folder.write("marked.yaml", &format!("routes:\n  - {{ name: a, respond: {{ body: \"${{test:{SECRET}}}\" }} }}\n"));
    for good in ["allowed.yaml", "marked.yaml"] {
        let ran = run(folder.path(), &["check", "--config", good, "--deny-warnings"]);
        assert_eq!(ran.code, 0, "{good}: {}", ran.out);
    }
}

#[test]
fn only_terminals_and_those_who_ask_get_colours() {
    let run = |arguments: &[&str], no_color: &str| {
        let output = postern()
            .current_dir(problems())
            .args(["check", "--config", "doubts.yaml"])
            .args(arguments)
            .env("NO_COLOR", no_color)
            .output();
        String::from_utf8(output.expect("it runs").stdout).expect("text")
    };
    assert!(!run(&[], "").contains('\u{1b}'), "this is no terminal");
    assert!(run(&["--color", "always"], "1").contains('\u{1b}'));
    assert!(!run(&["--color", "never"], "").contains('\u{1b}'));
}

#[test]
fn an_artefact_is_written_only_without_errors() {
    let folder = Folder::new();
    let out = folder.path().join("build/gateway.bin");
    let out = out.to_str().expect("a plain path");
    let compile = |name: &str| run(&problems(), &["compile", "--config", name, "--out", out]);
    let ran = compile("shapes.yaml");
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert!(!fs::exists(out).expect("it can be told"));
    let ran = compile("doubts.yaml");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("unused-upstream"), "{}", ran.err);
    assert!(fs::read(out).expect("it was written").starts_with(b"POSTERN\0"));
}

#[test]
fn the_features_that_a_configuration_needs_are_named() {
    let folder = Folder::new();
    folder.write(
        "gateway.yaml",
        "routes:\n  - { name: a, path_regex: ^/a, respond: {}, policies: [{ json_limits: {} }] }\n",
    );
    folder.write("plain.yaml", "routes:\n  - { name: a, path: /a, respond: {} }\n");
    let ran = run(folder.path(), &["check"]);
    assert_eq!((ran.code, ran.out.lines().last()), (0, Some("needs: regex, validation")), "{}", ran.out);
    let ran = run(folder.path(), &["check", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&ran.out).expect("it is JSON");
    assert_eq!(report["needs"], serde_json::json!(["regex", "validation"]));
    let ran = run(folder.path(), &["compile", "--out", "gateway.bin"]);
    assert_eq!((ran.code, ran.err.lines().last()), (0, Some("needs: regex, validation")));
    let ran = run(folder.path(), &["check", "--config", "plain.yaml"]);
    assert_eq!(ran.out, "ok: plain.yaml has no problems\n");
}

fn problems() -> PathBuf {
    repository().join("cli/tests/problems")
}
