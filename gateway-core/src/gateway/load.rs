//! From the compiled configuration to a gateway.

use super::{Gateway, Plan};
#[cfg(feature = "admin")]
use crate::admin::{Admin, changes};
use crate::config::artefact::{Artefact, Globals, Unreadable};
use crate::consumer::Consumers;
#[cfg(feature = "credentials")]
use crate::credential::Keyring;
#[cfg(feature = "graphql")]
use crate::graphql;
#[cfg(feature = "grpc")]
use crate::grpc::{self, Services};
#[cfg(feature = "rollout")]
use crate::http::Incoming;
use crate::policy::{Counters, Policy, PolicyList, PolicyLists, Tokens};
#[cfg(feature = "rollout")]
use crate::rollout::Rollout;
use crate::route::Routes;
#[cfg(feature = "telemetry")]
use crate::telemetry::Telemetry;
#[cfg(feature = "admin")]
use crate::telemetry::rules::Rules as Observed;
use crate::template::{Reference, Settings};
use crate::upstream::Pool;
#[cfg(feature = "validation")]
use crate::validation::Validation;
use bytes::Bytes;
use std::fmt;
use std::rc::Rc;

/// What a gateway is loaded for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To answer requests.
    Serving,
    /// To say what would become of requests. Nobody is told or shown anything then, so that whatever is only for others is left out: no
    /// explanation may fail because something stands for its secrets.
    #[cfg(feature = "admin")]
    Explaining,
}

/// Why a gateway could not be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoadError {
    /// The bytes are not a compiled configuration of this version.
    Unreadable(Unreadable),
    /// The platform has no value under these names.
    Missing(Vec<Reference>),
    /// The configuration needs features that this gateway was built without.
    Features(Vec<String>),
    /// A target's URL, with its references filled in, is not one.
    Target(String),
    /// A key of an issuer or for sessions, with its references filled in, is not one.
    Keys(String),
    /// An address or a secret of those who observe, with its references filled in, is not one.
    Telemetry(String),
    /// A token of the admin interface is none.
    Admin(String),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Unreadable(unreadable) => unreadable.fmt(f),
            LoadError::Missing(references) => {
                let names: Vec<_> = references.iter().map(ToString::to_string).collect();
                write!(f, "the platform has no value for {}; set it as a secret or variable", names.join(", "))
            }
            LoadError::Features(features) => {
                write!(f, "this gateway was built without the features {}; build it with them", features.join(", "))
            }
            LoadError::Target(why) | LoadError::Keys(why) | LoadError::Telemetry(why) | LoadError::Admin(why) => {
                f.write_str(why)
            }
        }
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The configuration holds what is nobody's business.
        f.debug_struct("Gateway").finish_non_exhaustive()
    }
}

impl Gateway {
    /// Loads a compiled configuration. `settings` is asked once for each referenced value. Decodes what all requests
    /// share; routes are decoded when they are first considered.
    pub fn load(artefact: Bytes, settings: impl FnMut(&Reference) -> Option<String>) -> Result<Self, LoadError> {
        Self::load_for(Purpose::Serving, artefact, settings)
    }

