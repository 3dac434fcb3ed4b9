//! What is shown of the configuration, of targets, of metrics, and of what has happened lately.

use super::activity::{Activity, BOUNDS, COARSE, Calls, Cell, FINE, HOUR, Ring};
use super::changes::{Closed, Mark, State, identifier, shown};
use super::{bad, most, number, parameter, uncertain};
use crate::error::Error;
use crate::explain::path;
use crate::gateway::{Action, Gateway};
use crate::http::Scheme;
use crate::ledger::Ledger;
use crate::platform::{Platform, Timestamp};
use crate::request::Request;
use crate::route::{Conditions, Named, Test};
use crate::serve;
use crate::telemetry::metrics::{Instrument, Kind, Sums, Value as Sum};
use crate::telemetry::watch::Watched;
use crate::upstream::{Balance, Pool, State as BreakerState, WHOLE};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

impl Gateway {
    /// The configuration as it was written.
    pub(super) fn written(&self) -> String {
        let head = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "configuration": serve::digest(&self.configuration),
            "features": self.globals().features,
        });
        let document = self.document();
        let written = std::str::from_utf8(&document).ok().filter(|text| !text.is_empty()).unwrap_or("{}");
        // A text of JSON already, which nobody needs to read.
        format!("{},\"written\":{written}}}", head.to_string().trim_end_matches('}'))
    }

    /// Some of the routes.
    pub(super) fn list_routes(&self, request: &Request) -> Result<Value, Error> {
        let (after, most) = (number(request, "after")?, most(request, 200)?);
        let state = self.changes.state();
        let mut routes = Vec::new();
        let (mut total, mut next) = (0_u64, None);
        for (rank, route) in self.routes().all() {
            total += 1;
            if after.is_some_and(|after| u64::from(rank) < after) {
                continue;
            }
            if routes.len() >= most {
                next = next.or(Some(rank));
                continue;
            }
            let plan = &route.then;
            let upstream = plan.action.forward().and_then(|forward| self.upstreams().get(forward.upstream as usize));
            let policies = self.policies.get(plan.policies);
            let kinds: Vec<&str> = policies.iter().flat_map(|list| list.iter()).map(|policy| policy.kind()).collect();
            let paths: Vec<String> = route.paths.iter().map(|matcher| path(Some(matcher))).collect();
            routes.push(json!({
                "name": route.name,
                "rank": rank,
                "paths": paths,
                "conditions": in_words(&route.conditions),
                "action": action(&plan.action),
                "upstream": upstream.map(|pool| &pool.upstream.name),
                "policies": kinds,
                "maintenance": state.maintenance.get(&route.name).map(closed),
            }));
        }
        Ok(json!({ "routes": routes, "total": total, "next": next }))
    }

    /// Every upstream and its targets.
    pub(super) async fn list_upstreams<P: Platform>(&self, platform: &Watched<'_, P>) -> Value {
        let state = self.changes.state();
        let mut upstreams = Vec::new();
        for pool in self.upstreams() {
            upstreams.push(upstream(platform, pool, &state).await);
        }
        json!({ "scope": "instance", "upstreams": upstreams })
    }

    /// What all instances have counted.
    pub(super) async fn show_metrics<P: Platform>(&self, platform: &Watched<'_, P>) -> Result<Value, Error> {
        let telemetry = self.telemetry.as_ref().ok_or_else(nothing_kept)?;
        let kept = telemetry.sums(platform.bare()).await.map_err(uncertain)?;
        let sums = Sums::read(&kept);
        let mut series: BTreeMap<Instrument, Vec<Value>> = BTreeMap::new();
        for one in sums.series() {
            let labels: Map<String, Value> =
                one.labels().map(|(name, value)| (name.to_owned(), value.to_owned().into())).collect();
            let shown = match one.value {
                Sum::Sum(sum) => json!({ "labels": labels, "sum": sum }),
                Sum::Times { counts, sum } => json!({
                    "labels": labels,
                    "counts": counts,
                    "count": counts.iter().fold(0_u64, |all, count| all.saturating_add(*count)),
                    "sum_ms": sum,
                }),
            };
            series.entry(one.instrument).or_default().push(shown);
        }
        let instruments = Instrument::ALL.into_iter().map(|instrument| {
            json!({
                "name": instrument.name(),
                "about": instrument.about(),
                "unit": instrument.unit(),
                "kind": match instrument.kind() {
                    Kind::Counter => "counter",
                    Kind::Histogram => "histogram",
                },
                "series": series.remove(&instrument).unwrap_or_default(),
            })
        });
        let instruments: Vec<Value> = instruments.collect();
        Ok(json!({ "scope": "all", "now": platform.now(), "bounds_ms": sums.bounds(), "instruments": instruments }))
    }

    /// What has happened lately in all instances, this one included.
    pub(super) async fn activity<P: Platform>(&self, platform: &Watched<'_, P>) -> Result<Activity, Error> {
        match &self.telemetry {
            Some(telemetry) => telemetry.activity(platform.bare()).await.map_err(uncertain),
            // A version without an interface of its own observes nothing, but others do.
            None => {
                let kept = platform.collect(Ledger::Activity, b"").await;
                kept.map(|kept| Activity::read(&kept)).map_err(|error| uncertain(error.0))
            }
        }
    }

    /// The share of requests that come into the live tail.
    pub(super) fn sampled(&self) -> f64 {
        let rules = self.globals().telemetry.as_deref().and_then(|rules| rules.activity.as_ref());
        rules.map_or(0.0, |rules| rules.sample)
    }
}

