//! Gathers what is to leave, and sends it in batches once answers have been sent.
//!
//! Each who gets something has a buffer of a stated size in each instance. What a batch could not deliver goes back to the front;
//! what the buffer cannot hold is lost, the oldest first, and counted. So is what its receiver would never take.

use super::otlp::{self, Signal};
use super::rules::{Batch, Encoding, Form};
use super::{line, rules};
use crate::errand::{self, Address};
use crate::http::Headers;
use crate::platform::{Outlet, Platform, Timestamp};
use crate::template::Settings;
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::Duration;

/// Somebody who gets something in batches. Holds resolved secrets, so it is never shown.
pub struct Sink {
    /// What it is called in notes and metrics.
    pub name: String,
    /// What it gets.
    pub signal: Signal,
    /// How it wants each thing.
    pub form: Wanted,
    way: Way,
    batch: Batch,
    state: RefCell<State>,
    /// How many requests it has sent since that was last counted.
    sent: Cell<u32>,
}

/// How somebody wants each thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// As a message of OTLP.
    Otlp(Encoding),
    /// As a line, in this form.
    Line(Form),
    /// As a point of a dataset.
    Point,
}

/// How it leaves.
enum Way {
    Http { address: Address, headers: Headers, timeout: Duration },
    Platform(Outlet),
}

/// What a request whose answer has been sent may still do for this.
#[derive(Debug)]
pub struct Allowance {
    /// After that it begins nothing more.
    pub until: Timestamp,
    /// So many points it may write: a dataset takes no more from one request.
    points: Cell<usize>,
}

impl Allowance {
    /// Until then.
    pub fn new(until: Timestamp) -> Self {
        Self { until, points: Cell::new(MOST_POINTS) }
    }
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Since when the oldest of them waits.
    since: Timestamp,
    /// Since it was last told.
    lost: u64,
    failures: u32,
    /// Before that it is not tried again.
    retry_at: Timestamp,
}

/// What a sink has to say after a delivery.
#[derive(Debug, PartialEq, Eq)]
pub struct Trouble {
    /// How many were lost.
    pub lost: u64,
    /// In words for the log.
    pub detail: String,
}

/// How long a sink that fails is left alone: a second at first, then twice as long, at most this, in milliseconds.
const LONGEST_PAUSE: u64 = 60_000;

/// A queue takes so many messages at once, and so many bytes of them. Its limit is 256 KB, with what it adds to each message.
const MOST_MESSAGES: (usize, usize) = (100, 250_000);

/// What a queue adds to a message, in bytes.
const ADDED: usize = 100;

/// The longest message that a queue takes, in bytes: its limit is 128 KB, with what it adds.
const LONGEST_MESSAGE: usize = 127_000;

/// A dataset of the Analytics Engine takes so many points from what one request does.
const MOST_POINTS: usize = 250;

impl Sink {
    /// A collector, for one signal.
    pub fn otlp(signal: Signal, rules: &rules::Otlp, batch: Batch, settings: &Settings) -> Result<Self, String> {
        let base = rules.endpoint.resolve(settings);
        let address = Address::parse(&format!("{}/v1/{}", base.trim_end_matches('/'), signal.as_str()))?;
        let mut headers = resolved(&rules.headers, settings);
        let kind = if rules.encoding == Encoding::Json { "application/json" } else { "application/x-protobuf" };
        headers.set("content-type", kind);
        let way = Way::Http { address, headers, timeout: Duration::from_millis(rules.timeout) };
        Ok(Self::new("otlp".to_owned(), signal, Wanted::Otlp(rules.encoding), way, batch))
    }

