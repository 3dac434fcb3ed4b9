//! Answers from several calls, and batches of requests: from what was written to what runs. The graph of the steps is checked here.

use super::super::{
    expression::{self, Wrong},
    node::{
        Node,
        Step::{Field, Item},
    },
    problem::{Problem, Span},
    suggest::closest,
    written,
};
use super::{
    Direction, RouteCompiler, Seen, host_header, list_some, parameters,
    transform::{BODY, EACH, STEPS, status},
};
use crate::{
    compose::{
        Answer, Batch, Beyond, Compose, ForEach, Form, Format, Member, OnError, Order, Part, RESERVED, Step, Stream,
        sight::{BODY as BODY_OF, HEADERS, STATUS},
    },
    expression::{Expression, Variable},
    forward::{Forward, PathChange},
    gateway::Action,
    http::Statuses,
    policy::Policy,
    route::Matcher,
    shape::{Blueprint, Edit, Path, Step as PathStep, query::Query},
    template::{Collection, Piece, Template},
    upstream::{HostHeader, is_safe},
};

/// What templates of steps see.
const STEP: Seen = Seen { response: false, documents: &[STEPS, BODY] };
/// The same of steps that are repeated.
const EACH_STEP: Seen = Seen { response: false, documents: &[STEPS, BODY, EACH] };
/// What templates see before any step has begun.
const BEFORE: Seen = Seen { response: false, documents: &[BODY] };

/// How many calls one answer may take at the very most: what Workers have for one request.
const MOST_CALLS: u32 = 1_000;

impl RouteCompiler<'_, '_> {
    pub(super) fn compose(&mut self, written: &written::Compose, paths: &[Matcher]) -> Option<Compose> {
        self.all.features.extend(["compose", "validation", "regex", "shaping"]);
        let node = self.defined.node.get("compose")?;
        let steps_node = node.get("steps")?;
        if written.steps.0.is_empty() {
            if !node.damaged {
                let problem = Problem::error("empty-composition", steps_node.at, "there is no step");
                self.all.problems.push(problem.help("name one: `steps: { user: { upstream: users, path: /user } }`"));
            }
            return None;
        }
        let names: Vec<&str> = written.steps.0.iter().map(|(name, _)| name.0.as_str()).collect();
        let mut graph = Graph { names: &names, uses_body: false };
        let mut steps = Vec::new();
        for (name, step) in &written.steps.0 {
            let Some(entry) = steps_node.entry(&name.0) else { continue };
            steps.extend(self.compose_step(&name.0, step, &entry.value, paths, &mut graph));
        }
        let streams = written.stream.is_some();
        let seen = if streams { BEFORE } else { STEP };
        let mut used: Vec<u32> = Vec::new();
        let status = match &written.status {
            None => Template::literal("200"),
            Some(status) => {
                let at = node.place([Field("status")]);
                let template = self.text_in(&status.0, at, paths, seen)?;
                self.is_status(&template, at);
                self.uses(&template, at, &mut graph, &mut used);
                template
            }
        };
        let mut headers = Vec::new();
        let headers_node = node.get("headers");
        self.distinct_headers(written.headers.as_ref(), headers_node);
        for (name, values) in written.headers.iter().flat_map(|headers| &headers.0) {
            let lower = name.0.to_ascii_lowercase();
            if let Some(entry) = headers_node.and_then(|node| node.entry(&name.0)) {
                self.changeable(&lower, entry.name_at, Direction::Response);
            }
            for (index, value) in values.0.iter().enumerate() {
                let at = node.place([Field("headers"), Field(&name.0), Item(index)]);
                let Some(value) = self.value_in(&value.0, at, paths, seen) else { continue };
                self.uses(&value, at, &mut graph, &mut used);
                headers.push((lower.clone(), value));
            }
        }
        let answer = self.compose_answer(written, node, paths, &mut graph)?;
        self.tells_errors(written, node, &answer);
        let stream = written.stream.map(|stream| {
            let (form, order) = match stream {
                written::ComposeStream::Form(form) => (form, None),
                written::ComposeStream::Full { form, order } => (form, order),
            };
            Stream {
                form: match form {
                    written::StreamForm::Json => Form::Json,
                    written::StreamForm::Ndjson => Form::Ndjson,
                    written::StreamForm::Sse => Form::Sse,
                },
                order: match order {
                    None | Some(written::StreamOrder::Finished) => Order::Finished,
                    Some(written::StreamOrder::Declared) => Order::Declared,
                },
            }
        });
        if streams && !matches!(answer, Answer::Members(_)) {
            let at = node.entry("stream").map_or(node.at, |entry| entry.name_at);
            let problem = Problem::error("not-streamable", at, "only the members of an object can be sent one by one");
            let related = node.entry("query").or(node.entry("answer"));
            let problem = match related {
                Some(entry) => problem.related(entry.name_at, "this is made of all steps together"),
                None => problem,
            };
            self.all.problems.push(problem.help("make `answer` an object, or remove `stream`"));
        }
        // What could not be compiled has been told, and the places of the others would be wrong.
        if steps.len() != names.len() {
            return None;
        }
        self.has_cycle(&steps, steps_node);
        self.is_used(&steps, &answer, &used, written, steps_node);
        let mut compose = Compose {
            steps,
            answer,
            status,
            headers,
            stream,
            parallel: written.parallel.unwrap_or(6),
            timeout: written.timeout.map_or(30_000, |timeout| timeout.milliseconds),
            limit: written.limit.map_or(10 << 20, |size| size.bytes),
            body: graph.uses_body.then_some(1 << 20),
            vary: Vec::new(),
        };
        compose.vary = varies(&compose);
        Some(compose)
    }

