//! Bodies that are made while they are sent: the gateway goes on with its work, and the client reads what is ready.
//!
//! An [`Outflow`] has two ends. Whoever makes the body writes pieces into it ([`write()`]) and ends it ([`Platform::finish`]); the adapter
//! hands each piece to the client. A piece is written when it has been taken, so no more than one waits, however slow the client
//! is. The work itself leaves the gateway as a value, like all that is done when the head has been sent
//! ([`Deferred`](crate::policy::Deferred)): the core spawns nothing.

use crate::http::Headers;
use crate::platform::Platform;
use crate::pump::{Broken, Pump, Transform};
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// A body that is being made.
#[derive(Debug, Clone, Default)]
pub struct Outflow(Rc<Ends>);

#[derive(Debug, Default)]
struct Ends {
    /// What the pieces pass through.
    pump: RefCell<Option<Pump>>,
    /// The piece that has not been taken yet.
    piece: RefCell<Option<Bytes>>,
    /// Whether there will be no more, and if so, whether that is all of it.
    ended: Cell<Option<bool>>,
    /// Whether nobody wants any more.
    left: Cell<bool>,
    /// All pieces, where somebody gathers them.
    gathered: RefCell<Option<Gathered>>,
    giver: RefCell<Option<Waker>>,
    taker: RefCell<Option<Waker>>,
}

#[derive(Debug)]
struct Gathered {
    bytes: Vec<u8>,
    most: usize,
    overflown: bool,
}

/// Nobody wants any more of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left;

/// What became of a body that was gathered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whole {
    /// All of it.
    Bytes(Bytes),
    /// It was longer than what is gathered.
    TooLarge,
    /// It broke off, or was never ended.
    Broken,
}

impl Outflow {
    /// Puts one more change on the way of all pieces. Only before the first one.
    pub fn pumped(self, transform: impl Transform + 'static) -> Self {
        let pump = match self.0.pump.take() {
            Some(pump) => pump.then(transform),
            None => Pump::new(transform),
        };
        self.0.pump.replace(Some(pump));
        self
    }

    /// Gathers all of it in memory instead of handing it on: for those who need the whole. Up to so many bytes.
    pub fn gather(&self, most: usize) {
        self.0.gathered.replace(Some(Gathered { bytes: Vec::new(), most, overflown: false }));
    }

    /// What was gathered, once it has ended.
    pub fn gathered(&self) -> Whole {
        match self.0.gathered.take() {
            Some(Gathered { overflown: true, .. }) => Whole::TooLarge,
            Some(Gathered { bytes, .. }) if self.0.ended.get() == Some(true) => Whole::Bytes(bytes.into()),
            Some(_) | None => Whole::Broken,
        }
    }

    /// What was gathered, whether it has ended or not, and whether that is all of it: for tests, which see what a client would.
    pub fn gathered_so_far(&self) -> (Vec<u8>, bool) {
        let gathered = self.0.gathered.take().map(|gathered| gathered.bytes);
        (gathered.unwrap_or_default(), self.is_whole())
    }

    /// Whether somebody gathers it, so that no platform has to do with it.
    fn is_gathered(&self) -> bool {
        self.0.gathered.borrow().is_some()
    }

