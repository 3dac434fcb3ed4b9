//! What runs: the compiled rules, the platform's values filled in, and what this instance has gathered.

use super::context::Context;
#[cfg(feature = "admin")]
use super::field::Fields;
use super::field::{Choice, Field};
use super::metrics::{self, Instrument, Registry, Sums};
use super::otlp::{self, Signal};
use super::rules::{self, Batch, Encoding, Format, Rules, Sampling};
use super::sink::{self, Allowance, Sink, Wanted};
use super::watch::{Costs, Record, Trace, Watch, Watched};
use super::{debug, field, line};
#[cfg(feature = "admin")]
use crate::admin::{self, ActivityRules, activity::Activity};
use crate::errand::{self, Address};
#[cfg(feature = "expressions")]
use crate::expression::Facts;
use crate::gateway::{Note, Reply};
use crate::http::{Body, Headers, Incoming, Response};
use crate::jwt::key::Key;
use crate::ledger::Ledger;
use crate::platform::{Outlet, Platform, Timestamp};
use crate::policy::Deferred;
use crate::request::Request;
use crate::template::{Scope, Settings, Template};
use crate::together::{self, Task};
use crate::upstream::{Pool, Transitions};
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::time::Duration;

/// Observes requests as the configuration says.
pub struct Telemetry {
    rules: Rules,
    resource: Vec<(String, String)>,
    /// Whether lines go to the console.
    console: bool,
    logs: Vec<Sink>,
    spans: Option<Sink>,
    registry: RefCell<Registry>,
    /// Where what was counted goes.
    sums: Vec<Owner>,
    debug_key: Option<Key>,
    /// Tokens of the log's rate, and when they were counted.
    allowance: Cell<(f64, Timestamp)>,
    /// Until when somebody waits to take batches away.
    waits_until: Cell<Timestamp>,
    /// When metrics are due.
    metrics_due: Cell<Timestamp>,
    /// What was asked of the platform for no request in particular, or behind its answer, and is not counted yet.
    billed: Cell<Costs>,
    #[cfg(feature = "admin")]
    activity: Option<Reporter>,
}

/// Gathers what happens for the admin interface.
#[cfg(feature = "admin")]
struct Reporter {
    rules: ActivityRules,
    gathered: RefCell<Activity>,
    /// What could not be told yet.
    unsent: RefCell<Vec<u8>>,
    due: Cell<Timestamp>,
}

/// Who gets what was counted.
struct Owner {
    to: To,
    /// What it has not got yet.
    unsent: RefCell<Vec<u8>>,
    since: Cell<Timestamp>,
    /// How many series were lost since that was last counted.
    lost: Cell<u64>,
}

enum To {
    Collector { address: Address, headers: Headers, encoding: Encoding, timeout: Duration },
    Shared,
}

/// How long a request whose answer has been sent goes on for this at most, in milliseconds: platforms give it half a minute, and what
/// was begun in the end may take its time.
const LONGEST_WAIT: u64 = rules::LONGEST_INTERVAL;

/// Whoever waits looks no more often than so, in milliseconds.
const SHORTEST_STEP: u64 = 100;

/// So much is sent at the same time: Workers have six connections for a request.
const MOST_AT_ONCE: usize = 6;

/// How much later than planned somebody who waits may be before another one does it.
const GRACE: u64 = 10_000;

