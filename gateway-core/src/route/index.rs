//! The frozen index: from a host and a path to the candidates, read in place.
//!
//! The index is made when the configuration is compiled and is a block of bytes: nothing is parsed, built or allocated
//! when a gateway starts (`docs/decisions/0002-frozen-route-index.md` has the numbers). Every host pattern has a tree
//! of path segments; a node keeps its literal children in a hash table, so that a lookup costs the same among ten
//! routes and among a hundred thousand. A damaged block finds less, but never reads outside itself and never panics.
//!
//! All numbers are little-endian `u32`; an offset counts bytes from the start of the block, and 0 means "none".
//!
//! ```text
//! header  candidates, hosts (table), any host (tree), candidate count
//! tree    node of `/…`, list of candidates with regular expressions
//! node    child for a parameter, lists: exact, rest of the path, prefix; table of literal children
//! table   as in frozen.rs
//! list    count, then candidates in ascending order; a list of one has no place of its own: in place of its offset
//!         stands the candidate, and the highest bit
//! ```

use super::pattern::{Host, Pattern, Segment, Tail, split};
use crate::frozen::{Block, Key, TooLarge, Writer};
use std::collections::BTreeMap;

/// A frozen index over borrowed bytes.
#[derive(Debug, Clone, Copy)]
pub struct Index<'a>(pub &'a [u8]);

/// What a candidate is found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// A path pattern.
    Path(Pattern),
    /// A regular expression: every path of the host is a candidate.
    Regex,
}

/// Whether the host is known, and the candidates that were found for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// There are routes for this host.
    Host,
    /// No route is for this host or for any.
    Nothing,
}

impl Index<'_> {
    /// Collects the candidates whose host and path patterns fit, best (lowest) first. Kinds of parameters and regular
    /// expressions are not looked at.
    pub fn find(self, host: &str, path: &str, out: &mut Vec<u32>) -> Reach {
        let mut reach = Reach::Nothing;
        let rest = path.strip_prefix('/');
        let mut visit = |tree: u32| {
            if tree != 0 {
                reach = Reach::Host;
                self.walk(self.block().word(tree), rest, out);
                self.list(self.block().word(tree.saturating_add(4)), out);
            }
        };
        let hosts = self.block().word(4);
        if hosts != 0 {
            visit(self.block().lookup(hosts, Key("", host)));
            for (at, _) in host.bytes().enumerate().filter(|&(at, b)| b == b'.' && at > 0) {
                visit(self.block().lookup(hosts, Key("*.", &host[at + 1..])));
            }
        }
        visit(self.block().word(8));
        if out.len() > 1 {
            out.sort_unstable();
            out.dedup();
        }
        reach
    }

    /// How many candidates there are.
    pub fn len(self) -> u32 {
        self.block().word(12)
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The route's record and which of its patterns this candidate stands for.
    pub fn candidate(self, id: u32) -> Option<(u32, u32)> {
        if id >= self.len() {
            return None;
        }
        let at = self.block().word(0).checked_add(id.checked_mul(8)?)?;
        Some((self.block().word(at), self.block().word(at.saturating_add(4))))
    }

    fn block(&self) -> Block<'_> {
        Block(self.0)
    }

    // As deep as the longest pattern, whatever the path.
    fn walk(self, node: u32, rest: Option<&str>, out: &mut Vec<u32>) {
        if node == 0 {
            return;
        }
        let [parameter, exact, any_rest, prefix, table] = self.block().words(node);
        self.list(prefix, out);
        let Some(rest) = rest else { return self.list(exact, out) };
        if !rest.is_empty() {
            self.list(any_rest, out);
        }
        let (part, after) = split(rest);
        if table != 0 {
            self.walk(self.block().lookup(table, Key("", part)), after, out);
        }
        if !part.is_empty() {
            self.walk(parameter, after, out);
        }
    }

    fn list(self, list: u32, out: &mut Vec<u32>) {
        if list == 0 {
            return;
        }
        if list & ONE != 0 {
            return out.push(list & !ONE);
        }
        let count = (self.block().word(list) as usize).min(self.0.len() / 4);
        let start = list as usize + 4;
        let Some(bytes) = self.0.get(start..start + count * 4) else { return };
        let (words, _) = bytes.as_chunks::<4>();
        out.extend(words.iter().map(|word| u32::from_le_bytes(*word)));
    }
}

