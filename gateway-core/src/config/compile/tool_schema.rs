//! The schemas of tools: those of a document as clients read them, without anything around.
//!
//! A client sees one schema alone, in JSON Schema 2020-12. So what it refers to comes with it, and what only OpenAPI 3.0 says
//! is said in the words of today.

use super::super::{
    node::{Node, Value},
    schemas::{Draft, Reading, Way},
};
use super::{Compile, mock::plain};
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;

/// Schemas that are written for one tool.
pub(super) struct ToolSchema {
    reading: Reading,
    /// The names of those that are referred to, by the addresses of their nodes.
    names: BTreeMap<usize, String>,
    definitions: Map<String, Json>,
}

impl ToolSchema {
    pub fn new(reading: Reading) -> Self {
        Self { reading, names: BTreeMap::new(), definitions: Map::new() }
    }

    /// A schema; what it refers to is kept for [`ToolSchema::finish`].
    pub fn convert<'a>(&mut self, all: &mut Compile<'a>, schema: &'a Node) -> Json {
        match &schema.value {
            Value::Bool(value) => json!(value),
            Value::Map(_) => Json::Object(self.object(all, schema)),
            Value::Null | Value::Integer(_) | Value::Float(_) | Value::Text(_) | Value::List(_) => json!({}),
        }
    }

    /// The schema of all arguments, or of the whole result: it must say itself that it is one of objects.
    pub fn root<'a>(&mut self, all: &mut Compile<'a>, schema: &'a Node) -> Map<String, Json> {
        self.object(all, schema)
    }

    /// Adds what was referred to.
    pub fn finish(self, whole: &mut Map<String, Json>) {
        if !self.definitions.is_empty() {
            whole.insert("$defs".to_owned(), Json::Object(self.definitions));
        }
    }

    fn object<'a>(&mut self, all: &mut Compile<'a>, schema: &'a Node) -> Map<String, Json> {
        let mut out = Map::new();
        if let Some(reference) = schema.get("$ref") {
            if let Some(target) = all.schemas.follow(schema, self.reading, all.problems) {
                let name = self.name(all, target, reference.text().unwrap_or_default());
                out.insert("$ref".to_owned(), json!(format!("#/$defs/{name}")));
            }
            if self.reading.draft == Draft::OpenApi30 {
                // OpenAPI 3.0 §4.7.23.1: what stands beside it says nothing.
                return out;
            }
        }
        let hidden = self.hidden(all, schema);
        for entry in schema.entries() {
            let (name, value) = (entry.name.as_str(), &entry.value);
            if LEFT_OUT.contains(&name) || name.starts_with("x-") {
                continue;
            }
            let converted = match name {
                "properties" | "patternProperties" | "dependentSchemas" => {
                    let mut members = Map::new();
                    for member in value.entries().iter().filter(|member| !hidden.contains(&member.name.as_str())) {
                        members.insert(member.name.clone(), self.convert(all, &member.value));
                    }
                    Json::Object(members)
                }
                "allOf" | "anyOf" | "oneOf" | "prefixItems" => {
                    Json::Array(value.items().iter().map(|item| self.convert(all, item)).collect())
                }
                "items"
                | "additionalProperties"
                | "not"
                | "if"
                | "then"
                | "else"
                | "contains"
                | "propertyNames"
                | "unevaluatedItems"
                | "unevaluatedProperties"
                | "additionalItems" => self.convert(all, value),
                "required" => {
                    let names = value.items().iter().filter_map(Node::text).filter(|name| !hidden.contains(name));
                    json!(names.collect::<Vec<_>>())
                }
                _ => plain(value),
            };
            out.insert(name.to_owned(), converted);
        }
        if out.get("required").and_then(Json::as_array).is_some_and(Vec::is_empty) {
            out.remove("required");
        }
        if self.reading.draft == Draft::OpenApi30 {
            modern(&mut out);
        }
        out
    }

    /// The members that are not there on this way: read-only ones of requests, write-only ones of responses.
    fn hidden<'a>(&self, all: &mut Compile<'a>, schema: &'a Node) -> Vec<&'a str> {
        let keyword = match self.reading.way {
            Way::Any => return Vec::new(),
            Way::Request => "readOnly",
            Way::Response => "writeOnly",
        };
        let mut names = Vec::new();
        for entry in schema.get("properties").map(Node::entries).unwrap_or_default() {
            let target = all.schemas.follow(&entry.value, self.reading, all.problems);
            let says = |node: &Node| node.get(keyword).is_some_and(|node| node.value == Value::Bool(true));
            if says(&entry.value) || target.is_some_and(says) {
                names.push(entry.name.as_str());
            }
        }
        names
    }

    fn name<'a>(&mut self, all: &mut Compile<'a>, target: &'a Node, reference: &str) -> String {
        let address = std::ptr::from_ref(target).addr();
        if let Some(known) = self.names.get(&address) {
            return known.clone();
        }
        let last = reference.rsplit(['/', '#']).next().unwrap_or_default();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let base: String = last.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
        let base = if base.is_empty() { "schema".to_owned() } else { base };
        let mut name = base.clone();
        let mut number = 2;
        while self.names.values().any(|known| *known == name) {
            name = format!("{base}_{number}");
            number += 1;
        }
        // Before it is looked into, since it may refer to itself.
        self.names.insert(address, name.clone());
        let definition = self.convert(all, target);
        self.definitions.insert(name.clone(), definition);
        name
    }
}

/// What says nothing to whoever sees one schema alone, or has been said.
const LEFT_OUT: [&str; 15] = [
    "$ref",
    "$defs",
    "definitions",
    "$id",
    "$schema",
    "$anchor",
    "$dynamicAnchor",
    "$dynamicRef",
    "$vocabulary",
    "$comment",
    "discriminator",
    "xml",
    "externalDocs",
    "readOnly",
    "writeOnly",
];

/// From the words of OpenAPI 3.0 to those of JSON Schema 2020-12.
fn modern(schema: &mut Map<String, Json>) {
    for (bound, exclusive) in [("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")] {
        match schema.get(exclusive) {
            Some(Json::Bool(true)) => {
                let number = schema.remove(bound);
                schema.remove(exclusive);
                schema.extend(number.map(|number| (exclusive.to_owned(), number)));
            }
            Some(Json::Bool(false)) => drop(schema.remove(exclusive)),
            Some(_) | None => {}
        }
    }
    if let Some(example) = schema.remove("example") {
        schema.insert("examples".to_owned(), json!([example]));
    }
    if schema.remove("nullable") == Some(json!(true)) {
        if let Some(Json::String(kind)) = schema.get("type").cloned() {
            drop(schema.insert("type".to_owned(), json!([kind, "null"])));
        }
        if let Some(Json::Array(values)) = schema.get_mut("enum")
            && !values.contains(&Json::Null)
        {
            values.push(Json::Null);
        }
    }
}
