//! The evaluation of one value: a loop with a stack of its own.

use super::keyword::{Keyword, kinds};
use super::number::{Decimal, compare};
use super::{Finding, SchemaId, Schemas, at, format};
use crate::json::{Json, Kind};
use std::cmp::Ordering;

/// To check this value would take longer than anything of its size should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooCostly;

/// See [`Schemas::check`].
pub(super) fn run(
    schemas: &Schemas,
    schema: SchemaId,
    value: Json<'_>,
    most: usize,
) -> Result<Vec<Finding>, TooCostly> {
    let [_, _, flags] = schemas.words().words(0);
    let mut run = Run {
        schemas,
        value,
        frames: Vec::new(),
        marks: Vec::new(),
        tracks: flags & TRACKS != 0,
        findings: Vec::new(),
        most,
        // A text has twice as many bytes as parts or more, so this bounds the time by the size of what was sent.
        left: 100_000 + 64 * value.len() as u64,
    };
    let valid = run.everything(schema.0)?;
    if !valid && run.findings.is_empty() {
        let message = "is not as it should be".to_owned();
        run.findings.push(Finding { pointer: String::new(), keyword: Keyword::False.name(), message });
    }
    Ok(run.findings)
}

/// The flag of a block in which something asks what has been evaluated.
pub const TRACKS: u32 = 1;

/// Deeper evaluations are given up. A value of the usual depth takes a few of these per level.
const DEEPEST: usize = 2048;

struct Run<'a> {
    schemas: &'a Schemas,
    value: Json<'a>,
    /// The schemas that wait for the one at work.
    frames: Vec<Frame>,
    /// Items and members that some keyword has looked at; those of a schema stand behind those of the ones that wait for it.
    marks: Vec<u32>,
    tracks: bool,
    findings: Vec<Finding>,
    most: usize,
    left: u64,
}

/// A schema at work on a part of the value.
#[derive(Debug, Clone, Copy)]
struct Frame {
    part: u32,
    resource: u32,
    /// The keyword that is next, and how many are left with it.
    keyword: u32,
    left: u32,
    valid: bool,
    /// Nobody wants to know what is wrong, only whether.
    quiet: bool,
    /// Where its marks begin.
    marks: usize,
    state: State,
}

/// How far the keyword has come.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    begun: bool,
    /// The item or member's name at which it is.
    part: u32,
    index: u32,
    count: u32,
    failed: bool,
}

/// What comes next.
enum Next {
    /// This schema, on this part of the value.
    Enter { schema: u32, part: u32, quiet: bool },
    /// The keyword is met.
    Passed,
    /// It is not, and what was wrong has been told, or is not to be.
    Failed,
    /// It is not.
    Wrong(String),
}

impl<'a> Run<'a> {
    fn everything(&mut self, schema: u32) -> Result<bool, TooCostly> {
        let mut frame = self.frame(schema, 0, false);
        let mut brought = None;
        loop {
            match self.advance(&mut frame, brought.take())? {
                Some((schema, part, quiet)) => {
                    if self.frames.len() >= DEEPEST {
                        return Err(TooCostly);
                    }
                    let inner = self.frame(schema, part, quiet || frame.quiet);
                    self.frames.push(std::mem::replace(&mut frame, inner));
                }
                None => {
                    let valid = frame.valid;
                    let Some(outer) = self.frames.pop() else { return Ok(valid) };
                    // What a schema has seen of this very part counts for the one that it stands in.
                    if !valid || outer.part != frame.part {
                        self.marks.truncate(frame.marks);
                    }
                    if self.findings.len() >= self.most {
                        return Ok(false);
                    }
                    frame = outer;
                    brought = Some(valid);
                }
            }
        }
    }

    fn frame(&self, schema: u32, part: u32, quiet: bool) -> Frame {
        let place = self.schemas.place(schema);
        let [resource, left] = if place == 0 { [0, 0] } else { self.schemas.words().words(place) };
        let (marks, state) = (self.marks.len(), State::default());
        Frame { part, resource, keyword: at(place, 2), left, valid: true, quiet, marks, state }
    }

