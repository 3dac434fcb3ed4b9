//! Writes a message once, in either form of OTLP: as protobuf, or as JSON by protobuf's mapping.
//!
//! A field is named by number and by name, so one description of a message makes both. Generated code would do the same in
//! some sixty times the bytes of Wasm, and could read as well, which nobody here needs.

use super::line;
use super::rules::Encoding;
use std::io::Write;

/// A message on its way.
#[derive(Debug)]
pub struct Message {
    encoding: Encoding,
    out: Vec<u8>,
}

/// The types of fields on the wire (protobuf encoding, "message structure").
const VARINT: u32 = 0;
const I64: u32 = 1;
const LEN: u32 = 2;
const I32: u32 = 5;

impl Message {
    /// An empty message, as its fields only: what [`Message::list`] takes.
    pub fn new(encoding: Encoding) -> Self {
        Self { encoding, out: Vec::new() }
    }

    /// The whole message.
    pub fn finish(self) -> Vec<u8> {
        match self.encoding {
            Encoding::Protobuf => self.out,
            Encoding::Json => [b"{".as_slice(), &self.out, b"}"].concat(),
        }
    }

    /// `string`
    pub fn string(&mut self, number: u32, name: &str, value: &str) {
        match self.encoding {
            Encoding::Protobuf => self.bytes_field(number, value.as_bytes()),
            Encoding::Json => {
                self.name(name);
                line::text(value, &mut self.out);
            }
        }
    }

    /// `enum`, `uint32`
    pub fn number(&mut self, number: u32, name: &str, value: u64) {
        match self.encoding {
            Encoding::Protobuf => {
                self.tag(number, VARINT);
                varint(value, &mut self.out);
            }
            Encoding::Json => {
                self.name(name);
                let _ = write!(self.out, "{value}");
            }
        }
    }

    /// `int64`, which JSON has as a text.
    pub fn int64(&mut self, number: u32, name: &str, value: u64) {
        match self.encoding {
            Encoding::Protobuf => self.number(number, name, value),
            Encoding::Json => self.string(number, name, &value.to_string()),
        }
    }

    /// `fixed64`, `sfixed64`, which JSON has as a text.
    pub fn fixed64(&mut self, number: u32, name: &str, value: u64) {
        match self.encoding {
            Encoding::Protobuf => {
                self.tag(number, I64);
                self.out.extend(value.to_le_bytes());
            }
            Encoding::Json => self.string(number, name, &value.to_string()),
        }
    }

    /// `fixed32`
    pub fn fixed32(&mut self, number: u32, name: &str, value: u32) {
        match self.encoding {
            Encoding::Protobuf => {
                self.tag(number, I32);
                self.out.extend(value.to_le_bytes());
            }
            Encoding::Json => self.number(number, name, value.into()),
        }
    }

    /// `bool`
    pub fn truth(&mut self, number: u32, name: &str) {
        match self.encoding {
            Encoding::Protobuf => self.number(number, name, 1),
            Encoding::Json => {
                self.name(name);
                self.out.extend_from_slice(b"true");
            }
        }
    }

    /// `double`, of milliseconds that are told in seconds.
    pub fn seconds(&mut self, number: u32, name: &str, milliseconds: u64) {
        match self.encoding {
            Encoding::Protobuf => {
                self.tag(number, I64);
                self.out.extend(in_seconds(milliseconds).to_le_bytes());
            }
            Encoding::Json => {
                self.name(name);
                line::seconds(milliseconds, &mut self.out);
            }
        }
    }

    /// `bytes` that identify a trace or a span, which JSON has in hexadecimal.
    pub fn identifier(&mut self, number: u32, name: &str, bytes: &[u8]) {
        match self.encoding {
            Encoding::Protobuf => self.bytes_field(number, bytes),
            Encoding::Json => {
                let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                self.string(number, name, &text);
            }
        }
    }

