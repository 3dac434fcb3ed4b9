//! All that the core asks of the world.

use crate::claim::{self, Verdict};
use crate::http::{Body, Headers, Response, Scheme};
use crate::ledger::Ledger;
use crate::outflow::{Left, Outflow};
use crate::pump::Broken;
use crate::quota::{Decision, Order};
use crate::telemetry::watch::Watch;
#[allow(unused_imports, reason = "for the documentation")]
use crate::telemetry::watch::Watched;
use bytes::Bytes;
#[cfg(feature = "cache")]
use serde::{Deserialize, Serialize};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

/// The port: what an adapter provides. Bare `async fn`: no platform has to be `Send`, and no call is boxed.
///
/// Whoever stands between a platform and the core ([`Watched`]) has to hand on every question, so hardly any has an answer here:
/// one that is forgotten should not compile, rather than do nothing.
#[allow(async_fn_in_trait)] // The core is compiled for each platform; nobody needs the future's auto traits.
pub trait Platform {
    /// The platform's handle on a body that it moves by itself.
    type Stream;

    /// Milliseconds since the Unix epoch. May stand still while a request computes, as it does on Workers.
    fn now(&self) -> Timestamp;

    /// Sixty-four random bits, fit for identifiers and for keys.
    fn random(&self) -> u64;

    /// Sends one request and returns when the response's head is there.
    ///
    /// Must: follow no redirect; decode nothing; keep the received fields' bytes, order and repeated lines and apply only
    /// the recorded edits; give up after `call.timeout` with [`FetchError::Timeout`], ending the upstream exchange;
    /// end it as well when the client goes away; pass each chunk of a [`Body::Pumped`] through its pump, and fail with
    /// [`FetchError::BodyRefused`] when that breaks the body off. May leave out what the platform owns (`Host`, framing fields).
    async fn fetch(&self, call: Call<Self::Stream>) -> Result<Response<Self::Stream>, Failure>;

    /// Reads a whole body into memory: the request's own, or a response's. Only for those who must see it.
    ///
    /// Must: stop with [`ReadError::TooLarge`] as soon as more than `limit` bytes have come, and keep no more than that.
    async fn read(&self, body: Self::Stream, limit: usize) -> Result<Bytes, ReadError>;

    /// As [`read`](Self::read), with the fields behind the body where the platform shows them; else there are none.
    async fn read_to_end(&self, body: Self::Stream, limit: usize) -> Result<(Bytes, Headers), ReadError>;

    /// Whether the platform unpacks answers with this content coding by itself when their bodies are read, and packs what is
    /// sent under it again.
    fn decodes(&self, coding: &str) -> bool;

    /// From here on the request is gone through to its end, whatever becomes of its client: what it holds is given back on the way of
    /// its answer. Calls to upstreams may end with the client, as [`FetchError::ClientGone`].
    ///
    /// For platforms that end a request's code when its client goes away; others need do nothing.
    fn stay(&self) {}

    /// Whether a client is sent the fields that a [`Pump`](crate::pump::Pump) puts behind the body of a response.
    fn sends_trailers(&self) -> bool;

    /// Looks a value up in the platform's key-value store, under a key of ours (`consumer/…`). `None`: there is none.
    ///
    /// Costs a billable operation: callers remember what they found, absence included, for a bounded time.
    async fn lookup(&self, key: &str) -> Result<Option<Bytes>, StoreError>;

    /// Has the owner of a key's counters do what is ordered: by [`quota::perform`](crate::quota::perform), with its own clock.
    ///
    /// Must: do it in one step, so that no two orders see the same counters (or say in the documentation by how much that can
    /// be missed); keep the counters of [durable](crate::quota::Rule::is_durable) rules until they say nothing more; fail
    /// rather than wait for long. The key is `PLACE/HASH`: a data centre or `global`, and 32 hexadecimal digits.
    async fn take(&self, key: &str, order: &Order) -> Result<Decision, StoreError>;

