//! A stream of JSON values, changed one by one as they come: lines, or the data of server-sent events.

use super::rules::{Framing, Invalid, Rules, Steps, Wrong};
use super::value::{Document, Value};
use crate::http::Headers;
use crate::json::{self, Json, Limits};
use crate::pump::{Broken, Transform};
use crate::template::function;
use crate::template::{Documents, Fill, Piece, Scope};
use std::borrow::Cow;

/// What changes a stream. Holds what has come of the item that is not complete yet, and nothing else of the stream.
#[derive(Debug)]
pub struct Items {
    steps: Steps,
    framing: Framing,
    invalid: Invalid,
    limits: Limits,
    most: usize,
    /// The line that is not complete, as far as it is kept.
    line: Vec<u8>,
    /// Whether there is such a line.
    partial: bool,
    /// Whether the last line ended with CR, so that an LF belongs to it.
    after_cr: bool,
    /// Whether nothing has come yet.
    begins: bool,
    event: Event,
    /// Whether this line, or this event, is longer than the limit and is not kept any more.
    overlong: bool,
}

/// What has come of an event.
#[derive(Debug, Default)]
struct Event {
    /// Its lines, without the data.
    before: Vec<u8>,
    after: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
}

impl Items {
    /// What the rules say, with everything filled in that is known of the request now.
    pub fn new(rules: &Rules, scope: &Scope<'_>, limits: Limits) -> Self {
        Self {
            steps: rules.steps.bind(scope),
            framing: rules.framing,
            invalid: rules.invalid,
            limits,
            most: usize::try_from(rules.limit).unwrap_or(usize::MAX),
            line: Vec::new(),
            partial: false,
            after_cr: false,
            begins: true,
            event: Event::default(),
            overlong: false,
        }
    }
}

impl Transform for Items {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        let mut rest = bytes;
        while let Some(at) = end_of_line(rest, self.framing) {
            let (line, behind) = (&rest[..at], &rest[at + 1..]);
            let byte = rest[at];
            rest = behind;
            // CR LF is one end, wherever the two are torn apart.
            let is_second = byte == b'\n' && self.after_cr && line.is_empty() && !self.partial;
            self.after_cr = byte == b'\r';
            if is_second {
                continue;
            }
            if !self.partial {
                self.complete(line, out)?;
                continue;
            }
            self.keep(line)?;
            self.partial = false;
            let line = std::mem::take(&mut self.line);
            // What was too long to be kept is no empty line, which would end an event.
            if !(self.overlong && self.framing == Framing::Events) {
                self.complete(&line, out)?;
            }
        }
        if !rest.is_empty() {
            self.after_cr = false;
            self.partial = true;
            self.keep(rest)?;
        }
        Ok(())
    }

    // An event that is not complete is none (HTML §9.2.6).
    fn finish(&mut self, trailers: Headers, out: &mut Vec<u8>) -> Result<Headers, Broken> {
        let line = std::mem::take(&mut self.line);
        if self.framing == Framing::Lines && (!line.is_empty() || self.overlong) {
            self.complete(&line, out)?;
            out.pop_if(|byte| *byte == b'\n');
        }
        Ok(trailers)
    }
}

impl Items {
    fn keep(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        let held = self.line.len() + self.event.before.len() + self.event.after.len() + self.event.data.len();
        if self.overlong || held + bytes.len() > self.most {
            self.too_long()?;
        } else {
            self.line.extend_from_slice(bytes);
        }
        Ok(())
    }

    /// What is too long cannot be handed on as it is, since nobody keeps it.
    fn too_long(&mut self) -> Result<(), Broken> {
        if self.invalid != Invalid::Drop {
            return Err(Broken(format!("an item is longer than the {} bytes that are kept", self.most)));
        }
        self.overlong = true;
        self.line = Vec::new();
        self.event = Event::default();
        Ok(())
    }

    fn complete(&mut self, line: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        match self.framing {
            Framing::Whole | Framing::Lines => self.line(line, out),
            Framing::Events => self.field(line, out),
        }
    }

    fn line(&mut self, line: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        if std::mem::take(&mut self.overlong) {
            return Ok(());
        }
        if line.len() > self.most {
            self.too_long()?;
            self.overlong = false;
            return Ok(());
        }
        let text = line.trim_ascii();
        if !text.is_empty() && !self.change(text, out)? {
            return Ok(());
        }
        out.push(b'\n');
        Ok(())
    }

