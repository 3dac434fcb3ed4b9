//! What a route does to its requests and responses, one file per policy.
//!
//! To add a policy: write its file, name it in [`Policy`], and let the compiler show the places that must think about
//! it. Policies run in the order in which they are written; on the way back, in reverse, whoever made the response.

pub mod headers;

pub use headers::HeaderPolicy;

use crate::http::Headers;
use crate::template::Scope;
use serde::{Deserialize, Serialize};

/// Every policy there is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// Sets, appends and removes header fields.
    Headers(HeaderPolicy),
}

impl Policy {
    /// Before the action.
    pub fn on_request(&self, headers: &mut Headers, scope: &Scope<'_>) {
        match self {
            Policy::Headers(policy) => policy.request.apply(headers, scope),
        }
    }

    /// After it, for every response to a request that this policy has seen.
    pub fn on_response(&self, headers: &mut Headers, scope: &Scope<'_>) {
        match self {
            Policy::Headers(policy) => policy.response.apply(headers, scope),
        }
    }
}
