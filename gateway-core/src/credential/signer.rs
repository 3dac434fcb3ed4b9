//! Private keys of the gateway's own, and the tokens that it signs with them.

use crate::jwt::der::{INTEGER, OBJECT_IDENTIFIER, Reader, SEQUENCE};
use crate::jwt::key::thumbprint;
use crate::jwt::{Algorithm, json, token};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use std::fmt;

/// A key that signs: Ed25519 (`EdDSA`), P-256 (`ES256`) or RSA (`RS256`). Shown, it is its identifier.
pub struct SigningKey {
    /// `kid`
    pub id: String,
    /// What it signs with.
    pub algorithm: Algorithm,
    public: Map<String, Value>,
    private: Private,
}

enum Private {
    #[cfg(feature = "eddsa")]
    Ed25519(Box<ed25519_dalek::SigningKey>),
    #[cfg(feature = "es256")]
    P256(Box<p256::ecdsa::SigningKey>),
    #[cfg(feature = "rsa_signing")]
    Rsa(Box<rsa::PrivateKey>),
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The parts of a private key, as they are written down.
enum Parts {
    Ed25519(Vec<u8>),
    P256(Vec<u8>),
    /// Modulus, exponents, and the two primes.
    Rsa([Vec<u8>; 5]),
}

impl SigningKey {
    /// Reads a private key: PEM (PKCS #8, SEC 1 or PKCS #1) or a JWK. Without an identifier, that of the JWK counts, or else the
    /// thumbprint (RFC 7638). What is wrong is told without anything of the key.
    pub fn read(text: &str, id: Option<String>) -> Result<Self, String> {
        // Variables often hold a text on one line.
        let text = text.trim().replace("\\n", "\n");
        let (parts, own) = if text.starts_with('{') { jwk(&text)? } else { (pem(&text)?, None) };
        let (algorithm, mut public, private) = parts.key()?;
        let id = id.or(own).or_else(|| thumbprint(&public)).unwrap_or_default();
        public.insert("kid".to_owned(), id.clone().into());
        public.insert("use".to_owned(), "sig".into());
        public.insert("alg".to_owned(), algorithm.name().into());
        Ok(Self { id, algorithm, public, private })
    }

    /// The public half as a JWK.
    pub fn public(&self) -> &Map<String, Value> {
        &self.public
    }

    /// A token with these claims (RFC 7515 §7.1). The random bits blind RSA.
    pub fn token(&self, claims: &Value, random: &mut dyn FnMut() -> u64) -> Option<String> {
        let header = json!({ "alg": self.algorithm.name(), "kid": self.id, "typ": "JWT" });
        let signed = format!("{}.{}", token::encode(header.to_string()), token::encode(claims.to_string()));
        let signature = token::encode(self.sign(signed.as_bytes(), random)?);
        Some(format!("{signed}.{signature}"))
    }

    #[cfg_attr(not(feature = "rsa_signing"), allow(unused_variables))]
    fn sign(&self, bytes: &[u8], random: &mut dyn FnMut() -> u64) -> Option<Vec<u8>> {
        // As a place and not by reference: without any algorithm there is no key, and nothing to match.
        match self.private {
            #[cfg(feature = "eddsa")]
            Private::Ed25519(ref key) => {
                use ed25519_dalek::Signer;
                Some(key.sign(bytes).to_bytes().to_vec())
            }
            // RFC 6979: what must be random is drawn from the key and the text.
            #[cfg(feature = "es256")]
            Private::P256(ref key) => {
                use p256::ecdsa::signature::Signer;
                let signature: p256::ecdsa::Signature = key.try_sign(bytes).ok()?;
                Some(signature.to_bytes().to_vec())
            }
            #[cfg(feature = "rsa_signing")]
            Private::Rsa(ref key) => {
                use sha2::{Digest, Sha256};
                let padding = rsa::Pkcs1v15Sign::new::<Sha256>();
                key.sign_with_rng(&mut Dice(random), padding, &Sha256::digest(bytes)).ok()
            }
        }
    }
}

/// The platform's dice, as RSA asks for them.
#[cfg(feature = "rsa_signing")]
struct Dice<'a>(&'a mut dyn FnMut() -> u64);

