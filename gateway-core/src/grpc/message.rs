//! Messages and their JSON: the canonical mapping of proto3, and the parts of a request that become fields.

use super::finite::Finite;
use crate::http::decode;
use crate::json::{self, Json};
use prost_reflect::prost::Message as _;
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor,
    ReflectMessage, SerializeOptions, Value,
};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Deserializer;

/// How JSON is written and read, where the mapping leaves a choice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    /// Enums are written as numbers.
    #[serde(rename = "n", default, skip_serializing_if = "is_false")]
    pub enum_numbers: bool,
    /// Fields are written as the `.proto` file names them.
    #[serde(rename = "o", default, skip_serializing_if = "is_false")]
    pub original_names: bool,
    /// Fields without presence are written when they have their default.
    #[serde(rename = "d", default, skip_serializing_if = "is_false")]
    pub defaults: bool,
    /// 64-bit numbers are written as numbers.
    #[serde(rename = "w", default, skip_serializing_if = "is_false")]
    pub wide_numbers: bool,
    /// Members and parameters that no field has the name of are ignored.
    #[serde(rename = "i", default, skip_serializing_if = "is_false")]
    pub ignore_unknown: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_false(value: &bool) -> bool {
    !value
}

/// The message whose body is not JSON but bytes of a type of their own.
pub const HTTP_BODY: &str = "google.api.HttpBody";

/// What a body in HTTP gives to a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum BodyField {
    /// Nothing: there is none.
    #[serde(rename = "n")]
    None,
    /// All of it.
    #[serde(rename = "a")]
    Whole,
    /// This field.
    #[serde(rename = "f")]
    Field(String),
}

impl Mapping {
    /// Writes a message as JSON.
    ///
    /// # Errors
    /// Where the bytes are no such message, or what is in it has no JSON, in words for the log.
    pub fn to_json(self, kind: &MessageDescriptor, bytes: &[u8]) -> Result<Vec<u8>, String> {
        let mut message = Value::Message(read(kind, bytes)?);
        if kind.parent_pool().get_message_by_name(ANY).is_some() {
            if let Some(nothing) = nothing() {
                empty_any(&mut message, &nothing);
            }
            check_any(&message, LEVELS)?;
        }
        let Value::Message(message) = message else { return Err("it is no message".to_owned()) };
        let options = SerializeOptions::new()
            .use_enum_numbers(self.enum_numbers)
            .use_proto_field_name(self.original_names)
            .skip_default_fields(!self.defaults)
            .stringify_64_bit_integers(!self.wide_numbers);
        let mut out = Vec::with_capacity(bytes.len() * 2);
        let serializer = Finite(&mut serde_json::Serializer::new(&mut out));
        message.serialize_with_options(serializer, &options).map_err(|error| error.to_string())?;
        Ok(out)
    }

    /// Writes one field of a message as JSON.
    ///
    /// # Errors
    /// As [`Mapping::to_json`].
    pub fn field_to_json(self, kind: &MessageDescriptor, bytes: &[u8], field: &str) -> Result<Vec<u8>, String> {
        let field = kind.get_field_by_name(field).ok_or_else(|| format!("there is no field `{field}`"))?;
        let name = if self.original_names { field.name() } else { field.json_name() };
        let found = member(&self.to_json(kind, bytes)?, name)?;
        // One that is not there has its default, and is the whole answer.
        let found = match found {
            Some(found) => Some(found),
            None => member(&Self { defaults: true, ..self }.to_json(kind, &[])?, name)?,
        };
        Ok(found.unwrap_or_else(|| b"null".to_vec()))
    }

    /// Makes a value of what a message is as JSON.
    ///
    /// # Errors
    /// As [`Mapping::to_json`].
    pub fn to_value(self, kind: &MessageDescriptor, bytes: &[u8]) -> Result<serde_json::Value, String> {
        // By way of its text, in which a number is as short as it can be: a `float` made a `double` has digits that nobody wrote.
        serde_json::from_slice(&self.to_json(kind, bytes)?).map_err(|error| error.to_string())
    }

