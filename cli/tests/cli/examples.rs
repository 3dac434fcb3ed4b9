//! Every example does what its `try.txt` says, in each language it is written in.

use std::fs;
use std::path::{Path, PathBuf};

use crate::program::{Ran, postern, repository, run};

#[test]
fn every_example_is_without_problems() {
    for configuration in configurations() {
        let (folder, name) = parts(&configuration);
        let ran = run(folder, &["check", "--deny-warnings", "--config", name]);
        assert_eq!(ran.code, 0, "{}: {}", configuration.display(), ran.out);
    }
}

#[test]
fn every_example_does_what_it_says() {
    let mut tried = 0;
    for configuration in configurations() {
        let (folder, name) = parts(&configuration);
        // The same in another language is in a folder below.
        let script = [folder, folder.parent().expect("examples are in a folder")].map(|folder| folder.join("try.txt"));
        let script = script.iter().find(|file| file.is_file()).expect("every example has a try.txt");
        let text = fs::read_to_string(script).expect("it can be read");
        for block in text.split("\n\n") {
            let mut lines = block.lines().filter(|line| !line.starts_with('#'));
            let Some(command) = lines.next() else { continue };
            let command = command.strip_prefix("$ postern ").unwrap_or_else(|| panic!("{command} is no command"));
            let arguments = words(command);
            let ran = Ran::of(
                postern().current_dir(folder).args(arguments).args(["--config", name]).output().expect("it runs"),
            );
            let mut printed = ran.out.lines();
            for expected in lines {
                assert!(
                    printed.any(|line| line.contains(expected)),
                    "{}\n$ postern {command}\nexpected, in this order: {expected}\n{}{}",
                    configuration.display(),
                    ran.out,
                    ran.err,
                );
            }
            tried += 1;
        }
    }
    assert!(tried > 20, "only {tried} commands were tried");
}

#[test]
fn what_init_writes_does_what_the_quickstart_does() {
    // The starting files show the same routes, so they are tried in the same way.
    let folder = repository().join("cli/src/init");
    for name in ["gateway.yaml", "gateway.toml", "gateway.json"] {
        let ran = run(&folder, &["explain", "GET", "http://localhost/hello/you", "--config", name]);
        assert_eq!(ran.code, 0, "{name}: {}", ran.err);
        assert!(ran.out.contains("Route hello") && ran.out.contains("hello you"), "{}", ran.out);
        let ran = run(&folder, &["explain", "GET", "http://localhost/files/a/b", "--config", name]);
        assert!(ran.out.contains("GET http://127.0.0.1:9000/a/b"), "{}", ran.out);
    }
}

/// Every configuration that a folder of examples, or a folder in one, starts with.
fn configurations() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![repository().join("examples")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else if entry.path().file_stem().is_some_and(|name| name == "gateway") {
                found.push(entry.path());
            }
        }
    }
    assert!(found.len() >= 6, "{found:?}");
    found
}

fn parts(configuration: &Path) -> (&Path, &str) {
    let folder = configuration.parent().expect("a file is in a folder");
    (folder, configuration.file_name().and_then(|name| name.to_str()).expect("a plain name"))
}

/// The words of a shell command, with single quotes.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in command.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().expect("there is always one").push(c),
        }
    }
    words
}
