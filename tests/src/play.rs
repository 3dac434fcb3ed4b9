//! Plays a scenario on a platform, and says in words what was different from what it expects.

use crate::Platform;
use crate::access_log;
use crate::client::{self, Seen};
use crate::memory::{self, Memory};
use crate::origin::{Log, Received, lock};
use crate::scenario::{Content, Expect, Receives, Request, Scenario, Step, Text, Values};
use crate::script::{Script, gzip};
use crate::sign;
use crate::wire::{self, Field, Head, values};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What stands behind a gateway: the scripts of the origins by name, and what they received.
#[derive(Debug, Default)]
pub struct Stage {
    /// What each does now.
    pub scripts: Mutex<BTreeMap<String, Script>>,
    /// What all of them received.
    pub log: Arc<Log>,
}

impl Stage {
    /// What an origin does now.
    pub fn script(&self, origin: &str) -> Script {
        lock(&self.scripts).get(origin).cloned().unwrap_or_default()
    }

    /// What the origins do in a step.
    pub fn set(&self, scenario: &Scenario, step: &Step) {
        let default = step.origin.as_ref().unwrap_or(&scenario.origin);
        let script = |name: &String| match (step.origins.get(name), scenario.scripts.get(name)) {
            (Some(now), Some(always)) => now.before(always),
            (Some(script), None) | (None, Some(script)) => script.clone(),
            (None, None) => default.clone(),
        };
        *lock(&self.scripts) = scenario.origin_names().into_iter().map(|name| (name.clone(), script(&name))).collect();
    }
}

/// A gateway that takes requests, wherever it runs.
pub trait Gateway {
    /// What the gateway has written so far.
    fn written(&self) -> String;

    /// Sends one request, byte for byte; its method is told so that the response can be read.
    fn exchange(&self, request: &[u8], method: &str, step: &Step) -> Result<Seen, String>;
}

/// Plays every step. The scenario has its places filled in.
pub fn play(scenario: &Scenario, platform: Platform, stage: &Stage, gateway: &dyn Gateway) -> Result<(), String> {
    let scenario = &scenario.at(sign::now())?;
    let mut reports = Vec::new();
    let mut memory = Memory::default();
    let remembers = memory::is_needed(scenario);
    for (at, step) in scenario.steps.iter().enumerate() {
        let filled = if remembers { scenario.step(at, |text| memory.fill(text))? } else { step.clone() };
        let step = &filled;
        stage.set(scenario, step);
        let cookies = if scenario.browser { memory.cookies() } else { None };
        let message = compose(scenario, step, cookies);
        let attempt = Attempt { step, message: &message, platform, stage, gateway };
        // One instance that does one thing after the other has no excuse, and only Spin asks several.
        let is_patient = match platform {
            Platform::Test => false,
            Platform::Workers => step.eventually,
            Platform::Spin => step.eventually || scenario.stores,
        };
        let begun = Instant::now();
        let mut time = 0;
        while time < step.times {
            let (seen, mut wrong) = attempt.make();
            if remembers
                && let Some(seen) = &seen
                && let Err(error) = memory.learn(seen, &step.keep)
            {
                wrong.push(error);
            }
            if wrong.is_empty() {
                time += 1;
            } else if is_patient && begun.elapsed() < EVENTUALLY {
                std::thread::sleep(Duration::from_millis(100));
            } else {
                reports.push(report(at, time, step, &message, seen.as_ref(), &wrong));
                break;
            }
        }
    }
    if reports.is_empty() { Ok(()) } else { Err(reports.join("\n")) }
}

/// One time that a step is done.
struct Attempt<'a> {
    step: &'a Step,
    message: &'a [u8],
    platform: Platform,
    stage: &'a Stage,
    gateway: &'a dyn Gateway,
}

