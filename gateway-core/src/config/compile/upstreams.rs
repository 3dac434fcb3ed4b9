//! Upstreams: targets, rules, and rules that contradict each other.

use super::super::{
    load::Defined,
    node::{
        Node,
        Step::{Field, Item},
    },
    problem::{Problem, Span},
    suggest::closest,
    written,
};
use super::{Compile, RouteCompiler, host_header, list_some, parameters, policies::NameOf, show_duration};
use crate::{
    answer::Respond,
    route::Matcher,
    template::{Piece, Template, Variable},
    upstream::{
        Balance, BreakerRules, BudgetRules, CanaryRules, FAILURES, Fallback, HealthRules, Hedge, Instead, Key, Near,
        RetryRules, Rules, Sign, StickyRules, Target, TargetRule, Timeouts, Trouble, Upstream, is_safe,
    },
};

/// Bodies of up to so many bytes are kept where nothing else is said.
const KEPT: u64 = 64 << 10;

impl Compile<'_> {
    /// Every upstream, in the order of the files; the first of each name counts.
    pub(super) fn all_upstreams(&mut self) -> Vec<Upstream> {
        let loaded = self.loaded;
        let mut all: Vec<&Defined<written::Upstream>> = Vec::new();
        for defined in &loaded.upstreams {
            if !all.iter().any(|known| known.name == defined.name) {
                all.push(defined);
            }
        }
        let names: Vec<&str> = all.iter().map(|defined| defined.name.as_str()).collect();
        let mut upstreams = Vec::new();
        for (place, defined) in (0..).zip(&all) {
            let upstream = self.upstream(defined, &names);
            self.upstreams.insert(&defined.name, (place, upstream.timeouts));
            upstreams.push(upstream);
        }
        upstreams
    }

    fn upstream(&mut self, defined: &Defined<written::Upstream>, names: &[&str]) -> Upstream {
        let mut targets = Vec::new();
        for (index, target) in defined.written.targets.iter().enumerate() {
            let at = defined.node.place([Field("targets"), Item(index), Field("url")]);
            let url = match (&target.url, &target.binding) {
                (Some(url), _) => url.0.clone(),
                // RFC 2606 §2: nobody ever resolves it. It is what the target sees.
                (None, Some(binding)) => format!("http://{}.invalid", binding.0.to_ascii_lowercase().replace('_', "-")),
                (None, None) => {
                    if let Some(node) = defined.node.reach([Field("targets"), Item(index)]).filter(|node| !node.damaged)
                    {
                        let problem = Problem::error("missing-field", node.head(), "this target is nowhere");
                        self.problems
                            .push(problem.help("write its `url`, or on Workers the `binding` that leads to it"));
                    }
                    continue;
                }
            };
            let Some(template) = self.template(&url, at) else { continue };
            // With references in it, the gateway itself must check the address when it knows their values.
            if let Some(url) = template.as_literal()
                && let Err(message) = Target::parse(url)
            {
                self.problems.push(Problem::error("bad-url", at, message));
            }
            targets.push(target_rule(target, template));
        }
        let (written, node) = (&defined.written, &defined.node);
        self.targets_together(&targets, node);
        let timeouts = self.timeouts(Timeouts::default(), written.timeouts.as_ref(), node.get("timeouts"));
        let host = written.host.as_ref().map(host_header).unwrap_or_default();
        let credentials = self.credentials(defined, &host);
        let is_named = targets.iter().any(|target| target.name.is_some());
        let rules = (targets.len() > 1 || is_named || has_rules(node)).then(|| {
            if targets.len() == 1 {
                self.needs_several(node);
            }
            Box::new(self.rules(defined, &targets, timeouts, names))
        });
        Upstream { name: defined.name.clone(), targets, timeouts, host, credentials, rules }
    }

    fn targets_together(&mut self, targets: &[TargetRule], node: &Node) {
        let at = node.place([Field("targets")]);
        if !targets.is_empty() && targets.iter().all(|target| target.weight == 0) {
            let problem = Problem::error("no-weight", at, "every target has the weight 0, so none gets a request");
            self.problems.push(problem.help("give at least one a weight of 1"));
        }
        let mut priorities: Vec<u32> = targets.iter().map(|target| target.priority).collect();
        priorities.sort_unstable();
        let next = |known: u32| priorities.iter().copied().find(|priority| *priority > known);
        let gap = std::iter::once(None).chain(priorities.iter().copied().map(Some)).find_map(|known| {
            let (expected, found) = match known {
                None => (0, *priorities.first()?),
                Some(known) => (known + 1, next(known)?),
            };
            (found > expected).then_some((expected, found))
        });
        if let Some((expected, found)) = gap {
            let index = targets.iter().position(|target| target.priority == found).unwrap_or_default();
            let at = node.place([Field("targets"), Item(index), Field("priority")]);
            let message = format!("no target has the priority {expected}, but one has {found}");
            self.problems.push(Problem::warning("priority-gap", at, message).help(format!("write `{expected}`")));
        }
        for (index, target) in targets.iter().enumerate() {
            let Some(name) = &target.name else { continue };
            if let Some(first) = targets[..index].iter().position(|known| known.name.as_ref() == Some(name)) {
                let at = node.place([Field("targets"), Item(index), Field("name")]);
                let problem =
                    Problem::error("duplicate-name", at, format!("there is already a target called `{name}`"));
                let first = node.place([Field("targets"), Item(first), Field("name")]);
                self.problems.push(problem.related(first, "the first is here"));
            }
        }
    }

    fn needs_several(&mut self, node: &Node) {
        for field in ["balance", "slow_start", "health", "hedge", "sticky", "canary"] {
            if let Some(entry) = node.entry(field) {
                let message = format!("`{field}` is about several targets, and this upstream has one");
                self.problems
                    .push(Problem::warning("one-target", entry.name_at, message).help("add a target, or remove it"));
            }
        }
    }

    fn rules(
        &mut self,
        defined: &Defined<written::Upstream>,
        targets: &[TargetRule],
        timeouts: Timeouts,
        names: &[&str],
    ) -> Rules {
        let (written, node) = (&defined.written, &defined.node);
        let at = |field: &str| node.get(field).unwrap_or(node);
        let mut rules = Rules::unsaid(targets.len());
        (rules.balance, rules.keys) = match &written.balance {
            None | Some(written::Balance::RoundRobin) => (Balance::RoundRobin, Vec::new()),
            Some(written::Balance::Random) => (Balance::Random, Vec::new()),
            Some(written::Balance::LeastRequests) => (Balance::LeastRequests, Vec::new()),
            Some(written::Balance::Latency) => (Balance::Latency, Vec::new()),
            Some(written::Balance::Hash(hash)) => {
                (Balance::Hash { bound: hash.bound.unwrap_or(125) }, hash.on.0.iter().map(key).collect())
            }
        };
        rules.slow_start = written.slow_start.map_or(0, |time| time.milliseconds);
        rules.failures = statuses(written.failure_statuses.as_ref(), &FAILURES);
        rules.health = match &written.health {
            Some(health) => self.health(health, targets, at("health")),
            None => HealthRules::default(),
        };
        rules.breaker = written.breaker.as_ref().map(|breaker| self.breaker(breaker, at("breaker")));
        if let Some(retries) = &written.retries {
            rules.retries = self.retries(retries, at("retries"));
        }
        rules.hedge = written.hedge.map(|hedge| match hedge {
            written::Hedge::After(time) => Hedge::After(time.milliseconds),
            written::Hedge::Percentile(percent) => Hedge::Percentile(percent.0),
        });
        if let Some(Hedge::After(after)) = rules.hedge
            && after >= timeouts.attempt.min(timeouts.total)
        {
            let time = show_duration(timeouts.attempt.min(timeouts.total));
            let message = format!("after {time} an attempt is over, so there is never one beside it");
            self.problems.push(Problem::warning("hedge-never", at("hedge").at, message).help("write a shorter time"));
        }
        rules.sticky = written.sticky.as_ref().and_then(|sticky| self.sticky(sticky, at("sticky")));
        rules.canary = written.canary.as_ref().map(|canary| self.canary(canary, targets, at("canary")));
        rules.fallback =
            written.fallback.as_ref().and_then(|fallback| self.fallback(fallback, defined, at("fallback"), names));
        if written.retries.is_none() && rules.fallback.as_ref().is_some_and(Fallback::is_upstream) {
            rules.retries.body = KEPT;
        }
        rules.deadline = written.deadline_header.as_ref().map(|name| name.0.to_ascii_lowercase());
        rules.proxy_status = written.proxy_status.unwrap_or(false);
        rules
    }

    fn health(&mut self, written: &written::Health, targets: &[TargetRule], node: &Node) -> HealthRules {
        let default = HealthRules::default();
        let time = |time: Option<written::Duration>, default| time.map_or(default, |time| time.milliseconds);
        let rules = HealthRules {
            consecutive_failures: written.consecutive_failures.unwrap_or(default.consecutive_failures),
            failure_rate: written.failure_rate,
            minimum_requests: written.minimum_requests.unwrap_or(default.minimum_requests),
            window: time(written.window, default.window),
            ejection: time(written.ejection, default.ejection),
            longest_ejection: time(written.longest_ejection, default.longest_ejection.max(time(written.ejection, 0))),
            max_ejected: written.max_ejected.unwrap_or(default.max_ejected),
            panic: written.panic.unwrap_or(default.panic),
            check: written.check.as_ref().zip(node.get("check")).and_then(|(check, at)| self.check(check, targets, at)),
        };
        if rules.longest_ejection < rules.ejection {
            self.shorter(node, "longest_ejection", rules.longest_ejection, "ejection", rules.ejection);
        }
        if rules.failure_rate.is_none() {
            self.needs(node, &["minimum_requests", "window"], "failure_rate");
        }
        rules
    }

    fn breaker(&mut self, written: &written::Breaker, node: &Node) -> BreakerRules {
        let given = written.failure_rate.or(written.consecutive_failures).or(written.slow_rate).is_some();
        let failure_rate = if given { written.failure_rate } else { Some(50) };
        match (written.slow_rate, written.slow_after) {
            (Some(_), None) => {
                let at = node.entry("slow_rate").map_or(node.at, |entry| entry.name_at);
                let problem = Problem::error("incomplete-rule", at, "`slow_rate` does not know what is slow");
                self.problems.push(problem.help("add `slow_after`, such as `2s`"));
            }
            (None, Some(_)) => self.needs(node, &["slow_after"], "slow_rate"),
            (Some(_), Some(_)) | (None, None) => {}
        }
        if failure_rate.is_none() && written.slow_rate.is_none() {
            self.needs(node, &["minimum_requests", "window"], "failure_rate");
        }
        BreakerRules {
            failure_rate,
            consecutive_failures: written.consecutive_failures,
            slow_rate: written.slow_rate,
            slow_after: written.slow_after.map_or(u64::MAX, |time| time.milliseconds),
            minimum_requests: written.minimum_requests.unwrap_or(20),
            window: written.window.map_or(10_000, |time| time.milliseconds),
            open_for: written.open_for.map_or(30_000, |time| time.milliseconds),
            probes: written.probes.unwrap_or(3),
        }
    }

    pub(super) fn retries(&mut self, written: &written::Retries, node: &Node) -> RetryRules {
        let trouble = |trouble: &written::Trouble| match trouble {
            written::Trouble::Unreachable => Trouble::Unreachable,
            written::Trouble::Reset => Trouble::Reset,
            written::Trouble::Timeout => Trouble::Timeout,
        };
        let budget = written.budget.unwrap_or_default();
        let default = BudgetRules::default();
        let rules = RetryRules {
            attempts: written.attempts.unwrap_or(2),
            on: match &written.on {
                Some(on) => on.0.iter().map(trouble).collect(),
                None => vec![Trouble::Unreachable, Trouble::Reset, Trouble::Timeout],
            },
            statuses: statuses(written.statuses.as_ref(), &[502, 503, 504]),
            unsafe_methods: written.unsafe_methods.unwrap_or(false),
            pause: written.pause.map_or(25, |time| time.milliseconds),
            longest_pause: match (written.longest_pause, written.pause) {
                (Some(time), _) => time.milliseconds,
                (None, pause) => pause.map_or(250, |time| time.milliseconds.max(250)),
            },
            body: written.body.map_or(KEPT, |size| size.bytes),
            budget: BudgetRules {
                percent: budget.percent.unwrap_or(default.percent),
                at_least: budget.at_least.unwrap_or(default.at_least),
            },
        };
        if rules.longest_pause < rules.pause {
            self.shorter(node, "longest_pause", rules.longest_pause, "pause", rules.pause);
        }
        if rules.attempts > 0 && rules.budget.percent == 0 && rules.budget.at_least == 0 {
            let at = node.place([Field("budget")]);
            let problem = Problem::error("conflicting-fields", at, "the budget has room for no attempt at all");
            self.problems.push(problem.help("raise it, or write `attempts: 0`"));
        }
        rules
    }

    fn sticky(&mut self, written: &written::Sticky, node: &Node) -> Option<StickyRules> {
        let at = node.place([Field("secret")]);
        let secret = self.template(&written.secret.0, at)?;
        let is_reference = secret.pieces().iter().any(|piece| matches!(piece, Piece::Reference(_)));
        let varies = secret.pieces().iter().any(|piece| !matches!(piece, Piece::Text(_) | Piece::Reference(_)));
        // `${test:…}` is a text that says of itself that it opens nothing.
        let is_test = written.secret.0.contains("${test:");
        if varies || !(is_reference || is_test) {
            let message = "what signs the cookies must be a secret of the platform's";
            let problem = Problem::error("sticky-secret", at, message);
            self.problems.push(problem.help("write `${secret:STICKY_SECRET}`, and give it to the platform"));
            return None;
        }
        Some(StickyRules {
            cookie: written.cookie.as_ref().map_or("postern-target", |cookie| &cookie.0).to_owned(),
            secret,
            max_age: written.max_age.map(|time| time.milliseconds.div_ceil(1_000)),
        })
    }

    fn canary(&mut self, written: &written::Canary, targets: &[TargetRule], node: &Node) -> CanaryRules {
        let names: Vec<&str> = targets.iter().filter_map(|target| target.name.as_deref()).collect();
        let mut places = Vec::new();
        for (index, name) in written.targets.0.iter().enumerate() {
            let at = node.place([Field("targets"), Item(index)]);
            match targets.iter().position(|target| target.name.as_deref() == Some(&name.0)) {
                Some(place) => places.extend(u32::try_from(place)),
                None => {
                    let problem = Problem::error("unknown-target", at, format!("no target is called `{}`", name.0));
                    self.problems.push(match closest(&name.0, names.iter().copied()) {
                        Some(meant) => problem.help(format!("did you mean `{meant}`?")),
                        None if names.is_empty() => problem.help(format!("write `name: {}` beside its `url`", name.0)),
                        None => problem.help(format!("there are {}", list_some(&names))),
                    });
                }
            }
        }
        if places.len() == targets.len() && targets.len() > 1 {
            let at = node.place([Field("targets")]);
            let problem = Problem::error("bad-canary", at, "every target runs the release, so there is no other side");
            self.problems.push(problem.help("name only those that are new"));
        }
        let share = written.percent.map_or(0, |share| share.of_ten_thousand);
        if share == 0 && written.always.is_none() && !node.damaged {
            let problem = Problem::error("bad-canary", node.head(), "nobody ever sees the release");
            self.problems.push(problem.help("write `percent`, or who sees it in `always`"));
        }
        CanaryRules {
            targets: places,
            share,
            by: match &written.by {
                Some(keys) => keys.0.iter().map(key).collect(),
                None => vec![Key::Consumer, Key::ClientAddress],
            },
            always: self.signs(written.always.as_ref(), node.get("always")),
            never: self.signs(written.never.as_ref(), node.get("never")),
        }
    }

    fn signs(&mut self, written: Option<&written::OneOrMany<written::Sign>>, node: Option<&Node>) -> Vec<Sign> {
        let (Some(written), Some(node)) = (written, node) else { return Vec::new() };
        let mut signs = Vec::new();
        for (index, sign) in written.0.iter().enumerate() {
            signs.push(match sign {
                written::Sign::Header(header) => Sign::Header(header.name.0.to_ascii_lowercase(), header.value.clone()),
                written::Sign::Cookie(cookie) => Sign::Cookie(cookie.name.0.clone(), cookie.value.clone()),
                written::Sign::Group(group) => {
                    if !self.named_elsewhere(NameOf::Group) && !self.known.groups.contains(group.0.as_str()) {
                        let at = node.place([Item(index), Field("group")]);
                        let message = format!("no consumer belongs to a group called `{}`", group.0);
                        let problem = Problem::error("unknown-group", at, message);
                        let meant = closest(&group.0, self.known.groups.iter().copied());
                        let help = meant.map_or("name it in the `groups` of a consumer".to_owned(), |meant| {
                            format!("did you mean `{meant}`?")
                        });
                        self.problems.push(problem.help(help));
                    }
                    Sign::Group(group.0.clone())
                }
            });
        }
        signs
    }

    fn fallback(
        &mut self,
        written: &written::Fallback,
        defined: &Defined<written::Upstream>,
        node: &Node,
        names: &[&str],
    ) -> Option<Fallback> {
        let instead = match (&written.upstream, &written.respond) {
            (Some(name), None) => {
                let at = node.place([Field("upstream")]);
                if name.0 == defined.name {
                    let problem = Problem::error("bad-fallback", at, "an upstream cannot stand in for itself");
                    self.problems.push(problem.help("name another one; `retries` ask the same one again"));
                    return None;
                }
                match names.iter().position(|known| *known == name.0) {
                    Some(place) => Instead::Upstream(u32::try_from(place).unwrap_or(u32::MAX)),
                    None => {
                        self.no_fallback(&name.0, at);
                        return None;
                    }
                }
            }
            (None, Some(respond)) => Instead::Respond(self.fixed(respond, node.get("respond")?)?),
            (Some(_), Some(_)) | (None, None) => {
                if !node.damaged {
                    let problem = Problem::error("bad-fallback", node.head(), "what takes the place of a failure?");
                    self.problems.push(problem.help("write one of `upstream` and `respond`"));
                }
                return None;
            }
        };
        Some(Fallback { statuses: statuses(written.statuses.as_ref(), &[]), instead })
    }

    fn no_fallback(&mut self, name: &str, at: Span) {
        let declared = self.loaded.declared_upstreams();
        if self.loaded.incomplete || declared.contains(&name) {
            return;
        }
        let problem = Problem::error("unknown-upstream", at, format!("there is no upstream called `{name}`"));
        let meant = closest(name, declared.iter().copied());
        self.problems.push(problem.maybe_help(meant.map(|meant| format!("did you mean `{meant}`?"))));
    }

    /// An answer that belongs to no route, so that it knows no parameters of a path.
    fn fixed(&mut self, written: &written::Respond, node: &Node) -> Option<Respond> {
        let mut headers = Vec::new();
        for (name, values) in written.headers.iter().flat_map(|headers| &headers.0) {
            for (index, value) in values.0.iter().enumerate() {
                let at = node.place([Field("headers"), Field(&name.0), Item(index)]);
                if matches!(name.0.to_ascii_lowercase().as_str(), "content-length" | "transfer-encoding" | "connection")
                {
                    let message = format!("the header `{}` cannot be changed", name.0);
                    self.problems.push(Problem::error("forbidden-header", at, message).help("the platform writes it"));
                }
                headers.push((name.0.to_ascii_lowercase(), self.without_path(&value.0, at)?));
            }
        }
        let status = written.status.unwrap_or(200);
        let body = match &written.body {
            Some(body) => Some(self.without_path(&body.0, node.place([Field("body")]))?),
            None => None,
        };
        if matches!(status, 204 | 205 | 304) && body.is_some() {
            let message = format!("an answer with the status {status} has no body");
            let problem = Problem::error("body-not-allowed", node.place([Field("body")]), message);
            self.problems.push(problem.help("remove the body, or answer with 200"));
        }
        Some(Respond { status, headers, body })
    }

    fn without_path(&mut self, text: &str, at: Span) -> Option<Template> {
        let template = self.template(text, at)?;
        let parameter = template.pieces().iter().find_map(|piece| match piece.base() {
            Piece::Parameter(name) => Some(name.clone()),
            // What is only seen on the way back, and what would have to be kept for this alone.
            Piece::Member(..) | Piece::Document(_) | Piece::Variable(Variable::Status) => {
                Some(piece.base().to_string())
            }
            Piece::Variable(variable) if variable.is_of_graphql() => Some(piece.base().to_string()),
            _ => None,
        });
        let Some(name) = parameter else { return Some(template) };
        let message = format!("an upstream belongs to no route, so there is no parameter `{name}`");
        self.problems.push(Problem::error("unknown-parameter", self.part(at, &format!("{{{name}}}")), message));
        None
    }

    fn shorter(&mut self, node: &Node, longest: &str, longest_is: u64, first: &str, first_is: u64) {
        let at = node.entry(longest).map_or(node.at, |entry| entry.value.at);
        let (longest_is, first_is) = (show_duration(longest_is), show_duration(first_is));
        let message = format!("`{longest}` is {longest_is}, which is shorter than `{first}` with {first_is}");
        self.problems.push(Problem::error("conflicting-fields", at, message).help(format!("write {first_is} or more")));
    }

    /// Fields that say nothing without another one.
    fn needs(&mut self, node: &Node, fields: &[&str], other: &str) {
        for entry in fields.iter().filter_map(|field| node.entry(field)) {
            let message = format!("`{}` says nothing without `{other}`", entry.name);
            let problem = Problem::error("incomplete-rule", entry.name_at, message);
            self.problems.push(problem.help(format!("add `{other}`, or remove it")));
        }
    }
}