    fn add(&self, bytes: &[u8]) -> Result<(), Left> {
        let mut gathered = self.0.gathered.borrow_mut();
        let Some(all) = gathered.as_mut() else { return Ok(()) };
        if bytes.len() > all.most.saturating_sub(all.bytes.len()) {
            all.overflown = true;
            return Err(Left);
        }
        all.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// Gives a piece to whoever takes them ([`take`](Self::take)), and waits until it has been taken: for platforms whose two
    /// ends are in one place.
    ///
    /// # Errors
    /// When nobody wants any more.
    pub async fn give(&self, bytes: Bytes) -> Result<(), Left> {
        let mut bytes = Some(bytes);
        poll_fn(|context| {
            if self.0.left.get() {
                return Poll::Ready(Err(Left));
            }
            let mut piece = self.0.piece.borrow_mut();
            if piece.is_none() {
                match bytes.take() {
                    Some(bytes) => *piece = Some(bytes),
                    None => return Poll::Ready(Ok(())),
                }
                wake(&self.0.taker);
            }
            self.0.giver.replace(Some(context.waker().clone()));
            Poll::Pending
        })
        .await
    }

    /// The next piece. `None`: it has ended, see [`is_whole`](Self::is_whole).
    pub async fn take(&self) -> Option<Bytes> {
        poll_fn(|context| {
            if let Some(bytes) = self.0.piece.take() {
                wake(&self.0.giver);
                return Poll::Ready(Some(bytes));
            }
            if self.0.ended.get().is_some() {
                return Poll::Ready(None);
            }
            self.0.taker.replace(Some(context.waker().clone()));
            Poll::Pending
        })
        .await
    }

    /// Ends it: all of it has been given, or it breaks off.
    pub fn end(&self, whole: bool) {
        if self.0.ended.get().is_none() {
            self.0.ended.set(Some(whole));
        }
        wake(&self.0.taker);
    }

    /// Whether it has ended, with all that belongs to it.
    pub fn is_whole(&self) -> bool {
        self.0.ended.get() == Some(true)
    }

    /// Nobody wants any more of it.
    pub fn leave(&self) {
        self.0.left.set(true);
        self.0.piece.take();
        wake(&self.0.giver);
    }
}

fn wake(waker: &RefCell<Option<Waker>>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

/// Why a body is not made any further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stopped {
    /// Nobody wants any more of it.
    Left,
    /// Something on its way has broken it off.
    Broken(Broken),
}

/// Writes a piece, through what changes it on its way, and waits until there is room for another.
///
/// # Errors
/// When nobody wants any more of it, or it cannot be changed.
pub async fn write<P: Platform>(platform: &P, flow: &Outflow, bytes: Bytes) -> Result<(), Stopped> {
    let changed = match flow.0.pump.borrow_mut().as_mut() {
        Some(pump) => Bytes::from(pump.push(&bytes).map_err(Stopped::Broken)?),
        None => bytes,
    };
    hand_on(platform, flow, changed).await
}

/// Ends a body: with what its changes still hold, if it is whole.
///
/// # Errors
/// As [`write()`].
pub async fn finish<P: Platform>(platform: &P, flow: &Outflow, whole: bool) -> Result<(), Stopped> {
    let pump = flow.0.pump.take();
    if let (Some(mut pump), true) = (pump, whole) {
        // No platform sends fields behind a body of ours.
        let rest = pump.finish(Headers::new()).map(|(rest, _)| rest);
        let sent = match rest {
            Ok(rest) => hand_on(platform, flow, rest.into()).await,
            Err(broken) => Err(Stopped::Broken(broken)),
        };
        if sent.is_err() {
            end(platform, flow, false);
            return sent;
        }
    }
    end(platform, flow, whole);
    Ok(())
}

/// Breaks a body off.
pub fn break_off<P: Platform>(platform: &P, flow: &Outflow) {
    end(platform, flow, false);
}

async fn hand_on<P: Platform>(platform: &P, flow: &Outflow, bytes: Bytes) -> Result<(), Stopped> {
    if bytes.is_empty() {
        return Ok(());
    }
    if flow.is_gathered() {
        return flow.add(&bytes).map_err(|Left| Stopped::Left);
    }
    platform.write(flow, bytes).await.map_err(|Left| Stopped::Left)
}

fn end<P: Platform>(platform: &P, flow: &Outflow, whole: bool) {
    if flow.is_gathered() {
        flow.end(whole);
    } else {
        platform.finish(flow, whole);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::Context;

    /// Polls once, as whoever has nothing else to do.
    fn poll<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Poll<T> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_piece_is_given_when_it_has_been_taken() {
        let flow = Outflow::default();
        let mut first = pin!(flow.give("a".into()));
        assert!(poll(first.as_mut()).is_pending());
        let mut taken = pin!(flow.take());
        assert_eq!(poll(taken.as_mut()), Poll::Ready(Some("a".into())));
        assert_eq!(poll(first.as_mut()), Poll::Ready(Ok(())));
        let mut none = pin!(flow.take());
        assert!(poll(none.as_mut()).is_pending());
        flow.end(true);
        assert_eq!(poll(none.as_mut()), Poll::Ready(None));
        assert!(flow.is_whole());
    }

    #[test]
    fn nothing_is_given_to_somebody_who_has_left() {
        let flow = Outflow::default();
        let mut first = pin!(flow.give("a".into()));
        assert!(poll(first.as_mut()).is_pending());
        flow.leave();
        assert_eq!(poll(first.as_mut()), Poll::Ready(Err(Left)));
    }

    #[test]
    fn what_is_gathered_is_whole_only_when_it_has_ended() {
        let flow = Outflow::default();
        flow.gather(3);
        assert_eq!((flow.add(b"ab"), flow.is_gathered()), (Ok(()), true));
        assert_eq!(flow.gathered(), Whole::Broken);
        flow.gather(3);
        assert_eq!(flow.add(b"ab"), Ok(()));
        flow.end(true);
        assert_eq!(flow.gathered(), Whole::Bytes("ab".into()));
        flow.gather(3);
        assert_eq!(flow.add(b"abcd"), Err(Left));
        assert_eq!(flow.gathered(), Whole::TooLarge);
    }
}
