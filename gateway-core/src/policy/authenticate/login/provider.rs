//! What the gateway asks of an OpenID provider: to log somebody in, to give tokens for a code, to give new ones, to end it.

use super::session::{Pending, Session, granted};
use super::{Authentication, Login, error_code};
use crate::errand::{self, Answered, Errand, encode as form};
use crate::jwt::{Algorithm, Family, Purpose, Refusal, Rules, Token, json, token::encode};
use crate::platform::{Platform, Timestamp};
use crate::policy::Remark;
use crate::policy::authenticate::issuer::Keeper;
use crate::template::Settings;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256, Sha384, Sha512};

/// A provider whose description and keys are known.
pub(super) struct Provider<'a> {
    pub login: &'a Login,
    pub keeper: &'a Keeper,
    pub settings: &'a Settings,
}

/// Why a provider gave no tokens.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It does not want to: an error code of RFC 6749 §5.2.
    Refused(String),
    /// What it gave is not right, in words for the log.
    Wrong(String),
    /// What it gave is signed with a key that it does not publish, or not yet, in words for the log.
    Unverifiable(String),
    /// It does not answer, in words for the log.
    Unreachable(String),
}

const LARGEST_ANSWER: usize = 64 << 10;

impl Provider<'_> {
    /// The address that asks the provider to log somebody in (OpenID Connect Core §3.1.2.1, RFC 7636 §4.3).
    pub fn authorization(&self, state: &str, pending: &Pending, callback: &str) -> Result<String, String> {
        let description = self.keeper.description();
        let described = description.authorization.as_deref();
        self.keeper.endpoint(described, "authorization_endpoint")?;
        let challenge = encode(Sha256::digest(&pending.verifier));
        let (client, scope) = (self.client_id(), self.login.scopes.join(" "));
        let mut parameters = vec![
            ("response_type", "code".to_owned()),
            ("client_id", client),
            ("redirect_uri", callback.to_owned()),
            ("scope", scope),
            ("state", state.to_owned()),
            ("nonce", pending.nonce.clone()),
            ("code_challenge", challenge),
            ("code_challenge_method", "S256".to_owned()),
        ];
        if let Some(age) = self.login.max_age {
            parameters.push(("max_age", age.to_string()));
        }
        for (name, value) in &self.login.parameters {
            parameters.push((name, value.resolve(self.settings)));
        }
        Ok(with_query(described.unwrap_or_default(), &parameters))
    }

    /// Whether an answer that names this issuer, or none, is the provider's (RFC 9207 §2.4).
    pub fn is_named(&self, issuer: Option<&str>) -> bool {
        match issuer {
            Some(issuer) => issuer == self.keeper.rules.issuer,
            None => !self.keeper.description().names_itself,
        }
    }

    /// Gives a code, and gets a session (OpenID Connect Core §3.1.3).
    pub async fn redeem<P: Platform>(
        &self,
        platform: &P,
        code: &str,
        pending: &Pending,
        callback: &str,
    ) -> Result<Session, Trouble> {
        let answer = self
            .tokens(
                platform,
                &[
                    ("grant_type", "authorization_code"),
                    ("code", code),
                    ("redirect_uri", callback),
                    ("code_verifier", &pending.verifier),
                ],
            )
            .await?;
        let access_token = text(&answer, "access_token").ok_or_else(|| wrong("there is no access token"))?;
        let id_token = text(&answer, "id_token").ok_or_else(|| wrong("there is no ID token"))?;
        let expected = Expected { nonce: Some(&pending.nonce), access_token: Some(access_token), subject: None };
        let claims = self.verify(platform, id_token, &expected).await?;
        let userinfo = self.userinfo(platform, access_token, &claims).await?;
        let now = platform.now();
        Ok(Session {
            id_token: id_token.to_owned(),
            userinfo,
            scopes: granted(&answer, &self.login.scopes),
            access_token: self.login.access_token.then(|| access_token.to_owned()),
            refresh_token: text(&answer, "refresh_token").map(str::to_owned),
            created: now,
            seen: now,
            issued: now,
            expires: expires(&answer, now),
        })
    }

    /// Gives a refresh token, and gets a session that goes on (OpenID Connect Core §12).
    pub async fn renew<P: Platform>(
        &self,
        platform: &P,
        session: &Session,
        refresh_token: &str,
        remarks: &mut Vec<Remark>,
    ) -> Result<Session, Trouble> {
        let asked = [("grant_type", "refresh_token"), ("refresh_token", refresh_token)];
        let answer = self.tokens(platform, &asked).await?;
        let access_token = text(&answer, "access_token").ok_or_else(|| wrong("there is no access token"))?;
        let mut id_token = session.id_token.clone();
        if let Some(new) = text(&answer, "id_token") {
            let before = session.claims().unwrap_or_default();
            let subject = before.get("sub").and_then(Value::as_str).unwrap_or_default();
            let expected = Expected { nonce: None, access_token: Some(access_token), subject: Some(subject) };
            match self.verify(platform, new, &expected).await {
                Ok(_) => id_token = new.to_owned(),
                // The refresh token has been used, so the one that has come in its place is not given up. The ID token says
                // nothing that the session needs, and another provider's answer need not have one.
                Err(Trouble::Unverifiable(why) | Trouble::Unreachable(why)) => {
                    let detail = format!("a session goes on with its old ID token: {why}");
                    remarks.push(Remark { problem: "credential-uncertain", detail });
                }
                Err(trouble) => return Err(trouble),
            }
        }
        let now = platform.now();
        Ok(Session {
            id_token,
            userinfo: session.userinfo.clone(),
            scopes: granted(&answer, &session.scopes),
            access_token: self.login.access_token.then(|| access_token.to_owned()),
            // One that is not replaced goes on counting (RFC 6749 §6).
            refresh_token: Some(text(&answer, "refresh_token").unwrap_or(refresh_token).to_owned()),
            created: session.created,
            seen: now,
            issued: now,
            expires: expires(&answer, now),
        })
    }

    /// Takes a refresh token out of circulation (RFC 7009), where the provider does that. Gives words for the log.
    pub async fn revoke<P: Platform>(&self, platform: &P, refresh_token: &str) -> Result<(), String> {
        let description = self.keeper.description();
        let Some(described) = description.revocation.as_deref() else { return Ok(()) };
        let address = self.keeper.endpoint(Some(described), "revocation_endpoint")?;
        let (headers, form) = self.signed(&[("token", refresh_token), ("token_type_hint", "refresh_token")]);
        let errand = Errand { address: &address, headers, form: Some(form), limit: LARGEST_ANSWER };
        match errand::ask(platform, errand).await? {
            Answered { status: 200, .. } => Ok(()),
            Answered { status, .. } => Err(format!("{address} does not revoke a token: status {status}")),
        }
    }

    /// The address that ends the session at the provider and brings the user back, where the provider has one.
    pub fn end_session(&self, session: &Session, back: &str) -> Option<String> {
        let description = self.keeper.description();
        let described = description.end_session.as_deref()?;
        self.keeper.endpoint(Some(described), "end_session_endpoint").ok()?;
        let parameters = [
            ("id_token_hint", session.id_token.clone()),
            ("client_id", self.client_id()),
            ("post_logout_redirect_uri", back.to_owned()),
        ];
        Some(with_query(described, &parameters))
    }

    fn client_id(&self) -> String {
        self.login.client_id.resolve(self.settings)
    }

    async fn tokens<P: Platform>(&self, platform: &P, asked: &[(&str, &str)]) -> Result<Map<String, Value>, Trouble> {
        let description = self.keeper.description();
        let address = self.keeper.endpoint(description.token.as_deref(), "token_endpoint").map_err(Trouble::Wrong)?;
        let (headers, form) = self.signed(asked);
        let errand = Errand { address: &address, headers, form: Some(form), limit: LARGEST_ANSWER };
        let Answered { status, body } = errand::ask(platform, errand).await.map_err(Trouble::Unreachable)?;
        let answer = json::object(&body);
        match (status, answer) {
            (200, Some(answer)) => {
                // Tokens of another kind would need a proof with every use.
                let bearer = text(&answer, "token_type").is_some_and(|kind| kind.eq_ignore_ascii_case("bearer"));
                if bearer { Ok(answer) } else { Err(wrong("the token is no bearer token")) }
            }
            (400..=499, answer) if status != 408 && status != 429 => {
                let error = answer.as_ref().and_then(|answer| text(answer, "error")).unwrap_or_default();
                Err(Trouble::Refused(error_code(error).to_owned()))
            }
            (200, None) => Err(wrong("the token endpoint's answer is no object")),
            (status, _) => Err(Trouble::Unreachable(format!("{address} answered with the status {status}"))),
        }
    }

    /// A form with what proves that it is the gateway who sends it (RFC 6749 §2.3.1).
    fn signed(&self, asked: &[(&str, &str)]) -> (Vec<(&'static str, String)>, String) {
        let (client, mut headers) = (self.client_id(), Vec::new());
        let mut pairs: Vec<String> = asked.iter().map(|(name, value)| format!("{name}={}", form(value))).collect();
        match &self.login.client {
            Authentication::Basic(secret) => {
                let pair = format!("{}:{}", form(&client), form(&secret.resolve(self.settings)));
                headers.push(("authorization", format!("Basic {}", STANDARD.encode(pair))));
            }
            Authentication::Post(secret) => {
                pairs.push(format!("client_id={}", form(&client)));
                pairs.push(format!("client_secret={}", form(&secret.resolve(self.settings))));
            }
            Authentication::None => pairs.push(format!("client_id={}", form(&client))),
        }
        (headers, pairs.join("&"))
    }

    /// The claims of an ID token, if it is the provider's, for this client, and what was expected.
    async fn verify<P: Platform>(
        &self,
        platform: &P,
        text: &str,
        expected: &Expected<'_>,
    ) -> Result<Map<String, Value>, Trouble> {
        let refused = |refusal: Refusal| {
            let why = format!("the ID token: {}", refusal.reason());
            if refusal == Refusal::UnknownKey { Trouble::Unverifiable(why) } else { Trouble::Wrong(why) }
        };
        let token = Token::read(text, Purpose::Token).map_err(refused)?;
        let keys = self.keeper.keys(platform, Some(&token.header), &mut Vec::new()).await;
        let keys = keys.map_err(|no_keys| Trouble::Unreachable(no_keys.0))?;
        keys.verify(&token).map_err(refused)?;
        let claims = token.claims().map_err(refused)?;
        let shown = Shown { kind: token.header.kind.as_deref(), algorithm: token.header.algorithm, claims: &claims };
        let (rules, client, now) = (&self.keeper.rules, self.client_id(), platform.now());
        // Who has logged in once need not do so again for new tokens.
        let max_age = self.login.max_age.filter(|_| expected.nonce.is_some());
        check(shown, expected, rules, &client, max_age, now).map_err(|why| wrong(&why))?;
        Ok(claims)
    }

    /// What the provider says of the user besides (OpenID Connect Core §5.3), where that is asked for.
    async fn userinfo<P: Platform>(
        &self,
        platform: &P,
        access_token: &str,
        claims: &Map<String, Value>,
    ) -> Result<Map<String, Value>, Trouble> {
        if !self.login.userinfo {
            return Ok(Map::new());
        }
        let description = self.keeper.description();
        let endpoint = self.keeper.endpoint(description.userinfo.as_deref(), "userinfo_endpoint");
        let address = endpoint.map_err(Trouble::Wrong)?;
        let headers = vec![("authorization", format!("Bearer {access_token}"))];
        let errand = Errand { address: &address, headers, form: None, limit: LARGEST_ANSWER };
        let body = errand::run(platform, errand).await.map_err(Trouble::Unreachable)?;
        let mut userinfo = json::object(&body).ok_or_else(|| wrong("the userinfo is no object"))?;
        // §5.3.2: it may be of somebody else, where a token was slipped in.
        if userinfo.get("sub").is_none_or(|subject| Some(subject) != claims.get("sub")) {
            return Err(wrong("the userinfo is of somebody else"));
        }
        // What the ID token says is not carried twice.
        userinfo.retain(|name, _| !claims.contains_key(name));
        Ok(userinfo)
    }
}

