//! The admin interface: what a gateway does, and the few things that can be changed while it runs, as JSON over HTTP.
//!
//! It answers under a path that the configuration declares, before any route is asked, and only to whoever has one of its tokens.
//! What it answers is described by `openapi.json`, which it serves as well and which a test holds it to. What is changed is written to
//! a [ledger](changes) that all instances read; what has happened lately comes from [another one](activity).

pub mod activity;
pub mod changes;
mod guard;
mod rules;
mod show;
#[cfg(feature = "rollout")]
mod versions;

pub use guard::SHORTEST as SHORTEST_TOKEN;
pub use rules::{Access, ActivityRules, Rules, TokenRule};

use crate::error::Error;
use crate::explain::Question;
use crate::gateway::{Gateway, LoadError, Note, Reply};
use crate::http::{self, Body, Response};
use crate::ledger::Ledger;
use crate::platform::{Platform, Timestamp};
use crate::policy::Deferred;
use crate::request::{self, Line, Request};
use crate::serve;
use crate::telemetry::watch::{Costs, Watched};
use crate::template::{Settings, Source};
use changes::{Act, Due, Entry, Mark, State};
use guard::{Guard, Token};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::net::IpAddr;

/// By what logs know requests to it. No route of a configuration can be called so.
pub const ROUTE: &str = "(admin)";

/// What it answers, for clients and for tests.
pub const DESCRIPTION: &str = include_str!("openapi.json");

/// The longest body that it reads, in bytes.
const LONGEST: usize = 256 << 10;

/// The longest reason that is written down, in bytes.
const LONGEST_REASON: usize = 200;

/// The interface of a configuration that has one.
#[derive(Debug)]
pub struct Admin {
    rules: Rules,
    guard: Guard,
}

impl Admin {
    /// Fills in the platform's values.
    pub fn new(rules: Option<&Rules>, settings: &Settings) -> Result<Option<Self>, String> {
        let Some(rules) = rules else { return Ok(None) };
        Ok(Some(Self { guard: Guard::new(rules, settings)?, rules: rules.clone() }))
    }

    /// The rest of the path of a request that is for it, from the slash on.
    pub fn rest<'l>(&self, line: &'l Line) -> Option<&'l str> {
        let rest = line.path.strip_prefix(self.rules.path.as_str())?;
        let is_below = rest.is_empty() || rest.starts_with('/');
        (is_below && self.rules.hosts.iter().any(|host| host.matches(&line.host))).then_some(rest)
    }
}

/// What can be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Endpoint {
    Description,
    Session,
    Config,
    Routes,
    Maintenance {
        route: String,
    },
    Upstreams,
    Drain {
        upstream: String,
        target: String,
    },
    Metrics,
    Series,
    Consumers,
    Limits,
    Requests,
    Errors,
    Explain,
    Purge,
    Keys,
    Revoke,
    Restore,
    Audit,
    #[cfg(feature = "rollout")]
    Versions(versions::Of),
}

impl Endpoint {
    /// What a path below that of the interface names.
    fn find(rest: &str) -> Option<Self> {
        let decoded =
            rest.strip_prefix('/')?.split('/').map(|segment| String::from_utf8(http::percent_decode(segment)));
        let segments = decoded.collect::<Result<Vec<_>, _>>().ok()?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        Some(match segments.as_slice() {
            ["openapi.json"] => Endpoint::Description,
            ["session"] => Endpoint::Session,
            ["config"] => Endpoint::Config,
            ["routes"] => Endpoint::Routes,
            ["routes", route, "maintenance"] => Endpoint::Maintenance { route: (*route).to_owned() },
            ["upstreams"] => Endpoint::Upstreams,
            ["upstreams", upstream, "targets", target, "drain"] => {
                Endpoint::Drain { upstream: (*upstream).to_owned(), target: (*target).to_owned() }
            }
            ["metrics"] => Endpoint::Metrics,
            ["series"] => Endpoint::Series,
            ["consumers"] => Endpoint::Consumers,
            ["limits"] => Endpoint::Limits,
            ["requests"] => Endpoint::Requests,
            ["errors"] => Endpoint::Errors,
            ["explain"] => Endpoint::Explain,
            ["purge"] => Endpoint::Purge,
            ["keys"] => Endpoint::Keys,
            ["keys", "revoke"] => Endpoint::Revoke,
            ["keys", "restore"] => Endpoint::Restore,
            ["audit"] => Endpoint::Audit,
            #[cfg(feature = "rollout")]
            ["versions", of @ ..] => Endpoint::Versions(versions::Of::find(of)?),
            _ => return None,
        })
    }

