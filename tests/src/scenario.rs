//! The format of `scenarios/*.yaml`; `scenarios/README.md` explains it to people.

use crate::memory;
use crate::script::Script;
use crate::sign;
use crate::wire::{self, Field};
use crate::{Platform, yaml};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One behaviour: a gateway, what stands behind it, and what happens step by step.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Where it stands: `routing/host-wildcard`.
    #[serde(skip)]
    pub id: String,
    #[serde(skip)]
    written: Value,
    /// The behaviour, in a sentence.
    pub about: String,
    /// The clause of a standard, of the contract or of the documentation that asks for it.
    pub clause: Option<String>,
    /// Platforms on which it is not run, each with the reason.
    #[serde(default)]
    pub except: BTreeMap<Platform, String>,
    /// Needs a gateway of its own: it has routes for any host, or can tell what its routes are called.
    #[serde(default)]
    pub alone: bool,
    /// Sees what an instance remembers from one step to the next.
    #[serde(default)]
    pub remembers: bool,
    /// What one instance has stored or taken back is so for others a moment later: on Spin, which may give any request to another one,
    /// each step is done again until it goes as expected.
    #[serde(default)]
    pub stores: bool,
    /// Values of variables and secrets.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// What stands in the platform's key-value store.
    #[serde(default)]
    pub store: Map<String, Value>,
    /// What stands behind the bindings of Workers, by their names: `<origin>`, or another one.
    #[serde(default)]
    pub bindings: BTreeMap<String, String>,
    /// The configuration, as users write it.
    pub gateway: Value,
    /// The names of the origins beside `<origin>`: `b` is `<origin:b>`.
    #[serde(default)]
    pub origins: Vec<String>,
    /// What the origins do unless a step says otherwise.
    #[serde(default)]
    pub origin: Script,
    /// What single origins do in every step, by name. Paths that a step names for the same origin take precedence.
    #[serde(default)]
    pub scripts: BTreeMap<String, Script>,
    /// Whether the client keeps cookies from step to step, and sends them with every step that has no `Cookie` of its own.
    #[serde(default)]
    pub browser: bool,
    /// What happens, one after another.
    pub steps: Vec<Step>,
}

/// One request and what is to become of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What this step shows, where it is not plain.
    pub about: Option<String>,
    /// `METHOD TARGET`; `Host: <host>` comes with it unless `headers` have one.
    pub send: Option<Text>,
    /// Field lines of the request.
    #[serde(default)]
    pub headers: Lines,
    /// The body; `Content-Length` comes with it unless `headers` have it.
    pub body: Option<Text>,
    /// The body in chunks; `Transfer-Encoding: chunked` comes with it.
    pub chunks: Option<Vec<Text>>,
    /// The whole request, byte for byte, instead of all that.
    pub raw: Option<Text>,
    /// Who sends it: only where the platform is the test's own.
    pub from: Option<From>,
    /// What of the response later steps can say as `<<name>>`: the field, and an expression with a group.
    #[serde(default)]
    pub keep: BTreeMap<String, String>,
    /// How long after the step before this one is done: only where the platform's time is the test's own.
    pub later: Option<Later>,
    /// Signatures by name: `<name>` in a field is the signature in Base64.
    #[serde(default)]
    pub signs: BTreeMap<String, Sign>,
    /// How often the step is done.
    #[serde(default = "once")]
    pub times: usize,
    /// Whether it is done again on the real runtimes until it goes as expected, for a minute at most: where something happens behind an
    /// answer, and nobody says when it is done.
    #[serde(default)]
    pub eventually: bool,
    /// What the origins do in this step.
    pub origin: Option<Script>,
    /// What single origins do in this step, by name (`<origin>` itself is called `origin`).
    #[serde(default)]
    pub origins: BTreeMap<String, Script>,
    /// What the client gets.
    pub expect: Expect,
    /// What the origin gets.
    pub receives: Option<Receives>,
    /// What a line of the access log says of this step; texts that begin with `~` are regular expressions, `null` is what is not
    /// there. The log of every scenario is held against its schema in any case.
    #[serde(default)]
    pub log: BTreeMap<String, Value>,
    /// How many exchanges the origin sees end before it has done its part; only where there are connections.
    pub ends: Option<usize>,
    /// Where a platform does something else, and why that cannot be helped.
    #[serde(default)]
    pub on: BTreeMap<Platform, Exception>,
}

