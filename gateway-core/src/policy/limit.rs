//! Admits at most so many requests, per time or at once: what `rate_limit`, `quota`, `concurrency` and `spike_arrest` become.
//!
//! Who counts is declared: this instance (its memory), the data centre or the world (an owner behind
//! [`Platform::take`]). All limits of a policy have one key, so one step decides on all of them, and takes from all or none.

pub mod cost;

use self::cost::Cost;
use super::{Deferred, Departure, Memo, Remark, Visit};
use crate::caller::Caller;
use crate::client::{Cidr, Client};
use crate::consumer::hash;
use crate::error::Error;
use crate::held::Halves;
use crate::http::{self, Headers};
use crate::platform::{Platform, StoreError, Timestamp};
use crate::quota::lease::{Purse, Spend};
use crate::quota::rate::Rate;
use crate::quota::table::Table;
use crate::quota::{Act, Decision, Kept, Order, Rule, Standing, perform};
use crate::record;
use crate::serve::{Store, Used};
use crate::telemetry::watch::{LimitOutcome, Nearly};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt::Write;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

/// Limits on the requests of one key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    /// Policies with the same name count together.
    #[serde(rename = "n")]
    pub name: String,
    /// What requests are told apart by.
    #[serde(rename = "k")]
    pub key: Vec<KeyPart>,
    /// What becomes of a request that lacks a part of its key.
    #[serde(rename = "m")]
    pub missing: Missing,
    /// The limits.
    #[serde(rename = "l")]
    pub limits: Vec<Named>,
    /// Other limits for consumers of these groups; the first that fits counts.
    #[serde(rename = "p", default, skip_serializing_if = "Vec::is_empty")]
    pub plans: Vec<(String, Vec<Named>)>,
    /// Whether the store may say otherwise, and for how many milliseconds its word counts.
    #[serde(rename = "ps", default, skip_serializing_if = "Option::is_none")]
    pub plans_from_store: Option<u64>,
    /// Who counts.
    #[serde(rename = "s")]
    pub scope: Scope,
    /// What a request costs.
    #[serde(rename = "c")]
    pub cost: Cost,
    /// How many milliseconds a request waits rather than being refused.
    #[serde(rename = "d")]
    pub patience: u64,
    /// Who is not counted.
    #[serde(rename = "e", default, skip_serializing_if = "Exempt::is_nobody")]
    pub exempt: Exempt,
    /// Whether it only reports.
    #[serde(rename = "y")]
    pub dry_run: bool,
    /// Whether requests pass when nobody can count.
    #[serde(rename = "o")]
    pub opens_on_failure: bool,
    /// How clients are told.
    #[serde(rename = "h")]
    pub dialects: Vec<Dialect>,
    /// The status of a refusal.
    #[serde(rename = "t")]
    pub status: u16,
}

/// A limit and what clients see it called.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Named {
    /// In the `RateLimit` fields.
    #[serde(rename = "n")]
    pub name: String,
    /// The limit.
    #[serde(rename = "r")]
    pub rule: Rule,
}

/// A part of what requests are told apart by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyPart {
    /// The client's address; of an IPv6 address so many bits.
    ClientAddress(u8),
    /// Who is calling: the consumer, or else the subject of an issuer.
    Consumer,
    /// What they belong to.
    Group,
    /// A header field.
    Header(String),
    /// A parameter of the query.
    Query(String),
    /// A cookie.
    Cookie(String),
    /// A claim of a token.
    Claim(String),
    /// A parameter of the path.
    Parameter(String),
    /// The route.
    Route,
    /// The method.
    Method,
    /// The client's country.
    Country,
    /// The method of JSON-RPC that is called.
    RpcMethod,
    /// The name of the GraphQL operation.
    #[cfg(feature = "graphql")]
    Operation,
}

/// What becomes of a request that lacks a part of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// All such requests are counted together.
    Together,
    /// It is not counted.
    Skip,
    /// It is refused.
    Refuse,
}

/// Who counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// This instance.
    Instance,
    /// The owner of the key in the data centre.
    Location,
    /// The platform's own limiter of this name, where there is one; elsewhere the owner in the data centre.
    Binding(String),
    /// The owner of the key, asked each time.
    Global,
    /// The same, asked for tokens in advance that are good for so many milliseconds.
    Leased(u64),
}

