//! From what users write to what runs, and every problem in between.
//!
//! `compile` reads a configuration and the files it includes, and finds every problem in one pass. It is a native tool
//! behind the feature `compile`; what runs reads only the [`artefact`].
//!
//! ```text
//! text ─▶ node.rs: one tree with places, whatever the format
//!      ─▶ schema.rs: every wrong shape, from the schema that editors use
//!      ─▶ written.rs: what the user wrote, as types
//!      ─▶ compile.rs: what runs; the only file that sees both
//!      ─▶ secrets.rs: what should not stand in a file at all
//!      ─▶ lint.rs: what is allowed but is hardly what was meant
//!      ─▶ artefact
//! ```

pub mod artefact;

#[cfg(feature = "compile")]
mod compile;
#[cfg(feature = "compile")]
mod document;
#[cfg(feature = "compile")]
mod documents;
#[cfg(feature = "compile")]
pub mod expression;
#[cfg(feature = "compile")]
mod format;
#[cfg(feature = "compile")]
mod lint;
#[cfg(feature = "compile")]
mod load;
#[cfg(feature = "compile")]
mod node;
#[cfg(feature = "compile")]
mod pass;
#[cfg(feature = "compile")]
mod problem;
#[cfg(feature = "compile")]
mod protos;
#[cfg(feature = "compile")]
mod schema;
#[cfg(feature = "compile")]
mod schemas;
#[cfg(feature = "compile")]
mod secrets;
#[cfg(feature = "compile")]
mod source;
#[cfg(feature = "compile")]
pub(crate) mod suggest;
#[cfg(feature = "compile")]
mod syntax;
#[cfg(feature = "compile")]
pub mod written;

#[cfg(feature = "compile")]
pub use self::{
    pass::{Compiled, Options, Runtime, compile, compile_with},
    problem::{Problem, Severity, Span, WARNINGS, Warning},
    schema::schema,
    source::{Disk, Files, Location, Source, Sources, Text},
};

/// Reads a document that is no configuration of ours, as plain values: YAML, TOML or JSON, by its name.
///
/// # Errors
/// Every problem of its text, such as a name that comes twice, to be shown as those of a configuration are.
#[cfg(feature = "compile")]
pub fn read(path: &std::path::Path, files: &impl Files) -> Result<serde_json::Value, (Vec<Problem>, Sources)> {
    use serde::Deserialize;

    let (mut sources, mut problems) = (Sources::default(), Vec::new());
    let (file, outcome) = sources.add(path, files);
    let start = Span { file, start: 0, end: 0 };
    if let Err(why) = outcome {
        return Err((vec![Problem::error("unreadable", start, why)], sources));
    }
    let text = sources.get(file).map(|source| source.text.clone()).unwrap_or_default();
    let root = node::parse(file, path, &text, &mut problems);
    match root.map(|root| serde_json::Value::deserialize(&root)) {
        Some(Ok(value)) if problems.is_empty() => Ok(value),
        Some(Err(error)) => {
            problems.push(Problem::error("syntax", start, error.to_string()));
            Err((problems, sources))
        }
        Some(Ok(_)) | None => Err((problems, sources)),
    }
}

/// The rules for texts of the configuration, for tools that write some.
#[cfg(feature = "compile")]
pub mod formats {
    use super::format::{self, FORMATS};
    use crate::platform::Timestamp;

    /// A moment as the configuration writes it: a date, or a date and a time.
    pub fn moment(text: &str) -> Option<Timestamp> {
        format::moment(text).ok()
    }

    /// Whether a text is one of its kind (a definition of the schema, such as `Moment`), or why it is not and what to write.
    ///
    /// # Errors
    /// When it is not, or there is no such kind.
    pub fn check(kind: &str, text: &str) -> Result<(), String> {
        let format = FORMATS.iter().find(|format| format.name == kind).ok_or(format!("there is no kind `{kind}`"))?;
        (format.check)(text).map_err(|wrong| match wrong.help {
            Some(help) => format!("{}; {help}", wrong.message),
            None => wrong.message,
        })
    }
}