/// A signature that is made when the step is done, since what is signed says when.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sign {
    /// The algorithm, by the name that tokens have for it (RFC 7518 §3.1).
    #[serde(default = "hs256")]
    pub with: String,
    /// The secret, or the file in `gateway-core/tests/keys` that holds the private key.
    pub key: String,
    /// What is signed, byte for byte.
    #[serde(default)]
    pub text: String,
    /// The claims of a token, which is wanted instead.
    pub claims: Option<String>,
}

/// What a platform tells of a client.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct From {
    /// The peer's address; 127.0.0.1 as on the real platforms unless said otherwise.
    pub address: Option<std::net::IpAddr>,
    /// `DE`
    pub country: Option<String>,
    /// `FRA`
    pub data_centre: Option<String>,
    /// Whether the connection is TLS.
    #[serde(default)]
    pub tls: bool,
    /// The certificate that it has shown and that has been verified.
    pub certificate: Option<Shown>,
}

/// A certificate, as a platform tells of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shown {
    /// Its SHA-256, in lower-case hexadecimal.
    pub fingerprint: String,
    /// Its subject.
    pub subject: String,
    /// Its issuer.
    pub issuer: String,
    /// Its serial number.
    #[serde(default)]
    pub serial: String,
}

/// What is different on one platform.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    /// Why that cannot be helped.
    pub because: String,
    /// What the client gets there.
    pub expect: Option<Expect>,
    /// What the origin gets there.
    pub receives: Option<Receives>,
}

/// What the client gets.
#[derive(Debug, Clone)]
pub struct Expect {
    /// Any of these.
    pub status: Vec<u16>,
    /// What answers, where it is not the gateway: then the body is no problem of ours.
    pub by: Option<String>,
    /// The code of the problem details.
    pub problem: Option<String>,
    /// The reason phrase.
    pub reason: Option<Text>,
    /// Fields that are there, each with all of its lines.
    pub headers: BTreeMap<String, Values>,
    /// Fields that are not there.
    pub absent: Vec<String>,
    /// The body.
    pub body: Option<Content>,
    /// Members of the body as JSON.
    pub json: BTreeMap<String, Value>,
    /// Fields after the body.
    pub trailers: Option<BTreeMap<String, Values>>,
    /// Whether the body breaks off.
    pub broken: bool,
}

/// What the origins get: requests in order, or anything.
#[derive(Debug, Clone)]
pub enum Receives {
    /// Nobody looks.
    Anything,
    /// These and no others.
    Requests(Vec<Request>),
}

/// A request as an origin is to get it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Which origin, where there are several.
    pub origin: Option<String>,
    /// The method.
    pub method: Option<String>,
    /// Path and query.
    pub target: Option<Text>,
    /// Fields that are there, each with all of its lines.
    #[serde(default)]
    pub headers: BTreeMap<String, Values>,
    /// Fields that are not there.
    #[serde(default)]
    pub absent: Vec<String>,
    /// The body.
    pub body: Option<Text>,
    /// Whether the connection ended in the middle of it.
    #[serde(default)]
    pub broken: bool,
}

/// The lines of one field.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Values {
    /// One line with this value.
    One(Text),
    /// These lines, in this order.
    Lines(Vec<Text>),
    /// These values, on one line or on several (RFC 9110 §5.3).
    Joined {
        /// Put together with `, `.
        joined: Text,
    },
    /// One line in which this regular expression finds something.
    Like {
        /// The expression.
        like: String,
    },
}

/// A body that is expected.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Content {
    /// These bytes.
    Plain(Text),
    /// These bytes as [`crate::script::gzip`] packs them.
    Gzip {
        /// What a reader would see.
        gzip: Text,
    },
    /// A regular expression finds something in it.
    Like {
        /// The expression.
        like: String,
    },
}

/// Bytes. In YAML each character up to U+00FF stands for the byte of its number; numbers may go without quotes.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Text(pub Vec<u8>);

/// Field lines: a text with one on each line, or a list of texts.
#[derive(Debug, Clone, Default)]
pub struct Lines(pub Vec<Field>);

/// `90s`, `15m`, `2h`
#[derive(Debug, Clone, Copy)]
pub struct Later(pub Duration);

/// `300ms`
#[derive(Debug, Clone, Copy)]
pub struct Millis(pub Duration);

fn once() -> usize {
    1
}

fn hs256() -> String {
    "HS256".to_owned()
}

impl Scenario {
    /// Reads every scenario in a folder and the folders in it, by name.
    pub fn read_all(folder: &Path) -> Result<Vec<Scenario>, String> {
        let mut files = Vec::new();
        list(folder, &mut files).map_err(|error| format!("{}: {error}", folder.display()))?;
        files.sort();
        let (mut scenarios, mut wrong) = (Vec::new(), Vec::new());
        for file in &files {
            match Self::read(folder, file) {
                Ok(scenario) => scenarios.push(scenario),
                Err(error) => wrong.push(error),
            }
        }
        if wrong.is_empty() { Ok(scenarios) } else { Err(wrong.join("\n")) }
    }

