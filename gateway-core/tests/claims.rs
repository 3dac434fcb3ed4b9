//! Claims in virtual time: whatever the order in which those who ask take their steps, nobody does what another one does.

use gateway_core::claim::elected::{self, KeyValue};
use gateway_core::claim::{Answer, Kept, Order, Outcome, Verdict, perform};
use gateway_core::platform::{StoreError, Timestamp};
use proptest::prelude::*;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

const LEASE: u64 = 60_000;
const KEEP: u64 = 86_400_000;

/// What somebody does who has got the claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Finish,
    Release,
    /// Says nothing any more.
    Crash,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![3 => Just(Fate::Finish), 1 => Just(Fate::Release), 1 => Just(Fate::Crash)]
}

fn begin(token: u64) -> Order {
    Order::Begin { payload: "p".to_owned(), token, lease: LEASE, remember_loss: None }
}

fn end(token: u64, fate: Fate) -> Option<Order> {
    let answer = || Answer { status: 200, fields: Vec::new(), body: token.to_string().into() };
    match fate {
        Fate::Finish => {
            let outcome = Outcome::Answer(answer());
            Some(Order::Finish { payload: "p".to_owned(), token, outcome, keep: KEEP })
        }
        Fate::Release => Some(Order::Release { token }),
        Fate::Crash => None,
    }
}

/// Who does it, since when.
#[derive(Debug, Default)]
struct Doing {
    holders: RefCell<HashMap<u64, Timestamp>>,
    done: Cell<usize>,
}

impl Doing {
    fn begin(&self, token: u64, asked: Timestamp, now: Timestamp) {
        for (other, since) in self.holders.borrow().iter() {
            assert!(now >= since + LEASE, "{token} does what {other} does since {} ms", now - since);
        }
        self.holders.borrow_mut().insert(token, asked);
        self.done.set(self.done.get() + 1);
    }

