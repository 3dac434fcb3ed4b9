//! Makes what an upstream says of its own address right for clients: `Location`, cookies, addresses in bodies.

use super::transform::edit_set_cookie;
use super::{Departure, Visit};
use crate::error::Error;
use crate::platform::Platform;
#[cfg(feature = "shaping")]
use crate::shape::Rules;
use crate::shape::edit::moved;
use crate::template::{Scope, Template};
use serde::{Deserialize, Serialize};

/// What addresses begin with behind the gateway, and before it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Links {
    /// Beginnings, and what they become; the first that fits by whole segments counts.
    pub replace: Vec<(String, Template)>,
    /// Fields that hold one address.
    pub fields: Vec<String>,
    /// Domains of cookies, without a dot at the start; an empty one goes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cookie_domains: Vec<(String, Template)>,
    /// What paths of cookies begin with.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cookie_paths: Vec<(String, Template)>,
    /// Addresses in JSON bodies.
    #[cfg(feature = "shaping")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Rules>,
}

impl Links {
    /// Whether the way back looks at the request's fields.
    pub fn asks_request(&self) -> bool {
        #[cfg(feature = "shaping")]
        if self.body.is_some() {
            // How the answer may be packed stands there.
            return true;
        }
        self.replace.iter().chain(&self.cookie_domains).chain(&self.cookie_paths).any(|(_, to)| to.asks_request())
    }

    /// On the way in.
    pub fn on_request<P: Platform>(&self, visit: &mut Visit<'_, P>) {
        #[cfg(feature = "shaping")]
        if let Some(body) = &self.body {
            body.ask_for_plain(visit.headers);
        }
        #[cfg(not(feature = "shaping"))]
        let _ = visit;
    }

    /// On the way back.
    pub async fn on_response<P: Platform>(&self, departure: &mut Departure<'_, P>) -> Result<(), Error> {
        if !departure.from_upstream {
            return Ok(());
        }
        #[cfg(feature = "shaping")]
        if let Some(body) = &self.body {
            body.on_response(departure).await?;
        }
        let Departure { response, scope, .. } = departure;
        let replace = rendered(&self.replace, scope);
        for name in &self.fields {
            let Some(address) = response.headers.text(name) else { continue };
            if let Some(new) = moved(address, pairs(&replace)) {
                response.headers.set(name, new);
            }
        }
        if !(self.cookie_domains.is_empty() && self.cookie_paths.is_empty()) {
            let (domains, paths) = (rendered(&self.cookie_domains, scope), rendered(&self.cookie_paths, scope));
            edit_set_cookie(&mut response.headers, |line| Some(cookie(line, &domains, &paths)));
        }
        Ok(())
    }
}

fn rendered<'a>(all: &'a [(String, Template)], scope: &Scope<'_>) -> Vec<(&'a str, String)> {
    all.iter().map(|(from, to)| (from.as_str(), to.render(scope))).collect()
}

fn pairs<'a>(all: &'a [(&'a str, String)]) -> impl Iterator<Item = (&'a str, &'a str)> {
    all.iter().map(|(from, to)| (*from, to.as_str()))
}

/// A `Set-Cookie` line with other attributes `Domain` and `Path` (RFC 6265 §4.1.2).
fn cookie(line: &str, domains: &[(&str, String)], paths: &[(&str, String)]) -> String {
    let attributes = line.split(';').enumerate().filter_map(|(at, part)| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let (name, value) = (name.trim(), value.trim());
        if at == 0 {
            return Some(part.to_owned());
        }
        if name.eq_ignore_ascii_case("domain") {
            let bare = value.strip_prefix('.').unwrap_or(value);
            return match domains.iter().find(|(from, _)| from.eq_ignore_ascii_case(bare)) {
                Some((_, to)) if to.is_empty() => None,
                Some((_, to)) => Some(format!(" Domain={to}")),
                None => Some(part.to_owned()),
            };
        }
        if name.eq_ignore_ascii_case("path") {
            let new = moved(value, pairs(paths));
            return Some(new.map_or_else(
                || part.to_owned(),
                |new| format!(" Path={}", if new.is_empty() { "/" } else { new.as_str() }),
            ));
        }
        Some(part.to_owned())
    });
    attributes.collect::<Vec<_>>().join(";")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_get_the_domain_and_the_path_that_clients_see() {
        let domains = [("in.example", "api.example".to_owned()), ("gone.example", String::new())];
        let paths = [("/two", "/one".to_owned()), ("/", "/base".to_owned())];
        for (line, expected) in [
            ("a=b; Domain=.IN.example; Path=/two/x; Secure", "a=b; Domain=api.example; Path=/one/x; Secure"),
            ("a=b;domain=gone.example;path=/twofold", "a=b; Path=/base/twofold"),
            ("domain=x; Domain=other.example", "domain=x; Domain=other.example"),
            ("a=b; Path=/two", "a=b; Path=/one"),
        ] {
            assert_eq!(cookie(line, &domains, &paths), expected, "{line}");
        }
    }
}
