//! The models: a staging view for each table of a source, an incremental model for each unified
//! table, and the tests between them.

use std::collections::BTreeMap;

use super::members::{self, Member};
use super::names::Names;
use super::{File, Lake, MARK, Table, yaml};
use crate::warehouse::{Dialect, TableKind};

/// The tests of staging models, by name: by which columns a row is one, and which rows count.
/// Records come again under the id that they have, and have no name as it was sent.
const ONCE: [(&str, &[&str], bool); 3] = [
    ("event_is_there_once", &["context_source_id", "id"], true),
    ("row_is_there_once", &["context_source_id", "id"], false),
    ("id_is_there_once", &["id"], false),
];

pub(super) fn files(lake: &Lake, names: &Names) -> Vec<File> {
    let mut files: Vec<File> = ONCE.iter().map(|test| generic(lake, test)).collect();
    let mut notes: BTreeMap<String, Vec<&Table>> = BTreeMap::new();
    for table in lake.tables.iter().filter(|table| table.unified.is_none()) {
        let folder = format!("models/staging/{}", names.source(&table.schema));
        let path = format!("{folder}/{}.sql", names.model(table));
        files.push(File { path, text: staging(lake, names, table) });
        notes.entry(folder).or_default().push(table);
    }
    for (folder, tables) in notes {
        let text = staging_notes(names, &tables);
        files.push(File { path: format!("{folder}/staging.yml"), text });
    }
    for table in newest_unified(lake) {
        let model = names.model(table);
        let path = format!("models/unified/{model}.sql");
        files.push(File { path, text: unified(lake, names, table) });
        let text = once(lake, model, table);
        files.push(File { path: format!("tests/{model}_has_an_event_once.sql"), text });
        let members = members::of(lake, table);
        if !members.is_empty() {
            let text = every_event(lake, names, table, &members);
            files.push(File { path: format!("tests/{model}_has_every_event.sql"), text });
        }
    }
    files
}

/// A test that dbt knows by its name: rows that are there more than once.
fn generic(lake: &Lake, (name, columns, is_of_events): &(&str, &[&str], bool)) -> File {
    let columns: Vec<String> = columns.iter().map(|column| lake.quoted(column)).collect();
    let columns = columns.join(", ");
    let condition = if *is_of_events {
        format!("\nwhere {} is not null", lake.quoted("event_text"))
    } else {
        String::new()
    };
    let text = format!(
        "-- {MARK}\n{{% test {name}(model, column_name) %}}\n\
         select {columns}\nfrom {{{{ model }}}}{condition}\ngroup by {columns}\n\
         having count(*) > 1\n{{% endtest %}}\n"
    );
    File { path: format!("tests/generic/{name}.sql"), text }
}

/// The unified tables; of one with several generations the newest.
fn newest_unified(lake: &Lake) -> Vec<&Table> {
    let mut newest: BTreeMap<(&str, &str), (&Table, u32)> = BTreeMap::new();
    for table in &lake.tables {
        if let Some((environment, generation)) = &table.unified {
            let known = newest.entry((&table.name, environment)).or_insert((table, *generation));
            if known.1 < *generation {
                *known = (table, *generation);
            }
        }
    }
    newest.into_values().map(|(table, _)| table).collect()
}

fn source(names: &Names, table: &Table) -> String {
    format!("{{{{ source('{}', '{}') }}}}", names.source(&table.schema), table.name)
}

fn staging(lake: &Lake, names: &Names, table: &Table) -> String {
    let columns: Vec<String> = table
        .columns
        .columns
        .iter()
        .map(|column| format!("    {}", lake.quoted(&column.name)))
        .collect();
    format!("-- {MARK}\nselect\n{}\nfrom {}\n", columns.join(",\n"), source(names, table))
}

fn staging_notes(names: &Names, tables: &[&Table]) -> String {
    let mut text = format!("# {MARK}\nversion: 2\nmodels:\n");
    for table in tables {
        let about = format!("rows of {}.{}", table.schema, table.name);
        text.push_str(&format!(
            "  - name: {}\n    description: {}\n",
            yaml(names.model(table)),
            yaml(&about)
        ));
        if table.columns.column("id").is_some() {
            let tests: Vec<&str> = std::iter::once("not_null").chain(once_of(table)).collect();
            text.push_str(&format!(
                "    columns:\n      - name: id\n        data_tests: [{}]\n",
                tests.join(", ")
            ));
        }
    }
    text
}