impl Telemetry {
    /// Fills in the platform's values.
    pub fn new(rules: Option<&Rules>, settings: &Settings) -> Result<Option<Self>, String> {
        let Some(rules) = rules.cloned() else { return Ok(None) };
        let resource: Vec<_> =
            rules.resource.iter().map(|(name, value)| (name.clone(), value.resolve(settings))).collect();
        let collector = |signal, batch: Batch| match &rules.otlp {
            Some(otlp) => Sink::otlp(signal, otlp, batch, settings).map(Some),
            None => Ok(None),
        };
        let mut logs = Vec::new();
        let mut console = false;
        if let Some(rules) = &rules.logs {
            for to in &rules.to {
                match to {
                    rules::Sink::Console => console = true,
                    rules::Sink::Otlp => logs.extend(collector(Signal::Logs, rules.batch)?),
                    rules::Sink::Http(http) => {
                        logs.push(Sink::http(http, rules.format == Format::Json, rules.batch, settings)?);
                    }
                    rules::Sink::Queue(name) => logs.push(Sink::platform(Outlet::Queue(name.clone()), rules.batch)),
                    rules::Sink::Analytics(name) => {
                        logs.push(Sink::platform(Outlet::Dataset(name.clone()), rules.batch));
                    }
                }
            }
        }
        let spans = match rules.traces.as_ref().filter(|traces| traces.export) {
            Some(traces) => collector(Signal::Traces, traces.batch)?,
            None => None,
        };
        let mut sums = Vec::new();
        if let Some(metrics) = &rules.metrics {
            let owner = |to| Owner { to, unsent: RefCell::default(), since: Cell::new(0), lost: Cell::new(0) };
            // First, since it is near and answers soon.
            if metrics.shared {
                sums.push(owner(To::Shared));
            }
            if let Some(otlp) = rules.otlp.as_ref().filter(|_| metrics.otlp) {
                let base = otlp.endpoint.resolve(settings);
                let mut headers = Headers::new();
                let json = otlp.encoding == Encoding::Json;
                headers.set("content-type", if json { "application/json" } else { "application/x-protobuf" });
                otlp.headers.iter().for_each(|(name, value)| headers.set(name, value.resolve(settings)));
                sums.push(owner(To::Collector {
                    address: Address::parse(&format!("{}/v1/metrics", base.trim_end_matches('/')))?,
                    headers,
                    encoding: otlp.encoding,
                    timeout: Duration::from_millis(otlp.timeout),
                }));
            }
        }
        let debug_key = match &rules.debug {
            Some(debug) => Some(debug::key(&debug.secret.resolve(settings))?),
            None => None,
        };
        let (bounds, series) =
            rules.metrics.as_ref().map_or((&[][..], 0), |metrics| (metrics.buckets.as_slice(), metrics.series));
        Ok(Some(Self {
            resource,
            console,
            logs,
            spans,
            registry: RefCell::new(Registry::new(bounds, series)),
            sums,
            debug_key,
            allowance: Cell::new((f64::MAX, 0)),
            waits_until: Cell::new(0),
            metrics_due: Cell::new(0),
            billed: Cell::default(),
            #[cfg(feature = "admin")]
            activity: rules.activity.as_ref().map(|rules| Reporter {
                rules: rules.clone(),
                gathered: RefCell::default(),
                unsent: RefCell::default(),
                due: Cell::new(0),
            }),
            rules,
        }))
    }

    /// A request has come.
    pub fn begin<P: Platform>(&self, platform: &P, incoming: &Incoming<P::Stream>) -> Record {
        let Incoming { method, scheme, authority, headers, peer, .. } = incoming;
        let mut record = Record::new(platform.request_id(), platform.now(), method, *scheme, authority);
        (record.peer, record.client) = (peer.address, peer.address);
        record.user_agent = headers.text("user-agent").map(str::to_owned);
        record.lot = platform.random();
        record
    }

    /// The gateway makes a request of its own: one more in the trace of the outer one, and logged with it or not at all.
    pub fn begin_inner<P: Platform>(
        &self,
        outer: &Watched<'_, P>,
        route: &str,
        request: &mut Request,
    ) -> Option<Record> {
        let mut inner = None;
        outer.watch().note(|outer_record| {
            let line = &request.line;
            let (id, now) = (outer_record.request_id.clone(), outer.now());
            let mut record = Record::new(id, now, &line.method, line.scheme, &line.authority);
            record.peer = outer_record.peer;
            record.user_agent = request.headers.text("user-agent").map(str::to_owned);
            record.lot = outer_record.lot;
            record.made_by = Some(route.to_owned());
            record.trace = outer_record.trace.as_ref().map(|trace| {
                let context = Context { span: outer.random().max(1), ..trace.context.clone() };
                Trace { context, parent: Some(trace.context.span), formats: trace.formats }
            });
            self.describe(&mut record, request);
            inner = Some(record);
        });
        inner
    }

    /// Notes what a request says.
    fn describe(&self, record: &mut Record, request: &Request) {
        let (line, client, headers) = (&request.line, &request.client, &request.headers);
        record.path = Some(line.path.clone());
        record.query.clone_from(&line.query);
        record.client = client.address;
        record.scheme = client.scheme;
        record.country.clone_from(&client.country);
        record.data_centre.clone_from(&client.data_centre);
        record.request_size = request.content_length;
        if let Some(logs) = &self.rules.logs {
            let named = logs.request_headers.iter().enumerate();
            record.request_headers =
                named.filter_map(|(place, name)| Some((place, headers.text(name)?.to_owned()))).collect();
            if logs.format == Format::Combined {
                // What stands behind `?` is nobody's business.
                let referer = headers.text("referer").and_then(|referer| referer.split(['?', '#']).next());
                record.request_headers.extend(referer.map(|referer| (usize::MAX, referer.to_owned())));
            }
        }
    }

