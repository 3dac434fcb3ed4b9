//! The owner's step in a store that can get, set, delete and add, but not compare and swap.
//!
//! What instances count is added to sums, one for each version and window of time, so nothing of it is lost; whoever begins another
//! window takes away those that say nothing any more. Everything else has
//! generations: whoever wants to write the next one adds one to its turn, and only who makes it one, and then finds everything as
//! it was, writes. A turn that was won by somebody who never wrote is over after `TURN`; two that win turns which border on each
//! other, and both write within that moment, are the one thing that this does not exclude.

use super::judge::{Pair, Tally};
use super::standing::{Act, Order, Seen, Standing, Step, Trial, Verdict, perform};
use crate::claim::elected::KeyValue;
use crate::platform::StoreError;
use crate::record;

/// Does what is ordered.
pub async fn roll_out<K: KeyValue>(store: &K, order: &Order) -> Result<Verdict, StoreError> {
    let mut order = order.clone();
    let mut sight = Sight { seen: None, told: None };
    if let Act::Look { seen, .. } = &mut order.act {
        sight.seen = seen.take();
    }
    let done = elect(store, &order, &mut sight).await;
    match (done, sight.told) {
        // What was counted stands in the store, and whoever hears of a failure tells it once more. What came of it is seen with the
        // next look.
        (Err(_), Some(standing)) => Ok(Verdict::Stands(standing)),
        (done, _) => done,
    }
}

/// What an instance has seen.
struct Sight {
    /// What it has counted, until that stands in the store.
    seen: Option<Seen>,
    /// Then: how things stood.
    told: Option<Standing>,
}

async fn elect<K: KeyValue>(store: &K, order: &Order, sight: &mut Sight) -> Result<Verdict, StoreError> {
    for _ in 0..ATTEMPTS {
        let text = store.get(STANDING).await?;
        let known: Option<Standing> = text.as_deref().and_then(|text| record::read(text).ok());
        let mut counted = known.clone();
        if let (Act::Look { .. } | Act::Tell, Some(standing)) = (&order.act, &mut counted)
            && standing.base == order.base
        {
            count(store, standing, sight, order.rules.window).await?;
        }
        let Step { verdict, kept, forget } = perform(order, counted, store.now());
        let generation = known.as_ref().map(|standing| standing.generation);
        // Sums stand elsewhere: they are no change.
        if generation == Some(kept.generation) {
            return Ok(verdict);
        }
        let turn = format!("{TURNS}{}/{}", generation.unwrap_or_default(), store.now() / TURN);
        if store.add(&turn, 1).await? != 1 || store.get(STANDING).await? != text {
            continue;
        }
        let text = serde_json::to_vec(&kept).map_err(|error| StoreError(error.to_string()))?;
        store.set(STANDING, &text).await?;
        store.delete(&turn).await?;
        if let Some(over) = known.and_then(|standing| standing.trial)
            && kept.trial.as_ref().is_none_or(|trial| trial.number != over.number)
        {
            sweep(store, None).await?;
        }
        for version in forget {
            store.delete(&artefact(&version)).await?;
        }
        return Ok(verdict);
    }
    Err(StoreError("others change the versions just now".to_owned()))
}

/// Where the store has a version's artefact.
pub fn artefact(version: &str) -> String {
    format!("postern/rollout/version/{version}")
}

const STANDING: &str = "postern/rollout/standing";
const WINDOW: &str = "postern/rollout/window";
const TURNS: &str = "postern/rollout/turn/";
const ARMS: [char; 2] = ['o', 'n'];

/// How often it is tried when others write at the same time.
const ATTEMPTS: usize = 4;

/// How long a turn lasts, in milliseconds: much longer than reading and writing once.
const TURN: u64 = 5_000;

