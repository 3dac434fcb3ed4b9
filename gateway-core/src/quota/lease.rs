//! Tokens that an instance takes from the owner of a key in advance, as many as it will soon need.
//!
//! What is taken is counted at once, so nothing is ever admitted that the owner has not counted. It is spent within `hold`,
//! and within the window that it was counted in. So a bucket is overshot by no more than what it gives in one `hold`, windows
//! and periods not at all (docs/limits.md). A key that is asked for less than once
//! in a `hold` is never given more than it needs: it is counted exactly.

use super::{Decision, Rule, Standing};
use crate::platform::Timestamp;

/// What an instance holds of one key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Purse {
    /// What is spent first, and what came last.
    lots: [Lot; 2],
    /// Whether the owner had less than what was asked for, of a key that is busy here.
    scarce: bool,
    /// What was asked for when the owner was asked last, and when.
    want: u64,
    asked: Timestamp,
    /// What has been asked for here since then.
    seen: u64,
    /// Since when somebody is asking the owner.
    asking: Option<Timestamp>,
    /// Until when this cost and more would be refused.
    closed: Option<(u64, Timestamp)>,
    standings: Vec<Standing>,
}

/// Tokens that are worth nothing after their time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Lot {
    tokens: u64,
    until: Timestamp,
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spend {
    /// The instance decides, as the owner would have.
    Decided(Decision),
    /// The owner must be asked, for this much at most.
    Ask {
        /// At least what the request costs.
        most: u64,
    },
}

/// How many requests one call should serve.
const WORTH: u64 = 25;

/// How long an answer may take before others ask for more than they need themselves.
const PATIENCE: u64 = 1_000;

impl Purse {
    /// Pays from what is there.
    pub fn spend(&mut self, cost: u64, hold: u64, now: Timestamp) -> Spend {
        self.seen = self.seen.saturating_add(cost);
        let waits = self.asking.is_some_and(|since| now.saturating_sub(since) < PATIENCE);
        // One goes for more while there is enough for the others.
        let is_low = !self.scarce && !waits && self.want > WORTH && self.held(now) <= self.want / 4;
        if !is_low && self.pay(cost, now) {
            return Spend::Decided(Decision { granted: Some(cost), wait: Some(0), standings: self.standings(now) });
        }
        let refused = match self.closed {
            Some((refused, until)) if cost >= refused && now < until => Some(until - now),
            // Somebody is asking already, for all of them, and there will not be enough.
            Some(_) | None if waits && self.scarce => Some(1),
            Some(_) | None => None,
        };
        if let Some(wait) = refused {
            return Spend::Decided(Decision { granted: None, wait: Some(wait), standings: self.standings(now) });
        }
        if waits {
            return Spend::Ask { most: cost };
        }
        let elapsed = now.saturating_sub(self.asked).max(1);
        let expected = u128::from(self.seen) * u128::from(hold) / u128::from(elapsed);
        let most = u64::try_from(expected).unwrap_or(u64::MAX).min(self.want.saturating_mul(4)).max(cost);
        (self.asking, self.want) = (Some(now), most);
        Spend::Ask { most }
    }

    /// Takes what the owner said to a request that was sent at that time.
    pub fn learn(&mut self, rules: &[Rule], decision: &Decision, cost: u64, hold: u64, sent: Timestamp) {
        let elapsed = sent.saturating_sub(self.asked).max(1);
        // Where there is nothing left, asking with every request would bring calls and nothing else: as often as it is worth.
        let busy = u128::from(self.seen) * u128::from(hold) > u128::from(elapsed);
        let pause = if busy { (elapsed.saturating_mul(WORTH) / self.seen.max(1)).min(hold) } else { 0 };
        self.standings.clone_from(&decision.standings);
        match decision.granted {
            Some(granted) => {
                // A window's tokens end with it. The owner told how long that is after the request was sent.
                let windows = rules.iter().zip(&decision.standings).filter_map(|(rule, standing)| match rule {
                    Rule::Window { .. } | Rule::Calendar { .. } => Some(standing.reset),
                    Rule::Bucket { .. } | Rule::Leases { .. } => None,
                });
                let until = sent.saturating_add(windows.min().unwrap_or(u64::MAX).min(hold));
                if granted > cost {
                    // What is left of the lot before the last is lost.
                    self.lots = [self.lots[1], Lot { tokens: granted - cost, until }];
                }
                let is_all = granted < self.want && pause > 0;
                self.scarce = is_all;
                self.closed = is_all.then(|| (1, sent.saturating_add(pause)));
            }
            None => {
                self.scarce = pause > 0;
                self.closed = Some((cost, sent.saturating_add(decision.wait.unwrap_or(hold).max(pause))));
            }
        }
        (self.asked, self.seen, self.asking) = (sent, 0, None);
    }

