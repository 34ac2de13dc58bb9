//! From a cut to its commit: registry, plan, files, repeats, manifest, in this order.
//!
//! Every step may be repeated: after an error [`Pending::commit`] is called again and goes on where
//! it was; after a crash recovery makes the same [`Pending`] from the plan.

use std::collections::HashSet;

use bytes::Bytes;

use super::Error;
use super::local::Content;
use super::plan::{FORMAT, Plan, PlannedFile};
use super::range::{Cut, Desk};
use super::rows::LocalFile;
use crate::columnar;
use crate::storage::keys::{DataFile, Hour, Key};
use crate::storage::manifest::{Counts, File, Manifest, Range, checksum, hex_sha256};
use crate::storage::registry::Widened;
use crate::storage::{self, Class, Put, Store, utc_text};

/// Files from this size on go up one at a time, so that uploads hold one large file or a few
/// small ones in memory.
const SMALL_FILE_BYTES: u64 = 8 << 20;

/// Small files that go up together: as many syncs of a folder as the disk takes for a few.
const GROUP_FILES: usize = 256;

/// Bytes that they may have together, since they are in memory then.
const GROUP_BYTES: u64 = 32 << 20;

/// Where a batch starts from in its chain.
#[derive(Clone, Debug)]
pub(super) struct Link {
    /// Checksum of the manifest before.
    pub(super) previous: Option<String>,
    /// Version of the mapping rules.
    pub(super) mapping: u32,
}

/// A batch on its way into the lake.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) cut: Cut,
    link: Link,
    keys: Vec<DataFile>,
    is_widened: bool,
    /// The plan's bytes, once it is in the lake.
    plan: Option<Bytes>,
    done: Vec<Option<File>>,
}

/// How a commit ended.
#[derive(Debug)]
pub(super) enum Committed {
    /// The batch is in the lake.
    Yes(Box<Manifest>, Bytes),
    /// Another writer widened a table first: the range must be cut again.
    LostRace,
}

impl Pending {
    /// A batch that nothing in the lake speaks of yet.
    pub(super) fn new(cut: Cut, link: Link) -> Self {
        let key = |file: &LocalFile| DataFile {
            folder: file.folder.clone(),
            hour: cut.hour,
            writer: cut.batch.writer.clone(),
            number: cut.batch.number,
            part: file.part,
        };
        let keys: Vec<DataFile> = cut.files.iter().map(key).collect();
        let done = vec![None; keys.len()];
        Self { cut, link, keys, is_widened: false, plan: None, done }
    }

    /// A batch whose plan is in the lake.
    ///
    /// # Errors
    /// [`Error::Plan`] if the cut is not what was planned.
    pub(super) fn planned(
        mut cut: Cut,
        link: Link,
        plan: &Plan,
        bytes: Bytes,
    ) -> Result<Self, Error> {
        let number = plan.number.0;
        let differs = |reason: String| Error::Plan { number, reason };
        cut.hour = Hour::parse(&plan.hour)
            .ok_or_else(|| differs(format!("hour {:?} cannot be read", plan.hour)))?;
        if cut.records != plan.records {
            return Err(differs("the journal's records are other ones".into()));
        }
        let pending = Self { is_widened: true, plan: Some(bytes), ..Self::new(cut, link) };
        let files = pending.planned_files();
        if files == plan.parts {
            return Ok(pending);
        }
        let named = |file: &PlannedFile| file.path.clone();
        let other = files.iter().find(|file| !plan.parts.contains(file)).map(named);
        let missing = plan.parts.iter().find(|file| !files.contains(file)).map(named);
        let which = other.or(missing).unwrap_or_else(|| "the order of files".into());
        Err(differs(format!("{which} differs")))
    }

    /// A batch without records, under the plan whose bytes are in the lake.
    pub(super) fn empty(cut: Cut, link: Link, plan: Bytes) -> Self {
        Self { is_widened: true, plan: Some(plan), ..Self::new(cut, link) }
    }

    /// The files' bytes, in the order of the plan and the manifest.
    pub(super) fn contents(&self) -> impl Iterator<Item = &Content> {
        self.cut.files.iter().map(|file| &file.content)
    }

    fn planned_files(&self) -> Vec<PlannedFile> {
        let file = |(file, key): (&LocalFile, &DataFile)| PlannedFile {
            path: key.to_string(),
            schema_version: file.schema.version,
            row_groups: file.row_groups.clone(),
        };
        self.cut.files.iter().zip(&self.keys).map(file).collect()
    }

