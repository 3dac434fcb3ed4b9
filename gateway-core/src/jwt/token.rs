//! A signed token in its compact form (RFC 7515 §7.1), read strictly: what two readers could understand differently is
//! not read at all.

use super::algorithm::Algorithm;
use super::json;
use super::refusal::Refusal;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

/// The longest token that is read, in bytes. What a header field can hold at most is usually less.
pub const LONGEST: usize = 16 << 10;

/// A token that has been read. Its payload is nobody's word until [`Token::payload`] is asked for with a right signature.
#[derive(Debug)]
pub struct Token<'a> {
    /// What it says of its signature.
    pub header: Header,
    signed: &'a str,
    payload: &'a str,
    signature: Vec<u8>,
}

/// What a token says of its signature.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// `alg`
    pub algorithm: Algorithm,
    /// `kid`
    pub key_id: Option<String>,
    /// `typ`, in lower case and without `application/` (RFC 7515 §4.1.9).
    pub kind: Option<String>,
    /// `jwk`, which only proofs may bring.
    pub key: Option<Map<String, Value>>,
}

/// What a reader expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A token, verified with keys that the gateway has.
    Token,
    /// A proof of possession (RFC 9449 §4.2), which brings its key.
    Proof,
}

impl<'a> Token<'a> {
    /// Reads the three parts and the header.
    pub fn read(text: &'a str, purpose: Purpose) -> Result<Self, Refusal> {
        if text.len() > LONGEST {
            return Err(Refusal::TooLong);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(Refusal::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(Refusal::Malformed)?;
        let header = decode(header).and_then(|header| json::object(&header)).ok_or(Refusal::Malformed)?;
        let header = Header::read(header, purpose)?;
        // A dot in the payload: four parts or five.
        if payload.contains('.') {
            return Err(Refusal::Malformed);
        }
        let signature = decode(signature).filter(|bytes| !bytes.is_empty()).ok_or(Refusal::Malformed)?;
        Ok(Self { header, signed, payload, signature })
    }

    /// What is signed: the first two parts, as they were sent.
    pub fn signed(&self) -> &'a [u8] {
        self.signed.as_bytes()
    }

    /// The signature.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// The payload's bytes.
    pub fn payload(&self) -> Result<Vec<u8>, Refusal> {
        decode(self.payload).ok_or(Refusal::Malformed)
    }

    /// The claims, which the caller has verified or is about to.
    pub fn claims(&self) -> Result<Map<String, Value>, Refusal> {
        json::object(&self.payload()?).ok_or(Refusal::Claims)
    }

    /// The issuer that the claims name, unverified: only to choose which keys to verify with.
    pub fn claimed_issuer(&self) -> Option<String> {
        match self.claims().ok()?.remove("iss") {
            Some(Value::String(issuer)) => Some(issuer),
            _ => None,
        }
    }
}

impl Header {
    fn read(mut members: Map<String, Value>, purpose: Purpose) -> Result<Self, Refusal> {
        // RFC 7515 §4.1.11: who does not know an extension must refuse; none is known here, and an unencoded payload
        // (RFC 7797) is one of them. Where a token's key is, the configuration says: what the token says of that is ignored
        // (§4), as is everything that nobody here understands.
        let foreign: &[&str] = match purpose {
            Purpose::Token => &["crit", "b64"],
            Purpose::Proof => &["jku", "x5u", "x5c", "crit", "b64"],
        };
        let mut text = |name: &str| match members.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Refusal::Malformed),
        };
        let algorithm = text("alg")?.ok_or(Refusal::Malformed)?;
        let (key_id, kind) = (text("kid")?, text("typ")?);
        if foreign.iter().any(|name| members.contains_key(*name)) {
            return Err(Refusal::Header);
        }
        let algorithm = Algorithm::named(&algorithm).ok_or(Refusal::Algorithm)?;
        let key = match (purpose, members.remove("jwk")) {
            (Purpose::Token, _) | (Purpose::Proof, None) => None,
            (Purpose::Proof, Some(Value::Object(key))) => Some(key),
            (Purpose::Proof, Some(_)) => return Err(Refusal::Malformed),
        };
        Ok(Self { algorithm, key_id, kind: kind.as_deref().map(media_type), key })
    }
}