    fn compose_step(
        &mut self,
        name: &str,
        written: &written::ComposeStep,
        node: &Node,
        paths: &[Matcher],
        graph: &mut Graph<'_>,
    ) -> Option<Step> {
        let seen = if written.for_each.is_some() { EACH_STEP } else { STEP };
        let mut needs = Vec::new();
        let upstream = match self.all.upstreams.get(written.upstream.0.as_str()) {
            Some((upstream, _)) => Some(*upstream),
            None => {
                self.unknown_upstream(&written.upstream.0, node.place([Field("upstream")]));
                None
            }
        };
        let path = match &written.path {
            None => Some(Template::literal("/")),
            Some(path) => {
                let at = node.place([Field("path")]);
                let template = self.text_in(&path.0, at, paths, seen);
                if let Some(template) = &template {
                    self.rooted(template, &path.0, at, "write its parameters in `query`");
                    self.uses(template, at, graph, &mut needs);
                }
                template
            }
        };
        let mut query = Vec::new();
        for (name, value) in written.query.iter().flat_map(|query| &query.0) {
            let at = node.place([Field("query"), Field(name)]);
            let Some(value) = self.text_in(&value.0, at, paths, seen) else { continue };
            self.uses(&value, at, graph, &mut needs);
            query.push((name.clone(), value));
        }
        let mut headers = Vec::new();
        self.distinct_headers(written.headers.as_ref(), node.get("headers"));
        for (name, value) in written.headers.iter().flat_map(|headers| &headers.0) {
            let Some(entry) = node.get("headers").and_then(|headers| headers.entry(&name.0)) else { continue };
            let lower = name.0.to_ascii_lowercase();
            self.changeable(&lower, entry.name_at, Direction::Request);
            let Some(value) = self.value_in(&value.0, entry.value.at, paths, seen) else { continue };
            self.uses(&value, entry.value.at, graph, &mut needs);
            headers.push((lower, value));
        }
        let forward_headers = self.header_names(written.forward_headers.as_ref(), node, "forward_headers");
        for (index, header) in forward_headers.iter().enumerate() {
            self.changeable(header, node.place([Field("forward_headers"), Item(index)]), Direction::Request);
        }
        let body = match node.get("body") {
            Some(body) => {
                let blueprint = self.blueprint(body, paths, seen)?;
                self.blueprint_uses(&blueprint, body.at, graph, &mut needs);
                Some(blueprint)
            }
            None => None,
        };
        let method = written.method.as_ref().map(|method| method.0.clone());
        let method = method.unwrap_or_else(|| if body.is_some() { "POST" } else { "GET" }.to_owned());
        if let (Some(entry), "GET" | "HEAD") = (node.entry("body"), method.as_str()) {
            let message = format!("a {method} has no body");
            let problem = Problem::error("body-not-allowed", entry.name_at, message);
            self.all.problems.push(problem.help("remove the body, or write another `method`"));
        }
        let when = written.when.as_ref().and_then(|when| {
            let at = node.place([Field("when")]);
            self.condition_on_steps(&when.0, at, paths, written.for_each.is_some(), graph, &mut needs)
        });
        let for_each = match (&written.for_each, node.get("for_each")) {
            (Some(each), Some(node)) => Some(self.for_each(each, node, graph, &mut needs)?),
            _ => None,
        };
        let on_error = match &written.on_error {
            None | Some(written::OnError::Fail) => OnError::Fail,
            Some(written::OnError::Omit) => OnError::Omit,
            Some(written::OnError::Errors) => OnError::Errors,
            Some(written::OnError::Default(_)) => {
                let instead = node.reach([Field("on_error"), Field("default")])?;
                let blueprint = self.blueprint(instead, paths, seen)?;
                self.blueprint_uses(&blueprint, instead.at, graph, &mut needs);
                OnError::Default(blueprint)
            }
        };
        let format = match written.format {
            None | Some(written::StepFormat::Json) => Format::Json,
            Some(written::StepFormat::Text) => Format::Text,
            Some(written::StepFormat::Xml) => {
                self.all.features.insert("formats");
                Format::Xml
            }
        };
        let policies = match (&written.cache, node.get("cache")) {
            (Some(cache), Some(node)) => {
                let owner = format!("{}/{name}", self.defined.written.name.0);
                let across_callers = cache.across_callers == Some(true);
                let mut cache = self.cache_rules(cache, node, &owner, &[]);
                cache.terms.unseen = self.identities(&written.upstream.0);
                // The path is the step's own, and means something else with another upstream, or another of its hosts.
                cache.name = format!("{}@{}", cache.name, written.upstream.0);
                if let Some(HostHeader::Fixed(host)) = written.host_header.as_ref().map(host_header) {
                    cache.name = format!("{}/{host}", cache.name);
                }
                let policies = self.defined.node.get("policies").map(Node::items).unwrap_or_default();
                let is_known = policies.iter().any(|policy| policy.entry("authenticate").is_some());
                cache.key.by_caller |= is_known && !across_callers;
                Some(self.all.intern(vec![Policy::Cache(cache)]))
            }
            _ => None,
        };
        let retries = match (&written.retries, node.get("retries")) {
            (Some(retries), Some(node)) => Some(self.all.retries(&retries.into(), node)),
            _ => None,
        };
        let forward = Forward {
            upstream: upstream?,
            path: PathChange::Keep,
            host: written.host_header.as_ref().map(host_header),
            timeouts: None,
            websocket: None,
        };
        needs.sort_unstable();
        needs.dedup();
        Some(Step {
            name: name.to_owned(),
            needs,
            forward,
            method,
            path: path?,
            query,
            forward_headers,
            headers,
            body,
            format,
            success: match &written.success {
                None => vec![Statuses::Class(2)],
                Some(statuses) => statuses.0.iter().map(|one| status(*one)).collect(),
            },
            limit: written.limit.map_or(1 << 20, |size| size.bytes),
            timeout: written.timeout.map(|timeout| timeout.milliseconds),
            retries,
            when,
            for_each,
            on_error,
            policies,
        })
    }