/// Marks a list of one candidate. So a block is shorter than 2 GiB.
const ONE: u32 = 1 << 31;

/// Makes a frozen index.
#[derive(Debug, Default)]
pub struct Freezer {
    candidates: Vec<(u32, u32)>,
    hosts: BTreeMap<String, Tree>,
    any: Tree,
}

#[derive(Debug, Default)]
struct Tree {
    root: Node,
    regexes: Vec<u32>,
}

#[derive(Debug, Default)]
struct Node {
    literals: BTreeMap<String, Node>,
    parameter: Option<Box<Node>>,
    exact: Vec<u32>,
    rest: Vec<u32>,
    prefix: Vec<u32>,
}

impl Freezer {
    /// Adds the next candidate; the order of calls is the order of preference. Several host patterns may lead to it.
    pub fn add(&mut self, host: &Host, by: &By, record: u32, pattern: u32) {
        let id = u32::try_from(self.candidates.len()).unwrap_or(u32::MAX);
        self.candidates.push((record, pattern));
        let tree = match host {
            Host::Any => &mut self.any,
            Host::Exact(name) => self.hosts.entry(name.clone()).or_default(),
            Host::Wildcard(suffix) => self.hosts.entry(format!("*.{suffix}")).or_default(),
        };
        let pattern = match by {
            By::Path(pattern) => pattern,
            By::Regex => return tree.regexes.push(id),
        };
        let mut node = &mut tree.root;
        for segment in &pattern.segments {
            node = match segment {
                Segment::Literal(text) => node.literals.entry(text.clone()).or_default(),
                Segment::Parameter(_, _) => node.parameter.get_or_insert_default(),
            };
        }
        match pattern.tail {
            Tail::Exact => node.exact.push(id),
            Tail::CatchAll(_) => node.rest.push(id),
            Tail::Prefix => node.prefix.push(id),
        }
    }

    /// The frozen bytes. Fails where they would be 2 GiB or more.
    pub fn freeze(self) -> Result<Vec<u8>, TooLarge> {
        let mut out = Writer::default();
        out.bytes.resize(16, 0);
        let candidates = out.here()?;
        for (record, pattern) in &self.candidates {
            out.push(*record);
            out.push(*pattern);
        }
        let any = if self.any.is_empty() { 0 } else { out.tree(&self.any)? };
        let mut hosts = Vec::new();
        for (host, tree) in &self.hosts {
            hosts.push((host.as_str(), out.tree(tree)?));
        }
        let hosts = if hosts.is_empty() { 0 } else { out.table(&hosts)? };
        let count = u32::try_from(self.candidates.len()).map_err(|_| TooLarge)?;
        for (at, word) in [candidates, hosts, any, count].into_iter().enumerate() {
            out.patch(at * 4, word);
        }
        if out.here()? & ONE != 0 {
            return Err(TooLarge);
        }
        Ok(out.bytes)
    }
}

impl Tree {
    fn is_empty(&self) -> bool {
        let Node { literals, parameter, exact, rest, prefix } = &self.root;
        literals.is_empty()
            && parameter.is_none()
            && exact.is_empty()
            && rest.is_empty()
            && prefix.is_empty()
            && self.regexes.is_empty()
    }
}

/// The shapes that only the index has.
impl Writer {
    fn tree(&mut self, tree: &Tree) -> Result<u32, TooLarge> {
        let root = self.node(&tree.root)?;
        let regexes = self.list(&tree.regexes)?;
        let at = self.here()?;
        self.push(root);
        self.push(regexes);
        Ok(at)
    }