/// What an ID token is expected to say, besides what all of a provider must.
struct Expected<'a> {
    nonce: Option<&'a str>,
    access_token: Option<&'a str>,
    subject: Option<&'a str>,
}

/// What an ID token says, its signature being right.
#[derive(Clone, Copy)]
struct Shown<'a> {
    kind: Option<&'a str>,
    algorithm: Algorithm,
    claims: &'a Map<String, Value>,
}

/// Judges an ID token by OpenID Connect Core §3.1.3.7, and by §12.2 where it renews another. Gives words for the log.
fn check(
    shown: Shown<'_>,
    expected: &Expected<'_>,
    rules: &Rules,
    client: &str,
    max_age: Option<u64>,
    now: Timestamp,
) -> Result<(), String> {
    let Shown { kind, algorithm, claims } = shown;
    // An access or a logout token is none (RFC 8725 §3.11).
    if !matches!(kind, None | Some("jwt")) {
        return Err("the ID token is of another type".to_owned());
    }
    // Issuer, audience and times: rules 2, 3, 9 and 10.
    rules.check(kind, claims, now).map_err(|refusal| format!("the ID token: {}", refusal.reason()))?;
    let claim = |name: &str| claims.get(name).and_then(Value::as_str);
    if claim("sub").is_none_or(str::is_empty) {
        return Err("the ID token has no `sub`".to_owned());
    }
    if !claims.contains_key("iat") {
        return Err("the ID token has no `iat`".to_owned());
    }
    // Rules 4 and 5. Whoever else it is for is not trusted here, unless it says that it was made for this client.
    let several = claims.get("aud").and_then(Value::as_array).is_some_and(|audiences| audiences.len() > 1);
    match claims.get("azp") {
        Some(Value::String(party)) if party == client => {}
        None if !several => {}
        _ => return Err("the ID token was made for another client (`azp`)".to_owned()),
    }
    // Rule 11.
    if let Some(nonce) = expected.nonce
        && claim("nonce") != Some(nonce)
    {
        return Err("the ID token is of another login (`nonce`)".to_owned());
    }
    // Rule 13. The leeway is the clocks'.
    if let Some(age) = max_age {
        let authenticated = crate::jwt::rules::time(claims, "auth_time").ok().flatten();
        let latest = authenticated.map(|at| at.saturating_add(age.saturating_mul(1000)).saturating_add(rules.leeway));
        if latest.is_none_or(|latest| now > latest) {
            return Err("the user logged in at the provider too long ago (`auth_time`)".to_owned());
        }
    }
    // §3.1.3.8: an access token that was put in another's place.
    if let (Some(hash), Some(token)) = (claims.get("at_hash"), expected.access_token)
        && hash.as_str() != Some(&half_hash(algorithm, token))
    {
        return Err("the ID token is for another access token (`at_hash`)".to_owned());
    }
    if expected.subject.is_some_and(|subject| claim("sub") != Some(subject)) {
        return Err("the new ID token is of somebody else (`sub`)".to_owned());
    }
    Ok(())
}

