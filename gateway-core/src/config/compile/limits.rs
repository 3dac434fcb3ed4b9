//! Limits: from what was written to what runs.

use super::super::{
    node::{
        Node,
        Step::{Field, Item},
    },
    problem::{Problem, Span},
    written,
};
use super::{Compile, RouteCompiler, consumers::listed_twice, policies::NameOf};
use crate::{
    policy::limit::{
        Dialect, Exempt, KeyPart, Limit, Missing, Named, Scope,
        cost::{Cost, Place},
    },
    quota::{
        Rule,
        calendar::Zone,
        rate::{Rate, Unit},
    },
    route::Matcher,
    template::{Piece, Template},
};

/// What a limit is made of besides its rates: what all four policies have, and what some have.
struct Common<'w> {
    kind: &'static str,
    shared: written::Shared<'w>,
    default_key: written::KeyPart,
    plans_from: Option<written::PlansFrom>,
    mode: Option<written::LimitMode>,
    lease: Option<written::Duration>,
    cost: Option<&'w written::Cost>,
    delay: Option<written::Duration>,
    binding: Option<&'w written::Name>,
}

impl<'w> Common<'w> {
    fn new(kind: &'static str, shared: written::Shared<'w>, default_key: written::KeyPart) -> Self {
        let (plans_from, mode, lease, cost, delay, binding) = (None, None, None, None, None, None);
        Self { kind, shared, default_key, plans_from, mode, lease, cost, delay, binding }
    }
}

/// For how long the store's word on a plan counts, in milliseconds.
const HOLD: u64 = 30_000;

impl Compile<'_> {
    /// The Redis that counts on Spin.
    pub(super) fn redis(&mut self) -> Option<Template> {
        let settings = &self.loaded.settings;
        let redis = &settings.written.counters.as_ref()?.spin.as_ref()?.redis;
        self.constant(&redis.0, settings.node.place([Field("counters"), Field("spin"), Field("redis")]))
    }
}

impl RouteCompiler<'_, '_> {
    pub(super) fn rate_limit(
        &mut self,
        written: &written::RateLimitPolicy,
        node: &Node,
        index: usize,
        paths: &[Matcher],
    ) -> Limit {
        let limits = self.rates(&written.limits, node.get("limits"));
        let plans = written.plans.iter().flat_map(|plans| &plans.0).map(|(name, limits)| {
            (name.0.clone(), self.rates(limits, node.get("plans").and_then(|plans| plans.get(&name.0))))
        });
        let plans: Vec<_> = plans.collect();
        let common = Common {
            plans_from: written.plans_from,
            mode: written.mode,
            lease: written.lease,
            cost: written.cost.as_ref(),
            delay: written.delay,
            binding: written.binding.as_ref(),
            ..Common::new("rate_limit", written.shared(), written::KeyPart::ClientAddress)
        };
        self.limit(&common, node, index, paths, limits, plans)
    }

    pub(super) fn quota(
        &mut self,
        written: &written::QuotaPolicy,
        node: &Node,
        index: usize,
        paths: &[Matcher],
    ) -> Limit {
        // The shape was checked before.
        let zone = written.zone.as_ref().and_then(|zone| super::super::format::zone(&zone.0).ok()).unwrap_or_default();
        let limits = self.periods(&written.limits, &zone, node.get("limits"));
        let plans = written.plans.iter().flat_map(|plans| &plans.0).map(|(name, limits)| {
            (name.0.clone(), self.periods(limits, &zone, node.get("plans").and_then(|plans| plans.get(&name.0))))
        });
        let plans: Vec<_> = plans.collect();
        let common = Common {
            plans_from: written.plans_from,
            mode: written.mode,
            lease: written.lease,
            cost: written.cost.as_ref(),
            ..Common::new("quota", written.shared(), written::KeyPart::Consumer)
        };
        self.limit(&common, node, index, paths, limits, plans)
    }