    /// The methods that it takes.
    fn methods(&self) -> &'static [&'static str] {
        match self {
            Endpoint::Description
            | Endpoint::Session
            | Endpoint::Config
            | Endpoint::Routes
            | Endpoint::Upstreams
            | Endpoint::Metrics
            | Endpoint::Series
            | Endpoint::Consumers
            | Endpoint::Limits
            | Endpoint::Requests
            | Endpoint::Errors
            | Endpoint::Keys
            | Endpoint::Audit => &["GET", "HEAD"],
            Endpoint::Maintenance { .. } | Endpoint::Drain { .. } => &["PUT", "DELETE"],
            Endpoint::Explain | Endpoint::Purge | Endpoint::Revoke | Endpoint::Restore => &["POST"],
            #[cfg(feature = "rollout")]
            Endpoint::Versions(of) => of.methods(),
        }
    }

    /// What a token has to be good for.
    fn needs(&self) -> Access {
        match self {
            Endpoint::Description
            | Endpoint::Session
            | Endpoint::Config
            | Endpoint::Routes
            | Endpoint::Upstreams
            | Endpoint::Metrics
            | Endpoint::Series
            | Endpoint::Consumers
            | Endpoint::Limits
            | Endpoint::Requests
            | Endpoint::Errors
            | Endpoint::Explain
            | Endpoint::Keys
            | Endpoint::Audit => Access::Read,
            Endpoint::Maintenance { .. }
            | Endpoint::Drain { .. }
            | Endpoint::Purge
            | Endpoint::Revoke
            | Endpoint::Restore => Access::Write,
            #[cfg(feature = "rollout")]
            Endpoint::Versions(versions::Of::All) => Access::Read,
            #[cfg(feature = "rollout")]
            Endpoint::Versions(_) => Access::Write,
        }
    }
}

/// A request to the interface, and who makes it.
struct Visit<'a> {
    request: &'a Request,
    token: &'a Token,
    now: Timestamp,
}

impl Gateway {
    /// Whether anything can be changed while it runs: through an interface of its own, or through that of the bundled configuration.
    pub(crate) fn is_administered(&self) -> bool {
        #[cfg(feature = "rollout")]
        if self.rollout.is_some() {
            return true;
        }
        self.admin.is_some()
    }

