//! Fills a unified table from what the lake already holds: the batches of every writer before the
//! first one that filled the table live.
//!
//! Each writer's chain is followed by a chain of our own, one for each environment, in which batch
//! `n` has the rows of the writer's batch `n`, under a writer id made of the table and the writer.
//! So where to go on is told by our last manifest, a kill at any moment costs one batch, two
//! rebuilds at once make the same objects, and nothing is filled twice: whether a batch was live is
//! told by its own plan. Plans, files and manifests are the loader's.

mod members;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use super::batch::{Committed, Link, Pending};
use super::books::Books;
use super::dedup::{self, Dedup};
use super::local::make_empty;
use super::opener::{Opener, local_files};
use super::plan::{LeftOut, Plan, PlannedRoute};
use super::range::{Cut, Desk};
use super::rows::{Batch, Pressed};
use super::settings::Compiled;
use super::{MAPPING_VERSION, Settings};
use crate::clock::Timestamp;
use crate::columnar::{ReadError, Tables};
use crate::record::Route;
use crate::storage::keys::{Hour, Key, Number, Part, Prefix};
use crate::storage::manifest::{Manifest, Rebuilds, checksum, hex_sha256};
use crate::storage::registry::Registry;
use crate::storage::{Store, parse_utc};
use crate::unified::{Block, Unified, glob};
use members::Members;

/// Bytes of open row groups at which the largest is closed.
const MEMORY_BYTES: u64 = 128 << 20;

/// Tries of one batch: each but the last was beaten by another writer that went on.
const TRIES: u32 = 20;

/// Why a table could not be filled. What is committed stays; the next run goes on behind it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No block of that name.
    #[error("the configuration has no unified table {name}")]
    NoTable {
        /// The name.
        name: String,
    },
    /// As for the loader.
    #[error(transparent)]
    Loader(#[from] super::Error),
    /// A file of the lake cannot be read.
    #[error("cannot read {key}")]
    Read {
        /// The file.
        key: String,
        /// Why.
        #[source]
        source: ReadError,
    },
    /// An object that a manifest speaks of is gone.
    #[error("{key} is gone from the lake")]
    Gone {
        /// The object.
        key: String,
    },
    /// Nobody knows which environment a schema belongs to.
    #[error(
        "batch {number} of {writer} has events of schema {schema}, which no source of the \
         configuration has: add its source again, with enabled = false"
    )]
    NoSource {
        /// The schema.
        schema: String,
        /// The batch.
        number: u64,
        /// Whose.
        writer: String,
    },
    /// Other writers were always first.
    #[error("batch {number} of {writer} was beaten by other writers {TRIES} times")]
    Beaten {
        /// The batch.
        number: u64,
        /// Whose.
        writer: String,
    },
}

/// A table to be filled.
#[derive(Debug)]
pub struct Rebuild {
    store: Store,
    /// The load settings with this block only.
    settings: Settings,
    block: Block,
    routes: Vec<Route>,
    desk: Desk,
    folder: PathBuf,
}

/// One writer's batches as far as one environment's table is concerned.
#[derive(Clone, Debug)]
pub struct Chain {
    /// The environment.
    pub environment: String,
    /// Whose batches are read.
    pub source: Part,
    /// Its last committed batch.
    pub newest: Number,
    /// Its first batch that filled the table live, if there is one behind what is done.
    pub first_live: Option<Number>,
    writer: Part,
    last: Option<(Number, String)>,
}

impl Chain {
    /// Batches that are still to be made.
    #[must_use]
    pub fn todo(&self) -> u64 {
        let end = self.first_live.map_or(self.newest.0, |live| live.0 - 1);
        end.saturating_sub(self.done())
    }

    /// Batches that are made.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.last.as_ref().map_or(0, |(number, _)| number.0)
    }
}

