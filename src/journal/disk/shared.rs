//! What the threads of a journal share: the queue of groups, how far it is durable, its health.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::super::completion::Outcome;
use super::super::{Append, Error, Group, Health, Position, Space, State};
use super::damages::Damages;
use super::files::Lock;
use super::segments::Segments;
use super::tries::Care;
use super::writer::Pending;
use crate::clock::Timestamp;

/// Bytes after which waiting groups form another batch: one sync carries that much without
/// getting slower than two.
const BATCH_BYTES: u64 = 4 * 1024 * 1024;
/// Groups, and bytes of them, that no longer wait for more: they keep the disk busy for as long as it
/// takes to make as many again.
const GATHERED_GROUPS: usize = 32;
const GATHERED_BYTES: u64 = 256 * 1024;

/// Shared by the handle, the writer, the keeper of segments and the readers.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) segments: Segments,
    pub(super) damages: Damages,
    pub(super) writer_id: String,
    queue: Mutex<Queue>,
    work: Condvar,
    durable: AtomicU64,
    waiters: Mutex<usize>,
    grown: Condvar,
    keeper: Mutex<Keeper>,
    keeper_wake: Condvar,
    active_free: AtomicU64,
    syncs: AtomicU64,
    last_sync: AtomicI64,
    lock: Mutex<Option<Box<dyn Lock>>>,
}

#[derive(Debug, Default)]
struct Queue {
    pending: VecDeque<Pending>,
    /// Bytes in `pending` and in the batch that is being written.
    waiting_bytes: u64,
    /// The last refusal for lack of space, until there is room for what was refused.
    refused: Option<Refused>,
    stopped: Option<Error>,
    /// Whether what is pending waits for nothing but the writer.
    due: bool,
    writer: Sleep,
}

/// What the writer is woken for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Sleep {
    /// It looks by itself.
    #[default]
    Awake,
    /// Groups that are due.
    UntilDue,
    /// A full batch.
    UntilFull,
}

#[derive(Clone, Copy, Debug)]
struct Refused {
    space: Space,
    /// The room that one group needs.
    bytes: u64,
}

#[derive(Debug, Default)]
struct Keeper {
    wanted: bool,
    stopped: bool,
}

/// What a sync achieved.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) durable: Position,
    pub(super) active_free: u64,
}

/// Why the writer stopped waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    Waits,
    Nothing,
    Closed,
}

impl Shared {
    pub(super) fn new(
        segments: Segments,
        damages: Damages,
        writer_id: String,
        lock: Box<dyn Lock>,
        durable: Position,
    ) -> Self {
        Self {
            segments,
            damages,
            writer_id,
            queue: Mutex::default(),
            work: Condvar::new(),
            durable: AtomicU64::new(durable.get()),
            waiters: Mutex::default(),
            grown: Condvar::new(),
            keeper: Mutex::default(),
            keeper_wake: Condvar::new(),
            active_free: AtomicU64::new(0),
            syncs: AtomicU64::new(0),
            last_sync: AtomicI64::new(i64::MIN),
            lock: Mutex::new(Some(lock)),
        }
    }

    pub(super) fn durable(&self) -> Position {
        Position::new(self.durable.load(Ordering::Acquire))
    }

    /// Queues a group, or says why not. Unless it is `due` it waits for more, or for [`Self::hurry`].
    pub(super) fn append(&self, group: Group, due: bool) -> Append {
        let bytes = group.bytes() as u64;
        let records = group.len() as u64;
        if records == 0 {
            let durable = self.durable();
            return Append::ready(Ok(durable..durable));
        }
        let mut queue = lock(&self.queue);
        if let Err(error) = self.admit(&mut queue, bytes) {
            return Append::ready(Err(error));
        }
        queue.waiting_bytes += bytes;
        if queue.pending.back().is_none_or(|last| last.bytes + bytes > BATCH_BYTES) {
            queue.pending.push_back(Pending::default());
        }
        let Some(pending) = queue.pending.back_mut() else {
            return Append::ready(Err(Error::Closed));
        };
        let range = pending.records..pending.records + records;
        pending.records = range.end;
        pending.bytes += bytes;
        pending.groups.push(group);
        let thread = std::thread::current().id();
        let leads = !pending.threads.contains(&thread);
        if leads {
            pending.threads.push(thread);
        }
        let append = Append::waiting(Arc::clone(&pending.batch), range, leads);
        queue.due |= due || queue.pending.front().is_some_and(Pending::has_gathered);
        self.wake_writer(queue);
        append
    }

    /// Has written what was appended, without waiting for more.
    pub(super) fn hurry(&self) {
        let mut queue = lock(&self.queue);
        queue.due = !queue.pending.is_empty();
        self.wake_writer(queue);
    }

    fn wake_writer(&self, mut queue: MutexGuard<'_, Queue>) {
        let wake = match queue.writer {
            Sleep::Awake => false,
            Sleep::UntilDue => queue.due,
            Sleep::UntilFull => queue.waiting_bytes >= BATCH_BYTES,
        };
        if wake {
            queue.writer = Sleep::Awake;
            drop(queue);
            self.work.notify_one();
        }
    }

