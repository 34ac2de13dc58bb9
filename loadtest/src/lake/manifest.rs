//! The manifests of a lake: their form, the chain they make, and the books they keep.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// Longest manifest that is read; a batch of 10,000 tables would stay below it.
const MANIFEST_BYTES_MAX: u64 = 64 << 20;

/// One committed batch.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Manifest {
    /// Version of the form; 1 is known here.
    pub(crate) format: u32,
    /// Who wrote it.
    pub(crate) writer: String,
    /// Its place in the writer's chain.
    pub(crate) number: u64,
    /// Checksum of the manifest before it; none for the first.
    pub(crate) previous: Option<String>,
    /// The journal records it covers.
    pub(crate) journal: Range,
    /// Checksum of its plan.
    pub(crate) plan: Option<String>,
    /// What became of the events.
    pub(crate) events: Books,
    /// The files it commits.
    pub(crate) files: Vec<File>,
}

/// Journal positions; the end is exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Range {
    /// First position.
    pub(crate) from: u64,
    /// One past the last.
    pub(crate) to: u64,
}

/// One batch's books.
#[derive(Clone, Copy, Debug, Default, Deserialize, serde::Serialize)]
pub(crate) struct Books {
    /// Events acknowledged.
    pub(crate) received: u64,
    /// Events in tables.
    pub(crate) loaded: u64,
    /// Left out as repeats.
    #[serde(default)]
    pub(crate) duplicate: u64,
    /// In the rejected table.
    #[serde(default)]
    pub(crate) rejected: u64,
    /// Dropped by a transformation.
    #[serde(default)]
    pub(crate) dropped: u64,
    /// On the suppression list.
    #[serde(default)]
    pub(crate) suppressed: u64,
    /// Lost to damage of the journal.
    #[serde(default)]
    pub(crate) damaged: u64,
    /// Made by transformations beyond those received.
    #[serde(default)]
    pub(crate) split: u64,
}

impl Books {
    /// Whether what came in is what went out.
    pub(crate) const fn balance(&self) -> bool {
        let out = self.loaded
            + self.duplicate
            + self.rejected
            + self.dropped
            + self.suppressed
            + self.damaged;
        self.received + self.split == out
    }