    /// Brings the batch into the lake; when this returns [`Committed::Yes`], the batch is there for
    /// good and its journal range may go.
    pub(super) fn commit(&mut self, store: &Store, desk: &mut Desk) -> Result<Committed, Error> {
        if !self.is_widened {
            if self.widen(desk)? == Widened::Lost {
                return Ok(Committed::LostRace);
            }
            self.is_widened = true;
        }
        let plan = self.put_plan(store)?;
        self.put_files(store)?;
        desk.dedup.save(self.cut.batch.number).map_err(Error::Dedup)?;
        self.put_manifest(store, &plan)
    }

    /// Registers the columns of all files: the first part of every table, then the second ones.
    fn widen(&self, desk: &mut Desk) -> Result<Widened, Error> {
        let mut left: Vec<&LocalFile> = self.cut.files.iter().collect();
        while !left.is_empty() {
            let mut tables = HashSet::with_capacity(left.len());
            let (now, later): (Vec<_>, Vec<_>) =
                left.into_iter().partition(|file| tables.insert(&file.folder));
            let wanted: Vec<_> = now.iter().map(|file| (&file.folder, &file.schema)).collect();
            let widened = desk.registry.widen_all(&wanted);
            if widened.map_err(Error::storage("register the columns of a table"))? == Widened::Lost
            {
                return Ok(Widened::Lost);
            }
            left = later;
        }
        Ok(Widened::Done)
    }

    fn put_plan(&mut self, store: &Store) -> Result<Bytes, Error> {
        if let Some(bytes) = &self.plan {
            return Ok(bytes.clone());
        }
        let action = "put the plan of a batch";
        let bytes = self.make_plan().to_bytes().map_err(Error::storage(action))?;
        let Cut { batch, .. } = &self.cut;
        let key = Key::Plan(batch.writer.clone(), batch.number);
        match store.put_new(&key, &bytes) {
            Ok(_) => {}
            Err(error) if error.class() == Class::Conflict => {
                return Err(Error::OtherLoader { number: batch.number.0 });
            }
            Err(error) => return Err(Error::storage(action)(error)),
        }
        self.plan = Some(bytes.clone());
        Ok(bytes)
    }

    fn make_plan(&self) -> Plan {
        let Cut { batch, settings, to, records, hour, left_out, rebuilds, routes, .. } = &self.cut;
        Plan {
            format: FORMAT,
            writer: batch.writer.to_string(),
            number: batch.number,
            previous: self.link.previous.clone(),
            journal: Range { partition: 0, from: batch.from, to: *to },
            records: *records,
            batch_time: utc_text(batch.time),
            hour: hour.to_string(),
            mapping: self.link.mapping,
            program: env!("CARGO_PKG_VERSION").into(),
            left_out: left_out.clone(),
            settings: settings.clone(),
            parts: self.planned_files(),
            rebuilds: rebuilds.clone(),
            routes: routes.clone(),
        }
    }

    /// Uploads what is not in the lake yet: small files several at a time, large ones one by one.
    /// What was put stays noted when one fails.
    fn put_files(&mut self, store: &Store) -> Result<(), Error> {
        let todo: Vec<usize> = (0..self.done.len()).filter(|at| self.done[*at].is_none()).collect();
        let mut small = Vec::new();
        for at in todo {
            let content = &self.cut.files[at].content;
            let size = content.size().map_err(local("look at", content))?;
            if size < SMALL_FILE_BYTES {
                small.push((at, size));
            } else {
                self.done[at] = Some(self.put_file(store, at)?);
            }
        }
        let mut group = Vec::with_capacity(GROUP_FILES);
        let mut bytes = 0;
        for (at, size) in small {
            if group.len() == GROUP_FILES || (bytes + size > GROUP_BYTES && !group.is_empty()) {
                self.put_group(store, &std::mem::take(&mut group))?;
                bytes = 0;
            }
            group.push(at);
            bytes += size;
        }
        self.put_group(store, &group)
    }

    /// Puts several small files, which the store does together.
    fn put_group(&mut self, store: &Store, group: &[usize]) -> Result<(), Error> {
        let mut objects = Vec::with_capacity(group.len());
        for &at in group {
            objects.push((Key::Data(self.keys[at].clone()), self.read_file(at)?));
        }
        let outcomes = store.put_all_new(&objects);
        let mut failed = Ok(());
        for ((&at, (key, bytes)), outcome) in group.iter().zip(objects).zip(outcomes) {
            let Some(outcome) = outcome else { continue };
            match self.file_put(store, at, (&key, bytes), outcome) {
                Ok(file) => self.done[at] = Some(file),
                Err(error) => failed = Err(error),
            }
        }
        failed
    }

