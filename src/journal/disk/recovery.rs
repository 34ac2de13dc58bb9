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
use super::BLOCK_BYTES;
use super::aligned::{Aligned, whole_blocks};
use super::damages::Damages;
use super::files::{Files, write_all};
use super::folder::Folder;
use super::scan::{Scan, Step, Window};
use super::segment::{FRAMES_AT, Name, Segment};
use super::segments::Index;

/// A journal as it was found.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) index: Index,
    /// Where the next record goes.
    pub(super) end: Position,
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
    let mut index = Index::default();
    index.next_sequence = folder.next_sequence;
    for unfinished in &folder.unfinished {
        remove(&**files, unfinished)?;
    }
    for &(sequence, bytes) in &folder.prepared {
        let (from, to) = (Name::Segment(sequence).path(path), Name::Spare(sequence).path(path));
        rename(&**files, &from, &to)?;
        index.spares.push((to, bytes));
    }
    for &sequence in &folder.misfits {
        let from = Name::Segment(sequence).path(path);
        let mut to = Name::Stray(sequence).path(path);
        if folder.strays.iter().any(|(kept, _)| *kept == to) {
            to = Name::Stray(index.next_sequence).path(path);
            index.next_sequence += 1;
        }
        rename(&**files, &from, &to)?;
        tracing::error!(
            from = %from.display(),
            to = %to.display(),
            "a file holds records and fits nowhere in the journal, it is kept aside"
        );
    }
    index.spares.extend(folder.spares);
    let name = |segment: &Segment| Name::Segment(segment.header.sequence).path(path);
    for segment in folder.segments.iter().filter(|segment| segment.path != name(segment)) {
        let (path, sequence) = (segment.path.display(), segment.header.sequence);
        tracing::warn!(%path, sequence, "a segment was renamed, its header counts");
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

fn rename(files: &dyn Files, from: &Path, to: &Path) -> Result<(), Error> {
    files.rename(from, to).map_err(|error| Error::io("rename a segment", from, error))
}

fn remove(files: &dyn Files, path: &Path) -> Result<(), Error> {
    files.remove(path).map_err(|error| Error::io("remove a file", path, error))
}
