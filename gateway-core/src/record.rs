//! Reads the records of the compiled configuration, and what gateways write down for each other: JSON whose members are
//! looked for, one after the other, as their type declares them.
//!
//! `serde_json` asks for each name that it meets which member it is, and the code for that is most of what reading takes in
//! a Wasm module: docs/decisions/0053-members-in-order.md. A member that its type does not declare is passed over: it
//! belongs to an ability that this gateway was built without, or to a later version.

use crate::json;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error, Expected, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, VariantAccess, Visitor,
};
use serde::{Serialize, forward_to_deserialize_any};
use std::borrow::Cow;
use std::fmt;

/// Reads what was written of the same type, so that its members stand in the order in which it declares them.
///
/// # Errors
/// Where they do not, and where it is not what is written of such a value.
pub fn read<T: DeserializeOwned>(record: &[u8]) -> Result<T, Damaged> {
    read_in(Order::Declared, record)
}

/// Reads JSON that people have written: strictly, its members in any order, each once.
///
/// # Errors
/// Where it is not JSON, or not of this type.
pub fn read_in_any_order<T: DeserializeOwned>(text: &[u8]) -> Result<T, Damaged> {
    read_in(Order::Any, text)
}

fn read_in<T: DeserializeOwned>(order: Order, text: &[u8]) -> Result<T, Damaged> {
    let text = str::from_utf8(text).map_err(|_| Damaged::NOT_JSON)?;
    let mut reader = Reader { text, at: 0, order, depth: DEEPEST, member: "", is_name: false };
    let value = T::deserialize(&mut reader).map_err(|damaged| damaged.at(&reader))?;
    if reader.peek().is_some() {
        return Err(Damaged::NOT_JSON.at(&reader));
    }
    match order {
        Order::Declared => Ok(value),
        // What was passed over may be anything.
        Order::Any => reader.check().map_err(|damaged| damaged.at(&reader)).map(|()| value),
    }
}

/// Writes one record, for [`read`].
///
/// # Errors
/// Where JSON has no form for it.
pub fn write<T: Serialize + DeserializeOwned + PartialEq>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    let record = serde_json::to_vec(value)?;
    debug_assert!(read::<T>(&record).as_ref() == Ok(value), "read otherwise: {}", String::from_utf8_lossy(&record));
    Ok(record)
}

/// Why a text cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damaged(Cow<'static, str>);

impl Damaged {
    const NOT_JSON: Self = Self::because("it is not JSON");
    const TOO_DEEP: Self = Self::because("it is too deep");
    const OTHER_TYPE: Self = Self::because("a value is of another type");
    const MISSING: Self = Self::because("it is missing");
    const OUT_OF_ORDER: Self = Self::because("an object has a member twice, or not in its place");
    const UNKNOWN: Self = Self::because("there is no such variant");

    const fn because(why: &'static str) -> Self {
        Self(Cow::Borrowed(why))
    }

    /// With the place: the byte, or the member that was read last.
    #[cold]
    fn at(self, reader: &Reader<'_>) -> Self {
        if self == Self::NOT_JSON {
            Self(Cow::Owned(format!("{self} from byte {} on", reader.at)))
        } else if reader.member.is_empty() {
            self
        } else {
            Self(Cow::Owned(format!("`{}`: {self}", reader.member)))
        }
    }
}

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Damaged {}

/// What serde would say at length, with the names of each type, takes more room than it tells anybody.
impl Error for Damaged {
    fn custom<T: fmt::Display>(why: T) -> Self {
        Self(Cow::Owned(why.to_string()))
    }

    fn invalid_type(_: Unexpected<'_>, _: &dyn Expected) -> Self {
        Self::OTHER_TYPE
    }

    fn invalid_value(_: Unexpected<'_>, _: &dyn Expected) -> Self {
        Self::OTHER_TYPE
    }

    fn invalid_length(_: usize, _: &dyn Expected) -> Self {
        Self::MISSING
    }

