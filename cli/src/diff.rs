//! `postern diff`: which requests of the past two configurations would treat differently, and how.
//!
//! Every request of a log is explained under both, by the same engine as in `postern explain`, and what is said is compared.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;

use gateway_core::explain::{Change, Explanation, Question};
use gateway_core::gateway::Gateway;
use gateway_core::upstream::Pool;
use serde_json::{Value, json};

use crate::arguments::{Diff, ExplanationFormat};
use crate::explain;
use crate::outcome::{Failure, Outcome};
use crate::terminal::{Colour, Paint};
use crate::traffic::{self, Logged};

/// Compares two configurations.
pub fn run(options: &Diff, colour: Colour) -> Result<Outcome, Failure> {
    let old = Side::load(&options.old, colour)?;
    let new = Side::load(&options.new, colour)?;
    let traffic = traffic::read(&options.traffic)?;
    let mut report =
        Report { shared: old.shared(&new)?, unread: traffic.unread, inner: traffic.inner, ..Report::default() };
    // The same request comes often, and the same is said of it each time.
    let mut known: HashMap<Logged, Option<usize>> = HashMap::new();
    for request in &traffic.requests {
        report.requests += 1;
        let same = Logged { at: None, status: None, took: None, ..request.clone() };
        let group = match known.get(&same) {
            Some(group) => *group,
            None => {
                let group = compare(&old, &new, &same, options)?.map(|case| report.group(case));
                known.insert(same, group);
                group
            }
        };
        if let Some(group) = group {
            report.groups[group].count += 1;
        }
    }
    report.groups.sort_by_key(|group| std::cmp::Reverse(group.count));
    let mut out = io::stdout().lock();
    match options.format {
        ExplanationFormat::Human => {
            let text = report.human(Paint::new(colour.on(&out)), options.examples);
            out.write_all(text.as_bytes())?;
        }
        ExplanationFormat::Json => writeln!(out, "{:#}", report.json(options.examples))?,
    }
    Ok(if report.groups.is_empty() && report.shared.is_empty() { Outcome::Fine } else { Outcome::Problems })
}

/// One of the two configurations.
struct Side {
    gateway: Gateway,
}

impl Side {
    fn load(entry: &Path, colour: Colour) -> Result<Self, Failure> {
        Ok(Self { gateway: explain::load(entry, colour)?.0 })
    }

    /// What all requests share and a log shows nothing of, where it is not the same.
    fn shared(&self, other: &Self) -> Result<Vec<String>, Failure> {
        let members = |side: &Self| {
            serde_json::to_value(side.gateway.globals()).map_err(|error| Failure::told(error.to_string()))
        };
        let (old, new) = (members(self)?, members(other)?);
        let (Value::Object(old), Value::Object(new)) = (old, new) else { return Ok(Vec::new()) };
        let names: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        // What of upstreams is different is seen in the requests that they get; references and features follow from the rest.
        let told = |name: &&&String| !["upstreams", "references", "features"].contains(&name.as_str());
        Ok(names
            .iter()
            .filter(told)
            .filter(|name| old.get(**name) != new.get(**name))
            .map(|name| (*name).clone())
            .collect())
    }

    fn treat(&self, request: &Logged, options: &Diff) -> Result<Treatment, Failure> {
        let (scheme, host) = match &request.origin {
            Some((scheme, host)) => (scheme.as_str(), host.as_str()),
            None => options.host.split_once("://").unwrap_or(("http", &options.host)),
        };
        let target = if request.target == "*" { "/" } else { &request.target };
        let asked = Question {
            method: request.method.clone(),
            url: format!("{scheme}://{host}{target}"),
            headers: request.headers.clone(),
            client_address: Some(request.client.unwrap_or(options.client_address)),
            country: None,
            data_centre: None,
        };
        let explanation = explain::explain(&self.gateway, &asked, Vec::new())?;
        let upstream = explanation.route.as_ref().and_then(|route| route.upstream.as_ref());
        let settings = upstream.map(|(name, ..)| self.settings(name)).unwrap_or_default();
        Ok(Treatment::of(&explanation, asked.url, settings))
    }

