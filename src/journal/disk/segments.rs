//! Which segment files there are: those that hold records, the one prepared next, spares.
//!
//! Decides what may be made, used again or removed within the budget; segments that were not given
//! up are never removed. The slow work, filling with zeros and syncing, is done by whoever calls: the
//! background thread in time, the writer only when that was too late. Nobody does it while the index
//! is locked, since requests and probes look at that.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::super::frame::Identity;
use super::super::{Error, Position, Space};
use super::Options;
use super::aligned::Aligned;
use super::files::{File, Files, Open, write_all};
use super::segment::{FRAMES_AT, Header, Name, Segment};
use crate::clock::{Clock, IdSource};

/// Files kept to be used again; what is over is removed, so that the disk gets its space back.
const SPARES_MAX: usize = 2;
/// Zeros written at once; the write path's own transfers are of this size too.
const ZEROS_BYTES: usize = 1024 * 1024;
/// Length of the segment that a journal without spares begins with at its opening: to fill a whole
/// one takes a tenth of a second, in which nothing could be taken. This one is filled in a few
/// milliseconds and lasts until the keeper has filled the next.
pub(super) const SHORT_BYTES: u64 = 4 * 1024 * 1024;

/// All segment files of a journal.
#[derive(Debug)]
pub(super) struct Segments {
    pub(super) options: Options,
    pub(super) files: Arc<dyn Files>,
    pub(super) clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    /// For as long as files are made, used again or removed: one at a time, and each decision on
    /// the outcome of the last. Locked before the index, never while that is.
    changes: Mutex<()>,
    index: Mutex<Index>,
    /// Bytes of records that segments not begun yet may still take.
    room: AtomicU64,
    /// Lengths of the files whose records were not given up.
    live_bytes: AtomicU64,
}

/// What recovery found.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Those that hold records, oldest first; the last one is written to, or was.
    pub(super) held: VecDeque<Arc<Segment>>,
    pub(super) spares: Vec<(PathBuf, u64)>,
    pub(super) next_sequence: u64,
    given_up: Position,
    given_up_at: BTreeMap<u64, Duration>,
    next: Option<Prepared>,
    /// Length of the file that the writer took and has not put a durable record into yet.
    taken_bytes: u64,
    no_space: bool,
}

/// A file of zeros or remains, named for its sequence number, that holds nothing yet.
#[derive(Debug)]
pub(super) struct Prepared {
    sequence: u64,
    path: PathBuf,
    file: Arc<dyn File>,
    bytes: u64,
}

enum Plan {
    /// A file of full length.
    Reuse(PathBuf),
    /// A new one of so many bytes.
    Make(u64),
}

impl Segments {
    pub(super) fn new(
        options: Options,
        files: Arc<dyn Files>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
        index: Index,
    ) -> Self {
        let segments = Self {
            options,
            files,
            clock,
            ids,
            changes: Mutex::new(()),
            index: Mutex::new(index),
            room: AtomicU64::new(0),
            live_bytes: AtomicU64::new(0),
        };
        segments.account(&segments.lock());
        segments
    }

    /// Bytes of records that one segment takes.
    pub(super) const fn segment_room(&self) -> u64 {
        self.options.segment_bytes - FRAMES_AT
    }

    /// Bytes that segments not begun yet may take.
    pub(super) fn room(&self) -> u64 {
        self.room.load(Ordering::Relaxed)
    }

    pub(super) fn live_bytes(&self) -> u64 {
        self.live_bytes.load(Ordering::Relaxed)
    }

    /// Whether a lack of disk space holds back the next segment.
    pub(super) fn no_space(&self) -> bool {
        self.lock().no_space
    }

    pub(super) fn count(&self) -> u64 {
        self.lock().held.len() as u64
    }

    /// The first record that can still be read.
    pub(super) fn first(&self) -> Option<Position> {
        self.lock().held.front().map(|segment| segment.header.first)
    }

    /// The segment that holds `position`, and where its records end; `None` if that is open.
    pub(super) fn locate(&self, position: Position) -> Option<(Arc<Segment>, Option<Position>)> {
        let index = self.lock();
        let at = index.held.partition_point(|segment| segment.header.first <= position);
        let segment = index.held.get(at.checked_sub(1)?)?;
        Some((Arc::clone(segment), index.held.get(at).map(|next| next.header.first)))
    }

