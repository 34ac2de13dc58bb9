//! While the keeper waits for the disk, whoever looks at the journal or appends is answered.

use std::io;
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, OnceLock, Weak};
use std::time::Duration;

use super::super::super::{Health, Space};
use super::super::files::{File, Lock, Open};
use super::super::memory::Faults;
use super::*;

/// A disk that asks the journal in the middle of each operation that changes something.
#[derive(Clone, Debug)]
struct Asking {
    disk: Disk,
    asked: Arc<Asked>,
}

#[derive(Debug, Default)]
struct Asked {
    log: OnceLock<Weak<Log>>,
    /// The operations, and whether an append meanwhile was refused for lack of space on the disk.
    during: Mutex<Vec<(&'static str, bool)>>,
}

#[derive(Debug)]
struct Handle {
    file: Arc<dyn File>,
    asked: Arc<Asked>,
}

impl Asked {
    /// Asks on a thread of its own: on this one, what is locked would lock itself out for ever.
    fn ask(&self, operation: &'static str) {
        let Some(log) = self.log.get().and_then(Weak::upgrade) else { return };
        let (tell, told) = sync_channel(1);
        std::thread::spawn(move || {
            let health = log.state().health;
            let mut append = log.append(group(&["x".repeat(2900).as_str()]));
            let polled = Pin::new(&mut append).poll(&mut Context::from_waker(Waker::noop()));
            let full = matches!(polled, Poll::Ready(Err(Error::Full { space: Space::Disk, .. })));
            assert!(!full || health == Health::Full(Space::Disk), "{health:?}");
            tell.send(full).unwrap();
        });
        let full = told.recv_timeout(Duration::from_secs(10));
        let full = full.unwrap_or_else(|error| panic!("no answer during {operation}: {error}"));
        self.during.lock().unwrap().push((operation, full));
    }
}

impl Files for Asking {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.disk.create_folder(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<(String, u64)>> {
        self.disk.list(folder)
    }

    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn File>> {
        self.asked.ask("open");
        let file = self.disk.open(path, how)?;
        Ok(Arc::new(Handle { file, asked: Arc::clone(&self.asked) }))
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        self.disk.lock(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.asked.ask("rename");
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.asked.ask("remove");
        self.disk.remove(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.asked.ask("sync_folder");
        self.disk.sync_folder(folder)
    }
}

impl File for Handle {
    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<usize> {
        self.file.read_at(bytes, at)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize> {
        self.asked.ask("write");
        self.file.write_at(bytes, at)
    }

    fn sync(&self) -> io::Result<()> {
        self.asked.ask("sync");
        self.file.sync()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }

    fn is_at(&self, path: &Path) -> io::Result<bool> {
        self.asked.ask("is_at");
        self.file.is_at(path)
    }
}

/// What the keeper does to a full disk once the oldest segment was given up.
fn care(keep: Duration, is_read: bool) -> Vec<(&'static str, bool)> {
    let (disk, asked) = (Disk::new(), Arc::<Asked>::default());
    let files = Asking { disk: disk.clone(), asked: Arc::clone(&asked) };
    let clock = Arc::new(Fixed::at(Timestamp::from_millis(1_700_000_000_000)));
    let options = Options { keep, ..options() };
    let ids = Arc::clone(&clock);
    let (log, mut stepper) = Log::open_stepped(Arc::new(files), options, clock, ids).unwrap();
    let space_bytes = Some(disk.used_bytes() + 4 * BLOCK_BYTES);
    disk.set_faults(Faults { space_bytes, ..Faults::default() });
    let long = "x".repeat(2900);
    loop {
        let append = log.append(group(&[&long]));
        stepper.write();
        if outcome(append).is_err() {
            break;
        }
    }
    let mut reader = log.reader(Position::ZERO).unwrap();
    reader.next().unwrap().unwrap();
    let reader = is_read.then_some(reader);
    let log = Arc::new(log);
    log.trim(Position::new(3));
    asked.log.set(Arc::downgrade(&log)).unwrap();
    stepper.care();
    assert_eq!(log.state().health, Health::Accepting);
    drop(reader);
    std::mem::take(&mut asked.during.lock().unwrap())
}

#[test]
fn the_keeper_holds_nobody_up() {
    // The file is marked, then it is a spare, then the next segment; or it goes and one is made.
    let hour = Duration::from_hours(1);
    let used_again = ["is_at", "write", "sync", "rename", "sync_folder", "rename", "open"];
    let removed = ["is_at", "remove", "sync_folder", "open", "write", "sync", "rename"];
    for (keep, is_read, wanted) in [
        (Duration::ZERO, false, &used_again[..]),
        (Duration::ZERO, true, &removed[..]),
        // What is kept for replay goes where a segment is prepared.
        (hour, false, &["is_at", "write", "sync", "rename", "open"][..]),
        (hour, true, &["is_at", "remove", "open", "write", "sync", "rename"][..]),
    ] {
        let during = care(keep, is_read);
        let operations: Vec<_> = during.iter().map(|(operation, _)| *operation).collect();
        assert_eq!(operations, [wanted, &["sync_folder"]].concat(), "{keep:?} {is_read}");
        // Until there is a spare nothing has room.
        let full = during.iter().take_while(|(_, full)| *full).count();
        assert!(full >= wanted.len().min(4), "{during:?}");
    }
}
