//! How users of browsers log in, as users write it.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Address, AlgorithmName, Duration, HeaderName, Named, OneOrMany, PlainPath, Scope, Template, Token};

/// Logs users of browsers in by OpenID Connect: authorisation code with PKCE, state and nonce.
///
/// Whoever asks for a page without a session is sent to the provider and comes back to that page; scripts and programs get
/// 401. The session stands in a cookie, sealed (XChaCha20-Poly1305) for this host, provider and client, `HttpOnly`,
/// `SameSite=Lax`, over TLS with the prefix `__Host-`; the upstream does not get to see it. Routes whose `login` asks for
/// the same share it. With a refresh token (scope `offline_access`, at most providers) it is renewed before its tokens end.
///
/// Three paths of the route's hosts belong to it: `login_path`, `callback_path`, which the provider must know as the redirect
/// URI, and `logout_path`, for a link or a form of the site's own pages.
///
/// ```yaml
/// policies:
///   - csrf: {}
///   - authenticate:
///       any_of:
///         - login:
///             issuer: https://idp.example.com        # described by OpenID Connect Discovery
///             client_id: shop
///             client_secret: ${secret:OIDC_SECRET}
///             session_keys: ["${secret:SESSION_KEY}", "${secret:OLD_SESSION_KEY}"]
///             scopes: [openid, email, offline_access]
///             headers: { x-user: sub, x-email: email }
///             after_logout: /goodbye
///         - jwt: { issuers: { issuer: https://idp.example.com, audiences: shop } }    # programs
/// ```
///
/// The gateway keeps no list of sessions. Logging out has the browser forget its cookie, revokes the refresh token where
/// the provider can (RFC 7009) and ends the session there; a copy of the cookie counts until `idle` or `lifetime` ends it, or
/// until the provider refuses to renew it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginMethod {
    /// The provider: the `iss` of its tokens, exactly.
    #[schemars(extend("examples" = ["https://idp.example.com", "${env:ISSUER}"]))]
    pub issuer: Template,
    /// Where the provider describes itself. Default: `/.well-known/openid-configuration` below the issuer.
    pub discovery_url: Option<Address>,
    /// What the gateway is called at the provider.
    pub client_id: Template,
    /// What proves there that it is the gateway. It never stands here itself: the platform holds it. Without one, the gateway
    /// is a public client, and PKCE alone protects the code.
    #[schemars(extend("examples" = ["${secret:OIDC_SECRET}"]))]
    pub client_secret: Option<Template>,
    /// How it is shown. Default: `client_secret_basic`.
    #[schemars(extend("default" = "client_secret_basic"))]
    pub client_authentication: Option<ClientAuthentication>,
    /// Secrets that the cookies are sealed with, of at least 32 bytes. The first one seals, all of them open: to change it, put
    /// a new one in front, and take the old one away after `lifetime`.
    #[schemars(extend("examples" = [["${secret:SESSION_KEY}", "${secret:OLD_SESSION_KEY}"]]))]
    pub session_keys: OneOrMany<Template>,
    /// What is asked for. `openid` always is. Default: `openid`.
    #[schemars(extend("default" = ["openid"], "examples" = [["openid", "profile", "email", "offline_access"]]))]
    pub scopes: Option<OneOrMany<Scope>>,
    /// More that the provider is told when a login begins.
    #[schemars(extend("examples" = [{"prompt": "select_account", "acr_values": "phr"}]))]
    pub parameters: Option<Named<String, Template>>,
    /// How long ago, at the most, users may have shown the provider who they are. Default: the provider's affair.
    #[schemars(extend("examples" = ["12h"]))]
    pub max_age: Option<Duration>,
    /// Whether the provider's userinfo is asked for claims that the ID token lacks, once per login. Default: `false`.
    #[schemars(extend("default" = false))]
    pub userinfo: Option<bool>,
    /// The algorithms of ID tokens that are taken. Default: the one that each of the provider's keys names.
    pub algorithms: Option<OneOrMany<AlgorithmName>>,
    /// Claims that an ID token must have. `iss`, `sub`, `aud`, `exp` and `iat` it always must.
    #[schemars(extend("examples" = [["email"]]))]
    pub required_claims: Option<OneOrMany<String>>,
    /// As in the issuers of `jwt`.
    #[schemars(extend("examples" = ["client_id"]))]
    pub consumer_claim: Option<String>,
    /// As in the issuers of `jwt`.
    #[schemars(extend("examples" = ["groups"]))]
    pub groups_claim: Option<String>,
    /// How far the provider's clock may differ. Default: `30s`.
    #[schemars(extend("default" = "30s"))]
    pub leeway: Option<Duration>,
    /// How browsers call the gateway. Default: the scheme and the host that they ask for; behind a proxy that changes the
    /// host, or that `client.trusted_proxies` does not name, they are not what the browser knows.
    #[schemars(extend("examples" = ["https://app.example.com"]))]
    pub base_url: Option<Address>,
    /// Where a login can begin without asking for a page; `?return_to=/path` says where it ends. Default: `/oauth2/login`.
    #[schemars(extend("default" = "/oauth2/login"))]
    pub login_path: Option<PlainPath>,
    /// Where the provider sends users back to: the path of the redirect URI. Default: `/oauth2/callback`.
    #[schemars(extend("default" = "/oauth2/callback"))]
    pub callback_path: Option<PlainPath>,
    /// Where users log out, by POST or by a link. Default: `/oauth2/logout`.
    #[schemars(extend("default" = "/oauth2/logout"))]
    pub logout_path: Option<PlainPath>,
    /// Where users go who have logged out: a path, or an address. It should need no login. The provider must know it as a
    /// post-logout redirect URI. Default: `/`.
    #[schemars(extend("default" = "/", "examples" = ["/goodbye"]))]
    pub after_logout: Option<String>,
    /// Whether logging out ends the session at the provider as well, where that can be done (RP-Initiated Logout). Default: `true`.
    #[schemars(extend("default" = true))]
    pub end_session: Option<bool>,
    /// What the names of the cookies begin with. Default: `login-` and a mark of the settings.
    pub cookie: Option<Token>,
    /// After how long without a request a session ends. Default: `1h`.
    #[schemars(extend("default" = "1h"))]
    pub idle: Option<Duration>,
    /// How long after the login a session ends, whatever happens. Default: `12h`.
    #[schemars(extend("default" = "12h"))]
    pub lifetime: Option<Duration>,
    /// Header fields that tell the upstream what the provider says: the claim for each field, as in `jwt`.
    #[schemars(extend("examples" = [{"x-user": "sub", "x-email": "email"}]))]
    pub headers: Option<Named<HeaderName, String>>,
    /// Whether the upstream gets the access token, in `Authorization: Bearer`. Default: `false`.
    #[schemars(extend("default" = false))]
    pub access_token: Option<bool>,
    /// Whether the upstream gets to see the cookies, sealed as they are. Default: `false`.
    #[schemars(extend("default" = false))]
    pub keep: Option<bool>,
}

/// How a client shows its secret (OpenID Connect Core §9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuthentication {
    /// In `Authorization`.
    ClientSecretBasic,
    /// In the form.
    ClientSecretPost,
}
