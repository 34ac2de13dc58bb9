//! What lies in a journal's folder, by what the files say of themselves.
//!
//! A file's own header tells which segment it is. Its name says the same, unless a person renamed
//! it: then the header is right. So what holds records is taken for the segment it is, or, where
//! that cannot be, is kept aside; only a file that was marked as given up, or that holds no record at
//! all, may be used again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::{Error, Position};
use super::FORMAT;
use super::aligned::Aligned;
use super::files::{File, Files, Open};
use super::scan::{Found, Scan, Window};
use super::segment::{FRAMES_AT, First, Header, Name, Segment};
use crate::clock::Timestamp;

/// A folder's segments, oldest first, and whatever else is ours in it.
#[derive(Debug, Default)]
pub(super) struct Folder {
    pub(super) segments: Vec<Arc<Segment>>,
    /// Hold nothing under the segment's name with this number; their lengths.
    pub(super) prepared: Vec<(u64, u64)>,
    pub(super) spares: Vec<(PathBuf, u64)>,
    pub(super) unfinished: Vec<PathBuf>,
    /// Hold records and fit nowhere, under the segment's name with this number.
    pub(super) misfits: Vec<u64>,
    /// Such files that were kept aside before, with their lengths.
    pub(super) strays: Vec<(PathBuf, u64)>,
    /// The number after all those in use.
    pub(super) next_sequence: u64,
}

/// A file under a segment's name.
enum Kind {
    /// It holds nothing.
    Empty,
    /// The segment of its name, or of another.
    Segment(Segment),
}

impl Folder {
    pub(super) fn read(files: &dyn Files, path: &Path) -> Result<Self, Error> {
        let listed = files.list(path).map_err(|error| Error::io("list the folder", path, error))?;
        let mut folder = Self::default();
        let mut named = Vec::new();
        for (name, bytes) in listed {
            let Some(name) = Name::parse(&name) else { continue };
            folder.next_sequence = folder.next_sequence.max(name.sequence() + 1);
            match name {
                Name::Segment(sequence) => named.push((sequence, bytes)),
                Name::Spare(_) => folder.spares.push((name.path(path), bytes)),
                Name::Unfinished(_) => folder.unfinished.push(name.path(path)),
                Name::Stray(_) => folder.strays.push((name.path(path), bytes)),
            }
        }
        let mut segments = BTreeMap::new();
        let mut misnamed = Vec::new();
        named.sort_unstable();
        for (sequence, bytes) in named {
            match identify(files, path, sequence, bytes)? {
                Kind::Empty => folder.prepared.push((sequence, bytes)),
                Kind::Segment(segment) if segment.header.sequence == sequence => {
                    segments.insert(sequence, segment);
                }
                Kind::Segment(segment) => misnamed.push((sequence, segment)),
            }
        }
        folder.place(&mut segments, misnamed)?;
        let last = segments.last_key_value().map_or(0, |(sequence, _)| sequence + 1);
        folder.next_sequence = folder.next_sequence.max(last);
        folder.segments = segments.into_values().map(Arc::new).collect();
        Ok(folder)
    }

    /// Puts segments under other names where they belong, as far as they fit.
    fn place(
        &mut self,
        segments: &mut BTreeMap<u64, Segment>,
        mut misnamed: Vec<(u64, Segment)>,
    ) -> Result<(), Error> {
        // The youngest first: whether one fits is told by the one behind it.
        misnamed.sort_by_key(|(_, segment)| std::cmp::Reverse(segment.header.sequence));
        for (name, segment) in misnamed {
            let Header { sequence, first, .. } = segment.header;
            let next = segments.range(sequence + 1..).next();
            let next = next.map(|(sequence, next)| (*sequence, next.header.first));
            if next.is_some_and(|(_, next)| next <= first) {
                self.prepared.push((name, segment.bytes));
            } else if !segments.contains_key(&sequence) && fits(&segment, next)? {
                segments.insert(sequence, segment);
            } else {
                self.misfits.push(name);
            }
        }
        Ok(())
    }
}

/// Whether a segment is the one before the `next` one: its sequence number and first position.
fn fits(segment: &Segment, next: Option<(u64, Position)>) -> Result<bool, Error> {
    let Some((sequence, first)) = next else { return Ok(true) };
    if segment.header.sequence + 1 == sequence {
        return Ok(true);
    }
    let window = Window::new(Arc::clone(&segment.file));
    let identity = Some(segment.header.identity);
    let mut scan = Scan::new(window, identity, FRAMES_AT, segment.header.first);
    let passed = scan.skip_to(first, segment.bytes);
    Ok(passed.map_err(|error| segment.error("read a segment", error))? >= first)
}

/// Reads whose segment a file is.
fn identify(files: &dyn Files, folder: &Path, sequence: u64, bytes: u64) -> Result<Kind, Error> {
    let path = Name::Segment(sequence).path(folder);
    let file = files
        .open(&path, Open::Segment)
        .map_err(|error| Error::io("open a segment", &path, error))?;
    let failed = |error| Error::io("read a segment", &path, error);
    let mut block = Aligned::new(super::BLOCK);
    let read = file.read_at(block.as_mut_slice(), 0).map_err(failed)?;
    let header = match Header::read(block.as_slice().get(..read).unwrap_or_default()) {
        First::Header(header) => Some(header),
        First::GivenUp => None,
        First::Format(found) => return Err(Error::Format { path, found, known: FORMAT }),
        First::Unreadable => guess(&file, sequence, bytes).map_err(failed)?,
    };
    Ok(header.map_or(Kind::Empty, |header| {
        Kind::Segment(Segment::new(header, path, file, bytes, bytes))
    }))
}

/// Rebuilds a header, of which no copy is whole, from the frames; `None` if there is none. Those of
/// this use of the file repeat its sequence number in their identity; remains of earlier uses repeat
/// another, and lie behind.
fn guess(file: &Arc<dyn File>, sequence: u64, limit: u64) -> std::io::Result<Option<Header>> {
    let window = Window::new(Arc::clone(file));
    let mut scan = Scan::new(window, None, FRAMES_AT, Position::ZERO);
    let header = |sequence, found: &Found| Header {
        sequence,
        identity: found.identity,
        // The first run of a segment is written when all before the segment is durable. If that run
        // is gone as well, this is later, and what lies between is booked as damaged.
        first: found.durable,
        created: Timestamp::from_micros(0),
    };
    let mut other = None;
    while let Some(found) = scan.find(limit)? {
        if found.identity.belongs_to(sequence) {
            return Ok(Some(header(sequence, &found)));
        }
        other.get_or_insert_with(|| header(found.identity.sequence_near(sequence), &found));
        scan.at = found.end();
    }
    Ok(other)
}
