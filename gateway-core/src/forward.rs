//! Turns a client's request into the one that an upstream is sent.

use crate::client::Client;
use crate::error::Error;
use crate::http::{Headers, list};
#[cfg(feature = "regex")]
use crate::path;
use crate::platform::Sockets;
use crate::request::Line;
#[cfg(feature = "regex")]
use crate::route::Regex;
use crate::template::{Scope, Template};
use crate::upstream::{HostHeader, Timeouts};
use serde::{Deserialize, Serialize};

/// Hands requests to an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    /// The place in the list of upstreams.
    pub upstream: u32,
    /// What becomes of the path.
    #[serde(default, skip_serializing_if = "PathChange::is_none")]
    pub path: PathChange,
    /// Which `Host` is sent; `None` leaves it to the upstream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostHeader>,
    /// Timeouts of this route; `None` leaves them to the upstream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Timeouts>,
    /// Whether `Upgrade: websocket` is handed on, and what may pass then.
    #[serde(default = "boundless", skip_serializing_if = "is_boundless")]
    pub websocket: Option<Sockets>,
}

fn boundless() -> Option<Sockets> {
    Some(Sockets::default())
}

fn is_boundless(websocket: &Option<Sockets>) -> bool {
    *websocket == boundless()
}

/// What becomes of the path on its way to the upstream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathChange {
    /// Nothing.
    #[default]
    Keep,
    /// A prefix of whole segments is cut off, another put in front; there may be none of either.
    Prefix {
        /// The first of these that the path has is cut off: the longest stands first.
        strip: Vec<String>,
        /// Put in front.
        add: String,
    },
    /// Made anew.
    Rewrite(Template),
    /// What an expression finds is replaced, everywhere.
    #[cfg(feature = "regex")]
    Regex {
        /// What is looked for.
        find: Regex,
        /// What comes in its place, with `$1` and `${name}` for what groups have found.
        replace: String,
    },
}

impl PathChange {
    fn is_none(&self) -> bool {
        *self == PathChange::Keep
    }

    /// The upstream's path. A rewritten path is normalised again, since pieces that are harmless apart may form `..`; see
    /// [`Template::path`].
    pub fn apply(&self, scope: &Scope<'_>) -> Result<String, Error> {
        match self {
            PathChange::Keep => Ok(scope.line.path.clone()),
            PathChange::Prefix { strip, add } => {
                let rest = strip_prefix(&scope.line.path, strip).map_or(scope.line.path.as_str(), |(_, rest)| rest);
                let mut path = String::with_capacity(add.len() + rest.len() + 1);
                path.push_str(add.trim_end_matches('/'));
                if !rest.starts_with('/') {
                    path.push('/');
                }
                path.push_str(rest);
                Ok(path)
            }
            PathChange::Rewrite(template) => template.path(scope).map_err(Error::BadTarget),
            #[cfg(feature = "regex")]
            PathChange::Regex { find, replace } => {
                let path = find.replace(&scope.line.path, replace);
                // A request's target begins with a slash, and what a client sends cannot add a query to it.
                let path = if path.starts_with('/') { path } else { format!("/{path}").into() };
                let path = path.replace('?', "%3F").replace('#', "%23");
                Ok(path::normalise(&path).map_err(Error::BadTarget)?.into_owned())
            }
        }
    }

    /// What was cut off, for `X-Forwarded-Prefix`.
    fn stripped<'a>(&'a self, path: &'a str) -> Option<&'a str> {
        match self {
            PathChange::Prefix { strip, .. } => strip_prefix(path, strip).map(|(prefix, _)| prefix),
            PathChange::Keep | PathChange::Rewrite(_) => None,
            #[cfg(feature = "regex")]
            PathChange::Regex { .. } => None,
        }
    }
}

/// The first of these prefixes that a path has, and what is behind it.
fn strip_prefix<'a>(path: &'a str, prefixes: &'a [String]) -> Option<(&'a str, &'a str)> {
    prefixes.iter().find_map(|prefix| {
        let rest = path.strip_prefix(prefix.trim_end_matches('/'))?;
        (rest.is_empty() || rest.starts_with('/')).then_some((prefix.as_str(), rest))
    })
}

