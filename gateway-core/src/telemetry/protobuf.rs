//! Writes a message once, in either form of OTLP: as protobuf, or as JSON by protobuf's mapping.
//!
//! A field is named by number and by name, so one description of a message makes both. Generated code would do the same in
//! some sixty times the bytes of Wasm, and could read as well, which nobody here needs.

use super::line;
use super::rules::Encoding;
use std::io::Write;

/// A message on its way. Those within it are written into the same buffer: a line of a log has some fifty.
#[derive(Debug)]
pub struct Message {
    encoding: Encoding,
    out: Vec<u8>,
    /// Where the fields begin of the message that is being written.
    start: usize,
}

/// Messages of one field, written one after the other.
#[derive(Debug)]
pub struct Repeated<'m> {
    message: &'m mut Message,
    number: u32,
    start: usize,
}

/// The types of fields on the wire (protobuf encoding, "message structure").
const VARINT: u32 = 0;
const I64: u32 = 1;
const LEN: u32 = 2;
const I32: u32 = 5;

impl Message {
    /// An empty message.
    pub fn new(encoding: Encoding) -> Self {
        let mut out = Vec::with_capacity(512);
        if matches!(encoding, Encoding::Json) {
            out.push(b'{');
        }
        Self { encoding, start: out.len(), out }
    }

    /// The whole message.
    pub fn finish(mut self) -> Vec<u8> {
        if matches!(self.encoding, Encoding::Json) {
            self.out.push(b'}');
        }
        self.out
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
        match self.encoding {
            Encoding::Protobuf => self.tag(number, LEN),
            Encoding::Json => self.name(name),
        }
        self.within(write);
    }

    /// Messages within this one, as many as are pushed.
    pub fn repeated(&mut self, number: u32, name: &str, write: impl FnOnce(&mut Repeated<'_>)) {
        let is_json = matches!(self.encoding, Encoding::Json);
        if is_json {
            self.name(name);
            self.out.push(b'[');
        }
        let start = self.out.len();
        write(&mut Repeated { message: self, number, start });
        if is_json {
            self.out.push(b']');
        }
    }

    /// Messages within this one that have been written before.
    pub fn list(&mut self, number: u32, name: &str, messages: &[impl AsRef<[u8]>]) {
        match self.encoding {
            Encoding::Protobuf => messages.iter().for_each(|message| self.bytes_field(number, message.as_ref())),
            Encoding::Json => self.array(name, messages, |message, out| out.extend_from_slice(message.as_ref())),
        }
    }

    fn within(&mut self, write: impl FnOnce(&mut Message)) {
        let open = self.out.len();
        self.out.push(b'{');
        let outer = std::mem::replace(&mut self.start, self.out.len());
        write(self);
        self.start = outer;
        match self.encoding {
            Encoding::Json => self.out.push(b'}'),
            Encoding::Protobuf => self.put_length(open),
        }
    }

    /// Puts the length of all that was written since then in the place of one byte that was kept for it.
    fn put_length(&mut self, place: usize) {
        let length = self.out.len() - place - 1;
        if length < 0x80 {
            self.out[place] = length as u8;
            return;
        }
        let mut long = Vec::with_capacity(5);
        varint(length as u64, &mut long);
        self.out.splice(place..=place, long);
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
        if self.out.len() > self.start {
            self.out.push(b',');
        }
        line::text(name, &mut self.out);
        self.out.push(b':');
    }
}

impl Repeated<'_> {
    /// One more.
    pub fn push(&mut self, write: impl FnOnce(&mut Message)) {
        match self.message.encoding {
            Encoding::Protobuf => self.message.tag(self.number, LEN),
            Encoding::Json if self.message.out.len() > self.start => self.message.out.push(b','),
            Encoding::Json => {}
        }
        self.message.within(write);
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
        message.repeated(9, "each", |each| {
            each.push(|inner| inner.string(1, "a", &"b".repeat(200)));
            each.push(|inner| inner.message(1, "c", |_| {}));
        });
        message.list(7, "list", &[Message::new(encoding).finish(), Message::new(encoding).finish()]);
        message.fixed64s(8, "counts", &[1, 2]);
        message.finish()
    }

    #[test]
    fn one_description_makes_both_forms() {
        let json = String::from_utf8(written(Encoding::Json)).expect("text");
        let long = "b".repeat(200);
        let expected = format!(
            r#"{{"text":"a\"b","number":300,"big":"1","time":1.500,"id":"ab01","inner":{{"yes":true}},"each":[{{"a":"{long}"}},{{"c":{{}}}}],"list":[{{}},{{}}],"counts":["1","2"]}}"#
        );
        assert_eq!(json, expected);
        #[rustfmt::skip]
        let before = [
            0x0a, 3, b'a', b'"', b'b', 0x10, 0xac, 2, 0x19, 1, 0, 0, 0, 0, 0, 0, 0,
            0x21, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f, 0x2a, 2, 0xab, 1, 0x32, 2, 8, 1,
            0x4a, 0xcb, 1, 0x0a, 0xc8, 1,
        ];
        #[rustfmt::skip]
        let behind = [
            0x4a, 2, 0x0a, 0, 0x3a, 0, 0x3a, 0,
            0x42, 16, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0,
        ];
        assert_eq!(written(Encoding::Protobuf), [&before, long.as_bytes(), &behind].concat());
    }
}
