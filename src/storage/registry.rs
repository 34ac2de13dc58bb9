//! The registry of schema versions: which columns a table has, in which order, of which type.
//!
//! Each version is an object of its own, put if absent, so that any number of writers agree. A
//! version only adds to the one before: columns at the end, longer strings. The latest is found by
//! reading upwards from the one known, never by listing. `proto/schema-version.schema.json` is the
//! wire contract.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::keys::{Key, Part, Prefix, TableFolder};
use super::manifest::{from_bytes, to_bytes};
use super::{Class, Error, Store};
use crate::columnar::Schema;
use crate::warehouse::TableKind;

/// How many tables' latest versions are remembered before all are forgotten and read again: the
/// reference set-up has some 800 tables, a hostile client can make any number.
const TABLES_MAX: usize = 10_000;

/// Tables that are widened together: as many syncs of a folder as the disk takes for a few.
const GROUP_TABLES: usize = 256;

/// How an attempt to widen a table ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Widened {
    /// The version is the table's latest.
    Done,
    /// Another writer was first: what was made for this version is void.
    Lost,
}

/// The registry, with a memory of the versions it saw; clones share it.
#[derive(Clone, Debug)]
pub struct Registry {
    store: Store,
    latest: Arc<Mutex<HashMap<TableFolder, Option<Arc<Schema>>>>>,
    /// Event tables of the schemas that were asked for.
    admitted: Arc<Mutex<HashMap<Part, HashSet<TableFolder>>>>,
}

