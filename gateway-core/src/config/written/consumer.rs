//! Who may call, as users write it.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{KeyHash, KeyPrefix, Moment, Name, OneOrMany, PasswordHash, Template, Username};

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

/// A key that signs requests: a `secret` that both sides share, or the `public_key` to the one that the consumer keeps.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Signer {
    /// The key's identifier, as it stands in signed requests. Every one belongs to one consumer only.
    pub id: Name,
    /// The shared secret. It never stands here itself: the platform holds it.
    #[schemars(extend("examples" = ["${secret:ALICE_SIGNING_KEY}"]))]
    pub secret: Option<Template>,
    /// The public key, in PEM. Excludes `secret`.
    pub public_key: Option<Template>,
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
