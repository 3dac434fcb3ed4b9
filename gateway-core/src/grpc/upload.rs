//! A client's messages on their way to the upstream: read as the client writes them, written as the upstream reads them.

use super::dialect::{Encoding, Protocol};
use super::frame::{self, COMPRESSED, Frame, Frames, Wrong};
use super::message::{self, BodyField, Mapping};
use super::values::{Bad, Values};
use crate::error::Error;
use crate::http::Headers;
use crate::pump::{Broken, Transform};
use prost::Message;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use std::cell::RefCell;
use std::rc::Rc;

/// Makes messages of what a JSON client writes: its body, or a part of it, and what path and query say beside.
#[derive(Debug)]
pub struct Maker {
    /// How JSON is read.
    pub mapping: Mapping,
    /// What is made.
    pub kind: MessageDescriptor,
    /// What the body gives.
    pub body: BodyField,
    /// The type of the body.
    pub media_type: String,
    /// The query.
    pub query: Option<String>,
    /// The fields that the path gives.
    pub captured: Vec<(String, String)>,
}

impl Maker {
    /// A message in protobuf's binary form.
    ///
    /// # Errors
    /// [`Error::UntranslatableRequest`] where it is none.
    pub fn make(&self, body: &[u8]) -> Result<Vec<u8>, Error> {
        let message = self.mapping.from_body(&self.kind, &self.body, &self.media_type, body);
        let mut message = message.map_err(untranslatable)?;
        self.set_others(&mut message)?;
        Ok(message.encode_to_vec())
    }

    /// Whether path and query can be set at all, whatever the body says.
    ///
    /// # Errors
    /// As [`Maker::make`].
    pub fn check(&self) -> Result<(), Error> {
        self.set_others(&mut DynamicMessage::new(self.kind.clone()))
    }

    /// Sets what query and path give.
    fn set_others(&self, message: &mut DynamicMessage) -> Result<(), Error> {
        let bound = |field: &str| {
            let begins =
                |with: &str| field == with || field.strip_prefix(with).is_some_and(|rest| rest.starts_with('.'));
            match &self.body {
                BodyField::Whole => true,
                BodyField::Field(name) => begins(name) || self.captured.iter().any(|(known, _)| known == field),
                BodyField::None => self.captured.iter().any(|(known, _)| known == field),
            }
        };
        if let Some(query) = &self.query {
            self.mapping.set_query(message, query, bound).map_err(untranslatable)?;
        }
        for (name, text) in &self.captured {
            let fields = message::path(&self.kind, name)
                .ok_or_else(|| untranslatable(format!("`{name}`: there is no such field")))?;
            message::set(message, &fields, std::slice::from_ref(text))
                .map_err(|why| untranslatable(format!("`{name}` in the path: {why}")))?;
        }
        Ok(())
    }
}

/// Reads the messages of a body, however it comes. Keeps no more than one that is not whole.
#[derive(Debug)]
pub struct Messages {
    form: Form,
    most: usize,
}

#[derive(Debug)]
enum Form {
    /// JSON values, each of which makes a message.
    Values(Values, Box<Maker>),
    /// Bytes of a type of their own: a message for each piece, however it comes. Only the first says which type.
    Raw { maker: Box<Maker>, begun: bool },
    /// Frames, whose messages are encoded so.
    Frames(Frames, Encoding, Mapping, MessageDescriptor),
    /// The same in Base64, and what of it is no whole group yet.
    Text(Vec<u8>, Frames),
}

impl Messages {
    /// What a JSON client sends. No message may be longer than `most`.
    pub fn of_json(maker: Maker, most: usize) -> Self {
        let form = if message::is_raw(&maker.kind, &maker.body) {
            Form::Raw { maker: Box::new(maker), begun: false }
        } else {
            // Where a message is itself written as an array, an array is one message.
            let opens = !message::may_be_array(&maker.kind, &maker.body);
            Form::Values(Values::new(most, opens), Box::new(maker))
        };
        Self { form, most }
    }

    /// What a client of a protocol with frames sends.
    pub fn of_frames(protocol: Protocol, mapping: Mapping, kind: MessageDescriptor, most: usize) -> Self {
        let frames = Frames::new(most);
        let form = match protocol {
            Protocol::GrpcWebText => Form::Text(Vec::new(), frames),
            Protocol::Json | Protocol::Connect(_) | Protocol::ConnectStream(_) | Protocol::GrpcWeb | Protocol::Grpc => {
                Form::Frames(frames, protocol.encoding(), mapping, kind)
            }
        };
        Self { form, most }
    }

