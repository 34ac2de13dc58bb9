//! Bit flips in a chosen record of a journal, found on the disk by what docs/journal-format.md says.

use std::path::PathBuf;

use keelrow::journal::disk::memory::Disk;

use super::dice::Dice;

const MAGIC: &[u8] = b"KRf1";
const POSITION_AT: usize = 16;
const PAYLOAD_CRC_AT: usize = 40;
const HEADER_CRC_AT: usize = 44;
const FIXED_BYTES: usize = 48;

/// Where a frame lies.
struct Place {
    path: PathBuf,
    at: usize,
    header_bytes: usize,
    bytes: Vec<u8>,
}

/// Flips a bit of the record; with `reseal` so that its checksums hold all the same. False if it is
/// not on the disk.
pub(super) fn flip(disk: &Disk, position: u64, serial: u64, reseal: bool, dice: &mut Dice) -> bool {
    let Some(place) = find(disk, position, serial) else { return false };
    let Place { path, at, header_bytes, mut bytes } = place;
    let before = bytes.clone();
    let from = if reseal { header_bytes } else { 0 };
    let byte = from + usize::try_from(dice.roll((bytes.len() - from) as u64)).unwrap();
    bytes[byte] ^= 1 << dice.roll(8);
    if reseal {
        let crc = crc32c::crc32c(&bytes[header_bytes..]);
        bytes[PAYLOAD_CRC_AT..HEADER_CRC_AT].copy_from_slice(&crc.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..HEADER_CRC_AT]);
        let crc = crc32c::crc32c_append(crc, &bytes[FIXED_BYTES..header_bytes]);
        bytes[HEADER_CRC_AT..FIXED_BYTES].copy_from_slice(&crc.to_le_bytes());
    }
    for (offset, (before, after)) in before.iter().zip(&bytes).enumerate() {
        if before != after {
            disk.flip(&path, at + offset, before ^ after);
        }
    }
    true
}

fn find(disk: &Disk, position: u64, serial: u64) -> Option<Place> {
    let number = format!("\"n\":{serial}}}");
    for path in disk.paths() {
        let name = path.file_name().unwrap().to_str().unwrap();
        if !name.starts_with("segment-") || path.parent() != Some("/journal".as_ref()) {
            continue;
        }
        let file = disk.bytes(&path).unwrap();
        for at in memchr::memmem::find_iter(&file, MAGIC) {
            let Some(frame) = file.get(at..).filter(|frame| frame.len() > FIXED_BYTES) else {
                continue;
            };
            let half = |at: usize| u32::from_le_bytes(frame[at..at + 4].try_into().unwrap());
            let header_bytes = usize::from(u16::from_le_bytes([frame[4], frame[5]]));
            let is_it = frame[POSITION_AT..POSITION_AT + 8] == position.to_le_bytes();
            let end = header_bytes + usize::try_from(half(12)).unwrap();
            let Some(bytes) = frame.get(..end).filter(|_| is_it) else { continue };
            if memchr::memmem::find(bytes, number.as_bytes()).is_some() {
                let bytes = bytes.to_vec();
                return Some(Place { path, at, header_bytes, bytes });
            }
        }
    }
    None
}