    pub(super) fn concurrency(
        &mut self,
        written: &written::ConcurrencyPolicy,
        node: &Node,
        index: usize,
        paths: &[Matcher],
    ) -> Limit {
        let hold = written.hold.map_or(60_000, |hold| hold.milliseconds);
        let leases = |limit| vec![Named { name: "concurrency".to_owned(), rule: Rule::Leases { limit, hold } }];
        let plans =
            written.plans.iter().flat_map(|plans| &plans.0).map(|(name, limit)| (name.0.clone(), leases(*limit)));
        let common = Common {
            plans_from: written.plans_from,
            ..Common::new("concurrency", written.shared(), written::KeyPart::ClientAddress)
        };
        self.limit(&common, node, index, paths, leases(written.limit), plans.collect())
    }

    pub(super) fn spike_arrest(
        &mut self,
        written: &written::SpikeArrestPolicy,
        node: &Node,
        index: usize,
        paths: &[Matcher],
    ) -> Limit {
        let rate = self.rate(&written.rate, node.place([Field("rate")]));
        let limits = rate.map(|(count, per, _)| {
            let burst = count.min(1);
            Named { name: "spike-arrest".to_owned(), rule: Rule::Bucket { rate: count, per, burst } }
        });
        let common = Common {
            delay: written.delay,
            ..Common::new("spike_arrest", written.shared(), written::KeyPart::Everybody)
        };
        self.limit(&common, node, index, paths, limits.into_iter().collect(), Vec::new())
    }

    fn limit(
        &mut self,
        common: &Common<'_>,
        node: &Node,
        index: usize,
        paths: &[Matcher],
        limits: Vec<Named>,
        plans: Vec<(String, Vec<Named>)>,
    ) -> Limit {
        for (name, _) in &plans {
            let at = node.get("plans").and_then(|plans| plans.entry(name)).map_or(node.at, |entry| entry.name_at);
            if common.plans_from.is_none() {
                self.known_name(name, NameOf::Group, at);
            }
        }
        let all = || limits.iter().chain(plans.iter().flat_map(|(_, limits)| limits)).map(|limit| &limit.rule);
        if let (Some(delay), true) = (node.entry("delay"), all().any(|rule| !matches!(rule, Rule::Bucket { .. }))) {
            let message = "only a token bucket knows whose turn is when, so only there requests can wait";
            let problem = Problem::error("conflicting-fields", delay.name_at, message);
            self.all.problems.push(problem.help("write `algorithm: token_bucket` for all limits, or remove `delay`"));
        }
        let scope = self.scope(common, node, &limits, all().map(span).min().unwrap_or(0));
        let cost = match common.cost {
            None => Cost::Fixed(1),
            Some(written::Cost::Fixed(cost)) => {
                if *cost == 0 {
                    let at = node.place([Field("cost")]);
                    let problem = Problem::error("bad-cost", at, "what costs nothing is not limited");
                    self.all.problems.push(problem.help("write 1 or more, or name in `exempt` who is not counted"));
                }
                Cost::Fixed(*cost)
            }
            Some(written::Cost::Named(written::NamedCost::Graphql)) => {
                self.needs_graphql("this cost", node.place([Field("cost")]), Some(index));
                Cost::Graphql
            }
            Some(written::Cost::Told(told)) => match told {
                written::ToldCost::Header(name) => Cost::Header(name.0.to_ascii_lowercase()),
                written::ToldCost::Query(name) => Cost::Query(name.clone()),
                written::ToldCost::Body(pointer) => Cost::Body(Place::new(&pointer.0)),
                written::ToldCost::ResponseHeader(name) => Cost::Response(name.0.to_ascii_lowercase()),
                written::ToldCost::ResponseBody(pointer) => Cost::ResponseBody(Place::new(&pointer.0)),
            },
        };
        let key = self.key_parts(common, node, paths);
        let exempt_node = node.get("exempt");
        let shared = common.shared;
        let exempt = shared.exempt.zip(exempt_node).map(|(exempt, node)| Exempt {
            addresses: self.all.ranges(exempt.addresses.as_ref(), node.get("addresses")),
            consumers: self.name_list(exempt.consumers.as_ref(), node, "consumers", NameOf::Consumer),
            groups: self.name_list(exempt.groups.as_ref(), node, "groups", NameOf::Group),
        });
        let dialects = match shared.headers {
            None => vec![Dialect::Ietf],
            Some(dialects) => dialects.0.iter().filter_map(dialect).collect(),
        };
        let limit = Limit {
            name: match shared.name {
                Some(name) => name.0.clone(),
                // Route names have no slash, so nobody else's limits are called so.
                None => format!("{}/{}/{index}", self.defined.written.name.0, common.kind),
            },
            key,
            missing: match shared.missing_key {
                None | Some(written::MissingKey::Together) => Missing::Together,
                Some(written::MissingKey::Skip) => Missing::Skip,
                Some(written::MissingKey::Refuse) => Missing::Refuse,
            },
            limits,
            plans,
            plans_from_store: common.plans_from.map(|written::PlansFrom::Store| HOLD),
            scope,
            cost,
            patience: common.delay.map_or(0, |delay| delay.milliseconds),
            exempt: exempt.unwrap_or_default(),
            dry_run: shared.dry_run.unwrap_or(false),
            opens_on_failure: shared.on_failure != Some(written::LimitFailure::Closed),
            dialects,
            status: shared.status.map_or(429, |status| status.0),
        };
        if shared.name.is_some() {
            self.counts_together(common.kind, &limit, node.place([Field("name")]));
        }
        limit
    }