    /// Reads a message that is written as JSON; nothing at all is one without fields.
    ///
    /// # Errors
    /// Where it is none, in words for the client.
    pub fn from_json(self, kind: &MessageDescriptor, json: &[u8]) -> Result<DynamicMessage, String> {
        if json.trim_ascii().is_empty() {
            return Ok(DynamicMessage::new(kind.clone()));
        }
        check_depth(json)?;
        let mut deserializer = Deserializer::from_slice(json);
        let message = self.next(kind, &mut deserializer)?;
        deserializer.end().map_err(|error| error.to_string())?;
        Ok(message)
    }

    fn next(
        self,
        kind: &MessageDescriptor,
        deserializer: &mut Deserializer<serde_json::de::SliceRead<'_>>,
    ) -> Result<DynamicMessage, String> {
        let options = DeserializeOptions::new().deny_unknown_fields(!self.ignore_unknown);
        DynamicMessage::deserialize_with_options(kind.clone(), deserializer, &options)
            .map_err(|error| error.to_string())
    }

    /// Makes a message of what a body gives to it.
    ///
    /// # Errors
    /// As [`Mapping::from_json`].
    pub fn from_body(
        self,
        kind: &MessageDescriptor,
        field: &BodyField,
        media_type: &str,
        body: &[u8],
    ) -> Result<DynamicMessage, String> {
        let mut message = DynamicMessage::new(kind.clone());
        match field {
            BodyField::None => {}
            BodyField::Whole if kind.full_name() == HTTP_BODY => set_raw(&mut message, media_type, body),
            BodyField::Whole => message = self.from_json(kind, body)?,
            BodyField::Field(name) => {
                let field = kind.get_field_by_name(name).ok_or_else(|| format!("there is no field `{name}`"))?;
                if is_raw_field(&field) {
                    if let Value::Message(inner) = message.get_field_mut(&field) {
                        set_raw(inner, media_type, body);
                    }
                } else if !body.trim_ascii().is_empty() {
                    // It must be one value by itself before it can stand as the value of a member.
                    serde_json::from_slice::<IgnoredAny>(body).map_err(|error| error.to_string())?;
                    let name = serde_json::to_vec(field.json_name()).map_err(|error| error.to_string())?;
                    let member = [b"{", name.as_slice(), b":", body, b"}"].concat();
                    message = self.from_json(kind, &member)?;
                }
            }
        }
        Ok(message)
    }

    /// What the parameters of a query give to a message. `bound` are the fields that the path or the body gives.
    ///
    /// # Errors
    /// Where there is no such field, or its value is none, in words for the client.
    pub fn from_query(
        self,
        kind: &MessageDescriptor,
        query: &str,
        bound: impl Fn(&str) -> bool,
    ) -> Result<Vec<Given>, String> {
        let mut given = Vec::new();
        let mut parameters: Vec<(String, Vec<String>)> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(name).into_owned(), decode(value).into_owned());
            match parameters.iter_mut().find(|(known, _)| *known == name) {
                Some((_, values)) => values.push(value),
                None => parameters.push((name, vec![value])),
            }
        }
        for (name, mut values) in parameters {
            match path(kind, &name) {
                Some(fields) if !bound(&original(&fields)) => {
                    if let Some(Kind::Enum(kind)) = fields.last().map(FieldDescriptor::kind)
                        && self.ignore_unknown
                    {
                        values.retain(|text| number_of(&kind, text).is_some());
                        if values.is_empty() {
                            continue;
                        }
                    }
                    given.push(Given::of(fields, &values).map_err(|why| format!("the parameter `{name}`: {why}"))?);
                }
                _ if self.ignore_unknown => {}
                Some(_) => return Err(format!("the parameter `{name}`: it is taken from the path or the body")),
                None => return Err(format!("the parameter `{name}`: there is no such field")),
            }
        }
        Ok(given)
    }
}

/// A member of an object, as it is written.
fn member(object: &[u8], name: &str) -> Result<Option<Vec<u8>>, String> {
    let text = std::str::from_utf8(object).map_err(|error| error.to_string())?;
    let limits = json::Limits { depth: u32::MAX, duplicates: true, ..json::Limits::USUAL };
    let parts = json::read(text, &limits).map_err(|refused| format!("{refused:?}"))?;
    let json = Json::new(text, &parts);
    let found = json.members(0).find(|(known, _)| json.text(*known) == name);
    Ok(found.map(|(_, value)| json.whole(value).as_bytes().to_vec()))
}

