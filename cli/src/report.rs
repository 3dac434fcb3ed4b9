//! Shows problems: as a compiler would, as JSON, and as annotations of a pull request.

use std::borrow::Cow;
use std::fmt::Write;
use std::io;
use std::ops::Range;
use std::path::Path;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Renderer, Snippet};
use gateway_core::config::{Compiled, Problem, Severity, Source, Sources, Span};
use serde_json::{Value, json};

use crate::terminal::{Colour, Paint};

/// How many there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Those that stop the compilation.
    pub errors: usize,
    /// Those that do not.
    pub warnings: usize,
}

impl Count {
    /// Counts.
    pub fn of(problems: &[Problem]) -> Self {
        problems.iter().fold(Self::default(), |count, problem| match problem.severity {
            Severity::Error => Self { errors: count.errors + 1, ..count },
            Severity::Warning => Self { warnings: count.warnings + 1, ..count },
        })
    }
}

/// With excerpts, for people; an empty line after each problem.
pub fn human(problems: &[Problem], sources: &Sources, coloured: bool) -> String {
    let renderer = if coloured { Renderer::styled() } else { Renderer::plain() };
    let renderer = renderer.decor_style(DecorStyle::Ascii);
    let texts = texts(problems, sources);
    let mut text = String::new();
    for problem in problems {
        let group = excerpt(problem, sources, &texts);
        text.push_str(&renderer.render(&[group]));
        text.push_str("\n\n");
    }
    text
}

/// The last line: how it went.
pub fn summary(entry: &Path, count: Count, coloured: bool) -> String {
    let paint = Paint::new(coloured);
    let entry = entry.display();
    let many = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    match count {
        Count { errors: 0, warnings: 0 } => format!("{} {entry} has no problems", paint.green("ok:")),
        Count { errors: 0, warnings } => format!("{} {entry} has {}", paint.yellow("ok:"), many(warnings, "warning")),
        Count { errors, warnings: 0 } => format!("{} {entry} has {}", paint.red("failed:"), many(errors, "error")),
        Count { errors, warnings } => {
            format!("{} {entry} has {} and {}", paint.red("failed:"), many(errors, "error"), many(warnings, "warning"),)
        }
    }
}

/// The line behind it: which cargo features a gateway must have been built with, where it needs any.
pub fn needs(compiled: &Compiled) -> Option<String> {
    let needs_some = compiled.artefact.is_some() && !compiled.features.is_empty();
    needs_some.then(|| format!("needs: {}", compiled.features.join(", ")))
}

/// One document with all problems.
pub fn json(compiled: &Compiled) -> Value {
    let Compiled { artefact, features, problems, sources } = compiled;
    let count = Count::of(problems);
    json!({
        "errors": count.errors,
        "warnings": count.warnings,
        // Nobody knows what a configuration needs that has errors.
        "needs": artefact.as_ref().map(|_| features),
        "problems": problems.iter().map(|problem| {
            let mut value = place(problem.at, sources);
            value["code"] = problem.code.into();
            value["severity"] = severity(problem.severity).into();
            value["path"] = problem.path.as_str().into();
            value["message"] = problem.message.as_str().into();
            value["help"] = problem.help.as_deref().into();
            value["related"] = problem.related.iter().map(|(at, what)| {
                let mut value = place(*at, sources);
                value["message"] = what.as_str().into();
                value
            }).collect();
            value
        }).collect::<Vec<_>>(),
    })
}

/// One workflow command for each problem.
pub fn github(problems: &[Problem], sources: &Sources) -> String {
    let mut text = String::new();
    for problem in problems {
        let (start, end) = (sources.start(problem.at), sources.end(problem.at));
        let mut message = problem.message.clone();
        if let Some(help) = &problem.help {
            message.push_str("\nhelp: ");
            message.push_str(help);
        }
        for (at, what) in &problem.related {
            let _ = write!(message, "\n{}:{}: {what}", file(at.file, sources), sources.start(*at).line);
        }
        let _ = write!(
            text,
            "::{} file={},line={},endLine={},",
            severity(problem.severity),
            property(&file(problem.at.file, sources)),
            start.line,
            end.line,
        );
        // Columns of a place that spans lines mean nothing to GitHub.
        if start.line == end.line {
            let _ = write!(text, "col={},endColumn={},", start.column, end.column.max(start.column));
        }
        let _ = writeln!(text, "title={}::{}", property(problem.code), data(&message));
    }
    text
}

