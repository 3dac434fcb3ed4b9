//! What no route takes, and preflights, which no route needs to take.

use super::{Gateway, Plan, Reply, Start};
use crate::answer;
use crate::error::Error;
use crate::http::{Headers, Response};
use crate::platform::Platform;
use crate::policy::{Policy, PolicyList, cors};
use crate::request::Request;
use crate::route::{self, Matched};
#[cfg(feature = "telemetry")]
use crate::telemetry::watch::Watch;
use std::ops::ControlFlow;

impl Gateway {
    /// What answers a request that no route takes: an error, or the methods that routes would take, by the policies for such requests;
    /// where there are none, right away.
    pub(super) fn unmatched<P: Platform>(
        &self,
        platform: &P,
        request: &Request,
        said: Result<Vec<String>, Error>,
    ) -> ControlFlow<Reply<P::Stream>, (Matched<Plan>, Start)> {
        let mut policies = self.globals.unmatched;
        if let Some(method) = cors::requested_method(&request.line, &request.headers).filter(|_| !policies.is_first()) {
            if !self.routes.foresee(&route::Head { method, ..request.head() }).is_empty() {
                // What pages of other origins may ask a route is said by that route alone.
                policies = PolicyList::default();
            } else if let Some(response) = self.permission(policies, &request.headers, method) {
                return ControlFlow::Break(Reply::answer(response));
            }
        }
        if policies.is_first() {
            return ControlFlow::Break(match said {
                Ok(allow) => Reply::answer(answer::options(&allow)),
                Err(error) => Reply::refuse(platform, error),
            });
        }
        let (allow, over) = match said {
            Ok(allow) => (allow, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        ControlFlow::Continue((Matched::nowhere(Plan::options(policies, &allow)), Start { over, ..Start::default() }))
    }

    /// Why other routes do not take a request, for callers who may know.
    #[cfg(feature = "telemetry")]
    pub(super) fn tell_passed_over(&self, watch: Watch<'_>, request: &Request) {
        watch.note(|record| {
            let Some(passed_over) = &mut record.passed_over else { return };
            let considered = self.routes.consider(&request.head());
            let unmet = considered
                .into_iter()
                .map_while(|considered| Some((considered.candidate.route.name.clone(), considered.unmet?.to_string())));
            passed_over.extend(unmet.take(20));
        });
    }

    /// A CORS preflight is answered before any other policy: the browser sends no credentials with it (Fetch §4.8), and of
    /// other fields only the names. Of the routes that may take what it announces, the best with a policy for it answers.
    pub(super) fn preflight<S>(&self, request: &Request) -> Option<Response<S>> {
        let method = cors::requested_method(&request.line, &request.headers)?;
        let routes = self.routes.foresee(&route::Head { method, ..request.head() });
        routes.iter().find_map(|route| self.permission(route.then.policies, &request.headers, method))
    }

    /// What these policies answer a preflight.
    fn permission<S>(&self, policies: PolicyList, headers: &Headers, method: &str) -> Option<Response<S>> {
        self.policies.get(policies)?.iter().find_map(|policy| match policy {
            Policy::Cors(cors) => Some(cors.preflight(headers, method)),
            _ => None,
        })
    }
}
