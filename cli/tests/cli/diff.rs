//! `postern diff`; docs/rollout.md shows most of what it says.

use std::fs;

use serde_json::Value;

use crate::program::{Folder, repository, run};

#[test]
fn the_documentation_shows_what_it_says() {
    let text = fs::read_to_string(repository().join("docs/rollout.md")).expect("the page");
    let mut tried = 0;
    for block in text.split("```console\n").skip(1).filter_map(|block| block.split("\n```").next()) {
        let Some((command, shown)) = block.split_once('\n') else { continue };
        let Some(command) = command.strip_prefix("$ postern diff ") else { continue };
        let mut arguments = vec!["diff"];
        arguments.extend(command.split(' '));
        let ran = run(&repository().join("examples/rollout"), &arguments);
        assert_eq!(ran.out.trim_end(), shown.trim_end(), "{}", ran.err);
        tried += 1;
    }
    assert!(tried > 0, "nothing was tried");
}

#[test]
fn machines_read_the_same() {
    let folder = repository().join("examples/rollout");
    let ran = run(&folder, &["diff", "gateway.yaml", "next.yaml", "--traffic", "access.log", "--format", "json"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    let report: Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!((&report["requests"], &report["different"], &report["unread"]), (&5.into(), &4.into(), &0.into()));
    let counts: Vec<_> = report["groups"].as_array().expect("groups").iter().map(|group| &group["count"]).collect();
    assert_eq!(counts, [3, 1]);
    let differences = report["groups"][1]["examples"][0]["differences"].as_array().expect("differences");
    let of = |what: &str| differences.iter().find(|difference| difference["what"] == what).expect("it is different");
    assert_eq!((&of("route")["old"], &of("route")["new"]), (&"orders".into(), &"reports".into()));
    assert_eq!(of("answer")["new"], "410 by the gateway");
}

#[test]
fn the_same_configuration_treats_nothing_differently() {
    let folder = repository().join("examples/rollout");
    let ran = run(&folder, &["diff", "gateway.yaml", "gateway.yaml", "--traffic", "access.log"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "None of 5 requests would be treated differently\n"), "{}", ran.err);
}

#[test]
fn what_an_upstream_does_with_its_requests_counts_and_so_does_what_no_request_shows() {
    let folder = Folder::new();
    let upstreams = |more: &str, fallback: &str| {
        format!(
            "upstreams:\n{more}  a: {{ targets: [{{ url: http://127.0.0.1:1 }}, {{ url: http://127.0.0.1:2 }}]{fallback} }}\n  \
             b: {{ targets: [{{ url: http://127.0.0.1:3 }}] }}\nroutes: [{{ name: a, path: /a, upstream: a }}]\n"
        )
    };
    let falls_back = ", fallback: { upstream: b }";
    let line = "192.0.2.1 - - [29/Feb/2024:23:59:59 +0000] \"GET /a HTTP/1.1\" 200 12\n";
    folder.write("access.log", line);
    folder.write("old.yaml", &upstreams("", falls_back));
    let other = "  _: { targets: [{ url: http://127.0.0.1:4 }] }\n".replace('_', "0first");
    for (new, code, said) in [
        (upstreams("", falls_back), 0, "None of 1"),
        (upstreams(&other, falls_back), 0, "None of 1"),
        (upstreams("", ""), 1, "upstream: a, with other settings"),
        (upstreams("", ", fallback: { upstream: b }, retries: { attempts: 4 }"), 1, "upstream: a, with other settings"),
        (upstreams("", falls_back).replace("2 }", "2, weight: 5 }"), 1, "upstream: a, with other settings"),
        (format!("via: other\n{}", upstreams("", falls_back)), 1, "for all: via"),
    ] {
        folder.write("new.yaml", &new);
        let ran = run(folder.path(), &["diff", "old.yaml", "new.yaml", "--traffic", "access.log"]);
        assert_eq!(ran.code, code, "{new}{}{}", ran.out, ran.err);
        assert!(ran.out.contains(said), "{said} in {}", ran.out);
    }
}

#[test]
fn what_the_gateway_asked_for_itself_is_left_out() {
    let folder = Folder::new();
    folder.write("gateway.yaml", "routes: [{ name: a, path: /a, respond: {} }]\n");
    let line = r#"{"http.request.method":"GET","url.scheme":"http","server.address":"a.example","url.path":"/a"}"#;
    let inner = line.replace('}', r#","postern.made_by":"batch"}"#);
    folder.write("access.log", &format!("{inner}\n{inner}\n{line}\n"));
    let ran = run(folder.path(), &["diff", "gateway.yaml", "gateway.yaml", "--traffic", "access.log"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    for said in ["None of 1 requests", "note: 2 requests were left out"] {
        assert!(ran.out.contains(said), "{said} in {}", ran.out);
    }
}

#[test]
fn older_formats_do_and_what_is_no_request_is_told() {
    let folder = Folder::new();
    folder.write("old.yaml", "routes: [{ name: a, host: a.example, path: /a, respond: {} }]\n");
    folder
        .write("new.yaml", "via: other\nroutes: [{ name: a, host: a.example, path: /a, respond: { body: hello } }]\n");
    let line = "192.0.2.1 - - [29/Feb/2024:23:59:59 +0000] \"GET /a HTTP/1.1\" 200 12\n";
    folder.write("access.log", &format!("starting up\n{line}{line}"));
    let ran =
        run(folder.path(), &["diff", "old.yaml", "new.yaml", "--traffic", "access.log", "--host", "http://a.example"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    for said in ["2 of 2 requests", "body: none → 5 bytes", "for all: via", "1 lines tell of no request"] {
        assert!(ran.out.contains(said), "{said} in {}", ran.out);
    }
}

#[test]
fn what_is_no_log_is_refused() {
    let folder = Folder::new();
    folder.write("gateway.yaml", "routes: [{ name: a, respond: {} }]\n");
    folder.write("access.log", "hello\n");
    let ran = run(folder.path(), &["diff", "gateway.yaml", "gateway.yaml", "--traffic", "access.log"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("tells of no request"), "{}", ran.err);
    let ran = run(folder.path(), &["diff", "gateway.yaml", "gateway.yaml", "--traffic", "nothing.log"]);
    assert_eq!(ran.code, 2);
    folder.write("wrong.yaml", "routes: [{ name: a }]\n");
    let ran = run(folder.path(), &["diff", "gateway.yaml", "wrong.yaml", "--traffic", "access.log"]);
    assert_eq!(ran.code, 2);
}
