//! One tree for YAML, TOML and JSON: plain values, each with its place in the file.

use std::path::Path;

use serde::{
    Deserializer,
    de::{
        IntoDeserializer, Visitor,
        value::{Error, MapAccessDeserializer, MapDeserializer, SeqDeserializer},
    },
    forward_to_deserialize_any,
};

use super::{
    problem::{Problem, Span},
    syntax,
};

/// A value and where it is.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub at: Span,
    pub value: Value,
    /// Something in it was wrong and has been left out, so what seems to be missing may have been there.
    pub damaged: bool,
}

/// What all three formats can say.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A named value in a map; names are unique in their map.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub name: String,
    pub name_at: Span,
    pub value: Node,
}

/// Deeper trees are refused, so that whoever walks one may recurse.
pub(super) const MAX_DEPTH: usize = 64;

/// Reads a file's text; the format follows from the file's name. There is a tree unless its shape is unknown.
pub(super) fn parse(file: usize, path: &Path, text: &str, problems: &mut Vec<Problem>) -> Option<Node> {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let root = match extension.as_str() {
        "yaml" | "yml" => syntax::yaml::parse(file, text, problems),
        "toml" => syntax::toml::parse(file, text, problems),
        "json" | "jsonc" => syntax::json::parse(file, text, problems),
        _ => {
            let start = Span { file, start: 0, end: 0 };
            let message = format!("the format of `{}` is unknown", path.display());
            problems.push(
                Problem::error("unknown-format", start, message)
                    .help("name it .yaml, .yml, .toml or .json after what it is"),
            );
            return None;
        }
    }?;
    // A file of comments only is a configuration that says nothing.
    Some(if root.value == Value::Null { Node { value: Value::Map(Vec::new()), ..root } } else { root })
}

impl Node {
    pub fn new(at: Span, value: Value) -> Self {
        Self { at, value, damaged: false }
    }

    /// A node in the same place that says nothing yet.
    pub fn clone_place(&self) -> Self {
        Self { at: self.at, value: Value::Null, damaged: self.damaged }
    }

    /// The value of a field, if this is a map that has it.
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.entry(name).map(|entry| &entry.value)
    }

    /// A field with its name, if this is a map that has it.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.name == name)
    }

    /// The fields, if this is a map.
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::Text(_) | Value::List(_) => &[],
        }
    }

    /// The items of a list; anything else is a list of itself, because lists of one may be written without the list.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::Text(_) | Value::Map(_) => {
                std::slice::from_ref(self)
            }
        }
    }

    /// The text, if this is one.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// What is reached by these fields and items, if all of them exist.
    pub fn reach<'a>(&self, steps: impl IntoIterator<Item = Step<'a>>) -> Option<&Node> {
        steps.into_iter().try_fold(self, |node, step| match step {
            Step::Field(name) => node.get(name),
            Step::Item(index) => node.items().get(index),
        })
    }

    /// The place of what is reached by these fields and items; of the last that exists, if not all do.
    pub fn place<'a>(&self, steps: impl IntoIterator<Item = Step<'a>>) -> Span {
        let mut node = self;
        for step in steps {
            let Some(next) = node.reach([step]) else { break };
            node = next;
        }
        node.at
    }

    /// A place to point at when something is wrong with the whole: a map's first name rather than all its lines.
    pub fn head(&self) -> Span {
        match &self.value {
            Value::Map(entries) => match entries.first() {
                Some(first) if first.name_at.start == self.at.start => first.name_at,
                Some(_) | None => self.at,
            },
            Value::List(_) => self.at.first_byte(),
            Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::Text(_) => self.at,
        }
    }

    fn visit(&self, path: &str, see: &mut impl FnMut(&str, Span)) {
        see(path, self.at);
        match &self.value {
            Value::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    item.visit(&join_item(path, index), see);
                }
            }
            Value::Map(entries) => {
                for entry in entries {
                    let path = join_field(path, &entry.name);
                    see(&path, entry.name_at);
                    entry.value.visit(&path, see);
                }
            }
            Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::Text(_) => {}
        }
    }
}

impl Entry {
    /// An entry of the same name that says nothing yet.
    pub fn clone_name(&self) -> Self {
        Self { name: self.name.clone(), name_at: self.name_at, value: self.value.clone_place() }
    }
}

/// The paths to all parts of a tree, by place.
pub(super) struct Paths(Vec<(Span, String)>);

impl Paths {
    pub fn of(root: &Node) -> Self {
        let mut all = Vec::new();
        root.visit("", &mut |path, at| all.push((at, path.to_owned())));
        // Of those that begin together, the smallest comes last.
        all.sort_by_key(|(at, _)| (at.start, std::cmp::Reverse(at.end)));
        Self(all)
    }

    /// The path to the smallest part that holds a place: `routes[3].policies[0]`.
    pub fn to(&self, at: Span) -> &str {
        let begun = self.0.partition_point(|(part, _)| part.start <= at.start);
        let smallest = self.0[..begun].iter().rev().find(|(part, _)| at.end <= part.end);
        smallest.map_or("", |(_, path)| path)
    }
}

/// One step down a tree.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step<'a> {
    Field(&'a str),
    Item(usize),
}

/// `routes[3]` and `name` make `routes[3].name`.
pub(super) fn join_field(path: &str, name: &str) -> String {
    let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    match (path.is_empty(), plain) {
        (true, true) => name.to_owned(),
        (false, true) => format!("{path}.{name}"),
        (_, false) => format!("{path}[{name:?}]"),
    }
}

/// `routes` and 3 make `routes[3]`.
pub(super) fn join_item(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Integer(value) => match u64::try_from(*value) {
                Ok(value) => visitor.visit_u64(value),
                Err(_) => visitor.visit_i64(*value),
            },
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Text(text) => visitor.visit_borrowed_str(text),
            Value::List(items) => visitor.visit_seq(SeqDeserializer::new(items.iter())),
            Value::Map(entries) => visitor.visit_map(pairs(entries)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match &self.value {
            Value::Map(entries) => visitor.visit_enum(MapAccessDeserializer::new(pairs(entries))),
            Value::Text(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::List(_) => {
                self.deserialize_any(visitor)
            }
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Error> for &'de Node {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

fn pairs(entries: &[Entry]) -> MapDeserializer<'_, impl Iterator<Item = (&str, &Node)>, Error> {
    MapDeserializer::new(entries.iter().map(|entry| (entry.name.as_str(), &entry.value)))
}
