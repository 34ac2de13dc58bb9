//! Tables: made where they are missing, widened where the lake's schema has widened.
//!
//! Every statement may run again at any time: what is there stays, what is new is added. Nothing is
//! dropped or retyped, as in the registry.

use super::Dialect;
use super::lake::{Column, Lake, Origin, Table};
use super::script::{Out, Part};
use crate::warehouse::{ColumnType, TableKind};

/// The table in which the scripts note what is loaded.
pub(super) const LOADS: &str = "_keelrow_loads";
/// The table that says which ids belong to one person.
pub(super) const MAPPINGS: &str = "rudder_identity_mappings";
/// Snowflake's schema and stage for the lake.
pub(super) const STAGE: (&str, &str) = ("keelrow", "lake");
/// The procedure that adds columns where the warehouse has no words for it.
const WIDEN: &str = "_keelrow_widen";
/// Bytes of the list of columns of one call; Redshift's longest text is 65,535.
const WIDEN_BYTES_MAX: usize = 60_000;
/// Batches whose repetition ClickHouse tells by their tokens.
const TOKENS: u32 = 10_000;

/// A column as the warehouse has it.
#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) name: String,
    pub(super) sql_type: String,
    pub(super) is_required: bool,
}

impl Made {
    fn of(dialect: Dialect, column: &Column) -> Self {
        let Column { name, label, kind, is_required, max_bytes } = column;
        Self {
            name: label.clone(),
            sql_type: dialect.column_type(name, *kind, *is_required, *max_bytes),
            is_required: *is_required,
        }
    }

    fn plain(dialect: Dialect, name: &str, kind: ColumnType) -> Self {
        Self { name: name.to_owned(), sql_type: dialect.plain_type(kind), is_required: true }
    }

    /// As in `create table`.
    pub(super) fn define(&self, dialect: Dialect) -> String {
        let Self { name, sql_type, is_required } = self;
        // ClickHouse says it in the type.
        let ending = if *is_required && dialect != Dialect::Clickhouse { " not null" } else { "" };
        format!("{} {sql_type}{ending}", dialect.quote(name))
    }
}

/// Schemas and what the scripts themselves keep in them.
pub(super) fn schemas(lake: &Lake, out: &mut Out<'_>) {
    let dialect = lake.dialect;
    if dialect == Dialect::Postgres {
        out.add(
            Part::Ddl,
            "Columns that are there already are no news.",
            "set client_min_messages = warning",
        );
    }
    if dialect == Dialect::Snowflake {
        stage(lake, out);
    }
    let mut schemas: Vec<&str> = lake
        .tables
        .iter()
        .filter(|table| out.wants(table))
        .map(|table| table.schema.as_str())
        .collect();
    schemas.sort_unstable();
    schemas.dedup();
    for schema in schemas {
        out.at(schema, "").add(Part::Ddl, "", &dialect.create_schema(schema));
        if let Some(sql) = loads(dialect, schema) {
            let note = "Which batch is loaded into which table: a batch that is noted is left out.";
            out.at(schema, LOADS).add(Part::Ddl, note, &sql);
        }
        if dialect == Dialect::Redshift {
            let note = "Adds columns that are missing and lengthens texts that have become longer.";
            out.at(schema, "").add(Part::Ddl, note, &procedure(schema));
        }
    }
}

fn stage(lake: &Lake, out: &mut Out<'_>) {
    let dialect = lake.dialect;
    let (schema, name) = STAGE;
    out.add(Part::Ddl, "Where COPY finds the lake.", &dialect.create_schema(schema));
    let place = match lake.location {
        super::Location::Folder(_) => String::new(),
        super::Location::Bucket { .. } => {
            let url = dialect.literal(&(lake.location.url(dialect, "") + "/"));
            format!(" url = {url} storage_integration = KEELROW")
        }
    };
    let sql = format!("create stage if not exists {}{place}", dialect.table(schema, name));
    out.add(Part::Ddl, "", &sql);
}

/// Snowflake and Databricks remember the files they have read.
fn loads(dialect: Dialect, schema: &str) -> Option<String> {
    if matches!(dialect, Dialect::Snowflake | Dialect::Databricks) {
        return None;
    }
    let made = [
        Made::plain(dialect, "batch", ColumnType::String),
        Made::plain(dialect, "table_name", ColumnType::String),
        Made::plain(dialect, "row_count", ColumnType::Int),
        Made::plain(dialect, "loaded_at", ColumnType::Datetime),
    ];
    let ending = match dialect {
        Dialect::Clickhouse => {
            "\nengine = ReplacingMergeTree order by (\"batch\", \"table_name\")".to_owned()
        }
        _ => String::new(),
    };
    let key = if dialect == Dialect::Postgres {
        ",\n  primary key (\"batch\", \"table_name\")"
    } else {
        ""
    };
    Some(create(dialect, schema, LOADS, &made, key, &ending))
}

/// All tables that `lake` has, and those that are made of them.
pub(super) fn tables(lake: &Lake, out: &mut Out<'_>) {
    for table in &lake.tables {
        if out.wants(table) {
            one(lake, table, out);
        }
    }
}

