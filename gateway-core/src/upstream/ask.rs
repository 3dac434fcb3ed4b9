//! What an upstream's rules look at in a request: a key to hash, the side of a canary release, a cookie, a deadline.

use super::deadline;
use super::maglev::{hash, mix};
use crate::http::{Headers, cookies, parameters};
use crate::template::Scope;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;

/// A value of the request by which requests that belong together are known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Key {
    /// The client's address.
    ClientAddress,
    /// A header field.
    Header(String),
    /// A cookie.
    Cookie(String),
    /// A parameter of the query.
    Query(String),
    /// A parameter of the path.
    PathParameter(String),
    /// The consumer's name.
    Consumer,
    /// A claim of the verified token.
    Claim(String),
}

impl Key {
    /// The key's value in a request, if it is there.
    fn of<'a>(&self, scope: &Scope<'a>, headers: &'a Headers) -> Option<Cow<'a, [u8]>> {
        let text = |text: String| Some(Cow::Owned(text.into_bytes()));
        match self {
            Key::ClientAddress => text(scope.client.address?.to_canonical().to_string()),
            Key::Header(name) => Some(headers.get(name)?.into()),
            Key::Cookie(name) => text(cookies(headers, name).into_iter().next()?),
            Key::Query(name) => text(parameters(scope.line.query.as_deref()?, name).next()?.into_owned()),
            Key::PathParameter(name) => text(scope.parameters.get(name)?.to_owned()),
            Key::Consumer => Some(scope.caller.name()?.as_bytes().into()),
            Key::Claim(name) => match scope.caller.claim(name)? {
                Value::String(value) => text(value.clone()),
                Value::Number(number) => text(number.to_string()),
                Value::Bool(truth) => text(truth.to_string()),
                Value::Null | Value::Array(_) | Value::Object(_) => None,
            },
        }
    }
}

/// A number for the first of the keys that a request has.
pub fn hashed(keys: &[Key], scope: &Scope<'_>, headers: &Headers) -> Option<u64> {
    keys.iter().find_map(|key| key.of(scope, headers)).map(|value| hash(&value))
}

/// A release that some requests see before others do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CanaryRules {
    /// The places of the targets that run it.
    pub targets: Vec<u32>,
    /// How many of 10,000 callers see it.
    pub share: u32,
    /// What a caller is known by.
    pub by: Vec<Key>,
    /// Who sees it whatever the share says.
    pub always: Vec<Sign>,
    /// Who does not see it whatever else says so.
    pub never: Vec<Sign>,
}

/// Something that a request may have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sign {
    /// A header field with this value; `None`: with any.
    Header(String, Option<String>),
    /// A cookie with this value; `None`: with any.
    Cookie(String, Option<String>),
    /// A consumer of this group.
    Group(String),
}

impl Sign {
    fn is_on(&self, scope: &Scope<'_>, headers: &Headers) -> bool {
        match self {
            Sign::Header(name, None) => headers.contains(name),
            Sign::Header(name, Some(value)) => headers.all(name).any(|line| line == value.as_bytes()),
            Sign::Cookie(name, value) => {
                cookies(headers, name).iter().any(|found| value.as_ref().is_none_or(|value| value == found))
            }
            Sign::Group(group) => scope.caller.groups().contains(group),
        }
    }
}

/// The side of a canary release that a request is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Side {
    /// There is no canary release.
    #[default]
    None,
    /// It sees the release.
    Canary,
    /// It sees what was there before.
    Stable,
}

impl CanaryRules {
    /// The side that a request is on. One caller stays on one side as long as the share does not move past it, and a
    /// growing share only adds callers. `salt` keeps upstreams from always choosing the same callers.
    pub fn side(&self, scope: &Scope<'_>, headers: &Headers, salt: u64, random: impl FnOnce() -> u64) -> Side {
        let any = |signs: &[Sign]| signs.iter().any(|sign| sign.is_on(scope, headers));
        if any(&self.never) {
            return Side::Stable;
        }
        if any(&self.always) {
            return Side::Canary;
        }
        let number = hashed(&self.by, scope, headers).map_or_else(random, |key| mix(key ^ salt));
        side(number, self.share)
    }
}

/// The side of a caller that is known by this number.
pub fn side(number: u64, share: u32) -> Side {
    if number % 10_000 < u64::from(share) { Side::Canary } else { Side::Stable }
}

