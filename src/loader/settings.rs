//! The load settings, as a plan keeps them in full: all that decides rows, columns and bytes of a
//! batch besides its records. No secret is among them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::columnar::{self, Compression, Pin, Standard, type_name, type_of};
use crate::unified::{Block, CORE, MADE, Unified};
use crate::warehouse::names::{NameMode, Namer};
use crate::warehouse::{ColumnId, ColumnType, Dialect, JsonPaths, Layout, Mapper, TableKind};

/// Columns of a table at most, where the dialect itself takes more.
const COLUMNS_MAX: usize = 1_600;

/// Event tables of a schema at most: ten times those of a team that counts everything.
const TABLES_MAX: u32 = 4_000;

/// The load settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The dialect's name.
    pub dialect: String,
    /// `auto`, `zstd` or `snappy`.
    pub compression: String,
    /// Columns of a table at most.
    pub columns_max: usize,
    /// Event tables of a schema at most; events of further names are in `other_events`.
    pub tables_max: u32,
    /// Builder bytes at which a row group closes.
    pub row_group_bytes: u64,
    /// File bytes at which a part closes.
    pub part_bytes: u64,
    /// The layout of each source, by id; others have the usual one.
    pub layouts: BTreeMap<String, LayoutSettings>,
    /// The `[[unified]]` blocks.
    pub unified: Vec<BlockSettings>,
    /// The `[[column]]` blocks.
    pub columns: Vec<PinSettings>,
}

/// A source's layout.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "see `warehouse::Layout`, of which this is the written form")]
pub struct LayoutSettings {
    pub skip_tracks_table: bool,
    pub skip_users_table: bool,
    pub underscore_divide_numbers: bool,
    pub allow_users_context_traits: bool,
    pub store_full_event: bool,
    pub identity_rules: bool,
    pub source_category: String,
    pub json_paths: Vec<String>,
}

/// A unified table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "see `unified::Block`, of which this is the written form")]
pub struct BlockSettings {
    pub name: String,
    pub environments: Vec<String>,
    pub sources: Vec<String>,
    pub schemas: Vec<String>,
    pub include_tables: Vec<String>,
    pub exclude_tables: Vec<String>,
    pub exclude_events: Vec<String>,
    pub exclude_columns: Vec<String>,
    pub aliases: Vec<(String, Vec<String>)>,
    pub generation: u32,
}

/// The type of a column, fixed before its birth.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinSettings {
    /// Glob over tables.
    pub table: String,
    /// Glob over columns.
    pub name: String,
    /// The type's name.
    #[serde(rename = "type")]
    pub column_type: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            dialect: Dialect::Datalake.name().into(),
            compression: "auto".into(),
            columns_max: COLUMNS_MAX,
            tables_max: TABLES_MAX,
            row_group_bytes: 128 << 20,
            part_bytes: 128 << 20,
            layouts: BTreeMap::new(),
            unified: Vec::new(),
            columns: Vec::new(),
        }
    }
}

impl Settings {
    /// Columns that a table of the lake has at most.
    #[must_use]
    pub fn columns_cap(&self) -> usize {
        self.columns_max.min(self.dialect().map_or(usize::MAX, Dialect::columns_max))
    }

    /// The dialect of names and types.
    ///
    /// # Errors
    /// [`SettingError`] if it is none.
    pub fn dialect(&self) -> Result<Dialect, SettingError> {
        let named = |dialect: &Dialect| dialect.name() == self.dialect;
        let wrong = || SettingError { key: "dialect", found: self.dialect.clone() };
        Dialect::ALL.into_iter().find(named).ok_or_else(wrong)
    }

    /// The unified tables that the settings make.
    ///
    /// # Errors
    /// [`SettingError`] for the first setting that is none.
    pub fn unified(&self) -> Result<Unified, SettingError> {
        Ok(Unified::clone(&Compiled::new(self)?.unified))
    }
}

