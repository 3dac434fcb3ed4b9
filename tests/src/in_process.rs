//! The test platform: the core alone, with the origins' scripts played in this process and in virtual time.

use crate::access_log;
use crate::client::Seen;
use crate::origin::Received;
use crate::play::{Gateway, Stage};
use crate::scenario::{Later, Scenario, Step};
use crate::sign;
use crate::wire::{Field, Framing, Head, Reader};
use bytes::Bytes;
use gateway_core::cache::purge::Marks;
use gateway_core::claim;
use gateway_core::config::{self, Files};
use gateway_core::http::{Body, Certificate, Headers, Incoming, Peer, Response, Scheme};
use gateway_core::instance::{Instance, Served};
use gateway_core::platform::{Call, Failure, FetchError, Timestamp};
use gateway_core::quota::Kept;
use gateway_core::rollout::Standing;
use gateway_core::testing::{Shelf, TestPlatform, run};
use sha2::{Digest, Sha256};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::Path;
use std::rc::Rc;

/// A gateway in this process.
pub struct InProcess<'a> {
    gateway: Instance,
    /// From the authority of a target to the origin's name.
    origins: BTreeMap<String, String>,
    /// From the name of a binding to an authority.
    bindings: BTreeMap<String, String>,
    stage: &'a Stage,
    /// What is counted outlives a request.
    counters: Counters,
    /// So is what is claimed.
    claims: Claims,
    /// So is what caches have stored, and what was taken back of it.
    shelf: Rc<RefCell<Shelf>>,
    marks: Rc<RefCell<Option<Marks>>>,
    clock: Rc<Cell<Timestamp>>,
    /// How many exchanges there were: each has other random numbers.
    exchanges: Cell<u64>,
    /// What stands in the key-value store.
    store: HashMap<String, Bytes>,
    /// Whether every request is logged.
    logs: bool,
    /// What all instances have counted.
    ledgers: Rc<RefCell<HashMap<&'static str, Vec<u8>>>>,
    /// Versions of the configuration that were pushed.
    versions: Versions,
    settings: HashMap<String, String>,
    written: RefCell<String>,
}

type Counters = Rc<RefCell<HashMap<String, Kept>>>;
type Versions = Rc<RefCell<(Option<Standing>, HashMap<String, Bytes>)>>;
type Claims = Rc<RefCell<HashMap<String, claim::Kept>>>;

/// Where origins would listen: nobody does.
pub fn places(scenario: &Scenario) -> BTreeMap<String, String> {
    let names = scenario.origin_names();
    let origins = names.iter().enumerate().map(|(at, name)| (place(name), format!("127.0.0.1:{}", 9000 + at)));
    let root = crate::process::root().display().to_string();
    origins.chain([("closed".to_owned(), "127.0.0.1:1".to_owned()), ("root".to_owned(), root)]).collect()
}

/// How scenarios write an origin's address, without the brackets.
pub fn place(origin: &str) -> String {
    if origin == "origin" { origin.to_owned() } else { format!("origin:{origin}") }
}

impl<'a> InProcess<'a> {
    /// Compiles the configuration and loads it. The scenario has its places filled in.
    pub fn load(scenario: &Scenario, stage: &'a Stage) -> Result<Self, String> {
        let observed = access_log::observed(&scenario.gateway);
        let compiled = config::compile(Path::new("gateway.json"), &OneFile(observed.to_string()));
        let tell = |problem: &config::Problem| format!("{} {}: {}", problem.path, problem.code, problem.message);
        let problems: Vec<String> = compiled.problems.iter().map(tell).collect();
        let artefact = compiled.artefact.ok_or_else(|| problems.join("\n"))?;
        let settings = &scenario.settings;
        let gateway = Instance::load(Bytes::from(artefact), |reference| settings.get(&reference.name).cloned());
        let names = scenario.origin_names().into_iter().enumerate();
        let origins = names.map(|(at, name)| (format!("127.0.0.1:{}", 9000 + at), name)).collect();
        Ok(Self {
            gateway: gateway.map_err(|error| error.to_string())?,
            origins,
            bindings: scenario.bindings.clone(),
            stage,
            counters: Rc::default(),
            claims: Rc::default(),
            shelf: Rc::default(),
            marks: Rc::default(),
            // A real platform's moment: what a scenario signs says when.
            clock: Rc::new(Cell::new(sign::now().saturating_mul(1000))),
            exchanges: Cell::new(0),
            store: scenario.store.iter().map(|(key, value)| (key.clone(), stored(value))).collect(),
            logs: access_log::is_whole(&observed),
            ledgers: Rc::default(),
            versions: Rc::default(),
            settings: settings.clone().into_iter().collect(),
            written: RefCell::default(),
        })
    }

