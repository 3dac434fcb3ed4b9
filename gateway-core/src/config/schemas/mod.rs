//! JSON Schema, compiled: keywords read, references resolved, and all of it written as the block that is read in place.
//!
//! What is wrong in a schema is a problem with its place in the file, like everything else in a configuration.

mod pattern;
mod uri;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    path::Path,
    rc::Rc,
};

use crate::{
    frozen::{TooLarge, Writer},
    schema::{
        SchemaId, TRACKS,
        format::FORMATS,
        keyword::{Keyword, kinds},
        number::Decimal,
    },
    validation::parameter::Shape,
};

use super::{
    documents::Documents,
    node::{Entry, Node, Step::Field, Value},
    problem::{Problem, Span},
    source::Sources,
    suggest::closest,
};

use self::uri::Uri;

/// A set of keywords.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Draft {
    Draft7,
    Draft202012,
    /// The schemas of OpenAPI 3.0, which are an older draft with keywords of their own.
    OpenApi30,
}

/// How a schema is read, besides what it says itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Reading {
    /// Its keywords, unless it names a `$schema`.
    pub draft: Draft,
    /// Whether `format` is judged, rather than a remark for readers.
    pub formats: bool,
    /// Which way the value goes.
    pub way: Way,
}

/// Which way a value goes, as far as the keywords `readOnly` and `writeOnly` of OpenAPI have a say in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Way {
    /// They have none.
    Any,
    /// To the upstream: what is only read need not be there.
    Request,
    /// To the client: what is only written need not be there.
    Response,
}

/// Writes all schemas of a configuration into one block.
pub(super) struct SchemaCompiler<'a> {
    documents: &'a Documents,
    sources: &'a Sources,
    /// What belongs to which resource, by the address of its node.
    homes: HashMap<usize, Rc<Home>>,
    /// Of a part of an `allOf` the schema that it is a part of, by the address of its node.
    wholes: HashMap<usize, &'a Node>,
    resources: HashMap<String, &'a Node>,
    anchors: BTreeMap<(String, String), Anchor<'a>>,
    /// Drafts that are not known, whoever came across them first.
    strange: Vec<Problem>,
    /// Documents that stand in the configuration itself.
    inline: Vec<(Span, Uri)>,

    block: Writer,
    texts: HashMap<String, u32>,
    /// Where each schema is.
    places: Vec<u32>,
    known: HashMap<Key, u32>,
    waiting: VecDeque<Waiting<'a>>,
    /// Resources and names of anchors, as numbers.
    numbers: HashMap<String, u32>,
    /// The dynamic anchors that somebody looks for.
    sought: BTreeSet<(String, Reading)>,
    dynamic: Vec<[u32; 3]>,
    /// Schemas that look at the same value as the one that names them, and where they are named.
    in_place: Vec<(u32, u32, Span)>,
    tracks: bool,
    too_large: bool,
}

/// Where a schema belongs.
#[derive(Debug)]
struct Home {
    base: Uri,
    draft: Draft,
    /// A metaschema can leave the validation vocabulary out: then nothing but applicators says anything.
    validates: bool,
}

#[derive(Clone, Copy)]
struct Anchor<'a> {
    node: &'a Node,
    dynamic: bool,
}

#[derive(PartialEq, Eq, Hash)]
struct Key {
    node: usize,
    reading: Reading,
    /// Of a schema that allows nothing, the keyword that brought it: that is what users look for.
    brought_by: Option<Keyword>,
}

struct Waiting<'a> {
    id: u32,
    node: &'a Node,
    reading: Reading,
    brought_by: Keyword,
}

fn address(node: &Node) -> usize {
    std::ptr::from_ref(node).addr()
}

impl<'a> SchemaCompiler<'a> {
    pub fn new(documents: &'a Documents, sources: &'a Sources) -> Self {
        let mut block = Writer::default();
        // The directory, the number of schemas, the flags, the dynamic anchors: known in the end.
        (0..4).for_each(|_| block.push(0));
        Self {
            documents,
            sources,
            homes: HashMap::new(),
            wholes: HashMap::new(),
            resources: HashMap::new(),
            anchors: BTreeMap::new(),
            strange: Vec::new(),
            inline: Vec::new(),
            block,
            texts: HashMap::new(),
            places: Vec::new(),
            known: HashMap::new(),
            waiting: VecDeque::new(),
            numbers: HashMap::new(),
            sought: BTreeSet::new(),
            dynamic: Vec::new(),
            in_place: Vec::new(),
            tracks: false,
            too_large: false,
        }
    }

    /// Makes a file known under another address, by which schemas may refer to it.
    pub fn remote(&mut self, url: &str, path: &Path, reading: Reading, problems: &mut Vec<Problem>) {
        let Some(root) = self.documents.get(path).and_then(|document| document.root.as_ref()) else { return };
        let (base, _) = Uri::file("").resolve(url);
        self.resource(base, root, reading);
        problems.append(&mut self.strange);
    }

    /// Compiles a schema that stands in the configuration itself: a resource of its own.
    pub fn inline(&mut self, node: &'a Node, reading: Reading, problems: &mut Vec<Problem>) -> SchemaId {
        let base = Uri::file(&format!("{}?{}", self.file(node), node.at.start));
        self.resource(base, node, reading);
        self.schema(node, reading, problems)
    }

    /// Makes a document known whose parts will be compiled: a file, or one that stands in the configuration itself.
    pub fn document(&mut self, root: &'a Node, reading: Reading, problems: &mut Vec<Problem>) {
        let file = self.file(root);
        let base = match self.documents.of_file(root.at.file) {
            Some(_) => Uri::file(&file),
            None => {
                let base = Uri::file(&format!("{file}?{}", root.at.start));
                self.inline.push((root.at, base.clone()));
                base
            }
        };
        self.resources.insert(base.to_string(), root);
        let home = Rc::new(Home { base, draft: reading.draft, validates: true });
        // So that they can refer to each other by `$id` and `$anchor`.
        for schema in root.reach([Field("components"), Field("schemas")]).map(Node::entries).unwrap_or_default() {
            self.index(&schema.value, &home);
        }
        problems.append(&mut self.strange);
    }

