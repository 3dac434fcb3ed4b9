//! Path templates of `google.api.http` (google/api/http.proto, "Path template syntax"), and the tree in which the template
//! of a request is found.
//!
//! Of several that match, a template with the path's verb comes before one without; then, segment by segment, a literal
//! before `*` before the end before `**`. That is the order of routes, and of the peers that know such templates.

use crate::http::percent_decode;
use crate::path;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;

/// `/v1/{name=shelves/*/books/*}:archive`. Kept as the text that it was written as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Template {
    /// What stands between slashes.
    pub segments: Vec<Segment>,
    /// What stands behind the last colon.
    pub verb: Option<String>,
    /// What is taken out of a path.
    pub variables: Vec<Variable>,
    text: String,
}

/// One segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// This text, in the normalised spelling.
    Literal(String),
    /// `*`: any one segment that is not empty.
    One,
    /// `**`: any number of segments, to the end.
    Rest,
}

/// A field of the request's message, and the segments that it is taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// `name`, `book.author`
    pub field: String,
    /// The first of its segments.
    pub from: usize,
    /// The segment behind its last.
    pub to: usize,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// A sentence about what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut rest = text.strip_prefix('/').ok_or_else(|| format!("`{text}` does not begin with `/`"))?;
        let (mut segments, mut variables): (Vec<Segment>, Vec<Variable>) = (Vec::new(), Vec::new());
        let mut verb = None;
        loop {
            if matches!(segments.last(), Some(Segment::Rest)) {
                return Err("`**` can only be the last segment".to_owned());
            }
            if let Some(inside) = rest.strip_prefix('{') {
                let (variable, behind) = inside.split_once('}').ok_or("a brace is not closed")?;
                let (field, pattern) = variable.split_once('=').unwrap_or((variable, "*"));
                if !field.split('.').all(is_identifier) {
                    return Err(format!("`{field}` is no name of a field"));
                }
                if variables.iter().any(|known| known.field == field) {
                    return Err(format!("`{field}` stands there twice"));
                }
                let from = segments.len();
                for part in pattern.split('/') {
                    if matches!(segments.last(), Some(Segment::Rest)) {
                        return Err("`**` can only be the last segment".to_owned());
                    }
                    segments.push(segment(part)?);
                }
                variables.push(Variable { field: field.to_owned(), from, to: segments.len() });
                rest = behind;
            } else {
                let end = rest.find(['/', ':']).unwrap_or(rest.len());
                segments.push(segment(&rest[..end])?);
                rest = &rest[end..];
            }
            if let Some(behind) = rest.strip_prefix('/') {
                rest = behind;
            } else if let Some(behind) = rest.strip_prefix(':') {
                verb = match segment(behind)? {
                    Segment::Literal(verb) => Some(verb),
                    Segment::One | Segment::Rest => return Err("a verb is a text of its own".to_owned()),
                };
                break;
            } else if rest.is_empty() {
                break;
            } else {
                return Err(format!("`/` or `:` is missing before `{rest}`"));
            }
        }
        Ok(Self { segments, verb, variables, text: text.to_owned() })
    }

    /// What the variables stand for in a path that matches, in the template's order.
    ///
    /// # Errors
    /// The field whose text is no UTF-8.
    pub fn capture(&self, path: &str) -> Result<Vec<(&str, String)>, &str> {
        let path = match &self.verb {
            Some(verb) => path.strip_suffix(verb.as_str()).and_then(|path| path.strip_suffix(':')).unwrap_or(path),
            None => path,
        };
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        let mut captured = Vec::with_capacity(self.variables.len());
        for Variable { field, from, to } in &self.variables {
            let taken = &self.segments[*from..*to];
            let end = if taken.last() == Some(&Segment::Rest) { segments.len() } else { *to };
            let text = segments.get(*from..end).unwrap_or_default().join("/");
            // A slash that was part of a name stays told from one between two.
            let bytes = match taken {
                [Segment::One | Segment::Literal(_)] => percent_decode(&text),
                _ => percent_decode(&text.replace("%2F", "%252F").replace("%2f", "%252f")),
            };
            captured.push((field.as_str(), String::from_utf8(bytes).map_err(|_| field.as_str())?));
        }
        Ok(captured)
    }

    /// The literal segments that every path begins with: `/v1/users`.
    pub fn prefix(&self) -> String {
        let literals = self.segments.iter().map_while(|segment| match segment {
            Segment::Literal(text) => Some(text.as_str()),
            Segment::One | Segment::Rest => None,
        });
        literals.map(|text| format!("/{text}")).collect()
    }
}

