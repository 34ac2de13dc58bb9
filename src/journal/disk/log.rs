//! The handle of a journal on disk, and its two threads.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::super::{Append, Error, Group, Journal, Position, Reader, State};
use super::Options;
use super::damages::Damages;
use super::files::{Files, Open, System, write_all};
use super::folder::Folder;
use super::mark::Mark;
use super::reader::DiskReader;
use super::recovery::recover;
use super::segments::Segments;
use super::shared::{Shared, Work};
use super::tries::{CARE_INTERVAL, Care, Tries};
use super::writer::Writer;
use crate::clock::{Clock, IdSource};

/// After this long without work the durable end is noted, so that damage to the last group is
/// told from a group that was never acknowledged. Long against a sync, short against a restart.
const IDLE_BEFORE_NOTE: Duration = Duration::from_millis(50);
/// After each failure the wait doubles, up to this: the disk may come back, and until there is a note
/// damage to the last group passes for one that was never acknowledged.
const FAILED_NOTE_MAX: Duration = Duration::from_secs(5);
/// The writer id is a node name and a few digits.
const WRITER_ID_BYTES_MAX: usize = 255;

/// A journal on disk. Dropping it closes it.
#[derive(Debug)]
pub struct Log {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Log {
    /// Opens the journal in `options.path`, made if it is missing, and starts its threads.
    ///
    /// When this returns, all that an earlier run acknowledged can be read or is booked as
    /// damaged, and the folder is locked against other processes.
    ///
    /// # Errors
    /// [`Error::Option`], [`Error::Locked`], [`Error::Format`], [`Error::WriterId`]; [`Error::Io`]
    /// if the folder cannot be read or written. A full disk is no error here: what is there can be
    /// read, and appends are refused until space comes back.
    pub fn open(
        options: Options,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
    ) -> Result<Self, Error> {
        Self::open_on(Arc::new(System), options, clock, ids)
    }

    /// As [`Log::open`], on other files than the operating system's.
    ///
    /// # Errors
    /// As [`Log::open`].
    pub fn open_on(
        files: Arc<dyn Files>,
        options: Options,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
    ) -> Result<Self, Error> {
        let (log, stepper) = Self::open_stepped(files, options, clock, ids)?;
        let commit_delay = log.shared.segments.options.commit_delay;
        let keeper = Arc::clone(&log.shared);
        log.start("journal-writer", move || write_until_closed(stepper, commit_delay))?;
        log.start("journal-keeper", move || keep_until_closed(&keeper))?;
        Ok(log)
    }

    /// As [`Log::open_on`], without threads: nothing is written unless the caller steps. For
    /// simulations, where the order of all things comes from one seed.
    ///
    /// # Errors
    /// As [`Log::open`].
    pub fn open_stepped(
        files: Arc<dyn Files>,
        options: Options,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
    ) -> Result<(Self, Stepper), Error> {
        options.check()?;
        let folder = options.path.clone();
        let io = |action| {
            let folder = folder.clone();
            move |error| Error::io(action, folder, error)
        };
        files.create_folder(&folder).map_err(io("make the folder"))?;
        let lock = files.lock(&folder.join("lock")).map_err(io("lock the folder"))?;
        let lock = lock.ok_or_else(|| Error::Locked { path: folder.clone() })?;
        let writer_id = writer_id(&*files, &folder, &options.node, &*ids)?;
        let mark = Mark::open(&*files, &folder)?;
        let damages = Damages::open(Arc::clone(&files), &folder, options.loaded)?;
        let segment_bytes = options.segment_bytes;
        let recovered = recover(&files, &folder, segment_bytes, mark.durable(), &damages)?;
        let end = recovered.end;
        let segments = Segments::new(options, files, clock, ids, recovered.index);
        let shared = Arc::new(Shared::new(segments, damages, writer_id, lock, end));
        let mut writer = Writer::new(Arc::clone(&shared), mark, end);
        match writer.begin() {
            Ok(()) => shared.segments.drop_empty()?,
            // What is there can still be read; space may come back.
            Err(Error::Full { space, .. }) => shared.no_room(space),
            Err(error) => return Err(error),
        }
        // From here on what recovery found durable is known to be.
        writer.finish()?;
        let stepper = Stepper { shared: Arc::clone(&shared), writer };
        Ok((Self { shared, threads: Mutex::default() }, stepper))
    }

    fn start(&self, name: &'static str, run: impl FnOnce() + Send + 'static) -> Result<(), Error> {
        let thread = Builder::new().name(name.to_owned()).spawn(run).map_err(|error| {
            self.shared.close();
            Error::io("start a thread for", self.shared.folder(), error)
        })?;
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        Ok(())
    }
}

impl Journal for Log {
    fn append(&self, group: Group) -> Append {
        self.shared.append(group, true)
    }

    fn gather(&self, group: Group) -> Append {
        self.shared.append(group, false)
    }

    fn hurry(&self) {
        self.shared.hurry();
    }

    fn reader(&self, from: Position) -> Result<Box<dyn Reader>, Error> {
        Ok(Box::new(DiskReader::open(Arc::clone(&self.shared), from)?))
    }

    fn wait_past(&self, position: Position, timeout: Duration) -> Position {
        self.shared.wait_past(position, timeout)
    }

    fn trim(&self, before: Position) {
        let before = before.min(self.shared.durable());
        self.shared.damages.note_loaded(before);
        self.shared.segments.trim(before);
        self.shared.wake_keeper();
    }

    fn state(&self) -> State {
        self.shared.state()
    }

    fn writer_id(&self) -> &str {
        &self.shared.writer_id
    }

    fn close(&self) {
        self.shared.close();
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a journal thread panicked");
            }
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.close();
    }
}

