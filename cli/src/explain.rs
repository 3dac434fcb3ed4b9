//! `postern explain`: shows which route answers a request, and why the others do not.
//!
//! It asks the engine itself: the gateway is loaded and handles the request, on a platform that writes down what it is
//! asked to fetch instead of fetching it.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::future::Future;
use std::io::{self, Write};
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use gateway_core::cache::purge::{Change as PurgeChange, Marks};
use gateway_core::claim;
use gateway_core::compose::{Compose, OnError};
use gateway_core::config::artefact::{Artefact, Globals};
use gateway_core::config::{self, Disk};
use gateway_core::forward::PathChange;
use gateway_core::gateway::{Gateway, LoadError, Note, Plan};
use gateway_core::grpc::{Binding, Grpc};
use gateway_core::http::{Body, Edit, Headers, Incoming, Peer, Response, Scheme};
use gateway_core::jwt::Family;
use gateway_core::outflow::{Left, Outflow};
use gateway_core::platform::{
    Call, Copied, Failure as FetchFailure, Item, Outlet, Peeked, Platform, Reach, ReadError, StoreError, Timestamp,
};
use gateway_core::policy::authenticate::issuer::{Inline, Issuer, Source as KeySource};
use gateway_core::quota::{Decision, Order};
use gateway_core::request::{Line, Request};
use gateway_core::route::{Considered, Matcher};
use gateway_core::template::{Piece, Reference, Source, Template};
use gateway_core::upstream::{Balance, SHORTEST_SECRET, Upstream};
use serde_json::{Value, json};

use crate::arguments::{Explain, ExplanationFormat};
use crate::configuration;
use crate::dev::variables::Variables;
use crate::outcome::{Failure, Outcome};
use crate::report::{self, Count};
use crate::terminal::{Colour, Paint};

/// Explains one request.
pub fn run(options: &Explain, colour: Colour) -> Result<Outcome, Failure> {
    let entry = configuration::find(&options.configuration)?;
    let (gateway, stand_ins) = load(&entry, colour)?;
    let explanation = explain(&gateway, options, stand_ins)?;
    let mut out = io::stdout().lock();
    match options.format {
        ExplanationFormat::Human => {
            let text = explanation.human(Paint::new(colour.on(&out)));
            out.write_all(text.as_bytes())?;
        }
        ExplanationFormat::Json => writeln!(out, "{:#}", explanation.json())?,
    }
    Ok(match explanation.route {
        Some(_) => Outcome::Fine,
        None => Outcome::Problems,
    })
}

/// What there is to say about a request.
struct Explanation {
    /// The request as routes see it; `None` if it was refused before any route was asked.
    seen: Option<Seen>,
    candidates: Vec<Candidate>,
    /// The route that takes it.
    route: Option<Taken>,
    /// What would be sent to an upstream.
    call: Option<Sent>,
    /// The answer: from the gateway itself, or what it changes about the upstream's.
    answer: Answer,
    /// What would be logged: why an expression could not be evaluated, for example.
    notes: Vec<Note>,
    /// Values that are not known here, and what stands for them.
    stand_ins: Vec<StandIn>,
}

struct Seen {
    method: String,
    scheme: Scheme,
    host: String,
    path: String,
    query: Option<String>,
    client: Option<String>,
}

struct Candidate {
    rank: u32,
    route: String,
    path: String,
    /// Why it does not take the request.
    unmet: Option<String>,
}

