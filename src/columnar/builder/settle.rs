//! What waits until a row group closes: cells that their own column does not take.

use std::collections::HashMap;

use super::TableBuilder;
use crate::columnar::Error;
use crate::columnar::column::Birth;
use crate::columnar::overflow::{Aside, Misfit, OVERFLOW};
use crate::columnar::schema::type_name;
use crate::columnar::texts::Texts;
use crate::warehouse::{ColumnType, Scalar};

impl TableBuilder {
    /// Places the cells that waited, and so settles the columns of the row group.
    pub(super) fn settle(&mut self, texts: &mut Texts) -> Result<(), Error> {
        let mut aside = std::mem::take(&mut self.aside);
        let misfits = aside.take_misfits();
        let mut variants: HashMap<(u32, ColumnType), Option<u32>> = HashMap::new();
        // Of a row, what its own column takes after all comes before what looks for a variant, as if
        // the type had been known when the row came: the variant may be that very column.
        for of_row in misfits.chunk_by(|one, next| one.row == next.row) {
            for misfit in of_row {
                let is_own = self.is_taken_back(misfit, &aside);
                let base = self.columns.get_mut(misfit.base as usize).filter(|_| is_own);
                if let Some(base) = base.filter(|base| !base.is_filled(misfit.row)) {
                    let (value, text) = aside.cell(misfit);
                    base.put_late(misfit.row, &value, text, texts);
                }
            }
            for misfit in of_row {
                if self.is_taken_back(misfit, &aside) {
                    continue;
                }
                let (value, text) = aside.cell(misfit);
                let column_type = value.own_type();
                let variant = *variants
                    .entry((misfit.base, column_type))
                    .or_insert_with(|| self.variant(misfit.base, column_type));
                match variant.and_then(|at| self.columns.get_mut(at as usize)) {
                    Some(column)
                        if column.constant().is_none()
                            && column.accepts(&value)
                            && !column.is_filled(misfit.row) =>
                    {
                        column.put_late(misfit.row, &value, text, texts);
                    }
                    _ => aside.give_up(misfit),
                }
            }
        }
        let placed = self.place_overflow(&mut aside, texts);
        aside.clear();
        self.aside = aside;
        placed
    }

    /// True if the value's own column takes it, now that its type is known.
    fn is_taken_back(&self, misfit: &Misfit, aside: &Aside) -> bool {
        let base = self.columns.get(misfit.base as usize);
        !misfit.duplicate && base.is_some_and(|base| base.accepts(&aside.cell(misfit).0))
    }

    /// The column for values of `column_type` that the column at `base` does not take.
    pub(super) fn variant(&mut self, base: u32, column_type: ColumnType) -> Option<u32> {
        let name = self.variant_name(base, column_type)?;
        if let Some(&at) = self.by_name.get(&name) {
            return Some(at);
        }
        let column_type = self
            .settings
            .type_at_birth(&self.table.name, self.table.kind, &name)
            .unwrap_or(column_type);
        self.bear_within_cap(&name, column_type, Birth::Decided)
    }

    /// Its name.
    pub(super) fn variant_name(&self, base: u32, column_type: ColumnType) -> Option<String> {
        let base = self.columns.get(base as usize)?.name();
        let suffix = type_name(column_type);
        let room = self.settings.identifier_bytes_max.saturating_sub(suffix.len() + 2);
        let cut = base.floor_char_boundary(room.min(base.len()));
        Some(format!("{}__{suffix}", base.get(..cut)?))
    }

    fn place_overflow(&mut self, aside: &mut Aside, texts: &mut Texts) -> Result<(), Error> {
        if !aside.overflows() {
            return Ok(());
        }
        let at = match self.overflow {
            Some(at) => at,
            None if self.rewrite.is_some() => {
                return Err(self.plan_error("a value has no column in the planned schema"));
            }
            None => self.bear(OVERFLOW, ColumnType::String, Birth::Decided, false),
        };
        if let Some(column) = self.columns.get_mut(at as usize) {
            aside.drain_overflow(|row, text| {
                column.put_late(row, &Scalar::Text(text), text, texts);
            });
        }
        Ok(())
    }
}