    /// The interface that a request is for, and the rest of its path: this configuration's, else the bundled one's. Whatever a
    /// version says of its interface, no upstream gets to see the tokens of the other one.
    pub(crate) fn interface<'a>(&'a self, line: &'a Line) -> Option<(&'a Admin, &'a str)> {
        let own = self.admin.as_deref();
        #[cfg(feature = "rollout")]
        let bundled = self.rollout.as_ref().and_then(|rollout| rollout.admin.as_deref());
        #[cfg(not(feature = "rollout"))]
        let bundled = None;
        [own, bundled].into_iter().flatten().find_map(|admin| Some((admin, admin.rest(line)?)))
    }

    /// Answers a request to the interface; `rest` is what its path has behind that of the interface.
    pub(crate) async fn administer<P: Platform>(
        &self,
        platform: &Watched<'_, P>,
        admin: &Admin,
        rest: &str,
        request: &Request,
        body: Body<P::Stream>,
    ) -> Reply<P::Stream> {
        platform.watch().route(ROUTE);
        match self.attend(platform, admin, rest, request, body).await {
            Ok(response) => Reply::answer(response),
            Err(error) => Reply::because(platform, error, ROUTE),
        }
    }

    async fn attend<P: Platform>(
        &self,
        platform: &Watched<'_, P>,
        admin: &Admin,
        rest: &str,
        request: &Request,
        body: Body<P::Stream>,
    ) -> Result<Response<P::Stream>, Error> {
        // The page holds nothing that anybody may not see, and asks for a token itself.
        #[cfg(feature = "console")]
        if let Some(response) = rest.strip_prefix('/').and_then(|path| crate::console::answer(path, &request.headers)) {
            return match request.line.method.as_str() {
                "GET" | "HEAD" => Ok(response),
                _ => Err(Error::MethodNotAllowed { allow: vec!["GET".to_owned(), "HEAD".to_owned()] }),
            };
        }
        let now = platform.now();
        let token = admin.guard.admit(&request.headers, request.client.address, now)?;
        let endpoint = Endpoint::find(rest).ok_or(Error::NothingThere)?;
        let methods = endpoint.methods();
        if !methods.contains(&request.line.method.as_str()) {
            let allow = methods.iter().map(|method| (*method).to_owned()).collect();
            return Err(Error::MethodNotAllowed { allow });
        }
        if endpoint.needs() == Access::Write && token.access == Access::Read {
            let reason = "This token may look, but not change anything.".to_owned();
            return Err(Error::Forbidden { reason, challenge: None });
        }
        let visit = Visit { request, token, now };
        let is_put = request.line.method == "PUT";
        Ok(match endpoint {
            Endpoint::Description => text(DESCRIPTION.to_owned()),
            Endpoint::Session => answer(&self.session(&visit)),
            Endpoint::Config => text(self.written()),
            Endpoint::Routes => answer(&self.list_routes(request)?),
            Endpoint::Upstreams => answer(&self.list_upstreams(platform).await),
            Endpoint::Metrics => answer(&self.show_metrics(platform).await?),
            Endpoint::Series => answer(&show::series(&self.activity(platform).await?, request, now)?),
            Endpoint::Consumers => answer(&show::consumers(&self.activity(platform).await?, request)?),
            Endpoint::Limits => answer(&show::limits(&self.activity(platform).await?, request, now)?),
            Endpoint::Requests => {
                let activity = self.activity(platform).await?;
                answer(&show::lines(&activity.requests, request, self.sampled())?)
            }
            Endpoint::Errors => {
                let activity = self.activity(platform).await?;
                answer(&show::lines(&activity.errors, request, 1.0)?)
            }
            Endpoint::Keys => {
                let known = self.current(platform).await?;
                answer(&show::revoked(&known))
            }
            Endpoint::Audit => {
                let known = self.current(platform).await?;
                answer(&show::audit(&known, request)?)
            }
            Endpoint::Explain => {
                let asked: Asked = read(platform, request, body).await?;
                answer(&self.explained(platform.bare(), asked.question()?).await?)
            }
            Endpoint::Maintenance { route } => {
                let asked: Reason = read_or_default(platform, request, body).await?;
                let known = self.current(platform).await?;
                let is_there = self.routes().all().any(|(_, known)| known.name == route);
                if !is_there && (is_put || !known.maintenance.contains_key(&route)) {
                    return Err(Error::NothingThere);
                }
                let retry_after = asked.retry_after.filter(|seconds| (1..=604_800).contains(seconds));
                if retry_after != asked.retry_after {
                    return Err(bad("`retry_after` is not between a second and a week."));
                }
                let act = if is_put { Act::Maintenance { route, retry_after } } else { Act::MaintenanceOver { route } };
                answer(&self.change(platform, &visit, act, asked.reason).await?)
            }
            Endpoint::Drain { upstream, target } => {
                let asked: Reason = read_or_default(platform, request, body).await?;
                if asked.retry_after.is_some() {
                    return Err(bad("`retry_after` is nothing that a target has."));
                }
                let known = self.current(platform).await?;
                let pool = self.upstreams().iter().find(|pool| pool.upstream.name == upstream);
                let is_there =
                    pool.is_some_and(|pool| (0..).zip(pool.targets()).any(|(at, _)| pool.name(at) == target));
                if !is_there && (is_put || !known.is_drained(&upstream, &target)) {
                    return Err(Error::NothingThere);
                }
                let act = if is_put { Act::Drain { upstream, target } } else { Act::Undrain { upstream, target } };
                answer(&self.change(platform, &visit, act, asked.reason).await?)
            }
            Endpoint::Revoke => {
                let asked: Key = read(platform, request, body).await?;
                let (key, reason) = asked.named(None)?;
                answer(&self.change(platform, &visit, Act::Revoke { key }, reason).await?)
            }
            Endpoint::Restore => {
                let asked: Key = read(platform, request, body).await?;
                let known = self.current(platform).await?;
                let (key, reason) = asked.named(Some(&known))?;
                if !known.revoked.contains_key(&key) {
                    return Err(Error::NothingThere);
                }
                answer(&self.change(platform, &visit, Act::Restore { key }, reason).await?)
            }
            #[cfg(feature = "rollout")]
            Endpoint::Versions(of) => answer(&Box::pin(self.versions(platform, &visit, of, body)).await?),
            Endpoint::Purge => answer(&self.purge_as_asked(platform, &visit, body).await?),
        })
    }

    /// Whose token it is, and what it may do.
    fn session(&self, visit: &Visit<'_>) -> Value {
        let may: &[&str] = match visit.token.access {
            Access::Read => &["read"],
            Access::Write => &["read", "write"],
        };
        let (since, problem) = self.changes.standing();
        json!({
            "name": visit.token.name,
            "may": may,
            "version": env!("CARGO_PKG_VERSION"),
            "configuration": serve::digest(&self.configuration),
            "now": visit.now,
            "effective_within_ms": changes::EFFECTIVE,
            "known": { "since": since, "problem": problem.as_ref().map(|_| "The ledger of changes cannot be read.") },
        })
    }

    /// What is in effect now, from its owner.
    async fn current<P: Platform>(&self, platform: &Watched<'_, P>) -> Result<std::rc::Rc<State>, Error> {
        self.hear(platform.bare()).await.map_err(uncertain)?;
        Ok(self.changes.state())
    }

    /// Asks what is in effect, and heeds it. What was known stays where nobody can say.
    async fn hear<P: Platform>(&self, platform: &P) -> Result<(), String> {
        match platform.collect(Ledger::Changes, b"").await {
            Ok(text) => {
                let now = platform.now();
                if self.changes.learn(State::read(&text), now) {
                    self.heed(now);
                }
                Ok(())
            }
            Err(error) => {
                self.changes.fail(&error.0, platform.now());
                Err(error.0)
            }
        }
    }

    /// Puts what is known into effect.
    fn heed(&self, now: Timestamp) {
        let state = self.changes.state();
        for pool in self.upstreams() {
            pool.drain(|target| state.is_drained(&pool.upstream.name, target), now);
        }
        self.consumers.changes.replace(state);
    }

    /// Sees to it that a request is handled by what is in effect. Gives what the log should hear.
    pub(crate) async fn catch_up<P: Platform>(&self, platform: &P, deferred: &mut Vec<Deferred>) -> Option<Note> {
        match self.changes.due(platform.now()) {
            Due::Nothing => None,
            Due::Afterwards => {
                deferred.push(Deferred::CatchUp);
                None
            }
            Due::AtOnce => self.catch_up_now(platform).await,
        }
    }

    /// Asks what is in effect; gives what the log should hear.
    pub(crate) async fn catch_up_now<P: Platform>(&self, platform: &P) -> Option<Note> {
        self.bill(Costs::OBJECT_CALL);
        let why = self.hear(platform).await.err()?;
        let detail =
            format!("what was changed through the admin interface cannot be read, so what was known stays: {why}");
        Some(Note { problem: "admin-uncertain", status: 0, request_id: platform.request_id(), route: None, detail })
    }

    /// Writes a change down, and puts it into effect here.
    async fn change<P: Platform>(
        &self,
        platform: &Watched<'_, P>,
        visit: &Visit<'_>,
        act: Act,
        reason: Option<String>,
    ) -> Result<Value, Error> {
        let state = self.current(platform).await?;
        if state.has_no_room_for(&act) {
            return Err(bad(&format!(
                "There are {} of these in effect; that is all there is room for.",
                changes::MOST
            )));
        }
        let told = json!({
            "action": act.action(),
            "subject": act.subject(),
            "effective_within_ms": changes::EFFECTIVE,
            "request_id": platform.request_id(),
        });
        self.write_down(platform, visit, act, reason, None).await?;
        // It is written down: whether this instance hears of it now or a little later.
        let _ = self.hear(platform.bare()).await;
        Ok(told)
    }

    /// Adds a line to the log, with what it changes.
    async fn write_down<P: Platform>(
        &self,
        platform: &Watched<'_, P>,
        visit: &Visit<'_>,
        act: Act,
        reason: Option<String>,
        failed: Option<String>,
    ) -> Result<(), Error> {
        if reason.as_ref().is_some_and(|reason| reason.len() > LONGEST_REASON) {
            return Err(bad(&format!("`reason` has more than {LONGEST_REASON} bytes.")));
        }
        let entry = Entry {
            sequence: 0,
            mark: Mark { since: platform.now(), by: visit.token.name.clone(), reason },
            from: visit.request.client.address.map(|address| address.to_canonical().to_string()),
            act,
            request_id: platform.request_id(),
            failed,
        };
        let text = serde_json::to_vec(&[entry]).map_err(|error| uncertain(error.to_string()))?;
        platform.collect(Ledger::Changes, &text).await.map(drop).map_err(|error| uncertain(error.0))
    }

    #[cfg(feature = "cache")]
    async fn purge_as_asked<P: Platform>(
        &self,
        platform: &Watched<'_, P>,
        visit: &Visit<'_>,
        body: Body<P::Stream>,
    ) -> Result<Value, Error> {
        use crate::cache::purge::Change;
        let mut wanted: serde_json::Map<String, Value> = read(platform, visit.request, body).await?;
        let reason = match wanted.remove("reason") {
            None | Some(Value::Null) => None,
            Some(Value::String(reason)) => Some(reason),
            Some(_) => return Err(bad("`reason` is no text.")),
        };
        let wanted = serde_json::to_vec(&wanted).map_err(|error| uncertain(error.to_string()))?;
        let change = Change::read(&wanted).map_err(|reason| Error::BadPurge { reason })?;
        let what = show::purged(&change);
        let act = Act::Purge { what: what.clone() };
        // First it is written down that somebody wants it, so that nothing is ever taken back of which the log does not know.
        self.write_down(platform, visit, act.clone(), reason.clone(), None).await?;
        if let Err(error) = self.take_back(platform, &change).await {
            let failed = Some("what is to be purged cannot be written down".to_owned());
            let _ = self.write_down(platform, visit, act, reason, failed).await;
            return Err(error);
        }
        Ok(json!({
            "action": "purge",
            "subject": what,
            "effective_within_ms": crate::cache::purge::HOLD,
            "request_id": platform.request_id(),
        }))
    }

    #[cfg(not(feature = "cache"))]
    async fn purge_as_asked<P: Platform>(
        &self,
        _: &Watched<'_, P>,
        _: &Visit<'_>,
        _: Body<P::Stream>,
    ) -> Result<Value, Error> {
        Err(Error::NothingThere)
    }

    /// Explains a request, on another gateway of the same configuration.
    async fn explained<P: Platform>(&self, platform: &P, question: Question) -> Result<Value, Error> {
        let gateway = Gateway::load_to_explain(self.configuration.clone(), |reference| match reference.source {
            Source::Env => self.settings.get(reference).cloned(),
            Source::Secret => None,
        });
        let (gateway, stand_ins) = gateway.map_err(|error: LoadError| Error::AdminUncertain {
            reason: format!("without its secrets the configuration cannot be loaded: {error}"),
        })?;
        gateway.changes.learn((*self.changes.state()).clone(), platform.now());
        gateway.heed(platform.now());
        let explanation = Box::pin(gateway.explain(platform, &question, stand_ins)).await;
        explanation.map(|explanation| explanation.json()).map_err(|reason| bad(&reason))
    }
}