    fn node(&mut self, node: &Node) -> Result<u32, TooLarge> {
        let parameter = node.parameter.as_deref().map_or(Ok(0), |child| self.node(child))?;
        let mut literals = Vec::with_capacity(node.literals.len());
        for (text, child) in &node.literals {
            literals.push((text.as_str(), self.node(child)?));
        }
        let words = [
            parameter,
            self.list(&node.exact)?,
            self.list(&node.rest)?,
            self.list(&node.prefix)?,
            if literals.is_empty() { 0 } else { self.table(&literals)? },
        ];
        let at = self.here()?;
        words.into_iter().for_each(|word| self.push(word));
        Ok(at)
    }

    fn list(&mut self, ids: &[u32]) -> Result<u32, TooLarge> {
        match ids {
            [] => return Ok(0),
            [id] => return Ok(ONE | id),
            _ => {}
        }
        let at = self.here()?;
        self.push(u32::try_from(ids.len()).map_err(|_| TooLarge)?);
        ids.iter().for_each(|id| self.push(*id));
        Ok(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn find(index: &[u8], host: &str, path: &str) -> Vec<u32> {
        let mut out = Vec::new();
        Index(index).find(host, path, &mut out);
        out
    }

    #[test]
    fn every_pattern_that_fits_is_found_and_no_other() {
        let mut freezer = Freezer::default();
        for (id, pattern) in ["/a/b", "/a/{x}", "/{*x}", "/a/", "/{x}/b", "/"].into_iter().enumerate() {
            let pattern = By::Path(Pattern::parse(pattern).expect("a pattern"));
            freezer.add(&Host::Any, &pattern, u32::try_from(id).expect("few"), 0);
        }
        let frozen = freezer.freeze().expect("small");
        assert_eq!(find(&frozen, "", "/a/b"), [0, 1, 2, 4]);
        assert_eq!(find(&frozen, "", "/a/"), [2, 3]);
        assert_eq!(find(&frozen, "", "/"), [5]);
        assert_eq!(find(&frozen, "", "/b/c"), [2]);
    }

    #[test]
    fn hosts_have_their_own_trees() {
        let mut freezer = Freezer::default();
        let all = By::Path(Pattern::parse_prefix("/").expect("a prefix"));
        for (id, host) in ["a.x.com", "*.x.com", "*.com"].into_iter().enumerate() {
            freezer.add(&Host::parse(host).expect("a host"), &all, u32::try_from(id).expect("few"), 0);
        }
        let frozen = freezer.freeze().expect("small");
        assert_eq!(find(&frozen, "a.x.com", "/"), [0, 1, 2]);
        assert_eq!(find(&frozen, "b.x.com", "/"), [1, 2]);
        assert_eq!(find(&frozen, "x.com", "/"), [2]);
        let mut out = Vec::new();
        assert_eq!(Index(&frozen).find("x.org", "/", &mut out), Reach::Nothing);
        assert_eq!(Index(&frozen).find(".com", "/", &mut out), Reach::Nothing);
    }

    proptest! {
        #[test]
        fn damage_never_panics(damage in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..20), cut in any::<u16>(), path in "(/[abx]{0,2}){1,4}") {
            let mut freezer = Freezer::default();
            for pattern in ["/a/b", "/a/{x}", "/{*x}", "/a/", "/{x}/b", "/"] {
                for host in [Host::Any, Host::Exact("a.b".into()), Host::Wildcard("b".into())] {
                    freezer.add(&host, &By::Path(Pattern::parse(pattern).expect("a pattern")), 0, 0);
                }
            }
            let mut frozen = freezer.freeze().expect("small");
            for (at, value) in damage {
                let at = usize::from(at) % frozen.len();
                frozen[at] = value;
            }
            frozen.truncate(usize::from(cut) % (frozen.len() + 1));
            let mut out = Vec::new();
            Index(&frozen).find("a.b", &path, &mut out);
        }
    }
}
