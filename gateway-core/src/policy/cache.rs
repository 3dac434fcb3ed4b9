//! Answers from the store what has been answered before, by the rules of HTTP (RFC 9111).
//!
//! What stands before this policy is done for every request; what stands behind it only for those that go on, and its edits of the
//! response are stored with it. The decisions are in [`crate::cache`]; here the store and the origin are asked.

use super::{Deferred, Departure, Flow, Remark, Visit};
use crate::cache::conditions::{Conditions, belongs_into_304};
use crate::cache::directive::Wishes;
use crate::cache::entry::{Entry, Field, KEPT_LONGEST, Record, Varies};
use crate::cache::flights::{self, Flights, Seat};
use crate::cache::fresh::Times;
use crate::cache::key::{self, Place, Query};
use crate::cache::near::{self, Lately};
use crate::cache::purge::{Change, OWNER, Purged};
use crate::cache::range::{self, Part};
use crate::cache::status::{Forward, Told};
use crate::cache::storing::{self, Asked, Storable, Terms, Why};
use crate::cache::using::{self, Use};
use crate::cache::{Memory, canonical, update};
use crate::client::Client;
use crate::error::Error;
#[cfg(feature = "expressions")]
use crate::expression::Expression;
use crate::http::{self, Body, Headers, Response};
use crate::path;
use crate::platform::{Item, Platform, Reach, ReadError, Timestamp};
use crate::pump;
use crate::request::Line;
use crate::serve::{Store, Used};
use crate::template::Template;
use crate::upstream::is_safe;
use serde::{Deserialize, Serialize};
use std::rc::Rc;
use std::time::Duration;

/// A cache before an upstream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cache {
    /// Policies of the same name share what is stored.
    #[serde(rename = "n")]
    pub name: String,
    /// Where what is stored can be found.
    #[serde(rename = "where")]
    pub reach: Reach,
    /// The name in `Cache-Status`; `None`: it is not sent.
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    pub told_as: Option<String>,
    /// Methods besides `GET` and `HEAD` that only ask, and whose bodies belong to the key.
    #[serde(rename = "m", default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// The most bytes of such a body.
    #[serde(rename = "l")]
    pub request_body: u64,
    /// What requests are told apart by.
    #[serde(rename = "k")]
    pub key: KeyRules,
    /// Requests that pass it by.
    #[cfg(feature = "expressions")]
    #[serde(rename = "b", default, skip_serializing_if = "Vec::is_empty")]
    pub bypass: Vec<Expression>,
    /// What is stored, and for how long.
    #[serde(rename = "t")]
    pub terms: Terms,
    /// For how many milliseconds requests wait for what another one fetches; 0: not at all.
    #[serde(rename = "p")]
    pub patience: u64,
    /// For how many milliseconds an instance has at hand what it has found in the store; 0: not at all.
    #[serde(rename = "o")]
    pub moment: u64,
    /// Whether what clients say in `Cache-Control` counts.
    #[serde(rename = "w")]
    pub heeds_clients: bool,
    /// Whether anybody can take back what is stored.
    #[serde(rename = "x", default, skip_serializing_if = "std::ops::Not::not")]
    pub purges: bool,
}

/// What requests are told apart by.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeyRules {
    /// Whether hosts are told apart, and schemes with them.
    #[serde(rename = "h")]
    pub host: bool,
    /// The parameters of the query that count.
    #[serde(rename = "q")]
    pub query: Query,
    /// Whether their order does not count.
    #[serde(rename = "s", skip_serializing_if = "std::ops::Not::not")]
    pub sorted: bool,
    /// Fields, in lower case.
    #[serde(rename = "f", skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
    /// Cookies.
    #[serde(rename = "c", skip_serializing_if = "Vec::is_empty")]
    pub cookies: Vec<String>,
    /// Claims of a token.
    #[serde(rename = "a", skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<String>,
    /// Whatever else.
    #[serde(rename = "v", skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<Template>,
    /// Whether each caller has a part of the store.
    #[serde(rename = "p", skip_serializing_if = "std::ops::Not::not")]
    pub by_caller: bool,
}

/// What a cache has to do with a request, between its way in and its way back.
#[derive(Debug)]
pub struct Cached<S> {
    /// Whether nobody waits for this: what is stored is renewed, as this flight.
    pub renews: Option<Flight>,
    /// What is still to come.
    pending: Option<Pending<S>>,
    /// A stored response that was used is to be renewed afterwards, as this.
    pub renew: Option<Flight>,
    /// Whether the response is one that was stored. An upstream has made it, and the policies outside the cache do what they would
    /// do to it when it comes from there.
    pub from_store: bool,
}

impl<S> Cached<S> {
    /// Nothing yet.
    pub fn new(renews: Option<Flight>) -> Self {
        Self { renews, pending: None, renew: None, from_store: false }
    }
}

/// What others wait for. It lands when nobody holds it any more: when there is nothing to store, when all is stored, and when the
/// request is given up on its way.
#[derive(Debug, Clone)]
pub struct Flight(Rc<Aloft>);

#[derive(Debug)]
struct Aloft {
    flights: Rc<Flights>,
    /// What is fetched.
    key: String,
    /// Whose flight it is.
    number: u64,
}

impl Flight {
    fn new(flights: &Rc<Flights>, key: String, number: u64) -> Self {
        Self(Rc::new(Aloft { flights: Rc::clone(flights), key, number }))
    }

    fn key(&self) -> &str {
        &self.0.key
    }
}

impl Keeping {
    /// The same, but nobody waits for it any more.
    pub fn unawaited(self) -> Self {
        Self { flight: None, ..self }
    }
}

impl Drop for Aloft {
    fn drop(&mut self) {
        self.flights.land(&self.key, self.number);
    }
}

