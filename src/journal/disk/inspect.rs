//! Looks at a journal's folder without opening it: for `keelrow journal verify` and `dump`.
//!
//! Changes nothing and takes no lock, so it may run beside the program that writes; what that
//! program appends or gives back meanwhile may or may not be seen. A segment that is given back and
//! used again while it is read looks damaged: it is looked at once more, and left out.

use std::io;
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::{Damaged, Error, Item, Position};
use super::files::Files;
use super::folder::Folder;
use super::log::read_writer_id;
use super::mark::Mark;
use super::recovery::Tail;
use super::scan::{Scan, Step, Window};
use super::segment::{FRAMES_AT, Segment};

/// What a journal's folder holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Who writes it; `None` if it was never opened.
    pub writer_id: Option<String>,
    /// Whether the file that names the writer is damaged or missing, so that no program opens the
    /// journal.
    pub is_writer_lost: bool,
    /// Files and bytes of earlier damage that were kept aside.
    pub kept_aside: (u64, u64),
    /// The first record held.
    pub first: Position,
    /// The position after the last whole record.
    pub end: Position,
    /// All before it was known durable; what follows may never have been acknowledged.
    pub proven: Position,
    /// Each segment, oldest first.
    pub segments: Vec<SegmentReport>,
}

/// What one segment holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentReport {
    /// The file.
    pub path: PathBuf,
    /// The positions that belong to it.
    pub positions: Range<Position>,
    /// Length of the file.
    pub bytes: u64,
    /// Whole records.
    pub records: u64,
    /// Events they stand for.
    pub events: u64,
    /// Records that are lost, and the bytes where they were.
    pub damaged: Vec<(Damaged, Range<u64>)>,
}

impl Report {
    /// Whole records in all segments.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.segments.iter().map(|segment| segment.records).sum()
    }

    /// Lost records in all segments.
    #[must_use]
    pub fn damaged_records(&self) -> u64 {
        let damaged = self.segments.iter().flat_map(|segment| &segment.damaged);
        damaged.map(|(damaged, _)| damaged.positions.end.since(damaged.positions.start)).sum()
    }
}

/// Reads every record of the journal in `folder` and tells what is there and what is lost.
///
/// # Errors
/// [`Error::Io`] if the folder or a file cannot be read, [`Error::Format`].
pub fn verify(files: &dyn Files, folder: &Path) -> Result<Report, Error> {
    verify_telling(files, folder, &mut |_, _| {})
}

/// As [`verify`]; tells before each segment how many bytes are read, of how many.
///
/// # Errors
/// As [`verify`].
pub fn verify_telling(
    files: &dyn Files,
    folder: &Path,
    tell: &mut dyn FnMut(u64, u64),
) -> Result<Report, Error> {
    let named = match writer_id(files, folder) {
        Err(Error::WriterId { .. }) => None,
        read => Some(read?),
    };
    let held = Held::read(files, folder)?;
    let is_writer_lost = match &named {
        None => true,
        Some(id) => id.is_none() && !held.segments.is_empty(),
    };
    let mut segments = Vec::new();
    let all = held.segments().map(|(segment, _)| segment.bytes).sum();
    let mut done = 0;
    for (segment, end) in held.segments() {
        tell(done, all);
        done += segment.bytes;
        let first = segment.header.first;
        let mut report = SegmentReport {
            path: segment.path.clone(),
            positions: first..end,
            bytes: segment.bytes,
            records: 0,
            events: 0,
            damaged: Vec::new(),
        };
        let whole = walk(segment, first, end, &mut |item, bytes| {
            match item {
                Item::Frame(frame) => {
                    report.records += 1;
                    report.events += u64::from(frame.count);
                }
                Item::Damaged(damaged) => report.damaged.push((damaged, bytes)),
            }
            ControlFlow::Continue(())
        })?;
        debug_assert!(whole.is_continue(), "nothing breaks off here");
        if !report.damaged.is_empty() && !is_still_there(files, folder, segment)? {
            // All before it were given back earlier.
            segments.clear();
            continue;
        }
        segments.push(report);
    }
    tell(all, all);
    let Held { end, proven, .. } = held;
    let first = segments.first().map_or(end, |segment: &SegmentReport| segment.positions.start);
    let kept_aside = kept_aside(files, folder)?;
    let writer_id = named.flatten();
    Ok(Report { writer_id, is_writer_lost, kept_aside, first, end, proven, segments })
}

/// Who writes the journal in `folder`; `None` if it was never opened.
///
/// # Errors
/// [`Error::Io`] if the folder or the file cannot be read, [`Error::WriterId`] if it is damaged.
pub fn writer_id(files: &dyn Files, folder: &Path) -> Result<Option<String>, Error> {
    read_writer_id(files, &folder.join("writer"))
}