/// Adds what was seen to the sums of a trial, and brings what is known of it up to date.
async fn count<K: KeyValue>(
    store: &K,
    standing: &mut Standing,
    sight: &mut Sight,
    window: u64,
) -> Result<(), StoreError> {
    let Some(Trial { number, .. }) = standing.trial else { return Ok(()) };
    let now = store.now() / window.max(1);
    sweep(store, Some((number, now))).await?;
    let added = sight.seen.take().filter(|seen| seen.number == number).map(|seen| seen.counted);
    let add = async |window: u64, arm: char, added: Tally| -> Result<Tally, StoreError> {
        Ok(unpack(store.add(&sum(number, window, arm), pack(added)).await?))
    };
    let Pair { old, new } = added.unwrap_or_default();
    let old = add(now, 'o', old).await?;
    if added.is_some() {
        let Standing { generation, base, stable, trial, .. } = standing.clone();
        sight.told = Some(Standing { generation, base, stable, trial, ..Standing::default() });
    }
    let current = Pair { old, new: add(now, 'n', new).await? };
    let (window, nothing) = (now.saturating_sub(1), Tally::default());
    let before = Pair { old: add(window, 'o', nothing).await?, new: add(window, 'n', nothing).await? };
    if let Some(trial) = &mut standing.trial {
        trial.counted.window = now;
        (trial.counted.current, trial.counted.before) = (current, before);
    }
    Ok(())
}

/// Takes away sums that say nothing any more, and notes which trial and window it is now; `None`: the trial is over.
async fn sweep<K: KeyValue>(store: &K, now: Option<(u64, u64)>) -> Result<(), StoreError> {
    let noted: Option<(u64, u64)> = store.get(WINDOW).await?.and_then(|text| serde_json::from_slice(&text).ok());
    // Whose clock is behind takes nothing away from others.
    if now.is_some() && noted >= now {
        return Ok(());
    }
    if let Some((number, window)) = noted {
        // That window and the one before it, and what somebody added late to the one before that.
        for window in window.saturating_sub(2)..=window {
            let counts = now.is_some_and(|(of, now)| of == number && now <= window.saturating_add(1));
            for arm in ARMS.iter().filter(|_| !counts) {
                store.delete(&sum(number, window, *arm)).await?;
            }
        }
    }
    let Some(now) = now else { return Ok(()) };
    let text = serde_json::to_vec(&now).map_err(|error| StoreError(error.to_string()))?;
    store.set(WINDOW, &text).await
}

fn sum(number: u64, window: u64, arm: char) -> String {
    format!("postern/rollout/sum/{number}/{window}/{arm}")
}

/// Both numbers of a tally in one, so that one step adds both: requests below, errors above.
fn pack(tally: Tally) -> i64 {
    let half = |number: u64| i64::from(u32::try_from(number).unwrap_or(u32::MAX).min(1 << 30));
    (half(tally.errors) << 32) + half(tally.requests)
}

fn unpack(sum: i64) -> Tally {
    let sum = u64::try_from(sum).unwrap_or_default();
    Tally { requests: sum & u64::from(u32::MAX), errors: sum >> 32 }
}

#[cfg(test)]
mod tests {
    use super::super::judge::tests::rules;
    use super::*;
    use crate::platform::Timestamp;
    use std::cell::{Cell, RefCell};
    use std::collections::HashMap;
    use std::future::poll_fn;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    const ONE: &str = "0000000000000001";

    /// A store in which every step takes a moment, in which others have their turn.
    #[derive(Default)]
    struct Store {
        values: RefCell<HashMap<String, Vec<u8>>>,
        sums: RefCell<HashMap<String, i64>>,
        now: Cell<Timestamp>,
    }

    impl KeyValue for Store {
        async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
            pause().await;
            Ok(self.values.borrow().get(key).cloned())
        }

        async fn set(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
            pause().await;
            self.values.borrow_mut().insert(key.to_owned(), value.to_vec());
            Ok(())
        }

        async fn delete(&self, key: &str) -> Result<(), StoreError> {
            pause().await;
            self.values.borrow_mut().remove(key);
            self.sums.borrow_mut().remove(key);
            Ok(())
        }

        async fn add(&self, key: &str, amount: i64) -> Result<i64, StoreError> {
            pause().await;
            let mut sums = self.sums.borrow_mut();
            let sum = sums.entry(key.to_owned()).or_default();
            *sum += amount;
            Ok(*sum)
        }