/// How deep JSON may be. Reading recurses, in frames of up to 2 KB for each level, and
/// the stack of a component is small.
const DEEPEST: usize = 32;

fn check_depth(json: &[u8]) -> Result<(), String> {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => depth += 1,
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEEPEST {
            return Err(format!("it is nested deeper than {DEEPEST} levels"));
        }
    }
    Ok(())
}

/// A `google.protobuf.Any` is read when it is written as JSON: each is a message of its own, whose depth has a bound, but nothing
/// bounds how many are in each other.
fn check_any(value: &Value, levels: usize) -> Result<(), String> {
    let Value::Message(message) = value else { return Ok(()) };
    let Some(left) = levels.checked_sub(1) else {
        return Err(format!("it is nested deeper than {LEVELS} levels"));
    };
    let kind = message.descriptor();
    if kind.full_name() == ANY {
        let field = |name: &str| message.get_field_by_name(name);
        let name = field("type_url").and_then(|url| url.as_str().map(str::to_owned)).unwrap_or_default();
        let inner = kind.parent_pool().get_message_by_name(name.rsplit('/').next().unwrap_or_default());
        let bytes = field("value").and_then(|value| value.as_bytes().cloned()).unwrap_or_default();
        // What cannot be read is an error when it is written.
        return match inner.and_then(|inner| DynamicMessage::decode(inner, bytes).ok()) {
            Some(inner) => check_any(&Value::Message(inner), left),
            None => Ok(()),
        };
    }
    let check = |value: &Value| check_any(value, left);
    message.fields().try_for_each(|(_, value)| match value {
        Value::List(values) => values.iter().try_for_each(check),
        Value::Map(values) => values.values().try_for_each(check),
        value => check(value),
    })
}

/// An `Any` that says nothing is written as `{}`, as protobuf's own libraries do; to prost-reflect it is one of an unknown type.
fn empty_any(value: &mut Value, nothing: &DynamicMessage) {
    match value {
        Value::Message(message) if message.descriptor().full_name() == ANY && message.encoded_len() == 0 => {
            *message = nothing.clone();
        }
        Value::Message(message) => message.fields_mut().for_each(|(_, value)| empty_any(value, nothing)),
        Value::List(values) => values.iter_mut().for_each(|value| empty_any(value, nothing)),
        Value::Map(values) => values.values_mut().for_each(|value| empty_any(value, nothing)),
        _ => {}
    }
}

/// A message of a type that has no fields: of the file `e`, which says `message E {}`.
fn nothing() -> Option<DynamicMessage> {
    let pool = DescriptorPool::decode(&b"\x0a\x08\x0a\x01e\x22\x03\x0a\x01E"[..]).ok()?;
    pool.get_message_by_name("E").map(DynamicMessage::new)
}

const ANY: &str = "google.protobuf.Any";
/// As many as `prost` reads.
const LEVELS: usize = 100;

fn read(kind: &MessageDescriptor, bytes: &[u8]) -> Result<DynamicMessage, String> {
    DynamicMessage::decode(kind.clone(), bytes)
        .map_err(|error| format!("what should be a {} is none: {error}", kind.full_name()))
}

/// Whether what a body gives is not JSON but bytes of a type of their own.
pub fn is_raw(kind: &MessageDescriptor, field: &BodyField) -> bool {
    match field {
        BodyField::None => false,
        BodyField::Whole => kind.full_name() == HTTP_BODY,
        BodyField::Field(name) => kind.get_field_by_name(name).is_some_and(|field| is_raw_field(&field)),
    }
}

