//! The programs that the tests run, built if need be, and what they take of the machine.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::Platform;

/// The repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// The `postern` tool. Builds it, the gateway for that platform and what runs it, once per test program: a build that
/// has nothing to do takes a moment. `POSTERN_BUILT=1` says that all has been built just now, as `make test` does.
pub fn postern(platform: Platform) -> Result<PathBuf, String> {
    static TOOL: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    static WORKERS: OnceLock<Result<(), String>> = OnceLock::new();
    static SPIN: OnceLock<Result<(), String>> = OnceLock::new();
    let is_built = std::env::var_os("POSTERN_BUILT").is_some();
    match platform {
        _ if is_built => {}
        Platform::Test => {}
        Platform::Workers => WORKERS.get_or_init(|| build("make", &["workers"])).clone()?,
        Platform::Spin => SPIN
            .get_or_init(|| build("tests/spin-host/build.sh", &[]).and_then(|()| build("make", &["component"])))
            .clone()?,
    }
    let tool = || {
        if !is_built {
            build(env!("CARGO"), &["build", "--quiet", "--package", "postern"])?;
        }
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
        Ok(root().join(target).join("debug/postern"))
    };
    TOOL.get_or_init(tool).clone()
}

fn build(program: &str, arguments: &[&str]) -> Result<(), String> {
    let mut command = if program.contains('/') && !program.starts_with('/') {
        Command::new(root().join(program))
    } else {
        Command::new(program)
    };
    // What cargo sets for this test is not meant for the build of something else.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST") || name == "LD_LIBRARY_PATH" {
            command.env_remove(name);
        }
    }
    let output = command.args(arguments).current_dir(root()).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("cannot run `{program}`: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("`{program} {}` failed: {said}", arguments.join(" ")))
}

/// A process and all that descend from it, by /proc.
pub fn family(pid: u32) -> Vec<u32> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(child) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        // `pid (name) state parent …`; the name may hold anything.
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse::<u32>().ok());
        parents.push((child, parent.unwrap_or_default()));
    }
    let mut family = vec![pid];
    let mut at = 0;
    while let Some(&parent) = family.get(at) {
        family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(child, _)| *child));
        at += 1;
    }
    family
}

/// Whether a process is there and has not ended; one that nobody has buried yet has.
pub fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')')
        .next()
        .and_then(|rest| rest.split_whitespace().next())
        .is_some_and(|state| state != "Z" && state != "X")
}

/// What a process is called.
pub fn name(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

/// The memory that a process has in RAM, in KiB: now, and the most since `forget_peak`.
pub fn memory(pid: u32) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let read = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    (read("VmRSS:").unwrap_or_default(), read("VmHWM:").unwrap_or_default())
}

/// How many files and sockets a process has open.
pub fn open_files(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// Has the peak of `memory` start anew.
pub fn forget_peak(pid: u32) {
    let _ = std::fs::write(format!("/proc/{pid}/clear_refs"), "5");
}