struct Taken {
    name: String,
    path: String,
    parameters: Vec<(String, String)>,
    /// The upstream, all of its targets, and how one of them is picked.
    upstream: Option<(String, Vec<String>, &'static str)>,
    /// The method of gRPC that is called, and by which way.
    calls: Option<String>,
    /// The steps that its answer is composed of, in the order in which they can begin.
    steps: Vec<ShownStep>,
}

/// A step of a composition.
struct ShownStep {
    /// In which round of calls it can begin, from 1.
    round: usize,
    name: String,
    upstream: String,
    method: String,
    path: String,
    after: Vec<String>,
    /// Its condition, what it is repeated for, and what becomes of a failure.
    rules: Vec<String>,
}

struct Sent {
    method: String,
    url: String,
    /// Where it is not the URL's.
    host: Option<String>,
    edits: Vec<Change>,
    timeout: u128,
}

struct Answer {
    status: u16,
    edits: Vec<Change>,
    body: String,
}

/// A change of a header field.
struct Change {
    what: &'static str,
    name: String,
    value: Option<String>,
}

struct StandIn {
    reference: Reference,
    value: String,
}

fn load(entry: &Path, colour: Colour) -> Result<(Gateway, Vec<StandIn>), Failure> {
    let compiled = config::compile(entry, &Disk);
    let Some(artefact) = compiled.artefact.map(Bytes::from) else {
        let coloured = colour.on(&io::stderr());
        eprint!("{}", report::human(&compiled.problems, &compiled.sources, coloured));
        eprintln!("{}", report::summary(entry, Count::of(&compiled.problems), coloured));
        return Err(Failure::told("the configuration has errors, so no request can be explained"));
    };
    let told = |error: LoadError| Failure::told(format!("the configuration cannot be loaded: {error}"));
    let globals = Artefact::read(&artefact).and_then(|artefact| artefact.globals()).map_err(LoadError::Unreadable);
    let globals = globals.map_err(told)?;
    let known = Variables::read(&globals.references, entry, |name| std::env::var(name).ok());
    let mut stand_ins = Vec::new();
    let gateway = Gateway::load(artefact, |reference| match (reference.source, known.get(reference)) {
        (Source::Env, Some(value)) => Some(value.to_owned()),
        (Source::Env, None) | (Source::Secret, _) => {
            let value = stand_in(reference, &globals);
            stand_ins.push(StandIn { reference: reference.clone(), value: value.clone() });
            Some(value)
        }
    });
    Ok((gateway.map_err(told)?, stand_ins))
}

/// A name that stands for a value that is unknown, or a secret. Where it is a key, or a part of a target's URL, it must be
/// one that can stand there.
fn stand_in(reference: &Reference, globals: &Globals) -> String {
    if let Some(key) = globals.issuers.iter().find_map(|issuer| key_for(reference, issuer)) {
        return key;
    }
    let source = match reference.source {
        Source::Env => "env",
        Source::Secret => "secret",
    };
    let name = format!("{source}-{}", reference.name).to_ascii_lowercase().replace('_', "-");
    let rules = globals.upstreams.iter().filter_map(|upstream| upstream.rules.as_ref());
    if rules
        .filter_map(|rules| rules.sticky.as_ref())
        .any(|sticky| sticky.secret.references().any(|this| this == reference))
    {
        return format!("{name:-<SHORTEST_SECRET$}");
    }
    let is_meant = |key: &Template| key.references().any(|this| this == reference);
    if globals.session_keys.iter().flatten().any(is_meant) {
        return format!("{name}-which-stands-for-a-longer-one");
    }
    for target in globals.upstreams.iter().flat_map(|upstream| &upstream.targets) {
        let pieces = target.url.pieces();
        let Some(at) = pieces.iter().position(|piece| matches!(piece, Piece::Reference(this) if this == reference))
        else {
            continue;
        };
        let text = |at: Option<usize>| match at.and_then(|at| pieces.get(at)) {
            Some(Piece::Text(text)) => text.as_str(),
            _ => "",
        };
        return match at {
            0 if text(Some(1)).starts_with("://") => "https".to_owned(),
            0 => format!("https://{name}"),
            at if text(at.checked_sub(1)).ends_with(':') => "443".to_owned(),
            _ => name,
        };
    }
    name
}

/// What stands for a key of an issuer: something of its kind, with which nobody signs.
fn key_for(reference: &Reference, issuer: &Issuer) -> Option<String> {
    let KeySource::Inline(keys) = &issuer.keys else { return None };
    let names = |template: &Template| template.references().any(|named| named == reference);
    keys.iter().find_map(|key| match key {
        // Long enough for every hash, and Base64 as well.
        Inline::Secret { secret, .. } if names(secret) => Some("secret".repeat(16)),
        Inline::Pem { pem, .. } if names(pem) => {
            let takes = |family| issuer.algorithms.iter().any(|algorithm| algorithm.family() == family);
            Some(match () {
                () if takes(Family::P256) => P256.to_owned(),
                () if takes(Family::P384) => P384.to_owned(),
                () if takes(Family::Ed25519) => ED25519.to_owned(),
                () => RSA.to_owned(),
            })
        }
        Inline::Secret { .. } | Inline::Pem { .. } | Inline::Jwk(_) => None,
    })
}

const RSA: &str = include_str!("../../gateway-core/tests/keys/rsa.public.pem");
const P256: &str = include_str!("../../gateway-core/tests/keys/p256.public.pem");
const P384: &str = include_str!("../../gateway-core/tests/keys/p384.public.pem");
const ED25519: &str = include_str!("../../gateway-core/tests/keys/ed25519.public.pem");

fn explain(gateway: &Gateway, options: &Explain, stand_ins: Vec<StandIn>) -> Result<Explanation, Failure> {
    let mut explanation = Explanation {
        seen: None,
        candidates: Vec::new(),
        route: None,
        call: None,
        answer: Answer { status: 0, edits: Vec::new(), body: String::new() },
        notes: Vec::new(),
        stand_ins,
    };
    let globals = gateway.globals();
    if let Ok((request, _)) = Request::read(incoming(options)?, &globals.limits, &globals.trusted_proxies) {
        let considered = gateway.routes().consider(&request.head());
        if let Some(taken) = considered.iter().find(|considered| considered.unmet.is_none()) {
            explanation.route = Some(Taken::of(taken, &request.line, gateway));
        }
        explanation.candidates = considered.iter().map(Candidate::of).collect();
        explanation.seen = Some(Seen {
            method: request.line.method,
            scheme: request.client.scheme,
            host: request.line.host,
            path: request.line.path,
            query: request.line.query,
            client: request.client.address.map(|address| address.to_string()),
        });
    }
    let recorder = Recorder { call: RefCell::default() };
    let reply = at_once(gateway.handle(&recorder, incoming(options)?));
    explanation.call = recorder.call.take();
    explanation.notes = reply.notes;
    let composes = explanation.call.is_some() || matches!(reply.response.body, Body::Made(_));
    if composes && explanation.route.as_ref().is_some_and(|route| !route.steps.is_empty()) {
        // What comes of empty answers says nothing of real ones.
        explanation.call = None;
        explanation.notes.clear();
        return Ok(explanation);
    }
    if let Some(route) = &mut explanation.route {
        // A policy has answered.
        route.steps.clear();
    }
    let is_call = explanation.route.as_ref().is_some_and(|route| route.calls.is_some());
    if is_call && explanation.call.is_some() {
        // What an empty answer is to a call says nothing of a real one.
        explanation.notes.clear();
        return Ok(explanation);
    }
    explanation.answer = Answer {
        status: reply.response.status,
        edits: changes(&reply.response.headers),
        body: match reply.response.body {
            Body::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Body::Empty | Body::Stream(Nothing) | Body::Pumped(Nothing, _) | Body::Made(_) => String::new(),
        },
    };
    Ok(explanation)
}

/// The request, as an adapter would hand it over.
fn incoming(options: &Explain) -> Result<Incoming<Nothing>, Failure> {
    let wrong = || {
        Failure::told(format!("`{}` is not a URL with scheme and host, such as http://localhost/a?b=c", options.url))
    };
    let (scheme, rest) = options.url.split_once("://").ok_or_else(wrong)?;
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        _ => return Err(wrong()),
    };
    // A client keeps the fragment to itself.
    let rest = rest.split('#').next().unwrap_or_default();
    let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    if authority.is_empty() {
        return Err(wrong());
    }
    let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
    let mut headers = Headers::new();
    let mut host = authority.to_owned();
    for (name, value) in &options.headers {
        if name.eq_ignore_ascii_case("host") {
            host.clone_from(value);
        } else {
            headers.receive(name, value.as_bytes());
        }
    }
    headers.receive("host", host.as_bytes());
    Ok(Incoming {
        method: options.method.clone(),
        scheme,
        authority: host,
        target,
        headers,
        body: Body::Empty,
        peer: Peer {
            address: Some(options.client_address),
            country: options.country.as_deref().map(str::to_ascii_uppercase),
            data_centre: options.data_centre.as_deref().map(str::to_ascii_uppercase),
            certificate: None,
        },
    })
}

