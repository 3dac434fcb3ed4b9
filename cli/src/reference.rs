//! `postern schema` and `postern reference`: what a configuration may say, for editors and for people.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;

use gateway_core::config::{WARNINGS, schema as json_schema};
use serde_json::{Map, Value};

use crate::compile::replace;
use crate::outcome::{Failure, Outcome};

/// Prints the JSON Schema.
pub fn schema() -> Result<Outcome, Failure> {
    writeln!(io::stdout(), "{:#}", json_schema())?;
    Ok(Outcome::Fine)
}

/// Prints the Markdown.
pub fn markdown() -> Result<Outcome, Failure> {
    io::stdout().write_all(render(&json_schema()).as_bytes())?;
    Ok(Outcome::Fine)
}

/// Writes a page for each policy.
pub fn policies(folder: &Path) -> Result<Outcome, Failure> {
    let schema = json_schema();
    let all: Vec<Page<'_>> = pages(&schema).collect();
    for page in &all {
        replace(&folder.join(format!("{}.md", page.name)), page.render(&schema).as_bytes())?;
    }
    replace(&folder.join("README.md"), contents(&all).as_bytes())?;
    Ok(Outcome::Fine)
}

/// What is to be said of one policy.
struct Page<'a> {
    name: &'a str,
    /// One sentence.
    about: String,
    definition: &'a Value,
}

fn pages(schema: &Value) -> impl Iterator<Item = Page<'_>> {
    let alternatives = alternatives(&schema["$defs"]["Policy"]).into_iter().flatten();
    alternatives.filter_map(move |alternative| {
        let (name, field) = properties(alternative).next()?;
        let (_, definition) = resolve(schema, &field["$ref"])?;
        Some(Page { name, about: description(alternative), definition })
    })
}

impl Page<'_> {
    /// The policy first, then every kind of value that it leads to.
    fn render(&self, schema: &Value) -> String {
        let mut out = format!("{}# {}\n\n", WRITTEN, self.name);
        // Writing into a String cannot fail.
        let _ = writeln!(out, "{}\n", description(self.definition));
        let _ = write_fields(&mut out, self.definition);
        let (structures, texts): (Vec<_>, Vec<_>) =
            reached(schema, self.definition).into_iter().partition(|(_, definition)| !is_text(definition));
        for (name, definition) in structures {
            let _ = write_structure(&mut out, name, definition);
        }
        if !texts.is_empty() {
            let _ = write_texts(&mut out, &texts);
        }
        out
    }
}

fn contents(pages: &[Page<'_>]) -> String {
    let mut out = format!("{WRITTEN}{CONTENTS}");
    for page in pages {
        let _ = writeln!(out, "| [`{0}`]({0}.md) | {1} |", page.name, page.about);
    }
    out
}

const WRITTEN: &str = "<!-- Written by `make docs` from the doc comments in gateway-core/src/config/written/policy.rs; edit those. -->\n\n";

const CONTENTS: &str = "\
# Policies

What a route does to its requests on their way in, in the order in which the policies are written, and to its responses on
their way out, in reverse. A policy that saw a request sees its response, whoever made it. Three come first wherever they stand:
`cors`, `security_headers` and `error_pages`, so that refusals carry their headers and have their pages too. Every example on these pages is run by a test.

| Policy | |
| --- | --- |
";

/// The reference: the whole configuration first, then every kind of value in the order in which a reader meets it.
fn render(schema: &Value) -> String {
    let mut out = String::from(HEAD);
    // Writing into a String cannot fail.
    let _ = write_configuration(&mut out, schema);
    let (structures, texts): (Vec<_>, Vec<_>) =
        in_order(schema).into_iter().partition(|(_, definition)| !is_text(definition));
    for (name, definition) in structures {
        let _ = write_structure(&mut out, name, definition);
    }
    let _ = write_texts(&mut out, &texts);
    let _ = write_warnings(&mut out);
    out
}

const HEAD: &str = "\
<!-- Written by `make docs` from the doc comments in gateway-core/src/config/written.rs; edit those. -->

# The configuration

";

fn write_configuration(out: &mut String, schema: &Value) -> std::fmt::Result {
    writeln!(out, "{}\n", description(schema))?;
    writeln!(
        out,
        "Unknown fields are errors. `postern schema` prints this reference as a JSON Schema, with which editors complete and \
         check; `postern check` finds everything that is wrong, and says where. A field that is not marked as required may be \
         left out.\n"
    )?;
    write_fields(out, schema)
}

fn write_structure(out: &mut String, name: &str, definition: &Value) -> std::fmt::Result {
    writeln!(out, "\n## {name}\n\n{}\n", description(definition))?;
    match alternatives(definition) {
        Some(alternatives) => {
            writeln!(out, "| One of | |\n| --- | --- |")?;
            for alternative in alternatives {
                writeln!(out, "| {} | {} |", cell(&written(alternative)), cell(&description(alternative)))?;
            }
            Ok(())
        }
        None => write_fields(out, definition),
    }
}

fn write_fields(out: &mut String, definition: &Value) -> std::fmt::Result {
    writeln!(out, "| Field | Value | |\n| --- | --- | --- |")?;
    let required: Vec<_> = definition["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, field) in properties(definition) {
        let mark = if required.contains(&name.as_str()) { " **required**" } else { "" };
        let mut about = description(field);
        for example in field["examples"].as_array().into_iter().flatten() {
            let _ = write!(about, " Example: `{example}`");
        }
        writeln!(out, "| `{name}`{mark} | {} | {} |", cell(&kind(field)), cell(&about))?;
    }
    Ok(())
}

fn write_texts(out: &mut String, texts: &[(&str, &Value)]) -> std::fmt::Result {
    writeln!(out, "\n## Kinds of values\n\n| Kind | | Examples |\n| --- | --- | --- |")?;
    for (name, definition) in texts {
        // Where only some values are allowed, they are the best examples.
        let examples = definition.get("enum").unwrap_or(&definition["examples"]).as_array();
        let examples: Vec<_> = examples.into_iter().flatten().map(plain).collect();
        writeln!(
            out,
            "| <a id=\"{}\"></a>{name} | {} | {} |",
            name.to_lowercase(),
            cell(&description(definition)),
            cell(&examples.join(", "))
        )?;
    }
    Ok(())
}

fn write_warnings(out: &mut String) -> std::fmt::Result {
    writeln!(
        out,
        "\n## Warnings\n\nWhat is allowed but is hardly what was meant. `allow` in the configuration, in a group's defaults or \
         in a route says that it is.\n"
    )?;
    writeln!(out, "| Code | Warns of |\n| --- | --- |")?;
    for warning in WARNINGS {
        writeln!(out, "| `{}` | {} |", warning.code, cell(warning.about))?;
    }
    Ok(())
}

/// Every definition that the configuration leads to, nearest first.
fn in_order(schema: &Value) -> Vec<(&str, &Value)> {
    let mut found: Vec<(&str, &Value)> = Vec::new();
    let fields = properties(schema).map(|(_, field)| field);
    collect(schema, fields.collect(), &mut found);
    found
}

/// Every definition that one of them leads to, nearest first.
fn reached<'a>(schema: &'a Value, definition: &'a Value) -> Vec<(&'a str, &'a Value)> {
    let mut found = Vec::new();
    collect(schema, VecDeque::from([definition]), &mut found);
    found
}

