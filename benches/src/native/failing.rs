//! What clients notice when one of three origins fails under load, beside nginx: the table that a test prints.

use crate::results::{Results, Table};
use crate::run::Setup;
use std::process::Command;

/// Measures and writes the table `failures`.
pub fn measure(setup: &Setup, results: &mut Results) -> Result<(), String> {
    let output = Command::new("cargo")
        .args([
            "test",
            "--quiet",
            "--package",
            "postern-tests",
            "--test",
            "upstreams",
            "--",
            "--ignored",
            "--nocapture",
        ])
        .arg("beside_nginx")
        .current_dir(&setup.root)
        .output()
        .map_err(|error| format!("cargo: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(format!("{text}\n{}", String::from_utf8_lossy(&output.stderr)));
    }
    let mut rows = text
        .lines()
        .filter(|line| line.starts_with("| "))
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>());
    let head = rows.next().ok_or("the test has printed no table")?;
    let mut table = Table::new("failures", &head.iter().map(String::as_str).collect::<Vec<_>>());
    rows.for_each(|row| table.push(row));
    table.remarks.push("240 requests of 4 clients; from the eightieth on the first origin fails.".to_owned());
    results.keep(table);
    Ok(())
}