/// The left half of a token's hash, with the hash of the signature's algorithm (OpenID Connect Core §3.1.3.6).
fn half_hash(algorithm: Algorithm, token: &str) -> String {
    let hash = match (algorithm.family(), algorithm.hash_length()) {
        (Family::Ed25519, _) | (_, 64) => Sha512::digest(token).to_vec(),
        (_, 48) => Sha384::digest(token).to_vec(),
        _ => Sha256::digest(token).to_vec(),
    };
    encode(&hash[..hash.len() / 2])
}

/// When an access token ends (RFC 6749 §5.1); numbers in quotes are not unheard of.
fn expires(answer: &Map<String, Value>, now: Timestamp) -> Option<Timestamp> {
    let seconds = match answer.get("expires_in")? {
        Value::Number(number) => number.as_u64()?,
        Value::String(text) => text.parse().ok()?,
        _ => return None,
    };
    Some(now.saturating_add(seconds.saturating_mul(1000)))
}

fn text<'a>(answer: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    answer.get(name).and_then(Value::as_str).filter(|text| !text.is_empty() && !text.contains(char::is_control))
}

fn with_query(address: &str, parameters: &[(&str, String)]) -> String {
    let pairs: Vec<String> = parameters.iter().map(|(name, value)| format!("{}={}", form(name), form(value))).collect();
    let sign = if address.contains('?') { '&' } else { '?' };
    format!("{address}{sign}{}", pairs.join("&"))
}