/// Who is not counted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Exempt {
    /// Clients in these ranges.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<Cidr>,
    /// Consumers of these names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub consumers: Vec<String>,
    /// Consumers of these groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
}

/// How clients are told where they stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10).
    Ietf,
    /// As Kong does.
    Kong,
    /// As GitHub does.
    Github,
    /// As Spring Cloud Gateway does.
    Spring,
}

/// What an instance counts and holds.
#[derive(Debug, Default)]
pub struct Counters {
    tables: RefCell<Option<Tables>>,
    plans: RefCell<Halves<Record>>,
}

#[derive(Debug)]
struct Tables {
    counted: Table<Kept>,
    purses: Table<Purse>,
}

/// How many keys an instance is certain to remember. docs/limits.md says what that takes.
pub const REMEMBERED: usize = 1 << 17;

/// For how many keys it holds tokens. Those of others are lost, not spent twice.
const PURSES: usize = 1 << 13;

/// An order that is given when the answer has been sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Afterwards {
    owner: Owner,
    order: Order,
}

/// What a policy remembers of a request that it has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passed {
    owner: Owner,
    rules: Vec<Rule>,
    lease: u64,
}

/// Where counters are.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Owner {
    Here(u64),
    There(String),
    /// The platform's limiter, to which nothing more can be said.
    Platform,
}

/// How things stand with one limit, as the response tells.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    limit: Named,
    /// `None`: whoever counts does not say.
    standing: Option<Standing>,
}

/// What the store says of a consumer or a group.
#[derive(Debug, Clone, Default)]
struct Record {
    found: Rc<Stored>,
    until: Timestamp,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Stored {
    /// A plan of the policies.
    plan: Option<String>,
    /// Limits, by the names of policies.
    limits: std::collections::HashMap<String, Vec<Value>>,
}

impl Limit {
    /// The stores of the platform that it needs.
    pub fn stores(&self) -> Vec<Used> {
        let counters = match self.scope {
            Scope::Location | Scope::Global | Scope::Leased(_) => {
                Some(Used { store: Store::Counters, vital: !self.opens_on_failure && !self.dry_run })
            }
            // Where the platform has that limiter, nobody else is asked.
            Scope::Instance | Scope::Binding(_) => None,
        };
        // Without them the configuration's own count.
        let plans = self.plans_from_store.map(|_| Used { store: Store::Consumers, vital: false });
        counters.into_iter().chain(plans).collect()
    }

    /// Admits, delays or refuses.
    pub async fn on_request<P: Platform>(&self, visit: &mut Visit<'_, P>) -> Result<(), Error> {
        let watch = visit.platform.watch();
        let said = |outcome| watch.limit(&self.name, outcome);
        if self.exempt.includes(visit.caller, visit.client) {
            said(LimitOutcome::Exempt);
            visit.memo.passed.push(None);
            return Ok(());
        }
        let (mut key, lacks) = self.key(visit);
        match (lacks, self.missing) {
            (true, Missing::Skip) => {
                said(LimitOutcome::Exempt);
                visit.memo.passed.push(None);
                return Ok(());
            }
            (true, Missing::Refuse) => {
                visit.memo.passed.push(None);
                if self.dry_run {
                    said(LimitOutcome::WouldRefuse);
                    self.would_have(visit, "refused");
                    return Ok(());
                }
                said(LimitOutcome::Refused);
                let reason = "This needs a request that can be told from those of others.".to_owned();
                return Err(Error::Forbidden { reason, challenge: None });
            }
            (true, Missing::Together) | (false, _) => {}
        }
        let limits = self.limits(visit).await;
        let rules: Vec<Rule> = limits.iter().map(|limit| limit.rule.clone()).collect();
        // What one rule has counted is nothing to a rule of another shape: under one key, each would begin anew after the other.
        rules.iter().for_each(|rule| key.push_str(&rule.shape()));
        let lease = visit.platform.random();
        let cost = match self.cost.of(visit).await {
            Ok(cost) => cost,
            Err(error) => {
                visit.memo.passed.push(None);
                return Err(error);
            }
        };
        if self.holds() {
            visit.platform.stay();
        }
        let outcome = self.take(visit, &key, &rules, cost, lease).await;
        let (owner, decision) = match outcome {
            Ok(taken) => taken,
            Err(reason) => {
                said(LimitOutcome::Uncertain);
                visit.memo.passed.push(None);
                let reason = format!("the limits `{}` cannot be counted: {reason}", self.name);
                if !self.opens_on_failure && !self.dry_run {
                    return Err(Error::LimitUncertain { reason });
                }
                visit.memo.remarks.push(Remark { problem: "limit-uncertain", detail: reason });
                return Ok(());
            }
        };
        watch.note(|record| record.nearly.extend(nearly(&self.name, &limits, &decision.standings)));
        let mut standings = decision.standings.iter().copied();
        // Who is not to be told of these is not told by another limit either.
        if !self.dialects.is_empty() {
            let told = limits.iter().map(|limit| Told { limit: limit.clone(), standing: standings.next() });
            visit.memo.told.extend(told);
        }
        let granted = decision.granted.is_some();
        visit.memo.passed.push(granted.then_some(Passed { owner, rules, lease }));
        said(match (granted, self.dry_run) {
            (true, _) => LimitOutcome::Admitted,
            (false, true) => LimitOutcome::WouldRefuse,
            (false, false) => LimitOutcome::Refused,
        });
        if granted {
            match decision.wait.filter(|wait| *wait > 0) {
                Some(_) if self.dry_run => self.would_have(visit, "delayed"),
                Some(wait) => visit.platform.sleep(Duration::from_millis(wait)).await,
                None => {}
            }
            return Ok(());
        }
        if self.dry_run {
            self.would_have(visit, "refused");
            return Ok(());
        }
        Err(Error::LimitReached { status: self.status, wait: decision.wait })
    }

