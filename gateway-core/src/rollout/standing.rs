//! How things stand with the versions, and the one step in which that changes.

use super::judge::{Counted, Judgement, Pair, judge};
use super::{Rules, is_identifier};
use crate::platform::Timestamp;
use crate::record;
use serde::{Deserialize, Serialize};

/// How things stand, for all instances.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Grows with every change.
    pub generation: u64,
    /// The bundled configuration that the rest is about. A deployment with another one begins anew.
    pub base: String,
    /// The version in service; `None`: the bundled configuration.
    pub stable: Option<String>,
    /// The version on trial.
    pub trial: Option<Trial>,
    /// What was in service before, the latest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<Option<String>>,
    /// What is kept in the store, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<Kept>,
    /// What has happened, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Event>,
}

/// A version on trial.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// Which one.
    pub version: String,
    /// For how many of a hundred callers.
    pub percent: u8,
    /// Tells this share of this trial from all others.
    pub number: u64,
    /// Since when it has this share, in milliseconds since the Unix epoch.
    pub since: Timestamp,
    /// What instances have told.
    #[serde(default)]
    pub counted: Counted,
}

/// A version in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Which one.
    pub version: String,
    /// Its length in bytes.
    pub size: u64,
    /// When it came, in milliseconds since the Unix epoch.
    pub since: Timestamp,
    /// What whoever brought it says of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Why it was refused, or given up, the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

/// Something that has happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, in milliseconds since the Unix epoch.
    pub at: Timestamp,
    /// What.
    pub what: What,
    /// The version that it happened to; `None`: the bundled configuration.
    pub version: Option<String>,
    /// More of it, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// What can happen to a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// It was stored.
    Stored,
    /// It serves a share of all callers, or another one than before.
    Trial,
    /// It serves everybody.
    Active,
    /// An instance could not load it.
    Refused,
    /// It was given up: by itself, because it did harm, or by an operator.
    RolledBack,
    /// Another deployment has come, and serves what is bundled with it.
    Superseded,
}

impl What {
    /// As people read it.
    pub fn as_str(self) -> &'static str {
        match self {
            What::Stored => "stored",
            What::Trial => "trial",
            What::Active => "active",
            What::Refused => "refused",
            What::RolledBack => "rolled back",
            What::Superseded => "superseded",
        }
    }
}

/// What the owner is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The rules of the one who asks.
    pub rules: Rules,
    /// The bundled configuration of the one who asks.
    pub base: String,
    /// What to do.
    pub act: Act,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// An instance says what it has seen, and wants to know how things stand.
    Look {
        /// What it has counted since it looked last.
        seen: Option<Seen>,
        /// The version that it could not load.
        refused: Option<Refused>,
    },
    /// Somebody wants to know everything.
    Tell,
    /// A version has been stored.
    Store {
        /// Which one.
        version: String,
        /// Its length in bytes.
        size: u64,
        /// What is said of it.
        note: Option<String>,
    },
    /// A version is to serve; `None`: the bundled configuration.
    Activate {
        /// Which one.
        version: Option<String>,
        /// For how many of a hundred callers at first; `None`: as the rules say.
        percent: Option<u8>,
    },
    /// What is on trial is given up; where nothing is, what was in service before serves again.
    RollBack {
        /// Why, for people.
        reason: String,
    },
}

/// What an instance has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The [`Trial::number`] that it is about.
    pub number: u64,
    /// What it was.
    pub counted: Pair,
}

/// A version that an instance could not load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Which one.
    pub version: String,
    /// Why.
    pub reason: String,
}

/// What the owner says.
#[allow(clippy::large_enum_variant, reason = "there is one at a time, and it nearly always stands")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// So things stand now. Who only looks is not told of versions and events.
    Stands(Standing),
    /// Nothing was done.
    Refused(Refusal),
}

/// Why nothing was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The store has no such version.
    NoSuchVersion,
    /// It serves everybody already.
    InService,
    /// There is nothing to go back to.
    NothingBefore,
    /// The bundled configuration cannot be on trial.
    NoTrialOfBundled,
}

