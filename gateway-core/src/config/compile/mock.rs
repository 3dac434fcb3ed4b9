//! Mocks: from an OpenAPI document to the answers that it has examples or schemas for.

use super::super::{
    node::{Node, Value},
    problem::Span,
    schemas::{Reading, Way},
    written,
};
use super::{RouteCompiler, openapi::METHODS};
use crate::{
    path,
    policy::{
        Mock,
        mock::Answer,
        openapi::{Path, Unknown},
    },
    validation::content::is_json,
};
use serde_json::{Map, Value as Json, json};

/// How deep values are made; an optional member is left out below half of it, so that types that hold themselves end.
const DEEPEST: usize = 8;

impl<'a> RouteCompiler<'_, 'a> {
    pub(super) fn mock(&mut self, written: &written::MockPolicy, node: &'a Node) -> Option<Mock> {
        let named = node.get("document")?;
        let root = self.document(named)?;
        let draft = self.version(root, named)?;
        let reading = Reading { draft, formats: false, way: Way::Response };
        self.all.schemas.document(root, reading, self.all.problems);
        let base = match &written.base_path {
            Some(base) => base.0.trim_end_matches('/').to_owned(),
            None => self.server(root),
        };
        let mut paths: Vec<(Path, Span)> = Vec::new();
        let mut operations = Vec::new();
        for entry in root.get("paths").map(Node::entries).unwrap_or_default() {
            if entry.name.starts_with("x-") {
                continue;
            }
            let Some(segments) = self.segments(entry) else { continue };
            let Some(item) = self.follow(&entry.value, reading) else { continue };
            let mut known = Vec::new();
            for operation in item.entries().iter().filter(|entry| METHODS.contains(&entry.name.as_str())) {
                known.push((operation.name.to_ascii_uppercase(), u32::try_from(operations.len()).unwrap_or(u32::MAX)));
                operations.push(self.answers(&operation.value, reading));
            }
            paths.push((Path { segments, operations: known }, entry.name_at));
        }
        self.all.features.insert("validation");
        Some(Mock {
            base: path::normalise(&base).map_or(base.clone(), std::borrow::Cow::into_owned),
            paths: super::openapi::ranked(paths),
            operations,
            unknown: match written.unknown {
                Some(written::Unknown::Refuse) => Unknown::Refuse,
                None | Some(written::Unknown::Pass) => Unknown::Pass,
            },
        })
    }

    /// What an operation may be answered: successes first, in the order of their statuses.
    fn answers(&mut self, operation: &'a Node, reading: Reading) -> Vec<Answer> {
        let mut answers = Vec::new();
        for entry in operation.get("responses").map(Node::entries).unwrap_or_default() {
            let status = match (entry.name.as_str(), entry.name.parse::<u16>()) {
                ("default", _) => 500,
                (_, Ok(status @ 200..=599)) => status,
                (name, _) if name.len() == 3 && name.ends_with("XX") => {
                    u16::from(name.as_bytes()[0].saturating_sub(b'0')) * 100
                }
                _ => continue,
            };
            if !(200..=599).contains(&status) {
                continue;
            }
            let Some(response) = self.follow(&entry.value, reading) else { continue };
            let content = response.get("content").map(Node::entries).unwrap_or_default();
            if content.is_empty() || matches!(status, 204 | 205 | 304) {
                answers.push(Answer { status, media_type: None, name: String::new(), body: String::new() });
                continue;
            }
            for kind in content {
                for (name, body) in self.examples(&kind.value, &kind.name, reading) {
                    answers.push(Answer { status, media_type: Some(kind.name.clone()), name, body });
                }
            }
        }
        answers.sort_by_key(|answer| (answer.status >= 300, answer.status));
        answers
    }

    fn examples(&mut self, kind: &'a Node, media_type: &str, reading: Reading) -> Vec<(String, String)> {
        let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let write = |value: Json| match value {
            // What is no JSON is written as it stands.
            Json::String(text) if !is_json(&essence) => text,
            value => value.to_string(),
        };
        if let Some(example) = kind.get("example") {
            return vec![(String::new(), write(plain(example)))];
        }
        let mut examples = Vec::new();
        for entry in kind.get("examples").map(Node::entries).unwrap_or_default() {
            if let Some(value) = self.follow(&entry.value, reading).and_then(|example| example.get("value")) {
                examples.push((entry.name.clone(), write(plain(value))));
            }
        }
        if examples.is_empty() {
            let value = kind.get("schema").and_then(|schema| self.sample(schema, reading, 0));
            examples.push((String::new(), value.map(write).unwrap_or_default()));
        }
        examples
    }

    /// A value that fits a schema, as far as one can see; the document's own examples come first.
    fn sample(&mut self, schema: &'a Node, reading: Reading, depth: usize) -> Option<Json> {
        if depth > DEEPEST {
            return None;
        }
        let schema = self.follow(schema, reading)?;
        let first = schema.get("examples").and_then(|examples| match &examples.value {
            Value::List(items) => items.first(),
            _ => None,
        });
        let given = schema.get("example").or(first).or(schema.get("default")).or(schema.get("const"));
        if let Some(given) = given.or_else(|| schema.get("enum").and_then(|all| all.items().first())) {
            return Some(plain(given));
        }
        if let Some(all) = schema.get("allOf") {
            let mut whole = Map::new();
            for part in all.items().iter().chain(schema.get("properties").map(|_| schema)) {
                // The schema itself once more, for the members that stand beside `allOf`.
                let made = if std::ptr::eq(part, schema) {
                    self.object(schema, reading, depth)
                } else {
                    self.sample(part, reading, depth + 1)
                };
                match made? {
                    Json::Object(members) => whole.extend(members),
                    other => return Some(other),
                }
            }
            return Some(Json::Object(whole));
        }
        for field in ["oneOf", "anyOf"] {
            for branch in schema.get(field).map(Node::items).unwrap_or_default() {
                if let Some(made) = self.sample(branch, reading, depth + 1) {
                    return Some(made);
                }
            }
        }
        let kind = schema
            .get("type")
            .and_then(|kind| kind.items().iter().find_map(|kind| kind.text().filter(|kind| *kind != "null")));
        match kind {
            Some("object") => self.object(schema, reading, depth),
            Some("array") => {
                let count = usize::try_from(whole(schema, "minItems").unwrap_or(1)).unwrap_or(1).clamp(1, 10);
                let item = schema.get("items").and_then(|items| self.sample(items, reading, depth + 1));
                Some(Json::Array(item.map_or_else(Vec::new, |item| vec![item; count])))
            }
            Some("boolean") => Some(json!(true)),
            Some("integer") => Some(json!(least(schema, 1))),
            Some("number") => match schema.get("minimum").map(|node| &node.value) {
                Some(Value::Float(least)) => Some(json!(least)),
                _ => Some(json!(least(schema, 1))),
            },
            Some("string") => Some(Json::String(text(schema))),
            Some(_) => Some(Json::Null),
            None if schema.get("properties").is_some() => self.object(schema, reading, depth),
            None if schema.get("items").is_some() => {
                let item = schema.get("items").and_then(|items| self.sample(items, reading, depth + 1));
                Some(Json::Array(item.into_iter().collect()))
            }
            None => Some(json!({})),
        }
    }

    fn object(&mut self, schema: &'a Node, reading: Reading, depth: usize) -> Option<Json> {
        let required: Vec<&str> =
            schema.get("required").map(Node::items).unwrap_or_default().iter().filter_map(Node::text).collect();
        let mut members = Map::new();
        for entry in schema.get("properties").map(Node::entries).unwrap_or_default() {
            let is_required = required.contains(&entry.name.as_str());
            if !is_required && depth >= DEEPEST / 2 {
                continue;
            }
            // OpenAPI 3.0 §4.7.24.2: such members are for requests.
            let target = self.follow(&entry.value, reading);
            if target.is_some_and(|node| node.get("writeOnly").is_some_and(|node| node.value == Value::Bool(true))) {
                continue;
            }
            match self.sample(&entry.value, reading, depth + 1) {
                Some(value) => drop(members.insert(entry.name.clone(), value)),
                None if is_required => return None,
                None => {}
            }
        }
        Some(Json::Object(members))
    }
}