    /// Goes on with a schema until it needs another or is done.
    fn advance(&mut self, frame: &mut Frame, mut brought: Option<bool>) -> Result<Option<(u32, u32, bool)>, TooCostly> {
        while frame.left > 0 {
            self.spend(1)?;
            let [number, operand] = self.schemas.words().words(frame.keyword);
            let next = match Keyword::ALL.get(number as usize) {
                Some(keyword) => (*keyword, self.keyword(*keyword, operand, frame, brought.take())?),
                None => (Keyword::False, Next::Failed),
            };
            match next {
                (_, Next::Enter { schema, part, quiet }) => return Ok(Some((schema, part, quiet))),
                (_, Next::Passed) => {}
                (_, Next::Failed) => frame.valid = false,
                (keyword, Next::Wrong(message)) => {
                    frame.valid = false;
                    if !frame.quiet && self.findings.len() < self.most {
                        let brought_by = Keyword::ALL.get(operand as usize);
                        let keyword = if keyword == Keyword::False { *brought_by.unwrap_or(&keyword) } else { keyword };
                        let pointer = self.value.pointer(frame.part);
                        self.findings.push(Finding { pointer, keyword: keyword.name(), message });
                    }
                }
            }
            if !frame.valid && (frame.quiet || self.findings.len() >= self.most) {
                break;
            }
            frame.state = State::default();
            frame.keyword = at(frame.keyword, 2);
            frame.left -= 1;
        }
        Ok(None)
    }

    fn spend(&mut self, steps: u64) -> Result<(), TooCostly> {
        self.left = self.left.checked_sub(steps).ok_or(TooCostly)?;
        Ok(())
    }

    fn keyword(
        &mut self,
        keyword: Keyword,
        operand: u32,
        frame: &mut Frame,
        brought: Option<bool>,
    ) -> Result<Next, TooCostly> {
        let kind = self.value.kind(frame.part);
        Ok(match keyword {
            Keyword::False => Next::Wrong("is not allowed here".into()),
            Keyword::Type => self.kind(operand, frame.part),
            Keyword::Enum | Keyword::Const => self.constant(keyword, operand, frame.part)?,
            Keyword::Minimum
            | Keyword::ExclusiveMinimum
            | Keyword::Maximum
            | Keyword::ExclusiveMaximum
            | Keyword::MultipleOf => {
                if kind != Kind::Number {
                    return Ok(Next::Passed);
                }
                // A number can be as long as the whole body.
                self.spend(self.value.raw(frame.part).len() as u64 / 16)?;
                number(keyword, self.value.raw(frame.part), self.schemas.text(operand))
            }
            Keyword::MinLength | Keyword::MaxLength | Keyword::Pattern | Keyword::Format => {
                self.text(keyword, operand, frame.part)?
            }
            Keyword::MinItems | Keyword::MaxItems if kind == Kind::List => {
                let count = self.count(self.value.items(frame.part))?;
                bounds(count, operand, keyword == Keyword::MinItems, "items")
            }
            Keyword::UniqueItems if kind == Kind::List => self.unique(frame.part)?,
            Keyword::MinProperties | Keyword::MaxProperties if kind == Kind::Object => {
                let count = self.count(self.value.members(frame.part))?;
                bounds(count, operand, keyword == Keyword::MinProperties, "properties")
            }
            Keyword::Required | Keyword::DependentRequired if kind == Kind::Object => {
                self.required(keyword, operand, frame.part)?
            }
            Keyword::MinItems
            | Keyword::MaxItems
            | Keyword::UniqueItems
            | Keyword::MinProperties
            | Keyword::MaxProperties
            | Keyword::Required
            | Keyword::DependentRequired => Next::Passed,
            Keyword::AnyOf | Keyword::OneOf => self.alternatives(keyword, operand, frame, brought),
            Keyword::Not => match brought {
                None => Next::Enter { schema: operand, part: frame.part, quiet: true },
                Some(true) => Next::Wrong("is of a kind that is not allowed here".into()),
                Some(false) => Next::Passed,
            },
            Keyword::If => self.condition(operand, frame, brought),
            Keyword::Contains if kind == Kind::List => self.contains(operand, frame, brought)?,
            Keyword::Contains => Next::Passed,
            Keyword::Ref
            | Keyword::DynamicRef
            | Keyword::AllOf
            | Keyword::DependentSchemas
            | Keyword::Properties
            | Keyword::AdditionalProperties
            | Keyword::PropertyNames
            | Keyword::PrefixItems
            | Keyword::Items
            | Keyword::UnevaluatedItems
            | Keyword::UnevaluatedProperties => {
                frame.state.failed |= brought == Some(false);
                if frame.state.failed && frame.quiet {
                    return Ok(Next::Failed);
                }
                match self.next(keyword, operand, frame, kind)? {
                    Some((schema, part)) => Next::Enter { schema, part, quiet: false },
                    None if frame.state.failed => Next::Failed,
                    None => Next::Passed,
                }
            }
        })
    }

