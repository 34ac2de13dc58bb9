//! How appends wait: one shared outcome for all groups that are made durable together.
//!
//! The side that writes completes a [`Batch`] with a single wake for each thread that waits, whatever
//! the number of waiters: the waiter that is woken wakes the others of its thread from there, where
//! that is a push onto a local queue and no call into the kernel. Nothing here knows what is behind
//! a journal.

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::ThreadId;

use super::{Error, Position};

/// The groups that share one outcome.
#[derive(Debug, Default)]
pub(super) struct Batch {
    state: Mutex<State>,
    groups: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    outcome: Option<Outcome>,
    lines: Vec<Line>,
}

/// Those that wait on one thread.
#[derive(Debug)]
struct Line {
    thread: ThreadId,
    wakers: Vec<Option<Waker>>,
}

/// Where a waiter stands.
#[derive(Clone, Copy, Debug)]
struct Slot {
    line: usize,
    place: usize,
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
        let mut state = self.lock();
        if state.outcome.is_some() {
            return;
        }
        state.outcome = Some(outcome);
        let first = |line: &mut Line| std::iter::from_fn(|| line.wakers.pop()).flatten().next();
        if let [line] = &mut state.lines[..] {
            let first = first(line);
            drop(state);
            first.into_iter().for_each(Waker::wake);
            return;
        }
        let all: Vec<Waker> = state.lines.iter_mut().filter_map(first).collect();
        drop(state);
        all.into_iter().for_each(Waker::wake);
    }

    /// Wakes the waiters that [`Batch::complete`] left to the one it woke of their line.
    fn wake_others(mut state: MutexGuard<'_, State>, slot: Option<Slot>) {
        let line = slot.and_then(|slot| state.lines.get_mut(slot.line));
        let wakers = line.map(|line| std::mem::take(&mut line.wakers)).unwrap_or_default();
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
    Waiting { batch: Arc<Batch>, records: Range<u64>, slot: Option<Slot>, leads: bool },
    Ready(Result<Range<Position>, Error>),
}

impl Append {
    /// An append whose outcome is known already.
    pub(super) const fn ready(outcome: Result<Range<Position>, Error>) -> Self {
        Self(Kind::Ready(outcome))
    }

    /// Waits for the batch; the group's records are `records` of it.
    pub(super) fn waiting(batch: Arc<Batch>, records: Range<u64>, leads: bool) -> Self {
        batch.groups.fetch_add(1, Ordering::Relaxed);
        Self(Kind::Waiting { batch, records, slot: None, leads })
    }

    /// Whether this is its thread's first group of those that share its outcome.
    #[must_use]
    pub const fn leads(&self) -> bool {
        matches!(self.0, Kind::Waiting { leads: true, .. })
    }

    /// How many groups share its outcome by now, itself included.
    #[must_use]
    pub fn company(&self) -> usize {
        match &self.0 {
            Kind::Waiting { batch, .. } => batch.groups.load(Ordering::Relaxed),
            Kind::Ready(_) => 1,
        }
    }
}

impl State {
    /// Puts a waiter at the end of its thread's line.
    fn stand(&mut self, waker: Waker) -> Slot {
        let thread = std::thread::current().id();
        let known = self.lines.iter().position(|line| line.thread == thread);
        let line = known.unwrap_or_else(|| {
            self.lines.push(Line { thread, wakers: Vec::new() });
            self.lines.len() - 1
        });
        let wakers = &mut self.lines[line].wakers;
        wakers.push(Some(waker));
        Slot { line, place: wakers.len() - 1 }
    }

    fn place(&mut self, slot: Slot) -> Option<&mut Option<Waker>> {
        self.lines.get_mut(slot.line)?.wakers.get_mut(slot.place)
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
            Kind::Waiting { batch, records, slot, .. } => (batch, records, slot),
        };
        let mut state = batch.lock();
        if let Some(outcome) = &state.outcome {
            let outcome = outcome.of(records);
            Batch::wake_others(state, *slot);
            return Poll::Ready(outcome);
        }
        match slot.and_then(|slot| state.place(slot)) {
            Some(Some(waker)) => waker.clone_from(context.waker()),
            Some(empty) => *empty = Some(context.waker().clone()),
            None => *slot = Some(state.stand(context.waker().clone())),
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
            Batch::wake_others(state, Some(*slot));
        } else if let Some(waker) = state.place(*slot) {
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
            (0..3).map(|at| Append::waiting(Arc::clone(&batch), at..at + 1, at == 0)).collect();
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
    fn each_thread_is_woken_once_from_outside() {
        let batch = Arc::new(Batch::default());
        let lines: Vec<_> = (0..2)
            .map(|_| {
                let counters: Vec<_> = (0..2).map(|_| Arc::new(Counter::default())).collect();
                let mut appends: Vec<_> = (0..2)
                    .map(|at| Append::waiting(Arc::clone(&batch), at..at + 1, at == 0))
                    .collect();
                let waiting = std::thread::scope(|scope| {
                    let wait =
                        || appends.iter_mut().zip(&counters).all(|(a, c)| poll(a, c).is_pending());
                    scope.spawn(wait).join().unwrap()
                });
                assert!(waiting);
                (appends, counters)
            })
            .collect();
        batch.complete(done());
        for (mut appends, counters) in lines {
            assert_eq!((woken(&counters[0]), woken(&counters[1])), (0, 1));
            assert!(poll(&mut appends[1], &counters[1]).is_ready());
            assert_eq!((woken(&counters[0]), woken(&counters[1])), (1, 1));
        }
    }

    #[test]
    fn a_dropped_leader_passes_the_wake_on() {
        let batch = Arc::new(Batch::default());
        let counters: Vec<_> = (0..2).map(|_| Arc::new(Counter::default())).collect();
        let mut appends: Vec<_> =
            (0..2).map(|at| Append::waiting(Arc::clone(&batch), at..at + 1, at == 0)).collect();
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
        let mut stays = Append::waiting(Arc::clone(&batch), 0..1, true);
        let mut leaves = Append::waiting(Arc::clone(&batch), 1..2, false);
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
        let mut durable = Append::waiting(Arc::clone(&batch), 0..2, true);
        let mut lost = Append::waiting(Arc::clone(&batch), 2..3, false);
        assert!(matches!(poll(&mut durable, &counter), Poll::Ready(Ok(_))));
        assert!(matches!(poll(&mut lost, &counter), Poll::Ready(Err(Error::Closed))));
    }
}
