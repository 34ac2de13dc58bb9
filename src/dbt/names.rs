//! The names of models and sources: what dbt takes for one, short enough for a file and for the
//! warehouse, and each of its own.

use std::collections::{BTreeMap, HashSet};

use super::{Lake, Table};
use crate::sql::free_name;
use crate::warehouse::Dialect;

/// A file's name has 255 bytes at most, and dbt adds to it.
const NAME_BYTES_MAX: usize = 200;

/// What everything is called.
#[derive(Debug)]
pub(super) struct Names {
    /// By schema.
    sources: BTreeMap<String, String>,
    /// By schema and table.
    models: BTreeMap<(String, String), String>,
}

impl Names {
    /// Names are given out in the order in which tables were first seen, so that one keeps the name
    /// it once had.
    pub(super) fn new(lake: &Lake) -> Self {
        let most = match lake.dialect {
            Dialect::Postgres | Dialect::Redshift => lake.dialect.name_bytes_max(),
            _ => NAME_BYTES_MAX,
        };
        let mut order: Vec<&Table> = lake.tables.iter().collect();
        let born = |table: &Table| table.columns.columns.first().map(|column| column.first_seen);
        order.sort_by(|a, b| (born(a), &a.schema, &a.name).cmp(&(born(b), &b.schema, &b.name)));
        let mut names = Self { sources: BTreeMap::new(), models: BTreeMap::new() };
        let (mut sources, mut models) = (HashSet::new(), HashSet::new());
        for table in order {
            if !names.sources.contains_key(&table.schema) {
                let name = free_name(&word(&table.schema), NAME_BYTES_MAX, &sources);
                sources.insert(name.clone());
                names.sources.insert(table.schema.clone(), name);
            }
            let key = (table.schema.clone(), table.name.clone());
            if names.models.contains_key(&key) {
                continue;
            }
            let wanted = match &table.unified {
                Some((environment, _)) => format!("{}_{}", word(&table.name), word(environment)),
                None => format!("stg_{}__{}", word(&table.schema), word(&table.name)),
            };
            let name = free_name(&wanted, most, &models);
            models.insert(name.clone());
            names.models.insert(key, name);
        }
        names
    }

    /// The source that a schema is.
    pub(super) fn source(&self, schema: &str) -> &str {
        self.sources.get(schema).map_or("", String::as_str)
    }

    /// The model over a table: of a source's the staging model.
    pub(super) fn model(&self, table: &Table) -> &str {
        let key = (table.schema.clone(), table.name.clone());
        self.models.get(&key).map_or("", String::as_str)
    }
}

/// A name that dbt takes for a model.
fn word(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}
