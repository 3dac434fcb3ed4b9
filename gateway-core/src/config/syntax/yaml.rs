//! YAML 1.2, and of 1.1 its merge keys: events of the parser to a tree, with bounds on depth and on what aliases may grow to.

use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};

use super::{Entry, MAX_DEPTH, Node, Problem, Span, Value, duplicate_key, map, syntax_error, too_deep};

/// Aliases may repeat this many values in one file. More is an attack, or a case for `groups`.
const MAX_REPEATED: usize = 100_000;

pub(in crate::config) fn parse(file: usize, text: &str, problems: &mut Vec<Problem>) -> Option<Node> {
    let offsets = Offsets::new(text);
    let mut builder =
        Builder { file, text, problems, open: Vec::new(), root: None, anchors: HashMap::new(), repeated: 0 };
    let mut documents = 0;
    for event in Parser::new_from_str(text) {
        let (event, span) = match event {
            Ok(event) => event,
            Err(error) => {
                let at = offsets.byte(error.marker().index());
                let problem = syntax_error(around(file, text, at), sentence(error.info()));
                builder.problems.push(problem.maybe_help(help(text, at, error.info())));
                return None;
            }
        };
        let start = offsets.byte(span.start.index());
        let at = Span { file, start, end: offsets.byte(span.end.index()).max(start) };
        if let Event::DocumentStart(_) = event {
            documents += 1;
            if documents == 2 {
                let problem = syntax_error(at, "a second document starts here");
                builder.problems.push(problem.help("one file is one document: use `include` for more"));
                return None;
            }
        }
        if let Err(problem) = builder.take(event, at) {
            builder.problems.push(*problem);
            return None;
        }
    }
    Some(builder.root.unwrap_or(Node::new(Span { file, start: 0, end: 0 }, Value::Null)))
}

struct Builder<'a> {
    file: usize,
    text: &'a str,
    problems: &'a mut Vec<Problem>,
    open: Vec<Open>,
    root: Option<Node>,
    /// What an anchor names, how many values it has and how deep it is.
    anchors: HashMap<usize, (Node, usize, usize)>,
    repeated: usize,
}

/// A list or map whose end has not come yet.
struct Open {
    start: Span,
    anchor: usize,
    content: Content,
    /// What stands under `<<`.
    merged: Vec<Entry>,
    size: usize,
    depth: usize,
}

enum Content {
    List(Vec<Node>),
    Map(Vec<Entry>, Option<Key>),
}

