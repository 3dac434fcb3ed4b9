//! An upstream that is ready to be called, and what this instance knows of its targets.
//!
//! What is known is soft: it lives in the instance's memory, and losing it costs a few attempts. It is never borrowed while
//! something is waited for.

use super::ask::{self, Side};
use super::balance::{Balance, Facts, Member, Tier};
use super::breaker::{Admission, Breaker, Probe, State, Transitions};
#[cfg(feature = "checks")]
use super::check::{self, Board, CheckRules, Watch};
use super::health::{Health, WHOLE};
use super::latency::{Histogram, Latency};
use super::lease::{Lease, Leases};
use super::maglev::hash;
use super::retry::{self, Budget};
#[cfg(feature = "compose")]
use super::retry::{Ended, RetryRules};
use super::sticky::Signer;
use super::{Fallback, Hedge, Rules, Target, Upstream};
#[cfg(feature = "credentials")]
use crate::caller::Caller;
use crate::client::Client;
#[cfg(feature = "credentials")]
use crate::credential::Credentials;
use crate::http::{Headers, Response, cookies};
use crate::platform::{Call, Failure, Platform, Timestamp};
use crate::template::{Scope, Settings};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

/// An upstream that is ready to be called.
#[derive(Debug)]
pub struct Pool {
    /// What it was made from.
    pub upstream: Upstream,
    targets: Vec<Target>,
    group: Option<Group>,
    /// Whether the only target of an upstream without rules gets no more requests.
    drained: Cell<bool>,
    /// The calls of steps that may be made again, and how many were.
    #[cfg(feature = "compose")]
    again: RefCell<Budget>,
    #[cfg(feature = "credentials")]
    credentials: Credentials,
}

/// What an upstream with rules has besides its targets.
#[derive(Debug)]
pub(super) struct Group {
    pub rules: Rules,
    /// What the targets are called.
    names: Vec<String>,
    identities: Vec<u64>,
    signer: Option<Signer>,
    /// The places that targets are near to, sorted.
    countries: Vec<String>,
    data_centres: Vec<String>,
    /// Different for each upstream.
    salt: u64,
    /// How long an attempt lasts at most, in milliseconds.
    longest: u64,
    state: RefCell<Known>,
}

/// What is known.
#[derive(Debug)]
struct Known {
    targets: Vec<KnownTarget>,
    all: Leases,
    /// How many targets are out of rotation because of their answers, and when the first of all that are out comes back.
    ejected: usize,
    /// How often that has changed, or may have.
    changes: u64,
    next_return: Timestamp,
    /// When it looks at what checks have found.
    #[cfg(feature = "checks")]
    watch: Watch,
    breaker: Breaker,
    budget: Budget,
    took: Histogram,
    views: Vec<View>,
}

#[derive(Debug, Default)]
struct KnownTarget {
    health: Health,
    leases: Leases,
    latency: Latency,
    /// Whether it is out of rotation because of its answers.
    ejected: bool,
    /// Until when it is out because checks find it ill; 0: they do not.
    ill_until: Timestamp,
    /// Whether somebody wants it to get no more requests.
    drained: bool,
}

impl KnownTarget {
    /// Whether it is out of rotation: either is enough.
    fn is_out(&self) -> bool {
        self.ejected || self.ill_until > 0 || self.drained
    }

    /// The same at this moment, also where no request has come since one that was out is to come back.
    fn is_out_at(&self, now: Timestamp) -> bool {
        (self.ejected && now < self.health.until()) || now < self.ill_until || self.drained
    }
}

/// The targets as one kind of request sees them, best first.
#[derive(Debug)]
struct View {
    seen_from: SeenFrom,
    tiers: Vec<Tier>,
    /// Whether enough of each are in rotation, as of the change of this number: to count them costs time with each target.
    enough: Vec<bool>,
    as_of: u64,
}

/// All that different kinds of requests differ by. The numbers are places in the lists of a [`Group`], plus one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct SeenFrom {
    side: Side,
    country: usize,
    data_centre: usize,
}

/// What the rules of an upstream have found in a request.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    seen_from: SeenFrom,
    key: Option<u64>,
    /// The target that its cookie names.
    pub(super) stay: Option<u32>,
    /// The client's own deadline, in milliseconds from now.
    pub(super) deadline: Option<u64>,
    /// Whether sending it twice does what sending it once does.
    pub(super) repeatable: bool,
    /// Whether it asks for nothing but an answer.
    pub(super) safe: bool,
    /// Who is calling, where targets are told.
    #[cfg(feature = "credentials")]
    caller: Option<Caller>,
}