    /// The same for a purpose.
    pub(crate) fn load_for(
        purpose: Purpose,
        artefact: Bytes,
        mut settings: impl FnMut(&Reference) -> Option<String>,
    ) -> Result<Self, LoadError> {
        #[cfg(not(any(feature = "telemetry", feature = "credentials")))]
        let _ = purpose;
        let configuration = artefact.clone();
        let artefact = Artefact::read(&artefact).map_err(LoadError::Unreadable)?;
        let globals = artefact.globals().map_err(LoadError::Unreadable)?;
        let lacking: Vec<_> =
            globals.features.iter().filter(|feature| !FEATURES.contains(&feature.as_str())).cloned().collect();
        if !lacking.is_empty() {
            return Err(LoadError::Features(lacking));
        }
        let mut known = Settings::new();
        let mut missing = Vec::new();
        for reference in &globals.references {
            match settings(reference) {
                Some(value) => drop(known.insert(reference.clone(), value)),
                None => missing.push(reference.clone()),
            }
        }
        if !missing.is_empty() {
            return Err(LoadError::Missing(missing));
        }
        let upstreams = globals.upstreams.iter().map(|upstream| Pool::new(upstream.clone(), &known));
        let upstreams = upstreams.collect::<Result<Vec<_>, _>>().map_err(LoadError::Target)?;
        #[cfg(feature = "credentials")]
        let mut keyring = Keyring::new(purpose, globals.identity.as_ref(), &known).map_err(LoadError::Keys)?;
        #[cfg(feature = "credentials")]
        let upstreams = upstreams.into_iter().map(|pool| {
            let credentials = keyring.credentials(&pool.upstream.credentials, &known);
            match credentials {
                Ok(credentials) => Ok(pool.with_credentials(credentials)),
                Err(why) => {
                    let upstream = &pool.upstream.name;
                    Err(LoadError::Keys(format!("the credentials of the upstream `{upstream}`: {why}")))
                }
            }
        });
        #[cfg(feature = "credentials")]
        let upstreams = upstreams.collect::<Result<Vec<_>, _>>()?;
        #[cfg(feature = "checks")]
        let checked = (0..).zip(&upstreams).filter(|(_, pool)| pool.checks().is_some()).map(|(at, _)| at).collect();
        let routes = Routes::new(artefact.index, artefact.records);
        let tokens = Tokens::new(&globals.issuers, &known).map_err(LoadError::Keys)?;
        #[cfg(feature = "login")]
        let tokens = tokens.with_session_keys(&globals.session_keys, &known).map_err(LoadError::Keys)?;
        let policies = PolicyLists::new(artefact.policies);
        let consumers = Consumers::new(artefact.credentials, artefact.consumers).with_store(globals.consumer_store);
        #[cfg(feature = "telemetry")]
        let telemetry = match purpose {
            Purpose::Serving => Telemetry::new(globals.telemetry.as_deref(), &known),
            #[cfg(feature = "admin")]
            Purpose::Explaining => Telemetry::new(globals.telemetry.as_deref().map(Observed::untold).as_ref(), &known),
        };
        #[cfg(feature = "telemetry")]
        let telemetry = telemetry.map_err(LoadError::Telemetry)?;
        #[cfg(feature = "admin")]
        let admin = match purpose {
            Purpose::Serving => Admin::new(globals.admin.as_deref(), &known).map_err(LoadError::Admin)?.map(Rc::new),
            // Nobody comes in.
            Purpose::Explaining => None,
        };
        Ok(Self {
            globals,
            settings: known,
            routes,
            upstreams,
            #[cfg(feature = "checks")]
            checked,
            policies,
            consumers,
            tokens,
            counters: Counters::default(),
            #[cfg(feature = "credentials")]
            keyring,
            #[cfg(feature = "cache")]
            cache: crate::cache::Memory::default(),
            #[cfg(feature = "validation")]
            validation: Validation::new(artefact.schemas, artefact.operations),
            #[cfg(feature = "grpc")]
            services: Services::new(artefact.services),
            #[cfg(feature = "graphql")]
            graphql: graphql::Memory::default(),
            #[cfg(feature = "telemetry")]
            telemetry,
            #[cfg(feature = "rollout")]
            rollout: None,
            #[cfg(feature = "admin")]
            admin,
            #[cfg(feature = "admin")]
            changes: changes::Known::default(),
            configuration,
        })
    }

    /// Whether a request is about versions of the configuration, which the bundled one answers.
    #[cfg(feature = "rollout")]
    pub(crate) fn is_about_versions<S>(&self, incoming: &Incoming<S>) -> bool {
        self.admin.as_ref().is_some_and(|admin| admin.is_about_versions(incoming))
    }

