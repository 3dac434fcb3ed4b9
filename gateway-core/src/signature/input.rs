//! The fields `Signature-Input` and `Signature` (RFC 9421 §4), and the signature base (§2.5) of what they say.

use super::component::Component;
use super::{Message, Refusal};
use crate::http::Headers;
use sfv::{BareItem, Dictionary, FieldType, InnerList, ListEntry, Parser};

/// One signature of a request, as it claims to be.
#[derive(Clone, PartialEq, Eq)]
pub struct Signed {
    /// What it covers, in its order.
    pub components: Vec<Component>,
    /// When it was made, in seconds since the Unix epoch.
    pub created: Option<i64>,
    /// Until when it counts, in seconds since the Unix epoch.
    pub expires: Option<i64>,
    /// What makes it different from every other.
    pub nonce: Option<String>,
    /// How it was made.
    pub algorithm: Option<String>,
    /// By which key.
    pub key: Option<String>,
    /// What for.
    pub tag: Option<String>,
    /// `@signature-params`: components and parameters in the strict spelling.
    parameters: String,
    /// The signature itself.
    pub signature: Vec<u8>,
}

/// The signatures of a request that have this label and this tag, where one is asked for. None: the request is not
/// signed, or not for us.
pub fn read(headers: &Headers, label: Option<&str>, tag: Option<&str>) -> Result<Vec<Signed>, Refusal> {
    let (inputs, signatures) = (dictionary(headers, "signature-input")?, dictionary(headers, "signature")?);
    let mut found = Vec::new();
    for (name, input) in &inputs {
        if label.is_some_and(|label| label != name.as_str()) {
            continue;
        }
        let ListEntry::InnerList(input) = input else { return Err(Refusal::Malformed) };
        let said = input.params.get("tag").and_then(|tag| tag.as_string()).map(|tag| tag.as_str());
        if tag.is_some() && tag != said {
            continue;
        }
        if found.len() == MOST_SIGNATURES {
            return Err(Refusal::TooMany);
        }
        // §3.2: what stands in one of the two fields stands in the other.
        let signature = match signatures.get(name) {
            Some(ListEntry::Item(item)) => item.bare_item.as_byte_sequence(),
            Some(ListEntry::InnerList(_)) | None => None,
        };
        found.push(Signed::new(input, signature.ok_or(Refusal::Malformed)?)?);
    }
    if inputs.is_empty() && !signatures.is_empty() { Err(Refusal::Malformed) } else { Ok(found) }
}

/// How many signatures of one request are looked at.
pub const MOST_SIGNATURES: usize = 4;
/// How many components one of them covers at most.
pub const MOST_COMPONENTS: usize = 64;

fn dictionary(headers: &Headers, name: &str) -> Result<Dictionary, Refusal> {
    let lines: Vec<_> = headers.all(name).collect();
    Parser::new(&lines.join(&b", "[..])).parse().map_err(|_| Refusal::Malformed)
}

impl Signed {
    fn new(input: &InnerList, signature: &[u8]) -> Result<Self, Refusal> {
        if input.items.len() > MOST_COMPONENTS {
            return Err(Refusal::TooMany);
        }
        let mut components: Vec<Component> = Vec::with_capacity(input.items.len());
        for item in &input.items {
            let component = Component::from_item(item)?;
            // §2: each only once, whatever the order of its parameters.
            if components.iter().any(|other| other.name == component.name) {
                return Err(Refusal::Malformed);
            }
            components.push(component);
        }
        let mut signed = Self {
            components,
            created: None,
            expires: None,
            nonce: None,
            algorithm: None,
            key: None,
            tag: None,
            parameters: vec![ListEntry::InnerList(input.clone())].serialize().ok_or(Refusal::Malformed)?,
            signature: signature.to_vec(),
        };
        for (key, value) in &input.params {
            match key.as_str() {
                "created" => signed.created = Some(moment(value)?),
                "expires" => signed.expires = Some(moment(value)?),
                "nonce" => signed.nonce = Some(text(value)?),
                "alg" => signed.algorithm = Some(text(value)?),
                "keyid" => signed.key = Some(text(value)?),
                "tag" => signed.tag = Some(text(value)?),
                // Others are signed too, and mean nothing here.
                _ => {}
            }
        }
        Ok(signed)
    }

    /// What was signed if it was this request: the signature base (§2.5).
    pub fn base(&self, message: &Message<'_>) -> Result<Vec<u8>, Refusal> {
        let mut base = Vec::with_capacity(512);
        for component in &self.components {
            base.extend_from_slice(component.identifier().as_bytes());
            base.extend_from_slice(b": ");
            // Values of fields hold no line feed: the fields are read line by line.
            base.extend(component.value(message)?);
            base.push(b'\n');
        }
        base.extend_from_slice(b"\"@signature-params\": ");
        base.extend_from_slice(self.parameters.as_bytes());
        Ok(base)
    }
}

/// Shown, it says what it covers, not what it is.
impl std::fmt::Debug for Signed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Signed").field(&self.parameters).finish()
    }
}

fn moment(value: &BareItem) -> Result<i64, Refusal> {
    value.as_integer().map(i64::from).ok_or(Refusal::Malformed)
}

fn text(value: &BareItem) -> Result<String, Refusal> {
    value.as_string().map(|text| text.as_str().to_owned()).ok_or(Refusal::Malformed)
}
