//! Decides what the next free connection does: a request whose time has come, a retry whose pause
//! is over, or nothing any more. The pacer, a thread of its own, lets through what is due; a
//! runtime's timers are too coarse for it (1 ms, eight times a sync).

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::sync::Semaphore;

use crate::clock;
use crate::ledger;
use crate::payload::Request;
use crate::profile::Retry;
use crate::rng::Rng;
use crate::schedule::Schedule;

/// After its end a run still sends for so long what was due before, else every run would abandon
/// the request that fell due in its last microsecond.
const GRACE: Duration = Duration::from_secs(1);

/// Longest sleep of the pacer, so that a new retry or the end is seen soon.
const PACER_SLEEP_MAX: Duration = Duration::from_millis(2);

/// One request on its way, with what happened to it so far.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    /// The bytes.
    pub(crate) request: Arc<Request>,
    /// When it was first due, from the start of its run.
    pub(crate) due: Duration,
    /// Tries so far.
    pub(crate) tries: u32,
    /// Some try ended without a certain answer, so its events may have been taken.
    pub(crate) uncertain: bool,
    /// It was acknowledged before and is sent again on purpose.
    pub(crate) duplicate: bool,
}

impl Attempt {
    /// A first try.
    pub(crate) fn first(request: Request, due: Duration) -> Self {
        Self { request: Arc::new(request), due, tries: 0, uncertain: false, duplicate: false }
    }

    /// What is known of its events if it is never tried again.
    pub(crate) const fn last_known(&self) -> ledger::Outcome {
        if self.uncertain { ledger::Outcome::Unknown } else { ledger::Outcome::Refused }
    }
}

/// What a free connection does next.
#[derive(Debug)]
pub(super) enum Work {
    /// A new request, due at this time.
    Due(Duration),
    /// One more try.
    Again(Attempt),
}

/// What a run goes by.
#[derive(Debug)]
pub(super) struct Rules {
    /// When requests are due; none in a closed loop.
    pub(super) schedule: Option<Schedule>,
    /// The start.
    pub(super) start: Instant,
    /// No request is due from here on, unless the run is ended before.
    pub(super) end: Duration,
    /// How long retries may go on after the end.
    pub(super) drain: Duration,
    /// How refusals are retried.
    pub(super) retry: Retry,
    /// Seed of the pauses.
    pub(super) seed: u64,
}

/// The gate of one run.
#[derive(Debug)]
pub(super) struct Gate {
    rules: Rules,
    open: Semaphore,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The workers' place in the schedule.
    next: Option<Schedule>,
    /// Requests let through and not yet begun.
    backlog: u64,
    waiting: BinaryHeap<Reverse<Later>>,
    ready: VecDeque<Attempt>,
    in_flight: u64,
    /// Where the schedule ends.
    end: Duration,
    rng: Rng,
    numbers: u64,
}

#[derive(Debug)]
struct Later {
    at: Duration,
    number: u64,
    attempt: Attempt,
}

