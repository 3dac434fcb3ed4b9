//! `postern explain`: shows which route answers a request, and why the others do not.
//!
//! It asks the engine itself: the gateway is loaded and handles the request, on a platform that writes down what it is
//! asked to fetch instead of fetching it.

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
use gateway_core::config::{self, Disk};
use gateway_core::explain::{Candidate, Change, Explanation, Question, ShownStep, StandIn};
use gateway_core::gateway::{Gateway, LoadError, Note};
use gateway_core::http::{Body, Headers, Response};
use gateway_core::ledger::Ledger;
use gateway_core::outflow::{Left, Outflow};
use gateway_core::platform::{
    Call, Copied, Failure as FetchFailure, FetchError, Item, Outlet, Peeked, Platform, Reach, ReadError, StoreError,
    Timestamp,
};
use gateway_core::quota::{Decision, Order};
use gateway_core::rollout;
use gateway_core::template::{Reference, Source};

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
    let question = Question {
        method: options.method.clone(),
        url: options.url.clone(),
        headers: options.headers.clone(),
        client_address: Some(options.client_address),
        country: options.country.clone(),
        data_centre: options.data_centre.clone(),
    };
    let explanation = explain(&gateway, &question, stand_ins)?;
    let mut out = io::stdout().lock();
    match options.format {
        ExplanationFormat::Human => {
            let text = human(&explanation, Paint::new(colour.on(&out)));
            out.write_all(text.as_bytes())?;
        }
        ExplanationFormat::Json => writeln!(out, "{:#}", explanation.json())?,
    }
    Ok(match explanation.route {
        Some(_) => Outcome::Fine,
        None => Outcome::Problems,
    })
}

/// What becomes of a request.
pub fn explain(gateway: &Gateway, question: &Question, stand_ins: Vec<StandIn>) -> Result<Explanation, Failure> {
    at_once(gateway.explain(&Clock, question, stand_ins)).map_err(Failure::told)
}

/// Compiles and loads a configuration, with stand-ins for what only the platform knows.
pub fn load(entry: &Path, colour: Colour) -> Result<(Gateway, Vec<StandIn>), Failure> {
    let compiled = config::compile(entry, &Disk);
    let Some(artefact) = compiled.artefact.map(Bytes::from) else {
        let coloured = colour.on(&io::stderr());
        eprint!("{}", report::human(&compiled.problems, &compiled.sources, coloured));
        eprintln!("{}", report::summary(entry, Count::of(&compiled.problems), coloured));
        return Err(Failure::told("the configuration has errors, so no request can be explained"));
    };
    let told = |error: LoadError| Failure::told(format!("the configuration cannot be loaded: {error}"));
    let references = Gateway::references(&artefact).map_err(told)?;
    let known = Variables::read(&references, entry, |name| std::env::var(name).ok());
    let loaded = Gateway::load_to_explain(artefact, |reference| match reference.source {
        Source::Env => known.get(reference).map(str::to_owned),
        Source::Secret => None,
    });
    loaded.map_err(told)
}

/// There are no streams here.
#[derive(Debug)]
struct Nothing;

/// A platform that knows what time it is. For an explanation nothing else is asked of it.
struct Clock;

fn unasked<T>() -> Result<T, StoreError> {
    Err(StoreError("explain asks nobody".to_owned()))
}

impl Platform for Clock {
    type Stream = Nothing;

