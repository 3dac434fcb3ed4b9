//! JSON, with comments and trailing commas.

use jsonc_parser::{
    CollectOptions, ParseOptions,
    ast::{self, ObjectPropName},
    common::{Range, Ranged},
    errors::ParseErrorKind,
    parse_to_ast,
};

use super::{Entry, MAX_DEPTH, Node, Problem, Span, Value, cut, map, syntax_error, too_deep};

pub(in crate::config) fn parse(file: usize, text: &str, problems: &mut Vec<Problem>) -> Option<Node> {
    let options = ParseOptions {
        allow_comments: true,
        allow_trailing_commas: true,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    match parse_to_ast(text, &CollectOptions::default(), &options) {
        Ok(parsed) => {
            let root = match &parsed.value {
                Some(value) => node(file, value, 0, problems),
                None => Node::new(Span { file, start: 0, end: 0 }, Value::Null),
            };
            Some(root).filter(|_| !cut(problems))
        }
        Err(error) => {
            let at = span(file, error.range());
            problems.push(match error.kind() {
                ParseErrorKind::NestingDepthExceeded => too_deep(at),
                ParseErrorKind::UnterminatedObject => syntax_error(at.first_byte(), "this `{` is never closed"),
                ParseErrorKind::UnterminatedArray => syntax_error(at.first_byte(), "this `[` is never closed"),
                ParseErrorKind::ExpectedComma => syntax_error(at, "a comma is missing here"),
                kind => syntax_error(at, lower_case_start(&kind.to_string())),
            });
            None
        }
    }
}

fn node(file: usize, value: &ast::Value<'_>, depth: usize, problems: &mut Vec<Problem>) -> Node {
    let at = span(file, value.range());
    if depth > MAX_DEPTH {
        problems.push(too_deep(at));
        return Node::new(at, Value::Null);
    }
    let value = match value {
        ast::Value::StringLit(text) => Value::Text(text.value.to_string()),
        ast::Value::NumberLit(number) => match number.value.parse() {
            Ok(integer) => Value::Integer(integer),
            Err(_) => Value::Float(number.value.parse().unwrap_or(f64::INFINITY)),
        },
        ast::Value::BooleanLit(value) => Value::Bool(value.value),
        ast::Value::NullKeyword(_) => Value::Null,
        ast::Value::Array(array) => {
            Value::List(array.elements.iter().map(|item| node(file, item, depth + 1, problems)).collect())
        }
        ast::Value::Object(object) => {
            let entries: Vec<_> = object
                .properties
                .iter()
                .map(|property| {
                    let (name, range) = match &property.name {
                        ObjectPropName::String(name) => (name.value.to_string(), name.range),
                        ObjectPropName::Word(name) => (name.value.to_owned(), name.range),
                    };
                    Entry { name, name_at: span(file, range), value: node(file, &property.value, depth + 1, problems) }
                })
                .collect();
            return map(at, entries, problems);
        }
    };
    Node::new(at, value)
}

fn span(file: usize, range: Range) -> Span {
    Span { file, start: range.start, end: range.end.max(range.start) }
}

fn lower_case_start(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_lowercase().chain(characters).collect()).unwrap_or_default()
}
