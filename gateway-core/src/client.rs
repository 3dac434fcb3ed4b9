//! Who the client is, seen through the proxies that are trusted, and nobody else's claims.

use crate::http::{Certificate, Headers, Peer, Scheme, list};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// The client as routes, policies and templates see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// The address nearest to the client that a trusted hop vouches for.
    pub address: Option<IpAddr>,
    /// The address of the connection's other end: the client itself, or the last proxy before us.
    pub peer: Option<IpAddr>,
    /// The scheme that the client used, as far as a trusted hop knows it.
    pub scheme: Scheme,
    /// Whether the peer itself is a trusted proxy, so that what it forwarded is kept and continued.
    pub through_trusted: bool,
    /// The country, as the platform tells.
    pub country: Option<String>,
    /// The data centre, as the platform tells.
    pub data_centre: Option<String>,
    /// The client's certificate, as the platform has verified it. A trusted proxy's own is not the client's.
    pub certificate: Option<Certificate>,
}

impl Client {
    /// Reads `X-Forwarded-For` and `X-Forwarded-Proto` (or `Forwarded`, RFC 7239) from the right, as long as the
    /// addresses are trusted; what stands left of the first one that is not is anybody's claim.
    pub fn resolve(peer: Peer, scheme: Scheme, headers: &Headers, trusted: &[Cidr]) -> Self {
        let is_trusted = |address: &IpAddr| trusted.iter().any(|range| range.contains(*address));
        // One spelling wherever it stands: systems that listen on both give IPv4 addresses in IPv6 form (RFC 4291 §2.5.5.2).
        let peer = Peer { address: peer.address.map(|address| address.to_canonical()), ..peer };
        let through_trusted = peer.address.as_ref().is_some_and(is_trusted);
        let mut client = Client {
            address: peer.address,
            peer: peer.address,
            scheme,
            through_trusted,
            country: peer.country,
            data_centre: peer.data_centre,
            certificate: peer.certificate.filter(|_| !through_trusted),
        };
        if !through_trusted {
            return client;
        }
        let (hops, proto) = claims(headers);
        for hop in hops.into_iter().rev() {
            let Some(address) = hop.map(|address| address.to_canonical()) else { break };
            client.address = Some(address);
            if !is_trusted(&address) {
                break;
            }
        }
        client.scheme = proto.unwrap_or(scheme);
        client
    }
}

/// The addresses that the hops report, nearest to us last (`None`: hidden or unreadable), and the scheme told last.
fn claims(headers: &Headers) -> (Vec<Option<IpAddr>>, Option<Scheme>) {
    if headers.contains("x-forwarded-for") || headers.contains("x-forwarded-proto") {
        let hops = list(headers, "x-forwarded-for").map(node).collect();
        return (hops, list(headers, "x-forwarded-proto").last().and_then(scheme));
    }
    let mut hops = Vec::new();
    let mut proto = None;
    for element in list(headers, "forwarded") {
        for pair in element.split(';') {
            let Some((key, value)) = pair.trim().split_once('=') else { continue };
            let value = value.trim().trim_matches('"');
            if key.eq_ignore_ascii_case("for") {
                hops.push(node(value));
            } else if key.eq_ignore_ascii_case("proto") {
                proto = scheme(value);
            }
        }
    }
    (hops, proto)
}

fn scheme(text: &str) -> Option<Scheme> {
    if text.eq_ignore_ascii_case("https") {
        Some(Scheme::Https)
    } else if text.eq_ignore_ascii_case("http") {
        Some(Scheme::Http)
    } else {
        None
    }
}

/// A node with or without a port: `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]:4711`.
fn node(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    if let Some(rest) = text.strip_prefix('[') {
        return rest.split_once(']')?.0.parse().ok();
    }
    text.rsplit_once(':')?.0.parse().ok()
}

/// A range of addresses (RFC 4632, RFC 4291 §2.3): `10.0.0.0/8`, `2001:db8::/32`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    address: IpAddr,
    bits: u8,
}