    /// The same in an instance that has other versions, too.
    #[cfg(feature = "rollout")]
    pub(crate) fn with_rollout(self, rollout: Rc<Rollout>) -> Self {
        Self {
            rollout: Some(rollout),
            // Through the bundled configuration's admin interface, whatever this one says of purges.
            #[cfg(feature = "cache")]
            cache: crate::cache::Memory { are_purged: true, ..self.cache },
            ..self
        }
    }

    /// The references that a compiled configuration makes, for platforms that must ask for values before loading.
    pub fn references(artefact: &Bytes) -> Result<Vec<Reference>, LoadError> {
        let globals = Artefact::read(artefact).and_then(|artefact| artefact.globals());
        Ok(globals.map_err(LoadError::Unreadable)?.references)
    }

    /// The services of this number, for tools that explain.
    #[cfg(feature = "grpc")]
    pub fn services(&self, number: u32) -> Option<Rc<grpc::Service>> {
        self.services.get(number)
    }

    /// The configuration as it was written; empty without an admin interface.
    #[cfg(feature = "admin")]
    pub(crate) fn document(&self) -> Bytes {
        Artefact::read(&self.configuration).map(|artefact| artefact.document).unwrap_or_default()
    }

    /// The routes, for tools that explain.
    pub fn routes(&self) -> &Routes<Plan> {
        &self.routes
    }

    /// The policies of this number, for tools that explain.
    pub fn policies(&self, list: PolicyList) -> Option<Rc<Vec<Policy>>> {
        self.policies.get(list)
    }

    /// The upstreams, by the places that routes name.
    pub fn upstreams(&self) -> &[Pool] {
        &self.upstreams
    }

    /// The address of the Redis that counts on Spin, if there is one.
    pub fn redis(&self) -> Option<String> {
        self.globals.redis.as_ref().map(|redis| redis.resolve(&self.settings))
    }

    /// What the whole gateway shares.
    pub fn globals(&self) -> &Globals {
        &self.globals
    }
}

/// The cargo features that a configuration may need, as far as this gateway was built with them.
const FEATURES: [&str; 27] = [
    if cfg!(feature = "admin") { "admin" } else { "" },
    if cfg!(feature = "regex") { "regex" } else { "" },
    if cfg!(feature = "rsa") { "rsa" } else { "" },
    if cfg!(feature = "es256") { "es256" } else { "" },
    if cfg!(feature = "es384") { "es384" } else { "" },
    if cfg!(feature = "eddsa") { "eddsa" } else { "" },
    if cfg!(feature = "login") { "login" } else { "" },
    if cfg!(feature = "signatures") { "signatures" } else { "" },
    if cfg!(feature = "expressions") { "expressions" } else { "" },
    if cfg!(feature = "validation") { "validation" } else { "" },
    if cfg!(feature = "grpc") { "grpc" } else { "" },
    if cfg!(feature = "json_rpc") { "json_rpc" } else { "" },
    if cfg!(feature = "mcp") { "mcp" } else { "" },
    if cfg!(feature = "graphql") { "graphql" } else { "" },
    if cfg!(feature = "soap") { "soap" } else { "" },
    if cfg!(feature = "shaping") { "shaping" } else { "" },
    if cfg!(feature = "formats") { "formats" } else { "" },
    if cfg!(feature = "queries") { "queries" } else { "" },
    if cfg!(feature = "codings") { "codings" } else { "" },
    if cfg!(feature = "checks") { "checks" } else { "" },
    if cfg!(feature = "idempotency") { "idempotency" } else { "" },
    if cfg!(feature = "mirror") { "mirror" } else { "" },
    if cfg!(feature = "credentials") { "credentials" } else { "" },
    if cfg!(feature = "telemetry") { "telemetry" } else { "" },
    if cfg!(feature = "cache") { "cache" } else { "" },
    if cfg!(feature = "compose") { "compose" } else { "" },
    if cfg!(feature = "rollout") { "rollout" } else { "" },
];
