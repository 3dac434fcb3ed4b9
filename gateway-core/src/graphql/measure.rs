//! How much a document asks for, fragments counted each time that they are used.
//!
//! A fragment is measured once, whatever number of others use it: what doubles with each of a hundred fragments is counted in
//! a hundred steps. Numbers that would be too large stay as large as can be.

use super::document::{Document, Fragment, Operation, Selected, Value};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What fields cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Costs {
    /// A field that selects something in it.
    #[serde(rename = "o")]
    pub object: u64,
    /// A field that does not.
    #[serde(rename = "l")]
    pub leaf: u64,
    /// Fields by name, or by type and name where the document says the type: of the root, and in fragments.
    #[serde(rename = "f", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, u64>,
    /// The arguments that say how many of its kind a field gives.
    #[serde(rename = "a")]
    pub sizes: Vec<String>,
    /// How many a field gives where no argument says so.
    #[serde(rename = "s", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub assumed: BTreeMap<String, u64>,
}

/// How much is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Measure {
    /// How many fields stand in each other.
    pub depth: u64,
    /// What it costs.
    pub cost: u64,
    /// Fields that are given another name.
    pub aliases: u64,
    /// Fields of the root.
    pub root_fields: u64,
    /// Directives.
    pub directives: u64,
    /// Whether it asks for the schema.
    pub introspects: bool,
}

/// Why it cannot be said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unmeasured<'a> {
    /// A fragment uses itself, at once or through others.
    Cycle(&'a str),
    /// There is no such fragment.
    Unknown(&'a str),
}

/// What the variables of a request are, as far as they are whole numbers.
pub type Numbers<'f> = dyn Fn(&str) -> Option<u64> + 'f;

impl Measure {
    /// Beside each other.
    fn add(&mut self, other: Measure) {
        self.depth = self.depth.max(other.depth);
        self.cost = self.cost.saturating_add(other.cost);
        self.aliases = self.aliases.saturating_add(other.aliases);
        self.root_fields = self.root_fields.saturating_add(other.root_fields);
        self.directives = self.directives.saturating_add(other.directives);
        self.introspects |= other.introspects;
    }
}

/// A selection whose end has not come yet.
struct Open<'a> {
    end: u32,
    /// The type of what is selected in it.
    of: Of<'a>,
    /// `None`: it is no field.
    field: Option<(u64, u64)>,
    inner: Measure,
}

/// What is known of the type of which fields are selected.
#[derive(Clone, Copy, Default)]
struct Of<'a> {
    /// What the type of an operation's root is called here, where it is that. Whatever a fragment says, it stays what it is.
    root: Option<&'static str>,
    /// What the innermost fragment says.
    said: Option<&'a str>,
}

/// What a fragment asks for.
#[derive(Clone, Copy)]
struct Known {
    /// Of the type that it is for.
    inside: Measure,
    /// Of the operation's root.
    at_root: Measure,
}

/// Measures one operation. `given` are the variables of the request.
///
/// # Errors
/// Where its fragments, or any others of the document, lead nowhere or in a circle.
pub fn measure<'a>(
    document: &Document<'a>,
    operation: &Operation<'a>,
    costs: &Costs,
    given: &Numbers<'_>,
) -> Result<Measure, Unmeasured<'a>> {
    let variables = |name: &str| {
        given(name).or_else(|| {
            let default = operation.variables.iter().find(|variable| variable.name == name)?.default?;
            number(default, &|_| None)
        })
    };
    let (root, known) = (operation.kind.root(), vec![None; document.fragments.len()]);
    let mut measurer = Measurer { document, costs, variables: &variables, root, known };
    measurer.fragments()?;
    let mut whole = measurer.set(operation.selections, Of { root: Some(root), said: None })?;
    whole.directives = whole.directives.saturating_add(u64::from(operation.directives));
    Ok(whole)
}

