//! Refuses requests by what they say of themselves: the program that sends them, the page they come from, the kind of body.
//!
//! All of this is anybody's claim. It keeps out what is honest and unwanted, and what comes by mistake.

use super::origin::OriginRule;
use crate::error::Error;
use crate::http::Headers;
use serde::{Deserialize, Serialize};

/// Rules that must all be met.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RequestRules {
    /// On `User-Agent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agents: Option<Rules<Text>>,
    /// On the origin in `Referer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub referers: Option<Rules<OriginRule>>,
    /// On `Content-Type`, where there is a body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_types: Option<Rules<MediaRange>>,
}

/// What is let in, if anything is listed, and what is not. Denying comes first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rules<T> {
    /// One of these is needed.
    #[serde(default = "Vec::new", skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<T>,
    /// None of these may be there.
    #[serde(default = "Vec::new", skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<T>,
    /// Whether requests that say nothing are refused.
    #[serde(default)]
    pub required: bool,
}

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Text {
    /// This is found somewhere, in upper or lower case. Kept in lower case.
    Contains(String),
    /// This finds something.
    #[cfg(feature = "regex")]
    Regex(crate::route::Regex),
}

/// Media types (RFC 9110 §8.3.1): `application/json`, `text/*`, `application/*+json`. Kept in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaRange(pub String);

impl Text {
    fn is_in(&self, text: &str) -> bool {
        match self {
            Text::Contains(part) => text.to_ascii_lowercase().contains(part.as_str()),
            #[cfg(feature = "regex")]
            Text::Regex(regex) => regex.is_match(text),
        }
    }
}

impl MediaRange {
    /// Whether a type, without parameters and in lower case, is one of these.
    fn covers(&self, media_type: &str) -> bool {
        match self.0.split_once('*') {
            None => self.0 == media_type,
            Some((front, back)) => media_type
                .strip_prefix(front)
                .and_then(|rest| rest.strip_suffix(back))
                .is_some_and(|star| !star.is_empty() && !star.contains('/')),
        }
    }
}

impl<T> Rules<T> {
    fn admit(&self, matches: impl Fn(&T) -> bool) -> bool {
        !self.deny.iter().any(&matches) && (self.allow.is_empty() || self.allow.iter().any(&matches))
    }
}

impl RequestRules {
    /// Whether the request may go on.
    pub fn check(&self, headers: &Headers, has_body: bool) -> Result<(), Error> {
        let refuse = |reason: &str| Err(Error::Forbidden { reason: reason.to_owned(), challenge: None });
        if let Some(rules) = &self.user_agents {
            // Bytes that are no text are none that any rule could name, and may hide what one does.
            let agent = headers.get("user-agent").map(String::from_utf8_lossy).filter(|agent| !agent.is_empty());
            let fits = match &agent {
                Some(agent) => rules.admit(|text| text.is_in(agent)),
                None => !rules.required && rules.allow.is_empty(),
            };
            if !fits {
                return refuse("Programs of this kind may not send requests here.");
            }
        }
        if let Some(rules) = &self.referers {
            let fits = match headers.get("referer").map(String::from_utf8_lossy) {
                Some(referer) => origin(&referer).is_some_and(|origin| rules.admit(|rule| rule.matches(&origin))),
                None => !rules.required,
            };
            if !fits {
                return refuse("Requests from this page are not taken.");
            }
        }
        match &self.content_types {
            Some(rules) if has_body => check_type(rules, headers),
            Some(_) | None => Ok(()),
        }
    }
}

fn check_type(rules: &Rules<MediaRange>, headers: &Headers) -> Result<(), Error> {
    let mut lines = headers.all("content-type");
    let fits = match (lines.next(), lines.next()) {
        (None, _) => !rules.required && rules.allow.is_empty(),
        (Some(line), None) => media_type(line).is_some_and(|found| rules.admit(|range| range.covers(&found))),
        // Two types: the upstream may read the other one.
        (Some(_), Some(_)) => false,
    };
    if fits {
        return Ok(());
    }
    Err(Error::UnsupportedMediaType { accept: rules.allow.iter().map(|range| range.0.clone()).collect() })
}

/// The type without parameters, in lower case. `None` where upstreams could read it in two ways.
fn media_type(line: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(line).ok()?;
    let essence = text.split(';').next()?.trim().to_ascii_lowercase();
    let (kind, subtype) = essence.split_once('/')?;
    (crate::http::is_token(kind) && crate::http::is_token(subtype)).then_some(essence)
}

