//! Who is let in while more is asked for than can be done.
//!
//! A server that takes everything then answers everything late, and one that refuses whatever comes at
//! a bad moment spends its time on refusals. So each thread that serves has a gate. It stands open until
//! the thread is late for some time with much in work. From then on requests wait in front of it, their
//! bodies unread, and in each turn of the thread the newest are let in: whoever is let in is answered
//! nearly as soon as without load, since what waits is not in its way. The others are refused, a few in
//! each turn. A source that was let in with less than an even share lately goes before the others.
//!
//! A gate that is closed without need does no harm: in each turn there is room, and nobody else wants it.

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
/// No look counts for more of it: a pause of the whole machine is one look.
const LOOK_MAX: Duration = Duration::from_millis(60);
/// With no more bytes at hand than this a thread is not overloaded, however late it is: what a hundred
/// batches of fifty events take, or fifteen hundred single ones, is worked off in a few hundredths of a
/// second.
pub(super) const MUCH: usize = 8 << 20;
/// Bytes that are let in before those are looked for that have come meanwhile: two batches of fifty
/// events, or twenty-five single ones. Less costs a sync for each, more makes all wait longer. No request
/// counts for more, since what is larger is worked on elsewhere, or is only announced.
pub(super) const TURN_BYTES: usize = 128 << 10;
/// Bytes of the newest that may be let in yet, a few turns: what is older has been overtaken for good.
const NEWEST_BYTES: usize = 512 << 10;
/// So long a request waits until it is refused. Whoever has the next one ready, as connections have that
/// many clients share, would otherwise have it refused at once, too, and a refusal costs both sides a
/// sixth of what a batch costs.
const WAIT: Duration = Duration::from_millis(200);
/// Requests that are refused in one turn.
const REFUSED_EACH_TURN: usize = 16;
/// Requests of favoured sources that wait at a gate, and overtaken ones; past it the oldest gives way.
const WAITING_MAX: usize = 4096;

/// The gate of one thread.
#[derive(Debug, Default)]
pub(super) struct Gate {
    closed: AtomicBool,
    /// Bytes in work behind it, a turn's at most of each request.
    held: AtomicUsize,
    /// The most that was at hand since the last look: in work behind it, and waiting in front of it.
    peak: AtomicUsize,
    line: Mutex<Line>,
    /// Somebody waits again.
    news: Notify,
}

/// Those that wait in front of a gate. In each queue the newest is the last.
#[derive(Debug, Default)]
struct Line {
    /// Of sources with less than an even share.
    favoured: VecDeque<Place>,
    /// The newest of the others, with so many bytes.
    newest: VecDeque<Place>,
    newest_bytes: usize,
    /// Those that wait to be refused.
    overtaken: VecDeque<Place>,
    /// Of all.
    bytes: usize,
    /// What may still be let in in this turn.
    room: usize,
    /// The thread has nobody to let in or to refuse, and is told when there is.
    idle: bool,
}

/// What a request is let in by.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Bytes that it is expected to have.
    pub bytes: usize,
    /// The time that the thread's [`Keeper`] is told, too.
    pub now: Duration,
    /// It is not in the way of those behind it on its connection.
    pub may_wait: bool,
}

/// A request that waits.
#[derive(Debug)]
struct Place {
    share: Arc<Share>,
    bytes: usize,
    since: Duration,
    may_wait: bool,
    /// Whether it is let in.
    told: oneshot::Sender<bool>,
}

/// What a gate says to a request.
pub(super) enum Said {
    /// It is let in.
    Now,
    /// It waits to be told whether it is.
    Later(oneshot::Receiver<bool>),
}

impl Gate {
    /// Asks to be let in.
    pub(super) fn ask(&self, evenness: &Evenness, share: &Arc<Share>, entry: Entry) -> Said {
        if !self.is_closed() {
            return Said::Now;
        }
        let Entry { bytes, now: since, may_wait } = entry;
        let bytes = bytes.min(TURN_BYTES);
        let mut line = self.line();
        // Who opens it looks here for those that wait.
        if !self.is_closed() || line.takes_room(bytes) {
            return Said::Now;
        }
        let (told, later) = oneshot::channel();
        let place = Place { share: Arc::clone(share), bytes, since, may_wait, told };
        line.bytes += bytes;
        if evenness.is_below(share, bytes, since) {
            line.favour(place);
        } else {
            line.stand(place);
        }
        let was_idle = std::mem::take(&mut line.idle);
        drop(line);
        self.note();
        if was_idle {
            self.news.notify_one();
        }
        Said::Later(later)
    }

