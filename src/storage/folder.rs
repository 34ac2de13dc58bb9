//! A lake in a local folder, where a put returns only when file and folders survive power loss.
//!
//! object_store's own file backend does not sync, and the journal is trimmed on the word of a put.
//! So a file is written aside, synced, linked under its name (which fails if the name is taken) and
//! the folder is synced; so is the parent of each folder made on the way.

use std::collections::{BTreeSet, HashSet};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::{Backend, Error};

/// Where files are written before they get their names, within the lake so that they can be linked.
const ASIDE: &str = "_keelrow/tmp";

/// Where a file system knows no locks, leftovers of a crash are removed at start when they are older
/// than this; younger ones may belong to another process on the same folder.
const ASIDE_AGE_MAX: Duration = Duration::from_hours(24);

/// How many folders are remembered as synced before all are forgotten: a table with its first hour
/// makes six.
const SYNCED_MAX: usize = 40_000;

/// Folders that were made, or found, and are not known to be durable yet.
#[derive(Debug, Default)]
struct Fresh {
    folders: BTreeSet<PathBuf>,
    /// Those whose sync makes them so.
    parents: BTreeSet<PathBuf>,
}

/// A lake in a folder.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    /// Folders known to be durable with all their parents.
    synced: Mutex<HashSet<PathBuf>>,
    next_aside: AtomicU64,
}

impl Folder {
    /// Opens or makes the folder and checks that it can be written.
    ///
    /// # Errors
    /// [`Error::Io`] if that fails.
    pub fn open(root: &Path) -> Result<Self, Error> {
        let absolute = std::path::absolute(root).map_err(io_error("resolve", root))?;
        let folder = Self {
            root: absolute.clone(),
            synced: Mutex::default(),
            next_aside: AtomicU64::new(0),
        };
        folder.make(&absolute.join(ASIDE))?;
        folder.sweep()?;
        Ok(folder)
    }

    /// Removes what a crash left aside: what no process holds any more.
    fn sweep(&self) -> Result<(), Error> {
        let (probe, file) = self.create_aside()?;
        let modified = |meta: io::Result<fs::Metadata>| meta.and_then(|meta| meta.modified());
        let now = modified(file.metadata()).map_err(io_error("look at", &probe))?;
        fs::remove_file(&probe).map_err(io_error("remove", &probe))?;
        let aside = self.root.join(ASIDE);
        for entry in fs::read_dir(&aside).map_err(io_error("list", &aside))? {
            let entry = entry.map_err(io_error("list", &aside))?;
            // Another process may remove the same file: an error here is nobody's loss.
            let Ok(left) = OpenOptions::new().write(true).open(entry.path()) else { continue };
            let is_left = match left.try_lock() {
                Ok(()) => true,
                Err(TryLockError::WouldBlock) => false,
                Err(TryLockError::Error(_)) => modified(left.metadata()).is_ok_and(|then| {
                    now.duration_since(then).is_ok_and(|age| age > ASIDE_AGE_MAX)
                }),
            };
            if is_left && let Err(error) = fs::remove_file(entry.path()) {
                tracing::debug!(%error, "cannot remove a leftover of an earlier run");
            }
        }
        Ok(())
    }

