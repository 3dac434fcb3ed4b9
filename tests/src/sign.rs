//! Times and signatures of a step, by code that is not the gateway's.

use crate::scenario::Sign;
use gateway_core::jwt::token::encode;
use jsonwebtoken::{Algorithm, EncodingKey};
use regex_lite::{Captures, Regex};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds since the Unix epoch.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The text with `<now>` and `<date>`, and `<now-60>` and the like, filled in: as a number of seconds, and as HTTP writes dates.
pub fn times(text: &str, now: u64) -> String {
    let place = Regex::new("<(now|date)([+-][0-9]+)?>").expect("a regular expression");
    let fill = |found: &Captures<'_>| {
        let away: i64 = found.get(2).and_then(|away| away.as_str().parse().ok()).unwrap_or_default();
        let moment = now.saturating_add_signed(away);
        match &found[1] {
            "now" => moment.to_string(),
            _ => httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(moment)),
        }
    };
    place.replace_all(text, fill).into_owned()
}

/// The signature in Base64, or a token with its claims.
pub fn sign(written: &Sign) -> Result<String, String> {
    let wrong = |why: String| format!("the signature by {}: {why}", written.key);
    let algorithm: Algorithm = written.with.parse().map_err(|_| wrong(format!("there is no `{}`", written.with)))?;
    let key = if written.key.ends_with(".pem") {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../gateway-core/tests/keys").join(&written.key);
        let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
        match algorithm {
            Algorithm::ES256 | Algorithm::ES384 => EncodingKey::from_ec_pem(&pem),
            Algorithm::EdDSA => EncodingKey::from_ed_pem(&pem),
            _ => EncodingKey::from_rsa_pem(&pem),
        }
        .map_err(|error| wrong(error.to_string()))?
    } else {
        EncodingKey::from_secret(written.key.as_bytes())
    };
    let sign = |text: &str| {
        jsonwebtoken::crypto::sign(text.as_bytes(), &key, algorithm).map_err(|error| wrong(error.to_string()))
    };
    if let Some(claims) = &written.claims {
        let header = format!(r#"{{"alg":"{}","typ":"JWT"}}"#, written.with);
        let signed = format!("{}.{}", encode(header), encode(claims));
        return Ok(format!("{signed}.{}", sign(&signed)?));
    }
    let signature = sign(&written.text)?;
    // Of the URL's alphabet, without padding.
    let padding = "=".repeat((4 - signature.len() % 4) % 4);
    Ok(signature.replace('-', "+").replace('_', "/") + &padding)
}
