//! What warnings promise, held against the router; and how they are allowed.

#![cfg(feature = "compile")]

use std::{collections::HashMap, path::Path};

use gateway_core::{
    Gateway,
    client::Client,
    config::{Compiled, Files, Options, Runtime, Severity, compile, compile_with},
    http::{Headers, Peer, Scheme},
    route::{Found, Head},
};
use proptest::prelude::*;

proptest! {
    /// A route that is said to be unreachable is not the answer to any request.
    #[test]
    fn unreachable_routes_are_never_reached(
        table in prop::collection::vec(route(), 1..8),
        asks in prop::collection::vec(ask(), 1..40),
    ) {
        let (gateway, compiled) = build(table.iter().enumerate());
        let unreachable = named(&compiled, "unreachable-route");
        for ask in &asks {
            let found = find(&gateway, ask);
            prop_assert!(!unreachable.iter().any(|place| found == Some(*place)), "{found:?} for {ask:?} in {table:#?}");
        }
    }

    /// Where nothing is said to be tied or unreachable, the place in the file decides nothing.
    #[test]
    fn without_ties_the_order_in_the_file_does_not_matter(
        table in prop::collection::vec(route(), 2..6),
        asks in prop::collection::vec(ask(), 1..40),
    ) {
        let (gateway, compiled) = build(table.iter().enumerate());
        prop_assume!(named(&compiled, "tied-routes").is_empty() && named(&compiled, "unreachable-route").is_empty());
        let (reversed, _) = build(table.iter().enumerate().rev());
        for ask in &asks {
            prop_assert_eq!(find(&gateway, ask), find(&reversed, ask), "{:?} in {:#?}", ask, table);
        }
    }
}

#[test]
fn a_warning_can_be_allowed_by_the_caller_the_file_the_group_and_the_route() {
    let text = "{} routes: [ { name: a, path: '/a b', {} respond: {} } ]";
    let count = |file: &str, route: &str, options: &Options| {
        let text = format!("{{{} }}", text.replacen("{}", file, 1).replacen("{}", route, 1));
        let files = Memory::one(&text);
        compile_with(Path::new("gateway.yaml"), &files, options).problems.len()
    };
    let strict = Options::default();
    let lenient = Options { allow: vec!["unnormalised-path".to_owned()], ..Options::default() };
    assert_eq!(count("", "", &strict), 1);
    assert_eq!(count("", "", &lenient), 0);
    assert_eq!(count("allow: unnormalised-path,", "", &strict), 0);
    assert_eq!(count("allow: [tied-routes],", "", &strict), 1);
    assert_eq!(count("", "allow: [tied-routes, unnormalised-path],", &strict), 0);
    let group = "groups: [{ name: g, defaults: { allow: unnormalised-path }, routes: [{ name: a, path: '/a b', respond: {} }] }]";
    assert_eq!(compile(Path::new("gateway.yaml"), &Memory::one(group)).problems, []);
}

#[test]
fn errors_cannot_be_allowed() {
    let options = Options { allow: vec!["unknown-field".to_owned()], ..Options::default() };
    let compiled = compile_with(Path::new("gateway.yaml"), &Memory::one("routs: []"), &options);
    assert_eq!(compiled.problems.iter().map(|problem| problem.code).collect::<Vec<_>>(), ["unknown-field"]);
}