    /// The list of a step that is repeated: bounded, and a part of what another step has answered.
    fn for_each(
        &mut self,
        written: &written::ForEach,
        node: &Node,
        graph: &mut Graph<'_>,
        needs: &mut Vec<u32>,
    ) -> Option<ForEach> {
        let list = Path::parse(&written.list.0)?;
        let at = node.place([Field("in")]);
        match list.root() {
            STEPS => self.refers(&list, at, graph, needs),
            BODY => graph.uses_body = true,
            root => {
                let message = format!("`{root}` is nothing that a step could be repeated for");
                let problem = Problem::error("unknown-reference", at, message);
                self.all.problems.push(problem.help("write `steps.NAME.body.…`, or `body.…` for the request's own"));
            }
        }
        let Some(most) = written.at_most else {
            let problem =
                Problem::error("unbounded-repetition", node.head(), "nobody knows how often this step is repeated");
            self.all.problems.push(problem.help("write `at_most`, the number of items that it is done for"));
            return None;
        };
        let beyond = match written.beyond {
            None | Some(written::Beyond::Fail) => Beyond::Fail,
            Some(written::Beyond::Cut) => Beyond::Cut,
        };
        Some(ForEach { list, most, beyond })
    }

    fn condition_on_steps(
        &mut self,
        text: &str,
        at: Span,
        paths: &[Matcher],
        repeats: bool,
        graph: &mut Graph<'_>,
        needs: &mut Vec<u32>,
    ) -> Option<Expression> {
        self.all.features.extend(["expressions", "regex"]);
        let parameters: Vec<Vec<&str>> = paths.iter().map(parameters).collect();
        let expression = match expression::condition_on_steps(text, &parameters) {
            Ok(expression) => expression,
            Err(wrong) => {
                let found = self.all.sources.text(at).find(text);
                self.all.problems.extend(wrong.into_iter().map(|Wrong { part: (start, end), message, help }| {
                    let at = found.map_or(at, |from| at.part(from + start, from + end));
                    Problem::error("bad-expression", at, message).maybe_help(help)
                }));
                return None;
            }
        };
        self.all.certificates |= expression.asks_for(Variable::is_of_certificate);
        if expression.asks_for(|variable| variable == Variable::Each) && !repeats {
            let problem = Problem::error("unknown-reference", at, "there is no `each` here");
            self.all.problems.push(problem.help("an item can be said in a step that has `for_each` only"));
        }
        match expression.members_of(Variable::Steps) {
            Some(names) => {
                for name in names.into_iter().map(str::to_owned).collect::<Vec<_>>() {
                    self.step_named(&name, at, graph, needs);
                }
            }
            None => {
                let message = "nobody can tell which steps this asks for";
                let problem = Problem::error("unknown-step", at, message);
                self.all.problems.push(problem.help("name each step: `steps.user.body.premium`"));
            }
        }
        Some(expression)
    }

