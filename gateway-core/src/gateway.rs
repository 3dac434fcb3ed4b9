//! The way of one request, top to bottom.

#[cfg(feature = "compose")]
mod batch;
#[cfg(feature = "compose")]
mod compose;
pub mod inner;
#[cfg(feature = "mcp")]
mod mcp;
#[cfg(feature = "json_rpc")]
mod split;

#[cfg(feature = "compose")]
pub use self::compose::Production;

#[cfg(feature = "admin")]
use crate::admin::{Admin, changes};
use crate::answer::{self, Redirect, Respond};
#[cfg(feature = "cache")]
use crate::cache::purge::{self, Change};
use crate::caller::Caller;
use crate::certificate::CertificateSource;
#[cfg(feature = "compose")]
use crate::compose::{Batch, Compose};
use crate::config::artefact::{Artefact, Globals, Unreadable};
use crate::consumer::Consumers;
#[cfg(feature = "credentials")]
use crate::credential::Keyring;
use crate::error::{Blame, Error};
#[cfg(feature = "admin")]
use crate::explain::Rehearsal;
#[cfg(all(feature = "telemetry", feature = "expressions"))]
use crate::expression::Facts;
use crate::forward::{self, Forward, PathChange};
#[cfg(feature = "graphql")]
use crate::graphql::{self, StoredQuery};
#[cfg(feature = "grpc")]
use crate::grpc::{self, Admitted, Grpc, Services};
use crate::http::{Body, Certificate, Headers, Incoming, Response};
#[cfg(feature = "json_rpc")]
use crate::json_rpc::RpcCall;
#[cfg(feature = "mcp")]
use crate::mcp::{Mcp, ProtectedResource};
use crate::platform::{Call, FetchError, Interest, Patience, Platform, StoreError};
#[cfg(feature = "cache")]
use crate::policy::cache::{Cached, Flight, Keeping};
#[cfg(feature = "mirror")]
use crate::policy::mirror;
use crate::policy::{
    Counters, Deferred, Departure, Flow, Memo, Policy, PolicyList, PolicyLists, Remark, Tokens, Visit, cors,
};
use crate::pump::{self, Broken};
use crate::request::{Line, Request, RouteLimits, strip_hop_by_hop};
#[cfg(feature = "rollout")]
use crate::rollout::Rollout;
use crate::route::{self, Found, Matched, Routes};
use crate::serve::{self, Endpoint};
#[cfg(feature = "soap")]
use crate::soap::Soap;
#[cfg(feature = "telemetry")]
use crate::telemetry::Telemetry;
#[cfg(feature = "admin")]
use crate::telemetry::rules::Rules as Observed;
#[cfg(feature = "telemetry")]
use crate::telemetry::watch::Costs;
#[cfg(all(feature = "telemetry", feature = "cache"))]
use crate::telemetry::watch::Record;
#[cfg(feature = "telemetry")]
use crate::telemetry::watch::Watch;
use crate::telemetry::watch::{self, Watched};
use crate::template::{Reference, Scope, Settings, Template, View};
#[cfg(any(feature = "graphql", feature = "soap", feature = "json_rpc"))]
use crate::translate::{self, Answered, Translation};
use crate::upstream::{self, Cause, Failed, Fallback, HostHeader, Instead, Pool};
#[cfg(feature = "validation")]
use crate::validation::Validation;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

/// A loaded configuration that answers requests. Shown, it is what was compiled, without the platform's values.
pub struct Gateway {
    globals: Globals,
    pub(crate) settings: Settings,
    routes: Routes<Plan>,
    upstreams: Vec<Pool>,
    /// The places of those whose targets are checked.
    #[cfg(feature = "checks")]
    checked: Vec<u32>,
    pub(crate) consumers: Consumers,
    pub(crate) policies: PolicyLists,
    tokens: Tokens,
    counters: Counters,
    #[cfg(feature = "credentials")]
    keyring: Keyring,
    #[cfg(feature = "cache")]
    cache: crate::cache::Memory,
    #[cfg(feature = "validation")]
    validation: Validation,
    #[cfg(feature = "grpc")]
    services: Services,
    #[cfg(feature = "graphql")]
    graphql: graphql::Memory,
    #[cfg(feature = "telemetry")]
    pub(crate) telemetry: Option<Telemetry>,
    /// What the instance has of other versions of the configuration.
    #[cfg(feature = "rollout")]
    pub(crate) rollout: Option<Rc<Rollout>>,
    #[cfg(feature = "admin")]
    pub(crate) admin: Option<Rc<Admin>>,
    /// What has been changed through the admin interface.
    #[cfg(feature = "admin")]
    pub(crate) changes: changes::Known,
    /// The compiled configuration: a hash of it tells it from others.
    pub(crate) configuration: Bytes,
}

/// What a route does with its requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// In written order: the number of a list in [`PolicyLists`], since many routes do the same.
    #[serde(rename = "p", default, skip_serializing_if = "PolicyList::is_first")]
    pub policies: PolicyList,
    /// How many bytes a request's body may have; `None`: no limit.
    #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
    pub body_limit: Option<u64>,
    /// What else is taken at most, where that is less than elsewhere.
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<RouteLimits>,
    /// Where the answer comes from.
    #[serde(rename = "a")]
    pub action: Action,
}

impl Plan {
    /// The automatic answer to `OPTIONS`, with policies.
    fn options(policies: PolicyList, allow: &[String]) -> Self {
        let headers = vec![("allow".to_owned(), Template::literal(allow.join(", ")))];
        let action = Action::Respond(Respond { status: 204, headers, body: None });
        Self { policies, body_limit: None, limits: None, action }
    }

    /// What of a request is more than the route takes, as far as its head tells.
    fn exceeded(&self, line: &Line, headers: &Headers, content_length: Option<u64>) -> Option<Error> {
        let limits = self.limits.as_ref().and_then(|limits| limits.check(line, headers).err());
        let body = || content_length.zip(self.body_limit).filter(|(length, limit)| length > limit);
        limits.or_else(|| body().map(|(_, limit)| Error::BodyTooLarge { limit }))
    }
}

/// Where the answer comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// From an upstream.
    Forward(Forward),
    /// From a method of an upstream's services.
    #[cfg(feature = "grpc")]
    Grpc(Box<Grpc>),
    /// From a method of a JSON-RPC server.
    #[cfg(feature = "json_rpc")]
    JsonRpc(Box<RpcCall>),
    /// From tools, by the Model Context Protocol.
    #[cfg(feature = "mcp")]
    Mcp(Box<Mcp>),
    /// From here: who may call the tools of another route.
    #[cfg(feature = "mcp")]
    ProtectedResource(Box<ProtectedResource>),
    /// From an upstream that is asked a query of the configuration's.
    #[cfg(feature = "graphql")]
    Graphql(Box<StoredQuery>),
    /// From an upstream that is sent a SOAP message.
    #[cfg(feature = "soap")]
    Soap(Box<Soap>),
    /// From elsewhere: the client goes there.
    Redirect(Redirect),
    /// From here.
    Respond(Respond),
    /// The keys by which anybody can see that the gateway has told who is calling.
    #[cfg(feature = "credentials")]
    IdentityKeys,
    /// What the gateway knows of itself.
    Serve(Endpoint),
    /// From here, when what the request names has been taken back from caches.
    #[cfg(feature = "cache")]
    Purge,
    /// From several calls.
    #[cfg(feature = "compose")]
    Compose(Box<Compose>),
    /// From the gateway itself, for each of several requests in one.
    #[cfg(feature = "compose")]
    Batch(Box<Batch>),
}

impl Action {
    /// How the request gets to an upstream, where it does.
    pub fn forward(&self) -> Option<&Forward> {
        match self {
            Action::Forward(forward) => Some(forward),
            #[cfg(feature = "grpc")]
            Action::Grpc(grpc) => Some(&grpc.forward),
            #[cfg(feature = "json_rpc")]
            Action::JsonRpc(call) => Some(&call.forward),
            #[cfg(feature = "mcp")]
            Action::Mcp(_) | Action::ProtectedResource(_) => None,
            #[cfg(feature = "graphql")]
            Action::Graphql(stored) => Some(&stored.forward),
            #[cfg(feature = "soap")]
            Action::Soap(soap) => Some(&soap.forward),
            Action::Redirect(_) | Action::Respond(_) | Action::Serve(_) => None,
            #[cfg(feature = "credentials")]
            Action::IdentityKeys => None,
            #[cfg(feature = "cache")]
            Action::Purge => None,
            #[cfg(feature = "compose")]
            Action::Compose(_) | Action::Batch(_) => None,
        }
    }

