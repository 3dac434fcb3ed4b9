//! Conditions in the Common Expression Language (CEL): what a configuration asks of a request, of who sends it and of
//! their token, in one line.
//!
//! An expression is parsed and its types are checked when the configuration is compiled (`config/expression.rs`, which
//! stays out of the Wasm). What runs is a list of nodes; each names only nodes before it, so there are no cycles and no
//! deeper nesting than was checked, whatever is read. An evaluation has a budget of steps and ends when that is spent.
//! `docs/expressions.md` is the language as it is here; `docs/decisions/0014-expressions.md` says why.

mod evaluation;
mod facts;
mod function;
mod time;
mod value;

pub use facts::{Facts, Variable};
pub use function::Function;
pub use time::{Duration, Instant};
pub use value::Value;

use crate::client::Cidr;
use crate::route::Regex;
use evaluation::Evaluation;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A condition that has been checked. Shown, it is its text.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Frozen", into = "Frozen")]
pub struct Expression {
    text: String,
    nodes: Vec<(u32, Node)>,
}

/// The place of a node.
pub type Place = u16;

/// A part of an expression.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Node {
    /// What stands there.
    #[serde(rename = "=")]
    Literal(Literal),
    /// Something that is known of the request.
    #[serde(rename = "v")]
    Variable(Variable),
    /// Whether it is known.
    #[serde(rename = "v?")]
    IsKnown(Variable),
    /// The item that a macro is looking at; macros within others count from zero.
    #[serde(rename = "i")]
    Item(u8),
    /// A member of a map.
    #[serde(rename = ".")]
    Member(Place, String),
    /// Whether a map has it.
    #[serde(rename = ".?")]
    HasMember(Place, String),
    /// An operator or a function.
    #[serde(rename = "f")]
    Call(Function, Vec<Place>),
    /// Whether a regular expression finds something in a text.
    #[serde(rename = "m")]
    Matches(Place, Regex),
    /// A list.
    #[serde(rename = "[")]
    List(Vec<Place>),
    /// A map.
    #[serde(rename = "{")]
    Map(Vec<(Place, Place)>),
    /// Something about each item of a list, or each key of a map.
    #[serde(rename = "e")]
    Each(Place, Each),
}

/// A value that stands in the text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Literal {
    /// `null`
    #[serde(rename = "0")]
    Null,
    /// `true`, `false`
    #[serde(rename = "b")]
    Bool(bool),
    /// `42`
    #[serde(rename = "i")]
    Int(i64),
    /// `4.2`
    #[serde(rename = "d")]
    Double(f64),
    /// `"text"`
    #[serde(rename = "t")]
    Text(String),
    /// `timestamp("2027-01-31T00:00:00Z")`
    #[serde(rename = "@")]
    Instant(Instant),
    /// `duration("90s")`
    #[serde(rename = "s")]
    Duration(Duration),
    /// `cidr("10.0.0.0/8")`
    #[serde(rename = "/")]
    Range(Cidr),
}

/// What a macro does with each item, by the place of what it evaluates for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Each {
    /// `all`
    #[serde(rename = "a")]
    All(Place),
    /// `exists`
    #[serde(rename = "e")]
    Exists(Place),
    /// `exists_one`
    #[serde(rename = "1")]
    ExistsOne(Place),
    /// `map` and `filter`: this, of those items for which that holds.
    #[serde(rename = "g")]
    Gather(Place, Option<Place>),
}

/// How deep an expression may be nested.
pub const DEEPEST: usize = 64;

/// How many nodes it may have.
pub const MOST_NODES: usize = 2000;

/// How many steps an evaluation may take. A node is one, and so are 32 bytes of a text that is looked through, a byte of
/// a text that a regular expression is looked for in, and an item of a list that is copied or compared.
pub const BUDGET: u32 = 20_000;

/// Why an expression has no value: for the log, never for the client. Holds nothing of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// Where, in bytes of the text.
    pub at: u32,
    /// What happened.
    pub why: Why,
}

