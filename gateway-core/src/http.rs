//! Requests and responses as the core sees them: heads that are read once and patched, bodies that nobody opens.

use crate::outflow::Outflow;
use crate::path;
use crate::pump::Pump;
use bytes::Bytes;
use memchr::memchr;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// A request as an adapter received it. Nothing in it has been checked.
#[derive(Debug)]
pub struct Incoming<S> {
    /// The method's token, in the spelling received.
    pub method: String,
    /// `http` or `https`: how the client reached the platform.
    pub scheme: Scheme,
    /// The `Host` field's value, or HTTP/2's `:authority`; empty when there was none.
    pub authority: String,
    /// Path and query exactly as received, before any normalisation (`/a/../b?x=1`).
    pub target: String,
    /// The header fields, in order, hop-by-hop fields included where the platform shows them.
    pub headers: Headers,
    /// The body, unread.
    pub body: Body<S>,
    /// What the platform knows of the sender.
    pub peer: Peer,
}

/// What the platform knows of the connection's other end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peer {
    /// The address of the connection's other end.
    pub address: Option<std::net::IpAddr>,
    /// ISO 3166-1 alpha-2 code of the country (upper case), where the platform tells.
    pub country: Option<String>,
    /// The platform's name of the data centre that took the request (`FRA`), where it tells.
    pub data_centre: Option<String>,
    /// The certificate that the other end has shown, where the platform has verified it. One that it has not verified is
    /// nobody's, and does not stand here.
    pub certificate: Option<Certificate>,
}

/// A certificate that the platform has verified.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Certificate {
    /// SHA-256 of the whole certificate in DER, in lower-case hexadecimal without separators.
    pub fingerprint: String,
    /// The subject's distinguished name, as the platform writes it.
    pub subject: String,
    /// The issuer's distinguished name, as the platform writes it.
    pub issuer: String,
    /// The serial number, in lower-case hexadecimal without separators.
    pub serial: String,
    /// The whole certificate in DER, where it is known.
    pub der: Option<Vec<u8>>,
}

/// A response on its way to the client, or one that an upstream gave.
#[derive(Debug)]
pub struct Response<S> {
    /// The status code, 101 to 599.
    pub status: u16,
    /// The header fields.
    pub headers: Headers,
    /// The body, unread.
    pub body: Body<S>,
}

/// `http` or `https`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Clear text.
    Http,
    /// TLS.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A body that the core hands on without reading it.
#[derive(Debug)]
pub enum Body<S> {
    /// No body at all (not a body of no bytes that is still being framed).
    Empty,
    /// A body that is in memory.
    Bytes(Bytes),
    /// The platform's own stream; its bytes never enter the core.
    Stream(S),
    /// The platform's own stream, whose chunks pass through the core one by one.
    Pumped(S, Pump),
    /// A body that is made while it is sent. Nobody can read it before the reply has left the gateway.
    Made(Outflow),
}

impl<S> From<Bytes> for Body<S> {
    /// What is in memory. No bytes are no body.
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() { Body::Empty } else { Body::Bytes(bytes) }
    }
}

impl<S> Body<S> {
    /// The same body once more, for another attempt. A stream can be sent only once.
    pub fn replay(&self) -> Option<Self> {
        match self {
            Body::Empty => Some(Body::Empty),
            Body::Bytes(bytes) => Some(Body::Bytes(bytes.clone())),
            Body::Stream(_) | Body::Pumped(..) | Body::Made(_) => None,
        }
    }
}

/// Header fields: the block as received, and the edits made since.
///
/// Values are the bytes of the wire (RFC 9110 §5.5), names are lower case. The platform keeps its own header object and
/// applies [`Headers::edits`] to it, so that bytes, order and repeated lines of what nobody touched stay exact.
#[derive(Debug, Clone, Default)]
pub struct Headers {
    received: bool,
    text: Vec<u8>,
    fields: Vec<Field>,
    edits: Vec<Recorded>,
    /// A bit for the tag of every name that was ever here: most names that are asked for are not there, and this tells.
    seen: u64,
    /// Whether there are more lines than these, which only the platform knows.
    partial: bool,
    /// Whether a name with `_` in it was ever here.
    underscored: bool,
}

/// One change to a header block, in the order in which it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edit<'a> {
    /// Every line of this name goes, one line comes.
    Set(&'a str, &'a [u8]),
    /// One line more.
    Append(&'a str, &'a [u8]),
    /// Every line of this name goes.
    Remove(&'a str),
}

impl Headers {
    /// An empty block. Everything in it will be an edit.
    pub fn new() -> Self {
        Self::default()
    }