    /// What a dry run says.
    fn would_have<P: Platform>(&self, visit: &mut Visit<'_, P>, done: &str) {
        let detail = format!("the limits `{}` would have {done} this request", self.name);
        visit.memo.remarks.push(Remark { problem: "limit-reached", detail });
    }

    /// Tells the client, and settles what only the response shows. Fails where a body that must be read cannot be.
    pub async fn on_response<P: Platform>(&self, departure: &mut Departure<'_, P>) -> Result<(), Error> {
        let mut failed = None;
        if let Some(Passed { owner, rules, lease }) = departure.memo.passed.pop().flatten() {
            if self.holds() {
                let release = Afterwards { owner, order: Order { rules, act: Act::Release(lease) } };
                departure.memo.deferred.push(Deferred::Release(release));
            } else {
                let cost = self.cost.of_response(departure).await.unwrap_or_else(|error| {
                    failed = Some(error);
                    None
                });
                let act = match cost {
                    Some(0) => Some(Act::GiveBack(1)),
                    Some(cost) if cost > 1 => Some(Act::Charge(cost - 1)),
                    Some(_) | None => None,
                };
                let (platform, counters) = (departure.platform, departure.counters);
                match (act.map(|act| Order { rules, act }), owner) {
                    (Some(order), Owner::Here(place)) => {
                        drop(counters.change(platform, place, &order, platform.now()));
                    }
                    (Some(order), owner @ Owner::There(_)) => {
                        departure.memo.deferred.push(Deferred::Count(Afterwards { owner, order }));
                    }
                    (Some(_), Owner::Platform) | (None, _) => {}
                }
            }
        }
        for dialect in &self.dialects {
            dialect.tell(&mut departure.response.headers, &departure.memo.told, departure.platform.now());
        }
        failed.map_or(Ok(()), Err)
    }

    /// Whether the way back looks at fields of the response.
    pub fn reads_response(&self) -> bool {
        self.cost.is_of_response()
    }

    /// Whether something is held until the response's body has ended.
    pub fn holds(&self) -> bool {
        self.limits.iter().any(|limit| matches!(limit.rule, Rule::Leases { .. }))
    }