/// Why, and for a route how long.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Reason {
    reason: Option<String>,
    retry_after: Option<u64>,
}

/// An API key, by what somebody knows of it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Key {
    key: Option<String>,
    hash: Option<String>,
    prefix: Option<String>,
    id: Option<String>,
    reason: Option<String>,
}

impl Key {
    /// What it is known by, and why this is done.
    fn named(self, known: Option<&State>) -> Result<(String, Option<String>), Error> {
        let Key { key, hash, prefix, id, reason } = self;
        let is_hash = |hash: &String| hash.len() == 64 && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let named = match (key, hash, prefix, id) {
            (Some(key), None, None, None) if !key.is_empty() => changes::key_of_hash(&crate::consumer::hash(&key)),
            (None, Some(hash), None, None) if is_hash(&hash) => changes::key_of_hash(&hash),
            (None, None, Some(prefix), None) if (4..=64).contains(&prefix.len()) => changes::key_of_prefix(&prefix),
            (None, None, None, Some(id)) if known.is_some() => {
                known.and_then(|known| known.revoked_as(&id)).ok_or(Error::NothingThere)?
            }
            _ => {
                return Err(bad(match known {
                    Some(_) => {
                        "This needs one of `key`, `hash` (64 hexadecimal digits), `prefix` (4 to 64 bytes) and `id`."
                    }
                    None => "This needs one of `key`, `hash` (64 hexadecimal digits) and `prefix` (4 to 64 bytes).",
                }));
            }
        };
        Ok((named, reason))
    }
}