    /// Of a keyword whose schemas must all be met, the next schema and what it is for.
    fn next(
        &mut self,
        keyword: Keyword,
        operand: u32,
        frame: &mut Frame,
        kind: Kind,
    ) -> Result<Option<(u32, u32)>, TooCostly> {
        let (schemas, part) = (self.schemas, frame.part);
        let index = frame.state.index;
        Ok(match keyword {
            Keyword::Ref => {
                frame.state.index = 1;
                (index == 0).then_some((operand, part))
            }
            Keyword::DynamicRef => {
                frame.state.index = 1;
                if index == 0 { Some((self.dynamic(operand, frame.resource)?, part)) } else { None }
            }
            Keyword::AllOf => {
                frame.state.index += 1;
                schemas.listed(operand, index).map(|schema| (schema, part))
            }
            Keyword::DependentSchemas if kind == Kind::Object => loop {
                let index = frame.state.index;
                let Some((name, schema)) = schemas.listed(operand, index).zip(schemas.listed(operand, index + 1))
                else {
                    break None;
                };
                frame.state.index += 2;
                if self.has(part, schemas.text(name))? {
                    break Some((schema, part));
                }
            },
            Keyword::Properties if kind == Kind::Object => self.property(operand, frame)?,
            Keyword::PropertyNames if kind == Kind::Object => self.step(frame, kind)?.map(|name| (operand, name)),
            Keyword::PrefixItems if kind == Kind::List => match schemas.listed(operand, index) {
                Some(schema) => self.step(frame, kind)?.map(|item| {
                    self.mark(item);
                    (schema, item)
                }),
                None => None,
            },
            Keyword::Items if kind == Kind::List => loop {
                let Some(item) = self.step(frame, kind)? else { break None };
                // The index is already that of the item after this one.
                if Some(frame.state.index) > schemas.listed(operand, 0) {
                    self.mark(item);
                    break schemas.listed(operand, 1).map(|schema| (schema, item));
                }
            },
            Keyword::UnevaluatedItems if kind == Kind::List => loop {
                self.begin_unevaluated(frame)?;
                let Some(item) = self.step(frame, kind)? else { break None };
                if !self.is_marked(frame, item) {
                    break Some((operand, item));
                }
            },
            Keyword::UnevaluatedProperties if kind == Kind::Object => loop {
                self.begin_unevaluated(frame)?;
                let Some(name) = self.step(frame, kind)? else { break None };
                if !self.is_marked(frame, name + 1) {
                    break Some((operand, name + 1));
                }
            },
            _ => None,
        })
    }

    /// The next item of a list or name of an object.
    fn step(&mut self, frame: &mut Frame, kind: Kind) -> Result<Option<u32>, TooCostly> {
        self.spend(1)?;
        let end = self.value.next(frame.part);
        let state = &mut frame.state;
        let next = match (state.begun, kind) {
            (false, _) => frame.part + 1,
            (true, Kind::Object) => self.value.next(state.part + 1),
            (true, _) => self.value.next(state.part),
        };
        (state.begun, state.part) = (true, next);
        state.index = state.index.saturating_add(1);
        Ok((next < end).then_some(next))
    }