/// A `typ` as it is compared: RFC 7515 §4.1.9 lets `application/` be left out, and case makes no difference.
pub fn media_type(kind: &str) -> String {
    let lower = kind.to_ascii_lowercase();
    match lower.strip_prefix("application/") {
        Some(rest) if !rest.contains('/') => rest.to_owned(),
        Some(_) | None => lower,
    }
}

/// Base64url without padding and with no bit left over, as RFC 7515 §2 writes it: one text for each value.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// The opposite of [`decode`].
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(header: &str) -> String {
        format!("{}.{}.{}", encode(header), encode(r#"{"iss":"i"}"#), encode([1; 32]))
    }

    #[test]
    fn headers_that_are_taken_and_refused() {
        for (header, expected) in [
            (r#"{"alg":"HS256"}"#, Ok((None, None))),
            (r#"{"alg":"HS256","kid":"a","typ":"JWT"}"#, Ok((Some("a"), Some("jwt")))),
            (r#"{"alg":"EdDSA","typ":"application/AT+jwt","x5t":"x","cty":"json"}"#, Ok((None, Some("at+jwt")))),
            (r#"{"alg":"none"}"#, Err(Refusal::Algorithm)),
            (r#"{"alg":"NoNe"}"#, Err(Refusal::Algorithm)),
            (r#"{"alg":""}"#, Err(Refusal::Algorithm)),
            (r#"{"alg":null}"#, Err(Refusal::Malformed)),
            (r#"{"alg":["HS256"]}"#, Err(Refusal::Malformed)),
            (r#"{}"#, Err(Refusal::Malformed)),
            (r#"{"alg":"HS256","alg":"HS256"}"#, Err(Refusal::Malformed)),
            (r#"{"alg":"HS256","kid":1}"#, Err(Refusal::Malformed)),
            (r#"{"alg":"HS256","jku":"https://evil.example"}"#, Ok((None, None))),
            (r#"{"alg":"HS256","x5u":"https://evil.example"}"#, Ok((None, None))),
            (r#"{"alg":"HS256","x5c":[]}"#, Ok((None, None))),
            (r#"{"alg":"HS256","jwk":{}}"#, Ok((None, None))),
            (r#"{"alg":"HS256","jwk":1,"unknown":{}}"#, Ok((None, None))),
            (r#"{"alg":"HS256","crit":["exp"],"exp":1}"#, Err(Refusal::Header)),
            (r#"{"alg":"HS256","crit":[]}"#, Err(Refusal::Header)),
            (r#"{"alg":"HS256","b64":false}"#, Err(Refusal::Header)),
        ] {
            let text = token(header);
            let read = Token::read(&text, Purpose::Token).map(|token| (token.header.key_id, token.header.kind));
            assert!(Token::read(&text, Purpose::Token).is_ok_and(|token| token.header.key.is_none()) == read.is_ok());
            let expected = expected.map(|(id, kind)| (id.map(str::to_owned), kind.map(str::to_owned)));
            assert_eq!(read, expected, "{header}");
        }
    }

    #[test]
    fn there_is_one_spelling_of_a_token() {
        let good = token(r#"{"alg":"HS256"}"#);
        assert!(Token::read(&good, Purpose::Token).is_ok_and(|token| token.claimed_issuer().as_deref() == Some("i")));
        let (signed, _) = good.rsplit_once('.').expect("three parts");
        for wrong in [
            String::new(),
            "..".to_owned(),
            "a.b.c".to_owned(),
            signed.to_owned(),
            format!("{signed}."),
            format!("{good}."),
            format!("{good}.{}", encode("x")),
            format!(".{good}"),
            format!("{good}="),
            format!("{good}\n"),
            format!(" {good}"),
            // The last letter has bits left over, and these are not zero.
            format!("{}B", &good[..good.len() - 1]),
            good.replace('.', "+"),
            format!("{}.{}.{}", encode(r#"{"alg":"HS256"}"#), "", encode([1; 32])),
            "x".repeat(LONGEST + 1),
        ] {
            let read = Token::read(&wrong, Purpose::Token).and_then(|token| token.claims());
            assert!(read.is_err(), "{wrong}");
        }
    }
}
