//! The seam to the operating system: the few file operations that the log needs.
//!
//! [`System`] is the real one; [`super::memory`] keeps files in memory, loses power and breaks on
//! demand. Nothing else of the log touches a file, so what a test can break is what can break.

use std::fmt;
use std::fs::{self, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// A segment that is there: read and written past the page cache where the file system can,
    /// so buffers, offsets and lengths are whole blocks and aligned.
    Segment,
    /// A segment that must not be there yet.
    NewSegment,
    /// A small file of any length, made when it is missing.
    Small,
}

/// Operations on folders and names.
pub trait Files: Send + Sync + fmt::Debug {
    /// Makes a folder (0700) and those above it, where missing.
    ///
    /// # Errors
    /// As the operating system's.
    fn create_folder(&self, path: &Path) -> io::Result<()>;

    /// Names and lengths of the files in a folder, in no order.
    ///
    /// # Errors
    /// As the operating system's.
    fn list(&self, folder: &Path) -> io::Result<Vec<(String, u64)>>;

    /// Opens a file; a new one gets mode 0600.
    ///
    /// # Errors
    /// As the operating system's; `NotFound` for a missing segment.
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn File>>;

    /// Takes the lock of a file for as long as the answer lives; `None` if another holds it.
    ///
    /// # Errors
    /// As the operating system's.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>>;

    /// Gives a file another name in the same folder, over what was there.
    ///
    /// # Errors
    /// As the operating system's.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// As the operating system's.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a folder survive power loss.
    ///
    /// # Errors
    /// As the operating system's.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
}

/// Operations on one open file.
pub trait File: Send + Sync + fmt::Debug {
    /// Reads at an offset; fewer bytes than asked for only at the end.
    ///
    /// # Errors
    /// As the operating system's.
    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<usize>;

    /// Writes at an offset, perhaps fewer bytes than given, never none.
    ///
    /// # Errors
    /// As the operating system's.
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize>;

    /// Makes the bytes survive power loss, and the length if it changed.
    ///
    /// # Errors
    /// As the operating system's; what was written since the last sync is then in doubt.
    fn sync(&self) -> io::Result<()>;

    /// Cuts or extends the file.
    ///
    /// # Errors
    /// As the operating system's.
    fn set_len(&self, bytes: u64) -> io::Result<()>;

    /// Whether `path` still leads to this file, and not to nothing or to another one.
    ///
    /// # Errors
    /// As the operating system's, where that cannot be told.
    fn is_at(&self, path: &Path) -> io::Result<bool>;
}

/// A lock that is held; dropping it lets go.
pub trait Lock: Send + Sync + fmt::Debug {}

/// A write that stopped: how, and how many bytes were written before.
#[derive(Debug)]
pub(super) struct Stopped {
    pub(super) written: usize,
    pub(super) source: io::Error,
}

/// Writes all of `bytes`.
pub(super) fn write_all(file: &dyn File, bytes: &[u8], at: u64) -> Result<(), Stopped> {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match file.write_at(rest, at + written as u64) {
            Ok(0) => {
                return Err(Stopped { written, source: io::ErrorKind::WriteZero.into() });
            }
            Ok(bytes) => written += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(Stopped { written, source }),
        }
    }
    Ok(())
}

/// The operating system's files.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

impl Files for System {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<(String, u64)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_file()
                && let Ok(name) = entry.file_name().into_string()
            {
                files.push((name, metadata.len()));
            }
        }
        Ok(files)
    }

    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn File>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600);
        match how {
            Open::Segment => {}
            Open::NewSegment => {
                options.create_new(true);
            }
            Open::Small => {
                return Real::of(options.create(true).truncate(false).open(path)?);
            }
        }
        match direct(&options).open(path) {
            Ok(file) => Real::of(file),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                // This file system (tmpfs, for one) goes through the page cache or not at all;
                // an attempt at a new file may have left its name behind.
                let file = options.create(how == Open::NewSegment).create_new(false).open(path)?;
                Real::of(file)
            }
            Err(error) => Err(error),
        }
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(Held(file)))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        fs::File::open(folder)?.sync_all()
    }
}

/// The operating system's files, for looking only: whatever would change one is refused.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadOnly;

impl ReadOnly {
    fn refused() -> io::Error {
        io::ErrorKind::ReadOnlyFilesystem.into()
    }
}

impl Files for ReadOnly {
    fn create_folder(&self, _: &Path) -> io::Result<()> {
        Err(Self::refused())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<(String, u64)>> {
        System.list(folder)
    }

    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn File>> {
        if how == Open::NewSegment {
            return Err(Self::refused());
        }
        let mut options = OpenOptions::new();
        let opened = match how {
            Open::Segment => direct(options.read(true)).open(path),
            Open::NewSegment | Open::Small => options.read(true).open(path),
        };
        match opened {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                Real::of(OpenOptions::new().read(true).open(path)?)
            }
            opened => Real::of(opened?),
        }
    }

    fn lock(&self, _: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        Err(Self::refused())
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        Err(Self::refused())
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        Err(Self::refused())
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        Err(Self::refused())
    }
}

/// Asks for transfers past the page cache: they need no copy, and a failed sync cannot leave
/// behind pages that look written.
fn direct(options: &OpenOptions) -> OpenOptions {
    let mut options = options.clone();
    #[cfg(target_os = "linux")]
    options.custom_flags(libc::O_DIRECT);
    options
}

#[derive(Debug)]
struct Real {
    file: fs::File,
    /// Device and number there.
    identity: (u64, u64),
}

impl Real {
    fn of(file: fs::File) -> io::Result<Arc<dyn File>> {
        let identity = identity(&file.metadata()?);
        Ok(Arc::new(Self { file, identity }))
    }
}

fn identity(metadata: &fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

impl File for Real {
    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match FileExt::read_at(&self.file, rest, at + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if !filled.is_multiple_of(512) {
                // The end of the file; past the page cache no read may start here.
                break;
            }
        }
        Ok(filled)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize> {
        FileExt::write_at(&self.file, bytes, at)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }

    fn is_at(&self, path: &Path) -> io::Result<bool> {
        match fs::metadata(path) {
            Ok(metadata) => Ok(identity(&metadata) == self.identity),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

#[derive(Debug)]
struct Held(#[expect(dead_code, reason = "the lock lasts as long as the open file")] fs::File);

impl Lock for Held {}