    /// `properties`, `patternProperties` and `additionalProperties` together: each member is looked at once. `index` is
    /// what comes next for it: 0 the name, then the patterns, at last the others; `count`, whether anything was for it.
    fn property(&mut self, operand: u32, frame: &mut Frame) -> Result<Option<(u32, u32)>, TooCostly> {
        let schemas = self.schemas;
        let [_, table, patterns, others] = schemas.words().words(operand);
        let end = self.value.next(frame.part);
        let state = &mut frame.state;
        if !state.begun {
            (state.begun, state.part) = (true, frame.part + 1);
        }
        while state.part < end {
            self.spend(1)?;
            let (name, value, index) = (state.part, state.part + 1, state.index);
            state.index += 1;
            if index == 0 {
                let schema = if table == 0 { 0 } else { self.lookup(table, name) };
                if schema > 0 {
                    state.count = 1;
                    self.mark(value);
                    return Ok(Some((schema - 1, value)));
                }
                continue;
            }
            let pattern = (index - 1) * 2;
            if let Some((pattern, schema)) =
                schemas.listed(patterns, pattern).zip(schemas.listed(patterns, pattern + 1))
            {
                let text = self.value.text(name);
                self.spend(text.len() as u64 / 8)?;
                if schemas.pattern(pattern).is_none_or(|pattern| pattern.is_match(&text)) {
                    state.count = 1;
                    self.mark(value);
                    return Ok(Some((schema, value)));
                }
                continue;
            }
            let alone = state.count == 0;
            (state.part, state.index, state.count) = (self.value.next(value), 0, 0);
            if alone && others > 0 {
                self.mark(value);
                return Ok(Some((others - 1, value)));
            }
        }
        Ok(None)
    }

    fn lookup(&self, table: u32, name: u32) -> u32 {
        self.schemas.words().lookup(table, crate::frozen::Key("", &self.value.text(name)))
    }

    fn alternatives(&mut self, keyword: Keyword, operand: u32, frame: &mut Frame, brought: Option<bool>) -> Next {
        let state = &mut frame.state;
        state.count += u32::from(brought == Some(true));
        let enough = match keyword {
            // With somebody asking what has been seen, every alternative has its say.
            Keyword::AnyOf => state.count > 0 && !self.tracks,
            _ => state.count > 1,
        };
        let index = state.index;
        state.index += 1;
        match self.schemas.listed(operand, index) {
            Some(schema) if !enough => Next::Enter { schema, part: frame.part, quiet: true },
            Some(_) | None => match (keyword, state.count) {
                (_, 0) => Next::Wrong("is none of what is allowed here".into()),
                (Keyword::AnyOf, _) | (_, 1) => Next::Passed,
                (_, _) => Next::Wrong("is more than one of what is allowed here, of which it must be one".into()),
            },
        }
    }

    fn condition(&mut self, operand: u32, frame: &mut Frame, brought: Option<bool>) -> Next {
        let state = &mut frame.state;
        if let (true, Some(valid)) = (state.begun, brought) {
            return if valid { Next::Passed } else { Next::Failed };
        }
        let Some(met) = brought else {
            let condition = self.schemas.listed(operand, 0).unwrap_or(0);
            return Next::Enter { schema: condition.saturating_sub(1), part: frame.part, quiet: true };
        };
        state.begun = true;
        match self.schemas.listed(operand, if met { 1 } else { 2 }) {
            Some(0) | None => Next::Passed,
            Some(schema) => Next::Enter { schema: schema - 1, part: frame.part, quiet: false },
        }
    }

    fn contains(&mut self, operand: u32, frame: &mut Frame, brought: Option<bool>) -> Result<Next, TooCostly> {
        let [_, schema, least, most, marks] = self.schemas.words().words(operand);
        if brought == Some(true) {
            frame.state.count += 1;
            if marks != 0 {
                let item = frame.state.part;
                self.mark(item);
            }
        }
        let count = frame.state.count;
        let enough = count > most || (most == u32::MAX && count >= least && !self.tracks);
        if !enough && let Some(part) = self.step(frame, Kind::List)? {
            return Ok(Next::Enter { schema, part, quiet: true });
        }
        Ok(if count < least {
            Next::Wrong(format!("needs {least} or more items of the kind asked for"))
        } else if count > most {
            Next::Wrong(format!("may have {most} items of the kind asked for, not more"))
        } else {
            Next::Passed
        })
    }

