//! Changes to a value, by path.

use super::blueprint::Blueprint;
use super::path::{Path, Step};
use super::value::Value;
use crate::json::Kind;
use crate::template::{Fill, Scope, Template};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// One change. What a path does not lead to is left alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Edit {
    /// These go.
    #[serde(rename = "rm")]
    Remove(Vec<Path>),
    /// A member gets another name, and keeps its place.
    #[serde(rename = "rn")]
    Rename(Vec<(Path, String)>),
    /// A value goes elsewhere; where there is no such place, it stays.
    #[serde(rename = "mv")]
    Move(Vec<(Path, Path)>),
    /// A value comes here, in the place of what is there; objects on the way to it are made, and a list where `-` follows.
    #[serde(rename = "set")]
    Set(Vec<(Path, Blueprint)>),
    /// A value comes here where something is, and takes its place.
    #[serde(rename = "rep")]
    Replace(Vec<(Path, Blueprint)>),
    /// A value comes here where nothing or `null` is.
    #[serde(rename = "def")]
    Default(Vec<(Path, Blueprint)>),
    /// Only these stay.
    #[serde(rename = "pick")]
    Pick(Vec<Path>),
    /// Strings that are addresses begin otherwise: the first of the prefixes that fits by whole segments counts.
    #[serde(rename = "ln")]
    Links(Vec<Path>, Vec<(String, Template)>),
}

impl Edit {
    /// The templates in it.
    pub fn templates(&self) -> Vec<&Template> {
        match self {
            Edit::Set(values) | Edit::Replace(values) | Edit::Default(values) => {
                values.iter().flat_map(|(_, blueprint)| blueprint.templates()).collect()
            }
            Edit::Links(_, prefixes) => prefixes.iter().map(|(_, to)| to).collect(),
            Edit::Remove(_) | Edit::Rename(_) | Edit::Move(_) | Edit::Pick(_) => Vec::new(),
        }
    }

    /// Makes the change. What blueprints take from the document, they take from it as it was before.
    pub fn apply<'a>(&self, value: &mut Value<'a>, source: impl Fn(&Value<'_>, &Blueprint) -> Option<Value<'static>>) {
        match self {
            Edit::Remove(paths) => paths.iter().for_each(|path| drop(take(value, path.steps()))),
            Edit::Rename(renames) => {
                for (path, name) in renames {
                    rename(value, path.steps(), name);
                }
            }
            Edit::Move(moves) => {
                for (from, to) in moves {
                    if !has_place(value, to.steps(), Some(from.steps())) {
                        continue;
                    }
                    if let Some(moved) = take(value, from.steps()) {
                        set(value, to.steps(), &moved, true);
                    }
                }
            }
            Edit::Set(values) => {
                for (path, blueprint) in values {
                    if let Some(new) = source(value, blueprint) {
                        set(value, path.steps(), &new, true);
                    }
                }
            }
            Edit::Replace(values) => {
                for (path, blueprint) in values {
                    if let Some(new) = source(value, blueprint) {
                        each(value, path.steps(), &mut |found| *found = new.clone());
                    }
                }
            }
            Edit::Default(values) => {
                for (path, blueprint) in values {
                    if let Some(new) = source(value, blueprint) {
                        set(value, path.steps(), &new, false);
                    }
                }
            }
            Edit::Pick(paths) => {
                let paths: Vec<&[Step]> = paths.iter().map(Path::steps).collect();
                if !pick(value, &paths) {
                    *value = match value.kind() {
                        Kind::List => Value::List(Vec::new()),
                        _ => Value::Object(Vec::new()),
                    };
                }
            }
            Edit::Links(paths, prefixes) => {
                let literal: Vec<(&str, Cow<'_, str>)> = prefixes
                    .iter()
                    .map(|(from, to)| (from.as_str(), to.as_literal().unwrap_or_default().into()))
                    .collect();
                for path in paths {
                    each(value, path.steps(), &mut |found| {
                        let text = match found {
                            Value::Part(json, part) if json.kind(*part) == Kind::Text => json.text(*part),
                            Value::Text(text) => text.clone(),
                            _ => return,
                        };
                        if let Some(new) = moved(&text, literal.iter().map(|(from, to)| (*from, to.as_ref()))) {
                            *found = Value::Text(new.into());
                        }
                    });
                }
            }
        }
    }

    /// The same with everything filled in that is known now.
    pub fn bind(&self, scope: &Scope<'_>) -> Self {
        let values = |values: &[(Path, Blueprint)]| {
            values.iter().filter_map(|(path, value)| Some((path.clone(), value.bind(scope)?))).collect()
        };
        match self {
            Edit::Set(all) => Edit::Set(values(all)),
            Edit::Replace(all) => Edit::Replace(values(all)),
            Edit::Default(all) => Edit::Default(values(all)),
            Edit::Links(paths, prefixes) => Edit::Links(
                paths.clone(),
                prefixes.iter().map(|(from, to)| (from.clone(), Template::literal(to.render(scope)))).collect(),
            ),
            Edit::Remove(_) | Edit::Rename(_) | Edit::Move(_) | Edit::Pick(_) => self.clone(),
        }
    }
}

/// What a blueprint is filled from, while a document is changed: the document itself, as it is then.
pub fn filled(source: &(impl Fill + ?Sized), blueprint: &Blueprint) -> Option<Value<'static>> {
    blueprint.build(source).map(Value::into_owned)
}