    /// Whether it is answered by requests of the gateway's own, through the gateway's own routes.
    #[cfg(any(feature = "compose", feature = "mcp"))]
    fn makes_requests(&self) -> bool {
        match self {
            #[cfg(feature = "compose")]
            Action::Batch(_) => true,
            #[cfg(feature = "mcp")]
            Action::Mcp(_) => true,
            _ => false,
        }
    }

    /// Whether it looks at fields of the request.
    fn asks_request(&self) -> bool {
        match self {
            Action::Redirect(redirect) => redirect.to.asks_request(),
            Action::Respond(respond) => {
                let headers = respond.headers.iter().map(|(_, value)| value);
                headers.chain(&respond.body).any(|template| template.asks_request())
            }
            // Some of them go on with every step.
            #[cfg(feature = "compose")]
            Action::Compose(_) => true,
            // Their own templates see the fields as they are.
            _ => self
                .forward()
                .is_some_and(|forward| matches!(&forward.path, PathChange::Rewrite(path) if path.asks_request())),
        }
    }
}

/// A response, always, and what is left to do when it has been sent.
#[derive(Debug)]
pub struct Reply<S> {
    /// For the client.
    pub response: Response<S>,
    /// For the log, where something went wrong that the client is not to blame for.
    pub notes: Vec<Note>,
    /// What nobody waits for: see [`Gateway::settle`].
    pub deferred: Vec<Deferred>,
    /// The status of the problem that the gateway has answered with, for want of another answer. One from a cache may have come in its
    /// place since.
    pub refused: Option<u16>,
}