/// Something is being stored, and perhaps waited for.
#[derive(Debug, Clone)]
pub struct Keeping {
    /// The platform's number of it.
    pub ticket: u32,
    /// Who waits.
    pub flight: Option<Flight>,
}

/// What the way back needs to know.
#[derive(Debug)]
enum Pending<S> {
    /// It passed by.
    Passed(Forward),
    /// It may have changed what is stored for its address: what the first keys of that begin with, and the query as far as policies
    /// have left it, which is the one that a key has.
    Unsafe(String, Option<String>),
    /// It asks the origin.
    Asks(Box<Asks<S>>),
}

#[derive(Debug)]
struct Asks<S> {
    place: Place,
    asked: Asked,
    wishes: Wishes,
    /// The request's fields before it was made to go on.
    request: Headers,
    client: Client,
    requested: Timestamp,
    /// What is stored, where it may be confirmed or has to do after a failure.
    stored: Option<Stored<S>>,
    /// The fields by which responses for this address differ, as far as that is known.
    varies: Option<Varies>,
    why: Forward,
    flight: Option<Flight>,
    /// Since when it has waited for another request, where it has.
    waited: Option<Timestamp>,
}

#[derive(Debug)]
struct Stored<S> {
    key: String,
    entry: Entry,
    body: Body<S>,
    /// Whether it was taken back softly.
    is_stale: bool,
}

/// What was found in the store cannot be read to its end.
#[derive(Debug)]
struct Lost(ReadError);

impl Lost {
    fn remark(&self) -> Remark {
        let why = match &self.0 {
            ReadError::Broken(why) => why.as_str(),
            ReadError::TooLarge => "it is longer than it says",
        };
        Remark { problem: "cache-failed", detail: format!("what is stored could not be read: {why}") }
    }
}

/// What the store has for a request.
struct Looked<S> {
    stored: Option<Stored<S>>,
    varies: Option<Varies>,
}

/// Fields that are for caches, not for clients.
const FOR_US: [&str; 4] = ["postern-cache-control", "surrogate-control", "cache-tag", "surrogate-key"];

/// With these a client makes an origin take `GET` for something else, which no key shows.
const OVERRIDES: [&str; 3] = ["x-http-method-override", "x-http-method", "x-method-override"];

/// The longest body that is read to give a part of it; of longer ones everything is sent.
const LONGEST_CUT: u64 = 16 << 20;

/// How many fields responses may differ by.
const MOST_FIELDS: usize = 32;

impl Cache {
    /// The stores of the platform that it uses. Requests are answered without them, too.
    pub fn stores(&self) -> Vec<Used> {
        let store = match self.reach {
            Reach::Location => Store::Cache,
            Reach::Global => Store::GlobalCache,
        };
        vec![Used { store, vital: false }]
    }

    /// Answers from the store, or gets the request ready for the origin.
    pub async fn on_request<P: Platform>(&self, visit: &mut Visit<'_, P>) -> Result<Flow<P::Stream>, Error> {
        let method = visit.line.method.as_str();
        #[cfg(feature = "graphql")]
        if visit.memo.operation.as_ref().is_some_and(|operation| operation.key.is_none()) {
            // What changes something says nothing of what else has changed: tags do.
            visit.cached.pending = Some(Pending::Passed(Forward::Method));
            return Ok(Flow::Continue);
        }
        let reads = matches!(method, "GET" | "HEAD")
            || self.methods.iter().any(|known| known == method)
            || asks_graphql(visit.memo);
        if !reads {
            if !is_safe(method) {
                let scope = self.scope(visit.client, visit.headers);
                visit.cached.pending = Some(Pending::Unsafe(scope, visit.query.clone()));
            }
            return Ok(Flow::Continue);
        }
        let wishes = if self.heeds_clients { Wishes::read(visit.headers) } else { Wishes::default() };
        let renews = visit.cached.renews.clone();
        let Some(place) = self.place(visit).await? else {
            // RFC 9111 §5.2.1.7: who wants nothing from the origin gets nothing from there.
            if wishes.only_if_cached && renews.is_none() {
                return Err(Error::NotCached);
            }
            visit.cached.pending = Some(Pending::Passed(Forward::Bypass));
            return Ok(Flow::Continue);
        };
        let known = visit.headers.contains("authorization") || visit.caller.is_known() || visit.caller.vouched;
        let mut asks = Asks {
            asked: Asked {
                // Nobody else has what is stored for this caller.
                authorized: known && !(self.key.by_caller && identity(visit).is_some()),
                no_store: wishes.no_store && renews.is_none(),
                url: place.url.clone(),
            },
            place,
            wishes,
            request: visit.headers.clone(),
            client: visit.client.clone(),
            requested: 0,
            stored: None,
            varies: None,
            why: Forward::UriMiss,
            flight: None,
            waited: None,
        };
        loop {
            let Looked { stored, varies } = self.look(visit, &asks).await;
            asks.varies = varies;
            asks.why = match &asks.varies {
                Some(varies) if stored.is_none() && !varies.fields.is_empty() => Forward::VaryMiss,
                Some(_) | None => Forward::UriMiss,
            };
            if let Some(stored) = stored {
                let now = visit.platform.now();
                let usable = match renews {
                    Some(_) => Use::Validate,
                    None => using::judge(&stored.entry, &asks.wishes, stored.is_stale, now),
                };
                let detail = match usable {
                    Use::Fresh if asks.waited.is_some() => Some("collapsed"),
                    Use::Fresh => None,
                    Use::Stale => Some("max-stale"),
                    Use::WhileRevalidating => {
                        self.renew_later(visit, &stored.key, now);
                        Some("stale-while-revalidate")
                    }
                    // The one that has asked for all has found the origin failing.
                    Use::Validate
                        if asks.waited.is_some_and(|since| visit.cache.flights.has_failed(&stored.key, since))
                            && using::survives_failure(&stored.entry, &asks.wishes, now) =>
                    {
                        Some("stale-if-error")
                    }
                    Use::Validate => {
                        let wanted = stored.entry.freshness(now) > 0 && !stored.is_stale && !stored.entry.no_cache;
                        asks.why = if wanted { Forward::Request } else { Forward::Stale };
                        asks.stored = Some(stored);
                        if let Some(key) = self.awaits(visit, &asks) {
                            // Nobody waits with a body in their hands.
                            self.let_go(visit.platform, asks.stored.take());
                            self.wait(visit, &mut asks, &key).await;
                            continue;
                        }
                        break;
                    }
                };
                let told = Told::Hit { ttl: stored.entry.freshness(now), detail };
                match self.serve(visit.platform, &visit.line.method, &asks.request, stored, told).await {
                    Ok(response) => {
                        visit.cached.from_store = true;
                        return Ok(Flow::Respond(response));
                    }
                    // A store that fails has nothing.
                    Err(lost) => {
                        visit.memo.remarks.push(lost.remark());
                        asks.why = Forward::UriMiss;
                        break;
                    }
                }
            }
            let Some(key) = self.awaits(visit, &asks) else { break };
            self.wait(visit, &mut asks, &key).await;
        }
        if asks.wishes.only_if_cached && renews.is_none() {
            self.let_go(visit.platform, asks.stored);
            return Err(Error::NotCached);
        }
        self.take_seat(visit, &mut asks);
        self.prepare(visit, &asks);
        asks.requested = visit.platform.now();
        visit.cached.pending = Some(Pending::Asks(Box::new(asks)));
        Ok(Flow::Continue)
    }