    /// A server that takes lines.
    pub fn http(rules: &rules::HttpSink, is_json: bool, batch: Batch, settings: &Settings) -> Result<Self, String> {
        let address = Address::parse(&rules.url.resolve(settings))?;
        let mut headers = resolved(&rules.headers, settings);
        if !headers.contains("content-type") {
            headers.set(
                "content-type",
                match rules.form {
                    Form::Lines if is_json => "application/x-ndjson",
                    Form::Lines => "text/plain; charset=utf-8",
                    Form::Array | Form::Loki | Form::Datadog | Form::Splunk => "application/json",
                },
            );
        }
        // Without path and query, which may hold what is nobody's business.
        let name = address.to_string();
        let way = Way::Http { address, headers, timeout: Duration::from_millis(rules.timeout) };
        Ok(Self::new(name, Signal::Logs, Wanted::Line(rules.form), way, batch))
    }

    /// Something that the platform names.
    pub fn platform(outlet: Outlet, batch: Batch) -> Self {
        let (name, form) = match &outlet {
            Outlet::Queue(name) => (name.clone(), Wanted::Line(Form::Array)),
            Outlet::Dataset(name) => (name.clone(), Wanted::Point),
        };
        Self::new(name, Signal::Logs, form, Way::Platform(outlet), batch)
    }

    fn new(name: String, signal: Signal, form: Wanted, way: Way, batch: Batch) -> Self {
        Self { name, signal, form, way, batch, state: RefCell::default(), sent: Cell::new(0) }
    }

    /// Keeps something until it leaves.
    pub fn push(&self, item: Vec<u8>, now: Timestamp) {
        let state = &mut *self.state.borrow_mut();
        if state.items.is_empty() {
            state.since = now;
        }
        if matches!(self.way, Way::Platform(Outlet::Queue(_))) && item.len() > LONGEST_MESSAGE {
            state.lost += 1;
            return;
        }
        state.bytes += item.len();
        state.items.push_back(item);
        state.shorten(self.batch.buffer);
    }

    /// After how many milliseconds what is there is to be sent; `None`: there is nothing.
    pub fn due(&self, now: Timestamp) -> Option<u64> {
        let state = self.state.borrow();
        let due = if state.failures > 0 { state.retry_at } else { state.since.saturating_add(self.batch.interval) };
        (!state.items.is_empty() || state.lost > 0).then(|| due.saturating_sub(now))
    }

    /// How long the first of a batch waits, in milliseconds.
    pub fn interval(&self) -> u64 {
        self.batch.interval
    }

    /// Whether a whole batch is there, and may be tried.
    pub fn is_full(&self, now: Timestamp) -> bool {
        let state = self.state.borrow();
        state.items.len() >= self.batch.size && now >= state.retry_at
    }

    /// How many requests it has sent since this was last asked.
    pub fn sent(&self) -> u32 {
        self.sent.take()
    }

    /// Whether a request can do nothing more for it, so that another one has to.
    pub fn has_spent(&self, allowance: &Allowance) -> bool {
        self.form == Wanted::Point && allowance.points.get() == 0
    }

    /// Sends what is there now, batch by batch, until one fails. What comes in the meantime waits for a batch of its own.
    pub async fn flush<P: Platform>(
        &self,
        platform: &P,
        resource: &[(String, String)],
        allowance: &Allowance,
    ) -> Option<Trouble> {
        let mut why = None;
        let mut left = {
            let state = &mut *self.state.borrow_mut();
            state.since = platform.now();
            state.items.len()
        };
        let mut is_first = true;
        while is_first || platform.now() < allowance.until {
            is_first = false;
            if platform.now() < self.state.borrow().retry_at {
                break;
            }
            let Some(batch) = self.take(left, allowance) else { break };
            let outcome = self.send(platform, &batch.items, resource).await;
            let count = batch.items.len();
            left -= count.min(left);
            let Err(Refused { again, detail }) = outcome else {
                batch.delivered();
                self.state.borrow_mut().failures = 0;
                continue;
            };
            why = Some(detail);
            if again {
                // Goes back to where it came from.
                drop(batch);
            } else {
                batch.delivered();
                self.state.borrow_mut().lost += count as u64;
            }
            self.state.borrow_mut().wait(platform.now());
            break;
        }
        let lost = std::mem::take(&mut self.state.borrow_mut().lost);
        if lost == 0 && why.is_none() {
            return None;
        }
        let (name, signal) = (&self.name, self.signal.as_str());
        let why = why.unwrap_or_else(|| "more came than the buffer holds, or than is taken at once".to_owned());
        Some(Trouble { lost, detail: format!("{signal} for {name}: {lost} lost; {why}") })
    }

