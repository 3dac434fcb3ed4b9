//! Which way a request would go: which route answers it, why the others do not, and what would be sent and answered.
//!
//! It asks the engine itself. The request is handled as any other, but [rehearsed](crate::telemetry::watch::Watched::rehearsing): nothing is fetched, counted,
//! stored or looked up, and what would have been sent is written down instead. A gateway that serves requests is never asked;
//! another one is loaded from the same configuration, in which something else stands for each secret
//! ([`Gateway::load_to_explain`]).

#[cfg(feature = "compose")]
use crate::compose::{Compose, OnError};
use crate::config::artefact::{Artefact, Globals};
use crate::forward::PathChange;
#[cfg(any(feature = "grpc", feature = "graphql", feature = "soap", feature = "json_rpc", feature = "compose"))]
use crate::gateway::Action;
use crate::gateway::{Gateway, LoadError, Note, Plan, Purpose};
#[cfg(feature = "grpc")]
use crate::grpc::{Binding, Grpc};
use crate::http::{Body, Edit, Headers, Incoming, Peer, Scheme};
use crate::jwt::Family;
use crate::platform::{Call, Platform};
use crate::policy::authenticate::issuer::{Inline, Issuer, Source as KeySource};
use crate::request::{Line, Request};
use crate::route::{Considered, Matcher};
use crate::template::{Piece, Reference, Source, Template};
use crate::upstream::{Balance, Upstream};
use bytes::Bytes;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A request of which somebody wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The method's token.
    pub method: String,
    /// Scheme, host, path and query.
    pub url: String,
    /// Header fields; `Host` stands for the URL's.
    pub headers: Vec<(String, String)>,
    /// Who sends it.
    pub client_address: Option<IpAddr>,
    /// The client's country.
    pub country: Option<String>,
    /// The platform's data centre.
    pub data_centre: Option<String>,
}

/// What there is to say about a request.
#[derive(Debug)]
pub struct Explanation {
    /// The request as routes see it; `None` if it was refused before any route was asked.
    pub seen: Option<Seen>,
    /// Every route with this host and path, best first.
    pub candidates: Vec<Candidate>,
    /// The route that takes it.
    pub route: Option<Taken>,
    /// What would be sent to an upstream.
    pub call: Option<Sent>,
    /// The answer: from the gateway itself, or what it changes about the upstream's.
    pub answer: Answer,
    /// What would be logged: why an expression could not be evaluated, for example.
    pub notes: Vec<Note>,
    /// Values that are not known here, and what stands for them.
    pub stand_ins: Vec<StandIn>,
}

/// The request as routes see it.
#[derive(Debug)]
pub struct Seen {
    /// The method's token.
    pub method: String,
    /// As the client has used it.
    pub scheme: Scheme,
    /// In lower case, without a port.
    pub host: String,
    /// Normalised.
    pub path: String,
    /// Without `?`.
    pub query: Option<String>,
    /// The client's address.
    pub client: Option<String>,
}

/// A route with this host and path.
#[derive(Debug)]
pub struct Candidate {
    /// 0 is asked first.
    pub rank: u32,
    /// Its name.
    pub route: String,
    /// The path by which it matches.
    pub path: String,
    /// Why it does not take the request.
    pub unmet: Option<String>,
}