    /// Where the response to a request is stored; `None`: it passes by.
    async fn place<P: Platform>(&self, visit: &mut Visit<'_, P>) -> Result<Option<Place>, Error> {
        let conditional = ["if-match", "if-unmodified-since", "upgrade"];
        if conditional.iter().any(|name| visit.headers.contains(name))
            || OVERRIDES.iter().any(|name| visit.headers.contains(name) || visit.headers.has_lookalike(name))
            || self.is_bypassed(visit)
        {
            return Ok(None);
        }
        // Somebody has been let in, and nobody can say who: a part of the store for all of those would be shared by strangers.
        if self.key.by_caller && (visit.caller.is_known() || visit.caller.vouched) && identity(visit).is_none() {
            return Ok(None);
        }
        let mut more = String::new();
        #[cfg(feature = "graphql")]
        if let Some(operation) = visit.memo.operation.clone() {
            // Whether by GET or by POST: a query is known by what it asks for, wherever that stands.
            key::write(&mut more, operation.key.as_deref());
            self.more(visit, &mut more);
            let query = crate::graphql::request::others(visit.query.as_deref());
            let url = key::url(visit.line, &visit.line.path, query.as_deref(), self.key.host);
            let key = key::first(&self.scope(visit.client, visit.headers), "GRAPHQL", &url);
            return Ok(Some(Place { key, more, url }));
        }
        if matches!(visit.line.method.as_str(), "GET" | "HEAD") {
            // What the origin may look at and the key does not show would be written into the answer for others.
            if !matches!(visit.body, Body::Empty) {
                return Ok(None);
            }
        } else {
            let declared = visit.headers.content_length();
            let is_empty = matches!(visit.body, Body::Empty);
            if !is_empty && declared.is_none_or(|length| length > self.request_body) {
                return Ok(None);
            }
            let body = visit.read_body(self.request_body).await?;
            let kind = visit.headers.text("content-type").unwrap_or_default();
            let coding = visit.headers.text("content-encoding");
            let spelt = if visit.headers.is_json() && coding.is_none() { canonical::json(&body) } else { None };
            key::write(&mut more, Some(kind));
            key::write(&mut more, coding);
            match spelt {
                Some(spelt) => key::write(&mut more, Some(&crate::consumer::hash(&spelt))),
                None => key::write(&mut more, Some(&crate::consumer::hash(&crate::consumer::hex(&body)))),
            }
        }
        self.more(visit, &mut more);
        let query = self.key.query.reduce(visit.query.as_deref(), self.key.sorted);
        let url = key::url(visit.line, &visit.line.path, query.as_deref(), self.key.host);
        *visit.query = query;
        let key = key::first(&self.scope(visit.client, visit.headers), &visit.line.method, &url);
        Ok(Some(Place { key, more, url }))
    }

    /// What the first key begins with. A trusted proxy may have been asked for another host than it asks us for.
    fn scope(&self, client: &Client, headers: &Headers) -> String {
        let mut scope = self.name.clone();
        if client.through_trusted && self.key.host {
            for name in ["x-forwarded-host", "x-forwarded-proto", "forwarded"] {
                scope.push('\n');
                key::write(&mut scope, headers.text(name));
            }
        }
        scope
    }

    /// What the configuration adds to the address.
    fn more<P: Platform>(&self, visit: &Visit<'_, P>, more: &mut String) {
        let KeyRules { headers, cookies, claims, values, by_caller, .. } = &self.key;
        for name in headers {
            let lines: Vec<String> = visit.headers.all(name).map(|line| String::from_utf8_lossy(line).into()).collect();
            key::write(more, visit.headers.contains(name).then(|| lines.join(", ")).as_deref());
        }
        for name in cookies {
            let found = http::cookies(visit.headers, name);
            key::write(more, (!found.is_empty()).then(|| found.join("; ")).as_deref());
        }
        for name in claims {
            key::write(more, visit.caller.claim(name).map(ToString::to_string).as_deref());
        }
        for value in values {
            key::write(more, Some(&value.render(&visit.scope())));
        }
        if *by_caller {
            key::write(more, identity(visit).as_deref());
            // What stands there still was not what has proven who is calling, or goes on all the same: the origin may answer by it, and
            // nobody else may have that answer (RFC 9111 §3.5).
            let lines: Vec<String> = visit.headers.all("authorization").map(crate::consumer::hex).collect();
            key::write(more, (!lines.is_empty()).then(|| crate::consumer::hash(&lines.join(" "))).as_deref());
        }
    }

