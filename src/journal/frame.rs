//! The bytes of one frame: a header with its own checksum, then the payload.
//!
//! All numbers are little-endian. The same layout is told in docs/journal-format.md.
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 4 | magic `KRf1` |
//! | 4 | 2 | header length, the source and everything after it included |
//! | 6 | 1 | kind |
//! | 7 | 1 | length of the source id |
//! | 8 | 4 | count of events |
//! | 12 | 4 | payload length |
//! | 16 | 8 | position |
//! | 24 | 8 | position known durable when the frame was written |
//! | 32 | 8 | identity of the segment |
//! | 40 | 4 | CRC-32C of the payload |
//! | 44 | 4 | CRC-32C of the header, with these four bytes left out |
//! | 48 | n | source id, UTF-8 |

use super::Position;

/// First bytes of every frame.
pub(super) const MAGIC: [u8; 4] = *b"KRf1";
/// Header bytes before the source id.
pub(super) const FIXED_BYTES: usize = 48;
/// Longest source id: its length is one byte.
pub(super) const SOURCE_BYTES_MAX: usize = 255;

const HEADER_LENGTH_AT: usize = 4;
const KIND_AT: usize = 6;
const SOURCE_LENGTH_AT: usize = 7;
const COUNT_AT: usize = 8;
const PAYLOAD_LENGTH_AT: usize = 12;
const POSITION_AT: usize = 16;
const DURABLE_AT: usize = 24;
const IDENTITY_AT: usize = 32;
const PAYLOAD_CRC_AT: usize = 40;
const HEADER_CRC_AT: usize = 44;

/// Names one use of one segment file, so that what an earlier use left is not taken for live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity(pub(super) u64);

impl Identity {
    /// Bits that repeat the sequence number of the segment; the rest is random.
    const SEQUENCE_BITS: u32 = 24;

    /// The identity of the segment with this number; `random` must not be known outside.
    pub(super) const fn new(sequence: u64, random: u64) -> Self {
        Self(random << Self::SEQUENCE_BITS | Self::of_sequence(sequence))
    }

    /// Whether it can be the identity of the segment with this number.
    pub(super) const fn belongs_to(self, sequence: u64) -> bool {
        Self::of_sequence(self.0) == Self::of_sequence(sequence)
    }

    /// The sequence number that it repeats; the digits it has no room for are those of `sequence`.
    pub(super) const fn sequence_near(self, sequence: u64) -> u64 {
        sequence - Self::of_sequence(sequence) + Self::of_sequence(self.0)
    }

    const fn of_sequence(sequence: u64) -> u64 {
        sequence & ((1 << Self::SEQUENCE_BITS) - 1)
    }
}

/// What the header says, read from bytes whose header checksum is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header<'a> {
    pub(super) kind: u8,
    pub(super) count: u32,
    pub(super) source: &'a str,
    pub(super) position: Position,
    pub(super) durable: Position,
    pub(super) identity: Identity,
    pub(super) header_bytes: usize,
    pub(super) payload_bytes: usize,
    pub(super) payload_crc: u32,
}

impl<'a> Header<'a> {
    /// Reads the header at the start of `bytes`; `None` if there is none or it is damaged.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let fixed: &[u8; FIXED_BYTES] = bytes.first_chunk()?;
        if fixed[..MAGIC.len()] != MAGIC {
            return None;
        }
        let header_bytes = usize::from(u16::from_le_bytes(field(fixed, HEADER_LENGTH_AT)));
        let header = bytes.get(..header_bytes)?;
        let source_end = FIXED_BYTES + usize::from(fixed[SOURCE_LENGTH_AT]);
        let source = header.get(FIXED_BYTES..source_end)?;
        let stored = u32::from_le_bytes(field(fixed, HEADER_CRC_AT));
        if header_crc(header) != stored {
            return None;
        }
        Some(Self {
            kind: fixed[KIND_AT],
            count: u32::from_le_bytes(field(fixed, COUNT_AT)),
            source: std::str::from_utf8(source).ok()?,
            position: Position::new(u64::from_le_bytes(field(fixed, POSITION_AT))),
            durable: Position::new(u64::from_le_bytes(field(fixed, DURABLE_AT))),
            identity: Identity(u64::from_le_bytes(field(fixed, IDENTITY_AT))),
            header_bytes,
            payload_bytes: usize::try_from(u32::from_le_bytes(field(fixed, PAYLOAD_LENGTH_AT)))
                .ok()?,
            payload_crc: u32::from_le_bytes(field(fixed, PAYLOAD_CRC_AT)),
        })
    }

    /// Bytes of header and payload.
    pub(super) const fn frame_bytes(&self) -> usize {
        self.header_bytes + self.payload_bytes
    }
}

/// The header length that the header at the start of `bytes` names, its checksum not yet looked at.
pub(super) fn header_bytes(bytes: &[u8]) -> Option<usize> {
    let length = bytes.get(HEADER_LENGTH_AT..)?.first_chunk()?;
    Some(usize::from(u16::from_le_bytes(*length)))
}

/// Writes a header whose payload, place and checksums are filled in later.
pub(super) fn begin(bytes: &mut Vec<u8>, kind: u8, source: &str, source_bytes: u8, count: u32) {
    const FIXED: u16 = 48;
    let header_bytes = FIXED + u16::from(source_bytes);
    let mut fixed = [0; FIXED_BYTES];
    put(&mut fixed, 0, MAGIC);
    put(&mut fixed, HEADER_LENGTH_AT, header_bytes.to_le_bytes());
    fixed[KIND_AT] = kind;
    fixed[SOURCE_LENGTH_AT] = source_bytes;
    put(&mut fixed, COUNT_AT, count.to_le_bytes());
    bytes.extend_from_slice(&fixed);
    bytes.extend_from_slice(source.as_bytes());
}

/// Fills in what depends on the payload. `frame` starts with the header.
pub(super) fn seal(frame: &mut [u8], payload_bytes: u32, payload_crc: u32) {
    put(frame, PAYLOAD_LENGTH_AT, payload_bytes.to_le_bytes());
    put(frame, PAYLOAD_CRC_AT, payload_crc.to_le_bytes());
}

/// Fills in where the frame goes, and the header's checksum. `frame` starts with the header.
pub(super) fn place(frame: &mut [u8], position: Position, durable: Position, identity: Identity) {
    put(frame, POSITION_AT, position.get().to_le_bytes());
    put(frame, DURABLE_AT, durable.get().to_le_bytes());
    put(frame, IDENTITY_AT, identity.0.to_le_bytes());
    let crc = header_bytes(frame).and_then(|bytes| frame.get(..bytes)).map_or(0, header_crc);
    put(frame, HEADER_CRC_AT, crc.to_le_bytes());
}

fn header_crc(header: &[u8]) -> u32 {
    let before = header.get(..HEADER_CRC_AT).unwrap_or_default();
    let after = header.get(FIXED_BYTES..).unwrap_or_default();
    crc32c::crc32c_append(crc32c::crc32c(before), after)
}

fn field<const N: usize>(fixed: &[u8; FIXED_BYTES], at: usize) -> [u8; N] {
    let mut value = [0; N];
    value.copy_from_slice(&fixed[at..at + N]);
    value
}

fn put<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) {
    if let Some(place) = bytes.get_mut(at..at + N) {
        place.copy_from_slice(&value);
    }
}
