//! A group of frames, encoded on the thread that appends it.
//!
//! The payload is written straight into the group and its checksum computed here, so that the one
//! writer thread has only places and header checksums left to fill in.

use std::fmt;
use std::ops::Range;

use super::frame::{self, Identity};
use super::{Error, Position};

/// Largest payload of one frame. An event is at most 4 MiB on the way in; 32 MiB leaves room for
/// what a transformation adds and still fits a default segment.
pub const PAYLOAD_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Records that are appended together and acknowledged together.
#[derive(Default)]
pub struct Group {
    bytes: Vec<u8>,
    starts: Vec<usize>,
    events: u64,
}

impl Group {
    /// An empty group with room for `frames` records of `bytes` bytes in all, headers included.
    #[must_use]
    pub fn with_capacity(frames: usize, bytes: usize) -> Self {
        let mut group = Self::default();
        group.reserve(frames, bytes);
        group
    }

    /// Makes room for `frames` more records of `bytes` bytes in all, headers included.
    pub fn reserve(&mut self, frames: usize, bytes: usize) {
        self.starts.reserve(frames);
        self.bytes.reserve(bytes);
    }

    /// Adds a record that stands for `count` events of `source`; `write` appends its payload.
    ///
    /// `write` must only append: what lies in the buffer before is the group's.
    ///
    /// # Errors
    /// [`Error::SourceTooLong`] before `write` is called, [`Error::TooLarge`] after it; the group
    /// is then as it was before.
    pub fn frame(
        &mut self,
        kind: u8,
        source: &str,
        count: u32,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Error> {
        let source_bytes = u8::try_from(source.len()).map_err(|_| Error::SourceTooLong {
            bytes: source.len(),
            limit_bytes: frame::SOURCE_BYTES_MAX,
        })?;
        let start = self.bytes.len();
        frame::begin(&mut self.bytes, kind, source, source_bytes, count);
        let payload_start = self.bytes.len();
        write(&mut self.bytes);
        debug_assert!(self.bytes.len() >= payload_start, "the payload writer only appends");
        let payload = self.bytes.get(payload_start..).unwrap_or_default();
        let (bytes, crc) = (payload.len(), crc32c::crc32c(payload));
        let Some(length) = u32::try_from(bytes).ok().filter(|_| bytes <= PAYLOAD_BYTES_MAX) else {
            self.bytes.truncate(start);
            let limit_bytes = PAYLOAD_BYTES_MAX as u64;
            return Err(Error::TooLarge { bytes: bytes as u64, limit_bytes });
        };
        frame::seal(&mut self.bytes[start..], length, crc);
        self.starts.push(start);
        self.events += u64::from(count);
        Ok(())
    }

    /// Adds a record whose payload is at hand; see [`Group::frame`].
    ///
    /// # Errors
    /// As [`Group::frame`].
    pub fn push(
        &mut self,
        kind: u8,
        source: &str,
        count: u32,
        payload: &[u8],
    ) -> Result<(), Error> {
        self.bytes.reserve(frame::FIXED_BYTES + source.len() + payload.len());
        self.frame(kind, source, count, |bytes| bytes.extend_from_slice(payload))
    }

    /// How many records it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether it holds no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// How many events its records stand for.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.events
    }

    /// Bytes of its records, headers included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Gives each frame its place, the first one at `first`; returns the finished bytes.
    pub(super) fn place(
        &mut self,
        first: Position,
        durable: Position,
        identity: Identity,
    ) -> &[u8] {
        for (position, &start) in (first.get()..).zip(&self.starts) {
            if let Some(bytes) = self.bytes.get_mut(start..) {
                frame::place(bytes, Position::new(position), durable, identity);
            }
        }
        &self.bytes
    }

    /// The positions it takes when its first record is at `first`.
    pub(super) fn positions(&self, first: Position) -> Range<Position> {
        first..first.plus(self.starts.len() as u64)
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("records", &self.starts.len())
            .field("events", &self.events)
            .field("bytes", &self.bytes.len())
            .finish()
    }
}