    fn end(&self, token: u64) {
        self.holders.borrow_mut().remove(&token);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_keeper_that_decides_in_one_step_lets_nobody_do_it_twice(
        steps in prop::collection::vec((0_u64..6, fate(), 0_u64..30_000), 1..80),
    ) {
        let (doing, mut kept, mut now) = (Doing::default(), None::<Kept>, 1_000);
        let mut over = false;
        for (token, fate, pause) in steps {
            now += pause;
            let holds = doing.holders.borrow().contains_key(&token);
            if holds {
                let Some(order) = end(token, fate) else { continue };
                let step = perform(&order, kept, now);
                kept = step.kept;
                over |= step.verdict == Verdict::Noted && fate == Fate::Finish;
                doing.end(token);
                continue;
            }
            let step = perform(&begin(token), kept, now);
            kept = step.kept;
            match step.verdict {
                Verdict::Yours => {
                    prop_assert!(!over, "what is over is done again");
                    doing.begin(token, now, now);
                }
                Verdict::Over(_) => prop_assert!(over),
                Verdict::Held { for_another } => prop_assert!(for_another <= LEASE),
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }

    #[test]
    fn those_who_elect_let_nobody_do_it_twice(
        fates in prop::collection::vec(fate(), 2..7),
        choices in prop::collection::vec(0_u8..=255, 50..600),
    ) {
        let world = Rc::new(World::new(true));
        play(&world, &fates, &choices, false);
        if fates.iter().all(|fate| *fate == Fate::Finish) {
            prop_assert!(world.doing.done.get() <= 1);
        }
    }

    #[test]
    fn and_somebody_does_it_in_the_end(
        fates in prop::collection::vec(fate(), 2..7),
        choices in prop::collection::vec(0_u8..=255, 50..200),
    ) {
        let world = Rc::new(World::new(true));
        play(&world, &fates, &choices, true);
        prop_assert!(world.doing.done.get() >= 1);
        if fates.contains(&Fate::Finish) {
            prop_assert!(world.over.get(), "it is done and known");
        }
    }

    #[test]
    fn and_once_more_when_it_was_forgotten(
        fates in prop::collection::vec(fate(), 2..5),
        choices in prop::collection::vec(0_u8..=255, 50..200),
    ) {
        let world = Rc::new(World::new(true));
        for round in 1..5 {
            play(&world, &fates, &choices, true);
            let done = world.doing.done.get();
            let all = fates.iter().all(|fate| *fate == Fate::Finish);
            prop_assert!(if all { done == round } else { done >= round }, "{done} times in {round} rounds");
            // Whoever crashed is long gone; and then everything is over, and is swept while it is claimed again.
            world.doing.holders.borrow_mut().clear();
            world.clock.set(world.clock.get() + KEEP + 5 * 3_600_000);
        }
    }
}

#[test]
fn what_is_over_does_not_stay_in_the_store() {
    let world = Rc::new(World::new(false));
    let all = async {
        for round in 0..200_u64 {
            let key = format!("key-{round}");
            assert_eq!(elected::claim(&*world, &key, &begin(round)).await, Ok(Verdict::Yours));
            let outcome = Outcome::TooLong { status: 200 };
            let finish = Order::Finish { payload: "p".to_owned(), token: round, outcome, keep: 60_000 };
            assert_eq!(elected::claim(&*world, &key, &finish).await, Ok(Verdict::Noted));
            world.clock.set(world.clock.get() + 600_000);
        }
    };
    let mut all = Box::pin(all);
    while all.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {}
    drop(all);
    // What is left is of the last two hours, in which there were twelve rounds with a record, a counter and an entry each.
    let left = world.values.borrow().len();
    assert!(left < 50, "{left} values are left");
}

#[test]
fn what_cannot_be_tidied_up_fails_nobody() {
    let world = World::new(false);
    world.deletes_fail.set(true);
    let mut all = Box::pin(async {
        assert_eq!(elected::claim(&world, "key", &begin(1)).await, Ok(Verdict::Yours));
        let finish = end(1, Fate::Release).expect("an order");
        assert_eq!(elected::claim(&world, "key", &finish).await, Ok(Verdict::Noted));
        world.clock.set(world.clock.get() + 3 * LEASE);
        assert_eq!(elected::claim(&world, "key", &begin(2)).await, Ok(Verdict::Yours));
    });
    while all.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {}
}

/// A store, each of whose steps waits until it is its turn.
struct World {
    values: RefCell<HashMap<String, Vec<u8>>>,
    clock: Cell<Timestamp>,
    waits: bool,
    doing: Doing,
    over: Cell<bool>,
    deletes_fail: Cell<bool>,
}

impl World {
    fn new(waits: bool) -> Self {
        Self {
            values: RefCell::default(),
            clock: Cell::new(1_750_000_000_000),
            waits,
            doing: Doing::default(),
            over: Cell::new(false),
            deletes_fail: Cell::new(false),
        }
    }

    async fn turn(&self) {
        let mut waited = !self.waits;
        poll_fn(|_| if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}

impl KeyValue for World {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.turn().await;
        Ok(self.values.borrow().get(key).cloned())
    }

    async fn set(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        self.turn().await;
        self.values.borrow_mut().insert(key.to_owned(), value.to_vec());
        Ok(())
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.turn().await;
        if self.deletes_fail.get() {
            return Err(StoreError("nothing can be deleted".to_owned()));
        }
        self.values.borrow_mut().remove(key);
        Ok(())
    }

    async fn add(&self, key: &str, amount: i64) -> Result<i64, StoreError> {
        self.turn().await;
        let mut values = self.values.borrow_mut();
        let before = values.get(key).map_or(0, |sum| i64::from_le_bytes(sum.as_slice().try_into().expect("a sum")));
        values.insert(key.to_owned(), (before + amount).to_le_bytes().to_vec());
        Ok(before + amount)
    }

    fn now(&self) -> Timestamp {
        self.clock.get()
    }
}

/// Somebody who wants it done, and ends as it is fated.
async fn ask(world: Rc<World>, token: u64, fate: Fate) {
    loop {
        let asked = world.now();
        match elected::claim(&*world, "key", &begin(token)).await.expect("the store answers") {
            Verdict::Yours => break world.doing.begin(token, asked, world.now()),
            Verdict::Held { .. } => world.turn().await,
            Verdict::Over(_) => return,
            other => unreachable!("{other:?}"),
        }
    }
    for _ in 0..3 {
        world.turn().await;
    }
    if let Some(order) = end(token, fate) {
        // From here on it has been done, whether that is known already or not.
        world.doing.end(token);
        let verdict = elected::claim(&*world, "key", &order).await.expect("the store answers");
        if fate == Fate::Finish && verdict == Verdict::Noted {
            world.over.set(true);
        }
    }
}

/// Has them take their steps in the order of the choices, and time pass between; no step waits for longer than three seconds.
fn play(world: &Rc<World>, fates: &[Fate], choices: &[u8], to_the_end: bool) {
    type Task = Pin<Box<dyn Future<Output = ()>>>;
    let tasks =
        fates.iter().enumerate().map(|(at, fate)| -> Task { Box::pin(ask(world.clone(), at as u64 + 1, *fate)) });
    let mut tasks: Vec<Option<Task>> = tasks.map(Some).collect();
    let mut stepped = vec![true; tasks.len()];
    let step = |tasks: &mut Vec<Option<Task>>, at: usize| {
        if let Some(task) = &mut tasks[at]
            && task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
        {
            tasks[at] = None;
        }
    };
    let mut pass = |tasks: &mut Vec<Option<Task>>, choice: u8| {
        let at = usize::from(choice) % (tasks.len() + 1);
        if at < tasks.len() {
            step(tasks, at);
            stepped[at] = true;
            return;
        }
        for (at, stepped) in stepped.iter_mut().enumerate() {
            if !std::mem::replace(stepped, false) {
                step(tasks, at);
            }
        }
        world.clock.set(world.clock.get() + 3_000);
    };
    choices.iter().for_each(|choice| pass(&mut tasks, *choice));
    let mut rounds = 0_u32;
    while to_the_end && tasks.iter().any(Option::is_some) {
        (0..=tasks.len()).for_each(|at| pass(&mut tasks, at as u8));
        rounds += 1;
        assert!(rounds < 10_000, "somebody waits for ever");
    }
}