fn one(lake: &Lake, table: &Table, out: &mut Out<'_>) {
    let dialect = lake.dialect;
    let made = match table.kind {
        // The lake has one row for each identify, the warehouse one for each user.
        TableKind::Users => match super::users::columns(lake, table) {
            Some(columns) => columns.iter().map(|column| Made::of(dialect, column)).collect(),
            None => return,
        },
        _ => table.columns.iter().map(|column| Made::of(dialect, column)).collect::<Vec<_>>(),
    };
    let (schema, name) = (table.schema.as_str(), table.label.as_str());
    let note = remark(dialect, table, made.len());
    let sql = create(dialect, schema, name, &made, "", &ending(dialect, table));
    out.at(schema, name).add(Part::Ddl, &note, &sql);
    for sql in widen(dialect, schema, name, &made) {
        out.at(schema, name).add(Part::Ddl, "", &sql);
    }
    if dialect == Dialect::Postgres
        && let Some(sql) = unique(table)
    {
        let note = "The net below _keelrow_loads: a row is in the table once.";
        out.at(schema, name).add(Part::Ddl, note, &sql);
    }
    if table.kind == TableKind::MergeRules {
        mappings(dialect, schema, out);
    }
}

fn create(
    dialect: Dialect,
    schema: &str,
    name: &str,
    made: &[Made],
    more: &str,
    ending: &str,
) -> String {
    let columns: Vec<String> =
        made.iter().map(|made| format!("  {}", made.define(dialect))).collect();
    let (table, columns) = (dialect.table(schema, name), columns.join(",\n"));
    format!("create table if not exists {table} (\n{columns}{more}\n){ending}")
}

/// How the warehouse is to lay the table out.
fn ending(dialect: Dialect, table: &Table) -> String {
    let has = |name: &str| table.column(name).is_some_and(|column| column.is_required);
    let (arrival, id) = (has("received_at"), has("id"));
    match dialect {
        Dialect::Snowflake => "\nenable_schema_evolution = true".to_owned(),
        Dialect::Bigquery => {
            let day = if arrival { "\npartition by date(`received_at`)" } else { "" };
            let event = table.column("event").is_some() && table.kind != TableKind::Users;
            format!("{day}{}", if event { "\ncluster by `event`" } else { "" })
        }
        Dialect::Redshift if arrival => "\ndiststyle auto sortkey (\"received_at\")".to_owned(),
        Dialect::Clickhouse if table.kind == TableKind::Users => {
            // The latest insert of a user wins; read it with final.
            "\nengine = ReplacingMergeTree order by \"id\"".to_owned()
        }
        Dialect::Clickhouse => {
            let month = if arrival { " partition by toYYYYMM(\"received_at\")" } else { "" };
            let order = match (arrival, id) {
                (true, true) => "(\"received_at\", \"id\")",
                (true, false) => "\"received_at\"",
                _ => "tuple()",
            };
            format!(
                "\nengine = MergeTree{month} order by {order}\n\
                 settings non_replicated_deduplication_window = {TOKENS}"
            )
        }
        Dialect::Databricks => "\nusing delta".to_owned(),
        _ => String::new(),
    }
}

/// What whoever runs the script should know of the table.
fn remark(dialect: Dialect, table: &Table, columns: usize) -> String {
    let mut remarks = Vec::new();
    if table.origin == Origin::Source && table.name != table.label {
        remarks.push(format!("{} of the lake.", table.name));
    }
    if dialect.columns_max().is_some_and(|most| columns * 5 >= most * 4) {
        let most = dialect.columns_max().unwrap_or_default();
        remarks.push(format!("{columns} columns of the {most} that the warehouse takes."));
    }
    let long: Vec<&str> = table
        .columns
        .iter()
        .filter(|column| dialect == Dialect::Redshift && column.max_bytes > 65_536)
        .map(|column| column.label.as_str())
        .collect();
    if !long.is_empty() {
        remarks.push(format!(
            "Texts longer than Redshift's 65,535 bytes, which fail the COPY of their file: {}.",
            long.join(", ")
        ));
    }
    let cut: Vec<String> = table
        .columns
        .iter()
        .filter(|column| column.name != column.label)
        .map(|column| format!("{} is {}", column.name, column.label))
        .collect();
    if !cut.is_empty() {
        let lost = if dialect.loads_by_name() {
            ", and a load by name, the only one it has, does not fill them"
        } else {
            ""
        };
        remarks.push(format!("Names that the warehouse does not take: {}{lost}.", cut.join(", ")));
    }
    remarks.join("\n")
}