impl Refusal {
    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Refusal::NoSuchVersion => "the store has no such version",
            Refusal::InService => "this version serves everybody already",
            Refusal::NothingBefore => "nothing is on trial, and nothing was in service before",
            Refusal::NoTrialOfBundled => "the bundled configuration serves everybody or nobody: it cannot be on trial",
        }
    }
}

/// What comes of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What the owner says.
    pub verdict: Verdict,
    /// What is to be kept from now on.
    pub kept: Standing,
    /// The versions whose artefacts nobody needs any more.
    pub forget: Vec<String>,
}

/// How many events are remembered.
const EVENTS: usize = 50;

/// How many versions back one can go.
const BACK: usize = 8;

/// Carries an order out, on what was kept.
pub fn perform(order: &Order, kept: Option<Standing>, now: Timestamp) -> Step {
    let mut owner = Owner { standing: kept.unwrap_or_default(), rules: &order.rules, now, forget: Vec::new() };
    let done = match &order.act {
        Act::Look { seen, refused } => {
            // Instances of another deployment know nothing of this one's versions.
            if owner.standing.base == order.base {
                owner.look(*seen, refused.as_ref());
            }
            return owner.brief();
        }
        Act::Tell => Ok(()),
        Act::Store { version, size, note } => {
            owner.store(version, *size, note.clone());
            Ok(())
        }
        Act::Activate { version, percent } => owner.activate(&order.base, version.as_deref(), *percent),
        Act::RollBack { reason } => owner.roll_back(&order.base, reason),
    };
    let Owner { standing, forget, .. } = owner;
    let verdict = done.map_or_else(Verdict::Refused, |()| Verdict::Stands(standing.clone()));
    Step { verdict, kept: standing, forget }
}

/// As [`perform`], for whoever keeps texts: an order and what was kept, as they are written. Gives three lines: the verdict, what is
/// to be kept (nothing where that is the same as before), and the versions to forget. `None`: the order cannot be read.
pub fn perform_in_text(order: &[u8], kept: &[u8], now: Timestamp) -> Option<String> {
    let order: Order = record::read(order).ok()?;
    // What another version of the gateway has written counts as nothing.
    let before: Option<Standing> = record::read(kept).ok();
    let step = perform(&order, before.clone(), now);
    let verdict = serde_json::to_string(&step.verdict).ok()?;
    let kept =
        if before.as_ref() == Some(&step.kept) { String::new() } else { serde_json::to_string(&step.kept).ok()? };
    Some(format!("{verdict}\n{kept}\n{}", step.forget.join(" ")))
}

struct Owner<'a> {
    standing: Standing,
    rules: &'a Rules,
    now: Timestamp,
    forget: Vec<String>,
}

