//! A JSON Web Token of an issuer that is trusted here.

use super::Verdict;
use super::bearer::Bearer;
use super::issuer::{Keeper, NoKeys, Verified};
use super::possession::Possession;
use crate::caller::Caller;
use crate::consumer::{By, Consumers};
use crate::jwt::remembered::Fingerprint;
use crate::jwt::{Algorithm, Family, Purpose, Refusal, Token, rules};
use crate::platform::Platform;
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
        let verified = match self.verified(visit, &sent.token, remarks).await {
            Ok(Ok(verified)) => verified,
            Ok(Err(refusal)) => return Verdict::Wrong(refusal.reason()),
            Err(NoKeys(why)) => return Verdict::Unknowable(why),
        };
        let (request, now) = ((visit.line, &*visit.headers, visit.client), visit.platform.now());
        match self.possession.check(&verified.claims, &sent, request, visit.tokens, now) {
            Ok(()) => Verdict::Proven(known(&verified, None, visit.consumers, "jwt")),
            Err(refusal) => Verdict::Wrong(refusal.reason()),
        }
    }

    async fn verified<P: Platform>(
        &self,
        visit: &Visit<'_, P>,
        text: &str,
        remarks: &mut Vec<Remark>,
    ) -> Result<Result<Rc<Verified>, Refusal>, NoKeys> {
        let issuers = || self.issuers.iter().filter_map(|place| Some((*place, visit.tokens.issuer(*place)?)));
        let fingerprint = Fingerprint::new(text);
        for (place, keeper) in issuers() {
            let remembered = visit.tokens.verified.borrow_mut().get(&fingerprint.within(place), visit.platform.now());
            if let Some(verified) = remembered {
                // A key that the issuer has withdrawn takes its tokens with it.
                if keeper.keys(visit.platform, None, remarks).await?.holds(verified.key) {
                    return Ok(Ok(verified));
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
        Ok(keys.verify(&token).and_then(|key| take(visit, keeper, &token, key, fingerprint.within(place))))
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

/// Who a right token speaks of. `issuer` is whose token it is where it does not say so itself.
pub(super) fn known(verified: &Verified, issuer: Option<&str>, consumers: &Consumers, proof: &'static str) -> Caller {
    let claim = |name: &str| verified.claims.get(name).and_then(Value::as_str);
    let (issuer, subject) = (claim("iss").or(issuer), claim("sub"));
    let found =
        issuer.zip(subject).and_then(|(issuer, subject)| consumers.find(By::Subject(&format!("{issuer}\n{subject}"))));
    Caller {
        consumer: found,
        subject: subject.map(str::to_owned),
        issuer: issuer.map(str::to_owned),
        claims: Rc::clone(&verified.claims),
        scopes: verified.scopes.clone(),
        // A token's identifier opens nothing.
        credential: claim("jti").map(str::to_owned),
        proofs: vec![proof],
        vouched: false,
    }
}