/// The route that takes it.
#[derive(Debug)]
pub struct Taken {
    /// Its name.
    pub name: String,
    /// Its policies in written order: the kind of each, and all of it as it runs.
    pub policies: Vec<(&'static str, String)>,
    /// The path by which it matches.
    pub path: String,
    /// Parameters of the path.
    pub parameters: Vec<(String, String)>,
    /// The upstream, all of its targets, and how one of them is picked.
    pub upstream: Option<(String, Vec<String>, &'static str)>,
    /// The method of gRPC that is called, and by which way.
    pub calls: Option<String>,
    /// The steps that its answer is composed of, in the order in which they can begin.
    pub steps: Vec<ShownStep>,
}

/// A step of a composition.
#[derive(Debug)]
pub struct ShownStep {
    /// In which round of calls it can begin, from 1.
    pub round: usize,
    /// Its name.
    pub name: String,
    /// The upstream that it calls.
    pub upstream: String,
    /// The method's token.
    pub method: String,
    /// The path, with its holes.
    pub path: String,
    /// The steps that must be over before.
    pub after: Vec<String>,
    /// Its condition, what it is repeated for, and what becomes of a failure.
    pub rules: Vec<String>,
}

/// What would be sent to an upstream.
#[derive(Debug)]
pub struct Sent {
    /// The method's token.
    pub method: String,
    /// To which address.
    pub url: String,
    /// Where it is not the URL's.
    pub host: Option<String>,
    /// What is changed of the client's fields.
    pub edits: Vec<Change>,
    /// How long an answer may take, in milliseconds.
    pub timeout: u128,
}

/// An answer.
#[derive(Debug, Default)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its fields; what is changed of the upstream's.
    pub edits: Vec<Change>,
    /// Its body.
    pub body: String,
}

/// A change of a header field.
#[derive(Debug)]
pub struct Change {
    /// `set`, `append` or `remove`.
    pub what: &'static str,
    /// The field.
    pub name: String,
    /// What it is then.
    pub value: Option<String>,
}

/// What stands for a value that is not known.
#[derive(Debug)]
pub struct StandIn {
    /// The value's name.
    pub reference: Reference,
    /// What stands for it.
    pub value: String,
}

/// What a rehearsal writes down.
#[derive(Debug, Default)]
pub struct Rehearsal {
    call: RefCell<Option<Sent>>,
}

impl Rehearsal {
    /// Something would be sent.
    pub fn send<S>(&self, call: &Call<S>) {
        self.call.replace(Some(Sent {
            url: format!("{}://{}{}", call.scheme, call.authority, call.target),
            edits: changes(&call.headers),
            host: call.host.clone(),
            timeout: call.timeout.as_millis(),
            method: call.method.clone(),
        }));
    }
}

/// The request, as an adapter would hand it over.
fn incoming<S>(question: &Question) -> Result<Incoming<S>, String> {
    let wrong = || format!("`{}` is not a URL with scheme and host, such as http://localhost/a?b=c", question.url);
    let (scheme, rest) = question.url.split_once("://").ok_or_else(wrong)?;
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
    for (name, value) in &question.headers {
        if name.eq_ignore_ascii_case("host") {
            host.clone_from(value);
        } else {
            headers.receive(name, value.as_bytes());
        }
    }
    headers.receive("host", host.as_bytes());
    Ok(Incoming {
        method: question.method.clone(),
        scheme,
        authority: host,
        target,
        headers,
        body: Body::Empty,
        peer: Peer {
            address: question.client_address,
            country: question.country.as_deref().map(str::to_ascii_uppercase),
            data_centre: question.data_centre.as_deref().map(str::to_ascii_uppercase),
            certificate: None,
        },
    })
}

impl Gateway {
    /// Loads a compiled configuration to explain requests, never to serve any. `known` tells the values that may be shown; something
    /// stands for all others.
    pub fn load_to_explain(
        artefact: Bytes,
        mut known: impl FnMut(&Reference) -> Option<String>,
    ) -> Result<(Self, Vec<StandIn>), LoadError> {
        let globals = Artefact::read(&artefact).and_then(|artefact| artefact.globals());
        let globals = globals.map_err(LoadError::Unreadable)?;
        let mut stand_ins = Vec::new();
        let gateway = Self::load_for(Purpose::Explaining, artefact, |reference| {
            let known = known(reference);
            Some(known.unwrap_or_else(|| {
                let value = stand_in(reference, &globals);
                stand_ins.push(StandIn { reference: reference.clone(), value: value.clone() });
                value
            }))
        })?;
        Ok((gateway, stand_ins))
    }

