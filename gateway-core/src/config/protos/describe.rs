//! Services of gRPC as an OpenAPI document: each method that takes one message and gives one is an operation at its own path,
//! and messages are what the JSON mapping of proto3 makes of them.

use prost_reflect::{Cardinality, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor};
use prost_types::method_options::IdempotencyLevel;
use serde_json::{Map, Value as Json, json};

use super::{
    super::compile::mcp::{IDEMPOTENT, READ_ONLY},
    Known,
};

/// The document. `names` are the services and methods that are called; `None`: all. `original`: whether fields are called as in the
/// `.proto` file.
pub(in super::super) fn document(known: &Known, names: Option<&[String]>, original: bool) -> Json {
    let mut messages = Messages { original, schemas: Map::new() };
    let mut paths = Map::new();
    let own = known.pool.services().filter(|service| known.own.iter().any(|own| own == service.parent_file().name()));
    for method in own.flat_map(|service| service.methods().collect::<Vec<_>>()) {
        let service = method.parent_service();
        let name = format!("{}/{}", service.full_name(), method.name());
        let is_named =
            names.is_none_or(|names| names.iter().any(|known| *known == name || known == service.full_name()));
        if !is_named || method.is_client_streaming() || method.is_server_streaming() {
            continue;
        }
        let content = |schema: Json| json!({ "application/json": { "schema": schema } });
        let mut operation = json!({
            "operationId": format!("{}.{}", service.name(), method.name()),
            "tags": [service.full_name(), service.name()],
            "description": comment(&method).unwrap_or_else(|| format!("Calls {name}.")),
            "requestBody": { "required": true, "content": content(messages.message(&method.input())) },
            "responses": { "200": { "description": "", "content": content(messages.message(&method.output())) } },
        });
        let proto = method.method_descriptor_proto();
        let level = proto.options.as_ref().map_or(IdempotencyLevel::IdempotencyUnknown, |of| of.idempotency_level());
        match level {
            IdempotencyLevel::NoSideEffects => operation[READ_ONLY] = json!(true),
            IdempotencyLevel::Idempotent => operation[IDEMPOTENT] = json!(true),
            IdempotencyLevel::IdempotencyUnknown => {}
        }
        paths.insert(format!("/{name}"), json!({ "post": operation }));
    }
    json!({
        "openapi": "3.1.0",
        "info": { "title": "services", "version": "1" },
        "paths": paths,
        "components": { "schemas": messages.schemas },
    })
}

struct Messages {
    original: bool,
    schemas: Map<String, Json>,
}

impl Messages {
    fn message(&mut self, message: &MessageDescriptor) -> Json {
        if let Some(known) = well_known(message.full_name()) {
            return known;
        }
        let name = message.full_name();
        if !self.schemas.contains_key(name) {
            // Before it is looked into, since it may hold itself.
            self.schemas.insert(name.to_owned(), Json::Null);
            let mut properties = Map::new();
            let mut required = Vec::new();
            for field in message.fields() {
                let called = if self.original { field.name() } else { field.json_name() };
                if field.cardinality() == Cardinality::Required {
                    required.push(called.to_owned());
                }
                let mut schema = self.field(&field);
                let said = comment_at(&field.parent_message().parent_file(), field.path());
                if let (Some(object), Some(said)) = (schema.as_object_mut(), said) {
                    object.insert("description".to_owned(), json!(said));
                }
                properties.insert(called.to_owned(), schema);
            }
            let mut schema = json!({ "type": "object", "properties": properties, "additionalProperties": false });
            if !required.is_empty() {
                schema["required"] = json!(required);
            }
            self.schemas.insert(name.to_owned(), schema);
        }
        json!({ "$ref": format!("#/components/schemas/{name}") })
    }

    fn field(&mut self, field: &FieldDescriptor) -> Json {
        if field.is_map() {
            let values = match field.kind() {
                Kind::Message(entry) => entry.map_entry_value_field(),
                _ => return json!({ "type": "object" }),
            };
            return json!({ "type": "object", "additionalProperties": self.single(&values) });
        }
        let single = self.single(field);
        if field.is_list() { json!({ "type": "array", "items": single }) } else { single }
    }

    fn single(&mut self, field: &FieldDescriptor) -> Json {
        match field.kind() {
            Kind::Message(message) => self.message(&message),
            Kind::Enum(values) => names(&values),
            kind => scalar(&kind),
        }
    }
}

fn names(values: &EnumDescriptor) -> Json {
    if values.full_name() == "google.protobuf.NullValue" {
        return json!({ "type": "null" });
    }
    let names: Vec<String> = values.values().map(|value| value.name().to_owned()).collect();
    // A number that nobody has named yet stays one.
    json!({ "anyOf": [{ "type": "string", "enum": names }, { "type": "integer" }] })
}

fn scalar(kind: &Kind) -> Json {
    match kind {
        Kind::Double | Kind::Float => {
            json!({ "anyOf": [{ "type": "number" }, { "enum": ["NaN", "Infinity", "-Infinity"] }] })
        }
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            json!({ "type": "integer", "minimum": i32::MIN, "maximum": i32::MAX })
        }
        Kind::Uint32 | Kind::Fixed32 => json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX }),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
            json!({ "type": ["string", "integer"], "pattern": "^-?[0-9]+$" })
        }
        Kind::Uint64 | Kind::Fixed64 => json!({ "type": ["string", "integer"], "pattern": "^[0-9]+$", "minimum": 0 }),
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::String => json!({ "type": "string" }),
        Kind::Bytes => json!({ "type": "string", "contentEncoding": "base64" }),
        Kind::Message(_) | Kind::Enum(_) => json!({}),
    }
}

/// The types that have forms of their own in JSON.
fn well_known(name: &str) -> Option<Json> {
    let or_null = |kind: &Kind| json!({ "anyOf": [scalar(kind), { "type": "null" }] });
    Some(match name.strip_prefix("google.protobuf.")? {
        "Timestamp" => json!({ "type": "string", "format": "date-time" }),
        "Duration" => json!({ "type": "string", "pattern": "^-?[0-9]+(\\.[0-9]+)?s$" }),
        "FieldMask" => json!({ "type": "string" }),
        "Struct" => json!({ "type": "object" }),
        "Value" => json!({}),
        "ListValue" => json!({ "type": "array" }),
        "Any" => json!({ "type": "object", "properties": { "@type": { "type": "string" } } }),
        "DoubleValue" => or_null(&Kind::Double),
        "FloatValue" => or_null(&Kind::Float),
        "Int64Value" => or_null(&Kind::Int64),
        "UInt64Value" => or_null(&Kind::Uint64),
        "Int32Value" => or_null(&Kind::Int32),
        "UInt32Value" => or_null(&Kind::Uint32),
        "BoolValue" => or_null(&Kind::Bool),
        "StringValue" => or_null(&Kind::String),
        "BytesValue" => or_null(&Kind::Bytes),
        _ => return None,
    })
}

fn comment(method: &MethodDescriptor) -> Option<String> {
    comment_at(&method.parent_service().parent_file(), method.path())
}

/// What stands before something in the `.proto` file.
fn comment_at(file: &prost_reflect::FileDescriptor, path: &[i32]) -> Option<String> {
    let info = file.file_descriptor_proto().source_code_info.as_ref()?;
    let location = info.location.iter().find(|location| location.path == path)?;
    let lines = location.leading_comments().lines().map(str::trim).collect::<Vec<_>>().join("\n");
    Some(lines.trim().to_owned()).filter(|text| !text.is_empty())
}
