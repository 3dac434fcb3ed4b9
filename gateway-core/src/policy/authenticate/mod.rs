//! Proves who is calling.
//!
//! Every method looks for its own credential and gives a [`Verdict`]. Whatever proves right sets the same [`Caller`], and
//! the credential goes no further unless it is kept on purpose.

pub mod api_key;
pub mod basic;
pub mod client_certificate;
#[cfg(feature = "signatures")]
pub mod hmac_auth;
pub mod introspection;
pub mod jwt;
#[cfg(feature = "login")]
pub mod login;
#[cfg(feature = "signatures")]
pub mod signature;

pub mod bearer;
pub mod issuer;
pub mod possession;
#[cfg(feature = "signatures")]
mod signed;

pub use api_key::ApiKeyMethod;
pub use basic::Basic;
pub use client_certificate::ClientCertificate;
#[cfg(feature = "signatures")]
pub use hmac_auth::HmacAuth;
pub use introspection::Introspection;
pub use issuer::Tokens;
pub use jwt::Jwt;
#[cfg(feature = "login")]
pub use login::Login;
#[cfg(feature = "signatures")]
pub use signature::Signature;
#[cfg(feature = "signatures")]
pub use signed::ReplayScope;

use self::api_key::Place;
use super::{Flow, Remark, Visit};
use crate::caller::Caller;
use crate::error::Error;
use crate::http::Headers;
use crate::platform::Platform;
use crate::serve::{Store, Used};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::rc::Rc;

/// Ways in, and how many of them are needed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Authenticate {
    /// The ways, in the order in which they are tried.
    pub methods: Vec<Method>,
    /// How many of them are needed.
    pub need: Need,
    /// Whether who brings no credential at all passes, as nobody. A wrong credential never does.
    #[serde(default)]
    pub anonymous: bool,
}

/// How many ways must prove right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// One.
    Any,
    /// Each.
    All,
}

/// One way in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// A key in a header field, a query parameter or a cookie.
    ApiKey(ApiKeyMethod),
    /// A user name and a password (RFC 7617).
    Basic(Basic),
    /// A certificate that the client has shown when it connected.
    ClientCertificate(ClientCertificate),
    /// A signature by the older `hmac` scheme.
    #[cfg(feature = "signatures")]
    HmacAuth(HmacAuth),
    /// A token that its authorisation server is asked about (RFC 7662).
    Introspection(Introspection),
    /// A JSON Web Token (RFC 7519).
    Jwt(Jwt),
    /// A session of a user who has logged in with a browser (OpenID Connect).
    #[cfg(feature = "login")]
    Login(Box<Login>),
    /// HTTP message signatures (RFC 9421).
    #[cfg(feature = "signatures")]
    Signature(Signature),
}

/// What a method finds besides its verdict.
#[derive(Debug, Default)]
pub struct Aside {
    /// What the log should hear although the request goes on.
    pub remarks: Vec<Remark>,
    /// `Set-Cookie` lines for the way back.
    pub cookies: Vec<String>,
    /// A token for the upstream.
    pub access_token: Option<String>,
}

/// A method that has proven who calls, and what it hands on.
struct Proof<'a> {
    method: &'a Method,
    claims: Rc<Map<String, Value>>,
    #[cfg(feature = "login")]
    access_token: Option<String>,
}

/// What a method says of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// This is who calls.
    Proven(Caller),
    /// There is no credential of this kind.
    Missing,
    /// There is one, and it is wrong; the client is told no more than this.
    Wrong(&'static str),
    /// There is one, and nobody can say just now whether it is right. The reason is for the log.
    Unknowable(String),
}

impl Authenticate {
    /// The stores of the platform that it needs, but for that of consumers.
    pub fn stores(&self) -> Vec<Used> {
        #[cfg(feature = "signatures")]
        let is_global = |method: &Method| match method {
            Method::HmacAuth(method) => method.single_use == Some(ReplayScope::Global),
            Method::Signature(method) => method.replay_scope == ReplayScope::Global,
            Method::ApiKey(_)
            | Method::Basic(_)
            | Method::ClientCertificate(_)
            | Method::Introspection(_)
            | Method::Jwt(_) => false,
            #[cfg(feature = "login")]
            Method::Login(_) => false,
        };
        #[cfg(not(feature = "signatures"))]
        let is_global = |_: &Method| false;
        let counters = self.methods.iter().any(is_global);
        counters.then_some(Used { store: Store::Counters, vital: true }).into_iter().collect()
    }

