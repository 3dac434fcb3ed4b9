//! From the text of an expression to what is evaluated. The parser is that of the `cel` crate; names, types and what this
//! gateway does not know are checked here, so that most of what could go wrong with a request is a problem of the
//! configuration instead.

use super::suggest::closest;
use crate::client::Cidr;
use crate::expression::{Each, Expression, Function, Literal, MOST_NODES, Node, Place, Variable};
use crate::route::Regex;
use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SelectExpr, SourceInfo};
use cel::parser::Parser;
use std::fmt;

/// What is wrong with an expression, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// From where to where, in bytes of the text.
    pub part: (usize, usize),
    /// What is wrong, as a sentence without a full stop.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

/// What values an expression has.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // Their names in CEL say it.
pub enum Type {
    Null,
    Bool,
    Int,
    Double,
    Text,
    Instant,
    Duration,
    Range,
    List(Box<Type>),
    /// By texts.
    Map(Box<Type>),
    /// Only the evaluation knows: claims.
    Any,
}

/// The longest text that is read, in bytes.
pub const LONGEST: usize = 4096;

/// How much stack reading one may take, in bytes.
const STACK: usize = 256 << 20;

/// How large a regular expression may become. Smaller than for routes: texts of clients are searched step by step.
const LARGEST_REGEX: usize = 1 << 15;

/// A condition. `paths` are the parameters that each of the route's paths has.
pub fn condition(text: &str, paths: &[Vec<&str>]) -> Result<Expression, Vec<Wrong>> {
    a_condition(text, compile(text, paths)?)
}

/// A condition on what steps of a composition have answered.
pub fn condition_on_steps(text: &str, paths: &[Vec<&str>]) -> Result<Expression, Vec<Wrong>> {
    a_condition(text, compile_within(text, paths, true)?)
}

fn a_condition(text: &str, (expression, kind): (Expression, Type)) -> Result<Expression, Vec<Wrong>> {
    if !kind.may_be(&Type::Bool) {
        let message = format!("this is {kind}, and a condition is `true` or `false`");
        let help = match kind {
            Type::Text => Some("compare it: `… == \"…\"`".to_owned()),
            Type::List(_) | Type::Map(_) => Some("ask what is in it: `\"…\" in …`, or `size(…) > 0`".to_owned()),
            _ => None,
        };
        return Err(vec![Wrong { part: (0, text.len()), message, help }]);
    }
    Ok(expression)
}

/// Any expression, with its type.
pub fn compile(text: &str, paths: &[Vec<&str>]) -> Result<(Expression, Type), Vec<Wrong>> {
    compile_within(text, paths, false)
}

fn compile_within(text: &str, paths: &[Vec<&str>], composes: bool) -> Result<(Expression, Type), Vec<Wrong>> {
    let whole = |message: String| vec![Wrong { part: (0, text.len()), message, help: None }];
    if text.len() > LONGEST {
        return Err(whole(format!("the expression is longer than {LONGEST} bytes")));
    }
    // The parser recurses as deep as a text of this length can nest, whatever limit it is given.
    std::thread::scope(|scope| {
        let deep = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, || read(text, paths, composes));
        let read = deep.ok().and_then(|thread| thread.join().ok());
        read.unwrap_or_else(|| Err(whole("the expression cannot be read".to_owned())))
    })
}

fn read(text: &str, paths: &[Vec<&str>], composes: bool) -> Result<(Expression, Type), Vec<Wrong>> {
    let whole = |message: String| vec![Wrong { part: (0, text.len()), message, help: None }];
    let (tree, places) = match Parser::new().max_recursion_depth(48).parse_with_source_info(text) {
        Ok(parsed) => parsed,
        Err(errors) => return Err(syntax(text, &errors)),
    };
    let mut checker =
        Checker { text, places: &places, paths, composes, nodes: Vec::new(), scopes: Vec::new(), wrong: Vec::new() };
    let kind = checker.check(&tree).map(|(_, kind)| kind);
    match (kind, checker.wrong.is_empty()) {
        (Some(kind), true) => match Expression::new(text.to_owned(), checker.nodes) {
            Ok(expression) => Ok((expression, kind)),
            Err(why) => Err(whole(why.to_owned())),
        },
        (None, true) => Err(whole("the expression cannot be read".to_owned())),
        (_, false) => Err(checker.wrong),
    }
}