#[cfg(feature = "rsa_signing")]
impl rsa::rand_core::TryRng for Dice<'_> {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(self.0() as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(self.0())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.0().to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

#[cfg(feature = "rsa_signing")]
impl rsa::rand_core::TryCryptoRng for Dice<'_> {}

impl Parts {
    fn key(self) -> Result<(Algorithm, Map<String, Value>, Private), String> {
        match self {
            Parts::Ed25519(seed) => ed25519(&seed),
            Parts::P256(scalar) => p256(&scalar),
            Parts::Rsa(numbers) => rsa(&numbers),
        }
    }
}

type Made = Result<(Algorithm, Map<String, Value>, Private), String>;

#[cfg(feature = "eddsa")]
fn ed25519(seed: &[u8]) -> Made {
    let seed: &[u8; 32] = seed.try_into().map_err(|_| MALFORMED)?;
    let key = ed25519_dalek::SigningKey::from_bytes(seed);
    let x = token::encode(key.verifying_key().as_bytes());
    let public = json!({ "kty": "OKP", "crv": "Ed25519", "x": x });
    Ok((Algorithm::EdDsa, object(public), Private::Ed25519(Box::new(key))))
}

#[cfg(not(feature = "eddsa"))]
fn ed25519(_: &[u8]) -> Made {
    Err("this gateway was built without the feature eddsa".to_owned())
}

#[cfg(feature = "es256")]
fn p256(scalar: &[u8]) -> Made {
    let key = p256::ecdsa::SigningKey::from_slice(scalar).map_err(|_| MALFORMED)?;
    let point = key.verifying_key().to_sec1_point(false);
    let (Some(x), Some(y)) = (point.x(), point.y()) else { return Err(MALFORMED.to_owned()) };
    let public = json!({ "kty": "EC", "crv": "P-256", "x": token::encode(x), "y": token::encode(y) });
    Ok((Algorithm::Es256, object(public), Private::P256(Box::new(key))))
}

#[cfg(not(feature = "es256"))]
fn p256(_: &[u8]) -> Made {
    Err("this gateway was built without the feature es256".to_owned())
}

#[cfg(feature = "rsa_signing")]
fn rsa(numbers: &[Vec<u8>; 5]) -> Made {
    use rsa::BoxedUint;
    let number = |bytes: &[u8]| {
        let length = (bytes.len() as u32 * 8).next_multiple_of(64).max(64);
        BoxedUint::from_be_slice(bytes, length).map_err(|_| MALFORMED.to_owned())
    };
    let [n, e, d, p, q] = numbers;
    let bits = n.len() as u32 * 8 - n.first().map_or(0, |first| first.leading_zeros());
    if !(2048..=4096).contains(&bits) {
        return Err("its modulus has fewer than 2048 or more than 4096 bits".to_owned());
    }
    let key = rsa::PrivateKey::from_components(number(n)?, number(e)?, number(d)?, vec![number(p)?, number(q)?]);
    let key = key.map_err(|_| MALFORMED)?;
    let public = json!({ "kty": "RSA", "n": token::encode(n), "e": token::encode(e) });
    Ok((Algorithm::Rs256, object(public), Private::Rsa(Box::new(key))))
}

#[cfg(not(feature = "rsa_signing"))]
fn rsa(_: &[Vec<u8>; 5]) -> Made {
    Err("this gateway was built without the feature rsa_signing".to_owned())
}

const MALFORMED: &str = "it is no well-formed private key";
const KINDS: &str =
    "it is a key of a kind that does not sign here; Ed25519, P-256 and RSA do (`openssl genpkey -algorithm ed25519`)";

