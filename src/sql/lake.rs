//! The lake as statements need it: tables with their columns, batches with their files, sources.

use std::collections::{BTreeMap, HashSet};

use super::ddl::{LOADS, MAPPINGS};
use super::{Dialect, Location};
use crate::clock::Timestamp;
use crate::columnar::{Schema, type_name};
use crate::unified::Unified;
use crate::warehouse::{ColumnType, TableKind};

/// Everything that statements are made of.
#[derive(Debug)]
pub struct Lake {
    /// Whose words the names of columns are in.
    pub dialect: Dialect,
    /// Where the warehouse reads the files.
    pub location: Location,
    /// The tables, by schema and name.
    pub tables: Vec<Table>,
    /// The batches, in the order in which they are loaded.
    pub batches: Vec<Batch>,
    /// The configured sources.
    pub sources: Vec<Source>,
    /// The `[[unified]]` blocks.
    pub unified: Unified,
    /// Only users with an identify in a batch from here on (RFC 3339) are looked at again.
    pub since: Option<String>,
}

impl Lake {
    /// The table `name` of `schema`.
    pub(super) fn table(&self, schema: &str, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.schema == schema && table.name == name)
    }

    /// The names in `schema` that tables and what belongs to them have in the warehouse.
    pub(super) fn taken(&self, schema: &str) -> HashSet<String> {
        let mut taken = ours();
        for table in self.tables.iter().filter(|table| table.schema == schema) {
            taken.extend([table.label.clone(), table.index.clone()]);
        }
        taken
    }
}

/// Whose table it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A table of a source's schema.
    Source,
    /// A unified table.
    Unified {
        /// The environment.
        environment: String,
        /// The block's name.
        block: String,
        /// Which filling of it.
        generation: u32,
    },
}

/// A table of the lake and of the warehouse.
#[derive(Clone, Debug)]
pub struct Table {
    /// The schema, lower case.
    pub schema: String,
    /// The name in the lake, lower case.
    pub name: String,
    /// The name in the warehouse, lower case: cut where the dialect's limit is shorter, another one
    /// where the scripts keep something under it, and with `_v<generation>` at its end for a
    /// unified table of a later generation.
    pub label: String,
    /// The name of its index, for warehouses that have one.
    pub(super) index: String,
    /// When it was first seen.
    pub(super) born: Timestamp,
    /// Whose it is.
    pub origin: Origin,
    /// What it holds.
    pub kind: TableKind,
    /// Its columns in the order of the files.
    pub columns: Vec<Column>,
    /// How many of the columns each schema version has that a file was written with.
    pub versions: BTreeMap<u64, usize>,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The name in the files, lower case.
    pub name: String,
    /// The name in the warehouse: cut where the dialect's limit is shorter.
    pub label: String,
    /// Its type.
    pub kind: ColumnType,
    /// It is never null.
    pub is_required: bool,
    /// For strings, the bound in bytes that no value passes.
    pub max_bytes: u64,
}

/// A committed batch.
#[derive(Clone, Debug)]
pub struct Batch {
    /// `<writer>-<number>`, as in the names of its files.
    pub id: String,
    /// When its range was opened, RFC 3339.
    pub time: String,
    /// Its files in the order of the manifest.
    pub files: Vec<File>,
}

/// A data file.
#[derive(Clone, Debug)]
pub struct File {
    /// Its key in the lake.
    pub path: String,
    /// Index in [`Lake::tables`].
    pub table: usize,
    /// Rows in it.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// Which version of the columns it has.
    pub version: u64,
}

/// A configured source.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "as in `config::Source`")]
pub struct Source {
    pub id: String,
    pub name: String,
    pub environment: String,
    pub schema: String,
    /// Empty where the events tell.
    pub platform: String,
    pub keep_received_at: bool,
}

