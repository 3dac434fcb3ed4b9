//! A named group of targets, and the way to an answer from one of them.
//!
//! [`send`] is that way: pick a target, call it, see how it went, and perhaps once more. What decides is in the other files,
//! each a plain function of what is known, of `now` and of random bits. An upstream with one target and no rules needs none
//! of it.

mod ask;
mod balance;
mod breaker;
#[cfg(feature = "checks")]
pub mod check;
pub mod deadline;
mod health;
mod latency;
mod lease;
mod maglev;
mod pool;
#[cfg(feature = "checks")]
pub mod probe;
mod proxy_status;
mod retry;
mod send;
mod sticky;
mod target;
mod window;

pub use ask::{CanaryRules, Key, Sign};
pub use balance::{Balance, Facts, Member, Tier};
pub use breaker::{Admission, Breaker, BreakerRules, State, Transitions};
pub use health::{Health, HealthRules, WHOLE};
pub use maglev::{hash, mix};
#[cfg(feature = "admin")]
pub use pool::Report;
pub use pool::{Asked, Pool};
pub use proxy_status::proxy_status;
pub use retry::{BudgetRules, Ended, MOST as MOST_RETRIES, RetryRules, Trouble, is_idempotent, is_safe};
#[cfg(feature = "compose")]
pub use retry::{Facts as RetryFacts, retry_after};
pub use send::{Answer, Attempt, Cause, Failed, keep_body, keep_short, may_be_done, send};
pub(crate) use send::{First, first};
pub use sticky::{SHORTEST_SECRET, StickyRules};
pub use target::{Near, Target, TargetRule};

use crate::answer::Respond;
#[cfg(feature = "credentials")]
use crate::credential::Credential;
use serde::{Deserialize, Serialize};

/// An upstream as it was compiled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    /// Its name in the configuration.
    pub name: String,
    /// The targets.
    pub targets: Vec<TargetRule>,
    /// How long it may take.
    pub timeouts: Timeouts,
    /// Which `Host` it is sent.
    pub host: HostHeader,
    /// What its targets are shown.
    #[cfg(feature = "credentials")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub credentials: Vec<Credential>,
    /// What is done besides sending a request to its only target once; `None`: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<Box<Rules>>,
}

/// How an upstream spreads its requests, and what it does about failures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// How the next target is picked.
    pub balance: Balance,
    /// What requests that belong together are known by, for [`Balance::Hash`]; the first that is there counts.
    pub keys: Vec<Key>,
    /// How long a target's share grows after an ejection, in milliseconds.
    pub slow_start: u64,
    /// The statuses that count as failures of the target.
    pub failures: Vec<u16>,
    /// When a target is taken out of rotation.
    pub health: HealthRules,
    /// When the whole upstream is no longer asked.
    pub breaker: Option<BreakerRules>,
    /// When a request is sent once more.
    pub retries: RetryRules,
    /// When a second attempt is made beside the first.
    pub hedge: Option<Hedge>,
    /// How clients are kept with their targets.
    pub sticky: Option<StickyRules>,
    /// A release that some requests see before others do.
    pub canary: Option<CanaryRules>,
    /// What takes the place of a failure.
    pub fallback: Option<Fallback>,
    /// The field in which clients say how long they will wait.
    pub deadline: Option<String>,
    /// Whether clients are told in `Proxy-Status` what happened.
    pub proxy_status: bool,
}

impl Rules {
    /// What holds where nothing is said, for an upstream of so many targets.
    pub fn unsaid(targets: usize) -> Self {
        Self {
            balance: Balance::RoundRobin,
            keys: Vec::new(),
            slow_start: 0,
            failures: FAILURES.to_vec(),
            health: HealthRules::default(),
            breaker: None,
            retries: RetryRules::unsaid(targets),
            hedge: None,
            sticky: None,
            canary: None,
            fallback: None,
            deadline: None,
            proxy_status: false,
        }
    }
}

impl Rules {
    /// Whether bodies are kept to be sent again: where a request may be repeated, where it is known that one has reached nobody
    /// and another target may have it, or where another upstream may.
    fn keeps_bodies(&self, repeatable: bool, tells_unreachable: bool) -> bool {
        repeatable
            || tells_unreachable && self.retries.attempts > 0 && self.retries.on.contains(&Trouble::Unreachable)
            || self.fallback.as_ref().is_some_and(Fallback::is_upstream)
    }
}

impl Fallback {
    /// Whether it needs the request once more.
    pub fn is_upstream(&self) -> bool {
        matches!(self.instead, Instead::Upstream(_))
    }
}

/// The statuses that count as failures where nothing is said. Not 500: a request that makes every target stumble would
/// otherwise take them out one after the other.
pub const FAILURES: [u16; 3] = [502, 503, 504];

/// When a second attempt is made beside the first. Only for safe methods, and within the budget of retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hedge {
    /// After so many milliseconds.
    After(u64),
    /// When so many percent of the answers have taken less long.
    Percentile(u32),
}

/// What takes the place of a failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fallback {
    /// The statuses of the upstream that count as failures here, besides no answer at all.
    pub statuses: Vec<u16>,
    /// What is answered instead.
    pub instead: Instead,
}

/// What is answered instead of a failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Instead {
    /// What the upstream at this place answers. It has no fallback in turn.
    Upstream(u32),
    /// This.
    Respond(Respond),
}

/// How long an answer may take, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    /// One attempt, until the response's head is there.
    pub attempt: u64,
    /// All attempts together.
    pub total: u64,
    /// Between two parts of a body; `None`: nobody looks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<u64>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { attempt: 30_000, total: 60_000, idle: None }
    }
}

/// Which `Host` a target is sent. Both platforms derive it from the URL; `check` says what that means.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostHeader {
    /// The target's own.
    #[default]
    Target,
    /// The one that the client sent.
    Keep,
    /// This one.
    Fixed(String),
}
