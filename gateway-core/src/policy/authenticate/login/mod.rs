//! Logs users of browsers in by OpenID Connect, and keeps what came of it in a sealed cookie.
//!
//! Three paths belong to the login: where it begins (`login`), where the provider sends the user back to (`callback`), and
//! where it ends (`logout`). Everything that must be remembered between two requests is in the browser, sealed: a login on
//! its way in a cookie of its own, which only the answer with its `state` opens; a session in another. What an instance
//! remembers besides saves questions and catches replays; losing it costs nothing else.

pub mod cookie;
pub mod seal;
pub mod session;

mod provider;

use super::issuer::{Keeper, Verified};
use super::jwt::known;
use super::{Aside, Verdict, bearer};
use crate::consumer::hex;
use crate::error::Error;
use crate::http::{Body, Headers, Response, Scheme, parameters};
use crate::jwt::remembered::{Fingerprint, Remembered};
use crate::jwt::replay::Used;
use crate::jwt::token::encode;
use crate::platform::Platform;
use crate::policy::{Remark, Visit};
use crate::request::Line;
use crate::template::{Settings, Template};
use bytes::Bytes;
use cookie::Cookies;
use provider::{Provider, Trouble};
use seal::{Bound, Keyring, NONCE};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use session::{Lifetimes, PATIENCE, Pending, Session, Standing, local};
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::rc::Rc;

/// A provider, and how its users log in here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Login {
    /// The provider, by its place among the issuers of the configuration.
    pub issuer: u32,
    /// What seals, by its place among the session keys of the configuration.
    pub keys: u32,
    /// What the gateway is called at the provider.
    pub client_id: Template,
    /// How it proves there that it is the gateway.
    pub client: Authentication,
    /// What is asked for; `openid` is among it.
    pub scopes: Vec<String>,
    /// More that the provider is told when a login begins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<(String, Template)>,
    /// How long ago the user may have shown the provider who they are, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<u64>,
    /// Whether the provider's userinfo is asked for more claims.
    #[serde(default)]
    pub userinfo: bool,
    /// How browsers call the gateway, where that is not what they ask for: `https://app.example.com`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<Template>,
    /// Where logins begin, come back, and end.
    pub paths: Paths,
    /// Where a user goes who has logged out: a path, or an address.
    pub after_logout: String,
    /// Whether the provider is told that the user logs out.
    pub end_session: bool,
    /// What the names of the cookies begin with.
    pub cookie: String,
    /// How long sessions count.
    pub lifetimes: Lifetimes,
    /// Header fields that tell the upstream what the provider says: the field's name, and the claim's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// Whether the upstream gets an access token.
    #[serde(default)]
    pub access_token: bool,
    /// Whether the upstream gets to see the session's cookies, sealed as they are.
    #[serde(default)]
    pub keep: bool,
    /// Tells these settings from others: a session counts where the same was asked of it.
    pub context: String,
}

/// The paths that belong to a login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paths {
    /// Where it begins.
    pub login: String,
    /// Where the provider sends the user back to.
    pub callback: String,
    /// Where it ends.
    pub logout: String,
}

/// How the gateway proves to the provider that it is the gateway (OpenID Connect Core §9).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Authentication {
    /// `client_secret_basic`
    Basic(Template),
    /// `client_secret_post`
    Post(Template),
    /// `none`: PKCE alone.
    None,
}

/// What logins share and have to remember.
#[derive(Debug)]
pub struct Logins {
    keyrings: Vec<Keyring>,
    /// Logins that have come back.
    back: RefCell<Used>,
    /// What became of refresh tokens.
    renewals: RefCell<Remembered<Renewal>>,
}

/// What became of a refresh token.
#[derive(Debug)]
enum Renewal {
    /// Somebody is asking.
    Asking,
    /// It brought this.
    Renewed(Box<Session>),
    /// The provider does not take it.
    Refused,
    /// The provider did not answer.
    Unreachable,
}

/// Bytes of sessions that are remembered, roughly.
const REMEMBERED: usize = 2 << 20;

/// How long somebody may be asking before another does, in milliseconds.
const ASKING: u64 = 15_000;

