//! What a configuration makes of the tables that there are: which go on, which end, and which
//! columns a unified table has that is not born yet.
//!
//! Pure. It answers for the next batches, from the tables of the batches before: a column that no
//! event brought yet is in no forecast. A column that is there ends only if nothing that the
//! configuration lets in can bring it: an event may give a value of any type for a key that any event
//! had, so a variant goes on as long as its column does.

use std::collections::BTreeSet;

use super::{Block, CORE, MADE, Unified, glob};
use crate::clock::Timestamp;
use crate::record::Route;
use crate::warehouse::diff::{Column, Table, Tables};
use crate::warehouse::names::variant;
use crate::warehouse::{ColumnType, Dialect, OTHER_EVENTS, OVERFLOW, TableKind};

/// The types whose values have variants; a column of days is the gateway's own.
const KINDS: [ColumnType; 5] = [
    ColumnType::Int,
    ColumnType::Float,
    ColumnType::Boolean,
    ColumnType::Datetime,
    ColumnType::String,
];

/// The smallest bound of a string column in bytes, as the registry keeps it.
const STRING_BYTES_MIN: u64 = 256;

/// Core columns that a canonical column of their name fills as text, whatever the type.
const FILLED: [&str; 2] = ["session_id", "time_adjusted"];

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

/// What else a forecast depends on.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// How the other side is told.
    pub against: Against,
    /// Whose names the tables have.
    pub dialect: Dialect,
    /// Columns that a table may have; what has no column goes to `_overflow`.
    pub columns_max: usize,
}

/// A table of a source, as a unified table sees it.
struct Member<'t> {
    schema: &'t str,
    name: &'t str,
    kind: TableKind,
    table: &'t Table,
}