impl Rebuild {
    /// Gets ready to fill the table `name` of `settings` for the sources with `routes`. Local files
    /// go below `folder`, which is removed at the end.
    ///
    /// # Errors
    /// [`Error::NoTable`], or the settings or the folder cannot be used.
    pub fn new(
        store: Store,
        settings: &Settings,
        name: &str,
        routes: Vec<Route>,
        folder: PathBuf,
    ) -> Result<Self, Error> {
        let mut settings = settings.clone();
        settings.unified.retain(|block| block.name == name);
        let blocks = Unified::new(settings.unified.iter().map(Block::from).collect(), Vec::new());
        let block = blocks.blocks.into_iter().find(|block| block.name == name);
        let block = block.ok_or_else(|| Error::NoTable { name: name.to_owned() })?;
        make_empty(&folder)?;
        let dedup = Dedup::open(
            folder.join("dedup"),
            dedup::Options::default(),
            None,
            Timestamp::default(),
        )
        .map_err(super::Error::Dedup)?;
        let registry = Registry::new(store.clone());
        let desk = Desk { dedup, registry, routes: HashMap::default() };
        Ok(Self { store, settings, block, routes, desk, folder })
    }

    /// The generation that is filled.
    #[must_use]
    pub const fn generation(&self) -> u32 {
        self.block.generation
    }

    /// Looks how far the table is: one chain for each writer and environment.
    ///
    /// # Errors
    /// What the lake said.
    pub fn survey(&self) -> Result<Vec<Chain>, Error> {
        let action = "list the batches of the lake";
        let mut newest = BTreeMap::<Part, Number>::new();
        for key in self.store.list(&Prefix::Manifests).map_err(failed(action))? {
            if let Key::Manifest(writer, number) = key {
                let known = newest.entry(writer).or_insert(number);
                *known = number.max(*known);
            }
        }
        let globs = &self.block.environments;
        let environments: BTreeSet<&str> = self
            .routes
            .iter()
            .map(|route| route.environment.as_str())
            .filter(|of| globs.is_empty() || globs.iter().any(|glob| glob::matches(glob, of)))
            .collect();
        let mut chains = Vec::new();
        for (source, newest) in newest {
            let first = Manifest::read(&self.store, &source, Number::FIRST);
            let first = first.map_err(failed(action))?;
            if first.is_none_or(|(first, _)| first.rebuilds.is_some()) {
                continue;
            }
            for environment in &environments {
                chains.push(self.chain(environment, &source, newest)?);
            }
        }
        Ok(chains)
    }