    /// Adds another batch's.
    pub(crate) const fn add(&mut self, other: &Self) {
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

/// One committed data file.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct File {
    /// Its path under the lake.
    pub(crate) path: String,
    /// The schema it belongs to.
    pub(crate) schema: String,
    /// The table it holds rows of.
    pub(crate) table: String,
    /// Rows in it.
    pub(crate) rows: u64,
    /// Its length.
    pub(crate) bytes: u64,
    /// Checksum of its bytes.
    pub(crate) sha256: String,
}

/// A manifest with what its file says beside its content.
#[derive(Clone, Debug)]
pub(crate) struct Committed {
    /// Where it lies.
    pub(crate) path: PathBuf,
    /// Checksum of its bytes, as hex digits.
    pub(crate) sha256: String,
    /// What it says.
    pub(crate) manifest: Manifest,
}

/// Reads every manifest of the lake, ordered by writer and number. A lake without any is empty.
///
/// # Errors
/// When a file cannot be read or is not a manifest.
pub(crate) fn read_all(lake: &Path) -> anyhow::Result<Vec<Committed>> {
    let mut found = Vec::new();
    for path in files_under(&lake.join("_keelrow/batches"))? {
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let name = path.display();
        let length = fs::metadata(&path).with_context(|| format!("look at {name}"))?.len();
        ensure!(length <= MANIFEST_BYTES_MAX, "{name} is too long for a manifest");
        let bytes = fs::read(&path).with_context(|| format!("read {name}"))?;
        let manifest: Manifest =
            serde_json::from_slice(&bytes).with_context(|| format!("read {name}"))?;
        ensure!(manifest.format == 1, "{name} has format {}, 1 is known", manifest.format);
        found.push(Committed { sha256: hex(&Sha256::digest(&bytes)), manifest, path });
    }
    found.sort_by(|a, b| {
        (&a.manifest.writer, a.manifest.number).cmp(&(&b.manifest.writer, b.manifest.number))
    });
    Ok(found)
}

/// The books of all manifests together; cheap enough to poll.
///
/// # Errors
/// When a manifest cannot be read.
pub(crate) fn books(lake: &Path) -> anyhow::Result<Books> {
    let mut sum = Books::default();
    for committed in read_all(lake)? {
        sum.add(&committed.manifest.events);
    }
    Ok(sum)
}

/// Every file under `folder`, sorted; none if there is no such folder.
///
/// # Errors
/// When a folder cannot be read.
pub(crate) fn files_under(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut open = vec![folder.to_owned()];
    let mut files = Vec::new();
    while let Some(folder) = open.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => continue,
            Err(fault) => return Err(fault).with_context(|| format!("list {}", folder.display())),
        };
        for entry in entries {
            let entry = entry.with_context(|| format!("list {}", folder.display()))?;
            let kind = entry.file_type().with_context(|| format!("list {}", folder.display()))?;
            if kind.is_dir() {
                open.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Checks one writer's manifests, in order: numbers without a gap, each naming the one before by
/// its checksum, journal ranges that touch, books that balance. Answers with what is wrong.
pub(crate) fn faults_of_chain(chain: &[Committed]) -> Vec<String> {
    let mut faults = Vec::new();
    for (index, committed) in chain.iter().enumerate() {
        let Manifest { writer, number, previous, events, journal, .. } = &committed.manifest;
        let mut fault = |text: String| faults.push(format!("batch {number} of {writer}: {text}"));
        if !events.balance() {
            fault(format!("its books do not balance: {events:?}"));
        }
        if journal.to < journal.from {
            fault(format!("its journal range {journal:?} runs backwards"));
        }
        let named = previous.as_deref().map(|text| text.strip_prefix("sha256:").unwrap_or(text));
        let Some(before) = index.checked_sub(1).and_then(|before| chain.get(before)) else {
            if named.is_some_and(|named| !named.is_empty()) {
                fault("it names a previous manifest that is not there".to_owned());
            }
            continue;
        };
        if before.manifest.number + 1 != *number {
            fault(format!("it follows batch {}", before.manifest.number));
        }
        if named != Some(before.sha256.as_str()) {
            fault("its `previous` is not the checksum of the manifest before".to_owned());
        }
        if before.manifest.journal.to != journal.from {
            fault(format!(
                "its journal range starts at {}, the one before ends at {}",
                journal.from, before.manifest.journal.to
            ));
        }
    }
    faults
}

/// Hex digits of a checksum.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(u32::from(digit), 16));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn committed(number: u64, previous: Option<&str>, from: u64, to: u64) -> Committed {
        Committed {
            path: PathBuf::new(),
            sha256: format!("sum{number}"),
            manifest: Manifest {
                format: 1,
                writer: "w".to_owned(),
                number,
                previous: previous.map(str::to_owned),
                journal: Range { from, to },
                plan: None,
                events: Books { received: 3, loaded: 2, duplicate: 1, ..Books::default() },
                files: Vec::new(),
            },
        }
    }

    #[test]
    fn a_chain_without_faults_is_silent() {
        let chain = [committed(0, None, 0, 5), committed(1, Some("sha256:sum0"), 5, 9)];
        assert_eq!(faults_of_chain(&chain), Vec::<String>::new());
    }

    #[test]
    fn every_break_of_a_chain_is_named() {
        let mut unbalanced = committed(1, Some("sha256:sum0"), 5, 9);
        unbalanced.manifest.events.loaded = 7;
        let rows = [
            (committed(2, Some("sha256:sum0"), 5, 9), "follows batch 0"),
            (committed(1, Some("sha256:other"), 5, 9), "previous"),
            (committed(1, None, 5, 9), "previous"),
            (committed(1, Some("sha256:sum0"), 6, 9), "starts at 6"),
            (committed(1, Some("sha256:sum0"), 5, 4), "backwards"),
            (unbalanced, "balance"),
        ];
        for (second, expected) in rows {
            let faults = faults_of_chain(&[committed(0, None, 0, 5), second]);
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert!(faults[0].contains(expected), "{faults:?}");
        }
        let headless = [committed(3, Some("sha256:gone"), 0, 5)];
        assert!(faults_of_chain(&headless)[0].contains("not there"));
    }
}
