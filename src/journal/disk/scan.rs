//! Walks the frames of one segment, and finds the way again behind damaged ones.
//!
//! A frame counts only if its header's checksum is right, it names the segment's identity and its
//! position is not one already passed: remains of earlier uses fail that. Behind a damaged header
//! the next frame is searched byte by byte; the identity is random and never leaves the journal,
//! so no payload can pose as a frame. Reader, recovery and verification all go through here.

use std::ops::Range;
use std::sync::Arc;

use memchr::memmem::Finder;

use super::super::frame::{self, Header, Identity};
use super::super::{Damaged, Frame, Position};
use super::BLOCK_BYTES;
use super::aligned::{Aligned, whole_blocks};
use super::files::File;

/// Bytes read at once: large enough that the disk's latency does not show, small enough for the
/// second-level cache.
const CHUNK_BYTES: usize = 256 * 1024;

/// A part of a file in memory.
#[derive(Debug)]
pub(super) struct Window {
    file: Arc<dyn File>,
    buffer: Aligned,
    start: u64,
    filled: usize,
}

impl Window {
    pub(super) fn new(file: Arc<dyn File>) -> Self {
        Self { file, buffer: Aligned::new(CHUNK_BYTES), start: 0, filled: 0 }
    }

    /// Takes another file, and keeps the buffer.
    pub(super) fn switch(&mut self, file: Arc<dyn File>) {
        self.file = file;
        (self.start, self.filled) = (0, 0);
    }

    /// The bytes from `at` on: at least `want` of them unless `limit` or the file ends before,
    /// none past `limit`.
    pub(super) fn bytes(&mut self, at: u64, want: usize, limit: u64) -> std::io::Result<&[u8]> {
        let want = want.min(usize::try_from(limit.saturating_sub(at)).unwrap_or(usize::MAX));
        let inside = at >= self.start && at + want as u64 <= self.start + self.filled as u64;
        if !inside {
            self.load(at, want, limit)?;
        }
        let from = usize::try_from(at.saturating_sub(self.start)).unwrap_or(usize::MAX);
        let to = self.filled.min(usize::try_from(limit - self.start).unwrap_or(usize::MAX));
        Ok(self.buffer.as_slice().get(from..to).unwrap_or_default())
    }

    fn load(&mut self, at: u64, want: usize, limit: u64) -> std::io::Result<()> {
        let start = at - at % BLOCK_BYTES;
        let lead = usize::try_from(at - start).unwrap_or_default();
        let room = (lead + want).max(CHUNK_BYTES);
        if self.buffer.room() < room || (self.buffer.room() > CHUNK_BYTES && room == CHUNK_BYTES) {
            self.buffer = Aligned::new(room);
        }
        let most = usize::try_from(whole_blocks(limit - start)).unwrap_or(usize::MAX);
        let room = self.buffer.room().min(most);
        (self.start, self.filled) = (start, 0);
        let place = self.buffer.as_mut_slice().get_mut(..room).unwrap_or_default();
        self.filled = self.file.read_at(place, start)?;
        Ok(())
    }
}

/// A frame whose header is whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    /// Offset of its first byte.
    pub(super) at: u64,
    pub(super) position: Position,
    pub(super) durable: Position,
    pub(super) identity: Identity,
    kind: u8,
    count: u32,
    source_bytes: usize,
    header_bytes: usize,
    frame_bytes: usize,
    payload_crc: u32,
}

impl Found {
    pub(super) const fn end(&self) -> u64 {
        self.at + self.frame_bytes as u64
    }

    fn new(at: u64, header: &Header<'_>) -> Self {
        Self {
            at,
            position: header.position,
            durable: header.durable,
            identity: header.identity,
            kind: header.kind,
            count: header.count,
            source_bytes: header.source.len(),
            header_bytes: header.header_bytes,
            frame_bytes: header.frame_bytes(),
            payload_crc: header.payload_crc,
        }
    }

    /// The source id in the frame's bytes, which were checked when it was found.
    fn source<'a>(&self, bytes: &'a [u8]) -> Option<&'a str> {
        let source = bytes.get(frame::FIXED_BYTES..frame::FIXED_BYTES + self.source_bytes)?;
        std::str::from_utf8(source).ok()
    }

    fn payload<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        bytes.get(self.header_bytes..self.frame_bytes)
    }
}

/// Where a walk through a segment stands.
#[derive(Debug)]
pub(super) struct Scan {
    window: Window,
    identity: Option<Identity>,
    finder: Finder<'static>,
    /// Offset that the next frame is looked for at.
    pub(super) at: u64,
    /// Position that the next frame should have.
    pub(super) expected: Position,
}

/// What a walk comes by.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// A whole record: ask [`Scan::frame`] for it.
    Frame(Found),
    /// Records that are lost, and the bytes where they were.
    Damaged(Damaged, Range<u64>),
    /// All records below the end were passed.
    End,
}

