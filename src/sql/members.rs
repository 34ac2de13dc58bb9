//! Which tables and columns a unified table is made of.
//!
//! The same decisions as the gateway takes while it writes, asked for the tables as they are: where
//! a member's column goes and, since a unified column keeps the type it was born with, in which
//! form.

use std::collections::HashSet;

use super::Dialect;
use super::lake::{Column, Lake, Origin, Source, Table};
use crate::columnar::type_name;
use crate::record::Route;
use crate::unified::{Alias, Block, CORE, MADE, glob};
use crate::warehouse::{ColumnType, OTHER_EVENTS, TableKind};

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
    /// The table of the same schema that has most of its rows, too: those are the ones that count.
    pub(super) again: Option<&'l Table>,
}

impl Table {
    /// True for the table of events without one of their own, whose rows are judged by their names.
    pub(super) fn is_other_events(&self) -> bool {
        self.kind == TableKind::Event && self.name == OTHER_EVENTS
    }
}

/// What a member's column gives to a column of a unified table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filling<'l, 'm> {
    pub(super) target: &'l Column,
    pub(super) own: &'m Column,
    pub(super) form: Form,
    /// It does so as an alias.
    pub(super) alias: Option<Alias>,
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
    /// A float as an integer, where it is one.
    Int,
    /// A float that is no integer.
    Fraction,
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
                members.push(Member { table, sources, is_whole, again: None });
            }
        }
        once(members)
    }

    /// The columns that a member's columns fill, each with how: the member's column and the form;
    /// first those that are meant, then the aliases.
    pub(super) fn fillings<'m>(&self, lake: &Lake, member: &'m Table) -> Vec<Filling<'l, 'm>> {
        let mut fillings = Vec::new();
        let mut aliases = Vec::new();
        for own in &member.columns {
            let role = self.block.role(member.base_of(own), &lake.unified.escaped);
            for (target, form) in
                role.column.map_or_else(Vec::new, |name| self.forms(name, member.kind, own.kind))
            {
                fillings.push(Filling { target, own, form, alias: None });
            }
            let Some(alias) = role.fills else { continue };
            let Some((canonical, _)) = self.block.aliases.get(alias.canonical) else { continue };
            for (target, form) in self.alias_forms(canonical, member.kind, own.kind) {
                aliases.push(Filling { target, own, form, alias: Some(alias) });
            }
        }
        aliases.sort_by_key(|filling| filling.alias);
        fillings.extend(aliases);
        fillings
    }

    /// As [`Unified::forms`]; session and correction are texts that an alias fills.
    fn alias_forms(
        &self,
        canonical: &str,
        member: TableKind,
        kind: ColumnType,
    ) -> Vec<(&'l Column, Form)> {
        if matches!(canonical, "session_id" | "time_adjusted") {
            return self.table.column(canonical).map(|own| (own, Form::Text)).into_iter().collect();
        }
        self.forms(&canonical.to_ascii_lowercase(), member, kind)
    }

    /// The columns and forms of values of a type that go to `name`.
    fn forms(&self, name: &str, member: TableKind, kind: ColumnType) -> Vec<(&'l Column, Form)> {
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
            Some((own, ColumnType::Int)) if kind == ColumnType::Float => {
                let fraction = variant().map(|variant| (variant, Form::Fraction));
                std::iter::once((own, Form::Int)).chain(fraction).collect()
            }
            _ => variant().map(|variant| (variant, Form::Same)).into_iter().collect(),
        }
    }

    /// The columns of the unified table that values of a member's columns may be in. A text column
    /// has values of any type, which the gateway told apart and it does not: then all variants.
    pub(super) fn filled(&self, lake: &Lake, member: &Table) -> HashSet<&'l str> {
        let mut filled = HashSet::from(["_overflow"]);
        for own in &member.columns {
            let role = self.block.role(member.base_of(own), &lake.unified.escaped);
            let alias = role.fills.and_then(|alias| self.block.aliases.get(alias.canonical));
            for name in role.column.into_iter().chain(alias.map(|(name, _)| name.as_str())) {
                if own.kind == ColumnType::String {
                    filled.extend(self.table.family(name).map(|column| column.name.as_str()));
                }
            }
        }
        filled.extend(self.fillings(lake, member).iter().map(|one| one.target.name.as_str()));
        filled
    }

    /// True for the columns that every row has.
    pub(super) fn is_core(column: &Column) -> bool {
        CORE.iter().any(|(name, ..)| *name == column.name)
    }
}

/// What a row of a table must say of its event's name, in the column `event`, where the block does
/// not take all.
pub(crate) fn by_event(
    dialect: Dialect,
    block: &Block,
    (kind, table): (TableKind, &str),
    event: &str,
) -> Vec<String> {
    let (mut wanted, mut unwanted) = block.event_names();
    match kind {
        // The table was asked for by its own name.
        TableKind::Tracks => (wanted, unwanted[0]) = (&[], &[]),
        TableKind::Event if table == OTHER_EVENTS => {}
        // Rows of the layout's table of that name are there, too.
        TableKind::Event if TableKind::escaped(table).is_some() => {
            return vec![format!("{event} is not null")];
        }
        _ => return Vec::new(),
    }
    let event = format!("lower(coalesce({event}, ''))");
    let mut all = Vec::new();
    if !wanted.is_empty() {
        all.push(dialect.matches(&event, &glob::expression(wanted)));
    }
    let unwanted: Vec<&String> = unwanted.into_iter().flatten().collect();
    if !unwanted.is_empty() {
        all.push(format!("not ({})", dialect.matches(&event, &glob::expression(unwanted))));
    }
    all
}

/// An event is in a unified table once: where `tracks` is a member, the tables of the events have
/// most of the same rows again, and `users` those of `identifies`.
fn once(mut members: Vec<Member<'_>>) -> Vec<Member<'_>> {
    let of = |kind: TableKind| -> Vec<&Table> {
        let tables = members.iter().map(|member| member.table);
        tables.filter(|table| table.kind == kind).collect()
    };
    let (tracks, identifies) = (of(TableKind::Tracks), of(TableKind::Identifies));
    members.retain(|member| {
        let schema = &member.table.schema;
        member.table.kind != TableKind::Users
            || !identifies.iter().any(|identifies| identifies.schema == *schema)
    });
    for member in members.iter_mut().filter(|member| member.table.kind == TableKind::Event) {
        member.again = tracks.iter().find(|tracks| tracks.schema == member.table.schema).copied();
    }
    members
}