    #[cfg(feature = "expressions")]
    fn is_bypassed<P: Platform>(&self, visit: &mut Visit<'_, P>) -> bool {
        self.bypass.iter().any(|condition| match condition.holds(&visit.facts()) {
            Ok(holds) => holds,
            // Who cannot say whether this is for the store keeps it out.
            Err(fault) => {
                let detail = format!("the bypass of the cache `{}`: {}", self.name, condition.explain(fault));
                visit.memo.remarks.push(Remark { problem: "cache-bypassed", detail });
                true
            }
        })
    }

    #[cfg(not(feature = "expressions"))]
    fn is_bypassed<P: Platform>(&self, _: &mut Visit<'_, P>) -> bool {
        false
    }

    /// Asks the store. One that fails has nothing.
    async fn look<P: Platform>(&self, visit: &mut Visit<'_, P>, asks: &Asks<P::Stream>) -> Looked<P::Stream> {
        let platform = visit.platform;
        let mut looked = Looked { stored: None, varies: None };
        let (mut place, mut second) = (asks.place.key.clone(), false);
        loop {
            let Some((record, body)) = self.recall(visit, &place).await else { return looked };
            match record {
                Some(Record::Response(entry)) if second || asks.place.more.is_empty() => {
                    let is_stale = match self.purged(visit, &entry).await {
                        Purged::No => false,
                        Purged::Softly => true,
                        Purged::Wholly => {
                            pump::discard(platform, body);
                            return looked;
                        }
                    };
                    looked.stored = Some(Stored { key: place, entry, body, is_stale });
                    return looked;
                }
                Some(Record::Varies(varies)) if !second => {
                    pump::discard(platform, body);
                    place = key::second(&asks.place, &varies, &asks.request, visit.line, visit.client);
                    looked.varies = Some(varies);
                    second = true;
                }
                // Of another version or configuration.
                Some(Record::Response(_) | Record::Varies(_)) | None => {
                    pump::discard(platform, body);
                    return looked;
                }
            }
        }
    }

    /// What is stored under a key: at hand, or else in the store. Nothing where that fails.
    async fn recall<P: Platform>(&self, visit: &Visit<'_, P>, key: &str) -> Option<(Option<Record>, Body<P::Stream>)> {
        let (platform, near) = (visit.platform, &visit.cache.near);
        let lately = near.look(key, self.moment, platform.now());
        if let Lately::Found(record, body) = lately {
            return Some((Record::read(&record), body.into()));
        }
        let (record, body) = platform.recall(key, self.reach).await.ok()??;
        let read = Record::read(&record);
        let short = |length: u64| length <= near::LONGEST as u64;
        let is_small = match &read {
            // A platform may decode what it reads.
            Some(Record::Response(entry)) => {
                entry.field("content-encoding").is_none() && entry.length().is_some_and(short)
            }
            Some(Record::Varies(_)) => true,
            None => false,
        };
        if lately != Lately::AskedFor || !is_small {
            return Some((read, body));
        }
        let body = pump::read(platform, body, near::LONGEST).await.ok()?;
        near.hold(key, record, body.clone(), self.moment, platform.now());
        Some((read, body.into()))
    }

    /// Takes away what is stored under a key.
    async fn forget<P: Platform>(&self, platform: &P, memory: &Memory, key: &str) {
        memory.near.forget(key);
        // Where it fails, what is stored lives as long as it would have.
        let _ = platform.forget(key, self.reach).await;
    }

    /// How a stored response was taken back, as far as this instance can know.
    async fn purged<P: Platform>(&self, visit: &Visit<'_, P>, entry: &Entry) -> Purged {
        if !self.purges && !visit.cache.are_purged {
            return Purged::No;
        }
        let (known, now) = (&visit.cache.purges, visit.platform.now());
        if known.current(now).is_none() {
            known.asks(now);
            // While nobody can be asked, what was known goes on counting.
            if let Ok(marks) = visit.platform.purges(OWNER, &Change { add: Vec::new() }).await {
                known.learn(marks);
            }
        }
        known.latest().judge(entry)
    }

    /// What another request fetches already, so that this one had better wait for it. `None`: there is nothing to wait for.
    fn awaits<P: Platform>(&self, visit: &Visit<'_, P>, asks: &Asks<P::Stream>) -> Option<String> {
        if asks.waited.is_some() || !self.may_share(visit, asks) {
            return None;
        }
        let (flights, now) = (&visit.cache.flights, visit.platform.now());
        let key = self.flight_key(visit, asks);
        (flights.is_underway(&key, now) && !flights.is_uncacheable(&key, now)).then_some(key)
    }

    /// Waits until it is there, or for as long as that is worth it.
    async fn wait<P: Platform>(&self, visit: &Visit<'_, P>, asks: &mut Asks<P::Stream>, key: &str) {
        let begin = visit.platform.now();
        asks.waited = Some(begin);
        let until = begin.saturating_add(self.patience);
        for round in 0.. {
            visit.platform.sleep(Duration::from_millis(flights::pause(round))).await;
            let now = visit.platform.now();
            if !visit.cache.flights.is_underway(key, now) || now >= until {
                break;
            }
        }
    }

