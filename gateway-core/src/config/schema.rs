//! The JSON Schema of a configuration, and what in a tree does not follow it.
//!
//! The schema that editors read is the one that decides here, so the two cannot disagree. A validator from outside says
//! that something somewhere fails; this walk says everything that is wrong, where, and what to write instead.

use std::sync::OnceLock;

use schemars::{Schema, generate::SchemaSettings, transform::RecursiveTransform};
use serde_json::{Map, Value as Json};

use super::{
    format::{self, FORMATS, Format},
    node::{Entry, Node, Value, join_field, join_item},
    problem::{Problem, Span},
    suggest::closest,
    written,
};

/// The JSON Schema (draft 2020-12) of a configuration.
pub fn schema() -> Json {
    shared().clone()
}

/// Reports everything in a file's tree that does not follow the schema, and gives back what does: wrong parts are left
/// out, and whatever had one is marked as damaged. `None` when nothing is left.
pub(super) fn check(root: &Node, text: &str, problems: &mut Vec<Problem>) -> Option<Node> {
    Walk { root: shared(), text, problems }.check(root, shared(), "")
}

fn shared() -> &'static Json {
    static SCHEMA: OnceLock<Json> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let settings = SchemaSettings::draft2020_12().for_deserialize().with_transform(RecursiveTransform(simplify));
        let mut schema = settings.into_generator().into_root_schema_for::<written::File>();
        schema.insert("title".to_owned(), "Postern configuration".into());
        schema.into()
    })
}

/// Leaving a field out is the way to say nothing, not `null`; and the widths of Rust's numbers are nobody's concern.
fn simplify(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else { return };
    let bounds = match object.get("format").and_then(Json::as_str) {
        Some("int32") => Some((i64::from(i32::MIN), i64::from(i32::MAX))),
        Some("uint32") => Some((0, i64::from(u32::MAX))),
        Some("uint16") => Some((0, i64::from(u16::MAX))),
        Some("uint8") => Some((0, i64::from(u8::MAX))),
        // As wide as numbers get: no bound worth telling.
        Some("int64" | "uint64" | "double") => {
            object.remove("format");
            None
        }
        Some(_) | None => None,
    };
    if let Some((least, most)) = bounds {
        object.remove("format");
        object.entry("minimum").or_insert(least.into());
        object.entry("maximum").or_insert(most.into());
    }
    if let Some(Json::Array(types)) = object.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".to_owned(), only);
        }
    }
    if let Some(Json::Array(branches)) = object.get_mut("anyOf") {
        branches.retain(|branch| branch.get("type").and_then(Json::as_str) != Some("null"));
        if let [Json::Object(only)] = branches.as_slice() {
            let only = only.clone();
            object.remove("anyOf");
            for (keyword, value) in only {
                object.entry(keyword).or_insert(value);
            }
        }
    }
}

struct Walk<'a> {
    root: &'static Json,
    text: &'a str,
    problems: &'a mut Vec<Problem>,
}

/// One of the forms that a value may have.
#[derive(Clone, Copy)]
struct Form {
    schema: &'static Map<String, Json>,
    definition: Option<&'static str>,
}

