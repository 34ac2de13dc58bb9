//! The entries of one batch on disk, beside the journal.
//!
//! `KRDD`, format, batch number, earliest and latest arrival, count, then key and content of each
//! entry, then a CRC-32C over all of it; little-endian. Hashes only: nothing of an event.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::Arrivals;
use super::table::Entry;
use crate::clock::Timestamp;
use crate::storage::keys::Number;

const MAGIC: [u8; 4] = *b"KRDD";
const FORMAT: u32 = 1;
const HEADER_BYTES: usize = 40;
const ENTRY_BYTES: usize = 16;

/// What a file says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) number: Number,
    pub(super) arrivals: Option<Arrivals>,
    pub(super) entries: Vec<Entry>,
}

pub(super) fn path(folder: &Path, number: Number) -> PathBuf {
    folder.join(format!("{number}.bin"))
}

/// The number in a file's name.
pub(super) fn number(name: &str) -> Option<Number> {
    let number = Number(name.strip_suffix(".bin")?.parse().ok()?);
    (format!("{number}.bin") == name).then_some(number)
}

/// Writes a batch so that it survives power loss, in place of an earlier attempt.
pub(super) fn write(folder: &Path, batch: &Batch) -> io::Result<()> {
    let path = path(folder, batch.number);
    let aside = path.with_extension("tmp");
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    file.write_all(&encode(batch))?;
    file.sync_all()?;
    fs::rename(&aside, &path)?;
    File::open(folder)?.sync_all()
}

/// Reads a batch; an error of kind `InvalidData` if it is not whole.
pub(super) fn read(folder: &Path, number: Number) -> io::Result<Batch> {
    let bytes = fs::read(path(folder, number))?;
    decode(&bytes)
        .filter(|batch| batch.number == number)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "entries of a batch are damaged"))
}

fn encode(batch: &Batch) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_BYTES + batch.entries.len() * ENTRY_BYTES + 4);
    let arrivals = batch.arrivals.unwrap_or_default();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&FORMAT.to_le_bytes());
    out.extend_from_slice(&batch.number.0.to_le_bytes());
    out.extend_from_slice(&arrivals.first.micros().to_le_bytes());
    out.extend_from_slice(&arrivals.last.micros().to_le_bytes());
    out.extend_from_slice(&(batch.entries.len() as u64).to_le_bytes());
    for entry in &batch.entries {
        out.extend_from_slice(&entry.key.to_le_bytes());
        out.extend_from_slice(&entry.content.to_le_bytes());
    }
    out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
    out
}

fn decode(bytes: &[u8]) -> Option<Batch> {
    let (body, crc) = bytes.split_last_chunk::<4>()?;
    if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
        return None;
    }
    let (magic, rest) = body.split_first_chunk::<4>()?;
    let (format, rest) = rest.split_first_chunk::<4>()?;
    if *magic != MAGIC || u32::from_le_bytes(*format) != FORMAT {
        return None;
    }
    let (words, []) = rest.as_chunks::<8>() else { return None };
    let [number, first, last, count, entries @ ..] = words else { return None };
    let (pairs, []) = entries.as_chunks::<2>() else { return None };
    if usize::try_from(u64::from_le_bytes(*count)) != Ok(pairs.len()) {
        return None;
    }
    let moment = |bytes: &[u8; 8]| Timestamp::from_micros(i64::from_le_bytes(*bytes));
    let entry = |[key, content]: &[[u8; 8]; 2]| Entry {
        key: u64::from_le_bytes(*key),
        content: u64::from_le_bytes(*content),
    };
    Some(Batch {
        number: Number(u64::from_le_bytes(*number)),
        arrivals: (!pairs.is_empty())
            .then(|| Arrivals { first: moment(first), last: moment(last) }),
        entries: pairs.iter().map(entry).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch() -> Batch {
        let at = Timestamp::from_millis;
        Batch {
            number: Number(7),
            arrivals: Some(Arrivals { first: at(5), last: at(9) }),
            entries: vec![Entry { key: 1, content: 2 }, Entry { key: u64::MAX, content: 0 }],
        }
    }

    #[test]
    fn a_batch_is_read_back_and_replaced() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &batch()).unwrap();
        assert_eq!(read(dir.path(), Number(7)).unwrap(), batch());
        let empty = Batch { entries: Vec::new(), arrivals: None, ..batch() };
        write(dir.path(), &empty).unwrap();
        assert_eq!(read(dir.path(), Number(7)).unwrap(), empty);
    }

    #[test]
    fn every_flipped_or_missing_byte_is_noticed() {
        let whole = encode(&batch());
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x40;
            assert_eq!(decode(&flipped), None);
            assert_eq!(decode(&whole[..at]), None);
        }
    }

    #[test]
    fn names_are_numbers() {
        let name = path(Path::new(""), Number(12)).to_str().unwrap().to_owned();
        assert_eq!(number(&name), Some(Number(12)));
        for wrong in ["12.bin", "00000000000000000012.tmp", ""] {
            assert_eq!(number(wrong), None);
        }
    }
}
