//! Who may call, as users write it.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    ConsumerCertificate, Duration, KeyHash, KeyId, KeyPrefix, Moment, Name, OneOrMany, PasswordHash,
    SignatureAlgorithm, Template, Username,
};

/// Someone who calls, and the credentials by which the gateway knows them.
///
/// ```yaml
/// consumers:
///   - name: alice
///     groups: [partners]
///     keys:                       # as `postern key new --consumer alice` prints it
///       - hash: 3f0a7c5be0e5f1a2d4c6b8907e1f2a3b4c5d6e7f8091a2b3c4d5e6f708192a3b
///         prefix: pk_7fQ2
///         expires: 2027-01-31
/// ```
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Consumer {
    /// What the consumer is called: in logs, in `authorize`, in `{consumer.name}`. Every consumer has its own.
    pub name: Name,
    /// The groups it belongs to, for `authorize` and `{consumer.groups}`.
    pub groups: Option<OneOrMany<Name>>,
    /// Its API keys. Several may be live at once, so that a new one can be handed out before the old one goes.
    pub keys: Option<OneOrMany<ApiKey>>,
    /// Its user names, with what their passwords are checked against.
    pub passwords: Option<OneOrMany<Password>>,
    /// The keys it signs requests with.
    pub signers: Option<OneOrMany<Signer>>,
    /// The subjects of tokens that stand for it.
    pub subjects: Option<OneOrMany<Subject>>,
    /// Its certificates, for `client_certificate`.
    pub certificates: Option<OneOrMany<ConsumerCertificate>>,
}

/// An API key, of which only a hash is kept. `postern key new` makes a key and prints this entry.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// The SHA-256 of the key. `postern key hash` computes it for a key that exists already.
    pub hash: KeyHash,
    /// The first characters of the key: all of it that is ever shown, in logs for example.
    pub prefix: KeyPrefix,
    /// From when on the key is refused. Default: never.
    pub expires: Option<Moment>,
}

/// A user name, and what its password is checked against. `postern password hash` prints the hash.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Password {
    /// The user name. Every one belongs to one consumer only.
    pub username: Username,
    /// What the password is checked against.
    pub hash: PasswordHash,
}

/// A key that signs requests, for `signature` and `hmac_auth`: a `secret` that both sides share, or the `public_key` to the one
/// that the consumer keeps.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Signer {
    /// The key's identifier, as it stands in signed requests. Every one belongs to one consumer only.
    pub id: KeyId,
    /// The shared secret, for `hmac-sha256` and `hmac_auth`: 16 bytes or more. It never stands here itself: the platform
    /// holds it.
    #[schemars(extend("examples" = ["${secret:ALICE_SIGNING_KEY}"]))]
    pub secret: Option<Template>,
    /// Whether the platform holds the secret as Base64. Default: `false`, as plain text.
    #[schemars(extend("default" = false))]
    pub base64: Option<bool>,
    /// The public key, in PEM. Excludes `secret`.
    pub public_key: Option<Template>,
    /// The algorithm that the public key is for. Default: that of its kind, for RSA `rsa-pss-sha512`.
    pub algorithm: Option<SignatureAlgorithm>,
}

/// The subject of tokens of one issuer.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// The `iss` of the tokens.
    #[schemars(extend("examples" = ["https://idp.example"]))]
    pub issuer: String,
    /// The `sub` of the tokens.
    pub subject: String,
}

/// Where consumers are looked for that do not stand in the configuration.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ConsumersFrom {
    /// In the platform's key-value store, with the usual rules.
    Plain(StoreName),
    /// In the platform's key-value store, with rules.
    With(ConsumerStore),
}

/// The platform's key-value store.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StoreName {
    /// The platform's key-value store.
    Store,
}

/// The platform's key-value store: `postern key write` and `postern key revoke` keep keys there, without a deployment. For tokens,
/// a record `{"name": "carol", "groups": ["gold"]}` stands under `consumer/subject/` and the SHA-256 (in hexadecimal) of issuer, line
/// feed and subject, or under `consumer/name/` and that of the name that `consumer_claim` has.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConsumerStore {
    /// How it is asked.
    pub store: StoreOptions,
}

/// How the store is asked for consumers.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StoreOptions {
    /// For how long each instance of the gateway counts on an answer, that a credential is nobody's included. A revoked key
    /// works for so long, and for as long as the platform's own caches take. At most `1h`. Default: `30s`.
    #[schemars(extend("default" = "30s"))]
    pub hold: Option<Duration>,
    /// What becomes of credentials that were known when the store fails. Default: `keep`.
    #[schemars(extend("default" = "keep"))]
    pub on_failure: Option<OnFailure>,
}

/// What becomes of credentials that were known when the store fails. Those that were not are refused with 503 in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// They go on counting, for an hour at most.
    Keep,
    /// They count no longer than they would have.
    Refuse,
}