    /// It has been read: who sent it is known, and so is whose word counts.
    pub fn read<P: Platform>(&self, watched: &Watched<'_, P>, request: &mut Request) {
        let trusted = request.client.through_trusted;
        watched.watch().note(|record| {
            self.describe(record, request);
            let headers = &mut request.headers;
            if let Some(rules) = &self.rules.request_id {
                if rules.trust.includes(trusted)
                    && let Some(id) = headers.text(&rules.header).filter(|id| is_identifier(id))
                {
                    record.request_id = id.to_owned();
                }
                headers.remove_lookalikes(&rules.header);
                if rules.upstream {
                    headers.set(&rules.header, &record.request_id);
                } else {
                    headers.remove(&rules.header);
                }
            }
            if let Some(rules) = &self.rules.traces {
                record.trace = Some(trace(rules, trusted, headers, || watched.random()));
            }
            if let (Some(rules), Some(key)) = (&self.rules.debug, &self.debug_key)
                && let Some(token) = headers.text(&rules.header).map(str::to_owned)
            {
                // Whether it is right or not: it is not for the upstream.
                headers.remove_alike(&rules.header);
                record.passed_over = debug::is_right(&token, key, watched.now()).then(Vec::new);
            }
        });
    }

    /// Which expressions of the sampling rules hold for a request.
    #[cfg(feature = "expressions")]
    pub fn judge<'f>(&self, watch: Watch<'_>, facts: impl FnOnce() -> Facts<'f>) {
        let rules = self.rules.logs.iter().flat_map(|logs| &logs.sample.rules).enumerate();
        let mut asked = rules.filter_map(|(place, rule)| Some((place, rule.when.as_ref()?))).peekable();
        if asked.peek().is_none() {
            return;
        }
        let facts = facts();
        // What cannot be evaluated does not hold.
        let holding = asked.filter(|(_, expression)| expression.holds(&facts) == Ok(true));
        let judged = holding.fold(0, |bits, (place, _)| bits | 1u32.checked_shl(place as u32).unwrap_or(0));
        watch.note(|record| record.judged = judged);
    }

    /// Whether what lines say depends on fields of the request.
    pub fn asks_request(&self) -> bool {
        self.attributes().iter().any(|(_, template)| template.asks_request())
    }

    /// Notes what lines say besides the usual fields. The scope is that of the answer.
    pub fn attribute(&self, watch: Watch<'_>, scope: &Scope<'_>) {
        let attributes = self.attributes();
        if attributes.is_empty() {
            return;
        }
        let rendered = attributes.iter().map(|(_, template)| cut(template.render(scope))).enumerate();
        let rendered = rendered.filter(|(_, value)| !value.is_empty()).collect();
        watch.note(|record| record.attributes = rendered);
    }

    fn attributes(&self) -> &[(String, Template)] {
        self.rules.logs.as_ref().map_or(&[], |logs| &logs.attributes)
    }

    /// Whether fields of upstreams' responses are looked at.
    pub fn reads_response(&self) -> bool {
        self.rules.logs.as_ref().is_some_and(|logs| {
            !logs.response_headers.is_empty()
                || logs.format != Format::Json
                || logs.fields.has(Field::ResponseSize)
                || logs.attributes.iter().any(|(_, template)| template.asks_response())
        })
    }

    /// The answer is ready: it gets what it is owed, and the rest is left for later.
    pub fn end<P: Platform>(&self, platform: &P, mut record: Record, reply: &mut Reply<P::Stream>) {
        let response = &mut reply.response;
        record.ended = platform.now();
        record.status = response.status;
        // A problem that a fallback or a policy has replaced is none.
        if !is_problem(response) && !record.translated {
            record.problem = None;
        }
        if self.reads_response() {
            let headers = &response.headers;
            record.response_size = headers.content_length();
            if let Some(logs) = &self.rules.logs {
                let named = logs.response_headers.iter().enumerate();
                record.response_headers =
                    named.filter_map(|(place, name)| Some((place, headers.text(name)?.to_owned()))).collect();
            }
        }
        if let Some(rules) = self.rules.request_id.as_ref().filter(|rules| rules.client) {
            response.headers.set(&rules.header, &record.request_id);
        }
        if self.rules.server_timing {
            response.headers.append("server-timing", server_timing(&record));
        }
        if record.passed_over.is_some() {
            response.headers.set(debug::FIELD, debug::decision(&record));
            // It is for this caller alone.
            response.headers.set("cache-control", "private, no-store");
        }
        #[cfg(feature = "admin")]
        let is_told = self.activity.is_some();
        #[cfg(not(feature = "admin"))]
        let is_told = false;
        if is_told || self.rules.logs.is_some() || self.spans.is_some() || self.rules.metrics.is_some() {
            reply.deferred.push(Deferred::Observe(Box::new(record)));
        }
    }

    /// Something was asked of the platform for no request in particular, or behind its answer. It is counted with the next request: were
    /// it counted at once, telling what was counted would never end.
    pub fn bill(&self, costs: Costs) {
        self.billed.set(self.billed.get().with(costs));
    }

    /// What a request whose answer has just been sent may do for this.
    pub fn allowance(now: Timestamp) -> Allowance {
        Allowance::new(now.saturating_add(LONGEST_WAIT))
    }

    /// The answer has been sent: makes lines, spans and sums of a record, and sends what is due.
    pub async fn observe<P: Platform>(
        &self,
        platform: &P,
        record: Record,
        upstreams: &[Pool],
        allowance: &Allowance,
    ) -> Vec<Note> {
        let now = platform.now();
        if let Some(metrics) = &self.rules.metrics {
            let mut registry = self.registry.borrow_mut();
            let consumer = record.consumer.as_deref().filter(|_| metrics.by_consumer && record.recognised);
            registry.count(&record, consumer.unwrap_or_default());
            let subrequests = self.sinks().map(Sink::sent).sum();
            registry.bill(self.billed.take().with(Costs { subrequests, ..Costs::default() }));
            for pool in upstreams {
                let Transitions { open, half_open, closed } = pool.became();
                for (state, times) in [("open", open), ("half_open", half_open), ("closed", closed)] {
                    if times > 0 {
                        registry.add(Instrument::Breakers, &[&pool.upstream.name, state], times);
                    }
                }
            }
            // Not when it happens: there would always be something to tell.
            for lost in self.sums.iter().map(|owner| owner.lost.take()).filter(|lost| *lost > 0) {
                registry.add(Instrument::Lost, &[Signal::Metrics.as_str(), "otlp"], lost);
            }
            if self.metrics_due.get() == 0 {
                self.metrics_due.set(now.saturating_add(metrics.interval));
            }
        }
        self.log(platform, &record);
        #[cfg(feature = "admin")]
        self.gather(&record);
        if let (Some(sink), Some(rules), Some(trace)) = (&self.spans, &self.rules.traces, &record.trace)
            && (trace.context.sampled == Some(true) || rules.on_error && record.failed())
            && let Wanted::Otlp(encoding) = sink.form
        {
            otlp::spans(&record, encoding, || platform.random()).into_iter().for_each(|span| sink.push(span, now));
        }
        let notes = self.deliver(platform, allowance).await;
        let note = |detail| {
            let request_id = record.request_id.clone();
            Note { problem: "telemetry-lost", status: 0, request_id, route: None, detail }
        };
        notes.into_iter().map(note).collect()
    }

    fn log<P: Platform>(&self, platform: &P, record: &Record) {
        let Some(logs) = &self.rules.logs else { return };
        if !self.is_logged(&logs.sample, record) {
            return;
        }
        let choice = Choice {
            fields: logs.fields,
            request_headers: &logs.request_headers,
            response_headers: &logs.response_headers,
            query: &logs.query,
            attributes: &logs.attributes,
        };
        let is_json = logs.format == Format::Json;
        let wants_line = self.console || self.logs.iter().any(|sink| matches!(sink.form, Wanted::Line(_)));
        let line = if wants_line { line::write(record, logs.format, choice) } else { Vec::new() };
        for sink in &self.logs {
            let item = match sink.form {
                Wanted::Otlp(encoding) => otlp::log(record, encoding, choice),
                Wanted::Line(form) => sink::part(form, line.clone(), is_json, record.began, self.service()),
                Wanted::Point => point(record),
            };
            sink.push(item, platform.now());
        }
        if self.console {
            platform.print(&String::from_utf8_lossy(&line));
        }
    }

    fn service(&self) -> &str {
        self.resource.iter().find(|(name, _)| name == "service.name").map_or("postern", |(_, value)| value)
    }

    fn is_logged(&self, sampling: &Sampling, record: &Record) -> bool {
        within(record.lot, ratio(sampling, record)) && self.is_affordable(sampling, record)
    }

    /// Takes a token, where there is one.
    fn is_affordable(&self, sampling: &Sampling, record: &Record) -> bool {
        let Some(rate) = sampling.per_second else { return true };
        let (tokens, counted) = self.allowance.get();
        let elapsed = Duration::from_millis(record.ended.saturating_sub(counted)).as_secs_f64();
        // A second's worth at once.
        let tokens = (tokens + elapsed * rate).min(rate.max(1.0));
        let is_enough = tokens >= 1.0;
        self.allowance.set((if is_enough { tokens - 1.0 } else { tokens }, counted.max(record.ended)));
        is_enough
    }

    fn sinks(&self) -> impl Iterator<Item = &Sink> {
        self.logs.iter().chain(&self.spans)
    }

    /// Sends what is full at once, and what is due when it is due. Gives what the log should hear.
    async fn deliver<P: Platform>(&self, platform: &P, allowance: &Allowance) -> Vec<String> {
        let now = platform.now();
        let mut told = self.send(platform, allowance, |sink| sink.is_full(now), |_| false).await;
        if platform.now() < self.waits_until.get() {
            return told;
        }
        // Somebody waits from here on. Should that request's code end, another one waits a little later.
        loop {
            let now = platform.now();
            let Some(wait) = self.due(now) else {
                self.waits_until.set(0);
                return told;
            };
            if now.saturating_add(wait) > allowance.until || self.sinks().any(|sink| sink.has_spent(allowance)) {
                break;
            }
            // What comes meanwhile may be due before what is there now, but not before the shortest interval is over.
            let step = wait.min(self.step());
            self.waits_until.set(now.saturating_add(step + GRACE));
            platform.sleep(Duration::from_millis(step)).await;
            let now = platform.now();
            told.extend(self.send(platform, allowance, |sink| sink.due(now) == Some(0), |due| due <= now).await);
        }
        // What comes from now on is for whoever brings it; what is there would wait for somebody who may never come.
        self.waits_until.set(0);
        told.extend(self.send(platform, allowance, |_| true, |_| true).await);
        told
    }

    /// Sends what is chosen, all at the same time: nobody waits for another one who takes long.
    async fn send<P: Platform>(
        &self,
        platform: &P,
        allowance: &Allowance,
        is_sent: impl Fn(&Sink) -> bool,
        is_told: impl Fn(Timestamp) -> bool,
    ) -> Vec<String> {
        let is_told = |due: &Cell<Timestamp>| due.get() > 0 && is_told(due.get());
        let mut tasks: Vec<Task<'_, Vec<String>>> = Vec::new();
        if is_told(&self.metrics_due) {
            tasks.push(Box::pin(self.tell(platform)));
        }
        #[cfg(feature = "admin")]
        if self.activity.as_ref().is_some_and(|reporter| is_told(&reporter.due)) {
            tasks.push(Box::pin(async { self.report(platform).await.into_iter().collect() }));
        }
        for sink in self.sinks().filter(|sink| is_sent(sink)) {
            tasks.push(Box::pin(async { self.flush(platform, sink, allowance).await.into_iter().collect() }));
        }
        together::all(tasks, MOST_AT_ONCE).await.into_iter().flatten().collect()
    }

    /// How long whoever waits may sleep at once, in milliseconds.
    fn step(&self) -> u64 {
        let metrics = self.rules.metrics.as_ref().map(|metrics| metrics.interval);
        #[cfg(feature = "admin")]
        let metrics = self.activity.as_ref().map(|reporter| reporter.rules.interval).into_iter().chain(metrics);
        self.sinks().map(Sink::interval).chain(metrics).min().unwrap_or_default().max(SHORTEST_STEP)
    }

    /// After how many milliseconds there is something to be taken away; `None`: there is nothing.
    fn due(&self, now: Timestamp) -> Option<u64> {
        let counted = !self.sums.is_empty() && (!self.registry.borrow().is_empty() || self.is_behind());
        let metrics = self.rules.metrics.as_ref().filter(|_| counted).map(|metrics| {
            if self.metrics_due.get() == 0 {
                self.metrics_due.set(now.saturating_add(metrics.interval));
            }
            self.metrics_due.get().saturating_sub(now)
        });
        #[cfg(feature = "admin")]
        let metrics = self.activity.as_ref().and_then(|reporter| reporter.wait(now)).into_iter().chain(metrics);
        self.sinks().filter_map(|sink| sink.due(now)).chain(metrics).min()
    }

    async fn flush<P: Platform>(&self, platform: &P, sink: &Sink, allowance: &Allowance) -> Option<String> {
        let trouble = sink.flush(platform, &self.resource, allowance).await?;
        if trouble.lost > 0 && self.rules.metrics.is_some() {
            let labels = [sink.signal.as_str(), sink.name.as_str()];
            self.registry.borrow_mut().add(Instrument::Lost, &labels, trouble.lost);
        }
        Some(trouble.detail)
    }

    fn is_behind(&self) -> bool {
        self.sums.iter().any(|owner| !owner.unsent.borrow().is_empty())
    }

    /// Tells everybody who gets it what was counted. Gives what went wrong.
    async fn tell<P: Platform>(&self, platform: &P) -> Vec<String> {
        self.metrics_due.set(0);
        self.share_out();
        let mut told = Vec::new();
        for owner in &self.sums {
            told.extend(self.bring(platform, owner).await);
        }
        told
    }

    /// Puts what was counted to what each of its owners has not got yet, so that nobody loses it who is told later.
    fn share_out(&self) {
        let registry = &mut *self.registry.borrow_mut();
        if registry.is_empty() {
            return;
        }
        let taken = registry.take();
        for owner in &self.sums {
            let unsent = &mut *owner.unsent.borrow_mut();
            *unsent = if unsent.is_empty() { taken.clone() } else { metrics::merge(unsent, &taken) };
        }
    }

    /// Brings an owner what it has not got yet. Gives what went wrong.
    async fn bring<P: Platform>(&self, platform: &P, owner: &Owner) -> Option<String> {
        let now = platform.now();
        let counted = owner.unsent.take();
        let sums = Sums::read(&counted);
        if sums.is_empty() {
            return None;
        }
        // Put back by whoever ends before it is told.
        let parcel = Parcel { owner, counted };
        self.bill(match &owner.to {
            To::Shared => Costs::OBJECT_CALL,
            To::Collector { .. } => Costs::SUBREQUEST,
        });
        let outcome = match &owner.to {
            To::Shared => platform.collect(Ledger::Sums, &parcel.counted).await.map(drop).map_err(|error| error.0),
            To::Collector { address, headers, encoding, timeout } => {
                let since = match owner.since.get() {
                    0 => now.saturating_sub(self.rules.metrics.as_ref().map_or(0, |metrics| metrics.interval)),
                    since => since,
                };
                let items = otlp::metrics(&sums.series(), sums.bounds(), *encoding, since, now);
                let body = otlp::export(Signal::Metrics, *encoding, &self.resource, &items);
                let answered = errand::post(platform, address, headers.clone(), Bytes::from(body), *timeout).await;
                match answered.map(sink::judge) {
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(refused)) if refused.again => Err(refused.detail),
                    Ok(Err(refused)) => {
                        let lost = sums.series().len() as u64;
                        owner.lost.set(owner.lost.get().saturating_add(lost));
                        owner.since.set(now);
                        parcel.delivered();
                        return Some(format!("metrics: {}; {lost} series are lost", refused.detail));
                    }
                    Err(why) => Err(why),
                }
            }
        };
        match outcome {
            Ok(()) => {
                owner.since.set(now);
                parcel.delivered();
                None
            }
            Err(why) => Some(format!("metrics: {why}; they are kept for the next time")),
        }
    }

    /// The sums of all instances, those of this one included. Nobody else is told: whoever asks would wait for them.
    pub async fn sums<P: Platform>(&self, platform: &P) -> Result<Bytes, String> {
        self.share_out();
        let mut troubles = Vec::new();
        for owner in self.sums.iter().filter(|owner| matches!(owner.to, To::Shared)) {
            troubles.extend(self.bring(platform, owner).await);
        }
        self.bill(Costs::OBJECT_CALL);
        let kept = platform.collect(Ledger::Sums, b"").await;
        kept.map_err(|error| troubles.into_iter().chain([error.0]).collect::<Vec<_>>().join("; "))
    }

    /// The same in Prometheus's text format.
    pub async fn prometheus<P: Platform>(&self, platform: &P) -> Result<String, String> {
        Ok(metrics::prometheus(&self.sums(platform).await?))
    }
}

