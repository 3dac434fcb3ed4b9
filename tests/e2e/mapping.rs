//! Messages and their JSON, with a second implementation as referee (npm `@bufbuild/protobuf`): for random messages of a type that
//! has every feature of proto3, each reads what the other writes, in both forms.

#![allow(clippy::panic, reason = "a test")]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gateway_core::grpc::Mapping;
use postern_tests::process;
use postern_tests::random::Random;
use prost_reflect::prost::Message;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

#[test]
fn each_reads_what_the_other_writes() {
    let root = process::root();
    let set = protox::Compiler::new([root.join("tests/protos")])
        .and_then(|mut compiler| {
            compiler.include_imports(true).open_file("everything.proto")?;
            Ok(compiler.encode_file_descriptor_set())
        })
        .expect("descriptors");
    let pool = prost_reflect::DescriptorPool::decode(set.as_slice()).expect("descriptors");
    let kind = pool.get_message_by_name("everything.v1.Everything").expect("the type");
    let file = std::env::temp_dir().join(format!("postern-everything-{}.binpb", std::process::id()));
    std::fs::write(&file, &set).expect("a file");
    let mut referee = Command::new(root.join("node_modules/.bin/node"))
        .arg(root.join("tests/e2e/mapping.mjs"))
        .arg(&file)
        .arg(kind.full_name())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node runs");
    let mut input = referee.stdin.take().expect("it has an input");
    let mut answers = BufReader::new(referee.stdout.take().expect("it has an output")).lines();
    let mut random = Random(7);
    let mapping = Mapping::default();
    for number in 0..400 {
        let message = any_message(&kind, &mut random, 0);
        // Not `assert_eq`: what describes a type that contains itself cannot be shown.
        let bytes = message.encode_to_vec();
        // Fields that were set to what they are anyway are not told from others.
        let message = DynamicMessage::decode(kind.clone(), bytes.as_slice()).expect("a message");
        let json = mapping.to_json(&kind, &bytes).unwrap_or_else(|why| panic!("{number}: {why}"));
        let shown = String::from_utf8_lossy(&json).into_owned();
        assert!(mapping.from_json(&kind, &json).as_ref() == Ok(&message), "{number}: {shown}");
        writeln!(input, "{} {shown}", STANDARD.encode(&bytes)).expect("it listens");
        let answer = answers.next().and_then(Result::ok).expect("an answer");
        let (made, written) = answer.split_once(' ').unwrap_or_else(|| panic!("{number}: {answer}"));
        assert_ne!(made, "error", "{number}: {written}: {shown}");
        let made = DynamicMessage::decode(kind.clone(), STANDARD.decode(made).expect("Base64").as_slice());
        assert!(
            made.as_ref() == Ok(&message),
            "{number}: the referee reads otherwise {:?} in {shown}",
            made.as_ref().map(|made| differing(made, &message))
        );
        let read = mapping.from_json(&kind, written.as_bytes());
        assert!(read.as_ref() == Ok(&message), "{number}: the referee writes otherwise {written}");
    }
    drop(input);
    assert!(referee.wait().expect("it ends").success());
    std::fs::remove_file(file).expect("it was there");
}

fn any_message(kind: &MessageDescriptor, random: &mut Random, depth: usize) -> DynamicMessage {
    let mut message = DynamicMessage::new(kind.clone());
    match kind.full_name() {
        "google.protobuf.Timestamp" => {
            message.set_field_by_name("seconds", Value::I64(random.below(4_000_000_000) as i64 - 1_000_000_000));
            message.set_field_by_name("nanos", Value::I32(NANOS[random.below(4)]));
        }
        "google.protobuf.Duration" => {
            let sign = if random.below(2) == 0 { 1 } else { -1 };
            message.set_field_by_name("seconds", Value::I64(sign * random.below(300_000_000_000) as i64));
            message.set_field_by_name("nanos", Value::I32(sign as i32 * NANOS[random.below(4)]));
        }
        "google.protobuf.FieldMask" => {
            let paths = ["a", "a_double", "recursive.a_string", "chosen_inner.deeper"];
            let paths = (0..random.below(3)).map(|_| Value::String(paths[random.below(4)].to_owned()));
            message.set_field_by_name("paths", Value::List(paths.collect()));
        }
        "google.protobuf.DoubleValue" => {
            let number = if random.below(5) == 0 { f64::NEG_INFINITY } else { random.bits() as f64 / 3.0 };
            message.set_field_by_name("value", Value::F64(number));
        }
        "google.protobuf.FloatValue" => {
            let number = if random.below(5) == 0 { f32::INFINITY } else { random.below(1 << 20) as f32 / 3.0 };
            message.set_field_by_name("value", Value::F32(number));
        }
        "google.protobuf.Any" => {
            let pool = kind.parent_pool();
            let inner = pool.get_message_by_name("everything.v1.Everything.Inner").expect("the type");
            let inner = any_message(&inner, random, depth + 1).encode_to_vec();
            let url = "type.googleapis.com/everything.v1.Everything.Inner".to_owned();
            message.set_field_by_name("type_url", Value::String(url));
            message.set_field_by_name("value", Value::Bytes(inner.into()));
        }
        "google.protobuf.Value" => {
            // One kind must be set, and a number must be one.
            let (name, value) = match random.below(if depth > 4 { 4 } else { 6 }) {
                0 => ("null_value", Value::EnumNumber(0)),
                1 => ("number_value", Value::F64(random.below(1 << 50) as f64 / 1024.0)),
                2 => ("string_value", Value::String(any_text(random))),
                3 => ("bool_value", Value::Bool(random.below(2) == 0)),
                more => {
                    let (field, of) = if more == 4 {
                        ("struct_value", "google.protobuf.Struct")
                    } else {
                        ("list_value", "google.protobuf.ListValue")
                    };
                    let of = kind.parent_pool().get_message_by_name(of).expect("the type");
                    (field, Value::Message(any_message(&of, random, depth + 1)))
                }
            };
            message.set_field_by_name(name, value);
        }
        _ => {
            for field in kind.fields() {
                let is_chosen = field
                    .containing_oneof()
                    .is_none_or(|oneof| oneof.is_synthetic() || oneof.fields().all(|other| !message.has_field(&other)));
                if is_chosen && random.below(if depth == 0 { 3 } else { 5 }) == 0 || kind.full_name().ends_with("Value")
                {
                    message.set_field(&field, any_field(&field, random, depth));
                }
            }
        }
    }
    message
}

