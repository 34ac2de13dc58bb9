//! Files in memory that lose power, run out of space and fail on demand.
//!
//! For tests and simulations of whatever stands on a journal. A clone is the same disk, so a
//! journal can be opened again on what an earlier one left. What was not synced may or may not
//! survive [`Disk::lose_power`], sector by sector, as on real disks.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::files::{File, Files, Lock, Open};

/// What disks write whole or not at all.
const SECTOR_BYTES: usize = 512;

/// A disk in memory; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    /// What was done to names since their folder was synced, in order: each survives with all
    /// before it or not at all, as in file systems with a journal.
    doubtful: Vec<Naming>,
    files: Vec<Content>,
    locked: HashSet<PathBuf>,
    faults: Faults,
}

/// One operation on names: what each path stands for after it, nothing if it is gone.
type Naming = Vec<(PathBuf, Option<usize>)>;

#[derive(Clone, Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    dirty: BTreeSet<usize>,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// The disk holds no more than this; unlimited when `None`.
    pub space_bytes: Option<u64>,
    /// Every sync fails, and what was to be synced is in doubt: it is read back until power is
    /// lost, and a later sync does not bring it to the disk unless it is written again.
    pub syncs_fail: bool,
    /// Syncs answer at once and do nothing: a disk with a cache that lies.
    pub syncs_lie: bool,
    /// So many operations that change something go on, then every one fails: the machine stops
    /// between two of them.
    pub stops_after: Option<u64>,
    /// Writes go on for this many bytes in all, then there is no space, even where the file has
    /// bytes already: what a file system that copies on write does when it is full.
    pub no_space_after: Option<usize>,
    /// Writes go on for this many bytes in all, then every one fails as on a broken disk.
    pub writes_stop_after: Option<usize>,
    /// Every read fails.
    pub reads_fail: bool,
}

impl Disk {
    /// An empty disk without faults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets what goes wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    /// Whether [`Faults::stops_after`] has come to its end.
    #[must_use]
    pub fn has_stopped(&self) -> bool {
        self.lock().faults.stops_after == Some(0)
    }

    /// Another disk with all that is on this one, as a copied machine has.
    #[must_use]
    pub fn copy(&self) -> Self {
        let state = self.lock();
        let (names, durable_names) = (state.names.clone(), state.durable_names.clone());
        let (files, doubtful) = (state.files.clone(), state.doubtful.clone());
        let copy = State { names, durable_names, doubtful, files, ..State::default() };
        Self(Arc::new(Mutex::new(copy)))
    }

