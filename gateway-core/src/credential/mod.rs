//! What the gateway shows an upstream: its own credentials, and who is calling.
//!
//! Everything is put on a call that names its target already, just before it is sent: an attempt that is made once more is
//! signed anew, and what one upstream was shown never reaches the one that stands in for it. What the client has sent in the
//! same fields goes, in every spelling.

pub mod aws;
pub mod identity;
pub mod oauth;
pub mod signer;

pub use aws::Aws;
pub use identity::{Identity, Statement};
pub use oauth::ClientCredentials;

use crate::caller::Caller;
use crate::gateway::Purpose;
use crate::http::{Headers, Response};
use crate::platform::{Call, Failure, FetchError, Platform};
use crate::pump;
use crate::template::{Settings, Template};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use identity::Mint;
use oauth::Source;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

/// One of the things that an upstream is shown, as it was compiled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Credential {
    /// A header field whose value is a secret.
    Header {
        /// Its name, in lower case.
        name: String,
        /// Its value.
        value: Template,
    },
    /// A user name and a password (RFC 7617).
    Basic {
        /// The user name, without a colon.
        username: Template,
        /// The password.
        password: Template,
    },
    /// An access token that the gateway gets for itself (RFC 6749 §4.4).
    Oauth2(ClientCredentials),
    /// A token that says who is calling.
    Identity(Statement),
    /// A signature as services of AWS want it.
    Aws(Aws),
}

/// All that upstreams are shown, ready to be used; those that are the same are one.
#[derive(Debug)]
pub struct Keyring {
    #[cfg(feature = "admin")]
    purpose: Purpose,
    sources: Vec<(ClientCredentials, Rc<Source>)>,
    mint: Option<Rc<Mint>>,
}

/// What one upstream is shown. Shown itself, it says nothing.
#[derive(Default)]
pub struct Credentials(Vec<Ready>);

enum Ready {
    Field(String, String),
    Token(Rc<Source>),
    Identity(Rc<Mint>, identity::Spoken),
    Aws(aws::Signer),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

impl Keyring {
    /// Takes the keys by which the gateway vouches for its callers.
    pub(crate) fn new(purpose: Purpose, identity: Option<&Identity>, settings: &Settings) -> Result<Self, String> {
        let mint = match purpose {
            Purpose::Serving => identity.map(|identity| Mint::new(identity, settings)).transpose()?,
            #[cfg(feature = "admin")]
            Purpose::Explaining => identity.map(|identity| Mint::without_keys(identity, settings)),
        };
        Ok(Self {
            #[cfg(feature = "admin")]
            purpose,
            sources: Vec::new(),
            mint: mint.map(Rc::new),
        })
    }

    /// The keys by which anybody can see that the gateway has vouched for somebody.
    pub fn mint(&self) -> Option<&Mint> {
        self.mint.as_deref()
    }

    /// What an upstream is shown, with its references filled in. What cannot be used is found now, not with a request.
    pub fn credentials(&mut self, rules: &[Credential], settings: &Settings) -> Result<Credentials, String> {
        let ready = rules.iter().map(|rule| self.ready(rule, settings)).collect::<Result<_, _>>()?;
        Ok(Credentials(ready))
    }