fn collect<'a>(schema: &'a Value, mut waiting: VecDeque<&'a Value>, found: &mut Vec<(&'a str, &'a Value)>) {
    while let Some(value) = waiting.pop_front() {
        match value {
            Value::Object(object) => {
                if let Some((name, definition)) = object.get("$ref").and_then(|reference| resolve(schema, reference))
                    && !found.iter().any(|(known, _)| *known == name)
                {
                    found.push((name, definition));
                    waiting.push_back(definition);
                }
                waiting.extend(object.values());
            }
            Value::Array(items) => waiting.extend(items),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

fn resolve<'a>(schema: &'a Value, reference: &'a Value) -> Option<(&'a str, &'a Value)> {
    let name = target(reference)?;
    Some((name, schema["$defs"].get(name)?))
}

fn target(reference: &Value) -> Option<&str> {
    reference.as_str()?.strip_prefix("#/$defs/")
}

fn properties(definition: &Value) -> impl Iterator<Item = (&String, &Value)> {
    definition["properties"].as_object().into_iter().flat_map(Map::iter)
}

/// Alternatives that each have a meaning of their own.
fn alternatives(definition: &Value) -> Option<&Vec<Value>> {
    definition["oneOf"].as_array().or(definition["anyOf"].as_array())
}

/// One value, not a structure: a text, or a number of a fixed set.
fn is_text(definition: &Value) -> bool {
    definition["properties"].is_null() && alternatives(definition).is_none()
}

fn description(value: &Value) -> String {
    value["description"].as_str().unwrap_or_default().to_owned()
}

/// What a field takes, in words and links.
fn kind(field: &Value) -> String {
    if let Some(name) = target(&field["$ref"]) {
        return format!("[{name}](#{})", name.to_lowercase());
    }
    if let Some(branches) = field["anyOf"].as_array() {
        return match branches.as_slice() {
            [one, many] if many["items"] == *one => format!("{}, or a list of them", kind(one)),
            branches => branches.iter().map(kind).collect::<Vec<_>>().join(" or "),
        };
    }
    if let Some(values) = field["enum"].as_array() {
        return values.iter().map(plain).collect::<Vec<_>>().join(", ");
    }
    match field["type"].as_str() {
        Some("array") => format!("list of {}", kind(&field["items"])),
        Some("object") if field["additionalProperties"].is_object() => {
            let names = match &field["propertyNames"] {
                Value::Null => "text".to_owned(),
                names => kind(names),
            };
            format!("map: {names} → {}", kind(&field["additionalProperties"]))
        }
        Some("string") => "text".to_owned(),
        Some("integer") => match (field["minimum"].as_i64(), field["maximum"].as_i64()) {
            (Some(least), Some(most)) if most < i64::from(u16::MAX) => format!("number, {least} to {most}"),
            (Some(least), _) if least > i64::from(i32::MIN) => format!("number, from {least}"),
            _ => "number".to_owned(),
        },
        Some("boolean") => "`true` or `false`".to_owned(),
        Some(other) => other.to_owned(),
        None => String::new(),
    }
}

/// How an alternative is written down.
fn written(alternative: &Value) -> String {
    if let Some(constant) = alternative.get("const") {
        return plain(constant);
    }
    if alternative["properties"].is_null() {
        return kind(alternative);
    }
    properties(alternative).map(|(name, field)| format!("`{name}:` {}", kind(field))).collect::<Vec<_>>().join(", ")
}

/// A value as it stands in YAML.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    }
}

/// Text that does not break out of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