    /// The next batch, of at most so many. Whoever drops it before it is delivered puts it back: a request's code may end at any
    /// moment.
    fn take(&self, left: usize, allowance: &Allowance) -> Option<Taken<'_>> {
        let state = &mut *self.state.borrow_mut();
        let (mut most, mut most_bytes) = (left.min(self.batch.size), usize::MAX);
        match &self.way {
            Way::Platform(Outlet::Queue(_)) => (most, most_bytes) = (most.min(MOST_MESSAGES.0), MOST_MESSAGES.1),
            Way::Platform(Outlet::Dataset(_)) => most = most.min(allowance.points.get()),
            Way::Http { .. } => {}
        }
        let mut bytes = 0;
        let fit = state.items.iter().take(most).take_while(|item| {
            bytes += item.len() + ADDED;
            bytes <= most_bytes
        });
        let count = fit.count();
        let items: Vec<_> = state.items.drain(..count).collect();
        state.bytes -= items.iter().map(Vec::len).sum::<usize>();
        if self.form == Wanted::Point {
            allowance.points.set(allowance.points.get() - count);
        }
        (!items.is_empty()).then_some(Taken { sink: self, items })
    }

    async fn send<P: Platform>(
        &self,
        platform: &P,
        items: &[Vec<u8>],
        resource: &[(String, String)],
    ) -> Result<(), Refused> {
        let body = match self.form {
            Wanted::Otlp(encoding) => otlp::export(self.signal, encoding, resource, items),
            Wanted::Line(form) => wrap(form, items, resource),
            Wanted::Point => wrap(Form::Array, items, resource),
        };
        match &self.way {
            Way::Http { address, headers, timeout } => {
                self.sent.set(self.sent.get().saturating_add(1));
                let answered = errand::post(platform, address, headers.clone(), Bytes::from(body), *timeout).await;
                answered.map_err(|detail| Refused { again: true, detail }).and_then(judge)
            }
            Way::Platform(outlet) => {
                let published = platform.publish(outlet, &body).await;
                published.map_err(|error| Refused { again: true, detail: error.0 })
            }
        }
    }
}

/// A delivery that was not taken.
pub struct Refused {
    /// Whether trying again may help.
    pub again: bool,
    /// In words for the log.
    pub detail: String,
}

/// What a status says of a delivery.
pub fn judge(status: u16) -> Result<(), Refused> {
    match status {
        200..=299 => Ok(()),
        // OTLP §"Failures": what may be sent again. Others say that these will never be taken.
        408 | 429 | 500..=599 => Err(Refused { again: true, detail: format!("it answered with the status {status}") }),
        status => Err(Refused { again: false, detail: format!("it refused them with the status {status}") }),
    }
}

/// A batch on its way.
struct Taken<'a> {
    sink: &'a Sink,
    items: Vec<Vec<u8>>,
}

impl Taken<'_> {
    fn delivered(mut self) {
        self.items.clear();
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if self.items.is_empty() {
            return;
        }
        let state = &mut *self.sink.state.borrow_mut();
        for item in std::mem::take(&mut self.items).into_iter().rev() {
            state.bytes += item.len();
            state.items.push_front(item);
        }
        state.shorten(self.sink.batch.buffer);
    }
}

