//! A GraphQL document as it was sent: read once, without recursion, and kept as a flat list of its selections.
//!
//! The tokens are those of `apollo-parser` (September 2025 edition). Its parser builds a tree by recursion, and with it comes a
//! library of trees; what is needed here are counts, so that the grammar of executable documents is below.

use super::Kind;
use apollo_parser::{Lexer, TokenKind};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

/// A document that was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Document<'a> {
    /// What can be asked for.
    pub operations: Vec<Operation<'a>>,
    /// What selections share.
    pub fragments: Vec<Fragment<'a>>,
    /// All selections: each is followed by those that are in it.
    pub selections: Vec<Selection<'a>>,
    /// The arguments of all fields.
    pub arguments: Vec<Argument<'a>>,
    tokens: Vec<Token<'a>>,
    by_name: HashMap<&'a str, u32>,
}

/// An operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation<'a> {
    /// Its name; empty where it has none.
    pub name: &'a str,
    /// What it does.
    pub kind: Kind,
    /// Its variables.
    pub variables: Vec<Variable<'a>>,
    /// The directives that stand on it and on its variables.
    pub directives: u32,
    /// What it selects: places in [`Document::selections`].
    pub selections: (u32, u32),
}

/// A variable that an operation declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable<'a> {
    /// Its name, without `$`.
    pub name: &'a str,
    /// The innermost type's name.
    pub kind: &'a str,
    /// Whether it is a list of those.
    pub list: bool,
    /// Whether there must be a value: it is declared with `!`.
    pub required: bool,
    /// What it is where no value is given.
    pub default: Option<Value<'a>>,
}

/// A fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// Its name.
    pub name: &'a str,
    /// The type that it is for.
    pub on: &'a str,
    /// The directives that stand on it.
    pub directives: u32,
    /// What it selects: places in [`Document::selections`].
    pub selections: (u32, u32),
}

/// One selection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selection<'a> {
    /// What is selected.
    pub what: Selected<'a>,
    /// How many directives stand on it.
    pub directives: u32,
    /// The place after all that is in it.
    pub next: u32,
}

/// What is selected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selected<'a> {
    /// A field, by its own name.
    Field {
        /// Its name.
        name: &'a str,
        /// Whether the answer calls it otherwise.
        aliased: bool,
        /// Places in [`Document::arguments`].
        arguments: (u32, u32),
    },
    /// Selections for one type, if it names any, or under directives.
    Inline(Option<&'a str>),
    /// A fragment, by its name.
    Spread(&'a str),
}

/// An argument of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Argument<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it is.
    pub value: Value<'a>,
}

/// A value, as far as anybody looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// What the variable of this name is.
    Variable(&'a str),
    /// A whole number, as it is written.
    Int(&'a str),
    /// Anything else.
    Other,
}

/// A token that means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Token<'a> {
    kind: TokenKind,
    text: &'a str,
    at: usize,
}

/// What is read at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Most {
    /// Tokens that mean something.
    pub tokens: u32,
    /// How deep selections stand in each other in the text, and how deep values do.
    pub nesting: u32,
}

/// What is read of documents that the configuration holds.
pub const TRUSTED: Most = Most { tokens: 1_000_000, nesting: 1_000 };

/// Why a text is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    /// It is no document from this byte on.
    Syntax {
        /// The byte.
        at: usize,
        /// What is wrong, or was expected.
        why: Cow<'static, str>,
    },
    /// It has more tokens.
    Tokens,
    /// Its selections or values stand deeper in each other.
    Nesting,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::Syntax { at, why } => write!(f, "it is no GraphQL document from byte {at} on: {why}"),
            Wrong::Tokens => f.write_str("it has more tokens than are taken"),
            Wrong::Nesting => f.write_str("its selections or values stand deeper in each other than is taken"),
        }
    }
}

