//! Certificates that clients have shown and somebody else has verified: the platform, or a proxy that is trusted.
//!
//! Nothing here verifies a chain. What stands in a [`Certificate`] is as good as the word of whoever gave it.

use crate::consumer::hex;
use crate::http::{Certificate, Headers};
use crate::jwt::der::{self, Reader};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt::{self, Write};
use std::str::FromStr;

/// Where clients' certificates come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CertificateSource {
    /// Nobody asks for one.
    #[default]
    Nowhere,
    /// The platform, where it ends the client's TLS.
    Platform,
    /// The field `Client-Cert` (RFC 9440) of a trusted proxy.
    ClientCert,
}

impl Certificate {
    /// The certificate that a trusted proxy passes on in `Client-Cert` (RFC 9440 §2.2): one byte sequence, in one line.
    /// What cannot be read is no certificate.
    pub fn from_field(headers: &Headers) -> Option<Self> {
        let mut lines = headers.all("client-cert");
        let (Some(line), None) = (lines.next(), lines.next()) else { return None };
        let base64 = line.trim_ascii().strip_prefix(b":")?.strip_suffix(b":")?;
        Self::from_der(&STANDARD.decode(base64).ok()?)
    }

    /// Reads a certificate (RFC 5280 §4.1), as far as anybody here asks.
    pub fn from_der(bytes: &[u8]) -> Option<Self> {
        let mut outer = Reader(bytes);
        let mut certificate = Reader(outer.take(der::SEQUENCE)?);
        let mut body = Reader(certificate.take(der::SEQUENCE)?);
        // The version stands in brackets, and not at all in the oldest.
        let _ = body.take(VERSION);
        let serial = body.take(der::INTEGER)?;
        body.take(der::SEQUENCE)?;
        let issuer = DistinguishedName::from_der(body.take(der::SEQUENCE)?)?;
        body.take(der::SEQUENCE)?;
        let subject = DistinguishedName::from_der(body.take(der::SEQUENCE)?)?;
        outer.0.is_empty().then(|| Self {
            fingerprint: hex(&Sha256::digest(bytes)),
            subject: subject.to_string(),
            issuer: issuer.to_string(),
            serial: hex(serial.strip_prefix(&[0]).filter(|rest| !rest.is_empty()).unwrap_or(serial)),
            der: Some(bytes.to_vec()),
        })
    }

    /// Its subject and issuer, as consumers are looked up by them.
    pub fn names(&self) -> Option<String> {
        let (subject, issuer): (DistinguishedName, DistinguishedName) =
            (self.subject.parse().ok()?, self.issuer.parse().ok()?);
        Some(format!("{subject}\n{issuer}"))
    }

    /// As a value of `Client-Cert`, where its bytes are known.
    pub fn field(&self) -> Option<String> {
        self.der.as_ref().map(|bytes| format!(":{}:", STANDARD.encode(bytes)))
    }
}

/// The fingerprint in the one spelling that is compared: 64 lower-case hexadecimal digits.
pub fn fingerprint(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(|c| *c != ':').map(|c| c.to_ascii_lowercase()).collect();
    (digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit())).then_some(digits)
}

/// A distinguished name: who a certificate is for or from, part by part, the most special one first (RFC 4514).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DistinguishedName(Vec<Part>);

/// One part: one attribute, in rare cases several.
type Part = Vec<(String, String)>;

impl DistinguishedName {
    /// Whether every part of another name is a part of this one.
    pub fn has(&self, other: &Self) -> bool {
        other.0.iter().all(|part| self.0.contains(part))
    }

    /// Reads the content of a `Name` (RFC 5280 §4.1.2.4), whose most general part stands first.
    fn from_der(bytes: &[u8]) -> Option<Self> {
        let mut parts = Vec::new();
        let mut names = Reader(bytes);
        while !names.0.is_empty() {
            let mut attributes = Reader(names.take(SET)?);
            let mut part = Part::new();
            while !attributes.0.is_empty() {
                let mut attribute = Reader(attributes.take(der::SEQUENCE)?);
                let kind = attribute.take(der::OBJECT_IDENTIFIER)?;
                let (tag, value) = attribute.any()?;
                part.push((kind_of(kind)?, text(tag, value)?));
            }
            part.sort();
            parts.push(part);
        }
        parts.reverse();
        Some(Self(parts))
    }
}

impl FromStr for DistinguishedName {
    type Err = &'static str;

    /// Reads RFC 4514, and the spaces after commas that many tools write.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "it must be a distinguished name such as `CN=orders,O=Acme`";
        let mut parts = Vec::new();
        let mut part = Part::new();
        let mut rest = text;
        loop {
            let (kind, behind) = rest.split_once('=').ok_or(FORM)?;
            let kind = kind.trim();
            if kind.is_empty() || !kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-') {
                return Err(FORM);
            }
            let (value, end, behind) = value(behind).ok_or(FORM)?;
            part.push((known_kind(kind), value));
            rest = behind;
            match end {
                Some('+') => {}
                Some(_) => {
                    part.sort();
                    parts.push(std::mem::take(&mut part));
                }
                None => {
                    part.sort();
                    parts.push(part);
                    return Ok(Self(parts));
                }
            }
        }
    }
}