    fn admit(&self, queue: &mut Queue, bytes: u64) -> Result<(), Error> {
        if let Some(error) = &queue.stopped {
            return Err(error.clone());
        }
        let limit_bytes = self.segments.segment_room();
        if bytes > limit_bytes {
            return Err(Error::TooLarge { bytes, limit_bytes });
        }
        let waiting_bytes = queue.waiting_bytes;
        let limit_bytes = self.segments.options.max_waiting_bytes;
        if waiting_bytes > 0 && waiting_bytes + bytes > limit_bytes {
            return Err(Error::Busy { waiting_bytes, limit_bytes });
        }
        if waiting_bytes + bytes > self.room() {
            let no_space = self.segments.no_space();
            let space = if no_space { Space::Disk } else { Space::Budget };
            queue.refused = Some(Refused { space, bytes });
            return Err(self.segments.full(space));
        }
        Ok(())
    }

    /// Bytes of records that may still be taken.
    fn room(&self) -> u64 {
        self.active_free.load(Ordering::Relaxed) + self.segments.room()
    }

    pub(super) fn next_pending(&self) -> Option<Pending> {
        let mut queue = lock(&self.queue);
        let pending = queue.pending.pop_front();
        queue.due &= !queue.pending.is_empty();
        pending
    }

    /// Whether groups wait for nothing but the writer.
    pub(super) fn is_due(&self) -> bool {
        lock(&self.queue).due
    }

    /// Books what the writer did with a batch of `bytes`.
    pub(super) fn written(&self, bytes: u64, error: Option<&Error>) {
        let mut queue = lock(&self.queue);
        // Nothing waits any more where the journal was stopped meanwhile.
        queue.waiting_bytes = queue.waiting_bytes.saturating_sub(bytes);
        match error {
            Some(Error::Full { space, .. }) => {
                // A batch may be longer than a segment; no group of it is.
                let bytes = bytes.min(self.segments.segment_room());
                queue.refused = Some(Refused { space: *space, bytes });
                drop(queue);
                self.wake_keeper();
            }
            Some(error @ (Error::Poisoned { .. } | Error::Gone { .. })) => self.fail(queue, error),
            Some(error) => tracing::error!(%error, "journal cannot write"),
            None => queue.refused = None,
        }
    }

    /// Refuses all until a restart, since what is taken would be in doubt.
    fn fail(&self, queue: MutexGuard<'_, Queue>, error: &Error) {
        let cause = std::error::Error::source(error).map(ToString::to_string);
        tracing::error!(%error, cause, "journal takes nothing until a restart");
        self.stop(queue, error);
    }

    /// Refuses all from now on, those that wait included.
    fn stop(&self, mut queue: MutexGuard<'_, Queue>, error: &Error) {
        queue.stopped = Some(error.clone());
        queue.waiting_bytes = 0;
        let pending = std::mem::take(&mut queue.pending);
        drop(queue);
        for pending in pending {
            let first = self.durable();
            pending.batch.complete(Outcome { first, durable: 0, error: Some(error.clone()) });
        }
        self.wake_waiters();
    }

    /// Publishes a new durable end.
    pub(super) fn progress(&self, progress: &Progress) {
        self.active_free.store(progress.active_free, Ordering::Relaxed);
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.last_sync.store(self.segments.clock.now().micros(), Ordering::Relaxed);
        self.durable.store(progress.durable.get(), Ordering::Release);
        self.wake_waiters();
    }

    /// Notes that the segment written to takes no more.
    pub(super) fn no_active(&self) {
        self.active_free.store(0, Ordering::Relaxed);
    }

    /// Notes that not even the first record has room, so that nobody is told otherwise.
    pub(super) fn no_room(&self, space: Space) {
        lock(&self.queue).refused = Some(Refused { space, bytes: 1 });
    }

    /// Forgets a refusal once there is room for what was refused.
    fn forget_refusal(&self) {
        let room = self.room();
        let mut queue = lock(&self.queue);
        let free = room.saturating_sub(queue.waiting_bytes);
        queue.refused = queue.refused.filter(|refused| refused.bytes > free);
    }

    /// Waits until groups are due, the journal is closed or `idle` is over without any.
    pub(super) fn wait_for_work(&self, idle: Option<Duration>) -> Work {
        let mut queue = lock(&self.queue);
        loop {
            queue.writer = Sleep::Awake;
            match (queue.pending.is_empty(), &queue.stopped) {
                (false, Some(_)) => return Work::Waits,
                (false, None) if queue.due => return Work::Waits,
                (true, Some(_)) => return Work::Closed,
                (_, None) => queue.writer = Sleep::UntilDue,
            }
            match idle {
                None => queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner),
                Some(idle) => {
                    let waited = self.work.wait_timeout(queue, idle);
                    let (woken, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                    queue = woken;
                    if timeout.timed_out() && queue.pending.is_empty() && queue.stopped.is_none() {
                        return Work::Nothing;
                    }
                }
            }
        }
    }