impl Registry {
    /// Opens the registry of a lake.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store, latest: Arc::default(), admitted: Arc::default() }
    }

    /// The latest version known; the first call for a table asks the store.
    ///
    /// Another writer may have added later ones: they are met when widening.
    ///
    /// # Errors
    /// What the store said, or [`Error::Malformed`], [`Error::Format`].
    pub fn latest(&self, folder: &TableFolder) -> Result<Option<Arc<Schema>>, Error> {
        match self.known(folder) {
            Some(known) => Ok(known),
            None => self.refresh(folder),
        }
    }

    /// The latest version the store has.
    ///
    /// # Errors
    /// As [`Registry::latest`].
    pub fn refresh(&self, folder: &TableFolder) -> Result<Option<Arc<Schema>>, Error> {
        let known = self.known(folder).flatten();
        let from = known.as_ref().map_or(0, |version| version.version);
        let key = |number| Key::Schema(folder.clone(), number);
        let found = match self.store.last(from, key)? {
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
    pub fn version(&self, folder: &TableFolder, version: u64) -> Result<Arc<Schema>, Error> {
        if let Some(Some(known)) = self.known(folder)
            && known.version == version
        {
            return Ok(known);
        }
        let key = Key::Schema(folder.clone(), version);
        let Some(bytes) = self.store.get(&key)? else {
            return Err(Error::MissingVersion { folder: folder.to_string(), version });
        };
        Ok(Arc::new(read(&key, &bytes)?))
    }

    /// Whether `folder`, an event table of `schema`, is one of the first `max` that this registry
    /// knows of. Those there are when it is first asked for a schema, which lists them, come first,
    /// then those it says yes to. Tables that other writers make later are not known here.
    ///
    /// # Errors
    /// What the store said.
    pub fn admits(&self, schema: &Part, folder: &TableFolder, max: usize) -> Result<bool, Error> {
        let mut admitted = lock(&self.admitted);
        let tables = match admitted.get_mut(schema) {
            Some(tables) => tables,
            None => {
                let mut tables = HashSet::new();
                for key in self.store.list(&Prefix::SchemasOf(schema.clone()))? {
                    if let Key::Schema(folder, _) = key
                        && TableKind::is_counted(folder.table_name())
                    {
                        tables.insert(folder);
                    }
                }
                admitted.entry(schema.clone()).or_insert(tables)
            }
        };
        if tables.contains(folder) {
            return Ok(true);
        }
        Ok(tables.len() < max && tables.insert(folder.clone()))
    }

    /// Makes `next` the latest version of its table, unless another writer was first.
    ///
    /// # Errors
    /// [`Error::Narrowed`] if `next` does not keep what the version before has; what the store
    /// said.
    pub fn widen(&self, folder: &TableFolder, next: &Arc<Schema>) -> Result<Widened, Error> {
        self.widen_all(&[(folder, next)])
    }

    /// Does the same for several tables, each once. When one is lost, or fails, some of the others
    /// may be done: to widen them again to the same is nothing.
    ///
    /// # Errors
    /// As [`Registry::widen`].
    pub fn widen_all(&self, wanted: &[(&TableFolder, &Arc<Schema>)]) -> Result<Widened, Error> {
        let mut lost = false;
        for group in wanted.chunks(GROUP_TABLES) {
            let mut objects = Vec::new();
            let mut wider = Vec::new();
            for &(folder, next) in group {
                let before = self.latest(folder)?;
                let from = before.as_ref().map_or(0, |before| before.version);
                if next.version <= from {
                    lost |= self.version(folder, next.version)? != *next;
                    continue;
                }
                if before.is_some_and(|before| !next.widens(&before)) {
                    let (folder, version) = (folder.to_string(), next.version);
                    return Err(Error::Narrowed { folder, version });
                }
                let key = Key::Schema(folder.clone(), next.version);
                objects.push((key, to_bytes(next.as_ref(), "schema version")?));
                wider.push((folder, next));
            }
            let mut failed = None;
            for ((folder, next), outcome) in wider.into_iter().zip(self.store.put_all_new(&objects))
            {
                match outcome {
                    Some(Ok(_)) => self.remember(folder, Some(Arc::clone(next))),
                    Some(Err(error)) if error.class() == Class::Conflict => {
                        self.refresh(folder)?;
                        lost = true;
                    }
                    Some(Err(error)) => failed = Some(error),
                    None => {}
                }
            }
            if let Some(error) = failed {
                return Err(error);
            }
            if lost {
                return Ok(Widened::Lost);
            }
        }
        Ok(Widened::Done)
    }

    fn known(&self, folder: &TableFolder) -> Option<Option<Arc<Schema>>> {
        lock(&self.latest).get(folder).cloned()
    }

    fn remember(&self, folder: &TableFolder, version: Option<Arc<Schema>>) {
        let mut latest = lock(&self.latest);
        if latest.len() >= TABLES_MAX {
            latest.clear();
        }
        latest.insert(folder.clone(), version);
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read(key: &Key, bytes: &[u8]) -> Result<Schema, Error> {
    from_bytes(key, "schema version", bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::columnar::Column;
    use crate::storage::memory::Memory;
    use crate::storage::{Backend, Folder, Options, Remote};
    use crate::warehouse::ColumnType;

    fn folder() -> TableFolder {
        let (schema, table) = (Part::new("s").unwrap(), Part::new("t").unwrap());
        TableFolder::Source { schema, table }
    }

    fn version(version: u64, names: &[&str]) -> Arc<Schema> {
        let column = |name: &&str| Column {
            name: (*name).into(),
            column_type: ColumnType::String,
            required: false,
            first_seen: Timestamp::from_millis(1_795_305_599_000),
            max_bytes: 256,
        };
        Arc::new(Schema { version, columns: names.iter().map(column).collect() })
    }

    fn registry(memory: &Arc<Memory>) -> Registry {
        let backend: Arc<dyn Backend> = Arc::<Memory>::clone(memory);
        Registry::new(Store::new(backend, Options::default()))
    }

    #[test]
    fn of_two_writers_that_widen_at_once_one_loses_and_both_converge() {
        let memory = Arc::new(Memory::default());
        let (one, two) = (registry(&memory), registry(&memory));
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
    fn event_tables_are_admitted_up_to_a_number_and_those_there_are_always() {
        let memory = Arc::new(Memory::default());
        let schema = Part::new("s").unwrap();
        let table = |name: &str| {
            let (schema, table) = (schema.clone(), Part::new(name).unwrap());
            TableFolder::Source { schema, table }
        };
        let made = registry(&memory);
        for name in ["tracks", "rejected", "other_events", "old_1", "old_2", "old_3"] {
            made.widen(&table(name), &version(1, &["id"])).unwrap();
        }
        made.widen(&table("old_1"), &version(2, &["id", "a"])).unwrap();
        let registry = registry(&memory);
        let mut admitted = Vec::new();
        for name in ["new_1", "old_3", "new_2", "new_1", "old_1"] {
            admitted.push(registry.admits(&schema, &table(name), 4).unwrap());
        }
        assert_eq!(admitted, [true, true, false, true, true]);
        assert!(!registry.admits(&schema, &table("new_2"), 2).unwrap());
        assert!(registry.admits(&schema, &table("old_2"), 2).unwrap());
    }

    #[test]
    fn what_is_widened_together_is_lost_together() {
        let memory = Arc::new(Memory::default());
        let (one, two) = (registry(&memory), registry(&memory));
        let table = |name: &str| TableFolder::Source {
            schema: Part::new("s").unwrap(),
            table: Part::new(name).unwrap(),
        };
        let [a, b, c] = ["a", "b", "c"].map(table);
        assert_eq!(two.latest(&b).unwrap(), None);
        assert_eq!(one.widen(&b, &version(1, &["id", "x"])).unwrap(), Widened::Done);
        let mine = version(1, &["id", "y"]);
        let wanted = [(&a, &mine), (&b, &mine), (&c, &mine)];
        assert_eq!(two.widen_all(&wanted).unwrap(), Widened::Lost);
        assert_eq!(two.latest(&b).unwrap(), Some(version(1, &["id", "x"])));
        // The range is cut again; of those that were done nothing is to do.
        let wider = version(2, &["id", "x", "y"]);
        let wanted = [(&a, &mine), (&b, &wider), (&c, &mine)];
        assert_eq!(two.widen_all(&wanted).unwrap(), Widened::Done);
        assert_eq!(one.refresh(&b).unwrap(), Some(wider));
        assert_eq!(one.refresh(&c).unwrap(), Some(mine));
    }

    /// Adds columns of its own one by one, as a loader does: what was lost is made anew on top of
    /// the other's version.
    fn widen_against_others(registry: &Registry, writer: usize) {
        for n in 0..RACE_COLUMNS {
            loop {
                let before = registry.latest(&folder()).unwrap();
                let mut columns = before.as_ref().map_or(Vec::new(), |b| b.columns.clone());
                let name = format!("of_{writer}_{n}");
                columns.extend(version(1, &[&name]).columns.clone());
                let number = before.map_or(1, |before| before.version + 1);
                let next = Arc::new(Schema { version: number, columns });
                if registry.widen(&folder(), &next).unwrap() == Widened::Done {
                    break;
                }
            }
        }
    }

    /// Columns that each writer adds.
    const RACE_COLUMNS: usize = 12;

    #[test]
    fn writers_at_once_converge_on_a_folder_and_on_a_cloud_store() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build();
        let runtime = runtime.unwrap();
        let disk = tempfile::tempdir().unwrap();
        let objects = Arc::new(object_store::memory::InMemory::new());
        // Each writer is a process of its own: nothing is shared but what lies in the store.
        let on_disk = || -> Arc<dyn Backend> { Arc::new(Folder::open(disk.path()).unwrap()) };
        let in_cloud = || -> Arc<dyn Backend> {
            let store = Arc::<object_store::memory::InMemory>::clone(&objects);
            Arc::new(Remote::new(store, "a/prefix".into(), runtime.handle().clone()))
        };
        let stores: [&(dyn Fn() -> Arc<dyn Backend> + Sync); 2] = [&on_disk, &in_cloud];
        for store in stores {
            std::thread::scope(|scope| {
                for writer in 0..4 {
                    let registry = Registry::new(Store::new(store(), Options::default()));
                    scope.spawn(move || widen_against_others(&registry, writer));
                }
            });
            let registry = Registry::new(Store::new(store(), Options::default()));
            let last = registry.latest(&folder()).unwrap().unwrap();
            assert_eq!(last.version, 4 * RACE_COLUMNS as u64);
            let mut names: Vec<&str> = last.columns.iter().map(|c| c.name.as_str()).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), 4 * RACE_COLUMNS, "a column is lost or comes twice");
            for number in 2..=last.version {
                let [before, after] =
                    [number - 1, number].map(|n| registry.version(&folder(), n).unwrap());
                assert!(after.widens(&before), "version {number}");
            }
        }
    }

    #[test]
    fn schema_only_widens() {
        let memory = Arc::new(Memory::default());
        let registry = registry(&memory);
        registry.widen(&folder(), &version(1, &["id", "a"])).unwrap();
        for names in [&["id"][..], &["a", "id"], &["id", "b", "a"]] {
            let error = registry.widen(&folder(), &version(2, names)).unwrap_err();
            assert!(matches!(error, Error::Narrowed { version: 2, .. }));
        }
        let mut retyped = (*version(2, &["id", "a"])).clone();
        retyped.columns[1].column_type = ColumnType::Int;
        assert!(registry.widen(&folder(), &Arc::new(retyped)).is_err());
        let mut shorter = (*version(2, &["id", "a"])).clone();
        shorter.columns[1].max_bytes = 128;
        assert!(registry.widen(&folder(), &Arc::new(shorter)).is_err());
    }
}