/// One value, the separator behind it, and what follows.
fn value(text: &str) -> Option<(String, Option<char>, &str)> {
    let mut out = Vec::new();
    // Spaces around a value are not part of it unless they are escaped.
    let mut kept = 0;
    let mut chars = text.trim_start_matches(' ').char_indices();
    let text = chars.as_str();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => {
                let (_, first) = chars.next()?;
                match first.to_digit(16).zip(chars.clone().next().and_then(|(_, second)| second.to_digit(16))) {
                    Some((high, low)) => {
                        chars.next();
                        out.push(u8::try_from(high << 4 | low).ok()?);
                    }
                    None if first.is_ascii_punctuation() || first == ' ' => out.extend(first.to_string().bytes()),
                    None => return None,
                }
                kept = out.len();
            }
            ',' | ';' | '+' => {
                out.truncate(trimmed(&out, kept));
                return Some((String::from_utf8(out).ok()?, Some(c), &text[at + 1..]));
            }
            // RFC 2253 §4: the old form with quotes is not written any more, and nobody agrees on it.
            '"' | '<' | '>' | '\0' => return None,
            c => {
                let mut buffer = [0; 4];
                out.extend(c.encode_utf8(&mut buffer).bytes());
            }
        }
    }
    out.truncate(trimmed(&out, kept));
    Some((String::from_utf8(out).ok()?, None, ""))
}

fn trimmed(out: &[u8], kept: usize) -> usize {
    let spaces = out.iter().rev().take_while(|b| **b == b' ').count();
    (out.len() - spaces).max(kept)
}

impl fmt::Display for DistinguishedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, part) in self.0.iter().enumerate() {
            for (nth, (kind, value)) in part.iter().enumerate() {
                f.write_str(if nth > 0 {
                    "+"
                } else if at > 0 {
                    ","
                } else {
                    ""
                })?;
                write!(f, "{kind}=")?;
                for (place, c) in value.char_indices() {
                    let last = place + c.len_utf8() == value.len();
                    match c {
                        '"' | '+' | ',' | ';' | '<' | '>' | '\\' | '=' => write!(f, "\\{c}")?,
                        '#' if place == 0 => f.write_str("\\#")?,
                        ' ' if place == 0 || last => f.write_str("\\ ")?,
                        c if c.is_control() => {
                            let mut buffer = [0; 4];
                            c.encode_utf8(&mut buffer).bytes().try_for_each(|b| write!(f, "\\{b:02X}"))?;
                        }
                        c => f.write_char(c)?,
                    }
                }
            }
        }
        Ok(())
    }
}

impl TryFrom<String> for DistinguishedName {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<DistinguishedName> for String {
    fn from(name: DistinguishedName) -> String {
        name.to_string()
    }
}

/// The context-specific tag 0.
const VERSION: u8 = 0xA0;
const SET: u8 = 0x31;

/// Kinds of attributes by name (RFC 4514 §3, and what certificates hold besides), each with its identifier.
const KINDS: [(&str, &str); 13] = [
    ("CN", "2.5.4.3"),
    ("SERIALNUMBER", "2.5.4.5"),
    ("C", "2.5.4.6"),
    ("L", "2.5.4.7"),
    ("ST", "2.5.4.8"),
    ("STREET", "2.5.4.9"),
    ("O", "2.5.4.10"),
    ("OU", "2.5.4.11"),
    ("GN", "2.5.4.42"),
    ("SN", "2.5.4.4"),
    ("DC", "0.9.2342.19200300.100.1.25"),
    ("UID", "0.9.2342.19200300.100.1.1"),
    ("EMAILADDRESS", "1.2.840.113549.1.9.1"),
];

/// One spelling for each kind.
fn known_kind(kind: &str) -> String {
    let upper = kind.to_ascii_uppercase();
    let bare = upper.strip_prefix("OID.").unwrap_or(&upper);
    match bare {
        "S" => "ST".to_owned(),
        "E" | "EMAIL" => "EMAILADDRESS".to_owned(),
        bare => KINDS.iter().find(|(_, id)| *id == bare).map_or(bare, |(name, _)| name).to_owned(),
    }
}

fn kind_of(identifier: &[u8]) -> Option<String> {
    let mut numbers: Vec<u64> = Vec::new();
    let mut number: u64 = 0;
    for (at, byte) in identifier.iter().enumerate() {
        number = number.checked_mul(128)?.checked_add(u64::from(byte & 0x7F))?;
        if byte & 0x80 != 0 {
            // An identifier that breaks off names nothing.
            (at + 1 < identifier.len()).then_some(())?;
            continue;
        }
        if numbers.is_empty() {
            // X.690 §8.19.4: the first two numbers in one.
            let first = (number / 40).min(2);
            numbers.extend([first, number - first * 40]);
        } else {
            numbers.push(number);
        }
        number = 0;
    }
    let dotted: Vec<_> = numbers.iter().map(u64::to_string).collect();
    (!dotted.is_empty()).then(|| known_kind(&dotted.join(".")))
}

/// The texts that names are made of: UTF8String, PrintableString, IA5String, TeletexString (as Latin-1, as everybody reads
/// it), BMPString, UniversalString.
fn text(tag: u8, bytes: &[u8]) -> Option<String> {
    match tag {
        0x0C => String::from_utf8(bytes.to_vec()).ok(),
        0x12 | 0x13 | 0x16 if bytes.is_ascii() => String::from_utf8(bytes.to_vec()).ok(),
        0x14 => Some(bytes.iter().map(|b| char::from(*b)).collect()),
        0x1E => {
            let (units, []) = bytes.as_chunks::<2>() else { return None };
            char::decode_utf16(units.iter().map(|unit| u16::from_be_bytes(*unit))).collect::<Result<_, _>>().ok()
        }
        0x1C => {
            let (units, []) = bytes.as_chunks::<4>() else { return None };
            units.iter().map(|unit| char::from_u32(u32::from_be_bytes(*unit))).collect()
        }
        _ => None,
    }
}
