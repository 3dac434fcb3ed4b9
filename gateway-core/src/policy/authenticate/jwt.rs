//! A JSON Web Token of an issuer that is trusted here.

use super::Verdict;
use super::bearer::{Bearer, Scheme, Sent};
use super::issuer::{Keeper, NoKeys, Verified};
use super::possession::Possession;
use crate::caller::{self, Caller};
use crate::consumer::By;
use crate::jwt::remembered::Fingerprint;
use crate::jwt::{Algorithm, Family, Purpose, Refusal, Token, rules};
use crate::platform::{Platform, StoreError};
use crate::policy::{Remark, Visit};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::rc::Rc;

/// Takes the tokens of some issuers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwt {
    /// Where tokens stand, and what of them goes on.
    pub bearer: Bearer,
    /// The issuers, by their places in the configuration.
    pub issuers: Vec<u32>,
    /// Whether tokens must be bound to a key or certificate.
    #[serde(default)]
    pub possession: Possession,
}

impl Jwt {
    /// Looks for a token and checks it. One that has been seen before costs a hash.
    pub async fn judge<P: Platform>(&self, visit: &Visit<'_, P>, remarks: &mut Vec<Remark>) -> Verdict {
        let sent = match self.bearer.find(visit.line, visit.headers) {
            Ok(Some(sent)) => sent,
            Ok(None) => return Verdict::Missing,
            Err(reason) => return Verdict::Wrong(reason),
        };
        let (verified, keeper) = match self.verified(visit, &sent.token, remarks).await {
            Ok(Ok(verified)) => verified,
            Ok(Err(refusal)) => return Verdict::Wrong(refusal.reason()),
            Err(NoKeys(why)) => return Verdict::Unknowable(why),
        };
        let (request, now) = ((visit.line, &*visit.headers, visit.client), visit.platform.now());
        match self.possession.check(&verified.claims, &sent, request, visit.tokens, now) {
            Ok(()) => known(visit, &verified, None, &keeper.naming, "jwt").await.bound(&sent),
            Err(refusal) => Verdict::Wrong(refusal.reason()),
        }
    }

    async fn verified<'v, P: Platform>(
        &self,
        visit: &Visit<'v, P>,
        text: &str,
        remarks: &mut Vec<Remark>,
    ) -> Result<Result<(Rc<Verified>, &'v Keeper), Refusal>, NoKeys> {
        let tokens = visit.tokens;
        let issuers = || self.issuers.iter().filter_map(|place| Some((*place, tokens.issuer(*place)?)));
        let fingerprint = Fingerprint::new(text);
        for (place, keeper) in issuers() {
            let remembered = visit.tokens.verified.borrow_mut().get(&fingerprint.within(place), visit.platform.now());
            if let Some(verified) = remembered {
                // A key that the issuer has withdrawn takes its tokens with it.
                if keeper.keys(visit.platform, None, remarks).await?.holds(verified.key) {
                    return Ok(Ok((verified, keeper)));
                }
            }
        }
        let token = match Token::read(text, Purpose::Token) {
            Ok(token) => token,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let claimed = token.claimed_issuer();
        let Some((place, keeper)) = issuers().find(|(_, keeper)| claimed.as_deref() == Some(&keeper.rules.issuer))
        else {
            return Ok(Err(Refusal::Issuer));
        };
        let keys = keeper.keys(visit.platform, Some(&token.header), remarks).await?;
        let taken = keys.verify(&token).and_then(|key| take(visit, keeper, &token, key, fingerprint.within(place)));
        Ok(taken.map(|verified| (verified, keeper)))
    }

    /// The challenges (RFC 6750 §3, RFC 9449 §7.1).
    pub fn challenge(&self, wrong: Option<&str>) -> String {
        let proof = wrong.filter(|wrong| [Refusal::Proof.reason(), Refusal::Unbound.reason()].contains(wrong));
        if !self.possession.dpop && proof.is_none() {
            return self.bearer.challenge("Bearer", wrong);
        }
        let algorithms = Algorithm::ALL
            .into_iter()
            .filter(|algorithm| algorithm.family() != Family::Secret && algorithm.family().is_built_in());
        let algorithms: Vec<_> = algorithms.map(Algorithm::name).collect();
        format!("{}, algs=\"{}\"", self.bearer.challenge("DPoP", wrong), algorithms.join(" "))
    }
}