    /// Where its credentials stand: in which header fields, and in which parameters of the query.
    pub fn places(&self) -> Vec<Place> {
        let header = |name: &str| vec![Place::Header(name.to_owned())];
        let all = self.methods.iter().flat_map(|method| match method {
            Method::ApiKey(method) => method.places.clone(),
            Method::Introspection(method) => method.bearer.places.clone(),
            Method::Jwt(method) => method.bearer.places.clone(),
            Method::Basic(_) => header("authorization"),
            // What the platform has verified; nobody gets in by showing a copy.
            Method::ClientCertificate(_) => Vec::new(),
            #[cfg(feature = "login")]
            Method::Login(method) => vec![Place::Cookie(method.cookie.clone())],
            #[cfg(feature = "signatures")]
            Method::HmacAuth(_) => [header("authorization"), header("proxy-authorization")].concat(),
            #[cfg(feature = "signatures")]
            Method::Signature(_) => header("signature"),
        });
        all.collect()
    }

    /// A request that is refused learns what would be taken, where a header field is there to say it.
    pub fn on_response(&self, status: u16, headers: &mut Headers) {
        #[cfg(feature = "signatures")]
        if status == 401 {
            let accepted = self.methods.iter().filter_map(|method| match method {
                Method::Signature(method) => Some(method.accepted()),
                _ => None,
            });
            accepted.for_each(|accepted| headers.append("accept-signature", accepted));
        }
        #[cfg(not(feature = "signatures"))]
        let _ = (status, headers);
    }

    /// Lets known callers pass.
    pub async fn on_request<P: Platform>(&self, visit: &mut Visit<'_, P>) -> Result<Flow<P::Stream>, Error> {
        #[cfg(feature = "login")]
        for login in self.logins() {
            if let Some(answer) = login.answer(visit).await? {
                return Ok(Flow::Respond(answer));
            }
        }
        let mut wrong: Vec<Option<&'static str>> = vec![None; self.methods.len()];
        let mut unknowable = None;
        let mut missing = false;
        let mut proven = Vec::new();
        for (at, method) in self.methods.iter().enumerate() {
            let mut aside = Aside::default();
            let verdict = method.judge(visit, &mut aside).await;
            visit.memo.remarks.append(&mut aside.remarks);
            visit.memo.cookies.append(&mut aside.cookies);
            match verdict? {
                // Two credentials of two consumers: nobody can say who calls.
                Verdict::Proven(caller) if contradicts(visit.caller, &caller) => {
                    wrong[at] = Some("The credentials belong to different consumers.");
                }
                Verdict::Proven(caller) => {
                    proven.push(Proof {
                        method,
                        claims: Rc::clone(&caller.claims),
                        #[cfg(feature = "login")]
                        access_token: aside.access_token,
                    });
                    visit.caller.join(caller);
                    if self.need == Need::Any {
                        break;
                    }
                }
                Verdict::Missing => missing = true,
                Verdict::Wrong(reason) => wrong[at] = Some(reason),
                Verdict::Unknowable(why) => unknowable = unknowable.or(Some(why)),
            }
        }
        let reason = wrong.iter().flatten().next().copied();
        let enough = match self.need {
            Need::Any => !proven.is_empty(),
            Need::All => proven.len() == self.methods.len() && !missing,
        };
        let challenges = || self.methods.iter().zip(&wrong).map(|(method, wrong)| method.challenge(*wrong)).collect();
        if !enough {
            // With another credential wrong, nothing that could be learned would help.
            if let Some(reason) = unknowable.filter(|_| self.need == Need::Any || reason.is_none()) {
                return Err(Error::CredentialUncertain { reason });
            }
            if !self.anonymous || reason.is_some() || !proven.is_empty() {
                #[cfg(feature = "login")]
                if reason.is_none()
                    && let Some(login) = self.logins().next()
                    && let Some(answer) = login.invite(visit).await?
                {
                    return Ok(Flow::Respond(answer));
                }
                let reason = reason.unwrap_or("This needs a credential.");
                return Err(Error::Unauthenticated { challenges: challenges(), reason });
            }
            visit.memo.challenges = challenges();
        }
        self.methods.iter().for_each(|method| method.strip(visit));
        proven.iter().for_each(|proof| proof.hand_on(visit.headers));
        Ok(Flow::Continue)
    }

