//! Who may call: consumers, and the credentials by which they are found.
//!
//! Consumers are frozen like routes: a table leads from what identifies a credential to the consumer's record, which is
//! decoded when it is first found. Ten or a hundred thousand of them cost nothing at the start.

use crate::frozen::{Block, Key, TooLarge, Writer};
use crate::held::{Halves, Held, Standing, StoreRules};
#[cfg(feature = "signatures")]
use crate::jwt::replay::Used;
use crate::platform::{Platform, StoreError, Timestamp};
use crate::record;
use crate::route::Records;
use crate::secret::Secret;
use crate::signature::Algorithm;
#[cfg(feature = "signatures")]
use crate::signature::key::SignerKey;
use crate::template::Template;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

/// Someone who calls, as the operator knows them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Consumer {
    /// Unique name.
    pub name: String,
    /// What it belongs to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Its API keys.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<ApiKey>,
    /// Its user names and passwords.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub passwords: Vec<Password>,
    /// Its signing keys.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub signers: Vec<Signer>,
    /// Subjects of tokens that stand for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<Subject>,
    /// Its certificates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateOf>,
}

/// An API key, of which only a hash is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// SHA-256 of the key, in lower-case hexadecimal. A key has 192 random bits, so a plain hash cannot be searched.
    pub hash: Secret<String>,
    /// The first characters of the key: all of it that is ever shown.
    pub prefix: String,
    /// From when on it is refused, in milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
}

/// A user name, and what its password is checked against.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Password {
    /// Unique user name.
    pub username: String,
    /// `pbkdf2-sha256$iterations$salt$hash`, the last two in Base64.
    pub hash: Secret<String>,
}

/// A key that signs requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signer {
    /// Unique key identifier.
    pub id: String,
    /// What signatures are checked with.
    pub key: SigningKey,
    /// The algorithm that the key is for, where it is not the usual one of its kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<Algorithm>,
    /// Whether the platform holds a secret as Base64 of its bytes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub base64: bool,
}

#[cfg(feature = "signatures")]
impl Signer {
    /// Tells keys apart, and says nothing of them.
    pub(crate) fn mark(&self) -> String {
        let (kind, SigningKey::Secret(template) | SigningKey::Public(template)) = match &self.key {
            key @ SigningKey::Secret(_) => ("secret", key),
            key @ SigningKey::Public(_) => ("public", key),
        };
        hash(&format!("{}\n{:?}\n{kind}\n{}\n{template}", self.id, self.algorithm, self.base64))
    }
}

/// What signatures are checked with. The two kinds are told apart by the configuration, never by what a request says: a
/// public key must not be taken for a secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SigningKey {
    /// A secret that both sides share.
    Secret(Template),
    /// A public key in PEM.
    Public(Template),
}

/// A record of the store may hold a secret in clear, so a key is never shown.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SigningKey::Secret(_) => "Secret",
            SigningKey::Public(_) => "Public",
        })
    }
}

/// The subject of tokens of one issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// `iss`.
    pub issuer: String,
    /// `sub`.
    pub subject: String,
}

/// What a consumer's certificate is known by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CertificateOf {
    /// The SHA-256 of the whole certificate, in lower-case hexadecimal.
    Fingerprint(String),
    /// Its subject and its issuer, as [`DistinguishedName`](crate::certificate::DistinguishedName) writes them, with a line
    /// feed between: every certificate that this issuer makes for this subject.
    Names(String),
}

