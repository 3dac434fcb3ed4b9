//! What an instance has of other versions: those that serve, what it counts for the owner, and when it looks again.
//!
//! Nothing here is waited for by a request, save by the first one of an instance, which does not serve what is bundled while
//! another version is in service: it waits for what the owner says, and not for long.

use super::judge::{Pair, Tally};
use super::standing::{Act, Order, Refused, Seen, Standing, Trial, Verdict};
use super::{Arm, Rules, arm, caller, identify};
use crate::admin::Admin;
use crate::certificate::CertificateSource;
use crate::client::Cidr;
use crate::gateway::{Gateway, Note};
use crate::http::Incoming;
use crate::platform::{Platform, StoreError, Timestamp};
use crate::template::Settings;
use bytes::Bytes;
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

/// What an instance has of other versions than the bundled one.
pub struct Rollout {
    /// Those of the bundled configuration.
    pub rules: Rules,
    /// What the bundled configuration is called.
    pub base: String,
    /// The bundled configuration's admin interface, which answers beside those of all versions.
    pub(crate) admin: Option<Rc<Admin>>,
    trusted: Vec<Cidr>,
    /// What only a deployment changes: the adapters ask the bundled configuration.
    fixed: Fixed,
    serving: RefCell<Serving>,
    /// What was counted since the last look, of the share of this number.
    counted: Cell<(u64, Pair)>,
    looks_at: Cell<Timestamp>,
    /// Until when somebody is about to look.
    waits_until: Cell<Timestamp>,
    begun: Cell<Begun>,
    /// The version that could not be loaded, and the generation in which it should have been: it is tried once.
    refused: RefCell<Option<(Refused, u64)>>,
    /// Whether the log knows that the owner does not answer.
    is_lost: Cell<bool>,
}

/// Who serves.
#[derive(Default)]
struct Serving {
    stable: Option<Rc<Version>>,
    trial: Option<(Rc<Version>, Trial)>,
}

/// A version that is loaded.
struct Version {
    id: String,
    gateway: Rc<Gateway>,
}

/// Who serves a request.
pub struct Choice {
    /// The version that does; `None`: the bundled configuration.
    pub gateway: Option<Rc<Gateway>>,
    /// Where a version is on trial: which of the two it is, and the number of its share.
    arm: Option<(Arm, u64)>,
}

#[derive(Debug, PartialEq, Eq)]
struct Fixed {
    redis: Option<String>,
    certificates: CertificateSource,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begun {
    No,
    /// Somebody asks since then.
    Asking(Timestamp),
    Yes,
}

/// How long the first request of an instance waits for the owner, in milliseconds.
pub const PATIENCE: u64 = 1_000;

/// How long a request whose answer has been sent waits for the next look at most, in milliseconds: platforms give it half a minute.
const LONGEST_WAIT: u64 = 20_000;

/// How much later than planned somebody who looks may be before another one does it.
const GRACE: u64 = 10_000;

impl Rollout {
    /// Of a bundled configuration with these rules.
    pub fn new(rules: Rules, artefact: &Bytes, bundled: &Gateway) -> Self {
        Self {
            rules,
            base: identify(artefact),
            admin: bundled.admin.clone(),
            trusted: bundled.globals().trusted_proxies.clone(),
            fixed: Fixed::of(bundled),
            serving: RefCell::default(),
            counted: Cell::default(),
            looks_at: Cell::new(0),
            waits_until: Cell::new(0),
            begun: Cell::new(Begun::No),
            refused: RefCell::default(),
            is_lost: Cell::new(false),
        }
    }

