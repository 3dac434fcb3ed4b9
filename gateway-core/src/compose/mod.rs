//! One answer from several calls: a graph of steps, of which those that do not need each other run side by side.
//!
//! What a step needs is read from its templates when the configuration is compiled, where the graph is checked as well: here it
//! has no cycles, and each step names only steps that there are. Everything in this module decides with values; the calls are
//! made in `gateway/compose.rs`, by the same way as those of any other route.
//!
//! Read in this order: this file, what is configured; [`outcome`], what came of a step; [`sight`], what templates see of that;
//! [`call`], what a step sends; [`answer`], what the client gets; [`heard`], who may store that.

pub mod answer;
pub mod batch;
pub mod call;
pub mod heard;
pub mod outcome;
pub mod sight;

pub use answer::{Answer, Member, Part};
pub use batch::Batch;
pub use heard::Heard;
pub use outcome::{Answered, Document, Failure, Outcome};
pub use sight::Sight;

#[cfg(feature = "expressions")]
use crate::expression::Expression;
use crate::forward::Forward;
use crate::http::Statuses;
use crate::json;
use crate::policy::PolicyList;
use crate::shape::{Blueprint, Path};
use crate::template::Template;
use crate::upstream::RetryRules;
use serde::{Deserialize, Serialize};

/// Answers from several calls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Compose {
    /// In the order in which they are written. Each needs only others of these, and no two each other.
    pub steps: Vec<Step>,
    /// What is made of them.
    pub answer: Answer,
    /// The status, 200 to 599.
    pub status: Template,
    /// Header fields, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, Template)>,
    /// How the members are sent as they are finished; `None`: all together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<Stream>,
    /// How many calls may be under way at once.
    pub parallel: u32,
    /// How long all of it may take, in milliseconds.
    pub timeout: u64,
    /// How many bytes the bodies of all steps may have together.
    pub limit: u64,
    /// Whether something is taken from the body of the request, and then how many bytes it may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<u64>,
    /// The fields of the request on which the answer depends, in lower case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vary: Vec<String>,
}

/// How members are sent as they are finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stream {
    /// How they are written.
    pub form: Form,
    /// When.
    pub order: Order,
}

/// How members of a stream are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// One object, of which more and more is there.
    Json,
    /// A line of JSON for each.
    Ndjson,
    /// An event for each (HTML, "Server-sent events").
    Sse,
}

/// In which order members are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// As they are finished.
    Finished,
    /// As they are declared: one that is finished early waits.
    Declared,
}

/// One call, or one for each item of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// What it is called.
    pub name: String,
    /// The places of the steps that must be over before it begins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<u32>,
    /// The upstream, and its `Host`. The path is the step's own.
    pub forward: Forward,
    /// The method's token.
    pub method: String,
    /// The path. What fills its holes cannot add segments.
    pub path: Template,
    /// Parameters of the query, in order. One that comes to nothing is left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub query: Vec<(String, Template)>,
    /// Fields of the client's request that go with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forward_headers: Vec<String>,
    /// Fields of its own. One that comes to nothing is left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, Template)>,
    /// What it sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Blueprint>,
    /// How its answer is read.
    pub format: Format,
    /// The statuses that are no failures.
    pub success: Vec<Statuses>,
    /// How many bytes of an answer are read.
    pub limit: u64,
    /// How long it may take, in milliseconds, until the answer's body is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
    /// When a call that has failed is made once more; `None`: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<RetryRules>,
    /// What must hold, or it is left out.
    #[cfg(feature = "expressions")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Expression>,
    /// For what it is done several times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_each: Option<ForEach>,
    /// What becomes of a failure.
    pub on_error: OnError,
    /// Whom a call passes on its way: a cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policies: Option<PolicyList>,
}

/// How an answer is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// As JSON, which it must say it is.
    Json,
    /// As text, which becomes one string.
    Text,
    /// As XML, by the mapping of `docs/policies/transform.md`.
    Xml,
}

/// A list, for each item of which something is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForEach {
    /// Where the list is: `steps.NAME.body…`.
    pub list: Path,
    /// For how many items at most.
    pub most: u32,
    /// What becomes of the items beyond.
    pub beyond: Beyond,
}

/// What becomes of items beyond the bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Beyond {
    /// The step fails, before anything is sent.
    Fail,
    /// They are left out, and the answer is not complete.
    Cut,
}

/// What becomes of a failure; of a step that is repeated, of the failure of one item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// The whole fails.
    Fail,
    /// It is left out.
    Omit,
    /// It is left out, and `errors` says so.
    Errors,
    /// This takes its place.
    Default(Blueprint),
}

/// How JSON of upstreams is read: what they repeat is their own affair.
pub const LIMITS: json::Limits = json::Limits { duplicates: true, ..json::Limits::USUAL };

/// The field that says whether an answer is complete: `true` or `false`.
pub const COMPLETE: &str = "composition-complete";

/// The name of the list of failures in an answer, and of what says in a stream whether it is complete.
pub const RESERVED: [&str; 2] = ["errors", "complete"];

impl Compose {
    /// The steps that can begin: all that they need is over, and they have not begun.
    pub fn ready<'s>(
        &'s self,
        has_begun: impl Fn(usize) -> bool + 's,
        is_over: impl Fn(usize) -> bool + 's,
    ) -> impl Iterator<Item = usize> + 's {
        let free = move |step: &Step| step.needs.iter().all(|needed| is_over(*needed as usize));
        (0..).zip(&self.steps).filter(move |(at, step)| !has_begun(*at) && free(step)).map(|(at, _)| at)
    }

    /// How many round trips it takes until each step is over, at least.
    pub fn depths(&self) -> Vec<usize> {
        let mut depths = vec![0_usize; self.steps.len()];
        // Steps may be written in any order, so a chain of all of them takes as many rounds.
        for _ in 0..self.steps.len() {
            for (at, step) in self.steps.iter().enumerate() {
                let below = step.needs.iter().filter_map(|needed| depths.get(*needed as usize)).max();
                depths[at] = 1 + below.copied().unwrap_or(0);
            }
        }
        depths
    }
}

impl Step {
    /// How many calls it makes at most, retries aside.
    pub fn most_calls(&self) -> u32 {
        self.for_each.as_ref().map_or(1, |each| each.most)
    }
}