impl RouteCompiler<'_, '_> {
    /// What the rules of an upstream look for must be what requests of this route have.
    pub(super) fn fits_upstream(&mut self, paths: &[Matcher]) {
        let written = &self.defined.written;
        let Some(name) = &written.upstream else { return };
        let at = self.at([Field("upstream")]);
        let Some(upstream) = self.all.loaded.upstreams.iter().find(|upstream| upstream.name == name.0) else { return };
        let methods: Vec<&str> =
            written.method.iter().flat_map(|methods| &methods.0).map(|method| method.0.as_str()).collect();
        let only_unsafe = !methods.is_empty() && !methods.iter().any(|method| is_safe(method));
        if let (Some(hedge), true) = (upstream.node.entry("hedge"), only_unsafe) {
            let message = format!("`{}` makes second attempts for safe methods only, and this route has none", name.0);
            let problem = Problem::warning("hedge-never", at, message);
            self.warn(problem.related(hedge.name_at, "it is here").help("forward to an upstream without `hedge`"));
        }
        let Some(written::Balance::Hash(hash)) = &upstream.written.balance else { return };
        let authenticates =
            written.policies.iter().flatten().any(|policy| matches!(policy, written::Policy::Authenticate(_)));
        let missing = |key: &written::RequestKey| match key {
            written::RequestKey::PathParameter(name) => {
                let lacks = paths.iter().any(|path| !parameters(path).contains(&name.as_str()));
                lacks.then(|| format!("the paths of this route have no parameter `{name}`"))
            }
            written::RequestKey::Consumer | written::RequestKey::Claim(_) => (!authenticates)
                .then(|| "this route has no `authenticate`, so nobody is known to be calling".to_owned()),
            written::RequestKey::ClientAddress
            | written::RequestKey::Header(_)
            | written::RequestKey::Cookie(_)
            | written::RequestKey::Query(_) => None,
        };
        // Where another key takes its place, it may well be missing.
        let all: Option<Vec<String>> = hash.on.0.iter().map(missing).collect();
        if let Some(why) = all.and_then(|all| all.into_iter().next()) {
            let node = upstream.node.place([Field("balance"), Field("hash"), Field("on")]);
            let message = format!("{why}, and `{}` picks targets by it", name.0);
            let problem = Problem::warning("missing-key", at, message).related(node, "it is here");
            self.warn(problem.help("targets are drawn by lot; add a second key such as `client_address`"));
        }
    }
}