impl Owner<'_> {
    /// What instances need to know.
    fn brief(self) -> Step {
        let Standing { generation, base, stable, trial, .. } = self.standing.clone();
        let brief = Standing { generation, base, stable, trial, ..Standing::default() };
        Step { verdict: Verdict::Stands(brief), kept: self.standing, forget: self.forget }
    }

    fn look(&mut self, seen: Option<Seen>, refused: Option<&Refused>) {
        if let Some(refused) = refused {
            self.refuse(refused);
        }
        let now = self.now;
        let Some(trial) = &mut self.standing.trial else { return };
        trial.counted.turn(now / self.rules.window.max(1));
        if let Some(seen) = seen.filter(|seen| seen.number == trial.number) {
            trial.counted.current = trial.counted.current.plus(seen.counted);
        }
        let version = trial.version.clone();
        match judge(self.rules, trial.percent, trial.since, trial.counted.total(), now) {
            Judgement::Wait => {}
            Judgement::RollBack(reason) => {
                self.standing.trial = None;
                self.fail(&version, &reason);
                self.tell(What::RolledBack, Some(version), reason);
            }
            Judgement::Share(percent) => self.begin(version, percent),
            Judgement::Everybody => self.serve(Some(version), "its last share was without harm".to_owned()),
        }
    }

    /// What one instance cannot load, none can: they are all made alike.
    fn refuse(&mut self, refused: &Refused) {
        let Refused { version, reason } = refused;
        if self.standing.trial.as_ref().is_some_and(|trial| trial.version == *version) {
            self.standing.trial = None;
        } else if self.standing.stable.as_ref() == Some(version) {
            self.standing.stable = self.standing.before.pop().flatten();
        } else {
            return;
        }
        self.fail(version, reason);
        self.tell(What::Refused, Some(version.clone()), reason.clone());
    }

    fn store(&mut self, version: &str, size: u64, note: Option<String>) {
        let known = self.standing.versions.iter().position(|kept| kept.version == version);
        // What comes again is new again.
        if let Some(known) = known {
            self.standing.versions.remove(known);
        }
        let kept = Kept { version: version.to_owned(), size, since: self.now, note, failed: None };
        self.standing.versions.push(kept);
        self.tell(What::Stored, Some(version.to_owned()), format!("{size} bytes"));
        self.make_room();
    }

    fn activate(&mut self, base: &str, version: Option<&str>, percent: Option<u8>) -> Result<(), Refusal> {
        if let Some(version) = version
            && !self.standing.versions.iter().any(|kept| kept.version == version)
        {
            return Err(Refusal::NoSuchVersion);
        }
        let first = self.rules.steps.first().copied().unwrap_or(self.rules.percent);
        let percent = percent.unwrap_or(if version.is_some() { first } else { 100 });
        if version.is_none() && percent < 100 {
            return Err(Refusal::NoTrialOfBundled);
        }
        self.adopt(base);
        let is_stable = self.standing.stable.as_deref() == version;
        if is_stable && self.standing.trial.is_none() {
            return Err(Refusal::InService);
        }
        if let Some(Trial { version: tried, .. }) = self.standing.trial.take()
            && version != Some(tried.as_str())
        {
            self.tell(What::RolledBack, Some(tried), "another version takes its place".to_owned());
        }
        // What is in service already needs no trial.
        if is_stable {
            return Ok(());
        }
        if let Some(kept) = self.standing.versions.iter_mut().find(|kept| version == Some(kept.version.as_str())) {
            kept.failed = None;
        }
        match version {
            Some(version) if percent < 100 => self.begin(version.to_owned(), percent),
            Some(_) | None => self.serve(version.map(str::to_owned), "at once, on demand".to_owned()),
        }
        Ok(())
    }

    fn roll_back(&mut self, base: &str, reason: &str) -> Result<(), Refusal> {
        self.adopt(base);
        if let Some(Trial { version, .. }) = self.standing.trial.take() {
            self.fail(&version, reason);
            self.tell(What::RolledBack, Some(version), reason.to_owned());
            return Ok(());
        }
        let Some(before) = self.standing.before.pop() else { return Err(Refusal::NothingBefore) };
        let given_up = std::mem::replace(&mut self.standing.stable, before.clone());
        if let Some(version) = &given_up {
            self.fail(version, reason);
        }
        self.tell(What::RolledBack, given_up, reason.to_owned());
        self.tell(What::Active, before, "as before".to_owned());
        Ok(())
    }

    /// Another deployment begins with what is bundled with it.
    fn adopt(&mut self, base: &str) {
        if self.standing.base == base {
            return;
        }
        let serves = self.standing.stable.take();
        self.standing.before.clear();
        self.standing.base = base.to_owned();
        for version in serves.into_iter().chain(self.standing.trial.take().map(|trial| trial.version)) {
            self.tell(What::Superseded, Some(version), "another configuration was deployed".to_owned());
        }
    }

    fn begin(&mut self, version: String, percent: u8) {
        self.tell(What::Trial, Some(version.clone()), format!("for {percent} % of all callers"));
        let number = self.standing.generation;
        let counted = Counted { window: self.now / self.rules.window.max(1), ..Counted::default() };
        self.standing.trial = Some(Trial { version, percent, number, since: self.now, counted });
    }

    fn serve(&mut self, version: Option<String>, detail: String) {
        self.standing.trial = None;
        let before = std::mem::replace(&mut self.standing.stable, version.clone());
        self.standing.before.push(before);
        if self.standing.before.len() > BACK {
            self.standing.before.remove(0);
        }
        self.tell(What::Active, version, detail);
    }

    fn fail(&mut self, version: &str, reason: &str) {
        if let Some(kept) = self.standing.versions.iter_mut().find(|kept| kept.version == version) {
            kept.failed = Some(reason.to_owned());
        }
    }

    fn tell(&mut self, what: What, version: Option<String>, detail: String) {
        self.standing.generation += 1;
        if self.standing.events.len() >= EVENTS {
            self.standing.events.remove(0);
        }
        self.standing.events.push(Event { at: self.now, what, version, detail });
    }

    /// Forgets the oldest versions that nobody may need.
    fn make_room(&mut self) {
        let Standing { versions, stable, trial, before, .. } = &mut self.standing;
        let most = (self.rules.keep as usize).max(1);
        while versions.len() > most {
            let is_needed = |version: &String| {
                Some(version) == stable.as_ref()
                    || trial.as_ref().is_some_and(|trial| trial.version == *version)
                    || before.last().is_some_and(|before| before.as_ref() == Some(version))
            };
            // The newest was stored just now, to be served.
            let last = versions.len() - 1;
            let Some(at) = versions[..last].iter().position(|kept| !is_needed(&kept.version)) else { return };
            let version = versions.remove(at).version;
            before.retain(|before| before.as_ref() != Some(&version));
            self.forget.push(version);
        }
    }
}

