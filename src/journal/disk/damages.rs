//! The books of damage: each damaged place is counted once and its bytes are kept aside.
//!
//! A person may still get something out of them; the journal itself never looks at them again.

use std::collections::HashSet;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::super::{Damaged, Error};
use super::files::{Files, Open, write_all};
use super::scan::Window;
use super::segment::Segment;

/// Bytes kept aside at most, so that a failing disk is not filled with its own rubble.
const KEPT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Damaged places told apart; past it a place that is read again is counted again.
const PLACES_MAX: usize = 65_536;
/// Bytes copied at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// What was found damaged since the journal was opened.
#[derive(Debug)]
pub(super) struct Damages {
    files: Arc<dyn Files>,
    folder: PathBuf,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    places: HashSet<(u64, u64)>,
    kept_bytes: u64,
    records: u64,
    events: u64,
}

impl Damages {
    pub(super) fn open(files: Arc<dyn Files>, journal: &std::path::Path) -> Result<Self, Error> {
        let folder = journal.join("damaged");
        files
            .create_folder(&folder)
            .map_err(|error| Error::io("make the folder", &folder, error))?;
        let kept =
            files.list(&folder).map_err(|error| Error::io("list the folder", &folder, error))?;
        let kept_bytes = kept.iter().map(|(_, bytes)| bytes).sum();
        Ok(Self { files, folder, seen: Mutex::new(Seen { kept_bytes, ..Seen::default() }) })
    }

    /// Records and events lost since the journal was opened.
    pub(super) fn counts(&self) -> (u64, u64) {
        let seen = self.lock();
        (seen.records, seen.events)
    }

    /// Counts a damaged place and keeps its bytes, unless it was met before.
    pub(super) fn book(&self, segment: &Segment, damaged: &Damaged, bytes: Range<u64>) {
        let place = (segment.header.sequence, damaged.positions.start.get());
        let room = {
            let mut seen = self.lock();
            if seen.places.contains(&place) {
                return;
            }
            if seen.places.len() < PLACES_MAX {
                seen.places.insert(place);
            }
            seen.records += damaged.positions.end.since(damaged.positions.start);
            seen.events += damaged.count;
            let room = KEPT_BYTES_MAX.saturating_sub(seen.kept_bytes);
            let kept = room.min(bytes.end - bytes.start);
            seen.kept_bytes += kept;
            kept
        };
        let kept = self.keep(segment, bytes.start..bytes.start + room);
        tracing::error!(
            segment = segment.header.sequence,
            at_byte = bytes.start,
            first = damaged.positions.start.get(),
            end = damaged.positions.end.get(),
            source = damaged.source.as_deref().unwrap_or("unknown"),
            events = damaged.count,
            kept_aside = kept.is_ok(),
            "journal records are damaged"
        );
    }

    fn keep(&self, segment: &Segment, bytes: Range<u64>) -> std::io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let name = format!("segment-{:020}-at-{}", segment.header.sequence, bytes.start);
        let file = self.files.open(&self.folder.join(name), Open::Small)?;
        let mut window = Window::new(Arc::clone(&segment.file));
        let mut at = bytes.start;
        while at < bytes.end {
            let chunk = window.bytes(at, CHUNK_BYTES, bytes.end)?;
            if chunk.is_empty() {
                break;
            }
            write_all(&*file, chunk, at - bytes.start).map_err(|stopped| stopped.source)?;
            at += chunk.len() as u64;
        }
        file.sync()?;
        self.files.sync_folder(&self.folder)
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
