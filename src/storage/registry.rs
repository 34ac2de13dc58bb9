//! The registry of schema versions: which columns a table has, in which order, of which type.
//!
//! Each version is an object of its own, put if absent, so that any number of writers agree. A
//! version only adds to the one before: columns at the end, longer strings. The latest is found by
//! reading upwards from the one known, never by listing. `proto/schema-version.schema.json` is the
//! wire contract.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::keys::{Key, TableFolder};
use super::manifest::{from_bytes, to_bytes};
use super::{Class, Error, Store, lake};
use crate::warehouse::ColumnType;

/// Smallest length that is recorded for a string column, in bytes.
pub const MAX_BYTES_MIN: u64 = 256;

/// How many tables' latest versions are remembered before all are forgotten and read again: the
/// reference set-up has some 800 tables, a hostile client can make any number.
const TABLES_MAX: usize = 10_000;

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type, from birth.
    #[serde(rename = "type", with = "type_name")]
    pub kind: ColumnType,
    /// Whether every row has a value.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
    /// When its first batch was opened.
    pub first_seen: String,
    /// For text: the longest seen in bytes, as a power of two, at least [`MAX_BYTES_MIN`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
}

/// A version of a table's columns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Format of this object.
    pub format: u32,
    /// The table's folder.
    pub folder: String,
    /// Which version, from 1.
    pub version: u32,
    /// The columns in their order.
    pub columns: Vec<Column>,
}

impl Version {
    /// Whether this version keeps all that `before` has: names, types and order.
    #[must_use]
    pub fn widens(&self, before: &Self) -> bool {
        let kept = |(new, old): (&Column, &Column)| {
            new.name == old.name
                && new.kind == old.kind
                && new.required == old.required
                && new.max_bytes >= old.max_bytes
        };
        self.columns.len() >= before.columns.len()
            && self.columns.iter().zip(&before.columns).all(kept)
    }
}

/// The length to record for strings of up to `bytes`.
#[must_use]
pub fn recorded_length(bytes: u64) -> u64 {
    bytes.max(MAX_BYTES_MIN).checked_next_power_of_two().unwrap_or(u64::MAX)
}

/// How an attempt to widen a table ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Widened {
    /// The version is the table's latest.
    Done,
    /// Another writer was first: what was made for this version is void.
    Lost,
}

/// The registry, with a memory of the versions it saw.
#[derive(Debug)]
pub struct Registry {
    store: Store,
    latest: HashMap<TableFolder, Option<Arc<Version>>>,
}

impl Registry {
    /// Opens the registry of a lake.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store, latest: HashMap::new() }
    }

    /// The latest version known; the first call for a table asks the store.
    ///
    /// Another writer may have added later ones: they are met when widening.
    ///
    /// # Errors
    /// What the store said, or [`Error::Malformed`], [`Error::Format`].
    pub fn latest(&mut self, folder: &TableFolder) -> Result<Option<Arc<Version>>, Error> {
        if let Some(known) = self.latest.get(folder) {
            return Ok(known.clone());
        }
        self.refresh(folder)
    }

    /// The latest version the store has.
    ///
    /// # Errors
    /// As [`Registry::latest`].
    pub fn refresh(&mut self, folder: &TableFolder) -> Result<Option<Arc<Version>>, Error> {
        let known = self.latest.get(folder).cloned().flatten();
        let from = known.as_ref().map_or(0, |version| version.version);
        let key = |number| Key::Schema(folder.clone(), u32::try_from(number).unwrap_or(u32::MAX));
        let found = match self.store.last(u64::from(from), key)? {
            Some((number, bytes)) => Some(Arc::new(read(&key(number), &bytes)?)),
            None => known,
        };
        self.remember(folder, found.clone());
        Ok(found)
    }

    /// Reads one version.
    ///
    /// # Errors
    /// [`Error::MissingVersion`] if there is none, else as [`Registry::latest`].
    pub fn version(&self, folder: &TableFolder, version: u32) -> Result<Arc<Version>, Error> {
        if let Some(Some(known)) = self.latest.get(folder)
            && known.version == version
        {
            return Ok(Arc::clone(known));
        }
        let key = Key::Schema(folder.clone(), version);
        let Some(bytes) = self.store.get(&key)? else {
            return Err(Error::MissingVersion { folder: folder.to_string(), version });
        };
        Ok(Arc::new(read(&key, &bytes)?))
    }

    /// Makes `next` the latest version of its table, unless another writer was first.
    ///
    /// # Errors
    /// [`Error::Narrowed`] if `next` does not keep what the version before has; what the store
    /// said.
    pub fn widen(&mut self, folder: &TableFolder, next: &Arc<Version>) -> Result<Widened, Error> {
        let before = self.latest(folder)?;
        let from = before.as_ref().map_or(0, |before| before.version);
        if next.version <= from {
            return Ok(if before.as_ref() == Some(next) { Widened::Done } else { Widened::Lost });
        }
        if before.is_some_and(|before| !next.widens(&before)) {
            return Err(Error::Narrowed { folder: folder.to_string(), version: next.version });
        }
        let key = Key::Schema(folder.clone(), next.version);
        match self.store.put_new(&key, &to_bytes(next.as_ref(), "schema version")?) {
            Ok(_) => {
                self.remember(folder, Some(Arc::clone(next)));
                Ok(Widened::Done)
            }
            Err(error) if error.class() == Class::Conflict => {
                self.refresh(folder)?;
                Ok(Widened::Lost)
            }
            Err(error) => Err(error),
        }
    }

    fn remember(&mut self, folder: &TableFolder, version: Option<Arc<Version>>) {
        if self.latest.len() >= TABLES_MAX {
            self.latest.clear();
        }
        self.latest.insert(folder.clone(), version);
    }
}