impl Standing {
    /// Whether it could have been written by [`perform`]: what stands in a store may have been written by anybody.
    pub fn is_sound(&self) -> bool {
        let named = self.stable.iter().chain(self.trial.as_ref().map(|trial| &trial.version));
        named.into_iter().all(|version| is_identifier(version))
    }
}

#[cfg(test)]
mod tests {
    use super::super::judge::Tally;
    use super::super::judge::tests::rules;
    use super::*;
    use proptest::prelude::*;

    const BASE: &str = "00000000000000ba";
    const ONE: &str = "0000000000000001";
    const TWO: &str = "0000000000000002";

    /// The owner, and a clock.
    struct Play {
        kept: Option<Standing>,
        rules: Rules,
        base: &'static str,
        now: Timestamp,
        forgotten: Vec<String>,
    }

    impl Play {
        fn new() -> Self {
            Self { kept: None, rules: rules(), base: BASE, now: 1_000_000_000, forgotten: Vec::new() }
        }

        fn act(&mut self, act: Act) -> Verdict {
            let order = Order { rules: self.rules.clone(), base: self.base.to_owned(), act };
            let step = perform(&order, self.kept.take(), self.now);
            self.forgotten.extend(step.forget);
            self.kept = Some(step.kept);
            step.verdict
        }

        fn store(&mut self, version: &str) {
            self.act(Act::Store { version: version.to_owned(), size: 10, note: None });
        }

        fn activate(&mut self, version: &str, percent: impl Into<Option<u8>>) -> Verdict {
            self.act(Act::Activate { version: Some(version.to_owned()), percent: percent.into() })
        }

        fn push(&mut self, version: &str, percent: impl Into<Option<u8>>) {
            self.store(version);
            assert!(matches!(self.activate(version, percent), Verdict::Stands(_)));
        }

        fn look(&mut self, old: (u64, u64), new: (u64, u64)) -> Standing {
            let tally = |(requests, errors)| Tally { requests, errors };
            let number = self.trial().map(|trial| trial.number);
            let seen = number.map(|number| Seen { number, counted: Pair { old: tally(old), new: tally(new) } });
            match self.act(Act::Look { seen, refused: None }) {
                Verdict::Stands(standing) => standing,
                Verdict::Refused(refusal) => unreachable!("{refusal:?}"),
            }
        }