    /// What one must know of the values of a schema to read them from text.
    pub fn shape(&mut self, node: &'a Node, reading: Reading) -> Shape {
        let Some(found) = self.quietly(node, reading) else { return Shape::default() };
        let items = self.kinds_of_items(found, reading, 0);
        let mut properties = Vec::new();
        self.shape_of_properties(found, reading, &mut properties, 0);
        Shape { kinds: self.kinds(found, reading, 0), items, properties }
    }

    fn shape_of_properties(
        &mut self,
        node: &'a Node,
        reading: Reading,
        out: &mut Vec<(String, u32, u32)>,
        depth: usize,
    ) {
        let Some(found) = self.quietly(node, reading).filter(|_| depth < MOST_HOPS) else { return };
        for property in found.get("properties").map(Node::entries).unwrap_or_default() {
            if !out.iter().any(|(name, ..)| *name == property.name) && out.len() < MOST_PROPERTIES {
                let kinds = self.kinds(&property.value, reading, 0);
                let items = self.kinds_of_items(&property.value, reading, 0);
                out.push((property.name.clone(), kinds, items));
            }
        }
        for keyword in ["allOf", "anyOf", "oneOf"] {
            let Some(Value::List(parts)) = found.get(keyword).map(|list| &list.value) else { continue };
            parts.iter().for_each(|part| self.shape_of_properties(part, reading, out, depth + 1));
        }
    }

    /// The kinds of values that a schema takes, as far as it says.
    fn kinds(&mut self, node: &'a Node, reading: Reading, depth: usize) -> u32 {
        let Some(found) = self.quietly(node, reading).filter(|_| depth < DEEP) else { return 0 };
        let named = found.get("type").map(Node::items).unwrap_or_default().iter().filter_map(Node::text);
        let bits = named.filter_map(|text| kinds::NAMES.iter().position(|name| *name == text));
        let mut all = bits.fold(0, |all, place| all | 1 << place);
        if all != 0 && found.get("nullable").is_some_and(|node| node.value == Value::Bool(true)) {
            all |= kinds::NULL;
        }
        if all == 0 {
            let constants = found.get("enum").map(Node::items).unwrap_or_default().iter().chain(found.get("const"));
            all = constants.fold(0, |all, constant| {
                all | match &constant.value {
                    Value::Null => kinds::NULL,
                    Value::Bool(_) => kinds::BOOLEAN,
                    Value::Integer(_) | Value::Float(_) => kinds::NUMBER,
                    Value::Text(_) => kinds::STRING,
                    Value::List(_) => kinds::ARRAY,
                    Value::Map(_) => kinds::OBJECT,
                }
            });
        }
        for (keyword, kind) in [("properties", kinds::OBJECT), ("items", kinds::ARRAY)] {
            if all == 0 && found.get(keyword).is_some() {
                all = kind;
            }
        }
        if all == 0 { self.kinds_of_parts(found, reading, depth, Self::kinds) } else { all }
    }

    /// The kinds of values that may be in the lists that a schema takes, as far as it says.
    fn kinds_of_items(&mut self, node: &'a Node, reading: Reading, depth: usize) -> u32 {
        let Some(found) = self.quietly(node, reading).filter(|_| depth < DEEP) else { return 0 };
        match found.get("items") {
            Some(items) => self.kinds(items, reading, 0),
            None => self.kinds_of_parts(found, reading, depth, Self::kinds_of_items),
        }
    }

