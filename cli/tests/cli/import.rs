//! `postern import`: what comes out is a configuration that does what the other gateway did, and what is left out is told.

use std::fs;

use crate::program::{Folder, repository, run};

/// A folder with what was imported from this file of Kong, and what was said.
fn imported(kong: &str) -> (Folder, i32, String, String) {
    let folder = Folder::new();
    fs::copy(repository().join(kong), folder.path().join("kong.yaml")).expect("a copy");
    let ran = run(folder.path(), &["import", "kong", "kong.yaml"]);
    let text = fs::read_to_string(folder.path().join("gateway.yaml")).unwrap_or_default();
    (folder, ran.code, text, ran.err)
}

#[test]
fn the_example_of_kong_does_what_its_counterpart_does() {
    let (folder, code, text, said) = imported("examples/from-kong/kong.yaml");
    assert_eq!(code, 1, "something is left out: {said}");
    let ran = run(folder.path(), &["check"]);
    assert_eq!(ran.code, 0, "{}\n{text}", ran.out);
    let explained = |arguments: &[&str]| {
        let ran = run(folder.path(), &[&["explain"], arguments].concat());
        assert_eq!(ran.code, 0, "{arguments:?}: {}{}\n{text}", ran.out, ran.err);
        ran.out
    };
    let refused = explained(&["GET", "http://api.example.com/api/orders/7"]);
    assert!(refused.contains("Answers 401") && refused.contains("Route orders"), "{refused}");
    let key = "apikey: alice-key-0123456789abcdef";
    let passed = explained(&["POST", "http://api.example.com/api/orders/7", "-H", key, "-H", "x-beta: 1"]);
    for line in ["Route orders-beta", "POST http://orders.internal:8080/v2/7", "remove apikey"] {
        assert!(passed.contains(line), "{line}: {passed}");
    }
    let page = explained(&["GET", "https://www.example.com/en/docs/start"]);
    for line in ["Route pages", "GET http://pages-1.internal:8080/en/docs/start", "x-served-by: gateway"] {
        assert!(page.contains(line), "{line}: {page}");
    }
}

#[test]
fn all_that_a_document_can_hold_is_carried_over_or_told() {
    let (folder, code, text, said) = imported("cli/tests/cli/import/kong.yaml");
    assert_eq!(code, 1, "{said}");
    for line in [
        "left out: service off",
        "left out: route orders: hosts shop.*",
        "left out: route orders: requests by http",
        "left out: route orders: preserve_host",
        "left out: service Shop API: connect_timeout",
        "left out: service Shop API: plugin rate-limiting: error_message",
        "left out: service Shop API: plugin jwt",
        "left out: service Shop API: plugin request-transformer: add x-from:$(headers.host)",
        "left out: service Shop API: plugin request-transformer: body (add)",
        "left out: plugin rate-limiting of a consumer",
        "left out: plugin prometheus",
        "left out: consumer bob: a key of 5 characters",
        "left out: consumer bob: basicauth_credentials",
        "left out: certificates",
    ] {
        assert!(said.contains(line), "{line}\n{said}");
    }
    let left = said.matches("left out:").count();
    assert_eq!(left, 14, "nothing else: {said}");
    let ran = run(folder.path(), &["check"]);
    assert!(ran.code == 0 && !ran.out.contains("error"), "{}\n{text}", ran.out);
    let expected = fs::read_to_string(repository().join("cli/tests/cli/import/gateway.yaml")).unwrap_or_default();
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        fs::write(repository().join("cli/tests/cli/import/gateway.yaml"), &text).expect("it can be written");
    } else {
        assert_eq!(text, expected, "UPDATE_EXPECTED=1 writes it anew");
    }

    let explain = |arguments: &[&str]| run(folder.path(), &[&["explain"], arguments].concat()).out;
    let limited = explain(&[
        "GET",
        "https://api.example.com/orders/7",
        "-H",
        "x-beta: 1",
        "-H",
        "x-team: b",
        "-H",
        "x-agent: Curl/8",
    ]);
    assert!(limited.contains("Route orders") && limited.contains("Answers 401"), "{limited}");
    let closed = explain(&["GET", "http://any.example/closed"]);
    assert!(closed.contains("Answers 410"), "{closed}");
    let late = explain(&["GET", "http://any.example/late/x"]);
    assert!(late.contains("GET http://closed.internal/x"), "{late}");
}

