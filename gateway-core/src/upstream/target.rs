//! One server of an upstream.

use super::maglev::hash;
use crate::http::Scheme;
use crate::route::pattern;
use crate::template::{Settings, Template};
use serde::{Deserialize, Serialize};

/// A target as it was compiled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetRule {
    /// Its URL; references in it are filled in when the gateway is loaded.
    pub url: Template,
    /// The platform's own way to it, by its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<String>,
    /// What it is called in logs, in `Proxy-Status` and in the rules of its upstream; `None`: by its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its share of the requests. 0: only who is kept here by a cookie.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub weight: u32,
    /// The group that it belongs to; the lowest number is used first.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub priority: u32,
    /// Whose requests it takes before the others of its group.
    #[serde(default, skip_serializing_if = "Near::is_empty")]
    pub near: Near,
}

/// Where requests come from that a target is near to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Near {
    /// The clients' countries.
    pub countries: Vec<String>,
    /// The platform's data centres.
    pub data_centres: Vec<String>,
}

impl Near {
    /// Whether it is near to nobody in particular.
    pub fn is_empty(&self) -> bool {
        self.countries.is_empty() && self.data_centres.is_empty()
    }
}

fn one() -> u32 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde asks for a reference.
fn is_one(weight: &u32) -> bool {
    *weight == 1
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde asks for a reference.
fn is_zero(priority: &u32) -> bool {
    *priority == 0
}

impl TargetRule {
    /// A target of which nothing but the URL is said.
    pub fn plain(url: Template) -> Self {
        Self { url, binding: None, name: None, weight: 1, priority: 0, near: Near::default() }
    }
}

/// Where requests can be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// `http` or `https`.
    pub scheme: Scheme,
    /// Host, and the port where it is not the scheme's own.
    pub authority: String,
    /// The platform's own way to it, by its name.
    pub binding: Option<String>,
    /// What every path is put behind; normalised, empty or beginning with `/`, never ending with it.
    pub base: String,
}

impl Target {
    /// Reads `http://host:port/base`.
    pub fn parse(url: &str) -> Result<Self, String> {
        let wrong = |why: &str| Err(format!("`{url}` is not a target's URL: {why}; write `https://host:port/path`"));
        let Some((scheme, rest)) = url.split_once("://") else { return wrong("it has no `://`") };
        let scheme = match scheme {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return wrong("the scheme is neither http nor https"),
        };
        if rest.contains(['?', '#']) {
            return wrong("it has a query or a fragment");
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.contains('@') {
            return wrong("credentials do not belong into a URL");
        }
        if pattern::authority(authority).is_none() {
            return wrong("the host or the port is malformed");
        }
        let base = match path {
            "" => String::new(),
            path => match crate::path::normalise(path) {
                Ok(path) => path.trim_end_matches('/').to_owned(),
                Err(invalid) => return wrong(&invalid.to_string()),
            },
        };
        Ok(Self { scheme, authority: authority.to_ascii_lowercase(), binding: None, base })
    }

    /// The target of a rule, with its references filled in.
    pub fn of(rule: &TargetRule, settings: &Settings) -> Result<Self, String> {
        Ok(Self { binding: rule.binding.clone(), ..Self::parse(&rule.url.resolve(settings))? })
    }

    /// A number for its address, the same on every machine and wherever it stands in the configuration.
    pub fn identity(&self) -> u64 {
        let binding = self.binding.as_deref().map_or(String::new(), |name| format!("{name} "));
        hash(format!("{binding}{}://{}{}", self.scheme, self.authority, self.base).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_urls_without_surprises() {
        let target = Target::parse("https://API.example.com:8443/base/../v1/").expect("a target");
        assert_eq!((target.authority.as_str(), target.base.as_str()), ("api.example.com:8443", "/v1"));
        assert_eq!(Target::parse("http://h/").expect("a target").base, "");
        for wrong in
            ["h", "ftp://h", "http://", "http://u:p@h", "http://h?x", "http://h/#x", "http://h:x/", "http://h/%"]
        {
            assert!(Target::parse(wrong).is_err(), "{wrong}");
        }
    }
}
