//! Tokens and who makes them, as users write it.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Address, AlgorithmName, Duration, HeaderName, Name, Named, OneOrMany, Realm, Template, Token};

/// Takes JSON Web Tokens (RFC 7519) of issuers that are trusted here.
///
/// A token is read strictly, verified with a key that is for its algorithm, and judged by what its issuer's entry says;
/// one that has been verified is remembered until it expires. The consumer is the one whose `subjects` have its `iss` and
/// `sub`, or the one that a claim names (`consumer_claim`); without one, its subject, claims, scopes and groups (`groups_claim`) count
/// all the same.
///
/// ```yaml
/// policies:
///   - authenticate:
///       any_of:
///         - jwt:
///             issuers:
///               - issuer: https://idp.example.com     # keys by OpenID Connect Discovery
///                 audiences: [https://api.example.com]
///               - issuer: https://login.example.org
///                 audiences: [orders]
///                 algorithms: [ES256]
///                 jwks_url: https://login.example.org/keys
///             headers: { x-user: sub, x-tenant: org.id }
///   - authorize: { scopes: ["orders:read"] }
/// ```
///
/// A token that is bound to a key (`cnf` with `jkt`, RFC 9449) is taken only with the scheme `DPoP` and a right proof, used
/// once; one that is bound to a certificate (`x5t#S256`, RFC 8705) only from the client that shows it to the platform. Proofs
/// are remembered in the memory of one instance.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JwtMethod {
    /// Who makes the tokens. The token's `iss` says which entry counts.
    #[schemars(extend("examples" = [[{"issuer": "https://idp.example.com", "audiences": ["orders"]}]]))]
    pub issuers: OneOrMany<Issuer>,
    /// Header fields in which a token may stand. Default: `authorization`, with the scheme `Bearer` or `DPoP`.
    #[schemars(extend("examples" = ["authorization"]))]
    pub header: Option<OneOrMany<HeaderName>>,
    /// Cookies in which a token may stand.
    pub cookie: Option<OneOrMany<Token>>,
    /// Parameters of the query in which a token may stand. Addresses are logged in many places, so this is the last choice.
    pub query: Option<OneOrMany<String>>,
    /// Header fields that tell the upstream what the token says: the claim for each field; the members of objects have dots
    /// between, the items of lists get commas. Whatever a client sends in these fields is removed first, also where it
    /// is not known.
    #[schemars(extend("examples" = [{"x-user": "sub", "x-tenant": "org.id"}]))]
    pub headers: Option<Named<HeaderName, String>>,
    /// Whether the upstream gets to see the token. Default: `false`.
    #[schemars(extend("default" = false))]
    pub keep: Option<bool>,
    /// What the token is for, as the challenge tells. Default: `restricted`.
    #[schemars(extend("default" = "restricted"))]
    pub realm: Option<Realm>,
    /// What is asked of proofs of possession (RFC 9449).
    pub dpop: Option<Dpop>,
    /// Whether every token must be bound to the client's certificate (RFC 8705), as the platform reports it. Default: `false`.
    #[schemars(extend("default" = false))]
    pub certificate_bound: Option<bool>,
}

/// What is asked of proofs of possession (RFC 9449).
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dpop {
    /// Whether every token must be bound to a key. Default: `false`, only tokens that say so are.
    #[schemars(extend("default" = false))]
    pub required: Option<bool>,
    /// How old a proof may be. Default: `60s`.
    #[schemars(extend("default" = "60s"))]
    pub max_age: Option<Duration>,
}

/// Who makes tokens, and what they must say. Its keys come from one of `jwks_url`, `jwks`, `public_keys` and `secrets`; without
/// any of them, by OpenID Connect Discovery.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// The token's `iss`, exactly.
    #[schemars(extend("examples" = ["https://idp.example.com", "${env:ISSUER}"]))]
    pub issuer: Template,
    /// One of these must be in the token's `aud`. Without any, tokens that the issuer made for others are taken too.
    #[schemars(extend("examples" = [["https://api.example.com"]]))]
    pub audiences: Option<OneOrMany<Template>>,
    /// The algorithms that are taken. Default: the one that each key names; for one that names none, the usual one of its
    /// kind (RS256, ES256, ES384, EdDSA, HS256).
    pub algorithms: Option<OneOrMany<AlgorithmName>>,
    /// Where the issuer describes itself. Default: `/.well-known/openid-configuration` below the issuer.
    pub discovery_url: Option<Address>,
    /// Where the issuer publishes its keys, as a JWK Set (RFC 7517).
    #[schemars(extend("examples" = ["https://idp.example.com/jwks.json"]))]
    pub jwks_url: Option<Address>,
    /// Public keys, as JWKs.
    pub jwks: Option<OneOrMany<Jwk>>,
    /// Public keys, in PEM.
    pub public_keys: Option<OneOrMany<PublicKey>>,
    /// Secrets that are shared with the issuer, for HS256, HS384 and HS512.
    pub secrets: Option<OneOrMany<Secret>>,
    /// How far the issuer's clock may differ. Default: `30s`.
    #[schemars(extend("default" = "30s"))]
    pub leeway: Option<Duration>,
    /// The types of tokens that are taken (`typ`): `at+jwt` for access tokens by RFC 9068. Default: none at all, `JWT` and
    /// `at+jwt`.
    #[schemars(extend("examples" = [["at+jwt"]]))]
    pub types: Option<OneOrMany<String>>,
    /// Claims that a token must have. `iss` and `exp` it always must.
    #[schemars(extend("examples" = [["sub", "client_id"]]))]
    pub required_claims: Option<OneOrMany<String>>,
    /// The claim with the name of the consumer that the token stands for; members of objects have dots between. A name that no
    /// consumer has, in the configuration or in the store (`consumers_from`), counts as none. Default: `subjects` of consumers
    /// alone say so, which also count where the claim is missing.
    #[schemars(extend("examples" = ["client_id"]))]
    pub consumer_claim: Option<String>,
    /// The claim with groups that the caller belongs to besides those of its consumer, wherever groups are asked for: a text
    /// with spaces between, or a list. A group whose name holds a comma or a control character is left out. Default: none.
    #[schemars(extend("examples" = ["groups", "realm_access.roles"]))]
    pub groups_claim: Option<String>,
    /// How long a token may live, from `iat` to `exp`. Default: as long as the issuer likes.
    #[schemars(extend("examples" = ["1h"]))]
    pub max_lifetime: Option<Duration>,
    /// After how long published keys are asked for again. A request asks early, so that nobody waits. Default: `15m`.
    #[schemars(extend("default" = "15m"))]
    pub refresh: Option<Duration>,
    /// For how long beyond that old keys count while the issuer cannot be reached. Default: `24h`.
    #[schemars(extend("default" = "24h"))]
    pub stale: Option<Duration>,
    /// How often, at most, the issuer is asked because a token names a key that is not known. Default: `30s`.
    #[schemars(extend("default" = "30s"))]
    pub unknown_key_interval: Option<Duration>,
}