/// What can go wrong in an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// What is asked for is not there: a member, a key, or what the platform or the credential did not tell.
    Absent,
    /// The query or the cookies have it several times, so it is no single value.
    Repeated,
    /// It is not UTF-8.
    NotText,
    /// A value of another type is needed.
    Type,
    /// A list has no such place.
    Index,
    /// The result is out of range.
    Overflow,
    /// A division by zero.
    Zero,
    /// A text does not say what it is converted to.
    Conversion,
    /// It took too many steps.
    Exhausted,
}

impl Why {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Why::Absent => "it is not there; `has(…)` or `in` asks whether it is",
            Why::Repeated => "it is there several times",
            Why::NotText => "it is not UTF-8",
            Why::Type => "it is of another type than this needs",
            Why::Index => "the list has no such place",
            Why::Overflow => "the result is out of range",
            Why::Zero => "a division by zero",
            Why::Conversion => "the text cannot be converted",
            Why::Exhausted => "the evaluation takes too many steps",
        }
    }
}

impl Expression {
    /// Takes nodes, each with its place in the text; the last one is the whole. `Err` where that is no expression.
    pub fn new(text: String, nodes: Vec<(u32, Node)>) -> Result<Self, &'static str> {
        let mut depths: Vec<usize> = Vec::with_capacity(nodes.len());
        if nodes.is_empty() || nodes.len() > MOST_NODES {
            return Err("an expression has too many parts, or none");
        }
        for (_, node) in &nodes {
            let mut depth = 0;
            let mut sound = true;
            node.parts(|part| match depths.get(usize::from(part)) {
                Some(below) => depth = depth.max(*below),
                None => sound = false,
            });
            if !sound {
                return Err("a part of an expression names one that does not come before it");
            }
            if depth >= DEEPEST {
                return Err("an expression is nested too deep");
            }
            depths.push(depth + 1);
        }
        Ok(Self { text, nodes })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it holds. What cannot be evaluated does not.
    pub fn holds(&self, facts: &Facts<'_>) -> Result<bool, Fault> {
        match self.value(facts)? {
            Value::Bool(holds) => Ok(holds),
            _ => Err(Fault { at: 0, why: Why::Type }),
        }
    }

    /// Its value.
    pub fn value<'a>(&'a self, facts: &'a Facts<'a>) -> Result<Value<'a>, Fault> {
        Evaluation::new(&self.nodes, facts, BUDGET).run()
    }

    /// Whether it asks who calls.
    pub fn asks_who(&self) -> bool {
        self.nodes.iter().any(|(_, node)| match node {
            Node::Variable(variable) | Node::IsKnown(variable) => variable.is_of_the_caller(),
            _ => false,
        })
    }

    /// The names of the members of a map that it asks for. `None` where it does something else with the map, so that nobody can
    /// tell.
    pub fn members_of(&self, map: Variable) -> Option<Vec<&str>> {
        let is_map = |place: Place| matches!(self.nodes.get(usize::from(place)), Some((_, Node::Variable(known))) if *known == map);
        let text = |place: Place| match self.nodes.get(usize::from(place)) {
            Some((_, Node::Literal(Literal::Text(text)))) => Some(text.as_str()),
            _ => None,
        };
        let (mut names, mut known) = (Vec::new(), true);
        for (_, node) in &self.nodes {
            match node {
                Node::Member(of, name) | Node::HasMember(of, name) if is_map(*of) => names.push(name.as_str()),
                Node::Call(Function::Index, parts) if parts.first().is_some_and(|of| is_map(*of)) => {
                    match parts.get(1).and_then(|key| text(*key)) {
                        Some(name) => names.push(name),
                        None => known = false,
                    }
                }
                Node::IsKnown(variable) => known &= *variable != map,
                other => other.parts(|part| known &= !is_map(part)),
            }
        }
        // The map alone is no condition.
        let alone = u16::try_from(self.nodes.len().saturating_sub(1)).is_ok_and(is_map);
        (known && !alone).then_some(names)
    }

    /// Whether it asks for one of these, or whether one is known.
    pub fn asks_for(&self, wanted: impl Fn(Variable) -> bool) -> bool {
        self.nodes
            .iter()
            .any(|(_, node)| matches!(node, Node::Variable(variable) | Node::IsKnown(variable) if wanted(*variable)))
    }

    /// A fault in words, for the log: the start of the text from its place, and why.
    pub fn explain(&self, fault: Fault) -> String {
        let at = self.text.floor_char_boundary(fault.at as usize);
        let rest = &self.text[at..];
        let end = rest.floor_char_boundary(EXCERPT);
        let more = if end < rest.len() { "…" } else { "" };
        let column = self.text[..at].chars().count() + 1;
        format!("at character {column} of the expression, `{}{more}`: {}", &rest[..end], fault.why.as_str())
    }
}