    /// The same of a schema that leaves it to others for the same value, of which the first that say something count.
    fn kinds_of_parts(
        &mut self,
        found: &'a Node,
        reading: Reading,
        depth: usize,
        kinds: fn(&mut Self, &'a Node, Reading, usize) -> u32,
    ) -> u32 {
        for keyword in ["allOf", "anyOf", "oneOf"] {
            let Some(Value::List(parts)) = found.get(keyword).map(|list| &list.value) else { continue };
            let all = parts.iter().fold(0, |all, part| all | kinds(self, part, reading, depth + 1));
            if all != 0 {
                return all;
            }
        }
        0
    }

    /// A schema and those that judge its value with it in any case: what its `$ref` leads to, and all of its `allOf`.
    fn layers(&mut self, node: &'a Node, reading: Reading) -> Vec<&'a Node> {
        let mut layers = vec![node];
        let mut place = 0;
        while let Some(layer) = layers.get(place).copied().filter(|_| place < MOST_HOPS) {
            let target = if layer.get("$ref").is_some() { self.quietly(layer, reading) } else { None };
            let parts = match layer.get("allOf").map(|parts| &parts.value) {
                Some(Value::List(parts)) => parts.as_slice(),
                _ => &[],
            };
            layers.extend(target.into_iter().chain(parts));
            place += 1;
        }
        layers
    }

    /// What a schema is in the end; what is wrong on the way is told when it is compiled.
    fn quietly(&mut self, node: &'a Node, reading: Reading) -> Option<&'a Node> {
        self.follow(node, reading, &mut Vec::new())
    }

    /// Compiles a schema that is a part of a document.
    pub fn schema(&mut self, node: &'a Node, reading: Reading, problems: &mut Vec<Problem>) -> SchemaId {
        self.at_home(node, reading);
        let id = self.id(node, reading, Keyword::False);
        self.drain(problems);
        problems.append(&mut self.strange);
        SchemaId(id)
    }

    /// What a `$ref` of a document leads to, through as many of them as there are. `None`, with a problem, where one leads
    /// nowhere.
    pub fn follow(&mut self, node: &'a Node, reading: Reading, problems: &mut Vec<Problem>) -> Option<&'a Node> {
        let mut found = node;
        for _ in 0..MOST_HOPS {
            let Some(reference) = found.get("$ref") else { return Some(found) };
            let Some(text) = reference.text() else {
                problems.push(bad(reference.at, "`$ref` must be text"));
                return None;
            };
            let base = match self.homes.get(&address(found)) {
                Some(home) => home.base.clone(),
                None => self.base(found),
            };
            match self.find(&base, text, reading) {
                Ok((target, _)) => found = target,
                Err(why) => {
                    problems.push(unresolved(reference.at, text, &why));
                    return None;
                }
            }
        }
        problems.push(bad(node.at, "this reference leads round in a circle"));
        None
    }

    /// The block.
    pub fn finish(&mut self, problems: &mut Vec<Problem>) -> Vec<u8> {
        self.circles(problems);
        problems.append(&mut self.strange);
        let dynamic: Vec<u32> = std::mem::take(&mut self.dynamic).into_iter().flatten().collect();
        let anchors = if dynamic.is_empty() { 0 } else { self.list(&dynamic) };
        let directory = self.here();
        for place in std::mem::take(&mut self.places) {
            self.block.push(place);
        }
        let count = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
        if count == 0 {
            return Vec::new();
        }
        let flags = if self.tracks { TRACKS } else { 0 };
        for (place, word) in [directory, count, flags, anchors].into_iter().enumerate() {
            self.block.patch(place * 4, word);
        }
        if self.too_large {
            let start = Span { file: 0, start: 0, end: 0 };
            problems.push(Problem::error("too-large", start, "the schemas are too large when compiled"));
        }
        std::mem::take(&mut self.block.bytes)
    }

    // From here: what belongs where.

    fn file(&self, node: &Node) -> String {
        self.sources.get(node.at.file).map(|source| source.path.display().to_string()).unwrap_or_default()
    }

    /// What a part of a document belongs to where nothing else is known.
    fn base(&self, node: &Node) -> Uri {
        let holds = |at: &Span| at.file == node.at.file && at.start <= node.at.start && node.at.end <= at.end;
        match self.inline.iter().find(|(at, _)| holds(at)) {
            Some((_, base)) => base.clone(),
            None => Uri::file(&self.file(node)),
        }
    }

    fn resource(&mut self, base: Uri, root: &'a Node, reading: Reading) {
        // What has been copied, by an alias or the defaults of a group, is several trees of one address.
        self.resources.insert(base.to_string(), root);
        let home = Home { base, draft: reading.draft, validates: true };
        self.index(root, &Rc::new(home));
    }

    /// Makes sure that it is known where a part of a document belongs: to its file, if nothing else is known.
    fn at_home(&mut self, node: &'a Node, reading: Reading) {
        if self.homes.contains_key(&address(node)) {
            return;
        }
        let base = self.base(node);
        if let Some(root) = self.documents.of_file(node.at.file) {
            self.resources.entry(base.to_string()).or_insert(root);
        }
        let home = Home { base, draft: reading.draft, validates: true };
        self.index(node, &Rc::new(home));
    }

    /// Notes where a schema and all in it belong, and what they are called.
    fn index(&mut self, node: &'a Node, home: &Rc<Home>) {
        if self.homes.contains_key(&address(node)) {
            return;
        }
        let mut home = home.clone();
        if let Some(named) = node.get("$schema")
            && let Some(text) = named.text()
        {
            match self.draft(text) {
                Some((draft, validates)) => home = Rc::new(Home { base: home.base.clone(), draft, validates }),
                None => self.strange.push(bad(named.at, format!("`{text}` is no draft that is known here")).help(
                    "the drafts are `https://json-schema.org/draft/2020-12/schema` and `http://json-schema.org/draft-07/schema#`",
                )),
            }
        }
        // OpenAPI 3.0 knows no `$id`, and what stands beside a `$ref` was nothing before 2020-12.
        let is_unnamed = match home.draft {
            Draft::Draft202012 => false,
            Draft::Draft7 => node.get("$ref").is_some(),
            Draft::OpenApi30 => true,
        };
        if let Some(id) = node.get("$id").and_then(Node::text).filter(|_| !is_unnamed) {
            let (base, fragment) = home.base.resolve(id);
            if !fragment.is_empty() {
                self.anchors.insert((base.to_string(), fragment), Anchor { node, dynamic: false });
            }
            if base != home.base {
                home = Rc::new(Home { base, draft: home.draft, validates: home.validates });
                self.resources.insert(home.base.to_string(), node);
            }
        }
        if home.draft == Draft::Draft202012 {
            for (keyword, dynamic) in [("$anchor", false), ("$dynamicAnchor", true)] {
                if let Some(name) = node.get(keyword).and_then(Node::text) {
                    self.anchors.insert((home.base.to_string(), name.to_owned()), Anchor { node, dynamic });
                }
            }
        }
        self.homes.insert(address(node), home.clone());
        for entry in node.entries() {
            if entry.name == "allOf" {
                self.wholes.extend(entry.value.items().iter().map(|part| (address(part), node)));
            }
            match holds(&entry.name) {
                Holds::Schemas => entry.value.items().iter().for_each(|schema| self.index(schema, &home)),
                Holds::Named => {
                    entry.value.entries().iter().for_each(|entry| self.index(&entry.value, &home));
                }
                Holds::Nothing => {}
            }
        }
    }

    /// The draft that an address names, directly or through a metaschema of one's own.
    fn draft(&self, text: &str) -> Option<(Draft, bool)> {
        match text.trim_end_matches('#') {
            "https://json-schema.org/draft/2020-12/schema" => Some((Draft::Draft202012, true)),
            "http://json-schema.org/draft-07/schema" | "https://json-schema.org/draft-07/schema" => {
                Some((Draft::Draft7, true))
            }
            "https://spec.openapis.org/oas/3.1/dialect/base" => Some((Draft::Draft202012, true)),
            address => {
                let metaschema = self.resources.get(&Uri::file("").resolve(address).0.to_string())?;
                let vocabularies = metaschema.get("$vocabulary")?;
                let validates = vocabularies.get("https://json-schema.org/draft/2020-12/vocab/validation").is_some();
                Some((Draft::Draft202012, validates))
            }
        }
    }

    /// What a reference leads to, and the anchor by which it was found.
    fn find(&mut self, base: &Uri, reference: &str, reading: Reading) -> Result<(&'a Node, Option<String>), String> {
        let (target, fragment) = base.resolve(reference);
        let name = target.to_string();
        if !self.resources.contains_key(&name) {
            let path = target.as_file().map_or_else(|| Path::new(&name), Path::new);
            let document = self.documents.get(path);
            match document.map(|document| (&document.root, &document.why)) {
                Some((Some(root), _)) => self.resource(target.clone(), root, reading),
                Some((None, Some(why))) => return Err(format!("cannot read `{name}`: {why}")),
                Some((None, None)) => return Err(format!("`{name}` has errors of its own")),
                None if target.as_file().is_some() => return Err(format!("there is no `{name}`")),
                None => {
                    return Err(format!("nothing is fetched while compiling, and `{name}` is not given by `remotes`"));
                }
            }
        }
        let root = *self.resources.get(&name).ok_or_else(|| format!("there is no `{name}`"))?;
        if fragment.is_empty() {
            self.at_home(root, reading);
            return Ok((root, None));
        }
        if !fragment.starts_with('/') {
            let anchor = self.anchors.get(&(name.clone(), fragment.clone()));
            return match anchor {
                Some(anchor) => Ok((anchor.node, Some(fragment))),
                None => Err(format!("there is no anchor `{fragment}`")),
            };
        }
        let mut node = root;
        let mut home = self.homes.get(&address(root)).cloned();
        for step in fragment.split('/').skip(1) {
            let step = step.replace("~1", "/").replace("~0", "~");
            let next = match &node.value {
                Value::Map(_) => node.get(&step),
                Value::List(items) => step.parse::<usize>().ok().and_then(|place| items.get(place)),
                Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::Text(_) => None,
            };
            node = next.ok_or_else(|| format!("there is no `{step}` on the way of `#{fragment}`"))?;
            home = self.homes.get(&address(node)).cloned().or(home);
        }
        match home {
            Some(home) => self.index(node, &home),
            None => self.at_home(node, reading),
        }
        Ok((node, None))
    }

    // From here: what is written.

    fn id(&mut self, node: &'a Node, reading: Reading, brought_by: Keyword) -> u32 {
        let nothing = node.value == Value::Bool(false);
        let key = Key { node: address(node), reading, brought_by: nothing.then_some(brought_by) };
        if let Some(id) = self.known.get(&key) {
            return *id;
        }
        let id = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
        self.known.insert(key, id);
        self.places.push(0);
        self.waiting.push_back(Waiting { id, node, reading, brought_by });
        id
    }

    fn drain(&mut self, problems: &mut Vec<Problem>) {
        loop {
            while let Some(waiting) = self.waiting.pop_front() {
                let keywords =
                    Keywords { all: self, problems, at: waiting.node, id: waiting.id, reading: waiting.reading };
                let (resource, words) = keywords.read(waiting.brought_by);
                let place = self.here();
                let count = u32::try_from(words.len()).unwrap_or(u32::MAX);
                [resource, count].into_iter().for_each(|word| self.block.push(word));
                for (keyword, operand) in words {
                    self.block.push(keyword as u32);
                    self.block.push(operand);
                }
                if let Some(known) = self.places.get_mut(waiting.id as usize) {
                    *known = place;
                }
            }
            // Somebody looks for these anchors wherever they are.
            let anchors: Vec<_> = self
                .anchors
                .iter()
                .filter(|(_, anchor)| anchor.dynamic)
                .map(|(name, a)| (name.clone(), a.node))
                .collect();
            for (name, reading) in self.sought.clone() {
                for ((resource, anchor), node) in anchors.iter().filter(|((_, anchor), _)| *anchor == name) {
                    let entry = [
                        self.number(resource),
                        self.number(&format!("#{anchor}")),
                        self.id(node, reading, Keyword::False),
                    ];
                    if !self.dynamic.contains(&entry) {
                        self.dynamic.push(entry);
                    }
                }
            }
            if self.waiting.is_empty() {
                return;
            }
        }
    }

    /// From 1.
    fn number(&mut self, name: &str) -> u32 {
        let next = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX).saturating_add(1);
        *self.numbers.entry(name.to_owned()).or_insert(next)
    }

    fn here(&mut self) -> u32 {
        let here = self.block.here();
        self.known_size(here)
    }

    fn known_size(&mut self, place: Result<u32, TooLarge>) -> u32 {
        place.unwrap_or_else(|TooLarge| {
            self.too_large = true;
            0
        })
    }

    fn list(&mut self, words: &[u32]) -> u32 {
        let place = self.here();
        self.block.push(u32::try_from(words.len()).unwrap_or(u32::MAX));
        words.iter().for_each(|word| self.block.push(*word));
        place
    }

    fn text(&mut self, text: &str) -> u32 {
        if let Some(place) = self.texts.get(text) {
            return *place;
        }
        let place = self.here();
        self.block.push(u32::try_from(text.len()).unwrap_or(u32::MAX));
        self.block.bytes.extend(text.as_bytes());
        self.block.bytes.resize(self.block.bytes.len().next_multiple_of(4), 0);
        self.texts.insert(text.to_owned(), place);
        place
    }

    /// A schema that needs itself to judge the very same value never comes to an end.
    fn circles(&self, problems: &mut Vec<Problem>) {
        let mut edges: HashMap<u32, Vec<(u32, Span)>> = HashMap::new();
        for (from, to, at) in &self.in_place {
            edges.entry(*from).or_default().push((*to, *at));
        }
        let mut done: BTreeSet<u32> = BTreeSet::new();
        for start in 0..u32::try_from(self.known.len()).unwrap_or(u32::MAX) {
            // The schemas on the way, each with how many of its edges have been taken.
            let mut way: Vec<(u32, usize)> = vec![(start, 0)];
            while let Some((schema, taken)) = way.last_mut() {
                let edge = if done.contains(schema) { None } else { edges.get(schema).and_then(|all| all.get(*taken)) };
                let Some((to, at)) = edge else {
                    done.insert(*schema);
                    way.pop();
                    continue;
                };
                *taken += 1;
                if way.iter().any(|(schema, _)| schema == to) {
                    problems.push(
                        bad(*at, "this schema needs itself to judge the same value, so it never comes to an end")
                            .help("refer to it from a property or from items instead"),
                    );
                } else {
                    way.push((*to, 0));
                }
            }
        }
    }
}

/// Longer chains of references are a circle.
const MOST_HOPS: usize = 64;

/// Schemas in schemas for one value that are looked into for what it is, before it is compiled.
const DEEP: usize = 8;

/// What has more is no form and no parameter.
const MOST_PROPERTIES: usize = 256;

/// The keywords of one schema.
struct Keywords<'c, 'a> {
    all: &'c mut SchemaCompiler<'a>,
    problems: &'c mut Vec<Problem>,
    at: &'a Node,
    id: u32,
    reading: Reading,
}

impl<'a> Keywords<'_, 'a> {
    /// The resource that the schema belongs to, and its keywords in the order in which they are judged.
    fn read(mut self, brought_by: Keyword) -> (u32, Vec<(Keyword, u32)>) {
        let Some(home) = self.all.homes.get(&address(self.at)).cloned() else { return (0, Vec::new()) };
        let resource = self.all.number(&home.base.to_string());
        let entries = match &self.at.value {
            Value::Bool(true) => return (resource, Vec::new()),
            Value::Bool(false) => return (resource, vec![(Keyword::False, brought_by as u32)]),
            Value::Map(entries) => entries,
            Value::Null | Value::Integer(_) | Value::Float(_) | Value::Text(_) | Value::List(_) => {
                self.wrong(self.at.at, "a schema is a map, or `true` or `false`");
                return (resource, Vec::new());
            }
        };
        let mut words = Vec::new();
        let alone = home.draft != Draft::Draft202012 && self.at.get("$ref").is_some();
        for entry in entries.iter().filter(|entry| !alone || entry.name == "$ref") {
            words.extend(self.reference(entry, &home));
            words.extend(self.applicator(entry, &home));
            if home.validates {
                words.extend(self.assertion(entry, &home));
            }
            self.spelling(entry, &home);
        }
        if !alone {
            words.extend(self.properties(&home));
            words.extend(self.items(&home));
            words.extend(self.contains(&home));
            words.extend(self.condition(&home));
        }
        words.sort_by_key(|(keyword, _)| *keyword);
        (resource, words)
    }

    fn reference(&mut self, entry: &'a Entry, home: &Home) -> Option<(Keyword, u32)> {
        let keyword = match entry.name.as_str() {
            "$ref" => Keyword::Ref,
            "$dynamicRef" if home.draft == Draft::Draft202012 => Keyword::DynamicRef,
            _ => return None,
        };
        let Some(text) = entry.value.text() else {
            self.wrong(entry.value.at, format!("`{}` must be text", entry.name));
            return None;
        };
        let reading = Reading { draft: home.draft, ..self.reading };
        match self.all.find(&home.base, text, reading) {
            Ok((target, anchor)) => {
                let id = self.all.id(target, self.reading, Keyword::Ref);
                let dynamic = anchor.filter(|_| keyword == Keyword::DynamicRef).filter(|name| {
                    let resource = self.all.homes.get(&address(target)).map(|home| home.base.to_string());
                    let anchor = self.all.anchors.get(&(resource.unwrap_or_default(), name.clone()));
                    anchor.is_some_and(|anchor| anchor.dynamic)
                });
                match dynamic {
                    Some(name) => {
                        self.all.sought.insert((name.clone(), self.reading));
                        let number = self.all.number(&format!("#{name}"));
                        Some((Keyword::DynamicRef, self.all.list(&[id, number])))
                    }
                    None => {
                        self.all.in_place.push((self.id, id, entry.value.at));
                        Some((Keyword::Ref, id))
                    }
                }
            }
            Err(why) => {
                self.problems.push(unresolved(entry.value.at, text, &why));
                None
            }
        }
    }

    fn applicator(&mut self, entry: &'a Entry, home: &Home) -> Option<(Keyword, u32)> {
        let new = home.draft == Draft::Draft202012;
        Some(match entry.name.as_str() {
            "allOf" => (Keyword::AllOf, self.alternatives(entry)?),
            "anyOf" => (Keyword::AnyOf, self.alternatives(entry)?),
            "oneOf" => (Keyword::OneOf, self.alternatives(entry)?),
            "not" => (Keyword::Not, self.in_place(&entry.value, Keyword::Not)),
            "propertyNames" if home.draft != Draft::OpenApi30 => {
                (Keyword::PropertyNames, self.below(&entry.value, Keyword::PropertyNames))
            }
            "dependentSchemas" if new => {
                let words: Vec<u32> = self.map(entry)?.iter().flat_map(|entry| self.dependent(entry)).collect();
                (Keyword::DependentSchemas, self.all.list(&words))
            }
            "dependencies" if home.draft == Draft::Draft7 => {
                let schemas = self.map(entry)?.iter().filter(|entry| !matches!(entry.value.value, Value::List(_)));
                let words: Vec<u32> = schemas.flat_map(|entry| self.dependent(entry)).collect();
                if words.is_empty() {
                    return None;
                }
                (Keyword::DependentSchemas, self.all.list(&words))
            }
            "unevaluatedItems" if new => {
                self.all.tracks = true;
                (Keyword::UnevaluatedItems, self.below(&entry.value, Keyword::UnevaluatedItems))
            }
            "unevaluatedProperties" if new => {
                self.all.tracks = true;
                (Keyword::UnevaluatedProperties, self.below(&entry.value, Keyword::UnevaluatedProperties))
            }
            _ => return None,
        })
    }

    fn dependent(&mut self, entry: &'a Entry) -> [u32; 2] {
        [self.all.text(&entry.name), self.in_place(&entry.value, Keyword::DependentSchemas)]
    }

    fn alternatives(&mut self, entry: &'a Entry) -> Option<u32> {
        let Value::List(schemas) = &entry.value.value else {
            self.wrong(entry.value.at, format!("`{}` must be a list of schemas", entry.name));
            return None;
        };
        if schemas.is_empty() {
            self.wrong(entry.value.at, format!("`{}` needs at least one schema", entry.name));
        }
        let ids: Vec<u32> = schemas.iter().map(|schema| self.in_place(schema, Keyword::AllOf)).collect();
        Some(self.all.list(&ids))
    }

    fn properties(&mut self, home: &Home) -> Option<(Keyword, u32)> {
        let at = self.at;
        let named = at.entry("properties").and_then(|entry| self.map(entry)).unwrap_or_default();
        let patterned = self.known(home, "patternProperties").and_then(|entry| self.map(entry)).unwrap_or_default();
        let others = at.get("additionalProperties").map(|others| self.below(others, Keyword::AdditionalProperties));
        if named.is_empty() && patterned.is_empty() && others.is_none() {
            return None;
        }
        let named: Vec<(&str, u32)> = named
            .iter()
            .map(|entry| (entry.name.as_str(), self.below(&entry.value, Keyword::Properties) + 1))
            .collect();
        let table = if named.is_empty() { Ok(0) } else { self.all.block.table(&named) };
        let table = self.all.known_size(table);
        let mut patterns = Vec::new();
        for entry in patterned {
            let Some(pattern) = self.pattern(&entry.name, entry.name_at) else { continue };
            patterns.extend([pattern, self.below(&entry.value, Keyword::Properties)]);
        }
        let patterns = self.all.list(&patterns);
        Some((Keyword::Properties, self.all.list(&[table, patterns, others.map_or(0, |id| id + 1)])))
    }

    fn items(&mut self, home: &Home) -> Vec<(Keyword, u32)> {
        let at = self.at;
        let (prefix, rest) = match home.draft {
            Draft::Draft202012 => (at.entry("prefixItems"), at.entry("items")),
            Draft::Draft7 | Draft::OpenApi30 => match at.entry("items") {
                Some(items) if matches!(items.value.value, Value::List(_)) => {
                    (Some(items), self.known(home, "additionalItems"))
                }
                items => (None, items),
            },
        };
        let mut words = Vec::new();
        let mut start = 0;
        if let Some(prefix) = prefix {
            let Value::List(schemas) = &prefix.value.value else {
                self.wrong(prefix.value.at, "`prefixItems` must be a list of schemas");
                return words;
            };
            let ids: Vec<u32> = schemas.iter().map(|schema| self.below(schema, Keyword::PrefixItems)).collect();
            start = u32::try_from(ids.len()).unwrap_or(u32::MAX);
            words.push((Keyword::PrefixItems, self.all.list(&ids)));
        }
        if let Some(rest) = rest {
            if matches!(rest.value.value, Value::List(_)) {
                let problem = bad(rest.value.at, format!("`{}` must be one schema", rest.name));
                self.problems.push(problem.help("in draft 2020-12 a list of schemas is `prefixItems`"));
                return words;
            }
            let id = self.below(&rest.value, Keyword::Items);
            words.push((Keyword::Items, self.all.list(&[start, id])));
        }
        words
    }

    fn contains(&mut self, home: &Home) -> Option<(Keyword, u32)> {
        let at = self.at;
        let schema = self.below(&self.known(home, "contains")?.value, Keyword::Contains);
        let bounded = home.draft == Draft::Draft202012 && home.validates;
        let bound =
            |this: &mut Self, name: &str| at.entry(name).filter(|_| bounded).and_then(|entry| this.count(entry));
        let least = bound(self, "minContains").unwrap_or(1);
        let most = bound(self, "maxContains").unwrap_or(u32::MAX);
        let marks = u32::from(home.draft == Draft::Draft202012);
        Some((Keyword::Contains, self.all.list(&[schema, least, most, marks])))
    }

    fn condition(&mut self, home: &Home) -> Option<(Keyword, u32)> {
        let at = self.at;
        let condition = self.in_place(&self.known(home, "if")?.value, Keyword::If) + 1;
        let mut branch = |name: &str| at.get(name).map_or(0, |schema| self.in_place(schema, Keyword::If) + 1);
        let words = [condition, branch("then"), branch("else")];
        Some((Keyword::If, self.all.list(&words)))
    }

    /// A keyword, unless it is one that OpenAPI 3.0 leaves out and its schema is read by that.
    fn known(&self, home: &Home, name: &str) -> Option<&'a Entry> {
        self.at.entry(name).filter(|_| home.draft != Draft::OpenApi30 || !NOT_IN_30.contains(&name))
    }

    fn assertion(&mut self, entry: &'a Entry, home: &Home) -> Option<(Keyword, u32)> {
        let (old, new) = (home.draft == Draft::OpenApi30, home.draft == Draft::Draft202012);
        let keyword = match entry.name.as_str() {
            "type" => return Some((Keyword::Type, self.kinds(entry, home)?)),
            "enum" => {
                if !matches!(entry.value.value, Value::List(_)) {
                    self.wrong(entry.value.at, "`enum` must be a list of values");
                    return None;
                }
                return Some((Keyword::Enum, self.constant(&entry.value)));
            }
            "const" if !old => return Some((Keyword::Const, self.constant(&entry.value))),
            "minimum" | "maximum" if old => {
                let least = entry.name == "minimum";
                let exclusive = if least { "exclusiveMinimum" } else { "exclusiveMaximum" };
                let exclusive = self.at.get(exclusive).is_some_and(|node| node.value == Value::Bool(true));
                match (least, exclusive) {
                    (true, false) => Keyword::Minimum,
                    (true, true) => Keyword::ExclusiveMinimum,
                    (false, false) => Keyword::Maximum,
                    (false, true) => Keyword::ExclusiveMaximum,
                }
            }
            "exclusiveMinimum" | "exclusiveMaximum" if old => {
                if !matches!(entry.value.value, Value::Bool(_)) {
                    let message = format!("`{}` must be `true` or `false` in OpenAPI 3.0", entry.name);
                    self.wrong(entry.value.at, message);
                }
                return None;
            }
            "minimum" => Keyword::Minimum,
            "maximum" => Keyword::Maximum,
            "exclusiveMinimum" => Keyword::ExclusiveMinimum,
            "exclusiveMaximum" => Keyword::ExclusiveMaximum,
            "multipleOf" => Keyword::MultipleOf,
            "minLength" => return Some((Keyword::MinLength, self.count(entry)?)),
            "maxLength" => return Some((Keyword::MaxLength, self.count(entry)?)),
            "minItems" => return Some((Keyword::MinItems, self.count(entry)?)),
            "maxItems" => return Some((Keyword::MaxItems, self.count(entry)?)),
            "minProperties" => return Some((Keyword::MinProperties, self.count(entry)?)),
            "maxProperties" => return Some((Keyword::MaxProperties, self.count(entry)?)),
            "uniqueItems" => {
                return match entry.value.value {
                    Value::Bool(true) => Some((Keyword::UniqueItems, 0)),
                    Value::Bool(false) => None,
                    _ => {
                        self.wrong(entry.value.at, "`uniqueItems` must be `true` or `false`");
                        None
                    }
                };
            }
            "pattern" => {
                let Some(text) = entry.value.text() else {
                    self.wrong(entry.value.at, "`pattern` must be text");
                    return None;
                };
                return Some((Keyword::Pattern, self.pattern(text, entry.value.at)?));
            }
            "format" => return self.format(entry),
            "required" => {
                let mut names = self.names(&entry.value, "required")?;
                let described = self.described();
                names.retain(|name| !self.goes_other_way(&described, name));
                let words: Vec<u32> = names.into_iter().map(|name| self.all.text(name)).collect();
                return Some((Keyword::Required, self.all.list(&words)));
            }
            "dependentRequired" if new => {
                let words: Vec<u32> = self.map(entry)?.iter().flat_map(|entry| self.dependent_names(entry)).collect();
                return Some((Keyword::DependentRequired, self.all.list(&words)));
            }
            "dependencies" if home.draft == Draft::Draft7 => {
                let lists = self.map(entry)?.iter().filter(|entry| matches!(entry.value.value, Value::List(_)));
                let words: Vec<u32> = lists.flat_map(|entry| self.dependent_names(entry)).collect();
                return Some((Keyword::DependentRequired, self.all.list(&words)));
            }
            _ => return None,
        };
        let Some(number) = self.all.number_text(&entry.value) else {
            self.wrong(entry.value.at, format!("`{}` must be a number", entry.name));
            return None;
        };
        let decimal = Decimal::read(&number);
        if keyword == Keyword::MultipleOf && !(decimal.is_positive() && decimal.precision() <= 18) {
            self.wrong(entry.value.at, "`multipleOf` must be a number over zero with at most 18 digits");
            return None;
        }
        Some((keyword, self.all.text(&number)))
    }

    fn dependent_names(&mut self, entry: &'a Entry) -> Vec<u32> {
        let Some(names) = self.names(&entry.value, &entry.name) else { return Vec::new() };
        let names: Vec<u32> = names.into_iter().map(|name| self.all.text(name)).collect();
        vec![self.all.text(&entry.name), self.all.list(&names)]
    }

    fn kinds(&mut self, entry: &'a Entry, home: &Home) -> Option<u32> {
        let mut bits = 0;
        for item in entry.value.items() {
            match item.text().and_then(|text| kinds::NAMES.iter().position(|name| *name == text)) {
                Some(place) => bits |= 1 << place,
                None => {
                    let message = match item.text() {
                        Some(text) => format!("there is no type `{text}`"),
                        None => "`type` must be the name of a type, or a list of them".to_owned(),
                    };
                    let meant = item.text().and_then(|text| closest(text, kinds::NAMES.iter().copied()));
                    let help = match meant {
                        Some(meant) => format!("did you mean `{meant}`?"),
                        None => format!("the types are {}", kinds::NAMES.map(|name| format!("`{name}`")).join(", ")),
                    };
                    self.problems.push(bad(item.at, message).help(help));
                    return None;
                }
            }
        }
        if home.draft == Draft::OpenApi30 && self.at.get("nullable").is_some_and(|node| node.value == Value::Bool(true))
        {
            bits |= kinds::NULL;
        }
        Some(bits)
    }

    fn format(&mut self, entry: &'a Entry) -> Option<(Keyword, u32)> {
        /// What OpenAPI names and nobody can judge from outside.
        const HINTS: [&str; 4] = ["float", "double", "binary", "password"];
        let Some(name) = entry.value.text() else {
            self.wrong(entry.value.at, "`format` must be text");
            return None;
        };
        if !self.reading.formats {
            return None;
        }
        let place = FORMATS.iter().position(|format| format.name == name);
        if place.is_none() && !HINTS.contains(&name) {
            let message = format!("the format `{name}` is not known here, so nothing is checked");
            let names = FORMATS.iter().map(|format| format.name);
            let help = closest(name, names).map(|meant| format!("did you mean `{meant}`?"));
            self.problems.push(Problem::warning("unknown-format-name", entry.value.at, message).maybe_help(help));
        }
        Some((Keyword::Format, u32::try_from(place?).ok()?))
    }

    fn pattern(&mut self, text: &str, at: Span) -> Option<u32> {
        match pattern::translate(text) {
            Ok(translated) => Some(self.all.text(&translated)),
            Err(wrong) => {
                let part = text.get(wrong.part.0..wrong.part.1).unwrap_or_default();
                let written = self.all.sources.text(at);
                let at = written
                    .find(part)
                    .filter(|_| !part.is_empty())
                    .map_or(at, |start| at.part(start, start + part.len()));
                self.problems.push(Problem::error("bad-regex", at, wrong.message));
                None
            }
        }
    }

    /// The schemas that may say which way a property of this value goes.
    fn described(&mut self) -> Vec<&'a Node> {
        if self.reading.way == Way::Any {
            return Vec::new();
        }
        // A part of an `allOf` may demand what its neighbours describe.
        let mut top = self.at;
        while let Some(whole) = self.all.wholes.get(&address(top)) {
            top = whole;
        }
        self.all.layers(top, self.reading)
    }

