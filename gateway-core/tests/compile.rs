//! Every configuration in `tests/compile` gives exactly the problems that stand beside it.
//!
//! A case is a file (`names.yaml`, with its problems in `names.yaml.problems`), or a folder with a `gateway.yaml` and its
//! `problems` in it. `UPDATE_EXPECTED=1 cargo test -p gateway-core --all-features --test behaviour compile::` writes them anew.

#![cfg(feature = "compile")]

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use gateway_core::config::{Disk, Files, Options, Severity, Sources, Span, compile_with};
use gateway_core::{gateway::Gateway, policy::Policy};

#[test]
fn every_configuration_gives_the_problems_beside_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/compile");
    let update = std::env::var_os("UPDATE_EXPECTED").is_some();
    let mut cases: Vec<PathBuf> = fs::read_dir(&folder)
        .expect("the folder exists")
        .map(|entry| entry.expect("it can be listed").path())
        .filter(|path| path.extension().is_none_or(|extension| extension != "problems"))
        .collect();
    cases.sort();
    assert!(cases.len() > 30, "only {} cases were found in {}", cases.len(), folder.display());
    let mut wrong = String::new();
    for case in cases {
        let (entry, expected_at) = if case.is_dir() {
            (case.join("gateway.yaml"), case.join("problems"))
        } else {
            (case.clone(), PathBuf::from(format!("{}.problems", case.display())))
        };
        let found = problems(&entry);
        if update {
            fs::write(&expected_at, &found).expect("it can be written");
            continue;
        }
        let expected = fs::read_to_string(&expected_at).unwrap_or_default();
        if found != expected {
            let name = case.file_name().unwrap_or_default().to_string_lossy();
            let _ = writeln!(wrong, "=== {name}\n--- expected\n{expected}--- found\n{found}");
        }
    }
    assert!(
        wrong.is_empty(),
        "{wrong}UPDATE_EXPECTED=1 writes what is found; look at the difference before committing"
    );
}

#[test]
fn the_same_configuration_in_three_formats_compiles_to_the_same_bytes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/compile");
    let compile = |name: &str| compile_with(&folder.join(name), &Disk, &Options::default()).artefact;
    let yaml = compile("smallest.yaml");
    assert!(yaml.is_some());
    assert_eq!(compile("smallest-in-toml.toml"), yaml);
    assert_eq!(compile("smallest-in-json.json"), yaml);
}

#[test]
fn what_stands_for_all_routes_stands_for_those_of_included_files_unless_these_say_otherwise() {
    struct Written;
    impl Files for Written {
        fn read(&self, path: &Path) -> Result<String, String> {
            let text = match path.to_str() {
                Some("gateway.yaml") => {
                    "include: [team/a.yaml, b.yaml]
defaults: { priority: 1, policies: [{ csrf: {} }, { json_limits: {} }] }
unmatched: { policies: [{ cors: { origins: '*' } }] }
routes: [{ name: own, path: /own, respond: {} }]"
                }
                Some("team/a.yaml") => {
                    "include: nested.yaml
defaults: { priority: 2, policies: [{ request_rules: { content_types: { allow: text/plain } } }, { csrf: {} }] }
routes: [{ name: a, path: /a, respond: {} }]
groups:
  - { name: g, defaults: { priority: 3, policies: [{ maintenance: {} }] }, routes: [{ name: grouped, path: /g, respond: {} }] }"
                }
                Some("team/nested.yaml") => "routes: [{ name: nested, path: /nested, priority: 4, respond: {} }]",
                Some("b.yaml") => "routes: [{ name: b, path: /b, respond: {}, policies: [{ csrf: {} }, { maintenance: {} }] }]",
                _ => return Err("no such file".to_owned()),
            };
            Ok(text.to_owned())
        }
    }
    let compiled = compile_with(Path::new("gateway.yaml"), &Written, &Options::default());
    let artefact = compiled.artefact.unwrap_or_else(|| panic!("{:?}", compiled.problems));
    let gateway = Gateway::load(artefact.into(), |_| None).expect("it loads");
    let policies = |list| gateway.policies(list).expect("it is there").iter().map(Policy::kind).collect::<Vec<_>>();
    let routes: Vec<_> =
        gateway.routes().all().map(|(_, route)| (route.name.clone(), policies(route.then.policies))).collect();
    let routes: Vec<_> = routes.iter().map(|(name, policies)| (name.as_str(), policies.as_slice())).collect();
    // Those of a higher priority come first.
    assert_eq!(
        routes,
        [
            ("nested", &["json_limits", "request_rules", "csrf"][..]),
            ("grouped", &["json_limits", "request_rules", "csrf", "maintenance"]),
            ("a", &["json_limits", "request_rules", "csrf"]),
            ("own", &["csrf", "json_limits"]),
            ("b", &["json_limits", "csrf", "maintenance"]),
        ]
    );
    assert_eq!(policies(gateway.globals().unmatched), ["cors"]);
}

/// One line per problem, and under it what else is said.
fn problems(entry: &Path) -> String {
    let compiled = compile_with(entry, &Disk, &Options::default());
    let folder = entry.parent().unwrap_or(Path::new(""));
    let mut out = String::new();
    for problem in &compiled.problems {
        let warning = if problem.severity == Severity::Warning { "warning: " } else { "" };
        let place = place(&compiled.sources, problem.at, folder);
        let _ = writeln!(out, "{place}: {warning}{}: {}", problem.code, short(&problem.message, folder));
        let _ = writeln!(out, "    at {}", if problem.path.is_empty() { "the top" } else { &problem.path });
        for (at, what) in &problem.related {
            let _ = writeln!(out, "    {}: {what}", self::place(&compiled.sources, *at, folder));
        }
        if let Some(help) = &problem.help {
            let _ = writeln!(out, "    help: {help}");
        }
    }
    let errors = compiled.problems.iter().any(|problem| problem.severity == Severity::Error);
    assert_eq!(
        compiled.artefact.is_none(),
        errors,
        "there is an artefact unless there is an error: {}",
        entry.display()
    );
    if out.is_empty() { "nothing\n".to_owned() } else { out }
}

fn place(sources: &Sources, at: Span, folder: &Path) -> String {
    let source = sources.get(at.file).expect("a problem is in a file");
    let path = source.path.strip_prefix(tidy(folder)).unwrap_or(&source.path);
    let start = sources.start(at);
    format!("{}:{}:{}", path.display(), start.line, start.column)
}

fn short(message: &str, folder: &Path) -> String {
    let folder = tidy(folder);
    let inside = message.replace(&format!("{}/", folder.display()), "");
    inside.replace(&format!("`{}`", folder.display()), "`.`")
}

/// As the compiler spells the paths of files: without `..`.
fn tidy(folder: &Path) -> PathBuf {
    folder.components().fold(PathBuf::new(), |mut path, component| {
        match component {
            std::path::Component::ParentDir => drop(path.pop()),
            component => path.push(component),
        }
        path
    })
}
