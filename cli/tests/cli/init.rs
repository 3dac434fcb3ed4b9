//! `postern init`.

use std::fs;

use crate::program::{Folder, run};

#[test]
fn what_it_writes_has_no_problems() {
    for (arguments, file) in [
        (&["init"][..], "gateway.yaml"),
        (&["init", "--format", "toml"], "gateway.toml"),
        (&["init", "--format", "json"], "gateway.json"),
        (&["init", "other.toml"], "other.toml"),
    ] {
        let folder = Folder::new();
        let ran = run(folder.path(), arguments);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""));
        assert!(ran.out.contains(file), "{}", ran.out);
        let ran = run(folder.path(), &["check", "--deny-warnings", "--config", file]);
        assert_eq!(ran.code, 0, "{}", ran.out);
    }
}

#[test]
fn it_never_overwrites() {
    let folder = Folder::new();
    let file = folder.write("gateway.yaml", "mine");
    let ran = run(folder.path(), &["init"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("`gateway.yaml` is there already"), "{}", ran.err);
    assert_eq!(fs::read_to_string(file).expect("it is still there"), "mine");
}