/// How much of an expression is shown where something went wrong, in bytes.
const EXCERPT: usize = 40;

impl Node {
    /// The nodes that it is made of.
    fn parts(&self, mut see: impl FnMut(Place)) {
        match self {
            Node::Literal(_) | Node::Variable(_) | Node::IsKnown(_) | Node::Item(_) => {}
            Node::Member(of, _) | Node::HasMember(of, _) | Node::Matches(of, _) => see(*of),
            Node::Call(_, parts) | Node::List(parts) => parts.iter().copied().for_each(see),
            Node::Map(entries) => entries.iter().for_each(|(key, value)| {
                see(*key);
                see(*value);
            }),
            Node::Each(range, each) => {
                see(*range);
                match each {
                    Each::All(part) | Each::Exists(part) | Each::ExistsOne(part) | Each::Gather(part, None) => {
                        see(*part)
                    }
                    Each::Gather(part, Some(only)) => {
                        see(*part);
                        see(*only);
                    }
                }
            }
        }
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expression({:?})", self.text)
    }
}

/// An expression on its way into the artefact and out of it.
#[derive(Serialize, Deserialize)]
struct Frozen {
    #[serde(rename = "t")]
    text: String,
    #[serde(rename = "n")]
    nodes: Vec<(u32, Node)>,
}

impl TryFrom<Frozen> for Expression {
    type Error = &'static str;

    fn try_from(frozen: Frozen) -> Result<Self, Self::Error> {
        Self::new(frozen.text, frozen.nodes)
    }
}

impl From<Expression> for Frozen {
    fn from(Expression { text, nodes }: Expression) -> Self {
        Self { text, nodes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_expression_is_not_read() {
        let chain = |length: u16| {
            let mut nodes = vec![(0, Node::Literal(Literal::Bool(true)))];
            nodes.extend((0..length).map(|below| (0, Node::Call(Function::Not, vec![below]))));
            nodes
        };
        assert!(Expression::new(String::new(), chain(60)).is_ok());
        for (nodes, why) in [
            (Vec::new(), "none"),
            (vec![(0, Node::List(vec![0]))], "before"),
            (vec![(0, Node::Literal(Literal::Null)), (0, Node::Member(7, "x".into()))], "before"),
            (chain(64), "deep"),
            (vec![(0, Node::Literal(Literal::Null)); MOST_NODES + 1], "too many"),
        ] {
            let refused = Expression::new(String::new(), nodes);
            assert!(refused.as_ref().is_err_and(|told| told.contains(why)), "{refused:?} {why}");
        }
        for text in [r#"{"t":"x","n":[]}"#, r#"{"t":"x","n":[[0,{".":[0,"a"]}]]}"#, r#"{"t":"x","n":[[0,{"?":1}]]}"#] {
            assert!(serde_json::from_str::<Expression>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_fault_names_its_place_in_words() {
        let expression = Expression::new("é && claims.tenant".into(), vec![(0, Node::Literal(Literal::Null))]);
        let told = expression.expect("one part").explain(Fault { at: 12, why: Why::Absent });
        assert_eq!(
            told,
            "at character 12 of the expression, `.tenant`: it is not there; `has(…)` or `in` asks whether it is"
        );
    }
}
