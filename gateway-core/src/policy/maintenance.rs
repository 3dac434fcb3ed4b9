//! Answers 503 while there is work on what is behind.

use crate::client::{Cidr, Client};
use crate::error::Error;
use crate::platform::Timestamp;
use crate::template::{Settings, Template};
use serde::{Deserialize, Serialize};

/// When there is work, and who may look at it meanwhile.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Maintenance {
    /// It is off where this says `false`, `off`, `no`, `0` or nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active: Option<Template>,
    /// When it begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// When it is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// After how many seconds clients should come back, where its end is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    /// Addresses that are let through.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<Cidr>,
}

impl Maintenance {
    /// Whether a request may pass.
    pub fn check(&self, client: &Client, settings: &Settings, now: impl FnOnce() -> Timestamp) -> Result<(), Error> {
        let active = self.active.as_ref().map(|active| active.resolve(settings));
        let is_off =
            |text: String| matches!(text.trim().to_ascii_lowercase().as_str(), "" | "false" | "off" | "no" | "0");
        if active.is_some_and(is_off) {
            return Ok(());
        }
        if client.address.is_some_and(|address| self.allow.iter().any(|range| range.contains(address))) {
            return Ok(());
        }
        if self.from.is_none() && self.until.is_none() {
            return Err(Error::Maintenance { seconds: self.retry_after });
        }
        let now = now();
        if self.from.is_some_and(|from| now < from) || self.until.is_some_and(|until| now >= until) {
            return Ok(());
        }
        let left = self.until.map(|until| (until - now).div_ceil(1_000));
        Err(Error::Maintenance { seconds: left.or(self.retry_after) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Headers, Peer, Scheme};

    #[test]
    fn it_lasts_as_long_as_is_said() {
        let peer = Peer { address: Some([10, 0, 0, 1].into()), ..Peer::default() };
        let client = Client::resolve(peer, Scheme::Http, &Headers::new(), &[]);
        let check = |policy: &Maintenance, now: u64| match policy.check(&client, &Settings::new(), || now) {
            Ok(()) => Ok(()),
            Err(Error::Maintenance { seconds }) => Err(seconds),
            Err(other) => panic!("{other:?}"),
        };
        let always = Maintenance { retry_after: Some(7), ..Maintenance::default() };
        assert_eq!(check(&always, 0), Err(Some(7)));
        let some_time = Maintenance { from: Some(10_000), until: Some(20_000), ..always.clone() };
        for (now, expected) in [(9_999, Ok(())), (10_000, Err(Some(10))), (19_001, Err(Some(1))), (20_000, Ok(()))] {
            assert_eq!(check(&some_time, now), expected, "{now}");
        }
        let range: Cidr = "10.0.0.0/8".parse().expect("a range");
        assert_eq!(check(&Maintenance { allow: vec![range], ..always.clone() }, 0), Ok(()));
        for (text, expected) in [("off", Ok(())), ("", Ok(())), ("False", Ok(())), ("yes", Err(Some(7)))] {
            let policy = Maintenance { active: Some(Template::literal(text)), ..always.clone() };
            assert_eq!(check(&policy, 0), expected, "{text}");
        }
    }
}
