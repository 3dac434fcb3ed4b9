//! The compiled configuration: one block of bytes that travels beside the Wasm and is read in place.
//!
//! ```text
//! "POSTERN" 0x00 · format version · then ten sections, each as offset and length:
//!   globals   JSON: what the whole gateway shares, decoded when it is loaded
//!   index     the frozen route index (route/index.rs), never decoded
//!   records   one JSON text per route (record.rs), packed (route/records.rs), decoded when the route is first considered
//!   policies  one JSON text per list of policies, packed alike, decoded when a route with it is first taken
//!   schemas   what messages are checked against (schema/mod.rs), never decoded
//!   operations  one JSON text per operation of an OpenAPI document, packed alike, decoded when it is first asked for
//!   services  the methods of gRPC services and their descriptors, packed alike, decoded when they are first called
//!   document  the configuration as it was written, for the admin interface, never decoded
//!   credentials, consumers   a frozen table and one JSON text per consumer (consumer.rs), decoded when it first calls
//! ```
//!
//! Numbers are little-endian `u32`. Nothing else is promised: the tool that writes the block and the Wasm that reads it
//! are of the same version, and the version says so where they are not.

use crate::certificate::CertificateSource;
use crate::client::Cidr;
#[cfg(feature = "credentials")]
use crate::credential::Identity;
use crate::forward::ForwardedFields;
use crate::held::StoreRules;
use crate::policy::PolicyList;
use crate::policy::authenticate::issuer::Issuer;
use crate::record;
use crate::request::Limits;
use crate::serve::Used;
#[cfg(feature = "telemetry")]
use crate::telemetry::rules::Rules;
use crate::template::{Reference, Template};
use crate::upstream::Upstream;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What the whole gateway shares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Globals {
    /// Peers whose word on the client counts.
    pub trusted_proxies: Vec<Cidr>,
    /// Where clients' certificates come from.
    #[serde(default)]
    pub certificates: CertificateSource,
    /// How the upstream is told of the client.
    pub forwarded: ForwardedFields,
    /// The name in `Via`.
    pub via: String,
    /// Whether a host that no route knows is answered 421 instead of 404.
    pub misdirected: bool,
    /// What is done where no route takes a request.
    #[serde(default, skip_serializing_if = "PolicyList::is_first")]
    pub unmatched: PolicyList,
    /// What is taken at most.
    pub limits: Limits,
    /// Whether credentials that no consumer of the configuration has are looked up in the platform's store, and how.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumer_store: Option<StoreRules>,
    /// The stores of the platform that requests need.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stores: Vec<Used>,
    /// The Redis that counts on Spin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis: Option<Template>,
    /// Every upstream; routes refer to them by place.
    pub upstreams: Vec<Upstream>,
    /// Every issuer of tokens; policies refer to them by place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub issuers: Vec<Issuer>,
    /// Every list of secrets that sessions are sealed with; logins refer to them by place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub session_keys: Vec<Vec<Template>>,
    /// In whose name the gateway tells upstreams who is calling.
    #[cfg(feature = "credentials")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// Every value of the platform's that the configuration refers to.
    pub references: Vec<Reference>,
    /// What is observed, and who is told.
    #[cfg(feature = "telemetry")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub telemetry: Option<Box<Rules>>,
    /// How other versions of the configuration are rolled out.
    #[cfg(feature = "rollout")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<crate::rollout::Rules>,
    /// The admin interface.
    #[cfg(feature = "admin")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<Box<crate::admin::Rules>>,
    /// The cargo features that the gateway needs to have been built with.
    pub features: Vec<String>,
}