impl<'a> Document<'a> {
    /// Reads an executable document: operations and fragments, at least one operation.
    ///
    /// # Errors
    /// Where it is none, or holds more than is taken. Names that stand twice are refused: nobody could say what they mean.
    pub fn read(text: &'a str, most: Most) -> Result<Self, Wrong> {
        let tokens = tokens(text, most.tokens)?;
        let mut reader = Reader { tokens, at: 0, most, end: text.len(), document: Document::default() };
        reader.definitions()?;
        let Reader { tokens, mut document, .. } = reader;
        document.tokens = tokens;
        Ok(document)
    }

    /// The operation that is meant (GraphQL §6.1). `None` where it is not there, or nobody says which.
    pub fn operation(&self, name: Option<&str>) -> Option<&Operation<'a>> {
        match name {
            Some(name) => self.operations.iter().find(|operation| operation.name == name && !name.is_empty()),
            None if self.operations.len() == 1 => self.operations.first(),
            None => None,
        }
    }

    /// The place of the fragment of this name.
    pub fn fragment(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    /// The arguments of a field.
    pub fn arguments(&self, (start, end): (u32, u32)) -> &[Argument<'a>] {
        self.arguments.get(start as usize..end as usize).unwrap_or_default()
    }

    /// How many tokens it has.
    pub fn tokens(&self) -> usize {
        self.tokens.len()
    }

    /// Its one spelling: the tokens, without all that stands between them. Two documents with the same one mean the same.
    pub fn canonical(&self) -> String {
        let mut text = String::new();
        let mut before = false;
        for token in &self.tokens {
            let wordy =
                matches!(token.kind, TokenKind::Name | TokenKind::Int | TokenKind::Float | TokenKind::StringValue);
            // Two quotes of two strings would be the beginning of another one.
            if before && wordy {
                text.push(' ');
            }
            text.push_str(token.text);
            before = wordy;
        }
        text
    }
}

fn tokens(text: &str, most: u32) -> Result<Vec<Token<'_>>, Wrong> {
    let mut tokens = Vec::new();
    for token in Lexer::new(text) {
        let token = token.map_err(|error| Wrong::Syntax {
            at: error.index().min(text.len()),
            why: error.message().to_owned().into(),
        })?;
        match token.kind() {
            TokenKind::Whitespace | TokenKind::Comment | TokenKind::Comma | TokenKind::Eof => {}
            kind => {
                if tokens.len() >= most as usize {
                    return Err(Wrong::Tokens);
                }
                tokens.push(Token { kind, text: token.data(), at: token.index() });
            }
        }
    }
    Ok(tokens)
}

struct Reader<'a> {
    tokens: Vec<Token<'a>>,
    at: usize,
    most: Most,
    end: usize,
    document: Document<'a>,
}

impl<'a> Reader<'a> {
    fn definitions(&mut self) -> Result<(), Wrong> {
        while self.at < self.tokens.len() {
            if self.peek() == Some(TokenKind::LCurly) {
                self.operation(Kind::Query, true)?;
                continue;
            }
            self.description();
            let at = self.at;
            match self.name()? {
                "fragment" => self.fragment()?,
                word => match Kind::ALL.iter().find(|(known, _)| *known == word) {
                    Some((_, kind)) => self.operation(*kind, false)?,
                    None => {
                        self.at = at;
                        return Err(self.expected("an operation or a fragment"));
                    }
                },
            }
        }
        if self.document.operations.is_empty() {
            return Err(self.expected("an operation"));
        }
        if self.document.operations.len() > 1 && self.document.operations.iter().any(|known| known.name.is_empty()) {
            return Err(Wrong::Syntax { at: 0, why: "of several operations, each needs a name".into() });
        }
        Ok(())
    }

    fn operation(&mut self, kind: Kind, short: bool) -> Result<(), Wrong> {
        let mut operation = Operation { name: "", kind, variables: Vec::new(), directives: 0, selections: (0, 0) };
        if !short {
            if self.peek() == Some(TokenKind::Name) {
                operation.name = self.name()?;
                if self.document.operations.iter().any(|known| known.name == operation.name) {
                    return Err(self.twice(operation.name));
                }
            }
            if self.eat(TokenKind::LParen) {
                while !self.eat(TokenKind::RParen) || operation.variables.is_empty() {
                    let variable = self.variable(&mut operation.directives)?;
                    operation.variables.push(variable);
                }
            }
            operation.directives = operation.directives.saturating_add(self.directives(false)?);
        }
        operation.selections = self.selections()?;
        self.document.operations.push(operation);
        Ok(())
    }