    /// Takes down which steps a template needs, and whether it needs the request's body.
    fn uses(&mut self, template: &Template, at: Span, graph: &mut Graph<'_>, needs: &mut Vec<u32>) {
        for piece in template.pieces() {
            let Piece::Document(path) = piece.base() else { continue };
            match path.root() {
                BODY => graph.uses_body = true,
                STEPS => {
                    let place = self.all.part(at, &piece.to_string());
                    self.refers(path, place, graph, needs);
                }
                _ => {}
            }
        }
    }

    fn blueprint_uses(&mut self, blueprint: &Blueprint, at: Span, graph: &mut Graph<'_>, needs: &mut Vec<u32>) {
        match blueprint {
            Blueprint::Raw(_) => {}
            Blueprint::Text(template) => self.uses(template, at, graph, needs),
            Blueprint::List(items) => items.iter().for_each(|item| self.blueprint_uses(item, at, graph, needs)),
            Blueprint::Object(members) => {
                members.iter().for_each(|(_, value)| self.blueprint_uses(value, at, graph, needs));
            }
        }
    }

    /// `steps.NAME.body…`, `steps.NAME.status` or `steps.NAME.headers.FIELD`, of a step that there is.
    fn refers(&mut self, path: &Path, at: Span, graph: &Graph<'_>, needs: &mut Vec<u32>) {
        let name = |step: Option<&PathStep>| match step {
            Some(PathStep::Name(name)) => Some(name.clone()),
            Some(PathStep::Every) | None => None,
        };
        let Some(step) = name(path.steps().get(1)) else {
            let problem = Problem::error("unknown-reference", at, format!("`{path}` names no step"));
            self.all.problems.push(problem.help("write `steps.NAME.body`"));
            return;
        };
        if !self.step_named(&step, at, graph, needs) {
            return;
        }
        let what = name(path.steps().get(2));
        let is_known =
            matches!((what.as_deref(), path.len()), (Some(BODY_OF), _) | (Some(STATUS), 3) | (Some(HEADERS), 4));
        if !is_known {
            let message = format!("`{path}` is nothing that is known of a step");
            let problem = Problem::error("unknown-reference", at, message);
            let help = format!("there are `steps.{step}.body`, `steps.{step}.status` and `steps.{step}.headers.NAME`");
            self.all.problems.push(problem.help(help));
        }
    }