    /// A segment that starts at `first`, prepared on the spot if it was not in time.
    pub(super) fn take(&self, first: Position) -> Result<Segment, Error> {
        self.take_of(first, self.options.segment_bytes)
    }

    /// The same at the opening of the journal: a short one where none of full length is at hand.
    pub(super) fn take_short(&self, first: Position) -> Result<Segment, Error> {
        self.take_of(first, self.options.segment_bytes.min(SHORT_BYTES))
    }

    fn take_of(&self, first: Position, new_bytes: u64) -> Result<Segment, Error> {
        let prepared = loop {
            if let Some(prepared) = self.take_prepared() {
                break prepared;
            }
            self.prepare_of(new_bytes)?;
        };
        let uuid = self.ids.uuid().as_u64_pair();
        let header = Header {
            sequence: prepared.sequence,
            identity: Identity::new(prepared.sequence, uuid.1),
            first,
            created: self.clock.now(),
        };
        Ok(Segment::new(header, prepared.path, prepared.file, prepared.bytes, FRAMES_AT))
    }

    fn take_prepared(&self) -> Option<Prepared> {
        let mut index = self.lock();
        let prepared = index.next.take()?;
        index.taken_bytes = prepared.bytes;
        self.account(&index);
        Some(prepared)
    }

    /// Lets readers see a segment, once its header is durable.
    pub(super) fn publish(&self, segment: Arc<Segment>) {
        let mut index = self.lock();
        index.held.push_back(segment);
        index.taken_bytes = 0;
        self.mark_given_up(&mut index);
        self.account(&index);
    }

    /// Uses segments again that hold no record and are not the last one, as each start that
    /// nothing was written after leaves one behind.
    pub(super) fn drop_empty(&self) -> Result<(), Error> {
        let _changes = self.change();
        let mut index = self.lock();
        let firsts: Vec<_> = index.held.iter().skip(1).map(|held| held.header.first).collect();
        let (empty, held) = std::mem::take(&mut index.held)
            .into_iter()
            .enumerate()
            .partition::<Vec<_>, _>(|(at, held)| firsts.get(*at) == Some(&held.header.first));
        index.held = held.into_iter().map(|(_, held)| held).collect();
        self.account(&index);
        drop(index);
        empty.iter().try_for_each(|(_, segment)| self.recycle(segment))
    }

    /// Takes back a segment that was taken and could not be begun.
    pub(super) fn abandon(&self, segment: &Segment) -> Result<(), Error> {
        let _changes = self.change();
        let mut index = self.lock();
        index.taken_bytes = 0;
        self.account(&index);
        drop(index);
        self.remove(&segment.path)?;
        self.sync_folder()
    }

    /// Makes sure that the segments still lie in the folder, by the one that is never given up.
    ///
    /// # Errors
    /// As [`Segment::check_place`].
    pub(super) fn check_place(&self) -> Result<(), Error> {
        let last = |segments: &Self| segments.lock().held.back().cloned();
        let Some(segment) = last(self) else { return Ok(()) };
        let place = segment.check_place();
        // The writer may have begun the next one meanwhile, and given this one up.
        let is_last = last(self).is_some_and(|last| Arc::ptr_eq(&last, &segment));
        if is_last { place } else { Ok(()) }
    }

    /// Prepares the next segment if there is none.
    pub(super) fn prepare(&self) -> Result<(), Error> {
        self.prepare_of(self.options.segment_bytes)
    }

    /// Gives up the records before `before`.
    pub(super) fn trim(&self, before: Position) {
        let mut index = self.lock();
        index.given_up = index.given_up.max(before);
        self.mark_given_up(&mut index);
        self.account(&index);
    }

    /// Recycles or removes what was given up long enough ago.
    pub(super) fn reclaim(&self) -> Result<(), Error> {
        let now = self.clock.elapsed();
        loop {
            let _changes = self.change();
            let mut index = self.lock();
            let due = index
                .oldest_given_up()
                .is_some_and(|since| now.saturating_sub(since) >= self.options.keep);
            let dropped = if due { self.drop_oldest(&mut index) } else { None };
            drop(index);
            let Some(segment) = dropped else { return Ok(()) };
            self.recycle(&segment)?;
        }
    }