/// What the parser did not understand. It tells every token that could have come instead, which helps nobody, so only
/// what it stumbled over is told.
fn syntax(text: &str, errors: &cel::ParseErrors) -> Vec<Wrong> {
    // What it makes of a tree with holes says nothing of how they came to be.
    let (first, then): (Vec<_>, Vec<_>) = errors.errors.iter().partition(|error| error.msg.starts_with("Syntax error"));
    let Some(error) = first.into_iter().chain(then).next() else {
        return vec![Wrong { part: (0, text.len()), message: "this is no expression".to_owned(), help: None }];
    };
    let at = offset(text, error.pos);
    let rest = &text[at..];
    let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    let length = length.max(rest.chars().next().map_or(0, char::len_utf8));
    let told = error.msg.trim_start_matches("Syntax error: ");
    let message = match (told.split_once(" expecting "), rest.is_empty()) {
        (_, true) => "the expression ends too early".to_owned(),
        (Some(_), _) => format!("`{}` is not expected here", &rest[..length]),
        (None, _) if told.contains("token recognition error") || told.contains("extraneous input") => {
            format!("`{}` is not expected here", &rest[..length])
        }
        (None, _) if told.contains("no viable alternative") => {
            format!("`{}` is not expected here", &rest[..length])
        }
        (None, _) => told.lines().next().unwrap_or_default().trim_end_matches('.').to_owned(),
    };
    let help = match rest.as_bytes() {
        [b'=', next, ..] if *next != b'=' => Some("write `==` to compare".to_owned()),
        [b'&', ..] => Some("write `&&` for “and”".to_owned()),
        [b'|', ..] => Some("write `||` for “or”".to_owned()),
        _ => None,
    };
    // One mistake makes the parser stumble several times.
    vec![Wrong { part: (at, at + length), message, help }]
}

/// From a line and a column, both from 1 on, to bytes.
fn offset(text: &str, (line, column): (isize, isize)) -> usize {
    let (line, column) = (usize::try_from(line - 1).unwrap_or(0), usize::try_from(column - 1).unwrap_or(0));
    let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let rest = text.get(start..).unwrap_or_default();
    start + rest.char_indices().nth(column).map_or(rest.trim_end_matches('\n').len(), |(at, _)| at)
}

struct Checker<'t> {
    text: &'t str,
    places: &'t SourceInfo,
    paths: &'t [Vec<&'t str>],
    /// Whether it belongs to a composition.
    composes: bool,
    nodes: Vec<(u32, Node)>,
    /// The variables of the macros around, the outermost first.
    scopes: Vec<(String, Type)>,
    wrong: Vec<Wrong>,
}

/// A node that has been made, and its type.
type Checked = Option<(Place, Type)>;