        fn now(&self) -> Timestamp {
            self.now.get()
        }
    }

    async fn pause() {
        let mut paused = false;
        poll_fn(|_| if std::mem::replace(&mut paused, true) { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// All of them at once, in turns that a number decides.
    fn at_once<T>(futures: Vec<impl Future<Output = T>>, mut lot: u64) -> Vec<T> {
        let mut futures: Vec<Pin<Box<_>>> = futures.into_iter().map(Box::pin).collect();
        let mut done: Vec<Option<T>> = futures.iter().map(|_| None).collect();
        let mut context = Context::from_waker(Waker::noop());
        while done.iter().any(Option::is_none) {
            lot = crate::upstream::mix(lot);
            let at = lot as usize % futures.len();
            if done[at].is_none()
                && let Poll::Ready(value) = futures[at].as_mut().poll(&mut context)
            {
                done[at] = Some(value);
            }
        }
        done.into_iter().flatten().collect()
    }

    fn order(act: Act) -> Order {
        Order { rules: rules(), base: "00000000000000ba".to_owned(), act }
    }

    fn alone(store: &Store, act: Act) -> Verdict {
        at_once(vec![roll_out(store, &order(act))], 0).pop().expect("one").expect("it is done")
    }

    fn standing(store: &Store) -> Standing {
        match alone(store, Act::Tell) {
            Verdict::Stands(standing) => standing,
            Verdict::Refused(refusal) => unreachable!("{refusal:?}"),
        }
    }

    fn push(store: &Store, percent: u8) -> u64 {
        store.now.set(1_000_000_000);
        alone(store, Act::Store { version: ONE.to_owned(), size: 1, note: None });
        alone(store, Act::Activate { version: Some(ONE.to_owned()), percent: Some(percent) });
        standing(store).trial.expect("a trial").number
    }

    #[test]
    fn nothing_that_is_counted_at_once_is_lost() {
        for lot in 0..50 {
            let store = Store::default();
            let number = push(&store, 10);
            let counted = Pair { old: Tally { requests: 7, errors: 1 }, new: Tally { requests: 9, errors: 0 } };
            let looks: Vec<Order> =
                (0..8).map(|_| order(Act::Look { seen: Some(Seen { number, counted }), refused: None })).collect();
            let done = at_once(looks.iter().map(|look| roll_out(&store, look)).collect(), lot);
            assert!(done.iter().all(Result::is_ok));
            let Verdict::Stands(told) = alone(&store, Act::Look { seen: None, refused: None }) else {
                unreachable!("it was asked")
            };
            let total = told.trial.expect("a trial").counted.total();
            assert_eq!((total.old.requests, total.old.errors, total.new.requests), (56, 8, 72));
        }
    }

    #[test]
    fn of_many_that_see_the_harm_one_writes_it_down_and_all_know() {
        for lot in 0..50 {
            let store = Store::default();
            let number = push(&store, 50);
            let counted = Pair { new: Tally { requests: 60, errors: 60 }, ..Pair::default() };
            let looks: Vec<Order> =
                (0..6).map(|_| order(Act::Look { seen: Some(Seen { number, counted }), refused: None })).collect();
            drop(at_once(looks.iter().map(|look| roll_out(&store, look)).collect(), lot));
            let standing = standing(&store);
            assert_eq!(standing.trial, None);
            assert_eq!(standing.events.len(), 3, "stored, trial, rolled back: {:?}", standing.events);
        }
    }

    #[test]
    fn an_operator_and_an_instance_do_not_undo_each_other() {
        let two = "0000000000000002";
        for lot in 0..200 {
            let store = Store::default();
            let number = push(&store, 50);
            alone(&store, Act::Store { version: two.to_owned(), size: 1, note: None });
            let counted = Pair { new: Tally { requests: 600, errors: 600 }, ..Pair::default() };
            let orders = [
                order(Act::Look { seen: Some(Seen { number, counted }), refused: None }),
                order(Act::Activate { version: Some(two.to_owned()), percent: Some(20) }),
            ];
            let done = at_once(orders.iter().map(|order| roll_out(&store, order)).collect(), lot);
            if done[1].is_ok() {
                let trial = standing(&store).trial.map(|trial| trial.version);
                assert_eq!(trial.as_deref(), Some(two), "what was told the operator holds");
            }
        }
    }

    #[test]
    fn a_winner_who_never_writes_holds_nobody_up_for_long() {
        let store = Store::default();
        push(&store, 10);
        let generation = standing(&store).generation;
        store.sums.borrow_mut().insert(format!("{TURNS}{generation}/{}", store.now() / TURN), 1);
        let back = order(Act::RollBack { reason: "an operator".to_owned() });
        let done = at_once(vec![roll_out(&store, &back)], 0).pop().expect("one");
        assert!(done.is_err());
        store.now.set(store.now() + TURN);
        assert!(at_once(vec![roll_out(&store, &back)], 0).pop().expect("one").is_ok());
        assert_eq!(standing(&store).trial, None);
    }

    #[test]
    fn what_says_nothing_any_more_is_taken_away() {
        let store = Store::default();
        let number = push(&store, 10);
        let sums = |store: &Store| store.sums.borrow().keys().filter(|key| key.contains("/sum/")).count();
        let counted = Pair { old: Tally { requests: 7, errors: 0 }, ..Pair::default() };
        for (pause, expected) in [(1, 7), (1, 14), (2, 7), (5, 7), (1, 14), (100, 7), (1, 14), (1, 14)] {
            store.now.set(store.now.get() + pause * rules().window);
            alone(&store, Act::Look { seen: Some(Seen { number, counted }), refused: None });
            let told = standing(&store).trial.expect("a trial").counted;
            assert_eq!(told.total().old.requests, expected, "after {pause}");
            assert_eq!(sums(&store), 4, "of this window and the one before, after {pause}");
        }
        // A clock that is behind takes nothing away.
        store.now.set(store.now.get() - rules().window);
        alone(&store, Act::Look { seen: None, refused: None });
        store.now.set(store.now.get() + rules().window);
        assert_eq!(standing(&store).trial.expect("a trial").counted.total().old.requests, 14);
        alone(&store, Act::RollBack { reason: "an operator".to_owned() });
        assert_eq!(sums(&store), 0);
    }

    #[test]
    fn what_was_counted_is_told_once_also_where_nothing_comes_of_it() {
        let store = Store::default();
        let number = push(&store, 50);
        let generation = standing(&store).generation;
        store.sums.borrow_mut().insert(format!("{TURNS}{generation}/{}", store.now() / TURN), 1);
        let counted = Pair { new: Tally { requests: 600, errors: 600 }, ..Pair::default() };
        // It does harm, but somebody else is about to write. The instance must not keep what it has told.
        let told = alone(&store, Act::Look { seen: Some(Seen { number, counted }), refused: None });
        assert!(matches!(told, Verdict::Stands(standing) if standing.trial.is_some()));
        assert_eq!(requests_of_new(&store), 600);
        store.now.set(store.now.get() + TURN);
        alone(&store, Act::Look { seen: None, refused: None });
        assert_eq!(standing(&store).trial, None);
    }

    /// How many requests of the new version stand in the store.
    fn requests_of_new(store: &Store) -> u64 {
        let sums = store.sums.borrow();
        let of_new = sums.iter().filter(|(key, _)| key.contains("/sum/") && key.ends_with("/n"));
        of_new.map(|(_, sum)| unpack(*sum).requests).sum()
    }

    #[test]
    fn a_tally_is_one_number() {
        for tally in [(0, 0), (1, 1), (5, 0), (1 << 29, 1 << 29)] {
            let tally = Tally { requests: tally.0, errors: tally.1 };
            assert_eq!(unpack(pack(tally)), tally);
            assert_eq!(unpack(pack(tally) + pack(tally)), tally.plus(tally));
        }
    }
}