    /// The messages that are whole now, in protobuf's binary form. One that comes so is the upstream's to judge.
    ///
    /// # Errors
    /// What the client is told where they are none.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
        let most = self.most;
        match &mut self.form {
            Form::Values(values, maker) => {
                let values = values.push(bytes).map_err(|bad| misplaced(bad, most))?;
                values.iter().map(|value| maker.make(value)).collect()
            }
            Form::Raw { maker, begun } => bytes.chunks(most.max(1)).map(|piece| raw(maker, begun, piece)).collect(),
            Form::Frames(frames, encoding, mapping, kind) => {
                let frames = frames.push(bytes).map_err(|wrong| malformed(wrong, most))?;
                frames.into_iter().map(|frame| encoded(plain(frame)?, *encoding, *mapping, kind)).collect()
            }
            Form::Text(rest, frames) => {
                rest.extend(bytes.iter().filter(|byte| !byte.is_ascii_whitespace()));
                let groups = rest.len() / 4 * 4;
                let bytes = frame::from_text(&rest[..groups]).map_err(|wrong| malformed(wrong, most))?;
                rest.drain(..groups);
                let frames = frames.push(&bytes).map_err(|wrong| malformed(wrong, most))?;
                frames.into_iter().map(plain).collect()
            }
        }
    }

    /// The last message, where one has no end of its own.
    ///
    /// # Errors
    /// As [`Messages::push`], and where the body ends too early.
    pub fn finish(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let most = self.most;
        match &mut self.form {
            Form::Values(values, maker) => {
                let value = values.finish().map_err(|bad| misplaced(bad, most))?;
                value.map(|value| maker.make(&value)).transpose()
            }
            Form::Raw { maker, begun } if !*begun => raw(maker, begun, &[]).map(Some),
            Form::Raw { .. } => Ok(None),
            Form::Frames(frames, ..) => frames.finish().map(|()| None).map_err(|wrong| malformed(wrong, most)),
            Form::Text(rest, _) if !rest.is_empty() => Err(malformed(Wrong::Base64, most)),
            Form::Text(_, frames) => frames.finish().map(|()| None).map_err(|wrong| malformed(wrong, most)),
        }
    }

    /// The messages of a whole body.
    ///
    /// # Errors
    /// As [`Messages::push`] and [`Messages::finish`].
    pub fn whole(&mut self, body: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
        let mut messages = self.push(body)?;
        messages.extend(self.finish()?);
        Ok(messages)
    }
}

/// A message of the client in protobuf's binary form.
///
/// # Errors
/// As [`Messages::push`].
pub fn encoded(
    message: Vec<u8>,
    encoding: Encoding,
    mapping: Mapping,
    kind: &MessageDescriptor,
) -> Result<Vec<u8>, Error> {
    match encoding {
        Encoding::Proto => Ok(message),
        Encoding::Json => {
            let message = mapping.from_json(kind, &message).map_err(untranslatable)?;
            Ok(message.encode_to_vec())
        }
    }
}

fn raw(maker: &mut Maker, begun: &mut bool, piece: &[u8]) -> Result<Vec<u8>, Error> {
    let message = maker.make(piece);
    if !std::mem::replace(begun, true) {
        maker.media_type.clear();
    }
    message
}

/// What is inside a frame of a request.
fn plain(frame: Frame) -> Result<Vec<u8>, Error> {
    match frame.flags {
        0 => Ok(frame.data),
        flags if flags & COMPRESSED != 0 => Err(Error::UnsupportedContentCoding),
        flags => Err(untranslatable(format!("there is a frame with the flags {flags:#04x}"))),
    }
}

fn malformed(wrong: Wrong, most: usize) -> Error {
    match wrong {
        Wrong::TooLarge { .. } => Error::BodyTooLarge { limit: most as u64 },
        Wrong::Truncated => untranslatable("the body ends in the middle of a message".to_owned()),
        Wrong::Base64 => untranslatable("the body is not Base64".to_owned()),
    }
}

fn misplaced(bad: Bad, most: usize) -> Error {
    match bad {
        Bad::TooLarge => Error::BodyTooLarge { limit: most as u64 },
        Bad::Syntax(why) => untranslatable(why.to_owned()),
    }
}

pub(super) fn untranslatable(reason: String) -> Error {
    Error::UntranslatableRequest { reason }
}

/// A request of many messages on its way: whoever sends it keeps no more than one of them.
#[derive(Debug)]
pub struct Upload {
    messages: Messages,
    refusal: Refusal,
}

/// Why an [`Upload`] was broken off, once it was.
#[derive(Debug, Clone, Default)]
pub struct Refusal(Rc<RefCell<Option<Error>>>);

impl Refusal {
    /// What the client is told, if there is anything to tell.
    pub fn take(&self) -> Option<Error> {
        self.0.take()
    }

    fn keep(&self, error: Error) -> Broken {
        let why = match &error {
            Error::UntranslatableRequest { reason } => reason.clone(),
            Error::BodyTooLarge { limit } => format!("a message has more than {limit} bytes"),
            Error::UnsupportedContentCoding => "a message is compressed".to_owned(),
            _ => "it is no stream of messages".to_owned(),
        };
        self.0.replace(Some(error));
        Broken(why)
    }
}

impl Upload {
    /// One of these messages, and where it says why it was broken off.
    pub fn new(messages: Messages) -> (Self, Refusal) {
        let refusal = Refusal::default();
        (Self { messages, refusal: refusal.clone() }, refusal)
    }
}

impl Transform for Upload {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        let messages = self.messages.push(bytes).map_err(|error| self.refusal.keep(error))?;
        messages.iter().for_each(|message| frame::write(0, message, out));
        Ok(())
    }

    fn finish(&mut self, _: Headers, out: &mut Vec<u8>) -> Result<Headers, Broken> {
        let message = self.messages.finish().map_err(|error| self.refusal.keep(error))?;
        message.iter().for_each(|message| frame::write(0, message, out));
        // What stands behind a request is nobody's metadata.
        Ok(Headers::new())
    }
}
