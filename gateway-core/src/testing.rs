//! The test platform: time that stands still until a test moves it, and upstreams that do as they are told.

#[cfg(feature = "cache")]
use crate::cache::purge::{Change, Marks};
use crate::claim;
use crate::gateway::{Gateway, Reply};
#[cfg(feature = "cache")]
use crate::http::Body;
use crate::http::{Headers, Incoming, Response};
use crate::ledger::Ledger;
use crate::outflow::{Left, Outflow};
use crate::platform::{Call, Copied, Failure, FetchError, Outlet, Peeked, Platform, ReadError, StoreError, Timestamp};
#[cfg(feature = "cache")]
use crate::platform::{Item, Reach};
use crate::quota::{self, Decision, Kept, Order};
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// How the versions of a configuration stand, and their artefacts.
#[cfg(feature = "rollout")]
pub type Versions = Rc<RefCell<(Option<crate::rollout::Standing>, HashMap<String, Bytes>)>>;

/// What answers for all upstreams.
pub type Upstream<'a> = Box<dyn FnMut(Call<Vec<u8>>) -> Result<Response<Vec<u8>>, Failure> + 'a>;

/// A platform whose upstreams are a function. A body's "stream" is its bytes.
///
/// It is one type, whatever the function: the whole gateway is compiled for each type of platform that there is.
pub struct TestPlatform<'a> {
    /// Now; a test moves it.
    pub clock: Rc<Cell<Timestamp>>,
    /// The key-value store; a test fills it.
    pub store: RefCell<HashMap<String, Bytes>>,
    /// Whether the store fails; a test says so.
    pub store_fails: Cell<bool>,
    /// How often the store was asked.
    pub lookups: Cell<usize>,
    /// The counters that are not the gateway's own.
    pub counters: Rc<RefCell<HashMap<String, Kept>>>,
    /// Whether nobody can count; a test says so.
    pub counting_fails: Cell<bool>,
    /// How many more requests the platform's own limiters admit, by their names; a test says so.
    pub limiters: RefCell<HashMap<String, usize>>,
    /// How often an owner of counters was asked.
    pub takes: Cell<usize>,
    /// Whether somebody else checks targets; a test says so, and does it.
    pub checks: Cell<bool>,
    /// What is claimed.
    pub claims: Rc<RefCell<HashMap<String, claim::Kept>>>,
    /// Whether nobody keeps claims; a test says so.
    pub claiming_fails: Cell<bool>,
    /// Whether what keeps claims does what it is asked, and nobody hears of it.
    pub claiming_is_lost: Cell<bool>,
    /// What caches have stored: what was written of it, the body, and until when.
    #[cfg(feature = "cache")]
    pub shelf: Rc<RefCell<Shelf>>,
    /// Whether nothing can be stored or found; a test says so.
    #[cfg(feature = "cache")]
    pub shelf_fails: Cell<bool>,
    /// The marks of what was taken back.
    #[cfg(feature = "cache")]
    pub marks: Rc<RefCell<Option<crate::cache::purge::Marks>>>,
    /// What the owner of the configuration's versions knows, and the artefacts.
    #[cfg(feature = "rollout")]
    pub versions: Versions,
    /// How often it was asked, or an artefact read.
    #[cfg(feature = "rollout")]
    pub looks: Cell<usize>,
    /// Whether that owner does not answer; a test says so.
    #[cfg(feature = "rollout")]
    pub versions_fail: Cell<bool>,
    /// The values of references; a test fills them in.
    #[cfg(feature = "rollout")]
    pub settings: RefCell<HashMap<String, String>>,
    /// How many bodies were let go unread.
    pub discarded: Cell<usize>,
    /// The ledgers that all instances share, by their names.
    pub ledgers: Rc<RefCell<HashMap<&'static str, Vec<u8>>>>,
    /// How often an owner of a ledger was asked.
    pub collects: Cell<usize>,
    /// Lines of the access log.
    pub printed: RefCell<Vec<String>>,
    /// What queues and datasets got.
    pub published: RefCell<Vec<(Outlet, Vec<u8>)>>,
    /// How many milliseconds each call takes; without it, none.
    pub delay: RefCell<Option<Delay>>,
    seed: Cell<u64>,
    upstream: RefCell<Upstream<'a>>,
}