/// There are no streams here.
#[derive(Debug)]
struct Nothing;

/// Writes down what it is asked to fetch, and answers with nothing at all.
struct Recorder {
    call: RefCell<Option<Sent>>,
}

impl Platform for Recorder {
    type Stream = Nothing;

    /// Credentials expire, so this is the time that it is.
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::try_from(since.as_millis()).unwrap_or(Timestamp::MAX)
    }

    fn random(&self) -> u64 {
        0
    }

    async fn fetch(&self, call: Call<Nothing>) -> Result<Response<Nothing>, FetchFailure> {
        *self.call.borrow_mut() = Some(Sent {
            url: format!("{}://{}{}", call.scheme, call.authority, call.target),
            edits: changes(&call.headers),
            host: call.host,
            timeout: call.timeout.as_millis(),
            method: call.method,
        });
        Ok(Response { status: 200, headers: Headers::new(), body: Body::Empty })
    }

    /// No request or response here has a body.
    async fn read(&self, _: Nothing, _: usize) -> Result<Bytes, ReadError> {
        Ok(Bytes::new())
    }

    async fn read_to_end(&self, _: Nothing, _: usize) -> Result<(Bytes, Headers), ReadError> {
        Ok((Bytes::new(), Headers::new()))
    }

    fn decodes(&self, _: &str) -> bool {
        false
    }

    async fn lookup(&self, _: &str) -> Result<Option<Bytes>, StoreError> {
        Err(StoreError("explain asks no store".to_owned()))
    }

    /// Whether a limit has been reached nobody knows here: it has not.
    async fn take(&self, _: &str, _: &Order) -> Result<Decision, StoreError> {
        Ok(Decision { granted: Some(1), wait: Some(0), standings: Vec::new() })
    }

    /// Nobody fences anything off here.
    async fn admit(&self, _: &str, _: &str) -> Result<Option<bool>, StoreError> {
        Ok(None)
    }

    /// Nobody has checked any target.
    async fn board(&self, _: &str) -> Result<Option<Bytes>, StoreError> {
        Ok(None)
    }

    async fn post(&self, _: &str, _: &str) -> Result<(), StoreError> {
        Ok(())
    }

    fn checks_by_itself(&self) -> bool {
        false
    }

    /// Nor what was done before: nothing was.
    async fn claim(&self, _: &str, order: &claim::Order) -> Result<claim::Verdict, StoreError> {
        Ok(match order {
            claim::Order::Begin { .. } => claim::Verdict::Yours,
            claim::Order::Finish { .. } | claim::Order::Release { .. } => claim::Verdict::Noted,
        })
    }

    /// Nobody receives anything here.
    async fn write(&self, _: &Outflow, _: Bytes) -> Result<(), Left> {
        Err(Left)
    }

    fn finish(&self, _: &Outflow, _: bool) {}

    async fn peek(&self, _: Nothing, _: usize) -> Result<Peeked<Nothing>, ReadError> {
        Ok(Peeked::Whole(Bytes::new()))
    }

    fn copy(&self, body: Nothing, _: usize) -> (Nothing, Copied) {
        (body, Copied::default())
    }

    async fn copied(&self, _: Copied) -> Result<Bytes, ReadError> {
        Ok(Bytes::new())
    }

    /// Nothing is stored here, so everything goes on to its upstream.
    async fn recall(&self, _: &str, _: Reach) -> Result<Option<(Bytes, Body<Nothing>)>, StoreError> {
        Ok(None)
    }

    async fn keep(&self, _: &Item<'_>, body: Body<Nothing>, _: bool) -> (Body<Nothing>, Option<u32>) {
        (body, None)
    }

    async fn kept(&self, _: u32) -> Result<(), StoreError> {
        Ok(())
    }

    async fn forget(&self, _: &str, _: Reach) -> Result<(), StoreError> {
        Ok(())
    }

    async fn purges(&self, _: &str, _: &PurgeChange) -> Result<Marks, StoreError> {
        Err(StoreError("explain takes nothing back".to_owned()))
    }

    /// What is explained is no traffic that anybody counts.
    async fn collect(&self, _: &[u8]) -> Result<Bytes, StoreError> {
        Err(StoreError("explain counts nothing".to_owned()))
    }

    async fn publish(&self, _: &Outlet, _: &[u8]) -> Result<(), StoreError> {
        Ok(())
    }

    fn print(&self, _: &str) {}

    /// Every answer is there at once, so there is nothing to wait for.
    async fn sleep(&self, _: Duration) {}
}