/// How long requests that were under way may come with a refresh token that has been used.
const GRACE: u64 = 60_000;

/// How long a refresh token that is not taken is not shown again.
const REFUSED: u64 = 600_000;

/// How long a provider that does not answer is left in peace.
const RETRY: u64 = 5_000;

/// What a client is told whose login did not begin here, as far as can be seen.
const NOT_HERE: &str = "This login did not begin in this browser, has been used, or took too long. Begin again.";

impl Default for Logins {
    fn default() -> Self {
        Self { keyrings: Vec::new(), back: RefCell::default(), renewals: RefCell::new(Remembered::new(REMEMBERED)) }
    }
}

impl Logins {
    /// Derives the keys of each list of secrets. What is wrong is told without them.
    pub fn new(keys: &[Vec<Template>], settings: &Settings) -> Result<Self, String> {
        let keyring = |keys: &Vec<Template>| {
            let secrets: Vec<String> = keys.iter().map(|key| key.resolve(settings)).collect();
            Keyring::new(&secrets)
        };
        Ok(Self { keyrings: keys.iter().map(keyring).collect::<Result<_, _>>()?, ..Self::default() })
    }

    fn keyring(&self, place: u32) -> Option<&Keyring> {
        self.keyrings.get(place as usize)
    }
}

impl Login {
    /// Looks for a session. One that is no good, or has ended, is as good as none: the user logs in again.
    pub async fn judge<P: Platform>(&self, visit: &Visit<'_, P>, aside: &mut Aside) -> Verdict {
        let now = visit.platform.now();
        let Some(session) = self.session(visit) else { return Verdict::Missing };
        let session = match session.standing(self.lifetimes, is_navigation(visit.line, visit.headers), now) {
            Standing::Over => None,
            Standing::Good => Some(session),
            Standing::Touch => {
                let session = Session { seen: now, ..session };
                aside.cookies.extend(self.keep(visit, &session).into_iter().flatten());
                Some(session)
            }
            Standing::Renew => self.renew(visit, session, aside).await,
        };
        let Some((session, claims)) = session.and_then(|session| session.claims().map(|claims| (session, claims)))
        else {
            return Verdict::Missing;
        };
        let verified = Verified { claims: Rc::new(claims), scopes: session.scopes, key: 0 };
        aside.access_token = session.access_token.filter(|_| self.access_token);
        let Some(keeper) = visit.tokens.issuer(self.issuer) else { return Verdict::Missing };
        known(visit, &verified, None, &keeper.naming, "login").await
    }

    /// Answers what is asked of the login's own paths. `None`: this is none of them.
    pub async fn answer<P: Platform>(&self, visit: &mut Visit<'_, P>) -> Result<Option<Response<P::Stream>>, Error> {
        let (path, method) = (visit.line.path.as_str(), visit.line.method.as_str());
        let Paths { login, callback, logout } = &self.paths;
        let allowed: &[&str] = match path {
            path if path == login || path == callback => &["GET"],
            path if path == logout => &["GET", "POST"],
            _ => return Ok(None),
        };
        // HEAD would use up what the GET after it needs.
        if !allowed.contains(&method) {
            return Err(Error::MethodNotAllowed { allow: allowed.iter().map(|method| (*method).to_owned()).collect() });
        }
        if path == login {
            let mut targets = parameters(visit.line.query.as_deref().unwrap_or_default(), "return_to");
            let target = targets.next().and_then(|target| self.place(&target)).unwrap_or_else(|| "/".to_owned());
            return self.begin(visit, target).await.map(Some);
        }
        if path == callback {
            return self.come_back(visit).await.map(Some);
        }
        self.log_out(visit).await.map(Some)
    }

    /// Sends somebody who asks for a page, and may not see it without, to the provider. `None`: this is no such request.
    pub async fn invite<P: Platform>(&self, visit: &mut Visit<'_, P>) -> Result<Option<Response<P::Stream>>, Error> {
        if !is_navigation(visit.line, visit.headers) {
            return Ok(None);
        }
        let Line { path, query, .. } = visit.line;
        let whole = query.as_ref().map(|query| format!("{path}?{query}"));
        let target = whole.and_then(|whole| self.place(&whole)).or_else(|| self.place(path));
        self.begin(visit, target.unwrap_or_else(|| "/".to_owned())).await.map(Some)
    }