        fn standing(&self) -> &Standing {
            self.kept.as_ref().expect("something was done")
        }

        fn trial(&self) -> Option<&Trial> {
            self.standing().trial.as_ref()
        }

        fn stable(&self) -> Option<&str> {
            self.standing().stable.as_deref()
        }

        fn happened(&self) -> Vec<(What, Option<&str>)> {
            self.standing().events.iter().map(|event| (event.what, event.version.as_deref())).collect()
        }
    }

    #[test]
    fn a_good_version_goes_from_share_to_share_until_it_serves_everybody() {
        let mut play = Play::new();
        play.push(ONE, None);
        assert_eq!(play.trial().map(|trial| trial.percent), Some(10));
        play.now += 30_000;
        play.look((900, 9), (100, 1));
        assert_eq!(play.trial().map(|trial| trial.percent), Some(10), "its time is not over");
        play.now += 30_000;
        play.look((900, 9), (1, 0));
        assert_eq!(play.trial().map(|trial| (trial.percent, trial.counted.total())), Some((50, Pair::default())));
        play.now += 60_000;
        play.look((50, 0), (99, 0));
        assert_eq!(play.trial().map(|trial| trial.percent), Some(50), "too few to say");
        play.look((0, 0), (1, 0));
        assert_eq!((play.stable(), play.trial()), (Some(ONE), None));
        let one = Some(ONE);
        use What::{Active, Stored};
        assert_eq!(play.happened(), [(Stored, one), (What::Trial, one), (What::Trial, one), (Active, one)]);
    }

    #[test]
    fn a_harmful_version_is_given_up_by_itself_and_the_old_one_stays() {
        let mut play = Play::new();
        play.push(ONE, 100);
        play.push(TWO, 5);
        play.look((1_000, 0), (60, 30));
        assert!(play.trial().is_some(), "too few to say");
        let told = play.look((1_000, 0), (60, 30));
        assert_eq!((play.stable(), play.trial()), (Some(ONE), None));
        assert_eq!(told.trial, None, "whoever has told the last straw knows at once");
        let kept = play.standing().versions.last().expect("it is kept");
        assert!(kept.failed.as_ref().is_some_and(|why| why.contains("50.0 %")), "{kept:?}");
        assert_eq!(play.happened().last(), Some(&(What::RolledBack, Some(TWO))));
    }

    #[test]
    fn what_was_counted_long_ago_does_not_hide_harm() {
        let mut play = Play::new();
        play.rules.steps.clear();
        play.push(ONE, 10);
        for _ in 0..100 {
            play.look((9_000, 0), (1_000, 0));
        }
        play.now += 2 * play.rules.window;
        play.look((900, 0), (100, 10));
        assert_eq!(play.trial(), None);
    }

    #[test]
    fn what_is_told_of_another_share_does_not_count() {
        let mut play = Play::new();
        play.push(ONE, 10);
        let old = play.trial().map(|trial| trial.number).expect("a trial");
        play.activate(ONE, 20);
        let counted = Pair { new: Tally { requests: 1_000, errors: 1_000 }, ..Pair::default() };
        play.act(Act::Look { seen: Some(Seen { number: old, counted }), refused: None });
        assert_eq!(play.trial().map(|trial| (trial.percent, trial.counted.total())), Some((20, Pair::default())));
    }

    #[test]
    fn what_one_instance_cannot_load_serves_nobody() {
        let refused = |version: &str| Act::Look {
            seen: None,
            refused: Some(Refused { version: version.to_owned(), reason: "format 7".to_owned() }),
        };
        let mut play = Play::new();
        play.push(ONE, 10);
        play.act(refused(ONE));
        assert_eq!((play.stable(), play.trial()), (None, None));
        play.push(ONE, 100);
        play.push(TWO, 100);
        play.act(refused(TWO));
        assert_eq!(play.stable(), Some(ONE));
        let generation = play.standing().generation;
        play.act(refused(TWO));
        assert_eq!(play.standing().generation, generation, "it is told once");
        assert_eq!(play.happened().last(), Some(&(What::Refused, Some(TWO))));
    }