fn nothing_kept() -> Error {
    uncertain("the configuration keeps nothing of what happens".to_owned())
}

async fn upstream<P: Platform>(platform: &Watched<'_, P>, pool: &Pool, state: &State) -> Value {
    let now = platform.now();
    let name = &pool.upstream.name;
    let checked = checked(platform, pool).await;
    let mut targets = Vec::new();
    let known = pool.targets().iter().zip(&pool.upstream.targets).zip(pool.report(now));
    for (at, ((target, rule), report)) in (0..).zip(known) {
        let drain = state.drained.get(name).and_then(|targets| targets.get(pool.name(at)));
        let (state, until) = match (report.drained, report.ejected_until, report.ill_until) {
            (true, ..) => ("drained", None),
            (false, _, Some(until)) => ("ill", Some(until)),
            (false, Some(until), None) => ("ejected", Some(until)),
            (false, None, None) => ("in_rotation", None),
        };
        targets.push(json!({
            "name": pool.name(at),
            "url": format!("{}://{}{}", target.scheme, target.authority, target.base),
            "weight": rule.weight,
            "priority": rule.priority,
            "state": state,
            "until": until,
            "under_way": report.under_way,
            "share": f64::from(report.share) / f64::from(WHOLE),
            "drain": drain.map(mark),
            "check": checked.get(&target.identity()),
        }));
    }
    let balance = match pool.upstream.rules.as_ref().map(|rules| &rules.balance) {
        None | Some(Balance::RoundRobin) => "round_robin",
        Some(Balance::Random) => "random",
        Some(Balance::LeastRequests) => "least_requests",
        Some(Balance::Latency) => "latency",
        Some(Balance::Hash { .. }) => "hash",
    };
    let breaker = pool.breaker(now).map(|breaker| {
        let until = if let BreakerState::Open { until } = breaker { Some(until) } else { None };
        json!({ "state": breaker.as_str(), "until": until })
    });
    json!({ "name": name, "balance": balance, "breaker": breaker, "targets": targets })
}

/// What checks have found, for all instances, by the numbers of the targets' addresses.
#[cfg(feature = "checks")]
async fn checked<P: Platform>(platform: &Watched<'_, P>, pool: &Pool) -> BTreeMap<u64, Value> {
    use crate::upstream::check::{Board, name};
    if pool.checks().is_none() {
        return BTreeMap::new();
    }
    // Who cannot be asked has found nothing.
    let board =
        platform.board(&pool.board_key()).await.ok().flatten().map(|text| Board::read(&text)).unwrap_or_default();
    let findings = pool.targets().iter().filter_map(|target| {
        let found = board.findings.get(&name(target.identity()))?;
        Some((target.identity(), json!({ "at": found.at, "ill": found.ill, "contrary": found.contrary })))
    });
    findings.collect()
}

#[cfg(not(feature = "checks"))]
async fn checked<P: Platform>(_: &Watched<'_, P>, _: &Pool) -> BTreeMap<u64, Value> {
    BTreeMap::new()
}