    /// Whether the platform's own limiter of this name admits one more request under this key (32 hexadecimal digits). `None`: there
    /// is no limiter of that name.
    async fn admit(&self, limiter: &str, key: &str) -> Result<Option<bool>, StoreError>;

    /// What checks have found of an upstream's targets, as it was kept last ([`Platform::post`]), or as the platform's own checks
    /// have found it. `None`: nothing yet. The key is 16 hexadecimal digits.
    ///
    /// Costs a billable operation: an instance asks when it starts, and then after an answer, about once in an interval.
    async fn board(&self, key: &str) -> Result<Option<Bytes>, StoreError>;

    /// Keeps what an instance has found, where instances check: in the place of what was there, and for all of them to see.
    async fn post(&self, key: &str, board: &str) -> Result<(), StoreError>;

    /// Whether the platform has somebody who checks targets without being asked by a request, so that instances need not.
    fn checks_by_itself(&self) -> bool;

    /// Whether [`FetchError::Unreachable`] is ever told from [`FetchError::Reset`]: bodies are kept for that.
    fn tells_unreachable(&self) -> bool {
        true
    }

    /// Has the keeper of a claim do what is ordered: by [`claim::perform`], with its own clock.
    ///
    /// Must: do it in one step, or elect who may ([`claim::elected`]), so that nobody takes what another one holds; keep what
    /// there is to keep until it says nothing any more, and have it written down before answering; fail rather than wait for
    /// long; carry the request on to its end when the client goes away, as soon as a claim is its own. The key is 64
    /// hexadecimal digits.
    async fn claim(&self, key: &str, order: &claim::Order) -> Result<Verdict, StoreError>;

    /// Reads a response's body into memory if it is no longer than the limit; else gives it back, as if it had not been
    /// looked at.
    ///
    /// Must: keep no more than the limit and what has come with it. [`ReadError::TooLarge`] never.
    async fn peek(&self, body: Self::Stream, limit: usize) -> Result<Peeked<Self::Stream>, ReadError>;

    /// Makes a copy of a response's body while it passes: of up to so many bytes, and without holding it back. [`copied`] waits
    /// for it, also when the response has been sent.
    ///
    /// [`copied`]: Platform::copied
    fn copy(&self, body: Self::Stream, limit: usize) -> (Self::Stream, Copied);

    /// A copy, once all of the body has passed. [`ReadError::TooLarge`] as soon as it is longer than what is copied.
    async fn copied(&self, copy: Copied) -> Result<Bytes, ReadError>;

    /// What is stored under a key of a cache: what was written of it, and the body. `None`: nothing.
    ///
    /// May: give nothing of what was stored, at any time. Must: never give a part of it, or what was stored under another key.
    #[cfg(feature = "cache")]
    async fn recall(&self, key: &str, reach: Reach) -> Result<Option<(Bytes, Body<Self::Stream>)>, StoreError>;

    /// Whether [`Platform::recall`] may read the key-value store, which is billed by some.
    #[cfg(feature = "cache")]
    fn recalls_from_store(&self, reach: Reach) -> bool {
        let _ = reach;
        false
    }