    /// Whether the answer to this request may be the one that others wait for.
    fn may_share<P: Platform>(&self, visit: &Visit<'_, P>, asks: &Asks<P::Stream>) -> bool {
        let Asks { asked, wishes, request, stored, .. } = asks;
        // What is never fresh, each request has to have confirmed for itself (RFC 9111 §4).
        let is_ever_fresh = |entry: &Entry| !entry.no_cache && entry.lifetime > entry.initial_age;
        self.patience > 0
            && stored.as_ref().is_none_or(|stored| is_ever_fresh(&stored.entry))
            && visit.line.method != "HEAD"
            && !asked.no_store
            && !wishes.no_cache
            && !wishes.only_if_cached
            && !request.contains("range")
            && visit.cached.renews.is_none()
    }

    fn flight_key<P: Platform>(&self, visit: &Visit<'_, P>, asks: &Asks<P::Stream>) -> String {
        if let Some(stored) = &asks.stored {
            return stored.key.clone();
        }
        let none = Varies { fields: Vec::new(), salt: String::new() };
        let varies = asks.varies.as_ref().unwrap_or(&none);
        key::second(&asks.place, varies, &asks.request, visit.line, visit.client)
    }

    /// Becomes the one that fetches for the others, unless there is one.
    fn take_seat<P: Platform>(&self, visit: &Visit<'_, P>, asks: &mut Asks<P::Stream>) {
        if let Some(flight) = &visit.cached.renews {
            asks.flight = Some(flight.clone());
            return;
        }
        let key = self.flight_key(visit, asks);
        if self.may_share(visit, asks) {
            let number = visit.platform.random();
            if let Seat::Leads(number) = visit.cache.flights.join(&key, number, self.patience, visit.platform.now()) {
                asks.flight = Some(Flight::new(&visit.cache.flights, key, number));
            }
        }
    }

    /// Has what is stored renewed when the answer is sent, unless somebody does so already.
    fn renew_later<P: Platform>(&self, visit: &mut Visit<'_, P>, key: &str, now: Timestamp) {
        let number = visit.platform.random();
        // Who fetches in the background may take its time; nobody waits for it.
        let seat = visit.cache.flights.join(key, number, LONGEST_RENEWAL, now);
        if let Seat::Leads(number) = seat {
            visit.cached.renew = Some(Flight::new(&visit.cache.flights, key.to_owned(), number));
        }
    }

    /// Makes the request such that its answer can be stored: whole, and conditional only on what is stored.
    fn prepare<P: Platform>(&self, visit: &mut Visit<'_, P>, asks: &Asks<P::Stream>) {
        let headers = &mut *visit.headers;
        if asks_graphql(visit.memo) {
            // Whether it tells of errors can be seen in what is not packed only.
            headers.set("accept-encoding", "identity");
        }
        let has_range = headers.contains("range");
        if let Some(Stored { entry, .. }) = &asks.stored {
            if visit.cached.renews.is_some() || has_range {
                headers.remove("range");
                headers.remove("if-range");
            }
            Conditions::remove(headers);
            if let Some(tag) = entry.fields.iter().find(|Field(name, _)| name == "etag") {
                headers.set("if-none-match", tag.value());
            }
            if let Some(modified) = entry.field("last-modified") {
                headers.set("if-modified-since", modified);
            }
            return;
        }
        let now = visit.platform.now();
        let key = asks.flight.as_ref().map_or(asks.place.key.as_str(), Flight::key);
        // What is not stored anyway, the client had better validate itself.
        if !has_range && !asks.asked.no_store && !visit.cache.flights.is_uncacheable(key, now) {
            Conditions::remove(headers);
        }
    }

    /// Stores what has come, and answers with what the client wants of it.
    pub async fn on_response<P: Platform>(&self, departure: &mut Departure<'_, P>) -> Result<(), Error> {
        let Some(pending) = departure.cached.pending.take() else { return Ok(()) };
        match pending {
            Pending::Passed(why) => {
                self.tell(departure.response, &forwarded(why));
                self.hide(departure.response);
                Ok(())
            }
            Pending::Unsafe(scope, query) => {
                self.invalidate(departure, &scope, query).await;
                self.tell(departure.response, &forwarded(Forward::Method));
                self.hide(departure.response);
                Ok(())
            }
            Pending::Asks(asks) => self.conclude(departure, *asks).await,
        }
    }

    async fn conclude<P: Platform>(
        &self,
        departure: &mut Departure<'_, P>,
        mut asks: Asks<P::Stream>,
    ) -> Result<(), Error> {
        let platform = departure.platform;
        let (status, now) = (departure.response.status, platform.now());
        let times = Times { requested: asks.requested, received: now };
        let method = departure.scope.line.method.clone();
        let mut stored = asks.stored.take();
        let failed = matches!(status, 500 | 502..=504);
        let renews = departure.cached.renews.is_some();
        if let Some(kept) = stored.take_if(|kept| failed && using::survives_failure(&kept.entry, &asks.wishes, now)) {
            if let Some(flight) = &asks.flight {
                departure.cache.flights.fail(flight.key(), now);
            }
            if renews {
                // It is used a while longer.
                self.let_go(platform, Some(kept));
                return Ok(());
            }
            let told = Told::Hit { ttl: kept.entry.freshness(now), detail: Some("stale-if-error") };
            match self.serve(platform, &method, &asks.request, kept, told).await {
                Ok(served) => {
                    let failure = std::mem::replace(departure.response, served);
                    pump::discard(platform, failure.body);
                    departure.cached.from_store = true;
                }
                // Then there is the failure only.
                Err(lost) => {
                    departure.memo.remarks.push(lost.remark());
                    self.tell(departure.response, &forwarded(asks.why));
                    self.hide(departure.response);
                }
            }
            return Ok(());
        }
        if failed && stored.is_some() && !departure.from_upstream && !renews {
            self.let_go(platform, stored);
            // RFC 9111 §4.2.4: what cannot be confirmed is not used, and the client is told so.
            return Err(Error::NotValidated);
        }
        if !departure.from_upstream || departure.memo.incomplete {
            // A policy behind this one has refused, or something is missing: that says nothing of what is stored.
            self.let_go(platform, stored);
            self.tell(departure.response, &forwarded(asks.why));
            return Ok(());
        }
        match stored {
            Some(stored) if status == 304 => self.confirm(departure, asks, stored, times, &method).await,
            stored => self.take(departure, asks, stored, times, &method).await,
        }
    }