fn action(action: &Action) -> &'static str {
    match action {
        Action::Forward(_) => "forward",
        #[cfg(feature = "grpc")]
        Action::Grpc(_) => "grpc",
        #[cfg(feature = "graphql")]
        Action::Graphql(_) => "graphql",
        #[cfg(feature = "soap")]
        Action::Soap(_) => "soap",
        #[cfg(feature = "json_rpc")]
        Action::JsonRpc(_) => "json_rpc",
        #[cfg(feature = "mcp")]
        Action::Mcp(_) => "mcp",
        #[cfg(feature = "mcp")]
        Action::ProtectedResource(_) => "mcp_metadata",
        Action::Redirect(_) => "redirect",
        Action::Respond(_) => "respond",
        #[cfg(feature = "credentials")]
        Action::IdentityKeys => "identity_keys",
        Action::Serve(_) => "serve",
        #[cfg(feature = "cache")]
        Action::Purge => "purge",
        #[cfg(feature = "compose")]
        Action::Compose(_) => "compose",
        #[cfg(feature = "compose")]
        Action::Batch(_) => "batch",
    }
}

/// What a route asks besides host and path. Values that it compares with stay inside: some routes are told by secrets.
fn in_words(conditions: &Conditions) -> Vec<String> {
    let mut words = Vec::new();
    let mut list = |what: &str, names: &[String]| {
        if !names.is_empty() {
            words.push(format!("{what} {}", names.join(" or ")));
        }
    };
    list("method", &conditions.methods);
    list("country", &conditions.countries);
    list("data centre", &conditions.data_centres);
    let addresses: Vec<String> = conditions.addresses.iter().map(ToString::to_string).collect();
    list("client address in", &addresses);
    if let Some(scheme) = conditions.scheme {
        words.push(match scheme {
            Scheme::Http => "scheme http".to_owned(),
            Scheme::Https => "scheme https".to_owned(),
        });
    }
    let named = [("header", &conditions.headers), ("query", &conditions.query), ("cookie", &conditions.cookies)];
    for (what, tests) in named {
        words.extend(tests.iter().map(|Named { name, test }| {
            let asks = match test {
                Test::Present => "is there",
                Test::Absent => "is not there",
                Test::Any(_) => "has one of some values",
                Test::Prefix(_) => "begins in some way",
                #[cfg(feature = "regex")]
                Test::Regex(_) => "fits a regular expression",
            };
            format!("{what} {name} {asks}")
        }));
    }
    if !conditions.not.is_empty() {
        words.push(format!("{} exclusions", conditions.not.len()));
    }
    words
}

fn mark(mark: &Mark) -> Value {
    json!({ "since": mark.since, "by": mark.by, "reason": mark.reason })
}

fn closed(closed: &Closed) -> Value {
    let Mark { since, by, reason } = &closed.mark;
    json!({ "since": since, "by": by, "reason": reason, "retry_after": closed.retry_after })
}

/// What is taken back from caches, in words.
#[cfg(feature = "cache")]
pub(super) fn purged(change: &crate::cache::purge::Change) -> String {
    use crate::cache::purge::What;
    const SHOWN: usize = 5;
    let soft = change.add.iter().any(|(_, soft)| *soft);
    let mut words: Vec<String> = change
        .add
        .iter()
        .take(SHOWN)
        .map(|(what, _)| match what {
            What::Everything => "everything".to_owned(),
            // What stands behind `?` is nobody's business.
            What::Url(url) => format!("url {}", clipped(url.split('?').next().unwrap_or_default())),
            What::Prefix(prefix) => format!("prefix {}", clipped(prefix.split('?').next().unwrap_or_default())),
            What::Tag(tag) => format!("tag {}", clipped(tag)),
        })
        .collect();
    if change.add.len() > SHOWN {
        words.push(format!("{} more", change.add.len() - SHOWN));
    }
    format!("{}{}", words.join(", "), if soft { " (soft)" } else { "" })
}

#[cfg(feature = "cache")]
fn clipped(text: &str) -> &str {
    &text[..text.floor_char_boundary(200)]
}

/// Keys that are revoked.
pub(super) fn revoked(state: &State) -> Value {
    let revoked = state.revoked.iter().map(|(key, Mark { since, by, reason })| {
        let shown = shown(key);
        let kind = shown.split(' ').next().unwrap_or_default();
        json!({ "id": identifier(key), "kind": kind, "shown": shown, "since": since, "by": by, "reason": reason })
    });
    json!({ "revoked": revoked.collect::<Vec<_>>() })
}