/// A request to explain, as somebody writes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    method: String,
    url: String,
    #[serde(default)]
    headers: AskedHeaders,
    client_address: Option<String>,
    country: Option<String>,
    data_centre: Option<String>,
}

/// By name, or a list of pairs.
#[derive(Debug, Default, Deserialize)]
#[serde(untagged)]
enum AskedHeaders {
    #[default]
    None,
    Pairs(Vec<(String, String)>),
    Named(std::collections::BTreeMap<String, String>),
}

impl Asked {
    fn question(self) -> Result<Question, Error> {
        let Asked { method, url, headers, client_address, country, data_centre } = self;
        let client_address = match client_address {
            Some(text) => Some(
                text.parse::<IpAddr>().map_err(|_| bad("`client_address` is no address of the Internet Protocol."))?,
            ),
            None => None,
        };
        let headers = match headers {
            AskedHeaders::None => Vec::new(),
            AskedHeaders::Pairs(pairs) => pairs,
            AskedHeaders::Named(named) => named.into_iter().collect(),
        };
        let is_field = |(name, value): &(String, String)| {
            http::is_token(name) && !value.bytes().any(|b| matches!(b, b'\0' | b'\r' | b'\n'))
        };
        if !headers.iter().all(is_field) {
            return Err(bad("`headers` holds something that is no header field."));
        }
        Ok(Question { method, url, headers, client_address, country, data_centre })
    }
}