impl Attempt<'_> {
    /// Does it. Gives the response, if there is one, and what was not as expected.
    fn make(&self) -> (Option<Seen>, Vec<String>) {
        let Self { step, message, platform, stage, gateway } = *self;
        let method: String = message.iter().take_while(|&&b| b != b' ').map(|&b| char::from(b)).collect();
        let exception = step.on.get(&platform);
        let expect = exception.and_then(|exception| exception.expect.as_ref()).unwrap_or(&step.expect);
        let receives = exception.and_then(|exception| exception.receives.as_ref()).or(step.receives.as_ref());
        // A request that the gateway gave up may still be on its way.
        stage.log.wait_for_ended(SOON);
        stage.log.take();
        let ended = stage.log.aborted();
        let written = if step.log.is_empty() { 0 } else { gateway.written().len() };
        let mut wrong = Vec::new();
        let seen = gateway.exchange(message, &method, step);
        match &seen {
            Ok(seen) => compare_response(expect, seen, &mut wrong),
            Err(error) => wrong.push(format!("there is no response: {error}")),
        }
        if let Some(Receives::Requests(requests)) = receives {
            stage.log.wait_for_received(requests.len(), SOON);
            compare_requests(requests, &stage.log.take(), &mut wrong);
        }
        if !step.log.is_empty() {
            wrong.extend(compare_log(gateway, written, &step.log).err());
        }
        if let Some(ends) = step.ends
            && platform != Platform::Test
        {
            let saw = stage.log.wait_for_aborted(ended + ends, SOON) - ended;
            if saw != ends {
                wrong.push(format!("the origin saw {saw} exchanges end early, not {ends}"));
            }
        }
        (seen.ok(), wrong)
    }
}

/// How long an origin may take to have recorded what a client was answered to already.
const SOON: Duration = Duration::from_secs(20);
/// How long a step is done again where it is to go as expected in the end.
const EVENTUALLY: Duration = Duration::from_secs(60);

fn compose(scenario: &Scenario, step: &Step, cookies: Option<String>) -> Vec<u8> {
    if let Some(raw) = &step.raw {
        return raw.0.clone();
    }
    let mut fields = step.headers.0.clone();
    if !fields.iter().any(|field| field.is("host")) {
        fields.insert(0, Field::new("Host", scenario.host()));
    }
    if let Some(cookies) = cookies
        && !fields.iter().any(|field| field.is("cookie"))
    {
        fields.push(Field::new("Cookie", cookies));
    }
    let mut body = Vec::new();
    if let Some(Text(text)) = &step.body {
        if !fields.iter().any(|field| field.is("content-length")) {
            fields.push(Field::new("Content-Length", text.len().to_string()));
        }
        body.extend(text);
    }
    if let Some(chunks) = &step.chunks {
        fields.push(Field::new("Transfer-Encoding", "chunked"));
        chunks.iter().for_each(|part| body.extend(wire::chunk(&part.0)));
        body.extend(b"0\r\n\r\n");
    }
    let mut start = step.send.clone().unwrap_or_default().0;
    start.extend(b" HTTP/1.1");
    let mut message = Head { start, fields }.to_bytes();
    message.extend(body);
    message
}