    /// Credentials expire, so this is the time that it is.
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::try_from(since.as_millis()).unwrap_or(Timestamp::MAX)
    }

    fn random(&self) -> u64 {
        0
    }

    async fn fetch(&self, _: Call<Nothing>) -> Result<Response<Nothing>, FetchFailure> {
        Err(FetchFailure { error: FetchError::Forbidden, detail: "explain asks nobody".to_owned() })
    }

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
        unasked()
    }

    async fn take(&self, _: &str, _: &Order) -> Result<Decision, StoreError> {
        unasked()
    }

    async fn admit(&self, _: &str, _: &str) -> Result<Option<bool>, StoreError> {
        unasked()
    }

    async fn board(&self, _: &str) -> Result<Option<Bytes>, StoreError> {
        unasked()
    }

    async fn post(&self, _: &str, _: &str) -> Result<(), StoreError> {
        unasked()
    }

    fn sends_trailers(&self) -> bool {
        false
    }

    fn checks_by_itself(&self) -> bool {
        false
    }

    async fn claim(&self, _: &str, _: &claim::Order) -> Result<claim::Verdict, StoreError> {
        unasked()
    }

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

    async fn recall(&self, _: &str, _: Reach) -> Result<Option<(Bytes, Body<Nothing>)>, StoreError> {
        unasked()
    }

    async fn keep(&self, _: &Item<'_>, body: Body<Nothing>, _: bool) -> (Body<Nothing>, Option<u32>) {
        (body, None)
    }

    async fn kept(&self, _: u32) -> Result<(), StoreError> {
        unasked()
    }

    async fn forget(&self, _: &str, _: Reach) -> Result<(), StoreError> {
        unasked()
    }

    async fn purges(&self, _: &str, _: &PurgeChange) -> Result<Marks, StoreError> {
        unasked()
    }

    async fn roll_out(&self, _: &rollout::Order) -> Result<rollout::Verdict, StoreError> {
        unasked()
    }

    async fn artefact(&self, _: &str) -> Result<Option<Bytes>, StoreError> {
        unasked()
    }

    async fn keep_artefact(&self, _: &str, _: Bytes) -> Result<(), StoreError> {
        unasked()
    }

    async fn setting(&self, _: &Reference) -> Result<Option<String>, StoreError> {
        unasked()
    }

    async fn collect(&self, _: Ledger, _: &[u8]) -> Result<Bytes, StoreError> {
        unasked()
    }

    async fn publish(&self, _: &Outlet, _: &[u8]) -> Result<(), StoreError> {
        unasked()
    }

    fn print(&self, _: &str) {}

    async fn sleep(&self, _: Duration) {}
}

/// Runs a future that never waits, because nobody is asked.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
}

fn human(explanation: &Explanation, paint: Paint) -> String {
    let mut text = String::new();
    // Writing into a String cannot fail.
    let _ = write_human(explanation, &mut text, paint);
    text
}

fn write_human(explanation: &Explanation, out: &mut String, paint: Paint) -> std::fmt::Result {
    if let Some(seen) = &explanation.seen {
        let query = seen.query.as_deref().map(|query| format!("?{query}")).unwrap_or_default();
        writeln!(out, "{} {}://{}{}{query}", paint.bold(&seen.method), seen.scheme, seen.host, seen.path)?;
        if let Some(client) = &seen.client {
            writeln!(out, "from {client}")?;
        }
        writeln!(out, "\n{}", paint.bold("Candidates, best first"))?;
        if explanation.candidates.is_empty() {
            writeln!(out, "  none: no route has this host and path")?;
        }
        let widest = |of: fn(&Candidate) -> &str| {
            explanation.candidates.iter().map(|candidate| of(candidate).chars().count()).max().unwrap_or(0)
        };
        let (routes, paths) = (widest(|candidate| &candidate.route), widest(|candidate| &candidate.path));
        let mut decided = false;
        for Candidate { route, path, unmet, .. } in &explanation.candidates {
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
    match &explanation.route {
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
    let steps = explanation.route.as_ref().map_or(&[][..], |route| &route.steps);
    if !steps.is_empty() {
        write_steps(out, paint, steps)?;
    } else if let Some(call) = &explanation.call {
        writeln!(out, "\n{}", paint.bold("Sends"))?;
        writeln!(out, "  {} {}", call.method, call.url)?;
        if let Some((name, targets, picked)) = explanation.route.as_ref().and_then(|route| route.upstream.as_ref()) {
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
        if !explanation.answer.edits.is_empty() {
            writeln!(out, "\n{}", paint.bold("Changes the response"))?;
            write_changes(out, "  ", &explanation.answer.edits)?;
        }
    } else {
        writeln!(out, "\n{} {}", paint.bold("Answers"), explanation.answer.status)?;
        for change in &explanation.answer.edits {
            if let Some(value) = &change.value {
                writeln!(out, "  {}: {value}", change.name)?;
            }
        }
        if !explanation.answer.body.is_empty() {
            writeln!(out)?;
            for line in explanation.answer.body.lines() {
                writeln!(out, "  {line}")?;
            }
        }
    }
    for Note { problem, detail, .. } in &explanation.notes {
        writeln!(out, "\n{} {problem}: {detail}", paint.bold("Logs"))?;
    }
    for StandIn { reference, value } in &explanation.stand_ins {
        let first = value.lines().next().unwrap_or_default();
        let more = if first.len() < value.trim_end().len() { " …" } else { "" };
        writeln!(out, "\n{} `{first}{more}` stands for {reference}", paint.yellow("note:"))?;
    }
    Ok(())
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