    /// Forgets that the owner was asked: it does not answer.
    pub fn give_up(&mut self) {
        self.asking = None;
    }

    fn held(&self, now: Timestamp) -> u64 {
        self.lots.iter().filter(|lot| now < lot.until).fold(0, |sum, lot| sum.saturating_add(lot.tokens))
    }

    fn pay(&mut self, cost: u64, now: Timestamp) -> bool {
        if self.held(now) < cost {
            return false;
        }
        let mut owed = cost;
        for lot in self.lots.iter_mut().filter(|lot| now < lot.until) {
            let part = owed.min(lot.tokens);
            lot.tokens -= part;
            owed -= part;
        }
        true
    }

    /// As the owner told, less what was spent here since.
    fn standings(&self, now: Timestamp) -> Vec<Standing> {
        let passed = now.saturating_sub(self.asked);
        let told = self.standings.iter();
        told.map(|standing| Standing {
            remaining: standing.remaining.saturating_add(self.held(now)),
            reset: standing.reset.saturating_sub(passed),
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quota::{Act, Kept, Order, perform};

    const RULE: Rule = Rule::Bucket { rate: 1_000, per: 1_000, burst: 1_000 };

    /// One instance, one owner; gives what was admitted and how often the owner was asked.
    fn run(rule: &Rule, hold: u64, times: impl IntoIterator<Item = u64>) -> (u64, u64) {
        let (mut purse, mut kept): (Purse, Option<Kept>) = (Purse::default(), None);
        let (mut admitted, mut calls) = (0, 0);
        for now in times {
            let decision = match purse.spend(1, hold, now) {
                Spend::Decided(decision) => decision,
                Spend::Ask { most } => {
                    calls += 1;
                    let act = Act::Take { cost: 1, most, patience: 0, lease: 0 };
                    let step = perform(&Order { rules: vec![rule.clone()], act }, kept.take(), now);
                    kept = Some(step.kept);
                    purse.learn(std::slice::from_ref(rule), &step.decision, 1, hold, now);
                    step.decision
                }
            };
            admitted += decision.granted.map_or(0, |_| 1);
        }
        (admitted, calls)
    }

    #[test]
    fn a_busy_key_asks_seldom_within_its_limit_and_over_it() {
        let steady = |every: u64| (0..60_000).step_by(every as usize).map(|at| 1_000_000 + at);
        for (rule, every) in [
            (RULE, 2),
            (Rule::Bucket { rate: 100, per: 1_000, burst: 100 }, 1),
            (Rule::Window { limit: 100, per: 1_000, sliding: false }, 1),
            (Rule::Window { limit: 100, per: 1_000, sliding: true }, 1),
        ] {
            let (admitted, calls) = run(&rule, 250, steady(every));
            let requests = 60_000 / every;
            assert!(calls * 20 <= requests, "{rule:?}: {calls} calls for {requests} requests");
            assert!(admitted > 0);
        }
    }

    #[test]
    fn a_quiet_key_is_counted_exactly() {
        let rule = Rule::Window { limit: 10, per: 60_000, sliding: false };
        let times = || (0..60).map(|at| 60_000_000 + at * 5_000);
        assert_eq!(run(&rule, 1_000, times()).0, 50);
        assert_eq!(run(&rule, 1_000, times().take(10)), (10, 10));
    }

    #[test]
    fn tokens_of_a_window_end_with_it() {
        let rules = [Rule::Window { limit: 100, per: 1_000, sliding: false }];
        let decision =
            Decision { granted: Some(50), wait: Some(0), standings: vec![Standing { remaining: 0, reset: 10 }] };
        let mut purse = Purse::default();
        assert_eq!(purse.spend(1, 500, 990), Spend::Ask { most: 1 });
        purse.learn(&rules, &decision, 1, 500, 990);
        assert!(matches!(purse.spend(1, 500, 999), Spend::Decided(_)));
        assert!(matches!(purse.spend(1, 500, 1_000), Spend::Ask { .. }));
    }
}
