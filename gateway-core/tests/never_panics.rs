//! Whatever is in the files, compiling them ends with a list of problems or an artefact that loads.

#![cfg(feature = "compile")]

use std::{collections::HashMap, path::Path};

use gateway_core::{
    Gateway,
    config::{Compiled, Files, Options, Severity, compile_with},
};
use proptest::prelude::*;

proptest! {
    #[test]
    fn any_text(format in format(), text in any::<String>()) {
        check(&format, &text);
    }

    #[test]
    fn any_punctuation(format in format(), text in "[-:{}\\[\\],&*!|>%@\"'#?<=.~ \\t\\r\\na0\u{e9}]{0,80}") {
        check(&format, &text);
    }

    /// What is almost right reaches furthest.
    #[test]
    fn mutated(which in 0..VALID.len(), cuts in prop::collection::vec((any::<prop::sample::Index>(), 0..12usize, piece()), 1..6)) {
        let (format, valid) = VALID[which];
        let mut text = valid.to_owned();
        for (at, length, insert) in cuts {
            let boundary = |at: usize| (at..=text.len()).find(|&at| text.is_char_boundary(at)).unwrap_or(text.len());
            let start = boundary(at.index(text.len() + 1));
            let end = boundary((start + length).min(text.len()));
            text.replace_range(start..end, &insert);
        }
        check(format, &text);
    }

    /// Lines in another order, twice, or indented differently.
    #[test]
    fn shuffled(lines in prop::collection::vec((any::<prop::sample::Index>(), 0..4usize), 1..40)) {
        let (format, valid) = VALID[0];
        let all: Vec<&str> = valid.lines().collect();
        let mut text = String::new();
        for (line, indent) in lines {
            text.push_str(&" ".repeat(indent * 2));
            text.push_str(line.get(&all).trim_start());
            text.push('\n');
        }
        check(format, &text);
    }

    #[test]
    fn any_value_in_any_field(field in field(), value in value()) {
        check("yaml", &format!("routes:\n  - name: a\n    path: /a/{{id}}\n    {field}: {value}\n"));
        check("yaml", &format!("upstreams: {{ o: {{ targets: [{{ url: {value} }}], timeouts: {{ attempt: {value} }} }} }}\n"));
        check("yaml", &format!("{field}: {value}\nvia: {value}\nlimits: {{ body: {value} }}\n"));
    }
}

fn check(format: &str, text: &str) {
    let entry = format!("gateway.{format}");
    let files = Memory(HashMap::from([(entry.clone(), text.to_owned())]));
    let compiled = compile_with(Path::new(&entry), &files, &Options::default());
    sound(&compiled);
}

fn sound(compiled: &Compiled) {
    for problem in &compiled.problems {
        assert_ne!(problem.code, "invalid", "the schema let through what the types refuse: {problem:?}");
        for at in std::iter::once(problem.at).chain(problem.related.iter().map(|(at, _)| *at)) {
            let source = compiled.sources.get(at.file).expect("the file is known");
            assert!(source.text.get(at.start..at.end).is_some(), "{problem:?} is not in the text");
            let (start, end) = (compiled.sources.start(at), compiled.sources.end(at));
            assert!(start <= end, "{problem:?} ends before it starts");
        }
        assert!(!problem.message.is_empty() && !problem.message.ends_with('.'), "{problem:?}");
    }
    let errors = compiled.problems.iter().any(|problem| problem.severity == Severity::Error);
    assert_eq!(compiled.artefact.is_some(), !errors, "{:?}", compiled.problems);
    if let Some(artefact) = &compiled.artefact {
        // Targets with references are addresses only once the values are known.
        Gateway::load(artefact.clone().into(), |_| Some("http://127.0.0.1:9000".to_owned())).map(drop).unwrap_or_else(
            |error| {
                assert!(error.to_string().contains("is not a target's URL"), "what was compiled does not load: {error}")
            },
        );
    }
}

struct Memory(HashMap<String, String>);

impl Files for Memory {
    fn read(&self, path: &Path) -> Result<String, String> {
        self.0.get(&*path.to_string_lossy()).cloned().ok_or_else(|| "there is no such file".to_owned())
    }
}

fn format() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["yaml", "toml", "json"]).prop_map(str::to_owned)
}

fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "[-:{}\\[\\],&*\"' \\n/a-z0-9$]{1,6}",
        prop::sample::select(vec![
            "null", "true", "{}", "[]", "~", "*a", "&a ", "/{x}", "{*y}", "${env:A}", "é", "\u{0}", "2.5", "\t"
        ])
        .prop_map(str::to_owned),
    ]
}

fn field() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "host",
        "path",
        "path_prefix",
        "path_regex",
        "method",
        "headers",
        "query",
        "cookies",
        "scheme",
        "client_address",
        "country",
        "data_centre",
        "not",
        "upstream",
        "strip_prefix",
        "add_prefix",
        "rewrite",
        "host_header",
        "timeouts",
        "limits",
        "websocket",
        "redirect",
        "respond",
        "policies",
        "allow",
        "include",
        "groups",
        "routes",
        "upstreams",
    ])
    .prop_map(str::to_owned)
}

fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "\"[ -~]{0,12}\"",
        "'[ -&(-~\u{e9}]{0,12}'",
        "[0-9]{1,20}",
        "-?[0-9]\\.[0-9]",
        prop::sample::select(vec![
            "present",
            "/a",
            "\"/{id}\"",
            "GET",
            "10s",
            "8KiB",
            "true",
            "~",
            "a",
            "10.0.0.0/8",
            "\"*.example.com\"",
            "DE",
            "\"{id}\"",
            "\"${env:A}\"",
            "https://a",
            "self",
            "target",
        ])
        .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let name = prop_oneof![
            field(),
            prop::sample::select(vec![
                "request", "response", "set", "append", "remove", "exact", "any", "to", "status", "body", "name",
                "x-a", "url"
            ])
            .prop_map(str::to_owned)
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(", "))),
            prop::collection::vec((name, inner), 0..4).prop_map(|fields| {
                let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name}: {value}")).collect();
                format!("{{{}}}", fields.join(", "))
            }),
        ]
    })
}

const VALID: [(&str, &str); 3] = [
    ("yaml", include_str!("../../tests/compile/everything.yaml")),
    ("toml", include_str!("../../tests/compile/smallest-in-toml.toml")),
    ("json", include_str!("../../tests/compile/smallest-in-json.json")),
];
