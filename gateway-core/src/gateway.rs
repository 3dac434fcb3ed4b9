//! The way of one request, top to bottom: it is read ([`Gateway::handle`]), a route is found that takes it, and it follows that
//! route. Policies see it in written order, something answers it, and the same policies see the answer in reverse. What is left
//! to do then is done behind the answer ([`Gateway::settle`]).
//!
//! What routes do is said by [`Plan`]; how each of it is done stands in the files beside this one.

#[cfg(feature = "compose")]
mod batch;
mod checks;
#[cfg(feature = "compose")]
mod compose;
mod forward;
#[cfg(feature = "grpc")]
mod grpc;
pub mod inner;
mod load;
#[cfg(feature = "mcp")]
mod mcp;
mod plan;
mod reply;
mod serve;
mod settle;
#[cfg(feature = "json_rpc")]
mod split;
#[cfg(any(feature = "graphql", feature = "soap", feature = "json_rpc"))]
mod translate;
mod unmatched;
mod way;

#[cfg(feature = "compose")]
pub use self::compose::Production;
pub use self::forward::Substitute;
pub use self::load::LoadError;
#[cfg(any(feature = "admin", feature = "credentials"))]
pub(crate) use self::load::Purpose;
pub use self::plan::{Action, Plan};
pub use self::reply::{Note, Reply};
#[cfg(feature = "cache")]
pub use self::way::Renewal;
pub use self::way::Start;

#[cfg(any(feature = "grpc", feature = "graphql", feature = "soap", feature = "json_rpc"))]
use self::forward::Payload;
use self::reply::Origin;
use self::way::{Leaving, Trail, Underway};
#[cfg(feature = "admin")]
use crate::admin::{Admin, changes};
use crate::answer;
use crate::certificate::CertificateSource;
use crate::config::artefact::Globals;
use crate::consumer::Consumers;
#[cfg(feature = "credentials")]
use crate::credential::Keyring;
use crate::error::Error;
#[cfg(feature = "admin")]
use crate::explain::Rehearsal;
#[cfg(all(feature = "telemetry", feature = "expressions"))]
use crate::expression::Facts;
use crate::forward::Forward;
#[cfg(feature = "graphql")]
use crate::graphql;
#[cfg(feature = "grpc")]
use crate::grpc::{Grpc, Services};
#[cfg(feature = "telemetry")]
use crate::http::Response;
use crate::http::{Body, Certificate, Incoming};
use crate::platform::Platform;
#[cfg(feature = "cache")]
use crate::policy::Deferred;
use crate::policy::{Counters, Departure, Flow, Policy, PolicyLists, Remark, Tokens, Visit};
use crate::pump;
use crate::request::{Line, Request};
#[cfg(feature = "rollout")]
use crate::rollout::Rollout;
use crate::route::{Found, Matched, Routes};
#[cfg(feature = "telemetry")]
use crate::telemetry::Telemetry;
use crate::telemetry::watch::{self, Watched};
use crate::template::{Scope, Settings, View};
#[cfg(any(feature = "graphql", feature = "soap", feature = "json_rpc"))]
use crate::translate::Translation;
use crate::upstream::Pool;
#[cfg(feature = "validation")]
use crate::validation::Validation;
use bytes::Bytes;
use std::ops::ControlFlow;
use std::rc::Rc;

/// A loaded configuration that answers requests. Shown, it is what was compiled, without the platform's values.
pub struct Gateway {
    globals: Globals,
    pub(crate) settings: Settings,
    routes: Routes<Plan>,
    upstreams: Vec<Pool>,
    /// The places of those whose targets are checked.
    #[cfg(feature = "checks")]
    checked: Vec<u32>,
    pub(crate) consumers: Consumers,
    pub(crate) policies: PolicyLists,
    tokens: Tokens,
    counters: Counters,
    #[cfg(feature = "credentials")]
    keyring: Keyring,
    #[cfg(feature = "cache")]
    cache: crate::cache::Memory,
    #[cfg(feature = "validation")]
    validation: Validation,
    #[cfg(feature = "grpc")]
    services: Services,
    #[cfg(feature = "graphql")]
    graphql: graphql::Memory,
    #[cfg(feature = "telemetry")]
    pub(crate) telemetry: Option<Telemetry>,
    /// What the instance has of other versions of the configuration.
    #[cfg(feature = "rollout")]
    pub(crate) rollout: Option<Rc<Rollout>>,
    #[cfg(feature = "admin")]
    pub(crate) admin: Option<Rc<Admin>>,
    /// What has been changed through the admin interface.
    #[cfg(feature = "admin")]
    pub(crate) changes: changes::Known,
    /// The compiled configuration: a hash of it tells it from others.
    pub(crate) configuration: Bytes,
}

