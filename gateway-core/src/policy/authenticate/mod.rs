//! Proves who is calling.
//!
//! Every method looks for its own credential and gives a [`Verdict`]. Whatever proves right sets the same [`Caller`], and
//! the credential goes no further unless it is kept on purpose.

pub mod api_key;
pub mod basic;

pub use api_key::ApiKeyMethod;
pub use basic::Basic;

use super::{Flow, Visit};
use crate::caller::Caller;
use crate::error::Error;
use crate::platform::Platform;
use serde::{Deserialize, Serialize};

/// Ways in, and how many of them are needed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Authenticate {
    /// The ways, in the order in which they are tried.
    pub methods: Vec<Method>,
    /// How many of them are needed.
    pub need: Need,
    /// Whether who brings no credential at all passes, as nobody. A wrong credential never does.
    #[serde(default)]
    pub anonymous: bool,
}

/// How many ways must prove right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// One.
    Any,
    /// Each.
    All,
}

/// One way in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// A key in a header field, a query parameter or a cookie.
    ApiKey(ApiKeyMethod),
    /// A user name and a password (RFC 7617).
    Basic(Basic),
}

/// What a method says of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// This is who calls.
    Proven(Caller),
    /// There is no credential of this kind.
    Missing,
    /// There is one, and it is wrong; the client is told no more than this.
    Wrong(&'static str),
    /// There is one, and nobody can say just now whether it is right. The reason is for the log.
    Unknowable(String),
}

impl Authenticate {
    /// Lets known callers pass.
    pub async fn on_request<P: Platform>(&self, visit: &mut Visit<'_, P>) -> Result<Flow<P::Stream>, Error> {
        let mut wrong = None;
        let mut unknowable = None;
        let mut missing = false;
        let mut proven = false;
        for method in &self.methods {
            match method.judge(visit).await {
                // Two credentials of two consumers: nobody can say who calls.
                Verdict::Proven(caller) if contradicts(visit.caller, &caller) => {
                    wrong = wrong.or(Some("The credentials belong to different consumers."));
                }
                Verdict::Proven(caller) => {
                    visit.caller.join(caller);
                    proven = true;
                    if self.need == Need::Any {
                        break;
                    }
                }
                Verdict::Missing => missing = true,
                Verdict::Wrong(reason) => wrong = wrong.or(Some(reason)),
                Verdict::Unknowable(reason) => unknowable = unknowable.or(Some(reason)),
            }
        }
        let enough = match self.need {
            Need::Any => proven,
            Need::All => proven && !missing && wrong.is_none() && unknowable.is_none(),
        };
        if let (false, None, Some(reason)) = (enough, wrong, unknowable) {
            return Err(Error::CredentialUncertain { reason });
        }
        let challenges = || self.methods.iter().map(|method| method.challenge(wrong)).collect();
        if !enough && self.anonymous && wrong.is_none() && !proven {
            visit.memo.challenges = challenges();
        } else if !enough {
            return Err(Error::Unauthenticated {
                challenges: challenges(),
                reason: wrong.unwrap_or("This needs a credential."),
            });
        }
        self.methods.iter().for_each(|method| method.strip(visit));
        Ok(Flow::Continue)
    }
}

/// Whether two proofs name different consumers.
fn contradicts(one: &Caller, other: &Caller) -> bool {
    matches!((one.name(), other.name()), (Some(one), Some(other)) if one != other)
}

impl Method {
    async fn judge<P: Platform>(&self, visit: &Visit<'_, P>) -> Verdict {
        match self {
            Method::ApiKey(method) => method.judge(visit.line, visit.headers, visit.consumers, visit.platform).await,
            Method::Basic(method) => method.judge(visit.headers, visit.consumers, visit.platform).await,
        }
    }

    /// Takes the credential out of what goes on.
    fn strip<P: Platform>(&self, visit: &mut Visit<'_, P>) {
        match self {
            Method::ApiKey(method) => method.strip(visit.headers, visit.query),
            Method::Basic(method) => method.strip(visit.headers),
        }
    }

    /// The value of `WWW-Authenticate` that asks for this.
    fn challenge(&self, wrong: Option<&str>) -> String {
        match self {
            Method::ApiKey(method) => method.challenge(wrong),
            Method::Basic(method) => method.challenge(),
        }
    }
}
