//! The one writer: takes what waits, writes it as one run, syncs once, tells all.
//!
//! A run starts at a block boundary and lies in one segment; the groups in it are packed. Nothing
//! is acknowledged before its run is synced, and a segment is synced before the next one is begun,
//! so a later segment proves an earlier one complete.

use std::sync::Arc;
use std::thread::ThreadId;

use super::super::completion::{Batch, Outcome};
use super::super::{Error, Group, Position, Space};
use super::aligned::{Aligned, whole_blocks};
use super::files::{Stopped, write_all};
use super::mark::Mark;
use super::segment::{FRAMES_AT, Segment};
use super::segments::no_space;
use super::shared::{Progress, Shared};

/// Bytes written at once: past this size a transfer no longer gets cheaper, and it bounds the
/// writer's memory whatever the size of a group.
const BUFFER_BYTES: usize = 1024 * 1024;

/// Groups that are acknowledged together.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) batch: Arc<Batch>,
    pub(super) groups: Vec<Group>,
    /// The threads that appended them.
    pub(super) threads: Vec<ThreadId>,
    pub(super) records: u64,
    pub(super) bytes: u64,
}

impl Drop for Pending {
    fn drop(&mut self) {
        // Whatever happened to the writer, nobody waits for ever; a batch that was completed
        // ignores this.
        let (first, error) = (Position::ZERO, Some(Error::Closed));
        self.batch.complete(Outcome { first, durable: 0, error });
    }
}

/// The state of the writer; driven by a thread, or step by step by a test.
#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    active: Option<Active>,
    mark: Mark,
    buffer: Aligned,
    /// Bytes of the buffer in use.
    filled: usize,
    /// Bytes of the run that were written before the buffer was filled again.
    written: u64,
    /// Where the next record goes.
    position: Position,
    /// All before it is durable.
    durable: Position,
}