/// Runs a future that never waits, because the recorder answers at once.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
}

impl Candidate {
    fn of(considered: &Considered<Plan>) -> Self {
        Self {
            rank: considered.rank,
            route: considered.candidate.route.name.clone(),
            path: path(considered.candidate.matcher()),
            unmet: considered.unmet.as_ref().map(ToString::to_string),
        }
    }
}

impl Taken {
    fn of(considered: &Considered<Plan>, line: &Line, gateway: &Gateway) -> Self {
        use gateway_core::gateway::Action;
        let matched = &considered.candidate;
        let action = &matched.route.then.action;
        let upstream = action.forward().and_then(|forward| gateway.upstreams().get(forward.upstream as usize));
        let calls = match action {
            Action::Grpc(grpc) => calls(gateway, grpc, line),
            _ => None,
        };
        let steps = match action {
            Action::Compose(compose) => steps(gateway, compose),
            _ => Vec::new(),
        };
        let parameters = matched.parameters(&line.path).iter();
        Self {
            name: matched.route.name.clone(),
            path: path(matched.matcher()),
            parameters: parameters.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            upstream: upstream.map(|pool| {
                let targets = pool.targets().iter();
                let urls = targets.map(|target| format!("{}://{}{}", target.scheme, target.authority, target.base));
                (pool.upstream.name.clone(), urls.collect(), picked(&pool.upstream))
            }),
            calls,
            steps,
        }
    }
}