impl Gateway {
    /// Answers one request. Never fails: whatever goes wrong becomes a response where it is known.
    pub async fn handle<P: Platform>(&self, platform: &P, incoming: Incoming<P::Stream>) -> Reply<P::Stream> {
        #[cfg(feature = "telemetry")]
        let record = self.telemetry.as_ref().map(|telemetry| telemetry.begin(platform, &incoming));
        #[cfg(not(feature = "telemetry"))]
        let record = None;
        let watched = Watched::new(platform, record);
        #[cfg(feature = "admin")]
        let (mut deferred, mut heard) = (Vec::new(), None);
        #[cfg(feature = "admin")]
        if self.is_administered() {
            // Boxed, so that the common case need not carry its size around.
            heard = Box::pin(self.catch_up(platform, &mut deferred)).await;
        }
        #[allow(unused_mut, reason = "changed by those who observe")]
        let mut reply = self.answer(&watched, incoming).await;
        #[cfg(feature = "admin")]
        {
            reply.notes.extend(heard);
            reply.deferred.append(&mut deferred);
        }
        #[cfg(feature = "checks")]
        self.look_at_checks(platform, &mut reply.deferred);
        #[cfg(feature = "telemetry")]
        if let (Some(telemetry), Some(record)) = (&self.telemetry, watched.into_record()) {
            telemetry.end(platform, record, &mut reply);
        }
        reply
    }

    /// Handles a request of which nothing really happens.
    #[cfg(feature = "admin")]
    pub(crate) async fn rehearse<P: Platform>(
        &self,
        platform: &P,
        rehearsal: &Rehearsal,
        incoming: Incoming<P::Stream>,
    ) -> Reply<P::Stream> {
        let record = self.telemetry.as_ref().map(|telemetry| telemetry.begin(platform, &incoming));
        let watched = Watched::rehearsing(platform, record, rehearsal);
        let mut reply = self.answer(&watched, incoming).await;
        if let (Some(telemetry), Some(record)) = (&self.telemetry, watched.into_record()) {
            telemetry.end(platform, record, &mut reply);
        }
        reply
    }

    /// Reads a request, and has it answered by the admin interface or by a route.
    async fn answer<P: Platform>(&self, platform: &Watched<'_, P>, incoming: Incoming<P::Stream>) -> Reply<P::Stream> {
        let (mut request, body) = match Request::read(incoming, &self.globals.limits, &self.globals.trusted_proxies) {
            Ok(read) => read,
            Err(error) => return Reply::refuse(platform, error),
        };
        if self.globals.certificates == CertificateSource::ClientCert && request.client.through_trusted {
            request.client.certificate = Certificate::from_field(&request.headers);
        }
        #[cfg(feature = "telemetry")]
        if let Some(telemetry) = &self.telemetry {
            telemetry.read(platform, &mut request);
            self.tell_passed_over(platform.watch(), &request);
        }
        #[cfg(feature = "admin")]
        if !platform.is_rehearsal()
            && let Some((admin, rest)) = self.interface(&request.line)
        {
            // Boxed, so that the common case need not carry its size around.
            return Box::pin(self.administer(platform, admin, rest, &request, body)).await;
        }
        self.dispatch(platform, request, body).await
    }

    /// Finds the route that takes a request, and has it follow that.
    async fn dispatch<P: Platform>(
        &self,
        platform: &Watched<'_, P>,
        request: Request,
        body: Body<P::Stream>,
    ) -> Reply<P::Stream> {
        if let Some(response) = self.preflight(&request) {
            return Reply::answer(response);
        }
        let found = match self.routes.find(&request.head()) {
            Found::Route(matched) => ControlFlow::Continue((matched, Start::default())),
            Found::MethodNotAllowed(allow) if request.line.method == "OPTIONS" => {
                self.unmatched(platform, &request, Ok(allow))
            }
            Found::MethodNotAllowed(allow) => {
                self.unmatched(platform, &request, Err(Error::MethodNotAllowed { allow }))
            }
            Found::UnknownHost if self.globals.misdirected => {
                self.unmatched(platform, &request, Err(Error::UnknownHost))
            }
            Found::UnknownHost | Found::NoRoute => self.unmatched(platform, &request, Err(Error::NoRoute)),
        };
        match found {
            // Boxed: a future is moved with all that it may ever hold, on the way to whoever polls it.
            ControlFlow::Continue((matched, start)) => {
                Box::pin(self.follow(platform, matched, request, body, start)).await
            }
            ControlFlow::Break(reply) => reply,
        }
    }

