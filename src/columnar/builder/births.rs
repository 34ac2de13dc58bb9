//! How a builder comes by its columns.

use std::borrow::Cow;
use std::sync::Arc;

use super::{Files, Plan, Slot, Table, TableBuilder};
use crate::clock::Timestamp;
use crate::columnar::Settings;
use crate::columnar::column::{Birth, Column};
use crate::columnar::overflow::OVERFLOW;
use crate::columnar::schema::{self, Schema};
use crate::warehouse::{ColumnType, Scalar};

impl TableBuilder {
    /// Opens the table for another batch with the columns that it has. Gives the files back if those of
    /// `schema`, the newest, are others: it is to be opened anew then. Only after
    /// [`TableBuilder::finish`] of a cut.
    pub(in crate::columnar) fn reopen(
        &mut self,
        settings: Arc<Settings>,
        (constants, schema): (&[(&'static str, Timestamp)], &Arc<Schema>),
        files: Box<dyn Files>,
    ) -> Option<Box<dyn Files>> {
        let is_its = Arc::ptr_eq(&self.schema, schema) || self.schema.columns == schema.columns;
        // One that got no row may have columns that no file has; none may bring rows with it.
        let is_empty = self.row == 0 && self.staged.is_empty();
        if !is_its || !is_empty || self.columns.len() != schema.columns.len() {
            return Some(files);
        }
        (self.settings, self.files) = (settings, files);
        (self.base_version, self.schema) = (schema.version, Arc::clone(schema));
        for &(name, time) in constants {
            self.add_constant(name, time);
        }
        None
    }

    /// Opens the table anew, as [`TableBuilder::open`]: what was known of its rows does not hold.
    pub(in crate::columnar) fn open_anew(
        &mut self,
        settings: Arc<Settings>,
        table: Table,
        plan: Plan,
        files: Box<dyn Files>,
    ) {
        let turns = self.turns + 1;
        *self = Self { turns, ..Self::open(settings, table, plan, files) };
    }

    /// The column of that name in any case, if a cell can be given to it.
    pub(in crate::columnar) fn find(&self, name: &str) -> Option<Slot> {
        let name = lower(name);
        if *name == *OVERFLOW { None } else { self.slot(&name) }
    }

    pub(super) fn find_or_bear(&mut self, name: &str, value: &Scalar<'_>) -> Slot {
        let name = &*lower(name);
        if name == OVERFLOW {
            return Slot::NONE;
        }
        if let Some(slot) = self.slot(name) {
            return slot;
        }
        let (column_type, birth) =
            match self.settings.type_at_birth(&self.table.name, self.table.kind, name) {
                Some(pinned) => (pinned, Birth::Decided),
                None => (value.own_type(), Birth::Tentative),
            };
        self.bear_within_cap(name, column_type, birth).map_or(Slot::NONE, Slot)
    }

    /// Adds a column unless the schema is given or the last place is the overflow's.
    pub(super) fn bear_within_cap(
        &mut self,
        name: &str,
        column_type: ColumnType,
        birth: Birth,
    ) -> Option<u32> {
        let kept_free = usize::from(self.overflow.is_none());
        if self.rewrite.is_some() || self.columns.len() + kept_free >= self.settings.columns_max {
            return None;
        }
        Some(self.bear(name, column_type, birth, false))
    }

    pub(super) fn bear(
        &mut self,
        name: &str,
        column_type: ColumnType,
        birth: Birth,
        required: bool,
    ) -> u32 {
        self.push_column(
            schema::Column {
                name: name.to_owned(),
                column_type,
                required,
                first_seen: self.settings.batch_time,
                max_bytes: 0,
            },
            birth,
        )
    }

    pub(super) fn push_column(&mut self, column: schema::Column, birth: Birth) -> u32 {
        // At most columns_max, which is far below.
        let at = u32::try_from(self.columns.len()).unwrap_or(u32::MAX);
        self.by_name.insert(column.name.clone(), at);
        if column.required {
            self.required.push(at);
        }
        if column.name == OVERFLOW {
            self.overflow = Some(at);
        }
        self.columns.push(Column::new(column, birth));
        at
    }

    pub(super) fn add_constant(&mut self, name: &str, time: Timestamp) {
        let at = match self.by_name.get(name) {
            Some(&at) => at,
            // A plan whose schema lacks it was made without it.
            None if self.rewrite.is_some() => return,
            None => self.bear(name, ColumnType::Datetime, Birth::Decided, false),
        };
        if let Some(column) = self.columns.get_mut(at as usize)
            && column.column_type == ColumnType::Datetime
        {
            column.set_constant(time.micros());
        }
    }

    /// Makes the columns those of `schema`, which widens what is there.
    pub(super) fn adopt(&mut self, schema: Arc<Schema>) {
        for column in schema.columns.iter().skip(self.columns.len()) {
            self.push_column(column.clone(), Birth::Known);
        }
        self.base_version = schema.version;
        self.schema = schema;
    }
}

/// The name in lower case.
fn lower(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        name.to_ascii_lowercase().into()
    } else {
        name.into()
    }
}
