//! What was measured: kept between runs, printed, and written into `docs/benchmarks.md`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// Everything that was measured on this machine, newest first where something was measured twice.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Results {
    tables: BTreeMap<String, Table>,
    reached: BTreeMap<String, Reached>,
}

/// A table of the documentation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Table {
    id: String,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
    /// Sentences below it.
    pub remarks: Vec<String>,
}

/// What was reached of a target.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Reached {
    value: f64,
    command: String,
}

/// A goal that was set before anything was built.
struct Target {
    id: &'static str,
    what: &'static str,
    now: f64,
    later: f64,
    unit: &'static str,
}

const TARGETS: &[Target] = &[
    Target { id: "G1", what: "instructions of a lookup, 100,000 ÷ 10 routes", now: 2.1, later: 1.25, unit: "" },
    Target {
        id: "P1",
        what: "picking one of 1,000 targets, the slowest way, one of them out of rotation",
        now: 200.0,
        later: 100.0,
        unit: " ns",
    },
    Target {
        id: "W1",
        what: "Workers: gateway without a policy ÷ JavaScript pass-through",
        now: 1.08,
        later: 1.03,
        unit: "",
    },
    Target {
        id: "W2",
        what: "Workers: full chain (10,000 routes, remembered ES256 token, rate limit, rewrite, 7 header edits) ÷ JavaScript pass-through",
        now: 1.35,
        later: 1.20,
        unit: "",
    },
    Target { id: "W3", what: "Workers: full chain ÷ hono with the same policies", now: 0.55, later: 0.45, unit: "" },
    Target {
        id: "W5",
        what: "Workers: full chain ÷ JavaScript rewrite with 5 header edits and no policy",
        now: 1.15,
        later: 1.05,
        unit: "",
    },
    Target { id: "W7", what: "Workers: refusals (404, 405) ÷ JavaScript hello", now: 1.15, later: 1.08, unit: "" },
    Target {
        id: "C1",
        what: "Workers: cold CPU at 10,000 routes over JavaScript hello",
        now: 80.0,
        later: 15.0,
        unit: " ms",
    },
    Target {
        id: "Z1",
        what: "Workers: bundle, gzipped, without optional abilities",
        now: 400.0,
        later: 200.0,
        unit: " KB",
    },
    Target {
        id: "O1",
        what: "Workers: access log, 1 % of traces and metrics on ÷ all of it off",
        now: 1.05,
        later: 1.02,
        unit: "",
    },
    Target {
        id: "S1",
        what: "Spin: routed answer at 10,000 routes ÷ hello component",
        now: 1.50,
        later: 1.10,
        unit: "",
    },
    Target { id: "S2", what: "Spin: proxied ÷ bare Rust proxy component", now: 1.25, later: 1.00, unit: "" },
];

impl Results {
    /// What earlier runs have left; nothing where there is no file that can be read.
    pub fn load(file: &Path) -> Self {
        std::fs::read(file).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    /// Leaves everything to later runs.
    pub fn save(&self, file: &Path) -> Result<(), String> {
        let text = serde_json::to_vec_pretty(self).map_err(|error| error.to_string())?;
        std::fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))
    }

    /// Prints a table and keeps it.
    pub fn keep(&mut self, table: Table) {
        println!("\n{table}");
        self.tables.insert(table.id.clone(), table);
    }

    /// Prints how far a target was reached and keeps that.
    pub fn reach(&mut self, id: &str, value: f64, command: &str) {
        if let Some(target) = TARGETS.iter().find(|target| target.id == id) {
            println!("{id} {}: {} ({})", target.what, target.show(value), target.verdict(value));
            self.reached.insert(id.to_owned(), Reached { value, command: command.to_owned() });
        }
    }

    /// The documentation with every marked table replaced by what was measured. A mark is `<!-- measured: ID -->`, and
    /// the table reaches to the next `<!-- end -->`. What was never measured stays as it is.
    pub fn write_into(&self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, id, old, after)) = next_mark(rest) {
            out.push_str(before);
            let fresh = if id == "targets" {
                Some(with_rows_of(old, &self.targets().to_string()))
            } else {
                self.tables.get(id).map(ToString::to_string)
            };
            match fresh {
                Some(table) => out.push_str(&format!("\n\n{table}\n")),
                None => out.push_str(old),
            }
            out.push_str(END);
            rest = after;
        }
        out.push_str(rest);
        out
    }

    fn targets(&self) -> Table {
        let mut table = Table::new("targets", &["", "what", "reached", "target", "then", "", "measured by"]);
        for target in TARGETS {
            let goal = |value: f64| target.show(value);
            let row = match self.reached.get(target.id) {
                Some(Reached { value, command }) => [
                    target.show(*value),
                    goal(target.now),
                    goal(target.later),
                    target.verdict(*value).to_owned(),
                    format!("`{command}`"),
                ],
                None => {
                    ["–".to_owned(), goal(target.now), goal(target.later), "not measured".to_owned(), String::new()]
                }
            };
            table.push([target.id.to_owned(), target.what.to_owned()].into_iter().chain(row).collect());
        }
        table
    }
}