    /// Takes the session out of what goes on, and every field that is to be filled, whatever the client put there.
    pub fn strip(&self, visit_headers: &mut Headers) {
        self.headers.iter().for_each(|(name, _)| visit_headers.remove_alike(name));
        if self.access_token {
            visit_headers.remove("authorization");
        }
        if !self.keep {
            // In both spellings: which of them counts depends on how the browser came.
            Cookies { name: &self.cookie, secure: true }.strip(visit_headers);
        }
    }

    /// Tells the upstream what the provider says.
    pub fn hand_on(&self, headers: &mut Headers, claims: &Map<String, Value>, access_token: Option<&str>) {
        bearer::hand_on(&self.headers, headers, claims);
        if let Some(token) = access_token {
            headers.set("authorization", format!("Bearer {token}"));
        }
    }

    /// The challenge. No scheme is registered for cookies; programs see from it where a user can log in.
    pub fn challenge(&self) -> String {
        format!("Cookie cookie-name=\"{}\", form-action=\"{}\"", self.cookie, self.paths.login)
    }

    /// A place to send the user back to: here, and not one of the login's own.
    fn place(&self, target: &str) -> Option<String> {
        let target = local(target)?;
        let path = target.split('?').next().unwrap_or(target);
        let Paths { login, callback, logout } = &self.paths;
        (![login, callback, logout].iter().any(|own| own.as_str() == path)).then(|| target.to_owned())
    }

    /// Begins a login.
    async fn begin<P: Platform>(
        &self,
        visit: &mut Visit<'_, P>,
        return_to: String,
    ) -> Result<Response<P::Stream>, Error> {
        let provider = self.provider(visit).await?;
        let platform = visit.platform;
        let state = encode(random::<16, P>(platform));
        let pending = Pending {
            nonce: encode(random::<16, P>(platform)),
            verifier: encode(random::<32, P>(platform)),
            return_to,
            began: platform.now(),
        };
        let to = provider
            .authorization(&state, &pending, &self.callback(visit))
            .map_err(|reason| Error::CredentialUncertain { reason })?;
        let cookies = self.cookies(visit);
        let sealed = self.seal(visit, &["pending", &state], &pending.write())?;
        let lines = cookies.write(visit.headers, &cookies.pending(&mark(&state)), &sealed, PATIENCE / 1000);
        let surplus = cookies.forget_surplus(visit.headers);
        visit.memo.cookies.extend(surplus);
        visit.memo.cookies.extend(lines.into_iter().flatten());
        Ok(see(to))
    }

