//! TOML 1.1.

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Entry, MAX_DEPTH, Node, Problem, Span, Value, cut, duplicate_key, map, syntax_error, too_deep};

pub(in crate::config) fn parse(file: usize, text: &str, problems: &mut Vec<Problem>) -> Option<Node> {
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let range = error.span().unwrap_or(0..0);
        let at = Span { file, start: range.start.min(text.len()), end: range.end.clamp(range.start, text.len()) };
        problems.push(match error.message() {
            "duplicate key" => duplicate_key(text.get(at.start..at.end).unwrap_or_default(), at, None),
            "recursion limit" | "cannot recurse further; max recursion depth met" => too_deep(at),
            message => syntax_error(at, message),
        });
    }
    // What the parser makes of a wrong text is a guess: its other problems would be guesses too.
    let sound = errors.iter().all(|error| error.message() == "duplicate key");
    let at = Span { file, start: 0, end: text.len() };
    let root = sound.then(|| table_node(file, at, table.get_ref(), 0, problems));
    root.filter(|_| !cut(problems))
}

fn node(file: usize, value: &Spanned<DeValue<'_>>, depth: usize, problems: &mut Vec<Problem>) -> Node {
    let range = value.span();
    let at = Span { file, start: range.start, end: range.end };
    if depth > MAX_DEPTH {
        problems.push(too_deep(at));
        return Node::new(at, Value::Null);
    }
    let value = match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(integer) => Value::Integer(integer),
            Err(_) => Value::Float(integer.as_str().parse().unwrap_or(f64::INFINITY)),
        },
        DeValue::Float(float) => Value::Float(float.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Datetime(time) => Value::Text(time.to_string()),
        DeValue::Array(items) => Value::List(items.iter().map(|item| node(file, item, depth + 1, problems)).collect()),
        DeValue::Table(table) => return table_node(file, at, table, depth, problems),
    };
    Node::new(at, value)
}

fn table_node(file: usize, at: Span, table: &DeTable<'_>, depth: usize, problems: &mut Vec<Problem>) -> Node {
    let mut entries: Vec<_> = table
        .iter()
        .map(|(name, value)| Entry {
            name: name.get_ref().to_string(),
            name_at: Span { file, start: name.span().start, end: name.span().end },
            value: node(file, value, depth + 1, problems),
        })
        .collect();
    entries.sort_by_key(|entry| entry.name_at.start);
    map(at, entries, problems)
}