impl Walk<'_> {
    fn check(&mut self, node: &Node, schema: &'static Json, path: &str) -> Option<Node> {
        let mut forms = Vec::new();
        self.forms(schema, None, &mut forms);
        if node.value == Value::Null {
            let problem = Problem::error("no-value", node.at, format!("{} has no value", place(path)));
            self.report(problem.path(path).help("write one, or remove the line"));
            return None;
        }
        let fitting: Vec<Form> = forms.iter().copied().filter(|form| form.takes(&node.value)).collect();
        if fitting.is_empty() {
            self.wrong_type(node, &forms, path);
            return None;
        }
        match &node.value {
            Value::Null | Value::Bool(_) => Some(node.clone()),
            Value::Float(number) => self.bounded(node, *number, fitting.first()?, path),
            Value::Integer(number) => self.number(node, *number, &fitting, path),
            Value::Text(text) => self.text(node, text, &fitting, &forms, path),
            Value::List(items) => self.list(node, items, fitting.first()?, path),
            Value::Map(entries) => match fitting.as_slice() {
                [form] => self.map(node, entries, form, path),
                variants => self.variant(node, entries, variants, path),
            },
        }
    }

    /// Follows references and alternatives down to forms that have a type.
    fn forms(&self, schema: &'static Json, definition: Option<&'static str>, out: &mut Vec<Form>) {
        let Some(object) = schema.as_object() else { return };
        if let Some(name) = object.get("$ref").and_then(Json::as_str).and_then(|target| target.strip_prefix("#/$defs/"))
        {
            let target = self.root.get("$defs").and_then(|definitions| definitions.get(name));
            return if let Some(target) = target {
                self.forms(target, Some(name), out)
            };
        }
        let alternatives = object.get("anyOf").or_else(|| object.get("oneOf")).and_then(Json::as_array);
        match alternatives {
            Some(alternatives) => alternatives.iter().for_each(|schema| self.forms(schema, definition, out)),
            None => out.push(Form { schema: object, definition }),
        }
    }

    fn number(&mut self, node: &Node, number: i64, forms: &[Form], path: &str) -> Option<Node> {
        let form = forms.first()?;
        let constants: Vec<&Json> = form.constants().collect();
        if !constants.is_empty() && !constants.iter().any(|constant| constant.as_i64() == Some(number)) {
            let known: Vec<String> = constants.iter().map(|constant| format!("`{constant}`")).collect();
            let message = format!("{} is {number}, which is not one of {}", place(path), known.join(", "));
            self.report(Problem::error("unknown-value", node.at, message).path(path));
            return None;
        }
        // The bounds are small whole numbers; a float holds them exactly.
        #[expect(clippy::cast_precision_loss, reason = "only compared with small bounds")]
        let value = number as f64;
        self.bounded(node, value, form, path)
    }

    fn bounded(&mut self, node: &Node, value: f64, form: &Form, path: &str) -> Option<Node> {
        let bound = |keyword: &str| form.schema.get(keyword).and_then(Json::as_f64);
        let (least, most) = (bound("minimum"), bound("maximum"));
        if least.is_some_and(|least| value < least) || most.is_some_and(|most| value > most) {
            let range = match (least, most) {
                (Some(least), Some(most)) => format!("from {least} to {most}"),
                (Some(least), None) => format!("at least {least}"),
                (None, Some(most)) => format!("at most {most}"),
                (None, None) => String::new(),
            };
            let message = format!("{} must be {range}, and is {value}", place(path));
            self.report(Problem::error("out-of-range", node.at, message).path(path));
            return None;
        }
        Some(node.clone())
    }

    fn text(&mut self, node: &Node, text: &str, fitting: &[Form], all: &[Form], path: &str) -> Option<Node> {
        if let Some(free) = fitting.iter().find(|form| form.constants().next().is_none()) {
            return match free.format().map(|format| (format, (format.check)(text))) {
                Some((format, Err(wrong))) => {
                    self.bad_format(format, wrong, node.at, text, path);
                    None
                }
                Some((_, Ok(()))) | None => Some(node.clone()),
            };
        }
        let known: Vec<&str> = fitting.iter().flat_map(Form::constants).filter_map(Json::as_str).collect();
        if known.contains(&text) {
            return Some(node.clone());
        }
        let message = if known.len() > MOST_NAMES {
            format!("`{text}` is not known here")
        } else {
            format!("{} must be {}, and is `{text}`", place(path), expected(all))
        };
        let mut help = closest(text, known.iter().copied()).map(|known| format!("did you mean `{known}`?"));
        if help.is_none() && known.len() > MOST_NAMES {
            help = Some(format!(
                "there are {}",
                known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
            ));
        }
        // A comparison with a fixed value is what one tries first.
        if help.is_none() && all.iter().any(|form| form.properties().is_some_and(|fields| fields.contains_key("exact")))
        {
            help = Some(format!("to compare with a value, write `{{ exact: {text} }}`"));
        }
        self.report(Problem::error("unknown-value", node.at, message).path(path).maybe_help(help));
        None
    }

    fn bad_format(&mut self, format: &Format, wrong: format::Wrong, at: Span, text: &str, path: &str) {
        // Only a text without escapes and quotes has its parts where the file has them.
        let written = self.text.get(at.start..at.end).unwrap_or_default();
        let at = match (wrong.part, written.find(text)) {
            (Some((start, end)), Some(offset)) => at.part(offset + start, offset + end),
            (Some(_) | None, _) => at,
        };
        self.report(Problem::error(format.code, at, wrong.message).path(path).maybe_help(wrong.help));
    }

    fn list(&mut self, node: &Node, items: &[Node], form: &Form, path: &str) -> Option<Node> {
        let least = form.schema.get("minItems").and_then(Json::as_u64).unwrap_or(0);
        if items.is_empty() && least > 0 {
            let problem = Problem::error("empty-list", node.at, format!("{} is an empty list", place(path)));
            self.report(problem.path(path).help("name at least one, or remove the field"));
            return None;
        }
        let Some(schema) = form.schema.get("items") else { return Some(node.clone()) };
        let mut kept = node.clone_place();
        let mut good = Vec::new();
        for (index, item) in items.iter().enumerate() {
            match self.check(item, schema, &join_item(path, index)) {
                Some(item) => {
                    kept.damaged |= item.damaged;
                    good.push(item);
                }
                None => kept.damaged = true,
            }
        }
        kept.value = Value::List(good);
        Some(kept)
    }

    fn map(&mut self, node: &Node, entries: &[Entry], form: &Form, path: &str) -> Option<Node> {
        let mut kept = node.clone_place();
        let mut good = Vec::new();
        for entry in entries {
            let path = join_field(path, &entry.name);
            let field = form.properties().and_then(|fields| fields.get(&entry.name));
            let value = match (field, form.schema.get("additionalProperties")) {
                (Some(schema), _) => self.check(&entry.value, schema, &path),
                (None, Some(Json::Bool(false))) => {
                    self.unknown_field(entry, form, &path);
                    None
                }
                (None, Some(schema)) => {
                    let name = self.map_name(entry, form, &path);
                    self.check(&entry.value, schema, &path).filter(|_| name)
                }
                (None, None) => Some(entry.value.clone()),
            };
            match value {
                Some(value) => {
                    kept.damaged |= value.damaged;
                    good.push(Entry { value, ..entry.clone_name() });
                }
                None => kept.damaged = true,
            }
        }
        let mut complete = true;
        for name in form.required() {
            // A misspelt one has been reported, with the right spelling.
            let misspelt = || {
                let unknown =
                    entries.iter().filter(|entry| form.properties().is_some_and(|all| !all.contains_key(&entry.name)));
                unknown.into_iter().any(|entry| closest(&entry.name, form.names()) == Some(name))
            };
            if !entries.iter().any(|entry| entry.name == name) && !misspelt() {
                let about =
                    form.properties().and_then(|fields| fields.get(name)).and_then(|field| self.first_sentence(field));
                let message = format!(
                    "`{name}` is missing{}",
                    if path.is_empty() { String::new() } else { format!(" in {}", place(path)) }
                );
                let help = about.map_or(format!("add `{name}`"), |about| format!("add `{name}`: {about}"));
                self.report(Problem::error("missing-field", node.head(), message).path(path).help(help));
            }
            complete &= good.iter().any(|entry| entry.name == name);
        }
        kept.value = Value::Map(good);
        complete.then_some(kept)
    }

    /// A value that is written as a map with one name, which says what kind of value it is.
    fn variant(&mut self, node: &Node, entries: &[Entry], variants: &[Form], path: &str) -> Option<Node> {
        let names: Vec<&str> = variants.iter().flat_map(Form::required).collect();
        let known = || names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        match entries {
            [] => {
                let message = format!("{} must say one of {}", place(path), known());
                self.report(Problem::error("missing-field", node.at, message).path(path));
                None
            }
            [entry] => match variants.iter().find(|form| form.required().any(|name| name == entry.name)) {
                Some(form) => self.map(node, entries, form, path),
                None => {
                    let message = format!("`{}` is not one of {}", entry.name, known());
                    let help =
                        closest(&entry.name, names.iter().copied()).map(|name| format!("did you mean `{name}`?"));
                    let path = join_field(path, &entry.name);
                    self.report(Problem::error("unknown-field", entry.name_at, message).path(path).maybe_help(help));
                    None
                }
            },
            [first, second, ..] => {
                let message = format!("{} can say only one of {}", place(path), known());
                let problem = Problem::error("several-kinds", second.name_at, message).path(path);
                self.report(problem.related(first.name_at, "one is here"));
                None
            }
        }
    }

    fn map_name(&mut self, entry: &Entry, form: &Form, path: &str) -> bool {
        let definition = form
            .schema
            .get("propertyNames")
            .and_then(|names| names.get("$ref"))
            .and_then(Json::as_str)
            .and_then(|target| target.strip_prefix("#/$defs/"));
        let Some(format) = FORMATS.iter().find(|format| Some(format.name) == definition) else { return true };
        match (format.check)(&entry.name) {
            Ok(()) => true,
            Err(wrong) => {
                self.bad_format(format, wrong, entry.name_at, &entry.name, path);
                false
            }
        }
    }

    fn unknown_field(&mut self, entry: &Entry, form: &Form, path: &str) {
        let known: Vec<&str> = form.names().filter(|name| !name.starts_with('$')).collect();
        let help = match closest(&entry.name, known.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None if known.len() > MOST_NAMES => "`postern schema` describes every field".to_owned(),
            None => {
                format!("what can stand here is {}", any_of(known.iter().map(|name| format!("`{name}`")).collect()))
            }
        };
        let message = format!("there is no field `{}` here", entry.name);
        self.report(Problem::error("unknown-field", entry.name_at, message).path(path).help(help));
    }

    fn wrong_type(&mut self, node: &Node, forms: &[Form], path: &str) {
        let found = match &node.value {
            Value::Null => "nothing".to_owned(),
            Value::Bool(value) => format!("`{value}`"),
            Value::Integer(_) | Value::Float(_) => {
                format!("the number `{}`", self.text.get(node.at.start..node.at.end).unwrap_or_default())
            }
            Value::Text(text) if text.chars().count() <= 40 => format!("the text `{text}`"),
            Value::Text(_) => "a text".to_owned(),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a map".to_owned(),
        };
        let wants = |kind: &str| forms.iter().any(|form| form.is(kind));
        let definition = forms.iter().find_map(|form| form.definition).unwrap_or_default();
        let help = match &node.value {
            Value::Bool(_) | Value::Integer(_) | Value::Float(_) if wants("string") => {
                let written = self.text.get(node.at.start..node.at.end).unwrap_or_default();
                format::instead(definition, &node.value).or_else(|| Some(format!("put it in quotes: `\"{written}\"`")))
            }
            Value::Text(text) if wants("integer") && text.parse::<i64>().is_ok() => {
                Some(format!("write it without quotes: `{text}`"))
            }
            Value::Text(text) if wants("boolean") => match text.to_ascii_lowercase().as_str() {
                "yes" | "on" | "true" => Some("write `true`".to_owned()),
                "no" | "off" | "false" => Some("write `false`".to_owned()),
                _ => None,
            },
            Value::Map(_) | Value::Text(_) if wants("array") => {
                Some("put it in a list: `[…]`, or lines that start with `- `".to_owned())
            }
            Value::List(items) if items.len() == 1 => Some("write the value without the list".to_owned()),
            Value::Null
            | Value::Bool(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Text(_)
            | Value::List(_)
            | Value::Map(_) => None,
        };
        let message = format!("{} must be {}, and is {found}", place(path), expected(forms));
        self.report(Problem::error("wrong-type", node.head(), message).path(path).maybe_help(help));
    }

    fn first_sentence(&self, schema: &'static Json) -> Option<String> {
        let text = schema.get("description").and_then(Json::as_str)?;
        let line = text.split("\n\n").next().unwrap_or(text).replace('\n', " ");
        let sentence = line.split(". ").next().unwrap_or(&line).trim_end_matches('.').to_owned();
        let mut characters = sentence.chars();
        characters.next().map(|first| first.to_lowercase().chain(characters).collect())
    }

    fn report(&mut self, problem: Problem) {
        self.problems.push(problem);
    }
}