    fn chain(&self, environment: &str, source: &Part, newest: Number) -> Result<Chain, Error> {
        let action = "look how far the table is filled";
        let Block { name, generation, .. } = &self.block;
        let digest = hex_sha256(source.as_str().as_bytes());
        let of = digest.get(..8).unwrap_or_default();
        let writer = Part::new(&format!("rebuild-{environment}-{name}-v{generation}-{of}"))
            .map_err(|source| super::Error::Key { what: "a rebuilt table's writer", source })?;
        let last = Manifest::last(&self.store, &writer, Number(0)).map_err(failed(action))?;
        let last = last.map(|(manifest, bytes)| (manifest.number, checksum(&bytes)));
        let mut chain = Chain {
            environment: environment.to_owned(),
            source: source.clone(),
            newest,
            first_live: None,
            writer,
            last,
        };
        // Once live, a table stays so; should it not, each batch is asked again when it comes.
        let (mut low, mut high) = (chain.done() + 1, newest.0 + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.is_live(&chain, Number(middle))? {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        chain.first_live = (low <= newest.0).then_some(Number(low));
        Ok(chain)
    }

    /// Whether the table was filled when the writer made its batch `number`.
    fn is_live(&self, chain: &Chain, number: Number) -> Result<bool, Error> {
        let key = Key::Plan(chain.source.clone(), number);
        let plan = self.plan(&key)?.ok_or_else(|| Error::Gone { key: key.to_string() })?.0;
        let settings = read_settings(&plan)?;
        let blocks = settings.unified.iter().map(Block::from).collect();
        Ok(Unified::new(blocks, Vec::new()).blocks.iter().any(|block| {
            let globs = &block.environments;
            block.name == self.block.name
                && block.generation == self.block.generation
                && (globs.is_empty() || globs.iter().any(|g| glob::matches(g, &chain.environment)))
        }))
    }

    fn plan(&self, key: &Key) -> Result<Option<(Plan, Bytes)>, Error> {
        let action = "read the plan of a batch";
        let Some(bytes) = self.store.get(key).map_err(failed(action))? else { return Ok(None) };
        Ok(Some((Plan::from_bytes(key, &bytes).map_err(failed(action))?, bytes)))
    }

    /// Makes the next batch of a chain; `None` when it has come to the first live one, or to the
    /// last one of its writer.
    ///
    /// # Errors
    /// See [`Error`]; the batch is not there then, or it is whole.
    pub fn step(&mut self, chain: &mut Chain) -> Result<Option<u64>, Error> {
        let number = Number(chain.done() + 1);
        if number > chain.newest {
            return Ok(None);
        }
        if self.is_live(chain, number)? {
            chain.first_live = Some(number);
            return Ok(None);
        }
        let read = Manifest::read(&self.store, &chain.source, number);
        let key = Key::Manifest(chain.source.clone(), number);
        let source = read.map_err(failed("read a committed batch"))?;
        let (source, bytes) = source.ok_or_else(|| Error::Gone { key: key.to_string() })?;
        for _ in 0..TRIES {
            if let Some((manifest, bytes)) = self.attempt(chain, &source, &bytes)? {
                chain.last = Some((number, checksum(&bytes)));
                return Ok(Some(manifest.files.iter().map(|file| file.rows).sum()));
            }
        }
        Err(Error::Beaten { number: number.0, writer: chain.writer.to_string() })
    }

    /// Makes a batch once; `None` if another writer was first somewhere.
    fn attempt(
        &mut self,
        chain: &Chain,
        source: &Manifest,
        bytes: &Bytes,
    ) -> Result<Option<(Manifest, Bytes)>, Error> {
        let number = source.number;
        let there = Manifest::read(&self.store, &chain.writer, number);
        if let Some(there) = there.map_err(failed("look for a committed batch"))? {
            return Ok(Some(there));
        }
        let mut pending = self.pending(chain, source, bytes)?;
        match pending.commit(&self.store, &mut self.desk) {
            Ok(Committed::Yes(manifest, bytes)) => Ok(Some((*manifest, bytes))),
            Ok(Committed::LostRace) | Err(super::Error::OtherLoader { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn pending(
        &mut self,
        chain: &Chain,
        source: &Manifest,
        bytes: &Bytes,
    ) -> Result<Pending, Error> {
        let number = source.number;
        let wrong = |reason: &str| super::Error::Plan { number: number.0, reason: reason.into() };
        let folder = self.folder.join("open");
        make_empty(&folder)?;
        self.desk.dedup.discard();
        let time = parse_utc(&source.batch_time).ok_or_else(|| wrong("its time is none"))?;
        let batch = Batch { writer: chain.writer.clone(), number, from: 0, time, folder };
        let planned = self.plan(&Key::Plan(chain.writer.clone(), number))?;
        let (settings, value) = match &planned {
            Some((plan, _)) => (read_settings(plan)?, plan.settings.clone()),
            None => (self.settings.clone(), to_value(&self.settings, number)?),
        };
        if let Some((Plan { mapping, program, .. }, _)) = &planned
            && *mapping != MAPPING_VERSION
        {
            return Err(Error::Loader(super::Error::MappingVersion {
                number: number.0,
                found: *mapping,
                known: MAPPING_VERSION,
                program: program.clone(),
            }));
        }
        let opener = match &planned {
            Some((plan, _)) => {
                let registry = self.desk.registry.clone();
                Opener::rewrite(registry, batch.folder.clone(), &plan.parts)?
            }
            None => Opener::cut(self.desk.registry.clone(), batch.folder.clone(), usize::MAX),
        };
        let parts = opener.parts();
        let routes = self.routes_of(source, planned.as_ref().map(|(plan, _)| plan));
        let tables = self.fill(chain, source, (&settings, &batch, &routes), opener)?;
        let files = local_files(tables.finish().map_err(super::Error::Rows)?, &parts)?;
        let hour = Hour::parse(&source.hour).ok_or_else(|| wrong("its hour is none"))?;
        let rebuilds =
            Rebuilds { writer: source.writer.clone(), number, manifest: checksum(bytes) };
        let cut = Cut {
            batch,
            settings: value,
            to: 0,
            records: crc32c::crc32c(bytes),
            hour,
            left_out: LeftOut::default(),
            books: Books::default(),
            files,
            pressed: Pressed::default(),
            rebuilds: Some(rebuilds),
            routes: routes.iter().map(PlannedRoute::from).collect(),
        };
        let previous = chain.last.as_ref().map(|(_, checksum)| checksum.clone());
        let link = Link { previous, mapping: MAPPING_VERSION };
        Ok(match planned {
            Some((plan, bytes)) => Pending::planned(cut, link, &plan, bytes)?,
            None => Pending::new(cut, link),
        })
    }

    /// What the sources of the batch `source` are: what the plan says, which a changed configuration
    /// does not change, else what the configuration has.
    fn routes_of(&self, source: &Manifest, plan: Option<&Plan>) -> Vec<Route> {
        if let Some(plan) = plan.filter(|plan| !plan.routes.is_empty()) {
            return plan.routes.iter().map(Route::from).collect();
        }
        let schemas: BTreeSet<&str> =
            source.files.iter().map(|file| file.schema.as_str()).collect();
        let of_batch = self.routes.iter().filter(|route| schemas.contains(route.schema.as_str()));
        of_batch.cloned().collect()
    }

    /// The rows of the batch `source` in the table.
    fn fill(
        &self,
        chain: &Chain,
        source: &Manifest,
        (settings, batch, routes): (&Settings, &Batch, &[Route]),
        opener: Opener,
    ) -> Result<Tables, Error> {
        let compiled = Compiled::new(settings).map_err(|error| super::Error::Plan {
            number: batch.number.0,
            reason: error.to_string(),
        })?;
        let mut unified = Unified::clone(&compiled.unified);
        unified.blocks.retain(|block| block.name == self.block.name);
        let unified = Arc::new(unified);
        let columns = compiled.of_batch(batch);
        let mut tables = Tables::only_unified(columns, Arc::clone(&unified), Box::new(opener));
        let block = unified.blocks.first().unwrap_or(&self.block);
        let members = Members {
            store: &self.store,
            manifest: source,
            block,
            routes,
            environment: &chain.environment,
        };
        members.give(&mut tables)?;
        Ok(tables)
    }
}

impl Drop for Rebuild {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            tracing::debug!(%error, "local files of a rebuild are left");
        }
    }
}

fn failed(action: &'static str) -> impl FnOnce(crate::storage::Error) -> Error {
    move |source| Error::Loader(super::Error::Storage { action, source })
}

fn read_settings(plan: &Plan) -> Result<Settings, super::Error> {
    serde_json::from_value(plan.settings.clone()).map_err(|error| super::Error::Plan {
        number: plan.number.0,
        reason: format!("its settings cannot be read: {error}"),
    })
}

fn to_value(settings: &Settings, number: Number) -> Result<Value, super::Error> {
    let reason = |error: serde_json::Error| error.to_string();
    serde_json::to_value(settings)
        .map_err(|error| super::Error::Plan { number: number.0, reason: reason(error) })
}