    /// The schema of the outermost resource at work that has this dynamic anchor (2020-12 §8.2.3.2).
    fn dynamic(&mut self, operand: u32, resource: u32) -> Result<u32, TooCostly> {
        let [_, schema, anchor] = self.schemas.words().words(operand);
        if anchor == 0 {
            return Ok(schema);
        }
        let [_, _, _, anchors] = self.schemas.words().words(0);
        for outer in 0..=self.frames.len() {
            let resource = self.frames.get(outer).map_or(resource, |frame| frame.resource);
            let mut entry = 0;
            while let Some(of) = self.schemas.listed(anchors, entry) {
                self.spend(1)?;
                let [name, found] = self.schemas.words().words(at(anchors, entry + 2));
                if of == resource && name == anchor {
                    return Ok(found);
                }
                entry += 3;
            }
        }
        Ok(schema)
    }

    fn mark(&mut self, part: u32) {
        if self.tracks {
            self.marks.push(part);
        }
    }

    /// Puts what has been seen in order, so that it is found quickly.
    fn begin_unevaluated(&mut self, frame: &mut Frame) -> Result<(), TooCostly> {
        if !frame.state.begun {
            self.spend(self.marks.len().saturating_sub(frame.marks) as u64)?;
            if let Some(own) = self.marks.get_mut(frame.marks..) {
                own.sort_unstable();
            }
            frame.state.count = u32::try_from(self.marks.len()).unwrap_or(u32::MAX);
        }
        Ok(())
    }

    /// Whether a part has been seen by another keyword. From now on it has been.
    fn is_marked(&mut self, frame: &Frame, part: u32) -> bool {
        let seen = self.marks.get(frame.marks..frame.state.count as usize).unwrap_or_default();
        let found = seen.binary_search(&part).is_ok();
        if !found {
            self.marks.push(part);
        }
        found
    }

    fn kind(&self, wanted: u32, part: u32) -> Next {
        let bit = match self.value.kind(part) {
            Kind::Null => kinds::NULL,
            Kind::Bool => kinds::BOOLEAN,
            Kind::Number => kinds::NUMBER,
            Kind::Text | Kind::Name => kinds::STRING,
            Kind::List => kinds::ARRAY,
            Kind::Object => kinds::OBJECT,
        };
        let integer = || {
            let raw = self.value.raw(part);
            wanted & kinds::INTEGER != 0
                && bit == kinds::NUMBER
                && (!raw.contains(['.', 'e', 'E']) || Decimal::read(raw).is_integer())
        };
        if wanted & bit != 0 || integer() {
            return Next::Passed;
        }
        let names = kinds::NAMES.iter().enumerate().filter(|(place, _)| wanted >> place & 1 == 1);
        let names: Vec<&str> = names.map(|(_, name)| *name).collect();
        Next::Wrong(format!("must be {}", names.join(" or ")))
    }

    fn constant(&mut self, keyword: Keyword, operand: u32, part: u32) -> Result<Next, TooCostly> {
        let constant = self.schemas.constant(operand);
        let constants = Json::new(&constant.text, &constant.parts);
        let same = match keyword {
            Keyword::Const => self.same(constants, 0, part)?,
            _ => {
                let mut same = false;
                for item in constants.items(0) {
                    if self.same(constants, item, part)? {
                        same = true;
                        break;
                    }
                }
                same
            }
        };
        Ok(match keyword {
            _ if same => Next::Passed,
            Keyword::Const => Next::Wrong("is not the value that is allowed here".into()),
            _ => Next::Wrong("is not one of the values that are allowed here".into()),
        })
    }