impl Asked {
    /// Whether sending it twice does what sending it once does.
    pub fn is_repeatable(&self) -> bool {
        self.repeatable
    }

    /// What would be found in a request with this key, for tools that measure.
    pub fn with_key(key: u64) -> Self {
        Self { key: Some(key), ..Self::default() }
    }

    /// The same so many milliseconds later.
    pub fn after(self, milliseconds: u64) -> Self {
        Self { deadline: self.deadline.map(|deadline| deadline.saturating_sub(milliseconds)), ..self }
    }

    /// The same with no more than so many milliseconds, where that is said.
    pub fn by_then(self, left: Option<u64>) -> Self {
        Self { deadline: self.deadline.into_iter().chain(left).min(), ..self }
    }

    /// The same within the deadline of another.
    pub fn within(self, other: &Self) -> Self {
        Self { deadline: self.deadline.into_iter().chain(other.deadline).min(), ..self }
    }

    /// The same for a request that the gateway makes for itself, with a method of its own.
    pub fn by(self, method: &str) -> Self {
        Self { repeatable: retry::is_idempotent(method), safe: retry::is_safe(method), ..self }
    }
}

/// How a target is, as far as an instance knows.
#[cfg(feature = "admin")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Whether somebody wants it to get no more requests.
    pub drained: bool,
    /// Until when it is out because of its answers.
    pub ejected_until: Option<Timestamp>,
    /// Until when it is out because checks find it ill.
    pub ill_until: Option<Timestamp>,
    /// Attempts that are under way.
    pub under_way: u32,
    /// How much of its share it carries, of [`WHOLE`].
    pub share: u32,
}

/// Where an attempt goes.
#[derive(Debug)]
pub(super) enum Pick<'a> {
    Target(Turn<'a>),
    /// The breaker is open.
    Refused {
        until: Timestamp,
    },
    /// Somebody wants none of them to get any request.
    Drained,
    /// There is none.
    Nobody,
}

impl Pool {
    /// Fills in the references of an upstream's targets and rules.
    pub fn new(upstream: Upstream, settings: &Settings) -> Result<Self, String> {
        let targets: Vec<Target> =
            upstream.targets.iter().map(|target| Target::of(target, settings)).collect::<Result<_, _>>()?;
        let group = match &upstream.rules {
            Some(rules) => Some(Group::new(&upstream, rules, &targets, settings)?),
            None => None,
        };
        Ok(Self {
            upstream,
            targets,
            group,
            drained: Cell::new(false),
            #[cfg(feature = "compose")]
            again: RefCell::default(),
            #[cfg(feature = "credentials")]
            credentials: Credentials::default(),
        })
    }

    /// The same with what its targets are shown.
    #[cfg(feature = "credentials")]
    pub fn with_credentials(self, credentials: Credentials) -> Self {
        Self { credentials, ..self }
    }

    /// How many bytes a request's body may have, where it may have so many on its route.
    pub fn body_limit(&self, limit: Option<u64>) -> Option<u64> {
        #[cfg(feature = "credentials")]
        if let Some(most) = self.credentials.hashes() {
            return Some(limit.map_or(most, |limit| limit.min(most)));
        }
        limit
    }

    /// Notes a call that may be made again as a whole, its answer's body included.
    #[cfg(feature = "compose")]
    pub fn note_call(&self, now: Timestamp) {
        self.again.borrow_mut().request(now);
    }

    /// After how many milliseconds such a call is made again, by its own rules and within their budget; `None`: it is not.
    #[cfg(feature = "compose")]
    pub fn again(&self, rules: &RetryRules, ended: Ended, facts: retry::Facts, now: Timestamp) -> Option<u64> {
        match retry::decide(rules, ended, facts) {
            retry::Next::Again(pause) if self.again.borrow_mut().take(now, rules.budget) => Some(pause),
            retry::Next::Again(_) | retry::Next::Stop => None,
        }
    }