/// What happens, for the admin interface.
/// How long a value may be that a template has made for a line, in bytes.
const LONGEST_ATTRIBUTE: usize = 256;

/// What was longer shows it by its end.
fn cut(mut value: String) -> String {
    const END: &str = "…";
    if value.len() > LONGEST_ATTRIBUTE {
        value.truncate(value.floor_char_boundary(LONGEST_ATTRIBUTE - END.len()));
        value.push_str(END);
    }
    value
}

#[cfg(feature = "admin")]
impl Telemetry {
    /// Notes a request, unless it is one to the interface itself.
    fn gather(&self, record: &Record) {
        let Some(reporter) = self.activity.as_ref().filter(|_| record.route.as_deref() != Some(admin::ROUTE)) else {
            return;
        };
        let query = self.rules.logs.as_ref().map_or(&[][..], |logs| &logs.query);
        let fields = Fields::default();
        let choice = Choice { fields, request_headers: &[], response_headers: &[], query, attributes: &[] };
        let line = || String::from_utf8_lossy(&line::brief(record, choice)).into_owned();
        let is_sampled = within(record.lot, reporter.rules.sample);
        reporter.gathered.borrow_mut().note(record, is_sampled, line);
        if reporter.due.get() == 0 {
            reporter.due.set(record.ended.saturating_add(reporter.rules.interval));
        }
    }