/// An address with another beginning, where one of these is its own, up to the end of a segment.
pub fn moved<'p>(address: &str, prefixes: impl Iterator<Item = (&'p str, &'p str)>) -> Option<String> {
    for (from, to) in prefixes {
        let Some(rest) = address.strip_prefix(from.trim_end_matches('/')) else { continue };
        if rest.is_empty() || rest.starts_with(['/', '?', '#']) {
            return Some(format!("{}{rest}", to.trim_end_matches('/')));
        }
    }
    None
}

/// Whether a path's last step is this member.
fn members<'v, 'a>(
    members: &'v mut [(Cow<'a, str>, Value<'a>)],
    name: &str,
) -> impl Iterator<Item = &'v mut Value<'a>> {
    members.iter_mut().filter(move |(member, _)| member == name).map(|(_, value)| value)
}

/// Visits every value that a path leads to.
fn each<'a>(value: &mut Value<'a>, steps: &[Step], then: &mut dyn FnMut(&mut Value<'a>)) {
    let Some((step, rest)) = steps.split_first() else { return then(value) };
    value.open();
    match (value, step) {
        (Value::Object(all), Step::Name(name)) => members(all, name).for_each(|value| each(value, rest, then)),
        (Value::Object(all), Step::Every) => all.iter_mut().for_each(|(_, value)| each(value, rest, then)),
        (Value::List(items), Step::Name(name)) => {
            if let Some(item) = name.parse::<usize>().ok().and_then(|index| items.get_mut(index)) {
                each(item, rest, then);
            }
        }
        (Value::List(items), Step::Every) => items.iter_mut().for_each(|item| each(item, rest, then)),
        (Value::Part(..) | Value::Raw(_) | Value::Text(_), _) => {}
    }
}

/// Takes away all that a path leads to; gives the first of it.
fn take<'a>(value: &mut Value<'a>, steps: &[Step]) -> Option<Value<'a>> {
    let (last, before) = steps.split_last()?;
    let mut taken = None;
    each(value, before, &mut |parent| {
        parent.open();
        match (parent, last) {
            (Value::Object(members), Step::Name(name)) => {
                for (_, value) in members.extract_if(.., |(member, _)| member == name) {
                    taken.get_or_insert(value);
                }
            }
            (Value::Object(members), Step::Every) => members.clear(),
            (Value::List(items), Step::Name(name)) => {
                if let Some(index) = name.parse::<usize>().ok().filter(|index| *index < items.len()) {
                    taken.get_or_insert(items.remove(index));
                }
            }
            (Value::List(items), Step::Every) => items.clear(),
            (Value::Part(..) | Value::Raw(_) | Value::Text(_), _) => {}
        }
    });
    taken
}

fn rename<'a>(value: &mut Value<'a>, steps: &[Step], new: &str) {
    let Some((Step::Name(name), before)) = steps.split_last() else { return };
    each(value, before, &mut |parent| {
        parent.open();
        let Value::Object(members) = parent else { return };
        if name == new || !members.iter().any(|(member, _)| member == name) {
            return;
        }
        members.retain(|(member, _)| member != new);
        for (member, _) in members.iter_mut().filter(|(member, _)| member == name) {
            *member = new.to_owned().into();
        }
    });
}