/// The origin of an address as browsers write it: scheme, host and port in lower case, without the usual port.
fn origin(address: &str) -> Option<String> {
    let (scheme, rest) = address.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    // RFC 9110 §10.1.3: it has no user information; what has some is no browser's.
    if authority.is_empty() || authority.contains('@') {
        return None;
    }
    let origin = format!("{scheme}://{authority}").to_ascii_lowercase();
    let usual = match scheme.to_ascii_lowercase().as_str() {
        "https" => ":443",
        "http" => ":80",
        _ => return Some(origin),
    };
    Some(origin.strip_suffix(usual).map(str::to_owned).unwrap_or(origin))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules<T>(allow: Vec<T>, deny: Vec<T>, required: bool) -> Option<Rules<T>> {
        Some(Rules { allow, deny, required })
    }

    fn status(policy: &RequestRules, block: &str, has_body: bool) -> u16 {
        let headers = Headers::from_block(block.as_bytes().to_vec());
        policy.check(&headers, has_body).map_or_else(|error| error.kind().0, |()| 200)
    }

    #[test]
    fn programs_are_known_by_their_names() {
        let text = |text: &str| Text::Contains(text.into());
        let deny = RequestRules {
            user_agents: rules(vec![], vec![text("badbot"), text("curl/")], false),
            ..RequestRules::default()
        };
        let required = RequestRules { user_agents: rules(vec![], vec![], true), ..RequestRules::default() };
        let allow =
            RequestRules { user_agents: rules(vec![text("ourapp/")], vec![], false), ..RequestRules::default() };
        for (policy, block, expected) in [
            (&deny, "user-agent\0Mozilla/5.0 (compatible; BadBot/1.0)\n", 403),
            (&deny, "user-agent\0curl/8.0\n", 403),
            (&deny, "user-agent\0Mozilla/5.0\n", 200),
            (&deny, "", 200),
            (&required, "", 403),
            (&required, "user-agent\0\n", 403),
            (&required, "user-agent\0x\n", 200),
            (&allow, "user-agent\0OurApp/2.1 iOS\n", 200),
            (&allow, "user-agent\0Mozilla/5.0\n", 403),
            (&allow, "", 403),
        ] {
            assert_eq!(status(policy, block, false), expected, "{policy:?} {block}");
        }
    }

    #[test]
    fn pages_are_known_by_their_origins() {
        let own = || {
            vec![
                OriginRule::Exact("https://app.example".into()),
                OriginRule::Wildcard("https://".into(), ".app.example".into()),
            ]
        };
        let lenient = RequestRules { referers: rules(own(), vec![], false), ..RequestRules::default() };
        let strict = RequestRules { referers: rules(own(), vec![], true), ..RequestRules::default() };
        for (block, expected) in [
            ("referer\0https://app.example/page?q\n", 200),
            ("referer\0HTTPS://App.example:443/\n", 200),
            ("referer\0https://cdn.app.example\n", 200),
            ("referer\0https://evil.example/https://app.example/\n", 403),
            ("referer\0https://app.example@evil.example/\n", 403),
            ("referer\0https://app.example.evil.example/\n", 403),
            ("referer\0about:blank\n", 403),
            ("referer\0\n", 403),
        ] {
            assert_eq!(status(&lenient, block, false), expected, "{block}");
            assert_eq!(status(&strict, block, false), expected, "{block}");
        }
        assert_eq!((status(&lenient, "", false), status(&strict, "", false)), (200, 403));
    }

    #[test]
    fn bodies_are_of_the_kinds_that_are_taken() {
        let range = |text: &str| MediaRange(text.into());
        let allow = vec![range("application/json"), range("application/*+json"), range("text/*")];
        let allow =
            RequestRules { content_types: rules(allow, vec![range("text/html")], false), ..RequestRules::default() };
        let deny =
            RequestRules { content_types: rules(vec![], vec![range("multipart/*")], false), ..RequestRules::default() };
        let required = RequestRules { content_types: rules(vec![], vec![], true), ..RequestRules::default() };
        for (policy, block, has_body, expected) in [
            (&allow, "content-type\0application/json\n", true, 200),
            (&allow, "content-type\0Application/JSON; charset=utf-8\n", true, 200),
            (&allow, "content-type\0application/problem+json\n", true, 200),
            (&allow, "content-type\0application/+json\n", true, 415),
            (&allow, "content-type\0text/plain\n", true, 200),
            (&allow, "content-type\0text/html\n", true, 415),
            (&allow, "content-type\0text/\n", true, 415),
            (&allow, "content-type\0application/xml\n", true, 415),
            (&allow, "content-type\0application/json, text/html\n", true, 415),
            (&allow, "content-type\0application/json\ncontent-type\0text/html\n", true, 415),
            (&allow, "", true, 415),
            (&allow, "content-type\0application/xml\n", false, 200),
            (&deny, "content-type\0multipart/form-data; boundary=x\n", true, 415),
            (&deny, "content-type\0text/plain\n", true, 200),
            (&deny, "", true, 200),
            (&required, "", true, 415),
            (&required, "", false, 200),
        ] {
            assert_eq!(status(policy, block, has_body), expected, "{policy:?} {block}");
        }
    }
}
