//! What messages must be like: from what was written to what runs.

use super::super::{
    documents,
    node::{
        Node,
        Step::{Field, Item},
        Value,
    },
    problem::{Problem, Span},
    schemas::{Draft, Reading, Way},
    written,
};
use super::{RouteCompiler, list_some, parameters};
use crate::{
    json::Limits,
    policy::{JsonLimits, Validate},
    route::Matcher,
    schema::keyword::kinds,
    validation::{
        Options, Rules,
        content::{Body, Content, FORM, Form, is_json},
        parameter::{Parameter, Place, Style},
    },
};

impl<'a> RouteCompiler<'_, 'a> {
    pub(super) fn validate(
        &mut self,
        written: &written::ValidatePolicy,
        node: &'a Node,
        paths: &[Matcher],
    ) -> Option<Validate> {
        if node.entries().is_empty() && !node.damaged {
            let problem = Problem::error("empty-policy", node.head(), "this policy says nothing of any request");
            self.all.problems.push(problem.help("write `body`, `path`, `query`, `headers` or `cookies`"));
            return None;
        }
        let reading = Reading {
            draft: match written.draft {
                None | Some(written::SchemaDraft::Draft202012) => Draft::Draft202012,
                Some(written::SchemaDraft::Draft7) => Draft::Draft7,
            },
            formats: written.formats == Some(written::Formats::Assert),
            way: Way::Any,
        };
        for remote in node.get("remotes").map(Node::entries).unwrap_or_default() {
            let Some(file) = remote.value.text() else { continue };
            let path = documents::beside(self.all.sources, remote.value.at, file);
            if let Some(why) = self.all.loaded.documents.get(&path).and_then(|document| document.why.as_ref()) {
                let message = format!("cannot read `{}`: {why}", path.display());
                self.all.problems.push(Problem::error("unreadable-file", remote.value.at, message));
            }
            self.all.schemas.remote(&remote.name, &path, reading, self.all.problems);
        }
        // Groups give one policy to many routes.
        let known = self.all.validated.get(&(node.at, reading)).cloned();
        let rules = match known {
            Some(rules) => rules,
            None => {
                let rules = Rules {
                    parameters: self.declared(node, reading),
                    body: written.body.as_ref().and_then(|body| self.body(body, node.get("body")?, reading)),
                };
                self.all.validated.insert((node.at, reading), rules.clone());
                rules
            }
        };
        for entry in node.get("path").map(Node::entries).unwrap_or_default() {
            for path in paths {
                let known = parameters(path);
                if !known.contains(&entry.name.as_str()) {
                    let message = format!("the path of this route has no parameter `{}`", entry.name);
                    let problem = Problem::error("unknown-parameter", entry.name_at, message);
                    let help = (!known.is_empty()).then(|| format!("there are {}", list_some(&known)));
                    self.all.problems.push(problem.maybe_help(help));
                    break;
                }
            }
        }
        let options = Options {
            status: written.status.map_or(400, |status| status.0),
            most: usize::from(written.errors.unwrap_or(MOST_ERRORS)),
            bytes: written.body.as_ref().and_then(|body| body.limit).map_or(MOST_BYTES, |size| size.bytes),
            closed_query: written.unknown_query == Some(written::Unknown::Refuse),
            duplicates: written.duplicate_keys == Some(written::DuplicateKeys::Allow),
        };
        self.all.features.insert("validation");
        Some(Validate { rules, options })
    }

    fn body(&mut self, written: &written::BodySchema, node: &'a Node, reading: Reading) -> Option<Body> {
        let schema_node = node.get("schema")?;
        let schema = self.all.schemas.inline(schema_node, reading, self.all.problems);
        let mut content = Vec::new();
        match &written.content_types {
            None => {
                for media_type in ["application/json", "application/*+json"] {
                    content.push(Content { media_type: media_type.to_owned(), form: Form::Json(schema) });
                }
            }
            Some(types) => {
                for (index, media_type) in types.0.iter().enumerate() {
                    let at = node.place([Field("content_types"), Item(index)]);
                    let media_type = media_type.0.to_ascii_lowercase();
                    let form = if media_type == FORM {
                        Form::Fields(schema, self.all.schemas.shape(schema_node, reading))
                    } else if is_json(&media_type) {
                        Form::Json(schema)
                    } else {
                        let message = format!("bodies of the type `{media_type}` cannot be checked");
                        let problem = Problem::error("bad-validate", at, message);
                        self.all.problems.push(problem.help(format!(
                            "what can is JSON and `{FORM}`; `request_rules` says which types are taken"
                        )));
                        continue;
                    };
                    let one = Content { media_type: media_type.clone(), form };
                    self.once(&mut content, one, &media_type, at);
                }
            }
        }
        Some(Body { required: written.required.unwrap_or(true), content })
    }

    fn declared(&mut self, node: &'a Node, reading: Reading) -> Vec<Parameter> {
        let mut all = Vec::new();
        for (field, place) in
            [("path", Place::Path), ("query", Place::Query), ("headers", Place::Header), ("cookies", Place::Cookie)]
        {
            for entry in node.get(field).map(Node::entries).unwrap_or_default() {
                let Some(schema_node) = entry.value.get("schema") else { continue };
                let schema = self.all.schemas.inline(schema_node, reading, self.all.problems);
                let shape = self.all.schemas.shape(schema_node, reading);
                let says = |name: &str| entry.value.get(name).map(|node| node.value == Value::Bool(true));
                let style = entry.value.get("style").and_then(Node::text);
                let at = entry.value.place([Field("style")]);
                let Some((style, explode)) = self.style(place, style, says("explode"), shape.kinds, at) else {
                    continue;
                };
                let name = if place == Place::Header { entry.name.to_ascii_lowercase() } else { entry.name.clone() };
                if all.iter().any(|known: &Parameter| known.place == place && known.name == name) {
                    self.same_header(&entry.name, entry.name_at);
                    continue;
                }
                let required = place == Place::Path || says("required").unwrap_or(false);
                all.push(Parameter { name, place, required, style, explode, shape, schema });
            }
        }
        all
    }

    /// How a parameter is written, in OpenAPI's words (3.1 §4.8.12.2).
    pub(super) fn style(
        &mut self,
        place: Place,
        written: Option<&str>,
        explode: Option<bool>,
        kind: u32,
        at: Span,
    ) -> Option<(Style, bool)> {
        let usual = if matches!(place, Place::Query | Place::Cookie) { "form" } else { "simple" };
        let name = written.unwrap_or(usual);
        let explode = explode.unwrap_or(name == "form" && place == Place::Query);
        let style = match (name, place) {
            ("form", Place::Query | Place::Cookie) | ("simple", Place::Path | Place::Header) => Style::Delimited,
            ("spaceDelimited", Place::Query) if !explode => Style::Spaces,
            ("pipeDelimited", Place::Query) if !explode => Style::Pipes,
            ("spaceDelimited" | "pipeDelimited", Place::Query) => Style::Delimited,
            ("deepObject", Place::Query) if kind & kinds::OBJECT != 0 => Style::Deep,
            ("deepObject", Place::Query) => {
                let message =
                    "`deepObject` is for objects, and the schema of this parameter does not say `type: object`";
                self.all.problems.push(Problem::error("bad-style", at, message));
                return None;
            }
            _ => {
                let message =
                    format!("the style `{name}` is not for parameters in the {}, or is not known here", place.name());
                let problem = Problem::error("bad-style", at, message);
                self.all.problems.push(problem.help(format!("write `{usual}`, or leave it out")));
                return None;
            }
        };
        Some((style, explode))
    }

    pub(super) fn json_limits(&mut self, written: &written::JsonLimitsPolicy) -> JsonLimits {
        self.all.features.insert("validation");
        JsonLimits {
            limits: Limits {
                depth: written.depth.unwrap_or(32),
                members: written.keys.unwrap_or(1000),
                items: written.items.unwrap_or(10_000),
                text: written.string.unwrap_or(u32::MAX),
                name: written.key.unwrap_or(256),
                duplicates: written.duplicate_keys == Some(written::DuplicateKeys::Allow),
            },
            bytes: written.size.map_or(MOST_BYTES, |size| size.bytes),
        }
    }
}

/// What a refusal tells where nothing else is said.
pub(super) const MOST_ERRORS: u16 = 10;

/// What is read of a body where nothing else is said.
pub(super) const MOST_BYTES: u64 = 1 << 20;