    /// Begins to store a body. Gives it back where the client is to have it as well (`shared`), and a number for
    /// [`Platform::kept`]; `None`: it is not stored.
    ///
    /// Must: hand the client's part on as it comes, at most its last piece when it is stored; store nothing of a body that breaks off, or
    /// that is longer than `item.most` where the platform sees its bytes; replace what was there. May: store nothing.
    #[cfg(feature = "cache")]
    async fn keep(&self, item: &Item<'_>, body: Body<Self::Stream>, shared: bool) -> (Body<Self::Stream>, Option<u32>);

    /// Waits until what [`Platform::keep`] began is done; also after the answer, in [`Gateway::settle`](crate::Gateway::settle).
    #[cfg(feature = "cache")]
    async fn kept(&self, ticket: u32) -> Result<(), StoreError>;

    /// Takes away what is stored under a key: here, and where `reach` says so from where others find it, who may have taken it already.
    #[cfg(feature = "cache")]
    async fn forget(&self, key: &str, reach: Reach) -> Result<(), StoreError>;

    /// Has the owner of the marks under a key (see [`purge`](crate::cache::purge)) do what is ordered, in one step as
    /// [`Platform::take`] does, and gives all marks that then hold.
    #[cfg(feature = "cache")]
    async fn purges(
        &self,
        key: &str,
        change: &crate::cache::purge::Change,
    ) -> Result<crate::cache::purge::Marks, StoreError>;

    /// Hands a piece of a body that is made while it is sent ([`Body::Made`]) to whoever receives it, and returns when there is
    /// room for another one.
    ///
    /// Must: send it without waiting for more; keep no more than one piece; fail when nobody receives it any more, if that can be
    /// known. Only for a body that has been handed out in a reply.
    async fn write(&self, flow: &Outflow, bytes: Bytes) -> Result<(), Left>;

    /// Ends such a body: all of it was written, or else it breaks off, so that whoever receives it sees that it is not whole.
    fn finish(&self, flow: &Outflow, whole: bool);

    /// Has the owner of the configuration's versions do what is ordered: by [`perform`](crate::rollout::perform), with its own
    /// clock, in one step as [`Platform::take`] does; or by [`roll_out`](crate::rollout::elected::roll_out). Artefacts that are to be
    /// forgotten are gone when it returns, or soon after.
    #[cfg(feature = "rollout")]
    async fn roll_out(&self, order: &crate::rollout::Order) -> Result<crate::rollout::Verdict, StoreError>;

    /// The artefact of a version, as it was kept. `None`: there is none. The name is 16 hexadecimal digits.
    #[cfg(feature = "rollout")]
    async fn artefact(&self, version: &str) -> Result<Option<Bytes>, StoreError>;

    /// Keeps the artefact of a version, for all instances: up to [`LONGEST`](crate::rollout::endpoint::LONGEST) bytes.
    ///
    /// Must: have written down all of it when it returns.
    #[cfg(feature = "rollout")]
    async fn keep_artefact(&self, version: &str, artefact: Bytes) -> Result<(), StoreError>;

    /// The platform's value of a reference, as the bundled configuration gets it. `None`: there is none.
    #[cfg(feature = "rollout")]
    async fn setting(&self, reference: &crate::template::Reference) -> Result<Option<String>, StoreError>;

    /// Returns when so much time has passed, or a little later.
    async fn sleep(&self, duration: Duration);

    /// Adds to a ledger that all instances share, by [`Ledger::merge`], in one step. With nothing to add, gives what it is.
    ///
    /// Must: have written down what was added when it returns; merge additions in the same order for whoever reads.
    async fn collect(&self, ledger: Ledger, added: &[u8]) -> Result<Bytes, StoreError>;

    /// Hands a batch, a JSON array, to something that the platform calls by a name. It is small enough to be taken at once.
    ///
    /// Must: hand over all of it or, where it fails, nothing.
    async fn publish(&self, outlet: &Outlet, batch: &[u8]) -> Result<(), StoreError>;

    /// Writes a line of the access log for whoever reads what the gateway writes. Nobody waits for it.
    fn print(&self, line: &str);

    /// Where what happens to the request is written down. Adapters leave this as it is: [`Watched`] is what observes.
    fn watch(&self) -> Watch<'_> {
        Watch::nobody()
    }

    /// How many milliseconds are left of a time that the request has been given, where there is one. Adapters leave this as it is.
    fn left(&self) -> Option<u64> {
        None
    }

    /// What identifies the request: thirty-two hexadecimal digits. A new one each time, save where one request is handled
    /// ([`Watched`]), which has one.
    fn request_id(&self) -> String {
        format!("{:016x}{:016x}", self.random(), self.random())
    }

    /// Ends a response whose body nobody will read, so that its connection can be used for others. Platforms for which it is
    /// not enough to drop the body say how.
    fn discard(&self, body: Self::Stream) {
        drop(body);
    }
}

/// Something that takes batches and that the platform calls by a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outlet {
    /// A queue: each item is a message.
    Queue(String),
    /// A dataset: each item is a point.
    Dataset(String),
}

