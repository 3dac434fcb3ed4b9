//! What opens something, or what it is checked against: compared in constant time and never shown, whoever handles it.
//!
//! There is no other way to compare two of these than `==`, and that takes as long for a wrong one as for the right one. So no
//! comparison has to remember it.

use serde::{Deserialize, Serialize};
use std::fmt;
use subtle::ConstantTimeEq;

/// A secret, or a hash of one. Its length is no secret.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret<T>(T);

impl<T: AsRef<[u8]>> Secret<T> {
    /// Takes what must be kept.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// What it is, for whoever must compute with it or write it down.
    pub fn reveal(&self) -> &T {
        &self.0
    }
}

impl<T: AsRef<[u8]>> PartialEq for Secret<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_ref().ct_eq(other.0.as_ref()).into()
    }
}

impl<T: AsRef<[u8]>> Eq for Secret<T> {}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl<T> From<T> for Secret<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_compared_whole_and_never_shown() {
        let secret = Secret::new("open sesame".to_owned());
        assert_eq!(secret, Secret::new("open sesame".to_owned()));
        for other in ["open sesamE", "Open sesame", "open sesam", "open sesame ", ""] {
            assert_ne!(secret, Secret::new(other.to_owned()));
        }
        assert_eq!(format!("{secret:?} {secret:#?}"), "… …");
    }
}