/// The deadline that the client has set, in milliseconds from now.
pub fn client_deadline(name: &str, headers: &Headers) -> Option<u64> {
    deadline::read(name, headers.text(name)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller::Caller;
    use crate::client::Client;
    use crate::http::{Peer, Scheme};
    use crate::request::Line;
    use crate::route::Parameters;
    use crate::template::{Settings, View};

    /// Asks something of a request with these fields, from this address, by a caller with this subject claim.
    fn with<T>(block: &str, ask: impl FnOnce(&Scope<'_>, &Headers) -> T) -> T {
        let headers = Headers::from_block(block.as_bytes().to_vec());
        let peer = Peer { address: Some("192.0.2.1".parse().expect("an address")), ..Peer::default() };
        let client = Client::resolve(peer, Scheme::Http, &headers, &[]);
        let line = Line {
            method: "GET".into(),
            scheme: Scheme::Http,
            authority: "a".into(),
            host: "a".into(),
            path: "/".into(),
            query: Some("user=q%20q".into()),
        };
        let claims = serde_json::json!({ "sub": "s", "n": 5, "list": [], "org": { "tenant": "t" } });
        let claims = claims.as_object().cloned().unwrap_or_default();
        let caller = Caller { claims: claims.into(), ..Caller::default() };
        let settings = Settings::new();
        let scope = Scope {
            line: &line,
            client: &client,
            route: "r",
            parameters: Parameters::default(),
            settings: &settings,
            caller: &caller,
            view: View::default(),
        };
        ask(&scope, &headers)
    }

    #[test]
    fn keys_are_read_from_where_they_are() {
        for (key, expected) in [
            (Key::ClientAddress, Some("192.0.2.1")),
            (Key::Header("x-user".into()), Some("h")),
            (Key::Header("x-other".into()), None),
            (Key::Cookie("user".into()), Some("c")),
            (Key::Query("user".into()), Some("q q")),
            (Key::Query("other".into()), None),
            (Key::PathParameter("user".into()), None),
            (Key::Consumer, None),
            (Key::Claim("sub".into()), Some("s")),
            (Key::Claim("n".into()), Some("5")),
            (Key::Claim("list".into()), None),
            (Key::Claim("org.tenant".into()), Some("t")),
            (Key::Claim("org".into()), None),
        ] {
            let found = with("x-user\0h\ncookie\0user=c\n", |scope, headers| {
                key.of(scope, headers).map(|value| value.into_owned())
            });
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{key:?}");
        }
    }

    #[test]
    fn the_first_key_that_is_there_counts() {
        let keys = [Key::Header("x-user".into()), Key::ClientAddress];
        let (user, address) = (hash(b"h"), hash(b"192.0.2.1"));
        assert_eq!(with("x-user\0h\n", |scope, headers| hashed(&keys, scope, headers)), Some(user));
        assert_eq!(with("", |scope, headers| hashed(&keys, scope, headers)), Some(address));
        assert_eq!(with("", |scope, headers| hashed(&keys[..1], scope, headers)), None);
    }

    #[test]
    fn overrides_come_before_the_share_and_never_before_always() {
        let rules = CanaryRules {
            targets: vec![0],
            share: 0,
            by: vec![],
            always: vec![Sign::Header("x-canary".into(), Some("yes".into())), Sign::Cookie("beta".into(), None)],
            never: vec![Sign::Header("x-stable".into(), None)],
        };
        for (block, expected) in [
            ("", Side::Stable),
            ("x-canary\0yes\n", Side::Canary),
            ("x-canary\0no\n", Side::Stable),
            ("cookie\0beta=1\n", Side::Canary),
            ("cookie\0beta=1\nx-stable\0\n", Side::Stable),
        ] {
            assert_eq!(with(block, |scope, headers| rules.side(scope, headers, 1, || 0)), expected, "{block}");
        }
    }

    #[test]
    fn a_share_is_kept_and_a_growing_one_only_adds_callers() {
        let on = |share: u32| (0..100_000_u64).filter(move |caller| side(mix(*caller), share) == Side::Canary);
        let (five, ten) = (on(500).collect::<Vec<_>>(), on(1_000).collect::<std::collections::HashSet<_>>());
        assert!((4_800..5_200).contains(&five.len()), "{}", five.len());
        assert!(five.iter().all(|caller| ten.contains(caller)));
        assert_eq!((on(0).count(), on(10_000).count()), (0, 100_000));
    }
}