    async fn take<P: Platform>(
        &self,
        visit: &Visit<'_, P>,
        key: &str,
        rules: &[Rule],
        cost: u64,
        lease: u64,
    ) -> Result<(Owner, Decision), String> {
        let platform = visit.platform;
        let now = platform.now();
        let order = |most: u64| {
            let near = rules.iter().map(|rule| rule.near(now)).collect();
            Order { rules: near, act: Act::Take { cost, most, patience: self.patience, lease } }
        };
        let hashed = || hash(key)[..32].to_owned();
        let place = match &self.scope {
            Scope::Instance => {
                let place = visit.counters.place(platform, key);
                let order = Order { rules: rules.to_vec(), ..order(cost) };
                return Ok((Owner::Here(place), visit.counters.change(platform, place, &order, now)));
            }
            Scope::Binding(name) => {
                let admitted = platform.admit(name, &hashed()).await.map_err(|error| error.0)?;
                if let Some(admitted) = admitted {
                    // It does not say when there is room again: when its time is over, at the latest.
                    let wait = if admitted { 0 } else { self.longest() };
                    let granted = admitted.then_some(cost);
                    return Ok((Owner::Platform, Decision { granted, wait: Some(wait), standings: Vec::new() }));
                }
                location(visit.client)
            }
            Scope::Location => location(visit.client),
            Scope::Global | Scope::Leased(_) => "global",
        };
        let owned = format!("{place}/{}", hashed());
        let Scope::Leased(hold) = self.scope else {
            let decision = platform.take(&owned, &order(cost)).await.map_err(|error| error.0)?;
            return Ok((Owner::There(owned), decision));
        };
        let purse = visit.counters.place(platform, key);
        let most = match visit.counters.purse(platform, purse, |purse| purse.spend(cost, hold, now)) {
            Spend::Decided(decision) => return Ok((Owner::There(owned), decision)),
            Spend::Ask { most } => most,
        };
        match platform.take(&owned, &order(most)).await {
            Ok(decision) => {
                visit.counters.purse(platform, purse, |purse| purse.learn(rules, &decision, cost, hold, now));
                Ok((Owner::There(owned), decision))
            }
            Err(error) => {
                visit.counters.purse(platform, purse, Purse::give_up);
                Err(error.0)
            }
        }
    }

    /// The longest time of its windows.
    fn longest(&self) -> u64 {
        let length = |limit: &Named| match limit.rule {
            Rule::Bucket { per, .. } | Rule::Window { per, .. } => per,
            Rule::Calendar { every, .. } => every.length(),
            Rule::Leases { hold, .. } => hold,
        };
        self.limits.iter().map(length).max().unwrap_or_default()
    }

    /// What the request is counted under, and whether a part of that is missing. No two different keys are written alike.
    fn key<P: Platform>(&self, visit: &Visit<'_, P>) -> (String, bool) {
        let mut key = format!("{}\n", self.name);
        let mut lacks = false;
        for part in &self.key {
            match part.of(visit) {
                Some(value) => {
                    // A String takes whatever is written.
                    let _ = writeln!(key, "{}:{value}", value.len());
                }
                None => {
                    key.push_str("-\n");
                    lacks = true;
                }
            }
        }
        (key, lacks)
    }

    /// The limits of whoever calls: what the store says of them, of their groups; then the plans; then everybody's.
    async fn limits<'l, P: Platform>(&'l self, visit: &mut Visit<'_, P>) -> Cow<'l, [Named]> {
        let planned =
            |plan: &str| self.plans.iter().find(|(name, _)| name == plan).map(|(_, limits)| limits.as_slice());
        if let Some(hold) = self.plans_from_store {
            let consumer = visit.caller.name().map(|name| format!("plan/consumer/{name}"));
            let groups = visit.caller.groups().iter().map(|group| format!("plan/group/{group}"));
            for place in consumer.into_iter().chain(groups).collect::<Vec<_>>() {
                let stored = visit.counters.plan(visit.platform, &place, hold, visit.memo).await;
                if let Some(limits) = stored.limits.get(&self.name).and_then(|written| self.read(written)) {
                    return Cow::Owned(limits);
                }
                if let Some(limits) = stored.plan.as_deref().and_then(planned) {
                    return Cow::Borrowed(limits);
                }
            }
        }
        let groups = visit.caller.groups();
        let plan = self.plans.iter().find(|(name, _)| groups.contains(name));
        Cow::Borrowed(plan.map_or(self.limits.as_slice(), |(_, limits)| limits))
    }