/// The names of the fields of an operation's root, through fragments.
pub fn root_fields<'a>(document: &Document<'a>, operation: &Operation<'a>) -> BTreeSet<&'a str> {
    let mut names = BTreeSet::new();
    let mut seen = vec![false; document.fragments.len()];
    let mut sets = vec![operation.selections];
    while let Some((start, end)) = sets.pop() {
        let mut at = start;
        while at < end {
            let Some(selection) = document.selections.get(at as usize) else { break };
            match selection.what {
                Selected::Field { name, .. } => drop(names.insert(name)),
                Selected::Inline(_) => sets.push((at + 1, selection.next)),
                Selected::Spread(name) => {
                    let place = document.fragment(name).map(|place| place as usize);
                    let unseen = place.and_then(|place| Some((seen.get_mut(place)?, document.fragments.get(place)?)));
                    if let Some((seen, fragment)) = unseen.filter(|(seen, _)| !**seen) {
                        *seen = true;
                        sets.push(fragment.selections);
                    }
                }
            }
            at = selection.next;
        }
    }
    names
}

struct Measurer<'m, 'a> {
    document: &'m Document<'a>,
    costs: &'m Costs,
    variables: &'m Numbers<'m>,
    /// What the type of the operation's root is called here.
    root: &'static str,
    known: Vec<Option<Known>>,
}