    /// Takes what the provider sends with the user (OpenID Connect Core §3.1.2.5).
    async fn come_back<P: Platform>(&self, visit: &mut Visit<'_, P>) -> Result<Response<P::Stream>, Error> {
        let query = visit.line.query.as_deref().unwrap_or_default();
        let invalid = || Error::LoginInvalid { reason: NOT_HERE };
        // RFC 6749 §3.1: no parameter comes twice.
        let only = |name: &str| {
            let mut values = parameters(query, name).map(std::borrow::Cow::into_owned);
            match (values.next(), values.next()) {
                (value, None) => Ok(value),
                (_, Some(_)) => Err(invalid()),
            }
        };
        let (state, code, error, issuer) = (only("state")?, only("code")?, only("error")?, only("iss")?);
        let state = state.ok_or_else(invalid)?;
        // Only the browser in which this login began can show this: nobody can log somebody else in (RFC 6749 §10.12).
        let (cookies, now) = (self.cookies(visit), visit.platform.now());
        let name = cookies.pending(&mark(&state));
        let sealed = cookies.read(visit.headers, &name).ok_or_else(invalid)?;
        let opened = self.open(visit, &["pending", &state], &sealed).ok_or_else(invalid)?;
        let pending = Pending::read(&opened, now).ok_or_else(invalid)?;
        let provider = self.provider(visit).await?;
        if !visit.tokens.logins.back.borrow_mut().is_first(&state, pending.began.saturating_add(PATIENCE), now) {
            return Err(invalid());
        }
        let forgotten = cookies.forget(&name);
        visit.memo.cookies.push(forgotten);
        // RFC 9207 §2.4: an answer of another provider, whose code would be shown to the wrong one.
        if !provider.is_named(issuer.as_deref()) {
            return Err(Error::LoginInvalid { reason: "The answer is not from the provider that was asked." });
        }
        if let Some(error) = error {
            return Err(Error::LoginDenied { error: error_code(&error).to_owned() });
        }
        let code = code.ok_or_else(invalid)?;
        let brought = provider.redeem(visit.platform, &code, &pending, &self.callback(visit)).await;
        let session = brought.map_err(|trouble| match trouble {
            // The code has been used, or is too old, or was never one: the user can begin again.
            Trouble::Refused(error) if error == "invalid_grant" => invalid(),
            Trouble::Refused(error) => {
                Error::LoginFailed { reason: format!("the token endpoint refuses the code: {error}") }
            }
            Trouble::Wrong(reason) | Trouble::Unverifiable(reason) => Error::LoginFailed { reason },
            Trouble::Unreachable(reason) => Error::CredentialUncertain { reason },
        })?;
        let lines = self.keep(visit, &session).ok_or_else(|| Error::LoginFailed {
            reason: "the provider's tokens are too long for cookies: ask for fewer scopes or claims".to_owned(),
        })?;
        visit.memo.cookies.extend(lines);
        Ok(see(format!("{}{}", self.base(visit), pending.return_to)))
    }

    /// Ends a session: here, and at the provider (OpenID Connect RP-Initiated Logout §2).
    async fn log_out<P: Platform>(&self, visit: &mut Visit<'_, P>) -> Result<Response<P::Stream>, Error> {
        if !may_log_out(visit.line, visit.headers) {
            let reason = "Only a page of this site, by a link or a form, may log you out.".to_owned();
            return Err(Error::Forbidden { reason, challenge: None });
        }
        let session = self.session(visit);
        let lines = self.cookies(visit).forget_all(visit.headers);
        visit.memo.cookies.extend(lines);
        let here = match &self.after_logout {
            path if path.starts_with('/') => format!("{}{path}", self.base(visit)),
            address => address.clone(),
        };
        let Some(session) = session else { return Ok(see(here)) };
        // Whatever the provider says or does not say, the session here has ended.
        let Ok(provider) = self.provider(visit).await else { return Ok(see(here)) };
        if let Some(token) = &session.refresh_token
            && let Err(detail) = provider.revoke(visit.platform, token).await
        {
            visit.memo.remarks.push(Remark { problem: "credential-uncertain", detail });
        }
        let there = provider.end_session(&session, &here).filter(|_| self.end_session);
        Ok(see(there.unwrap_or(here)))
    }