/// Puts a value wherever a path leads to, or only where nothing is there.
fn set<'a>(value: &mut Value<'a>, steps: &[Step], new: &Value<'a>, replaces: bool) {
    let Some((step, rest)) = steps.split_first() else {
        if replaces || value.is_null() {
            *value = new.clone();
        }
        return;
    };
    value.open();
    match (value, step) {
        (Value::Object(all), Step::Name(name)) => {
            if !all.iter().any(|(member, _)| member == name) {
                let Some(made) = made(rest) else { return };
                all.push((name.clone().into(), made));
            }
            members(all, name).for_each(|value| set(value, rest, new, replaces));
        }
        (Value::Object(all), Step::Every) => all.iter_mut().for_each(|(_, value)| set(value, rest, new, replaces)),
        (Value::List(items), Step::Name(name)) if name == "-" => {
            let Some(mut made) = made(rest) else { return };
            set(&mut made, rest, new, replaces);
            items.push(made);
        }
        (Value::List(items), Step::Name(name)) => {
            if let Some(item) = name.parse::<usize>().ok().and_then(|index| items.get_mut(index)) {
                set(item, rest, new, replaces);
            }
        }
        (Value::List(items), Step::Every) => items.iter_mut().for_each(|item| set(item, rest, new, replaces)),
        (Value::Part(..) | Value::Raw(_) | Value::Text(_), _) => {}
    }
}

/// What is made on the way, for these steps to lead on from. `None` where they would lead nowhere: `*` is every item of nothing.
fn made(steps: &[Step]) -> Option<Value<'static>> {
    match steps.first() {
        _ if steps.contains(&Step::Every) => None,
        None => Some(Value::NULL),
        Some(Step::Name(name)) if name == "-" => Some(Value::List(Vec::new())),
        Some(_) => Some(Value::Object(Vec::new())),
    }
}

/// Whether something can be put where these steps lead, once what the others lead to is gone.
fn has_place(value: &Value<'_>, steps: &[Step], gone: Option<&[Step]>) -> bool {
    let Some((step, rest)) = steps.split_first() else { return true };
    let Step::Name(name) = step else { return false };
    let gone = gone.and_then(<[Step]>::split_first);
    let behind = gone.filter(|(first, _)| *first == step).map(|(_, behind)| behind);
    match value.kind() {
        Kind::Object => match inner(value, name) {
            Some(inner) if behind != Some(&[]) => has_place(&inner, rest, behind),
            Some(_) | None => made(rest).is_some(),
        },
        Kind::List if name == "-" => made(rest).is_some(),
        Kind::List => {
            let index = name.parse::<usize>().ok();
            // Those behind an item that goes move up.
            let moves_up = |(first, behind): (&Step, &[Step])| match first {
                Step::Name(first) if behind.is_empty() => first.parse().ok() <= index,
                Step::Name(_) | Step::Every => false,
            };
            match gone.filter(|gone| index.is_some() && moves_up(*gone)) {
                Some(_) => {
                    let next = index.unwrap_or_default().saturating_add(1).to_string();
                    inner(value, &next).is_some_and(|inner| has_place(&inner, rest, None))
                }
                None => inner(value, name).is_some_and(|inner| has_place(&inner, rest, behind)),
            }
        }
        Kind::Null | Kind::Bool | Kind::Number | Kind::Text | Kind::Name => false,
    }
}

/// The member of this name, or the item of this number; no copy of what is open.
fn inner<'v, 'a>(value: &'v Value<'a>, name: &str) -> Option<Cow<'v, Value<'a>>> {
    match value {
        Value::Object(members) => {
            members.iter().find(|(member, _)| member == name).map(|(_, value)| Cow::Borrowed(value))
        }
        Value::List(items) => items.get(name.parse::<usize>().ok()?).map(Cow::Borrowed),
        Value::Part(..) => value.get(&[Step::Name(name.to_owned())]).map(Cow::Owned),
        Value::Raw(_) | Value::Text(_) => None,
    }
}