/// What caches have stored, by key.
#[cfg(feature = "cache")]
pub type Shelf = HashMap<String, (Bytes, Vec<u8>, Timestamp)>;

/// How many milliseconds a call takes.
pub type Delay = Box<dyn Fn(&Call<Vec<u8>>) -> u64>;

impl<'a> TestPlatform<'a> {
    /// A platform at an arbitrary moment, whose upstreams answer as the function does.
    pub fn new(upstream: impl FnMut(Call<Vec<u8>>) -> Result<Response<Vec<u8>>, Failure> + 'a) -> Self {
        Self::with_clock(Rc::new(Cell::new(1_750_000_000_000)), upstream)
    }

    /// The same with a clock that the upstreams may move, too.
    pub fn with_clock(
        clock: Rc<Cell<Timestamp>>,
        upstream: impl FnMut(Call<Vec<u8>>) -> Result<Response<Vec<u8>>, Failure> + 'a,
    ) -> Self {
        Self {
            clock,
            store: RefCell::default(),
            store_fails: Cell::default(),
            lookups: Cell::default(),
            counters: Rc::default(),
            counting_fails: Cell::default(),
            limiters: RefCell::default(),
            takes: Cell::default(),
            checks: Cell::default(),
            claims: Rc::default(),
            claiming_fails: Cell::default(),
            claiming_is_lost: Cell::default(),
            #[cfg(feature = "cache")]
            shelf: Rc::default(),
            #[cfg(feature = "cache")]
            shelf_fails: Cell::default(),
            #[cfg(feature = "cache")]
            marks: Rc::default(),
            #[cfg(feature = "rollout")]
            versions: Rc::default(),
            #[cfg(feature = "rollout")]
            looks: Cell::default(),
            #[cfg(feature = "rollout")]
            versions_fail: Cell::default(),
            #[cfg(feature = "rollout")]
            settings: RefCell::default(),
            discarded: Cell::default(),
            ledgers: Rc::default(),
            collects: Cell::default(),
            printed: RefCell::default(),
            published: RefCell::default(),
            delay: RefCell::default(),
            seed: Cell::new(1),
            upstream: RefCell::new(Box::new(upstream)),
        }
    }

    /// The same with other random numbers.
    pub fn with_seed(self, seed: u64) -> Self {
        self.seed.set(seed);
        self
    }
}

