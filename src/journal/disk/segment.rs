//! One segment file: its name and the block at its start.
//!
//! The header stands twice in its block, so that one bad sector takes neither the identity nor the
//! first position away. A file whose header does not name the sequence number of its own name holds
//! nothing: it is prepared for use, whatever an earlier use left in it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::frame::Identity;
use super::super::{Error, Position};
use super::files::File;
use super::{BLOCK, BLOCK_BYTES, FORMAT};
use crate::clock::Timestamp;

/// Offset of the first frame.
pub(super) const FRAMES_AT: u64 = BLOCK_BYTES;
const MAGIC: [u8; 8] = *b"keelrowJ";
const COPIES_AT: [usize; 2] = [0, 2048];
const HEADER_BYTES: usize = 52;

/// What a segment's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Counts the segments of a journal; part of the file's name.
    pub(super) sequence: u64,
    pub(super) identity: Identity,
    /// The position of its first frame.
    pub(super) first: Position,
    pub(super) created: Timestamp,
}

/// What the first block of a segment file turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First {
    Header(Header),
    /// No copy is whole: never used, or damaged.
    Unreadable,
    /// A later program's.
    Format(u32),
}

impl Header {
    /// The first block of a segment file.
    pub(super) fn block(&self) -> [u8; BLOCK] {
        let mut header = [0; HEADER_BYTES];
        header[..8].copy_from_slice(&MAGIC);
        header[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        header[16..24].copy_from_slice(&self.sequence.to_le_bytes());
        header[24..32].copy_from_slice(&self.identity.0.to_le_bytes());
        header[32..40].copy_from_slice(&self.first.get().to_le_bytes());
        header[40..48].copy_from_slice(&self.created.micros().to_le_bytes());
        let crc = crc32c::crc32c(&header[..48]);
        header[48..].copy_from_slice(&crc.to_le_bytes());
        let mut block = [0; BLOCK];
        for at in COPIES_AT {
            block[at..at + HEADER_BYTES].copy_from_slice(&header);
        }
        block
    }

    /// Reads whichever copy is whole.
    pub(super) fn read(block: &[u8]) -> First {
        COPIES_AT
            .iter()
            .filter_map(|&at| block.get(at..)?.first_chunk::<HEADER_BYTES>())
            .find_map(Self::read_copy)
            .unwrap_or(First::Unreadable)
    }

    fn read_copy(header: &[u8; HEADER_BYTES]) -> Option<First> {
        let word = |at: usize| Some(u64::from_le_bytes(*header.get(at..)?.first_chunk()?));
        let half = |at: usize| Some(u32::from_le_bytes(*header.get(at..)?.first_chunk()?));
        if header[..8] != MAGIC || half(48)? != crc32c::crc32c(&header[..48]) {
            return None;
        }
        let format = half(8)?;
        if format > FORMAT {
            return Some(First::Format(format));
        }
        Some(First::Header(Self {
            sequence: word(16)?,
            identity: Identity(word(24)?),
            first: Position::new(word(32)?),
            created: Timestamp::from_micros(word(40)?.cast_signed()),
        }))
    }
}

/// A segment that holds records.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) header: Header,
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn File>,
    /// Length of the file.
    pub(super) bytes: u64,
    /// End of the durable bytes.
    readable: AtomicU64,
}

impl Segment {
    pub(super) fn new(
        header: Header,
        path: PathBuf,
        file: Arc<dyn File>,
        bytes: u64,
        readable: u64,
    ) -> Self {
        Self { header, path, file, bytes, readable: AtomicU64::new(readable) }
    }

    /// How far it may be read.
    pub(super) fn readable(&self) -> u64 {
        self.readable.load(Ordering::Acquire)
    }

    /// Moves that on, once the bytes are durable.
    pub(super) fn set_readable(&self, end: u64) {
        self.readable.store(end, Ordering::Release);
    }

    /// Makes sure that the next start will find this file where this one put it.
    ///
    /// # Errors
    /// [`Error::Gone`] if it will not, [`Error::Poisoned`] if that cannot be told.
    pub(super) fn check_place(&self) -> Result<(), Error> {
        match self.file.is_at(&self.path) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::Gone { path: self.path.clone() }),
            Err(source) => {
                Err(Error::Poisoned { action: "look for a segment", source: Arc::new(source) })
            }
        }
    }

    /// Wraps an IO error on this file.
    pub(super) fn error(&self, action: &'static str, source: std::io::Error) -> Error {
        Error::io(action, &self.path, source)
    }
}

/// What a file name in the journal's folder stands for; other names are not ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// Holds records, or was prepared to.
    Segment(u64),
    /// Waits to be used again.
    Spare(u64),
    /// Was being zero-filled.
    Unfinished(u64),
}

impl Name {
    pub(super) fn parse(name: &str) -> Option<Self> {
        let number = |digits: &str| {
            (digits.len() == 20).then_some(())?;
            digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
        };
        if let Some(rest) = name.strip_prefix("segment-") {
            return match rest.strip_suffix(".new") {
                Some(digits) => number(digits).map(Self::Unfinished),
                None => number(rest).map(Self::Segment),
            };
        }
        name.strip_prefix("spare-").and_then(number).map(Self::Spare)
    }

    pub(super) fn path(self, folder: &Path) -> PathBuf {
        folder.join(match self {
            Self::Segment(sequence) => format!("segment-{sequence:020}"),
            Self::Spare(sequence) => format!("spare-{sequence:020}"),
            Self::Unfinished(sequence) => format!("segment-{sequence:020}.new"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for name in [Name::Segment(7), Name::Spare(u64::MAX), Name::Unfinished(0)] {
            let path = name.path(Path::new("/j"));
            assert_eq!(path.file_name().and_then(|n| n.to_str()).and_then(Name::parse), Some(name));
        }
        for name in ["segment-7", "spare-", "segment-+0000000000000000007", "lock", "writer"] {
            assert_eq!(Name::parse(name), None, "{name}");
        }
    }

    #[test]
    fn one_copy_of_the_header_is_enough() {
        let header = Header {
            sequence: 3,
            identity: Identity(0x1234_5678_9abc_def0),
            first: Position::new(99),
            created: Timestamp::from_micros(-5),
        };
        let good = header.block();
        for at in 0..BLOCK {
            let mut block = good;
            block[at] ^= 0x10;
            assert_eq!(Header::read(&block), First::Header(header), "byte {at}");
        }
        assert_eq!(Header::read(&good[..2060]), First::Header(header));
        assert_eq!(Header::read(&[0; BLOCK]), First::Unreadable);
    }
}