/// A setting that is not one.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("load setting {key} is {found:?}")]
pub struct SettingError {
    /// Which.
    pub key: &'static str,
    /// What it says.
    pub found: String,
}

/// The settings in the form that works.
#[derive(Clone, Debug)]
pub(super) struct Compiled {
    pub(super) dialect: Dialect,
    pub(super) layouts: BTreeMap<String, Layout>,
    pub(super) unified: Arc<Unified>,
    base: columnar::Settings,
}

impl Compiled {
    /// Checks `settings`.
    pub(super) fn new(settings: &Settings) -> Result<Self, SettingError> {
        let wrong = |key, found: &str| SettingError { key, found: found.into() };
        let dialect = settings.dialect()?;
        let compression = match settings.compression.as_str() {
            "auto" => Compression::Auto,
            "zstd" => Compression::Zstd,
            "snappy" => Compression::Snappy,
            other => return Err(wrong("compression", other)),
        };
        let pin = |pin: &PinSettings| {
            let column_type = type_of(&pin.column_type);
            let column_type = column_type.ok_or_else(|| wrong("columns.type", &pin.column_type))?;
            Ok(Pin { table: pin.table.clone(), name: pin.name.clone(), column_type })
        };
        let nobody = Timestamp::from_micros(0);
        let base = columnar::Settings {
            columns_max: settings.columns_cap(),
            identifier_bytes_max: dialect.name_bytes_max(),
            row_group_bytes: settings.row_group_bytes,
            part_bytes: settings.part_bytes,
            compression,
            pins: settings.columns.iter().map(pin).collect::<Result<_, _>>()?,
            standard: standard_types(dialect),
            loaded_at: dialect.has_loaded_at(),
            ..columnar::Settings::new("", 0, 0, nobody)
        };
        let layouts = settings.layouts.iter();
        Ok(Self {
            dialect,
            layouts: layouts.map(|(source, layout)| (source.clone(), layout.into())).collect(),
            unified: Arc::new(Unified::new(
                settings.unified.iter().map(Block::from).collect(),
                escaped_names(dialect),
            )),
            base,
        })
    }

    /// The settings of one batch.
    pub(super) fn of_batch(&self, batch: &super::rows::Batch) -> columnar::Settings {
        columnar::Settings {
            writer: batch.writer.to_string(),
            batch: batch.number.0,
            first_position: batch.from,
            batch_time: batch.time,
            ..self.base.clone()
        }
    }
}

/// The types that the layout fixes, worked out once.
fn standard_types(dialect: Dialect) -> Standard {
    let mapper = Mapper::new(dialect);
    let mut types = BTreeMap::<&'static str, BTreeMap<String, ColumnType>>::new();
    for kind in KINDS {
        for id in 0..mapper.columns_len() {
            let column = ColumnId(u32::try_from(id).unwrap_or(u32::MAX));
            if let Some(column_type) = mapper.standard_type(kind, column) {
                let name = mapper.column_name(column).to_owned();
                types.entry(kind_name(kind)).or_default().insert(name, column_type);
            }
        }
    }
    Standard::new(move |kind, column| types.get(kind_name(kind))?.get(column).copied())
}

const KINDS: [TableKind; 11] = [
    TableKind::Tracks,
    TableKind::Event,
    TableKind::Identifies,
    TableKind::Users,
    TableKind::Pages,
    TableKind::Screens,
    TableKind::Groups,
    TableKind::Aliases,
    TableKind::MergeRules,
    TableKind::Discards,
    TableKind::Rejected,
];

const fn kind_name(kind: TableKind) -> &'static str {
    match kind {
        TableKind::Tracks => "tracks",
        TableKind::Event => "event",
        TableKind::Identifies => "identifies",
        TableKind::Users => "users",
        TableKind::Pages => "pages",
        TableKind::Screens => "screens",
        TableKind::Groups => "groups",
        TableKind::Aliases => "aliases",
        TableKind::MergeRules => "merge rules",
        TableKind::Discards => "discards",
        TableKind::Rejected => "rejected",
    }
}

