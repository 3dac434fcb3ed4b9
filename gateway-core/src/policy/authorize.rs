//! Decides what a caller may do.

#[cfg(feature = "expressions")]
use super::Remark;
use super::{Memo, Visit};
use crate::caller::Caller;
use crate::client::{Cidr, Client};
use crate::error::Error;
#[cfg(feature = "expressions")]
use crate::expression::Expression;
use crate::platform::Platform;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Rules that must all be met.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Authorize {
    /// Methods that these rules are for; empty: all. `GET` takes `HEAD` too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// Consumers and groups.
    #[serde(skip_serializing_if = "Names::is_empty")]
    pub consumers: Names,
    /// Groups of consumers.
    #[serde(skip_serializing_if = "Names::is_empty")]
    pub groups: Names,
    /// Scopes that the token must have, all of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Claims that the token must have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<ClaimRule>,
    /// Addresses that may call, if any are named.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow_addresses: Vec<Cidr>,
    /// Addresses that may not call.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny_addresses: Vec<Cidr>,
    /// Countries from which calls are taken.
    #[serde(skip_serializing_if = "Names::is_empty")]
    pub countries: Names,
    /// What must hold besides, all of it.
    #[cfg(feature = "expressions")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub expressions: Vec<Expression>,
}

/// Names that are let in, if any are listed, and names that are not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Names {
    /// One of these is needed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// None of these may be there. Denying comes first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<String>,
}

/// What is asked of one claim.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClaimRule {
    /// The claim's name; members of objects with dots between.
    pub name: String,
    /// What is asked.
    pub test: ClaimTest,
}

/// What is asked of the value of a claim. `null` is no value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimTest {
    /// It is there.
    Present,
    /// It is not there.
    Absent,
    /// It is one of these; a list must hold one of them.
    Any(Vec<Value>),
}

impl Names {
    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        self.allow.is_empty() && self.deny.is_empty()
    }

    /// Denied names come first; where no name is, only an open list admits.
    fn admits<'a>(&self, names: impl IntoIterator<Item = &'a str> + Clone) -> bool {
        let among = |list: &[String]| names.clone().into_iter().any(|name| list.iter().any(|listed| listed == name));
        !among(&self.deny) && (self.allow.is_empty() || among(&self.allow))
    }
}

impl ClaimRule {
    fn is_met(&self, caller: &Caller) -> bool {
        let value = caller.claim(&self.name).filter(|value| !value.is_null());
        match (&self.test, value) {
            (ClaimTest::Present, value) => value.is_some(),
            (ClaimTest::Absent, value) => value.is_none(),
            (ClaimTest::Any(wanted), Some(Value::Array(items))) => items.iter().any(|item| wanted.contains(item)),
            (ClaimTest::Any(wanted), Some(value)) => wanted.contains(value),
            (ClaimTest::Any(_), None) => false,
        }
    }
}

impl Authorize {
    /// Refuses who may not go on. Expressions come last: by then it is known what can be known.
    pub fn on_request<P: Platform>(&self, visit: &mut Visit<'_, P>) -> Result<(), Error> {
        self.check(&visit.line.method, visit.caller, visit.client, visit.memo)?;
        #[cfg(feature = "expressions")]
        if self.is_for(&visit.line.method) {
            let unmet = self.unmet(visit);
            if let Some((expression, fault)) = unmet {
                let (problem, unknown) = ("forbidden", expression.asks_who() && !visit.caller.is_known());
                let remark = fault.map(|fault| Remark { problem, detail: format!("authorize: {fault}") });
                visit.memo.remarks.extend(remark);
                return Err(if unknown {
                    nobody(visit.memo)
                } else {
                    forbidden("The conditions for this are not met.")
                });
            }
        }
        Ok(())
    }

    /// The first expression that does not hold; with what is to be logged, where it could not be evaluated.
    #[cfg(feature = "expressions")]
    fn unmet<P: Platform>(&self, visit: &Visit<'_, P>) -> Option<(&Expression, Option<String>)> {
        if self.expressions.is_empty() {
            return None;
        }
        let facts = visit.facts();
        self.expressions.iter().find_map(|expression| match expression.holds(&facts) {
            Ok(true) => None,
            Ok(false) => Some((expression, None)),
            Err(fault) => Some((expression, Some(expression.explain(fault)))),
        })
    }