async fn read<P: Platform, T: DeserializeOwned>(
    platform: &P,
    request: &Request,
    body: Body<P::Stream>,
) -> Result<T, Error> {
    let bytes = whole(platform, request, body).await?;
    serde_json::from_slice(&bytes).map_err(|error| bad(&format!("The body cannot be read: {error}.")))
}

/// The same where there may be no body.
async fn read_or_default<P: Platform, T: DeserializeOwned + Default>(
    platform: &P,
    request: &Request,
    body: Body<P::Stream>,
) -> Result<T, Error> {
    let bytes = whole(platform, request, body).await?;
    if bytes.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(&bytes).map_err(|error| bad(&format!("The body cannot be read: {error}.")))
}

async fn whole<P: Platform>(platform: &P, asked: &Request, body: Body<P::Stream>) -> Result<bytes::Bytes, Error> {
    if asked.headers.contains("content-type") && !asked.headers.is_json() {
        return Err(Error::UnsupportedMediaType { accept: vec!["application/json".to_owned()] });
    }
    request::whole(platform, body, asked.content_length, LONGEST as u64).await
}

/// What a query says under a name.
fn parameter<'r>(request: &'r Request, name: &'r str) -> Option<Cow<'r, str>> {
    http::parameters(request.line.query.as_deref()?, name).next()
}

/// The number that a query says under a name.
fn number(request: &Request, name: &str) -> Result<Option<u64>, Error> {
    parameter(request, name)
        .map(|text| text.parse().map_err(|_| bad(&format!("`{name}` is not a number."))))
        .transpose()
}

/// At most so many are shown: what `limit` says.
fn most(request: &Request, usual: usize) -> Result<usize, Error> {
    match number(request, "limit")? {
        None => Ok(usual),
        Some(limit @ 1..=500) => Ok(usize::try_from(limit).unwrap_or(usual)),
        Some(_) => Err(bad("`limit` is not between 1 and 500.")),
    }
}

fn bad(reason: &str) -> Error {
    Error::BadAdminRequest { reason: reason.to_owned() }
}

fn uncertain(reason: String) -> Error {
    Error::AdminUncertain { reason }
}

fn answer<S>(value: &Value) -> Response<S> {
    text(value.to_string())
}

fn text<S>(text: String) -> Response<S> {
    serve::respond(200, "application/json", text)
}