    /// The origin has confirmed what is stored.
    async fn confirm<P: Platform>(
        &self,
        departure: &mut Departure<'_, P>,
        asks: Asks<P::Stream>,
        stored: Stored<P::Stream>,
        times: Times,
        method: &str,
    ) -> Result<(), Error> {
        let platform = departure.platform;
        let fresh = update::freshen(&stored.entry, &asks.asked, &departure.response.headers, &self.terms, times);
        let merged = update::merged(&stored.entry, &departure.response.headers);
        pump::discard(platform, std::mem::replace(&mut departure.response.body, Body::Empty));
        let entry = match &fresh {
            Ok(Storable { entry, .. }) => entry.clone(),
            Err(Why::Another) => stored.entry.clone(),
            Err(_) => Entry {
                fields: merged.iter().map(|(name, value)| Field::new(name, value)).collect(),
                initial_age: 0,
                received: times.received,
                requested: times.requested,
                ..stored.entry.clone()
            },
        };
        let told = Told::Forwarded {
            why: asks.why,
            status: Some(304),
            stored: fresh.is_ok(),
            collapsed: asks.waited.is_some(),
            detail: fresh.as_ref().err().map(|why| why.as_str()),
        };
        let mut body = stored.body;
        match fresh {
            Ok(storable) => body = self.keep(departure, &asks, storable, body, true).await,
            Err(_) => {
                // What is stored may no longer be used, the client's own copy may.
                self.forget(platform, departure.cache, &stored.key).await;
            }
        }
        if departure.cached.renews.is_some() {
            pump::discard(platform, body);
            return Ok(());
        }
        let stored = Stored { key: stored.key, entry, body, is_stale: false };
        let served = self.serve(platform, method, &asks.request, stored, told).await;
        *departure.response = served.map_err(|lost| {
            departure.memo.remarks.push(lost.remark());
            Error::NotValidated
        })?;
        Ok(())
    }

    /// The origin has sent a response of its own.
    async fn take<P: Platform>(
        &self,
        departure: &mut Departure<'_, P>,
        asks: Asks<P::Stream>,
        stored: Option<Stored<P::Stream>>,
        times: Times,
        method: &str,
    ) -> Result<(), Error> {
        let platform = departure.platform;
        let status = departure.response.status;
        let judged = match method {
            // The head alone is no response to keep.
            "HEAD" => Err(Why::Unsaid),
            _ if matches!(departure.response.body, Body::Pumped(..) | Body::Made(_)) => Err(Why::Changed),
            _ => storing::judge(&asks.asked, status, &departure.response.headers, &self.terms, times),
        };
        // Servers that take `X_A` for `X-A` may have chosen by what the key does not show.
        let is_blurred = judged.as_ref().is_ok_and(|storable| {
            let mut names = storable.vary.iter().chain(&self.key.headers);
            names.any(|name| asks.request.has_lookalike(name))
        });
        let judged = if is_blurred { Err(Why::Vary) } else { judged };
        #[cfg(feature = "graphql")]
        let judged = match judged {
            Ok(_) if asks_graphql(departure.memo) && !has_no_errors(departure, self.terms.body).await? => {
                Err(Why::Errors)
            }
            judged => judged,
        };
        if let Some(stored) = stored {
            let is_over = match (method, &judged) {
                ("HEAD", _) => status < 400 && update::contradicts(&stored.entry, &departure.response.headers),
                (_, Err(_)) => status < 500,
                (_, Ok(_)) => false,
            };
            if is_over {
                self.forget(platform, departure.cache, &stored.key).await;
            }
            self.let_go(platform, Some(stored));
        }
        // What failed says nothing of what comes next; nor does what is not stored because of what this request alone wants.
        let is_odd = is_blurred || asks.asked.no_store || asks.request.contains("range");
        if method != "HEAD" && status < 500 && (judged.is_ok() || !is_odd) {
            let key = asks.flight.as_ref().map_or(asks.place.key.as_str(), Flight::key);
            departure.cache.flights.learn(key, judged.is_ok(), times.received);
        }
        let told = Told::Forwarded {
            why: asks.why,
            status: None,
            stored: judged.is_ok(),
            collapsed: asks.waited.is_some(),
            detail: judged.as_ref().err().filter(|_| method != "HEAD").map(|why| why.as_str()),
        };
        // The conditions were taken out so that the answer is whole; the client may have it already.
        let conditions = Conditions::read(&asks.request);
        let has_it = matches!(method, "GET" | "HEAD")
            && status == 200
            && conditions.are_met_by(&departure.response.headers, times.received);
        if let Ok(storable) = judged {
            let body = std::mem::replace(&mut departure.response.body, Body::Empty);
            departure.response.body = self.keep(departure, &asks, storable, body, !has_it).await;
        }
        let response = &mut *departure.response;
        if departure.cached.renews.is_some() {
            pump::discard(platform, std::mem::replace(&mut response.body, Body::Empty));
            return Ok(());
        }
        if has_it {
            pump::discard(platform, std::mem::replace(&mut response.body, Body::Empty));
            response.status = 304;
            let names: Vec<String> = response.headers.iter().map(|(name, _)| name.to_owned()).collect();
            names.iter().filter(|name| !belongs_into_304(name)).for_each(|name| response.headers.remove(name));
        }
        self.tell(response, &told);
        self.hide(response);
        Ok(())
    }

