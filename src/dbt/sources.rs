//! The sources: a file for each schema, with every table and every column.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::names::Names;
use super::{File, Lake, MARK, Table, describe, yaml};
use crate::columnar::Column;
use crate::warehouse::{Dialect, TableKind, ddl};

pub(super) fn files(lake: &Lake, names: &Names) -> Vec<File> {
    let mut schemas: BTreeMap<&str, Vec<&Table>> = BTreeMap::new();
    for table in &lake.tables {
        schemas.entry(&table.schema).or_default().push(table);
    }
    schemas
        .into_iter()
        .map(|(schema, tables)| file(lake, (schema, names.source(schema)), &tables))
        .collect()
}

fn file(lake: &Lake, (schema, source): (&str, &str), tables: &[&Table]) -> File {
    let mut text = format!(
        "# {MARK}\nversion: 2\nsources:\n  - name: {}\n    schema: {}\n    \
         description: {}\n    loaded_at_field: {}\n    tables:\n",
        yaml(source),
        yaml(&lake.dialect.cased(schema)),
        yaml(&format!("tables of {schema}, written by keelrow")),
        lake.dialect.cased("received_at"),
    );
    for table in tables {
        push_table(lake, table, &mut text);
    }
    File { path: format!("models/sources/{source}.yml"), text }
}

/// Rows of every event come here: silence means that something is wrong.
fn is_busy(table: &Table) -> bool {
    table.unified.is_some() || TableKind::of(&table.name) == TableKind::Tracks
}

fn push_table(lake: &Lake, table: &Table, text: &mut String) {
    let is_lake = lake.dialect == Dialect::Datalake;
    // A later generation is another table of the warehouse, and other files of a lake.
    let name = if is_lake { &table.name } else { &table.label };
    let name = lake.dialect.cased(name);
    push(text, format_args!("      - name: {}\n", yaml(&table.name)));
    if name != table.name {
        push(text, format_args!("        identifier: {}\n", yaml(&name)));
    }
    if is_lake {
        let files = format!(
            "read_parquet('{{{{ var(\"lake\") }}}}/{}/**/*.parquet', union_by_name = true)",
            table.folder
        );
        push(text, format_args!("        meta:\n          external_location: {}\n", yaml(&files)));
    }
    if is_busy(table) {
        text.push_str(
            "        freshness:\n          warn_after: {count: 12, period: hour}\n          \
             error_after: {count: 48, period: hour}\n",
        );
    }
    text.push_str("        columns:\n");
    for column in &table.columns.columns {
        push_column(lake, table, column, text);
    }
}

fn push_column(lake: &Lake, table: &Table, column: &Column, text: &mut String) {
    let bytes = u32::try_from(column.max_bytes).unwrap_or(u32::MAX);
    let data_type = ddl::type_name(
        lake.dialect,
        &ddl::Column {
            name: &column.name,
            kind: column.column_type,
            string_bytes: (bytes > 0).then_some(bytes),
            is_required: column.required,
        },
    );
    push(
        text,
        format_args!(
            "          - name: {}\n            description: {}\n            data_type: {}\n",
            yaml(&lake.dialect.cased(&column.name)),
            yaml(&describe::column(column, &table.columns)),
            yaml(&data_type)
        ),
    );
    if column.required {
        text.push_str("            data_tests: [not_null]\n");
    }
}

fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    text.write_fmt(arguments).ok();
}