impl Form {
    fn is(&self, kind: &str) -> bool {
        match self.schema.get("type") {
            Some(Json::String(name)) => name == kind,
            Some(Json::Array(names)) => names.iter().any(|name| name == kind),
            // Constants have the type that they are.
            Some(_) | None => self.constants().any(|constant| match constant {
                Json::String(_) => kind == "string",
                Json::Number(_) => kind == "integer",
                Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_) => false,
            }),
        }
    }

    fn takes(&self, value: &Value) -> bool {
        match value {
            Value::Null => false,
            Value::Bool(_) => self.is("boolean"),
            Value::Integer(_) => self.is("integer") || self.is("number"),
            Value::Float(_) => self.is("number"),
            Value::Text(_) => self.is("string"),
            Value::List(_) => self.is("array"),
            Value::Map(_) => self.is("object"),
        }
    }

    fn constants(&self) -> impl Iterator<Item = &'static Json> + use<> {
        let list = self.schema.get("enum").and_then(Json::as_array).into_iter().flatten();
        self.schema.get("const").into_iter().chain(list)
    }

    fn properties(&self) -> Option<&'static Map<String, Json>> {
        self.schema.get("properties").and_then(Json::as_object)
    }

    fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.properties().into_iter().flat_map(Map::keys).map(String::as_str)
    }

    fn required(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.schema.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str)
    }

    fn format(&self) -> Option<&'static Format> {
        FORMATS.iter().find(|format| Some(format.name) == self.definition)
    }
}