/// The tables once the configuration is in use.
#[must_use]
pub fn forecast(base: &Tables, plan: &Unified, sources: &[Source], terms: Terms) -> Tables {
    let mut tables = Tables::new();
    let mut members: Vec<Member<'_>> = Vec::new();
    for (name, table) in base {
        let Some((schema, short)) = name.split_once('.') else { continue };
        if table.generation > 0 {
            continue;
        }
        let has_event = table.columns.iter().any(|column| column.name == "event");
        let kind = TableKind::of_table(short, has_event);
        let is_fed = sources.iter().any(|source| source.fills(schema, kind));
        if is_fed {
            members.push(Member { schema, name: short, kind, table });
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
            let of = Of { block, plan, environment, sources, terms };
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
    terms: Terms,
}

impl Of<'_> {
    fn wants(&self, &Member { schema, name, kind, .. }: &Member<'_>) -> bool {
        self.sources.iter().any(|source| {
            // Events past the tables that a schema may have are wanted by their own names.
            let wants = || match name {
                OTHER_EVENTS => self.block.wants_source(&source.route),
                _ => self.block.wants(&source.route, kind, name),
            };
            source.fills(schema, kind) && source.route.environment == self.environment && wants()
        })
    }

    /// What the columns of a member may add to the table.
    fn news(&self, member: &Member<'_>, is_born: bool) -> News {
        if !is_born || self.terms.against == Against::Forecast {
            return News::Variants;
        }
        let (included, [tables, events]) = self.block.event_names();
        let chooses = !(included.is_empty() && tables.is_empty() && events.is_empty());
        // Its columns may be of events that stay out.
        let is_mixed = member.name == OTHER_EVENTS || member.kind == TableKind::Tracks;
        if is_mixed && chooses { News::Nothing } else { News::Columns }
    }

    /// The table as it is with what still comes, or as its members will make it; `known` is the one
    /// of that name, of whatever generation.
    fn table(
        &self,
        (born, known): (Option<&Table>, Option<&Table>),
        members: &[Member<'_>],
    ) -> Table {
        let wanted: Vec<&Member<'_>> = members.iter().filter(|one| self.wants(one)).collect();
        let is_fed = !wanted.is_empty();
        let overflows = |member: &&Member<'_>| {
            member.table.columns.iter().any(|column| column.name == OVERFLOW)
        };
        let any_overflows = wanted.iter().any(overflows);
        let mut comers: Vec<(&Member<'_>, &Column)> = wanted
            .into_iter()
            .flat_map(|member| member.table.columns.iter().map(move |column| (member, column)))
            .filter(|(_, column)| column.name != OVERFLOW)
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
        let mut place = Place { columns, added: BTreeSet::new(), terms: self.terms };
        let mut reached = BTreeSet::new();
        for (member, column) in comers {
            let news = self.news(member, born.is_some());
            let base = base_of(&member.table.columns, column, self.terms.dialect);
            for name in self.ways(base) {
                let is_claimed = MADE.contains(&name)
                    || name == "event"
                        && matches!(member.kind, TableKind::Pages | TableKind::Screens);
                if !reached.contains(name) {
                    reached.insert(name.to_owned());
                }
                place.take((name, is_claimed), column, news);
            }
        }
        let mut columns = place.columns;
        if any_overflows {
            let bases = columns.iter().map(|column| base_of(&columns, column, self.terms.dialect));
            reached.extend(bases.flat_map(|base| self.ways(base)).map(str::to_owned));
        }
        self.feed(&mut columns, reached);
        Table { generation: self.block.generation, is_fed, columns }
    }

    /// The columns that values for the column `base` of a member go to.
    fn ways<'n>(&'n self, base: &'n str) -> impl Iterator<Item = &'n str> {
        let role = self.block.role(base, &self.plan.escaped);
        let alias = role.fills.and_then(|alias| self.block.aliases.get(alias.canonical));
        let canonical = alias.map(|(name, _)| name.as_str());
        role.column.into_iter().chain(canonical.filter(|name| !FILLED.contains(name)))
    }

    /// Notes which columns still get values: the core's, those in `reached` and their variants.
    fn feed(&self, columns: &mut [Column], reached: BTreeSet<String>) {
        let variants: Vec<String> =
            reached.iter().flat_map(|name| variants(name, self.terms.dialect)).collect();
        let mut fed = reached;
        fed.extend(variants);
        for column in columns {
            let is_core = CORE.iter().any(|(core, ..)| *core == column.name);
            let is_ours =
                is_core || ["uuid_ts", "loaded_at", OVERFLOW].contains(&column.name.as_str());
            column.is_fed = is_ours || fed.contains(&column.name);
        }
    }
}

fn core() -> Vec<Column> {
    let column = |&(name, kind, is_required): &(&str, ColumnType, bool)| Column {
        name: name.to_owned(),
        kind,
        string_bytes: if kind == ColumnType::String { STRING_BYTES_MIN } else { 0 },
        is_required,
        is_fed: true,
        first_seen: Timestamp::from_millis(0),
    };
    CORE.iter().map(column).collect()
}

/// The names of the variants of a column.
fn variants(name: &str, dialect: Dialect) -> impl Iterator<Item = String> {
    KINDS.into_iter().map(move |kind| variant(name, kind, dialect.name_bytes_max()))
}

/// The name of the column whose values of another type `column` holds; its own if it is no variant.
fn base_of<'c>(columns: &'c [Column], column: &'c Column, dialect: Dialect) -> &'c str {
    let Some((stem, label)) = column.name.rsplit_once("__") else { return &column.name };
    let Some(kind) = KINDS.into_iter().find(|kind| kind.label() == label) else {
        return &column.name;
    };
    // A long name is cut to make room for the type.
    let is_base = |name: &&str| {
        name.starts_with(stem) && variant(name, kind, dialect.name_bytes_max()) == column.name
    };
    let mut names = columns.iter().map(|other| other.name.as_str());
    names.find(is_base).unwrap_or(&column.name)
}

/// What the column of a member may add to a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    /// Nothing: the table has what it needs of it.
    Nothing,
    /// A column that the table lacks, and variants of such a column.
    Columns,
    /// Variants of columns that the table has, too.
    Variants,
}

/// The columns of a unified table while its members are asked.
struct Place {
    columns: Vec<Column>,
    /// Those that the table did not have.
    added: BTreeSet<String>,
    terms: Terms,
}

impl Place {
    /// Makes room for a member's values: in the column itself if its type takes them and the gateway
    /// does not fill it, else in a variant.
    fn take(&mut self, (name, is_claimed): (&str, bool), member: &Column, news: News) {
        let takes = |column: &Column| {
            column.kind == member.kind
                || column.kind == ColumnType::String
                || (column.kind, member.kind) == (ColumnType::Float, ColumnType::Int)
        };
        let own = self.columns.iter().find(|column| column.name == name);
        let (target, may_add) = match own {
            Some(own) if takes(own) && !is_claimed => (name.to_owned(), false),
            Some(_) => {
                let target = variant(name, member.kind, self.terms.dialect.name_bytes_max());
                (target, news == News::Variants || self.added.contains(name))
            }
            None => (name.to_owned(), true),
        };
        if news == News::Nothing {
            return;
        }
        if let Some(known) = self.columns.iter_mut().find(|column| column.name == target) {
            known.string_bytes = known.string_bytes.max(member.string_bytes);
        } else if may_add {
            self.add(Column { name: target, is_required: false, ..member.clone() });
        }
    }

    /// Adds a column, or the one that takes what comes past the cap: the last place is its own.
    fn add(&mut self, column: Column) {
        let has_overflow = self.columns.iter().any(|column| column.name == OVERFLOW);
        let is_full = self.columns.len() + usize::from(!has_overflow) >= self.terms.columns_max;
        if !is_full {
            self.added.insert(column.name.clone());
            self.columns.push(column);
        } else if !has_overflow {
            let (kind, name) = (ColumnType::String, OVERFLOW.to_owned());
            let string_bytes = STRING_BYTES_MIN;
            self.columns.push(Column { name, kind, string_bytes, is_required: false, ..column });
        }
    }
}

#[cfg(test)]
mod tests;