    /// New tokens for a session. Of several requests with one refresh token, one asks; those that come meanwhile go on with
    /// what they have, those that come late get what it brought.
    async fn renew<P: Platform>(&self, visit: &Visit<'_, P>, session: Session, aside: &mut Aside) -> Option<Session> {
        let now = visit.platform.now();
        let usable = session.expires.is_none_or(|expires| now < expires);
        let token = session.refresh_token.clone()?;
        let key = Fingerprint::new(&token);
        let renewals = &visit.tokens.logins.renewals;
        let known = renewals.borrow_mut().get(&key, now);
        match known.as_deref() {
            None => {}
            // Whoever asks is about to tell the browser of another session.
            Some(Renewal::Asking) => return Some(session),
            Some(Renewal::Unreachable) => return Some(self.go_on(visit, session, aside)),
            // Another instance may have used it, and the browser may have the new one already.
            Some(Renewal::Refused) => return usable.then_some(session),
            Some(Renewal::Renewed(new)) => {
                aside.cookies.extend(self.keep(visit, new).into_iter().flatten());
                return Some((**new).clone());
            }
        }
        let note = |renewal: Renewal, long: u64, weight: usize| {
            let until = visit.platform.now().saturating_add(long);
            renewals.borrow_mut().insert(key, Rc::new(renewal), until, weight);
        };
        note(Renewal::Asking, ASKING, 100);
        let renewed = match self.known_provider(visit, &mut aside.remarks).await {
            Ok(provider) => provider.renew(visit.platform, &session, &token, &mut aside.remarks).await,
            Err(reason) => Err(Trouble::Unreachable(reason)),
        };
        let mut remark = |detail| aside.remarks.push(Remark { problem: "credential-uncertain", detail });
        match renewed {
            Ok(new) => {
                let Some(lines) = self.keep(visit, &new) else {
                    remark("the provider's new tokens are too long for cookies".to_owned());
                    return usable.then_some(session);
                };
                aside.cookies.extend(lines);
                note(Renewal::Renewed(Box::new(new.clone())), GRACE, new.id_token.len() * 2);
                Some(new)
            }
            Err(Trouble::Refused(_)) => {
                note(Renewal::Refused, REFUSED, 100);
                usable.then_some(session)
            }
            Err(Trouble::Wrong(why) | Trouble::Unverifiable(why)) => {
                note(Renewal::Refused, REFUSED, 100);
                remark(format!("a session cannot be renewed: {why}"));
                usable.then_some(session)
            }
            Err(Trouble::Unreachable(why)) => {
                note(Renewal::Unreachable, RETRY, 100);
                remark(format!("a session goes on with old tokens: {why}"));
                Some(self.go_on(visit, session, aside))
            }
        }
    }

    /// A session that cannot be renewed just now. While that is so, nobody but this tells the browser that the user was here.
    fn go_on<P: Platform>(&self, visit: &Visit<'_, P>, session: Session, aside: &mut Aside) -> Session {
        let now = visit.platform.now();
        if !session.is_to_touch(self.lifetimes, now) {
            return session;
        }
        let session = Session { seen: now, ..session };
        aside.cookies.extend(self.keep(visit, &session).into_iter().flatten());
        session
    }

    /// The session that the browser shows, whether or not it still counts.
    fn session<P: Platform>(&self, visit: &Visit<'_, P>) -> Option<Session> {
        let cookies = self.cookies(visit);
        let sealed = cookies.read(visit.headers, &cookies.session())?;
        Session::read(&self.open(visit, &["session"], &sealed)?)
    }

    /// The lines that have the browser keep a session. `None`: it is too long.
    fn keep<P: Platform>(&self, visit: &Visit<'_, P>, session: &Session) -> Option<Vec<String>> {
        let cookies = self.cookies(visit);
        let sealed = self.seal(visit, &["session"], &session.write()).ok()?;
        let left = session.ends(self.lifetimes).saturating_sub(visit.platform.now()) / 1000;
        cookies.write(visit.headers, &cookies.session(), &sealed, left.max(1))
    }

    fn seal<P: Platform>(&self, visit: &Visit<'_, P>, purpose: &[&str], text: &[u8]) -> Result<String, Error> {
        let bound = self.bound(visit, purpose);
        let nonce = random::<NONCE, P>(visit.platform);
        let keyring = visit.tokens.logins.keyring(self.keys);
        let sealed = keyring.and_then(|keyring| keyring.seal(text, &bound, nonce));
        sealed.ok_or_else(|| Error::Internal { reason: "a session cannot be sealed".to_owned() })
    }

    fn open<P: Platform>(&self, visit: &Visit<'_, P>, purpose: &[&str], sealed: &str) -> Option<Vec<u8>> {
        visit.tokens.logins.keyring(self.keys)?.open(sealed, &self.bound(visit, purpose))
    }

    /// What a cookie is sealed for: shown to another host, provider or client, or under other settings, it is nothing.
    fn bound<P: Platform>(&self, visit: &Visit<'_, P>, purpose: &[&str]) -> Bound {
        let issuer = visit.tokens.issuer(self.issuer).map_or("", |keeper| keeper.rules.issuer.as_str());
        let client = self.client_id.resolve(visit.settings);
        let mut parts = vec![issuer, &client, &self.context, &visit.line.host];
        parts.extend(purpose);
        Bound::to(&parts)
    }

