//! The books of damage: each damaged place is counted once and its bytes are kept aside.
//!
//! A person may still get something out of them; the journal itself never looks at them again.

use std::collections::HashSet;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::super::{Damaged, Error, Position};
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
    /// Records before this position were given up: of them nothing is lost.
    loaded: AtomicU64,
    seen: Mutex<Seen>,
}

/// Records met since the journal was opened.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    /// That are lost, and the events they stood for.
    pub(super) records: u64,
    pub(super) events: u64,
    /// That had been given up before.
    pub(super) loaded_records: u64,
}

#[derive(Debug, Default)]
struct Seen {
    places: HashSet<(u64, u64)>,
    kept_bytes: u64,
    counts: Counts,
}

impl Damages {
    pub(super) fn open(
        files: Arc<dyn Files>,
        journal: &std::path::Path,
        loaded: Position,
    ) -> Result<Self, Error> {
        let folder = journal.join("damaged");
        files
            .create_folder(&folder)
            .map_err(|error| Error::io("make the folder", &folder, error))?;
        let kept =
            files.list(&folder).map_err(|error| Error::io("list the folder", &folder, error))?;
        let kept_bytes = kept.iter().map(|(_, bytes)| bytes).sum();
        let loaded = AtomicU64::new(loaded.get());
        let seen = Mutex::new(Seen { kept_bytes, ..Seen::default() });
        Ok(Self { files, folder, loaded, seen })
    }

    pub(super) fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// Notes that the records before `before` are needed no more.
    pub(super) fn note_loaded(&self, before: Position) {
        self.loaded.fetch_max(before.get(), Ordering::Relaxed);
    }

    /// Counts a damaged place and keeps its bytes, unless it was met before.
    pub(super) fn book(&self, segment: &Segment, damaged: &Damaged, bytes: Range<u64>) {
        let place = (segment.header.sequence, damaged.positions.start.get());
        let loaded = Position::new(self.loaded.load(Ordering::Relaxed));
        let records = damaged.positions.end.since(damaged.positions.start);
        let loaded_records = loaded.since(damaged.positions.start).min(records);
        let is_lost = loaded_records < records;
        let room = {
            let mut seen = self.lock();
            if seen.places.contains(&place) {
                return;
            }
            if seen.places.len() < PLACES_MAX {
                seen.places.insert(place);
            }
            seen.counts.loaded_records += loaded_records;
            if is_lost {
                // Several records share a place only where each counts as one event.
                seen.counts.records += records - loaded_records;
                seen.counts.events += damaged.count - loaded_records;
            }
            let room = KEPT_BYTES_MAX.saturating_sub(seen.kept_bytes);
            let kept = room.min(bytes.end - bytes.start);
            seen.kept_bytes += kept;
            kept
        };
        let kept = self.keep(segment, bytes.start..bytes.start + room);
        let first = damaged.positions.start.get();
        let end = damaged.positions.end.get();
        let sequence = segment.header.sequence;
        if !is_lost {
            tracing::warn!(
                segment = sequence,
                at_byte = bytes.start,
                first,
                end,
                "damaged journal records were loaded before, nothing is lost"
            );
            return;
        }
        tracing::error!(
            segment = sequence,
            at_byte = bytes.start,
            first,
            end,
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
