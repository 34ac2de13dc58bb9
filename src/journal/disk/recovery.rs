//! Opening a journal's folder: what it holds, where it ends, what was lost.
//!
//! Only the last segment is read through, for the end; damage in older ones is met, and booked, by
//! whoever reads them. All that is known durable stays, or is booked as damaged. Behind that, whole
//! records are kept up to the first one that is not: they may have been written and never
//! acknowledged, and a client that got no answer sends again. The rest is a torn tail and is cut.
//! New records never go into a segment of an earlier run: the next one begins where this one was
//! cut, and readers leave a segment where the next begins.

use std::path::Path;
use std::sync::Arc;

use super::super::{Damaged, Error, Position};
use super::aligned::{Aligned, whole_blocks};
use super::damages::Damages;
use super::files::{File, Files, Open, write_all};
use super::scan::{Scan, Step, Window};
use super::segment::{FRAMES_AT, First, Header, Name, Segment};
use super::segments::Index;
use super::{BLOCK_BYTES, FORMAT};
use crate::clock::Timestamp;

/// A journal as it was found.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) index: Index,
    /// Where the next record goes.
    pub(super) end: Position,
}

/// Lists a folder's segments, oldest first, and whatever else is ours in it.
#[derive(Debug, Default)]
pub(super) struct Folder {
    pub(super) segments: Vec<Arc<Segment>>,
    pub(super) prepared: Vec<(u64, u64)>,
    pub(super) spares: Vec<(u64, u64)>,
    pub(super) unfinished: Vec<u64>,
}

impl Folder {
    pub(super) fn read(files: &dyn Files, path: &Path) -> Result<Self, Error> {
        let listed = files.list(path).map_err(|error| Error::io("list the folder", path, error))?;
        let mut folder = Self::default();
        let mut named = Vec::new();
        for (name, bytes) in listed {
            match Name::parse(&name) {
                Some(Name::Segment(sequence)) => named.push((sequence, bytes)),
                Some(Name::Spare(sequence)) => folder.spares.push((sequence, bytes)),
                Some(Name::Unfinished(sequence)) => folder.unfinished.push(sequence),
                None => {}
            }
        }
        named.sort_unstable();
        for (sequence, bytes) in named {
            match identify(files, path, sequence, bytes)? {
                Some(segment) => folder.segments.push(Arc::new(segment)),
                None => folder.prepared.push((sequence, bytes)),
            }
        }
        Ok(folder)
    }

    /// The number after all those in use.
    fn next_sequence(&self) -> u64 {
        let segments = self.segments.iter().map(|segment| segment.header.sequence);
        let others = self.prepared.iter().chain(&self.spares).map(|&(sequence, _)| sequence);
        segments.chain(others).chain(self.unfinished.iter().copied()).max().map_or(0, |at| at + 1)
    }
}

/// Reads whose segment a file is; `None` if it holds nothing.
fn identify(
    files: &dyn Files,
    folder: &Path,
    sequence: u64,
    bytes: u64,
) -> Result<Option<Segment>, Error> {
    let path = Name::Segment(sequence).path(folder);
    let file = files
        .open(&path, Open::Segment)
        .map_err(|error| Error::io("open a segment", &path, error))?;
    let failed = |error| Error::io("read a segment", &path, error);
    let mut block = Aligned::new(super::BLOCK);
    let read = file.read_at(block.as_mut_slice(), 0).map_err(failed)?;
    let header = match Header::read(block.as_slice().get(..read).unwrap_or_default()) {
        First::Header(header) => Some(header).filter(|header| header.sequence == sequence),
        First::Format(found) => return Err(Error::Format { path, found, known: FORMAT }),
        First::Unreadable => guess(&file, sequence, bytes).map_err(failed)?,
    };
    Ok(header.map(|header| Segment::new(header, path, file, bytes, bytes)))
}

/// Rebuilds a header, of which no copy is whole, from the frames. Those of this use of the file
/// name its sequence number in their identity; remains of earlier uses name another.
fn guess(file: &Arc<dyn File>, sequence: u64, limit: u64) -> std::io::Result<Option<Header>> {
    let window = Window::new(Arc::clone(file));
    let mut scan = Scan::new(window, None, FRAMES_AT, Position::ZERO);
    while let Some(found) = scan.find(limit)? {
        if found.identity.belongs_to(sequence) {
            return Ok(Some(Header {
                sequence,
                identity: found.identity,
                // The first run of a segment is written when all before the segment is durable. If
                // that run is gone as well, this is later, and what lies between is booked as
                // damaged.
                first: found.durable,
                created: Timestamp::from_micros(0),
            }));
        }
        scan.at = found.end();
    }
    Ok(None)
}

/// Finds out what a folder holds and settles its end. `marked` is the durable mark.
pub(super) fn recover(
    files: &Arc<dyn Files>,
    path: &Path,
    segment_bytes: u64,
    marked: Position,
    damages: &Damages,
) -> Result<Recovered, Error> {
    let folder = Folder::read(&**files, path)?;
    let next_sequence = folder.next_sequence();
    let mut index = Index::default();
    index.next_sequence = next_sequence;
    for &sequence in &folder.unfinished {
        remove(&**files, &Name::Unfinished(sequence).path(path))?;
    }
    for &(sequence, bytes) in &folder.prepared {
        let (from, to) = (Name::Segment(sequence).path(path), Name::Spare(sequence).path(path));
        files.rename(&from, &to).map_err(|error| Error::io("rename a segment", &from, error))?;
        index.spares.push((to, bytes));
    }
    for &(sequence, bytes) in &folder.spares {
        index.spares.push((Name::Spare(sequence).path(path), bytes));
    }
    index.held = folder.segments.into();
    let Some(last) = index.held.pop_back() else {
        return Ok(Recovered { index, end: marked });
    };
    let tail = Tail::find(&last, marked)?;
    for (damaged, bytes) in &tail.damaged {
        damages.book(&last, damaged, bytes.clone());
    }
    let end = tail.end;
    let empty = end == last.header.first;
    let held = if empty { last } else { Arc::new(tail.settle(&last, segment_bytes)?) };
    index.held.push_back(held);
    Ok(Recovered { index, end })
}

