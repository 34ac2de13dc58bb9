//! What a batch is: the object whose existence commits it.
//!
//! A manifest names the files of a batch, the journal range they came from and the books of that
//! range, and is chained to the one before by checksum. `proto/manifest.schema.json` is the wire
//! contract: keys are added, never changed. Unknown keys are ignored.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::keys::{Key, Number, Part};
use super::{Error, Store, lake};

/// The journal range of a batch, in record ordinals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// Which partition of the journal; 0 for a local one.
    pub partition: u32,
    /// The first record.
    pub from: u64,
    /// The first record after.
    pub to: u64,
}

/// What became of events; see docs/api.md, the books.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Taken in, answered with 200.
    pub received: u64,
    /// In data files.
    pub loaded: u64,
    /// Repeats, left out.
    pub duplicate: u64,
    /// In the table `rejected`.
    pub rejected: u64,
    /// Dropped by a transformation.
    pub dropped: u64,
    /// On the suppression list.
    pub suppressed: u64,
    /// Lost to damage of the journal's storage.
    pub damaged: u64,
    /// Made by a transformation beyond those received.
    pub split: u64,
}

impl Counts {
    /// Whether every event has one outcome.
    #[must_use]
    pub const fn balance(&self) -> bool {
        self.received + self.split
            == self.loaded
                + self.duplicate
                + self.rejected
                + self.dropped
                + self.suppressed
                + self.damaged
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.received += other.received;
        self.loaded += other.loaded;
        self.duplicate += other.duplicate;
        self.rejected += other.rejected;
        self.dropped += other.dropped;
        self.suppressed += other.suppressed;
        self.damaged += other.damaged;
        self.split += other.split;
    }
}

/// One data file of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Its key.
    pub path: String,
    /// The warehouse schema, `unified_<environment>` for a unified table.
    pub schema: String,
    /// The table.
    pub table: String,
    /// Rows in it.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// Checksum of its bytes, in hexadecimal.
    pub sha256: String,
    /// Which version of the table's columns it has.
    pub schema_version: u64,
    /// Earliest arrival among its rows.
    pub min_received_at: String,
    /// Latest arrival among its rows.
    pub max_received_at: String,
}

/// The batch that a batch of a rebuilt unified table was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rebuilds {
    /// Whose.
    pub writer: String,
    /// Which.
    pub number: Number,
    /// Checksum of its manifest.
    pub manifest: String,
}

/// What a batch is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Format of this object.
    pub format: u32,
    /// Whose chain.
    pub writer: String,
    /// Which link of it.
    pub number: Number,
    /// Checksum of the manifest before, none for the first.
    pub previous: Option<String>,
    /// What it was made of.
    pub journal: Range,
    /// The moment its journal range was opened.
    pub batch_time: String,
    /// UTC hour of arrival, as in the paths; the hours of a chain never go back.
    pub hour: String,
    /// Checksum of its plan.
    pub plan: String,
    /// The books of the range.
    pub events: Counts,
    /// The books of each source.
    #[serde(default)]
    pub sources: BTreeMap<String, Counts>,
    /// Its files, none if every event was a repeat or left no row.
    pub files: Vec<File>,
    /// The batch whose rows these are again, in a unified table that was made later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebuilds: Option<Rebuilds>,
}

impl Manifest {
    /// Writes and reads a manifest: canonical bytes.
    ///
    /// # Errors
    /// [`Error::Malformed`] if a value has no JSON form, which no field here lacks.
    pub fn to_bytes(&self) -> Result<Bytes, Error> {
        to_bytes(self, "manifest")
    }

    /// Reads the manifest found under `key`.
    ///
    /// # Errors
    /// [`Error::Malformed`] or [`Error::Format`].
    pub fn from_bytes(key: &Key, bytes: &[u8]) -> Result<Self, Error> {
        let found: Self = from_bytes(key, "manifest", bytes)?;
        lake::check_format(key, found.format)?;
        Ok(found)
    }

    /// Reads the manifest `number` of `writer`; `None` if that batch is not committed.
    ///
    /// # Errors
    /// What the store said, or as [`Manifest::from_bytes`].
    pub fn read(
        store: &Store,
        writer: &Part,
        number: Number,
    ) -> Result<Option<(Self, Bytes)>, Error> {
        let key = Key::Manifest(writer.clone(), number);
        let Some(bytes) = store.get(&key)? else { return Ok(None) };
        Ok(Some((Self::from_bytes(&key, &bytes)?, bytes)))
    }

