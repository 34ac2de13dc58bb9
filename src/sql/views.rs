//! Narrow views of the events in a unified table, and the macros for `DuckDB`.

use std::collections::{BTreeMap, HashSet};

use super::Dialect;
use super::lake::{Lake, Origin, free_name};
use super::members::{Member, Unified, unified};
use super::script::{Out, Part};
use super::union::{names, replace_view};
use crate::unified::DEFAULT_NAME;

/// Macros that read a lake where it lies.
const MACROS: &str = include_str!("macros.sql");

/// A view for each event of each unified table: its rows, and the columns that it ever filled.
pub(super) fn of_events(lake: &Lake, out: &mut Out<'_>) {
    for unified in unified(lake) {
        if !out.wants(unified.table) {
            continue;
        }
        let schema = &unified.table.schema;
        let mut taken = lake.taken(schema);
        taken.extend(names(lake, schema).into_values());
        let members = unified.members(lake);
        let mut events: BTreeMap<&str, Vec<&Member<'_>>> = BTreeMap::new();
        for member in &members {
            events.entry(&member.table.name).or_default().push(member);
        }
        for (event, members) in events {
            let name = format!("{}__{event}", unified.table.label);
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
        filled.extend(unified.filled(lake, table));
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
        dialect.table(&unified.table.schema, &unified.table.label),
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
    let (mut note, mut sql) = (Vec::new(), Vec::new());
    for line in MACROS.lines() {
        if let Some(remark) = line.strip_prefix("--") {
            note.push(remark.trim_start());
            continue;
        }
        sql.push(line.strip_suffix(';').unwrap_or(line));
        if line.ends_with(';') {
            let text = sql.join("\n").replace("'keelrow-data/lake'", &lake.dialect.literal(&place));
            let text = text.replace("'/user_events/v1/", &events_folder(lake));
            out.add(Part::Macros, &note.join("\n"), text.trim());
            note.clear();
            sql.clear();
        }
    }
}

/// The beginning of the text that names the files of `user_events`: each environment has its own
/// generation.
fn events_folder(lake: &Lake) -> String {
    let mut whens = String::new();
    for table in &lake.tables {
        if let Origin::Unified { environment, block, generation } = &table.origin
            && block == DEFAULT_NAME
            && *generation > 1
        {
            let environment = lake.dialect.literal(environment);
            whens.push_str(&format!(" when {environment} then '{generation}'"));
        }
    }
    if whens.is_empty() {
        return "'/user_events/v1/".to_owned();
    }
    format!("'/user_events/v' || case environment{whens} else '1' end || '/")
}