/// Whether anything is said beyond one target and its timeouts.
fn has_rules(node: &Node) -> bool {
    let plain = ["targets", "timeouts", "host", "credentials"];
    node.entries().iter().any(|entry| !plain.contains(&entry.name.as_str()))
}

fn target_rule(written: &written::Target, url: Template) -> TargetRule {
    let near = written.prefer_for.as_ref();
    let countries = near.and_then(|near| near.country.as_ref()).into_iter().flat_map(|codes| &codes.0);
    let data_centres = near.and_then(|near| near.data_centre.as_ref()).into_iter().flat_map(|names| &names.0);
    TargetRule {
        url,
        binding: written.binding.as_ref().map(|binding| binding.0.clone()),
        name: written.name.as_ref().map(|name| name.0.clone()),
        weight: written.weight.unwrap_or(1),
        priority: written.priority.unwrap_or(0),
        near: Near {
            countries: countries.map(|code| code.0.clone()).collect(),
            data_centres: data_centres.map(|name| name.0.clone()).collect(),
        },
    }
}

fn key(written: &written::RequestKey) -> Key {
    match written {
        written::RequestKey::ClientAddress => Key::ClientAddress,
        written::RequestKey::Header(name) => Key::Header(name.0.to_ascii_lowercase()),
        written::RequestKey::Cookie(name) => Key::Cookie(name.0.clone()),
        written::RequestKey::Query(name) => Key::Query(name.clone()),
        written::RequestKey::PathParameter(name) => Key::PathParameter(name.clone()),
        written::RequestKey::Consumer => Key::Consumer,
        written::RequestKey::Claim(name) => Key::Claim(name.clone()),
    }
}

fn statuses(written: Option<&written::OneOrMany<written::Status>>, default: &[u16]) -> Vec<u16> {
    match written {
        Some(statuses) => statuses.0.iter().map(|status| status.0).collect(),
        None => default.to_vec(),
    }
}