    /// The logins among the ways in.
    #[cfg(feature = "login")]
    pub fn logins(&self) -> impl Iterator<Item = &Login> {
        self.methods.iter().filter_map(|method| match method {
            Method::Login(login) => Some(&**login),
            Method::ApiKey(_)
            | Method::Basic(_)
            | Method::ClientCertificate(_)
            | Method::Introspection(_)
            | Method::Jwt(_) => None,
            #[cfg(feature = "signatures")]
            Method::HmacAuth(_) | Method::Signature(_) => None,
        })
    }
}

/// Whether two proofs name different consumers.
pub(super) fn contradicts(one: &Caller, other: &Caller) -> bool {
    matches!((one.name(), other.name()), (Some(one), Some(other)) if one != other)
}

impl Method {
    /// An error ends the request: it cannot even be judged.
    async fn judge<P: Platform>(&self, visit: &mut Visit<'_, P>, aside: &mut Aside) -> Result<Verdict, Error> {
        Ok(match self {
            Method::ApiKey(method) => method.judge(visit.line, visit.headers, visit.consumers, visit.platform).await,
            Method::Basic(method) => method.judge(visit.headers, visit.consumers, visit.platform).await,
            Method::ClientCertificate(method) => method.judge(visit).await,
            #[cfg(feature = "signatures")]
            Method::HmacAuth(method) => return method.judge(visit).await,
            Method::Introspection(method) => method.judge(visit).await,
            Method::Jwt(method) => method.judge(visit, &mut aside.remarks).await,
            #[cfg(feature = "login")]
            Method::Login(method) => method.judge(visit, aside).await,
            #[cfg(feature = "signatures")]
            Method::Signature(method) => return method.judge(visit).await,
        })
    }

    /// Takes the credential out of what goes on.
    fn strip<P: Platform>(&self, visit: &mut Visit<'_, P>) {
        match self {
            Method::ApiKey(method) => method.strip(visit.headers, visit.query),
            Method::Basic(method) => method.strip(visit.headers),
            Method::ClientCertificate(method) => method.hand_on(visit.headers, visit.client.certificate.as_ref()),
            #[cfg(feature = "signatures")]
            Method::HmacAuth(method) => method.strip(visit.headers),
            Method::Introspection(method) => method.bearer.strip(visit.headers, visit.query),
            Method::Jwt(method) => method.bearer.strip(visit.headers, visit.query),
            #[cfg(feature = "login")]
            Method::Login(method) => method.strip(visit.headers),
            #[cfg(feature = "signatures")]
            Method::Signature(method) => method.strip(visit.headers),
        }
    }

    /// The value of `WWW-Authenticate` that asks for this.
    fn challenge(&self, wrong: Option<&str>) -> String {
        match self {
            Method::ApiKey(method) => method.challenge(wrong),
            Method::Basic(method) => method.challenge(),
            Method::ClientCertificate(method) => method.challenge().to_owned(),
            #[cfg(feature = "signatures")]
            Method::HmacAuth(method) => method.challenge(),
            Method::Introspection(method) => method.challenge(wrong),
            Method::Jwt(method) => method.challenge(wrong),
            #[cfg(feature = "login")]
            Method::Login(method) => method.challenge(),
            #[cfg(feature = "signatures")]
            Method::Signature(method) => method.challenge(),
        }
    }
}

impl Proof<'_> {
    /// Tells the upstream what the credential says.
    fn hand_on(&self, headers: &mut Headers) {
        match self.method {
            Method::Introspection(method) => method.bearer.hand_on(headers, &self.claims),
            Method::Jwt(method) => method.bearer.hand_on(headers, &self.claims),
            #[cfg(feature = "login")]
            Method::Login(method) => method.hand_on(headers, &self.claims, self.access_token.as_deref()),
            Method::ApiKey(_) | Method::Basic(_) | Method::ClientCertificate(_) => {}
            #[cfg(feature = "signatures")]
            Method::HmacAuth(_) | Method::Signature(_) => {}
        }
    }
}