/// Whether what a body gives may be written as an array.
pub fn may_be_array(kind: &MessageDescriptor, field: &BodyField) -> bool {
    let is_any_json =
        |kind: &MessageDescriptor| matches!(kind.full_name(), "google.protobuf.ListValue" | "google.protobuf.Value");
    match field {
        BodyField::None => false,
        BodyField::Whole => is_any_json(kind),
        BodyField::Field(name) => kind
            .get_field_by_name(name)
            .is_some_and(|field| field.is_list() || matches!(field.kind(), Kind::Message(kind) if is_any_json(&kind))),
    }
}

fn is_raw_field(field: &FieldDescriptor) -> bool {
    !field.is_list() && matches!(field.kind(), Kind::Message(kind) if kind.full_name() == HTTP_BODY)
}

fn set_raw(message: &mut DynamicMessage, media_type: &str, body: &[u8]) {
    let _ = message.try_set_field_by_name("content_type", Value::String(media_type.to_owned()));
    let _ = message.try_set_field_by_name("data", Value::Bytes(body.to_vec().into()));
}

/// The media type and the bytes of a `google.api.HttpBody`: the message itself, or this field of it.
///
/// # Errors
/// Where the bytes are none, in words for the log.
pub fn raw(kind: &MessageDescriptor, bytes: &[u8], field: Option<&str>) -> Result<(String, Vec<u8>), String> {
    let mut message = read(kind, bytes)?;
    if let Some(field) = field {
        let inner = message.get_field_by_name(field).and_then(|value| value.as_message().cloned());
        message = inner.ok_or_else(|| format!("there is no message `{field}`"))?;
    }
    let text = |name: &str| message.get_field_by_name(name).and_then(|value| value.as_str().map(str::to_owned));
    let data = message.get_field_by_name("data").and_then(|value| value.as_bytes().map(|bytes| bytes.to_vec()));
    Ok((text("content_type").unwrap_or_default(), data.unwrap_or_default()))
}

/// The fields that a dotted name leads through, each by its own name or by that of JSON.
pub fn path(kind: &MessageDescriptor, name: &str) -> Option<Vec<FieldDescriptor>> {
    let mut kind = Some(kind.clone());
    let mut fields = Vec::new();
    for part in name.split('.') {
        let within = kind?;
        let field = within.get_field_by_name(part).or_else(|| within.get_field_by_json_name(part))?;
        kind = match field.kind() {
            Kind::Message(inner) if !field.is_list() && !field.is_map() => Some(inner),
            _ => None,
        };
        fields.push(field);
    }
    Some(fields)
}

fn original(fields: &[FieldDescriptor]) -> String {
    fields.iter().map(FieldDescriptor::name).collect::<Vec<_>>().join(".")
}

/// The value of a field, wherever it stands in a message: read once, and set in each of many.
#[derive(Debug)]
pub struct Given {
    way: Vec<FieldDescriptor>,
    field: FieldDescriptor,
    value: Value,
}

impl Given {
    /// What these texts say of the field at the end of a path.
    ///
    /// # Errors
    /// Where they are no values of it, in words for the client.
    pub fn of(mut way: Vec<FieldDescriptor>, texts: &[String]) -> Result<Self, String> {
        let Some(field) = way.pop() else { return Err("it names no field".to_owned()) };
        if field.is_map() {
            return Err("a map cannot be given so".to_owned());
        }
        let value = if field.is_list() {
            Value::List(texts.iter().map(|text| value(&field.kind(), text)).collect::<Result<_, _>>()?)
        } else {
            match texts {
                [text] => value(&field.kind(), text)?,
                _ => return Err("it is given more than once".to_owned()),
            }
        };
        Ok(Self { way, field, value })
    }

    /// Sets it, whatever was there.
    ///
    /// # Errors
    /// Where the message has no such field.
    pub fn set(&self, message: &mut DynamicMessage) -> Result<(), String> {
        let mut inner = message;
        for step in &self.way {
            inner = match inner.get_field_mut(step) {
                Value::Message(inner) => inner,
                _ => return Err(format!("`{}` has no fields", step.name())),
            };
        }
        inner.try_set_field(&self.field, self.value.clone()).map_err(|error| error.to_string())
    }
}