/// Which fields tell the upstream about the client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardedFields {
    /// `X-Forwarded-For`, `-Proto`, `-Host`, and `-Prefix` where a prefix was cut off.
    #[default]
    XForwarded,
    /// `Forwarded` (RFC 7239).
    Forwarded,
    /// Both.
    Both,
    /// Neither.
    None,
}

const X_FORWARDED: [&str; 4] = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-prefix"];

/// Writes `Via` and the fields about the client. What a client wrote there itself is kept only where its peer is trusted.
pub fn announce(
    headers: &mut Headers,
    line: &Line,
    client: &Client,
    change: &PathChange,
    fields: ForwardedFields,
    pseudonym: &str,
) {
    // Nobody but a client that means to deceive writes them with `_`.
    X_FORWARDED.iter().for_each(|name| headers.remove_lookalikes(name));
    // RFC 9110 §7.6.3. The protocol version of the client's side is known to the platform only.
    headers.append("via", format!("1.1 {pseudonym}"));
    let (x_forwarded, forwarded) = match fields {
        ForwardedFields::XForwarded => (true, false),
        ForwardedFields::Forwarded => (false, true),
        ForwardedFields::Both => (true, true),
        ForwardedFields::None => (false, false),
    };
    if x_forwarded {
        let hop = client.peer.map(|peer| peer.to_string()).unwrap_or_default();
        chain(headers, "x-forwarded-for", &hop, client.through_trusted);
        let first = |headers: &mut Headers, name: &str, value: &str| {
            if !(client.through_trusted && headers.contains(name)) {
                headers.set(name, value);
            }
        };
        first(headers, "x-forwarded-proto", line.scheme.as_str());
        first(headers, "x-forwarded-host", &line.authority);
        match change.stripped(&line.path) {
            Some(prefix) => chain(headers, "x-forwarded-prefix", prefix, client.through_trusted),
            None if client.through_trusted => {}
            None => headers.remove("x-forwarded-prefix"),
        }
    } else {
        X_FORWARDED.iter().for_each(|name| headers.remove(name));
    }
    if forwarded {
        let node = match client.peer {
            Some(std::net::IpAddr::V4(v4)) => v4.to_string(),
            Some(std::net::IpAddr::V6(v6)) => format!("\"[{v6}]\""),
            None => "unknown".to_owned(),
        };
        let element = format!("for={node};host=\"{}\";proto={}", line.authority, line.scheme);
        chain(headers, "forwarded", &element, client.through_trusted);
    } else {
        headers.remove("forwarded");
    }
}

/// One value, behind those that trusted hops have written.
fn chain(headers: &mut Headers, name: &str, value: &str, keep: bool) {
    let before: Vec<&str> = if keep { list(headers, name).collect() } else { Vec::new() };
    if value.is_empty() && before.is_empty() {
        return headers.remove(name);
    }
    let all: Vec<&str> = before.into_iter().chain((!value.is_empty()).then_some(value)).collect();
    let value = all.join(", ");
    headers.set(name, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_cut_by_whole_segments() {
        for (path, prefixes, expected) in [
            ("/files/a", &["/files"][..], Some(("/files", "/a"))),
            ("/files/a", &["/files/"], Some(("/files/", "/a"))),
            ("/files", &["/files"], Some(("/files", ""))),
            ("/filesystem", &["/files"], None),
            ("/files//evil.example", &["/files"], Some(("/files", "//evil.example"))),
            ("/a", &["/"], Some(("/", "/a"))),
            ("/v1/old/a", &["/v1/old", "/v1"], Some(("/v1/old", "/a"))),
            ("/v1/older", &["/v1/old", "/v1"], Some(("/v1", "/older"))),
            ("/v2", &["/v1", "/v2"], Some(("/v2", ""))),
            ("/a", &[], None),
        ] {
            let prefixes: Vec<_> = prefixes.iter().map(|&prefix| prefix.to_owned()).collect();
            assert_eq!(strip_prefix(path, &prefixes), expected, "{path} {prefixes:?}");
        }
    }
}