fn wrong(why: &str) -> Trouble {
    Trouble::Wrong(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: Timestamp = 1_750_000_000_000;

    fn judged(change: Value, kind: Option<&str>, expected: &Expected<'_>, max_age: Option<u64>) -> Result<(), String> {
        let seconds = NOW / 1000;
        let Value::Object(mut claims) = json!({
            "iss": "https://idp.example", "sub": "alice", "aud": "gateway", "exp": seconds + 60, "iat": seconds,
            "nonce": "n",
        }) else {
            return Err("no claims".to_owned());
        };
        let Value::Object(change) = change else { return Err("no change".to_owned()) };
        for (name, value) in change {
            match value {
                Value::Null => drop(claims.remove(&name)),
                value => drop(claims.insert(name, value)),
            }
        }
        let rules = Rules {
            issuer: "https://idp.example".into(),
            audiences: vec!["gateway".into()],
            leeway: 30_000,
            ..Rules::default()
        };
        let shown = Shown { kind, algorithm: Algorithm::Es256, claims: &claims };
        check(shown, expected, &rules, "gateway", max_age, NOW)
    }

    #[test]
    fn an_id_token_is_for_this_client_and_this_login() {
        let first = Expected { nonce: Some("n"), access_token: Some("token"), subject: None };
        let seconds = NOW / 1000;
        let at_hash = half_hash(Algorithm::Es256, "token");
        for (change, sound) in [
            (json!({}), true),
            (json!({"aud": ["gateway"]}), true),
            (json!({"aud": ["gateway", "other"], "azp": "gateway"}), true),
            (json!({"azp": "gateway"}), true),
            (json!({"at_hash": at_hash}), true),
            (json!({"iss": "https://evil.example"}), false),
            (json!({"iss": null}), false),
            (json!({"aud": "other"}), false),
            (json!({"aud": null}), false),
            (json!({"aud": ["gateway", "other"]}), false),
            (json!({"aud": ["gateway", "other"], "azp": "other"}), false),
            (json!({"azp": "other"}), false),
            (json!({"azp": 1}), false),
            (json!({"sub": null}), false),
            (json!({"sub": ""}), false),
            (json!({"sub": 7}), false),
            (json!({"iat": null}), false),
            (json!({"iat": seconds + 31}), false),
            (json!({"exp": seconds - 30}), false),
            (json!({"exp": null}), false),
            (json!({"nbf": seconds + 31}), false),
            (json!({"nonce": null}), false),
            (json!({"nonce": "other"}), false),
            (json!({"at_hash": "x"}), false),
            (json!({"at_hash": 1}), false),
        ] {
            let shown = change.to_string();
            assert_eq!(judged(change, Some("jwt"), &first, None).is_ok(), sound, "{shown}");
        }
        assert!(judged(json!({}), None, &first, None).is_ok());
        for kind in ["at+jwt", "logout+jwt", "dpop+jwt"] {
            assert!(judged(json!({}), Some(kind), &first, None).is_err(), "{kind}");
        }
    }

    #[test]
    fn a_new_id_token_is_of_the_same_user_and_needs_no_nonce() {
        let renewal = Expected { nonce: None, access_token: None, subject: Some("alice") };
        assert!(judged(json!({"nonce": null}), None, &renewal, None).is_ok());
        assert!(judged(json!({"sub": "mallory"}), None, &renewal, None).is_err());
    }

    #[test]
    fn users_who_logged_in_too_long_ago_do_so_again() {
        let first = Expected { nonce: Some("n"), access_token: None, subject: None };
        let seconds = NOW / 1000;
        for (auth_time, sound) in [
            (json!(seconds - 60), true),
            (json!(seconds - 90), true),
            (json!(seconds - 91), false),
            (json!("x"), false),
        ] {
            let shown = auth_time.to_string();
            let found = judged(json!({"auth_time": auth_time}), None, &first, Some(60)).is_ok();
            assert_eq!(found, sound, "{shown}");
        }
        assert!(judged(json!({}), None, &first, Some(60)).is_err(), "it was asked for");
    }

    #[test]
    fn the_half_of_a_hash() {
        // OpenID Connect Core, Appendix A.4; a code is hashed as a token is.
        let code = "Qcb0Orv1zh30vL1MPRsbm-diHiMwcLyZvn1arpZv-Jxf_11jnpEX3Tgfvk";
        assert_eq!(half_hash(Algorithm::Rs256, code), "LDktKdoQak3Pk0cnXxCltA");
        assert_eq!(half_hash(Algorithm::Es384, "a").len(), 32);
        assert_eq!(half_hash(Algorithm::EdDsa, "a").len(), 43);
    }

    #[test]
    fn addresses_keep_their_query() {
        let parameters = [("a", "b c".to_owned())];
        assert_eq!(with_query("https://idp.example/x", &parameters), "https://idp.example/x?a=b+c");
        assert_eq!(with_query("https://idp.example/x?p=1", &parameters), "https://idp.example/x?p=1&a=b+c");
    }
}
