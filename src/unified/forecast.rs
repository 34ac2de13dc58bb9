//! What a configuration makes of the tables that there are: which go on, which end, and which
//! columns a unified table has that is not born yet.
//!
//! Pure. It answers for the next batches, from the tables of the batches before: a column that no
//! event brought yet is in no forecast.

use std::collections::BTreeSet;

use super::{Block, CORE, MADE, Unified, glob};
use crate::clock::Timestamp;
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

/// How the other side is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Against {
    /// As a configuration, from the same tables: everything that members have is told of both.
    Forecast,
    /// As the tables are: a variant that a table lacks beside a column of its own is none that is
    /// to come, since its values would have brought it.
    Tables,
}

/// The tables once the configuration is in use. `type_name` names a type in a variant's name.
#[must_use]
pub fn forecast(
    base: &Tables,
    plan: &Unified,
    sources: &[Source],
    (against, type_name): (Against, fn(ColumnType) -> &'static str),
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
    let environments: BTreeSet<&str> =
        sources.iter().map(|source| source.route.environment.as_str()).collect();
    for block in &plan.blocks {
        for environment in &environments {
            let globs = &block.environments;
            if !globs.is_empty() && !globs.iter().any(|glob| glob::matches(glob, environment)) {
                continue;
            }
            let name = format!("{}.{}", schema_of(environment), block.name);
            let of = Of { block, plan, environment, sources, against, type_name };
            let born = base.get(&name).filter(|table| table.generation == block.generation);
            let table = of.table((born, base.get(&name)), &members);
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
    against: Against,
    type_name: fn(ColumnType) -> &'static str,
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

    /// The table as it is with what still comes, or as its members will make it; `known` is the one
    /// of that name, of whatever generation.
    fn table(
        &self,
        (born, known): (Option<&Table>, Option<&Table>),
        members: &[(&str, &str, &Table)],
    ) -> Table {
        let wanted: Vec<&Table> = members
            .iter()
            .filter(|(schema, name, _)| self.wants(schema, name))
            .map(|(_, _, table)| *table)
            .collect();
        let is_fed = !wanted.is_empty();
        let mut comers: Vec<(&Table, &Column)> = wanted
            .into_iter()
            .flat_map(|table| table.columns.iter().map(move |column| (table, column)))
            .filter(|(_, column)| column.name != "_overflow")
            .collect();
        // Whoever came first decided the type; of those that came in one batch, what the generation
        // before says.
        comers.sort_by_cached_key(|(_, column)| {
            let columns = known.map_or(&[][..], |table| &table.columns);
            let place = columns.iter().position(|before| before.name == column.name);
            let is_other = place.is_some_and(|at| columns[at].kind != column.kind);
            (column.first_seen, place.is_none(), place, is_other)
        });
        let columns = born.map_or_else(core, |table| table.columns.clone());
        let mut place = Place { columns, added: BTreeSet::new(), type_name: self.type_name };
        let mut fed = BTreeSet::new();
        for (table, column) in comers {
            let base = base_name(table, column, self.type_name);
            let role = self.block.role(base, &self.plan.escaped);
            if let Some(name) = role.column {
                let may_add = born.is_none() || self.against == Against::Forecast;
                fed.extend(place.of(name, column, may_add));
            }
            let canonical = role.fills.and_then(|alias| {
                self.block.aliases.get(alias.canonical).map(|(name, _)| name.as_str())
            });
            if let Some(name) = canonical {
                fed.extend(place.of(name, column, true));
            }
        }
        let mut columns = place.columns;
        for column in &mut columns {
            let is_core = CORE.iter().any(|(core, ..)| *core == column.name);
            let is_ours = is_core || matches!(column.name.as_str(), "uuid_ts" | "loaded_at");
            column.is_fed = is_ours || column.name == "_overflow" || fed.contains(&column.name);
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
        first_seen: Timestamp::from_millis(0),
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

/// The columns of a unified table while its members are asked.
struct Place {
    columns: Vec<Column>,
    /// Those that the table did not have.
    added: BTreeSet<String>,
    type_name: fn(ColumnType) -> &'static str,
}

impl Place {
    /// Where a member's values go: to the column itself if its type takes them, else to a variant.
    /// A column that the table lacks is added; a variant of one that it has is only if it `may_add`
    /// that.
    fn of(&mut self, name: &str, member: &Column, may_add: bool) -> Option<String> {
        let takes = |column: &Column| {
            column.kind == member.kind
                || column.kind == ColumnType::String
                || (column.kind, member.kind) == (ColumnType::Float, ColumnType::Int)
        };
        let own = self.columns.iter_mut().find(|column| column.name == name);
        let variant = format!("{name}__{}", (self.type_name)(member.kind));
        let (target, may_add) = match own {
            Some(own) if takes(own) && !MADE.contains(&name) => {
                own.string_bytes = own.string_bytes.max(member.string_bytes);
                return Some(own.name.clone());
            }
            Some(_) => (variant, may_add || self.added.contains(name)),
            None => (name.to_owned(), true),
        };
        if let Some(known) = self.columns.iter_mut().find(|column| column.name == target) {
            known.string_bytes = known.string_bytes.max(member.string_bytes);
            return Some(target);
        }
        if !may_add {
            return None;
        }
        self.added.insert(target.clone());
        let column = Column { name: target.clone(), is_required: false, ..member.clone() };
        self.columns.push(column);
        Some(target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::warehouse::diff::{Change, diff};

    fn name_of(kind: ColumnType) -> &'static str {
        if kind == ColumnType::String { "string" } else { "int" }
    }

    fn column(name: &str, kind: ColumnType) -> Column {
        Column {
            name: name.into(),
            kind,
            string_bytes: 0,
            is_required: false,
            is_fed: true,
            first_seen: Timestamp::from_millis(0),
        }
    }

    const HOW: (Against, fn(ColumnType) -> &'static str) = (Against::Forecast, name_of);

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
        let tables = forecast(&base(), &plan, &[source("prod")], HOW);
        let table = &tables["unified_prod.user_events"];
        let names: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names[..CORE.len()], CORE.map(|(name, ..)| name));
        assert_eq!(names[CORE.len()..], ["category", "catggory", "type__string"]);
    }

    #[test]
    fn a_change_is_told_by_what_ends() {
        let old = forecast(&base(), &unified(Block::named("user_events")), &[source("prod")], HOW);
        let mut block = Block::named("user_events");
        block.exclude_columns = vec!["cat*".into()];
        let new = forecast(&old, &unified(block), &[source("prod")], HOW);
        let ended: Vec<String> = diff(&old, &new)
            .into_iter()
            .filter(|one| one.change == Change::Ended)
            .filter_map(|one| one.column)
            .collect();
        assert_eq!(ended, ["category", "catggory"]);
        let mut off = source("prod");
        off.is_enabled = false;
        let none = forecast(&old, &unified(Block::named("user_events")), &[off], HOW);
        assert!(none.values().all(|table| !table.is_fed));
        let mut next = Block::named("user_events");
        next.generation = 2;
        let next = forecast(&old, &unified(next), &[source("prod")], HOW);
        assert_eq!(next["unified_prod.user_events"].generation, 2);
    }

    /// What differs between two blocks, on the tables that the first one made.
    fn told(
        old: Block,
        new: Block,
        base: &Tables,
        against: Against,
    ) -> Vec<(String, &'static str)> {
        let how = (against, name_of as fn(ColumnType) -> &'static str);
        let old = forecast(base, &unified(old), &[source("prod")], how);
        let new = forecast(base, &unified(new), &[source("prod")], how);
        let found = diff(&old, &new).into_iter();
        found.map(|one| (one.column.unwrap_or_default(), one.change.label())).collect()
    }

    #[test]
    fn what_comes_back_or_begins_is_told() {
        let plain = Block::named("user_events");
        let mut narrow = plain.clone();
        narrow.exclude_columns = vec!["cat*".into()];
        // The table as the narrow block has made it, and as it was before that.
        for base in [
            forecast(&base(), &unified(narrow.clone()), &[source("prod")], HOW),
            forecast(&base(), &unified(plain.clone()), &[source("prod")], HOW),
        ] {
            let change =
                if base["unified_prod.user_events"].columns.iter().any(|c| c.name == "category") {
                    "begun"
                } else {
                    "added"
                };
            let wanted = [("category".to_owned(), change), ("catggory".to_owned(), change)];
            assert_eq!(told(narrow.clone(), plain.clone(), &base, Against::Forecast), wanted);
            assert_eq!(told(plain.clone(), plain.clone(), &base, Against::Forecast), []);
        }
        let base = forecast(&base(), &unified(plain.clone()), &[source("prod")], HOW);
        let mut alias = plain.clone();
        alias.aliases = vec![("kind".into(), vec!["category".into()])];
        let wanted = [("kind".to_owned(), "added")];
        assert_eq!(told(plain.clone(), alias, &base, Against::Forecast), wanted);
        let mut less = plain.clone();
        less.exclude_events = vec!["don?".into()];
        let wanted = [(String::new(), "table_begun")];
        assert_eq!(told(less, plain, &base, Against::Forecast), wanted);
    }

    #[test]
    fn a_variant_that_no_value_brought_is_not_to_come() {
        let plan = unified(Block::named("user_events"));
        let mut base = forecast(&base(), &plan, &[source("prod")], HOW);
        // Elsewhere the column is pinned to another type.
        let done = base.get_mut("web_prod.done").unwrap();
        done.columns.push(column("size", ColumnType::Float));
        let events = base.get_mut("unified_prod.user_events").unwrap();
        events.columns.push(column("size", ColumnType::Int));
        let names = |against| {
            let tables = forecast(&base, &plan, &[source("prod")], (against, name_of));
            let events = &tables["unified_prod.user_events"];
            events.columns.iter().filter(|column| column.name.starts_with("size")).count()
        };
        assert_eq!((names(Against::Tables), names(Against::Forecast)), (1, 2));
    }

    #[test]
    fn the_first_comer_decides_the_type_of_a_new_generation() {
        let mut base = base();
        let at = |kind, millis| Column {
            first_seen: Timestamp::from_millis(millis),
            ..column("size", kind)
        };
        for (name, kind, millis) in
            [("web_prod.early", ColumnType::String, 2), ("web_prod.late", ColumnType::Int, 1)]
        {
            let table = Table { generation: 0, is_fed: true, columns: vec![at(kind, millis)] };
            base.insert(name.to_owned(), table);
        }
        let plan = unified(Block::named("user_events"));
        let tables = forecast(&base, &plan, &[source("prod")], HOW);
        let columns = &tables["unified_prod.user_events"].columns;
        let size = columns.iter().find(|column| column.name == "size").unwrap();
        assert_eq!(size.kind, ColumnType::Int);
        // Both came at once: as in the generation before.
        base.get_mut("web_prod.late").unwrap().columns = vec![at(ColumnType::Int, 2)];
        let before = Table { generation: 1, is_fed: true, columns: vec![at(ColumnType::Int, 2)] };
        base.insert("unified_prod.user_events".to_owned(), before);
        let next = unified(Block { generation: 2, ..Block::named("user_events") });
        let tables = forecast(&base, &next, &[source("prod")], HOW);
        let columns = &tables["unified_prod.user_events"].columns;
        let size = columns.iter().find(|column| column.name == "size").unwrap();
        assert_eq!(size.kind, ColumnType::Int);
    }
}
