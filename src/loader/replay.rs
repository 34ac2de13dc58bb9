//! Makes the files of committed batches again from the journal, and holds them against the lake.
//!
//! For a person, not for the loop: it verifies what is there, restores what is lost under its own
//! name, or writes elsewhere. It mints no batches and replaces nothing.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::{collections::HashMap, io::Write};

use bytes::Bytes;

use super::batch::{Link, Pending};
use super::dedup::Dedup;
use super::local::make_empty;
use super::plan::Plan;
use super::planned::cut_again;
use super::range::Desk;
use super::rows::Batch;
use super::{Error, Services};
use crate::clock::Timestamp;
use crate::storage::keys::{Key, Number, Part};
use crate::storage::manifest::{File, Manifest, hex_sha256};
use crate::storage::parse_utc;
use crate::storage::registry::Registry;

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The lake has it, as it was committed.
    Verified,
    /// The lake had lost it; it is there again, as it was committed.
    Restored,
    /// It was written to the folder asked for.
    Written,
    /// The lake has other bytes than were committed. Nothing was changed.
    Damaged,
    /// The lake had lost it, and what the journal gives now has other bytes than were committed:
    /// another build wrote it. It can only be written elsewhere.
    Lost,
    /// The lake has it as it was committed, and what the journal gives now has other bytes: another
    /// build wrote it.
    OtherBuild,
}

impl Fate {
    /// Whether a person has to look.
    #[must_use]
    pub const fn is_bad(self) -> bool {
        matches!(self, Self::Damaged | Self::Lost)
    }

    /// In words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Restored => "restored",
            Self::Written => "written",
            Self::Damaged => "damaged",
            Self::Lost => "lost",
            Self::OtherBuild => "verified, written by another build",
        }
    }
}

/// A file of a batch that was made again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Its key.
    pub path: String,
    /// What became of it.
    pub fate: Fate,
}

/// Makes batches again.
#[derive(Debug)]
pub struct Replay {
    services: Services,
    desk: Desk,
    folder: PathBuf,
}

impl Replay {
    /// Works in `folder`, which is removed with all in it at the end.
    ///
    /// # Errors
    /// [`Error::Dedup`] if the folder cannot be made.
    pub fn new(services: Services, folder: PathBuf) -> Result<Self, Error> {
        // The plan has the verdicts; the table only takes what it is given and forgets it.
        let dedup = Dedup::open(
            folder.join("dedup"),
            super::dedup::Options::default(),
            None,
            Timestamp::default(),
        )
        .map_err(Error::Dedup)?;
        let registry = Registry::new(services.store.clone());
        Ok(Self { services, desk: Desk { dedup, registry, routes: HashMap::default() }, folder })
    }

    /// Makes the batch `number` of `writer` again; with `out` its files are written below that
    /// folder under their keys, else the lake is verified and restored. `None` if there is no such
    /// batch.
    ///
    /// # Errors
    /// [`Error::Journal`] if the journal does not reach back so far, [`Error::MappingVersion`] if
    /// another program must do it, [`Error::Plan`] if the journal gives other rows.
    pub fn batch(
        &mut self,
        writer: &Part,
        number: Number,
        out: Option<&Path>,
    ) -> Result<Option<Vec<Outcome>>, Error> {
        let action = "read a committed batch";
        let store = self.services.store.clone();
        let read = Manifest::read(&store, writer, number).map_err(Error::storage(action))?;
        let Some((manifest, _)) = read else { return Ok(None) };
        if manifest.rebuilds.is_some() {
            let reason = "it was made from the lake, not from a journal".into();
            return Err(Error::Plan { number: number.0, reason });
        }
        if manifest.journal.from == manifest.journal.to {
            // Its plan was never carried out.
            return Ok(Some(Vec::new()));
        }
        let key = Key::Plan(writer.clone(), number);
        let Some(bytes) = store.get(&key).map_err(Error::storage(action))? else {
            let reason = "its plan is gone".into();
            return Err(Error::Plan { number: number.0, reason });
        };
        let plan = Plan::from_bytes(&key, &bytes).map_err(Error::storage(action))?;
        let pending = self.make(writer, &plan, bytes)?;
        let mut outcomes = Vec::with_capacity(manifest.files.len());
        for (file, content) in manifest.files.iter().zip(pending.contents()) {
            let made = content.read().map_err(|source| Error::Local {
                action: "read",
                path: content.path().to_owned(),
                source,
            })?;
            let fate = match out {
                Some(out) => write_below(out, &file.path, &made)?,
                None => self.compare(file, &made)?,
            };
            outcomes.push(Outcome { path: file.path.clone(), fate });
        }
        Ok(Some(outcomes))
    }

    fn make(&mut self, writer: &Part, plan: &Plan, bytes: Bytes) -> Result<Pending, Error> {
        let number = plan.number;
        let time = parse_utc(&plan.batch_time)
            .ok_or_else(|| Error::Plan { number: number.0, reason: "its time is none".into() })?;
        let folder = self.folder.join("open");
        make_empty(&folder)?;
        let from = plan.journal.from;
        let batch = Batch { writer: writer.clone(), number, from, time, folder };
        self.desk.dedup.discard();
        let cut = cut_again(&mut self.services, &mut self.desk, batch, plan)?;
        let link = Link { previous: plan.previous.clone(), mapping: plan.mapping };
        Pending::planned(cut, link, plan, bytes)
    }

    fn compare(&self, file: &File, made: &Bytes) -> Result<Fate, Error> {
        let action = "compare a file with the lake";
        let unreadable = || Error::Foreign {
            key: file.path.clone(),
            reason: "the manifest names a file that no version of this program writes",
        };
        let key = Key::parse(&file.path).ok_or_else(unreadable)?;
        let is_same = hex_sha256(made) == file.sha256;
        let store = &self.services.store;
        match store.get(&key).map_err(Error::storage(action))? {
            Some(found) if hex_sha256(&found) != file.sha256 => Ok(Fate::Damaged),
            Some(_) if is_same => Ok(Fate::Verified),
            Some(_) => Ok(Fate::OtherBuild),
            None if is_same => {
                store.put_new(&key, made).map_err(Error::storage("restore a file"))?;
                Ok(Fate::Restored)
            }
            None => Ok(Fate::Lost),
        }
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            tracing::debug!(%error, "local files of a replay are left");
        }
    }
}

fn write_below(out: &Path, key: &str, bytes: &[u8]) -> Result<Fate, Error> {
    let path = out.join(key);
    let failed = |source| Error::Local { action: "write", path: path.clone(), source };
    if let Some(parent) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(failed)?;
    }
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&path).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    Ok(Fate::Written)
}