/// A line for the log, written as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// The problem's code.
    pub problem: &'static str,
    /// The status that the client got; 0 where the answer had been sent before.
    pub status: u16,
    /// Stands in the problem details too.
    pub request_id: String,
    /// The route that was taken.
    pub route: Option<String>,
    /// What happened, in words that are not for the client.
    pub detail: String,
}

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

    /// Answers one request. Never fails: whatever goes wrong becomes a response where it is known.
    pub async fn handle<P: Platform>(&self, platform: &P, incoming: Incoming<P::Stream>) -> Reply<P::Stream> {
        #[cfg(feature = "telemetry")]
        let record = self.telemetry.as_ref().map(|telemetry| telemetry.begin(platform, &incoming));
        #[cfg(not(feature = "telemetry"))]
        let record = None;
        let watched = Watched::new(platform, record);
        #[cfg(feature = "admin")]
        let (mut deferred, mut heard) = (Vec::new(), None);
        #[cfg(feature = "admin")]
        if self.is_administered() {
            // Boxed, so that the common case need not carry its size around.
            heard = Box::pin(self.catch_up(platform, &mut deferred)).await;
        }
        #[allow(unused_mut, reason = "changed by those who observe")]
        let mut reply = self.answer(&watched, incoming).await;
        #[cfg(feature = "admin")]
        {
            reply.notes.extend(heard);
            reply.deferred.append(&mut deferred);
        }
        #[cfg(feature = "checks")]
        self.look_at_checks(platform, &mut reply.deferred);
        #[cfg(feature = "telemetry")]
        if let (Some(telemetry), Some(record)) = (&self.telemetry, watched.into_record()) {
            telemetry.end(platform, record, &mut reply);
        }
        reply
    }

    /// Has what checks have found looked at when it is time, whatever the request was about: after the answer.
    #[cfg(feature = "checks")]
    fn look_at_checks<P: Platform>(&self, platform: &P, deferred: &mut Vec<Deferred>) {
        if self.checked.is_empty() {
            return;
        }
        let now = platform.now();
        for at in &self.checked {
            let Some(pool) = self.upstreams.get(*at as usize).filter(|pool| pool.is_to_look(now)) else { continue };
            pool.look(now);
            deferred.push(Deferred::Check(*at));
        }
    }

    /// Whether targets of any upstream are checked.
    pub fn has_checks(&self) -> bool {
        #[cfg(feature = "checks")]
        return !self.checked.is_empty();
        #[cfg(not(feature = "checks"))]
        return false;
    }

    /// Checks all targets that are due, for a platform that wakes somebody up to do so: see
    /// [`rounds`](upstream::probe::rounds), which says what goes in and comes out.
    #[cfg(feature = "checks")]
    pub async fn check<P: Platform>(&self, platform: &P, kept: &str) -> (String, Vec<Note>) {
        self.check_unless(platform, kept, &[]).await
    }

    /// The same without those whose findings stand under these keys.
    #[cfg(feature = "checks")]
    pub(crate) async fn check_unless<P: Platform>(
        &self,
        platform: &P,
        kept: &str,
        done: &[&str],
    ) -> (String, Vec<Note>) {
        let pools = self.upstreams.iter().filter(|pool| !done.contains(&pool.board_key().as_str()));
        let pools: Vec<_> = pools.collect();
        let (text, news) = upstream::probe::rounds(platform, &pools, &self.settings, kept).await;
        (text, news.iter().map(|news| note_of(platform, news)).collect())
    }

    /// Under which keys the findings of its checks stand.
    #[cfg(feature = "checks")]
    pub(crate) fn checks(&self) -> impl Iterator<Item = String> {
        let checked = self.checked.iter().filter_map(|at| self.upstreams.get(*at as usize));
        checked.map(Pool::board_key)
    }

    async fn answer<P: Platform>(&self, platform: &Watched<'_, P>, incoming: Incoming<P::Stream>) -> Reply<P::Stream> {
        let (mut request, body) = match Request::read(incoming, &self.globals.limits, &self.globals.trusted_proxies) {
            Ok(read) => read,
            Err(error) => return Reply::refuse(platform, error),
        };
        if self.globals.certificates == CertificateSource::ClientCert && request.client.through_trusted {
            request.client.certificate = Certificate::from_field(&request.headers);
        }
        #[cfg(feature = "telemetry")]
        if let Some(telemetry) = &self.telemetry {
            telemetry.read(platform, &mut request);
            self.tell_passed_over(platform.watch(), &request);
        }
        #[cfg(feature = "admin")]
        if !platform.is_rehearsal()
            && let Some((admin, rest)) = self.interface(&request.line)
        {
            // Boxed, so that the common case need not carry its size around.
            return Box::pin(self.administer(platform, admin, rest, &request, body)).await;
        }
        self.dispatch(platform, request, body).await
    }

    /// Finds the route that takes a request, and has it do so.
    async fn dispatch<P: Platform>(
        &self,
        platform: &Watched<'_, P>,
        request: Request,
        body: Body<P::Stream>,
    ) -> Reply<P::Stream> {
        if let Some(response) = self.preflight(&request) {
            return Reply::answer(response);
        }
        let (allow, error) = match self.routes.find(&request.head()) {
            // Boxed, here and below: a future is moved with all that it may ever hold, on the way to whoever polls it.
            Found::Route(matched) => {
                return Box::pin(self.follow(platform, matched, request, body, Start::default())).await;
            }
            Found::MethodNotAllowed(allow) if request.line.method == "OPTIONS" => (allow, None),
            Found::MethodNotAllowed(allow) => (Vec::new(), Some(Error::MethodNotAllowed { allow })),
            Found::UnknownHost if self.globals.misdirected => (Vec::new(), Some(Error::UnknownHost)),
            Found::UnknownHost | Found::NoRoute => (Vec::new(), Some(Error::NoRoute)),
        };
        let mut policies = self.globals.unmatched;
        if let Some(method) = cors::requested_method(&request.line, &request.headers).filter(|_| !policies.is_first()) {
            if !self.routes.foresee(&route::Head { method, ..request.head() }).is_empty() {
                // What pages of other origins may ask a route is said by that route alone.
                policies = PolicyList::default();
            } else if let Some(response) = self.permission(policies, &request.headers, method) {
                return Reply::answer(response);
            }
        }
        if policies.is_first() {
            return match error {
                Some(error) => Reply::refuse(platform, error),
                None => Reply::answer(answer::options(&allow)),
            };
        }
        let matched = Matched::nowhere(Plan::options(policies, &allow));
        let start = Start { over: error, ..Start::default() };
        Box::pin(self.follow(platform, matched, request, body, start)).await
    }

    /// Does what was left to do when a reply has been sent; gives what the log should hear.
    pub async fn settle<P: Platform>(&self, platform: &P, deferred: Vec<Deferred>) -> Vec<Note> {
        let mut notes = Vec::new();
        let mut left = std::collections::VecDeque::from(deferred);
        #[cfg(feature = "telemetry")]
        let mut allowance = None;
        while let Some(deferred) = left.pop_front() {
            // Who tells others may wait for long: nothing that others wait for stands behind that.
            let observes = |deferred: &Deferred| matches!(deferred, Deferred::Observe(_));
            if observes(&deferred) && !left.iter().all(observes) {
                left.push_back(deferred);
                continue;
            }
            let failed = match deferred {
                #[cfg(feature = "telemetry")]
                Deferred::Observe(record) => {
                    if let Some(telemetry) = &self.telemetry {
                        let allowance = allowance.get_or_insert_with(|| Telemetry::allowance(platform.now()));
                        notes.extend(telemetry.observe(platform, *record, &self.upstreams, allowance).await);
                    }
                    None
                }
                #[cfg(not(feature = "telemetry"))]
                Deferred::Observe(_) => None,
                #[cfg(feature = "compose")]
                Deferred::Compose(production) => {
                    notes.extend(self.go_on(platform, *production, &mut left).await);
                    None
                }
                Deferred::Count(afterwards) | Deferred::Release(afterwards) => {
                    #[cfg(feature = "telemetry")]
                    if afterwards.asks() {
                        self.bill(Costs::OBJECT_CALL);
                    }
                    let done = afterwards.perform(platform, &self.counters).await;
                    let tell =
                        |error: StoreError| ("limit-uncertain", format!("a limit cannot be settled: {}", error.0));
                    done.err().map(|error| (None, tell(error)))
                }
                #[cfg(feature = "checks")]
                Deferred::Check(at) => match self.upstreams.get(at as usize) {
                    Some(pool) => match upstream::probe::tend(platform, pool, &self.settings).await {
                        Ok(news) => {
                            notes.extend(news.iter().map(|news| note_of(platform, news)));
                            None
                        }
                        Err(error) => {
                            let why = format!("upstream `{}`: {}", pool.upstream.name, error.0);
                            Some((None, ("checks-unavailable", why)))
                        }
                    },
                    None => None,
                },
                // It is the instance's.
                #[cfg(feature = "rollout")]
                Deferred::Look(_) => None,
                #[cfg(feature = "cache")]
                Deferred::Keep(Keeping { ticket, flight }) => {
                    let kept = platform.kept(ticket).await;
                    // Who waits for it finds it.
                    drop(flight);
                    kept.err()
                        .map(|error| (None, ("cache-failed", format!("an answer could not be stored: {}", error.0))))
                }
                #[cfg(feature = "cache")]
                Deferred::Renew(renewal) => {
                    let Renewal { matched, request, start } = *renewal;
                    // The record of the request that has found it is closed, and nobody asked for this one: only what it costs is
                    // noted.
                    #[cfg(feature = "telemetry")]
                    let record =
                        self.telemetry.is_some().then(|| Record::of_nobody(request_id(platform), platform.now()));
                    #[cfg(not(feature = "telemetry"))]
                    let record = None;
                    let watched = Watched::new(platform, record);
                    let body = start.body.clone().into();
                    let reply = Box::pin(self.follow(&watched, matched, request, body, start)).await;
                    #[cfg(feature = "telemetry")]
                    if let Some(record) = watched.into_record() {
                        self.bill(record.costs);
                    }
                    pump::discard(platform, reply.response.body);
                    left.extend(reply.deferred);
                    notes.extend(reply.notes);
                    None
                }
                #[cfg(feature = "admin")]
                Deferred::CatchUp => {
                    notes.extend(self.catch_up_now(platform).await);
                    None
                }
                #[cfg(feature = "mirror")]
                Deferred::Mirror(copy) => {
                    #[cfg(feature = "telemetry")]
                    self.bill(Costs::SUBREQUEST);
                    mirror::send(platform, &self.upstreams, *copy).await.map(|(route, heard)| (Some(route), heard))
                }
            };
            if let Some((route, (problem, detail))) = failed {
                notes.push(Note { problem, status: 0, request_id: request_id(platform), route, detail });
            }
        }
        notes
    }

    /// Something is asked of the platform of which no request's record says anything.
    #[cfg(feature = "telemetry")]
    pub(crate) fn bill(&self, costs: Costs) {
        if let Some(telemetry) = &self.telemetry {
            telemetry.bill(costs);
        }
    }

    /// Makes the body of an answer whose head has been sent. What it asks of the world is noted with what was asked before, where
    /// somebody observes the request.
    #[cfg(feature = "compose")]
    async fn go_on<P: Platform>(
        &self,
        platform: &P,
        production: Production,
        left: &mut std::collections::VecDeque<Deferred>,
    ) -> Vec<Note> {
        let at = left.iter().position(|deferred| matches!(deferred, Deferred::Observe(_)));
        let record = at.and_then(|at| left.remove(at)).and_then(|observe| match observe {
            Deferred::Observe(record) => Some(*record),
            _ => None,
        });
        let watched = Watched::new(platform, record);
        // Boxed, so that others need not carry its size around.
        let (notes, deferred) = Box::pin(self.produce(&watched, production)).await;
        left.extend(deferred);
        left.extend(watched.into_record().map(|record| Deferred::Observe(Box::new(record))));
        notes
    }

    /// Why other routes do not take a request, for callers who may know.
    #[cfg(feature = "telemetry")]
    fn tell_passed_over(&self, watch: Watch<'_>, request: &Request) {
        watch.note(|record| {
            let Some(passed_over) = &mut record.passed_over else { return };
            let considered = self.routes.consider(&request.head());
            let unmet = considered
                .into_iter()
                .map_while(|considered| Some((considered.candidate.route.name.clone(), considered.unmet?.to_string())));
            passed_over.extend(unmet.take(20));
        });
    }

    /// A CORS preflight is answered before any other policy: the browser sends no credentials with it (Fetch §4.8), and of
    /// other fields only the names. Of the routes that may take what it announces, the best with a policy for it answers.
    fn preflight<S>(&self, request: &Request) -> Option<Response<S>> {
        let method = cors::requested_method(&request.line, &request.headers)?;
        let routes = self.routes.foresee(&route::Head { method, ..request.head() });
        routes.iter().find_map(|route| self.permission(route.then.policies, &request.headers, method))
    }

    /// What these policies answer a preflight.
    fn permission<S>(&self, policies: PolicyList, headers: &Headers, method: &str) -> Option<Response<S>> {
        self.policies.get(policies)?.iter().find_map(|policy| match policy {
            Policy::Cors(cors) => Some(cors.preflight(headers, method)),
            _ => None,
        })
    }

    /// Policies in written order, the action, the same policies in reverse.
    async fn follow<P: Platform>(
        &self,
        platform: &Watched<'_, P>,
        matched: Matched<Plan>,
        request: Request,
        body: Body<P::Stream>,
        start: Start,
    ) -> Reply<P::Stream> {
        let Request { line, mut headers, client, upgrade, content_length, depth } = request;
        let plan = &matched.route.then;
        let watch = platform.watch();
        watch.route(&matched.route.name);
        let Some(policies) = self.policies.get(plan.policies) else {
            let reason = format!("the policies of the route `{}` cannot be decoded", matched.route.name);
            return Reply::fail(
                platform,
                Error::Internal { reason: reason.clone() },
                Some(&matched.route.name),
                reason,
            );
        };
        // Policies take credentials away, and the requests that come of this one are made on behalf of the one whose they are.
        #[cfg(any(feature = "compose", feature = "mcp"))]
        let arrived = plan.action.makes_requests().then(|| headers.clone());
        #[cfg(feature = "admin")]
        let closed = self.changes.state().maintenance.get(&matched.route.name).map(|closed| closed.retry_after);
        #[cfg(not(feature = "admin"))]
        let closed: Option<Option<u64>> = None;
        // Of a route that is closed, only what answers look like is still seen to.
        let policies = match closed {
            Some(_) => Rc::new(policies.iter().filter(|policy| policy.dresses()).cloned().collect()),
            None => policies,
        };
        // Policies may change what its client speaks by.
        #[cfg(feature = "grpc")]
        let protocol = match &plan.action {
            Action::Grpc(_) => Some(grpc::Protocol::of(&line, line.query.as_deref(), &headers)),
            _ => None,
        };
        let over = match closed {
            Some(seconds) => Some(Error::Maintenance { seconds }),
            None => start.over.or_else(|| plan.exceeded(&line, &headers, content_length)),
        };
        let (mut body, mut query) = (body, line.query.clone());
        let (mut caller, mut memo) = (start.caller, start.memo);
        if policies.iter().any(|policy| matches!(policy, Policy::ErrorPages(_))) {
            memo.accept = crate::http::list(&headers, "accept").collect::<Vec<_>>().join(", ");
        }
        #[cfg(feature = "cache")]
        let mut cached = Cached::new(start.renews);
        let clock = || platform.now();
        let pool = plan.action.forward().and_then(|forward| self.upstreams.get(forward.upstream as usize));
        let upstream = pool.map_or("", |pool| pool.upstream.name.as_str());
        let mut visit = Visit {
            platform,
            consumers: &self.consumers,
            tokens: &self.tokens,
            counters: &self.counters,
            #[cfg(feature = "cache")]
            cache: &self.cache,
            #[cfg(feature = "cache")]
            cached: &mut cached,
            upstreams: &self.upstreams,
            #[cfg(feature = "validation")]
            validation: &self.validation,
            #[cfg(feature = "graphql")]
            graphql: &self.graphql,
            settings: &self.settings,
            body_limit: plan.body_limit,
            route: &matched.route.name,
            upstream,
            clock: &clock,
            parameters: matched.parameters(&line.path),
            client: &client,
            line: &line,
            query: &mut query,
            headers: &mut headers,
            body: &mut body,
            caller: &mut caller,
            memo: &mut memo,
        };
        let mut entered = start.from;
        let mut early = None;
        for policy in policies.iter().skip(start.from) {
            entered += 1;
            match watch::enter(policy, &mut visit).await {
                Ok(Flow::Continue) => {}
                Ok(Flow::Respond(response)) => early = Some(Reply::answer(response)),
                Err(error) => {
                    let detail = error.reason().to_owned();
                    early = Some(Reply::fail(platform, error, Some(visit.route), detail));
                }
            }
            if early.is_some() || visit.memo.is_split() {
                break;
            }
        }
        #[cfg(feature = "json_rpc")]
        if let Some(split) = memo.split.take() {
            let line = Line { query: query.clone(), ..line.clone() };
            let (headers, client) = (headers.clone(), client.clone());
            let request = Request { line, headers, client, upgrade: None, content_length: None, depth };
            let start = Start { from: entered, caller: caller.clone(), memo: memo.handed_on(), ..Start::default() };
            early = Some(Box::pin(self.split(platform, &matched, &request, &start, *split)).await);
        }
        // What a cache wants renewed is what this request would have fetched, from the cache on.
        #[cfg(feature = "cache")]
        if let Some(flight) = cached.renew.take() {
            let matched = matched.clone();
            let line = Line { query: query.clone(), ..line.clone() };
            let (headers, client) = (headers.clone(), client.clone());
            let request = Request { line, headers, client, upgrade: None, content_length: None, depth };
            let start = Start {
                from: entered - 1,
                caller: caller.clone(),
                memo: memo.handed_on(),
                over: None,
                body: if let Body::Bytes(bytes) = &body { bytes.clone() } else { Bytes::new() },
                renews: Some(flight),
            };
            memo.deferred.push(Deferred::Renew(Box::new(Renewal { matched, request, start })));
        }
        // They go on with the request, so whoever looks at them later looks at a copy.
        let asked = plan.action.asks_request() || policies.iter().any(Policy::asks_request);
        // Nobody has said anything of what no route takes.
        #[cfg(feature = "telemetry")]
        let telemetry = self.telemetry.as_ref().filter(|_| !matched.route.name.is_empty());
        #[cfg(feature = "telemetry")]
        let asked = asked || telemetry.is_some_and(Telemetry::asks_request);
        let kept = asked.then(|| headers.clone());
        let rpc_method = memo.rpc_method().to_owned();
        #[cfg(feature = "graphql")]
        let operation = memo.operation.clone();
        let scope = Scope {
            line: &line,
            client: &client,
            route: &matched.route.name,
            parameters: matched.parameters(&line.path),
            settings: &self.settings,
            caller: &caller,
            view: View {
                headers: kept.as_ref(),
                clock: Some(&clock),
                upstream,
                rpc_method: &rpc_method,
                #[cfg(feature = "graphql")]
                operation: operation.as_deref(),
                ..View::default()
            },
        };
        watch.caller(&caller);
        #[cfg(all(feature = "telemetry", feature = "expressions"))]
        if let Some(telemetry) = telemetry {
            let query = query.as_deref();
            telemetry.judge(watch, || Facts { scope, headers: &headers, query, now: platform.now() });
        }
        let (mut from_upstream, mut perhaps_done) = (false, false);
        let refused = |error| Reply::fail(platform, error, Some(&matched.route.name), String::new());
        let early = early.or_else(|| over.map(refused));
        #[cfg(feature = "grpc")]
        let early = early.map(|reply| match protocol {
            Some(protocol) if reply.refused.is_some() => told_in(protocol, platform, reply),
            Some(_) | None => reply,
        });
        // What is left to be done is to ask an upstream, in one protocol or another.
        let onward = match (early, &plan.action) {
            (Some(reply), _) => Err(reply),
            (None, Action::Redirect(redirect)) => Err(Reply::answer(redirect.answer(&scope))),
            (None, Action::Respond(respond)) => Err(Reply::answer(respond.answer(&scope))),
            #[cfg(feature = "credentials")]
            (None, Action::IdentityKeys) => Err(match self.keyring.mint() {
                Some(mint) => Reply::answer(mint.publish(&headers)),
                None => {
                    let reason = "the configuration has no `identity`".to_owned();
                    Reply::fail(platform, Error::Internal { reason: reason.clone() }, Some(scope.route), reason)
                }
            }),
            (None, Action::Serve(endpoint)) => Err(self.serve(platform, *endpoint, &scope).await),
            #[cfg(feature = "cache")]
            (None, Action::Purge) => {
                let body = std::mem::replace(&mut body, Body::Empty);
                Err(self.purge(platform, body, scope.route).await)
            }
            #[cfg(feature = "compose")]
            (None, Action::Compose(compose)) => {
                let body = std::mem::replace(&mut body, Body::Empty);
                let (matched, body_limit) = (&matched, plan.body_limit);
                let composing = compose::Composing { matched, compose, headers: &headers, body, body_limit };
                // Boxed, so that the common case need not carry its size around.
                let (reply, origin, complete) = Box::pin(self.compose(platform, composing, &scope)).await;
                (from_upstream, perhaps_done) = (origin == Origin::Upstream, origin == Origin::Lost);
                memo.incomplete = !complete;
                Err(reply)
            }
            #[cfg(feature = "compose")]
            (None, Action::Batch(batch)) => {
                let body = std::mem::replace(&mut body, Body::Empty);
                let (headers, body_limit) = (arrived.as_ref().unwrap_or(&headers), plan.body_limit);
                let batching = batch::Batching { batch, headers, body, body_limit, depth };
                Err(Box::pin(self.batch(platform, batching, &scope)).await)
            }
            (None, Action::Forward(_)) if line.method == "OPTIONS" && !answer::goes_on(&mut headers) => {
                Err(Reply::answer(answer::options(&matched.route.conditions.allowed())))
            }
            (None, Action::Forward(forward)) => Ok(Onward::Forward(forward)),
            #[cfg(feature = "grpc")]
            (None, Action::Grpc(grpc)) => Ok(Onward::Grpc(grpc)),
            #[cfg(feature = "graphql")]
            (None, Action::Graphql(stored)) => Ok(Onward::Translate(Translation::Graphql(stored))),
            #[cfg(feature = "soap")]
            (None, Action::Soap(soap)) => Ok(Onward::Translate(Translation::Soap(soap))),
            #[cfg(feature = "json_rpc")]
            (None, Action::JsonRpc(call)) => Ok(Onward::Translate(Translation::JsonRpc(call))),
            #[cfg(feature = "mcp")]
            (None, Action::Mcp(mcp)) => {
                let (route, headers) = (scope.route, headers.clone());
                let asked =
                    crate::mcp::Asked { line: &line, client: &client, route, headers, credentials: arrived, depth };
                let body = std::mem::replace(&mut body, Body::Empty);
                // Boxed, so that the common case need not carry its size around.
                Err(Box::pin(self.mcp(platform, mcp, asked, body)).await)
            }
            #[cfg(feature = "mcp")]
            (None, Action::ProtectedResource(resource)) => Err(Reply::answer(resource.answer(&line, &client))),
        };
        let mut reply = match onward {
            Err(reply) => reply,
            Ok(onward) => {
                let leaving = Leaving { headers, query, body, upgrade, content_length };
                let payload = self.payload(leaving, plan, &policies, &mut memo);
                // Whoever has made the request itself reads what comes of it, and goes on without it.
                let payload = Payload { reads: payload.reads || depth > 0, last: depth == 0, ..payload };
                let changed = memo.method.take().map(|method| Line { method, ..line.clone() });
                let scope = Scope { line: changed.as_ref().unwrap_or(&line), ..scope };
                let (reply, origin) = match onward {
                    Onward::Forward(forward) => self.forward(platform, forward, payload, &scope).await,
                    // Boxed, so that the common case need not carry their size around.
                    #[cfg(feature = "grpc")]
                    Onward::Grpc(grpc) => {
                        Box::pin(self.call(platform, grpc, Payload { reads: true, ..payload }, &scope)).await
                    }
                    #[cfg(any(feature = "graphql", feature = "soap", feature = "json_rpc"))]
                    Onward::Translate(translation) => {
                        let payload = Payload { reads: true, ..payload };
                        Box::pin(self.exchange(platform, translation, payload, &scope)).await
                    }
                };
                (from_upstream, perhaps_done) = (origin == Origin::Upstream, origin == Origin::Lost);
                reply
            }
        };
        for policy in policies[start.from..entered].iter().rev() {
            let response = &mut reply.response;
            let mut departure = Departure {
                platform,
                #[cfg(feature = "validation")]
                validation: &self.validation,
                counters: &self.counters,
                #[cfg(feature = "cache")]
                cache: &self.cache,
                #[cfg(feature = "cache")]
                cached: &mut cached,
                scope,
                from_upstream,
                perhaps_done,
                response,
                memo: &mut memo,
            };
            if let Err(error) = watch::leave(policy, &mut departure).await {
                let detail = error.reason().to_owned();
                let failed = Reply::fail(platform, error, Some(scope.route), detail);
                #[cfg(feature = "grpc")]
                let failed = match protocol {
                    Some(protocol) => told_in(protocol, platform, failed),
                    None => failed,
                };
                let Reply { response, notes, refused, .. } = failed;
                reply.refused = refused;
                let before = std::mem::replace(&mut reply.response, response);
                pump::discard(platform, before.body);
                // What comes to nobody has been done all the same.
                (from_upstream, perhaps_done) = (false, perhaps_done || from_upstream);
                reply.notes.extend(notes);
                continue;
            }
            #[cfg(feature = "cache")]
            if std::mem::take(&mut cached.from_store) {
                // What a cache gives was made by an upstream, and those outside it treat it so.
                from_upstream = true;
            }
        }
        #[cfg(feature = "mcp")]
        if let Action::Mcp(mcp) = &plan.action {
            mcp.tell_where_to_log_in(&line, &client, &mut reply.response);
        }
        reply.deferred.extend(memo.deferred);
        // After all policies, so that none of them takes a session away that has just been given.
        for (at, (name, value)) in memo.fields.iter().enumerate() {
            // The first line of a field replaces what is there, the others stand beside it.
            let first = !memo.fields[..at].iter().any(|(before, _)| before == name);
            if first && name != "set-cookie" {
                reply.response.headers.set(name, value);
            } else {
                reply.response.headers.append(name, value);
            }
        }
        for cookie in &memo.cookies {
            reply.response.headers.append("set-cookie", cookie);
        }
        if !memo.cookies.is_empty() {
            // Of two lines the stricter one counts: what holds a session is for nobody else (RFC 9111 §5.2.2.7).
            reply.response.headers.append("cache-control", "private");
        }
        #[cfg(feature = "telemetry")]
        if let Some(telemetry) = telemetry {
            let Response { status, headers, .. } = &reply.response;
            telemetry.attribute(watch, &scope.with_response(*status, headers));
        }
        for Remark { problem, detail } in memo.remarks {
            let (status, request_id) = (reply.response.status, request_id(platform));
            reply.notes.push(Note { problem, status, request_id, route: named(scope.route), detail });
        }
        reply
    }

    /// Writes down what is taken back from caches. Other instances hear of it within [`purge::HOLD`].
    #[cfg(feature = "cache")]
    async fn purge<P: Platform>(&self, platform: &P, body: Body<P::Stream>, route: &str) -> Reply<P::Stream> {
        let body = crate::request::whole(platform, body, None, LONGEST_PURGE).await;
        let change = body.and_then(|body| Change::read(&body).map_err(|reason| Error::BadPurge { reason }));
        let change = match change {
            Ok(change) => change,
            Err(error) => return Reply::fail(platform, error, Some(route), String::new()),
        };
        match self.take_back(platform, &change).await {
            Ok(()) => {
                let text = format!("{{\"purged\":{}}}", change.add.len());
                Reply::answer(serve::respond(200, "application/json", text))
            }
            Err(error) => {
                let reason = error.reason().to_owned();
                Reply::fail(platform, error, Some(route), reason)
            }
        }
    }

    /// Has it written down what is taken back from caches, and heeds it.
    #[cfg(feature = "cache")]
    pub(crate) async fn take_back<P: Platform>(&self, platform: &P, change: &Change) -> Result<(), Error> {
        let failed = |error: StoreError| {
            let reason = format!("what is to be purged cannot be written down: {}", error.0);
            Error::PurgeFailed { reason }
        };
        let marks = platform.purges(purge::OWNER, change).await.map_err(failed)?;
        self.cache.purges.asks(platform.now());
        self.cache.purges.learn(marks);
        Ok(())
    }

    /// What of a request goes on to an upstream, and what the way back needs of the answer.
    fn payload<S>(&self, leaving: Leaving<S>, plan: &Plan, policies: &[Policy], memo: &mut Memo) -> Payload<S> {
        let Leaving { headers, query, body, upgrade, content_length } = leaving;
        let reads = policies.iter().any(Policy::reads_response);
        #[cfg(feature = "telemetry")]
        let reads = reads || self.telemetry.as_ref().is_some_and(Telemetry::reads_response);
        #[cfg(not(feature = "mirror"))]
        let _ = memo;
        Payload {
            // A policy that has changed the body has taken its length away, or given it another.
            content_length: content_length.and(headers.content_length()),
            headers,
            query,
            body,
            upgrade,
            limit: plan.body_limit,
            reads,
            watched: policies.iter().any(Policy::awaits_the_body),
            last: true,
            instead: None,
            #[cfg(feature = "mirror")]
            mirrors: std::mem::take(&mut memo.mirrors),
        }
    }

    /// Sends the request on, and takes from the response what was meant for this hop only.
    async fn forward<P: Platform>(
        &self,
        platform: &P,
        forward: &Forward,
        payload: Payload<P::Stream>,
        scope: &Scope<'_>,
    ) -> (Reply<P::Stream>, Origin) {
        let fail = |error, detail| (Reply::fail(platform, error, Some(scope.route), detail), Origin::Gateway);
        let Payload { mut headers, query, body, upgrade, content_length, limit, reads, watched, last, instead, .. } =
            payload;
        #[cfg(feature = "mirror")]
        let mirrors = payload.mirrors;
        let Some(pool) = self.upstreams.get(forward.upstream as usize) else {
            return self.no_upstream(platform, forward.upstream, scope);
        };
        let line = scope.line;
        let limit = pool.body_limit(limit);
        let mut target = match forward.path.apply(scope) {
            Ok(target) => target,
            Err(error) => return fail(error, String::new()),
        };
        if let Some(query) = query {
            target.push('?');
            target.push_str(&query);
        }
        let mut method = line.method.clone();
        let upgrade = forward.websocket.filter(|_| upgrade.as_deref() == Some("websocket"));
        if upgrade.is_none() {
            headers.remove("upgrade");
        }
        let asked = pool.asked(scope, &headers, || platform.random()).by_then(platform.left());
        let (mut body, mut content_length) = (body, content_length);
        if let Some(instead) = instead {
            (method, target, headers) = ("POST".to_owned(), instead.target, instead.headers);
            (body, content_length) = (instead.body, None);
        }
        let kept = upstream::keep_body(platform, pool, &asked, content_length, body).await;
        #[cfg(feature = "mirror")]
        let kept = match kept {
            Ok(body) if !mirrors.is_empty() && upgrade.is_none() => {
                upstream::keep_short(platform, mirror::longest_body(&mirrors), content_length, body).await
            }
            kept => kept,
        };
        let body = match kept {
            Ok(body) => body,
            Err(error) => return fail(refusal(error, limit), "the body could not be read".to_owned()),
        };
        let Globals { forwarded, via, .. } = &self.globals;
        forward::announce(&mut headers, line, scope.client, &forward.path, *forwarded, via);
        let reads = reads || pool.reads_response();
        let call = Call {
            method,
            scheme: line.scheme,
            authority: String::new(),
            binding: None,
            target,
            host: None,
            headers,
            body,
            // A declared length has been checked; the platform holds the sender to it.
            body_limit: if content_length.is_some() { None } else { limit },
            timeout: Duration::ZERO,
            patience: Patience::default(),
            interest: if reads { Interest::Everything } else { Interest::HopByHop },
            watched,
            last,
            upgrade,
        };
        #[cfg(feature = "mirror")]
        let mut copies = mirror::copies(mirrors, &call, &self.upstreams, scope, || platform.random());
        #[cfg_attr(not(feature = "mirror"), allow(unused_mut))]
        let (mut reply, origin) = self.send(platform, forward, pool, &asked, call, limit, scope).await;
        #[cfg(feature = "mirror")]
        if !copies.is_empty() {
            if origin == Origin::Upstream {
                mirror::observe(platform, &mut copies, &mut reply.response);
            }
            reply.deferred.extend(copies.into_iter().map(|copy| Deferred::Mirror(Box::new(copy))));
        }
        (reply, origin)
    }

    /// Sends a call to an upstream, and elsewhere where that fails and has a fallback.
    #[allow(clippy::too_many_arguments)] // All of what is known of a request.
    async fn send<P: Platform>(
        &self,
        platform: &P,
        forward: &Forward,
        pool: &Pool,
        asked: &upstream::Asked,
        call: Call<P::Stream>,
        limit: Option<u64>,
        scope: &Scope<'_>,
    ) -> (Reply<P::Stream>, Origin) {
        let host = host_of(forward.host.as_ref().unwrap_or(&pool.upstream.host), scope.line);
        let timeouts = forward.timeouts.unwrap_or(pool.upstream.timeouts);
        let watch = platform.watch();
        watch.forward(platform, &pool.upstream.name);
        let Some(fallback) = pool.fallback() else {
            let outcome = upstream::send(platform, pool, timeouts, call, host, asked).await;
            watch.forwarded(platform);
            return self.conclude(platform, pool, asked, outcome, limit, scope);
        };
        // Boxed, so that the common case need not carry its size around.
        Box::pin(async {
            let (spare, begun) = (call.replay(), platform.now());
            let outcome = upstream::send(platform, pool, timeouts, call, host, asked).await;
            watch.forwarded(platform);
            let asked = asked.clone().after(platform.now().saturating_sub(begun));
            self.or_else(platform, pool, &asked, fallback, outcome, spare, limit, scope).await
        })
        .await
    }

    /// What the client gets of what an upstream with a fallback gave.
    #[allow(clippy::too_many_arguments)] // All of what is known of a request and its outcome.
    async fn or_else<P: Platform>(
        &self,
        platform: &P,
        pool: &Pool,
        asked: &upstream::Asked,
        fallback: &Fallback,
        outcome: Result<upstream::Answer<P::Stream>, Failed>,
        spare: Option<Call<P::Stream>>,
        limit: Option<u64>,
        scope: &Scope<'_>,
    ) -> (Reply<P::Stream>, Origin) {
        let is_good = outcome.as_ref().is_ok_and(|answer| !fallback.statuses.contains(&answer.response.status));
        // The client's own failures are not mended elsewhere.
        let is_client = matches!(&outcome, Err(Failed { cause: Cause::Failure(failure), .. })
        if matches!(
            failure.error,
            FetchError::BodyTooLarge | FetchError::BodyRefused | FetchError::BodyStalled | FetchError::ClientGone
        ));
        let (before, origin) = self.conclude(platform, pool, asked, outcome, limit, scope);
        if is_good || is_client {
            return (before, origin);
        }
        let (mut instead, origin) = match (&fallback.instead, spare) {
            (Instead::Respond(respond), _) => {
                let origin = if origin == Origin::Lost { Origin::Lost } else { Origin::Gateway };
                platform.watch().problem(None);
                (Reply::answer(respond.answer(scope)), origin)
            }
            // What may have been done is not done elsewhere as well.
            (Instead::Upstream(place), Some(spare)) if asked.is_repeatable() || origin != Origin::Lost => {
                let Some(other) = self.upstreams.get(*place as usize) else {
                    return self.no_upstream(platform, *place, scope);
                };
                // What the client's deadline leaves, whichever of the two upstreams has read it.
                let asked = other.asked(scope, &spare.headers, || platform.random()).within(asked);
                let host = host_of(&other.upstream.host, scope.line);
                platform.watch().problem(None);
                platform.watch().forward(platform, &other.upstream.name);
                let outcome = upstream::send(platform, other, other.upstream.timeouts, spare, host, &asked).await;
                platform.watch().forwarded(platform);
                self.conclude(platform, other, &asked, outcome, limit, scope)
            }
            // And a body that was streamed is gone.
            (Instead::Upstream(_), _) => return (before, origin),
        };
        // What went wrong before belongs into the log, whatever the client gets.
        let Reply { response, mut notes, .. } = before;
        pump::discard(platform, response.body);
        notes.append(&mut instead.notes);
        (Reply { notes, deferred: Vec::new(), ..instead }, origin)
    }

    fn no_upstream<P: Platform>(&self, platform: &P, place: u32, scope: &Scope<'_>) -> (Reply<P::Stream>, Origin) {
        let reason = format!("the route names upstream {place}, which does not exist");
        let error = Error::Internal { reason: reason.clone() };
        (Reply::fail(platform, error, Some(scope.route), reason), Origin::Gateway)
    }

    /// What the client gets of what an upstream gave.
    fn conclude<P: Platform>(
        &self,
        platform: &P,
        pool: &Pool,
        asked: &upstream::Asked,
        outcome: Result<upstream::Answer<P::Stream>, Failed>,
        limit: Option<u64>,
        scope: &Scope<'_>,
    ) -> (Reply<P::Stream>, Origin) {
        let told = |next_hop: Option<u32>, cause: Option<&Cause>, history: &[upstream::Attempt]| {
            let next_hop = next_hop.map(|target| pool.name(target));
            pool.tells().then(|| upstream::proxy_status(&self.globals.via, next_hop, cause, history))
        };
        match outcome {
            Ok(upstream::Answer { mut response, target, history }) => {
                if response.status != 101 {
                    strip_hop_by_hop(&mut response.headers);
                    if response.headers.contains("upgrade") {
                        response.headers.remove("upgrade");
                    }
                }
                if let Some(cookie) = pool.cookie(asked, target, scope.client) {
                    response.headers.append("set-cookie", cookie);
                }
                if let Some(told) = told(Some(target), None, &history) {
                    response.headers.append("proxy-status", told);
                }
                let status = response.status;
                let mut reply = Reply::answer(response);
                if !history.is_empty() {
                    let detail = format!("{}; {}: status {status}", listed(pool, &history), pool.name(target));
                    let (problem, route) = ("upstream-failed", Some(scope.route.to_owned()));
                    reply.notes.push(Note { problem, status, request_id: request_id(platform), route, detail });
                }
                (reply, Origin::Upstream)
            }
            Err(Failed { cause, history }) => {
                let told = told(None, Some(&cause), &history);
                let origin = if upstream::may_be_done(&cause, &history) { Origin::Lost } else { Origin::Gateway };
                let (error, why) = match cause {
                    Cause::Open { for_another } => {
                        let seconds = for_another.div_ceil(1_000).max(1);
                        (Error::UpstreamUnavailable { seconds }, "the circuit breaker is open".to_owned())
                    }
                    Cause::Drained => {
                        let seconds = DRAINED_FOR;
                        (Error::UpstreamUnavailable { seconds }, "all of its targets are drained".to_owned())
                    }
                    Cause::Failure(failure) => (refusal(failure.error, limit), failure.detail),
                };
                let detail = if history.is_empty() {
                    format!("upstream `{}`: {why}", pool.upstream.name)
                } else {
                    listed(pool, &history)
                };
                let mut reply = Reply::fail(platform, error, Some(scope.route), detail);
                if let Some(told) = told {
                    reply.response.headers.append("proxy-status", told);
                }
                (reply, origin)
            }
        }
    }

    /// Asks an upstream in its own protocol, and gives the client what becomes of the answer.
    #[cfg(any(feature = "graphql", feature = "soap", feature = "json_rpc"))]
    async fn exchange<P: Platform>(
        &self,
        platform: &P,
        translation: Translation<'_>,
        payload: Payload<P::Stream>,
        scope: &Scope<'_>,
    ) -> (Reply<P::Stream>, Origin) {
        let fail = |error: Error, origin| {
            let detail = error.reason().to_owned();
            (Reply::fail(platform, error, Some(scope.route), detail), origin)
        };
        let Payload { headers, query, body, content_length, limit, .. } = payload;
        let body = match translation.request_limit() {
            Some(most) => {
                let most = limit.map_or(most, |limit| limit.min(most));
                match crate::request::whole(platform, body, content_length, most).await {
                    Ok(body) => body,
                    Err(error) => return fail(error, Origin::Gateway),
                }
            }
            None => {
                pump::discard(platform, body);
                Bytes::new()
            }
        };
        let seen = Scope { view: View { headers: Some(&headers), ..scope.view }, ..*scope };
        let instead = match translation.request(&translate::Asked { scope: seen, headers: &headers, body: &body }) {
            Ok(instead) => instead,
            Err(error) => return fail(error, Origin::Gateway),
        };
        let payload = Payload {
            headers,
            query,
            body: Body::Empty,
            upgrade: None,
            content_length: None,
            instead: Some(instead),
            ..payload
        };
        let (reply, origin) = self.forward(platform, translation.forward(), payload, scope).await;
        if origin != Origin::Upstream {
            return (reply, origin);
        }
        let Reply { mut response, notes, deferred, .. } = reply;
        let read = crate::shape::rules::whole(platform, &mut response, translation.answer_limit()).await;
        let Response { status, mut headers, body: unread } = response;
        let answer = match read {
            Ok((_, body)) => {
                let answered = Answered { status, headers: headers.clone(), body };
                translation.answer(&answered)
            }
            Err(why) => {
                pump::discard(platform, unread);
                Err(translate::strange(status, format!("the answer cannot be read: {why}")))
            }
        };
        let (mut reply, origin) = match answer {
            Ok(_) if translation.is_one_way() => {
                translate::describe(&mut headers, 0);
                headers.remove("content-type");
                headers.remove("content-length");
                (Reply::answer(Response { status: 204, headers, body: Body::Empty }), Origin::Upstream)
            }
            Ok(body) => {
                translate::describe(&mut headers, body.len());
                (Reply::answer(Response { status: 200, headers, body: Body::Bytes(body.into()) }), Origin::Upstream)
            }
            // What was asked for may well have been done.
            Err(error) => fail(error, Origin::Lost),
        };
        reply.notes.splice(0..0, notes);
        reply.deferred.extend(deferred);
        (reply, origin)
    }

    /// Translates a call for an upstream, and its answer for the client.
    #[cfg(feature = "grpc")]
    async fn call<P: Platform>(
        &self,
        platform: &P,
        grpc: &Grpc,
        payload: Payload<P::Stream>,
        scope: &Scope<'_>,
    ) -> (Reply<P::Stream>, Origin) {
        let protocol = grpc::Protocol::of(scope.line, payload.query.as_deref(), &payload.headers);
        let (mut reply, origin) = match self.translate(platform, grpc, protocol, payload, scope).await {
            Ok(answered) => answered,
            Err(Error::MethodNotAllowed { allow }) if scope.line.method == "OPTIONS" => {
                return (Reply::answer(answer::options(&allow)), Origin::Gateway);
            }
            Err(error) => {
                let detail = error.reason().to_owned();
                (Reply::fail(platform, error, Some(scope.route), detail), Origin::Gateway)
            }
        };
        if origin != Origin::Upstream {
            reply = told_in(protocol, platform, reply);
        }
        (reply, origin)
    }

    #[cfg(feature = "grpc")]
    async fn translate<P: Platform>(
        &self,
        platform: &P,
        grpc: &Grpc,
        protocol: grpc::Protocol,
        payload: Payload<P::Stream>,
        scope: &Scope<'_>,
    ) -> Result<(Reply<P::Stream>, Origin), Error> {
        let forward = &grpc.forward;
        let (Some(service), Some(pool)) =
            (self.services.get(grpc.services), self.upstreams.get(forward.upstream as usize))
        else {
            let reason = "the services or the upstream of the route cannot be decoded".to_owned();
            return Err(Error::Internal { reason });
        };
        let path = forward.path.apply(scope)?;
        let trailers = platform.sends_trailers();
        let admitted = grpc.admit(&service, protocol, &scope.line.method, &path, trailers)?;
        let mut timeouts = forward.timeouts.unwrap_or(pool.upstream.timeouts);
        let deadline = grpc::call::client_deadline(&payload.headers);
        if let Some(deadline) = deadline {
            timeouts.attempt = timeouts.attempt.min(deadline);
            timeouts.total = timeouts.total.min(deadline);
        }
        if timeouts.total == 0 {
            return Err(Error::UpstreamTimeout);
        }
        let left = timeouts.attempt.min(timeouts.total);
        let forward = &Forward { timeouts: Some(timeouts), ..forward.clone() };
        let call = match admitted {
            Admitted::Call(call) => call,
            Admitted::Pass(gives_many) => {
                let mut payload = payload;
                if !gives_many {
                    grpc::call::tell_what_is_left(&mut payload.headers, left);
                }
                if protocol == grpc::Protocol::Grpc {
                    // It was for the last hop, and gRPC servers ask for it.
                    payload.headers.set("te", "trailers");
                }
                return Ok(self.forward(platform, forward, payload, scope).await);
            }
        };
        let (query, headers) = (payload.query.as_deref(), &payload.headers);
        let (body, refusal) = if call.takes_many() {
            // What is short by its declared length is read first, so that nothing is sent of what turns out to be no call.
            let is_short = payload.content_length.is_some_and(|length| length <= grpc.message_limit);
            let body = if is_short {
                Body::Bytes(
                    crate::request::whole(platform, payload.body, payload.content_length, grpc.message_limit).await?,
                )
            } else {
                payload.body
            };
            let is_empty = match &body {
                Body::Empty => true,
                Body::Bytes(bytes) => bytes.is_empty(),
                Body::Stream(_) | Body::Pumped(..) | Body::Made(_) => false,
            };
            let (upload, refusal) = call.upload(query, headers, is_empty)?;
            let body = body
                .pumped(upload)
                .map_err(|Broken(reason)| refusal.take().unwrap_or(Error::UntranslatableRequest { reason }))?;
            (body, refusal)
        } else {
            let most = payload.limit.map_or(grpc.message_limit, |limit| limit.min(grpc.message_limit));
            let body = if call.reads_body() {
                crate::request::whole(platform, payload.body, payload.content_length, most).await?
            } else {
                Bytes::new()
            };
            (Body::Bytes(call.message(query, headers, &body)?), grpc::upload::Refusal::default())
        };
        // Upstreams end a call when this is over. The gateway's own time is for the head, and many answers go on behind it.
        let told = if call.gives_many() { deadline } else { Some(left) };
        let instead = call.request(&payload.headers, body, told);
        let asked = payload.headers.clone();
        let payload =
            Payload { body: Body::Empty, upgrade: None, content_length: None, instead: Some(instead), ..payload };
        let begun = platform.now();
        let (mut reply, mut origin) = self.forward(platform, forward, payload, scope).await;
        let (mut notes, deferred) = (std::mem::take(&mut reply.notes), std::mem::take(&mut reply.deferred));
        let failed = |error: Error| {
            let detail = error.reason().to_owned();
            Reply::fail(platform, error, Some(scope.route), detail)
        };
        reply = match origin {
            Origin::Gateway | Origin::Lost => match refusal.take() {
                // It broke off on its way, and this is why.
                Some(error) => {
                    notes.clear();
                    failed(error)
                }
                None => reply,
            },
            Origin::Upstream => {
                let late = told.is_some_and(|told| platform.now().saturating_sub(begun) >= told);
                match call.answer(platform, reply.response, &asked, late, request_id(platform)).await {
                    Ok(response) => Reply::answer(response),
                    Err(error) => {
                        // What was called for may well have been done.
                        origin = Origin::Lost;
                        failed(error)
                    }
                }
            }
        };
        notes.append(&mut reply.notes);
        Ok((Reply { notes, deferred, ..reply }, origin))
    }

    /// What the gateway knows of itself.
    async fn serve<P: Platform>(&self, platform: &P, endpoint: Endpoint, scope: &Scope<'_>) -> Reply<P::Stream> {
        let served = match endpoint {
            Endpoint::Live => Ok(serve::live()),
            Endpoint::Ready => {
                // Boxed, so that the common case need not carry its size around.
                let stores = Box::pin(serve::stores(self, platform)).await;
                Ok(serve::ready(&self.upstreams, &stores, platform.now()))
            }
            Endpoint::Version => Ok(serve::version(&self.configuration, &self.globals.features)),
            #[cfg(feature = "telemetry")]
            Endpoint::Metrics => match &self.telemetry {
                Some(telemetry) => telemetry.prometheus(platform).await.map(serve::metrics),
                None => Err("the configuration has no metrics".to_owned()),
            },
            #[cfg(not(feature = "telemetry"))]
            Endpoint::Metrics => Err("this gateway was built without the feature telemetry".to_owned()),
        };
        match served {
            Ok(response) => Reply::answer(response),
            Err(reason) => {
                let error = Error::MetricsUncertain { reason: reason.clone() };
                Reply::fail(platform, error, Some(scope.route), reason)
            }
        }
    }

    /// The services of this number, for tools that explain.
    #[cfg(feature = "grpc")]
    pub fn services(&self, number: u32) -> Option<std::rc::Rc<grpc::Service>> {
        self.services.get(number)
    }

    /// Handles a request of which nothing really happens.
    #[cfg(feature = "admin")]
    pub(crate) async fn rehearse<P: Platform>(
        &self,
        platform: &P,
        rehearsal: &Rehearsal,
        incoming: Incoming<P::Stream>,
    ) -> Reply<P::Stream> {
        let record = self.telemetry.as_ref().map(|telemetry| telemetry.begin(platform, &incoming));
        let watched = Watched::rehearsing(platform, record, rehearsal);
        let mut reply = self.answer(&watched, incoming).await;
        if let (Some(telemetry), Some(record)) = (&self.telemetry, watched.into_record()) {
            telemetry.end(platform, record, &mut reply);
        }
        reply
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

/// After how many seconds clients may ask again an upstream whose targets somebody has all taken out: nobody knows for how long.
const DRAINED_FOR: u64 = 30;

/// The longest list of what is to be taken back from caches, in bytes.
#[cfg(feature = "cache")]
const LONGEST_PURGE: u64 = 256 << 10;

/// Where a request enters the policies: at the first, as nobody, save where a cache renews what it has.
#[derive(Debug, Clone, Default)]
pub struct Start {
    /// The first policy that it enters.
    from: usize,
    /// Who is calling, as far as the policies before have proven it.
    caller: Caller,
    /// What the policies before have left for those behind them.
    memo: Memo,
    /// Why there is no action, once policies have seen the request.
    over: Option<Error>,
    /// The body, as far as it was read by then.
    #[cfg(feature = "cache")]
    body: Bytes,
    /// What is renewed, so that nobody waits for the answer.
    #[cfg(feature = "cache")]
    renews: Option<Flight>,
}

/// Something stored that is fetched anew: the request for it, from the cache on.
#[cfg(feature = "cache")]
#[derive(Debug, Clone)]
pub struct Renewal {
    matched: Matched<Plan>,
    request: Request,
    start: Start,
}

/// Who has made a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// The gateway.
    Gateway,
    /// An upstream.
    Upstream,
    /// The gateway, for want of an answer: but an upstream may have done what was asked for.
    Lost,
}