    fn fetch(&self, call: Call<Vec<u8>>) -> Result<Response<Vec<u8>>, Failure> {
        let behind = match &call.binding {
            None => Some(&call.authority),
            Some(name) => self.bindings.get(name),
        };
        let Some(behind) = behind else {
            return Err(Failure { error: FetchError::Forbidden, detail: "there is no such binding".to_owned() });
        };
        let Some(origin) = self.origins.get(behind) else {
            return Err(Failure { error: FetchError::Unreachable, detail: "nobody listens there".to_owned() });
        };
        let body = match call.body {
            Body::Empty => Vec::new(),
            Body::Bytes(bytes) => bytes.to_vec(),
            Body::Stream(bytes) => bytes,
            Body::Pumped(bytes, mut pump) => pump
                .whole(&bytes)
                .map_err(|broken| Failure { error: FetchError::BodyRefused, detail: broken.to_string() })?,
        };
        let host = call.host.unwrap_or(call.authority);
        let mut fields = vec![Field::new("host", host)];
        fields.extend(
            call.headers.iter().filter(|(name, _)| *name != "host").map(|(name, value)| Field::new(name, value)),
        );
        let too_large = call.body_limit.is_some_and(|limit| body.len() as u64 > limit);
        let received = Received {
            origin: origin.clone(),
            method: call.method,
            target: call.target.into_bytes(),
            fields,
            length: body.len() as u64,
            sha256: Sha256::digest(&body).to_vec(),
            body,
            broken: too_large,
            ..Received::default()
        };
        self.stage.log.record(received.clone());
        if too_large {
            return Err(Failure { error: FetchError::BodyTooLarge, detail: "more came than is taken".to_owned() });
        }
        self.stage.script(origin).answer(&received, call.timeout)
    }
}