    /// Policies in written order, the action, the same policies in reverse.
    async fn follow<P: Platform>(
        &self,
        platform: &Watched<'_, P>,
        matched: Matched<Plan>,
        request: Request,
        body: Body<P::Stream>,
        mut start: Start,
    ) -> Reply<P::Stream> {
        let (route, plan, watch) = (matched.route.name.as_str(), &matched.route.then, platform.watch());
        watch.route(route);
        let Some(policies) = self.policies.get(plan.policies) else {
            return Reply::internal(platform, route, format!("the policies of the route `{route}` cannot be decoded"));
        };
        let closed = self.closed(route);
        let policies = match &closed {
            // Only what answers look like is still seen to.
            Some(_) => Rc::new(policies.iter().filter(|policy| policy.dresses()).cloned().collect()),
            None => policies,
        };
        let over = closed.or_else(|| start.over.take()).or_else(|| plan.exceeded(&request));
        let from = start.from;
        let mut way = Underway::new(plan, request, body, start);
        let early = self.enter(platform, &matched, &policies, &mut way).await;
        #[cfg(feature = "json_rpc")]
        let early = match way.trail.memo.split.take() {
            Some(split) => {
                let (request, start) = (way.request(), way.start(way.entered));
                Some(Box::pin(self.split(platform, &matched, &request, &start, *split)).await)
            }
            None => early,
        };
        #[cfg(feature = "cache")]
        if let Some(flight) = way.trail.cached.renew.take() {
            let renewal = Box::new(way.renewal(&matched, flight));
            way.trail.memo.deferred.push(Deferred::Renew(renewal));
        }
        // Nobody has said anything of what no route takes.
        #[cfg(feature = "telemetry")]
        let telemetry = self.telemetry.as_ref().filter(|_| !route.is_empty());
        // Fields go on with the request, so whoever looks at them later looks at a copy.
        let asked = plan.action.asks_request() || policies.iter().any(Policy::asks_request);
        #[cfg(feature = "telemetry")]
        let asked = asked || telemetry.is_some_and(Telemetry::asks_request);
        let kept = asked.then(|| way.leaving.headers.clone());
        let rpc_method = way.trail.memo.rpc_method().to_owned();
        #[cfg(feature = "graphql")]
        let operation = way.trail.memo.operation.clone();
        let clock = || platform.now();
        let scope = Scope {
            line: &way.line,
            client: &way.client,
            route,
            parameters: matched.parameters(&way.line.path),
            settings: &self.settings,
            caller: &way.caller,
            view: View {
                headers: kept.as_ref(),
                clock: Some(&clock),
                upstream: self.upstream_of(plan).map_or("", |pool| &pool.upstream.name),
                rpc_method: &rpc_method,
                #[cfg(feature = "graphql")]
                operation: operation.as_deref(),
                ..View::default()
            },
        };
        watch.caller(&way.caller);
        #[cfg(all(feature = "telemetry", feature = "expressions"))]
        if let Some(telemetry) = telemetry {
            let Leaving { headers, query, .. } = &way.leaving;
            telemetry.judge(watch, || Facts { scope, headers, query: query.as_deref(), now: platform.now() });
        }
        let early = early.or_else(|| over.map(|error| Reply::because(platform, error, route)));
        let answered = match early {
            Some(reply) => (way.trail.told(platform, reply), Origin::Gateway),
            None => self.act(platform, &matched, &policies, way.leaving, &mut way.trail, &scope).await,
        };
        let mut reply = self.leave(platform, &policies[from..way.entered], answered, scope, &mut way.trail).await;
        let memo = way.trail.memo;
        #[cfg(feature = "mcp")]
        if let Action::Mcp(mcp) = &plan.action {
            mcp.tell_where_to_log_in(&way.line, &way.client, &mut reply.response);
        }
        // After all policies, so that none of them takes a session away that has just been given.
        memo.write(&mut reply.response.headers);
        #[cfg(feature = "telemetry")]
        if let Some(telemetry) = telemetry {
            let Response { status, headers, .. } = &reply.response;
            telemetry.attribute(watch, &scope.with_response(*status, headers));
        }
        reply.deferred.extend(memo.deferred);
        for Remark { problem, detail } in memo.remarks {
            reply.notes.push(Note::of(platform, problem, reply.response.status, route, detail));
        }
        reply
    }

