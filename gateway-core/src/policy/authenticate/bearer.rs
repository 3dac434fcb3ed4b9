//! Where a request carries its token, and what becomes of it: for every method that takes tokens (RFC 6750).

use super::api_key::{Place, strip_cookie, without_parameter};
use crate::caller;
use crate::http::Headers;
use crate::jwt::Refusal;
use crate::request::Line;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Where tokens stand, and what of them goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bearer {
    /// The places, all of which are looked at. The header `authorization` takes the schemes `Bearer` and `DPoP`.
    pub places: Vec<Place>,
    /// Whether the upstream gets to see the token.
    #[serde(default)]
    pub keep: bool,
    /// What the token is for, as the challenge tells.
    pub realm: String,
    /// Header fields that tell the upstream what the token says: the field's name, and the claim's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
}

/// A token as it was sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Sent {
    /// The token.
    pub token: String,
    /// How it was sent.
    pub scheme: Scheme,
}

/// How a token is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Whoever has it may use it.
    Bearer,
    /// With a proof of possession (RFC 9449).
    Dpop,
}

/// What is wrong when two tokens come at once.
pub const SEVERAL: &str = "The request holds several tokens.";

impl Bearer {
    /// The token of a request. Two of them are none: nobody can say which was meant.
    pub fn find(&self, line: &Line, headers: &Headers) -> Result<Option<Sent>, &'static str> {
        let mut found: Option<Sent> = None;
        for place in &self.places {
            for sent in sent(place, line, headers) {
                if found.as_ref().is_some_and(|found| *found != sent) {
                    return Err(SEVERAL);
                }
                found = Some(sent);
            }
        }
        Ok(found)
    }

    /// Takes the token out of what goes on, and every field that a claim is to fill, whatever the client put there.
    pub fn strip(&self, headers: &mut Headers, query: &mut Option<String>) {
        self.headers.iter().for_each(|(name, _)| headers.remove_alike(name));
        if self.keep {
            return;
        }
        headers.remove("dpop");
        for place in &self.places {
            match place {
                Place::Header(name) if name == "authorization" => {
                    if headers.all(name).any(|value| credential(value).is_some()) {
                        headers.remove(name);
                    }
                }
                Place::Header(name) => headers.remove(name),
                Place::Query(name) => {
                    *query = query.take().and_then(|query| without_parameter(&query, name));
                }
                Place::Cookie(name) => strip_cookie(headers, name),
            }
        }
    }

    /// Tells the upstream what the token says. What it does not say stays away.
    pub fn hand_on(&self, headers: &mut Headers, claims: &Map<String, Value>) {
        hand_on(&self.headers, headers, claims);
    }

    /// The challenge (RFC 6750 §3).
    pub fn challenge(&self, scheme: &str, wrong: Option<&str>) -> String {
        // RFC 6750 §3: one parameter at least.
        let mut challenge = format!("{scheme} realm=\"{}\"", self.realm);
        if let Some(wrong) = wrong {
            let error = match wrong {
                SEVERAL => "invalid_request",
                wrong if wrong == Refusal::Proof.reason() => "invalid_dpop_proof",
                _ => "invalid_token",
            };
            challenge.push_str(&format!(", error=\"{error}\", error_description=\"{}\"", wrong.replace('"', "'")));
        }
        challenge
    }
}

/// Fills fields with claims: the field's name, and the claim's.
pub fn hand_on(fields: &[(String, String)], headers: &mut Headers, claims: &Map<String, Value>) {
    for (name, claim) in fields {
        if let Some(text) = caller::claim(claims, claim).and_then(text) {
            headers.set(name, text);
        }
    }
}

