//! Configuration without deployment: versions of the compiled configuration that live in the platform's store, who is served by
//! which of them, and what becomes of them.
//!
//! One owner for all instances knows how things stand ([`Standing`]): which version is in service, which one is on trial and for
//! how many callers. Whoever wants to change that, or to know, sends it an [`Order`], which [`perform`] carries out in one step.
//! Instances look once in an interval, after an answer; what they have counted meanwhile goes with it, and so the owner sees by
//! itself when a version does harm ([`judge()`]).
//!
//! Read on in [`standing`] (the owner's step), [`mod@judge`], [`elected`] (the same step where the store cannot do it as a whole) and
//! [`local`] (what an instance has of it).

pub mod elected;
pub mod endpoint;
pub mod judge;
pub mod local;
pub mod standing;

pub use judge::{Judgement, judge};
pub use local::Rollout;
pub use standing::{Act, Order, Refusal, Refused, Seen, Standing, Step, Trial, Verdict, perform};

use crate::client::{Cidr, Client};
use crate::consumer::hex;
use crate::http::Incoming;
use crate::upstream::{hash, mix};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::net::IpAddr;

/// How versions are rolled out. Always those of the bundled configuration: no version changes the rules that it is tried by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// How often an instance looks, in milliseconds.
    pub interval: u64,
    /// For how many of a hundred callers a version is on trial at first, where nobody says otherwise.
    pub percent: u8,
    /// The shares that follow by themselves, ascending, each below a hundred. After the last one come all callers; none: nothing
    /// follows by itself.
    pub steps: Vec<u8>,
    /// How long a share lasts at least, in milliseconds.
    pub step_time: u64,
    /// By how much the new version's error rate may exceed the old one's, in ten-thousandths.
    pub margin: u32,
    /// How many requests of the new version it takes to judge it.
    pub min_requests: u64,
    /// How long requests count, in milliseconds: what is older than twice as long says nothing.
    pub window: u64,
    /// How many versions are kept.
    pub keep: u32,
    /// Fields of requests that tell callers apart, the first of them that is there; without any it is the address.
    pub identity: Vec<String>,
}

/// Which version serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arm {
    /// The one in service.
    Old,
    /// The one on trial.
    New,
}

/// What identifies a compiled configuration: the beginning of its SHA-256, sixteen hexadecimal digits. The endpoint `version` shows
/// the same.
pub fn identify(artefact: &[u8]) -> String {
    hex(&Sha256::digest(artefact)[..8])
}

/// Whether a text could identify a version.
pub fn is_identifier(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Which version serves a caller while another one is on trial for so many of a hundred: the same one each time, and whoever is
/// served by the new version stays with it when its share grows. Each version is tried on other callers first.
pub fn arm(version: &str, caller: u64, percent: u8) -> Arm {
    let lot = mix(caller ^ mix(hash(version.as_bytes()))) % 100;
    if lot < u64::from(percent) { Arm::New } else { Arm::Old }
}

/// A number for whoever sends a request, before anybody has proven who that is: a hash of the first field that is there, else of
/// the client's address as trusted proxies tell it.
pub fn caller<S>(incoming: &Incoming<S>, identity: &[String], trusted: &[Cidr]) -> u64 {
    let shown = identity.iter().find_map(|name| Some((name, incoming.headers.get(name)?)));
    if let Some((name, value)) = shown {
        return mix(hash(name.as_bytes())) ^ hash(value);
    }
    let peer = &incoming.peer;
    let through_proxy = peer.address.is_some_and(|address| trusted.iter().any(|range| range.contains(address)));
    let address = if through_proxy {
        Client::resolve(peer.clone(), incoming.scheme, &incoming.headers, trusted).address
    } else {
        peer.address
    };
    match address.map(|address| address.to_canonical()) {
        Some(IpAddr::V4(address)) => hash(&address.octets()),
        // What one client has is a network of its own (RFC 6177).
        Some(IpAddr::V6(address)) => hash(&address.octets()[..8]),
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Body, Headers, Peer, Scheme};

    #[test]
    fn a_version_identifies_itself() {
        let id = identify(b"a configuration");
        assert!(is_identifier(&id), "{id}");
        assert_ne!(id, identify(b"another one"));
        for wrong in ["", "0123456789abcde", "0123456789abcdefg", "0123456789ABCDEF", "../../../../../.."] {
            assert!(!is_identifier(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_share_is_about_as_large_as_it_says() {
        for percent in [0, 1, 10, 50, 99, 100] {
            let new = (0..100_000).filter(|caller| arm("v", mix(*caller), percent) == Arm::New).count();
            let expected = usize::from(percent) * 1_000;
            assert!(new.abs_diff(expected) < 600, "{percent} %: {new} of 100,000");
        }
        assert!((0..1_000).all(|caller| arm("v", caller, 0) == Arm::Old));
        assert!((0..1_000).all(|caller| arm("v", caller, 100) == Arm::New));
    }

    #[test]
    fn who_has_the_new_version_keeps_it_when_its_share_grows() {
        for caller in (0..2_000).map(mix) {
            let arms: Vec<_> = (0..=100).map(|percent| arm("v", caller, percent)).collect();
            let turns = arms.windows(2).filter(|pair| pair[0] != pair[1]).count();
            assert_eq!(turns, 1, "{caller}");
        }
    }

    #[test]
    fn each_version_is_tried_on_other_callers() {
        let first = |version| (0..10_000).map(mix).filter(move |caller| arm(version, *caller, 10) == Arm::New);
        let both = first("one").filter(|caller| arm("two", *caller, 10) == Arm::New).count();
        assert!((50..200).contains(&both), "{both} of about a thousand");
    }

    #[test]
    fn callers_are_told_apart_by_what_they_show_and_else_by_where_they_are() {
        let from = |address: &str, fields: &[(&str, &str)]| {
            let mut headers = Headers::new();
            fields.iter().for_each(|(name, value)| headers.receive(name, value.as_bytes()));
            let peer = Peer { address: address.parse().ok(), ..Peer::default() };
            let incoming = Incoming {
                method: "GET".to_owned(),
                scheme: Scheme::Http,
                authority: String::new(),
                target: "/".to_owned(),
                headers,
                body: Body::<()>::Empty,
                peer,
            };
            let trusted = ["10.0.0.0/8".parse().expect("a range")];
            caller(&incoming, &["authorization".to_owned(), "x-key".to_owned()], &trusted)
        };
        let alice = from("192.0.2.1", &[("authorization", "alice")]);
        assert_eq!(alice, from("192.0.2.2", &[("authorization", "alice"), ("x-key", "k")]), "wherever she is");
        assert_ne!(alice, from("192.0.2.1", &[("authorization", "bob")]));
        assert_ne!(alice, from("192.0.2.1", &[("x-key", "alice")]), "another field is another name");
        assert_ne!(from("192.0.2.1", &[]), from("192.0.2.2", &[]));
        assert_eq!(from("192.0.2.1", &[]), from("::ffff:192.0.2.1", &[]));
        assert_eq!(from("2001:db8::1", &[]), from("2001:db8::2", &[]), "one network");
        let behind = |fields: &[(&str, &str)]| from("10.0.0.1", fields);
        assert_eq!(behind(&[("x-forwarded-for", "192.0.2.1")]), from("192.0.2.1", &[]));
        assert_eq!(from("192.0.2.9", &[("x-forwarded-for", "192.0.2.1")]), from("192.0.2.9", &[]), "anybody's claim");
    }
}