    /// `repeated fixed64`, packed.
    pub fn fixed64s(&mut self, number: u32, name: &str, values: &[u64]) {
        match self.encoding {
            Encoding::Protobuf => {
                let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                self.bytes_field(number, &bytes);
            }
            Encoding::Json => self.array(name, values, |value, out| drop(write!(out, "\"{value}\""))),
        }
    }

    /// `repeated double`, packed, of milliseconds that are told in seconds.
    pub fn all_seconds(&mut self, number: u32, name: &str, values: &[u64]) {
        match self.encoding {
            Encoding::Protobuf => {
                let bytes: Vec<u8> = values.iter().flat_map(|value| in_seconds(*value).to_le_bytes()).collect();
                self.bytes_field(number, &bytes);
            }
            Encoding::Json => self.array(name, values, |value, out| line::seconds(*value, out)),
        }
    }

    /// A message within this one.
    pub fn message(&mut self, number: u32, name: &str, write: impl FnOnce(&mut Message)) {
        let mut inner = Message::new(self.encoding);
        write(&mut inner);
        let inner = inner.finish();
        match self.encoding {
            Encoding::Protobuf => self.bytes_field(number, &inner),
            Encoding::Json => {
                self.name(name);
                self.out.extend(inner);
            }
        }
    }

    /// Messages within this one that have been written before.
    pub fn list(&mut self, number: u32, name: &str, messages: &[impl AsRef<[u8]>]) {
        match self.encoding {
            Encoding::Protobuf => messages.iter().for_each(|message| self.bytes_field(number, message.as_ref())),
            Encoding::Json => self.array(name, messages, |message, out| out.extend_from_slice(message.as_ref())),
        }
    }

    fn array<T>(&mut self, name: &str, values: &[T], write: impl Fn(&T, &mut Vec<u8>)) {
        self.name(name);
        self.out.push(b'[');
        for (place, value) in values.iter().enumerate() {
            if place > 0 {
                self.out.push(b',');
            }
            write(value, &mut self.out);
        }
        self.out.push(b']');
    }

    fn bytes_field(&mut self, number: u32, bytes: &[u8]) {
        self.tag(number, LEN);
        varint(bytes.len() as u64, &mut self.out);
        self.out.extend_from_slice(bytes);
    }

    fn tag(&mut self, number: u32, kind: u32) {
        varint(u64::from(number << 3 | kind), &mut self.out);
    }

    fn name(&mut self, name: &str) {
        if !self.out.is_empty() {
            self.out.push(b',');
        }
        line::text(name, &mut self.out);
        self.out.push(b':');
    }
}

#[allow(clippy::cast_precision_loss)] // Exact for some hundred thousand years.
fn in_seconds(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1_000.0
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(encoding: Encoding) -> Vec<u8> {
        let mut message = Message::new(encoding);
        message.string(1, "text", "a\"b");
        message.number(2, "number", 300);
        message.fixed64(3, "big", 1);
        message.seconds(4, "time", 1_500);
        message.identifier(5, "id", &[0xab, 1]);
        message.message(6, "inner", |inner| inner.truth(1, "yes"));
        message.list(7, "list", &[Message::new(encoding).finish(), Message::new(encoding).finish()]);
        message.fixed64s(8, "counts", &[1, 2]);
        message.finish()
    }

    #[test]
    fn one_description_makes_both_forms() {
        let json = String::from_utf8(written(Encoding::Json)).expect("text");
        let expected = r#"{"text":"a\"b","number":300,"big":"1","time":1.500,"id":"ab01","inner":{"yes":true},"list":[{},{}],"counts":["1","2"]}"#;
        assert_eq!(json, expected);
        #[rustfmt::skip]
        let expected = [
            0x0a, 3, b'a', b'"', b'b', 0x10, 0xac, 2, 0x19, 1, 0, 0, 0, 0, 0, 0, 0,
            0x21, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f, 0x2a, 2, 0xab, 1, 0x32, 2, 8, 1, 0x3a, 0, 0x3a, 0,
            0x42, 16, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0,
        ];
        assert_eq!(written(Encoding::Protobuf), expected);
    }
}