    fn variable(&mut self, directives: &mut u32) -> Result<Variable<'a>, Wrong> {
        self.description();
        self.expect(TokenKind::Dollar, "a variable")?;
        let name = self.name()?;
        self.expect(TokenKind::Colon, "`:`")?;
        let mut lists = 0;
        while self.eat(TokenKind::LBracket) {
            lists += 1;
        }
        let kind = self.name()?;
        let mut required = self.eat(TokenKind::Bang);
        for _ in 0..lists {
            self.expect(TokenKind::RBracket, "`]`")?;
            required = self.eat(TokenKind::Bang);
        }
        let default = if self.eat(TokenKind::Eq) { Some(self.value(true)?) } else { None };
        *directives = directives.saturating_add(self.directives(true)?);
        Ok(Variable { name, kind, list: lists > 0, required, default })
    }

    fn fragment(&mut self) -> Result<(), Wrong> {
        let name = self.name()?;
        if name == "on" {
            self.at -= 1;
            return Err(self.expected("the name of a fragment"));
        }
        if self.name()? != "on" {
            self.at -= 1;
            return Err(self.expected("`on`"));
        }
        let on = self.name()?;
        let directives = self.directives(false)?;
        let place = u32::try_from(self.document.fragments.len()).unwrap_or(u32::MAX);
        if self.document.by_name.insert(name, place).is_some() {
            return Err(self.twice(name));
        }
        let selections = self.selections()?;
        self.document.fragments.push(Fragment { name, on, directives, selections });
        Ok(())
    }

    /// A whole set, with all sets in it.
    fn selections(&mut self) -> Result<(u32, u32), Wrong> {
        self.expect(TokenKind::LCurly, "`{`")?;
        let start = self.place();
        let mut open: Vec<usize> = Vec::new();
        let mut is_empty = true;
        loop {
            if !is_empty && self.eat(TokenKind::RCurly) {
                let next = self.place();
                match open.pop() {
                    Some(outer) => {
                        if let Some(outer) = self.document.selections.get_mut(outer) {
                            outer.next = next;
                        }
                        continue;
                    }
                    None => return Ok((start, next)),
                }
            }
            let (what, directives, needs_set) = self.selection()?;
            let place = self.document.selections.len();
            self.document.selections.push(Selection { what, directives, next: self.place().saturating_add(1) });
            is_empty = match what {
                Selected::Spread(_) => false,
                Selected::Field { .. } | Selected::Inline(_) => self.eat(TokenKind::LCurly),
            };
            if is_empty {
                open.push(place);
                if open.len() >= self.most.nesting as usize {
                    return Err(Wrong::Nesting);
                }
            } else if needs_set {
                return Err(self.expected("`{`"));
            }
        }
    }

    /// One selection without its set, and whether it must have one.
    fn selection(&mut self) -> Result<(Selected<'a>, u32, bool), Wrong> {
        if self.eat(TokenKind::Spread) {
            let mut on = None;
            if self.peek() == Some(TokenKind::Name) {
                let name = self.name()?;
                if name != "on" {
                    return Ok((Selected::Spread(name), self.directives(false)?, false));
                }
                on = Some(self.name()?);
            }
            return Ok((Selected::Inline(on), self.directives(false)?, true));
        }
        if self.peek() != Some(TokenKind::Name) {
            return Err(self.expected("a field"));
        }
        let mut name = self.name()?;
        let aliased = self.eat(TokenKind::Colon);
        if aliased {
            name = self.name()?;
        }
        let start = u32::try_from(self.document.arguments.len()).unwrap_or(u32::MAX);
        self.arguments(false, true)?;
        let end = u32::try_from(self.document.arguments.len()).unwrap_or(u32::MAX);
        Ok((Selected::Field { name, aliased, arguments: (start, end) }, self.directives(false)?, false))
    }

    fn arguments(&mut self, constant: bool, kept: bool) -> Result<(), Wrong> {
        if !self.eat(TokenKind::LParen) {
            return Ok(());
        }
        loop {
            let name = self.name()?;
            self.expect(TokenKind::Colon, "`:`")?;
            let value = self.value(constant)?;
            if kept {
                self.document.arguments.push(Argument { name, value });
            }
            if self.eat(TokenKind::RParen) {
                return Ok(());
            }
        }
    }

    fn directives(&mut self, constant: bool) -> Result<u32, Wrong> {
        let mut count: u32 = 0;
        while self.eat(TokenKind::At) {
            self.name()?;
            self.arguments(constant, false)?;
            count = count.saturating_add(1);
        }
        Ok(count)
    }

    /// A value with all that is in it.
    fn value(&mut self, constant: bool) -> Result<Value<'a>, Wrong> {
        // The closing tokens of what is open.
        let mut open: Vec<TokenKind> = Vec::new();
        loop {
            if let Some(close) = open.last().copied() {
                if self.eat(close) {
                    open.pop();
                    if open.is_empty() {
                        return Ok(Value::Other);
                    }
                    continue;
                }
                if close == TokenKind::RCurly {
                    self.name()?;
                    self.expect(TokenKind::Colon, "`:`")?;
                }
            }
            let Some(token) = self.tokens.get(self.at).copied() else { return Err(self.expected("a value")) };
            let value = match token.kind {
                TokenKind::LBracket => {
                    open.push(TokenKind::RBracket);
                    Value::Other
                }
                TokenKind::LCurly => {
                    open.push(TokenKind::RCurly);
                    Value::Other
                }
                TokenKind::Int => Value::Int(token.text),
                TokenKind::Float | TokenKind::StringValue | TokenKind::Name => Value::Other,
                TokenKind::Dollar if !constant => {
                    self.at += 1;
                    let name = self.name()?;
                    self.at -= 1;
                    Value::Variable(name)
                }
                _ => return Err(self.expected("a value")),
            };
            self.at += 1;
            if open.len() > self.most.nesting as usize {
                return Err(Wrong::Nesting);
            }
            if open.is_empty() {
                return Ok(value);
            }
        }
    }

    /// September 2025 §2.2: a definition may have one.
    fn description(&mut self) {
        self.eat(TokenKind::StringValue);
    }

    fn name(&mut self) -> Result<&'a str, Wrong> {
        match self.tokens.get(self.at) {
            Some(token) if token.kind == TokenKind::Name => {
                self.at += 1;
                Ok(token.text)
            }
            Some(_) | None => Err(self.expected("a name")),
        }
    }

    fn expect(&mut self, kind: TokenKind, what: &'static str) -> Result<(), Wrong> {
        if self.eat(kind) { Ok(()) } else { Err(self.expected(what)) }
    }

    fn eat(&mut self, kind: TokenKind) -> bool {
        let is = self.peek() == Some(kind);
        self.at += usize::from(is);
        is
    }

    fn peek(&self) -> Option<TokenKind> {
        self.tokens.get(self.at).map(|token| token.kind)
    }

    fn place(&self) -> u32 {
        u32::try_from(self.document.selections.len()).unwrap_or(u32::MAX)
    }

    fn expected(&self, what: &'static str) -> Wrong {
        let at = self.tokens.get(self.at).map_or(self.end, |token| token.at);
        Wrong::Syntax { at, why: format!("{what} was expected").into() }
    }

    fn twice(&self, name: &str) -> Wrong {
        let at = self.tokens.get(self.at.saturating_sub(1)).map_or(self.end, |token| token.at);
        Wrong::Syntax { at, why: format!("`{name}` stands there twice").into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Most = Most { tokens: 1_000, nesting: 20 };

    #[test]
    fn documents_are_read_as_the_specification_says() {
        let text = r#"
            "about" query Orders("how many" $first: Int = 10 @d, $ids: [[ID!]!]! , $in: In = {a: [1, {b: "x"}]}) @a(x: $first) {
              all: orders(first: $first, filter: {on: true, fragment: null}) @include(if: true) { id ... on Order @b { on } ...More }
              __typename
            }
            fragment More on Order @c { fragment query customer { name } }
            # behind it
        "#;
        let document = Document::read(text, MOST).expect("a document");
        let operation = document.operation(None).expect("there is one");
        assert_eq!((operation.name, operation.kind, operation.directives), ("Orders", Kind::Query, 2));
        let variables: Vec<_> =
            operation.variables.iter().map(|v| (v.name, v.kind, v.list, v.required, v.default)).collect();
        assert_eq!(
            variables,
            [
                ("first", "Int", false, false, Some(Value::Int("10"))),
                ("ids", "ID", true, true, None),
                ("in", "In", false, false, Some(Value::Other)),
            ]
        );
        assert_eq!(operation.selections, (0, 6));
        assert_eq!(document.fragments[0].selections, (6, 10));
        let Selected::Field { name, aliased, arguments } = document.selections[0].what else { panic!("a field") };
        assert_eq!((name, aliased, document.selections[0].next), ("orders", true, 5));
        assert_eq!(document.arguments(arguments)[0], Argument { name: "first", value: Value::Variable("first") });
        assert_eq!(document.operation(Some("Other")), None);
    }

    #[test]
    fn what_means_the_same_has_one_spelling() {
        let spell = |text| Document::read(text, MOST).expect("a document").canonical();
        let one = spell(
            "query Q($a: Int = 1, $b: [Int!]) { x(s: [\"\" \"b\"], n: -1.5e3) { ...F y } } fragment F on T { z }",
        );
        let other =
            spell("query Q ( $a:Int=1 $b:[Int!] ) # c\n{x(s:[\"\",\"b\"]n:-1.5e3){...F,y}}\u{feff}fragment F on T{z}");
        assert_eq!(one, other);
        assert_eq!(one, "query Q($a:Int=1$b:[Int!]){x(s:[\"\" \"b\"]n:-1.5e3){...F y}}fragment F on T{z}");
        assert_eq!(spell(&one.clone()), one);
    }

    #[test]
    fn what_is_no_document_is_refused() {
        for text in [
            "",
            "{",
            "{}",
            "{a",
            "{a}}",
            "{a{}}",
            "query",
            "query {a(}",
            "{a()}",
            "{a(b:)}",
            "{a(b:[1)}",
            "{a(b:{c})}",
            "{...}",
            "{... on}",
            "{a @}",
            "{a: }",
            "type T { a: Int }",
            "fragment F on T { a }",
            "fragment on on T { a } {a}",
            "query Q() {a}",
            "query Q($a) {a}",
            "query Q($a: [Int) {a}",
            "query Q($a: Int = $b) {a}",
            "{a(b: 01)}",
            "{a(b: \"x)}",
            "{a} {b}",
            "query A {a} query A {b}",
            "{a} fragment F on T {a} fragment F on T {b}",
            "{a $b}",
            "{a(b: \"\\uD800\")}",
            "query Q($a: Int @d(x: $a)) {a}",
        ] {
            assert!(matches!(Document::read(text, MOST), Err(Wrong::Syntax { .. })), "{text}");
        }
    }

    #[test]
    fn depth_takes_no_stack_and_has_a_limit() {
        let deep = |depth: usize| "{a".repeat(depth) + &"}".repeat(depth);
        assert!(Document::read(&deep(20), MOST).is_ok());
        assert_eq!(Document::read(&deep(21), MOST), Err(Wrong::Nesting));
        let list = |depth: usize| format!("{{a(b:{}{})}}", "[".repeat(depth), "]".repeat(depth));
        assert!(Document::read(&list(20), MOST).is_ok());
        assert_eq!(Document::read(&list(21), MOST), Err(Wrong::Nesting));
        assert_eq!(Document::read(&deep(1_000_000), Most { tokens: 100, ..MOST }), Err(Wrong::Tokens));
        let wide = Most { tokens: u32::MAX, nesting: u32::MAX };
        assert!(Document::read(&deep(100_000), wide).is_ok());
    }
}
