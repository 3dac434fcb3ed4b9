//! What operators do with versions: see them, bring one, have one serve, take one back.

use super::local::Rollout;
use super::standing::{Act, Refusal, Standing, Verdict};
use super::{identify, is_identifier};
use crate::platform::{Platform, StoreError};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use std::fmt;
use std::rc::Rc;

/// The longest artefact, in bytes.
pub const LONGEST: usize = 8 << 20;

/// The longest note, in bytes.
const LONGEST_NOTE: usize = 500;

/// Why an operator does not get what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// This could never be done: why, for people.
    Wrong(String),
    /// The version cannot be served: why, for people.
    Unusable(String),
    /// It cannot be done as things stand.
    Refused(Refusal),
    /// The owner of the versions does not answer.
    Unavailable(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Trouble::Wrong(reason) | Trouble::Unusable(reason) | Trouble::Unavailable(reason) => reason,
            Trouble::Refused(refusal) => refusal.as_str(),
        })
    }
}

/// Whether a version that comes is tried on the spot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// What this instance could not load is refused.
    Load,
    /// It is stored as it is; instances refuse it when it is to serve.
    Nothing,
}

/// How a version is to serve.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Activation {
    /// For how many of a hundred callers at first; 100: for everybody at once. Without it, as the configuration says.
    pub percent: Option<u8>,
}

/// What the bundled configuration is called where a version could stand.
pub const BUNDLED: &str = "bundled";

impl Rollout {
    /// How things stand, and what this instance has of it.
    pub async fn show<P: Platform>(&self, platform: &P) -> Result<Value, Trouble> {
        let standing = self.ask(platform, Act::Tell).await?;
        Ok(self.shown(&standing))
    }

    /// Keeps a version. It does not serve yet.
    pub async fn store<P: Platform>(
        self: &Rc<Self>,
        platform: &P,
        version: &str,
        artefact: Bytes,
        note: Option<&str>,
        check: Check,
    ) -> Result<Value, Trouble> {
        if !is_identifier(version) {
            return Err(Trouble::Wrong("a version is called by sixteen lower-case hexadecimal digits".to_owned()));
        }
        if artefact.is_empty() || artefact.len() > LONGEST {
            return Err(Trouble::Wrong(format!("an artefact has 1 to {LONGEST} bytes")));
        }
        let found = identify(&artefact);
        if found != version {
            return Err(Trouble::Wrong(format!(
                "the artefact is {found} and not {version}: it was damaged on its way"
            )));
        }
        if check == Check::Load {
            let loaded = self.load(platform, version, artefact.clone()).await.map_err(unavailable)?;
            loaded.map_err(Trouble::Unusable)?;
        }
        let size = artefact.len() as u64;
        platform.keep_artefact(version, artefact).await.map_err(unavailable)?;
        let note = note.map(|note| note.chars().take(LONGEST_NOTE).collect());
        let standing = self.ask(platform, Act::Store { version: version.to_owned(), size, note }).await?;
        Ok(self.shown(&standing))
    }

    /// Has a version serve, or the bundled configuration.
    pub async fn activate<P: Platform>(
        &self,
        platform: &P,
        version: &str,
        activation: Activation,
    ) -> Result<Value, Trouble> {
        if activation.percent.is_some_and(|percent| !(1..=100).contains(&percent)) {
            return Err(Trouble::Wrong("`percent` is 1 to 100".to_owned()));
        }
        let is_bundled = version == BUNDLED || version == self.base;
        let version = (!is_bundled).then(|| version.to_owned());
        let standing = self.ask(platform, Act::Activate { version, percent: activation.percent }).await?;
        self.look_soon();
        Ok(self.shown(&standing))
    }

    /// Takes back what is on trial; where nothing is, what was in service before serves again.
    pub async fn roll_back<P: Platform>(&self, platform: &P, reason: &str) -> Result<Value, Trouble> {
        let standing = self.ask(platform, Act::RollBack { reason: reason.to_owned() }).await?;
        self.look_soon();
        Ok(self.shown(&standing))
    }

    async fn ask<P: Platform>(&self, platform: &P, act: Act) -> Result<Standing, Trouble> {
        match platform.roll_out(&self.order(act)).await.map_err(unavailable)? {
            Verdict::Stands(standing) => Ok(standing),
            Verdict::Refused(refusal) => Err(Trouble::Refused(refusal)),
        }
    }

    /// For people, and for the tool.
    fn shown(&self, standing: &Standing) -> Value {
        // What was pushed to another deployment does not serve here.
        let is_ours = standing.base == self.base;
        let trial = standing.trial.as_ref().filter(|_| is_ours).map(|trial| {
            let counted = trial.counted.total();
            json!({
                "version": trial.version,
                "percent": trial.percent,
                "since": trial.since,
                "counted": { "old": counted.old, "new": counted.new },
            })
        });
        json!({
            "bundled": self.base,
            "stable": standing.stable.as_ref().filter(|_| is_ours),
            "trial": trial,
            "versions": standing.versions,
            "events": standing.events,
            "rules": {
                "interval": self.rules.interval,
                "steps": self.rules.steps,
                "step_time": self.rules.step_time,
                "margin": f64::from(self.rules.margin) / 10_000.0,
                "min_requests": self.rules.min_requests,
                "window": self.rules.window,
            },
            "instance": self.told(),
        })
    }
}

fn unavailable(error: StoreError) -> Trouble {
    Trouble::Unavailable(error.0)
}
