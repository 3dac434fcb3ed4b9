//! What a route does to its requests and responses, one file per policy.
//!
//! To add a policy: write its file, name it in [`Policy`], and let the compiler show the places that must think about
//! it. Policies run in the order in which they are written; on the way back, in reverse, whoever made the response.

pub mod headers;

pub use headers::HeaderPolicy;

use crate::http::Headers;
use crate::route::Records;
use crate::template::Scope;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// The number of a list of policies. The first list is empty.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PolicyList(pub u32);

impl PolicyList {
    /// Whether this is the empty list.
    pub fn is_first(&self) -> bool {
        self.0 == 0
    }
}

/// Every list of policies that routes refer to; one is decoded when it is first needed, and kept.
#[derive(Debug)]
pub struct PolicyLists {
    records: Records,
    awake: RefCell<HashMap<PolicyList, Rc<Vec<Policy>>>>,
}

impl PolicyLists {
    /// Takes the lists as [`Records::freeze`] packs them, each as JSON.
    pub fn new(records: Bytes) -> Self {
        Self { records: Records(records), awake: RefCell::default() }
    }

    /// One list.
    pub fn get(&self, list: PolicyList) -> Option<Rc<Vec<Policy>>> {
        if let Some(policies) = self.awake.borrow().get(&list) {
            return Some(policies.clone());
        }
        let policies: Rc<Vec<Policy>> = Rc::new(serde_json::from_slice(&self.records.get(list.0)?).ok()?);
        self.awake.borrow_mut().insert(list, policies.clone());
        Some(policies)
    }
}

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

    /// Whether the way back looks at fields of the response, rather than only setting and removing some.
    pub fn reads_response(&self) -> bool {
        match self {
            Policy::Headers(_) => false,
        }
    }

    /// After it, for every response to a request that this policy has seen.
    pub fn on_response(&self, headers: &mut Headers, scope: &Scope<'_>) {
        match self {
            Policy::Headers(policy) => policy.response.apply(headers, scope),
        }
    }
}