    /// Whether this caller, from there, may go on. Rules on where come first: they need nobody to be known.
    pub fn check(&self, method: &str, caller: &Caller, client: &Client, memo: &Memo) -> Result<(), Error> {
        if !self.is_for(method) {
            return Ok(());
        }
        let refuse = |reason: &str| Err(forbidden(reason));
        let within = |ranges: &[Cidr]| client.address.is_some_and(|ip| ranges.iter().any(|range| range.contains(ip)));
        // Who hides the address is not let through a list of denied ones.
        let hidden = client.address.is_none() && !self.deny_addresses.is_empty();
        if hidden || within(&self.deny_addresses) || !(self.allow_addresses.is_empty() || within(&self.allow_addresses))
        {
            return refuse("Calls from this address are not taken.");
        }
        if !self.countries.admits(client.country.as_deref()) {
            return refuse("Calls from this country are not taken.");
        }
        if !caller.is_known() && self.asks_who() {
            return Err(nobody(memo));
        }
        if !self.consumers.admits(caller.name()) || !self.groups.admits(caller.groups().iter().map(String::as_str)) {
            return refuse("This caller may not do this.");
        }
        if self.scopes.iter().any(|scope| !caller.scopes.contains(scope)) {
            let scope = self.scopes.join(" ");
            // RFC 6750 §3.1, RFC 9449 §7.1. Scopes come with tokens only, so a token is what would help.
            let scheme = if caller.is_bound { "DPoP" } else { "Bearer" };
            let challenge = format!("{scheme} error=\"insufficient_scope\", scope=\"{scope}\"");
            let reason = format!("This needs the scope {scope}.");
            return Err(Error::Forbidden { reason, challenge: Some(challenge) });
        }
        match self.claims.iter().find(|rule| !rule.is_met(caller)) {
            Some(rule) => refuse(&format!("The claim {} is not what this needs.", rule.name)),
            None => Ok(()),
        }
    }

    fn is_for(&self, method: &str) -> bool {
        self.methods.is_empty()
            || self.methods.iter().any(|known| known == method || (known == "GET" && method == "HEAD"))
    }

    fn asks_who(&self) -> bool {
        !(self.consumers.is_empty() && self.groups.is_empty() && self.scopes.is_empty() && self.claims.is_empty())
    }
}

fn forbidden(reason: &str) -> Error {
    Error::Forbidden { reason: reason.to_owned(), challenge: None }
}