    /// Finds the last manifest of `writer` at or after `from`, by reading and never by listing.
    ///
    /// # Errors
    /// What the store said, or as [`Manifest::from_bytes`].
    pub fn last(
        store: &Store,
        writer: &Part,
        from: Number,
    ) -> Result<Option<(Self, Bytes)>, Error> {
        let key = |number| Key::Manifest(writer.clone(), Number(number));
        let Some((number, bytes)) = store.last(from.0, key)? else { return Ok(None) };
        Ok(Some((Self::from_bytes(&key(number), &bytes)?, bytes)))
    }
}

/// The checksum of an object as other objects name it.
#[must_use]
pub fn checksum(bytes: &[u8]) -> String {
    format!("sha256:{}", hex_sha256(bytes))
}

/// The SHA-256 of `bytes` in hexadecimal.
#[must_use]
pub fn hex_sha256(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let digest = Sha256::digest(bytes);
    let nibbles = digest.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    nibbles.map(|nibble| DIGITS[usize::from(nibble)]).collect()
}

/// Writes an object: compact JSON in the order of its fields, one line.
///
/// # Errors
/// [`Error::Malformed`] if a value has no JSON form.
pub fn to_bytes<T: Serialize>(object: &T, what: &'static str) -> Result<Bytes, Error> {
    let malformed = |source| Error::Malformed { key: "a new object".into(), what, source };
    let mut bytes = serde_json::to_vec(object).map_err(malformed)?;
    bytes.push(b'\n');
    Ok(bytes.into())
}

/// Reads an object.
///
/// # Errors
/// [`Error::Malformed`].
pub fn from_bytes<T: for<'de> Deserialize<'de>>(
    key: &Key,
    what: &'static str,
    bytes: &[u8],
) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|source| Error::Malformed {
        key: key.to_string(),
        what,
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::storage::Options;
    use crate::storage::memory::{Faulty, Memory};

    fn manifest(number: u64) -> Manifest {
        Manifest {
            format: 1,
            writer: "node-1".into(),
            number: Number(number),
            previous: None,
            journal: Range { partition: 0, from: 0, to: 1 },
            batch_time: "2026-11-21T10:00:00.000Z".into(),
            hour: "2026/11/21/10".into(),
            plan: checksum(b""),
            events: Counts { received: 1, loaded: 1, ..Counts::default() },
            sources: BTreeMap::new(),
            files: Vec::new(),
            rebuilds: None,
        }
    }

    #[test]
    fn the_example_of_the_contract_is_read() {
        let text = br#"{"format":1,"writer":"node-1","number":42,"previous":"sha256:ab",
            "journal":{"partition":0,"from":1200,"to":5597},"batch_time":"2026-11-21T10:00:00.000Z",
            "hour":"2026/11/21/10","plan":"sha256:cd","events":{"received":4400,"loaded":4312,
            "duplicate":60,"rejected":20,"dropped":8,"suppressed":0,"damaged":0,"split":0},
            "files":[{"path":"p","schema":"mm_prod","table":"tracks","rows":4000,"bytes":123456,
            "sha256":"ef","schema_version":7,"min_received_at":"a","max_received_at":"b"}],
            "a_later_key":[1]}"#;
        let key = Key::Manifest(Part::new("node-1").unwrap(), Number(42));
        let read = Manifest::from_bytes(&key, text).unwrap();
        assert_eq!((read.number, read.journal.to), (Number(42), 5_597));
        assert!(read.events.balance());
    }

    #[test]
    fn a_checksum_is_that_of_the_standard() {
        // FIPS 180-2, appendix B.1.
        assert_eq!(
            hex_sha256(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn the_last_of_a_chain_is_found_by_few_reads() {
        let memory = Arc::new(Memory::default());
        let writer = Part::new("node-1").unwrap();
        for number in 1..=1_000 {
            let key = Key::Manifest(writer.clone(), Number(number));
            memory.replace(&key.to_string(), manifest(number).to_bytes().unwrap());
        }
        for (from, most) in [(0, 24), (1, 24), (990, 10), (1_000, 2)] {
            let counting = Arc::new(Faulty::new(Arc::<Memory>::clone(&memory)));
            let store = Store::new(Arc::<Faulty>::clone(&counting) as _, Options::default());
            let (found, _) = Manifest::last(&store, &writer, Number(from)).unwrap().unwrap();
            assert_eq!(found.number, Number(1_000));
            assert!(counting.operations() <= most, "{from}: {}", counting.operations());
        }
        let store = Store::new(memory, Options::default());
        assert!(Manifest::last(&store, &Part::new("other").unwrap(), Number(0)).unwrap().is_none());
    }
}