/// Some lines of the log.
pub(super) fn audit(state: &State, request: &Request) -> Result<Value, Error> {
    let most = most(request, 100)?;
    let after = from(number(request, "after")?, state.next, state.audit.len(), most);
    let lines = state.audit.iter().filter(|entry| entry.sequence >= after).take(most).map(|entry| {
        json!({
            "sequence": entry.sequence,
            "at": entry.mark.since,
            "by": entry.mark.by,
            "from": entry.from,
            "action": entry.act.action(),
            "subject": entry.act.subject(),
            "reason": entry.mark.reason,
            "request_id": entry.request_id,
            "failed": entry.failed,
        })
    });
    let lines: Vec<Value> = lines.collect();
    let next = lines.last().and_then(|line| line["sequence"].as_u64()).map_or(after.max(state.next), |last| last + 1);
    Ok(json!({ "entries": lines, "next": next }))
}

/// From which number on lines are shown: those behind a cursor, or else the latest. A cursor of before a ledger was lost is none.
fn from(after: Option<u64>, next: u64, kept: usize, most: usize) -> u64 {
    after.filter(|after| *after <= next).unwrap_or_else(|| next.saturating_sub(kept.min(most) as u64))
}

/// Some of the latest requests.
pub(super) fn lines(ring: &Ring, request: &Request, sampled: f64) -> Result<Value, Error> {
    let most = most(request, 100)?;
    let filter = Filter::read(request)?;
    let asked = number(request, "after")?;
    let first = ring.lines.front().map_or(ring.next, |(number, _)| *number);
    // Whoever filters without a cursor wants the latest of all that fit.
    let after = from(asked, ring.next, ring.lines.len(), if filter.is_empty() { most } else { usize::MAX });
    let mut shown = Vec::new();
    let mut next = after.max(ring.next);
    for (number, line) in ring.lines.iter().filter(|(number, _)| *number >= after) {
        let Ok(record) = serde_json::from_str::<Value>(line) else { continue };
        if !filter.takes(&record) {
            continue;
        }
        if shown.len() >= most && asked.is_some() {
            next = *number;
            break;
        }
        shown.push(json!({ "sequence": number, "record": record }));
    }
    if shown.len() > most {
        shown.drain(..shown.len() - most);
    }
    Ok(json!({
        "scope": "all",
        "requests": shown,
        "next": next,
        "missed": if asked.is_some() { first.saturating_sub(after) } else { 0 },
        "sampled": sampled,
        "dropped": ring.dropped,
    }))
}

/// Which lines somebody wants to see.
struct Filter {
    route: Option<String>,
    status: Option<(u64, u64)>,
    slower_than: Option<u64>,
    consumer: Option<String>,
    path_prefix: Option<String>,
}

impl Filter {
    fn read(request: &Request) -> Result<Self, Error> {
        let text = |name| parameter(request, name).map(std::borrow::Cow::into_owned);
        let status = match text("status") {
            None => None,
            Some(status) => {
                let class =
                    status.strip_suffix("xx").filter(|class| class.len() == 1).and_then(|class| class.parse().ok());
                let exact = status.parse::<u64>().ok().filter(|status| (100..=599).contains(status));
                Some(match (class, exact) {
                    (Some(class @ 1..=5), _) => (class * 100, class * 100 + 99),
                    (_, Some(exact)) => (exact, exact),
                    _ => return Err(bad("`status` is neither a status nor a class such as `5xx`.")),
                })
            }
        };
        let (route, consumer, path_prefix) = (text("route"), text("consumer"), text("path_prefix"));
        Ok(Self { route, status, slower_than: number(request, "slower_than")?, consumer, path_prefix })
    }

    fn is_empty(&self) -> bool {
        let Self { route, status, slower_than, consumer, path_prefix } = self;
        route.is_none() && status.is_none() && slower_than.is_none() && consumer.is_none() && path_prefix.is_none()
    }

    fn takes(&self, record: &Value) -> bool {
        let is = |name: &str, wanted: &Option<String>| {
            wanted.as_deref().is_none_or(|wanted| record[name].as_str() == Some(wanted))
        };
        let took = || record["http.server.request.duration"].as_f64().unwrap_or_default() * 1_000.0;
        #[allow(clippy::cast_precision_loss)] // Nobody waits that long.
        let is_slow = self.slower_than.is_none_or(|than| took() > than as f64);
        let status = record["http.response.status_code"].as_u64().unwrap_or_default();
        is("http.route", &self.route)
            && is("postern.consumer", &self.consumer)
            && is_slow
            && self.status.is_none_or(|(from, to)| (from..=to).contains(&status))
            && self
                .path_prefix
                .as_deref()
                .is_none_or(|prefix| record["url.path"].as_str().is_some_and(|path| path.starts_with(prefix)))
    }
}