/// So many names in one line are more than help.
const MOST_NAMES: usize = 9;

/// What may stand somewhere, in words.
fn expected(forms: &[Form]) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut variants: Vec<String> = Vec::new();
    let mut add = |word: String| {
        if !words.contains(&word) {
            words.push(word);
        }
    };
    for form in forms {
        let mut constants = form.constants().peekable();
        if constants.peek().is_some() {
            constants.for_each(|constant| {
                add(format!("`{}`", constant.as_str().map_or(constant.to_string(), str::to_owned)))
            });
        } else if let Some(format) = form.format() {
            add(format.noun.to_owned());
        } else if form.is("string") {
            add("text".to_owned());
        } else if form.is("integer") {
            add("a whole number".to_owned());
        } else if form.is("boolean") {
            add("`true` or `false`".to_owned());
        } else if form.is("array") {
            add(if forms.len() > 1 { "a list of these" } else { "a list" }.to_owned());
        } else if form.is("object") {
            match (form.required().next(), form.properties()) {
                (Some(name), Some(fields)) if fields.len() == 1 => variants.push(format!("`{name}`")),
                _ => add("a map".to_owned()),
            }
        }
    }
    if !variants.is_empty() {
        words.push(format!("a map with {}", any_of(variants)));
    }
    any_of(words)
}

