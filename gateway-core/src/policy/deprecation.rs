//! Tells clients that what they use is going away, and refuses it once it is gone.

use super::Departure;
use crate::error::Error;
use crate::platform::{Platform, Timestamp};
use crate::quota::calendar::http_date;
use serde::{Deserialize, Serialize};

/// When a route began and will cease to be there for old times' sake.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deprecation {
    /// Since when, or from when on, nobody should begin to use it (RFC 9745).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// When it will be gone (RFC 8594).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sunset: Option<Timestamp>,
    /// Where to read about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// What takes its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<String>,
    /// Whether requests are refused then.
    #[serde(default)]
    pub refuses: bool,
}

impl Deprecation {
    /// Whether a request may still pass.
    pub fn check(&self, now: impl FnOnce() -> Timestamp) -> Result<(), Error> {
        match self.sunset {
            Some(sunset) if self.refuses && now() >= sunset => Err(Error::Gone),
            _ => Ok(()),
        }
    }

    /// Says so in every response.
    pub fn on_response<P: Platform>(&self, departure: &mut Departure<'_, P>) {
        let headers = &mut departure.response.headers;
        if let Some(since) = self.since {
            headers.set("deprecation", format!("@{}", since / 1_000));
        }
        if let Some(sunset) = self.sunset {
            headers.set("sunset", http_date(sunset));
        }
        if let Some(about) = &self.about {
            headers.append("link", format!("<{about}>; rel=\"deprecation\""));
        }
        if let Some(successor) = &self.successor {
            headers.append("link", format!("<{successor}>; rel=\"successor-version\""));
        }
    }
}
