//! What is observed: from what was written to what runs.

use super::super::{
    expression::{self, Wrong},
    format,
    node::{
        Node,
        Step::{Field, Item},
    },
    problem::{Problem, Span},
    written,
};
use super::{Compile, RouteCompiler, RunningRoute, parameters};
use crate::{
    errand::Address,
    expression::Expression,
    policy::{
        Policy,
        authenticate::{Authenticate, api_key::Place},
    },
    serve::Endpoint,
    telemetry::{
        Formats,
        field::{Field as Known, Fields},
        rules::{
            Batch, Debug, Encoding, Form, Format, HttpSink, LONGEST_INTERVAL, Logs, MOST_RULES, Metrics, Otlp,
            RequestId, Rules, SampleRule, Sampling, Sink, Traces, Trust,
        },
    },
    template::{Collection, Piece, Reference, Source, Template, Variable},
};

/// What no line shows, whoever asks for it.
const SECRET_HEADERS: [&str; 12] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "set-cookie",
    "dpop",
    "x-api-key",
    "api-key",
    "apikey",
    "x-auth-token",
    "x-csrf-token",
    "x-amz-security-token",
    "postern-debug",
];

/// Parts of names whose values are secrets more often than not.
const SECRET_PARTS: [&str; 8] =
    ["secret", "password", "passwd", "token", "credential", "session", "signature", "private"];

/// OpenTelemetry's semantic conventions, "HTTP metrics": in milliseconds.
pub(super) const BUCKETS: [u64; 14] = [5, 10, 25, 50, 75, 100, 250, 500, 750, 1_000, 2_500, 5_000, 7_500, 10_000];

