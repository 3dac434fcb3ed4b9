//! Who makes tokens, the keys by which that is seen, and what the gateway remembers of both.
//!
//! The issuers of a configuration stand together, so that routes share their keys. What is fetched stays in the instance's
//! memory: losing it costs a request to the issuer, never correctness. No borrow is held while anything is waited for.

use super::jwt::Naming;
use crate::errand::{self, Address, Errand};
use crate::jwt::key_set::MOST_KEYS;
use crate::jwt::refresh::{ASKING, Known, Refresh, Step};
use crate::jwt::remembered::Remembered;
use crate::jwt::replay::Used;
use crate::jwt::{Algorithm, BadSet, Header, Key, KeySet, Rules, json};
use crate::platform::{Platform, Timestamp};
use crate::policy::Remark;
use crate::policy::forward_auth::Pass;
use crate::template::{Settings, Template};
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

/// An issuer as it was compiled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Issuer {
    /// `iss`, references included.
    pub name: Template,
    /// `aud`, of which one is needed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audiences: Vec<Template>,
    /// What else tokens must say. Its issuer and audiences are filled in from the two above.
    pub rules: Rules,
    /// The algorithms taken; none: each key's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub algorithms: Vec<Algorithm>,
    /// Where the keys come from.
    pub keys: Source,
    /// How often they are asked for.
    pub refresh: Refresh,
    /// What says who calls besides issuer and subject.
    #[serde(default, skip_serializing_if = "Naming::is_usual")]
    pub naming: Naming,
}

/// Where an issuer's keys come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// From the issuer's own description (OpenID Connect Discovery §4), at this address.
    Discovery(Template),
    /// From a JWK Set at this address.
    Url(Template),
    /// From the configuration.
    Inline(Vec<Inline>),
}

/// A key in the configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Inline {
    /// A public key as a JWK.
    Jwk(Map<String, Value>),
    /// A public key in PEM.
    Pem {
        /// Its `kid`.
        id: Option<String>,
        /// The text.
        pem: Template,
    },
    /// A shared secret.
    Secret {
        /// Its `kid`.
        id: Option<String>,
        /// The platform's value.
        secret: Template,
        /// Whether that is Base64 of the secret's bytes.
        base64: bool,
    },
}

impl Inline {
    /// The key, once the platform's values are known.
    pub fn key(&self, settings: &Settings, algorithms: &[Algorithm]) -> Result<Key, String> {
        let key = match self {
            Inline::Jwk(jwk) => Key::from_jwk(jwk, algorithms),
            Inline::Pem { id, pem } => {
                // Variables often hold a text on one line.
                Key::from_pem(&pem.resolve(settings).replace("\\n", "\n"), id.clone(), algorithms)
            }
            Inline::Secret { id, secret, base64: false } => {
                Key::from_secret(secret.resolve(settings).as_bytes(), id.clone(), algorithms)
            }
            Inline::Secret { id, secret, base64: true } => {
                let text = secret.resolve(settings).replace('-', "+").replace('_', "/");
                let bytes = LENIENT.decode(text.trim()).map_err(|_| "the secret is not Base64".to_owned())?;
                Key::from_secret(&bytes, id.clone(), algorithms)
            }
        };
        key.map_err(|bad| bad.to_string())
    }
}

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// All that the gateway knows of tokens: who makes them, and which have been seen.
#[derive(Debug)]
pub struct Tokens {
    issuers: Vec<Keeper>,
    /// Tokens whose signature and claims are right.
    pub verified: RefCell<Remembered<Verified>>,
    /// What an authorisation server said of tokens.
    pub introspected: RefCell<Remembered<Option<Verified>>>,
    /// Proofs that have been used.
    pub proofs: RefCell<Used>,
    /// What other services said of requests that may pass.
    pub passes: RefCell<Remembered<Pass>>,
    /// What logins have to remember.
    #[cfg(feature = "login")]
    pub logins: super::login::Logins,
}

/// What a right token says.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    /// Its claims.
    pub claims: Rc<Map<String, Value>>,
    /// Its scopes.
    pub scopes: Vec<String>,
    /// The mark of the key that signed it.
    pub key: u64,
}

/// An issuer, and what is known of its keys.
#[derive(Debug)]
pub struct Keeper {
    /// What its tokens must say.
    pub rules: Rules,
    /// What says who calls besides issuer and subject.
    pub naming: Naming,
    algorithms: Vec<Algorithm>,
    refresh: Refresh,
    origin: Origin,
    keys: RefCell<Option<Rc<KeySet>>>,
    description: RefCell<Rc<Description>>,
    known: Cell<Known>,
}

/// What an issuer says of itself besides its keys (OpenID Connect Discovery §3, RFC 8414 §2). Empty until it has been asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Description {
    /// `authorization_endpoint`
    pub authorization: Option<String>,
    /// `token_endpoint`
    pub token: Option<String>,
    /// `userinfo_endpoint`
    pub userinfo: Option<String>,
    /// `end_session_endpoint`
    pub end_session: Option<String>,
    /// `revocation_endpoint`
    pub revocation: Option<String>,
    /// `authorization_response_iss_parameter_supported` (RFC 9207)
    pub names_itself: bool,
}