    /// Flips bits of a byte, on the disk and in its cache, past all faults.
    pub fn flip(&self, path: &Path, at: usize, mask: u8) {
        let mut state = self.lock();
        let Some(&file) = state.names.get(path) else { return };
        let Some(content) = state.files.get_mut(file) else { return };
        for bytes in [&mut content.bytes, &mut content.durable] {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= mask;
            }
        }
    }

    /// Bytes of all files.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.lock().used_bytes()
    }

    /// Forgets what was not synced: each such sector, length and folder survives if `survives`
    /// says so. Locks are gone; handles from before must not be used any more.
    pub fn lose_power(&self, mut survives: impl FnMut() -> bool) {
        let mut state = self.lock();
        let state = &mut *state;
        state.locked.clear();
        for naming in std::mem::take(&mut state.doubtful) {
            if !survives() {
                break;
            }
            apply(&mut state.durable_names, naming);
        }
        state.names = state.durable_names.clone();
        for content in &mut state.files {
            let mut after = content.durable.clone();
            if content.bytes.len() != after.len() && survives() {
                after.resize(content.bytes.len(), 0);
            }
            for &sector in &content.dirty {
                let range = sector * SECTOR_BYTES..(sector + 1) * SECTOR_BYTES;
                let range = range.start..range.end.min(content.bytes.len()).min(after.len());
                if let (Some(from), Some(to)) =
                    (content.bytes.get(range.clone()), after.get_mut(range))
                    && survives()
                {
                    to.copy_from_slice(from);
                }
            }
            content.bytes.clone_from(&after);
            content.durable = after;
            content.dirty.clear();
        }
    }

    /// The paths of all files, in order.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        self.lock().names.keys().cloned().collect()
    }

    /// The bytes of a file.
    #[must_use]
    pub fn bytes(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.lock();
        let &at = state.names.get(path)?;
        state.files.get(at).map(|content| content.bytes.clone())
    }

    /// Replaces the bytes of a file, durably and past all faults; makes it if it is missing.
    pub fn put(&self, path: &Path, bytes: &[u8]) {
        let mut state = self.lock();
        let content =
            Content { bytes: bytes.to_vec(), durable: bytes.to_vec(), ..Content::default() };
        let at = state.files.len();
        state.files.push(content);
        state.names.insert(path.to_owned(), at);
        state.durable_names.insert(path.to_owned(), at);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn used_bytes(&self) -> u64 {
        let lengths = self.names.values().filter_map(|&at| self.files.get(at));
        lengths.map(|content| content.bytes.len() as u64).sum()
    }

    fn content(&mut self, at: usize) -> io::Result<&mut Content> {
        self.files.get_mut(at).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Counts an operation that changes something; an error if the machine has stopped.
    fn go_on(&mut self) -> io::Result<()> {
        let Some(left) = &mut self.faults.stops_after else { return Ok(()) };
        *left = left.checked_sub(1).ok_or_else(|| io::Error::from_raw_os_error(libc::EIO))?;
        Ok(())
    }

    fn name(&mut self, naming: Naming) {
        apply(&mut self.names, naming.clone());
        self.doubtful.push(naming);
    }
}

fn apply(names: &mut BTreeMap<PathBuf, usize>, naming: Naming) {
    for (path, at) in naming {
        match at {
            Some(at) => names.insert(path, at),
            None => names.remove(&path),
        };
    }
}

impl Files for Disk {
    fn create_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<(String, u64)>> {
        let state = self.lock();
        let inside = state.names.iter().filter(|(path, _)| path.parent() == Some(folder));
        Ok(inside
            .filter_map(|(path, &at)| {
                let name = path.file_name()?.to_str()?.to_owned();
                Some((name, state.files.get(at)?.bytes.len() as u64))
            })
            .collect())
    }

    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn File>> {
        let mut state = self.lock();
        let known = state.names.get(path).copied();
        let at = match (known, how) {
            (Some(_), Open::NewSegment) => return Err(io::ErrorKind::AlreadyExists.into()),
            (None, Open::Segment) => return Err(io::ErrorKind::NotFound.into()),
            (Some(at), _) => at,
            (None, _) => {
                state.go_on()?;
                let at = state.files.len();
                state.files.push(Content::default());
                state.name(vec![(path.to_owned(), Some(at))]);
                at
            }
        };
        Ok(Arc::new(Handle { disk: self.clone(), at }))
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        if !self.lock().locked.insert(path.to_owned()) {
            return Ok(None);
        }
        Ok(Some(Box::new(Held { disk: self.clone(), path: path.to_owned() })))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.go_on()?;
        let at = state.names.get(from).copied().ok_or(io::ErrorKind::NotFound)?;
        state.name(vec![(from.to_owned(), None), (to.to_owned(), Some(at))]);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.go_on()?;
        if !state.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.name(vec![(path.to_owned(), None)]);
        Ok(())
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let mut state = self.lock();
        let state = &mut *state;
        state.go_on()?;
        if state.faults.syncs_fail {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        if state.faults.syncs_lie {
            return Ok(());
        }
        let inside = |naming: &Naming| naming.iter().all(|(path, _)| path.parent() == Some(folder));
        for naming in state.doubtful.extract_if(.., |naming| inside(naming)) {
            apply(&mut state.durable_names, naming);
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Handle {
    disk: Disk,
    at: usize,
}

impl File for Handle {
    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<usize> {
        let mut state = self.disk.lock();
        if state.faults.reads_fail {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        let content = state.content(self.at)?;
        let from = content.bytes.get(usize::try_from(at).unwrap_or(usize::MAX)..);
        let from = from.unwrap_or_default();
        let (to, from) = (bytes.iter_mut(), from.iter());
        Ok(to.zip(from).map(|(to, from)| *to = *from).count())
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize> {
        let mut state = self.disk.lock();
        state.go_on()?;
        let faults = state.faults;
        let used = faults.space_bytes.map_or(0, |_| state.used_bytes());
        let content = state.content(self.at)?;
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let mut now = bytes.len();
        if let Some(space) = faults.space_bytes {
            let over = content.bytes.len().saturating_sub(at);
            let free = usize::try_from(space.saturating_sub(used)).unwrap_or(usize::MAX);
            now = now.min(over.saturating_add(free));
            if now == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
        }
        if let Some(left) = faults.writes_stop_after {
            now = now.min(left);
            if now == 0 {
                return Err(io::Error::from_raw_os_error(libc::EIO));
            }
        }
        if let Some(left) = faults.no_space_after {
            now = now.min(left);
            if now == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
        }
        if content.bytes.len() < at + now {
            content.bytes.resize(at + now, 0);
        }
        let to = content.bytes.iter_mut().skip(at);
        to.zip(bytes.iter().take(now)).for_each(|(to, from)| *to = *from);
        content.dirty.extend(at / SECTOR_BYTES..=(at + now - 1) / SECTOR_BYTES);
        state.faults.writes_stop_after = faults.writes_stop_after.map(|left| left - now);
        state.faults.no_space_after = faults.no_space_after.map(|left| left - now);
        Ok(now)
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.lock();
        state.go_on()?;
        let Faults { syncs_fail, syncs_lie, .. } = state.faults;
        if syncs_lie {
            return Ok(());
        }
        let content = state.content(self.at)?;
        let dirty = std::mem::take(&mut content.dirty);
        if syncs_fail {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        content.durable.resize(content.bytes.len(), 0);
        for sector in dirty {
            let start = (sector * SECTOR_BYTES).min(content.bytes.len());
            let end = (start + SECTOR_BYTES).min(content.bytes.len());
            let from = content.bytes.get(start..end).unwrap_or_default();
            let to = content.durable.get_mut(start..end).unwrap_or_default();
            to.copy_from_slice(from);
        }
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.disk.lock();
        state.go_on()?;
        let content = state.content(self.at)?;
        content.bytes.resize(usize::try_from(bytes).unwrap_or(usize::MAX), 0);
        Ok(())
    }

    fn is_at(&self, path: &Path) -> io::Result<bool> {
        Ok(self.disk.lock().names.get(path) == Some(&self.at))
    }
}

#[derive(Debug)]
struct Held {
    disk: Disk,
    path: PathBuf,
}

impl Lock for Held {}

impl Drop for Held {
    fn drop(&mut self) {
        self.disk.lock().locked.remove(&self.path);
    }
}
