//! What upstreams are shown, as users write it: the gateway's own credentials, and who is calling.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Address, Duration, HeaderName, KeyId, Name, Named, OneOrMany, Scope, Size, Template};

/// Something that the targets of an upstream are shown, in the place of what a client has sent in the same field.
/// `docs/credentials.md` has examples.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UpstreamCredential {
    /// A header field whose value is a secret.
    Header(HeaderCredential),
    /// A user name and a password in `Authorization` (RFC 7617).
    Basic(BasicCredential),
    /// An access token that the gateway gets for itself: OAuth 2.0 client credentials (RFC 6749 §4.4).
    Oauth2(Oauth2Credential),
    /// A short-lived token that says who is calling, signed by the gateway: what `identity` at the top of the configuration is for.
    Identity(IdentityCredential),
    /// A signature as services of AWS want it (Signature Version 4).
    Aws(AwsCredential),
}

/// A header field whose value is a secret.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeaderCredential {
    /// Its name.
    #[schemars(extend("examples" = ["x-api-key", "authorization"]))]
    pub name: HeaderName,
    /// Its value. The platform holds the secret in it.
    #[schemars(extend("examples" = ["${secret:ORDERS_KEY}", "Token ${secret:ORDERS_KEY}"]))]
    pub value: Template,
}

/// A user name and a password.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BasicCredential {
    /// The user name.
    #[schemars(extend("examples" = ["gateway", "${env:ORDERS_USER}"]))]
    pub username: Template,
    /// The password. The platform holds it.
    #[schemars(extend("examples" = ["${secret:ORDERS_PASSWORD}"]))]
    pub password: Template,
}

/// An access token that the gateway gets for itself: OAuth 2.0 client credentials (RFC 6749 §4.4).
///
/// An instance asks once and keeps the token; requests that come meanwhile wait for it. It is renewed before it ends: a fifth of its
/// life before, at most a minute. A target that does not take it (401) gets another one at once, and the request once more if
/// it has no body or one that is in memory; that happens once in ten seconds at most. While no token can be had, requests are
/// refused with 503 (`upstream-credential`), and the server is asked again after 1 s, 2 s, 4 s … 30 s.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Oauth2Credential {
    /// The token endpoint.
    #[schemars(extend("examples" = ["https://idp.example.com/token"]))]
    pub token_url: Address,
    /// What the gateway is called there.
    pub client_id: Template,
    /// What proves there that it is the gateway. The platform holds it.
    #[schemars(extend("examples" = ["${secret:ORDERS_CLIENT_SECRET}"]))]
    pub client_secret: Option<Template>,
    /// How the secret is shown. Default: `client_secret_basic`.
    #[schemars(extend("default" = "client_secret_basic"))]
    pub client_authentication: Option<super::ClientAuthentication>,
    /// A private key instead of a secret: the gateway signs a token with it (`private_key_jwt`, RFC 7523). PEM or JWK, of
    /// Ed25519, P-256 or RSA. The platform holds it.
    #[schemars(extend("examples" = ["${secret:ORDERS_CLIENT_KEY}"]))]
    pub client_key: Option<Template>,
    /// The `kid` of that key. Default: its own if it is a JWK, or else its thumbprint (RFC 7638).
    pub client_key_id: Option<KeyId>,
    /// What the token is to be good for.
    #[schemars(extend("examples" = [["orders.read"]]))]
    pub scopes: Option<OneOrMany<Scope>>,
    /// Whom it is for, as some servers want to be told.
    pub audience: Option<Template>,
    /// Whom it is for (RFC 8707).
    #[schemars(extend("examples" = ["https://orders.example.com"]))]
    pub resource: Option<OneOrMany<Template>>,
    /// More that the server is told.
    pub parameters: Option<Named<String, Template>>,
    /// The field that the token is sent in, behind `Bearer `. Default: `authorization`.
    #[schemars(extend("default" = "authorization"))]
    pub header: Option<HeaderName>,
}