    fn text(&mut self, keyword: Keyword, operand: u32, part: u32) -> Result<Next, TooCostly> {
        let kind = self.value.kind(part);
        let text = match kind {
            Kind::Text | Kind::Name => self.value.text(part),
            // Some formats are about numbers.
            Kind::Number if keyword == Keyword::Format => self.value.raw(part).into(),
            Kind::Null | Kind::Bool | Kind::Number | Kind::List | Kind::Object => return Ok(Next::Passed),
        };
        self.spend(text.len() as u64 / 16)?;
        Ok(match keyword {
            Keyword::Pattern => {
                // Each character may cost as many steps as the expression has; how large that is, the operator has said.
                self.spend(text.len() as u64 / 8)?;
                match self.schemas.pattern(operand) {
                    Some(pattern) if pattern.is_match(&text) => Next::Passed,
                    Some(_) | None => Next::Wrong("does not match the pattern".into()),
                }
            }
            Keyword::Format => match format::FORMATS.get(operand as usize) {
                Some(format) if format.numeric == (kind == Kind::Number) && !(format.check)(&text) => {
                    Next::Wrong(format!("is not in the format `{}`", format.name))
                }
                Some(_) | None => Next::Passed,
            },
            _ => {
                let count = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
                bounds(count, operand, keyword == Keyword::MinLength, "characters")
            }
        })
    }

    fn count(&mut self, all: impl Iterator) -> Result<u32, TooCostly> {
        let count = u32::try_from(all.count()).unwrap_or(u32::MAX);
        self.spend(u64::from(count))?;
        Ok(count)
    }