impl Checker<'_> {
    fn check(&mut self, tree: &IdedExpr) -> Checked {
        match &tree.expr {
            Expr::Literal(literal) => self.literal(tree, literal),
            Expr::Ident(_) | Expr::Select(_) => self.name(tree),
            Expr::Call(call) => self.call(tree, call),
            Expr::List(list) => {
                let parts = self.each_one(list.elements.iter())?;
                let of = parts.iter().map(|(_, kind)| kind.clone()).reduce(Type::join).unwrap_or(Type::Any);
                self.node(tree, Node::List(parts.into_iter().map(|(place, _)| place).collect()), Type::List(of.into()))
            }
            Expr::Map(map) => {
                let mut entries = Vec::new();
                let mut of: Option<Type> = None;
                for entry in &map.entries {
                    let EntryExpr::MapEntry(entry) = &entry.expr else { continue };
                    let (key, value) = (self.check(&entry.key), self.check(&entry.value));
                    let ((key, key_kind), (value, kind)) = (key?, value?);
                    if !matches!(key_kind, Type::Text | Type::Int | Type::Bool | Type::Any) {
                        return self.wrong(&entry.key, format!("{key_kind} cannot be a key"), None);
                    }
                    entries.push((key, value));
                    of = Some(of.map_or(kind.clone(), |of| of.join(kind)));
                }
                self.node(tree, Node::Map(entries), Type::Map(of.unwrap_or(Type::Any).into()))
            }
            Expr::Comprehension(each) => self.each(tree, each),
            Expr::Struct(_) => self.wrong(tree, "messages are not known here", Some("write a map: `{\"key\": value}`")),
            Expr::Unspecified => self.wrong(tree, "this is no expression", None),
        }
    }

    /// All of them, so that every mistake is found.
    fn each_one<'e>(&mut self, parts: impl Iterator<Item = &'e IdedExpr>) -> Option<Vec<(Place, Type)>> {
        let checked: Vec<Checked> = parts.map(|part| self.check(part)).collect();
        checked.into_iter().collect()
    }

    fn literal(&mut self, tree: &IdedExpr, literal: &LiteralValue) -> Checked {
        let (literal, kind) = match literal {
            LiteralValue::Null => (Literal::Null, Type::Null),
            LiteralValue::Boolean(value) => (Literal::Bool(*value.inner()), Type::Bool),
            LiteralValue::Int(number) => (Literal::Int(*number.inner()), Type::Int),
            LiteralValue::Double(number) if number.inner().is_finite() => {
                (Literal::Double(*number.inner()), Type::Double)
            }
            LiteralValue::Double(_) => return self.wrong(tree, "this number is too large", None),
            LiteralValue::String(text) => (Literal::Text(text.inner().to_owned()), Type::Text),
            LiteralValue::UInt(number) => {
                let help = format!("write `{}`", number.inner());
                return self.wrong(tree, "unsigned numbers are not known here", Some(&help));
            }
            LiteralValue::Bytes(_) => {
                return self.wrong(tree, "bytes are not known here", Some("write a text: `\"…\"`"));
            }
        };
        self.node(tree, Node::Literal(literal), kind)
    }

    /// A variable, one of its members, or a member of anything else.
    fn name(&mut self, tree: &IdedExpr) -> Checked {
        if let Some(known) = self.variable(tree) {
            return known;
        }
        let Expr::Select(select) = &tree.expr else { return None };
        let (of, kind) = self.check(&select.operand)?;
        self.member(tree, select, of, kind)
    }

    fn member(&mut self, tree: &IdedExpr, select: &SelectExpr, of: Place, kind: Type) -> Checked {
        let inner = match kind {
            Type::Map(inner) => *inner,
            Type::Any => Type::Any,
            other => {
                let message = format!("{other} has no members, so there is no `.{}`", select.field);
                return self.wrong_at(self.field(tree, &select.field), message, None);
            }
        };
        if !self.parameter(tree, of, &select.field) {
            return None;
        }
        let name = select.field.clone();
        match select.test {
            true => self.node(tree, Node::HasMember(of, name), Type::Bool),
            false => self.node(tree, Node::Member(of, name), inner),
        }
    }

    /// `Some` where this names something that the gateway knows, or nothing at all.
    fn variable(&mut self, tree: &IdedExpr) -> Option<Checked> {
        let (names, test) = dotted(tree)?;
        let root = names.first()?;
        if let Some(at) = self.scopes.iter().rposition(|(name, _)| name == root) {
            if names.len() > 1 {
                return None;
            }
            let kind = self.scopes[at].1.clone();
            let number = u8::try_from(at).unwrap_or(u8::MAX);
            return Some(self.node(tree, Node::Item(number), kind));
        }
        let path = names.join(".");
        let known = |(_, variable): &&(&str, Variable)| self.composes || !variable.is_of_composition();
        if let Some((_, variable)) = Variable::ALL.iter().filter(known).find(|(name, _)| *name == path) {
            let kind = type_of(*variable);
            return Some(match test {
                true => self.node(tree, Node::IsKnown(*variable), Type::Bool),
                false => self.node(tree, Node::Variable(*variable), kind),
            });
        }
        let is_object =
            Variable::ALL.iter().any(|(name, _)| name.strip_prefix(&path).is_some_and(|rest| rest.starts_with('.')));
        if is_object && test {
            // `has(client.certificate)`: who has a certificate has a fingerprint.
            let variable = Variable::ALL.iter().find(|(name, _)| name.starts_with(&format!("{path}.")))?.1;
            return Some(self.node(tree, Node::IsKnown(variable), Type::Bool));
        }
        if is_object {
            let members = members(&path);
            let message = format!("`{path}` is no value by itself");
            let help = format!("name one of its members: {}", list(&members));
            return Some(self.wrong(tree, message, Some(&help)));
        }
        // A member of something that is known: a claim.
        if names.len() > 1 {
            let parent = names[..names.len() - 1].join(".");
            let reached = Variable::ALL
                .iter()
                .filter(known)
                .any(|(name, _)| parent == *name || parent.starts_with(&format!("{name}.")));
            if reached {
                return None;
            }
            let objects = Variable::ALL.iter().any(|(name, _)| name.starts_with(&format!("{parent}.")));
            if objects {
                let members = members(&parent);
                let (name, at) = (names[names.len() - 1], self.field(tree, names[names.len() - 1]));
                let help = match closest(name, members.iter().copied()) {
                    Some(meant) => format!("did you mean `{parent}.{meant}`?"),
                    None => format!("there are {}", list(&members)),
                };
                return Some(self.wrong_at(at, format!("there is no `{path}`"), Some(&help)));
            }
            return None;
        }
        let known_here = |(_, variable): &&(&str, Variable)| self.composes || !variable.is_of_composition();
        let mut known: Vec<&str> = Vec::new();
        let roots = Variable::ALL.iter().filter(known_here).map(|(name, _)| name.split('.').next().unwrap_or_default());
        for root in self.scopes.iter().map(|(name, _)| name.as_str()).chain(roots) {
            if !known.contains(&root) {
                known.push(root);
            }
        }
        let help = match closest(root, known.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("there are {}; a text stands in quotes: `\"{root}\"`", list(&known)),
        };
        Some(self.wrong(tree, format!("there is no variable `{root}`"), Some(&help)))
    }

    /// Whether the route has this parameter, if one is asked for.
    fn parameter(&mut self, tree: &IdedExpr, of: Place, name: &str) -> bool {
        if !matches!(self.nodes.get(usize::from(of)), Some((_, Node::Variable(Variable::Parameters)))) {
            return true;
        }
        let Some(known) = self.paths.iter().find(|known| !known.contains(&name)) else { return true };
        let which = if self.paths.len() == 1 { "the path of this route" } else { "one of the paths of this route" };
        let help = match closest(name, known.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None if known.is_empty() => format!("name it in `path`, such as `/files/{{{name}}}`"),
            None => format!("there are {}", list(known)),
        };
        self.wrong_at(self.field(tree, name), format!("{which} has no parameter `{name}`"), Some(&help));
        false
    }

    fn call(&mut self, tree: &IdedExpr, call: &CallExpr) -> Checked {
        let name = call.func_name.as_str();
        let parts: Vec<&IdedExpr> = call.target.as_deref().into_iter().chain(&call.args).collect();
        match (name, parts.as_slice()) {
            ("matches", [text, pattern]) => return self.matches(tree, text, pattern),
            ("dyn", [one]) if call.target.is_none() => return self.check(one).map(|(place, _)| (place, Type::Any)),
            ("timestamp" | "duration" | "cidr", [one]) if call.target.is_none() => {
                if let Some(literal) = self.constant(tree, name, one) {
                    return literal;
                }
            }
            _ => {}
        }
        let known = Function::NAMES.iter().find(|(known, _)| *known == name).map(|(_, function)| *function);
        let known = known.filter(|function| call.target.is_some() == function.follows() || *function == Function::Size);
        let Some(function) = known else {
            return self.unknown_function(tree, call);
        };
        let (places, kinds): (Vec<Place>, Vec<Type>) = self.each_one(parts.iter().copied())?.into_iter().unzip();
        if let (Function::Index, [of, _], [_, key]) = (function, places.as_slice(), parts.as_slice())
            && let Expr::Literal(LiteralValue::String(text)) = &key.expr
            && !self.parameter(key, *of, text.inner())
        {
            return None;
        }
        match result(function, &kinds) {
            Some(kind) => self.node(tree, Node::Call(function, places), kind),
            None => {
                let given: Vec<String> = kinds.iter().map(ToString::to_string).collect();
                let message = match given.as_slice() {
                    [] => format!("`{}` needs something to work on", shown(name)),
                    given => format!("`{}` does not go with {}", shown(name), given.join(" and ")),
                };
                let help = advice(function, &kinds);
                self.wrong(tree, message, help)
            }
        }
    }

    fn unknown_function(&mut self, tree: &IdedExpr, call: &CallExpr) -> Checked {
        let name = call.func_name.as_str();
        let at = self.field(tree, name);
        let known: Vec<&str> = Function::NAMES
            .iter()
            .filter(|(known, function)| {
                known.starts_with(char::is_alphabetic)
                    && (function.follows() == call.target.is_some() || *function == Function::Size)
            })
            .map(|(known, _)| *known)
            .chain(MACROS.iter().copied().filter(|name| (*name != "has" && *name != "dyn") == call.target.is_some()))
            .collect();
        if let Some((_, function)) = Function::NAMES.iter().find(|(known, _)| *known == name) {
            let help =
                if function.follows() { format!("write `….{name}(…)`") } else { format!("write `{name}(…)`") };
            return self.wrong_at(at, format!("`{name}` is not called like this"), Some(&help));
        }
        if MACROS.contains(&name) {
            let help = match name {
                "has" => "write `has(claims.tenant)`: what it asks for has a dot in it",
                "map" => "write `….map(item, value)`, or `….map(item, condition, value)`",
                _ => "write it like `scopes.exists(item, item == \"admin\")`",
            };
            return self.wrong_at(at, format!("`{name}` is not called like this"), Some(help));
        }
        let help = match closest(name, known.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "the documentation lists all functions: docs/expressions.md".to_owned(),
        };
        self.wrong_at(at, format!("there is no function `{name}`"), Some(&help))
    }

    /// A regular expression is compiled before any request comes, so it must stand there.
    fn matches(&mut self, tree: &IdedExpr, text: &IdedExpr, pattern: &IdedExpr) -> Checked {
        let checked = self.check(text);
        let Expr::Literal(LiteralValue::String(written)) = &pattern.expr else {
            let help = "write it as a text: `matches(\"^[a-z]+$\")`";
            return self.wrong(pattern, "a regular expression cannot depend on the request", Some(help));
        };
        let small = regex_lite::RegexBuilder::new(written.inner()).size_limit(LARGEST_REGEX).build();
        let regex = match (small, written.inner().parse::<Regex>()) {
            (Ok(_), Ok(regex)) => regex,
            (Err(error), Ok(_)) => return self.wrong(pattern, format!("this is too large: {error}"), None),
            (_, Err(message)) => return self.wrong(pattern, message, None),
        };
        let (place, kind) = checked?;
        if !kind.may_be(&Type::Text) {
            return self.wrong(tree, format!("`matches` does not go with {kind}"), None);
        }
        self.node(tree, Node::Matches(place, regex), Type::Bool)
    }

    /// A moment, a span or a range that stands there as a text; `None` where it does not.
    fn constant(&mut self, tree: &IdedExpr, name: &str, argument: &IdedExpr) -> Option<Checked> {
        let Expr::Literal(LiteralValue::String(text)) = &argument.expr else { return None };
        let text = text.inner();
        let (literal, kind, help) = match name {
            "timestamp" => (text.parse().ok().map(Literal::Instant), Type::Instant, "write `2027-01-31T18:00:00Z`"),
            "duration" => (text.parse().ok().map(Literal::Duration), Type::Duration, "write `90s`, `1h30m` or `250ms`"),
            _ => match text.parse::<Cidr>() {
                Ok(range) => (Some(Literal::Range(range)), Type::Range, ""),
                Err(message) => return Some(self.wrong(argument, message, None)),
            },
        };
        Some(match literal {
            Some(literal) => self.node(tree, Node::Literal(literal), kind),
            None => self.wrong(argument, format!("`{text}` is no {name}"), Some(help)),
        })
    }

    /// The parser turns macros into loops; each kind is told by what it starts with.
    fn each(&mut self, tree: &IdedExpr, each: &ComprehensionExpr) -> Checked {
        let (range, kind) = self.check(&each.iter_range)?;
        let item = match kind {
            Type::List(item) => *item,
            Type::Map(_) => Type::Text,
            Type::Any => Type::Any,
            other => {
                let message = format!("{other} has no items to look at");
                return self.wrong(&each.iter_range, message, None);
            }
        };
        if self.scopes.len() >= MOST_SCOPES {
            return self.wrong(tree, "macros are nested too deep", None);
        }
        self.scopes.push((each.iter_var.clone(), item));
        let made = self.each_of(tree, each, range);
        self.scopes.pop();
        made
    }

    fn each_of(&mut self, tree: &IdedExpr, each: &ComprehensionExpr, range: Place) -> Checked {
        let step = |expr: &'_ Expr| match expr {
            Expr::Call(call) => call.args.clone(),
            _ => Vec::new(),
        };
        let unknown = "this macro is not known here";
        match (&each.accu_init.expr, step(&each.loop_step.expr).as_slice()) {
            (Expr::Literal(LiteralValue::Boolean(start)), [_, test]) => {
                let test = self.test(test)?;
                let each = if *start.inner() { Each::All(test) } else { Each::Exists(test) };
                self.node(tree, Node::Each(range, each), Type::Bool)
            }
            (Expr::Literal(LiteralValue::Int(_)), [test, _, _]) => {
                let test = self.test(test)?;
                self.node(tree, Node::Each(range, Each::ExistsOne(test)), Type::Bool)
            }
            (Expr::List(_), [test, add, _]) => {
                let test = self.test(test)?;
                let [_, item] = &step(&add.expr)[..] else { return self.wrong(tree, unknown, None) };
                self.gather(tree, range, item, Some(test))
            }
            (Expr::List(_), [_, item]) => self.gather(tree, range, item, None),
            _ => self.wrong(tree, unknown, None),
        }
    }

    fn gather(&mut self, tree: &IdedExpr, range: Place, item: &IdedExpr, only: Option<Place>) -> Checked {
        // The parser puts each item into a list of one.
        let Expr::List(list) = &item.expr else { return self.wrong(tree, "this macro is not known here", None) };
        let [item] = list.elements.as_slice() else { return self.wrong(tree, "this macro is not known here", None) };
        let (item, kind) = self.check(item)?;
        self.node(tree, Node::Each(range, Each::Gather(item, only)), Type::List(kind.into()))
    }

    fn test(&mut self, tree: &IdedExpr) -> Option<Place> {
        let (place, kind) = self.check(tree)?;
        if !kind.may_be(&Type::Bool) {
            self.wrong(tree, format!("this is {kind}, and must be `true` or `false`"), None)?;
            return None;
        }
        Some(place)
    }

    fn node(&mut self, tree: &IdedExpr, node: Node, kind: Type) -> Checked {
        let place = Place::try_from(self.nodes.len()).ok().filter(|place| usize::from(*place) < MOST_NODES);
        let Some(place) = place else {
            return self.wrong(tree, format!("the expression has more than {MOST_NODES} parts"), None);
        };
        let at = u32::try_from(self.place(tree).0).unwrap_or(u32::MAX);
        self.nodes.push((at, node));
        Some((place, kind))
    }

    fn wrong(&mut self, tree: &IdedExpr, message: impl Into<String>, help: Option<&str>) -> Checked {
        self.wrong_at(self.place(tree), message, help)
    }

    fn wrong_at(&mut self, part: (usize, usize), message: impl Into<String>, help: Option<&str>) -> Checked {
        // A fault of a part is not told again for the whole.
        if self.wrong.len() < 20 {
            self.wrong.push(Wrong { part, message: message.into(), help: help.map(str::to_owned) });
        }
        None
    }

    /// Where the token stands that makes this node, or the whole name with its dots, in bytes.
    fn place(&self, tree: &IdedExpr) -> (usize, usize) {
        if let Expr::Select(select) = &tree.expr {
            let (dot, stop) = self.token(tree);
            let name = self.text[dot..].find(&select.field).map_or(stop, |at| dot + at + select.field.len());
            return (self.place(&select.operand).0.min(dot), name);
        }
        self.token(tree)
    }

    fn token(&self, tree: &IdedExpr) -> (usize, usize) {
        let Some((start, stop)) = self.places.offset_for(tree.id) else { return (0, self.text.len()) };
        let start = self.text.floor_char_boundary(start as usize);
        // The parser names the last byte.
        let stop = self.text.ceil_char_boundary((stop as usize).saturating_add(1)).min(self.text.len());
        (start, stop.max(start))
    }

    /// Where a name stands: at the node's token, or soon after it.
    fn field(&self, tree: &IdedExpr, name: &str) -> (usize, usize) {
        let (start, stop) = self.token(tree);
        let found = self.text[start..].find(name).map(|at| (start + at, start + at + name.len()));
        found.or_else(|| self.text[..start].rfind(name).map(|at| (at, at + name.len()))).unwrap_or((start, stop))
    }
}

