//! GraphQL, as far as a gateway needs it: documents are read and measured without a schema.
//!
//! Read on in the order of a request: [`request`] reads what a client sends over HTTP, [`document`] the document in it, [`measure`]
//! says how much that asks for, [`persisted`] knows documents by their hashes. The policy is in `policy/graphql.rs`; [`stored`] is
//! the other way round: a route that asks a query which the configuration holds.

pub mod document;
pub mod measure;
pub mod persisted;
pub mod request;
pub mod stored;

pub use document::Document;
pub use persisted::Memory;
pub use stored::StoredQuery;

use serde::{Deserialize, Serialize};

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It asks.
    Query,
    /// It changes something.
    Mutation,
    /// It asks to be told.
    Subscription,
}

impl Kind {
    /// Every kind with its keyword.
    pub const ALL: [(&'static str, Kind); 3] =
        [("query", Kind::Query), ("mutation", Kind::Mutation), ("subscription", Kind::Subscription)];

    /// The keyword.
    pub fn as_str(self) -> &'static str {
        Kind::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(word, _)| word)
    }

    /// What the type of its root is called where nobody says otherwise.
    pub fn root(self) -> &'static str {
        match self {
            Kind::Query => "Query",
            Kind::Mutation => "Mutation",
            Kind::Subscription => "Subscription",
        }
    }
}

/// Why a request is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It is no request of GraphQL over HTTP, or its document is none.
    Malformed(String),
    /// It asks for more than is taken.
    TooMuch(String),
    /// It asks for what nobody may have.
    Forbidden(String),
}

impl Refusal {
    /// The status, the problem's code and its title.
    pub fn kind(&self) -> (u16, &'static str, &'static str) {
        match self {
            Refusal::Malformed(_) => (400, "graphql-malformed", "Malformed GraphQL request"),
            Refusal::TooMuch(_) => (400, "graphql-too-much", "GraphQL request too large"),
            Refusal::Forbidden(_) => (403, "graphql-forbidden", "GraphQL request forbidden"),
        }
    }

    /// One sentence for the client.
    pub fn detail(&self) -> &str {
        match self {
            Refusal::Malformed(reason) | Refusal::TooMuch(reason) | Refusal::Forbidden(reason) => reason,
        }
    }
}

/// What a request asks for, for those behind the policy that has read it: templates, limits, caches and the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Its name; of several at once their names, with commas between. Empty where it has none.
    pub name: String,
    /// What it does; of several at once the one that does most.
    pub kind: Kind,
    /// What it costs, by the rules of the policy.
    pub cost: u64,
    /// What it is known by where answers are stored: its document in one spelling, its name and its variables. `None`: its answer
    /// is for nobody else.
    pub key: Option<String>,
}

/// The media type of answers that say by their status how things went (GraphQL over HTTP).
pub const RESPONSE: &str = "application/graphql-response+json";