/// The name of a value that has not come yet.
struct Key {
    name: String,
    at: Span,
    /// Whether it is the merge key (<https://yaml.org/type/merge.html>), which in quotes is a name like any other.
    merges: bool,
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, at: Span) -> Result<(), Box<Problem>> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let value = scalar(&text, style, tag.as_deref(), at)?;
                // The key's text is as written: `404:` is a name, not a number.
                if let Some(Open { content: Content::Map(_, key @ None), .. }) = self.open.last_mut() {
                    let merges = text == "<<" && style == ScalarStyle::Plain && tag.is_none();
                    *key = Some(Key { name: text.into_owned(), at, merges });
                    return Ok(());
                }
                self.put(Node::new(at, value), anchor, 1, 0)
            }
            Event::SequenceStart(anchor, tag) => self.open(at, anchor, tag.as_deref(), Content::List(Vec::new())),
            Event::MappingStart(anchor, tag) => self.open(at, anchor, tag.as_deref(), Content::Map(Vec::new(), None)),
            Event::SequenceEnd | Event::MappingEnd => self.close(at),
            Event::Alias(anchor) => {
                let Some((node, size, depth)) = self.anchors.get(&anchor) else {
                    return Err(
                        Problem::error("recursive-alias", at, "this alias stands inside what it repeats").into()
                    );
                };
                let (node, size, depth) = (node.clone(), *size, *depth);
                self.repeated += size;
                if self.repeated > MAX_REPEATED {
                    let message = format!("aliases repeat more than {MAX_REPEATED} values");
                    return Err(Problem::error("too-many-aliases", at, message)
                        .help("use `groups` with `defaults` for what many routes share")
                        .into());
                }
                if let Some(Open { content: Content::Map(_, None), .. }) = self.open.last() {
                    return Err(not_a_name(at).into());
                }
                self.put(node, 0, size, depth)
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {
                Ok(())
            }
        }
    }

    fn open(&mut self, start: Span, anchor: usize, tag: Option<&Tag>, content: Content) -> Result<(), Box<Problem>> {
        if let Some(tag) = tag
            && !(tag.is_yaml_core_schema() && matches!(tag.suffix.as_str(), "map" | "seq"))
        {
            return Err(unknown_tag(tag, start).into());
        }
        if let Some(Open { content: Content::Map(_, None), .. }) = self.open.last() {
            return Err(not_a_name(start).into());
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(too_deep(start).into());
        }
        self.open.push(Open { start, anchor, content, merged: Vec::new(), size: 1, depth: 0 });
        Ok(())
    }

    fn close(&mut self, at: Span) -> Result<(), Box<Problem>> {
        let Some(Open { start, anchor, content, merged, size, depth }) = self.open.pop() else { return Ok(()) };
        // The end of a block comes only with what follows it, so a block ends where its last value does.
        let flow = matches!(self.text.as_bytes().get(start.start), Some(b'[' | b'{'));
        let last = match &content {
            Content::List(items) => items.last().map(|item| item.at.end),
            Content::Map(entries, _) => {
                let last = entries.last().into_iter().chain(merged.last());
                last.map(|entry| entry.value.at.end.max(entry.name_at.end)).max()
            }
        };
        let end = if flow { at.start + 1 } else { last.unwrap_or(start.end) }.min(self.text.len());
        let whole = Span { file: self.file, start: start.start, end: end.max(start.start) };
        let node = match content {
            Content::List(items) => Node::new(whole, Value::List(items)),
            Content::Map(entries, _) => merge(map(whole, entries, self.problems), merged, self.problems),
        };
        self.put(node, anchor, size, depth)
    }

    fn put(&mut self, mut node: Node, anchor: usize, size: usize, depth: usize) -> Result<(), Box<Problem>> {
        if self.open.len() + depth > MAX_DEPTH {
            return Err(too_deep(node.at).into());
        }
        if let Some(parent) = self.open.last_mut() {
            parent.size += size;
            parent.depth = parent.depth.max(depth + 1);
        }
        let remember = |node: &Node| (node.clone(), size, depth);
        match self.open.last_mut().map(|open| (&mut open.content, &mut open.merged)) {
            None => self.root = Some(node),
            Some((Content::List(items), _)) => {
                if anchor > 0 {
                    self.anchors.insert(anchor, remember(&node));
                }
                items.push(node);
            }
            Some((Content::Map(entries, key), merged)) => {
                let Some(Key { name, at: name_at, merges }) = key.take() else { return Ok(()) };
                // A value that is not there has no place of its own.
                if node.value == Value::Null && node.at.start == node.at.end {
                    node.at = name_at;
                }
                if anchor > 0 {
                    self.anchors.insert(anchor, remember(&node));
                }
                let entries = if merges { merged } else { entries };
                entries.push(Entry { name, name_at, value: node });
            }
        }
        Ok(())
    }
}

/// Adds what maps under `<<` have and this one has not; of several maps the first counts.
fn merge(mut node: Node, merged: Vec<Entry>, problems: &mut Vec<Problem>) -> Node {
    let Value::Map(entries) = &mut node.value else { return node };
    let mut known: HashSet<String> = entries.iter().map(|entry| entry.name.clone()).collect();
    for (place, Entry { name, name_at, value }) in merged.iter().enumerate() {
        if place > 0 {
            problems.push(duplicate_key(name, *name_at, merged.first().map(|first| first.name_at)));
            continue;
        }
        for source in value.items() {
            node.damaged |= source.damaged;
            let Value::Map(others) = &source.value else {
                let problem = Problem::error("bad-merge", source.at, "only maps can be merged into a map");
                problems.push(problem.help("write `<<: *name` or `<<: [*one, *other]`, after the anchors of maps"));
                node.damaged = true;
                continue;
            };
            entries.extend(others.iter().filter(|other| known.insert(other.name.clone())).cloned());
        }
    }
    node
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>, at: Span) -> Result<Value, Box<Problem>> {
    match tag {
        Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => Ok(Value::Text(text.to_owned())),
        Some(tag) if tag.is_yaml_core_schema() && matches!(tag.suffix.as_str(), "null" | "bool" | "int" | "float") => {
            Ok(plain(text))
        }
        Some(tag) => Err(unknown_tag(tag, at).into()),
        None if style == ScalarStyle::Plain => Ok(plain(text)),
        None => Ok(Value::Text(text.to_owned())),
    }
}