    /// Policies of one name count together, which only those can that count the same.
    fn counts_together(&mut self, kind: &'static str, limit: &Limit, at: Span) {
        let place = |scope: &Scope| match scope {
            Scope::Instance => 0,
            Scope::Location | Scope::Binding(_) => 1,
            Scope::Global | Scope::Leased(_) => 2,
        };
        // What is counted elsewhere, or under another key, has nothing to do with it.
        let named = self.all.named_limits.iter().find(|(_, known, _)| {
            known.name == limit.name && known.key == limit.key && place(&known.scope) == place(&limit.scope)
        });
        let Some((known_kind, known, first)) = named else {
            self.all.named_limits.push((kind, limit.clone(), at));
            return;
        };
        let rules = |limit: &Limit| limit.limits.iter().map(|limit| limit.rule.with_limit(0)).collect::<Vec<_>>();
        if *known_kind == kind && rules(known) == rules(limit) {
            return;
        }
        let message = format!("policies called `{}` count together, and this one counts otherwise", limit.name);
        let problem = Problem::error("counts-otherwise", at, message).related(*first, "the first is here");
        self.all.problems.push(problem.help("give them the same times and algorithms, or another `name`"));
    }

    /// Who counts; the shortest time of the limits says how long tokens may be held.
    fn scope(&mut self, common: &Common<'_>, node: &Node, limits: &[Named], shortest: u64) -> Scope {
        if common.binding.is_some() {
            self.bound(common, node, limits);
        }
        let leased = common.mode == Some(written::LimitMode::Leased);
        let mut conflict = |field: &str, message: &str, help: &str| {
            if let Some(entry) = node.entry(field) {
                self.all.problems.push(Problem::error("conflicting-fields", entry.name_at, message).help(help));
            }
        };
        if !leased {
            conflict("lease", "nothing is leased here", "write `mode: leased`, or remove `lease`");
        }
        match common.shared.scope {
            Some(scope @ (written::LimitScope::Instance | written::LimitScope::Location)) => {
                let help = "write `scope: global`, or remove `mode`";
                conflict("mode", "`mode` says how a `global` limit is counted, and this one is not", help);
                match common.binding {
                    _ if scope == written::LimitScope::Instance => Scope::Instance,
                    Some(binding) => Scope::Binding(binding.0.clone()),
                    None => Scope::Location,
                }
            }
            None | Some(written::LimitScope::Global) if leased => {
                conflict("delay", "whoever leases tokens cannot say whose turn is when", "write `mode: exact`");
                Scope::Leased(common.lease.map_or((shortest / 10).clamp(250, 10_000), |lease| lease.milliseconds))
            }
            None | Some(written::LimitScope::Global) => Scope::Global,
        }
    }