impl Compile<'_> {
    /// Everything that is observed.
    pub(super) fn telemetry(&mut self, routes: &[RunningRoute]) -> Option<Box<Rules>> {
        let settings = &self.loaded.settings;
        let (written, node) = (settings.written.telemetry.as_ref()?, settings.node.get("telemetry")?);
        self.features.insert("telemetry");
        let service = written.service.clone();
        let via = settings.written.via.as_ref().map_or("postern", |via| &via.0).to_owned();
        let mut resource = vec![("service.name".to_owned(), Template::literal(service.unwrap_or(via)))];
        for (name, value) in written.attributes.iter().flat_map(|attributes| &attributes.0) {
            let at = node.place([Field("attributes"), Field(name)]);
            if name == "service.name" {
                let problem = Problem::error("conflicting-fields", at, "`service.name` is what `service` says");
                self.problems.push(problem.help("write `service`"));
                continue;
            }
            resource.extend(self.constant(&value.0, at).map(|value| (name.clone(), value)));
        }
        let otlp = written.otlp.as_ref().and_then(|otlp| self.otlp(otlp, node.get("otlp")?));
        let logs = written.logs.as_ref().and_then(|logs| self.logs(logs, node.get("logs")?, routes));
        let traces = written.traces.as_ref().map(|traces| self.traces(traces, node.get("traces")));
        let metrics = written.metrics.as_ref().and_then(|metrics| self.metrics(metrics, node.get("metrics")?));
        let debug = match &written.debug {
            Some(debug) => {
                let at = node.place([Field("debug"), Field("secret")]);
                let header = debug.header.as_ref().map_or("postern-debug", |header| &header.0).to_ascii_lowercase();
                self.constant(&debug.secret.0, at).and_then(|secret| {
                    let known = secret.as_literal().filter(|known| known.len() < 32);
                    if known.is_some() {
                        let problem = Problem::error("weak-secret", at, "this secret is shorter than 32 bytes");
                        self.problems.push(problem.help("take 32 random bytes: `openssl rand -base64 32`"));
                        return None;
                    }
                    Some(Debug { secret, header })
                })
            }
            None => None,
        };
        let to_collector = [
            (logs.as_ref().is_some_and(|logs| logs.to.contains(&Sink::Otlp)), "logs"),
            (traces.as_ref().is_some_and(|traces| traces.export), "traces"),
            (metrics.as_ref().is_some_and(|metrics| metrics.otlp), "metrics"),
        ];
        for (wanted, signal) in to_collector {
            if wanted && written.otlp.is_none() {
                let at = node.place([Field(signal), Field("to")]);
                let problem =
                    Problem::error("no-collector", at, format!("{signal} go to a collector that is not named"));
                self.problems.push(problem.help("say where it is: `telemetry: { otlp: { endpoint: https://… } }`"));
            }
        }
        let request_id = written.request_id.as_ref().map(|written| {
            let to = written.to.as_ref().map_or(&[written::RequestIdReader::Upstream][..], |to| &to.0);
            RequestId {
                header: written.header.as_ref().map_or("x-request-id", |header| &header.0).to_ascii_lowercase(),
                trust: trust(written.trust),
                upstream: to.contains(&written::RequestIdReader::Upstream),
                client: to.contains(&written::RequestIdReader::Client),
            }
        });
        let server_timing = written.server_timing.unwrap_or(false);
        Some(Box::new(Rules {
            resource,
            otlp,
            logs,
            traces,
            metrics,
            request_id,
            server_timing,
            debug,
            activity: None,
        }))
    }

    fn otlp(&mut self, written: &written::Otlp, node: &Node) -> Option<Otlp> {
        let endpoint = self.asked(&written.endpoint, node.place([Field("endpoint")]))?;
        Some(Otlp {
            endpoint,
            headers: self.own_headers(written.headers.as_ref(), node),
            encoding: match written.encoding {
                None | Some(written::OtlpEncoding::Protobuf) => Encoding::Protobuf,
                Some(written::OtlpEncoding::Json) => Encoding::Json,
            },
            timeout: written.timeout.map_or(10_000, |timeout| timeout.milliseconds),
        })
    }

    /// An address that gets what is told.
    fn asked(&mut self, written: &written::Address, at: Span) -> Option<Template> {
        let template = self.constant(&written.0, at)?;
        if let Some(known) = template.as_literal() {
            match Address::parse(known) {
                Err(message) => {
                    self.problems.push(Problem::error("bad-url", at, message));
                    return None;
                }
                Ok(address) if !address.is_safe() => {
                    let message = "what is told goes there in clear text";
                    self.problems.push(Problem::warning("clear-text", at, message).help("write `https`"));
                }
                Ok(_) => {}
            }
        }
        Some(template)
    }

    fn own_headers(
        &mut self,
        written: Option<&written::Named<written::HeaderName, written::Template>>,
        node: &Node,
    ) -> Vec<(String, Template)> {
        let mut headers = Vec::new();
        for (name, value) in written.iter().flat_map(|headers| &headers.0) {
            let at = node.place([Field("headers"), Field(&name.0)]);
            headers.extend(self.constant(&value.0, at).map(|value| (name.0.to_ascii_lowercase(), value)));
        }
        headers
    }

    fn logs(&mut self, written: &written::Logs, node: &Node, routes: &[RunningRoute]) -> Option<Logs> {
        let mut to = Vec::new();
        let sinks = node.get("to").map(Node::items).unwrap_or_default();
        for (index, sink) in written.to.iter().flat_map(|to| &to.0).enumerate() {
            let Some(sink_node) = sinks.get(index) else { continue };
            let sink = match sink {
                written::LogSink::Console => Some(Sink::Console),
                written::LogSink::Otlp => Some(Sink::Otlp),
                written::LogSink::Http(http) => self.http_sink(http, sink_node.get("http").unwrap_or(sink_node)),
                written::LogSink::Queue(name) => Some(Sink::Queue(name.0.clone())),
                written::LogSink::Analytics(name) => Some(Sink::Analytics(name.0.clone())),
            };
            if let Some(sink) = sink {
                if to.contains(&sink) {
                    self.problems.push(super::consumers::listed_twice(&sink_name(&sink), sink_node.at));
                } else {
                    to.push(sink);
                }
            }
        }
        if written.to.is_none() {
            to.push(Sink::Console);
        }
        let mut fields = Fields::default();
        if let Some(chosen) = &written.fields {
            fields = Fields::none();
            chosen.0.iter().for_each(|field| fields.add(&field.0));
        }
        written.with.iter().flat_map(|with| &with.0).for_each(|field| fields.add(&field.0));
        written.without.iter().flat_map(|without| &without.0).for_each(|field| fields.remove(&field.0));
        let headers = written.headers.as_ref();
        Some(Logs {
            to,
            format: match written.format {
                None | Some(written::LogFormat::Json) => Format::Json,
                Some(written::LogFormat::Common) => Format::Common,
                Some(written::LogFormat::Combined) => Format::Combined,
            },
            fields,
            request_headers: self.shown(headers.and_then(|headers| headers.request.as_ref()), node, "request"),
            response_headers: self.shown(headers.and_then(|headers| headers.response.as_ref()), node, "response"),
            query: self.shown_in_query(written.query.as_ref(), node),
            attributes: self.attributes(written, node, routes),
            sample: self.log_sample(written.sample.as_ref(), node.get("sample")),
            batch: self.batch(written.batch.as_ref(), node),
        })
    }

    fn http_sink(&mut self, written: &written::HttpSink, node: &Node) -> Option<Sink> {
        Some(Sink::Http(HttpSink {
            url: self.asked(&written.url, node.place([Field("url")]))?,
            form: match written.form {
                None | Some(written::SinkForm::Lines) => Form::Lines,
                Some(written::SinkForm::Array) => Form::Array,
                Some(written::SinkForm::Loki) => Form::Loki,
                Some(written::SinkForm::Datadog) => Form::Datadog,
                Some(written::SinkForm::Splunk) => Form::Splunk,
            },
            headers: self.own_headers(written.headers.as_ref(), node),
            timeout: written.timeout.map_or(10_000, |timeout| timeout.milliseconds),
        }))
    }

    /// The names of fields that are shown: none that opens something.
    fn shown(
        &mut self,
        names: Option<&written::OneOrMany<written::HeaderName>>,
        node: &Node,
        side: &'static str,
    ) -> Vec<String> {
        let mut shown = Vec::new();
        for (index, name) in names.iter().flat_map(|names| &names.0).enumerate() {
            let lower = name.0.to_ascii_lowercase();
            let at = node.place([Field("headers"), Field(side), Item(index)]);
            if self.is_secret_header(&lower) {
                let message = format!("`{}` may hold what opens something, so it is never logged", name.0);
                let help = "who called stands in `postern.consumer`, by which key in `postern.credential`";
                self.problems.push(Problem::error("secret-header", at, message).help(help));
            } else if shown.contains(&lower) {
                self.problems.push(super::consumers::listed_twice(&name.0, at));
            } else {
                shown.push(lower);
            }
        }
        shown
    }

    fn is_secret_header(&self, lower: &str) -> bool {
        SECRET_HEADERS.contains(&lower)
            || SECRET_PARTS.iter().any(|part| lower.contains(part))
            || self.opens_something(&Place::Header(lower.to_owned()))
    }

    /// What lines say by templates: under names that no field has or may have, and nothing that opens something.
    fn attributes(&mut self, written: &written::Logs, node: &Node, routes: &[RunningRoute]) -> Vec<(String, Template)> {
        let mut attributes = Vec::new();
        for (name, value) in written.attributes.iter().flat_map(|attributes| &attributes.0) {
            let Some(entry) = node.get("attributes").and_then(|attributes| attributes.entry(name)) else { continue };
            let is_word = |word: &str| {
                word.starts_with(|c: char| c.is_ascii_lowercase())
                    && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            };
            if name.len() > 64 || !name.split('.').all(is_word) {
                let problem = Problem::error("bad-name", entry.name_at, format!("`{name}` is no name of an attribute"));
                let help =
                    "use small letters, digits and `_`, with `.` between words, at most 64 of them: `shop.region`";
                self.problems.push(problem.help(help));
                continue;
            }
            let space = |name: &str| name.split_once('.').map(|(space, _)| space.to_owned());
            let is_taken = |known: &str| known == name || space(known).is_some_and(|known| space(name) == Some(known));
            if name == "schema" || Known::ALL.iter().any(|(known, ..)| is_taken(known)) {
                let message = format!("`{name}` is, or may become, a field of every line");
                let problem = Problem::error("conflicting-fields", entry.name_at, message);
                self.problems.push(problem.help("write a word of your own: `tenant`, `shop.region`"));
                continue;
            }
            let at = entry.value.at;
            let Some(template) = self.template(&value.0, at) else { continue };
            for piece in template.pieces() {
                self.may_be_logged(piece, at, routes);
            }
            attributes.push((name.clone(), template));
        }
        attributes
    }

    /// Whether what a template says can be known of a request, and may be seen by whoever reads the log.
    fn may_be_logged(&mut self, piece: &Piece, at: Span, routes: &[RunningRoute]) {
        const INSTEAD: &str = "who called stands in `postern.consumer`, by which key in `postern.credential`";
        let name = piece.base().to_string();
        let (code, message, help) = match piece.base() {
            Piece::Member(Collection::RequestHeaders | Collection::ResponseHeaders, field)
                if self.is_secret_header(field) =>
            {
                ("secret-header", format!("`{name}` may hold what opens something, so it is never logged"), INSTEAD)
            }
            Piece::Member(Collection::RequestCookies, _) => {
                ("secret-header", format!("`{name}` may hold what opens something, so it is never logged"), INSTEAD)
            }
            Piece::Member(Collection::RequestQuery, parameter)
                if self.opens_something(&Place::Query(parameter.clone())) =>
            {
                ("secret-parameter", format!("`{name}` holds what opens something, so it is never logged"), INSTEAD)
            }
            Piece::Variable(Variable::Query) => {
                let message = format!("`{name}` may hold what opens something, so it is never logged as a whole");
                ("secret-parameter", message, "name a parameter: `{request.query.page}`")
            }
            Piece::Reference(Reference { source: Source::Secret, .. }) => {
                ("bad-template", format!("`{name}` is a secret, and lines are for others"), "take an `${env:NAME}`")
            }
            Piece::Document(_) => {
                ("unknown-reference", format!("there is no `{name}` here"), "bodies are never logged")
            }
            Piece::Parameter(parameter) => {
                let known = |route: &RunningRoute| {
                    route.ranked.route.paths.iter().any(|path| parameters(path).contains(&parameter.as_str()))
                };
                // One that could not be compiled may have it.
                let all = routes.iter().filter(|route| !route.accompanies).count() == self.loaded.routes.len();
                if !all || self.loaded.incomplete || routes.iter().any(known) {
                    return;
                }
                ("unknown-parameter", format!("no route has a parameter `{parameter}`"), "`{{` is a plain brace")
            }
            Piece::Text(_) | Piece::Variable(_) | Piece::Reference(_) | Piece::Member(..) | Piece::Piped(..) => return,
        };
        let place = self.part(at, &piece.to_string());
        self.problems.push(Problem::error(code, place, message).help(help));
    }

    /// The parameters of the query that are shown, likewise.
    fn shown_in_query(&mut self, names: Option<&written::OneOrMany<String>>, node: &Node) -> Vec<String> {
        let mut shown = Vec::new();
        for (index, name) in names.iter().flat_map(|names| &names.0).enumerate() {
            let at = node.place([Field("query"), Item(index)]);
            if self.opens_something(&Place::Query(name.clone())) {
                let message = format!("`{name}` holds what opens something, so its value is never logged");
                let help = "who called stands in `postern.consumer`, by which key in `postern.credential`";
                self.problems.push(Problem::error("secret-parameter", at, message).help(help));
            } else {
                shown.push(name.clone());
            }
        }
        shown
    }

    /// Whether credentials stand there, as this configuration says: callers', or tokens that open the debug mode.
    fn opens_something(&self, place: &Place) -> bool {
        let methods = self.policies.iter().flatten().filter_map(|policy| {
            let Policy::Authenticate(authenticate) = policy else { return None };
            Some(authenticate)
        });
        let is_of_callers = methods.flat_map(Authenticate::places).any(|known| match (&known, place) {
            (Place::Header(known), Place::Header(name)) => known.eq_ignore_ascii_case(name),
            (known, place) => known == place,
        });
        let debug = self.loaded.settings.written.telemetry.as_ref().and_then(|telemetry| telemetry.debug.as_ref());
        let debug = debug.and_then(|debug| debug.header.as_ref());
        let opens_debug =
            matches!(place, Place::Header(name) if debug.is_some_and(|debug| debug.0.eq_ignore_ascii_case(name)));
        is_of_callers || opens_debug
    }

    fn log_sample(&mut self, written: Option<&written::LogSample>, node: Option<&Node>) -> Sampling {
        let (Some(written), Some(node)) = (written, node) else {
            return Sampling { ratio: 1.0, rules: Vec::new(), per_second: None };
        };
        let mut rules = Vec::new();
        let nodes = node.get("rules").map(Node::items).unwrap_or_default();
        for (rule, node) in written.rules.iter().flatten().zip(nodes) {
            let empty = rule.status.is_none() && rule.slower_than.is_none() && rule.when.is_none();
            if empty && !node.damaged {
                let problem = Problem::error("empty-rule", node.at, "this rule has no condition");
                self.problems.push(
                    problem.help("name a `status`, `slower_than` or `when`; `ratio` beside the rules is for the rest"),
                );
            }
            let when = match &rule.when {
                Some(when) => match self.condition(&when.0, node.place([Field("when")])) {
                    Some(when) => Some(when),
                    None => continue,
                },
                None => None,
            };
            rules.push(SampleRule {
                ratio: rule.ratio,
                status: rule.status.as_ref().and_then(|status| format::status_class(&status.0).ok()),
                slower_than: rule.slower_than.map(|time| time.milliseconds),
                when,
            });
        }
        if rules.len() > MOST_RULES {
            let at = node.place([Field("rules")]);
            let problem = Problem::error("too-many", at, format!("there are more than {MOST_RULES} rules"));
            self.problems.push(problem.help("put some of them into one expression"));
        }
        Sampling { ratio: written.ratio.unwrap_or(1.0), rules, per_second: written.per_second }
    }

    fn condition(&mut self, text: &str, at: Span) -> Option<Expression> {
        self.features.extend(["expressions", "regex"]);
        match expression::condition(text, &[]) {
            Ok(expression) => Some(expression),
            Err(wrong) => {
                let found = self.sources.text(at).find(text);
                self.problems.extend(wrong.into_iter().map(|Wrong { part: (start, end), message, help }| {
                    let at = found.map_or(at, |from| at.part(from + start, from + end));
                    Problem::error("bad-expression", at, message).maybe_help(help)
                }));
                None
            }
        }
    }

    fn traces(&mut self, written: &written::Traces, node: Option<&Node>) -> Traces {
        let forms = written.propagation.as_ref().map_or(&[written::Propagation::W3c][..], |forms| &forms.0);
        let sample = written.sample.clone().unwrap_or_default();
        if written.to.is_none()
            && let Some(entry) = node.and_then(|node| node.entry("sample").filter(|_| sample.on_error == Some(true)))
        {
            let problem = Problem::error("no-collector", entry.name_at, "spans are recorded that nobody gets");
            self.problems.push(problem.help("write `to: otlp`"));
        }
        Traces {
            export: written.to.is_some(),
            formats: Formats {
                w3c: forms.contains(&written::Propagation::W3c),
                b3_single: forms.contains(&written::Propagation::B3),
                b3_multi: forms.contains(&written::Propagation::B3Multi),
            },
            trust: trust(written.trust),
            ratio: sample.ratio.unwrap_or(1.0),
            parent: sample.parent.unwrap_or(true),
            on_error: sample.on_error.unwrap_or(false),
            batch: match node {
                Some(node) => self.batch(written.batch.as_ref(), node),
                None => BATCH,
            },
        }
    }

    fn metrics(&mut self, written: &written::Metrics, node: &Node) -> Option<Metrics> {
        let to = written.to.as_ref().map_or(&[written::MetricSink::Shared][..], |to| &to.0);
        let buckets: Vec<u64> = match &written.buckets {
            Some(buckets) => buckets.iter().map(|bound| bound.milliseconds).collect(),
            None => BUCKETS.to_vec(),
        };
        if buckets.is_empty() || buckets.len() > 50 || !buckets.is_sorted_by(|one, other| one < other) {
            let at = node.place([Field("buckets")]);
            let problem = Problem::error("bad-buckets", at, "these are not 1 to 50 bounds, each above the one before");
            self.problems.push(problem.help("write them in ascending order: `[10ms, 100ms, 1s]`"));
            return None;
        }
        Some(Metrics {
            otlp: to.contains(&written::MetricSink::Otlp),
            shared: to.contains(&written::MetricSink::Shared),
            interval: self.interval(written.interval, 10_000, node.place([Field("interval")])),
            buckets,
            series: written.series.map_or(2_000, |series| series as usize),
            by_consumer: written.by_consumer.unwrap_or(false),
        })
    }
}

