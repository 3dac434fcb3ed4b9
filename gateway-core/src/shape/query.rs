//! JMESPath: asks a value for another one.
//!
//! A query always ends, after as many steps as its length and the value's size allow; that is why it is this language
//! (docs/decisions/0041-transformation.md). Numbers are read as 64-bit numbers here, and members come out in the order of their names.

use super::value::Value;
use crate::json::{Json, Kind};
use jmespath::ast::Ast;
use jmespath::{Expression, Rcvar, Variable};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::rc::Rc;

/// A query that has been read; kept as its text.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Query(Rc<Expression<'static>>);

/// How deep a query may be nested: evaluating it takes the stack of one level for each.
const DEEPEST: usize = 40;
const LONGEST: usize = 2_000;

impl Query {
    /// Reads a query.
    ///
    /// # Errors
    /// Where it is none: the place, and what is wrong.
    pub fn parse(text: &str) -> Result<Self, (usize, String)> {
        // Reading takes a level of stack for each bracket, so those are counted before.
        let nested = text.bytes().try_fold(0_usize, |depth, byte| match byte {
            b'(' | b'[' | b'{' | b'!' | b'&' if depth > 2 * DEEPEST => None,
            b'(' | b'[' | b'{' | b'!' | b'&' => Some(depth + 1),
            b')' | b']' | b'}' => Some(depth.saturating_sub(1)),
            _ => Some(depth),
        });
        if text.len() > LONGEST || nested.is_none() {
            return Err((0, format!("a query has at most {LONGEST} characters, and {DEEPEST} levels")));
        }
        let expression = jmespath::compile(text).map_err(|error| (error.offset, error.reason.to_string()))?;
        if depth(expression.as_ast()) > DEEPEST {
            return Err((0, format!("this query has more than {DEEPEST} levels; split it over two policies")));
        }
        Ok(Self(Rc::new(expression)))
    }

    /// What it gives for a value. `null` where it leads to nothing.
    ///
    /// # Errors
    /// Where a function gets something of another type than it takes; in words for the log.
    pub fn answer(&self, value: Value<'_>) -> Result<Value<'static>, String> {
        let found = self.0.search(variable(&value)).map_err(|error| error.reason.to_string())?;
        Ok(self::value(&found))
    }
}

fn depth(ast: &Ast) -> usize {
    let deepest = |parts: &mut dyn Iterator<Item = &Ast>| parts.map(depth).max().unwrap_or(0);
    1 + match ast {
        Ast::Comparison { lhs, rhs, .. }
        | Ast::Projection { lhs, rhs, .. }
        | Ast::And { lhs, rhs, .. }
        | Ast::Or { lhs, rhs, .. }
        | Ast::Subexpr { lhs, rhs, .. } => depth(lhs).max(depth(rhs)),
        Ast::Condition { predicate, then, .. } => depth(predicate).max(depth(then)),
        Ast::Expref { ast, .. } => depth(ast),
        Ast::Flatten { node, .. } | Ast::Not { node, .. } | Ast::ObjectValues { node, .. } => depth(node),
        Ast::Function { args, .. } => deepest(&mut args.iter()),
        Ast::MultiList { elements, .. } => deepest(&mut elements.iter()),
        Ast::MultiHash { elements, .. } => deepest(&mut elements.iter().map(|pair| &pair.value)),
        Ast::Identity { .. } | Ast::Field { .. } | Ast::Index { .. } | Ast::Literal { .. } | Ast::Slice { .. } => 0,
    }
}

fn variable(value: &Value<'_>) -> Rcvar {
    Rcvar::new(match value {
        Value::Part(json, part) => return part_of(*json, *part),
        Value::Raw(raw) => scalar(raw),
        Value::Text(text) => Variable::String(text.clone().into_owned()),
        Value::List(items) => Variable::Array(items.iter().map(variable).collect()),
        Value::Object(members) => {
            Variable::Object(members.iter().map(|(name, value)| (name.clone().into_owned(), variable(value))).collect())
        }
    })
}

fn part_of(json: Json<'_>, part: u32) -> Rcvar {
    Rcvar::new(match json.kind(part) {
        Kind::Text | Kind::Name => Variable::String(json.text(part).into_owned()),
        Kind::List => Variable::Array(json.items(part).map(|item| part_of(json, item)).collect()),
        Kind::Object => {
            let members = json.members(part).map(|(name, value)| (json.text(name).into_owned(), part_of(json, value)));
            Variable::Object(members.collect())
        }
        Kind::Null | Kind::Bool | Kind::Number => scalar(json.raw(part)),
    })
}

fn scalar(raw: &str) -> Variable {
    match raw {
        "null" => Variable::Null,
        "true" => Variable::Bool(true),
        "false" => Variable::Bool(false),
        // What is beyond all numbers of 64 bits is nothing that could be computed with.
        number => serde_json::from_str(number).map_or(Variable::Null, Variable::Number),
    }
}

fn value(found: &Variable) -> Value<'static> {
    match found {
        Variable::Null | Variable::Expref(_) => Value::NULL,
        Variable::Bool(true) => Value::Raw("true".into()),
        Variable::Bool(false) => Value::Raw("false".into()),
        Variable::Number(number) => Value::Raw(number.to_string().into()),
        Variable::String(text) => Value::Text(text.clone().into()),
        Variable::Array(items) => Value::List(items.iter().map(|item| value(item)).collect()),
        Variable::Object(members) => {
            Value::Object(members.iter().map(|(name, member)| (name.clone().into(), value(member))).collect())
        }
    }
}

impl PartialEq for Query {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl fmt::Debug for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Query({:?})", self.0.as_str())
    }
}

impl TryFrom<String> for Query {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).map_err(|(_, why)| why)
    }
}

impl From<Query> for String {
    fn from(query: Query) -> String {
        query.0.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{self, Limits};

    fn asked(query: &str, text: &str) -> Result<String, String> {
        let query = Query::parse(query).map_err(|(_, why)| why)?;
        let parts = json::read(text, &Limits::USUAL).expect("it is JSON");
        query.answer(Value::new(Json::new(text, &parts))).map(|value| value.to_text())
    }

    #[test]
    fn queries_are_answered() {
        let text = r#"{"items":[{"id":1,"price":2.50,"tags":["a"]},{"id":2,"price":10,"tags":["a","b"]}],"n":null}"#;
        for (query, expected) in [
            ("items[?price > `5`].id", "[2]"),
            ("{total: sum(items[].price), ids: items[].id}", r#"{"ids":[1,2],"total":12.5}"#),
            ("sort_by(items, &price)[-1].tags | join(',', @)", r#""a,b""#),
            ("nothing", "null"),
        ] {
            assert_eq!(asked(query, text).as_deref(), Ok(expected), "{query}");
        }
        assert!(asked("sum(items)", text).is_err());
        assert!(asked("items[", text).is_err());
    }

    #[test]
    fn a_query_that_would_take_the_stack_is_none() {
        for query in ["[".repeat(1_000), "!".repeat(1_000), "a.".repeat(900) + "a", "a[".repeat(200), "&".repeat(500)] {
            assert!(Query::parse(&query).is_err(), "{}", &query[..10]);
        }
        assert!(Query::parse(&("a.".repeat(30) + "a")).is_ok());
    }
}
