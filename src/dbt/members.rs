//! Which rows of which tables are in a unified table, as the gateway decides it.

use super::{Lake, Table};
use crate::sql;
use crate::warehouse::{OTHER_EVENTS, TableKind};

/// A table that has rows in a unified table.
#[derive(Debug)]
pub(super) struct Member<'l> {
    pub(super) table: &'l Table,
    /// What its rows must meet.
    pub(super) conditions: Vec<String>,
}

/// The members of a unified table: none if the configuration has no such block.
pub(super) fn of<'l>(lake: &'l Lake, unified: &Table) -> Vec<Member<'l>> {
    let Some((environment, generation)) = &unified.unified else { return Vec::new() };
    let block = lake
        .unified
        .blocks
        .iter()
        .find(|block| block.name == unified.name && block.generation == *generation);
    let Some(block) = block else { return Vec::new() };
    // A lake's files are read by DuckDB.
    let dialect = sql::Dialect::of_lake(lake.dialect).unwrap_or(sql::Dialect::Duckdb);
    let mut members = Vec::new();
    for table in lake.tables.iter().filter(|table| table.unified.is_none()) {
        let has_event = table.columns.column("event").is_some();
        let kind = TableKind::of_table(&table.name, has_event);
        let of_schema = lake.routes.iter().filter(|route| route.schema == table.schema);
        let all = of_schema.clone().count();
        let wanted: Vec<&str> = of_schema
            .filter(|route| {
                let wants = if table.name == OTHER_EVENTS {
                    block.wants_source(route)
                } else {
                    block.wants(route, kind, &table.name)
                };
                route.environment == *environment && wants
            })
            .map(|route| route.source_id.as_str())
            .collect();
        if wanted.is_empty() {
            continue;
        }
        let mut conditions = Vec::new();
        if wanted.len() < all {
            let ids: Vec<String> = wanted.iter().map(|id| dialect.literal(id)).collect();
            let column = lake.quoted("context_source_id");
            conditions.push(format!("{column} in ({})", ids.join(", ")));
        }
        if has_event {
            let event = lake.quoted("event");
            conditions.extend(sql::by_event(dialect, block, (kind, &table.name), &event));
        }
        members.push(Member { table, conditions });
    }
    // The rows of `users` are those of `identifies`, under another id.
    let identified: Vec<&str> = members
        .iter()
        .filter(|member| TableKind::of(&member.table.name) == TableKind::Identifies)
        .map(|member| member.table.schema.as_str())
        .collect();
    members.retain(|member| {
        TableKind::of(&member.table.name) != TableKind::Users
            || !identified.contains(&member.table.schema.as_str())
    });
    members
}