    #[test]
    fn an_operator_goes_back_step_by_step() {
        let back = || Act::RollBack { reason: "by an operator".to_owned() };
        let mut play = Play::new();
        assert_eq!(play.act(back()), Verdict::Refused(Refusal::NothingBefore));
        play.push(ONE, 100);
        play.push(TWO, 100);
        play.push("0000000000000003", 10);
        play.act(back());
        assert_eq!((play.stable(), play.trial()), (Some(TWO), None), "the trial first");
        play.act(back());
        assert_eq!(play.stable(), Some(ONE));
        play.act(back());
        assert_eq!(play.stable(), None, "the bundled one");
        assert_eq!(play.act(back()), Verdict::Refused(Refusal::NothingBefore));
    }

    #[test]
    fn another_deployment_begins_with_what_is_bundled_with_it() {
        let mut play = Play::new();
        play.push(ONE, 100);
        play.push(TWO, 10);
        play.base = "00000000000000bb";
        let told = play.look((0, 0), (0, 0));
        assert_eq!(told.base, BASE, "instances see that it is not theirs");
        assert_eq!(play.stable(), Some(ONE), "looking changes nothing: others may still be served by it");
        play.activate(ONE, 10);
        assert_eq!((play.stable(), play.trial().map(|trial| trial.version.as_str())), (None, Some(ONE)));
        assert!(play.happened().contains(&(What::Superseded, Some(TWO))));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let mut play = Play::new();
        assert_eq!(play.activate(ONE, 10), Verdict::Refused(Refusal::NoSuchVersion));
        play.push(ONE, 100);
        assert_eq!(play.activate(ONE, 10), Verdict::Refused(Refusal::InService));
        let bundled = |percent| Act::Activate { version: None, percent };
        assert_eq!(play.act(bundled(Some(10))), Verdict::Refused(Refusal::NoTrialOfBundled));
        assert!(matches!(play.act(bundled(None)), Verdict::Stands(_)));
        assert_eq!(play.stable(), None);
    }

    #[test]
    fn what_is_needed_is_kept_and_the_rest_forgotten() {
        let mut play = Play::new();
        play.rules.keep = 3;
        play.push(ONE, 100);
        play.push(TWO, 100);
        for number in 3..10 {
            play.store(&format!("{number:016x}"));
        }
        let kept: Vec<_> = play.standing().versions.iter().map(|kept| kept.version.as_str()).collect();
        assert_eq!(kept, [ONE, TWO, "0000000000000009"]);
        assert_eq!(play.forgotten.len(), 6);
    }

    #[test]
    fn texts_say_the_same() {
        let order = Order {
            rules: rules(),
            base: BASE.to_owned(),
            act: Act::Store { version: ONE.to_owned(), size: 3, note: Some("a\nb".to_owned()) },
        };
        let text = serde_json::to_vec(&order).expect("it is written");
        let stored = perform_in_text(&text, b"", 5).expect("it is read");
        let [verdict, kept, forget] = stored.split('\n').collect::<Vec<_>>()[..] else { unreachable!("{stored}") };
        let Verdict::Stands(standing) = serde_json::from_str(verdict).expect("a verdict") else { unreachable!() };
        assert_eq!(serde_json::from_str::<Standing>(kept).expect("a standing"), standing);
        assert_eq!(forget, "");
        let look = Order { act: Act::Look { seen: None, refused: None }, ..order };
        let text = serde_json::to_vec(&look).expect("it is written");
        let looked = perform_in_text(&text, kept.as_bytes(), 6).expect("it is read");
        assert_eq!(looked.split('\n').nth(1), Some(""), "nothing to write");
        assert_eq!(perform_in_text(b"{", kept.as_bytes(), 6), None);
    }

    #[derive(Debug, Clone)]
    enum Move {
        Push(u8, u8),
        Look((u64, u64), (u64, u64)),
        Back,
        Refuse(u8),
        Wait(u64),
        Deploy(bool),
    }

