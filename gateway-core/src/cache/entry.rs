//! What stands in the store: a response's head, beside its body, or the names of the fields by which responses differ.

use super::directive::LONGEST;
use crate::http::Headers;
use crate::platform::Timestamp;
use crate::record;
use serde::{Deserialize, Serialize};

/// What is written beside a body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// A response.
    #[serde(rename = "r")]
    Response(Entry),
    /// There are several, under keys of their own.
    #[serde(rename = "v")]
    Varies(Varies),
}

/// Several responses for one key, told apart by more of the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Varies {
    /// The request's fields by which they differ, in lower case and in order.
    #[serde(rename = "f", default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// Goes into their keys: without this record nobody finds them again.
    #[serde(rename = "s")]
    pub salt: String,
}

/// A stored response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its status.
    #[serde(rename = "c")]
    pub status: u16,
    /// Its fields, as they are sent again.
    #[serde(rename = "h")]
    pub fields: Vec<Field>,
    /// When it came, or was last confirmed.
    #[serde(rename = "t")]
    pub received: Timestamp,
    /// When it was asked for: what was taken back after that may be what it says.
    #[serde(rename = "q")]
    pub requested: Timestamp,
    /// How old it was then, in seconds.
    #[serde(rename = "a")]
    pub initial_age: u64,
    /// Up to which age it is fresh, in seconds.
    #[serde(rename = "l")]
    pub lifetime: u64,
    /// For how many seconds more it may be used while a newer one is fetched.
    #[serde(rename = "w", default, skip_serializing_if = "is_zero")]
    pub while_revalidate: u64,
    /// For how many seconds more it may be used when the origin fails.
    #[serde(rename = "e", default, skip_serializing_if = "is_zero")]
    pub if_error: u64,
    /// Whether it may be used only when the origin has confirmed it.
    #[serde(rename = "n", default, skip_serializing_if = "std::ops::Not::not")]
    pub no_cache: bool,
    /// Whether it may not be used once it is stale, whoever would allow it.
    #[serde(rename = "m", default, skip_serializing_if = "std::ops::Not::not")]
    pub forbids_stale: bool,
    /// Whether it does not change while it is fresh (RFC 8246).
    #[serde(rename = "i", default, skip_serializing_if = "std::ops::Not::not")]
    pub immutable: bool,
    /// The address that it answers: `https://host/path?query`.
    #[serde(rename = "u")]
    pub url: String,
    /// What it can be taken back by.
    #[serde(rename = "g", default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

/// A field: its name, and its value with each byte as the character of its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field(pub String, pub String);

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Field {
    /// A field as it was received.
    pub fn new(name: &str, value: &[u8]) -> Self {
        Self(name.to_owned(), value.iter().map(|byte| char::from(*byte)).collect())
    }

    /// The value as it is sent.
    pub fn value(&self) -> Vec<u8> {
        self.1.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect()
    }
}

impl Entry {
    /// How old it is, in seconds (RFC 9111 §4.2.3).
    pub fn age(&self, now: Timestamp) -> u64 {
        self.initial_age.saturating_add(now.saturating_sub(self.received) / 1_000)
    }

    /// How many seconds it stays fresh; below zero: for how many it has been stale.
    pub fn freshness(&self, now: Timestamp) -> i64 {
        let signed = |seconds: u64| i64::try_from(seconds.min(LONGEST * 4)).unwrap_or(i64::MAX);
        signed(self.lifetime) - signed(self.age(now))
    }

    /// The first value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|Field(found, _)| found == name).map(|Field(_, value)| value.as_str())
    }

    /// Its fields, to be looked at like those of any message.
    pub fn headers(&self) -> Headers {
        let mut headers = Headers::new();
        for field in &self.fields {
            headers.receive(&field.0, &field.value());
        }
        headers
    }

    /// How many bytes the body has, where that is known.
    pub fn length(&self) -> Option<u64> {
        self.field("content-length")?.parse().ok()
    }

    /// Whether the origin can be asked whether it is still right.
    pub fn has_validator(&self) -> bool {
        self.field("etag").is_some() || self.field("last-modified").is_some()
    }

    /// For how many seconds from now on it may be of any use: while it is fresh, while it may be used stale, and where it can be
    /// validated a day longer.
    pub fn keep_for(&self, now: Timestamp) -> u64 {
        let left = u64::try_from(self.freshness(now)).unwrap_or(0);
        let stale = self.while_revalidate.max(self.if_error);
        let validated = if self.has_validator() { FOR_VALIDATION } else { 0 };
        match left.saturating_add(stale.max(validated)) {
            0 => 0,
            // The last second of a window belongs to it.
            seconds => (seconds + 1).min(KEPT_LONGEST),
        }
    }
}

/// For how long what is stale is kept because it may be confirmed.
const FOR_VALIDATION: u64 = 86_400;

/// For how long anything is kept, in seconds: what was taken back needs to be remembered no longer.
pub const KEPT_LONGEST: u64 = 30 * 86_400;

impl Record {
    /// As text of printable ASCII, which every store can take.
    pub fn write(&self) -> String {
        // Plain values: it cannot fail.
        let text = serde_json::to_string(self).unwrap_or_default();
        if text.is_ascii() {
            return text;
        }
        let mut ascii = String::with_capacity(text.len() + 16);
        for c in text.chars() {
            if c.is_ascii() {
                ascii.push(c);
            } else {
                let mut units = [0; 2];
                c.encode_utf16(&mut units).iter().for_each(|unit| ascii.push_str(&format!("\\u{unit:04x}")));
            }
        }
        ascii
    }

    /// What was written; what cannot be read is as good as absent.
    pub fn read(text: &[u8]) -> Option<Self> {
        record::read(text).ok()
    }
}

#[cfg(test)]
impl Entry {
    /// A response with these fields, that was fresh for a second once.
    pub fn of(fields: &[(&str, &str)]) -> Self {
        Self {
            status: 200,
            fields: fields.iter().map(|(name, value)| Field::new(name, value.as_bytes())).collect(),
            received: 0,
            requested: 0,
            initial_age: 0,
            lifetime: 1,
            while_revalidate: 0,
            if_error: 0,
            no_cache: false,
            forbids_stale: false,
            immutable: false,
            url: String::new(),
            tags: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry {
            fields: vec![Field::new("etag", b"\"a\""), Field::new("x", b"caf\xe9 \"\x7f")],
            received: 10_000,
            requested: 10_000,
            initial_age: 5,
            lifetime: 60,
            if_error: 30,
            url: "http://a/".to_owned(),
            tags: vec!["ü".to_owned()],
            ..Entry::of(&[])
        }
    }

    #[test]
    fn a_record_is_plain_text_and_keeps_every_byte() {
        let record = Record::Response(entry());
        let text = record.write();
        assert!(text.is_ascii() && !text.contains('\n'), "{text}");
        assert_eq!(Record::read(text.as_bytes()), Some(record));
        assert_eq!(entry().headers().get("x"), Some(&b"caf\xe9 \"\x7f"[..]));
        assert_eq!(Record::read(b"something else"), None);
    }

    #[test]
    fn time_passes_for_what_is_stored() {
        let entry = entry();
        assert_eq!((entry.age(10_000), entry.age(65_000), entry.age(0)), (5, 60, 5));
        assert_eq!((entry.freshness(10_000), entry.freshness(75_000)), (55, -10));
        assert_eq!(entry.keep_for(10_000), 55 + FOR_VALIDATION + 1);
    }
}
