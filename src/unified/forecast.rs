//! What a configuration makes of the tables that there are: which go on, which end, and which
//! columns a unified table has that is not born yet.
//!
//! Pure. It answers for the next batches, from the tables of the batches before: a column that no
//! event brought yet is in no forecast.

use std::collections::BTreeMap;

use super::{Block, CORE, MADE, Unified, glob};
use crate::record::Route;
use crate::warehouse::diff::{Column, Table, Tables};
use crate::warehouse::{ColumnType, TableKind};

/// A source as the configuration has it.
#[derive(Clone, Debug)]
pub struct Source {
    /// Where its events go.
    pub route: Route,
    /// It takes events.
    pub is_enabled: bool,
    /// It has no `tracks`.
    pub skips_tracks: bool,
    /// It has no `users`.
    pub skips_users: bool,
}

impl Source {
    fn fills(&self, schema: &str, kind: TableKind) -> bool {
        self.is_enabled
            && self.route.schema == schema
            && !(self.skips_tracks && kind == TableKind::Tracks)
            && !(self.skips_users && kind == TableKind::Users)
    }
}

/// The schema of the unified tables of an environment.
fn schema_of(environment: &str) -> String {
    format!("unified_{environment}")
}

/// The tables once the configuration is in use. `type_name` names a type in a variant's name.
#[must_use]
pub fn forecast(
    base: &Tables,
    plan: &Unified,
    sources: &[Source],
    type_name: fn(ColumnType) -> &'static str,
) -> Tables {
    let mut tables = Tables::new();
    let mut members: Vec<(&str, &str, &Table)> = Vec::new();
    for (name, table) in base {
        let Some((schema, short)) = name.split_once('.') else { continue };
        if table.generation > 0 {
            continue;
        }
        let kind = TableKind::of(short);
        let is_fed = sources.iter().any(|source| source.fills(schema, kind));
        if is_fed {
            members.push((schema, short, table));
        }
        tables.insert(name.clone(), Table { is_fed, ..table.clone() });
    }
    let environments: std::collections::BTreeSet<&str> =
        sources.iter().map(|source| source.route.environment.as_str()).collect();
    for block in &plan.blocks {
        for environment in &environments {
            let globs = &block.environments;
            if !globs.is_empty() && !globs.iter().any(|glob| glob::matches(glob, environment)) {
                continue;
            }
            let name = format!("{}.{}", schema_of(environment), block.name);
            let of = Of { block, plan, environment, sources };
            let born = base.get(&name).filter(|table| table.generation == block.generation);
            let table = of.table(born, &members, type_name);
            tables.insert(name, table);
        }
    }
    for (name, table) in base.iter().filter(|(_, table)| table.generation > 0) {
        let ended = || Table { is_fed: false, ..table.clone() };
        tables.entry(name.clone()).or_insert_with(ended);
    }
    tables
}

/// One unified table.
struct Of<'a> {
    block: &'a Block,
    plan: &'a Unified,
    environment: &'a str,
    sources: &'a [Source],
}

impl Of<'_> {
    fn wants(&self, schema: &str, table: &str) -> bool {
        let kind = TableKind::of(table);
        self.sources.iter().any(|source| {
            source.fills(schema, kind)
                && source.route.environment == self.environment
                && self.block.wants(&source.route, kind, table)
        })
    }

    /// The table as it is with what still comes, or as its members will make it.
    fn table(
        &self,
        born: Option<&Table>,
        members: &[(&str, &str, &Table)],
        type_name: fn(ColumnType) -> &'static str,
    ) -> Table {
        let mut fed: BTreeMap<String, ()> = BTreeMap::new();
        let mut columns = born.map_or_else(core, |table| table.columns.clone());
        let mut is_fed = false;
        for (schema, name, table) in members {
            if !self.wants(schema, name) {
                continue;
            }
            is_fed = true;
            for column in table.columns.iter().filter(|column| column.name != "_overflow") {
                let base = base_name(table, column, type_name);
                let role = self.block.role(base, &self.plan.escaped);
                let canonical = role.fills.and_then(|alias| {
                    self.block.aliases.get(alias.canonical).map(|(name, _)| name.as_str())
                });
                for name in role.column.into_iter().chain(canonical) {
                    let target = place(&mut columns, name, column, born.is_none(), type_name);
                    fed.extend(target.map(|name| (name, ())));
                }
            }
        }
        for column in &mut columns {
            let is_core = CORE.iter().any(|(core, ..)| *core == column.name);
            let is_ours = is_core || matches!(column.name.as_str(), "uuid_ts" | "loaded_at");
            column.is_fed = is_ours || column.name == "_overflow" || fed.contains_key(&column.name);
        }
        Table { generation: self.block.generation, is_fed, columns }
    }
}