    /// Sends a call that names its target, with what that is to be shown.
    pub(super) async fn fetch<P: Platform>(
        &self,
        platform: &P,
        asked: &Asked,
        call: Call<P::Stream>,
    ) -> Result<Response<P::Stream>, Failure> {
        #[cfg(feature = "credentials")]
        if !self.credentials.is_empty() {
            // Boxed, so that the common case need not carry its size around.
            return Box::pin(self.credentials.fetch(platform, asked.caller.as_ref(), call)).await;
        }
        #[cfg(not(feature = "credentials"))]
        let _ = asked;
        platform.fetch(call).await
    }

    /// The targets, in the order in which they stand in the configuration.
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// What there is besides sending a request to the only target once.
    pub(super) fn group(&self) -> Option<&Group> {
        self.group.as_ref()
    }

    /// Whether a response's fields are looked at.
    pub fn reads_response(&self) -> bool {
        // For `Retry-After`.
        self.group.as_ref().is_some_and(|group| !group.rules.retries.statuses.is_empty())
    }

    /// What takes the place of a failure.
    pub fn fallback(&self) -> Option<&Fallback> {
        self.group.as_ref()?.rules.fallback.as_ref()
    }

    /// Whether clients are told in `Proxy-Status` what happened.
    pub fn tells(&self) -> bool {
        self.group.as_ref().is_some_and(|group| group.rules.proxy_status)
    }

    /// The field in which clients say how long they will wait, where it has one.
    #[cfg(feature = "compose")]
    pub fn deadline_field(&self) -> Option<&str> {
        self.group.as_ref()?.rules.deadline.as_deref()
    }

    /// The state of its circuit breaker at this moment, where it has one.
    pub fn breaker(&self, now: Timestamp) -> Option<State> {
        let group = self.group.as_ref().filter(|group| group.rules.breaker.is_some())?;
        Some(group.state.borrow().breaker.state(now))
    }

    /// What its circuit breaker has become since this was last asked.
    pub fn became(&self) -> Transitions {
        self.group.as_ref().map_or_else(Transitions::default, |group| group.state.borrow_mut().breaker.became())
    }

    /// How many of its targets are in rotation at this moment, as far as this instance knows.
    pub fn usable(&self, now: Timestamp) -> usize {
        let Some(group) = &self.group else { return if self.is_drained() { 0 } else { self.targets.len() } };
        group.state.borrow().targets.iter().filter(|target| !target.is_out_at(now)).count()
    }

    /// What a target is called.
    pub fn name(&self, target: u32) -> &str {
        match &self.group {
            Some(group) => group.names.get(target as usize).map_or("", String::as_str),
            None => self.targets.get(target as usize).map_or("", |target| &target.authority),
        }
    }

    /// Whether no target may get a request, because somebody wants it so.
    pub fn is_drained(&self) -> bool {
        match &self.group {
            Some(group) => {
                let known = group.state.borrow();
                !known.targets.is_empty() && known.targets.iter().all(|target| target.drained)
            }
            None => self.drained.get(),
        }
    }

    /// Has only those targets get requests of whose names this does not say that they are drained.
    #[cfg(feature = "admin")]
    pub fn drain(&self, is_drained: impl Fn(&str) -> bool, now: Timestamp) {
        let Some(group) = &self.group else {
            self.drained.set(!self.targets.is_empty() && is_drained(self.name(0)));
            return;
        };
        let known = &mut *group.state.borrow_mut();
        for (target, name) in known.targets.iter_mut().zip(&group.names) {
            target.drained = is_drained(name);
        }
        known.count_out(now);
    }

    /// How each target is, as far as this instance knows.
    #[cfg(feature = "admin")]
    pub fn report(&self, now: Timestamp) -> Vec<Report> {
        let Some(group) = &self.group else {
            let drained = self.drained.get();
            return self.targets.iter().map(|_| Report { drained, share: WHOLE, ..Report::default() }).collect();
        };
        let known = group.state.borrow();
        let report = |target: &KnownTarget| Report {
            drained: target.drained,
            ejected_until: (target.ejected && now < target.health.until()).then(|| target.health.until()),
            ill_until: (now < target.ill_until).then_some(target.ill_until),
            under_way: target.leases.count(now, group.longest),
            share: if target.is_out() { 0 } else { target.health.share(now, group.rules.slow_start) },
        };
        known.targets.iter().map(report).collect()
    }