impl fmt::Display for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outlet::Queue(name) => write!(f, "queue `{name}`"),
            Outlet::Dataset(name) => write!(f, "dataset `{name}`"),
        }
    }
}

/// A body that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadError {
    /// It has more bytes than were wanted.
    TooLarge,
    /// It broke off, with the platform's words for the log.
    Broken(String),
}

/// What looking at a body has shown.
#[derive(Debug)]
pub enum Peeked<S> {
    /// All of it.
    Whole(Bytes),
    /// It is longer: here it is.
    Longer(S),
}

/// A copy that is being made. Platforms that make it themselves bring it here; others know it by a number.
#[derive(Debug, Clone, Default)]
pub struct Copied(Rc<Slot>);

#[derive(Debug, Default)]
struct Slot {
    number: Cell<u32>,
    brought: RefCell<Option<Result<Bytes, ReadError>>>,
    waits: RefCell<Option<Waker>>,
}

impl Copied {
    /// A copy that the platform knows by a number.
    pub fn of(number: u32) -> Self {
        let copied = Self::default();
        copied.0.number.set(number);
        copied
    }

    /// That number.
    pub fn number(&self) -> u32 {
        self.0.number.get()
    }

    /// Brings the copy.
    pub fn bring(&self, copy: Result<Bytes, ReadError>) {
        self.0.brought.replace(Some(copy));
        if let Some(waker) = self.0.waits.take() {
            waker.wake();
        }
    }

    /// Waits until it is brought.
    pub async fn brought(&self) -> Result<Bytes, ReadError> {
        poll_fn(|context| match &*self.0.brought.borrow() {
            Some(copy) => Poll::Ready(copy.clone()),
            None => {
                self.0.waits.replace(Some(context.waker().clone()));
                Poll::Pending
            }
        })
        .await
    }
}

/// A store that does not answer, or that this deployment does not have, with the platform's words for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreError(pub String);

/// Milliseconds since the Unix epoch.
pub type Timestamp = u64;

/// Something that is to be stored.
#[cfg(feature = "cache")]
#[derive(Debug, Clone, Copy)]
pub struct Item<'a> {
    /// The key: 64 hexadecimal digits.
    pub key: &'a str,
    /// What is written beside the body, in printable ASCII.
    pub record: &'a str,
    /// For how many seconds it can be of any use.
    pub seconds: u64,
    /// The most bytes of the body.
    pub most: u64,
    /// Who is to find it.
    pub reach: Reach,
}

/// Where something stored can be found. A platform whose store is one for all instances makes no difference.
#[cfg(feature = "cache")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reach {
    /// Where it was stored: in this data centre.
    #[serde(rename = "l")]
    Location,
    /// There, and after a while in all others.
    #[serde(rename = "g")]
    Global,
}

/// One request to an upstream's target.
#[derive(Debug)]
pub struct Call<S> {
    /// The method's token.
    pub method: String,
    /// `http` or `https`.
    pub scheme: Scheme,
    /// Host and port of the target.
    pub authority: String,
    /// The platform's own way to the target, by its name (on Workers a binding to another Worker, or one that shows a client
    /// certificate). A platform that has none of that name fails the call with [`FetchError::Forbidden`]; one that knows no such
    /// ways goes by the address alone.
    pub binding: Option<String>,
    /// Path and query, normalised; to be sent as they are.
    pub target: String,
    /// The `Host` to send where it is not the authority, on platforms that can.
    pub host: Option<String>,
    /// The client's fields as received, and the edits.
    pub headers: Headers,
    /// What to send.
    pub body: Body<S>,
    /// How many bytes of a streamed body may pass before the call fails with [`FetchError::BodyTooLarge`].
    pub body_limit: Option<u64>,
    /// How long the response's head may take.
    pub timeout: Duration,
    /// How long the bodies may take.
    pub patience: Patience,
    /// What of the response's head will be looked at.
    pub interest: Interest,
    /// Whether something is done when the response's body has ended, so that a platform for which that takes preparation can
    /// make it.
    pub watched: bool,
    /// Whether nothing else is tried for the request when this fails. A platform that ends, with a request, what that still has under
    /// way may leave it at that, where ending a call that is late costs something on every call.
    pub last: bool,
    /// Whether this asks for a WebSocket (RFC 9110 §7.8), and what may pass through it: the platform hands on `Upgrade` and the 101
    /// answer.
    pub upgrade: Option<Sockets>,
}