#[cfg(any(feature = "eddsa", feature = "es256", feature = "rsa_signing"))]
fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// RFC 7517, RFC 7518 §6, RFC 8037.
fn jwk(text: &str) -> Result<(Parts, Option<String>), String> {
    let jwk = json::object(text.as_bytes()).ok_or(MALFORMED)?;
    let member = |name: &str| jwk.get(name).and_then(Value::as_str);
    let bytes = |name: &str| {
        let missing = || if name == "d" { "it is a public key; the private one signs" } else { MALFORMED };
        token::decode(member(name).ok_or_else(missing)?).ok_or(MALFORMED)
    };
    let parts = match (member("kty"), member("crv")) {
        (Some("OKP"), Some("Ed25519")) => Parts::Ed25519(bytes("d")?),
        (Some("EC"), Some("P-256")) => Parts::P256(bytes("d")?),
        (Some("RSA"), None) => Parts::Rsa([bytes("n")?, bytes("e")?, bytes("d")?, bytes("p")?, bytes("q")?]),
        _ => return Err(KINDS.to_owned()),
    };
    Ok((parts, member("kid").map(str::to_owned)))
}

/// RFC 7468.
fn pem(text: &str) -> Result<Parts, String> {
    let (label, rest) = text
        .strip_prefix("-----BEGIN ")
        .and_then(|rest| rest.split_once("-----"))
        .ok_or("it is neither PEM nor a JWK")?;
    let body = rest.trim_end().strip_suffix(&format!("-----END {label}-----")).ok_or(MALFORMED)?;
    let base64: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let der = STANDARD.decode(base64).map_err(|_| MALFORMED)?;
    match label {
        "PRIVATE KEY" => pkcs8(&der),
        "EC PRIVATE KEY" => sec1(&der).map(Parts::P256).ok_or_else(|| MALFORMED.to_owned()),
        "RSA PRIVATE KEY" => pkcs1(&der).ok_or_else(|| MALFORMED.to_owned()),
        "ENCRYPTED PRIVATE KEY" => {
            Err("it is encrypted; the platform keeps secrets, so give it the plain one".to_owned())
        }
        label if label.ends_with("PUBLIC KEY") => Err("it is a public key; the private one signs".to_owned()),
        _ => Err(KINDS.to_owned()),
    }
}

const OCTETS: u8 = 0x04;

/// RFC 5958 §2.
fn pkcs8(der: &[u8]) -> Result<Parts, String> {
    let read = || {
        let mut outer = Reader(Reader(der).take(SEQUENCE)?);
        outer.take(INTEGER)?;
        let mut algorithm = Reader(outer.take(SEQUENCE)?);
        let identifier = algorithm.take(OBJECT_IDENTIFIER)?;
        Some((identifier, algorithm.0, outer.take(OCTETS)?))
    };
    let (identifier, parameters, key) = read().ok_or(MALFORMED)?;
    let parts = match (identifier, parameters) {
        (ED25519, []) => Reader(key).take(OCTETS).map(|seed| Parts::Ed25519(seed.to_vec())),
        (EC_PUBLIC_KEY, P256) => sec1(key).map(Parts::P256),
        (RSA_ENCRYPTION, _) => pkcs1(key),
        _ => return Err(KINDS.to_owned()),
    };
    parts.ok_or_else(|| MALFORMED.to_owned())
}

/// RFC 5915 §3. Which curve it is of stands elsewhere, or shows when the key is made.
fn sec1(der: &[u8]) -> Option<Vec<u8>> {
    let mut key = Reader(Reader(der).take(SEQUENCE)?);
    key.take(INTEGER)?;
    key.take(OCTETS).map(<[u8]>::to_vec)
}