#[derive(Debug)]
enum Origin {
    Discovery(Address),
    Url(Address),
    Here,
}

/// Keys that could not be had, in words for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoKeys(pub String);

/// Bytes of claims that are remembered, roughly.
const REMEMBERED: usize = 2 << 20;
/// How often it is looked whether there are keys, in milliseconds.
const LOOK: u64 = 20;
const LARGEST_SET: usize = 256 << 10;
const LARGEST_DESCRIPTION: usize = 128 << 10;

impl Default for Tokens {
    fn default() -> Self {
        Self {
            issuers: Vec::new(),
            verified: RefCell::new(Remembered::new(REMEMBERED)),
            introspected: RefCell::new(Remembered::new(REMEMBERED)),
            proofs: RefCell::default(),
            passes: RefCell::new(Remembered::new(REMEMBERED)),
            #[cfg(feature = "login")]
            logins: super::login::Logins::default(),
        }
    }
}

impl Tokens {
    /// Takes the issuers of a configuration. Keys that stand there are read now, so that a wrong one is found when the
    /// gateway starts and not when somebody calls.
    pub fn new(issuers: &[Issuer], settings: &Settings) -> Result<Self, String> {
        let issuers = issuers.iter().map(|issuer| Keeper::new(issuer, settings)).collect::<Result<_, _>>()?;
        Ok(Self { issuers, ..Self::default() })
    }

    /// Takes the keys that sessions are sealed with, as they are numbered by the configuration.
    #[cfg(feature = "login")]
    pub fn with_session_keys(self, keys: &[Vec<Template>], settings: &Settings) -> Result<Self, String> {
        Ok(Self { logins: super::login::Logins::new(keys, settings)?, ..self })
    }

    /// The issuer at this place of the configuration.
    pub fn issuer(&self, place: u32) -> Option<&Keeper> {
        self.issuers.get(place as usize)
    }
}

impl Keeper {
    fn new(issuer: &Issuer, settings: &Settings) -> Result<Self, String> {
        let name = issuer.name.resolve(settings);
        let wrong = |why: String| format!("the keys of the issuer `{name}`: {why}");
        let address = |url: &Template| Address::parse(&url.resolve(settings)).map_err(&wrong);
        let mut keys = None;
        let origin = match &issuer.keys {
            Source::Discovery(url) => Origin::Discovery(address(url)?),
            Source::Url(url) => Origin::Url(address(url)?),
            Source::Inline(inline) => {
                let read = inline.iter().map(|key| key.key(settings, &issuer.algorithms));
                let read = read.collect::<Result<Vec<_>, _>>().map_err(&wrong)?;
                keys = Some(Rc::new(KeySet::new(read).map_err(|bad| wrong(told(bad)))?));
                Origin::Here
            }
        };
        let audiences = issuer.audiences.iter().map(|audience| audience.resolve(settings)).collect();
        Ok(Self {
            rules: Rules { issuer: name, audiences, ..issuer.rules.clone() },
            naming: issuer.naming.clone(),
            algorithms: issuer.algorithms.clone(),
            refresh: issuer.refresh,
            origin,
            keys: RefCell::new(keys),
            description: RefCell::default(),
            known: Cell::default(),
        })
    }

    /// The keys for a token with this header, or for one that is remembered. Asks the issuer where that is due.
    pub async fn keys<P: Platform>(
        &self,
        platform: &P,
        header: Option<&Header>,
        remarks: &mut Vec<Remark>,
    ) -> Result<Rc<KeySet>, NoKeys> {
        if let Origin::Here = self.origin {
            return self.current().ok_or_else(|| NoKeys("there are no keys".to_owned()));
        }
        let now = platform.now();
        let keys = match self.refresh.step(self.known.get(), now) {
            Step::Use => self.current().ok_or_else(|| NoKeys("there are no keys".to_owned()))?,
            Step::GiveUp => return Err(NoKeys(format!("{}: nobody answered a moment ago", self.rules.issuer))),
            Step::Fetch => self.ask(platform, now).await?,
            Step::Renew => match (self.ask(platform, now).await, self.current()) {
                (Ok(keys), _) => keys,
                (Err(NoKeys(why)), Some(old)) => {
                    let detail =
                        format!("the keys of {} are old, and new ones cannot be had: {why}", self.rules.issuer);
                    remarks.push(Remark { problem: "credential-uncertain", detail });
                    old
                }
                (Err(why), None) => return Err(why),
            },
        };
        let Some(header) = header.filter(|header| !keys.knows(header)) else { return Ok(keys) };
        if self.refresh.is_worth_asking(self.known.get(), platform.now()) {
            // Where the issuer cannot be reached, the token's key stays unknown.
            return Ok(self.ask(platform, platform.now()).await.unwrap_or(keys));
        }
        self.wait(platform, header, keys).await
    }