    fn step_named(&mut self, name: &str, at: Span, graph: &Graph<'_>, needs: &mut Vec<u32>) -> bool {
        if let Some(place) = graph.names.iter().position(|known| *known == name) {
            needs.extend(u32::try_from(place));
            return true;
        }
        let problem = Problem::error("unknown-step", at, format!("there is no step called `{name}`"));
        let help = match closest(name, graph.names.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("there are {}", list_some(graph.names)),
        };
        self.all.problems.push(problem.help(help));
        false
    }

    fn compose_answer(
        &mut self,
        written: &written::Compose,
        node: &Node,
        paths: &[Matcher],
        graph: &mut Graph<'_>,
    ) -> Option<Answer> {
        for (name, _) in &written.steps.0 {
            let Some(step) = node.get("steps").and_then(|steps| steps.get(&name.0)) else { continue };
            let shaping =
                ["group", "merge", "rename", "allow", "deny", "hidden"].iter().find_map(|name| step.entry(name));
            if let (Some(shaping), Some(whole)) = (shaping, node.entry("answer").or(node.entry("query"))) {
                self.both(whole.name_at, &whole.name, shaping.name_at, &shaping.name);
            }
        }
        if let (Some(answer), Some(query)) = (node.entry("answer"), node.entry("query")) {
            self.both(answer.name_at, "answer", query.name_at, "query");
        }
        if let Some(query) = &written.query {
            self.all.features.insert("queries");
            return Query::parse(&query.0).ok().map(Answer::Query);
        }
        let Some(answer) = node.get("answer") else {
            return Some(Answer::Members(self.members_of_steps(written, node)));
        };
        let blueprint = self.blueprint(answer, paths, STEP)?;
        let Blueprint::Object(members) = blueprint else {
            self.blueprint_uses(&blueprint, answer.at, graph, &mut Vec::new());
            return Some(Answer::Value(blueprint));
        };
        let mut all = Vec::new();
        for (name, value) in members {
            let mut needs = Vec::new();
            let at = answer.get(&name).map_or(answer.at, |node| node.at);
            self.blueprint_uses(&value, at, graph, &mut needs);
            needs.sort_unstable();
            needs.dedup();
            all.push(Member { name, part: Part::Template(value), needs });
        }
        Some(Answer::Members(all))
    }

