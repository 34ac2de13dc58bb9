//! From the checked configuration to a running loader.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use arc_swap::ArcSwap;

use super::{Error, World};
use crate::config::{self, Config};
use crate::journal::disk::files::ReadOnly;
use crate::journal::disk::inspect;
use crate::journal::{Journal, Position};
use crate::loader::{
    self, BlockSettings, LayoutSettings, Limits, Options, PinSettings, Services, Settings,
    Warehouse, dedup,
};
use crate::storage::Store;

/// Batches that a journal has room for at least: one is committed while others come in.
const BATCHES_MIN: u64 = 4;

/// Settings of the loader that a reload may exchange between batches.
pub(super) type Shared = Arc<ArcSwap<Settings>>;

/// The loader's folder beside a journal's segments: its notes live and die with them.
fn folder(journal: &Path) -> PathBuf {
    journal.join("loader")
}

/// The first record of the journal in the folder `journal` that is in no batch, as far as the loader
/// noted that.
#[must_use]
pub fn loaded_to(journal: &Path) -> Position {
    match inspect::writer_id(&ReadOnly, journal) {
        Ok(Some(writer)) => loader::loaded_to(&folder(journal), &writer),
        // There is no journal yet, or none that can be opened.
        Ok(None) | Err(_) => Position::ZERO,
    }
}

/// Starts the loader's thread.
pub(super) fn start(
    config: &Config,
    world: &World,
    journal: &Arc<dyn Journal>,
    store: Store,
    settings: &Shared,
) -> Result<(loader::Handle, JoinHandle<()>), Error> {
    let workshop = Warehouse::new(Arc::clone(settings))
        .map_err(|error| Error::Config(vec![error.to_string()]))?;
    let options = Options {
        folder: folder(&config.journal.path),
        dialect: config.load.dialect.to_owned(),
        limits: Limits {
            max_age: config.load.max_age,
            // Only what is committed is given back: a journal that holds less than a batch may have
            // would be full, and refuse events, until the batch is old enough.
            max_bytes: config.load.max_bytes.min(config.journal.max_bytes / BATCHES_MIN),
            memory: config.load.memory,
        },
        dedup: dedup::Options {
            window: config.dedup.window,
            keys_max: usize::try_from(config.dedup.max_keys).unwrap_or(usize::MAX),
        },
    };
    let services = Services {
        journal: Arc::clone(journal),
        store,
        clock: Arc::clone(&world.clock),
        workshop: Box::new(workshop),
    };
    loader::spawn(options, services)
        .map_err(|source| Error::System { action: "start the loader's thread", source })
}

/// What decides rows, columns and bytes besides the records.
#[must_use]
pub fn settings(config: &Config) -> Settings {
    Settings {
        dialect: config.load.dialect.to_owned(),
        compression: match config.load.compression {
            config::Compression::Auto => "auto",
            config::Compression::Zstd => "zstd",
            config::Compression::Snappy => "snappy",
        }
        .to_owned(),
        tables_max: config.load.max_tables,
        layouts: config.sources.iter().map(layout).collect(),
        unified: config.unified.iter().map(block).collect(),
        columns: config
            .columns
            .iter()
            .map(|column| PinSettings {
                table: column.table.clone(),
                name: column.name.clone(),
                column_type: column.r#type.as_str().to_owned(),
            })
            .collect(),
        ..Settings::default()
    }
}

fn layout(source: &config::Source) -> (String, LayoutSettings) {
    let layout = &source.layout;
    let settings = LayoutSettings {
        skip_tracks_table: layout.skip_tracks_table,
        skip_users_table: layout.skip_users_table,
        underscore_divide_numbers: layout.underscore_divide_numbers,
        allow_users_context_traits: layout.allow_users_context_traits,
        store_full_event: layout.store_full_event,
        identity_rules: layout.identity_rules,
        json_paths: layout.json_paths.clone(),
        ..LayoutSettings::default()
    };
    (source.id.clone(), settings)
}

fn block(unified: &config::Unified) -> BlockSettings {
    BlockSettings {
        name: unified.name.clone(),
        environments: unified.environments.clone(),
        sources: unified.sources.clone(),
        schemas: unified.schemas.clone(),
        include_tables: unified.include_tables.clone(),
        exclude_tables: unified.exclude_tables.clone(),
        exclude_events: unified.exclude_events.clone(),
        exclude_columns: unified.exclude_columns.clone(),
        aliases: unified.aliases.iter().map(|(name, of)| (name.clone(), of.clone())).collect(),
        generation: unified.generation,
    }
}