/// Judges the claims of a token whose signature is right, and remembers it.
fn take<P: Platform>(
    visit: &Visit<'_, P>,
    keeper: &Keeper,
    token: &Token<'_>,
    key: u64,
    fingerprint: Fingerprint,
) -> Result<Rc<Verified>, Refusal> {
    let claims = token.claims()?;
    let until = keeper.rules.check(token.header.kind.as_deref(), &claims, visit.platform.now())?;
    let weight = token.signed().len() * 2;
    let verified = Rc::new(Verified { scopes: rules::scopes(&claims), claims: Rc::new(claims), key });
    visit.tokens.verified.borrow_mut().insert(fingerprint, Rc::clone(&verified), until, weight);
    Ok(verified)
}

/// What of a token's claims says who calls, besides issuer and subject: the names of claims, members of objects with dots
/// between.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Naming {
    /// The one with the consumer's name.
    #[serde(rename = "c", skip_serializing_if = "Option::is_none")]
    pub consumer: Option<String>,
    /// The one with groups.
    #[serde(rename = "g", skip_serializing_if = "Option::is_none")]
    pub groups: Option<String>,
}

impl Naming {
    /// Whether nothing says so.
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// Who a right token speaks of. `issuer` is whose token it is where it does not say so itself. A name that no consumer has
/// counts as none: claims name whom the operator knows, and nobody else.
pub(super) async fn known<P: Platform>(
    visit: &Visit<'_, P>,
    verified: &Verified,
    issuer: Option<&str>,
    naming: &Naming,
    proof: &'static str,
) -> Verdict {
    let claim = |name: &str| verified.claims.get(name).and_then(Value::as_str);
    let told = |name: &Option<String>| caller::claim(&verified.claims, name.as_deref()?);
    let (issuer, subject) = (claim("iss").or(issuer), claim("sub"));
    let look_up = async |by: By<'_>| visit.consumers.look_up(visit.platform, by).await;
    let found = async {
        if let Some(name) = told(&naming.consumer).and_then(Value::as_str)
            && let Some(consumer) = look_up(By::Name(name)).await?
        {
            return Ok(Some(consumer));
        }
        match issuer.zip(subject) {
            Some((issuer, subject)) => look_up(By::Subject(&format!("{issuer}\n{subject}"))).await,
            None => Ok(None),
        }
    };
    let consumer: Result<_, StoreError> = found.await;
    let consumer = match consumer {
        Ok(consumer) => consumer,
        Err(error) => return Verdict::Unknowable(error.0),
    };
    let mut caller = Caller {
        consumer,
        subject: subject.map(str::to_owned),
        issuer: issuer.map(str::to_owned),
        claims: Rc::clone(&verified.claims),
        scopes: verified.scopes.clone(),
        // A token's identifier opens nothing.
        credential: claim("jti").map(str::to_owned),
        proofs: vec![proof],
        ..Caller::default()
    };
    if let Some(value) = told(&naming.groups) {
        caller.belong(&groups(value));
    }
    Verdict::Proven(caller)
}

/// Groups as a claim names them: a text with spaces, or a list. Where groups are written into one text, they have commas
/// between; one that holds a comma itself would look like two, so it is left out.
fn groups(claim: &Value) -> Vec<String> {
    let named: Vec<&str> = match claim {
        Value::String(text) => text.split(' ').collect(),
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let plain = |name: &&str| !name.is_empty() && !name.contains(|c: char| c == ',' || c.is_control());
    named.into_iter().filter(plain).map(str::to_owned).collect()
}

impl Verdict {
    /// Notes how the token was sent.
    pub(super) fn bound(mut self, sent: &Sent) -> Self {
        if let Verdict::Proven(caller) = &mut self {
            caller.is_bound = sent.scheme == Scheme::Dpop;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn groups_are_read_as_issuers_write_them() {
        for (claim, expected) in [
            (json!("staff"), &["staff"][..]),
            (json!("staff  admins"), &["staff", "admins"]),
            (json!(["staff", "domain users", 7, null, ""]), &["staff", "domain users"]),
            (json!(["a,admins", "b\nc", "d"]), &["d"]),
            (json!({"staff": true}), &[]),
            (json!(true), &[]),
        ] {
            assert_eq!(groups(&claim), expected, "{claim}");
        }
    }
}