/// Which method of gRPC a request calls, and by which way, as far as its path goes on as it came.
fn calls(gateway: &Gateway, grpc: &Grpc, line: &Line) -> Option<String> {
    let service = gateway.services(grpc.services)?;
    if grpc.forward.path != PathChange::Keep {
        return None;
    }
    let (binding, rpc) = service.explain(&line.method, &line.path)?;
    Some(match binding {
        Some(Binding { method, template, .. }) => {
            let method = if method == "*" { &line.method } else { method };
            format!("{} by {method} {template}", rpc.name)
        }
        None => format!("{} at its own path", rpc.name),
    })
}

/// The steps of a composition, those first that can begin first.
fn steps(gateway: &Gateway, compose: &Compose) -> Vec<ShownStep> {
    let named = |at: &u32| compose.steps.get(*at as usize).map(|step| step.name.clone());
    let shown = compose.steps.iter().zip(compose.depths()).map(|(step, round)| {
        let upstream = gateway.upstreams().get(step.forward.upstream as usize);
        let mut rules = Vec::new();
        rules.extend(step.when.as_ref().map(|when| format!("when {}", when.text())));
        rules.extend(step.for_each.as_ref().map(|each| format!("for each of {}, at most {}", each.list, each.most)));
        rules.extend(match &step.on_error {
            OnError::Fail => None,
            OnError::Omit => Some("left out where it fails".to_owned()),
            OnError::Errors => Some("told of in `errors` where it fails".to_owned()),
            OnError::Default(_) => Some("has a default where it fails".to_owned()),
        });
        ShownStep {
            round,
            name: step.name.clone(),
            upstream: upstream.map_or_else(String::new, |pool| pool.upstream.name.clone()),
            method: step.method.clone(),
            path: step.path.to_string(),
            after: step.needs.iter().filter_map(named).collect(),
            rules,
        }
    });
    let mut shown: Vec<ShownStep> = shown.collect();
    shown.sort_by_key(|step| step.round);
    shown
}

/// How the target of a request is picked.
fn picked(upstream: &Upstream) -> &'static str {
    match upstream.rules.as_ref().map(|rules| &rules.balance) {
        None | Some(Balance::RoundRobin) => "take turns",
        Some(Balance::Random) => "are drawn by lot",
        Some(Balance::LeastRequests) => "are picked by what is under way",
        Some(Balance::Latency) => "are picked by how soon they answer",
        Some(Balance::Hash { .. }) => "are picked by a value of the request",
    }
}

