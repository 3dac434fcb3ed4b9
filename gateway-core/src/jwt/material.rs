//! The arithmetic, behind one question: is this signature right? Every kind of key but the shared secret sits behind a
//! cargo feature of its own; `docs/decisions/0010-signatures.md` says what each costs and whose code it is.

use super::algorithm::Algorithm;
use super::der::PublicKey;
use super::key::BadKey;
use jwt_compact::AlgorithmSignature;
use jwt_compact::alg::{Hs256, Hs256Key, Hs384, Hs384Key, Hs512, Hs512Key};

/// What a key is made of.
pub(super) enum Material {
    /// One secret, prepared for each hash.
    Secret(Box<(Hs256Key, Hs384Key, Hs512Key)>),
    /// A modulus and an exponent.
    #[cfg(feature = "rsa")]
    Rsa(Box<rsa::PublicKey>),
    /// A point on P-256.
    #[cfg(feature = "es256")]
    P256(Box<p256::ecdsa::VerifyingKey>),
    /// A point on P-384.
    #[cfg(feature = "es384")]
    P384(Box<p384::ecdsa::VerifyingKey>),
    /// A point on Ed25519.
    #[cfg(feature = "eddsa")]
    Ed25519(Box<ed25519_dalek::VerifyingKey>),
}

impl Material {
    /// A shared secret.
    pub fn secret(secret: &[u8]) -> Self {
        Material::Secret(Box::new((Hs256Key::new(secret), Hs384Key::new(secret), Hs512Key::new(secret))))
    }

    /// A public key, checked: on its curve, of a length that is neither weak nor costs too much.
    pub fn public(key: PublicKey) -> Result<Self, BadKey> {
        match key {
            PublicKey::Rsa(modulus, exponent) => rsa_key(&modulus, &exponent),
            #[cfg(feature = "es256")]
            PublicKey::P256(point) => p256::ecdsa::VerifyingKey::from_sec1_bytes(&point)
                .map(|key| Material::P256(Box::new(key)))
                .map_err(|_| BadKey::Malformed("x, y")),
            #[cfg(not(feature = "es256"))]
            PublicKey::P256(_) => Err(BadKey::Feature("es256")),
            #[cfg(feature = "es384")]
            PublicKey::P384(point) => p384::ecdsa::VerifyingKey::from_sec1_bytes(&point)
                .map(|key| Material::P384(Box::new(key)))
                .map_err(|_| BadKey::Malformed("x, y")),
            #[cfg(not(feature = "es384"))]
            PublicKey::P384(_) => Err(BadKey::Feature("es384")),
            #[cfg(feature = "eddsa")]
            PublicKey::Ed25519(point) => {
                let point: [u8; 32] = point.as_slice().try_into().map_err(|_| BadKey::Malformed("x"))?;
                match ed25519_dalek::VerifyingKey::from_bytes(&point) {
                    Ok(key) if key.is_weak() => Err(BadKey::Weak("a point of small order signs everything")),
                    Ok(key) => Ok(Material::Ed25519(Box::new(key))),
                    Err(_) => Err(BadKey::Malformed("x")),
                }
            }
            #[cfg(not(feature = "eddsa"))]
            PublicKey::Ed25519(_) => Err(BadKey::Feature("eddsa")),
        }
    }

    /// Whether the signature is right. An algorithm of another kind of key never is.
    pub fn verify(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
        match (self, algorithm) {
            // `verify_signature` compares in constant time.
            (Material::Secret(keys), Algorithm::Hs256) => hmac(&Hs256, &keys.0, signed, signature, 32),
            (Material::Secret(keys), Algorithm::Hs384) => hmac(&Hs384, &keys.1, signed, signature, 48),
            (Material::Secret(keys), Algorithm::Hs512) => hmac(&Hs512, &keys.2, signed, signature, 64),
            #[cfg(feature = "rsa")]
            (Material::Rsa(key), algorithm) => rsa_verify(key, algorithm, signed, signature),
            #[cfg(feature = "es256")]
            (Material::P256(key), Algorithm::Es256) => {
                use p256::ecdsa::signature::Verifier;
                p256::ecdsa::Signature::from_slice(signature)
                    .is_ok_and(|signature| key.verify(signed, &signature).is_ok())
            }
            #[cfg(feature = "es384")]
            (Material::P384(key), Algorithm::Es384) => {
                use p384::ecdsa::signature::Verifier;
                p384::ecdsa::Signature::from_slice(signature)
                    .is_ok_and(|signature| key.verify(signed, &signature).is_ok())
            }
            #[cfg(feature = "eddsa")]
            (Material::Ed25519(key), Algorithm::EdDsa) => ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(signed, &signature).is_ok()),
            _ => false,
        }
    }
}