    /// Makes a spare of a segment that left the index, or removes it where it is of no use or a
    /// reader still holds it.
    fn recycle(&self, segment: &Arc<Segment>) -> Result<(), Error> {
        let is_wanted = self.lock().spares.len() < SPARES_MAX;
        if is_wanted && self.may_serve_again(segment) {
            let spare = Name::Spare(segment.header.sequence).path(&self.options.path);
            self.rename(&segment.path, &spare)?;
            let mut index = self.lock();
            index.spares.push((spare, segment.bytes));
            self.account(&index);
        } else {
            self.remove(&segment.path)?;
        }
        // One by one, so that after power loss no younger segment is gone before an older.
        self.sync_folder()
    }

    /// Marks a segment that left the index as given up, so that its file may be used again; false
    /// where that is of no use, or does not work.
    fn may_serve_again(&self, segment: &Arc<Segment>) -> bool {
        if Arc::strong_count(segment) > 1 || segment.bytes != self.options.segment_bytes {
            return false;
        }
        let marked = segment.give_up();
        if let Err(error) = &marked {
            tracing::warn!(%error, "a segment is not used again");
        }
        marked.is_ok()
    }

    fn prepare_of(&self, new_bytes: u64) -> Result<(), Error> {
        let _changes = self.change();
        // Another thread may just have done it.
        if self.lock().next.is_some() {
            return Ok(());
        }
        let plan = self.plan(new_bytes)?;
        let sequence = {
            let mut index = self.lock();
            index.next_sequence += 1;
            index.next_sequence - 1
        };
        let made = self.make(plan, sequence);
        let mut index = self.lock();
        index.no_space = matches!(made, Err(Error::Full { space: Space::Disk, .. }));
        let made = made.map(|prepared| index.next = Some(prepared));
        self.account(&index);
        made
    }

    /// Decides where the next segment comes from, and makes room for it within the budget.
    fn plan(&self, new_bytes: u64) -> Result<Plan, Error> {
        let bytes = self.options.segment_bytes;
        while let Some((path, length)) = self.pop_spare() {
            if length == bytes {
                return Ok(Plan::Reuse(path));
            }
            self.remove(&path)?;
        }
        loop {
            let mut index = self.lock();
            let fits = index.footprint(bytes) + new_bytes <= self.options.max_bytes;
            if fits && !index.no_space {
                break;
            }
            // Kept for replay only: new records come first.
            let dropped = self.drop_oldest(&mut index);
            drop(index);
            let Some(segment) = dropped else {
                if fits {
                    break;
                }
                return Err(self.full(Space::Budget));
            };
            if self.may_serve_again(&segment) {
                return Ok(Plan::Reuse(segment.path.clone()));
            }
            self.remove(&segment.path)?;
        }
        Ok(Plan::Make(new_bytes))
    }

    fn pop_spare(&self) -> Option<(PathBuf, u64)> {
        self.lock().spares.pop()
    }

    fn make(&self, plan: Plan, sequence: u64) -> Result<Prepared, Error> {
        let folder = &self.options.path;
        let path = Name::Segment(sequence).path(folder);
        let (file, bytes) = match plan {
            Plan::Reuse(spare) => {
                self.rename(&spare, &path)?;
                let opened = self.files.open(&path, Open::Segment);
                let file = opened.map_err(|error| Error::io("open a segment", &path, error))?;
                (file, self.options.segment_bytes)
            }
            Plan::Make(bytes) => {
                let unfinished = Name::Unfinished(sequence).path(folder);
                let made = self.fill(&unfinished, bytes).map_err(|error| {
                    // What it took is needed elsewhere; a later start removes it otherwise.
                    drop(self.files.remove(&unfinished));
                    if no_space(&error) {
                        return self.full(Space::Disk);
                    }
                    Error::io("prepare a segment", &unfinished, error)
                })?;
                self.rename(&unfinished, &path)?;
                (made, bytes)
            }
        };
        self.sync_folder()?;
        Ok(Prepared { sequence, path, file, bytes })
    }