fn path(matcher: Option<&Matcher>) -> String {
    match matcher {
        Some(Matcher::Path(pattern)) => pattern.to_string(),
        Some(Matcher::Regex(regex)) => format!("regex {regex}"),
        None => String::new(),
    }
}

fn changes(headers: &Headers) -> Vec<Change> {
    let text = |value: &[u8]| Some(String::from_utf8_lossy(value).into_owned());
    headers
        .edits()
        .map(|edit| match edit {
            Edit::Set(name, value) => Change { what: "set", name: name.to_owned(), value: text(value) },
            Edit::Append(name, value) => Change { what: "append", name: name.to_owned(), value: text(value) },
            Edit::Remove(name) => Change { what: "remove", name: name.to_owned(), value: None },
        })
        .collect()
}

impl Explanation {
    /// Whether the answer is made of several calls.
    fn composes(&self) -> bool {
        self.route.as_ref().is_some_and(|route| !route.steps.is_empty())
    }

    fn human(&self, paint: Paint) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = self.write_human(&mut text, paint);
        text
    }

    fn write_human(&self, out: &mut String, paint: Paint) -> std::fmt::Result {
        if let Some(seen) = &self.seen {
            let query = seen.query.as_deref().map(|query| format!("?{query}")).unwrap_or_default();
            writeln!(out, "{} {}://{}{}{query}", paint.bold(&seen.method), seen.scheme, seen.host, seen.path)?;
            if let Some(client) = &seen.client {
                writeln!(out, "from {client}")?;
            }
            writeln!(out, "\n{}", paint.bold("Candidates, best first"))?;
            if self.candidates.is_empty() {
                writeln!(out, "  none: no route has this host and path")?;
            }
            let widest = |of: fn(&Candidate) -> &str| {
                self.candidates.iter().map(|candidate| of(candidate).chars().count()).max().unwrap_or(0)
            };
            let (routes, paths) = (widest(|candidate| &candidate.route), widest(|candidate| &candidate.path));
            let mut decided = false;
            for Candidate { route, path, unmet, .. } in &self.candidates {
                let verdict = match unmet {
                    Some(unmet) => format!("{} {unmet}", paint.red("no:")),
                    None if decided => paint.dim("would, but is not asked any more"),
                    None => {
                        decided = true;
                        paint.green("yes")
                    }
                };
                writeln!(out, "  {route:routes$}  {path:paths$}  {verdict}")?;
            }
        }
        match &self.route {
            Some(route) => {
                writeln!(out, "\n{} {}", paint.bold("Route"), paint.green(&route.name))?;
                for (name, value) in &route.parameters {
                    writeln!(out, "  {{{name}}} = {value}")?;
                }
                if let Some(calls) = &route.calls {
                    writeln!(out, "  calls {calls}")?;
                }
            }
            None => writeln!(out, "\n{}", paint.red("No route takes it"))?,
        }
        let steps = self.route.as_ref().map_or(&[][..], |route| &route.steps);
        if !steps.is_empty() {
            write_steps(out, paint, steps)?;
        } else if let Some(call) = &self.call {
            writeln!(out, "\n{}", paint.bold("Sends"))?;
            writeln!(out, "  {} {}", call.method, call.url)?;
            if let Some((name, targets, picked)) = self.route.as_ref().and_then(|route| route.upstream.as_ref()) {
                match targets.len() {
                    0 | 1 => writeln!(out, "  to the upstream {name}, within {} ms", call.timeout)?,
                    several => writeln!(
                        out,
                        "  to the upstream {name}, within {} ms; its {several} targets {}: {}",
                        call.timeout,
                        picked,
                        targets.join(", ")
                    )?,
                }
            }
            if let Some(host) = &call.host {
                writeln!(out, "  Host: {host}, where the platform can")?;
            }
            write_changes(out, "  ", &call.edits)?;
            if !self.answer.edits.is_empty() {
                writeln!(out, "\n{}", paint.bold("Changes the response"))?;
                write_changes(out, "  ", &self.answer.edits)?;
            }
        } else {
            writeln!(out, "\n{} {}", paint.bold("Answers"), self.answer.status)?;
            for change in &self.answer.edits {
                if let Some(value) = &change.value {
                    writeln!(out, "  {}: {value}", change.name)?;
                }
            }
            if !self.answer.body.is_empty() {
                writeln!(out)?;
                for line in self.answer.body.lines() {
                    writeln!(out, "  {line}")?;
                }
            }
        }
        for Note { problem, detail, .. } in &self.notes {
            writeln!(out, "\n{} {problem}: {detail}", paint.bold("Logs"))?;
        }
        for StandIn { reference, value } in &self.stand_ins {
            let first = value.lines().next().unwrap_or_default();
            let more = if first.len() < value.trim_end().len() { " …" } else { "" };
            writeln!(out, "\n{} `{first}{more}` stands for {reference}", paint.yellow("note:"))?;
        }
        Ok(())
    }

    fn json(&self) -> Value {
        let answer = json!({
            "status": self.answer.status,
            "headers": self.answer.edits.iter().map(Change::json).collect::<Vec<_>>(),
            "body": self.answer.body,
        });
        json!({
            "request": self.seen.as_ref().map(|seen| json!({
                "method": seen.method,
                "scheme": seen.scheme.as_str(),
                "host": seen.host,
                "path": seen.path,
                "query": seen.query,
                "client_address": seen.client,
            })),
            "candidates": self.candidates.iter().map(|candidate| json!({
                "rank": candidate.rank,
                "route": candidate.route,
                "path": candidate.path,
                "unmet": candidate.unmet,
            })).collect::<Vec<_>>(),
            "match": self.route.as_ref().map(|route| json!({
                "route": route.name,
                "path": route.path,
                "parameters": route.parameters.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
                "calls": route.calls,
                "steps": route.steps.iter().map(ShownStep::json).collect::<Vec<_>>(),
            })),
            "upstream": self.call.as_ref().map(|call| json!({
                "name": self.route.as_ref().and_then(|route| route.upstream.as_ref()).map(|(name, ..)| name),
                "targets": self.route.as_ref().and_then(|route| route.upstream.as_ref()).map(|(_, targets, _)| targets),
                "method": call.method,
                "url": call.url,
                "host": call.host,
                "timeout_ms": u64::try_from(call.timeout).ok(),
                "headers": call.edits.iter().map(Change::json).collect::<Vec<_>>(),
                "response_headers": self.answer.edits.iter().map(Change::json).collect::<Vec<_>>(),
            })),
            "answer": (self.call.is_none() && !self.composes()).then_some(answer),
            "log": self.notes.iter().map(|note| json!({ "problem": note.problem, "detail": note.detail })).collect::<Vec<_>>(),
            "placeholders": self.stand_ins.iter().map(|stand_in| json!({
                "reference": stand_in.reference.to_string(),
                "value": stand_in.value,
            })).collect::<Vec<_>>(),
        })
    }
}

