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

#[cfg(test)]
mod tests {
    use super::*;

    fn der(pem: &str) -> Vec<u8> {
        let base64: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        STANDARD.decode(base64).expect("Base64")
    }

    fn name(text: &str) -> DistinguishedName {
        text.parse().expect("a name")
    }

    #[test]
    fn a_certificate_says_who_it_is_for_and_from() {
        // As `openssl x509 -nameopt RFC2253,utf8,-esc_msb` says of it.
        let bytes = der(include_str!("../tests/keys/client.pem"));
        let certificate = Certificate::from_der(&bytes).expect("a certificate");
        assert_eq!(certificate.subject, r"CN=orders,OU=Billing,OU=Käufer,O=Acme\, Inc.,C=DE");
        assert_eq!(certificate.issuer, r"CN=Acme Clients,O=Acme\, Inc.,C=DE");
        assert_eq!(certificate.serial, "0a1b2c");
        assert_eq!(certificate.fingerprint, hex(&Sha256::digest(&bytes)));
        let mut headers = Headers::new();
        headers.set("client-cert", certificate.field().expect("its bytes"));
        assert_eq!(Certificate::from_field(&headers), Some(certificate));
        headers.append("client-cert", format!(":{}:", STANDARD.encode(&bytes)));
        assert_eq!(Certificate::from_field(&headers), None, "nobody can say which of two");
        for end in 0..bytes.len() {
            assert_eq!(Certificate::from_der(&bytes[..end]), None, "cut at {end}");
        }
        assert_eq!(Certificate::from_der(&[bytes.as_slice(), &[0]].concat()), None, "something behind it");
        for field in ["", ":", "::", ":AAAA:", "AAAA", ":?:", "::AAAA::"] {
            let mut headers = Headers::new();
            headers.set("client-cert", field);
            assert_eq!(Certificate::from_field(&headers), None, "{field}");
        }
    }

    #[test]
    fn one_name_in_many_spellings() {
        for (one, other) in [
            ("CN=orders,O=Acme", "cn=orders, o=Acme"),
            ("CN=orders,O=Acme", "2.5.4.3=orders; OID.2.5.4.10 = Acme "),
            (r"CN=a\,b", r"CN=a\2Cb"),
            (r"CN=K\C3\A4ufer", "CN=Käufer"),
            ("CN=a+UID=b,O=c", "UID=b+CN=a,O=c"),
            ("S=x", "ST=x"),
            ("emailAddress=a@b", "E=a@b"),
            (r"CN=\ a\ ", r"CN=\20a\20"),
        ] {
            assert_eq!(name(one), name(other), "{one} {other}");
            assert_eq!(name(one).to_string(), name(other).to_string());
        }
        for (one, other) in [
            ("CN=orders,O=Acme", "O=Acme,CN=orders"),
            ("CN=orders", "CN=Orders"),
            (r"CN=a\,O=b", "CN=a,O=b"),
            ("CN=a,UID=b", "CN=a+UID=b"),
            (r"CN=a\ ", "CN=a"),
        ] {
            assert_ne!(name(one), name(other), "{one} {other}");
        }
        for wrong in [
            "",
            "orders",
            "CN",
            "=a",
            "CN=a,",
            "CN=a,,O=b",
            "CN=\"a\"",
            "CN=a\\",
            r"CN=a\zz",
            r"CN=\FF",
            "C N=a",
            "CN=<a",
        ] {
            assert!(wrong.parse::<DistinguishedName>().is_err(), "{wrong}");
        }
        assert_eq!(name("CN="), name("CN= "));
    }

    #[test]
    fn a_name_has_parts() {
        let subject = name(r"CN=orders,OU=Billing,OU=Käufer,O=Acme\, Inc.,C=DE");
        for (rule, meant) in [
            (r"O=Acme\, Inc.", true),
            (r"OU=Käufer,O=Acme\, Inc.", true),
            ("OU=Billing", true),
            ("CN=orders,C=DE", true),
            ("CN=order", false),
            ("O=Acme", false),
            ("CN=Billing", false),
            ("CN=orders,OU=Sales", false),
            ("CN=orders+OU=Billing", false),
        ] {
            assert_eq!(subject.has(&name(rule)), meant, "{rule}");
        }
        // Whoever may choose one part of a name cannot make it look like two.
        assert!(!name(r"CN=x\,O=Acme").has(&name("O=Acme")));
    }

    #[test]
    fn texts_and_identifiers_of_names() {
        assert_eq!(text(0x0C, "ä".as_bytes()).as_deref(), Some("ä"));
        assert_eq!(text(0x0C, b"\xff"), None);
        assert_eq!(text(0x13, b"a b").as_deref(), Some("a b"));
        assert_eq!(text(0x13, b"\xe4"), None);
        assert_eq!(text(0x14, b"\xe4").as_deref(), Some("ä"));
        assert_eq!(text(0x1E, &[0, b'a', 0, 0xE4]).as_deref(), Some("aä"));
        assert_eq!((text(0x1E, &[0]), text(0x1E, &[0xD8, 0])), (None, None));
        assert_eq!(text(0x1C, &[0, 0, 0, b'a']).as_deref(), Some("a"));
        assert_eq!(text(0x02, &[1]), None);
        assert_eq!(kind_of(&[0x55, 4, 3]).as_deref(), Some("CN"));
        assert_eq!(kind_of(&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 9, 1]).as_deref(), Some("EMAILADDRESS"));
        assert_eq!(kind_of(&[0x88, 0x37]).as_deref(), Some("2.999"));
        assert_eq!((kind_of(&[]), kind_of(&[0x80]), kind_of(&[0xFF; 11])), (None, None, None));
    }

    #[test]
    fn a_name_is_read_as_it_is_written() {
        use proptest::prelude::*;
        let names = prop::collection::vec(("[A-Z]{1,3}", any::<String>()), 1..4);
        proptest!(|(parts in names, other in any::<String>(), bytes in any::<Vec<u8>>())| {
            let written = DistinguishedName(parts.into_iter().map(|(kind, value)| vec![(known_kind(&kind), value)]).collect());
            prop_assert_eq!(written.to_string().parse(), Ok(written));
            let _ = other.parse::<DistinguishedName>();
            let _ = Certificate::from_der(&bytes);
        });
    }
}