    /// All that an upstream does with its requests, which no explanation of one of them shows: retries, health, weights and so on.
    fn settings(&self, name: &str) -> String {
        let upstreams = self.gateway.upstreams();
        let written = |pool: &Pool| {
            let mut settings = serde_json::to_value(&pool.upstream).unwrap_or_default();
            // Where they are is compared by itself.
            for target in settings["targets"].as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
                target.remove("url");
            }
            settings
        };
        let Some(pool) = upstreams.iter().find(|pool| pool.upstream.name == name) else { return String::new() };
        let mut settings = written(pool);
        // The place of another upstream says nothing: others may have come before it.
        if let Some(place) = settings.pointer_mut("/rules/fallback/instead/upstream") {
            let other = place.as_u64().and_then(|at| upstreams.get(usize::try_from(at).ok()?));
            *place = other.map(written).unwrap_or_default();
        }
        settings.to_string()
    }
}

/// What a configuration does with a request, as far as two of them can differ in it.
struct Treatment {
    asked: String,
    /// Whether something is sent to an upstream.
    sends: bool,
    /// By the name of what it is, in the order in which people want to read it.
    parts: Vec<(&'static str, Said)>,
}

/// What there is only where something is sent.
const SENDING: [&str; 6] = ["targets", "sends", "host", "request fields", "timeout", "response fields"];

/// What is said of one thing.
#[derive(PartialEq, Eq)]
struct Said {
    /// For people.
    text: String,
    /// All that counts, where the text does not show it.
    whole: String,
    /// Whether requests with different texts are different cases.
    groups: bool,
}

impl Treatment {
    fn of(explanation: &Explanation, asked: String, settings: String) -> Self {
        let said = |text: String, groups| Said { whole: text.clone(), text, groups };
        let nothing = || "none".to_owned();
        let route = explanation.route.as_ref();
        let policies = route.map(|route| route.policies.as_slice()).unwrap_or_default();
        let names: Vec<&str> = policies.iter().map(|(kind, _)| *kind).collect();
        let upstream = route.and_then(|route| route.upstream.as_ref());
        let sent = explanation.call.as_ref();
        let answer = &explanation.answer;
        let fields = |changes: &[Change]| {
            let lines = changes.iter().map(|change| match &change.value {
                Some(value) => format!("{} {}: {value}", change.what, change.name),
                None => format!("{} {}", change.what, change.name),
            });
            lines.collect::<Vec<_>>().join("; ")
        };
        let answered = match sent {
            Some(_) => "by the upstream".to_owned(),
            None => format!("{} by the gateway", answer.status),
        };
        let parts = vec![
            ("route", said(route.map_or_else(nothing, |route| route.name.clone()), true)),
            (
                "policies",
                Said {
                    text: if names.is_empty() { nothing() } else { names.join(", ") },
                    whole: policies.iter().map(|(_, whole)| whole.as_str()).collect::<Vec<_>>().join("\n"),
                    groups: true,
                },
            ),
            (
                "upstream",
                Said { text: upstream.map_or_else(nothing, |(name, ..)| name.clone()), whole: settings, groups: true },
            ),
            ("targets", said(upstream.map_or_else(nothing, |(_, targets, _)| targets.join(", ")), true)),
            ("sends", said(sent.map_or_else(nothing, |sent| format!("{} {}", sent.method, sent.url)), false)),
            ("host", said(sent.and_then(|sent| sent.host.clone()).unwrap_or_else(nothing), true)),
            ("request fields", said(sent.map(|sent| fields(&sent.edits)).unwrap_or_default(), false)),
            ("timeout", said(sent.map_or_else(nothing, |sent| format!("{} ms", sent.timeout)), true)),
            ("answer", said(answered, true)),
            ("response fields", said(fields(&answer.edits), false)),
            (
                "body",
                Said {
                    text: if answer.body.is_empty() { nothing() } else { format!("{} bytes", answer.body.len()) },
                    whole: answer.body.clone(),
                    groups: false,
                },
            ),
        ];
        Self { asked, sends: sent.is_some(), parts }
    }
}

/// A request that would be treated differently.
struct Case {
    request: String,
    differences: Vec<Difference>,
}

#[derive(Clone)]
struct Difference {
    what: &'static str,
    old: String,
    new: String,
    groups: bool,
}

fn compare(old: &Side, new: &Side, request: &Logged, options: &Diff) -> Result<Option<Case>, Failure> {
    let (old, new) = (old.treat(request, options)?, new.treat(request, options)?);
    // Where only one of them sends anything, what it sends is no difference of its own.
    let both_send = old.sends == new.sends;
    let differences: Vec<_> = old
        .parts
        .into_iter()
        .zip(new.parts)
        .filter(|((what, old), (_, new))| old.whole != new.whole && (both_send || !SENDING.contains(what)))
        .map(|((what, old), (_, new))| Difference { what, groups: old.groups, old: old.text, new: new.text })
        .collect();
    let request = format!("{} {}", request.method, new.asked);
    Ok((!differences.is_empty()).then_some(Case { request, differences }))
}

/// What was found.
#[derive(Default)]
struct Report {
    requests: usize,
    unread: usize,
    inner: usize,
    /// What is different for all requests, and cannot be seen in any of them.
    shared: Vec<String>,
    groups: Vec<Group>,
    places: BTreeMap<String, usize>,
}

/// Requests that would be treated differently in the same way.
struct Group {
    count: usize,
    cases: Vec<Case>,
}

impl Report {
    /// The place of the group that a case belongs to.
    fn group(&mut self, case: Case) -> usize {
        let key = case.differences.iter().fold(String::new(), |mut key, difference| {
            let Difference { what, old, new, groups } = difference;
            let (old, new) = if *groups { (old.as_str(), new.as_str()) } else { ("", "") };
            let _ = writeln!(key, "{what}\0{old}\0{new}");
            key
        });
        let next = self.groups.len();
        let place = *self.places.entry(key).or_insert(next);
        if place == next {
            self.groups.push(Group { count: 0, cases: Vec::new() });
        }
        self.groups[place].cases.push(case);
        place
    }