/// Whether the file of a segment still holds what it held when the folder was listed.
fn is_still_there(files: &dyn Files, folder: &Path, segment: &Segment) -> Result<bool, Error> {
    let now = Folder::read(files, folder)?.segments;
    Ok(now.iter().any(|now| now.header == segment.header))
}

/// Files and bytes in the folder of damaged records, and files that hold records and fit nowhere.
fn kept_aside(files: &dyn Files, folder: &Path) -> Result<(u64, u64), Error> {
    let strays = Folder::read(files, folder)?.strays.into_iter().map(|(_, bytes)| bytes);
    let folder = folder.join("damaged");
    let kept = match files.list(&folder) {
        Ok(kept) => kept,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(Error::io("list the folder", folder, error)),
    };
    let lengths = strays.chain(kept.into_iter().map(|(_, bytes)| bytes));
    Ok(lengths.fold((0, 0), |(files, all), bytes| (files + 1, all + bytes)))
}

/// The first record that the journal in `folder` holds.
///
/// # Errors
/// As [`verify`].
pub fn first(files: &dyn Files, folder: &Path) -> Result<Position, Error> {
    Held::read(files, folder).map(|held| held.first)
}

/// Whether a record is known to have been acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It survived a sync.
    Durable,
    /// It may have been written without an answer; the next start decides.
    Unproven,
}

/// Shows the records of the journal in `folder` from `from` on to `show`, until it breaks off.
///
/// # Errors
/// As [`verify`], and [`Error::Trimmed`] or [`Error::Ahead`] where `from` is not held.
pub fn dump(
    files: &dyn Files,
    folder: &Path,
    from: Position,
    mut show: impl FnMut(Item<'_>, Standing) -> ControlFlow<()>,
) -> Result<(), Error> {
    let held = Held::read(files, folder)?;
    let mut see = |item: Item<'_>| {
        let proven = match &item {
            Item::Frame(frame) => frame.position < held.proven,
            // Only what was acknowledged is missed.
            Item::Damaged(_) => true,
        };
        show(item, if proven { Standing::Durable } else { Standing::Unproven })
    };
    if from < held.first {
        return Err(Error::Trimmed { asked: from, first: held.first });
    }
    if from > held.end {
        return Err(Error::Ahead { asked: from, durable: held.end });
    }
    for (segment, end) in held.segments().filter(|(_, end)| *end > from) {
        if walk(segment, from, end, &mut |item, _| see(item))?.is_break() {
            break;
        }
    }
    Ok(())
}

/// The segments of a folder, and where the last one ends.
struct Held {
    segments: Vec<Arc<Segment>>,
    first: Position,
    end: Position,
    proven: Position,
}

impl Held {
    fn read(files: &dyn Files, folder: &Path) -> Result<Self, Error> {
        let listed =
            files.list(folder).map_err(|error| Error::io("list the folder", folder, error))?;
        let marked = if listed.iter().any(|(name, _)| name == "mark") {
            Mark::open(files, folder)?.durable()
        } else {
            Position::ZERO
        };
        let segments = Folder::read(files, folder)?.segments;
        let (end, proven) = match segments.last() {
            Some(last) => {
                let tail = Tail::find(last, marked)?;
                (tail.end, tail.proven)
            }
            None => (marked, marked),
        };
        let first = segments.first().map_or(end, |segment| segment.header.first);
        Ok(Self { segments, first, end, proven })
    }

    /// Each segment with the position after its records.
    fn segments(&self) -> impl Iterator<Item = (&Segment, Position)> {
        let ends = self.segments.iter().skip(1).map(|next| next.header.first);
        self.segments.iter().map(|segment| &**segment).zip(ends.chain([self.end]))
    }
}

/// Passes what a segment holds from `from` up to `end`.
fn walk(
    segment: &Segment,
    from: Position,
    end: Position,
    see: &mut dyn FnMut(Item<'_>, Range<u64>) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, Error> {
    let failed = |error: io::Error| segment.error("read a segment", error);
    let window = Window::new(Arc::clone(&segment.file));
    let (identity, first) = (Some(segment.header.identity), segment.header.first);
    let mut scan = Scan::new(window, identity, FRAMES_AT, first);
    let limit = segment.readable();
    scan.skip_to(from, limit).map_err(failed)?;
    loop {
        let seen = match scan.step(end, limit).map_err(failed)? {
            Step::Frame(found) => {
                let frame = scan.frame(&found, limit).map_err(failed)?;
                see(Item::Frame(frame), found.at..found.end())
            }
            Step::Damaged(damaged, bytes) => see(Item::Damaged(damaged), bytes),
            Step::End => return Ok(ControlFlow::Continue(())),
        };
        if seen.is_break() {
            return Ok(seen);
        }
    }
}