    fn put_file(&self, store: &Store, at: usize) -> Result<File, Error> {
        let bytes = self.read_file(at)?;
        let key = Key::Data(self.keys[at].clone());
        let outcome = store.put_new(&key, &bytes);
        self.file_put(store, at, (&key, bytes), outcome)
    }

    fn read_file(&self, at: usize) -> Result<Bytes, Error> {
        let content = &self.cut.files[at].content;
        content.read().map_err(local("read", content))
    }

    /// What the manifest says of a file, after it was put.
    fn file_put(
        &self,
        store: &Store,
        at: usize,
        (key, bytes): (&Key, Bytes),
        outcome: Result<Put, storage::Error>,
    ) -> Result<File, Error> {
        let local_file = &self.cut.files[at];
        let action = "put a file of a batch";
        let bytes = match outcome {
            Ok(_) => bytes,
            Err(error) if error.class() == Class::Conflict => {
                let found = store.get(key).map_err(Error::storage(action))?;
                self.keep_found(key, local_file, found)?
            }
            Err(error) => return Err(Error::storage(action)(error)),
        };
        Ok(File {
            path: key.to_string(),
            schema: local_file.folder.schema_name(),
            table: local_file.folder.table_name().into(),
            rows: local_file.row_groups.iter().sum(),
            bytes: bytes.len() as u64,
            sha256: hex_sha256(&bytes),
            schema_version: local_file.schema.version,
            min_received_at: utc_text(local_file.min_received_at),
            max_received_at: utc_text(local_file.max_received_at),
        })
    }

    /// Keeps an object that has our name, footer and row counts, whichever build wrote it: readers
    /// may have loaded it already.
    fn keep_found(
        &self,
        key: &Key,
        planned: &LocalFile,
        found: Option<Bytes>,
    ) -> Result<Bytes, Error> {
        let foreign = |reason| Error::Foreign { key: key.to_string(), reason };
        let Some(bytes) = found else {
            return Err(foreign("it is there and cannot be read"));
        };
        let Ok((footer, row_groups)) = columnar::read_footer(&bytes) else {
            return Err(foreign("it has no footer of ours"));
        };
        let batch = &self.cut.batch;
        let ours = footer.writer == batch.writer.as_str()
            && footer.batch == batch.number.0
            && footer.part == planned.part
            && footer.first_position == batch.from
            && footer.schema_version == planned.schema.version;
        if !ours {
            return Err(foreign("its footer names another batch"));
        }
        if row_groups != planned.row_groups {
            return Err(foreign("it has other row counts than planned"));
        }
        Ok(bytes)
    }

    fn put_manifest(&self, store: &Store, plan: &[u8]) -> Result<Committed, Error> {
        let action = "commit a batch";
        let manifest = self.make_manifest(plan);
        let bytes = manifest.to_bytes().map_err(Error::storage(action))?;
        let Cut { batch, .. } = &self.cut;
        let key = Key::Manifest(batch.writer.clone(), batch.number);
        match store.put_new(&key, &bytes) {
            Ok(_) => Ok(Committed::Yes(Box::new(manifest), bytes)),
            Err(error) if error.class() == Class::Conflict => {
                Err(Error::OtherLoader { number: batch.number.0 })
            }
            Err(error) => Err(Error::storage(action)(error)),
        }
    }

    fn make_manifest(&self, plan: &[u8]) -> Manifest {
        let Cut { batch, to, hour, books, rebuilds, .. } = &self.cut;
        let events: Counts = books.total();
        Manifest {
            format: 1,
            writer: batch.writer.to_string(),
            number: batch.number,
            previous: self.link.previous.clone(),
            journal: Range { partition: 0, from: batch.from, to: *to },
            batch_time: utc_text(batch.time),
            hour: hour.to_string(),
            plan: checksum(plan),
            events,
            sources: books.sources().clone(),
            files: self.done.iter().flatten().cloned().collect(),
            rebuilds: rebuilds.clone(),
        }
    }
}

fn local(action: &'static str, content: &Content) -> impl FnOnce(std::io::Error) -> Error {
    let path = content.path().to_owned();
    move |source| Error::Local { action, path, source }
}