    fn different(&self) -> usize {
        self.groups.iter().map(|group| group.count).sum()
    }

    fn human(&self, paint: Paint, examples: usize) -> String {
        let mut out = String::new();
        // Writing into a String cannot fail.
        let _ = self.write_human(&mut out, paint, examples);
        out
    }

    fn write_human(&self, out: &mut String, paint: Paint, examples: usize) -> std::fmt::Result {
        let (different, all) = (self.different(), self.requests);
        if self.groups.is_empty() {
            writeln!(out, "{} of {all} requests would be treated differently", paint.green("None"))?;
        } else {
            let ways = self.groups.len();
            let ways = if ways == 1 { "one way".to_owned() } else { format!("{ways} ways") };
            let share = paint.bold(&format!("{different} of {all} requests"));
            writeln!(out, "{share} would be treated differently, in {ways}")?;
        }
        for group in &self.groups {
            let Some(first) = group.cases.first() else { continue };
            writeln!(out, "\n{} ×", paint.bold(&group.count.to_string()))?;
            for Difference { what, old, new, groups } in &first.differences {
                match (*groups, old == new) {
                    (true, false) => writeln!(out, "  {what}: {} → {}", paint.red(old), paint.green(new))?,
                    (true, true) => writeln!(out, "  {what}: {old}, with other settings")?,
                    (false, _) => writeln!(out, "  {what}: different")?,
                }
            }
            for case in group.cases.iter().take(examples) {
                writeln!(out, "  {} {}", paint.dim("e.g."), case.request)?;
                for Difference { what, old, new, .. } in case.differences.iter().filter(|difference| !difference.groups)
                {
                    writeln!(out, "       {what}: {old} → {new}")?;
                }
            }
        }
        if !self.shared.is_empty() {
            let shared = self.shared.join(", ");
            writeln!(out, "\n{} not in any request, but for all: {shared}", paint.yellow("different:"))?;
        }
        if self.unread > 0 {
            writeln!(out, "\n{} {} lines tell of no request", paint.yellow("note:"), self.unread)?;
        }
        if self.inner > 0 {
            writeln!(out, "\n{} {} {}", paint.yellow("note:"), self.inner, traffic::INNER)?;
        }
        Ok(())
    }

    fn json(&self, examples: usize) -> Value {
        let difference = |difference: &Difference| {
            let Difference { what, old, new, .. } = difference;
            json!({ "what": what, "old": old, "new": new })
        };
        json!({
            "requests": self.requests,
            "different": self.different(),
            "unread": self.unread,
            "inner": self.inner,
            "shared": self.shared,
            "groups": self.groups.iter().map(|group| json!({
                "count": group.count,
                "examples": group.cases.iter().take(examples).map(|case| json!({
                    "request": case.request,
                    "differences": case.differences.iter().map(difference).collect::<Vec<_>>(),
                })).collect::<Vec<_>>(),
            })).collect::<Vec<_>>(),
        })
    }
}
