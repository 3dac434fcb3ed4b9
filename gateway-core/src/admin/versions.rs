//! Versions of the configuration, for operators: what [`rollout::endpoint`](crate::rollout::endpoint) does, with a line in the log for
//! each change.

use super::changes::Act;
use super::{Admin, LONGEST_REASON, Visit, bad, parameter, read_or_default, uncertain};
use crate::error::Error;
use crate::gateway::Gateway;
use crate::http::{Body, Incoming};
use crate::platform::Platform;
use crate::request::{self, Request};
use crate::rollout::Rollout;
use crate::rollout::endpoint::{Activation, Check, LONGEST, Trouble};
use crate::telemetry::watch::Watched;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

/// What is done with versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Of {
    /// All of them are shown.
    All,
    /// One comes.
    Store(String),
    /// One is to serve.
    Activate(String),
    /// One is taken back.
    RollBack,
}

impl Of {
    /// What the segments behind `versions` name.
    pub(super) fn find(segments: &[&str]) -> Option<Self> {
        Some(match segments {
            [] => Of::All,
            ["rollback"] => Of::RollBack,
            [version] => Of::Store((*version).to_owned()),
            [version, "activate"] => Of::Activate((*version).to_owned()),
            _ => return None,
        })
    }

    /// The methods that it takes.
    pub(super) fn methods(&self) -> &'static [&'static str] {
        match self {
            Of::All => &["GET", "HEAD"],
            Of::Store(_) => &["PUT"],
            Of::Activate(_) | Of::RollBack => &["POST"],
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Activate {
    percent: Option<u8>,
    reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RollBack {
    reason: Option<String>,
}

impl Admin {
    /// Whether a request is about versions, and so for the bundled configuration, whichever version serves.
    pub(crate) fn is_about_versions<S>(&self, incoming: &Incoming<S>) -> bool {
        let rest =
            incoming.target.strip_prefix(self.rules.path.as_str()).and_then(|rest| rest.strip_prefix("/versions"));
        if !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?'])) {
            return false;
        }
        let authority = incoming.authority.to_ascii_lowercase();
        let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
        let host =
            authority.rsplit_once(':').filter(|(_, port)| is_port(port)).map_or(authority.as_str(), |(host, _)| host);
        self.rules.hosts.iter().any(|known| known.matches(host))
    }
}

impl Gateway {
    /// Does what is asked for with versions, where there are any.
    pub(super) async fn versions<P: Platform>(
        &self,
        platform: &Watched<'_, P>,
        visit: &Visit<'_>,
        of: Of,
        body: Body<P::Stream>,
    ) -> Result<Value, Error> {
        let rollout = self.rollout.as_ref().ok_or(Error::NothingThere)?;
        let request = visit.request;
        match of {
            Of::All => rollout.show(platform.bare()).await.map_err(error),
            Of::Store(version) => {
                let artefact = artefact(platform, request, body).await?;
                let note = parameter(request, "note");
                if note.as_ref().is_some_and(|note| note.len() > LONGEST_REASON) {
                    return Err(bad(&format!("`note` has more than {LONGEST_REASON} bytes.")));
                }
                let check = match parameter(request, "unchecked").as_deref() {
                    None | Some("false") => Check::Load,
                    Some("true") => Check::Nothing,
                    Some(_) => return Err(bad("`unchecked` is `true` or `false`.")),
                };
                let deed = self.begun(platform, visit, "store_version", &version, note.as_deref()).await?;
                let done = rollout.store(platform.bare(), &version, artefact, note.as_deref(), check).await;
                self.ended(platform, visit, deed, done).await
            }
            Of::Activate(version) => {
                let asked: Activate = read_or_default(platform, request, body).await?;
                let deed = self.begun(platform, visit, "roll_out", &version, asked.reason.as_deref()).await?;
                let done = rollout.activate(platform.bare(), &version, Activation { percent: asked.percent }).await;
                self.ended(platform, visit, deed, done).await
            }
            Of::RollBack => {
                let asked: RollBack = read_or_default(platform, request, body).await?;
                let reason = asked.reason.as_deref().unwrap_or("by an operator");
                let deed = self.begun(platform, visit, "roll_back", &served(rollout), Some(reason)).await?;
                let done = rollout.roll_back(platform.bare(), reason).await;
                self.ended(platform, visit, deed, done).await
            }
        }
    }

    /// Writes down that somebody wants it, so that nothing is ever done of which the log does not know.
    async fn begun<P: Platform>(
        &self,
        platform: &Watched<'_, P>,
        visit: &Visit<'_>,
        action: &str,
        subject: &str,
        reason: Option<&str>,
    ) -> Result<Deed, Error> {
        let act = Act::Noted { action: action.to_owned(), subject: subject.chars().take(LONGEST_REASON).collect() };
        let reason = reason.map(str::to_owned);
        self.write_down(platform, visit, act.clone(), reason.clone(), None).await?;
        Ok(Deed { act, reason })
    }

    /// Writes down why it was not done after all, where it was not.
    async fn ended<P: Platform>(
        &self,
        platform: &Watched<'_, P>,
        visit: &Visit<'_>,
        deed: Deed,
        done: Result<Value, Trouble>,
    ) -> Result<Value, Error> {
        if let Err(trouble) = &done {
            let _ = self.write_down(platform, visit, deed.act, deed.reason, Some(trouble.to_string())).await;
        }
        done.map_err(error)
    }
}

/// What somebody wants, as it was written down.
struct Deed {
    act: Act,
    reason: Option<String>,
}

/// What an operator means who names no version.
fn served(rollout: &Rollout) -> String {
    let told = rollout.told();
    let name = told["trial"]["version"].as_str().or(told["stable"].as_str());
    name.unwrap_or_default().to_owned()
}

/// The body as it is: no JSON, and longer than anything else that comes here.
async fn artefact<P: Platform>(platform: &P, asked: &Request, body: Body<P::Stream>) -> Result<Bytes, Error> {
    if asked.headers.contains("content-type") && asked.headers.media_type() != "application/octet-stream" {
        return Err(Error::UnsupportedMediaType { accept: vec!["application/octet-stream".to_owned()] });
    }
    request::whole(platform, body, asked.content_length, LONGEST as u64).await
}

fn error(trouble: Trouble) -> Error {
    let sentence = |reason: &str| format!("{}.", reason.trim_end_matches('.'));
    match trouble {
        Trouble::Wrong(reason) => bad(&sentence(&reason)),
        Trouble::Unusable(reason) => Error::VersionUnusable { reason: sentence(&reason) },
        Trouble::Refused(refusal) => Error::VersionConflict { reason: sentence(refusal.as_str()) },
        Trouble::Unavailable(reason) => uncertain(reason),
    }
}