    /// Limits as the store has them: rates for those of the policy, in the same order and of the same kinds.
    fn read(&self, written: &[Value]) -> Option<Vec<Named>> {
        let rules = self.limits.iter().zip(written).map(|(model, written)| {
            let rule = match written {
                Value::Number(number) => model.rule.with_limit(number.as_u64()?),
                Value::String(text) => model.rule.with_rate(text.parse().ok()?)?,
                _ => return None,
            };
            Some(Named { name: model.name.clone(), rule })
        });
        (written.len() == self.limits.len()).then(|| rules.collect()).flatten()
    }
}

/// Those limits of which at least four fifths are used.
fn nearly<'s>(name: &'s str, limits: &'s [Named], standings: &'s [Standing]) -> impl Iterator<Item = Nearly> + 's {
    let standings = limits.iter().zip(standings).map(|(limit, standing)| (limit, limit.rule.limit(), standing));
    let nearly = standings.filter(|(_, of, standing)| *of > 0 && standing.remaining.saturating_mul(5) <= *of);
    nearly.map(move |(limit, of, standing)| Nearly {
        limit: name.to_owned(),
        rule: limit.name.clone(),
        of,
        remaining: standing.remaining,
        reset: standing.reset,
    })
}

impl Rule {
    /// The same with another limit.
    pub(crate) fn with_limit(&self, limit: u64) -> Self {
        match self {
            Rule::Bucket { per, .. } => Rule::Bucket { rate: limit, per: *per, burst: limit },
            Rule::Window { per, sliding, .. } => Rule::Window { limit, per: *per, sliding: *sliding },
            Rule::Calendar { every, zone, .. } => Rule::Calendar { limit, every: *every, zone: zone.clone() },
            Rule::Leases { hold, .. } => Rule::Leases { limit, hold: *hold },
        }
    }

    /// The same with another rate, where its unit fits.
    fn with_rate(&self, rate: Rate) -> Option<Self> {
        Some(match self {
            Rule::Bucket { rate: before, burst, .. } => {
                // A burst that was written apart stays in proportion.
                let burst = (u128::from(*burst) * u128::from(rate.count)).div_ceil(u128::from((*before).max(1)));
                let burst = u64::try_from(burst).unwrap_or(u64::MAX);
                Rule::Bucket { rate: rate.count, per: rate.unit.length()?, burst }
            }
            Rule::Window { sliding, .. } => {
                Rule::Window { limit: rate.count, per: rate.unit.length()?, sliding: *sliding }
            }
            Rule::Calendar { zone, .. } => {
                Rule::Calendar { limit: rate.count, every: rate.unit.period()?, zone: zone.clone() }
            }
            Rule::Leases { .. } => return None,
        })
    }

    /// The same with what of its time zone matters now.
    fn near(&self, now: Timestamp) -> Self {
        match self {
            Rule::Calendar { limit, every, zone } => {
                Rule::Calendar { limit: *limit, every: *every, zone: zone.near(now) }
            }
            Rule::Bucket { .. } | Rule::Window { .. } | Rule::Leases { .. } => self.clone(),
        }
    }
}

impl KeyPart {
    fn of<'v, P: Platform>(&self, visit: &'v Visit<'_, P>) -> Option<Cow<'v, str>> {
        match self {
            KeyPart::ClientAddress(bits) => visit.client.address.map(|address| network(address, *bits).into()),
            KeyPart::Consumer => visit.caller.identity(),
            KeyPart::Group => match visit.caller.groups() {
                [] => None,
                groups => Some(groups.join(",").into()),
            },
            KeyPart::Header(name) => visit.headers.get(name).map(String::from_utf8_lossy),
            KeyPart::Query(name) => {
                http::parameters(visit.line.query.as_deref()?, name).next().map(|v| v.into_owned().into())
            }
            KeyPart::Cookie(name) => http::cookies(visit.headers, name).into_iter().next().map(Cow::from),
            KeyPart::Claim(name) => match visit.caller.claim(name)? {
                Value::String(text) => Some(text.as_str().into()),
                Value::Null => None,
                other => Some(other.to_string().into()),
            },
            KeyPart::Parameter(name) => visit.parameters.get(name).map(Cow::from),
            KeyPart::Route => Some(visit.route.into()),
            KeyPart::Method => Some(visit.line.method.as_str().into()),
            KeyPart::Country => visit.client.country.as_deref().map(Cow::from),
            KeyPart::RpcMethod => Some(visit.memo.rpc_method()).filter(|method| !method.is_empty()).map(Cow::from),
            #[cfg(feature = "graphql")]
            KeyPart::Operation => visit
                .memo
                .operation
                .as_ref()
                .map(|operation| operation.name.as_str().into())
                .filter(|name: &Cow<'_, str>| !name.is_empty()),
        }
    }
}

/// An address as limits see it: of an IPv6 address the front, since whoever has one has all that begin alike.
fn network(address: IpAddr, bits: u8) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits.min(128))).unwrap_or(0);
            std::net::Ipv6Addr::from(u128::from(address) & mask).to_string()
        }
    }
}

