//! How appends wait: one shared outcome for all groups that are made durable together.
//!
//! The side that writes completes a [`Batch`] with a single wake, whatever the number of waiters:
//! the waiter that it wakes wakes the others from its own thread, where that is a push onto a local
//! queue and no call into the kernel. Nothing here knows what is behind a journal.

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::{Error, Position};

/// The groups that share one outcome.
#[derive(Debug, Default)]
pub(super) struct Batch {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    outcome: Option<Outcome>,
    wakers: Vec<Option<Waker>>,
}

/// What became of a batch: its first `durable` records are durable from `first` on, the rest
/// failed with `error`.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) first: Position,
    pub(super) durable: u64,
    pub(super) error: Option<Error>,
}

impl Batch {
    /// Tells all waiters, now and later, how it ended; only the first call counts.
    pub(super) fn complete(&self, outcome: Outcome) {
        let first = {
            let mut state = self.lock();
            if state.outcome.is_some() {
                return;
            }
            state.outcome = Some(outcome);
            std::iter::from_fn(|| state.wakers.pop()).flatten().next()
        };
        if let Some(waker) = first {
            waker.wake();
        }
    }

    /// Wakes the waiters that [`Batch::complete`] left to the one it woke.
    fn wake_others(mut state: MutexGuard<'_, State>) {
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        for waker in wakers.into_iter().flatten() {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The future of an append: the positions of the group's records, once they are durable.
///
/// Dropping it takes nothing back: the group is written all the same.
#[derive(Debug)]
#[must_use = "a group is acknowledged by this future, not by the call that made it"]
pub struct Append(Kind);

#[derive(Debug)]
enum Kind {
    Waiting { batch: Arc<Batch>, records: Range<u64>, slot: Option<usize> },
    Ready(Result<Range<Position>, Error>),
}

impl Append {
    /// An append whose outcome is known already.
    pub(super) const fn ready(outcome: Result<Range<Position>, Error>) -> Self {
        Self(Kind::Ready(outcome))
    }

    /// Waits for the batch; the group's records are `records` of it.
    pub(super) const fn waiting(batch: Arc<Batch>, records: Range<u64>) -> Self {
        Self(Kind::Waiting { batch, records, slot: None })
    }
}

impl Outcome {
    fn of(&self, records: &Range<u64>) -> Result<Range<Position>, Error> {
        match &self.error {
            Some(error) if records.end > self.durable => Err(error.clone()),
            _ => Ok(self.first.plus(records.start)..self.first.plus(records.end)),
        }
    }
}

impl Future for Append {
    type Output = Result<Range<Position>, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let (batch, records, slot) = match &mut self.0 {
            Kind::Ready(outcome) => return Poll::Ready(outcome.clone()),
            Kind::Waiting { batch, records, slot } => (batch, records, slot),
        };
        let mut state = batch.lock();
        if let Some(outcome) = &state.outcome {
            let outcome = outcome.of(records);
            Batch::wake_others(state);
            return Poll::Ready(outcome);
        }
        let known = slot.and_then(|slot| state.wakers.get_mut(slot));
        match known {
            Some(Some(waker)) => waker.clone_from(context.waker()),
            Some(empty) => *empty = Some(context.waker().clone()),
            None => {
                *slot = Some(state.wakers.len());
                state.wakers.push(Some(context.waker().clone()));
            }
        }
        Poll::Pending
    }
}

impl Drop for Append {
    fn drop(&mut self) {
        let Kind::Waiting { batch, slot: Some(slot), .. } = &self.0 else { return };
        let mut state = batch.lock();
        if state.outcome.is_some() {
            // It may be the one that was woken for all.
            Batch::wake_others(state);
        } else if let Some(waker) = state.wakers.get_mut(*slot) {
            *waker = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn poll(append: &mut Append, counter: &Arc<Counter>) -> Poll<Result<Range<Position>, Error>> {
        let waker = Waker::from(Arc::clone(counter));
        Pin::new(append).poll(&mut Context::from_waker(&waker))
    }

    fn woken(counter: &Counter) -> usize {
        counter.0.load(Ordering::SeqCst)
    }

    fn done() -> Outcome {
        Outcome { first: Position::new(7), durable: 5, error: None }
    }

    #[test]
    fn one_wake_reaches_every_waiter() {
        let batch = Arc::new(Batch::default());
        let counters: Vec<_> = (0..3).map(|_| Arc::new(Counter::default())).collect();
        let mut appends: Vec<_> =
            (0..3).map(|at| Append::waiting(Arc::clone(&batch), at..at + 1)).collect();
        for (append, counter) in appends.iter_mut().zip(&counters) {
            assert!(poll(append, counter).is_pending());
            assert!(poll(append, counter).is_pending(), "polling again takes no second slot");
        }
        batch.complete(done());
        let leaders: Vec<_> = (0..3).filter(|&at| woken(&counters[at]) == 1).collect();
        assert_eq!(leaders.len(), 1);
        assert!(poll(&mut appends[leaders[0]], &counters[leaders[0]]).is_ready());
        for (at, append) in appends.iter_mut().enumerate() {
            assert_eq!(woken(&counters[at]), 1);
            let Poll::Ready(Ok(range)) = poll(append, &counters[at]) else { panic!("not done") };
            assert_eq!(range, Position::new(7 + at as u64)..Position::new(8 + at as u64));
        }
    }

    #[test]
    fn a_dropped_leader_passes_the_wake_on() {
        let batch = Arc::new(Batch::default());
        let counters: Vec<_> = (0..2).map(|_| Arc::new(Counter::default())).collect();
        let mut appends: Vec<_> =
            (0..2).map(|at| Append::waiting(Arc::clone(&batch), at..at + 1)).collect();
        for (append, counter) in appends.iter_mut().zip(&counters) {
            assert!(poll(append, counter).is_pending());
        }
        batch.complete(done());
        drop(appends.pop());
        drop(appends.pop());
        assert_eq!((woken(&counters[0]), woken(&counters[1])), (1, 1));
    }

    #[test]
    fn a_waiter_that_left_is_not_chosen() {
        let batch = Arc::new(Batch::default());
        let counters: Vec<_> = (0..2).map(|_| Arc::new(Counter::default())).collect();
        let mut stays = Append::waiting(Arc::clone(&batch), 0..1);
        let mut leaves = Append::waiting(Arc::clone(&batch), 1..2);
        assert!(poll(&mut stays, &counters[0]).is_pending());
        assert!(poll(&mut leaves, &counters[1]).is_pending());
        drop(leaves);
        batch.complete(done());
        assert_eq!((woken(&counters[0]), woken(&counters[1])), (1, 0));
    }

    #[test]
    fn a_failure_spares_what_was_durable() {
        let batch = Arc::new(Batch::default());
        let counter = Arc::new(Counter::default());
        batch.complete(Outcome { first: Position::new(7), durable: 2, error: Some(Error::Closed) });
        let mut durable = Append::waiting(Arc::clone(&batch), 0..2);
        let mut lost = Append::waiting(Arc::clone(&batch), 2..3);
        assert!(matches!(poll(&mut durable, &counter), Poll::Ready(Ok(_))));
        assert!(matches!(poll(&mut lost, &counter), Poll::Ready(Err(Error::Closed))));
    }
}