    fn unknown_variant(_: &str, _: &'static [&'static str]) -> Self {
        Self::UNKNOWN
    }

    fn missing_field(_: &'static str) -> Self {
        Self::MISSING
    }
}

/// As deep as `serde_json` reads as well.
const DEEPEST: u8 = 128;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Declared,
    Any,
}

struct Reader<'de> {
    text: &'de str,
    at: usize,
    order: Order,
    /// How much deeper it may go.
    depth: u8,
    /// The member that is being read.
    member: &'static str,
    /// Whether that has no name of its own, and what is read is one.
    is_name: bool,
}

// None of these depends on a type, and none shall be there once for each.
impl<'de> Reader<'de> {
    /// Whether the whole text is JSON in which no object has two members of one name.
    fn check(&mut self) -> Result<(), Damaged> {
        json::read(self.text, &json::Limits::USUAL).map(drop).map_err(|refused| match refused {
            json::Refused::Syntax(at) => {
                self.at = at;
                Damaged::NOT_JSON
            }
            json::Refused::Duplicate => Damaged::OUT_OF_ORDER,
            json::Refused::Depth
            | json::Refused::Members
            | json::Refused::Items
            | json::Refused::Text
            | json::Refused::Name => Damaged::TOO_DEEP,
        })
    }

    /// The next character that is no white space.
    #[inline(never)]
    fn peek(&mut self) -> Option<u8> {
        loop {
            let next = self.text.as_bytes().get(self.at).copied();
            if !matches!(next, Some(b' ' | b'\t' | b'\n' | b'\r')) {
                return next;
            }
            self.at += 1;
        }
    }

    /// Goes past a character where it comes next.
    #[inline(never)]
    fn take(&mut self, character: u8) -> bool {
        let found = self.peek() == Some(character);
        self.at += usize::from(found);
        found
    }

    #[inline(never)]
    fn expect(&mut self, character: u8) -> Result<(), Damaged> {
        if self.take(character) { Ok(()) } else { Err(Damaged::NOT_JSON) }
    }

    #[inline(never)]
    fn take_word(&mut self, word: &str) -> bool {
        self.peek();
        let found = self.text.as_bytes()[self.at..].starts_with(word.as_bytes());
        if found {
            self.at += word.len();
        }
        found
    }

    /// Goes into a list or an object.
    #[inline(never)]
    fn open(&mut self, bracket: u8) -> Result<(), Damaged> {
        self.depth = self.depth.checked_sub(1).ok_or(Damaged::TOO_DEEP)?;
        if self.take(bracket) { Ok(()) } else { Err(Damaged::OTHER_TYPE) }
    }

    #[inline(never)]
    fn close(&mut self, bracket: u8) -> Result<(), Damaged> {
        self.depth += 1;
        self.expect(bracket)
    }

    /// Whether another item or member stands here. The comma before it is gone then.
    #[inline(never)]
    fn goes_on(&mut self, end: u8) -> bool {
        self.take(b',');
        self.peek() != Some(end)
    }