/// A public key as a JWK (RFC 7517): its members, as the issuer publishes them.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("examples" = [{"kty": "OKP", "crv": "Ed25519", "kid": "2026", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]))]
pub struct Jwk(pub Named<String, JwkMember>);

/// A member of a JWK.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum JwkMember {
    /// Text.
    Text(String),
    /// A list of texts.
    Texts(Vec<String>),
}

/// A public key in PEM.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PublicKey {
    /// The `kid` that tokens call it by. Default: it is meant by every token of its algorithm.
    pub id: Option<Name>,
    /// The key: `-----BEGIN PUBLIC KEY-----` and so on, or `${env:NAME}`.
    pub pem: Template,
}

/// A secret that is shared with an issuer.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// The `kid` that tokens call it by. Default: it is meant by every token of its algorithm.
    pub id: Option<Name>,
    /// The secret. It never stands here itself: the platform holds it. At least as long as the hash: 32 bytes for HS256.
    #[schemars(extend("examples" = ["${secret:TOKEN_KEY}"]))]
    pub secret: Template,
    /// Whether the platform holds the secret as Base64. Default: `false`, as plain text.
    #[schemars(extend("default" = false))]
    pub base64: Option<bool>,
}

/// Takes tokens that only their authorisation server can read, and asks it about them (RFC 7662).
///
/// What it says is believed for a bounded time. While it cannot be reached, tokens that are not remembered are refused with 503.
///
/// ```yaml
/// policies:
///   - authenticate:
///       any_of:
///         - introspection:
///             url: https://idp.example.com/introspect
///             client_id: gateway
///             client_secret: ${secret:INTROSPECTION}
///             issuer: https://idp.example.com
///             headers: { x-user: sub }
/// ```
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IntrospectionMethod {
    /// Where to ask.
    pub url: Address,
    /// What the gateway is called there.
    pub client_id: Template,
    /// What proves there that it is the gateway who asks. It never stands here itself: the platform holds it.
    #[schemars(extend("examples" = ["${secret:INTROSPECTION}"]))]
    pub client_secret: Template,
    /// Whose tokens these are, for the `subjects` of consumers. An answer with another `iss` is refused.
    pub issuer: Option<String>,
    /// One of these must be in `aud`. Default: nobody looks.
    pub audiences: Option<OneOrMany<String>>,
    /// Members that the answer must have.
    pub required_claims: Option<OneOrMany<String>>,
    /// As in the issuers of `jwt`.
    #[schemars(extend("examples" = ["client_id"]))]
    pub consumer_claim: Option<String>,
    /// As in the issuers of `jwt`.
    #[schemars(extend("examples" = ["groups"]))]
    pub groups_claim: Option<String>,
    /// For how long it is believed that a token is active, and never beyond its `exp`. A token that is revoked passes for as
    /// long. Default: `30s`.
    #[schemars(extend("default" = "30s"))]
    pub cache: Option<Duration>,
    /// For how long it is believed that a token is not active. Default: `30s`.
    #[schemars(extend("default" = "30s"))]
    pub cache_inactive: Option<Duration>,
    /// As in `jwt`.
    pub header: Option<OneOrMany<HeaderName>>,
    /// As in `jwt`.
    pub cookie: Option<OneOrMany<Token>>,
    /// As in `jwt`.
    pub query: Option<OneOrMany<String>>,
    /// As in `jwt`.
    pub headers: Option<Named<HeaderName, String>>,
    /// As in `jwt`.
    #[schemars(extend("default" = false))]
    pub keep: Option<bool>,
    /// As in `jwt`.
    #[schemars(extend("default" = "restricted"))]
    pub realm: Option<Realm>,
    /// As in `jwt`.
    pub dpop: Option<Dpop>,
    /// As in `jwt`.
    #[schemars(extend("default" = false))]
    pub certificate_bound: Option<bool>,
}