/// The core schema of YAML 1.2, where `no` is a country.
fn plain(text: &str) -> Value {
    let float = || {
        let numeric = text.bytes().any(|b| b.is_ascii_digit())
            && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E'));
        text.parse().ok().filter(|_| numeric).map(Value::Float)
    };
    let integer = || match (text.strip_prefix("0x"), text.strip_prefix("0o")) {
        (Some(hexadecimal), _) => i64::from_str_radix(hexadecimal, 16).ok(),
        (_, Some(octal)) => i64::from_str_radix(octal, 8).ok(),
        (None, None) => text.parse().ok(),
    };
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => integer().map(Value::Integer).or_else(float).unwrap_or_else(|| Value::Text(text.to_owned())),
    }
}

fn unknown_tag(tag: &Tag, at: Span) -> Problem {
    Problem::error("unknown-tag", at, format!("the tag `{tag}` means nothing here")).help("remove the tag")
}

fn not_a_name(at: Span) -> Problem {
    Problem::error("not-a-name", at, "a name is needed here, as plain text")
        .help("a template or another text that starts with `{`, `[` or `*` needs quotes")
}

/// The parser's own words, as a sentence of ours.
fn sentence(info: &str) -> String {
    info.trim().trim_end_matches('.').to_owned()
}

fn help(text: &str, at: usize, info: &str) -> Option<String> {
    let line_start = text.get(..at)?.rfind('\n').map_or(0, |newline| newline + 1);
    let line = text.get(line_start..)?.lines().next().unwrap_or_default();
    let indentation = line.len() - line.trim_start().len();
    let value = line.split_once(": ").map_or(line, |(_, value)| value).trim_start().trim_start_matches("- ");
    if line.get(..indentation)?.contains('\t') {
        Some("YAML indents with spaces; this line starts with a tab".to_owned())
    } else if info.contains("flow") {
        Some("inside [ ] and { } a text with a bracket, a brace or a comma needs quotes".to_owned())
    } else if value.starts_with(['{', '[', '*', '&', '%', '@', '`', '!']) {
        Some("a text that starts with one of { [ * & % @ ` ! needs quotes".to_owned())
    } else if info.contains("did not find expected key") {
        Some("the names of one map begin in the same column: look at the indentation, here and above".to_owned())
    } else {
        None
    }
}

/// An error has a place without a length: the character there, or the last before the end.
fn around(file: usize, text: &str, at: usize) -> Span {
    let at = at.min(text.len());
    match text.get(at..).and_then(|rest| rest.chars().next()) {
        Some(c) => Span { file, start: at, end: at + c.len_utf8() },
        None => Span { file, start: text.trim_end().len(), end: text.trim_end().len() },
    }
}

/// The parser counts characters, we count bytes.
struct Offsets(Option<Vec<usize>>, usize);

impl Offsets {
    fn new(text: &str) -> Self {
        let table = (!text.is_ascii()).then(|| text.char_indices().map(|(at, _)| at).collect());
        Self(table, text.len())
    }

