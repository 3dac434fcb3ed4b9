//! The three formats that a configuration may be written in.

pub(super) mod json;
pub(super) mod toml;
pub(super) mod yaml;

use super::{
    node::{Entry, MAX_DEPTH, Node, Value},
    problem::{Problem, Span},
};

/// Puts named values into a map, and reports the names that come twice: the first value stays.
fn map(at: Span, all: impl IntoIterator<Item = Entry>, problems: &mut Vec<Problem>) -> Node {
    let mut places = std::collections::HashMap::new();
    let mut entries = Vec::new();
    for entry in all {
        match places.entry(entry.name.clone()) {
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(entry.name_at);
                entries.push(entry);
            }
            std::collections::hash_map::Entry::Occupied(first) => {
                problems.push(duplicate_key(&entry.name, entry.name_at, Some(*first.get())));
            }
        }
    }
    Node::new(at, Value::Map(entries))
}

fn duplicate_key(name: &str, at: Span, first: Option<Span>) -> Problem {
    let problem = Problem::error("duplicate-key", at, format!("`{name}` is here a second time"))
        .help("keep one of the two, or put the values together");
    match first {
        Some(first) => problem.related(first, "it is first here"),
        None => problem,
    }
}

fn too_deep(at: Span) -> Problem {
    Problem::error("too-deep", at, format!("this is nested more than {MAX_DEPTH} levels deep"))
}

/// Whether a tree was cut off for its depth, so that what is left of it says little.
fn cut(problems: &[Problem]) -> bool {
    problems.iter().any(|problem| problem.code == "too-deep")
}

fn syntax_error(at: Span, message: impl Into<String>) -> Problem {
    Problem::error("syntax", at, message)
}