    /// Explains a request. `stand_ins` are what stands for values in this gateway, which must not be one that serves. The platform is
    /// asked for nothing but the time and random numbers. `Err`: the URL is none.
    pub async fn explain<P: Platform>(
        &self,
        platform: &P,
        question: &Question,
        stand_ins: Vec<StandIn>,
    ) -> Result<Explanation, String> {
        let mut explanation = Explanation {
            seen: None,
            candidates: Vec::new(),
            route: None,
            call: None,
            answer: Answer::default(),
            notes: Vec::new(),
            stand_ins,
        };
        let globals = self.globals();
        let read = Request::read(incoming::<P::Stream>(question)?, &globals.limits, &globals.trusted_proxies);
        if let Ok((request, _)) = read {
            let considered = self.routes().consider(&request.head());
            if let Some(taken) = considered.iter().find(|considered| considered.unmet.is_none()) {
                explanation.route = Some(Taken::of(taken, &request.line, self));
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
        let rehearsal = Rehearsal::default();
        let reply = self.rehearse(platform, &rehearsal, incoming(question)?).await;
        explanation.call = rehearsal.call.take();
        explanation.notes = reply.notes;
        let composes = explanation.call.is_some() || matches!(reply.response.body, Body::Made(_));
        if composes && explanation.composes() {
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
                Body::Empty | Body::Stream(_) | Body::Pumped(..) | Body::Made(_) => String::new(),
            },
        };
        Ok(explanation)
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
        let matched = &considered.candidate;
        let action = &matched.route.then.action;
        let upstream = action.forward().and_then(|forward| gateway.upstreams().get(forward.upstream as usize));
        let calls = match action {
            #[cfg(feature = "grpc")]
            Action::Grpc(grpc) => calls(gateway, grpc, line),
            #[cfg(feature = "graphql")]
            Action::Graphql(stored) => Some(format!("a GraphQL query at {}", sent_to(&stored.forward.path))),
            #[cfg(feature = "soap")]
            Action::Soap(soap) => {
                Some(format!("a SOAP {} message at {}", soap.version.as_str(), sent_to(&soap.forward.path)))
            }
            #[cfg(feature = "json_rpc")]
            Action::JsonRpc(call) => Some(format!("{} of JSON-RPC at {}", call.method, sent_to(&call.forward.path))),
            #[cfg(feature = "mcp")]
            Action::Mcp(mcp) => {
                let names: Vec<&str> = mcp.tools.iter().take(5).map(|tool| tool.name.as_str()).collect();
                let more = if mcp.tools.len() > names.len() { ", …" } else { "" };
                Some(format!("{} tools of the Model Context Protocol: {}{more}", mcp.tools.len(), names.join(", ")))
            }
            _ => None,
        };
        let steps = match action {
            #[cfg(feature = "compose")]
            Action::Compose(compose) => steps(gateway, compose),
            _ => Vec::new(),
        };
        #[cfg(not(feature = "grpc"))]
        let _: (fn(PathChange), _) = (drop, action);
        let parameters = matched.parameters(&line.path).iter();
        let policies = gateway.policies(matched.route.then.policies).unwrap_or_default();
        let policies = policies.iter().map(|policy| (policy.kind(), serde_json::to_string(policy).unwrap_or_default()));
        Self {
            policies: policies.collect(),
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

/// The path that a message of another protocol is sent to.
#[cfg(any(feature = "graphql", feature = "soap", feature = "json_rpc"))]
fn sent_to(path: &PathChange) -> String {
    match path {
        PathChange::Rewrite(path) => path.to_string(),
        PathChange::Keep | PathChange::Prefix { .. } | PathChange::Regex { .. } => String::new(),
    }
}

/// Which method of gRPC a request calls, and by which way, as far as its path goes on as it came.
#[cfg(feature = "grpc")]
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
#[cfg(feature = "compose")]
fn steps(gateway: &Gateway, compose: &Compose) -> Vec<ShownStep> {
    let named = |at: &u32| compose.steps.get(*at as usize).map(|step| step.name.clone());
    let shown = compose.steps.iter().zip(compose.depths()).map(|(step, round)| {
        let upstream = gateway.upstreams().get(step.forward.upstream as usize);
        let mut rules = Vec::new();
        #[cfg(feature = "expressions")]
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

/// How a path is matched, as the configuration writes it.
pub fn path(matcher: Option<&Matcher>) -> String {
    match matcher {
        Some(Matcher::Path(pattern)) => pattern.to_string(),
        #[cfg(feature = "regex")]
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

    /// The whole of it, for tools.
    pub fn json(&self) -> Value {
        let answer = json!({
            "status": self.answer.status,
            "headers": self.answer.edits.iter().map(Change::json).collect::<Vec<_>>(),
            "body": self.answer.body,
        });
        let upstream = self.route.as_ref().and_then(|route| route.upstream.as_ref());
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
                "parameters": route.parameters.iter().cloned().collect::<BTreeMap<_, _>>(),
                "calls": route.calls,
                "steps": route.steps.iter().map(ShownStep::json).collect::<Vec<_>>(),
            })),
            "upstream": self.call.as_ref().map(|call| json!({
                "name": upstream.map(|(name, ..)| name),
                "targets": upstream.map(|(_, targets, _)| targets),
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

/// A name that stands for a value that is unknown, or a secret. Where it is a key, a long text or a part of an address, it must be
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
    let long = rules.filter_map(|rules| rules.sticky.as_ref()).map(|sticky| &sticky.secret);
    let is_meant = |template: &Template| template.references().any(|this| this == reference);
    if globals.session_keys.iter().flatten().chain(long).any(is_meant) {
        return format!("{name}-which-stands-for-a-longer-one");
    }
    let targets = globals.upstreams.iter().flat_map(|upstream| &upstream.targets).map(|target| &target.url);
    let issuers = globals.issuers.iter().filter_map(|issuer| match &issuer.keys {
        KeySource::Discovery(url) | KeySource::Url(url) => Some(url),
        KeySource::Inline(_) => None,
    });
    targets.chain(issuers).find_map(|url| part_of_address(reference, url, &name)).unwrap_or(name)
}

/// What can stand where an address names a value.
fn part_of_address(reference: &Reference, url: &Template, name: &str) -> Option<String> {
    let pieces = url.pieces();
    let at = pieces.iter().position(|piece| matches!(piece, Piece::Reference(this) if this == reference))?;
    let text = |at: Option<usize>| match at.and_then(|at| pieces.get(at)) {
        Some(Piece::Text(text)) => text.as_str(),
        _ => "",
    };
    Some(match at {
        0 if text(Some(1)).starts_with("://") => "https".to_owned(),
        0 => format!("https://{name}"),
        at if text(at.checked_sub(1)).ends_with(':') => "443".to_owned(),
        _ => name.to_owned(),
    })
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

const RSA: &str = include_str!("../tests/keys/rsa.public.pem");
const P256: &str = include_str!("../tests/keys/p256.public.pem");
const P384: &str = include_str!("../tests/keys/p384.public.pem");
const ED25519: &str = include_str!("../tests/keys/ed25519.public.pem");
