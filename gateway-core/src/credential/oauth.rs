//! An access token that the gateway gets for itself (RFC 6749 §4.4), shared by all requests of an instance.
//!
//! One request asks for a token and the others wait for what it brings; one asks anew before the token ends, and the others
//! go on with the one that is known. Losing all of it costs a request to the authorisation server.

use super::signer::SigningKey;
use crate::errand::{self, Address, Answered, Errand, encode as form};
use crate::jwt::json;
use crate::platform::{Platform, Timestamp};
use crate::template::{Settings, Template};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

/// Whom to ask for tokens, and for which, as it was compiled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientCredentials {
    /// The token endpoint.
    pub token_url: Template,
    /// What the gateway is called there.
    pub client_id: Template,
    /// How it shows that it is itself.
    pub client: Proof,
    /// What the form says besides: `scope`, `audience`, `resource` and others, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<(String, Template)>,
    /// The field that the token is sent in.
    pub header: String,
}

/// How the gateway shows an authorisation server that it is itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// A secret in `Authorization` (RFC 6749 §2.3.1).
    Basic(Template),
    /// A secret in the form.
    Post(Template),
    /// A token that it signs itself (RFC 7523 §2.2).
    Key {
        /// The private key.
        key: Template,
        /// Its `kid`; `None`: its thumbprint.
        id: Option<String>,
    },
}

/// Where tokens come from, and the one that is known. Shown, it says whom it asks.
pub struct Source {
    /// The field that the token is sent in.
    pub header: String,
    address: Address,
    url: String,
    client_id: String,
    client: ReadyProof,
    parameters: String,
    state: RefCell<State>,
}

enum ReadyProof {
    Basic(String),
    Post(String),
    Key(SigningKey),
}

/// An access token.
#[derive(PartialEq, Eq)]
pub struct Token {
    /// What is sent.
    pub text: String,
    received: Timestamp,
    expires: Timestamp,
}

#[derive(Default)]
struct State {
    token: Option<Rc<Token>>,
    facts: Facts,
    /// Why there was none, in words for the log.
    why: String,
}

/// What is known besides the token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Facts {
    /// When the token came, and when it ends.
    pub lives: Option<(Timestamp, Timestamp)>,
    /// Since when somebody is asking.
    pub asking: Option<Timestamp>,
    /// How often asking has failed in a row, and when it last did.
    pub failed: Option<(u32, Timestamp)>,
    /// When asking for another token last came to nothing within the little time that there was: this says nothing of the server.
    pub hurried: Option<Timestamp>,
    /// When a token was last given up because an upstream did not take it.
    pub distrusted: Option<Timestamp>,
}

/// What to do for one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Send the token that is known.
    Use,
    /// Ask for another; should that fail, send the one that is known.
    Renew,
    /// Ask for one.
    Fetch,
    /// Somebody is asking.
    Wait,
    /// Asking has just failed: leave the server in peace.
    GiveUp,
}

/// How long somebody may be asking before another does: who asks may have gone away without a word.
const ASKING: u64 = 6_000;
/// How often it is looked whether there is a token.
const LOOK: u64 = 20;
/// For how long a token counts where nobody says (RFC 6749 §5.1 only recommends to say it).
const USUAL: u64 = 300_000;
/// How long before its end a token is replaced at most.
const EARLY: u64 = 60_000;
/// How often a token is given up at most because an upstream does not take it.
const DISTRUST: u64 = 10_000;
/// How long a server is left in peace after the first failure, and at most.
const PAUSE: (u64, u64) = (1_000, 30_000);
const LARGEST_ANSWER: usize = 64 << 10;

impl Facts {
    /// What to do for a request.
    pub fn step(&self, now: Timestamp) -> Step {
        let asked = self.asking.is_some_and(|since| now.saturating_sub(since) < ASKING);
        let pauses = self.failed.is_some_and(|(times, at)| now.saturating_sub(at) < pause(times));
        match self.lives {
            Some((received, expires)) if now < expires => {
                let early = EARLY.min(expires.saturating_sub(received) / 5);
                // Not every request is to spend a part of its time on a server that takes longer.
                let hurried = self.hurried.is_some_and(|at| now.saturating_sub(at) < PAUSE.0);
                if now < expires - early || asked || pauses || hurried { Step::Use } else { Step::Renew }
            }
            Some(_) | None if pauses => Step::GiveUp,
            Some(_) | None if asked => Step::Wait,
            Some(_) | None => Step::Fetch,
        }
    }