    /// A block of these lines, as received.
    #[cfg(test)]
    pub(crate) fn of(lines: &[(&str, &str)]) -> Self {
        let mut headers = Self::new();
        lines.iter().for_each(|(name, value)| headers.receive(name, value.as_bytes()));
        headers
    }

    /// Whether nothing in it was received: it belongs to a request that the gateway makes for itself. Adapters that start
    /// from the client's own header object must start from an empty one here.
    pub fn is_our_own(&self) -> bool {
        !self.received
    }

    /// Reads a block of lines `name NUL value LF`, as an adapter packs them. Names are brought to lower case; a line
    /// without NUL, or whose name is not ASCII, is not a field and is skipped.
    pub fn from_block(mut text: Vec<u8>) -> Self {
        let mut headers = Self { received: true, fields: Vec::with_capacity(16), ..Self::default() };
        let mut start = 0;
        'lines: while start < text.len() {
            let mut middle = start;
            let mut is_ascii = true;
            loop {
                match text.get_mut(middle) {
                    None => break 'lines,
                    Some(0) => break,
                    Some(b'\n') => {
                        start = middle + 1;
                        continue 'lines;
                    }
                    Some(byte) => {
                        is_ascii &= byte.is_ascii();
                        headers.underscored |= *byte == b'_';
                        byte.make_ascii_lowercase();
                        middle += 1;
                    }
                }
            }
            let Some(length) = memchr(b'\n', &text[middle + 1..]) else { break };
            let end = middle + 1 + length;
            if is_ascii {
                let tag = tag(&text[start..middle]);
                headers.fields.push(Field { name: (start, middle), value: (middle + 1, end), tag, live: true });
                headers.seen |= 1 << tag;
            }
            start = end + 1;
        }
        Self { text, ..headers }
    }

    /// Reads a block that holds only the lines somebody will ask for; the platform has the others. Edits are recorded as
    /// ever; since nobody knows what is not there, every removal is one.
    pub fn partial(text: Vec<u8>) -> Self {
        Self { partial: true, ..Self::from_block(text) }
    }

    /// Adds a field as received, without recording an edit: for adapters that read fields one by one.
    pub fn receive(&mut self, name: &str, value: &[u8]) {
        if self.fields.capacity() == 0 {
            // Room for a browser's request, instead of growing six times.
            self.fields.reserve(24);
            self.text.reserve(1 << 10);
        }
        // What came so goes on so, except what would end the line.
        let field = self.write(name, value, false);
        self.fields.push(field);
        self.received = true;
    }

    /// The first line of this name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let field = self.named(name).next()?;
        Some(self.slice(field.value))
    }

    /// The first line of this name, where it is readable text (ASCII or UTF-8).
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The length that the message's body is said to have, where it says so in digits.
    pub fn content_length(&self) -> Option<u64> {
        self.text("content-length")?.parse().ok()
    }

    /// The media type, in small letters and without parameters; empty where there is none.
    pub fn media_type(&self) -> String {
        let kind = self.text("content-type").unwrap_or_default();
        kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    /// Whether the body is JSON, by its media type (RFC 6839 §3.1).
    pub fn is_json(&self) -> bool {
        let media_type = self.media_type();
        media_type == "application/json" || media_type.ends_with("+json")
    }

    /// Whether the body is a stream of server-sent events, which has no end.
    pub fn is_event_stream(&self) -> bool {
        let kind = self.text("content-type").unwrap_or_default();
        kind.get(..17).is_some_and(|kind| kind.eq_ignore_ascii_case("text/event-stream"))
    }

    /// Every line of this name, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.named(name).map(|field| self.slice(field.value))
    }

    /// Whether there is a line of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Every line, in order: lower-case name and value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields.iter().filter(|field| field.live).map(|field| (self.name(field.name), self.slice(field.value)))
    }

    /// Replaces every line of this name by one. The value must hold no control character but TAB; they become spaces (RFC 9110 §5.5).
    pub fn set(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.clear(name);
        let field = self.write(name, value.as_ref(), true);
        self.fields.push(field);
        self.edits.push(Recorded::Set(field));
    }

    /// Adds one line, of which the same holds.
    pub fn append(&mut self, name: &str, value: impl AsRef<[u8]>) {
        let field = self.write(name, value.as_ref(), true);
        self.fields.push(field);
        self.edits.push(Recorded::Append(field));
    }

    /// Removes every line of this name. Removing what is known not to be there is no edit.
    pub fn remove(&mut self, name: &str) {
        if self.clear(name) || self.partial {
            let field = self.write(name, b"", true);
            self.edits.push(Recorded::Remove(field));
        }
    }

    /// Removes what only holds for the very bytes of a body that is sent as other bytes: its digests (RFC 9530, RFC 3230, RFC 1864),
    /// and that parts of it can be had.
    pub fn forget_bytes(&mut self) {
        for name in ["content-md5", "digest", "content-digest", "repr-digest", "accept-ranges"] {
            self.remove(name);
        }
    }

    /// Removes all that is said of a body which another one takes the place of, or none: what is left to say are the new one's type
    /// and length.
    pub fn forget_body(&mut self) {
        self.forget_bytes();
        for name in [
            "content-type",
            "content-length",
            "content-encoding",
            "content-language",
            "content-location",
            "content-disposition",
            "etag",
            "last-modified",
        ] {
            self.remove(name);
        }
    }

    /// Removes every line of this name, and of those that differ from it only in `_` for `-`: servers that hand fields on as
    /// variables (CGI, WSGI, FastCGI) take one for the other, so a client could write beside what the gateway writes.
    pub fn remove_alike(&mut self, name: &str) {
        self.remove(name);
        self.remove_lookalikes(name);
    }

    /// Of those, only what is not the field itself.
    pub fn remove_lookalikes(&mut self, name: &str) {
        let spellings: Vec<String> = self.lookalikes(name).map(str::to_owned).collect();
        spellings.iter().for_each(|spelling| self.remove(spelling));
    }

    /// Whether there is a line that is not of this name, but that such a server takes for it.
    #[cfg(feature = "cache")]
    pub fn has_lookalike(&self, name: &str) -> bool {
        self.lookalikes(name).next().is_some()
    }

    /// The names that differ from this one only in `_` for `-`.
    fn lookalikes(&self, name: &str) -> impl Iterator<Item = &str> {
        let dashed = |c: u8| if c == b'_' { b'-' } else { c.to_ascii_lowercase() };
        let fields = if self.underscored { self.fields.as_slice() } else { &[] };
        let names = fields.iter().filter(|field| field.live).map(|field| self.name(field.name));
        names.filter(move |other| {
            !other.eq_ignore_ascii_case(name) && other.bytes().map(dashed).eq(name.bytes().map(dashed))
        })
    }

    /// What has been changed since the block was received, in order.
    pub fn edits(&self) -> impl ExactSizeIterator<Item = Edit<'_>> {
        self.edits.iter().map(|edit| match *edit {
            Recorded::Set(field) => Edit::Set(self.name(field.name), self.slice(field.value)),
            Recorded::Append(field) => Edit::Append(self.name(field.name), self.slice(field.value)),
            Recorded::Remove(field) => Edit::Remove(self.name(field.name)),
        })
    }

    /// How many lines there are and how many bytes they take as HTTP/1.1 writes them (`name: value CRLF`).
    pub fn size(&self) -> (usize, usize) {
        let live = self.fields.iter().filter(|field| field.live);
        live.fold((0, 0), |(lines, bytes), Field { name, value, .. }| {
            (lines + 1, bytes + (name.1 - name.0) + (value.1 - value.0) + 4)
        })
    }

    fn named<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a Field> + use<'a, 'n> {
        let tag = tag(name.as_bytes());
        let fields = if self.seen >> tag & 1 == 1 { self.fields.as_slice() } else { &[] };
        let fields = fields.iter().filter(move |field| field.tag == tag && field.live);
        fields.filter(move |field| self.slice(field.name).eq_ignore_ascii_case(name.as_bytes()))
    }

    fn clear(&mut self, name: &str) -> bool {
        let tag = tag(name.as_bytes());
        if self.seen >> tag & 1 == 0 {
            return false;
        }
        let mut found = false;
        for field in self.fields.iter_mut().filter(|field| field.tag == tag && field.live) {
            if self.text[field.name.0..field.name.1].eq_ignore_ascii_case(name.as_bytes()) {
                field.live = false;
                found = true;
            }
        }
        found
    }

    fn write(&mut self, name: &str, value: &[u8], is_ours: bool) -> Field {
        let tag = tag(name.as_bytes());
        self.seen |= 1 << tag;
        self.underscored |= name.contains('_');
        let start = self.text.len();
        self.text.extend_from_slice(name.as_bytes());
        self.text[start..].make_ascii_lowercase();
        let middle = self.text.len();
        self.text.extend_from_slice(value);
        // Platforms refuse the whole block for a control character in what they are given to write.
        let is_bad =
            |byte: u8| matches!(byte, b'\r' | b'\n' | 0) || is_ours && byte.is_ascii_control() && byte != b'\t';
        for byte in self.text[middle..].iter_mut().filter(|byte| is_bad(**byte)) {
            *byte = b' ';
        }
        Field { name: (start, middle), value: (middle, self.text.len()), tag, live: true }
    }

    fn slice(&self, (start, end): (usize, usize)) -> &[u8] {
        &self.text[start..end]
    }

    fn name(&self, range: (usize, usize)) -> &str {
        // Names are ASCII: `from_block` skips others, and the configuration allows only tokens.
        std::str::from_utf8(self.slice(range)).unwrap_or_default()
    }
}