    /// Has policies see a request in written order, until one of them answers it, or has its parts go on alone.
    async fn enter<P: Platform>(
        &self,
        platform: &Watched<'_, P>,
        matched: &Matched<Plan>,
        policies: &[Policy],
        way: &mut Underway<P::Stream>,
    ) -> Option<Reply<P::Stream>> {
        let Underway { line, client, caller, entered, leaving, trail } = way;
        let plan = &matched.route.then;
        if policies.iter().any(|policy| matches!(policy, Policy::ErrorPages(_))) {
            trail.memo.accept = crate::http::list(&leaving.headers, "accept").collect::<Vec<_>>().join(", ");
        }
        let clock = || platform.now();
        let mut visit = Visit {
            platform,
            consumers: &self.consumers,
            tokens: &self.tokens,
            counters: &self.counters,
            #[cfg(feature = "cache")]
            cache: &self.cache,
            #[cfg(feature = "cache")]
            cached: &mut trail.cached,
            upstreams: &self.upstreams,
            #[cfg(feature = "validation")]
            validation: &self.validation,
            #[cfg(feature = "graphql")]
            graphql: &self.graphql,
            settings: &self.settings,
            body_limit: plan.body_limit,
            route: &matched.route.name,
            upstream: self.upstream_of(plan).map_or("", |pool| &pool.upstream.name),
            clock: &clock,
            parameters: matched.parameters(&line.path),
            client,
            line,
            query: &mut leaving.query,
            headers: &mut leaving.headers,
            body: &mut leaving.body,
            caller,
            memo: &mut trail.memo,
        };
        for policy in policies.iter().skip(*entered) {
            *entered += 1;
            match watch::enter(policy, &mut visit).await {
                Ok(Flow::Continue) => {}
                Ok(Flow::Respond(response)) => return Some(Reply::answer(response)),
                Err(error) => return Some(Reply::because(platform, error, visit.route)),
            }
            if visit.memo.is_split() {
                break;
            }
        }
        None
    }

    /// Does what the route is for.
    async fn act<P: Platform>(
        &self,
        platform: &Watched<'_, P>,
        matched: &Matched<Plan>,
        policies: &[Policy],
        mut leaving: Leaving<P::Stream>,
        trail: &mut Trail<P::Stream>,
        scope: &Scope<'_>,
    ) -> (Reply<P::Stream>, Origin) {
        let plan = &matched.route.then;
        let here = |reply| (reply, Origin::Gateway);
        // Boxed is what is rare and large, so that the common case need not carry its size around.
        let onward = match &plan.action {
            Action::Redirect(redirect) => return here(Reply::answer(redirect.answer(scope))),
            Action::Respond(respond) => return here(Reply::answer(respond.answer(scope))),
            Action::Serve(endpoint) => return here(self.serve(platform, *endpoint, scope).await),
            #[cfg(feature = "credentials")]
            Action::IdentityKeys => {
                return here(match self.keyring.mint() {
                    Some(mint) => Reply::answer(mint.publish(&leaving.headers)),
                    None => Reply::internal(platform, scope.route, "the configuration has no `identity`".to_owned()),
                });
            }
            #[cfg(feature = "cache")]
            Action::Purge => return here(self.purge(platform, leaving.body, scope.route).await),
            #[cfg(feature = "compose")]
            Action::Compose(compose) => {
                let Leaving { headers, body, .. } = leaving;
                let (headers, body_limit) = (&headers, plan.body_limit);
                let composing = compose::Composing { matched, compose, headers, body, body_limit };
                let (reply, origin, complete) = Box::pin(self.compose(platform, composing, scope)).await;
                trail.memo.incomplete = !complete;
                return (reply, origin);
            }
            #[cfg(feature = "compose")]
            Action::Batch(batch) => {
                let Leaving { headers, arrived, body, depth, .. } = leaving;
                let (headers, body_limit) = (arrived.as_ref().unwrap_or(&headers), plan.body_limit);
                let batching = batch::Batching { batch, headers, body, body_limit, depth };
                return here(Box::pin(self.batch(platform, batching, scope)).await);
            }
            #[cfg(feature = "mcp")]
            Action::Mcp(mcp) => {
                let Leaving { headers, arrived: credentials, body, depth, .. } = leaving;
                let Scope { line, client, route, .. } = *scope;
                let asked = crate::mcp::Asked { line, client, route, headers, credentials, depth };
                return here(Box::pin(self.mcp(platform, mcp, asked, body)).await);
            }
            #[cfg(feature = "mcp")]
            Action::ProtectedResource(resource) => {
                return here(Reply::answer(resource.answer(scope.line, scope.client)));
            }
            Action::Forward(_) if scope.line.method == "OPTIONS" && !answer::goes_on(&mut leaving.headers) => {
                return here(Reply::answer(answer::options(&matched.route.conditions.allowed())));
            }
            Action::Forward(forward) => Onward::Forward(forward),
            #[cfg(feature = "grpc")]
            Action::Grpc(grpc) => Onward::Grpc(grpc),
            #[cfg(feature = "graphql")]
            Action::Graphql(stored) => Onward::Translate(Translation::Graphql(stored)),
            #[cfg(feature = "soap")]
            Action::Soap(soap) => Onward::Translate(Translation::Soap(soap)),
            #[cfg(feature = "json_rpc")]
            Action::JsonRpc(call) => Onward::Translate(Translation::JsonRpc(call)),
        };
        let payload = self.payload(leaving, plan, policies, &mut trail.memo);
        let changed = trail.memo.method.take().map(|method| Line { method, ..scope.line.clone() });
        let scope = &Scope { line: changed.as_ref().unwrap_or(scope.line), ..*scope };
        match onward {
            Onward::Forward(forward) => self.forward(platform, forward, payload, scope).await,
            #[cfg(feature = "grpc")]
            Onward::Grpc(grpc) => Box::pin(self.call(platform, grpc, Payload { reads: true, ..payload }, scope)).await,
            #[cfg(any(feature = "graphql", feature = "soap", feature = "json_rpc"))]
            Onward::Translate(translation) => {
                Box::pin(self.exchange(platform, translation, Payload { reads: true, ..payload }, scope)).await
            }
        }
    }

