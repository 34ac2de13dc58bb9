//! Who is let in while more is asked for than can be done.
//!
//! A server that takes everything then answers everything late, and one that refuses whatever comes at
//! a bad moment spends its time on refusals. So each thread that serves has a gate. It stands open until
//! the thread is late for some time with much in work. From then on requests wait in front of it, their
//! bodies unread, and in each turn of the thread the newest is let in: whoever is let in is answered
//! nearly as soon as without load, since what waits is not in its way. The others are refused, a few in
//! each turn. A source that was let in with less than an even share lately goes before the others.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use super::share::{Evenness, Share};

/// A thread that is later than this, and stays so, is asked for more than it can do: a few times the
/// scheduler's tick, and half of what a request may take then.
const LATE: Duration = Duration::from_millis(10);
/// So long without one look in time is overload. What an SDK kept and sends at once, such as 64 bodies
/// of 500 KB, is 30,000 events: at 6 us each two cores work them off in less.
const PATIENCE: Duration = Duration::from_millis(250);
/// With no more bytes at hand than this a thread is not overloaded, however late it is: some sixty
/// batches of fifty events, or eight hundred single ones, are worked off in a few hundredths of a second.
pub(super) const MUCH: usize = 4 << 20;
/// Bytes that are let in before those are looked for that have come meanwhile: a batch of fifty events, or
/// twelve single ones, less than half a millisecond.
const TURN_BYTES: usize = 64 << 10;
/// So long a request may have waited when it is let in: a few times what one takes without load. There
/// is always a newer one. Those of a source with less than an even share may wait until they are refused.
const FRESH: Duration = Duration::from_millis(10);
/// So long a request waits until it is refused. Whoever has the next one ready, as connections have that
/// many clients share, would otherwise have it refused at once, too, and a refusal costs both sides a
/// sixth of what a batch costs.
const WAIT: Duration = Duration::from_millis(200);
/// Requests that are refused in one turn.
const REFUSED_EACH_TURN: usize = 8;
/// Requests that wait at a gate; further ones are refused at once.
const WAITING_MAX: usize = 4096;

/// The gate of one thread.
#[derive(Debug, Default)]
pub(super) struct Gate {
    closed: AtomicBool,
    /// Bytes in work behind it.
    held: AtomicUsize,
    /// The most that was at hand since the last look: in work behind it, and waiting in front of it.
    peak: AtomicUsize,
    line: Mutex<Line>,
    /// Somebody waits again, or may be let in again.
    news: Notify,
}

/// Those that wait in front of a gate.
#[derive(Debug, Default)]
struct Line {
    /// Of sources with less than an even share. The newest is the last.
    favoured: VecDeque<Place>,
    others: VecDeque<Place>,
    bytes: usize,
    /// What may still be let in in this turn.
    room: usize,
    /// The thread has nobody to let in or to refuse, and is told when there is.
    idle: bool,
}

/// A request that waits.
#[derive(Debug)]
struct Place {
    share: Arc<Share>,
    bytes: usize,
    since: Duration,
    /// Whether it is let in.
    told: oneshot::Sender<bool>,
}

/// What a gate says to a request.
pub(super) enum Said {
    /// Whether it is let in.
    Now(bool),
    /// It waits to be told.
    Later(oneshot::Receiver<bool>),
}

impl Gate {
    /// Asks to be let in with `bytes`.
    pub(super) fn ask(
        &self,
        evenness: &Evenness,
        (share, bytes): (&Arc<Share>, usize),
        now: Duration,
    ) -> Said {
        if !self.is_closed() {
            return Said::Now(true);
        }
        let mut line = self.line();
        // Who opens it looks here for those that wait.
        if !self.is_closed() {
            return Said::Now(true);
        }
        if line.takes_room(bytes) {
            evenness.note(share, bytes, now);
            return Said::Now(true);
        }
        if line.len() >= WAITING_MAX {
            return Said::Now(false);
        }
        let (told, later) = oneshot::channel();
        let is_favoured = evenness.is_below(share, bytes, now);
        let own = if is_favoured { &mut line.favoured } else { &mut line.others };
        own.push_back(Place { share: Arc::clone(share), bytes, since: now, told });
        line.bytes = line.bytes.saturating_add(bytes);
        let was_idle = std::mem::take(&mut line.idle);
        drop(line);
        self.note();
        if was_idle {
            self.news.notify_one();
        }
        Said::Later(later)
    }

    /// Counts `bytes` as in work behind it.
    pub(super) fn begin(&self, bytes: usize) {
        self.held.fetch_add(bytes, Ordering::Relaxed);
        self.note();
    }