    /// Tells the owner of the ledger what was gathered. Gives what went wrong.
    async fn report<P: Platform>(&self, platform: &P) -> Option<String> {
        let reporter = self.activity.as_ref()?;
        reporter.due.set(0);
        let gathered = reporter.gathered.borrow_mut().take();
        let before = reporter.unsent.take();
        let told = if before.is_empty() { gathered } else { Ledger::Activity.merge(&before, &gathered) };
        if Activity::read(&told).is_empty() {
            return None;
        }
        // Put back by whoever ends before it is told: see [`Untold`].
        let untold = Untold { reporter, told };
        self.bill(Costs::OBJECT_CALL);
        match platform.collect(Ledger::Activity, &untold.told).await {
            Ok(_) => {
                untold.delivered();
                None
            }
            Err(error) => Some(format!("activity: {}; it is kept for the next time", error.0)),
        }
    }

    /// What has happened in all instances, this one included.
    pub async fn activity<P: Platform>(&self, platform: &P) -> Result<Activity, String> {
        let trouble = self.report(platform).await;
        self.bill(Costs::OBJECT_CALL);
        match platform.collect(Ledger::Activity, b"").await {
            Ok(kept) => Ok(Activity::read(&kept)),
            Err(error) => Err(trouble.into_iter().chain([error.0]).collect::<Vec<_>>().join("; ")),
        }
    }
}