/// Why a command could not be carried out.
pub fn failure(why: &str, colour: Colour) {
    let paint = Paint::new(colour.on(&io::stderr()));
    eprintln!("{} {why}", paint.red("error:"));
}

/// What may be shown of each file: all but the secrets that were found in it, for whoever reads the log of a build.
fn texts<'a>(problems: &[Problem], sources: &'a Sources) -> Vec<Cow<'a, str>> {
    let mut texts: Vec<Cow<'a, str>> = sources.iter().map(|source| Cow::Borrowed(source.text.as_str())).collect();
    for problem in problems.iter().filter(|problem| problem.code == "literal-secret") {
        let Some(text) = texts.get_mut(problem.at.file) else { continue };
        // Byte for byte, line for line, so that every other place stays where it is.
        let range = problem.at.start..problem.at.end;
        if let Some(secret) = text.get(range.clone()) {
            let stars: String = secret.bytes().map(|b| if b == b'\n' { '\n' } else { '*' }).collect();
            text.to_mut().replace_range(range, &stars);
        }
    }
    texts
}

fn excerpt<'a>(problem: &'a Problem, sources: &'a Sources, texts: &'a [Cow<'a, str>]) -> Group<'a> {
    let level = match problem.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group =
        level.primary_title(problem.message.as_str()).id(problem.code).elements(snippets(problem, sources, texts));
    if let Some(help) = &problem.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    if problem.severity == Severity::Warning {
        group = group.element(Level::NOTE.message(format!("`allow: [{}]` says that it is meant", problem.code)));
    }
    group
}

/// One excerpt for each file that the problem touches, its own file first.
fn snippets<'a>(
    problem: &'a Problem,
    sources: &'a Sources,
    texts: &'a [Cow<'a, str>],
) -> Vec<Snippet<'a, Annotation<'a>>> {
    let mut files = vec![problem.at.file];
    for (at, _) in &problem.related {
        if !files.contains(&at.file) {
            files.push(at.file);
        }
    }
    files
        .into_iter()
        .filter_map(|file| sources.get(file).map(|source| (file, source)))
        .filter(|(_, source)| !source.text.is_empty())
        .map(|(file, source)| {
            let text = texts.get(file).map_or(source.text.as_str(), AsRef::as_ref);
            let snippet = Snippet::source(text).path(source.path.to_string_lossy());
            let own = (problem.at.file == file).then(|| AnnotationKind::Primary.span(visible(problem.at, source)));
            let others = problem
                .related
                .iter()
                .filter(move |(at, _)| at.file == file)
                .map(|(at, what)| AnnotationKind::Context.span(visible(*at, source)).label(what.as_str()));
            snippet.annotations(own.into_iter().chain(others))
        })
        .collect()
}

/// The part of a span that is worth underlining: its first line when it has several, because a whole route in an
/// excerpt hides what is said about it.
fn visible(span: Span, source: &Source) -> Range<usize> {
    let text = &source.text;
    let start = span.start.min(text.len());
    let end = span.end.clamp(start, text.len());
    let line = text.get(start..end).and_then(|part| part.lines().next()).unwrap_or_default();
    start..start + line.trim_end().len()
}

fn place(span: Span, sources: &Sources) -> Value {
    let (start, end) = (sources.start(span), sources.end(span));
    json!({
        "file": file(span.file, sources),
        "line": start.line,
        "column": start.column,
        "end_line": end.line,
        "end_column": end.column,
    })
}

fn file(file: usize, sources: &Sources) -> String {
    sources.get(file).map(|source| source.path.to_string_lossy().into_owned()).unwrap_or_default()
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// The escapes of a workflow command's message.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// The escapes of a workflow command's property.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