/// A short-lived token that says who is calling.
///
/// It says `iss`, `aud`, `iat`, `exp` and `jti`; `sub`, the subject of the caller's token or else the consumer's name, and `idp`, whose subject
/// that is; `consumer` and `groups`; `scope`; and the claims that are named here. A caller whom no `authenticate` has recognised gets none, and what a client
/// sends in its place never arrives.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdentityCredential {
    /// `aud`: whom the token is for. An upstream takes no token that is for another one.
    #[schemars(extend("examples" = ["orders", "https://orders.example.com"]))]
    pub audience: Template,
    /// The field that it is sent in. In `authorization` it stands behind `Bearer `. Default: `x-identity`.
    #[schemars(extend("default" = "x-identity"))]
    pub header: Option<HeaderName>,
    /// Claims of the caller's own token that are passed on: the name that they get, and the one that they have, with dots between the
    /// members of objects.
    #[schemars(extend("examples" = [{"email": "email", "tenant": "org.tenant"}]))]
    pub claims: Option<Named<String, String>>,
    /// For how long the same token is sent again with requests of the same caller; at most half of its life. That spares a
    /// signature, and gives several requests the same `jti`. Default: each request has a token of its own.
    #[schemars(extend("examples" = ["20s"]))]
    pub reuse: Option<Duration>,
}

/// In whose name the gateway tells upstreams who is calling. The public halves of its keys are published by a route with
/// `publish: identity_keys`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// `iss`: what the gateway is called in its tokens.
    #[schemars(extend("examples" = ["https://gateway.example.com"]))]
    pub issuer: Template,
    /// The private keys, which the platform holds: PEM or JWK, of Ed25519 (`openssl genpkey -algorithm ed25519`), P-256 or RSA. The
    /// first one signs, all are published, each with its thumbprint (RFC 7638) as `kid`, or with the `kid` of the JWK. To change it: put
    /// the new one behind the old one, change their order when everybody has seen it (after five minutes), and take the old one
    /// away when its last token has ended.
    #[schemars(extend("examples" = ["${secret:IDENTITY_KEY}", ["${secret:IDENTITY_KEY}", "${secret:NEXT_IDENTITY_KEY}"]]))]
    pub keys: OneOrMany<Template>,
    /// For how long a token counts. Default: `1m`.
    #[schemars(extend("default" = "1m"))]
    pub lifetime: Option<Duration>,
}

/// A signature as services of AWS want it (Signature Version 4).
///
/// The request is signed as it is sent: method, path, query, host, `Content-Type`, all `x-amz-` fields, and the body. The client's own `x-amz-`
/// fields go, since the signature would make them the gateway's word; so does its `Authorization`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AwsCredential {
    /// The region.
    #[schemars(extend("examples" = ["eu-central-1", "${env:AWS_REGION}"]))]
    pub region: Template,
    /// The service, as it calls itself in signatures.
    #[schemars(extend("examples" = ["s3", "execute-api", "lambda", "bedrock"]))]
    pub service: Name,
    /// Who signs.
    #[schemars(extend("examples" = ["${secret:AWS_ACCESS_KEY_ID}"]))]
    pub access_key_id: Template,
    /// With what.
    #[schemars(extend("examples" = ["${secret:AWS_SECRET_ACCESS_KEY}"]))]
    pub secret_access_key: Template,
    /// What temporary keys come with.
    #[schemars(extend("examples" = ["${secret:AWS_SESSION_TOKEN}"]))]
    pub session_token: Option<Template>,
    /// Bodies up to this are read into memory, and their hash is signed. Default: `1MiB`.
    #[schemars(extend("default" = "1MiB"))]
    pub body: Option<Size>,
    /// What becomes of longer bodies, and of those whose length nobody has declared. Default: `unsigned` for `s3`, else `refuse`.
    #[schemars(extend("examples" = ["refuse"]))]
    pub longer: Option<LongerBody>,
    /// The client's `x-amz-` fields that go on, and are signed.
    #[schemars(extend("examples" = [["x-amz-acl"]]))]
    pub keep: Option<OneOrMany<HeaderName>>,
}

/// What becomes of bodies that are too long to be hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LongerBody {
    /// They are streamed, and the signature does not cover them (`UNSIGNED-PAYLOAD`). S3 takes that, few others do.
    Unsigned,
    /// They are refused with 413.
    Refuse,
}

/// What a route publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Publish {
    /// The public halves of the keys of `identity`, as a JWK Set (RFC 7517 §5), with an `ETag`, to be kept for five minutes.
    IdentityKeys,
}