/// What may pass through a WebSocket; `None`: as much, or as rarely, as both sides like. A platform that has WebSockets ends one that
/// breaks a limit, for both sides: with 1009 for a message that is too long, with 1001 where none has come for too long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Sockets {
    /// How many bytes a message may have, in either direction.
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    pub message: Option<u64>,
    /// How many milliseconds may pass without a message in either direction.
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<u64>,
}

impl Sockets {
    /// Whether nobody has to look at the messages.
    pub fn is_boundless(&self) -> bool {
        *self == Self::default()
    }
}

/// How long the bodies of a call may take; `None`: as long as they like, or as the platform lets them.
///
/// Where a response's body takes longer, the platform ends the upstream exchange, breaks the body off so that whoever receives
/// it sees that it is not whole, and writes a [`Note::broken`](crate::gateway::Note::broken). Where the request's stands still, the
/// call fails with [`FetchError::BodyStalled`]. Time in which the receiver takes nothing does not count as `idle`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Patience {
    /// Between two parts of a body.
    pub idle: Option<Duration>,
    /// The whole response, from its head on.
    pub whole: Option<Duration>,
}

impl Patience {
    /// Whether nothing is measured.
    pub fn is_endless(&self) -> bool {
        *self == Self::default()
    }

    /// What is said of a body that stood still for too long.
    pub fn stalled(idle: Duration) -> Broken {
        Broken(format!("no byte came for {} ms", idle.as_millis()))
    }

    /// What is said of a body that took too long.
    pub const LATE: &str = "the client's deadline was over";
}

/// What of a response's head will be looked at, so that a platform for which reading costs can leave the rest alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// Only what a gateway must not hand on: `Connection`, the fields that it names, and those of
    /// [`HOP_BY_HOP`](crate::request::HOP_BY_HOP) that the platform does not drop by itself. The platform may give just
    /// these, as [`Headers::partial`].
    HopByHop,
    /// Every field.
    Everything,
}

impl<S> Call<S> {
    /// The same call once more, where its body can be sent twice.
    pub fn replay(&self) -> Option<Self> {
        let body = self.body.replay()?;
        Some(Self {
            method: self.method.clone(),
            scheme: self.scheme,
            authority: self.authority.clone(),
            binding: self.binding.clone(),
            target: self.target.clone(),
            host: self.host.clone(),
            headers: self.headers.clone(),
            body,
            body_limit: self.body_limit,
            timeout: self.timeout,
            patience: self.patience,
            interest: self.interest,
            watched: self.watched,
            last: self.last,
            upgrade: self.upgrade,
        })
    }
}

/// A call that brought no response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What happened, as the core needs to know it.
    pub error: FetchError,
    /// The platform's own words, for the log only.
    pub detail: String,
}

/// What became of a call that brought no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchError {
    /// No connection: refused, unreachable, name not found, TLS failed. Nothing reached the upstream.
    Unreachable,
    /// The connection ended before the response's head, or what came was not HTTP. The upstream may have acted.
    Reset,
    /// Nothing came in time. The upstream may have acted.
    Timeout,
    /// The request's body grew over the call's limit.
    BodyTooLarge,
    /// The request's body could not be changed into what was to be sent: its [`Pump`](crate::pump::Pump) has broken it off.
    BodyRefused,
    /// The request's body stood still for longer than the call's patience.
    BodyStalled,
    /// The client's own body broke off, or the client went away.
    ClientGone,
    /// The platform refuses to make this call (a host that is not allowed, a limit of the platform).
    Forbidden,
    /// The gateway has nothing just now that it could show the target. Never the platform's word: nothing was sent.
    NoCredential,
}
