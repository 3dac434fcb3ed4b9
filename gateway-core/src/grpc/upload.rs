//! A client's messages on their way to the upstream: read as the client writes them, written as the upstream reads them.

use super::dialect::{Encoding, Protocol};
use super::frame::{self, COMPRESSED, Frame, Frames, Wrong};
use super::message::{self, BodyField, Given, Mapping};
use super::values::{Bad, Values};
use crate::error::Error;
use crate::http::Headers;
use crate::pump::{Broken, Transform};
use prost::Message;
use prost_reflect::MessageDescriptor;
use std::cell::RefCell;
use std::rc::Rc;

/// Makes messages of what a JSON client writes: its body, or a part of it, and what path and query say beside.
#[derive(Debug)]
pub struct Maker {
    mapping: Mapping,
    kind: MessageDescriptor,
    body: BodyField,
    media_type: String,
    /// What path and query give to each.
    given: Vec<Given>,
}

impl Maker {
    /// Makes messages of a kind: of what the body gives, which is of a type, the query, and the fields that the path gives.
    ///
    /// # Errors
    /// [`Error::UntranslatableRequest`] where query or path cannot be set at all, whatever the body says.
    pub fn new(
        mapping: Mapping,
        kind: MessageDescriptor,
        body: BodyField,
        media_type: String,
        query: Option<&str>,
        captured: Vec<(&str, String)>,
    ) -> Result<Self, Error> {
        let bound = |field: &str| {
            let begins =
                |with: &str| field == with || field.strip_prefix(with).is_some_and(|rest| rest.starts_with('.'));
            match &body {
                BodyField::Whole => true,
                BodyField::Field(name) => begins(name) || captured.iter().any(|(known, _)| *known == field),
                BodyField::None => captured.iter().any(|(known, _)| *known == field),
            }
        };
        let mut given = match query {
            Some(query) => mapping.from_query(&kind, query, bound).map_err(untranslatable)?,
            None => Vec::new(),
        };
        for (name, text) in captured {
            let fields = message::path(&kind, name)
                .ok_or_else(|| untranslatable(format!("`{name}`: there is no such field")))?;
            let value = Given::of(fields, &[text]);
            given.push(value.map_err(|why| untranslatable(format!("`{name}` in the path: {why}")))?);
        }
        Ok(Self { mapping, kind, body, media_type, given })
    }

    /// A message in protobuf's binary form.
    ///
    /// # Errors
    /// [`Error::UntranslatableRequest`] where it is none.
    pub fn make(&self, body: &[u8]) -> Result<Vec<u8>, Error> {
        let message = self.mapping.from_body(&self.kind, &self.body, &self.media_type, body);
        let mut message = message.map_err(untranslatable)?;
        self.given.iter().try_for_each(|given| given.set(&mut message)).map_err(untranslatable)?;
        Ok(message.encode_to_vec())
    }
}

/// Reads the messages of a body, however it comes. Keeps no more than one that is not whole, and those that end within a few
/// kilobytes: of a body that comes in one piece all of them together would be many times its size.
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

    /// Hands on each message that is whole now, in protobuf's binary form. One that comes so is the upstream's to judge.
    ///
    /// # Errors
    /// What the client is told where they are none, and where `each` fails.
    pub fn push(&mut self, bytes: &[u8], each: &mut Each<'_>) -> Result<(), Error> {
        let piece = if matches!(self.form, Form::Raw { .. }) { self.most.max(1) } else { PIECE };
        bytes.chunks(piece).try_for_each(|piece| self.push_piece(piece, each))
    }

    fn push_piece(&mut self, bytes: &[u8], each: &mut Each<'_>) -> Result<(), Error> {
        let most = self.most;
        match &mut self.form {
            Form::Values(values, maker) => {
                let values = values.push(bytes).map_err(|bad| misplaced(bad, most))?;
                values.iter().try_for_each(|value| each(maker.make(value)?))
            }
            Form::Raw { maker, begun } => each(raw(maker, begun, bytes)?),
            Form::Frames(frames, encoding, mapping, kind) => {
                let frames = frames.push(bytes).map_err(|wrong| malformed(wrong, most))?;
                frames.into_iter().try_for_each(|frame| each(encoded(plain(frame)?, *encoding, *mapping, kind)?))
            }
            Form::Text(rest, frames) => {
                rest.extend(bytes.iter().filter(|byte| !byte.is_ascii_whitespace()));
                let groups = rest.len() / 4 * 4;
                let bytes = frame::from_text(&rest[..groups]).map_err(|wrong| malformed(wrong, most))?;
                rest.drain(..groups);
                let frames = frames.push(&bytes).map_err(|wrong| malformed(wrong, most))?;
                frames.into_iter().try_for_each(|frame| each(plain(frame)?))
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

    /// The only message of a whole body.
    ///
    /// # Errors
    /// As [`Messages::push`] and [`Messages::finish`], and where there is another number of them.
    pub fn only(&mut self, body: &[u8]) -> Result<Vec<u8>, Error> {
        let (mut first, mut count) = (None, 0_usize);
        self.push(body, &mut |message| {
            first.get_or_insert(message);
            count += 1;
            Ok(())
        })?;
        if let Some(message) = self.finish()? {
            first.get_or_insert(message);
            count += 1;
        }
        match first {
            Some(message) if count == 1 => Ok(message),
            _ => Err(untranslatable(format!("the method takes one message, and there are {count}"))),
        }
    }
}

/// Who gets each message.
pub type Each<'a> = dyn FnMut(Vec<u8>) -> Result<(), Error> + 'a;

/// So many bytes of a body are cut into messages at a time.
const PIECE: usize = 4 << 10;

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
            Error::BodyTooLarge { limit } => format!("a message, or what comes at once, has more than {limit} bytes"),
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

/// What comes at once may become so many times the longest message, as JSON may: a digit and a comma are a `double`.
const MADE: usize = 4;
/// And so many bytes more.
const ALWAYS_MADE: usize = 1 << 20;

impl Transform for Upload {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        // Two bytes of JSON may make a long message, since each has what path and query say.
        let most = self.messages.most.saturating_mul(MADE).saturating_add(ALWAYS_MADE);
        let write = &mut |message: Vec<u8>| {
            frame::write(0, &message, out);
            if out.len() > most { Err(Error::BodyTooLarge { limit: most as u64 }) } else { Ok(()) }
        };
        self.messages.push(bytes, write).map_err(|error| self.refusal.keep(error))
    }

    fn finish(&mut self, _: Headers, out: &mut Vec<u8>) -> Result<Headers, Broken> {
        let message = self.messages.finish().map_err(|error| self.refusal.keep(error))?;
        message.iter().for_each(|message| frame::write(0, message, out));
        // What stands behind a request is nobody's metadata.
        Ok(Headers::new())
    }
}
