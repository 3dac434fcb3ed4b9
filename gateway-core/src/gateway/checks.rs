//! Checks of targets: when somebody looks at what they have found, and the checks themselves.

use super::Gateway;
#[cfg(feature = "checks")]
use super::Note;
#[cfg(feature = "checks")]
use crate::platform::Platform;
#[cfg(feature = "checks")]
use crate::policy::Deferred;
#[cfg(feature = "checks")]
use crate::upstream::{self, Pool};

impl Gateway {
    /// Has what checks have found looked at when it is time, whatever the request was about: after the answer.
    #[cfg(feature = "checks")]
    pub(super) fn look_at_checks<P: Platform>(&self, platform: &P, deferred: &mut Vec<Deferred>) {
        if self.checked.is_empty() {
            return;
        }
        let now = platform.now();
        for at in &self.checked {
            let Some(pool) = self.upstreams.get(*at as usize).filter(|pool| pool.is_to_look(now)) else { continue };
            pool.look(now);
            deferred.push(Deferred::Check(*at));
        }
    }

    /// Whether targets of any upstream are checked.
    pub fn has_checks(&self) -> bool {
        #[cfg(feature = "checks")]
        return !self.checked.is_empty();
        #[cfg(not(feature = "checks"))]
        return false;
    }

    /// Checks all targets that are due, for a platform that wakes somebody up to do so: see
    /// [`rounds`](upstream::probe::rounds), which says what goes in and comes out.
    #[cfg(feature = "checks")]
    pub async fn check<P: Platform>(&self, platform: &P, kept: &str) -> (String, Vec<Note>) {
        self.check_unless(platform, kept, &[]).await
    }

    /// The same without those whose findings stand under these keys.
    #[cfg(feature = "checks")]
    pub(crate) async fn check_unless<P: Platform>(
        &self,
        platform: &P,
        kept: &str,
        done: &[&str],
    ) -> (String, Vec<Note>) {
        let pools = self.upstreams.iter().filter(|pool| !done.contains(&pool.board_key().as_str()));
        let pools: Vec<_> = pools.collect();
        let (text, news) = upstream::probe::rounds(platform, &pools, &self.settings, kept).await;
        (text, news.iter().map(|news| Note::of_check(platform, news)).collect())
    }

    /// Under which keys the findings of its checks stand.
    #[cfg(feature = "checks")]
    pub(crate) fn checks(&self) -> impl Iterator<Item = String> {
        let checked = self.checked.iter().filter_map(|at| self.upstreams.get(*at as usize));
        checked.map(Pool::board_key)
    }
}

#[cfg(feature = "checks")]
impl Note {
    /// What checks have found.
    pub(super) fn of_check<P: Platform>(platform: &P, news: &upstream::probe::News) -> Self {
        Self::of(platform, news.problem(), 0, "", news.to_string())
    }
}