/// How deep macros may stand in macros.
const MOST_SCOPES: usize = 8;

const MACROS: [&str; 9] = ["has", "dyn", "matches", "all", "exists", "exists_one", "existsOne", "filter", "map"];

/// The names of `a.b.c`, and whether `has` asks for the last; `None` where it is something else.
fn dotted(tree: &IdedExpr) -> Option<(Vec<&str>, bool)> {
    match &tree.expr {
        Expr::Ident(name) => Some((vec![name], false)),
        Expr::Select(select) => {
            let (mut names, _) = dotted(&select.operand)?;
            names.push(&select.field);
            Some((names, select.test))
        }
        _ => None,
    }
}

/// What stands behind a name and a dot.
fn members(of: &str) -> Vec<&'static str> {
    let mut members = Vec::new();
    for (name, _) in Variable::ALL {
        let member =
            name.strip_prefix(of).and_then(|rest| rest.strip_prefix('.')).and_then(|rest| rest.split('.').next());
        if let Some(member) = member
            && !members.contains(&member)
        {
            members.push(member);
        }
    }
    members
}

fn list(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

/// An operator's or function's name as it is written.
fn shown(name: &str) -> &str {
    match name {
        "_[_]" => "[…]",
        "_?_:_" => "? :",
        _ => name.trim_matches(['_', '@']),
    }
}

fn advice(function: Function, kinds: &[Type]) -> Option<&'static str> {
    match (function, kinds) {
        (Function::Equal | Function::NotEqual, [Type::Text, Type::List(_)] | [Type::List(_), Type::Text]) => {
            Some("ask whether the list has it: `… in …`")
        }
        (Function::And | Function::Or | Function::Not, kinds) if kinds.contains(&Type::Text) => {
            Some("compare the text: `… == \"…\"`")
        }
        (Function::Equal | Function::NotEqual | Function::Less | Function::Greater, [Type::Text, Type::Int]) => {
            Some("convert the text: `int(…)`")
        }
        (Function::In, [_, Type::Text]) => Some("write `….contains(…)` to look into a text"),
        _ => None,
    }
}

