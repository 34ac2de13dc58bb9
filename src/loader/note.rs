//! The small file beside the journal in which the loader notes its last batch.
//!
//! It says where to start reading the chain of manifests, and carries the books of all batches so
//! far, so that the counters go on after a restart. The truth is in the lake: a lost note costs
//! reading. A note of another writer, whose journal lay here before, is none.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Error;
use super::status::Report;
use crate::clock::Timestamp;
use crate::journal::Position;
use crate::storage::keys::Number;
use crate::storage::manifest::Counts;

/// Its format.
const FORMAT: u32 = 1;

/// What is noted.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Note {
    format: u32,
    pub(super) number: Number,
    pub(super) sources: BTreeMap<String, Counts>,
    /// Whose batch it was; the first programs did not say.
    #[serde(default)]
    writer: Option<String>,
    /// The first journal position after it; the first programs did not say.
    #[serde(default)]
    to: Option<u64>,
    /// The time by which the table of repeats had aged, in microseconds; the first programs did not say.
    #[serde(default)]
    time: Option<i64>,
}

/// The note in the loader's folder.
pub(super) fn path(folder: &Path) -> PathBuf {
    folder.join("last.json")
}

/// How far the loader of `writer` has come, as far as it noted that in its `folder`: for when the
/// lake cannot be asked. Keys and window of the table of repeats are not known then.
#[must_use]
pub fn noted(folder: &Path, writer: &str) -> Option<Report> {
    let Note { number, sources, to, .. } = read(&path(folder), writer).ok()??;
    Some(Report { number: Some(number), committed_to: to?, books: sources, ..Report::default() })
}

/// The first record that the loader of `writer` has in no batch, as far as it noted that.
#[must_use]
pub fn loaded_to(folder: &Path, writer: &str) -> Position {
    Position::new(noted(folder, writer).map_or(0, |report| report.committed_to))
}

impl Note {
    pub(super) fn new(
        writer: String,
        (number, to): (Number, u64),
        sources: BTreeMap<String, Counts>,
        time: Timestamp,
    ) -> Self {
        let (writer, to, time) = (Some(writer), Some(to), Some(time.micros()));
        Self { format: FORMAT, number, sources, writer, to, time }
    }

    /// The time by which the table of repeats had aged, if it says so.
    pub(super) fn time(&self) -> Option<Timestamp> {
        self.time.map(Timestamp::from_micros)
    }
}

/// Reads the note of `writer`; `None` if there is none.
pub(super) fn read(path: &Path, writer: &str) -> Result<Option<Note>, Error> {
    match fs::read(path) {
        // A damaged one may cost the books of earlier batches; where the chain ends is in the lake.
        Ok(bytes) => {
            let note: Option<Note> = serde_json::from_slice(&bytes).ok();
            let is_ours = |note: &Note| note.writer.as_deref().is_none_or(|name| name == writer);
            Ok(note.filter(is_ours))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Local { action: "read", path: path.into(), source }),
    }
}

/// Writes a note; on return it survives power loss.
pub(super) fn write(path: &Path, note: &Note) -> io::Result<()> {
    let Some(folder) = path.parent() else { return Err(io::ErrorKind::InvalidInput.into()) };
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let aside = path.with_extension("tmp");
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    file.write_all(&serde_json::to_vec(note)?)?;
    // The books of all earlier batches lie here and nowhere else in one place.
    file.sync_all()?;
    fs::rename(&aside, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_by_its_writer_only() {
        let folder = tempfile::tempdir().unwrap();
        let (folder, counts) =
            (folder.path().join("loader"), Counts { received: 3, ..Counts::default() });
        assert_eq!(noted(&folder, "node-1"), None);
        let books = BTreeMap::from([("web".to_owned(), counts)]);
        let note =
            Note::new("node-1".into(), (Number(7), 40), books.clone(), Timestamp::from_micros(5));
        write(&path(&folder), &note).unwrap();
        let time = read(&path(&folder), "node-1").unwrap().unwrap().time();
        assert_eq!(time, Some(Timestamp::from_micros(5)));
        let report = noted(&folder, "node-1").unwrap();
        assert_eq!(
            (report.number, report.committed_to, report.books),
            (Some(Number(7)), 40, books)
        );
        assert_eq!(noted(&folder, "node-2"), None);
        assert_eq!(loaded_to(&folder, "node-2"), Position::ZERO);
    }

    #[test]
    fn a_note_of_the_first_programs_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(folder.path());
        fs::write(&path, r#"{"format":1,"number":7,"sources":{"web":{"received":3}}}"#).unwrap();
        let note = read(&path, "node-1").unwrap().unwrap();
        assert_eq!((note.number, note.sources["web"].received), (Number(7), 3));
        assert_eq!(note.time(), None);
        assert_eq!(noted(folder.path(), "node-1"), None, "it does not say how far");
    }
}
