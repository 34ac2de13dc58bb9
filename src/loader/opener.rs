//! Where open tables get their columns from, and where their parts go.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::path::PathBuf;
use std::sync::Arc;

use super::Error;
use super::local::{Parts, TableParts};
use super::plan::PlannedFile;
use super::rows::LocalFile;
use crate::columnar::{Files, Finished, Home, Open, Plan, PlannedPart, Schema};
use crate::storage;
use crate::storage::keys::{DataFile, Part, TableFolder};
use crate::storage::registry::Registry;
use crate::warehouse::TableKind;

/// Opens the tables of one batch.
pub(super) struct Opener {
    registry: Registry,
    parts: Arc<Parts>,
    /// The parts of each table, where a plan says so.
    planned: Option<HashMap<TableFolder, Vec<PlannedPart>>>,
    opened: usize,
    /// Event tables that a schema may have.
    tables_max: usize,
}

impl Opener {
    /// For a batch that is cut: tables have the registry's latest columns, and a schema gets no more
    /// than `tables_max` of them for events.
    pub(super) fn cut(registry: Registry, folder: PathBuf, tables_max: usize) -> Self {
        let parts = Parts::new(folder);
        Self { registry, parts, planned: None, opened: 0, tables_max }
    }

    /// For a batch that is made again: tables have the columns of the plan's versions.
    pub(super) fn rewrite(
        registry: Registry,
        folder: PathBuf,
        files: &[PlannedFile],
    ) -> Result<Self, Error> {
        let mut planned: HashMap<TableFolder, Vec<PlannedPart>> = HashMap::new();
        for file in files {
            let Some(key) = DataFile::parse(&file.path) else {
                let part = file.path.clone();
                let source = storage::Error::KeyPart { part };
                return Err(Error::Key { what: "a planned file", source });
            };
            let schema = registry
                .version(&key.folder, file.schema_version)
                .map_err(Error::storage("read the columns of a planned file"))?;
            let row_groups = file.row_groups.clone();
            let part = PlannedPart { schema: Schema::clone(&schema), row_groups };
            // A plan names the parts of a table in their order.
            planned.entry(key.folder).or_default().push(part);
        }
        Ok(Self { planned: Some(planned), ..Self::cut(registry, folder, usize::MAX) })
    }

    /// Where the parts are once they are finished.
    pub(super) fn parts(&self) -> Arc<Parts> {
        Arc::clone(&self.parts)
    }
}

impl Open for Opener {
    fn open(
        &mut self,
        home: &Home,
    ) -> Result<(Plan, Box<dyn Files>), Box<dyn StdError + Send + Sync>> {
        let folder = table_folder(home)?;
        let plan = match &mut self.planned {
            Some(planned) => Plan::Rewrite(planned.remove(&folder).unwrap_or_default()),
            None => Plan::Cut(match self.registry.latest(&folder)? {
                Some(latest) => latest,
                None => Schema::empty().into(),
            }),
        };
        let files = TableParts { parts: Arc::clone(&self.parts), table: self.opened };
        self.opened += 1;
        Ok((plan, Box::new(files)))
    }

    /// A planned batch has the tables of its plan. Others take what there is, and new ones while the
    /// schema has room, as far as this writer knows. What is no event's table alone is always
    /// admitted: that it is open, or in a plan, says nothing of events whose name it has.
    fn admits(&mut self, home: &Home) -> Result<bool, Box<dyn StdError + Send + Sync>> {
        let folder = table_folder(home)?;
        if let Home::Schema { table, .. } = home
            && !TableKind::is_counted(table)
        {
            return Ok(true);
        }
        if let Some(planned) = &self.planned {
            return Ok(planned.contains_key(&folder));
        }
        let Home::Schema { schema, .. } = home else { return Ok(true) };
        Ok(self.registry.admits(&Part::new(schema)?, &folder, self.tables_max)?)
    }
}

/// The folder of a table in the lake.
pub(super) fn table_folder(home: &Home) -> Result<TableFolder, storage::Error> {
    Ok(match home {
        Home::Schema { schema, table } => {
            TableFolder::Source { schema: Part::new(schema)?, table: Part::new(table)? }
        }
        Home::Unified { environment, name, generation } => TableFolder::Unified {
            environment: Part::new(environment)?,
            name: Part::new(name)?,
            generation: *generation,
        },
    })
}

/// The local files of all tables, in the order of their keys. `finished` is in the order in which
/// the tables were opened.
pub(super) fn local_files(finished: Vec<Finished>, parts: &Parts) -> Result<Vec<LocalFile>, Error> {
    let mut files = Vec::new();
    for (number, table) in finished.into_iter().enumerate() {
        let home =
            table_folder(&table.home).map_err(|source| Error::Key { what: "a table", source })?;
        files.extend(table.parts.into_iter().map(|part| LocalFile {
            folder: home.clone(),
            part: part.number,
            content: parts.take(number, part.number),
            schema: part.schema,
            row_groups: part.row_groups,
            min_received_at: part.min_received_at,
            max_received_at: part.max_received_at,
        }));
    }
    files.sort_by(|a, b| (&a.folder, a.part).cmp(&(&b.folder, b.part)));
    Ok(files)
}
