//! The configuration as it was written, for whoever may see what is in effect: all files put together, routes with the defaults of
//! their groups, and nothing in it that is secret, or that might be.
//!
//! References to the platform's values stand as they are. What is left out is left out by three signs: by the name that it stands
//! under, by its look ([`secrets`]), and by its place in a URL. Too much is left out rather than too little.

use super::{
    load::{Defined, Loaded},
    node::{Node, Value as Written},
    secrets,
};
use serde_json::{Map, Value};

/// The whole of it, as JSON.
pub(super) fn write(loaded: &Loaded) -> Vec<u8> {
    let mut whole = match shown(&loaded.settings.node, "") {
        Value::Object(whole) => whole,
        _ => Map::new(),
    };
    let named = |defined: &[Defined<_>]| -> Map<String, Value> {
        defined.iter().map(|upstream| (upstream.name.clone(), shown(&upstream.node, ""))).collect()
    };
    whole.insert("upstreams".to_owned(), Value::Object(named(&loaded.upstreams)));
    if !loaded.consumers.is_empty() {
        let consumers = loaded.consumers.iter().map(|consumer| shown(&consumer.node, "consumer"));
        whole.insert("consumers".to_owned(), consumers.collect());
    }
    whole.insert("routes".to_owned(), loaded.routes.iter().map(|route| shown(&route.node, "")).collect());
    // Texts, numbers, lists and maps: it cannot fail.
    serde_json::to_vec(&whole).unwrap_or_default()
}

/// What stands in the place of what is not shown.
const REDACTED: &str = "REDACTED";

/// Names whose values open something, or are what something that opens is checked against.
const SECRET_NAMES: [&str; 16] = [
    "hash",
    "hashes",
    "key",
    "keys",
    "api_key",
    "pem",
    "jwk",
    "jwks",
    "authorization",
    "proxy-authorization",
    "cookie",
    "dpop",
    "access_key_id",
    "apikey",
    "api-key",
    "x-api-key",
];

/// Parts of such names.
const SECRET_PARTS: [&str; 8] =
    ["secret", "password", "passwd", "token", "credential", "session", "signature", "private"];

/// Names that have such a part and whose values open nothing.
const PUBLIC_NAMES: [&str; 8] =
    ["token_url", "token_type", "token_types", "tokens", "credentials", "sessions", "session_cookie", "key_id"];

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let has_part =
        SECRET_PARTS.iter().any(|part| name.contains(part)) || name.ends_with("-key") || name.ends_with("_key");
    SECRET_NAMES.contains(&name.as_str()) || has_part && !PUBLIC_NAMES.contains(&name.as_str())
}

fn shown(node: &Node, name: &str) -> Value {
    match &node.value {
        Written::Null => Value::Null,
        Written::Bool(value) => (*value).into(),
        Written::Integer(value) => (*value).into(),
        Written::Float(value) => (*value).into(),
        Written::Text(text) => text_shown(text, name).into(),
        Written::List(items) => items.iter().map(|item| shown(item, name)).collect(),
        Written::Map(entries) => {
            // `{name: x-api-key, value: …}` says by a value what the other one is.
            let title = node.get("name").and_then(Node::text).filter(|title| is_secret(title));
            // A JSON Web Key with a private part (RFC 7517, RFC 7518 §6).
            let is_key = node.get("kty").is_some();
            let private = |name: &str| matches!(name, "d" | "p" | "q" | "dp" | "dq" | "qi" | "oth" | "k");
            let members = entries.iter().map(|entry| {
                let about = match title {
                    Some(title) if entry.name == "value" => title,
                    _ => entry.name.as_str(),
                };
                let member = if is_key && private(&entry.name) { REDACTED.into() } else { shown(&entry.value, about) };
                (entry.name.clone(), member)
            });
            Value::Object(members.collect())
        }
    }
}

fn text_shown(text: &str, name: &str) -> String {
    let (bare, has_literal) = literal(text);
    if is_secret(name) && has_literal && !(names_places(name) && is_place(text)) {
        return REDACTED.to_owned();
    }
    if text.contains("${test:") || secrets::is_in(&bare) {
        return REDACTED.to_owned();
    }
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let authority = match authority.rsplit_once('@') {
        Some((user, host)) if has_password(&literal(user).0) => format!("{REDACTED}@{host}"),
        _ => authority.to_owned(),
    };
    let rest = match rest.split_once('?') {
        Some((path, query)) => format!("{path}?{}", query_shown(query)),
        None => rest.to_owned(),
    };
    format!("{scheme}://{authority}{rest}")
}

/// Names under which some say where a secret stands, and others what it is.
fn names_places(name: &str) -> bool {
    matches!(name, "key" | "keys" | "cookie")
}

/// Whether a text only says where something stands: in a field, a parameter, a cookie.
fn is_place(text: &str) -> bool {
    text.len() <= 40
        && text.bytes().all(|b| b.is_ascii_lowercase() || matches!(b, b'-' | b'_' | b'.' | b'/'))
        && !text.is_empty()
}

/// The text without references, and whether anything is left that says more than a scheme.
fn literal(text: &str) -> (String, bool) {
    let mut bare = text.to_owned();
    for begin in ["${secret:", "${env:"] {
        while let Some(start) = bare.find(begin) {
            let end = bare[start..].find('}').map_or(bare.len(), |end| start + end + 1);
            bare.replace_range(start..end, "");
        }
    }
    let rest = bare.trim();
    let is_scheme = ["", "Bearer", "Basic", "ApiKey", "Token", "Splunk"].contains(&rest);
    let has_literal = !is_scheme;
    (bare, has_literal)
}

/// Whether what stands before the `@` of an address says more than a name, once its references are taken out: some put a token there.
fn has_password(user: &str) -> bool {
    !user.split_once(':').map_or(user, |(_, password)| password).is_empty()
}

fn query_shown(query: &str) -> String {
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, value)) if literal(value).1 => format!("{name}={REDACTED}"),
        _ => pair.to_owned(),
    });
    pairs.collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_shows_nobody_what_opens_it() {
        for (text, expected) in [
            ("redis://:hunter2@redis.test:6379/0", "redis://REDACTED@redis.test:6379/0"),
            ("redis://default:hunter2@redis.test", "redis://REDACTED@redis.test"),
            ("https://hunter2@a.test/x?y=1", "https://REDACTED@a.test/x?y=REDACTED"),
            ("redis://:a@b:hunter2@redis.test", "redis://REDACTED@redis.test"),
            ("redis://:${secret:PASSWORD}@redis.test", "redis://:${secret:PASSWORD}@redis.test"),
            ("redis://default:${secret:PASSWORD}@redis.test", "redis://default:${secret:PASSWORD}@redis.test"),
            ("redis://:${secret:PASSWORD}x@redis.test", "redis://REDACTED@redis.test"),
            ("redis://redis.test:6379", "redis://redis.test:6379"),
            ("https://a.test/u/@me?token=${env:B}", "https://a.test/u/@me?token=${env:B}"),
            ("${secret:REDIS_URL}", "${secret:REDIS_URL}"),
        ] {
            assert_eq!(text_shown(text, "redis"), expected, "{text}");
        }
    }
}