impl State {
    /// Loses the oldest, until the rest fits.
    fn shorten(&mut self, most: usize) {
        while self.bytes > most
            && let Some(item) = self.items.pop_front()
        {
            self.bytes -= item.len();
            self.lost += 1;
        }
    }

    fn wait(&mut self, now: Timestamp) {
        let pause = 1_000u64.saturating_mul(1 << self.failures.min(16)).min(LONGEST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        self.retry_at = now.saturating_add(pause);
    }
}

fn resolved(headers: &[(String, crate::template::Template)], settings: &Settings) -> Headers {
    let mut resolved = Headers::new();
    headers.iter().for_each(|(name, value)| resolved.set(name, value.resolve(settings)));
    resolved
}

/// One line as a part of a batch in this form.
pub fn part(form: Form, written: Vec<u8>, is_json: bool, began: Timestamp, service: &str) -> Vec<u8> {
    let quoted = |written: &[u8]| {
        let mut out = Vec::with_capacity(written.len() + 2);
        line::text(&String::from_utf8_lossy(written), &mut out);
        out
    };
    let mut name = Vec::new();
    line::text(service, &mut name);
    match form {
        Form::Lines => written,
        Form::Array if is_json => written,
        Form::Array => quoted(&written),
        Form::Loki => {
            [format!("[\"{}\",", began.saturating_mul(1_000_000)).as_bytes(), &quoted(&written), b"]"].concat()
        }
        Form::Datadog => {
            [b"{\"ddsource\":\"postern\",\"service\":", &name[..], b",\"message\":", &quoted(&written), b"}"].concat()
        }
        Form::Splunk => {
            let time = format!("{{\"time\":{}.{:03},\"source\":", began / 1_000, began % 1_000);
            let event = if is_json { written } else { quoted(&written) };
            [time.as_bytes(), &name, b",\"sourcetype\":\"postern:access\",\"event\":", &event, b"}"].concat()
        }
    }
}

fn wrap(form: Form, items: &[Vec<u8>], resource: &[(String, String)]) -> Vec<u8> {
    match form {
        Form::Lines | Form::Splunk => [items.join(&b'\n'), b"\n".to_vec()].concat(),
        Form::Array | Form::Datadog => [b"[".as_slice(), &items.join(&b','), b"]"].concat(),
        Form::Loki => {
            // Labels by Loki's rules: letters, digits and underscores.
            let labels: Vec<Vec<u8>> = resource
                .iter()
                .map(|(name, value)| {
                    let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
                    let mut out = Vec::new();
                    line::text(&name, &mut out);
                    out.push(b':');
                    line::text(value, &mut out);
                    out
                })
                .collect();
            let (labels, values) = (labels.join(&b','), items.join(&b','));
            [b"{\"streams\":[{\"stream\":{", &labels[..], b"},\"values\":[", &values, b"]}]}"].concat()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Body, Response};
    use crate::testing::{TestPlatform, run};
    use std::cell::Cell;
    use std::rc::Rc;

    /// More time than a test takes.
    fn time() -> Allowance {
        Allowance::new(u64::MAX)
    }

    const BATCH: Batch = Batch { size: 2, interval: 1_000, buffer: 6 };

    fn sink() -> Sink {
        let rules = rules::HttpSink {
            url: crate::template::Template::literal("https://logs.example/in?key=secret"),
            form: Form::Array,
            headers: Vec::new(),
            timeout: 1_000,
        };
        Sink::http(&rules, true, BATCH, &Settings::new()).expect("a sink")
    }

    #[test]
    fn a_sink_that_is_down_loses_only_what_the_buffer_cannot_hold_and_says_how_many() {
        let status = Rc::new(Cell::new(503));
        let (answers, got) = (status.clone(), Rc::new(RefCell::new(Vec::new())));
        let seen = got.clone();
        let platform = TestPlatform::new(move |call| {
            if let Body::Bytes(body) = &call.body {
                seen.borrow_mut().push(String::from_utf8_lossy(body).into_owned());
            }
            Ok(Response { status: answers.get(), headers: Headers::new(), body: Body::Empty })
        });
        let sink = sink();
        for item in [b"11", b"22", b"33"] {
            sink.push(item.to_vec(), 0);
        }
        let trouble = run(sink.flush(&platform, &[], &time())).expect("trouble");
        assert_eq!(trouble.lost, 0);
        assert!(trouble.detail.contains("503") && !trouble.detail.contains("secret"), "{}", trouble.detail);
        // It is left alone for a while.
        assert_eq!(run(sink.flush(&platform, &[], &time())), None);
        sink.push(b"44".to_vec(), 0);
        sink.push(b"55".to_vec(), 0);
        status.set(204);
        platform.clock.set(platform.clock.get() + 1_000);
        got.borrow_mut().clear();
        let trouble = run(sink.flush(&platform, &[], &time())).expect("trouble");
        assert_eq!((trouble.lost, got.take()), (2, vec!["[33,44]".to_owned(), "[55]".to_owned()]));
        assert_eq!(run(sink.flush(&platform, &[], &time())), None);
    }

    #[test]
    fn what_a_sink_refuses_for_good_is_lost_and_told() {
        let platform = TestPlatform::new(|_| Ok(Response { status: 400, headers: Headers::new(), body: Body::Empty }));
        let sink = sink();
        sink.push(b"11".to_vec(), 0);
        let trouble = run(sink.flush(&platform, &[], &time())).expect("trouble");
        assert_eq!((trouble.lost, sink.due(0)), (1, None));
    }

    #[test]
    fn a_batch_whose_request_ends_goes_back() {
        let sink = sink();
        for item in [b"11", b"22", b"33"] {
            sink.push(item.to_vec(), 0);
        }
        drop(sink.take(9, &time()));
        let batch = sink.take(9, &time()).expect("a batch");
        assert_eq!(batch.items, [b"11", b"22"]);
        batch.delivered();
        assert_eq!(sink.take(9, &time()).map(|mut batch| std::mem::take(&mut batch.items)), Some(vec![b"33".to_vec()]));
        assert_eq!(sink.state.borrow().bytes, 0);
    }

    #[test]
    fn what_comes_while_a_batch_is_sent_waits_for_one_of_its_own() {
        let sink = Rc::new(sink());
        let (posts, more) = (Rc::new(Cell::new(0)), sink.clone());
        let counted = posts.clone();
        let platform = TestPlatform::new(move |_| {
            counted.set(counted.get() + 1);
            more.push(b"99".to_vec(), 5_000);
            Ok(Response { status: 200, headers: Headers::new(), body: Body::Empty })
        });
        platform.clock.set(5_000);
        sink.push(b"11".to_vec(), 4_500);
        assert_eq!(sink.due(4_500), Some(1_000));
        assert_eq!(run(sink.flush(&platform, &[], &time())), None);
        assert_eq!((posts.get(), sink.due(5_000), sink.due(5_700)), (1, Some(1_000), Some(300)));
    }

    #[test]
    fn no_batch_is_begun_when_the_time_is_over_but_one() {
        let platform = TestPlatform::new(|_| Ok(Response { status: 200, headers: Headers::new(), body: Body::Empty }));
        let sink = sink();
        [b"11", b"22", b"33"].iter().for_each(|item| sink.push(item.to_vec(), 0));
        let over = Allowance::new(platform.clock.get());
        assert_eq!((run(sink.flush(&platform, &[], &over)), sink.state.borrow().items.len()), (None, 1));
    }

    #[test]
    fn a_queue_gets_what_it_takes_at_once_and_what_it_never_takes_is_lost_and_told() {
        let batch = Batch { size: 200, interval: 1_000, buffer: 1 << 20 };
        let sink = Sink::platform(Outlet::Queue("LINES".to_owned()), batch);
        let platform = TestPlatform::new(|_| Ok(Response { status: 200, headers: Headers::new(), body: Body::Empty }));
        let item = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2)).into_bytes();
        for bytes in [100_000, 100_000, 100_000, 127_001, 127_000] {
            sink.push(item(bytes), 0);
        }
        (0..150).for_each(|_| sink.push(item(100), 0));
        let trouble = run(sink.flush(&platform, &[], &time())).expect("trouble");
        assert_eq!(trouble.lost, 1);
        let published = platform.published.take();
        let sizes: Vec<usize> = published
            .iter()
            .map(|(_, batch)| serde_json::from_slice::<Vec<String>>(batch).expect("JSON").len())
            .collect();
        assert_eq!(sizes, [2, 100, 52], "the third starts where the bytes are used up");
        assert!(published.iter().all(|(_, batch)| batch.len() < 256_000));
        // What is alone is told as well.
        sink.push(item(200_000), 0);
        assert_eq!(sink.due(0), Some(1_000));
        assert_eq!(run(sink.flush(&platform, &[], &time())).map(|trouble| trouble.lost), Some(1));
    }