    /// One line of an event stream (HTML §9.2.5).
    fn field(&mut self, line: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        let line = match line.strip_prefix(b"\xEF\xBB\xBF") {
            Some(rest) if self.begins => rest,
            _ => line,
        };
        self.begins = false;
        if line.is_empty() {
            return self.dispatch(out);
        }
        if self.overlong {
            return Ok(());
        }
        let held = self.event.before.len() + self.event.after.len() + self.event.data.len();
        if held + line.len() > self.most {
            return self.too_long();
        }
        if line.starts_with(b":") {
            // A comment belongs to no event; that it comes is what it is for.
            out.extend_from_slice(line);
            out.push(b'\n');
            return Ok(());
        }
        let (name, value) = match line.iter().position(|byte| *byte == b':') {
            Some(at) => (&line[..at], &line[at + 1..]),
            None => (line, &b""[..]),
        };
        if name == b"data" {
            if self.event.has_data {
                self.event.data.push(b'\n');
            }
            self.event.has_data = true;
            self.event.data.extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
        } else {
            let lines = if self.event.has_data { &mut self.event.after } else { &mut self.event.before };
            lines.extend_from_slice(line);
            lines.push(b'\n');
        }
        Ok(())
    }

    fn dispatch(&mut self, out: &mut Vec<u8>) -> Result<(), Broken> {
        let event = std::mem::take(&mut self.event);
        if std::mem::take(&mut self.overlong) {
            return Ok(());
        }
        let start = out.len();
        out.extend_from_slice(&event.before);
        if event.has_data {
            let mut data = Vec::new();
            if !event.data.trim_ascii().is_empty() && !self.change(&event.data, &mut data)? {
                out.truncate(start);
                return Ok(());
            }
            for line in data.split(|byte| *byte == b'\n') {
                out.extend_from_slice(b"data: ");
                out.extend_from_slice(line);
                out.push(b'\n');
            }
        }
        out.extend_from_slice(&event.after);
        out.push(b'\n');
        Ok(())
    }

    /// Changes one value; whether it goes on.
    fn change(&self, bytes: &[u8], out: &mut Vec<u8>) -> Result<bool, Broken> {
        let start = out.len();
        match self.changed(bytes, out) {
            Ok(()) => Ok(true),
            Err(wrong) => {
                out.truncate(start);
                match self.invalid {
                    Invalid::Fail => Err(Broken(wrong.tell())),
                    Invalid::Drop => Ok(false),
                    Invalid::Pass => {
                        out.extend_from_slice(bytes);
                        Ok(true)
                    }
                }
            }
        }
    }

    fn changed(&self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Wrong> {
        let text = std::str::from_utf8(bytes).map_err(|_| Wrong::Malformed("An item is not UTF-8.".to_owned()))?;
        let parts = json::read(text, &self.limits).map_err(Wrong::Json)?;
        let with = |value: &Value<'_>, then: &mut dyn FnMut(&dyn Fill)| then(&Only(Document("body", value)));
        self.steps.run(Value::new(Json::new(text, &parts)), &with, |value| {
            value.write(out);
            Ok(())
        })
    }
}

/// Where the next line ends. JSON lines end with LF alone, and a CR before it is space; events end with CR too.
fn end_of_line(bytes: &[u8], framing: Framing) -> Option<usize> {
    match framing {
        Framing::Events => memchr::memchr2(b'\n', b'\r', bytes),
        Framing::Whole | Framing::Lines => memchr::memchr(b'\n', bytes),
    }
}

/// Fills the holes that were left for the document: all others have been filled.
struct Only<'a>(Document<'a>);

impl Fill for Only<'_> {
    fn value<'s>(&'s self, piece: &'s Piece) -> Option<Cow<'s, str>> {
        match piece {
            Piece::Text(text) => Some(text.into()),
            Piece::Document(path) => self.0.part(path)?.into_plain().filter(|text| !text.is_empty()),
            Piece::Piped(piece, functions) => function::apply(self.value(piece), functions),
            Piece::Parameter(_) | Piece::Variable(_) | Piece::Reference(_) | Piece::Member(..) => None,
        }
    }

    fn part(&self, path: &super::Path) -> Option<Value<'_>> {
        self.0.part(path)
    }
}