    /// Waits for more groups, unless a full batch waits already.
    pub(super) fn wait_for_more(&self, delay: Duration) {
        let queue = lock(&self.queue);
        let few = |queue: &mut Queue| {
            queue.writer = Sleep::UntilFull;
            queue.waiting_bytes < BATCH_BYTES && queue.stopped.is_none()
        };
        let waited = self.work.wait_timeout_while(queue, delay, few);
        waited.unwrap_or_else(PoisonError::into_inner).0.writer = Sleep::Awake;
    }

    /// See [`super::super::Journal::wait_past`].
    pub(super) fn wait_past(&self, position: Position, timeout: Duration) -> Position {
        if self.durable() <= position {
            let mut waiters = lock(&self.waiters);
            *waiters += 1;
            let still = |_: &mut usize| self.durable() <= position && !self.is_stopped();
            let waited = self.grown.wait_timeout_while(waiters, timeout, still);
            *waited.unwrap_or_else(PoisonError::into_inner).0 -= 1;
        }
        self.durable()
    }

    fn wake_waiters(&self) {
        let waiters = *lock(&self.waiters);
        if waiters > 0 {
            self.grown.notify_all();
        }
    }

    pub(super) fn is_stopped(&self) -> bool {
        lock(&self.queue).stopped.is_some()
    }

    /// Refuses further appends; what is queued is still written.
    pub(super) fn close(&self) {
        let mut queue = lock(&self.queue);
        queue.stopped.get_or_insert(Error::Closed);
        drop(queue);
        self.work.notify_one();
        self.wake_waiters();
        lock(&self.keeper).stopped = true;
        self.keeper_wake.notify_one();
    }

    /// Fails what waits still and lets another process open the journal; for when the writer is
    /// gone.
    pub(super) fn release(&self) {
        self.close();
        let pending = std::mem::take(&mut lock(&self.queue).pending);
        drop(pending);
        *lock(&self.lock) = None;
    }

    pub(super) fn wake_keeper(&self) {
        lock(&self.keeper).wanted = true;
        self.keeper_wake.notify_one();
    }

    /// Waits until segments may need care; false when the journal is closed.
    pub(super) fn wait_for_care(&self, longest: Duration) -> bool {
        let keeper = lock(&self.keeper);
        let quiet = |keeper: &mut Keeper| !keeper.wanted && !keeper.stopped;
        let waited = self.keeper_wake.wait_timeout_while(keeper, longest, quiet);
        let mut keeper = waited.unwrap_or_else(PoisonError::into_inner).0;
        keeper.wanted = false;
        !keeper.stopped
    }

    /// Cares for the segments: looks whether they are still there, gives back what was trimmed,
    /// prepares the next one. What failed is left alone for a while.
    pub(super) fn care(&self, care: &mut Care) {
        if let Err(error) = self.segments.check_place() {
            // What lies there now is not ours to rename or remove.
            let queue = lock(&self.queue);
            if queue.stopped.is_none() {
                self.fail(queue, &error);
            }
            return;
        }
        let now = self.segments.clock.elapsed();
        if care.giving_back.is_due(now) {
            care.giving_back.tried(now, self.segments.reclaim());
        }
        if care.preparing.is_due(now) {
            match self.segments.prepare() {
                // Told by the state and to those who append.
                Err(Error::Full { .. }) => {}
                done => {
                    if done.is_ok() {
                        self.forget_refusal();
                    }
                    care.preparing.tried(now, done);
                }
            }
        }
    }

    pub(super) fn state(&self) -> State {
        let (health, waiting_bytes) = {
            let queue = lock(&self.queue);
            (queue.health(), queue.waiting_bytes)
        };
        let durable = self.durable();
        let last_sync = self.last_sync.load(Ordering::Relaxed);
        let damaged = self.damages.counts();
        let active_free = self.active_free.load(Ordering::Relaxed);
        State {
            first: self.segments.first().unwrap_or(durable),
            durable,
            used_bytes: self.segments.live_bytes().saturating_sub(active_free),
            limit_bytes: self.segments.options.max_bytes,
            waiting_bytes,
            health,
            segments: self.segments.count(),
            syncs: self.syncs.load(Ordering::Relaxed),
            last_sync: (last_sync != i64::MIN).then(|| Timestamp::from_micros(last_sync)),
            damaged_records: damaged.records,
            damaged_events: damaged.events,
            damaged_loaded_records: damaged.loaded_records,
        }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.segments.options.path
    }
}

impl Pending {
    fn has_gathered(&self) -> bool {
        self.groups.len() >= GATHERED_GROUPS || self.bytes >= GATHERED_BYTES
    }
}

impl Queue {
    fn health(&self) -> Health {
        match (&self.stopped, self.refused) {
            (Some(Error::Poisoned { action, source }), _) => {
                Health::Poisoned { action, kind: source.kind() }
            }
            (Some(Error::Gone { .. }), _) => Health::Gone,
            (Some(_), _) => Health::Closed,
            (None, Some(refused)) => Health::Full(refused.space),
            (None, None) => Health::Accepting,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