    /// What a binding cannot do. It has one limit of its own, and says yes or no.
    fn bound(&mut self, common: &Common<'_>, node: &Node, limits: &[Named]) {
        let mut problem = |at: Span, message: &str, help: &str| {
            self.all.problems.push(Problem::error("conflicting-fields", at, message).help(help));
        };
        let binding = node.entry("binding").map_or(node.at, |entry| entry.name_at);
        if common.shared.scope != Some(written::LimitScope::Location) {
            problem(binding, "a binding counts in each data centre for itself", "write `scope: location`");
        }
        let whole = "remove `binding`: the objects that count otherwise can do it";
        for field in ["plans", "plans_from", "cost", "delay"] {
            if let Some(entry) = node.entry(field) {
                problem(entry.name_at, "a binding knows one limit for everybody, and counts each request as 1", whole);
            }
        }
        let fits = |limit: &Named| matches!(limit.rule, Rule::Window { per: 10_000 | 60_000, sliding: true, .. });
        if !matches!(limits, [limit] if fits(limit)) {
            let at = node.get("limits").map_or(binding, |limits| limits.at);
            problem(at, "a binding knows one limit, per 10 or 60 seconds", "write `100 per 10s` or `100 per minute`");
        }
    }

    fn key_parts(&mut self, common: &Common<'_>, node: &Node, paths: &[Matcher]) -> Vec<KeyPart> {
        let default = std::slice::from_ref(&common.default_key);
        let written = common.shared.key.map_or(default, |parts| &parts.0);
        let mut key = Vec::new();
        for (index, part) in written.iter().enumerate() {
            let at = node.place([Field("key"), Item(index)]);
            let part = match part {
                // Which is what a key without parts is.
                written::KeyPart::Everybody if written.len() == 1 => continue,
                written::KeyPart::Everybody => {
                    let problem = Problem::error("conflicting-fields", at, "`everybody` tells nobody from anybody");
                    self.all.problems.push(problem.help("remove it, or the other parts"));
                    continue;
                }
                written::KeyPart::ClientAddress => KeyPart::ClientAddress(common.shared.ipv6_prefix.unwrap_or(64)),
                written::KeyPart::Consumer => KeyPart::Consumer,
                written::KeyPart::Group => KeyPart::Group,
                written::KeyPart::Route => KeyPart::Route,
                written::KeyPart::Method => KeyPart::Method,
                written::KeyPart::Country => KeyPart::Country,
                written::KeyPart::JsonRpcMethod => KeyPart::RpcMethod,
                written::KeyPart::GraphqlOperation => {
                    self.needs_graphql("this part of a key", at, None);
                    KeyPart::Operation
                }
                written::KeyPart::Header(name) => KeyPart::Header(name.0.to_ascii_lowercase()),
                written::KeyPart::Query(name) => KeyPart::Query(name.clone()),
                written::KeyPart::Cookie(name) => KeyPart::Cookie(name.0.clone()),
                written::KeyPart::Claim(name) => KeyPart::Claim(name.clone()),
                written::KeyPart::PathParameter(name) => {
                    self.known_parameter(name, at, paths);
                    KeyPart::Parameter(name.clone())
                }
            };
            if key.contains(&part) {
                self.all.problems.push(listed_twice("this part", at));
            } else {
                key.push(part);
            }
        }
        key
    }

    fn known_parameter(&mut self, name: &str, at: Span, paths: &[Matcher]) {
        let found = self.text(&format!("{{{name}}}"), at, paths);
        if found.is_some_and(|template| !matches!(template.pieces(), [Piece::Parameter(_)])) {
            let message = format!("`{name}` is no parameter of a path");
            self.all.problems.push(Problem::error("unknown-parameter", at, message).help("name one of `path`"));
        }
    }

