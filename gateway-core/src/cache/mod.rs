//! A shared cache by the rules of HTTP (RFC 9111), as far as it decides: plain functions of messages and of `now`.
//!
//! [`directive`] reads what origins and clients say; [`fresh`] says for how long something may be used, and how old it is;
//! [`storing`] says what may be kept, and makes an [`Entry`](entry::Entry) of it; [`using`] says what becomes of a request
//! for which something is kept; [`update`] takes over what a 304 says. [`key`] tells requests apart, [`purge`] takes things back
//! before their time, [`flights`] lets one request fetch for many, [`near`] keeps what is asked for again and again at hand. The policy (`policy/cache.rs`) does the asking.

pub mod canonical;
pub mod conditions;
pub mod directive;
pub mod entry;
pub mod flights;
pub mod fresh;
pub mod key;
pub mod near;
pub mod purge;
pub mod range;
pub mod status;
pub mod storing;
pub mod update;
pub mod using;

/// What an instance remembers for its caches. All of it may be lost at any time.
#[derive(Debug, Default)]
pub struct Memory {
    /// Who is fetching what.
    pub flights: std::rc::Rc<flights::Flights>,
    /// What was found a moment ago.
    pub near: near::Near,
    /// What has been taken back.
    pub purges: purge::Known,
    /// Whether somebody takes things back of whom the configuration says nothing.
    pub are_purged: bool,
}
