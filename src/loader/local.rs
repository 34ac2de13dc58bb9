//! The finished parts of the open batch, before they are in the lake: small ones in memory, others in
//! local files. Most batches of many tables are small parts only, and a local file costs more than
//! the part it would hold for a moment.

use std::collections::HashMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::Error;
use crate::columnar::Files;

/// Longest part that is kept in memory.
const PART_BYTES_MAX: usize = 1 << 20;

/// Bytes that all parts kept in memory may have together.
const ALL_BYTES_MAX: usize = 16 << 20;

/// Makes the folder of a batch's local files, without those of an earlier one.
pub(super) fn make_empty(folder: &Path) -> Result<(), Error> {
    let failed = |source| Error::Local { action: "make folder", path: folder.into(), source };
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)
}

/// A part's bytes.
#[derive(Clone, Debug)]
pub enum Content {
    /// In memory.
    Memory(Bytes),
    /// In a local file.
    File(PathBuf),
}

impl Content {
    /// How many bytes there are.
    ///
    /// # Errors
    /// The file cannot be looked at.
    pub fn size(&self) -> io::Result<u64> {
        match self {
            Self::Memory(bytes) => Ok(bytes.len() as u64),
            Self::File(path) => Ok(std::fs::metadata(path)?.len()),
        }
    }

    /// All of them.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(&self) -> io::Result<Bytes> {
        match self {
            Self::Memory(bytes) => Ok(bytes.clone()),
            Self::File(path) => Ok(Bytes::from(std::fs::read(path)?)),
        }
    }

    /// Where it is, for errors.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Memory(_) => Path::new("memory"),
            Self::File(path) => path,
        }
    }
}

/// The parts of a batch by number of the table and of the part.
#[derive(Debug, Default)]
pub(super) struct Parts {
    folder: PathBuf,
    in_memory: Mutex<HashMap<(usize, u32), Bytes>>,
    used: AtomicUsize,
}

impl Parts {
    /// Local files go to `folder`.
    pub(super) fn new(folder: PathBuf) -> Arc<Self> {
        Arc::new(Self { folder, ..Self::default() })
    }

    /// A part that is finished.
    pub(super) fn take(&self, table: usize, part: u32) -> Content {
        let mut in_memory = self.in_memory.lock().unwrap_or_else(PoisonError::into_inner);
        match in_memory.remove(&(table, part)) {
            Some(bytes) => Content::Memory(bytes),
            None => Content::File(self.path(table, part)),
        }
    }

    fn path(&self, table: usize, part: u32) -> PathBuf {
        self.folder.join(format!("{table}-{part}"))
    }
}

/// Makes the parts of one table. They hold transformed data only, and are for us alone.
pub(super) struct TableParts {
    pub(super) parts: Arc<Parts>,
    pub(super) table: usize,
}

impl Files for TableParts {
    fn create(&mut self, part: u32) -> io::Result<Box<dyn Write + Send>> {
        let parts = Arc::clone(&self.parts);
        Ok(Box::new(Growing { parts, table: self.table, part, held: Vec::new(), file: None }))
    }
}

/// A part that is being written.
struct Growing {
    parts: Arc<Parts>,
    table: usize,
    part: u32,
    held: Vec<u8>,
    file: Option<io::BufWriter<File>>,
}

impl Growing {
    /// Goes on in a file.
    fn spill(&mut self) -> io::Result<&mut io::BufWriter<File>> {
        let path = self.parts.path(self.table, self.part);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        let mut file = io::BufWriter::new(file);
        let held = std::mem::take(&mut self.held);
        file.write_all(&held)?;
        self.parts.used.fetch_sub(held.len(), Ordering::Relaxed);
        Ok(self.file.insert(file))
    }
}

impl Write for Growing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            return file.write_all(bytes);
        }
        let used = self.parts.used.load(Ordering::Relaxed) + bytes.len();
        if self.held.len() + bytes.len() > PART_BYTES_MAX || used > ALL_BYTES_MAX {
            return self.spill()?.write_all(bytes);
        }
        self.parts.used.fetch_add(bytes.len(), Ordering::Relaxed);
        self.held.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for Growing {
    /// The part is finished, or its batch is void.
    fn drop(&mut self) {
        if self.file.is_none() {
            let mut in_memory = self.parts.in_memory.lock().unwrap_or_else(PoisonError::into_inner);
            let held = std::mem::take(&mut self.held);
            in_memory.insert((self.table, self.part), Bytes::from(held));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(parts: &Arc<Parts>, table: usize, pieces: &[&[u8]]) -> Content {
        let mut files = TableParts { parts: Arc::clone(parts), table };
        let mut part = files.create(0).unwrap();
        pieces.iter().for_each(|piece| part.write_all(piece).unwrap());
        part.flush().unwrap();
        drop(part);
        parts.take(table, 0)
    }

    #[test]
    fn small_parts_stay_in_memory_and_large_ones_become_files() {
        let folder = tempfile::tempdir().unwrap();
        let parts = Parts::new(folder.path().to_owned());
        let small = write(&parts, 0, &[b"one", b"two"]);
        assert!(matches!(small, Content::Memory(_)));
        assert_eq!((small.size().unwrap(), small.read().unwrap()), (6, Bytes::from("onetwo")));
        let half = vec![7; PART_BYTES_MAX / 2 + 1];
        let large = write(&parts, 1, &[&half, &half, b"end"]);
        assert_eq!(large.path(), folder.path().join("1-0"));
        assert_eq!(large.read().unwrap(), [&half[..], &half, b"end"].concat());
        assert_eq!(large.size().unwrap(), large.read().unwrap().len() as u64);
    }

    #[test]
    fn memory_is_bounded_over_all_parts() {
        let folder = tempfile::tempdir().unwrap();
        let parts = Parts::new(folder.path().to_owned());
        let whole = vec![1; PART_BYTES_MAX];
        let in_memory = (0..40)
            .map(|table| write(&parts, table, &[&whole]))
            .filter(|content| matches!(content, Content::Memory(_)))
            .count();
        assert_eq!(in_memory, ALL_BYTES_MAX / PART_BYTES_MAX);
    }
}
