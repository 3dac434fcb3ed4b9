//! Gathers what is to leave, and sends it in batches once answers have been sent.
//!
//! Each who gets something has a buffer of a stated size in each instance. What a batch could not deliver goes back to the front;
//! what the buffer cannot hold is lost, the oldest first, and counted.

use super::otlp::{self, Signal};
use super::rules::{Batch, Encoding, Form};
use super::{line, rules};
use crate::errand::{self, Address};
use crate::http::Headers;
use crate::platform::{Outlet, Platform, Timestamp};
use crate::template::Settings;
use bytes::Bytes;
use std::cell::RefCell;
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

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Vec<u8>>,
    bytes: usize,
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
        Self { name, signal, form, way, batch, state: RefCell::default() }
    }

    /// Keeps something until it leaves.
    pub fn push(&self, item: Vec<u8>) {
        let state = &mut *self.state.borrow_mut();
        state.bytes += item.len();
        state.items.push_back(item);
        state.shorten(self.batch.buffer);
    }

    /// After how many milliseconds what is there is to be sent; `None`: there is nothing.
    pub fn due(&self, now: Timestamp) -> Option<u64> {
        let state = self.state.borrow();
        (!state.items.is_empty()).then(|| self.batch.interval.max(state.retry_at.saturating_sub(now)))
    }

    /// Whether a whole batch is there, and may be tried.
    pub fn is_full(&self, now: Timestamp) -> bool {
        let state = self.state.borrow();
        state.items.len() >= self.batch.size && now >= state.retry_at
    }

    /// Sends what is there, batch by batch, until one fails.
    pub async fn flush<P: Platform>(&self, platform: &P, resource: &[(String, String)]) -> Option<Trouble> {
        let mut why = None;
        loop {
            if platform.now() < self.state.borrow().retry_at {
                break;
            }
            let Some(batch) = self.take() else { break };
            let outcome = self.send(platform, &batch.items, resource).await;
            let count = batch.items.len() as u64;
            let state = match outcome {
                Ok(()) => {
                    batch.delivered();
                    let mut state = self.state.borrow_mut();
                    state.failures = 0;
                    continue;
                }
                Err(Refused { again: true, detail }) => {
                    why = Some(detail);
                    // Goes back to where it came from.
                    drop(batch);
                    &mut *self.state.borrow_mut()
                }
                Err(Refused { again: false, detail }) => {
                    why = Some(detail);
                    batch.delivered();
                    let state = &mut *self.state.borrow_mut();
                    state.lost += count;
                    state.wait(platform.now());
                    break;
                }
            };
            state.wait(platform.now());
            break;
        }
        let lost = std::mem::take(&mut self.state.borrow_mut().lost);
        if lost == 0 && why.is_none() {
            return None;
        }
        let (name, signal) = (&self.name, self.signal.as_str());
        let why = why.unwrap_or_else(|| "more came than the buffer holds".to_owned());
        Some(Trouble { lost, detail: format!("{signal} for {name}: {lost} lost; {why}") })
    }

    /// The next batch. Whoever drops it before it is delivered puts it back: a request's code may end at any moment.
    fn take(&self) -> Option<Taken<'_>> {
        let state = &mut *self.state.borrow_mut();
        let count = state.items.len().min(self.batch.size);
        let items: Vec<_> = state.items.drain(..count).collect();
        state.bytes -= items.iter().map(Vec::len).sum::<usize>();
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
                let answered = errand::post(platform, address, headers.clone(), Bytes::from(body), *timeout).await;
                match answered {
                    Ok(200..=299) => Ok(()),
                    // OTLP §"Failures": what may be sent again. Others say that these will never be taken.
                    Ok(status @ (408 | 429 | 500..=599)) => {
                        Err(Refused { again: true, detail: format!("it answered with the status {status}") })
                    }
                    Ok(status) => {
                        Err(Refused { again: false, detail: format!("it refused them with the status {status}") })
                    }
                    Err(detail) => Err(Refused { again: true, detail }),
                }
            }
            Way::Platform(outlet) => {
                let published = platform.publish(outlet, &body).await;
                published.map_err(|error| Refused { again: true, detail: error.0 })
            }
        }
    }
}

/// A delivery that was not taken.
struct Refused {
    /// Whether trying again may help.
    again: bool,
    detail: String,
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
            sink.push(item.to_vec());
        }
        let trouble = run(sink.flush(&platform, &[])).expect("trouble");
        assert_eq!(trouble.lost, 0);
        assert!(trouble.detail.contains("503") && !trouble.detail.contains("secret"), "{}", trouble.detail);
        // It is left alone for a while.
        assert_eq!(run(sink.flush(&platform, &[])), None);
        sink.push(b"44".to_vec());
        sink.push(b"55".to_vec());
        status.set(204);
        platform.clock.set(platform.clock.get() + 1_000);
        got.borrow_mut().clear();
        let trouble = run(sink.flush(&platform, &[])).expect("trouble");
        assert_eq!((trouble.lost, got.take()), (2, vec!["[33,44]".to_owned(), "[55]".to_owned()]));
        assert_eq!(run(sink.flush(&platform, &[])), None);
    }

    #[test]
    fn what_a_sink_refuses_for_good_is_lost_and_told() {
        let platform = TestPlatform::new(|_| Ok(Response { status: 400, headers: Headers::new(), body: Body::Empty }));
        let sink = sink();
        sink.push(b"11".to_vec());
        let trouble = run(sink.flush(&platform, &[])).expect("trouble");
        assert_eq!((trouble.lost, sink.due(0)), (1, None));
    }

    #[test]
    fn a_batch_whose_request_ends_goes_back() {
        let sink = sink();
        for item in [b"11", b"22", b"33"] {
            sink.push(item.to_vec());
        }
        drop(sink.take());
        let batch = sink.take().expect("a batch");
        assert_eq!(batch.items, [b"11", b"22"]);
        batch.delivered();
        assert_eq!(sink.take().map(|mut batch| std::mem::take(&mut batch.items)), Some(vec![b"33".to_vec()]));
        assert_eq!(sink.state.borrow().bytes, 0);
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
