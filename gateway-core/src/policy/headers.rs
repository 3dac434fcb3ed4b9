//! Sets, appends, renames and removes header fields.

use crate::http::{Headers, Statuses, split_unquoted};
use crate::template::{Scope, Template};
use serde::{Deserialize, Serialize};

/// Changes to the fields of requests on their way to the upstream and of responses on their way back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HeaderPolicy {
    /// On the request.
    #[serde(skip_serializing_if = "HeaderEdits::is_empty")]
    pub request: HeaderEdits,
    /// On the response.
    #[serde(skip_serializing_if = "HeaderEdits::is_empty")]
    pub response: HeaderEdits,
}

/// Changes to one block of fields, in this order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HeaderEdits {
    /// Of responses: only those with these statuses are changed; none: all are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub statuses: Vec<Statuses>,
    /// Fields whose lines all go.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
    /// Fields whose lines get another name, in the place of those that have it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rename: Vec<(String, String)>,
    /// Fields of which one line is left, with this value, where they have any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub replace: Vec<(String, Template)>,
    /// Fields of which one line is left, with this value.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<(String, Template)>,
    /// Fields that get this value where they have none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub default: Vec<(String, Template)>,
    /// Fields that get one line more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub append: Vec<(String, Template)>,
    /// Fields of whose values some are left, whether they stand on lines of their own or with commas between.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dedupe: Vec<(String, Dedupe)>,
}

/// Which of the values of a field are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dedupe {
    /// The first.
    First,
    /// The last.
    Last,
    /// One of those that are the same, where the first of them stands.
    Unique,
}

impl HeaderEdits {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether responses with this status are changed.
    pub fn concern(&self, status: u16) -> bool {
        self.statuses.is_empty() || self.statuses.iter().any(|statuses| statuses.contain(status))
    }

    /// The fields of which nothing is left that was there before.
    pub fn replaced(&self) -> impl Iterator<Item = &str> {
        let renamed = self.rename.iter().flat_map(|(from, to)| [from, to]);
        let set = self.replace.iter().chain(&self.set).map(|(name, _)| name);
        self.remove.iter().chain(renamed).chain(set).map(String::as_str)
    }

    /// Whether the fields must be known to make the changes.
    pub fn reads(&self) -> bool {
        let looks =
            !(self.rename.is_empty() && self.replace.is_empty() && self.default.is_empty() && self.dedupe.is_empty());
        looks || self.templates().any(Template::asks_response)
    }

    /// Every value.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        self.written().map(|(_, value)| value)
    }

    /// The fields that are written, and what they get.
    pub fn written(&self) -> impl Iterator<Item = (&str, &Template)> {
        let all = self.replace.iter().chain(&self.set).chain(&self.default).chain(&self.append);
        all.map(|(name, value)| (name.as_str(), value))
    }

    /// Fills in the values.
    pub fn render(&self, scope: &Scope<'_>) -> Rendered<'_> {
        let fill = |fields: &'_ [(String, Template)]| fields.iter().map(|(_, value)| value.render(scope)).collect();
        Rendered {
            edits: self,
            replace: fill(&self.replace),
            set: fill(&self.set),
            default: fill(&self.default),
            append: fill(&self.append),
        }
    }
}

/// Changes whose values are known.
#[derive(Debug)]
pub struct Rendered<'a> {
    edits: &'a HeaderEdits,
    replace: Vec<String>,
    set: Vec<String>,
    default: Vec<String>,
    append: Vec<String>,
}

impl Rendered<'_> {
    /// Makes the changes.
    pub fn apply(&self, headers: &mut Headers) {
        for name in &self.edits.remove {
            headers.remove(name);
        }
        for (from, to) in &self.edits.rename {
            let lines: Vec<Vec<u8>> = headers.all(from).map(<[u8]>::to_vec).collect();
            if !lines.is_empty() {
                headers.remove(from);
                replace(headers, to, lines.iter().map(Vec::as_slice));
            }
        }
        for ((name, _), value) in self.edits.replace.iter().zip(&self.replace) {
            if headers.contains(name) {
                headers.set(name, value);
            }
        }
        for ((name, _), value) in self.edits.set.iter().zip(&self.set) {
            headers.set(name, value);
        }
        for ((name, _), value) in self.edits.default.iter().zip(&self.default) {
            if !headers.contains(name) {
                headers.set(name, value);
            }
        }
        for ((name, _), value) in self.edits.append.iter().zip(&self.append) {
            headers.append(name, value);
        }
        for (name, dedupe) in &self.edits.dedupe {
            // Some platforms have joined the lines already (RFC 9110 §5.3).
            let values: Vec<Vec<u8>> = headers.all(name).flat_map(members).map(<[u8]>::to_vec).collect();
            let unique = values.iter().enumerate().filter(|(at, value)| !values[..*at].contains(value));
            let left: Vec<&[u8]> = match dedupe {
                Dedupe::First => values.first().into_iter().map(Vec::as_slice).collect(),
                Dedupe::Last => values.last().into_iter().map(Vec::as_slice).collect(),
                Dedupe::Unique => unique.map(|(_, value)| value.as_slice()).collect(),
            };
            if left.len() < values.len() {
                headers.set(name, left.join(&b", "[..]));
            }
        }
    }
}

/// The members of a list; a comma in quotes is part of one (RFC 9110 §5.6.1, §5.6.4).
fn members(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    split_unquoted(line, b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

/// Puts lines in the place of those that a field has.
pub(crate) fn replace<'l>(headers: &mut Headers, name: &str, lines: impl Iterator<Item = &'l [u8]>) {
    headers.remove(name);
    lines.for_each(|line| headers.append(name, line));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_renamed_and_deduplicated() {
        let mut headers = Headers::from_block(b"a\x001\nb\x002\na\x003\nvary\0x, \"a,b\"\nvary\0y\nvary\0x\n".to_vec());
        let edits = HeaderEdits {
            rename: vec![("a".into(), "b".into()), ("c".into(), "vary".into())],
            replace: vec![("b".into(), Template::literal("4")), ("d".into(), Template::literal("4"))],
            dedupe: vec![("vary".into(), Dedupe::Unique), ("b".into(), Dedupe::Last)],
            ..HeaderEdits::default()
        };
        let replace = vec!["4".to_owned(), "4".to_owned()];
        Rendered { edits: &edits, replace, set: vec![], default: vec![], append: vec![] }.apply(&mut headers);
        let lines: Vec<_> = headers.iter().collect();
        assert_eq!(lines, [("b", &b"4"[..]), ("vary", b"x, \"a,b\", y")]);
    }
}