impl Function {
    /// Whether it stands behind what it works on: `text.contains("x")`.
    fn follows(self) -> bool {
        matches!(
            self,
            Function::Contains
                | Function::StartsWith
                | Function::EndsWith
                | Function::LowerAscii
                | Function::UpperAscii
                | Function::Trim
                | Function::Split
                | Function::Join
                | Function::FullYear
                | Function::Month
                | Function::Date
                | Function::DayOfMonth
                | Function::DayOfWeek
                | Function::DayOfYear
                | Function::Hours
                | Function::Minutes
                | Function::Seconds
                | Function::Milliseconds
                | Function::ContainsIp
        )
    }
}

fn type_of(variable: Variable) -> Type {
    match variable {
        Variable::Headers | Variable::Query | Variable::Cookies | Variable::Parameters => Type::Map(Type::Text.into()),
        Variable::Groups | Variable::Scopes => Type::List(Type::Text.into()),
        Variable::Claims | Variable::Steps => Type::Map(Type::Any.into()),
        Variable::Each => Type::Any,
        Variable::Now => Type::Instant,
        Variable::Method
        | Variable::Scheme
        | Variable::Host
        | Variable::Path
        | Variable::Address
        | Variable::Country
        | Variable::DataCentre
        | Variable::CertificateSubject
        | Variable::CertificateIssuer
        | Variable::CertificateFingerprint
        | Variable::CertificateSerial
        | Variable::Consumer
        | Variable::Subject
        | Variable::Issuer
        | Variable::Route
        | Variable::RpcMethod => Type::Text,
    }
}

