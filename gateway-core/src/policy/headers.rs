//! Sets, appends and removes header fields.

use crate::http::Headers;
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

/// Changes to one block of fields: removals first, then replacements, then additions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HeaderEdits {
    /// Fields whose lines all go.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
    /// Fields of which one line is left, with this value.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<(String, Template)>,
    /// Fields that get one line more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub append: Vec<(String, Template)>,
}

impl HeaderEdits {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The fields of which nothing is left that was there before.
    pub fn replaced(&self) -> impl Iterator<Item = &str> {
        self.remove.iter().chain(self.set.iter().map(|(name, _)| name)).map(String::as_str)
    }

    /// Fills in the values.
    pub fn render(&self, scope: &Scope<'_>) -> Rendered<'_> {
        let fill = |fields: &'_ [(String, Template)]| fields.iter().map(|(_, value)| value.render(scope)).collect();
        Rendered { edits: self, set: fill(&self.set), append: fill(&self.append) }
    }
}

/// Changes whose values are known.
#[derive(Debug)]
pub struct Rendered<'a> {
    edits: &'a HeaderEdits,
    set: Vec<String>,
    append: Vec<String>,
}

impl Rendered<'_> {
    /// Makes the changes.
    pub fn apply(&self, headers: &mut Headers) {
        for name in &self.edits.remove {
            headers.remove(name);
        }
        for ((name, _), value) in self.edits.set.iter().zip(&self.set) {
            headers.set(name, value);
        }
        for ((name, _), value) in self.edits.append.iter().zip(&self.append) {
            headers.append(name, value);
        }
    }
}