#[test]
fn plugins_for_all_stand_once() {
    let folder = Folder::new();
    let kong = "\
_format_version: \"3.0\"
services:
- { name: a, url: 'http://a.internal', routes: [{ name: a, paths: [/a] }] }
- { name: b, url: 'http://b.internal', routes: [{ name: b, paths: [/b] }, { name: c, paths: [/c] }] }
plugins:
- { name: rate-limiting, config: { minute: 60, policy: redis } }
- { name: correlation-id }
";
    fs::write(folder.path().join("kong.yaml"), kong).expect("written");
    let ran = run(folder.path(), &["import", "kong", "kong.yaml"]);
    let text = fs::read_to_string(folder.path().join("gateway.yaml")).expect("a configuration");
    assert_eq!(text.matches("rate_limit:").count(), 1, "{text}\n{}", ran.err);
    assert!(text.contains("\ndefaults:\n  policies:\n"), "{text}");
    assert!(text.contains("key: client_address") && !ran.err.contains("warning"), "nobody is known: {text}{}", ran.err);
    let limited = run(folder.path(), &["explain", "GET", "http://any.example/c/1"]).out;
    assert!(limited.contains("Route c") && limited.contains("kong-request-id"), "{limited}");
    let proved = format!("{kong}- {{ name: jwt }}\n");
    fs::write(folder.path().join("kong.yaml"), proved).expect("written");
    let text = run(folder.path(), &["import", "kong", "kong.yaml", "--out", "-"]).out;
    assert!(text.contains("key: consumer"), "somebody is known, once the rest is written: {text}");
    // One that has a plugin of its own has all of them: they run in Kong's order, not in that of the file.
    let of_one =
        kong.replace("paths: [/c] }", "paths: [/c], plugins: [{ name: rate-limiting, config: { minute: 5 } }] }");
    fs::write(folder.path().join("kong.yaml"), of_one).expect("written");
    let text = run(folder.path(), &["import", "kong", "kong.yaml", "--out", "-"]).out;
    assert!(text.matches("rate_limit:").count() == 3 && !text.contains("\ndefaults:"), "{text}");
}

#[test]
fn what_is_no_configuration_of_kong_is_said_and_nothing_is_overwritten() {
    let folder = Folder::new();
    fs::write(folder.path().join("other.yaml"), "routes: []\n").expect("written");
    let ran = run(folder.path(), &["import", "kong", "other.yaml"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("_format_version"), "{}", ran.err);

    fs::write(folder.path().join("shape.yaml"), "_format_version: 3\nservices: { a: b }\n").expect("written");
    let ran = run(folder.path(), &["import", "kong", "shape.yaml"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("`services` must be a list"), "{}", ran.err);

    fs::write(folder.path().join("nameless.yaml"), "_format_version: 3\nconsumers: [{ tags: [a] }]\n")
        .expect("written");
    let ran = run(folder.path(), &["import", "kong", "nameless.yaml", "--out", "-"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("left out: a consumer"), "{}", ran.err);

    fs::write(folder.path().join("broken.yaml"), "_format_version: \"3.0\"\na: 1\na: 2\n").expect("written");
    let ran = run(folder.path(), &["import", "kong", "broken.yaml"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("`a` is here a second time") && ran.err.contains("broken.yaml"), "{}", ran.err);

    fs::write(folder.path().join("kong.yaml"), "_format_version: \"3.0\"\n").expect("written");
    fs::write(folder.path().join("gateway.yaml"), "mine\n").expect("written");
    let ran = run(folder.path(), &["import", "kong", "kong.yaml"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("left as it is"), "{}", ran.err);
    assert_eq!(fs::read_to_string(folder.path().join("gateway.yaml")).expect("it is there"), "mine\n");
    let ran = run(folder.path(), &["import", "kong", "kong.yaml", "--out", "-"]);
    assert!(ran.out.contains("via: gateway"), "{}", ran.out);
}
