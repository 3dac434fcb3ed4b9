//! The values for `${env:NAME}` and `${secret:NAME}`, as the platform would have them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use gateway_core::template::Reference;

/// What the configuration refers to, and what we have for it.
#[derive(Debug, Default)]
pub struct Variables {
    /// Name and value, of those that the configuration refers to.
    pub values: BTreeMap<String, String>,
    /// Those that have no value.
    pub missing: Vec<Reference>,
    /// Lines of the file that say nothing.
    pub problems: Vec<String>,
}

impl Variables {
    /// Looks in the environment, and then in the file beside the configuration. Only what the configuration refers to
    /// is taken.
    pub fn read(references: &[Reference], entry: &Path, environment: impl Fn(&str) -> Option<String>) -> Self {
        let mut variables = Self::default();
        let file = file_beside(entry);
        let known = match fs::read_to_string(&file) {
            Ok(text) => variables.parse(&file, &text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => {
                variables.problems.push(format!("cannot read `{}`: {error}", file.display()));
                BTreeMap::new()
            }
        };
        for reference in references {
            match environment(&reference.name).or_else(|| known.get(&reference.name).cloned()) {
                Some(value) => drop(variables.values.insert(reference.name.clone(), value)),
                None => variables.missing.push(reference.clone()),
            }
        }
        variables
    }

    /// The value of one.
    pub fn get(&self, reference: &Reference) -> Option<&str> {
        self.values.get(&reference.name).map(String::as_str)
    }

    /// `NAME=value` lines; comments, `export` and quotes as in a shell.
    fn parse(&mut self, file: &Path, text: &str) -> BTreeMap<String, String> {
        let mut values = BTreeMap::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match line.strip_prefix("export ").unwrap_or(line).split_once('=') {
                Some((name, value)) if is_name(name.trim()) => {
                    values.insert(name.trim().to_owned(), unquote(value.trim()));
                }
                Some(_) | None => {
                    self.problems.push(format!("`{}` line {}: expected NAME=value", file.display(), number + 1));
                }
            }
        }
        values
    }
}

/// Where the values are kept for development.
pub fn file_beside(configuration: &Path) -> PathBuf {
    configuration.with_file_name(".dev.vars")
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn unquote(value: &str) -> String {
    let inside = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
    if let Some(literal) = inside('\'') {
        return literal.to_owned();
    }
    if let Some(escaped) = inside('"') {
        return unescape(escaped);
    }
    // An unquoted value ends where a comment starts.
    value.split_once(" #").map_or(value, |(value, _)| value.trim_end()).to_owned()
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match (c, if c == '\\' { rest.next() } else { None }) {
            ('\\', Some('n')) => out.push('\n'),
            ('\\', Some(escaped)) => out.push(escaped),
            (c, _) => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_in_a_shell() {
        let mut variables = Variables::default();
        let values = variables.parse(
            Path::new(".dev.vars"),
            "# comment\nA=1\nexport B = two words # why\nC=\"a\\nb\"\nD='a\\nb'\nE=a=b\nF=\"\\\\n\\\"\"\nnonsense\n",
        );
        let expected = [("A", "1"), ("B", "two words"), ("C", "a\nb"), ("D", "a\\nb"), ("E", "a=b"), ("F", "\\n\"")];
        assert_eq!(values.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect::<Vec<_>>(), expected,);
        assert_eq!(variables.problems, ["`.dev.vars` line 8: expected NAME=value"]);
    }
}