#[cfg(feature = "admin")]
impl Reporter {
    /// After how many milliseconds there is something to be told; `None`: there is nothing.
    fn wait(&self, now: Timestamp) -> Option<u64> {
        if self.gathered.borrow().is_empty() && self.unsent.borrow().is_empty() {
            return None;
        }
        if self.due.get() == 0 {
            self.due.set(now.saturating_add(self.rules.interval));
        }
        Some(self.due.get().saturating_sub(now))
    }
}

/// What was gathered, on its way.
#[cfg(feature = "admin")]
struct Untold<'a> {
    reporter: &'a Reporter,
    told: Vec<u8>,
}

#[cfg(feature = "admin")]
impl Untold<'_> {
    fn delivered(mut self) {
        self.told.clear();
    }
}

#[cfg(feature = "admin")]
impl Drop for Untold<'_> {
    fn drop(&mut self) {
        if !self.told.is_empty() {
            let unsent = &mut *self.reporter.unsent.borrow_mut();
            *unsent = if unsent.is_empty() {
                std::mem::take(&mut self.told)
            } else {
                Ledger::Activity.merge(&self.told, unsent)
            };
        }
    }
}

/// What was counted, on its way to an owner of sums.
struct Parcel<'a> {
    owner: &'a Owner,
    counted: Vec<u8>,
}