fn any_of(mut words: Vec<String>) -> String {
    match (words.pop(), words.as_slice()) {
        (Some(last), []) => last,
        (Some(last), before) => format!("{} or {last}", before.join(", ")),
        (None, _) => "nothing".to_owned(),
    }
}

/// The last step of a path, as one speaks of it.
fn place(path: &str) -> String {
    match path.rsplit('.').next() {
        Some("") | None => "the configuration".to_owned(),
        Some(step) => format!("`{step}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the walk does not know it would silently not check.
    #[test]
    fn the_schema_says_nothing_that_the_walk_does_not_check() {
        const KNOWN: &[&str] = &[
            "$defs",
            "$ref",
            "$schema",
            "additionalProperties",
            "anyOf",
            "const",
            "default",
            "description",
            "enum",
            "examples",
            "items",
            "maximum",
            "minItems",
            "minimum",
            "oneOf",
            "properties",
            "propertyNames",
            "required",
            "title",
            "type",
        ];
        fn visit(schema: &Json, name: Option<&str>) {
            let Some(object) = schema.as_object() else { return };
            for (keyword, value) in object {
                // Formats go by the definition's name; their patterns are for editors.
                let format = matches!(keyword.as_str(), "pattern" | "format")
                    && FORMATS.iter().any(|format| Some(format.name) == name);
                assert!(format || KNOWN.contains(&keyword.as_str()), "{keyword} in {object:?}");
                match keyword.as_str() {
                    "properties" => value.as_object().into_iter().flatten().for_each(|(_, schema)| visit(schema, None)),
                    "$defs" => {
                        value.as_object().into_iter().flatten().for_each(|(name, schema)| visit(schema, Some(name)))
                    }
                    "anyOf" | "oneOf" => value.as_array().into_iter().flatten().for_each(|schema| visit(schema, None)),
                    "items" | "additionalProperties" | "propertyNames" => visit(value, None),
                    _ => {}
                }
            }
        }
        visit(&schema(), None);
    }

    #[test]
    fn every_format_is_a_definition_and_every_free_text_definition_has_a_format() {
        let schema = schema();
        let definitions = schema["$defs"].as_object().expect("there are definitions");
        for format in FORMATS {
            assert!(definitions.contains_key(format.name), "{}", format.name);
        }
        for (name, definition) in definitions {
            if definition["type"] == "string" && definition.get("enum").is_none() {
                assert!(FORMATS.iter().any(|format| format.name == name), "{name}");
            }
        }
    }

    #[test]
    fn every_field_is_described() {
        fn visit(schema: &Json, place: &str) {
            for (name, field) in schema["properties"].as_object().into_iter().flatten() {
                // The one field of a variant is described by the variant.
                let described = field.get("description").is_some() || schema.get("description").is_some();
                assert!(described, "{place}.{name}");
            }
            for alternatives in ["anyOf", "oneOf"] {
                schema[alternatives].as_array().into_iter().flatten().for_each(|schema| visit(schema, place));
            }
        }
        let schema = schema();
        visit(&schema, "");
        for (name, definition) in schema["$defs"].as_object().expect("there are definitions") {
            assert!(definition.get("description").is_some(), "{name}");
            visit(definition, name);
        }
    }
}