#[derive(Debug, Clone, Copy)]
struct Field {
    name: (usize, usize),
    value: (usize, usize),
    tag: u8,
    live: bool,
}

/// A number below 64, the same for every spelling of a name; names that are often asked for rarely share one.
fn tag(name: &[u8]) -> u8 {
    let (Some(first), Some(last)) = (name.first(), name.last()) else { return 0 };
    // Setting bit 5 brings letters to lower case and leaves digits and hyphens as they are.
    let mixed = usize::from(first | 0x20) + 34 * usize::from(last | 0x20) + name.len();
    (mixed & 63) as u8
}

#[derive(Debug, Clone, Copy)]
enum Recorded {
    Set(Field),
    Append(Field),
    Remove(Field),
}

/// The parts of an `Authorization` field. What is hardly written like this (a tab for the space, bytes that are no text) has
/// its scheme all the same: an upstream might read it kindly, so it must not pass for a request without a credential.
pub fn credentials(value: &str) -> (&str, &str) {
    let value = value.trim();
    let (scheme, rest) = value.split_at(value.find([' ', '\t', ',', '=']).unwrap_or(value.len()));
    (scheme, rest.trim_start_matches(' '))
}

/// Whether this is a token (RFC 9110 §5.6.2): a method or a field name.
pub fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// The members of a comma-separated list field over all its lines, trimmed, empty ones left out (RFC 9110 §5.6.1).
pub fn list<'a>(headers: &'a Headers, name: &'a str) -> impl Iterator<Item = &'a str> {
    headers
        .all(name)
        .filter_map(|value| std::str::from_utf8(value).ok())
        .flat_map(|value| value.split(','))
        .map(|member| member.trim_matches([' ', '\t']))
        .filter(|member| !member.is_empty())
}

