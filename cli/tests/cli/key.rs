//! `postern key` and `postern password`: what they print goes into a configuration as it is.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use crate::program::{Folder, Ran, postern, run};

#[test]
fn a_key_is_shown_once_and_its_entry_goes_into_the_configuration() {
    let folder = Folder::new();
    let ran = run(folder.path(), &["key", "new", "--consumer", "alice", "--expires", "2099-01-31"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let key = ran.out.lines().find_map(|line| line.strip_prefix("# pk_")).expect("the key is shown");
    let key = format!("pk_{key}");
    assert_eq!(ran.out.matches(&key).count(), 1);
    let (prefix, secret) = key.rsplit_once('_').expect("it has a prefix");
    assert!(secret.len() == 33 && secret.bytes().all(|b| b.is_ascii_alphanumeric()), "{key}");
    assert!(ran.out.contains(&format!("prefix: {prefix}\n")), "{}", ran.out);

    let route =
        "routes:\n  - name: a\n    policies: [{ authenticate: { any_of: { api_key: {} } } }]\n    respond: {}\n";
    folder.write(
        "gateway.yaml",
        &format!("{}{route}", ran.out.lines().skip(4).map(|line| format!("{line}\n")).collect::<String>()),
    );
    let ran = run(folder.path(), &["check", "--deny-warnings"]);
    assert_eq!(ran.code, 0, "{}", ran.out);
    for (given, status) in [(key.as_str(), "200"), ("pk_wrong", "401")] {
        let header = format!("x-api-key: {given}");
        let ran = run(folder.path(), &["explain", "GET", "http://localhost/", "-H", &header]);
        assert!(ran.out.contains(status), "{given}: {}", ran.out);
    }
}

#[test]
fn every_key_is_another() {
    let folder = Folder::new();
    let key = || {
        let ran = run(folder.path(), &["key", "new", "--consumer", "a", "--prefix", "acme", "--format", "json"]);
        let line = ran.out.lines().find(|line| line.contains("\"key\"")).expect("there is a key").to_owned();
        assert!(line.contains("\"acme_"), "{line}");
        line
    };
    assert_ne!(key(), key());
}

#[test]
fn a_key_that_exists_is_hashed_from_standard_input() {
    let ran = fed(&["key", "hash", "--consumer", "alice"], "a-key-that-somebody-has-already\n");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("prefix: a-ke\n"), "{}", ran.out);
    assert!(!ran.out.contains("somebody"), "{}", ran.out);
    assert!(ran.out.contains(HASH), "{}", ran.out);
    assert_eq!(fed(&["key", "hash", "--consumer", "alice"], "short\n").code, 2);
    assert_eq!(fed(&["key", "hash", "--consumer", "alice"], "").code, 2);
    assert_eq!(
        fed(&["key", "hash", "--consumer", "alice", "--prefix", "b"], "a-key-that-somebody-has-already").code,
        2
    );
}

#[test]
fn keys_are_written_and_revoked_through_wrangler() {
    let folder = Folder::new();
    let tool =
        folder.write("node_modules/.bin/wrangler", "#!/bin/sh\nfor one in \"$@\"; do echo \"$one\"; done >> calls\n");
    std::fs::set_permissions(tool, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("it can be run");
    let arguments = ["key", "write", "--consumer", "alice", "--group", "partners,beta", "--expires", "1970-01-02"];
    let ran = run(folder.path(), &arguments);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let calls = || std::fs::read_to_string(folder.path().join("calls")).expect("it was called");
    let called = calls();
    let lines: Vec<_> = called.lines().collect();
    let ["kv", "key", "put", place, record, "--binding", "POSTERN_STORE", "--remote"] = lines[..] else {
        panic!("{called}")
    };
    let hash = place.strip_prefix("consumer/key/").expect("a key's place");
    assert!(record.contains(hash) && record.contains(r#""groups":["partners","beta"]"#), "{record}");
    assert!(record.contains(r#""expires":86400000"#), "{record}");
    let key = ran.out.lines().last().expect("the key is shown");
    assert!(key.starts_with("pk_") && !called.contains(key), "{key}");

    let ran = run(folder.path(), &["key", "revoke", "--hash", hash, "--binding", "KEYS", "--local"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(
        calls().ends_with(&format!("kv\nkey\ndelete\nconsumer/key/{hash}\n--binding\nKEYS\n--local\n")),
        "{}",
        calls()
    );
}

#[test]
fn a_key_is_not_shown_when_the_store_has_not_got_it() {
    let folder = Folder::new();
    let tool = folder.write("node_modules/.bin/wrangler", "#!/bin/sh\necho no such namespace >&2\nexit 1\n");
    std::fs::set_permissions(tool, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("it can be run");
    let ran = run(folder.path(), &["key", "write", "--consumer", "alice"]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    assert!(ran.err.contains("no such namespace"), "{}", ran.err);
}

#[test]
fn for_spin_the_pair_to_store_is_printed() {
    let ran = fed(&["key", "revoke", "--platform", "spin"], "a-key-that-somebody-has-already\n");
    assert_eq!((ran.code, ran.out), (0, format!("consumer/key/{HASH}={{}}\n")));
    let ran =
        fed(&["key", "write", "--consumer", "a", "--stdin", "--platform", "spin"], "a-key-that-somebody-has-already\n");
    let record = format!(r#"{{"name":"a","keys":[{{"hash":"{HASH}","prefix":"a-ke"}}]}}"#);
    assert_eq!((ran.code, ran.out), (0, format!("consumer/key/{HASH}={record}\n")));
}

#[test]
fn wrong_arguments_are_told() {
    let folder = Folder::new();
    for arguments in [
        ["key", "new", "--consumer", "a b"].as_slice(),
        &["key", "new", "--consumer", "a", "--expires", "tomorrow"],
        &["key", "new", "--consumer", "a", "--prefix", "a_b"],
        &["key", "new"],
        &["password", "hash", "--iterations", "1000000"],
    ] {
        assert_eq!(run(folder.path(), arguments).code, 2, "{arguments:?}");
    }
}

#[test]
fn a_password_is_hashed_with_salt() {
    let one = fed(&["password", "hash"], "open sesame\n");
    let other = fed(&["password", "hash"], "open sesame\n");
    assert_eq!(one.code, 0, "{}", one.err);
    assert!(one.out.starts_with("pbkdf2-sha256$10000$"), "{}", one.out);
    assert_ne!(one.out, other.out);
    assert!(fed(&["password", "hash", "--iterations", "2000"], "p").out.starts_with("pbkdf2-sha256$2000$"));
    assert_eq!(fed(&["password", "hash"], "\n").code, 2);
}

/// `printf %s a-key-that-somebody-has-already | sha256sum`
const HASH: &str = "33b8e16a48225f00b9e2ca90fb2ef2e6d06ca3cc4abcc1cb10aa0dad2a6f2b59";

fn fed(arguments: &[&str], input: &str) -> Ran {
    fed_in(Folder::new().path(), arguments, input)
}

/// Runs the program in a folder, with this on its standard input.
pub fn fed_in(folder: &Path, arguments: &[&str], input: &str) -> Ran {
    let mut command = postern();
    command.current_dir(folder);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program runs");
    child.stdin.take().expect("it is piped").write_all(input.as_bytes()).expect("it reads");
    Ran::of(child.wait_with_output().expect("it ends"))
}