    /// Goes to the value of the member of this place among `names`, if the object that began at `start` has it.
    #[inline(never)]
    fn reach(&mut self, start: usize, names: &'static [&'static str], place: usize) -> Result<bool, Damaged> {
        self.member = names[place];
        if self.order == Order::Any {
            self.at = start;
        }
        while self.goes_on(b'}') {
            let here = self.at;
            let found = self.string()?;
            self.expect(b':')?;
            if found == self.member {
                return Ok(true);
            }
            if self.order == Order::Declared
                && let Some(other) = names.iter().position(|name| *name == found)
            {
                self.at = here;
                return if other > place { Ok(false) } else { Err(Damaged::OUT_OF_ORDER) };
            }
            self.skip()?;
        }
        Ok(false)
    }

    /// Goes to the end of the object that began at `start`, of whose members with these names none may be left.
    #[inline(never)]
    fn leave(&mut self, start: usize, names: &[&str]) -> Result<(), Damaged> {
        if self.order == Order::Any {
            self.at = start;
        }
        while self.goes_on(b'}') {
            let name = self.string()?;
            if self.order == Order::Declared && names.contains(&&*name) {
                return Err(Damaged::OUT_OF_ORDER);
            }
            self.expect(b':')?;
            self.skip()?;
        }
        self.close(b'}')
    }

    #[inline(never)]
    fn string(&mut self) -> Result<Cow<'de, str>, Damaged> {
        if !self.take(b'"') {
            return Err(Damaged::OTHER_TYPE);
        }
        let start = self.at;
        self.pass_string()?;
        let raw = &self.text[start..self.at - 1];
        if raw.contains('\\') { json::unescaped(raw).map(Cow::Owned).ok_or(Damaged::NOT_JSON) } else { Ok(raw.into()) }
    }

    /// Goes past a string, from its first character on.
    #[inline(never)]
    fn pass_string(&mut self) -> Result<(), Damaged> {
        loop {
            let rest = &self.text.as_bytes()[self.at..];
            self.at += memchr::memchr2(b'"', b'\\', rest).ok_or(Damaged::NOT_JSON)?;
            if self.take(b'"') {
                return Ok(());
            }
            // What is escaped may be a quotation mark, and is one byte long at least.
            self.at += 1;
            self.at += self.text[self.at..].chars().next().ok_or(Damaged::NOT_JSON)?.len_utf8();
        }
    }

    /// The characters of a number, which as a name stand in quotes.
    #[inline(never)]
    fn number(&mut self) -> Result<&'de str, Damaged> {
        if self.peek() == Some(b'"') && self.is_name {
            return match self.string()? {
                Cow::Borrowed(number) => Ok(number),
                Cow::Owned(_) => Err(Damaged::OTHER_TYPE),
            };
        }
        let rest = &self.text[self.at..];
        let is_of_a_number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let length = rest.as_bytes().iter().take_while(|byte| is_of_a_number(byte)).count();
        self.at += length;
        Ok(&rest[..length])
    }

    #[inline(never)]
    fn unsigned(&mut self) -> Result<u64, Damaged> {
        self.number()?.parse().map_err(|_| Damaged::OTHER_TYPE)
    }

    fn large(&mut self) -> Result<u128, Damaged> {
        self.number()?.parse().map_err(|_| Damaged::OTHER_TYPE)
    }

    #[inline(never)]
    fn signed(&mut self) -> Result<i64, Damaged> {
        self.number()?.parse().map_err(|_| Damaged::OTHER_TYPE)
    }

    #[inline(never)]
    fn float(&mut self) -> Result<f64, Damaged> {
        self.number().and_then(finite)
    }

    #[inline(never)]
    fn bool(&mut self) -> Result<bool, Damaged> {
        match (self.take_word("true"), self.take_word("false")) {
            (true, _) => Ok(true),
            (_, true) => Ok(false),
            (false, false) => Err(Damaged::OTHER_TYPE),
        }
    }

    /// Goes past a value, whatever it is.
    #[inline(never)]
    fn skip(&mut self) -> Result<(), Damaged> {
        let mut open = 0_u32;
        loop {
            match self.peek().ok_or(Damaged::NOT_JSON)? {
                b'"' => {
                    self.at += 1;
                    self.pass_string()?;
                }
                b'{' | b'[' => {
                    self.at += 1;
                    open += 1;
                    continue;
                }
                b'}' | b']' if open > 0 => {
                    self.at += 1;
                    open -= 1;
                }
                b',' | b':' if open > 0 => {
                    self.at += 1;
                    continue;
                }
                _ if self.take_word("null") || self.take_word("true") || self.take_word("false") => {}
                _ if !self.number()?.is_empty() => {}
                _ => return Err(Damaged::NOT_JSON),
            }
            if open == 0 {
                return Ok(());
            }
        }
    }
}

fn finite(number: &str) -> Result<f64, Damaged> {
    number.parse().ok().filter(|number: &f64| number.is_finite()).ok_or(Damaged::OTHER_TYPE)
}