/// What a consumer is looked up by.
#[derive(Debug, Clone, Copy)]
pub enum By<'a> {
    /// The hash of an API key, in lower-case hexadecimal.
    Key(&'a str),
    /// A user name.
    Username(&'a str),
    /// The identifier of a signing key.
    Signer(&'a str),
    /// Issuer and subject, with a line feed between.
    Subject(&'a str),
    /// The fingerprint of a certificate, in lower-case hexadecimal.
    Certificate(&'a str),
    /// Subject and issuer of a certificate, with a line feed between.
    CertificateNames(&'a str),
    /// The name.
    Name(&'a str),
}

impl<'a> By<'a> {
    /// The key under which the store keeps a consumer's record. What a client chooses is hashed, so that it is short and
    /// cannot be taken for another key.
    pub fn stored(self) -> String {
        match self {
            By::Key(hash) => format!("consumer/key/{hash}"),
            By::Username(text) => format!("consumer/username/{}", hash(text)),
            By::Signer(text) => format!("consumer/signer/{}", hash(text)),
            By::Subject(text) => format!("consumer/subject/{}", hash(text)),
            By::Certificate(text) => format!("consumer/certificate/{text}"),
            By::CertificateNames(text) => format!("consumer/certificate-names/{}", hash(text)),
            By::Name(text) => format!("consumer/name/{}", hash(text)),
        }
    }

    fn key(self) -> Key<'a> {
        match self {
            By::Key(text) => Key("k:", text),
            By::Username(text) => Key("u:", text),
            By::Signer(text) => Key("h:", text),
            By::Subject(text) => Key("s:", text),
            By::Certificate(text) => Key("c:", text),
            By::CertificateNames(text) => Key("d:", text),
            By::Name(text) => Key("n:", text),
        }
    }
}

/// What of a key is stored: its SHA-256, in lower-case hexadecimal.
pub fn hash(key: &str) -> String {
    hex(&Sha256::digest(key.as_bytes()))
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]).map(char::from).collect()
}

/// Every consumer of the configuration, and those of the store that have called lately.
#[derive(Debug, Default)]
pub struct Consumers {
    table: Bytes,
    records: Option<Records>,
    awake: RefCell<HashMap<u32, Rc<Consumer>>>,
    store: Option<StoreRules>,
    held: RefCell<Held>,
    /// Keys that somebody has revoked while the gateway runs.
    #[cfg(feature = "admin")]
    pub(crate) changes: RefCell<Rc<crate::admin::changes::State>>,
    /// Passwords that were right, by a hash of theirs and of what they were checked against.
    pub(crate) proven: RefCell<Halves<()>>,
    /// What signatures are checked with, by all that it is made from.
    #[cfg(feature = "signatures")]
    pub(crate) signing: RefCell<Halves<Rc<SignerKey>>>,
    /// Signatures that have been used and are taken once.
    #[cfg(feature = "signatures")]
    pub(crate) used: RefCell<Used>,
}

impl Consumers {
    /// Takes what [`freeze`] made: the table and the records.
    pub fn new(table: Bytes, records: Bytes) -> Self {
        Self { table, records: Some(Records(records)), ..Self::default() }
    }

    /// The same, with a store behind them.
    #[must_use]
    pub fn with_store(self, store: Option<StoreRules>) -> Self {
        Self { store, ..self }
    }

    /// The consumer whose credential this is: of the configuration, or of the store where there is one. What the store has
    /// said counts for a while. `Err`: nobody can say just now.
    pub async fn look_up<P: Platform>(&self, platform: &P, by: By<'_>) -> Result<Option<Rc<Consumer>>, StoreError> {
        if let Some(consumer) = self.find(by) {
            return Ok(Some(consumer));
        }
        let Some(rules) = self.store else { return Ok(None) };
        let key = by.stored();
        let standing = self.held.borrow_mut().look(&key, platform.now());
        if let Standing::Fresh(consumer) = standing {
            return Ok(consumer);
        }
        let found = platform.lookup(&key).await.and_then(|found| match found {
            Some(record) => self.read(&record).map(Some),
            None => Ok(None),
        });
        let now = platform.now();
        match found {
            Ok(consumer) => {
                self.held.borrow_mut().learn(rules, &key, consumer.clone(), now);
                Ok(consumer)
            }
            Err(error) => match self.held.borrow_mut().fall_back(rules, &key, now) {
                Some(consumer) => Ok(Some(consumer)),
                None => Err(error),
            },
        }
    }

    /// A record of the store. A consumer that the configuration knows has its groups too.
    fn read(&self, record: &[u8]) -> Result<Rc<Consumer>, StoreError> {
        let mut consumer: Consumer = record::read_in_any_order(record)
            .map_err(|error| StoreError(format!("the record of a consumer in the store cannot be read: {error}")))?;
        if let Some(configured) = self.find(By::Name(&consumer.name)) {
            let missing = configured.groups.iter().filter(|group| !consumer.groups.contains(group));
            let missing: Vec<_> = missing.cloned().collect();
            consumer.groups.extend(missing);
        }
        Ok(Rc::new(consumer))
    }

    /// Whether an API key has been revoked while the gateway runs.
    pub fn is_revoked(&self, key: &ApiKey) -> bool {
        #[cfg(feature = "admin")]
        return self.changes.borrow().is_revoked(key.hash.reveal(), &key.prefix);
        #[cfg(not(feature = "admin"))]
        {
            let _ = key;
            false
        }
    }

    /// The consumer that is found so.
    pub fn find(&self, by: By<'_>) -> Option<Rc<Consumer>> {
        let block = Block(&self.table);
        let record = block.lookup(block.word(0), by.key()).checked_sub(1)?;
        if let Some(consumer) = self.awake.borrow().get(&record) {
            return Some(consumer.clone());
        }
        let consumer: Rc<Consumer> = Rc::new(record::read(&self.records.as_ref()?.get(record)?).ok()?);
        self.awake.borrow_mut().insert(record, consumer.clone());
        Some(consumer)
    }
}

/// Freezes consumers: the table, then the records. What identifies a credential must be unique, which the caller checks.
pub fn freeze(consumers: &[Consumer]) -> Result<(Vec<u8>, Vec<u8>), TooLarge> {
    let mut entries = Vec::new();
    for (at, consumer) in consumers.iter().enumerate() {
        let value = u32::try_from(at + 1).map_err(|_| TooLarge)?;
        entries.push((format!("n:{}", consumer.name), value));
        entries.extend(consumer.keys.iter().map(|key| (format!("k:{}", key.hash.reveal()), value)));
        entries.extend(consumer.passwords.iter().map(|password| (format!("u:{}", password.username), value)));
        entries.extend(consumer.signers.iter().map(|signer| (format!("h:{}", signer.id), value)));
        entries.extend(consumer.subjects.iter().map(|s| (format!("s:{}\n{}", s.issuer, s.subject), value)));
        entries.extend(consumer.certificates.iter().map(|certificate| match certificate {
            CertificateOf::Fingerprint(text) => (format!("c:{text}"), value),
            CertificateOf::Names(text) => (format!("d:{text}"), value),
        }));
    }
    let entries: Vec<_> = entries.iter().map(|(key, value)| (key.as_str(), *value)).collect();
    let mut out = Writer::default();
    out.push(0);
    let table = out.table(&entries)?;
    out.patch(0, table);
    let records: Vec<_> = consumers.iter().map(packed).collect();
    Ok((out.bytes, Records::freeze(&records)?))
}

fn packed(consumer: &Consumer) -> Vec<u8> {
    record::write(consumer).expect("a consumer holds only strings, numbers and lists, which JSON can write")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consumer_is_found_by_each_of_its_credentials() {
        let alice = Consumer {
            name: "alice".into(),
            keys: vec![ApiKey { hash: Secret::new("ab".into()), prefix: "pk_1".into(), expires: None }],
            subjects: vec![Subject { issuer: "https://i".into(), subject: "1".into() }],
            certificates: vec![CertificateOf::Fingerprint("cd".into()), CertificateOf::Names("CN=a\nCN=b".into())],
            ..Consumer::default()
        };
        let bob = Consumer { name: "bob".into(), ..Consumer::default() };
        let (table, records) = freeze(&[alice.clone(), bob]).expect("small");
        let consumers = Consumers::new(table.into(), records.into());
        let certificate = [By::Certificate("cd"), By::CertificateNames("CN=a\nCN=b")];
        for by in [By::Key("ab"), By::Subject("https://i\n1"), By::Name("alice")].into_iter().chain(certificate) {
            assert_eq!(consumers.find(by).as_deref(), Some(&alice), "{by:?}");
        }
        for by in [By::Key("alice"), By::Username("alice"), By::Name("carol"), By::Signer("")] {
            assert_eq!(consumers.find(by), None, "{by:?}");
        }
        assert_eq!(Consumers::default().find(By::Name("alice")), None);
    }
}