/// Drives a journal that was opened without threads.
#[derive(Debug)]
pub struct Stepper {
    shared: Arc<Shared>,
    writer: Writer,
}

impl Stepper {
    /// Writes and syncs the batch that waits longest; false if none waits.
    pub fn write(&mut self) -> bool {
        self.writer.step()
    }

    /// Does what the writer does after a while without work: notes the durable end.
    ///
    /// # Errors
    /// [`Error::Io`] if the note cannot be written; nothing is lost by that.
    pub fn idle(&mut self) -> Result<(), Error> {
        self.writer.note().map(drop)
    }

    /// Does one round of the keeper's work: gives back what was trimmed, prepares a segment.
    pub fn care(&self) {
        self.care_again(&mut Care::default());
    }

    /// The same, as a keeper does that knows what became of earlier rounds.
    pub(super) fn care_again(&self, care: &mut Care) {
        self.shared.care(care);
    }

    /// Writes what waits and ends in good order, as closing does.
    ///
    /// # Errors
    /// [`Error::Io`] if the durable end cannot be noted; nothing is lost by that.
    pub fn finish(mut self) -> Result<(), Error> {
        self.shared.close();
        while self.write() {}
        self.writer.finish()
    }
}

impl Drop for Stepper {
    fn drop(&mut self) {
        // Without `finish` it is as if the process had been killed.
        self.shared.release();
    }
}

fn write_until_closed(mut stepper: Stepper, commit_delay: Duration) {
    let mut notes = Tries::new(IDLE_BEFORE_NOTE, FAILED_NOTE_MAX);
    loop {
        let idle = (!stepper.writer.noted()).then_some(notes.wait());
        match stepper.shared.wait_for_work(idle) {
            Work::Waits => {
                if !commit_delay.is_zero() {
                    stepper.shared.wait_for_more(commit_delay);
                }
                stepper.write();
                // What became due meanwhile has waited for that.
                while stepper.shared.is_due() && stepper.write() {}
            }
            Work::Nothing => {
                let noted = stepper.writer.note();
                match (notes.turned(noted.is_ok()), noted) {
                    (true, Ok(_)) => tracing::info!("journal notes its durable end again"),
                    (true, Err(error)) => {
                        tracing::warn!(%error, "journal cannot note its durable end");
                    }
                    (false, _) => {}
                }
            }
            Work::Closed => break,
        }
    }
    if let Err(error) = stepper.writer.finish() {
        tracing::warn!(%error, "journal cannot note its durable end");
    }
}

fn keep_until_closed(shared: &Shared) {
    let mut care = Care::default();
    loop {
        shared.care(&mut care);
        if !shared.wait_for_care(CARE_INTERVAL) {
            return;
        }
    }
}

/// Reads the writer id, or makes one and makes it last.
fn writer_id(
    files: &dyn Files,
    folder: &Path,
    node: &str,
    ids: &dyn IdSource,
) -> Result<String, Error> {
    let path = folder.join("writer");
    if let Some(id) = read_writer_id(files, &path)? {
        return Ok(id);
    }
    // It is durable before the first segment is begun. Under a new name the loader would load again
    // what is in the lake already.
    if !Folder::read(files, folder)?.segments.is_empty() {
        return Err(Error::WriterId { path });
    }
    // The last four bytes of a version 4 UUID are random in full.
    let epoch = u32::try_from(ids.uuid().as_u128() & 0xffff_ffff).unwrap_or_default();
    let id = format!("{node}-{epoch:08x}");
    let made = folder.join("writer.new");
    let io = |action: &'static str| {
        let made = made.clone();
        move |error| Error::io(action, made, error)
    };
    let file = files.open(&made, Open::Small).map_err(io("make the writer id"))?;
    let lines = format!("{id}\n{}\n", writer_id_checksum(&id));
    file.set_len(0).map_err(io("write the writer id"))?;
    write_all(&*file, lines.as_bytes(), 0)
        .map_err(|stopped| Error::io("write the writer id", &made, stopped.source))?;
    file.sync().map_err(io("sync the writer id"))?;
    files.rename(&made, &path).map_err(io("rename the writer id"))?;
    files.sync_folder(folder).map_err(|error| Error::io("sync the folder", folder, error))?;
    Ok(id)
}

/// Reads the writer id of a folder; `None` if it has none yet.
pub(super) fn read_writer_id(files: &dyn Files, path: &Path) -> Result<Option<String>, Error> {
    let folder = path.parent().unwrap_or(path);
    let listed = files.list(folder).map_err(|error| Error::io("list the folder", folder, error))?;
    if !listed.iter().any(|(name, _)| name == "writer") {
        return Ok(None);
    }
    let wrong = || Error::WriterId { path: path.to_owned() };
    let io = |error| Error::io("read the writer id", path, error);
    let mut bytes = [0; WRITER_ID_BYTES_MAX + 24];
    let read = files.open(path, Open::Small).map_err(io)?.read_at(&mut bytes, 0).map_err(io)?;
    let text = bytes.get(..read).and_then(|bytes| std::str::from_utf8(bytes).ok());
    let (id, checksum) = text.and_then(|text| text.split_once('\n')).ok_or_else(wrong)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if id.is_empty() || id.len() > WRITER_ID_BYTES_MAX || !id.bytes().all(plain) {
        return Err(wrong());
    }
    // The first programs wrote the id alone, and so may a person.
    if !checksum.is_empty() && checksum != format!("{}\n", writer_id_checksum(id)) {
        return Err(wrong());
    }
    Ok(Some(id.to_owned()))
}

/// A flipped bit may make another good name of one, or join the lines: the colon is in no name.
fn writer_id_checksum(id: &str) -> String {
    format!("crc32c:{:08x}", crc32c::crc32c(id.as_bytes()))
}