impl Parcel<'_> {
    fn delivered(mut self) {
        self.counted.clear();
    }
}

impl Drop for Parcel<'_> {
    fn drop(&mut self) {
        if !self.counted.is_empty() {
            let unsent = &mut *self.owner.unsent.borrow_mut();
            *unsent = if unsent.is_empty() {
                std::mem::take(&mut self.counted)
            } else {
                metrics::merge(&self.counted, unsent)
            };
        }
    }
}

/// The trace of a request: the caller's, or a new one.
fn trace(rules: &rules::Traces, trusted: bool, headers: &mut Headers, mut random: impl FnMut() -> u64) -> Trace {
    let is_believed = rules.trust.includes(trusted);
    let given = rules.formats.read(headers).filter(|_| is_believed);
    let decided = rules.formats.decision(headers).filter(|_| is_believed && rules.parent);
    rules.formats.remove(headers);
    let span = random().max(1);
    // The lower half is random whoever made the trace (W3C Trace Context Level 2 §3.2.2.3).
    let drawn = |trace: u128| Some(within((trace as u64) << 8, rules.ratio));
    let formats = rules.formats;
    match given {
        Some(given) => {
            let parent = Some(given.span);
            let sampled = given.sampled.filter(|_| rules.parent).or_else(|| drawn(given.trace));
            let context = Context { span, sampled, debug: given.debug && rules.parent, ..given };
            Trace { context, parent, formats }
        }
        None => {
            let trace = (u128::from(random()) << 64 | u128::from(random())).max(1);
            let sampled = decided.map(|decided| decided.sampled).or_else(|| drawn(trace));
            let debug = decided.is_some_and(|decided| decided.debug);
            Trace { context: Context { trace, span, sampled, debug, state: None }, parent: None, formats }
        }
    }
}

