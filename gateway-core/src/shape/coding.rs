//! Packed bodies: gzip (RFC 1952), and Brotli (RFC 7932) for reading. What comes in Brotli leaves in gzip: writing it would cost more
//! bytes of Wasm than all other formats together.

use super::rules::Wrong;
use bytes::Bytes;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use std::io::{Read, Write};

/// What was packed, as far as it is no longer than the limit: little that is sent may become much.
pub fn gunzip(bytes: &[u8], limit: u64) -> Result<Bytes, Wrong> {
    let mut plain = Vec::new();
    let mut decoder = MultiGzDecoder::new(bytes).take(limit.saturating_add(1));
    if decoder.read_to_end(&mut plain).is_err() {
        return Err(Wrong::Malformed("The body is not gzip.".to_owned()));
    }
    if plain.len() as u64 > limit { Err(Wrong::TooLarge) } else { Ok(plain.into()) }
}

/// The same of Brotli.
#[cfg(feature = "brotli")]
pub fn unbrotli(bytes: &[u8], limit: u64) -> Result<Bytes, Wrong> {
    let mut plain = Vec::new();
    let mut decoder = brotli_decompressor::Decompressor::new(bytes, 4_096).take(limit.saturating_add(1));
    if decoder.read_to_end(&mut plain).is_err() {
        return Err(Wrong::Malformed("The body is not Brotli.".to_owned()));
    }
    if plain.len() as u64 > limit { Err(Wrong::TooLarge) } else { Ok(plain.into()) }
}

/// Packs, quickly rather than tightly.
pub fn gzip(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 2), Compression::fast());
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.expect("memory takes whatever is written").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_packed_comes_out_within_the_limit() {
        let plain = vec![b'x'; 1_000_000];
        let packed = gzip(&plain);
        assert!(packed.len() < 10_000);
        assert_eq!(gunzip(&packed, 1_000_000).as_deref(), Ok(plain.as_slice()));
        assert_eq!(gunzip(&packed, 999_999), Err(Wrong::TooLarge));
        assert!(matches!(gunzip(&packed[..packed.len() / 2], 1_000_000), Err(Wrong::Malformed(_))));
        assert!(matches!(gunzip(b"{}", 10), Err(Wrong::Malformed(_))));
    }
}