    /// Makes a file aside that no other process uses. It is locked while it is open, so that another
    /// process knows it from what a crash left.
    fn create_aside(&self) -> Result<(PathBuf, File), Error> {
        loop {
            let number = self.next_aside.fetch_add(1, Ordering::Relaxed);
            let path = self.root.join(ASIDE).join(format!("{}-{number}", std::process::id()));
            let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
            match made {
                Ok(file) if is_ours(&file) => return Ok((path, file)),
                // Process ids repeat: over time, and in containers at once.
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(io_error("create", &path)(error));
                }
                _ => {}
            }
        }
    }

    /// Makes `path` and what is missing above it, and syncs the parent of each.
    fn make(&self, path: &Path) -> Result<(), Error> {
        let mut fresh = Fresh::default();
        self.make_unsynced(path, &mut fresh)?;
        for parent in &fresh.parents {
            sync_folder(parent)?;
        }
        self.remember(fresh.folders);
        Ok(())
    }

    /// Makes `path` and what is missing above it; what has to be synced for it comes to `fresh`.
    fn make_unsynced(&self, path: &Path, fresh: &mut Fresh) -> Result<(), Error> {
        if fresh.folders.contains(path) || self.lock_synced().contains(path) {
            return Ok(());
        }
        let Some(parent) = path.parent() else { return Ok(()) };
        let mut made = fs::DirBuilder::new().mode(0o700).create(path);
        if made.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            self.make_unsynced(parent, fresh)?;
            made = fs::DirBuilder::new().mode(0o700).create(path);
        }
        match made {
            Ok(()) => {
                fresh.parents.insert(parent.to_owned());
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // Made by a run that may have died before its sync. What lies above the lake was
                // there before us and may not be ours to open.
                if path.starts_with(&self.root) && path != self.root {
                    self.make_unsynced(parent, fresh)?;
                    fresh.parents.insert(parent.to_owned());
                }
            }
            Err(error) => return Err(io_error("make folder", path)(error)),
        }
        fresh.folders.insert(path.to_owned());
        Ok(())
    }

    /// Makes the folder of `target`, which has to be synced too: the file gets its name there, or has
    /// it from another who may have died before that sync.
    fn make_parent(&self, target: &Path, fresh: &mut Fresh) -> Result<(), Error> {
        let Some(folder) = target.parent() else { return Ok(()) };
        self.make_unsynced(folder, fresh)?;
        fresh.parents.insert(folder.to_owned());
        Ok(())
    }

    /// Remembers that these folders, and all above them, are durable.
    fn remember(&self, folders: BTreeSet<PathBuf>) {
        let mut synced = self.lock_synced();
        if synced.len() >= SYNCED_MAX {
            synced.clear();
        }
        synced.extend(folders);
    }

    fn lock_synced(&self) -> std::sync::MutexGuard<'_, HashSet<PathBuf>> {
        self.synced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the file its name in a folder that was made.
    fn link(&self, aside: &Path, target: &Path) -> Result<bool, Error> {
        match fs::hard_link(aside, target) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => {
                if error.kind() == io::ErrorKind::NotFound {
                    // The folder was removed behind our back: look again next time.
                    self.lock_synced().clear();
                }
                Err(io_error("link", target)(error))
            }
        }
    }

    /// Writes a file aside.
    fn write_aside(&self, body: &[u8]) -> Result<(PathBuf, File), Error> {
        let (path, mut file) = self.create_aside()?;
        match file.write_all(body) {
            Ok(()) => Ok((path, file)),
            Err(error) => {
                // The sweep of a later start removes what cannot be removed now.
                drop(fs::remove_file(&path));
                Err(io_error("write", &path)(error))
            }
        }
    }

    /// Writes each file aside, syncs all of them, gives each its name and syncs the folders.
    fn put_each(&self, objects: &[(&str, &Bytes)]) -> Vec<Result<bool, Error>> {
        let asides: Vec<_> = objects.iter().map(|(_, body)| self.write_aside(body)).collect();
        let unsynced = sync_together(asides.len(), |at| match &asides[at] {
            Ok((path, file)) => file.sync_all().map_err(io_error("sync", path)),
            Err(_) => Ok(()),
        });
        let mut fresh = Fresh::default();
        let mut outcomes = Vec::with_capacity(objects.len());
        for (((key, _), aside), unsynced) in objects.iter().zip(asides).zip(unsynced) {
            let target = self.root.join(key);
            outcomes.push(match (aside, unsynced) {
                (Err(error), _) => Err(error),
                (Ok((path, _)), unsynced) => {
                    let linked = unsynced
                        .map_or(Ok(()), Err)
                        .and_then(|()| self.make_parent(&target, &mut fresh))
                        .and_then(|()| self.link(&path, &target));
                    let removed = fs::remove_file(&path).map_err(io_error("remove", &path));
                    linked.and_then(|created| removed.map(|()| created))
                }
            });
        }
        let Fresh { folders, parents } = fresh;
        let parents: Vec<PathBuf> = parents.into_iter().collect();
        let unsynced = sync_together(parents.len(), |at| sync_folder(&parents[at]));
        if unsynced.iter().all(Option::is_none) {
            self.remember(folders);
            return outcomes;
        }
        // What lies below a folder that could not be synced is tried again alone.
        for (parent, error) in parents.iter().zip(unsynced) {
            let Some(error) = error else { continue };
            let mut first = Some(error);
            for ((key, _), outcome) in objects.iter().zip(&mut outcomes) {
                if outcome.is_ok() && self.root.join(key).starts_with(parent) {
                    let other = || io_error("sync folder", parent)(io::Error::other("with others"));
                    *outcome = Err(first.take().unwrap_or_else(other));
                }
            }
        }
        outcomes
    }
}