    fn read(folder: &Path, file: &Path) -> Result<Scenario, String> {
        let wrong = |why: String| format!("{}: {why}", file.display());
        let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
        let value = yaml::parse(&text).map_err(&wrong)?;
        let name = file.with_extension("");
        let id = name.strip_prefix(folder).unwrap_or(&name).display().to_string();
        let scenario = Self::from_value(id, value).map_err(&wrong)?;
        scenario.check().map_err(wrong)?;
        Ok(scenario)
    }

    fn from_value(id: String, mut value: Value) -> Result<Scenario, String> {
        // Before the scenario is kept as written, so that its places are filled in as well.
        if let Some(Value::Object(gateway)) = value.get_mut("gateway")
            && !gateway.contains_key("upstreams")
        {
            let upstreams = serde_json::json!({ "origin": { "targets": [{ "url": "http://<origin>" }] } });
            gateway.insert("upstreams".to_owned(), upstreams);
        }
        let mut scenario: Scenario = serde_json::from_value(value.clone()).map_err(|error| error.to_string())?;
        (scenario.id, scenario.written) = (id, value);
        Ok(scenario)
    }

    /// The scenario with `<host>`, `<origin>`, `<17 bytes>` and the like filled in.
    pub fn bind(&self, places: &BTreeMap<String, String>) -> Result<Scenario, String> {
        let mut value = self.written.clone();
        fill(&mut value, &|text| {
            let mut text = lengthen(text).replace("<host>", &self.host()).replace("<<jwks>>", memory::jwks());
            for (name, place) in places {
                text = text.replace(&format!("<{name}>"), place);
            }
            text
        });
        Self::from_value(self.id.clone(), value)
    }

