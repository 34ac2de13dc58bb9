//! Where the values of a unified row go when events of its shape come again.
//!
//! The same decisions as those for one row, in the same order, from what all rows of the shape have
//! in common.

use super::UnifiedRows;
use crate::columnar::builder::{Planning, Push, Slot, Uncertain};
use crate::columnar::draft::Draft;
use crate::columnar::stage::What;
use crate::columnar::tables::UnifiedTarget;
use crate::record::Route;
use crate::unified::{Alias, Feed, Unified};
use crate::warehouse::{ColumnId, ColumnType, TableKind};

/// What all rows of a shape have in common beside their cells.
#[derive(Clone, Copy)]
pub(in crate::columnar) struct Member<'m> {
    pub(in crate::columnar) kind: TableKind,
    pub(in crate::columnar) event_type: &'m str,
    pub(in crate::columnar) route: &'m Route,
    pub(in crate::columnar) target: &'m UnifiedTarget,
}

/// What cells say that decides other columns.
#[derive(Default)]
struct Told {
    library: Option<usize>,
    user_agent: Option<usize>,
    aliases: Vec<(Alias, usize)>,
    given: Vec<usize>,
}

impl UnifiedRows {
    /// Plans a row with these cells: ids of columns and places of values.
    pub(in crate::columnar) fn plan_row(
        &self,
        row: &mut Planning<'_>,
        plan: &Unified,
        member: Member<'_>,
        (cells, draft): (impl Iterator<Item = (ColumnId, usize)>, &Draft),
    ) -> Result<(), Uncertain> {
        self.plan_made(row, member)?;
        let mut told = Told::default();
        for (column, place) in cells {
            let known = self.roles.get(column);
            if !known.is_set {
                return Err(Uncertain);
            }
            if known.slot != Slot::NONE {
                row.cell(known.slot, place, draft)?;
            }
            let Some(at) = usize::from(known.extra).checked_sub(1) else { continue };
            let extra = self.extras.get(at).ok_or(Uncertain)?;
            match extra.feeds {
                Some(Feed::SessionId) => row.fill_from(self.core.session_id, place)?,
                Some(Feed::TimeAdjusted) => row.fill_from(self.core.time_adjusted, place)?,
                Some(Feed::Library) => told.library = Some(place),
                Some(Feed::UserAgent) => told.user_agent = Some(place),
                None => {}
            }
            told.given.extend(extra.is);
            told.aliases.extend(extra.fills.map(|alias| (alias, place)));
        }
        if member.route.platform.is_empty() {
            let push = Push::Platform(told.library, told.user_agent);
            row.fill_made(self.core.platform, push, (ColumnType::String, What::Text))?;
        }
        self.plan_aliases(row, plan, told, draft)
    }

    /// What is known before the cells.
    fn plan_made(&self, row: &mut Planning<'_>, member: Member<'_>) -> Result<(), Uncertain> {
        let Member { kind, event_type, route, target } = member;
        let core = &self.core;
        for (slot, text) in [
            (core.environment, route.environment.as_str()),
            (core.source_name, &route.source_name),
            (core.platform, &route.platform),
            (core.event_type, event_type),
            (core.source_schema, &route.schema),
            (core.source_table, &target.table_name),
            (core.relation, &target.relation),
        ] {
            row.claim(slot)?;
            let is_lineage = [core.source_schema, core.source_table, core.relation].contains(&slot);
            if is_lineage || !text.is_empty() {
                row.fill(slot, text)?;
            }
        }
        row.claim(core.event_date)?;
        row.fill_made(core.event_date, Push::Day, (ColumnType::Date, What::Bits))?;
        row.claim(core.session_id)?;
        row.claim(core.time_adjusted)?;
        if matches!(kind, TableKind::Pages | TableKind::Screens) {
            row.claim(core.event)?;
        }
        Ok(())
    }

    /// Canonical columns that no cell has.
    fn plan_aliases(
        &self,
        row: &mut Planning<'_>,
        plan: &Unified,
        mut told: Told,
        draft: &Draft,
    ) -> Result<(), Uncertain> {
        told.aliases.sort_by_key(|(alias, _)| *alias);
        let block = plan.blocks.get(self.block).ok_or(Uncertain)?;
        for (alias, place) in told.aliases {
            let (canonical, _) = block.aliases.get(alias.canonical).ok_or(Uncertain)?;
            if told.given.contains(&alias.canonical) {
                continue;
            }
            told.given.push(alias.canonical);
            match self.core.as_text(canonical) {
                Some(slot) => row.fill_from(slot, place)?,
                None => {
                    let slot = row.slot(canonical)?;
                    row.cell(slot, place, draft)?;
                }
            }
        }
        Ok(())
    }
}