impl Compile<'_> {
    /// Whether somebody keeps what routes with `serve: metrics` show.
    pub(super) fn metrics_are_kept(&mut self, rules: Option<&Rules>) {
        if rules.and_then(|rules| rules.metrics.as_ref()).is_some_and(|metrics| metrics.shared) {
            return;
        }
        for route in self.loaded.routes.iter().filter(|route| route.written.serve == Some(written::Serve::Metrics)) {
            let at = route.node.place([Field("serve")]);
            let problem = Problem::error("no-metrics", at, "nobody keeps the metrics that this route serves");
            self.problems.push(problem.help("write `telemetry: { metrics: { to: shared } }`"));
        }
    }
}

impl RouteCompiler<'_, '_> {
    pub(super) fn serve(&mut self, written: written::Serve) -> Endpoint {
        match written {
            written::Serve::Live => Endpoint::Live,
            written::Serve::Ready => Endpoint::Ready,
            written::Serve::Version => Endpoint::Version,
            written::Serve::Metrics => Endpoint::Metrics,
        }
    }

    /// What says how things stand inside is not for everybody.
    pub(super) fn is_protected(&mut self, policies: &[Policy]) {
        let Some(serve) = self.defined.written.serve else { return };
        let is_inside = matches!(serve, written::Serve::Metrics | written::Serve::Ready | written::Serve::Version);
        let asks = policies
            .iter()
            .any(|policy| matches!(policy, Policy::Authenticate(_) | Policy::Authorize(_) | Policy::ForwardAuth(_)));
        if is_inside && !asks && self.defined.written.client_address.is_none() {
            let at = self.defined.node.place([Field("serve")]);
            let problem = Problem::warning("open-endpoint", at, "everybody may see this");
            self.warn(problem.help("add `authenticate` or `authorize`, or name the `client_address` that may"));
        }
    }
}

