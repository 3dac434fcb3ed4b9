//! What is done when an answer has been sent.

#[cfg(feature = "compose")]
use super::Production;
#[cfg(feature = "cache")]
use super::Renewal;
use super::{Gateway, Note};
use crate::platform::{Platform, StoreError};
use crate::policy::Deferred;
#[cfg(feature = "cache")]
use crate::policy::cache::Keeping;
#[cfg(feature = "mirror")]
use crate::policy::mirror;
#[cfg(feature = "cache")]
use crate::pump;
#[cfg(feature = "telemetry")]
use crate::telemetry::Telemetry;
#[cfg(feature = "telemetry")]
use crate::telemetry::watch::Costs;
#[cfg(all(feature = "telemetry", feature = "cache"))]
use crate::telemetry::watch::Record;
#[cfg(any(feature = "cache", feature = "compose"))]
use crate::telemetry::watch::Watched;
#[cfg(feature = "checks")]
use crate::upstream;
use std::collections::VecDeque;

impl Gateway {
    /// Does what was left to do when a reply has been sent; gives what the log should hear.
    pub async fn settle<P: Platform>(&self, platform: &P, deferred: Vec<Deferred>) -> Vec<Note> {
        let mut notes = Vec::new();
        let mut left = VecDeque::from(deferred);
        #[cfg(feature = "telemetry")]
        let mut allowance = None;
        while let Some(deferred) = left.pop_front() {
            // Who tells others may wait for long: nothing that others wait for stands behind that.
            let observes = |deferred: &Deferred| matches!(deferred, Deferred::Observe(_));
            if observes(&deferred) && !left.iter().all(observes) {
                left.push_back(deferred);
                continue;
            }
            let failed = match deferred {
                #[cfg(feature = "telemetry")]
                Deferred::Observe(record) => {
                    if let Some(telemetry) = &self.telemetry {
                        let allowance = allowance.get_or_insert_with(|| Telemetry::allowance(platform.now()));
                        notes.extend(telemetry.observe(platform, *record, &self.upstreams, allowance).await);
                    }
                    None
                }
                #[cfg(not(feature = "telemetry"))]
                Deferred::Observe(_) => None,
                #[cfg(feature = "compose")]
                Deferred::Compose(production) => {
                    notes.extend(self.go_on(platform, *production, &mut left).await);
                    None
                }
                Deferred::Count(afterwards) | Deferred::Release(afterwards) => {
                    #[cfg(feature = "telemetry")]
                    if afterwards.asks() {
                        self.bill(Costs::OBJECT_CALL);
                    }
                    let done = afterwards.perform(platform, &self.counters).await;
                    let tell =
                        |error: StoreError| ("limit-uncertain", format!("a limit cannot be settled: {}", error.0));
                    done.err().map(|error| (None, tell(error)))
                }
                #[cfg(feature = "checks")]
                Deferred::Check(at) => match self.upstreams.get(at as usize) {
                    Some(pool) => match upstream::probe::tend(platform, pool, &self.settings).await {
                        Ok(news) => {
                            notes.extend(news.iter().map(|news| Note::of_check(platform, news)));
                            None
                        }
                        Err(error) => {
                            let why = format!("upstream `{}`: {}", pool.upstream.name, error.0);
                            Some((None, ("checks-unavailable", why)))
                        }
                    },
                    None => None,
                },
                // It is the instance's.
                #[cfg(feature = "rollout")]
                Deferred::Look(_) => None,
                #[cfg(feature = "cache")]
                Deferred::Keep(Keeping { ticket, flight }) => {
                    let kept = platform.kept(ticket).await;
                    // Who waits for it finds it.
                    drop(flight);
                    kept.err()
                        .map(|error| (None, ("cache-failed", format!("an answer could not be stored: {}", error.0))))
                }
                #[cfg(feature = "cache")]
                Deferred::Renew(renewal) => {
                    let Renewal { matched, request, start } = *renewal;
                    // The record of the request that has found it is closed, and nobody asked for this one: only what it costs is
                    // noted.
                    #[cfg(feature = "telemetry")]
                    let record =
                        self.telemetry.is_some().then(|| Record::of_nobody(platform.request_id(), platform.now()));
                    #[cfg(not(feature = "telemetry"))]
                    let record = None;
                    let watched = Watched::new(platform, record);
                    let body = start.body.clone().into();
                    let reply = Box::pin(self.follow(&watched, matched, request, body, start)).await;
                    #[cfg(feature = "telemetry")]
                    if let Some(record) = watched.into_record() {
                        self.bill(record.costs);
                    }
                    pump::discard(platform, reply.response.body);
                    left.extend(reply.deferred);
                    notes.extend(reply.notes);
                    None
                }
                #[cfg(feature = "admin")]
                Deferred::CatchUp => {
                    notes.extend(self.catch_up_now(platform).await);
                    None
                }
                #[cfg(feature = "mirror")]
                Deferred::Mirror(copy) => {
                    #[cfg(feature = "telemetry")]
                    self.bill(Costs::SUBREQUEST);
                    mirror::send(platform, &self.upstreams, *copy).await.map(|(route, heard)| (Some(route), heard))
                }
            };
            if let Some((route, (problem, detail))) = failed {
                notes.push(Note { problem, status: 0, request_id: platform.request_id(), route, detail });
            }
        }
        notes
    }

    /// Something is asked of the platform of which no request's record says anything.
    #[cfg(feature = "telemetry")]
    pub(crate) fn bill(&self, costs: Costs) {
        if let Some(telemetry) = &self.telemetry {
            telemetry.bill(costs);
        }
    }

    /// Makes the body of an answer whose head has been sent. What it asks of the world is noted with what was asked before, where
    /// somebody observes the request.
    #[cfg(feature = "compose")]
    pub(super) async fn go_on<P: Platform>(
        &self,
        platform: &P,
        production: Production,
        left: &mut VecDeque<Deferred>,
    ) -> Vec<Note> {
        let at = left.iter().position(|deferred| matches!(deferred, Deferred::Observe(_)));
        let record = at.and_then(|at| left.remove(at)).and_then(|observe| match observe {
            Deferred::Observe(record) => Some(*record),
            _ => None,
        });
        let watched = Watched::new(platform, record);
        // Boxed, so that others need not carry its size around.
        let (notes, deferred) = Box::pin(self.produce(&watched, production)).await;
        left.extend(deferred);
        left.extend(watched.into_record().map(|record| Deferred::Observe(Box::new(record))));
        notes
    }
}