/// Standard columns that the dialect gives another name in its own tables, each with the core
/// column of the unified tables that it feeds.
fn escaped_names(dialect: Dialect) -> Vec<(String, String)> {
    let namer = Namer::new(dialect);
    let names = CORE.iter().map(|(name, ..)| *name).filter(|name| !MADE.contains(name));
    let escaped = |name: &str| namer.standard(name, NameMode::default());
    names.map(|name| (escaped(name), name.to_owned())).filter(|(a, b)| a != b).collect()
}

impl From<&LayoutSettings> for Layout {
    fn from(settings: &LayoutSettings) -> Self {
        Self {
            skip_tracks_table: settings.skip_tracks_table,
            skip_users_table: settings.skip_users_table,
            underscore_divide_numbers: settings.underscore_divide_numbers,
            allow_users_context_traits: settings.allow_users_context_traits,
            store_full_event: settings.store_full_event,
            identity_rules: settings.identity_rules,
            source_category: settings.source_category.clone(),
            json_paths: settings.json_paths.iter().map(String::as_str).collect::<JsonPaths>(),
        }
    }
}

impl From<&BlockSettings> for Block {
    fn from(settings: &BlockSettings) -> Self {
        let settings = settings.clone();
        Self {
            name: settings.name,
            environments: settings.environments,
            sources: settings.sources,
            schemas: settings.schemas,
            include_tables: settings.include_tables,
            exclude_tables: settings.exclude_tables,
            exclude_events: settings.exclude_events,
            exclude_columns: settings.exclude_columns,
            aliases: settings.aliases,
            generation: settings.generation.max(1),
        }
    }
}

impl From<&Pin> for PinSettings {
    fn from(pin: &Pin) -> Self {
        Self {
            table: pin.table.clone(),
            name: pin.name.clone(),
            column_type: type_name(pin.column_type).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_back_and_unknown_ones_ignored() {
        let mut settings = Settings::default();
        let layout = LayoutSettings { json_paths: vec!["a.b".into()], ..LayoutSettings::default() };
        settings.layouts.insert("web_prod".into(), layout);
        settings.unified.push(BlockSettings { name: "all".into(), ..BlockSettings::default() });
        let mut value = serde_json::to_value(&settings).unwrap();
        assert_eq!(serde_json::from_value::<Settings>(value.clone()).unwrap(), settings);
        value["a_later_key"] = 1.into();
        assert_eq!(serde_json::from_value::<Settings>(value).unwrap(), settings);
        let compiled = Compiled::new(&settings).unwrap();
        assert_eq!(compiled.unified.blocks.len(), 2);
        assert_eq!(compiled.unified.blocks[1].generation, 1);
    }

    #[test]
    fn wrong_settings_are_named() {
        for (key, settings) in [
            ("dialect", Settings { dialect: "x".into(), ..Settings::default() }),
            ("compression", Settings { compression: "lzo".into(), ..Settings::default() }),
        ] {
            assert_eq!(Compiled::new(&settings).unwrap_err().key, key);
        }
    }

    #[test]
    fn standard_columns_have_their_types_and_escaped_names_lead_to_core_columns() {
        let compiled = Compiled::new(&Settings::default()).unwrap();
        assert!(
            compiled.unified.escaped.contains(&("_timestamp".to_owned(), "timestamp".to_owned())),
            "{:?}",
            compiled.unified.escaped
        );
        // There `event_date` is escaped too, which is no standard column but a property.
        let databricks = Settings { dialect: "databricks".into(), ..Settings::default() };
        let compiled = Compiled::new(&databricks).unwrap();
        let escaped = &compiled.unified.escaped;
        assert!(escaped.iter().all(|(name, _)| name != "_event_date"), "{escaped:?}");
    }
}
