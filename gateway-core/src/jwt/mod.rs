//! JSON Web Tokens (RFC 7519): read strictly, verified with keys that are pinned to their algorithms, and checked against
//! what the configuration asks. Plain functions of values; time is an argument.

pub mod token;

pub mod rules;

pub mod key_set;

pub mod key;

pub mod refresh;

pub mod remembered;

pub mod proof;
pub mod replay;

pub mod algorithm;
pub mod refusal;

pub mod der;
pub mod json;
mod material;

pub use algorithm::{Algorithm, Family};
pub use key::{BadKey, Key};
pub use key_set::{BadSet, KeySet};
pub use refusal::Refusal;
pub use rules::Rules;
pub use token::{Header, Purpose, Token};