    /// Has the first request of an instance hear how things stand.
    pub async fn catch_up<P: Platform>(self: &Rc<Self>, platform: &P) -> Vec<Note> {
        loop {
            let now = platform.now();
            match self.begun.get() {
                Begun::Yes => return Vec::new(),
                // A client that goes away may have taken whoever asked with it.
                Begun::Asking(since) if now < since.saturating_add(PATIENCE) => {
                    platform.sleep(Duration::from_millis(5)).await;
                }
                Begun::No | Begun::Asking(_) => {
                    self.begun.set(Begun::Asking(now));
                    self.waits_until.set(now.saturating_add(PATIENCE));
                    let (mut look, mut timer) =
                        (pin!(self.look(platform)), pin!(platform.sleep(Duration::from_millis(PATIENCE))));
                    let notes = poll_fn(|context| {
                        if let Poll::Ready(notes) = look.as_mut().poll(context) {
                            return Poll::Ready(Some(notes));
                        }
                        timer.as_mut().poll(context).map(|()| None)
                    })
                    .await;
                    self.begun.set(Begun::Yes);
                    self.waits_until.set(0);
                    return notes.unwrap_or_else(|| {
                        self.look_soon();
                        self.lost(platform, "the owner of the versions does not answer in time").into_iter().collect()
                    });
                }
            }
        }
    }

    /// Which version serves a request.
    pub fn choose<S>(&self, incoming: &Incoming<S>) -> Choice {
        let serving = self.serving.borrow();
        let stable = || serving.stable.as_ref().map(|version| Rc::clone(&version.gateway));
        let Some((version, trial)) = &serving.trial else { return Choice { gateway: stable(), arm: None } };
        let caller = caller(incoming, &self.rules.identity, &self.trusted);
        let arm = arm(&version.id, caller, trial.percent);
        let gateway = match arm {
            Arm::Old => stable(),
            Arm::New => Some(Rc::clone(&version.gateway)),
        };
        Choice { gateway, arm: Some((arm, trial.number)) }
    }

    /// It has been answered with this status. Gives for how many milliseconds to wait before looking, where somebody has to.
    pub fn answered(&self, choice: &Choice, status: u16, now: Timestamp) -> Option<u64> {
        if let Some((arm, number)) = choice.arm {
            let (of, mut pair) = self.counted.get();
            // What was counted of another share says nothing of this one.
            if of != number {
                pair = Pair::default();
            }
            let tally = match arm {
                Arm::Old => &mut pair.old,
                Arm::New => &mut pair.new,
            };
            *tally = tally.plus(Tally::of(status));
            self.counted.set((number, pair));
        }
        if now < self.waits_until.get() {
            return None;
        }
        let left = self.looks_at.get().saturating_sub(now);
        // What was counted must be told also when nobody comes any more.
        if left > 0 && choice.arm.is_none() {
            return None;
        }
        let wait = left.min(LONGEST_WAIT);
        self.waits_until.set(now.saturating_add(wait).saturating_add(GRACE));
        Some(wait)
    }

    /// Waits, and then looks: after an answer.
    pub async fn tend<P: Platform>(self: &Rc<Self>, platform: &P, wait: u64) -> Vec<Note> {
        if wait > 0 {
            platform.sleep(Duration::from_millis(wait)).await;
        }
        let notes = self.look(platform).await;
        self.waits_until.set(0);
        notes
    }

    /// Has this instance look after the next answer: somebody has changed something.
    pub fn look_soon(&self) {
        self.looks_at.set(0);
        self.waits_until.set(0);
    }

    /// Looks if it is time, for those who are woken up without a request.
    pub async fn look_if_due<P: Platform>(self: &Rc<Self>, platform: &P) -> Vec<Note> {
        if platform.now() < self.looks_at.get() {
            return Vec::new();
        }
        self.begun.set(Begun::Yes);
        self.look(platform).await
    }

    /// An order by the rules of this instance.
    pub fn order(&self, act: Act) -> Order {
        Order { rules: self.rules.clone(), base: self.base.clone(), act }
    }

    /// What this instance has of it all, for people.
    pub fn told(&self) -> Value {
        let serving = self.serving.borrow();
        let refused = self.refused.borrow();
        json!({
            "stable": serving.stable.as_ref().map(|version| &version.id),
            "trial": serving.trial.as_ref().map(|(version, trial)| json!({ "version": version.id, "percent": trial.percent })),
            "refused": refused.as_ref().map(|(refused, _)| json!({ "version": refused.version, "reason": refused.reason })),
            "next_look": self.looks_at.get(),
        })
    }