/// RFC 8017 §A.1.2: version, modulus, exponents, primes.
fn pkcs1(der: &[u8]) -> Option<Parts> {
    let mut key = Reader(Reader(der).take(SEQUENCE)?);
    key.take(INTEGER)?;
    let mut number = || {
        let bytes = key.take(INTEGER)?;
        Some(bytes.strip_prefix(&[0]).unwrap_or(bytes).to_vec())
    };
    Some(Parts::Rsa([number()?, number()?, number()?, number()?, number()?]))
}

/// 1.2.840.113549.1.1.1
const RSA_ENCRYPTION: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01];
/// 1.2.840.10045.2.1
const EC_PUBLIC_KEY: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01];
/// The identifier 1.2.840.10045.3.1.7 with its tag and length
const P256: &[u8] = &[0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07];
/// 1.3.101.112
const ED25519: &[u8] = &[0x2B, 0x65, 0x70];

#[cfg(all(test, feature = "eddsa", feature = "es256", feature = "rsa_signing"))]
mod tests {
    use super::*;
    use crate::jwt::{KeySet, Purpose, Token};

    fn keys() -> [(&'static str, Algorithm); 4] {
        [
            (include_str!("../../tests/keys/ed25519.private.pem"), Algorithm::EdDsa),
            (include_str!("../../tests/keys/p256.private.pem"), Algorithm::Es256),
            (include_str!("../../tests/keys/rsa.private.pem"), Algorithm::Rs256),
            (include_str!("../../tests/keys/caller.private.pem"), Algorithm::Es256),
        ]
    }

    #[test]
    fn what_is_signed_is_right_by_the_published_half() {
        for (pem, algorithm) in keys() {
            let key = SigningKey::read(pem, None).expect("a key");
            assert_eq!(key.algorithm, algorithm);
            let mut seed = 7;
            let mut random = || {
                seed += 1;
                seed
            };
            let text = key.token(&json!({ "sub": "alice" }), &mut random).expect("a token");
            let published = json!({ "keys": [key.public()] }).to_string();
            let set = KeySet::published(published.as_bytes(), &[]).expect("a set of keys");
            let token = Token::read(&text, Purpose::Token).expect("a token");
            assert_eq!(token.header.key_id.as_deref(), Some(key.id.as_str()));
            set.verify(&token).expect("a right signature");
            assert_eq!(token.claims().expect("claims")["sub"], "alice");
            for part in ["d", "p", "q", "dp", "dq", "qi"] {
                assert!(!key.public().contains_key(part), "{part}");
            }
        }
    }

    #[test]
    fn keys_are_read_as_people_have_them() {
        let pem = include_str!("../../tests/keys/ed25519.private.pem");
        let one_line = pem.trim().replace('\n', "\\n");
        let key = SigningKey::read(&one_line, Some("mine".to_owned())).expect("a key");
        assert_eq!(key.id, "mine");
        let jwk = r#"{"kty":"OKP","crv":"Ed25519","kid":"theirs","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
        let key = SigningKey::read(jwk, None).expect("a key");
        // RFC 8037, Appendix A.
        assert_eq!(key.public()["x"], "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        assert_eq!(key.id, "theirs");
    }

    #[test]
    fn what_does_not_sign_says_why_and_nothing_of_the_key() {
        for (text, why) in [
            (include_str!("../../tests/keys/p256.public.pem"), "public"),
            (include_str!("../../tests/keys/p384.private.pem"), "kind"),
            (include_str!("../../tests/keys/certificate.pem"), "kind"),
            ("0123456789abcdef", "neither PEM nor a JWK"),
            ("-----BEGIN PRIVATE KEY-----\nMIGH\n-----END PRIVATE KEY-----", "well-formed"),
            (r#"{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#, "public"),
            (r#"{"kty":"oct","k":"AA"}"#, "kind"),
            (r#"{"kty":"OKP","crv":"Ed25519","d":"AA"}"#, "well-formed"),
            ("", "neither"),
        ] {
            let told = SigningKey::read(text, None).expect_err("no key");
            assert!(told.contains(why), "{told}");
            assert!(!told.contains("0123456789abcdef"));
        }
    }
}