/// What has come to each route over time.
pub(super) fn series(activity: &Activity, request: &Request, now: Timestamp) -> Result<Value, Error> {
    let (periods, (step, _)) = match parameter(request, "resolution").as_deref() {
        None | Some("10s") => (&activity.fine, FINE),
        Some("10m") => (&activity.coarse, COARSE),
        Some(_) => return Err(bad("`resolution` is neither `10s` nor `10m`.")),
    };
    let wanted = parameter(request, "route");
    let wanted = wanted.as_deref();
    let mut series: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for (period, routes) in periods {
        for (route, cell) in routes.iter().filter(|(route, _)| wanted.is_none_or(|wanted| wanted == route.as_str())) {
            series.entry(route).or_default().push(point(period.saturating_mul(step), cell));
        }
    }
    let series: Vec<Value> =
        series.into_iter().map(|(route, points)| json!({ "route": named(route), "points": points })).collect();
    let mut refusals: BTreeMap<(&str, &str, &str), (u64, Timestamp)> = BTreeMap::new();
    for refusal in activity.refusals.values().flatten() {
        if wanted.is_none_or(|wanted| wanted == refusal.route) {
            let key = (refusal.route.as_str(), refusal.policy.as_str(), refusal.problem.as_str());
            let (count, last) = refusals.entry(key).or_default();
            *count = count.saturating_add(refusal.count);
            *last = (*last).max(refusal.last);
        }
    }
    let mut refusals: Vec<_> = refusals.into_iter().collect();
    refusals.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
    let refusals = refusals.into_iter().map(|((route, policy, problem), (count, last))| {
        json!({ "route": named(route), "policy": named(policy), "problem": problem, "count": count, "last": last })
    });
    Ok(json!({
        "scope": "all",
        "now": now,
        "step_ms": step,
        "bounds_ms": BOUNDS,
        "series": series,
        "refusals": refusals.collect::<Vec<_>>(),
    }))
}

fn named(name: &str) -> Option<&str> {
    Some(name).filter(|name| !name.is_empty())
}

fn point(at: Timestamp, cell: &Cell) -> Value {
    json!({
        "at": at,
        "requests": cell.requests(),
        "statuses": cell.statuses(),
        "refused": cell.refused(),
        "durations": cell.classes(),
        "duration_ms": cell.duration(),
    })
}

/// Who calls most.
pub(super) fn consumers(activity: &Activity, request: &Request) -> Result<Value, Error> {
    let most = most(request, 20)?;
    let mut all: BTreeMap<&str, Calls> = BTreeMap::new();
    for (name, calls) in activity.consumers.values().flatten() {
        let sum = all.entry(name).or_default();
        sum.requests = sum.requests.saturating_add(calls.requests);
        sum.errors = sum.errors.saturating_add(calls.errors);
        sum.refused = sum.refused.saturating_add(calls.refused);
        sum.last = sum.last.max(calls.last);
    }
    let mut all: Vec<_> = all.into_iter().collect();
    all.sort_by_key(|(_, calls)| std::cmp::Reverse(calls.requests));
    let consumers = all.into_iter().take(most).map(|(consumer, Calls { requests, errors, refused, last })| {
        json!({ "consumer": consumer, "requests": requests, "errors": errors, "refused": refused, "last": last })
    });
    let window = COARSE.0 * HOUR as u64;
    Ok(json!({ "scope": "all", "window_ms": window, "consumers": consumers.collect::<Vec<_>>() }))
}

/// Limits that are nearly used up.
pub(super) fn limits(activity: &Activity, request: &Request, now: Timestamp) -> Result<Value, Error> {
    let most = most(request, 50)?;
    let mut limits: Vec<_> = activity.limits.iter().filter(|limited| now < limited.resets).collect();
    limits.sort_by_key(|limited| limited.remaining.saturating_mul(1_000_000) / limited.of.max(1));
    let limits = limits.into_iter().take(most).map(|limited| {
        let used = limited.of.saturating_sub(limited.remaining);
        #[allow(clippy::cast_precision_loss)] // A share, for people.
        let share = used as f64 / limited.of.max(1) as f64;
        json!({
            "limit": limited.limit,
            "rule": limited.rule,
            "caller": limited.caller,
            "route": limited.route,
            "used": used,
            "of": limited.of,
            "remaining": limited.remaining,
            "share": share,
            "resets": limited.resets,
            "at": limited.at,
        })
    });
    Ok(json!({ "scope": "all", "limits": limits.collect::<Vec<_>>() }))
}