    /// Where a first attempt would go now, for tools that measure. Turns are taken as by any other.
    pub fn pick(&self, asked: &Asked, now: Timestamp, random: &mut impl FnMut() -> u64) -> Option<u32> {
        let Some(group) = &self.group else { return (!self.targets.is_empty()).then_some(0) };
        group.pick(&mut group.state.borrow_mut(), &self.upstream, asked, &[], now, random)
    }

    /// How many attempts are under way, to each target.
    pub fn under_way(&self, now: Timestamp) -> Vec<u32> {
        let Some(group) = &self.group else { return vec![0; self.targets.len()] };
        group.state.borrow().targets.iter().map(|known| known.leases.count(now, group.longest)).collect()
    }

    /// Looks at a request as the rules ask for it. Without rules that is nothing.
    pub fn asked(&self, scope: &Scope<'_>, headers: &Headers, random: impl FnOnce() -> u64) -> Asked {
        #[allow(unused_mut)] // Without the feature `credentials`, it is what it is.
        let mut asked = match &self.group {
            Some(group) => group.asked(scope, headers, random),
            None => Asked::default(),
        };
        #[cfg(feature = "credentials")]
        if self.credentials.speaks_of_callers() {
            asked.caller = Some(scope.caller.clone());
        }
        asked
    }

    /// The `Set-Cookie` that keeps the client with the target that has answered, where its cookie does not already.
    pub fn cookie(&self, asked: &Asked, target: u32, client: &Client) -> Option<String> {
        let group = self.group.as_ref()?;
        let (rules, signer) = (group.rules.sticky.as_ref()?, group.signer.as_ref()?);
        let identity = group.identities.get(target as usize).filter(|_| asked.stay != Some(target))?;
        Some(rules.set_cookie(&signer.sign(*identity), client.scheme))
    }
}

impl Group {
    fn new(upstream: &Upstream, rules: &Rules, targets: &[Target], settings: &Settings) -> Result<Self, String> {
        let places = |of: fn(&super::Near) -> &[String]| {
            let mut all: Vec<String> = upstream.targets.iter().flat_map(|target| of(&target.near)).cloned().collect();
            all.sort_unstable();
            all.dedup();
            all
        };
        let signer = match &rules.sticky {
            Some(sticky) => Some(Signer::new(&sticky.secret.resolve(settings), &upstream.name)?),
            None => None,
        };
        let name = |(rule, target): (&super::TargetRule, &Target)| match &rule.name {
            Some(name) => name.clone(),
            None => target.authority.clone(),
        };
        Ok(Self {
            rules: rules.clone(),
            names: upstream.targets.iter().zip(targets).map(name).collect(),
            identities: targets.iter().map(Target::identity).collect(),
            signer,
            countries: places(|near| &near.countries),
            data_centres: places(|near| &near.data_centres),
            salt: hash(upstream.name.as_bytes()),
            longest: upstream.timeouts.attempt.min(upstream.timeouts.total),
            state: RefCell::new(Known {
                targets: targets.iter().map(|_| KnownTarget::default()).collect(),
                all: Leases::default(),
                ejected: 0,
                changes: 1,
                next_return: Timestamp::MAX,
                #[cfg(feature = "checks")]
                watch: Watch::default(),
                breaker: Breaker::default(),
                budget: Budget::default(),
                took: Histogram::default(),
                views: Vec::new(),
            }),
        })
    }

    fn asked(&self, scope: &Scope<'_>, headers: &Headers, random: impl FnOnce() -> u64) -> Asked {
        let rules = &self.rules;
        let place = |list: &[String], name: Option<&String>| match name {
            Some(name) if !list.is_empty() => list.binary_search(name).map_or(0, |at| at + 1),
            Some(_) | None => 0,
        };
        let side = rules.canary.as_ref().map(|canary| canary.side(scope, headers, self.salt, random));
        let stay = rules.sticky.as_ref().zip(self.signer.as_ref()).and_then(|(sticky, signer)| {
            let cookies = cookies(headers, &sticky.cookie);
            let identity = cookies.iter().find_map(|value| signer.read(value))?;
            let at = self.identities.iter().position(|known| *known == identity)?;
            u32::try_from(at).ok()
        });
        let method = scope.line.method.as_str();
        Asked {
            seen_from: SeenFrom {
                side: side.unwrap_or_default(),
                country: place(&self.countries, scope.client.country.as_ref()),
                data_centre: place(&self.data_centres, scope.client.data_centre.as_ref()),
            },
            key: if rules.keys.is_empty() { None } else { ask::hashed(&rules.keys, scope, headers) },
            stay,
            deadline: rules.deadline.as_ref().and_then(|name| ask::client_deadline(name, headers)),
            repeatable: rules.retries.may_repeat(method, headers),
            safe: retry::is_safe(method),
            #[cfg(feature = "credentials")]
            caller: None,
        }
    }

