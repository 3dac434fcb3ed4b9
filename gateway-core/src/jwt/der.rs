//! Public keys out of PEM (RFC 7468): the one structure that they all have, SubjectPublicKeyInfo (RFC 5280 §4.1.2.7), and
//! the older RSAPublicKey (RFC 8017 §A.1.1). Forty lines instead of a reader for all of ASN.1; `certificate.rs` uses them too.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A public key as PEM holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicKey {
    /// Modulus and exponent, without leading zeros.
    Rsa(Vec<u8>, Vec<u8>),
    /// A point on P-256 (SEC 1 §2.3.3).
    P256(Vec<u8>),
    /// A point on P-384.
    P384(Vec<u8>),
    /// A point on Ed25519 (RFC 8032 §5.1.2).
    Ed25519(Vec<u8>),
}

/// Why a text is no public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadPem {
    /// It is not `-----BEGIN …-----`, Base64, `-----END …-----`.
    Malformed,
    /// It holds a private key, which the gateway has no use for and should not know.
    Private,
    /// It holds something else: a certificate, a request for one.
    Other,
    /// It is a public key of a kind that no algorithm here uses.
    Unknown,
}

/// Reads one PEM block.
pub fn public_key(pem: &str) -> Result<PublicKey, BadPem> {
    let text = pem.trim();
    let (label, rest) =
        text.strip_prefix("-----BEGIN ").and_then(|rest| rest.split_once("-----")).ok_or(BadPem::Malformed)?;
    let end = format!("-----END {label}-----");
    let body = rest.strip_suffix(&end).ok_or(BadPem::Malformed)?;
    if label.contains("PRIVATE") {
        return Err(BadPem::Private);
    }
    let base64: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let der = STANDARD.decode(base64).map_err(|_| BadPem::Malformed)?;
    match label {
        "PUBLIC KEY" => spki(&der),
        "RSA PUBLIC KEY" => rsa(&der).ok_or(BadPem::Malformed),
        _ => Err(BadPem::Other),
    }
}

fn spki(der: &[u8]) -> Result<PublicKey, BadPem> {
    let mut outer = Reader(der);
    let read = |outer: &mut Reader<'_>| -> Option<(Vec<u8>, Vec<u8>, Vec<u8>)> {
        let mut info = Reader(outer.take(SEQUENCE)?);
        let mut algorithm = Reader(info.take(SEQUENCE)?);
        let identifier = algorithm.take(OBJECT_IDENTIFIER)?.to_vec();
        let parameters = algorithm.0.to_vec();
        // A bit string says first how many bits of its last byte are unused: none, in keys.
        let key = info.take(BIT_STRING)?.strip_prefix(&[0])?.to_vec();
        (info.0.is_empty() && outer.0.is_empty()).then_some((identifier, parameters, key))
    };
    let (identifier, parameters, key) = read(&mut outer).ok_or(BadPem::Malformed)?;
    match (identifier.as_slice(), parameters.as_slice()) {
        (RSA_ENCRYPTION, NULL) => rsa(&key).ok_or(BadPem::Malformed),
        (EC_PUBLIC_KEY, P256) => Ok(PublicKey::P256(key)),
        (EC_PUBLIC_KEY, P384) => Ok(PublicKey::P384(key)),
        (ED25519, []) => Ok(PublicKey::Ed25519(key)),
        _ => Err(BadPem::Unknown),
    }
}

fn rsa(der: &[u8]) -> Option<PublicKey> {
    let mut outer = Reader(der);
    let mut key = Reader(outer.take(SEQUENCE)?);
    let (modulus, exponent) = (key.natural()?, key.natural()?);
    (key.0.is_empty() && outer.0.is_empty()).then(|| PublicKey::Rsa(modulus.to_vec(), exponent.to_vec()))
}

pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
const NULL: &[u8] = &[0x05, 0x00];
/// 1.2.840.113549.1.1.1
const RSA_ENCRYPTION: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01];
/// 1.2.840.10045.2.1
const EC_PUBLIC_KEY: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01];
/// The identifier 1.2.840.10045.3.1.7 with its tag and length
const P256: &[u8] = &[0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07];
/// The identifier 1.3.132.0.34 with its tag and length
const P384: &[u8] = &[0x06, 0x05, 0x2B, 0x81, 0x04, 0x00, 0x22];
/// 1.3.101.112
const ED25519: &[u8] = &[0x2B, 0x65, 0x70];

/// What is left to read of a DER value.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    /// The content of the next element, which must have this tag.
    pub(crate) fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        (self.0.first() == Some(&tag)).then(|| self.any())?.map(|(_, content)| content)
    }

    /// The tag and the content of the next element.
    pub(crate) fn any(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7F => (usize::from(first), rest),
            // DER takes the shortest form, and no key is longer than 64 KiB.
            0x81 => (usize::from(*rest.first().filter(|length| **length > 0x7F)?), &rest[1..]),
            0x82 => {
                let bytes = rest.first_chunk::<2>().filter(|bytes| bytes[0] != 0)?;
                (usize::from(u16::from_be_bytes(*bytes)), &rest[2..])
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    /// A number that is not negative, without the zero that says so.
    fn natural(&mut self) -> Option<&'a [u8]> {
        match self.take(INTEGER)? {
            [0, rest @ ..] if rest.first().is_some_and(|b| *b >= 0x80) => Some(rest),
            all @ [1..0x80, ..] => Some(all),
            _ => None,
        }
    }
}