    /// A step with what is known only now filled in.
    pub fn step(&self, at: usize, change: impl Fn(&str) -> String) -> Result<Step, String> {
        let mut value = self.written.pointer(&format!("/steps/{at}")).cloned().unwrap_or_default();
        fill(&mut value, &change);
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    /// The scenario at this moment, in seconds since the Unix epoch: with its times filled in, and signed.
    pub fn at(&self, now: u64) -> Result<Scenario, String> {
        if self.steps.iter().all(|step| step.signs.is_empty()) {
            return Ok(self.clone());
        }
        let mut value = self.written.clone();
        fill(&mut value, &|text| sign::times(text, now));
        for step in value.get_mut("steps").and_then(Value::as_array_mut).into_iter().flatten() {
            let Some(signs) = step.get("signs") else { continue };
            let signs: BTreeMap<String, Sign> =
                serde_json::from_value(signs.clone()).map_err(|error| error.to_string())?;
            let Some(headers) = step.get_mut("headers") else { continue };
            for (name, written) in &signs {
                let signature = sign::sign(written)?;
                fill(headers, &|text| text.replace(&format!("<{name}>"), &signature));
            }
        }
        Self::from_value(self.id.clone(), value)
    }

    /// What its origins are called.
    pub fn origin_names(&self) -> Vec<String> {
        std::iter::once("origin".to_owned()).chain(self.origins.iter().cloned()).collect()
    }

    /// Whether it is run there.
    pub fn runs_on(&self, platform: Platform) -> bool {
        !self.except.contains_key(&platform)
    }

    /// The host that is this scenario's own, written `<host>` in it.
    pub fn host(&self) -> String {
        let labels: Vec<&str> = self.id.rsplit('/').collect();
        format!("{}.test", labels.join("."))
    }

    fn check(&self) -> Result<(), String> {
        if self.steps.is_empty() {
            return Err("it has no steps".to_owned());
        }
        for (at, step) in self.steps.iter().enumerate() {
            let wrong = |why: &str| Err(format!("steps[{at}]: {why}"));
            if step.send.is_some() == step.raw.is_some() {
                return wrong("it needs either `send` or `raw`");
            }
            if step.raw.is_some() && (!step.headers.0.is_empty() || step.body.is_some() || step.chunks.is_some()) {
                return wrong("`raw` is the whole request");
            }
            if step.later.is_some() && !Platform::REAL.iter().all(|real| self.except.contains_key(real)) {
                return wrong("`later` is only for the test platform: say in `except` why the others cannot");
            }
            if step.from.is_some() && !Platform::REAL.iter().all(|real| self.except.contains_key(real)) {
                return wrong("`from` is only for the test platform: say in `except` why the others cannot");
            }
            if step.body.is_some() && step.chunks.is_some() {
                return wrong("it needs either `body` or `chunks`");
            }
            if step.on.values().any(|exception| exception.because.trim().len() < 10) {
                return wrong("an exception needs its reason");
            }
        }
        if self.except.values().any(|reason| reason.trim().len() < 10) {
            return Err("an exception needs its reason".to_owned());
        }
        Ok(())
    }
}

/// Writes `<17 bytes>` out.
fn lengthen(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('<') {
        out.push_str(before);
        let count = after.split_once(" bytes>").and_then(|(digits, behind)| Some((digits.parse().ok()?, behind)));
        rest = match count {
            Some((count, behind)) => {
                out.push_str(&"x".repeat(count));
                behind
            }
            None => {
                out.push('<');
                after
            }
        };
    }
    out + rest
}

/// Changes every text in a value, the names of members too.
fn fill(value: &mut Value, change: &impl Fn(&str) -> String) {
    match value {
        Value::String(text) => *text = change(text),
        Value::Array(list) => list.iter_mut().for_each(|value| fill(value, change)),
        Value::Object(map) => {
            let filled = std::mem::take(map).into_iter().map(|(name, mut value)| {
                fill(&mut value, change);
                (change(&name), value)
            });
            *map = filled.collect();
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            list(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        }
    }
    Ok(())
}

impl<'de> Deserialize<'de> for Expect {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Written {
            status: Option<Value>,
            by: Option<String>,
            problem: Option<String>,
            reason: Option<Text>,
            #[serde(default)]
            headers: BTreeMap<String, Values>,
            #[serde(default)]
            absent: Vec<String>,
            body: Option<Content>,
            #[serde(default)]
            json: BTreeMap<String, Value>,
            trailers: Option<BTreeMap<String, Values>>,
            #[serde(default)]
            broken: bool,
        }
        let value = match Value::deserialize(deserializer)? {
            short @ (Value::Number(_) | Value::Array(_)) => serde_json::json!({ "status": short }),
            value => value,
        };
        let written: Written = serde_json::from_value(value).map_err(D::Error::custom)?;
        let status = match written.status {
            Some(Value::Array(several)) => several,
            Some(one) => vec![one],
            None => return Err(D::Error::custom("`expect` needs a `status`")),
        };
        Ok(Expect {
            status: serde_json::from_value(status.into()).map_err(D::Error::custom)?,
            by: written.by,
            problem: written.problem,
            reason: written.reason,
            headers: written.headers,
            absent: written.absent,
            body: written.body,
            json: written.json,
            trailers: written.trailers,
            broken: written.broken,
        })
    }
}

impl<'de> Deserialize<'de> for Receives {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let requests = match Value::deserialize(deserializer)? {
            Value::String(word) if word == "anything" => return Ok(Receives::Anything),
            Value::String(word) if word == "nothing" => Vec::new(),
            Value::Array(several) => several,
            one => vec![one],
        };
        serde_json::from_value(requests.into()).map(Receives::Requests).map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = match Value::deserialize(deserializer)? {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            Value::Bool(bool) => bool.to_string(),
            Value::Null => String::new(),
            Value::Array(_) | Value::Object(_) => return Err(D::Error::custom("this must be a text")),
        };
        wire::bytes(&text).map(Text).map_err(D::Error::custom)
    }
}

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

impl<'de> Deserialize<'de> for Lines {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let lines: Vec<String> = match Value::deserialize(deserializer)? {
            Value::String(text) => text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect(),
            list => serde_json::from_value(list).map_err(D::Error::custom)?,
        };
        let field = |line: String| {
            let bytes = wire::bytes(&line).map_err(D::Error::custom)?;
            Field::parse(&bytes).ok_or_else(|| D::Error::custom(format!("`{line}` is not `name: value`")))
        };
        lines.into_iter().map(field).collect::<Result<_, _>>().map(Lines)
    }
}

impl<'de> Deserialize<'de> for Later {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (digits, unit) = text.split_at(text.len().saturating_sub(1));
        let unit = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            _ => return Err(D::Error::custom(format!("`{text}` is not like `90s`, `15m`, `2h`"))),
        };
        let number: u64 = digits.parse().map_err(D::Error::custom)?;
        Ok(Later(Duration::from_secs(number * unit)))
    }
}

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let number = text.strip_suffix("ms").and_then(|digits| digits.parse().ok());
        let number = number.ok_or_else(|| D::Error::custom(format!("`{text}` is not like `300ms`")))?;
        Ok(Millis(Duration::from_millis(number)))
    }
}