/// How a request goes on to an upstream.
enum Onward<'a> {
    /// As it is.
    Forward(&'a Forward),
    /// As a call of one of its methods.
    #[cfg(feature = "grpc")]
    Grpc(&'a Grpc),
    /// As a message of another protocol.
    #[cfg(any(feature = "graphql", feature = "soap", feature = "json_rpc"))]
    Translate(Translation<'a>),
}

/// What policies have left of a request.
struct Leaving<S> {
    headers: Headers,
    query: Option<String>,
    body: Body<S>,
    upgrade: Option<String>,
    /// The length that it came with.
    content_length: Option<u64>,
}

/// What of a request goes on to an upstream.
struct Payload<S> {
    headers: Headers,
    query: Option<String>,
    body: Body<S>,
    upgrade: Option<String>,
    content_length: Option<u64>,
    limit: Option<u64>,
    /// Whether a policy looks at the response's fields.
    reads: bool,
    /// Whether something is done when the response's body has ended.
    watched: bool,
    /// Whether nothing else is done for the request when the call fails.
    last: bool,
    /// Who gets copies.
    #[cfg(feature = "mirror")]
    mirrors: Vec<mirror::Mirror>,
    /// What is sent in its place, once it is known who gets it.
    instead: Option<Substitute<S>>,
}

/// What is sent by POST in the place of a client's request.
#[derive(Debug)]
pub struct Substitute<S> {
    /// Path and query.
    pub target: String,
    /// All fields.
    pub headers: Headers,
    /// The body.
    pub body: Body<S>,
}

/// The `Host` that is sent where it is not the target's own.
fn host_of<'a>(host: &'a HostHeader, line: &'a Line) -> Option<&'a str> {
    match host {
        HostHeader::Target => None,
        HostHeader::Keep => Some(&line.authority),
        HostHeader::Fixed(host) => Some(host),
    }
}

/// What a call that brought no response means to the client.
fn refusal(error: FetchError, limit: Option<u64>) -> Error {
    match error {
        FetchError::Timeout => Error::UpstreamTimeout,
        FetchError::BodyTooLarge => Error::BodyTooLarge { limit: limit.unwrap_or_default() },
        FetchError::BodyRefused => Error::BodyRefused,
        FetchError::BodyStalled => Error::BodyStalled,
        FetchError::ClientGone => Error::ClientGone,
        FetchError::NoCredential => Error::NoCredential,
        error @ (FetchError::Unreachable | FetchError::Reset | FetchError::Forbidden) => Error::UpstreamFailed(error),
    }
}

/// What the gateway says by itself, as clients of this protocol hear it.
#[cfg(feature = "grpc")]
fn told_in<P: Platform>(protocol: grpc::Protocol, platform: &P, reply: Reply<P::Stream>) -> Reply<P::Stream> {
    if reply.refused.is_some() && protocol != grpc::Protocol::Json {
        platform.watch().translated();
    }
    Reply { response: protocol.refuse(reply.response), ..reply }
}

/// Every attempt, for the log.
fn listed(pool: &Pool, history: &[upstream::Attempt]) -> String {
    let attempts: Vec<_> = history.iter().map(ToString::to_string).collect();
    format!("upstream `{}`: {}", pool.upstream.name, attempts.join("; "))
}

/// What checks have found, for the log.
#[cfg(feature = "checks")]
fn note_of<P: Platform>(platform: &P, news: &upstream::probe::News) -> Note {
    Note { problem: news.problem(), status: 0, request_id: request_id(platform), route: None, detail: news.to_string() }
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

/// The name of a route, where there is one.
fn named(route: &str) -> Option<String> {
    (!route.is_empty()).then(|| route.to_owned())
}

fn request_id<P: Platform>(platform: &P) -> String {
    platform.request_id()
}

impl Note {
    /// A body that broke off after its head had been sent.
    pub fn broken(broken: &Broken) -> Self {
        let (problem, detail) = ("broken-body", broken.to_string());
        Self { problem, status: 0, request_id: String::new(), route: None, detail }
    }
}

impl<S> Reply<S> {
    pub(crate) fn answer(response: Response<S>) -> Self {
        Self { response, notes: Vec::new(), deferred: Vec::new(), refused: None }
    }

    /// A refusal that happened before any route was found.
    pub fn refuse<P: Platform<Stream = S>>(platform: &P, error: Error) -> Self {
        Self::fail(platform, error, None, String::new())
    }

    /// A problem for the client, and a note for the log where the client is not to blame.
    pub fn fail<P: Platform<Stream = S>>(platform: &P, error: Error, route: Option<&str>, detail: String) -> Self {
        let request_id = request_id(platform);
        let (status, problem, _, blame) = error.kind();
        platform.watch().problem(Some(problem));
        #[cfg(feature = "json_rpc")]
        if matches!(error, Error::JsonRpc(_)) {
            platform.watch().translated();
        }
        let note = match blame {
            Blame::Client => None,
            Blame::Gateway | Blame::Upstream => Some(Note {
                problem,
                status,
                request_id: request_id.clone(),
                route: named(route.unwrap_or_default()),
                detail,
            }),
        };
        Self {
            response: error.into_response(&request_id),
            notes: note.into_iter().collect(),
            deferred: Vec::new(),
            refused: Some(status),
        }
    }
}