fn hmac<A: jwt_compact::Algorithm>(
    algorithm: &A,
    key: &A::VerifyingKey,
    signed: &[u8],
    signature: &[u8],
    length: usize,
) -> bool {
    // The library takes the length for granted, so a shorter one must not reach it.
    signature.len() == length
        && A::Signature::try_from_slice(signature)
            .is_ok_and(|signature| algorithm.verify_signature(&signature, key, signed))
}

#[cfg(not(feature = "rsa"))]
fn rsa_key(_: &[u8], _: &[u8]) -> Result<Material, BadKey> {
    Err(BadKey::Feature("rsa"))
}

#[cfg(feature = "rsa")]
fn rsa_key(modulus: &[u8], exponent: &[u8]) -> Result<Material, BadKey> {
    use rsa::BoxedUint;
    let bits = modulus.len() as u32 * 8 - modulus.first().map_or(0, |first| first.leading_zeros());
    if bits < 2048 {
        return Err(BadKey::Weak("a modulus has at least 2048 bits (RFC 7518 §3.3)"));
    }
    // What one request may cost is bounded.
    if bits > 4096 {
        return Err(BadKey::Weak("a modulus has at most 4096 bits here"));
    }
    if is_roca(modulus) {
        return Err(BadKey::Weak("its modulus was made by a chip with a known weakness (CVE-2017-15361)"));
    }
    // 65537 in all practice; 1 verifies everything, and a long one costs time.
    let small = exponent.iter().take(5).fold(0, |all, b| all << 8 | u64::from(*b));
    if exponent.len() > 4 || small < 3 || small % 2 == 0 {
        return Err(BadKey::Weak("its exponent is even, too small or too large"));
    }
    let length = (modulus.len() as u32 * 8).next_multiple_of(64);
    let modulus = BoxedUint::from_be_slice(modulus, length).map_err(|_| BadKey::Malformed("n"))?;
    rsa::PublicKey::new(modulus, BoxedUint::from(small))
        .map(|key| Material::Rsa(Box::new(key)))
        .map_err(|_| BadKey::Malformed("n, e"))
}

#[cfg(feature = "rsa")]
fn rsa_verify(key: &rsa::PublicKey, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
    use rsa::traits::{PublicKeyParts, SignatureScheme};
    use rsa::{Pkcs1v15Sign, Pss};
    use sha2::{Digest, Sha256, Sha384, Sha512};
    // RFC 8017 §8.2.2: a signature has as many bytes as the modulus.
    if signature.len() != key.size() {
        return false;
    }
    fn check(key: &rsa::PublicKey, scheme: impl SignatureScheme, hashed: &[u8], signature: &[u8]) -> bool {
        key.verify(scheme, hashed, signature).is_ok()
    }
    match algorithm {
        Algorithm::Rs256 => check(key, Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(signed), signature),
        Algorithm::Rs384 => check(key, Pkcs1v15Sign::new::<Sha384>(), &Sha384::digest(signed), signature),
        Algorithm::Rs512 => check(key, Pkcs1v15Sign::new::<Sha512>(), &Sha512::digest(signed), signature),
        // RFC 7518 §3.5: the salt is as long as the hash.
        Algorithm::Ps256 => check(key, Pss::<Sha256>::new_with_salt(32), &Sha256::digest(signed), signature),
        Algorithm::Ps384 => check(key, Pss::<Sha384>::new_with_salt(48), &Sha384::digest(signed), signature),
        Algorithm::Ps512 => check(key, Pss::<Sha512>::new_with_salt(64), &Sha512::digest(signed), signature),
        _ => false,
    }
}

/// Whether a modulus is of the form that the flawed chips made: modulo every small prime, a power of 65537 (Nemec et al.,
/// "The Return of Coppersmith's Attack", §3). Of random ones, 1 in 2^28 looks like that.
#[cfg(feature = "rsa")]
fn is_roca(modulus: &[u8]) -> bool {
    const PRIMES: [u32; 38] = [
        3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107,
        109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
    ];
    PRIMES.iter().all(|prime| {
        let rest = modulus.iter().fold(0, |rest, b| (rest << 8 | u32::from(*b)) % prime);
        let mut power = 1;
        (0..*prime).any(|_| {
            power = power * (65537 % prime) % prime;
            power == rest
        })
    })
}