    /// They are no longer in work.
    pub(super) fn end(&self, bytes: usize) {
        let before = self.held.fetch_sub(bytes, Ordering::Relaxed);
        if before >= MUCH && before - bytes < MUCH && self.is_closed() {
            self.news.notify_one();
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Bytes in work behind it.
    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Requests that wait.
    pub(super) fn waiting(&self) -> usize {
        self.line().len()
    }

    /// Bytes in work behind it, and of those that wait in front of it.
    fn at_hand(&self) -> usize {
        // Nobody waits at an open one.
        let waiting = if self.is_closed() { self.line().bytes } else { 0 };
        self.held().saturating_add(waiting)
    }

    fn note(&self) {
        self.peak.fetch_max(self.at_hand(), Ordering::Relaxed);
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    fn len(&self) -> usize {
        self.favoured.len() + self.others.len()
    }

    /// Takes room for `bytes` where nobody else would get it.
    fn takes_room(&mut self, bytes: usize) -> bool {
        let has_room = self.idle && self.room > 0;
        if has_room {
            self.room = self.room.saturating_sub(bytes);
        }
        has_room
    }

    /// Who is let in next.
    fn newest(&mut self, now: Duration) -> Option<Place> {
        let is_fresh = |place: &mut Place| now.saturating_sub(place.since) <= FRESH;
        let place = self.favoured.pop_back().or_else(|| self.others.pop_back_if(is_fresh));
        self.left(place)
    }

    /// Who is refused next.
    fn overdue(&mut self, now: Duration) -> Option<Place> {
        let due = |place: &mut Place| now.saturating_sub(place.since) > WAIT;
        let place = self.others.pop_front_if(due).or_else(|| self.favoured.pop_front_if(due));
        self.left(place)
    }

    fn left(&mut self, place: Option<Place>) -> Option<Place> {
        self.bytes -= place.as_ref().map_or(0, |place| place.bytes);
        place
    }
}

/// Opens and closes the gate of the thread that it runs on. The gate is open for good when this is
/// dropped.
#[derive(Debug)]
pub struct Keeper<'a> {
    gate: &'a Gate,
    evenness: &'a Evenness,
    /// How long every look was late with the gate open, or found little at hand with it closed.
    lasted: Duration,
    /// The most that was at hand in that time.
    peak: usize,
}

impl<'a> Keeper<'a> {
    pub(super) const fn new(gate: &'a Gate, evenness: &'a Evenness) -> Self {
        Self { gate, evenness, lasted: Duration::ZERO, peak: 0 }
    }

    /// Whether so little is in work that the thread need not be looked at closely.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        !self.gate.is_closed() && self.gate.held() < MUCH / 4
    }

    /// Waits until somebody waits again, or may be let in again; there may be nobody any more.
    pub async fn news(&self) {
        self.gate.news.notified().await;
    }

    /// Opens or closes the gate after a look that came `delay` later than it should, `since` the last
    /// one.
    pub fn look(&mut self, since: Duration, delay: Duration) {
        let peak = self.gate.peak.swap(self.gate.at_hand(), Ordering::Relaxed);
        let is_closed = self.gate.is_closed();
        let goes_on = if is_closed { peak <= MUCH } else { delay > LATE };
        if !goes_on {
            (self.lasted, self.peak) = (Duration::ZERO, 0);
            return;
        }
        self.lasted = self.lasted.saturating_add(since);
        self.peak = self.peak.max(peak);
        if self.lasted < PATIENCE || (!is_closed && self.peak <= MUCH) {
            return;
        }
        (self.lasted, self.peak) = (Duration::ZERO, 0);
        if is_closed {
            self.open();
        } else {
            self.gate.closed.store(true, Ordering::Relaxed);
        }
    }

    /// Refuses who has waited too long at `now` and lets the newest in, for one turn of the thread;
    /// whether that was anybody. If not, [`Keeper::news`] tells when there is somebody.
    pub fn turn(&mut self, now: Duration) -> bool {
        let mut line = self.gate.line();
        let mut told = 0;
        // What is in work waits for the sync, for scripts or other threads, not for this one.
        line.room = if self.gate.held() < MUCH { TURN_BYTES } else { 0 };
        // Whoever has gone is told nothing, and counts for nothing.
        while told < REFUSED_EACH_TURN {
            let Some(place) = line.overdue(now) else { break };
            told += usize::from(place.told.send(false).is_ok());
        }
        while line.room > 0 {
            let Some(place) = line.newest(now) else { break };
            if place.told.send(true).is_ok() {
                line.room = line.room.saturating_sub(place.bytes);
                self.evenness.note(&place.share, place.bytes, now);
                told += 1;
            }
        }
        line.idle = told == 0;
        told > 0
    }

    fn open(&self) {
        let mut line = self.gate.line();
        self.gate.closed.store(false, Ordering::Relaxed);
        let Line { favoured, others, .. } = std::mem::take(&mut *line);
        for place in favoured.into_iter().chain(others) {
            place.told.send(true).ok();
        }
    }
}

impl Drop for Keeper<'_> {
    fn drop(&mut self) {
        self.open();
    }
}