/// The segment that is written to.
#[derive(Debug)]
struct Active {
    segment: Arc<Segment>,
    /// Where the next run starts: zero until the header is durable.
    at: u64,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, mark: Mark, position: Position) -> Self {
        Self {
            shared,
            active: None,
            mark,
            buffer: Aligned::new(BUFFER_BYTES),
            filled: 0,
            written: 0,
            position,
            durable: position,
        }
    }

    /// Begins a segment and makes its header durable.
    pub(super) fn begin(&mut self) -> Result<(), Error> {
        self.go_on_in(self.shared.segments.take_short(self.position)?);
        self.begin_run()?;
        self.flush()
    }

    /// Writes what waits longest; false if nothing does.
    pub(super) fn step(&mut self) -> bool {
        let Some(mut pending) = self.shared.next_pending() else { return false };
        let first = self.position;
        let error = self.write(std::mem::take(&mut pending.groups)).err();
        if error.is_some() {
            self.position = self.durable;
            (self.filled, self.written) = (0, 0);
        }
        self.shared.written(pending.bytes, error.as_ref());
        pending.batch.complete(Outcome { first, durable: self.durable.since(first), error });
        true
    }

    /// Notes the durable end; for moments when nothing waits. True if it was noted before.
    pub(super) fn note(&mut self) -> Result<bool, Error> {
        let noted = self.mark.durable() == self.durable;
        self.mark.note(self.durable).map(|()| noted)
    }

    /// Notes the durable end for good.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        self.note()?;
        self.mark.sync()
    }

    pub(super) fn noted(&self) -> bool {
        self.mark.durable() == self.durable
    }

    fn write(&mut self, groups: Vec<Group>) -> Result<(), Error> {
        for mut group in groups {
            if self.free() < group.bytes() as u64 {
                self.flush()?;
                self.roll()?;
            }
            let identity = self.begin_run()?.header.identity;
            let positions = group.positions(self.position);
            let bytes = group.place(positions.start, self.durable, identity);
            self.put(bytes)?;
            self.position = positions.end;
        }
        self.flush()
    }

    /// Bytes that the run may still grow by.
    fn free(&self) -> u64 {
        let Some(active) = &self.active else { return 0 };
        let run_end = (active.at + self.written + self.filled as u64).max(FRAMES_AT);
        active.segment.bytes.saturating_sub(run_end)
    }

    /// Takes the next segment; the old one is kept if there is none.
    fn roll(&mut self) -> Result<(), Error> {
        self.go_on_in(self.shared.segments.take(self.position)?);
        Ok(())
    }

    fn go_on_in(&mut self, segment: Segment) {
        self.active = Some(Active { segment: Arc::new(segment), at: 0 });
        self.shared.wake_keeper();
    }

    /// Puts the segment's header in front of its first run.
    fn begin_run(&mut self) -> Result<Arc<Segment>, Error> {
        let Some(active) = &self.active else {
            return Err(self.shared.segments.full(Space::Disk));
        };
        let segment = Arc::clone(&active.segment);
        if active.at == 0 && self.written == 0 && self.filled == 0 {
            self.put(&segment.header.block())?;
        }
        Ok(segment)
    }

    fn put(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            let place = self.buffer.as_mut_slice().get_mut(self.filled..).unwrap_or_default();
            let (now, later) = bytes.split_at(bytes.len().min(place.len()));
            if let Some(place) = place.get_mut(..now.len()) {
                place.copy_from_slice(now);
            }
            self.filled += now.len();
            bytes = later;
            if self.filled == self.buffer.room() {
                self.write_buffer()?;
            }
        }
        Ok(())
    }

    fn write_buffer(&mut self) -> Result<(), Error> {
        let Some(active) = &self.active else { return Ok(()) };
        let end = self.filled.next_multiple_of(super::BLOCK);
        let buffer = self.buffer.as_mut_slice();
        if let Some(rest) = buffer.get_mut(self.filled..end) {
            rest.fill(0);
        }
        let bytes = self.buffer.as_slice().get(..end).unwrap_or_default();
        let written = write_all(&*active.segment.file, bytes, active.at + self.written);
        written.map_err(|stopped| self.stopped(stopped))?;
        self.written += end as u64;
        self.filled = 0;
        Ok(())
    }

    /// Writes the rest of the run and makes all of it durable.
    fn flush(&mut self) -> Result<(), Error> {
        if self.filled > 0 {
            self.write_buffer()?;
        }
        let Some(active) = self.active.as_mut().filter(|_| self.written > 0) else { return Ok(()) };
        active.segment.file.sync().map_err(|source| poisoned("sync a segment", source))?;
        // What was synced into a file that no start finds again must not be acknowledged.
        active.segment.check_place()?;
        let fresh = active.at == 0;
        active.at = whole_blocks(active.at + self.written);
        self.written = 0;
        self.durable = self.position;
        active.segment.set_readable(active.at);
        if fresh {
            self.shared.segments.publish(Arc::clone(&active.segment));
        }
        let active_free = active.segment.bytes - active.at;
        self.shared.progress(&Progress { durable: self.durable, active_free });
        Ok(())
    }

    /// Judges a write that failed: without space nothing is lost, anything else leaves the disk in
    /// doubt.
    fn stopped(&mut self, stopped: Stopped) -> Error {
        if !no_space(&stopped.source) {
            return poisoned("write a segment", stopped.source);
        }
        let remains = self.written > 0 || stopped.written > 0;
        if let Some(active) = self.active.take_if(|_| remains) {
            // What was written stays behind in a segment that is not written to again: its
            // positions are used anew in the next one, and readers end where that begins.
            self.shared.no_active();
            if active.at == 0
                && let Err(error) = self.shared.segments.abandon(&active.segment)
            {
                return match error {
                    Error::Io { action, source, .. } => Error::Poisoned { action, source },
                    other => other,
                };
            }
        }
        self.shared.segments.full(Space::Disk)
    }
}

fn poisoned(action: &'static str, source: std::io::Error) -> Error {
    Error::Poisoned { action, source: Arc::new(source) }
}