fn core() -> Vec<Column> {
    let column = |&(name, kind, is_required): &(&str, ColumnType, bool)| Column {
        name: name.to_owned(),
        kind,
        string_bytes: if kind == ColumnType::String { 256 } else { 0 },
        is_required,
        is_fed: true,
    };
    CORE.iter().map(column).collect()
}

/// The name of a member's column without the type of a variant.
fn base_name<'c>(
    table: &Table,
    column: &'c Column,
    type_name: fn(ColumnType) -> &'static str,
) -> &'c str {
    let base = column.name.strip_suffix(type_name(column.kind));
    let base = base.and_then(|base| base.strip_suffix("__"));
    base.filter(|base| table.columns.iter().any(|other| other.name == *base))
        .unwrap_or(&column.name)
}

/// Where a member's values go: to the column itself if its type takes them, else to a variant. A
/// table that is not born yet gets the column.
fn place(
    columns: &mut Vec<Column>,
    name: &str,
    member: &Column,
    may_add: bool,
    type_name: fn(ColumnType) -> &'static str,
) -> Option<String> {
    let takes = |column: &Column| {
        column.kind == member.kind
            || column.kind == ColumnType::String
            || (column.kind, member.kind) == (ColumnType::Float, ColumnType::Int)
    };
    let own = columns.iter_mut().find(|column| column.name == name);
    let variant = format!("{name}__{}", type_name(member.kind));
    let target = match own {
        Some(own) if takes(own) && !MADE.contains(&name) => {
            own.string_bytes = own.string_bytes.max(member.string_bytes);
            return Some(own.name.clone());
        }
        Some(_) => variant,
        None => name.to_owned(),
    };
    if let Some(known) = columns.iter_mut().find(|column| column.name == target) {
        known.string_bytes = known.string_bytes.max(member.string_bytes);
        return Some(target);
    }
    if may_add {
        columns.push(Column { name: target.clone(), is_required: false, ..member.clone() });
        return Some(target);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::warehouse::diff::{Change, diff};

    fn name_of(kind: ColumnType) -> &'static str {
        if kind == ColumnType::String { "string" } else { "int" }
    }

    fn column(name: &str, kind: ColumnType) -> Column {
        Column { name: name.into(), kind, string_bytes: 0, is_required: false, is_fed: true }
    }

    fn source(environment: &str) -> Source {
        let route = Route {
            source_id: format!("web_{environment}"),
            source_name: "web".into(),
            environment: environment.into(),
            platform: String::new(),
            schema: format!("web_{environment}"),
        };
        Source { route, is_enabled: true, skips_tracks: false, skips_users: false }
    }

    fn base() -> Tables {
        let done = [
            column("id", ColumnType::String),
            column("_timestamp", ColumnType::Datetime),
            column("category", ColumnType::String),
            column("catggory", ColumnType::String),
            column("type", ColumnType::String),
        ];
        let table = Table { generation: 0, is_fed: true, columns: done.to_vec() };
        Tables::from([("web_prod.done".to_owned(), table)])
    }

    fn unified(block: Block) -> Unified {
        Unified::new(vec![block], vec![("_timestamp".to_owned(), "timestamp".to_owned())])
    }

    #[test]
    fn a_unified_table_is_told_from_its_members() {
        let plan = unified(Block::named("user_events"));
        let tables = forecast(&base(), &plan, &[source("prod")], name_of);
        let table = &tables["unified_prod.user_events"];
        let names: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names[..CORE.len()], CORE.map(|(name, ..)| name));
        assert_eq!(names[CORE.len()..], ["category", "catggory", "type__string"]);
    }

    #[test]
    fn a_change_is_told_by_what_ends() {
        let old =
            forecast(&base(), &unified(Block::named("user_events")), &[source("prod")], name_of);
        let mut block = Block::named("user_events");
        block.exclude_columns = vec!["cat*".into()];
        let new = forecast(&old, &unified(block), &[source("prod")], name_of);
        let ended: Vec<String> = diff(&old, &new)
            .into_iter()
            .filter(|one| one.change == Change::Ended)
            .filter_map(|one| one.column)
            .collect();
        assert_eq!(ended, ["category", "catggory"]);
        let mut off = source("prod");
        off.is_enabled = false;
        let none = forecast(&old, &unified(Block::named("user_events")), &[off], name_of);
        assert!(none.values().all(|table| !table.is_fed));
        let mut next = Block::named("user_events");
        next.generation = 2;
        let next = forecast(&old, &unified(next), &[source("prod")], name_of);
        assert_eq!(next["unified_prod.user_events"].generation, 2);
    }
}