    /// Notes a request, for the budget of extra attempts.
    pub fn begin(&self, now: Timestamp) {
        self.state.borrow_mut().budget.request(now);
    }

    /// Takes one attempt more than there are requests, if the budget has one left.
    pub fn take_extra(&self, now: Timestamp) -> bool {
        self.state.borrow_mut().budget.take(now, self.rules.retries.budget)
    }

    /// When a second attempt is to be made beside the first, in milliseconds.
    pub fn hedge_after(&self) -> Option<u64> {
        match self.rules.hedge? {
            Hedge::After(delay) => Some(delay),
            Hedge::Percentile(percent) => self.state.borrow().took.percentile(percent),
        }
    }

    /// Where the next attempt goes: to another target than those that have been tried, as long as there is one.
    pub fn next(
        &self,
        upstream: &Upstream,
        asked: &Asked,
        tried: &[u32],
        now: Timestamp,
        random: &mut impl FnMut() -> u64,
    ) -> Pick<'_> {
        let known = &mut *self.state.borrow_mut();
        let mut probe = None;
        if let Some(rules) = &self.rules.breaker {
            if let Admission::Refused { until } = known.breaker.admit(now, rules) {
                return Pick::Refused { until };
            }
            probe = known.breaker.probe();
        }
        let target = self.pick(known, upstream, asked, tried, now, random);
        if let (None, Some(probe)) = (target, probe) {
            known.breaker.give_back(probe);
        }
        match target {
            Some(target) => Pick::Target(Turn { group: self, target, probe }),
            None if known.targets.iter().all(|target| target.drained) => Pick::Drained,
            None => Pick::Nobody,
        }
    }

    fn pick(
        &self,
        known: &mut Known,
        upstream: &Upstream,
        asked: &Asked,
        tried: &[u32],
        now: Timestamp,
        random: &mut impl FnMut() -> u64,
    ) -> Option<u32> {
        if now >= known.next_return {
            known.count_out(now);
        }
        // Not in a canary release of which the request is on the other side: overrides would not work.
        if let Some(target) = asked.stay.filter(|target| !tried.contains(target) && self.is_on_side(asked, *target))
            && known.targets.get(target as usize).is_some_and(|known| !known.is_out())
        {
            return Some(target);
        }
        let at = known.views.iter().position(|view| view.seen_from == asked.seen_from).unwrap_or_else(|| {
            known.views.push(self.view(upstream, asked.seen_from));
            known.views.len() - 1
        });
        let in_flight = match self.rules.balance {
            Balance::Hash { .. } => known.all.count(now, self.longest),
            Balance::RoundRobin | Balance::Random | Balance::LeastRequests | Balance::Latency => 0,
        };
        let Known { targets, changes, views, .. } = known;
        let facts = |tried, panics| Now { group: self, targets, tried, panics, now, all: in_flight };
        let View { tiers, enough, as_of, .. } = &mut views[at];
        if *as_of != *changes {
            let is_enough = |tier: &Tier| {
                // Those that somebody has taken out are not missing.
                let wanted = tier.members().iter().map(|member| &targets[member.target as usize]);
                let wanted = wanted.filter(|target| !target.drained);
                let (usable, wanted) = wanted
                    .fold((0, 0), |(usable, wanted), target| (usable + usize::from(!target.is_out()), wanted + 1));
                usable > 0 && usable * 100 >= wanted * self.rules.health.panic as usize
            };
            (*enough, *as_of) = (tiers.iter().map(is_enough).collect(), *changes);
        }
        let (balance, key) = (&self.rules.balance, asked.key);
        // Once with another target than those that have been tried, and then with any.
        for tried in [tried, &[]] {
            let mut panics = true;
            for (tier, _) in tiers.iter_mut().zip(&*enough).filter(|(_, enough)| **enough) {
                panics = false;
                if let Some(target) = tier.pick(balance, key, &facts(tried, false), random) {
                    return Some(target);
                }
            }
            // Too few are left everywhere: to ask those that are out is better than to drown the others.
            let is_wanted =
                |tier: &&mut Tier| tier.members().iter().any(|member| !targets[member.target as usize].drained);
            if panics
                && let Some(tier) = tiers.iter_mut().find(is_wanted)
                && let Some(target) = tier.pick(balance, key, &facts(tried, true), random)
            {
                return Some(target);
            }
            if tried.is_empty() {
                break;
            }
        }
        None
    }

    fn is_on_side(&self, asked: &Asked, target: u32) -> bool {
        let Some(canary) = &self.rules.canary else { return true };
        match asked.seen_from.side {
            Side::None => true,
            Side::Canary => canary.targets.contains(&target),
            Side::Stable => !canary.targets.contains(&target),
        }
    }

    /// The targets as requests of one kind see them: first the right side of a canary release, then the lower priority,
    /// then who is near.
    fn view(&self, upstream: &Upstream, seen_from: SeenFrom) -> View {
        let name = |list: &[String], place: usize| place.checked_sub(1).and_then(|at| list.get(at)).cloned();
        let (country, data_centre) =
            (name(&self.countries, seen_from.country), name(&self.data_centres, seen_from.data_centre));
        let asked = Asked { seen_from, ..Asked::default() };
        let mut tiers: BTreeMap<(bool, u32, bool), Vec<Member>> = BTreeMap::new();
        for ((target, rule), identity) in (0..).zip(&upstream.targets).zip(&self.identities) {
            let is_near = country.as_ref().is_some_and(|country| rule.near.countries.contains(country))
                || data_centre.as_ref().is_some_and(|name| rule.near.data_centres.contains(name));
            if rule.weight > 0 {
                let rank = (!self.is_on_side(&asked, target), rule.priority, !is_near);
                tiers.entry(rank).or_default().push(Member { target, identity: *identity, weight: rule.weight });
            }
        }
        View { seen_from, tiers: tiers.into_values().map(Tier::new).collect(), enough: Vec::new(), as_of: 0 }
    }

    /// Counts an attempt as under way until what this gives is dropped, or its time is over.
    pub fn under_way(&self, target: u32, now: Timestamp) -> UnderWay<'_> {
        let known = &mut *self.state.borrow_mut();
        let of_all = known.all.take(now, self.longest);
        let of_target = known.targets.get_mut(target as usize).map(|known| known.leases.take(now, self.longest));
        UnderWay { group: self, target, of_target, of_all }
    }

    /// Notes how an attempt ended, and how many milliseconds it took, where that says anything of the target.
    fn observe(&self, target: u32, failed: bool, took: Option<u64>, now: Timestamp) {
        let rules = &self.rules;
        let known = &mut *self.state.borrow_mut();
        if let Some(breaker) = &rules.breaker {
            known.breaker.observe(failed, took, now, breaker);
        }
        if rules.hedge.is_some()
            && !failed
            && let Some(took) = took
        {
            known.took.observe(took);
        }
        let count = known.targets.len();
        let Some(one) = known.targets.get_mut(target as usize) else { return };
        if rules.balance == Balance::Latency
            && let Some(took) = took
        {
            // An error that comes quickly is not what anybody waits for.
            one.latency.observe(if failed { took.max(self.longest) } else { took }, now);
        }
        let has_to_go = count > 1 && one.health.observe(failed, now, &rules.health);
        if has_to_go && !one.ejected && known.ejected < rules.health.most_ejected(count) {
            one.health.eject(now, &rules.health);
            one.ejected = true;
            known.count_out(now);
        }
    }
}

