//! The store of caches on Workers: the Cache API, and the object that keeps the marks of what was taken back.
//!
//! The Cache API has rules of its own for fields of HTTP, which are not those that the core has decided by. So what is stored is
//! a 200 under an address that nobody asks for, with the body, what the core has written of it in one field, and how long the
//! platform is to keep it.

use crate::http::Commands;
use crate::platform::Stream;
use bytes::Bytes;
use gateway_core::cache::entry::KEPT_LONGEST;
use gateway_core::cache::purge::Marks;
use gateway_core::http::Body;
use gateway_core::platform::{Item, Reach, StoreError};
use gateway_core::record;

/// What the glue was asked for.
#[derive(Debug)]
pub enum Ask {
    /// What is stored under a key.
    Recall,
    /// To store this body, which is in memory.
    Keep(Bytes),
    /// To do something that brings nothing.
    Done,
    /// The marks of what was taken back.
    Marks,
}

/// What the glue brought.
#[derive(Debug)]
pub enum Found {
    /// What was written of a body, and the body.
    Recalled(Result<Option<(Bytes, Body<Stream>)>, StoreError>),
    /// Nothing, as it should.
    Done(Result<(), StoreError>),
    /// The marks.
    Marks(Result<Marks, StoreError>),
}

/// The ticket of what is stored already.
pub const DONE: u32 = u32::MAX;

const RECALL: u32 = 50;
const KEEP: u32 = 51;
const KEPT: u32 = 52;
const FORGET: u32 = 53;

/// The client gets the body as well.
const SHARED: u32 = 1;
/// The body is in memory, and the core waits.
const WAITS: u32 = 2;
/// Others than this data centre are to find it.
const GLOBAL: u32 = 4;

impl Ask {
    /// Reads what it brought: 200 with bytes, 404, or the code of a failure with words for the log.
    pub fn read(&self, call: u32, status: u32, packed: &[u8]) -> Found {
        let failed = || StoreError(String::from_utf8_lossy(packed).into_owned());
        match self {
            Ask::Recall => Found::Recalled(match status {
                200 => Ok(Some((Bytes::copy_from_slice(packed), Body::Stream(Stream::Stored(call))))),
                404 => Ok(None),
                _ => Err(failed()),
            }),
            Ask::Keep(_) | Ask::Done => Found::Done(if status == 200 { Ok(()) } else { Err(failed()) }),
            Ask::Marks => Found::Marks(match status {
                200 => record::read(packed).map_err(|error| StoreError(format!("the marks are unreadable: {error}"))),
                _ => Err(failed()),
            }),
        }
    }

    /// The body that is to be stored.
    pub fn body(&self) -> Bytes {
        match self {
            Ask::Keep(bytes) => bytes.clone(),
            Ask::Recall | Ask::Done | Ask::Marks => Bytes::new(),
        }
    }
}

/// Writes that something is to be found. `50 call flags key`.
pub fn write_recall(out: &mut Commands, number: u32, key: &str, reach: Reach) {
    out.numbers.extend([RECALL, number, far(reach)]);
    out.text(&[key]);
}

/// Writes that something is to be stored. `51 call source seconds flags most key record`: the body is the one that the call `source - 1`
/// brought, up to `most` bytes; 0: the one in memory.
pub fn write_keep(out: &mut Commands, number: u32, item: &Item<'_>, body: Option<Stream>, shared: bool) {
    let source = match body {
        Some(Stream::Response(call) | Stream::Stored(call)) => call + 1,
        // Nobody stores what a client sends.
        Some(Stream::Request) | None => 0,
    };
    let waits = if body.is_none() { WAITS } else { 0 };
    let shared = if shared { SHARED } else { 0 };
    let seconds = u32::try_from(item.seconds.min(KEPT_LONGEST)).unwrap_or(u32::MAX);
    let most = u32::try_from(item.most).unwrap_or(u32::MAX);
    out.numbers.extend([KEEP, number, source, seconds, waits | shared | far(item.reach), most]);
    out.text(&[item.key]);
    out.text(&[item.record]);
}

/// Writes that what was begun is waited for. `52 call ticket`.
pub fn write_kept(out: &mut Commands, number: u32, ticket: u32) {
    out.numbers.extend([KEPT, number, ticket]);
}

/// Writes that something is to go. `53 call flags key`.
pub fn write_forget(out: &mut Commands, number: u32, key: &str, reach: Reach) {
    out.numbers.extend([FORGET, number, far(reach)]);
    out.text(&[key]);
}

fn far(reach: Reach) -> u32 {
    match reach {
        Reach::Location => 0,
        Reach::Global => GLOBAL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    #[wasm_bindgen_test(unsupported = test)]
    fn what_is_to_be_stored_is_said_in_numbers_and_text() {
        let mut out = Commands::default();
        let item = Item { key: "abc", record: "{}", seconds: 60, most: 100, reach: Reach::Location };
        let far = Item { reach: Reach::Global, ..item };
        write_keep(&mut out, 5, &item, Some(Stream::Response(2)), true);
        write_keep(&mut out, 6, &far, None, false);
        write_recall(&mut out, 7, "abc", Reach::Location);
        write_kept(&mut out, 8, 5);
        assert_eq!(out.text, "abc{}abc{}abc");
        #[rustfmt::skip]
        assert_eq!(out.numbers, [KEEP, 5, 3, 60, SHARED, 100, 3, 2, KEEP, 6, 0, 60, WAITS | GLOBAL, 100, 3, 2, RECALL, 7, 0, 3, KEPT, 8, 5]);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn what_comes_back_is_found_or_not() {
        let found = Ask::Recall.read(4, 200, b"{}");
        assert!(matches!(found, Found::Recalled(Ok(Some((_, Body::Stream(Stream::Stored(4))))))));
        assert!(matches!(Ask::Recall.read(4, 404, b""), Found::Recalled(Ok(None))));
        assert!(matches!(Ask::Recall.read(4, 1, b"why"), Found::Recalled(Err(_))));
        assert!(matches!(Ask::Done.read(4, 1, b"why"), Found::Done(Err(_))));
    }
}
