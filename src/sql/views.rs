//! Narrow views of the events in a unified table, and the macros for `DuckDB`.

use std::collections::{BTreeMap, HashSet};

use super::Dialect;
use super::lake::{Lake, free_name};
use super::members::{Member, Unified, unified};
use super::script::{Out, Part};
use super::union::replace_view;

/// Macros that read a lake where it lies.
const MACROS: &str = include_str!("macros.sql");

/// A view for each event of each unified table: its rows, and the columns that it ever filled.
pub(super) fn of_events(lake: &Lake, out: &mut Out<'_>) {
    for unified in unified(lake) {
        if !out.wants(unified.table) {
            continue;
        }
        let schema = &unified.table.schema;
        let mut taken: HashSet<String> = lake
            .tables
            .iter()
            .filter(|table| table.schema == *schema)
            .map(|table| table.name.clone())
            .collect();
        let members = unified.members(lake);
        let mut events: BTreeMap<&str, Vec<&Member<'_>>> = BTreeMap::new();
        for member in &members {
            events.entry(&member.table.name).or_default().push(member);
        }
        for (event, members) in events {
            let name = format!("{}__{event}", unified.table.name);
            let name = free_name(&name, lake.dialect.name_max(), &taken);
            taken.insert(name.clone());
            let query = query(lake, unified, event, &members);
            for sql in replace_view(lake.dialect, schema, &name, &query) {
                out.at(schema, &name).add(Part::Views, "", &sql);
            }
        }
    }
}

fn query(lake: &Lake, unified: Unified<'_>, event: &str, members: &[&Member<'_>]) -> String {
    let dialect = lake.dialect;
    let mut filled: HashSet<&str> = HashSet::new();
    for table in members.iter().map(|member| member.table) {
        for column in &table.columns {
            for (target, _) in unified.targets(lake, table, column) {
                filled.insert(&target.name);
            }
            let aliases = &unified.block.aliases;
            for (canonical, _) in aliases.iter().filter(|(_, of)| of.contains(&column.name)) {
                for (target, _) in unified.forms(canonical, table.kind, column.kind) {
                    filled.insert(&target.name);
                }
            }
        }
    }
    let columns: Vec<String> = unified
        .table
        .columns
        .iter()
        .filter(|column| Unified::is_core(column) || filled.contains(column.name.as_str()))
        .map(|column| format!("  {}", dialect.quote(&column.label)))
        .collect();
    format!(
        "select\n{}\nfrom {}\nwhere {} = {}",
        columns.join(",\n"),
        dialect.table(&unified.table.schema, &unified.table.name),
        dialect.quote("_source_table"),
        dialect.literal(event)
    )
}

/// The macros, for `DuckDB` alone.
pub(super) fn macros(lake: &Lake, out: &mut Out<'_>) {
    if lake.dialect != Dialect::Duckdb {
        return;
    }
    let place = lake.location.url(Dialect::Duckdb, "");
    for text in MACROS.split(";\n").map(str::trim).filter(|text| !text.is_empty()) {
        let is_note = |line: &&str| line.starts_with("--");
        let note: Vec<&str> =
            text.lines().filter(is_note).map(|line| line.trim_start_matches(['-', ' '])).collect();
        let sql: Vec<&str> = text.lines().filter(|line| !is_note(line)).collect();
        let sql = sql.join("\n").replace("'keelrow-data/lake'", &lake.dialect.literal(&place));
        out.add(Part::Macros, &note.join("\n"), sql.trim());
    }
}
