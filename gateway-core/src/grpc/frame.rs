//! Length-prefixed messages, as gRPC, gRPC-Web and Connect send them: one byte of flags, four of length, the message.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The message is compressed.
pub const COMPRESSED: u8 = 1;
/// gRPC-Web: what is inside are the trailers.
pub const TRAILERS: u8 = 0x80;
/// Connect: what is inside is the end of the stream.
pub const END_STREAM: u8 = 2;

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The flags.
    pub flags: u8,
    /// The message.
    pub data: Vec<u8>,
}

/// What is wrong with frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// A message has more bytes than are taken.
    TooLarge {
        /// How many it says that it has.
        length: usize,
    },
    /// They end in the middle of one.
    Truncated,
    /// What should be Base64 is not.
    Base64,
}

/// Cuts a body into frames, however it comes. Keeps no more than one that is not whole.
#[derive(Debug)]
pub struct Frames {
    most: usize,
    begun: Vec<u8>,
}

impl Frames {
    /// Frames of at most so many bytes each.
    pub fn new(most: usize) -> Self {
        Self { most, begun: Vec::new() }
    }

    /// The frames that are whole now.
    ///
    /// # Errors
    /// As soon as one is known to be too long; what comes behind it is not looked at.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Frame>, Wrong> {
        self.begun.extend_from_slice(bytes);
        let mut frames = Vec::new();
        let mut rest = self.begun.as_slice();
        while let Some((&[flags, a, b, c, d], behind)) = rest.split_first_chunk::<HEADER>() {
            let length = u32::from_be_bytes([a, b, c, d]) as usize;
            if length > self.most {
                return Err(Wrong::TooLarge { length });
            }
            let Some((data, behind)) = behind.split_at_checked(length) else { break };
            frames.push(Frame { flags, data: data.to_vec() });
            rest = behind;
        }
        let used = self.begun.len() - rest.len();
        self.begun.drain(..used);
        Ok(frames)
    }

    /// Whether the body may end here.
    ///
    /// # Errors
    /// In the middle of a frame.
    pub fn finish(&self) -> Result<(), Wrong> {
        if self.begun.is_empty() { Ok(()) } else { Err(Wrong::Truncated) }
    }

    /// The frames of a whole body.
    ///
    /// # Errors
    /// Where one is too long or not whole.
    pub fn of(body: &[u8], most: usize) -> Result<Vec<Frame>, Wrong> {
        let mut frames = Self::new(most);
        let all = frames.push(body)?;
        frames.finish()?;
        Ok(all)
    }
}

/// How many bytes stand before a message.
pub const HEADER: usize = 5;

/// Writes a frame.
pub fn write(flags: u8, data: &[u8], out: &mut Vec<u8>) {
    // Nothing of 4 GiB fits into the memory of the gateway.
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    out.reserve(HEADER + data.len());
    out.push(flags);
    out.extend(length.to_be_bytes());
    out.extend_from_slice(data);
}

/// Decodes the body of `application/grpc-web-text`: pieces of Base64, each of which may end in padding.
///
/// # Errors
/// Where it is none.
pub fn from_text(text: &[u8]) -> Result<Vec<u8>, Wrong> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let text: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let mut rest = text.as_slice();
    while !rest.is_empty() {
        // To the end of the next padding, which ends at a multiple of four.
        let end = rest.iter().position(|&byte| byte == b'=').map_or(rest.len(), |at| (at / 4 + 1) * 4);
        let (piece, behind) = rest.split_at_checked(end).ok_or(Wrong::Base64)?;
        STANDARD.decode_vec(piece, &mut out).map_err(|_| Wrong::Base64)?;
        rest = behind;
    }
    Ok(out)
}

/// Encodes a piece of such a body.
pub fn to_text(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend(STANDARD.encode(bytes).into_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_frame_that_is_too_long_is_refused_before_it_has_come() {
        let mut frames = Frames::new(4);
        assert_eq!(frames.push(&[0, 0, 0, 0, 5]), Err(Wrong::TooLarge { length: 5 }));
        assert_eq!(Frames::of(&[0, 0xFF, 0xFF, 0xFF, 0xFF], usize::MAX), Err(Wrong::Truncated));
        for cut in 1..7 {
            assert_eq!(Frames::of(&[1, 0, 0, 0, 2, b'a', b'b'][..cut], 9), Err(Wrong::Truncated), "{cut}");
        }
    }

    #[test]
    fn text_may_be_padded_anywhere() {
        for (text, bytes) in [("AAAAAAE=AAAA", Ok(vec![0, 0, 0, 0, 1, 0, 0, 0])), ("AA==AA==", Ok(vec![0, 0]))] {
            assert_eq!(from_text(text.as_bytes()), bytes, "{text}");
        }
        for text in ["A", "AAAA=", "A=AA", "AA=", "!!!!", "AA=A"] {
            assert_eq!(from_text(text.as_bytes()), Err(Wrong::Base64), "{text}");
        }
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in(
            messages in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..40)), 0..8),
            sizes in prop::collection::vec(1_usize..20, 1..40),
        ) {
            let mut body = Vec::new();
            messages.iter().for_each(|(flags, data)| write(*flags, data, &mut body));
            let mut frames = Frames::new(64);
            let mut seen = Vec::new();
            let (mut rest, mut sizes) = (body.as_slice(), sizes.iter().cycle());
            while !rest.is_empty() {
                let (piece, behind) = rest.split_at(rest.len().min(*sizes.next().unwrap_or(&1)));
                seen.extend(frames.push(piece).expect("frames").into_iter().map(|frame| (frame.flags, frame.data)));
                rest = behind;
            }
            prop_assert_eq!(frames.finish(), Ok(()));
            prop_assert_eq!(seen, messages);
            let mut text = Vec::new();
            to_text(&body, &mut text);
            prop_assert_eq!(from_text(&text), Ok(body));
        }

        #[test]
        fn whatever_comes_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = Frames::of(&bytes, 16);
            let _ = from_text(&bytes);
        }
    }
}