/// The parts of a field's value between separators; one in a quoted string separates nothing (RFC 9110 §5.6.4).
pub fn split_unquoted(value: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    value.split(move |byte| {
        let is_end = *byte == separator && !quoted;
        quoted ^= *byte == b'"' && !escaped;
        escaped = quoted && *byte == b'\\' && !escaped;
        is_end
    })
}

/// The values of a query parameter, decoded as forms are (`+` is a space, `%XX` a byte).
pub fn parameters<'a>(query: &'a str, wanted: &'a str) -> impl Iterator<Item = Cow<'a, str>> {
    query.split('&').filter(|pair| !pair.is_empty()).filter_map(move |pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name) == wanted).then(|| decode(value))
    })
}

/// The names of a query's parameters, decoded alike, as often as they stand there.
pub fn parameter_names(query: &str) -> impl Iterator<Item = Cow<'_, str>> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| decode(pair.split_once('=').map_or(pair, |(name, _)| name)))
}

pub(crate) fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return text.into();
    }
    String::from_utf8_lossy(&percent_decode(&text.replace('+', " "))).into_owned().into()
}

/// Bytes as text that can stand in any part of a URL: unreserved characters in clear (RFC 3986 §2.3), everything else as `%XX`.
pub fn percent_encode(bytes: impl AsRef<[u8]>) -> String {
    let bytes = bytes.as_ref();
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        if path::is_unreserved(*byte) { out.push(char::from(*byte)) } else { path::encode(*byte, &mut out) }
    }
    out
}

/// The bytes that a text stands for, with `%XX` for some; what looks like that and is not stands for itself.
pub fn percent_decode(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(&b) = bytes.get(at) {
        let digit = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16));
        match (b, digit(at + 1).zip(digit(at + 2)).and_then(|(high, low)| u8::try_from(high << 4 | low).ok())) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 2;
            }
            _ => out.push(b),
        }
        at += 1;
    }
    out
}

/// The names of all cookies, as often as they stand there.
pub fn cookie_names(headers: &Headers) -> Vec<String> {
    let lines: Vec<_> = headers.all("cookie").map(String::from_utf8_lossy).collect();
    let pairs = lines.iter().flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.map(|(name, _)| name.to_owned()).collect()
}