fn sink_name(sink: &Sink) -> String {
    match sink {
        Sink::Console => "console".to_owned(),
        Sink::Otlp => "otlp".to_owned(),
        Sink::Http(http) => http.url.to_string(),
        Sink::Queue(name) | Sink::Analytics(name) => name.clone(),
    }
}

fn trust(written: Option<written::TrustedPeers>) -> Trust {
    match written {
        Some(written::TrustedPeers::Everybody) => Trust::Everybody,
        None | Some(written::TrustedPeers::TrustedProxies) => Trust::TrustedProxies,
        Some(written::TrustedPeers::Nobody) => Trust::Nobody,
    }
}

/// How things are gathered where nobody says.
const BATCH: Batch = Batch { size: 200, interval: 1_000, buffer: 1 << 20 };

impl Compile<'_> {
    fn batch(&mut self, written: Option<&written::TelemetryBatch>, node: &Node) -> Batch {
        let Some(written) = written else { return BATCH };
        let at = node.place([Field("batch"), Field("interval")]);
        Batch {
            size: written.size.map_or(BATCH.size, |size| size as usize),
            interval: self.interval(written.interval, BATCH.interval, at),
            buffer: written.buffer.map_or(BATCH.buffer, |size| usize::try_from(size.bytes).unwrap_or(usize::MAX)),
        }
    }

    pub(super) fn interval(&mut self, written: Option<written::Duration>, usual: u64, at: Span) -> u64 {
        let interval = written.map_or(usual, |interval| interval.milliseconds);
        if interval > LONGEST_INTERVAL {
            let message = "platforms end the work behind an answer before that";
            let problem = Problem::error("bad-interval", at, message);
            self.problems.push(problem.help(format!("write `{}s` or less", LONGEST_INTERVAL / 1_000)));
        }
        interval
    }
}