fn sent(place: &Place, line: &Line, headers: &Headers) -> Vec<Sent> {
    let bare = |token: String| Sent { token, scheme: Scheme::Bearer };
    match place {
        Place::Header(name) if name == "authorization" => headers.all(name).filter_map(credential).collect(),
        Place::Header(name) => {
            let values = headers.all(name).map(String::from_utf8_lossy);
            let tokens = values.map(|value| match value.split_once(' ') {
                Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim().to_owned(),
                Some(_) | None => value.trim().to_owned(),
            });
            tokens.filter(|token| !token.is_empty()).map(bare).collect()
        }
        Place::Query(name) => {
            let values = crate::http::parameters(line.query.as_deref().unwrap_or_default(), name);
            values.filter(|token| !token.is_empty()).map(|token| bare(token.into_owned())).collect()
        }
        Place::Cookie(name) => {
            crate::http::cookies(headers, name).into_iter().filter(|token| !token.is_empty()).map(bare).collect()
        }
    }
}

/// The token of an `Authorization` field. A field with another scheme is another method's.
fn credential(value: &[u8]) -> Option<Sent> {
    let value = String::from_utf8_lossy(value);
    let (scheme, token) = crate::http::credentials(&value);
    let scheme = match scheme {
        scheme if scheme.eq_ignore_ascii_case("bearer") => Scheme::Bearer,
        scheme if scheme.eq_ignore_ascii_case("dpop") => Scheme::Dpop,
        _ => return None,
    };
    Some(Sent { token: token.to_owned(), scheme })
}