    /// The keys that somebody brings who is asking for them just now: an unknown key may be among those.
    async fn wait<P: Platform>(
        &self,
        platform: &P,
        header: &Header,
        mut keys: Rc<KeySet>,
    ) -> Result<Rc<KeySet>, NoKeys> {
        // Others may ask meanwhile, who are not waited for.
        let until = self.known.get().asked.unwrap_or_default().saturating_add(ASKING);
        while self.known.get().is_open() {
            if platform.now() >= until {
                return Err(NoKeys(format!("{} has not answered yet", self.rules.issuer)));
            }
            platform.sleep(Duration::from_millis(LOOK)).await;
            keys = self.current().unwrap_or(keys);
            if keys.knows(header) {
                break;
            }
        }
        Ok(keys)
    }

    /// What the issuer said of itself when it was last asked for its keys.
    pub fn description(&self) -> Rc<Description> {
        Rc::clone(&self.description.borrow())
    }

    /// Where to find what the issuer has described, as safe as the description itself came.
    pub fn endpoint(&self, described: Option<&str>, name: &str) -> Result<Address, String> {
        let issuer = &self.rules.issuer;
        let described = described.ok_or_else(|| format!("{issuer} has no `{name}`"))?;
        let address = Address::parse(described)?;
        let safe = matches!(&self.origin, Origin::Discovery(from) if from.is_safe());
        // What is said there could be read by anybody, and answered by anybody.
        if safe && !address.is_safe() {
            return Err(format!("{issuer} wants to be asked in clear text (`{name}`)"));
        }
        Ok(address)
    }

    fn current(&self) -> Option<Rc<KeySet>> {
        self.keys.borrow().clone()
    }

    async fn ask<P: Platform>(&self, platform: &P, now: Timestamp) -> Result<Rc<KeySet>, NoKeys> {
        self.note(|known| known.asking(now));
        let fetched = match &self.origin {
            Origin::Url(address) => self.fetch(platform, address).await,
            Origin::Discovery(address) => match self.discover(platform, address).await {
                Ok(address) => self.fetch(platform, &address).await,
                Err(why) => Err(why),
            },
            Origin::Here => Err("there is nobody to ask".to_owned()),
        };
        match fetched {
            Ok(keys) => {
                let keys = Rc::new(keys);
                // An answer that was overtaken by a newer one is no news.
                if self.known.get().since.is_none_or(|since| since <= now) {
                    *self.keys.borrow_mut() = Some(Rc::clone(&keys));
                }
                self.note(|known| known.answered(now));
                Ok(keys)
            }
            Err(why) => {
                self.note(|known| known.failed(platform.now()));
                Err(NoKeys(why))
            }
        }
    }

    fn note(&self, change: impl FnOnce(&mut Known)) {
        let mut known = self.known.get();
        change(&mut known);
        self.known.set(known);
    }

    async fn fetch<P: Platform>(&self, platform: &P, address: &Address) -> Result<KeySet, String> {
        let errand = Errand { address, headers: Vec::new(), form: None, limit: LARGEST_SET };
        let bytes = errand::run(platform, errand).await?;
        KeySet::published(&bytes, &self.algorithms).map_err(|bad| format!("the set of keys: {}", told(bad)))
    }

    /// OpenID Connect Discovery §4.3: the description must be of the issuer that was asked for.
    async fn discover<P: Platform>(&self, platform: &P, address: &Address) -> Result<Address, String> {
        let errand = Errand { address, headers: Vec::new(), form: None, limit: LARGEST_DESCRIPTION };
        let bytes = errand::run(platform, errand).await?;
        let description = json::object(&bytes).ok_or("the issuer's description is no object")?;
        let member = |name: &str| description.get(name).and_then(Value::as_str);
        if member("issuer") != Some(self.rules.issuer.as_str()) {
            return Err("the issuer's description is of another issuer".to_owned());
        }
        let keys = Address::parse(member("jwks_uri").ok_or("the issuer's description has no `jwks_uri`")?)?;
        // Keys that come in clear text could be anybody's; and what comes by TLS has no business at this machine's own ports.
        if (address.is_safe() && !keys.is_safe()) || (address.is_secure() && !keys.is_secure()) {
            return Err("the issuer's description asks for keys in clear text".to_owned());
        }
        let owned = |name: &str| member(name).map(str::to_owned);
        *self.description.borrow_mut() = Rc::new(Description {
            authorization: owned("authorization_endpoint"),
            token: owned("token_endpoint"),
            userinfo: owned("userinfo_endpoint"),
            end_session: owned("end_session_endpoint"),
            revocation: owned("revocation_endpoint"),
            names_itself: description.get("authorization_response_iss_parameter_supported") == Some(&Value::Bool(true)),
        });
        Ok(keys)
    }
}

/// What is wrong with a set of keys, for the operator.
pub fn told(bad: BadSet) -> String {
    match bad {
        BadSet::Malformed => "it is no JWK Set".to_owned(),
        BadSet::TooMany => format!("it has more than {MOST_KEYS} keys"),
        BadSet::Mixed => "shared secrets and public keys do not stand together".to_owned(),
        BadSet::Published => "it holds a shared secret, which everybody could read".to_owned(),
        BadSet::Empty(None) => "it has no key".to_owned(),
        BadSet::Empty(Some(bad)) => format!("it has no key that can be used; the last one: {bad}"),
    }
}