fn compare_response(expect: &Expect, seen: &Seen, wrong: &mut Vec<String>) {
    if !expect.status.contains(&seen.status) {
        wrong.push(format!("the status is {}, not {:?}", seen.status, expect.status));
    }
    if let Some(Text(reason)) = &expect.reason
        && reason != seen.reason()
    {
        wrong.push(format!("the reason is `{}`, not `{}`", seen.reason().escape_ascii(), reason.escape_ascii()));
    }
    let is_problem = seen.all("content-type").any(|value| value == b"application/problem+json");
    if let Some(by) = &expect.by
        && is_problem
    {
        wrong.push(format!("the gateway answered, not {by}"));
    }
    if let Some(code) = &expect.problem {
        compare_problem(code, is_problem, seen, wrong);
    }
    compare_fields("the response", &seen.head.fields, &expect.headers, &expect.absent, wrong);
    if let Some(trailers) = &expect.trailers {
        compare_fields("the response's trailers", &seen.trailers, trailers, &[], wrong);
    }
    match &expect.body {
        None => {}
        Some(Content::Plain(Text(body))) => compare_bytes("the response's body", &seen.body, body, wrong),
        Some(Content::Like { like }) => match regex_lite::Regex::new(like) {
            Ok(regex) if regex.is_match(&String::from_utf8_lossy(&seen.body)) => {}
            Ok(_) => {
                wrong.push(format!("the response's body is not like {like}: {}", String::from_utf8_lossy(&seen.body)))
            }
            Err(error) => wrong.push(error.to_string()),
        },
        Some(Content::Gzip { gzip: Text(body) }) => {
            compare_bytes("the response's body", &seen.body, &gzip(body), wrong);
        }
    }
    if !expect.json.is_empty() {
        let json: Value = serde_json::from_slice(&seen.body).unwrap_or_default();
        for (name, value) in &expect.json {
            if json.get(name) != Some(value) {
                wrong.push(format!("the body's member `{name}` is {:?}, not {value}", json.get(name)));
            }
        }
    }
    if expect.broken != seen.broken.is_some() {
        wrong.push(format!("the body's end: {:?}, expected broken: {}", seen.broken, expect.broken));
    }
}

/// RFC 9457, and what `docs/problems.md` promises of every problem.
fn compare_problem(code: &str, is_problem: bool, seen: &Seen, wrong: &mut Vec<String>) {
    if !is_problem {
        wrong.push("the body is no application/problem+json".to_owned());
    }
    if seen.body.is_empty() {
        // As after HEAD.
        return;
    }
    let json: Value = serde_json::from_slice(&seen.body).unwrap_or_default();
    let kind = format!("urn:postern:problem:{code}");
    if json["type"] != kind.as_str() {
        wrong.push(format!("the problem's type is {}, not {kind}", json["type"]));
    }
    if json["status"] != seen.status {
        wrong.push(format!("the problem's status is {}", json["status"]));
    }
    for member in ["title", "detail", "request_id"] {
        if json[member].as_str().is_none_or(str::is_empty) {
            wrong.push(format!("the problem has no {member}"));
        }
    }
    if let Some(length) = seen.all("content-length").next()
        && length != seen.body.len().to_string().as_bytes()
    {
        wrong.push("the problem's Content-Length is not its length".to_owned());
    }
}

fn compare_requests(expected: &[Request], received: &[Received], wrong: &mut Vec<String>) {
    if expected.len() != received.len() {
        let list: Vec<_> = received.iter().map(|r| format!("{} {}", r.method, r.target.escape_ascii())).collect();
        wrong.push(format!("the origin got {} requests, not {}: {list:?}", received.len(), expected.len()));
        return;
    }
    for (expected, received) in expected.iter().zip(received) {
        if let Some(origin) = &expected.origin
            && *origin != received.origin
        {
            wrong.push(format!("the request went to the origin `{}`, not `{origin}`", received.origin));
        }
        if let Some(method) = &expected.method
            && *method != received.method
        {
            wrong.push(format!("the origin got the method {}, not {method}", received.method));
        }
        if let Some(Text(target)) = &expected.target
            && *target != received.target
        {
            let (got, want) = (received.target.escape_ascii(), target.escape_ascii());
            wrong.push(format!("the origin got the target {got}, not {want}"));
        }
        compare_fields("the origin's request", &received.fields, &expected.headers, &expected.absent, wrong);
        if let Some(Text(body)) = &expected.body {
            compare_bytes("the origin's body", &received.body, body, wrong);
        }
        if expected.broken != received.broken {
            wrong.push(format!("the origin's request is broken: {}, expected {}", received.broken, expected.broken));
        }
    }
}