    /// Whether a property goes only the other way than this value does.
    fn goes_other_way(&mut self, described: &[&'a Node], name: &str) -> bool {
        let keyword = match self.reading.way {
            Way::Any => return false,
            Way::Request => "readOnly",
            Way::Response => "writeOnly",
        };
        described.iter().filter_map(|layer| layer.get("properties")?.get(name)).any(|property| {
            let layers = self.all.layers(property, self.reading);
            layers.iter().any(|layer| layer.get(keyword).is_some_and(|node| node.value == Value::Bool(true)))
        })
    }

    fn names(&mut self, node: &'a Node, keyword: &str) -> Option<Vec<&'a str>> {
        let names = match &node.value {
            Value::List(items) => items.iter().map(Node::text).collect::<Option<Vec<_>>>(),
            _ => None,
        };
        if names.is_none() {
            self.wrong(node.at, format!("`{keyword}` must be a list of names"));
        }
        names
    }

    fn map(&mut self, entry: &'a Entry) -> Option<&'a [Entry]> {
        match &entry.value.value {
            Value::Map(entries) => Some(entries),
            Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::Text(_) | Value::List(_) => {
                self.wrong(entry.value.at, format!("`{}` must be a map", entry.name));
                None
            }
        }
    }

    fn count(&mut self, entry: &'a Entry) -> Option<u32> {
        let whole = self.all.number_text(&entry.value).filter(|text| {
            let number = Decimal::read(text);
            number.is_integer() && number >= Decimal::read("0")
        });
        let Some(text) = whole else {
            self.wrong(entry.value.at, format!("`{}` must be a whole number, not below zero", entry.name));
            return None;
        };
        // More than there can ever be is as much as there can be.
        Some(text.parse::<f64>().map_or(u32::MAX, |number| number as u32))
    }

    fn constant(&mut self, node: &'a Node) -> u32 {
        let mut text = String::new();
        self.all.json(node, &mut text);
        self.all.text(&text)
    }

    /// A schema for the same value.
    fn in_place(&mut self, node: &'a Node, brought_by: Keyword) -> u32 {
        let id = self.below(node, brought_by);
        self.all.in_place.push((self.id, id, node.head()));
        id
    }

    /// A schema for a part of the value.
    fn below(&mut self, node: &'a Node, brought_by: Keyword) -> u32 {
        self.all.id(node, self.reading, brought_by)
    }

    /// What is not known is a remark for readers, unless it looks like a slip.
    fn spelling(&mut self, entry: &'a Entry, home: &Home) {
        let name = entry.name.as_str();
        if KNOWN.contains(&name) || name.starts_with("x-") {
            let elsewhere = match home.draft {
                Draft::Draft7 => NEW.contains(&name),
                Draft::Draft202012 => matches!(name, "additionalItems" | "dependencies" | "nullable"),
                Draft::OpenApi30 => NEW.contains(&name) || NOT_IN_30.contains(&name),
            };
            if elsewhere {
                let message = format!("`{name}` means nothing in this draft");
                let problem = Problem::warning("ignored-keyword", entry.name_at, message);
                self.problems.push(problem.maybe_help(match (name, home.draft) {
                    ("nullable", _) => Some("write `type: [string, \"null\"]`".to_owned()),
                    ("additionalItems", _) => Some("write `prefixItems` and `items`".to_owned()),
                    ("dependencies", _) => Some("write `dependentRequired` or `dependentSchemas`".to_owned()),
                    (_, Draft::OpenApi30) => Some("OpenAPI 3.1 has it".to_owned()),
                    _ => None,
                }));
            }
        } else if let Some(meant) = closest(name, KNOWN.iter().copied()) {
            let message = format!("`{name}` is no keyword of JSON Schema, so nothing is checked");
            self.problems.push(
                Problem::warning("ignored-keyword", entry.name_at, message).help(format!("did you mean `{meant}`?")),
            );
        }
    }

    fn wrong(&mut self, at: Span, message: impl Into<String>) {
        self.problems.push(bad(at, message));
    }
}

impl SchemaCompiler<'_> {
    /// A number as it is written, where JSON would write it so.
    fn number_text(&self, node: &Node) -> Option<String> {
        let written = self.sources.text(node.at);
        let is_number = |text: &str| {
            let begins = text.starts_with(|c: char| c == '-' || c.is_ascii_digit());
            begins && crate::json::read(text, &crate::json::Limits::USUAL).is_ok()
        };
        match node.value {
            Value::Integer(_) | Value::Float(_) if is_number(written) => Some(written.to_owned()),
            Value::Integer(number) => Some(number.to_string()),
            Value::Float(number) if number.is_finite() => Some(number.to_string()),
            _ => None,
        }
    }

    fn json(&self, node: &Node, out: &mut String) {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        match &node.value {
            Value::Null => out.push_str("null"),
            Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Value::Integer(_) | Value::Float(_) => {
                out.push_str(&self.number_text(node).unwrap_or_else(|| "null".to_owned()))
            }
            Value::Text(text) => out.push_str(&quoted(text)),
            Value::List(items) => {
                out.push('[');
                for (place, item) in items.iter().enumerate() {
                    out.push_str(if place > 0 { "," } else { "" });
                    self.json(item, out);
                }
                out.push(']');
            }
            Value::Map(entries) => {
                out.push('{');
                for (place, entry) in entries.iter().enumerate() {
                    out.push_str(if place > 0 { "," } else { "" });
                    out.push_str(&quoted(&entry.name));
                    out.push(':');
                    self.json(&entry.value, out);
                }
                out.push('}');
            }
        }
    }
}

/// Where under a keyword there are schemas.
enum Holds {
    /// One, or a list of them.
    Schemas,
    /// A map of them.
    Named,
    Nothing,
}

fn holds(keyword: &str) -> Holds {
    match keyword {
        "allOf"
        | "anyOf"
        | "oneOf"
        | "not"
        | "if"
        | "then"
        | "else"
        | "items"
        | "prefixItems"
        | "additionalItems"
        | "contains"
        | "additionalProperties"
        | "propertyNames"
        | "unevaluatedItems"
        | "unevaluatedProperties"
        | "contentSchema" => Holds::Schemas,
        "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas" | "dependencies" => {
            Holds::Named
        }
        _ => Holds::Nothing,
    }
}

/// Keywords that say something, to machines or to readers.
const KNOWN: &[&str] = &[
    "$id",
    "$schema",
    "$ref",
    "$anchor",
    "$dynamicRef",
    "$dynamicAnchor",
    "$vocabulary",
    "$comment",
    "$defs",
    "definitions",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "dependentSchemas",
    "dependencies",
    "prefixItems",
    "items",
    "additionalItems",
    "contains",
    "properties",
    "patternProperties",
    "additionalProperties",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
    "type",
    "enum",
    "const",
    "multipleOf",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "maxContains",
    "minContains",
    "maxProperties",
    "minProperties",
    "required",
    "dependentRequired",
    "format",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
    "title",
    "description",
    "default",
    "deprecated",
    "readOnly",
    "writeOnly",
    "examples",
    "example",
    "nullable",
    "discriminator",
    "xml",
    "externalDocs",
];

/// Of these, what came after draft 7.
const NEW: &[&str] = &[
    "$anchor",
    "$dynamicRef",
    "$dynamicAnchor",
    "dependentSchemas",
    "prefixItems",
    "unevaluatedItems",
    "unevaluatedProperties",
    "maxContains",
    "minContains",
    "dependentRequired",
];

/// What OpenAPI 3.0 leaves out besides.
const NOT_IN_30: &[&str] = &[
    "$id",
    "const",
    "contains",
    "patternProperties",
    "propertyNames",
    "if",
    "then",
    "else",
    "additionalItems",
    "dependencies",
];

fn bad(at: Span, message: impl Into<String>) -> Problem {
    Problem::error("bad-schema", at, message)
}

fn unresolved(at: Span, reference: &str, why: &str) -> Problem {
    Problem::error("unresolved-reference", at, format!("`{reference}` leads nowhere: {why}"))
}