impl Table {
    /// The columns of `schema`, under names that `dialect` takes.
    #[must_use]
    pub fn new(
        dialect: Dialect,
        (schema_name, name): (&str, &str),
        origin: Origin,
        schema: &Schema,
    ) -> Self {
        let kind = match origin {
            Origin::Source => {
                let mut columns = schema.columns.iter();
                TableKind::of_table(name, columns.any(|column| column.name == "event"))
            }
            Origin::Unified { .. } => TableKind::Event,
        };
        let label = match origin {
            Origin::Unified { generation, .. } if generation > 1 => format!("{name}_v{generation}"),
            _ => name.to_owned(),
        };
        let born = schema.columns.first().map(|column| column.first_seen);
        Self {
            schema: schema_name.to_owned(),
            name: name.to_owned(),
            index: index(&label),
            label,
            born: born.unwrap_or(Timestamp::from_millis(0)),
            origin,
            kind,
            columns: columns(dialect, schema),
            versions: BTreeMap::new(),
        }
    }

    /// The column called `name` in the files.
    pub(super) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The columns that files of a version have.
    pub(super) fn columns_of(&self, version: u64) -> &[Column] {
        let count = self.versions.get(&version).copied().unwrap_or(self.columns.len());
        self.columns.get(..count).unwrap_or(&self.columns)
    }

    /// The columns whose values are those of `name`: itself and its variants.
    pub(super) fn family<'t>(&'t self, name: &str) -> impl Iterator<Item = &'t Column> {
        self.columns.iter().filter(move |column| self.base_of(column) == name)
    }

    /// A column and, if it is a variant, the name of the one whose values it takes.
    pub(super) fn base_of<'c>(&self, column: &'c Column) -> &'c str {
        let variant = column.name.strip_suffix(type_name(column.kind));
        let base = variant.and_then(|rest| rest.strip_suffix("__"));
        base.filter(|base| self.column(base).is_some()).unwrap_or(&column.name)
    }
}

/// What the scripts themselves keep in a schema.
fn ours() -> HashSet<String> {
    let names = [LOADS, MAPPINGS];
    // Postgres has the indexes of keys among the tables.
    let keys = names.map(|name| format!("{name}_pkey"));
    names.map(str::to_owned).into_iter().chain(keys).collect()
}

/// The name of a table's index.
fn index(label: &str) -> String {
    format!("{}_once", label.get(..50).unwrap_or(label))
}

/// Gives every table a name of its own in the warehouse. Names are given out in the order in which
/// the tables were first seen, so that one keeps the name it once had.
pub fn label_tables(dialect: Dialect, tables: &mut [Table]) {
    let mut schemas: BTreeMap<String, HashSet<String>> = BTreeMap::new();
    let mut order: Vec<&mut Table> = tables.iter_mut().collect();
    order.sort_by(|a, b| (a.born, &a.schema, &a.name).cmp(&(b.born, &b.schema, &b.name)));
    for table in order {
        let taken = schemas.entry(table.schema.clone()).or_insert_with(ours);
        table.label = free_name(&table.label, dialect.name_max(), taken);
        taken.insert(table.label.clone());
        if dialect == Dialect::Postgres {
            table.index = free_name(&index(&table.label), dialect.name_max(), taken);
            taken.insert(table.index.clone());
        }
    }
}

/// The names of the table's columns are cut in the order of the registry, so that a column keeps
/// the name it once had; one that another, or the warehouse itself, has already gets a number.
fn columns(dialect: Dialect, schema: &Schema) -> Vec<Column> {
    let mut taken: HashSet<String> =
        dialect.own_columns().iter().map(|&name| name.to_owned()).collect();
    let mut columns = Vec::with_capacity(schema.columns.len());
    for column in &schema.columns {
        let label = free_name(dialect.without_prefix(&column.name), dialect.name_max(), &taken);
        taken.insert(label.clone());
        columns.push(Column {
            name: column.name.clone(),
            label,
            kind: column.column_type,
            is_required: column.required,
            max_bytes: column.max_bytes,
        });
    }
    columns
}

/// `name` cut to `most` bytes (names are ASCII), with a number at its end if that is taken.
pub(crate) fn free_name(name: &str, most: usize, taken: &HashSet<String>) -> String {
    let cut = |most: usize| name.get(..most.min(name.len())).unwrap_or(name);
    let mut label = cut(most).to_owned();
    let mut number = 2_u64;
    while taken.contains(&label) {
        let ending = format!("_{number}");
        label = format!("{}{ending}", cut(most.saturating_sub(ending.len())));
        number += 1;
    }
    label
}