/// The test that a row is there once, for tables whose rows are.
fn once_of(table: &Table) -> Option<&'static str> {
    let has = |name: &str| table.columns.column(name).is_some();
    let kind = TableKind::of(&table.name);
    match kind {
        // A row comes with each identify; what was refused may come again; discards have no id.
        TableKind::Users | TableKind::Rejected | TableKind::Discards | TableKind::MergeRules => {
            None
        }
        // Records only.
        TableKind::Event if !has("event_text") => None,
        _ if !has("context_source_id") => Some("id_is_there_once"),
        TableKind::Event => Some("event_is_there_once"),
        _ => Some("row_is_there_once"),
    }
}

fn unified(lake: &Lake, names: &Names, table: &Table) -> String {
    // Not by `received_at`, which a history that is imported brings with it. Should a table have come
    // without the batch's time, there is no other.
    let has_batch = table.columns.column("uuid_ts").is_some();
    let mark = lake.quoted(if has_batch { "uuid_ts" } else { "received_at" });
    let key: Vec<String> = key(table)
        .chain(["received_at"])
        .map(|name| format!("'{}'", lake.dialect.cased(name)))
        .collect();
    let strategy = match lake.dialect {
        Dialect::Bigquery | Dialect::Databricks => "merge",
        _ => "delete+insert",
    };
    // The gateway's clock may have been ahead for a while: that does not move the mark for good.
    let newest = format!("least(max({mark}), {{{{ dbt.current_timestamp() }}}})");
    let from = "{{ dbt.dateadd('day', -1 * (var('lookback_days') | int), 'newest') }}";
    format!(
        "-- {MARK}\n\
         -- Increments go by the batch, not by the time of the event: a late event is in a new batch,\n\
         -- and so is a history that is imported; a clock years ahead changes nothing. What is read\n\
         -- twice is replaced by its key.\n\
         {{{{ config(\n    materialized = 'incremental',\n    \
         incremental_strategy = '{strategy}',\n    unique_key = [{}],\n    \
         on_schema_change = 'append_new_columns'\n) }}}}\n\
         select *\nfrom {}\n\
         {{% if is_incremental() %}}\n\
         where {mark} >= (\n    select {from}\n    \
         from (select {newest} as newest from {{{{ this }}}}) as mark\n)\n\
         {{% endif %}}\n",
        key.join(", "),
        source(names, table),
    )
}

/// The columns by which an event is known: its id is unique within its source.
fn key(table: &Table) -> impl Iterator<Item = &'static str> {
    let has_source = table.columns.column("context_source_id").is_some();
    let source = has_source.then_some("context_source_id");
    std::iter::once("_source_schema").chain(source).chain(["id"])
}

fn once(lake: &Lake, model: &str, table: &Table) -> String {
    let key: Vec<String> = key(table).map(|name| lake.quoted(name)).collect();
    let key = key.join(", ");
    // The rows of `users` have the id of the user.
    let rows = format!(
        "{} <> 'extract' and {} <> 'users'",
        lake.quoted("type"),
        lake.quoted("_source_table")
    );
    format!(
        "-- {MARK}\n-- Events that the model has more than once. Records come again under their id.\n\
         select {key}\nfrom {{{{ ref('{model}') }}}}\nwhere {rows}\ngroup by {key}\n\
         having count(*) > 1\n"
    )
}

fn every_event(lake: &Lake, names: &Names, table: &Table, members: &[Member<'_>]) -> String {
    let model = names.model(table);
    let schema = lake.quoted("_source_schema");
    let all_have = |name: &str| {
        std::iter::once(table)
            .chain(members.iter().map(|member| member.table))
            .all(|table| table.columns.column(name).is_some())
    };
    let rest: Vec<String> = key(table)
        .filter(|name| *name != "_source_schema" && all_have(name))
        .map(|name| lake.quoted(name))
        .collect();
    let rest = rest.join(", ");
    let selects: Vec<String> = members
        .iter()
        .map(|Member { table, conditions }| {
            let condition = match conditions.as_slice() {
                [] => String::new(),
                all => format!(" where {}", all.join(" and ")),
            };
            format!(
                "    select '{}' as {schema}, {rest} from {{{{ ref('{}') }}}}{condition}",
                table.schema,
                names.model(table)
            )
        })
        .collect();
    let except = if lake.dialect == Dialect::Bigquery { "except distinct" } else { "except" };
    format!(
        "-- {MARK}\n-- Events of the staging models that the model does not have.\n\
         select * from (\n{}\n) as events\n{except}\n\
         select {schema}, {rest} from {{{{ ref('{model}') }}}}\n",
        selects.join("\n    union all\n")
    )
}