/// What adds the columns that an older table lacks.
fn widen(dialect: Dialect, schema: &str, name: &str, made: &[Made]) -> Vec<String> {
    let table = dialect.table(schema, name);
    let added = made.iter().filter(|made| !made.is_required);
    let each = |before: &str| -> Vec<String> {
        added
            .clone()
            .map(|made| format!("{before}{} {}", dialect.quote(&made.name), made.sql_type))
            .collect()
    };
    let all = |before: &str, each: Vec<String>| {
        if each.is_empty() { Vec::new() } else { vec![format!("{before}{}", each.join(",\n  "))] }
    };
    match dialect {
        Dialect::Postgres | Dialect::Bigquery | Dialect::Clickhouse => {
            all(&format!("alter table {table}\n  "), each("add column if not exists "))
        }
        Dialect::Snowflake => {
            all(&format!("alter table {table} add column\n  "), each("if not exists "))
        }
        Dialect::Duckdb => {
            let before = format!("alter table {table} add column if not exists ");
            each(&before)
        }
        // COPY INTO adds them.
        Dialect::Databricks => Vec::new(),
        Dialect::Redshift => redshift_calls(schema, name, &added.collect::<Vec<_>>()),
    }
}

fn redshift_calls(schema: &str, name: &str, added: &[&Made]) -> Vec<String> {
    let dialect = Dialect::Redshift;
    let mut lists = vec![String::new()];
    for made in added {
        let item = format!("{} {}", made.name, made.sql_type);
        if lists.last().is_some_and(|list| list.len() + item.len() > WIDEN_BYTES_MAX) {
            lists.push(String::new());
        }
        if let Some(list) = lists.last_mut() {
            let comma = if list.is_empty() { "" } else { "|" };
            *list = format!("{list}{comma}{item}");
        }
    }
    lists.retain(|list| !list.is_empty());
    lists
        .iter()
        .map(|list| {
            let procedure = dialect.table(schema, WIDEN);
            format!(
                "call {procedure}({}, {}, {})",
                dialect.literal(schema),
                dialect.literal(name),
                dialect.literal(list)
            )
        })
        .collect()
}

/// Redshift has no `add column if not exists`, and a longer text is an alteration of its own that
/// no transaction may hold: hence nonatomic.
fn procedure(schema: &str) -> String {
    let name = Dialect::Redshift.table(schema, WIDEN);
    format!(
        "create or replace procedure {name}(its_schema varchar(256), its_table varchar(256), its_columns varchar(65535))
nonatomic as $$
declare
  number int := 1;
  item varchar(1024);
  name varchar(256);
  kind varchar(256);
  place varchar(1024) := quote_ident(its_schema) || '.' || quote_ident(its_table);
  found int;
  bytes int;
begin
  loop
    item := split_part(its_columns, '|', number);
    exit when item = '';
    name := split_part(item, ' ', 1);
    kind := substring(item, len(name) + 2);
    select count(*), coalesce(max(character_maximum_length), 0) into found, bytes
      from svv_columns
      where table_schema = its_schema and table_name = its_table and column_name = name;
    if found = 0 then
      execute 'alter table ' || place || ' add column ' || quote_ident(name) || ' ' || kind;
    elsif kind like 'varchar(%' then
      if cast(split_part(split_part(kind, '(', 2), ')', 1) as int) > bytes then
        execute 'alter table ' || place || ' alter column ' || quote_ident(name) || ' type ' || kind;
      end if;
    end if;
    number := number + 1;
  end loop;
end;
$$ language plpgsql"
    )
}

/// The key by which a row is known. Users have several rows in the lake, rejected events and
/// discards may have several under one id, and records of cloud sources come again.
fn unique(table: &Table) -> Option<String> {
    let dialect = Dialect::Postgres;
    let is_event = match table.kind {
        TableKind::Event => table.column("event_text").is_some(),
        TableKind::Tracks
        | TableKind::Identifies
        | TableKind::Pages
        | TableKind::Screens
        | TableKind::Groups
        | TableKind::Aliases => true,
        _ => false,
    };
    if !is_event || table.column("id").is_none() || table.column("received_at").is_none() {
        return None;
    }
    // One id may come from two sources.
    let names = ["id", "received_at", "_source_schema", "context_source_id"];
    let columns: Vec<String> = names
        .iter()
        .filter_map(|name| table.column(name))
        .map(|column| dialect.quote(&column.label))
        .collect();
    Some(format!(
        "create unique index if not exists {} on {} ({}) nulls not distinct",
        dialect.quote(&table.index),
        dialect.table(&table.schema, &table.label),
        columns.join(", ")
    ))
}

fn mappings(dialect: Dialect, schema: &str, out: &mut Out<'_>) {
    let made = [
        Made::plain(dialect, "merge_property_type", ColumnType::String),
        Made::plain(dialect, "merge_property_value", ColumnType::String),
        Made::plain(dialect, "rudder_id", ColumnType::String),
        Made::plain(dialect, "updated_at", ColumnType::Datetime),
    ];
    let ending = match dialect {
        Dialect::Clickhouse => {
            "\nengine = ReplacingMergeTree(\"updated_at\") \
             order by (\"merge_property_type\", \"merge_property_value\")"
        }
        Dialect::Databricks => "\nusing delta",
        _ => "",
    };
    let key = match dialect {
        Dialect::Postgres => ",\n  primary key (\"merge_property_type\", \"merge_property_value\")",
        _ => "",
    };
    let sql = create(dialect, schema, MAPPINGS, &made, key, ending);
    out.at(schema, MAPPINGS).add(Part::Ddl, "Which ids are one person.", &sql);
}