/// Whether a field can be given as a text: a scalar, an enum, or a message that JSON writes as a text or a number.
pub fn is_text(kind: &Kind) -> bool {
    match kind {
        Kind::Message(kind) => WRITTEN_AS_TEXT.contains(&kind.full_name()) || wrapped(kind).is_some(),
        _ => true,
    }
}

const WRITTEN_AS_TEXT: [&str; 3] =
    ["google.protobuf.Timestamp", "google.protobuf.Duration", "google.protobuf.FieldMask"];

/// What a wrapper (google/protobuf/wrappers.proto) holds.
fn wrapped(kind: &MessageDescriptor) -> Option<FieldDescriptor> {
    let name = kind.full_name().strip_prefix("google.protobuf.")?;
    let is_wrapper = name.strip_suffix("Value").is_some_and(|of| {
        matches!(of, "Double" | "Float" | "Int64" | "UInt64" | "Int32" | "UInt32" | "Bool" | "String" | "Bytes")
    });
    if is_wrapper { kind.get_field_by_name("value") } else { None }
}

fn value(kind: &Kind, text: &str) -> Result<Value, String> {
    let number = |error: std::num::ParseIntError| format!("`{text}` is no {}: {error}", shown(kind));
    match kind {
        Kind::String => Ok(Value::String(text.to_owned())),
        Kind::Bool => match text {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => Err(format!("`{text}` is neither `true` nor `false`")),
        },
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => text.parse().map(Value::I32).map_err(number),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => text.parse().map(Value::I64).map_err(number),
        Kind::Uint32 | Kind::Fixed32 => text.parse().map(Value::U32).map_err(number),
        Kind::Uint64 | Kind::Fixed64 => text.parse().map(Value::U64).map_err(number),
        Kind::Enum(kind) => match number_of(kind, text) {
            Some(number) => Ok(Value::EnumNumber(number)),
            None => Err(format!("`{text}` is no value of {}", kind.full_name())),
        },
        Kind::Message(kind) => match wrapped(kind) {
            Some(field) => {
                let mut message = DynamicMessage::new(kind.clone());
                message.set_field(&field, value(&field.kind(), text)?);
                Ok(Value::Message(message))
            }
            None if WRITTEN_AS_TEXT.contains(&kind.full_name()) => {
                let json = serde_json::to_vec(text).map_err(|error| error.to_string())?;
                Mapping::default().from_json(kind, &json).map(Value::Message)
            }
            None => Err(format!("a {} cannot be given so", kind.full_name())),
        },
        Kind::Double | Kind::Float | Kind::Bytes => lenient(kind, text),
    }
}

/// The number of an enum's value, which may be one that the enum does not know.
fn number_of(kind: &EnumDescriptor, text: &str) -> Option<i32> {
    kind.get_value_by_name(text).map(|known| known.number()).or_else(|| text.parse().ok())
}

/// What JSON writes as a text or a number alike: read as JSON reads its text.
fn lenient(kind: &Kind, text: &str) -> Result<Value, String> {
    let wrong = || format!("`{text}` is no {}", shown(kind));
    let number = || -> Result<f64, String> {
        match text {
            "NaN" => Ok(f64::NAN),
            "Infinity" => Ok(f64::INFINITY),
            "-Infinity" => Ok(f64::NEG_INFINITY),
            _ => text.parse().ok().filter(|number: &f64| number.is_finite()).ok_or_else(wrong),
        }
    };
    match kind {
        Kind::Double => number().map(Value::F64),
        // What is finite must stay so.
        Kind::Float => {
            let number = number()?;
            let narrow = number as f32;
            if narrow.is_finite() == number.is_finite() { Ok(Value::F32(narrow)) } else { Err(wrong()) }
        }
        _ => {
            use base64::Engine;
            use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
            const ANY: GeneralPurposeConfig =
                GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
            let alphabet =
                if text.contains(['-', '_']) { base64::alphabet::URL_SAFE } else { base64::alphabet::STANDARD };
            let bytes = GeneralPurpose::new(&alphabet, ANY).decode(text).map_err(|_| wrong())?;
            Ok(Value::Bytes(bytes.into()))
        }
    }
}

fn shown(kind: &Kind) -> String {
    format!("{kind:?}").to_ascii_lowercase()
}