    /// A member for each step.
    fn members_of_steps(&mut self, written: &written::Compose, node: &Node) -> Vec<Member> {
        let mut members: Vec<Member> = Vec::new();
        for (at, (name, step)) in (0..).zip(&written.steps.0) {
            let Some(node) = node.get("steps").and_then(|steps| steps.get(&name.0)) else { continue };
            if step.hidden.unwrap_or(false) {
                if let Some(entry) =
                    ["group", "merge", "rename", "allow", "deny"].iter().find_map(|name| node.entry(name))
                {
                    let hidden = node.entry("hidden").map_or(node.at, |entry| entry.name_at);
                    self.both(hidden, "hidden", entry.name_at, &entry.name);
                }
                continue;
            }
            let paths = |paths: &Option<written::OneOrMany<written::JsonPath>>| {
                let paths = paths.as_ref()?;
                Some(paths.0.iter().filter_map(|path| Path::parse(&path.0)).collect::<Vec<_>>())
            };
            let mut edits = Vec::new();
            edits.extend(paths(&step.allow).map(Edit::Pick));
            edits.extend(paths(&step.deny).map(Edit::Remove));
            if let Some(renames) = &step.rename {
                let renames = renames.0.iter().filter_map(|(path, name)| Some((Path::parse(&path.0)?, name.clone())));
                edits.push(Edit::Rename(renames.collect()));
            }
            let merge = step.merge.unwrap_or(false);
            if let (true, Some(merge), Some(group)) = (merge, node.entry("merge"), node.entry("group")) {
                self.both(merge.name_at, "merge", group.name_at, "group");
            }
            if let (true, true, Some(entry)) = (merge, written.stream.is_some(), node.entry("merge")) {
                let message = "what becomes of members of one name is known only when all are there";
                let problem = Problem::error("not-streamable", entry.name_at, message);
                self.all.problems.push(problem.help("name the member with `group`, or remove `stream`"));
            }
            let member = step.group.as_ref().unwrap_or(&name.0).clone();
            if let Some(entry) = node.entry("group")
                && members.iter().any(|known| known.name == member)
            {
                let message = format!("another member of the answer is called `{member}`");
                self.all
                    .problems
                    .push(Problem::error("duplicate-key", entry.value.at, message).help("call it otherwise"));
            }
            let part = if merge { Part::Merge(at, edits) } else { Part::Step(at, edits) };
            members.push(Member { name: member, part, needs: vec![at] });
        }
        members
    }

    /// Where failures are told of, and whether there is room for that.
    fn tells_errors(&mut self, written: &written::Compose, node: &Node, answer: &Answer) {
        let telling = written.steps.0.iter().find_map(|(name, step)| {
            matches!(step.on_error, Some(written::OnError::Errors)).then_some(name.0.as_str())
        });
        let at = |name: &str| node.place([Field("steps"), Field(name), Field("on_error")]);
        let reserved: &[&str] = match (&written.stream, telling) {
            (Some(_), _) => &RESERVED,
            (None, Some(_)) => &RESERVED[..1],
            (None, None) => &[],
        };
        match answer {
            Answer::Members(members) => {
                let Some(member) = members.iter().find(|member| reserved.contains(&member.name.as_str())) else {
                    return;
                };
                let entry = node.get("answer").and_then(|answer| answer.entry(&member.name));
                let entry = entry.or_else(|| node.get("steps").and_then(|steps| steps.entry(&member.name)));
                let place = entry.map_or(node.at, |entry| entry.name_at);
                let message = format!("the member `{}` is the gateway's own here", member.name);
                self.all.problems.push(Problem::error("reserved-name", place, message).help("call it otherwise"));
            }
            Answer::Value(_) | Answer::Query(_) => {
                let Some(name) = telling else { return };
                let message = "this answer is no object of members, so there is no place for `errors`";
                let problem = Problem::error("conflicting-fields", at(name), message);
                self.all.problems.push(problem.help("make `answer` an object, or write another `on_error`"));
            }
        }
    }

    /// A literal status must be one.
    fn is_status(&mut self, template: &Template, at: Span) {
        let Some(text) = template.as_literal() else { return };
        if !text.parse::<u16>().is_ok_and(|status| (200..=599).contains(&status)) {
            let problem = Problem::error("bad-status", at, format!("`{text}` is no status of an answer"));
            self.all.problems.push(problem.help("write 200 to 599, or a template such as `{steps.user.status}`"));
        }
    }