impl Gateway for InProcess<'_> {
    fn written(&self) -> String {
        self.written.borrow().clone()
    }

    fn exchange(&self, request: &[u8], method: &str, step: &Step) -> Result<Seen, String> {
        if let Some(Later(time)) = step.later {
            self.clock.set(self.clock.get() + time.as_millis() as u64);
        }
        self.exchanges.set(self.exchanges.get() + 1);
        let platform = TestPlatform::with_clock(Rc::clone(&self.clock), |call| self.fetch(call));
        let mut platform = platform.with_seed(self.exchanges.get());
        platform.counters = Rc::clone(&self.counters);
        platform.store = RefCell::new(self.store.clone());
        platform.ledgers = Rc::clone(&self.ledgers);
        platform.claims = Rc::clone(&self.claims);
        platform.shelf = Rc::clone(&self.shelf);
        platform.marks = Rc::clone(&self.marks);
        platform.versions = Rc::clone(&self.versions);
        platform.settings = RefCell::new(self.settings.clone());
        let Served { reply, by } = run(self.gateway.handle(&platform, incoming(request, step)?));
        run(self.gateway.settle(&platform, &by, reply.deferred));
        let lines = platform.printed.take();
        if self.logs {
            let read: Result<Vec<_>, _> = lines.iter().map(|line| access_log::read(line)).collect();
            let mut read = read?;
            // Those that the gateway makes itself have lines of their own.
            read.retain(|line| line.get("postern.made_by").is_none());
            let [line] = read.as_slice() else { return Err(format!("the access log has {lines:?}")) };
            if line["http.response.status_code"] != reply.response.status {
                return Err(format!("the access log says {line} of the status {}", reply.response.status));
            }
        }
        lines.iter().for_each(|line| {
            let _ = writeln!(self.written.borrow_mut(), "{line}");
        });
        let Response { status, headers, body } = reply.response;
        let fields = headers.iter().map(|(name, value)| Field::new(name, value)).collect();
        let head = Head { start: format!("HTTP/1.1 {status} ").into_bytes(), fields };
        let (mut broken, mut trailers) = (None, Vec::new());
        let body = match body {
            // What a platform's server does with a body that may not be there (RFC 9110 §6.4.1).
            _ if head.response_framing(method, status) == Framing::Empty => Vec::new(),
            Body::Empty => Vec::new(),
            Body::Bytes(bytes) => bytes.to_vec(),
            Body::Stream(bytes) => bytes,
            Body::Pumped(bytes, mut pump) => {
                // As much as a client would see of it.
                let mut body = pump.push(&bytes);
                if let Ok(body) = &mut body {
                    match pump.finish(Headers::new()) {
                        Ok((rest, behind)) => {
                            body.extend(rest);
                            trailers = behind.iter().map(|(name, value)| Field::new(name, value)).collect();
                        }
                        Err(why) => broken = Some(why.to_string()),
                    }
                }
                body.unwrap_or_else(|why| {
                    broken = Some(why.to_string());
                    Vec::new()
                })
            }
        };
        Ok(Seen { status, head, body, trailers, broken, ..Seen::default() })
    }
}

/// Texts as they are, and anything else as JSON.
fn stored(value: &serde_json::Value) -> Bytes {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned).into()
}

/// What a server makes of the bytes of a request.
fn incoming(request: &[u8], step: &Step) -> Result<Incoming<Vec<u8>>, String> {
    let mut reader = Reader::new(request);
    let head = reader.head().map_err(|error| error.to_string())?.ok_or("the request is empty")?;
    let mut parts = head.start.splitn(2, |&b| b == b' ');
    let method = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let rest = parts.next().unwrap_or_default();
    let target = rest.strip_suffix(b" HTTP/1.1").or_else(|| rest.strip_suffix(b" HTTP/1.0")).unwrap_or(rest);
    let mut target = String::from_utf8_lossy(target).into_owned();
    let mut authority = head.text("host").unwrap_or_default().to_owned();
    // RFC 9112 §3.2.2: the authority of an absolute target replaces `Host`.
    if let Some(rest) = target.strip_prefix("http://") {
        let (absolute, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        authority = absolute.to_owned();
        target = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    }
    let mut body = Vec::new();
    let framing = head.request_framing();
    reader.body(framing, |bytes| body.extend(bytes)).map_err(|error| error.to_string())?;
    let mut headers = Headers::new();
    for field in &head.fields {
        headers.receive(&String::from_utf8_lossy(&field.name), &field.value);
    }
    let from = step.from.clone().unwrap_or_default();
    Ok(Incoming {
        method,
        scheme: if from.tls { Scheme::Https } else { Scheme::Http },
        authority,
        target,
        headers,
        body: if matches!(framing, Framing::Empty | Framing::Length(0)) { Body::Empty } else { Body::Stream(body) },
        peer: Peer {
            address: Some(from.address.unwrap_or(std::net::Ipv4Addr::LOCALHOST.into())),
            country: from.country,
            data_centre: from.data_centre,
            certificate: from.certificate.map(|shown| Certificate {
                fingerprint: shown.fingerprint,
                subject: shown.subject,
                issuer: shown.issuer,
                serial: shown.serial,
                der: None,
            }),
        },
    })
}

/// A configuration that stands on no disk; what it names does.
struct OneFile(String);

impl Files for OneFile {
    fn read(&self, path: &Path) -> Result<String, String> {
        if path == Path::new("gateway.json") { Ok(self.0.clone()) } else { config::Disk.read(path) }
    }
}