    fn byte(&self, character: usize) -> usize {
        match &self.0 {
            None => character.min(self.1),
            Some(table) => table.get(character).copied().unwrap_or(self.1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_cannot_grow_without_bound() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
        for level in 1..9 {
            let before = level - 1;
            let repeated = vec![format!("*a{before}"); 9].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{repeated}]\n"));
        }
        assert_eq!(codes(&text), ["too-many-aliases"]);
    }

    #[test]
    fn an_alias_of_itself_is_refused() {
        assert_eq!(codes("a: &a [1, *a]"), ["recursive-alias"]);
    }

    #[test]
    fn maps_are_merged_into_maps() {
        for (text, expected) in [
            ("{a: 1, <<: {a: 2, b: 3}}", "{a: 1, b: 3}"),
            ("{<<: {a: 2, b: 3}, a: 1}", "{a: 1, b: 3}"),
            ("{<<: [{a: 1}, {a: 2, b: 3}]}", "{a: 1, b: 3}"),
            ("{<<: {<<: {a: 1, b: 2}, b: 3}, c: 4}", "{c: 4, b: 3, a: 1}"),
            ("{<<: []}", "{}"),
            ("[&x {a: {b: 1, c: 2}}, {<<: *x, a: {b: 3}}]", "[{a: {b: 1, c: 2}}, {a: {b: 3}}]"),
        ] {
            assert_eq!(shown(text), shown(expected), "{text}");
        }
        assert_eq!(shown("{\"<<\": {a: 1}}"), r#"{"<<":{"a":1}}"#);
        for text in ["<<: 1", "<<:", "<<: [{}, a]", "<<: [[{}]]"] {
            assert_eq!(codes(text), ["bad-merge"], "{text}");
        }
        assert_eq!(codes("<<: {a: 1}\n<<: {b: 1}"), ["duplicate-key"]);
    }

    /// As JSON.
    fn shown(text: &str) -> String {
        fn show(node: &Node) -> serde_json::Value {
            match &node.value {
                Value::Integer(number) => (*number).into(),
                Value::List(items) => items.iter().map(show).collect(),
                Value::Map(entries) => entries
                    .iter()
                    .map(|entry| (entry.name.clone(), show(&entry.value)))
                    .collect::<serde_json::Map<_, _>>()
                    .into(),
                other => format!("{other:?}").into(),
            }
        }
        let mut problems = Vec::new();
        let root = parse(0, text, &mut problems).expect("it is valid");
        assert!(problems.is_empty(), "{text}: {problems:?}");
        show(&root).to_string()
    }

    #[test]
    fn depth_counts_through_aliases() {
        let half = format!("{}{}", "[".repeat(40), "]".repeat(40));
        assert_eq!(codes(&format!("a: &a {half}\nb: {}*a{}", "[".repeat(40), "]".repeat(40))), ["too-deep"]);
    }

    #[test]
    fn scalars_follow_the_core_schema() {
        for (text, value) in [
            ("no", Value::Text("no".into())),
            ("2.", Value::Float(2.0)),
            ("10s", Value::Text("10s".into())),
            ("0x1f", Value::Integer(31)),
            ("~", Value::Null),
            ("1e3", Value::Float(1000.0)),
            ("e", Value::Text("e".into())),
            (".", Value::Text(".".into())),
            ("nan", Value::Text("nan".into())),
        ] {
            assert_eq!(plain(text), value, "{text}");
        }
    }

    #[test]
    fn places_are_bytes_even_after_wide_characters_and_carriage_returns() {
        let text = "ä: ü\r\nbé:\r\n  - eins \r\n  - [zwei]  # c\r\nc: 'x'\r\n";
        let mut problems = Vec::new();
        let root = parse(0, text, &mut problems).expect("it is valid");
        let show = |at: Span| &text[at.start..at.end];
        let list = root.get("bé").expect("it is there").items();
        assert_eq!(show(list[0].at), "eins");
        assert_eq!(show(list[1].at), "[zwei]");
        assert_eq!(show(root.get("c").expect("it is there").at), "'x'");
        assert_eq!(show(root.get("bé").expect("it is there").at), "- eins \r\n  - [zwei]");
    }

    fn codes(text: &str) -> Vec<&'static str> {
        let mut problems = Vec::new();
        parse(0, text, &mut problems);
        problems.iter().map(|problem| problem.code).collect()
    }
}