impl Scan {
    /// Starts at an offset; `None` takes frames of any identity.
    pub(super) fn new(
        window: Window,
        identity: Option<Identity>,
        at: u64,
        expected: Position,
    ) -> Self {
        Self { window, identity, finder: Finder::new(&frame::MAGIC), at, expected }
    }

    /// Goes on in another segment, and keeps the buffer.
    pub(super) fn switch(&mut self, file: Arc<dyn File>, identity: Identity, at: u64) {
        self.window.switch(file);
        self.identity = Some(identity);
        self.at = at;
    }

    /// The next record below the position `end` in the bytes below the offset `limit`.
    pub(super) fn step(&mut self, end: Position, limit: u64) -> std::io::Result<Step> {
        if self.expected >= end {
            return Ok(Step::End);
        }
        let from = self.at;
        let next = self.find(limit)?;
        let Some(found) = next.filter(|found| found.position < end) else {
            self.at = next.map_or_else(|| limit.max(from), |found| found.at);
            return Ok(self.lost(end, from..self.at));
        };
        if found.position > self.expected {
            self.at = found.at;
            return Ok(self.lost(found.position, from..found.at));
        }
        let bytes = self.window.bytes(found.at, found.frame_bytes, limit)?;
        let payload = found.payload(bytes);
        self.expected = found.position.plus(1);
        if payload.is_some_and(|payload| crc32c::crc32c(payload) == found.payload_crc) {
            self.at = found.end();
            return Ok(Step::Frame(found));
        }
        let positions = found.position..self.expected;
        let source = found.source(bytes).map(str::to_owned);
        let (count, kind) = (u64::from(found.count), Some(found.kind));
        let damaged = Damaged { positions, source, count, kind };
        let whole = found.end() <= limit;
        self.at = if whole { found.end() } else { found.at + found.header_bytes as u64 };
        Ok(Step::Damaged(damaged, found.at..found.end().min(limit)))
    }

    /// The record that the last [`Step::Frame`] named.
    pub(super) fn frame(&mut self, found: &Found, limit: u64) -> std::io::Result<Frame<'_>> {
        let bytes = self.window.bytes(found.at, found.frame_bytes, limit)?;
        let (Some(source), Some(payload)) = (found.source(bytes), found.payload(bytes)) else {
            // Read whole a moment ago: the disk answers differently each time.
            return Err(std::io::ErrorKind::InvalidData.into());
        };
        let (position, kind, count) = (found.position, found.kind, found.count);
        Ok(Frame { position, kind, count, source, payload })
    }

    /// Passes the records below `position` without a look at their payloads; returns the position
    /// after the last one that is there.
    pub(super) fn skip_to(&mut self, position: Position, limit: u64) -> std::io::Result<Position> {
        let mut passed = self.expected;
        while self.expected < position {
            match self.find(limit)? {
                Some(found) if found.position < position => {
                    self.expected = found.position.plus(1);
                    self.at = found.end();
                    passed = self.expected;
                }
                Some(found) => {
                    self.expected = position;
                    self.at = found.at;
                }
                None => self.expected = position,
            }
        }
        Ok(passed)
    }

    /// Finds the next whole header at or behind `self.at` whose position is not passed yet.
    pub(super) fn find(&mut self, limit: u64) -> std::io::Result<Option<Found>> {
        let mut at = self.at;
        if at < limit
            && let Some(found) = self.candidate(at, limit)?
        {
            return Ok(Some(found));
        }
        while at < limit {
            let bytes = self.window.bytes(at, frame::FIXED_BYTES, limit)?;
            if bytes.len() < frame::FIXED_BYTES {
                return Ok(None);
            }
            let Some(hit) = self.finder.find(bytes) else {
                at += (bytes.len() - (frame::MAGIC.len() - 1)) as u64;
                continue;
            };
            at += hit as u64;
            if let Some(found) = self.candidate(at, limit)? {
                return Ok(Some(found));
            }
            at += 1;
        }
        Ok(None)
    }

    fn candidate(&mut self, at: u64, limit: u64) -> std::io::Result<Option<Found>> {
        let mut bytes = self.window.bytes(at, frame::FIXED_BYTES, limit)?;
        if !bytes.starts_with(&frame::MAGIC) {
            return Ok(None);
        }
        let Some(want) = frame::header_bytes(bytes) else { return Ok(None) };
        if bytes.len() < want {
            bytes = self.window.bytes(at, want, limit)?;
        }
        Ok(Header::read(bytes)
            .filter(|header| self.identity.is_none_or(|identity| identity == header.identity))
            .filter(|header| header.position >= self.expected)
            .map(|header| Found::new(at, &header)))
    }

    /// Books the positions up to `end` as lost without a header.
    fn lost(&mut self, end: Position, bytes: Range<u64>) -> Step {
        let positions = self.expected..end;
        self.expected = end;
        let count = positions.end.since(positions.start);
        Step::Damaged(Damaged { positions, source: None, count, kind: None }, bytes)
    }
}