fn whole(schema: &Node, field: &str) -> Option<i64> {
    match schema.get(field)?.value {
        Value::Integer(number) => Some(number),
        _ => None,
    }
}

fn least(schema: &Node, usual: i64) -> i64 {
    let above = whole(schema, "exclusiveMinimum").map(|number| number.saturating_add(1));
    let least = whole(schema, "minimum").or(above);
    let most = whole(schema, "maximum").or(whole(schema, "exclusiveMaximum").map(|number| number.saturating_sub(1)));
    least.unwrap_or_else(|| most.map_or(usual, |most| most.min(usual)))
}

fn text(schema: &Node) -> String {
    let usual = match schema.get("format").and_then(Node::text) {
        Some("date-time") => "2026-01-01T00:00:00Z",
        Some("date") => "2026-01-01",
        Some("time") => "00:00:00Z",
        Some("duration") => "PT1H",
        Some("uuid") => "01890a5d-ac96-774b-bcce-b302099a8057",
        Some("email") => "someone@example.com",
        Some("hostname") => "example.com",
        Some("ipv4") => "192.0.2.1",
        Some("ipv6") => "2001:db8::1",
        Some("uri" | "uri-reference") => "https://example.com/",
        Some("byte") => "dGV4dA==",
        _ => "text",
    };
    let mut text = usual.to_owned();
    let bound = |field: &str| whole(schema, field).and_then(|bound| usize::try_from(bound).ok());
    while text.len() < bound("minLength").unwrap_or(0).min(10_000) {
        text.push('x');
    }
    if let Some(most) = bound("maxLength") {
        text.truncate(most);
    }
    text
}

/// A part of the document as JSON.
pub(super) fn plain(node: &Node) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::Bool(value) => json!(value),
        Value::Integer(number) => json!(number),
        Value::Float(number) => json!(number),
        Value::Text(text) => json!(text),
        Value::List(items) => Json::Array(items.iter().map(plain).collect()),
        Value::Map(entries) => {
            Json::Object(entries.iter().map(|entry| (entry.name.clone(), plain(&entry.value))).collect())
        }
    }
}