    fn rates(&mut self, written: &written::OneOrMany<written::RateLimit>, node: Option<&Node>) -> Vec<Named> {
        let mut limits: Vec<Named> = Vec::new();
        for (index, limit) in written.0.iter().enumerate() {
            let Some(at) = node.map(|node| node.place([Item(index)])) else { continue };
            let (rate, rule) = match limit {
                written::RateLimit::Rate(rate) => (rate, None),
                written::RateLimit::Rule(rule) => (&rule.rate, Some(rule)),
            };
            let Some((count, per, unit)) = self.rate(rate, at) else { continue };
            let algorithm = rule.and_then(|rule| rule.algorithm).unwrap_or(written::Algorithm::SlidingWindow);
            let burst = rule.and_then(|rule| rule.burst);
            if burst.is_some() && algorithm != written::Algorithm::TokenBucket {
                let problem = Problem::error("conflicting-fields", at, "only a token bucket has a `burst`");
                self.all.problems.push(problem.help("write `algorithm: token_bucket`, or remove `burst`"));
            }
            let name = rule.and_then(|rule| rule.name.as_ref()).map_or(format!("per-{unit}"), |name| name.0.clone());
            let rule = match algorithm {
                written::Algorithm::TokenBucket => Rule::Bucket { rate: count, per, burst: burst.unwrap_or(count) },
                written::Algorithm::SlidingWindow => Rule::Window { limit: count, per, sliding: true },
                written::Algorithm::FixedWindow => Rule::Window { limit: count, per, sliding: false },
            };
            self.add_limit(&mut limits, Named { name, rule }, at);
        }
        limits
    }

    fn periods(&mut self, written: &written::OneOrMany<written::Rate>, zone: &Zone, node: Option<&Node>) -> Vec<Named> {
        let mut limits: Vec<Named> = Vec::new();
        for (index, rate) in written.0.iter().enumerate() {
            let (Some(node), Ok(Rate { count, unit })) = (node, rate.0.parse()) else { continue };
            let at = node.place([Item(index)]);
            let Some(every) = unit.period() else {
                let problem = Problem::error("bad-rate", at, "a quota is per `hour`, `day`, `week` or `month`");
                self.all.problems.push(problem.help("`rate_limit` takes any time"));
                continue;
            };
            let name = format!("quota-per-{}", unit_of(&rate.0));
            let rule = Rule::Calendar { limit: count, every, zone: zone.clone() };
            self.add_limit(&mut limits, Named { name, rule }, at);
        }
        limits
    }

    /// Clients tell limits apart by their names.
    fn add_limit(&mut self, limits: &mut Vec<Named>, limit: Named, at: Span) {
        if limits.iter().any(|known| known.name == limit.name) {
            let problem = Problem::error("listed-twice", at, format!("there are two limits called `{}`", limit.name));
            self.all.problems.push(problem.help("keep the lower one, or give one of them a `name`"));
        } else {
            limits.push(limit);
        }
    }

    /// Count, length in milliseconds, and how the time is called.
    fn rate(&mut self, written: &written::Rate, at: Span) -> Option<(u64, u64, String)> {
        // The shape was checked before.
        let rate: Rate = written.0.parse().ok()?;
        match rate.unit {
            Unit::Span(per) => Some((rate.count, per, unit_of(&written.0).to_owned())),
            Unit::Month => {
                let problem = Problem::error("bad-rate", at, "months have no length of their own");
                self.all.problems.push(problem.help("write a `quota`, which knows the calendar"));
                None
            }
        }
    }

    fn name_list(
        &mut self,
        written: Option<&written::OneOrMany<written::Name>>,
        node: &Node,
        field: &'static str,
        of: NameOf,
    ) -> Vec<String> {
        let mut list = Vec::new();
        for (index, name) in written.iter().flat_map(|names| &names.0).enumerate() {
            let at = node.place([Field(field), Item(index)]);
            self.known_name(&name.0, of, at);
            self.once(&mut list, name.0.clone(), &name.0, at);
        }
        list
    }
}

/// What stands behind `per`.
fn unit_of(rate: &str) -> &str {
    rate.split_once(" per ").map_or("", |(_, unit)| unit)
}

fn span(rule: &Rule) -> u64 {
    match rule {
        Rule::Bucket { per, .. } | Rule::Window { per, .. } => *per,
        Rule::Calendar { every, .. } => every.length(),
        Rule::Leases { hold, .. } => *hold,
    }
}

fn dialect(written: &written::LimitHeaders) -> Option<Dialect> {
    match written {
        written::LimitHeaders::Ietf => Some(Dialect::Ietf),
        written::LimitHeaders::Kong => Some(Dialect::Kong),
        written::LimitHeaders::Github => Some(Dialect::Github),
        written::LimitHeaders::Spring => Some(Dialect::Spring),
        written::LimitHeaders::None => None,
    }
}
