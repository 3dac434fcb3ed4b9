//! Counts instructions and cache misses with callgrind, which are the same on every run.
//!
//! This program starts itself under valgrind twice, with one round of the operations and with three. What two rounds
//! cost more is what the operations cost: setting up, and the first round in which routes are decoded, drop out.

use std::path::Path;
use std::process::{Command, Stdio};

/// What one operation costs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Counted {
    /// Instructions.
    pub instructions: f64,
    /// Misses of the first-level data cache, as callgrind simulates it.
    pub misses: f64,
}

/// Whether valgrind is here.
pub fn is_available() -> bool {
    let version = Command::new("valgrind").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

/// Counts what `postern-bench count <arguments> <rounds>` does in one of its operations.
pub fn count(arguments: &[String], operations: usize, scratch: &Path) -> Result<Counted, String> {
    let [one, three] = [1, 3].map(|rounds| total(arguments, rounds, scratch));
    let (one, three) = (one?, three?);
    let each = |at: usize| (three[at] - one[at]) / (2 * operations) as f64;
    Ok(Counted { instructions: each(0), misses: each(1) })
}

/// Instructions and data cache misses of a whole run.
fn total(arguments: &[String], rounds: usize, scratch: &Path) -> Result<[f64; 2], String> {
    let program = std::env::current_exe().map_err(|error| format!("where is this program: {error}"))?;
    let file = scratch.join(format!("callgrind.{}.{rounds}", std::process::id()));
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--cache-sim=yes", "--quiet"])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(program)
        .arg("count")
        .args(arguments)
        .arg(rounds.to_string())
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    if !output.status.success() {
        return Err(format!("{arguments:?} under valgrind: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let text = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let _ = std::fs::remove_file(&file); // Only scratch.
    read(&text).ok_or_else(|| "callgrind's output has no totals".to_owned())
}

/// `events: Ir Dr Dw I1mr D1mr D1mw …` names the columns of `totals: …`.
fn read(text: &str) -> Option<[f64; 2]> {
    let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    let columns: Vec<&str> = line("events: ")?.split_whitespace().collect();
    let totals: Vec<f64> = line("totals: ")?.split_whitespace().filter_map(|number| number.parse().ok()).collect();
    let of = |name| columns.iter().position(|column| *column == name).and_then(|at| totals.get(at).copied());
    Some([of("Ir")?, of("D1mr")? + of("D1mw")?])
}

#[cfg(test)]
mod tests {
    #[test]
    fn totals_are_read_by_their_columns() {
        let text = "version: 1\nevents: Ir Dr Dw I1mr D1mr D1mw\n\nfn=x\n1 2\ntotals: 10 4 3 2 5 6\n";
        assert_eq!(super::read(text), Some([10.0, 11.0]));
    }
}