    /// Whether a token that an upstream did not take is given up. An upstream that takes none costs the server a request in so
    /// many seconds.
    pub fn may_distrust(&self, now: Timestamp) -> bool {
        self.distrusted.is_none_or(|at| now.saturating_sub(at) >= DISTRUST)
    }
}

fn pause(times: u32) -> u64 {
    PAUSE.0.saturating_mul(1 << times.saturating_sub(1).min(16)).min(PAUSE.1)
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Source {
    /// Fills in the references.
    pub fn new(rule: &ClientCredentials, settings: &Settings) -> Result<Self, String> {
        let url = rule.token_url.resolve(settings);
        let address = Address::parse(&url)?;
        let client = match &rule.client {
            Proof::Basic(secret) => ReadyProof::Basic(secret.resolve(settings)),
            Proof::Post(secret) => ReadyProof::Post(secret.resolve(settings)),
            Proof::Key { key, id } => {
                let key = SigningKey::read(&key.resolve(settings), id.clone());
                ReadyProof::Key(key.map_err(|why| format!("the key for tokens of {address}: {why}"))?)
            }
        };
        let parameters = rule.parameters.iter().map(|(name, value)| pair(name, &value.resolve(settings)));
        Ok(Self {
            header: rule.header.clone(),
            address,
            url,
            client_id: rule.client_id.resolve(settings),
            client,
            parameters: parameters.collect(),
            state: RefCell::default(),
        })
    }

    /// A token that counts; the reason for the log where there is none. Asks for one if need be, or waits until somebody who
    /// asks has one, at most until then.
    pub async fn token<P: Platform>(&self, platform: &P, until: Timestamp) -> Result<Rc<Token>, String> {
        loop {
            let now = platform.now();
            let (step, known) = {
                let state = self.state.borrow();
                (state.facts.step(now), state.token.clone())
            };
            match (step, known) {
                (Step::Use, Some(token)) => return Ok(token),
                // Nobody is worse off for it: the one that is known still counts, and half of the time is left to use it.
                (Step::Renew, Some(token)) => {
                    let half = now.saturating_add(until.saturating_sub(now) / 2);
                    return Ok(self.ask(platform, half).await.unwrap_or(token));
                }
                (Step::GiveUp, _) => {
                    let why = &self.state.borrow().why;
                    return Err(format!("{} gave no token a moment ago: {why}", self.address));
                }
                (Step::Wait, _) if now >= until => {
                    return Err(format!("{} has not given a token in time", self.address));
                }
                (Step::Wait, _) => platform.sleep(Duration::from_millis(LOOK)).await,
                (Step::Fetch | Step::Use | Step::Renew, _) => return self.ask(platform, until).await,
            }
        }
    }

    /// Another token than one that an upstream did not take, unless one was given up only just now.
    pub async fn replace<P: Platform>(&self, platform: &P, refused: &Rc<Token>, until: Timestamp) -> Option<Rc<Token>> {
        self.distrust(refused, platform.now());
        let token = self.token(platform, until).await.ok()?;
        (token.text != refused.text).then_some(token)
    }

    /// Gives up a token that an upstream did not take, unless there is another already.
    pub fn distrust(&self, refused: &Rc<Token>, now: Timestamp) {
        let state = &mut *self.state.borrow_mut();
        if state.token.as_ref() == Some(refused) && state.facts.may_distrust(now) {
            state.token = None;
            state.facts.lives = None;
            state.facts.distrusted = Some(now);
        }
    }

    async fn ask<P: Platform>(&self, platform: &P, until: Timestamp) -> Result<Rc<Token>, String> {
        let now = platform.now();
        let time = errand::TIMEOUT.min(Duration::from_millis(until.saturating_sub(now)));
        if time.is_zero() {
            return Err(format!("there is no time to ask {} for a token", self.address));
        }
        self.state.borrow_mut().facts.asking = Some(now);
        // Where this request is ended in the middle of it, the next one may ask, if anybody tells.
        let asking = Asking(self);
        let given = self.fetch(platform, now, time).await;
        drop(asking);
        let state = &mut *self.state.borrow_mut();
        match given {
            Ok(token) => {
                let token = Rc::new(token);
                state.facts = Facts {
                    lives: Some((token.received, token.expires)),
                    asking: None,
                    failed: None,
                    hurried: None,
                    distrusted: state.facts.distrusted,
                };
                state.token = Some(Rc::clone(&token));
                Ok(token)
            }
            Err(why) => {
                let after = platform.now();
                // Who gives the server less time than others do must not keep these from asking: whatever a client says it waits.
                if time >= errand::TIMEOUT || Duration::from_millis(after.saturating_sub(now)) < time / 2 {
                    let times = state.facts.failed.map_or(0, |(times, _)| times).saturating_add(1);
                    state.facts.failed = Some((times, after));
                    state.why.clone_from(&why);
                } else {
                    state.facts.hurried = Some(after);
                }
                Err(format!("{} gives no token: {why}", self.address))
            }
        }
    }

    async fn fetch<P: Platform>(&self, platform: &P, now: Timestamp, time: Duration) -> Result<Token, String> {
        let mut body = "grant_type=client_credentials".to_owned();
        let mut headers = Vec::new();
        match &self.client {
            ReadyProof::Basic(secret) => {
                // RFC 6749 §2.3.1: both are encoded as in a form before they are joined.
                let credentials = format!("{}:{}", form(&self.client_id), form(secret));
                headers.push(("authorization", format!("Basic {}", STANDARD.encode(credentials))));
            }
            ReadyProof::Post(secret) => {
                body.push_str(&pair("client_id", &self.client_id));
                body.push_str(&pair("client_secret", secret));
            }
            ReadyProof::Key(key) => {
                body.push_str(&pair("client_id", &self.client_id));
                body.push_str(&pair("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"));
                body.push_str(&pair("client_assertion", &self.assertion(platform, key, now)?));
            }
        }
        body.push_str(&self.parameters);
        let errand = Errand { address: &self.address, headers, form: Some(body), limit: LARGEST_ANSWER };
        let Answered { status, body } = errand::ask_within(platform, errand, time).await?;
        let answer = json::object(&body);
        match (status, answer) {
            (200, Some(answer)) => read(&answer, platform.now()),
            (200, None) => Err("its answer is no object".to_owned()),
            (status, answer) => {
                let error = answer.as_ref().and_then(|answer| answer.get("error")).and_then(Value::as_str);
                Err(format!(
                    "status {status}{}",
                    error.filter(|error| is_code(error)).map_or(String::new(), |error| format!(", {error}"))
                ))
            }
        }
    }

    /// RFC 7523 §3. The audience is the token endpoint, as everybody takes it.
    fn assertion<P: Platform>(&self, platform: &P, key: &SigningKey, now: Timestamp) -> Result<String, String> {
        let seconds = now / 1000;
        let claims = json!({
            "iss": self.client_id, "sub": self.client_id, "aud": self.url, "iat": seconds, "exp": seconds + 60,
            "jti": format!("{:016x}{:016x}", platform.random(), platform.random()),
        });
        key.token(&claims, &mut || platform.random()).ok_or_else(|| "the assertion cannot be signed".to_owned())
    }
}

/// A request that asks. When it is no more, nobody does.
struct Asking<'a>(&'a Source);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.state.borrow_mut().facts.asking = None;
    }
}