    /// Steps that need each other would wait for ever.
    fn has_cycle(&mut self, steps: &[Step], node: &Node) {
        // What can be over, in rounds; what is left needs itself in the end.
        let mut over = vec![false; steps.len()];
        while let Some(at) = (0..steps.len())
            .find(|at| !over[*at] && steps[*at].needs.iter().all(|needed| over.get(*needed as usize) == Some(&true)))
        {
            over[at] = true;
        }
        let Some(mut at) = over.iter().position(|over| !over) else { return };
        let mut way: Vec<usize> = Vec::new();
        while !way.contains(&at) {
            way.push(at);
            let next =
                steps[at].needs.iter().map(|needed| *needed as usize).find(|needed| over.get(*needed) == Some(&false));
            let Some(next) = next else { return };
            at = next;
        }
        let circle = &way[way.iter().position(|known| *known == at).unwrap_or(0)..];
        let name = |at: &usize| steps.get(*at).map_or("", |step| step.name.as_str());
        let (Some(first), Some(place)) = (circle.first(), node.entry(name(circle.first().unwrap_or(&0)))) else {
            return;
        };
        let message = match circle {
            [_] => format!("the step `{}` needs itself", name(first)),
            circle => {
                let rest: Vec<String> =
                    circle.iter().skip(1).chain([first]).map(|at| format!("needs `{}`", name(at))).collect();
                format!("the step `{}` {}", name(first), rest.join(", which "))
            }
        };
        let problem = Problem::error("step-cycle", place.name_at, message);
        self.all.problems.push(problem.help("none of them could ever begin: take one of the references away"));
    }

    /// A step that nobody looks at, and that does nothing, is hardly what was meant.
    fn is_used(&mut self, steps: &[Step], answer: &Answer, used: &[u32], written: &written::Compose, node: &Node) {
        for (at, step) in (0..).zip(steps) {
            let by_answer = match answer {
                Answer::Members(members) => members.iter().any(|member| member.needs.contains(&at)),
                Answer::Value(blueprint) => mentions(blueprint, &step.name),
                Answer::Query(_) => true,
            };
            let is_needed = by_answer || used.contains(&at) || steps.iter().any(|other| other.needs.contains(&at));
            if is_needed || !is_safe(&step.method) || written.steps.0.len() != steps.len() {
                continue;
            }
            let Some(entry) = node.entry(&step.name) else { continue };
            let message = format!("nobody looks at what the step `{}` answers", step.name);
            let problem = Problem::warning("unused-step", entry.name_at, message);
            self.warn(problem.help("say it in the answer or in another step, or remove it"));
        }
    }

    /// Policies that need the whole of a body cannot wait for one that is made while it is sent.
    pub(super) fn can_stream(&mut self, action: Option<&Action>, policies: &[Policy]) {
        let Some(Action::Compose(compose)) = action else { return };
        let reads = |policy: &Policy| match policy {
            Policy::Cache(_) | Policy::Idempotency(_) => true,
            Policy::Transform(transform) => transform.response.body.as_ref().is_some_and(crate::shape::Rules::is_whole),
            Policy::Links(links) => links.body.is_some(),
            Policy::OpenApi(openapi) => openapi.responses.is_some(),
            _ => false,
        };
        let Some(policy) = policies.iter().find(|policy| reads(policy)).filter(|_| compose.stream.is_some()) else {
            return;
        };
        let at = self.at([Field("compose"), Field("stream")]);
        let message = format!("the policy `{}` needs the whole answer before it is sent", policy.kind());
        let problem = Problem::error("stream-is-read", at, message);
        self.all.problems.push(problem.help("remove `stream`, or the policy"));
    }

    pub(super) fn batch(&mut self, written: &written::Batch) -> Action {
        self.all.features.extend(["compose", "validation", "regex", "shaping"]);
        let Some(node) = self.defined.node.get("batch") else { return Action::Batch(Box::new(unsaid())) };
        let inherit = match &written.inherit {
            None => vec!["authorization".to_owned()],
            Some(names) => self.header_names(Some(names), node, "inherit"),
        };
        for (index, name) in inherit.iter().enumerate() {
            self.changeable(name, node.place([Field("inherit"), Item(index)]), Direction::Request);
        }
        let unsaid = unsaid();
        Action::Batch(Box::new(Batch {
            most: written.at_most.unwrap_or(unsaid.most),
            parallel: written.parallel.unwrap_or(unsaid.parallel),
            limit: written.limit.map_or(unsaid.limit, |size| size.bytes),
            answer: written.answer_limit.map_or(unsaid.answer, |size| size.bytes),
            timeout: written.timeout.map_or(unsaid.timeout, |timeout| timeout.milliseconds),
            inherit,
        }))
    }
}