const NANOS: [i32; 4] = [0, 500_000_000, 1_000, 123_456_789];

fn any_field(field: &FieldDescriptor, random: &mut Random, depth: usize) -> Value {
    let count = random.below(4);
    if let (true, Kind::Message(entry)) = (field.is_map(), field.kind()) {
        let (key, value) = (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
        let entries = (0..count).map(|_| {
            let key = match any_value(&key, random, depth) {
                // The JSON.parse of Node 20 takes one key with a backslash in it for another of the same length.
                Value::String(text) => MapKey::String(text.replace(['"', '\\', '\n'], "-")),
                Value::I32(number) => MapKey::I32(number),
                Value::I64(number) => MapKey::I64(number),
                Value::U64(number) => MapKey::U64(number),
                Value::Bool(truth) => MapKey::Bool(truth),
                other => panic!("{other:?} is no key"),
            };
            (key, any_value(&value, random, depth + 1))
        });
        return Value::Map(entries.collect::<HashMap<_, _>>());
    }
    if field.is_list() {
        return Value::List((0..count).map(|_| any_value(&field.kind(), random, depth + 1)).collect());
    }
    any_value(&field.kind(), random, depth)
}

fn any_value(kind: &Kind, random: &mut Random, depth: usize) -> Value {
    let bits = if random.once_in(3) { random.bits() } else { random.below(200) as u64 };
    match kind {
        Kind::Double => Value::F64(match random.below(5) {
            0 => f64::INFINITY,
            1 => -1.0e-300,
            _ => bits as f64 / 3.0,
        }),
        Kind::Float => Value::F32(match random.below(5) {
            0 => f32::NEG_INFINITY,
            1 => 3.4e38,
            _ => bits as f32 / 3.0,
        }),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(bits as i32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(bits as i64),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(bits as u32),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(bits),
        Kind::Bool => Value::Bool(bits % 2 == 0),
        Kind::String => Value::String(any_text(random)),
        Kind::Bytes => Value::Bytes((0..random.below(9)).map(|_| random.bits() as u8).collect::<Vec<_>>().into()),
        // One that nobody has a name for, too.
        Kind::Enum(_) => Value::EnumNumber([0, 1, -5, 77][random.below(4)]),
        Kind::Message(inner) if depth > 3 => Value::Message(match inner.full_name() {
            "google.protobuf.Value" => any_message(inner, random, depth + 1),
            _ => DynamicMessage::new(inner.clone()),
        }),
        Kind::Message(inner) => Value::Message(any_message(inner, random, depth + 1)),
    }
}

fn any_text(random: &mut Random) -> String {
    let parts = ["", "a", "\"", "\\", "\n", "\u{0}", "é", "\u{1F937}", "\u{FEFF}", "</script>"];
    (0..random.below(5)).map(|_| parts[random.below(parts.len())]).collect()
}

/// The fields in which two messages differ.
fn differing(one: &DynamicMessage, other: &DynamicMessage) -> Vec<String> {
    let kind = prost_reflect::ReflectMessage::descriptor(one);
    let fields = kind.fields().filter(|field| one.get_field(field) != other.get_field(field));
    fields.map(|field| format!("{}: {:?} {:?}", field.name(), one.get_field(&field), other.get_field(&field))).collect()
}