impl PartialEq for Later {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}
impl Eq for Later {}
impl PartialOrd for Later {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Later {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl Gate {
    pub(super) fn new(rules: Rules) -> Self {
        let state = State {
            next: rules.schedule.clone(),
            backlog: 0,
            waiting: BinaryHeap::new(),
            ready: VecDeque::new(),
            in_flight: 0,
            end: rules.end,
            rng: Rng::lane(rules.seed, 0x6A7E),
            numbers: 0,
        };
        Self { rules, open: Semaphore::new(0), state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        clock::monotonic().saturating_duration_since(self.rules.start)
    }

    /// Waits for something to do; none when the run is over. [`Self::done`] must follow.
    pub(super) async fn next(&self) -> Option<Work> {
        if self.rules.schedule.is_none() {
            return self.next_closed();
        }
        self.open.acquire().await.ok()?.forget();
        let mut state = self.state();
        state.in_flight += 1;
        if let Some(attempt) = state.ready.pop_front() {
            return Some(Work::Again(attempt));
        }
        state.backlog = state.backlog.saturating_sub(1);
        state.next.as_mut()?.next().map(Work::Due)
    }

    fn next_closed(&self) -> Option<Work> {
        let now = self.now();
        let mut state = self.state();
        if self.open.is_closed() || now >= state.end {
            return None;
        }
        state.in_flight += 1;
        if state.waiting.peek().is_some_and(|Reverse(later)| later.at <= now) {
            return state.waiting.pop().map(|Reverse(later)| Work::Again(later.attempt));
        }
        Some(Work::Due(now))
    }

    /// Waits for a retry whose pause is over, when a closed loop has sent all it had; none once no
    /// attempt waits: who still has one on its way comes back for it. [`Self::done`] must follow.
    pub(super) async fn next_owed(&self) -> Option<Work> {
        if self.rules.schedule.is_some() {
            return None;
        }
        loop {
            let now = self.now();
            let pause = {
                let mut state = self.state();
                if self.open.is_closed() || now >= state.end {
                    return None;
                }
                let at = state.waiting.peek().map(|Reverse(later)| later.at)?;
                if at <= now {
                    state.in_flight += 1;
                    return state.waiting.pop().map(|Reverse(later)| Work::Again(later.attempt));
                }
                at.saturating_sub(now)
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// A connection is free again.
    pub(super) fn done(&self) {
        let mut state = self.state();
        state.in_flight = state.in_flight.saturating_sub(1);
    }

    /// Takes an attempt that failed; gives it back if it is not to be tried again.
    pub(super) fn retry(
        &self,
        attempt: Attempt,
        retry_after: Option<Duration>,
    ) -> Result<(), Attempt> {
        let rules = self.rules.retry;
        let mut state = self.state();
        let queued = state.waiting.len() + state.ready.len();
        if attempt.tries >= rules.tries || queued >= rules.queue {
            return Err(attempt);
        }
        let doubled = rules.base.0.saturating_mul(1 << attempt.tries.saturating_sub(1).min(20));
        let asked = retry_after.filter(|_| rules.honour_retry_after);
        let pause = asked.unwrap_or_else(|| doubled.min(rules.cap.0));
        // A tenth at random on top, so that clients refused together do not come back together.
        let pause = pause.mul_f64(1.0 + 0.1 * state.rng.unit());
        let at = self.now() + pause;
        state.wait(at, attempt);
        Ok(())
    }

    /// Sends an acknowledged request once more, soon.
    pub(super) fn repeat(&self, attempt: Attempt) {
        let mut state = self.state();
        if state.waiting.len() < self.rules.retry.queue {
            let pause = Duration::from_millis(state.rng.below(500));
            let at = self.now() + pause;
            state.wait(at, Attempt { duplicate: true, tries: 0, ..attempt });
        }
    }

    /// Takes over what an earlier run left unfinished; it is tried at once.
    pub(super) fn owe(&self, owed: Vec<Attempt>) {
        let mut state = self.state();
        for attempt in owed {
            state.wait(Duration::ZERO, Attempt { due: Duration::ZERO, ..attempt });
        }
    }

    /// Ends the schedule now, if it has not ended: what is due is still sent, what failed tried again.
    pub(super) fn end_now(&self) {
        let now = self.now();
        let mut state = self.state();
        state.end = state.end.min(now);
    }

    /// Where the schedule ends, and whether that is before its time.
    pub(super) fn end(&self) -> (Duration, bool) {
        let end = self.state().end;
        (end, end < self.rules.end)
    }

    /// Ends the run: no connection gets anything more to do.
    pub(super) fn close(&self) {
        self.open.close();
    }

    /// What waits for another try; asked for once, when the run is over.
    pub(super) fn take_owed(&self) -> Vec<Attempt> {
        let mut state = self.state();
        let mut owed: Vec<Attempt> = state.ready.drain(..).collect();
        owed.extend(state.waiting.drain().map(|Reverse(later)| later.attempt));
        owed
    }

    /// Calls `each` for every request that was let through and never begun.
    pub(super) fn abandoned(&self, mut each: impl FnMut(Duration)) {
        let mut state = self.state();
        for _ in 0..std::mem::take(&mut state.backlog) {
            if let Some(due) = state.next.as_mut().and_then(Iterator::next) {
                each(due);
            }
        }
    }

    /// Lets through what is due; answers how long the pacer may sleep, none when the run is over.
    fn tick(&self, schedule: &mut std::iter::Peekable<Schedule>) -> Option<Duration> {
        let now = self.now();
        let mut state = self.state();
        let end = state.end;
        let mut permits = 0;
        let mut wake = now + PACER_SLEEP_MAX;
        while let Some(due) = schedule.peek().copied().filter(|due| *due < end) {
            if due > now {
                wake = wake.min(due);
                break;
            }
            schedule.next();
            state.backlog += 1;
            permits += 1;
        }
        while state.waiting.peek().is_some_and(|Reverse(later)| later.at <= now) {
            if let Some(Reverse(later)) = state.waiting.pop() {
                state.ready.push_back(later.attempt);
                permits += 1;
            }
        }
        let idle = state.backlog == 0
            && state.in_flight == 0
            && state.waiting.is_empty()
            && state.ready.is_empty();
        let late = state.backlog > 0 && now >= end + GRACE;
        drop(state);
        self.open.add_permits(permits);
        let over = now >= end && (idle || late || now >= end + self.rules.drain.max(GRACE));
        (!over && !self.open.is_closed()).then(|| wake.saturating_sub(now))
    }
}

impl State {
    fn wait(&mut self, at: Duration, attempt: Attempt) {
        self.numbers += 1;
        self.waiting.push(Reverse(Later { at, number: self.numbers, attempt }));
    }
}

/// The thread that opens the gate on time.
#[derive(Debug)]
pub(super) struct Pacer(Option<JoinHandle<()>>);

impl Pacer {
    /// Starts pacing; a closed loop needs none.
    pub(super) fn start(gate: Arc<Gate>) -> anyhow::Result<Self> {
        let Some(schedule) = gate.rules.schedule.clone() else { return Ok(Self(None)) };
        let pace = move || {
            let mut schedule = schedule.peekable();
            while let Some(pause) = gate.tick(&mut schedule) {
                std::thread::sleep(pause);
            }
            gate.close();
        };
        let thread = std::thread::Builder::new().name("pacer".to_owned()).spawn(pace);
        Ok(Self(Some(thread.context("start the pacer")?)))
    }

    /// Waits for the pacer, which ends soon after the gate closes.
    pub(super) fn join(self) -> anyhow::Result<()> {
        match self.0 {
            Some(thread) => thread.join().map_err(|_| anyhow::anyhow!("the pacer failed")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::Expect;
    use crate::schedule::Arrivals;

    fn gate(start: Instant, end: Duration, tries: u32) -> Gate {
        Gate::new(Rules {
            schedule: Some(Schedule::new(Arrivals::Even, 1_000.0, 1)),
            start,
            end,
            drain: Duration::from_secs(5),
            retry: Retry { tries, queue: 2, ..Retry::default() },
            seed: 1,
        })
    }

    fn attempt() -> Attempt {
        let request = Request {
            bytes: Vec::new(),
            body_at: 0,
            events: 1,
            ids: Vec::new(),
            expect: Expect::Taken,
            cut_at: None,
        };
        Attempt::first(request, Duration::ZERO)
    }

    #[tokio::test]
    async fn what_is_due_is_let_through_once_and_the_rest_is_abandoned() {
        // The run began ten milliseconds ago and lasts for one second.
        let start = clock::monotonic() - Duration::from_millis(10);
        let gate = gate(start, Duration::from_secs(1), 1);
        let mut schedule = gate.rules.schedule.clone().unwrap().peekable();
        assert!(gate.tick(&mut schedule).is_some());
        for number in 0..10_u64 {
            let Some(Work::Due(due)) = gate.next().await else { panic!("due") };
            assert_eq!(due.as_micros(), u128::from(number) * 1_000);
        }
        let mut left = 0;
        gate.abandoned(|due| {
            assert!(due >= Duration::from_millis(10));
            left += 1;
        });
        assert!(left >= 1, "the eleventh was due as well");
    }

    #[test]
    fn a_run_is_over_when_nothing_is_left_or_too_much() {
        let long_ago = clock::monotonic() - Duration::from_secs(60);
        let idle = gate(long_ago, Duration::ZERO, 1);
        let mut schedule = idle.rules.schedule.clone().unwrap().peekable();
        assert_eq!(idle.tick(&mut schedule), None);
        let late = gate(long_ago, Duration::from_secs(1), 1);
        let mut schedule = late.rules.schedule.clone().unwrap().peekable();
        assert_eq!(late.tick(&mut schedule), None);
        let mut left = 0;
        late.abandoned(|_| left += 1);
        assert_eq!(left, 1_000, "the whole second's load was due and never sent");
    }

    #[tokio::test]
    async fn refused_attempts_wait_and_are_bounded() {
        let gate = gate(clock::monotonic(), Duration::from_secs(1), 3);
        let second = Some(Duration::from_secs(1));
        let mut tried = attempt();
        tried.tries = 1;
        assert!(gate.retry(tried.clone(), second).is_ok());
        let at = gate.state().waiting.peek().unwrap().0.at;
        assert!(at >= Duration::from_secs(1) && at < Duration::from_millis(1_500), "{at:?}");
        assert!(gate.retry(tried.clone(), None).is_ok());
        assert!(gate.retry(tried.clone(), None).is_err(), "the queue holds two");
        tried.tries = 3;
        assert_eq!(tried.last_known(), ledger::Outcome::Refused);
        assert_eq!(gate.take_owed().len(), 2);
        assert!(gate.retry(tried, None).is_err(), "three tries are all");
    }
}
