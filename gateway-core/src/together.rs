//! Does several things at once, but not too many.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

/// Something that is done at the same time as others.
pub type Task<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// Does all of this, at most so many at a time, begun in their order. Gives what they give in the same order.
pub async fn all<'a, T>(tasks: impl IntoIterator<Item = Task<'a, T>>, most: usize) -> Vec<T> {
    let mut waiting = tasks.into_iter();
    let mut results: Vec<Option<T>> = Vec::new();
    let mut running: Vec<(usize, Task<'a, T>)> = Vec::new();
    poll_fn(|context| {
        loop {
            while running.len() < most.max(1) {
                let Some(task) = waiting.next() else { break };
                running.push((results.len(), task));
                results.push(None);
            }
            let before = running.len();
            running.retain_mut(|(place, task)| match task.as_mut().poll(context) {
                Poll::Ready(result) => {
                    if let Some(slot) = results.get_mut(*place) {
                        *slot = Some(result);
                    }
                    false
                }
                Poll::Pending => true,
            });
            if running.is_empty() && before == 0 {
                return Poll::Ready(());
            }
            // What has ended makes room for others, which nobody has polled yet.
            if running.len() == before {
                return Poll::Pending;
            }
        }
    })
    .await;
    results.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::pin::pin;
    use std::task::{Context, Waker};

    /// Is ready when it has been polled so many times.
    async fn after(polls: u32, active: &Cell<u32>, peak: &Cell<u32>) -> u32 {
        active.set(active.get() + 1);
        peak.set(peak.get().max(active.get()));
        let mut left = polls;
        poll_fn(|_| {
            if left == 0 {
                return Poll::Ready(());
            }
            left -= 1;
            Poll::Pending
        })
        .await;
        active.set(active.get() - 1);
        polls
    }

    #[test]
    fn no_more_than_so_many_are_under_way_and_what_they_give_keeps_its_order() {
        for most in [1, 2, 3, 100] {
            let (active, peak) = (Cell::new(0), Cell::new(0));
            let times = [3, 0, 5, 1, 0, 2];
            let tasks = times.iter().map(|polls| Box::pin(after(*polls, &active, &peak)) as Task<'_, u32>);
            let mut whole = pin!(all(tasks, most));
            let mut context = Context::from_waker(Waker::noop());
            let mut polls = 0;
            let results = loop {
                polls += 1;
                assert!(polls < 50, "it never ends");
                if let Poll::Ready(results) = whole.as_mut().poll(&mut context) {
                    break results;
                }
            };
            assert_eq!(results, times);
            assert!(peak.get() as usize <= most && (peak.get() > 1) == (most > 1), "{} of {most}", peak.get());
        }
        let mut nothing = pin!(all::<u32>([], 3));
        let mut context = Context::from_waker(Waker::noop());
        assert!(matches!(nothing.as_mut().poll(&mut context), Poll::Ready(results) if results.is_empty()));
    }
}
