//! Decides what a caller may do.

use crate::caller::Caller;
use crate::client::{Cidr, Client};
use crate::error::Error;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Rules that must all be met.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Authorize {
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
    /// Values of which one is needed; empty: any. An array has what it holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub any: Vec<Value>,
}

impl Names {
    fn is_empty(&self) -> bool {
        self.allow.is_empty() && self.deny.is_empty()
    }

    fn admits<'a>(&self, names: impl IntoIterator<Item = &'a str> + Clone) -> bool {
        let among = |list: &[String]| names.clone().into_iter().any(|name| list.iter().any(|listed| listed == name));
        !among(&self.deny) && (self.allow.is_empty() || among(&self.allow))
    }
}

impl ClaimRule {
    fn is_met(&self, caller: &Caller) -> bool {
        let (first, rest) = match self.name.split_once('.') {
            // A claim's name may hold dots itself, as those that are URLs do.
            _ if caller.claims.contains_key(&self.name) => (self.name.as_str(), None),
            Some((first, rest)) => (first, Some(rest)),
            None => (self.name.as_str(), None),
        };
        let mut value = caller.claims.get(first);
        for member in rest.into_iter().flat_map(|rest| rest.split('.')) {
            value = value.and_then(|value| value.get(member));
        }
        match value {
            None | Some(Value::Null) => false,
            Some(_) if self.any.is_empty() => true,
            Some(Value::Array(items)) => items.iter().any(|item| self.any.contains(item)),
            Some(value) => self.any.contains(value),
        }
    }
}

impl Authorize {
    /// Whether this caller, from there, may go on. Rules on where come first: they need nobody to be known.
    pub fn check(&self, caller: &Caller, client: &Client) -> Result<(), Error> {
        let refuse = |reason: &str| Err(Error::Forbidden { reason: reason.to_owned(), challenge: None });
        let within = |ranges: &[Cidr]| client.address.is_some_and(|ip| ranges.iter().any(|range| range.contains(ip)));
        // Who hides the address is not let through a list of denied ones.
        let hidden = client.address.is_none() && !self.deny_addresses.is_empty();
        if hidden || within(&self.deny_addresses) || !(self.allow_addresses.is_empty() || within(&self.allow_addresses)) {
            return refuse("Calls from this address are not taken.");
        }
        if !self.countries.is_empty() && !self.countries.admits(client.country.as_deref().or(Some("")).into_iter().collect::<Vec<_>>()) {
            return refuse("Calls from this country are not taken.");
        }
        if !caller.is_known() && self.asks_who() {
            let challenges = vec!["Bearer".to_owned()];
            return Err(Error::Unauthenticated { challenges, reason: "This needs a caller who is known." });
        }
        let name: Vec<&str> = caller.name().into_iter().collect();
        let groups: Vec<&str> = caller.groups().iter().map(String::as_str).collect();
        if !self.consumers.admits(name) || !self.groups.admits(groups) {
            return refuse("This caller may not do this.");
        }
        if self.scopes.iter().any(|scope| !caller.scopes.contains(scope)) {
            let scope = self.scopes.join(" ");
            let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"");
            let reason = format!("This needs the scope {scope}.");
            return Err(Error::Forbidden { reason, challenge: Some(challenge) });
        }
        match self.claims.iter().find(|rule| !rule.is_met(caller)) {
            Some(rule) => refuse(&format!("The claim {} is not what this needs.", rule.name)),
            None => Ok(()),
        }
    }

    fn asks_who(&self) -> bool {
        !(self.consumers.is_empty() && self.groups.is_empty() && self.scopes.is_empty() && self.claims.is_empty())
    }
}
