//! The durable mark: how far the journal was known durable, kept beside the segments.
//!
//! Frames tell what was durable when they were written, so nothing in a segment speaks for the last
//! group. The mark does: it is written when the writer has been idle and when the journal closes.
//! It may lag behind, it never runs ahead. Two slots take turns, so a torn write spares one.

use std::path::PathBuf;
use std::sync::Arc;

use super::super::{Error, Position};
use super::BLOCK_BYTES;
use super::files::{File, Files, Open, write_all};

const MAGIC: [u8; 8] = *b"keelrowM";
const SLOT_BYTES: usize = 28;

/// The open mark file.
#[derive(Debug)]
pub(super) struct Mark {
    path: PathBuf,
    file: Arc<dyn File>,
    generation: u64,
    durable: Position,
}

impl Mark {
    /// Opens or makes `mark` in the folder.
    pub(super) fn open(files: &dyn Files, folder: &std::path::Path) -> Result<Self, Error> {
        let path = folder.join("mark");
        let file = files
            .open(&path, Open::Small)
            .map_err(|error| Error::io("open the mark", &path, error))?;
        let mut mark = Self { path, file, generation: 0, durable: Position::ZERO };
        for slot in 0..2 {
            let mut bytes = [0; SLOT_BYTES];
            let read = mark
                .file
                .read_at(&mut bytes, slot * BLOCK_BYTES)
                .map_err(|error| Error::io("read the mark", &mark.path, error))?;
            if read == SLOT_BYTES
                && let Some((generation, durable)) = parse(&bytes)
            {
                mark.generation = mark.generation.max(generation);
                mark.durable = mark.durable.max(durable);
            }
        }
        Ok(mark)
    }

    /// The latest durable end that was noted.
    pub(super) const fn durable(&self) -> Position {
        self.durable
    }

    /// Notes a durable end, unless it is the one noted last.
    pub(super) fn note(&mut self, durable: Position) -> Result<(), Error> {
        if durable == self.durable && self.generation > 0 {
            return Ok(());
        }
        let generation = self.generation + 1;
        let mut bytes = [0; SLOT_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..16].copy_from_slice(&generation.to_le_bytes());
        bytes[16..24].copy_from_slice(&durable.get().to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..24]);
        bytes[24..].copy_from_slice(&crc.to_le_bytes());
        write_all(&*self.file, &bytes, (generation % 2) * BLOCK_BYTES)
            .map_err(|stopped| Error::io("write the mark", &self.path, stopped.source))?;
        (self.generation, self.durable) = (generation, durable);
        Ok(())
    }

    /// Makes what was noted survive power loss.
    pub(super) fn sync(&self) -> Result<(), Error> {
        self.file.sync().map_err(|error| Error::io("sync the mark", &self.path, error))
    }
}

fn parse(bytes: &[u8; SLOT_BYTES]) -> Option<(u64, Position)> {
    let word = |at: usize| Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    let crc = u32::from_le_bytes(*bytes.last_chunk()?);
    if bytes[..8] != MAGIC || crc != crc32c::crc32c(&bytes[..24]) {
        return None;
    }
    Some((word(8)?, Position::new(word(16)?)))
}