fn is_identifier(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn segment(text: &str) -> Result<Segment, String> {
    match text {
        "*" => Ok(Segment::One),
        "**" => Ok(Segment::Rest),
        "" => Err("a segment is empty".to_owned()),
        _ if text.contains(['*', '{', '}', '=', ':', '/']) => Err(format!("`{text}` is no segment")),
        "." | ".." => Err(format!("no path has the segment `{text}`")),
        _ => {
            let normal = path::normalise(&format!("/{text}")).map(|path| path[1..].to_owned());
            normal.map(Segment::Literal).map_err(|invalid| invalid.to_string())
        }
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for Template {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<Template> for String {
    fn from(template: Template) -> Self {
        template.text
    }
}

/// Templates with their methods, by what they begin with.
#[derive(Debug)]
pub struct Tree {
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    literals: HashMap<String, usize>,
    one: Option<usize>,
    /// What ends here.
    ends: Vec<End>,
    /// What takes everything from here.
    rest: Vec<End>,
}

#[derive(Debug)]
struct End {
    verb: Option<String>,
    /// `*` is any.
    method: String,
    number: u32,
}

/// What becomes of a search.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// The number that was given with the template.
    Number(u32),
    /// Templates match, but not with this method: those with which they do.
    OtherMethods(Vec<String>),
    /// None matches.
    Nothing,
}

impl Default for Tree {
    fn default() -> Self {
        Self { nodes: vec![Node::default()] }
    }
}

impl Tree {
    /// Adds a template for a method (`*` is any).
    ///
    /// # Errors
    /// The number of one that takes the very same requests; nothing is added then.
    pub fn add(&mut self, method: &str, template: &Template, number: u32) -> Result<(), u32> {
        let mut at = 0;
        let mut takes_rest = false;
        for segment in &template.segments {
            let next = self.nodes.len();
            let node = &mut self.nodes[at];
            at = match segment {
                Segment::Rest => {
                    takes_rest = true;
                    break;
                }
                Segment::One => *node.one.get_or_insert(next),
                Segment::Literal(text) => *node.literals.entry(text.clone()).or_insert(next),
            };
            if at == next {
                self.nodes.push(Node::default());
            }
        }
        let node = &mut self.nodes[at];
        let ends = if takes_rest { &mut node.rest } else { &mut node.ends };
        let same = |end: &&End| end.method == method && end.verb == template.verb;
        match ends.iter().find(same) {
            Some(known) => Err(known.number),
            None => {
                ends.push(End { verb: template.verb.clone(), method: method.to_owned(), number });
                Ok(())
            }
        }
    }

    /// The template for a request. A normalised path; `HEAD` goes where `GET` does (RFC 9110 §9.3.2).
    pub fn find(&self, method: &str, path: &str) -> Found {
        let mut search = Search { tree: self, method, verb: None, allow: Vec::new() };
        let mut segments: Vec<&str> = path.split('/').skip(1).collect();
        let whole = segments.last().copied();
        if let Some((before, verb)) = whole.and_then(|last| last.rsplit_once(':'))
            && let Some(last) = segments.last_mut()
        {
            *last = before;
            search.verb = Some(verb);
            if let Some(number) = search.below(0, &segments) {
                return Found::Number(number);
            }
        }
        if let (Some(last), Some(whole)) = (segments.last_mut(), whole) {
            *last = whole;
        }
        search.verb = None;
        match search.below(0, &segments) {
            Some(number) => Found::Number(number),
            None if search.allow.is_empty() => Found::Nothing,
            None => Found::OtherMethods(search.allow),
        }
    }
}

struct Search<'a> {
    tree: &'a Tree,
    method: &'a str,
    verb: Option<&'a str>,
    allow: Vec<String>,
}

impl Search<'_> {
    /// A node is the end of one way only, so that none is looked at twice, whatever the path is. Templates are as deep as
    /// they were written.
    fn below(&mut self, at: usize, segments: &[&str]) -> Option<u32> {
        let tree = self.tree;
        let node = tree.nodes.get(at)?;
        let found = match segments.split_first() {
            None => self.end(&node.ends),
            Some((first, rest)) => {
                let literal = node.literals.get(*first).and_then(|next| self.below(*next, rest));
                literal.or_else(|| node.one.filter(|_| !first.is_empty()).and_then(|next| self.below(next, rest)))
            }
        };
        found.or_else(|| self.end(&node.rest))
    }

    fn end(&mut self, ends: &[End]) -> Option<u32> {
        let of_verb = || ends.iter().filter(|end| end.verb.as_deref() == self.verb);
        let by = |method: &str| of_verb().find(|end| end.method == method);
        let found = by(self.method).or_else(|| if self.method == "HEAD" { by("GET") } else { None });
        if let Some(end) = found.or_else(|| by("*")) {
            return Some(end.number);
        }
        let methods: Vec<String> = of_verb().map(|end| end.method.clone()).collect();
        for method in methods {
            let also = (method == "GET").then(|| "HEAD".to_owned());
            for method in std::iter::once(method).chain(also) {
                if !self.allow.contains(&method) {
                    self.allow.push(method);
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> Template {
        Template::parse(text).unwrap_or_else(|why| panic!("{text}: {why}"))
    }

    #[test]
    fn templates_are_read_as_they_are_specified() {
        use Segment::{One, Rest};
        let literal = |text: &str| Segment::Literal(text.to_owned());
        let variable = |field: &str, from, to| Variable { field: field.to_owned(), from, to };
        for (text, segments, verb, variables) in [
            ("/v1/users", vec![literal("v1"), literal("users")], None, vec![]),
            ("/v1/{name}", vec![literal("v1"), One], None, vec![variable("name", 1, 2)]),
            (
                "/{a=b/*/c}/{d.e=**}:go",
                vec![literal("b"), One, literal("c"), Rest],
                Some("go"),
                vec![variable("a", 0, 3), variable("d.e", 3, 4)],
            ),
            ("/**", vec![Rest], None, vec![]),
            ("/*:x", vec![One], Some("x"), vec![]),
            ("/a b", vec![literal("a%20b")], None, vec![]),
        ] {
            let template = parsed(text);
            assert_eq!((template.segments, template.verb.as_deref()), (segments, verb), "{text}");
            assert_eq!(template.variables, variables, "{text}");
        }
        for text in [
            "",
            "v1",
            "/",
            "/a//b",
            "/a/",
            "/{a",
            "/{a}b",
            "/{}",
            "/{1a}",
            "/{a.}",
            "/**/a",
            "/{a=**}/b",
            "/{a=**/b}",
            "/a:",
            "/a:*",
            "/a:b:c",
            "/a:b/c",
            "/{a=}",
            "/{a={b}}",
            "/a*",
            "/..",
            "/{a}/{a}",
            "/%zz",
        ] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn variables_are_taken_out_and_decoded() {
        for (template, path, expected) in [
            ("/v1/{name}", "/v1/a%20b%2Fc", vec![("name", "a b/c")]),
            ("/v1/{name=shelves/*}", "/v1/shelves/a%2Fb%20c", vec![("name", "shelves/a%2Fb c")]),
            ("/v1/{name=**}", "/v1/a/b/c", vec![("name", "a/b/c")]),
            ("/v1/{name=**}", "/v1", vec![("name", "")]),
            ("/v1/{a}/x/{b.c}:go", "/v1/1/x/2:3:go", vec![("a", "1"), ("b.c", "2:3")]),
            ("/v1/{name=**}:go", "/v1/a/b:go", vec![("name", "a/b")]),
            ("/v1/{name=fixed}", "/v1/fixed", vec![("name", "fixed")]),
        ] {
            let template = parsed(template);
            let captured = template.capture(path).expect("UTF-8");
            let captured: Vec<_> = captured.iter().map(|(name, value)| (*name, value.as_str())).collect();
            assert_eq!(captured, expected, "{template} {path}");
        }
        assert_eq!(parsed("/{a}").capture("/%FF"), Err("a"));
    }

    #[test]
    fn the_most_specific_template_with_the_method_is_found() {
        let templates = [
            ("GET", "/v1/users/{id}"),
            ("GET", "/v1/users/me"),
            ("POST", "/v1/users/{id}:ban"),
            ("GET", "/v1/users/**"),
            ("*", "/v1/any"),
            ("DELETE", "/v1/any"),
        ];
        let mut tree = Tree::default();
        for (number, (method, template)) in templates.iter().enumerate() {
            assert_eq!(tree.add(method, &parsed(template), number as u32), Ok(()));
        }
        assert_eq!(tree.add("GET", &parsed("/v1/users/{other}"), 9), Err(0));
        let other = |methods: &[&str]| Found::OtherMethods(methods.iter().map(|method| (*method).to_owned()).collect());
        for (method, path, expected) in [
            ("GET", "/v1/users/me", Found::Number(1)),
            ("HEAD", "/v1/users/me", Found::Number(1)),
            ("GET", "/v1/users/7", Found::Number(0)),
            ("POST", "/v1/users/7:ban", Found::Number(2)),
            ("GET", "/v1/users/7:ban", Found::Number(0)),
            ("GET", "/v1/users/", Found::Number(3)),
            ("GET", "/v1/users", Found::Number(3)),
            ("GET", "/v1/users/7/x", Found::Number(3)),
            ("DELETE", "/v1/any", Found::Number(5)),
            ("BREW", "/v1/any", Found::Number(4)),
            ("PUT", "/v1/users/7", other(&["GET", "HEAD"])),
            ("PUT", "/v1/users/7:ban", other(&["POST", "GET", "HEAD"])),
            ("GET", "/v2", Found::Nothing),
            ("GET", "/", Found::Nothing),
        ] {
            assert_eq!(tree.find(method, path), expected, "{method} {path}");
        }
    }

    /// Every template that matches, by looking at each of them.
    fn naive(templates: &[(&str, Template)], method: &str, path: &str) -> (Option<usize>, bool) {
        let fitting = templates.iter().enumerate().filter_map(|(number, (of, template))| {
            let path = match &template.verb {
                Some(verb) => path.strip_suffix(&format!(":{verb}"))?,
                None => path,
            };
            let segments: Vec<&str> = path[1..].split('/').collect();
            let mut weights = Vec::new();
            let mut left = segments.as_slice();
            for wanted in &template.segments {
                match wanted {
                    Segment::Rest => {
                        left = &[];
                        weights.push(3);
                        break;
                    }
                    Segment::One | Segment::Literal(_) => {
                        let (first, rest) = left.split_first()?;
                        weights.push(match wanted {
                            Segment::Literal(text) if text == first => 0,
                            Segment::One if !first.is_empty() => 1,
                            _ => return None,
                        });
                        left = rest;
                    }
                }
            }
            if !left.is_empty() {
                return None;
            }
            Some((template.verb.is_none(), weights, *of == "*", number, *of))
        });
        let fitting: Vec<_> = fitting.collect();
        let best = fitting.iter().filter(|(.., of)| *of == method || *of == "*").min();
        (best.map(|(.., number, _)| *number), !fitting.is_empty())
    }

    fn template() -> impl Strategy<Value = String> {
        let segment = prop_oneof![Just("a"), Just("b"), Just("*"), Just("{f}"), Just("{g=a/*}")];
        let end = prop_oneof![Just(""), Just("/**"), Just("/{r=**}")];
        let verb = prop_oneof![3 => Just(""), 1 => Just(":a"), 1 => Just(":go")];
        (prop::collection::vec(segment, 1..4), end, verb)
            .prop_map(|(segments, end, verb)| format!("/{}{end}{verb}", segments.join("/")))
            .prop_filter("two variables of one name", |text| Template::parse(text).is_ok())
    }

    fn path() -> impl Strategy<Value = String> {
        let segment = prop_oneof![4 => Just("a"), 4 => Just("b"), 1 => Just("c"), 1 => Just(""), 1 => Just("a:a")];
        let verb = prop_oneof![2 => Just(""), 1 => Just(":a"), 1 => Just(":go"), 1 => Just(":other")];
        (prop::collection::vec(segment, 1..6), verb)
            .prop_map(|(segments, verb)| format!("/{}{verb}", segments.join("/")))
    }

    proptest! {
        #[test]
        fn the_tree_finds_what_looking_at_each_finds(
            written in prop::collection::vec((prop_oneof![Just("GET"), Just("POST"), Just("*")], template()), 0..12),
            method in prop_oneof![Just("GET"), Just("POST"), Just("PUT")],
            path in path(),
        ) {
            let mut tree = Tree::default();
            let mut known = Vec::new();
            for (of, text) in &written {
                let template = parsed(text);
                if tree.add(of, &template, known.len() as u32).is_ok() {
                    known.push((*of, template));
                }
            }
            let (best, fits) = naive(&known, method, &path);
            match (tree.find(method, &path), best) {
                (Found::Number(number), Some(best)) => prop_assert_eq!(number as usize, best, "{} {:?}", path, written),
                (Found::OtherMethods(_), None) => prop_assert!(fits),
                (Found::Nothing, None) => prop_assert!(!fits),
                (found, best) => prop_assert!(false, "{:?}, not {:?}: {} {:?}", found, best, path, written),
            }
        }

        #[test]
        fn whatever_is_written_is_read_or_refused(text in "[/{}=*:.a-c%]{0,24}", path in "/[/a-c:%2F]{0,16}") {
            if let Ok(template) = Template::parse(&text) {
                prop_assert_eq!(template.to_string(), text);
                let _ = template.capture(&path);
            }
        }
    }
}