    fn ready(&mut self, rule: &Credential, settings: &Settings) -> Result<Ready, String> {
        Ok(match rule {
            Credential::Header { name, value } => Ready::Field(name.clone(), line(name, value.resolve(settings))?),
            Credential::Basic { username, password } => {
                let pair = format!("{}:{}", username.resolve(settings), password.resolve(settings));
                Ready::Field(AUTHORIZATION.to_owned(), format!("Basic {}", STANDARD.encode(pair)))
            }
            #[cfg(feature = "admin")]
            Credential::Oauth2(rule) if self.purpose == Purpose::Explaining => {
                let url = rule.token_url.to_string();
                let asked = url.split('?').next().unwrap_or_default();
                Ready::Field(rule.header.clone(), format!("Bearer (a token of {asked})"))
            }
            Credential::Oauth2(rule) => match self.sources.iter().find(|(known, _)| known == rule) {
                Some((_, source)) => Ready::Token(Rc::clone(source)),
                None => {
                    let source = Rc::new(Source::new(rule, settings)?);
                    self.sources.push((rule.clone(), Rc::clone(&source)));
                    Ready::Token(source)
                }
            },
            Credential::Identity(rule) => {
                let mint =
                    self.mint.as_ref().ok_or("the configuration has no `identity` that could vouch for anybody")?;
                Ready::Identity(Rc::clone(mint), identity::Spoken::new(rule, settings))
            }
            Credential::Aws(rule) => Ready::Aws(aws::Signer::new(rule, settings)?),
        })
    }
}

/// A value that fits into a header field. It is not told: it is a secret.
fn line(name: &str, value: String) -> Result<String, String> {
    let value = value.trim();
    if value.is_empty() || value.chars().any(|c| c.is_control() && c != '\t') {
        return Err(format!("the credential in `{name}` is empty or has a line break or a control character in it"));
    }
    Ok(value.to_owned())
}

const AUTHORIZATION: &str = "authorization";

impl Credentials {
    /// Whether there is nothing to show.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether anything depends on who is calling.
    pub fn speaks_of_callers(&self) -> bool {
        self.0.iter().any(|ready| matches!(ready, Ready::Identity(..)))
    }

    /// How many bytes a body may have that must be hashed before it is sent; `None`: nobody hashes.
    pub fn hashes(&self) -> Option<u64> {
        self.0.iter().find_map(|ready| match ready {
            Ready::Aws(signer) => signer.most(),
            Ready::Field(..) | Ready::Token(_) | Ready::Identity(..) => None,
        })
    }

    /// Sends a call with everything that its target is to be shown. A token that the target does not take (401) is replaced
    /// once, and the call is sent once more if it can be.
    pub async fn fetch<P: Platform>(
        &self,
        platform: &P,
        caller: Option<&Caller>,
        mut call: Call<P::Stream>,
    ) -> Result<Response<P::Stream>, Failure> {
        let timeout = u64::try_from(call.timeout.as_millis()).unwrap_or(u64::MAX);
        let until = platform.now().saturating_add(timeout);
        let mut shown = None;
        for ready in &self.0 {
            match ready {
                Ready::Field(name, value) => put(&mut call.headers, name, value),
                Ready::Token(source) => {
                    let token = source.token(platform, until).await.map_err(lacking)?;
                    put(&mut call.headers, &source.header, &format!("Bearer {}", token.text));
                    shown = Some((source, token));
                }
                Ready::Identity(mint, spoken) => {
                    call.headers.remove_alike(&spoken.header);
                    if let Some(token) = caller.and_then(|caller| mint.vouch(platform, spoken, caller)) {
                        call.headers.set(&spoken.header, spoken.value(&token));
                    }
                }
                Ready::Aws(signer) => signer.sign(platform, &mut call).await?,
            }
        }
        if platform.now() >= until {
            return Err(lacking("the time was over before everything was there".to_owned()));
        }
        let left = |now: u64| Duration::from_millis(until.saturating_sub(now));
        call.timeout = left(platform.now());
        let Some((source, token)) = shown else { return platform.fetch(call).await };
        let spare = call.replay();
        let response = platform.fetch(call).await?;
        if response.status != 401 {
            return Ok(response);
        }
        // RFC 6750 §3.1: it may have been revoked, or its key rotated away.
        let now = platform.now();
        let Some(mut spare) = spare.filter(|_| now < until) else {
            source.distrust(&token, now);
            return Ok(response);
        };
        let Some(token) = source.replace(platform, &token, until).await else { return Ok(response) };
        if platform.now() >= until {
            return Ok(response);
        }
        pump::discard(platform, response.body);
        put(&mut spare.headers, &source.header, &format!("Bearer {}", token.text));
        spare.timeout = left(platform.now());
        platform.fetch(spare).await
    }
}

/// Writes a field in the place of all that could be taken for it.
fn put(headers: &mut Headers, name: &str, value: &str) {
    headers.remove_lookalikes(name);
    headers.set(name, value);
}

/// Nothing was sent, because the gateway has nothing to show.
fn lacking(detail: String) -> Failure {
    Failure { error: FetchError::NoCredential, detail }
}