    /// Tells the owner what was counted, and follows what it says.
    async fn look<P: Platform>(self: &Rc<Self>, platform: &P) -> Vec<Note> {
        let (number, mut counted) = self.counted.take();
        let seen = (!counted.is_empty()).then_some(Seen { number, counted });
        let mut notes = Vec::new();
        let mut act = Act::Look { seen, refused: None };
        // A version that is refused is one more reason to look, and the one before it may be gone, too.
        for _ in 0..4 {
            self.looks_at.set(platform.now().saturating_add(self.rules.interval));
            let told = platform.roll_out(&self.order(act)).await;
            if told.is_ok() {
                // What comes after this has nothing to tell any more.
                counted = Pair::default();
            }
            match told {
                Ok(Verdict::Stands(standing)) => match self.follow(platform, standing, &mut notes).await {
                    Ok(None) => {
                        self.is_lost.set(false);
                        return notes;
                    }
                    Ok(Some(refused)) => act = Act::Look { seen: None, refused: Some(refused) },
                    Err(error) => {
                        notes.extend(self.lost(platform, &error.0));
                        return notes;
                    }
                },
                Ok(Verdict::Refused(refusal)) => {
                    notes.extend(self.lost(platform, refusal.as_str()));
                    return notes;
                }
                Err(error) => {
                    self.give_back(number, counted);
                    notes.extend(self.lost(platform, &error.0));
                    return notes;
                }
            }
        }
        notes
    }

    /// What could not be told is told the next time.
    fn give_back(&self, number: u64, counted: Pair) {
        let (of, since) = self.counted.get();
        if of == number {
            self.counted.set((number, since.plus(counted)));
        } else if since.is_empty() {
            self.counted.set((number, counted));
        }
    }

    /// Has those serve who should. Gives the version that cannot, where that is news.
    async fn follow<P: Platform>(
        self: &Rc<Self>,
        platform: &P,
        standing: Standing,
        notes: &mut Vec<Note>,
    ) -> Result<Option<Refused>, StoreError> {
        let generation = standing.generation;
        // What was pushed to another deployment is nothing for this one.
        let (stable, trial) = if standing.base == self.base { (standing.stable, standing.trial) } else { (None, None) };
        let stable = match &stable {
            None => None,
            Some(id) => match self.version(platform, id, generation, notes).await? {
                Ok(version) => Some(version),
                // The last good one stays.
                Err(news) => return Ok(news),
            },
        };
        let mut refused = None;
        let trial = match trial {
            None => None,
            Some(trial) => match self.version(platform, &trial.version, generation, notes).await? {
                Ok(version) => Some((version, trial)),
                Err(news) => {
                    refused = news;
                    None
                }
            },
        };
        let before = self.serving.replace(Serving { stable, trial });
        notes.extend(self.changes(platform, &before));
        Ok(refused)
    }

    /// A version, loaded if it is not yet. Where it cannot be: what to tell the owner, once.
    async fn version<P: Platform>(
        self: &Rc<Self>,
        platform: &P,
        id: &str,
        generation: u64,
        notes: &mut Vec<Note>,
    ) -> Result<Result<Rc<Version>, Option<Refused>>, StoreError> {
        {
            let Serving { stable, trial } = &*self.serving.borrow();
            let known = stable.iter().chain(trial.as_ref().map(|(version, _)| version)).find(|known| known.id == id);
            if let Some(known) = known {
                return Ok(Ok(Rc::clone(known)));
            }
            let is_known = |(refused, of): &(Refused, u64)| refused.version == id && *of == generation;
            if self.refused.borrow().as_ref().is_some_and(is_known) {
                return Ok(Err(None));
            }
        }
        let Some(artefact) = platform.artefact(id).await? else {
            return Err(StoreError(format!("the version {id} is not in the store")));
        };
        let reason = match self.load(platform, id, artefact).await? {
            Ok(gateway) => return Ok(Ok(Rc::new(Version { id: id.to_owned(), gateway: Rc::new(gateway) }))),
            Err(reason) => reason,
        };
        notes.push(note(platform, "version-refused", format!("the version {id} is not served: {reason}")));
        let refused = Refused { version: id.to_owned(), reason };
        self.refused.replace(Some((refused.clone(), generation)));
        Ok(Err(Some(refused)))
    }

