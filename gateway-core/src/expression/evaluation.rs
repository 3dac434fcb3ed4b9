//! Evaluates an expression. `&&`, `||`, `all` and `exists` are sure of their result as soon as one side decides it, even
//! where the other is a fault (CEL specification, “Logical Operators”); everything else hands a fault on.

use super::time::{Duration, Instant, offset};
use super::value::{List, Map, Text, Value};
use super::{Each, Facts, Fault, Function, Node, Place, Why};
use std::cmp::Ordering;
use std::net::IpAddr;
use std::rc::Rc;

pub(super) struct Evaluation<'a> {
    nodes: &'a [(u32, Node)],
    facts: &'a Facts<'a>,
    /// What the macros that are running look at, the outermost first.
    items: Vec<Value<'a>>,
    budget: u32,
}

impl<'a> Evaluation<'a> {
    pub fn new(nodes: &'a [(u32, Node)], facts: &'a Facts<'a>, budget: u32) -> Self {
        Self { nodes, facts, items: Vec::new(), budget }
    }

    /// The value of the whole.
    pub fn run(mut self) -> Result<Value<'a>, Fault> {
        let last = Place::try_from(self.nodes.len().saturating_sub(1)).unwrap_or_default();
        self.value(last)
    }

    fn value(&mut self, place: Place) -> Result<Value<'a>, Fault> {
        let nodes = self.nodes;
        let Some((at, node)) = nodes.get(usize::from(place)) else { return Err(Fault { at: 0, why: Why::Type }) };
        let fault = |why| Fault { at: *at, why };
        self.spend(1).map_err(fault)?;
        match node {
            Node::Literal(literal) => Ok(literal.into()),
            Node::Variable(variable) => self.facts.get(*variable).ok_or(fault(Why::Absent)),
            Node::IsKnown(variable) => Ok(Value::Bool(self.facts.get(*variable).is_some())),
            Node::Item(number) => self.items.get(usize::from(*number)).cloned().ok_or(fault(Why::Type)),
            Node::Member(of, name) => match self.value(*of)? {
                Value::Map(map) => self.member(&map, name).and_then(|found| found.ok_or(Why::Absent)).map_err(fault),
                _ => Err(fault(Why::Type)),
            },
            Node::HasMember(of, name) => match self.value(*of)? {
                Value::Map(map) => match self.member(&map, name) {
                    // Several are there all the same.
                    Ok(None) => Ok(Value::Bool(false)),
                    Ok(Some(_)) | Err(Why::Repeated | Why::NotText) => Ok(Value::Bool(true)),
                    Err(why) => Err(fault(why)),
                },
                _ => Err(fault(Why::Type)),
            },
            Node::Matches(of, regex) => match self.value(*of)? {
                Value::Text(text) => {
                    self.spend(text.len()).map_err(fault)?;
                    Ok(Value::Bool(regex.is_match(&text)))
                }
                _ => Err(fault(Why::Type)),
            },
            Node::List(parts) => parts.iter().map(|part| self.value(*part)).collect::<Result<_, _>>().map(Value::list),
            Node::Map(entries) => {
                let mut made: Vec<(Value<'a>, Value<'a>)> = Vec::with_capacity(entries.len());
                for (key, value) in entries {
                    let (key, value) = (self.value(*key)?, self.value(*value)?);
                    if !matches!(key, Value::Text(_) | Value::Int(_) | Value::Bool(_)) {
                        return Err(fault(Why::Type));
                    }
                    for (known, _) in &made {
                        // A map with a key twice is none.
                        if self.equal(known, &key).map_err(fault)? {
                            return Err(fault(Why::Repeated));
                        }
                    }
                    made.push((key, value));
                }
                Ok(Value::Map(Map::Made(Rc::new(made))))
            }
            Node::Each(range, each) => {
                let items = match self.value(*range)? {
                    Value::List(list) => list,
                    Value::Map(map) => {
                        let keys = self.keys(&map).map_err(fault)?;
                        self.spend(keys.len()).map_err(fault)?;
                        List::Made(Rc::new(keys))
                    }
                    _ => return Err(fault(Why::Type)),
                };
                self.each(&items, *each, *at)
            }
            Node::Call(function, parts) => self.call(*function, parts, *at),
        }
    }

    /// A macro. The item is visible only while it runs.
    fn each(&mut self, items: &List<'a>, each: Each, at: u32) -> Result<Value<'a>, Fault> {
        let mut fault = None;
        let mut count = 0;
        let mut gathered = Vec::new();
        for place in 0..items.len() {
            let Some(item) = items.get(place) else { break };
            self.items.push(item);
            let step = match each {
                Each::All(part) | Each::Exists(part) | Each::ExistsOne(part) | Each::Gather(_, Some(part)) => {
                    self.bool(part, at)
                }
                Each::Gather(_, None) => Ok(true),
            };
            let step = match (each, step) {
                (Each::Gather(part, _), Ok(true)) => self.value(part).map(|value| {
                    gathered.push(value);
                    None
                }),
                (Each::All(_), Ok(false)) | (Each::Exists(_), Ok(true)) => Ok(Some(matches!(each, Each::Exists(_)))),
                (Each::ExistsOne(_), Ok(true)) => {
                    count += 1;
                    Ok(None)
                }
                (_, step) => step.map(|_| None),
            };
            self.items.pop();
            match step {
                Ok(Some(decided)) => return Ok(Value::Bool(decided)),
                Ok(None) => {}
                // A later item may decide.
                Err(why) if matches!(each, Each::All(_) | Each::Exists(_)) && self.budget > 0 => {
                    fault = fault.or(Some(why));
                }
                Err(why) => return Err(why),
            }
        }
        match (fault, each) {
            (Some(fault), _) => Err(fault),
            (None, Each::All(_)) => Ok(Value::Bool(true)),
            (None, Each::Exists(_)) => Ok(Value::Bool(false)),
            (None, Each::ExistsOne(_)) => Ok(Value::Bool(count == 1)),
            (None, Each::Gather(..)) => Ok(Value::list(gathered)),
        }
    }

    fn call(&mut self, function: Function, parts: &[Place], at: u32) -> Result<Value<'a>, Fault> {
        let fault = |why| Fault { at, why };
        match (function, parts) {
            (Function::And, [one, other]) => self.either(*one, *other, at, false),
            (Function::Or, [one, other]) => self.either(*one, *other, at, true),
            (Function::Conditional, [condition, yes, no]) => {
                let place = if self.bool(*condition, at)? { *yes } else { *no };
                self.value(place)
            }
            (_, [one]) => {
                let one = self.value(*one)?;
                self.unary(function, one).map_err(fault)
            }
            (_, [one, other]) => {
                let (one, other) = (self.value(*one)?, self.value(*other)?);
                self.binary(function, one, other).map_err(fault)
            }
            _ => Err(fault(Why::Type)),
        }
    }

    /// `&&` is decided by `false`, `||` by `true`, on either side.
    fn either(&mut self, one: Place, other: Place, at: u32, decides: bool) -> Result<Value<'a>, Fault> {
        let first = self.bool(one, at);
        if first == Ok(decides) {
            return Ok(Value::Bool(decides));
        }
        match (first, self.bool(other, at)) {
            (_, Ok(second)) if second == decides => Ok(Value::Bool(decides)),
            (Err(fault), _) | (Ok(_), Err(fault)) => Err(fault),
            (Ok(_), Ok(_)) => Ok(Value::Bool(!decides)),
        }
    }

    fn bool(&mut self, place: Place, at: u32) -> Result<bool, Fault> {
        match self.value(place)? {
            Value::Bool(value) => Ok(value),
            _ => Err(Fault { at, why: Why::Type }),
        }
    }

    fn unary(&mut self, function: Function, value: Value<'a>) -> Result<Value<'a>, Why> {
        Ok(match (function, value) {
            (Function::Not, Value::Bool(value)) => Value::Bool(!value),
            (Function::Negate, Value::Int(number)) => Value::Int(number.checked_neg().ok_or(Why::Overflow)?),
            (Function::Negate, Value::Double(number)) => Value::Double(-number),
            (Function::Size, Value::Text(text)) => {
                self.look_through(&text)?;
                length(text.chars().count())?
            }
            (Function::Size, Value::List(list)) => length(list.len())?,
            (Function::Size, Value::Map(map)) => length(self.keys(&map)?.len())?,
            (Function::LowerAscii, Value::Text(text)) => self.made(text.to_ascii_lowercase())?,
            (Function::UpperAscii, Value::Text(text)) => self.made(text.to_ascii_uppercase())?,
            (Function::Trim, Value::Text(text)) => self.made(text.trim().to_owned())?,
            (Function::Join, Value::List(list)) => self.join(&list, "")?,
            (Function::Bool, Value::Bool(value)) => Value::Bool(value),
            (Function::Bool, Value::Text(text)) => match &*text {
                "1" | "t" | "T" | "true" | "TRUE" | "True" => Value::Bool(true),
                "0" | "f" | "F" | "false" | "FALSE" | "False" => Value::Bool(false),
                _ => return Err(Why::Conversion),
            },
            (Function::Int, Value::Int(number)) => Value::Int(number),
            (Function::Int, Value::Double(number)) => Value::Int(whole(number)?),
            (Function::Int, Value::Text(text)) => Value::Int(text.parse().map_err(|_| Why::Conversion)?),
            (Function::Int, Value::Instant(instant)) => Value::Int(instant.seconds()),
            (Function::Double, Value::Int(number)) => Value::Double(number as f64),
            (Function::Double, Value::Double(number)) => Value::Double(number),
            (Function::Double, Value::Text(text)) => {
                Value::Double(serde_json::from_str(&text).map_err(|_| Why::Conversion)?)
            }
            (Function::String, Value::Text(text)) => Value::Text(text),
            (Function::String, Value::Bool(value)) => Value::text(if value { "true" } else { "false" }),
            (Function::String, Value::Int(number)) => Value::made(number.to_string()),
            (Function::String, Value::Double(number)) => Value::made(written(number)),
            (Function::String, Value::Instant(instant)) => Value::made(instant.to_string()),
            (Function::String, Value::Duration(duration)) => Value::made(duration.to_string()),
            (Function::Timestamp, Value::Instant(instant)) => Value::Instant(instant),
            (Function::Timestamp, Value::Int(seconds)) => Value::Instant(Instant::from_seconds(seconds)?),
            (Function::Timestamp, Value::Text(text)) => Value::Instant(text.parse()?),
            (Function::Duration, Value::Duration(duration)) => Value::Duration(duration),
            (Function::Duration, Value::Text(text)) => {
                self.look_through(&text)?;
                Value::Duration(text.parse()?)
            }
            (Function::Cidr, Value::Text(text)) => Value::Range(text.parse().map_err(|_| Why::Conversion)?),
            (Function::IsIp, Value::Text(text)) => Value::Bool(text.parse::<IpAddr>().is_ok()),
            (function, Value::Instant(instant)) => shown(function, instant, 0)?,
            (function, Value::Duration(duration)) => spanned(function, duration)?,
            _ => return Err(Why::Type),
        })
    }

    fn binary(&mut self, function: Function, one: Value<'a>, other: Value<'a>) -> Result<Value<'a>, Why> {
        Ok(match (function, one, other) {
            (Function::Equal, one, other) => Value::Bool(self.equal(&one, &other)?),
            (Function::NotEqual, one, other) => Value::Bool(!self.equal(&one, &other)?),
            (Function::Less, one, other) => Value::Bool(self.order(&one, &other)? == Some(Ordering::Less)),
            (Function::LessEqual, one, other) => {
                Value::Bool(self.order(&one, &other)?.is_some_and(|order| order != Ordering::Greater))
            }
            (Function::Greater, one, other) => Value::Bool(self.order(&one, &other)? == Some(Ordering::Greater)),
            (Function::GreaterEqual, one, other) => {
                Value::Bool(self.order(&one, &other)?.is_some_and(|order| order != Ordering::Less))
            }
            (Function::In, item, Value::List(list)) => {
                for place in 0..list.len() {
                    if let Some(known) = list.get(place)
                        && self.equal(&known, &item)?
                    {
                        return Ok(Value::Bool(true));
                    }
                }
                Value::Bool(false)
            }
            (Function::In, key, Value::Map(map)) => match self.entry(&map, &key) {
                Ok(found) => Value::Bool(found.is_some()),
                Err(Why::Repeated | Why::NotText) => Value::Bool(true),
                Err(why) => return Err(why),
            },
            (Function::Index, Value::List(list), place) => {
                let place = match place {
                    Value::Int(place) => place,
                    Value::Double(place) if place.fract() == 0.0 => whole(place)?,
                    _ => return Err(Why::Type),
                };
                usize::try_from(place).ok().and_then(|place| list.get(place)).ok_or(Why::Index)?
            }
            (Function::Index, Value::Map(map), key) => self.entry(&map, &key)?.ok_or(Why::Absent)?,
            (Function::Contains, Value::Text(text), Value::Text(part)) => {
                self.look_through(&text)?;
                Value::Bool(text.contains(&*part))
            }
            (Function::StartsWith, Value::Text(text), Value::Text(part)) => Value::Bool(text.starts_with(&*part)),
            (Function::EndsWith, Value::Text(text), Value::Text(part)) => Value::Bool(text.ends_with(&*part)),
            (Function::Split, Value::Text(text), Value::Text(separator)) => self.split(&text, &separator)?,
            (Function::Join, Value::List(list), Value::Text(separator)) => self.join(&list, &separator)?,
            (Function::ContainsIp, Value::Range(range), Value::Text(address)) => {
                Value::Bool(range.contains(address.parse().map_err(|_| Why::Conversion)?))
            }
            (Function::Add, Value::Text(one), Value::Text(other)) => {
                self.look_through(&one)?;
                self.made(format!("{}{}", &*one, &*other))?
            }
            (Function::Add, Value::List(one), Value::List(other)) => {
                let both = one.len() + other.len();
                self.spend(both)?;
                let items = (0..one.len()).filter_map(|at| one.get(at));
                Value::list(items.chain((0..other.len()).filter_map(|at| other.get(at))).collect())
            }
            (function, Value::Int(one), Value::Int(other)) => Value::Int(whole_numbers(function, one, other)?),
            (function, Value::Double(one), Value::Double(other)) => Value::Double(numbers(function, one, other)?),
            (Function::Add, Value::Instant(instant), Value::Duration(duration))
            | (Function::Add, Value::Duration(duration), Value::Instant(instant)) => {
                Value::Instant(instant.plus(duration)?)
            }
            (Function::Add, Value::Duration(one), Value::Duration(other)) => Value::Duration(one.plus(other)?),
            (Function::Subtract, Value::Instant(one), Value::Instant(other)) => Value::Duration(one.since(other)?),
            (Function::Subtract, Value::Instant(instant), Value::Duration(duration)) => {
                Value::Instant(instant.minus(duration)?)
            }
            (Function::Subtract, Value::Duration(one), Value::Duration(other)) => Value::Duration(one.minus(other)?),
            (function, Value::Instant(instant), Value::Text(zone)) => {
                let offset = if &*zone == "UTC" { Some(0) } else { offset(&zone) };
                shown(function, instant, offset.ok_or(Why::Conversion)?)?
            }
            _ => return Err(Why::Type),
        })
    }

    /// Values of different types differ; numbers are compared as numbers.
    fn equal(&mut self, one: &Value<'a>, other: &Value<'a>) -> Result<bool, Why> {
        self.spend(1)?;
        Ok(match (one, other) {
            (Value::Text(one), Value::Text(other)) => {
                self.look_through(one)?;
                **one == **other
            }
            (Value::List(one), Value::List(other)) => {
                if one.len() != other.len() {
                    return Ok(false);
                }
                for at in 0..one.len() {
                    if let (Some(one), Some(other)) = (one.get(at), other.get(at))
                        && !self.equal(&one, &other)?
                    {
                        return Ok(false);
                    }
                }
                true
            }
            (Value::Map(one), Value::Map(other)) => {
                let keys = self.keys(one)?;
                if keys.len() != self.keys(other)?.len() {
                    return Ok(false);
                }
                for key in keys {
                    let (Some(value), Some(same)) = (self.entry(one, &key)?, self.entry(other, &key)?) else {
                        return Ok(false);
                    };
                    if !self.equal(&value, &same)? {
                        return Ok(false);
                    }
                }
                true
            }
            (Value::Null, Value::Null) => true,
            (Value::Range(one), Value::Range(other)) => one == other,
            (one, other) => ordered(one, other) == Ok(Some(Ordering::Equal)),
        })
    }

    fn order(&mut self, one: &Value<'a>, other: &Value<'a>) -> Result<Option<Ordering>, Why> {
        match (one, other) {
            (Value::Text(one), Value::Text(other)) => {
                self.look_through(one)?;
                Ok(Some((**one).cmp(&**other)))
            }
            (one, other) => ordered(one, other),
        }
    }

    fn entry(&mut self, map: &Map<'a>, key: &Value<'a>) -> Result<Option<Value<'a>>, Why> {
        match (map, key) {
            (_, Value::Text(key)) => self.member(map, key),
            (Map::Made(entries), Value::Int(_) | Value::Double(_) | Value::Bool(_)) => {
                self.spend(entries.len())?;
                let same = |known: &Value<'a>| ordered(known, key) == Ok(Some(Ordering::Equal));
                Ok(entries.iter().find(|(known, _)| same(known)).map(|(_, value)| value.clone()))
            }
            // Of other keys, maps of texts have none.
            (_, Value::Int(_) | Value::Double(_) | Value::Bool(_)) => Ok(None),
            _ => Err(Why::Type),
        }
    }

    /// What a map has under a text. Some maps are looked through for that.
    fn member(&mut self, map: &Map<'a>, key: &str) -> Result<Option<Value<'a>>, Why> {
        self.spend(weight(map))?;
        map.get(key)
    }

    /// All keys of a map. Each is written down, which takes longer than to look at it.
    fn keys(&mut self, map: &Map<'a>) -> Result<Vec<Value<'a>>, Why> {
        self.spend(weight(map).saturating_mul(4))?;
        Ok(map.keys())
    }

    fn split(&mut self, text: &Text<'a>, separator: &str) -> Result<Value<'a>, Why> {
        self.spend(text.len())?;
        if separator.is_empty() {
            return Ok(Value::list(text.chars().map(|c| Value::made(c.to_string())).collect()));
        }
        Ok(Value::list(match text {
            Text::Borrowed(text) => text.split(separator).map(Value::text).collect(),
            Text::Made(text) => text.split(separator).map(Value::made).collect(),
        }))
    }

    fn join(&mut self, list: &List<'a>, separator: &str) -> Result<Value<'a>, Why> {
        let mut out = String::new();
        for at in 0..list.len() {
            let Some(Value::Text(item)) = list.get(at) else { return Err(Why::Type) };
            self.spend(1 + (item.len() + separator.len()) / LOOK)?;
            if at > 0 {
                out.push_str(separator);
            }
            out.push_str(&item);
        }
        self.made(out)
    }

    fn made(&mut self, text: String) -> Result<Value<'a>, Why> {
        self.look_through(&text)?;
        Ok(Value::made(text))
    }

    fn look_through(&mut self, text: &str) -> Result<(), Why> {
        self.spend(text.len() / LOOK)
    }

    fn spend(&mut self, steps: usize) -> Result<(), Why> {
        let left = u32::try_from(steps).ok().and_then(|steps| self.budget.checked_sub(steps)).filter(|left| *left > 0);
        self.budget = left.unwrap_or(0);
        left.map(drop).ok_or(Why::Exhausted)
    }
}

/// How many bytes of a text a step looks through.
const LOOK: usize = 32;

/// The steps that a look into a map takes.
fn weight(map: &Map<'_>) -> usize {
    match map {
        Map::Headers(headers) => headers.size().0 / 4,
        Map::Query(query) => query.len() / LOOK,
        Map::Cookies(headers) => headers.all("cookie").map(<[u8]>::len).sum::<usize>() / LOOK,
        Map::Parameters(_) => 1,
        Map::Json(members) => members.len() / LOOK,
        Map::Part(document, part) => document.members(*part).count() / LOOK,
        Map::Made(entries) => entries.len(),
    }
}

fn length<'a>(length: usize) -> Result<Value<'a>, Why> {
    i64::try_from(length).map(Value::Int).map_err(|_| Why::Overflow)
}

/// How two values of comparable types are ordered; `None`: not at all, as with NaN.
fn ordered(one: &Value<'_>, other: &Value<'_>) -> Result<Option<Ordering>, Why> {
    match (one, other) {
        (Value::Bool(one), Value::Bool(other)) => Ok(Some(one.cmp(other))),
        (Value::Int(one), Value::Int(other)) => Ok(Some(one.cmp(other))),
        (Value::Double(one), Value::Double(other)) => Ok(one.partial_cmp(other)),
        (Value::Int(one), Value::Double(other)) => Ok(mixed(*one, *other)),
        (Value::Double(one), Value::Int(other)) => Ok(mixed(*other, *one).map(Ordering::reverse)),
        (Value::Instant(one), Value::Instant(other)) => Ok(Some(one.cmp(other))),
        (Value::Duration(one), Value::Duration(other)) => Ok(Some(one.cmp(other))),
        _ => Err(Why::Type),
    }
}

/// A whole number and any other, exactly: not every whole number is a double.
fn mixed(one: i64, other: f64) -> Option<Ordering> {
    match whole(other.trunc()) {
        Ok(whole) => Some(one.cmp(&whole).then_with(|| 0.0_f64.partial_cmp(&other.fract()).unwrap_or(Ordering::Equal))),
        Err(_) if other.is_nan() => None,
        Err(_) => Some(if other > 0.0 { Ordering::Less } else { Ordering::Greater }),
    }
}

fn whole(number: f64) -> Result<i64, Why> {
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    let number = number.trunc();
    if (-BEYOND..BEYOND).contains(&number) { Ok(number as i64) } else { Err(Why::Overflow) }
}

fn whole_numbers(function: Function, one: i64, other: i64) -> Result<i64, Why> {
    let result = match function {
        Function::Add => one.checked_add(other),
        Function::Subtract => one.checked_sub(other),
        Function::Multiply => one.checked_mul(other),
        Function::Divide | Function::Remainder if other == 0 => return Err(Why::Zero),
        Function::Divide => one.checked_div(other),
        Function::Remainder => one.checked_rem(other),
        _ => return Err(Why::Type),
    };
    result.ok_or(Why::Overflow)
}

fn numbers(function: Function, one: f64, other: f64) -> Result<f64, Why> {
    match function {
        Function::Add => Ok(one + other),
        Function::Subtract => Ok(one - other),
        Function::Multiply => Ok(one * other),
        Function::Divide => Ok(one / other),
        _ => Err(Why::Type),
    }
}

/// A number as JSON writes it, whole ones without a fraction: what reads and writes JSON is there anyway, and the standard
/// library's own ways are ten kilobytes each.
fn written(number: f64) -> String {
    match serde_json::to_string(&number) {
        Ok(text) if number.is_finite() => text.strip_suffix(".0").map_or(text.clone(), str::to_owned),
        _ if number.is_nan() => "NaN".to_owned(),
        _ => if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned(),
    }
}

/// A part of a moment.
fn shown<'a>(function: Function, instant: Instant, offset: i64) -> Result<Value<'a>, Why> {
    let shown = instant.shown(offset);
    Ok(Value::Int(match function {
        Function::FullYear => shown.year,
        Function::Month => shown.month - 1,
        Function::Date => shown.day,
        Function::DayOfMonth => shown.day - 1,
        Function::DayOfWeek => shown.weekday,
        Function::DayOfYear => shown.day_of_year,
        Function::Hours => shown.hour,
        Function::Minutes => shown.minute,
        Function::Seconds => shown.second,
        Function::Milliseconds => shown.nanosecond / 1_000_000,
        _ => return Err(Why::Type),
    }))
}

/// A span in a unit, towards zero. As the specification has it, only milliseconds are what is left over a second.
fn spanned<'a>(function: Function, duration: Duration) -> Result<Value<'a>, Why> {
    let milliseconds = duration.milliseconds();
    Ok(Value::Int(match function {
        Function::Hours => milliseconds / 3_600_000,
        Function::Minutes => milliseconds / 60_000,
        Function::Seconds => milliseconds / 1000,
        Function::Milliseconds => milliseconds % 1000,
        _ => return Err(Why::Type),
    }))
}