    fn moves() -> impl Strategy<Value = Vec<Move>> {
        let share = (1u64..500, 0u64..500).prop_map(|(requests, errors)| (requests, errors.min(requests)));
        let one = prop_oneof![
            (0u8..8, 1u8..=100).prop_map(|(version, percent)| Move::Push(version, percent)),
            (share.clone(), share).prop_map(|(old, new)| Move::Look(old, new)),
            Just(Move::Back),
            (0u8..8).prop_map(Move::Refuse),
            (0u64..400_000).prop_map(Move::Wait),
            any::<bool>().prop_map(Move::Deploy),
        ];
        prop::collection::vec(one, 0..60)
    }

    proptest! {
        /// Whatever happens: what is to serve is kept, a trial has a share, and generations only grow.
        #[test]
        fn what_is_to_serve_is_always_there(moves in moves()) {
            let mut play = Play::new();
            play.rules.keep = 3;
            let mut generation = 0;
            for one in moves {
                match one {
                    Move::Push(version, percent) => {
                        let version = format!("{version:016x}");
                        play.store(&version);
                        play.activate(&version, percent);
                    }
                    Move::Look(old, new) if play.kept.is_some() => drop(play.look(old, new)),
                    Move::Look(..) => {}
                    Move::Back => drop(play.act(Act::RollBack { reason: "an operator".to_owned() })),
                    Move::Refuse(version) => {
                        let refused = Some(Refused { version: format!("{version:016x}"), reason: "no".to_owned() });
                        drop(play.act(Act::Look { seen: None, refused }));
                    }
                    Move::Wait(time) => play.now += time,
                    Move::Deploy(other) => play.base = if other { "00000000000000bb" } else { BASE },
                }
                let Some(standing) = &play.kept else { continue };
                prop_assert!(standing.is_sound());
                prop_assert!(standing.generation >= generation);
                generation = standing.generation;
                let is_kept = |version: &str| standing.versions.iter().any(|kept| kept.version == version);
                if let Some(stable) = &standing.stable {
                    prop_assert!(is_kept(stable), "{stable} serves, and is gone");
                }
                if let Some(trial) = &standing.trial {
                    prop_assert!(is_kept(&trial.version));
                    prop_assert!((1..100).contains(&trial.percent), "{}", trial.percent);
                    prop_assert!(standing.stable.as_ref() != Some(&trial.version));
                }
                prop_assert!(standing.events.len() <= EVENTS && standing.before.len() <= BACK);
            }
        }

        /// In virtual time, over any number of instances: a version that fails more often than is allowed is given up within two
        /// intervals of having served enough, and one that fails no more often never is.
        #[test]
        fn harm_is_found_in_time(
            seed in any::<u64>(), instances in 1u64..8, harmful in any::<bool>(), base_rate in 0u64..200,
        ) {
            let mut play = Play::new();
            play.rules.steps.clear();
            play.rules.margin = 500;
            play.push(ONE, 50);
            let mut lot = seed;
            let mut draw = move || { lot = crate::upstream::mix(lot); lot };
            let (mut served, mut over) = (0, None);
            // Each instance serves ten requests of each in an interval, and looks at a moment of its own.
            for round in 0..60u64 {
                for _ in 0..instances {
                    play.now += play.rules.interval / instances;
                    let mut fails = |rate: u64| (0..10).filter(|_| draw() % 1_000 < rate).count() as u64;
                    let old = (10, fails(base_rate));
                    let new = (10, if harmful { fails(base_rate + 400) } else { fails(base_rate).min(old.1) });
                    play.look(old, new);
                    served += 10;
                    if play.trial().is_none() { over.get_or_insert((round, served)); }
                }
            }
            match over {
                Some((_, served)) => {
                    prop_assert!(harmful, "it did no harm");
                    prop_assert!(served <= play.rules.min_requests + 10 * instances + 400, "after {served} requests");
                }
                None => prop_assert!(!harmful, "harm was never seen"),
            }
        }
    }
}