/// RFC 9110 §15.5.2: a 401 says what would help. Where no way in is offered, nothing would.
fn nobody(memo: &Memo) -> Error {
    match memo.challenges.as_slice() {
        [] => forbidden("This needs a caller who is known, and this route knows nobody."),
        challenges => {
            Error::Unauthenticated { challenges: challenges.to_vec(), reason: "This needs a caller who is known." }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consumer::Consumer;
    use crate::http::{Headers, Peer, Scheme};
    use serde_json::json;
    use std::rc::Rc;

    fn names(allow: &[&str], deny: &[&str]) -> Names {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Names { allow: owned(allow), deny: owned(deny) }
    }

    fn alice() -> Caller {
        let consumer =
            Consumer { name: "alice".into(), groups: vec!["partners".into(), "beta".into()], ..Consumer::default() };
        let claims = json!({
            "tenant": "acme", "roles": ["admin", "dev"], "level": 3, "email_verified": true, "nothing": null,
            "realm": { "roles": ["owner"] }, "https://example.com/plan": "gold",
        });
        Caller {
            consumer: Some(Rc::new(consumer)),
            claims: Rc::new(claims.as_object().expect("an object").clone()),
            scopes: vec!["read".into(), "write".into()],
            proofs: vec!["jwt"],
            ..Caller::default()
        }
    }

    fn client(address: Option<&str>, country: Option<&str>) -> Client {
        let address = address.map(|address| address.parse().expect("an address"));
        let peer = Peer { address, country: country.map(str::to_owned), ..Peer::default() };
        Client::resolve(peer, Scheme::Https, &Headers::new(), &[])
    }

    fn status(rules: &Authorize, caller: &Caller, client: &Client, memo: &Memo) -> u16 {
        rules.check("GET", caller, client, memo).map_or_else(|error| error.kind().0, |()| 200)
    }

    #[test]
    fn callers_are_let_in_by_name_group_and_scope() {
        let known = Memo::default();
        let somewhere = client(Some("192.0.2.1"), None);
        for (rules, expected) in [
            (Authorize::default(), 200),
            (Authorize { consumers: names(&["alice"], &[]), ..Authorize::default() }, 200),
            (Authorize { consumers: names(&["bob"], &[]), ..Authorize::default() }, 403),
            (Authorize { consumers: names(&[], &["alice"]), ..Authorize::default() }, 403),
            (Authorize { groups: names(&["partners"], &[]), ..Authorize::default() }, 200),
            (Authorize { groups: names(&["staff"], &[]), ..Authorize::default() }, 403),
            (Authorize { groups: names(&["partners"], &["beta"]), ..Authorize::default() }, 403),
            (
                Authorize { consumers: names(&["alice"], &[]), groups: names(&["staff"], &[]), ..Authorize::default() },
                403,
            ),
            (Authorize { scopes: vec!["read".into(), "write".into()], ..Authorize::default() }, 200),
            (Authorize { scopes: vec!["read".into(), "admin".into()], ..Authorize::default() }, 403),
            (Authorize { methods: vec!["POST".into()], consumers: names(&["bob"], &[]), ..Authorize::default() }, 200),
            (Authorize { methods: vec!["GET".into()], consumers: names(&["bob"], &[]), ..Authorize::default() }, 403),
        ] {
            assert_eq!(status(&rules, &alice(), &somewhere, &known), expected, "{rules:?}");
        }
    }

    #[test]
    fn claims_are_found_by_name_and_in_objects_and_lists() {
        let any = |values: Value| ClaimTest::Any(values.as_array().cloned().unwrap_or_default());
        for (name, test, met) in [
            ("tenant", any(json!(["acme"])), true),
            ("tenant", any(json!(["other", "acme"])), true),
            ("tenant", any(json!(["other"])), false),
            ("roles", any(json!(["admin"])), true),
            ("roles", any(json!(["owner"])), false),
            ("realm.roles", any(json!(["owner"])), true),
            ("realm.none", ClaimTest::Present, false),
            ("https://example.com/plan", any(json!(["gold"])), true),
            ("level", any(json!([3])), true),
            ("level", any(json!(["3"])), false),
            ("email_verified", any(json!([true])), true),
            ("nothing", ClaimTest::Present, false),
            ("nothing", ClaimTest::Absent, true),
            ("tenant", ClaimTest::Present, true),
            ("tenant", ClaimTest::Absent, false),
        ] {
            let rule = ClaimRule { name: name.into(), test };
            assert_eq!(rule.is_met(&alice()), met, "{rule:?}");
        }
    }

    #[test]
    fn places_are_denied_before_they_are_allowed_and_hidden_ones_are_not_trusted() {
        let range = |text: &str| vec![text.parse::<Cidr>().expect("a range")];
        let inside = Authorize {
            allow_addresses: range("10.0.0.0/8"),
            deny_addresses: range("10.6.0.0/16"),
            ..Authorize::default()
        };
        let outside = Authorize { deny_addresses: range("2001:db8::/32"), ..Authorize::default() };
        let here = Authorize { countries: names(&["DE", "FR"], &[]), ..Authorize::default() };
        let elsewhere = Authorize { countries: names(&[], &["DE"]), ..Authorize::default() };
        for (rules, address, country, expected) in [
            (&inside, Some("10.1.2.3"), None, 200),
            (&inside, Some("::ffff:10.1.2.3"), None, 200),
            (&inside, Some("10.6.2.3"), None, 403),
            (&inside, Some("192.0.2.1"), None, 403),
            (&inside, None, None, 403),
            (&outside, Some("2001:db8::1"), None, 403),
            (&outside, Some("192.0.2.1"), None, 200),
            (&outside, None, None, 403),
            (&here, None, Some("DE"), 200),
            (&here, None, Some("US"), 403),
            (&here, None, None, 403),
            (&elsewhere, None, Some("DE"), 403),
            (&elsewhere, None, Some("US"), 200),
            (&elsewhere, None, None, 200),
        ] {
            let found = status(rules, &Caller::default(), &client(address, country), &Memo::default());
            assert_eq!(found, expected, "{rules:?} {address:?} {country:?}");
        }
    }

    #[test]
    fn nobody_is_asked_for_what_the_route_offers() {
        let rules = Authorize { groups: names(&["partners"], &[]), ..Authorize::default() };
        let memo = Memo { challenges: vec!["ApiKey header=\"x-api-key\"".into()], ..Memo::default() };
        let anywhere = client(None, None);
        let refused = rules.check("GET", &Caller::default(), &anywhere, &memo);
        let Err(Error::Unauthenticated { challenges, .. }) = refused else { panic!("{refused:?}") };
        assert_eq!(challenges, memo.challenges);
        assert_eq!(status(&rules, &Caller::default(), &anywhere, &Memo::default()), 403);
        let denied = Authorize { groups: names(&[], &["suspended"]), ..Authorize::default() };
        assert_eq!(
            status(&denied, &Caller::default(), &anywhere, &memo),
            401,
            "nobody is not let through a list of denied ones"
        );
    }

    #[test]
    fn missing_scope_is_named_in_the_challenge() {
        let rules = Authorize { scopes: vec!["read".into(), "admin".into()], ..Authorize::default() };
        for (is_bound, scheme) in [(false, "Bearer"), (true, "DPoP")] {
            let caller = Caller { is_bound, ..alice() };
            let refused = rules.check("GET", &caller, &client(None, None), &Memo::default());
            let Err(Error::Forbidden { challenge: Some(challenge), .. }) = refused else { panic!("{refused:?}") };
            assert_eq!(challenge, format!("{scheme} error=\"insufficient_scope\", scope=\"read admin\""));
        }
    }
}