fn read(key: &Key, bytes: &[u8]) -> Result<Version, Error> {
    let found: Version = from_bytes(key, "schema version", bytes)?;
    lake::check_format(key, found.format)?;
    Ok(found)
}

/// Names of types in the registry; they never change.
const TYPES: [(ColumnType, &str); 6] = [
    (ColumnType::Int, "int"),
    (ColumnType::Float, "float"),
    (ColumnType::Boolean, "boolean"),
    (ColumnType::Datetime, "datetime"),
    (ColumnType::String, "string"),
    (ColumnType::Date, "date"),
];

mod type_name {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::{ColumnType, TYPES};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
    pub(super) fn serialize<S: Serializer>(kind: &ColumnType, to: S) -> Result<S::Ok, S::Error> {
        let name = TYPES.iter().find(|(of, _)| of == kind).map_or("string", |(_, name)| name);
        to.serialize_str(name)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<ColumnType, D::Error> {
        let text = String::deserialize(from)?;
        let found = TYPES.iter().find(|(_, name)| *name == text);
        found.map(|(kind, _)| *kind).ok_or_else(|| D::Error::custom("unknown column type"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::keys::Part;
    use crate::storage::memory::Memory;
    use crate::storage::{Backend, Options};

    fn folder() -> TableFolder {
        let (schema, table) = (Part::new("s").unwrap(), Part::new("t").unwrap());
        TableFolder::Source { schema, table }
    }

    fn version(number: u32, names: &[&str]) -> Arc<Version> {
        let column = |name: &&str| Column {
            name: (*name).into(),
            kind: ColumnType::String,
            required: false,
            first_seen: "2026-11-21T10:00:00.000Z".into(),
            max_bytes: Some(256),
        };
        Arc::new(Version {
            format: 1,
            folder: folder().to_string(),
            version: number,
            columns: names.iter().map(column).collect(),
        })
    }

    fn registry(memory: &Arc<Memory>) -> Registry {
        let backend: Arc<dyn Backend> = Arc::<Memory>::clone(memory);
        Registry::new(Store::new(backend, Options::default()))
    }

    #[test]
    fn of_two_writers_that_widen_at_once_one_loses_and_both_converge() {
        let memory = Arc::new(Memory::default());
        let (mut one, mut two) = (registry(&memory), registry(&memory));
        assert_eq!(one.latest(&folder()).unwrap(), None);
        assert_eq!(two.latest(&folder()).unwrap(), None);
        assert_eq!(one.widen(&folder(), &version(1, &["id", "a"])).unwrap(), Widened::Done);
        assert_eq!(two.widen(&folder(), &version(1, &["id", "b"])).unwrap(), Widened::Lost);
        assert_eq!(two.latest(&folder()).unwrap(), Some(version(1, &["id", "a"])));
        assert_eq!(two.widen(&folder(), &version(2, &["id", "a", "b"])).unwrap(), Widened::Done);
        assert_eq!(one.refresh(&folder()).unwrap(), Some(version(2, &["id", "a", "b"])));
        assert_eq!(one.version(&folder(), 1).unwrap(), version(1, &["id", "a"]));
        assert!(matches!(one.version(&folder(), 3), Err(Error::MissingVersion { .. })));
    }

    #[test]
    fn schema_only_widens() {
        let memory = Arc::new(Memory::default());
        let mut registry = registry(&memory);
        registry.widen(&folder(), &version(1, &["id", "a"])).unwrap();
        for names in [&["id"][..], &["a", "id"], &["id", "b", "a"]] {
            let error = registry.widen(&folder(), &version(2, names)).unwrap_err();
            assert!(matches!(error, Error::Narrowed { version: 2, .. }));
        }
        let mut retyped = (*version(2, &["id", "a"])).clone();
        retyped.columns[1].kind = ColumnType::Int;
        assert!(registry.widen(&folder(), &Arc::new(retyped)).is_err());
        let mut shorter = (*version(2, &["id", "a"])).clone();
        shorter.columns[1].max_bytes = Some(128);
        assert!(registry.widen(&folder(), &Arc::new(shorter)).is_err());
    }

    #[test]
    fn lengths_are_powers_of_two() {
        for (bytes, recorded) in [(0, 256), (256, 256), (257, 512), (3_000_000, 4_194_304)] {
            assert_eq!(recorded_length(bytes), recorded);
        }
        assert_eq!(recorded_length(u64::MAX), u64::MAX);
    }
}