/// Threads that wait for the disk at once, so that it can do several syncs as one.
const SYNC_THREADS: usize = 8;

/// Calls `sync` for each of `0..count` on several threads, this one among them. They do nothing but
/// wait for the disk: what they would allocate costs each of them more than its syncs.
fn sync_together(
    count: usize,
    sync: impl Fn(usize) -> Result<(), Error> + Sync,
) -> Vec<Option<Error>> {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    let sync_next = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= count {
                return;
            }
            if let Err(error) = sync(at) {
                failed.lock().unwrap_or_else(PoisonError::into_inner).push((at, error));
            }
        }
    };
    std::thread::scope(|scope| {
        (1..SYNC_THREADS.min(count)).for_each(|_| drop(scope.spawn(sync_next)));
        sync_next();
    });
    let mut errors: Vec<Option<Error>> = (0..count).map(|_| None).collect();
    for (at, error) in failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        errors[at] = Some(error);
    }
    errors
}

impl Backend for Folder {
    fn put_new(&self, key: &str, body: &Bytes) -> Result<bool, Error> {
        let created: Result<Vec<bool>, Error> = self.put_each(&[(key, body)]).into_iter().collect();
        Ok(created? == [true])
    }

    fn put_all_new(&self, objects: &[(&str, &Bytes)]) -> Option<Vec<Result<bool, Error>>> {
        Some(self.put_each(objects))
    }

    fn get(&self, key: &str) -> Result<Option<Bytes>, Error> {
        let path = self.root.join(key);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_error("read", &path)(error)),
        }
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let mut found = Vec::new();
        let mut folders = vec![self.root.join(prefix)];
        while let Some(folder) = folders.pop() {
            let entries = match fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(io_error("list", &folder)(error)),
            };
            for entry in entries {
                let entry = entry.map_err(io_error("list", &folder))?;
                let path = entry.path();
                if entry.file_type().map_err(io_error("look at", &path))?.is_dir() {
                    folders.push(path);
                } else if let Ok(key) = path.strip_prefix(&self.root)
                    && let Some(key) = key.to_str()
                {
                    found.push(key.to_owned());
                }
            }
        }
        Ok(found)
    }
}

/// Locks a file that was just made; false if another process took it for a leftover in between.
fn is_ours(file: &File) -> bool {
    match file.try_lock() {
        Ok(()) => file.metadata().is_ok_and(|meta| meta.nlink() > 0),
        Err(TryLockError::WouldBlock) => false,
        Err(TryLockError::Error(_)) => true,
    }
}

