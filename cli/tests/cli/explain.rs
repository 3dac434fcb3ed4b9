//! `postern explain`; `examples/*/try.txt` show most of what it says.

use serde_json::{Value, json};

use crate::program::{Folder, repository, run};

#[test]
fn machines_read_the_same_answer() {
    let folder = repository().join("examples/routing");
    let ran = run(
        &folder,
        &["explain", "GET", "http://localhost/users/42?x=1", "--format", "json", "--client-address", "192.0.2.1"],
    );
    let answer: Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!(
        answer["match"],
        json!({ "route": "user-by-number", "path": "/users/{id:int}", "parameters": { "id": "42" }, "calls": null, "steps": [] })
    );
    assert_eq!(answer["upstream"]["url"], "http://127.0.0.1:9001/by-number/42?x=1");
    assert_eq!(answer["request"]["client_address"], "192.0.2.1");
    assert_eq!(answer["answer"], Value::Null);
    let candidates: Vec<_> =
        answer["candidates"].as_array().expect("a list").iter().map(|candidate| &candidate["route"]).collect();
    assert_eq!(candidates[..3], ["maintenance", "user-by-number", "user-by-name"]);
}

#[test]
fn a_refused_request_is_explained_as_well() {
    let folder = repository().join("examples/quickstart");
    let ran = run(&folder, &["explain", "GET", "http://localhost/%zz"]);
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("400") && ran.out.contains("bad-target"), "{}", ran.out);
}

#[test]
fn nothing_that_a_login_keeps_is_shown() {
    let folder = Folder::new();
    let example = std::fs::read_to_string(repository().join("examples/login/gateway.yaml")).expect("the example");
    folder.write("gateway.yaml", &example);
    folder.write(
        ".dev.vars",
        "OIDC_SECRET='planted of the client'\nSESSION_KEY='planted and long enough for a key: 1'\n",
    );
    for (method, path) in [
        ("GET", "/orders/1"),
        ("GET", "/oauth2/login"),
        ("GET", "/oauth2/callback?code=c&state=s"),
        ("POST", "/oauth2/logout"),
    ] {
        let url = format!("https://shop.example.com{path}");
        for format in ["human", "json"] {
            let fields = ["-H", "Sec-Fetch-Mode: navigate", "-H", "Sec-Fetch-Site: same-origin"];
            let mut arguments = vec!["explain", method, &url, "--format", format];
            arguments.extend(fields);
            let ran = run(folder.path(), &arguments);
            assert_eq!(ran.code, 0, "{method} {path}: {}", ran.err);
            assert!(!ran.out.contains("planted") && !ran.err.contains("planted"), "{}{}", ran.out, ran.err);
        }
    }
}

#[test]
fn secrets_are_never_shown() {
    let folder = Folder::new();
    folder.write(
        "gateway.yaml",
        "routes:\n  - name: a\n    respond: { headers: { x-key: '${secret:KEY}', x-name: '${env:NAME}' } }\n",
    );
    folder.write(".dev.vars", "KEY=do-not-show\nNAME=from the file\n");
    let ran = run(folder.path(), &["explain", "GET", "http://localhost/"]);
    assert!(ran.out.contains("x-key: secret-key") && ran.out.contains("x-name: from the file"), "{}", ran.out);
    assert!(!ran.out.contains("do-not-show"), "{}", ran.out);
}

#[test]
fn keys_that_the_platform_holds_are_stood_in_for() {
    let folder = Folder::new();
    let keys = "{ secrets: { secret: '${secret:SHARED}' }, algorithms: HS512 }";
    let pem = "{ public_keys: { pem: '${env:PUBLIC}' }, algorithms: [ES256] }";
    for issuer in [keys, pem] {
        let issuer = issuer.replacen('{', "{ issuer: 'https://idp', audiences: a,", 1);
        let policy = format!("authenticate: {{ any_of: [{{ jwt: {{ issuers: {issuer} }} }}, anonymous] }}");
        let condition = "authorize: { expression: \"!has(claims.sub) && claims.level > 1\" }";
        folder.write(
            "gateway.yaml",
            &format!("routes:\n  - name: a\n    respond: {{}}\n    policies:\n      - {policy}\n      - {condition}\n"),
        );
        let ran = run(folder.path(), &["explain", "GET", "http://localhost/"]);
        assert!(ran.out.contains("Answers 401"), "{}{}", ran.out, ran.err);
        // What the log would say of an expression.
        assert!(
            ran.out.contains("Logs forbidden: authorize: at character 21 of the expression, `claims.level > 1`"),
            "{}",
            ran.out
        );
    }
}

#[test]
fn what_is_no_url_is_told() {
    let folder = repository().join("examples/quickstart");
    for url in ["localhost/a", "ftp://localhost/", "http:///a"] {
        let ran = run(&folder, &["explain", "GET", url]);
        assert_eq!(ran.code, 2, "{url}");
        assert!(ran.err.contains("is not a URL"), "{}", ran.err);
    }
}