/// A claim as a header's value. The items of a list have commas between; one that holds a comma itself would look like
/// two, so it is left out.
fn text(value: &Value) -> Option<String> {
    let clean = |text: &str| text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    match value {
        Value::Null => None,
        Value::String(text) => Some(clean(text)),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Array(items) if !items.iter().any(|item| item.is_object() || item.is_array()) => {
            let items = items.iter().filter_map(text).filter(|item| !item.contains(','));
            Some(items.collect::<Vec<_>>().join(","))
        }
        // JSON writes control characters as escapes.
        Value::Array(_) | Value::Object(_) => Some(value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Scheme as HttpScheme;
    use serde_json::json;

    fn line(query: Option<&str>) -> Line {
        Line {
            method: "GET".into(),
            scheme: HttpScheme::Https,
            authority: "a".into(),
            host: "a".into(),
            path: "/".into(),
            query: query.map(str::to_owned),
        }
    }

    fn bearer(places: &[Place]) -> Bearer {
        let headers = vec![("x-user".to_owned(), "sub".to_owned()), ("x-tenant".to_owned(), "org.id".to_owned())];
        Bearer { places: places.to_vec(), keep: false, realm: "api".into(), headers }
    }

    #[test]
    fn a_token_is_found_where_it_may_stand() {
        let all = [
            Place::Header("authorization".into()),
            Place::Header("x-token".into()),
            Place::Query("access_token".into()),
            Place::Cookie("token".into()),
        ];
        for (query, block, expected) in [
            (None, "authorization\0Bearer t\n", Ok(Some(("t", Scheme::Bearer)))),
            (None, "authorization\0bEARER  t\n", Ok(Some(("t", Scheme::Bearer)))),
            (None, "authorization\0DPoP t\n", Ok(Some(("t", Scheme::Dpop)))),
            (None, "authorization\0Basic t\n", Ok(None)),
            (None, "authorization\0Bearer\n", Ok(Some(("", Scheme::Bearer)))),
            (None, "authorization\0Bearer\tt\n", Ok(Some(("\tt", Scheme::Bearer)))),
            (None, "authorization\0Bearer,t\n", Ok(Some((",t", Scheme::Bearer)))),
            (None, "authorization\0 bearer  t \n", Ok(Some(("t", Scheme::Bearer)))),
            (None, "authorization\0Bearers t\n", Ok(None)),
            (None, "authorization\0Bearer t u\n", Ok(Some(("t u", Scheme::Bearer)))),
            (None, "x-token\0t\n", Ok(Some(("t", Scheme::Bearer)))),
            (None, "x-token\0Bearer t\n", Ok(Some(("t", Scheme::Bearer)))),
            (None, "x-token\0\n", Ok(None)),
            (Some("access_token=t"), "", Ok(Some(("t", Scheme::Bearer)))),
            (None, "cookie\0a=b; token=t\n", Ok(Some(("t", Scheme::Bearer)))),
            (Some("access_token=t"), "authorization\0Bearer t\n", Ok(Some(("t", Scheme::Bearer)))),
            (Some("access_token=u"), "authorization\0Bearer t\n", Err(SEVERAL)),
            (None, "authorization\0Bearer t\nauthorization\0Bearer u\n", Err(SEVERAL)),
            (None, "authorization\0Bearer t\nauthorization\0DPoP t\n", Err(SEVERAL)),
        ] {
            let headers = Headers::from_block(block.as_bytes().to_vec());
            let found = bearer(&all).find(&line(query), &headers);
            let expected = expected.map(|sent| sent.map(|(token, scheme)| Sent { token: token.into(), scheme }));
            assert!(found == expected, "{query:?} {block}");
        }
        let headers = Headers::from_block(b"authorization\0Bearer \xff\n".to_vec());
        assert!(bearer(&all).find(&line(None), &headers).is_ok_and(|sent| sent.is_some()), "a wrong one, not none");
        let headers = Headers::from_block(b"x-token\0t\n".to_vec());
        assert!(bearer(&all[..1]).find(&line(None), &headers) == Ok(None), "nowhere else");
    }

    #[test]
    fn clients_cannot_fill_the_fields_that_claims_fill() {
        let block =
            b"authorization\0Bearer t\nx-user\0root\nX_User\0root\nX-USER\0root\nx-tenant\x001\nx-other\0y\ndpop\0p\n";
        let mut headers = Headers::from_block(block.to_vec());
        let mut query = Some("access_token=t".to_owned());
        let bearer = bearer(&[Place::Header("authorization".into()), Place::Query("access_token".into())]);
        bearer.strip(&mut headers, &mut query);
        let left: Vec<_> = headers.iter().map(|(name, _)| name.to_owned()).collect();
        assert_eq!((left, query), (vec!["x-other".to_owned()], None));
        let Value::Object(claims) = json!({"sub": "alice"}) else { return };
        bearer.hand_on(&mut headers, &claims);
        assert_eq!((headers.text("x-user"), headers.text("x-tenant")), (Some("alice"), None));
        // Another method's credential is not this one's to take.
        let mut headers = Headers::from_block(b"authorization\0Basic YTpi\n".to_vec());
        bearer.strip(&mut headers, &mut None);
        assert!(headers.contains("authorization"));
    }

    #[test]
    fn claims_become_values_that_nobody_reads_differently() {
        for (value, expected) in [
            (json!("a"), Some("a")),
            (json!("a\r\nx-admin: 1"), Some("a  x-admin: 1")),
            (json!(7), Some("7")),
            (json!(true), Some("true")),
            (json!(null), None),
            (json!(["a", "b,admin", "c"]), Some("a,c")),
            (json!([]), Some("")),
            (json!({"a": "\n"}), Some(r#"{"a":"\n"}"#)),
            (json!([{"a": 1}]), Some(r#"[{"a":1}]"#)),
        ] {
            assert_eq!(text(&value).as_deref(), expected, "{value}");
        }
        let Value::Object(claims) = json!({"org": {"id": 1}, "https://x.example/y": 2}) else { return };
        assert_eq!(caller::claim(&claims, "org.id"), Some(&json!(1)));
        assert_eq!(caller::claim(&claims, "https://x.example/y"), Some(&json!(2)));
        assert_eq!(caller::claim(&claims, "org.name"), None);
    }

    #[test]
    fn challenges() {
        let bearer = bearer(&[]);
        assert_eq!(bearer.challenge("Bearer", None), "Bearer realm=\"api\"");
        assert_eq!(
            bearer.challenge("Bearer", Some("The token has expired.")),
            "Bearer realm=\"api\", error=\"invalid_token\", error_description=\"The token has expired.\""
        );
        let proof = bearer.challenge("DPoP", Some(Refusal::Proof.reason()));
        assert!(proof.contains("error=\"invalid_dpop_proof\""), "{proof}");
    }
}