impl Platform for TestPlatform<'_> {
    type Stream = Vec<u8>;

    fn now(&self) -> Timestamp {
        self.clock.get()
    }

    fn random(&self) -> u64 {
        // SplitMix64: the same numbers in every run.
        let seed = self.seed.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.seed.set(seed);
        let mut z = (seed ^ (seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    async fn fetch(&self, call: Call<Vec<u8>>) -> Result<Response<Vec<u8>>, Failure> {
        let delay = self.delay.borrow().as_ref().map(|delay| Duration::from_millis(delay(&call)));
        if let Some(delay) = delay {
            self.sleep(delay.min(call.timeout)).await;
            if delay >= call.timeout {
                return Err(Failure { error: FetchError::Timeout, detail: "it took too long".to_owned() });
            }
        }
        (self.upstream.borrow_mut())(call)
    }

    async fn read(&self, body: Vec<u8>, limit: usize) -> Result<Bytes, ReadError> {
        if body.len() > limit { Err(ReadError::TooLarge) } else { Ok(body.into()) }
    }

    async fn read_to_end(&self, body: Vec<u8>, limit: usize) -> Result<(Bytes, Headers), ReadError> {
        Ok((self.read(body, limit).await?, Headers::new()))
    }

    fn decodes(&self, _: &str) -> bool {
        false
    }

    async fn lookup(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        self.lookups.set(self.lookups.get() + 1);
        if self.store_fails.get() {
            return Err(StoreError("the store does not answer".to_owned()));
        }
        Ok(self.store.borrow().get(key).cloned())
    }

    async fn take(&self, key: &str, order: &Order) -> Result<Decision, StoreError> {
        self.takes.set(self.takes.get() + 1);
        if self.counting_fails.get() {
            return Err(StoreError("nobody counts".to_owned()));
        }
        let mut counters = self.counters.borrow_mut();
        let step = quota::perform(order, counters.remove(key), self.now());
        counters.insert(key.to_owned(), step.kept);
        Ok(step.decision)
    }

    async fn admit(&self, limiter: &str, _: &str) -> Result<Option<bool>, StoreError> {
        Ok(self.limiters.borrow_mut().get_mut(limiter).map(|left| {
            let admitted = *left > 0;
            *left = left.saturating_sub(1);
            admitted
        }))
    }

    async fn board(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        self.lookup(&format!("health/{key}")).await
    }

    async fn post(&self, key: &str, board: &str) -> Result<(), StoreError> {
        if self.store_fails.get() {
            return Err(StoreError("the store does not answer".to_owned()));
        }
        self.store.borrow_mut().insert(format!("health/{key}"), Bytes::from(board.to_owned()));
        Ok(())
    }

    fn sends_trailers(&self) -> bool {
        true
    }

    fn checks_by_itself(&self) -> bool {
        self.checks.get()
    }

    async fn claim(&self, key: &str, order: &claim::Order) -> Result<claim::Verdict, StoreError> {
        if self.claiming_fails.get() {
            return Err(StoreError("nobody keeps claims".to_owned()));
        }
        let mut claims = self.claims.borrow_mut();
        let step = claim::perform(order, claims.remove(key), self.now());
        if let Some(kept) = step.kept {
            claims.insert(key.to_owned(), kept);
        }
        if self.claiming_is_lost.get() {
            return Err(StoreError("whoever keeps claims does not answer".to_owned()));
        }
        Ok(step.verdict)
    }

    async fn peek(&self, body: Vec<u8>, limit: usize) -> Result<Peeked<Vec<u8>>, ReadError> {
        Ok(if body.len() > limit { Peeked::Longer(body) } else { Peeked::Whole(body.into()) })
    }

    fn copy(&self, body: Vec<u8>, limit: usize) -> (Vec<u8>, Copied) {
        let copied = Copied::default();
        copied.bring(if body.len() > limit { Err(ReadError::TooLarge) } else { Ok(body.clone().into()) });
        (body, copied)
    }

    async fn copied(&self, copy: Copied) -> Result<Bytes, ReadError> {
        copy.brought().await
    }

    #[cfg(feature = "cache")]
    async fn recall(&self, key: &str, _: Reach) -> Result<Option<(Bytes, Body<Vec<u8>>)>, StoreError> {
        if self.shelf_fails.get() {
            return Err(StoreError("nothing can be found".to_owned()));
        }
        let shelf = self.shelf.borrow();
        let found = shelf.get(key).filter(|(_, _, until)| self.now() < *until);
        Ok(found.map(|(record, body, _)| (record.clone(), Body::Stream(body.clone()))))
    }

    #[cfg(feature = "cache")]
    fn recalls_from_store(&self, reach: Reach) -> bool {
        reach == Reach::Global
    }

    #[cfg(feature = "cache")]
    async fn keep(&self, item: &Item<'_>, body: Body<Vec<u8>>, shared: bool) -> (Body<Vec<u8>>, Option<u32>) {
        let bytes = match &body {
            Body::Empty => Vec::new(),
            Body::Bytes(bytes) => bytes.to_vec(),
            Body::Stream(bytes) => bytes.clone(),
            Body::Pumped(..) | Body::Made(_) => return (body, None),
        };
        let ticket = !self.shelf_fails.get() && bytes.len() as u64 <= item.most;
        if ticket {
            let until = self.now() + item.seconds * 1_000;
            let stored = (Bytes::copy_from_slice(item.record.as_bytes()), bytes, until);
            self.shelf.borrow_mut().insert(item.key.to_owned(), stored);
        }
        (if shared { body } else { Body::Empty }, ticket.then_some(0))
    }

    #[cfg(feature = "cache")]
    async fn kept(&self, _: u32) -> Result<(), StoreError> {
        Ok(())
    }

    #[cfg(feature = "cache")]
    async fn forget(&self, key: &str, _: Reach) -> Result<(), StoreError> {
        self.shelf.borrow_mut().remove(key);
        Ok(())
    }

    #[cfg(feature = "cache")]
    async fn purges(&self, _: &str, change: &Change) -> Result<Marks, StoreError> {
        if self.counting_fails.get() {
            return Err(StoreError("nobody keeps marks".to_owned()));
        }
        let marks = crate::cache::purge::perform(self.marks.take(), change, self.now());
        *self.marks.borrow_mut() = Some(marks.clone());
        Ok(marks)
    }

    async fn write(&self, flow: &Outflow, bytes: Bytes) -> Result<(), Left> {
        flow.give(bytes).await
    }

    fn finish(&self, flow: &Outflow, whole: bool) {
        flow.end(whole);
    }

    #[cfg(feature = "rollout")]
    async fn roll_out(&self, order: &crate::rollout::Order) -> Result<crate::rollout::Verdict, StoreError> {
        self.looks.set(self.looks.get() + 1);
        if self.versions_fail.get() {
            return Err(StoreError("nobody knows the versions".to_owned()));
        }
        let (standing, artefacts) = &mut *self.versions.borrow_mut();
        let step = crate::rollout::perform(order, standing.take(), self.now());
        *standing = Some(step.kept);
        for version in step.forget {
            artefacts.remove(&version);
        }
        Ok(step.verdict)
    }

    #[cfg(feature = "rollout")]
    async fn artefact(&self, version: &str) -> Result<Option<Bytes>, StoreError> {
        self.looks.set(self.looks.get() + 1);
        if self.versions_fail.get() {
            return Err(StoreError("nobody knows the versions".to_owned()));
        }
        Ok(self.versions.borrow().1.get(version).cloned())
    }

    #[cfg(feature = "rollout")]
    async fn keep_artefact(&self, version: &str, artefact: Bytes) -> Result<(), StoreError> {
        if self.versions_fail.get() {
            return Err(StoreError("nobody keeps versions".to_owned()));
        }
        self.versions.borrow_mut().1.insert(version.to_owned(), artefact);
        Ok(())
    }

    #[cfg(feature = "rollout")]
    async fn setting(&self, reference: &crate::template::Reference) -> Result<Option<String>, StoreError> {
        Ok(self.settings.borrow().get(&reference.name).cloned())
    }

    async fn sleep(&self, duration: Duration) {
        let until = self.clock.get() + u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        poll_fn(|_| {
            if self.clock.get() >= until {
                return Poll::Ready(());
            }
            SLEEPING.with_borrow_mut(|sleeping| sleeping.push((until, self.clock.clone())));
            Poll::Pending
        })
        .await;
    }

    async fn collect(&self, ledger: Ledger, added: &[u8]) -> Result<Bytes, StoreError> {
        self.collects.set(self.collects.get() + 1);
        if self.counting_fails.get() {
            return Err(StoreError("nobody counts".to_owned()));
        }
        let mut ledgers = self.ledgers.borrow_mut();
        let kept = ledgers.entry(ledger.name()).or_default();
        if !added.is_empty() {
            *kept = ledger.merge(kept, added);
        }
        Ok(Bytes::copy_from_slice(kept))
    }

    async fn publish(&self, outlet: &Outlet, batch: &[u8]) -> Result<(), StoreError> {
        self.published.borrow_mut().push((outlet.clone(), batch.to_vec()));
        Ok(())
    }

    fn print(&self, line: &str) {
        self.printed.borrow_mut().push(line.to_owned());
    }

    fn discard(&self, _: Vec<u8>) {
        self.discarded.set(self.discarded.get() + 1);
    }
}

thread_local! {
    /// Until when those sleep who were asked last, and whose clock tells.
    static SLEEPING: RefCell<Vec<(Timestamp, Rc<Cell<Timestamp>>)>> = const { RefCell::new(Vec::new()) };
}

/// Runs a future that never waits for anything but the test platform. When all of it sleeps, time moves on to the moment
/// at which the first one wakes up.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        SLEEPING.take();
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        let sleeping = SLEEPING.take();
        if let Some((until, clock)) = sleeping.into_iter().min_by_key(|(until, _)| *until) {
            clock.set(until.max(clock.get()));
        }
    }
}

/// Answers a request, and does what is left to do: the reply, without that.
///
/// It is here also because the gateway is then compiled for this platform once, with the crate, and not with each program of tests.
pub fn whole(gateway: &Gateway, platform: &TestPlatform<'_>, incoming: Incoming<Vec<u8>>) -> Reply<Vec<u8>> {
    run(async {
        let mut reply = gateway.handle(platform, incoming).await;
        let notes = gateway.settle(platform, std::mem::take(&mut reply.deferred)).await;
        reply.notes.extend(notes);
        reply
    })
}