impl Exempt {
    /// Whether everybody is counted.
    pub fn is_nobody(&self) -> bool {
        *self == Self::default()
    }

    fn includes(&self, caller: &Caller, client: &Client) -> bool {
        client.address.is_some_and(|ip| self.addresses.iter().any(|range| range.contains(ip)))
            || caller.name().is_some_and(|name| self.consumers.iter().any(|exempt| exempt == name))
            || caller.groups().iter().any(|group| self.groups.contains(group))
    }
}

/// Where limits of a data centre are counted.
fn location(client: &Client) -> &str {
    client.data_centre.as_deref().unwrap_or("here")
}

impl Afterwards {
    /// Whether another owner than this instance is asked.
    #[cfg(feature = "telemetry")]
    pub fn asks(&self) -> bool {
        matches!(self.owner, Owner::There(_))
    }

    /// Does it.
    pub async fn perform<P: Platform>(self, platform: &P, counters: &Counters) -> Result<(), StoreError> {
        match &self.owner {
            Owner::Here(place) => drop(counters.change(platform, *place, &self.order, platform.now())),
            Owner::There(key) => drop(platform.take(key, &self.order).await?),
            Owner::Platform => {}
        }
        Ok(())
    }
}

impl Counters {
    fn with<P: Platform, T>(&self, platform: &P, then: impl FnOnce(&mut Tables) -> T) -> T {
        let mut tables = self.tables.borrow_mut();
        then(tables.get_or_insert_with(|| Tables {
            counted: Table::new(platform.random(), REMEMBERED),
            purses: Table::new(platform.random(), PURSES),
        }))
    }

    fn place<P: Platform>(&self, platform: &P, key: &str) -> u64 {
        self.with(platform, |tables| tables.counted.place(key.as_bytes()))
    }

    fn change<P: Platform>(&self, platform: &P, place: u64, order: &Order, now: Timestamp) -> Decision {
        self.with(platform, |tables| {
            tables.counted.change(place, |kept| {
                let step = perform(order, kept, now);
                (step.decision, step.kept)
            })
        })
    }

    fn purse<P: Platform, T>(&self, platform: &P, place: u64, then: impl FnOnce(&mut Purse) -> T) -> T {
        self.with(platform, |tables| {
            tables.purses.change(place, |purse| {
                let mut purse = purse.unwrap_or_default();
                (then(&mut purse), purse)
            })
        })
    }

    /// What the store says, for a bounded time. A store that fails changes nothing: what was known goes on.
    async fn plan<P: Platform>(&self, platform: &P, place: &str, hold: u64, memo: &mut Memo) -> Rc<Stored> {
        let now = platform.now();
        let known = self.plans.borrow_mut().get(place);
        if let Some(known) = known.as_ref().filter(|known| now < known.until) {
            return known.found.clone();
        }
        let found = match platform.lookup(place).await {
            Ok(None) => Rc::default(),
            Ok(Some(bytes)) => match record::read_in_any_order(&bytes) {
                Ok(stored) => Rc::new(stored),
                Err(error) => {
                    let detail = format!("{place} in the store is not a plan: {error}");
                    memo.remarks.push(Remark { problem: "limit-uncertain", detail });
                    known.map(|known| known.found).unwrap_or_default()
                }
            },
            Err(error) => {
                let detail = format!("{place} cannot be read: {}", error.0);
                memo.remarks.push(Remark { problem: "limit-uncertain", detail });
                known.map(|known| known.found).unwrap_or_default()
            }
        };
        let record = Record { found: found.clone(), until: now.saturating_add(hold) };
        self.plans.borrow_mut().put(place, record);
        found
    }
}

