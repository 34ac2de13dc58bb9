//! Which tables and columns a unified table is made of.
//!
//! The same decisions as the gateway takes while it writes, asked for the tables as they are: where
//! a member's column goes and, since a unified column keeps the type it was born with, in which
//! form.

use super::lake::{Column, Lake, Origin, Source, Table};
use crate::columnar::type_name;
use crate::record::Route;
use crate::unified::{Block, CORE, MADE};
use crate::warehouse::{ColumnType, OTHER_EVENTS, TableKind};

/// Integers up to here are doubles exactly.
pub(super) const EXACT_MAX: i64 = 9_007_199_254_740_992;

/// A unified table with its block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unified<'l> {
    pub(super) table: &'l Table,
    pub(super) block: &'l Block,
    pub(super) environment: &'l str,
}

/// A table that has rows in a unified table.
#[derive(Clone, Debug)]
pub(super) struct Member<'l> {
    pub(super) table: &'l Table,
    /// The sources whose rows they are, at least one.
    pub(super) sources: Vec<&'l Source>,
    /// No other source writes to the schema.
    pub(super) is_whole: bool,
}

impl Table {
    /// True for the table of events without one of their own, whose rows are judged by their names.
    pub(super) fn is_other_events(&self) -> bool {
        self.kind == TableKind::Event && self.name == OTHER_EVENTS
    }
}

/// In which form a member's value stands in a unified column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As it is.
    Same,
    /// As text.
    Text,
    /// An integer as a float, where that is exact.
    Float,
    /// An integer that no float is exactly.
    LargeInt,
}

/// The unified tables of the lake whose blocks are configured.
pub(super) fn unified(lake: &Lake) -> Vec<Unified<'_>> {
    lake.tables.iter().filter_map(|table| of_table(lake, table)).collect()
}

fn of_table<'l>(lake: &'l Lake, table: &'l Table) -> Option<Unified<'l>> {
    let Origin::Unified { environment, block, generation } = &table.origin else { return None };
    let block = lake
        .unified
        .blocks
        .iter()
        .find(|known| known.name == *block && known.generation == *generation)?;
    Some(Unified { table, block, environment })
}

impl<'l> Unified<'l> {
    /// The members, by schema and table.
    pub(super) fn members(&self, lake: &'l Lake) -> Vec<Member<'l>> {
        let mut members: Vec<Member<'l>> = Vec::new();
        for table in lake.tables.iter().filter(|table| table.origin == Origin::Source) {
            let of_schema = lake.sources.iter().filter(|source| source.schema == table.schema);
            let wanted = |source: &&Source| {
                let route = Route {
                    source_id: source.id.clone(),
                    source_name: source.name.clone(),
                    environment: source.environment.clone(),
                    platform: source.platform.clone(),
                    schema: source.schema.clone(),
                };
                let wants = if table.is_other_events() {
                    self.block.wants_source(&route)
                } else {
                    self.block.wants(&route, table.kind, &table.name)
                };
                source.environment == self.environment && wants
            };
            let all = of_schema.clone().count();
            let sources: Vec<&Source> = of_schema.filter(wanted).collect();
            if !sources.is_empty() {
                let is_whole = sources.len() == all;
                members.push(Member { table, sources, is_whole });
            }
        }
        once(members)
    }

    /// The columns of the unified table that a member's column fills, each with the form.
    pub(super) fn targets(
        &self,
        lake: &Lake,
        member: &Table,
        column: &Column,
    ) -> Vec<(&'l Column, Form)> {
        let base = member.base_of(column);
        let role = self.block.role(base, &lake.unified.escaped);
        let Some(name) = role.column else { return Vec::new() };
        self.forms(name, member.kind, column.kind)
    }

    /// The columns and forms of values of a type that go to `name`.
    pub(super) fn forms(
        &self,
        name: &str,
        member: TableKind,
        kind: ColumnType,
    ) -> Vec<(&'l Column, Form)> {
        let is_page = matches!(member, TableKind::Pages | TableKind::Screens);
        let is_claimed = MADE.contains(&name) || (name == "event" && is_page);
        let variant = || self.table.column(&format!("{name}__{}", type_name(kind)));
        let own = self.table.column(name).filter(|_| !is_claimed);
        match own.map(|own| (own, own.kind)) {
            Some((own, own_kind)) if own_kind == kind => vec![(own, Form::Same)],
            Some((own, ColumnType::String)) => vec![(own, Form::Text)],
            Some((own, ColumnType::Float)) if kind == ColumnType::Int => {
                let large = variant().map(|variant| (variant, Form::LargeInt));
                std::iter::once((own, Form::Float)).chain(large).collect()
            }
            _ => variant().map(|variant| (variant, Form::Same)).into_iter().collect(),
        }
    }

    /// True for the columns that every row has.
    pub(super) fn is_core(column: &Column) -> bool {
        CORE.iter().any(|(name, ..)| *name == column.name)
    }
}

/// An event is in a unified table once: where `tracks` is a member, the tables of the events have
/// the same rows again, and `users` those of `identifies`.
fn once(members: Vec<Member<'_>>) -> Vec<Member<'_>> {
    let has = |kind: TableKind, schema: &str| {
        members.iter().any(|member| member.table.kind == kind && member.table.schema == schema)
    };
    let again: Vec<bool> = members
        .iter()
        .map(|member| match member.table.kind {
            TableKind::Event => has(TableKind::Tracks, &member.table.schema),
            TableKind::Users => has(TableKind::Identifies, &member.table.schema),
            _ => false,
        })
        .collect();
    members.into_iter().zip(again).filter(|(_, again)| !again).map(|(member, _)| member).collect()
}
