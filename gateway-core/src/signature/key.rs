//! What signatures are checked with: a secret or a public key, and the one algorithm that it is for.

use super::Algorithm;
use crate::consumer::{Signer, SigningKey};
use crate::jwt::{BadKey, Key};
use crate::template::{Settings, Template};
use ::hmac::{Hmac, KeyInit, Mac};
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};
use std::fmt;
use subtle::ConstantTimeEq;

/// A key that verifies. Shown, it says what it is for, never what it is.
pub struct SignerKey {
    /// What it is for; another algorithm never verifies with it (RFC 9421 §7.3.6).
    pub algorithm: Algorithm,
    material: Material,
}

enum Material {
    Secret(Secret),
    Public(Box<Key>),
}

impl SignerKey {
    /// The key of a signer, once the platform's values are known. The error is for the log.
    pub fn new(signer: &Signer, settings: &Settings) -> Result<Self, String> {
        match &signer.key {
            SigningKey::Secret(secret) => {
                let secret = Secret::new(secret, signer.base64, settings)?;
                Ok(Self { algorithm: Algorithm::HmacSha256, material: Material::Secret(secret) })
            }
            SigningKey::Public(pem) => {
                // Variables often hold a text on one line.
                let pem = resolve(pem, settings)?.replace("\\n", "\n");
                Self::from_pem(&pem, signer.algorithm).map_err(|bad| bad.to_string())
            }
        }
    }

    /// Reads a public key, for this algorithm or for the first one that it fits.
    pub fn from_pem(pem: &str, algorithm: Option<Algorithm>) -> Result<Self, BadKey> {
        let allowed: Vec<_> = match algorithm {
            Some(algorithm) => vec![algorithm],
            None => Algorithm::ALL.into_iter().filter(|algorithm| *algorithm != Algorithm::RsaV15Sha256).collect(),
        };
        let named: Vec<_> = allowed.iter().map(|algorithm| algorithm.of_tokens()).collect();
        let key = Key::from_pem(pem, None, &named)?;
        let fits = |algorithm: &Algorithm| key.algorithms.contains(&algorithm.of_tokens());
        let algorithm = allowed.into_iter().find(fits).ok_or(BadKey::Unsupported)?;
        Ok(Self { algorithm, material: Material::Public(Box::new(key)) })
    }

    /// Whether the signature is right.
    pub fn verify(&self, signed: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Secret(secret) => secret.verify(Hash::Sha256, signed, signature),
            Material::Public(key) => key.verify(self.algorithm.of_tokens(), signed, signature),
        }
    }
}

impl fmt::Debug for SignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SignerKey").field(&self.algorithm).finish()
    }
}

/// A secret that both sides share, long enough not to be found by trying.
pub struct Secret(Vec<u8>);

/// The hashes that HMAC is used with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hash {
    /// SHA-1, for clients that know no other.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// Base64 with or without padding.
pub(super) const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Whoever sees one signed request can try secrets against it at leisure.
const SHORTEST: usize = 16;

impl Secret {
    /// The secret, once the platform's values are known. The error is for the log.
    pub fn new(secret: &Template, base64: bool, settings: &Settings) -> Result<Self, String> {
        let text = resolve(secret, settings)?;
        let secret = if base64 {
            let text = text.trim().replace('-', "+").replace('_', "/");
            LENIENT.decode(text).map_err(|_| "its secret is not Base64".to_owned())?
        } else {
            text.into_bytes()
        };
        if secret.len() < SHORTEST {
            return Err(format!("its secret has fewer than {SHORTEST} bytes"));
        }
        Ok(Self(secret))
    }

    /// The code of a text, for whoever signs.
    pub fn sign(&self, hash: Hash, text: &[u8]) -> Vec<u8> {
        fn code<M: Mac + KeyInit>(secret: &[u8], text: &[u8]) -> Vec<u8> {
            let mac = <M as KeyInit>::new_from_slice(secret).expect("HMAC takes keys of any length");
            mac.chain_update(text).finalize().into_bytes().to_vec()
        }
        match hash {
            Hash::Sha1 => code::<Hmac<Sha1>>(&self.0, text),
            Hash::Sha256 => code::<Hmac<Sha256>>(&self.0, text),
            Hash::Sha384 => code::<Hmac<Sha384>>(&self.0, text),
            Hash::Sha512 => code::<Hmac<Sha512>>(&self.0, text),
        }
    }

    /// Whether this is the code of the text, in constant time.
    pub fn verify(&self, hash: Hash, text: &[u8], code: &[u8]) -> bool {
        self.sign(hash, text).ct_eq(code).into()
    }
}

/// A record of the store may refer to what the configuration does not, which nobody has asked the platform for; an empty
/// secret would be everybody's.
fn resolve(template: &Template, settings: &Settings) -> Result<String, String> {
    match template.references().find(|reference| !settings.contains_key(reference)) {
        Some(reference) => Err(format!("{reference} stands nowhere in the configuration, so its value is not known")),
        None => Ok(template.resolve(settings)),
    }
}