/// Whether a lot falls within a share.
fn within(lot: u64, ratio: f64) -> bool {
    #[allow(clippy::cast_precision_loss)] // Some parts in a quadrillion.
    let drawn = lot as f64 / u64::MAX as f64;
    ratio >= 1.0 || drawn < ratio
}

/// The share of requests like this one that is logged.
fn ratio(sampling: &Sampling, record: &Record) -> f64 {
    let fits = |(place, rule): &(usize, &rules::SampleRule)| {
        #[cfg(feature = "expressions")]
        if rule.when.is_some() && record.judged.checked_shr(*place as u32).unwrap_or(0) & 1 == 0 {
            return false;
        }
        #[cfg(not(feature = "expressions"))]
        let _ = place;
        rule.status.is_none_or(|(from, to)| (from..=to).contains(&record.status))
            && rule.slower_than.is_none_or(|least| record.took() >= least)
    };
    let rule = sampling.rules.iter().enumerate().find(fits).map(|(_, rule)| rule.ratio);
    rule.unwrap_or(sampling.ratio)
}

/// Whether the gateway has made this answer out of a problem.
fn is_problem<S>(response: &Response<S>) -> bool {
    matches!(response.body, Body::Bytes(_)) && response.headers.text("content-type") == Some("application/problem+json")
}

/// An identifier that is safe to hand on, to log and to send back: at most 128 letters, digits and a few marks.
fn is_identifier(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':' | b'/' | b'+' | b'=' | b'~'))
}

/// `gateway;dur=12, upstream;dur=11` (W3C Server Timing). Names of upstreams and policies stay inside.
fn server_timing(record: &Record) -> String {
    let upstream: u64 = record.attempts().map(|(_, took, _)| took).sum();
    let mut timing = format!("gateway;dur={}", record.took());
    if record.attempts().next().is_some() {
        timing.push_str(&format!(", upstream;dur={upstream}"));
    }
    if let Some(cache) = record.cache {
        timing.push_str(&format!(", cache;desc=\"{cache}\""));
    }
    timing
}

/// A point of a dataset: docs/observability.md has the order.
fn point(record: &Record) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(b"{\"indexes\":[");
    let route = record.route.as_deref().unwrap_or_default();
    line::text(&route[..route.floor_char_boundary(LONGEST_INDEX)], &mut out);
    out.extend_from_slice(b"],\"blobs\":[");
    let status = record.status.to_string();
    let blobs = [
        route,
        field::method(&record.method),
        &status,
        record.problem.unwrap_or_default(),
        record.decided_by.unwrap_or_default(),
        record.consumer.as_deref().unwrap_or_default(),
        record.upstream().unwrap_or_default(),
        record.cache.unwrap_or_default(),
        record.country.as_deref().unwrap_or_default(),
    ];
    for (place, blob) in blobs.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        line::text(&blob[..blob.floor_char_boundary(LONGEST_BLOB)], &mut out);
    }
    out.extend_from_slice(b"],\"doubles\":[");
    line::seconds(record.took(), &mut out);
    let numbers = format!(",{},{}]}}", record.attempts().count(), record.request_size.unwrap_or_default());
    out.extend(numbers.into_bytes());
    out
}

/// An index of a point has at most so many bytes.
const LONGEST_INDEX: usize = 96;

/// All texts of a point together have at most 16 KB; so many bytes each is far less.
const LONGEST_BLOB: usize = 512;