#[test]
fn what_a_platform_cannot_do_is_a_warning_only_for_that_platform() {
    let text = "
        upstreams: { o: { targets: [{ url: http://a }], host: keep } }
        routes: [{ name: a, path: /a, country: DE, websocket: true, upstream: o }]";
    let codes = |runtimes: &[Runtime]| {
        let options = Options { runtimes: runtimes.to_vec(), ..Options::default() };
        let compiled = compile_with(Path::new("gateway.yaml"), &Memory::one(text), &options);
        compiled.problems.iter().map(|problem| problem.code).collect::<Vec<_>>()
    };
    assert_eq!(codes(&[]), [""; 0]);
    assert_eq!(codes(&[Runtime::Workers]), ["host-override"]);
    assert_eq!(codes(&[Runtime::Spin]), ["host-override", "location-unavailable", "websocket-unavailable"]);
}

#[test]
fn what_spin_cannot_tell_or_remember_is_a_warning() {
    let codes = |client: &str, policy: &str, runtimes: &[Runtime]| {
        let text = format!("{client}\nroutes: [{{ name: a, path: /a, respond: {{}}, policies: [{policy}] }}]");
        let options = Options { runtimes: runtimes.to_vec(), allow: vec!["audience-unchecked".into()] };
        let compiled = compile_with(Path::new("gateway.yaml"), &Memory::one(&text), &options);
        compiled.problems.iter().map(|problem| problem.code).collect::<Vec<_>>()
    };
    let bound = |bound| {
        let issuer = "{ issuer: 'https://a.example', jwks_url: 'https://a.example/k' }";
        format!("{{ authenticate: {{ any_of: {{ jwt: {{ issuers: {issuer}, certificate_bound: {bound} }} }} }} }}")
    };
    for (policy, expected) in [
        ("{ authenticate: { any_of: { client_certificate: {} } } }", &["certificate-unavailable"][..]),
        ("{ authenticate: { all_of: [{ basic: {} }, { client_certificate: {} }] } }", &["certificate-unavailable"]),
        ("{ headers: { response: { set: { x: '{client.certificate.issuer}' } } } }", &["certificate-unavailable"]),
        (&bound(true), &["certificate-unavailable"]),
        (&bound(false), &[]),
        (
            "{ authenticate: { any_of: [{ signature: { nonce: required, replay_scope: instance } }, { hmac_auth: { single_use: true, replay_scope: instance } }] } }",
            &["replays-forgotten"; 2],
        ),
        (
            "{ authenticate: { any_of: [{ signature: { nonce: required } }, { hmac_auth: { single_use: true } }] } }",
            &[],
        ),
        ("{ headers: { response: { set: { x: '{client.address}' } } } }", &[]),
    ] {
        assert_eq!(codes("", policy, &[Runtime::Spin]), expected, "{policy}");
        assert_eq!(codes("", policy, &[Runtime::Workers]), [""; 0], "{policy}");
        let proxy = "client: { trusted_proxies: 10.0.0.0/8, certificate_from: client_cert }";
        let left = expected.iter().filter(|code| **code != "certificate-unavailable").count();
        assert_eq!(codes(proxy, policy, &[Runtime::Spin]).len(), left, "{policy}");
    }
}

#[test]
fn included_files_allow_for_themselves() {
    let files = Memory(HashMap::from([
        ("gateway.yaml".to_owned(), "include: a.yaml\nroutes: [{ name: a, path: '/a b', respond: {} }]".to_owned()),
        ("a.yaml".to_owned(), "allow: unnormalised-path\nroutes: [{ name: b, path: '/b b', respond: {} }]".to_owned()),
    ]));
    let compiled = compile(Path::new("gateway.yaml"), &files);
    assert_eq!(compiled.problems.iter().map(|problem| problem.at.file).collect::<Vec<_>>(), [0]);
}

#[derive(Debug, Clone)]
struct Sketch(Vec<String>);

#[derive(Debug, Clone)]
struct Ask {
    host: &'static str,
    path: String,
    method: &'static str,
    kind: Option<&'static str>,
}

fn build<'a>(table: impl Iterator<Item = (usize, &'a Sketch)>) -> (Gateway, Compiled) {
    let mut text = String::from("routes:\n");
    for (place, Sketch(fields)) in table {
        text.push_str(&format!("  - {{ name: r{place}, respond: {{}}, {} }}\n", fields.join(", ")));
    }
    let compiled = compile(Path::new("gateway.yaml"), &Memory::one(&text));
    assert!(compiled.problems.iter().all(|problem| problem.severity == Severity::Warning), "{text}{compiled:#?}");
    let artefact = compiled.artefact.clone().expect("there is no error");
    (Gateway::load(artefact.into(), |_| None).expect("what was compiled loads"), compiled)
}

/// The places of the routes that a warning is about.
fn named(compiled: &Compiled, code: &str) -> Vec<usize> {
    let about = compiled.problems.iter().filter(|problem| problem.code == code);
    about.filter_map(|problem| compiled.sources.text(problem.at).strip_prefix('r')?.parse().ok()).collect()
}

fn find(gateway: &Gateway, ask: &Ask) -> Option<usize> {
    let mut headers = Headers::new();
    ask.kind.into_iter().for_each(|kind| headers.receive("x-kind", kind.as_bytes()));
    let client = Client::resolve(Peer::default(), Scheme::Http, &headers, &[]);
    let head =
        Head { method: ask.method, host: ask.host, path: &ask.path, query: None, headers: &headers, client: &client };
    match gateway.routes().find(&head) {
        Found::Route(matched) => matched.route.name.strip_prefix('r')?.parse().ok(),
        Found::MethodNotAllowed(_) | Found::NoRoute | Found::UnknownHost => None,
    }
}

fn route() -> impl Strategy<Value = Sketch> {
    let one =
        |options: &[&'static str]| prop::sample::select(options.iter().map(ToString::to_string).collect::<Vec<_>>());
    let segment = prop::sample::select(vec!["a", "1", "{X}", "{X:int}", "{X:hex}", "{X:alnum}", "{X:alpha}"]);
    let path = (prop::collection::vec(segment, 0..3), 0..4usize).prop_map(|(segments, end)| {
        let mut path = String::new();
        for (place, segment) in segments.iter().enumerate() {
            path.push('/');
            path.push_str(&segment.replace('X', &format!("p{place}")));
        }
        match end {
            0 => format!("path: '{path}/{{*rest}}'"),
            1 => format!("path_prefix: '{}'", if path.is_empty() { "/" } else { &path }),
            2 => format!("path: '{path}/'"),
            _ => format!("path: '{}'", if path.is_empty() { "/" } else { &path }),
        }
    });
    let rest = (
        prop::option::weighted(0.3, one(&["host: a.b.c", "host: '*.b.c'", "host: '*.c'", "host: [a.b.c, x.c]"])),
        prop::option::weighted(0.3, one(&["method: GET", "method: [HEAD]", "method: [GET, POST]"])),
        prop::option::weighted(
            0.4,
            one(&[
                "headers: { x-kind: present }",
                "headers: { x-kind: absent }",
                "headers: { x-kind: { exact: ab } }",
                "headers: { x-kind: { any: [ab, b] } }",
                "headers: { x-kind: { prefix: a } }",
            ]),
        ),
        prop::option::weighted(0.2, one(&["priority: 1", "priority: -1"])),
        prop::option::weighted(0.2, one(&["not: { method: POST }", "not: { path: /a }"])),
    );
    (path, rest).prop_map(|(path, (host, method, headers, priority, not))| {
        Sketch([Some(path), host, method, headers, priority, not].into_iter().flatten().collect())
    })
}

fn ask() -> impl Strategy<Value = Ask> {
    let path = prop::collection::vec(prop::sample::select(vec!["a", "1", "b", "g", "-", ""]), 1..4);
    let host = prop::sample::select(vec!["a.b.c", "b.b.c", "x.c", "other"]);
    let method = prop::sample::select(vec!["GET", "HEAD", "POST"]);
    let kind = prop::option::of(prop::sample::select(vec!["ab", "b", "a", ""]));
    (path, host, method, kind).prop_map(|(segments, host, method, kind)| Ask {
        path: format!("/{}", segments.join("/")),
        host,
        method,
        kind,
    })
}

struct Memory(HashMap<String, String>);

impl Memory {
    fn one(text: &str) -> Self {
        Self(HashMap::from([("gateway.yaml".to_owned(), text.to_owned())]))
    }
}

impl Files for Memory {
    fn read(&self, path: &Path) -> Result<String, String> {
        self.0.get(&*path.to_string_lossy()).cloned().ok_or_else(|| "there is no such file".to_owned())
    }
}