/// The end of the last segment.
#[derive(Debug)]
pub(super) struct Tail {
    /// The position after the last record that stays.
    pub(super) end: Position,
    /// The offset after it.
    end_at: u64,
    /// The offset of the first record that stays and is not known durable.
    unproven_at: u64,
    /// All before it was known durable.
    pub(super) proven: Position,
    pub(super) damaged: Vec<(Damaged, std::ops::Range<u64>)>,
}

impl Tail {
    pub(super) fn find(segment: &Segment, marked: Position) -> Result<Self, Error> {
        let failed = |error| segment.error("read a segment", error);
        let first = segment.header.first;
        let limit = segment.readable();
        let scan = || {
            let window = Window::new(Arc::clone(&segment.file));
            Scan::new(window, Some(segment.header.identity), FRAMES_AT, first)
        };
        let proven = proven(scan(), marked.max(first), limit).map_err(failed)?;
        let mut tail = Self {
            end: first,
            end_at: FRAMES_AT,
            unproven_at: FRAMES_AT,
            proven,
            damaged: Vec::new(),
        };
        tail.walk_proven(scan(), limit).map_err(failed)?;
        tail.walk_unproven(segment, limit).map_err(failed)?;
        Ok(tail)
    }

    /// Passes what was known durable, whole or damaged.
    fn walk_proven(&mut self, mut scan: Scan, limit: u64) -> std::io::Result<()> {
        loop {
            match scan.step(self.proven, limit)? {
                Step::Frame(found) => self.end_at = found.end(),
                Step::Damaged(damaged, bytes) => {
                    self.end_at = self.end_at.max(scan.at.min(bytes.end));
                    self.damaged.push((damaged, bytes));
                }
                Step::End => break,
            }
        }
        self.end = self.proven;
        self.unproven_at = self.end_at;
        Ok(())
    }

    /// Passes the whole records behind it, up to the first that is missing or damaged.
    fn walk_unproven(&mut self, segment: &Segment, limit: u64) -> std::io::Result<()> {
        let window = Window::new(Arc::clone(&segment.file));
        let identity = Some(segment.header.identity);
        let mut scan = Scan::new(window, identity, self.end_at, self.end);
        let start = self.end;
        while let Step::Frame(found) = scan.step(self.end.plus(1), limit)? {
            if self.end == start {
                self.unproven_at = found.at;
            }
            self.end = found.position.plus(1);
            self.end_at = found.end();
        }
        Ok(())
    }

    /// Makes the end of the file the end of what stays, and all of it durable.
    ///
    /// What is not known durable is written again: after a failed sync the system may hand out
    /// bytes that never reached the disk, and would not write them for the asking.
    fn settle(&self, segment: &Segment, segment_bytes: u64) -> Result<Segment, Error> {
        let start = self.unproven_at - self.unproven_at % BLOCK_BYTES;
        let end = whole_blocks(self.end_at);
        let mut at = start;
        let mut buffer = Aligned::new(1024 * 1024);
        // So is the header: with what an earlier use of the file left in its place, all of this
        // would pass for a segment that holds nothing.
        let block = segment.header.block();
        let header = buffer.as_mut_slice().get_mut(..block.len()).unwrap_or_default();
        header.copy_from_slice(&block);
        write_all(&*segment.file, header, 0)
            .map_err(|stopped| segment.error("write a segment", stopped.source))?;
        while at < end {
            let bytes = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.room());
            let chunk = buffer.as_mut_slice().get_mut(..bytes).unwrap_or_default();
            let read = segment.file.read_at(chunk, at);
            let read = read.map_err(|error| segment.error("read a segment", error))?;
            let whole = usize::try_from(self.end_at - at).unwrap_or(usize::MAX);
            if let Some(rest) = chunk.get_mut(read.min(whole)..) {
                rest.fill(0);
            }
            write_all(&*segment.file, chunk, at)
                .map_err(|stopped| segment.error("write a segment", stopped.source))?;
            at += bytes as u64;
        }
        if end != segment_bytes || end != segment.bytes {
            segment.file.set_len(end).map_err(|error| segment.error("cut a segment", error))?;
        }
        segment.file.sync().map_err(|error| segment.error("sync a segment", error))?;
        let (path, file) = (segment.path.clone(), Arc::clone(&segment.file));
        Ok(Segment::new(segment.header, path, file, end, end))
    }
}

/// How far the records themselves say that all is durable.
fn proven(mut scan: Scan, known: Position, limit: u64) -> std::io::Result<Position> {
    let mut proven = known;
    while let Some(found) = scan.find(limit)? {
        proven = proven.max(found.durable);
        scan.expected = found.position.plus(1);
        scan.at = found.end();
    }
    Ok(proven)
}

fn remove(files: &dyn Files, path: &Path) -> Result<(), Error> {
    files.remove(path).map_err(|error| Error::io("remove a file", path, error))
}