impl Known {
    /// Puts those targets back into rotation whose time is over, and counts the others.
    fn count_out(&mut self, now: Timestamp) {
        (self.ejected, self.next_return) = (0, Timestamp::MAX);
        self.changes += 1;
        for target in &mut self.targets {
            let until = target.health.until();
            target.ejected = target.ejected && now < until;
            if now >= target.ill_until {
                target.ill_until = 0;
            }
            self.ejected += usize::from(target.ejected);
            if target.ejected {
                self.next_return = self.next_return.min(until);
            }
            if target.ill_until > 0 {
                self.next_return = self.next_return.min(target.ill_until);
            }
        }
    }
}

/// Active health: what checks have found, and when to look for it.
#[cfg(feature = "checks")]
impl Pool {
    /// How its targets are asked how they are, if they are.
    pub fn checks(&self) -> Option<&CheckRules> {
        self.group.as_ref()?.rules.health.check.as_deref()
    }

    /// Under which key the store has what was found.
    pub fn board_key(&self) -> String {
        format!("{:016x}", hash(self.upstream.name.as_bytes()))
    }

    /// The numbers of the targets' addresses.
    pub(super) fn identities(&self) -> &[u64] {
        self.group.as_ref().map_or(&[], |group| &group.identities)
    }

    /// Whether it is time to look at what was found: the caller does so, see [`Pool::look`].
    pub fn is_to_look(&self, now: Timestamp) -> bool {
        self.group
            .as_ref()
            .is_some_and(|group| group.rules.health.check.is_some() && group.state.borrow().watch.is_due(now))
    }