/// The type of a function's result; `None` where it does not take what it is given.
fn result(function: Function, kinds: &[Type]) -> Option<Type> {
    use Function as F;
    let is = |kind: &Type, wanted: &Type| kind.may_be(wanted);
    Some(match (function, kinds) {
        (F::And | F::Or, [one, other]) if is(one, &Type::Bool) && is(other, &Type::Bool) => Type::Bool,
        (F::Not, [one]) if is(one, &Type::Bool) => Type::Bool,
        (F::Conditional, [condition, yes, no]) if is(condition, &Type::Bool) => yes.clone().join(no.clone()),
        (F::Equal | F::NotEqual, [one, other]) if one.compares(other) => Type::Bool,
        (F::Less | F::LessEqual | F::Greater | F::GreaterEqual, [one, other])
            if one.compares(other) && one.is_ordered() && other.is_ordered() =>
        {
            Type::Bool
        }
        (F::In, [item, Type::List(of)]) if item.compares(of) => Type::Bool,
        (F::In, [Type::Text | Type::Int | Type::Bool | Type::Any, Type::Map(_)]) | (F::In, [_, Type::Any]) => {
            Type::Bool
        }
        (F::Index, [Type::List(of), Type::Int | Type::Any]) => (**of).clone(),
        (F::Index, [Type::Map(of), Type::Text | Type::Int | Type::Bool | Type::Any]) => (**of).clone(),
        (F::Index, [Type::Any, Type::Text | Type::Int | Type::Bool | Type::Any]) => Type::Any,
        (F::Add, [Type::List(one), Type::List(other)]) => Type::List((**one).clone().join((**other).clone()).into()),
        (F::Add, [Type::Text, Type::Text]) => Type::Text,
        (F::Add, [Type::Instant, Type::Duration] | [Type::Duration, Type::Instant]) => Type::Instant,
        (F::Add | F::Subtract, [Type::Duration, Type::Duration]) => Type::Duration,
        (F::Subtract, [Type::Instant, Type::Instant]) => Type::Duration,
        (F::Subtract, [Type::Instant, Type::Duration]) => Type::Instant,
        (F::Add | F::Subtract | F::Multiply | F::Divide | F::Remainder, [Type::Int, Type::Int]) => Type::Int,
        (F::Add | F::Subtract | F::Multiply | F::Divide, [Type::Double, Type::Double]) => Type::Double,
        (F::Add | F::Subtract, [Type::Any, _] | [_, Type::Any]) => Type::Any,
        (F::Multiply | F::Divide | F::Remainder, [Type::Any, Type::Int | Type::Double | Type::Any])
        | (F::Multiply | F::Divide | F::Remainder, [Type::Int | Type::Double, Type::Any]) => Type::Any,
        (F::Negate, [Type::Int]) => Type::Int,
        (F::Negate, [Type::Double]) => Type::Double,
        (F::Negate, [Type::Any]) => Type::Any,
        (F::Size, [Type::Text | Type::List(_) | Type::Map(_) | Type::Any]) => Type::Int,
        (F::Contains | F::StartsWith | F::EndsWith, [one, other]) if is(one, &Type::Text) && is(other, &Type::Text) => {
            Type::Bool
        }
        (F::LowerAscii | F::UpperAscii | F::Trim, [one]) if is(one, &Type::Text) => Type::Text,
        (F::Split, [one, other]) if is(one, &Type::Text) && is(other, &Type::Text) => Type::List(Type::Text.into()),
        (F::Join, [Type::List(of), rest @ ..]) if is(of, &Type::Text) && separates(rest) => Type::Text,
        (F::Join, [Type::Any, rest @ ..]) if separates(rest) => Type::Text,
        (F::Bool, [Type::Bool | Type::Text | Type::Any]) => Type::Bool,
        (F::Int, [Type::Int | Type::Double | Type::Text | Type::Instant | Type::Any]) => Type::Int,
        (F::Double, [Type::Int | Type::Double | Type::Text | Type::Any]) => Type::Double,
        (
            F::String,
            [Type::Text | Type::Bool | Type::Int | Type::Double | Type::Instant | Type::Duration | Type::Any],
        ) => Type::Text,
        (F::Timestamp, [Type::Text | Type::Int | Type::Instant | Type::Any]) => Type::Instant,
        (F::Duration, [Type::Text | Type::Duration | Type::Any]) => Type::Duration,
        (F::Cidr, [one]) if is(one, &Type::Text) => Type::Range,
        (F::ContainsIp, [Type::Range, address]) if is(address, &Type::Text) => Type::Bool,
        (F::IsIp, [one]) if is(one, &Type::Text) => Type::Bool,
        (F::Hours | F::Minutes | F::Seconds | F::Milliseconds, [Type::Duration | Type::Any]) => Type::Int,
        (
            F::FullYear
            | F::Month
            | F::Date
            | F::DayOfMonth
            | F::DayOfWeek
            | F::DayOfYear
            | F::Hours
            | F::Minutes
            | F::Seconds
            | F::Milliseconds,
            [Type::Instant | Type::Any] | [Type::Instant | Type::Any, Type::Text],
        ) => Type::Int,
        _ => return None,
    })
}

