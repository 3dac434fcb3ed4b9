//! Signed requests: HTTP message signatures (RFC 9421) and the older `hmac` scheme, read strictly, and checked with keys that
//! are pinned to their algorithms. Plain functions of values; time is an argument.
//!
//! Every value that a signature covers is taken from the request as the gateway acts on it: the path in its one spelling,
//! the host as routes match it. So whatever was signed is what was matched and what is sent on, and no difference between two
//! spellings can lie between the signature and the route.

pub mod algorithm;
pub mod message;
pub mod refusal;

#[cfg(feature = "signatures")]
pub mod component;
#[cfg(feature = "signatures")]
pub mod digest;
#[cfg(feature = "signatures")]
pub mod hmac;
#[cfg(feature = "signatures")]
pub mod input;
#[cfg(feature = "signatures")]
pub mod key;
#[cfg(feature = "signatures")]
pub mod rules;

pub use algorithm::Algorithm;
pub use message::Message;
pub use refusal::Refusal;