    /// Whether nothing is known that would still count.
    pub(super) fn lacks_findings(&self, now: Timestamp) -> bool {
        self.group
            .as_ref()
            .zip(self.checks())
            .is_some_and(|(group, rules)| group.state.borrow().watch.lacks(rules, self.targets.len(), now))
    }

    /// Somebody looks now.
    pub fn look(&self, now: Timestamp) {
        if let Some((group, rules)) = self.group.as_ref().zip(self.checks()) {
            group.state.borrow_mut().watch.look(rules, now);
        }
    }

    /// Has the instance look once more behind this request.
    pub(super) fn look_again(&self, now: Timestamp) {
        if let Some(group) = &self.group {
            group.state.borrow_mut().watch.look_at(now);
        }
    }

    /// Takes what checks have found.
    pub(super) fn learn(&self, board: &Board, now: Timestamp, random: u64) {
        let Some((group, rules)) = self.group.as_ref().zip(self.checks()) else { return };
        let known = &mut *group.state.borrow_mut();
        known.watch.seen(board, rules, now, random);
        let count = known.targets.len();
        for (target, identity) in known.targets.iter_mut().zip(&group.identities) {
            let until = board.findings.get(&check::name(*identity)).and_then(|finding| rules.ill_until(finding, count));
            let was_ill = target.ill_until > 0;
            target.ill_until = until.filter(|until| now < *until).unwrap_or(0);
            if was_ill && target.ill_until == 0 {
                target.health.recover(now);
            }
        }
        known.count_out(now);
    }
}

/// What a pick sees of the targets.
struct Now<'a> {
    group: &'a Group,
    targets: &'a [KnownTarget],
    tried: &'a [u32],
    panics: bool,
    now: Timestamp,
    all: u32,
}

impl Facts for Now<'_> {
    fn share(&self, target: u32) -> u32 {
        match self.targets.get(target as usize) {
            Some(known) if known.drained || (known.is_out() && !self.panics) || self.tried.contains(&target) => 0,
            Some(known) if known.is_out() => WHOLE,
            Some(known) => known.health.share(self.now, self.group.rules.slow_start),
            None => 0,
        }
    }

    fn in_flight(&self, target: u32) -> u32 {
        self.targets.get(target as usize).map_or(0, |known| known.leases.count(self.now, self.group.longest))
    }

    fn all_in_flight(&self) -> u32 {
        self.all
    }

    fn latency(&self, target: u32) -> f32 {
        self.targets.get(target as usize).map_or(0.0, |known| known.latency.at(self.now))
    }
}

/// An attempt that has been let through to a target. If it is dropped before anybody has observed how it ended, the breaker has the
/// place of its probe back.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    group: &'a Group,
    pub target: u32,
    probe: Option<Probe>,
}

impl Turn<'_> {
    /// Notes how it ended, and how many milliseconds it took, where that says anything of the target.
    pub fn observe(mut self, failed: bool, took: Option<u64>, now: Timestamp) {
        self.probe = None;
        self.group.observe(self.target, failed, took, now);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(probe) = self.probe {
            self.group.state.borrow_mut().breaker.give_back(probe);
        }
    }
}

/// An attempt that is under way.
pub(super) struct UnderWay<'a> {
    group: &'a Group,
    target: u32,
    of_target: Option<Lease>,
    of_all: Lease,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let known = &mut *self.group.state.borrow_mut();
        known.all.end(self.of_all);
        if let (Some(target), Some(lease)) = (known.targets.get_mut(self.target as usize), self.of_target) {
            target.leases.end(lease);
        }
    }
}