    /// Has the policies that saw a request see its response, in reverse, whoever has made it.
    async fn leave<P: Platform>(
        &self,
        platform: &Watched<'_, P>,
        entered: &[Policy],
        (mut reply, origin): (Reply<P::Stream>, Origin),
        scope: Scope<'_>,
        trail: &mut Trail<P::Stream>,
    ) -> Reply<P::Stream> {
        let (mut from_upstream, mut perhaps_done) = (origin == Origin::Upstream, origin == Origin::Lost);
        for policy in entered.iter().rev() {
            let mut departure = Departure {
                platform,
                #[cfg(feature = "validation")]
                validation: &self.validation,
                counters: &self.counters,
                #[cfg(feature = "cache")]
                cache: &self.cache,
                #[cfg(feature = "cache")]
                cached: &mut trail.cached,
                scope,
                from_upstream,
                perhaps_done,
                response: &mut reply.response,
                memo: &mut trail.memo,
            };
            if let Err(error) = watch::leave(policy, &mut departure).await {
                let failed = trail.told(platform, Reply::because(platform, error, scope.route));
                reply.refused = failed.refused;
                reply.notes.extend(failed.notes);
                let before = std::mem::replace(&mut reply.response, failed.response);
                pump::discard(platform, before.body);
                // What comes to nobody has been done all the same.
                (from_upstream, perhaps_done) = (false, perhaps_done || from_upstream);
                continue;
            }
            #[cfg(feature = "cache")]
            if std::mem::take(&mut trail.cached.from_store) {
                // What a cache gives was made by an upstream, and those outside it treat it so.
                from_upstream = true;
            }
        }
        reply
    }

    /// Why a route takes no requests now, where somebody has closed it.
    fn closed(&self, route: &str) -> Option<Error> {
        #[cfg(feature = "admin")]
        return self
            .changes
            .state()
            .maintenance
            .get(route)
            .map(|closed| Error::Maintenance { seconds: closed.retry_after });
        #[cfg(not(feature = "admin"))]
        {
            let _ = route;
            None
        }
    }

    /// The upstream that a route forwards to, where it does.
    fn upstream_of(&self, plan: &Plan) -> Option<&Pool> {
        self.upstreams.get(plan.action.forward()?.upstream as usize)
    }
}

/// How a request goes on to an upstream.
enum Onward<'a> {
    /// As it is.
    Forward(&'a Forward),
    /// As a call of one of its methods.
    #[cfg(feature = "grpc")]
    Grpc(&'a Grpc),
    /// As a message of another protocol.
    #[cfg(any(feature = "graphql", feature = "soap", feature = "json_rpc"))]
    Translate(Translation<'a>),
}