impl<'a> Measurer<'_, 'a> {
    /// Measures all fragments, each after those that it uses.
    fn fragments(&mut self) -> Result<(), Unmeasured<'a>> {
        let document = self.document;
        let mut begun = vec![false; document.fragments.len()];
        for first in 0..document.fragments.len() {
            // Each with the place up to which its selections have been looked at.
            let mut way: Vec<(usize, u32)> = vec![(first, 0)];
            while let Some((place, looked)) = way.pop() {
                let Some(Fragment { selections: (start, end), name, on, directives }) = document.fragments.get(place)
                else {
                    continue;
                };
                if self.known.get(place).is_some_and(Option::is_some) {
                    continue;
                }
                if looked == 0 && begun.get(place) == Some(&true) {
                    return Err(Unmeasured::Cycle(name));
                }
                if let Some(begun) = begun.get_mut(place) {
                    *begun = true;
                }
                match self.next_unknown(looked.max(*start), *end)? {
                    // Looked at from there on when the other one is known.
                    Some((at, other)) => way.extend([(place, at.saturating_add(1)), (other, 0)]),
                    None => {
                        let measured = |root| {
                            let mut measured = self.set((*start, *end), Of { root, said: Some(on) })?;
                            measured.directives = measured.directives.saturating_add(u64::from(*directives));
                            Ok(measured)
                        };
                        let measured = Known { inside: measured(None)?, at_root: measured(Some(self.root))? };
                        if let Some(known) = self.known.get_mut(place) {
                            *known = Some(measured);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// The next fragment in these selections that has not been measured yet.
    fn next_unknown(&self, start: u32, end: u32) -> Result<Option<(u32, usize)>, Unmeasured<'a>> {
        for at in start..end {
            let Some(Selected::Spread(name)) = self.document.selections.get(at as usize).map(|one| one.what) else {
                continue;
            };
            let place = self.document.fragment(name).ok_or(Unmeasured::Unknown(name))? as usize;
            if self.known.get(place).is_some_and(Option::is_none) {
                return Ok(Some((at, place)));
            }
        }
        Ok(None)
    }

    /// Measures a set of which all fragments are known.
    fn set(&self, (start, end): (u32, u32), of: Of<'a>) -> Result<Measure, Unmeasured<'a>> {
        let mut open = vec![Open { end, of, field: None, inner: Measure::default() }];
        let mut at = start;
        loop {
            while let Some(done) = open.pop_if(|innermost| innermost.end <= at) {
                let measured = match done.field {
                    None => done.inner,
                    Some((own, size)) => Measure {
                        depth: done.inner.depth.saturating_add(1),
                        cost: own.saturating_add(size.saturating_mul(done.inner.cost)),
                        root_fields: 1,
                        ..done.inner
                    },
                };
                match open.last_mut() {
                    Some(outer) => outer.inner.add(measured),
                    None => return Ok(measured),
                }
            }
            let Some(selection) = self.document.selections.get(at as usize) else { return Ok(Measure::default()) };
            let mut inner = Measure { directives: selection.directives.into(), ..Measure::default() };
            let outer = open.last().map_or(Of::default(), |outer| outer.of);
            let (of, field) = match selection.what {
                Selected::Field { name, aliased, arguments } => {
                    inner.aliases = aliased.into();
                    inner.introspects = matches!(name, "__schema" | "__type");
                    let own = self.own(name, outer, selection.next == at + 1);
                    (Of::default(), Some((own, self.size(name, arguments))))
                }
                Selected::Inline(on) => (Of { said: on.or(outer.said), ..outer }, None),
                Selected::Spread(name) => {
                    let place = self.document.fragment(name).ok_or(Unmeasured::Unknown(name))?;
                    if let Some(known) = self.known.get(place as usize).copied().flatten() {
                        inner.add(if outer.root.is_some() { known.at_root } else { known.inside });
                    }
                    (Of::default(), None)
                }
            };
            open.push(Open { end: selection.next, of, field, inner });
            at += 1;
        }
    }

    /// What a field costs without what is in it.
    fn own(&self, name: &str, of: Of<'_>, is_leaf: bool) -> u64 {
        let usual = if is_leaf { &self.costs.leaf } else { &self.costs.object };
        let of_type = |of: Option<&str>| of.and_then(|of| self.costs.fields.get(&format!("{of}.{name}")));
        let or_else = |of_type: Option<&u64>| *of_type.or_else(|| self.costs.fields.get(name)).unwrap_or(usual);
        match (of.root, of_type(of.said)) {
            (None, said) => or_else(said),
            // Nothing that a client says of the root makes it cheaper.
            (root @ Some(_), said) => or_else(of_type(root)).max(said.copied().unwrap_or_default()),
        }
    }

    /// How many a field gives: what the largest of its arguments says.
    fn size(&self, name: &str, arguments: (u32, u32)) -> u64 {
        let arguments = self.document.arguments(arguments).iter();
        let sizes = arguments.filter(|argument| self.costs.sizes.iter().any(|known| known == argument.name));
        let said = sizes.filter_map(|argument| number(argument.value, self.variables)).max();
        said.or_else(|| self.costs.assumed.get(name).copied()).unwrap_or(1).max(1)
    }
}

/// A whole number; what is less than nothing is nothing.
fn number(value: Value<'_>, variables: &Numbers<'_>) -> Option<u64> {
    match value {
        Value::Int(text) if text.starts_with('-') => Some(0),
        Value::Int(text) => Some(text.parse().unwrap_or(u64::MAX)),
        Value::Variable(name) => variables(name),
        Value::Other => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::document::Most;
    use super::*;

    fn costs() -> Costs {
        Costs {
            object: 1,
            leaf: 0,
            fields: [("search", 10), ("Query.me", 5), ("me", 7), ("T.me", 1), ("Q.me", 9)]
                .map(|(name, cost)| (name.to_owned(), cost))
                .into(),
            sizes: vec!["first".to_owned(), "last".to_owned()],
            assumed: [("items".to_owned(), 3)].into(),
        }
    }

    fn measured(text: &str) -> Result<Measure, String> {
        let document = Document::read(text, Most { tokens: 100_000, nesting: 100 }).expect("a document");
        let operation = document.operation(None).expect("one operation");
        let given = |name: &str| (name == "n").then_some(7);
        measure(&document, operation, &costs(), &given).map_err(|error| format!("{error:?}"))
    }

    #[test]
    fn documents_are_measured() {
        for (text, depth, cost, aliases, roots, directives) in [
            ("{a}", 1, 0, 0, 1, 0),
            ("{a{b{c}} d}", 3, 2, 0, 2, 0),
            ("{a: b @x c: d {e: f}}", 2, 1, 3, 2, 1),
            ("{orders(first: 10) {id customer {name}}}", 3, 11, 0, 1, 0),
            ("query($n: Int) {orders(first: $n, last: 2) {customer {name}}}", 3, 8, 0, 1, 0),
            ("query($m: Int = 4) {orders(first: $m) {customer {name}}}", 3, 5, 0, 1, 0),
            ("query($n: Int = 4) {orders(first: $n) {customer {name}}}", 3, 8, 0, 1, 0),
            ("{orders(first: -5) {customer {name}}}", 3, 2, 0, 1, 0),
            ("{items {a {b}} search}", 3, 14, 0, 2, 0),
            ("{me {me}}", 2, 5 + 7, 0, 1, 0),
            ("{... {me} ... on Node {me} ...F} fragment F on Query {... on Other {me}}", 1, 15, 0, 3, 0),
            ("{a {... on Query {me} ...F}} fragment F on S {me}", 2, 1 + 5 + 7, 0, 1, 0),
            // Whatever the root is said to be, and however often.
            ("{... {... on T {me}}}", 1, 5, 0, 1, 0),
            ("{...F} fragment F on T {me ... on S {me} ...G} fragment G on S {... {me}}", 1, 15, 0, 3, 0),
            ("{... on Q {me ...G}} fragment G on Q {me}", 1, 18, 0, 2, 0),
            ("{a {...F}} fragment F on T {me ... on Q {me} ... {me}}", 2, 1 + 1 + 9 + 1, 0, 1, 0),
            ("{...F ...F a{...F}} fragment F on T {x: b{c}}", 3, 4, 3, 3, 0),
            ("query Q($a: Int @v) @q {...F @s ... @i {a @f}} fragment F on T @h {b @g}", 1, 0, 0, 2, 7),
            ("{a(first: 99999999999999999999) {b {c} d {e}}}", 3, u64::MAX, 0, 1, 0),
        ] {
            let measure = measured(text).expect(text);
            let Measure { root_fields, .. } = measure;
            assert_eq!(
                (measure.depth, measure.cost, measure.aliases, root_fields, measure.directives),
                (depth, cost, aliases, roots, directives),
                "{text}"
            );
        }
    }

    #[test]
    fn introspection_is_found_wherever_it_hides() {
        for (text, introspects) in [
            ("{__typename a {__typename}}", false),
            ("{__schema {types {name}}}", true),
            ("{x: __type(name: \"T\") {name}}", true),
            ("{__schema: a}", false),
            ("{... @skip(if: true) {...F}} fragment F on Query {...G} fragment G on Query {__schema {a}}", true),
        ] {
            assert_eq!(measured(text).expect(text).introspects, introspects, "{text}");
        }
    }

    #[test]
    fn fragments_that_double_are_counted_and_circles_are_found() {
        let mut text = "{...F0}".to_owned();
        for number in 0..100 {
            text += &format!(" fragment F{number} on T {{ a: b {{...F{0} ...F{0}}} }}", number + 1);
        }
        text += " fragment F100 on T { x }";
        let measure = measured(&text).expect("it ends");
        assert_eq!((measure.depth, measure.cost, measure.aliases), (101, u64::MAX, u64::MAX));

        for (text, expected) in [
            ("{...A} fragment A on T {...A}", "Cycle(\"A\")"),
            ("{...A} fragment A on T {b {...B}} fragment B on T {c {...C}} fragment C on T {...A}", "Cycle(\"A\")"),
            ("{a} fragment A on T {...B} fragment B on T {...A}", "Cycle(\"A\")"),
            ("{...A}", "Unknown(\"A\")"),
            ("{a} fragment A on T {...B}", "Unknown(\"B\")"),
        ] {
            assert_eq!(measured(text), Err(expected.to_owned()), "{text}");
        }
        assert!(measured("{...A ...B} fragment A on T {...C ...D} fragment B on T {...C} fragment C on T {...D} fragment D on T {x}").is_ok());
    }

    #[test]
    fn a_chain_of_ten_thousand_fragments_takes_no_stack() {
        let mut text = "{...F0}".to_owned();
        for number in 0..10_000 {
            text += &format!(" fragment F{number} on T {{ a ...F{} }}", number + 1);
        }
        text += " fragment F10000 on T { x }";
        assert_eq!(measured(&text).expect("it ends").root_fields, 10_001);
    }

    #[test]
    fn the_fields_of_the_root_are_known_through_fragments() {
        let text = "{a: orders ... {me} ...F} fragment F on Query {search {x} ...F}";
        let document = Document::read(text, Most { tokens: 100, nesting: 10 }).expect("a document");
        let names = root_fields(&document, document.operation(None).expect("one"));
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["me", "orders", "search"]);
    }
}
