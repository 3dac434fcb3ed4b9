//! As much of WebSocket (RFC 6455) as an echo and its client need: whole text and binary messages, and close.

use crate::client::Connection;
use crate::origin::{Exchange, Received, Then};
use crate::wire::{Field, Reader};
use sha1::{Digest, Sha1};
use std::io::{self, Read};

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// 1 is text, 2 is binary, 8 is close.
    pub opcode: u8,
    /// What it says.
    pub payload: Vec<u8>,
}

/// The key of every handshake here; its accepted form is in the RFC.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// What the server must make of the key (RFC 6455 §4.2.2).
pub fn accept(key: &[u8]) -> String {
    let mut sha1 = Sha1::new();
    sha1.update(key);
    sha1.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    base64(&sha1.finalize())
}

/// The fields with which a client asks for WebSocket.
pub fn handshake() -> Vec<Field> {
    vec![
        Field::new("Connection", "Upgrade"),
        Field::new("Upgrade", "websocket"),
        Field::new("Sec-WebSocket-Version", "13"),
        Field::new("Sec-WebSocket-Key", KEY),
    ]
}

/// An origin's side: takes the handshake and sends every message back until the client closes.
pub fn echo(received: &Received, exchange: &mut Exchange<'_>) -> io::Result<Then> {
    let key = received.all("sec-websocket-key").next().unwrap_or_default();
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {}\r\n\r\n",
        accept(key)
    );
    exchange.write(head.as_bytes())?;
    loop {
        let message = read(exchange.reader())?;
        let frame = frame(&message, None);
        exchange.write(&frame)?;
        if message.opcode == 8 {
            return Ok(Then::Close);
        }
    }
}

/// Sends a client's message, masked as it must be.
pub fn send(connection: &mut Connection, message: &Message) -> io::Result<()> {
    connection.send(&frame(message, Some([0x37, 0xFA, 0x21, 0x3D])))
}

/// The next message, put together from its frames.
pub fn read<R: Read>(reader: &mut Reader<R>) -> io::Result<Message> {
    let mut whole: Option<Message> = None;
    loop {
        let head = reader.exactly(2)?;
        let length = match head[1] & 127 {
            126 => u64::from(u16::from_be_bytes(array(&reader.exactly(2)?))),
            127 => u64::from_be_bytes(array(&reader.exactly(8)?)),
            length => u64::from(length),
        };
        let mask = if head[1] & 128 != 0 { reader.exactly(4)? } else { vec![0; 4] };
        let mut payload = reader.exactly(usize::try_from(length).map_err(io::Error::other)?)?;
        payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
        let message = whole.get_or_insert(Message { opcode: head[0] & 15, payload: Vec::new() });
        message.payload.extend(payload);
        if head[0] & 128 != 0 {
            return Ok(message.clone());
        }
    }
}

fn frame(message: &Message, mask: Option<[u8; 4]>) -> Vec<u8> {
    let mut out = vec![128 | message.opcode];
    let masked = if mask.is_some() { 128 } else { 0 };
    match message.payload.len() {
        length @ 0..126 => out.push(masked | length as u8),
        length @ 126..=0xFFFF => {
            out.push(masked | 126);
            out.extend((length as u16).to_be_bytes());
        }
        length => {
            out.push(masked | 127);
            out.extend((length as u64).to_be_bytes());
        }
    }
    let mask = mask.inspect(|mask| out.extend(mask)).unwrap_or_default();
    out.extend(message.payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    out
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(bytes);
    array
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for part in bytes.chunks(3) {
        let word = part.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - part.len()));
        for at in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * at) & 63) as usize];
            out.push(if at <= part.len() { char::from(digit) } else { '=' });
        }
    }
    out
}