    /// Counts a request of `bytes` as in work behind it.
    pub(super) fn begin(&self, bytes: usize) {
        self.held.fetch_add(bytes.min(TURN_BYTES), Ordering::Relaxed);
        self.note();
    }

    /// It is no longer in work.
    pub(super) fn end(&self, bytes: usize) {
        self.held.fetch_sub(bytes.min(TURN_BYTES), Ordering::Relaxed);
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
        self.favoured.len() + self.newest.len() + self.overtaken.len()
    }

    /// Takes room for `bytes` where nobody else would get it.
    fn takes_room(&mut self, bytes: usize) -> bool {
        let has_room = self.idle && self.room > 0;
        if has_room {
            self.room = self.room.saturating_sub(bytes);
        }
        has_room
    }

    /// Puts a request before those of other sources.
    fn favour(&mut self, place: Place) {
        self.favoured.push_back(place);
        if self.favoured.len() > WAITING_MAX {
            let oldest = self.favoured.pop_front();
            self.overtake(oldest);
        }
    }

    /// Puts a request among those of all sources, where it belongs by its time.
    fn stand(&mut self, place: Place) {
        self.newest_bytes += place.bytes;
        let at = self.newest.partition_point(|other| other.since <= place.since);
        self.newest.insert(at, place);
        while self.newest_bytes > NEWEST_BYTES {
            let oldest = self.newest.pop_front();
            self.newest_bytes -= oldest.as_ref().map_or(self.newest_bytes, |oldest| oldest.bytes);
            self.overtake(oldest);
        }
    }

    fn overtake(&mut self, place: Option<Place>) {
        let Some(place) = place else { return };
        if !place.may_wait {
            self.leave(place, false);
            return;
        }
        self.overtaken.push_back(place);
        if self.overtaken.len() > WAITING_MAX
            && let Some(oldest) = self.overtaken.pop_front()
        {
            self.leave(oldest, false);
        }
    }

    /// Who is let in next.
    fn next(&mut self, evenness: &Evenness, now: Duration) -> Option<Place> {
        while let Some(place) = self.favoured.pop_back() {
            if evenness.is_below(&place.share, place.bytes, now) {
                return Some(place);
            }
            // Its source has had its share meanwhile.
            self.stand(place);
        }
        let place = self.newest.pop_back()?;
        self.newest_bytes -= place.bytes;
        Some(place)
    }

    /// Who is refused next.
    fn overdue(&mut self, now: Duration) -> Option<Place> {
        let due = |place: &mut Place| now.saturating_sub(place.since) > WAIT;
        let place = self.overtaken.pop_front_if(due).or_else(|| self.favoured.pop_front_if(due));
        if place.is_some() {
            return place;
        }
        let place = self.newest.pop_front_if(due)?;
        self.newest_bytes -= place.bytes;
        Some(place)
    }

    /// Tells a request whether it is let in; false where it has gone.
    fn leave(&mut self, place: Place, is_let_in: bool) -> bool {
        self.bytes -= place.bytes;
        place.told.send(is_let_in).is_ok()
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

    /// Waits until somebody waits again; there may be nobody any more.
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
        self.lasted = self.lasted.saturating_add(since.min(LOOK_MAX));
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
        // Whoever has gone is told nothing, and counts for nothing.
        while told < REFUSED_EACH_TURN {
            let Some(place) = line.overdue(now) else { break };
            told += usize::from(line.leave(place, false));
        }
        let mut room = TURN_BYTES;
        while room > 0 {
            let Some(place) = line.next(self.evenness, now) else { break };
            let bytes = place.bytes;
            if line.leave(place, true) {
                room = room.saturating_sub(bytes);
                told += 1;
            }
        }
        line.room = room;
        line.idle = told == 0;
        told > 0
    }

    fn open(&self) {
        let mut line = self.gate.line();
        self.gate.closed.store(false, Ordering::Relaxed);
        let Line { favoured, newest, overtaken, .. } = std::mem::take(&mut *line);
        for place in favoured.into_iter().chain(newest).chain(overtaken) {
            place.told.send(true).ok();
        }
    }
}

impl Drop for Keeper<'_> {
    fn drop(&mut self) {
        self.open();
    }
}
