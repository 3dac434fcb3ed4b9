//! Who is calling, as far as it has been proven.

use crate::consumer::Consumer;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::rc::Rc;

/// Who is calling. Starts as nobody; authentication fills it in, and nothing else does.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Caller {
    /// The consumer that the credential belongs to.
    pub consumer: Option<Rc<Consumer>>,
    /// The subject that an issuer vouches for.
    pub subject: Option<String>,
    /// The issuer.
    pub issuer: Option<String>,
    /// What the issuer says of the subject.
    pub claims: Rc<Map<String, Value>>,
    /// What the credential is good for.
    pub scopes: Vec<String>,
    /// What of the credential may be shown: a key's prefix, a key's identifier. Never the credential.
    pub credential: Option<String>,
    /// The groups that a token names, and those of the consumer. Empty: no token names any, and the consumer's count alone.
    pub groups: Vec<String>,
    /// Whether a token came with a proof that the caller has its key (DPoP).
    pub is_bound: bool,
    /// How it was proven; empty where it was not.
    pub proofs: Vec<&'static str>,
    /// Whether a service has had a say in who comes in (`forward_auth`), which need not have told who that is.
    pub vouched: bool,
}

impl Caller {
    /// Whether anything has been proven.
    pub fn is_known(&self) -> bool {
        !self.proofs.is_empty()
    }

    /// The consumer's name.
    pub fn name(&self) -> Option<&str> {
        self.consumer.as_deref().map(|consumer| consumer.name.as_str())
    }

    /// Who this is for whoever counts: the consumer, or else the subject of an issuer. Names have no line feed, so nobody's
    /// subject is taken for somebody's name.
    pub fn identity(&self) -> Option<Cow<'_, str>> {
        match (self.name(), &self.subject) {
            (Some(name), _) => Some(name.into()),
            (None, Some(subject)) => Some(format!("{}\n{subject}", self.issuer.as_deref().unwrap_or_default()).into()),
            (None, None) => None,
        }
    }

    /// What they belong to: the groups of the consumer, and those that a token names.
    pub fn groups(&self) -> &[String] {
        match self.consumer.as_deref() {
            Some(consumer) if self.groups.is_empty() => &consumer.groups,
            Some(_) | None => &self.groups,
        }
    }

    /// Belongs to these as well.
    pub fn belong(&mut self, more: &[String]) {
        let known = self.groups();
        let new: Vec<_> = more.iter().filter(|group| !known.contains(group)).cloned().collect();
        if !new.is_empty() {
            self.groups = [known, &new].concat();
        }
    }

    /// The value of a claim; members of objects with dots between.
    pub fn claim(&self, name: &str) -> Option<&Value> {
        claim(&self.claims, name)
    }

    /// Takes over what another proof has shown. What two proofs both claim, the first one keeps.
    pub fn join(&mut self, other: Caller) {
        // Before the consumers: what either belongs to, both do.
        if !(self.groups.is_empty() && other.groups.is_empty()) {
            self.belong(other.groups());
        }
        self.is_bound |= other.is_bound;
        self.consumer = self.consumer.take().or(other.consumer);
        self.subject = self.subject.take().or(other.subject);
        self.issuer = self.issuer.take().or(other.issuer);
        if self.claims.is_empty() {
            self.claims = other.claims;
        }
        self.scopes.extend(other.scopes);
        self.credential = self.credential.take().or(other.credential);
        self.proofs.extend(other.proofs);
        self.vouched |= other.vouched;
    }
}

/// The value of a claim; members of objects with dots between.
pub fn claim<'c>(claims: &'c Map<String, Value>, name: &str) -> Option<&'c Value> {
    // A claim's name may hold dots itself, as those that are URLs do.
    if let Some(value) = claims.get(name) {
        return Some(value);
    }
    let (first, rest) = name.split_once('.')?;
    rest.split('.').try_fold(claims.get(first)?, |value, member| value.get(member))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_tokens_and_of_the_consumer_count_whoever_is_found_first() {
        let consumer = Consumer { name: "a".into(), groups: vec!["one".into(), "two".into()], ..Consumer::default() };
        let known = Caller { consumer: Some(Rc::new(consumer)), ..Caller::default() };
        let token = Caller { groups: vec!["two".into(), "three".into()], ..Caller::default() };
        for (first, second, expected) in [
            (&known, &Caller::default(), &["one", "two"][..]),
            (&Caller::default(), &known, &["one", "two"]),
            (&known, &token, &["one", "two", "three"]),
            (&token, &known, &["two", "three", "one"]),
            (&token, &Caller::default(), &["two", "three"]),
        ] {
            let mut caller = first.clone();
            caller.join(second.clone());
            assert_eq!(caller.groups(), expected, "{first:?} {second:?}");
        }
    }
}
