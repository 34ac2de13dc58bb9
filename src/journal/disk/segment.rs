//! One segment file: its name and the block at its start.
//!
//! The header stands twice in its block, so that one bad sector takes neither the identity nor the
//! first position away. Before a file is used again its header is marked, so that whatever else an
//! earlier use left in it is known to have been given up.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::frame::Identity;
use super::super::{Error, Position};
use super::aligned::Aligned;
use super::files::{File, write_all};
use super::{BLOCK, BLOCK_BYTES, FORMAT};
use crate::clock::Timestamp;

/// Offset of the first frame.
pub(super) const FRAMES_AT: u64 = BLOCK_BYTES;
const MAGIC: [u8; 8] = *b"keelrowJ";
/// In the place of the other, once the records were given up.
const GIVEN_UP: [u8; 8] = *b"keelrowE";
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
    /// That of a segment whose records were given up: the file may be used again.
    GivenUp,
    /// No copy is whole: never used, or damaged.
    Unreadable,
    /// A later program's.
    Format(u32),
}

impl Header {
    /// The first block of a segment file.
    pub(super) fn block(&self) -> [u8; BLOCK] {
        self.block_with(MAGIC)
    }

    fn block_with(&self, magic: [u8; 8]) -> [u8; BLOCK] {
        let mut header = [0; HEADER_BYTES];
        header[..8].copy_from_slice(&magic);
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
        let (is_live, is_given_up) = (header[..8] == MAGIC, header[..8] == GIVEN_UP);
        if !(is_live || is_given_up) || half(48)? != crc32c::crc32c(&header[..48]) {
            return None;
        }
        let format = half(8)?;
        if format > FORMAT {
            return Some(First::Format(format));
        }
        if is_given_up {
            return Some(First::GivenUp);
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

    /// Marks the file as one whose records were given up, durably: only such a file is used again.
    ///
    /// # Errors
    /// [`Error::Io`]; the file may be marked or not then.
    pub(super) fn give_up(&self) -> Result<(), Error> {
        let mut block = Aligned::new(BLOCK);
        block.as_mut_slice().copy_from_slice(&self.header.block_with(GIVEN_UP));
        write_all(&*self.file, block.as_slice(), 0)
            .map_err(|stopped| self.error("write a segment", stopped.source))?;
        self.file.sync().map_err(|error| self.error("sync a segment", error))
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
    /// Holds records and fits nowhere.
    Stray(u64),
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
        if let Some(rest) = name.strip_prefix("stray-") {
            return number(rest).map(Self::Stray);
        }
        name.strip_prefix("spare-").and_then(number).map(Self::Spare)
    }

    /// The number in it.
    pub(super) const fn sequence(self) -> u64 {
        let (Self::Segment(sequence)
        | Self::Spare(sequence)
        | Self::Unfinished(sequence)
        | Self::Stray(sequence)) = self;
        sequence
    }

    pub(super) fn path(self, folder: &Path) -> PathBuf {
        folder.join(match self {
            Self::Segment(sequence) => format!("segment-{sequence:020}"),
            Self::Spare(sequence) => format!("spare-{sequence:020}"),
            Self::Unfinished(sequence) => format!("segment-{sequence:020}.new"),
            Self::Stray(sequence) => format!("stray-{sequence:020}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        let names = [Name::Segment(7), Name::Spare(u64::MAX), Name::Unfinished(0), Name::Stray(3)];
        for name in names {
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