    fn has(&mut self, object: u32, wanted: &str) -> Result<bool, TooCostly> {
        for (name, _) in self.value.members(object) {
            self.spend(1)?;
            if self.value.text(name) == wanted {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn required(&mut self, keyword: Keyword, operand: u32, object: u32) -> Result<Next, TooCostly> {
        let schemas = self.schemas;
        let mut missing: Vec<&str> = Vec::new();
        let mut index = 0;
        while let Some(name) = schemas.listed(operand, index) {
            self.spend(1)?;
            let wanted = match keyword {
                Keyword::Required => {
                    index += 1;
                    let wanted = schemas.text(name);
                    if !self.has(object, wanted)? {
                        missing.push(wanted);
                    }
                    continue;
                }
                _ => schemas.listed(operand, index + 1).unwrap_or(0),
            };
            index += 2;
            if !self.has(object, schemas.text(name))? {
                continue;
            }
            let mut inner = 0;
            while let Some(wanted) = schemas.listed(wanted, inner).map(|wanted| schemas.text(wanted)) {
                inner += 1;
                self.spend(1)?;
                if !self.has(object, wanted)? {
                    missing.push(wanted);
                }
            }
        }
        let names: Vec<String> = missing.iter().map(|name| format!("`{name}`")).collect();
        Ok(if names.is_empty() { Next::Passed } else { Next::Wrong(format!("lacks {}", names.join(", "))) })
    }

    /// Whether a part of the value is the same as a part of something else (2020-12 §4.2.2).
    fn same(&mut self, other: Json<'_>, of_other: u32, part: u32) -> Result<bool, TooCostly> {
        let value = self.value;
        let mut pairs = vec![(of_other, part)];
        while let Some((one, two)) = pairs.pop() {
            self.spend(1)?;
            let (kind, of_value) = (other.kind(one), value.kind(two));
            let text = |kind| matches!(kind, Kind::Text | Kind::Name);
            if kind != of_value && !(text(kind) && text(of_value)) {
                return Ok(false);
            }
            match kind {
                Kind::Null => {}
                Kind::Bool if other.raw(one) == value.raw(two) => {}
                Kind::Number => {
                    self.spend(value.raw(two).len() as u64 / 16)?;
                    if compare(other.raw(one), value.raw(two)) != Ordering::Equal {
                        return Ok(false);
                    }
                }
                Kind::Text | Kind::Name => {
                    self.spend(value.raw(two).len() as u64 / 16)?;
                    if other.text(one) != value.text(two) {
                        return Ok(false);
                    }
                }
                Kind::Bool => return Ok(false),
                Kind::List => {
                    let (mut ones, mut twos) = (other.items(one), value.items(two));
                    loop {
                        self.spend(1)?;
                        match (ones.next(), twos.next()) {
                            (Some(one), Some(two)) => pairs.push((one, two)),
                            (None, None) => break,
                            (Some(_), None) | (None, Some(_)) => return Ok(false),
                        }
                    }
                }
                Kind::Object => {
                    if self.count(other.members(one))? != self.count(value.members(two))? {
                        return Ok(false);
                    }
                    for (name, member) in other.members(one) {
                        let mut found = None;
                        for (candidate, member) in value.members(two) {
                            self.spend(1)?;
                            if value.text(candidate) == other.text(name) {
                                found = Some(member);
                                break;
                            }
                        }
                        let Some(found) = found else { return Ok(false) };
                        pairs.push((member, found));
                    }
                }
            }
        }
        Ok(true)
    }

    /// Only items with the same hash are compared. Somebody may make many of those, and pays for it with the steps.
    fn unique(&mut self, list: u32) -> Result<Next, TooCostly> {
        let value = self.value;
        let (first, end) = (list + 1, value.next(list));
        self.spend(u64::from(end.saturating_sub(first)) * 2)?;
        let mut hashes = vec![0u64; end.saturating_sub(first) as usize];
        let hash = |hashes: &[u64], part: u32| hashes.get((part - first) as usize).copied().unwrap_or(0);
        for part in (first..end).rev() {
            let kind = value.kind(part);
            let seed = match kind {
                Kind::Name => Kind::Text as u64,
                kind => kind as u64,
            };
            if !matches!(kind, Kind::List | Kind::Object) {
                self.spend(value.raw(part).len() as u64 / 16)?;
            }
            let own = match kind {
                Kind::Null => seed,
                Kind::Bool => mix(seed, value.raw(part).as_bytes()),
                Kind::Number => {
                    use std::hash::{Hash, Hasher};
                    let mut hasher = Fnv(seed);
                    Decimal::read(value.raw(part)).hash(&mut hasher);
                    hasher.finish()
                }
                Kind::Text | Kind::Name => mix(seed, value.text(part).as_bytes()),
                Kind::List => value.items(part).fold(seed, |sum, item| mix(sum, &hash(&hashes, item).to_le_bytes())),
                // Members have no order.
                Kind::Object => value.members(part).fold(seed, |sum, (name, member)| {
                    sum.wrapping_add(mix(hash(&hashes, name), &hash(&hashes, member).to_le_bytes()))
                }),
            };
            if let Some(place) = hashes.get_mut((part - first) as usize) {
                *place = own;
            }
        }
        let mut items: Vec<(u64, u32)> = value.items(list).map(|item| (hash(&hashes, item), item)).collect();
        items.sort_unstable();
        for group in items.chunk_by(|one, other| one.0 == other.0) {
            for (index, (_, one)) in group.iter().enumerate() {
                for (_, other) in &group[index + 1..] {
                    if self.same(value, *one, *other)? {
                        return Ok(Next::Wrong("has an item twice".into()));
                    }
                }
            }
        }
        Ok(Next::Passed)
    }
}

fn number(keyword: Keyword, value: &str, bound: &str) -> Next {
    let order = || compare(value, bound);
    let (met, what) = match keyword {
        Keyword::Minimum => (order() != Ordering::Less, "must be at least"),
        Keyword::ExclusiveMinimum => (order() == Ordering::Greater, "must be more than"),
        Keyword::Maximum => (order() != Ordering::Greater, "must be at most"),
        Keyword::ExclusiveMaximum => (order() == Ordering::Less, "must be less than"),
        _ => (Decimal::read(value).is_multiple_of(&Decimal::read(bound)), "must be a multiple of"),
    };
    if met { Next::Passed } else { Next::Wrong(format!("{what} {bound}")) }
}

fn bounds(count: u32, bound: u32, least: bool, of: &str) -> Next {
    match least {
        true if count < bound => Next::Wrong(format!("must have at least {bound} {of}")),
        false if count > bound => Next::Wrong(format!("must have at most {bound} {of}")),
        _ => Next::Passed,
    }
}

/// FNV-1a.
fn mix(seed: u64, bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(seed ^ 0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3))
}

struct Fnv(u64);

impl std::hash::Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = mix(self.0, bytes);
    }
}