    /// Begins to store; gives back the body for the client, where it is wanted.
    async fn keep<P: Platform>(
        &self,
        departure: &mut Departure<'_, P>,
        asks: &Asks<P::Stream>,
        storable: Storable,
        body: Body<P::Stream>,
        wanted: bool,
    ) -> Body<P::Stream> {
        let Storable { entry, vary } = storable;
        let platform = departure.platform;
        let seconds = entry.keep_for(entry.received);
        let key = if vary.is_empty() && asks.place.more.is_empty() && asks.varies.is_none() {
            asks.place.key.clone()
        } else {
            let varies = self.varies(platform, departure.cache, asks, vary).await;
            key::second(&asks.place, &varies, &asks.request, departure.scope.line, &asks.client)
        };
        let record = Record::Response(entry).write();
        let item = Item { key: &key, record: &record, seconds, most: self.terms.body, reach: self.reach };
        let shared = wanted && departure.cached.renews.is_none();
        departure.cache.near.forget(&key);
        let (body, ticket) = platform.keep(&item, body, shared).await;
        if let Some(ticket) = ticket {
            let keeping = Keeping { ticket, flight: asks.flight.clone() };
            departure.memo.deferred.push(Deferred::Keep(keeping));
        }
        body
    }

    /// The record that names the fields which count; written where it is new. Fields are only ever added: an origin that names one
    /// in some responses only would otherwise have its others taken for them.
    async fn varies<P: Platform>(
        &self,
        platform: &P,
        memory: &Memory,
        asks: &Asks<P::Stream>,
        vary: Vec<String>,
    ) -> Varies {
        let known = asks.varies.as_ref();
        if let Some(known) = known.filter(|known| vary.iter().all(|name| known.fields.contains(name))) {
            return known.clone();
        }
        let before = known.map(|known| known.fields.clone()).unwrap_or_default();
        let mut fields: Vec<String> = before.into_iter().chain(vary.iter().cloned()).collect();
        fields.sort();
        fields.dedup();
        if fields.len() > MOST_FIELDS {
            fields = vary;
        }
        let varies = Varies { fields, salt: format!("{:016x}", platform.random()) };
        let record = Record::Varies(varies.clone()).write();
        let item = Item { key: &asks.place.key, record: &record, seconds: KEPT_LONGEST, most: 0, reach: self.reach };
        // Where it fails, nobody finds what is stored below it, which is a miss.
        memory.near.forget(item.key);
        let _ = platform.keep(&item, Body::Empty, false).await;
        varies
    }

    /// A change that went well takes away what is stored for its address, and for those that its answer names (RFC 9111 §4.4).
    async fn invalidate<P: Platform>(&self, departure: &mut Departure<'_, P>, within: &str, query: Option<String>) {
        let Departure { platform, scope, response, cache, .. } = departure;
        if !(200..400).contains(&response.status) {
            return;
        }
        let line = scope.line;
        let mut urls = vec![(line.path.clone(), query)];
        for name in ["location", "content-location"] {
            urls.extend(response.headers.text(name).and_then(|value| same_host(line, value)));
        }
        for (path, query) in urls {
            let query = self.key.query.reduce(query.as_deref(), self.key.sorted);
            let url = key::url(line, &path, query.as_deref(), self.key.host);
            for method in ["GET", "GRAPHQL"].into_iter().chain(self.methods.iter().map(String::as_str)) {
                self.forget(*platform, cache, &key::first(within, method, &url)).await;
            }
        }
    }

    /// The response that the client gets of what is stored.
    async fn serve<P: Platform>(
        &self,
        platform: &P,
        method: &str,
        request: &Headers,
        stored: Stored<P::Stream>,
        told: Told,
    ) -> Result<Response<P::Stream>, Lost> {
        let Stored { entry, body, .. } = stored;
        let mut response = Response { status: entry.status, headers: Headers::new(), body };
        let reads = matches!(method, "GET" | "HEAD");
        let conditions = Conditions::read(request);
        let not_modified = reads
            && entry.status == 200
            && !conditions.is_none()
            && conditions.are_met_by(&entry.headers(), entry.received);
        for field in &entry.fields {
            if !FOR_US.contains(&field.0.as_str()) && (!not_modified || belongs_into_304(&field.0)) {
                response.headers.append(&field.0, field.value());
            }
        }
        response.headers.set("age", entry.age(platform.now()).to_string());
        if not_modified {
            response.status = 304;
        }
        if not_modified || method == "HEAD" || matches!(response.status, 204 | 205 | 304) {
            pump::discard(platform, std::mem::replace(&mut response.body, Body::Empty));
        } else if method == "GET" && entry.status == 200 && request.contains("range") {
            self.cut(platform, request, &entry, &mut response).await?;
        }
        self.tell(&mut response, &told);
        Ok(response)
    }

