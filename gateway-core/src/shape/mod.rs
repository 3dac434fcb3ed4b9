//! Bodies in another shape: values that are changed by path, built from blueprints, or asked for by a query.
//!
//! A text is read once into the flat list of [`json`](crate::json); a [`Value`] opens only the lists and objects that somebody
//! changes, so all the rest is written with the bytes that it came with: no number loses a digit, no member its place.
//!
//! Read in this order: [`value`], [`path`], [`edit`], [`blueprint`]; then [`rules`], what a policy does with a whole body, and
//! [`items`], what it does with one that never ends.

pub mod blueprint;
#[cfg(feature = "codings")]
pub mod coding;
#[cfg(feature = "formats")]
pub mod csv;
pub mod edit;
#[cfg(feature = "formats")]
pub mod fields;
#[cfg(feature = "shaping")]
pub mod items;
pub mod path;
#[cfg(feature = "queries")]
pub mod query;
#[cfg(feature = "shaping")]
pub mod rules;
pub mod value;
#[cfg(feature = "formats")]
pub mod xml;

pub use blueprint::Blueprint;
pub use edit::Edit;
pub use path::{Path, Step};
#[cfg(feature = "shaping")]
pub use rules::Rules;
pub use value::Value;