/// A token out of an answer (RFC 6749 §5.1).
fn read(answer: &Map<String, Value>, now: Timestamp) -> Result<Token, String> {
    let text = |name: &str| answer.get(name).and_then(Value::as_str);
    // Of another kind, it would need a proof with every use.
    if !text("token_type").is_some_and(|kind| kind.eq_ignore_ascii_case("bearer")) {
        return Err("the token is no bearer token".to_owned());
    }
    let token = text("access_token").filter(|token| !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic()));
    let token = token.ok_or("there is no access token in its answer")?;
    let seconds = match answer.get("expires_in") {
        Some(Value::Number(number)) => number.as_u64(),
        // Numbers in quotes are not unheard of.
        Some(Value::String(text)) => text.parse().ok(),
        _ => None,
    };
    let lives = seconds.map_or(USUAL, |seconds| seconds.saturating_mul(1000));
    if lives == 0 {
        return Err("the token has ended already".to_owned());
    }
    Ok(Token { text: token.to_owned(), received: now, expires: now.saturating_add(lives) })
}

/// An error code of RFC 6749 §5.2 is a word; anything else is not for the log.
fn is_code(error: &str) -> bool {
    (1..=40).contains(&error.len()) && error.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

fn pair(name: &str, value: &str) -> String {
    format!("&{}={}", form(name), form(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_asked_for_once_renewed_early_and_used_until_its_end() {
        let facts = |lives, asking, failed| Facts { lives, asking, failed, ..Facts::default() };
        for (facts, now, expected) in [
            (Facts::default(), 0, Step::Fetch),
            (facts(None, Some(0), None), 5_999, Step::Wait),
            // Whoever asked has gone.
            (facts(None, Some(0), None), 6_000, Step::Fetch),
            (facts(None, None, Some((1, 0))), 999, Step::GiveUp),
            (facts(None, None, Some((1, 0))), 1_000, Step::Fetch),
            (facts(None, None, Some((3, 0))), 3_999, Step::GiveUp),
            (facts(None, None, Some((60, 0))), 29_999, Step::GiveUp),
            (facts(None, None, Some((60, 0))), 30_000, Step::Fetch),
            (facts(Some((0, 3_600_000)), None, None), 3_539_999, Step::Use),
            (facts(Some((0, 3_600_000)), None, None), 3_540_000, Step::Renew),
            (facts(Some((0, 3_600_000)), Some(3_540_000), None), 3_541_000, Step::Use),
            (facts(Some((0, 3_600_000)), None, Some((1, 3_540_000))), 3_540_500, Step::Use),
            (facts(Some((0, 3_600_000)), None, None), 3_600_000, Step::Fetch),
            (facts(Some((0, 10_000)), None, None), 7_999, Step::Use),
            (facts(Some((0, 10_000)), None, None), 8_000, Step::Renew),
            // Somebody had no time to wait for an answer.
            (Facts { lives: Some((0, 10_000)), hurried: Some(8_000), ..Facts::default() }, 8_999, Step::Use),
            (Facts { lives: Some((0, 10_000)), hurried: Some(8_000), ..Facts::default() }, 9_000, Step::Renew),
            (Facts { lives: Some((0, 10_000)), hurried: Some(10_000), ..Facts::default() }, 10_000, Step::Fetch),
            // A clock that goes backwards makes nothing old.
            (facts(Some((50_000, 60_000)), None, None), 0, Step::Use),
        ] {
            assert_eq!(facts.step(now), expected, "{facts:?} at {now}");
        }
    }

    #[test]
    fn a_server_that_is_down_is_asked_less_and_less() {
        let mut facts = Facts::default();
        let mut asked = Vec::new();
        for now in (0..200_000).step_by(100) {
            if facts.step(now) == Step::Fetch {
                asked.push(now);
                facts.failed = Some((facts.failed.map_or(0, |(times, _)| times) + 1, now));
            }
        }
        assert_eq!(asked[..7], [0, 1_000, 3_000, 7_000, 15_000, 31_000, 61_000]);
        assert!(asked.windows(2).all(|pair| pair[1] - pair[0] <= 30_000));
    }

    #[test]
    fn an_upstream_that_takes_no_token_costs_the_server_one_request_per_interval() {
        let mut facts = Facts::default();
        let mut given_up = 0;
        for now in (0..100_000).step_by(50) {
            if facts.may_distrust(now) {
                facts.distrusted = Some(now);
                given_up += 1;
            }
        }
        assert_eq!(given_up, 10);
    }

    #[test]
    fn answers_are_read_strictly() {
        let read = |answer: Value| read(answer.as_object().expect("an object"), 1_000).map(|t| (t.text, t.expires));
        let token = |expires| Ok(("t".to_owned(), expires));
        for (answer, expected) in [
            (json!({ "access_token": "t", "token_type": "bearer", "expires_in": 60 }), token(61_000)),
            (json!({ "access_token": "t", "token_type": "Bearer", "expires_in": "60" }), token(61_000)),
            (json!({ "access_token": "t", "token_type": "Bearer" }), token(301_000)),
        ] {
            assert_eq!(read(answer), expected);
        }
        for answer in [
            json!({ "access_token": "t" }),
            json!({ "access_token": "t", "token_type": "DPoP" }),
            json!({ "access_token": "", "token_type": "Bearer" }),
            json!({ "access_token": "a b", "token_type": "Bearer" }),
            json!({ "access_token": "a\r\nx: y", "token_type": "Bearer" }),
            json!({ "access_token": 1, "token_type": "Bearer" }),
            json!({ "access_token": "t", "token_type": "Bearer", "expires_in": 0 }),
        ] {
            assert!(read(answer.clone()).is_err(), "{answer}");
        }
    }
}