    /// Loads a version as this instance would serve it; or says why it cannot be.
    pub async fn load<P: Platform>(
        self: &Rc<Self>,
        platform: &P,
        id: &str,
        artefact: Bytes,
    ) -> Result<Result<Gateway, String>, StoreError> {
        if identify(&artefact) != id {
            return Ok(Err("it is damaged: its SHA-256 is another one".to_owned()));
        }
        let references = match Gateway::references(&artefact) {
            Ok(references) => references,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let mut values = Settings::new();
        for reference in references {
            if let Some(value) = platform.setting(&reference).await? {
                values.insert(reference, value);
            }
        }
        Ok(match Gateway::load(artefact, |reference| values.remove(reference)) {
            Ok(gateway) => match self.fixed.lacks(&Fixed::of(&gateway)) {
                None => Ok(gateway.with_rollout(Rc::clone(self))),
                Some(what) => {
                    Err(format!("it has other {what} than the bundled configuration, which takes a deployment"))
                }
            },
            Err(error) => Err(error.to_string()),
        })
    }

    /// What the log should hear of what serves now and did not before.
    fn changes<P: Platform>(&self, platform: &P, before: &Serving) -> Vec<Note> {
        let now = self.serving.borrow();
        let mut notes = Vec::new();
        let id = |version: &Option<Rc<Version>>| version.as_ref().map(|version| version.id.clone());
        if id(&now.stable) != id(&before.stable) {
            let name = id(&now.stable).unwrap_or_else(|| format!("{}, the bundled one,", self.base));
            notes.push(note(platform, "version-active", format!("the version {name} serves from now on")));
        }
        let share = |trial: &Option<(Rc<Version>, Trial)>| {
            trial.as_ref().map(|(version, trial)| (version.id.clone(), trial.percent))
        };
        match (share(&before.trial), share(&now.trial)) {
            (before, now) if before == now => {}
            (_, Some((id, percent))) => {
                let detail = format!("the version {id} serves {percent} % of all callers from now on");
                notes.push(note(platform, "version-trial", detail));
            }
            (Some((tried, _)), None) if id(&now.stable).as_ref() != Some(&tried) => {
                let detail = format!("the version {tried} was taken back and serves nobody from now on");
                notes.push(note(platform, "version-taken-back", detail));
            }
            (_, None) => {}
        }
        notes
    }

    /// The log hears once that nobody knows how things stand; what serves goes on.
    fn lost<P: Platform>(&self, platform: &P, why: &str) -> Option<Note> {
        let detail = || format!("it cannot be seen which version is to serve, and what serves goes on: {why}");
        (!self.is_lost.replace(true)).then(|| note(platform, "versions-unavailable", detail()))
    }

    /// Whether the owner of the versions did not answer when it was asked last, so that nobody knows how things stand.
    pub fn is_lost(&self) -> bool {
        self.is_lost.get()
    }

    /// The gateways of all versions that serve.
    pub fn gateways(&self) -> Vec<Rc<Gateway>> {
        let serving = self.serving.borrow();
        let versions = serving.stable.iter().chain(serving.trial.as_ref().map(|(version, _)| version));
        versions.map(|version| Rc::clone(&version.gateway)).collect()
    }

    /// Whether a version other than the bundled one serves those who have no part in a trial.
    pub fn replaces_the_bundled(&self) -> bool {
        self.serving.borrow().stable.is_some()
    }
}

impl Fixed {
    fn of(gateway: &Gateway) -> Self {
        Self { redis: gateway.redis(), certificates: gateway.globals().certificates }
    }

    /// What a version needs that only a deployment brings.
    fn lacks(&self, version: &Self) -> Option<&'static str> {
        let platforms = |fixed: &Self| fixed.certificates == CertificateSource::Platform;
        if self.redis != version.redis {
            Some("`counters`")
        } else if platforms(version) && !platforms(self) {
            Some("sources of clients' certificates")
        } else {
            None
        }
    }
}

fn note<P: Platform>(platform: &P, problem: &'static str, detail: String) -> Note {
    Note { problem, status: 0, request_id: platform.request_id(), route: None, detail }
}