impl Dialect {
    /// Writes the fields. Of several limits the most constraining stands where there is place for one.
    fn tell(self, headers: &mut Headers, told: &[Told], now: Timestamp) {
        if self == Dialect::Ietf && !told.is_empty() {
            let policies: Vec<_> = told.iter().map(|told| told.limit.policy()).collect();
            headers.set("ratelimit-policy", policies.join(", "));
        }
        let known = || told.iter().filter_map(|told| Some((&told.limit, told.standing?)));
        let share = |(limit, standing): &(&Named, Standing)| {
            u128::from(standing.remaining) * 1_000_000 / u128::from(limit.rule.limit().max(1))
        };
        let Some((tightest, standing)) = known().min_by_key(share) else { return };
        let limit = tightest.rule.limit();
        match self {
            Dialect::Ietf => {
                let standings: Vec<_> = known().map(|(limit, standing)| limit.standing(standing)).collect();
                headers.set("ratelimit", standings.join(", "));
            }
            Dialect::Kong => {
                for (limit, standing) in known() {
                    let Some(unit) = limit.unit() else { continue };
                    headers.set(&format!("x-ratelimit-limit-{unit}"), limit.rule.limit().to_string());
                    headers.set(&format!("x-ratelimit-remaining-{unit}"), standing.remaining.to_string());
                }
                headers.set("ratelimit-limit", limit.to_string());
                headers.set("ratelimit-remaining", standing.remaining.to_string());
                headers.set("ratelimit-reset", seconds(standing.reset).to_string());
            }
            Dialect::Github => {
                headers.set("x-ratelimit-limit", limit.to_string());
                headers.set("x-ratelimit-remaining", standing.remaining.to_string());
                headers.set("x-ratelimit-used", limit.saturating_sub(standing.remaining).to_string());
                headers.set("x-ratelimit-reset", seconds(now.saturating_add(standing.reset)).to_string());
                headers.set("x-ratelimit-resource", &tightest.name);
            }
            Dialect::Spring => {
                let rate = match &tightest.rule {
                    Rule::Bucket { rate, .. } => *rate,
                    Rule::Window { .. } | Rule::Calendar { .. } | Rule::Leases { .. } => limit,
                };
                headers.set("x-ratelimit-remaining", standing.remaining.to_string());
                headers.set("x-ratelimit-replenish-rate", rate.to_string());
                headers.set("x-ratelimit-burst-capacity", limit.to_string());
                headers.set("x-ratelimit-requested-tokens", "1");
            }
        }
    }
}

impl Named {
    /// An item of `RateLimit-Policy`.
    fn policy(&self) -> String {
        let quota = integer(self.rule.limit());
        let window = match &self.rule {
            // The time in which an empty bucket is full again.
            Rule::Bucket { rate, per, burst } => {
                let time = (u128::from(*burst) * u128::from(*per)).checked_div(u128::from(*rate));
                time.map(|time| u64::try_from(time).unwrap_or(u64::MAX))
            }
            Rule::Window { per, .. } => Some(*per),
            Rule::Calendar { every, .. } => Some(every.length()),
            Rule::Leases { .. } => None,
        };
        match window {
            Some(window) => format!("\"{}\";q={quota};w={}", self.name, integer(seconds(window).max(1))),
            None if matches!(self.rule, Rule::Leases { .. }) => {
                format!("\"{}\";q={quota};qu=\"concurrent-requests\"", self.name)
            }
            None => format!("\"{}\";q={quota}", self.name),
        }
    }

    /// An item of `RateLimit`.
    fn standing(&self, Standing { remaining, reset }: Standing) -> String {
        format!("\"{}\";r={};t={}", self.name, integer(remaining), integer(seconds(reset)))
    }

    /// The unit of time that Kong names, where it is one.
    fn unit(&self) -> Option<&'static str> {
        let per = match &self.rule {
            Rule::Bucket { per, .. } | Rule::Window { per, .. } => *per,
            Rule::Calendar { every, .. } => every.length(),
            Rule::Leases { .. } => return None,
        };
        Some(match per {
            1_000 => "second",
            60_000 => "minute",
            3_600_000 => "hour",
            86_400_000 => "day",
            2_592_000_000 => "month",
            _ => return None,
        })
    }
}

/// Seconds, begun ones as whole ones.
pub fn seconds(milliseconds: u64) -> u64 {
    milliseconds.div_ceil(1_000)
}

/// RFC 9651 §3.3.1: an integer has fifteen digits at most.
fn integer(number: u64) -> u64 {
    number.min(999_999_999_999_999)
}