    /// Gives the part of a complete body that the request wants.
    async fn cut<P: Platform>(
        &self,
        platform: &P,
        request: &Headers,
        entry: &Entry,
        response: &mut Response<P::Stream>,
    ) -> Result<(), Lost> {
        // A platform may decode what it reads, and a part is one of what was sent.
        if entry.field("content-encoding").is_some() {
            return Ok(());
        }
        let known = match &response.body {
            Body::Bytes(bytes) => Some(bytes.len() as u64),
            Body::Empty => Some(0),
            Body::Stream(_) => entry.length(),
            // Nothing that comes from a store changes on its way.
            Body::Pumped(..) | Body::Made(_) => None,
        };
        let Some(length) = known else { return Ok(()) };
        match range::part(request, entry, length) {
            Part::Whole => {}
            Part::Nothing => {
                pump::discard(platform, std::mem::replace(&mut response.body, Body::Empty));
                response.status = 416;
                response.headers.set("content-range", format!("bytes */{length}"));
                response.headers.remove("content-length");
                response.headers.remove("content-type");
                // What the whole says of caches, this is no answer for.
                self.terms.targeted.iter().for_each(|name| response.headers.remove(name));
                response.headers.set("cache-control", "no-store");
            }
            Part::Bytes { first, last } => {
                if length > LONGEST_CUT {
                    return Ok(());
                }
                let bytes = match std::mem::replace(&mut response.body, Body::Empty) {
                    Body::Bytes(bytes) => bytes,
                    Body::Empty | Body::Made(_) => bytes::Bytes::new(),
                    Body::Stream(stream) | Body::Pumped(stream, _) => {
                        let room = usize::try_from(LONGEST_CUT).unwrap_or(usize::MAX);
                        platform.read(stream, room).await.map_err(Lost)?
                    }
                };
                let end = usize::try_from(last).unwrap_or(usize::MAX).saturating_add(1).min(bytes.len());
                let start = usize::try_from(first).unwrap_or(usize::MAX).min(end);
                let part = bytes.slice(start..end);
                response.status = 206;
                response.headers.set("content-range", format!("bytes {first}-{last}/{length}"));
                response.headers.set("content-length", part.len().to_string());
                response.body = Body::Bytes(part);
            }
        }
        Ok(())
    }

    fn tell<S>(&self, response: &mut Response<S>, told: &Told) {
        if let Some(name) = &self.told_as {
            response.headers.append("cache-status", told.write(name));
        }
    }

    /// What origins say to us alone.
    fn hide<S>(&self, response: &mut Response<S>) {
        FOR_US.iter().for_each(|name| response.headers.remove(name));
    }

    fn let_go<P: Platform>(&self, platform: &P, stored: Option<Stored<P::Stream>>) {
        if let Some(stored) = stored {
            pump::discard(platform, stored.body);
        }
    }
}

/// Whether a request is a query of GraphQL, whose answer may be stored whatever its method.
#[cfg(feature = "graphql")]
fn asks_graphql(memo: &super::Memo) -> bool {
    memo.operation.as_ref().is_some_and(|operation| operation.key.is_some())
}

#[cfg(not(feature = "graphql"))]
fn asks_graphql(_: &super::Memo) -> bool {
    false
}

/// Whether the answer to a query is one that all may have: it has data, and tells of no error.
#[cfg(feature = "graphql")]
async fn has_no_errors<P: Platform>(departure: &mut Departure<'_, P>, most: u64) -> Result<bool, Error> {
    use crate::platform::{FetchError, Peeked};
    let Departure { platform, response, .. } = departure;
    if response.headers.text("content-encoding").is_some_and(|coding| !platform.decodes(coding)) {
        return Ok(false);
    }
    let bytes = match std::mem::replace(&mut response.body, Body::Empty) {
        Body::Empty => return Ok(false),
        Body::Bytes(bytes) => bytes,
        body @ (Body::Pumped(..) | Body::Made(_)) => {
            response.body = body;
            return Ok(false);
        }
        Body::Stream(stream) => match platform.peek(stream, usize::try_from(most).unwrap_or(usize::MAX)).await {
            Ok(Peeked::Whole(bytes)) => bytes,
            Ok(Peeked::Longer(stream)) => {
                response.body = Body::Stream(stream);
                return Ok(false);
            }
            Err(ReadError::Broken(_) | ReadError::TooLarge) => return Err(Error::UpstreamFailed(FetchError::Reset)),
        },
    };
    let answers = crate::graphql::request::has_no_errors(&bytes);
    // What has been read is unpacked.
    response.headers.remove("content-encoding");
    response.headers.set("content-length", bytes.len().to_string());
    response.body = Body::Bytes(bytes);
    Ok(answers)
}

/// For how long a renewal in the background is believed to be under way, in milliseconds.
const LONGEST_RENEWAL: u64 = 30_000;

/// Who is calling, where that is known: nobody else is written alike.
fn identity<P: Platform>(visit: &Visit<'_, P>) -> Option<String> {
    let caller = &*visit.caller;
    let parts = [caller.name(), caller.issuer.as_deref(), caller.subject.as_deref(), caller.credential.as_deref()];
    if !caller.is_known() || parts.iter().all(Option::is_none) {
        return None;
    }
    let mut text = String::new();
    parts.iter().for_each(|part| key::write(&mut text, *part));
    Some(text)
}

fn forwarded(why: Forward) -> Told {
    Told::Forwarded { why, status: None, stored: false, collapsed: false, detail: None }
}

/// Path and query of an address that a response names, where it is of the same host as the request (RFC 9111 §4.4).
fn same_host(line: &Line, value: &str) -> Option<(String, Option<String>)> {
    let value = value.split('#').next().unwrap_or_default();
    let target = match value.split_once("://") {
        Some((scheme, rest)) => {
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            let (authority, target) = rest.split_at(end);
            let same =
                scheme.eq_ignore_ascii_case(line.scheme.as_str()) && authority.eq_ignore_ascii_case(&line.authority);
            if !same {
                return None;
            }
            target.to_owned()
        }
        None if value.starts_with("//") => return None,
        None if value.starts_with('/') => value.to_owned(),
        None if value.is_empty() => return None,
        None if value.starts_with('?') => format!("{}{value}", line.path),
        None => format!("{}/{value}", line.path.rsplit_once('/').map_or("", |(folder, _)| folder)),
    };
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (target.as_str(), None),
    };
    let path = if path.is_empty() { "/" } else { path };
    Some((path::normalise(path).ok()?.into_owned(), query))
}