/// The sections of a compiled configuration.
#[derive(Debug, Clone)]
pub struct Artefact {
    /// JSON of [`Globals`].
    pub globals: Bytes,
    /// For [`crate::route::Routes`].
    pub index: Bytes,
    /// For [`crate::route::Routes`].
    pub records: Bytes,
    /// For [`crate::policy::PolicyLists`].
    pub policies: Bytes,
    /// For [`crate::consumer::Consumers`].
    pub credentials: Bytes,
    /// For [`crate::consumer::Consumers`].
    pub consumers: Bytes,
    /// For `crate::validation::Validation`.
    pub schemas: Bytes,
    /// For `crate::validation::Validation`.
    pub operations: Bytes,
    /// For `crate::grpc::Services`.
    pub services: Bytes,
    /// The configuration as it was written, as JSON, for the admin interface; empty without one.
    pub document: Bytes,
}

/// Why a block of bytes is not a compiled configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// It does not begin as one does.
    NotAnArtefact,
    /// It was written by another version of the tool.
    Version(u32),
    /// It ends too early.
    Truncated,
    /// Its shared part cannot be decoded.
    Globals(String),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unreadable::NotAnArtefact => {
                f.write_str("this is not a compiled configuration; make one with `postern compile`")
            }
            Unreadable::Version(version) => write!(
                f,
                "the configuration was compiled in format {version}, this gateway reads format {VERSION}; compile it with the \
                 tool of the same version"
            ),
            Unreadable::Truncated => f.write_str("the compiled configuration ends too early; compile it again"),
            Unreadable::Globals(why) => {
                write!(f, "the compiled configuration cannot be decoded ({why}); compile it again")
            }
        }
    }
}

const MAGIC: [u8; 8] = *b"POSTERN\0";
const VERSION: u32 = 6;
const HEADER: usize = MAGIC.len() + 4 + 10 * 8;

impl Artefact {
    /// Packs the sections.
    pub fn write(&self) -> Vec<u8> {
        let size: usize = self.sections().iter().map(|section| section.len().next_multiple_of(4)).sum();
        let mut out = Vec::with_capacity(HEADER + size);
        out.extend(MAGIC);
        out.extend(VERSION.to_le_bytes());
        let mut start = HEADER;
        for section in self.sections() {
            start = start.next_multiple_of(4);
            for number in [start, section.len()] {
                out.extend(u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes());
            }
            start += section.len();
        }
        for section in self.sections() {
            out.resize(out.len().next_multiple_of(4), 0);
            out.extend_from_slice(section);
        }
        out
    }

    fn sections(&self) -> [&Bytes; 10] {
        let Self { globals, index, records, policies, credentials, consumers, schemas, operations, services, document } =
            self;
        [globals, index, records, policies, credentials, consumers, schemas, operations, services, document]
    }

    /// Finds the sections; copies and decodes nothing.
    pub fn read(bytes: &Bytes) -> Result<Self, Unreadable> {
        let Some(rest) = bytes.strip_prefix(&MAGIC) else { return Err(Unreadable::NotAnArtefact) };
        let (words, _) = rest.as_chunks::<4>();
        let word = |at: usize| words.get(at).map(|word| u32::from_le_bytes(*word)).ok_or(Unreadable::Truncated);
        match word(0)? {
            VERSION => {}
            other => return Err(Unreadable::Version(other)),
        }
        let section = |at: usize| {
            let (start, length) = (word(at)? as usize, word(at + 1)? as usize);
            let end = start.checked_add(length).filter(|end| *end <= bytes.len()).ok_or(Unreadable::Truncated)?;
            Ok(bytes.slice(start..end))
        };
        Ok(Self {
            globals: section(1)?,
            index: section(3)?,
            records: section(5)?,
            policies: section(7)?,
            credentials: section(9)?,
            consumers: section(11)?,
            schemas: section(13)?,
            operations: section(15)?,
            services: section(17)?,
            document: section(19)?,
        })
    }

    /// Decodes the shared part.
    pub fn globals(&self) -> Result<Globals, Unreadable> {
        record::read(&self.globals).map_err(|error| Unreadable::Globals(error.to_string()))
    }
}