    #[test]
    fn a_request_writes_no_more_points_than_a_dataset_takes_from_it() {
        let batch = Batch { size: 200, interval: 1_000, buffer: 1 << 20 };
        let sink = Sink::platform(Outlet::Dataset("POINTS".to_owned()), batch);
        let platform = TestPlatform::new(|_| Ok(Response { status: 200, headers: Headers::new(), body: Body::Empty }));
        (0..300).for_each(|_| sink.push(b"{}".to_vec(), 0));
        let (one, other) = (time(), time());
        assert_eq!(run(sink.flush(&platform, &[], &one)), None);
        assert!(sink.has_spent(&one) && !sink.has_spent(&other));
        assert_eq!(platform.published.take().len(), 2);
        assert_eq!(run(sink.flush(&platform, &[], &one)), None);
        assert!(platform.published.take().is_empty());
        assert_eq!(run(sink.flush(&platform, &[], &other)), None);
        let rest: Vec<serde_json::Value> = serde_json::from_slice(&platform.published.take()[0].1).expect("JSON");
        assert_eq!(rest.len(), 50, "what is left is for another one");
    }

    #[test]
    fn batches_have_the_form_that_is_wanted() {
        let resource = [("service.name".to_owned(), "shop".to_owned())];
        let whole = |form, is_json| {
            let line = if is_json { br#"{"a":1}"#.to_vec() } else { b"a \"b\"".to_vec() };
            let parts = [part(form, line.clone(), is_json, 1_500, "shop"), part(form, line, is_json, 2_000, "shop")];
            String::from_utf8(wrap(form, &parts, &resource)).expect("text")
        };
        for (form, is_json, expected) in [
            (Form::Lines, true, "{\"a\":1}\n{\"a\":1}\n"),
            (Form::Array, true, r#"[{"a":1},{"a":1}]"#),
            (Form::Array, false, r#"["a \"b\"","a \"b\""]"#),
            (
                Form::Loki,
                true,
                r#"{"streams":[{"stream":{"service_name":"shop"},"values":[["1500000000","{\"a\":1}"],["2000000000","{\"a\":1}"]]}]}"#,
            ),
            (
                Form::Datadog,
                true,
                r#"[{"ddsource":"postern","service":"shop","message":"{\"a\":1}"},{"ddsource":"postern","service":"shop","message":"{\"a\":1}"}]"#,
            ),
            (
                Form::Splunk,
                true,
                "{\"time\":1.500,\"source\":\"shop\",\"sourcetype\":\"postern:access\",\"event\":{\"a\":1}}\n{\"time\":2.000,\"source\":\"shop\",\"sourcetype\":\"postern:access\",\"event\":{\"a\":1}}\n",
            ),
        ] {
            assert_eq!(whole(form, is_json), expected, "{form:?}");
        }
    }
}