fn write_steps(out: &mut String, paint: Paint, steps: &[ShownStep]) -> std::fmt::Result {
    let rounds = steps.iter().map(|step| step.round).max().unwrap_or(0);
    writeln!(out, "\n{} its answer: steps {}, rounds of calls {rounds}", paint.bold("Composes"), steps.len())?;
    let widest = steps.iter().map(|step| step.name.chars().count()).max().unwrap_or(0);
    for ShownStep { round, name, upstream, method, path, after, rules } in steps {
        write!(out, "  {round}  {name:widest$}  {method} {path} of {upstream}")?;
        if !after.is_empty() {
            write!(out, ", after {}", after.join(", "))?;
        }
        rules.iter().try_for_each(|rule| write!(out, ", {rule}"))?;
        writeln!(out)?;
    }
    Ok(())
}

fn write_changes(out: &mut String, indent: &str, changes: &[Change]) -> std::fmt::Result {
    for Change { what, name, value } in changes {
        match value {
            Some(value) => writeln!(out, "{indent}{what:6} {name}: {value}")?,
            None => writeln!(out, "{indent}{what:6} {name}")?,
        }
    }
    Ok(())
}

impl ShownStep {
    fn json(&self) -> Value {
        json!({
            "round": self.round,
            "step": self.name,
            "upstream": self.upstream,
            "method": self.method,
            "path": self.path,
            "after": self.after,
            "rules": self.rules,
        })
    }
}

impl Change {
    fn json(&self) -> Value {
        json!({ "edit": self.what, "name": self.name, "value": self.value })
    }
}
