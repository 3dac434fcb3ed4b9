//! `postern sign`: what it prints is taken by a gateway, as `postern explain` shows.

use crate::key::fed_in;
use crate::program::{Folder, run};

const GATEWAY: &str = r#"
consumers:
  - name: alice
    signers: { id: alice, secret: "${test:a secret of thirty-two bytes or more}" }
routes:
  - name: a
    path_prefix: /
    policies:
      - authenticate: { any_of: [{ signature: { components: ["@method", "@target-uri", x-tenant] } }, { hmac_auth: { enforce_headers: [request-line, x-tenant] } }] }
    respond: { status: 204 }
"#;

#[test]
fn what_is_printed_is_taken() {
    for style in ["message", "kong", "apisix"] {
        let folder = Folder::new();
        folder.write("gateway.yaml", GATEWAY);
        let sign = [
            "sign",
            "--key-id",
            "alice",
            "--style",
            style,
            "GET",
            "http://a.example/x/../it's?b=c",
            "-H",
            "X-Tenant: acme",
            "--component",
            "x-tenant",
        ];
        let ran = fed_in(folder.path(), &sign, "a secret of thirty-two bytes or more\n");
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert!(ran.out.starts_with(r"curl -X GET 'http://a.example/it'\''s?b=c'"), "{}", ran.out);
        let headers: Vec<String> = ran
            .out
            .lines()
            .filter_map(|line| line.trim().trim_end_matches(" \\").strip_prefix("-H '")?.strip_suffix('\''))
            .map(str::to_owned)
            .collect();
        assert!(!ran.out.contains("a secret"), "{}", ran.out);
        for (url, status) in [("http://a.example/it's?b=c", "204"), ("http://a.example/other", "401")] {
            let mut explain = vec!["explain", "GET", url];
            headers.iter().for_each(|header| explain.extend(["-H", header]));
            let explained = run(folder.path(), &explain);
            assert!(explained.out.contains(status), "{style} {url}: {}{}", explained.out, explained.err);
            assert!(!explained.out.contains("a secret"), "{}", explained.out);
        }
    }
}

#[test]
fn what_cannot_be_signed_is_told() {
    for (arguments, input, why) in [
        (&["GET", "http://a.example/"][..], "short\n", "fewer than 16 bytes"),
        (&["GET", "a.example"], "a secret of thirty-two bytes or more\n", "not a URL"),
        (&["GET", "http://a.example/%zz"], "a secret of thirty-two bytes or more\n", "would refuse"),
        (&["GET", "http://a.example/", "--component", "@status"], "a secret of thirty-two bytes or more\n", "@status"),
    ] {
        let folder = Folder::new();
        let arguments: Vec<_> = ["sign", "--key-id", "alice"].into_iter().chain(arguments.iter().copied()).collect();
        let ran = fed_in(folder.path(), &arguments, input);
        assert_eq!(ran.code, 2, "{}", ran.out);
        assert!(ran.err.contains(why) && !ran.err.contains("thirty-two"), "{}", ran.err);
    }
}