    /// Makes a file of zeros: space that is allocated and written makes each later sync a sync of
    /// data alone.
    fn fill(&self, path: &std::path::Path, length: u64) -> io::Result<Arc<dyn File>> {
        let file = self.files.open(path, Open::NewSegment)?;
        let chunk = usize::try_from(length).unwrap_or(usize::MAX).min(ZEROS_BYTES);
        let zeros = Aligned::new(chunk);
        let mut at = 0;
        while at < length {
            let bytes = usize::try_from(length - at).unwrap_or(usize::MAX).min(zeros.room());
            let zeros = zeros.as_slice().get(..bytes).unwrap_or_default();
            write_all(&*file, zeros, at).map_err(|stopped| stopped.source)?;
            at += bytes as u64;
        }
        file.sync()?;
        Ok(file)
    }

    /// Takes the oldest segment out of the index if it was given up.
    fn drop_oldest(&self, index: &mut Index) -> Option<Arc<Segment>> {
        index.oldest_given_up()?;
        let segment = index.held.pop_front()?;
        index.given_up_at.remove(&segment.header.sequence);
        self.account(index);
        Some(segment)
    }

    fn mark_given_up(&self, index: &mut Index) {
        let now = self.clock.elapsed();
        let given_up = index.given_up;
        let ends = index.held.iter().skip(1).map(|next| next.header.first);
        for (segment, end) in index.held.iter().zip(ends) {
            if end > given_up {
                break;
            }
            index.given_up_at.entry(segment.header.sequence).or_insert(now);
        }
    }

    /// Works out what is left of the budget.
    fn account(&self, index: &Index) {
        let bytes = self.options.segment_bytes;
        let live = index.live().map(|segment| index.counted(segment, bytes)).sum::<u64>();
        let live = live + index.taken_bytes;
        let mut more = self.options.max_bytes.saturating_sub(live) / bytes;
        if index.no_space {
            more = more.min(u64::from(index.next.is_some()) + index.spares.len() as u64);
        }
        self.live_bytes.store(live, Ordering::Relaxed);
        self.room.store(more * self.segment_room(), Ordering::Relaxed);
    }

    pub(super) fn full(&self, space: Space) -> Error {
        let limit_bytes = self.options.max_bytes;
        Error::Full { space, used_bytes: self.live_bytes(), limit_bytes }
    }

    pub(super) fn sync_folder(&self) -> Result<(), Error> {
        let folder = &self.options.path;
        self.files.sync_folder(folder).map_err(|error| Error::io("sync the folder", folder, error))
    }

    fn rename(&self, from: &std::path::Path, to: &std::path::Path) -> Result<(), Error> {
        self.files.rename(from, to).map_err(|error| Error::io("rename a segment", from, error))
    }

    pub(super) fn remove(&self, path: &std::path::Path) -> Result<(), Error> {
        match self.files.remove(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io("remove a segment", path, error))
            }
            _ => Ok(()),
        }
    }

    fn change(&self) -> MutexGuard<'_, ()> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    /// When the oldest segment was given up, if it was. The last one never is: it knows where
    /// positions go on.
    fn oldest_given_up(&self) -> Option<Duration> {
        let oldest = self.held.front().filter(|_| self.held.len() > 1)?;
        self.given_up_at.get(&oldest.header.sequence).copied()
    }

    fn live(&self) -> impl Iterator<Item = &Arc<Segment>> {
        self.held.iter().filter(|held| !self.given_up_at.contains_key(&held.header.sequence))
    }

    /// What a segment takes of the budget, where new ones are of the `usual` length. One that stands
    /// alone is given up only behind the next, so a longer one, of a larger budget before, must not
    /// keep that from being made.
    fn counted(&self, segment: &Segment, usual: u64) -> u64 {
        if self.held.len() > 1 { segment.bytes } else { segment.bytes.min(usual) }
    }

    /// Length of all segment files while none is prepared, as they count.
    fn footprint(&self, usual: u64) -> u64 {
        let held: u64 = self.held.iter().map(|segment| self.counted(segment, usual)).sum();
        let spares: u64 = self.spares.iter().map(|(_, bytes)| bytes).sum();
        held + spares + self.taken_bytes
    }
}

/// Whether an error says that there is no space, which passes, and not that the disk is broken.
pub(super) fn no_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