/// The values of a cookie over all `Cookie` lines (RFC 6265 §4.2.1); quotes around a value are not part of it.
pub fn cookies(headers: &Headers, wanted: &str) -> Vec<String> {
    let lines: Vec<_> = headers.all("cookie").map(String::from_utf8_lossy).collect();
    let pairs = lines.iter().flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs
        .filter(|(name, _)| *name == wanted)
        .map(|(_, value)| value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value).to_owned())
        .collect()
}

/// Statuses: one, all of a class, or all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Statuses {
    /// Those with this status.
    #[serde(rename = "o")]
    One(u16),
    /// Those whose status begins with this digit.
    #[serde(rename = "c")]
    Class(u16),
    /// All.
    #[serde(rename = "a")]
    All,
}

impl Statuses {
    /// Whether a status is one of these.
    pub fn contain(self, status: u16) -> bool {
        match self {
            Statuses::One(one) => one == status,
            Statuses::Class(digit) => status / 100 == digit,
            Statuses::All => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_read_in_order_and_by_any_case() {
        let headers = Headers::from_block(b"Accept\0*/*\nx-a\x001\nx-a\x002\n\nbroken\n".to_vec());
        assert_eq!(headers.iter().map(|(n, _)| n).collect::<Vec<_>>(), ["accept", "x-a", "x-a"]);
        assert_eq!(headers.all("X-A").collect::<Vec<_>>(), [b"1", b"2"]);
        assert_eq!(headers.edits().len(), 0);
    }

    #[test]
    fn a_name_that_shares_the_tag_of_another_is_told_from_it() {
        // Far more names than tags.
        let names: Vec<String> = (0..200).map(|number| format!("x-{number}")).collect();
        let block: String = names.iter().map(|name| format!("{name}\0{name}\n")).collect();
        let mut headers = Headers::from_block(block.into_bytes());
        for name in &names {
            assert_eq!(headers.all(&name.to_uppercase()).collect::<Vec<_>>(), [name.as_bytes()]);
            headers.remove(name);
            assert!(!headers.contains(name));
        }
        assert!(!headers.contains(""));
    }

    #[test]
    fn edits_are_seen_by_readers_and_recorded_for_the_platform() {
        let mut headers = Headers::from_block(b"a\x001\nb\x002\n".to_vec());
        headers.set("A", "3");
        headers.append("b", "4");
        headers.remove("c");
        headers.remove("b");
        assert_eq!(headers.get("a"), Some(&b"3"[..]));
        assert!(!headers.contains("b"));
        assert_eq!(
            headers.edits().collect::<Vec<_>>(),
            [Edit::Set("a", b"3"), Edit::Append("b", b"4"), Edit::Remove("b")]
        );
    }

    #[test]
    fn what_is_written_holds_no_control_character_and_what_is_received_stays() {
        let mut headers = Headers::new();
        headers.set("a", b"\x01b\tc\x7f\xe9\r\n\0d");
        headers.append("a", "\u{1f}e");
        headers.receive("f", b"\x01g\rh");
        assert_eq!(headers.all("a").collect::<Vec<_>>(), [&b" b\tc \xe9   d"[..], b" e"]);
        assert_eq!(headers.get("f"), Some(&b"\x01g h"[..]));
    }

    #[test]
    fn a_field_goes_in_every_spelling_that_a_server_could_take_for_it() {
        let mut headers = Headers::from_block(b"x_user\x001\nX-User\x002\nX_USER\x003\nx-users\x004\n".to_vec());
        headers.remove_alike("x-user");
        assert_eq!(headers.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["x-users"]);
        headers.receive("x_users", b"5");
        #[cfg(feature = "cache")]
        for (name, expected) in [("X-Users", true), ("x_users", true), ("x-user", false)] {
            assert_eq!(headers.has_lookalike(name), expected, "{name}");
        }
        headers.remove_alike("x-users");
        assert_eq!(headers.size().0, 0);
    }

    #[test]
    fn what_only_the_platform_knows_is_removed_blindly() {
        let mut headers = Headers::partial(b"a\x001\n".to_vec());
        headers.remove("a");
        headers.remove("b");
        assert_eq!(headers.edits().collect::<Vec<_>>(), [Edit::Remove("a"), Edit::Remove("b")]);
    }

    #[test]
    fn a_value_cannot_break_out_of_its_line() {
        let mut headers = Headers::new();
        headers.set("x", "a\r\nset-cookie: b");
        assert_eq!(headers.get("x"), Some(&b"a  set-cookie: b"[..]));
    }
}