/// The fields of the request on which an answer depends: those that go on with a step, and those that templates and conditions ask for.
fn varies(compose: &Compose) -> Vec<String> {
    let mut fields: Vec<String> = compose.steps.iter().flat_map(|step| step.forward_headers.clone()).collect();
    let pieces = templates(compose).into_iter().flat_map(Template::pieces).map(Piece::base);
    fields.extend(pieces.filter_map(|piece| match piece {
        Piece::Member(Collection::RequestHeaders, name) => Some(name.clone()),
        Piece::Member(Collection::RequestCookies, _) => Some("cookie".to_owned()),
        _ => None,
    }));
    for when in compose.steps.iter().filter_map(|step| step.when.as_ref()) {
        if when.asks_for(|asked| asked == Variable::Cookies) {
            fields.push("cookie".to_owned());
        }
        if when.asks_for(|asked| asked == Variable::Headers) {
            match when.members_of(Variable::Headers) {
                Some(names) => fields.extend(names.into_iter().map(str::to_ascii_lowercase)),
                // It may be any.
                None => fields.push("*".to_owned()),
            }
        }
    }
    fields.sort();
    fields.dedup();
    fields
}

/// All templates of a composition.
pub(super) fn templates(compose: &Compose) -> Vec<&Template> {
    let mut all = vec![&compose.status];
    all.extend(compose.headers.iter().map(|(_, value)| value));
    match &compose.answer {
        Answer::Members(members) => {
            for member in members {
                match &member.part {
                    Part::Step(_, edits) | Part::Merge(_, edits) => all.extend(edits.iter().flat_map(Edit::templates)),
                    Part::Template(blueprint) => all.extend(blueprint.templates()),
                }
            }
        }
        Answer::Value(blueprint) => all.extend(blueprint.templates()),
        Answer::Query(_) => {}
    }
    for step in &compose.steps {
        all.push(&step.path);
        all.extend(step.query.iter().chain(&step.headers).map(|(_, value)| value));
        all.extend(step.body.iter().flat_map(Blueprint::templates));
        if let OnError::Default(blueprint) = &step.on_error {
            all.extend(blueprint.templates());
        }
    }
    all
}

/// What is known of the graph while its steps are read.
struct Graph<'n> {
    names: &'n [&'n str],
    uses_body: bool,
}

fn unsaid() -> Batch {
    Batch { most: 20, parallel: 6, limit: 1 << 20, answer: 1 << 20, timeout: 60_000, inherit: Vec::new() }
}

fn mentions(blueprint: &Blueprint, step: &str) -> bool {
    match blueprint {
        Blueprint::Raw(_) => false,
        Blueprint::Text(template) => template.has(|piece| {
            matches!(piece, Piece::Document(path)
                if path.root() == STEPS && path.steps().get(1) == Some(&PathStep::Name(step.to_owned())))
        }),
        Blueprint::List(items) => items.iter().any(|item| mentions(item, step)),
        Blueprint::Object(members) => members.iter().any(|(_, value)| mentions(value, step)),
    }
}

/// How many calls a composition makes at most, and how many of them at once, as far as its graph lets them.
pub(in crate::config) fn calls(compose: &Compose, attempts: impl Fn(u32) -> u32) -> (u32, u32) {
    let all = compose.steps.iter().map(|step| {
        let times = 1 + step.retries.as_ref().map_or(0, |rules| rules.attempts);
        step.most_calls().saturating_mul(times).saturating_mul(attempts(step.forward.upstream))
    });
    let all = all.fold(0_u32, u32::saturating_add);
    let depths = compose.depths();
    let widest = (1..=compose.steps.len()).map(|depth| {
        let steps = compose.steps.iter().zip(&depths).filter(|(_, known)| **known == depth);
        steps.map(|(step, _)| step.most_calls()).fold(0_u32, u32::saturating_add)
    });
    (all, widest.max().unwrap_or(0).min(compose.parallel))
}

/// What Workers let one request do.
pub(in crate::config) const MOST: u32 = MOST_CALLS;