macro_rules! numbers {
    ($read:ident, $visit:ident: $($deserialize:ident)*) => {
        $(fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Damaged> {
            visitor.$visit(self.$read()?)
        })*
    };
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Damaged;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Damaged> {
        match self.peek() {
            Some(b'n') => self.deserialize_unit(visitor),
            Some(b't' | b'f') => self.deserialize_bool(visitor),
            Some(b'"') => self.deserialize_str(visitor),
            Some(b'[') => self.deserialize_seq(visitor),
            Some(b'{') => self.deserialize_map(visitor),
            _ => {
                let number = self.number()?;
                match (number.parse(), number.parse()) {
                    (Ok(unsigned), _) => visitor.visit_u64(unsigned),
                    (_, Ok(signed)) => visitor.visit_i64(signed),
                    _ => visitor.visit_f64(finite(number)?),
                }
            }
        }
    }

    numbers!(unsigned, visit_u64: deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64);
    numbers!(large, visit_u128: deserialize_u128);
    numbers!(signed, visit_i64: deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64);
    numbers!(float, visit_f64: deserialize_f32 deserialize_f64);

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Damaged> {
        visitor.visit_bool(self.bool()?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Damaged> {
        match self.string()? {
            Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
            Cow::Owned(text) => visitor.visit_string(text),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Damaged> {
        if self.take_word("null") { visitor.visit_unit() } else { Err(Damaged::OTHER_TYPE) }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Damaged> {
        if self.take_word("null") { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Damaged> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Damaged> {
        self.open(b'[')?;
        let value = visitor.visit_seq(Items(self))?;
        self.close(b']')?;
        Ok(value)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Damaged> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Damaged> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Damaged> {
        self.open(b'{')?;
        let value = visitor.visit_map(Items(self))?;
        self.close(b'}')?;
        Ok(value)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Damaged> {
        self.open(b'{')?;
        let start = self.at;
        let value = visitor.visit_seq(Members { reader: self, start, names, place: 0 })?;
        self.leave(start, names)?;
        Ok(value)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Damaged> {
        if self.peek() == Some(b'"') {
            return visitor.visit_enum(Variant { reader: self, has_value: false });
        }
        self.open(b'{')?;
        let value = visitor.visit_enum(Variant { reader: self, has_value: true })?;
        self.close(b'}')?;
        Ok(value)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Damaged> {
        self.skip()?;
        visitor.visit_unit()
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Damaged> {
        self.deserialize_str(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Damaged> {
        self.deserialize_str(visitor)
    }

    forward_to_deserialize_any! { i128 char bytes byte_buf unit_struct }
}

/// What stands in a list, or in an object whose members have names of their own.
struct Items<'r, 'de>(&'r mut Reader<'de>);

impl<'de> SeqAccess<'de> for Items<'_, 'de> {
    type Error = Damaged;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Damaged> {
        if !self.0.goes_on(b']') {
            return Ok(None);
        }
        seed.deserialize(&mut *self.0).map(Some)
    }
}

impl<'de> MapAccess<'de> for Items<'_, 'de> {
    type Error = Damaged;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Damaged> {
        if !self.0.goes_on(b'}') {
            return Ok(None);
        }
        self.0.is_name = true;
        let name = seed.deserialize(&mut *self.0)?;
        self.0.is_name = false;
        Ok(Some(name))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Damaged> {
        self.0.expect(b':')?;
        seed.deserialize(&mut *self.0)
    }
}

/// The members that a type declares. `None` stands for one that is not there, and the next may be.
struct Members<'r, 'de> {
    reader: &'r mut Reader<'de>,
    /// Where the first one stands.
    start: usize,
    names: &'static [&'static str],
    /// The next to be looked for.
    place: usize,
}

impl<'de> SeqAccess<'de> for Members<'_, 'de> {
    type Error = Damaged;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Damaged> {
        if !self.next()? {
            return Ok(None);
        }
        seed.deserialize(&mut *self.reader).map(Some)
    }
}

impl Members<'_, '_> {
    #[inline(never)]
    fn next(&mut self) -> Result<bool, Damaged> {
        if self.place == self.names.len() {
            return Ok(false);
        }
        self.place += 1;
        self.reader.reach(self.start, self.names, self.place - 1)
    }
}

struct Variant<'r, 'de> {
    reader: &'r mut Reader<'de>,
    has_value: bool,
}

impl<'de> EnumAccess<'de> for Variant<'_, 'de> {
    type Error = Damaged;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Damaged> {
        let name = self.reader.string()?;
        let name = seed.deserialize(IntoDeserializer::<Damaged>::into_deserializer(&*name))?;
        if self.has_value {
            self.reader.expect(b':')?;
        }
        Ok((name, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, 'de> {
    type Error = Damaged;

    fn unit_variant(self) -> Result<(), Damaged> {
        if self.has_value { Err(Damaged::OTHER_TYPE) } else { Ok(()) }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Damaged> {
        seed.deserialize(self.value()?)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Damaged> {
        self.value()?.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, names: &'static [&'static str], visitor: V) -> Result<V::Value, Damaged> {
        self.value()?.deserialize_struct("", names, visitor)
    }
}

impl<'r, 'de> Variant<'r, 'de> {
    fn value(self) -> Result<&'r mut Reader<'de>, Damaged> {
        if self.has_value { Ok(self.reader) } else { Err(Damaged::OTHER_TYPE) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::Deserialize;
    use serde_json::{Value, json};
    use std::collections::BTreeMap;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        Plain,
        Text(String),
        Pair(u8, i64),
        Named {
            #[serde(default, skip_serializing_if = "Option::is_none")]
            first: Option<bool>,
            second: f64,
        },
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Whole {
        #[serde(rename = "n")]
        name: String,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        kinds: Vec<Kind>,
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        counts: BTreeMap<u32, u128>,
        #[serde(default = "seven")]
        rank: u32,
        inner: Option<Box<Whole>>,
        any: Value,
    }

    fn seven() -> u32 {
        7
    }

    fn whole() -> Whole {
        let kinds = [Kind::Plain, Kind::Text("a \"b\"\n\u{1F600}".into()), Kind::Pair(255, i64::MIN)];
        let named = [Some(true), None].map(|first| Kind::Named { first, second: 0.1 });
        let inner = Whole {
            name: "\\".into(),
            kinds: Vec::new(),
            counts: BTreeMap::new(),
            rank: 0,
            inner: None,
            any: json!([null, true, -1, 1.5e300, "x", { "é": {} }]),
        };
        Whole {
            name: String::new(),
            kinds: kinds.into_iter().chain(named).collect(),
            counts: [(0, u128::MAX), (u32::MAX, 0)].into(),
            inner: Some(Box::new(inner)),
            rank: u32::MAX,
            any: Value::Null,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let written = write(&whole()).expect("JSON");
        assert_eq!(read(&written), Ok(whole()));
        assert_eq!(read_in_any_order(&written), Ok(whole()));
    }

    #[test]
    fn members_stand_in_their_order_or_in_any_as_the_reader_says() {
        let short = Whole { kinds: Vec::new(), counts: BTreeMap::new(), rank: 7, inner: None, ..whole() };
        let ordered = r#"{"n":"","inner":null,"later":[{"]":"}"},-1e3,false],"any":null,"x":"\""}"#;
        let mixed = " { \"any\" : null ,\n\t\"x\":\"\\\"\", \"later\":[{\"]\":\"}\"}, -1e3,false], \"inner\":null,\"n\" :\"\"}\r\n";
        assert_eq!(read(ordered.as_bytes()), Ok(short.clone()));
        assert_eq!(read_in_any_order(ordered.as_bytes()), Ok(short.clone()));
        assert_eq!(read_in_any_order(mixed.as_bytes()), Ok(short));
        let why = |damaged: Result<Whole, Damaged>| damaged.expect_err("it is damaged").to_string();
        assert_eq!(why(read(mixed.as_bytes())), "`n`: it is missing");
        for (text, expected) in [
            (
                r#"{"n":"","inner":null,"any":null,"rank":1}"#,
                "`any`: an object has a member twice, or not in its place",
            ),
            (
                r#"{"n":"","n":"","inner":null,"any":null}"#,
                "`kinds`: an object has a member twice, or not in its place",
            ),
        ] {
            assert_eq!(why(read(text.as_bytes())), expected, "{text}");
        }
        for (text, expected) in [
            (r#"{"n":"","n":"","inner":null,"any":null}"#, "`any`: an object has a member twice, or not in its place"),
            (r#"{"n":"","inner":null}"#, "`any`: it is missing"),
            (r#"{"n":1,"inner":null,"any":null}"#, "`n`: a value is of another type"),
            (r#"{"n":"","kinds":["other"],"inner":null,"any":null}"#, "`kinds`: there is no such variant"),
            (r#"{"n":"","rank":-1,"inner":null,"any":null}"#, "`rank`: a value is of another type"),
            (r#"{"n":"\x","inner":null,"any":null}"#, "it is not JSON from byte 9 on"),
            (r#"{"n":"","inner":null,"any":null} {}"#, "it is not JSON from byte 33 on"),
            (r#"{"n":"","rank":"1","inner":null,"any":null}"#, "`rank`: a value is of another type"),
            (r#"{"n":"","inner":null,"any":1e400}"#, "`any`: a value is of another type"),
            (r#"{"n":"" "inner":null,"any":null}"#, "it is not JSON from byte 8 on"),
            (r#"{"n":"","inner":null,"any":null,}"#, "it is not JSON from byte 32 on"),
            (r#"{"n":"","inner":null,"any":null,"x":[1 2}}"#, "it is not JSON from byte 39 on"),
            (
                r#"{"n":"","inner":null,"any":null,"x":{"y":1,"y":2}}"#,
                "`any`: an object has a member twice, or not in its place",
            ),
            (r#"{"n":"","inner":null,"any":nul}"#, "it is not JSON from byte 27 on"),
            ("", "a value is of another type"),
        ] {
            assert_eq!(why(read_in_any_order(text.as_bytes())), expected, "{text}");
        }
    }

    #[test]
    fn what_is_too_deep_is_refused_and_what_is_passed_over_may_be_deep() {
        let lists = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(read::<Value>(lists(128).as_bytes()).is_ok());
        assert_eq!(read::<Value>(lists(129).as_bytes()), Err(Damaged::TOO_DEEP));
        let passed_over = format!(r#"{{"n":"","inner":null,"any":null,"x":{}}}"#, lists(1_000_000));
        assert!(read::<Whole>(passed_over.as_bytes()).is_ok());
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 60, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|members| members.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn values_are_read_as_the_referee_reads_them(value in values(), pretty in any::<bool>()) {
            let text = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) };
            let text = text.expect("JSON");
            let referee: Value = serde_json::from_slice(&text).expect("JSON");
            prop_assert_eq!(read::<Value>(&text), Ok(referee.clone()));
            prop_assert_eq!(read_in_any_order::<Value>(&text), Ok(referee));
        }

        #[test]
        fn what_is_damaged_is_refused_or_read_and_never_panics(
            changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>(), 0..3), 1..4),
        ) {
            let mut text = serde_json::to_vec(&whole()).expect("JSON");
            for (place, byte, change) in changes {
                let at = place.index(text.len());
                match change {
                    0 => text[at] = byte,
                    1 => text.insert(at, byte),
                    _ => drop(text.remove(at)),
                }
            }
            let referee = serde_json::from_slice::<Whole>(&text);
            for read in [read::<Whole>(&text), read_in_any_order::<Whole>(&text)] {
                if let (Ok(read), Ok(referee)) = (&read, &referee) {
                    prop_assert_eq!(read, referee);
                }
            }
            // What people write is not taken where the referee does not take it.
            if let Ok(read) = read_in_any_order::<Whole>(&text) {
                prop_assert_eq!(Some(&read), referee.as_ref().ok());
            }
        }
    }
}