/// The table of targets, where those that this run has not measured stand as the run before left them.
fn with_rows_of(old: &str, table: &str) -> String {
    let known = |line: &str| {
        let id = line.split('|').nth(1)?;
        old.lines().find(|old| line.contains("not measured") && old.split('|').nth(1) == Some(id))
    };
    table.lines().map(|line| known(line).unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

const MARK: &str = "<!-- measured: ";
const END: &str = "<!-- end -->";

/// The text up to and with the next mark, its name, what stands under it, and what follows its end.
fn next_mark(text: &str) -> Option<(&str, &str, &str, &str)> {
    let start = text.find(MARK)? + MARK.len();
    let length = text[start..].find(" -->")?;
    let open = start + length + " -->".len();
    let close = open + text[open..].find(END)?;
    Some((&text[..open], &text[start..start + length], &text[open..close], &text[close + END.len()..]))
}

impl Target {
    fn show(&self, value: f64) -> String {
        if self.unit.is_empty() { ratio(value) } else { format!("{}{}", number(value), self.unit) }
    }

    fn verdict(&self, value: f64) -> &'static str {
        // As shown: what rounds to the target has reached it.
        let value = (value * 100.0).round() / 100.0;
        if value <= self.later {
            "reached, and what comes then"
        } else if value <= self.now {
            "reached"
        } else {
            "missed"
        }
    }
}

impl Table {
    /// An empty table.
    pub fn new(id: &str, columns: &[&str]) -> Self {
        let columns = columns.iter().map(|&column| column.to_owned()).collect();
        Self { id: id.to_owned(), columns, rows: Vec::new(), remarks: Vec::new() }
    }

    /// Adds a row.
    pub fn push(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |at: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(at)).chain(self.columns.get(at));
            cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
        };
        let widths: Vec<_> = (0..self.columns.len()).map(width).collect();
        let line = |f: &mut fmt::Formatter<'_>, cells: &[String]| {
            for (cell, width) in cells.iter().zip(&widths) {
                write!(f, "| {cell:width$} ")?;
            }
            writeln!(f, "|")
        };
        line(f, &self.columns)?;
        line(f, &widths.iter().map(|width| "-".repeat(*width)).collect::<Vec<_>>())?;
        self.rows.iter().try_for_each(|row| line(f, row))?;
        if !self.remarks.is_empty() {
            writeln!(f, "\n{}", self.remarks.join(" "))?;
        }
        Ok(())
    }
}

/// A ratio, with two decimals.
pub fn ratio(value: f64) -> String {
    format!("{value:.2}")
}

/// A number with about three digits that count.
pub fn number(value: f64) -> String {
    match value.abs() {
        size if size < 10.0 => format!("{value:.2}"),
        size if size < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marked_tables_are_replaced_and_the_rest_is_kept() {
        let mut results = Results::default();
        let mut table = Table::new("a", &["x", "y"]);
        table.push(vec!["1".to_owned(), "long".to_owned()]);
        results.tables.insert("a".to_owned(), table);
        let text = "before\n<!-- measured: a -->old<!-- end -->\nbetween <!-- measured: b -->kept<!-- end -->";
        let written = results.write_into(text);
        assert_eq!(
            written,
            "before\n<!-- measured: a -->\n\n| x | y    |\n| - | ---- |\n| 1 | long |\n\n<!-- end -->\nbetween <!-- measured: b -->kept<!-- end -->"
        );
        assert_eq!(results.write_into(&written), written);
    }

    #[test]
    fn a_value_that_rounds_to_its_target_has_reached_it() {
        let verdict = |value| TARGETS[1].verdict(value);
        assert_eq!(verdict(1.0849), "reached");
        assert_eq!(verdict(1.0851), "missed");
        assert_eq!(verdict(1.0), "reached, and what comes then");
    }
}