    /// The provider, asked what it is if that is not known.
    async fn provider<'a, 'v: 'a, P: Platform>(&'a self, visit: &mut Visit<'v, P>) -> Result<Provider<'a>, Error> {
        let mut remarks = Vec::new();
        let provider = self.known_provider(visit, &mut remarks).await;
        visit.memo.remarks.append(&mut remarks);
        provider.map_err(|reason| Error::CredentialUncertain { reason })
    }

    async fn known_provider<'a, 'v: 'a, P: Platform>(
        &'a self,
        visit: &Visit<'v, P>,
        remarks: &mut Vec<Remark>,
    ) -> Result<Provider<'a>, String> {
        let keeper: &'v Keeper = visit.tokens.issuer(self.issuer).ok_or("the provider is not configured")?;
        // Its description comes with its keys.
        keeper.keys(visit.platform, None, remarks).await.map_err(|no_keys| no_keys.0)?;
        Ok(Provider { login: self, keeper, settings: visit.settings })
    }

    fn cookies<P: Platform>(&self, visit: &Visit<'_, P>) -> Cookies<'_> {
        Cookies { name: &self.cookie, secure: self.base(visit).starts_with("https:") }
    }

    /// How the browser calls the gateway.
    fn base<P: Platform>(&self, visit: &Visit<'_, P>) -> String {
        match &self.base_url {
            Some(base) => base.resolve(visit.settings).trim_end_matches('/').to_owned(),
            None => {
                let scheme: Scheme = visit.client.scheme;
                format!("{scheme}://{}", visit.line.authority)
            }
        }
    }

    fn callback<P: Platform>(&self, visit: &Visit<'_, P>) -> String {
        format!("{}{}", self.base(visit), self.paths.callback)
    }
}

/// Whether a browser asks for a page to show, so that it can be sent elsewhere. What scripts ask for, and what changes
/// something, would be lost on the way.
fn is_navigation(line: &Line, headers: &Headers) -> bool {
    if line.method != "GET" || headers.contains("upgrade") || headers.contains("x-requested-with") {
        return false;
    }
    match headers.text("sec-fetch-mode") {
        Some(mode) => mode == "navigate",
        // Old browsers.
        None => headers.all("accept").any(|accept| String::from_utf8_lossy(accept).contains("text/html")),
    }
}

/// Whether this comes from a page of the same site, or from the user. A page of another one must not log anybody out, nor a
/// browser that looks ahead.
fn may_log_out(line: &Line, headers: &Headers) -> bool {
    if headers.text("sec-purpose").is_some_and(|purpose| purpose.contains("prefetch")) {
        return false;
    }
    match (headers.text("sec-fetch-site"), headers.text("origin")) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => {
            origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(&line.authority))
        }
        // An image on another page would look the same, but for its method.
        (None, None) => line.method == "POST" && !headers.contains("origin") && !headers.contains("sec-fetch-site"),
    }
}

/// A provider's error code (RFC 6749 §4.1.2.1), as it may be shown.
fn error_code(text: &str) -> &str {
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    if plain && (1..=64).contains(&text.len()) { text } else { "unspecified" }
}

/// What the cookie of a login on its way is known by.
fn mark(state: &str) -> String {
    hex(&Sha256::digest(state)[..8])
}

fn random<const N: usize, P: Platform>(platform: &P) -> [u8; N] {
    let mut bytes = [0; N];
    for chunk in bytes.chunks_mut(8) {
        chunk.copy_from_slice(&platform.random().to_le_bytes()[..chunk.len()]);
    }
    bytes
}

/// Sends a browser to another place, which nobody remembers.
fn see<S>(location: String) -> Response<S> {
    let mut headers = Headers::new();
    headers.set("location", location);
    headers.set("cache-control", "no-store");
    headers.set("referrer-policy", "no-referrer");
    headers.set("content-length", "0");
    Response { status: 303, headers, body: Body::Bytes(Bytes::new()) }
}