fn separates(rest: &[Type]) -> bool {
    match rest {
        [] => true,
        [separator] => separator.may_be(&Type::Text),
        _ => false,
    }
}

impl Type {
    fn may_be(&self, wanted: &Type) -> bool {
        self == wanted || *self == Type::Any
    }

    /// What is one or the other.
    fn join(self, other: Type) -> Type {
        match (self, other) {
            (one, other) if one == other => one,
            (Type::List(one), Type::List(other)) => Type::List(one.join(*other).into()),
            (Type::Map(one), Type::Map(other)) => Type::Map(one.join(*other).into()),
            _ => Type::Any,
        }
    }

    /// Whether two values could ever be equal.
    fn compares(&self, other: &Type) -> bool {
        match (self, other) {
            (Type::Any | Type::Null, _) | (_, Type::Any | Type::Null) => true,
            (Type::Int | Type::Double, Type::Int | Type::Double) => true,
            (Type::List(one), Type::List(other)) | (Type::Map(one), Type::Map(other)) => one.compares(other),
            (one, other) => one == other,
        }
    }

    fn is_ordered(&self) -> bool {
        match self {
            Type::Bool | Type::Int | Type::Double | Type::Text | Type::Instant | Type::Duration | Type::Any => true,
            Type::Null | Type::Range | Type::List(_) | Type::Map(_) => false,
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Type::Null => "`null`",
            Type::Bool => "true or false",
            Type::Int => "a whole number",
            Type::Double => "a number with a fraction",
            Type::Text => "a text",
            Type::Instant => "a timestamp",
            Type::Duration => "a duration",
            Type::Range => "a range of addresses",
            Type::List(_) => "a list",
            Type::Map(_) => "a map",
            Type::Any => "a value of any type",
        })
    }
}