impl Cidr {
    /// Whether the address lies in the range. An IPv4 address in IPv6 form (`::ffff:a.b.c.d`) counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(range), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                (u32::from(range) ^ u32::from(address)) & mask == 0
            }
            (IpAddr::V6(range), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                (u128::from(range) ^ u128::from(address)) & mask == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    /// The range with the host's bits zero; differs from `self` where some were written (`10.0.0.1/8`).
    pub fn network(&self) -> Self {
        let address = match self.address {
            IpAddr::V4(v4) => {
                IpAddr::V4((u32::from(v4) & u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0)).into())
            }
            IpAddr::V6(v6) => {
                IpAddr::V6((u128::from(v6) & u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0)).into())
            }
        };
        Self { address, bits: self.bits }
    }
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not an address or a range such as 10.0.0.0/8 or 2001:db8::/32");
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) if bits.bytes().all(|b| b.is_ascii_digit()) => bits.parse().map_err(|_| wrong())?,
            Some(_) => return Err(wrong()),
            None => most,
        };
        match (address.to_canonical(), bits) {
            _ if bits > most => Err(wrong()),
            // Addresses in this form count as IPv4, and so must the range.
            (address @ IpAddr::V4(_), bits) if most == 128 && bits >= 96 => Ok(Self { address, bits: bits - 96 }),
            _ => Ok(Self { address, bits }),
        }
    }
}

impl TryFrom<String> for Cidr {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Cidr> for String {
    fn from(range: Cidr) -> String {
        range.to_string()
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(peer: &str, block: &str, trusted: &[&str]) -> Client {
        let trusted: Vec<Cidr> = trusted.iter().map(|text| text.parse().expect("a range")).collect();
        let peer = Peer { address: Some(peer.parse().expect("an address")), ..Peer::default() };
        Client::resolve(peer, Scheme::Http, &Headers::from_block(block.as_bytes().to_vec()), &trusted)
    }

    #[test]
    fn nobody_is_believed_who_is_not_trusted() {
        let client = resolve("192.0.2.9", "x-forwarded-for\x001.1.1.1\nx-forwarded-proto\0https\n", &["10.0.0.0/8"]);
        assert_eq!(client.address.map(|a| a.to_string()).as_deref(), Some("192.0.2.9"));
        assert_eq!(client.scheme, Scheme::Http);
    }

    #[test]
    fn the_first_untrusted_hop_from_the_right_is_the_client() {
        for (block, expected) in [
            ("x-forwarded-for\x006.6.6.6, 192.0.2.1, 10.2.2.2\n", "192.0.2.1"),
            ("x-forwarded-for\x006.6.6.6\nx-forwarded-for\x00192.0.2.1:80\n", "192.0.2.1"),
            ("x-forwarded-for\x0010.1.1.1, 10.2.2.2\n", "10.1.1.1"),
            ("x-forwarded-for\x006.6.6.6, nonsense, 10.2.2.2\n", "10.2.2.2"),
            ("forwarded\0for=6.6.6.6, for=\"[2001:db8::1]:4711\";proto=https, for=10.2.2.2\n", "2001:db8::1"),
            ("x-forwarded-for\x006.6.6.6, ::ffff:192.0.2.1, ::ffff:10.2.2.2\n", "192.0.2.1"),
            ("accept\0*/*\n", "10.0.0.1"),
        ] {
            let client = resolve("10.0.0.1", block, &["10.0.0.0/8"]);
            assert_eq!(client.address.map(|a| a.to_string()).as_deref(), Some(expected), "{block}");
        }
    }

    #[test]
    fn an_ipv4_address_is_one_in_either_form() {
        let client = resolve("::ffff:192.0.2.9", "accept\0*/*\n", &[]);
        assert_eq!(client.peer.map(|a| a.to_string()).as_deref(), Some("192.0.2.9"));
        assert_eq!(client.address, client.peer);
    }

    #[test]
    fn ranges() {
        for (range, address, inside) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("::/0", "1.2.3.4", false),
            ("::/0", "2001:db8::1", true),
            ("10.0.0.0/8", "::ffff:10.1.1.1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("::ffff:192.0.2.0/120", "192.0.2.7", true),
            ("::ffff:192.0.2.0/120", "::ffff:192.0.2.7", true),
            ("::ffff:192.0.2.0/120", "192.0.3.7", false),
            ("::ffff:192.0.2.1", "192.0.2.1", true),
            ("::ffff:0:0/96", "203.0.113.1", true),
            ("::/0", "::ffff:192.0.2.1", false),
        ] {
            let range: Cidr = range.parse().expect("a range");
            assert_eq!(range.contains(address.parse().expect("an address")), inside, "{range} {address}");
        }
        for wrong in ["", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/+8", "10.0.0/8", "::/129", "x"] {
            assert!(wrong.parse::<Cidr>().is_err(), "{wrong}");
        }
    }
}