fn compare_fields(
    whose: &str,
    fields: &[Field],
    present: &BTreeMap<String, Values>,
    absent: &[String],
    wrong: &mut Vec<String>,
) {
    for (name, expected) in present {
        let lines: Vec<&[u8]> = values(fields, name).collect();
        let fits = match expected {
            Values::One(Text(value)) => lines == [value.as_slice()],
            Values::Lines(expected) => lines == expected.iter().map(|text| text.0.as_slice()).collect::<Vec<_>>(),
            Values::Joined { joined: Text(joined) } => lines.join(&b", "[..]) == *joined,
            Values::Like { like } => match (&lines[..], regex_lite::Regex::new(like)) {
                ([line], Ok(regex)) => regex.is_match(&String::from_utf8_lossy(line)),
                (_, Ok(_)) => false,
                (_, Err(error)) => {
                    wrong.push(error.to_string());
                    continue;
                }
            },
        };
        if !fits {
            let lines: Vec<_> = lines.iter().map(|line| line.escape_ascii().to_string()).collect();
            wrong.push(format!("{whose} has {name}: {lines:?}, not {expected:?}"));
        }
    }
    for name in absent {
        for value in values(fields, name) {
            wrong.push(format!("{whose} has {name}: {}", value.escape_ascii()));
        }
    }
}

/// Whether a line that was written since then says all of this.
fn compare_log(gateway: &dyn Gateway, since: usize, expected: &BTreeMap<String, Value>) -> Result<(), String> {
    let mut nearest = vec!["there is no line in the access log".to_owned()];
    for _ in 0..250 {
        let written = gateway.written();
        let lines = access_log::read_all(written.get(since..).unwrap_or_default())?;
        nearest = match lines.iter().map(|line| access_log::differences(line, expected)).min_by_key(Vec::len) {
            Some(none) if none.is_empty() => return Ok(()),
            Some(wrong) => wrong,
            None => nearest,
        };
        std::thread::sleep(Duration::from_millis(20));
    }
    Err(format!("in the access log, {}", nearest.join(", and ")))
}

fn compare_bytes(what: &str, got: &[u8], want: &[u8], wrong: &mut Vec<String>) {
    if got != want {
        let short = |bytes: &[u8]| bytes[..bytes.len().min(400)].escape_ascii().to_string();
        wrong.push(format!("{what} is `{}`, not `{}`", short(got), short(want)));
    }
}

fn report(at: usize, time: usize, step: &Step, message: &[u8], seen: Option<&Seen>, wrong: &[String]) -> String {
    let mut out = String::new();
    let about = step.about.as_ref().map(|about| format!(" ({about})")).unwrap_or_default();
    let time = if step.times > 1 { format!(", time {}", time + 1) } else { String::new() };
    let _ = writeln!(out, "steps[{at}]{about}{time}:");
    for wrong in wrong {
        let _ = writeln!(out, "  - {wrong}");
    }
    let show = |bytes: &[u8]| {
        let text: String =
            wire::text(bytes).chars().map(|c| if c.is_control() && c != '\n' { '·' } else { c }).collect();
        format!("    {}", text.trim_end().replace('\n', "\n    "))
    };
    let _ = writeln!(out, "  request:\n{}", show(message));
    if let Some(seen) = seen {
        let _ = writeln!(out, "  response:\n{}\n{}", show(&seen.head.to_bytes()), show(&seen.body));
    }
    out
}

/// A gateway at an address, and the file that it writes to.
#[derive(Debug, Clone)]
pub struct Remote(pub std::net::SocketAddr, pub std::path::PathBuf);

impl Gateway for Remote {
    fn written(&self) -> String {
        std::fs::read(&self.1).map_or_else(|_| String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    fn exchange(&self, request: &[u8], method: &str, _: &Step) -> Result<Seen, String> {
        client::exchange(self.0, request, method).map_err(|error| error.to_string())
    }
}
