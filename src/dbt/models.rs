//! The models: a staging view for each table of a source, an incremental model for each unified
//! table, and the tests between them.

use std::collections::BTreeMap;

use super::{File, Lake, MARK, Table, word, yaml};
use crate::warehouse::{Dialect, TableKind};

pub(super) fn files(lake: &Lake) -> Vec<File> {
    let mut files = Vec::new();
    let mut notes: BTreeMap<String, Vec<&Table>> = BTreeMap::new();
    for table in lake.tables.iter().filter(|table| table.unified.is_none()) {
        let folder = format!("models/staging/{}", word(&table.schema));
        let path = format!("{folder}/{}.sql", table.staging());
        files.push(File { path, text: staging(lake, table) });
        notes.entry(folder).or_default().push(table);
    }
    for (folder, tables) in notes {
        files.push(File { path: format!("{folder}/staging.yml"), text: staging_notes(&tables) });
    }
    let newest = newest_unified(lake);
    for (table, environment) in &newest {
        let model = format!("{}_{}", word(&table.name), word(environment));
        let path = format!("models/unified/{model}.sql");
        files.push(File { path, text: unified(lake, table) });
        let text = once(lake, &model);
        files.push(File { path: format!("tests/{model}_has_an_event_once.sql"), text });
        let members = lake.members(&table.name, environment);
        if !members.is_empty() {
            let text = every_event(lake, &model, &members);
            files.push(File { path: format!("tests/{model}_has_every_event.sql"), text });
        }
    }
    files
}

/// The unified tables; of one with several generations the newest.
fn newest_unified(lake: &Lake) -> Vec<(&Table, String)> {
    let mut newest: BTreeMap<(String, String), (&Table, u32)> = BTreeMap::new();
    for table in &lake.tables {
        if let Some((environment, generation)) = &table.unified {
            let key = (table.name.clone(), environment.clone());
            let known = newest.entry(key).or_insert((table, *generation));
            if known.1 < *generation {
                *known = (table, *generation);
            }
        }
    }
    newest.into_iter().map(|((_, environment), (table, _))| (table, environment)).collect()
}

fn source(table: &Table) -> String {
    format!("{{{{ source('{}', '{}') }}}}", word(&table.schema), table.name)
}

fn staging(lake: &Lake, table: &Table) -> String {
    let columns: Vec<String> = table
        .columns
        .columns
        .iter()
        .map(|column| format!("    {}", lake.quoted(&column.name)))
        .collect();
    format!("-- {MARK}\nselect\n{}\nfrom {}\n", columns.join(",\n"), source(table))
}

fn staging_notes(tables: &[&Table]) -> String {
    let mut text = format!("# {MARK}\nversion: 2\nmodels:\n");
    for table in tables {
        let about = format!("rows of {}.{}", table.schema, table.name);
        text.push_str(&format!(
            "  - name: {}\n    description: {}\n",
            yaml(&table.staging()),
            yaml(&about)
        ));
        // In `users` a row comes with each identify, and discards have no id.
        let is_unique = !matches!(
            TableKind::of(&table.name),
            TableKind::Users | TableKind::Discards | TableKind::MergeRules
        );
        if is_unique && table.columns.column("id").is_some() {
            text.push_str(
                "    columns:\n      - name: id\n        data_tests: [not_null, unique]\n",
            );
        }
    }
    text
}

fn unified(lake: &Lake, table: &Table) -> String {
    let received_at = lake.quoted("received_at");
    let key = ["_source_schema", "id"].map(|name| format!("'{}'", lake.dialect.cased(name)));
    let strategy = match lake.dialect {
        Dialect::Bigquery | Dialect::Databricks => "merge",
        _ => "delete+insert",
    };
    // Arrival is the gateway's clock, which no device can move; should a history have been imported
    // with times ahead of now, they still do not move the mark.
    let newest = format!("least(max({received_at}), {{{{ dbt.current_timestamp() }}}})");
    let from = "{{ dbt.dateadd('day', -1 * (var('lookback_days') | int), 'newest') }}";
    format!(
        "-- {MARK}\n\
         -- Increments go by arrival, not by the time of the event: a late event is a new arrival,\n\
         -- and a clock years ahead changes nothing. What comes twice is replaced by its key.\n\
         {{{{ config(\n    materialized = 'incremental',\n    \
         incremental_strategy = '{strategy}',\n    unique_key = [{}],\n    \
         on_schema_change = 'append_new_columns'\n) }}}}\n\
         select *\nfrom {}\n\
         {{% if is_incremental() %}}\n\
         where {received_at} >= (\n    select {from}\n    \
         from (select {newest} as newest from {{{{ this }}}}) as mark\n)\n\
         {{% endif %}}\n",
        key.join(", "),
        source(table),
    )
}

fn once(lake: &Lake, model: &str) -> String {
    let (schema, id) = (lake.quoted("_source_schema"), lake.quoted("id"));
    format!(
        "-- {MARK}\n-- Events that the model has more than once.\n\
         select {schema}, {id}\nfrom {{{{ ref('{model}') }}}}\ngroup by {schema}, {id}\n\
         having count(*) > 1\n"
    )
}

fn every_event(lake: &Lake, model: &str, members: &[&Table]) -> String {
    let (schema, id) = (lake.quoted("_source_schema"), lake.quoted("id"));
    // Where tracks is a member, the tables of its events have the same rows again.
    let has = |schema: &str, kind: TableKind| {
        members.iter().any(|t| t.schema == schema && TableKind::of(&t.name) == kind)
    };
    let selects: Vec<String> = members
        .iter()
        .filter(|table| match TableKind::of(&table.name) {
            TableKind::Event => !has(&table.schema, TableKind::Tracks),
            TableKind::Users => !has(&table.schema, TableKind::Identifies),
            _ => true,
        })
        .map(|table| {
            format!(
                "    select '{}' as {schema}, {id} from {{{{ ref('{}') }}}}",
                table.schema,
                table.staging()
            )
        })
        .collect();
    let except = if lake.dialect == Dialect::Bigquery { "except distinct" } else { "except" };
    format!(
        "-- {MARK}\n-- Events of the staging models that the model does not have.\n\
         select * from (\n{}\n) as events\n{except}\n\
         select {schema}, {id} from {{{{ ref('{model}') }}}}\n",
        selects.join("\n    union all\n")
    )
}