fn sync_folder(path: &Path) -> Result<(), Error> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(io_error("sync folder", path))
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { action, path, source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn body(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn a_name_is_given_once() {
        let dir = tempfile::tempdir().unwrap();
        let lake = Folder::open(&dir.path().join("a/lake")).unwrap();
        assert!(lake.put_new("x/y/z.json", &body("one")).unwrap());
        assert!(!lake.put_new("x/y/z.json", &body("two")).unwrap());
        assert_eq!(lake.get("x/y/z.json").unwrap(), Some(body("one")));
        assert_eq!(lake.get("x/y/none").unwrap(), None);
        assert_eq!(lake.list("x/").unwrap(), ["x/y/z.json"]);
        assert!(lake.list("none/").unwrap().is_empty());
    }

    #[test]
    fn several_files_are_put_as_each_alone() {
        let dir = tempfile::tempdir().unwrap();
        let lake = Folder::open(dir.path()).unwrap();
        lake.put_new("a/taken", &body("first")).unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        let bodies: Vec<Bytes> = (0..40).map(|n| Bytes::from(format!("body {n}"))).collect();
        let names: Vec<String> = (0..37).map(|n| format!("{}/{n}", n % 5)).collect();
        let names = names.iter().map(String::as_str).chain(["a/taken", "file/below", "a/new"]);
        let objects: Vec<(&str, &Bytes)> = names.zip(&bodies).collect();
        let outcomes = lake.put_all_new(&objects).unwrap();
        for ((key, body), outcome) in objects.iter().zip(outcomes) {
            match *key {
                "a/taken" => assert!(!outcome.unwrap()),
                "file/below" => assert!(outcome.unwrap_err().to_string().contains("file")),
                _ => {
                    assert!(outcome.unwrap(), "{key}");
                    assert_eq!(lake.get(key).unwrap().as_ref(), Some(*body));
                }
            }
        }
        assert_eq!(lake.get("a/taken").unwrap(), Some(body("first")));
        assert_eq!(fs::read_dir(dir.path().join(ASIDE)).unwrap().count(), 0);
    }

    #[test]
    fn nothing_is_left_aside_and_others_cannot_read() {
        let dir = tempfile::tempdir().unwrap();
        let lake = Folder::open(dir.path()).unwrap();
        lake.put_new("x/y", &body("one")).unwrap();
        lake.put_new("x/y", &body("two")).unwrap();
        assert_eq!(fs::read_dir(dir.path().join(ASIDE)).unwrap().count(), 0);
        let mode = |path: &str| fs::metadata(dir.path().join(path)).unwrap().permissions().mode();
        assert_eq!((mode("x/y") & 0o777, mode("x") & 0o777), (0o600, 0o700));
    }

    #[test]
    fn what_a_crash_left_aside_is_removed_and_what_another_writes_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let first = Folder::open(dir.path()).unwrap();
        fs::write(dir.path().join(ASIDE).join("4711-3"), "half").unwrap();
        let (writing, mut file) = first.create_aside().unwrap();
        let second = Folder::open(dir.path()).unwrap();
        let left = fs::read_dir(dir.path().join(ASIDE)).unwrap();
        let left: Vec<PathBuf> = left.map(|entry| entry.unwrap().path()).collect();
        assert_eq!(left, std::slice::from_ref(&writing));
        file.write_all(b"one").unwrap();
        assert!(first.link(&writing, &dir.path().join("x")).unwrap());
        drop((file, second));
        Folder::open(dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path().join(ASIDE)).unwrap().count(), 0);
        assert_eq!(first.get("x").unwrap(), Some(body("one")));
    }

    #[test]
    fn of_two_that_race_for_a_name_one_gets_it() {
        let dir = tempfile::tempdir().unwrap();
        let lake = Folder::open(dir.path()).unwrap();
        let created = std::thread::scope(|scope| {
            let racers: Vec<_> = ["a", "b", "c", "d"]
                .map(|text| {
                    let lake = &lake;
                    scope.spawn(move || lake.put_new("x/1.json", &body(text)).unwrap())
                })
                .into_iter()
                .collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).filter(|created| *created).count()
        });
        assert_eq!(created, 1);
    }

    #[test]
    fn a_folder_removed_behind_our_back_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let lake = Folder::open(dir.path()).unwrap();
        lake.put_new("x/1", &body("one")).unwrap();
        fs::remove_dir_all(dir.path().join("x")).unwrap();
        assert!(lake.put_new("x/2", &body("two")).is_err());
        assert!(lake.put_new("x/2", &body("two")).unwrap());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        let error = Folder::open(&dir.path().join("file/lake")).unwrap_err();
        assert!(error.to_string().contains("file/lake"), "{error}");
    }
}