/// Leaves what the paths lead to; whether that is anything.
fn pick(value: &mut Value<'_>, paths: &[&[Step]]) -> bool {
    if paths.iter().any(|path| path.is_empty()) {
        return true;
    }
    value.open();
    let below = |name: &str| -> Vec<&[Step]> {
        let fitting = paths.iter().filter_map(|path| path.split_first());
        fitting
            .filter(|(step, _)| match step {
                Step::Every => true,
                Step::Name(wanted) => wanted == name,
            })
            .map(|(_, rest)| rest)
            .collect()
    };
    match value {
        Value::Object(members) => {
            members.retain_mut(|(name, value)| {
                let below = below(name);
                !below.is_empty() && pick(value, &below)
            });
            true
        }
        Value::List(items) => {
            let mut index = 0;
            items.retain_mut(|item| {
                let below = below(&index.to_string());
                index += 1;
                !below.is_empty() && pick(item, &below)
            });
            true
        }
        Value::Part(..) | Value::Raw(_) | Value::Text(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{self, Json, Limits};
    use crate::shape::value::Document;
    use crate::template::{Documents, Piece};

    struct Only<'a>(Document<'a>);

    impl Fill for Only<'_> {
        fn value<'s>(&'s self, piece: &'s Piece) -> Option<Cow<'s, str>> {
            match piece {
                Piece::Document(path) => self.0.part(path)?.into_plain(),
                _ => None,
            }
        }

        fn part(&self, path: &Path) -> Option<Value<'_>> {
            self.0.part(path)
        }
    }

    fn changed(text: &str, edits: &[Edit]) -> String {
        let parts = json::read(text, &Limits::USUAL).expect("it is JSON");
        let mut value = Value::new(Json::new(text, &parts));
        for edit in edits {
            edit.apply(&mut value, |value, blueprint| filled(&Only(Document("body", value)), blueprint));
        }
        value.to_text()
    }

    fn path(text: &str) -> Path {
        Path::parse(text).expect("a path")
    }

    #[test]
    fn changes_by_path() {
        let paths = |all: &[&str]| all.iter().map(|text| path(text)).collect::<Vec<_>>();
        let raw = |text: &str| Blueprint::Raw(text.to_owned());
        let hole = |text: &str| Blueprint::Text(Template::parse(text).expect("a template"));
        let links = |prefixes: &[(&str, &str)]| {
            prefixes.iter().map(|(from, to)| ((*from).to_owned(), Template::literal(*to))).collect::<Vec<_>>()
        };
        for (text, edit, expected) in [
            (r#"{"a":1,"b":{"c":2,"d":3}}"#, Edit::Remove(paths(&["a", "b.c", "x.y"])), r#"{"b":{"d":3}}"#),
            (r#"[{"a":1,"b":2},{"a":3},7]"#, Edit::Remove(paths(&["*.a"])), r#"[{"b":2},{},7]"#),
            (r#"[1,2,3]"#, Edit::Remove(paths(&["1"])), "[1,3]"),
            (r#"{"l":[1,2]}"#, Edit::Remove(paths(&["l.*"])), r#"{"l":[]}"#),
            (r#"{"a":1,"b":2,"c":3}"#, Edit::Rename(vec![(path("a"), "c".into())]), r#"{"c":1,"b":2}"#),
            (r#"{"b":2,"c":3}"#, Edit::Rename(vec![(path("a"), "c".into())]), r#"{"b":2,"c":3}"#),
            (r#"[{"a":1},{"b":1}]"#, Edit::Rename(vec![(path("*.a"), "z".into())]), r#"[{"z":1},{"b":1}]"#),
            (r#"{"a":{"b":[1]}}"#, Edit::Move(vec![(path("a.b"), path("x.y"))]), r#"{"a":{},"x":{"y":[1]}}"#),
            (r#"{"a":1}"#, Edit::Move(vec![(path("b"), path("c"))]), r#"{"a":1}"#),
            (
                r#"{"a":1}"#,
                Edit::Set(vec![(path("b.c"), raw("true")), (path("a"), raw("2"))]),
                r#"{"a":2,"b":{"c":true}}"#,
            ),
            (r#"{"l":[{},{"p":1}]}"#, Edit::Set(vec![(path("l.*.p"), raw("0"))]), r#"{"l":[{"p":0},{"p":0}]}"#),
            (r#"{"l":[1]}"#, Edit::Set(vec![(path("l.-"), raw("2")), (path("l.9"), raw("3"))]), r#"{"l":[1,2]}"#),
            (r#"{"a":"text"}"#, Edit::Set(vec![(path("a.b"), raw("1"))]), r#"{"a":"text"}"#),
            (
                r#"{"a":null,"l":[{"p":1},{}]}"#,
                Edit::Replace(vec![(path("a"), raw("5")), (path("b.c"), raw("6")), (path("l.*.p"), raw("7"))]),
                r#"{"a":5,"l":[{"p":7},{}]}"#,
            ),
            (r#"{"a":1}"#, Edit::Set(vec![(path("l.-"), raw("2"))]), r#"{"a":1,"l":[2]}"#),
            (r#"{}"#, Edit::Set(vec![(path("a.l.-.b.-"), raw("2"))]), r#"{"a":{"l":[{"b":[2]}]}}"#),
            (r#"{"l":[]}"#, Edit::Set(vec![(path("l.-.-"), raw("2")), (path("l.-.*"), raw("3"))]), r#"{"l":[[2]]}"#),
            (r#"{"a":1}"#, Edit::Set(vec![(path("l.*.x"), raw("2")), (path("m.n.*"), raw("2"))]), r#"{"a":1}"#),
            (r#"{"a":1}"#, Edit::Default(vec![(path("l.*.x"), raw("2"))]), r#"{"a":1}"#),
            (r#"{}"#, Edit::Default(vec![(path("l.-.x"), raw("2"))]), r#"{"l":[{"x":2}]}"#),
            (r#"{"l":null}"#, Edit::Set(vec![(path("l.-"), raw("2"))]), r#"{"l":null}"#),
            (r#"{"a":1,"b":"text"}"#, Edit::Move(vec![(path("a"), path("b.c"))]), r#"{"a":1,"b":"text"}"#),
            (r#"{"a":1,"b":[2]}"#, Edit::Move(vec![(path("a"), path("b.1"))]), r#"{"a":1,"b":[2]}"#),
            (r#"{"a":1}"#, Edit::Move(vec![(path("a"), path("b.-"))]), r#"{"b":[1]}"#),
            (r#"{"a":1,"b":[2]}"#, Edit::Move(vec![(path("a"), path("b.0"))]), r#"{"b":[1]}"#),
            (r#"[1,2]"#, Edit::Move(vec![(path("0"), path("1"))]), "[1,2]"),
            (r#"[1,2,{}]"#, Edit::Move(vec![(path("0"), path("1.x"))]), r#"[2,{"x":1}]"#),
            (r#"[1,2]"#, Edit::Move(vec![(path("0"), path("-"))]), "[2,1]"),
            (r#"{"a":[{"b":1},{}]}"#, Edit::Move(vec![(path("a.0.b"), path("a.0.c"))]), r#"{"a":[{"c":1},{}]}"#),
            (r#"{"a":{"b":{"c":1}}}"#, Edit::Move(vec![(path("a.b"), path("a"))]), r#"{"a":{"c":1}}"#),
            (r#"{"a":{"b":1}}"#, Edit::Move(vec![(path("a.b"), path("x.y.z"))]), r#"{"a":{},"x":{"y":{"z":1}}}"#),
            (
                r#"{"a":null,"b":1}"#,
                Edit::Default(vec![(path("a"), raw("5")), (path("b"), raw("6"))]),
                r#"{"a":5,"b":1}"#,
            ),
            (r#"{"u":{"id":1.0}}"#, Edit::Set(vec![(path("id"), hole("{body.u.id}"))]), r#"{"u":{"id":1.0},"id":1.0}"#),
            (r#"{"u":{"n":"x"}}"#, Edit::Set(vec![(path("t"), hole("<{body.u.n}>"))]), r#"{"u":{"n":"x"},"t":"<x>"}"#),
            (r#"{"u":1}"#, Edit::Set(vec![(path("t"), hole("{body.nothing}"))]), r#"{"u":1}"#),
            (
                r#"{"a":1,"b":{"c":2,"d":3},"e":[{"f":1,"g":2},3]}"#,
                Edit::Pick(paths(&["b.d", "e.*.f"])),
                r#"{"b":{"d":3},"e":[{"f":1}]}"#,
            ),
            (r#"{"a":1}"#, Edit::Pick(paths(&["a.b"])), "{}"),
            ("7", Edit::Pick(paths(&["a"])), "{}"),
            ("[1,2]", Edit::Pick(paths(&["1"])), "[2]"),
            (
                r#"{"l":["http://in:1/a?b","http://in:12/a","/a",3]}"#,
                Edit::Links(paths(&["l.*"]), links(&[("http://in:1", "https://out/x/")])),
                r#"{"l":["https://out/x/a?b","http://in:12/a","/a",3]}"#,
            ),
        ] {
            assert_eq!(changed(text, std::slice::from_ref(&edit)), expected, "{text} {edit:?}");
            let kept: Edit = serde_json::from_str(&serde_json::to_string(&edit).expect("JSON")).expect("read again");
            assert_eq!(kept, edit);
        }
    }

    #[test]
    fn members_of_one_name_are_all_changed() {
        let twice = r#"{"a":1,"a":2}"#;
        let limits = Limits { duplicates: true, ..Limits::USUAL };
        let parts = json::read(twice, &limits).expect("it is JSON");
        let mut value = Value::new(Json::new(twice, &parts));
        Edit::Remove(vec![path("a")]).apply(&mut value, |_, _| None);
        assert_eq!(value.to_text(), "{}");
    }
}
